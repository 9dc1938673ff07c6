"""Run the reader's own copy from top to bottom and collect what its checks say."""

from dataclasses import dataclass

from nbformat import NotebookNode
from nbformat.v4 import new_code_cell

from rlcourse.bars import progress_bar
from rlcourse.build import read_notebook
from rlcourse.course import Chapter, Course, CourseError
from rlcourse.exam import Exercise
from rlcourse.execute import CELL_TIMEOUT, run_notebook
from rlcourse.scripts import checked_in

RIGHT, WRONG, NOT_DONE = "right", "not right", "not done yet"


@dataclass(frozen=True)
class Verdict:
    """What the check of one exercise says."""

    exercise: Exercise
    state: str  # RIGHT, WRONG or NOT_DONE
    message: str = ""


def review(course: Course, chapter: Chapter, timeout: float = CELL_TIMEOUT, record: bool = True) -> list[Verdict]:
    """Run `work/NN_topic.ipynb` in a kernel of its own, and leave the file alone.

    Args:
        course: the course.
        chapter: the chapter whose copy to run.
        timeout: seconds that one cell may take.
        record: remember right answers.

    Raises:
        CourseError: there is no copy, or it cannot be read.
    """
    path = chapter.notebook("work")
    if not path.exists():
        raise CourseError(f"You have not started the exercises of chapter {chapter.number}. "
                          f"Take your copy with: rlcourse start {chapter.number}")
    book = read_notebook(path)
    if book is None:
        raise CourseError(f"work/{path.name} cannot be read as a notebook. `rlcourse reset {chapter.number}` puts a "
                          "fresh copy in its place and keeps this one in work/backups.")
    _prepare(book, chapter)
    stopped = ""
    try:
        with progress_bar(f"work/{path.stem}", len(book.cells)) as bar:
            run_notebook(book, path, course.root, allow_errors=True, record=record, timeout=timeout, watch=bar)
    except CourseError as error:
        stopped = str(error)
    return [_verdict(exercise, book, stopped) for exercise in chapter.exercises.values()]


def _prepare(book: NotebookNode, chapter: Chapter) -> None:
    """Forget old outputs, and put back check cells that the reader deleted."""
    for cell in book.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    present = {checked_in(cell.source) for cell in book.cells if cell.cell_type == "code"}
    shipped = read_notebook(chapter.notebook("exercises"))
    for cell in shipped.cells if shipped else []:
        exercise_id = checked_in(cell.source) if cell.cell_type == "code" else None
        if exercise_id and exercise_id not in present:
            book.cells += [new_code_cell("from rlcourse import check"), new_code_cell(cell.source)]


def _verdict(exercise: Exercise, book: NotebookNode, stopped: str) -> Verdict:
    cells = [cell for cell in book.cells if cell.cell_type == "code" and checked_in(cell.source) == exercise.id]
    error = _error(cells[-1]) if cells else None
    if cells and error is None and any(f"✓ {exercise.id} " in out.get("text", "") for out in cells[-1].outputs):
        return Verdict(exercise, RIGHT)
    if error is not None and error.ename == "NotDone":
        return Verdict(exercise, NOT_DONE, error.evalue)
    if error is not None and error.ename == "CheckFailed":
        return Verdict(exercise, WRONG, error.evalue)
    if error is not None and error.ename == "KeyboardInterrupt":
        reason = "it did not come to an end and was stopped: is there a loop that never ends?"
    else:
        reason = f"{error.ename}: {error.evalue}" if error is not None else "its check did not run"
    message = f"✗ {exercise.id} {exercise.title}: could not be checked ({reason}).{_cause(book, stopped)}"
    return Verdict(exercise, WRONG, message)


def _error(cell: NotebookNode) -> NotebookNode | None:
    return next((out for out in cell.outputs if out.output_type == "error"), None)


def _cause(book: NotebookNode, stopped: str) -> str:
    """The first thing that went wrong in the notebook, as a likely reason for what went wrong later."""
    if stopped:
        return f"\n  {stopped}"
    for cell in book.cells:
        error = _error(cell) if cell.cell_type == "code" else None
        if error is not None and error.ename not in ("NotDone", "CheckFailed", "NotImplementedError"):
            first = next(line for line in cell.source.splitlines() if line.strip())
            too_long = error.ename == "KeyboardInterrupt"
            text = "it took too long and was stopped" if too_long else f"{error.ename}: {error.evalue}"
            return f"\n  The first cell that failed begins with {first.strip()[:60]!r}: {text}"
    return ""
