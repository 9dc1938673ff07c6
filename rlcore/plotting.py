"""The house look: colours that survive colour blindness, and pictures that also say in words what they show.

`show` and `animate` hand the notebook an HTML `<img>`, because JupyterLab drops the alt text of a bare PNG or GIF.
"""

import base64
import html
import io

import gymnasium as gym
import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from rlcore.policies import Policy
from rlcore.rollout import collect
from rlcore.validate import check_choice

LARGEST = 60_000  # bytes: notebooks are committed with their pictures
LOOK = {"figure.figsize": (7.2, 3.6), "figure.dpi": 100, "figure.constrained_layout.use": True, "font.size": 11,
        "axes.titlesize": 12, "axes.titlelocation": "left", "axes.spines.top": False, "axes.spines.right": False,
        "axes.grid": True, "grid.alpha": 0.25, "lines.linewidth": 2, "legend.frameon": False}


def house_style() -> None:
    """Make every later figure look like the course: petroff10 colours, 11 pt, a pale grid."""
    plt.style.use(["petroff10", LOOK])


class Picture:
    """An image with its alt text: an `<img>` in a notebook, the alt text in a terminal."""

    def __init__(self, data: bytes, kind: str, alt: str):
        check_choice("kind", kind, ("png", "gif"))
        self.data, self.kind, self.alt = data, kind, _words(alt)

    def _repr_html_(self) -> str:
        code = base64.b64encode(self.data).decode()
        return f'<img alt="{html.escape(self.alt)}" src="data:image/{self.kind};base64,{code}" />'

    def __repr__(self) -> str:
        return self.alt


def _words(alt: str) -> str:
    if not isinstance(alt, str) or not alt.strip():
        raise ValueError(f"alt must say what the picture shows, but is {alt!r}")
    return alt


def show(fig: Figure, alt: str) -> None:
    """Display a figure with its alt text, as a PNG of at most 60 KB, and close it.

    Raises:
        ValueError: no alt text, or a picture that is too large even with 64 colours and at a lower resolution.
    """
    from IPython.display import display

    picture = Picture(_png(fig), "png", alt)
    plt.close(fig)
    display(picture)


def _png(fig: Figure) -> bytes:
    """The figure with at most 256 colours, or fewer and coarser where that is too large."""
    for dpi, colours in ((fig.dpi, 256), (fig.dpi, 64), (0.8 * fig.dpi, 64)):
        raw, small = io.BytesIO(), io.BytesIO()
        fig.savefig(raw, format="png", dpi=dpi)
        Image.open(raw).convert("RGB").quantize(colours, dither=Image.Dither.NONE).save(small, "PNG", optimize=True)
        if small.tell() <= LARGEST:
            return small.getvalue()
    raise ValueError(f"a figure must stay under {LARGEST} bytes, but is {small.tell()}: draw less, or smaller")


def band(ax: Axes, x: np.ndarray, runs: np.ndarray, label: str, kind: str = "median", **line) -> None:
    """Several runs `[seeds, len(x)]` as one line and a band, and the label says which.

    Args:
        ax: where to draw.
        x: one place per column of `runs`.
        runs: one row per seed.
        label: what the line is; the kind of band and the number of seeds are added.
        kind: "median" with the quartiles, "range" for the median with the lowest and highest run, or "mean" with one
            standard error on either side.
        line: goes to `ax.plot`.

    Raises:
        ValueError: fewer than two runs, lengths that differ, an unknown kind.
    """
    check_choice("kind", kind, ("median", "range", "mean"))
    runs = np.asarray(runs, float)  # [seeds, x]
    if runs.ndim != 2 or len(runs) < 2 or runs.shape[1] != len(x):
        raise ValueError(f"runs must be [seeds, {len(x)}] with at least 2 seeds, but is {runs.shape}")
    if kind == "mean":
        middle, error = runs.mean(0), runs.std(0, ddof=1) / len(runs) ** 0.5
        low, high, words = middle - error, middle + error, "mean ± standard error"
    else:
        middle = np.median(runs, 0)
        low, high = (runs.min(0), runs.max(0)) if kind == "range" else np.quantile(runs, (0.25, 0.75), axis=0)
        words = "median, lowest to highest" if kind == "range" else "median, middle half"
    colour = ax.plot(x, middle, label=f"{label} ({words} of {len(runs)} seeds)", **line)[0].get_color()
    ax.fill_between(x, low, high, color=colour, alpha=0.2, linewidth=0)


def animate(env: gym.Env, policy: Policy, seed: int, alt: str | None = None,
            width: int | None = None) -> Picture:
    """Play one episode and return it as a GIF of at most 60 KB that says what happened.

    Args:
        env: one world with `render_mode="rgb_array"`.
        policy: who acts.
        seed: of the world and of the policy's dice.
        alt: what the animation shows; what happened (steps, return, the catch) is added.
        width: in pixels, where the world's own frames are too wide.

    Raises:
        ValueError: the world draws no pictures; more than 60 KB even at half the size and with 16 colours.
    """
    if env.render_mode != "rgb_array":
        raise ValueError(f"env.render_mode must be 'rgb_array', but is {env.render_mode!r}")
    film = _Film(env)
    trajectory = collect(policy, film, seed=seed, generator=torch.Generator().manual_seed(seed))
    words = f"{len(trajectory.rewards)} steps, return {float(trajectory.rewards.sum()):+.2f}"
    if "caught" in film.info:
        words += ", the frisbee is caught" if film.info["caught"] else ", the frisbee falls to the ground"
    frames = [Image.fromarray(frame) for frame in film.frames]
    if width is not None:
        frames = [frame.resize((width, round(frame.height * width / frame.width))) for frame in frames]
    return Picture(_gif(frames, 1000 / env.metadata.get("render_fps", 25)), "gif",
                   f"{alt or 'Animation of one episode'}: {words}.")


class _Film(gym.Wrapper):
    """Keeps a picture of every step."""

    def reset(self, **kwargs):
        answer = super().reset(**kwargs)
        self.frames, self.info = [self.env.render()], answer[1]
        return answer

    def step(self, action):
        answer = super().step(action)
        self.frames.append(self.env.render())
        self.info = answer[-1]
        return answer


def _gif(frames: list[Image.Image], milliseconds: float) -> bytes:
    """An endless GIF in one palette, with a pause at its end, in as many colours and as large as fits."""
    durations = [milliseconds] * (len(frames) - 1) + [1500]
    for colours, scale in ((64, 1.0), (32, 1.0), (32, 0.8), (16, 0.8), (16, 0.5)):
        size = (round(scale * frames[0].width), round(scale * frames[0].height))
        data = encode_gif([frame.resize(size) for frame in frames], durations, frames[-1].quantize(colours))
        if len(data) <= LARGEST:
            return data
    raise ValueError(f"an animation must stay under {LARGEST} bytes, but is {len(data)}: give it a smaller width")


def encode_gif(frames: list[Image.Image], durations: list[float], palette: Image.Image) -> bytes:
    """Frames of one size as an endless GIF, in the colours of one quantized image; durations in milliseconds."""
    first, *others = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
    data = io.BytesIO()
    first.save(data, "GIF", save_all=True, append_images=others, duration=durations, loop=0, optimize=True)
    return data.getvalue()
