# %% [markdown]
# # 06 · Deep Q-learning
#
# A table has a row for every state. This chapter begins where there are too many states for rows, and puts a neural
# network in the table's place. It is the same Q-learning, with one line exchanged, and it does not keep what it
# learns.
#
# When you have worked through this page you can say why, write the two repairs that made it work (a memory of old
# steps, and a target that stands still), train a cart to balance a pole with them, and catch a Q-function lying. And
# you will know why the people who trained language models took another road.
#
# *About 80 minutes, difficulty 3 of 5. You need chapter 05: Q-learning, ε-greedy, and why a maximum flatters. One
# section says what you need of gradients and networks in torch.*

# %%
import json
from collections import deque
from pathlib import Path

import gymnasium as gym
import matplotlib.pyplot as plt
import numpy as np
import torch

import rlcore
from rlcore.plotting import animate, band, house_style, show
from rlcore.policies import ScriptedPolicy, UniformPolicy
from rlcore.rollout import collect

torch.set_num_threads(1)
torch.manual_seed(0)
house_style()

# %% [markdown]
# ## A pole on a cart
#
# A cart on a track, with a pole hinged to its top. Two actions: push left, push right. Every step that the pole
# stays up pays 1. The episode terminates when the pole leans more than 12 degrees or the cart leaves the track, and
# is truncated after 500 steps. The state is four numbers: where the cart is and how fast it moves, how far the pole
# leans and how fast it falls.

# %%
def cart(limit):
    """A CartPole that draws itself, and stops after `limit` steps so that the film stays short."""
    return gym.make("CartPole-v1", render_mode="rgb_array", max_episode_steps=limit)


animate(cart(100), UniformPolicy(num_actions=2), seed=1, width=300,
        alt="A cart that is pushed left and right at random")

# %% [markdown]
# ## A table for it
#
# Chapter 05 would like a row for each state. These states are real numbers, so we have to cut each of the four into
# bins; a row is then a combination of bins. How many bins? Few, and a pole that has hardly begun to lean shares its
# row with one that is past saving. Many, and there are many rows. Let us count, and let us also ask something more
# important: of the states that come up in *new* episodes, how many lie in a row that has been visited before?

# %%
LIMITS = torch.tensor([2.4, 3.0, 0.21, 3.0])  # beyond these the outermost bin is used
carts = gym.make_vec("CartPole-v1", num_envs=20)
leaner = ScriptedPolicy(lambda s: ((s[..., 2] + 0.3 * s[..., 3] > 0) ^ (torch.rand(s.shape[:-1]) < 0.3)).long(), 2)


def visited(seed, steps):
    """States that come up when a cart is mostly pushed the way its pole leans, `[N, 4]`."""
    played = collect(leaner, carts, num_steps=steps, seed=seed)
    return played.states[played.mask]


def rows_of(states, bins):
    """The number of the row that each state falls in."""
    places = ((states / LIMITS + 1) / 2 * bins).long().clamp(0, bins - 1)  # [N, 4]
    return (places * bins ** torch.arange(4)).sum(-1)


BINS = (2, 4, 8, 16, 32, 64)
learned_from, new = visited(seed=0, steps=1000), visited(seed=1, steps=250)
known = [100 * torch.isin(rows_of(new, k), rows_of(learned_from, k)).float().mean().item() for k in BINS]
rows = [k**4 for k in BINS]

fig, axes = plt.subplots(1, 2, figsize=(8.5, 3.4))
axes[0].plot(BINS, rows, "o-", color="C0")
axes[0].axhline(len(learned_from), color="black", linestyle="--", linewidth=1)
axes[0].annotate(f"{len(learned_from):,} steps of experience", (2, len(learned_from)), xytext=(0, 5),
                 textcoords="offset points", fontsize=9)
axes[0].set(title="Rows in the table", xlabel="bins per number", ylabel="rows", xscale="log", yscale="log")
axes[1].plot(BINS, known, "o-", color="C1")
axes[1].set(title="New states whose row was ever visited", xlabel="bins per number", ylabel="%", xscale="log",
            ylim=(-4, 104))
for ax in axes:
    ax.set_xticks(BINS, map(str, BINS))
    ax.minorticks_off()
show(fig, alt="With more bins per number the table's rows grow to the power of four, and fewer of the states in new "
              "episodes fall into a row that was ever visited: " + ", ".join(
    f"{k} bins give {r:,} rows and {p:.0f} %" for k, r, p in zip(BINS, rows, known, strict=True)))

# %% [markdown]
# That is with four numbers. A fifth multiplies the rows once more. A picture from a video game has tens of thousands
# of numbers, and GPT-2's states, texts of up to 1024 tokens, are 50,257 to the power of 1024.
#
# The right-hand picture is the one that hurts. A table knows nothing about a row it has not visited, even if the
# row next to it is familiar. In a large world nearly every state is new. What we need is something that has seen a
# pole lean 3.1 degrees and has an opinion on 3.2.

# %% [markdown]
# ## One page on gradients and small networks
#
# *If you train networks for a living, skip to the next heading.*
#
# A **network** is a function with knobs. Ours takes a state and gives one number per action. Its knobs, the
# *weights* θ, are the numbers in a few matrices: multiply by a matrix, set what is negative to zero (that is the
# activation, a *ReLU*), multiply by the next one.
#
# To turn the knobs we need a **loss**, a number that says how wrong the function is, and its **gradient**: for each
# knob, how fast the loss grows when that knob is turned up a little. Then every knob is turned a little the other
# way. Torch works out the gradient; here it is with a single knob, where we can check it by hand.

# %%
w = torch.tensor(3.0, requires_grad=True)  # the knob
x, y = 2.0, 10.0  # for input 2 the answer should be 10
loss = (w * x - y) ** 2
loss.backward()  # torch: how does the loss change with w?
print("torch:", w.grad.item(), "   by hand, 2 (w·x − y)·x:", 2 * (3.0 * x - y) * x)
with torch.no_grad():
    w -= 0.1 * w.grad  # against the gradient: the step size is 0.1
print(f"after one step w is {w.item():.1f}, and w·x is {w.item() * x:.1f}")

# %% [markdown]
# Now two hidden layers of 64, and a curve to learn from 60 noisy points. `Adam` is gradient descent that chooses a
# step size for each knob.

# %%
from rlcore.values import EpsilonGreedy, QNetwork, mlp

points = 6 * torch.rand(60, 1) - 3  # [60, 1]
answers = torch.sin(2 * points) + 0.2 * torch.randn(60, 1)
network = mlp((1, 64, 64, 1))
optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
line = torch.linspace(-3, 3, 200)[:, None]

fig, ax = plt.subplots()
ax.plot(points, answers, "o", color="black", markersize=4, alpha=0.5, label="60 noisy answers")
for step in range(301):
    if step in (0, 20, 300):
        ax.plot(line, network(line).detach(), label=f"after {step} steps")
    loss = (network(points) - answers).square().mean()
    optimizer.zero_grad()  # forget the last gradient
    loss.backward()  # compute this one
    optimizer.step()  # turn every knob a little
ax.set(title="Four lines of torch fit a curve", xlabel="input", ylabel="output")
ax.legend(fontsize=9, ncols=2)
show(fig, alt=f"A network's output before training, after 20 and after 300 steps: it comes to follow the 60 noisy "
              f"points. The mean squared error at the end is {loss.item():.3f}.")

# %% [markdown]
# Those four lines, loss, `zero_grad`, `backward`, `step`, are all the training there is in this course. What changes
# from chapter to chapter is what the loss is made of.
#
# ## What is new about it
#
# A table and a network hold Q in different ways, and one picture shows what follows. Take the lean of a pole, in
# degrees, and tell both of them, once: *at 4 degrees it should be higher*.

# %%
degrees = torch.arange(-12.0, 13.0)[:, None]  # [25, 1]
here = 16  # the place of 4 degrees
table = torch.zeros(25)
table[here] += 0.1 * 1.0  # α = 0.1 of an error of 1, in one row

torch.manual_seed(0)
network = mlp((1, 64, 64, 1))
before = network(degrees).detach()[:, 0]  # [25]
loss = 0.5 * (network(degrees[here]) - (before[here] + 1.0)).square().sum()  # an error of 1 here too
loss.backward()
with torch.no_grad():
    for knob in network.parameters():
        knob -= 0.002 * knob.grad
moved = network(degrees).detach()[:, 0] - before

fig, axes = plt.subplots(1, 2, figsize=(8.5, 3.2), sharex=True)
for ax, change, title in ((axes[0], table, "a table: one row"), (axes[1], moved, "a network: everything moves")):
    colours = ["C1" if i == here else "C0" for i in range(25)]
    ax.bar(degrees[:, 0], change, color=colours)
    ax.axhline(0, color="black", linewidth=1)
    ax.set(title=title, xlabel="lean of the pole (degrees); orange: updated", ylabel="change of Q")
axes[1].set_ylabel("")
show(fig, alt="What one update at 4 degrees changes. In a table only that row changes. In a network it moves by "
              f"{moved[here]:.2f}, its neighbour at 5 degrees by {moved[here + 1]:.2f}, and -12 degrees, where nothing "
              f"happened, by {moved[0]:.2f}.")

# %% [markdown]
# On the right is the whole chapter. That the neighbours move along is what we wanted: it is called
# **generalisation**, and it is why a network can have an opinion about a state it has never met. And it is the source
# of all the trouble, because nobody asked whether *those* states were wrong.
#
# ## Q-learning with a network
#
# The obvious thing to do. Chapter 05's update moved Q(s, a) a little towards a target,
#
# $$y = r + \gamma \max_{a'} Q(s', a').$$
#
# Now the squared distance to it is the loss, and the gradient does the moving:
#
# $$L(\theta) = \bigl(y - Q_\theta(s, a)\bigr)^2, \qquad y \text{ taken as data: no gradient flows through it.}$$
#
# Everything else is as it was: one world, step by step, ε-greedy, one update per step.

# %%
GAMMA = 0.99


def naive(seed, steps=8000):
    """Q-learning with a network: what it promised at each start, and how long the episode then was."""
    torch.manual_seed(seed)
    q = QNetwork(state_size=4, num_actions=2, hidden=(64, 64))
    optimizer = torch.optim.Adam(q.parameters(), lr=1e-3)
    world, over, episodes = gym.make("CartPole-v1"), True, []
    for _ in range(steps):
        if over:
            state = torch.tensor(world.reset(seed=seed if not episodes else None)[0])
            episodes.append([q(state).max().item(), 0])
        values = q(state)  # [2]
        action = int(torch.randint(2, ())) if torch.rand(()) < 0.1 else int(values.argmax())
        seen, reward, terminated, truncated, _ = world.step(action)
        next_state, over = torch.tensor(seen), terminated or truncated
        target = reward + GAMMA * q(next_state).max().detach() * (not terminated)
        loss = (target - values[action]) ** 2
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        state, episodes[-1][1] = next_state, episodes[-1][1] + 1
    return np.array(episodes[:-1])  # [episodes, 2]; the last one was cut off by us


lives = [naive(seed) for seed in (0, 1)]

# %%
fig, axes = plt.subplots(1, 2, figsize=(8.5, 3.6), sharey=True)
words = []
for seed, (ax, life) in enumerate(zip(axes, lives, strict=True)):
    ends, promised, lengths = life[:, 1].cumsum(), life[:, 0], life[:, 1]
    delivered = (1 - GAMMA**lengths) / (1 - GAMMA)  # the discounted return of an episode of so many steps
    mean = np.ones(20) / 20
    for label, values, colour in (("promised: max Q at the start", promised, "C1"),
                                  ("delivered: discounted return", delivered, "C0")):
        ax.plot(ends[19:], np.convolve(values, mean, "valid"), color=colour, label=label)
    smooth_lengths = np.convolve(lengths, mean, "valid")
    words.append(f"seed {seed}: episodes last {lengths[:20].mean():.0f} steps in the beginning, at best "
                 f"{smooth_lengths.max():.0f}, at the end {smooth_lengths[-1]:.0f}; largest broken promise: "
                 f"{np.convolve(promised - delivered, mean, 'valid').max():.0f}")
    ax.set(title=f"one life, seed {seed}", xlabel="step (20 episodes averaged)", xlim=(0, None))
axes[0].set_ylabel("worth of the first state")
axes[0].legend(fontsize=9, loc="upper left")
show(fig, alt="What the naive learner's Q promised at the start of its episodes, and the discounted returns that "
              "followed, averaged over 20 episodes. " + ". ".join(words))
print("\n".join(words))

# %% [markdown]
# It learns something. But 500 steps were on offer, and what it has it does not keep: the curve goes up, and down
# again. And compare the colours. Q is *supposed* to be the discounted return of acting well from here on. These
# episodes also explore, every tenth step, so even an honest Q would lie a little above the blue line. But where the
# orange one shoots up while the blue one drops, Q promises what it does not deliver, and as it learns from its own
# promises, it takes long to find out.
#
# Two things went wrong, and both come from the picture with the bars.
#
# ### One: steps in a row are all alike
#
# A network forgets what it does not see: each update moves all states a little, and only the ones in the data are
# put right again. So the data had better be mixed. Is it?

# %%
played = collect(leaner, carts, num_steps=200, seed=2)
row = played.states[0, :64]  # 64 steps of one cart, one after the other
mixed = played.states[played.mask][torch.randperm(int(played.mask.sum()))[:64]]
fig, axes = plt.subplots(1, 2, figsize=(8.5, 3.4), sharex=True, sharey=True)
everything = played.states[played.mask]
for ax, batch, title in ((axes[0], row, "64 steps in a row"), (axes[1], mixed, "64 steps drawn from a memory")):
    ax.plot(everything[:, 0], everything[:, 1], ".", color="grey", markersize=1.5, alpha=0.3)
    ax.plot(batch[:, 0], batch[:, 1], "o", color="C1", markersize=4)
    ax.set(title=title, xlabel="place of the cart (m)")
axes[0].set_ylabel("its speed (m/s)")
spread = [batch[:, :2].std(0).mean().item() for batch in (row, mixed)]
show(fig, alt=f"Two batches of 64 states over all {len(everything)} that came up. Steps in a row tell one story; "
              "steps drawn from a memory are spread over everything. Standard deviation of place and speed, averaged: "
              f"{spread[0]:.2f} against {spread[1]:.2f}.")

# %% [markdown]
# Each batch on the left is one story, told from one place on the track. Learning from it is like revising for an
# exam by reading one page sixty-four times. Supervised learning shuffles its data for this very reason, and does so
# without thinking. In reinforcement learning the data arrives in the order in which life happens.
#
# ### Two: the target moves along
#
# In a table, moving Q(s, a) towards y leaves y alone, since y is made of *another* row. In a network the next state
# is a near neighbour of this one. What does an update at s do to the target it was aiming at?

# %%
def followed(q, states, next_states):
    """Push the best action's Q(s, a) up a little; by which share of it does max Q(s′) move along?"""
    shares = []
    for state, next_state in zip(states, next_states, strict=True):
        old = [p.detach().clone() for p in q.parameters()]
        best, here, there = q(state).argmax(), q(state).max().item(), q(next_state).max().item()
        q.zero_grad()
        (-q(state)[best]).backward()  # push it up ...
        with torch.no_grad():
            for p in q.parameters():
                p -= 1e-3 * p.grad  # ... by one small plain gradient step
            shares.append((q(next_state).max().item() - there) / (q(state)[best].item() - here))
            for p, value in zip(q.parameters(), old, strict=True):
                p.copy_(value)  # and undo it
    return np.array(shares)


torch.manual_seed(0)
steps = torch.randperm(len(everything))[:200]
shares = 100 * followed(QNetwork(4, 2, (64, 64)), everything[steps], played.next_states[played.mask][steps])
fig, ax = plt.subplots()
ax.hist(shares, bins=np.arange(-20, 141, 5), color="C1")
ax.axvline(0, color="C0", linestyle="--")
ax.annotate("a table", (0, ax.get_ylim()[1]), xytext=(5, -12), textcoords="offset points", color="C0")
ax.set(title="For every step that Q(s, a) takes, how far does its target walk along?", ylabel="updates (of 200)",
       xlabel="movement of max Q(s′), in % of the movement of Q(s, a)")
show(fig, alt=f"How far the target moves when Q(s, a) is moved by one update, in per cent, for 200 steps and a new "
              f"network: the median is {np.median(shares):.0f} %. In a table it is 0.")

# %% [markdown]
# It is like chasing a dog that runs because you chase it. If the target walks along fully, then no update ever
# closes the gap, and with γ near 1 it has next to nothing that holds it back. Where the target is too high, the
# estimate rises towards it, and the target rises again.
#
# ## The first repair: a memory
#
# Keep the last many steps, and learn from a handful drawn at random. It is called **experience replay**. Q-learning
# may do this because it is off-policy (chapter 05): what followed (s, a) is as true today as it was when it happened,
# whoever chose a. SARSA could not.
#
# A memory of limited size has to forget something, and what it forgets is the oldest.

# %%
class MyReplay:
    """The last `size` steps."""

    def __init__(self, size):
        self.steps = deque(maxlen=size)  # a full deque drops what is at its other end

    def add(self, trajectory):
        t = trajectory
        for i, j in t.mask.nonzero().tolist():  # world i, time j
            self.steps.append((t.states[i, j], t.actions[i, j], t.rewards[i, j], t.next_states[i, j],
                               t.terminated[i, j]))

    def sample(self, count):
        picked = [self.steps[i] for i in torch.randint(len(self.steps), (count,))]
        return [torch.stack(part) for part in zip(*picked, strict=True)]


# %% [markdown]
# Look for what is *not* stored. There is no `truncated`: when we merely stop watching, the future goes on, and the
# target needs Q(s′) as always. And steps with `mask` False, in which a world was only reset, never get in. Chapter
# 01's pitfall, the step that never happened, would sit in this memory and be drawn again and again.
#
# `rlcore`'s is a ring in one block of memory, so that drawing 64 steps is one indexing operation. Does it remember
# the same?

# %% tags=["nbval-check-output"]
from rlcore.replay import ReplayBuffer

mine, ours = MyReplay(500), ReplayBuffer(500, state_shape=(4,))
after = None
for _ in range(4):
    after = collect(leaner, carts, num_steps=10, after=after, seed=0 if after is None else None)
    mine.add(after)
    ours.add(after)
remembered = sorted(tuple(s.tolist()) for s, *_ in mine.steps)
assert remembered == sorted(map(tuple, ours.memory.states.tolist())) and len(ours) == 500
assert sum(r.item() for _, _, r, _, _ in mine.steps) == ours.memory.rewards.sum()
print("the same 500 steps")

# %% [markdown]
# ## The second repair: a target that stands still
#
# Keep a copy of the network, Q⁻, and let *it* say what the next state is worth. It is not trained. Every so many
# updates it is replaced by a fresh copy. In between, the target stands still, and hitting something that stands
# still is called regression, at which networks are good.
#
# $$y = r + \gamma\,(1 - \text{terminated}) \max_{a'} Q^-(s', a')$$

# %%
def my_targets(target, rewards, next_states, terminated, gamma):
    """What Q(s, a) should be, `[N]`."""
    with torch.no_grad():
        best = target(next_states).max(-1).values  # [N]
    return rewards + gamma * best * ~terminated  # after the end there is nothing


# %% [markdown]
# The distance to it is an old acquaintance: `td_errors`, from chapter 04. In DQN the loss is made of TD errors, and
# nothing else.

# %% tags=["nbval-check-output"]
from rlcore.agents.dqn import DQN, DQNConfig, best_next_values
from rlcore.returns import td_errors

torch.manual_seed(0)
q, target = QNetwork(4, 2), QNetwork(4, 2)
batch = ours.sample(64)
q_taken = q(batch.states).gather(-1, batch.actions[:, None])[:, 0]  # [64]
next_values = best_next_values(q, target, batch.next_states, double=False)
errors = td_errors(batch.rewards, q_taken, next_values, batch.terminated, GAMMA)
by_hand = my_targets(target, batch.rewards, batch.next_states, batch.terminated, GAMMA) - q_taken
assert torch.allclose(errors, by_hand) and not next_values.requires_grad
print("the same 64 errors")

# %% [markdown]
# Both together are **DQN**, the *deep Q-network* that in 2015 learned 49 Atari games from their pixels, with the same
# settings for each. Here is what changed since chapter 05:
#
# ```diff
# - q = a table
# + q = QNetwork(…)
# + target = a copy of q
# + memory = ReplayBuffer(…)
#   for each step (s, a, r, s′, terminated):
# -     y = r + γ · max(q[s′]) · (not terminated)
# -     q[s][a] += α · (y − q[s][a])
# +     memory.add(the step)
# +     for 64 steps drawn from the memory:
# +         y = r + γ · max(target(s′)) · (not terminated)
# +     one step of Adam against the gradient of (y − q(s)[a])²
# +     every 128 updates: target = a copy of q
# ```
#
# One more detail, which you will see in a moment to be no detail. The loss is not quite the square: beyond an error
# of 1 it goes on as a straight line (the *Huber loss*), so that one wild target cannot pull harder than a limit.
#
# ## It balances
#
# The agent acts for 256 steps, in eight worlds side by side, then makes 128 updates, and so on. As always the loop
# stands outside, so we can look in whenever we like: every eight rounds, twenty episodes with ε = 0.

# %%
def greedy_return(q, seed=0):
    """Mean return of 20 episodes without exploration."""
    worlds = gym.make_vec("CartPole-v1", num_envs=20)
    return collect(EpsilonGreedy(q, 0.0), worlds, seed=seed).rewards.sum(-1).mean().item()


SEED, MOST = 2, 26_000  # one run, of the quicker kind; the picture after next shows five
agent = DQN(gym.make_vec("CartPole-v1", num_envs=8), DQNConfig(), seed=SEED)
scores, history, best = [], [], (0.0, None)
for rounds, metrics in enumerate(agent.steps(), 1):
    history.append(metrics)
    if rounds % 8 == 0:
        scores.append((metrics["step"], greedy_return(agent.policy.q)))
        if scores[-1][1] > best[0]:
            best = scores[-1][1], {name: w.clone() for name, w in agent.policy.q.state_dict().items()}
    if metrics["step"] > MOST or best[0] >= 475:
        break

# %%
fig, ax = plt.subplots()
lived = [(row["step"], row["reward"]) for row in history if "reward" in row]
ax.plot(*zip(*lived, strict=True), color="C0", alpha=0.5, linewidth=1, label="while learning, with exploration")
ax.plot(*zip(*scores, strict=True), "o-", color="C1", label="20 greedy episodes")
ax.axhline(500, color="black", linestyle="--", linewidth=1)
ax.annotate("500: never fell", (0, 500), xytext=(0, 4), textcoords="offset points", fontsize=9)
ax.set(title="DQN on CartPole, one run", xlabel="step of the worlds", ylabel="return (steps upright)", ylim=(-10, 545))
ax.legend(fontsize=9, loc="upper left", bbox_to_anchor=(0, 0.92))
show(fig, alt=f"Mean return of 20 greedy episodes over training, one run: the best, {best[0]:.0f}, is reached after "
              f"{max(scores, key=lambda s: s[1])[0]} steps, with ups and downs on the way.")
print(f"best greedy mean so far: {best[0]:.0f} of 500")

# %%
balancer = QNetwork(4, 2)
balancer.load_state_dict(best[1])
animate(cart(150), EpsilonGreedy(balancer, 0.0), seed=1, width=300, alt="The cart balances its pole")

# %% [markdown]
# The film stops after 150 steps. Note the curve's teeth. In a table, an update changes one row, and a good policy
# seldom goes bad at a stroke. Here every update moves everything, and a policy that balances well today drops the
# pole tomorrow. We kept the weights of the best evaluation, as many do (the best of noisy evaluations flatters
# too), and you should know that when you read a paper's scores.
#
# ### What it sees
#
# Two of the four numbers, with the cart at rest in the middle of the track.

# %%
lean, fall = torch.meshgrid(torch.linspace(-0.2, 0.2, 60), torch.linspace(-2, 2, 60), indexing="xy")
grid = torch.stack([torch.zeros_like(lean), torch.zeros_like(lean), lean, fall], -1)  # [60, 60, 4]
with torch.no_grad():
    values = balancer(grid)  # [60, 60, 2]
fig, axes = plt.subplots(1, 2, figsize=(8.5, 3.6), sharey=True)
for ax, layer, title, colours in ((axes[0], values.max(-1).values, "max Q: how good is it here?", "viridis"),
                                  (axes[1], values[..., 1] - values[..., 0], "Q(right) − Q(left)", "RdBu_r")):
    span = float(layer.abs().max())
    limits = {"vmin": -span, "vmax": span} if colours == "RdBu_r" else {}
    image = ax.pcolormesh(lean, fall, layer, cmap=colours, shading="auto", rasterized=True, **limits)
    fig.colorbar(image, ax=ax)
    ax.set(title=title, xlabel="lean of the pole (rad, right is +)")
axes[0].set_ylabel("how fast it falls (rad/s)")
axes[1].contour(lean, fall, values[..., 1] - values[..., 0], levels=[0], colors="black", linewidths=1)
fast = fall.abs() > 1  # where it matters
right = ((values[..., 1] > values[..., 0]) == (fall > 0))[fast].float().mean()
show(fig, alt="The learned Q over the pole's lean and speed. It is highest in the middle and falls towards the corners "
              "where the pole leans and falls the same way. Where the pole falls faster than 1 rad/s, pushing the way "
              f"it falls is worth more in {100 * right:.0f} % of the plane.")
print(f"falling faster than 1 rad/s, it pushes the way the pole falls in {100 * right:.0f} % of the plane")

# %% [markdown]
# On the right is the policy: red where it pushes right, blue where it pushes left, and pale, around the black line,
# where it makes little difference. Nobody told it that one has to push *under* a falling pole.

# %% [markdown]
# > **Change this number and run again.** `DQNConfig(target_every=...)`, in the cell that trains: 1 copies the network
# > after each update, 5000 hardly ever. Say first what each of the two should do to the curve. Then
# > `buffer_size=256`.

# %% [markdown]
# ## What each part is for
#
# That was one run. Five of them take too long for a lesson, so they were run before (`benchmarks/dqn_ablation.py`
# has the recipe), and all that is done here is drawing. First the whole learner, for all of its 50,000 steps.

# %%
sweep = json.loads((Path(rlcore.__file__).parents[1] / "benchmarks/results/dqn_ablation.json").read_text())
parts = {name: part["runs"] for name, part in sweep["parts"].items()}
reached = [next((s for s, r in zip(run["step"], run["return"], strict=True) if r >= 475), None)
           for run in parts["whole"]]

fig, ax = plt.subplots()
for i, run in enumerate(parts["whole"]):
    ax.plot(run["step"], run["return"], linewidth=1.5, color=f"C{i}", label=f"seed {run['seed']}")
ax.axhline(475, color="black", linestyle="--", linewidth=1)
ax.annotate("475: solved", (0, 475), xytext=(0, 4), textcoords="offset points", fontsize=9)
ax.set(title="DQN on CartPole, five seeds", xlabel="step of the worlds", ylabel="return of 20 greedy episodes",
       ylim=(-10, 590))
ax.legend(fontsize=9, ncols=5, loc="upper center")
show(fig, alt="The mean return of 20 greedy episodes over 50,000 steps, five seeds. First at 475 after " + ", ".join(
    "never" if step is None else f"{step:,}" for step in reached) + " steps.")
print("first at 475 after", reached, "steps")

# %% [markdown]
# Mean returns over evaluations would hide what these lines show: a plateau, then a leap, and after it some fall back
# from 500 to 150 within two evaluations and climb up again. Now the parts. Here are the first
# steps of the whole learner, and of others with one part taken out. "No memory" means that it remembers the last 256
# steps, those of the round just played, and nothing before.

# %%


EVALUATIONS = 6  # of the whole learner's, those up to where the others stopped


def over_time(runs, what):
    """The first evaluations: their steps `[E]`, and their values `[seeds, E]`."""
    return runs[0]["step"][:EVALUATIONS], np.array([run[what][:EVALUATIONS] for run in runs])


fig, axes = plt.subplots(1, 2, figsize=(9, 4), sharex=True)
NAMES = {"whole": "DQN, whole", "no replay": "no memory", "no target network": "no target network",
         "neither": "neither"}
for i, (name, words) in enumerate(NAMES.items()):
    band(axes[0], *over_time(parts[name], "return"), words, kind="range", color=f"C{i}")
    band(axes[1], *over_time(parts[name], "highest_value"), words, kind="range", color=f"C{i}")
axes[1].axhline(100, color="black", linestyle="--", linewidth=1)
axes[1].set(title="The highest Q it claims", xlabel="step", ylabel="max Q on the way", yscale="log")
axes[1].annotate("nothing is worth more than 100", (0, 100), xytext=(2, 3), textcoords="offset points", fontsize=9)
axes[0].set(title="What it earns: 20 greedy episodes", xlabel="step", ylabel="return")
fig.legend(*axes[0].get_legend_handles_labels(), fontsize=9, loc="outside lower center", ncols=2)
ends, peaks = ({words: over_time(parts[name], what)[1][:, -1] for name, words in NAMES.items()}
               for what in ("return", "highest_value"))
show(fig, alt="Greedy return and the highest Q, five seeds each, over the first steps. Median return at the "
              "end: " + ", ".join(f"{words} {np.median(values):.0f}" for words, values in ends.items()) +
              ". Median of the highest Q there: " + ", ".join(
              f"{words} {np.median(values):.0f}" for words, values in peaks.items()))
for words, values in ends.items():
    print(f"{words:18} return at the end, seed by seed: {np.sort(values).round().astype(int)}   "
          f"highest Q: {np.sort(peaks[words]).round().astype(int)}")

# %% [markdown]
# Where you see three lines, there are four: "no target network" and "neither" lie on top of each other.
#
# Taking out the target network is not a loss of quality, it is the end. Q runs away by orders of magnitude, far
# across a line that nothing can cross, and the cart pushes the same way at every step, whatever the pole does: it
# falls sooner than one that rolls dice. You have seen why: the target walks along with most of the steps that are
# made towards it.
#
# But so it did for the naive learner, who had no target network either, and whose Q stayed within reason. What is
# different here? One suspect is the detail about the loss. When a pole has fallen, the target is 1 and nothing more;
# those few steps are what holds Q down. With a square, an error of −1000 pulls a thousand times as hard as an error
# of 1. With the Huber loss it pulls as hard as any other, and is outvoted. Suspects can be tried: no worlds, only
# steps of random play and a Q that learns from them, without a target network.

# %%
random_steps = ReplayBuffer(5000, (4,))
random_steps.add(collect(UniformPolicy(2), gym.make_vec("CartPole-v1", num_envs=20), num_steps=200, seed=0))
LOSSES = {"Huber": lambda errors: torch.nn.functional.smooth_l1_loss(errors, torch.zeros_like(errors)),
          "squared": lambda errors: 0.5 * errors.square().mean()}


def chase(loss, seed, updates=400):
    """Fit Q to targets made of Q itself; the mean Q, every 20 updates."""
    torch.manual_seed(seed)
    q, said = QNetwork(4, 2), []
    optimizer = torch.optim.Adam(q.parameters(), lr=1e-3)
    for update in range(updates):
        batch = random_steps.sample(64)
        q_taken = q(batch.states).gather(-1, batch.actions[:, None])[:, 0]  # [64]
        next_values = best_next_values(q, q, batch.next_states, double=False)  # its own target
        errors = td_errors(batch.rewards, q_taken, next_values, batch.terminated, GAMMA)
        optimizer.zero_grad()
        loss(errors).backward()
        optimizer.step()
        if update % 20 == 0:
            said.append(max(q_taken.mean().item(), 0.1))
    return said


fig, ax = plt.subplots()
last_said = {}
for name, loss in LOSSES.items():
    said = np.array([chase(loss, seed) for seed in range(5)])
    band(ax, range(0, 400, 20), said, name, kind="range")
    last_said[name] = np.median(said[:, -1])
ax.axhline(100, color="black", linestyle="--", linewidth=1)
ax.annotate("nothing is worth more than 100", (0, 100), xytext=(0, 4), textcoords="offset points", fontsize=9)
ax.set(title="Without a target network: who holds Q down?", xlabel="update", ylabel="mean Q", yscale="log")
ax.legend(fontsize=9, loc="lower right")
show(fig, alt="Mean Q over 400 updates on steps of random play, without a target network, five seeds each. Median at "
              "the end: " + ", ".join(f"{name} loss {value:.0f}" for name, value in last_said.items()))

# %% [markdown]
# Keep this in mind whenever you read that a part "is essential": it was essential *in that company*. In this world
# the Huber loss is a good idea with a target network and a bad one without.
#
# Taking out the memory does next to nothing, and that deserves a second look before somebody concludes that memories
# are useless. "No memory" still draws from 256 steps of *eight different carts*, each somewhere else in its own
# episode. That is a mixture already. The naive learner had one cart and its very last step. Worlds side by side are
# another way of mixing, and the one that chapter 09's PPO lives on, which has no memory at all. And these runs are
# short: what forgetting does later, they do not show. On this question our experiment is inconclusive. The original
# one, on Atari games with a single world, was not: there the memory mattered most.

# %% [markdown]
# ## The flatterer is back
#
# The right-hand picture has a line that no honest learner crosses. A step pays 1, so even balancing for ever is worth
# only 1 + γ + γ² + … = 1/(1 − γ), which is 100 here. Whatever claims more is wrong, and we need no experiment to
# know it.
#
# For the learner with a target network there is a sharper line. A new network says about 0. While it is the target,
# no target exceeds 1. After the first copy, none exceeds 1 + γ; after k copies, none exceeds what k + 1 steps can
# pay,
#
# $$1 + \gamma + \dots + \gamma^k = \frac{1 - \gamma^{k+1}}{1 - \gamma}.$$
#
# Each copy is a sweep of chapter 03's value iteration, and sees one step further. Whoever claims more than that has
# made it up. Does our learner?

# %%
config = sweep["parts"]["whole"]["config"]
runs = parts["whole"]
rounds = 8 * np.arange(1, len(runs[0]["step"]) + 1) - 4  # 8 rounds from evaluation to evaluation, the first 4 without
copies = rounds * config["gradient_steps"] // config["target_every"]  # updates yet
ceiling = (1 - config["gamma"] ** (copies + 1)) / (1 - config["gamma"])
claims = np.array([run["highest_value"] for run in runs])  # [5 seeds, evaluations]

fig, ax = plt.subplots()
band(ax, runs[0]["step"], claims, "the highest Q it claims", kind="range", color="C1")
ax.plot(runs[0]["step"], ceiling, color="black", linestyle="--", label="the most that so many copies can know")
ax.set(title="The whole learner's claims, and what it can know", xlabel="step", ylabel="value", ylim=(0, 110))
ax.legend(fontsize=9, loc="lower right")
above = claims > ceiling
show(fig, alt="The highest Q of the whole learner, five seeds, and the highest value that its target network's copies "
              f"allow. The claims lie above the ceiling in {100 * above[:, 2:].mean():.0f} % of the evaluations from "
              f"the third on, by {np.median((claims - ceiling)[:, 2:]):.1f} in the median.")
print(f"from the third evaluation on, above the ceiling in {above[:, 2:].sum()} of {above[:, 2:].size}; "
      f"median {np.median((claims - ceiling)[:, 2:]):+.1f}")

# %% [markdown]
# It does, a little, and steadily. Not because its targets lie; each of them obeys the line, if the one before did.
# The network does, somewhere between its data points, and the next copy believes it.
#
# Chapter 05 knows the culprit: the maximum of noisy numbers is, on average, above the number that it estimates. A
# network's errors are noise of that kind, and here the flattery does not stay in its row. It is generalised to the
# neighbours, and copied into the next target.
#
# It grows with the number of actions. Say all actions are worth exactly 0, and each estimate is off by a random
# error of standard deviation 1. What does the maximum say? And what if one network chooses the action and *another*
# one, with errors of its own, says what it is worth?

# %%
torch.manual_seed(0)
COUNTS = {"CartPole": 2, "Atari": 18, "go": 361, "GPT-2": 50_257}
single, double, errors = [], [], []
for count in COUNTS.values():
    states = 200 if count > 1000 else 4000
    one, other = torch.randn(states, count), torch.randn(states, count)  # two networks' Q: the truth is 0
    single.append(one.max(-1).values.mean().item())
    honest = other.gather(-1, one.argmax(-1, keepdim=True))  # [states, 1]
    double.append(honest.mean().item())
    errors.append((one.max(-1).values.std().item() / states**0.5, honest.std().item() / states**0.5))
fig, ax = plt.subplots()
counts = list(COUNTS.values())
ax.errorbar(counts, single, 2 * np.array(errors)[:, 0], fmt="o-", color="C1", label="one network chooses and values")
ax.errorbar(counts, double, 2 * np.array(errors)[:, 1], fmt="o-", color="C0",
            label="one chooses, another one values")
ax.axhline(0, color="black", linestyle="--", linewidth=1)
for name, count, value in zip(COUNTS, counts, single, strict=True):
    ax.annotate(f"{name}, {count:,}", (count, value), xytext=(-4, 7), textcoords="offset points", fontsize=9,
                ha="right" if count > 1000 else "center")
ax.set(title="How much the maximum flatters, if nothing is worth anything", xscale="log", ylim=(-0.5, 5.2),
       xlabel="number of actions", ylabel="estimate (error of one action: 1)")
ax.legend(fontsize=9, loc="upper left", bbox_to_anchor=(0, 0.92))
show(fig, alt="The mean of the maximum of independent errors, by the number of actions: " + ", ".join(
    f"{count:,} actions {value:.2f}" for count, value in zip(counts, single, strict=True)) +
    ". If another network values the chosen action, the mean stays near 0. Bars: two standard errors.")

# %% [markdown]
# **Double DQN** takes the second way and needs no second learner for it, because one is at hand: the network that
# is being trained chooses, the target network values.
#
# $$y = r + \gamma\,(1 - \text{terminated})\, Q^-\bigl(s', \arg\max_{a'} Q(s', a')\bigr)$$
#
# ```diff
# - best = target(next_states).argmax(-1, keepdim=True)
# + best = q(next_states).argmax(-1, keepdim=True)
#   target(next_states).gather(-1, best)
# ```
#
# The two are not independent, since one is an old copy of the other, so the cure is partial. On CartPole, with two
# actions only, does it show?

# %%
fig, axes = plt.subplots(1, 2, figsize=(9, 3.7), sharex=True)
for name, words, colour in (("whole", "DQN", "C1"), ("double", "double DQN", "C0")):
    band(axes[0], *over_time(parts[name], "return"), words, kind="range", color=colour)
    band(axes[1], *over_time(parts[name], "highest_value"), words, kind="range", color=colour)
axes[0].set(title="What they earn", xlabel="step", ylabel="return")
axes[1].plot(runs[0]["step"][:EVALUATIONS], ceiling[:EVALUATIONS], color="black", linestyle="--")
axes[1].set(title="The highest Q; dashed: what they can know", xlabel="step", ylabel="max Q on the way")
fig.legend(*axes[0].get_legend_handles_labels(), fontsize=9, loc="outside lower center", ncols=2)
last = {name: {what: over_time(parts[name], what)[1][:, -1] for what in ("return", "highest_value")}
        for name in ("whole", "double")}
show(fig, alt="DQN and double DQN, five seeds each. Medians at the end: " + "; ".join(
    f"{name} earns {np.median(row['return']):.0f} and claims {np.median(row['highest_value']):.1f}"
    for name, row in last.items()))
for what, unit in (("highest_value", "the highest Q"), ("return", "the return")):
    difference = last["double"][what] - last["whole"][what]  # seed by seed
    error = difference.std(ddof=1) / len(difference) ** 0.5
    verdict = "clear" if abs(difference.mean()) > 2.78 * error else "inconclusive"  # Student's t, 4 degrees of freedom
    print(f"{unit}, double − plain: {difference.mean():+.1f} ± {error:.1f} (standard error, 5 seeds): {verdict}")

# %% [markdown]
# No. Both cross the dashed line, and five seeds cannot tell them apart. With two actions there is little to choose
# from, and so little to flatter with; we suspect that most of the excess comes from the network's generosity
# between its data points, which a second opinion by an old copy of the same network does not cure. On Atari games,
# with up to 18 actions and a value that can be checked, the difference was large (van Hasselt and others, 2016, in
# the list below). "Inconclusive" is a result: five seeds can show neither that double DQN helps here nor that it
# does not.

# %% [markdown]
# ## Where it breaks
#
# Nothing in this chapter proves that DQN arrives anywhere. There is a world with two states in which its bare
# ingredients are *certain* to fail, and it fits in three lines (Sutton and Barto, section 11.2). The "network" has a
# single knob w. It gives the first state the value w and the second the value 2w. The step from the first to the
# second pays 0. All true values are 0, so w should become 0.

# %%
ALPHA = 0.1


def two_states(gamma, visit_both, updates=100):
    """w after each update; it begins at 1."""
    w, history = 1.0, [1.0]
    for _ in range(updates):
        change = gamma * 2 * w - w  # the TD error of the step 1 → 2; the gradient of w is 1
        if visit_both:
            change += 2 * (0.0 - 2 * w)  # that of the step 2 → end; the gradient of 2w is 2
        w += ALPHA * change
        history.append(w)
    return np.array(history)


fig, ax = plt.subplots()
for gamma in (0.4, 0.6, 0.9, 0.99):
    ax.plot(two_states(gamma, visit_both=False), label=f"only the first step, γ = {gamma}")
ax.plot(two_states(0.99, visit_both=True), color="black", linestyle="--", label="both steps, γ = 0.99")
ax.set(title="One knob, nothing random, and the right answer is 0", xlabel="update", ylabel="w", yscale="log",
       ylim=(1e-6, 1e9))
ax.legend(fontsize=9, ncols=2, loc="upper left")
show(fig, alt="The knob w over 100 updates. If only the first step is learned from, w grows without limit for gamma "
              f"above one half: to {two_states(0.99, False)[-1]:.0f} at 0.99. With gamma 0.4, or if the second step is "
              "learned from as often, it goes to 0.")

# %% [markdown]
# Each update moves w *towards* its target, and the target, which hangs on the same knob, moves up twice as far. The
# book calls it the **deadly triad**. Divergence threatens wherever three things meet:
#
# 1. **function approximation**: states share knobs,
# 2. **bootstrapping**: the target contains our own estimate,
# 3. **off-policy data**: states are not visited as often as the policy would visit them, so the step that would
#    have pulled w back is missing.
#
# Take any one away, and this example is safe. DQN has all three. Replay and the target network do not remove one of
# them; they slow the pursuit down until, mostly, it works. *Mostly* is why every DQN curve that you will ever see has
# teeth.
#
# > **Pitfall, from real life.** The DQN paper says that it helps "to clip the error term … to be between −1 and 1".
# > Several people wrote just that, `loss = clip(error, -1, 1) ** 2`. The derivative of a clipped number is *zero*:
# > where the error was largest, these learners learned nothing, and said nothing. It was found in
# > [deep_q_rl](https://github.com/spragunr/deep_q_rl/issues/46) in 2015 and in
# > [DQN-tensorflow](https://github.com/devsisters/DQN-tensorflow/issues/16) in 2016. What the authors meant is the
# > Huber loss, whose *gradient* is clipped. Here are both.

# %%
error = torch.linspace(-3, 3, 241, requires_grad=True)
losses = {"squared": 0.5 * error**2, "clipped error, squared": 0.5 * error.clamp(-1, 1) ** 2,
          "Huber": torch.nn.functional.huber_loss(error, torch.zeros_like(error), reduction="none")}
fig, axes = plt.subplots(1, 2, figsize=(8.5, 3.4), sharex=True)
for (name, loss), style in zip(losses.items(), ("-", "--", "-"), strict=True):
    pull = torch.autograd.grad(loss.sum(), error)[0]
    axes[0].plot(error.detach(), loss.detach(), style, label=name)
    axes[1].plot(error.detach(), pull, style, label=name)
axes[0].set(title="The loss looks reasonable", xlabel="TD error", ylabel="loss")
axes[1].set(title="Its gradient does not", xlabel="TD error", ylabel="how hard it pulls")
axes[0].legend(fontsize=9)
show(fig, alt="Three losses and their gradients against the TD error. The clipped one pulls with 0 as soon as the "
              "error is beyond 1; the Huber loss goes on pulling with 1; the square pulls ever harder.")

# %% [markdown]
# ## The road not taken
#
# An LLM's logits are one number per action, just like Q. So why is GPT-2 not trained by Q-learning? People have
# tried, and three things stand in the way, each of which you have met on this page.
#
# **The maximum.** Every target takes a max over the actions, and GPT-2 has 50,257 of them in each state. You have
# seen how a maximum flatters with that many.
#
# **The bootstrap.** A reply of 200 tokens that is scored at its end has one reward and 199 targets made of other
# targets, each leaning on a network that shares all its knobs.
#
# **The start.** A pretrained model is already a very good *policy*: it gives probabilities. Q-learning wants
# values. The logits of a model that writes fluent English say nothing about what a sentence is worth, so one would
# have to throw away what pretraining has learned, or teach the same network a second meaning. And from values one
# gets a policy by taking the best action, which in text means saying the same thing every time, where we want to
# sample.
#
# So turn it around. Leave the values out, keep the probabilities, and make the actions that turned out well more
# likely. No max, no target, no bootstrap unless we want it. That is a *policy gradient*, it is what part II is about,
# and everything in part III descends from it: PPO, GRPO and their cousins. What you have learned here stays: the
# networks, the TD error (chapter 08 puts it to better use), and the habit of comparing what is promised with what is
# delivered.

# %% [markdown]
# ## Check yourself
#
# <details><summary>An episode of CartPole is cut off after 500 steps. What should the target of its last step be,
# and what does the learner come to believe if you write <code>done</code> in place of
# <code>terminated</code>?</summary>
#
# r + γ max Q⁻(s′), as for any other step: it was truncated, the pole still stands. With `done` the target is 1. The
# same upright pole would be worth 1 or 100, depending on a clock that the state does not show, and the network learns
# something in between.
# </details>
#
# <details><summary>Why may Q-learning learn from steps that an old, bad policy took, and SARSA not?</summary>
#
# Q-learning's target asks what the world did after (s, a), and then takes the best action according to Q, not the
# one that was taken. SARSA's target contains the next action, so old steps teach it what the old policy is worth.
# </details>
#
# <details><summary>The target network is copied every 128 updates. What happens at 1? And at a million?</summary>
#
# At 1 the target moves with every update, as if there were none. At a million it never moves: Q is fitted, very
# stably, to one step of reward plus the guesses of a network that knows nothing.
# </details>
#
# <details><summary>A colleague's DQN says that CartPole's first state is worth 160, at γ = 0.99. Without looking at
# the code or a curve: is it right?</summary>
#
# No. Nothing in that world is worth more than 1/(1 − 0.99) = 100. Work out such a ceiling wherever you can: it is the
# cheapest test there is.
# </details>
#
# <details><summary>In double DQN, would it do to swap the roles, and let the target network choose and the trained
# one value?</summary>
#
# The choosing and the valuing would still be apart, so it would flatter less as well. But the value would then come
# from the network that moves with every update, and the second repair would be gone.
# </details>
#
# <details><summary>The loss of your DQN rises during training. Is that bad?</summary>
#
# Not in itself. The targets change: as longer episodes come in, values grow from 1 towards 100, and with them the
# errors. A falling loss is no good news either: a Q that is 0 everywhere, in a world that never pays, has a loss of
# 0. Look at the return, and at promises against deliveries.
# </details>

# %% [markdown]
# ## You can now …
#
# … put a network where a table was; say what moves when it learns, and why that makes bootstrapping dangerous; give
# it a memory and a target that stands still; and convict a Q-function by a ceiling. Your vocabulary has grown by
#
# ```python
# best_next_values(q, target, next_states, double)    # [N, *state] -> [N]
# ```
#
# which goes into the `td_errors` that you had. Now the exercises: `rlcourse lab 6` opens them. You will write the
# exploration schedule, the ring, both targets, and the loss that the pitfall got wrong.
#
# **Further reading**
#
# - V. Mnih and others, *Human-level control through deep reinforcement learning*, Nature 518, 2015: DQN, and table
#   3 of its extended data takes replay and the target network out, one by one and both.
# - L.-J. Lin, *Self-improving reactive agents based on reinforcement learning, planning and teaching*, Machine
#   Learning 8, 1992: experience replay, twenty years earlier.
# - H. van Hasselt, A. Guez and D. Silver, *Deep Reinforcement Learning with Double Q-learning*, AAAI 2016,
#   [arXiv:1509.06461](https://arxiv.org/abs/1509.06461): promises against deliveries, in Atari games.
# - R. S. Sutton and A. G. Barto, *Reinforcement Learning: An Introduction*, 2nd edition, MIT Press 2018, sections
#   11.2 and 11.3: the two states, and the triad. Section 16.5 tells the story of DQN.
# - H. van Hasselt and others, *Deep Reinforcement Learning and the Deadly Triad*, 2018,
#   [arXiv:1812.02648](https://arxiv.org/abs/1812.02648): how often it is deadly in practice. Less often than feared.
# - C. Snell, I. Kostrikov, Y. Su, M. Yang and S. Levine, *Offline RL for Natural Language Generation with Implicit
#   Language Q Learning*, ICLR 2023, [arXiv:2206.11871](https://arxiv.org/abs/2206.11871): the road not taken, taken.
# - OpenAI, *OpenAI Baselines: DQN*, 2017,
#   [openai.com](https://openai.com/index/openai-baselines-dqn/): advice on getting it right, each piece paid for.
