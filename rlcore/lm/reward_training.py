"""Teach a reward model what somebody prefers, and measure how often it agrees."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from datasets import Dataset
from torch import Tensor

from rlcore.checkpoint import Resumable
from rlcore.lm.batches import rows_of_step
from rlcore.lm.reward_model import PAIR, RewardModel
from rlcore.losses import preference_loss
from rlcore.tasks.formats import check_columns
from rlcore.validate import check_fraction, check_positive


@dataclass(frozen=True)
class RewardModelConfig:
    """Training on pairs with AdamW; the learning rate rises linearly, then falls linearly to 0."""

    batch_size: int = 64  # pairs per step
    epochs: int = 2  # passes over the pairs; after many a reward model knows the noise by heart
    min_steps: int = 60  # optimiser steps, at least, however few the pairs are
    lr: float = 1e-3  # peak learning rate
    warmup: float = 0.1  # share of the steps, in [0, 1], until the peak
    max_grad_norm: float = 1.0  # gradient clipping

    def __post_init__(self):
        for name in ("batch_size", "epochs", "min_steps", "lr", "max_grad_norm"):
            check_positive(name, getattr(self, name))
        check_fraction("warmup", self.warmup)


class RewardModelTraining(Resumable):
    """The agent that judges: an update towards what was preferred, and no action of its own."""

    parts = ("policy", "optimizer")

    def __init__(self, model: RewardModel, dataset: Dataset, config: RewardModelConfig, seed: int = 0):
        self.tokens, self.real = pack_pairs(model, dataset)  # [N, 2, T] each
        model.mean.zero_()  # the old scale means nothing after the first step
        model.std.fill_(1.0)
        self.policy = model  # under the name that `recorder.run` hands back
        self.config, self.seed, self.step = config, seed, 0  # steps done so far
        per_epoch = -(-len(self.tokens) // config.batch_size)  # rounded up
        self.total_steps = max(config.epochs * per_epoch, config.min_steps)
        self.optimizer = torch.optim.AdamW(model.parameters(), lr=config.lr, weight_decay=0.01, fused=True)

    def learn(self) -> dict[str, float]:
        """One optimiser step on a few pairs; `loss`, `accuracy` and `margin` of these pairs before it."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.lr * self._schedule()
        rows = rows_of_step(len(self.tokens), self.config.batch_size, self.step, self.seed)
        rewards = self.policy.by_length(self.tokens[rows].flatten(0, 1), self.real[rows].flatten(0, 1))  # [2B]
        chosen, rejected = rewards.view(-1, 2).unbind(-1)  # [B] each
        loss = preference_loss(chosen, rejected).mean()  # every pair counts the same
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.policy.parameters(), self.config.max_grad_norm)
        self.optimizer.step()
        self.step += 1
        margin = (chosen - rejected).detach()
        return {"loss": loss.item(), "accuracy": _hits(margin).mean().item(), "margin": margin.mean().item()}

    def _schedule(self) -> float:
        """The share of `lr` at this step."""
        rising = self.config.warmup * self.total_steps
        falling = self.total_steps - rising
        return min((self.step + 1) / max(rising, 1.0), (self.total_steps - self.step) / max(falling, 1.0), 1.0)

    def steps(self) -> Iterator[dict[str, float]]:
        """Learn to the end; one dictionary of metrics per step."""
        while self.step < self.total_steps:
            metrics = self.learn()
            yield {"step": self.step} | metrics


def train_reward_model(
    model: RewardModel, dataset: Dataset, config: RewardModelConfig, seed: int
) -> Iterator[dict[str, float]]:
    """Train in place on preferences; yields `step`, and `loss`, `accuracy` and `margin` (TRL's names) of each batch.

    L = −mean log σ(r(x, y_chosen) − r(x, y_rejected))

    A pair that gets equal rewards is half a hit: an untrained model starts at loss ln 2 and accuracy ½. Whatever
    `normalize_on` has set is forgotten. To stop and resume, hand a `RewardModelTraining` and its steps to
    `recorder.run`, whose result has the reward model as its `policy`.

    Raises:
        ValueError: the data set is empty or lacks a column; a row with an empty text, with two equal ones, or with one
            that is longer than the model's positions. The message names the row.
    Source: Ouyang et al. (2022), arXiv:2203.02155, eq. 1, with one pair per prompt.
    """
    return RewardModelTraining(model, dataset, config, seed).steps()


def pack_pairs(model: RewardModel, dataset: Dataset) -> tuple[Tensor, Tensor]:
    """Tokens `[N, 2, T]` of the chosen and the rejected text of each pair, and which are real, `[N, 2, T]` bool."""
    check_columns(dataset, *PAIR)
    prompts, chosen, rejected = (list(dataset[name]) for name in PAIR)
    both = [text for pair in zip(chosen, rejected, strict=True) for text in pair]
    tokens, real = model.pack([prompt for prompt in prompts for _ in range(2)], both)  # [2N, T]
    return tokens.unflatten(0, (-1, 2)), real.unflatten(0, (-1, 2))


class PairwiseAccuracy(NamedTuple):
    """How often a reward model agrees with the labels, and how far that may be off."""

    value: float  # in [0, 1]; ½ is guessing
    standard_error: float


def pairwise_accuracy(model: RewardModel, dataset: Dataset) -> PairwiseAccuracy:
    """The share of pairs whose chosen text gets the higher reward (a tie is half a hit), with its standard error.

    accuracy = mean 1[r_chosen > r_rejected],  standard error = sd / √N

    Raises:
        ValueError: columns that are missing, a row that is no pair, or fewer than two of them.
    """
    check_columns(dataset, *PAIR)
    if len(dataset) < 2:
        raise ValueError(f"dataset must have at least 2 pairs for a standard error, but has {len(dataset)}")
    prompts = list(dataset["prompt"])
    margin = model.score(prompts, list(dataset["chosen"])) - model.score(prompts, list(dataset["rejected"]))  # [N]
    hits = _hits(margin)
    return PairwiseAccuracy(hits.mean().item(), (hits.std() / len(hits) ** 0.5).item())


def _hits(margin: Tensor) -> Tensor:
    """1 where the chosen text won, 0 where it lost, ½ for a tie."""
    return (margin.sign() + 1) / 2
