"""The addition task: its problems, and a reward that nothing but the right number earns."""

import pytest

from rlcore.tasks.addition import CHARACTERS, HELD_OUT, MAX_NEW_TOKENS, addition_problems, exact_answer


def test_every_problem_is_there_once_and_held_out_problems_are_never_trained_on():
    train, held_out = addition_problems()
    assert len(train) == 8100 - HELD_OUT and len(held_out) == HELD_OUT
    prompts = [*train["prompt"], *held_out["prompt"]]
    assert set(prompts) == {f"{a}+{b}=" for a in range(10, 100) for b in range(10, 100)} and len(prompts) == 8100
    again = addition_problems()[1]
    assert list(again["prompt"]) == list(held_out["prompt"])  # the same for every seed and process
    for split in (train, held_out):
        for prompt, completion, answer in zip(split["prompt"], split["completion"], split["answer"], strict=True):
            a, b = prompt[:-1].split("+")
            assert int(a) + int(b) == answer == int(completion)
    assert set("".join(prompts) + "".join(train["completion"])) <= set(CHARACTERS)
    assert max(map(len, train["completion"])) + 1 <= MAX_NEW_TOKENS
    assert list(held_out["prompt"][:2]) == list(addition_problems()[1]["prompt"][:2])


@pytest.mark.parametrize(
    ("text", "reward"),
    [("102", 1), ("0102", 1), ("103", 0), ("", 0), ("102 ", 0), ("102\n", 0), ("+102", 0), ("-102", 0), ("17+85", 0),
     ("102=102", 0), ("1e2", 0), ("102.0", 0), ("9" * 7, 0), ("9" * 100_000, 0), ("=102", 0), ("__import__('os')", 0)],
)  # fmt: skip
def test_only_the_right_number_and_nothing_else_is_rewarded(text, reward):
    assert exact_answer(["17+85="], [text], answer=[102]) == [reward]


def test_rewards_stay_beside_their_completions():
    assert exact_answer(["a", "b"], ["1", "2"], answer=[2, 2], completion=["x", "y"]) == [0.0, 1.0]
    with pytest.raises(ValueError, match="shorter"):
        exact_answer(["a", "b"], ["1", "2"], answer=[2])
