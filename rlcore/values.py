"""Value functions: networks that say how good a state, or an action in a state, is going to be."""

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.distributions import Categorical, Distribution

from rlcore.policies import Policy
from rlcore.trajectory import Trajectory
from rlcore.validate import check_fraction


def explained_variance(values: Tensor, returns: Tensor, mask: Tensor) -> float:
    """How much of the returns' spread the values foresaw: 1 − Var(G − V) / Var(G), over the mask.

    1 is perfect foresight, 0 is what a constant achieves, below 0 is worse than that; NaN where all returns are equal.
    """
    returns, errors = returns[mask], (returns - values)[mask]
    spread = returns.var(correction=0)
    return (1 - errors.var(correction=0) / spread).item() if spread > 0 else math.nan


def mlp(sizes: tuple[int, ...], activation: type[nn.Module] = nn.ReLU) -> nn.Sequential:
    """Linear layers of the given sizes, with an activation between each two."""
    layers = [module for i, o in pairwise(sizes) for module in (nn.Linear(i, o), activation())]
    return nn.Sequential(*layers[:-1])


class ValueNetwork(nn.Module):
    """V(s): one number, what the future from this state on is worth."""

    def __init__(self, state_size: int, hidden: tuple[int, ...] = (64, 64)):
        super().__init__()
        self.network = mlp((state_size, *hidden, 1), nn.Tanh)

    def forward(self, states: Tensor) -> Tensor:
        """States `[..., state_size]` -> values `[...]`."""
        return self.network(states).squeeze(-1)


class TabularValue(nn.Module):
    """V(s) as a table: states are numbers `[...]` (long). With one state it is a baseline that learns."""

    def __init__(self, num_states: int):
        super().__init__()
        self.values = nn.Parameter(torch.zeros(num_states))

    def forward(self, states: Tensor) -> Tensor:
        """Look the value up: states `[...]` -> values `[...]`."""
        return self.values[states]


@torch.no_grad()
def predict(value: nn.Module, trajectory: Trajectory) -> tuple[Tensor, Tensor]:
    """V(sₜ) and V(sₜ₊₁) at every step of a trajectory, `[..., T]` each, without a gradient.

    For worlds the next state is what the trajectory says, never the first state of another episode. For text, which
    has no `next_states`, it is the text with the new token: the same row, one step on.
    """
    if trajectory.next_states is not None:
        return value(trajectory.states), value(trajectory.next_states)
    tokens = torch.cat([trajectory.states[..., :1], trajectory.actions], -1)  # [..., T + 1]
    values = value(tokens)
    return values[..., :-1], values[..., 1:]


class QNetwork(nn.Module):
    """Q(s, ·): one number for each action, what taking it and acting well afterwards is worth."""

    def __init__(self, state_size: int, num_actions: int, hidden: tuple[int, ...] = (128, 128)):
        super().__init__()
        self.num_actions = num_actions
        self.network = mlp((state_size, *hidden, num_actions))

    def forward(self, states: Tensor) -> Tensor:
        """States `[..., state_size]` -> action values `[..., A]`."""
        return self.network(states)


class EpsilonGreedy(Policy):
    """Mostly the action with the highest value, sometimes any: π(a | s) = ε/A + (1 − ε)·[a is best].

    Several best actions share the 1 − ε, so that a tie never means "the first one".

    Raises:
        ValueError: ε outside [0, 1], or Q has become NaN.
    Source: Sutton & Barto (2018), section 2.2 and p. 101.
    """

    def __init__(self, q: nn.Module, epsilon: float):
        super().__init__()
        check_fraction("epsilon", epsilon)
        self.q, self.epsilon = q, epsilon

    def forward(self, states: Tensor) -> Categorical:
        """States `[..., state_size]` -> batch shape `[...]`."""
        with torch.no_grad():
            values = self.q(states)  # [..., A]
        if values.isnan().any():
            raise ValueError("q gives NaN, so no action is the best: training has diverged, or the states hold NaN")
        best = (values == values.max(-1, keepdim=True).values).float()
        greedy = best / best.sum(-1, keepdim=True)
        return Categorical(probs=self.epsilon / values.shape[-1] + (1 - self.epsilon) * greedy)


class Greedy(Policy):
    """Always what the policy finds most likely: how a policy is judged when it need not explore any more."""

    def __init__(self, policy: Policy):
        super().__init__()
        self.policy = policy

    def forward(self, states: Tensor) -> Distribution:
        """All the probability on one action, for actions that are numbers of things."""
        probs = self.policy(states).probs  # [..., A]
        return Categorical(probs=nn.functional.one_hot(probs.argmax(-1), probs.shape[-1]).to(probs.dtype))

    @torch.no_grad()
    def act(self, states: Tensor, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """The mode, with log-probability 0: there is no chance in it."""
        distribution = self.policy(states)
        return distribution.mode, torch.zeros(distribution.batch_shape)  # [...] each
