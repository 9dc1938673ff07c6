"""Bandits: worlds with one state, in which an episode is a single action and its reward.

`Bandits` is many of them side by side, in NumPy, for the test bed of 2000 runs. `BanditEnv` is one of them as a
Gymnasium environment, for `collect` and everything behind it. What an arm pays on average is its value, q*(a).
"""

import gymnasium as gym
import numpy as np

from rlcore.validate import check_choice, check_not_negative

REWARDS = ("normal", "thumbs")  # the value plus noise of variance 1; or 1 with the value as its chance, else 0


def draw_rewards(values: np.ndarray, rewards: str, random: np.random.Generator) -> np.ndarray:
    """One reward for each arm pulled, from the values of those arms, `[...]` -> `[...]`."""
    if rewards == "thumbs":
        return (random.random(np.shape(values)) < values).astype(float)
    return values + random.standard_normal(np.shape(values))


def check_values(values: np.ndarray, rewards: str, axes: int) -> np.ndarray:
    """Require arms to choose between, and chances where values are chances."""
    values = np.array(values, float)
    check_choice("rewards", rewards, REWARDS)
    if values.ndim != axes or values.shape[-1] < 2 or values.size == 0:
        wanted = "[arms]" if axes == 1 else "[runs, arms]"
        raise ValueError(f"values must be {wanted} with at least 2 arms, but has shape {values.shape}")
    if not np.isfinite(values).all():
        raise ValueError("values must be finite, but some are not")
    if rewards == "thumbs" and not ((values >= 0) & (values <= 1)).all():
        raise ValueError(f"values must lie in [0, 1] where they are the chance of a thumbs-up, but reach from "
                         f"{values.min():g} to {values.max():g}")
    return values


class Bandits:
    """Many bandits side by side: each run has arms of its own and is pulled once per step.

    Args:
        values: what each arm of each run pays on average, `[runs, arms]`.
        seed: of the rewards, and of the drift.
        rewards: "normal" (value plus noise of variance 1) or "thumbs" (1 with the value as its chance, else 0).
        drift: after each pull all values take a step of a random walk, N(0, drift²); 0 keeps them.

    Raises:
        ValueError: fewer than two arms, a chance outside [0, 1], a negative drift, drifting chances, unknown rewards.
    Source: Sutton & Barto (2018), section 2.3; the drift is that of exercise 2.5.
    """

    def __init__(self, values: np.ndarray, seed: int = 0, rewards: str = "normal", drift: float = 0.0):
        check_not_negative("drift", drift)
        if drift and rewards == "thumbs":
            raise ValueError(f"drift must be 0 with thumbs, because a chance would leave [0, 1], but is {drift}")
        self.values, self.rewards, self.drift = check_values(values, rewards, axes=2), rewards, drift
        self.runs, self.arms = self.values.shape
        self.random = np.random.default_rng(seed)
        self.best = self.values.max(1)  # [runs]: the ceiling, what the best arm pays on average
        self._row = np.arange(self.runs) * self.arms  # where each run's row begins

    def regret(self, actions: np.ndarray) -> np.ndarray:
        """How much less these arms pay on average than the best one of their run, `[runs]`; 0 for a best arm."""
        return self.best - self.values.take(self._row + actions)

    def pull(self, actions: np.ndarray) -> np.ndarray:
        """Pull one arm in each run: actions `[runs]` -> rewards `[runs]`. Then the values drift, if they do.

        Raises:
            ValueError: not one whole number in 0 … arms − 1 per run.
        """
        actions = np.asarray(actions)
        if actions.shape != (self.runs,) or actions.dtype.kind not in "iu" or not (
                actions.min() >= 0 and actions.max() < self.arms):
            raise ValueError(f"actions must be one arm number in 0 … {self.arms - 1} for each of {self.runs} runs, but "
                             f"are {actions.dtype} of shape {actions.shape}: {actions.ravel()[:5]}")
        rewards = draw_rewards(self.values.take(self._row + actions), self.rewards, self.random)
        if self.drift:
            self.values += self.random.normal(0.0, self.drift, self.values.shape)
            self.best = self.values.max(1)
        return rewards


def ten_armed(runs: int = 2000, seed: int = 0, mean: float = 0.0) -> Bandits:
    """The 10-armed test bed: q*(a) ~ N(mean, 1), rewards ~ N(q*(a), 1).

    Source: Sutton & Barto (2018), section 2.3; mean=4 is that of the gradient bandit, figure 2.5.
    """
    values = np.random.default_rng([seed, 10]).normal(mean, 1.0, (runs, 10))
    return Bandits(values, seed)


def drifting(runs: int = 2000, seed: int = 0, drift: float = 0.01) -> Bandits:
    """Ten arms that begin equal, q*(a) = 0, and take a step of N(0, drift²) each after every pull.

    Source: Sutton & Barto (2018), exercise 2.5.
    """
    return Bandits(np.zeros((runs, 10)), seed, drift=drift)


class BanditEnv(gym.Env):
    """One bandit for Gymnasium: one state, called 0, and an episode of one pull.

    Args:
        values: what each arm pays on average, `[arms]`; without them ten are drawn from N(0, 1), by `arms_seed`.
        rewards: "normal" or "thumbs", as for `Bandits`.
        arms_seed: which ten arms. `reset(seed=…)` seeds the rewards and leaves the arms alone.
        render_mode: None, or "ansi" for the values and the last reward as text.
    """

    metadata = {"render_modes": ["ansi"], "render_fps": 4}  # noqa: RUF012 (Gymnasium's own form)

    def __init__(self, values: np.ndarray | None = None, rewards: str = "normal", arms_seed: int = 0,
                 render_mode: str | None = None):
        check_choice("render_mode", render_mode, (None, "ansi"))
        if values is None:
            values = np.random.default_rng(arms_seed).standard_normal(10)
        self.values, self.rewards, self.render_mode = check_values(values, rewards, axes=1), rewards, render_mode
        self.observation_space = gym.spaces.Discrete(1)
        self.action_space = gym.spaces.Discrete(len(self.values))
        self.last = ""

    def reset(self, *, seed: int | None = None, options: dict | None = None):
        """The only state there is."""
        super().reset(seed=seed)
        self.last = ""
        return 0, {}

    def step(self, action: int):
        """Pull an arm: it pays, and the episode is over."""
        reward = float(draw_rewards(self.values[action], self.rewards, self.np_random))
        self.last = f"; arm {action} paid {reward:+.2f}"
        return 0, reward, True, False, {}

    def render(self) -> str | None:
        """The arms' values, and what the last pull paid."""
        return None if self.render_mode is None else f"values {np.round(self.values, 2).tolist()}{self.last}"
