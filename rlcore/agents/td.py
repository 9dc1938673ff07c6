"""Temporal-difference prediction: learn a guess from a later guess.

What changed since Monte Carlo: the target is a few rewards and then the value of the state they led to, instead of all
rewards to the end. Why: fewer dice in the target (less variance), for the price of believing an unfinished V (bias).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import gymnasium as gym
import numpy as np
import torch
from gymnasium.vector import SyncVectorEnv, VectorEnv
from torch import Tensor

from rlcore.envs.table_vector_env import count_states
from rlcore.policies import Policy
from rlcore.returns import gae, n_step_returns
from rlcore.rollout import collect
from rlcore.trajectory import Trajectory
from rlcore.validate import check_fraction, check_positive

StepSize = float | Tensor  # α: one number, or a tensor `[..., 1]` for learners that share the same walks


def n_step_td(values: Tensor, walks: Trajectory, gamma: float, n: int, step_size: StepSize) -> Tensor:
    """Go through the walks once, in the order of time, and move V(sₜ) towards Gₜ⁽ⁿ⁾: the new values, `[..., B, S]`.

    V(sₜ) ← V(sₜ) + α (rₜ + … + γᵐ⁻¹ rₜ₊ₘ₋₁ + γᵐ V(sₜ₊ₘ) − V(sₜ)), with m = n, or fewer where the episode ends first.

    Every target is made from the V of its own moment. An agent that learns while it walks, n steps behind itself, makes
    the same updates in the same order, so nothing is lost by walking first: the policy does not look at V.

    Args:
        values: V, one row for each walk, `[..., B, S]`; leading axes are learners that share the walks.
        walks: `[B, T]`.
        gamma: discount, in [0, 1].
        n: how many rewards to see before believing V; 1 is TD(0), and beyond the episode's length it is Monte Carlo.
        step_size: α, in (0, 1].

    Raises:
        ValueError: γ or α out of range, n below 1, values that do not fit the walks.
    Source: Sutton & Barto (2018), eq. 7.2 and the box on page 144; n=1 is eq. 6.2.
    """
    _check(values, walks)
    rewards, how = walks.rewards.double(), (walks.terminated, walks.done, gamma, n)
    nothing = torch.zeros_like(rewards)  # [B, T]
    seen = n_step_returns(rewards, nothing, *how)  # [B, T]  the rewards in Gₜ⁽ⁿ⁾
    trust = n_step_returns(nothing, nothing + 1, *how)  # [B, T]  γᵐ, or 0 where the world ended
    steps = torch.arange(rewards.shape[1])  # [T]
    end = torch.where(walks.done, steps, steps[-1]).flip(-1).cummin(-1).values.flip(-1)  # [B, T] of this episode
    reached = walks.next_states.gather(1, torch.minimum(steps + min(n, len(steps)) - 1, end))  # [B, T]  sₜ₊ₘ
    return _follow(values, walks, seen, trust, reached, step_size)


def lambda_return_td(values: Tensor, walks: Trajectory, gamma: float, lam: float, step_size: StepSize) -> Tensor:
    """Move V(sₜ) towards its λ-return, with targets from the V before the walks: the new values, `[..., B, S]`.

    V(sₜ) ← V(sₜ) + α (Gₜ^λ − V(sₜ)), and Gₜ^λ = V(sₜ) + Âₜ: GAE's advantage, looked at from 0 instead of from V(sₜ).

    This is the offline λ-return algorithm. Arguments and errors are those of `n_step_td`, with λ in [0, 1] for n.

    Source: Sutton & Barto (2018), eq. 12.3 and 12.4.
    """
    _check(values, walks)
    here, ahead = (_look_up(values, states) for states in (walks.states, walks.next_states))  # [..., B, T]
    rewards, terminated, done = (x.expand_as(here) for x in (walks.rewards.double(), walks.terminated, walks.done))
    targets = here + gae(rewards, here, ahead, terminated, done, gamma, lam)  # [..., B, T]
    return _follow(values, walks, targets, torch.zeros(walks.rewards.shape), walks.next_states, step_size)


def _check(values: Tensor, walks: Trajectory) -> None:
    """Require one row of values for each walk, and a column for each state."""
    last = int(torch.maximum(walks.states, walks.next_states).max())
    if values.dim() < 2 or values.shape[-2] != len(walks.states) or values.shape[-1] <= last \
            or values.dtype != torch.float64:
        raise ValueError(f"values must be float64 [..., {len(walks.states)}, S] with S above the last state {last}, "
                         f"but are {values.dtype} {tuple(values.shape)}")


def _look_up(values: Tensor, states: Tensor) -> Tensor:
    """V of each row's states: `[..., B, S]` and `[B, T]` -> `[..., B, T]`."""
    return values.gather(-1, states.expand(*values.shape[:-1], states.shape[-1]))


def _follow(values: Tensor, walks: Trajectory, known: Tensor, trust: Tensor, reached: Tensor,
            step_size: StepSize) -> Tensor:
    """Step after step, in all rows at once: V(sₜ) += α (known + trust · V(reached) − V(sₜ)), where mask is True."""
    rows, num_states = values.shape[-2:]
    alpha = torch.as_tensor(step_size, dtype=torch.float64)
    if not ((alpha > 0) & (alpha <= 1)).all():
        raise ValueError(f"step_size must lie in (0, 1], but is {step_size}")
    flat = values.reshape(*values.shape[:-2], rows * num_states).numpy().copy()  # [..., B · S]
    first = num_states * torch.arange(rows)[:, None]  # where each row begins
    by_time = [np.ascontiguousarray(np.moveaxis(x.numpy(), -1, 0)) for x in  # [T, B] or [T, ..., B]
               (walks.states + first, reached + first, known, trust, walks.mask.double())]
    for here, ahead, seen, weight, chosen in zip(*by_time, strict=True):
        now = flat[..., here]  # [..., B]
        target = seen + weight * flat[..., ahead]
        flat[..., here] = now + alpha.numpy() * chosen * (target - now)
    return torch.from_numpy(flat).view(values.shape)


@dataclass(frozen=True)
class TDConfig:
    """n-step TD prediction (Sutton & Barto, 2018, section 7.1)."""

    episodes: int = 100  # per learner
    n: int = 1  # rewards in a target, at least 1: 1 is TD(0)
    step_size: float = 0.1  # α, in (0, 1]
    gamma: float = 1.0  # discount, in [0, 1]
    initial_value: float = 0.0  # V at the beginning

    def __post_init__(self):
        check_positive("episodes", self.episodes)
        check_positive("n", self.n)
        check_positive("step_size", self.step_size)
        check_fraction("step_size", self.step_size)
        check_fraction("gamma", self.gamma)


@dataclass(frozen=True)
class LambdaConfig:
    """The offline λ-return algorithm (Sutton & Barto, 2018, section 12.1)."""

    episodes: int = 100  # per learner
    lam: float = 0.8  # λ, in [0, 1]: 0 looks one reward ahead, 1 to the end (Monte Carlo with a constant step size)
    step_size: float = 0.1  # α, in (0, 1]
    gamma: float = 1.0  # discount, in [0, 1]
    initial_value: float = 0.0  # V at the beginning

    def __post_init__(self):
        check_positive("episodes", self.episodes)
        check_fraction("lam", self.lam)
        check_positive("step_size", self.step_size)
        check_fraction("step_size", self.step_size)
        check_fraction("gamma", self.gamma)


class TD:
    """Selection: the policy that is judged. Update: one pass over an episode, towards targets that end in a guess."""

    def __init__(self, policy: Policy, num_states: int, config: TDConfig | LambdaConfig, runs: int = 1):
        self.policy, self.config = policy, config
        self.value = torch.full((runs, num_states), config.initial_value, dtype=torch.float64)  # [B, S]

    def act(self, states: Tensor, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """Actions `[B]` and their log-probs."""
        return self.policy.act(states, generator)

    def update(self, walks: Trajectory) -> None:
        """Learn from what happened, one row per run, `[B, T]`."""
        config = self.config
        if isinstance(config, TDConfig):
            self.value = n_step_td(self.value, walks, config.gamma, config.n, config.step_size)
        else:
            self.value = lambda_return_td(self.value, walks, config.gamma, config.lam, config.step_size)


@dataclass(frozen=True)
class TDResult:
    """What training leaves: one learner per world, so `[B, S]` where B worlds were given, and `[S]` for one."""

    policy: Policy
    value: Tensor  # [B, S] or [S]
    history: Tensor  # [episodes, B, S] or [episodes, S]: the values after each episode


def steps(envs: VectorEnv, agent: TD, seed: int) -> Iterator[Tensor]:
    """The loop: play an episode in every world, update, and say what the values are now, `[B, S]`."""
    dice = torch.Generator().manual_seed(seed)
    for number in range(agent.config.episodes):
        agent.update(collect(agent, envs, seed=seed if number == 0 else None, generator=dice))
        yield agent.value


def train(envs: gym.Env | VectorEnv, policy: Policy, config: TDConfig | LambdaConfig, seed: int = 0) -> TDResult:
    """Estimate the values of `policy` from its own episodes. A vector of B worlds trains B independent learners.

    Raises:
        ValueError: states or actions that are not numbers.
        RuntimeError: an episode that has no end.
    """
    num_states, one = count_states(envs), not isinstance(envs, VectorEnv)
    worlds = SyncVectorEnv([lambda: envs]) if one else envs
    agent = TD(policy, num_states, config, worlds.num_envs)
    history = torch.stack(list(steps(worlds, agent, seed)))  # [episodes, B, S]
    history = history[:, 0] if one else history
    return TDResult(policy, history[-1], history)
