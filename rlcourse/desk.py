"""The reader's own copies of the exercises, in `work/`: taken, given back, never lost."""

import os
import shutil
from datetime import datetime
from pathlib import Path

from rlcourse.course import Chapter, Course, CourseError
from rlcourse.progress import Progress


def start(course: Course, chapter: Chapter) -> tuple[Path, bool]:
    """Copy a chapter's exercises to `work/` unless a copy is there; say where it lies, and whether it is new."""
    shipped, mine = _shipped(chapter), chapter.notebook("work")
    if mine.exists():
        return mine, False
    course.work.mkdir(exist_ok=True)
    _copy(shipped, mine)
    Progress(course.work).mark_started(chapter.number)
    return mine, True


def reset(course: Course, chapter: Chapter) -> Path | None:
    """Put a fresh copy in `work/`; say where the old one was kept."""
    _shipped(chapter)  # complain before anything is touched
    backup = _back_up(course, chapter)
    start(course, chapter)
    Progress(course.work).forget_answers(chapter.number)
    return backup


def move_edited(course: Course, chapter: Chapter) -> tuple[Path, Path | None]:
    """Bring answers that were written into `exercises/` to `work/`, and restore what was shipped.

    Returns:
        The reader's copy, and where an older copy was kept, if there was one.
    """
    from rlcourse.build import write_notebook
    from rlcourse.scripts import notebooks_of

    shipped, mine = _shipped(chapter), chapter.notebook("work")
    if not was_edited(chapter):
        raise CourseError(f"exercises/{shipped.name} is as it was shipped: there is nothing to move. Your own copy is "
                          f"made by: rlcourse start {chapter.number}")
    pristine = notebooks_of(chapter)["exercises"]
    backup = _back_up(course, chapter)
    course.work.mkdir(exist_ok=True)
    _copy(shipped, mine)
    write_notebook(pristine, shipped)
    Progress(course.work).mark_started(chapter.number)
    return mine, backup


def was_edited(chapter: Chapter) -> bool:
    """Whether somebody wrote into the shipped exercises of this chapter instead of into a copy."""
    from rlcourse.build import read_notebook
    from rlcourse.scripts import edited_cells

    path = chapter.notebook("exercises")
    book = read_notebook(path) if path.exists() else None
    return book is not None and bool(edited_cells(book))


def edited_notice(chapter: Chapter) -> str:
    """What to tell somebody who wrote into the shipped exercises."""
    return (f"exercises/{chapter.name}.ipynb was edited, but it is the shipped notebook: the next update of the course "
            f"would collide with your answers. Move them to your own copy with: rlcourse start {chapter.number} --move")


def _shipped(chapter: Chapter) -> Path:
    path = chapter.notebook("exercises")
    if "exercises" not in chapter.folders:
        raise CourseError(f"Chapter {chapter.number} has no exercises.")
    if not path.exists():
        raise CourseError(f"exercises/{path.name} is missing. Restore it with: rlcourse build {chapter.number}")
    return path


def _back_up(course: Course, chapter: Chapter) -> Path | None:
    mine = chapter.notebook("work")
    if not mine.exists():
        return None
    folder = course.work / "backups"
    folder.mkdir(exist_ok=True)
    stamp = datetime.now().strftime("%Y-%m-%dT%H-%M-%S")
    names = (f"{chapter.name}.{stamp}{suffix}.ipynb" for suffix in ("", *(f"-{n}" for n in range(2, 10_000))))
    backup = next(folder / name for name in names if not (folder / name).exists())
    os.replace(mine, backup)
    return backup


def _copy(source: Path, target: Path) -> None:
    """Copy the content (not the write protection that the source may have), whole or not at all."""
    temporary = target.with_name(target.name + ".tmp")
    shutil.copyfile(source, temporary)
    os.replace(temporary, target)
