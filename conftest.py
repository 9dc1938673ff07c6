"""What pyproject.toml cannot say: absolute paths, the environment of the notebooks, and `pytest work --solved`."""

import os
from pathlib import Path

import pytest

from rlcourse.course import ROOT_VARIABLE, open_course

ROOT = Path(__file__).resolve().parent
WORK = ROOT / "work"

os.environ["OMP_NUM_THREADS"] = "1"  # several workers share few cores; also the notebooks' kernels read this
os.environ["RLCOURSE_RECORD"] = "0"  # a test never marks anybody's progress
os.environ["JUPYTER_PREFER_ENV_PATH"] = "1"  # the kernel python3 is the one of this environment
os.environ[ROOT_VARIABLE] = str(ROOT)  # the course beside this file, wherever the package was installed from


def pytest_addoption(parser):
    """Add `--solved`."""
    parser.addoption("--solved", action="store_true", help="Require every check in your copies in work/ to pass.")


def pytest_configure(config):
    """Set the sanitize file, and what `--solved` means."""
    config.option.nbval_sanitize_with = str(ROOT / "tests" / "course" / "sanitize.cfg")  # notebooks run where they lie
    if config.option.solved:
        config.option.nbval_lax = False  # the copies are run by `Copy`, below
        if config.args_source is not pytest.Config.ArgsSource.ARGS:
            config.args[:] = [str(WORK)]
        if not any(WORK.glob("*.ipynb")):
            raise pytest.UsageError("There is no copy of an exercise in work/. Take one with: rlcourse start N")


def pytest_ignore_collect(collection_path, config):
    """Leave the reader's folder alone unless asked."""
    in_work = collection_path == WORK or WORK in collection_path.parents
    if in_work and (not config.option.solved or WORK / "backups" in (collection_path, *collection_path.parents)):
        return True
    return None


def pytest_collect_file(file_path, parent):
    """Under `--solved`, a notebook in `work/` is a set of answers."""
    if parent.config.option.solved and file_path.parent == WORK and file_path.suffix == ".ipynb":
        return Copy.from_parent(parent, path=file_path)
    return None


class Copy(pytest.File):
    """The reader's copy of a chapter's exercises; it runs once, and each exercise is a test."""

    verdicts = None

    def collect(self):
        """One test per exercise."""
        chapters = {chapter.name: chapter for chapter in open_course(ROOT).chapters.values()}
        self.chapter = chapters.get(self.path.stem)
        for exercise_id in self.chapter.exercises if self.chapter else ():
            yield Answer.from_parent(self, name=exercise_id)


class Answer(pytest.Item):
    """One exercise in the reader's copy."""

    def runtest(self):
        """Ask for this exercise's verdict; the first one runs the notebook."""
        from rlcourse.review import RIGHT, review

        if self.parent.verdicts is None:
            found = review(open_course(ROOT), self.parent.chapter, record=False)
            self.parent.verdicts = {verdict.exercise.id: verdict for verdict in found}
        verdict = self.parent.verdicts[self.name]
        assert verdict.state == RIGHT, verdict.message

    def repr_failure(self, excinfo):
        """Show the check's message only."""
        return str(excinfo.value).partition("\nassert ")[0].removeprefix("AssertionError: ")

    def reportinfo(self):
        """Name the exercise."""
        return self.path, None, f"exercise {self.name}"
