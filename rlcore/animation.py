"""Watch an episode: any world that draws itself, as a GIF small enough for a notebook, with step and return in it."""

import os
import sys
from itertools import pairwise

import gymnasium as gym
import torch
from gymnasium.vector import VectorEnv
from PIL import Image, ImageDraw, ImageFont

from rlcore.plotting import LARGEST, Picture, encode_gif
from rlcore.policies import Policy
from rlcore.rollout import collect
from rlcore.validate import check_positive
from rlcore.values import Greedy

MOST = 120  # frames; longer episodes are thinned out
TRIES = ((1, 1.0, 64), (1, 1.0, 32), (2, 1.0, 32), (2, 0.8, 32), (3, 0.8, 16), (4, 0.6, 16), (8, 0.6, 16))
SHORTEST, LONGEST = 20, 12_000  # milliseconds: of a frame (browsers slow down what is shorter), and of the whole film
FONT, MARGIN, PAPER, INK = ImageFont.load_default(13), 4, "#ffffff", "#26323d"


def watch(policy: Policy, env: gym.Env, seed: int = 0, greedy: bool = False, alt: str | None = None,
          every: int | None = None, width: int = 320, max_steps: int = 10_000) -> Picture:
    """Play one episode and return it as a GIF of at most 60 KB: at the world's own speed, or faster, in 12 seconds.

    Step and return stand above each frame; the last one says how the episode ended, and so does the alt text.

    Args:
        policy: who acts.
        env: one world, made with `render_mode="rgb_array"`.
        seed: of the world and of the policy's dice.
        greedy: take the most likely action at each step, instead of drawing one.
        alt: what the animation shows; what happened is added. None: which world it is.
        every: keep every so many-th step (and the last). None: as many steps as fit.
        width: of the frames in pixels, where the world's own are wider.
        max_steps: how long the episode may last.

    Raises:
        ValueError: a world that draws no pictures, or several worlds; `every` or `width` below 1; more than 60 KB, even
            if smaller, with fewer colours and, unless `every` is given, fewer frames.
        RuntimeError: the episode has no end within `max_steps`.
    """
    _check(env)
    check_positive("width", width)
    check_positive("every", 1 if every is None else every)
    if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        os.environ.setdefault("SDL_VIDEODRIVER", "dummy")  # pygame draws without a screen
    film = _Film(env, every)
    collect(Greedy(policy) if greedy else policy, film, seed=seed, max_steps=max_steps,
            generator=torch.Generator().manual_seed(seed))
    step, return_, _ = film.frames[-1]
    facts = [name if value else f"not {name}" for name, value in film.info.items() if isinstance(value, bool)]
    happened = ", ".join([f"{step} steps", f"return {return_:+.2f}", film.ending, *facts])
    data = _fit(film, width, 1000 / env.metadata.get("render_fps", 25), every is None)
    return Picture(data, "gif", f"{alt or f'One episode of {_name(env)}'}: {happened}.")


def _name(env: gym.Env) -> str:
    return env.spec.id if env.spec is not None else type(env.unwrapped).__name__


def _check(env: gym.Env) -> None:
    """Say what to write where a world cannot be watched."""
    if isinstance(env, VectorEnv) or not isinstance(env, gym.Env):
        raise ValueError(f"env must be one world (gymnasium.make), but is a {type(env).__name__}")
    if "rgb_array" not in env.metadata.get("render_modes", ()):
        raise ValueError(f"env must draw pictures, but {_name(env)} has no render mode 'rgb_array'")
    if env.render_mode != "rgb_array":
        raise ValueError(f'env must be made with gymnasium.make("{_name(env)}", render_mode="rgb_array"), but its '
                         f"render_mode is {env.render_mode!r}")


class _Film(gym.Wrapper):
    """Keeps (step, return, picture) of every so many-th step, and of the last one.

    Without `every` it begins with all, and leaves out every second one whenever there are more than `MOST`.
    """

    def __init__(self, env: gym.Env, every: int | None):
        super().__init__(env)
        self.thin, self.every = every is None, every or 1

    def reset(self, **kwargs):
        observation, self.info = super().reset(**kwargs)
        self.steps, self.return_, self.ending = 0, 0.0, ""
        self.frames = [(0, 0.0, self._picture())]
        return observation, self.info

    def step(self, action):
        observation, reward, terminated, truncated, self.info = super().step(action)
        self.steps, self.return_ = self.steps + 1, self.return_ + float(reward)
        self.ending = "terminated" if terminated else "truncated" if truncated else ""
        if self.ending or self.steps % self.every == 0:
            self.frames.append((self.steps, self.return_, self._picture()))
        if self.thin and len(self.frames) > MOST:
            self.every *= 2
            self.frames = [frame for frame in self.frames[:-1] if frame[0] % self.every == 0] + self.frames[-1:]
        return observation, reward, terminated, truncated, self.info

    def _picture(self) -> Image.Image:
        return Image.fromarray(self.env.render())


def _fit(film: _Film, width: int, milliseconds: float, thin: bool) -> bytes:
    """The film as a GIF: as many frames and colours, and as large, as fit."""
    for part, scale, colours in TRIES:
        frames = film.frames[:-1:part if thin else 1] + film.frames[-1:]
        pace = min(milliseconds, LONGEST / frames[-1][0])  # of one step
        durations = [max(round(pace * (after[0] - frame[0]), -1), SHORTEST) for frame, after in pairwise(frames)]
        pages = [_page(frame, round(scale * width), film.ending if frame is frames[-1] else "") for frame in frames]
        widest = max(page.width for page in pages)
        pages = [_pad(page, widest) for page in pages]
        data = encode_gif(pages, [*durations, 1500], _strip(pages).quantize(colours))
        if len(data) <= LARGEST:
            return data
    raise ValueError(f"an animation must stay under {LARGEST} bytes, but is {len(data)}: give it a smaller width"
                     + ("" if thin else ", or a larger every"))


def _page(frame: tuple[int, float, Image.Image], width: int, ending: str) -> Image.Image:
    """One picture, no wider than asked for, with its caption above it, on paper that is wide enough for both."""
    step, return_, picture = frame
    if picture.width > width:
        picture = picture.resize((width, round(picture.height * width / picture.width)), Image.Resampling.BOX)
    caption = f"step {step}   return {return_:+.2f}" + (f"   {ending}" if ending else "")
    top = sum(FONT.getmetrics()) + 2 * MARGIN
    wide = max(picture.width, round(FONT.getlength(caption)) + 3 * MARGIN)
    page = Image.new("RGB", (wide, picture.height + top), PAPER)
    ImageDraw.Draw(page).text((MARGIN, MARGIN), caption, INK, FONT)
    page.paste(picture, (0, top))
    return page


def _pad(page: Image.Image, width: int) -> Image.Image:
    padded = Image.new("RGB", (width, page.height), PAPER)
    padded.paste(page, (0, 0))
    return padded


def _strip(pages: list[Image.Image]) -> Image.Image:
    """First, middle and last page side by side: they have all the colours."""
    some = pages[0], pages[len(pages) // 2], pages[-1]
    strip = Image.new("RGB", (3 * pages[0].width, pages[0].height))
    for i, page in enumerate(some):
        strip.paste(page, (i * page.width, 0))
    return strip
