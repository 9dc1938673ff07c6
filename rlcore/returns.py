"""From rewards to "how good was that?": returns, TD errors and advantages, as pure functions.

Every tensor is `[..., T]`, time last. `rewards[t]` follows the action at t; `values[t]` is V(sₜ); `next_values[t]` is
V of the state that the action led to, *within the same episode*. Two flags are never mixed up: `terminated` (the
world ended: there is no future to value) and `done` (terminated or truncated: what follows is another episode).
"""

import torch
from torch import Tensor

from rlcore.validate import check_bool, check_fraction, check_real, check_same_shape


def discounted_returns(rewards: Tensor, done: Tensor, gamma: float) -> Tensor:
    """What each step's future is worth, `[..., T]`.

    Gₜ = rₜ + γ (1 − doneₜ) Gₜ₊₁, and G is 0 after the last step. Nothing leaks across `done`.

    Raises:
        ValueError: γ outside [0, 1], unequal shapes, no step, rewards that are integers, or `done` not bool.
    Source: Sutton & Barto (2018), eq. 3.9.
    """
    check_fraction("gamma", gamma)
    check_real(rewards=rewards)
    check_same_shape(rewards=rewards, done=done)
    check_bool(done=done)
    returns, future = torch.empty_like(rewards), torch.zeros_like(rewards[..., 0])
    for t in reversed(range(rewards.shape[-1])):
        future = rewards[..., t] + gamma * future.masked_fill(done[..., t], 0.0)  # not `* ~done`: 0 · inf is NaN
        returns[..., t] = future
    return returns


def n_step_returns(
    rewards: Tensor, next_values: Tensor, terminated: Tensor, done: Tensor, gamma: float, n: int
) -> Tensor:
    """Look n rewards ahead, then trust the value function, `[..., T]`.

    Gₜ⁽ⁿ⁾ = rₜ + γ rₜ₊₁ + … + γᵐ⁻¹ rₜ₊ₘ₋₁ + γᵐ (1 − terminatedₜ₊ₘ₋₁) V(sₜ₊ₘ)

    m = n, or fewer where the episode (or the data) ends first. n=1 is the TD target; n ≥ T is Monte Carlo, up to the
    bootstrap of an episode that was cut off.

    Raises:
        ValueError: γ outside [0, 1], n below 1, unequal shapes, flags not bool, or terminated where it is not done.
    Source: Sutton & Barto (2018), eq. 7.1.
    """
    check_fraction("gamma", gamma)
    if n < 1:
        raise ValueError(f"n must be at least 1, but is {n}")
    check_same_shape(rewards=rewards, next_values=next_values, terminated=terminated, done=done)
    check_bool(terminated=terminated, done=done)
    _check_ends(terminated, done)
    bootstrap = next_values * ~terminated  # [..., T]
    returns = rewards + gamma * bootstrap  # m = 1
    for _ in range(min(n, rewards.shape[-1]) - 1):
        # The return one step on, looked at from here; where the episode or the data stops, its bootstrap.
        ahead = torch.cat([returns[..., 1:], bootstrap[..., -1:]], -1)
        returns = rewards + gamma * torch.where(done, bootstrap, ahead)
    return returns


def td_errors(rewards: Tensor, values: Tensor, next_values: Tensor, terminated: Tensor, gamma: float) -> Tensor:
    """One-step surprise at each step, `[..., T]`.

    δₜ = rₜ + γ (1 − terminatedₜ) V(sₜ₊₁) − V(sₜ)

    A truncated episode still has a future: only termination cuts the bootstrap.

    Raises:
        ValueError: γ outside [0, 1], unequal shapes, or `terminated` not bool.
    Source: Sutton & Barto (2018), eq. 6.5.
    """
    check_fraction("gamma", gamma)
    check_same_shape(rewards=rewards, values=values, next_values=next_values, terminated=terminated)
    check_bool(terminated=terminated)
    return rewards + gamma * next_values * ~terminated - values


def gae(rewards: Tensor, values: Tensor, next_values: Tensor, terminated: Tensor, done: Tensor,
        gamma: float, lam: float) -> Tensor:
    """Generalised advantage estimation: an average over all n-step advantages, `[..., T]`.

    Âₜ = δₜ + γ λ (1 − doneₜ) Âₜ₊₁

    λ=0 is the TD error (little variance, the value function's bias); λ=1 is return − value (no bias, all the
    variance). The bootstrap inside δ stops at `terminated`, the recursion stops at `done`.

    Raises:
        ValueError: γ or λ outside [0, 1], unequal shapes, flags not bool, or terminated where it is not done.
    Source: Schulman et al. (2016), arXiv:1506.02438, eq. 16.
    """
    check_fraction("lam", lam)
    check_same_shape(terminated=terminated, done=done)
    check_bool(terminated=terminated, done=done)
    _check_ends(terminated, done)
    deltas = td_errors(rewards, values, next_values, terminated, gamma)
    return discounted_returns(deltas, done, gamma * lam)  # the same recursion, with δ for r and γλ for γ


def whiten(x: Tensor, mask: Tensor, eps: float = 1e-8) -> Tensor:
    """Shift and scale to mean 0 and standard deviation 1 over the mask, `[..., T]`; 0 elsewhere.

    One learning rate then fits worlds that pay in pennies and in thousands. Steps that were all as good as expected
    stay 0.

    Raises:
        ValueError: unequal shapes, a mask that is not bool or all False.
    """
    check_same_shape(x=x, mask=mask)
    check_bool(mask=mask)
    if not mask.any():
        raise ValueError("mask is all False: there is no step to take the mean of")
    inside = x[mask]
    whitened = (x - inside.mean()) / (inside.std(correction=0) + eps)
    return whitened.masked_fill(~mask, 0.0)


def _check_ends(terminated: Tensor, done: Tensor) -> None:
    """Require every termination to be an end; it is not one where the two arguments have changed places."""
    if (terminated & ~done).any():
        raise ValueError("terminated is True at a step that is not done: have the two changed places?")


def group_advantages(rewards: Tensor, normalize: bool = True, eps: float = 1e-4) -> Tensor:
    """How much better each answer was than the others to the same question, `[..., G]`.

    Âᵢ = (rᵢ − mean(r)) / (std(r) + eps), mean and sample standard deviation (ddof = 1) over the group, the last axis.
    With `normalize=False` the mean is subtracted and nothing is divided (Dr. GRPO). A group of equal rewards has
    nothing to say: it gets exactly 0.

    Raises:
        ValueError: a group of one, which has nobody to be compared with; rewards that are integers; eps below 0.
    Source: Shao et al. (2024), arXiv:2402.03300, section 4.1; Liu et al. (2025), arXiv:2503.20783.
    """
    check_real(rewards=rewards)
    if rewards.shape[-1] < 2:
        raise ValueError(f"a group needs at least 2 rewards on the last axis, but rewards is {tuple(rewards.shape)}")
    if eps < 0:
        raise ValueError(f"eps must be at least 0, but is {eps}")
    equal = (rewards == rewards[..., :1]).all(-1, keepdim=True)  # exact: the mean of equal floats may be off by one bit
    centred = rewards - rewards.mean(-1, keepdim=True)  # [..., G]
    if normalize:
        centred = centred / (rewards.std(-1, keepdim=True) + eps)
    return torch.where(equal, 0.0, centred)


def leave_one_out_advantages(rewards: Tensor) -> Tensor:
    """How much better each answer was than the mean of the *other* answers to the same question, `[..., G]`.

    Âᵢ = rᵢ − 1/(G − 1) Σⱼ≠ᵢ rⱼ = G/(G − 1) · (rᵢ − mean(r))

    What an answer is compared with does not depend on it, so the policy gradient stays unbiased. A group of equal
    rewards gets exactly 0.

    Raises:
        ValueError: a group of one, which has no others; rewards that are integers.
    Source: Kool, van Hoof & Welling (2019), "Buy 4 REINFORCE samples, get a baseline for free!"; as RLOO in Ahmadian et
        al. (2024), arXiv:2402.14740.
    """
    centred = group_advantages(rewards, normalize=False)  # [..., G]
    return centred * rewards.shape[-1] / (rewards.shape[-1] - 1)
