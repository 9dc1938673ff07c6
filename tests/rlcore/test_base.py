"""The starting points: trained once, found again, and the same for whoever asks."""

import pytest
import torch
from tiny_lm import weights

from rlcore.lm import PretrainingConfig, SFTConfig, answer, base
from rlcore.lm.base import BASES, addition_base, addition_sft, assistant_base, assistant_sft
from rlcore.tasks.assistant import assistant_prompts, grammatical


@pytest.fixture(autouse=True)
def small_and_apart(monkeypatch, tmp_path):
    """A tiny model, two steps, and a cache of one's own."""
    torch.set_num_threads(1)
    monkeypatch.setenv("RLCORE_CACHE", str(tmp_path))
    monkeypatch.setattr(base, "ADDITION_MODEL", {"layers": 1, "width": 16, "heads": 2, "positions": 16})
    config = SFTConfig(batch_size=4, max_steps=2, evaluate_every=2, warmup_steps=1, target_accuracy=1.0)
    monkeypatch.setattr(base, "ADDITION_SFT", config)
    monkeypatch.setattr(base.addition_sft, "__defaults__", (None, config))
    monkeypatch.setattr(base, "PROBE", 8)
    monkeypatch.setattr(base, "ASSISTANT_MODEL", base.ASSISTANT_MODEL | {"layers": 1, "width": 32, "heads": 2})
    monkeypatch.setattr(base, "ASSISTANT_CORPUS", 300)
    monkeypatch.setattr(base, "ASSISTANT_PRETRAINING", PretrainingConfig(steps=3, batch_size=4, reaction_weight=4.0))
    return tmp_path


def test_a_base_is_trained_once_and_found_again(small_and_apart):
    steps = []
    first = addition_base(progress=lambda metrics: steps.append(metrics["step"]))
    assert steps == [0, 1, 2] and first.temperature == 1.0 and not first.model.training
    again = addition_base(progress=lambda metrics: pytest.fail("it was there already"))
    assert torch.equal(weights(first), weights(again)) and first.model is not again.model
    assert not torch.equal(weights(addition_base(seed=1, progress=lambda metrics: None)), weights(first))
    assert sum(path.is_dir() for path in small_and_apart.iterdir()) == 2
    assert BASES["addition"] is addition_base


def test_without_a_listener_there_is_a_bar(capfd):
    addition_base()
    assert "learns to add a little" in capfd.readouterr().err


def test_a_policy_that_can_do_it_already_stays_as_it_is():
    policy = addition_base(progress=lambda metrics: None)
    before, seen = weights(policy), []
    addition_sft(policy, 0, seen.append, SFTConfig(target_accuracy=0.0))
    assert torch.equal(weights(policy), before) and [set(row) for row in seen] == [{"step", "accuracy"}]


def test_the_assistants_base_is_trained_once_and_found_again(capfd, small_and_apart):
    steps = []
    first = assistant_base(progress=lambda metrics: steps.append(metrics["step"]))
    assert steps == [0, 1, 2] and first.model.config.n_positions == 10 + 28 + 1 and len(first.tokenizer) == 94
    again = assistant_base(progress=lambda metrics: pytest.fail("it was there already"))
    assert torch.equal(weights(first), weights(again)) and not again.model.training
    other = assistant_base(seed=1, progress=lambda metrics: None)
    # three steps of at most 4e-3 move a weight by little; two first weights of sd .08 are .11 apart
    assert (weights(other) - weights(first)).std() > 0.05
    assert capfd.readouterr().err == ""  # somebody listened, so there was no bar
    assistant_base(seed=2)
    assert "reads what people said" in capfd.readouterr().err and BASES["assistant"] is assistant_base


def test_shown_how_a_good_assistant_replies_it_does_so():
    policy, seen = assistant_base(progress=lambda metrics: None), []
    config = SFTConfig(batch_size=16, lr=1e-2, warmup_steps=10, max_steps=60)
    assistant_sft(policy, 0, seen.append, config)
    assert [row["step"] for row in seen] == list(range(60)) and seen[-1]["loss"] < 0.5 * seen[0]["loss"]
    prompts = assistant_prompts("train").select(range(40))
    sentences = [x == 0 for x in grammatical(prompts["prompt"], answer(policy, prompts, 28))]
    assert sum(sentences) > 30
