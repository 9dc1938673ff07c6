"""RLOO: REINFORCE with the other answers to the same question as its baseline.

What changed since REINFORCE: each prompt is answered G times, and an answer is compared with the mean of the others.
Why: a fair comparison without a value function to train; it costs sampling, which a language model does in batches.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from rlcore.learner import Learner
from rlcore.lm.prompts import Prompts
from rlcore.lm.reference import frozen_copy, log_probs_of
from rlcore.losses import Reduction, kl_estimate, length_mean, token_mean
from rlcore.policies import LanguagePolicy
from rlcore.recorder import Metrics, Result, run
from rlcore.returns import leave_one_out_advantages
from rlcore.trajectory import Batch, Trajectory
from rlcore.update import policy_update
from rlcore.validate import check_choice, check_fraction, check_not_negative, check_positive


@dataclass(frozen=True)
class RLOOConfig:
    """RLOO (Ahmadian et al., 2024, arXiv:2402.14740). The prompts and the group size are the world's."""

    steps: int = 300  # batches to learn from; each is used once
    lr: float = 1e-4  # AdamW's learning rate at the first step
    final_lr: float = 0.1  # share of lr that is left at the last step; it falls linearly
    kl_coef: float = 0.0  # β: what leaving the reference policy costs, taken from the reward
    reduction: str = "sum"  # over an answer's tokens, then the mean over answers; or "token": the mean over all tokens
    micro_batch_size: int | None = None  # completions per forward pass: saves memory, changes nothing
    max_grad_norm: float = 1.0  # gradient clipping

    def __post_init__(self):
        for name in ("steps", "lr", "max_grad_norm"):
            check_positive(name, getattr(self, name))
        if self.micro_batch_size is not None:
            check_positive("micro_batch_size", self.micro_batch_size)
        check_fraction("final_lr", self.final_lr)
        check_not_negative("kl_coef", self.kl_coef)
        check_choice("reduction", self.reduction, ("sum", "token"))

    @property
    def reduce(self) -> Reduction:
        """How losses per token become one number."""
        return {"sum": length_mean(1), "token": token_mean}[self.reduction]


class RLOO(Learner):
    """Select: sample from the policy. Update: ∇J = E[(rᵢ − mean of the others) ∇log π(yᵢ | x)], yᵢ a whole answer."""

    parts = (*Learner.parts, "reference")

    def __init__(self, policy: LanguagePolicy, world: Prompts, config: RLOOConfig, seed: int = 0):
        if world.group_size < 2:
            raise ValueError("group_size of the world must be at least 2 (one answer has no others to be compared "
                             f"with), but is {world.group_size}")
        super().__init__(policy, None, world, config, seed)
        self.reference = frozen_copy(policy) if config.kl_coef else None

    def make_optimizer(self) -> torch.optim.Optimizer:
        """AdamW without weight decay, as language models are fine-tuned."""
        return torch.optim.AdamW(self.policy.parameters(), lr=self.config.lr, weight_decay=0.0, fused=True)

    def settings(self) -> dict:
        """The config, and what decides about the samples: the policy's temperature and the world's sizes."""
        return super().settings() | {"temperature": self.policy.temperature} | self.world.settings()

    def learn(self, trajectory: Trajectory) -> Metrics:
        """Compare each answer with the others, then one step up the gradient."""
        config, mask = self.config, trajectory.mask
        rewards, ref_log_probs = self.priced(trajectory)  # [P·G], [P·G, T]
        advantages = leave_one_out_advantages(rewards.view(-1, self.world.group_size))  # [P, G]
        advantages = advantages.view(-1, 1).expand_as(mask)  # [P·G, T]  each token answers for its whole answer
        batch = Batch(
            trajectory.states, trajectory.actions, trajectory.log_probs, advantages, mask, ref_log_probs
        )
        return policy_update(
            self.policy, batch, self.optimizer, clip=None, micro_batch_size=config.micro_batch_size,
            reduce=config.reduce, max_grad_norm=config.max_grad_norm, skip_zero_advantages=True,
        )

    def priced(self, trajectory: Trajectory) -> tuple[Tensor, Tensor | None]:
        """r − β (log π(y|x) − log ref(y|x)), `[P·G]`, and the reference's log-probs where there is one."""
        rewards = trajectory.rewards.sum(-1)  # [P·G]
        if self.reference is None:
            return rewards, None
        ref_log_probs = log_probs_of(self.reference, trajectory)  # [P·G, T]
        log_ratios = kl_estimate(trajectory.log_probs, ref_log_probs, "k1").sum(-1)  # [P·G]
        return rewards - self.config.kl_coef * log_ratios, ref_log_probs


def train(
    policy: LanguagePolicy, world: Prompts, config: RLOOConfig, seed: int = 0,
    observe: Callable[[Metrics], None] | None = None, checkpoint: str | Path | None = None, resume: bool = False,
) -> Result:
    """Train `policy` in place on the prompts of a world that answers each of them at least twice.

    Ctrl-C ends the training after the current step and returns what there is. With a file name as `checkpoint`, the
    state is saved there now and then and at the end; `resume=True` goes on from it, to the same result.

    Raises:
        ValueError: a world with a group size below 2.
    Source: Ahmadian et al. (2024), arXiv:2402.14740.
    """
    agent = RLOO(policy, world, config, seed)
    return run(agent, agent.steps(), observe, checkpoint, resume)
