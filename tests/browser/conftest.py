"""JupyterLab as `rlcourse lab` starts it, and Chromium to look at it with.

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
def lab(home, tmp_path_factory, chromium):
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
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is missing (pip install playwright)")
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine (apt-get install chromium)")
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
