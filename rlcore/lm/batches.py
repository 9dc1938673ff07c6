"""Which examples are learned from at a step: every one once an epoch, in an order that seed and epoch decide alone."""

import torch
from torch import Tensor


def rows_of_step(count: int, batch_size: int, step: int, seed: int) -> Tensor:
    """The rows of `count` that step number `step` (from 0) learns from; an epoch's last batch may be smaller.

    Nothing has to be remembered between two steps, so a training that is resumed goes on with the right rows.
    """
    size = min(batch_size, count)
    epoch, place = divmod(step, -(-count // size))
    generator = torch.Generator().manual_seed(1_000_003 * seed + epoch)
    return torch.randperm(count, generator=generator)[place * size : (place + 1) * size]
