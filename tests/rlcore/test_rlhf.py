"""RLHF: prices and advantages by hand, four models that stay what they are, and the whole agent."""

import copy
import math

import pytest
import torch
from datasets import Dataset
from tiny_lm import tiny_policy, weights

from rlcore.agents import rlhf
from rlcore.agents.rlhf import RLHF, RLHFConfig, train
from rlcore.checkpoint import Checkpoint
from rlcore.lm import LanguageValue, Prompts
from rlcore.lm.reference import frozen_copy, log_probs_of
from rlcore.losses import kl_estimate, masked_mean, ppo_clip_loss
from rlcore.returns import whiten
from rlcore.trajectory import Trajectory

F64 = torch.float64
DATA = Dataset.from_dict({"prompt": ["a", "bab", "bb"]})


def many_b(prompts, completions, **_):
    """How much of what was written is b."""
    return [text.count("b") / (len(text) + 1) for text in completions]


def world():
    return Prompts(DATA, [many_b], prompts_per_step=3, group_size=4, max_new_tokens=4)


def agent(policy=None, reference=None, value=None, **options):
    policy = policy or tiny_policy("ab")
    settings = {"steps": 3, "minibatch_size": 6, "lr": 1e-2} | options
    return RLHF(policy, value or LanguageValue.from_policy(policy).double(), reference or frozen_copy(policy), world(),
                RLHFConfig(**settings), seed=1)


def by_hand():
    """Two answers of three steps: one ends by itself, the other is cut off; a prompt step before the first."""
    mask = torch.tensor([[False, True, True], [True, True, True]])
    log_probs = torch.tensor([[0.0, -1.0, -2.0], [-0.5, -1.5, -1.0]], dtype=F64)
    ends = torch.tensor([[False, False, True], [False, False, False]])
    cut = torch.tensor([[False, False, False], [False, False, True]])
    rewards = torch.tensor([[0.0, 0.0, 3.0], [0.0, 0.0, 1.0]], dtype=F64)
    tokens = torch.tensor([[2, 3, 2, 1], [3, 2, 2, 3]])
    return Trajectory(tokens[:, :-1], tokens[:, 1:], rewards, log_probs, ends, cut, mask)


REFERENCE = torch.tensor([[0.0, -1.5, -1.0], [-0.5, -1.0, -3.0]], dtype=F64)


class Constant(torch.nn.Module):
    """A critic that expects the same of every text."""

    def __init__(self, value):
        super().__init__()
        self.value = torch.nn.Parameter(torch.tensor(value, dtype=F64))

    def forward(self, states):
        return self.value.expand(states.shape)

    def check_fits(self, policy):
        """Fits everybody."""


def learned_batch(monkeypatch, made, trajectory):
    """What `learn` hands to the update."""
    seen = {}

    def spy(policy, batch, optimizer, **options):
        seen.update(options, batch=batch)
        return {}

    monkeypatch.setattr(rlhf, "policy_update", spy)
    monkeypatch.setattr(rlhf, "log_probs_of", lambda *_: REFERENCE)
    seen["metrics"] = made.learn(trajectory)
    return seen


def test_prices_by_hand():
    # log π − log ref: .5, −1 in the first answer; 0, −.5, 2 in the second.  β = .1
    priced = agent(kl_coef=0.1).priced(by_hand(), REFERENCE)
    expected = torch.tensor([[0.0, -0.05, 3.1], [0.0, 0.05, 0.8]], dtype=F64)
    torch.testing.assert_close(priced, expected)
    assert torch.equal(agent(kl_coef=0.1, kl_in="loss").priced(by_hand(), REFERENCE), by_hand().rewards)


def test_advantages_by_hand(monkeypatch):
    made = agent(kl_coef=0.1, lam=1.0, normalize=False, value=Constant(2.0))
    seen = learned_batch(monkeypatch, made, by_hand())
    # λ = γ = 1: the priced rewards still to come, minus V = 2.  Cut off or ended: nothing comes after the verdict
    expected = torch.tensor([[math.nan, 1.05, 1.1], [-1.15, -1.15, -1.2]], dtype=F64)
    mask = by_hand().mask
    torch.testing.assert_close(seen["batch"].advantages[mask], expected[mask])
    torch.testing.assert_close(seen["batch"].returns[mask], expected[mask] + 2.0)
    assert seen["kl_coef"] == 0.0  # paid already
    assert seen["metrics"]["objective/kl"] == pytest.approx((-0.5 + 1.5) / 2)  # mean over answers of Σ log-ratio
    one_step = agent(kl_coef=0.1, lam=0.0, normalize=False, value=Constant(2.0))
    # r + V(next) − V, and V(next) = 0 at both ends
    deltas = torch.tensor([[math.nan, -0.05, 1.1], [0.0, 0.05, -1.2]], dtype=F64)
    torch.testing.assert_close(learned_batch(monkeypatch, one_step, by_hand())["batch"].advantages[mask], deltas[mask])


def test_advantages_are_whitened_and_the_kl_can_be_in_the_loss(monkeypatch):
    seen = learned_batch(monkeypatch, agent(kl_coef=0.3, kl_in="loss", kl_kind="k2", value=Constant(0.0)), by_hand())
    advantages = seen["batch"].advantages[by_hand().mask]
    assert advantages.mean().item() == pytest.approx(0, abs=1e-12)
    assert advantages.std(correction=0).item() == pytest.approx(1, abs=1e-6)
    assert seen["kl_coef"] == 0.3 and seen["kl_kind"] == "k2"
    torch.testing.assert_close(seen["batch"].ref_log_probs, REFERENCE)


@pytest.mark.parametrize("kl_in", ["reward", "loss"])
def test_one_step_is_ppo_s_gradient_from_the_formula(kl_in):
    reference = tiny_policy("ab", seed=5)
    made = agent(tiny_policy("ab"), reference, epochs=1, minibatch_size=99, kl_in=kl_in, kl_coef=0.2, max_grad_norm=1e9,
                 lam=1.0)
    made.optimizer = torch.optim.SGD([*made.policy.parameters()], lr=1.0)  # the policy's part alone
    before, twin = weights(made.policy), copy.deepcopy(made.policy)
    trajectory = made.world.sample(made.policy, made.generator)
    made.learn(trajectory)
    mask = trajectory.mask
    refs = log_probs_of(reference, trajectory)
    price = 0.2 * (trajectory.log_probs - refs) if kl_in == "reward" else torch.zeros_like(refs)
    togo = (trajectory.rewards - price).flip(-1).cumsum(-1).flip(-1)  # V = 0 at first
    log_probs = twin.evaluate_actions(trajectory.states, trajectory.actions, mask)[0]
    loss = ppo_clip_loss(log_probs, trajectory.log_probs, whiten(togo, mask), 0.2)
    if kl_in == "loss":
        loss = loss + 0.2 * kl_estimate(log_probs, refs, "k3")
    grads = torch.autograd.grad(masked_mean(loss, mask), list(twin.parameters()))
    expected = torch.cat([grad.flatten() for grad in grads])
    torch.testing.assert_close(before - weights(made.policy), expected, rtol=0, atol=1e-10)


def test_the_reference_stays_and_the_kl_begins_at_0():
    made = agent(steps=2)
    before = weights(made.reference)
    first, second = list(made.steps())
    assert torch.equal(weights(made.reference), before)
    assert first["objective/kl"] == pytest.approx(0, abs=1e-12) and second["objective/kl"] != 0
    assert not any(weight.requires_grad for weight in made.reference.parameters())


def test_it_learns_what_is_paid_and_the_price_holds_it_back():
    def end(kl_coef):
        made = agent(tiny_policy("ab", spread=0.1), kl_coef=kl_coef, steps=25, lr=2e-2)
        rows = list(made.steps())
        return rows[0]["reward"], rows[-1]["reward"], abs(rows[-1]["objective/kl"])

    before, free, far = end(0.0)
    assert free > before + 0.2
    assert end(5.0)[2] < 0.3 * far  # β = 5 costs more than every b is worth


def test_resumed_it_is_the_same_training(tmp_path):
    whole = agent(steps=4)
    history = list(whole.steps())
    first = agent(steps=4)
    steps = first.steps()
    half = [next(steps), next(steps)]
    Checkpoint(tmp_path / "run.safetensors", first).save(half)
    second = agent(tiny_policy("ab", seed=9), reference=tiny_policy("ab", seed=8), steps=4)  # both come from the file
    assert Checkpoint(tmp_path / "run.safetensors", second).load() == half
    assert half + list(second.steps()) == history
    assert torch.equal(weights(second.policy), weights(whole.policy))


def test_two_learning_rates_that_fall_together():
    made = agent(steps=2, lr=1e-2, value_lr=4e-2, final_lr=0.5)
    seen = []
    for _ in made.steps():
        seen.append([group["lr"] for group in made.optimizer.param_groups])
    assert seen == [pytest.approx([1e-2, 4e-2]), pytest.approx([0.75e-2, 3e-2])]


def test_what_cannot_work_is_named():
    policy = tiny_policy("ab")
    value = LanguageValue.from_policy(policy)
    with pytest.raises(ValueError, match=r"reference shares .* parameters with the policy"):
        train(policy, value, policy, world(), RLHFConfig())
    with pytest.raises(ValueError, match="value has another vocabulary"):
        train(policy, LanguageValue.from_policy(tiny_policy("abc")), frozen_copy(policy), world(), RLHFConfig())
    with pytest.raises(ValueError, match="reference has another tokenizer than the policy: 1 tokens differ"):
        train(policy, value, tiny_policy("abc"), world(), RLHFConfig())
    with pytest.raises(ValueError, match=r"reference has temperature 0\.5, the policy 1\.0"):
        train(policy, value, tiny_policy("ab", temperature=0.5), world(), RLHFConfig())
    with pytest.raises(ValueError, match=r"kl_coef must be at least 0, but is -0\.1"):
        RLHFConfig(kl_coef=-0.1)
    with pytest.raises(ValueError, match="kl_in must be one of 'reward', 'loss', but is 'both'"):
        RLHFConfig(kl_in="both")


def test_train_returns_the_policy_and_its_history():
    policy = tiny_policy("ab")
    result = train(policy, LanguageValue.from_policy(policy).double(), frozen_copy(policy), world(),
                   RLHFConfig(steps=2, minibatch_size=6), seed=3)
    assert result.policy is policy and [row["step"] for row in result.history] == [1, 2]
    assert {"reward", "objective/kl", "value_loss", "clip_ratio", "kl"} <= result.history[0].keys()
