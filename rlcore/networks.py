"""Networks for worlds whose states are vectors: continuous actions, and a policy and a value function to begin with."""

import math

import torch
from gymnasium.spaces import Box, Discrete
from gymnasium.vector import VectorEnv
from torch import Tensor, nn
from torch.distributions import Independent, Normal

from rlcore.policies import MLPPolicy, Policy
from rlcore.validate import check_positive
from rlcore.values import ValueNetwork, mlp


class GaussianPolicy(Policy):
    """For actions that are vectors of real numbers: a normal distribution around what the network says.

    π(a | s) = Πᵢ N(aᵢ; μᵢ(s), σᵢ²), with the mean μ(s) from a tanh network and one learned log σᵢ per number, the same
    in every state. log π is a log *density*: it may well be above 0.

    Source: Sutton & Barto (2018), section 13.7.
    """

    def __init__(self, state_size: int, action_size: int, hidden: tuple[int, ...] = (64, 64), std: float = 1.0):
        super().__init__()
        check_positive("std", std)
        self.network = mlp((state_size, *hidden, action_size), nn.Tanh)
        self.log_std = nn.Parameter(torch.full((action_size,), math.log(std)))

    def forward(self, states: Tensor) -> Independent:
        """States `[..., state_size]` -> batch shape `[...]`, actions `[..., action_size]`."""
        mean = self.network(states)  # [..., action_size]
        return Independent(Normal(mean, self.log_std.exp().expand_as(mean)), 1)

    @torch.no_grad()
    def act(self, states: Tensor, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """As for every policy, only cheaper: acting is asked for at every step, so no distribution is built."""
        mean, std = self.network(states), self.log_std.exp()
        noise = torch.randn(mean.shape, generator=generator, dtype=mean.dtype)  # [..., action_size]
        log_density = -0.5 * noise.square() - self.log_std - 0.5 * math.log(2 * math.pi)
        return mean + std * noise, log_density.sum(-1)


@torch.no_grad()
def orthogonal_(network: nn.Sequential, output_gain: float) -> None:
    """Make every layer's weights orthogonal (√2 in the hidden layers, `output_gain` in the last), and biases 0.

    An orthogonal matrix changes no length, so neither signals nor gradients fade on their way through the layers. A
    small last gain makes a new policy almost uniform: it explores before it prefers.

    Source: Saxe et al. (2014), arXiv:1312.6120; for PPO: Andrychowicz et al. (2021), arXiv:2006.05990, section 3.2.
    """
    layers = [module for module in network if isinstance(module, nn.Linear)]
    for layer in layers:
        nn.init.orthogonal_(layer.weight, output_gain if layer is layers[-1] else math.sqrt(2))
        nn.init.zeros_(layer.bias)


def actor_and_critic(
    envs: VectorEnv, hidden: tuple[int, ...] = (64, 64), orthogonal: bool = True, seed: int = 0
) -> tuple[MLPPolicy | GaussianPolicy, ValueNetwork]:
    """A new policy and a new value function that fit these worlds, each a network of its own.

    Raises:
        ValueError: states that are not vectors, or actions that are neither numbers of things nor vectors.
    """
    space, actions = envs.single_observation_space, envs.single_action_space
    if not isinstance(space, Box) or len(space.shape) != 1:
        raise ValueError(f"envs must show vectors, Box(n,), but show {space}")
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        if isinstance(actions, Discrete) and actions.start == 0:
            policy = MLPPolicy(space.shape[0], int(actions.n), hidden)
        elif isinstance(actions, Box) and len(actions.shape) == 1:
            policy = GaussianPolicy(space.shape[0], actions.shape[0], hidden)
        else:
            raise ValueError(f"envs must take actions from Discrete(n) or Box(n,), but take {actions}")
        value = ValueNetwork(space.shape[0], hidden)
        if orthogonal:
            orthogonal_(policy.network, output_gain=0.01)
            orthogonal_(value.network, output_gain=1.0)
    return policy, value
