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
    start, stop, bar = _drawn(title, total, console) if console.is_terminal else _written(title, total, console)
    started = False

    def show(done: int, note: str) -> None:
        nonlocal started
        if not started:
            started = True
            start(done)
        bar(done, note)

    try:
        yield show
    finally:
        stop()


def _drawn(title: str, total: int, console: Console):
    """Everything but the note keeps its width: a narrow window breaks the note into lines, and nothing is lost."""
    fixed = Column(no_wrap=True)
    columns = (TextColumn("{task.description}"), BarColumn(bar_width=8, table_column=fixed.copy()),
               MofNCompleteColumn(table_column=fixed.copy()),
               TimeRemainingColumn(compact=True, table_column=fixed.copy()),
               TextColumn("{task.fields[note]}", markup=False, table_column=Column()))
    progress = Progress(*columns, console=console)
    tasks = []

    def start(done: int) -> None:
        progress.start()
        tasks.append(progress.add_task(title, total=total, completed=done, note=""))

    def bar(done: int, note: str) -> None:
        progress.update(tasks[0], completed=done, note=note)

    return start, progress.stop, bar


def _written(title: str, total: int, console: Console):
    """The first line at once, then one every `PLAIN_EVERY` seconds, then the last."""
    began = written = first = 0.0
    waiting = ""

    def start(done: int) -> None:
        nonlocal began, first, written
        began, first, written = time.monotonic(), done, float("-inf")

    def bar(done: int, note: str) -> None:
        nonlocal waiting, written
        now = time.monotonic()
        left = (total - done) * (now - began) / (done - first) if done > first else None
        estimate = "" if left is None or left < 1 else f", about {timedelta(seconds=round(left))} left"
        waiting = f"{title} {done}/{total}{estimate}: {note}"
        if now - written >= PLAIN_EVERY:
            flush(now)

    def flush(now: float = 0.0) -> None:
        nonlocal waiting, written
        if waiting:
            console.print(waiting, soft_wrap=True, markup=False, highlight=False)
        waiting, written = "", now

    return start, flush, bar
