"""The one optimisation loop over a `Batch`, shared by everything from CartPole to GPT-2."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from rlcore.losses import (
    Reduction,
    clip_range,
    kl_estimate,
    masked_mean,
    policy_gradient_loss,
    ppo_clip_loss,
    sequence_means,
    token_mean,
    value_loss,
)
from rlcore.policies import Policy
from rlcore.returns import whiten
from rlcore.trajectory import Batch
from rlcore.validate import check_choice, check_not_negative, check_positive


def policy_update(
    policy: Policy,
    batch: Batch,
    optimizer: torch.optim.Optimizer,
    *,
    clip: float | tuple[float, float] | None,
    ratio: str = "token",
    value: nn.Module | None = None,
    value_coef: float = 0.5,
    epochs: int = 1,
    minibatch_size: int | None = None,
    micro_batch_size: int | None = None,
    reduce: Reduction = token_mean,
    kl_coef: float = 0.0,
    kl_kind: str = "k3",
    entropy_coef: float = 0.0,
    max_grad_norm: float = 1.0,
    whiten_minibatches: bool = False,
    skip_zero_advantages: bool = False,
    generator: torch.Generator | None = None,
) -> dict[str, float]:
    """Improve the policy on what it did: `epochs` passes of clipped policy-gradient steps over shuffled rows.

    L = reduce(Lᴾᴾᴼ + kl_coef · KL(π ‖ ref) − entropy_coef · H(π) + value_coef · ½ (V(s) − G)²)

    With `clip=None` the first term is REINFORCE's −Â log π instead. With `ratio="sequence"`, one ratio for a whole row
    takes the place of one for each step: the geometric mean of theirs (GSPO). With a value function, `value(states)`
    `[B, T]` learns the batch's `returns` in the same step; the gradient's norm is limited over everything that the
    optimiser holds, so that one number says how far a step may go.

    One optimiser step per minibatch of `minibatch_size` rows (all rows by default), computed in pieces of
    `micro_batch_size` rows to save memory; the pieces add up to exactly the same gradient. With `whiten_minibatches`,
    the advantages of each minibatch get mean 0 and standard deviation 1, so that no minibatch pushes all that it holds
    the same way. With `skip_zero_advantages`, rows that cannot contribute a gradient are left out of the computation,
    but not out of the denominators: the gradient is the same, it only costs less. A minibatch of nothing else takes no
    step (without skipping, the optimiser's momentum would).

    Returns:
        `loss`, `grad_norm` (before clipping), `clip_ratio` (share of steps whose gradient the clip has cut) where
        there is a clip, `value_loss` where there is a value function, and `kl` (k3, over the rows that were computed)
        where the batch has `ref_log_probs`; each averaged over the optimiser steps, and empty if there was none.

    Raises:
        ValueError: a size or coefficient out of range, a KL term without `ref_log_probs`, a value function without
            `returns`, or a ratio per sequence without a clip.
    Source: Schulman et al. (2017), arXiv:1707.06347, algorithm 1 and eq. 9; the ratio of a sequence: Zheng et al.
        (2025), arXiv:2507.18071.
    """
    _check(batch, epochs, minibatch_size, micro_batch_size, kl_coef, value, value_coef)
    check_positive("max_grad_norm", max_grad_norm)
    check_not_negative("entropy_coef", entropy_coef)
    check_choice("kl_kind", kl_kind, ("k1", "k2", "k3"))
    check_choice("ratio", ratio, ("token", "sequence"))
    if clip is None and ratio == "sequence":
        raise ValueError("ratio='sequence' needs a clip: without one there is no ratio, and `reduce` decides about "
                         "lengths")
    objective = _Objective(policy, value, clip, ratio, value_coef, kl_coef, kl_kind, entropy_coef)
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    skip = skip_zero_advantages and kl_coef == 0 and entropy_coef == 0 and value is None
    log = defaultdict(list)
    for _ in range(epochs):
        for minibatch in _minibatches(batch, minibatch_size, generator):
            whole = minibatch.mask  # [M, T]
            if whiten_minibatches:
                minibatch = replace(minibatch, advantages=whiten(minibatch.advantages, whole))
            learning = (minibatch.advantages * whole).any(-1) if skip else whole.any(-1)  # [M]
            if not learning.any():
                continue
            optimizer.zero_grad(set_to_none=True)
            step = defaultdict(float)
            for rows in learning.nonzero()[:, 0].split(micro_batch_size or len(minibatch)):
                micro = minibatch if len(rows) == len(minibatch) else minibatch.rows(rows)
                step_loss, measured = objective(micro)  # [M, T], and the same for each metric
                loss = reduce(step_loss, micro.mask, whole)  # []
                loss.backward()
                step["loss"] += loss.item()
                for name, x in measured.items():  # of a row that was skipped, the KL to the reference is not known
                    steps = (whole[learning] if name == "kl" else whole).sum()
                    step[name] += masked_mean(x, micro.mask, denominator=steps).item()
            step["grad_norm"] = nn.utils.clip_grad_norm_(weights, max_grad_norm).item()
            optimizer.step()
            for name, number in step.items():
                log[name].append(number)
    return {name: sum(numbers) / len(numbers) for name, numbers in log.items()}


@dataclass(frozen=True)
class _Objective:
    """What is minimised: the terms of `policy_update`'s L, one number per step."""

    policy: Policy
    value: nn.Module | None
    clip: float | tuple[float, float] | None
    ratio: str
    value_coef: float
    kl_coef: float
    kl_kind: str
    entropy_coef: float

    def __call__(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """L per step, and what there is to measure per step, `[B, T]` each."""
        log_probs, entropy = self.policy.evaluate_actions(
            batch.states, batch.actions, batch.mask, entropy=self.entropy_coef != 0
        )
        new, old = log_probs, batch.log_probs  # the two sides of the ratio
        if self.ratio == "sequence":
            new, old = sequence_means(new, batch.mask), sequence_means(old, batch.mask)
        measured = {}
        if self.clip is None:
            loss = policy_gradient_loss(new, batch.advantages)
        else:
            loss = ppo_clip_loss(new, old, batch.advantages, self.clip)
            measured["clip_ratio"] = _is_cut(new.detach(), old, batch.advantages, self.clip)
        if batch.ref_log_probs is not None:
            measured["kl"] = kl_estimate(log_probs.detach(), batch.ref_log_probs, "k3")
        if self.kl_coef:
            loss = loss + self.kl_coef * kl_estimate(log_probs, batch.ref_log_probs, self.kl_kind)
        if self.entropy_coef:
            loss = loss - self.entropy_coef * entropy
        if self.value is not None:
            values = self.value(batch.states).masked_fill(~batch.mask, 0.0)  # what stands there may be NaN
            surprise = value_loss(values, batch.returns)
            loss = loss + self.value_coef * surprise
            measured["value_loss"] = surprise.detach()
        return loss, measured


def _is_cut(new: Tensor, old: Tensor, advantages: Tensor, clip: float | tuple[float, float]) -> Tensor:
    """1 where the clip has cut a step's gradient off, `[B, T]`."""
    low, high = clip_range(clip)
    moved = (new - old).exp()
    return (torch.where(advantages > 0, moved > 1 + high, moved < 1 - low) & (advantages != 0)).to(new.dtype)


def scale_lr(optimizer: torch.optim.Optimizer, share: float) -> None:
    """Set every learning rate to a share of what it was at the beginning."""
    for group in optimizer.param_groups:
        group["lr"] = share * group.setdefault("initial_lr", group["lr"])


def _minibatches(batch: Batch, size: int | None, generator: torch.Generator | None) -> Iterator[Batch]:
    """The rows, shuffled and cut into minibatches; in order where one minibatch holds them all."""
    if size is None or size >= len(batch):
        yield batch
        return
    shuffled = batch.rows(torch.randperm(len(batch), generator=generator))
    for start in range(0, len(batch), size):
        yield shuffled.rows(slice(start, start + size))


def _check(batch: Batch, epochs: int, minibatch_size: int | None, micro_batch_size: int | None, kl_coef: float,
           value: nn.Module | None, value_coef: float) -> None:
    """Say what is wrong before anything moves."""
    sizes = {"epochs": epochs, "minibatch_size": minibatch_size, "micro_batch_size": micro_batch_size}
    for name, size in sizes.items():
        if size is not None:
            check_positive(name, size)
    check_not_negative("kl_coef", kl_coef)
    check_not_negative("value_coef", value_coef)
    if kl_coef and batch.ref_log_probs is None:
        raise ValueError(f"kl_coef is {kl_coef}, but the batch has no ref_log_probs to measure the KL against")
    if value is not None and batch.returns is None:
        raise ValueError("there is a value function, but the batch has no returns that it could learn to predict")
