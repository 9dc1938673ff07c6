"""Boxes and arrows on a matplotlib axis: pictures of who feeds whom."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

DATA, GRADIENT = "#444444", "#c26a00"  # what flows: numbers, solid and grey; gradients, dashed and orange

Point = tuple[float, float]


def model_box(ax: Axes, at: Point, name: str, note: str, learns: bool) -> None:
    """A model, with a line about it below its name: blue with a bold edge where it learns, grey where it is frozen."""
    edge = {"edgecolor": "C0", "linewidth": 2} if learns else {"edgecolor": "#777777", "linewidth": 1.2}
    _frame(ax, at, 2.5, 1.15, facecolor="#d6e6f7" if learns else "#e6e6e6", **edge)
    x, y = at
    ax.text(x, y + 0.2, name, ha="center", va="center", zorder=3, fontsize=11, fontweight="bold")
    ax.text(x, y - 0.27, note, ha="center", va="center", zorder=3, fontsize=8.5)


def function_box(ax: Axes, at: Point, name: str) -> None:
    """A function: white, its name as in the code."""
    _frame(ax, at, 2.3, 0.75, facecolor="white", edgecolor="#777777", linewidth=1.2)
    ax.text(*at, name, ha="center", va="center", zorder=3, fontsize=11, family="monospace")


def arrow(ax: Axes, corners: Sequence[Point], label: str, at: Point, colour: str = DATA) -> None:
    """A line over some corners, with a head at its end, and at a point of it what flows along."""
    style = {"color": colour, "linewidth": 1.6, "linestyle": "--" if colour == GRADIENT else "-", "zorder": 1}
    xs, ys = zip(*corners, strict=True)
    ax.plot(xs[:-1], ys[:-1], solid_capstyle="butt", **style)
    ax.add_patch(FancyArrowPatch(corners[-2], corners[-1], arrowstyle="-|>", mutation_scale=14, shrinkA=0, shrinkB=0,
                                 **style))
    ax.text(*at, label, ha="center", va="center", fontsize=9.5, color=colour, zorder=4,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.2})


def _frame(ax: Axes, at: Point, width: float, height: float, **look) -> None:
    corner = (at[0] - width / 2, at[1] - height / 2)
    ax.add_patch(FancyBboxPatch(corner, width, height, boxstyle="round,pad=0.05", zorder=2, **look))
