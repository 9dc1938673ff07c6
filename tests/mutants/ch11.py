"""Wrong answers to chapter 11, taken from real bugs, and right ones in another style."""

import torch

from rlcore.lm import response_mask
from rlcore.losses import policy_gradient_loss
from rlcore.returns import discounted_returns
from rlcore.trajectory import last_steps
from tests.mutants import Mutant

PAD = 0


# 11.1 Whose token is it?
def before_the_first(completions, eos):
    return (completions == eos).cumsum(-1) == 0


def every_eos(completions, eos):
    return before_the_first(completions, eos) | (completions == eos)


def up_to_the_last(completions, eos):
    is_eos = completions == eos
    from_here_on = is_eos.flip(-1).cumsum(-1).flip(-1) > 0
    return from_here_on | ~is_eos.any(-1, keepdim=True)


def by_argmax(completions, eos, careful=False):
    is_eos = completions == eos
    end = is_eos.int().argmax(-1)  # 0 where there is none
    if careful:
        end = end.where(is_eos.any(-1), completions.shape[1] - 1)
    return torch.arange(completions.shape[1]) <= end[:, None]


def row_by_row(completions, eos):
    mask = []
    for row in completions.tolist():
        end = row.index(eos) + 1 if eos in row else len(row)
        mask.append([t < end for t in range(len(row))])
    return mask


def one_too_many(completions, eos):
    mask = response_mask(completions, eos)
    return torch.cat([mask[:, :1], mask[:, 1:] | (mask[:, :-1] & ~mask[:, 1:])], -1)


def in_place(completions, eos):
    mask = response_mask(completions, eos)
    completions[~mask] = PAD
    return mask


# 11.2 One row, two readings
def steps(tokens, num_prompt, num_tokens, early=0, late=0, from_prompt=True, to_end=True):
    """The answer, with a switch for each usual mistake of the mask."""
    written = torch.arange(1, tokens.shape[1])
    begins = written >= num_prompt[:, None] - early + late
    ends = written < num_tokens[:, None]
    mask = (begins if from_prompt else torch.ones_like(begins)) & (ends if to_end else torch.ones_like(begins))
    return tokens[:, :-1], tokens[:, 1:], mask


def up_to_a_token_1(tokens, num_prompt, num_tokens):
    states, actions, mask = steps(tokens, num_prompt, num_tokens, to_end=False)
    ones = ((actions == 1) & mask).long()
    return states, actions, mask & (ones.cumsum(-1) - ones == 0)  # up to and including the first


def swapped(tokens, num_prompt, num_tokens):
    states, actions, mask = steps(tokens, num_prompt, num_tokens)
    return actions, states, mask


def not_shifted(tokens, num_prompt, num_tokens):
    states, _, mask = steps(tokens, num_prompt, num_tokens)
    return states, states, mask


def whole_row(tokens, num_prompt, num_tokens):
    place = torch.arange(tokens.shape[1])
    return tokens, tokens.roll(-1, 1), (place >= num_prompt[:, None]) & (place < num_tokens[:, None])


def mask_of_the_states(tokens, num_prompt, num_tokens):
    place = torch.arange(tokens.shape[1] - 1)
    return tokens[:, :-1], tokens[:, 1:], (place >= num_prompt[:, None]) & (place < num_tokens[:, None])


def without_eos(tokens, num_prompt, num_tokens):
    return steps(tokens, num_prompt, num_tokens - 1)


def text_by_text(tokens, num_prompt, num_tokens):
    rows = tokens.tolist()
    masks = [[begin <= t + 1 < end for t in range(len(row) - 1)]
             for row, begin, end in zip(rows, num_prompt.tolist(), num_tokens.tolist(), strict=True)]
    return [row[:-1] for row in rows], [row[1:] for row in rows], masks


def cut_from_a_mask_of_tokens(tokens, num_prompt, num_tokens):
    place = torch.arange(tokens.shape[1]).expand_as(tokens)
    own = (place >= num_prompt[:, None]) & (place < num_tokens[:, None])
    return tokens[:, :-1].clone(), tokens[:, 1:].clone(), own[:, 1:]


# 11.3 How likely is a reply?
def picked(logits, actions, axis=-1):
    return logits.log_softmax(axis).gather(-1, actions[..., None]).squeeze(-1)


def raw_logits(logits, actions, mask):
    return logits.gather(-1, actions[..., None]).squeeze(-1).masked_fill(~mask, 0.0).sum(-1)


def right(logits, actions, mask):
    return picked(logits, actions).masked_fill(~mask, 0.0).sum(-1)


def with_categorical(logits, actions, mask):
    log_probs = torch.distributions.Categorical(logits=logits, validate_args=False).log_prob(actions)
    return torch.where(mask, log_probs, 0.0).sum(-1)


def reply_by_reply(logits, actions, mask):
    sums = []
    for rows, taken, own in zip(logits, actions, mask, strict=True):
        sums.append(sum((torch.log_softmax(row, 0)[a] for row, a, mine in zip(rows, taken, own, strict=True) if mine),
                        torch.zeros(())))
    return torch.stack(sums)


def greedy(logits, actions, mask):
    return logits.log_softmax(-1).max(-1).values.masked_fill(~mask, 0.0).sum(-1)


# 11.4 A world made of text
def world(written, token, num_prompt, limit, eos, judge, *, from_prompt=True, off=0, cut_first=False, both=False,
          cut_is_end=False, pay_always=False, pay_cut=True, see_eos=False, see_prompt=False, drop_last=False):
    """The step, with a switch for each usual mistake."""
    written = [*written, token]
    length = len(written) - (num_prompt if from_prompt else 0) + off
    at_limit, ended = length >= limit, token == eos
    truncated = at_limit and (both or cut_first or not ended)
    terminated = ended and not (cut_first and at_limit)
    own = written if see_prompt else written[num_prompt:]
    seen = own[:-1] if (ended and not see_eos) or drop_last else own
    over = terminated or truncated
    reward = float(judge(seen)) if pay_always or terminated or (truncated and pay_cut) else 0.0
    if cut_is_end:
        return written, reward, over, False
    return written, reward, terminated, truncated


def appends(written, token, *rest):
    result = world(written, token, *rest)
    written.append(token)
    return written, *result[1:]


def forgets_the_token(written, token, *rest):
    return written, *world(written, token, *rest)[1:]


def never_pays(*args):
    state, _, terminated, truncated = world(*args)
    return state, 0.0, terminated, truncated


def asks_at_every_step(written, token, num_prompt, limit, eos, judge):
    state, _, terminated, truncated = world(written, token, num_prompt, limit, eos, judge)
    own = state[num_prompt:-1] if terminated else state[num_prompt:]
    return state, float(judge(own)) * (terminated or truncated), terminated, truncated


def only_the_token(written, token, *rest):
    return [token], *world(written, token, *rest)[1:]


def with_early_returns(written, token, num_prompt, max_new_tokens, eos_token_id, judge):
    state = [*written, token]
    if token == eos_token_id:
        return state, judge(written[num_prompt:]), True, False
    if len(state) == num_prompt + max_new_tokens:
        return state, judge(state[num_prompt:]), False, True
    return state, 0, False, False


# 11.5 Two framings, one loss
def pushes(mask, gamma, count=None):
    """γ to the number of own tokens after each place; or to another count."""
    after = mask.flip(-1).cumsum(-1).flip(-1) - 1 if count is None else count
    return gamma ** after.clamp(min=0)


def loss(log_probs, rewards, mask, gamma, count=None):
    return -(rewards[:, None] * pushes(mask, gamma, count) * log_probs).masked_fill(~mask, 0.0)


def with_the_library(log_probs, rewards, mask, gamma):
    ends = last_steps(mask)
    paid = torch.where(ends, rewards[:, None], 0.0)
    returns = discounted_returns(paid, ends, gamma)
    return policy_gradient_loss(log_probs, returns)[mask].sum() / len(rewards)


def with_loops(log_probs, rewards, mask, gamma):
    total = 0.0
    for row, paid, own in zip(log_probs, rewards, mask, strict=True):
        push = paid
        for t in reversed(own.nonzero()[:, 0].tolist()):
            total = total - push * row[t]
            push = push * gamma
    return total / len(rewards)


def multiplied(log_probs, rewards, mask, gamma):
    return -(rewards[:, None] * pushes(mask, gamma) * log_probs * mask).sum(-1).mean()


def last_token_only(log_probs, rewards, mask, gamma):
    return -(rewards[:, None] * log_probs).masked_fill(~last_steps(mask), 0.0).sum(-1).mean()


MUTANTS = {
    "11.1": [
        Mutant("eos-dropped", before_the_first),
        Mutant("eos-by-id", lambda completions, eos: completions != eos),
        Mutant("looked-for-padding", lambda completions, eos: completions != PAD),
        Mutant("every-eos-counts", every_eos),
        Mutant("last-eos", up_to_the_last),
        Mutant("cut-off-row-lost", by_argmax),
        Mutant("one-too-many", one_too_many),
        Mutant("inverted", lambda completions, eos: ~response_mask(completions, eos)),
        Mutant("eos-hard-coded", lambda completions, eos: response_mask(completions, 1)),
        Mutant("wrong-kind", lambda completions, eos: response_mask(completions, eos).float()),
        Mutant("changed-arguments", in_place),
        Mutant("returned-nothing", lambda completions, eos: None),
    ],
    "11.2": [
        Mutant("swapped", swapped),
        Mutant("not-shifted", not_shifted),
        Mutant("whole-row", whole_row),
        Mutant("first-token-lost", lambda *args: steps(*args, late=1)),
        Mutant("one-too-early", lambda *args: steps(*args, early=1)),
        Mutant("prompt-counted", lambda *args: steps(*args, from_prompt=False)),
        Mutant("prompt-counted", lambda *args: steps(*args, from_prompt=False, to_end=False)),
        Mutant("padding-counted", lambda *args: steps(*args, to_end=False)),
        Mutant("states-masked", mask_of_the_states),
        Mutant("eos-lost", without_eos),
        Mutant("no-triple", lambda *args: steps(*args)[:2]),
        Mutant("by-id", lambda *args: (*steps(*args)[:2], steps(*args)[2] & (args[0][:, 1:] != 0))),
        Mutant("by-id", up_to_a_token_1),
        Mutant("wrong-kind", lambda *args: (*steps(*args)[:2], steps(*args)[2].float())),
    ],
    "11.3": [
        Mutant("not-normalised", raw_logits),
        Mutant("wrong-axis", lambda x, a, m: picked(x, a, axis=1).masked_fill(~m, 0.0).sum(-1)),
        Mutant("mask-ignored", lambda x, a, m: picked(x, a).sum(-1)),
        Mutant("mean-not-sum", lambda x, a, m: right(x, a, m) / m.sum(-1)),
        Mutant("padded-mean", lambda x, a, m: picked(x, a).masked_fill(~m, 0.0).mean(-1)),
        Mutant("probability", lambda x, a, m: right(x, a, m).exp()),
        Mutant("sum-of-probabilities", lambda x, a, m: picked(x, a).exp().masked_fill(~m, 0.0).sum(-1)),
        Mutant("sign", lambda x, a, m: -right(x, a, m)),
        Mutant("likeliest-token", greedy),
        Mutant("mask-multiplied", lambda x, a, m: (picked(x, a) * m).sum(-1)),
        Mutant("one-number", lambda x, a, m: right(x, a, m).sum()),
        Mutant("per-token", lambda x, a, m: picked(x, a).masked_fill(~m, 0.0)),
        Mutant("impossible-is-free", lambda x, a, m: picked(x, a).nan_to_num(neginf=0.0).masked_fill(~m, 0.0).sum(-1)),
    ],
    "11.4": [
        Mutant("eos-at-the-limit", lambda *args: world(*args, both=True)),
        Mutant("truncation-first", lambda *args: world(*args, cut_first=True)),
        Mutant("called-terminated", lambda *args: world(*args, cut_is_end=True)),
        Mutant("prompt-counts", lambda *args: world(*args, from_prompt=False)),
        Mutant("limit-too-early", lambda *args: world(*args, off=1)),
        Mutant("limit-missed", lambda *args: world(*args, off=-1)),
        Mutant("paid-too-early", lambda *args: world(*args, pay_always=True)),
        Mutant("cut-off-not-paid", lambda *args: world(*args, pay_cut=False)),
        Mutant("eos-judged", lambda *args: world(*args, see_eos=True)),
        Mutant("prompt-judged", lambda *args: world(*args, see_prompt=True)),
        Mutant("last-token-unjudged", lambda *args: world(*args, drop_last=True)),
        Mutant("changed-arguments", appends),
        Mutant("token-lost", forgets_the_token),
        Mutant("only-the-token", only_the_token),
        Mutant("not-paid", never_pays),
        Mutant("judge-asked-too-early", asks_at_every_step),
    ],
    "11.5": [
        Mutant("sign", lambda *args: -loss(*args).sum(-1).mean()),
        Mutant("mean-per-reply", lambda lp, R, m, gamma: (loss(lp, R, m, gamma).sum(-1) / m.sum(-1)).mean()),
        Mutant("token-mean", lambda lp, R, m, gamma: loss(lp, R, m, gamma).sum() / m.sum()),
        Mutant("padded-mean", lambda *args: loss(*args).mean()),
        Mutant("sum-not-mean", lambda *args: loss(*args).sum()),
        Mutant("mask-ignored", lambda lp, R, m, gamma: -(R[:, None] * lp).sum(-1).mean()),
        Mutant("last-token-only", last_token_only),
        Mutant("reward-squared", lambda lp, R, m, gamma: loss(lp, R * R, m, gamma).sum(-1).mean()),
        Mutant("no-discount", lambda lp, R, m, gamma: loss(lp, R, m, 1.0).sum(-1).mean()),
        Mutant("wrong-end", lambda lp, R, m, gamma: loss(lp, R, m, gamma, m.cumsum(-1) - 1).sum(-1).mean()),
        Mutant("discount-shifted", lambda lp, R, m, gamma: gamma * loss(lp, R, m, gamma).sum(-1).mean()),
        Mutant("padding-delays", lambda lp, R, m, gamma: loss(
            lp, R, m, gamma, torch.arange(m.shape[1]).flip(0)).sum(-1).mean()),
        Mutant("prompt-delays", lambda lp, R, m, gamma: loss(
            lp, R, m, gamma, torch.arange(m.shape[1])).sum(-1).mean()),
        Mutant("same-for-all", lambda lp, R, m, gamma: loss(
            lp, R, m, gamma, (m.sum(-1, keepdim=True) - 1).expand_as(m)).sum(-1).mean()),
        Mutant("mask-multiplied", multiplied),
        Mutant("detached", lambda lp, R, m, gamma: loss(lp.detach(), R, m, gamma).sum(-1).mean()),
        Mutant("no-single-loss", lambda *args: loss(*args).sum(-1)),
        Mutant("two-hard-coded", lambda *args: loss(*args).sum() / 2),
    ],
}
ALTERNATIVES = {
    "11.1": [row_by_row, lambda completions, eos: by_argmax(completions, eos, careful=True), response_mask],
    "11.2": [text_by_text, cut_from_a_mask_of_tokens],
    "11.3": [with_categorical, reply_by_reply],
    "11.4": [with_early_returns, world],
    "11.5": [with_the_library, with_loops],
}
