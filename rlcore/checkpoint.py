"""Stop now, go on later, and nobody can tell: a training run in one safetensors file.

An agent that can be resumed is `Resumable` and has a `config` and a `seed`. Its state is a nested dictionary of tensors
and plain JSON values: weights, optimiser, random generators, counters.
"""

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

FORMAT = "rlcore-checkpoint-1"


class Resumable:
    """An agent whose state a `Checkpoint` can keep, named by attribute.

    `parts` are modules, optimisers and random generators (or None: not there); `counters` are plain numbers.
    """

    parts: tuple[str, ...] = ()
    counters: tuple[str, ...] = ("step",)

    def settings(self) -> dict:
        """What two runs must have in common for one to go on where the other stopped, beside agent and seed."""
        return asdict(self.config)

    def state_dict(self) -> dict:
        """Everything that the next step depends on."""
        parts = {name: part for name in self.parts if (part := getattr(self, name)) is not None}
        states = {name: part.get_state() if isinstance(part, torch.Generator) else part.state_dict()
                  for name, part in parts.items()}
        return states | {name: getattr(self, name) for name in self.counters}

    def load_state_dict(self, state: dict) -> None:
        """Go back to a state that `state_dict` gave."""
        for name in self.parts:
            part = getattr(self, name)
            if part is not None:
                load = part.set_state if isinstance(part, torch.Generator) else part.load_state_dict
                load(state[name])
        for name in self.counters:
            setattr(self, name, state[name])


class CheckpointError(ValueError):
    """A checkpoint cannot be used; the message names the file, says why and what to do."""


class Checkpoint:
    """One file that always holds the last complete state of `agent`: written every `every` steps, and at the end."""

    def __init__(self, path: str | Path, agent: Any, every: int = 50):
        self.path, self.agent, self.every = Path(path), agent, every

    def save(self, history: list[dict]) -> None:
        """Write everything beside its place, flush it, and move it there: a crash leaves the old file or the new."""
        tensors, plain = _split(self.agent.state_dict())
        about = {"format": FORMAT, "agent": type(self.agent).__name__, "config": _config(self.agent),
                 "seed": self.agent.seed, "state": plain, "history": history}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self.path.with_name(self.path.name + ".tmp")
        save_file(tensors, fresh, metadata={"rlcore": json.dumps(about, default=plain_number)})
        with open(fresh, "rb+") as handle:
            os.fsync(handle.fileno())
        os.replace(fresh, self.path)

    def load(self) -> list[dict]:
        """Put the agent back to where it was, and return the history so far.

        Raises:
            CheckpointError: there is no such file, it is truncated, it is not a checkpoint, or it is another run's.
        """
        tensors, about = self._read()
        mine = {"agent": type(self.agent).__name__, "seed": self.agent.seed, **_config(self.agent)}
        theirs = {"agent": about["agent"], "seed": about["seed"], **about["config"]}
        differing = [f"{name} is {theirs.get(name)!r} there and {mine.get(name)!r} here"
                     for name in sorted(mine.keys() | theirs.keys()) if mine.get(name) != theirs.get(name)]
        if differing:
            raise CheckpointError(f"{self.path} belongs to another run: {'; '.join(differing)}. "
                                  "Resume with the settings it was made with, or start afresh.")
        before = _join(*_split(self.agent.state_dict()))
        try:
            self.agent.load_state_dict(_join(tensors, about["state"]))
        except (RuntimeError, KeyError, ValueError) as error:
            self.agent.load_state_dict(before)  # torch copies what fits before it complains about the rest
            reason = " ".join(str(error).split()[:60])
            raise CheckpointError(f"{self.path} does not fit this model ({reason}). "
                                  "Resume with the model it was made with, or start afresh.") from error
        return about["history"]

    def _read(self) -> tuple[dict[str, Tensor], dict]:
        if not self.path.is_file():
            raise CheckpointError(f"there is no checkpoint {self.path} to resume from; start without resuming")
        try:
            with safe_open(self.path, "pt") as file:
                about = json.loads((file.metadata() or {}).get("rlcore", "{}"))
                # Copies: where a tensor begins in memory decides about the last bit of what is computed from it.
                tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
        except (SafetensorError, OSError, ValueError) as error:
            raise CheckpointError(f"{self.path} is damaged or truncated ({error}). "
                                  "Delete it and start afresh; nothing else is lost.") from error
        if not isinstance(about, dict) or about.get("format") != FORMAT:
            raise CheckpointError(f"{self.path} is a safetensors file, but not a checkpoint of this course. "
                                  "Name another file.")
        return tensors, about


def _config(agent: Any) -> dict:
    return json.loads(json.dumps(agent.settings()))  # tuples become lists, as they will be when read back


def plain_number(value: Any) -> float:
    """For `json.dumps(..., default=plain_number)`: a number of numpy or torch, as Python's own."""
    if getattr(value, "size", None) == 1 or getattr(value, "numel", lambda: 0)() == 1:
        return value.item()
    raise TypeError(f"metrics must be plain numbers or texts, but hold a {type(value).__name__}: {value!r:.80}")


def _split(state: Any, place: str = "") -> tuple[dict[str, Tensor], Any]:
    """Take the tensors out of a nested state: {"a/b": tensor} and the rest, with a note where each tensor was."""
    if isinstance(state, Tensor):
        return {place: state.detach().clone().contiguous()}, {"tensor": place}
    if isinstance(state, dict):
        parts = {key: _split(value, f"{place}/{key}" if place else str(key)) for key, value in state.items()}
        tensors = {name: tensor for found, _ in parts.values() for name, tensor in found.items()}
        return tensors, {"dict": [[key, rest] for key, (_, rest) in parts.items()]}  # pairs: keys may be numbers
    return {}, {"value": state}


def _join(tensors: dict[str, Tensor], rest: dict) -> Any:
    """Put the tensors back: the inverse of `_split`."""
    if "tensor" in rest:
        return tensors[rest["tensor"]]
    if "dict" in rest:
        return {key: _join(tensors, value) for key, value in rest["dict"]}
    return rest["value"]
