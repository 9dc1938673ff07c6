"""Small worlds from Sutton & Barto's chapters 3 and 4, each with a table, and with values that the book prints.

On a grid, states are numbered row by row from the top left, and the actions are 0 up, 1 right, 2 down, 3 left, as in
Gymnasium's CliffWalking.
"""

import numpy as np

from rlcore.envs.table_env import TabularEnv
from rlcore.envs.tables import Outcome, TabularMDP

UP, RIGHT, DOWN, LEFT = range(4)
MOVES = ((-1, 0), (0, 1), (1, 0), (0, -1))  # (rows down, columns right) of each action


def grid_places(rows: int, columns: int) -> np.ndarray:
    """Where to draw the states of a grid, `[rows · columns, 2]`: x to the right, y upwards."""
    row, column = np.divmod(np.arange(rows * columns), columns)
    return np.stack([column, -row], 1)


def step_on_grid(state: int, action: int, rows: int, columns: int) -> tuple[int, bool]:
    """One move on a grid without leaving it: the next state, and whether the edge was in the way."""
    row, column = state // columns + MOVES[action][0], state % columns + MOVES[action][1]
    if not (0 <= row < rows and 0 <= column < columns):
        return state, True
    return row * columns + column, False


A, A_LANDS, B, B_LANDS = 1, 21, 3, 13  # the two trapdoors of the 5 × 5 grid, and where they lead


def jump_grid() -> TabularMDP:
    """Examples 3.5 and 3.8: 5 × 5 squares, and every action from A leads to A′ and pays 10, from B to B′ and pays 5.

    Bumping into the edge costs 1, everything else nothing. It never ends, so it needs γ < 1. It begins anywhere.
    """
    def outcomes(state: int, action: int) -> list[Outcome]:
        if state in (A, B):
            return [(1.0, A_LANDS, 10.0, False) if state == A else (1.0, B_LANDS, 5.0, False)]
        after, bumped = step_on_grid(state, action, 5, 5)
        return [(1.0, after, -1.0 if bumped else 0.0, False)]

    return TabularMDP.from_function(25, 4, outcomes, start=np.full(25, 1 / 25))


def corner_grid() -> TabularMDP:
    """Figure 4.1: 4 × 4 squares, every step costs 1, and the episode ends in the top left or bottom right corner."""
    def outcomes(state: int, action: int) -> list[Outcome]:
        after, _ = step_on_grid(state, action, 4, 4)
        return [(1.0, after, -1.0, after in (0, 15))]

    start = np.full(16, 1 / 14)
    start[[0, 15]] = 0.0
    return TabularMDP.from_function(16, 4, outcomes, start)


def gambler(p_heads: float = 0.4, goal: int = 100) -> TabularMDP:
    """Example 4.3: stake part of your capital on a coin, until you have `goal` (reward 1) or nothing.

    The state is the capital, 0..goal. Action a stakes a + 1; whoever names more than the rules allow, min(s, goal − s),
    stakes just that. The value of a state is the probability of reaching the goal. The start is half the goal.

    Raises:
        ValueError: a probability outside [0, 1], or a goal below 2.
    """
    if not 0.0 <= p_heads <= 1.0:
        raise ValueError(f"p_heads must lie in [0, 1], but is {p_heads}")
    if goal < 2:
        raise ValueError(f"goal must be at least 2, but is {goal}")

    def outcomes(capital: int, action: int) -> list[Outcome]:
        if capital in (0, goal):
            return [(1.0, capital, 0.0, True)]
        stake = min(action + 1, capital, goal - capital)
        won, lost = capital + stake, capital - stake
        return [(p_heads, won, float(won == goal), won == goal), (1.0 - p_heads, lost, 0.0, lost == 0)]

    return TabularMDP.from_function(goal + 1, goal // 2, outcomes, start=goal // 2)


class JumpGridEnv(TabularEnv):
    """`JumpGrid-v0`: the 5 × 5 grid with the trapdoors A and B, watched for 100 steps."""

    def __init__(self, render_mode: str | None = None):
        names = {A: "A +10", A_LANDS: "A′", B: "B +5", B_LANDS: "B′"}
        super().__init__(jump_grid(), render_mode, grid_places(5, 5), [names.get(s, "") for s in range(25)])


class CornerGridEnv(TabularEnv):
    """`CornerGrid-v0`: the 4 × 4 grid with an exit in two corners."""

    def __init__(self, render_mode: str | None = None):
        names = {0: "exit", 15: "exit"}
        super().__init__(corner_grid(), render_mode, grid_places(4, 4), [names.get(s, str(s)) for s in range(16)])


class GamblerEnv(TabularEnv):
    """`Gambler-v0`: a capital of 50, a coin that comes up heads with probability `p_heads`, and a goal of 100."""

    def __init__(self, render_mode: str | None = None, p_heads: float = 0.4, goal: int = 100):
        mdp = gambler(p_heads, goal)
        capital = np.arange(goal + 1)
        places = np.stack([capital % 10, capital // 10], 1)  # ten to a row, and upwards
        super().__init__(mdp, render_mode, places)
