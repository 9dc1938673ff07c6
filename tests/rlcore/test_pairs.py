"""Pairs to choose between: different, reproducible, a part of the larger set, and cached."""

import pytest
import torch
from datasets import Dataset
from tiny_lm import tiny_policy

from rlcore.lm import PretrainingConfig, base, pairs, sampling
from rlcore.lm.pairs import preference_pairs, sample_pairs
from rlcore.tasks.annotator import Annotator
from rlcore.tasks.assistant import assistant_prompts, gold_reward
from rlcore.tasks.assistant_grammar import REQUESTS

PROMPTS = Dataset.from_dict({"prompt": ["a", "bb"]})


@pytest.fixture
def small_and_apart(monkeypatch, tmp_path):
    """A tiny base, small rounds, and a cache of one's own."""
    torch.set_num_threads(1)
    monkeypatch.setenv("RLCORE_CACHE", str(tmp_path))
    monkeypatch.setattr(base, "ASSISTANT_MODEL", base.ASSISTANT_MODEL | {"layers": 1, "width": 32, "heads": 2})
    monkeypatch.setattr(base, "ASSISTANT_CORPUS", 300)
    monkeypatch.setattr(base, "ASSISTANT_PRETRAINING", PretrainingConfig(steps=20, batch_size=8, reaction_weight=4.0))
    monkeypatch.setattr(pairs, "POOL", 20)
    monkeypatch.setattr(pairs, "ROUND", 8)
    return tmp_path


def test_two_different_replies_to_one_request():
    policy = tiny_policy("ab")
    found = sample_pairs(policy, PROMPTS, 600, max_new_tokens=3)
    assert len(found) == 600 and found.column_names == ["prompt", "first", "second"]
    assert all(row["first"] and row["second"] and row["first"] != row["second"] for row in found)
    assert set(found["prompt"]) == {"a", "bb"}
    assert len({row["first"] for row in found}) > 3
    assert found[:] == sample_pairs(policy, PROMPTS, 600, max_new_tokens=3)[:]
    assert found[:40] == sample_pairs(policy, PROMPTS, 40, max_new_tokens=3)[:]
    assert found[:] != sample_pairs(policy, PROMPTS, 600, max_new_tokens=3, seed=1)[:]


def test_both_replies_are_the_policys_own():
    """Neither is better than the other: first and second come from one distribution."""
    found = sample_pairs(tiny_policy("ab"), PROMPTS.select([0]), 1000, max_new_tokens=1, seed=3)
    # one token that is a or b, and they differ: (a, b) as often as (b, a); 4 standard errors of a coin
    assert found["first"].count("a") / 1000 == pytest.approx(0.5, abs=4 * 0.5 / 1000**0.5)
    assert {(row["first"], row["second"]) for row in found} == {("a", "b"), ("b", "a")}


def test_a_policy_with_one_answer_is_named(monkeypatch):
    monkeypatch.setattr(pairs, "PATIENCE", 2)
    greedy = sampling.generate
    monkeypatch.setattr(pairs, "generate", lambda *args, **kwargs: greedy(*args, **kwargs | {"greedy": True}))
    with pytest.raises(ValueError, match="policy gave the same answer twice, or none, to 1000 requests in a row"):
        sample_pairs(tiny_policy("ab"), PROMPTS, 1, max_new_tokens=3)
    with pytest.raises(ValueError, match="size must be a positive number, but is 0"):
        sample_pairs(tiny_policy("ab"), PROMPTS, 0, max_new_tokens=3)
    with pytest.raises(ValueError, match="prompts must have the columns 'prompt'"):
        sample_pairs(tiny_policy("ab"), PROMPTS.rename_column("prompt", "text"), 1, max_new_tokens=3)


def test_preferences_of_the_base_are_cached_and_the_few_are_a_part_of_the_many(small_and_apart, monkeypatch):
    first = preference_pairs(15)
    assert len(first) == 15 and first.column_names == ["prompt", "chosen", "rejected"]
    train = set(assistant_prompts("train")["prompt"])
    assert set(first["prompt"]) <= train and len(list(small_and_apart.glob("assistant-pairs-*/pairs.jsonl"))) == 1
    more = preference_pairs(25)  # another file: two pools
    assert more[:15] == first[:] and len(list(small_and_apart.glob("assistant-pairs-*/pairs.jsonl"))) == 2
    monkeypatch.setattr(pairs, "generate", lambda *_, **__: pytest.fail("it was there already"))
    assert preference_pairs(15)[:] == first[:] and preference_pairs(5)[:] == first[:5]
    sure = preference_pairs(15, annotator=Annotator(tau=1e-6, skip_ties=True))  # other labels of the same replies
    texts = {frozenset((row["chosen"], row["rejected"])) for row in first}
    assert {frozenset((row["chosen"], row["rejected"])) for row in sure} <= texts
    chosen, rejected = (gold_reward(sure["prompt"], sure[name]) for name in ("chosen", "rejected"))
    assert all(a > b for a, b in zip(chosen, rejected, strict=True))


def test_seed_split_and_base_each_make_pairs_of_their_own(small_and_apart):
    made = [preference_pairs(10), preference_pairs(10, seed=1), preference_pairs(10, base_seed=1),
            preference_pairs(10, split="held_out")]
    assert len({str(pairs[:]) for pairs in made}) == 4
    assert set(made[3]["prompt"]) <= REQUESTS.keys() - set(assistant_prompts("train")["prompt"])
    with pytest.raises(ValueError, match="size must be a positive number, but is -3"):
        preference_pairs(-3)
    with pytest.raises(ValueError, match="split must be one of"):
        preference_pairs(3, split="test")
