"""Wrong answers to chapter 03, taken from real bugs, and right ones in another style."""

import numpy as np

from rlcore.agents.dynamic_programming import DPConfig, exact_values, train
from rlcore.envs.tables import TabularMDP
from tests.mutants import Mutant


# 03.1 Look one step ahead
def look(outcomes, V, gamma, cut=lambda over: over):
    return sum(p * (r + gamma * (0.0 if cut(over) else V[s])) for p, s, r, over in outcomes)


def keeps_the_last(outcomes, V, gamma):
    for p, s, r, over in outcomes:
        total = p * (r + gamma * (0.0 if over else V[s]))
    return total


def with_arrays(outcomes, V, gamma):
    p, s, r, over = (np.array(column) for column in zip(*outcomes, strict=True))
    return p @ (r + gamma * np.array(V)[s.astype(int)] * ~over.astype(bool))


def writes_zeros(outcomes, V, gamma):
    for _, s, _, over in outcomes:
        if over:
            V[s] = 0.0
    return sum(p * (r + gamma * V[s]) for p, s, r, _ in outcomes)


# 03.2 Value and advantage
def pair(policy, Q):
    V = np.einsum("sa,sa->s", policy, Q)
    return V, (Q.T - V).T


def with_loops(policy, Q):
    V = [sum(p * q for p, q in zip(*row, strict=True)) for row in zip(policy, Q, strict=True)]
    return V, [[q - v for q in row] for row, v in zip(Q, V, strict=True)]


def from_v(value):
    return lambda policy, Q: (value(policy, Q), Q - value(policy, Q)[:, None])


# 03.3 Policy evaluation
def sweeps(P, policy, gamma, tol=1e-10, look=look, stop=lambda change, tol: np.abs(change).max() <= tol, mix=None,
           limit=3000):
    V = np.zeros(len(P))
    for _ in range(limit):
        Q = [[look(P[s][a], V, gamma) for a in P[s]] for s in range(len(P))]
        V_new = np.array([mix(q) if mix else np.dot(policy[s], q) for s, q in enumerate(Q)])
        change, V = V_new - V, V_new
        if stop(change, tol):
            break
    return V


def in_place(P, policy, gamma, tol=1e-10):
    V, change = [0.0] * len(P), 1.0
    while change > tol:
        change = 0.0
        for s in range(len(P)):
            old = V[s]
            V[s] = sum(policy[s][a] * look(P[s][a], V, gamma) for a in P[s])
            change = max(change, abs(old - V[s]))
    return V


def as_equations(P, policy, gamma, tol=1e-10):
    return exact_values(TabularMDP.from_table(P), np.array(policy), gamma)


def no_end(outcomes, V, gamma):
    return look(outcomes, V, gamma, cut=lambda over: False)


# 03.4 Value iteration
def solved(P, gamma, tol=1e-10, mix=max, choose=None, **how):
    V = sweeps(P, None, gamma, tol, mix=mix, **how)
    choose = choose or (lambda s: np.argmax([look(P[s][a], V, gamma) for a in P[s]]))
    return V, np.array([choose(s) for s in range(len(P))])


def chooses_by(score):
    def solve(P, gamma, tol=1e-10):
        V, _ = solved(P, gamma, tol)
        return V, np.array([np.argmax([score(P[s][a], V) for a in P[s]]) for s in range(len(P))])
    return solve


def with_the_house(P, gamma, tol=1e-10):
    best = train(TabularMDP.from_table(P), DPConfig(gamma=gamma, tol=tol))
    return best.value, best.q.argmax(1)


def by_policy_iteration(P, gamma, tol=1e-10):
    best = train(TabularMDP.from_table(P), DPConfig(gamma=gamma, method="policy_iteration"))
    return best.value.tolist(), best.q.argmax(1).tolist()


# 03.5 What an unfinished sentence is worth
def is_over(text, max_length):
    return len(text) >= max_length or text[-1:] == (".",)


def value(text, next_tokens, reward, max_length, mix=None, over=is_over, pay=None, along=False):
    if over(text, max_length):
        return pay(text, reward) if pay else reward(text)
    branches = [(p, value((*text, token), next_tokens, reward, max_length, mix, over, pay, along))
                for token, p in next_tokens(text).items()]
    total = mix(branches) if mix else sum(p * v for p, v in branches)
    return total + reward(text) if along else total


def by_layers(text, next_tokens, reward, max_length):
    total, layer = 0.0, {text: 1.0}
    while layer:
        after = {}
        for written, p in layer.items():
            if is_over(written, max_length):
                total += p * reward(written)
            else:
                after |= {(*written, token): p * q for token, q in next_tokens(written).items()}
        layer = after
    return total


def backwards(text, next_tokens, reward, max_length):
    stack, total = [(text, 1.0)], 0.0
    while stack:
        written, p = stack.pop()
        if is_over(written, max_length):
            total += p * reward(written)
        else:
            stack += [((*written, token), p * q) for token, q in next_tokens(written).items()]
    return np.float64(total)


def with_(**how):
    return lambda *arguments: value(*arguments, **how)


MUTANTS = {
    "03.1": [
        Mutant("terminated-ignored", no_end),
        Mutant("flag-inverted", lambda o, V, gamma: look(o, V, gamma, cut=lambda over: not over)),
        Mutant("end-skipped", lambda o, V, gamma: look([x for x in o if not x[3]], V, gamma) if len(o) > 1 else
               look(o, V, gamma)),
        Mutant("no-discount", lambda o, V, gamma: look(o, V, 1.0)),
        Mutant("reward-discounted", lambda o, V, gamma: gamma * look(o, V, 1.0)),
        Mutant("reward-not-weighted", lambda o, V, gamma: sum(
            r + gamma * p * (0.0 if over else V[s]) for p, s, r, over in o)),
        Mutant("no-probabilities", lambda o, V, gamma: look([(1.0, *x[1:]) for x in o], V, gamma)),
        Mutant("no-future", lambda o, V, gamma: look(o, V, 0.0)),
        Mutant("not-summed", keeps_the_last),
        Mutant("changed-arguments", writes_zeros),
    ],
    "03.2": [
        Mutant("wrong-broadcast", lambda policy, Q: ((policy * Q).sum(1), Q - (policy * Q).sum(1))),
        Mutant("max-not-mean", from_v(lambda policy, Q: Q.max(1))),
        Mutant("policy-ignored", from_v(lambda policy, Q: Q.mean(1))),
        Mutant("sign", lambda policy, Q: ((policy * Q).sum(1), (policy * Q).sum(1)[:, None] - Q)),
        Mutant("wrong-axis", lambda policy, Q: ((policy * Q).sum(0), Q - (policy * Q).sum(0))),
        Mutant("advantage-weighted", lambda policy, Q: (pair(policy, Q)[0], policy * pair(policy, Q)[1])),
        Mutant("one-thing", lambda policy, Q: pair(policy, Q)[1]),
        Mutant("turned-round", lambda policy, Q: pair(policy, Q)[::-1]),
        Mutant("returned-nothing", lambda policy, Q: None),
    ],
    "03.3": [
        Mutant("one-sweep", lambda P, policy, gamma, tol=1e-10: sweeps(P, policy, gamma, limit=1)),
        Mutant("terminated-ignored", lambda P, policy, gamma, tol=1e-10: sweeps(P, policy, gamma, look=no_end)),
        Mutant("max-not-mean", lambda P, policy, gamma, tol=1e-10: sweeps(P, policy, gamma, mix=max)),
        Mutant("policy-ignored", lambda P, policy, gamma, tol=1e-10: sweeps(P, policy, gamma, mix=np.mean)),
        Mutant("policy-summed", lambda P, policy, gamma, tol=1e-10: sweeps(P, policy, gamma, mix=sum, limit=200)),
        Mutant("no-discount", lambda P, policy, gamma, tol=1e-10: sweeps(P, policy, 1.0)),
        Mutant("stopped-too-soon", lambda P, policy, gamma, tol=1e-10: sweeps(P, policy, gamma, limit=10)),
        Mutant("no-absolute-value", lambda P, policy, gamma, tol=1e-10: sweeps(
            P, policy, gamma, stop=lambda change, tol: change.max() <= tol)),
        Mutant("changes-cancel", lambda P, policy, gamma, tol=1e-10: sweeps(
            P, policy, gamma, stop=lambda change, tol: abs(change.sum()) <= tol)),
    ],
    "03.4": [
        Mutant("terminated-ignored", lambda P, gamma, tol=1e-10: solved(P, gamma, look=no_end)),
        Mutant("mean-not-max", lambda P, gamma, tol=1e-10: solved(P, gamma, mix=np.mean)),
        Mutant("one-sweep", lambda P, gamma, tol=1e-10: solved(P, gamma, limit=1)),
        Mutant("no-discount", lambda P, gamma, tol=1e-10: solved(P, 1.0)),
        Mutant("worst-not-best", lambda P, gamma, tol=1e-10: solved(P, gamma, mix=min)),
        Mutant("greedy-for-reward", chooses_by(lambda outcomes, V: look(outcomes, V, 0.0))),
        Mutant("greedy-for-place", chooses_by(lambda outcomes, V: sum(p * V[s] for p, s, _, _ in outcomes))),
        Mutant("worst-action", lambda P, gamma, tol=1e-10: (solved(P, gamma)[0], np.array([
            np.argmin([look(P[s][a], solved(P, gamma)[0], gamma) for a in P[s]]) for s in range(len(P))]))),
        Mutant("no-absolute-value", lambda P, gamma, tol=1e-10: solved(
            P, gamma, stop=lambda change, tol: change.max() <= tol)),
        Mutant("not-a-pair", lambda P, gamma, tol=1e-10: solved(P, gamma)[0]),
    ],
    "03.5": [
        Mutant("best-not-average", with_(mix=lambda b: max(v for _, v in b))),
        Mutant("probabilities-ignored", with_(mix=lambda b: sum(v for _, v in b) / len(b))),
        Mutant("not-weighted", with_(mix=lambda b: sum(v for _, v in b))),
        Mutant("stop-ignored", with_(over=lambda text, most: len(text) == most)),
        Mutant("one-token-more", with_(over=lambda text, most: len(text) > most or text[-1:] == (".",))),
        Mutant("no-end", with_(over=lambda text, most: False)),
        Mutant("paid-on-the-way", with_(along=True)),
        Mutant("last-token-lost", with_(pay=lambda text, reward: reward(text[:-1]))),
        Mutant("unfinished-unpaid", with_(pay=lambda text, reward: reward(text) if text[-1] == "." else 0.0)),
    ],
}
ALTERNATIVES = {
    "03.1": [look, with_arrays],
    "03.2": [pair, with_loops],
    "03.3": [sweeps, in_place, as_equations],
    "03.4": [solved, with_the_house, by_policy_iteration],
    "03.5": [value, by_layers, backwards],
}
