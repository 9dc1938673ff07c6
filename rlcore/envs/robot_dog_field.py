"""A field of robot dogs, each with its own throw, in one environment: the vector form of `RobotDog-v0`.

The physics is `robot_dog`'s; what is written here is the bookkeeping of episodes that end at different times.
"""

import gymnasium as gym
import numpy as np
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from rlcore.envs.robot_dog import HIGH, LOW, check_action, check_wind, judge, move, throw


class RobotDogVectorEnv(VectorEnv):
    """B dogs, each with its own throw, stepped at once: a thousand cost little more than one.

    Args:
        num_envs: B, the number of dogs.
        max_episode_steps: a flight is truncated after so many steps.
        autoreset_mode: `NEXT_STEP` (the step after the end resets and is not a real step) or `SAME_STEP` (the step that
            ends an episode already returns the next one's first state; the true last state is in `info["final_obs"]`).
        wind, render_mode: as for one dog; a field of dogs is not drawn.

    Raises:
        ValueError: no dog, no step, a wind outside [0, 5], an unknown action, another autoreset mode.
    """

    def __init__(self, num_envs: int = 1, max_episode_steps: int = 60, wind: float = 0.0,
                 render_mode: str | None = None, autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP):
        mode = AutoresetMode(autoreset_mode)
        if mode is AutoresetMode.DISABLED:
            raise ValueError("autoreset_mode must be NEXT_STEP or SAME_STEP, but is DISABLED")
        if num_envs < 1 or max_episode_steps < 1:
            raise ValueError("num_envs and max_episode_steps must be at least 1, but are "
                             f"{num_envs} and {max_episode_steps}")
        if render_mode is not None:
            raise ValueError(f"render_mode must be None for a field of dogs, but is {render_mode!r}")
        self.num_envs, self.max_episode_steps, self.gusts = num_envs, max_episode_steps, check_wind(wind)
        self.metadata = {"autoreset_mode": mode}
        self.single_observation_space = gym.spaces.Box(LOW.astype(np.float32), HIGH.astype(np.float32))
        self.single_action_space = gym.spaces.Discrete(3)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)

    def reset(self, *, seed: int | None = None, options: dict | None = None):
        """New throws for every dog: the first states `[B, 6]`, and info."""
        if seed is not None:
            self._np_random, self._np_random_seed = seeding.np_random(seed)
        self.state = throw(self.np_random, (self.num_envs,))  # [B, 6]
        self.steps = np.zeros(self.num_envs, int)
        self.ended = np.zeros(self.num_envs, bool)  # at the step before: NEXT_STEP resets these now
        return self.state.astype(np.float32), {"caught": self.ended.copy()}

    def step(self, actions: np.ndarray):
        """One step of every dog: states `[B, 6]`, rewards, terminated, truncated `[B]`, info."""
        actions = check_action(actions, self.action_space)
        gust = self.np_random.normal(0.0, self.gusts, self.num_envs) if self.gusts else 0.0
        state = move(self.state, actions, gust)
        reward, caught, landed = judge(state, actions)
        self.steps += 1
        terminated, truncated = caught | landed, self.steps >= self.max_episode_steps
        truncated &= ~terminated
        info = {"caught": caught}
        if self.metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP:
            fresh = self.ended
            for x in (reward, terminated, truncated, caught):
                x[fresh] = 0
            self.ended = terminated | truncated
        else:
            fresh = terminated | truncated
            if fresh.any():
                info |= {"final_obs": state.astype(np.float32), "_final_obs": fresh,
                         "final_info": {"caught": caught.copy()}, "_final_info": fresh}
        if fresh.any():
            state[fresh] = throw(self.np_random, (int(fresh.sum()),))
            self.steps[fresh] = 0
        self.state = state
        return state.astype(np.float32), reward, terminated, truncated, info
