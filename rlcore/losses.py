"""From choices and advantages to a number to minimise: losses as pure functions.

Each returns one number per step (or per pair) and no mean: *the reduction is written where it is chosen*, because it
decides how much a long answer counts against a short one. The three usual choices stand at the end of this file.
Advantages and the log-probs of the policy that acted are data, so they are detached here.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from rlcore.validate import (
    check_bool,
    check_choice,
    check_fraction,
    check_not_negative,
    check_positive,
    check_same_shape,
)


def masked_mean(x: Tensor, mask: Tensor, dim: int | None = None, denominator: float | Tensor | None = None) -> Tensor:
    """The mean of x where mask is True: Σ x·mask / Σ mask, over everything or along `dim`.

    `denominator` takes the place of Σ mask: the step count of the whole batch when x is only a part of it
    (micro-batches), or a constant (Dr. GRPO). What stands in masked places never counts, not even inf or NaN.

    Raises:
        ValueError: unequal shapes, a mask that is not bool, or an all-false mask with `dim=None`, which would be 0/0.
            Along `dim` an empty row gives 0, and still counts when the rows are averaged.
    """
    check_same_shape(x=x, mask=mask)
    check_bool(mask=mask)
    total = x.masked_fill(~mask, 0.0)
    if dim is None:
        if denominator is None and not mask.any():
            raise ValueError("mask is all False: there is no step to average over")
        return total.sum() / (mask.sum() if denominator is None else denominator)
    return total.sum(dim) / (mask.sum(dim).clamp(min=1) if denominator is None else denominator)


def policy_gradient_loss(log_probs: Tensor, advantages: Tensor) -> Tensor:
    """REINFORCE: make what turned out well more likely, per step.

    Lₜ = −Âₜ log π(aₜ | sₜ), so that −∇L is the policy gradient.

    Source: Williams (1992); Sutton & Barto (2018), section 13.3.
    """
    check_same_shape(log_probs=log_probs, advantages=advantages)
    return -advantages.detach() * log_probs


def ppo_clip_loss(
    log_probs: Tensor, old_log_probs: Tensor, advantages: Tensor, clip: float | tuple[float, float]
) -> Tensor:
    """PPO's clipped surrogate: several steps on one batch, without running away from it. Per step.

    Lₜ = −min(ρₜ Âₜ, clip(ρₜ, 1 − ε_low, 1 + ε_high) Âₜ),  ρₜ = π(aₜ|sₜ) / π_old(aₜ|sₜ)

    `clip` is ε, or (ε_low, ε_high). Where ρ = 1, before the first update, its gradient is that of REINFORCE.

    Raises:
        ValueError: unequal shapes, a negative ε, or an ε_low above 1 (a ratio is never negative).
    Source: Schulman et al. (2017), arXiv:1707.06347, eq. 7; two bounds: DAPO, arXiv:2503.14476, eq. 10.
    """
    low, high = clip_range(clip)
    check_same_shape(log_probs=log_probs, old_log_probs=old_log_probs, advantages=advantages)
    advantages = advantages.detach()
    ratio = (log_probs - old_log_probs.detach()).exp()
    return -torch.min(ratio * advantages, ratio.clamp(1 - low, 1 + high) * advantages)


def clip_range(clip: float | tuple[float, float]) -> tuple[float, float]:
    """ε, or (ε_low, ε_high), as (ε_low, ε_high); raises where they are out of range."""
    pair = tuple(clip) if isinstance(clip, tuple | list) else (clip, clip)
    if len(pair) != 2:
        raise ValueError(f"clip must be one number or a pair, but is {clip}")
    check_fraction("clip (low)", pair[0])
    check_not_negative("clip (high)", pair[1])
    return pair


def sequence_means(log_probs: Tensor, mask: Tensor) -> Tensor:
    """The mean log-prob of each row's own steps, at each of its steps, `[B, T]`; 0 outside the mask.

    exp(mean log π − mean log π_old) = (Π ρₜ)^(1/|y|): a ratio for a whole answer that does not grow with its length.

    Source: Zheng et al. (2025), "Group sequence policy optimization", arXiv:2507.18071, eq. 7.
    """
    means = masked_mean(log_probs, mask, dim=-1)[..., None]  # [B, 1]
    return means.expand_as(log_probs).masked_fill(~mask, 0.0)


def value_loss(values: Tensor, returns: Tensor) -> Tensor:
    """How wrong the value function was, per step: Lₜ = ½ (V(sₜ) − Gₜ)². Returns are data, so they are detached.

    Source: Sutton & Barto (2018), eq. 9.1 (with the ½ that makes the gradient V − G).
    """
    check_same_shape(values=values, returns=returns)
    return 0.5 * (values - returns.detach()).square()


def kl_estimate(log_probs: Tensor, ref_log_probs: Tensor, kind: str = "k3") -> Tensor:
    """KL(π ‖ ref) estimated from one sampled action, per step.

    With d = log ref − log π:

    k1 = −d            unbiased, noisy, often negative
    k2 = d² / 2        biased, never negative
    k3 = eᵈ − d − 1    unbiased and never negative

    As *rewards*, only k1 has the gradient of KL(π ‖ ref); that of k2 and k3 is 0 to first order near the reference.
    As *values* these hold for actions sampled from π. As *losses*, at a step whose action π itself has just sampled,
    they differ: the expected gradient of k1 is 0, of k2 that of KL(π ‖ ref), of k3 that of KL(ref ‖ π), the other way
    round.

    Source: Schulman (2020), "Approximating KL divergence"; k3 in GRPO: arXiv:2402.03300, eq. 4.
    """
    check_choice("kind", kind, ("k1", "k2", "k3"))
    check_same_shape(log_probs=log_probs, ref_log_probs=ref_log_probs)
    d = ref_log_probs.detach() - log_probs
    return {"k1": lambda: -d, "k2": lambda: d.square() / 2, "k3": lambda: d.exp() - d - 1}[kind]()


def preference_loss(chosen: Tensor, rejected: Tensor) -> Tensor:
    """Bradley–Terry: the score of the better answer should be the higher one, per pair.

    L = −log σ(r_chosen − r_rejected)

    Source: Bradley & Terry (1952); Christiano et al. (2017), arXiv:1706.03741, eq. 1.
    """
    check_same_shape(chosen=chosen, rejected=rejected)
    return -F.logsigmoid(chosen - rejected)


def dpo_loss(chosen: Tensor, rejected: Tensor, ref_chosen: Tensor, ref_rejected: Tensor, beta: float) -> Tensor:
    """Direct preference optimisation, on log-probs of whole sequences, per pair.

    L = −log σ(β [(log π(y_w) − log ref(y_w)) − (log π(y_l) − log ref(y_l))])

    It is `preference_loss` with the implicit reward β log(π / ref); at the reference it is ln 2.

    Raises:
        ValueError: unequal shapes, or β not above 0.
    Source: Rafailov et al. (2023), arXiv:2305.18290, eq. 7.
    """
    check_positive("beta", beta)
    check_same_shape(chosen=chosen, rejected=rejected, ref_chosen=ref_chosen, ref_rejected=ref_rejected)
    return preference_loss(beta * (chosen - ref_chosen.detach()), beta * (rejected - ref_rejected.detach()))


# A reduction turns losses per step `[B, T]` into one number. `whole` is the mask of the minibatch that x is a part of:
# dividing by *its* size makes the sum over micro-batches equal to the full batch, gradient and all.
Reduction = Callable[[Tensor, Tensor, Tensor], Tensor]


def token_mean(x: Tensor, mask: Tensor, whole: Tensor) -> Tensor:
    """Every step counts the same, so a long answer counts more than a short one (after DAPO, arXiv:2503.14476).

    The mean is over the whole minibatch, whichever prompts it holds.
    """
    return masked_mean(x, mask, denominator=whole.sum())


def sequence_mean(x: Tensor, mask: Tensor, whole: Tensor) -> Tensor:
    """Every answer counts the same, so a step in a long one counts less (GRPO, arXiv:2402.03300, eq. 3)."""
    return masked_mean(x, mask, dim=-1).sum() / len(whole)


def length_mean(length: int) -> Reduction:
    """Every step is divided by the same constant, so the gradient prefers no length (Dr. GRPO, arXiv:2503.20783)."""
    check_positive("length", length)

    def reduce(x: Tensor, mask: Tensor, whole: Tensor) -> Tensor:
        return masked_mean(x, mask, denominator=len(whole) * length)

    return reduce
