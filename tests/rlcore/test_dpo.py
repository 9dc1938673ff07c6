"""DPO: ln 2 at the start, the formula's gradient, the closed-form optimum, and the whole agent."""

import math
import os
import signal

import pytest
import torch
import torch.nn.functional as F
from datasets import Dataset
from tiny_lm import alone, tiny_policy, weights

from rlcore.agents.dpo import DPO, DPOConfig, train
from rlcore.lm.reference import frozen_copy
from rlcore.lm.reward_model import PAIR
from rlcore.losses import dpo_loss

F64 = torch.float64
ROWS = [("a", "bb", "a"), ("ba", "b", "abab"), ("b", "a", "bba"), ("ab", "abb", "b"), ("a", "b", "aa")]
PAIRS = Dataset.from_dict({name: [row[i] for row in ROWS] for i, name in enumerate(("prompt", "chosen", "rejected"))})


def agent(policy=None, reference=None, sgd=False, **options):
    policy = policy or tiny_policy("ab")
    settings = {"epochs": 2, "batch_size": 5, "lr": 1e-2, "max_grad_norm": 1e9} | options
    made = DPO(policy, reference or frozen_copy(policy), PAIRS, DPOConfig(**settings), seed=1)
    if sgd:
        made.optimizer = torch.optim.SGD(policy.parameters(), lr=1.0)
    return made


def answers(policy, temperature=1.0):
    """log π(chosen | prompt), log π(rejected | prompt) and their lengths, one text at a time, differentiable."""
    tokenizer, found = policy.tokenizer, []
    for prompt, *texts in ROWS:
        for text in texts:
            own = [*tokenizer(text)["input_ids"], tokenizer.eos_token_id]  # EOS is an action, too
            tokens = tokenizer(prompt)["input_ids"] + own
            found.append((alone(policy.model, tokens, temperature)[-len(own):].sum(), len(own)))
    log_probs = torch.stack([log_prob for log_prob, _ in found]).view(-1, 2)
    return log_probs, torch.tensor([length for _, length in found]).view(-1, 2)


@pytest.mark.parametrize("options", [{}, {"beta": 3.0}, {"length_normalize": True}])
def test_the_first_loss_is_ln_2(options):
    metrics = agent(**options).learn()
    assert metrics["loss"] == pytest.approx(math.log(2), abs=1e-12)
    assert metrics["rewards/margins"] == pytest.approx(0, abs=1e-12)
    assert 0 <= metrics["rewards/accuracies"] <= 1  # ties, up to the last bit


@pytest.mark.parametrize("nll_coef", [0.0, 0.7])
@pytest.mark.parametrize("length_normalize", [False, True])
def test_the_gradient_is_the_formula_s(nll_coef, length_normalize):
    policy, reference = tiny_policy("ab"), tiny_policy("ab", seed=4)
    made = agent(policy, reference, sgd=True, beta=0.3, nll_coef=nll_coef, length_normalize=length_normalize)
    log_probs, lengths = answers(policy)
    refs = answers(reference)[0].detach()
    per = lengths if length_normalize else torch.ones_like(lengths)
    ours, theirs = log_probs / per, refs / per
    loss = -F.logsigmoid(0.3 * ((ours - theirs)[:, 0] - (ours - theirs)[:, 1])).mean()
    nll = -(log_probs / lengths)[:, 0].mean()
    grads = torch.autograd.grad(loss + nll_coef * nll, list(policy.parameters()))
    expected, before = torch.cat([grad.flatten() for grad in grads]), weights(policy)
    metrics = made.learn()
    torch.testing.assert_close(before - weights(policy), expected, rtol=0, atol=1e-12)
    assert metrics["loss"] == pytest.approx(loss.item()) and metrics["nll_loss"] == pytest.approx(nll.item())
    rewards = 0.3 * (ours - theirs)
    assert metrics["rewards/chosen"] == pytest.approx(rewards[:, 0].mean().item())
    assert metrics["rewards/rejected"] == pytest.approx(rewards[:, 1].mean().item())
    assert metrics["rewards/accuracies"] == pytest.approx((rewards[:, 0] > rewards[:, 1]).double().mean().item())
    assert metrics["logps/chosen"] == pytest.approx(log_probs[:, 0].mean().item())
    assert metrics["logps/rejected"] == pytest.approx(log_probs[:, 1].mean().item())


def test_the_optimum_on_soft_preferences_is_the_closed_form():
    # five answers with rewards r, an annotator with temperature τ; every pair, weighted by how often it is preferred
    g = torch.Generator().manual_seed(0)
    reward, ref = torch.randn(5, generator=g, dtype=F64), torch.randn(5, generator=g, dtype=F64).log_softmax(-1)
    tau, beta = 0.5, 0.7
    first, second = (index.flatten() for index in torch.meshgrid(torch.arange(5), torch.arange(5), indexing="ij"))
    preferred = ((reward[first] - reward[second]) / tau).sigmoid()
    logits = torch.zeros(5, dtype=F64, requires_grad=True)
    optimizer = torch.optim.LBFGS([logits], max_iter=500, tolerance_grad=1e-13, tolerance_change=0,
                                  line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        log_pi = logits.log_softmax(-1)
        loss = (preferred * dpo_loss(log_pi[first], log_pi[second], ref[first], ref[second], beta)).mean()
        loss.backward()
        return loss

    optimizer.step(closure)
    closed_form = (ref + reward / (tau * beta)).softmax(-1)  # π ∝ ref · exp(r / (τβ))
    torch.testing.assert_close(logits.softmax(-1), closed_form, rtol=0, atol=1e-6)


def test_training_prefers_what_was_preferred():
    made = agent(epochs=30)
    rows = list(made.steps())
    assert rows[-1]["rewards/accuracies"] == 1.0 and rows[-1]["loss"] < 0.5 * rows[0]["loss"]
    assert rows[-1]["rewards/margins"] > 0 and len(rows) == 30


def test_every_pair_is_seen_once_an_epoch_and_the_rate_falls_to_its_share():
    made = agent(batch_size=2, epochs=2, final_lr=0.25)
    rates = [made.optimizer.param_groups[0]["lr"] for _ in made.steps()]
    # 3 steps an epoch, 6 in all: 1 − (s/6)·¾
    assert rates == pytest.approx([1e-2 * (1 - s / 6 * 0.75) for s in range(6)])


def test_stopped_by_ctrl_c_and_resumed_it_is_the_same_training(tmp_path):
    def make():
        policy = tiny_policy("ab")
        return policy, frozen_copy(policy), PAIRS, DPOConfig(epochs=3, batch_size=2, lr=1e-2)

    whole = train(*make(), seed=4)
    stop = lambda metrics: os.kill(os.getpid(), signal.SIGINT) if metrics["step"] == 4 else None  # noqa: E731
    half = train(*make(), seed=4, observe=stop, checkpoint=tmp_path / "dpo.safetensors")
    assert half.interrupted and len(half.history) == 4
    again = train(*make(), seed=4, checkpoint=tmp_path / "dpo.safetensors", resume=True)
    assert again.history == whole.history and not again.interrupted
    assert torch.equal(weights(again.policy), weights(whole.policy))


def test_what_cannot_work_is_named():
    policy = tiny_policy("ab")
    with pytest.raises(ValueError, match="beta must be a positive number, but is -1"):
        DPOConfig(beta=-1)
    with pytest.raises(ValueError, match=r"reference shares .* of its parameters"):
        train(policy, policy, PAIRS, DPOConfig())
    with pytest.raises(ValueError, match="row 1: chosen and rejected are the same text"):
        bad = Dataset.from_dict({"prompt": ["a", "a"], "chosen": ["b", "ab"], "rejected": ["a", "ab"]})
        train(policy, frozen_copy(policy), bad, DPOConfig())
    with pytest.raises(ValueError, match="must have the columns"):
        train(policy, frozen_copy(policy), PAIRS.remove_columns("rejected"), DPOConfig())
    hotter = frozen_copy(policy)
    hotter.temperature = 0.5
    with pytest.raises(ValueError, match=r"temperature 0\.5, the policy 1\.0"):
        train(policy, hotter, PAIRS, DPOConfig())
    for rows, says in ((("a", "b", ""), "row 0: rejected is empty"), (("a", "b", "a" * 40), "only 16 positions")):
        with pytest.raises(ValueError, match=says):
            train(policy, frozen_copy(policy), Dataset.from_list([dict(zip(PAIR, rows, strict=True))]), DPOConfig())
    with pytest.raises(ValueError, match="dataset is empty"):
        train(policy, frozen_copy(policy), PAIRS.select([]), DPOConfig())
