"""A sweep runs what is missing and nothing twice, and does not mix what was made under different settings."""

import json
import time

import pytest

from benchmarks import _record
from benchmarks._sweep import block_means, on_the_clock, runs_of, sweep

CONDITIONS = [{"part": part, "seed": seed} for seed in range(2) for part in ("with", "without")]


@pytest.fixture
def file(tmp_path):
    return tmp_path / "parts.json"


def run(file, one_run, *, conditions=CONDITIONS, settings=None, arguments=()):
    sweep("What parts do.", file, settings or {"lr": 0.1}, conditions, one_run, lambda r: f"{len(r['runs'])} runs",
          list(arguments))


def test_what_is_missing_is_run_once_and_in_order(file, capsys):
    calls = []

    def one_run(part, seed):
        calls.append((part, seed))
        return {"score": seed}

    run(file, one_run, conditions=CONDITIONS[:2])
    run(file, one_run)
    assert calls == [(c["part"], c["seed"]) for c in CONDITIONS]
    result = json.loads(file.read_text(encoding="utf-8"))
    assert result["lr"] == 0.1 and result["recipe"]["command"] == "python -m benchmarks.parts"
    assert [r["score"] for r in runs_of(result, part="with")] == [0, 1]
    assert capsys.readouterr().out.endswith("4 runs\n")


def test_a_run_that_fails_loses_none_of_those_before(file):
    def one_run(part, seed):
        if seed == 1:
            raise RuntimeError("out of luck")
        return {"score": 0}

    with pytest.raises(RuntimeError, match="luck"):
        run(file, one_run)
    assert len(json.loads(file.read_text(encoding="utf-8"))["runs"]) == 2


def test_a_recipe_can_do_without_what_a_sweep_does_not_need(file, monkeypatch):
    monkeypatch.setattr(_record, "PACKAGES", ("torch", "not-installed"))
    run(file, lambda part, seed: {}, conditions=CONDITIONS[:1])
    versions = json.loads(file.read_text(encoding="utf-8"))["recipe"]["versions"]
    assert versions["torch"] and versions["not-installed"] is None


def test_show_runs_nothing(file, capsys):
    run(file, None, arguments=["--show"])
    assert capsys.readouterr().out == "0 runs\n" and not file.exists()


def test_other_settings_are_not_mixed_in(file):
    run(file, lambda part, seed: {}, conditions=CONDITIONS[:1])
    with pytest.raises(ValueError, match=r"lr in parts\.json is 0\.1, but is now 0\.2"):
        run(file, lambda part, seed: {}, settings={"lr": 0.2})
    run(file, lambda part, seed: {}, settings={"lr": 0.2}, arguments=["--show"])  # to look is always allowed


def test_a_pair_is_the_same_setting_before_and_after_it_was_written(file):
    for conditions in (CONDITIONS[:1], CONDITIONS[:2]):  # a new file, and one that is read again
        run(file, lambda part, seed: {}, conditions=conditions, settings={"clip": (0.2, 0.28)})
    assert len(json.loads(file.read_text(encoding="utf-8"))["runs"]) == 2


def test_the_clock_runs_in_the_steps_only():
    def work(seconds):
        until = time.process_time() + seconds
        while time.process_time() < until:
            pass

    def steps():
        for step in range(3):
            work(0.02)
            yield {"step": step}

    seen = []
    for metrics in on_the_clock(steps()):
        seen.append(metrics)
        work(0.2)
    assert [metrics["step"] for metrics in seen] == [0, 1, 2]
    assert 0.06 <= seen[-1]["cpu_seconds"] < 0.2  # three times .02, and none of the .6 between


def test_runs_come_by_seed_so_that_conditions_can_be_subtracted():
    result = {"runs": [{"part": "with", "seed": seed} for seed in (2, 0, 1)] + [{"part": "without", "seed": 0}]}
    assert [run["seed"] for run in runs_of(result, part="with")] == [0, 1, 2]
    assert [run["part"] for run in runs_of(result, seed=0)] == ["with", "without"]


def test_block_means_by_hand():
    history = [{"reward": 1.0}, {"reward": 3.0, "clip_ratio": 0.5}, {"reward": 5.0}]
    assert block_means(history, 2, ["reward", "clip_ratio"]) == {"reward": [2.0, 5.0], "clip_ratio": [0.25, 0.0]}
