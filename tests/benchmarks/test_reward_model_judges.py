"""The sweep over judges: its arithmetic by hand, and that the committed file holds five seeds of each judge."""

import json
from itertools import combinations

import numpy as np
import pytest
import torch

from benchmarks._sweep import runs_of
from benchmarks.reward_model_judges import (
    CHOICES,
    JUDGES,
    OUTPUT,
    SEEDS,
    chosen_of,
    slope_at_equal_gold,
    summary,
)
from rlcore.lm.best_of_n import expected_best


def test_chosen_of_is_the_mean_over_all_draws():
    dice = torch.Generator().manual_seed(0)
    proxy, gold = torch.randn(2, 3, 6, generator=dice)  # [3, 6] each
    for k in (1, 2, 5, 6):
        draws = list(combinations(range(6), k))
        by_hand = [sum(g[max(draw, key=lambda i: p[i])] for draw in draws) / len(draws)
                   for p, g in zip(proxy.tolist(), gold.tolist(), strict=True)]
        torch.testing.assert_close(chosen_of(proxy, gold, k), torch.tensor(by_hand, dtype=torch.float64))
    torch.testing.assert_close(chosen_of(proxy, proxy, 3), expected_best(proxy.double(), 3))


def test_the_slope_is_that_of_words_and_not_of_what_goes_with_them():
    dice = np.random.default_rng(0)
    gold = dice.normal(size=200)
    words = 10 - 2 * gold + dice.normal(size=200)  # worse replies are longer
    rewards = 3 * gold + 0.25 * words + 7
    assert slope_at_equal_gold(rewards, gold, words) == pytest.approx(0.25, abs=1e-9)
    assert np.polyfit(words, rewards, 1)[0] < 0  # without gold beside it, even the sign would be wrong


def test_the_committed_file_has_every_judge_on_every_seed():
    result = json.loads(OUTPUT.read_text(encoding="utf-8"))
    for judge in JUDGES:
        assert [run["seed"] for run in runs_of(result, judge=judge)] == list(SEEDS)
    assert all(len(values) == len(CHOICES) for run in result["runs"] for values in run["best_of"].values())
    assert all(proxy == sorted(proxy) for proxy in (run["best_of"]["proxy"] for run in result["runs"]))
    assert all(judge in summary(result) for judge in JUDGES)
