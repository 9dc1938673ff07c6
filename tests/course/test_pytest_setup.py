"""`pytest` itself: what it collects, and `pytest work --solved`, in a copy of this repository's settings."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def project(course):
    """The tiny course with this repository's conftest.py and pyproject.toml."""
    for name in ("conftest.py", "pyproject.toml", "tests/course/sanitize.cfg", "tests/offline/sitecustomize.py"):
        (course.root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, course.root / name)
    # The package comes from this repository; the course from its own folder.
    shutil.copytree(ROOT / "rlcourse", course.root / "rlcourse", dirs_exist_ok=True,
                    ignore=shutil.ignore_patterns("ch[0-9][0-9].py", "__pycache__"))
    return course


def run_pytest(course, *args):
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("PYTEST_", "RLCOURSE_"))}
    command = [sys.executable, "-m", "pytest", "-n", "0", "-q", "-p", "no:cacheprovider", *args]
    result = subprocess.run(command, cwd=course.root, env=environment, capture_output=True, text=True)
    return result.returncode, result.stdout + result.stderr


def change_cell(path, find, **changes):
    book = nbformat.read(path, as_version=4)
    next(cell for cell in book.cells if find in cell.source).update(changes)
    nbformat.write(book, path)


def test_every_notebook_runs_but_not_the_readers(project):
    (project.root / "work").mkdir()
    (project.root / "work/01_the_loop.ipynb").write_text("broken", encoding="utf-8")
    code, output = run_pytest(project)
    assert code == 0, output
    assert "14 passed" in output  # 2 + 6 + 6 code cells of the lesson, the exercises and the solutions
    code, output = run_pytest(project, "work")
    assert code == 5, output  # nothing collected


@pytest.mark.parametrize(("folder", "find", "changes", "words"), [
    ("chapters", 'print("ok")', {"source": 'print("not ok")'}, "outputs differ"),
    ("solutions", "2 * x", {"source": "def twice(x):\n    return x * x"}, "You squared"),
    ("exercises", "import check", {"source": "from rlcourse import chek"}, "ImportError"),
])
def test_a_notebook_that_went_wrong_fails(project, folder, find, changes, words):
    change_cell(project.root / folder / "01_the_loop.ipynb", find, **changes)
    code, output = run_pytest(project, folder)
    assert code == 1, output
    assert words in output


def test_solved_asks_for_every_answer(project, answer):
    code, output = run_pytest(project, "--solved")
    assert code == 4, output
    assert "rlcourse start N" in output
    (project.root / "work/backups").mkdir(parents=True)
    for name in ("work", "work/backups"):
        shutil.copy(project.chapter(1).notebook("exercises"), project.root / name)
    mine = project.chapter(1).notebook("work")
    answer(mine, "01.1", "twice = lambda x: x + x")
    code, output = run_pytest(project, "work", "--solved")
    assert code == 1, output
    assert "1 failed, 1 passed" in output
    assert "not done yet" in output
    assert "Traceback" not in output
    answer(mine, "01.2", "def mean(xs):\n    return sum(xs) / len(xs)")
    code, output = run_pytest(project, "--solved")
    assert code == 0, output
    assert "2 passed" in output
    assert not (project.root / "work/progress.json").exists()  # a test leaves no marks
