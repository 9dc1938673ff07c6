"""From percent scripts to notebooks: solutions cut out, tags set, cells with ids that follow from their content."""

import hashlib
import json
import re
from collections import Counter
from pathlib import Path

import jupytext
from nbformat import NotebookNode, from_dict
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from rlcourse.course import Chapter, CourseError

CHECK_OUTPUT, MAY_RAISE = "nbval-check-output", "raises-exception"
KNOWN_KEYS = {"tags", "exercise", "needs", "jupyter"}  # what a writer may put behind `# %%`
METADATA = {"kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
            "language_info": {"name": "python"}}
_JUPYTEXT_KEYS = {"lines_to_next_cell", "lines_to_end_of_cell_marker", "cell_marker"}
_MARKER = re.compile(r"^([ \t]*)### (BEGIN|END) SOLUTION[ \t]*$")
_CHECK_CALL = re.compile(r"""^check\(\s*["'](\d\d\.\d+)["']""", re.MULTILINE)
_ID = re.compile(r"[0-9a-f]{10}(-\d+)?")


def checked_in(source: str) -> str | None:
    """The exercise whose check this cell runs, if any: a line that begins with `check("01.2", …`."""
    match = _CHECK_CALL.search(source)
    return match[1] if match else None


def split_solution(source: str, stub: str) -> tuple[str, str]:
    """A cell as the reader gets it, with `stub` in place of each solution, and the same cell solved."""
    shipped, solved, indent = [], [], None  # indent: of the solution we are in, None outside
    for line in source.split("\n"):
        marker = _MARKER.match(line)
        if marker is None:
            solved.append(line)
            if indent is None:
                shipped.append(line)
        elif (marker[2] == "BEGIN") != (indent is None):
            raise CourseError(f"`### {marker[2]} SOLUTION` stands where it cannot: each BEGIN needs one END after it")
        elif marker[2] == "BEGIN":
            indent = marker[1]
            shipped.append(indent + stub)
        else:
            indent = None
    if indent is not None:
        raise CourseError("`### BEGIN SOLUTION` has no `### END SOLUTION` after it")
    return "\n".join(shipped), "\n".join(solved)


def content_ids(cells: list[tuple[str, str]]) -> list[str]:
    """An id per (cell type, source) that does not change when another cell is inserted."""
    seen, ids = Counter(), []
    for kind, source in cells:
        key = hashlib.sha256(f"{kind}\n{source}".encode()).hexdigest()[:10]
        seen[key] += 1
        ids.append(key if seen[key] == 1 else f"{key}-{seen[key]}")
    return ids


def edited_cells(notebook: NotebookNode) -> list[NotebookNode]:
    """Code cells that somebody wrote into after the build: their id no longer follows from their content."""
    return [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()
            and not (_ID.fullmatch(cell.id) and cell.id.split("-")[0] == content_ids([("code", cell.source)])[0])]


def read_script(path: Path) -> list[NotebookNode]:
    """The cells of a percent script, with nothing in their metadata but what a writer put there."""
    cells = []
    for number, cell in enumerate(jupytext.read(path, fmt="py:percent").cells, 1):
        metadata = {key: value for key, value in cell.metadata.items() if key not in _JUPYTEXT_KEYS}
        where = describe(path, number, cell.source)
        if unknown := set(metadata) - KNOWN_KEYS:
            raise CourseError(f"{where}: {', '.join(sorted(unknown))} is unknown behind `# %%`. "
                              f"Known are: {', '.join(sorted(KNOWN_KEYS))}.")
        if cell.cell_type == "code" and MAY_RAISE in metadata.get("tags", []):
            raise CourseError(f"{where}: the tag {MAY_RAISE} would let a solution fail unseen. "
                              'Write needs="01.2" for a cell that cannot run before exercise 01.2 is done.')
        make = new_code_cell if cell.cell_type == "code" else new_markdown_cell
        cells.append(make(cell.source.strip("\n"), metadata=metadata))
    return cells


def describe(path: Path, number: int, source: str) -> str:
    """How to name a cell in a message: its file, its number, its first line."""
    first = next((line.strip() for line in source.splitlines() if line.strip()), "empty")
    return f"{path.parent.name}/{path.name}, cell {number} ({first[:60]!r})"


def notebooks_of(chapter: Chapter) -> dict[str, NotebookNode]:
    """What the sources of a chapter say: folder -> notebook without outputs."""
    lesson = read_script(chapter.source / "lesson.py")
    for number, cell in enumerate(lesson, 1):
        if any(_MARKER.match(line) for line in cell.source.splitlines()):
            where = describe(chapter.source / "lesson.py", number, cell.source)
            raise CourseError(f"{where}: a lesson has no solutions to cut out; exercises.py has.")
    books = {"chapters": _assemble(lesson, [cell.source for cell in lesson])}
    path = chapter.source / "exercises.py"
    if path.exists():
        books["exercises"], books["solutions"] = _exercise_notebooks(chapter, path)
    return books


def _exercise_notebooks(chapter: Chapter, path: Path) -> tuple[NotebookNode, NotebookNode]:
    shipped_cells, solved_cells, shipped_sources, seen = [], [], [], Counter()
    for number, cell in enumerate(read_script(path), 1):
        where = describe(path, number, cell.source)
        try:
            shipped, solved = split_solution(cell.source, _stub(chapter, cell.metadata.get("exercise")))
        except CourseError as error:
            raise CourseError(f"{where}: {error}.") from None
        _check_marks(cell, shipped, solved, where)
        checks = checked_in(cell.source) if cell.cell_type == "code" else None
        seen.update([f"the cell to fill in for {cell.metadata.exercise}"] if "exercise" in cell.metadata else [])
        seen.update([f"the check of {checks}"] if checks else [])
        tags = [tag for tag in cell.metadata.get("tags", []) if tag != CHECK_OUTPUT]
        stub_runs_at_once = shipped != solved and re.search(r"^raise NotImplementedError", shipped, re.MULTILINE)
        may_raise = checks or "needs" in cell.metadata or stub_runs_at_once
        shipped_cells.append(_retagged(cell, shipped, [*tags, MAY_RAISE] if may_raise else tags))
        solved_cells.append(_retagged(cell, solved, [*tags, CHECK_OUTPUT]
                                      if checks or CHECK_OUTPUT in cell.metadata.get("tags", []) else tags))
        shipped_sources.append(shipped)
    _check_complete(chapter, path, seen)
    return _assemble(shipped_cells, shipped_sources), _assemble(solved_cells, shipped_sources)


def _stub(chapter: Chapter, exercise_id: str | None) -> str:
    if exercise_id is None:
        return ""
    if exercise_id not in chapter.exercises:
        known = ", ".join(chapter.exercises) or "none yet"
        raise CourseError(f"exercise {exercise_id} has no check in rlcourse/checks/ch{chapter.number:02d}.py "
                          f"(registered there: {known})")
    text = f"Exercise {exercise_id}: {chapter.exercises[exercise_id].title}"
    return f"raise NotImplementedError({json.dumps(text, ensure_ascii=False)})"


def _check_marks(cell: NotebookNode, shipped: str, solved: str, where: str) -> None:
    has_solution, exercise = shipped != solved, cell.metadata.get("exercise")
    if has_solution and exercise is None:
        raise CourseError(f'{where}: a solution needs its number in the cell marker: # %% exercise="01.2".')
    if exercise is not None and not has_solution:
        raise CourseError(f"{where}: this cell is marked as exercise {exercise}, but holds no "
                          "`### BEGIN SOLUTION` … `### END SOLUTION`.")


def _check_complete(chapter: Chapter, path: Path, seen: Counter) -> None:
    wanted = [text for e in chapter.exercises for text in (f"the cell to fill in for {e}", f"the check of {e}")]
    for text in wanted:
        if seen[text] != 1:
            raise CourseError(f"{path.parent.name}/{path.name} must hold {text} once, but holds it {seen[text]} times.")
    if extra := set(seen) - set(wanted):
        raise CourseError(f"{path.parent.name}/{path.name} holds {sorted(extra)[0]}, which is not registered.")


def _retagged(cell: NotebookNode, source: str, tags: list[str]) -> NotebookNode:
    metadata = {key: value for key, value in cell.metadata.items() if key != "tags"}
    if tags:
        metadata["tags"] = list(dict.fromkeys(tags))
    make = new_code_cell if cell.cell_type == "code" else new_markdown_cell
    return make(source, metadata=metadata)


def _assemble(cells: list[NotebookNode], sources: list[str]) -> NotebookNode:
    """A notebook of these cells; an exercise and its solution share ids, made from what the reader gets."""
    ids = content_ids([(cell.cell_type, source) for cell, source in zip(cells, sources, strict=True)])
    for cell, cell_id in zip(cells, ids, strict=True):
        cell.id = cell_id
    book = new_notebook(cells=cells, metadata=from_dict(METADATA))
    book.nbformat_minor = 5
    return book
