"""Stop and go on: to the bit as if nothing had happened, and a sentence for every file that cannot be used."""

import json
import signal

import pytest
import torch
from datasets import Dataset
from safetensors.torch import load_file, save_file
from tiny_lm import tiny_policy, weights

from rlcore.agents.grpo import GRPO, GRPOConfig, train
from rlcore.checkpoint import Checkpoint, CheckpointError, _join, _split
from rlcore.lm import Prompts

DATA = Dataset.from_dict({"prompt": ["a", "bab", "bb", "ab"]})
CONFIGS = {
    "plain": {},
    "KL in the loss, epochs, minibatches and micro-batches": {
        "kl_coef": 0.1, "kl_kind": "k3", "epochs": 2, "minibatch_size": 3, "micro_batch_size": 2, "clip": (0.2, 0.28),
    },
    "KL in the reward": {"kl_coef": 0.1, "kl_kind": "k1", "kl_in": "reward", "reduction": "sequence"},
    "Dr. GRPO": {"reduction": "constant", "normalize": False, "final_lr": 0.0, "skip_dead_groups": False},
}  # fmt: skip


def some_b(prompts, completions, **_):
    return [text.count("b") / (1 + len(text)) for text in completions]


def config(**options):
    small = {"steps": 5, "prompts_per_step": 2, "group_size": 4, "max_new_tokens": 3, "lr": 1e-3}
    return GRPOConfig(**(small | options))


def policy(seed=0, **options):
    return tiny_policy("ab", **({"seed": seed, "dtype": torch.float32} | options))


def stop_at(step):
    def observe(metrics):
        if metrics["step"] == step:
            signal.raise_signal(signal.SIGINT)

    return observe


def run(path=None, settings=None, seed=0, start=None, **options):
    try:
        return train(start or policy(), DATA, [some_b], settings or config(), seed, checkpoint=path, **options)
    except KeyboardInterrupt:
        pytest.fail("Ctrl-C came through")  # and does not end pytest


def state(path):
    with open(path, "rb") as file:
        return file.read()


def same(a, b):
    """Equal to the bit, also where it is nested."""
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


@pytest.mark.parametrize("name", CONFIGS)
def test_stopped_and_resumed_equals_uninterrupted_to_the_bit(tmp_path, name):
    settings = config(**CONFIGS[name])
    whole = run(tmp_path / "whole", settings)
    first = run(tmp_path / "parts", settings, observe=stop_at(2))
    assert first.interrupted and len(first.history) == 2
    assert not torch.equal(weights(first.policy), weights(whole.policy))
    torch.manual_seed(99)  # nothing global matters, nor what the policy was when it resumed
    other = policy(seed=7)
    second = run(tmp_path / "parts", settings, start=other, resume=True, observe=stop_at(3))
    third = run(tmp_path / "parts", settings, start=policy(seed=8), resume=True)
    assert second.interrupted and len(second.history) == 3 and not third.interrupted
    assert third.history == whole.history and len(whole.history) == 5
    assert torch.equal(weights(third.policy), weights(whole.policy))
    # optimiser, random generator, reference, counters, history: the files are the same
    assert same(load_file(tmp_path / "parts"), load_file(tmp_path / "whole"))
    assert state(tmp_path / "parts") == state(tmp_path / "whole")
    if settings.kl_coef:
        assert any(name.startswith("reference/") for name in load_file(tmp_path / "parts"))


def test_a_finished_run_resumes_to_itself(tmp_path):
    whole = run(tmp_path / "run")
    again = run(tmp_path / "run", start=policy(seed=3), resume=True)
    assert again.history == whole.history and torch.equal(weights(again.policy), weights(whole.policy))


def test_it_is_saved_now_and_then_and_at_the_end(tmp_path):
    saved = []

    class Spy(Checkpoint):
        def save(self, history):
            super().save(history)
            saved.append(len(history))

    from rlcore.recorder import Recorder

    settings = config()
    sizes = {name: getattr(settings, name) for name in ("prompts_per_step", "group_size", "max_new_tokens")}
    agent = GRPO(policy(), Prompts(DATA, [some_b], **sizes), settings, 0)
    Recorder(checkpoint=Spy(tmp_path / "deep" / "run", agent, every=2)).watch(agent.steps())
    assert saved == [2, 4, 5]
    assert [file.name for file in (tmp_path / "deep").iterdir()] == ["run"]  # no temporary file is left


def test_a_crash_while_saving_leaves_the_old_file(tmp_path, monkeypatch):
    run(tmp_path / "run", observe=stop_at(2))
    before = state(tmp_path / "run")

    def crash(*_):
        raise OSError("disk full")

    monkeypatch.setattr("os.fsync", crash)
    with pytest.raises(OSError, match="disk full"):
        run(tmp_path / "run", resume=True)
    assert state(tmp_path / "run") == before
    monkeypatch.undo()
    assert len(run(tmp_path / "run", resume=True).history) == 5


def test_what_an_observer_adds_survives(tmp_path):
    def observe(metrics):
        metrics["accuracy"] = torch.tensor(0.25)[None].numpy()[0] if metrics["step"] == 1 else 0.5
        if metrics["step"] == 2:
            signal.raise_signal(signal.SIGINT)

    run(tmp_path / "run", observe=observe)
    resumed = run(tmp_path / "run", resume=True)
    assert [row.get("accuracy") for row in resumed.history] == [0.25, 0.5, None, None, None]
    with pytest.raises(TypeError, match="metrics must be plain numbers or texts, but hold a Tensor"):
        run(tmp_path / "run", observe=lambda metrics: metrics.update(weights=torch.zeros(3)))


def test_nested_states_come_back_as_they_were():
    tensors = {0: torch.arange(3), "x/y": {"z": torch.tensor(2.0)}, "t": torch.ones(2, 3).T}
    nested = {"a": tensors, "n": None, "l": [1, 2.5, "s"]}
    tensors, rest = _split(nested)
    assert len(tensors) == 3 and all(tensor.is_contiguous() for tensor in tensors.values())
    assert same(_join(tensors, json.loads(json.dumps(rest))), nested)


def truncate(path):
    path.write_bytes(state(path)[:-10])


def empty(path):
    path.write_bytes(b"")


def text(path):
    path.write_text("not a checkpoint at all")


def foreign(path):
    save_file({"weights": torch.zeros(3)}, path)


def foreign_metadata(path):
    save_file({"weights": torch.zeros(3)}, path, metadata={"rlcore": json.dumps({"format": "something else"})})


def broken_metadata(path):
    save_file({"weights": torch.zeros(3)}, path, metadata={"rlcore": "{"})


def wrong_metadata(path):
    save_file({"weights": torch.zeros(3)}, path, metadata={"rlcore": "[1, 2]"})


@pytest.mark.parametrize(
    ("damage", "message", "advice"),
    [
        (lambda path: path.unlink(), "there is no checkpoint", "start without resuming"),
        (truncate, "is damaged or truncated", "Delete it and start afresh"),
        (empty, "is damaged or truncated", "Delete it and start afresh"),
        (text, "is damaged or truncated", "Delete it and start afresh"),
        (broken_metadata, "is damaged or truncated", "Delete it and start afresh"),
        (foreign, "is a safetensors file, but not a checkpoint of this course", "Name another file"),
        (foreign_metadata, "is a safetensors file, but not a checkpoint of this course", "Name another file"),
        (wrong_metadata, "is a safetensors file, but not a checkpoint of this course", "Name another file"),
    ],
)
def test_a_file_that_is_no_checkpoint_is_named_with_what_to_do(tmp_path, damage, message, advice):
    path = tmp_path / "run.safetensors"
    run(path, observe=stop_at(1))
    damage(path)
    start = policy()
    before = weights(start)
    with pytest.raises(CheckpointError) as error:
        run(path, start=start, resume=True)
    assert str(path) in str(error.value) and message in str(error.value) and advice in str(error.value)
    assert torch.equal(weights(start), before)


def test_another_run_is_named_with_what_differs(tmp_path):
    path = tmp_path / "run.safetensors"
    run(path, observe=stop_at(1))
    with pytest.raises(CheckpointError) as error:
        run(path, config(lr=2e-2, clip=(0.1, 0.2)), seed=3, resume=True)
    words = str(error.value)
    assert str(path) in words and "belongs to another run" in words and "start afresh" in words
    assert "lr is 0.001 there and 0.02 here" in words and "seed is 0 there and 3 here" in words
    assert "clip is 0.2 there and [0.1, 0.2] here" in words and "epochs" not in words


def test_another_temperature_is_another_run(tmp_path):
    run(tmp_path / "run", observe=stop_at(1))
    with pytest.raises(CheckpointError, match=r"temperature is 1.0 there and 0.7 here"):
        run(tmp_path / "run", start=policy(temperature=0.7), resume=True)


@pytest.mark.parametrize("other", [{"layers": 2}, {"characters": "abc"}, {"positions": 20}, {"layers": 2, "seed": 5}])
def test_another_model_is_named_and_left_as_it_was(tmp_path, other):
    path = tmp_path / "run.safetensors"
    run(path, config(kl_coef=0.1), observe=stop_at(1))
    start = tiny_policy(**({"characters": "ab", "dtype": torch.float32, "seed": 4} | other))
    before = weights(start)
    with pytest.raises(CheckpointError) as error:
        run(path, config(kl_coef=0.1), start=start, resume=True)
    words = str(error.value)
    assert str(path) in words and "does not fit this model" in words
    assert "Resume with the model it was made with, or start afresh" in words
    name = {"characters": "wte", "positions": "wpe"}.get(next(iter(other)), "h.1")
    assert name in words  # the weight that does not fit
    assert torch.equal(weights(start), before)  # not half of it


def test_a_checkpoint_is_a_plain_safetensors_file(tmp_path):
    run(tmp_path / "run", observe=stop_at(1))
    tensors = load_file(tmp_path / "run")
    assert {name.split("/")[0] for name in tensors} == {"policy", "optimizer", "generator"}


def test_a_new_run_steps_aside_for_the_checkpoint_of_an_old_one(tmp_path):
    file = tmp_path / "run.safetensors"
    run(file)
    before = file.read_bytes()
    run(file, seed=1)
    assert (tmp_path / "run.safetensors.previous").read_bytes() == before != file.read_bytes()
