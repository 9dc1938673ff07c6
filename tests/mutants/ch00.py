"""Wrong answers to chapter 00, and right ones in another style."""

import torch

from tests.mutants import Mutant


def row_by_row(rewards, mask):
    return [sum(r for r, m in zip(row.tolist(), counts.tolist(), strict=True) if m)
            for row, counts in zip(rewards, mask, strict=True)]


MUTANTS = {"00.1": [
    Mutant("padding-counted", lambda rewards, mask: rewards.sum(-1)),
    Mutant("all-in-one", lambda rewards, mask: rewards.sum()),
    Mutant("rows-merged", lambda rewards, mask: rewards[mask].sum()),
    Mutant("wrong-axis", lambda rewards, mask: rewards.masked_fill(~mask, 0.0).sum(0)),
    Mutant("mean-not-sum", lambda rewards, mask: rewards.masked_fill(~mask, 0.0).sum(-1) / mask.sum(-1)),
    Mutant("mask-counted", lambda rewards, mask: mask.sum(-1)),
    Mutant("mask-inverted", lambda rewards, mask: rewards.masked_fill(mask, 0.0).sum(-1)),
    Mutant("zero-times-anything", lambda rewards, mask: (rewards * mask).sum(-1)),
]}
ALTERNATIVES = {"00.1": [
    row_by_row,
    lambda rewards, mask: torch.where(mask, rewards, 0.0).sum(dim=1),
    lambda rewards, mask: rewards.where(mask, 0.0).sum(-1).numpy(),
]}
