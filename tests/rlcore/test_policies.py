"""Policies: a table, a network, a rule and GPT-2 are one thing to whoever holds them."""

import math

import pytest
import torch
from tiny_lm import tiny_policy
from torch.distributions import Independent, Laplace, Normal

from rlcore.policies import (
    LanguagePolicy,
    MLPPolicy,
    Policy,
    ScriptedPolicy,
    TabularPolicy,
    UniformPolicy,
    evaluating,
    sample,
)

torch.set_num_threads(1)


class Gaussian(Policy):
    """A continuous policy: two actions around the state."""

    def forward(self, states):
        return Independent(Normal(states, 0.5), 1)


def filled_table(states=3, actions=4):
    policy = TabularPolicy(states, actions).double()
    with torch.no_grad():
        policy.logits.copy_(torch.randn(states, actions, generator=torch.Generator().manual_seed(0)))
    return policy


def test_a_table_is_a_softmax_of_its_row():
    policy = TabularPolicy(2, 3)
    assert torch.equal(policy(torch.tensor([0, 1])).probs, torch.full((2, 3), 1 / 3))  # a new table prefers nothing
    with torch.no_grad():
        policy.logits.copy_(torch.tensor([[1.0, 2, 4], [8, 4, 4]]).log())
    states = torch.tensor([[0, 1, 0], [1, 1, 0]])
    probs = policy(states).probs
    assert probs.shape == (2, 3, 3)
    torch.testing.assert_close(probs[0, 0], torch.tensor([1.0, 2, 4]) / 7)  # e^{log x} / Σ
    torch.testing.assert_close(probs[1, 0], torch.tensor([8.0, 4, 4]) / 16)


def test_rules_networks_and_no_preference_at_all():
    states = torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(0))
    uniform = UniformPolicy(4)(states)
    assert uniform.probs.shape == (2, 5, 4) and torch.equal(uniform.probs, torch.full((2, 5, 4), 0.25))
    rule = ScriptedPolicy(lambda s: (s[..., 0] > 0).long(), 2)
    actions, log_probs = rule.act(states)
    assert torch.equal(actions, (states[..., 0] > 0).long()) and log_probs.abs().max() < 1e-6  # log 1
    network = MLPPolicy(3, 4)
    assert network(states).probs.shape == (2, 5, 4)
    assert [layer.out_features for layer in network.network if isinstance(layer, torch.nn.Linear)] == [64, 64, 4]
    linear = MLPPolicy(3, 4, hidden=())
    (layer,) = linear.network
    expected = (states @ layer.weight.T + layer.bias).softmax(-1)
    torch.testing.assert_close(linear(states).probs, expected)


POLICIES = {
    "table": lambda: (filled_table(), torch.tensor([[0, 1, 2, 1], [2, 2, 0, 1]])),
    "network": lambda: (MLPPolicy(3, 4, (8,)).double(), torch.linspace(-1, 1, 24).view(2, 4, 3).double()),
    "GPT-2": lambda: (tiny_policy("ab"), torch.tensor([[2, 3, 2, 2], [3, 1, 0, 2]])),
    "GPT-2, plain": lambda: (tiny_policy("ab", share_prefixes=False), torch.tensor([[2, 3, 2, 2], [3, 1, 0, 2]])),
    "continuous": lambda: (Gaussian(), torch.linspace(-1, 1, 16).view(2, 4, 2).double()),
}


@pytest.mark.parametrize("name", POLICIES)
def test_acting_and_evaluating_agree_and_outside_the_mask_is_0(name):
    policy, states = POLICIES[name]()
    actions, acted = policy.act(states)  # [2, 4]
    assert acted.shape == (2, 4) and not acted.requires_grad
    mask = torch.tensor([[1, 1, 0, 1], [1, 0, 0, 0]]).bool()
    log_probs, nothing = policy.evaluate_actions(states, actions, mask)
    assert nothing is None
    torch.testing.assert_close(log_probs.detach(), acted * mask, rtol=0, atol=1e-12)
    distribution = policy(states)
    torch.testing.assert_close(distribution.log_prob(actions).masked_fill(~mask, 0), log_probs, rtol=0, atol=1e-12)
    log_probs, entropy = policy.evaluate_actions(states, actions, mask, entropy=True)
    torch.testing.assert_close(entropy, distribution.entropy().masked_fill(~mask, 0), rtol=0, atol=1e-12)
    assert (log_probs[~mask] == 0).all() and (entropy[~mask] == 0).all() and (entropy[mask] > 0).all()


def test_entropy_by_hand():
    policy = TabularPolicy(1, 2).double()
    with torch.no_grad():
        policy.logits.copy_(torch.tensor([[3.0, 1.0]]).log())
    state = torch.zeros(1, 1).long()
    _, entropy = policy.evaluate_actions(state, state, torch.ones(1, 1).bool(), entropy=True)
    assert entropy.item() == pytest.approx(-(0.75 * math.log(0.75) + 0.25 * math.log(0.25)))  # π = ¾, ¼


def test_samples_follow_the_distribution_and_the_generator():
    policy = filled_table()
    states = torch.arange(3).repeat(4000, 1)  # [4000, 3]
    for generator in (torch.Generator().manual_seed(0), None):
        torch.manual_seed(0)
        actions, log_probs = policy.act(states, generator)
        share = torch.nn.functional.one_hot(actions, 4).double().mean(0)
        pi = policy(torch.arange(3)).probs.detach()
        assert ((share - pi).abs() < 5 * (pi * (1 - pi) / 4000).sqrt()).all()  # five standard errors
        torch.testing.assert_close(log_probs, pi.log()[states, actions])
    torch.manual_seed(1)
    first = policy.act(states, torch.Generator().manual_seed(3))[0]
    torch.manual_seed(2)  # one's own generator does not look at the global one
    assert torch.equal(policy.act(states, torch.Generator().manual_seed(3))[0], first)
    assert not torch.equal(policy.act(states, torch.Generator().manual_seed(4))[0], first)


def test_what_cannot_work_is_named():
    with pytest.raises(NotImplementedError, match=r"Policy must define forward\(states\) -> Distribution"):
        Policy().act(torch.zeros(1))
    with pytest.raises(ValueError, match="generator works with Categorical and Normal, but the policy gave a Laplace"):
        sample(Independent(Laplace(torch.zeros(2), 1.0), 1), torch.Generator())
    with pytest.raises(ValueError, match=r"log_probs \(2, 4\), mask \(4,\)"):
        states = torch.zeros(2, 4).long()
        filled_table().evaluate_actions(states, states, torch.ones(4).bool())


def test_continuous_actions_can_be_drawn_from_one_s_own_generator():
    states = torch.zeros(20_000, 2) + torch.tensor([1.0, -2.0])
    actions, log_probs = Gaussian().act(states, torch.Generator().manual_seed(0))
    # five standard errors: of a mean 0.5/√20000, of a standard deviation 0.5/√40000
    assert ((actions.mean(0) - states[0]).abs() < 5 * 0.5 / 20_000**0.5).all()
    assert ((actions.std(0) - 0.5).abs() < 5 * 0.5 / 40_000**0.5).all()
    torch.testing.assert_close(log_probs, Gaussian()(states).log_prob(actions))
    assert torch.equal(Gaussian().act(states, torch.Generator().manual_seed(0))[0], actions)


@pytest.mark.parametrize("shape", [(3,), (4, 3), (2, 5, 3)])
def test_the_cheap_way_of_a_network_policy_is_the_plain_one(shape):
    torch.manual_seed(0)
    policy, states = MLPPolicy(3, 4, (8,)).double(), torch.randn(shape, dtype=torch.float64)
    actions, log_probs = policy.act(states, torch.Generator().manual_seed(1))
    plain_actions, plain_log_probs = Policy.act(policy, states, torch.Generator().manual_seed(1))
    assert torch.equal(actions, plain_actions)
    torch.testing.assert_close(log_probs, plain_log_probs, rtol=0, atol=1e-13)
    if len(shape) == 3:
        mask = torch.tensor([[1, 1, 0, 1, 1], [1, 0, 0, 0, 1]]).bool()
        for ours, plain in zip(policy.evaluate_actions(states, actions, mask, entropy=True),
                               Policy.evaluate_actions(policy, states, actions, mask, entropy=True), strict=True):
            torch.testing.assert_close(ours, plain, rtol=0, atol=1e-13)
        assert policy.evaluate_actions(states, actions, mask)[1] is None


def test_sample_keeps_every_batch_axis():
    probs = torch.eye(3)[torch.tensor([[[0, 2], [1, 1]]])]  # [1, 2, 2, 3], no chance in it
    drawn = sample(torch.distributions.Categorical(probs=probs), torch.Generator().manual_seed(0))
    assert drawn.tolist() == [[[0, 2], [1, 1]]]


def test_a_language_policy_is_a_categorical_of_logits_over_temperature():
    policy = tiny_policy("ab", temperature=0.5)
    tokens = torch.tensor([[2, 3, 2], [3, 3, 1]])
    logits = policy.model(input_ids=tokens).logits
    torch.testing.assert_close(policy(tokens).probs, (logits / 0.5).softmax(-1), rtol=0, atol=1e-14)
    assert not torch.allclose(policy(tokens).probs, logits.softmax(-1), atol=1e-3)


@pytest.mark.parametrize("training", [True, False])
def test_evaluating_leaves_a_model_as_it_was_found(training):
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Dropout(0.5)).train(training)
    with evaluating(model) as same:
        assert same is model and not model.training and not model[1].training
    assert model.training == model[1].training == training
    with pytest.raises(RuntimeError, match="on the way"), evaluating(model):
        raise RuntimeError("on the way")
    assert model.training == training


def test_gradients_reach_the_model_and_only_from_the_mask():
    policy = tiny_policy("ab", share_prefixes=False)
    tokens = torch.tensor([[2, 3, 2, 3]])
    grads = []
    for last in (2, 3):  # what stands at the masked end is no part of it
        tokens[0, -1] = last
        log_probs, entropy = policy.evaluate_actions(
            tokens[:, :-1], tokens[:, 1:], torch.tensor([[True, True, False]]), entropy=True
        )
        grads.append(torch.autograd.grad((log_probs + entropy).sum(), list(policy.parameters())))
    assert all(torch.equal(a, b) for a, b in zip(*grads, strict=True))
    assert all(grad.isfinite().all() for grad in grads[0])
    assert isinstance(policy, LanguagePolicy) and max(grad.abs().max() for grad in grads[0]) > 0.01


def test_dice_also_know_states_that_are_numbers():
    dice = UniformPolicy(num_actions=3)
    assert dice(torch.zeros(5, dtype=torch.long)).batch_shape == (5,)  # five numbered states
    assert dice(torch.zeros(5, 6)).batch_shape == (5,)  # five vectors
    action, log_prob = TabularPolicy(4, 2).act(torch.tensor(3), torch.Generator().manual_seed(0))  # one state, no batch
    assert action.shape == log_prob.shape == ()


def test_evaluating_leaves_each_part_as_it_was():
    model = torch.nn.Sequential(torch.nn.Dropout(), torch.nn.Dropout())
    model.train()
    model[0].eval()  # frozen by hand
    with evaluating(model):
        assert not any(module.training for module in model.modules())
    assert [module.training for module in model.modules()] == [True, False, True]


def test_a_text_longer_than_the_model_is_named():
    policy = tiny_policy("ab", positions=4)
    assert policy(torch.full((2, 4), 2)).batch_shape == (2, 4)
    with pytest.raises(ValueError, match="states has texts of 5 tokens, but the model has only 4 positions"):
        policy(torch.full((2, 5), 2))
