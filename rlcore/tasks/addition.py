"""Adding two numbers of two digits: the smallest task whose reward is a fact, checked by a rule and not by a model."""

import random
import re

from datasets import Dataset

CHARACTERS = "0123456789+="
MAX_NEW_TOKENS = 6  # an answer has at most 3 digits and EOS; the rest is room to be wrong in
HELD_OUT = 500  # of the 8,100 problems, never trained on, the same for every seed

_NUMBER = re.compile(r"\d{1,6}")


def addition_problems() -> tuple[Dataset, Dataset]:
    """All 8,100 problems a + b with a, b in 10..99, as (train, held out).

    Columns: `prompt` ("17+85="), `completion` ("102"), `answer` (102).
    """
    problems = [(a, b) for a in range(10, 100) for b in range(10, 100)]
    random.Random(0).shuffle(problems)
    return _dataset(problems[HELD_OUT:]), _dataset(problems[:HELD_OUT])


def _dataset(problems: list[tuple[int, int]]) -> Dataset:
    return Dataset.from_dict({
        "prompt": [f"{a}+{b}=" for a, b in problems],
        "completion": [str(a + b) for a, b in problems],
        "answer": [a + b for a, b in problems],
    })


def exact_answer(prompts: list[str], completions: list[str], answer: list[int], **_) -> list[float]:
    """1 for exactly the right number and nothing else, 0 for everything else.

    The text is parsed by a regular expression with a length cap: what a model wrote is never evaluated.
    """
    return [
        float(_NUMBER.fullmatch(text) is not None and int(text) == right)
        for text, right in zip(completions, answer, strict=True)
    ]
