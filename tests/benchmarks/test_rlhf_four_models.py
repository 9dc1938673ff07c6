"""The sweep that breaks one of the four models at a time: what its file holds, and what a run should be."""

import json
import math
from dataclasses import asdict, replace

import pytest
import torch
from torch.nn.utils import parameters_to_vector

from benchmarks import rlhf_four_models, rlhf_frontier
from benchmarks._sweep import runs_of
from benchmarks.rlhf_four_models import CHANGES, CONFIG, OUTPUT, SEEDS, made, one_run, summary
from rlcore.lm.base import assistant_base
from rlcore.lm.reward_model import RewardModel

torch.set_num_threads(1)


@pytest.fixture
def swept():
    return json.loads(OUTPUT.read_text(encoding="utf-8"))


@pytest.fixture
def new_judge(monkeypatch):
    """Everything is worth 0, and no judge is trained for a test."""
    judge = RewardModel.from_policy(assistant_base())
    monkeypatch.setattr(rlhf_four_models, "judge", lambda name, seed: judge)
    return judge


def ends(swept, change, key="gold"):
    return [run[key][-1] for run in runs_of(swept, change=change)]


def test_what_was_swept_is_today_s_config_and_the_frontier_s(swept):
    frontier = json.loads(rlhf_frontier.OUTPUT.read_text(encoding="utf-8"))
    assert swept["config"] == asdict(CONFIG) == frontier["config"] and swept["batch"] == frontier["batch"]
    assert {(run["change"], run["seed"]) for run in swept["runs"]} == {(c, s) for c in CHANGES for s in SEEDS}


def test_the_claims_of_chapter_14(swept):
    frontier = json.loads(rlhf_frontier.OUTPUT.read_text(encoding="utf-8"))
    whole = [run["gold"][-1] for run in runs_of(frontier, reward_model="good", beta=0.15)]
    assert all(gold > 1.0 for gold in ends(swept, "no critic"))  # it is missed, but not by much ...
    assert all(gold < full for gold, full in zip(ends(swept, "no critic"), whole, strict=True))  # ... on five of five
    assert all(abs(kl) < 1e-4 for run in runs_of(swept, change="reference follows") for kl in run["kl_seen"])
    assert min(ends(swept, "reference follows", "kl")) > 5  # it saw none of that
    assert max(ends(swept, "reference follows")) < min(whole)
    assert max(ends(swept, "no judge", "kl")) < 0.5 and all(run["kl_seen"][1] > 0.5 for run in
                                                            runs_of(swept, change="no judge"))
    assert all(run["proxy"][-1] > 0.9 and run["gold"][-1] < 0.6 for run in runs_of(swept, change="judge untaught"))
    assert all(change in summary(swept) for change in CHANGES)


@pytest.mark.parametrize("change", CHANGES)
def test_each_change_is_the_one_it_says(change, new_judge):
    agent, judge = made(change, seed=0)
    learning = {id(weight) for group in agent.optimizer.param_groups for weight in group["params"]}
    has_critic = any(id(weight) in learning for weight in agent.value.parameters())
    assert has_critic == (not change.startswith("no critic"))
    assert agent.config == replace(CONFIG, lam=1.0) if change.endswith("λ = 1") else agent.config == CONFIG
    prompts = ["user what is the color of the apple ? bot"] * 2
    rewards = agent.world.rewards[0](prompts, ["the apple is red .", "the apple is blue ."])
    assert (rewards[0] != rewards[1]) == (change == "judge untaught")
    assert (judge is new_judge) == (change != "judge untaught")


def test_a_reference_that_follows_sees_no_distance(monkeypatch, new_judge):
    monkeypatch.setattr(rlhf_four_models, "CONFIG", replace(CONFIG, steps=2, epochs=1))
    monkeypatch.setattr(rlhf_four_models, "BATCH", 16)
    monkeypatch.setattr(new_judge, "reward", lambda prompts, completions, **_: [len(text) / 9 for text in completions])
    follows, stays = one_run("reference follows", seed=0), one_run("critic stopped", seed=0)
    assert follows["step"] == stays["step"] == [0, 2]
    assert max(map(abs, follows["kl_seen"])) < 1e-4 < follows["kl"][-1]
    assert abs(stays["kl_seen"][1]) > 1e-3 and math.isclose(follows["gold"][0], stays["gold"][0])


def test_the_stopped_critic_stops(monkeypatch, new_judge):
    monkeypatch.setattr(rlhf_four_models, "CONFIG", replace(CONFIG, steps=3, epochs=1))
    monkeypatch.setattr(rlhf_four_models, "BATCH", 16)
    monkeypatch.setattr(rlhf_four_models, "STOP", 1)
    monkeypatch.setattr(new_judge, "reward", lambda prompts, completions, **_: [len(text) / 9 for text in completions])
    agent, judge = made("critic stopped", seed=0)
    learn, seen = agent.learn, [parameters_to_vector(agent.value.parameters()).detach()]

    def watched(trajectory):
        metrics = learn(trajectory)
        seen.append(parameters_to_vector(agent.value.parameters()).detach())
        return metrics

    agent.learn = watched
    monkeypatch.setattr(rlhf_four_models, "made", lambda *_: (agent, judge))
    one_run("critic stopped", seed=0)
    assert not torch.equal(seen[0], seen[1])
    assert torch.equal(seen[1], seen[2]) and torch.equal(seen[2], seen[3])
