"""What `rlcourse demo` shows: numbers while it works, a table and a picture at the end."""

import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib
import numpy as np
from datasets import Dataset
from rich.console import Console
from rich.table import Table
from rich.text import Text

from rlcore.plotting import house_style
from rlcore.recorder import Metrics
from rlcourse.bars import Bar

if TYPE_CHECKING:
    from rlcourse.demo import Exam

SMOOTH = 10  # steps over which the reward is averaged, beside the bar and in the picture
WRONG_SHOWN, RIGHT_SHOWN = 8, 4  # rows of the table: problems that were wrong, and that were right, before
LEGEND = """Beside the bar: reward, the share of sampled answers that are right; held-out,
the share right without sampling; dead, groups of answers that are all equally
good, so that nothing can be learned from them; and the speed."""


class Watch:
    """Looks on during training: measures the held-out problems now and then, and keeps the bar up to date."""

    def __init__(self, bar: Bar, exam: Callable[[], float], every: int, start: float):
        self._bar, self._exam, self._every, self._accuracy = bar, exam, every, start
        self._rewards, self._tokens, self._since = [], None, time.perf_counter()

    def __call__(self, metrics: Metrics) -> None:
        """Add `accuracy` to the metrics of every `every`-th step, and show where the training stands."""
        if metrics["step"] % self._every == 0:
            self._accuracy = metrics["accuracy"] = self._exam()
        now, speed = time.perf_counter(), ""
        if self._tokens is None:
            self._tokens, self._since = metrics["num_tokens"], now
            if metrics["step"] > 1:  # resumed: what was right before the first step is long past
                self._accuracy = self._exam()
        else:
            speed = _short((metrics["num_tokens"] - self._tokens) / max(now - self._since, 1e-9)) + " tokens/s"
        self._rewards = [*self._rewards, metrics["reward"]][-SMOOTH:]
        reward = sum(self._rewards) / len(self._rewards)
        self._bar(metrics["step"], f"reward {reward:.2f} held-out {self._accuracy:.0%} "
                                   f"dead {metrics['frac_reward_zero_std']:.0%} {speed}".rstrip())


def _short(number: float) -> str:
    return f"{number:.0f}" if number < 1000 else f"{number / 1000:.1f}k"


@contextmanager
def plain_warnings(console: Console) -> Iterator[None]:
    """Show a warning as the sentence it is, above the bar and without the line of code that it came from."""
    with warnings.catch_warnings():
        def show(message, *_, **__) -> None:
            console.print(f"Note: {message}", markup=False, soft_wrap=True)

        warnings.showwarning = show
        yield


def chosen_rows(right_before: Sequence[bool]) -> list[int]:
    """The first problems that were wrong and the first that were right before training, whatever came of them."""
    wrong = [row for row, right in enumerate(right_before) if not right]
    right = [row for row, right in enumerate(right_before) if right]
    return wrong[:WRONG_SHOWN] + right[:RIGHT_SHOWN]


def show_table(console: Console, problems: Dataset, before: "Exam", after: "Exam") -> None:
    """Some held-out problems, with the greedy answers before and after."""
    rows = chosen_rows(before.right)
    wrong = sum(not before.right[row] for row in rows)
    console.print(f"Held-out problems, chosen before GRPO: the first {wrong} that it got wrong, and\n"
                  f"the first {len(rows) - wrong} that it got right.")
    table = Table()
    for heading in ("problem", "before", "after"):
        table.add_column(heading)
    for row in rows:
        marked = (_marked(exam.answers[row], exam.right[row]) for exam in (before, after))
        table.add_row(Text(problems["prompt"][row]), *marked, end_section=row == rows[max(wrong - 1, 0)])
    console.print(table)


def _marked(answer: str, is_right: bool) -> Text:
    shown = " ".join(answer.split())[:20] or "(nothing)"
    return Text(f"{shown} ✓" if is_right else f"{shown} ✗", style="green" if is_right else "red")


def draw_curve(before: float, after: float, history: list[Metrics], path: Path) -> Path:
    """Reward and held-out accuracy above, dead groups below, as a PNG."""
    from matplotlib.figure import Figure  # no pyplot: no window, no backend
    from matplotlib.ticker import MaxNLocator

    with matplotlib.rc_context():
        house_style()
        figure = Figure(figsize=(7.2, 5.2))
        upper, lower = figure.subplots(2, sharex=True, height_ratios=(2.2, 1))
        steps = np.array([row["step"] for row in history])
        seen = {0: before} | {row["step"]: row["accuracy"] for row in history if "accuracy" in row}
        seen[len(history)] = after
        upper.plot(steps, _smooth([row["reward"] for row in history]),
                   label=f"reward: sampled answers that are right (mean of {SMOOTH} steps)")
        upper.plot(list(seen), list(seen.values()), "o-", markersize=5,
                   label="greedy answers to held-out problems that are right")
        upper.set(ylim=(0, 1.03), ylabel="share right")
        figure.legend(loc="outside upper left", title="A small GPT-2 learns two-digit addition by GRPO",
                      alignment="left", title_fontsize=12)  # outside: it covers no line, wherever the lines go
        lower.plot(steps, _smooth([row["frac_reward_zero_std"] for row in history]), color="C2")
        lower.set(ylim=(0, 1.03), xlabel="GRPO step", ylabel="dead groups\n(share)")
        lower.xaxis.set_major_locator(MaxNLocator(integer=True))
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=100)
    return path


def _smooth(values: list[float]) -> np.ndarray:
    """The mean of the last `SMOOTH` values at each step (of fewer at the start)."""
    return np.array([np.mean(values[max(0, i + 1 - SMOOTH) : i + 1]) for i in range(len(values))])
