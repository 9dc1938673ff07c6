"""Wrong answers to chapter 17, taken from real bugs, and right ones in another style."""

import math
from math import comb

import torch

from rlcore.losses import length_mean, sequence_mean, sequence_means, token_mean
from rlcore.returns import group_advantages
from tests.mutants import Mutant


# 17.1 Three ways to add up
def own(losses, mask):
    return losses.masked_fill(~mask, 0.0)


def three(sequence=None, token=None, constant=None, sums=own):
    """The right answer, with one of its three parts or its sums replaced."""

    def answer(losses, mask, length):
        x = sums(losses, mask)
        return (sequence or (lambda x, m, n: (x.sum(-1) / m.sum(-1)).mean()))(x, mask, length), \
            (token or (lambda x, m, n: x.sum() / m.sum()))(x, mask, length), \
            (constant or (lambda x, m, n: x.sum() / (len(m) * n)))(x, mask, length)

    return answer


def with_the_house(losses, mask, length):
    return [reduce(losses, mask, mask) for reduce in (sequence_mean, token_mean, length_mean(length))]


def answer_by_answer(losses, mask, length):
    rows = [row[here].tolist() for row, here in zip(losses, mask, strict=True)]
    total = sum(map(sum, rows))
    return (sum(sum(row) / len(row) for row in rows) / len(rows), total / sum(map(len, rows)),
            total / len(rows) / length)


# 17.2 Who is worth learning from?
def dead_if(is_dead, first_only=False):
    def answer(rewards, wanted):
        alive = ~is_dead(rewards)
        if first_only:
            alive = alive & (torch.arange(len(alive)) < wanted)
        return alive.nonzero()[:wanted, 0]

    return answer


def equal(rewards):
    return (rewards == rewards[:, :1]).all(-1)


def filled_up(rewards, wanted):
    dead = equal(rewards)
    return torch.cat([(~dead).nonzero()[:, 0], dead.nonzero()[:, 0]])[:wanted]


def group_by_group(rewards, wanted):
    found = []
    for i, row in enumerate(rewards.tolist()):
        if len(found) < wanted and min(row) != max(row):
            found.append(i)
    return torch.tensor(found, dtype=torch.long)


# 17.3 One ratio for a whole answer
def log_ratios(new, old, mask):
    return (new - old).masked_fill(~mask, 0.0)


def by_product(new, old, mask):
    ratios = torch.where(mask, (new - old).exp(), 1.0)
    return ratios.prod(-1) ** (1 / mask.sum(-1))


def with_house_means(new, old, mask):
    first = mask.float().argmax(-1)
    means = sequence_means(new, mask) - sequence_means(old, mask)
    return means[torch.arange(len(mask)), first].exp()


def row_by_row(new, old, mask):
    return torch.stack([(n[m] - o[m]).mean().exp() for n, o, m in zip(new, old, mask, strict=True)])


# 17.4 Too long, gently
def judged(worth, count=lambda text: len(text.split()) + 1):
    def answer(prompts, completions, limit=28, cache=8, **_):
        return [worth(count(text), limit, cache) for text in completions]

    return answer


def soft(n, limit, cache):
    return max(-1.0, min(0.0, (limit - cache - n) / cache))


def one_for_all(prompts, completions, limit=28, cache=8, **_):
    return soft(max(len(text.split()) + 1 for text in completions), limit, cache)


def three_cases(n, limit, cache):
    if n <= limit - cache:
        return 0.0
    return ((limit - cache) - n) / cache if n <= limit else -1.0


# 17.5 How hard a question pulls
def pulled(term):
    def answer(p, group_size, normalize):
        if group_size < 2:
            raise ValueError(f"group_size must be at least 2, but is {group_size}")
        size = group_size
        chances = {k: comb(size, k) * p**k * (1 - p) ** (size - k) for k in range(1, size)}
        return sum(chance * term(k / size, size, normalize) for k, chance in chances.items()) / (p * (1 - p))

    return answer


def spread(m, size, ddof=1):
    return math.sqrt(m * (1 - m) * size / (size - ddof))


def push(m, size, normalize, ddof=1):
    return m * (1 - m) / (spread(m, size, ddof) if normalize else 1)


def unguarded(p, group_size, normalize):
    total = 0.0
    for k in range(1, group_size):
        total += comb(group_size, k) * p**k * (1 - p) ** (group_size - k) * push(k / group_size, group_size, normalize)
    return total / (p * (1 - p))


def uncounted(p, group_size, normalize):
    if group_size < 2:
        raise ValueError("a group needs two")
    return sum(p**k * (1 - p) ** (group_size - k) * push(k / group_size, group_size, normalize)
               for k in range(1, group_size)) / (p * (1 - p))


def against_p(p, group_size, normalize):
    sigma = math.sqrt(p * (1 - p)) if normalize else 1
    return pulled(lambda m, size, _: m * (1 - p) / sigma)(p, group_size, normalize)


def group_after_group(p, group_size, normalize):
    """Every possible group, written out."""
    if group_size < 2:
        raise ValueError("a group of one has no others")
    groups = torch.tensor([[float(i >> j & 1) for j in range(group_size)] for i in range(2**group_size)]).double()
    chance = (groups * p + (1 - groups) * (1 - p)).prod(-1)
    advantages = group_advantages(groups, normalize, eps=0.0)
    return (chance * (advantages * groups).mean(-1)).sum() / (p * (1 - p))


def as_in_the_lesson(p, group_size, normalize):
    """With the library's advantages, whose standard deviation has an eps."""
    total = 0.0
    for k in range(group_size + 1):
        R = torch.tensor([1.0] * k + [0.0] * (group_size - k))
        A = group_advantages(R, normalize)
        total += comb(group_size, k) * p**k * (1 - p) ** (group_size - k) * (A * R).mean().item()
    return total / (p * (1 - p))


MUTANTS = {
    "17.1": [
        Mutant("padding-counted", three(sums=lambda losses, mask: losses)),
        Mutant("padding-counted", lambda losses, mask, n: (losses.mean(-1).mean(), losses.mean(), losses.mean())),
        Mutant("padding-in-the-length", three(sequence=lambda x, m, n: x.mean(-1).mean())),
        Mutant("padding-in-the-length", three(token=lambda x, m, n: x.mean())),
        Mutant("mean-of-means", three(token=lambda x, m, n: (x.sum(-1) / m.sum(-1)).mean())),
        Mutant("one-mean-for-all", three(sequence=lambda x, m, n: x.sum() / m.sum())),
        Mutant("sum-of-means", three(sequence=lambda x, m, n: (x.sum(-1) / m.sum(-1)).sum())),
        Mutant("longest-in-the-batch", three(constant=lambda x, m, n: x.sum() / (len(m) * m.sum(-1).max()))),
        Mutant("width-for-the-constant", three(constant=lambda x, m, n: x.sum() / m.numel())),
        Mutant("answers-forgotten", three(constant=lambda x, m, n: x.sum() / n)),
        Mutant("tokens-by-the-constant", three(constant=lambda x, m, n: x.sum() / (m.sum() * n))),
        Mutant("mask-multiplied", three(sums=lambda losses, mask: losses * mask)),
    ],
    "17.2": [
        Mutant("keeps-all-right", dead_if(lambda r: (r == 0).all(-1))),
        Mutant("keeps-the-dead", dead_if(lambda r: ~equal(r))),
        Mutant("rewards-of-one-kind", dead_if(lambda r: (r.mean(-1) == 0) | (r.mean(-1) == 1))),
        Mutant("rewards-of-one-kind", lambda r, n: ((r.mean(-1) > 0) & (r.mean(-1) < 1)).nonzero()[:n, 0]),
        Mutant("batch-not-filled-up", dead_if(equal, first_only=True)),
        Mutant("too-many", lambda r, n: (~equal(r)).nonzero()[:, 0]),
        Mutant("mask-not-numbers", lambda r, n: ~equal(r)),
        Mutant("flat-answers", lambda r, n: (~equal(r)).nonzero()[:n]),
        Mutant("filled-with-dead", filled_up),
        Mutant("rounded-mean", dead_if(lambda r: r.mean(-1) == r[:, 0])),
        Mutant("rounded-mean", dead_if(lambda r: r.std(-1) == 0)),
        Mutant("small-differences", dead_if(lambda r: r.std(-1) < 0.4)),
        Mutant("small-differences", dead_if(lambda r: equal(r.int()))),
    ],
    "17.3": [
        Mutant("not-divided", lambda new, old, mask: log_ratios(new, old, mask).sum(-1).exp()),
        Mutant("mean-of-ratios", lambda new, old, mask: (new - old).exp().masked_fill(~mask, 0.0).sum(-1)
               / mask.sum(-1)),
        Mutant("padding-in-the-length", lambda new, old, mask: log_ratios(new, old, mask).mean(-1).exp()),
        Mutant("padding-counted", lambda new, old, mask: (new - old).mean(-1).exp()),
        Mutant("padding-summed", lambda new, old, mask: ((new - old).sum(-1) / mask.sum(-1)).exp()),
        Mutant("exp-forgotten", lambda new, old, mask: log_ratios(new, old, mask).sum(-1) / mask.sum(-1)),
        Mutant("upside-down", lambda new, old, mask: (-log_ratios(new, old, mask).sum(-1) / mask.sum(-1)).exp()),
        Mutant("over-the-batch", lambda new, old, mask: (new - old)[mask].mean().exp()),
        Mutant("per-token", lambda new, old, mask: log_ratios(new, old, mask).exp()),
        Mutant("mask-multiplied", lambda new, old, mask: (((new - old) * mask).sum(-1) / mask.sum(-1)).exp()),
        Mutant("overflow", by_product),
        Mutant("detached", lambda new, old, mask: row_by_row(new, old, mask).detach()),
        Mutant("detached", lambda new, old, mask: torch.tensor(row_by_row(new, old, mask).tolist())),
    ],
    "17.4": [
        Mutant("eos-forgotten", judged(soft, lambda text: len(text.split()))),
        Mutant("reward-for-length", judged(lambda n, limit, cache: -soft(n, limit, cache))),
        Mutant("paid-for-being-short", judged(lambda n, limit, cache: max(-1.0, (limit - cache - n) / cache))),
        Mutant("no-floor", judged(lambda n, limit, cache: min(0.0, (limit - cache - n) / cache))),
        Mutant("starts-at-the-limit", judged(lambda n, limit, cache: max(-1.0, min(0.0, (limit - n) / cache)))),
        Mutant("hard", judged(lambda n, limit, cache: -1.0 if n > limit else 0.0)),
        Mutant("hard-early", judged(lambda n, limit, cache: -1.0 if n > limit - cache else 0.0)),
        Mutant("divided-by-limit", judged(lambda n, limit, cache: -1.0 if n > limit
                                          else min(0.0, (limit - cache - n) / limit))),
        Mutant("nothing-beyond", judged(lambda n, limit, cache: soft(n, limit, cache) if n <= limit else 0.0)),
        Mutant("characters-counted", judged(soft, len)),
        Mutant("characters-counted", judged(soft, lambda text: len(text) + 1)),
        Mutant("wrong-shape", one_for_all),
        Mutant("spaces-counted", judged(soft, lambda text: len(text.split(" ")) + 1)),
        Mutant("spaces-counted", judged(soft, lambda text: text.count(" ") + 2)),
    ],
    "17.5": [
        Mutant("population-std", pulled(lambda m, size, norm: push(m, size, norm, ddof=0))),
        Mutant("variance-for-std", pulled(lambda m, size, norm: m * (1 - m) / (spread(m, size) ** 2 if norm else 1))),
        Mutant("always-normalized", pulled(lambda m, size, norm: push(m, size, True))),
        Mutant("never-normalized", pulled(lambda m, size, norm: push(m, size, False))),
        Mutant("ways-not-counted", uncounted),
        Mutant("not-divided", lambda p, size, norm: pulled(push)(p, size, norm) * p * (1 - p)),
        Mutant("sign-flipped", pulled(lambda m, size, norm: -push(m, size, norm))),
        Mutant("own-mean-forgotten", pulled(lambda m, size, norm: m / (spread(m, size) if norm else 1))),
        Mutant("leave-one-out", pulled(lambda m, size, norm: push(m, size, norm) * size / (size - 1))),
        Mutant("wrong-ones-counted", pulled(lambda m, size, norm: 2 * push(m, size, norm))),
        Mutant("p-for-the-mean", against_p),
        Mutant("no-error", unguarded),
    ],
}  # fmt: skip
ALTERNATIVES = {
    "17.1": [with_the_house, answer_by_answer],
    "17.2": [group_by_group, lambda r, n: (r.max(-1).values > r.min(-1).values).nonzero()[:n, 0]],
    "17.3": [with_house_means, row_by_row],
    "17.4": [judged(three_cases), lambda prompts, completions, limit, cache, **_: torch.tensor(
        [-(len(text.split()) + 1 - limit + cache) / cache for text in completions]).clamp(-1, 0)],
    "17.5": [group_after_group, as_in_the_lesson],
}  # fmt: skip
