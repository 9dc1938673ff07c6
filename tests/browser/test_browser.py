"""A reader's first half hour in a real browser: the lesson, and the first exercise from stub to right.

Needs Chromium and the package playwright (`pip install playwright`; no browser is downloaded); skipped without them.
"""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOKEN = "browser-test"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
         "--disable-sync", "--no-first-run",
         "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1"]
NOTEBOOK = "window.jupyterapp.shell.currentWidget"
SECONDS = 90_000  # milliseconds that one wait may take on a slow machine

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine (apt-get install chromium)")
playwright = pytest.importorskip("playwright.sync_api", reason="playwright is missing (pip install playwright)")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A copy of the course's notebooks, with a reader's empty folder work."""
    root = tmp_path_factory.mktemp("course")
    for folder in ("authoring", "chapters", "exercises"):
        for source in (ROOT / folder).rglob("01_the_loop*"):
            copy = root / source.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copytree(source, copy) if source.is_dir() else shutil.copy(source, copy)
    (root / "rlcourse").mkdir()
    shutil.copytree(ROOT / "rlcourse/checks", root / "rlcourse/checks")
    return root


@pytest.fixture(scope="module")
def lab(home, tmp_path_factory):
    """`rlcourse lab 1 --no-browser`, and the address at which it answers."""
    config = tmp_path_factory.mktemp("jupyter")
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    # Every cell is drawn, not only those on the screen.
    settings = config / "settings/@jupyterlab/notebook-extension"
    settings.mkdir(parents=True)
    (settings / "tracker.jupyterlab-settings").write_text('{"windowingMode": "none"}', encoding="utf-8")
    environment = os.environ | {
        "RLCOURSE_ROOT": str(home), "JUPYTER_CONFIG_DIR": str(config),
        "JUPYTERLAB_SETTINGS_DIR": str(config / "settings"), "JUPYTERLAB_WORKSPACES_DIR": str(config / "workspaces"),
        "JUPYTER_RUNTIME_DIR": str(config / "runtime"), "RLCOURSE_RECORD": ""}  # a reader's right answer is remembered
    environment.pop("MPLBACKEND", None)
    command = [sys.executable, "-c", "from rlcourse.cli import main; main()", "lab", "1", "--no-browser", "--",
               f"--port={port}", "--ServerApp.port_retries=0", f"--IdentityProvider.token={TOKEN}",
               "--expose-app-in-browser", "--LabApp.news_url=None",
               "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"]
    log = config / "log"
    with log.open("w", encoding="utf-8") as output:
        server = subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT, cwd=home)
    try:
        wait_until_it_answers(f"http://localhost:{port}/api?token={TOKEN}", server, log)
        yield f"http://localhost:{port}"
    finally:
        server.terminate()
        server.wait(30)


def wait_until_it_answers(address, server, log):
    for _ in range(SECONDS // 500):
        try:
            urllib.request.urlopen(address, timeout=5).close()
            return
        except OSError:
            assert server.poll() is None, log.read_text(encoding="utf-8")
            time.sleep(0.5)
    pytest.fail(f"JupyterLab does not answer:\n{log.read_text(encoding='utf-8')}")


@pytest.fixture(scope="module")
def chromium():
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


class Notebook:
    """A notebook that is open in the browser."""

    def __init__(self, page, address, name):
        self.page = page
        page.set_default_timeout(SECONDS)
        page.goto(f"{address}/doc/tree/{name}?token={TOKEN}&reset")
        page.wait_for_selector(".jp-Notebook .jp-Cell")
        page.wait_for_function(f"() => {NOTEBOOK}?.context?.sessionContext?.session?.kernel?.status === 'idle'")

    def do(self, command):
        """One of JupyterLab's own commands, until it is finished."""
        self.page.evaluate("name => window.jupyterapp.commands.execute(name)", command)

    def cells(self):
        """The cells as they stand in the browser, outputs included."""
        return self.page.evaluate(f"() => {NOTEBOOK}.content.model.toJSON().cells")

    def select(self, index):
        self.page.evaluate(f"index => {{ {NOTEBOOK}.content.activeCellIndex = index; "
                           f"{NOTEBOOK}.content.deselectAll(); }}", index)

    def write(self, index, source):
        """Put another text into a cell."""
        self.page.evaluate(f"([index, source]) => {{ {NOTEBOOK}.content.widgets[index].model.sharedModel"
                           ".setSource(source); }", [index, source])

    def run(self, *indices):
        for index in indices:
            self.select(index)
            self.do("notebook:run-cell")

    def shown(self, index):
        """What a reader sees below a cell."""
        return self.page.locator(".jp-Notebook .jp-Cell").nth(index).locator(".jp-OutputArea").inner_text()


@pytest.fixture
def open_notebook(chromium, lab):
    pages = []

    def open_it(name):
        pages.append(chromium.new_page(viewport={"width": 1280, "height": 1000}))
        return Notebook(pages[-1], lab, name)

    yield open_it
    for page in pages:
        page.close()


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
