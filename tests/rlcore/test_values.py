"""Value networks, and the policy that is ε-greedy in one."""

import pytest
import torch
from torch import nn

from rlcore.values import EpsilonGreedy, QNetwork, mlp


class Fixed(nn.Module):
    """Says the same action values whatever the state."""

    def __init__(self, values):
        super().__init__()
        self.values = torch.tensor(values)

    def forward(self, states):
        return self.values.expand(*states.shape[:-1], -1)


def test_sizes_and_activations():
    assert [type(layer).__name__ for layer in mlp((4, 8, 8, 2))] == ["Linear", "ReLU", "Linear", "ReLU", "Linear"]
    assert [type(layer).__name__ for layer in mlp((4, 2), nn.Tanh)] == ["Linear"]  # no activation behind the last


def test_one_number_per_action_for_any_batch():
    q = QNetwork(3, 5, hidden=(7,))
    assert q(torch.zeros(3)).shape == (5,) and q(torch.zeros(2, 4, 3)).shape == (2, 4, 5)


def test_epsilon_greedy_by_hand():
    policy = EpsilonGreedy(Fixed([1.0, 3.0, 2.0, 3.0]), epsilon=0.2)
    # ε/A = 0.05 for each; the 0.8 that are left are shared by the two best
    expected = torch.tensor([0.05, 0.45, 0.05, 0.45])
    torch.testing.assert_close(policy(torch.zeros(6, 2)).probs, expected.expand(6, 4))


def test_greedy_and_uniform():
    values = Fixed([-5.0, -1.0])  # all negative: the best is still the highest, not the one nearest to 0 from above
    assert EpsilonGreedy(values, 0.0)(torch.zeros(1)).probs.tolist() == [0.0, 1.0]
    assert EpsilonGreedy(values, 1.0)(torch.zeros(1)).probs.tolist() == [0.5, 0.5]


def test_acting_builds_no_graph():
    q = QNetwork(2, 2)
    assert not EpsilonGreedy(q, 0.1)(torch.ones(2)).probs.requires_grad


def test_bad_input_is_named():
    with pytest.raises(ValueError, match=r"epsilon must lie in \[0, 1\], but is 1.5"):
        EpsilonGreedy(Fixed([0.0]), 1.5)
    with pytest.raises(ValueError, match="q gives NaN"):
        EpsilonGreedy(Fixed([0.0, float("nan")]), 0.1)(torch.zeros(1))
