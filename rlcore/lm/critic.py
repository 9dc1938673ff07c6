"""The critic of a language policy: how well is this text going to end?"""

import torch
from torch import Tensor

from rlcore.lm.scalar_head import ScalarModel
from rlcore.policies import LanguagePolicy


class LanguageValue(ScalarModel):
    """V(sₜ) for every prefix of a text: a copy of a language model's trunk, and one number per position.

    V(sₜ) = w · hₜ + b, and the state sₜ is the text up to and including token t: position t here and position t of
    `LanguagePolicy.forward` are the same state. w and b start at 0, so a new critic expects nothing.

    Source: Ouyang et al. (2022), arXiv:2203.02155, section 3.5 (there the trunk is the reward model's, which
    `LanguageValue(reward_model.trunk)` makes).
    """

    @classmethod
    def from_policy(cls, policy: LanguagePolicy) -> "LanguageValue":
        """A critic whose trunk is a copy of the policy's."""
        return cls(policy.model)

    def forward(self, states: Tensor) -> Tensor:
        """Tokens `[B, T]`, right-padded -> V of each prefix, `[B, T]`; what stands in the padding means nothing."""
        return self.per_token(states, torch.ones_like(states))  # causality needs no mask

    def check_fits(self, policy: LanguagePolicy) -> None:
        """Require a critic for this policy's texts, made from a model like the policy's.

        A critic of another size could do the work too, and large systems have one (InstructGPT's is 6 B for a policy
        of 175 B). Here it is nearly always a copy of the wrong model, so it is an error.

        Raises:
            ValueError: another vocabulary, another width, or fewer positions.
        """
        mine, theirs = self.trunk.config, policy.model.config
        for name, word in (("vocab_size", "vocabulary"), ("hidden_size", "width")):
            if getattr(mine, name) != getattr(theirs, name):
                raise ValueError(f"value has another {word} ({name} {getattr(mine, name)}) than the policy "
                                 f"({getattr(theirs, name)}); LanguageValue.from_policy(policy) makes one that fits")
        if getattr(mine, "n_positions", 0) < getattr(theirs, "n_positions", 0):
            raise ValueError(f"value has {mine.n_positions} positions, but the policy writes texts of up to "
                             f"{theirs.n_positions} tokens")
