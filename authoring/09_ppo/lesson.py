# %% [markdown]
# # 09 · PPO
#
# Chapter 08's actor–critic looks at every step of its life once, takes one step up the gradient, and throws the
# experience away. This page is about reading it more than once, and about the trouble that gets you into.
#
# When you have worked through it you can say why a policy gradient must not be followed far, write the one-line loss
# that keeps it near, train a cart to balance in a few seconds, swing up a pendulum with a motor that takes real
# numbers, and tell which of PPO's many famous details do something, and how you know. The last cell shows where this
# goes: the same call, on GPT-2.
#
# *About 90 minutes, difficulty 4 of 5. You need chapter 08: advantages, GAE, a critic. And the weights of chapter 04's
# off-policy estimate.*

# %%
import ast
import copy
import json
import time
from collections import deque
from pathlib import Path

import gymnasium as gym
import matplotlib.pyplot as plt
import numpy as np
import torch

import rlcore
from rlcore.animation import watch
from rlcore.networks import actor_and_critic
from rlcore.plotting import house_style, show
from rlcore.rollout import collect
from rlcore.worlds import Worlds
from rlcourse.diff import show_diff

torch.set_num_threads(1)
torch.manual_seed(0)
house_style()

# %% [markdown]
# ## A step that is used once
#
# Here is the actor–critic on CartPole: 32 carts side by side, 32 steps of each, one step up the gradient, and the
# next 1024 steps. A policy gradient holds for the policy that took the steps, and after the update that policy is
# gone. So, honestly, the batch has to go too.

# %%
from rlcore.agents.actor_critic import ActorCritic, ActorCriticConfig


def carts(seed=0):
    """A new policy and a new critic, and 32 carts that go on from sample to sample, 32 steps each."""
    envs = gym.make_vec("CartPole-v1", num_envs=32)
    return *actor_and_critic(envs, seed=seed), Worlds(envs, num_steps=32)


def lived(agent, batches, bar=475.0):
    """Train until the mean of the last 20 returns is at the bar: steps of the world, and that mean, batch by batch."""
    last, steps, means = deque(maxlen=20), [], []
    for metrics in agent.steps():
        last.extend(agent.world.finished)  # the returns of the episodes that have just ended
        steps.append(metrics["step"] * 32 * 32)
        means.append(sum(last) / max(len(last), 1))
        if metrics["step"] == batches or (len(last) == 20 and means[-1] >= bar):
            break
    return steps, means


once = lived(ActorCritic(*carts(), ActorCriticConfig(steps=400), seed=0), batches=40)
print(f"actor–critic: {once[0][-1]:,} steps of the world, {len(once[0])} steps up the gradient, and a pole that stays "
      f"up for {once[1][-1]:.0f} steps")

# %% [markdown]
# It does learn, at the pace of one small step per thousand. Where steps cost nothing, who cares; but a step can be a
# robot's, a customer's, or, from chapter 12 on, a token that a language model had to write. **Acting is dear. Learning
# from what you have already seen is cheap.** So: take more than one step per batch.

# %% [markdown]
# ## So take more steps
#
# Below are five policies that are half-way there. (The algorithm of this page has taught each of them for eight
# batches; how, comes later.) Each acts for one batch more. Then we follow that batch's gradient for 1 step, for 3,
# 10, 30 and 100, and each time let the new policy really act, in thirty new carts, to see what it is worth. Before you
# run the cells: what do you expect?

# %%
from rlcore.agents.ppo import PPO, PPOConfig
from rlcore.losses import policy_gradient_loss
from rlcore.returns import gae, whiten
from rlcore.values import predict

GAMMA, LAM, MARKS = 0.98, 0.8, (0, 1, 3, 10, 30, 100)


def half_way(seed):
    """A policy after eight batches, its next batch, and that batch's advantages by GAE, as in chapter 08."""
    agent = PPO(*carts(seed), PPOConfig(), seed)
    for metrics in agent.steps():
        if metrics["step"] == 8:
            break
    t = agent.world.sample(agent.policy, agent.generator)  # [32, 32]
    values, next_values = predict(agent.value, t)
    advantages = gae(t.rewards, values, next_values, t.terminated, t.done, GAMMA, LAM)
    return agent.policy, t, whiten(advantages, t.mask)


STUDENTS = [half_way(seed) for seed in range(5)]

# %%
examiners = gym.make_vec("CartPole-v1", num_envs=30)


def worth(policy):
    """The mean return of 30 new episodes, the same 30 starts for everybody."""
    return collect(policy, examiners, seed=7, generator=torch.Generator().manual_seed(7)).rewards.sum(-1).mean().item()


def squeeze(loss_of, policy, t, advantages):
    """Many steps on one batch: after 0, 1, 3, … of them, what the batch says, and what the policy is worth."""
    policy, said, earned = copy.deepcopy(policy), [], []
    optimizer = torch.optim.Adam(policy.parameters(), lr=2e-3)
    for step in range(MARKS[-1] + 1):
        log_probs = policy(t.states).log_prob(t.actions)  # [32, 32]
        loss = loss_of(log_probs, t.log_probs, advantages)[t.mask].mean()  # []
        if step in MARKS:
            said.append(-loss.item())
            earned.append(worth(policy))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return said, earned


def plain(log_probs, old_log_probs, advantages):
    """REINFORCE's loss, which does not care who acted."""
    return policy_gradient_loss(log_probs, advantages)


squeezed = {"plain gradient": np.array([squeeze(plain, *student) for student in STUDENTS])}  # [5, 2, marks]

# %%
def draw_lines(ax, lines, colour, title):
    """One line per student, over the number of steps on one batch."""
    places = np.arange(len(MARKS))
    for line, marker in zip(lines, "osD^v", strict=True):
        ax.plot(places, line, color=colour, marker=marker, markersize=5, linewidth=1.5, alpha=0.75)
    ax.set(title=title, xlabel="steps on the same batch")
    ax.set_xticks(places, MARKS)


def in_words(name):
    """What the lines of true returns show."""
    return f"{name}: " + ", ".join(f"{row.min():.0f} to {row.max():.0f} after {mark}"
                                   for mark, row in zip(MARKS, squeezed[name][:, 1].T, strict=True))


fig, axes = plt.subplots(1, 2, figsize=(8.5, 3.5))
draw_lines(axes[0], squeezed["plain gradient"][:, 0], "C1", "What the batch says")
axes[0].set_ylabel("mean of Â log π (higher is better)")
draw_lines(axes[1], squeezed["plain gradient"][:, 1], "C1", "What the worlds say")
axes[1].set(ylabel="true return (30 new episodes)", ylim=(-15, 530))
show(fig, alt="Five policies, one line each, after some number of plain gradient steps on one batch. Left, the "
              "objective that is followed: it rises from step to step on all five. Right, the true return. " +
              in_words("plain gradient"))

# %% [markdown]
# The first ten steps help all five: one batch buys what would have taken several. So far, so good. After that it is a
# lottery. Some draw 500, some a policy that drops the pole as fast as anybody can, and the five are the same algorithm
# with other dice. Winning is no consolation, because the next batch is acted by whatever came out of this one, and
# training draws a ticket at every batch.
#
# The batch does not notice. Its number rises to the end, because it is not the return. It is a number whose *slope* at
# the start is that of the return, and one step later we no longer stand there. What is more, it has no ceiling: an
# action with a negative advantage can always be made rarer, and its log π goes to minus infinity, which counts as an
# infinite gain.

# %% [markdown]
# ## The right thing to climb: a ratio
#
# Chapter 04 asked what one policy would earn from steps that another one took, and the answer was to weight each step
# by how much likelier the new policy would have taken it. This is that weight, for a single action:
#
# $$\rho_t = \frac{\pi(a_t \mid s_t)}{\pi_\text{old}(a_t \mid s_t)}, \qquad
#   L(\theta) = \mathbb{E}_\text{old}\bigl[\rho_t\, \hat A_t\bigr]$$
#
# L says: *in the states that the old policy visited, and by the old policy's own judgement of what is good, how much
# better are the new choices?* It is called the **surrogate**. It has no logarithm, and with a finite choice of actions
# it has a ceiling, since probabilities end at 1. (Densities do not. For the motor at the end of this page it has
# none.)
#
# And it begins where we were. The derivative of ρ is ρ ∇log π, and at the start ρ is 1:
#
# $$\nabla L = \mathbb{E}\bigl[\rho\, \hat A\, \nabla \log \pi\bigr] = \mathbb{E}\bigl[\hat A\, \nabla \log \pi\bigr]
#   \quad\text{where } \rho = 1.$$
#
# So the first step is REINFORCE's, whatever comes after it. Check, in double precision:

# %% tags=["nbval-check-output"]
policy, t, advantages = STUDENTS[0]
exact = copy.deepcopy(policy).double()
log_probs = exact(t.states.double()).log_prob(t.actions)[t.mask]  # [N]
old, A = log_probs.detach(), advantages.double()[t.mask]  # nobody has learned yet: the old policy is this one
ratio = (log_probs - old).exp()
of_surrogate = torch.autograd.grad((ratio * A).mean(), exact.parameters(), retain_graph=True)
of_reinforce = torch.autograd.grad((A * log_probs).mean(), exact.parameters())
assert (ratio == 1).all()
for mine, theirs in zip(of_surrogate, of_reinforce, strict=True):
    assert torch.allclose(mine, theirs, rtol=0, atol=1e-12)
print("the same gradient")

# %% [markdown]
# Differences of logarithms, and only then the exponential: that is how ratios are computed everywhere in this course,
# since a probability of 10⁻⁵⁰ is no trouble as −115. Now climb it.

# %%
def surrogate(log_probs, old_log_probs, advantages):
    """Minus ρ Â, per step."""
    return -(log_probs - old_log_probs).exp() * advantages


squeezed["ratio"] = np.array([squeeze(surrogate, *student) for student in STUDENTS])


def draw_squeezed(colours):
    """A panel for each loss: true returns, five lines."""
    fig, axes = plt.subplots(1, len(colours), figsize=(9.5, 3.5), sharey=True)
    for ax, (name, colour) in zip(axes, colours.items(), strict=True):
        draw_lines(ax, squeezed[name][:, 1], colour, name)
    axes[0].set(ylabel="true return (30 new episodes)", ylim=(-15, 530))
    show(fig, alt="The true return of five policies after some number of steps on one batch. " +
                  ". ".join(map(in_words, colours)))


draw_squeezed({"plain gradient": "C1", "ratio": "C2"})

# %% [markdown]
# The same beginning, as promised, and the same lottery. The weights are right, and still some of us end up in the
# ditch. Why?

# %% [markdown]
# ## A tangent is not a road
#
# To see why, let us leave sampling, networks and luck behind and go back to chapter 07's short corridor: three squares
# that look alike, the middle one with left and right exchanged. A policy is one number p, the probability of going
# right, so the return J(p) is a curve, and everything on it can be computed from the table of the world.
#
# Stand at p = 0.2. Compute the advantages *there*, and how often each square is visited *there*. Then draw what the
# surrogate says about every other p:
#
# $$L(p) = J(p_\text{old}) + \sum_s d_\text{old}(s) \sum_a \pi_p(a)\, A_\text{old}(s, a)$$

# %%
from rlcore.agents.dynamic_programming import action_values, exact_values
from rlcore.agents.dynamic_programming import advantages as exact_advantages
from rlcore.envs.classic_grids import short_corridor

corridor = short_corridor()


def both(p):
    """π as a table [4, 2]: left and right, the same in every square."""
    return np.tile([1 - p, p], (4, 1))


def at(p):
    """Everything about the policy p: its return, its advantages [3, 2], how often it is in each square [3]."""
    v = exact_values(corridor, both(p), gamma=1.0)  # [4]
    A = exact_advantages(both(p), action_values(corridor, v, gamma=1.0))  # [4, 2]
    P = np.einsum("sa,sat->st", both(p), corridor.transitions)[:3, :3]  # square to square, the exit left out
    visits = np.linalg.solve(np.eye(3) - P.T, corridor.start[:3])  # expected number of steps in each square
    return v[0], A[:3], visits


def surrogate_at(p, old):
    """The surrogate: the old policy's visits and advantages, the new policy's choices."""
    J, A, visits = at(old)
    return J + visits @ A @ [1 - p, p]


OLD, grid = 0.2, np.linspace(0.04, 0.96, 185)
J = np.array([at(p)[0] for p in grid])
promised = np.array([surrogate_at(p, OLD) for p in grid])
slopes = [(f(OLD + 1e-4) - f(OLD - 1e-4)) / 2e-4 for f in (lambda p: at(p)[0], lambda p: surrogate_at(p, OLD))]

fig, ax = plt.subplots()
ax.plot(grid, J, color="C0")
ax.plot(grid, promised, color="C1")
ax.plot(OLD, at(OLD)[0], "o", color="black")
ax.annotate("the policy that acted", (OLD, at(OLD)[0]), xytext=(12, -14), textcoords="offset points", fontsize=9)
ax.annotate("what the surrogate says", (0.43, surrogate_at(0.43, OLD)), xytext=(-8, 6), textcoords="offset points",
            fontsize=9, color="C1", ha="right")
ax.annotate("the true return J(p)", (0.72, at(0.72)[0]), xytext=(0, -18), textcoords="offset points", fontsize=9,
            color="C0", ha="center")
ax.set(title="They touch in one point, with one slope", xlabel="p: how likely the policy goes right", ylabel="return",
       ylim=(-60, 35))
show(fig, alt="The true return of the short corridor over p, an arch with its top at 0.59, and the surrogate made at "
              f"p = {OLD}, a straight line that touches it there. Slopes at that point: {slopes[0]:.2f} and "
              f"{slopes[1]:.2f}. The line promises {surrogate_at(0.96, OLD):.0f} at p = 0.96, where the true return is "
              f"{J[-1]:.0f}.")
print(f"slopes at p = {OLD}: {slopes[0]:.3f} and {slopes[1]:.3f}")

# %% [markdown]
# The surrogate is the *tangent*. It promises returns above 0 in a world where every step costs 1, and its maximum is
# at p = 1, where the agent paces to and fro in the first two squares for ever. Two things in it are out of date as soon
# as p moves: the advantages, and the visits. The ratio corrects for how likely the *action* is; nobody corrects for how
# likely the *state* has become. Nothing is wrong with the line. It is a statement about the neighbourhood.
#
# ## Do not leave the neighbourhood
#
# So follow it, but not far; then act again, and draw a new tangent. How far? A distance in the weights would be a poor
# measure, because the same turn of a knob can mean everything or nothing:

# %%
for logit in (0.0, 5.0):
    before, after = torch.sigmoid(torch.tensor([logit, logit + 1.0])).tolist()
    print(f"a logit of {logit:.0f} goes up by 1: the probability of that action goes from {before:.3f} to {after:.3f}")

# %% [markdown]
# Measure what the policy *does* instead: how far apart are the probabilities? **TRPO** (trust region policy
# optimisation, Schulman and others, 2015) says it like this:
#
# $$\text{maximise } L(\theta) \quad\text{as long as}\quad
#   \mathbb{E}_\text{old}\bigl[\mathrm{KL}(\pi_\text{old} \,\|\, \pi_\theta)\bigr] \le \delta .$$
#
# The set of policies that the condition allows is the **trust region**: so far we believe our tangent. TRPO does it by
# the book, with second derivatives and conjugate gradients. **PPO**, two years later, gets most of it from one line
# that can be followed by Adam. The first P is *proximal*, nearby (近端), and not "approximate".
#
# ## The clip
#
# $$L^\text{clip} = \mathbb{E}_\text{old}\Bigl[\min\bigl(\rho\,\hat A,\;
#   \operatorname{clip}(\rho,\, 1-\varepsilon,\, 1+\varepsilon)\,\hat A\bigr)\Bigr]$$
#
# It reads worse than it is. Here is what one step contributes, as a function of its ratio:

# %%
def my_clip_loss(log_probs, old_log_probs, advantages, clip):
    """Minus the smaller of two: the surrogate, and the surrogate with its ratio clipped. Per step."""
    ratio = (log_probs - old_log_probs.detach()).exp()
    clipped = ratio.clamp(1 - clip, 1 + clip)
    return -torch.minimum(ratio * advantages, clipped * advantages)


CLIP = 0.2
rho = torch.linspace(0.4, 1.6, 241)
fig, axes = plt.subplots(1, 2, figsize=(8.5, 3.6), sharex=True)
for ax, A, title in ((axes[0], 1.0, "Â > 0: do it more often …"), (axes[1], -1.0, "Â < 0: do it less often …")):
    objective = -my_clip_loss(rho.log(), torch.zeros_like(rho), torch.full_like(rho, A), CLIP)
    flat = rho > 1 + CLIP if A > 0 else rho < 1 - CLIP
    ax.plot(rho, A * rho, color="C2", linestyle="--", linewidth=1.5, label="ρ Â")
    ax.plot(rho, objective, color="C0", label="clipped")
    ax.plot(rho[flat], objective[flat], color="C1", linewidth=5, solid_capstyle="butt", label="flat: no gradient")
    ax.plot(1, A, "o", color="black")
    ax.axvspan(1 - CLIP, 1 + CLIP, color="black", alpha=0.06, linewidth=0)
    ax.set(title=title, xlabel="ratio ρ (grey: within ε = 0.2 of 1)", ylabel="what the step contributes")
    ax.annotate("start", (1, A), xytext=(7, -14 if A > 0 else 5), textcoords="offset points", fontsize=9)
axes[0].legend(fontsize=9, loc="upper left")
show(fig, alt="The clipped surrogate of one step against its ratio. For a positive advantage it rises with the ratio "
              "up to 1.2 and is flat beyond. For a negative one it is flat below 0.8 and falls with the ratio above "
              "that. Everywhere else it is the unclipped line.")

# %% [markdown]
# Climb uphill in both pictures, from the dot. On the left, uphill is to the right: the good action gets likelier, until
# it is 20 % likelier than it was; there the ground is flat, and this step has no more to say. On the right, uphill is
# to the left, until the bad action is 20 % rarer.
#
# Now look at the two ends that are *not* flat. A good action that has become rare (left end of the left picture) still
# pulls back with full force, and so does a bad one that has become likely. Steps of other states drag it there, since
# all share their weights. This is what the `min` is for: a clip alone would be flat on those sides too, and what had
# gone wrong would stay wrong. **It cuts the reward for going further, never the way back.**
#
# Is ours `rlcore`'s, in value and in gradient, on all sides?

# %% tags=["nbval-check-output"]
from rlcore.losses import ppo_clip_loss

now = torch.randn(1000, dtype=torch.float64, requires_grad=True)  # log-probs: ratios from about 0.05 to 20
before, A = torch.zeros(1000, dtype=torch.float64), torch.randn(1000, dtype=torch.float64)
mine, theirs = my_clip_loss(now, before, A, CLIP), ppo_clip_loss(now, before, A, CLIP)
slope, their_slope = (torch.autograd.grad(loss.sum(), now)[0] for loss in (mine, theirs))
assert torch.equal(mine, theirs) and torch.equal(slope, their_slope)
cut = ((now.exp() > 1 + CLIP) & (A > 0)) | ((now.exp() < 1 - CLIP) & (A < 0))
assert torch.equal(slope == 0, cut)
print("the same loss, the same gradient, and 0 on the flat parts only")

# %% [markdown]
# First in the corridor, where nothing is random. Each round: compute visits and advantages where you stand, go to the
# *maximum* of the surrogate, and do it again. No step size, no small steps: to the top.

# %%
def clipped_at(p, old, clip):
    """The clipped surrogate of many p at once, `[N]`, every expectation exact."""
    J, A, visits = at(old)
    ratio = np.stack([(1 - p) / (1 - old), p / old], -1)[:, None, :]  # [N, 1, 2]
    gain = np.minimum(ratio * A, ratio.clip(1 - clip, 1 + clip) * A)  # [N, 3, 2]
    return J + (visits[:, None] * [1 - old, old] * gain).sum((1, 2))


ROUNDS, fine = 14, np.linspace(0.01, 0.99, 981)
CLIPS = {"surrogate alone": [1e9] * ROUNDS, "clipped, ε = 0.2": [CLIP] * ROUNDS,
         "clipped, ε falls to 0": [CLIP * (1 - i / ROUNDS) for i in range(ROUNDS)]}
paths = {name: [OLD] for name in CLIPS}
for name, path in paths.items():
    for clip in CLIPS[name]:
        path.append(fine[clipped_at(fine, path[-1], clip).argmax()])

fig, axes = plt.subplots(1, 2, figsize=(8.5, 3.6))
axes[0].plot(grid, J, color="C0", label="true return")
axes[0].plot(grid, promised, color="C1", linestyle="--", linewidth=1.5, label="surrogate at p = 0.2")
axes[0].plot(grid, clipped_at(grid, OLD, CLIP), color="C2", label="clipped surrogate")
axes[0].plot(OLD, at(OLD)[0], "o", color="black")
axes[0].set(title="Clipped, it comes down again", xlabel="p: how likely the policy goes right", ylabel="return",
            ylim=(-60, 10))
axes[0].legend(fontsize=9, loc="lower center")
for (name, path), colour, style in zip(paths.items(), ("C1", "C2", "C3"), ("--", "-", "-"), strict=True):
    axes[1].plot(path, color=colour, linestyle=style, label=name)
axes[1].axhline(2 - 2**0.5, color="black", linewidth=1, linestyle=":")
axes[1].annotate("the best p", (0, 2 - 2**0.5), xytext=(0, 4), textcoords="offset points", fontsize=9)
axes[1].set(title="To the top of each, again and again", xlabel="round", ylabel="p", ylim=(-0.05, 1.45),
            xticks=range(0, ROUNDS + 1, 2))
axes[1].legend(fontsize=9, loc="upper left")
show(fig, alt="Left: the true return over p, the straight surrogate made at 0.2, and the clipped surrogate, which "
              "leaves the line soon and falls. Right: p round by round. " + "; ".join(
    f"{name} goes from {path[0]} to {path[1]:.2f} in the first round and is at {path[-1]:.2f} after {ROUNDS}"
    for name, path in paths.items()))

# %% [markdown]
# The surrogate alone jumps to one end of the world, from there to the other, and never looks at what lies between. The
# clipped one climbs in steps that stay in sight of where it stood. It has no step size: *the objective itself says
# where to stop*, which is what makes many steps on one batch safe.
#
# Near the top it overshoots by its 20 % and comes back, again and again, until ε is made smaller. So PPO lets ε fall in
# a straight line over the training, together with the learning rate. And on CartPole?

# %%
def clipped(log_probs, old_log_probs, advantages):
    """PPO's loss."""
    return ppo_clip_loss(log_probs, old_log_probs, advantages, CLIP)


squeezed["ratio, clipped"] = np.array([squeeze(clipped, *student) for student in STUDENTS])
draw_squeezed({"plain gradient": "C1", "ratio": "C2", "ratio, clipped": "C0"})
before = squeezed["plain gradient"][:, 1, 0]
for name, runs in squeezed.items():
    gains = runs[:, 1, -1] - before
    print(f"{name:15} what 100 steps on one batch gained: " + ", ".join(f"{gain:+.0f}" for gain in gains))

# %% [markdown]
# The clipped one does not win the lottery. It takes a modest gain and *stops*. You can leave the room, and that is
# what a batch has to offer if it is to be used many times, batch after batch. (On average the lottery may pay as well.
# But a training is a chain of batches, and one that drops to 10 has to be earned back by a policy that falls over at
# once. The clipped lines wobble too; none of them is lost.)
#
# > **Change this number and run again.** `CLIP = 0.2`, in the cell with the pictures of the clip: try 0.05 and 0.8.
# > (And say first what 0 would do.)

# %% [markdown]
# ## The ratios, before, during and after
#
# Let us watch the clip at work. This is what PPO does with one batch: ten **epochs**, each a walk through all its
# steps in random order, in four minibatches of 256, with one step of Adam for each. Forty steps in all; every step of
# the world teaches ten times. Here are the ratios of its steps (1024, less the few on which a cart was only put back)
# before it, after the first epoch, and at the end; the outermost bars hold everything beyond.

# %%
from rlcore.trajectory import Batch
from rlcore.update import policy_update

NO_CLIP = (1.0, 1e9)  # ratios from 0 to a thousand million: nothing is ever cut
acted, t, advantages = STUDENTS[0]
batch = Batch(t.states, t.actions, t.log_probs, advantages, t.mask).as_steps()  # [N, 1]: every step a row of its own


def ratios_after(epochs, clip):
    """The ratios of all steps of the batch after so many epochs, `[N]`."""
    policy = copy.deepcopy(acted)
    optimizer = torch.optim.Adam(policy.parameters(), lr=2e-3, eps=1e-5)
    if epochs:
        policy_update(policy, batch, optimizer, clip=clip, epochs=epochs, minibatch_size=256, max_grad_norm=0.5,
                      generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        log_probs, _ = policy.evaluate_actions(batch.states, batch.actions, batch.mask)
    return (log_probs - batch.log_probs).exp()[:, 0]


EPOCHS = (0, 1, 10)
ratios = {name: [ratios_after(n, clip) for n in EPOCHS] for name, clip in (("clipped", CLIP), ("not clipped", NO_CLIP))}
fig, axes = plt.subplots(1, 3, figsize=(9.5, 3.4), sharex=True, sharey=True)
bins = np.geomspace(1 / 8, 8, 50)
for i, (ax, when) in enumerate(zip(axes, ("before", "after 1 epoch", "after 10 epochs"), strict=True)):
    for name, colour in (("not clipped", "C1"), ("clipped", "C0")):
        ax.hist(ratios[name][i].clamp(1 / 8, 8), bins=bins, color=colour, alpha=0.6, label=name)
    ax.axvspan(1 - CLIP, 1 + CLIP, color="black", alpha=0.1, linewidth=0)
    ax.set(title=when, xlabel="ratio (grey: 0.8 to 1.2)", xscale="log",
           yscale="log")
    ax.set_xticks([0.125, 0.5, 1, 2, 8], ["⅛", "½", "1", "2", "8"])
    ax.minorticks_off()
axes[0].set_ylabel(f"steps (of {len(batch)})")
axes[2].legend(fontsize=9, loc="upper right")


def outside(r):
    """Share of ratios further than ε from 1, in %."""
    return 100 * ((r - 1).abs() > CLIP).float().mean().item()


show(fig, alt="Histograms of the ratio on logarithmic axes. Before: all exactly 1. " + " ".join(
    f"{name.capitalize()}: after 1 epoch {outside(r[1]):.0f} % are further than 0.2 from 1, after 10 epochs "
    f"{outside(r[2]):.0f} %, from {r[2].min():.2f} to {r[2].max():.1f}." for name, r in ratios.items()))
for name, r in ratios.items():
    print(f"{name:12} further than ε from 1 after 0, 1 and 10 epochs: " +
          ", ".join(f"{outside(x):.0f} %" for x in r) + f"; largest ratio at the end: {r[2].max():.1f}")

# %% [markdown]
# *Before*: one bar. If you ever see anything else before the first step, stop, there is a bug (see the pitfall below).
# *After*: the clipped heap stays narrow, the other one grows tails.
#
# And the clipped heap is not *inside* the grey. The clip is no wall: it stops pushing a step whose ratio has left, but
# the steps that are still inside go on pushing the weights that all of them share. That is why PPO reports
# `clip_ratio`, the share of steps whose gradient was cut. Near 0, you could learn more from each batch; above a half,
# most of the work was for nothing.

# %% [markdown]
# ## PPO
#
# That is all there is to it. This is what changes in chapter 08's `learn`, from the files:

# %%
show_diff(ActorCritic.learn, PPO.learn)

# %% [markdown]
# (It climbs chapter 08's ladder of six rungs, too, on five seeds; that is among the tests.)
#
# Advantages are estimated *once*, before the first step, with the critic as it was, and so are the critic's targets.
# `whiten` gives them mean 0 and standard deviation 1 (and, if you ask for it, once more in each minibatch, as some
# libraries do). `as_steps` takes the rows apart, so that a minibatch can mix steps of all carts and all times. And the
# log-probs that go into the batch are those of the policy that *acted*, written down while it acted.
#
# Now all of it, on the cart.

# %%
started = time.process_time()
solver = PPO(*carts(), PPOConfig(), seed=0)
many = lived(solver, batches=98)
seconds = time.process_time() - started

fig, ax = plt.subplots()
for (steps, means), name, colour in ((many, "PPO: 40 steps up the gradient per batch", "C0"),
                                     (once, "actor–critic: one", "C1")):
    ax.plot(steps, means, color=colour, label=name)
ax.axhline(475, color="black", linestyle="--", linewidth=1)
ax.annotate("475: solved", (0, 475), xytext=(0, 4), textcoords="offset points", fontsize=9)
ax.set(title="CartPole, one run of each", xlabel="steps of the world", ylabel="mean of the last 20 training returns",
       ylim=(-10, 530))
ax.legend(fontsize=9, loc="center left")
show(fig, alt=f"The mean of the last 20 training returns over the steps of the world. PPO reaches {many[1][-1]:.0f} "
              f"after {many[0][-1]:,} steps; the actor–critic has {once[1][-1]:.0f} after {once[0][-1]:,}.")
print(f"PPO: {many[1][-1]:.0f} after {many[0][-1]:,} steps and {seconds:.1f} CPU seconds")

# %%
watch(solver.policy, gym.make("CartPole-v1", render_mode="rgb_array"), seed=1, greedy=True, width=260,
      alt="The cart, by the most likely action of each state")

# %% [markdown]
# Chapter 06's DQN needed a memory and a second network to get here. What PPO has in place of the memory is 32 carts at
# once, each somewhere else in its own story; in place of the target network, the old policy, which stands still for
# ten epochs.

# %% [markdown]
# ## The details that matter
#
# PPO has a reputation: the paper fits on a few pages, and implementations differ in dozens of small ways, some of
# which are said to matter more than the clip (Engstrom and others, 2020; Huang and others counted 37). So let us
# switch them off, one at a time. Five seeds each, 50,176 steps of CartPole, over which the learning rate and ε fall to
# 0, everything else as above (`benchmarks/ppo_details.py` has the recipe; all that happens here is drawing). First the
# two that this page is about.

# %%
sweep = json.loads((Path(rlcore.__file__).parents[1] / "benchmarks/results/ppo_details.json").read_text())


def curves(world, part):
    """Steps of the world `[K]`, and the mean of the last 20 returns `[seeds, K]`; NaN before the first episode ends."""
    task = sweep["tasks"][world]
    runs = np.array([[np.nan if x is None else x for x in run["return"]] for run in task["parts"][part]["runs"]])
    return task["num_envs"] * task["num_steps"] * np.arange(1, runs.shape[1] + 1), runs


fig, axes = plt.subplots(1, 2, figsize=(9.5, 4), sharey=True)
SIDES = {"Without the clip, without the ratio": {"whole": "PPO", "no clip": "ratio, no clip",
                                                 "no ratio": "plain gradient, 10 epochs"},
         "By the number of epochs": {"1 epoch": "1", "3 epochs": "3", "whole": "10", "20 epochs": "20"}}
COLOURS = {"whole": "C0", "no clip": "C2", "no ratio": "C1", "1 epoch": "C1", "3 epochs": "C2", "20 epochs": "C4"}
for ax, (title, lines) in zip(axes, SIDES.items(), strict=True):
    for part, name in lines.items():
        steps, runs = curves("CartPole-v1", part)
        ax.plot(steps, np.median(runs, 0), color=COLOURS[part], label=name)
        ax.fill_between(steps, runs.min(0), runs.max(0), color=COLOURS[part], alpha=0.2, linewidth=0)
    ax.set(title=title, xlabel="steps of the world")
    ax.legend(fontsize=9, loc="upper left", title="median, lowest to highest of 5 seeds", title_fontsize=8)
axes[0].set(ylabel="mean of the last 20 training returns", ylim=(-10, 640))
ends = {part: np.median(curves("CartPole-v1", part)[1][:, -1]) for lines in SIDES.values() for part in lines}
show(fig, alt="Training returns over 50,176 steps, five seeds. Median at the end: " + ", ".join(
    f"{part} {value:.0f}" for part, value in ends.items()))

# %% [markdown]
# On the left are no details. *Plain gradient, ten epochs*: the lottery, drawn at every batch. A fine start, then a bad
# ticket, and the policy that it leaves behind has to act for its own repair. It ends *below* the line "1" on the right,
# which reads every batch once: **reading again without a brake is worse than not reading again.** The ratio alone does
# better and is nowhere near.
#
# On the right is what the brake is for. One epoch is the waste that we began with, three are not enough, ten use the
# batch up, and twenty, at twice the cost, buy nothing that five seeds can show.
#
# Now all of them, details included. To have one number for each run, average its curve over the whole training, and
# subtract the whole learner's, seed by seed.

# %%
def verdicts(world):
    """Each part's mean return over the whole training, minus the whole learner's with the same seed: `[seeds]`."""
    score = {part: np.nanmean(curves(world, part)[1], 1) for part in sweep["tasks"][world]["parts"]}  # [seeds] each
    return {part: values - score["whole"] for part, values in score.items() if part != "whole"}


T95 = 2.776  # Student's t for 95 % with 5 seeds: 4 degrees of freedom


def interval(difference):
    """Mean of the seeds, and half of the 95 % interval's width."""
    return difference.mean(), T95 * difference.std(ddof=1) / len(difference) ** 0.5


differences = verdicts("CartPole-v1")
order = sorted(differences, key=lambda part: differences[part].mean())
fig, ax = plt.subplots(figsize=(8, 4.6))
words = []
for i, part in enumerate(order):
    middle, half = interval(differences[part])
    clear = abs(middle) > half
    words.append(f"{part} {middle:+.0f} ± {half:.0f}" + ("" if clear else " (inconclusive)"))
    ax.errorbar(middle, i, xerr=half, color="C1" if clear else "0.45", fmt="D", markersize=6, capsize=4)
    ax.plot(differences[part], np.full(len(differences[part]), i + 0.22), "o", color="black", markersize=3, alpha=0.5)
ax.axvline(0, color="C0")
ax.annotate("PPO, whole", (0, len(order) - 0.4), xytext=(4, 0), textcoords="offset points", color="C0", fontsize=9)
ax.set_yticks(range(len(order)), order)
ax.set(title="One detail changed: what it costs on CartPole", ylim=(-0.6, len(order)),
       xlabel="difference of the mean training return\n(diamond: mean and 95 % interval; dots: 5 seeds)")
show(fig, alt="Difference to the whole learner in the return averaged over the training, mean and 95 % interval of "
              "five seeds: " + "; ".join(words))
print("\n".join(words))

# %% [markdown]
# Two heaps. Orange, on the left, is what this page was about: the ratio, its clip, and the number of epochs; and one
# detail has joined them, the normalised advantages. Grey is everything else, and every grey interval contains 0.
# (Twelve intervals of 95 % have about one chance in two that at least one misses by luck alone. The normalised
# advantages, the orange one nearest to 0, are the one to repeat with more seeds.) **On CartPole, with this budget and
# these seeds, we cannot show that a falling learning rate, a falling clip, orthogonal initialisation, the weight of
# the value loss, gradient clipping or an entropy bonus does anything**, good or bad. That is not the same as "they do
# nothing": the width of an interval says how large an effect could hide in it.
#
# For two of them we could have known. Actor and critic are two networks here, and Adam divides each gradient by its
# own usual size: multiply the critic's loss by 2, and the 2 cancels. Gradient clipping multiplies too, by a factor that
# varies, and most of that cancels as well. Where the two share their weights, neither argument holds.
#
# And why do normalised advantages matter? Adam forgives the scale, so our suspect is the *shift*. A new critic says 0,
# this world pays 1 for every step, so at first nearly every action is praised, and who praises everything says little.
# (That is a suspicion. To try it, subtract the mean and do not divide.)
#
# Whoever swears by one of the grey ones may well be right, in another world; this one has four numbers and two
# actions. (Andrychowicz and others found the initialisation to matter, on simulated robots.) A detail is a hypothesis
# until somebody has switched it off *where you are*, and one curve of one seed has never settled any.

# %% [markdown]
# ## A motor that takes real numbers
#
# Chapter 06 could not have done this one: a pendulum and a motor at its hinge, too weak to lift it straight up. An
# action is the torque, any number between −2 and 2, and there is no maximum to take over all of them. A policy
# gradient does not mind. It asks for a distribution to draw from and a log-probability to differentiate, and the
# normal distribution has both: the network says the mean, and one more learned number the spread.
#
# $$\pi(a \mid s) = \mathcal{N}\bigl(\mu_\theta(s),\, \sigma_\theta^2\bigr)$$
#
# `actor_and_critic` looks at the world and returns a `GaussianPolicy` here. Not one line of PPO changes. Three numbers
# do: γ is 0.9, the learning rate a little higher, and the rewards are divided by ten.

# %%
from gymnasium.wrappers.vector import TransformReward

started = time.process_time()
pendulums = TransformReward(gym.make_vec("Pendulum-v1", num_envs=16), lambda rewards: 0.1 * rewards)
swinger = PPO(*actor_and_critic(pendulums, seed=0), Worlds(pendulums, num_steps=128),
              PPOConfig(steps=30, lr=3e-3, gamma=0.9, lam=0.95), seed=0)
history = list(swinger.steps())
print(f"{type(swinger.policy).__name__}, {swinger.step * 16 * 128:,} steps, {time.process_time() - started:.1f} CPU "
      f"seconds; σ went from 1 to {swinger.policy.log_std.exp().item():.2f}")
with_return = [row["reward"] / 0.1 for row in history if "reward" in row]
print(f"mean return of the first episodes {with_return[0]:.0f}, of the last {with_return[-1]:.0f}")

# %%
watch(swinger.policy, gym.make("Pendulum-v1", render_mode="rgb_array"), seed=3, greedy=True, width=200,
      alt="The pendulum is swung up and held there; each action is the mean of its distribution")

# %% [markdown]
# The reward is −(angle² + a little for speed and torque), so it is 0 upright and at rest and about −16 at worst. Look
# at how it takes a run-up. And why those three numbers? Let us ask the sweep again, five seeds each.

# %%
fig, ax = plt.subplots(figsize=(7.6, 4.2))
NAMES = {"whole": "rewards ÷ 10, γ = 0.9", "rewards as they are": "rewards as they are, γ = 0.9",
         "γ = 0.99": "rewards ÷ 10, γ = 0.99"}


def draw_pendulum(ax, names, title):
    """The sweep's curves: median, lowest to highest."""
    for i, (part, name) in enumerate(names.items()):
        steps, runs = curves("Pendulum-v1", part)
        seen = ~np.isnan(runs).any(0)
        ax.plot(steps[seen], np.median(runs[:, seen], 0), color=f"C{i}", label=name)
        ax.fill_between(steps[seen], runs[:, seen].min(0), runs[:, seen].max(0), color=f"C{i}", alpha=0.2, linewidth=0)
    ax.set(title=title, xlabel="steps of the world", ylim=(-1450, 0))
    ax.legend(fontsize=9, loc="lower right")


draw_pendulum(ax, NAMES, "Pendulum: median, lowest to highest of 5 seeds")
ax.set_ylabel("mean of the last 20 training returns")
pendulum = {name: curves("Pendulum-v1", part)[1] for part, name in NAMES.items()}
show(fig, alt="Training returns on Pendulum, five seeds. Median after half of the training, and at the end: " +
              "; ".join(f"{name}: {np.median(runs[:, 14]):.0f}, {np.median(runs[:, -1]):.0f}"
                        for name, runs in pendulum.items()))

# %% [markdown]
# Both make it slower, and there is a folklore explanation for the first: large rewards make large gradients, and the
# gradient clipping then makes everything small. It sounds right. But Adam forgives a factor, so here is another
# suspect. With rewards of about −6 per step and γ = 0.9, the critic's first task is to sink from 0 to about −60, since
# 1/(1 − γ) is 10. Adam takes steps of a fixed size however large the loss is, so that takes its time, and until it is
# there, much of every advantage is the critic's own error. Dividing the rewards by ten divides the way by ten.
#
# And γ? With 1/(1 − γ) = 100 and rewards divided by ten, the way is again 60. Could it be the same thing? Both suspects
# can be tried: take the gradient clipping away; or leave everything as it is, and set *one number* in the new critic,
# the bias of its last layer, to −60.

# %%
fig, axes = plt.subplots(1, 2, figsize=(9.5, 3.8), sharey=True)
draw_pendulum(axes[0], {"rewards as they are": "rewards as they are",
                        "rewards as they are, no gradient clipping": "… no gradient clipping",
                        "rewards as they are, critic starts at −60": "… critic starts at −60"}, "γ = 0.9")
draw_pendulum(axes[1], {"γ = 0.99": "rewards ÷ 10", "γ = 0.99, critic starts at −60": "… critic starts at −60"},
              "γ = 0.99")
axes[0].set_ylabel("mean of the last 20 training returns")
words = []
for part, difference in verdicts("Pendulum-v1").items():
    middle, half = interval(difference)
    words.append(f"{part}: {middle:+.0f} ± {half:.0f}" + ("" if abs(middle) > half else " (inconclusive)"))
show(fig, alt="Training returns on Pendulum, five seeds, with and without a critic that starts at the right level. "
              "Differences of the mean training return to the settings above, with 95 % intervals: " + "; ".join(words))
print("difference to 'rewards ÷ 10, γ = 0.9', mean over the training:", *words, sep="\n  ")

# %% [markdown]
# The folklore is wrong here: without the clipping nothing gets faster. The one number does it. On the left, a critic
# that starts at the right level closes the gap to "rewards ÷ 10", as far as five seeds can tell. On the right it
# closes a good part of it, and what is left we put down to γ itself. At γ = 0.99 the critic has to foresee a hundred
# steps, five seconds, of which the torque of this moment decides little, and GAE adds up the surprises of about 1/(1 −
# γλ) = 17 of them; γ = 0.9 asks about the next half second, and about 7.
#
# So "scale your rewards" is good advice, and its reason is not the gradient's size: **the critic has to arrive before
# the actor can learn**, and a scale, a γ or a first bias can make its way shorter.

# %% [markdown]
# ## Where it breaks: a ratio that lies
#
# > **Pitfall, from real life, in two directions.** *The ratio is always 1.* In 2018 a user of Tensorforce printed it
# > and found [just that](https://github.com/tensorforce/tensorforce/issues/312): the log-probs of the "old" policy were
# > computed anew at every step, from the policy that was being trained. Nothing crashes and the loss looks fine, only
# > the clip never has anything to cut. You have seen what is left of PPO then: it is the line "plain gradient, 10
# > epochs" in the sweep. *The ratio is not 1 at the start.* In 2022 users of trlX found it off
# > [before the first step](https://github.com/CarperAI/trlx/issues/107): sampling and scoring had handed the model
# > different attention masks. In the early days of TRL it was [dropout](https://github.com/huggingface/trl/issues/4).
# > Then every batch is off-policy before it begins, and the clip cuts what nobody has pushed.
#
# Both are caught by the same two lines, which belong into every PPO you will ever write: the ratio is 1 before the
# first step, and it is not 1 after the last. Let us plant one of the second kind, in the pendulum. The motor takes
# torques up to 2, the normal distribution knows no limits, so somebody has to cut the action off. Where? For the world
# only. Whoever stores the *cut* action has stored one that the policy did not choose:

# %%
bold = copy.deepcopy(swinger.policy)
bold.log_std.data.fill_(0.0)  # σ = 1, as at the beginning
t = collect(bold, pendulums, num_steps=64, seed=0)


def off_by(actions):
    """How far the ratio is from 1 before anybody has learned anything: the largest |log ρ|."""
    log_probs, _ = bold.evaluate_actions(t.states, actions, t.mask)
    return (log_probs - t.log_probs).abs().max().item()


right, wrong = off_by(t.actions), off_by(t.actions.clamp(-2, 2))
assert right < 1e-4 < 0.1 < wrong
print("what was chosen is stored: the ratio is 1, to rounding")
print(f"what the motor got is stored: some ratio is off by a factor of {np.exp(min(wrong, 30)):,.1f}, before any step")

# %% [markdown]
# ## The same lines on GPT-2
#
# Here is where it goes. Below is the call that you have been looking at, `policy_update`, twice, read from the
# library's files: from the agent that balanced the cart, and from the one that will teach GPT-2 to add, in chapter 16.

# %%
def call_in(file):
    """The arguments with which an agent calls `policy_update`, as written in its file: {name: value}."""
    tree = ast.parse((Path(rlcore.__file__).parent / "agents" / file).read_text(encoding="utf-8"))
    call = next(node for node in ast.walk(tree) if isinstance(node, ast.Call)
                and getattr(node.func, "id", "") == "policy_update")
    given = dict(zip(("policy", "batch", "optimizer"), call.args, strict=True))
    given |= {keyword.arg: keyword.value for keyword in call.keywords}
    return {name: ast.unparse(value) for name, value in given.items()}


cart_call, text_call = call_in("ppo.py"), call_in("grpo.py")
print(f"{'policy_update(':26}{'PPO, a cart':26}GRPO, a language model")
for name in cart_call | text_call:
    left, right = cart_call.get(name, "·"), text_call.get(name, "·")
    print(f"    {name:22}{left:26}{right if len(right) < 45 else right[:42] + '…'}")
print(f"\n{len(cart_call.keys() & text_call.keys())} arguments in common")

# %% [markdown]
# One function. Two of the differences you can already explain. The critic (`value`) is missing on the right, because
# GRPO compares several answers to the same question instead. And there is a KL term: a second neighbourhood to stay
# in, around the model that pretraining left us, and not only around the policy of a moment ago. (`micro_batch_size`
# saves memory; `ratio`, `reduce` and `skip_zero_advantages` are questions that only texts of unequal length raise:
# chapters 16 and 17.) (One difference hides in the two batches. The cart's was taken apart by `as_steps`. A text stays
# one row, since its tokens must be together for the model to read them.)
#
# The loss in the middle is the same `ppo_clip_loss`. A token is an action, a text so far is a state, and the ratio is
# how much likelier the new model would write that token.

# %% [markdown]
# ## Check yourself
#
# <details><summary>Advantage +2, ε = 0.2, and the ratio of this step is 1.5. Which way does its gradient push, and how
# hard? And at a ratio of 0.5?</summary>
#
# At 1.5 not at all: the action has been made 50 % likelier already, the ground is flat. At 0.5 upwards, with
# ρ Â ∇log π = 0.5 · 2 · ∇log π: it is a good action that has become rare.
# </details>
#
# <details><summary>What does PPO do with one epoch and one minibatch?</summary>
#
# One step, at a ratio of 1, where nothing is clipped. With `normalize=False` that is actor–critic, to the last digit
# (`tests/rlcore/test_ppo.py` says so to 1e-12); otherwise actor–critic with whitened advantages. The clip earns its
# keep from the second step on.
# </details>
#
# <details><summary>Your <code>clip_ratio</code> is 0.0 in every batch. Name a harmless reason and a bad
# one.</summary>
#
# Harmless: so few epochs, or so small a learning rate, that no ratio gets that far; then you could learn more from each
# batch. Bad: the old log-probs are computed with the new policy, so the ratio is always 1. Print the ratio after the
# last epoch.
# </details>
#
# <details><summary>Why may the critic be trained for ten epochs on the same batch, without any clip?</summary>
#
# Its targets are numbers that do not move: it is plain regression. Worse than overfitting to 1024 targets cannot
# happen to it. (Some implementations clip it too. We do not; the study by Andrychowicz and others found that it
# hurts.)
# </details>
#
# <details><summary>Does a clip of ε = 0.2 guarantee that no action gets more than 20 % likelier in one batch?</summary>
#
# No. It takes away the *reward* for going further. Momentum, and other steps that share the weights, can carry a ratio
# beyond; the histogram shows them.
# </details>
#
# <details><summary>Somebody reports that PPO beats TRPO, with PPO's learning rate falling, its advantages whitened and
# its network orthogonally initialised, and TRPO without. What did they measure?</summary>
#
# The details, perhaps. Engstrom and others gave TRPO the same ones, and most of PPO's lead was gone.
# </details>

# %% [markdown]
# ## You can now …
#
# … say what a surrogate is and why it must not be trusted far from home; use each step of experience ten times; read a
# ratio histogram; and switch a detail off before you believe in it. Your vocabulary has grown by
#
# ```python
# ppo_clip_loss(log_probs, old_log_probs, advantages, clip)    # [B, T] three times -> [B, T]
# ```
#
# and this is the last new loss for a policy until chapter 15: RLHF and GRPO feed it with text. Now the exercises:
# `rlcourse lab 9` opens them. You will compute ratios of real-valued actions, say whose gradient is cut, write the clip
# with two bounds, deal out minibatches, and put a whole update together.
#
# **Further reading**
#
# - J. Schulman, F. Wolski, P. Dhariwal, A. Radford and O. Klimov, *Proximal Policy Optimization Algorithms*, 2017,
#   [arXiv:1707.06347](https://arxiv.org/abs/1707.06347): short, and figure 1 is our picture of the clip.
# - J. Schulman, S. Levine, P. Moritz, M. Jordan and P. Abbeel, *Trust Region Policy Optimization*, ICML 2015,
#   [arXiv:1502.05477](https://arxiv.org/abs/1502.05477); and S. Kakade and J. Langford, *Approximately Optimal
#   Approximate Reinforcement Learning*, ICML 2002: where the surrogate comes from, and how far it can be trusted.
# - L. Engstrom and others, *Implementation Matters in Deep Policy Gradients: A Case Study on PPO and TRPO*, ICLR 2020,
#   [arXiv:2005.12729](https://arxiv.org/abs/2005.12729): the details against the clip.
# - M. Andrychowicz and others, *What Matters for On-Policy Deep Actor-Critic Methods? A Large-Scale Study*, ICLR 2021
#   ([arXiv:2006.05990](https://arxiv.org/abs/2006.05990), under another title): our sweep, with 250,000 agents.
# - S. Huang, R. Dossa, A. Raffin, A. Kanervisto and W. Wang, *The 37 Implementation Details of Proximal Policy
#   Optimization*, ICLR Blog Track 2022,
#   [iclr-blog-track.github.io](https://iclr-blog-track.github.io/2022/03/25/ppo-implementation-details/): the list,
#   with code, and the advice to check that the ratio begins at 1.
