"""Wrong answers to chapter 02, taken from real bugs, and right ones in another style."""

import random as python_random

import numpy as np
import torch

from rlcore.agents.bandits import GradientAgent, GradientConfig
from rlcore.losses import policy_gradient_loss
from tests.mutants import Mutant


# 02.1 The running average
def running(q, counts, action, reward, step_size=None, n=lambda counts, a: counts[a], surprise=lambda r, q: r - q):
    """The update, with a switch for some mistakes."""
    q, counts = q.copy(), counts.copy()
    counts[action] += 1
    q[action] += (1 / n(counts, action) if step_size is None else step_size) * surprise(reward, q[action])
    return q, counts


def counts_too_late(q, counts, action, reward, step_size=None):
    q, counts = q.copy(), counts.copy()
    with np.errstate(all="ignore"):
        q[action] += (1 / counts[action] if step_size is None else step_size) * (reward - q[action])
    counts[action] += 1
    return q, counts


def overwrites(q, counts, action, reward, step_size=None):
    counts[action] += 1
    q[action] += (1 / counts[action] if step_size is None else step_size) * (reward - q[action])
    return q, counts


def moves_every_arm(q, counts, action, reward, step_size=None):
    counts = counts + (np.arange(len(q)) == action)
    return q + (1 / counts[action] if step_size is None else step_size) * (reward - q), counts


def never_counts(q, counts, action, reward, step_size=None):
    return running(q, counts, action, reward, step_size)[0], counts.copy()


def counts_only_for_averages(q, counts, action, reward, step_size=None):
    new, counted = running(q, counts, action, reward, step_size)
    return new, counted if step_size is None else counts.copy()


def weighted_mean(q, counts, action, reward, step_size=None):
    mine = np.arange(len(q)) == action
    if step_size is None:
        return np.where(mine, (q * counts + reward) / (counts + 1), q), counts + mine
    return np.where(mine, (1 - step_size) * q + step_size * reward, q), counts + mine


def with_lists(q, counts, action, reward, step_size=None):
    q, counts = q.tolist(), counts.tolist()
    counts[action] += 1
    q[action] += (reward - q[action]) * (step_size or 1 / counts[action])
    return q, counts


# 02.2 ε-greedy
def fair_argmax(q, random):
    best = q == q.max(1, keepdims=True)
    return (best * random.random(q.shape)).argmax(1)


def run_by_run(q, epsilon, random):
    chosen = []
    for row in q:
        if random.random() < epsilon:
            chosen.append(random.integers(len(row)))
        else:
            chosen.append(random.choice(np.flatnonzero(row == row.max())))
    return chosen


def by_probabilities(q, epsilon, random):
    best = q == q.max(1, keepdims=True)
    probs = epsilon / q.shape[1] + (1 - epsilon) * best / best.sum(1, keepdims=True)
    return (probs.cumsum(1) < random.random((len(q), 1))).sum(1).clip(max=q.shape[1] - 1)


def in_torch(q, epsilon, random):
    scores = torch.from_numpy(q)
    noise = torch.from_numpy(random.random(q.shape))
    greedy = torch.where(scores == scores.max(1, keepdim=True).values, noise, -1.0).argmax(1)
    return torch.where(torch.from_numpy(random.random(len(q)) < epsilon), torch.from_numpy(
        random.integers(q.shape[1], size=len(q))), greedy)


def first_tie(q, epsilon, random):
    return np.where(random.random(len(q)) < epsilon, random.integers(q.shape[1], size=len(q)), q.argmax(1))


def compares_values_with_an_index(q, epsilon, random):
    """The tie-breaker of bgalbraith/bandits #9: it looks for guesses that are equal to the number of the best arm."""
    chosen = []
    for row in q:
        action = np.argmax(row)
        check = np.where(row == action)[0]
        chosen.append(random.integers(len(row)) if random.random() < epsilon else
                      action if len(check) == 0 else random.choice(check))
    return chosen


def one_coin(q, epsilon, random):
    return random.integers(q.shape[1], size=len(q)) if random.random() < epsilon else fair_argmax(q, random)


def one_blind_arm(q, epsilon, random):
    return np.where(random.random(len(q)) < epsilon, random.integers(q.shape[1]), fair_argmax(q, random))


def leaves_the_best_out(q, epsilon, random):
    greedy = fair_argmax(q, random)
    other = (greedy + random.integers(1, q.shape[1], size=len(q))) % q.shape[1]
    return np.where(random.random(len(q)) < epsilon, other, greedy)


def inverted(q, epsilon, random):
    blind = random.random(len(q)) >= epsilon
    return np.where(blind, random.integers(q.shape[1], size=len(q)), fair_argmax(q, random))


def forgets_the_last_arm(q, epsilon, random):
    blind = random.random(len(q)) < epsilon
    return np.where(blind, random.integers(q.shape[1] - 1, size=len(q)), fair_argmax(q, random))


def own_dice(q, epsilon, random):
    return np.array([python_random.randrange(q.shape[1]) if python_random.random() < epsilon else a
                     for a in fair_argmax(q, random)])


# 02.3 The upper confidence bound
def ucb(q, counts, t, c, log=np.log, root=np.sqrt, sign=1.0):
    """The scores, with a switch for some mistakes."""
    with np.errstate(all="ignore"):
        return np.where(counts > 0, q + sign * c * root(log(t) / counts), np.inf)


def divides_by_zero(q, counts, t, c):
    with np.errstate(all="ignore"):
        return q + c * np.sqrt(np.log(t) / counts)


def arm_by_arm(q, counts, t, c):
    return [[float("inf") if n == 0 else v + c * (np.log(t) / n) ** 0.5 for v, n in zip(*row, strict=True)]
            for row in zip(q, counts, strict=True)]


def infinity_afterwards(q, counts, t, c):
    with np.errstate(all="ignore"):
        scores = q + c * np.sqrt(np.log(t) / counts)
    scores[counts == 0] = np.inf
    return scores


# 02.4 The gradient step
def probabilities(h):
    weights = np.exp(h - h.max())
    return weights / weights.sum()


def push(h, action, size, direction=lambda chosen, pi: chosen - pi):
    return h + size * direction(np.arange(len(h)) == action, probabilities(h))


def naive_softmax(h, action, reward, baseline, step_size):
    with np.errstate(all="ignore"):
        pi = np.exp(h) / np.exp(h).sum()
    return h + step_size * (reward - baseline) * ((np.arange(len(h)) == action) - pi)


def in_place(h, action, reward, baseline, step_size):
    pi = probabilities(h)
    h -= step_size * (reward - baseline) * pi
    h[action] += step_size * (reward - baseline)
    return h


def not_the_softmax(h, action, reward, baseline, step_size):
    return h + step_size * (reward - baseline) * ((np.arange(len(h)) == action) - h / h.sum())


def climbs_pi(h, action, reward, baseline, step_size):
    return push(h, action, step_size * (reward - baseline) * probabilities(h)[action])


def by_autograd(preferences, action, reward, baseline, step_size):
    h = torch.tensor(preferences, requires_grad=True)
    log_prob = h.log_softmax(0)[action]
    policy_gradient_loss(log_prob, torch.tensor(reward - baseline)).backward()
    return (h - step_size * h.grad).detach().numpy()


def loss_without_its_minus(preferences, action, reward, baseline, step_size):
    h = torch.tensor(preferences, requires_grad=True)
    ((reward - baseline) * h.log_softmax(0)[action]).backward()
    return h.detach() - step_size * h.grad


def with_a_loop(preferences, action, reward, baseline, step_size):
    pi, new = probabilities(preferences), []
    for b, h in enumerate(preferences):
        new.append(h + step_size * (reward - baseline) * ((1 - pi[b]) if b == action else -pi[b]))
    return new


def with_rlcore(preferences, action, reward, baseline, step_size):
    agent = GradientAgent(GradientConfig(step_size=step_size, baseline=False), 1, len(preferences), None)
    agent.preferences[:] = preferences
    agent.update(np.array([action]), np.array([reward - baseline]))
    return agent.preferences[0]


# 02.5 An assistant of your own
def average(likes, given):
    return likes / np.maximum(given, 1)


def optimistic(likes, given, random):
    return fair_argmax((likes + 5) / (given + 5), random)


def small_ucb(likes, given, random, c=0.3):
    t = given.sum(1, keepdims=True) + 1
    return fair_argmax(ucb(average(likes, given), given, t, c), random)


def one_by_one(likes, given, random):
    return [int(np.argmax([random.beta(1 + k, 1 + n - k) for k, n in zip(*row, strict=True)]))
            for row in zip(likes, given, strict=True)]


def thompson_in_torch(likes, given, random):
    likes, given = torch.from_numpy(likes), torch.from_numpy(given)
    spread = (0.25 / (given + 1)) ** 0.5
    return ((likes + 1) / (given + 2) + spread * torch.from_numpy(random.standard_normal(given.shape))).argmax(1)


def axis_zero(likes, given, random):
    return average(likes, given).argmax(0)


def pools_the_assistants(likes, given, random):
    total = random.beta(1 + likes.sum(0), 1 + given.sum(0) - likes.sum(0))
    return np.full(len(likes), (0.1 * total + random.random(len(total))).argmax())


MUTANTS = {
    "02.1": [
        Mutant("counted-too-late", counts_too_late),
        Mutant("divided-by-all-pulls", lambda q, counts, a, r, step_size=None:
               running(q, counts, a, r, step_size, n=lambda counts, a: counts.sum())),
        Mutant("every-arm", moves_every_arm),
        Mutant("last-reward-only", lambda q, counts, a, r, step_size=None: running(q, counts, a, r, 1.0)),
        Mutant("sum-not-average", lambda q, counts, a, r, step_size=None:
               running(q, counts, a, r, 1.0, surprise=lambda r, q: r)),
        Mutant("wrong-sign", lambda q, counts, a, r, step_size=None:
               running(q, counts, a, r, step_size, surprise=lambda r, q: q - r)),
        Mutant("average-of-two", lambda q, counts, a, r, step_size=None: running(q, counts, a, r, 0.5)),
        Mutant("not-counted", never_counts),
        Mutant("not-counted", counts_only_for_averages),
        Mutant("step-size-ignored", lambda q, counts, a, r, step_size=None: running(q, counts, a, r)),
        Mutant("changed-arguments", overwrites),
        Mutant("wrong-shape", lambda q, counts, a, r, step_size=None: running(q, counts, a, r, step_size)[0]),
    ],
    "02.2": [
        Mutant("first-tie", first_tie),
        Mutant("first-tie", compares_values_with_an_index),
        Mutant("one-coin", one_coin),
        Mutant("one-blind-arm", one_blind_arm),
        Mutant("never-the-best", leaves_the_best_out),
        Mutant("epsilon-inverted", inverted),
        Mutant("unfair-dice", forgets_the_last_arm),
        Mutant("other-dice", own_dice),
        Mutant("worst-arm", lambda q, epsilon, random: run_by_run(-q, epsilon, random)),
        Mutant("not-arms", lambda q, epsilon, random: q.max(1)),
        Mutant("wrong-shape", lambda q, epsilon, random: q.argmax(0)),
        Mutant("returned-nothing", lambda q, epsilon, random: None),
    ],
    "02.3": [
        Mutant("log-forgotten", lambda q, counts, t, c: ucb(q, counts, t, c, log=lambda t: t)),
        Mutant("other-logarithm", lambda q, counts, t, c: ucb(q, counts, t, c, log=np.log10)),
        Mutant("root-forgotten", lambda q, counts, t, c: ucb(q, counts, t, c, root=lambda x: x)),
        Mutant("c-inside-the-root", lambda q, counts, t, c: ucb(q, counts, t, 1.0, log=lambda t: c * np.log(t))),
        Mutant("log-of-the-counts", lambda q, counts, t, c: ucb(q, counts, t, c, log=lambda t: np.log(counts))),
        Mutant("upside-down", lambda q, counts, t, c: ucb(q, counts, t, c, root=lambda x: 1 / np.sqrt(x))),
        Mutant("bonus-subtracted", lambda q, counts, t, c: ucb(q, counts, t, c, sign=-1.0)),
        Mutant("guess-forgotten", lambda q, counts, t, c: ucb(0 * q, counts, t, c)),
        Mutant("untried-not-first", lambda q, counts, t, c: ucb(q, np.maximum(counts, 1), t, c)),
        Mutant("zero-by-zero", divides_by_zero),
    ],
    "02.4": [
        Mutant("wrong-sign", lambda h, a, r, b, alpha: push(h, a, -alpha * (r - b))),
        Mutant("wrong-sign", loss_without_its_minus),
        Mutant("no-baseline", lambda h, a, r, b, alpha: push(h, a, alpha * r)),
        Mutant("baseline-added", lambda h, a, r, b, alpha: push(h, a, alpha * (r + b))),
        Mutant("only-the-chosen-arm", lambda h, a, r, b, alpha:
               push(h, a, alpha * (r - b), lambda chosen, pi: chosen * (1 - pi))),
        Mutant("pi-forgotten", lambda h, a, r, b, alpha: push(h, a, alpha * (r - b), lambda chosen, pi: chosen)),
        Mutant("others-pushed-too", lambda h, a, r, b, alpha:
               push(h, a, alpha * (r - b), lambda chosen, pi: np.where(chosen, 1 - pi, pi))),
        Mutant("chosen-forgotten", lambda h, a, r, b, alpha: push(h, a, alpha * (r - b), lambda chosen, pi: -pi)),
        Mutant("no-step-size", lambda h, a, r, b, alpha: push(h, a, r - b)),
        Mutant("the-push-only", lambda h, a, r, b, alpha: push(h, a, alpha * (r - b)) - h),
        Mutant("gradient-of-pi", climbs_pi),
        Mutant("not-the-softmax", not_the_softmax),
        Mutant("probabilities-returned", lambda h, a, r, b, alpha: probabilities(push(h, a, alpha * (r - b)))),
        Mutant("overflow", naive_softmax),
        Mutant("changed-arguments", in_place),
    ],
    "02.5": [
        Mutant("stuck", lambda likes, given, random: fair_argmax(average(likes, given), random)),
        Mutant("always-the-same", lambda likes, given, random: average(likes, given).argmax(1)),
        Mutant("dice", lambda likes, given, random: random.integers(likes.shape[1], size=len(likes))),
        Mutant("blind-exploration", lambda likes, given, random: run_by_run(average(likes, given), 0.1, random)),
        Mutant("too-curious", lambda likes, given, random: small_ucb(likes, given, random, c=2.0)),
        Mutant("likes-the-worst", lambda likes, given, random: random.beta(1 + likes, 1 + given - likes).argmin(1)),
        Mutant("always-the-same", lambda likes, given, random: np.full(len(likes), 1)),
        Mutant("all-alike", pools_the_assistants),
        Mutant("wrong-shape", axis_zero),
        Mutant("not-replies", lambda likes, given, random: average(likes, given).max(1) + 0.5),
        Mutant("returned-nothing", lambda likes, given, random: None),
    ],
}
ALTERNATIVES = {
    "02.1": [running, weighted_mean, with_lists],
    "02.2": [run_by_run, by_probabilities, in_torch],
    "02.3": [ucb, arm_by_arm, infinity_afterwards],
    "02.4": [by_autograd, with_a_loop, with_rlcore, lambda h, a, r, b, alpha: push(h, a, alpha * (r - b))],
    "02.5": [optimistic, small_ucb, thompson_in_torch, one_by_one],
}
