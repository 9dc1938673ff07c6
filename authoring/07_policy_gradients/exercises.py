# %% [markdown]
# # 07 · Policy gradients: exercises
#
# Five exercises that add up to a REINFORCE of your own: the score of one choice, the average vote, a baseline that is
# exactly fair, the loss, and the step. At the end it goes into the corridor. Each check says what a wrong answer
# usually is; in a terminal, `rlcourse hint 07.1` gives one hint at a time.

# %%
import gymnasium as gym
import matplotlib.pyplot as plt
import torch

import rlcore.envs  # noqa: F401  (puts our worlds on Gymnasium's list)
from rlcore.plotting import house_style, show
from rlcore.policies import TabularPolicy
from rlcore.returns import discounted_returns
from rlcore.rollout import collect
from rlcourse import check

torch.set_num_threads(1)
torch.manual_seed(0)
house_style()

# %% [markdown]
# ## 07.1 The score
#
# A policy has preferences h, a tensor `[A]`, and π = softmax(h). Return the score of one choice, ∇ log π(action): how
# log π(action) changes with each of the A preferences, as a tensor `[A]`. Do it by hand, without `backward`.
#
# Write log π(a) = h(a) − log Σ exp(h(b)), and differentiate both terms, once with respect to h(a) and once with respect
# to some other h(b). Preferences may be large, in the hundreds: `torch.softmax` knows how to deal with that.

# %% exercise="07.1"
def score(preferences, action):
    """∇ log π(action) with respect to the preferences, `[A]`."""
    ### BEGIN SOLUTION
    gradient = -torch.softmax(preferences, -1)
    gradient[action] += 1
    return gradient
    ### END SOLUTION


# %%
check("07.1", score)

# %% [markdown]
# ## 07.2 The average vote
#
# The same policy, in a world in which action a pays q(a). Return the *expected* push,
#
# $$\sum_a \pi(a)\,\bigl(q(a) - b(a)\bigr)\,\nabla \log \pi(a),$$
#
# a tensor `[A]`: enumerate the actions, nothing is sampled. The baseline is a number, or a tensor `[A]` with another
# number for each action. The second is against the rules, and below you can see what it does.

# %% exercise="07.2"
def expected_push(preferences, q, baseline=0.0):
    """The average vote, `[A]`."""
    ### BEGIN SOLUTION
    pi = torch.softmax(preferences, -1)
    scores = torch.eye(len(pi)) - pi  # [A, A] one score per row
    return ((pi * (q - baseline))[:, None] * scores).sum(0)
    ### END SOLUTION


# %%
check("07.2", expected_push)

# %% needs="07.2"
h, q = torch.tensor([0.5, 0.0, -0.5]), torch.tensor([1.0, 2.0, -1.0])
BASELINES = {"none": 0.0, "10 for all": 10.0, "V": float(h.softmax(-1) @ q),
             "½ for the first": torch.tensor([0.5, 0.0, 0.0]), "half of q": q / 2, "all of q": q}
fig, ax = plt.subplots()
for i, b in enumerate(BASELINES.values()):
    for action, push in enumerate(torch.as_tensor(expected_push(h, q, b)).tolist()):
        ax.bar(i + 0.25 * (action - 1), push, width=0.25, color=f"C{action}",
               label=f"action {action}" if i == 0 else None)
ax.axhline(0, color="black", linewidth=1)
ax.set_xticks(range(len(BASELINES)), BASELINES, fontsize=9)
ax.set(title="Which baselines move the average vote?", xlabel="baseline", ylabel="expected push on the preference")
ax.legend(fontsize=9)
show(fig, alt="Expected pushes on three preferences for six baselines. Numbers that are the same for all actions "
              "change nothing; a baseline for one action turns the vote, half of q halves it, and q leaves nothing.")

# %% [markdown]
# ## 07.3 Leave yourself out
#
# A batch has the returns of B episodes, a tensor `[B]`. The mean of the batch would be a handy baseline, but each
# episode's own return is in it, and that depends on its actions. So compare each episode with the mean of the *others*.
#
# Return `[B]` baselines: for each episode the mean of the other B − 1 returns. One episode has no others: raise a
# `ValueError` that names `returns` and says how many there are.

# %% exercise="07.3"
def mean_of_the_others(returns):
    """For each episode the mean return of all others, `[B]`."""
    ### BEGIN SOLUTION
    if len(returns) < 2:
        raise ValueError(f"returns must hold at least 2 episodes, but holds {len(returns)}")
    return (returns.sum() - returns) / (len(returns) - 1)
    ### END SOLUTION


# %%
check("07.3", mean_of_the_others)

# %% [markdown]
# ## 07.4 The loss
#
# The policy played B episodes, right-padded to T steps. You get, each `[B, T]`, the `log_probs` of what it did, the
# `rewards`, a `mask` that is True where a step really happened, and `values`, what a network thinks of each state.
# Return REINFORCE's loss with reward-to-go and baseline, as one number:
#
# $$L = \frac{1}{B} \sum_{i=1}^{B} \sum_{t} -\,\bigl(G_{it} - V_{it}\bigr)\,\log \pi_{it}$$
#
# The inner sum runs over real steps only; the padding holds anything. The bracket is data: no gradient flows through
# it, also not into the network that made `values`. You may write the returns yourself, or use
# `discounted_returns(rewards, done, gamma)`.

# %% exercise="07.4"
def reinforce_loss(log_probs, rewards, mask, values, gamma):
    """Add up the steps of each episode, and average over the episodes: one number."""
    ### BEGIN SOLUTION
    rewards = rewards.masked_fill(~mask, 0.0)  # then nothing comes back from the padding
    G = discounted_returns(rewards, torch.zeros_like(mask), gamma)  # [B, T]
    step_losses = -(G - values).detach() * log_probs  # [B, T]
    return step_losses.masked_fill(~mask, 0.0).sum() / len(mask)
    ### END SOLUTION


# %%
check("07.4", reinforce_loss)

# %% [markdown]
# ## 07.5 The step
#
# Put it together. `policy(states)` is a distribution; `trajectory` has `.states`, `.actions`, `.rewards` and `.mask`,
# whole episodes `[B, T]`. Compute the loss of 07.4, this time with one baseline for all: the mean return of the batch's
# episodes, from their first steps (γ = 1, and 07.3 would be fairer still). Let `optimizer` make *one* step, and return
# the loss as a float.
#
# You may call your own `reinforce_loss`. Gradients of an earlier step must not count.

# %% exercise="07.5"
def reinforce_step(policy, optimizer, trajectory):
    """One step along the policy gradient; the loss, as a float."""
    ### BEGIN SOLUTION
    rewards, mask = trajectory.rewards, trajectory.mask
    mean_return = rewards.masked_fill(~mask, 0.0).sum(-1).mean()
    log_probs = policy(trajectory.states).log_prob(trajectory.actions)  # [B, T]
    loss = reinforce_loss(log_probs, rewards, mask, torch.full_like(rewards, mean_return), gamma=1.0)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()
    ### END SOLUTION


# %%
check("07.5", reinforce_step)

# %% [markdown]
# Yours, in the corridor where nobody may be sure. It begins by going right once in five times, and the top of the hill
# is at 2 − √2.

# %% needs="07.5"
walker = TabularPolicy.from_probabilities([[0.8, 0.2]])
optimizer = torch.optim.Adam(walker.parameters(), lr=0.05)
corridors, right = gym.make_vec("ShortCorridor-v0", num_envs=16), []
for step in range(60):
    reinforce_step(walker, optimizer, collect(walker, corridors, seed=step))
    right.append(walker(torch.tensor(0)).probs[1].item())
fig, ax = plt.subplots()
ax.plot(right, color="C0")
ax.axhline(2 - 2**0.5, color="black", linestyle="--", linewidth=1)
ax.annotate("2 − √2", (0, 2 - 2**0.5), (0, 4), textcoords="offset points")
ax.set(title="My REINFORCE in the corridor (one run)", xlabel="batches of 16 episodes", ylabel="p (going right)",
       ylim=(0, 1))
show(fig, alt=f"The probability of going right over 60 batches: from 0.2 to {right[-1]:.2f}; the best is 0.586.")
