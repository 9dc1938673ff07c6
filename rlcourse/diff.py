"""What changed between two pieces of the library, made from the real files, so that no lesson shows an old version."""

import difflib
import html
import inspect
import textwrap
from collections.abc import Callable

COLOURS = {"-": "background: #ffe3c2; color: #26323d", "+": "background: #d6e6f7; color: #26323d"}  # orange, blue


class Diff:
    """A unified diff: coloured in a notebook, plain text elsewhere."""

    def __init__(self, lines: list[str]):
        self.lines = lines

    @property
    def added(self) -> int:
        """How many lines are new."""
        return sum(line.startswith("+") for line in self.lines)

    @property
    def removed(self) -> int:
        """How many lines are gone."""
        return sum(line.startswith("-") for line in self.lines)

    def _repr_html_(self) -> str:
        lines = (f'<span style="{COLOURS.get(line[0], "")}">{html.escape(line)}</span>' for line in self.lines)
        return '<pre style="line-height: 1.35">' + "\n".join(lines) + "</pre>"

    def __repr__(self) -> str:
        return "\n".join(self.lines)


def show_diff(before: Callable | type, after: Callable | type) -> Diff:
    """The lines that change between the sources of two functions, methods or classes, with all that stays around them.

    As the last line of a cell: `show_diff(REINFORCE.learn, ActorCritic.learn)`.

    Raises:
        ValueError: one of the two has no source, because it was not written in Python or in a file.
    """
    changed = difflib.unified_diff(_source(before), _source(after), n=10_000, lineterm="")
    return Diff(list(changed)[3:])  # without file names and line numbers


def _source(thing: Callable | type) -> list[str]:
    try:
        return textwrap.dedent(inspect.getsource(thing)).splitlines()
    except (OSError, TypeError) as error:
        raise ValueError(f"a diff needs the source of {thing!r}, and there is none") from error
