"""A progress bar with an estimate that fits 80 columns, and a plain line now and then where there is no terminal."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Column

PLAIN_EVERY = 10.0  # seconds between two lines where there is no terminal
Bar = Callable[[int, str], None]


@contextmanager
def progress_bar(title: str, total: int, console: Console | None = None) -> Iterator[Bar]:
    """A bar that appears with the first call of `bar(done, note)`, and stays silent if there is none."""
    console = console or Console(highlight=False)
    bar = (_Drawn if console.is_terminal else _Written)(title, total, console)
    try:
        yield bar.show
    finally:
        bar.close()


class _Drawn:
    """Everything but the note keeps its width: a narrow window breaks the note into lines, and nothing is lost."""

    def __init__(self, title: str, total: int, console: Console):
        def fixed() -> Column:
            return Column(no_wrap=True)

        self._progress = Progress(
            TextColumn("{task.description}"), BarColumn(bar_width=8, table_column=fixed()),
            MofNCompleteColumn(table_column=fixed()), TimeRemainingColumn(compact=True, table_column=fixed()),
            TextColumn("{task.fields[note]}", markup=False, table_column=Column()), console=console)
        self._title, self._total, self._task = title, total, None

    def show(self, done: int, note: str) -> None:
        if self._task is None:
            self._progress.start()
            self._task = self._progress.add_task(self._title, total=self._total, completed=done, note=note)
        self._progress.update(self._task, completed=done, note=note)

    def close(self) -> None:
        self._progress.stop()


class _Written:
    """The first line at once, then one every `PLAIN_EVERY` seconds, then the last."""

    def __init__(self, title: str, total: int, console: Console):
        self._title, self._total, self._console = title, total, console
        self._first = None  # (time, done) of the first call
        self._written, self._waiting = float("-inf"), ""

    def show(self, done: int, note: str) -> None:
        now = time.monotonic()
        self._first = self._first or (now, done)
        self._waiting = f"{self._title} {done}/{self._total}{self._estimate(now, done)}: {note}"
        if now - self._written >= PLAIN_EVERY:
            self.close()
            self._written = now

    def _estimate(self, now: float, done: int) -> str:
        began, first = self._first
        left = (self._total - done) * (now - began) / (done - first) if done > first else 0.0
        return f", about {timedelta(seconds=round(left))} left" if left >= 1 else ""

    def close(self) -> None:
        if self._waiting:
            self._console.print(self._waiting, soft_wrap=True, markup=False, highlight=False)
        self._waiting = ""
