"""The one exam: the notebook, the command line and the tests all put an answer before the same check.

A check is a function of the reader's answer, registered with `@exercise`. It calls the answer with `call` and says with
`expect` what should come back; `expect_error` and `require` cover what is not a value.
"""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlcourse.asking import Call, as_failure, call, expect, expect_error, require
from rlcourse.course import Chapter, Course, open_course
from rlcourse.verdicts import CheckFailed, NotDone

RECORD_VARIABLE = "RLCOURSE_RECORD"  # "0": never write progress; unset: only for notebooks that run in work/

__all__ = ["Call", "CheckFailed", "Exercise", "NotDone", "call", "check", "exercise", "expect", "expect_error",
           "require"]


@dataclass(frozen=True)
class Exercise:
    """One exercise: its number, its title, its hints from a nudge to almost the answer, and its check."""

    id: str  # "01.2"
    title: str
    hints: tuple[str, ...]
    function: Callable[[Any], None]

    def __call__(self, answer: Any) -> None:
        """Put an answer before the check.

        Raises:
            NotDone: the answer is still the stub.
            CheckFailed: the answer is wrong; the message says how.
        """
        try:
            self.function(answer)
        except CheckFailed as failure:
            self._own(failure)
            raise
        except Exception as error:  # the answer is an object, and something that the check did with it went wrong
            raise self._own(as_failure(error, f"check {self.id} with your answer", answer)) from error

    def _own(self, failure: CheckFailed) -> CheckFailed:
        """Put this exercise's name on a failure."""
        failure.exercise = self
        if isinstance(failure, NotDone) and failure.needs == self.id:
            failure.needs = None
        return failure


def exercise(id: str, title: str, hints: list[str]) -> Callable[[Callable[[Any], None]], Exercise]:
    """Make a function of the reader's answer the check of exercise `id`."""
    if not re.fullmatch(r"\d\d\.\d+", id):
        raise ValueError(f"the id of an exercise looks like '01.2', but is {id!r}")
    return lambda function: Exercise(id, title, tuple(hints), function)


def check(exercise_id: str, answer: Any) -> None:
    """Check an answer: print one line if it is right, or raise `CheckFailed` with a message if it is not.

    In the reader's own copy, in `work/`, a right answer is remembered.
    """
    course = open_course()
    chapter, found = course.exercise(exercise_id)
    found(answer)
    print(f"✓ {found.id} {found.title}")
    if _runs_in(course.root / "exercises"):
        print(f"  Right, but this is the shipped notebook: `rlcourse start {chapter.number} --move` makes it your own.")
    _record(course, chapter, found)


def _record(course: Course, chapter: Chapter, found: Exercise) -> None:
    """Remember a right answer if this is the reader's copy, and not a build, a test or a solution."""
    if os.environ.get(RECORD_VARIABLE) != "0" and _runs_in(course.work):
        from rlcourse.progress import Progress

        Progress(course.work).mark_done(found.id)


def _runs_in(folder: Path) -> bool:
    """Whether the notebook that runs this lies in `folder`: Jupyter starts a kernel where its notebook is."""
    here = Path.cwd().resolve()
    return here == folder or folder in here.parents
