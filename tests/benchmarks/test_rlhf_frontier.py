"""The sweep over β: what its file holds says what the issue asks for, and one short run is what a run should be."""

import json
from dataclasses import asdict, replace

import pytest
import torch

from benchmarks import rlhf_frontier
from benchmarks._sweep import runs_of
from benchmarks.rlhf_frontier import CONFIG, OUTPUT, RUNS, SEEDS, one_run, summary
from rlcore.lm.base import assistant_base
from rlcore.lm.reward_model import RewardModel

torch.set_num_threads(1)


@pytest.fixture
def swept():
    return json.loads(OUTPUT.read_text(encoding="utf-8"))


def test_what_was_swept_is_today_s_config(swept):
    assert swept["config"] == asdict(CONFIG)
    assert {(run["reward_model"], run["beta"]) for run in swept["runs"]} <= set(RUNS)


def test_the_price_pays_and_without_it_the_weak_judge_is_fooled(swept):
    priced, free = runs_of(swept, reward_model="good", beta=0.15), runs_of(swept, reward_model="weak", beta=0.0)
    assert len(priced) == len(free) == len(SEEDS)
    assert all(run["gold"][0] < 0.3 and run["gold"][-1] > 1.0 for run in priced)
    assert all(run["gold"][-1] < max(run["gold"]) and run["proxy"][-1] > run["proxy"][0] + 0.5 for run in free)
    assert "good" in summary(swept)


def test_a_run_looks_before_and_after(monkeypatch):
    monkeypatch.setattr(rlhf_frontier, "CONFIG", replace(CONFIG, steps=1, epochs=1))
    monkeypatch.setattr(rlhf_frontier, "EVERY", 1)
    new_judge = RewardModel.from_policy(assistant_base())  # everything is worth 0
    monkeypatch.setattr(rlhf_frontier, "judge", lambda name, seed: new_judge)
    run = one_run("good", 0.15, seed=0)
    assert run["step"] == [0, 1] and run["kl"][0] == pytest.approx(0, abs=1e-5) and run["proxy"] == [0.0, 0.0]
    parts = sum(run[name][0] for name in ("helpful", "honest", "harmless", "brief", "grammatical"))
    assert run["gold"][0] == pytest.approx(parts) and run["cpu_seconds"] > 0
