"""What the command line shows. Rich is imported where a table is drawn, and never reads markup out of our sentences."""

import sys
from typing import TYPE_CHECKING

from rlcourse.course import Chapter, Course
from rlcourse.progress import Progress

if TYPE_CHECKING:
    from rlcourse.exam import Exercise
    from rlcourse.review import Verdict


def say(sentence: str) -> None:
    """Print a sentence; an empty one prints nothing."""
    if sentence:
        print(sentence, flush=True)  # what takes a while is announced before it, also into a pipe


def complain(sentence: str) -> None:
    """Print a sentence where errors go."""
    print(sentence, file=sys.stderr)


def next_chapter(course: Course, done: set[str]) -> Chapter | None:
    """The first chapter with an exercise that is not done; None where all are done, or there are none."""
    return next((chapter for chapter in course.chapters.values() if set(chapter.exercises) - done), None)


def show_progress(course: Course) -> None:
    """The table of chapters, and the next step."""
    done = Progress(course.work, warn=complain).done()
    table = _table("", "Chapter", "Exercises done")
    for number, chapter in course.chapters.items():
        total, right = len(chapter.exercises), len(done & set(chapter.exercises))
        table.add_row(f"{number:02d}", _plain(chapter.title), f"{right}/{total}" + (" ✓" if right == total > 0 else ""))
    _print(table)
    following = next_chapter(course, done)
    if not course.chapters:
        say("There are no chapters yet.")
    elif following is None:
        say("Every exercise is done. To look at a chapter again: rlcourse lab N")
    else:
        todo = next(exercise for exercise in following.exercises.values() if exercise.id not in done)
        say(f"Next: exercise {todo.id}, {todo.title}. Open its chapter with: rlcourse lab {following.number}")


def show_verdicts(chapter: Chapter, verdicts: "list[Verdict]") -> None:
    """A table with one line per exercise, then what the checks say about those that are not right."""
    marks = {"right": "✓ right", "not right": "✗ not right", "not done yet": "○ not done yet"}
    table = _table("Exercise", f"Chapter {chapter.number} · {chapter.title}", "Verdict")
    for verdict in verdicts:
        table.add_row(verdict.exercise.id, _plain(verdict.exercise.title), marks[verdict.state])
    _print(table)
    for verdict in verdicts:
        if verdict.state == "not right":
            say(verdict.message + "\n")


def show_hints(exercise: "Exercise", count: int, solution: str) -> None:
    """The first `count` hints, and what to do for more."""
    say(f"{exercise.id} {exercise.title}")
    for number, text in enumerate(exercise.hints[:count], 1):
        say(f"  Hint {number} of {len(exercise.hints)}: {text}")
    more = f"For one more, run this again: rlcourse hint {exercise.id}"
    say(more if count < len(exercise.hints) else f"That was the last hint. A solution stands in {solution}")


def _table(*columns: str):
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD)
    for column in columns:
        table.add_column(_plain(column), no_wrap=column != "Chapter")
    return table


def _plain(text: str):
    from rich.text import Text

    return Text(text)


def _print(table) -> None:
    from rich.console import Console

    Console(highlight=False).print(table)
