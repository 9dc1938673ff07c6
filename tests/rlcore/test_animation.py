"""Watching an episode: what the GIF shows, what its words say, and what is refused."""

import io
import os
import subprocess
import sys

import gymnasium as gym
import numpy as np
import pytest
import torch
from PIL import Image
from torch.distributions import Independent, Normal

import rlcore.envs  # noqa: F401  registers the robot dog
from rlcore.animation import MOST, watch
from rlcore.plotting import LARGEST
from rlcore.policies import Policy, ScriptedPolicy, TabularPolicy, UniformPolicy

BALANCE = ScriptedPolicy(lambda s: (s @ torch.tensor([0.1, 0.2, 1.0, 0.5]) > 0).long(), num_actions=2)
ALWAYS_1 = ScriptedPolicy(lambda s: s[..., 0].long() * 0 + 1, num_actions=2)
STAND = ScriptedPolicy(lambda s: s[..., 0].long() * 0 + 1, num_actions=3)


class Push(Policy):
    """Pushes a pendulum the way it swings."""

    def forward(self, states):
        mean = 2 * states[..., 2:].sign()
        return Independent(Normal(mean, torch.full_like(mean, 0.3)), 1)


class Flat(gym.Env):
    """A world of 2 steps or more, as wide as it is told; every frame is grey."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012
    observation_space, action_space = gym.spaces.Box(0, 1, (1,)), gym.spaces.Discrete(2)

    def __init__(self, length=2, shape=(40, 60), noise=False):
        self.length, self.shape, self.noise, self.render_mode = length, shape, noise, "rgb_array"
        self.spec = None

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return np.zeros(1, np.float32), {}

    def step(self, action):
        self.t += 1
        info = {"won": bool(action), "t": self.t}
        return np.zeros(1, np.float32), 0.5 * int(action), self.t == self.length, False, info

    def render(self):
        low = 0 if self.noise else 150
        return self.np_random.integers(low, 256 if self.noise else 151, (*self.shape, 3), np.uint8)


def pages(picture):
    """The frames of a GIF, and how long each is shown, in milliseconds."""
    film = Image.open(io.BytesIO(picture.data))
    found = []
    for i in range(film.n_frames):
        film.seek(i)
        found.append((film.convert("RGB"), film.info["duration"]))
    return film.size, found


def make(name, **options):
    return gym.make(name, render_mode="rgb_array", **options)


@pytest.mark.parametrize(("name", "policy", "greedy", "end"), [
    ("CartPole-v1", BALANCE, False, "500 steps, return +500.00, truncated."),
    ("CartPole-v1", ScriptedPolicy(lambda s: s[..., 0].long() * 0, 2), False, ".00, terminated."),
    ("Pendulum-v1", Push(), True, ", truncated."),
    ("Pendulum-v1", Push(), False, ", truncated."),
    ("RobotDog-v0", STAND, False, "terminated, not caught."),
    ("FrozenLake-v1", UniformPolicy(4), False, "return +0.00, terminated."),
])  # fmt: skip
def test_any_world_that_draws_itself(name, policy, greedy, end):
    picture = watch(policy, make(name), seed=1, greedy=greedy)
    assert picture.kind == "gif" and len(picture.data) <= LARGEST
    assert picture.alt.startswith(f"One episode of {name}: ") and picture.alt.endswith(end)
    (width, height), found = pages(picture)
    assert 150 <= width <= 320 and height > 100 and 2 <= len(found) <= MOST + 1
    assert sum(time for _, time in found) <= 14_500  # 12 s and the pause at the end, rounded frame by frame
    assert watch(policy, make(name), seed=1, greedy=greedy).data == picture.data


def test_the_frames_have_step_and_return_above_the_world():
    """Two steps of ½ each: three pages of 100, 100 and 1500 ms, grey under a caption that changes."""
    picture = watch(ALWAYS_1, Flat(), alt="A grey world", width=200)
    assert picture.alt == "A grey world: 2 steps, return +1.00, terminated, won."
    (width, height), found = pages(picture)
    assert [time for _, time in found] == [100, 100, 1500]
    top = height - 40
    assert top >= 16 and width >= 60
    captions = [np.asarray(page)[:top] for page, _ in found]
    for page, _ in found:
        assert np.abs(np.asarray(page, int)[top:, :60] - 150).max() <= 4  # the whole picture, and nothing on it
    for caption in captions:
        dark = np.argwhere(caption.min(-1) < 128)
        assert len(dark) > 20 and dark[:, 1].max() < width - 1 and dark[:, 0].max() < top - 1  # not cut off
    assert not np.array_equal(captions[0], captions[1]) and not np.array_equal(captions[1], captions[2])


def test_greedy_is_the_most_likely_action():
    lake = make("FrozenLake-v1", is_slippery=False)
    probs = np.full((16, 4), 0.3 / 3)
    probs[:, 0] = 0.7  # left, against the wall
    walker = TabularPolicy.from_probabilities(torch.tensor(probs))
    assert watch(walker, lake, greedy=True).alt.endswith("100 steps, return +0.00, truncated.")


def test_long_episodes_are_thinned_and_short_ones_are_not():
    for length, frames in ((100, 101), (MOST + 1, 62), (1000, 64)):
        # 121 steps: every second one (0, 2, ..., 120) and the last. 1000: every 16th (0, 16, ..., 992) and the last.
        _, found = pages(watch(ALWAYS_1, Flat(length, (30, 30))))
        assert len(found) == frames
        assert sum(time for _, time in found[:-1]) == pytest.approx(min(100 * length, 12_000), rel=0.06)


def test_every_is_kept():
    _, found = pages(watch(ALWAYS_1, Flat(10, (30, 30)), every=4))
    assert [time for _, time in found] == [400, 400, 200, 1500]  # steps 0, 4, 8 and 10, at 100 ms each


def test_too_much_is_refused():
    with pytest.raises(ValueError, match=r"under 60000 bytes, but is \d+: give it a smaller width, or a larger every"):
        watch(ALWAYS_1, Flat(60, (300, 300), noise=True), every=1)
    with pytest.raises(ValueError, match=r"but is \d+: give it a smaller width$"):
        watch(ALWAYS_1, Flat(60, (300, 300), noise=True))


def test_worlds_that_cannot_be_watched():
    with pytest.raises(ValueError, match=r'make\("CartPole-v1", render_mode="rgb_array"\), but its .* is None'):
        watch(BALANCE, gym.make("CartPole-v1"))
    with pytest.raises(ValueError, match="Probe1-v0 has no render mode 'rgb_array'"):
        watch(UniformPolicy(1), gym.make("Probe1-v0"))
    with pytest.raises(ValueError, match=r"env must be one world .*, but is a CartPoleVectorEnv"):
        watch(BALANCE, gym.make_vec("CartPole-v1", num_envs=2))
    for name in ("every", "width"):
        with pytest.raises(ValueError, match=f"{name} must be a positive number, but is 0"):
            watch(BALANCE, make("CartPole-v1"), **{name: 0})
    with pytest.raises(RuntimeError, match="did not end within max_steps=5"):
        watch(ALWAYS_1, Flat(10), max_steps=5)


def test_without_a_display():
    code = ("import gymnasium as gym; from rlcore.animation import watch; from rlcore.policies import UniformPolicy; "
            "print(watch(UniformPolicy(4), gym.make('FrozenLake-v1', render_mode='rgb_array')))")
    bare = {name: value for name, value in os.environ.items()
            if name not in ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=bare, timeout=120)
    assert done.returncode == 0 and done.stdout.strip().endswith(", terminated.") and "error" not in done.stderr.lower()
