"""A world that counts, so that any pair of states that crosses an episode is visible."""

import gymnasium as gym
import numpy as np

from rlcore.policies import Policy


class CountingEnv(gym.Env):
    """Shows [episode, step since its reset]; the reward is the step's number; ends after `length` steps.

    World number k ends after length + k steps, by termination in even episodes and by truncation in odd ones.
    """

    def __init__(self, length: int = 3, discrete: bool = False):
        self.length, self.discrete, self.episode = length, discrete, -1
        self.observation_space = gym.spaces.Discrete(1000) if discrete else gym.spaces.Box(0, 1000, (2,), np.float32)
        self.action_space = gym.spaces.Discrete(2)

    def seen(self):
        return self.t if self.discrete else np.array([self.episode, self.t], np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.episode, self.t = 0 if seed is not None else self.episode + 1, 0
        return self.seen(), {}

    def step(self, action):
        self.t += 1
        end = self.t == self.length
        return self.seen(), float(self.t), end and self.episode % 2 == 0, end and self.episode % 2 == 1, {}


class Parrot(Policy):
    """Action and log-prob say which state they answered, so that a shift by one shows."""

    def act(self, states, generator=None):
        steps = states[..., -1]
        return (steps % 2).long(), -steps


def worlds(mode, lengths=(3, 4, 2), **kwargs):
    envs = [lambda n=n: CountingEnv(n, **kwargs) for n in lengths]
    return gym.vector.SyncVectorEnv(envs, autoreset_mode=mode)
