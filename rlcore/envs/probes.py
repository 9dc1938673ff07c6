"""Probe environments: a ladder of worlds so small that the right answer is known, each asking for one thing more.

A learner that fails on CartPole says nothing about where it is broken. A learner that climbs to rung 2 and falls off
rung 3 has a broken discount. Run them in order and look where the first failure points.

Source: Andy L. Jones, "Debugging RL, Without the Agonizing Pain" (2021), https://andyljones.com/posts/rl-debugging.html;
the sixth rung is ours.
"""

from collections.abc import Callable
from dataclasses import dataclass

import gymnasium as gym
import numpy as np

from rlcore.validate import check_choice, check_fraction


@dataclass(frozen=True)
class Probe:
    """One rung: its rules, its known answer, and what is broken where a learner misses it."""

    id: str
    asks: str  # what must be learned
    suspect: str  # where to look when it is not
    num_actions: int
    starts: tuple[float, ...]  # the first observation is one of these, each as likely
    length: int | None  # steps until it terminates; None: never
    step_limit: int | None  # steps until it is truncated; None: never
    reward: Callable[[int, float, int], float]  # (t, observation, action)
    optimum: Callable[[int, float, float], float]  # V*(t, observation, γ)

    def value(self, gamma: float, observation: float | None = None, t: int = 0) -> float:
        """The value of `observation` at step t under the best policy; by default the mean over the first observations.

        Raises:
            ValueError: γ outside [0, 1], or γ = 1 in the world that never ends, where the sum has no limit.
        """
        check_fraction("gamma", gamma)
        if self.length is None and gamma == 1:
            raise ValueError("gamma must be below 1 in a world that never ends, but is 1")
        seen = self.starts if observation is None else (observation,)
        return float(np.mean([self.optimum(t, s, gamma) for s in seen]))


_CORNERS = (-1.0, 1.0)
PROBES = {probe.id: probe for probe in (
    Probe("Probe1-v0", "a constant reward of 1: the value must become 1",
          "the value loss, the optimiser, or the value network is not in it", 1, (0.0,), 1, None,
          lambda t, s, a: 1.0, lambda t, s, gamma: 1.0),
    Probe("Probe2-v0", "the reward is what is observed: the value must depend on the observation",
          "gradients do not reach the network's first layer, or observations and rewards got out of step",
          1, _CORNERS, 1, None, lambda t, s, a: s, lambda t, s, gamma: s),
    Probe("Probe3-v0", "the reward comes one step later: the value must be discounted once",
          "the discount, the order of the returns, or a bootstrap that crosses the end", 1, (0.0,), 2, None,
          lambda t, s, a: float(t), lambda t, s, gamma: gamma if t == 0 else 1.0),
    Probe("Probe4-v0", "the reward depends on the action: the policy must choose action 1",
          "the sign of the policy loss, the advantages, or log-probs of other actions than those taken",
          2, (0.0,), 1, None, lambda t, s, a: 2.0 * a - 1.0, lambda t, s, gamma: 1.0),
    Probe("Probe5-v0", "the reward depends on observation and action: the policy must look",
          "the policy's input, or states and actions that got out of step in the batch", 2, _CORNERS, 1, None,
          lambda t, s, a: s * (2.0 * a - 1.0), lambda t, s, gamma: 1.0),
    Probe("Probe6-v0", "a reward of 1 forever, of which we watch 10 steps: the value must be 1/(1−γ)",
          "truncation treated as termination: then TD learning arrives at 1/(1−0.9γ) instead", 1, (0.0,), None, 10,
          lambda t, s, a: 1.0, lambda t, s, gamma: 1.0 / (1.0 - gamma)),
)}


class ProbeEnv(gym.Env):
    """The world of one rung. Observations are `[1]`: the rung's number, in [-1, 1].

    Raises:
        ValueError: no such probe.
    """

    def __init__(self, probe: str = "Probe1-v0"):
        check_choice("probe", probe, tuple(PROBES))
        self.probe = PROBES[probe]
        self.observation_space = gym.spaces.Box(-1.0, 1.0, (1,), np.float32)
        self.action_space = gym.spaces.Discrete(self.probe.num_actions)

    def reset(self, *, seed: int | None = None, options: dict | None = None):
        """The first observation `[1]`, drawn from the rung's `starts`."""
        super().reset(seed=seed)
        self.t, self.seen = 0, float(self.np_random.choice(self.probe.starts))
        return np.array([self.seen], np.float32), {}

    def step(self, action: int):
        """Pay what the rung pays. Where there is a second step, its observation is 1."""
        reward = self.probe.reward(self.t, self.seen, int(action))
        self.t += 1
        if self.probe.length is not None:
            self.seen = 1.0
        return np.array([self.seen], np.float32), reward, self.t == self.probe.length, False, {}
