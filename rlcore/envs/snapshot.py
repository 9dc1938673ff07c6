"""Where worlds stand, to the bit: taken down between two steps, and put back, in the same worlds or in new ones.

A world keeps its state in attributes: of the environment, of its wrappers, of the worlds in a vector. They are walked
by name, and what is not understood is refused, because nobody can trust a run that goes on from half a state.
"""

import hashlib
import json
from collections import deque
from dataclasses import fields, is_dataclass
from enum import Enum
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium.envs.registration import EnvSpec, WrapperSpec
from gymnasium.vector import VectorEnv
from gymnasium.wrappers.utils import RunningMeanStd

PLAIN = (type(None), bool, int, float, str)  # exactly these: np.float64 is a float too, and must stay what it is
WALKED = (gym.Env, VectorEnv, RunningMeanStd)  # kept attribute by attribute; wrappers are environments
MADE_WITH = {"spec", "_cached_spec", "_saved_kwargs", "metadata", "_metadata", "render_mode"}  # attributes of these
SPACE = {"_np_random", "spaces", "feature_space", "node_space", "edge_space"}  # what can change in a space: its dice
SEQUENCES = {"list": list, "tuple": tuple, "deque": deque}
GENERATORS = {kind.__name__: kind for kind in (np.random.PCG64, np.random.PCG64DXSM, np.random.MT19937,
                                               np.random.Philox, np.random.SFC64)}
HARMLESS = (EnvSpec, WrapperSpec, FunctionType, BuiltinFunctionType, ModuleType, type, np.dtype)
DRAWING = ("Surface", "Clock", "Font")  # of pygame
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
    pack = _Pack()
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


def _kind(value: Any) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}"


def _harmless(value: Any) -> bool:
    """What a world has, but no step depends on, or nobody can change."""
    return isinstance(value, HARMLESS) or (_kind(value).startswith("pygame.") and type(value).__name__ in DRAWING)


def _constant(value: Any, path: str) -> bool:
    frozen = is_dataclass(value) and type(value).__dataclass_params__.frozen
    return frozen or isinstance(value, Enum) or path.endswith(".P")  # P: the table of Gymnasium's toy worlds


def _fingerprint(value: Any, path: str) -> str:
    if isinstance(value, Enum):
        return f"{_kind(value)}.{value.name}"
    inner = {field.name: getattr(value, field.name) for field in fields(value)} if is_dataclass(value) else value
    pack = _Pack()
    text = json.dumps([_kind(value), pack(inner, path + ":")])
    return hashlib.sha256(text.encode() + b"".join(pack.parts)).hexdigest()


class _Pack:
    """Turns a value into plain JSON values, and puts its arrays aside. Called with the value and its path."""

    def __init__(self):
        self.parts, self.length = [], 0  # bytes of the arrays
        self.seen = {}  # id -> (path, object): one thing in two places is one thing afterwards, too
        self.owners = {}  # address of memory -> path of the array that lies there

    def joined(self) -> torch.Tensor:
        """All arrays one behind the other, `[bytes]` uint8."""
        return torch.from_numpy(np.array(bytearray(b"".join(self.parts)), np.uint8))

    def __call__(self, value: Any, path: str) -> Any:
        if type(value) in PLAIN:
            return value
        if id(value) in self.seen:
            return {"same": self.seen[id(value)][0]}
        if isinstance(value, np.generic):
            return {"scalar": self._bytes(np.asarray(value))}
        if _harmless(value):
            return {"own": _kind(value)}
        self.seen[id(value)] = path, value
        if _constant(value, path):
            return {"constant": _fingerprint(value, path)}
        if isinstance(value, gym.Space):
            return self._object(value, repr(value), SPACE & vars(value).keys(), path)
        if isinstance(value, WALKED):
            return self._object(value, _kind(value), vars(value).keys() - MADE_WITH, path)
        if type(value) is np.ndarray:
            return self._array(value, path)
        if type(value) is torch.Tensor and value.device.type == "cpu" and not value.requires_grad:
            raw = value.contiguous().reshape(-1).view(torch.uint8).numpy()
            return {"tensor": self._bytes(raw), "dtype": str(value.dtype), "shape": list(value.shape)}
        if isinstance(value, np.random.Generator) and type(value.bit_generator).__name__ in GENERATORS:
            dice = value.bit_generator
            return {"generator": self([type(dice).__name__, dice.state, dice.seed_seq.state], path + ":")}
        if type(value) is dict:
            pairs = [[self(key, f"{path} key {key!r}"), self(x, f"{path}[{key!r}]")] for key, x in value.items()]
            return _unless_own({"dict": pairs}, [rest for _, rest in pairs])
        if SEQUENCES.get(type(value).__name__) is type(value):
            items = [self(x, f"{path}[{i}]") for i, x in enumerate(value)]
            return _unless_own({type(value).__name__: items, "maxlen": getattr(value, "maxlen", None)}, items)
        raise ValueError(
            f"{path} is a {_kind(value)}, which cannot be taken down, so these worlds cannot be resumed to the bit. "
            "Worlds can whose state is numbers, texts, arrays, tensors and numpy generators; others begin new episodes."
        )

    def _object(self, value: Any, kind: str, names: set[str], path: str) -> dict:
        attributes = {name: self(vars(value)[name], f"{path}.{name}") for name in sorted(names)}
        return {"object": kind, "attributes": attributes}

    def _array(self, x: np.ndarray, path: str) -> dict:
        owner = x
        while isinstance(owner.base, np.ndarray):
            owner = owner.base
        other = self.owners.setdefault(owner.__array_interface__["data"][0], path) if x.size else path
        if other != path:
            raise ValueError(f"{path} and {other} are views of one array and would be two afterwards: copy one of them")
        if x.dtype == object:
            items = [self(item, f"{path}.flat[{i}]") for i, item in enumerate(x.flat)]
            return {"items": items, "shape": list(x.shape)}
        return {"array": self._bytes(x)}

    def _bytes(self, x: np.ndarray) -> list:
        """Where the numbers lie: [dtype, shape, order, first byte, one after the last]."""
        order = "F" if x.flags.f_contiguous and not x.flags.c_contiguous else "C"  # sums depend on it, in the last bit
        self.parts.append(x.tobytes(order))
        begin, self.length = self.length, self.length + x.nbytes
        return [x.dtype.str, list(x.shape), order, begin, self.length]


def _unless_own(packed: dict, items: list) -> dict:
    """A collection of nothing but functions or pictures is left out as a whole."""
    own = items and all(isinstance(item, dict) and "own" in item for item in items)
    return {"own": "a collection"} if own else packed


class _Unpack:
    """The inverse of `_Pack`. Called with what was packed, what the world has there now, and the path.

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
            if not _constant(current, path) or _fingerprint(current, path) != packed["constant"]:
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
            keys = [self(key, MISSING, path) for key, _ in packed["dict"]]
            return {key: self(x, now.get(key, MISSING), f"{path}[{key!r}]")
                    for key, (_, x) in zip(keys, packed["dict"], strict=True)}
        kind = next(iter(packed))
        items = self._each(packed[kind], current if isinstance(current, list | tuple | deque) else (), path)
        return deque(items, packed["maxlen"]) if kind == "deque" else SEQUENCES[kind](items)

    def _each(self, items: list, current: Any, path: str) -> list:
        now = list(current) + [MISSING] * len(items)
        return [self(item, now[i], f"{path}[{i}]") for i, item in enumerate(items)]

    def _object(self, packed: dict, current: Any, path: str) -> Any:
        space = isinstance(current, gym.Space)
        kind = repr(current) if space else "missing" if current is MISSING else _kind(current)
        if kind != packed["object"]:
            raise ValueError(f"{path} is {kind} here, but {packed['object']} in the worlds whose state this is: make "
                             "these alike")
        self.seen[path] = current
        attributes = {name: self(x, vars(current).get(name, MISSING), f"{path}.{name}")
                      for name, x in packed["attributes"].items()}
        known = SPACE & vars(current).keys() if space else vars(current).keys() - MADE_WITH
        gone = [name for name in known - attributes.keys() if not _harmless(vars(current)[name])]
        self.changes.append((current, {name: x for name, x in attributes.items() if x is not MISSING}, gone))
        return current

    def _array(self, dtype: str, shape: list[int], order: str, begin: int, end: int) -> np.ndarray:
        return np.frombuffer(bytearray(self.data[begin:end]), dtype).reshape(shape, order=order)
