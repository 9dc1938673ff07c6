"""From worlds to trajectories: `collect` lets a policy act and writes down what happened.

Gymnasium says `obs`; from here on it is a state. Vectors of worlds give `[B, T]`, one world gives `[T]`, and nothing in
a trajectory pairs the end of one episode with the beginning of the next, whichever way the worlds reset themselves:

- NEXT_STEP: the step after an end only resets. It stays in the trajectory, with `mask` False.
- SAME_STEP: the step that ends an episode already shows the next one's first state; the true last state is in
  `info["final_obs"]`.
- DISABLED: nobody resets, so `collect` does.
"""

import gymnasium as gym
import numpy as np
import torch
from gymnasium.spaces import Box, Discrete, MultiBinary, MultiDiscrete
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv
from torch import Tensor

from rlcore.policies import Policy
from rlcore.trajectory import Trajectory


def collect(policy: Policy, envs: VectorEnv | gym.Env, num_steps: int | None = None, after: Trajectory | None = None,
            seed: int | None = None, generator: torch.Generator | None = None, max_steps: int = 10_000) -> Trajectory:
    """Let `policy` act in `envs`, and return what happened.

    Args:
        policy: whatever has `act(states, generator) -> actions, log_probs`.
        envs: B worlds (`gymnasium.make_vec`) for `[B, T]`, or one (`gymnasium.make`) for one episode, `[T]`.
        num_steps: exactly so many steps of every world, over as many episodes as they last. None: one whole episode of
            every world, right-padded with zeros; `mask` is False in the padding.
        after: what an earlier `collect(..., num_steps=...)` gave: go on where it stopped, instead of resetting.
        seed: seeds the worlds. The policy's dice are the generator's.
        generator: the policy's dice; None: torch's global ones.
        max_steps: how long a whole episode may last.

    Raises:
        ValueError: `envs` is no environment; `num_steps` below 1, or given for one world; `after` without `num_steps`,
            with a seed, or from other worlds; states that are not one array.
        RuntimeError: an episode that has no end within `max_steps`.
    """
    _check(envs, num_steps, after, seed)
    one = not isinstance(envs, VectorEnv)
    worlds = SyncVectorEnv([lambda: envs], autoreset_mode=AutoresetMode.DISABLED) if one else envs
    mode = worlds.metadata.get("autoreset_mode", AutoresetMode.NEXT_STEP)
    states = _states(worlds.reset(seed=seed)[0], worlds) if after is None else after.resume_states  # [B, *state]
    ended = torch.zeros(worlds.num_envs, dtype=torch.bool) if after is None else after.done[:, -1]  # [B] one step ago
    over = torch.zeros(worlds.num_envs, dtype=torch.bool)  # [B] whole episodes: this world's is complete
    steps = []
    while len(steps) < (num_steps or max_steps):
        actions, log_probs = policy.act(states, generator)  # [B]
        only_resets = ended if mode is AutoresetMode.NEXT_STEP else torch.zeros_like(ended)
        observations, rewards, terminated, truncated, info = worlds.step(_within(actions.cpu().numpy(), worlds))
        ended = torch.tensor(terminated | truncated)  # [B]
        next_states = after_states = _states(observations, worlds)  # [B, *state]
        if mode is AutoresetMode.SAME_STEP and ended.any():
            next_states = after_states.clone()
            next_states[ended] = _states(np.stack(list(info["final_obs"][ended.numpy()])), worlds)
        steps.append((states, actions, torch.tensor(rewards, dtype=torch.float32), log_probs, torch.tensor(terminated),
                      torch.tensor(truncated & ~terminated), ~(only_resets | over), next_states))
        if num_steps is None:
            over = over | ended
            if over.all():
                break
        if mode is AutoresetMode.DISABLED and ended.any():
            after_states = _states(worlds.reset(options={"reset_mask": ended.numpy()})[0], worlds)
        states = after_states
    if num_steps is None and not over.all():
        raise RuntimeError(f"{int((~over).sum())} of {len(over)} episodes did not end within max_steps={max_steps}: "
                           "give the world a limit, gymnasium.make(..., max_episode_steps=...), or ask for num_steps")
    columns = [torch.stack(column, 1) for column in zip(*steps, strict=True)]  # [B, T, ...]
    return _trajectory(columns, one, None if num_steps is None else states)


def _trajectory(columns: list[Tensor], one: bool, resume_states: Tensor | None) -> Trajectory:
    """Blank out what the policy did not choose, and drop the batch axis where there was one world."""
    names = ("states", "actions", "rewards", "log_probs", "terminated", "truncated", "mask", "next_states")
    fields = dict(zip(names, columns, strict=True))
    mask = fields["mask"]  # [B, T]
    blank = {"rewards", "log_probs", "terminated", "truncated"} if resume_states is not None else set(names)
    for name in blank:
        x = fields[name]
        fields[name] = x.masked_fill(~mask.reshape(mask.shape + (1,) * (x.dim() - 2)), 0)
    if one:
        fields = {name: x[0] for name, x in fields.items()}
    return Trajectory(**fields, resume_states=resume_states)


def _within(actions: np.ndarray, worlds: VectorEnv) -> np.ndarray:
    """Actions as the worlds take them: real ones clipped to their range. What was *chosen* stays in the trajectory."""
    space = worlds.single_action_space
    return np.clip(actions, space.low, space.high) if isinstance(space, Box) else actions


def _states(observations: np.ndarray, worlds: VectorEnv) -> Tensor:
    """Observations as float32, or as long where they are numbers of things; always a copy, `[B, *state]`."""
    counts = isinstance(worlds.single_observation_space, Discrete | MultiDiscrete)
    return torch.tensor(observations, dtype=torch.long if counts else torch.float32)


def _check(envs, num_steps, after, seed) -> None:
    """Say what is wrong before anything moves."""
    if not isinstance(envs, VectorEnv | gym.Env):
        raise ValueError(f"envs must be a Gymnasium environment or a vector of them, but is a {type(envs).__name__}")
    vector = isinstance(envs, VectorEnv)
    space = envs.single_observation_space if vector else envs.observation_space
    if not isinstance(space, Box | Discrete | MultiDiscrete | MultiBinary):
        raise ValueError(f"states must be one array, but the world shows a {type(space).__name__}: wrap it in "
                         "gymnasium.wrappers.FlattenObservation")
    if num_steps is not None and num_steps < 1:
        raise ValueError(f"num_steps must be at least 1, but is {num_steps}")
    if num_steps is not None and not vector:
        raise ValueError(f"num_steps={num_steps} needs a vector of worlds (gymnasium.make_vec): one gives an episode")
    if after is None:
        return
    if num_steps is None or seed is not None:
        raise ValueError(f"after goes with num_steps and without a seed, but they are {num_steps} and {seed}")
    if after.resume_states is None or len(after.resume_states) != envs.num_envs:
        raise ValueError(f"after must come from collect(..., num_steps=...) in these {envs.num_envs} worlds")
