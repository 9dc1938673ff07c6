"""Wrong answers to chapter 15, taken from real bugs, and right ones in another style."""

import math

import numpy as np
import torch
import torch.nn.functional as F

from tests.mutants import Mutant


# 15.1 The best policy under a price
def naive(ref, rewards, beta):
    tilted = ref * (rewards / beta).exp()
    return tilted / tilted.sum()


def weighted(ref, rewards, beta):
    return ref * rewards / (ref * rewards).sum()


def greedy(ref, rewards, beta):
    return F.one_hot(rewards.argmax(), len(rewards)).float()


def shifted_by_the_largest(ref, rewards, beta):
    tilted = ref * ((rewards - rewards.max()) / beta).exp()
    return tilted / tilted.sum()


def shifted_by_hand(ref, rewards, beta):
    top = rewards[ref > 0].max()
    tilted = ref * ((rewards - top) / beta).clamp(max=0).exp()
    return tilted / tilted.sum()


def in_numpy(ref, rewards, beta):
    x, old = rewards.double().numpy() / beta, ref.double().numpy()
    tilted = np.where(old > 0, old * np.exp(np.minimum(x - x[old > 0].max(), 0)), 0)
    return tilted / tilted.sum()


def climbing(ref, rewards, beta):
    """Mirror ascent on J: it is there after a few steps, whatever the reference."""
    log_ref, log_pi = ref.double().log(), ref.double().log()
    for _ in range(60):
        log_pi = torch.where(ref > 0, 0.5 * log_pi + 0.5 * (log_ref + rewards.double() / beta), -torch.inf)
        log_pi = log_pi.log_softmax(-1)
    return log_pi.exp()


# 15.2 The implicit reward
def implicit(mask=lambda m: m, ratio=lambda p, q: p - q, end=lambda x, m: x.sum(-1), scale=lambda x, beta: beta * x):
    """The right answer, with one part replaced."""

    def answer(log_probs, ref_log_probs, m, beta):
        counted = mask(m)
        return scale(end(torch.where(counted, ratio(log_probs, ref_log_probs), 0.0), counted), beta)

    return answer


def from_the_first(m):
    """The request in, the padding out."""
    return m | (m.int().cumsum(-1) == 0)


def to_the_end(m):
    """The padding in, the request out."""
    return m.int().cumsum(-1) > 0


def without_last(m):
    later = m.flip(-1).int().cumsum(-1).flip(-1)
    return m & (later > 1)


def multiplied(log_probs, ref_log_probs, m, beta):
    return beta * ((log_probs - ref_log_probs) * m).sum(-1)


def filled(log_probs, ref_log_probs, m, beta):
    return beta * (log_probs.masked_fill(~m, 0.0).sum(-1) - ref_log_probs.masked_fill(~m, 0.0).sum(-1))


def row_by_row(log_probs, ref_log_probs, m, beta):
    return [beta * float((p[own] - q[own]).sum()) for p, q, own in zip(log_probs, ref_log_probs, m, strict=True)]


# 15.3 DPO's loss
def dpo(margin=lambda c, r, rc, rr: (c - rc.detach()) - (r - rr.detach()), loss=lambda m, beta: -F.logsigmoid(beta * m),
        end=lambda x: x.mean(), checked=True):
    """The right answer, with one part replaced."""

    def answer(chosen, rejected, ref_chosen, ref_rejected, beta):
        if checked and beta <= 0:
            raise ValueError(f"beta must be above 0, but is {beta}")
        return end(loss(margin(chosen, rejected, ref_chosen, ref_rejected), beta))

    return answer


def as_a_classifier(chosen, rejected, ref_chosen, ref_rejected, beta):
    if not beta > 0:
        raise ValueError(f"beta: {beta}")
    logits = beta * torch.stack([chosen - ref_chosen.detach(), rejected - ref_rejected.detach()], -1)
    return F.cross_entropy(logits, torch.zeros(len(chosen), dtype=torch.long))


def with_softplus(chosen, rejected, ref_chosen, ref_rejected, beta):
    if not beta > 0:
        raise ValueError("beta must be above 0")
    with torch.no_grad():
        start = ref_chosen - ref_rejected
    return F.softplus(-beta * (chosen - rejected - start)).sum() / len(chosen)


# 15.4 How hard a pair pulls
def lead(c, r, rc, rr):
    return (c - rc) - (r - rr)


def advantages(pull, other=lambda p: -p, margin=lead):
    """The right answer, with one part replaced; `pull(margin, beta)`."""

    def answer(chosen, rejected, ref_chosen, ref_rejected, beta):
        p = pull(margin(chosen, rejected, ref_chosen, ref_rejected), beta)
        return torch.stack([p, other(p)], -1)

    return answer


def right_pull(m, beta):
    return beta * torch.sigmoid(-beta * m)


def by_autograd(chosen, rejected, ref_chosen, ref_rejected, beta):
    both = torch.stack([chosen, rejected], -1).requires_grad_()
    refs = torch.stack([ref_chosen, ref_rejected], -1)
    rewards = beta * (both - refs)
    return -torch.autograd.grad(-F.logsigmoid(rewards[:, 0] - rewards[:, 1]).sum(), both)[0]


def one_over(chosen, rejected, ref_chosen, ref_rejected, beta):
    ahead = beta * lead(chosen, rejected, ref_chosen, ref_rejected)
    rows = [[beta / (1 + math.exp(x)), -beta / (1 + math.exp(x))] for x in ahead.tolist()]
    return torch.tensor(rows)


# 15.5 Where did the probability go?
def compared(texts, log_probs):
    return sum(math.exp(x) for x in dict(zip(texts, log_probs.tolist(), strict=True)).values())


def one_each(texts, log_probs):
    return torch.tensor([log_probs[texts.index(text)] for text in dict.fromkeys(texts)])


def with_a_set(texts, log_probs):
    seen, left = set(), 1.0
    for text, log_prob in zip(texts, log_probs, strict=True):
        if text not in seen:
            seen.add(text)
            left -= math.exp(log_prob)
    return left


def by_products(log_probs, ref_log_probs, mask, beta):
    ours, theirs = (torch.where(mask, x, 0.0).sum(-1).exp() for x in (log_probs, ref_log_probs))
    return beta * (ours / theirs).log()


MUTANTS = {
    "15.1": [
        Mutant("times-beta", lambda ref, rewards, beta: (ref.log() + rewards * beta).softmax(-1)),
        Mutant("no-beta", lambda ref, rewards, beta: (ref.log() + rewards).softmax(-1)),
        Mutant("no-reference", lambda ref, rewards, beta: (rewards / beta).softmax(-1)),
        Mutant("not-normalised", lambda ref, rewards, beta: ref * (rewards / beta).exp()),
        Mutant("reference-not-log", lambda ref, rewards, beta: (ref + rewards / beta).softmax(-1)),
        Mutant("sign", lambda ref, rewards, beta: (ref.log() - rewards / beta).softmax(-1)),
        Mutant("greedy", greedy),
        Mutant("weighted-rewards", weighted),
        Mutant("log-probs", lambda ref, rewards, beta: (ref.log() + rewards / beta).log_softmax(-1)),
        Mutant("overflow", naive),
        Mutant("largest-never-said", shifted_by_the_largest),
        Mutant("smoothed", lambda ref, rewards, beta: ((ref + 1e-12).log() + rewards / beta).softmax(-1)),
        Mutant("smoothed", lambda ref, rewards, beta: ((ref + 1e-3).log() + rewards / beta).softmax(-1)
               if (ref == 0).any() else (ref.log() + rewards / beta).softmax(-1)),
    ],
    "15.2": [
        Mutant("everything-counted", implicit(mask=lambda m: torch.ones_like(m))),
        Mutant("prompt-counted", implicit(mask=from_the_first)),
        Mutant("padding-counted", implicit(mask=to_the_end)),
        Mutant("mean", implicit(end=lambda x, m: x.sum(-1) / m.sum(-1))),
        Mutant("no-reference", implicit(ratio=lambda p, q: p)),
        Mutant("sign", implicit(ratio=lambda p, q: q - p)),
        Mutant("no-beta", implicit(scale=lambda x, beta: x)),
        Mutant("divided-by-beta", implicit(scale=lambda x, beta: x / beta)),
        Mutant("ratio", implicit(end=lambda x, m: x.sum(-1).exp())),
        Mutant("eos-dropped", implicit(mask=without_last)),
        Mutant("junk", multiplied),
        Mutant("underflow", by_products),
    ],
    "15.3": [
        Mutant("swapped", dpo(margin=lambda c, r, rc, rr: (r - rr) - (c - rc))),
        Mutant("no-log", dpo(loss=lambda m, beta: -torch.sigmoid(beta * m))),
        Mutant("one-minus-sigma", dpo(loss=lambda m, beta: 1 - torch.sigmoid(beta * m))),
        Mutant("loss-sign", dpo(loss=lambda m, beta: F.logsigmoid(beta * m))),
        Mutant("reference-added", dpo(margin=lambda c, r, rc, rr: (c + rc) - (r + rr))),
        Mutant("no-reference", dpo(margin=lambda c, r, rc, rr: c - r)),
        Mutant("reference-added", dpo(margin=lambda c, r, rc, rr: (c - rr) - (r - rc))),
        Mutant("no-beta", dpo(loss=lambda m, beta: -F.logsigmoid(m))),
        Mutant("divided-by-beta", dpo(loss=lambda m, beta: -F.logsigmoid(m / beta))),
        Mutant("beta-outside", dpo(loss=lambda m, beta: -beta * F.logsigmoid(m))),
        Mutant("sum-not-mean", dpo(end=lambda x: x.sum())),
        Mutant("of-the-mean", dpo(margin=lambda c, r, rc, rr: ((c - rc) - (r - rr)).mean())),
        Mutant("hinge", dpo(loss=lambda m, beta: (1 - beta * m).clamp(min=0))),
        Mutant("overflow", dpo(loss=lambda m, beta: -torch.sigmoid(beta * m).log())),
        Mutant("propped-up", dpo(loss=lambda m, beta: -(torch.sigmoid(beta * m) + 1e-12).log())),
        Mutant("no-gradient", dpo(end=lambda x: torch.tensor(x.mean().item()).requires_grad_())),
        Mutant("reference-learns", dpo(margin=lead)),
        Mutant("part-detached", dpo(margin=lambda c, r, rc, rr: ((c - rc) - (r - rr)).detach() + 0 * (c + r))),
        Mutant("no-error", dpo(checked=False)),
    ],
    "15.4": [
        Mutant("sigma-of-the-margin", advantages(lambda m, beta: beta * torch.sigmoid(beta * m))),
        Mutant("no-beta", advantages(lambda m, beta: torch.sigmoid(-beta * m))),
        Mutant("beta-only-outside", advantages(lambda m, beta: beta * torch.sigmoid(-m))),
        Mutant("both-praised", advantages(right_pull, other=lambda p: p)),
        Mutant("loss-slope", advantages(lambda m, beta: -right_pull(m, beta))),
        Mutant("no-sigma", advantages(lambda m, beta: torch.full_like(m, beta))),
        Mutant("margin-itself", advantages(lambda m, beta: beta * m)),
        Mutant("no-reference", advantages(right_pull, margin=lambda c, r, rc, rr: c - r)),
        Mutant("rejected-forgotten", advantages(right_pull, other=torch.zeros_like)),
        Mutant("half-for-beta", advantages(lambda m, beta: 0.5 * torch.sigmoid(-beta * m))),
        Mutant("divided-by-n", advantages(lambda m, beta: right_pull(m, beta) / len(m))),
    ],
    "15.5": [
        Mutant("counted-twice", lambda texts, log_probs: 1 - log_probs.exp().sum()),
        Mutant("compared", compared),
        Mutant("mean", lambda texts, log_probs: 1 - log_probs.exp().mean()),
        Mutant("mean-of-different", lambda texts, log_probs: 1 - one_each(texts, log_probs).exp().mean()),
        Mutant("no-exp", lambda texts, log_probs: 1 - log_probs.sum()),
        Mutant("no-exp", lambda texts, log_probs: 1 - one_each(texts, log_probs).sum()),
        Mutant("product", lambda texts, log_probs: 1 - one_each(texts, log_probs).sum().exp()),
        Mutant("count", lambda texts, log_probs: 1 - len(set(texts)) / len(texts)),
        Mutant("equal-numbers-merged", lambda texts, log_probs: 1 - log_probs.unique().exp().sum()),
    ],
}
ALTERNATIVES = {
    "15.1": [shifted_by_hand, in_numpy, climbing],
    "15.2": [filled, row_by_row],
    "15.3": [as_a_classifier, with_softplus],
    "15.4": [by_autograd, one_over],
    "15.5": [with_a_set, lambda texts, log_probs: 1 - one_each(texts, log_probs).exp().sum()],
}
