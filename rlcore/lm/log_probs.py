"""How likely a language model finds a text, token by token, and which tokens were its own choice."""

from itertools import islice

from torch import Tensor, nn

from rlcore.policies import evaluating
from rlcore.validate import check_positive, check_same_shape


def position_ids(attention_mask: Tensor) -> Tensor:
    """Each token's place in its own text, so that padding on the left shifts nothing, `[B, T]`."""
    return (attention_mask.long().cumsum(-1) - 1).clamp(min=0)


def token_log_probs(model: nn.Module, tokens: Tensor, attention_mask: Tensor, temperature: float = 1.0) -> Tensor:
    """log π(tokenₜ₊₁ | token₀ … tokenₜ) for every token but the first, `[B, T] -> [B, T−1]`.

    Padding may stand on the left or on the right; where either the token or what it follows is padding the result is
    0. Dropout is off. At temperature 1, Transformers' loss is −mean of these over the labels that are not −100.

    Raises:
        ValueError: temperature not above 0, shapes that differ, or more tokens than the model has positions.
    """
    check_positive("temperature", temperature)
    check_same_shape(tokens=tokens, attention_mask=attention_mask)
    positions = position_ids(attention_mask)
    longest, limit = int(positions.max()) + 1, getattr(model.config, "n_positions", None)
    if limit is not None and longest > limit:
        raise ValueError(f"tokens has a text of {longest} tokens, but the model has only {limit} positions")
    with evaluating(model):
        logits = model(
            input_ids=tokens, attention_mask=attention_mask.long(), position_ids=positions, use_cache=False
        ).logits[:, :-1]  # [B, T-1, V]
    log_probs = (logits / temperature).log_softmax(-1).gather(-1, tokens[:, 1:, None]).squeeze(-1)  # [B, T-1]
    real = attention_mask.bool()
    return log_probs.masked_fill(~(real[:, 1:] & real[:, :-1]), 0.0)


def response_mask(completions: Tensor, eos_token_id: int) -> Tensor:
    """True up to and including the first EOS of each completion, `[B, T]` bool.

    It looks at where the first EOS is, never at which tokens are padding: right even where pad and EOS are one token,
    and the EOS itself counts, because stopping is an action that has to be learned.
    """
    before = (completions == eos_token_id).long().cumsum(-1) - (completions == eos_token_id).long()
    return before == 0


def completion_tokens(actions: Tensor, mask: Tensor) -> list[list[int]]:
    """The tokens that the policy chose, one list per row: `[B, T]` -> B lists of any length."""
    chosen = iter(actions[mask].tolist())
    return [list(islice(chosen, length)) for length in mask.sum(-1).tolist()]
