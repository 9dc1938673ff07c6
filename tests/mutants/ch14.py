"""Wrong answers to chapter 14, taken from real bugs, and right ones in another style."""

import copy

import numpy as np
import torch

from rlcore.policies import LanguagePolicy
from rlcore.returns import gae
from tests.mutants import Mutant


# 14.1 The price of leaving
def priced(price, outside=0.0):
    """The right answer with another price; `price(d, mask)` of the log-ratios, which are 0 outside the mask."""

    def answer(rewards, log_probs, ref_log_probs, mask, beta):
        if beta < 0:
            raise ValueError(f"beta must be at least 0, but is {beta}")
        d = (log_probs - ref_log_probs).masked_fill(~mask, 0.0)
        return (rewards - beta * price(d, mask)).masked_fill(~mask, outside)

    return answer


def at_the_end(mask):
    return torch.where(mask, torch.arange(mask.shape[1]), -1) == torch.where(mask, torch.arange(mask.shape[1]),
                                                                             -1).max(-1, keepdim=True).values


def charges_padding(rewards, log_probs, ref_log_probs, mask, beta):
    return rewards - beta * (log_probs - ref_log_probs)


def inverted(rewards, log_probs, ref_log_probs, mask, beta):
    return torch.where(mask, 0.0, rewards - beta * (log_probs - ref_log_probs))


def without_beta(rewards, log_probs, ref_log_probs, mask, beta):
    return torch.where(mask, rewards - (log_probs - ref_log_probs), 0.0)


def without_reward(rewards, log_probs, ref_log_probs, mask, beta):
    return torch.where(mask, -beta * (log_probs - ref_log_probs), 0.0)


def of_probabilities(rewards, log_probs, ref_log_probs, mask, beta):
    return torch.where(mask, rewards - beta * (log_probs.exp() - ref_log_probs.exp()), 0.0)


def multiplied(rewards, log_probs, ref_log_probs, mask, beta):
    return rewards - beta * (log_probs - ref_log_probs) * mask


def no_look_at_beta(rewards, log_probs, ref_log_probs, mask, beta):
    return torch.where(mask, rewards - beta * (log_probs - ref_log_probs), 0.0)


def keeps_what_is_outside(rewards, log_probs, ref_log_probs, mask, beta):
    if beta < 0:
        raise ValueError("beta must be at least 0")
    return rewards - beta * torch.where(mask, log_probs - ref_log_probs, 0.0)


def in_place(rewards, log_probs, ref_log_probs, mask, beta):
    if beta < 0:
        raise ValueError("beta must be at least 0")
    rewards -= beta * (log_probs - ref_log_probs).masked_fill(~mask, 0.0)
    return rewards


def row_by_row(rewards, log_probs, ref_log_probs, mask, beta):
    if not beta >= 0:
        raise ValueError(f"beta must not be negative: {beta}")
    out = torch.zeros_like(rewards)
    for b, t in mask.nonzero().tolist():
        out[b, t] = rewards[b, t] - beta * torch.log(log_probs[b, t].exp() / ref_log_probs[b, t].exp())
    return out


# 14.2 Where the verdict goes
def at(place):
    """Pay at the column that a rule names."""
    return lambda scores, mask: torch.zeros(mask.shape).scatter(1, place(mask)[:, None], scores[:, None])


def last(mask):
    return torch.where(mask, torch.arange(mask.shape[1]), -1).max(-1).values


def end_of_the_first_turn(mask):
    first = mask.int().argmax(-1)
    behind = (~mask) & (torch.arange(mask.shape[1]) > first[:, None])
    return torch.where(behind.any(-1), behind.int().argmax(-1), mask.shape[1]) - 1


def flipped(scores, mask):
    back = mask.flip(-1)
    first = back & (back.cumsum(-1) == 1)
    return first.flip(-1) * scores[:, None]


def with_numpy(scores, mask):
    paid = np.zeros(mask.shape, dtype=np.float32)
    for row, (score, own) in enumerate(zip(scores.tolist(), mask.numpy(), strict=True)):
        paid[row, np.flatnonzero(own)[-1]] = score
    return paid


# 14.3 A reference that stays
def same_model(policy):
    return LanguagePolicy(policy.model, policy.tokenizer, policy.temperature)


def shallow(policy):
    return copy.copy(policy).requires_grad_(False)


def freezes_both(policy):
    return copy.deepcopy(policy.requires_grad_(False))


def at_another_temperature(policy):
    return LanguagePolicy(copy.deepcopy(policy.model), policy.tokenizer).requires_grad_(False)


def new_weights(policy):
    model = type(policy.model)(policy.model.config)
    return LanguagePolicy(model, policy.tokenizer, policy.temperature).requires_grad_(False)


def only_the_model(policy):
    return copy.deepcopy(policy.model).requires_grad_(False)


def shares_its_embedding(policy):
    reference = copy.deepcopy(policy).requires_grad_(False)
    reference.model.transformer.wpe = policy.model.transformer.wpe
    return reference


def from_a_state_dict(policy):
    model = type(policy.model)(policy.model.config).eval()
    model.load_state_dict(policy.model.state_dict())
    for weight in model.parameters():
        weight.requires_grad = False
    return LanguagePolicy(model, policy.tokenizer, policy.temperature)


# 14.4 Back through ragged replies
def advantages(lam=None, clean=True, follow=None, before=None, heard=True, cut=True):
    """The right answer, with one part replaced."""

    def answer(rewards, values, mask, given):
        V = values.masked_fill(~mask, 0.0) if clean else values
        after_V = torch.cat([V[:, 1:], torch.zeros_like(V[:, :1])], 1) if follow is None else follow(values, V)
        before_V = V if before is None else before(values, V)
        out, after = torch.zeros_like(rewards), torch.zeros_like(rewards[:, 0])
        for t in reversed(range(rewards.shape[1])):
            after = rewards[:, t] + after_V[:, t] - before_V[:, t] + (given if lam is None else lam) * after
            after = torch.where(mask[:, t], after, 0.0) if heard else after
            out[:, t] = after
        return torch.where(mask, out, 0.0) if cut else out

    return answer


def returns(rewards, values, mask, lam):
    return advantages()(rewards, values, mask, lam) + values.masked_fill(~mask, 0.0)


def bootstraps_the_cut_off(values, V):
    return torch.cat([V[:, 1:], values[:, -1:]], 1)


def shifted(values, V):
    return torch.cat([torch.zeros_like(values[:, :1]), values[:, :-1]], 1)


def forwards(rewards, values, mask, lam):
    V = values.masked_fill(~mask, 0.0)
    delta = torch.where(mask, rewards + torch.cat([V[:, 1:], torch.zeros_like(V[:, :1])], 1) - V, 0.0)
    out, before = torch.zeros_like(rewards), torch.zeros_like(rewards[:, 0])
    for t in range(rewards.shape[1]):
        before = torch.where(mask[:, t], delta[:, t] + lam * before, 0.0)
        out[:, t] = before
    return out


def multiplied_mask(rewards, values, mask, lam):
    V = values * mask
    return advantages(clean=False, follow=lambda *_: torch.cat([V[:, 1:], torch.zeros_like(V[:, :1])], 1),
                      before=lambda *_: V)(rewards, values, mask, lam)


def with_the_library(rewards, values, mask, lam):
    V = torch.where(mask, values, torch.zeros(()))
    over = mask & ~torch.cat([mask[:, 1:], torch.zeros_like(mask[:, :1])], 1)
    after = torch.cat([V[:, 1:], torch.zeros_like(V[:, :1])], 1)
    return gae(rewards, V, after, over, over, 1.0, lam).masked_fill(~mask, 0.0)


def reply_by_reply(rewards, values, mask, lam):
    out = torch.zeros_like(rewards)
    for row in range(len(mask)):
        own = mask[row].nonzero()[:, 0].tolist()
        A = V_after = 0.0
        for t in reversed(own):
            A = (rewards[row, t] + V_after - values[row, t]).item() + lam * A
            V_after = values[row, t].item()
            out[row, t] = A
    return out.tolist()


# 14.5 A leash that adjusts itself
def controller(error=lambda kl, target: (kl - target) / target, clip=lambda e: min(max(e, -0.2), 0.2),
               change=lambda beta, gain, e: beta * (1 + gain * e)):
    """The right answer, with one part replaced."""

    def answer(beta, kl, target, gain=0.1):
        if target <= 0:
            raise ValueError(f"target must be above 0, but is {target}")
        return change(beta, gain, clip(error(kl, target)))

    return answer


def clip(e):
    return min(max(e, -0.2), 0.2)


def divides_by_zero(beta, kl, target, gain=0.1):
    return beta * (1 + gain * clip((kl - target) / target))


def other_default(beta, kl, target, gain=1.0):
    return controller()(beta, kl, target, gain)


def with_torch(beta, kl, target, gain=0.1):
    if not target > 0:
        raise ValueError("target must be positive")
    return torch.tensor(beta) * (1 + gain * torch.tensor(kl / target - 1).clamp(-0.2, 0.2))


def with_numpy_clip(beta, kl, target, gain=0.1):
    if target <= 0:
        raise ValueError("target must be > 0")
    return beta + beta * gain * np.clip((kl - target) / target, -0.2, 0.2)


def at_the_end_of_every_turn(scores, mask):
    follows = torch.cat([mask[:, 1:], torch.zeros_like(mask[:, :1])], 1)
    return (mask & ~follows) * scores[:, None]


def gives_its_own_away(policy):
    reference = LanguagePolicy(policy.model, policy.tokenizer, policy.temperature)
    policy.model = copy.deepcopy(policy.model)
    return reference.requires_grad_(False)


MUTANTS = {
    "14.1": [
        Mutant("sign", priced(lambda d, mask: -d)),
        Mutant("padding-charged", charges_padding),
        Mutant("mask-inverted", inverted),
        Mutant("k3", priced(lambda d, mask: (-d).exp() + d - 1)),
        Mutant("k2", priced(lambda d, mask: d.square() / 2)),
        Mutant("absolute", priced(lambda d, mask: d.abs())),
        Mutant("refund-refused", priced(lambda d, mask: d.clamp(min=0))),
        Mutant("whole-kl-at-every-token", priced(lambda d, mask: d.sum(-1, keepdim=True))),
        Mutant("lump-sum", priced(lambda d, mask: d.sum(-1, keepdim=True) * at_the_end(mask))),
        Mutant("mean-per-reply", priced(lambda d, mask: d / mask.sum(-1, keepdim=True))),
        Mutant("beta-forgotten", without_beta),
        Mutant("reward-forgotten", without_reward),
        Mutant("probabilities", of_probabilities),
        Mutant("mask-multiplied", multiplied),
        Mutant("no-error", no_look_at_beta),
        Mutant("changed-arguments", in_place),
        Mutant("rewards-outside-kept", keeps_what_is_outside),
    ],
    "14.2": [
        Mutant("last-column", at(lambda mask: torch.full((len(mask),), mask.shape[1] - 1))),
        Mutant("every-token", lambda scores, mask: scores[:, None] * mask),
        Mutant("everywhere", lambda scores, mask: scores[:, None].expand(mask.shape)),
        Mutant("spread", lambda scores, mask: scores[:, None] * mask / mask.sum(-1, keepdim=True)),
        Mutant("first-token", at(lambda mask: mask.int().argmax(-1))),
        Mutant("first-turn", at(end_of_the_first_turn)),
        Mutant("behind-the-end", at(lambda mask: (last(mask) + 1).clamp(max=mask.shape[1] - 1))),
        Mutant("behind-the-end", at(lambda mask: (last(mask) + 1) % mask.shape[1])),
        Mutant("before-the-end", at(lambda mask: last(mask) - 1)),
        Mutant("request-forgotten", at(lambda mask: mask.sum(-1) - 1)),
        Mutant("one-piece", at(lambda mask: mask.int().argmax(-1) + mask.sum(-1) - 1)),
        Mutant("every-turn", at_the_end_of_every_turn),
    ],
    "14.3": [
        Mutant("the-policy-itself", lambda policy: policy),
        Mutant("the-policy-itself", lambda policy: policy.requires_grad_(False)),
        Mutant("shares-weights", same_model),
        Mutant("shares-weights", shallow),
        Mutant("shares-weights", shares_its_embedding),
        Mutant("policy-frozen", freezes_both),
        Mutant("not-frozen", copy.deepcopy),
        Mutant("temperature-lost", at_another_temperature),
        Mutant("another-model", new_weights),
        Mutant("not-a-policy", only_the_model),
        Mutant("policy-changed", gives_its_own_away),
    ],
    "14.4": [
        Mutant("padding-expected", advantages(clean=False)),
        Mutant("leaks-from-padding", advantages(clean=False, heard=False)),
        Mutant("wrapped-round", advantages(follow=lambda values, V: values.roll(-1, 1))),
        Mutant("cut-off-has-a-future", advantages(follow=bootstraps_the_cut_off)),
        Mutant("outside-not-zero", advantages(heard=False, cut=False)),
        Mutant("one-step-only", advantages(lam=0.0)),
        Mutant("lam-is-1", advantages(lam=1.0)),
        Mutant("returns", returns),
        Mutant("values-shifted", advantages(follow=lambda values, V: values, before=shifted)),
        Mutant("no-critic", advantages(follow=lambda values, V: 0 * V, before=lambda values, V: 0 * V)),
        Mutant("value-not-subtracted", advantages(before=lambda values, V: 0 * V)),
        Mutant("forwards", forwards),
        Mutant("mask-multiplied", multiplied_mask),
    ],
    "14.5": [
        Mutant("sign", controller(error=lambda kl, target: (target - kl) / target)),
        Mutant("not-relative", controller(error=lambda kl, target: kl - target)),
        Mutant("divided-by-kl", controller(error=lambda kl, target: (kl - target) / kl)),
        Mutant("added", controller(change=lambda beta, gain, e: beta + gain * e)),
        Mutant("factor-only", controller(change=lambda beta, gain, e: 1 + gain * e)),
        Mutant("gain-forgotten", controller(change=lambda beta, gain, e: beta * (1 + e))),
        Mutant("change-only", controller(change=lambda beta, gain, e: beta * gain * e)),
        Mutant("not-clipped", controller(clip=lambda e: e)),
        Mutant("clipped-after-gain", controller(clip=lambda e: e,
                                                change=lambda beta, gain, e: beta * (1 + clip(gain * e)))),
        Mutant("clipped-above-only", controller(clip=lambda e: min(e, 0.2))),
        Mutant("never-looser", controller(clip=lambda e: min(max(e, 0.0), 0.2))),
        Mutant("absolute", controller(clip=lambda e: min(abs(e), 0.2))),
        Mutant("default-gain", other_default),
        Mutant("no-error", lambda beta, kl, target, gain=0.1: controller()(beta, kl, abs(target) + 1e-9, gain)),
        Mutant("raised", divides_by_zero),
    ],
}
ALTERNATIVES = {
    "14.1": [row_by_row],
    "14.2": [flipped, with_numpy],
    "14.3": [from_a_state_dict],
    "14.4": [with_the_library, reply_by_reply],
    "14.5": [with_torch, with_numpy_clip],
}
