"""What a policy in a table is worth, exactly: nothing is sampled, so policies differ by what they do, not by luck."""

import numpy as np

from rlcore.envs.discrete import TableWorld
from rlcore.envs.tables import TabularMDP
from rlcore.validate import check_fraction


def epsilon_greedy(q: np.ndarray, epsilon: float = 0.0) -> np.ndarray:
    """π(a | s) of a learner with this table, `[S, A]`: ε shared by all actions, the rest by the best ones.

    Raises:
        ValueError: ε outside [0, 1].
    """
    check_fraction("epsilon", epsilon)
    best, exists = q == q.max(1, keepdims=True), np.isfinite(q)
    return epsilon * exists / exists.sum(1, keepdims=True) + (1 - epsilon) * best / best.sum(1, keepdims=True)


def expected_return(world: TabularMDP | TableWorld, probs: np.ndarray, step_limit: int | None = None,
                    max_steps: int = 10_000) -> float:
    """The exact expected sum of rewards of one episode under a policy: nothing is sampled.

    Σₜ Σ_s dₜ(s) Σ_a π(a | s) r(s, a), where dₜ(s) is the probability that step t is taken, in state s.

    Args:
        world: a table; a `TableWorld` brings its step limit along.
        probs: π(a | s), `[S, A]`.
        step_limit: an episode is cut off after so many steps; None: it has to end.
        max_steps: how long a world without a limit may go on.

    Raises:
        ValueError: probabilities that are not `[S, A]` with rows that sum to 1.
        RuntimeError: a policy that never ends: after `max_steps` some episodes still run, and where.
    Source: Sutton & Barto (2018), section 9.2, for d; undiscounted.
    """
    if isinstance(world, TableWorld):
        world, step_limit = world.mdp, world.step_limit if step_limit is None else step_limit
    probs = np.asarray(probs, float)
    if probs.shape != (world.num_states, world.num_actions) or not np.allclose(probs.sum(1), 1.0) or (probs < 0).any():
        raise ValueError(f"probs must be [{world.num_states}, {world.num_actions}] with rows that sum to 1, but is "
                         f"{probs.shape}")
    rewards = (probs * world.rewards).sum(1)  # [S]
    flow = probs[:, :, None] * world.probabilities * ~world.terminated  # [S, A, K]: to go on to next_states
    there, total = world.start.copy(), 0.0  # [S]
    for _ in range(step_limit or max_steps):
        total += there @ rewards
        there = np.bincount(world.next_states.ravel(), (there[:, None, None] * flow).ravel(), world.num_states)
        if there.sum() < 1e-12:
            return float(total)
    if step_limit is None:
        raise RuntimeError(f"this policy does not end: after max_steps={max_steps} steps a share of {there.sum():.2g} "
                           f"of its episodes still runs, most of them in state {there.argmax()}. Give the evaluation a "
                           "step_limit, or train for longer")
    return float(total)
