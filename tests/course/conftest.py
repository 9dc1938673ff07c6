"""A course of one small chapter in a temporary folder, so that these tests depend on no real chapter."""

import shutil

import pytest

from rlcourse.build import build
from rlcourse.course import ROOT_VARIABLE, open_course
from tests.course.tiny import EXERCISES, LESSON, write_sources


@pytest.fixture(scope="session")
def built_root(tmp_path_factory):
    root = tmp_path_factory.mktemp("built")
    build(write_sources(root), say=lambda line: None)
    return root


@pytest.fixture
def course(built_root, tmp_path, monkeypatch):
    """A built course of one's own; the command line and `check` find it too."""
    root = (tmp_path / "my course").resolve()  # with a space: readers have such folders
    shutil.copytree(built_root, root)
    monkeypatch.setenv(ROOT_VARIABLE, str(root))
    monkeypatch.chdir(tmp_path)
    return open_course(root)


@pytest.fixture
def source_course(tmp_path):
    """Make an unbuilt course from sources of one's own."""
    return lambda lesson=LESSON, exercises=EXERCISES: write_sources(tmp_path / "course", lesson, exercises)


@pytest.fixture
def answer():
    """Write a reader's answers into a copy: `answer(path, "01.1", "def twice(x): …")`."""
    import nbformat

    def write(path, exercise_id, source):
        book = nbformat.read(path, as_version=4)
        cell = next(cell for cell in book.cells if cell.metadata.get("exercise") == exercise_id)
        cell.source = source
        nbformat.write(book, path)

    return write
