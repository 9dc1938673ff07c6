"""The contract of a reward on text, TRL's: `f(prompts, completions, **columns) -> list[float]`, one per completion.

Columns are whatever the data set has beside the prompt, one entry per completion: `answer` for arithmetic, say. A
function may return None for a completion that it does not judge, as long as another function judges it.
"""

import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

Reward = Callable[..., Sequence[float | None]]


def total_reward(
    functions: Sequence[Reward], prompts: Sequence[str], completions: Sequence[str], columns: Mapping[str, Sequence],
    weights: Sequence[float] | None = None,
) -> Tensor:
    """The weighted sum of several rewards, `[B]`.

    Raises:
        ValueError: no function at all, a number of weights that differs from that of the functions, a function that
            returns the wrong number of values or anything but a finite number or None, or a completion that no function
            judged. The message names the function and the completion.
    """
    if not functions:
        raise ValueError("functions is empty: without a reward there is nothing to learn")
    weights = [1.0] * len(functions) if weights is None else list(weights)
    if len(weights) != len(functions):
        raise ValueError(f"weights must have one number per reward function ({len(functions)}), but has {len(weights)}")
    total, judged = [0.0] * len(completions), [False] * len(completions)
    for function, weight in zip(functions, weights, strict=True):
        name = getattr(function, "__name__", repr(function))
        values = function(prompts=prompts, completions=completions, **columns)
        if not hasattr(values, "__len__"):
            hint = "; did it forget to return them?" if values is None else ""
            raise ValueError(f"reward {name} returned {values!r} instead of {len(completions)} values{hint}")
        if len(values) != len(completions):
            raise ValueError(f"reward {name} returned {len(values)} values for {len(completions)} completions")
        for i, value in enumerate(values):
            if value is None:
                continue
            if not _is_finite(value):
                raise ValueError(f"reward {name} returned {value!r} for completion {completions[i]!r} to "
                                 f"{prompts[i]!r}: it must be a finite number, or None for no opinion")
            total[i] += weight * float(value)
            judged[i] = True
    if not all(judged):
        i = judged.index(False)
        names = ", ".join(getattr(function, "__name__", repr(function)) for function in functions)
        raise ValueError(
            f"no reward ({names}) judged completion {completions[i]!r} to {prompts[i]!r}: all returned None"
        )
    return torch.tensor(total)


def _is_finite(value: object) -> bool:
    try:
        return math.isfinite(value)
    except TypeError:  # no number at all
        return False
