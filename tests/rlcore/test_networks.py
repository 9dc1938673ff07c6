"""Networks to begin with: shapes, densities, orthogonal weights, and worlds they do not fit."""

import math

import gymnasium as gym
import pytest
import torch

from rlcore.networks import GaussianPolicy, actor_and_critic, orthogonal_
from rlcore.policies import MLPPolicy, Policy
from rlcore.values import mlp

torch.set_num_threads(1)


def test_a_gaussian_s_density_by_hand():
    policy = GaussianPolicy(1, 2, (), std=2.0)
    with torch.no_grad():
        policy.network[0].weight.zero_()
        policy.network[0].bias.copy_(torch.tensor([1.0, -1.0]))
    # μ = (1, −1), σ = 2, a = (3, −1): −½·1² − 0 − 2·log 2 − log 2π
    expected = -0.5 - 2 * math.log(2) - math.log(2 * math.pi)
    log_prob = policy(torch.zeros(5, 1)).log_prob(torch.tensor([3.0, -1.0]))
    assert log_prob.tolist() == pytest.approx([expected] * 5, abs=1e-6)


@pytest.mark.parametrize("shape", [(3,), (4, 3), (2, 5, 3)])
def test_a_gaussian_s_cheap_way_of_acting_is_the_plain_one(shape):
    torch.manual_seed(0)
    policy, states = GaussianPolicy(3, 2, (8,), std=0.7).double(), torch.randn(shape, dtype=torch.float64)
    actions, log_probs = policy.act(states, torch.Generator().manual_seed(1))
    assert actions.shape == (*shape[:-1], 2) and log_probs.shape == shape[:-1]
    torch.testing.assert_close(log_probs, policy(states).log_prob(actions), rtol=0, atol=1e-13)
    plain = Policy.act(policy, states, torch.Generator().manual_seed(1))[0]
    torch.testing.assert_close(actions, plain, rtol=0, atol=1e-13)


def test_orthogonal_layers_change_no_length():
    network = mlp((16, 16, 16, 4), torch.nn.Tanh)
    orthogonal_(network, output_gain=0.01)
    first, second, last = (layer for layer in network if isinstance(layer, torch.nn.Linear))
    for layer in (first, second):  # W Wᵀ = (√2)² 1
        torch.testing.assert_close(layer.weight @ layer.weight.T, 2 * torch.eye(16), rtol=0, atol=1e-5)
    torch.testing.assert_close(last.weight @ last.weight.T, 1e-4 * torch.eye(4), rtol=0, atol=1e-8)
    assert all((layer.bias == 0).all() for layer in (first, second, last))


def test_networks_fit_their_worlds_and_come_from_the_seed_alone():
    cart, pendulum = gym.make_vec("CartPole-v1", 2), gym.make_vec("Pendulum-v1", 2)
    policy, value = actor_and_critic(cart, seed=3)
    assert isinstance(policy, MLPPolicy) and policy(torch.zeros(7, 4)).logits.shape == (7, 2)
    assert value(torch.zeros(7, 5, 4)).shape == (7, 5)
    torch.manual_seed(99)
    before = torch.get_rng_state()
    again, other = actor_and_critic(cart, seed=3)[0], actor_and_critic(cart, seed=4)[0]
    assert torch.equal(torch.get_rng_state(), before)  # nobody else's dice were thrown
    assert torch.equal(again.network[0].weight, policy.network[0].weight)
    assert not torch.equal(other.network[0].weight, policy.network[0].weight)
    continuous, _ = actor_and_critic(pendulum)
    assert isinstance(continuous, GaussianPolicy) and continuous.act(torch.zeros(6, 3))[0].shape == (6, 1)
    nearly_uniform = policy(torch.randn(100, 4, generator=torch.Generator().manual_seed(0))).probs
    assert (nearly_uniform - 0.5).abs().max() < 0.05
    plain, _ = actor_and_critic(cart, orthogonal=False)
    assert not torch.allclose(plain.network[0].bias, torch.zeros(64))


def test_worlds_that_do_not_fit_are_named():
    with pytest.raises(ValueError, match=r"must show vectors, Box\(n,\), but show .*Discrete"):
        actor_and_critic(gym.make_vec("FrozenLake-v1", 2))

    class Odd(gym.Env):
        observation_space, action_space = gym.spaces.Box(-1, 1, (2,)), gym.spaces.MultiBinary(3)

    with pytest.raises(ValueError, match=r"Discrete\(n\) or Box\(n,\), but take MultiBinary"):
        actor_and_critic(gym.vector.SyncVectorEnv([Odd]))
    with pytest.raises(ValueError, match="std must be a positive number, but is 0"):
        GaussianPolicy(1, 1, std=0.0)
