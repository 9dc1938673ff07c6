"""A language model that says a number instead of a word: what a critic and a reward model have in common."""

import copy

from torch import Tensor, nn

from rlcore.lm.log_probs import position_ids
from rlcore.policies import LanguagePolicy, evaluating


class ScalarModel(nn.Module):
    """The trunk of a causal language model, copied, and a linear map to one number for each token.

    vₜ = w · hₜ + b,  hₜ the trunk's last hidden state at token t, which knows tokens 0 … t

    w and b start at 0, so the first answer is 0 everywhere. The copy shares no weight with the model it was made from,
    and all of it learns, also where that model was frozen.
    """

    def __init__(self, model: nn.Module, bias: bool = True):
        super().__init__()
        self.trunk = copy.deepcopy(model.base_model).requires_grad_(True)
        self.head = nn.utils.skip_init(nn.Linear, self.trunk.config.hidden_size, 1, bias=bias, dtype=self.trunk.dtype)
        for weights in self.head.parameters():
            nn.init.zeros_(weights)

    def per_token(self, tokens: Tensor, attention_mask: Tensor) -> Tensor:
        """One number per token, `[B, T] -> [B, T]`; dropout is off. `attention_mask` is 1 on what is no padding."""
        with evaluating(self.trunk):
            hidden = self.trunk(
                input_ids=tokens, attention_mask=attention_mask, position_ids=position_ids(attention_mask),
                use_cache=False,
            ).last_hidden_state  # [B, T, D]
        return self.head(hidden).squeeze(-1)  # [B, T]


def check_same_tokenizer(name: str, tokenizer, policy: LanguagePolicy) -> None:
    """Require the policy's own tokenizer: token 7 of one is another word, or none, for the other.

    Raises:
        ValueError: a token, or the EOS, has different numbers in the two.
    """
    mine, theirs = tokenizer.get_vocab(), policy.tokenizer.get_vocab()
    differing = sorted(token for token in mine.keys() | theirs.keys() if mine.get(token) != theirs.get(token))
    if differing:
        token = differing[0]
        raise ValueError(f"{name} has another tokenizer than the policy: {len(differing)} tokens differ, for example "
                         f"{token!r}, which is {mine.get(token)} there and {theirs.get(token)} in the policy")
    if tokenizer.eos_token_id != policy.tokenizer.eos_token_id:
        raise ValueError(f"{name} has another EOS than the policy: {tokenizer.eos_token_id} there, "
                         f"{policy.tokenizer.eos_token_id} in the policy")


def check_positions(name: str, longest: int, model: nn.Module) -> None:
    """Require that the longest text fits into the model's positions."""
    limit = getattr(model.config, "n_positions", None)
    if limit is not None and longest > limit:
        raise ValueError(f"{name} has a text of {longest} tokens (with its EOS), but the model has only {limit} "
                         "positions")
