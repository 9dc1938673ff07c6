"""REINFORCE: do more of what turned out well.

What changed since DQN: no action values. The policy itself is a network, and its own log-probs are pushed up or down.
Why: a policy can be random where that is best, act where actions are real numbers or words, and be improved directly.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from rlcore.learner import Learner, World
from rlcore.losses import length_mean, masked_mean
from rlcore.policies import Policy
from rlcore.recorder import Metrics, Result, run
from rlcore.returns import discounted_returns
from rlcore.trajectory import Batch, Trajectory, last_steps
from rlcore.update import policy_update
from rlcore.validate import check_choice, check_fraction, check_not_negative, check_positive
from rlcore.values import explained_variance

per_episode = length_mean(1)  # Σ over an episode's steps, mean over episodes: the policy gradient as it is derived


@dataclass(frozen=True)
class REINFORCEConfig:
    """REINFORCE (Williams, 1992)."""

    steps: int = 100  # batches of whole episodes to learn from
    lr: float = 1e-2  # the optimiser's learning rate at the first step
    final_lr: float = 0.0  # share of lr that is left at the last step; it falls linearly
    optimizer: str = "adam"  # or "sgd": plain steps along the gradient, as the theory has them
    gamma: float = 0.99  # discount, in [0, 1]
    credit: str = "reward_to_go"  # what an action answers for: "reward_to_go", or the episode's whole "return"
    baseline: str = "none"  # what it is compared with: "none", "mean" (of the batch) or "value" (learned, V(s))
    value_coef: float = 0.5  # weight of the value function's loss beside the policy's
    entropy_coef: float = 0.0  # bonus for staying undecided
    max_grad_norm: float = 1.0  # gradient clipping

    def __post_init__(self):
        for name in ("steps", "lr", "max_grad_norm"):
            check_positive(name, getattr(self, name))
        for name in ("final_lr", "gamma"):
            check_fraction(name, getattr(self, name))
        for name in ("value_coef", "entropy_coef"):
            check_not_negative(name, getattr(self, name))
        check_choice("optimizer", self.optimizer, ("adam", "sgd"))
        check_choice("credit", self.credit, ("reward_to_go", "return"))
        check_choice("baseline", self.baseline, ("none", "mean", "value"))


class REINFORCE(Learner):
    """Select: sample from the policy. Update: ∇J = E[Σₜ (Gₜ − b) ∇log π(aₜ | sₜ)]."""

    def make_optimizer(self) -> torch.optim.Optimizer:
        """Adam, as for every learner, or plain stochastic gradient ascent."""
        optimizer = super().make_optimizer()
        if self.config.optimizer == "sgd":
            return torch.optim.SGD(optimizer.param_groups[0]["params"], lr=self.config.lr)
        return optimizer

    def learn(self, trajectory: Trajectory) -> Metrics:
        """Returns, minus a baseline, then one step up the gradient."""
        config, mask = self.config, trajectory.mask
        if not torch.equal(trajectory.done, last_steps(mask)):
            raise ValueError("trajectory must hold one whole episode per row: use Worlds(envs) without num_steps")
        returns = discounted_returns(trajectory.rewards, trajectory.done, config.gamma)  # [B, T]
        credit = returns if config.credit == "reward_to_go" else _from_the_start(returns, mask)  # [B, T]
        baseline = self.baseline(trajectory, credit)  # [B, T]
        advantages = credit - baseline
        batch = Batch(
            trajectory.states, trajectory.actions, trajectory.log_probs, advantages, mask, returns=returns
        )
        metrics = policy_update(
            self.policy, batch, self.optimizer, clip=None, value=self.value, value_coef=config.value_coef,
            reduce=per_episode, entropy_coef=config.entropy_coef, max_grad_norm=config.max_grad_norm,
        )
        return metrics | {"explained_variance": explained_variance(baseline, credit, mask)}

    @torch.no_grad()
    def baseline(self, trajectory: Trajectory, credit: Tensor) -> Tensor:
        """What was to be expected, `[B, T]`: it may depend on the state, never on the action."""
        if self.config.baseline == "value":
            return self.value(trajectory.states)
        if self.config.baseline == "mean":
            return masked_mean(credit, trajectory.mask).expand_as(credit)
        return torch.zeros_like(credit)


def _from_the_start(returns: Tensor, mask: Tensor) -> Tensor:
    """The return of the whole episode, at each of its steps, `[B, T]`: that of the first step the policy chose."""
    first = mask.int().argmax(-1, keepdim=True)  # [B, 1]  a text begins with a prompt
    return returns.gather(-1, first).expand_as(returns)


def train(
    policy: Policy, world: World, config: REINFORCEConfig, seed: int = 0, value: nn.Module | None = None,
    observe: Callable[[Metrics], None] | None = None, checkpoint: str | Path | None = None, resume: bool = False,
) -> Result:
    """Train `policy` (and `value`, the baseline) in place on whole episodes of a world.

    Ctrl-C ends the training after the current step and returns what there is. With a file name as `checkpoint`, the
    state is saved there now and then and at the end; `resume=True` goes on from it, to the same result.

    With γ < 1, step t's push is not weakened by γᵗ, as the exact gradient of the discounted return would have it: like
    everybody, we let γ shorten the returns and treat all steps alike.

    Raises:
        ValueError: a value function without `baseline="value"`, or the other way round; a row that is not one episode.
    Source: Williams (1992); Sutton & Barto (2018), sections 13.3 and 13.4.
    """
    if (value is not None) != (config.baseline == "value"):
        raise ValueError(f"value goes with baseline='value': baseline is {config.baseline!r}, value is {value!r:.60}")
    agent = REINFORCE(policy, value, world, config, seed)
    return run(agent, agent.steps(), observe, checkpoint, resume)
