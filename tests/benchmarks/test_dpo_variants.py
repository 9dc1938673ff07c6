"""DPO's variants: the file holds today's settings and what chapter 15 says; a short run is what a run should be."""

import json
from dataclasses import asdict, replace
from itertools import product

import pytest
import torch

from benchmarks import dpo_variants, rlhf_frontier
from benchmarks._sweep import runs_of
from benchmarks.dpo_variants import OUTPUT, PER_TOKEN, SEEDS, VARIANTS, base_pairs, correlation, one_run, summary
from rlcore.lm.base import assistant_base
from rlcore.lm.pairs import preference_pairs

torch.set_num_threads(1)


@pytest.fixture
def swept():
    return json.loads(OUTPUT.read_text(encoding="utf-8"))


def gold(result, variant):
    """Gold at the end, by seed."""
    runs = runs_of(result, variant=variant)
    assert [run["seed"] for run in runs] == list(SEEDS)
    return [run["gold"][-1] for run in runs]


def test_what_was_swept_is_today_s_config(swept):
    assert swept["variants"] == {name: asdict(config) for name, config in VARIANTS.items()}
    assert sorted((run["variant"], run["seed"]) for run in swept["runs"]) == sorted(product(VARIANTS, SEEDS))
    assert all(name in summary(swept) for name in VARIANTS)


def test_the_pairs_are_rlhf_s():
    size, annotator = rlhf_frontier.JUDGES["good"]
    assert base_pairs(0).to_dict() == preference_pairs(size, 0, annotator=annotator, base_seed=0).to_dict()
    assert rlhf_frontier.SEEDS == SEEDS


def test_plain_dpo_is_displaced_on_every_seed_and_the_nll_term_helps_on_every_seed(swept):
    for run in runs_of(swept, variant="dpo"):
        chosen, rejected = run["course"]["logps/chosen"], run["course"]["logps/rejected"]
        assert chosen[-1] < chosen[0] - 5 and rejected[-1] < rejected[0] - 5
        assert run["course"]["loss"][-1] < 0.6 and run["accuracy"][-1] > 0.7  # what a dashboard shows
        assert run["judge, base's replies"][-1] > 0.5 and run["judge, own replies"][-1] < 0
        assert run["sentences"][-1] < 0.7 < run["sentences"][0]
    assert all(cured > plain + 0.5 for plain, cured in zip(gold(swept, "dpo"), gold(swept, "dpo + nll"), strict=True))


def test_own_pairs_beat_rlhf_and_rlhf_beats_the_base_s_pairs_on_every_seed(swept):
    frontier = json.loads(rlhf_frontier.OUTPUT.read_text(encoding="utf-8"))
    rlhf = [run["gold"][-1] for run in runs_of(frontier, reward_model="good", beta=0.15)]
    assert all(a > b for a, b in zip(gold(swept, "own pairs + nll"), rlhf, strict=True))
    assert all(a > b for a, b in zip(rlhf, gold(swept, "dpo + nll"), strict=True))
    assert all(a > b for a, b in zip(gold(swept, "dpo + nll"), gold(swept, "imitation"), strict=True))


def test_a_run_looks_before_and_after(monkeypatch, request):
    monkeypatch.setattr(dpo_variants, "TEST", 500)
    monkeypatch.setattr(dpo_variants, "EVERY", 1)
    few = base_pairs(0).select(range(64))
    monkeypatch.setattr(dpo_variants, "base_pairs", lambda seed: few)
    monkeypatch.setitem(VARIANTS, "per token", replace(PER_TOKEN, batch_size=32, epochs=1))
    for cached in (dpo_variants.new_pairs, dpo_variants.compared):
        cached.cache_clear()
        request.addfinalizer(cached.cache_clear)
    run = one_run("per token", seed=0)
    assert run["step"] == [0, 1, 2] and run["kl"][0] == pytest.approx(0, abs=1e-5) and run["cpu_seconds"] > 0
    assert run["course"]["loss"][0] < 0.7 and len(run["replies"]) == dpo_variants.REPLIES
    assert run["judge, own replies"][0] == 0.0  # at the reference the judge has no opinion


def test_own_pairs_are_written_by_the_policy_of_that_moment(monkeypatch):
    asked = []

    def written(policy, prompts, size, max_new_tokens, seed):
        asked.append((policy, size, seed))
        return preference_pairs(size).rename_columns({"chosen": "first", "rejected": "second"})

    monkeypatch.setattr(dpo_variants, "sample_pairs", written)
    monkeypatch.setattr(dpo_variants, "PAIRS", 32)
    policy = assistant_base()
    config = replace(VARIANTS["own pairs + nll"], batch_size=8, epochs=1)
    history = list(dpo_variants.rounds(policy, assistant_base(), config, seed=0))
    assert len(history) == 4 and [(size, seed) for _, size, seed in asked] == [(8, 100), (8, 200), (8, 300)]
    assert all(writer is policy for writer, _, _ in asked)


def test_correlation():
    x = torch.tensor([1.0, 2.0, 3.0])
    assert correlation(x, 2 * x) == pytest.approx(1.0) and correlation(x, -x) == pytest.approx(-1.0)
    assert correlation(x, torch.ones(3)) == 0.0 and correlation(torch.ones(3), x) == 0.0
