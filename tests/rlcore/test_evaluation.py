"""Accuracy and pass@k, against counting and against enumeration."""

import itertools

import pytest
import torch
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_lm import tiny_policy

from rlcore.lm import accuracy, answer, completion_texts, generate, pass_at_k

PROBLEMS = Dataset.from_dict({"prompt": ["a", "ab", "ba"], "completion": ["x", "x", "x"], "wanted": ["a", "b", ""]})


@settings(deadline=None, max_examples=80)
@given(st.integers(1, 8), st.data())
def test_pass_at_k_is_the_share_of_draws_with_a_right_one(n, data):
    c, k = data.draw(st.integers(0, n)), data.draw(st.integers(1, n))
    draws = list(itertools.combinations([True] * c + [False] * (n - c), k))
    assert pass_at_k(n, c, k) == pytest.approx(sum(map(any, draws)) / len(draws), abs=1e-12)


def test_pass_at_k_is_unbiased_and_the_obvious_estimate_is_not():
    # n = 4 independent samples, each right with p = .3; the truth for k = 2 is 1 − .7² = .51
    p, n, k = 0.3, 4, 2
    outcomes = [sum(hits) for hits in itertools.product((0, 1), repeat=n)]
    chance = [p**c * (1 - p) ** (n - c) for c in outcomes]
    assert sum(w * pass_at_k(n, c, k) for w, c in zip(chance, outcomes, strict=True)) == pytest.approx(0.51)
    assert sum(w * (1 - (1 - c / n) ** k) for w, c in zip(chance, outcomes, strict=True)) < 0.51 - 0.01


def test_pass_at_k_by_hand():
    assert pass_at_k(4, 1, 2) == pytest.approx(0.5)  # 1 − C(3, 2)/C(4, 2) = 1 − 3/6
    assert pass_at_k(5, 5, 1) == 1 and pass_at_k(5, 0, 5) == 0 and pass_at_k(5, 1, 5) == 1
    assert pass_at_k(10_000, 5_000, 1) == pytest.approx(0.5)


def test_pass_at_k_errors_are_named():
    for k in (0, 5, -1):
        with pytest.raises(ValueError, match=rf"k must lie in 1..4 \(the number of samples\), but is {k}"):
            pass_at_k(4, 2, k)
    for correct in (-1, 5):
        with pytest.raises(ValueError, match=rf"correct must lie in 0..4 \(the number of samples\), but is {correct}"):
            pass_at_k(4, correct, 2)


def test_answers_are_greedy_completions_in_order():
    policy = tiny_policy("ab")
    alone = [completion_texts(generate(policy, [p], max_new_tokens=4, greedy=True), policy.tokenizer)[0]
             for p in PROBLEMS["prompt"]]
    assert answer(policy, PROBLEMS, 4) == alone
    sampled = answer(policy, PROBLEMS, 4, greedy=False, seed=5)
    assert answer(policy, PROBLEMS, 4, greedy=False, seed=5) == sampled
    assert any(answer(policy, PROBLEMS, 4, greedy=False, seed=s) != sampled for s in range(5))


def test_accuracy_is_the_mean_reward_and_hands_over_the_columns():
    policy, seen = tiny_policy("ab"), {}

    def judge(prompts, completions, wanted):  # no room for other columns: `completion` is not one of them
        seen.update(prompts=prompts, completions=completions, wanted=wanted)
        return [1.0, 0.0, 1.0]

    state = torch.get_rng_state()
    assert accuracy(policy, PROBLEMS, judge, 4) == pytest.approx(2 / 3)
    assert seen["prompts"] == ["a", "ab", "ba"] and seen["wanted"] == ["a", "b", ""]
    assert seen["completions"] == answer(policy, PROBLEMS, 4)
    assert torch.equal(torch.get_rng_state(), state)  # looking does not change what training samples next
    accuracy(policy, PROBLEMS, judge, 4, greedy=False)
    assert torch.equal(torch.get_rng_state(), state)
