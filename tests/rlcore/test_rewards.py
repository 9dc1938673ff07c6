"""The contract of a reward: one finite number per completion, and a sentence for everything else."""

import numpy as np
import pytest
import torch

from rlcore.tasks.rewards import total_reward

PROMPTS, COMPLETIONS, COLUMNS = ["p", "q", "r"], ["a", "bb", "ccc"], {"answer": ["a", "b", "ccc"]}


def length(completions, **_):
    return [float(len(text)) for text in completions]


def right(prompts, completions, answer):
    return [float(text == wanted) for text, wanted in zip(completions, answer, strict=True)]


def first_only(completions, **_):
    return [5.0, *[None] * (len(completions) - 1)]


def total(*functions, weights=None):
    return total_reward(functions, PROMPTS, COMPLETIONS, COLUMNS, weights)


def constant(values):
    def judge(**_):
        return values

    return judge


def test_rewards_are_summed_with_their_weights():
    assert total(length).tolist() == [1, 2, 3]
    assert total(length, right).tolist() == [2, 2, 4]
    assert total(length, right, weights=[0.5, -2]).tolist() == [0.5 - 2, 1.0, 1.5 - 2]
    assert total(length, right, weights=(0, 1)).tolist() == [1, 0, 1]
    assert total(length).dtype == torch.float32


def test_a_function_may_leave_a_completion_to_another():
    assert total(first_only, length).tolist() == [6, 2, 3]


@pytest.mark.parametrize("values", [[1, 0, True], np.array([1, 0, 1]), torch.tensor([1.0, 0, 1]), (1, 0, 1.0)])
def test_any_sequence_of_numbers_will_do(values):
    assert total(constant(values)).tolist() == [1, 0, 1]


def test_functions_are_called_by_name_with_every_column():
    seen = {}

    def spy(**given):
        seen.update(given)
        return [0, 0, 0]

    total(spy)
    assert seen == {"prompts": PROMPTS, "completions": COMPLETIONS, "answer": ["a", "b", "ccc"]}


def forgetful(completions, **_):
    max(len(text) for text in completions)


def short(**_):
    return [1.0]


@pytest.mark.parametrize(
    ("functions", "weights", "message"),
    [
        ([], None, "functions is empty: without a reward there is nothing to learn"),
        ([short], None, "reward short returned 1 values for 3 completions"),
        ([forgetful], None, "reward forgetful returned None instead of 3 values; did it forget to return"),
        ([constant(1.0)], None, "reward judge returned 1.0 instead of 3 values"),
        ([constant([0, float("nan"), 0])], None, "reward judge returned nan for completion 'bb' to 'q'"),
        ([constant([0, 0, float("inf")])], None, "reward judge returned inf for completion 'ccc' to 'r'"),
        ([constant([0, "good", 0])], None, "reward judge returned 'good' for completion 'bb' to 'q'"),
        ([first_only], None, r"no reward \(first_only\) judged completion 'bb' to 'q': all returned None"),
        ([first_only, first_only], None, r"no reward \(first_only, first_only\) judged"),
        ([length], [1, 2], r"weights must have one number per reward function \(1\), but has 2"),
        ([length, right], [1.0], r"weights must have one number per reward function \(2\), but has 1"),
    ],
)
def test_what_breaks_the_contract_is_named(functions, weights, message):
    with pytest.raises(ValueError, match=message):
        total(*functions, weights=weights)
