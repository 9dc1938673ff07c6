"""Take the README's pictures out of the chapters, where running code has drawn them: `python docs/pictures.py`."""

import base64
import re
from pathlib import Path

import nbformat

ROOT = Path(__file__).resolve().parents[1]
PICTURES = {  # file: (chapter, how its alt text begins)
    "dog.gif": ("01_the_loop", "The learned dog, on the same throw"),
    "grpo.png": ("00_start_here", "Share of right answers"),
}
_IMAGE = re.compile(r'<img alt="([^"]*)" src="data:image/\w+;base64,([^"]+)"')


def main() -> None:
    """Write each picture, and say what it shows."""
    for name, (chapter, beginning) in PICTURES.items():
        book = nbformat.read(ROOT / "chapters" / f"{chapter}.ipynb", as_version=4)
        shown = [output.data.get("text/html", "") for cell in book.cells if cell.cell_type == "code"
                 for output in cell.outputs if "data" in output]
        found = [match.groups() for html in shown for match in _IMAGE.finditer(html) if match[1].startswith(beginning)]
        if not found:
            raise SystemExit(f"chapter {chapter} has no picture whose alt text begins with {beginning!r}")
        alt, data = found[0]
        (ROOT / "docs" / name).write_bytes(base64.b64decode(data))
        print(f"docs/{name}: {alt}")


if __name__ == "__main__":
    main()
