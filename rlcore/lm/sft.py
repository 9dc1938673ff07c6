"""Supervised fine-tuning: make the answers of a data set more likely. In RL's words, behaviour cloning."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from datasets import Dataset
from torch import Tensor

from rlcore.checkpoint import Resumable
from rlcore.lm.tokenizer import encode
from rlcore.losses import masked_mean
from rlcore.policies import LanguagePolicy
from rlcore.validate import check_fraction, check_positive


@dataclass(frozen=True)
class SFTConfig:
    """Supervised fine-tuning with AdamW and a linear warm-up."""

    batch_size: int = 64  # examples per step
    lr: float = 1e-3  # peak learning rate
    warmup_steps: int = 50  # steps until lr is reached
    max_steps: int = 3000  # upper limit on optimiser steps
    evaluate_every: int = 50  # steps between two looks at `accuracy`
    target_accuracy: float = 1.0  # stop as soon as `accuracy` reaches this
    max_grad_norm: float = 1.0

    def __post_init__(self):
        for name in ("batch_size", "lr", "warmup_steps", "max_steps", "evaluate_every", "max_grad_norm"):
            check_positive(name, getattr(self, name))
        check_fraction("target_accuracy", self.target_accuracy)


def pack_examples(tokenizer, prompts: list[str], completions: list[str]) -> tuple[Tensor, Tensor]:
    """Prompt, completion, EOS; right-padded tokens `[B, T]`, and a mask `[B, T−1]` over the actions to imitate.

    Raises:
        ValueError: no texts, not as many prompts as completions, or a text without tokens.
    """
    texts = [(encode(tokenizer, p), [*encode(tokenizer, c), tokenizer.eos_token_id])
             for p, c in zip(prompts, completions, strict=True)]
    if not texts:
        raise ValueError("prompts and completions are empty: there is nothing to pack")
    width = max(len(p) + len(c) for p, c in texts)
    tokens = torch.full((len(texts), width), tokenizer.pad_token_id)
    mask = torch.zeros(len(texts), width - 1, dtype=torch.bool)
    for i, (prompt, completion) in enumerate(texts):
        end = len(prompt) + len(completion)
        tokens[i, :end] = torch.tensor(prompt + completion)
        mask[i, len(prompt) - 1 : end - 1] = True  # action t is token t + 1
    return tokens, mask


class SFT(Resumable):
    """The agent whose actions are given: no selection, only an update towards what the data set did."""

    parts = ("policy", "optimizer", "generator")

    def __init__(self, policy: LanguagePolicy, dataset: Dataset, config: SFTConfig, seed: int = 0):
        _check(dataset)
        prompts, completions = list(dataset["prompt"]), list(dataset["completion"])
        self.tokens, self.mask = pack_examples(policy.tokenizer, prompts, completions)
        longest, limit = self.tokens.shape[1], getattr(policy.model.config, "n_positions", None)
        if limit is not None and longest > limit:
            raise ValueError(f"dataset has an example of {longest} tokens, but the model has only {limit} positions")
        self.policy, self.config, self.seed, self.step = policy, config, seed, 0  # steps done so far
        self.generator = torch.Generator().manual_seed(seed)
        self.optimizer = torch.optim.AdamW(policy.parameters(), lr=config.lr, weight_decay=0.01, fused=True)

    def settings(self) -> dict:
        """What a resumed run must have in common, beside the config: the policy's temperature."""
        return super().settings() | {"temperature": self.policy.temperature}

    def learn(self) -> float:
        """One optimiser step on a few examples; returns the loss."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.lr * min(1.0, (self.step + 1) / self.config.warmup_steps)
        rows = torch.randint(len(self.tokens), (self.config.batch_size,), generator=self.generator)
        x, m = self.tokens[rows], self.mask[rows]
        log_probs, _ = self.policy.evaluate_actions(x[:, :-1], x[:, 1:], m)  # [B, T-1]
        loss = -masked_mean(log_probs, m)
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.policy.parameters(), self.config.max_grad_norm)
        self.optimizer.step()
        self.step += 1
        return loss.item()

    def steps(self, accuracy: Callable[[LanguagePolicy], float] | None = None) -> Iterator[dict[str, float]]:
        """Learn until `accuracy(policy)` reaches the target, or to `max_steps`; one dictionary of metrics per step."""
        while True:
            metrics = {"step": self.step}
            if accuracy is not None and self.step % self.config.evaluate_every == 0:
                metrics["accuracy"] = accuracy(self.policy)
            reached = metrics.get("accuracy", -1.0) >= self.config.target_accuracy
            if reached or self.step >= self.config.max_steps:
                if "accuracy" in metrics:
                    yield metrics
                return
            yield metrics | {"loss": self.learn()}


def sft(
    policy: LanguagePolicy,
    dataset: Dataset,
    config: SFTConfig,
    seed: int,
    accuracy: Callable[[LanguagePolicy], float] | None = None,
) -> Iterator[dict[str, float]]:
    """Train in place; yields `step`, `loss`, and `accuracy` whenever it was measured.

    L = −mean log π(aₜ | sₜ) over the tokens of the completions. How many steps a given accuracy takes varies a lot by
    seed, so the number to fix is the accuracy: with the function `accuracy(policy)`, training stops where it reaches
    `target_accuracy`, also before the first step. To stop and resume, hand an `SFT` and its steps to `recorder.run`.

    Raises:
        ValueError: the data set is empty or lacks a column, or holds a text longer than the model's positions.
    """
    return SFT(policy, dataset, config, seed).steps(accuracy)


def _check(dataset: Dataset) -> None:
    """Say what is wrong before anything moves."""
    if not {"prompt", "completion"} <= set(dataset.column_names):
        raise ValueError(f"dataset must have the columns 'prompt' and 'completion', but has {dataset.column_names}")
    if len(dataset) == 0:
        raise ValueError("dataset is empty")
