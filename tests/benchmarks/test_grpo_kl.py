"""The sweep over KL terms: what its file holds says what chapter 16 says, and one short run is what a run should be."""

import json
from dataclasses import asdict, replace

import pytest
import torch

from benchmarks import grpo_kl
from benchmarks._sweep import runs_of
from benchmarks.grpo_kl import CONFIG, OUTPUT, RUNS, SEEDS, one_run, settings_of, summary
from rlcore.lm.base import assistant_base
from rlcore.lm.reward_model import RewardModel

torch.set_num_threads(1)


@pytest.fixture
def swept():
    return json.loads(OUTPUT.read_text(encoding="utf-8"))


def ends(swept, key, penalty, beta, divide=True):
    """One number per seed, in the order of the seeds."""
    runs = runs_of(swept, penalty=penalty, beta=beta, divide=divide)
    assert [run["seed"] for run in runs] == list(SEEDS)
    return torch.tensor([run[key] for run in runs])


def test_what_was_swept_is_today_s_config(swept):
    assert swept["config"] == asdict(CONFIG)
    assert {(run["penalty"], run["beta"], run["divide"]) for run in swept["runs"]} == set(RUNS)


def test_k1_in_the_loss_is_no_price_and_goes_further_than_none(swept):
    assert (ends(swept, "kl", "k1", 0.15) > ends(swept, "kl", "none", 0.0)).all()
    assert (ends(swept, "gold", "k1", 0.15) < 0).all()


def test_in_the_loss_the_price_is_weaker_because_nothing_divides_it(swept):
    reward = ends(swept, "kl", "reward", 0.15)
    assert all(ends(swept, "kl", penalty, 0.15).mean() > reward.mean() + 1 for penalty in ("k2", "k3"))
    undivided = [ends(swept, "kl", penalty, 0.15, divide=False) for penalty in ("k2", "reward")]
    assert (undivided[0] < undivided[1]).all()


def test_at_about_the_same_kl_k3_brings_less_gold_than_k2_and_nothing_else_is_decided(swept):
    def gap(key, one, beta, other, other_beta):
        difference = ends(swept, key, one, beta) - ends(swept, key, other, other_beta)
        return difference.mean() / (difference.std() / len(SEEDS) ** 0.5)  # in standard errors

    assert abs(gap("kl", "k3", 0.15, "reward", 0.05)) < 2 and abs(gap("kl", "k3", 0.15, "k2", 0.15)) < 2
    assert abs(gap("kl", "k2", 0.15, "reward", 0.05)) < 2
    assert (ends(swept, "gold", "k3", 0.15) < ends(swept, "gold", "k2", 0.15)).all()
    assert -2 < gap("gold", "k3", 0.15, "reward", 0.05) < 0 < gap("gold", "k2", 0.15, "reward", 0.05) < 2


def test_every_condition_is_a_config_of_its_own():
    configs = [settings_of(*condition) for condition in RUNS]
    assert len(set(configs)) == len(RUNS)
    assert settings_of("reward", 0.15, True).kl_in == "reward" and settings_of("none", 0.0, True).kl_coef == 0
    assert settings_of("k2", 0.15, False).kl_kind == "k2" and not settings_of("k2", 0.15, False).normalize


def test_a_run_looks_at_the_end(monkeypatch):
    monkeypatch.setattr(grpo_kl, "CONFIG", replace(CONFIG, steps=1, epochs=1))
    new_judge = RewardModel.from_policy(assistant_base())  # everything is worth 0: all groups are dead
    monkeypatch.setattr(grpo_kl, "judge", lambda name, seed: new_judge)
    run = one_run("none", 0.0, True, seed=0)
    assert run["proxy"] == 0 and run["kl"] == pytest.approx(0, abs=1e-5) and len(run["reward"]) == 1
    parts = sum(run[name] for name in ("helpful", "honest", "harmless", "brief", "grammatical"))
    assert run["gold"] == pytest.approx(parts) and run["cpu_seconds"] > 0


def test_the_summary_names_every_condition(swept):
    text = summary(swept)
    assert all(f"| {penalty}" in text for penalty, _, _ in RUNS)
