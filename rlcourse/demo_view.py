"""What `rlcourse demo` shows: bars while it works, a table and a picture at the end."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import matplotlib
import numpy as np
from datasets import Dataset
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from rlcore.plotting import house_style
from rlcore.recorder import Metrics

SMOOTH = 10  # steps over which the reward is averaged, in the bar and in the picture
Bar = Callable[[int, str], None]


@contextmanager
def progress_bar(console: Console, title: str, total: int) -> Iterator[Bar]:
    """A bar that appears with the first call of `bar(done, note)`, and stays silent if there is none."""
    columns = (TextColumn("{task.description}"), BarColumn(bar_width=20), MofNCompleteColumn(), TimeRemainingColumn(),
               TextColumn("{task.fields[note]}", markup=False))
    progress = Progress(*columns, console=console)
    tasks = []

    def bar(done: int, note: str) -> None:
        if not tasks:
            progress.start()
            tasks.append(progress.add_task(title, total=total, note=""))
        progress.update(tasks[0], completed=done, note=note)

    try:
        yield bar
    finally:
        progress.stop()


class Watch:
    """Looks on during training: measures the held-out problems now and then, and keeps the bar up to date."""

    def __init__(self, bar: Bar, exam: Callable[[], float], every: int, start: float):
        self._bar, self._exam, self._every, self._accuracy = bar, exam, every, start
        self._rewards, self._tokens, self._since = [], None, time.perf_counter()

    def __call__(self, metrics: Metrics) -> None:
        """Add `accuracy` to the metrics of every `every`-th step, and show where the training stands."""
        if metrics["step"] % self._every == 0:
            self._accuracy = metrics["accuracy"] = self._exam()
        now = time.perf_counter()
        if self._tokens is None:
            self._tokens, self._since = metrics["num_tokens"], now
        speed = (metrics["num_tokens"] - self._tokens) / max(now - self._since, 1e-9)
        self._rewards = [*self._rewards, metrics["reward"]][-SMOOTH:]
        reward = sum(self._rewards) / len(self._rewards)
        self._bar(metrics["step"], f"reward {reward:.2f}  held-out right {self._accuracy:.0%}  "
                                   f"dead groups {metrics['frac_reward_zero_std']:.0%}  {speed:.0f} tokens/s")


def show_table(console: Console, problems: Dataset, before: list[str], after: list[str]) -> None:
    """Some held-out problems, with the greedy answers before and after."""
    table = Table(title="Held-out problems, never trained on", title_justify="left")
    for heading in ("problem", "before", "after"):
        table.add_column(heading)
    for prompt, right, old, new in zip(problems["prompt"], problems["answer"], before, after, strict=True):
        table.add_row(Text(prompt), *(_marked(answer, answer == str(right)) for answer in (old, new)))
    console.print(table)


def _marked(answer: str, is_right: bool) -> Text:
    return Text(f"{answer} ✓" if is_right else f"{answer[:20]} ✗", style="green" if is_right else "red")


def draw_curve(before: float, history: list[Metrics], path: Path) -> Path | None:
    """Reward and held-out accuracy above, dead groups below, as a PNG; None where there is nothing to draw."""
    if not history:
        return None
    from matplotlib.figure import Figure  # no pyplot: no window, no backend

    with matplotlib.rc_context():
        house_style()
        figure = Figure(figsize=(7.2, 4.8))
        upper, lower = figure.subplots(2, sharex=True, height_ratios=(2.2, 1))
        steps = np.array([row["step"] for row in history])
        seen = [(0, before)] + [(row["step"], row["accuracy"]) for row in history if "accuracy" in row]
        upper.plot(steps, _smooth([row["reward"] for row in history]),
                   label=f"reward: sampled answers that are right (mean of {SMOOTH} steps)")
        upper.plot(*zip(*seen, strict=True), "o-", label="greedy answers to held-out problems that are right")
        upper.set(ylim=(0, 1), ylabel="share right", title="A small GPT-2 learns two-digit addition by GRPO")
        upper.legend(loc="lower right")
        lower.plot(steps, _smooth([row["frac_reward_zero_std"] for row in history]), color="C2")
        lower.set(ylim=(0, 1), xlabel="GRPO step", ylabel="dead groups\n(share)")
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=100)
    return path


def _smooth(values: list[float]) -> np.ndarray:
    """The mean of the last `SMOOTH` values at each step (of fewer at the start)."""
    return np.array([np.mean(values[max(0, i + 1 - SMOOTH) : i + 1]) for i in range(len(values))])
