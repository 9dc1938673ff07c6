"""The sweep after GRPO: its file holds today's configs and what chapter 17 says of it, and a short run is a run."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from benchmarks._after_grpo import LIMIT, Begun, finished_truth
from benchmarks._record import rounded
from benchmarks._sweep import runs_of
from benchmarks.after_grpo import CONDITIONS, OUTPUT, PARTS, SEEDS, SETTINGS, one_run, summary

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def swept():
    return json.loads(OUTPUT.read_text(encoding="utf-8"))


def ends(swept, part, variant, name):
    return np.array([run[name][-1] for run in runs_of(swept, part=part, variant=variant)])


def test_what_was_swept_is_today_s_config(swept):
    assert {name: swept[name] for name in SETTINGS} == json.loads(json.dumps(rounded(SETTINGS)))
    assert len(swept["runs"]) == len(CONDITIONS) and all(runs_of(swept, **condition) for condition in CONDITIONS)
    assert "RLOO" in summary(swept)


def test_only_the_mean_per_sequence_makes_it_ramble_after_a_lie(swept):
    gap = {name: ends(swept, "begun", name, "after_false") - ends(swept, "begun", name, "after_true")
           for name in PARTS["begun"]}
    assert all(len(values) == len(SEEDS) for values in gap.values())
    assert gap["sequence"].min() > 2
    assert max(abs(gap["token"]).max(), abs(gap["constant"]).max()) < 1


def test_with_one_update_per_batch_nothing_is_cut_and_with_several_something_is(swept):
    assert all(max(run["clip_ratio"]) == 0 for run in runs_of(swept, part="difficulty"))
    assert all(min(run["clip_ratio"]) > 0 for run in runs_of(swept, part="clip"))
    cut = {name: np.array([run["clip_ratio"] for run in runs_of(swept, part="family", variant=name)]).mean()
           for name in ("GRPO", "GSPO")}
    assert cut["GSPO"] > 5 * cut["GRPO"]


def test_resampling_is_better_step_for_step_and_dearer(swept):
    better = ends(swept, "sampling", "resampled", "right") - ends(swept, "sampling", "as they come", "right")
    assert better.min() > 0
    dearer = ends(swept, "sampling", "resampled", "num_tokens") / ends(swept, "sampling", "as they come", "num_tokens")
    assert dearer.min() > 1.3


def test_masked_replies_are_still_unlearned_but_less(swept):
    left = {name: ends(swept, "overlong", name, "cut") for name in PARTS["overlong"]}
    assert left["masked"].max() < 0.1 and (left["masked"] > left["learned from"]).all()


def test_what_chapter_17_says_in_words_is_in_the_file(swept):
    # "begun" and the masked replies have tests above; what follows is about addition
    t_one, t_four = 2.776, 4.315  # Student's t for five seeds: 95 % for one comparison, and for four at once

    def series(part, variant, name):
        return np.array([run[name] for run in runs_of(swept, part=part, variant=variant)])

    def t(difference):
        return difference.mean(0) / (difference.std(0, ddof=1) / len(difference) ** 0.5)

    def trained(part, a, b, name):  # a − b, mean over training, [seeds, ...]
        return (series(part, a, name) - series(part, b, name))[:, 1:].mean(1)

    by_difficulty = trained("difficulty", "std", "no std", "by_base_chance")  # [seeds, 6]
    assert (np.abs(t(by_difficulty)) <= t_one).all()  # inconclusive, six times
    assert (trained("clip", "(.2, never)", "(.2, .2)", "pass@8") < 0).all()
    assert (trained("clip", "(never, .2)", "(.2, .2)", "entropy") > 0).all()
    assert (trained("clip", "(never, .2)", "(.2, .2)", "right") < 0).sum() == 4
    for name in ("entropy", "right", "pass@8"):
        assert abs(t(trained("clip", "(.2, .28)", "(.2, .2)", name))) < t_one
    for name in ("entropy", "right"):  # without a lower bound: "at the end all meet"
        end = ends(swept, "clip", "(never, .2)", name) - ends(swept, "clip", "(.2, .2)", name)
        assert abs(t(end)) < t_one

    family = list(PARTS["family"])
    budget = min(series("family", name, "num_tokens")[:, -1].min() for name in family)
    right = {name: np.array([np.interp(budget, run["num_tokens"], run["right"])
                             for run in runs_of(swept, part="family", variant=name)]) for name in family}
    ahead = {name: t(right[name] - right["GRPO"]) for name in family if name != "GRPO"}
    assert (right["DAPO"] > right["GRPO"]).all() and ahead["DAPO"] > t_one  # by itself better
    assert len(ahead) == 4 and max(map(abs, ahead.values())) <= t_four  # as one of four inconclusive
    assert abs(t(right["RLOO"] - right["DAPO"])) < t_one and abs(ahead["GSPO"]) < t_one


def test_the_gradient_is_shortened_in_the_runs_on_addition(swept):
    for part in ("difficulty", "clip", "sampling"):
        assert min(min(run["grad_norm"]) for run in runs_of(swept, part=part)) > 1  # means of some steps
    norm = {name: np.mean([run["grad_norm"] for run in runs_of(swept, part="family", variant=name)])
            for name in PARTS["family"]}
    assert min(norm.values()) == norm["Dr. GRPO"] > 1


def test_the_begun_world_compares_six_truths_with_six_lies_to_the_same_question():
    world = Begun()
    for i in range(0, len(world.prompts), 12):
        group, worth = world.prompts[i : i + 12], world.worth[i : i + 12]
        assert len({text.partition("?")[0] for text in group}) == 1 and worth == [1.0] * 6 + [-1.0] * 6
        assert len(set(group[:6])) == 1 and len(set(group[6:])) == 3
    assert "the apple is red" in world.prompts[0]


def test_a_truth_must_be_finished_to_be_paid():
    prompt, truth = "user what is the color of the apple ? bot", "the apple is red"
    long = " ".join([truth, *[", as everyone can see"] * 3])
    assert len(long.split()) >= LIMIT
    lie = "the apple is blue ."
    assert finished_truth([prompt] * 3, [f"{truth} .", " ".join(long.split()[:LIMIT]), lie]) == [1.0, 0.0, 0.0]


@pytest.mark.parametrize("part, variant", [("begun", "constant"), ("overlong", "masked"), ("family", "RLOO")])
def test_a_run_looks_before_and_after(part, variant, monkeypatch):
    short = replace(PARTS[part][variant], steps=10)
    monkeypatch.setitem(PARTS[part], variant, short)
    run = one_run(part, variant, seed=0)
    assert run["step"][0] == 0 and run["step"][-1] == 10 and run["cpu_seconds"] > 0
    assert run["num_tokens"][0] == 0 < run["num_tokens"][-1]
    assert all(len(run[name]) == len(run["step"]) - 1 for name in ("clip_ratio", "grad_norm"))
