"""Where worlds stand, to the bit: taken down between two steps, and put back, in the same worlds or in new ones.

A world keeps its state in attributes: of the environment, of its wrappers, of the worlds in a vector. They are walked
by name, and what is not understood is refused, because nobody can trust a run that goes on from half a state.
"""

from collections import deque
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium.vector import VectorEnv

from rlcore.envs.packing import (
    GENERATORS,
    MADE_WITH,
    SEQUENCES,
    SPACE,
    Pack,
    fingerprint,
    is_constant,
    is_harmless,
    kind_of,
)

MISSING = object()


def world_state(envs: gym.Env | VectorEnv) -> dict:
    """Everything that the next steps of the worlds depend on, as `Checkpoint` can store it.

    Kept: numbers, texts, arrays, tensors and random generators, also in lists, tuples, dictionaries and deques. Left
    out: functions, modules, specs, and what only draws. Constants (frozen dataclasses, enums, Gymnasium's table `P`)
    are kept as a fingerprint, by which `restore_worlds` sees that the other worlds have the same. What a function or a
    class remembers on the side is not seen.

    Args:
        envs: one environment, wrapped or not, or a vector of them.

    Returns:
        `{"bytes": all arrays one behind the other, uint8, "worlds": [everything else, and where the arrays begin]}`.

    Raises:
        ValueError: a world holds something that cannot be taken down: a physics engine, another process, two views of
            one array. The message names attribute and type.
    """
    pack = Pack()
    worlds = pack(envs, "envs")
    return {"bytes": pack.joined(), "worlds": [worlds]}


def restore_worlds(envs: gym.Env | VectorEnv, state: dict) -> None:
    """Put worlds to where those stood of which `world_state` took `state`: they go on in the same way, to the bit.

    Args:
        envs: the same worlds, or others that were made in the same way; they need no `reset`.
        state: what `world_state` gave.

    Raises:
        ValueError: the worlds are of another kind, or their constants differ. They stay as they were.
    """
    unpack = _Unpack(state["bytes"].numpy().tobytes())
    unpack(state["worlds"][0], envs, "envs")
    for thing, attributes, gone in unpack.changes:  # only now, when nothing can go wrong any more
        vars(thing).update(attributes)
        for name in gone:
            del vars(thing)[name]


class _Unpack:
    """The inverse of `Pack`. Called with what was packed, what the world has there now, and the path.

    Nothing is changed yet: `changes` lists the attributes that each object gets, and those that it loses.
    """

    def __init__(self, data: bytes):
        self.data, self.seen, self.changes = data, {}, []

    def __call__(self, packed: Any, current: Any, path: str) -> Any:
        if not isinstance(packed, dict):
            return packed
        if "same" in packed:
            return self.seen[packed["same"]]
        value = self.seen[path] = self._value(packed, current, path)
        return value

    def _value(self, packed: dict, current: Any, path: str) -> Any:
        if "own" in packed:
            return current
        if "constant" in packed:
            same = current is not MISSING and is_constant(current, path)
            if not same or fingerprint(current, path) != packed["constant"]:
                raise ValueError(f"{path} is not what it was in the worlds whose state this is: make these alike")
            return current
        if "object" in packed:
            return self._object(packed, current, path)
        if "array" in packed:
            return self._array(*packed["array"])
        if "scalar" in packed:
            return self._array(*packed["scalar"])[()]
        if "tensor" in packed:
            dtype = getattr(torch, packed["dtype"].removeprefix("torch."))
            return torch.from_numpy(self._array(*packed["tensor"])).view(dtype).reshape(packed["shape"])
        if "generator" in packed:
            kind, state, seeds = self(packed["generator"], MISSING, path + ":")
            dice = GENERATORS[kind](np.random.SeedSequence(**seeds))
            dice.state = state
            return np.random.Generator(dice)
        if "items" in packed:
            value = np.empty(packed["shape"], object)
            for i, item in enumerate(self._each(packed["items"], getattr(current, "flat", ()), path + ".flat")):
                value.flat[i] = item
            return value
        if "dict" in packed:
            now = current if isinstance(current, dict) else {}
            keys = [self(key, MISSING, f"{path} key {i}") for i, (key, _) in enumerate(packed["dict"])]
            return {key: self._inside(x, now.get(key, MISSING), f"{path}[{key!r}]")
                    for key, (_, x) in zip(keys, packed["dict"], strict=True)}
        kind = next(iter(packed))
        items = self._each(packed[kind], current if isinstance(current, list | tuple | deque) else (), path)
        return deque(items, packed["maxlen"]) if kind == "deque" else SEQUENCES[kind](items)

    def _each(self, items: list, current: Any, path: str) -> list:
        now = list(current) + [MISSING] * len(items)
        return [self._inside(item, now[i], f"{path}[{i}]") for i, item in enumerate(items)]

    def _inside(self, packed: Any, current: Any, path: str) -> Any:
        value = self(packed, current, path)
        if value is MISSING:
            raise ValueError(f"{path} is missing here, but was a {packed['own']} in the worlds whose state this is: "
                             "make these alike")
        return value

    def _object(self, packed: dict, current: Any, path: str) -> Any:
        space = isinstance(current, gym.Space)
        kind = repr(current) if space else "missing" if current is MISSING else kind_of(current)
        if kind != packed["object"]:
            raise ValueError(f"{path} is {kind} here, but {packed['object']} in the worlds whose state this is: make "
                             "these alike")
        self.seen[path] = current
        attributes = {name: self(x, vars(current).get(name, MISSING), f"{path}.{name}")
                      for name, x in packed["attributes"].items()}
        known = SPACE & vars(current).keys() if space else vars(current).keys() - MADE_WITH
        gone = [name for name in known - attributes.keys() if not is_harmless(vars(current)[name])]
        self.changes.append((current, {name: x for name, x in attributes.items() if x is not MISSING}, gone))
        return current

    def _array(self, dtype: str, shape: list[int], order: str, begin: int, end: int) -> np.ndarray:
        return np.frombuffer(bytearray(self.data[begin:end]), dtype).reshape(shape, order=order)
