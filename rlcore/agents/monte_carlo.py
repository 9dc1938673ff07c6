"""Monte Carlo prediction: how good is a state? Play on from it, many times, and average what came.

What changed since dynamic programming: the average over the table's outcomes becomes an average over outcomes that
happened. Why: nobody hands out the table of a world, but everybody may play in it.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import gymnasium as gym
import torch
from gymnasium.vector import SyncVectorEnv, VectorEnv
from torch import Tensor

from rlcore.envs.table_vector_env import count_states
from rlcore.policies import Policy
from rlcore.returns import discounted_returns
from rlcore.rollout import collect
from rlcore.trajectory import Trajectory
from rlcore.validate import check_bool, check_choice, check_fraction, check_positive, check_same_shape


def first_visits(states: Tensor, mask: Tensor, num_states: int) -> Tensor:
    """True where a row meets its state for the first time: states, mask `[B, T]` -> `[B, T]` bool."""
    time = torch.arange(states.shape[-1]).expand_as(states)  # [B, T]
    never = torch.full((len(states), num_states), states.shape[-1])  # [B, S]
    first = never.scatter_reduce(1, states, time.masked_fill(~mask, states.shape[-1]), "amin")
    return mask & (first.gather(1, states) == time)


def importance_ratios(log_probs: Tensor, behaviour_log_probs: Tensor, done: Tensor) -> Tensor:
    """How much likelier the rest of the episode is under one policy than under the one that acted, `[..., T]`.

    ρₜ = Πₖ π(aₖ | sₖ) / b(aₖ | sₖ), over k from t to the end of the episode. The logarithm of a product is a sum, and
    a sum to the end of the episode is a return without discount.

    Raises:
        ValueError: unequal shapes, `done` not bool, a policy that acted with probability 0.
    Source: Sutton & Barto (2018), eq. 5.3.
    """
    check_same_shape(log_probs=log_probs, behaviour_log_probs=behaviour_log_probs)
    check_bool(done=done)
    if not behaviour_log_probs.isfinite().all():
        raise ValueError("behaviour_log_probs must be finite, because what was done was possible, but one of them is "
                         f"{behaviour_log_probs[~behaviour_log_probs.isfinite()][0]}")
    return discounted_returns(log_probs - behaviour_log_probs, done, gamma=1.0).exp()


@dataclass(frozen=True)
class MonteCarloConfig:
    """Monte Carlo prediction, on- and off-policy (Sutton & Barto, 2018, sections 5.1 and 5.5)."""

    episodes: int = 100  # per learner
    gamma: float = 1.0  # discount, in [0, 1]
    first_visit: bool = True  # count a state once per episode; False counts every visit
    weighting: str = "weighted"  # of somebody else's episodes: divide by "weighted" Σρ, or by "ordinary" counts
    initial_value: float = 0.0  # of a state that nothing is known about yet

    def __post_init__(self):
        check_positive("episodes", self.episodes)
        check_fraction("gamma", self.gamma)
        check_choice("weighting", self.weighting, ("weighted", "ordinary"))


class MonteCarlo:
    """Selection: the policy that is judged, or a `behaviour` in its place. Update: one more return in the average."""

    def __init__(self, policy: Policy, num_states: int, config: MonteCarloConfig, behaviour: Policy | None = None,
                 runs: int = 1):
        self.policy, self.behaviour, self.config = policy, behaviour, config
        self.totals, self.weights = torch.zeros(2, runs, num_states, dtype=torch.float64)  # [B, S] Σ ρ G, and Σ ρ

    def act(self, states: Tensor, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """Actions `[B]` and their log-probs, of whoever plays."""
        return (self.behaviour or self.policy).act(states, generator)

    @property
    def value(self) -> Tensor:
        """V, `[B, S]`."""
        return torch.where(self.weights > 0, self.totals / self.weights, self.config.initial_value)

    def update(self, episode: Trajectory) -> None:
        """Learn from one whole episode per run, `[B, T]`.

        V(s) = Σ ρ G / Σ ρ over the visits to s (weighted), or Σ ρ G / number of visits (ordinary). ρ = 1 where the
        policy played itself, and then both are the plain average.

        Raises:
            ValueError: an episode that was cut off, whose return nobody knows.
        Source: Sutton & Barto (2018), eq. 5.5 and 5.6.
        """
        if episode.truncated.any():
            raise ValueError(f"{int(episode.truncated.sum())} episodes were truncated, so their returns are unknown: "
                             "Monte Carlo needs whole episodes. Give the world a later limit, or use rlcore.agents.td")
        returns = discounted_returns(episode.rewards.double(), episode.done, self.config.gamma)  # [B, T]
        used = episode.mask
        if self.config.first_visit:
            used = first_visits(episode.states, used, self.totals.shape[-1])
        ratios = torch.ones_like(returns)
        if self.behaviour is not None:
            log_probs, _ = self.policy.evaluate_actions(episode.states, episode.actions, episode.mask)
            ratios = importance_ratios(log_probs.detach().double(), episode.log_probs.double(), episode.done)
        counts = ratios if self.config.weighting == "weighted" else torch.ones_like(returns)
        self.totals.scatter_add_(1, episode.states, (ratios * returns).masked_fill(~used, 0.0))
        self.weights.scatter_add_(1, episode.states, counts.masked_fill(~used, 0.0))


@dataclass(frozen=True)
class MonteCarloResult:
    """What training leaves: one learner per world, so `[B, S]` where B worlds were given, and `[S]` for one."""

    policy: Policy
    value: Tensor  # [B, S] or [S]
    history: Tensor  # [episodes, B, S] or [episodes, S]: the values after each episode


def steps(envs: VectorEnv, agent: MonteCarlo, seed: int) -> Iterator[Tensor]:
    """The loop: play an episode in every world, update, and say what the values are now, `[B, S]`."""
    dice = torch.Generator().manual_seed(seed)
    for number in range(agent.config.episodes):
        agent.update(collect(agent, envs, seed=seed if number == 0 else None, generator=dice))
        yield agent.value


def train(envs: gym.Env | VectorEnv, policy: Policy, config: MonteCarloConfig, seed: int = 0,
          behaviour: Policy | None = None) -> MonteCarloResult:
    """Estimate the values of `policy`, from its own episodes or, with `behaviour`, from somebody else's.

    A vector of B worlds trains B independent learners, one in each.

    Raises:
        ValueError: states or actions that are not numbers; episodes that are truncated.
        RuntimeError: an episode that has no end.
    """
    num_states, one = count_states(envs), not isinstance(envs, VectorEnv)
    worlds = SyncVectorEnv([lambda: envs]) if one else envs
    agent = MonteCarlo(policy, num_states, config, behaviour, worlds.num_envs)
    history = torch.stack(list(steps(worlds, agent, seed)))  # [episodes, B, S]
    history = history[:, 0] if one else history
    return MonteCarloResult(policy, history[-1], history)
