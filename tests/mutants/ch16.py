"""Wrong answers to chapter 16, taken from real bugs, and right ones in another style."""

import statistics

import torch

from tests.mutants import Mutant


# 16.1 The advantages of a group
def checked(advantages):
    """The advantages of a formula on `[P, G]`, behind the checks that the exercise asks for; zeros where all agree."""

    def answer(rewards, group_size):
        if group_size < 2 or len(rewards) % group_size:
            raise ValueError(f"bad group_size {group_size}")
        groups = rewards.view(-1, group_size)
        equal = (groups == groups[:, :1]).all(-1, keepdim=True)
        return torch.where(equal, 0.0, advantages(groups)).flatten()

    return answer


def centred(groups):
    return groups - groups.mean(-1, keepdim=True)


def std(groups, correction=1):
    return groups.std(-1, keepdim=True, correction=correction) + 1e-4


def interleaved(rewards, group_size):
    if group_size < 2 or len(rewards) % group_size:
        raise ValueError("group_size")
    groups = rewards.view(group_size, -1)  # as if the rows were made with repeat() and not with repeat_interleave()
    return ((groups - groups.mean(0)) / (groups.std(0) + 1e-4)).flatten()


def as_many_groups(rewards, group_size):
    return checked(lambda groups: centred(groups) / std(groups))(rewards, len(rewards) // group_size)


def nan_where_dead(rewards, group_size):
    if group_size < 2 or len(rewards) % group_size:
        raise ValueError("group_size")
    groups = rewards.view(-1, group_size)
    deviation = groups.std(-1, keepdim=True)
    return torch.where(deviation > 0, centred(groups) / (deviation + 1e-4), centred(groups) / deviation).flatten()


def dead_if(nearly_equal):
    """Zeros also where a group of `[P, G]` only nearly agrees."""
    return checked(lambda groups: torch.where(nearly_equal(groups), 0.0, centred(groups) / std(groups)))


def drops_the_dead(rewards, group_size):
    if group_size < 2 or len(rewards) % group_size:
        raise ValueError("group_size")
    groups = rewards.view(-1, group_size)
    groups = groups[(groups != groups[:, :1]).any(-1)]
    return (centred(groups) / std(groups)).flatten()


def dusty(rewards, group_size):
    if group_size < 2 or len(rewards) % group_size:
        raise ValueError("group_size")
    groups = rewards.view(-1, group_size)
    return (centred(groups) / std(groups)).flatten()


def refuses_nothing(rewards, group_size):
    groups = [rewards[i : i + group_size] for i in range(0, len(rewards), group_size)]
    return torch.cat([torch.zeros_like(g) if (g == g[0]).all() else (g - g.mean()) / (g.std() + 1e-4) for g in groups])


def refuses_one_only(rewards, group_size):
    if group_size < 2:
        raise ValueError("group_size")
    return refuses_nothing(rewards, group_size)


def with_statistics(rewards, group_size):
    if group_size < 2:
        raise ValueError("a group needs two")
    if len(rewards) % group_size != 0:
        raise ValueError("whole groups, please")
    result, values = [], rewards.tolist()
    for start in range(0, len(values), group_size):
        group = values[start : start + group_size]
        mean, deviation = statistics.fmean(group), statistics.stdev(group)
        result += [0.0 if len(set(group)) == 1 else (r - mean) / (deviation + 1e-4) for r in group]
    return result


# 16.2 A reward that counts
def counting(count):
    """The reward from a function (prompt, completion) -> number of words."""
    return lambda prompts, completions, wish, **_: [
        -float(abs(count(p, c) - w)) for p, c, w in zip(prompts, completions, wish, strict=True)
    ]


def words(text):
    return len(text.split())


def no_columns(prompts, completions, wish):
    return counting(lambda p, c: words(c))(prompts, completions, wish)


def one_number(prompts, completions, wish, **_):
    return sum(-float(abs(words(c) - w)) for c, w in zip(completions, wish, strict=True)) / len(completions)


def first_only(prompts, completions, wish, **_):
    for c, w in zip(completions, wish, strict=True):
        rewards = []
        rewards.append(-float(abs(words(c) - w)))
        return rewards


def per_pair(rule):
    return lambda prompts, completions, wish, **_: [rule(words(c), w) for c, w in zip(completions, wish, strict=True)]


def whole_numbers(prompts, completions, wish, **_):
    return [-abs(words(c) - w) for c, w in zip(completions, wish, strict=True)]


def with_a_loop(prompts, completions, wish, **columns):
    rewards = []
    for text, wanted in zip(completions, wish, strict=True):
        count = sum(1 for part in text.split(" ") if part)
        rewards.append(float(min(count - wanted, wanted - count)))
    return rewards


# 16.3 How many come to life?
def alive(p, size):
    return 1 - p**size - (1 - p) ** size


def mean_alive(chances, size):
    return sum(alive(p, size) for p in chances) / len(chances)


# 16.4 What the loss really pulls at
def estimate(log_pi, log_ref, kind):
    d = log_ref - log_pi
    return {"k1": -d, "k2": d**2 / 2, "k3": d.exp() - d - 1}[kind]


def pull(weight, k=estimate):
    """The gradient of Σ weight · k, from functions of log π and log ref."""

    def answer(theta, log_ref, kind):
        theta = theta.detach().requires_grad_()
        log_pi = theta.log_softmax(-1)
        return torch.autograd.grad((weight(log_pi, log_ref) * k(log_pi, log_ref, kind)).sum(), theta)[0]

    return answer


def dice(log_pi, log_ref):
    return log_pi.detach().exp()


def other_d(log_pi, log_ref, kind):
    d = log_pi - log_ref
    return {"k1": d, "k2": d**2 / 2, "k3": d.exp() - d - 1}[kind]


def no_half(log_pi, log_ref, kind):
    return estimate(log_pi, log_ref, kind) * (2 if kind == "k2" else 1)


def never_asked_for(theta, log_ref, kind):
    log_pi = theta.log_softmax(-1)
    return torch.autograd.grad((log_pi.detach().exp() * estimate(log_pi, log_ref, kind)).sum(), theta)[0]


def by_hand(theta, log_ref, kind):
    """∇k = push · ∇log π(a), and ∇log π(a) is the one-hot of a minus π."""
    pi = theta.softmax(-1)
    u = pi.log() - log_ref
    push = {"k1": torch.ones_like(u), "k2": u, "k3": 1 - (-u).exp()}[kind]
    return pi * (push - (pi * push).sum())


# 16.5 The repair
def k3(new, ref):
    d = ref.detach() - new
    return d.exp() - d - 1


def rho(new, old):
    return (new - old.detach()).exp()


def with_expm1(new, old, ref):
    d = ref.detach() - new
    return torch.exp(new) / torch.exp(old.detach()) * (torch.expm1(d) - d)


MUTANTS = {
    "16.1": [
        Mutant("batch-mean", checked(lambda g: (g - g.mean()) / std(g))),
        Mutant("batch-mean-and-std", checked(lambda g: (g - g.mean()) / (g.std() + 1e-4))),
        Mutant("batch-std", checked(lambda g: centred(g) / (g.std() + 1e-4))),
        Mutant("population-std", checked(lambda g: centred(g) / std(g, correction=0))),
        Mutant("interleaved", interleaved),
        Mutant("size-is-the-number-of-groups", as_many_groups),
        Mutant("not-flattened", lambda rewards, group_size: dusty(rewards, group_size).view(-1, group_size)),
        Mutant("eps-forgotten", checked(lambda g: centred(g) / g.std(-1, keepdim=True))),
        Mutant("batch-mean-and-std", lambda rewards, group_size: (rewards - rewards.mean()) / rewards.std()),
        Mutant("not-divided", checked(centred)),
        Mutant("variance", checked(lambda g: centred(g) / (g.var(-1, keepdim=True) + 1e-4))),
        Mutant("not-centred", checked(lambda g: g / std(g))),
        Mutant("sign-flipped", checked(lambda g: -centred(g) / std(g))),
        Mutant("leave-one-out", checked(lambda g: centred(g) * g.shape[-1] / (g.shape[-1] - 1))),
        Mutant("dead-nan", nan_where_dead),
        Mutant("dead-dropped", drops_the_dead),
        Mutant("dead-by-threshold", dead_if(lambda g: g.std(-1, keepdim=True) < 0.2)),
        Mutant("dead-by-threshold", dead_if(lambda g: (g.round() == g[:, :1].round()).all(-1, keepdim=True))),
        Mutant("dust", dusty),
        Mutant("no-error", refuses_nothing),
        Mutant("no-error", refuses_one_only),
    ],
    "16.2": [
        Mutant("columns-refused", no_columns),
        Mutant("letters", counting(lambda p, c: len(c))),
        Mutant("blanks", counting(lambda p, c: len(c.split(" ")))),
        Mutant("blanks-counted", counting(lambda p, c: c.count(" "))),
        Mutant("prompt-counted", counting(lambda p, c: words(p + " " + c))),
        Mutant("first-wish", lambda p, completions, wish, **_: [-float(abs(words(c) - wish[0])) for c in completions]),
        Mutant("sign-flipped", per_pair(lambda n, w: float(abs(n - w)))),
        Mutant("only-too-long", per_pair(lambda n, w: -float(max(0, n - w)))),
        Mutant("only-too-short", per_pair(lambda n, w: -float(max(0, w - n)))),
        Mutant("unique", counting(lambda p, c: len(set(c.split())))),
        Mutant("squared", per_pair(lambda n, w: -float((n - w) ** 2))),
        Mutant("one-number", one_number),
        Mutant("the-first-only", first_only),
        Mutant("not-floats", whole_numbers),
    ],
    "16.3": [
        Mutant("dead-ones", lambda chances, size, n: n // size * (1 - mean_alive(chances, size))),
        Mutant("answers-not-groups", lambda chances, size, n: n * mean_alive(chances, size)),
        Mutant("part-of-a-group", lambda chances, size, n: n / size * mean_alive(chances, size)),
        Mutant("share-only", lambda chances, size, n: mean_alive(chances, size)),
        Mutant("mean-chance-first", lambda chances, size, n: n // size * alive(sum(chances) / len(chances), size)),
        Mutant("only-some-right",
               lambda chances, size, n: n // size * sum(1 - (1 - p) ** size for p in chances) / len(chances)),
        Mutant("only-some-wrong",
               lambda chances, size, n: n // size * sum(1 - p**size for p in chances) / len(chances)),
        Mutant("sum-over-questions", lambda chances, size, n: n // size * sum(alive(p, size) for p in chances)),
        Mutant("median", lambda chances, size, n: n // size * statistics.median(alive(p, size) for p in chances)),
        Mutant("a-pair-differs",
               lambda chances, size, n: n // size * sum(2 * p * (1 - p) for p in chances) / len(chances)),
        Mutant("each-question-once", lambda chances, size, n: sum(alive(p, size) for p in chances)),
    ],
    "16.4": [
        Mutant("dice-moved", pull(lambda log_pi, log_ref: log_pi.exp())),
        Mutant("gradient-lost", pull(dice, lambda *args: estimate(*args).detach())),
        Mutant("gradient-lost", never_asked_for),
        Mutant("unweighted", pull(lambda log_pi, log_ref: 1 / len(log_pi))),
        Mutant("unweighted-sum", pull(lambda log_pi, log_ref: 1.0)),
        Mutant("weighed-by-the-reference-k", pull(lambda log_pi, log_ref: log_ref.exp(), lambda a, b, k: b - a)),
        Mutant("weighed-by-the-reference", pull(lambda log_pi, log_ref: log_ref.exp())),
        Mutant("half-forgotten", pull(dice, no_half)),
        Mutant("sign-flipped", lambda *args: -pull(dice)(*args)),
        Mutant("zero", lambda theta, log_ref, kind: torch.zeros_like(theta)),
        Mutant("d-turned-round", pull(dice, other_d)),
    ],
    "16.5": [
        Mutant("no-ratio", lambda new, old, ref: k3(new, ref)),
        Mutant("ratio-upside-down", lambda new, old, ref: k3(new, ref) / rho(new, old)),
        Mutant("d-turned-round", lambda new, old, ref: rho(new, old) * k3(ref, new)),
        Mutant("log-ratio", lambda new, old, ref: (new - old) * k3(new, ref)),
        Mutant("ratio-to-the-reference", lambda new, old, ref: rho(new, ref) * k3(new, ref)),
        Mutant("one-forgotten", lambda new, old, ref: rho(new, old) * (k3(new, ref) + 1)),
        Mutant("k1", lambda new, old, ref: rho(new, old) * (new - ref)),
        Mutant("k2", lambda new, old, ref: rho(new, old) * (new - ref).square() / 2),
        Mutant("clipped", lambda new, old, ref: rho(new, old).clamp(0.8, 1.2) * k3(new, ref)),
        Mutant("clamped", lambda new, old, ref: rho(new, old).clamp(0.1, 10) * k3(new, ref)),
        Mutant("clamped", lambda new, old, ref: rho(new, old) * k3(new, new + (ref - new).clamp(-5, 5))),
        Mutant("averaged", lambda new, old, ref: (rho(new, old) * k3(new, ref)).mean()),
        Mutant("averaged", lambda new, old, ref: (rho(new, old) * k3(new, ref)).sum()),
        Mutant("gradient-lost", lambda new, old, ref: (rho(new, old) * k3(new, ref)).detach()),
        Mutant("ratio-detached", lambda new, old, ref: rho(new, old).detach() * k3(new, ref)),
        Mutant("k3-detached", lambda new, old, ref: rho(new, old) * k3(new, ref).detach()),
        Mutant("old-not-detached", lambda new, old, ref: (new - old).exp() * k3(new, ref)),
        Mutant("reference-not-detached", lambda new, old, ref: rho(new, old) * ((ref - new).exp() - (ref - new) - 1)),
    ],
}  # fmt: skip
ALTERNATIVES = {
    "16.1": [with_statistics, checked(lambda g: centred(g) / std(g))],
    "16.2": [with_a_loop],
    "16.3": [lambda chances, size, n: (n // size) * statistics.fmean(alive(p, size) for p in chances)],
    "16.4": [by_hand],
    "16.5": [with_expm1],
}  # fmt: skip
