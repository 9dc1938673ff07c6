"""The reference policy: the model as it was before reinforcement learning, frozen, to measure how far we have gone."""

import copy

import torch
from torch import Tensor

from rlcore.lm.scalar_head import check_same_tokenizer
from rlcore.policies import LanguagePolicy
from rlcore.trajectory import Trajectory


def frozen_copy(policy: LanguagePolicy) -> LanguagePolicy:
    """The policy as it is now; it shares no weight with the original, and does not learn."""
    return copy.deepcopy(policy).requires_grad_(False)


def check_apart(policy: LanguagePolicy, reference: LanguagePolicy) -> None:
    """Require a reference that stays behind when the policy moves.

    Raises:
        ValueError: the two share a parameter (then the KL between them is 0 for ever, and protects from nothing), or
            the reference has another vocabulary, or another temperature.
    """
    mine = {weight.data_ptr(): name for name, weight in policy.named_parameters()}
    shared = [name for name, weight in reference.named_parameters() if weight.data_ptr() in mine]
    if shared:
        raise ValueError(f"reference shares {len(shared)} of its parameters with the policy ({shared[0]}, …), so it "
                         "would move along and the KL would stay 0; use frozen_copy(policy)")
    check_same_tokenizer("reference", reference.tokenizer, policy)
    if reference.temperature != policy.temperature:
        raise ValueError(f"reference has temperature {reference.temperature}, the policy {policy.temperature}: their "
                         "log-probs cannot be compared; use frozen_copy(policy)")


@torch.no_grad()
def log_probs_of(reference: LanguagePolicy, trajectory: Trajectory) -> Tensor:
    """log ref(aₜ | sₜ) of what another policy wrote, `[B, T]`; 0 outside the mask."""
    return reference.evaluate_actions(trajectory.states, trajectory.actions, trajectory.mask)[0]
