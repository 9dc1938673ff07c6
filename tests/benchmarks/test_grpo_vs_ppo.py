"""GRPO beside PPO: the file holds what chapter 16 says, and the cheap stand-ins change nothing but the price."""

import json
from dataclasses import asdict, replace

import pytest
import torch

from benchmarks import grpo_vs_ppo
from benchmarks._sweep import runs_of
from benchmarks.grpo_vs_ppo import (
    GRPO_CONFIG,
    LEARNERS,
    NO_CRITIC,
    OUTPUT,
    PPO_CONFIG,
    SEEDS,
    NoOpinion,
    one_run,
    start,
    summary,
)
from rlcore.lm.reference import frozen_copy

torch.set_num_threads(1)


@pytest.fixture
def swept():
    return json.loads(OUTPUT.read_text(encoding="utf-8"))


def ends(swept, learner):
    """The chance at the end, one per seed."""
    runs = runs_of(swept, learner=learner)
    assert [run["seed"] for run in runs] == list(SEEDS)
    return torch.tensor([run["right"][-1] for run in runs])


def test_what_was_swept_is_today_s_config(swept):
    assert swept["grpo"] == asdict(GRPO_CONFIG) and swept["ppo"] == asdict(PPO_CONFIG)
    assert swept["no_critic"] == asdict(NO_CRITIC) and NO_CRITIC.lam == 1  # else early tokens would get less
    assert {run["learner"] for run in swept["runs"]} == set(LEARNERS)


def test_everybody_wrote_as_much(swept):
    tokens = [run["tokens"] for run in swept["runs"]]
    assert max(tokens) < 1.05 * min(tokens)


def test_large_groups_pay_with_the_questions_and_small_ones_with_the_comparison(swept):
    whole, without = ends(swept, "PPO"), ends(swept, "PPO, no critic")
    for size in (2, 4, 8, 16):
        assert (whole > ends(swept, f"GRPO, groups of {size}")).all()
    assert (whole - without).abs().mean() < 0.01
    sixteen, pairs = (ends(swept, f"PPO, no critic, {size}") for size in ("16 × 8", "64 × 2"))
    assert (without > sixteen).all() and (without > pairs).all()  # fewer different questions, nothing else
    # What differs between these and GRPO's is mean and std, the batch's or the group's: for pairs that is most of it.
    assert (pairs > ends(swept, "GRPO, groups of 2")).all()
    assert (pairs - ends(swept, "GRPO, groups of 2")).mean() > (without - pairs).mean()
    for one, other in (sixteen, 8), (ends(swept, "GRPO, groups of 2"), 4):  # neither can be told apart
        gap = one - ends(swept, f"GRPO, groups of {other}")
        assert gap.mean().abs() < 2 * gap.std() / len(SEEDS) ** 0.5
    foreseen = [run["explained_variance"][-1] for run in runs_of(swept, learner="PPO")]
    assert max(foreseen) < 0.3 and sorted(foreseen)[2] < 0.1


def test_a_step_of_ppo_costs_several_of_grpo(swept):
    cheapest = {name: min(run["cpu_seconds"] for run in runs_of(swept, learner=name)) for name in LEARNERS}
    assert cheapest["PPO"] > 5 * cheapest["GRPO, groups of 8"]


def weights(agent):
    return torch.nn.utils.parameters_to_vector(agent.policy.parameters()).detach()


def small(monkeypatch):
    monkeypatch.setattr(grpo_vs_ppo, "ANSWERS", 16)
    shorter = {"steps": 2, "epochs": 2, "minibatch_size": 16}
    monkeypatch.setattr(grpo_vs_ppo, "PPO_CONFIG", replace(PPO_CONFIG, **shorter))
    monkeypatch.setattr(grpo_vs_ppo, "NO_CRITIC", replace(NO_CRITIC, **shorter))
    monkeypatch.setattr(grpo_vs_ppo, "GRPO_CONFIG", replace(GRPO_CONFIG, steps=2, epochs=2))


SHAPES = [(128, 1), (128, 1), (64, 2), (16, 8), (64, 2), (32, 4), (16, 8), (8, 16)]  # questions × answers to each


@pytest.mark.parametrize(("learner", "shape"), list(zip([*LEARNERS[4:], *LEARNERS[:4]], SHAPES, strict=True)))
def test_everybody_writes_128_answers_a_step(learner, shape):
    world = start(learner, 0).world
    assert (world.prompts_per_step, world.group_size) == shape


def test_a_reference_that_is_not_asked_changes_nothing(monkeypatch):
    small(monkeypatch)
    cheap, whole = start("PPO", 0), start("PPO", 0)
    whole.reference = frozen_copy(whole.policy)
    for agent in (cheap, whole):
        list(agent.steps())
    assert torch.equal(weights(cheap), weights(whole))


def test_without_a_critic_an_answer_is_compared_with_the_batch_s_mean(monkeypatch):
    small(monkeypatch)
    agent = start("PPO, no critic", 0)
    monkeypatch.setattr(agent.value.trunk, "forward", None)  # whoever has no opinion need not read, and costs nothing
    before = [part.clone() for part in agent.value.parameters()]
    assert isinstance(agent.value, NoOpinion)
    list(agent.steps())
    assert all(torch.equal(a, b) for a, b in zip(before, agent.value.parameters(), strict=True))
    assert (agent.value(torch.zeros(2, 3).long()) == 0).all()


@pytest.mark.parametrize("learner", ["GRPO, groups of 8", "PPO"])
def test_a_run_looks_before_and_after(monkeypatch, learner):
    small(monkeypatch)
    monkeypatch.setattr(grpo_vs_ppo, "EVERY", 1)
    run = one_run(learner, 0)
    assert len(run["right"]) == 3 and 0.3 < run["right"][0] < 0.7 and run["cpu_seconds"] > 0
    assert ("explained_variance" in run) == (learner == "PPO")
    assert ("frac_reward_zero_std" in run) == (learner != "PPO")


def test_the_summary_names_every_learner(swept):
    assert all(name in summary(swept) for name in LEARNERS)
