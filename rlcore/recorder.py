"""The flight recorder: what happened in training, and what it looks like it means."""

import json
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from rlcore.checkpoint import Checkpoint, Resumable, plain_number

Metrics = dict[str, float]

PATIENCE = 5  # steps in a row before a symptom is called one


def _dead(row: Metrics) -> bool:
    return row.get("frac_reward_zero_std") == 1.0


def _cut_off(row: Metrics) -> bool:
    return row.get("completions/clipped_ratio") == 1.0


# (symptom of one step, what it looks like it means and what to do)
SYMPTOMS: list[tuple[Callable[[Metrics], bool], str]] = [
    (_dead, "every group is dead: all answers to a prompt got the same reward, so no answer looks better than another "
            "and nothing can be learned. Too hard: easier prompts, a larger group, partial credit, more SFT. "
            "Too easy: harder prompts. Too certain: a higher temperature."),
    (_cut_off, "every completion is cut off at max_new_tokens: none has ended in EOS, so the reward judges fragments "
               "and nothing can be learned about ending. Raise max_new_tokens, or check that SFT taught the EOS."),
]  # fmt: skip


class _Interrupt:
    """While active, the first Ctrl-C only asks to stop, so that no step is left half done; the second stops."""

    requested = False

    def __enter__(self) -> "_Interrupt":
        self._in_charge = threading.current_thread() is threading.main_thread()  # others never see a signal
        if self._in_charge:
            self._before = signal.signal(signal.SIGINT, self._ask)
        return self

    def _ask(self, number, frame) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
        print("\nStopping after this step, to leave nothing half done. Ctrl-C again stops at once.", file=sys.stderr)

    def __exit__(self, *_) -> None:
        if self._in_charge:
            signal.signal(signal.SIGINT, self._before)


class Recorder:
    """Keeps the metrics of every step, survives Ctrl-C, and warns once when `PATIENCE` steps show a symptom.

    `observe(metrics)` is called after each step: a progress bar, a live plot; what it adds to the metrics is kept.
    `history` is what happened so far, one dictionary per step; `interrupted` says whether it was stopped by hand.
    """

    def __init__(self, observe: Callable[[Metrics], None] | None = None, checkpoint: Checkpoint | None = None):
        self.history: list[Metrics] = []
        self.findings: list[str] = []
        self.interrupted = False
        self._observe, self._checkpoint = observe, checkpoint

    def resume(self) -> None:
        """Go on where the checkpoint stopped."""
        self.history = self._checkpoint.load()

    def watch(self, steps: Iterable[Metrics]) -> "Recorder":
        """Run the steps to their end, or to the end of the step in which Ctrl-C comes, and keep what they yield."""
        with _Interrupt() as interrupt:
            for metrics in steps:
                self.history.append(metrics)
                self._diagnose()
                if self._observe is not None:
                    self._observe(metrics)
                if self._checkpoint is not None and len(self.history) % self._checkpoint.every == 0:
                    self._checkpoint.save(self.history)
                if interrupt.requested:
                    self.interrupted = True
                    break
            if self._checkpoint is not None:
                self._checkpoint.save(self.history)
        return self

    def _diagnose(self) -> None:
        recent = self.history[-PATIENCE:]
        for symptom, meaning in SYMPTOMS:
            if len(recent) == PATIENCE and meaning not in self.findings and all(map(symptom, recent)):
                self.findings.append(meaning)
                warnings.warn(meaning, stacklevel=2)

    def save(self, path: str | Path) -> None:
        """Write the history as JSON lines, whole or not at all."""
        path = Path(path)
        fresh = path.with_name(path.name + ".tmp")
        with open(fresh, "w", encoding="utf-8") as file:
            file.writelines(json.dumps(row, default=plain_number) + "\n" for row in self.history)
            file.flush()
            os.fsync(file.fileno())
        os.replace(fresh, path)


@dataclass(frozen=True)
class Result:
    """What training leaves: the policy, the metrics of every step, and whether it was stopped by hand."""

    policy: nn.Module
    history: list[Metrics]
    interrupted: bool


def run(
    agent: Resumable, steps: Iterable[Metrics], observe: Callable[[Metrics], None] | None = None,
    checkpoint: str | Path | None = None, resume: bool = False,
) -> Result:
    """The loop outside: take an agent's steps to their end, or to Ctrl-C, recorded, observed and saved.

    Without `resume`, a checkpoint that is there already is kept beside the new one, as `….previous`.

    Raises:
        ValueError: `resume` without a checkpoint.
        CheckpointError: there is no such checkpoint, or it is damaged or another run's.
    """
    if resume and checkpoint is None:
        raise ValueError("resume=True needs a checkpoint to resume from")
    recorder = Recorder(observe, None if checkpoint is None else Checkpoint(checkpoint, agent))
    if resume:
        recorder.resume()
    elif checkpoint is not None and Path(checkpoint).exists():  # somebody's run: not to be written over
        os.replace(checkpoint, f"{checkpoint}.previous")
    recorder.watch(steps)
    return Result(agent.policy, recorder.history, recorder.interrupted)
