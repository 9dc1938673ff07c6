"""Wrong answers to chapter 09, taken from real bugs, and right ones in another style."""

import math

import torch
from torch.distributions import Independent, Normal

from rlcore.losses import ppo_clip_loss, value_loss
from rlcore.update import policy_update
from tests.mutants import Mutant


# 09.1 The ratio of an action that is a vector
def log_density(means, stds, actions):
    return Normal(means, stds).log_prob(actions)  # [N, k]


def as_one_distribution(means, stds, actions, old_log_probs):
    return (Independent(Normal(means, stds), 1).log_prob(actions) - old_log_probs).exp()


def written_out(means, stds, actions, old_log_probs):
    z = (actions - means) / stds
    log_probs = (-0.5 * z**2 - stds.log() - 0.5 * math.log(2 * math.pi)).sum(1)
    return torch.exp(log_probs - old_log_probs)


def row_by_row(means, stds, actions, old_log_probs):
    rows = zip(means, stds, actions, old_log_probs, strict=True)
    return torch.stack([(Normal(m, s).log_prob(a).sum() - old).exp() for m, s, a, old in rows])


def without_spread(means, stds, actions, old):
    return ((-0.5 * ((actions - means) / stds) ** 2).sum(-1) - old).exp()


def by_densities(means, stds, actions, old):
    return log_density(means, stds, actions).sum(-1).exp() / old.exp()


# 09.2 Whose gradient is cut?
def by_where(ratio, advantages, clip):
    return torch.where(advantages > 0, ratio > 1 + clip, ratio < 1 - clip) & (advantages != 0)


def by_gradient(ratio, advantages, clip):
    rho = ratio.clone().requires_grad_()
    gain = torch.minimum(rho * advantages, rho.clamp(1 - clip, 1 + clip) * advantages)
    return (torch.autograd.grad(gain.sum(), rho)[0] == 0) & (advantages != 0)


def by_loop(ratio, advantages, clip):
    return torch.tensor([bool((a > 0 and r > 1 + clip) or (a < 0 and r < 1 - clip))
                         for r, a in zip(ratio, advantages, strict=True)])


def cut(ratio, advantages, clip, good=lambda a: a > 0, bad=lambda a: a < 0):
    return ((ratio > 1 + clip) & good(advantages)) | ((ratio < 1 - clip) & bad(advantages))


# 09.3 The clip, with two bounds
def loss(new, old, adv, low, high, pick=torch.minimum, ratio=lambda d: d.exp()):
    rho, adv = ratio(new - old.detach()), adv.detach()
    return -pick(rho * adv, rho.clamp(1 - low, 1 + high) * adv)


def maximum_of_losses(new, old, adv, low, high):
    rho, adv = torch.exp(new - old.detach()), adv.detach()
    return torch.max(-adv * rho, -adv * torch.clamp(rho, 1 - low, 1 + high))


def by_cases(new, old, adv, low, high):
    rho, adv = (new - old.detach()).exp(), adv.detach()
    bound = torch.where(adv > 0, 1 + high, 1 - low)
    beyond = torch.where(adv > 0, rho > bound, rho < bound)
    return -torch.where(beyond, bound, rho) * adv


def rlcores(new, old, adv, low, high):
    return ppo_clip_loss(new, old, adv, (low, high))


def without_minimum(new, old, adv, low, high):
    return -((new - old.detach()).exp().clamp(1 - low, 1 + high) * adv.detach())


def clipped_logs(new, old, adv, low, high):
    d = new - old.detach()
    return -torch.minimum(d.exp() * adv, d.clamp(-low, high).exp() * adv)


def clipped_product(new, old, adv, low, high):
    gain = (new - old.detach()).exp() * adv.detach()
    return -torch.minimum(gain, gain.clamp(1 - low, 1 + high))


def lets_data_learn(new, old, adv, low, high):
    rho = (new - old).exp()
    return -torch.minimum(rho * adv, rho.clamp(1 - low, 1 + high) * adv)


# 09.4 Minibatches
def deal(num_steps, size, epochs, generator, shuffle=lambda n, g: torch.randperm(n, generator=g), keep_last=True):
    pieces = []
    for _ in range(epochs):
        hands = shuffle(num_steps, generator).split(size)
        pieces += hands if keep_last else [hand for hand in hands if len(hand) == size]
    return pieces


def by_slices(num_steps, size, epochs, generator):
    order = [torch.randperm(num_steps, generator=generator) for _ in range(epochs)]
    return [epoch[i : i + size] for epoch in order for i in range(0, num_steps, size)]


def by_sorting(num_steps, size, epochs, generator):
    for _ in range(epochs):
        yield from torch.rand(num_steps, generator=generator).argsort().split(size)


def as_list(num_steps, size, epochs, generator):
    return list(by_sorting(num_steps, size, epochs, generator))


def same_order(num_steps, size, epochs, generator):
    order = torch.randperm(num_steps, generator=generator)
    return [piece for _ in range(epochs) for piece in order.split(size)]


def same_minibatches(num_steps, size, epochs, generator):
    pieces, out = torch.randperm(num_steps, generator=generator).split(size), []
    for epoch in range(epochs):
        full = list(pieces[:-1]) if len(pieces) > 1 else []
        full = full[epoch % max(len(full), 1):] + full[: epoch % max(len(full), 1)]
        out += [*full, pieces[-1]]
    return out


# 09.5 A whole update
def update(policy, value, optimizer, batch, clip, epochs, value_coef, max_grad_norm, *, wrong=""):
    """Right, with a switch for each usual mistake."""
    both, old = [*policy.parameters(), *value.parameters()], batch.log_probs
    reduce = torch.Tensor.sum if wrong == "summed" else torch.Tensor.mean
    for _ in range(1 if wrong == "one-epoch" else epochs):
        new = policy(batch.states).log_prob(batch.actions)
        if wrong == "old-recomputed":
            with torch.no_grad():
                old = policy(batch.states).log_prob(batch.actions)
        rho, adv = (new - old).exp(), batch.advantages
        if wrong == "old-overwritten":
            old = new.detach()
        if wrong == "plain-gradient":
            gain = new * adv
        elif wrong == "no-clip":
            gain = rho * adv
        elif wrong == "no-minimum":
            gain = rho.clamp(1 - clip, 1 + clip) * adv
        else:
            pick = torch.maximum if wrong == "maximum" else torch.minimum
            gain = pick(rho * adv, rho.clamp(1 - clip, 1 + clip) * adv)
        errors = (value(batch.states) - batch.returns) ** 2
        critic = reduce(errors if wrong == "no-half" else 0.5 * errors)
        coef = {"no-value-coef": 1.0, "critic-forgotten": 0.0, "critic-sign": -value_coef}.get(wrong, value_coef)
        total = (1 if wrong == "sign" else -1) * reduce(gain) + coef * critic
        if wrong != "gradients-pile-up":
            optimizer.zero_grad()
        total.backward()
        if wrong == "clipped-apart":
            torch.nn.utils.clip_grad_norm_(policy.parameters(), max_grad_norm)
            torch.nn.utils.clip_grad_norm_(value.parameters(), max_grad_norm)
        elif wrong == "policy-clipped-only":
            torch.nn.utils.clip_grad_norm_(policy.parameters(), max_grad_norm)
        elif wrong == "clipped-by-value":
            torch.nn.utils.clip_grad_value_(both, max_grad_norm)
        elif wrong not in ("no-gradient-clipping", "clipped-too-late"):
            torch.nn.utils.clip_grad_norm_(both, max_grad_norm)
        optimizer.step()
        if wrong == "clipped-too-late":
            torch.nn.utils.clip_grad_norm_(both, max_grad_norm)


def with_rlcores_losses(policy, value, optimizer, batch, clip, epochs, value_coef, max_grad_norm):
    for _ in range(epochs):
        new, _ = policy.evaluate_actions(batch.states, batch.actions, batch.mask)
        optimizer.zero_grad()
        ppo_clip_loss(new, batch.log_probs, batch.advantages, clip).mean().backward()
        (value_coef * value_loss(value(batch.states), batch.returns).mean()).backward()
        held = [weight for group in optimizer.param_groups for weight in group["params"]]
        torch.nn.utils.clip_grad_norm_(held, max_grad_norm)
        optimizer.step()


def with_policy_update(policy, value, optimizer, batch, clip, epochs, value_coef, max_grad_norm):
    policy_update(policy, batch, optimizer, clip=clip, value=value, value_coef=value_coef, epochs=epochs,
                  max_grad_norm=max_grad_norm)


def mistaken(wrong, key=None):
    return Mutant(key or wrong, lambda *args, **kwargs: update(*args, **kwargs, wrong=wrong))


WRONG = ("old-recomputed", "old-overwritten", "one-epoch", "no-clip", "no-minimum", "maximum", "sign",
         "no-value-coef", "critic-forgotten", "critic-sign", "no-half", "summed", "gradients-pile-up",
         "no-gradient-clipping", "clipped-apart", "policy-clipped-only", "clipped-by-value")

MUTANTS = {
    "09.1": [
        Mutant("upside-down", lambda m, s, a, old: (old - log_density(m, s, a).sum(-1)).exp()),
        Mutant("log-ratio", lambda m, s, a, old: log_density(m, s, a).sum(-1) - old),
        Mutant("quotient-of-logs", lambda m, s, a, old: log_density(m, s, a).sum(-1) / old),
        Mutant("motors-not-summed", lambda m, s, a, old: (log_density(m, s, a) - old[:, None]).exp()),
        Mutant("mean-over-motors", lambda m, s, a, old: (log_density(m, s, a).mean(-1) - old).exp()),
        Mutant("densities-added", lambda m, s, a, old: log_density(m, s, a).exp().sum(-1) / old.exp()),
        Mutant("one-motor", lambda m, s, a, old: (log_density(m, s, a)[:, 0] - old).exp()),
        Mutant("variance-for-std", lambda m, s, a, old: (log_density(m, s**2, a).sum(-1) - old).exp()),
        Mutant("spread-left-out", without_spread),
        Mutant("density-minus-log", lambda m, s, a, old: log_density(m, s, a).sum(-1).exp() - old),
        Mutant("underflow", by_densities),
        Mutant("returned-nothing", lambda m, s, a, old: None),
    ],
    "09.2": [
        Mutant("sign-ignored", lambda r, a, clip: (r - 1).abs() > clip),
        Mutant("sides-swapped", lambda r, a, clip: cut(r, -a, clip)),
        Mutant("upper-side-only", lambda r, a, clip: (r > 1 + clip) & (a > 0)),
        Mutant("lower-side-only", lambda r, a, clip: (r < 1 - clip) & (a < 0)),
        Mutant("upper-for-all", lambda r, a, clip: r > 1 + clip),
        Mutant("zero-counts-as-bad", lambda r, a, clip: cut(r, a, clip, bad=lambda a: a <= 0)),
        Mutant("zero-counts-as-good", lambda r, a, clip: cut(r, a, clip, good=lambda a: a >= 0)),
        Mutant("kept-not-cut", lambda r, a, clip: ~cut(r, a, clip)),
        Mutant("fixed-clip", lambda r, a, clip: cut(r, a, 0.2)),
        Mutant("not-bool", lambda r, a, clip: cut(r, a, clip).long()),
        Mutant("size-of-advantage", lambda r, a, clip: (r - 1) * a > clip),
        Mutant("log-ratio", lambda r, a, clip: ((r.log() > clip) & (a > 0)) | ((r.log() < -clip) & (a < 0))),
        Mutant("reciprocal", lambda r, a, clip: ((r > 1 + clip) & (a > 0)) | ((r < 1 / (1 + clip)) & (a < 0))),
    ],
    "09.3": [
        Mutant("sign", lambda *args: -loss(*args)),
        Mutant("maximum", lambda *args: loss(*args, pick=torch.maximum)),
        Mutant("no-minimum", without_minimum),
        Mutant("bounds-swapped", lambda new, old, adv, low, high: loss(new, old, adv, high, low)),
        Mutant("one-bound", lambda new, old, adv, low, high: loss(new, old, adv, low, low)),
        Mutant("high-for-both", lambda new, old, adv, low, high: loss(new, old, adv, high, high)),
        Mutant("upside-down", lambda *args: loss(*args, ratio=lambda d: (-d).exp())),
        Mutant("no-clip", lambda new, old, adv, low, high: -(new - old).exp() * adv),
        Mutant("clipped-logs", clipped_logs),
        Mutant("surrogate-clipped", clipped_product),
        Mutant("log-ratio", lambda *args: loss(*args, ratio=lambda d: d)),
        Mutant("reduced", lambda *args: loss(*args).mean()),
        Mutant("no-gradient", lambda new, *rest: loss(new.detach(), *rest)),
        Mutant("gradient-through-data", lets_data_learn),
        Mutant("fixed-bounds", lambda new, old, adv, low, high: loss(new, old, adv, 0.2, 0.5)),
    ],
    "09.4": [
        Mutant("with-replacement", lambda n, size, epochs, g: deal(
            n, size, epochs, g, shuffle=lambda n, g: torch.randint(n, (n,), generator=g))),
        Mutant("same-order", same_order),
        Mutant("same-minibatches", same_minibatches),
        Mutant("last-piece-lost", lambda *args: deal(*args, keep_last=False)),
        Mutant("not-shuffled", lambda *args: deal(*args, shuffle=lambda n, g: torch.arange(n))),
        Mutant("one-epoch", lambda n, size, epochs, g: deal(n, size, 1, g)),
        Mutant("other-dice", lambda *args: deal(*args, shuffle=lambda n, g: torch.randperm(n))),
        Mutant("nested", lambda n, size, epochs, g: [list(torch.randperm(n, generator=g).split(size))
                                                     for _ in range(epochs)]),
        Mutant("wrong-sizes", lambda n, size, epochs, g: [piece for _ in range(epochs)
                                                          for piece in torch.randperm(n, generator=g).chunk(size)]),
        Mutant("wrong-range", lambda *args: [piece + 1 for piece in deal(*args)]),
        Mutant("not-a-list-of-tensors", lambda n, size, epochs, g: torch.cat(deal(n, size, epochs, g))),
    ],
    "09.5": [
        *map(mistaken, WRONG),
        mistaken("clipped-too-late", "no-gradient-clipping"),
        mistaken("plain-gradient", "old-recomputed"),
        Mutant("nothing-moved", lambda *args, **kwargs: None),
    ],
}
ALTERNATIVES = {
    "09.1": [as_one_distribution, written_out, row_by_row],
    "09.2": [cut, by_where, by_gradient, by_loop],
    "09.3": [loss, maximum_of_losses, by_cases, rlcores],
    "09.4": [deal, by_slices, as_list],
    "09.5": [update, with_rlcores_losses, with_policy_update],
}
