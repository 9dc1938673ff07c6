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
    "ShortCorridor-v0", "WindyGrid-v0", "JumpGrid-v0", "CornerGrid-v0", "RandomWalk-v0", "OneState-v0",
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


class Chest(gym.Env):
    """A world that holds whatever it is given."""

    observation_space = action_space = gym.spaces.Discrete(2)

    def __init__(self, **things):
        vars(self).update(things)


def test_every_type_comes_back_as_it_was():
    column, shared, dice = np.asfortranarray([[1.0, 2.0], [3.0, 4.0]]), np.zeros(2), np.random.default_rng(3)
    dice.spawn(2)
    things = {
        "number": 2**70, "real": -0.0, "nothing": None, "yes": True, "text": "a/b", "infinite": float("inf"),
        "small": np.float32(0.1), "whole": np.int8(-3), "truth": np.bool_(True), "double": np.float64(0.1),
        "integers": np.array([1, 2], np.int64), "bytes": np.array([b"SF", b"H"]), "empty": np.zeros((0, 3), np.float16),
        "column": column, "point": np.array(2.5), "mixed": np.array([None, (1, 2)], object),
        "tensor": torch.tensor([[1.5], [2.5]], dtype=torch.bfloat16), "scalar": torch.tensor(3),
        "pair": (1, [2.0, (np.float32(3.0),)]), "queue": deque([1, 2], maxlen=5),
        "table": {(0, 1): "a", 2: {"b": np.arange(2)}, "/": 4}, "first": shared, "second": shared, "dice": dice,
        "twins": [dice, np.random.Generator(np.random.MT19937(4))],
    }  # fmt: skip
    fresh = Chest(leftover=1)
    state = through_a_file(world_state(Chest(**things)))
    restore_worlds(fresh, state)
    back = vars(fresh)
    assert back.keys() == things.keys()  # and what was not there is gone

    def same(a, b, name):
        assert type(a) is type(b), name
        if isinstance(a, list | tuple | deque):
            assert len(a) == len(b) and getattr(a, "maxlen", None) == getattr(b, "maxlen", None), name
            for x, y in zip(a, b, strict=True):
                same(x, y, name)
        elif isinstance(a, dict):
            assert list(a) == list(b), name
            for key in a:
                same(a[key], b[key], name)
        elif isinstance(a, np.random.Generator):
            assert a.bit_generator.state.keys() == b.bit_generator.state.keys(), name
            assert type(a.bit_generator) is type(b.bit_generator), name
        elif isinstance(a, torch.Tensor):
            assert a.dtype == b.dtype and a.shape == b.shape and torch.equal(a, b), name
        elif isinstance(a, np.ndarray) and a.dtype != object:
            assert bits(a) == bits(b) and a.flags.f_contiguous == b.flags.f_contiguous and b.flags.writeable, name
        else:
            assert repr(a) == repr(b), name

    for name, thing in things.items():
        same(thing, back[name], name)
    assert back["first"] is back["second"] and back["twins"][0] is back["dice"]
    numbers = [(d.random(), t.normal(), d.spawn(1)[0].random()) for d, t in
               ((dice, things["twins"][1]), (back["dice"], back["twins"][1]))]
    assert numbers[0] == numbers[1]


def test_a_state_does_not_move_with_its_worlds():
    chest = Chest(row=[1], array=np.zeros(2))
    state = world_state(chest)
    chest.row.append(2)
    chest.array += 1
    restore_worlds(chest, state)
    assert chest.row == [1] and chest.array.tolist() == [0, 0]
    chest.array += 1
    restore_worlds(chest, state)  # a state can be used twice
    assert chest.array.tolist() == [0, 0]


class Engine:
    """Stands for a physics engine."""


VIEWED, SHARED = np.zeros(4), np.zeros(4)
REFUSED = {
    "engine": (Engine(), r"envs\.env\.thing is a \S*\.Engine, which cannot be taken down"),
    "inside": ([1, {"world": Engine()}], r"envs\.env\.thing\[1\]\['world'\] is a \S*\.Engine"),
    "iterator": (itertools.count(), r"envs\.env\.thing is a itertools\.count"),
    "file": (io.BytesIO(), r"is a _io\.BytesIO"),
    "set": ({1}, r"is a builtins\.set"),
    "method": ([].append, r"is a builtins\.builtin_function"),
    "old dice": (np.random.RandomState(0), r"is a numpy\.random\.mtrand\.RandomState"),
    "tensors": ([SHARED, torch.from_numpy(SHARED)], r"thing\[1\] and envs\.env\.thing\[0\] are views of one array"),
    "fields": (np.zeros(2, [("a", "f4"), ("b", "i4")]), r"thing is a structured array, whose fields would be lost"),
    "views": ([VIEWED[:2], VIEWED[1:]], r"thing\[1\] and envs\.env\.thing\[0\] are views of one array"),
    "gradient": (torch.ones(1, requires_grad=True), r"is a torch\.Tensor"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_be_taken_down_is_named(kind):
    thing, message = REFUSED[kind]
    with pytest.raises(ValueError, match=message):
        world_state(gym.wrappers.OrderEnforcing(Chest(thing=thing)))


def test_a_table_that_is_none_is_named():
    for table in ({0: Engine()}, {(0, 1): 1.0}):
        with pytest.raises(ValueError, match=r"envs\.P must be a table of numbers"):
            world_state(Chest(P=table))


OTHERS = {
    "fewer": (lambda: sync("CartPole-v1", NEXT), lambda: SyncVectorEnv([lambda: gym.make("CartPole-v1")] * 2),
              r"action_space is MultiDiscrete\(\[2 2\]\) here, but MultiDiscrete\(\[2 2 2\]\)"),
    "fewer in one": (MAKERS["CartPole-v1 vector"], lambda: gym.make_vec("CartPole-v1", num_envs=2),
                     r"action_space is MultiDiscrete\(\[2 2\]\) here"),
    "another world": (lambda: gym.make("CartPole-v1"), lambda: gym.make("Acrobot-v1"),
                      r"acrobot\.AcrobotEnv here, but gymnasium\S*\.CartPoleEnv in the worlds"),
    "another wrapper": (lambda: gym.make("Probe1-v0"), lambda: gym.make("Probe6-v0"),
                        r"TimeLimit here, but gymnasium\S*\.OrderEnforcing in the worlds"),
    "another mode": (lambda: sync("Probe1-v0", NEXT), lambda: sync("Probe1-v0", SAME), "autoreset_mode is not what"),
    "another probe": (lambda: gym.make("Probe1-v0"), lambda: gym.make("Probe2-v0"), "probe is not what"),
    "another table": (lambda: gym.make("FrozenLake-v1"), lambda: gym.make("FrozenLake-v1", is_slippery=False),
                      r"envs\.env\.env\.env\.P is not what it was"),
    "another walk": (lambda: gym.make_vec("RandomWalk-v0", 2, left=-1.0), lambda: gym.make_vec("RandomWalk-v0", 2),
                     r"envs\.mdp is not what it was"),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_other_worlds_are_refused_and_stay_as_they_were(kind):
    make, other, message = OTHERS[kind]
    mine, theirs = make(), other()
    for envs in (mine, theirs):
        envs.reset(seed=3)
    before = world_state(theirs)
    with pytest.raises(ValueError, match=message):
        restore_worlds(theirs, world_state(mine))
    after = world_state(theirs)
    assert after["worlds"] == before["worlds"] and torch.equal(after["bytes"], before["bytes"])


def test_pictures_are_left_out(monkeypatch):
    """A world that was watched and one that was not are in the same place, and each keeps its own pictures."""
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    watched, blind = gym.make("Taxi-v4", render_mode="rgb_array"), gym.make("Taxi-v4")
    watched.reset(seed=1)
    picture = watched.render()
    restore_worlds(blind, through_a_file(world_state(watched)))
    assert blind.unwrapped.s == watched.unwrapped.s and blind.unwrapped.taxi_imgs is None
    blind.step(0)
    restore_worlds(watched, world_state(blind))
    assert watched.unwrapped.s == blind.unwrapped.s
    blind.reset(seed=1)
    restore_worlds(watched, world_state(blind))
    assert np.array_equal(watched.render()[:100], picture[:100])
    assert watched.unwrapped.render_mode == "rgb_array" and blind.unwrapped.render_mode is None


def test_the_dice_of_a_space_are_state_too():
    env = gym.make("CartPole-v1")
    env.action_space.seed(1)
    env.action_space.sample()
    state = through_a_file(world_state(env))
    drawn = [env.action_space.sample() for _ in range(20)]
    fresh = gym.make("CartPole-v1")
    restore_worlds(fresh, state)
    assert [fresh.action_space.sample() for _ in range(20)] == drawn
