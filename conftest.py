"""What pyproject.toml cannot say: absolute paths, no network, models made beforehand, and `pytest work --solved`."""

import os
import re
import runpy
import sys
import time
from pathlib import Path

import pytest

from rlcourse.course import ROOT_VARIABLE, open_course

ROOT = Path(__file__).resolve().parent
WORK = ROOT / "work"

os.environ["OMP_NUM_THREADS"] = "1"  # several workers share few cores; also the notebooks' kernels read this
os.environ["RLCOURSE_RECORD"] = "0"  # a test never marks anybody's progress
os.environ["JUPYTER_PREFER_ENV_PATH"] = "1"  # the kernel python3 is the one of this environment
os.environ[ROOT_VARIABLE] = str(ROOT)  # the course beside this file, wherever the package was installed from

OFFLINE = ROOT / "tests" / "offline"  # its sitecustomize.py forbids the network, here and in every Python we start
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(OFFLINE), os.environ.get("PYTHONPATH")]))
os.environ |= {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
if getattr(sys.modules.get("sitecustomize"), "RULE", None) is None:  # a worker has it since it started
    runpy.run_path(str(OFFLINE / "sitecustomize.py"))


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


def pytest_sessionstart(session):
    """Make the models that this run starts from before the workers start, who would each wait for them."""
    if hasattr(session.config, "workerinput") or session.config.option.collectonly:
        return
    asked = [session.config.invocation_params.dir / arg.split("::")[0] for arg in session.config.args]
    files = [file for path in asked for file in (path.rglob("*") if path.is_dir() else [path])]
    if not any(_names_a_base(file) for file in files if file.suffix in {".py", ".ipynb"} and file.is_file()):
        return
    with session.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        print("Making sure of the models that the tests start from (the first time, that takes minutes) …", flush=True)
        start = time.perf_counter()
        from rlcore.lm.base import BASES

        for make in BASES.values():
            make()
        print(f"{', '.join(BASES)}: ready after {time.perf_counter() - start:.0f} s.", flush=True)


def _names_a_base(file):
    return re.search(r"\b[a-z]+_base\b", file.read_text(encoding="utf-8", errors="replace")) is not None


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
