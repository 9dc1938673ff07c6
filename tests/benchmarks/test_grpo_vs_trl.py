"""The comparison is fair: same batch, same loss, same settings, and a clock that changes nothing."""

import copy
import json

import pytest
import torch

from benchmarks._clock import PHASES, Clock, learning_places
from benchmarks._record import RESULTS, quartiles, recipe, save, spread, table
from benchmarks.grpo.report import draw, report
from rlcore.agents.grpo import GRPO, GRPOConfig
from rlcore.lm import character_tokenizer, small_gpt2
from rlcore.policies import LanguagePolicy
from rlcore.tasks.addition import CHARACTERS

FEW = GRPOConfig(steps=3, prompts_per_step=4, group_size=4, max_new_tokens=4, final_lr=1.0)


def tiny_policy():
    tokenizer = character_tokenizer(CHARACTERS)
    model = small_gpt2(tokenizer, layers=2, width=32, heads=4, positions=12)
    return LanguagePolicy(model, tokenizer)


def length(prompts, completions, **_):
    return [float(len(text)) for text in completions]


def test_phases_add_up_and_the_inner_one_pays():
    time = iter([0.0, 1.0, 3.0, 6.0, 10.0, 15.0])  # start, outer in, inner in, inner out, outer out, stop
    clock = Clock(now=lambda: next(time))
    inner = clock.wrap("forward", lambda: "done")
    outer = clock.wrap("sample", inner)
    assert outer() == "done"  # off the clock: nothing is charged, no time is asked for
    clock.start("me")
    outer()
    clock.stop()
    # rest: 0–1 and 10–15; sample: 1–3 and 6–10; forward: 3–6
    expected = dict.fromkeys(PHASES, 0.0) | {"sample": 6000.0, "forward": 3000.0, "rest": 6000.0}
    assert clock.laps["me"] == [expected]
    assert clock.totals("me") == [15000.0]


def test_a_function_that_fails_still_ends_its_phase():
    time = iter([0.0, 1.0, 3.0, 7.0])
    clock = Clock(now=lambda: next(time))
    clock.start("me")
    with pytest.raises(ZeroDivisionError):
        clock.wrap("sample", lambda: 1 / 0)()
    clock.stop()
    assert (clock.laps["me"][0]["sample"], clock.laps["me"][0]["rest"]) == (2000.0, 5000.0)


def test_speedup_compares_the_same_lap():
    clock = Clock()
    for name, laps in {"slow": [99, 20, 40, 60], "fast": [1, 10, 10, 10]}.items():
        clock.laps[name] = [dict.fromkeys(PHASES, 0.0) | {"rest": ms} for ms in laps]
    assert clock.speedups("slow", warm_up=1) == {"fast": {"median": 4.0, "q1": 3.0, "q3": 5.0}}  # of 2, 4, 6


def test_watching_leaves_everything_as_it_was():
    before = [getattr(owner, name) for owner, name, _ in learning_places()]
    with Clock().watching(learning_places()):
        assert torch.Tensor.backward is not before[0]
    assert [getattr(owner, name) for owner, name, _ in learning_places()] == before


def test_a_record_has_its_recipe_and_no_path(tmp_path):
    pytest.importorskip("trl")
    save(recipe("python -m benchmarks.x") | {"x": 1 / 3}, tmp_path / "new" / "x.json")
    text = (tmp_path / "new" / "x.json").read_text()
    assert json.loads(text)["x"] == 0.33333
    assert "/" not in text.replace("x86_64", "")
    assert [file.name for file in (tmp_path / "new").iterdir()] == ["x.json"]


def test_summaries():
    assert quartiles([1.0, 2.0, 3.0, 4.0, 5.0]) == {"median": 3.0, "q1": 2.0, "q3": 4.0}
    assert spread([1.0, 3.0]) == {"mean": 2.0, "sd": 2**0.5, "values": [1.0, 3.0]}  # ddof = 1: √(2 · 1² / 1)
    assert spread([1.0])["sd"] is None
    assert table(["a", "b"], [["x", 10]]) == "| a |  b |\n|---|---:|\n| x | 10 |"


@pytest.fixture(scope="module")
def raced():
    """A short race with every prompt and completion that each contestant's reward has seen."""
    pytest.importorskip("trl", reason="the [scale] extra is not installed")
    from benchmarks.grpo.race import prompts_in_order, race

    base, seen, clock, trained = tiny_policy(), [], Clock(), {}

    def reward(prompts, completions, **columns):
        seen.append(list(prompts))
        return length(prompts, completions)

    dataset = prompts_in_order(0, 12)
    rivals = {"plain": (False, FEW), "shared": (True, FEW)}
    before = copy.deepcopy(base.state_dict())
    race(clock, base, dataset, reward, FEW, rivals, seed=0, after=lambda step, policies: trained.update(policies))
    assert all(torch.equal(value, before[name]) for name, value in base.state_dict().items())  # the start stays
    return base, dataset, clock, seen, trained


def test_all_see_the_same_prompts_in_the_same_order(raced):
    _, dataset, _, seen, _ = raced
    expected = [[p for p in dataset["prompt"][i : i + 4] for _ in range(4)] for i in (0, 4, 8)]
    assert seen == [prompts for prompts in expected for _ in ("TRL", "plain", "shared")]  # and in turn


def test_every_phase_of_everybody_is_seen(raced):
    clock = raced[2]
    assert set(clock.laps) == {"TRL", "plain", "shared"}
    for name, laps in clock.laps.items():
        assert len(laps) == 3, name
        assert all(lap[phase] > 0 for lap in laps for phase in PHASES), name


def test_the_clock_changes_nothing(raced):
    from benchmarks.grpo.race import InOrder

    base, dataset, _, _, trained = raced
    world = InOrder(dataset, [length], prompts_per_step=FEW.prompts_per_step, group_size=FEW.group_size,
                    max_new_tokens=FEW.max_new_tokens)
    agent = GRPO(LanguagePolicy(copy.deepcopy(base.model), base.tokenizer, share_prefixes=True), world, FEW, 0)
    list(agent.steps())
    for name, value in agent.policy.state_dict().items():
        assert torch.equal(value, trained["shared"].state_dict()[name]), name


def test_trl_runs_as_it_is_told(tmp_path):
    pytest.importorskip("trl", reason="the [scale] extra is not installed")
    from benchmarks.grpo.race import prompts_in_order
    from benchmarks.grpo.trl_side import trl_trainer

    trainer = trl_trainer(tiny_policy(), prompts_in_order(0, 12), length, FEW, 0, tmp_path)
    trainer.train()
    optimizer = trainer.optimizer.optimizer
    settings = {name: optimizer.param_groups[0][name] for name in ("lr", "weight_decay", "betas", "eps", "fused")}
    assert type(optimizer) is torch.optim.AdamW
    assert settings == {"lr": 1e-4, "weight_decay": 0.0, "betas": (0.9, 0.999), "eps": 1e-8, "fused": True}
    assert not trainer.model.is_gradient_checkpointing
    assert trainer.model.dtype == torch.float32
    assert trainer.generation_config.top_k == 0
    assert trainer.generation_config.max_new_tokens == FEW.max_new_tokens


def test_endless_policies_write_until_the_limit(tmp_path):
    pytest.importorskip("trl", reason="the [scale] extra is not installed")
    from benchmarks.grpo.race import prompts_in_order
    from benchmarks.grpo.sweep import endless_policy, sevens
    from benchmarks.grpo.trl_side import trl_trainer
    from rlcore.lm import generate

    policy = endless_policy(0.1, positions=24)
    assert generate(policy, ["1+2="] * 8, max_new_tokens=16).mask.sum(-1).tolist() == [16] * 8
    trainer = trl_trainer(policy, prompts_in_order(0, 12), sevens, FEW, 0, tmp_path)
    trainer.train()
    assert trainer.state.log_history[-1]["completions/min_length"] == FEW.max_new_tokens


def test_loss_and_gradient_are_trls():
    pytest.importorskip("trl", reason="the [scale] extra is not installed")
    from benchmarks.grpo.agreement import agreement
    from benchmarks.grpo.race import prompts_in_order

    found = agreement(tiny_policy(), prompts_in_order(0, 12), length, FEW, 0, torch.float64)
    assert found.pop("clipped share") > 0.05  # the clip was at work
    assert all(difference < 2e-6 for difference in found.values()), found  # TRL's output layer is float32


def test_the_committed_result_can_be_shown(tmp_path):
    result = json.loads((RESULTS / "grpo_vs_trl.json").read_text(encoding="utf-8"))
    words = report(result)
    assert result["machine"]["threads"] == 1
    assert "after 300" in words
    assert len(result["training"]["runs"]) >= 5
    draw(result, tmp_path / "picture.png")
    assert (tmp_path / "picture.png").stat().st_size < 60_000
