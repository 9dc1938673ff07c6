"""Advantage actor–critic: a value function says at once how a step went, so nobody waits for the episode's end.

What changed since REINFORCE: the return becomes an advantage estimate that trusts the critic from some step on (GAE).
Why: one surprise per step is far less noisy than a whole episode's return, and learning can begin in mid-episode.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from rlcore.learner import Learner, World
from rlcore.policies import Policy
from rlcore.recorder import Metrics, Result, run
from rlcore.returns import gae
from rlcore.trajectory import Batch, Trajectory
from rlcore.update import policy_update
from rlcore.validate import check_fraction, check_not_negative, check_positive
from rlcore.values import explained_variance, predict


@dataclass(frozen=True)
class ActorCriticConfig:
    """Advantage actor–critic, synchronous (A2C; Mnih et al., 2016), with GAE."""

    steps: int = 400  # batches to learn from; each is used once
    lr: float = 2e-3  # Adam's learning rate at the first step
    final_lr: float = 0.0  # share of lr that is left at the last step; it falls linearly
    gamma: float = 0.99  # discount, in [0, 1]
    lam: float = 0.95  # GAE's λ, in [0, 1]: 0 is one-step TD, 1 is Monte Carlo
    value_coef: float = 0.5  # weight of the critic's loss beside the policy's
    entropy_coef: float = 0.0  # bonus for staying undecided
    max_grad_norm: float = 0.5  # gradient clipping, policy and critic together

    def __post_init__(self):
        for name in ("steps", "lr", "max_grad_norm"):
            check_positive(name, getattr(self, name))
        for name in ("final_lr", "gamma", "lam"):
            check_fraction(name, getattr(self, name))
        for name in ("value_coef", "entropy_coef"):
            check_not_negative(name, getattr(self, name))


class ActorCritic(Learner):
    """Select: sample from the policy. Update: ∇J = E[Âₜ ∇log π(aₜ | sₜ)], and V towards Â + V."""

    def learn(self, trajectory: Trajectory) -> Metrics:
        """Advantages from the critic, then one step for both."""
        config, mask = self.config, trajectory.mask
        values, next_values = predict(self.value, trajectory)  # [B, T] each
        advantages = gae(
            trajectory.rewards, values, next_values, trajectory.terminated, trajectory.done, config.gamma, config.lam
        )  # [B, T]
        returns = advantages + values
        batch = Batch(
            trajectory.states, trajectory.actions, trajectory.log_probs, advantages, mask, returns=returns
        )
        metrics = policy_update(
            self.policy, batch, self.optimizer, clip=None, value=self.value, value_coef=config.value_coef,
            entropy_coef=config.entropy_coef, max_grad_norm=config.max_grad_norm,
        )
        return metrics | {"explained_variance": explained_variance(values, returns, mask)}


def train(
    policy: Policy, value: nn.Module, world: World, config: ActorCriticConfig, seed: int = 0,
    observe: Callable[[Metrics], None] | None = None, checkpoint: str | Path | None = None, resume: bool = False,
) -> Result:
    """Train `policy` and `value` in place on steps of a world.

    Ctrl-C ends the training after the current step and returns what there is. With a file name as `checkpoint`, the
    state is saved there now and then and at the end; `resume=True` goes on from it, to the same result.

    Source: Mnih et al. (2016), arXiv:1602.01783; Schulman et al. (2016), arXiv:1506.02438.
    """
    agent = ActorCritic(policy, value, world, config, seed)
    return run(agent, agent.steps(), observe, checkpoint, resume)
