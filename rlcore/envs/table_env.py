"""A Gymnasium world that steps a table, and what it looks like: a tile for each state, a ring where the agent is.

A grid, a row of states and a tree of texts are the same picture with other `places`.
"""

from collections.abc import Sequence

import gymnasium as gym
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection, PatchCollection
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse, Rectangle

from rlcore.envs.tables import TabularMDP
from rlcore.validate import check_choice

TILE, GOAL, EDGE, AGENT, INK = "#eef3f7", "#c9d3dc", "#8a97a3", "#f28e2b", "#26323d"


class TabularEnv(gym.Env):
    """A Gymnasium world that steps a table: states and actions are numbers, `env.unwrapped.P` is there.

    Args:
        mdp: the table.
        render_mode: None, or "rgb_array" for pictures.
        places: where to draw each state, `[S, 2]` (x to the right, y upwards); None: all in one row.
        labels: what to write in each state; None: its number.
        edges: draw a line from each state to those that can follow it.
        tile: how wide and high a state is drawn, in the units of `places`.

    Raises:
        ValueError: an unknown render mode; an action or a state that does not exist; places or labels that are not S.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 4}  # noqa: RUF012 (Gymnasium's own form)

    def __init__(self, mdp: TabularMDP, render_mode: str | None = None, places: np.ndarray | None = None,
                 labels: Sequence[str] | None = None, edges: bool = False,
                 tile: tuple[float, float] = (1.0, 1.0)):
        check_choice("render_mode", render_mode, (None, "rgb_array"))
        states = np.arange(mdp.num_states)
        self.mdp, self.render_mode, self.edges, self.tile = mdp, render_mode, edges, tile
        self.places = np.stack([states, 0 * states], 1) if places is None else np.asarray(places)
        self.labels = [str(s) for s in states] if labels is None else list(labels)
        if self.places.shape != (mdp.num_states, 2) or len(self.labels) != mdp.num_states:
            raise ValueError(f"places and labels must be one for each of {mdp.num_states} states, but are "
                             f"{self.places.shape} and {len(self.labels)}")
        self.observation_space = gym.spaces.Discrete(mdp.num_states)
        self.action_space = gym.spaces.Discrete(mdp.num_actions)
        self.P, self.initial_state_distrib = mdp.table(), mdp.start
        self.state = None

    def reset(self, *, seed: int | None = None, options: dict | None = None):
        """The first state, drawn from the start distribution (or `options={"state": s}`), and info."""
        super().reset(seed=seed)
        chosen = (options or {}).get("state")
        self.state = int(self.np_random.choice(self.mdp.num_states, p=self.mdp.start) if chosen is None else chosen)
        if not self.observation_space.contains(self.state):
            raise ValueError(f"state must lie in 0..{self.mdp.num_states - 1}, but is {chosen!r}")
        self.steps, self.return_ = 0, 0.0
        return self.state, {}

    def step(self, action: int):
        """One outcome of `action`, drawn from the table: state, reward, terminated, truncated (never), info."""
        if not self.action_space.contains(action):
            raise ValueError(f"action must lie in 0..{self.mdp.num_actions - 1}, but is {action!r}")
        outcomes, draw = self.P[self.state][int(action)], self.np_random.random()
        for probability, after, reward, terminated in outcomes:  # noqa: B007 (the one it stops at is what happens)
            draw -= probability
            if draw < 0:
                break
        self.state, self.steps, self.return_ = after, self.steps + 1, self.return_ + reward
        return after, reward, terminated, False, {"prob": probability}

    def render(self) -> np.ndarray | None:
        """All states with the present one marked, `[height, width, 3]` uint8."""
        if self.render_mode is None:
            return None
        return draw(self, f"step {self.steps}    return {self.return_:+.4g}")


def draw_tiles(ax: Axes, env: TabularEnv, colours: np.ndarray | str | None = None, labels: list[str] | None = None,
          size: float = 9.0) -> None:
    """Draw a `TabularEnv`'s states as tiles at their places, terminal ones darker.

    Args:
        ax: where to draw.
        env: the world, for its `places`, `labels`, `edges` and `mdp`.
        colours: one for each state `[S, 4]`; None: pale, and grey where the world ends.
        labels: one for each state; None: the world's own.
        size: of the writing, in points.
    """
    places = np.asarray(env.places, float)
    if env.edges:
        follows = (env.mdp.probabilities > 0) & ~env.mdp.terminal[:, None, None]
        pairs = {(s, env.mdp.next_states[s, a, k]) for s, a, k in np.argwhere(follows)}
        lines = [places[[s, after]] for s, after in sorted(pairs)]
        ax.add_collection(LineCollection(lines, colors=EDGE, linewidths=0.7, zorder=0))
    if colours is None:
        colours = np.where(env.mdp.terminal, GOAL, TILE)
    wide, high = env.tile
    boxes = [Rectangle((x - wide / 2, y - high / 2), wide, high) for x, y in places]
    ax.add_collection(PatchCollection(boxes, facecolors=colours, edgecolors=EDGE, linewidths=0.8))
    for (x, y), label in zip(places, env.labels if labels is None else labels, strict=True):
        ax.text(x, y, label, ha="center", va="center", fontsize=size, color=INK)
    (left, bottom), (right, top) = places.min(0), places.max(0)
    ax.set(xlim=(left - 0.6 * wide, right + 0.6 * wide), ylim=(bottom - 0.6 * high, top + 0.6 * high), aspect="equal")
    ax.axis("off")


def draw(env: TabularEnv, title: str = "") -> np.ndarray:
    """One frame, `[height, width, 3]` uint8: the world, and a ring around the present state."""
    wide, high = np.ptp(np.asarray(env.places, float), axis=0) + 1.2 * np.array(env.tile)
    scale = min(0.55, 8.0 / wide, 8.0 / high)  # inches per unit of length
    figure = Figure(figsize=(max(scale * wide, 2.6), scale * high + 0.4), dpi=90, layout="constrained")
    canvas, ax = FigureCanvasAgg(figure), figure.subplots()
    draw_tiles(ax, env, size=max(18.0 * scale, 7.0))
    if env.state is not None:
        wide, high = 0.75 * np.array(env.tile)
        ax.add_patch(Ellipse(env.places[env.state], wide, high, facecolor=AGENT, alpha=0.45, edgecolor=INK, zorder=3))
    ax.set_title(title, fontsize=9, color=INK, loc="left")
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
