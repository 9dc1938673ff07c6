"""Compare what came back with what was expected, whatever style the answer is written in.

A Python number, a NumPy scalar and a 0-d tensor are the same number; a list, an array and a tensor the same row.
"""

import math
import re
import sys
from typing import Any

MAX_WIDTH = 160  # characters of one value in a message


def is_tensor(value: Any) -> bool:
    """Whether this is a torch tensor, without importing torch for somebody who never did."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def to_array(value: Any):
    """A NumPy array of numbers, truth values or strings; None where the value is something else."""
    import numpy as np

    if is_tensor(value):
        value = value.detach().cpu().resolve_conj().resolve_neg()
        if value.is_floating_point():
            value = value.double()  # NumPy has no bfloat16
        return value.numpy()
    if isinstance(value, list | tuple):
        parts = [to_array(part) for part in value]
        if any(part is None for part in parts) or len({part.shape for part in parts}) > 1:
            return None
        return np.stack(parts) if parts else np.zeros(0)
    array = np.asarray(value)
    return array if array.dtype.kind in "biufcU" else None


def difference(got: Any, expected: Any, rtol: float, atol: float) -> str | None:
    """What kind of difference there is: None (they agree), "nothing", "shape", "kind", "nan" or "value"."""
    import numpy as np

    if got is None or expected is None:
        return None if got is expected else "nothing"
    if isinstance(expected, dict):
        if not isinstance(got, dict) or got.keys() != expected.keys():
            return "kind" if not isinstance(got, dict) else "value"
        return _first(difference(got[key], expected[key], rtol, atol) for key in expected)
    a, b = to_array(got), to_array(expected)
    if a is None and b is not None:
        return "shape" if isinstance(got, list | tuple) else "kind"
    if a is None or b is None:
        return _compare_parts(got, expected, rtol, atol)
    if a.shape != b.shape:
        return "shape"
    kinds = {array.dtype.kind if array.dtype.kind in "bU" else "number" for array in (a, b)}
    if len(kinds) > 1 and a.size:
        return "kind"
    if kinds & {"b", "U"} or not a.size:
        return None if (a == b).all() else "value"
    if np.isnan(a).any() and not np.isnan(b).any():
        return "nan"
    return None if np.allclose(a, b, rtol=rtol, atol=atol, equal_nan=True) else "value"


def _compare_parts(got: Any, expected: Any, rtol: float, atol: float) -> str | None:
    """Values that are no array: several parts of different shape are compared one by one, the rest with ==."""
    if isinstance(expected, list | tuple):
        if not isinstance(got, list | tuple):
            return "kind"
        if len(got) != len(expected):
            return "shape"
        return _first(difference(g, e, rtol, atol) for g, e in zip(got, expected, strict=True))
    try:
        return None if bool(got == expected) else "value"
    except Exception:
        return "kind"


def _first(differences) -> str | None:
    return next((found for found in differences if found), None)


def kind_of(value: Any) -> str:
    """A few words on what sort of value this is: its shape if it has one, and its type."""
    name = type(value).__name__
    array = to_array(value)
    if array is None:
        return f"{len(value)} values in a {name}" if isinstance(value, list | tuple) else f"a {name}"
    content = {"b": "True/False", "U": "text"}.get(array.dtype.kind, "numbers")
    if array.ndim == 0:
        return {"b": "a truth value", "U": "a string"}.get(array.dtype.kind, "one number")
    return f"{content} of shape {tuple(array.shape)}"


def show(value: Any) -> str:
    """A value on one short line, the same on every machine: six digits, no memory addresses, long ones cut."""
    text = re.sub(r"\s+", " ", _show(value)).strip()
    text = re.sub(r" at 0x[0-9a-fA-F]+", "", text)
    return text if len(text) <= MAX_WIDTH else text[: MAX_WIDTH - 1] + "…"


def _show(value: Any) -> str:
    if isinstance(value, bool) or value is None or isinstance(value, str | int):
        return repr(value)
    if isinstance(value, float):
        return _number(value)
    if is_tensor(value):
        return f"tensor({_show(value.detach().cpu().tolist())})"
    if type(value).__module__ == "numpy":
        return _show(value.item()) if getattr(value, "ndim", None) == 0 else f"array({_show(value.tolist())})"
    if isinstance(value, list | tuple):
        left, right = "[]" if isinstance(value, list) else "()"
        parts = [_show(part) for part in value[:40]] + ["…"] * (len(value) > 40)
        return left + ", ".join(parts) + ("," if len(value) == 1 and left == "(" else "") + right
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key!r}: {_show(part)}" for key, part in value.items()) + "}"
    if callable(value) and hasattr(value, "__name__"):
        return value.__name__
    return repr(value)


def _number(value: float) -> str:
    if not math.isfinite(value):
        return str(value)
    text = f"{value:.6g}"
    return text if any(c in text for c in ".en") else text + ".0"
