"""Worlds that stop and go on: the same steps to the bit, or a sentence that says why not."""

import io
import itertools
import json
from collections import deque

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.wrappers import NormalizeObservation, RecordEpisodeStatistics
from safetensors.torch import load, save

import rlcore.envs  # noqa: F401  registers the course's own worlds
from rlcore.checkpoint import _join, _split
from rlcore.envs.snapshot import restore_worlds, world_state

NEXT, SAME = AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP
WORLDS = [
    "CartPole-v1", "Pendulum-v1", "MountainCarContinuous-v0", "MountainCar-v0", "Acrobot-v1", "FrozenLake-v1",
    "Taxi-v4", "CliffWalking-v1", "Blackjack-v1", "RobotDog-v0", "Probe2-v0", "Probe5-v0", "Probe6-v0",
    "ShortCorridor-v0", "WindyGrid-v0", "JumpGrid-v0", "CornerGrid-v0", "Gambler-v0", "RandomWalk-v0", "OneState-v0",
    "MaximisationBias-v0", "Bandit-v0", "TinyLanguage-v0",
]  # fmt: skip


def sync(name, mode, wrapper=RecordEpisodeStatistics, limit=23, **options):
    return SyncVectorEnv([lambda: wrapper(gym.make(name, max_episode_steps=limit, **options))] * 3, autoreset_mode=mode)


MAKERS = {f"{name} {mode.value}": (lambda name=name, mode=mode: sync(name, mode)) for name in WORLDS
          for mode in (NEXT, SAME)}
MAKERS |= {f"{name} vector": (lambda name=name: gym.make_vec(name, num_envs=3)) for name in
           ("CartPole-v1", "RobotDog-v0", "RandomWalk-v0", "RandomWalk19-v0", "OneState-v0")}
MAKERS |= {
    "RobotDog-v0 vector SameStep wind": lambda: gym.make_vec(
        "RobotDog-v0", num_envs=3, autoreset_mode=SAME, wind=1.0),
    "CartPole-v1 normalised": lambda: sync("CartPole-v1", NEXT, NormalizeObservation),
    "CartPole-v1 vector statistics": lambda: gym.wrappers.vector.RecordEpisodeStatistics(
        gym.make_vec("CartPole-v1", num_envs=3)),
}


def through_a_file(state):
    """As `Checkpoint` does it: tensors in safetensors, the rest in JSON."""
    tensors, plain = _split({"worlds": state})
    return _join(load(save(tensors)), json.loads(json.dumps(plain)))["worlds"]


def bits(x):
    return tuple(map(bits, x)) if isinstance(x, tuple) else (x.dtype, x.shape, x.tobytes())


def go_on(envs, actions):
    """Every bit of what the worlds show: observations, rewards, ends, and the last states in `info`."""
    shown = []
    for action in actions:
        *arrays, info = envs.step(action)
        finals = [None if x is None else bits(np.asarray(x)) for x in info.get("final_obs", ())]
        shown.append([bits(tuple(arrays)), finals])
    return shown


def walked(make):
    """Worlds 37 steps after their beginning, and 50 actions that go on from there."""
    envs = make()
    envs.reset(seed=5)
    envs.action_space.seed(7)
    for _ in range(37):
        envs.step(envs.action_space.sample())
    return envs, [envs.action_space.sample() for _ in range(50)]


@pytest.mark.parametrize("kind", MAKERS)
def test_the_same_fifty_steps(kind):
    envs, actions = walked(MAKERS[kind])
    state = through_a_file(world_state(envs))
    first = go_on(envs, actions)
    fresh = MAKERS[kind]()
    restore_worlds(fresh, state)
    assert go_on(fresh, actions) == first
    restore_worlds(envs, state)
    assert go_on(envs, actions) == first
