"""Value functions: networks that say how good a state, or an action in a state, is going to be."""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.distributions import Categorical

from rlcore.policies import Policy
from rlcore.validate import check_fraction


def mlp(sizes: tuple[int, ...], activation: type[nn.Module] = nn.ReLU) -> nn.Sequential:
    """Linear layers of the given sizes, with an activation between each two."""
    layers = [module for i, o in pairwise(sizes) for module in (nn.Linear(i, o), activation())]
    return nn.Sequential(*layers[:-1])


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
