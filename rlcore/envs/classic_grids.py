"""Three classics of Sutton & Barto's chapters 6 and 13: a grid with wind, a corridor with a trick, and a lottery.

On the grid, states are numbered row by row from the top left, and the first four actions are 0 up, 1 right, 2 down,
3 left, as in `grid_worlds`.
"""

from statistics import NormalDist

import numpy as np

from rlcore.envs.grid_worlds import MOVES, grid_places
from rlcore.envs.table_env import TabularEnv
from rlcore.envs.tables import Outcome, TabularMDP

ROWS, COLUMNS = 7, 10
WIND = (0, 0, 0, 1, 1, 1, 2, 2, 1, 0)  # squares upwards, in each column
START, GOAL = 30, 37  # both in the fourth row
KINGS_MOVES = (*MOVES, (-1, 1), (1, 1), (1, -1), (-1, -1))  # and the diagonals, clockwise from the upper right


def windy_grid(king: bool = False) -> TabularMDP:
    """Example 6.5: cross 7 × 10 squares; a wind blows upwards in the middle. Every step costs 1.

    The wind of the column that is left is added to each move, and the edge stops both. With `king` there are the eight
    moves of a king instead of four (exercise 6.9).
    """
    moves = KINGS_MOVES if king else MOVES

    def outcomes(state: int, action: int) -> list[Outcome]:
        row, column = divmod(state, COLUMNS)
        down, right = moves[action]
        row = min(max(row + down - WIND[column], 0), ROWS - 1)
        after = row * COLUMNS + min(max(column + right, 0), COLUMNS - 1)
        return [(1.0, after, -1.0, after == GOAL)]

    return TabularMDP.from_function(ROWS * COLUMNS, len(moves), outcomes, START)


class WindyGridEnv(TabularEnv):
    """`WindyGrid-v0` has four moves, `WindyKing-v0` eight. Neither has a step limit, as in the book.

    The number in a square is the strength of the wind in it.
    """

    def __init__(self, render_mode: str | None = None, king: bool = False):
        labels = [str(WIND[s % COLUMNS] or "") for s in range(ROWS * COLUMNS)]
        labels[START], labels[GOAL] = "S", "G"
        super().__init__(windy_grid(king), render_mode, grid_places(ROWS, COLUMNS), labels)


def short_corridor() -> TabularMDP:
    """Example 13.1: three squares in a row and an exit on the right; in the second one left and right are exchanged.

    Actions are 0 left and 1 right, and every step costs 1. Whoever goes right with probability p, whatever the square,
    earns −2 (2 − p) / (p (1 − p)): at best −11.66, with p = 2 − √2 = .59.
    """
    def outcomes(state: int, action: int) -> list[Outcome]:
        right = (action == 1) != (state == 1)
        after = min(state + 1, 3) if right else max(state - 1, 0)
        return [(1.0, after, -1.0, after == 3)]

    return TabularMDP.from_function(4, 2, outcomes)


class ShortCorridorEnv(TabularEnv):
    """`ShortCorridor-v0`: all squares look alike, so the only observation is 0. Watched for 1000 steps.

    `unwrapped.state` is where the agent really is, and `unwrapped.P` the table of that.
    """

    def __init__(self, render_mode: str | None = None):
        super().__init__(short_corridor(), render_mode, labels=["S", "⇄", "", "exit"])
        self.observation_space = type(self.observation_space)(1)

    def reset(self, *, seed: int | None = None, options: dict | None = None):
        """The agent sees 0, wherever it is."""
        return 0, super().reset(seed=seed, options=options)[1]

    def step(self, action: int):
        """One move; the agent sees 0 again."""
        return 0, *super().step(action)[1:]


LOTTERY, HOME = 1, 2  # the squares between the two ends, which are 0 and 3
LEFT, RIGHT = 0, 1  # the two actions at home
PRIZES = 100  # as many equally likely prizes, spread like the normal distribution


def maximisation_bias(tickets: int = 10, mean: float = -0.1) -> TabularMDP:
    """Example 6.7: from home, right ends the episode and pays nothing. Left leads to a lottery with `tickets` actions.

    Each of them ends the episode and pays a prize of the same distribution, with a mean of −0.1 and variance 1: left is
    a mistake. A table has finitely many prizes: they are quantiles of N(mean, 1), scaled to a variance of exactly 1.
    At home all actions but `LEFT` do what `RIGHT` does; `MaximisationBiasEnv.action_counts` says that there are two.

    Raises:
        ValueError: fewer than two tickets, or a mean that is not finite.
    """
    if tickets < 2:
        raise ValueError(f"tickets must be at least 2, but is {tickets}")
    if not np.isfinite(mean):
        raise ValueError(f"mean must be a finite number, but is {mean}")
    spread = np.array([NormalDist().inv_cdf((k + 0.5) / PRIZES) for k in range(PRIZES)])
    prizes = mean + spread / spread.std()
    lottery = [(1 / PRIZES, 0, float(prize), True) for prize in prizes]

    def outcomes(state: int, action: int) -> list[Outcome]:
        if state == LOTTERY:
            return lottery
        return [(1.0, LOTTERY, 0.0, False)] if state == HOME and action == LEFT else [(1.0, 3, 0.0, True)]

    return TabularMDP.from_function(4, tickets, outcomes, HOME)


class MaximisationBiasEnv(TabularEnv):
    """`MaximisationBias-v0`: stay away from the lottery. Two actions at home, `tickets` in the lottery.

    `action_counts` says how many actions there are in each state: the first so many.
    """

    def __init__(self, render_mode: str | None = None, tickets: int = 10, mean: float = -0.1):
        labels = ["end", "lottery", "home", "end"]
        super().__init__(maximisation_bias(tickets, mean), render_mode, labels=labels)
        self.action_counts = [tickets, tickets, 2, tickets]
