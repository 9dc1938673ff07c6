"""Many copies of one table, stepped together: the vector form of `table_env.TabularEnv`.

Drawing an outcome for a thousand copies costs about as much as for one, which is what makes averages over hundreds of
runs a matter of seconds.
"""

import gymnasium as gym
import numpy as np
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from rlcore.envs.tables import TabularMDP


def count_states(envs: gym.Env | VectorEnv) -> int:
    """How many states a world (or each world of a vector) has, S, if its states and actions are numbers.

    Raises:
        ValueError: a state or an action that is no number of a `Discrete` space counted from 0.
    """
    vector = isinstance(envs, VectorEnv)
    states = envs.single_observation_space if vector else envs.observation_space
    actions = envs.single_action_space if vector else envs.action_space
    for name, space in (("states", states), ("actions", actions)):
        if not isinstance(space, gym.spaces.Discrete) or space.start != 0:
            raise ValueError(f"{name} must be numbers 0, 1, 2, ... (a Discrete space) for a table of values, but are "
                             f"{space}")
    return int(states.n)


class TabularVectorEnv(VectorEnv):
    """B copies of a table, each with its own episode.

    Args:
        mdp: the table.
        num_envs: B.
        max_episode_steps: an episode is truncated after so many steps; None: never.
        render_mode: None; a field of tables is not drawn.

    The step after an end only resets (`AutoresetMode.NEXT_STEP`).

    Raises:
        ValueError: no copy, a limit below 1, a render mode, an action that does not exist.
    """

    def __init__(self, mdp: TabularMDP, num_envs: int = 1, max_episode_steps: int | None = None,
                 render_mode: str | None = None):
        if num_envs < 1 or (max_episode_steps is not None and max_episode_steps < 1):
            raise ValueError("num_envs and max_episode_steps must be at least 1, but are "
                             f"{num_envs} and {max_episode_steps}")
        if render_mode is not None:
            raise ValueError(f"render_mode must be None for many worlds at once, but is {render_mode!r}")
        self.mdp, self.num_envs, self.max_episode_steps = mdp, num_envs, max_episode_steps
        self.metadata = {"autoreset_mode": AutoresetMode.NEXT_STEP}
        self.single_observation_space = gym.spaces.Discrete(mdp.num_states)
        self.single_action_space = gym.spaces.Discrete(mdp.num_actions)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._reached = mdp.probabilities.cumsum(-1)[..., :-1]  # [S, A, K − 1]
        self._started = mdp.start.cumsum()[:-1]  # [S − 1]

    def reset(self, *, seed: int | None = None, options: dict | None = None):
        """First states `[B]`, drawn from the start distribution, and info."""
        if seed is not None:
            self._np_random, self._np_random_seed = seeding.np_random(seed)
        self.states = self._first(self.num_envs)  # [B]
        self.steps = np.zeros(self.num_envs, int)
        self.ended = np.zeros(self.num_envs, bool)  # at the step before: these only reset now
        return self.states.copy(), {}

    def step(self, actions: np.ndarray):
        """One outcome each, drawn from the table: states, rewards, terminated, truncated `[B]`, info."""
        actions = np.asarray(actions)
        if actions.shape != (self.num_envs,) or actions.min() < 0 or actions.max() >= self.mdp.num_actions:
            raise ValueError(f"actions must be {self.num_envs} numbers in 0..{self.mdp.num_actions - 1}, but are "
                             f"{actions.tolist()[:8]} of shape {actions.shape}")
        s, fresh = self.states, self.ended
        k = (self._reached[s, actions] <= self.np_random.random((self.num_envs, 1))).sum(-1)  # [B]
        outcome = s, actions, k
        rewards, terminated = self.mdp.outcome_rewards[outcome], self.mdp.terminated[outcome]
        self.states, self.steps = self.mdp.next_states[outcome], self.steps + 1
        truncated = np.zeros_like(terminated)
        if self.max_episode_steps is not None:
            truncated = (self.steps >= self.max_episode_steps) & ~terminated
        if fresh.any():
            for x in (rewards, terminated, truncated, self.steps):
                x[fresh] = 0
            self.states[fresh] = self._first(int(fresh.sum()))
        self.ended = terminated | truncated
        return self.states.copy(), rewards, terminated, truncated, {}

    def _first(self, count: int) -> np.ndarray:
        return np.searchsorted(self._started, self.np_random.random(count), side="right")
