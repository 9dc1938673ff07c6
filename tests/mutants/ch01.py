"""Wrong answers to chapter 01, taken from real bugs, and right ones in another style."""

import numpy as np
import torch

from rlcore.envs.robot_dog import JUMP
from tests.mutants import Mutant


# 01.1 The return of an episode
def backwards_sum(rewards, gamma):
    value = 0.0
    for reward in reversed(rewards):
        value = reward + gamma * value
    return value


def with_numpy(rewards, gamma):
    return np.dot(rewards, gamma ** np.arange(len(rewards)))


def with_torch(rewards, gamma):
    return (torch.tensor(rewards, dtype=torch.float64) * gamma ** torch.arange(len(rewards))).sum()


def pops_its_argument(rewards, gamma):
    value = 0.0
    while rewards:
        value = rewards.pop() + gamma * value
    return value


def prints_only(rewards, gamma):
    str(backwards_sum(rewards, gamma))


# 01.2 The loop
def loop(world, choose, seed, stop=lambda ended, cut: ended or cut, reset_seed=True, follow=True, late=False,
         again=False):
    """The loop, with a switch for each usual mistake."""
    states, actions, rewards = [], [], []
    state, _ = world.reset(seed=seed) if reset_seed else world.reset()
    done = False
    while not done:
        if again:
            state, _ = world.reset(seed=seed)
        action = choose(state)
        seen, reward, terminated, truncated, _ = world.step(action)
        states.append(seen if late else state)
        actions.append(action)
        rewards.append(reward)
        state = seen if follow else state
        done = stop(terminated, truncated)
    return states, actions, rewards


def loses_the_last_step(world, choose, seed):
    states, actions, rewards = [], [], []
    state, _ = world.reset(seed=seed)
    while True:
        action = choose(state)
        seen, reward, terminated, truncated, _ = world.step(action)
        if terminated or truncated:
            return states, actions, rewards
        states.append(state)
        actions.append(action)
        rewards.append(reward)
        state = seen


def keeps_the_final_state(world, choose, seed):
    state, _ = world.reset(seed=seed)
    states, actions, rewards, done = [state], [], [], False
    while not done:
        actions.append(choose(states[-1]))
        state, reward, terminated, truncated, _ = world.step(actions[-1])
        states.append(state)
        rewards.append(reward)
        done = terminated or truncated
    return states, actions, rewards


def returns_too_soon(world, choose, seed):
    state, _ = world.reset(seed=seed)
    while True:
        action = choose(state)
        _, reward, _, _, _ = world.step(action)
        return [state], [action], [reward]


def keeps_the_pair(world, choose, seed):
    states, actions, rewards, done = [], [], [], False
    state = world.reset(seed=seed)
    while not done:
        states.append(state)
        actions.append(choose(state))
        state, reward, terminated, truncated, _ = world.step(actions[-1])
        rewards.append(reward)
        done = terminated or truncated
    return states, actions, rewards


def takes_three_steps(world, choose, seed):
    states, actions, rewards = [], [], []
    state, _ = world.reset(seed=seed)
    for _ in range(3):
        states.append(state)
        actions.append(choose(state))
        state, reward, *_ = world.step(actions[-1])
        rewards.append(reward)
    return states, actions, rewards


def asks_twice(world, choose, seed):
    states, actions, rewards, done = [], [], [], False
    state, _ = world.reset(seed=seed)
    while not done:
        states.append(state)
        actions.append(choose(state))
        state, reward, terminated, truncated, _ = world.step(choose(state))
        rewards.append(reward)
        done = terminated or truncated
    return states, actions, rewards


def never_runs(world, choose, seed):
    states, actions, rewards, ended, cut = [], [], [], False, False
    state, _ = world.reset(seed=seed)
    while not ended and cut:
        states.append(state)
        actions.append(choose(state))
        state, reward, ended, cut, _ = world.step(actions[-1])
        rewards.append(reward)
    return states, actions, rewards


def with_break_and_tuples(world, choose, seed):
    steps, state = [], world.reset(seed=seed)[0]
    while True:
        action = choose(state)
        following, reward, *ends, _ = world.step(action)
        steps.append((state, action, reward))
        state = following
        if any(ends):
            break
    return tuple(zip(*steps, strict=True))


def with_arrays(world, choose, seed):
    states, actions, rewards = loop(world, choose, seed)
    return np.stack(states), torch.tensor(actions), np.array(rewards)


# 01.3 The mean return of a batch
def loop_over_episodes(rewards, mask):
    returns = []
    for row, here in zip(rewards, mask, strict=True):
        returns.append(sum(r.item() for r, m in zip(row, here, strict=True) if m))
    return sum(returns) / len(returns)


def fills_in_place(rewards, mask):
    rewards[~mask] = 0.0
    return rewards.sum(-1).mean()


def with_masked_fill(rewards, mask):
    return rewards.masked_fill(~mask, 0.0).sum(dim=1).mean(dim=0)


def mean_of_means(rewards, mask):
    return (torch.where(mask, rewards, 0.0).sum(-1) / mask.sum(-1)).mean()


# 01.4 The return of every step
def walk(rewards, done, gamma, cut=lambda done, t: done[t]):
    """The backward walk; `cut` says where the future ends."""
    returns, future = torch.zeros_like(rewards), 0.0
    for t in reversed(range(len(rewards))):
        future = rewards[t] + gamma * (0.0 if cut(done, t) else future)
        returns[t] = future
    return returns


def resets_afterwards(rewards, done, gamma):
    returns, future = torch.zeros_like(rewards), 0.0
    for t in reversed(range(len(rewards))):
        returns[t] = future = rewards[t] + gamma * future
        if done[t]:
            future = 0.0
    return returns


def zero_at_the_end(rewards, done, gamma):
    returns, future = torch.zeros_like(rewards), 0.0
    for t in reversed(range(len(rewards))):
        future = 0.0 if done[t] else rewards[t] + gamma * future
        returns[t] = future
    return returns


def shifted(rewards, done, gamma):
    returns = walk(rewards, done, gamma)
    return torch.where(done, 0.0, torch.cat([returns[1:], torch.zeros(1)]))


def forwards(rewards, done, gamma):
    returns, past = torch.zeros_like(rewards), 0.0
    for t in range(len(rewards)):
        returns[t] = past = rewards[t] + gamma * past
        if done[t]:
            past = 0.0
    return returns


def seen_from_step_0(rewards, done, gamma):
    return walk(rewards * gamma ** torch.arange(len(rewards)), done, 1.0)


def in_place(rewards, done, gamma):
    for t in reversed(range(len(rewards) - 1)):
        if not done[t]:
            rewards[t] += gamma * rewards[t + 1]
    return rewards


def with_lists(rewards, done, gamma):
    returns = []
    for reward, last in zip(reversed(rewards.tolist()), reversed(done.tolist()), strict=True):
        returns.insert(0, reward + (0.0 if last or not returns else gamma * returns[0]))
    return returns


def by_definition(rewards, done, gamma):
    values = np.zeros(len(rewards))
    for t in range(len(rewards)):
        for k in range(t, len(rewards)):
            values[t] += gamma ** (k - t) * rewards[k].item()
            if done[k]:
                break
    return values


# 01.5 Beat the chaser
def lands_at(states, fall=6.0):
    height, along, up = states[:, 3], states[:, 4], states[:, 5]
    return states[:, 2] + along * (up + torch.sqrt(up**2 + 2 * fall * height)) / fall


def towards(target, states):
    ahead = target - states[:, 0]
    return 1 + (ahead > 0.5).long() - (ahead < -0.5).long()


def chaser(states):
    return torch.where(states[:, 2] > states[:, 0], 2, 0)


def patient_chaser(states):
    return towards(states[:, 2], states)


def aims_at_where_it_comes_within_reach(states, fall=9.81):
    height, along, up = states[:, 3], states[:, 4], states[:, 5]
    seconds = (up + torch.sqrt((up**2 + 2 * fall * (height - JUMP)).clamp(min=0.0))) / fall
    return towards(states[:, 2] + along * seconds, states)


def with_if(states):
    return 2 if lands_at(states) > states[:, 0] else 0


def simulates_the_flight(states):
    """Fly the disc on in one's head, with the world's own physics."""
    from rlcore.envs.robot_dog import move

    flight, target = states.double().numpy(), states[:, 2].double().numpy().copy()
    for _ in range(40):
        flight = move(flight, np.ones(len(states)))
        target = np.where(flight[:, 3] > 0.7, flight[:, 2], target)
    return np.where(target > states[:, 0].numpy() + 0.4, 2, np.where(target < states[:, 0].numpy() - 0.4, 0, 1))


def dog_by_dog(states):
    return [int(action) for state in states for action in towards(lands_at(state[None], fall=9.81), state[None])]


MUTANTS = {
    "01.1": [
        Mutant("discount-shifted", lambda rewards, gamma: sum(gamma ** (t + 1) * r for t, r in enumerate(rewards))),
        Mutant("wrong-end", lambda rewards, gamma: sum(gamma**t * r for t, r in enumerate(reversed(rewards)))),
        Mutant("no-discount", lambda rewards, gamma: sum(rewards)),
        Mutant("discount-once", lambda rewards, gamma: rewards[0] + gamma * sum(rewards[1:])),
        Mutant("no-power", lambda rewards, gamma: sum(gamma * t * r for t, r in enumerate(rewards))),
        Mutant("mean-not-sum", lambda rewards, gamma: backwards_sum(rewards, gamma) / len(rewards)),
        Mutant("returned-nothing", prints_only),
        Mutant("changed-arguments", pops_its_argument),
    ],
    "01.2": [
        Mutant("truncation-ignored", lambda w, c, seed: loop(w, c, seed, stop=lambda ended, cut: ended)),
        Mutant("end-ignored", lambda w, c, seed: loop(w, c, seed, stop=lambda ended, cut: ended and cut)),
        Mutant("end-ignored", lambda w, c, seed: loop(w, c, seed, stop=lambda ended, cut: cut)),
        Mutant("state-not-updated", lambda w, c, seed: loop(w, c, seed, follow=False)),
        Mutant("state-after-the-action", lambda w, c, seed: loop(w, c, seed, late=True)),
        Mutant("seed-ignored", lambda w, c, seed: loop(w, c, seed, reset_seed=False)),
        Mutant("reset-in-the-loop", lambda w, c, seed: loop(w, c, seed, again=True)),
        Mutant("last-step-lost", loses_the_last_step),
        Mutant("one-state-too-many", keeps_the_final_state),
        Mutant("left-after-one-step", returns_too_soon),
        Mutant("kept-the-pair", keeps_the_pair),
        Mutant("fixed-number-of-steps", takes_three_steps),
        Mutant("chose-twice", asks_twice),
        Mutant("never-ran", never_runs),
    ],
    "01.3": [
        Mutant("padding-counted", lambda rewards, mask: rewards.sum(-1).mean()),
        Mutant("mask-inverted", lambda rewards, mask: rewards.masked_fill(mask, 0.0).sum(-1).mean()),
        Mutant("mean-over-steps", lambda rewards, mask: rewards[mask].mean()),
        Mutant("mean-of-means", mean_of_means),
        Mutant("padded-mean", lambda rewards, mask: torch.where(mask, rewards, 0.0).mean()),
        Mutant("wrong-axis", lambda rewards, mask: torch.where(mask, rewards, 0.0).sum(0).mean()),
        Mutant("sum-not-mean", lambda rewards, mask: torch.where(mask, rewards, 0.0).sum()),
        Mutant("one-per-episode", lambda rewards, mask: torch.where(mask, rewards, 0.0).sum(-1)),
        Mutant("mask-multiplied", lambda rewards, mask: (rewards * mask).sum(-1).mean()),
        Mutant("changed-arguments", fills_in_place),
    ],
    "01.4": [
        Mutant("leaks-across-done", lambda r, done, gamma: walk(r, done, gamma, cut=lambda done, t: False)),
        Mutant("cut-one-step-early", resets_afterwards),
        Mutant("cut-one-step-late", lambda r, done, gamma: walk(r, done, gamma, cut=lambda done, t: t and done[t - 1])),
        Mutant("done-inverted", lambda r, done, gamma: walk(r, done, gamma, cut=lambda done, t: not done[t])),
        Mutant("last-reward-lost", zero_at_the_end),
        Mutant("shifted", shifted),
        Mutant("own-reward-missing", lambda r, done, gamma: gamma * shifted(r, done, gamma)),
        Mutant("discounts-the-past", forwards),
        Mutant("seen-from-step-0", seen_from_step_0),
        Mutant("no-discount", lambda r, done, gamma: walk(r, done, 1.0)),
        Mutant("in-reverse-order", lambda r, done, gamma: walk(r, done, gamma).flip(0)),
        Mutant("one-step-only", lambda r, done, gamma: r + gamma * torch.cat([r[1:], r[:1]]).masked_fill(done, 0.0)),
        Mutant("changed-arguments", in_place),
        Mutant("wrong-shape", lambda r, done, gamma: walk(r, done, gamma)[0]),
    ],
    "01.5": [
        Mutant("chases", chaser),
        Mutant("chases", patient_chaser),
        Mutant("aims-short", aims_at_where_it_comes_within_reach),
        Mutant("never-moves", lambda states: torch.ones(len(states)).long()),
        Mutant("one-way", lambda states: torch.full((len(states),), 2)),
        Mutant("runs-away", lambda states: 2 - towards(lands_at(states), states)),
        Mutant("wrong-actions", lambda states: towards(lands_at(states), states) - 1),
        Mutant("wrong-shape", lambda states: towards(lands_at(states), states)[:, None]),
        Mutant("if-on-a-batch", with_if),
        Mutant("returned-nothing", lambda states: None),
        Mutant("ignores-the-disc", lambda states: towards(torch.full((len(states),), 5.0), states)),  # the best place
    ],
}
ALTERNATIVES = {
    "01.1": [backwards_sum, with_numpy, with_torch],
    "01.2": [loop, with_break_and_tuples, with_arrays],
    "01.3": [loop_over_episodes, with_masked_fill],
    "01.4": [walk, with_lists, by_definition],
    "01.5": [simulates_the_flight, dog_by_dog, lambda states: towards(lands_at(states, fall=9.81), states)],
}
