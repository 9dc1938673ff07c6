"""Best of N, against enumeration."""

import itertools
from math import log

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_lm import tiny_policy

from rlcore.lm import best_of_n, best_of_n_kl, completion_texts, expected_best, generate, pass_at_k


def count_b(prompts, completions, **_):
    return [float(text.count("b")) for text in completions]


def test_the_best_of_each_prompt_is_kept():
    policy, seen = tiny_policy("ab"), {}

    def judge(prompts, completions, wanted):
        seen.update(prompts=prompts, wanted=wanted)
        return [text.count(letter) + len(text) / 100 for text, letter in zip(completions, wanted, strict=True)]

    result = best_of_n(policy, ["a", "ab", "ba"], judge, 6, max_new_tokens=4, columns={"wanted": ["a", "b", "b"]},
                       generator=torch.Generator().manual_seed(0))
    assert seen == {"prompts": ["a"] * 6 + ["ab"] * 6 + ["ba"] * 6, "wanted": ["a"] * 6 + ["b"] * 12}
    trajectory = generate(policy, seen["prompts"], max_new_tokens=4, generator=torch.Generator().manual_seed(0))
    texts = completion_texts(trajectory, policy.tokenizer)
    assert result.all_completions == [texts[:6], texts[6:12], texts[12:]]
    for i, letter in enumerate("abb"):
        worth = [text.count(letter) + len(text) / 100 for text in result.all_completions[i]]
        assert max(worth) > min(worth)
        assert result.completions[i] == result.all_completions[i][worth.index(max(worth))]
        assert result.rewards[i].item() == pytest.approx(max(worth))
        assert result.all_rewards[i].tolist() == pytest.approx(worth)


def test_one_sample_is_the_policy_itself():
    policy = tiny_policy("ab")
    result = best_of_n(policy, ["a"] * 5, count_b, 1, max_new_tokens=4, generator=torch.Generator().manual_seed(1))
    plain = generate(policy, ["a"] * 5, max_new_tokens=4, generator=torch.Generator().manual_seed(1))
    assert result.completions == completion_texts(plain, policy.tokenizer)


def exact_kl(probs, n):
    """KL(best-of-n ‖ π) by the order of the rewards: the best is at most the i-th with probability Fᵢⁿ."""
    steps = torch.tensor([0.0, *itertools.accumulate(probs)], dtype=torch.float64).pow(n)
    best, base = steps.diff(), torch.tensor(probs, dtype=torch.float64)
    return (best * (best / base).log()).sum().item()


def test_the_kl_is_reached_by_many_equally_likely_answers_and_bounds_the_others():
    for n in (2, 4, 16):
        assert exact_kl([1 / 20_000] * 20_000, n) == pytest.approx(best_of_n_kl(n), abs=1e-3)
        for probs in ([0.5, 0.5], [0.7, 0.2, 0.1], [0.1, 0.2, 0.7], [0.25] * 4):
            assert 0 < exact_kl(probs, n) < best_of_n_kl(n) - 0.01
    assert best_of_n_kl(1) == 0 and best_of_n_kl(4) == pytest.approx(log(4) - 0.75)  # .636 nats


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(-3, 3), min_size=1, max_size=7), st.data())
def test_the_expected_best_is_the_mean_over_all_draws(values, data):
    k = data.draw(st.integers(1, len(values)))
    draws = [max(draw) for draw in itertools.combinations(values, k)]
    rewards = torch.tensor(values, dtype=torch.float64)
    assert expected_best(rewards, k).item() == pytest.approx(sum(draws) / len(draws), abs=1e-12)


def test_for_right_and_wrong_it_is_pass_at_k():
    rewards = torch.tensor([[0, 1, 0, 0, 1], [0, 0, 0, 0, 0], [1, 1, 1, 1, 1]], dtype=torch.float64)
    for k in range(1, 6):
        expected = [pass_at_k(5, c, k) for c in (2, 0, 5)]
        assert expected_best(rewards, k).tolist() == pytest.approx(expected, abs=1e-12)


def test_what_cannot_be_is_named():
    policy = tiny_policy("ab")
    for n in (0, -1, 2.5):
        with pytest.raises(ValueError, match=f"n must be a whole number of at least 1, but is {n}"):
            best_of_n(policy, ["a"], count_b, n, max_new_tokens=2)
        with pytest.raises(ValueError, match="n must be a whole number"):
            best_of_n_kl(n)
    with pytest.raises(ValueError, match=r"columns\['wanted'\] must have one entry per prompt \(1\), but has 2"):
        best_of_n(policy, ["a"], count_b, 2, max_new_tokens=2, columns={"wanted": [1, 2]})
    with pytest.raises(ValueError, match="prompts must be a list of texts"):
        best_of_n(policy, "a", count_b, 2, max_new_tokens=2)
    for k in (0, 4):
        with pytest.raises(ValueError, match=rf"k must lie in 1..3 \(the number of samples\), but is {k}"):
            expected_best(torch.zeros(3), k)
