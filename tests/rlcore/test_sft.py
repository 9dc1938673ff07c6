"""Supervised fine-tuning: which tokens are imitated, the loss, and when it stops."""

import signal

import pytest
import torch
from datasets import Dataset
from tiny_lm import alone, gradient, texts, tiny_policy, weights

from rlcore.lm import SFTConfig, completion_texts, generate, sft
from rlcore.lm.sft import SFT, pack_examples
from rlcore.losses import masked_mean
from rlcore.recorder import run as record

DATA = Dataset.from_dict({"prompt": ["a", "abb", "bb"], "completion": ["ba", "b", "aaa"]})


def run(policy, seed=0, accuracy=None, **options):
    config = {"batch_size": 8, "lr": 1e-2, "warmup_steps": 2, "max_steps": 5, "evaluate_every": 2} | options
    return list(sft(policy, DATA, SFTConfig(**config), seed, accuracy))


@pytest.mark.parametrize("pad_is_eos", [False, True])
def test_prompt_completion_and_eos_by_hand(pad_is_eos):
    policy = tiny_policy("ab", pad_is_eos=pad_is_eos)
    tokens, mask = pack_examples(policy.tokenizer, list(DATA["prompt"]), list(DATA["completion"]))
    a, b, eos, pad = 2, 3, 1, policy.tokenizer.pad_token_id
    assert tokens.tolist() == [[a, b, a, eos, pad, pad], [a, b, b, b, eos, pad], [b, b, a, a, a, eos]]
    # action t is token t + 1: the completion and its EOS, not the prompt, not the padding
    assert mask.int().tolist() == [[1, 1, 1, 0, 0], [0, 0, 1, 1, 0], [0, 1, 1, 1, 1]]


def test_there_must_be_something_to_pack():
    with pytest.raises(ValueError, match="nothing to pack"):
        pack_examples(tiny_policy("ab").tokenizer, [], [])


def test_what_a_policy_wrote_is_packed_as_it_was_written():
    policy = tiny_policy("ab")
    text = generate(policy, ["a"] * 32, max_new_tokens=4, generator=torch.Generator().manual_seed(0))
    words = completion_texts(text, policy.tokenizer)
    seen = 0
    for i, (prompt, completion) in enumerate(texts(text)):
        if text.terminated[i].any() and len(words[i]) == len(completion) - 1 > 0:  # no pad among what was sampled
            tokens, mask = pack_examples(policy.tokenizer, ["a"], [words[i]])
            assert tokens[0].tolist() == prompt + completion
            assert torch.equal(mask[0], text.mask[i, : mask.shape[1]]) and mask.sum() == text.mask[i].sum()
            seen += 1
    assert seen > 0


def test_the_loss_is_minus_the_mean_log_prob_of_the_completions():
    policy = tiny_policy("ab")
    tokens, mask = pack_examples(policy.tokenizer, list(DATA["prompt"]), list(DATA["completion"]))
    log_probs, _ = policy.evaluate_actions(tokens[:, :-1], tokens[:, 1:], mask)
    loss = -masked_mean(log_probs, mask)
    pieces = [
        alone(policy.model, row[: int(m.nonzero()[-1]) + 2].tolist())[int(m.nonzero()[0]) :]
        for row, m in zip(tokens, mask, strict=True)
    ]
    reference = -torch.cat(pieces).mean()
    torch.testing.assert_close(loss, reference, rtol=0, atol=1e-13)
    torch.testing.assert_close(gradient(policy, loss), gradient(policy, reference), rtol=0, atol=1e-13)


def test_it_learns_and_the_same_seed_learns_the_same():
    policies = [tiny_policy("ab", dropout=0.5, dtype=torch.float32) for _ in range(3)]
    histories = [run(p, seed, max_steps=80) for p, seed in zip(policies, (0, 0, 1), strict=True)]
    assert [row["step"] for row in histories[0]] == list(range(80))
    assert histories[0][-1]["loss"] < 0.1 < histories[0][0]["loss"]
    assert histories[0] == histories[1] and torch.equal(weights(policies[0]), weights(policies[1]))
    assert histories[0] != histories[2]
    written = completion_texts(generate(policies[0], list(DATA["prompt"]), max_new_tokens=5, greedy=True),
                               policies[0].tokenizer)
    assert written == list(DATA["completion"])
    assert policies[0].model.training  # as it was found


def test_warm_up_raises_the_learning_rate_step_by_step():
    # Adam's first steps are ± lr per weight, whatever the gradient: the largest change is lr · (step + 1) / 4
    policy = tiny_policy("ab")
    steps = sft(policy, DATA, SFTConfig(batch_size=8, lr=1e-3, warmup_steps=4, max_steps=2), 0)
    before = weights(policy)
    next(steps)
    assert (weights(policy) - before).abs().max().item() == pytest.approx(1e-3 / 4, rel=0.02)


def test_every_step_has_a_gradient_of_its_own():
    policy, one = tiny_policy("ab"), DATA.select([0])  # one example: every batch is the same
    tokens, mask = pack_examples(policy.tokenizer, list(one["prompt"]), list(one["completion"]))
    steps = sft(policy, one, SFTConfig(batch_size=3, max_grad_norm=1e9), 0)
    for _ in range(3):
        log_probs, _ = policy.evaluate_actions(tokens[:, :-1], tokens[:, 1:], mask)
        expected = gradient(policy, -masked_mean(log_probs, mask))
        next(steps)
        got = torch.cat([weights.grad.flatten() for weights in policy.parameters()])
        torch.testing.assert_close(got, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("limit", "norm"), [(0.01, 0.01), (1e9, None)])
def test_gradients_are_limited(limit, norm):
    policy = tiny_policy("ab")
    next(sft(policy, DATA, SFTConfig(batch_size=8, max_grad_norm=limit), 0))
    left = torch.cat([weights.grad.flatten() for weights in policy.parameters()]).norm().item()
    assert left == pytest.approx(norm, rel=1e-3) if norm else left > 0.1


def test_training_stops_where_the_accuracy_is_reached_also_before_the_first_step():
    policy = tiny_policy("ab")
    before = weights(policy)
    assert run(policy, accuracy=lambda policy: 1.0) == [{"step": 0, "accuracy": 1.0}]
    assert torch.equal(weights(policy), before)
    measured = iter([0.2, 0.4, 0.7])
    rows = run(policy, accuracy=lambda policy: next(measured), max_steps=50, target_accuracy=0.5)
    assert [row["step"] for row in rows] == [0, 1, 2, 3, 4]
    assert [row.get("accuracy") for row in rows] == [0.2, None, 0.4, None, 0.7]
    assert ["loss" in row for row in rows] == [True, True, True, True, False]


def test_whatever_was_measured_is_told():
    counted = []

    def accuracy(policy):
        counted.append(len(counted))
        return 0.1 * len(counted)

    rows = run(tiny_policy("ab"), accuracy=accuracy, max_steps=4)
    assert [row["accuracy"] for row in rows if "accuracy" in row] == pytest.approx([0.1, 0.2, 0.3])
    assert len(counted) == 3 and rows[-1]["step"] == 4  # the last look is after the last step


def test_what_cannot_be_trained_is_named():
    for name in ("batch_size", "lr", "warmup_steps", "max_steps", "evaluate_every", "max_grad_norm"):
        with pytest.raises(ValueError, match=f"{name} must be a positive number, but is 0"):
            SFTConfig(**{name: 0})
    with pytest.raises(ValueError, match=r"target_accuracy must lie in \[0, 1\], but is 90"):
        SFTConfig(target_accuracy=90)
    policy = tiny_policy("ab", positions=5)
    with pytest.raises(ValueError, match="an example of 6 tokens, but the model has only 5 positions"):
        list(sft(policy, DATA, SFTConfig(), 0))
    with pytest.raises(ValueError, match="dataset is empty"):
        list(sft(policy, DATA.select([]), SFTConfig(), 0))
    with pytest.raises(ValueError, match=r"must have the columns 'prompt' and 'completion', but has \['prompt'"):
        list(sft(policy, DATA.remove_columns("completion"), SFTConfig(), 0))


def test_stopped_and_resumed_equals_uninterrupted_to_the_bit(tmp_path):
    config = SFTConfig(batch_size=4, lr=1e-2, warmup_steps=3, max_steps=9, evaluate_every=4)

    def looked(policy):
        return 0.5

    def train(observe=None, **options):
        agent = SFT(tiny_policy("ab"), DATA, config, seed=3)
        return record(agent, agent.steps(looked), observe, **options)

    whole = train()
    press = signal.raise_signal
    stopped = train(lambda metrics: metrics["step"] == 4 and press(signal.SIGINT), checkpoint=tmp_path / "c")
    assert stopped.interrupted and len(stopped.history) == 5
    resumed = train(checkpoint=tmp_path / "c", resume=True)
    assert resumed.history == whole.history and len(whole.history) == 9
    for a, b in zip(resumed.policy.parameters(), whole.policy.parameters(), strict=True):
        assert torch.equal(a, b)
