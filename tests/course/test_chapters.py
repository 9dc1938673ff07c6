"""The chapters that exist: stubs fail, solutions pass, mutants are recognised, other styles are accepted."""

from pathlib import Path

import nbformat
import pytest

from rlcourse.build import check_build
from rlcourse.course import load_module, open_course
from rlcourse.exam import CheckFailed, NotDone
from rlcourse.execute import run_notebook
from rlcourse.scripts import checked_in

COURSE = open_course(Path(__file__).parents[2])
CHAPTERS = [pytest.param(chapter, id=chapter.name) for chapter in COURSE.chapters.values()]
EXERCISES = [(chapter, exercise) for chapter in COURSE.chapters.values() for exercise in chapter.exercises.values()]


def bank(chapter, name):
    """`MUTANTS` or `ALTERNATIVES` of a chapter."""
    path = COURSE.root / "tests" / "mutants" / f"ch{chapter.number:02d}.py"
    return getattr(load_module(path), name, {}) if path.exists() else {}


def entries(name):
    """Every entry of the banks, beside the exercise it belongs to."""
    return [pytest.param(exercise, entry, id=f"{exercise.id}-{getattr(entry, 'mistake', 'style')}-{number}")
            for chapter, exercise in EXERCISES
            for number, entry in enumerate(bank(chapter, name).get(exercise.id, []), 1)]


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_notebooks_are_in_step_with_their_sources(chapter):
    problems = [problem for problem in check_build(COURSE, [chapter.number]) if chapter.name in problem]
    assert not problems, "\n".join(problems)


def test_every_notebook_has_a_source():
    orphans = [problem for problem in check_build(COURSE) if "has no source" in problem]
    assert not orphans, "\n".join(orphans)


@pytest.mark.parametrize("chapter", [c for c in CHAPTERS if "exercises" in c.values[0].folders])
def test_every_shipped_stub_fails_by_its_own_name(chapter):
    path = chapter.notebook("exercises")
    book = nbformat.read(path, as_version=4)
    run_notebook(book, path, COURSE.root, allow_errors=True)
    failures = {}
    for cell in book.cells:
        errors = [out for out in cell.get("outputs", []) if out.output_type == "error"]
        if errors:
            assert "raises-exception" in cell.metadata.get("tags", []), errors[0].evalue
        if cell.cell_type == "code" and checked_in(cell.source):
            failures[checked_in(cell.source)] = errors[0] if errors else None
    assert list(failures) == list(chapter.exercises)
    for exercise in chapter.exercises.values():
        assert failures[exercise.id], f"{exercise.id} passes unsolved"
        assert failures[exercise.id].ename == NotDone.__name__, failures[exercise.id].evalue
        assert failures[exercise.id].evalue.startswith(f"○ {exercise.id} {exercise.title}: not done yet. Put")
        stub = next(cell.source for cell in book.cells if cell.metadata.get("exercise") == exercise.id)
        assert f'raise NotImplementedError("Exercise {exercise.id}: ' in stub


@pytest.mark.parametrize("chapter", [c for c in CHAPTERS if "solutions" in c.values[0].folders])
def test_every_solution_passes_its_check(chapter):
    cells = nbformat.read(chapter.notebook("solutions"), as_version=4).cells
    verdicts = {checked_in(cell.source): "".join(out.get("text", "") for out in cell.outputs)
                for cell in cells if cell.cell_type == "code" and checked_in(cell.source)}
    assert verdicts == {e.id: f"✓ {e.id} {e.title}\n" for e in chapter.exercises.values()}  # nbval runs them again


@pytest.mark.parametrize(("chapter", "exercise"), [pytest.param(*pair, id=pair[1].id) for pair in EXERCISES])
def test_every_exercise_has_hints_mutants_and_an_alternative(chapter, exercise):
    mutants = bank(chapter, "MUTANTS").get(exercise.id, [])
    assert len(mutants) >= 3, f"{exercise.id} has {len(mutants)} mutants in tests/mutants/ch{chapter.number:02d}.py"
    assert bank(chapter, "ALTERNATIVES").get(exercise.id), f"{exercise.id} has no right answer in another style"
    assert len(exercise.hints) >= 2, f"{exercise.id} has {len(exercise.hints)} hints"
    assert exercise.title


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_banks_name_only_exercises_that_exist(chapter):
    assert set(bank(chapter, "MUTANTS")) | set(bank(chapter, "ALTERNATIVES")) <= set(chapter.exercises)
    assert all(exercise_id.startswith(f"{chapter.number:02d}.") for exercise_id in chapter.exercises)


@pytest.mark.parametrize(("exercise", "mutant"), entries("MUTANTS"))
def test_every_mutant_is_rejected_by_the_mistake_that_names_it(exercise, mutant):
    with pytest.raises(CheckFailed) as caught:
        exercise(mutant.answer)
    assert caught.value.mistake == mutant.mistake, str(caught.value)
    assert caught.value.why


@pytest.mark.parametrize(("exercise", "answer"), entries("ALTERNATIVES"))
def test_a_right_answer_in_another_style_is_accepted(exercise, answer):
    exercise(answer)


@pytest.mark.parametrize("path", [
    pytest.param(path, id=f"{path.parent.name}-{path.stem}")
    for folder in ("chapters", "exercises", "solutions") for path in sorted(COURSE.root.glob(f"{folder}/*.ipynb"))])
def test_notebooks_in_the_repository_show_no_errors_and_no_empty_checks(path):
    book = nbformat.read(path, as_version=4)
    nbformat.validate(book)
    for cell in book.cells:
        assert not any(out.output_type == "error" for out in cell.get("outputs", [])), cell.source
        assert not any(out.get("name") == "stderr" for out in cell.get("outputs", [])), cell.source
        if "nbval-check-output" in cell.metadata.get("tags", []):
            assert cell.outputs, cell.source
            assert cell.execution_count, cell.source  # nbval compares nothing where this is missing
