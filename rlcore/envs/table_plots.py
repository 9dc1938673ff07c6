"""Values, action values and policies, drawn on the world that they are about.

Each function draws on axes of its own, and leaves title and alt text to whoever knows what is shown.
"""

from collections.abc import Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.colors import Normalize

from rlcore.envs.grid_worlds import MOVES
from rlcore.envs.table_env import EDGE, INK, TabularEnv, draw_tiles


def shades(values: np.ndarray, limits: tuple[float, float] | None = None, diverging: bool = False) -> np.ndarray:
    """A pale colour for each value, so that black writing stays readable: `[...] -> [..., 4]`.

    Args:
        values: what to colour.
        limits: what the palest and the strongest colour stand for; None: the lowest and highest value.
        diverging: below 0 red, above 0 blue, 0 white (for advantages); limits are then made symmetric.
    """
    values = np.asarray(values, float)
    low, high = limits or (values.min(), values.max())
    if diverging:
        high = max(abs(low), abs(high), 1e-9)
        low = -high
    share = Normalize(low, high if high > low else low + 1.0, clip=True)(values)
    return colormaps["RdBu" if diverging else "Blues"](0.26 + 0.48 * share if diverging else 0.5 * share)


def draw_values(ax: Axes, env: TabularEnv, values: np.ndarray, limits: tuple[float, float] | None = None,
                digits: int = 1, diverging: bool = False, size: float = 9.0) -> None:
    """One number for each state, `[S]`, as a coloured tile; see `shades` for the colours."""
    labels = [_number(value, digits) for value in values]
    draw_tiles(ax, env, shades(values, limits, diverging), labels, size)


def draw_action_values(ax: Axes, env: TabularEnv, q: np.ndarray, limits: tuple[float, float] | None = None,
                       digits: int = 1, diverging: bool = False, size: float = 6.0,
                       moves: Sequence[tuple[int, int]] = MOVES) -> None:
    """One number for each move on a grid, `[S, A]`: a triangle towards where it goes. Terminal states stay empty.

    `moves` are (rows down, columns right) of each action.
    """
    draw_tiles(ax, env, labels=[""] * len(q))
    colours, live = shades(q, limits, diverging), np.flatnonzero(~env.mdp.terminal)
    triangles, fills = [], []
    for state in live:
        x, y = env.places[state]
        for action, (down, right) in enumerate(moves):
            centre, ahead, aside = np.array([x, y]), np.array([right, -down]) / 2, np.array([down, right]) / 2
            triangles.append([centre, centre + ahead + aside, centre + ahead - aside])
            fills.append(colours[state, action])
            ax.text(*(centre + 0.66 * ahead), _number(q[state, action], digits), ha="center", va="center",
                    fontsize=size, color=INK, zorder=5)
    ax.add_collection(PolyCollection(triangles, facecolors=fills, edgecolors="white", linewidths=0.6, zorder=3))
    squares = [env.places[state] + np.array([(-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5)]) for state in live]
    ax.add_collection(PolyCollection(squares, facecolors="none", edgecolors=EDGE, linewidths=0.8, zorder=4))


def draw_arrows(ax: Axes, env: TabularEnv, policy: np.ndarray, moves: Sequence[tuple[int, int]] = MOVES,
                start: float = 0.0) -> None:
    """An arrow for each move that a policy `[S, A]` makes, the bolder the more often; nothing in terminal states.

    `start` is how far from the middle of a tile they begin: 0.3 leaves room for a number.
    """
    for state in np.flatnonzero(~env.mdp.terminal):
        for (down, right), share in zip(moves, policy[state], strict=True):
            if share > 1e-6:
                ahead = np.array([right, -down])
                ax.annotate("", env.places[state] + 0.47 * ahead, env.places[state] + start * ahead,
                            arrowprops={"arrowstyle": "-|>", "color": INK, "alpha": 0.35 + 0.65 * share,
                                        "shrinkA": 0, "shrinkB": 0, "mutation_scale": 9}, zorder=5)


def _number(value: float, digits: int) -> str:
    """A value with a real minus sign, and without −0.0."""
    return f"{round(float(value), digits) + 0.0:.{digits}f}".replace("-", "−")
