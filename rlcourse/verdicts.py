"""How a check says no: in four parts, and without a traceback in a notebook."""

from typing import Any

NO_USUAL_MISTAKE = ("Not a mistake that this check knows. Work this example out by hand, and print what your "
                    "function has after each line.")


class CheckFailed(AssertionError):  # noqa: N818  (its name is what a reader sees)
    """An answer is not right: what was called, what came back, what was expected, and what that usually means.

    `mistake` is the key of the recognised mistake, or None.
    """

    def __init__(self, called: str = "", returned: str = "", expected: str = "", mistake: str | None = None,
                 why: str | None = None, verb: str = "It returned"):
        super().__init__(called, returned, expected, mistake, why)
        self.called, self.returned, self.expected = called, returned, expected
        self.mistake, self.why, self.verb = mistake, why, verb
        self.exercise: Any = None  # filled in by the exercise whose check this is

    def __str__(self) -> str:
        lines = [f"✗ {self.exercise.id} {self.exercise.title}"] if self.exercise else []
        parts = (("Called", self.called), (self.verb, self.returned), ("Expected", self.expected))
        lines += [f"  {label:<13}{text}" for label, text in parts if text]
        lines.append(f"  What this usually is: {self.why or NO_USUAL_MISTAKE}")
        if self.exercise and self.exercise.hints:
            lines.append(f"  For a hint, run: rlcourse hint {self.exercise.id}")
        return "\n".join(lines)

    def _render_traceback_(self) -> list[str]:
        """IPython shows this instead of a traceback."""
        return str(self).splitlines()


class NotDone(CheckFailed):
    """The exercise still stands as it was shipped."""

    def __init__(self, needs: str | None = None):
        super().__init__()
        self.needs = needs  # another exercise that has to be done first

    def __str__(self) -> str:
        line = f"○ {self.exercise.id} {self.exercise.title}: not done yet." if self.exercise else "○ Not done yet."
        if self.needs:
            return f"{line} It uses your answer to {self.needs}, which is not done yet either."
        line += " Put your answer in the place of the line that raises NotImplementedError, and run both cells again."
        return line + (f"\n  For a hint, run: rlcourse hint {self.exercise.id}" if self.exercise else "")
