"""Wrong answers to chapter 07, taken from real bugs, and right ones in another style."""

import numpy as np
import torch

from rlcore.losses import masked_mean, policy_gradient_loss
from rlcore.returns import discounted_returns, leave_one_out_advantages
from tests.mutants import Mutant


# 07.1 The score
def by_hand(preferences, action):
    pi = torch.softmax(preferences, -1)
    return torch.nn.functional.one_hot(torch.tensor(action), len(pi)) - pi


def by_autograd(preferences, action):
    h = preferences.clone().requires_grad_()
    return torch.autograd.grad(torch.log_softmax(h, -1)[action], h)[0]


def in_numpy(preferences, action):
    h = preferences.numpy()
    e = np.exp(h - h.max())
    score = -e / e.sum()
    score[action] += 1
    return score


def only_the_chosen(preferences, action):
    score = torch.zeros_like(preferences)
    score[action] = 1 - torch.softmax(preferences, -1)[action]
    return score


def one_hot_minus(what):
    return lambda h, a: torch.nn.functional.one_hot(torch.tensor(a), len(h)) - what(h)


def naive_softmax(h):
    return h.exp() / h.exp().sum()


# 07.2 The average vote
def votes(preferences, q, baseline=0.0, weigh=lambda pi: pi, axis=0):
    pi = torch.softmax(preferences, -1)
    return ((weigh(pi) * (q - baseline))[:, None] * (torch.eye(len(pi)) - pi)).sum(axis)


def centred(preferences, q, baseline=0.0):
    pi, psi = torch.softmax(preferences, -1), q - baseline
    return pi * (psi - (pi * psi).sum())


def in_a_loop(preferences, q, baseline=0.0):
    pi, total = torch.softmax(preferences, -1), torch.zeros(len(q))
    b = torch.as_tensor(baseline, dtype=torch.float32).expand(len(q))
    for a in range(len(q)):
        total += pi[a] * (q[a] - b[a]) * by_hand(preferences, a)
    return total


def with_gradient(preferences, q, baseline=0.0):
    h = preferences.clone().requires_grad_()
    pi = torch.softmax(h, -1)
    return torch.autograd.grad((pi * (q - baseline)).sum(), h)[0]


# 07.3 Leave yourself out
def others_in_a_loop(returns):
    if len(returns) < 2:
        raise ValueError("returns: one episode has no others")
    return [sum(r for j, r in enumerate(returns.tolist()) if j != i) / (len(returns) - 1) for i in range(len(returns))]


def by_advantage(returns):
    if len(returns) == 1:
        raise ValueError("returns holds one episode only")
    return returns - leave_one_out_advantages(returns)


def those_before(returns):
    return returns.cumsum(0).sub(returns) / torch.arange(len(returns)).clamp(min=1)


def silently(returns):
    return (returns.sum() - returns) / (len(returns) - 1)


# 07.4 The loss
def loss(log_probs, rewards, mask, values, gamma, psi=lambda G, V: G - V, detach=True, blank=True, sign=-1.0,
         returns=None, reduce=lambda x, mask: x.sum() / len(mask)):
    """Right, with a switch for each usual mistake."""
    if blank:
        rewards = rewards.masked_fill(~mask, 0.0)
    G = (returns or (lambda r, g: discounted_returns(r, torch.zeros_like(mask), g)))(rewards, gamma)
    weight = psi(G, values)
    steps = sign * (weight.detach() if detach else weight) * log_probs
    return reduce(steps.masked_fill(~mask, 0.0) if blank else steps, mask)


def loss_with(**switches):
    return lambda log_probs, rewards, mask, values, gamma: loss(log_probs, rewards, mask, values, gamma, **switches)


def discounts_the_past(rewards, gamma):
    return discounted_returns(rewards.flip(-1), torch.zeros(rewards.shape).bool(), gamma).flip(-1)


def sums_the_past(rewards, gamma):
    return (rewards * gamma ** torch.arange(rewards.shape[-1])).cumsum(-1)


def whole(rewards, gamma):
    return discounted_returns(rewards, torch.zeros(rewards.shape).bool(), gamma)[:, :1].expand_as(rewards)


def with_rlcore(log_probs, rewards, mask, values, gamma):
    last = mask & (mask.flip(-1).cumsum(-1).flip(-1) == 1)
    steps = policy_gradient_loss(log_probs, discounted_returns(rewards, last, gamma) - values)
    return masked_mean(steps, mask, denominator=len(mask))


def episode_by_episode(log_probs, rewards, mask, values, gamma):
    total = 0.0
    for i in range(len(mask)):
        G = 0.0
        for t in reversed(range(int(mask[i].sum()))):
            G = rewards[i, t].item() + gamma * G
            total = total - (G - values[i, t].item()) * log_probs[i, t]
    return total / len(mask)


# 07.5 The step
def step(policy, optimizer, trajectory, baseline=None, zero=True, steps=1, item=True, **switches):
    """Right, with a switch for each usual mistake."""
    t = trajectory
    b = t.rewards.masked_fill(~t.mask, 0.0).sum(-1).mean() if baseline is None else baseline(t)
    for _ in range(max(steps, 1)):
        log_probs = policy(t.states).log_prob(t.actions)
        value = loss(log_probs, t.rewards, t.mask, torch.full_like(t.rewards, float(b)), 1.0, **switches)
        if zero:
            optimizer.zero_grad()
        value.backward()
        if steps:
            optimizer.step()
    return value.item() if item else value


def step_with(**switches):
    return lambda policy, optimizer, trajectory: step(policy, optimizer, trajectory, **switches)


def mean_to_go(t):
    return discounted_returns(t.rewards, t.done, 1.0)[t.mask].mean()


def step_with_rlcore(policy, optimizer, trajectory):
    t = trajectory
    G = discounted_returns(t.rewards, t.done, 1.0)
    advantages = G - G[:, 0].mean()
    log_probs, _ = policy.evaluate_actions(t.states, t.actions, t.mask)
    value = policy_gradient_loss(log_probs, advantages)[t.mask].sum() / len(G)
    optimizer.zero_grad(set_to_none=True)
    value.backward()
    optimizer.step()
    return value.item()


MUTANTS = {
    "07.1": [
        Mutant("sign-flipped", lambda h, a: -by_hand(h, a)),
        Mutant("only-the-chosen", only_the_chosen),
        Mutant("one-hot-only", one_hot_minus(torch.zeros_like)),
        Mutant("gradient-of-p", lambda h, a: torch.softmax(h, -1)[a] * by_hand(h, a)),
        Mutant("no-softmax", one_hot_minus(lambda h: h)),
        Mutant("not-normalised", one_hot_minus(torch.exp)),
        Mutant("log-prob-itself", lambda h, a: torch.log_softmax(h, -1)[a]),
        Mutant("log-probs", one_hot_minus(lambda h: torch.log_softmax(h, -1))),
        Mutant("always-action-0", lambda h, a: by_hand(h, 0)),
        Mutant("nan", one_hot_minus(naive_softmax)),
    ],
    "07.2": [
        Mutant("sign-flipped", lambda h, q, b=0.0: -votes(h, q, b)),
        Mutant("not-weighted", lambda h, q, b=0.0: votes(h, q, b, weigh=torch.ones_like)),
        Mutant("no-score", lambda h, q, b=0.0: torch.softmax(h, -1) * (q - b)),
        Mutant("mean-not-sum", lambda h, q, b=0.0: votes(h, q, b) / len(q)),
        Mutant("weighted-twice", lambda h, q, b=0.0: votes(h, q, b, weigh=torch.square)),
        Mutant("wrong-axis", lambda h, q, b=0.0: votes(h, q, b, axis=1)),
        Mutant("baseline-outside", lambda h, q, b=0.0: votes(h, q) - b),
        Mutant("baseline-ignored", lambda h, q, b=0.0: votes(h, q)),
        Mutant("baseline-added", lambda h, q, b=0.0: votes(h, q, -b)),
    ],
    "07.3": [
        Mutant("includes-itself", lambda r: r.mean().expand_as(r)),
        Mutant("includes-itself", lambda r: r.mean()),
        Mutant("divided-by-all", lambda r: (r.sum() - r) / len(r)),
        Mutant("sum-not-mean", lambda r: r.sum() - r),
        Mutant("advantage-not-baseline", lambda r: r - silently(r)),
        Mutant("divided-all-by-others", lambda r: (r.sum() / (len(r) - 1)).expand_as(r)),
        Mutant("next-one-only", lambda r: r.roll(-1)),
        Mutant("previous-only", those_before),
        Mutant("no-error", silently),
    ],
    "07.4": [
        Mutant("sign-flipped", loss_with(sign=1.0)),
        Mutant("mean-over-steps", loss_with(reduce=lambda x, mask: x[mask].mean())),
        Mutant("mean-of-means", loss_with(reduce=lambda x, mask: (x.sum(-1) / mask.sum(-1)).mean())),
        Mutant("sum-not-mean", loss_with(reduce=lambda x, mask: x.sum())),
        Mutant("padding-counted", loss_with(blank=False)),
        Mutant("whole-return", loss_with(returns=whole)),
        Mutant("no-baseline", loss_with(psi=lambda G, V: G)),
        Mutant("baseline-added", loss_with(psi=lambda G, V: G + V)),
        Mutant("no-discount", loss_with(returns=lambda r, gamma: r.flip(-1).cumsum(-1).flip(-1))),
        Mutant("immediate-reward", loss_with(returns=lambda r, gamma: r)),
        Mutant("discounts-the-past", loss_with(returns=discounts_the_past)),
        Mutant("discounts-the-past", loss_with(returns=sums_the_past)),
        Mutant("divided-by-padded-steps", loss_with(reduce=lambda x, mask: x.mean())),
        Mutant("not-detached", loss_with(detach=False)),
        Mutant("no-gradient", lambda *args: loss(*args).detach()),
        Mutant("no-gradient", lambda *args: loss(*args).item()),
    ],
    "07.5": [
        Mutant("sign-flipped", step_with(sign=1.0)),
        Mutant("no-baseline", step_with(baseline=lambda t: 0.0)),
        Mutant("mean-of-rewards", step_with(baseline=lambda t: t.rewards[t.mask].mean())),
        Mutant("mean-of-rewards", step_with(baseline=lambda t: t.rewards.mean())),
        Mutant("mean-of-to-go", step_with(baseline=mean_to_go)),
        Mutant("sum-not-mean", step_with(reduce=lambda x, mask: x.sum())),
        Mutant("mean-over-steps", step_with(reduce=lambda x, mask: x[mask].mean())),
        Mutant("whole-return", step_with(returns=whole)),
        Mutant("no-step", step_with(steps=0)),
        Mutant("several-steps", step_with(steps=10)),
        Mutant("gradients-piled-up", step_with(zero=False)),
        Mutant("tensor-returned", step_with(item=False)),
        Mutant("not-the-loss", lambda policy, optimizer, t: 0.0 * step(policy, optimizer, t)),
    ],
}
ALTERNATIVES = {
    "07.1": [by_hand, by_autograd, in_numpy],
    "07.2": [votes, centred, in_a_loop, with_gradient],
    "07.3": [others_in_a_loop, by_advantage],
    "07.4": [loss, with_rlcore, episode_by_episode],
    "07.5": [step, step_with_rlcore],
}
