"""The flight recorder: what it keeps, when it warns, and what Ctrl-C does."""

import functools
import json
import signal
import threading
import warnings

import pytest
from datasets import Dataset
from tiny_lm import tiny_policy

from rlcore.agents.grpo import GRPOConfig, train
from rlcore.recorder import PATIENCE, Recorder

DATA = Dataset.from_dict({"prompt": ["a", "b"]})
DEAD = {"frac_reward_zero_std": 1.0, "completions/clipped_ratio": 0.5}
CUT_OFF = {"frac_reward_zero_std": 0.5, "completions/clipped_ratio": 1.0}
HEALTHY = {"frac_reward_zero_std": 0.99, "completions/clipped_ratio": 0.99}


def rows(*kinds):
    return [dict(kind) | {"step": i + 1} for i, kind in enumerate(kinds)]


def press_ctrl_c(step, times=1):
    def observe(metrics):
        if metrics["step"] == step:
            for _ in range(times):
                signal.raise_signal(signal.SIGINT)

    return observe


def survives(test):
    """A Ctrl-C that comes through is a failure of this test, and not the end of pytest."""

    @functools.wraps(test)
    def guarded(*args, **kwargs):
        try:
            test(*args, **kwargs)
        except KeyboardInterrupt:
            pytest.fail("Ctrl-C came through")

    return guarded


@pytest.fixture(autouse=True)
def the_handler_is_put_back():
    before = signal.getsignal(signal.SIGINT)
    yield
    assert signal.getsignal(signal.SIGINT) is before


def test_it_keeps_what_the_steps_yield_and_what_the_observer_adds():
    seen = []

    def observe(metrics):
        seen.append(metrics["step"])
        metrics["accuracy"] = 0.5

    recorder = Recorder(observe).watch(iter(rows(HEALTHY, HEALTHY)))
    assert seen == [1, 2] and not recorder.interrupted
    assert recorder.history == [HEALTHY | {"step": 1, "accuracy": 0.5}, HEALTHY | {"step": 2, "accuracy": 0.5}]
    assert Recorder().watch([]).history == []


@pytest.mark.parametrize(
    ("symptom", "words"), [(DEAD, "every group is dead"), (CUT_OFF, "every completion is cut off")]
)
def test_a_symptom_is_named_once_after_some_patience(symptom, words):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Recorder().watch(rows(*[symptom] * (PATIENCE - 1)))  # not yet
        Recorder().watch(rows(*([symptom] * (PATIENCE - 1) + [HEALTHY]) * 3))  # never in a row
        Recorder().watch(rows(*[HEALTHY] * 20))
    with pytest.warns(UserWarning, match=words) as caught:
        recorder = Recorder().watch(rows(*[symptom] * 20))
    assert len(caught) == len(recorder.findings) == 1  # once
    assert "nothing can be learned" in str(caught[0].message)  # what it means
    advice = "Raise max_new_tokens" if symptom is CUT_OFF else "easier prompts"
    assert advice in str(caught[0].message)  # and what to do


def test_both_symptoms_are_two_warnings():
    with pytest.warns(UserWarning, match="every") as caught:
        Recorder().watch(rows(*[DEAD | CUT_OFF | {"frac_reward_zero_std": 1.0}] * 7))
    assert len(caught) == 2


@survives
def test_ctrl_c_ends_the_training_after_the_step():
    taken = []

    def steps():
        for row in rows(*[HEALTHY] * 5):
            if row["step"] == 3:
                signal.raise_signal(signal.SIGINT)  # in the middle of a step
            taken.append(row["step"])
            yield row

    recorder = Recorder().watch(steps())
    assert recorder.interrupted and taken == [1, 2, 3] and len(recorder.history) == 3
    recorder = Recorder(press_ctrl_c(2)).watch(rows(*[HEALTHY] * 5))
    assert recorder.interrupted and len(recorder.history) == 2


def test_a_second_ctrl_c_stops_at_once():
    recorder = Recorder(press_ctrl_c(2, times=2))
    with pytest.raises(KeyboardInterrupt):
        recorder.watch(rows(*[HEALTHY] * 5))
    assert len(recorder.history) == 2


@survives
def test_ctrl_c_while_the_last_state_is_saved_lets_it_be_saved():
    saved = []

    class Slow:
        every = 50

        def save(self, history):
            signal.raise_signal(signal.SIGINT)
            saved.append(len(history))

    assert len(Recorder(checkpoint=Slow()).watch(rows(HEALTHY, HEALTHY)).history) == 2
    assert saved == [2]


def test_an_error_in_a_step_or_an_observer_is_not_swallowed():
    def broken(metrics):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        Recorder(broken).watch(rows(HEALTHY))


def test_away_from_the_main_thread_it_leaves_signals_alone():
    found = []
    thread = threading.Thread(target=lambda: found.append(Recorder().watch(rows(HEALTHY, HEALTHY)).history))
    thread.start()
    thread.join(timeout=30)
    assert len(found[0]) == 2


def test_the_history_is_written_as_json_lines(tmp_path):
    path = tmp_path / "history.jsonl"
    path.write_text("old")
    recorder = Recorder().watch(rows(HEALTHY, DEAD))
    recorder.save(path)
    assert [json.loads(line) for line in path.read_text().splitlines()] == recorder.history
    assert [file.name for file in tmp_path.iterdir()] == ["history.jsonl"]


def grpo(**options):
    return GRPOConfig(steps=8, prompts_per_step=2, group_size=2, max_new_tokens=2, **options)


def zeros(prompts, **_):
    return [0.0] * len(prompts)


@survives
def test_training_ends_with_ctrl_c_and_returns_what_there_is(tmp_path):
    path = tmp_path / "run.safetensors"

    def length(prompts, completions, **_):
        return [float(len(text)) for text in completions]

    result = train(tiny_policy("ab"), DATA, [length], grpo(), observe=press_ctrl_c(3), checkpoint=path)
    assert result.interrupted and [row["step"] for row in result.history] == [1, 2, 3]
    assert path.is_file()
    with pytest.raises(KeyboardInterrupt):
        train(tiny_policy("ab"), DATA, [length], grpo(), observe=press_ctrl_c(2, times=2))


def test_training_in_which_nothing_can_be_learned_says_so():
    policy = tiny_policy("ab")
    policy.model.lm_head.weight.data[1] = 0.0  # EOS is like any other ...
    with pytest.warns(UserWarning, match="every group is dead") as caught:
        result = train(policy, DATA, [zeros], grpo())
    assert sum("every group is dead" in str(warning.message) for warning in caught) == 1
    assert len(result.history) == 8 and all(row["frac_reward_zero_std"] == 1 for row in result.history)
