"""Random walks whose values are known, and a world of one state on which ordinary importance sampling never settles.

On a walk, state 0 is the left end, 1..N are the places, N + 1 is the right end; action 0 steps left and 1 right, so
that "a random walk" is what the policy of a fair coin does here, and other policies can be asked about too.
"""

import numpy as np

from rlcore.envs.table_env import TabularEnv
from rlcore.envs.table_vector_env import TabularVectorEnv
from rlcore.envs.tables import Outcome, TabularMDP
from rlcore.validate import check_fraction

LEFT, RIGHT = 0, 1


def random_walk(num_states: int = 5, left: float = 0.0, right: float = 1.0) -> TabularMDP:
    """N places in a row; the walk starts in the middle and ends with `left` or `right` as its only reward.

    N = 5 is Sutton & Barto's Example 6.2; N = 19 with −1 and +1 at the ends is the one of Figures 7.2 and 12.3.

    Raises:
        ValueError: a number of places that is below 1, or even, so that there is no middle.
    """
    if num_states < 1 or num_states % 2 == 0:
        raise ValueError(f"num_states must be odd and at least 1, so that there is a middle, but is {num_states}")

    def outcomes(state: int, action: int) -> list[Outcome]:
        if state in (0, num_states + 1):
            return [(1.0, state, 0.0, True)]
        after = state + (1 if action == RIGHT else -1)
        reward = {0: left, num_states + 1: right}.get(after, 0.0)
        return [(1.0, after, reward, after in (0, num_states + 1))]

    return TabularMDP.from_function(num_states + 2, 2, outcomes, start=(num_states + 1) // 2)


def true_values(num_states: int = 5, left: float = 0.0, right: float = 1.0, p_right: float = 0.5) -> np.ndarray:
    """V of a walk that steps right with probability p, without discount, `[N + 2]`; the two ends have 0.

    V(i) = left + (right − left) h(i), where h(i) = (1 − qⁱ) / (1 − qᴺ⁺¹) with q = (1 − p)/p is the chance to end on
    the right; for a fair coin h(i) = i / (N + 1).

    Raises:
        ValueError: p outside [0, 1].
    Source: the gambler's ruin, Feller (1968), *An Introduction to Probability Theory*, vol. 1, XIV.2.
    """
    check_fraction("p_right", p_right)
    place, end = np.arange(num_states + 2), num_states + 1
    if p_right in (0.0, 1.0):
        chance = np.full(num_states + 2, p_right)
    elif p_right == 0.5:
        chance = place / end
    else:
        q = (1 - p_right) / p_right
        chance = (1 - q**place) / (1 - q**end)
    values = left + (right - left) * chance
    values[[0, -1]] = 0.0
    return values


def one_state() -> TabularMDP:
    """Sutton & Barto's Example 5.5: action 1 ends for nothing; action 0 stays (.9), or ends and pays 1 (.1)."""
    stay_or_win = [(0.9, 0, 0.0, False), (0.1, 1, 1.0, True)]
    return TabularMDP.from_function(2, 2, lambda s, a: stay_or_win if a == LEFT else [(1.0, 1, 0.0, True)])


def _places(num_states: int) -> np.ndarray:
    return np.stack([np.arange(num_states + 2), np.zeros(num_states + 2)], 1)


class RandomWalkEnv(TabularEnv):
    """`RandomWalk-v0` (5 places, 0 and 1 at the ends) and `RandomWalk19-v0` (19 places, −1 and 1)."""

    def __init__(self, render_mode: str | None = None, num_states: int = 5, left: float = 0.0, right: float = 1.0):
        inner = list("ABCDE") if num_states == 5 else [str(i + 1) for i in range(num_states)]
        labels = [f"{left:+g}" if left else "0", *inner, f"{right:+g}" if right else "0"]
        super().__init__(random_walk(num_states, left, right), render_mode, _places(num_states), labels)


class OneStateEnv(TabularEnv):
    """`OneState-v0`: stay, or leave."""

    def __init__(self, render_mode: str | None = None):
        super().__init__(one_state(), render_mode, np.array([[0.0, 0.0], [1.6, 0.0]]), ["s", "end"])


def random_walks(num_envs: int = 1, max_episode_steps: int | None = None, render_mode: str | None = None,
                 num_states: int = 5, left: float = 0.0, right: float = 1.0) -> TabularVectorEnv:
    """B random walks side by side: what `gymnasium.make_vec("RandomWalk-v0", num_envs=B)` makes."""
    return TabularVectorEnv(random_walk(num_states, left, right), num_envs, max_episode_steps, render_mode)


def one_states(num_envs: int = 1, max_episode_steps: int | None = None,
               render_mode: str | None = None) -> TabularVectorEnv:
    """B copies of the world with one state: what `gymnasium.make_vec("OneState-v0", num_envs=B)` makes."""
    return TabularVectorEnv(one_state(), num_envs, max_episode_steps, render_mode)
