"""The language policy as it looks from inside the text world: one state, one distribution over the next token."""

import torch
from torch import Tensor
from torch.distributions import Categorical

from rlcore.policies import LanguagePolicy, Policy


class NextToken(Policy):
    """A language policy that acts, token by token, where a state is the text so far (`rlcore.envs.text.TextEnv`).

    π(· | text so far): the policy's distribution behind the last token, and nothing else of it. The weights are the
    policy's own, so what trains one trains the other. Each state is read anew from its first token, which
    `rlcore.lm.generate` avoids: this is the plain form, and the oracle of the fast one.
    """

    def __init__(self, policy: LanguagePolicy):
        super().__init__()
        self.policy = policy

    def forward(self, states: Tensor) -> Categorical:
        """Texts `[..., L]` (long), −1 where nothing is written yet -> batch shape `[...]`.

        Raises:
            ValueError: a text without a token, behind which nothing can be predicted.
        """
        texts = states.reshape(-1, states.shape[-1])  # [N, L]
        lengths = (texts >= 0).sum(-1)  # [N]
        if (lengths == 0).any():
            raise ValueError("states has a text without a token: there is nothing to predict the next one from")
        every = self.policy(texts[:, : int(lengths.max())].clamp(min=0))  # behind every token: [N, longest]
        logits = every.logits[torch.arange(len(texts)), lengths - 1]  # behind the last one: [N, V]
        return Categorical(logits=logits.view(*states.shape[:-1], -1))
