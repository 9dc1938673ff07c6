"""Pretraining: learn to continue any text of a corpus, good or bad. It makes a model fluent, and no more."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from datasets import Dataset
from torch import Tensor

from rlcore.checkpoint import Resumable
from rlcore.lm.tokenizer import encode
from rlcore.policies import LanguagePolicy
from rlcore.tasks.formats import check_columns
from rlcore.validate import check_not_negative, check_positive


@dataclass(frozen=True)
class PretrainingConfig:
    """Next-token prediction with AdamW and one cycle of the learning rate (Smith & Topin, 2017, arXiv:1708.07120)."""

    steps: int = 600
    batch_size: int = 32  # texts per step
    lr: float = 4e-3  # at the peak, which is reached after a tenth of the steps; from there down to nearly 0
    reaction_weight: float = 1.0  # how much a token after EOS counts, where one before it counts 1

    def __post_init__(self):
        for name in ("steps", "batch_size", "lr"):
            check_positive(name, getattr(self, name))
        check_not_negative("reaction_weight", self.reaction_weight)


def pack_texts(tokenizer, texts: list[str], reaction_weight: float = 1.0) -> tuple[Tensor, Tensor]:
    """Whole texts, right-padded: tokens `[B, T]`, and how much each of them counts as a target, `[B, T−1]`.

    A token up to EOS counts 1, one after it `reaction_weight`, padding 0. Nothing is added at the end of a text: where
    a corpus wants the model to stop it says <eos>, and what follows it is somebody else's answer.
    """
    encoded = [encode(tokenizer, text) for text in texts]
    width = max(map(len, encoded))
    tokens = torch.full((len(encoded), width), tokenizer.pad_token_id)
    weights = torch.zeros(len(encoded), width)
    for i, text in enumerate(encoded):
        end = text.index(tokenizer.eos_token_id) + 1 if tokenizer.eos_token_id in text else len(text)
        tokens[i, : len(text)] = torch.tensor(text)
        weights[i, :end], weights[i, end : len(text)] = 1.0, reaction_weight
    return tokens, weights[:, 1:]  # the first token is given


class Pretraining(Resumable):
    """Behaviour cloning of everybody who ever wrote: every token is an action to imitate."""

    parts = ("policy", "optimizer", "schedule", "generator")

    def __init__(self, policy: LanguagePolicy, corpus: Dataset, config: PretrainingConfig, seed: int = 0):
        check_columns(corpus, "text", name="corpus")
        self.tokens, self.weights = pack_texts(policy.tokenizer, list(corpus["text"]), config.reaction_weight)
        if not self.weights.any():
            raise ValueError("corpus holds no text of two tokens: there is nothing to predict")
        longest, limit = self.tokens.shape[1], getattr(policy.model.config, "n_positions", None)
        if limit is not None and longest > limit:
            raise ValueError(f"corpus has a text of {longest} tokens, but the model has only {limit} positions")
        self.policy, self.config, self.seed, self.step = policy, config, seed, 0  # steps done so far
        self.generator = torch.Generator().manual_seed(seed)
        self.optimizer = torch.optim.AdamW(policy.parameters(), lr=config.lr, weight_decay=0.01, fused=True)
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimizer, config.lr, total_steps=config.steps, pct_start=0.1
        )

    def learn(self) -> float:
        """One optimiser step on a few texts; returns the loss."""
        rows = torch.randint(len(self.tokens), (self.config.batch_size,), generator=self.generator)
        x, w = self.tokens[rows], self.weights[rows]
        width = int(w.any(0).nonzero()[-1]) + 2  # the longest of these texts
        x, w = x[:, :width], w[:, : width - 1]
        log_probs = self.policy(x[:, :-1]).log_prob(x[:, 1:])  # [B, T-1]
        loss = -(log_probs * w).sum() / w.sum()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.schedule.step()
        self.step += 1
        return loss.item()

    def steps(self) -> Iterator[dict[str, float]]:
        """Learn to the end of the cycle; one dictionary of metrics per step."""
        while self.step < self.config.steps:
            lr = self.schedule.get_last_lr()[0]
            yield {"step": self.step, "loss": self.learn(), "lr": lr}


def pretrain(
    policy: LanguagePolicy, corpus: Dataset, config: PretrainingConfig, seed: int
) -> Iterator[dict[str, float]]:
    """Train in place on the column `text` of a corpus; yields `step`, `loss` and `lr`.

    L = −Σ wₜ log π(aₜ | sₜ) / Σ wₜ over all tokens of the texts but their first.

    To stop and resume, hand a `Pretraining` and its steps to `recorder.run`.

    Raises:
        ValueError: no column `text`, an empty text (the row is named), a word that the tokenizer does not know, no text
            of two tokens, or one longer than the model's positions.
    """
    return Pretraining(policy, corpus, config, seed).steps()
