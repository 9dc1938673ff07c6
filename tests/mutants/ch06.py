"""Wrong answers to chapter 06, taken from real bugs, and right ones in another style."""

import random
from collections import deque

import numpy as np
import torch
import torch.nn.functional as F

from tests.mutants import Mutant


# 06.1 How much to explore
def schedule(step, total, start, end, fraction):
    return start + min(step / (fraction * total), 1.0) * (end - start)


def by_interpolation(step, total, start, end, fraction):
    return np.interp(step, [0, fraction * total], [start, end])


def step_by_step(step, total, start, end, fraction):
    epsilon = start
    for _ in range(step):
        epsilon = max(end, epsilon - (start - end) / (fraction * total))
    return epsilon


# 06.2 A memory
class Ring:
    """Right, with a switch for each usual mistake."""

    def __init__(self, size):
        self.size, self.added, self.steps = size, 0, [None] * size

    def __len__(self):
        return min(self.added, self.size)

    def place(self):
        return self.added % self.size

    def add(self, step):
        self.steps[self.place()] = step
        self.added += 1

    def drawn(self):
        return random.randrange(len(self))

    def sample(self, count):
        return [self.steps[self.drawn()] for _ in range(count)]


class WithDeque:
    def __init__(self, size):
        self.steps = deque(maxlen=size)
        self.add = self.steps.append

    def __len__(self):
        return len(self.steps)

    def sample(self, count):
        return random.choices(self.steps, k=count)


class WithTensors:
    def __init__(self, size):
        self.memory, self.added = torch.zeros(size), 0

    def __len__(self):
        return min(self.added, len(self.memory))

    def add(self, step):
        self.memory[self.added % len(self.memory)] = step
        self.added += 1

    def sample(self, count):
        weights = torch.ones(len(self))
        rows = torch.multinomial(weights, count, replacement=True, generator=torch.Generator().manual_seed(0))
        return list(self.memory[rows])


class NeverForgets(WithDeque):
    def __init__(self, size):
        super().__init__(None)


class CountsPlaces(Ring):
    def __len__(self):
        return self.size


class DrawsEmptyPlaces(Ring):
    def drawn(self):
        return random.randrange(self.size)


class StopsWhenFull(Ring):
    def add(self, step):
        if self.added < self.size:
            super().add(step)


class OnePlaceOnly(Ring):
    def place(self):
        return min(self.added, self.size - 1)


class LastMissing(Ring):
    def drawn(self):
        return (self.added - random.randrange(2, 1 + len(self))) % self.size if self.added > 2 else 0


class WithoutReplacement(Ring):
    def sample(self, count):
        return random.sample(self.steps[: len(self)], min(count, len(self)))


class Favourite(Ring):
    def drawn(self):
        return min(random.randrange(len(self)), random.randrange(len(self)))


class SharesItsList:
    steps = []  # noqa: RUF012  (the mistake: one list for all)

    def __init__(self, size):
        self.size = size

    def __len__(self):
        return len(self.steps)

    def add(self, step):
        self.steps.append(step)
        del self.steps[: -self.size]

    def sample(self, count):
        return random.choices(self.steps, k=count)


class InOrder(Ring):
    def sample(self, count):
        return [self.steps[i % len(self)] for i in range(count)]


# 06.3 Targets
def loop_targets(rewards, next_q, terminated, gamma):
    return [r.item() if end else r.item() + gamma * max(row.tolist())
            for r, row, end in zip(rewards, next_q, terminated, strict=True)]


def no_grad_targets(rewards, next_q, terminated, gamma):
    with torch.no_grad():
        return rewards + gamma * torch.where(terminated, 0.0, next_q.amax(-1))


def as_tensor_targets(rewards, next_q, terminated, gamma):
    return torch.tensor(loop_targets(rewards, next_q, terminated, gamma))


def targets(rewards, next_q, terminated, gamma, best=lambda q: q.max(-1).values, on=lambda t: ~t):
    return rewards + gamma * best(next_q.detach()) * on(terminated)


# 06.4 Double targets
def double(rewards, chooser, valuer, terminated, gamma, on=lambda t: ~t):
    worth = valuer.detach().gather(-1, chooser.argmax(-1, keepdim=True)).squeeze(-1)
    return rewards + gamma * worth * on(terminated)


def double_by_index(rewards, next_q, next_q_target, terminated, gamma):
    worth = next_q_target[torch.arange(len(rewards)), next_q.max(-1).indices].detach()
    return torch.where(terminated, rewards, rewards + gamma * worth)


def double_one_hot(rewards, next_q, next_q_target, terminated, gamma):
    choice = F.one_hot(next_q.argmax(-1), next_q.shape[-1])
    return rewards + gamma * (choice * next_q_target.detach()).sum(-1) * (1 - terminated.float())


def maximum(rewards, q, terminated, gamma):
    return targets(rewards, q, terminated, gamma)


# 06.5 Huber
def with_clamp(errors):
    near = errors.abs().clamp(max=1)
    return 0.5 * near**2 + (errors.abs() - near)


def with_clipped_gradient(errors):
    pull = errors.detach().clamp(-1, 1)
    return pull * errors - 0.5 * pull**2


def prints_only(errors):
    str(with_clamp(errors))


MUTANTS = {
    "06.1": [
        Mutant("fraction-ignored", lambda step, total, a, b, f: a + min(step / total, 1) * (b - a)),
        Mutant("fraction-multiplied", lambda step, total, a, b, f: a + min(f * step / total, 1) * (b - a)),
        Mutant("falls-to-zero", lambda step, total, a, b, f: max(b, a * (1 - step / (f * total)))),
        Mutant("wrong-way", lambda step, total, a, b, f: schedule(step, total, b, a, f)),
        Mutant("start-added", lambda step, total, a, b, f: a + min(step / (f * total), 1) * (a - b)),
        Mutant("not-linear", lambda step, total, a, b, f: max(b, a * (b / a) ** (step / (f * total)))),
        Mutant("no-floor", lambda step, total, a, b, f: a + step / (f * total) * (b - a)),
        Mutant("jumps", lambda step, total, a, b, f: schedule(step, total, a, b, f) if step <= f * total else a),
        Mutant("returned-nothing", lambda step, total, a, b, f: None),
    ],
    "06.2": [
        Mutant("never-forgets", NeverForgets),
        Mutant("counts-places", CountsPlaces),
        Mutant("draws-empty-places", DrawsEmptyPlaces),
        Mutant("stops-when-full", StopsWhenFull),
        Mutant("one-place-only", OnePlaceOnly),
        Mutant("last-missing", LastMissing),
        Mutant("wrong-count", WithoutReplacement),
        Mutant("shared", SharesItsList),
        Mutant("not-uniform", Favourite),
        Mutant("not-random", InOrder),
    ],
    "06.3": [
        Mutant("future-after-the-end", lambda r, q, t, gamma: targets(r, q, t, gamma, on=torch.ones_like)),
        Mutant("terminated-inverted", lambda r, q, t, gamma: targets(r, q, t, gamma, on=lambda t: t)),
        Mutant("reward-cut", lambda r, q, t, gamma: (r + gamma * q.detach().max(-1).values) * ~t),
        Mutant("mean-not-max", lambda r, q, t, gamma: targets(r, q, t, gamma, best=lambda q: q.mean(-1))),
        Mutant("minimum", lambda r, q, t, gamma: targets(r, q, t, gamma, best=lambda q: q.min(-1).values)),
        Mutant("no-discount", lambda r, q, t, gamma: targets(r, q, t, 1.0)),
        Mutant("reward-discounted", lambda r, q, t, gamma: gamma * targets(r, q, t, 1.0)),
        Mutant("argmax-not-max", lambda r, q, t, gamma: targets(r, q, t, gamma, best=lambda q: q.argmax(-1))),
        Mutant("first-action", lambda r, q, t, gamma: targets(r, q, t, gamma, best=lambda q: q[:, 0])),
        Mutant("absolute-value", lambda r, q, t, gamma: targets(r, q.abs(), t, gamma)),
        Mutant("never-negative", lambda r, q, t, gamma: targets(r, q.clamp(min=0), t, gamma)),
        Mutant("max-over-the-batch", lambda r, q, t, gamma: targets(r, q, t, gamma, best=lambda q: q.max())),
        Mutant("two-actions-only", lambda r, q, t, gamma: targets(r, q[:, :2], t, gamma)),
        Mutant("broadcast", lambda r, q, t, gamma: r + gamma * q.detach().max(-1, keepdim=True).values * ~t),
        Mutant("gradient-through-target", lambda r, q, t, gamma: r + gamma * q.max(-1).values * ~t),
    ],
    "06.4": [
        Mutant("roles-swapped", lambda r, q, target, t, gamma: double(r, target, q, t, gamma)),
        Mutant("plain-dqn", lambda r, q, target, t, gamma: maximum(r, target, t, gamma)),
        Mutant("no-target-network", lambda r, q, target, t, gamma: maximum(r, q, t, gamma)),
        Mutant("smaller-maximum", lambda r, q, target, t, gamma: torch.min(
            maximum(r, q, t, gamma), maximum(r, target, t, gamma))),
        Mutant("future-after-the-end", lambda r, q, target, t, gamma: double(r, q, target, t, gamma, torch.ones_like)),
        Mutant("terminated-inverted", lambda r, q, target, t, gamma: double(r, q, target, t, gamma, lambda t: t)),
        Mutant("no-discount", lambda r, q, target, t, gamma: double(r, q, target, t, 1.0)),
        Mutant("two-actions-only", lambda r, q, target, t, gamma: double(r, q[:, :2], target[:, :2], t, gamma)),
        Mutant("absolute-value", lambda r, q, target, t, gamma: double(r, q.abs(), target, t, gamma)),
        Mutant("argmax-not-value", lambda r, q, target, t, gamma: r + gamma * q.argmax(-1) * ~t),
        Mutant("broadcast", lambda r, q, target, t, gamma: (
            r + gamma * target.detach().gather(-1, q.argmax(-1, keepdim=True)) * ~t)),
        Mutant("gradient-through-target", lambda r, q, target, t, gamma: (
            r + gamma * target.gather(-1, q.argmax(-1, keepdim=True)).squeeze(-1) * ~t)),
    ],
    "06.5": [
        Mutant("wrong-threshold", lambda e: torch.where(0.5 * e**2 <= 1, 0.5 * e**2, e.abs() - 0.5)),
        Mutant("clipped-error", lambda errors: 0.5 * errors.clamp(-1, 1) ** 2),
        Mutant("clipped-loss", lambda errors: (0.5 * errors**2).clamp(max=1)),
        Mutant("only-squared", lambda errors: 0.5 * errors**2),
        Mutant("jump", lambda errors: torch.where(errors.abs() <= 1, 0.5 * errors**2, errors.abs())),
        Mutant("no-half", lambda errors: torch.where(errors.abs() <= 1, errors**2, errors.abs() - 0.5)),
        Mutant("one-sided", lambda errors: torch.where(errors <= 1, 0.5 * errors**2, errors.abs() - 0.5)),
        Mutant("absolute", torch.abs),
        Mutant("reduced", lambda errors: with_clamp(errors).mean()),
        Mutant("no-gradient", lambda errors: torch.tensor(with_clamp(errors).tolist())),
        Mutant("returned-nothing", prints_only),
    ],
}
ALTERNATIVES = {
    "06.1": [schedule, by_interpolation, step_by_step],
    "06.2": [Ring, WithDeque, WithTensors],
    "06.3": [targets, no_grad_targets, as_tensor_targets],
    "06.4": [double, double_by_index, double_one_hot],
    "06.5": [with_clamp, with_clipped_gradient],
}
