"""Checks of chapter 06: exploring less and less, a memory, two kinds of targets, and a loss that does not shout."""

from rlcourse.exam import CheckFailed, call, exercise, expect, require


@exercise("06.1", title="How much to explore", hints=[
    "Which share of the way down is done after `step` steps? How long is the whole way, in steps?",
    "The way is `fraction * total_steps` long. After it, the share is 1 and stays 1: `min` helps.",
    "`share = min(step / (fraction * total_steps), 1.0)`, then `start + share * (end - start)`",
])
def check_epsilon_at(fn):
    """From 0.9 to 0.1 within the first half of 1000 steps: after 125, a quarter of the way, 0.7."""
    expect(call(fn, 125, 1000, 0.9, 0.1, 0.5), 0.7, mistakes={
        "fraction-ignored": (0.8, "You let ε fall over the whole training. It is to arrive after a `fraction` of it."),
        "fraction-multiplied": (0.85, "You multiplied the share by `fraction`, which makes the way longer. It is to be "
                                      "shorter: divide."),
        "falls-to-zero": (0.675, "You multiplied `start` by what is left of the way, so ε is on its way to 0. It is to "
                                 "arrive at `end`."),
        "wrong-way": (0.3, "You began at `end` and went towards `start`. Exploration is for the beginning."),
        "not-linear": (lambda r: abs(float(r) - 0.9 * (0.1 / 0.9) ** 0.25) < 1e-3,
                       "You multiplied by the same factor at each step. A straight line subtracts the same amount."),
        "start-added": (1.1, "You added where you should come down: the way from `start` to `end` is `end - start`."),
    })
    expect(call(fn, 0, 1000, 0.9, 0.1, 0.5), 0.9)
    expect(call(fn, 900, 1000, 0.9, 0.1, 0.5), 0.1, mistakes={
        "no-floor": (lambda r: float(r) < 0.1 - 1e-6,
                     "ε went on falling after it had arrived at `end` (here it even becomes negative). Beyond "
                     "`fraction * total_steps` the share of the way is 1."),
        "jumps": (0.9, "After the fall your ε is `start` again. From there on it stays at `end`."),
    })


def _filled(fn, size, count):
    """A reader's memory with `count` steps in it, named 0, 1, …; and how it was made, in words."""
    came = call(fn, size)
    memory = came.value
    for step in range(count):
        memory.add(step)
    return memory, f"a Memory({size}), after the steps 0 … {count - 1} were added"


def _drawn(memory, count=600):
    return [step.item() if hasattr(step, "item") else step for step in memory.sample(count)]


@exercise("06.2", title="A memory that forgets the oldest", hints=[
    "While there is room, append. Once there is none, which of the places holds the oldest step?",
    "Count how many steps were ever added. Step number n goes to place n % size: after the last place comes the first.",
    "`if len(self.steps) < self.size: self.steps.append(step)`, `else: self.steps[self.added % self.size] = step`, and "
    "in either case `self.added += 1`. Sampling: `[random.choice(self.steps) for _ in range(count)]`",
])
def check_memory(fn):
    """Four places. Two steps, then more than fit, with everything drawn many times."""
    import random

    state = random.getstate()
    random.seed(0)
    try:
        _check_memory(fn)
    finally:
        random.setstate(state)


def _check_memory(fn):
    memory, how = _filled(fn, 4, 2)
    expect(len(memory), 2, called=f"len of {how}", mistakes={
        "counts-places": (4, "You counted the places. So far only two of them hold a step."),
    })
    drawn = memory.sample(3)
    require(isinstance(drawn, list | tuple) and len(drawn) == 3, called=f"sample(3) of {how}", returned=drawn,
            expected="a list of 3 steps", mistake="wrong-count",
            why="`sample(count)` returns `count` steps. They are drawn with replacement, so two steps are enough for "
                "three draws.")
    drawn = _drawn(memory)
    require(set(drawn) <= {0, 1}, called=f"sample(600) of {how}", returned=f"the steps {_unique(drawn)}",
            expected="only the steps 0 and 1", mistake="draws-empty-places",
            why="You drew from places that nothing was put into yet: steps that nobody took.")
    _, how = _filled(fn, 4, 2)
    expect(len(call(fn, 4).value), 0, called=f"len of a new Memory(4), made after {how}", mistakes={
        "shared": (lambda n: n > 0, "A new memory holds the steps of another one: the list belongs to the class (or "
                                    "is a default argument) and is shared. Make it in `__init__`."),
    })
    memory, how = _filled(fn, 4, 10)
    expect(len(memory), 4, called=f"len of {how}", mistakes={
        "never-forgets": (10, "Your memory grows for ever. When it is full, a new step takes the place of the oldest."),
        "counts-all": (lambda r: r > 4, "You count all steps that were ever added. `len` says how many it holds."),
    })
    drawn = _drawn(memory)
    kept = set(drawn)
    explain = [
        ("never-forgets", bool(kept & {0, 1, 2, 3}) and kept > {6, 7, 8, 9},
         "Old steps are still drawn. When the memory is full, a new one takes the place of the oldest."),
        ("stops-when-full", kept == {0, 1, 2, 3},
         "Once full, your memory takes in nothing any more: it holds the *first* steps for ever, which the worst "
         "policy took."),
        ("one-place-only", len(kept) == 4 and len(kept & {0, 1, 2, 3}) == 3,
         "All new steps go to the same place, and three of the first four stay for ever. The place moves on with each "
         "step, and comes round again: n % size."),
        ("one-too-many", len(kept) == 5, "It holds one step more than `size`."),
        ("last-missing", 9 not in kept, "The newest step is never drawn: does the range of your draw end too early?"),
        ("oldest-missing", 6 not in kept, "The oldest step that is still held, 6, is never drawn: does the range of "
                                          "your draw begin too late, or was it forgotten too soon?"),
        ("wrong-steps", True, "These are not the last four."),
    ]
    if kept != {6, 7, 8, 9}:
        mistake, why = next((key, words) for key, true, words in explain if true)
        raise CheckFailed(f"sample(600) of {how}", f"the steps {_unique(drawn)}", "the steps 6, 7, 8 and 9", mistake,
                          why)
    counts = [drawn.count(step) for step in (6, 7, 8, 9)]
    require(max(counts) - min(counts) < 80, called=f"how often sample(600) of {how} drew 6, 7, 8, 9",
            returned=counts, expected="about 150 each", mistake="not-uniform",
            why="Some steps come much more often than others. Each should be as likely as any other.")
    require(drawn != drawn[:4] * 150, called=f"sample(600) of {how}", returned=f"{drawn[:8]} …",
            expected="a random order", mistake="not-random",
            why="You hand the steps out in order. That is the very thing a replay memory is there to break.")


def _unique(drawn):
    return ", ".join(map(str, sorted(set(drawn), key=str)))


@exercise("06.3", title="What to aim at", hints=[
    "For each step: the highest entry of its row of `next_q`. Which axis is the row?",
    "`next_q.max(dim=-1).values` is `[N]`. Where `terminated`, it must not count; the reward still does.",
    "`rewards + gamma * next_q.detach().max(dim=-1).values * ~terminated`",
])
def check_q_targets(fn):
    """Three steps, two actions, γ = ½: 1 + ½·4 = 3, 2 + ½·(−2) = 1, and 3 for the one that ended."""
    import torch

    rewards = torch.tensor([1.0, 2.0, 3.0])
    next_q = torch.tensor([[4.0, 0.0], [-6.0, -2.0], [8.0, 10.0]])
    terminated = torch.tensor([False, False, True])
    expect(call(fn, rewards, next_q, terminated, 0.5), [3.0, 1.0, 3.0], pure=True, mistakes={
        "future-after-the-end": ([3.0, 1.0, 8.0], "You bootstrapped after a terminated step. There is no next state "
                                                  "to be worth anything: its target is the reward alone."),
        "terminated-inverted": ([1.0, 2.0, 8.0], "You kept the future where the world ended, and cut it where it goes "
                                                 "on. It is `~terminated` that lets the future through."),
        "reward-cut": ([3.0, 1.0, 0.0], "You cut the last reward too. It was paid; only what would come *after* it is "
                                        "missing."),
        "mean-not-max": ([2.0, 0.0, 3.0], "You averaged over the actions. Q-learning takes the best one."),
        "minimum": ([1.0, -1.0, 3.0], "You took the worst action. (With targets that are costs it would be right.)"),
        "no-discount": ([5.0, 0.0, 3.0], "γ is missing: what comes one step later counts γ."),
        "reward-discounted": ([2.5, 0.0, 1.5], "You discounted the reward too. It is paid now and counts in full."),
        "argmax-not-max": ([1.0, 2.5, 3.0], "You used the *number* of the best action in place of its value: `argmax` "
                                            "says which, `max(...).values` says how much."),
        "first-action": ([3.0, -1.0, 3.0], "You took the first action's value, whichever is best."),
        "absolute-value": ([3.0, 5.0, 3.0], "You took absolute values somewhere. The best of −6 and −2 is −2."),
        "never-negative": ([3.0, 2.0, 3.0], "You cut the future off at 0. If all actions are bad, the best of them is "
                                            "still bad: −2."),
        "max-over-the-batch": ([6.0, 7.0, 3.0], "You took one maximum over all steps. Each step has a next state of "
                                                "its own: `dim=-1`."),
        "broadcast": (lambda r: tuple(getattr(r, "shape", ())) == (3, 3),
                      "Your result is [N, N]: somewhere a `[N, 1]` met a `[N]`, and torch spread them against each "
                      "other. Drop `keepdim`, or `squeeze(-1)`."),
    })
    learned = next_q.clone().requires_grad_()
    came = call(fn, rewards, learned, terminated, 0.5)
    require(not came.value.requires_grad, called=came.text, returned="targets that carry a gradient",
            expected="plain data", mistake="gradient-through-target",
            why="A gradient flows into the targets, so the loss could also be made small by moving the *target* "
                "towards Q. `detach()` or `torch.no_grad()` cuts it off.")
    three = torch.tensor([[-5.0, -3.0, -1.0], [1.0, 4.0, 2.0]])
    expect(call(fn, torch.zeros(2), three, torch.zeros(2, dtype=torch.bool), 0.5), [-0.5, 2.0], mistakes={
        "two-actions-only": ([-1.5, 2.0], "You looked at the first two actions only. There may be any number."),
    })


@exercise("06.4", title="Two networks, two jobs", hints=[
    "Which of the two networks says *which* action? It appears inside the argmax.",
    "`next_q.argmax(-1, keepdim=True)` is `[N, 1]`; `gather(-1, …)` picks that entry out of each row of the other.",
    "`next_q_target.gather(-1, next_q.argmax(-1, keepdim=True)).squeeze(-1)` in the place of the maximum",
])
def check_double_targets(fn):
    """Two steps that go on and one that ended, γ = ½. The networks disagree about the best action."""
    import torch

    rewards, terminated = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([False, False, True])
    online = torch.tensor([[4.0, 6.0], [12.0, 2.0], [0.0, 1.0]])
    target = torch.tensor([[10.0, 2.0], [-4.0, 8.0], [20.0, 30.0]])
    # Online chooses actions 1 and 0, which the target network values at 2 and −4: 1 + ½·2 and 2 − ½·4.
    expect(call(fn, rewards, online, target, terminated, 0.5), [2.0, 0.0, 3.0], pure=True, mistakes={
        "roles-swapped": ([3.0, 3.0, 3.0], "The target network chose and the trained one valued. It is the other way "
                                           "round: what is *aimed at* should stand still."),
        "plain-dqn": ([6.0, 6.0, 3.0], "That is the maximum of the target network: plain DQN. It both chooses and "
                                       "values; here the other network chooses."),
        "no-target-network": ([4.0, 8.0, 3.0], "That is the maximum of the network that is being trained, without any "
                                               "target network."),
        "smaller-maximum": ([4.0, 6.0, 3.0], "You took the smaller of the two maxima. That is a cautious idea too, but "
                                             "here one network *chooses* and the other *values*."),
        "future-after-the-end": ([2.0, 0.0, 18.0], "You bootstrapped after a terminated step."),
        "terminated-inverted": ([1.0, 2.0, 18.0], "You kept the future where the world ended and cut it where it goes "
                                                  "on. It is `~terminated` that lets it through."),
        "no-discount": ([3.0, -2.0, 3.0], "γ is missing: what comes one step later counts γ."),
        "argmax-not-value": ([1.5, 2.0, 3.0], "You used the number of the chosen action in place of its value: "
                                              "`gather` it from the target network."),
        "broadcast": (lambda r: tuple(getattr(r, "shape", ())) == (3, 3),
                      "Your result is [N, N]: a `[N, 1]` met a `[N]`. After `gather`, `squeeze(-1)`."),
    })
    came = call(fn, rewards, online, target.clone().requires_grad_(), terminated, 0.5)
    require(not came.value.requires_grad, called=came.text, returned="targets that carry a gradient",
            expected="plain data", mistake="gradient-through-target",
            why="A gradient flows into the targets. `detach()` or `torch.no_grad()` cuts it off.")
    one = torch.tensor([[-8.0, -3.0, -5.0], [1.0, 2.0, 7.0]])
    other = torch.tensor([[1.0, 4.0, 16.0], [32.0, 64.0, 8.0]])
    expect(call(fn, torch.zeros(2), one, other, torch.zeros(2, dtype=torch.bool), 0.5), [2.0, 4.0], mistakes={
        "absolute-value": ([0.5, 4.0], "You chose by absolute value. The best of −8, −3 and −5 is −3."),
        "two-actions-only": ([2.0, 32.0], "You looked at the first two actions only. There may be any number."),
    })


@exercise("06.5", title="How hard to pull", hints=[
    "Two formulas and a condition. Which of the two holds at δ = −3?",
    "The condition is on |δ|. `torch.where(errors.abs() <= 1, near, far)`; `far` is |δ| − ½, so that both are ½ at 1.",
    "`torch.where(errors.abs() <= 1, 0.5 * errors**2, errors.abs() - 0.5)`",
])
def check_huber(fn):
    """Errors −3, −½, 0, ½, 2: losses 2.5, ⅛, 0, ⅛, 1.5, and gradients −1, −½, 0, ½, 1."""
    import torch

    errors = torch.tensor([-3.0, -0.5, 0.0, 0.5, 2.0])
    expect(call(fn, errors), [2.5, 0.125, 0.0, 0.125, 1.5], pure=True, mistakes={
        "clipped-error": ([0.5, 0.125, 0.0, 0.125, 0.5], "You clipped the error and squared it. The loss is flat "
                                                         "beyond 1, so its gradient is 0 where the error is "
                                                         "largest: the bug of the pitfall."),
        "clipped-loss": ([1.0, 0.125, 0.0, 0.125, 1.0], "You clipped the loss at 1. Where it is flat there is no "
                                                        "gradient, and the largest errors teach nothing."),
        "only-squared": ([4.5, 0.125, 0.0, 0.125, 2.0], "That is the square everywhere: an error of 100 pulls with "
                                                        "100. Beyond 1 the loss goes on as a straight line."),
        "jump": ([3.0, 0.125, 0.0, 0.125, 2.0], "Your line is |δ|, and at 1 the loss jumps from ½ to 1. Take ½ off, "
                                                "and the two pieces meet."),
        "no-half": ([2.5, 0.25, 0.0, 0.25, 1.5], "The ½ of the square is missing: at 1 the loss jumps from 1 to ½, and "
                                                 "the gradient from 2 to 1."),
        "one-sided": (lambda r: float(r[0]) in (-3.5, 4.5), "Your condition looks at δ, not at |δ|. An error of −3 is "
                                                            "as far from 0 as one of 3."),
        "absolute": ([3.0, 0.5, 0.0, 0.5, 2.0], "That is |δ| everywhere. It pulls with full force however small the "
                                                "error, and never comes to rest."),
        "reduced": (lambda r: getattr(r, "dim", lambda: 1)() == 0,
                    "You reduced to one number. Losses here return one number per step; the mean is taken where the "
                    "loss is used."),
    })
    near_one = torch.tensor([-1.25, 0.75])  # on either side of the seam at 1: 1.25 − ½, and ½ · 0.5625
    expect(call(fn, near_one), [0.75, 0.28125], mistakes={
        "wrong-threshold": (lambda r: not (abs(float(r[0]) - 0.75) < 1e-4 and abs(float(r[1]) - 0.28125) < 1e-4),
                            "The two pieces change over at another place than |δ| = 1. The condition is on |δ|, not on "
                            "the loss."),
    })
    learned = errors.clone().requires_grad_()
    came = call(fn, learned)
    value = came.value
    require(getattr(value, "requires_grad", False), called=came.text, returned="a loss without a gradient",
            expected="a loss that can be differentiated", mistake="no-gradient",
            why="The gradient is cut: stay in torch, without `.item()`, `.detach()` or numpy.")
    pull = torch.autograd.grad(value.sum(), learned)[0]
    expect(pull, [-1.0, -0.5, 0.0, 0.5, 1.0], called="the gradient of your loss at −3, −½, 0, ½, 2")
