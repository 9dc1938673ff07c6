"""Run a notebook and keep what is worth committing: no clocks, no progress bars, no paths of this machine."""

import base64
import os
import re
import subprocess
from pathlib import Path

from nbclient import NotebookClient
from nbclient.exceptions import CellControlSignal, DeadKernelError
from nbformat import NotebookNode, from_dict

from rlcourse.bars import Bar
from rlcourse.course import ROOT_VARIABLE, CourseError
from rlcourse.exam import RECORD_VARIABLE
from rlcourse.scripts import METADATA, describe

CELL_TIMEOUT = 180  # seconds; the budget of a whole lesson is 90
MAX_IMAGE_BYTES = 60 * 1024
_ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_ADDRESS = re.compile(r"\b0x[0-9a-f]{6,16}\b")
_DATA_URI = re.compile(r"data:image/[\w.+-]+;base64,([A-Za-z0-9+/=\s]+)")
WIDGET = "application/vnd.jupyter.widget-view+json"


def run_notebook(book: NotebookNode, path: Path, root: Path, *, allow_errors: bool = False, record: bool = False,
                 timeout: float = CELL_TIMEOUT, watch: Bar | None = None) -> list[str]:
    """Execute `book` in place, as if it lay at `path`, with this very Python.

    `watch(number, line)` is told before each cell how many cells are done, and the first line of the one that begins.

    Returns:
        Notes for whoever builds: what cells wrote to stderr, which is not kept.

    Raises:
        CourseError: a cell raised (unless errors are allowed), took too long, or took the kernel down; it is named.
    """
    client = NotebookClient(book, timeout=timeout, kernel_name="python3", allow_errors=allow_errors,
                            interrupt_on_timeout=allow_errors, coalesce_streams=True, record_timing=False,
                            store_widget_state=False, resources={"metadata": {"path": str(path.parent)}})
    if watch is not None:
        watch(0, "starting Python")
        client.on_cell_start = lambda cell, cell_index: watch(cell_index, _first_line(cell))
    env = os.environ | {ROOT_VARIABLE: str(root), RECORD_VARIABLE: "" if record else "0", "OMP_NUM_THREADS": "1",
                        "JUPYTER_PREFER_ENV_PATH": "1"}
    env.pop("MPLBACKEND", None)  # a notebook draws inline, whatever the shell says
    try:
        client.execute(env=env, stderr=subprocess.DEVNULL)  # the kernel's own log; what cells write is in the outputs
    except (CellControlSignal, DeadKernelError) as error:
        number = _failed_cell(book)
        where = describe(path, number, book.cells[number - 1].source)
        raise CourseError(f"{where} did not run to its end. {_ANSI.sub('', str(error)).strip()}") from None
    if watch is not None:
        watch(len(book.cells), "done")
    notes = [note for number, cell in enumerate(book.cells, 1) for note in _clean(cell, path, number, root)]
    book.metadata = from_dict(METADATA)
    return notes


def _first_line(cell: NotebookNode) -> str:
    return next((line.strip()[:28] for line in cell.source.splitlines() if line.strip()), "")


def _failed_cell(book: NotebookNode) -> int:
    """The number of the last cell that was begun."""
    begun = [number for number, cell in enumerate(book.cells, 1) if cell.cell_type == "code"
             and (cell.execution_count is not None or cell.outputs)]
    code = [number for number, cell in enumerate(book.cells, 1) if cell.cell_type == "code"]
    waiting = [number for number in code if number > (begun[-1] if begun else 0)]
    has_error = begun and any(out.output_type == "error" for out in book.cells[begun[-1] - 1].outputs)
    return begun[-1] if has_error or not waiting else waiting[0]


def _clean(cell: NotebookNode, path: Path, number: int, root: Path) -> list[str]:
    """Drop what differs from one run to the next; return a note where stderr said something."""
    notes = []
    cell.metadata.pop("execution", None)
    if cell.cell_type != "code":
        return notes
    kept = []
    for out in cell.outputs:
        if out.output_type == "stream":
            if out.name == "stderr":
                first = next((line for line in out.text.splitlines() if line.strip()), "").strip()
                if first and "%|" not in out.text:  # not a progress bar
                    notes.append(f"{describe(path, number, cell.source)} wrote to stderr (not kept): {first[:100]}")
                continue
            out.text = _steady(out.text, root)
        elif "data" in out:
            if WIDGET in out.data:  # lives only while its kernel does
                continue
            out.data = NotebookNode({mime: _steady(value, root) if mime.startswith("text/") else value
                                     for mime, value in out.data.items()})
        kept.append(out)
    cell.outputs = kept
    return notes


def _steady(text: str, root: Path) -> str:
    """The same text on every machine."""
    text = _ADDRESS.sub("0x…", _ANSI.sub("", text)).replace(str(root), "…").replace(str(Path.home()), "~")
    return "\n".join(line.rsplit("\r", 1)[-1] for line in text.split("\n"))


def large_images(book: NotebookNode, path: Path) -> list[str]:
    """One sentence for each image in the outputs that is too large to commit."""
    found = []
    for number, cell in enumerate(book.cells, 1):
        for out in cell.get("outputs", []):
            size = max(_image_sizes(out.get("data", {})), default=0)
            if size > MAX_IMAGE_BYTES:
                found.append(f"{describe(path, number, cell.source)} shows an image of {size // 1024} KB; at most "
                             f"{MAX_IMAGE_BYTES // 1024} KB are kept in the repository. Draw it smaller, at a lower "
                             "dpi, with fewer frames or fewer points.")
    return found


def _image_sizes(data: dict) -> list[int]:
    sizes = [len(value) if mime.endswith("svg+xml") else len(base64.b64decode(value))
             for mime, value in data.items() if mime.startswith("image/")]
    for mime in ("text/html", "text/markdown"):
        sizes += [len(base64.b64decode(uri)) for uri in _DATA_URI.findall(data.get(mime, ""))]
        sizes += [len(svg) for svg in re.findall(r"<svg.*?</svg>", data.get(mime, ""), re.DOTALL)]
    return sizes
