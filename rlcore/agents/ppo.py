"""Proximal policy optimisation: learn several times from the same steps, without running away from them.

What changed since actor–critic: each batch is used for several epochs of minibatches, and the loss is clipped where the
policy has moved too far from the one that acted. Why: acting is dear, so each step should teach more than once.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from rlcore.learner import Learner, World
from rlcore.policies import Policy
from rlcore.recorder import Metrics, Result, run
from rlcore.returns import gae, whiten
from rlcore.trajectory import Batch, Trajectory
from rlcore.update import policy_update
from rlcore.validate import check_fraction, check_not_negative, check_positive
from rlcore.values import explained_variance, predict


@dataclass(frozen=True)
class PPOConfig:
    """PPO with clipping (Schulman et al., 2017)."""

    steps: int = 98  # batches to learn from
    lr: float = 2e-3  # Adam's learning rate at the first step
    final_lr: float = 0.0  # share of lr towards which it falls linearly; the last step is still a little above
    gamma: float = 0.98  # discount, in [0, 1]
    lam: float = 0.8  # GAE's λ, in [0, 1]: 0 is one-step TD, 1 is Monte Carlo
    clip: float = 0.2  # ε at the first step: how far the ratio may move before its gradient is cut
    final_clip: float = 0.0  # share of ε towards which it falls linearly
    epochs: int = 10  # passes over each batch
    minibatch_size: int = 256  # steps of the world per optimiser step
    normalize: bool = True  # advantages of a batch get mean 0 and standard deviation 1
    per_minibatch: bool = False  # … and those of each minibatch once more, as Stable-Baselines3 and CleanRL do
    value_coef: float = 0.5  # weight of the critic's loss beside the policy's
    entropy_coef: float = 0.0  # bonus for staying undecided
    max_grad_norm: float = 0.5  # gradient clipping, policy and critic together

    def __post_init__(self):
        for name in ("steps", "lr", "epochs", "minibatch_size", "max_grad_norm"):
            check_positive(name, getattr(self, name))
        for name in ("final_lr", "gamma", "lam", "clip", "final_clip"):
            check_fraction(name, getattr(self, name))
        for name in ("value_coef", "entropy_coef"):
            check_not_negative(name, getattr(self, name))


class PPO(Learner):
    """Select: sample from the policy. Update: several epochs up the clipped surrogate, and V towards Â + V."""

    def learn(self, trajectory: Trajectory) -> Metrics:
        """Advantages from the critic, then several epochs for both."""
        config, mask = self.config, trajectory.mask
        values, next_values = predict(self.value, trajectory)  # [B, T] each
        advantages = gae(
            trajectory.rewards, values, next_values, trajectory.terminated, trajectory.done, config.gamma, config.lam
        )  # [B, T]
        returns = advantages + values
        if config.normalize:
            advantages = whiten(advantages, mask)
        batch = Batch(
            trajectory.states, trajectory.actions, trajectory.log_probs, advantages, mask, returns=returns
        ).as_steps()  # [N, 1]: minibatches mix the steps of all worlds
        metrics = policy_update(
            self.policy, batch, self.optimizer, clip=self.clip, value=self.value, value_coef=config.value_coef,
            entropy_coef=config.entropy_coef, max_grad_norm=config.max_grad_norm,
            epochs=config.epochs, minibatch_size=config.minibatch_size, whiten_minibatches=config.per_minibatch,
            generator=self.generator,
        )
        return metrics | {"clip": self.clip, "explained_variance": explained_variance(values, returns, mask)}

    @property
    def clip(self) -> float:
        """ε now: it falls together with the learning rate."""
        return self.config.clip * (1 - self.progress * (1 - self.config.final_clip))


def train(
    policy: Policy, value: nn.Module, world: World, config: PPOConfig, seed: int = 0,
    observe: Callable[[Metrics], None] | None = None, checkpoint: str | Path | None = None, resume: bool = False,
) -> Result:
    """Train `policy` and `value` in place on steps of a world.

    Ctrl-C ends the training after the current step and returns what there is. With a file name as `checkpoint`, the
    state is saved there now and then and at the end; `resume=True` goes on from it, to the same result.

    Source: Schulman et al. (2017), arXiv:1707.06347, algorithm 1.
    """
    agent = PPO(policy, value, world, config, seed)
    return run(agent, agent.steps(), observe, checkpoint, resume)
