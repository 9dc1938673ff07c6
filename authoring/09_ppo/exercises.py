# %% [markdown]
# # 09 · PPO: exercises
#
# From one ratio to a whole update, in five pieces. Each is a place where real implementations went wrong, and the
# checks know how. In a terminal, `rlcourse hint 09.1` gives one hint at a time.

# %%
import copy

import gymnasium as gym
import matplotlib.pyplot as plt
import torch

from rlcore.agents.ppo import PPO, PPOConfig
from rlcore.networks import actor_and_critic
from rlcore.plotting import house_style, show
from rlcore.returns import gae, whiten
from rlcore.trajectory import Batch
from rlcore.values import predict
from rlcore.worlds import Worlds
from rlcourse import check

torch.set_num_threads(1)
torch.manual_seed(0)
house_style()

# %% [markdown]
# ## 09.1 The ratio of an action that is a vector
#
# A robot's policy says, for each of N states, the mean and the standard deviation of k motors, `means` and `stds`
# `[N, k]`, each motor drawn from a normal distribution of its own. `actions` `[N, k]` is what was done, and
# `old_log_probs` `[N]` is the log-density of each action *as a whole*, under the policy that did it.
#
# Return the ratio ρ of each action, `[N]`. (`torch.distributions.Normal(mean, std).log_prob(x)` is at your service.)

# %% exercise="09.1"
def ratio(means, stds, actions, old_log_probs):
    """How much likelier each action is under the new policy, `[N]`."""
    ### BEGIN SOLUTION
    log_probs = torch.distributions.Normal(means, stds).log_prob(actions).sum(-1)  # [N]
    return (log_probs - old_log_probs).exp()
    ### END SOLUTION


# %%
check("09.1", ratio)

# %% [markdown]
# ## 09.2 Whose gradient is cut?
#
# The clip makes the ground flat for some steps. Return a bool tensor `[N]`: True where a step's gradient is 0 *because
# its ratio has gone too far*. A step with advantage 0 has no gradient either, but that is not the clip's doing: False.
#
# Two conditions on the ratio, and the sign of the advantage decides which of the two counts.

# %% exercise="09.2"
def is_cut(ratio, advantages, clip):
    """Which steps the clip has silenced, `[N]` bool."""
    ### BEGIN SOLUTION
    too_high = (ratio > 1 + clip) & (advantages > 0)
    too_low = (ratio < 1 - clip) & (advantages < 0)
    return too_high | too_low
    ### END SOLUTION


# %%
check("09.2", is_cut)

# %% [markdown]
# Your function at work: the share of steps that are cut, epoch by epoch, while PPO learns from one batch. It begins at
# 0, since all ratios are 1. Guess first whether it will go on rising.

# %% needs="09.2"
envs = gym.make_vec("CartPole-v1", num_envs=32)
agent = PPO(*actor_and_critic(envs, seed=0), Worlds(envs, num_steps=32), PPOConfig(steps=4), seed=0)
for _ in agent.steps():
    pass
t = agent.world.sample(agent.policy, agent.generator)
advantages = whiten(gae(t.rewards, *predict(agent.value, t), t.terminated, t.done, 0.98, 0.8), t.mask)
policy, shares = copy.deepcopy(agent.policy), []
optimizer = torch.optim.Adam(policy.parameters(), lr=2e-3)
for _ in range(40):
    log_probs = policy(t.states).log_prob(t.actions)
    rho = (log_probs - t.log_probs).exp()
    shares.append(100 * is_cut(rho[t.mask].detach(), advantages[t.mask], 0.2).float().mean())
    loss = -torch.minimum(rho * advantages, rho.clamp(0.8, 1.2) * advantages)[t.mask].mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
fig, ax = plt.subplots()
ax.plot(shares)
ax.set(title="Steps that the clip has silenced", xlabel="gradient steps on one batch", ylabel="% of the batch")
show(fig, alt=f"The share of steps that are cut over 40 gradient steps on one batch: it begins at {shares[0]:.0f} %, "
              f"is at most {max(shares):.0f} % and ends at {shares[-1]:.0f} %.")

# %% [markdown]
# ## 09.3 The clip, with two bounds
#
# Write PPO's loss per step, `[N]`, with a lower and an upper bound that may differ: ratios are clipped to
# `[1 - low, 1 + high]`. (A higher upper bound is one of the ideas of DAPO, which you will meet in chapter 17.)
#
# It is a loss: smaller is better. A gradient flows through `log_probs` only; the other two are data, even if somebody
# hands them over with a gradient.

# %% exercise="09.3"
def clipped_loss(log_probs, old_log_probs, advantages, low, high):
    """PPO's loss per step, `[N]`."""
    ### BEGIN SOLUTION
    advantages = advantages.detach()
    ratio = (log_probs - old_log_probs.detach()).exp()
    clipped = ratio.clamp(1 - low, 1 + high)
    return -torch.minimum(ratio * advantages, clipped * advantages)
    ### END SOLUTION


# %%
check("09.3", clipped_loss)

# %% [markdown]
# ## 09.4 Deal out the minibatches
#
# A batch of `num_steps` steps is to be used for several epochs. Return a list of index tensors (long), one for each
# step of the optimiser. In every epoch each index `0 … num_steps - 1` comes up exactly once, in an order of its own,
# cut into pieces of `size`; the last piece of an epoch may be shorter. All dice are the `generator`'s
# (`torch.randperm(n, generator=generator)`).

# %% exercise="09.4"
def minibatches(num_steps, size, epochs, generator):
    """Which steps to learn from, optimiser step by optimiser step: a list of long tensors."""
    ### BEGIN SOLUTION
    pieces = []
    for _ in range(epochs):
        pieces += torch.randperm(num_steps, generator=generator).split(size)
    return pieces
    ### END SOLUTION


# %%
check("09.4", minibatches)

# %% [markdown]
# ## 09.5 A whole update
#
# Put it together. Improve `policy` and `value` in place, with `epochs` steps of `optimizer` (which holds the weights of
# both), each on the whole `batch`:
#
# $$L = \text{mean}\bigl(L^\text{clip}\bigr) + c \cdot \text{mean}\bigl(\tfrac12 (V(s) - G)^2\bigr)$$
#
# with c = `value_coef`. Before each step of the optimiser limit the norm of the gradient, *over all weights of both
# networks together*, to `max_grad_norm` (`torch.nn.utils.clip_grad_norm_(weights, limit)`).
#
# The batch is a `Batch`: `states`, `actions`, `log_probs` of the policy that acted, `advantages` (ready to use),
# `returns`, each `[N, 1]`, with a `mask` that is True everywhere. `policy(batch.states).log_prob(batch.actions)` gives
# the new log-probs, `value(batch.states)` the values. Losses of your own, or `rlcore.losses`: as you like.

# %% exercise="09.5"
def update(policy, value, optimizer, batch, clip, epochs, value_coef, max_grad_norm):
    """Several steps on one batch, for the policy and its critic; returns nothing."""
    ### BEGIN SOLUTION
    weights = [*policy.parameters(), *value.parameters()]
    for _ in range(epochs):
        log_probs = policy(batch.states).log_prob(batch.actions)  # [N, 1]
        ratio = (log_probs - batch.log_probs).exp()
        gain = torch.minimum(ratio * batch.advantages, ratio.clamp(1 - clip, 1 + clip) * batch.advantages)
        surprise = 0.5 * (value(batch.states) - batch.returns).square()
        loss = -gain.mean() + value_coef * surprise.mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, max_grad_norm)
        optimizer.step()
    ### END SOLUTION


# %%
check("09.5", update)

# %% [markdown]
# And now let it balance a pole: here is PPO, with your update in the middle.

# %% needs="09.5"
policy, value = actor_and_critic(envs, seed=1)
world, dice = Worlds(envs, num_steps=32), torch.Generator().manual_seed(1)
optimizer = torch.optim.Adam([*policy.parameters(), *value.parameters()], lr=3e-3)
returns = []  # of the episodes, in the order in which they ended
for _ in range(30):
    t = world.sample(policy, dice)
    values, next_values = predict(value, t)
    A = gae(t.rewards, values, next_values, t.terminated, t.done, 0.98, 0.8)
    batch = Batch(t.states, t.actions, t.log_probs, whiten(A, t.mask), t.mask, returns=A + values).as_steps()
    update(policy, value, optimizer, batch, clip=0.2, epochs=10, value_coef=0.5, max_grad_norm=0.5)
    returns += world.finished
print(f"{30 * 32 * 32:,} steps of the world: the first 20 episodes returned {sum(returns[:20]) / 20:.0f} on average, "
      f"the last 20 {sum(returns[-20:]) / 20:.0f}")
