"""The command line. Heavy imports wait until the command that needs them, so that `rlcourse` answers at once."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from typer.core import TyperGroup

from rlcourse import pages
from rlcourse.course import CourseError, open_course


class _Sentences(TyperGroup):
    """A command group that shows a `CourseError` as the sentence it is."""

    def invoke(self, ctx: typer.Context) -> object:
        """Run the command; exit with 2 where it cannot be done."""
        try:
            return super().invoke(ctx)
        except CourseError as error:
            pages.complain(str(error))
            raise typer.Exit(2) from None


app = typer.Typer(cls=_Sentences, invoke_without_command=True, add_completion=False, rich_markup_mode=None,
                  context_settings={"help_option_names": ["-h", "--help"]})
ChapterNumber = Annotated[str | None, typer.Argument(metavar="[N]", help="The number of a chapter.")]
OneChapter = Annotated[str, typer.Argument(metavar="N", help="The number of a chapter.")]


@app.callback()
def where(ctx: typer.Context) -> None:
    """Reinforcement learning for language models: where you are, and what comes next."""
    if ctx.invoked_subcommand is None:
        pages.show_progress(open_course())


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def lab(ctx: typer.Context, number: ChapterNumber = None,
        browser: Annotated[bool, typer.Option(help="Open a browser; without, the address is printed.")] = True,
        ) -> None:
    """Open JupyterLab at a chapter (default: your next one). What follows `--` is handed to JupyterLab."""
    from rlcourse.lab import launch

    extra = list(ctx.args)
    if number is not None and number.startswith("-"):  # `rlcourse lab -- --port 9999`: an option, not a chapter
        number, extra = None, [number, *extra]
    launch(open_course(), number, browser=browser, extra=extra)


@app.command()
def start(number: OneChapter,
          move: Annotated[bool, typer.Option("--move", help="Bring answers written into exercises/.")] = False,
          ) -> None:
    """Take your own copy of a chapter's exercises, in the folder work."""
    from rlcourse import desk

    course = open_course()
    chapter = course.chapter(number)
    if move:
        mine, backup = desk.move_edited(course, chapter)
        pages.say(f"Your answers are in {mine} now, and exercises/{mine.name} is as it was shipped.")
        pages.say(f"An older copy was kept as {backup}." if backup else "")
        return
    mine, is_new = desk.start(course, chapter)
    pages.say(f"{'Your copy' if is_new else 'You have a copy already'}: {mine}")
    pages.say(desk.edited_notice(chapter) if desk.was_edited(chapter) else "")


@app.command()
def check(number: ChapterNumber = None,
          timeout: Annotated[float, typer.Option(min=1, help="Seconds that one cell may take.")] = 180.0) -> None:
    """Run your copies from top to bottom and say which answers are right (default: every chapter you started)."""
    from rlcourse import desk
    from rlcourse.review import WRONG, review

    course = open_course()
    chosen = [course.chapter(number)] if number else list(course.chapters.values())
    for chapter in chosen:
        if desk.was_edited(chapter):
            pages.complain(desk.edited_notice(chapter))
    started = [chapter for chapter in chosen if number or chapter.notebook("work").exists()]
    if not started:
        raise CourseError("You have not started any exercises. Take your first copy with: rlcourse start 0")
    verdicts = []
    for chapter in started:
        found = review(course, chapter, timeout)
        pages.show_verdicts(chapter, found)
        verdicts += found
    if any(verdict.state == WRONG for verdict in verdicts):
        raise typer.Exit(1)


@app.command()
def hint(exercise: Annotated[str, typer.Argument(metavar="N.k", help="The number of an exercise, such as 01.2.")],
         everything: Annotated[bool, typer.Option("--all", help="Show all hints at once.")] = False) -> None:
    """Show one more hint for an exercise each time."""
    from rlcourse.progress import Progress

    course = open_course()
    chapter, found = course.exercise(exercise)
    if not found.hints:
        raise CourseError(f"Exercise {found.id} has no hints.")
    progress, total = Progress(course.work), len(found.hints)
    shown = total if everything else min(progress.hints(found.id) + 1, total)
    pages.show_hints(found, shown, solution=f"solutions/{chapter.name}.ipynb")
    progress.show_hints(found.id, max(shown, progress.hints(found.id)))


@app.command()
def reset(number: OneChapter) -> None:
    """Begin a chapter's exercises again; your work is kept in work/backups."""
    from rlcourse import desk

    course = open_course()
    chapter = course.chapter(number)
    backup = desk.reset(course, chapter)
    pages.say(f"A fresh copy: {chapter.notebook('work')}")
    pages.say(f"Your work was kept as {backup}" if backup else "There was no work of yours to keep.")


@app.command()
def demo(steps: Annotated[int, typer.Option(min=1, help="Steps of GRPO.")] = 300,
         seed: Annotated[int, typer.Option(help="The seed of everything random.")] = 0,
         json: Annotated[Path | None, typer.Option(help="Write what was measured to this file.")] = None,
         model: Annotated[str | None, typer.Option(help="A real GPT-2, by name or folder, in place of ours.")] = None,
         resume: Annotated[bool, typer.Option("--resume", help="Go on where this seed's last run stopped.")] = False,
         ) -> None:
    """Watch a small GPT-2 learn addition by GRPO."""
    pages.say("Loading PyTorch and Transformers, which takes a few seconds …")
    from rlcourse.demo import run

    run(steps=steps, seed=seed, json=json, model=model, resume=resume)


@app.command()
def build(numbers: Annotated[list[str] | None, typer.Argument(metavar="[N]...", help="Default: all.")] = None,
          check: Annotated[bool, typer.Option("--check", help="Only say what is out of step.")] = False,
          force: Annotated[bool, typer.Option("--force", help="Run everything again.")] = False) -> None:
    """For writers: make the notebooks from authoring/."""
    from rlcourse.build import build, check_build

    course = open_course()
    if not check:
        build(course, numbers or [], force=force, say=pages.say)
    elif problems := check_build(course, numbers or []):
        for problem in problems:
            pages.complain(problem)
        raise typer.Exit(1)
    else:
        pages.say("Every notebook is in step with its source.")


def main() -> None:
    """The console script `rlcourse`."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a console that has no ✓ shows a ?, and does not fail
    app()
