"""`rlcourse build`: the three notebooks of a chapter, from the two scripts that a writer edits."""

import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from rlcourse.bars import progress_bar
from rlcourse.course import Chapter, Course, CourseError
from rlcourse.execute import large_images, run_notebook
from rlcourse.scripts import CHECK_OUTPUT, notebooks_of

EXECUTED = {"chapters", "solutions"}  # committed with outputs; exercises are committed without


def build(course: Course, numbers: Iterable[int] = (), *, force: bool = False,
          say: Callable[[str], None] = print) -> list[Path]:
    """Write every notebook that is out of step with its source, and run what needs outputs.

    Args:
        course: the course to build.
        numbers: the chapters; none means all of them.
        force: run everything again, also what is in step; needed after a change in `rlcore`.
        say: where progress goes.

    Returns:
        The files that were written.
    """
    written = []
    for chapter in _chosen(course, numbers):
        for folder, book in notebooks_of(chapter).items():
            path = chapter.notebook(folder)
            old = read_notebook(path)
            if not force and old is not None and not out_of_step(book, old, folder in EXECUTED):
                continue
            if folder in EXECUTED and not (not force and old is not None and _reuse_outputs(book, old)):
                _execute(book, path, course.root, say)
            write_notebook(book, path)
            say(f"wrote {path.relative_to(course.root).as_posix()}")
            written.append(path)
        for folder in {"exercises", "solutions"} - set(chapter.folders):
            chapter.notebook(folder).unlink(missing_ok=True)
    return written


def check_build(course: Course, numbers: Iterable[int] = ()) -> list[str]:
    """One sentence for each notebook that is out of step with its source, with the command that mends it."""
    problems = []
    for chapter in _chosen(course, numbers):
        mend = f"Run: rlcourse build {chapter.number}"
        for folder, book in notebooks_of(chapter).items():
            path = chapter.notebook(folder)
            name, old = path.relative_to(course.root).as_posix(), read_notebook(path)
            if old is None:
                problems.append(f"{name} does not exist. {mend}")
                continue
            problems += [f"{name}: {reason}. {mend}" for reason in out_of_step(book, old, folder in EXECUTED)[:3]]
            problems += large_images(old, path)
    return problems + _orphans(course)


def out_of_step(book: NotebookNode, old: NotebookNode, executed: bool) -> list[str]:
    """How the notebook on disk, `old`, differs from what the sources say, apart from what its outputs contain."""
    if len(book.cells) != len(old.cells):
        return [f"it has {len(old.cells)} cells, its source has {len(book.cells)}"]
    reasons = [] if book.metadata == old.metadata else ["its kernel is not the plain python3"]
    for number, (new, cell) in enumerate(zip(book.cells, old.cells, strict=True), 1):
        for key, what in (("cell_type", "kind"), ("source", "text"), ("metadata", "tags"), ("id", "id")):
            if new[key] != cell.get(key):
                reasons.append(f"the {what} of cell {number} is not what its source says")
                break
        if cell.cell_type != "code":
            continue
        if not executed and (cell.outputs or cell.execution_count is not None):
            reasons.append(f"cell {number} has outputs, but exercises are shipped without")
        if executed and cell.execution_count is None and cell.source.strip():
            reasons.append(f"cell {number} was not run")
        if executed and CHECK_OUTPUT in cell.metadata.get("tags", []) and not cell.outputs:
            reasons.append(f"cell {number} is tagged {CHECK_OUTPUT} but has no output to compare with")
        if executed and any(out.output_type == "error" for out in cell.outputs):
            reasons.append(f"cell {number} shows an error")
    return reasons


def read_notebook(path: Path) -> NotebookNode | None:
    """The notebook at `path`, or None where there is none that can be read."""
    try:
        return nbformat.read(path, as_version=4)
    except (OSError, ValueError, nbformat.validator.NotebookValidationError):
        return None


def write_notebook(book: NotebookNode, path: Path) -> None:
    """Write all of it or nothing."""
    path.parent.mkdir(exist_ok=True)
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(nbformat.writes(book, version=4).rstrip("\n") + "\n", encoding="utf-8", newline="\n")
    os.replace(temporary, path)


def _chosen(course: Course, numbers: Iterable[int]) -> list[Chapter]:
    return [course.chapter(number) for number in numbers] or list(course.chapters.values())


def _execute(book: NotebookNode, path: Path, root: Path, say: Callable[[str], None]) -> None:
    start = time.perf_counter()
    path.parent.mkdir(exist_ok=True)
    with progress_bar(f"{path.parent.name}/{path.stem}", len(book.cells)) as bar:
        notes = run_notebook(book, path, root, watch=bar)
    for note in notes:
        say(f"note: {note}")
    if problems := large_images(book, path):
        raise CourseError("\n".join(problems))
    if problems := out_of_step(book, book, executed=True):
        raise CourseError(f"{path.parent.name}/{path.name}: {problems[0]}.")
    say(f"ran {path.parent.name}/{path.name} in {time.perf_counter() - start:.0f} s")


def _reuse_outputs(book: NotebookNode, old: NotebookNode) -> bool:
    """Where only text changed, carry the outputs over instead of running everything again."""
    code, old_code = ([cell for cell in b.cells if cell.cell_type == "code"] for b in (book, old))
    if [cell.source for cell in code] != [cell.source for cell in old_code]:
        return False
    for new, cell in zip(code, old_code, strict=True):
        new.outputs, new.execution_count = cell.outputs, cell.execution_count
    return not out_of_step(book, book, executed=True)


def _orphans(course: Course) -> list[str]:
    """Notebooks that no source stands behind."""
    wanted = {chapter.notebook(folder) for chapter in course.chapters.values() for folder in chapter.folders}
    folders = ("chapters", "exercises", "solutions")
    found = {path for folder in folders for path in course.root.glob(f"{folder}/*.ipynb")}
    return [f"{path.relative_to(course.root).as_posix()} has no source in authoring/. Remove it, or write its source."
            for path in sorted(found - wanted)]
