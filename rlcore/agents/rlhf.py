"""RLHF: PPO on a language model, judged by a reward model and kept near the model it began as.

What changed since PPO: the world is text, and every token pays β·KL for leaving the reference. Why: a reward model is
right about texts like those it has seen; a policy that goes where it has seen none finds what only it likes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from rlcore.learner import Learner
from rlcore.lm.critic import LanguageValue
from rlcore.lm.prompts import Prompts
from rlcore.lm.reference import check_apart, log_probs_of
from rlcore.losses import kl_estimate
from rlcore.policies import LanguagePolicy
from rlcore.recorder import Metrics, Result, run
from rlcore.returns import gae, whiten
from rlcore.trajectory import Batch, Trajectory
from rlcore.update import policy_update
from rlcore.validate import check_choice, check_fraction, check_not_negative, check_positive
from rlcore.values import explained_variance, predict


@dataclass(frozen=True)
class RLHFConfig:
    """PPO with four models (Ouyang et al., 2022). The prompts, their number and the reward model are the world's."""

    steps: int = 30  # batches to learn from
    lr: float = 1e-3  # Adam's learning rate for the policy at the first step
    value_lr: float = 2e-3  # the critic's: it begins knowing nothing, and has to keep up
    final_lr: float = 0.1  # share of both that is left at the last step; they fall linearly
    gamma: float = 1.0  # discount, in [0, 1]: a good answer is no worse for being longer
    lam: float = 0.95  # GAE's λ, in [0, 1]: 0 is one-step TD, 1 is Monte Carlo
    clip: float = 0.2  # ε: how far the ratio may move before its gradient is cut
    epochs: int = 2  # passes over each batch
    minibatch_size: int = 64  # completions per optimiser step
    micro_batch_size: int | None = None  # completions per forward pass: saves memory, changes nothing
    kl_coef: float = 0.15  # β: the price of leaving the reference policy
    kl_in: str = "reward"  # where β·KL goes: "reward" (k1, token by token, whitened with the rest), or "loss" (kl_kind)
    kl_kind: str = "k3"  # estimator in the loss: k1, k2 or k3
    normalize: bool = True  # advantages of a batch get mean 0 and standard deviation 1
    value_coef: float = 1.0  # weight of the critic's loss beside the policy's
    entropy_coef: float = 0.0  # bonus for staying undecided
    max_grad_norm: float = 1.0  # gradient clipping, policy and critic together

    def __post_init__(self):
        for name in ("steps", "lr", "value_lr", "epochs", "minibatch_size", "max_grad_norm"):
            check_positive(name, getattr(self, name))
        if self.micro_batch_size is not None:
            check_positive("micro_batch_size", self.micro_batch_size)
        for name in ("final_lr", "gamma", "lam", "clip"):
            check_fraction(name, getattr(self, name))
        for name in ("kl_coef", "value_coef", "entropy_coef"):
            check_not_negative(name, getattr(self, name))
        check_choice("kl_in", self.kl_in, ("reward", "loss"))
        check_choice("kl_kind", self.kl_kind, ("k1", "k2", "k3"))


class RLHF(Learner):
    """Select: sample from the policy. Update: as PPO, on rewards that subtract the price of leaving the reference.

    Four models: `policy` writes, the world's reward model judges, `value` expects, `reference` remembers.
    """

    parts = (*Learner.parts, "reference")

    def __init__(self, policy: LanguagePolicy, value: LanguageValue, reference: LanguagePolicy, world: Prompts,
                 config: RLHFConfig, seed: int = 0):
        check_apart(policy, reference)
        value.check_fits(policy)
        super().__init__(policy, value, world, config, seed)
        self.reference = reference.requires_grad_(False)

    def make_optimizer(self) -> torch.optim.Optimizer:
        """Adam, with a learning rate for each of the two models that learn, and torch's own ε."""
        rates = (self.policy, self.config.lr), (self.value, self.config.value_lr)
        return torch.optim.Adam([{"params": list(part.parameters()), "lr": lr} for part, lr in rates], fused=True)

    def settings(self) -> dict:
        """The config, and what decides about the samples: the policy's temperature and the world's sizes."""
        return super().settings() | {"temperature": self.policy.temperature} | self.world.settings()

    def learn(self, trajectory: Trajectory) -> Metrics:
        """Rewards with the price of leaving, advantages from the critic, then several epochs for both."""
        config, mask = self.config, trajectory.mask
        ref_log_probs = log_probs_of(self.reference, trajectory)  # [B, T]
        rewards = self.priced(trajectory, ref_log_probs)  # [B, T]
        values, next_values = predict(self.value, trajectory)  # [B, T] each
        # The verdict on a text that was cut off is its last reward, too: nothing comes after it to be expected.
        over = trajectory.done
        advantages = gae(rewards, values, next_values, over, over, config.gamma, config.lam)  # [B, T]
        returns = advantages + values
        batch = Batch(
            trajectory.states, trajectory.actions, trajectory.log_probs,
            whiten(advantages, mask) if config.normalize else advantages, mask, ref_log_probs, returns,
        )
        metrics = policy_update(
            self.policy, batch, self.optimizer, clip=config.clip, value=self.value, value_coef=config.value_coef,
            epochs=config.epochs, minibatch_size=config.minibatch_size, micro_batch_size=config.micro_batch_size,
            kl_coef=config.kl_coef if config.kl_in == "loss" else 0.0, kl_kind=config.kl_kind,
            entropy_coef=config.entropy_coef, max_grad_norm=config.max_grad_norm, generator=self.generator,
        )
        log_ratios = (trajectory.log_probs - ref_log_probs).sum(-1)  # [B]  whole answers
        return metrics | {"objective/kl": log_ratios.mean().item(),
                          "explained_variance": explained_variance(values, returns, mask)}

    def priced(self, trajectory: Trajectory, ref_log_probs: Tensor) -> Tensor:
        """rₜ − β (log π(aₜ|sₜ) − log ref(aₜ|sₜ)), `[B, T]`; the rewards alone where the KL is in the loss."""
        if self.config.kl_in == "loss":
            return trajectory.rewards
        return trajectory.rewards - self.config.kl_coef * kl_estimate(trajectory.log_probs, ref_log_probs, "k1")


def train(
    policy: LanguagePolicy, value: LanguageValue, reference: LanguagePolicy, world: Prompts, config: RLHFConfig,
    seed: int = 0, observe: Callable[[Metrics], None] | None = None, checkpoint: str | Path | None = None,
    resume: bool = False,
) -> Result:
    """Train `policy` and `value` in place on the prompts of a world whose rewards are a reward model's.

    Ctrl-C ends the training after the current step and returns what there is. With a file name as `checkpoint`, the
    state is saved there now and then and at the end; `resume=True` goes on from it, to the same result.

    Raises:
        ValueError: a reference that shares parameters with the policy, or has another tokenizer or temperature; a
            critic of another vocabulary or width, or with fewer positions.
    Source: Ouyang et al. (2022), arXiv:2203.02155, eq. 2 (without its pretraining term); KL in the reward: Stiennon et
        al. (2020), arXiv:2009.01325.
    """
    agent = RLHF(policy, value, reference, world, config, seed)
    return run(agent, agent.steps(), observe, checkpoint, resume)
