"""What a world's attributes hold, as plain JSON values and one tensor of bytes: what is kept, left out, refused."""

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


def kind_of(value: Any) -> str:
    """The type in words, with its module."""
    return f"{type(value).__module__}.{type(value).__qualname__}"


def is_harmless(value: Any) -> bool:
    """What a world has, but no step depends on, or nobody can change."""
    if isinstance(value, BuiltinFunctionType) and not isinstance(value.__self__, ModuleType | None):
        return False  # a method: `dice.random` is bound to dice
    return isinstance(value, HARMLESS) or (kind_of(value).startswith("pygame.") and type(value).__name__ in DRAWING)


def is_constant(value: Any, path: str) -> bool:
    """What must be the same in the worlds that go on, and is compared instead of being kept."""
    frozen = is_dataclass(value) and type(value).__dataclass_params__.frozen
    return frozen or isinstance(value, Enum) or (path.endswith(".P") and isinstance(value, dict))  # Gymnasium's table


def fingerprint(value: Any, path: str) -> str:
    """A constant's SHA-256, or an enum's name: equal where the constants are."""
    if isinstance(value, Enum):
        return f"{kind_of(value)}.{value.name}"
    pack = Pack()
    if is_dataclass(value):
        inner = {field.name: getattr(value, field.name) for field in fields(value)}
        text = json.dumps([kind_of(value), pack(inner, path + ":")])
    else:
        try:
            text = json.dumps(value, default=lambda number: number.tolist())  # large, but nothing else than numbers
        except (TypeError, AttributeError) as error:
            raise ValueError(f"{path} must be a table of numbers as in Gymnasium's toy worlds, but: {error}") from error
    return hashlib.sha256(text.encode() + b"".join(pack.parts)).hexdigest()


class Pack:
    """Turns a value into plain JSON values, and puts its arrays aside. Called with the value and its path."""

    def __init__(self):
        self.parts, self.length = [], 0  # bytes of the arrays
        self.seen = {}  # id -> (path, object): one thing in two places is one thing afterwards, too
        self.owners = {}  # address of memory -> path of the array that lies there

    def joined(self) -> torch.Tensor:
        """All arrays one behind the other, `[bytes]` uint8."""
        return torch.from_numpy(np.array(bytearray(b"".join(self.parts)), np.uint8))

    def __call__(self, value: Any, path: str) -> Any:
        """The value packed; what cannot be is a ValueError."""
        if type(value) in PLAIN:
            return value
        if id(value) in self.seen:
            return {"same": self.seen[id(value)][0]}
        if isinstance(value, np.generic):
            return {"scalar": self._bytes(np.asarray(value))}
        if is_harmless(value):
            return {"own": kind_of(value)}
        self.seen[id(value)] = path, value
        if is_constant(value, path):
            return {"constant": fingerprint(value, path)}
        if isinstance(value, gym.Space):
            return self._object(value, repr(value), SPACE & vars(value).keys(), path)
        if isinstance(value, WALKED):
            return self._object(value, kind_of(value), vars(value).keys() - MADE_WITH, path)
        if type(value) is np.ndarray:
            return self._array(value, path)
        if type(value) is torch.Tensor and value.device.type == "cpu" and not value.requires_grad:
            self._alone(value.untyped_storage().data_ptr() if value.numel() else None, path)
            raw = value.contiguous().reshape(-1).view(torch.uint8).numpy()
            return {"tensor": self._bytes(raw), "dtype": str(value.dtype), "shape": list(value.shape)}
        if isinstance(value, np.random.Generator) and type(value.bit_generator).__name__ in GENERATORS:
            dice = value.bit_generator
            return {"generator": self([type(dice).__name__, dice.state, dice.seed_seq.state], path + ":")}
        if type(value) is dict:
            pairs = [[self(key, f"{path} key {i}"), self(x, f"{path}[{key!r}]")]
                     for i, (key, x) in enumerate(value.items())]
            return _unless_own({"dict": pairs}, [rest for _, rest in pairs])
        if SEQUENCES.get(type(value).__name__) is type(value):
            items = [self(x, f"{path}[{i}]") for i, x in enumerate(value)]
            return _unless_own({type(value).__name__: items, "maxlen": getattr(value, "maxlen", None)}, items)
        raise ValueError(
            f"{path} is a {kind_of(value)}, which cannot be taken down, so these worlds cannot be resumed to the bit. "
            "Worlds can whose state is numbers, texts, arrays, tensors and numpy generators; others begin new episodes."
        )

    def _object(self, value: Any, kind: str, names: set[str], path: str) -> dict:
        attributes = {name: self(vars(value)[name], f"{path}.{name}") for name in sorted(names)}
        return {"object": kind, "attributes": attributes}

    def _array(self, x: np.ndarray, path: str) -> dict:
        owner = x
        while isinstance(owner.base, np.ndarray):
            owner = owner.base
        self._alone(owner.__array_interface__["data"][0] if x.size else None, path)
        if x.dtype.kind == "V":
            raise ValueError(f"{path} is a structured array, whose fields would be lost: keep one array for each field")
        if x.dtype == object:
            items = [self(item, f"{path}.flat[{i}]") for i, item in enumerate(x.flat)]
            return {"items": items, "shape": list(x.shape)}
        return {"array": self._bytes(x)}

    def _alone(self, address: int | None, path: str) -> None:
        """Require that no other array lies in this memory."""
        other = path if address is None else self.owners.setdefault(address, path)
        if other != path:
            raise ValueError(f"{path} and {other} are views of one array and would be two afterwards: copy one of them")

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
