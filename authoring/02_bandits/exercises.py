# %% [markdown]
# # 02 · Bandits: exercises
#
# Five exercises, from one line to an assistant of your own. Each has a check in the cell below it, which says what
# came back, what should have, and what that mistake usually is. Stuck? In a terminal, `rlcourse hint 02.1` gives one
# hint at a time.

# %%
import matplotlib.pyplot as plt
import numpy as np
import torch

from rlcore.agents.bandits import ValueConfig, train
from rlcore.envs.bandit_testbed import Bandits
from rlcore.plotting import house_style, show
from rlcourse import check

torch.set_num_threads(1)
house_style()

# %% [markdown]
# ## 02.1 The running average
#
# `q` `[arms]` holds your guess for each arm and `counts` `[arms]` how often each was pulled, both before this pull. Arm
# number `action` has just paid `reward`. Return the new `q` and the new `counts`, and leave the old ones as they were.
#
# With `step_size=None` each guess is the average of all that its arm paid. Otherwise the guess moves by that share of
# the surprise:
#
# $$Q(a) \leftarrow Q(a) + \alpha\,\bigl(r - Q(a)\bigr)$$

# %% exercise="02.1"
def update(q, counts, action, reward, step_size=None):
    """The guesses and the counts after one more pull: two arrays `[arms]`."""
    ### BEGIN SOLUTION
    q, counts = q.copy(), counts.copy()
    counts[action] += 1
    alpha = 1 / counts[action] if step_size is None else step_size
    q[action] += alpha * (reward - q[action])
    return q, counts
    ### END SOLUTION


# %%
check("02.1", update)

# %% [markdown]
# ## 02.2 ε-greedy, for many at once
#
# `q` is `[runs, arms]`. Return one arm for each run, `[runs]`: with probability `epsilon` any of the arms (the best one
# included), else the one with the highest guess. Where several are highest, each of them must have the same chance.
#
# `random` is a NumPy generator: `random.random(shape)` gives numbers between 0 and 1, `random.integers(arms,
# size=runs)` whole numbers below `arms`. Each run tosses its own coin. A loop over the runs is allowed, and slow.

# %% exercise="02.2"
def epsilon_greedy(q, epsilon, random):
    """An arm for each run, `[runs]`."""
    ### BEGIN SOLUTION
    runs, arms = q.shape
    best = q == q.max(1, keepdims=True)  # [runs, arms]
    greedy = (best * random.random((runs, arms))).argmax(1)  # [runs]: the best with the luckiest number
    blind = random.random(runs) < epsilon  # [runs]
    return np.where(blind, random.integers(arms, size=runs), greedy)
    ### END SOLUTION


# %%
check("02.2", epsilon_greedy)

# %% [markdown]
# ## 02.3 The upper confidence bound
#
# Return the scores by which UCB chooses, `[runs, arms]`:
#
# $$Q(a) + c\,\sqrt{\frac{\ln t}{N(a)}}$$
#
# `q` and `counts` (the N) are `[runs, arms]`; `t` is the number of the pull that is about to happen, the same for all
# runs. An arm that was never pulled has to be next, so its score is infinite: `np.inf`.

# %% exercise="02.3"
def ucb_scores(q, counts, t, c):
    """How good each arm may plausibly be, `[runs, arms]`."""
    ### BEGIN SOLUTION
    bonus = c * np.sqrt(np.log(t) / np.maximum(counts, 1))
    return np.where(counts > 0, q + bonus, np.inf)
    ### END SOLUTION


# %%
check("02.3", ucb_scores)

# %% [markdown]
# ## 02.4 The gradient step
#
# The update that grows into REINFORCE, RLHF and GRPO, for one bandit. `preferences` `[arms]` is h; arm `action` has
# just paid `reward`; `baseline` is what is usual. Return the new preferences, and leave the old ones as they were:
#
# $$h(b) \leftarrow h(b) + \alpha\,(r - \bar r)\,\bigl(\mathbb{1}[b = a] - \pi(b)\bigr), \qquad
# \pi(b) = \frac{e^{h(b)}}{\sum_{b'} e^{h(b')}}$$
#
# Write it with NumPy, or let torch differentiate `policy_gradient_loss`: both pass. Preferences can be as large as
# 1000, where e¹⁰⁰⁰ is too much for a float. Subtracting the same number from all of them changes no probability.

# %% exercise="02.4"
def gradient_step(preferences, action, reward, baseline, step_size):
    """The preferences after one more pull, `[arms]`."""
    ### BEGIN SOLUTION
    weights = np.exp(preferences - preferences.max())
    pi = weights / weights.sum()  # [arms]
    chosen = np.arange(len(pi)) == action  # [arms]
    return preferences + step_size * (reward - baseline) * (chosen - pi)
    ### END SOLUTION


# %%
check("02.4", gradient_step)

# %% [markdown]
# Your step at work. Here is a single assistant with the five replies of the lesson. Is it sure in the end, and of the
# right one (number 4)? Try a larger step.

# %% needs="02.4"
random, h, mean = np.random.default_rng(0), np.zeros(5), 0.0
LIKED = np.array([0.30, 0.45, 0.35, 0.10, 0.60])
for t in range(1, 501):
    pi = np.exp(h) / np.exp(h).sum()
    reply = random.choice(5, p=pi)
    thumb = float(random.random() < LIKED[reply])
    mean += (thumb - mean) / t
    h = gradient_step(h, reply, thumb, mean, step_size=0.4)
print("chances after 500 users:", pi.round(2))

# %% [markdown]
# ## 02.5 An assistant of your own
#
# Write the assistant's choice. For many assistants at once you get `likes` and `given`, both `[runs, replies]`: how
# often each reply was liked, and how often it was given. `random` is a NumPy generator. Return one reply for each
# assistant, `[runs]`.
#
# It is put before three questions: the printer's five replies, ten replies of which one stands out, and four replies
# that differ little. Each time 200 assistants serve 500 users each. Summed over the three, the regret must stay below
# 90 thumbs per assistant, which no ε of ε-greedy achieves. Nobody tells you the chances beforehand.
#
# Two roads that lead there. The first: thumbs are 0 or 1, so they scatter less than the rewards of the test bed, and
# need less of a bonus. The second has been waiting since 1933: *for each reply draw a number that its chance might
# plausibly be, and give the reply with the highest draw.* After k likes in n tries, `random.beta(1 + k, 1 + n - k)`
# draws such a number.

# %% exercise="02.5"
def my_assistant(likes, given, random):
    """The next reply of each assistant, `[runs]`."""
    ### BEGIN SOLUTION
    plausible = random.beta(1 + likes, 1 + given - likes)  # [runs, replies]
    return plausible.argmax(1)
    ### END SOLUTION


# %%
check("02.5", my_assistant)

# %% [markdown]
# And beside the assistants of the lesson, on the printer question:

# %% needs="02.5"
def summed_regret(choose, seed=0, runs=500, users=500):
    """Regret so far, the mean of many assistants, `[users]`."""
    world = Bandits(np.tile(LIKED, (runs, 1)), seed, rewards="thumbs")
    random, rows = np.random.default_rng([seed, 1]), np.arange(runs)
    likes, given, regret = np.zeros((runs, 5)), np.zeros((runs, 5)), []
    for _ in range(users):
        replies = np.asarray(choose(likes, given, random))
        regret.append(world.regret(replies).mean())
        likes[rows, replies] += world.pull(replies)
        given[rows, replies] += 1
    return np.cumsum(regret)


curves = {"mine": summed_regret(my_assistant)}
for name, config in {"greedy": ValueConfig(steps=500), "ε = 0.1": ValueConfig(steps=500, epsilon=0.1),
                     "τ = 0.1": ValueConfig(steps=500, temperature=0.1)}.items():
    world = Bandits(np.tile(LIKED, (500, 1)), 0, rewards="thumbs")
    curves[name] = train(world, config).history.regret.mean(0).cumsum()
fig, ax = plt.subplots()
for name, regret in curves.items():
    ax.plot(np.arange(1, 501), regret, label=name)
ax.set(title="What not knowing costs, on the printer question", xlabel="user",
       ylabel="regret so far (thumbs), mean of 500")
ax.legend(fontsize=9)
show(fig, alt="Summed regret over 500 users: " + ", ".join(f"{n} {r[-1]:.0f}" for n, r in curves.items()))
