"""Wrong answers to chapter 05, taken from real bugs, and right ones in another style."""

import random

import numpy as np
import torch

from tests.mutants import Mutant


# 05.1 The choice
def first_of_equals(row, epsilon, dice):
    """IntelLabs/coach #414."""
    return dice.randrange(len(row)) if dice.random() < epsilon else int(np.argmax(row))


def only_if_all_are_tied(row, epsilon, dice):
    """Gymnasium's FrozenLake tutorial before #1037."""
    if dice.random() < epsilon or len(set(row)) == 1:
        return dice.randrange(len(row))
    return row.index(max(row))


def last_of_equals(row, epsilon, dice):
    if dice.random() < epsilon:
        return dice.randrange(len(row))
    best = 0
    for action, value in enumerate(row):
        if value >= row[best]:
            best = action
    return best


def best_of(row, dice):
    return dice.choice([action for action, value in enumerate(row) if value == max(row)])


def epsilon_inverted(row, epsilon, dice):
    """satwikkansal/q-learning-taxi-v3 #1."""
    return dice.randrange(len(row)) if dice.random() > epsilon else best_of(row, dice)


def avoids_the_best(row, epsilon, dice):
    others = [action for action, value in enumerate(row) if value < max(row)]
    return dice.choice(others) if others and dice.random() < epsilon else best_of(row, dice)


def worst(row, epsilon, dice):
    if dice.random() < epsilon:
        return dice.randrange(len(row))
    return dice.choice([action for action, value in enumerate(row) if value == min(row)])


def zero_is_best(row, epsilon, dice):
    if dice.random() < epsilon:
        return dice.randrange(len(row))
    highest, best = 0.0, []
    for action, value in enumerate(row):
        if value > highest:
            highest, best = value, [action]
        elif value == highest:
            best.append(action)
    return dice.choice(best) if best else 0


def with_numpy(row, epsilon, dice):
    row = np.array(row)
    probs = epsilon / len(row) + (1 - epsilon) * (row == row.max()) / (row == row.max()).sum()
    return np.searchsorted(probs.cumsum(), dice.random(), side="right")


def shuffles_first(row, epsilon, dice):
    order = list(range(len(row)))
    dice.shuffle(order)
    return order[0] if dice.random() < epsilon else max(order, key=row.__getitem__)


# 05.2 One step of Q-learning
def q_step(q, s, a, r, s2, end, alpha, gamma, future=lambda q, s, s2: q[s2].max(), target=None, move=None):
    """The step, with a switch for each usual mistake."""
    q = np.array(q)
    ahead = 0.0 if end else future(q, s, s2)
    goal = r + gamma * ahead if target is None else target(r, gamma, ahead)
    q[s, a] = q[s, a] + alpha * (goal - q[s, a]) if move is None else move(q[s, a], goal, alpha)
    return q


def bad_step(**wrong):
    return lambda q, s, a, r, s2, end, alpha, gamma: q_step(q, s, a, r, s2, end, alpha, gamma, **wrong)


def in_place(q, s, a, r, s2, end, alpha, gamma):
    q[s, a] += alpha * (r + gamma * (not end) * q[s2].max() - q[s, a])
    return q


def with_lists(q, s, a, r, s2, end, alpha, gamma):
    q = q.tolist()
    q[s][a] = (1 - alpha) * q[s][a] + alpha * (r if end else r + gamma * max(q[s2]))
    return q


def with_torch(q, s, a, r, s2, end, alpha, gamma):
    q = torch.tensor(q)
    q[s, a] += alpha * (r + gamma * q[s2].max() * (1 - int(end)) - q[s, a])
    return q


# 05.3 Expected SARSA's future
def by_probabilities(row, epsilon):
    probs = [epsilon / len(row)] * len(row)
    probs[row.index(max(row))] += 1 - epsilon
    return sum(p * value for p, value in zip(probs, row, strict=True))


def shares_among_ties(row, epsilon):
    row = np.array(row)
    best = row == row.max()
    return ((epsilon / row.size + (1 - epsilon) * best / best.sum()) * row).sum()


def ties_twice(row, epsilon):
    return sum((epsilon / len(row) + (1 - epsilon) * (value == max(row))) * value for value in row)


def others_only(row, epsilon):
    best = row.index(max(row))
    others = [value for action, value in enumerate(row) if action != best]
    return (1 - epsilon) * row[best] + epsilon * sum(others) / len(others)


# 05.4 Twins
def twins(q1, q2, s, a, r, s2, end, alpha, gamma, future=lambda q1, q2: q2[q1.argmax()], old=None):
    """The step of the first twin, with a switch for each usual mistake."""
    new = q1.copy()
    before = q1[s, a] if old is None else old(q1, q2)[s, a]
    new[s, a] = before + alpha * (r + gamma * (0.0 if end else future(q1[s2], q2[s2])) - before)
    return new


def bad_twins(**wrong):
    return lambda q1, q2, s, a, r, s2, end, alpha, gamma: twins(q1, q2, s, a, r, s2, end, alpha, gamma, **wrong)


def no_end(q1, q2, s, a, r, s2, end, alpha, gamma):
    return twins(q1, q2, s, a, r, s2, False, alpha, gamma)


def wrong_twin(q1, q2, s, a, r, s2, end, alpha, gamma):
    new = q2.copy()
    new[s, a] += alpha * (r + gamma * (not end) * q2[s2, q1[s2].argmax()] - q2[s, a])
    return new


def twins_in_place(q1, q2, s, a, r, s2, end, alpha, gamma):
    q1[s, a] += alpha * (r + gamma * (not end) * q2[s2, q1[s2].argmax()] - q1[s, a])
    return q1


def twins_with_lists(q1, q2, s, a, r, s2, end, alpha, gamma):
    q1, q2 = q1.tolist(), q2.tolist()
    future = 0.0 if end else q2[s2][q1[s2].index(max(q1[s2]))]
    q1[s][a] += alpha * (r + gamma * future - q1[s][a])
    return q1


# 05.5 Across the cliff
def learner(world, episodes, seed, future="max", stop=lambda ended, cut: ended or cut, follow=True, write=True,
            sign=1.0, epsilon=0.1, resets=None):
    """Q-learning, with a switch for each usual mistake."""
    dice, q = random.Random(seed), np.zeros((48, 4))

    def choose(state):
        blind, best = dice.random() < epsilon, np.flatnonzero(q[state] == q[state].max())
        return dice.randrange(4) if blind else int(dice.choice(best))

    for episode in range(episodes):
        if episode == 0 or resets != "once":
            state, _ = world.reset(seed=seed + 1000 * episode)
        action, done = choose(state), False
        while not done:
            next_state, reward, ended, cut, _ = world.step(action)
            next_action = choose(next_state)
            ahead = {"max": q[next_state].max(), "sarsa": q[next_state, next_action],
                     "expected": 0.9 * q[next_state].max() + 0.1 * q[next_state].mean()}[future]
            if write:
                q[state, action] += 0.5 * (sign * reward + (not ended) * ahead - q[state, action])
            if follow:
                state = next_state
            action, done = next_action if follow else choose(state), stop(ended, cut)
        if resets == "returns early":
            return q
    return q


def minimises(world, episodes, seed):
    """Costs instead of rewards, and the smallest taken: the table is the other way up."""
    dice, costs = random.Random(seed), np.zeros((48, 4))
    for episode in range(episodes):
        state, _ = world.reset(seed=seed + 1000 * episode)
        done = False
        while not done:
            best = np.flatnonzero(costs[state] == costs[state].min())
            action = dice.randrange(4) if dice.random() < 0.1 else int(dice.choice(best))
            next_state, reward, ended, cut, _ = world.step(action)
            ahead = 0.0 if ended else costs[next_state].min()
            costs[state, action] += 0.5 * (-reward + ahead - costs[state, action])
            state, done = next_state, ended or cut
    return costs


def as_dictionary(world, episodes, seed):
    from collections import defaultdict

    dice, q = random.Random(seed), defaultdict(float)
    for _ in range(episodes):
        state, done = world.reset(seed=dice.randrange(10**6))[0], False
        while not done:
            action = max(range(4), key=lambda a: (q[state, a], dice.random()))
            if dice.random() < 0.05:
                action = world.action_space.sample()
            after, reward, ended, cut, _ = world.step(action)
            q[state, action] += 0.7 * (reward + (not ended) * max(q[after, b] for b in range(4)) - q[state, action])
            state, done = after, ended or cut
    return [[q[s, a] for a in range(4)] for s in range(48)]


MUTANTS = {
    "05.1": [
        Mutant("first-of-equals", first_of_equals),
        Mutant("first-of-equals", only_if_all_are_tied),
        Mutant("last-of-equals", last_of_equals),
        Mutant("epsilon-inverted", epsilon_inverted),
        Mutant("blind-avoids-the-best", avoids_the_best),
        Mutant("never-blind", lambda row, epsilon, dice: best_of(row, dice)),
        Mutant("always-blind", lambda row, epsilon, dice: dice.randrange(len(row))),
        Mutant("worst-not-best", worst),
        Mutant("zero-is-best", zero_is_best),
        Mutant("no-action", lambda row, epsilon, dice: max(row) + 0.5),
        Mutant("returned-nothing", lambda row, epsilon, dice: None),
    ],
    "05.2": [
        Mutant("mean-not-max", bad_step(future=lambda q, s, s2: q[s2].mean())),
        Mutant("row-of-the-old-state", bad_step(future=lambda q, s, s2: q[s].max())),
        Mutant("whole-table", bad_step(future=lambda q, s, s2: q.max())),
        Mutant("argmax-not-max", bad_step(future=lambda q, s, s2: q[s2].argmax())),
        Mutant("zero-is-best", bad_step(future=lambda q, s, s2: max(0.0, q[s2].max()))),
        Mutant("no-discount", bad_step(target=lambda r, gamma, ahead: r + ahead)),
        Mutant("discounted-reward", bad_step(target=lambda r, gamma, ahead: gamma * (r + ahead))),
        Mutant("reward-forgotten", bad_step(target=lambda r, gamma, ahead: gamma * ahead)),
        Mutant("no-step-size", bad_step(move=lambda old, goal, alpha: goal)),
        Mutant("not-the-difference", bad_step(move=lambda old, goal, alpha: old + alpha * goal)),
        Mutant("weights-swapped", bad_step(move=lambda old, goal, alpha: alpha * old + (1 - alpha) * goal)),
        Mutant("away-from-the-target", bad_step(move=lambda old, goal, alpha: old + alpha * (old - goal))),
        Mutant("terminated-inverted", lambda q, s, a, r, s2, end, *rest: q_step(q, s, a, r, s2, not end, *rest)),
        Mutant("future-after-the-end", lambda q, s, a, r, s2, end, *rest: q_step(q, s, a, r, s2, False, *rest)),
        Mutant("changed-arguments", in_place),
        Mutant("only-the-number", lambda q, s, a, *rest: q_step(q, s, a, *rest)[s, a]),
    ],
    "05.3": [
        Mutant("blind-avoids-the-best", others_only),
        Mutant("epsilon-swapped", lambda row, epsilon: epsilon * max(row) + (1 - epsilon) * sum(row) / len(row)),
        Mutant("just-the-mean", lambda row, epsilon: sum(row) / len(row)),
        Mutant("just-the-max", lambda row, epsilon: max(row)),
        Mutant("ties-counted-twice", ties_twice),
        Mutant("sum-not-mean", lambda row, epsilon: (1 - epsilon) * max(row) + epsilon * sum(row)),
        Mutant("greedy-part-missing", lambda row, epsilon: epsilon * sum(row) / len(row)),
        Mutant("blind-part-missing", lambda row, epsilon: (1 - epsilon) * max(row)),
    ],
    "05.4": [
        Mutant("grades-itself", bad_twins(future=lambda q1, q2: q1.max())),
        Mutant("roles-swapped", bad_twins(future=lambda q1, q2: q1[q2.argmax()])),
        Mutant("maximum-of-the-other", bad_twins(future=lambda q1, q2: q2.max())),
        Mutant("mean-of-both", bad_twins(future=lambda q1, q2: ((q1 + q2) / 2).max())),
        Mutant("moved-the-other-value", bad_twins(old=lambda q1, q2: q2)),
        Mutant("returned-the-other", wrong_twin),
        Mutant("both-tables", lambda q1, q2, *rest: (twins(q1, q2, *rest), q2)),
        Mutant("future-after-the-end", no_end),
        Mutant("changed-arguments", twins_in_place),
    ],
    "05.5": [
        Mutant("safe-path", lambda world, episodes, seed: learner(world, episodes, seed, future="sarsa")),
        Mutant("safe-path", lambda world, episodes, seed: learner(world, episodes, seed, future="expected")),
        Mutant("truncation-ignored", lambda world, episodes, seed: learner(
            world, episodes, seed, stop=lambda ended, cut: ended, write=False)),
        Mutant("not-reset", lambda world, episodes, seed: learner(world, episodes, seed, resets="once")),
        Mutant("too-few-episodes", lambda world, episodes, seed: learner(
            world, episodes, seed, resets="returns early")),
        Mutant("state-not-updated", lambda world, episodes, seed: learner(world, episodes, seed, follow=False)),
        Mutant("table-never-written", lambda world, episodes, seed: learner(world, episodes, seed, write=False)),
        Mutant("sign-flipped", minimises),
        Mutant("wrong-shape", lambda world, episodes, seed: learner(world, episodes, seed).T),
    ],
}
ALTERNATIVES = {
    "05.1": [with_numpy, shuffles_first],
    "05.2": [q_step, with_lists, with_torch],
    "05.3": [by_probabilities, shares_among_ties],
    "05.4": [twins, twins_with_lists],
    "05.5": [learner, as_dictionary, lambda world, episodes, seed: learner(world, episodes, seed, epsilon=0.0)],
}
