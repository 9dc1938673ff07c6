"""`rlcourse lab`: JupyterLab at a lesson, with Jupyter's own token, reachable from this machine only."""

import os
import subprocess
import sys
from pathlib import Path

from rlcourse import desk, pages
from rlcourse.course import ROOT_VARIABLE, Chapter, Course, CourseError
from rlcourse.progress import Progress


def launch(course: Course, number: str | None, *, browser: bool = True, extra: list[str] | None = None) -> None:
    """Take a copy of the chapter's exercises if there is none, and become JupyterLab."""
    chapter = course.chapter(number) if number is not None else _next(course)
    lesson = chapter.notebook("chapters")
    if not lesson.exists():
        raise CourseError(f"chapters/{lesson.name} is missing. Restore it with: rlcourse build {chapter.number}")
    if "exercises" in chapter.folders:
        mine, _ = desk.start(course, chapter)
        pages.say(f"Chapter {chapter.number}, {chapter.title}. Your exercises: work/{mine.name}")
        if desk.was_edited(chapter):
            pages.complain(desk.edited_notice(chapter))
    pages.say("Starting JupyterLab, which takes a few seconds. It runs until you press Ctrl-C here, twice.")
    command = jupyter_command(course, chapter, browser, extra or [])
    # So that `rlcourse` is found in JupyterLab's own terminal.
    commands = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    environment = os.environ | {ROOT_VARIABLE: str(course.root), "JUPYTER_PREFER_ENV_PATH": "1", "PATH": commands}
    sys.stdout.flush()
    if os.name == "posix":
        os.execve(command[0], command, environment)
        return
    try:  # Windows has no exec that keeps the console
        raise SystemExit(subprocess.run(command, env=environment, check=False).returncode)
    except KeyboardInterrupt:
        raise SystemExit(0) from None


def jupyter_command(course: Course, chapter: Chapter, browser: bool, extra: list[str]) -> list[str]:
    """The command that opens JupyterLab at the lesson; `extra` comes last, so that the reader has the last word."""
    command = [sys.executable, "-m", "jupyterlab", f"--ServerApp.root_dir={course.root}", "--ServerApp.ip=localhost",
               f"--LabApp.default_url=/lab/tree/chapters/{chapter.name}.ipynb"]
    if not browser:
        command.append("--no-browser")  # Jupyter prints the address with its token
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command.append("--allow-root")  # in a container there may be nobody else
    return [*command, *extra]


def _next(course: Course) -> Chapter:
    if not course.chapters:
        raise CourseError("There are no chapters yet.")
    following = pages.next_chapter(course, Progress(course.work).done())
    return following or list(course.chapters.values())[-1]
