"""Checks of chapter 01: returns, the loop, and a dog that runs ahead."""

from itertools import cycle

from rlcourse.exam import CheckFailed, call, exercise, expect, require


@exercise("01.1", title="The return of an episode", hints=[
    "Which power of γ belongs to the very first reward? And to the last of three?",
    "The reward at step t counts γᵗ, and t begins at 0. `enumerate` hands you both.",
    "`sum(gamma**t * reward for t, reward in enumerate(rewards))`",
])
def check_discounted_return(fn):
    """Rewards 1, 2, 4 at γ = 0.5: 1 + 0.5·2 + 0.25·4 = 3."""
    expect(call(fn, [1.0, 2.0, 4.0], 0.5), 3.0, pure=True, mistakes={
        "discount-shifted": (1.5, "You multiplied the first reward by γ too. γ⁰ = 1 belongs to it: now is now."),
        "wrong-end": (5.25, "You discounted from the wrong end: the *last* reward lies furthest ahead, and the first "
                            "one counts in full."),
        "no-discount": (7.0, "You added the rewards up without γ."),
        "discount-once": (4.0, "You multiplied everything after the first reward by γ once. Each further step costs "
                               "another factor of γ."),
        "no-power": (5.0, "You multiplied by γ·t. Waiting t steps multiplies t times: γ to the power t."),
        "mean-not-sum": (1.0, "You divided by the number of steps. A return is a sum: a longer episode may well be "
                              "worth more."),
    })
    expect(call(fn, [0.0, 0.0, 0.0, -2.0], 0.9), -1.458)
    expect(call(fn, [3.0, 100.0], 0.0), 3.0)  # γ = 0 sees the next reward and nothing else
    expect(call(fn, [1.0] * 5, 1.0), 5.0)


class _Misused(Exception):  # noqa: N818  (a reader may see its name)
    """The loop did something to the world that ends the check at once."""


def _world(ends_by, length):
    """A world that counts: the state is [10·seed + step], the reward 2 to the power of the step; it keeps `taken`."""
    import gymnasium as gym
    import numpy as np

    class CountingWorld(gym.Env):
        action_space = gym.spaces.Discrete(2)
        t = None

        def reset(self, seed=None, options=None):
            if self.t is not None:
                raise _Misused("reset() was called a second time")
            self.t, self.start, self.taken = 0, 10.0 * (seed or 0), []
            return np.array([self.start], np.float32), {}

        def step(self, action):
            if self.t >= length:
                raise _Misused(f"step() was called after the end: the last step said {ends_by} = True")
            self.t += 1
            self.taken.append(int(action))
            over, seen = self.t == length, np.array([self.start + self.t], np.float32)
            return seen, 2.0**self.t, over and ends_by == "terminated", over and ends_by == "truncated", {}

        def __repr__(self):
            return f"<world that is {ends_by} after {length} steps>"

    return CountingWorld()


def choose(state):
    """Say with the action which state was seen: 1 for an odd number."""
    if isinstance(state, tuple):
        raise _Misused("choose() was handed a pair, (state, info), and not a state")
    return int(state[0]) % 2


def _as_numbers(returned):
    """(states, actions, rewards) as lists of numbers; what came back, if it is not that."""
    import numpy as np

    try:
        states, actions, rewards = returned
        return [float(np.ravel(s)[0]) for s in states], [int(a) for a in actions], [float(r) for r in rewards]
    except (TypeError, ValueError):
        return returned


_LOOP_MISTAKES = {
    "state-not-updated": (lambda r: r[0] == [10.0] * 3,
                          "Your dog stares at the first state forever. Overwrite `state` with what `step` returned, so "
                          "that the next choice is made from the new one."),
    "state-after-the-action": (lambda r: r[0] == [11.0, 12.0, 13.0],
                               "You stored the state that `step` returned beside the action that led to it. "
                               "`states[t]` is what was seen when `actions[t]` was chosen: store it before the step."),
    "last-step-lost": (lambda r: r[2] == [2.0, 4.0],
                       "The last step is missing. The step that ends an episode did happen, and often it carries the "
                       "whole reward: write it down before you leave the loop."),
    "one-state-too-many": (lambda r: r[0] == [10.0, 11.0, 12.0, 13.0] and len(r[1]) == 3,
                           "There is a state more than actions: in the final state nothing is chosen any more."),
    "seed-ignored": (lambda r: r[0][0] == 0.0,
                     "Your world started from another seed. Pass it on: `world.reset(seed=seed)`."),
    "fixed-number-of-steps": (lambda r: r[2] == [2.0, 4.0, 8.0],
                              "This episode has four steps, and you stopped after three. Its end is announced by "
                              "`terminated` or `truncated`; no episode need be as long as the last one."),
    "never-ran": (lambda r: r[0] == [] or r[2] == [],
                  "The loop never ran. Is its condition False at the start? `while not (terminated or truncated)` "
                  "needs both to begin as False."),
    "left-after-one-step": (lambda r: len(r[2]) == 1,
                            "The loop was left after one step. Is `return` indented too far, or `done` not what the "
                            "world said?"),
}


@exercise("01.2", title="The loop", hints=[
    "Four things happen in each round, in this order: choose, write down state and action, step, write down the "
    "reward.",
    "`step` returns the *next* state: store the old one before you overwrite it. And an episode is over when it was "
    "terminated *or* truncated.",
    "`while not done:` choose; append state and action; `state, reward, terminated, truncated, _ = "
    "world.step(action)`; append reward; `done = terminated or truncated`",
])
def check_run_episode(fn):
    """A world that terminates after three steps, and one that is truncated after four."""
    endless = {
        "terminated": ("end-ignored", "The world said `terminated`, and your loop went on. An episode is over when it "
                                      "is terminated *or* truncated, and not only when both are true."),
        "truncated": ("truncation-ignored", "The world said `truncated`, and your loop went on: with a real world it "
                                            "would never stop. An episode has two ways to end."),
    }
    expected = {"terminated": ([10.0, 11.0, 12.0], [0, 1, 0], [2.0, 4.0, 8.0]),
                "truncated": ([10.0, 11.0, 12.0, 13.0], [0, 1, 0, 1], [2.0, 4.0, 8.0, 16.0])}
    for ends_by, (key, why) in endless.items():
        came = call(fn, _world(ends_by, len(expected[ends_by][0])), choose, seed=1)
        if isinstance(came.error, _Misused):
            if "second time" in str(came.error):
                key, why = "reset-in-the-loop", ("You reset the world again in the middle of the episode. `reset` is "
                                                 "the first throw; it stands before the loop.")
            elif "pair" in str(came.error):
                key, why = "kept-the-pair", ("`reset` returns two things. Take them apart: `state, info = "
                                             "world.reset(seed=seed)`.")
            raise CheckFailed(came.text, str(came.error), "a loop that leaves the world alone then", key, why,
                              "It raised") from came.error
        if came.error is None:
            came.returned = _as_numbers(came.returned)
        expect(came, expected[ends_by], mistakes=_LOOP_MISTAKES)
    moods = cycle((0, 1, 1))  # somebody who never says the same thing for long
    world = _world("terminated", 4)
    came = call(fn, world, lambda state: next(moods), seed=0)
    recorded = _as_numbers(came.value)[1]
    require(recorded == world.taken, called="your function with a `choose` that changes its mind",
            mistake="chose-twice", returned=f"actions {recorded}",
            expected=f"the actions that were taken, {world.taken}",
            why="You called `choose` twice in a step: one answer was written down, another one acted upon. Ask once "
                "and keep the answer.")


@exercise("01.3", title="The mean return of a batch", hints=[
    "Two axes, two questions: which one do you sum over, and which one do you average over?",
    "First make the padding harmless: `torch.where(mask, rewards, 0.0)`. Then one number per episode, then their mean.",
    "`torch.where(mask, rewards, 0.0).sum(-1).mean()`",
])
def check_mean_return(fn):
    """Two episodes, of 3 steps and of 1; the padding holds junk."""
    import torch

    rewards = torch.tensor([[1.0, 2.0, 4.0], [5.0, 100.0, 100.0]])
    mask = torch.tensor([[True, True, True], [True, False, False]])
    expect(call(fn, rewards, mask), 6.0, pure=True, mistakes={  # (7 + 5) / 2
        "mask-inverted": (100.0, "You kept the padding and dropped what counts: `mask` is True where a step happened."),
        "padding-counted": (106.0, "You counted the padding. Those steps never happened: the mask says so."),
        "mean-over-steps": (3.0, "You divided by the number of steps, 4. That is the mean reward of a step. A mean "
                                 "return has one number per episode, and there are 2 of them."),
        "mean-of-means": (11 / 3, "You averaged each episode over its own steps first. A return is a sum."),
        "padded-mean": (2.0, "You divided by all entries, padding included. Sum over time, then average over "
                             "episodes."),
        "wrong-axis": (4.0, "You summed over the episodes and averaged over time. Time is the last axis, −1, and it is "
                            "the one to sum over."),
        "sum-not-mean": (12.0, "You added the episodes up. With twice as many dogs no dog is better: take the mean."),
        "one-per-episode": ([7.0, 5.0], "That is one return per episode, which is nearly it. Take their mean."),
    })
    three = torch.tensor([[3.0], [3.0], [6.0]])
    expect(call(fn, three, torch.ones(3, 1, dtype=torch.bool)), 4.0)
    junk = torch.tensor([[2.0, float("nan")], [1.0, -1.0]])
    expect(call(fn, junk, torch.tensor([[True, False], [True, True]])), 1.0, mistakes={
        "mask-multiplied": (lambda r: torch.as_tensor(r).isnan().item(),
                            "You multiplied by the mask, and 0 · NaN is still NaN. `torch.where` (or `rewards[mask]`) "
                            "never touches what it leaves out."),
    })


@exercise("01.4", title="The return of every step", hints=[
    "Start at the last step: its return is its reward. What is the return of the step before it, in terms of that?",
    "Carry one number, `future`, from right to left. Where `done[t]` is True there is no future: set it to 0 *before* "
    "you add `rewards[t]`.",
    "`for t in reversed(range(len(rewards))):` then `if done[t]: future = 0.0`, `future = rewards[t] + gamma * "
    "future`, `returns[t] = future`",
])
def check_returns_of_every_step(fn):
    """Two episodes in one row, γ = 0.5: (1, 6, 4) and (2, 8)."""
    import torch

    rewards = torch.tensor([1.0, 6.0, 4.0, 2.0, 8.0])
    done = torch.tensor([False, False, True, False, True])
    expect(call(fn, rewards, done, 0.5), [5.0, 8.0, 4.0, 6.0, 8.0], pure=True, mistakes={
        "leaks-across-done": ([5.75, 9.5, 7.0, 6.0, 8.0],
                              "The first episode is credited with rewards of the second. Where `done[t]` is True "
                              "nothing follows: cut the future off there."),
        "cut-one-step-early": ([4.0, 6.0, 5.0, 2.0, 8.0],
                               "You cut one step too early: the step before the end lost its future, and the step that "
                               "is done still looks into the next episode. Reset the future *before* you use it at t."),
        "cut-one-step-late": ([5.25, 8.5, 5.0, 2.0, 8.0],
                              "You cut one step too late: the step that is done looks into the next episode, and the "
                              "step after it lost its future. It is `done[t]` that counts at t, not `done[t - 1]`."),
        "done-inverted": ([1.0, 6.0, 5.0, 2.0, 8.0],
                          "It is the other way round: where `done[t]` is True there is no future, and everywhere else "
                          "there is. `gamma * future * done[t]` keeps exactly the wrong ones; it wants `not done[t]`."),
        "last-reward-lost": ([4.0, 6.0, 0.0, 2.0, 0.0],
                             "You set the return of a `done` step to 0. What *follows* it is 0. Its own reward counts, "
                             "and is often the only one there is."),
        "shifted": ([8.0, 4.0, 0.0, 8.0, 0.0],
                    "Everything is shifted by one: each step got the return of the step after it. `rewards[t]` follows "
                    "`actions[t]` and is the first term of the return at t."),
        "own-reward-missing": ([4.0, 2.0, 0.0, 4.0, 0.0],
                               "Each step lacks its own reward: you have only γ times what comes after it."),
        "discounts-the-past": ([1.0, 6.5, 7.25, 2.0, 9.0],
                               "You walked from left to right, so that each step is paid for what happened *before* "
                               "it. Start at the last step and walk back."),
        "seen-from-step-0": ([5.0, 4.0, 1.0, 0.75, 0.5],
                             "You discounted everything as seen from step 0. The return at t is seen from t: its own "
                             "reward counts in full."),
        "no-discount": ([11.0, 10.0, 4.0, 10.0, 8.0], "The sums are right, but γ is missing."),
        "in-reverse-order": ([8.0, 6.0, 4.0, 8.0, 5.0],
                             "These are the right numbers in the wrong order: you walked from the end and forgot to "
                             "turn the list round again."),
        "one-step-only": ([4.0, 8.0, 4.0, 6.0, 8.0],
                          "You looked one step ahead: `rewards[t] + γ · rewards[t + 1]`. What follows is worth its "
                          "*return*, which is more than its reward."),
    })
    thrice = torch.tensor([False, True, False, True, False, True])
    expect(call(fn, torch.tensor([1.0, 2.0, 1.0, 2.0, 1.0, 2.0]), thrice, 0.5), [2.0, 2.0] * 3)
    cut = torch.tensor([False, False, False])  # the record stops in the middle of an episode
    expect(call(fn, torch.tensor([0.0, 0.0, -1.0]), cut, 0.9), [-0.81, -0.9, -1.0])
    expect(call(fn, torch.tensor([1.0, 1.0]), torch.tensor([True, True]), 1.0), [1.0, 1.0])


@exercise("01.5", title="Beat the chaser", hints=[
    "Where is the disc in a second? Its place, plus its speed times one second. How many seconds has it left in the "
    "air?",
    "Treat it as a stone that falls slowly: with `fall` somewhere between 4 and 10 m/s², it is down after about "
    "(up + sqrt(up² + 2 · fall · height)) / fall seconds. Run towards disc + along · seconds.",
    "`seconds = (up + torch.sqrt(up**2 + 2 * fall * height)) / fall; ahead = disc + along * seconds - dog`, then 2 "
    "where `ahead > 0.5`, 0 where `ahead < -0.5`, else 1",
])
def check_my_dog(rule):
    """Actions of the right kind, then at least 80 % caught on each of five sets of throws."""
    states = _usual_states()  # [400, 6]
    actions = _actions(rule, states)
    rates = _catch_rates(rule)
    if min(rates) >= 0.8:
        return
    key, why = _diagnose(rule, actions, states)
    if key is None and min(_catch_rates(lambda states: 2 - _to_actions(rule(states)))) >= 0.8:
        key, why = "runs-away", ("It runs the wrong way: its mirror image would pass, so check the sign. Where the "
                                 "disc will be *minus* where the dog is, is positive when the dog should go right.")
    if key is None and min(_catch_rates(lambda states: rule(_higher(states)))) >= 0.8:
        key, why = "aims-short", ("It aims at where the disc first comes within reach, and is left behind. It would "
                                  "pass if it took each disc to be higher by a dog's jump: aim at where the disc "
                                  "comes *down*.")
    require(False, called=f"{getattr(rule, '__name__', 'your dog')} on five sets of 400 throws",
            returned="caught " + ", ".join(f"{rate:.0%}" for rate in rates), expected="at least 80% of each",
            mistake=key, why=why or "It moves, but is not there in time. Watch it with `animate`: does it overshoot, "
                                    "start too late, or wait in the wrong place?")


def _higher(states):
    """The same states, with the disc higher by a dog's jump."""
    from rlcore.envs.robot_dog import JUMP

    states = states.clone()
    states[:, 3] += JUMP
    return states


def _to_actions(returned):
    import torch

    return torch.as_tensor(returned).long()


def _actions(rule, states):
    """What the rule does in many states, `[400]`, if it is actions at all."""
    import torch

    came = call(rule, states)
    came.text = came.text.split("(")[0] + "(states), with states of shape (400, 6)"
    if came.error is not None and "ambiguous" in str(came.error):
        raise CheckFailed(came.text, f"{type(came.error).__name__}: {came.error}", "one action per dog",
                          "if-on-a-batch",
                          "You asked `if` about 400 dogs at once, and some say yes and some say no. `torch.where("
                          "condition, 2, 0)` answers for each of them.", "It raised")
    require(came.value is not None, called=came.text, returned="None", expected="one action per dog",
            mistake="returned-nothing", why="The function ends without `return`, or returns only in some branch.")
    actions = torch.as_tensor(came.value)
    require(actions.shape == (400,), called=came.text, returned=f"values of shape {tuple(actions.shape)}",
            expected="one action per dog: shape (400,)", mistake="wrong-shape",
            why="The dogs are on the first axis, and the six numbers of a state on the last: states[:, 0] is every "
                "dog's place, states[0] the whole state of one dog.")
    known = sorted(set(actions.tolist()))
    require(set(known) <= {0, 1, 2}, called=came.text, returned=f"actions {known[:5]}", expected="only 0, 1 and 2",
            mistake="wrong-actions", why="Actions number the choices, they are no directions: 0 is left, 1 is lying "
                                         "still, 2 is right. If you have −1, 0 and 1, add 1.")
    return actions.long()


def _catch_rates(rule):
    """How often a rule catches the disc, on each of five sets of throws."""
    import gymnasium as gym

    import rlcore.envs  # noqa: F401  registers the dog
    from rlcore.policies import ScriptedPolicy
    from rlcore.rollout import collect

    fields = gym.make_vec("RobotDog-v0", num_envs=400)
    policy = ScriptedPolicy(lambda states: _to_actions(rule(states)), num_actions=3)
    return [(collect(policy, fields, seed=seed).rewards > 0.5).any(-1).float().mean().item() for seed in range(5)]


def _usual_states():
    """States as they occur to dogs that roll dice, `[400, 6]`."""
    import gymnasium as gym
    import torch

    import rlcore.envs  # noqa: F401  registers the dog
    from rlcore.policies import UniformPolicy
    from rlcore.rollout import collect

    dice = torch.Generator().manual_seed(0)
    rides = collect(UniformPolicy(3), gym.make_vec("RobotDog-v0", num_envs=40), seed=0, generator=dice)
    return rides.states[rides.mask][:400]


def _diagnose(rule, actions, states):
    """Which of the usual dogs this is: (key, why), or (None, None)."""
    import torch

    disc_is_right, moves = states[:, 2] > states[:, 0], actions != 1
    if not moves.any():
        return "never-moves", "This dog never gets up. It catches what falls on it."
    if (actions == actions[0]).all():
        return "one-way", "This dog does the same thing in every state. Let it look at the states."
    if ((actions == 2) == disc_is_right)[moves].float().mean() > 0.9:
        return "chases", ("It runs to where the disc *is*, and the disc is faster. Run to where it *will be* when it "
                          "is low enough to catch: its speed along the field says how far it gets in a second.")
    other_discs = torch.cat([states[:, :2], states[:, 2:].roll(1, 0)], -1)  # the same dogs, other discs
    if (_to_actions(rule(other_discs)) == actions).all():
        return "ignores-the-disc", ("It does the same whatever the disc does. Waiting at a good place catches the "
                                    "usual throws, and only those.")
    return None, None
