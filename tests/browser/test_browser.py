"""A reader's first half hour in a real browser: the lesson, and the first exercise from stub to right."""

import os
import subprocess
import sys


def test_the_lesson_runs_from_top_to_bottom_and_its_pictures_are_seen(open_notebook):
    lesson = open_notebook("chapters/01_the_loop.ipynb")
    lesson.do("notebook:clear-all-cell-outputs")
    assert not any(cell.get("outputs") for cell in lesson.cells())
    lesson.do("notebook:run-all-cells")
    for number, cell in enumerate(lesson.cells(), 1):
        errors = [out for out in cell.get("outputs", []) if out["output_type"] == "error"]
        assert not errors, f"cell {number}: {errors[0]['ename']}: {errors[0]['evalue']}"
        assert cell["cell_type"] != "code" or cell["execution_count"], f"cell {number} did not run"
    images = lesson.page.locator(".jp-OutputArea img")
    images.last.wait_for()
    seen = images.evaluate_all("images => Promise.all(images.map(async image => { await image.decode(); return "
                               "{width: image.naturalWidth, drawn: image.getBoundingClientRect().width, "
                               "alt: image.alt, kind: image.src.slice(0, 15)}; }))")
    assert len(seen) >= 3
    assert all(image["width"] > 0 and image["drawn"] > 0 for image in seen), seen
    assert all(len(image["alt"].split()) >= 3 for image in seen), [image["alt"] for image in seen]
    assert any(image["kind"] == "data:image/gif;" for image in seen)  # the dog runs


def test_the_first_exercise_goes_from_stub_to_wrong_to_right(open_notebook, home):
    mine = open_notebook("work/01_the_loop.ipynb")  # the copy that `rlcourse lab` took
    cells = mine.cells()
    answer = next(i for i, cell in enumerate(cells) if cell["metadata"].get("exercise") == "01.1")
    check = next(i for i, cell in enumerate(cells) if cell["source"].startswith('check("01.1"'))
    imports = next(i for i, cell in enumerate(cells) if cell["cell_type"] == "code")

    mine.run(imports, answer, check)
    assert "01.1 The return of an episode: not done yet. Put your answer in the place" in mine.shown(check)
    assert "Traceback" not in mine.shown(check)

    head = "def discounted_return(rewards, gamma):\n    return sum("
    mine.write(answer, head + "gamma ** (t + 1) * reward for t, reward in enumerate(rewards))")
    mine.run(answer, check)
    wrong = mine.shown(check)
    assert wrong.startswith("✗ 01.1 The return of an episode"), wrong
    assert "Called" in wrong
    assert "What this usually is: " in wrong
    assert "None of the mistakes" not in wrong  # it names the mistake: everything is discounted once too often
    assert "For a hint, run: rlcourse hint 01.1" in wrong
    assert "Traceback" not in wrong
    command = [sys.executable, "-c", "from rlcourse.cli import main; main()", "hint", "01.1"]
    hint = subprocess.run(command, env=os.environ | {"RLCOURSE_ROOT": str(home), "PYTHONIOENCODING": "utf-8"},
                          capture_output=True, text=True, encoding="utf-8", check=True).stdout
    assert "Hint 1 of" in hint

    mine.write(answer, head + "gamma ** t * reward for t, reward in enumerate(rewards))")
    mine.run(answer, check)
    assert mine.shown(check).strip() == "✓ 01.1 The return of an episode"
    assert '"01.1"' in (home / "work/progress.json").read_text(encoding="utf-8")
    mine.do("docmanager:save")
    assert "gamma ** t *" in (home / "work/01_the_loop.ipynb").read_text(encoding="utf-8")
