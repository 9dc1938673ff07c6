"""Pretraining: which tokens count and how much, the loss, the cycle of the learning rate, stopping and resuming."""

import signal

import pytest
import torch
from datasets import Dataset
from tiny_lm import alone, gradient, tiny_policy, weights

from rlcore.lm import PretrainingConfig, pretrain
from rlcore.lm.pretraining import Pretraining, pack_texts
from rlcore.recorder import run as record

# one character is one token here: a 2, b 3, <eos> 1, <pad> 0
CORPUS = Dataset.from_dict({"text": ["abba<eos>b", "ab", "bb<eos>aa"]})
A, B, EOS, PAD = 2, 3, 1, 0


def run(policy, seed=0, **options):
    config = {"steps": 5, "batch_size": 8, "lr": 1e-2, "reaction_weight": 4.0} | options
    return list(pretrain(policy, CORPUS, PretrainingConfig(**config), seed))


def test_whole_texts_by_hand():
    tokens, counts = pack_texts(tiny_policy("ab").tokenizer, list(CORPUS["text"]), reaction_weight=4.0)
    assert tokens.tolist() == [[A, B, B, A, EOS, B], [A, B, PAD, PAD, PAD, PAD], [B, B, EOS, A, A, PAD]]
    # targets from the second token on: EOS itself counts 1, what comes after it 4, padding 0
    assert counts.tolist() == [[1, 1, 1, 1, 4], [1, 0, 0, 0, 0], [1, 1, 4, 4, 0]]


def test_padding_is_known_by_the_length_also_where_pad_is_eos():
    policy = tiny_policy("ab", pad_is_eos=True)
    tokens, counts = pack_texts(policy.tokenizer, ["abba<eos>b", "ab", "a<eos>"], reaction_weight=4.0)
    assert tokens.tolist() == [[A, B, B, A, EOS, B], [A, B, EOS, EOS, EOS, EOS], [A, EOS, EOS, EOS, EOS, EOS]]
    assert counts.tolist() == [[1, 1, 1, 1, 4], [1, 0, 0, 0, 0], [1, 0, 0, 0, 0]]


def test_the_loss_is_the_weighted_mean_over_all_tokens_but_the_first():
    policy = tiny_policy("ab")
    agent = Pretraining(policy, CORPUS, PretrainingConfig(steps=9, batch_size=16, reaction_weight=4.0), seed=3)
    rows = torch.randint(3, (16,), generator=torch.Generator().manual_seed(3)).tolist()
    assert set(rows) == {0, 1, 2}
    texts = [[A, B, B, A, EOS, B], [A, B], [B, B, EOS, A, A]]
    counts = [[1, 1, 1, 1, 4], [1], [1, 1, 4, 4]]
    total = sum((alone(policy.model, texts[i]) * torch.tensor(counts[i])).sum() for i in rows)
    expected = -total / sum(sum(counts[i]) for i in rows)
    direction = gradient(policy, expected)
    for _ in range(2):  # a second step must not pile its gradient on the first one's
        before = {name: x.detach().clone() for name, x in policy.model.named_parameters()}
        agent.generator.manual_seed(3)
        assert agent.learn() == pytest.approx(expected.item(), abs=1e-12)
        got = torch.cat([x.grad.flatten() for x in policy.parameters()])
        torch.testing.assert_close(got, direction, rtol=0, atol=1e-12)
        policy.model.load_state_dict(before, strict=False)  # back to where the gradient was computed


def test_without_reactions_nothing_weighs_more():
    agents = [Pretraining(tiny_policy("ab"), CORPUS.select([1]), PretrainingConfig(steps=2, reaction_weight=w), 0)
              for w in (0.0, 1.0, 4.0)]
    assert len({agent.learn() for agent in agents}) == 1


def test_the_learning_rate_rises_for_a_tenth_of_the_steps_and_falls_for_the_rest():
    rates = [row["lr"] for row in run(tiny_policy("ab"), steps=40, lr=1e-2)]
    assert len(rates) == 40 and max(rates) == pytest.approx(1e-2) == pytest.approx(rates[3])  # steps 0..3, then down
    assert rates[0] == pytest.approx(1e-2 / 25) and rates[:4] == sorted(rates[:4])
    assert rates[3:] == sorted(rates[3:], reverse=True) and rates[-1] < 1e-6
    # Adam's first step is ± lr per weight, whatever the gradient (and weight decay is lr · .01 · weight)
    policy = tiny_policy("ab")
    before = weights(policy)
    next(pretrain(policy, CORPUS, PretrainingConfig(steps=40, lr=1e-2), 0))
    assert (weights(policy) - before).abs().max().item() == pytest.approx(1e-2 / 25, rel=0.02)


def test_it_learns_and_the_same_seed_learns_the_same():
    policies = [tiny_policy("ab", dropout=0.5, dtype=torch.float32) for _ in range(3)]
    histories = [run(p, seed, steps=60) for p, seed in zip(policies, (0, 0, 1), strict=True)]
    assert [row["step"] for row in histories[0]] == list(range(60))
    assert histories[0][-1]["loss"] < 0.5 * histories[0][0]["loss"]
    assert histories[0] == histories[1] and torch.equal(weights(policies[0]), weights(policies[1]))
    assert histories[0] != histories[2] and policies[0].model.training


def test_stopped_and_resumed_equals_uninterrupted_to_the_bit(tmp_path):
    config = PretrainingConfig(steps=9, batch_size=4, lr=1e-2, reaction_weight=2.0)

    def train(observe=None, **options):
        agent = Pretraining(tiny_policy("ab"), CORPUS, config, seed=3)
        return record(agent, agent.steps(), observe, **options)

    whole = train()
    press = signal.raise_signal
    stopped = train(lambda metrics: metrics["step"] == 4 and press(signal.SIGINT), checkpoint=tmp_path / "c")
    assert stopped.interrupted and len(stopped.history) == 5
    resumed = train(checkpoint=tmp_path / "c", resume=True)
    assert resumed.history == whole.history and len(whole.history) == 9
    assert torch.equal(weights(resumed.policy), weights(whole.policy))


def test_what_cannot_be_trained_is_named():
    for name in ("steps", "batch_size", "lr"):
        with pytest.raises(ValueError, match=f"{name} must be a positive number, but is 0"):
            PretrainingConfig(**{name: 0})
    with pytest.raises(ValueError, match="reaction_weight must be at least 0, but is -1"):
        PretrainingConfig(reaction_weight=-1)
    config = PretrainingConfig()
    with pytest.raises(ValueError, match="corpus has a text of 6 tokens, but the model has only 5 positions"):
        pretrain(tiny_policy("ab", positions=5), CORPUS, config, 0)
    policy = tiny_policy("ab")
    for corpus, problem in [
        (CORPUS.select([]), "corpus is empty"),
        (Dataset.from_dict({"text": ["a", " "]}), "corpus, row 1: text is empty"),
        (CORPUS.rename_column("text", "prompt"), r"corpus must have the columns 'text', but has \['prompt'\]"),
        (Dataset.from_dict({"text": ["abc"]}), "text 'abc' has characters outside the vocabulary 'ab'"),
        (Dataset.from_dict({"text": ["a"]}), "corpus holds no text of two tokens"),
    ]:  # fmt: skip
        with pytest.raises(ValueError, match=problem):
            pretrain(policy, corpus, config, 0)
