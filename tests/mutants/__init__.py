"""Wrong answers taken from real bugs, one module per chapter, `chNN.py`.

Each module holds `MUTANTS: dict[str, list[Mutant]]`, at least three per exercise, and
`ALTERNATIVES: dict[str, list]`, right answers written in another style.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Mutant:
    """A wrong answer, and the key of the mistake by which the check must recognise it."""

    mistake: str  # as in the check's `mistakes={"discount-shifted": …}`, or one of the general ones
    answer: Callable | Any
