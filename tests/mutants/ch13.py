"""Wrong answers to chapter 13, taken from real bugs, and right ones in another style."""

import math
from itertools import combinations

import numpy as np
import torch
import torch.nn.functional as F

from tests.mutants import Mutant


# 13.1 Bradley and Terry
def bradley_terry(loss=lambda d: -F.logsigmoid(d).mean(), difference=lambda w, r: w - r):
    """The right answer, with its difference or its loss replaced."""

    def answer(chosen, rejected):
        d = difference(chosen, rejected)
        return torch.sigmoid(d), loss(d)

    return answer


def ratio(chosen, rejected):
    p = chosen / (chosen + rejected)
    return p, -p.log().mean()


def across_pairs(chosen, rejected):
    p = (chosen - rejected).softmax(0)
    return p, -p.log().mean()


def as_a_classifier(chosen, rejected):
    logits = torch.stack([chosen, rejected], -1)  # [B, 2]: the right class is 0
    return logits.softmax(-1)[:, 0], F.cross_entropy(logits, torch.zeros(len(chosen), dtype=torch.long))


def with_softplus_in_numpy(chosen, rejected):
    d = chosen.double().numpy() - rejected.double().numpy()
    return 1 / (1 + np.exp(-d)), np.logaddexp(0.0, -d).mean()


# 13.2 The reward at the last real token
def at(place):
    """Read at the place that a rule names."""
    return lambda values, tokens, real: values[torch.arange(len(values)), place(tokens, real)]


def right_place(tokens, real):
    return torch.where(real, torch.arange(real.shape[1]), -1).max(-1).values


def mean_of_the_values(values, tokens, real):
    return torch.where(real, values, 0.0).sum(-1) / real.sum(-1)


def multiplied_mask(values, tokens, real):
    here = F.one_hot(right_place(tokens, real), real.shape[1])
    return (values * here).sum(-1)


def flipped(values, tokens, real):
    back = real.flip(-1).int().argmax(-1)  # from the right, the first real one
    return values.flip(-1).gather(-1, back[:, None]).squeeze(-1)


def row_by_row(values, tokens, real):
    return [row[mask][-1].item() for row, mask in zip(values, real, strict=True)]


# 13.3 How accurate
def accuracy(hits=lambda d: (d.sign() + 1) / 2, error=lambda h: h.std() / len(h) ** 0.5):
    """The right answer, with one part replaced."""

    def answer(chosen, rejected):
        h = hits(chosen - rejected)
        return h.mean(), error(h)

    return answer


def counts(chosen, rejected):
    hits = ((chosen - rejected).sign() + 1) / 2
    return hits.sum(), hits.std() / len(hits) ** 0.5


def with_numpy(chosen, rejected):
    a, b = chosen.numpy(), rejected.numpy()
    hits = np.where(a > b, 1.0, np.where(a < b, 0.0, 0.5))
    return hits.mean(), hits.std(ddof=1) / np.sqrt(len(hits))


def with_lists(chosen, rejected):
    hits = [1.0 if a > b else 0.5 if a == b else 0.0 for a, b in zip(chosen.tolist(), rejected.tolist(), strict=True)]
    mean = sum(hits) / len(hits)
    variance = sum((hit - mean) ** 2 for hit in hits) / (len(hits) - 1)
    return [mean, math.sqrt(variance / len(hits))]


# 13.4 Catch the bias
def filler_test(longer=lambda reply, filler: reply.removesuffix(" .") + f" , {filler} .",
                change=lambda after, before: after - before, mean=lambda c, n: c.mean(),
                error=lambda c, after, before: c.std() / len(c) ** 0.5):
    """The right answer, with one part replaced."""

    def answer(reward, prompts, replies, filler):
        after = torch.tensor(reward(prompts, [longer(reply, filler) for reply in replies]))
        before = torch.tensor(reward(prompts, replies))
        c = change(after, before)
        return mean(c, len(filler.split()) + 1), error(c, after, before)

    return answer


def one_by_one(reward, prompts, replies, filler):
    changes = []
    for prompt, reply in zip(prompts, replies, strict=True):
        words = reply.split()
        with_it = " ".join([*words[:-1], ",", *filler.split(), "."])
        changes.append(reward(prompts=[prompt], completions=[with_it])[0]
                       - reward(prompts=[prompt], completions=[reply])[0])
    return np.mean(changes), np.std(changes, ddof=1) / np.sqrt(len(changes))


# 13.5 What is the chosen one worth?
def checked(fn):
    """With the error that is asked for."""

    def answer(proxy, gold, k):
        if not 1 <= k <= len(proxy):
            raise ValueError(f"k must lie in 1..{len(proxy)}, but is {k}")
        return fn(proxy, gold, k)

    return answer


def weighted(weight, order=lambda proxy: proxy.argsort(), what=lambda proxy, gold: gold):
    """The weighted sum over the replies from the worst on; `weight(i, k, N)` with i from 0."""

    @checked
    def answer(proxy, gold, k):
        N = len(proxy)
        weights = torch.tensor([weight(i, k, N) for i in range(N)])
        return (what(proxy, gold)[order(proxy)] * weights).sum()

    return answer


def share(i, k, N):
    return math.comb(i, k - 1) / math.comb(N, k)


@checked
def every_draw(proxy, gold, k):
    draws = combinations(range(len(proxy)), k)
    chosen = [gold[max(draw, key=lambda i: proxy[i].item())].item() for draw in draws]
    return sum(chosen) / len(chosen)


@checked
def first_k(proxy, gold, k):
    return gold[proxy[:k].argmax()]


@checked
def chunks(proxy, gold, k):
    groups = [slice(i, i + k) for i in range(0, len(proxy) - k + 1, k)]
    return torch.stack([gold[group][proxy[group].argmax()] for group in groups]).mean()


@checked
def gold_by_itself(proxy, gold, k):
    return weighted(share)(gold, gold, k)


@checked
def with_numpy_sort(proxy, gold, k):
    order = np.argsort(proxy.numpy())
    N = len(order)
    return float(sum(share(i, k, N) * gold.numpy()[place] for i, place in enumerate(order)))


MUTANTS = {
    "13.1": [
        Mutant("sign", bradley_terry(difference=lambda w, r: r - w)),
        Mutant("sum-not-difference", bradley_terry(difference=lambda w, r: w + r)),
        Mutant("ratio", ratio),
        Mutant("one-reward-only", bradley_terry(difference=lambda w, r: w)),
        Mutant("across-pairs", across_pairs),
        Mutant("loss-sign", bradley_terry(loss=lambda d: F.logsigmoid(d).mean())),
        Mutant("no-log", bradley_terry(loss=lambda d: -torch.sigmoid(d).mean())),
        Mutant("no-log-either", bradley_terry(loss=lambda d: (1 - torch.sigmoid(d)).mean())),
        Mutant("log-of-the-mean", bradley_terry(loss=lambda d: -torch.sigmoid(d).mean().log())),
        Mutant("sum-not-mean", bradley_terry(loss=lambda d: -F.logsigmoid(d).sum())),
        Mutant("in-bits", bradley_terry(loss=lambda d: -F.logsigmoid(d).mean() / math.log(2))),
        Mutant("overflow", bradley_terry(loss=lambda d: -torch.sigmoid(d).log().mean())),
        Mutant("overflow", bradley_terry(loss=lambda d: (1 + torch.exp(-d)).log().mean())),
        Mutant("clamped", bradley_terry(loss=lambda d: -torch.sigmoid(d).clamp(min=1e-8).log().mean())),
    ],
    "13.2": [
        Mutant("last-column", lambda values, tokens, real: values[:, -1]),
        Mutant("first-eos", at(lambda tokens, real: (tokens == 1).int().argmax(-1))),
        Mutant("before-the-first-pad", at(lambda tokens, real: (tokens == 1).int().argmax(-1) - 1)),
        Mutant("looks-like-padding", at(lambda tokens, real: (torch.arange(7) * (tokens != 1)).argmax(-1))),
        Mutant("only-right-padding", at(lambda tokens, real: real.sum(-1) - 1)),
        Mutant("off-by-one", at(lambda tokens, real: right_place(tokens, real) - 1)),
        Mutant("off-by-one-counted", at(lambda tokens, real: real.sum(-1) - 2)),
        Mutant("first-token", at(lambda tokens, real: real.int().argmax(-1))),
        Mutant("mean", mean_of_the_values),
        Mutant("nan", multiplied_mask),
        Mutant("highest", lambda values, tokens, real: values.masked_fill(~real, -torch.inf).max(-1).values),
        Mutant("wrong-shape", lambda values, tokens, real: values.gather(-1, right_place(tokens, real)[:, None])),
    ],
    "13.3": [
        Mutant("tie-is-a-miss", accuracy(hits=lambda d: (d > 0).float())),
        Mutant("tie-is-a-hit", accuracy(hits=lambda d: (d >= 0).float())),
        Mutant("ties-left-out", accuracy(hits=lambda d: (d[d != 0] > 0).float())),
        Mutant("sign", accuracy(hits=lambda d: (1 - d.sign()) / 2)),
        Mutant("not-a-share", counts),
        Mutant("spread-not-error", accuracy(error=lambda h: h.std())),
        Mutant("divided-by-n", accuracy(error=lambda h: h.std() / len(h))),
        Mutant("variance", accuracy(error=lambda h: h.var() / len(h))),
        Mutant("population", accuracy(error=lambda h: h.std(correction=0) / len(h) ** 0.5)),
        Mutant("binomial", accuracy(error=lambda h: (h.mean() * (1 - h.mean()) / len(h)) ** 0.5)),
    ],
    "13.4": [
        Mutant("sign", filler_test(change=lambda after, before: before - after)),
        Mutant("behind-the-point", filler_test(longer=lambda reply, filler: f"{reply} , {filler}")),
        Mutant("second-point", filler_test(longer=lambda reply, filler: f"{reply} , {filler} .")),
        Mutant("no-comma", filler_test(longer=lambda reply, filler: reply[:-2] + f" {filler} .")),
        Mutant("per-word", filler_test(mean=lambda c, words: c.mean() / words)),
        Mutant("not-compared", filler_test(change=lambda after, before: after)),
        Mutant("unpaired", filler_test(error=lambda c, a, b: ((a.var() + b.var()) / len(a)) ** 0.5)),
        Mutant("spread-not-error", filler_test(error=lambda c, a, b: c.std())),
        Mutant("divided-by-n", filler_test(error=lambda c, a, b: c.std() / len(c))),
        Mutant("population", filler_test(error=lambda c, a, b: c.std(correction=0) / len(c) ** 0.5)),
        Mutant("absolute", filler_test(change=lambda after, before: (after - before).abs())),
        Mutant("filler-ignored", filler_test(longer=lambda reply, filler: reply[:-2] + " , as everyone can see .")),
    ],
    "13.5": [
        Mutant("gold-sorted", gold_by_itself),
        Mutant("proxy-of-the-chosen", weighted(share, what=lambda proxy, gold: proxy)),
        Mutant("with-replacement", weighted(lambda i, k, N: ((i + 1) ** k - i**k) / N**k)),
        Mutant("worst-of-k", weighted(share, order=lambda proxy: proxy.argsort(descending=True))),
        Mutant("shifted", weighted(lambda i, k, N: math.comb(i, k) / math.comb(N, k))),
        Mutant("shifted-up", weighted(lambda i, k, N: math.comb(i + 1, k) / math.comb(N, k))),
        Mutant("best-of-all", checked(lambda proxy, gold, k: gold[proxy.argmax()])),
        Mutant("mean-of-all", checked(lambda proxy, gold, k: gold.mean())),
        Mutant("first-k", first_k),
        Mutant("chunks", chunks),
        Mutant("not-normalised", weighted(lambda i, k, N: float(math.comb(i, k - 1)))),
        Mutant("no-error", lambda proxy, gold, k: weighted(share)(proxy, gold, min(max(k, 1), len(proxy)))),
    ],
}
ALTERNATIVES = {
    "13.1": [as_a_classifier, with_softplus_in_numpy],
    "13.2": [flipped, row_by_row],
    "13.3": [with_numpy, with_lists],
    "13.4": [one_by_one],
    "13.5": [every_draw, with_numpy_sort],
}
