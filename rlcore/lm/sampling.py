"""Let a language policy write: prompts in, a `Trajectory` out."""

from collections.abc import Sequence

import torch
from torch import Tensor

from rlcore.lm.log_probs import completion_tokens, position_ids, response_mask
from rlcore.lm.tokenizer import decode, encode
from rlcore.policies import LanguagePolicy, evaluating
from rlcore.trajectory import Trajectory, last_steps


def generate(
    policy: LanguagePolicy,
    prompts: Sequence[str],
    *,
    max_new_tokens: int,
    greedy: bool = False,
    generator: torch.Generator | None = None,
) -> Trajectory:
    """One completion for each prompt, token by token, with the log-probs under which it was sampled.

    A completion ends with EOS (`terminated`) or at `max_new_tokens` (`truncated`: it had more to say). The result is
    packed and right-padded: states `tokens[:, :-1]`, actions `tokens[:, 1:]`, mask True on the completion, EOS
    included. Rewards are 0; whoever judges the text fills them in. Greedy takes the likeliest token every time.

    Raises:
        ValueError: no prompt, an empty prompt, max_new_tokens below 1, or a text longer than the model's positions.
    """
    if isinstance(prompts, str):
        raise ValueError(f"prompts must be a list of texts, but is one text, {prompts!r}: write [{prompts!r}]")
    if len(prompts) == 0:
        raise ValueError("prompts is empty")
    if max_new_tokens < 1:
        raise ValueError(f"max_new_tokens must be at least 1, but is {max_new_tokens}")
    once = {prompt: encode(policy.tokenizer, prompt) for prompt in dict.fromkeys(prompts)}  # groups repeat a prompt
    encoded = [once[prompt] for prompt in prompts]
    longest = max(map(len, encoded))
    limit = getattr(policy.model.config, "n_positions", None)
    if limit is not None and longest + max_new_tokens > limit:
        raise ValueError(
            f"a prompt of {longest} tokens and max_new_tokens={max_new_tokens} make {longest + max_new_tokens}, "
            f"but the model has only {limit} positions"
        )
    tokens, attention = left_pad(encoded, policy.tokenizer.pad_token_id)  # [B, P], [B, P]
    completions, log_probs = _sample(policy, tokens, attention, max_new_tokens, greedy, generator)  # [B, N] each
    return pack(tokens, attention, completions, log_probs, policy.tokenizer)


def left_pad(encoded: Sequence[Sequence[int]], pad_token_id: int) -> tuple[Tensor, Tensor]:
    """Token lists to one tensor that ends where every text ends: tokens `[B, P]` and attention mask `[B, P]` bool."""
    width = max(map(len, encoded))
    tokens = torch.tensor([[pad_token_id] * (width - len(text)) + list(text) for text in encoded])
    attention = torch.tensor([[False] * (width - len(text)) + [True] * len(text) for text in encoded])
    return tokens, attention


@torch.no_grad()
def _sample(
    policy: LanguagePolicy, tokens: Tensor, attention: Tensor, max_new_tokens: int, greedy: bool,
    generator: torch.Generator | None,
) -> tuple[Tensor, Tensor]:
    """Write after each row; the cache holds what attention has computed, one line for each unfinished text.

    Where the policy shares prefixes, equal unfinished texts are one line, and several rows sample from it.
    """
    tokenizer, merge = policy.tokenizer, _distinct if policy.share_prefixes else _apart
    completions = torch.full((len(tokens), max_new_tokens), tokenizer.pad_token_id)
    log_probs = torch.zeros(len(tokens), max_new_tokens, dtype=policy.model.dtype)
    live = torch.arange(len(tokens))  # the rows that are still being written
    first, line = merge(tokens.where(attention, -1))  # each live row continues the text in cache line `line`
    tokens, attention, cache = tokens[first], attention[first], None
    positions = position_ids(attention)
    with evaluating(policy.model) as model:
        for step in range(max_new_tokens):
            out = model(
                input_ids=tokens, attention_mask=attention.long(), position_ids=positions, past_key_values=cache,
                use_cache=True, logits_to_keep=1,
            )
            scores = (out.logits[:, -1] / policy.temperature).log_softmax(-1)[line]  # [live, V]
            chosen = scores.argmax(-1) if greedy else torch.multinomial(scores.exp(), 1, generator=generator)[:, 0]
            completions[live, step], log_probs[live, step] = chosen, scores[torch.arange(len(live)), chosen]
            going = chosen != tokenizer.eos_token_id
            live, line, chosen = live[going], line[going], chosen[going]
            if len(live) == 0 or step == max_new_tokens - 1:
                break
            first, merged = merge(line * scores.shape[-1] + chosen)  # a number for each (line, token)
            parent, tokens, line, cache = line[first], chosen[first, None], merged, out.past_key_values
            if not torch.equal(parent, torch.arange(len(attention))):  # else each line has one child: nothing to copy
                cache.reorder_cache(parent)
            attention = torch.cat([attention[parent], torch.ones_like(tokens, dtype=torch.bool)], -1)
            positions = positions[parent, -1:] + 1
    return completions[:, : step + 1], log_probs[:, : step + 1]


def _distinct(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Merge equal rows `[B, n]` or numbers `[B]`: where each distinct one stands first, and which of these each is."""
    distinct, which = torch.unique(rows, dim=0 if rows.dim() > 1 else None, return_inverse=True)
    first = torch.full((len(distinct),), len(rows)).scatter_reduce(0, which, torch.arange(len(rows)), "amin")
    return first, which


def _apart(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Merge nothing: every row stands for itself."""
    return torch.arange(len(rows)), torch.arange(len(rows))


def pack(prompts: Tensor, attention: Tensor, completions: Tensor, log_probs: Tensor, tokenizer) -> Trajectory:
    """Close the gap on the left: prompts `[B, P]` and completions `[B, N]` become one right-padded `Trajectory`."""
    own = response_mask(completions, tokenizer.eos_token_id)  # [B, N]
    shift = (~attention).sum(-1, keepdim=True)  # [B, 1]  how far each row moves to the left

    def move(before: Tensor, after: Tensor, fill) -> Tensor:
        row = torch.cat([before, after], -1)  # [B, P + N]
        source = torch.arange(row.shape[-1]) + shift
        return row.gather(-1, source.clamp(max=row.shape[-1] - 1)).where(source < row.shape[-1], fill)

    nothing = torch.zeros_like(attention)
    tokens = move(prompts, completions.where(own, tokenizer.pad_token_id), tokenizer.pad_token_id)
    mask = move(nothing, own, False)
    ends = move(nothing, own & (completions == tokenizer.eos_token_id), False)
    scores = move(nothing.to(log_probs.dtype), log_probs.where(own, 0.0), 0.0)
    width = int(mask.any(0).nonzero()[-1]) + 1
    mask, terminated = mask[:, 1:width], ends[:, 1:width]
    return Trajectory(
        states=tokens[:, : width - 1], actions=tokens[:, 1:width], rewards=torch.zeros_like(scores[:, 1:width]),
        log_probs=scores[:, 1:width], terminated=terminated, truncated=last_steps(mask) & ~terminated, mask=mask,
    )


def completion_texts(trajectory: Trajectory, tokenizer) -> list[str]:
    """What the policy wrote, one string per row."""
    rows = [tuple(row) for row in completion_tokens(trajectory.actions, trajectory.mask)]
    once = {row: decode(tokenizer, row) for row in set(rows)}  # groups repeat a completion
    return [once[row] for row in rows]
