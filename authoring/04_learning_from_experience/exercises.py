# %% [markdown]
# # 04 · Learning from experience: exercises
#
# Five exercises, from an average to a small argument about what data mean. In each, the world is hidden: all you get
# are episodes. Stuck? In a terminal, `rlcourse hint 04.1` gives one hint at a time.

# %%
import gymnasium as gym
import numpy as np
import torch

from rlcore.envs.random_walks import true_values  # importing it puts the jetty on Gymnasium's list
from rlcore.policies import TabularPolicy
from rlcore.returns import gae
from rlcore.rollout import collect
from rlcourse import check

torch.set_num_threads(1)
torch.manual_seed(0)

# %% [markdown]
# ## 04.1 The average return
#
# `episodes` is a list of pairs `(states, rewards)`: two lists of equal length, where `rewards[t]` follows the step
# that was taken in `states[t]`. States are numbers from 0 to `num_states - 1`. Return a list with V of each state: the
# mean, over *all visits* to it, of the discounted return from that visit on. A state that nobody visited gets 0.

# %% exercise="04.1"
def average_returns(episodes, num_states, gamma):
    """Every-visit Monte Carlo: one value per state."""
    ### BEGIN SOLUTION
    total, visits = [0.0] * num_states, [0] * num_states
    for states, rewards in episodes:
        G = 0.0
        for s, r in zip(reversed(states), reversed(rewards)):
            G = r + gamma * G
            total[s] += G
            visits[s] += 1
    return [t / n if n else 0.0 for t, n in zip(total, visits)]
    ### END SOLUTION


# %%
check("04.1", average_returns)

# %% [markdown]
# ## 04.2 TD(0)
#
# `walk` is a list of steps `(state, reward, next_state, terminated)`, in the order in which they happened. Go through
# it once and learn at every step:
#
# $$V(s) \leftarrow V(s) + \alpha\,[\,r + \gamma\, V(s') - V(s)\,]$$
#
# Where `terminated` is True there is no s′, whatever number stands in its place. Return the new values; leave the list
# `V` that you were given as it was.

# %% exercise="04.2"
def td_walk(V, walk, alpha, gamma):
    """V after one walk, as a new list."""
    ### BEGIN SOLUTION
    V = list(V)
    for s, r, s_next, terminated in walk:
        target = r if terminated else r + gamma * V[s_next]
        V[s] += alpha * (target - V[s])
    return V
    ### END SOLUTION


# %%
check("04.2", td_walk)

# %% [markdown]
# Your learner on the jetty, two hundred walks long. Try other α: which one would you take for 20 walks, which for 2000?

# %%
walks = collect(TabularPolicy(7, 2), gym.make_vec("RandomWalk-v0", num_envs=200), seed=0,
                generator=torch.Generator().manual_seed(0))


def steps_of(i):
    """Walk number i as a list of (state, reward, next_state, terminated)."""
    columns = (walks.states[i], walks.rewards[i], walks.next_states[i], walks.terminated[i])
    return list(zip(*(column[walks.mask[i]].tolist() for column in columns)))


print(steps_of(0))

# %% needs="04.2"
V = [0.5] * 7
for i in range(200):
    V = td_walk(V, steps_of(i), alpha=0.05, gamma=1.0)
print("learned", " ".join(f"{v:.2f}" for v in V[1:-1]))
print("truth  ", " ".join(f"{v:.2f}" for v in true_values()[1:-1]))

# %% [markdown]
# ## 04.3 The λ-return
#
# All tensors are `[T]`, and may hold several episodes, end to end. `next_values[t]` is V of the state that step t led
# to. From the average over all n-step returns follows a recursion, which you can check on paper:
#
# $$G_t^\lambda = r_t + \gamma\,\bigl[(1-\lambda)\,V(s_{t+1}) + \lambda\, G_{t+1}^\lambda\bigr]$$
#
# A share 1 − λ of the future is what V says about it, and λ of it is what came. Two exceptions:
#
# - after a `terminated` step there is no future at all;
# - after a step that is `done` but not terminated, and after the last step of the data, nobody saw what came, so V
#   speaks for the whole future.

# %% exercise="04.3"
def lambda_returns(rewards, next_values, terminated, done, gamma, lam):
    """G^λ of every step, `[T]`."""
    ### BEGIN SOLUTION
    returns = torch.zeros_like(rewards)
    for t in reversed(range(len(rewards))):
        future = next_values[t]
        if t + 1 < len(rewards) and not done[t]:
            future = (1 - lam) * next_values[t] + lam * returns[t + 1]
        returns[t] = rewards[t] if terminated[t] else rewards[t] + gamma * future
    return returns
    ### END SOLUTION


# %%
check("04.3", lambda_returns)

# %% [markdown]
# And this is PPO's advantage estimator, in your own words:

# %% needs="04.3"
V = torch.as_tensor(true_values()).float()
i = int(walks.mask.sum(1).argmax())  # the longest walk
values, next_values = V[walks.states[i]], V[walks.next_states[i]]
how = (walks.terminated[i], walks.done[i], 0.9, 0.95)
mine = lambda_returns(walks.rewards[i], next_values, *how) - values
theirs = gae(walks.rewards[i], values, next_values, *how)
print("largest difference from rlcore's gae:", float((mine - theirs)[walks.mask[i]].abs().max()))

# %% [markdown]
# ## 04.4 Somebody else's episodes
#
# B episodes, right-padded to T steps. `log_probs` and `behaviour_log_probs`, both `[B, T]`, are the log-probabilities
# of the actions that were taken: under the policy that we ask about, and under the policy that acted. `mask` `[B, T]`
# is True where a step happened (what stands in the padding is junk), and `returns` `[B]` is each episode's return.
#
# Return two numbers: the ordinary and the weighted importance sampling estimate of the policy's value.
#
# $$\frac{1}{B}\sum_i \rho_i G_i \qquad \text{and} \qquad \frac{\sum_i \rho_i G_i}{\sum_i \rho_i}$$

# %% exercise="04.4"
def off_policy_estimates(log_probs, behaviour_log_probs, mask, returns):
    """The value of one policy from another's episodes: (ordinary, weighted)."""
    ### BEGIN SOLUTION
    log_ratios = torch.where(mask, log_probs - behaviour_log_probs, 0.0)  # [B, T]
    ratios = log_ratios.sum(-1).exp()  # [B]
    total = (ratios * returns).sum()
    return total / len(returns), total / ratios.sum()
    ### END SOLUTION


# %%
check("04.4", off_policy_estimates)

# %% [markdown]
# The lesson's question, answered by your function: how good is C for a puppy that steps right with probability p, as
# far as 200 walks by a coin can tell? *Effective* is the number of walks that still count. One column leaves the realm
# of the possible: which, and why can the other one not do that?

# %% needs="04.4"
for p in (0.5, 0.6, 0.7, 0.8, 0.9, 0.99):
    puppy = TabularPolicy.from_probabilities([[1 - p, p]] * 7)
    log_probs = puppy(walks.states).log_prob(walks.actions).detach()
    ordinary, weighted = off_policy_estimates(log_probs, walks.log_probs, walks.mask, walks.rewards.sum(-1))
    rho = torch.where(walks.mask, log_probs - walks.log_probs, 0.0).sum(-1).exp()
    print(f"p = {p:<4}  ordinary {ordinary:.3f}   weighted {weighted:.3f}   truth {true_values(p_right=p)[3]:.3f}   "
          f"effective {rho.sum() ** 2 / (rho**2).sum():5.1f} of 200")

# %% [markdown]
# ## 04.5 You are the predictor
#
# Eight episodes from a world that you have never seen: A 0 B 0, once; B 1, six times; B 0, once. (In A nothing was
# paid, and it led to B; B ended with 1 six times and with 0 twice.) What is A worth?
#
# Monte Carlo says 0: A was visited once, and the return was 0. TD, run over these eight episodes again and again,
# says ¾: A leads to B, and B is worth ¾. TD's answer is the exact value of the *world that most likely produced the
# data*: the one in which each state goes on, ends and pays just as it did in the episodes, on average. (Its grander
# name is the certainty-equivalence estimate.)
#
# Compute that answer. `episodes` is a list of `(states, rewards)` as in 04.1, each ends after its last step, and there
# is no discount. Count; then solve V(s) = mean reward in s + Σ P(s → s′) V(s′), where P is the share *of all visits to
# s* that went on to s′. A state without visits gets 0.

# %% exercise="04.5"
def values_of_the_likeliest_world(episodes, num_states):
    """What TD converges to, when it sees the same episodes for ever."""
    ### BEGIN SOLUTION
    visits, paid = np.zeros(num_states), np.zeros(num_states)
    went = np.zeros((num_states, num_states))  # how often from s to s'
    for states, rewards in episodes:
        for t, (s, r) in enumerate(zip(states, rewards)):
            visits[s] += 1
            paid[s] += r
            if t + 1 < len(states):
                went[s, states[t + 1]] += 1
    n = np.maximum(visits, 1)
    return np.linalg.solve(np.eye(num_states) - went / n[:, None], paid / n)
    ### END SOLUTION


# %%
check("04.5", values_of_the_likeliest_world)

# %% [markdown]
# Who is right about A? Neither can know. But on the jetty we can look: from the same ten walks, whose values lie closer
# to the truth, those of the averages (your 04.1) or those of the likeliest world? Twenty sets of ten walks:

# %% needs="04.5"
truth, closer = true_values()[1:-1], 0
for k in range(20):
    ten = [steps_of(i) for i in range(10 * k, 10 * k + 10)]
    episodes = [([step[0] for step in walk], [step[1] for step in walk]) for walk in ten]
    likeliest = np.asarray(values_of_the_likeliest_world(episodes, 7))[1:-1]
    averages = np.asarray(average_returns(episodes, 7, 1.0))[1:-1]
    closer += ((likeliest - truth) ** 2).mean() < ((averages - truth) ** 2).mean()
print(f"the likeliest world is closer in {closer} of 20 sets")
