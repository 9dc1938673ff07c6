"""Checks of chapter 09: ratios, who is cut, the clip, minibatches, and a whole update."""

from rlcourse.exam import call, exercise, expect, require


@exercise("09.1", title="The ratio of an action that is a vector", hints=[
    "The motors are drawn independently. What is the density of the whole action, in terms of the motors'? And its "
    "logarithm?",
    "A product of densities is a sum of logarithms: `.sum(-1)`. A ratio of densities is a difference of logarithms, "
    "and one exponential at the end.",
    "`(torch.distributions.Normal(means, stds).log_prob(actions).sum(-1) - old_log_probs).exp()`",
])
def check_ratio(fn):
    """Two states, three motors; the second action has become likelier."""
    import torch
    from torch.distributions import Normal

    means = torch.tensor([[0.0, 1.0, -1.0], [0.5, 0.0, 2.0]])
    stds = torch.tensor([[1.0, 2.0, 0.5], [0.5, 1.0, 2.0]])
    actions = torch.tensor([[0.5, 0.0, -1.5], [0.5, -1.0, 1.0]])
    each = Normal(means, stds).log_prob(actions)  # [2, 3]
    old = torch.tensor([-3.5, -4.0])
    whole = each.sum(-1)
    no_spread = -0.5 * ((actions - means) / stds).square()
    expect(call(fn, means, stds, actions, old), (whole - old).exp(), pure=True, mistakes={
        "upside-down": ((old - whole).exp(), "You have old over new. A ratio above 1 means that the action has become "
                                             "*likelier*."),
        "log-ratio": (whole - old, "That is log ρ. The ratio is its exponential: 1, not 0, where nothing has changed."),
        "quotient-of-logs": (whole / old, "You divided log-probs. The logarithm of a quotient is a *difference* of "
                                          "logarithms."),
        "motors-not-summed": (lambda r: getattr(r, "ndim", 0) == 2,
                              "There is a number for every motor. An action is one vector: its log-density is the sum "
                              "over the motors, `.sum(-1)`."),
        "mean-over-motors": ((each.mean(-1) - old).exp(), "You averaged over the motors. Densities of independent "
                                                          "motors multiply, so their logarithms add up."),
        "densities-added": ((each.exp().sum(-1).log() - old).exp(), "You added the motors' densities. Independent "
                                                                    "densities multiply; logarithms add up."),
        "one-motor": ((each[:, 0] - old).exp(), "You used the first motor only."),
        "variance-for-std": ((Normal(means, stds**2).log_prob(actions).sum(-1) - old).exp(),
                             "You squared the standard deviation before handing it over. `Normal` wants σ, not σ²."),
        "spread-left-out": (((no_spread - old[:, None] / 3).sum(-1)).exp(),
                            "Your log-density is −(a − μ)²/2σ² and nothing else. The −log σ − ½ log 2π does not "
                            "cancel: the old log-probs have it, and σ changes as the policy learns."),
        "density-minus-log": (whole.exp() - old, "You took a density minus a log-density. Subtract logarithms first, "
                                                 "then one exponential."),
    })
    expect(call(fn, means, stds, actions, whole), torch.ones(2))  # nothing has changed
    far = torch.full((2, 3), 60.0)  # densities of 1e-1500: they are 0 as numbers, and no trouble as logarithms
    old = Normal(means, stds).log_prob(far).sum(-1)
    expect(call(fn, means, stds, far, old - 0.5), torch.full((2,), 0.5).exp(), rtol=2e-3, mistakes={
        "underflow": (lambda r: not torch.isfinite(torch.as_tensor(r)).all() or (torch.as_tensor(r) == 0).any(),
                      "You divided densities, and 10⁻¹⁵⁰⁰ is 0 to a computer: 0/0. Subtract the logarithms, and "
                      "take one exponential at the end."),
    })


@exercise("09.2", title="Whose gradient is cut?", hints=[
    "Draw the two pictures of the lesson. On which side is the flat part if Â is positive? And if it is negative?",
    "Good actions are cut above 1 + ε, bad ones below 1 − ε. The other two ends are not flat.",
    "`((ratio > 1 + clip) & (advantages > 0)) | ((ratio < 1 - clip) & (advantages < 0))`",
])
def check_is_cut(fn):
    """Ratios 0.5, 1, 1.5 with advantages +, − and 0, at ε = 0.2."""
    import torch

    ratio = torch.tensor([0.5, 1.0, 1.5, 0.5, 1.0, 1.5, 0.5, 1.5])
    advantages = torch.tensor([2.0, 2.0, 2.0, -1.0, -1.0, -1.0, 0.0, 0.0])
    high, low, good, bad = ratio > 1.2, ratio < 0.8, advantages > 0, advantages < 0
    came = call(fn, ratio, advantages, 0.2)
    value = came.value
    require(not isinstance(value, torch.Tensor) or value.dtype == torch.bool, called=came.text,
            returned=f"a tensor of {getattr(value, 'dtype', '')}", expected="a bool tensor", mistake="not-bool",
            why="Return True and False, not numbers: an integer mask is inverted bit by bit by `~`.")
    expect(came, (high & good) | (low & bad), pure=True, mistakes={
        "sign-ignored": (high | low, "You asked whether the ratio is far from 1, whatever the advantage. A good action "
                                     "that has become *rare* still pulls back with full force: only the way further is "
                                     "cut, never the way back."),
        "sides-swapped": ((low & good) | (high & bad), "It is the other way round: good actions are made likelier, so "
                                                       "they are cut *above* 1 + ε, and bad ones below 1 − ε."),
        "upper-side-only": (high & good, "You cut above 1 + ε only. Bad actions are cut as well, below 1 − ε."),
        "lower-side-only": (low & bad, "You cut below 1 − ε only. Good actions are cut as well, above 1 + ε."),
        "upper-for-all": (high, "Above 1 + ε a *bad* action is not cut. It has become likelier, and has to come back."),
        "zero-counts-as-bad": ((high & good) | (low & ~good), "An advantage of 0 has no gradient that could be cut. "
                                                              "Below 0, not at most 0."),
        "zero-counts-as-good": ((high & ~bad) | (low & bad), "An advantage of 0 has no gradient that could be cut. "
                                                             "Above 0, not at least 0."),
        "kept-not-cut": (~((high & good) | (low & bad)), "That is who is *not* cut."),
    })
    narrow, one = torch.tensor([1.05, 0.95, 1.05, 0.95]), torch.tensor([1.0, -1.0, -1.0, 1.0])
    expect(call(fn, narrow, one, 0.01), torch.tensor([True, True, False, False]), mistakes={
        "fixed-clip": ([False] * 4, "You wrote 0.2 where `clip` belongs."),
    })
    expect(call(fn, narrow, one, 0.2), torch.tensor([False] * 4))
    edge, small = torch.tensor([1.21, 0.81, 1.1, 0.5]), torch.tensor([0.3, -0.3, 5.0, -0.3])
    expect(call(fn, edge, small, 0.2), torch.tensor([True, False, False, True]), mistakes={
        "size-of-advantage": ([False, False, True, False], "You compared (ρ − 1) Â with ε. Only the *sign* of the "
                                                           "advantage counts; the bounds are the ratio's."),
        "log-ratio": ([False, True, False, True], "You compared log ρ with ε. The bounds are 1 − ε and 1 + ε, for ρ."),
        "reciprocal": ([True, True, False, True], "The lower bound is 1 − ε, not 1/(1 + ε)."),
    })


@exercise("09.3", title="The clip, with two bounds", hints=[
    "Two products per step, ρ Â and clip(ρ) Â, and the smaller one counts. What turns an objective into a loss?",
    "`ratio.clamp(1 - low, 1 + high)`. Detach what is data: advantages and old log-probs.",
    "`-torch.minimum(ratio * advantages, ratio.clamp(1 - low, 1 + high) * advantages)`",
])
def check_clipped_loss(fn):
    """Ratios ½, 0.9, 1.3, 2 for a good and a bad action, between 0.8 and 1.5."""
    import torch

    rho = torch.tensor([0.5, 0.9, 1.3, 2.0] * 2)
    old = torch.tensor([-1.0, -2.0, -0.5, -3.0] * 2)
    adv = torch.tensor([2.0] * 4 + [-1.0] * 4)

    def objective(r, low, high, pick=torch.minimum):
        return pick(r * adv, r.clamp(1 - low, 1 + high) * adv)

    new, kept = (old + rho.log()).requires_grad_(), rho.clamp(0.8, 1.5)
    came = call(fn, new, old, adv, 0.2, 0.5)
    expect(came, -objective(rho, 0.2, 0.5), pure=True, mistakes={
        "sign": (objective(rho, 0.2, 0.5),
                 "That is the objective, which wants to be large. What is minimised wants to be small: there is a "
                 "minus in front."),
        "maximum": (-objective(rho, 0.2, 0.5, torch.maximum),
                    "You took the larger of the two. The *smaller* one is the cautious one: with the maximum, going "
                    "too far is paid in full, and coming back is cut. (If you put the minus inside first, the maximum "
                    "of the two losses is right.)"),
        "no-minimum": (-kept * adv,
                       "You clipped the ratio and took no minimum. Then it is flat on both sides, and a good action "
                       "that has become rare is never called back. Tensorforce was told so in 2017 (issue 106)."),
        "bounds-swapped": (-objective(rho, 0.5, 0.2),
                           "The bounds have changed places: ratios go from 1 − low to 1 + high."),
        "one-bound": (-objective(rho, 0.2, 0.2), "You used `low` for both sides."),
        "high-for-both": (-objective(rho, 0.5, 0.5), "You used `high` for both sides."),
        "upside-down": (-objective(1 / rho, 0.2, 0.5), "You have old over new: ρ is new over old."),
        "no-clip": (-rho * adv, "Nothing is clipped here."),
        "clipped-logs": (-torch.minimum(rho * adv, rho.log().clamp(-0.2, 0.5).exp() * adv),
                         "You clipped log ρ. It is ρ that stays between 1 − low and 1 + high."),
        "surrogate-clipped": (-torch.minimum(rho * adv, (rho * adv).clamp(0.8, 1.5)),
                              "You clipped the product ρ Â. Clip the ratio, then multiply."),
        "log-ratio": (-torch.minimum(rho.log() * adv, rho.log().clamp(0.8, 1.5) * adv),
                      "The exponential is missing: what you clip is log ρ."),
        "reduced": (lambda r: getattr(r, "ndim", 1) == 0,
                    "You took the mean. Losses here return one number per step; the mean is taken where the loss is "
                    "used."),
    })
    value = came.value
    require(value.requires_grad, called=came.text, returned="a loss without a gradient",
            expected="a loss that can be differentiated", mistake="no-gradient",
            why="The gradient is cut: stay in torch, and do not detach `log_probs`.")
    pull = torch.autograd.grad(value.sum(), new)[0]
    # −ρ Â where it is not flat; flat for good ones at 2 (above 1.5), for bad ones at ½ (below 0.8)
    expect(pull, [-1.0, -1.8, -2.6, 0.0, 0.0, 0.9, 1.3, 2.0], called="the gradient of your loss")
    expect(call(fn, new, old, adv, 0.4, 0.05), -objective(rho, 0.4, 0.05), mistakes={
        "fixed-bounds": (-objective(rho, 0.2, 0.5), "You wrote numbers where `low` and `high` belong."),
    })
    old_too, adv_too = old.clone().requires_grad_(), adv.clone().requires_grad_()
    came = call(fn, new, old_too, adv_too, 0.2, 0.5)
    leaks = torch.autograd.grad(came.value.sum(), (old_too, adv_too), allow_unused=True)
    require(all(g is None or not g.any() for g in leaks), called=came.text,
            returned="a gradient for old_log_probs or advantages", expected="a gradient for log_probs only",
            mistake="gradient-through-data",
            why="The old log-probs and the advantages are data. `.detach()` them, or the critic is pulled along by the "
                "policy's loss.")


@exercise("09.4", title="Deal out the minibatches", hints=[
    "Shuffle a deck, deal it out in hands of `size`, and do that once per epoch.",
    "`torch.randperm(num_steps, generator=generator)` is the shuffled deck; a tensor has `.split(size)`.",
    "`for _ in range(epochs): pieces += torch.randperm(num_steps, generator=generator).split(size)`",
])
def check_minibatches(fn):
    """Ten steps in minibatches of four, for three epochs: 4, 4 and 2, three times."""
    import torch

    def dealt(num_steps, size, epochs, seed=0):
        came = call(fn, num_steps, size, epochs, torch.Generator().manual_seed(seed))
        try:
            return came, [torch.as_tensor(piece).tolist() for piece in came.value]
        except (TypeError, ValueError, RuntimeError):
            return came, came.value

    came, pieces = dealt(10, 4, 3)

    def must(ok, mistake, expected, why):
        require(ok, called=came.text, returned=pieces, expected=expected, mistake=mistake, why=why)

    flat = isinstance(pieces, list) and all(isinstance(piece, list) for piece in pieces)
    must(flat, "not-a-list-of-tensors", "a flat list of 9 index tensors",
         "Return one list with an index tensor for each step of the optimiser.")
    must(all(isinstance(i, int) for piece in pieces for i in piece), "nested", "a flat list of 9 index tensors",
         "You have a list per epoch. One list for all: `+=` or `extend`, where you wrote `append`.")
    must(all(getattr(piece, "dtype", None) == torch.long for piece in came.value), "not-long",
         "index tensors, dtype long", "Each piece is to be a tensor of indices (long), as `randperm` makes them.")
    every = [i for piece in pieces for i in piece]
    must(len(pieces) != 3 or len(every) != 10, "one-epoch", "3 epochs of 4 + 4 + 2 indices",
         "That is one epoch. Do it `epochs` times.")
    must(not all(0 <= i < 10 for i in every) or len(every) != 24, "last-piece-lost", "3 epochs of 4 + 4 + 2 indices",
         "The last piece of each epoch is missing: ten steps in fours leave two, and they paid for themselves as well.")
    must([len(piece) for piece in pieces] == [4, 4, 2] * 3, "wrong-sizes", "pieces of 4, 4 and 2, three times",
         "Cut each epoch into pieces of `size`; only its last one may be shorter.")
    epochs = [every[i:i + 10] for i in (0, 10, 20)]
    must(all(0 <= i < 10 for i in every), "wrong-range", "indices 0 to 9", "Indices begin at 0 and end at "
         "`num_steps - 1`.")
    must(all(sorted(epoch) == list(range(10)) for epoch in epochs), "with-replacement",
         "each of 0 … 9 exactly once in every epoch",
         "Some steps come twice in an epoch and others never. Shuffle (`randperm`); do not draw with replacement.")
    must(epochs[0] != list(range(10)), "not-shuffled", "another order in every epoch",
         "Nothing is shuffled. Neighbours in time are all alike; a minibatch should mix them.")
    must(len({tuple(epoch) for epoch in epochs}) > 1, "same-order", "another order in every epoch",
         "All epochs have the same order, so the same steps meet in every minibatch. Shuffle anew in each.")
    sets = [{frozenset(epoch[i:i + 4]) for i in (0, 4, 8)} for epoch in epochs]
    must(len(set(map(frozenset, sets))) == 3, "same-minibatches", "other minibatches in every epoch",
         "Two epochs have the same minibatches, perhaps in another order. Shuffle the steps, then cut.")
    again, other = dealt(10, 4, 3)[1], dealt(10, 4, 3, seed=1)[1]
    must(again == pieces and other != pieces, "other-dice", "all dice from the generator",
         "The same generator gave another deal, or another one the same. Hand it on: `randperm(n, "
         "generator=generator)`.")
    came, pieces = dealt(6, 8, 2)
    must([len(piece) for piece in pieces] == [6, 6], "large-size", "two pieces of 6",
         "With a `size` above the number of steps, an epoch is one piece.")


def _students(seed=0):
    """A policy, a critic, and a batch that another policy acted, in float64."""
    import torch
    from torch import nn

    from rlcore.policies import MLPPolicy
    from rlcore.trajectory import Batch
    from rlcore.values import ValueNetwork

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        policy, value = MLPPolicy(3, 3, (8,)).double(), ValueNetwork(3, (8,)).double()
        for module in (*policy.network, *value.network):
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=0.7)
        states = torch.randn(40, 1, 3, dtype=torch.float64)
        distribution = policy(states)
        actions = distribution.sample()
        # The policy that acted differs a little from this one: some ratios are beyond the clip from the start.
        acted = distribution.log_prob(actions).detach() + 0.15 * torch.randn(40, 1, dtype=torch.float64)
        advantages = torch.randn(40, 1, dtype=torch.float64)
        returns = 3.0 + torch.randn(40, 1, dtype=torch.float64)
        batch = Batch(states, actions, acted, advantages, torch.ones(40, 1, dtype=torch.bool), returns=returns)
    return policy, value, batch


SETTINGS = {"clip": 0.2, "epochs": 4, "value_coef": 0.3, "max_grad_norm": 0.25}


def _weights(*modules):
    import torch

    return torch.cat([w.detach().flatten() for module in modules for w in module.parameters()])


def _after(wrong=None, optimizer="SGD"):
    """All weights after the update, done right or with one usual mistake."""
    import torch

    policy, value, batch = _students()
    both = [*policy.parameters(), *value.parameters()]
    optimizer, old = _OPTIMIZERS[optimizer](both), batch.log_probs
    for _ in range(1 if wrong == "one-epoch" else SETTINGS["epochs"]):
        log_probs = policy(batch.states).log_prob(batch.actions)
        if wrong == "old-recomputed":
            old = log_probs.detach()
        ratio, adv = (log_probs - old).exp(), batch.advantages
        if wrong == "old-overwritten":
            old = log_probs.detach()
        kept = ratio.clamp(0.8, 1.2)
        gain = {"no-clip": ratio * adv, "no-minimum": kept * adv, "maximum": torch.maximum(ratio * adv, kept * adv),
                }.get(wrong, torch.minimum(ratio * adv, kept * adv))
        surprise = (1.0 if wrong == "no-half" else 0.5) * (value(batch.states) - batch.returns).square()
        gain, surprise = (gain.sum(), surprise.sum()) if wrong == "summed" else (gain.mean(), surprise.mean())
        coef = {"no-value-coef": 1.0, "critic-forgotten": 0.0, "critic-sign": -0.3}.get(wrong, 0.3)
        loss = (gain if wrong == "sign" else -gain) + coef * surprise
        if wrong != "gradients-pile-up":
            optimizer.zero_grad()
        loss.backward()
        if wrong == "clipped-apart":
            for part in (policy, value):
                torch.nn.utils.clip_grad_norm_(part.parameters(), SETTINGS["max_grad_norm"])
        elif wrong == "policy-clipped-only":
            torch.nn.utils.clip_grad_norm_(policy.parameters(), SETTINGS["max_grad_norm"])
        elif wrong == "clipped-by-value":
            torch.nn.utils.clip_grad_value_(both, SETTINGS["max_grad_norm"])
        elif wrong not in ("no-gradient-clipping", "clipped-too-late"):
            torch.nn.utils.clip_grad_norm_(both, SETTINGS["max_grad_norm"])
        optimizer.step()
    return _weights(policy, value)


def _sgd(weights):
    import torch

    return torch.optim.SGD(weights, lr=1.0)


def _adam(weights):
    import torch

    return torch.optim.Adam(weights, lr=0.02)


_OPTIMIZERS = {"SGD": _sgd, "Adam": _adam}
_UPDATE_MISTAKES = {
    "old-recomputed": "Your ratio is always 1, or there is none: then every step is REINFORCE's, and nothing is ever "
                      "clipped. The old log-probs are `batch.log_probs`, written down when the policy acted; do not "
                      "compute them anew from the policy that is being trained. (Tensorforce did, in 2018.)",
    "old-overwritten": "After each step you replace the old log-probs by the new ones, so the clip measures from the "
                       "last step and not from the policy that acted. The neighbourhood must stay where the data is.",
    "one-epoch": "That is one step. Take `epochs` of them.",
    "no-clip": "The ratio is not clipped.",
    "no-minimum": "You clipped, but took no minimum: what has gone wrong is never called back.",
    "maximum": "You took the larger of the two terms. The smaller one is the cautious one.",
    "sign": "The policy gets worse: the objective is to be *raised*, so it goes into the loss with a minus.",
    "no-value-coef": "The critic's loss is not weighted with `value_coef`.",
    "critic-forgotten": "The critic has not learned: its loss is missing.",
    "critic-sign": "The critic moves away from the returns: its loss is to be lowered, so it is added.",
    "no-half": "The ½ of the critic's loss is missing.",
    "summed": "You summed over the batch. With a mean, a larger batch does not mean a larger step.",
    "gradients-pile-up": "Gradients pile up from step to step: `optimizer.zero_grad()` before each `backward()`.",
    "no-gradient-clipping": "The gradient is not limited, or only after the step was made. Between `backward` and "
                            "`step`: `clip_grad_norm_(weights, max_grad_norm)`.",
    "clipped-apart": "You limited the two networks one by one. One number is to say how far a step may go, over all "
                     "weights together.",
    "policy-clipped-only": "You limited the policy's gradient only. The critic's belongs in the same norm.",
    "clipped-by-value": "You limited each number of the gradient. That changes its direction; limit its norm.",
}


@exercise("09.5", title="A whole update", hints=[
    "Inside the loop, in this order: new log-probs, ratio, the two losses, zero_grad, backward, limit the norm, step.",
    "`ratio = (log_probs - batch.log_probs).exp()`. Only `log_probs` and the values are computed anew in each epoch.",
    "`loss = -torch.minimum(ratio * A, ratio.clamp(1 - clip, 1 + clip) * A).mean() + value_coef * 0.5 * "
    "(value(batch.states) - batch.returns).square().mean()`; the weights are `[*policy.parameters(), "
    "*value.parameters()]`",
])
def check_update(fn):
    """Four steps of SGD on 40 steps of experience: all weights afterwards, to 1e-6."""
    import torch

    for name, make in _OPTIMIZERS.items():
        policy, value, batch = _students()
        before = _weights(policy, value)
        call(fn, policy, value, make([*policy.parameters(), *value.parameters()]), batch, **SETTINGS).value  # noqa: B018  raises if it failed
        after = _weights(policy, value)
        require(not torch.equal(after, before), called="your update on a batch of 40 steps",
                returned="the weights as they were", expected="other weights", mistake="nothing-moved",
                why="No weight has changed. `loss.backward()` and `optimizer.step()`, on the policy that you were "
                    "given, not on a copy.")
        expect(after, _after(optimizer=name), called=f"all weights after your update, {name}", rtol=1e-6, atol=1e-8,
               mistakes={wrong: (_after(wrong, name), why) for wrong, why in _UPDATE_MISTAKES.items()})
