"""Group relative policy optimisation: the mean of several answers to the same question is the baseline.

What changed since PPO: there is no critic. A prompt is answered G times; each answer is measured against their mean.
Why: a value function for text is a second model to train; a group gives a fair baseline for the price of sampling.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from datasets import Dataset

from rlcore.learner import Learner
from rlcore.lm.prompts import Prompts
from rlcore.lm.reference import frozen_copy, log_probs_of
from rlcore.losses import Reduction, clip_range, kl_estimate, length_mean, sequence_mean, token_mean
from rlcore.policies import LanguagePolicy
from rlcore.recorder import Metrics, Result, run
from rlcore.returns import group_advantages
from rlcore.tasks.rewards import Reward
from rlcore.trajectory import Batch, Trajectory
from rlcore.update import policy_update
from rlcore.validate import check_choice, check_fraction, check_not_negative, check_positive

# What came after GRPO, as what it changes: `GRPOConfig(**DESCENDANTS["DAPO"], ...)`. RLOO has a file of its own.
DESCENDANTS: dict[str, dict] = {
    "GRPO": {"reduction": "sequence"},  # Shao et al. (2024), arXiv:2402.03300, who add kl_coef=0.04
    "Dr. GRPO": {"normalize": False, "reduction": "constant"},  # Liu et al. (2025), arXiv:2503.20783
    "DAPO": {"clip": (0.2, 0.28), "reduction": "token", "resample": 4, "mask_truncated": True},  # arXiv:2503.14476
    "GSPO": {"clip": (3e-4, 4e-4), "reduction": "sequence", "ratio": "sequence"},  # Zheng et al. (2025), 2507.18071
}


@dataclass(frozen=True)
class GRPOConfig:
    """GRPO (Shao et al., 2024, arXiv:2402.03300). The temperature is the policy's own.

    With `kl_in="reward"` and `normalize`, a group whose answers are all worth the same is not dead: they still differ
    in β·k1, and the std makes that a full-sized advantage for almost any β > 0. `frac_reward_zero_std` and `resample`
    look at the rewards as paid, and call that group dead.
    """

    steps: int = 300  # batches to sample and learn from
    prompts_per_step: int = 16  # P
    group_size: int = 8  # G, completions of each prompt, at least 2
    max_new_tokens: int = 6  # length limit of a completion, in tokens
    lr: float = 1e-4  # AdamW's learning rate at the first step
    final_lr: float = 0.1  # share of lr that is left at the last step; it falls linearly
    clip: float | tuple[float, float] = 0.2  # ε, or (ε_low, ε_high): how far a ratio may move
    ratio: str = "token"  # one ratio per "token", or one per "sequence" (GSPO)
    epochs: int = 1  # passes over each batch
    minibatch_size: int | None = None  # completions per optimiser step; None is all P·G
    micro_batch_size: int | None = None  # completions per forward pass: saves memory, changes nothing
    kl_coef: float = 0.0  # β: the price of leaving the reference policy
    kl_kind: str = "k3"  # estimator in the loss: k1, k2 or k3
    kl_in: str = "loss"  # where β·KL goes: "loss" (kl_kind), or "reward" (k1, before the group is compared)
    reduction: str = "token"  # "token" (DAPO), "sequence" (GRPO) or "constant" (Dr. GRPO)
    normalize: bool = True  # divide advantages by the group's standard deviation
    resample: int = 0  # how often prompts whose answers are all worth the same are exchanged for others (DAPO)
    mask_truncated: bool = False  # leave cut-off answers out of the loss; their rewards stay in the group's mean (DAPO)
    skip_dead_groups: bool = True  # do not compute gradients that are known to be 0; a step of nothing else is none
    max_grad_norm: float = 1.0  # gradient clipping

    def __post_init__(self):
        for name in ("steps", "prompts_per_step", "max_new_tokens", "lr", "epochs", "max_grad_norm"):
            check_positive(name, getattr(self, name))
        for name in ("minibatch_size", "micro_batch_size"):
            if getattr(self, name) is not None:
                check_positive(name, getattr(self, name))
        if self.group_size < 2:
            raise ValueError(f"group_size must be at least 2 (one answer has nothing to be compared with), "
                             f"but is {self.group_size}")
        clip_range(self.clip)
        check_fraction("final_lr", self.final_lr)
        check_not_negative("kl_coef", self.kl_coef)
        check_choice("kl_kind", self.kl_kind, ("k1", "k2", "k3"))
        check_choice("kl_in", self.kl_in, ("loss", "reward"))
        check_not_negative("resample", self.resample)
        check_choice("reduction", self.reduction, ("token", "sequence", "constant"))
        check_choice("ratio", self.ratio, ("token", "sequence"))

    @property
    def reduce(self) -> Reduction:
        """How losses per token become one number."""
        options = {"token": token_mean, "sequence": sequence_mean, "constant": length_mean(self.max_new_tokens)}
        return options[self.reduction]


class GRPO(Learner):
    """Select: sample G answers from the policy. Update: up PPO's surrogate, with Â = (rᵢ − mean) / std of the group."""

    parts = (*Learner.parts, "reference")

    def __init__(self, policy: LanguagePolicy, world: Prompts, config: GRPOConfig, seed: int = 0):
        if world.group_size != config.group_size:
            raise ValueError(f"group_size is {config.group_size} in the config and {world.group_size} in the world: "
                             "answers to different prompts would be compared")
        super().__init__(policy, None, world, config, seed)
        self.reference = frozen_copy(policy) if config.kl_coef else None

    def make_optimizer(self) -> torch.optim.Optimizer:
        """AdamW without weight decay, as language models are fine-tuned."""
        return torch.optim.AdamW(self.policy.parameters(), lr=self.config.lr, weight_decay=0.0, fused=True)

    def settings(self) -> dict:
        """The config, and what decides about the samples: the policy's temperature and the world's sizes."""
        return super().settings() | {"temperature": self.policy.temperature} | self.world.settings()

    def learn(self, trajectory: Trajectory) -> Metrics:
        """Compare within groups, then one `policy_update`.

        Raises:
            ValueError: the group size does not divide the number of completions.
        """
        config, mask = self.config, trajectory.mask
        rewards = trajectory.rewards.sum(-1)  # [P·G]
        if len(rewards) % config.group_size:
            raise ValueError(f"group_size {config.group_size} does not divide the {len(rewards)} completions")
        ref_log_probs = None
        if self.reference is not None:
            ref_log_probs = log_probs_of(self.reference, trajectory)  # [P·G, T]
            if config.kl_in == "reward":
                # Not kl_kind: as rewards, k2 and k3 do not pull towards the reference at all, to first order.
                kl = kl_estimate(trajectory.log_probs, ref_log_probs, "k1")  # [P·G, T]
                rewards = rewards - config.kl_coef * kl.sum(-1)
        groups = rewards.view(-1, config.group_size)  # [P, G]
        advantages = group_advantages(groups, config.normalize).view(-1, 1).expand_as(mask)  # [P·G, T]
        if config.mask_truncated:
            mask = mask & ~trajectory.truncated.any(-1, keepdim=True)  # [P·G, T]
        batch = Batch(trajectory.states, trajectory.actions, trajectory.log_probs, advantages, mask, ref_log_probs)
        return policy_update(
            self.policy, batch, self.optimizer, clip=config.clip, ratio=config.ratio, epochs=config.epochs,
            minibatch_size=config.minibatch_size, micro_batch_size=config.micro_batch_size, reduce=config.reduce,
            kl_coef=config.kl_coef if config.kl_in == "loss" else 0.0, kl_kind=config.kl_kind,
            max_grad_norm=config.max_grad_norm, skip_zero_advantages=config.skip_dead_groups, generator=self.generator,
        )


def train(
    policy: LanguagePolicy,
    dataset: Dataset,
    rewards: Sequence[Reward],
    config: GRPOConfig,
    seed: int = 0,
    observe: Callable[[Metrics], None] | None = None,
    checkpoint: str | Path | None = None,
    resume: bool = False,
) -> Result:
    """Train `policy` in place on the prompts of a data set, judged by reward functions.

    `dataset` has a column `prompt`; its other columns are handed to the rewards. Ctrl-C ends the training after the
    current step and returns what there is. With a file name as `checkpoint`, the state is saved there now and then and
    at the end; `resume=True` goes on from it, to the same result as if nothing had happened.

    Raises:
        ValueError: the data set is empty or has no column `prompt`, or `resume` without a checkpoint.
    Source: Shao et al. (2024), arXiv:2402.03300, algorithm 1 (with one reward per completion).
    """
    world = Prompts(dataset, rewards, prompts_per_step=config.prompts_per_step, group_size=config.group_size,
                    max_new_tokens=config.max_new_tokens, resample=config.resample)
    agent = GRPO(policy, world, config, seed)
    return run(agent, agent.steps(), observe, checkpoint, resume)
