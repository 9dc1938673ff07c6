"""Where the course lies on disk, and what is in it. Nothing here imports anything heavy."""

import importlib.util
import os
import re
import sys
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rlcourse.exam import Exercise

ROOT_VARIABLE = "RLCOURSE_ROOT"  # names another course folder; the tests use it
_CHAPTER = re.compile(r"(\d\d)_\w+")
_EXERCISE = re.compile(r"(\d{1,2})\.(\d{1,2})")


class CourseError(Exception):
    """Something that a reader or a writer asked for cannot be done; the message is a sentence that says why."""


@dataclass(frozen=True)
class Chapter:
    """One chapter: its number, its name `NN_topic`, and the files that belong to it."""

    root: Path
    name: str  # "01_the_loop"

    @property
    def number(self) -> int:
        """The number in front of the name."""
        return int(self.name[:2])

    @property
    def source(self) -> Path:
        """The folder that a writer edits."""
        return self.root / "authoring" / self.name

    def notebook(self, folder: str) -> Path:
        """This chapter's notebook in `chapters`, `exercises`, `solutions` or `work`."""
        return self.root / folder / f"{self.name}.ipynb"

    @property
    def folders(self) -> tuple[str, ...]:
        """The folders in which the build leaves a notebook of this chapter."""
        has_exercises = (self.source / "exercises.py").exists()
        return ("chapters", "exercises", "solutions") if has_exercises else ("chapters",)

    @cached_property
    def title(self) -> str:
        """The lesson's first heading, without its number."""
        with (self.source / "lesson.py").open(encoding="utf-8") as script:
            heading = next((line for line in script if line.startswith("# # ")), f"# # {self.name[3:]}")
        return re.sub(r"^(Chapter )?\d+\s*[·.:–—-]?\s*", "", heading[4:].strip())

    @cached_property
    def exercises(self) -> dict[str, "Exercise"]:
        """The exercises of this chapter by their id, in order."""
        from rlcourse.exam import Exercise

        path = self.root / "rlcourse" / "checks" / f"ch{self.number:02d}.py"
        if not path.exists():
            return {}
        found = [value for value in vars(load_module(path)).values() if isinstance(value, Exercise)]
        return {exercise.id: exercise for exercise in sorted(found, key=lambda e: [int(n) for n in e.id.split(".")])}


@dataclass(frozen=True)
class Course:
    """The folder that holds `authoring/` and `chapters/`, and its chapters."""

    root: Path
    chapters: dict[int, Chapter] = field(repr=False)

    @property
    def work(self) -> Path:
        """Where the reader's own copies lie."""
        return self.root / "work"

    def chapter(self, number: int | str) -> Chapter:
        """Look a chapter up by its number."""
        try:
            return self.chapters[int(number)]
        except (KeyError, ValueError):
            known = ", ".join(map(str, self.chapters)) or "none yet"
            if match := _EXERCISE.fullmatch(str(number)):
                raise CourseError(f"{number} is an exercise, and this works on whole chapters. Give it "
                                  f"chapter {int(match[1])} instead.") from None
            raise CourseError(f"There is no chapter {number}. The chapters are: {known}.") from None

    def exercise(self, exercise_id: str) -> tuple[Chapter, "Exercise"]:
        """Look an exercise up by its id; "1.2" finds 01.2."""
        match = _EXERCISE.fullmatch(str(exercise_id))
        if not match:
            raise CourseError(f"{exercise_id!r} is not the number of an exercise. It looks like this: 01.2, the second "
                              "exercise of chapter 1.")
        chapter = self.chapter(match[1])
        exercises = chapter.exercises
        wanted = f"{int(match[1]):02d}.{int(match[2])}"
        if wanted not in exercises:
            known = ", ".join(exercises) or "none yet"
            raise CourseError(f"There is no exercise {wanted}. The exercises of chapter {chapter.number} are: {known}.")
        return chapter, exercises[wanted]


def open_course(root: Path | str | None = None) -> Course:
    """Find the course: the folder given, the one that RLCOURSE_ROOT names, or the one beside this package."""
    root = Path(root or os.environ.get(ROOT_VARIABLE) or Path(__file__).parents[1]).resolve()
    if not (root / "authoring").is_dir():
        raise CourseError(f"The course's notebooks are not in {root}. rlcourse works inside a copy of the course: "
                          "clone it, and install it there with `pip install -e .` (with the -e).")
    names = sorted(path.parent.name for path in root.glob("authoring/*/lesson.py"))
    chapters = [Chapter(root, name) for name in names if _CHAPTER.fullmatch(name)]
    return Course(root, {chapter.number: chapter for chapter in chapters})


def load_module(path: Path) -> ModuleType:
    """Import a file of checks by where it lies, so that a course in another folder brings its own.

    A file that changed is read again: a notebook that stays open sees a mended check.
    """
    name = f"rlcourse_file_{path.stem}_{abs(hash(str(path.resolve())))}_{path.stat().st_mtime_ns}"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise
    return sys.modules[name]
