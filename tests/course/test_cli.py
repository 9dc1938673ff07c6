import subprocess
import sys
import types
from pathlib import Path

import nbformat
import pytest
from typer.testing import CliRunner

from rlcourse import desk
from rlcourse.cli import app
from rlcourse.progress import Progress

SUM = "def mean(xs):\n    return sum(xs)"
MEAN = "def mean(xs):\n    return sum(xs) / len(xs)"
TWICE = "def twice(x):\n    return x + x"


def run(*args, code=0):
    result = CliRunner().invoke(app, [str(arg) for arg in args])
    assert result.exit_code == code, result.output + str(result.exception)
    return result.output


def test_alone_it_says_where_you_are_and_what_is_next(course):
    assert "0/2" in run()
    Progress(course.work.parent / "work").mark_done("01.1")
    output = run()
    assert "1/2" in output
    assert "Next: exercise 01.2, The mean. Open its chapter with: rlcourse lab 1" in output
    Progress(course.work).mark_done("01.2")
    assert "Every exercise is done" in run()


def test_start_copies_once_and_never_over_your_work(course, answer):
    assert "Your copy" in run("start", 1)
    mine = course.chapter(1).notebook("work")
    answer(mine, "01.1", TWICE)
    before = mine.read_bytes()
    assert "already" in run("start", 1)
    assert mine.read_bytes() == before


def test_a_write_protected_course_gives_a_copy_that_can_be_written(course):
    course.chapter(1).notebook("exercises").chmod(0o444)
    run("start", 1)
    assert course.chapter(1).notebook("work").stat().st_mode & 0o200


def test_check_tells_right_from_wrong_from_not_done_and_remembers(course, answer):
    run("start", 1)
    assert run("check").count("○ not done yet") == 2
    mine = course.chapter(1).notebook("work")
    answer(mine, "01.1", TWICE)
    answer(mine, "01.2", SUM)
    output = run("check", 1, code=1)
    assert "✓ right" in output
    assert "✗ not right" in output
    assert "Called       mean([1.0, 2.0, 6.0])" in output
    assert "You did not divide." in output
    assert Progress(course.work).done() == {"01.1"}
    answer(mine, "01.2", MEAN)
    before = mine.read_bytes()
    assert run("check").count("✓ right") == 2
    assert Progress(course.work).done() == {"01.1", "01.2"}
    assert mine.read_bytes() == before  # checking writes nothing into your notebook


@pytest.mark.parametrize(("source", "words"), [
    ("def mean(xs:", "SyntaxError"),
    ("raise RuntimeError('mine')", "mine"),
    ("import os; os._exit(1)", "did not run to its end"),
    ("import time; time.sleep(60)", "took too long"),
])
def test_check_says_what_stopped_your_notebook(course, answer, source, words):
    run("start", 1)
    answer(course.chapter(1).notebook("work"), "01.1", TWICE)
    answer(course.chapter(1).notebook("work"), "01.2", source)
    output = run("check", 1, "--timeout", 2, code=1)
    assert words in output
    assert "✓ right" in output


def test_a_check_cell_that_was_deleted_is_run_all_the_same(course, answer):
    run("start", 1)
    mine = course.chapter(1).notebook("work")
    answer(mine, "01.2", SUM)
    book = nbformat.read(mine, as_version=4)
    book.cells = [cell for cell in book.cells if "check(" not in cell.source]
    nbformat.write(book, mine)
    assert "You did not divide." in run("check", 1, code=1)


def test_an_old_verdict_in_the_outputs_counts_for_nothing(course, answer):
    run("start", 1)
    mine = course.chapter(1).notebook("work")
    solved = nbformat.read(course.chapter(1).notebook("solutions"), as_version=4)
    book = nbformat.read(mine, as_version=4)
    for cell, right in zip(book.cells, solved.cells, strict=True):
        if cell.cell_type == "code":
            cell.outputs = right.outputs
    nbformat.write(book, mine)
    answer(mine, "01.1", "import os; os._exit(1)")
    assert "✓ right" not in run("check", 1, code=1)


def test_a_copy_that_is_no_notebook_gets_a_sentence(course):
    run("start", 1)
    course.chapter(1).notebook("work").write_text("<<<<<<< HEAD", encoding="utf-8")
    assert "rlcourse reset 1" in run("check", 1, code=2)


def test_check_before_start_says_what_to_do(course):
    assert "rlcourse start" in run("check", code=2)
    assert "rlcourse start 1" in run("check", 1, code=2)


def test_answers_in_the_shipped_notebook_are_noticed_and_moved(course, answer):
    chapter = course.chapter(1)
    shipped, pristine = chapter.notebook("exercises"), chapter.notebook("exercises").read_bytes()
    run("start", 1)
    answer(shipped, "01.1", TWICE)
    assert "rlcourse start 1 --move" in run("check", 1)
    assert "rlcourse start 1 --move" in run("start", 1)
    output = run("start", 1, "--move")
    assert "An older copy was kept" in output
    assert shipped.read_bytes() == pristine
    assert TWICE in [cell.source for cell in nbformat.read(chapter.notebook("work"), as_version=4).cells]
    assert len(list((course.work / "backups").iterdir())) == 1
    assert "nothing to move" in run("start", 1, "--move", code=2)


def test_reset_keeps_every_version_of_your_work(course, answer):
    mine = course.chapter(1).notebook("work")
    for number in range(3):  # several within one second
        run("start", 1)
        answer(mine, "01.1", f"# version {number}")
        Progress(course.work).mark_done("01.1")
        assert "kept as" in run("reset", 1)
        assert mine.read_bytes() == course.chapter(1).notebook("exercises").read_bytes()
        assert Progress(course.work).done() == set()
    texts = [path.read_text(encoding="utf-8") for path in (course.work / "backups").iterdir()]
    assert all(any(f"# version {number}" in text for text in texts) for number in range(3))
    mine.unlink()
    assert "no work of yours" in run("reset", 1)


def test_reset_touches_nothing_where_it_cannot_give_a_fresh_copy(course):
    run("start", 1)
    course.chapter(1).notebook("exercises").unlink()
    assert "rlcourse build 1" in run("reset", 1, code=2)
    assert course.chapter(1).notebook("work").exists()


def test_hints_come_one_by_one_and_are_remembered(course):
    assert [line for line in run("hint", "1.2").splitlines() if "Hint" in line] == ["  Hint 1 of 3: Add."]
    assert "Hint 2 of 3: Divide." in run("hint", "01.2")
    assert "solutions/01_the_loop.ipynb" in run("hint", "01.2")
    assert "Hint 3 of 3" in run("hint", "01.2")
    assert Progress(course.work).hints("01.2") == 3
    output = run("hint", "01.1", "--all")
    assert "Hint 1 of 1: Add it to itself." in output


@pytest.mark.parametrize(("args", "words"), [
    (["start", 9], "There is no chapter 9. The chapters are: 1."),
    (["lab", "nine"], "There is no chapter nine. The chapters are: 1."),
    (["check", 9], "There is no chapter 9."),
    (["reset", "-1"], ""),
    (["hint", "1.9"], "There is no exercise 01.9. The exercises of chapter 1 are: 01.1, 01.2."),
    (["hint", "2.1"], "There is no chapter 2. The chapters are: 1."),
    (["hint", "two"], "It looks like this: 01.2"),
    (["build", 9], "There is no chapter 9."),
    (["nonsense"], "nonsense"),
    (["demo", "--steps", 0], "steps"),
])
def test_bad_input_gets_a_sentence(course, args, words):
    output = run(*args, code=2)
    assert words in output
    assert "Traceback" not in output


def test_outside_a_course_it_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv("RLCOURSE_ROOT", str(tmp_path))
    assert "pip install -e ." in run(code=2)


def test_build_check_by_its_exit_code(course):
    assert "in step" in run("build", "--check")
    course.chapter(1).notebook("exercises").unlink()
    assert "Run: rlcourse build 1" in run("build", "--check", code=1)
    run("build")
    run("build", "--check", 1)


def test_demo_hands_its_options_on(monkeypatch):
    given = {}
    stand_in = types.SimpleNamespace(run=lambda **options: given.update(options))
    monkeypatch.setitem(sys.modules, "rlcourse.demo", stand_in)
    run("demo", "--steps", 5, "--seed", 3, "--json", "out.json", "--model", "gpt2")
    assert given.items() >= {"steps": 5, "seed": 3, "json": Path("out.json"), "model": "gpt2"}.items()


def test_lab_becomes_jupyterlab_at_the_next_chapter(course, monkeypatch):
    became = []
    monkeypatch.setattr("rlcourse.lab.os.execve", lambda *args: became.append(args))
    run("lab", "--no-browser", "--", "--port", 9999)
    path, command, environment = became[0]
    assert path == sys.executable
    assert command[:3] == [sys.executable, "-m", "jupyterlab"]
    assert f"--ServerApp.root_dir={course.root}" in command
    assert "--LabApp.default_url=/lab/tree/chapters/01_the_loop.ipynb" in command
    assert command[-2:] == ["--port", "9999"]
    assert "--no-browser" in command
    assert not any("token" in part or "0.0.0.0" in part for part in command)
    assert environment["RLCOURSE_ROOT"] == str(course.root)
    assert course.chapter(1).notebook("work").exists()
    run("lab", 1)
    assert "--no-browser" not in became[1][1]


def test_the_command_line_starts_without_heavy_imports(course):
    code = ("import sys\nfrom rlcourse import check, cli\nfrom rlcourse.course import open_course\n"
            "open_course().exercise('01.2')\n"
            "print(sorted({'torch', 'numpy', 'transformers', 'nbformat', 'jupytext', 'nbclient'} & set(sys.modules)))")
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_an_edit_is_seen_only_in_code(course):
    chapter = course.chapter(1)
    book = nbformat.read(chapter.notebook("exercises"), as_version=4)
    book.cells[0].source = "# my notes"
    nbformat.write(book, chapter.notebook("exercises"))
    assert not desk.was_edited(chapter)


def test_what_takes_a_while_says_where_it_is(course, monkeypatch):
    monkeypatch.setattr("rlcourse.bars.PLAIN_EVERY", 0.0)
    run("start", 1)
    lines = run("check", 1).splitlines()
    assert lines[0] == "work/01_the_loop 0/7: starting Python"
    assert any(line.startswith("work/01_the_loop 4/7") and line.endswith(": def mean(xs):") for line in lines)
    assert "work/01_the_loop 7/7: done" in lines
    assert "solutions/01_the_loop 7/7: done" in run("build", "--force").splitlines()
