"""The reward model: where it reads, what it learns from, what it leaves alone."""

import copy
import math
import signal

import pytest
import torch
from datasets import Dataset
from tiny_lm import tiny_policy, weights
from transformers import AutoModelForSequenceClassification

from rlcore.lm import (
    RewardModel,
    RewardModelConfig,
    RewardModelTraining,
    load_reward_model,
    pairwise_accuracy,
    reward_training,
    train_reward_model,
)
from rlcore.lm.batches import rows_of_step
from rlcore.lm.reward_training import pack_pairs
from rlcore.losses import preference_loss
from rlcore.recorder import run as record
from rlcore.tasks.rewards import total_reward

A, B, EOS = 2, 3, 1
TEXTS = [[A, B, EOS], [B, B, A, A, EOS], [A, EOS, B, A, B, EOS]]  # the last one has an EOS inside
PAIRS = Dataset.from_dict({"prompt": ["a", "ab", "b"], "chosen": ["b", "bb", "aab"], "rejected": ["aa", "a", "b"]})


def tiny_model(**options):
    """A reward model with opinions: its head is not 0 any more."""
    model = RewardModel.from_policy(tiny_policy("ab", **options))
    with torch.no_grad():
        model.head.weight.copy_(torch.linspace(-1, 1, 16))
    return model


def alone(model, text):
    """The score of one list of ids: no batch, no padding, no mask; w · h by hand."""
    hidden = model.trunk.eval()(input_ids=torch.tensor([text])).last_hidden_state[0, -1]  # [D]
    return model.head.weight[0] @ hidden


def padded(side, junk):
    width = max(map(len, TEXTS)) + 2
    tokens, real = torch.zeros(3, width, dtype=torch.long), torch.zeros(3, width, dtype=torch.bool)
    for i, text in enumerate(TEXTS):
        place = slice(0, len(text)) if side == "right" else slice(width - len(text), width)
        tokens[i] = torch.tensor(junk)[torch.arange(width) % len(junk)]
        tokens[i, place], real[i, place] = torch.tensor(text), True
    return tokens, real


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("junk", [[0], [EOS], [B, A, EOS]])
@pytest.mark.parametrize("pad_is_eos", [False, True])
def test_it_reads_at_the_last_real_token_whatever_the_padding(side, junk, pad_is_eos):
    model = tiny_model(pad_is_eos=pad_is_eos, layers=2)
    expected = torch.stack([alone(model, text) for text in TEXTS])
    assert expected.diff().abs().min() > 0.1
    torch.testing.assert_close(model(*padded(side, junk)), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("pad_is_eos", [False, True])
def test_the_score_of_a_text_is_read_at_the_eos_that_closes_it(pad_is_eos):
    model = tiny_model(pad_is_eos=pad_is_eos)
    prompts, completions = ["a", "bb", "a<eos>b", "a"], ["b", "aa", "ab", ""]
    texts = [*TEXTS[:2], [A, EOS, B, A, B, EOS], [A, EOS]]  # an empty completion: a policy that stopped at once
    expected = torch.stack([alone(model, text) for text in texts])
    torch.testing.assert_close(model.score(prompts, completions), expected, rtol=0, atol=1e-12)
    for i in range(4):  # the same one by one
        torch.testing.assert_close(model.score(prompts[i : i + 1], completions[i : i + 1]), expected[i : i + 1],
                                   rtol=0, atol=1e-12)


def test_many_texts_are_scored_in_pieces_and_in_order(monkeypatch):
    model = tiny_model()
    prompts, completions = ["a", "b"] * 4, ["b" * (1 + 3 * i % 8) for i in range(8)]  # of lengths 1, 4, 7, 2 …
    whole = model.score(prompts, completions)
    monkeypatch.setattr("rlcore.lm.reward_model.PIECE", 3)
    torch.testing.assert_close(model.score(prompts, completions), whole, rtol=0, atol=1e-12)
    assert len(set(whole.tolist())) == 8 and not whole.requires_grad


def test_equal_texts_get_equal_rewards_to_the_bit(monkeypatch):
    monkeypatch.setattr("rlcore.lm.reward_model.PIECE", 2)
    model = tiny_model(dtype=torch.float32)
    prompts, completions = ["a", "ab", "a", "b", "ab", "a"] * 3, ["b", "aabb", "b", "bbb", "bb", "b"] * 3
    scores = model.score(prompts, completions)
    assert len(set(scores.tolist())) == 4  # (a, b) stands there nine times, the others three times each
    for i in range(6):
        assert scores[i].item() == pytest.approx(model.score(prompts[i : i + 1], completions[i : i + 1]).item())


@pytest.mark.parametrize("side", ["left", "right"])
def test_the_gradient_comes_through_the_text_and_only_through_it(side):
    model = tiny_model(positions=12)
    tokens, real = padded(side, [B])
    table = model.trunk.get_input_embeddings()
    seen = {}
    hook = table.register_forward_hook(lambda module, given, out: seen.update(out=out) or out.retain_grad())
    model(tokens, real)[1].backward()
    hook.remove()
    reached = seen["out"].grad.abs().sum(-1) > 0  # [3, T]
    assert torch.equal(reached[1], real[1])  # all of its own text, and no padding
    assert not reached[0].any() and not reached[2].any()  # and nobody else's


def test_the_head_learns_from_the_last_token_only():
    model = tiny_model()
    model(*padded("right", [B]))[0].backward()
    hidden = model.trunk(input_ids=torch.tensor([TEXTS[0]])).last_hidden_state[0, -1]
    torch.testing.assert_close(model.head.weight.grad[0], hidden.detach(), rtol=0, atol=1e-12)  # ∂(w·h)/∂w = h


def test_a_new_model_finds_everything_equal_and_has_no_bias():
    model = RewardModel.from_policy(tiny_policy("ab"))
    assert model.score(["a", "b"], ["b", "aaa"]).tolist() == [0, 0]
    assert model.head.bias is None
    assert pairwise_accuracy(model, PAIRS).value == 0.5


def test_the_first_loss_is_ln_2_and_a_later_one_is_bradley_terry_by_hand():
    model = RewardModel.from_policy(tiny_policy("ab"))
    first = next(train_reward_model(model, PAIRS, RewardModelConfig(batch_size=3), 0))
    assert first == {"step": 1, "loss": pytest.approx(math.log(2), abs=1e-12), "accuracy": 0.5, "margin": 0.0}

    model = tiny_model()
    pairs = [([A, B, EOS], [A, A, A, EOS]), ([A, B, B, B, EOS], [A, B, A, EOS]), ([B, A, A, B, EOS], [B, B, EOS])]
    margins = [(alone(model, c) - alone(model, r)).item() for c, r in pairs]
    assert min(map(abs, margins)) > 0.1
    metrics = next(train_reward_model(model, PAIRS, RewardModelConfig(batch_size=3), 0))
    # −log σ(m) = log(1 + e⁻ᵐ)
    assert metrics["loss"] == pytest.approx(sum(math.log1p(math.exp(-m)) for m in margins) / 3, abs=1e-12)
    assert metrics["margin"] == pytest.approx(sum(margins) / 3, abs=1e-12)
    assert metrics["accuracy"] == pytest.approx(sum(m > 0 for m in margins) / 3)


@pytest.mark.parametrize("piece", [2, 32])
def test_every_step_has_the_gradient_of_its_own_loss_and_no_other(monkeypatch, piece):
    monkeypatch.setattr("rlcore.lm.reward_model.PIECE", piece)  # pieces add up to the same gradient
    model = tiny_model()
    training = RewardModelTraining(model, PAIRS, RewardModelConfig(batch_size=3, max_grad_norm=1e9), 0)
    for _ in range(3):
        twin = copy.deepcopy(model)
        tokens, real = pack_pairs(twin, PAIRS)
        loss = preference_loss(twin(tokens[:, 0], real[:, 0]), twin(tokens[:, 1], real[:, 1])).mean()
        loss.backward()
        training.learn()
        for mine, expected in zip(model.parameters(), twin.parameters(), strict=True):
            torch.testing.assert_close(mine.grad, expected.grad, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("limit", "norm"), [(0.01, 0.01), (1e9, None)])
def test_gradients_are_limited(limit, norm):
    model = tiny_model()
    next(train_reward_model(model, PAIRS, RewardModelConfig(max_grad_norm=limit), 0))
    left = torch.cat([weights.grad.flatten() for weights in model.parameters()]).norm().item()
    assert left == pytest.approx(norm, rel=1e-3) if norm else left > 0.1


def test_weights_decay_a_little():
    model = tiny_model()
    before = model.trunk.wte.weight[0].detach().clone()  # of pad, which no text holds: no gradient moves it
    next(train_reward_model(model, PAIRS, RewardModelConfig(lr=0.1, warmup=0), 0))
    torch.testing.assert_close(model.trunk.wte.weight[0], before * (1 - 0.1 * 0.01), rtol=0, atol=1e-12)


def test_it_learns_a_planted_rule_for_texts_it_has_not_seen():
    # preferred is the text with more b; 256 pairs, and 200 others to test on
    generator = torch.Generator().manual_seed(0)

    def pairs(count):
        rows = []
        while len(rows) < count:
            one, two = ("".join("ab"[i] for i in torch.randint(2, (5,), generator=generator)) for _ in range(2))
            if one.count("b") > two.count("b"):
                rows.append({"prompt": "ab"[len(rows) % 2], "chosen": one, "rejected": two})
        return Dataset.from_list(rows)

    train, test = pairs(256), pairs(200)
    for seed in range(3):
        model = RewardModel.from_policy(tiny_policy("ab", dtype=torch.float32, spread=0.1))
        history = list(train_reward_model(model, train, RewardModelConfig(min_steps=100, batch_size=32, lr=1e-2), seed))
        assert [row["step"] for row in history] == list(range(1, 101))
        right, error = pairwise_accuracy(model, test)
        assert right > 0.95 and history[-1]["loss"] < 0.3 and history[-1]["margin"] > 1
        assert error == pytest.approx((right * (1 - right) / 199) ** 0.5, abs=1e-6)  # sd of 0/1 with ddof=1, over √200
        swapped = test.rename_columns({"chosen": "rejected", "rejected": "chosen"})
        assert pairwise_accuracy(model, swapped).value == pytest.approx(1 - right)


def test_the_standard_error_by_hand():
    class Judge(RewardModel):  # the length is the score
        def score(self, prompts, completions):
            return torch.tensor([float(len(text)) for text in completions])

    model = Judge.from_policy(tiny_policy("ab"))
    dataset = Dataset.from_dict({"prompt": list("aaaa"), "chosen": ["bb", "bb", "b", "ab"],
                                 "rejected": ["b", "a", "bb", "ba"]})
    # hits 1, 1, 0, ½: mean .625; Σ(x − .625)² = .1406 + .1406 + .3906 + .0156 = .6875; √(.6875 / 3) / √4 = .2394
    assert pairwise_accuracy(model, dataset) == pytest.approx((0.625, 0.23936), abs=1e-5)


def test_the_order_is_new_in_every_epoch_and_no_pair_is_left_out(monkeypatch):
    rows = []

    def spy(*place):
        rows.append(rows_of_step(*place).tolist())
        return torch.tensor(rows[-1])

    monkeypatch.setattr(reward_training, "rows_of_step", spy)
    dataset = Dataset.from_dict({"prompt": ["a"] * 7, "chosen": ["b" * i for i in range(2, 9)], "rejected": ["a"] * 7})
    orders = []
    for seed in (0, 0, 1):
        training = RewardModelTraining(tiny_model(), dataset, RewardModelConfig(batch_size=3, epochs=2, min_steps=1),
                                       seed)
        assert training.total_steps == 6  # ⌈7/3⌉ = 3 steps an epoch
        rows.clear()
        list(training.steps())
        orders.append(list(rows))
        for epoch in (rows[:3], rows[3:]):
            assert sorted(row for batch in epoch for row in batch) == list(range(7))
            assert [len(batch) for batch in epoch] == [3, 3, 1]
        assert rows[:3] != rows[3:]
    assert orders[0] == orders[1] != orders[2]


def test_the_learning_rate_rises_and_falls():
    config = RewardModelConfig(batch_size=3, min_steps=10, warmup=0.4, lr=1.0)
    training = RewardModelTraining(tiny_model(), PAIRS, config, 0)
    shares = []
    for step in range(10):
        training.step = step
        shares.append(training._schedule())
    # rising over .4 · 10 = 4 steps: 1/4 … 4/4; then what is left of the 6: 6/6, 5/6 … 1/6
    assert shares == pytest.approx([1 / 4, 2 / 4, 3 / 4, 1, 1, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6])
    training.step = 2
    training.learn()
    assert training.optimizer.param_groups[0]["lr"] == pytest.approx(0.75)


def test_training_it_leaves_the_policy_alone_also_a_frozen_one():
    policy = tiny_policy("ab", dtype=torch.float32).requires_grad_(False)
    model, before = RewardModel.from_policy(policy), weights(policy)
    start = weights(model.trunk)
    list(train_reward_model(model, PAIRS, RewardModelConfig(min_steps=3), 0))
    assert torch.equal(weights(policy), before)
    assert (weights(model.trunk) != start).float().mean() > 0.5  # all of it learns, not the head alone
    mine = {x.data_ptr() for x in model.parameters()}
    assert mine.isdisjoint(x.data_ptr() for x in policy.parameters())


def test_normalised_rewards_have_mean_0_and_deviation_1_in_the_same_order():
    model = tiny_model()
    texts = (list(PAIRS["prompt"]) * 2, list(PAIRS["chosen"]) + list(PAIRS["rejected"]))
    raw = model.score(*texts)
    for _ in range(2):  # the second time changes nothing
        model.normalize_on(PAIRS)
        scores = model.score(*texts)
        assert scores.mean().abs() < 1e-12 and scores.std().item() == pytest.approx(1, abs=1e-12)
        torch.testing.assert_close(scores, (raw - raw.mean()) / raw.std(), rtol=0, atol=1e-12)
    list(train_reward_model(model, PAIRS, RewardModelConfig(min_steps=1), 0))
    assert (model.mean, model.std) == (0, 1)  # another training, another scale
    with pytest.raises(ValueError, match="every text of dataset gets the score 0: the model is not trained yet"):
        RewardModel.from_policy(tiny_policy("ab")).normalize_on(PAIRS)


def test_it_is_a_reward_function():
    model = tiny_model()
    assert model.reward.__name__ == "reward"
    prompts, completions = ["a", "b"], ["b", "ab"]
    values = model.reward(prompts=prompts, completions=completions, answer=[1, 2])
    assert values == model.score(prompts, completions).tolist() and isinstance(values[0], float)
    total = total_reward([model.reward], prompts, completions, {"answer": [1, 2]}, weights=[2.0])
    torch.testing.assert_close(total, 2 * torch.tensor(values))


@pytest.mark.parametrize("pad_is_eos", [False, True])
def test_it_survives_saving_and_is_transformers_own_kind(tmp_path, pad_is_eos):
    model = tiny_model(dtype=torch.float32, pad_is_eos=pad_is_eos)
    model.normalize_on(PAIRS)
    state = torch.get_rng_state()
    model.save_pretrained(tmp_path / "judge")
    assert torch.equal(torch.get_rng_state(), state)
    assert (tmp_path / "judge" / "model.safetensors").is_file()
    again = load_reward_model(tmp_path / "judge")
    texts = list(PAIRS["prompt"]), list(PAIRS["chosen"])
    assert torch.equal(again.score(*texts), model.score(*texts))
    assert (again.mean, again.std) == (model.mean, model.std) and model.std != 1
    theirs = AutoModelForSequenceClassification.from_pretrained(tmp_path / "judge").eval()
    if not pad_is_eos:
        score = theirs(input_ids=torch.tensor([TEXTS[0]])).logits[0, 0]
        assert score.item() == pytest.approx(alone(model, TEXTS[0]).item(), abs=1e-5)


def test_a_folder_without_a_reward_model_is_named(tmp_path):
    with pytest.raises(ValueError, match="there is no folder"):
        load_reward_model(tmp_path / "nothing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="holds no reward model that can be loaded"):
        load_reward_model(tmp_path / "empty")
    policy = tiny_policy("ab", dtype=torch.float32)
    policy.model.save_pretrained(tmp_path / "policy")
    policy.tokenizer.save_pretrained(tmp_path / "policy")
    with pytest.raises(ValueError, match=r"a model, but no reward model: score.weight is missing"):
        load_reward_model(tmp_path / "policy")


def test_stopped_and_resumed_equals_uninterrupted_to_the_bit(tmp_path):
    config = RewardModelConfig(batch_size=2, min_steps=9, lr=1e-2)

    def train(observe=None, **options):
        agent = RewardModelTraining(tiny_model(), PAIRS, config, seed=3)
        return record(agent, agent.steps(), observe, **options)

    whole = train()
    press = signal.raise_signal
    stopped = train(lambda metrics: metrics["step"] == 4 and press(signal.SIGINT), checkpoint=tmp_path / "c")
    assert stopped.interrupted and len(stopped.history) == 4
    resumed = train(checkpoint=tmp_path / "c", resume=True)
    assert resumed.history == whole.history and len(whole.history) == 9
    for a, b in zip(resumed.policy.state_dict().values(), whole.policy.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_what_cannot_be_compared_is_named_with_its_row():
    model = tiny_model(positions=6)

    def train(**columns):
        data = {"prompt": ["a", "a"], "chosen": ["b", "b"], "rejected": ["a", "a"]} | columns
        return train_reward_model(model, Dataset.from_dict(data), RewardModelConfig(), 0)

    with pytest.raises(ValueError, match="dataset, row 1: chosen and rejected are the same text, 'bb'"):
        train(chosen=["b", "bb"], rejected=["a", "bb"])
    for name in ("chosen", "rejected"):
        with pytest.raises(ValueError, match=f"dataset, row 1: {name} is empty"):
            train(**{name: ["ab", ""]})
    with pytest.raises(ValueError, match=r"a text of 7 tokens \(with its EOS\), but the model has only 6 positions"):
        train(prompt=["a", "aaaaa"])
    train(prompt=["a", "aaaa"])  # 6 fit
    with pytest.raises(ValueError, match="dataset is empty"):
        train(prompt=[], chosen=[], rejected=[])
    for use in (lambda d: train_reward_model(model, d, RewardModelConfig(), 0), model.normalize_on,
                lambda d: pairwise_accuracy(model, d)):
        with pytest.raises(ValueError, match=r"'prompt', 'chosen', 'rejected', but has \['prompt', 'chosen'"):
            use(PAIRS.remove_columns("rejected"))
    with pytest.raises(ValueError, match="at least 2 pairs for a standard error, but has 1"):
        pairwise_accuracy(model, PAIRS.select([0]))


def test_what_cannot_be_judged_is_named():
    model = tiny_model(positions=6)
    with pytest.raises(ValueError, match="a text of 8 tokens"):
        model.score(["aaaaaa"], ["b"])
    with pytest.raises(ValueError, match=r"completions must be a list of texts, but is one text, 'b': write \['b'\]"):
        model.score(["a"], "b")
    with pytest.raises(ValueError, match="equally many, but are 2 and 1"):
        model.score(["a", "a"], ["b"])
    with pytest.raises(ValueError, match="prompts is empty"):
        model.score([], [])
    with pytest.raises(ValueError, match="text 'x' has characters outside the vocabulary"):
        model.score(["a"], ["x"])
    tokens = torch.tensor([[A, B], [A, B]])
    with pytest.raises(ValueError, match="a row that is all False"):
        model(tokens, torch.tensor([[True, True], [False, False]]))
    with pytest.raises(ValueError, match="attention_mask must be a bool tensor"):
        model(tokens, torch.ones_like(tokens))
    with pytest.raises(ValueError, match="shapes must be equal"):
        model(tokens, torch.ones(2, 3, dtype=torch.bool))


def test_another_tokenizer_is_named():
    with pytest.raises(ValueError, match="tokenizer has 5 tokens, but the model knows only 4"):
        RewardModel(tiny_policy("ab").model, tiny_policy("abc").tokenizer)
    model = RewardModel.from_policy(tiny_policy("ab"))
    model.check_fits(tiny_policy("ab", seed=1))
    with pytest.raises(ValueError, match="2 tokens differ, for example 'a', which is 2 there and None in the policy"):
        RewardModel.from_policy(tiny_policy("ab")).check_fits(tiny_policy("b"))
    other = tiny_policy("ab")
    other.tokenizer.eos_token = "a"
    with pytest.raises(ValueError, match="another EOS than the policy: 1 there, 2 in the policy"):
        model.check_fits(other)


def test_what_cannot_be_trained_is_named():
    for name in ("batch_size", "epochs", "min_steps", "lr", "max_grad_norm"):
        with pytest.raises(ValueError, match=f"{name} must be a positive number, but is 0"):
            RewardModelConfig(**{name: 0})
    with pytest.raises(ValueError, match=r"warmup must lie in \[0, 1\], but is 10"):
        RewardModelConfig(warmup=10)
