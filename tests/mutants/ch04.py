"""Wrong answers to chapter 04, taken from real bugs, and right ones in another style."""

from collections import defaultdict

import numpy as np
import torch

from rlcore.returns import discounted_returns, gae
from tests.mutants import Mutant


# 04.1 The average return
def averages(episodes, num_states, gamma, first=False, divide="visits", of="return"):
    """Monte Carlo, with a switch for each usual mistake."""
    total, visits = np.zeros(num_states), np.zeros(num_states)
    for states, rewards in episodes:
        returns, g = [], 0.0
        for r in reversed(rewards):
            g = r + gamma * g
            returns.insert(0, g)
        values = {"return": returns, "start": returns[:1] * len(returns), "reward": rewards,
                  "next": [*returns[1:], 0.0], "past": forwards(rewards, gamma)}[of]
        for t, s in enumerate(states):
            if not (first and s in states[:t]):
                total[s] += values[t]
                visits[s] += 1
    return total / {"visits": np.maximum(visits, 1), "episodes": len(episodes), "nothing": 1.0}[divide]


def forwards(rewards, gamma):
    sums, past = [], 0.0
    for r in rewards:
        past = r + gamma * past
        sums.append(past)
    return sums


def one_long_episode(episodes, num_states, gamma):
    states = [s for states, _ in episodes for s in states]
    return averages([(states, [r for _, rewards in episodes for r in rewards])], num_states, gamma)


def divides_by_zero(episodes, num_states, gamma):
    returns = [[] for _ in range(num_states)]
    for states, rewards in episodes:
        for t, s in enumerate(states):
            returns[s].append(sum(gamma**k * r for k, r in enumerate(rewards[t:])))
    return [sum(all_of) / len(all_of) for all_of in returns]


def mean_of_nothing(episodes, num_states, gamma):
    returns = defaultdict(list)
    for states, rewards in episodes:
        for t, s in enumerate(states):
            returns[s].append(sum(gamma**k * r for k, r in enumerate(rewards[t:])))
    return [np.mean(returns[s]) if returns[s] else float("nan") for s in range(num_states)]


def eats_its_episodes(episodes, num_states, gamma):
    answer = averages(episodes, num_states, gamma)
    episodes.clear()
    return answer


def with_torch(episodes, num_states, gamma):
    total, visits = torch.zeros(2, num_states)
    for states, rewards in episodes:
        done = torch.arange(len(states)) == len(states) - 1
        total.index_add_(0, torch.tensor(states), discounted_returns(torch.tensor(rewards), done, gamma))
        visits.index_add_(0, torch.tensor(states), torch.ones(len(states)))
    return total / visits.clamp(min=1)


def running_mean(episodes, num_states, gamma):
    values, visits = [0.0] * num_states, [0] * num_states
    for states, rewards in episodes:
        for t, s in enumerate(states):
            g = sum(gamma**k * r for k, r in enumerate(rewards[t:]))
            visits[s] += 1
            values[s] += (g - values[s]) / visits[s]
    return values


# 04.2 TD(0)
def td(v, walk, alpha, gamma, future=lambda v, s, over: 0.0 if over else v[s], sign=1.0, reward=1.0, minus=1.0,
       frozen=False, credit=lambda s, after: s):
    """TD(0), with a switch for each usual mistake."""
    new, old = list(v), list(v)
    for s, r, after, over in walk:
        now = old if frozen else new
        delta = reward * r + gamma * future(now, after, over) - minus * now[s]
        new[credit(s, after)] += sign * alpha * delta
    return new


def discounts_the_reward(v, walk, alpha, gamma):
    return td(v, [(s, gamma * r, after, over) for s, r, after, over in walk], alpha, gamma)


def frozen_targets(v, walk, alpha, gamma):
    new = list(v)
    for s, r, after, over in walk:
        new[s] += alpha * (r + gamma * v[after] * (not over) - new[s])
    return new


def in_place(v, walk, alpha, gamma):
    for s, r, after, over in walk:
        v[s] = (1 - alpha) * v[s] + alpha * (r + (0 if over else gamma * v[after]))
    return v


def as_a_mixture(v, walk, alpha, gamma):
    v = np.array(v, float)
    for s, r, after, over in walk:
        v[s] = (1 - alpha) * v[s] + alpha * (r + gamma * v[after] * (1 - over))
    return v


# 04.3 The λ-return
def lambda_return(rewards, next_values, terminated, done, gamma, lam, leak=False, cut=1.0, ends=True, last=1.0,
                  future=True):
    """The recursion, with a switch for each usual mistake."""
    returns, steps = torch.zeros_like(rewards), len(rewards)
    for t in reversed(range(steps)):
        if t + 1 == steps:
            ahead = last * next_values[t]
        elif done[t] and not leak:
            ahead = cut * next_values[t]
        else:
            ahead = (1 - lam) * next_values[t] + lam * returns[t + 1]
        returns[t] = rewards[t] + gamma * ahead * (not (ends and terminated[t]))
    return returns


def truncation_ends(rewards, next_values, terminated, done, gamma, lam):
    return lambda_return(rewards, next_values, done, done, gamma, lam)


def minus_the_next_value(rewards, next_values, terminated, done, gamma, lam):
    return lambda_return(rewards, next_values, terminated, done, gamma, lam) - next_values


def from_gae(rewards, next_values, terminated, done, gamma, lam):
    values = torch.cat([torch.zeros(1), next_values[:-1]])  # V of a step's own state: what the step before it led to
    values = torch.where(torch.cat([torch.tensor([True]), done[:-1]]), 0.0, values)  # any number will do at a start
    return values + gae(rewards, values, next_values, terminated, done, gamma, lam)


def average_of_all_looks(rewards, next_values, terminated, done, gamma, lam):
    answer = []
    for t in range(len(rewards)):
        value, weight, seen = 0.0, 1.0, 0.0
        for k in range(t, len(rewards)):
            seen += gamma ** (k - t) * float(rewards[k])
            guess = seen + gamma ** (k - t + 1) * float(next_values[k]) * (not terminated[k])
            over = bool(done[k]) or k == len(rewards) - 1
            share = weight if over else (1 - lam) * weight
            value, weight = value + share * guess, weight - share
            if over:
                break
        answer.append(value)
    return answer


# 04.4 Somebody else's episodes
def weigh(log_probs, behaviour, mask, returns, ratio=lambda logs, mask: logs.sum(-1).exp(), use_mask=True):
    """Importance sampling, with a switch for each usual mistake."""
    logs = log_probs - behaviour
    rho = ratio(torch.where(mask, logs, 0.0) if use_mask else logs, mask)
    total = (rho * returns).sum()
    return total / len(returns), total / rho.sum()


def sum_of_ratios(logs, mask):
    return torch.where(mask, logs.exp(), 0.0).sum(-1)


def multiplied_by_the_mask(log_probs, behaviour, mask, returns):
    rho = ((log_probs - behaviour) * mask).sum(-1).exp()
    return (rho * returns).mean(), (rho * returns).sum() / rho.sum()


def divided_by_steps(log_probs, behaviour, mask, returns):
    rho = torch.where(mask, log_probs - behaviour, 0.0).sum(-1).exp()
    return (rho * returns).sum() / mask.sum(), (rho * returns).sum() / rho.sum()


def product_of_probabilities(log_probs, behaviour, mask, returns):
    rho = [float(np.prod([np.exp(float(p) - float(b)) for p, b, m in zip(*row, strict=True) if m]))
           for row in zip(log_probs, behaviour, mask, strict=True)]
    return np.mean([w * float(g) for w, g in zip(rho, returns, strict=True)]), np.average(returns, weights=rho)


def masked_fills(log_probs, behaviour, mask, returns):
    rho = (log_probs.masked_fill(~mask, 0).sum(1) - behaviour.masked_fill(~mask, 0).sum(1)).exp()
    return [(rho * returns).mean().item(), (rho * returns).sum().item() / rho.sum().item()]


# 04.5 You are the predictor
def model(episodes, num_states, joined=False, all_visits=True, at_least=1.0):
    """P and r of the likeliest world, with a switch for each usual mistake."""
    visits, paid, went = np.zeros(num_states), np.zeros(num_states), np.zeros((num_states, num_states))
    steps = [(s, r, states[t + 1] if t + 1 < len(states) else None)
             for states, rewards in episodes for t, (s, r) in enumerate(zip(states, rewards, strict=True))]
    for i, (s, r, after) in enumerate(steps):
        visits[s] += 1
        paid[s] += r
        if after is None and joined and i + 1 < len(steps):
            after = steps[i + 1][0]
        if after is not None:
            went[s, after] += 1
    n = np.maximum(visits, at_least)
    rows = n if all_visits else np.maximum(went.sum(1), 1.0)
    with np.errstate(invalid="ignore"):
        return went / rows[:, None], paid / n


def solve(episodes, num_states, **how):
    p, r = model(episodes, num_states, **how)
    return np.linalg.solve(np.eye(num_states) - p, r)


def rounds(count):
    def repeat(episodes, num_states):
        p, r = model(episodes, num_states)
        v = np.zeros(num_states)
        for _ in range(count):
            v = r + p @ v
        return v
    return repeat


def transposed(episodes, num_states):
    p, r = model(episodes, num_states)
    return np.linalg.solve(np.eye(num_states) - p.T, r)


def repeated_td(episodes, num_states):
    v = [0.0] * num_states
    for k in range(4000):
        alpha = 1.0 / (10 + k)
        for states, rewards in episodes:
            for t, (s, r) in enumerate(zip(states, rewards, strict=True)):
                target = r + (v[states[t + 1]] if t + 1 < len(states) else 0.0)
                v[s] += alpha * (target - v[s])
    return v


def gives_up_on_ends(episodes, num_states):
    """Divides by the steps that went on, and iterates: what can go on in a loop never stops paying."""
    p, r = model(episodes, num_states, all_visits=False)
    v = np.zeros(num_states)
    for _ in range(500):
        v = r + p @ v
    return v


MUTANTS = {
    "04.1": [
        Mutant("first-visit-only", lambda e, n, gamma: averages(e, n, gamma, first=True)),
        Mutant("divided-by-episodes", lambda e, n, gamma: averages(e, n, gamma, divide="episodes")),
        Mutant("sum-not-mean", lambda e, n, gamma: averages(e, n, gamma, divide="nothing")),
        Mutant("return-of-the-start", lambda e, n, gamma: averages(e, n, gamma, of="start")),
        Mutant("no-discount", lambda e, n, gamma: averages(e, n, 1.0)),
        Mutant("rewards-averaged", lambda e, n, gamma: averages(e, n, gamma, of="reward")),
        Mutant("own-reward-missing", lambda e, n, gamma: averages(e, n, gamma, of="next")),
        Mutant("discounts-the-past", lambda e, n, gamma: averages(e, n, gamma, of="past")),
        Mutant("leaks-into-the-next", one_long_episode),
        Mutant("never-visited", divides_by_zero),
        Mutant("never-visited-nan", mean_of_nothing),
        Mutant("changed-arguments", eats_its_episodes),
    ],
    "04.2": [
        Mutant("bootstraps-past-the-end", lambda *a: td(*a, future=lambda v, s, over: v[s])),
        Mutant("end-inverted", lambda *a: td(*a, future=lambda v, s, over: v[s] if over else 0.0)),
        Mutant("never-bootstraps", lambda *a: td(*a, future=lambda v, s, over: 0.0)),
        Mutant("wrong-sign", lambda *a: td(*a, sign=-1.0)),
        Mutant("no-step-size", lambda v, walk, alpha, gamma: td(v, walk, 1.0, gamma)),
        Mutant("no-discount", lambda v, walk, alpha, gamma: td(v, walk, alpha, 1.0)),
        Mutant("discounts-the-reward", discounts_the_reward),
        Mutant("reward-missing", lambda *a: td(*a, reward=0.0)),
        Mutant("frozen-values", lambda *a: td(*a, frozen=True)),
        Mutant("frozen-values", frozen_targets),
        Mutant("credits-the-next-state", lambda *a: td(*a, credit=lambda s, after: after)),
        Mutant("not-subtracted", lambda *a: td(*a, minus=0.0)),
        Mutant("changed-arguments", in_place),
    ],
    "04.3": [
        Mutant("lambda-swapped", lambda *a: lambda_return(*a[:-1], 1 - a[-1])),
        Mutant("leaks-across-done", lambda *a: lambda_return(*a, leak=True)),
        Mutant("truncation-as-termination", truncation_ends),
        Mutant("truncation-as-termination", lambda *a: lambda_return(*a, cut=0.0)),
        Mutant("bootstraps-past-the-end", lambda *a: lambda_return(*a, ends=False)),
        Mutant("weights-short-of-one", lambda *a: lambda_return(*a, cut=1 - a[-1])),
        Mutant("data-ends-badly", lambda *a: lambda_return(*a, last=0.0)),
        Mutant("data-ends-badly", lambda *a: lambda_return(*a, last=1 - a[-1])),
        Mutant("lambda-ignored", lambda *a: lambda_return(*a[:-1], 0.0)),
        Mutant("lambda-ignored", lambda *a: lambda_return(*a[:-1], 1.0)),
        Mutant("no-discount", lambda *a: lambda_return(*a[:-2], 1.0, a[-1])),
        Mutant("advantage-not-return", minus_the_next_value),
    ],
    "04.4": [
        Mutant("upside-down", lambda p, b, mask, returns: weigh(b, p, mask, returns)),
        Mutant("padding-counted", lambda *a: weigh(*a, use_mask=False)),
        Mutant("sum-of-ratios", lambda *a: weigh(*a, ratio=sum_of_ratios)),
        Mutant("mean-of-logs", lambda *a: weigh(*a, ratio=lambda logs, mask: (logs.sum(-1) / mask.sum(-1)).exp())),
        Mutant("no-weights", lambda p, b, mask, returns: weigh(b, b, mask, returns)),
        Mutant("swapped", lambda *a: weigh(*a)[::-1]),
        Mutant("both-ordinary", lambda *a: (weigh(*a)[0], weigh(*a)[0])),
        Mutant("logs-not-exponentiated", lambda *a: weigh(*a, ratio=lambda logs, mask: logs.sum(-1))),
        Mutant("mask-multiplied", multiplied_by_the_mask),
        Mutant("divided-by-steps", divided_by_steps),
    ],
    "04.5": [
        Mutant("monte-carlo", lambda e, n: averages(e, n, 1.0)),
        Mutant("one-step-only", rounds(1)),
        Mutant("two-rounds", rounds(2)),
        Mutant("transposed", transposed),
        Mutant("not-visited-nan", lambda e, n: solve(e, n, at_least=0.0)),
        Mutant("episodes-joined", lambda e, n: solve(e, n, joined=True)),
        Mutant("ends-forgotten", lambda e, n: solve(e, n, all_visits=False)),
        Mutant("ends-forgotten-inf", gives_up_on_ends),
    ],
}
ALTERNATIVES = {
    "04.1": [averages, with_torch, running_mean],
    "04.2": [td, as_a_mixture],
    "04.3": [lambda_return, from_gae, average_of_all_looks],
    "04.4": [weigh, product_of_probabilities, masked_fills],
    "04.5": [solve, rounds(1000), repeated_td],
}
