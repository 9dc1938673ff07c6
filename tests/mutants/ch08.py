"""Wrong answers to chapter 08, taken from real bugs, and right ones in another style."""

import torch

from rlcore.losses import masked_mean, policy_gradient_loss, value_loss
from rlcore.returns import discounted_returns, gae, td_errors
from tests.mutants import Mutant


# 08.1 Two ways to end
def looped(rewards, values, next_values, terminated, truncated, gamma):
    return [float(r if over else r + gamma * ahead) - float(v)
            for r, v, ahead, over in zip(rewards, values, next_values, terminated, strict=True)]


def with_the_library(rewards, values, next_values, terminated, truncated, gamma):
    return td_errors(rewards, values, next_values, terminated, gamma)


def overwrites(rewards, values, next_values, terminated, truncated, gamma):
    next_values[terminated] = 0.0
    return rewards + gamma * next_values - values


# 08.2 GAE
def advantages(rewards, values, next_values, terminated, done, gamma, lam, ends=None, decay=None, cut=None, reward=1.0):
    """GAE, with a switch for each usual mistake."""
    deltas = reward * rewards + gamma * next_values * ~(terminated if ends is None else ends) - values
    cut, later, out = done if cut is None else cut, torch.zeros(len(rewards)), torch.zeros_like(deltas)
    for t in reversed(range(rewards.shape[1])):
        later = deltas[:, t] + (gamma * lam if decay is None else decay) * later * ~cut[:, t]
        out[:, t] = later
    return out


def forwards(rewards, values, next_values, terminated, done, gamma, lam):
    deltas = td_errors(rewards, values, next_values, terminated, gamma)
    earlier, out, over = torch.zeros(len(rewards)), torch.zeros_like(deltas), torch.ones(len(rewards)).bool()
    for t in range(rewards.shape[1]):
        earlier = deltas[:, t] + gamma * lam * earlier * ~over
        out[:, t], over = earlier, done[:, t]
    return out


def early(rewards, values, next_values, terminated, done, gamma, lam):
    shifted = torch.cat([done[:, 1:], torch.zeros_like(done[:, :1])], 1)
    return advantages(rewards, values, next_values, terminated, done, gamma, lam, cut=shifted)


def as_a_return(rewards, values, next_values, terminated, done, gamma, lam):
    deltas = rewards + gamma * torch.where(terminated, 0.0, next_values) - values
    return discounted_returns(deltas, done, gamma * lam)


def row_by_row(*tensors):
    *columns, gamma, lam = tensors
    rows = []
    for r, v, v_next, terminated, done in zip(*columns, strict=True):
        row, later = [], 0.0
        for t in range(len(r) - 1, -1, -1):
            delta = r[t] + (0.0 if terminated[t] else gamma * v_next[t]) - v[t]
            later = delta if done[t] else delta + gamma * lam * later
            row.insert(0, later)
        rows.append(torch.stack(row))
    return torch.stack(rows)


# 08.3 One loss for two
def loss(log_probs, values, advantages, returns, mask, value_coef, actor=-1.0, detach="AG", critic=0.5, mean=True):
    """The loss, with a switch for each usual mistake."""
    a = advantages.detach() if "A" in detach else advantages
    g = returns.detach() if "G" in detach else returns
    log_probs = log_probs.detach() if "p" in detach else log_probs
    values = values.detach() if "V" in detach else values
    steps = actor * a * log_probs + critic * value_coef * (values - g) ** 2
    return steps[mask].mean() if mean else steps[mask].sum()


def padded(log_probs, values, advantages, returns, mask, value_coef):
    return loss(log_probs, values, advantages, returns, torch.ones_like(mask), value_coef)


def padded_mean(log_probs, values, advantages, returns, mask, value_coef):
    return loss(log_probs, values, advantages, returns, mask, value_coef, mean=False) / mask.numel()


def per_step(log_probs, values, advantages, returns, mask, value_coef):
    return (-advantages.detach() * log_probs + value_coef * 0.5 * (values - returns.detach()) ** 2)[mask]


def with_library_losses(log_probs, values, advantages, returns, mask, value_coef):
    return masked_mean(policy_gradient_loss(log_probs, advantages) + value_coef * value_loss(values, returns), mask)


def two_means(log_probs, values, advantages, returns, mask, value_coef):
    count = mask.sum()
    actor = -(torch.where(mask, log_probs, 0.0) * advantages.detach().masked_fill(~mask, 0.0)).sum() / count
    critic = (values - returns.detach())[mask].pow(2).mean() / 2
    return actor + value_coef * critic


MUTANTS = {
    "08.1": [
        Mutant("truncation-as-termination", lambda r, v, n, end, cut, gamma: r + gamma * n * ~(end | cut) - v),
        Mutant("flags-swapped", lambda r, v, n, end, cut, gamma: r + gamma * n * ~cut - v),
        Mutant("bootstraps-past-the-end", lambda r, v, n, end, cut, gamma: r + gamma * n - v),
        Mutant("end-inverted", lambda r, v, n, end, cut, gamma: r + gamma * n * end - v),
        Mutant("no-discount", lambda r, v, n, end, cut, gamma: r + n * ~end - v),
        Mutant("discounts-the-reward", lambda r, v, n, end, cut, gamma: gamma * (r + n * ~end) - v),
        Mutant("wrong-sign", lambda r, v, n, end, cut, gamma: v - r - gamma * n * ~end),
        Mutant("value-not-subtracted", lambda r, v, n, end, cut, gamma: r + gamma * n * ~end),
        Mutant("values-cut-too", lambda r, v, n, end, cut, gamma: r + (gamma * n - v) * ~end),
        Mutant("changed-arguments", overwrites),
        Mutant("truncation-wins", lambda r, v, n, end, cut, gamma: r + gamma * n * (~end | cut) - v),
    ],
    "08.2": [
        Mutant("leaks-across-done", lambda r, v, n, end, done, g, lam: advantages(r, v, n, end, done, g, lam, cut=end)),
        Mutant("truncation-as-termination",
               lambda r, v, n, end, done, g, lam: advantages(r, v, n, end, done, g, lam, ends=done)),
        Mutant("bootstraps-past-the-end",
               lambda r, v, n, end, done, g, lam: advantages(r, v, n, end, done, g, lam, ends=torch.zeros_like(end))),
        Mutant("lambda-forgotten", lambda r, v, n, end, done, g, lam: advantages(r, v, n, end, done, g, lam, decay=g)),
        Mutant("gamma-forgotten", lambda r, v, n, end, done, g, lam: advantages(r, v, n, end, done, g, lam, decay=lam)),
        Mutant("one-step-only", lambda r, v, n, end, done, g, lam: td_errors(r, v, n, end, g)),
        Mutant("returns-not-advantages", lambda r, v, n, end, done, g, lam: gae(r, v, n, end, done, g, lam) + v),
        Mutant("walks-forward", forwards),
        Mutant("discounts-the-reward",
               lambda r, v, n, end, done, g, lam: advantages(r, v, n, end, done, g, lam, reward=g)),
        Mutant("cut-one-step-early", early),
    ],
    "08.3": [
        Mutant("actor-wrong-sign", lambda *a: loss(*a, actor=1.0)),
        Mutant("critic-wrong-sign", lambda *a: loss(*a, critic=-0.5)),
        Mutant("half-forgotten", lambda *a: loss(*a, critic=1.0)),
        Mutant("value-coef-forgotten", lambda *a: loss(*a[:-1], 1.0)),
        Mutant("padding-counted", padded),
        Mutant("padded-mean", padded_mean),
        Mutant("sum-not-mean", lambda *a: loss(*a, mean=False)),
        Mutant("advantages-not-detached", lambda *a: loss(*a, detach="G")),
        Mutant("returns-not-detached", lambda *a: loss(*a, detach="A")),
        Mutant("policy-detached", lambda *a: loss(*a, detach="AGp")),
        Mutant("critic-detached", lambda *a: loss(*a, detach="AGV")),
        Mutant("no-gradient", lambda *a: loss(*a).item()),
        Mutant("one-per-step", per_step),
    ],
    "08.4": [
        Mutant("wrong-about-a", lambda: ["discount", "blind policy", "truncation"]),
        Mutant("wrong-about-b", lambda: ["termination", "blind critic", "truncation"]),
        Mutant("wrong-about-c", lambda: ["termination", "blind policy", "termination"]),
        Mutant("not-three-words", lambda: "termination, blind policy, truncation"),
    ],
}
ALTERNATIVES = {
    "08.1": [looped, with_the_library],
    "08.2": [gae, as_a_return, row_by_row],
    "08.3": [with_library_losses, two_means],
    "08.4": [lambda: ("termination", "blind policy", "truncation")],
}
