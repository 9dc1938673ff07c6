"""Where the CPU time of a training step goes, without touching the code that spends it."""

import functools
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from unittest.mock import patch

import torch

from benchmarks._record import quartiles

PHASES = ("sample", "forward", "backward", "optimiser", "rest")
Place = tuple[object, str, str]  # whose, the function's name, the phase that its time belongs to


class Clock:
    """CPU time of this process (all its threads), lap by lap, one contestant at a time.

    A lap is split into phases: while a watched function runs, its phase pays. A watched function inside another one
    is paid by its own phase, so that the phases add up to the lap. What nobody watches is "rest".
    """

    def __init__(self, now: Callable[[], float] = time.process_time):
        self.laps: dict[str, list[dict[str, float]]] = defaultdict(list)  # contestant -> one {phase: ms} per lap
        self._now, self._name, self._paying = now, None, []

    def start(self, name: str) -> None:
        """Begin a lap of this contestant."""
        if self._name is not None:
            raise RuntimeError(f"{name} cannot start while {self._name} is running")
        self._name, self._paying, self._spent = name, ["rest"], dict.fromkeys(PHASES, 0.0)
        self._since = self._now()

    def stop(self) -> None:
        """End the lap and keep it."""
        self._charge()
        self.laps[self._name].append(self._spent)
        self._name = None

    def _charge(self) -> None:
        now = self._now()
        self._spent[self._paying[-1]] += 1000 * (now - self._since)
        self._since = now

    def wrap(self, phase: str, function: Callable) -> Callable:
        """The same function, whose time belongs to a phase whenever a lap is running."""

        @functools.wraps(function)
        def watched(*args, **kwargs):
            if self._name is None:
                return function(*args, **kwargs)
            self._charge()
            self._paying.append(phase)
            try:
                return function(*args, **kwargs)
            finally:
                self._charge()
                self._paying.pop()

        return watched

    @contextmanager
    def watching(self, places: Iterable[Place]) -> Iterator[None]:
        """Watch these functions, and leave everything as it was found."""
        with ExitStack() as stack:
            for owner, name, phase in places:
                stack.enter_context(patch.object(owner, name, self.wrap(phase, getattr(owner, name))))
            yield

    def totals(self, name: str, warm_up: int = 0) -> list[float]:
        """A contestant's CPU ms of each lap after the warm-up."""
        return [sum(lap.values()) for lap in self.laps[name][warm_up:]]

    def split(self, name: str, warm_up: int) -> dict:
        """CPU ms per lap: the total's quartiles and mean, and the median of each phase."""
        totals, laps = self.totals(name, warm_up), self.laps[name][warm_up:]
        phases = {phase: statistics.median(lap[phase] for lap in laps) for phase in PHASES}
        return {"total": quartiles(totals), "mean": statistics.fmean(totals), "phases": phases}

    def speedups(self, reference: str, warm_up: int) -> dict[str, dict[str, float]]:
        """The reference's time over each other's in the same lap, quartiles over the laps."""
        slow = self.totals(reference, warm_up)
        return {
            name: quartiles(a / b for a, b in zip(slow, self.totals(name, warm_up), strict=True))
            for name in self.laps if name != reference
        }  # fmt: skip


def learning_places() -> list[Place]:
    """What every trainer in torch goes through, whoever wrote it."""
    return [
        (torch.Tensor, "backward", "backward"),
        (torch.nn.utils, "clip_grad_norm_", "optimiser"),
        (torch.optim.AdamW, "step", "optimiser"),
        (torch.optim.Optimizer, "zero_grad", "optimiser"),
        (torch.nn.Module, "zero_grad", "optimiser"),
    ]
