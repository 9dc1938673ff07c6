# %% [markdown]
# # 08 · Actor–critic and GAE
#
# REINFORCE waits until the episode is over, adds up what was paid, and tells every action of the episode: *that was
# you*. In a long episode nearly everything it says is about somebody else.
#
# When you have worked through this page you can replace the return by a **critic**, who says at once how a single
# step went; slide between the two with one number, λ, and say from measurements what the number costs; and, when a
# learner does not learn, find out in seconds which of its lines is broken, instead of staring at a learning curve.
#
# *About 80 minutes, difficulty 3 of 5. You need chapter 07 (REINFORCE with a baseline), and from chapter 04 the TD
# error and the λ-return. It helps to remember that chapter 03 solved small worlds exactly.*

# %%
from dataclasses import replace

import gymnasium as gym
import matplotlib.pyplot as plt
import numpy as np
import torch

from rlcore.agents.dynamic_programming import action_values, advantages, exact_values
from rlcore.animation import watch
from rlcore.envs.grid_worlds import corner_grid
from rlcore.envs.table_vector_env import TabularVectorEnv
from rlcore.plotting import animate, band, house_style, show
from rlcore.policies import TabularPolicy
from rlcore.rollout import collect

torch.set_num_threads(1)
torch.manual_seed(0)
house_style()

# %% [markdown]
# ## Whose fault was it?
#
# A dark room of 4 × 4 squares, with an exit in two of its corners. Every step costs 1. Somebody is in there and tosses
# a four-sided die.

# %%
room = gym.make("CornerGrid-v0", render_mode="rgb_array")
die = TabularPolicy(num_states=16, num_actions=4)  # a new table prefers nothing
animate(room, die, seed=11, alt="A walker in a room of 4 by 4 squares moves at random until it finds an exit")

# %% [markdown]
# Chapter 03 can solve such a room exactly (an exercise there did), so for once we know everything: V(s), how many
# steps are still to come (with a minus, and no discount: γ = 1), and the **advantage** A(s, a) = Q(s, a) − V(s), how
# many steps an action saves or costs compared with what the die usually does. Here is that walk, step by step. In
# blue, what REINFORCE tells each action, even with the true V as its baseline: Gₜ − V(sₜ), *what came of it, less
# what was to be expected*. In orange, the truth.

# %%
mdp, ANY = corner_grid(), np.full((16, 4), 0.25)  # the rules of the room, and the die as a table
V_true = torch.tensor(exact_values(mdp, ANY, gamma=1.0))  # [16]
A_true = torch.tensor(advantages(ANY, action_values(mdp, V_true.numpy(), gamma=1.0)))  # [16, 4]

walk = collect(die, room, seed=11, generator=torch.Generator().manual_seed(11))  # the walk of the film
G = walk.rewards.flip(0).cumsum(0).flip(0).double()  # [T]  the return: minus the steps that were still to come
blame = G - V_true[walk.states]  # [T]
truth = A_true[walk.states, walk.actions]  # [T]

fig, ax = plt.subplots(figsize=(8, 3.6))
step = np.arange(len(walk.actions))
ax.bar(step - 0.2, blame, width=0.4, color="C0", label="what REINFORCE says: Gₜ − V(sₜ)")
ax.bar(step + 0.2, truth, width=0.4, color="C1", label="the truth: A(sₜ, aₜ)")
ax.axhline(0, color="black", linewidth=1)
ax.set(title="Was this step a good one?", xlabel="step of the walk", ylabel="steps saved (+) or lost (−)")
ax.legend(fontsize=9)
wrong = int(((blame > 0) != (truth > 0))[truth.abs() > 1e-9].sum())
show(fig, alt=f"For each of {len(step)} steps of one walk: the return less the value, which stays on one side for many "
              f"steps in a row and reaches {blame.abs().max():.0f}, and the true advantage, at most "
              f"{truth.abs().max():.1f}. They disagree about the sign at {wrong} steps.")
print(f"REINFORCE has the sign wrong at {wrong} of the {int((truth.abs() > 1e-9).sum())} steps that mattered")

# %% [markdown]
# The blue bars tell the story of the *walk*: was it lucky, as a whole, from here on? The step itself is in there too,
# somewhere, under the luck of all steps that followed. Averaged over thousands of walks the luck cancels, and that is
# the only reason why REINFORCE works.
#
# ## One step is enough, if you know what a state is worth
#
# The walker goes from a square that is worth −18 to one that is worth −14, and pays 1 for it. Do you have to see the
# end of the walk to know that this was a good step? You do not: 4 gained, 1 paid. It is chapter 04's TD error,
#
# $$\delta_t = r_t + \gamma\, V(s_{t+1}) - V(s_t)$$
#
# and it has a meaning that was of no use there. Average it over all that can follow (s, a):
#
# $$\mathbb{E}[\delta_t \mid s, a] = \underbrace{\mathbb{E}[r_t + \gamma V(s_{t+1}) \mid s, a]}_{Q(s, a)} - V(s)
# = A(s, a)$$
#
# **With the true V, the TD error is the advantage**, up to the dice of the world. This room has no dice of its own:
# an action leads where it leads. So here the two should be *equal*, on every single step.

# %% tags=["nbval-check-output"]
from rlcore.returns import gae, n_step_returns, td_errors

rewards, values, next_values = walk.rewards.double(), V_true[walk.states], V_true[walk.next_states]
delta = td_errors(rewards, values, next_values, walk.terminated, gamma=1.0)
torch.testing.assert_close(delta, truth)
print("one step, one TD error, and it is the advantage")

# %% [markdown]
# So we would like to have V. Nobody will give it to us, but chapter 04 learned it from the same δ: move V(s) a little
# by δ. That makes two learners who live on one number. The **actor**, the policy, makes an action likelier if δ was
# positive. The **critic**, V, corrects its opinion by δ. The actor needs the critic in order to know what was good;
# the critic watches the actor, whose values it has to learn, and who keeps changing.
#
# REINFORCE with a learned baseline also had a V. The difference is what V is *used* for: there it was subtracted,
# which changes the noise and nothing else. Here it also stands for the future, in place of all that really followed.
# That is **bootstrapping**, and from now on the critic's errors get into the actor's lessons. How much of that you
# want is a choice, and there is a number for it.

# %% [markdown]
# ## From one step to all of them: GAE
#
# You need not trust the critic after *one* step. See n rewards first, then trust it: that is the n-step return of
# chapter 04, and less V(sₜ) it is an n-step advantage. There we saw that in such a sum the Vs between cancel, and
# only TD errors are left:
#
# $$\hat A^{(n)}_t = r_t + \gamma r_{t+1} + \dots + \gamma^{n-1} r_{t+n-1} + \gamma^n V(s_{t+n}) - V(s_t)
# = \delta_t + \gamma\,\delta_{t+1} + \dots + \gamma^{n-1}\delta_{t+n-1}$$
#
# Which n? Do not choose, average: n = 1 gets the weight 1 − λ, and each further n a factor λ less. Now ask how much
# of δₜ₊ₖ, the surprise k steps ahead, ends up in the average. It stands in every Â⁽ⁿ⁾ with n > k, and their weights
# add up to (1 − λ)(λᵏ + λᵏ⁺¹ + …) = λᵏ. So
#
# $$\hat A_t = (1-\lambda)\sum_{n \ge 1} \lambda^{n-1} \hat A^{(n)}_t
# = \delta_t + \gamma\lambda\,\delta_{t+1} + (\gamma\lambda)^2\,\delta_{t+2} + \dots
# \qquad\Longrightarrow\qquad \hat A_t = \delta_t + \gamma\lambda\,\hat A_{t+1}$$
#
# **Generalised advantage estimation**, GAE. An action answers for the surprise of its own step in full, and for later
# surprises by a factor γλ less per step.

# %%
ahead, gamma = np.arange(60), 0.99
fig, ax = plt.subplots()
for lam in (0.0, 0.8, 0.95, 1.0):
    ax.plot(ahead, (gamma * lam) ** ahead, label=f"λ = {lam:<4g}  adds up to {1 / (1 - gamma * lam):.0f} steps")
ax.set(title="For how much of a later surprise does an action answer? (γ = 0.99)", xlabel="steps between the two",
       ylabel="(γλ) to the number of steps", ylim=(-0.05, 1.05))
ax.legend(fontsize=9)
show(fig, alt="The weight of a TD error in an earlier action's advantage against the steps between: at lambda 0 only "
              f"the own step counts; at 0.95 a surprise 20 steps later counts {(gamma * 0.95) ** 20:.2f}; at 1 only "
              f"gamma makes it fade, to {gamma**20:.2f}.")

# %% [markdown]
# The walk from the end to the beginning is the one of chapter 01, with one more question to ask at each step. There
# are *two* ways to stop, and they stop different things. `terminated`: the world has ended, so V of the next state is
# not added. `done`, for either reason: the next step in the row belongs to another episode, so its Â is not added.

# %%
def my_gae(rewards, values, next_values, terminated, done, gamma, lam):
    """Advantages, walking backwards: `[B, T]`."""
    deltas = rewards + gamma * next_values * ~terminated - values  # [B, T]  after a termination there is no future
    advantages, later = torch.zeros_like(deltas), torch.zeros(len(deltas), dtype=deltas.dtype)
    for t in reversed(range(deltas.shape[1])):
        later = torch.where(done[:, t], 0.0, later)  # what follows is another episode
        later = deltas[:, t] + gamma * lam * later
        advantages[:, t] = later
    return advantages


# %% [markdown]
# Four claims were made on the way: it is the library's `gae`; it is the weighted average of all n-step advantages; at
# λ = 0 it is the TD error; and at λ = 1 it is the return minus V. Here are 100 walks and a critic that has no idea
# (random numbers for V: identities must not depend on V being good).

# %% tags=["nbval-check-output"]
from rlcore.returns import discounted_returns

walks = collect(die, TabularVectorEnv(mdp, 100), seed=0, generator=torch.Generator().manual_seed(0))  # [100, T]
V = 10 * torch.randn(16, dtype=torch.float64)
rewards, values, next_values = walks.rewards.double(), V[walks.states], V[walks.next_states]
ends, mask, T = (walks.terminated, walks.done), walks.mask, walks.rewards.shape[1]


def same(a, b):
    torch.testing.assert_close(a[mask], b[mask])


for lam in (0.0, 0.5, 0.95, 1.0):
    ours = my_gae(rewards, values, next_values, *ends, 0.9, lam)
    same(ours, gae(rewards, values, next_values, *ends, 0.9, lam))
    n_step = [n_step_returns(rewards, next_values, *ends, 0.9, n) - values for n in range(1, T + 1)]
    average = sum((1 - lam) * lam ** (n - 1) * A for n, A in enumerate(n_step, 1)) + lam**T * n_step[-1]
    same(ours, average)
same(my_gae(rewards, values, next_values, *ends, 0.9, 0.0), td_errors(rewards, values, next_values, ends[0], 0.9))
same(my_gae(rewards, values, next_values, *ends, 0.9, 1.0), discounted_returns(rewards, walks.done, 0.9) - values)
print("rlcore's gae; the average of all n-step advantages; λ = 0 the TD error; λ = 1 return minus value")

# %% [markdown]
# ## The whole learner
#
# Everything else is what you had. The actor's loss is REINFORCE's, with Â in place of G − b. The critic's loss is the
# squared distance to a better-informed guess: Â + V, which is chapter 04's λ-return. One step for both.

# %%
from rlcore.learner import Learner
from rlcore.losses import masked_mean, policy_gradient_loss, value_loss
from rlcore.values import predict


class MyActorCritic(Learner):
    """Select: sample from the policy. Update: one step for the actor and the critic."""

    sign = 1.0  # leave it alone until further down

    def learn(self, trajectory):
        config, t = self.config, self.seen(trajectory)
        values, next_values = predict(self.value, t)  # [B, T] each, without a gradient
        advantages = my_gae(t.rewards, values, next_values, t.terminated, t.done, config.gamma, config.lam)
        log_probs, _ = self.policy.evaluate_actions(t.states, t.actions, t.mask)  # [B, T]
        actor = masked_mean(policy_gradient_loss(log_probs, self.sign * advantages), t.mask)
        critic = masked_mean(value_loss(self.value(t.states), advantages + values), t.mask)
        self.optimizer.zero_grad()
        (actor + config.value_coef * critic).backward()
        weights = [w for group in self.optimizer.param_groups for w in group["params"]]
        torch.nn.utils.clip_grad_norm_(weights, config.max_grad_norm)  # no step is longer than this
        self.optimizer.step()
        return {}

    def seen(self, trajectory):
        return trajectory


# %% [markdown]
# The loop stands outside, in `Learner`: let the policy act for a while in a row of worlds, hand the trajectory to
# `learn`, again. (`Worlds` is where trajectories come from; with `num_steps` it gives so many steps of each world and
# goes on where it stopped, in the middle of an episode if need be. REINFORCE could not use that, since it had to see
# the end.) Do our learner and the library's do the same, batch after batch?

# %% tags=["nbval-check-output"]
from rlcore.agents.actor_critic import ActorCritic, ActorCriticConfig
from rlcore.networks import actor_and_critic
from rlcore.worlds import Worlds

learned = []
for Agent in (MyActorCritic, ActorCritic):
    carts = gym.make_vec("CartPole-v1", num_envs=4)
    policy, critic = actor_and_critic(carts, seed=0)
    list(Agent(policy, critic, Worlds(carts, num_steps=32), ActorCriticConfig(steps=5), seed=0).steps())
    learned.append([*policy.parameters(), *critic.parameters()])
torch.testing.assert_close(*learned, rtol=1e-3, atol=1e-5)
print("the same weights, after five batches from four carts")

# %% [markdown]
# ## What changed since REINFORCE
#
# This is made from the two files as they are today.

# %%
from rlcore.agents.reinforce import REINFORCE, REINFORCEConfig
from rlcourse.diff import show_diff

show_diff(REINFORCE.learn, ActorCritic.learn)

# %% [markdown]
# Returns and baseline out, `predict` and `gae` in. `reduce=per_episode` goes because there are no whole episodes any
# more whose sums could be averaged: every step counts the same. The rest stands line by line as it was, which is why
# a language model can be trained by this, too (chapter 14): nothing here knows what a cart is.

# %% [markdown]
# ## Carts, five of each
#
# Eight carts, and the same networks from the same seeds. REINFORCE with a learned baseline takes a step when all
# eight have fallen. The actor–critic takes one every 32 steps of each, wherever they are. (Discount and learning rate
# are, for each of the two, the best of a handful that were tried.)

# %%
LIMIT, EVERY = 40_000, 1000  # steps of the worlds, and how often we look


def contestant(name, seed):
    carts = gym.make_vec("CartPole-v1", num_envs=8)
    policy, value = actor_and_critic(carts, seed=seed)
    if name == "REINFORCE":
        config = REINFORCEConfig(lr=1e-2, final_lr=1.0, gamma=0.99, baseline="value")
        return REINFORCE(policy, value, Worlds(carts), config, seed)
    config = ActorCriticConfig(steps=LIMIT // (8 * 32), lr=1e-2, gamma=0.98, lam=0.95)
    return ActorCritic(policy, value, Worlds(carts, num_steps=32), config, seed)


def race(agent):
    """The mean return of the episodes that ended, over the steps of the worlds, `[LIMIT / EVERY]`; and the history."""
    history, seen = [], 0
    for metrics in agent.steps():
        history.append(metrics)
        seen += metrics["num_steps"]
        if seen >= LIMIT:
            break
    steps = np.cumsum([row["num_steps"] for row in history])
    ended = np.array(["reward" in row for row in history])
    returns = [row["reward"] for row in history if "reward" in row]
    return np.interp(np.arange(EVERY, LIMIT + 1, EVERY), steps[ended], returns), history


agents = {name: [contestant(name, seed) for seed in range(5)] for name in ("REINFORCE", "actor–critic")}
runs = {name: [race(agent) for agent in five] for name, five in agents.items()}
curves = {name: np.array([curve for curve, _ in five]) for name, five in runs.items()}  # [5, 40]

# %%
at = np.arange(EVERY, LIMIT + 1, EVERY)
fig, axes = plt.subplots(1, 2, figsize=(9.5, 3.8), sharey=True)
for ax, (name, lines), colour in zip(axes, curves.items(), ("C0", "C1"), strict=True):
    ax.plot(at / 1000, lines.T, color=colour, alpha=0.4, linewidth=1)
    ax.plot(at / 1000, np.median(lines, 0), color=colour, linewidth=3, label="median of 5 seeds (thin: each)")
    ax.axhline(500, color="black", linestyle="--", linewidth=1)
    ax.set(title=name, xlabel="thousand steps of the worlds", ylim=(0, 590))
    ax.legend(fontsize=9, loc="upper left")
axes[0].set_ylabel("return while learning\n(500: never fell)")
show(fig, alt="Return on CartPole, five seeds each. Medians after 10,000, 20,000 and 40,000 steps: " + "; ".join(
    f"{name} " + ", ".join(f"{np.median(lines[:, k // EVERY - 1]):.0f}" for k in (10_000, 20_000, 40_000))
    for name, lines in curves.items()))
for name, lines in curves.items():
    first = [f"{x[0]:,}" if len(x := at[line >= 450]) else "never" for line in lines]
    updates = int(np.median([len(history) for _, history in runs[name]]))
    print(f"{name:13} {updates:3} updates;  first at 450 after {', '.join(first)};  at the end "
          f"{lines[:, -1].round().astype(int)}")

# %% [markdown]
# An honest result, and not the one that a textbook would draw: on this world nobody wins outright. REINFORCE climbs
# steadily, except for a run that falls off. The actor–critic jumps: most of its runs touch the top sooner, some drop
# and come back, in the end most stand at 500, and one got stuck. A cart is paid at every step and falls soon after a
# mistake, so its returns say as much as returns can, and waiting for them costs little. The actor's first lessons,
# meanwhile, come from a critic that knows nothing yet and learns from its own guesses.
#
# So why do we want this? First, because most worlds are not like that: in a long episode, or a long text, the return
# is mostly somebody else's luck, as in the dark room. Second, because one can learn without waiting for an end, or
# where there is none. Third, because much of what went wrong here has a name, and can be measured and mended. Two of
# those names are next: the critic's *bias*, and how much of it λ lets through. The third, steps that are too long, is
# chapter 09.

# %%
seed = int(curves["actor–critic"][:, -1].argmax())
cart = gym.make("CartPole-v1", render_mode="rgb_array", max_episode_steps=200)
watch(agents["actor–critic"][seed].policy, cart, seed=1, greedy=True, width=300,
      alt="A cart that an actor–critic has trained")

# %% [markdown]
# ## What λ costs, measured against the truth
#
# Back into the dark room, where the truth is known. We want to know what an actor in the middle of its training gets
# to hear from a critic in the middle of *its* training. So train both, as tables, for 20 small batches, and freeze
# them. Five seeds, five frozen pairs.

# %%
from rlcore.values import TabularValue

BATCHES, GAMMA = 20, 1.0  # from here on without a discount


def half_trained(seed):
    """An actor π `[16, 4]` and its critic V `[16]`, stopped in the middle."""
    policy, value = TabularPolicy(16, 4), TabularValue(16)
    config = ActorCriticConfig(steps=BATCHES, lr=0.1, final_lr=1.0, gamma=GAMMA, lam=0.95, max_grad_norm=10.0)
    list(ActorCritic(policy, value, Worlds(TabularVectorEnv(mdp, 16), num_steps=8), config, seed).steps())
    probs = policy.logits.detach().double().softmax(-1).numpy()
    return probs, value.values.detach().double().numpy()


pairs = [half_trained(seed) for seed in range(5)]
fig, axes = plt.subplots(1, 2, figsize=(7, 3.4))
pi, V = pairs[0]
V_pi = exact_values(mdp, pi, GAMMA)
for ax, table, title in ((axes[0], V, "what the critic believes"), (axes[1], V_pi, "what is true")):
    ax.imshow(table.reshape(4, 4), vmin=V_pi.min(), vmax=0, cmap="viridis")
    for s in range(16):
        ax.text(s % 4, s // 4, "exit" if s in (0, 15) else f"{table[s]:.1f}", ha="center", va="center",
                color="white" if table[s] < V_pi.min() / 2 else "black")
    ax.set(title=title, xticks=[], yticks=[])
    ax.grid(visible=False)
fig.suptitle("V of each square after a little training, seed 0")
show(fig, alt="Two 4 by 4 grids: the half-trained critic's values, from "
              f"{V[1:15].min():.1f} to {V[1:15].max():.1f}, and the true values of the same policy, from "
              f"{V_pi[1:15].min():.1f} to {V_pi[1:15].max():.1f}.")

# %% [markdown]
# The critic has understood that being in the room costs something, and far from everything yet. Let it give lessons
# all the same. For one square, the average of what it would tell each of the four actions, at λ = 0 and λ = 1, beside
# the truth.
#
# (The average can be computed without a single walk. GAE is a return that is made of δ and discounted by γλ, so
# chapter 03's equations give its mean, if we pay δ as the reward.)

# %%
def mean_gae(pi, V, lam):
    """E[Â | s, a] of this actor and this critic, exactly: `[16, 4]`."""
    future = np.where(mdp.terminated, 0.0, V[mdp.next_states])  # [16, 4, K]
    pays_delta = replace(mdp, outcome_rewards=mdp.outcome_rewards + GAMMA * future - V[:, None, None])
    return action_values(pays_delta, exact_values(pays_delta, pi, GAMMA * lam), GAMMA * lam)


square = 1  # right of the exit in the upper left corner
A = advantages(pi, action_values(mdp, V_pi, GAMMA))
bars = {"truth": A[square], "λ = 0": mean_gae(pi, V, 0.0)[square], "λ = 1": mean_gae(pi, V, 1.0)[square]}
fig, ax = plt.subplots()
for i, ((name, height), colour) in enumerate(zip(bars.items(), ("black", "C0", "C1"), strict=True)):
    ax.bar(np.arange(4) + 0.25 * (i - 1), height, width=0.23, color=colour, label=name)
ax.axhline(0, color="black", linewidth=1)
ax.set_xticks(range(4), ["up (wall)", "right", "down", "left (the exit)"])
ax.set(title="What the actor hears about the four actions, on average", ylabel="advantage (steps)")
ax.legend(fontsize=9, ncols=3)
show(fig, alt="Mean estimated advantages of up, right, down and left in the square beside the exit. " + ". ".join(
    f"{name}: " + ", ".join(f"{x:.1f}" for x in height) for name, height in bars.items()))

# %% [markdown]
# Now that is odd. λ = 1 is the one that was called unbiased, and none of its four bars is right: all of them are too
# low. But look again: *by the same amount*. At λ = 1 the estimate is G − V(s). G is honest, V(s) is wrong, and it is
# equally wrong for all four actions, because it does not know which one was taken.
#
# And what is the same for all actions of a state, an actor cannot hear: that was chapter 07's lemma about baselines. So
# "is Â close to A?" is the wrong question. Ask: *does it get the differences between the actions right?* At λ = 1 the
# steps from bar to bar are exactly the true ones. At λ = 0 they are much too small, for this critic believes that the
# rest of the room is hardly worse than the square beside the exit.
#
# So split the error in two. **Bias**: what is wrong with the differences, however many walks you average. **Noise**:
# all the rest. That is the dice, and also the shared shift, which pushes now this action and now that one; the pushes
# cancel, but each of them makes a step.

# %%
LAMS = np.array([0.0, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 1.0])


def bias_and_noise(pi, V, seed, walks=1000):
    """For each λ: the squared bias of an advantage, and its mean squared noise, `[λ, 2]`; each visit counts once."""
    A = advantages(pi, action_values(mdp, exact_values(mdp, pi, GAMMA), GAMMA))
    actor, dice = TabularPolicy.from_probabilities(pi), torch.Generator().manual_seed(seed)
    t = collect(actor, TabularVectorEnv(mdp, walks), seed=seed, generator=dice)
    here = t.states[t.mask].numpy(), t.actions[t.mask].numpy()  # [N] each: where we were, and what was done
    critic, parts = torch.as_tensor(V), []
    for lam in LAMS:
        estimates = gae(t.rewards.double(), critic[t.states], critic[t.next_states], t.terminated, t.done, GAMMA, lam)
        mean = mean_gae(pi, V, lam)
        shared = (pi * mean).sum(1, keepdims=True)  # what all actions of a state hear alike; in A it is 0
        bias = ((mean - shared - A)[here] ** 2).mean()
        parts.append((bias, ((estimates[t.mask].numpy() - A[here]) ** 2).mean() - bias))
    return np.array(parts)


parts = np.array([bias_and_noise(pi, V, seed) for seed, (pi, V) in enumerate(pairs)])  # [5, λ, 2]
bias, noise = parts[..., 0], parts[..., 1]

# %%
x = np.arange(len(LAMS))
fig, axes = plt.subplots(1, 2, figsize=(10, 4))
for name, runs in (("bias²", bias), ("noise", noise)):
    band(axes[0], x, runs, name, kind="range")
axes[0].annotate("bias² is 0 at λ = 1: off the scale", (0, 5e-3), xytext=(4, 6), textcoords="offset points", ha="left",
                 fontsize=9, color="C0")
axes[0].set(title="One estimate: bias² and noise")
best = {}
for n, colour in ((1, "C2"), (16, "C3"), (256, "C4")):
    total = bias + noise / n  # [5, λ]: independent noise shrinks by n, bias does not
    low = int(np.median(total, 0).argmin())
    best[n] = LAMS[low]
    band(axes[1], x, total, f"{n} estimate{'s' * (n > 1)}", kind="range", color=colour)
    axes[1].plot(low, np.median(total, 0)[low], "o", markersize=9, color=colour)
axes[1].set(title="Mean of n: bias² + noise/n (dot: lowest)")
for ax in axes:
    ax.set(xlabel="λ", yscale="log", ylim=(5e-3, 400))
    ax.set_xticks(x, [f"{lam:g}" for lam in LAMS])
    ax.legend(fontsize=8, loc="upper left")
axes[0].set_ylabel("squared error (steps²)")
middle = np.median(bias, 0), np.median(noise, 0)
show(fig, alt=f"Five half-trained critics. From lambda 0 to 1 the squared bias falls from {middle[0][0]:.1f} to 0, the "
              f"noise grows from {middle[1][0]:.1f} to {middle[1][-1]:.0f}. Their sum is lowest at lambda " + ", ".join(
                  f"{lam:g} for the mean of {n}" for n, lam in best.items()))
for i in (0, 4, 6, 8):
    print(f"λ = {LAMS[i]:<4g}  bias² {middle[0][i]:6.3f} (of five: {bias[:, i].min():.3f} to {bias[:, i].max():.3f})"
          f"   noise {middle[1][i]:6.2f} ({noise[:, i].min():.2f} to {noise[:, i].max():.2f})")
print("lowest sum: " + ",  ".join(f"n = {n} at λ = {lam:g}" for n, lam in best.items()))

# %% [markdown]
# There is the trade of chapter 04 again, and this time between actions. To somebody with a single estimate, the noise
# of a long look costs more than all of the critic's mistakes. But an actor averages: over the visits in a batch, and
# over all the small steps that it takes. Noise shrinks by that, bias stays. **The more you average, the larger the λ
# you can afford**; and the worse the critic, the larger the λ you need. The 0.95 that you meet everywhere is not a
# constant of nature. It is a good place for large batches and young critics.
#
# > **Change this number and run again.** `BATCHES`, three cells up: 5 is a critic that knows next to nothing, 100 one
# > that has nearly caught up. Say first where the dots will go, and what happens to the left end of the bias curve.

# %% [markdown]
# ## Where it breaks: a world that we stop watching
#
# A world with one state, one action, and a reward of 1 at every step, for ever. Its value is
#
# $$V = 1 + \gamma + \gamma^2 + \dots = \frac{1}{1-\gamma}$$
#
# which is 10 at γ = 0.9. It never terminates. We watch it for ten steps at a time, and then it is `truncated`, as
# carts are after 500 steps and language models at their length limit.
#
# Now let somebody confuse the two flags. What should *their* V become? Nine steps of ten have the target 1 + γV, and
# the tenth, "after which there is nothing", has the target 1. On average that is 1 + 0.9·γV, so at λ = 0 they will
# arrive at 1/(1 − 0.9γ). And REINFORCE, which knows no V that could stand for the future, takes what was paid until
# we looked away: (1 − γᵏ)/(1 − γ) with k steps to go. Three answers, computed beforehand; five seeds each.

# %%
from rlcore.envs.probes import PROBES

gamma = 0.9
lines = {"right": 1 / (1 - gamma), "truncation taken for termination": 1 / (1 - 0.9 * gamma),
         "REINFORCE": np.mean([(1 - gamma**k) / (1 - gamma) for k in range(1, 11)])}
assert lines["right"] == PROBES["Probe6-v0"].value(gamma)


class Confused(ActorCritic):
    """Thinks that an episode that is over is a world that has ended."""

    def learn(self, trajectory):
        nowhere = torch.zeros_like(trajectory.done)
        return super().learn(replace(trajectory, terminated=trajectory.done, truncated=nowhere))


def belief(name, seed):
    """V of the only state, batch after batch."""
    worlds = gym.make_vec("Probe6-v0", num_envs=4, vectorization_mode="sync")
    policy, value = actor_and_critic(worlds, hidden=(32,), seed=seed)
    if name == "REINFORCE":
        config = REINFORCEConfig(steps=100, lr=4e-2, gamma=gamma, baseline="value", max_grad_norm=10.0)
        agent = REINFORCE(policy, value, Worlds(worlds), config, seed)
    else:
        config = ActorCriticConfig(steps=100, lr=4e-2, gamma=gamma, lam=0.0, max_grad_norm=10.0)
        Agent = ActorCritic if name == "right" else Confused
        agent = Agent(policy, value, Worlds(worlds, num_steps=11), config, seed)  # ten steps and a reset
    return [value(torch.zeros(1)).item() for _ in agent.steps()]


beliefs = {name: np.array([belief(name, seed) for seed in range(5)]) for name in lines}

# %%
fig, ax = plt.subplots(figsize=(7.6, 4))
for (name, runs), colour in zip(beliefs.items(), ("C0", "C1", "C2"), strict=True):
    band(ax, np.arange(1, 101), runs, name, kind="range", color=colour)
    ax.axhline(lines[name], color=colour, linestyle="--", linewidth=1)
    ax.annotate(f"{lines[name]:.2f}", (100, lines[name]), xytext=(2, 3), textcoords="offset points", color=colour,
                fontsize=9)
ax.set(title="What is a reward of 1 for ever worth? (γ = 0.9; dashed: computed beforehand)", xlabel="batches",
       ylabel="V", ylim=(-0.3, 16.5))
ax.legend(fontsize=9, loc="upper right")
show(fig, alt="V over 100 batches, five seeds each, with dashed lines at the computed answers. " + "; ".join(
    f"{name}: ends at {np.median(runs[:, -1]):.2f}, computed {lines[name]:.2f}" for name, runs in beliefs.items()))
for name, runs in beliefs.items():
    print(f"{name:33} computed {lines[name]:5.2f}   learned {np.median(runs[:, -1]):5.2f} "
          f"({runs[:, -1].min():.2f} to {runs[:, -1].max():.2f})")

# %% [markdown]
# The confused learner is not noisy, and it has not failed to converge. It has converged, beautifully, to the answer
# of a world that ends every tenth step. Its loss is small and its curve is smooth; nothing will ever tell you, unless
# you know what the answer should be.
#
# > **Pitfall, from real life.** Until late in 2021 Stable-Baselines3's A2C and PPO looked at `done` alone: a time
# > limit was an end like any other ([#633](https://github.com/DLR-RM/stable-baselines3/issues/633); the workaround
# > was to show the learner the clock; mended by [#658](https://github.com/DLR-RM/stable-baselines3/pull/658)).
# > Whether it matters was argued elsewhere, too, until somebody reported in [cleanrl
# > #198](https://github.com/vwxyzjn/cleanrl/issues/198) that their agent learned well with one library and got stuck
# > with the other. After much head-scratching they switched the handling of time limits *off* in the first: it got
# > stuck at the same place. With bootstrapping at truncation added, the second one learned as well as the first.
#
# ## Debugging with worlds whose answer you know
#
# Keep that method, because it goes far beyond time limits. A learner that fails on CartPole tells you nothing: with a
# hundred things that can be wrong, the curve looks the same for all of them. A learner that fails in a world with one
# state and one action has hardly anything left that *could* be wrong.
#
# So here is a ladder of six such worlds, **probe environments**. Each asks for one thing more than the one before,
# and each has a known answer.

# %%
for probe in PROBES.values():
    print(f"{probe.id}  {probe.asks}")

# %% [markdown]
# `climb` trains new networks on each rung, a second or less per rung, and compares V and the policy with the answer.
# We use γ = 0.8, at which the answers of right and wrong learners lie well apart.

# %%
from rlcore.probing import climb

SETTINGS = ActorCriticConfig(steps=70, lr=3e-2, gamma=0.8, lam=0.95, max_grad_norm=10.0)


def learner(Agent, **settings):
    """How `climb` wants it: a function that trains policy and value in place."""
    def train(policy, value, world, seed):
        list(Agent(policy, value, world, replace(SETTINGS, **settings), seed).steps())
    return train


healthy = climb(learner(MyActorCritic), gamma=0.8, seed=0)
for report in healthy.values():
    print(report)

# %% [markdown]
# Now break it. Each of these is a mistake that is easily made in one line, and none of them raises an error.

# %%
class WrongSign(MyActorCritic):
    sign = -1.0  # "the loss is what we maximise, isn't it?"


class IdleCritic(MyActorCritic):
    def make_optimizer(self):  # ... = Adam(policy.parameters())
        return torch.optim.Adam(self.policy.parameters(), lr=self.config.lr)


def sees(change):
    """A learner whose trajectory got changed on the way."""
    return type("Sees", (MyActorCritic,), {"seen": lambda self, trajectory: change(trajectory)})


def never(t):
    return torch.zeros_like(t.done)


BUGS = {
    "critic not in the optimiser": learner(IdleCritic),
    "states lost on the way": learner(sees(lambda t: replace(t, states=0 * t.states, next_states=0 * t.next_states))),
    "rewards one step late": learner(sees(lambda t: replace(t, rewards=t.rewards.roll(1, -1)))),
    "discount forgotten": learner(MyActorCritic, gamma=1.0),
    "no end ever seen": learner(sees(lambda t: replace(t, terminated=never(t), truncated=never(t)))),
    "learns from resets": learner(sees(lambda t: replace(t, mask=torch.ones_like(t.mask)))),
    "wrong sign": learner(WrongSign),
    "actions of another world": learner(sees(lambda t: replace(t, actions=t.actions.roll(1, 0)))),
    "truncation is termination": learner(sees(lambda t: replace(t, terminated=t.done, truncated=never(t)))),
}
reports = {"none": healthy} | {name: climb(train, gamma=0.8, seed=0) for name, train in BUGS.items()}

# %%
def cell(report):
    """What to write into the table: a tick, or what is wrong with it."""
    if report.passed:
        return "✓"
    if not report.policy_passed:
        return f"π(best)\n{report.best.min():.2f}"
    worst = (report.values - report.answers).abs().argmax()
    value = report.values[worst].item()
    return f"V {value:.2f}\nnot {report.answers[worst]:.2f}" if abs(value) < 100 else f"V {value:.0g}"


passed = np.array([[report.passed for report in rungs.values()] for rungs in reports.values()])
fig, ax = plt.subplots(figsize=(8.5, 5.6))
ax.imshow(passed, cmap=plt.matplotlib.colors.ListedColormap(["#ffd9b3", "#e8eef4"]), aspect="auto", vmin=0, vmax=1)
for i, rungs in enumerate(reports.values()):
    first = int(np.argmin(passed[i])) if not passed[i].all() else None
    for j, report in enumerate(rungs.values()):
        ax.text(j, i, cell(report), ha="center", va="center", fontsize=9, weight="bold" if j == first else "normal")
RUNGS = ("constant\nreward", "reward by\nstate", "reward\nlater", "reward by\naction", "by state\nand action",
         "for ever,\ncut off")
ax.set_xticks(range(6), [f"{j + 1}\n{what}" for j, what in enumerate(RUNGS)], fontsize=9)
ax.set_yticks(range(len(reports)), reports, fontsize=10)
ax.xaxis.tick_top()
fig.suptitle("Planted bugs and rungs, one run each. Bold: the first rung missed", fontsize=12)
ax.grid(visible=False)
ax.spines[:].set_visible(False)
show(fig, alt="A table of planted bugs and rungs. First rung missed: " + ", ".join(
    f"{name} {'none' if row.all() else int(np.argmin(row)) + 1}" for name, row in zip(reports, passed, strict=True)))

# %% [markdown]
# Read a row from the left, and stop at the first orange cell: that is where to look, and what stands in it says how
# it is wrong. A forgotten discount says 1 where the discounted reward should be. A wrong sign learns all values
# perfectly and then takes the worse action, always. (Later cells of a row are often only consequences.)
#
# And look at what the early rungs do *not* see. A learner that takes truncation for termination is flawless on five
# rungs of six. A learner that learns from resets (chapter 01's step that never happened) passes the first, and even
# the fourth. Each rung is there because some bug passes all before it. (For rung 5 you will meet one in the exercises.)
#
# > **Plant one yourself.** Write a line into `BUGS` (another change of the trajectory, or other settings), guess its
# > row, and run. Two that are instructive: `lam=0.0` together with "truncation is termination", where you can compute
# > the digits; and `replace(t, log_probs=0 * t.log_probs)`, which no rung will notice. Why not? (Under *Check
# > yourself*.)

# %% [markdown]
# ## Check yourself
#
# <details><summary>The critic is perfect. Which λ would you take? And the critic says 0 everywhere?</summary>
#
# Perfect: λ = 0. There is no bias left, and one TD error has the least noise. All zero: λ = 1, and even then you have
# just REINFORCE without a baseline. At λ = 0, δ would be the next reward: a dog that sees one step far.
# </details>
#
# <details><summary>λ = 1 gives G − V(s). So does REINFORCE with a learned baseline. Is an actor–critic with λ = 1 the
# same thing?</summary>
#
# On whole episodes that terminate: yes, up to the reduction (mean over steps instead of over episodes), and a test of
# this library says so. On pieces of episodes no: at the end of the piece the critic still has to stand for the rest,
# whatever λ is.
# </details>
#
# <details><summary>In <code>learn</code>, the critic's target Â + V contains V. Why is there no gradient through
# it?</summary>
#
# It is data: what the critic should have said. With a gradient through it, the critic could also lower its loss by
# pulling the *target* to itself, for example by making the next state look worse. `predict` computes without a
# gradient for that reason, and `value_loss` detaches once more.
# </details>
#
# <details><summary>Why does no rung notice wrong <code>log_probs</code> in the trajectory?</summary>
#
# Because this learner does not use them: it recomputes the log-probs with a gradient. Each batch is used once, by the
# policy that made it. Chapter 09 uses a batch several times, needs the ratio between the two, and that bug becomes
# visible.
# </details>
#
# <details><summary>A text is paid 1 at its last token, and 0 before. What is δ in the middle of the text, and who
# learns something there?</summary>
#
# r = 0, so δ = V(sₜ₊₁) − V(sₜ) (at γ = 1): how much more promising the text looks with the new token. If the critic
# is good, each token is told about itself. If it says the same everywhere, δ is 0 in the middle, and only λ near 1
# carries the reward back. Chapter 14 lives on this, and chapter 16 asks whether it is worth the trouble.
# </details>
#
# <details><summary>Your learner passes all six rungs and fails on CartPole. What do you know?</summary>
#
# That signs, indices, ends and discounts are right, as far as worlds of one or two steps can tell. Left are things
# that only show in larger worlds: step sizes, network sizes, exploration, too little data. Tuning is worth your time
# *now*, and not before.
# </details>

# %% [markdown]
# ## You can now …
#
# … tell a step how good it was before the episode is over; say what λ buys and what it costs, and why "close to A" is
# not what an actor needs; keep two kinds of end apart, with numbers; and walk a broken learner up a ladder until it
# falls off. The function that this chapter added to your vocabulary (you met it in chapter 04, now it works for a
# living):
#
# ```python
# gae(rewards, values, next_values, terminated, done, gamma, lam)    # [..., T] -> [..., T]
# ```
#
# What is still missing is a brake. You have seen actors fall from the top: one step that was too long, and the policy
# that collects the next batch is a bad one. Chapter 09 puts it in, and calls the result PPO.
#
# Now the exercises: `rlcourse lab 8` opens them, or open `work/08_actor_critic.ipynb`. The last one gives you sealed
# learners, each with a bug in it.
#
# **Further reading**
#
# - J. Schulman, P. Moritz, S. Levine, M. I. Jordan and P. Abbeel, *High-Dimensional Continuous Control Using
#   Generalized Advantage Estimation*, ICLR 2016, [arXiv:1506.02438](https://arxiv.org/abs/1506.02438): GAE, and in its
#   section 3 what exactly is unbiased at λ = 1 ("γ-just").
# - V. Mnih and others, *Asynchronous Methods for Deep Reinforcement Learning*, ICML 2016,
#   [arXiv:1602.01783](https://arxiv.org/abs/1602.01783): A3C, of which ours is the synchronous form, A2C.
# - A. G. Barto, R. S. Sutton and C. W. Anderson, *Neuronlike Adaptive Elements That Can Solve Difficult Learning
#   Control Problems*, IEEE Transactions on Systems, Man, and Cybernetics 13(5), 1983: actor, critic, and the cart.
# - R. S. Sutton and A. G. Barto, *Reinforcement Learning: An Introduction*, 2nd edition, MIT Press 2018, section 13.5.
# - F. Pardo, A. Tavakoli, V. Levdik and P. Kormushev, *Time Limits in Reinforcement Learning*, ICML 2018,
#   [arXiv:1712.00378](https://arxiv.org/abs/1712.00378): truncation is not termination, on real tasks.
# - A. L. Jones, *Debugging RL, Without the Agonizing Pain*, 2021,
#   [andyljones.com](https://andyljones.com/posts/rl-debugging.html): where the first five rungs are from, and much
#   else that saves weeks.
