"""Wrong answers to chapter 10, taken from real bugs, and right ones in another style."""

import math

import numpy as np
import torch
import torch.nn.functional as F

from tests.mutants import Mutant


# 10.1 Who listens to whom
def shares(queries, keys, hide=1, fill=-torch.inf, scale=math.sqrt, dim=-1, flip=False):
    """Attention's shares, with a switch for each usual mistake."""
    scores = queries @ keys.T / scale(queries.shape[-1])
    if flip:
        scores = scores.T
    future = torch.ones_like(scores).triu(hide).bool()
    return scores.masked_fill(future, fill).softmax(dim)


def sees_everything(queries, keys):
    return (queries @ keys.T / math.sqrt(queries.shape[-1])).softmax(-1)


def masks_afterwards(queries, keys):
    return sees_everything(queries, keys).tril()


def sees_only_the_future(queries, keys):
    scores = queries @ keys.T / math.sqrt(queries.shape[-1])
    return scores.masked_fill(torch.ones_like(scores).tril(-1).bool(), -torch.inf).softmax(-1)


def by_two_loops(queries, keys):
    T, d = queries.shape
    result = torch.zeros(T, T)
    for t in range(T):
        fits = [math.exp(float(queries[t] @ keys[s]) / d**0.5) for s in range(t + 1)]
        for s, fit in enumerate(fits):
            result[t, s] = fit / sum(fits)
    return result


def with_torchs_own(queries, keys):
    values = torch.eye(len(queries))
    return F.scaled_dot_product_attention(queries[None], keys[None], values[None], is_causal=True)[0]


def with_numpy(queries, keys):
    scores = queries.numpy() @ keys.numpy().T / np.sqrt(queries.shape[1])
    fits = np.tril(np.exp(scores - scores.max(1, keepdims=True)))
    return fits / fits.sum(1, keepdims=True)


# 10.2 How wrong was the guess?
def loss(logits, tokens, rows=slice(None, -1), targets=slice(1, None)):
    """The loss, with any shift."""
    return F.cross_entropy(logits[rows], tokens[targets])


def mean_of_probabilities(logits, tokens):
    return -logits[:-1].softmax(-1).gather(-1, tokens[1:, None]).mean().log()


def token_by_token(logits, tokens):
    surprise = [-F.log_softmax(row, dim=0)[token].item() for row, token in zip(logits, tokens[1:], strict=False)]
    return sum(surprise) / len(surprise)


# 10.3 What counts in SFT
def example(prompt, completion, eos, pad, width, prompt_counts=0, end=True, label=lambda token, eos: token):
    """The example, with a switch for each usual mistake; `label` may look at the token."""
    answer = [*completion, eos] if end else list(completion)
    padding = width - len(prompt) - len(answer)
    if padding < 0:
        raise ValueError("width is too small")
    labels = [-100] * len(prompt) + [label(token, eos) for token in answer] + [-100] * padding
    for i in range(prompt_counts):
        labels[len(prompt) - 1 - i] = prompt[-1 - i]
    return [*prompt, *answer, *[pad] * padding], labels


def like_the_collator(prompt, completion, eos, pad, width):
    ids, _ = example(prompt, completion, eos, pad, width)
    return ids, [-100 if i < len(prompt) or token == pad else token for i, token in enumerate(ids)]


def pads_count(prompt, completion, eos, pad, width):
    ids, _ = example(prompt, completion, eos, pad, width)
    return ids, [-100] * len(prompt) + ids[len(prompt):]


def eos_looks_real(prompt, completion, eos, pad, width):
    ids, _ = example(prompt, completion, eos, pad, width)
    return ids, [-100 if i < len(prompt) or (token == pad and token != eos) else token for i, token in enumerate(ids)]


def shifted_by_hand(prompt, completion, eos, pad, width):
    ids, labels = example(prompt, completion, eos, pad, width)
    return ids, [*labels[1:], -100]


def first_is_lost(prompt, completion, eos, pad, width):
    ids, labels = example(prompt, completion, eos, pad, width)
    labels[len(prompt)] = -100
    return ids, labels


def cuts(prompt, completion, eos, pad, width):
    ids = [*prompt, *completion, eos][:width]
    labels = [*[-100] * len(prompt), *completion, eos][:width]
    return ids + [pad] * (width - len(ids)), labels + [-100] * (width - len(labels))


def pads_left(prompt, completion, eos, pad, width):
    ids, labels = cuts(prompt, completion, eos, pad, len(prompt) + len(completion) + 1)
    return [pad] * (width - len(ids)) + ids, [-100] * (width - len(ids)) + labels


def never_pads(prompt, completion, eos, pad, width):
    return cuts(prompt, completion, eos, pad, len(prompt) + len(completion) + 1)


def as_tensors(prompt, completion, eos, pad, width):
    text = torch.tensor([*prompt, *completion, eos])
    if len(text) > width:
        raise ValueError(f"the example has {len(text)} tokens, width is {width}")
    ids, labels = torch.full((width,), pad), torch.full((width,), -100)
    ids[: len(text)] = text
    labels[len(prompt) : len(text)] = text[len(prompt) :]
    return ids, labels


def by_place(prompt, completion, eos, pad, width):
    text = [*prompt, *completion, eos]
    if len(text) > width:
        raise ValueError("width")
    ids = [text[i] if i < len(text) else pad for i in range(width)]
    return ids, [ids[i] if len(prompt) <= i < len(text) else -100 for i in range(width)]


# 10.4 Sampling with temperature
def draw(logits, temperature, generator, probs=None, scored=None):
    """Draw from `probs`, and score with `scored`; by default both are right."""
    right = (logits / temperature).log_softmax(-1)
    tokens = torch.multinomial(right.exp() if probs is None else probs, 1, generator=generator)
    return tokens[:, 0], (right if scored is None else scored).gather(-1, tokens)[:, 0]


def divides_probabilities(logits, temperature, generator):
    probs = logits.softmax(-1) / temperature
    tokens = torch.multinomial(probs, 1, generator=generator)
    return tokens[:, 0], probs.log().gather(-1, tokens)[:, 0]


def greedy(logits, temperature, generator):
    log_probs = (logits / temperature).log_softmax(-1)
    best = log_probs.max(-1)
    return best.indices, best.values


def one_draw_for_all(logits, temperature, generator):
    tokens, _ = draw(logits[:1], temperature, generator)
    tokens = tokens.expand(len(logits))
    return tokens, (logits / temperature).log_softmax(-1).gather(-1, tokens[:, None])[:, 0]


def overflows(logits, temperature, generator):
    fits = (logits / temperature).exp()
    return draw(logits, temperature, generator, probs=fits / fits.sum(-1, keepdim=True))


def reads_row_0(logits, temperature, generator):
    tokens, _ = draw(logits, temperature, generator)
    return tokens, (logits / temperature).log_softmax(-1)[0, tokens]


def in_place(logits, temperature, generator):
    logits /= temperature
    return draw(logits, 1.0, generator)


def with_a_distribution(logits, temperature, generator):
    distribution = torch.distributions.Categorical(logits=logits / temperature)
    tokens = torch.multinomial(distribution.probs, 1, generator=generator).squeeze(-1)
    return tokens, distribution.log_prob(tokens)


def gumbel(logits, temperature, generator):
    noise = -torch.empty_like(logits).exponential_(generator=generator).log()
    tokens = (logits / temperature + noise).argmax(-1)
    return tokens, F.log_softmax(logits / temperature, dim=-1)[torch.arange(len(tokens)), tokens]


# 10.5 Padding on the left
def padded(texts, pad, places=lambda mask: (mask.cumsum(-1) - 1).clamp(min=0), mask_of=None):
    """The rectangle, with other places or another mask."""
    width = max(map(len, texts))
    tokens = torch.tensor([[pad] * (width - len(text)) + list(text) for text in texts])
    mask = torch.tensor([[0] * (width - len(text)) + [1] * len(text) for text in texts])
    if mask_of is not None:
        mask = mask_of(tokens, mask)
    return tokens, mask, places(mask)


def pads_right(texts, pad):
    width = max(map(len, texts))
    tokens = torch.tensor([list(text) + [pad] * (width - len(text)) for text in texts])
    mask = torch.tensor([[1] * len(text) + [0] * (width - len(text)) for text in texts])
    return tokens, mask, (mask.cumsum(-1) - 1).clamp(min=0)


def from_the_left_edge(mask):
    return torch.arange(mask.shape[1]).expand_as(mask)


def cuts_texts(texts, pad):
    width = min(map(len, texts))
    return padded([text[-width:] for text in texts], pad)


def row_by_row(texts, pad):
    width = max(len(text) for text in texts)
    tokens, mask = torch.full((len(texts), width), pad), torch.zeros(len(texts), width, dtype=torch.bool)
    places = torch.ones(len(texts), width, dtype=torch.long)  # Transformers' own choice for padding
    for i, text in enumerate(texts):
        tokens[i, width - len(text) :] = torch.tensor(text)
        mask[i, width - len(text) :] = True
        places[i, width - len(text) :] = torch.arange(len(text))
    return tokens, mask, places


def with_arrays(texts, pad):
    return tuple(part.numpy() for part in padded(texts, pad))


MUTANTS = {
    "10.1": [
        Mutant("sees-the-future", sees_everything),
        Mutant("only-the-future", sees_only_the_future),
        Mutant("blind-to-itself", lambda q, k: shares(q, k, hide=0)),
        Mutant("masked-after-softmax", masks_afterwards),
        Mutant("zero-is-not-hidden", lambda q, k: shares(q, k, fill=0.0)),
        Mutant("no-scaling", lambda q, k: shares(q, k, scale=lambda d: 1.0)),
        Mutant("divided-by-d", lambda q, k: shares(q, k, scale=float)),
        Mutant("softmax-over-the-queries", lambda q, k: shares(q, k, dim=0)),
        Mutant("transposed", lambda q, k: shares(q, k, flip=True)),
        Mutant("transposed", lambda q, k: shares(q, k).T),
    ],
    "10.2": [
        Mutant("not-shifted", lambda z, x: loss(z, x, slice(None), slice(None))),
        Mutant("not-shifted", lambda z, x: loss(z, x, slice(None, -1), slice(None, -1))),
        Mutant("shifted-the-wrong-way", lambda z, x: loss(z, x, slice(1, None), slice(None, -1))),
        Mutant("shifted-twice", lambda z, x: loss(z, x, slice(None, -2), slice(2, None))),
        Mutant("sum-not-mean", lambda z, x: F.cross_entropy(z[:-1], x[1:], reduction="sum")),
        Mutant("divided-by-all", lambda z, x: F.cross_entropy(z[:-1], x[1:], reduction="sum") / len(x)),
        Mutant("sign", lambda z, x: -loss(z, x)),
        Mutant("in-bits", lambda z, x: loss(z, x) / math.log(2)),
        Mutant("not-normalised", lambda z, x: -z[:-1].gather(-1, x[1:, None]).mean()),
        Mutant("softmax-twice", lambda z, x: loss(z.softmax(-1), x)),
        Mutant("log-of-the-mean", mean_of_probabilities),
    ],
    "10.3": [
        Mutant("prompt-counted", lambda *a, **k: example(*a, **k, prompt_counts=2)),
        Mutant("one-of-the-prompt", lambda *a, **k: example(*a, **k, prompt_counts=1)),
        Mutant("eos-missing", lambda *a, **k: example(*a, **k, end=False)),
        Mutant("eos-masked", lambda *a, **k: example(
            *a, **k, label=lambda token, eos: -100 if token == eos else token)),
        Mutant("eos-masked", like_the_collator),
        Mutant("padding-counted", pads_count),
        Mutant("padding-counted", eos_looks_real),
        Mutant("shifted-by-hand", shifted_by_hand),
        Mutant("first-token-lost", first_is_lost),
        Mutant("padded-left", pads_left),
        Mutant("not-padded", never_pads),
        Mutant("no-error", cuts),
    ],
    "10.4": [
        Mutant("temperature-without-effect", divides_probabilities),
        Mutant("temperature-without-effect", lambda z, T, dice: draw(z, 1.0, dice)),
        Mutant("multiplied", lambda z, T, dice: draw(z, 1 / T, dice)),
        Mutant("not-drawn", greedy),
        Mutant("not-drawn", one_draw_for_all),
        Mutant("log-probs-at-T-1", lambda z, T, dice: draw(z, T, dice, scored=z.log_softmax(-1))),
        Mutant("probabilities", lambda z, T, dice: draw(z, T, dice, scored=(z / T).softmax(-1))),
        Mutant("not-normalised", lambda z, T, dice: draw(z, T, dice, scored=z / T)),
        Mutant("generator-ignored", lambda z, T, dice: draw(z, T, None)),
        Mutant("tokens-only", lambda z, T, dice: draw(z, T, dice)[0]),
        Mutant("wrong-shape", lambda z, T, dice: tuple(part[:, None] for part in draw(z, T, dice))),
        Mutant("overflow", overflows),
        Mutant("first-row-for-all", reads_row_0),
        Mutant("changed-arguments", in_place),
    ],
    "10.5": [
        Mutant("padded-right", pads_right),
        Mutant("places-count-padding", lambda texts, pad: padded(texts, pad, places=from_the_left_edge)),
        Mutant("places-from-one", lambda texts, pad: padded(texts, pad, places=lambda mask: mask.cumsum(-1))),
        Mutant("negative-place", lambda texts, pad: padded(texts, pad, places=lambda mask: mask.cumsum(-1) - 1)),
        Mutant("mask-inverted", lambda texts, pad: padded(texts, pad, mask_of=lambda tokens, mask: 1 - mask)),
        Mutant("mask-from-the-token",
               lambda texts, pad: padded(texts, pad, mask_of=lambda tokens, mask: (tokens != pad).long())),
        Mutant("cut-to-the-shortest", cuts_texts),
        Mutant("place-beyond-the-text", lambda texts, pad: padded(
            texts, pad, places=lambda mask: (mask.cumsum(-1) - 1).where(mask == 1, torch.tensor(10**6)))),
    ],
}
ALTERNATIVES = {
    "10.1": [by_two_loops, with_torchs_own, with_numpy],
    "10.2": [loss, token_by_token],
    "10.3": [as_tensors, by_place],
    "10.4": [draw, with_a_distribution, gumbel],
    "10.5": [row_by_row, with_arrays],
}
