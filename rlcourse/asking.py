"""Call the reader's function and say what should have come back.

`call` runs it, `expect` compares a value, `expect_error` wants an exception, and `require` covers any other property.
"""

import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rlcourse.compare import difference, kind_of, show
from rlcourse.verdicts import CheckFailed, NotDone

_STUB = re.compile(r"Exercise (\d\d\.\d+)\b")


@dataclass
class Call:
    """One call of the reader's function: what went in, and what came out."""

    text: str  # "discounted_return([0.0, 0.0, 1.0], 0.5)"
    function: Callable
    returned: Any = None
    error: Exception | None = None
    changed: str | None = None  # which argument the function wrote into, if any

    @property
    def value(self) -> Any:
        """What the function returned; if it raised, the check fails here and shows how."""
        if self.error is not None:
            raise as_failure(self.error, self.text, self.function) from self.error
        return self.returned


def call(fn: Callable, *args: Any, **kwargs: Any) -> Call:
    """Call the reader's function with copies of lists, dicts, arrays and tensors; other objects go in as they are.

    An exception is kept: it becomes a failed check where the value is used.
    """
    name = getattr(fn, "__name__", type(fn).__name__)
    name = "your function" if name == "<lambda>" else name
    parts = [show(arg) for arg in args] + [f"{key}={show(arg)}" for key, arg in kwargs.items()]
    done = Call(f"{name}({', '.join(parts)})", fn)
    if not callable(fn):
        raise CheckFailed(f"check(…, {show(fn)})", kind_of(fn), "a function", "not-a-function",
                          "You passed what the function returned, or something else: pass its name, without brackets.",
                          "This is")
    mine, my_kwargs = [_copy(arg) for arg in args], {key: _copy(arg) for key, arg in kwargs.items()}
    try:
        done.returned = fn(*mine, **my_kwargs)
    except Exception as error:
        done.error = error
    pairs = [*zip(map(str, range(1, len(args) + 1)), args, mine, strict=True),
             *((key, kwargs[key], my_kwargs[key]) for key in kwargs)]
    done.changed = next((key for key, before, after in pairs if after is not before and _differs(after, before)), None)
    return done


def _copy(value: Any) -> Any:
    """A copy of plain data; models, environments, generators and tensors with a gradient are passed as they are."""
    if isinstance(value, list | tuple) and type(value) in (list, tuple):
        return type(value)(_copy(part) for part in value)
    if type(value) is dict:
        return {key: _copy(part) for key, part in value.items()}
    torch, numpy = sys.modules.get("torch"), sys.modules.get("numpy")
    if torch is not None and isinstance(value, torch.Tensor):
        return value if value.requires_grad else value.clone()
    return value.copy() if numpy is not None and isinstance(value, numpy.ndarray) else value


def _differs(after: Any, before: Any) -> bool:
    try:
        return difference(after, before, 0.0, 0.0) is not None
    except Exception:
        return False  # things that cannot be compared are not accused


def expect(came: Any, expected: Any, mistakes: dict[str, tuple[Any, str]] | None = None, *, rtol: float = 1e-5,
           atol: float = 1e-6, pure: bool = False, called: str = "") -> None:
    """Require that a call (or a value) agrees with what was expected, and name the mistake if it is a known one.

    Args:
        came: a `Call`, or a plain value (then say with `called` where it comes from).
        expected: a number, string, list, array or tensor, or a tuple or dict of them.
        mistakes: key -> (what a wrong answer gives here, what that usually is). Instead of a value there may stand an
            exception class, or a function of what came back that says True.
        rtol: relative tolerance.
        atol: absolute tolerance.
        pure: also require that the function left its arguments alone.
        called: how to name a plain value.
    """
    came = came if isinstance(came, Call) else Call(called, lambda: None, came)
    if came.error is None:
        kind = difference(came.returned, expected, rtol, atol)
        if kind is None and not (pure and came.changed):
            return
    elif _stub_of(came.error):
        raise NotDone(_stub_of(came.error)) from came.error
    else:
        kind = "raised"
    if kind is None:
        raise CheckFailed(came.text, f"wrote into argument {came.changed}", "arguments left as they were",
                          "changed-arguments", "A function that works in place changes the caller's data. Work on a "
                          "copy: list(x), x.copy() or x.clone().", "It")
    for key, (wrong, why) in (mistakes or {}).items():
        if _is_mistake(came, wrong, rtol, atol):
            verb, text = ("It raised", _describe(came.error)) if came.error else ("It returned", show(came.returned))
            raise CheckFailed(came.text, text, show(expected), key, why, verb) from came.error
    raise CheckFailed(came.text, *_mismatch(kind, came.value, expected))  # came.value fails here if it raised


_WHY = {
    "nothing": ("returned-nothing", "The function ends without `return`, or returns only in some branch."),
    "shape": ("wrong-shape", "The shape is wrong, so the values were not compared: an axis was summed, kept or added "
                             "that should not be."),
    "kind": ("wrong-kind", "This is another sort of value than the one asked for."),
    "nan": ("nan", "NaN comes from 0/0, from ∞ − ∞, from 0·∞ or from the logarithm of a negative number."),
    "value": (None, None),
}


def _mismatch(kind: str, got: Any, expected: Any) -> tuple[str, str, str | None, str | None]:
    """The parts (returned, expected, mistake, why) of a failure that no known mistake explains."""
    returned, wanted = show(got), show(expected)
    if kind in ("shape", "kind"):
        returned, wanted = f"{returned}  ({kind_of(got)})", f"{wanted}  ({kind_of(expected)})"
    return returned, wanted, *_WHY[kind]


def expect_error(came: Call, error: type[Exception] = ValueError, says: str = "", why: str | None = None) -> None:
    """Require that a call raised `error`, with `says` somewhere in its message."""
    wanted = f"{error.__name__}" + (f" with a message that names {says}" if says else "")
    if came.error is None:
        why = why or f"Bad input should be refused with a sentence: `raise {error.__name__}(…)`."
        raise CheckFailed(came.text, show(came.returned), wanted, "no-error", why)
    if _stub_of(came.error) or not isinstance(came.error, error):
        raise as_failure(came.error, came.text, came.function, wanted) from came.error
    if says.lower() not in str(came.error).lower():
        raise CheckFailed(came.text, _describe(came.error), wanted, "unclear-error",
                          "The message should tell whoever reads it what to change.", "It raised") from came.error


def require(ok: Any, *, called: str, returned: Any, expected: str, mistake: str | None = None,
            why: str | None = None) -> None:
    """Require a property that is not one value, such as "better than chance" or "the probabilities add up to 1"."""
    if not bool(ok):
        raise CheckFailed(called, returned if isinstance(returned, str) else show(returned), expected, mistake, why)


def _is_mistake(came: Call, wrong: Any, rtol: float, atol: float) -> bool:
    if isinstance(wrong, type) and issubclass(wrong, Exception):
        return isinstance(came.error, wrong)
    if came.error is not None:
        return False
    try:
        if callable(wrong) and not isinstance(wrong, type):
            return bool(wrong(came.returned))
        return difference(came.returned, wrong, rtol, atol) is None
    except Exception:
        return False  # a recogniser that stumbles over a strange value has not recognised it


def _stub_of(error: Exception) -> str | None:
    """The exercise whose stub raised this, if it was one."""
    match = _STUB.match(str(error)) if isinstance(error, NotImplementedError) else None
    return match[1] if match else None


def _describe(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def as_failure(error: Exception, called: str, answer: Any, expected: str = "") -> CheckFailed:
    """A failure for an exception from the reader's own code, with the line it came from."""
    if _stub_of(error):
        return NotDone(_stub_of(error))
    import traceback

    file = getattr(getattr(answer, "__code__", None), "co_filename", None)
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file and frame.line]
    where = f"\n{'':15}in the line `{frames[-1].line}`" if frames else ""
    why = "The function stopped with an exception before it had an answer; the line and the message say where and why."
    return CheckFailed(called, _describe(error) + where, expected, "raised", why, "It raised")
