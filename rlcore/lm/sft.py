"""Supervised fine-tuning: make the answers of a data set more likely. In RL's words, behaviour cloning."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from datasets import Dataset
from torch import Tensor

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
    """Prompt, completion, EOS; right-padded tokens `[B, T]`, and a mask `[B, T−1]` over the actions to imitate."""
    texts = [(encode(tokenizer, p), [*encode(tokenizer, c), tokenizer.eos_token_id])
             for p, c in zip(prompts, completions, strict=True)]
    width = max(len(p) + len(c) for p, c in texts)
    tokens = torch.full((len(texts), width), tokenizer.pad_token_id)
    mask = torch.zeros(len(texts), width - 1, dtype=torch.bool)
    for i, (prompt, completion) in enumerate(texts):
        end = len(prompt) + len(completion)
        tokens[i, :end] = torch.tensor(prompt + completion)
        mask[i, len(prompt) - 1 : end - 1] = True  # action t is token t + 1
    return tokens, mask


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
    `target_accuracy`, also before the first step.

    Raises:
        ValueError: the data set is empty or lacks a column, or holds a text longer than the model's positions.
    """
    _check(dataset)
    tokens, mask = pack_examples(policy.tokenizer, list(dataset["prompt"]), list(dataset["completion"]))
    longest, limit = tokens.shape[1], getattr(policy.model.config, "n_positions", None)
    if limit is not None and longest > limit:
        raise ValueError(f"dataset has an example of {longest} tokens, but the model has only {limit} positions")
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(policy.parameters(), lr=config.lr, weight_decay=0.01, fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / config.warmup_steps))
    for step in range(config.max_steps + 1):
        metrics = {"step": step}
        if accuracy is not None and step % config.evaluate_every == 0:
            metrics["accuracy"] = accuracy(policy)
        reached = metrics.get("accuracy", -1.0) >= config.target_accuracy
        if reached or step == config.max_steps:
            if "accuracy" in metrics:
                yield metrics
            return
        rows = torch.randint(len(tokens), (config.batch_size,), generator=generator)
        x, m = tokens[rows], mask[rows]
        log_probs, _ = policy.evaluate_actions(x[:, :-1], x[:, 1:], m)  # [B, T-1]
        loss = -masked_mean(log_probs, m)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(policy.parameters(), config.max_grad_norm)
        optimizer.step()
        schedule.step()
        yield metrics | {"loss": loss.item()}


def _check(dataset: Dataset) -> None:
    """Say what is wrong before anything moves."""
    if not {"prompt", "completion"} <= set(dataset.column_names):
        raise ValueError(f"dataset must have the columns 'prompt' and 'completion', but has {dataset.column_names}")
    if len(dataset) == 0:
        raise ValueError("dataset is empty")
