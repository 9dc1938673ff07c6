import base64
import json
import sys
from pathlib import Path

import nbformat
import pytest

from rlcourse.build import build, check_build
from rlcourse.course import CourseError
from tests.course.tiny import EXERCISES, LESSON


def quiet(line):
    pass


def cells(course, folder):
    return nbformat.read(course.chapter(1).notebook(folder), as_version=4).cells


def test_a_built_course_is_in_step_and_is_not_built_again(course):
    assert check_build(course) == []
    assert build(course, say=quiet) == []


def test_outputs_stand_where_they_belong(course):
    assert all(not cell.outputs for cell in cells(course, "exercises") if cell.cell_type == "code")
    printed = [cell.outputs[0].text for cell in cells(course, "solutions") if cell.get("outputs")]
    assert printed == ['✓ 01.1 "Twice" as much, γ\n', "✓ 01.2 The mean\n", "1.5\n"]
    assert cells(course, "chapters")[2].outputs[0].text == "ok\n"


def test_building_again_gives_the_same_bytes(course):
    folders = course.chapter(1).folders
    before = {folder: course.chapter(1).notebook(folder).read_bytes() for folder in folders}
    assert len(build(course, force=True, say=quiet)) == 3
    assert before == {folder: course.chapter(1).notebook(folder).read_bytes() for folder in before}


def test_only_what_changed_is_written_and_text_alone_is_not_run_again(course):
    said, source = [], course.chapter(1).source / "lesson.py"
    source.write_text(LESSON.replace("A lesson.", "A longer lesson."), encoding="utf-8")
    assert [problem.split(":")[0] for problem in check_build(course)] == ["chapters/01_the_loop.ipynb"]
    assert [path.parent.name for path in build(course, say=said.append)] == ["chapters"]
    assert said == ["wrote chapters/01_the_loop.ipynb"]
    assert check_build(course) == []
    source.write_text(LESSON.replace('"ok"', '"fine"'), encoding="utf-8")
    build(course, say=said.append)
    assert cells(course, "chapters")[2].outputs[0].text == "fine\n"


def spoil(course, folder, change):
    path = course.chapter(1).notebook(folder)
    book = json.loads(path.read_text(encoding="utf-8"))
    change(book)
    path.write_text(json.dumps(book), encoding="utf-8")


@pytest.mark.parametrize(("folder", "change", "sentence"), [
    ("exercises", lambda book: book["cells"][2].update(source="x"), "text of cell 3"),
    ("exercises", lambda book: book["cells"][3]["metadata"].pop("tags"), "tags of cell 4"),
    ("exercises", lambda book: book["cells"][3].update(id="other"), "id of cell 4"),
    ("exercises", lambda book: book["cells"].pop(), "cells, its source has"),
    ("exercises", lambda book: book["cells"][3].update(execution_count=3), "has outputs"),
    ("exercises", lambda book: book["metadata"]["kernelspec"].update(name="mine"), "kernel"),
    ("solutions", lambda book: book["cells"][3].update(outputs=[]), "no output to compare"),
    ("chapters", lambda book: book["cells"][1].update(execution_count=None), "was not run"),
    ("chapters", lambda book: book["cells"][1]["outputs"].append(
        {"output_type": "error", "ename": "E", "evalue": "", "traceback": []}), "shows an error"),
])
def test_whatever_is_out_of_step_is_named_and_mended(course, folder, change, sentence):
    spoil(course, folder, change)
    problems = check_build(course)
    assert any(sentence in problem and f"{folder}/01_the_loop.ipynb" in problem for problem in problems), problems
    assert all(problem.endswith("Run: rlcourse build 1") for problem in problems)
    build(course, say=quiet)
    assert check_build(course) == []


def test_a_missing_a_broken_and_an_orphaned_notebook_are_named(course):
    course.chapter(1).notebook("solutions").unlink()
    course.chapter(1).notebook("exercises").write_text("{", encoding="utf-8")
    (course.root / "chapters/77_gone.ipynb").write_text("{}", encoding="utf-8")
    problems = "\n".join(check_build(course))
    assert "solutions/01_the_loop.ipynb does not exist" in problems
    assert "exercises/01_the_loop.ipynb" in problems
    assert "chapters/77_gone.ipynb has no source" in problems


def lesson_with(cell):
    return f"{LESSON}\n# %%\n{cell}\n"


@pytest.mark.parametrize(("cell", "sentence"), [
    ("raise ValueError('no γ')", "ValueError: no γ"),
    ("%no_such_magic", "no_such_magic"),
    ("import os; os._exit(1)", "Kernel died|kernel"),
])
def test_a_cell_that_fails_stops_the_build_and_is_named(source_course, cell, sentence):
    course = source_course(lesson=lesson_with(cell.replace("%", "# %", 1) if cell[0] == "%" else cell), exercises=None)
    with pytest.raises(CourseError, match=sentence) as caught:
        build(course, say=quiet)
    assert "chapters/01_the_loop.ipynb, cell 4" in str(caught.value)
    assert "\x1b" not in str(caught.value)
    assert not course.chapter(1).notebook("chapters").exists()


def test_a_cell_that_takes_too_long_is_named(source_course, monkeypatch):
    monkeypatch.setattr("rlcourse.execute.run_notebook.__kwdefaults__", {
        "allow_errors": False, "record": False, "timeout": 1})
    course = source_course(lesson=lesson_with("import time; time.sleep(60)"), exercises=None)
    with pytest.raises(CourseError, match="cell 4"):
        build(course, say=quiet)


def test_a_wrong_solution_stops_the_build(source_course):
    course = source_course(exercises=EXERCISES.replace("2 * x", "x * x"))
    with pytest.raises(CourseError, match="You squared"):
        build(course, say=quiet)


@pytest.mark.parametrize("cell", [
    "from IPython.display import Image\nImage(data=b'\\x89PNG\\r\\n\\x1a\\n' + bytes(70_000), format='png')",
    "from IPython.display import HTML; import base64, os\n"
    "HTML('<img src=\"data:image/gif;base64,' + base64.b64encode(os.urandom(70_000)).decode() + '\">')",
    "from IPython.display import SVG\nSVG('<svg>' + '<g/>' * 20_000 + '</svg>')",
])
def test_a_large_image_is_an_error_that_names_the_cell(source_course, cell):
    with pytest.raises(CourseError, match=r"cell 4 .* image of \d+ KB"):
        build(source_course(lesson=lesson_with(cell), exercises=None), say=quiet)


def test_a_small_image_is_kept(source_course):
    course = source_course(lesson=lesson_with(
        "from IPython.display import Image\nImage(data=b'\\x89PNG\\r\\n\\x1a\\n' + bytes(50_000), format='png')"),
        exercises=None)
    build(course, say=quiet)
    assert len(base64.b64decode(cells(course, "chapters")[3].outputs[0].data["image/png"])) == 50_008


def test_what_changes_from_run_to_run_is_dropped(source_course):
    said = []
    course = source_course(exercises=None, lesson=lesson_with(
        "import sys, os, warnings\nprint(object())\nprint('\\x1b[31mred\\x1b[0m')\nprint(os.getcwd())\n"
        "print('1%\\r100%')\nwarnings.warn('mind the gap')\nfrom tqdm.auto import tqdm\nfor _ in tqdm(range(2)): pass\n"
        "import torch\ntorch.manual_seed(0)"))
    build(course, say=said.append)
    book = nbformat.read(course.chapter(1).notebook("chapters"), as_version=4)
    stream, result = book.cells[3].outputs
    assert stream.text == "<object object at 0x…>\nred\n…/chapters\n100%\n"
    assert result.data["text/plain"] == "<torch._C.Generator at 0x…>"
    assert set(book.metadata) == {"kernelspec", "language_info"}
    assert all("execution" not in cell.metadata for cell in book.cells)
    assert any("mind the gap" in line and "cell 4" in line for line in said)


def test_notebooks_run_with_this_very_python(source_course):
    cell = "import sys, os\nprint(sys.executable)\nprint(os.environ['OMP_NUM_THREADS'])"
    course = source_course(lesson=lesson_with(cell), exercises=None)
    build(course, say=quiet)
    python, threads = cells(course, "chapters")[3].outputs[0].text.split("\n")[:2]
    assert Path(python.replace("~", str(Path.home()))) == Path(sys.executable)
    assert threads == "1"
