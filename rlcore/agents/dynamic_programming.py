"""Dynamic programming: the value of every state, worked out from the rules of the world.

What changed since the bandits: an action also leads somewhere, so its value is its reward *plus γ times what the next
state is worth*. Nothing is tried out and nothing is random: the table of the world is known, and averages over what
happened become expectations over what can happen.

`values` are `[S]`, action values `q` are `[S, A]`, a policy is its probabilities `[S, A]`.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from rlcore.envs.tables import TabularMDP
from rlcore.policies import TabularPolicy
from rlcore.validate import check_choice, check_fraction, check_positive


def action_values(mdp: TabularMDP, values: np.ndarray, gamma: float) -> np.ndarray:
    """Look one step ahead, `[S] -> [S, A]`.

    q(s, a) = r(s, a) + γ Σ_s' p(s' | s, a) v(s'), and nothing is added after an end.

    With v = V^π this is Q^π; with v = V* it is Q*.

    Raises:
        ValueError: γ outside [0, 1], or values that are not one for each state.
    Source: Sutton & Barto (2018), eq. 4.6.
    """
    check_fraction("gamma", gamma)
    if np.shape(values) != (mdp.num_states,):
        raise ValueError(f"values must be one for each of {mdp.num_states} states, but have shape {np.shape(values)}")
    return mdp.rewards + gamma * mdp.expect(values)


def state_values(policy: np.ndarray, q: np.ndarray) -> np.ndarray:
    """What a state is worth to somebody who acts by `policy`, `[S]`: v(s) = Σ_a π(a | s) q(s, a).

    Raises:
        ValueError: unequal shapes, or probabilities that do not sum to 1 in some state.
    Source: Sutton & Barto (2018), exercise 3.18.
    """
    _check_policy(policy, q.shape)
    return (policy * q).sum(-1)


def advantages(policy: np.ndarray, q: np.ndarray) -> np.ndarray:
    """How much better each action is than what `policy` usually does, `[S, A]`: A(s, a) = q(s, a) − v(s).

    Under the policy itself they average to 0 in every state; under the best policy none is above 0.

    Source: Baird (1993), "Advantage updating".
    """
    return q - state_values(policy, q)[:, None]


def greedy(q: np.ndarray) -> np.ndarray:
    """All the probability on the best action, `[S, A]`, in equal shares where several are best.

    Values within 1e-9 of the largest one count as equal to it, since rounding decides between them.
    """
    best = q >= q.max(-1, keepdims=True) - 1e-9 * (1.0 + np.abs(q).max())
    return best / best.sum(-1, keepdims=True)


def exact_values(mdp: TabularMDP, policy: np.ndarray, gamma: float) -> np.ndarray:
    """V^π as the solution of S linear equations, `[S]`: the oracle for everything that iterates.

    v = r_π + γ P_π v, so (I − γ P_π) v = r_π

    Raises:
        ValueError: γ outside [0, 1]; a policy that is none; γ = 1 where the policy can go on for ever.
    Source: Sutton & Barto (2018), section 4.1 (eq. 4.4 is this system).
    """
    _check_policy(policy, mdp.rewards.shape)
    ends = _check_ends(mdp, policy, gamma)
    chain = np.einsum("sa,sat->st", policy, mdp.transitions)  # P_π [S, S]
    rewards = (policy * mdp.rewards).sum(-1)  # r_π [S]
    values = np.zeros(mdp.num_states)  # where nothing is ever paid and nothing ends: 0, also at γ = 1
    values[ends] = np.linalg.solve(np.eye(ends.sum()) - gamma * chain[np.ix_(ends, ends)], rewards[ends])
    return values


def evaluation_sweeps(mdp: TabularMDP, policy: np.ndarray, gamma: float) -> Iterator[np.ndarray]:
    """Iterative policy evaluation: v₀ = 0, then v_{k+1}(s) = Σ_a π(a|s) [r + γ Σ p v_k], for ever. Yields every v_k.

    v_k is the value of acting by the policy for k steps; it comes closer to V^π by the factor γ or better per sweep.

    Raises:
        ValueError: γ outside [0, 1]; a policy that is none; γ = 1 where the policy can go on for ever.
    Source: Sutton & Barto (2018), eq. 4.5.
    """
    _check_policy(policy, mdp.rewards.shape)
    _check_ends(mdp, policy, gamma)
    values = np.zeros(mdp.num_states)
    while True:
        yield values
        values = state_values(policy, action_values(mdp, values, gamma))


def value_iteration_sweeps(mdp: TabularMDP, gamma: float) -> Iterator[np.ndarray]:
    """Value iteration: the same with the best action in place of the average one. Yields every v_k.

    v_{k+1}(s) = max_a [r(s, a) + γ Σ_s' p(s' | s, a) v_k(s')]

    v_k is the most that can be had with k steps to go, so at γ = 1 it also solves every finite horizon.

    Raises:
        ValueError: γ outside [0, 1].
    Source: Sutton & Barto (2018), eq. 4.10.
    """
    values = np.zeros(mdp.num_states)
    while True:
        yield values
        values = action_values(mdp, values, gamma).max(-1)


def policy_iteration_rounds(mdp: TabularMDP, gamma: float) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Policy iteration: solve for V^π, act greedily on it, again. Yields (π, V^π), first for the uniform policy.

    Ends when the *values* no longer change. The policies may: where several are best, a loop that waits for the policy
    to stand still can go round for ever (Sutton & Barto, 2018, exercise 4.4).

    Raises:
        ValueError: γ outside [0, 1]; γ = 1 where one of the policies can go on for ever.
    Source: Sutton & Barto (2018), section 4.3.
    """
    policy = np.full(mdp.rewards.shape, 1 / mdp.num_actions)
    values = exact_values(mdp, policy, gamma)
    while True:
        yield policy, values
        policy, before = greedy(action_values(mdp, values, gamma)), values
        values = exact_values(mdp, policy, gamma)
        if np.abs(values - before).max() <= 1e-9 * (1.0 + np.abs(values).max()):
            return


@dataclass(frozen=True)
class DPConfig:
    """Dynamic programming on a known table."""

    gamma: float = 0.9  # discount, in [0, 1]; 1 only where every policy worth having ends
    method: str = "value_iteration"  # or "policy_iteration"
    tol: float = 1e-10  # stop when a sweep changes no value by more than this (reward's units)
    max_sweeps: int = 100_000  # give up after so many: the values are then growing without limit, or γ is nearly 1

    def __post_init__(self):
        check_fraction("gamma", self.gamma)
        check_choice("method", self.method, ("value_iteration", "policy_iteration"))
        check_positive("tol", self.tol)
        check_positive("max_sweeps", self.max_sweeps)


@dataclass(frozen=True)
class DPResult:
    """The best policy, what it is worth, and how the values got there."""

    policy: TabularPolicy
    value: np.ndarray  # V* [S]
    q: np.ndarray  # Q* [S, A]
    history: list[dict[str, float]]  # one row per sweep (or round): its number, and the largest change of a value


def train(mdp: TabularMDP, config: DPConfig, seed: int = 0) -> DPResult:
    """Solve a world whose rules are known.

    Nothing is drawn at random, so `seed` changes nothing: it is here because every agent's `train` has it. Where
    several actions are best, the policy takes each of them as often.

    Raises:
        ValueError: γ = 1 in a world, or a part of it, that no policy can end.
        RuntimeError: the values still change after `max_sweeps`.
    """
    _check_ends(mdp, np.ones(mdp.rewards.shape), config.gamma)  # whatever is done with some probability
    history, before = [], None
    if config.method == "policy_iteration":
        steps = (values for _, values in policy_iteration_rounds(mdp, config.gamma))
    else:
        steps = value_iteration_sweeps(mdp, config.gamma)
    for sweep, values in enumerate(steps):
        if before is not None:
            history.append({"sweep": sweep, "change": float(np.abs(values - before).max())})
            if history[-1]["change"] <= config.tol:
                break
            if sweep >= config.max_sweeps:
                raise RuntimeError(f"after max_sweeps={sweep} a sweep still changes the values by "
                                   f"{history[-1]['change']:.3g}: at gamma={config.gamma} they may have no limit")
        before = values
    q = action_values(mdp, values, config.gamma)
    return DPResult(TabularPolicy.from_probabilities(greedy(q)), values, q, history)


def _check_policy(policy: np.ndarray, shape: tuple[int, int]) -> None:
    """Require a distribution over actions in every state."""
    if np.shape(policy) != shape:
        raise ValueError(f"policy must hold a probability for each state and action, {shape}, but is "
                         f"{np.shape(policy)}")
    sums = policy.sum(-1)
    wrong = np.flatnonzero((policy < 0).any(-1) | ~np.isclose(sums, 1.0, rtol=0.0, atol=1e-6))
    if len(wrong):
        raise ValueError(f"policy must hold probabilities that sum to 1 in every state, but in state {wrong[0]} they "
                         f"are {policy[wrong[0]].tolist()} and sum to {sums[wrong[0]]:.6g}")


def _check_ends(mdp: TabularMDP, policy: np.ndarray, gamma: float) -> np.ndarray:
    """The states whose value is one of finitely large sums, `[S]` bool: all, or at γ = 1 those from which it can end.

    Raises:
        ValueError: at γ = 1, a state from which the policy never ends although it is paid on the way.
    """
    check_fraction("gamma", gamma)
    if gamma < 1:
        return np.ones(mdp.num_states, bool)
    if not (mdp.terminated & (mdp.probabilities > 0)).any():
        raise ValueError("gamma must be below 1 in a world that never ends, but is 1: the sum of its rewards has no "
                         "limit")
    happens = (policy[..., None] > 0) & (mdp.probabilities > 0)  # [S, A, K]
    ends = np.zeros(mdp.num_states, bool)
    while True:
        more = (happens & (mdp.terminated | ends[mdp.next_states])).any((1, 2))
        if (more == ends).all():
            break
        ends = more
    paid = ((policy > 0) & (mdp.rewards != 0)).any(-1) & ~ends
    if paid.any():
        raise ValueError(f"gamma must be below 1 with a policy that never ends, but is 1: from state "
                         f"{np.flatnonzero(paid)[0]} this one goes on for ever, and something is paid on the way: the "
                         "sum may have no limit")
    return ends
