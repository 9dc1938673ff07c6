"""GRPO beside PPO with a critic on addition, at equal tokens: the group's size, the critic, and what a step costs.

    python -m benchmarks.grpo_vs_ppo
    python -m benchmarks.grpo_vs_ppo --show

Everybody writes 128 answers a step, 30 steps long, from the same five bases, with the same learning rate for the policy
and four passes over each batch (on a base that is not among the five, four did both more good than one). GRPO asks 64,
32, 16 or 8 questions, each 2, 4, 8 or 16 times. PPO asks 128 different ones once and has a critic say what was to be
expected. It runs three times more with a critic that has no opinion, on 128 questions, and on 64 and 16, each asked 2
and 8 times as GRPO asks them. With λ = 1 every token of an answer then gets its reward, as with GRPO, and what differs
from GRPO's is mean and std: the batch's, not the group's. Nothing that is reported is sampled: a problem's chance is
its probability.
"""

import statistics
from dataclasses import asdict, replace

import torch
from torch import Tensor

from benchmarks._record import RESULTS, table
from benchmarks._sweep import block_means, on_the_clock, runs_of, sweep
from benchmarks.reinforce_on_addition import TRAIN, chances
from rlcore.agents.grpo import GRPO, GRPOConfig
from rlcore.agents.rlhf import RLHF, RLHFConfig
from rlcore.learner import Learner
from rlcore.lm import Prompts
from rlcore.lm.base import addition_base
from rlcore.lm.critic import LanguageValue
from rlcore.lm.reference import frozen_copy
from rlcore.policies import LanguagePolicy
from rlcore.tasks.addition import MAX_NEW_TOKENS, exact_answer

OUTPUT = RESULTS / "grpo_vs_ppo.json"
SEEDS = range(5)
ANSWERS, EVERY = 128, 5  # per step; steps between two looks
GROUPS = {f"GRPO, groups of {size}": size for size in (2, 4, 8, 16)}
GRPO_CONFIG = GRPOConfig(steps=30, lr=1e-4, epochs=4)  # and prompts_per_step · group_size = ANSWERS
# Chosen on base 5, which is none of SEEDS: four epochs were better than one for both; for the critic's learning rate
# 1e-4, 3e-4 and 2e-3 made no difference at one epoch.
PPO_CONFIG = RLHFConfig(steps=30, lr=1e-4, value_lr=1e-3, kl_coef=0.0, epochs=4, minibatch_size=ANSWERS)
NO_CRITIC = replace(PPO_CONFIG, value_coef=0.0, lam=1.0)  # where all values are 0, λ < 1 would shrink early advantages
PPO_SIZES = {"PPO, no critic, 64 × 2": 2, "PPO, no critic, 16 × 8": 8}
LEARNERS = [*GROUPS, "PPO", "PPO, no critic", *PPO_SIZES]


class Unasked(LanguagePolicy):
    """A reference that costs nothing. At β = 0 what it says counts for nothing, so PPO need not pay for it."""

    def evaluate_actions(self, states: Tensor, actions: Tensor, mask: Tensor, entropy: bool = False):
        """Zeros."""
        return torch.zeros(mask.shape), None


class NoOpinion(LanguageValue):
    """A critic that expects 0 of everything, for nothing: whitening then compares with the batch."""

    def forward(self, states: Tensor) -> Tensor:
        """The head's bias, which stays 0."""
        return self.head.bias.expand(states.shape)


def start(learner: str, seed: int) -> Learner:
    """A learner with a fresh base model, and its world."""
    policy, size = addition_base(seed), GROUPS.get(learner, PPO_SIZES.get(learner, 1))
    world = Prompts(TRAIN, [exact_answer], prompts_per_step=ANSWERS // size, group_size=size,
                    max_new_tokens=MAX_NEW_TOKENS)
    if learner not in GROUPS:
        critic, config = (LanguageValue, PPO_CONFIG) if learner == "PPO" else (NoOpinion, NO_CRITIC)
        reference = Unasked(frozen_copy(policy).model, policy.tokenizer)
        return RLHF(policy, critic.from_policy(policy), reference, world, config, seed)
    sizes = {"prompts_per_step": ANSWERS // size, "group_size": size, "max_new_tokens": MAX_NEW_TOKENS}
    return GRPO(policy, world, GRPOConfig(**asdict(GRPO_CONFIG) | sizes), seed)


def one_run(learner: str, seed: int) -> dict:
    """One training: the held-out chance every few steps, CPU seconds without the looks, and what the steps reported."""
    agent, history = start(learner, seed), []
    right = [chances(agent.policy).mean().item()]
    for metrics in on_the_clock(agent.steps()):
        history.append(metrics)
        if len(history) % EVERY == 0:
            right.append(chances(agent.policy).mean().item())
    reported = [key for key in ("reward", "entropy", "frac_reward_zero_std", "explained_variance") if key in history[0]]
    return {"cpu_seconds": history[-1]["cpu_seconds"], "tokens": history[-1]["num_tokens"], "right": right,
            **block_means(history, EVERY, reported)}


def summary(result: dict) -> str:
    """One line per learner."""
    rows = []
    for name in LEARNERS:
        runs = runs_of(result, learner=name)
        if runs:
            ends = [run["right"][-1] for run in runs]
            rows.append([name, f"{statistics.fmean(ends):.3f}", ", ".join(f"{end:.3f}" for end in ends),
                         f"{statistics.median(run['cpu_seconds'] for run in runs):.1f}",
                         f"{statistics.fmean(run['tokens'] for run in runs):.0f}"])
    total = sum(run["cpu_seconds"] for run in result["runs"])
    return table(["learner", "right", "each seed", "CPU s", "tokens"], rows) + f"\n{total:.0f} CPU s"


SETTINGS = {"answers": ANSWERS, "every": EVERY, "grpo": asdict(GRPO_CONFIG), "ppo": asdict(PPO_CONFIG),
            "no_critic": asdict(NO_CRITIC)}
CONDITIONS = [{"learner": learner, "seed": seed} for seed in SEEDS for learner in LEARNERS]

if __name__ == "__main__":
    sweep(__doc__, OUTPUT, SETTINGS, CONDITIONS, one_run, summary)
