# %% [markdown]
# # 05 · SARSA and Q-learning
#
# Chapter 04 could say how good a policy is. This chapter makes it better, step by step, from experience, in worlds
# whose rules nobody has told you.
#
# When you have worked through it you can write SARSA, expected SARSA, Q-learning and double Q-learning, which differ
# in one line; say which question each of them answers; and see why the best of many noisy estimates is a flatterer.
# That last thing will come back when GPT-2 is trained against a reward model.
#
# *About 90 minutes, difficulty 2 of 5. You need chapters 01 to 04: ε-greedy, Q, and the TD error.*

# %%
import difflib
import inspect
import time
from random import Random

import gymnasium as gym
import matplotlib.pyplot as plt
import numpy as np
import torch

from rlcore.envs.grid_worlds import grid_places  # importing any of them puts the course's worlds on Gymnasium's list
from rlcore.envs.table_env import TabularEnv, draw_tiles
from rlcore.plotting import animate, band, house_style, show

torch.set_num_threads(1)
torch.manual_seed(0)
house_style()

# %% [markdown]
# ## Two walkers on a cliff
#
# A path from S to G along the edge of a cliff. Each step costs 1. Whoever steps over the edge pays 100 and is back
# at S. The walkers know none of this: they learn while they walk, and with probability ε = 0.1 each step goes in a
# random direction.

# %%
from rlcore.agents.control import ControlConfig, QLearning, Sarsa, episodes
from rlcore.envs.discrete import TableWorld

cliff = TableWorld.from_env(gym.make("CliffWalking-v1"))
START, CLIFF, GOAL = 36, range(37, 47), 47  # 4 rows of 12 squares, numbered row by row
config = ControlConfig(episodes=500, step_size=0.5, epsilon=0.1, gamma=1.0)
SEEDS = range(30)


def walk(kind, seed):
    """One walker's life: all of its episodes."""
    cliff.seed(seed)
    return list(episodes(cliff, kind(cliff.action_counts, config, seed), config))


lives = {"Q-learning": [walk(QLearning, seed) for seed in SEEDS], "SARSA": [walk(Sarsa, seed) for seed in SEEDS]}

# %% [markdown]
# Here is one of each after 500 episodes, on a day on which both of them stumble. First the one called *Q-learning*,
# then the one called *SARSA*.

# %%
from rlcore.agents.control import train
from rlcore.envs.exact import epsilon_greedy
from rlcore.policies import TabularPolicy

names = [""] * 48
names[START], names[GOAL] = "S", "G"
names[37:47] = ["×"] * 10
board = TabularEnv(cliff.mdp, render_mode="rgb_array", places=grid_places(4, 12), labels=names)


def film(kind, name):
    """A learned walker on its way, stumbling with probability 0.1."""
    q = train(cliff, kind, config, seed=0).q
    return animate(board, TabularPolicy.from_probabilities(epsilon_greedy(q, config.epsilon)), seed=7, alt=name)


film(QLearning, "Q-learning walks along the edge, falls, and begins again")

# %%
film(Sarsa, "SARSA goes up to the top row and round")

# %%
fig, axes = plt.subplots(2, 1, figsize=(7.2, 5.2))
middles = {}
for ax, (name, runs) in zip(axes, lives.items()):
    visits, falls = np.zeros(48), 0
    for life in runs:
        for episode in life[-100:]:
            np.add.at(visits, episode.states, 1 / 100 / len(runs))
            falls += episode.rewards.count(-100.0) / len(runs)
    shade = plt.cm.Blues(0.55 * np.clip(visits, 0, 1))
    shade[list(CLIFF)] = 0.72, 0.72, 0.72, 1.0  # grey
    draw_tiles(ax, board, shade)
    ax.set_title(f"{name}: {falls:.0f} falls in the last 100 episodes (mean of {len(runs)} walkers)")
    middles[name] = visits[24:36].mean(), visits[:12].mean(), falls
show(fig, alt="Where the walkers walk in their last 100 episodes. " + " ".join(
    f"{name}: a square next to the cliff is visited {low:.1f} times per episode, one in the top row {top:.1f} times, "
    f"and it falls {falls:.0f} times." for name, (low, top, falls) in middles.items()))

# %% [markdown]
# The darker a square, the more often it was walked: white is never, the darkest is once an episode or more. One kind
# hugs the edge, the other keeps well away from it. Same world, same number of episodes, same ε. Which one has learned
# better? Look at what each episode paid.

# %%
fig, ax = plt.subplots()
late = {}
for name, runs in lives.items():
    returns = np.array([[sum(episode.rewards) for episode in life] for life in runs])  # [30, 500]
    smooth = returns.reshape(len(SEEDS), 50, 10).mean(-1)  # [30, 50]
    band(ax, 10 * np.arange(50) + 5, smooth, name, kind="mean")
    late[name] = returns[:, -100:].mean()
ax.axhline(-13, color="black", linestyle="--", linewidth=1)
ax.annotate("the shortest path: −13", (250, -13), xytext=(0, 4), textcoords="offset points", fontsize=9)
ax.set(title="The one that walks the shortest path earns less", xlabel="episode (ten averaged)",
       ylabel="return while learning", ylim=(-120, 5))
ax.legend(fontsize=9, loc="lower right")
show(fig, alt="Return per episode, thirty walkers of each kind. In the last 100 episodes " + " and ".join(
    f"{name} earns {value:.0f}" for name, value in late.items()) + ". The shortest path pays minus 13.")
for name, reference in {"Q-learning": -51, "SARSA": -27}.items():
    print(f"{name:10} last 100 of 500 episodes: {late[name]:.1f}   (simulated elsewhere: about {reference})")

# %% [markdown]
# Q-learning has found the shortest path and keeps falling off it. SARSA takes the long way round and is paid better
# for it. The difference between the two is half a line of code. Let us build both.

# %% [markdown]
# ## Choosing without a map
#
# In chapter 03 a policy was improved by looking one step ahead: of all actions, take the one whose outcome is worth
# most. For that you had to know the outcomes. Here nobody says where an action leads.
#
# The way out is to learn a number for each *action* instead of each state: Q(s, a), what it is worth to do a in s
# and to go on as usual. Then choosing is looking up a row: the highest number wins. Chapter 02's bandit did just
# that; now there is a bandit in every state, and what an arm "pays" includes everything that comes after it.
#
# Two things happen in turn, at every step. Q is corrected by what happened (*evaluation*, as in chapter 04), and the
# policy follows Q as it stands (*improvement*, as in chapter 03). The policy changes what happens, and what happens
# changes the policy. They chase each other, and mostly they arrive.
#
# The choice is the ε-greedy of chapter 02. Mind the last line: if several actions are equally good, one of them is
# drawn. We will see what happens to those who forget it.

# %%
def choose(row, epsilon, random):
    """ε-greedy in one row of the table: blindly with probability ε, else a best action, ties at random."""
    if random() < epsilon:
        return int(random() * len(row))
    best = [action for action, value in enumerate(row) if value == max(row)]
    return best[0] if len(best) == 1 else best[int(random() * len(best))]


# %% [markdown]
# And the correction is the TD error of chapter 04, with Q in place of V:
#
# $$Q(s, a) \leftarrow Q(s, a) + \alpha\,\bigl(\underbrace{r + \gamma \cdot \text{future}}_{\text{target}} -
# Q(s, a)\bigr)$$
#
# What is the *future* worth? The step led to a state s′, and there are two good answers. What I am going to do
# there:
#
# $$\text{future} = Q(s', a') \qquad \text{SARSA}$$
#
# or the best that could be done there:
#
# $$\text{future} = \max_b Q(s', b) \qquad \text{Q-learning}$$
#
# SARSA has its name from what it needs: **s**tate, **a**ction, **r**eward, **s**tate, **a**ction.

# %%
def learn(world, future, episodes, alpha, epsilon, gamma, seed):
    """Both of them: `future(q, s′, a′)` makes the difference."""
    q, random = [[0.0] * n for n in world.action_counts], Random(f"agent {seed}").random
    world.seed(seed)
    for _ in range(episodes):
        state, terminated, truncated = world.reset(), False, False
        action = choose(q[state], epsilon, random)
        while not (terminated or truncated):
            next_state, reward, terminated, truncated = world.step(action)
            next_action = choose(q[next_state], epsilon, random)
            target = reward + gamma * (0.0 if terminated else future(q, next_state, next_action))
            q[state][action] += alpha * (target - q[state][action])
            state, action = next_state, next_action
    return np.array(q)


settings = {"alpha": config.step_size, "epsilon": config.epsilon, "gamma": config.gamma}
sarsa = learn(cliff, lambda q, s, a: q[s][a], 500, **settings, seed=0)
q_learning = learn(cliff, lambda q, s, a: max(q[s]), 500, **settings, seed=0)
print("at the start, Q-learning's table says (up, right, down, left):", q_learning[START].round(1).tolist())
print("at the start, SARSA's table says:                             ", sarsa[START].round(1).tolist())

# %% [markdown]
# Each world has the same two methods here: `reset()` gives a state, `step(action)` gives the next state, the reward
# and the two flags. States and actions are plain numbers. `rlcore.agents.control` has the same learners with the
# bookkeeping that you will want; are they the same?

# %% tags=["nbval-check-output"]
for kind, ours in ((Sarsa, sarsa), (QLearning, q_learning)):
    assert np.array_equal(train(cliff, kind, config, seed=0).q, ours)
print("the same tables, to the last bit")

# %% [markdown]
# Here is what changes in `rlcore` from one class to the next. From chapter 04's TD(0) to SARSA it is V(s′) that
# becomes Q(s′, a′). From SARSA to Q-learning:

# %%
def difference(one, other):
    """The lines in which two learners' updates differ, without their comments."""
    code = [inspect.getsource(kind.update).splitlines() for kind in (one, other)]
    lines = [[line for line in lines if '"""' not in line] for lines in code]
    print(f"{one.__name__} → {other.__name__}")
    for line in difflib.unified_diff(*lines, n=0, lineterm=""):
        if not line.startswith(("---", "+++", "@@")):
            print(line)


difference(Sarsa, QLearning)

# %% [markdown]
# (`highest[s]` is the largest number of row s. It is asked for so often that the learner keeps it at hand.)

# %% [markdown]
# ## Which question did you ask?
#
# So which of the two is right? Both, and we can prove it. The cliff is small enough for its table to be known, to us
# if not to the walkers, so the score of any policy can be computed exactly: follow the probability of being in each
# square, step by step, and add up what is paid. `expected_return` does that.
#
# Every table can be followed in two ways: *as it was learned*, ε = 0.1 and all, or *greedily*, with ε = 0.

# %%
from rlcore.agents.control import DoubleQLearning, ExpectedSarsa
from rlcore.envs.exact import expected_return

kinds = {"Q-learning": QLearning, "SARSA": Sarsa, "expected SARSA": ExpectedSarsa}
tables = {name: [train(cliff, kind, config, seed).q for seed in SEEDS] for name, kind in kinds.items()}
fig, ax = plt.subplots()
words = []
for i, (name, qs) in enumerate(tables.items()):
    for epsilon, side, mark, label in ((config.epsilon, -0.15, "o", f"as it was learned: ε = {config.epsilon}"),
                                       (0.0, 0.15, "^", "greedily: ε = 0")):
        scores = np.array([expected_return(cliff, epsilon_greedy(q, epsilon), step_limit=2000) for q in qs])
        arrives = scores > -200
        spread = np.linspace(-0.1, 0.1, len(qs))[arrives]
        ax.plot(i + side + spread, scores[arrives], mark, color="C0" if epsilon else "C1", markersize=4,
                label=None if i else label)
        lost = f"; {(~arrives).sum()} of {len(qs)} never arrive" if not arrives.all() else ""
        ax.annotate(f"{np.median(scores[arrives]):.1f}{lost}".replace("-", "−"), (i + side, scores[arrives].max()),
                    xytext=(0, 5), textcoords="offset points", ha="center", fontsize=8)
        words.append(f"{name}, ε = {epsilon}: median {np.median(scores[arrives]):.1f}{lost}")
ax.set_xticks(range(3), list(kinds))
ax.set(title="Two ways to follow the same table", ylabel="exact expected return", ylim=(-75, -5),
       xlabel=f"a mark is one of {len(SEEDS)} walkers; the number is the median")
ax.legend(fontsize=9, loc="lower right")
show(fig, alt="The exact return of each walker's table, followed as it was learned and greedily. " + ". ".join(words))

# %% [markdown]
# Followed greedily, Q-learning's table walks the shortest path. Followed by somebody who stumbles at every tenth
# step, it is the worst of the three.
#
# Q-learning asks: *what would this be worth if I acted perfectly from now on?* It learns about one policy (the
# greedy one) while another one acts (the ε-greedy one). That is called **off-policy**. SARSA asks: *what is this
# worth, given how I really act?* It learns about the policy that acts, its own stumbling included: **on-policy**.
# To somebody who stumbles, the edge *is* a bad place.
#
# You met the same distinction in chapter 04: evaluating one policy with the episodes of another took importance
# weights there. Q-learning needs none, because its target asks nothing of the next action that was really taken.

# %% [markdown]
# > **What the language models do.** PPO and GRPO, at the end of this course, are on-policy: they learn from texts
# > that they have just written, and throw them away. DPO learns from texts that somebody else wrote. The question "is
# > this learner learning about the policy that acts?" is worth asking of each of them.

# %% [markdown]
# ### SARSA without the luck of the draw
#
# SARSA's target contains the action a′ that happened to be drawn. But the policy is no secret to the one who acts by
# it: why draw one action when one can average over all of them?
#
# $$\text{future} = \sum_b \pi(b \mid s')\, Q(s', b) \qquad \text{expected SARSA}$$
#
# For an ε-greedy π that is (1 − ε) times the highest number, plus ε times the mean of the row.

# %%
difference(Sarsa, ExpectedSarsa)

# %%
q = np.zeros((48, 4))  # the best that anybody can do who stumbles at every tenth step, computed from the world's table:
for _ in range(1000):
    q = cliff.mdp.rewards + cliff.mdp.expect(0.9 * q.max(1) + 0.1 * q.mean(1))
ceiling = 0.9 * q[START].max() + 0.1 * q[START].mean()

step_sizes = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
fig, ax = plt.subplots()
ends = {}
for name, kind in kinds.items():
    online = np.array([[train(cliff, kind, ControlConfig(episodes=500, step_size=alpha, epsilon=0.1), seed)
                        .history.returns[-100:].mean() for alpha in step_sizes] for seed in range(5)])  # [5, α]
    band(ax, step_sizes, online, name)
    ends[name] = np.median(online[:, -1])
ax.axhline(ceiling, color="black", linestyle="--", linewidth=1)
ax.annotate(f"the best that can be done at ε = 0.1: −{-ceiling:.2f}", (0.1, ceiling), xytext=(0, 4),
            textcoords="offset points", fontsize=9)
ax.set(title="Expected SARSA does not mind a large step", xlabel="step size α",
       ylabel="return, last 100 of 500 episodes", ylim=(-150, 0))
ax.legend(fontsize=9, loc="lower left")
show(fig, alt="Return while learning against the step size, five walkers each. At α = 1 the medians are "
     + ", ".join(f"{name} {value:.0f}" for name, value in ends.items()) + f". Expected SARSA is flat, near the best "
     f"that can be done at ε = 0.1, {ceiling:.2f}; SARSA falls the more the larger the step.")

# %% [markdown]
# This world has no dice of its own: all the noise is in the walker's stumbling. Expected SARSA averages that noise
# away, so it may take steps of any size; SARSA has to take small ones. Less variance in the target, for the same
# expectation: you will see that trade again and again, up to the baselines of chapter 07.
#
# > **Change this number and run again.** Set ε to 0.01 in `config` at the top and run the cells in between. Where
# > does SARSA walk now? Then try ε = 0.3. Say what you expect before you look.

# %% [markdown]
# ## The policy that never ends
#
# Some of SARSA's greedy walks never arrive. Most of those push against the upper edge: step up, stay where you are,
# pay 1, step up. While the walker learned, that could not last, because each bump made "up" look worse than before,
# and soon something else was best. Then we stopped the learning in the middle of such a correction and froze the
# table. A frozen table cannot be disappointed any more.
#
# CliffWalking has no step limit of its own, so a loop such as `while not done` would wait for ever too. The exact
# score has the courtesy to say so:

# %%
for seed, q in enumerate(tables["SARSA"]):
    try:
        expected_return(cliff, epsilon_greedy(q))
    except RuntimeError as error:
        print(f"seed {seed}: {error}")
        break

# %% [markdown]
# It gets worse if one waits for the end *before* learning anything. That is **Monte Carlo control**: play a whole
# episode, then move every Q(s, a) that occurred in it towards the return that followed. It is chapter 04's Monte
# Carlo with ε-greedy choices, and the target without a guess in it: pure experience.
#
# Here is a grid with a wind that blows upwards in the middle. The number in a square is how far it carries you. This
# walk was learned by Q-learning.

# %%
windy = TableWorld.from_env(gym.make("WindyGrid-v0"))
flier = train(windy, QLearning, ControlConfig(episodes=1000), seed=0).policy
animate(gym.make("WindyGrid-v0", render_mode="rgb_array"), flier, seed=0,
        alt="From S through the wind, past the goal and back to it")

# %% [markdown]
# Now let Monte Carlo try: a hundred episodes, and an episode longer than 10 000 steps counts as lost.

# %%
from rlcore.agents.control import MonteCarlo

patience = ControlConfig(episodes=100, step_size=0.5, epsilon=0.1, max_steps=10_000)
for kind in (MonteCarlo, Sarsa, QLearning):
    lost, longest, message = 0, 0, ""
    for seed in range(20):
        try:
            longest = max(longest, train(windy, kind, patience, seed).history.lengths.max())
        except RuntimeError as error:
            lost, message = lost + 1, str(error)
    print(f"{kind.__name__:10} lost {lost:2d} of 20; the longest episode of the others had {longest} steps. {message}")

# %% [markdown]
# What happened? Until the first episode ends nothing is learned at all, so it is one long random walk, and the wind
# keeps blowing it back to the upper edge. When it does end, everything on its way is taught to be worth minus
# thousands. In the second episode some action looks less terrible than the others, often one that pushes against an
# edge. The walker takes it once, twice, ten thousand times, and learns nothing, because the lesson comes at the end
# and there is no end. SARSA, at the same edge, finds each bump a bit more disappointing than the one before, and
# leaves.
#
# Learning *within* the episode is not a luxury. Nor is a limit on its length: chapter 01's `truncated` is what keeps
# a careless policy from running for ever. Nobody lets GPT-2 write without a limit on the number of tokens.

# %%
moves = {"four moves": ("WindyGrid-v0", 15), "eight moves, as a king in chess": ("WindyKing-v0", 7)}
fig, axes = plt.subplots(1, 2, figsize=(8.5, 3.6), sharey=True)
ends, greedy = [], []
for ax, (title, (world_name, shortest)) in zip(axes, moves.items()):
    world = TableWorld.from_env(gym.make(world_name))
    for name, kind in (("Q-learning", QLearning), ("SARSA", Sarsa)):
        results = [train(world, kind, ControlConfig(episodes=500), seed) for seed in range(5)]
        lengths = np.array([result.history.lengths for result in results])  # [5, 500]
        band(ax, 20 * np.arange(25) + 10, lengths.reshape(5, 25, 20).mean(-1), name)
        ends.append(f"{name} with {title}: {np.median(lengths[:, -20:].mean(1)):.0f}")
        scores = [-expected_return(world, epsilon_greedy(result.q), step_limit=500) for result in results]
        greedy.append(f"{name:10} {title:32} steps of the greedy policy, five seeds: "
                      + " ".join("lost" if steps == 500 else f"{steps:.0f}" for steps in scores))
    ax.axhline(shortest, color="black", linestyle="--", linewidth=1)
    ax.annotate(f"the shortest way: {shortest}", (0, shortest), xytext=(0, -11), textcoords="offset points", fontsize=8)
    ax.set(title=title, xlabel="episode (twenty averaged)", yscale="log", ylim=(5, 300))
    ax.set_yticks([5, 10, 20, 50, 100, 200], [5, 10, 20, 50, 100, 200])
    ax.legend(fontsize=8)
axes[0].set_ylabel("steps of an episode")
show(fig, alt="Steps per episode while learning, five seeds. In the last twenty episodes the medians are "
              + "; ".join(ends) + ". The shortest ways have 15 and 7 steps.")
print(*greedy, sep="\n")

# %% [markdown]
# "Lost" is again a walk that never arrives, and it is again SARSA's. Q-learning's greedy policy is what Q-learning has
# been asking about all along.

# %% [markdown]
# ## Slippery ice, and a learner that never leaves the wall
#
# FrozenLake: cross the ice to the goal (reward 1) without falling into a hole (reward 0, end). On slippery ice you
# go where you wanted one time in three, and to one of the two sides otherwise. Let us try the 8 × 8 lake, and
# change one thing: what to do with ties. `np.argmax`, which everybody uses, takes the first of several equal numbers.

# %%
class FirstIndex(QLearning):
    """Ties go to the first action, as in `np.argmax`."""

    def best(self, row):
        return row.index(max(row))


big_lake = TableWorld.from_env(gym.make("FrozenLake-v1", map_name="8x8"))
lake_config = ControlConfig(episodes=3000, step_size=0.1, epsilon=0.1, gamma=0.99)
fig, ax = plt.subplots()
crossed = {}
for name, kind in (("ties at random", QLearning), ("ties to the first action", FirstIndex)):
    runs = np.array([train(big_lake, kind, lake_config, seed).history.returns for seed in range(5)])  # [5, 3000]
    band(ax, np.arange(3000), runs.cumsum(1), name, kind="range")
    crossed[name] = runs.sum(1).astype(int).tolist()
ax.set(title="One line of code", xlabel="episode", ylabel="times across the lake so far")
ax.legend(fontsize=9)
show(fig, alt="How often the 8 by 8 lake was crossed, over 3000 episodes, five seeds each: " + "; ".join(
    f"{name}: {values}" for name, values in crossed.items()))
for name, times in crossed.items():
    print(f"{name:24} crossed the lake {times} times")

# %% [markdown]
# Those who always take the first action never got across, in all their episodes. All numbers begin at 0, the first
# action is "left", and the start is at the left edge. So the learner pushes against the wall, slides up and down
# along it, is paid 0, which is what it expected, and concludes that all is well. With ties at random it at least
# wanders, and one day wanders into the goal.
#
# > **Pitfall, from real life.** Intel's *Coach* framework used `np.argmax` in its ε-greedy policy. It went
# > unnoticed as long as everybody used networks, whose outputs are never exactly equal; then somebody plugged in a
# > plain Q-table ([IntelLabs/coach #414](https://github.com/IntelLabs/coach/issues/414), "Q-Value ties are not
# > random"). Gymnasium's own FrozenLake tutorial drew at random only if *all* actions were tied, and took the first
# > one if two of four were ([Gymnasium #1037](https://github.com/Farama-Foundation/Gymnasium/pull/1037)). Neither
# > raised an error. A learner that has learned nothing looks just like a learner for which the task is too hard.

# %% [markdown]
# ### To the limit of the ice
#
# On the 4 × 4 lake we know the limit. The best policy for γ = 0.99 reaches the goal within its 100 steps with
# probability 0.7402, which can be computed exactly, as can the score of whatever we learn. With a step size that
# stays at 0.2, and with one that falls in a straight line to 0.002:

# %%
lake = TableWorld.from_env(gym.make("FrozenLake-v1"))
fig, ax = plt.subplots()
final = {}
for name, last in (("α = 0.2 throughout", None), ("α falls from 0.2 to 0.002", 0.002)):
    ice = ControlConfig(episodes=10_000, step_size=0.2, final_step_size=last, epsilon=0.1, gamma=0.99)
    scores = np.zeros((5, 20))  # [seed, checkpoint]
    for seed in range(5):
        lake.seed(seed)
        learner = QLearning(lake.action_counts, ice, seed)
        for number, _ in enumerate(episodes(lake, learner, ice)):
            if number % 500 == 499:
                scores[seed, number // 500] = expected_return(lake, epsilon_greedy(np.array(learner.q)))
    band(ax, 500 * np.arange(1, 21), scores, name)
    final[name] = scores[:, 10:].min()
ax.axhline(0.7402, color="black", linestyle="--", linewidth=1)
ax.annotate("the best policy for γ = 0.99: 0.7402", (500, 0.7402), xytext=(0, 4), textcoords="offset points",
            fontsize=9)
ax.set(title="Slippery ice: a step size that falls lets the table settle", xlabel="episode",
       ylabel="exact chance to arrive", ylim=(0, 0.85))
ax.legend(fontsize=9, loc="lower right")
lowest = " and ".join(f"{value:.3f} with {name}" for name, value in final.items())
show(fig, alt="The exact score of the greedy policy during training, five seeds. The lowest score of any seed in the "
              f"second half is {lowest}; the best possible is 0.7402.")
for name, value in final.items():
    print(f"{name:26} lowest score in the second half: {value:.3f}")

# %% [markdown]
# On the cliff nothing was random but the walker, and Q-learning could take any step size. Here the *world* throws
# dice, and with a constant step the table always carries the noise of the last few throws with it. That noise is
# enough to tip a row whose two best numbers are close together.

# %%
ice = ControlConfig(episodes=10_000, step_size=0.2, final_step_size=0.002, epsilon=0.1, gamma=0.99)
skater = train(lake, QLearning, ice, seed=0)
holes = [5, 7, 11, 12]
marks = ["S"] + [""] * 14 + ["G"]
for hole in holes:
    marks[hole] = "hole"
pond = TabularEnv(lake.mdp, places=grid_places(4, 4), labels=marks)
LAKE_MOVES = ((0, -1), (1, 0), (0, 1), (-1, 0))  # left, down, right, up: this world has its own order
fig, ax = plt.subplots(figsize=(4.6, 4.2))
draw_tiles(ax, pond)
for state in set(range(15)) - set(holes):
    x, y = pond.places[state]
    down, right = LAKE_MOVES[skater.q[state].argmax()]
    ax.annotate("", (x + 0.4 * right, y - 0.4 * down), (x, y), arrowprops={"arrowstyle": "-|>", "color": "C1", "lw": 2})
ax.set_title("Where the learned policy pushes off")
words = ["left", "down", "right", "up"]
show(fig, alt="The 4 by 4 lake with the learned action in each square. " + ", ".join(
    f"square {s}: {words[skater.q[s].argmax()]}" for s in range(15) if s not in holes))

# %% [markdown]
# It looks mad. Below the start it pushes into the wall, away from the hole: on this ice you never slip backwards, so
# whoever pushes left ends up left, above or below, and never on the right. And between the two holes it pushes
# straight *into* one of them. Then one slip of three is deadly; pushing up or down, it would be two. Nobody told it.

# %% [markdown]
# ## A taxi, and the price of a step
#
# Five hundred states: where the taxi is, where the passenger, and where to. A step costs 1, a wrong pick-up or
# drop-off 10, and a delivery pays 20. The best possible mean is 7.93.

# %%
taxi = TableWorld.from_env(gym.make("Taxi-v4"))
taxi_config = ControlConfig(episodes=5000, step_size=0.1, epsilon=0.1, gamma=0.99)
drivers = [train(taxi, QLearning, taxi_config, seed) for seed in range(5)]
print("exact mean return of five greedy drivers:",
      [round(expected_return(taxi, epsilon_greedy(driver.q)), 2) for driver in drivers], " best possible: 7.93")
animate(gym.make("Taxi-v4", render_mode="rgb_array"), drivers[0].policy, seed=3, width=360,
        alt="The taxi picks up its passenger and drives to the destination")

# %% [markdown]
# That was quick, and for a reason. Most tutorials keep Q in a NumPy array and call `env.step`. For one number at a
# time an array is slow, and behind `step` there are wrappers that check everything. `TableWorld` reads the world's
# own table into Python lists. It is the same world, and your learner cannot tell the difference.

# %%
def usual_loop(env, steps):
    """What most tutorials have: seconds of processor time per step."""
    q, dice = np.zeros((env.observation_space.n, env.action_space.n)), np.random.default_rng(0)
    state, _ = env.reset(seed=0)
    started = time.process_time()
    for _ in range(steps):
        action = env.action_space.sample() if dice.random() < 0.1 else int(np.argmax(q[state]))
        next_state, reward, terminated, truncated, _ = env.step(action)
        q[state, action] += 0.1 * (reward + 0.99 * np.max(q[next_state]) * (not terminated) - q[state, action])
        state = env.reset()[0] if terminated or truncated else next_state
    return (time.process_time() - started) / steps


usual = usual_loop(gym.make("FrozenLake-v1"), 20_000)
started = time.process_time()
steps = train(lake, QLearning, lake_config, seed=0).history.lengths.sum()
lists = (time.process_time() - started) / steps
print(f"env.step and NumPy: {1 / usual:9,.0f} steps/s     table and lists: {1 / lists:9,.0f} steps/s     "
      f"{usual / lists:.0f} times as fast")

# %% [markdown]
# Any other world with discrete spaces works too, at `env.step`'s speed: `train(gym.make("Blackjack-v1"), …)`. A world
# that is not discrete is refused, and that is the door to the next chapter:

# %%
try:
    train(gym.make("CartPole-v1"), QLearning, config)
except ValueError as error:
    print(error)

# %% [markdown]
# ## The best of many noisy numbers is a flatterer
#
# Ten fair lotteries, each with a mean of exactly 0. You try every one n times and write down the averages. How high is
# the *highest* of the ten averages?

# %%
dice = np.random.default_rng(0)
tries = np.array([1, 2, 5, 10, 20, 50, 100])
highest = np.array([dice.standard_normal((2000, 10, n)).mean(-1).max(-1) for n in tries])  # [n, 2000]
fig, ax = plt.subplots()
ax.plot(tries, highest.mean(1), "o-", color="C1", label="the highest of ten averages (mean of 2000 trials)")
ax.fill_between(tries, *np.quantile(highest, (0.1, 0.9), axis=1), color="C1", alpha=0.2,
                label="80 % of the trials lie here")
ax.axhline(0, color="black", linestyle="--", linewidth=1, label="what the best lottery is really worth")
ax.set(title="The winner was lucky", xlabel="tries per lottery", ylabel="average prize", xscale="log")
ax.set_xticks(tries, tries)
ax.minorticks_off()
ax.legend(fontsize=9)
show(fig, alt="The highest of ten averages against the number of tries per lottery. With one try it is "
              f"{highest[0].mean():.2f} on average, with a hundred {highest[-1].mean():.2f}, although every lottery "
              "is worth 0.")

# %% [markdown]
# On average above the truth, at every n. Each average is fair. The *maximum* of them is not, because it picks the
# one that was lucky. And $\max_b Q(s', b)$ is such a maximum, in every target that Q-learning ever computes.
#
# Does it matter? Here is a world made to find out. At home you can go right and be done, for nothing. Or left, to a
# lottery with ten tickets, of which each pays −0.1 on average. Left is a mistake.

# %%
lottery_env = gym.make("MaximisationBias-v0", render_mode="rgb_array")
lottery_env.reset(seed=0)
fig, ax = plt.subplots(figsize=(4.5, 1.5))
draw_tiles(ax, lottery_env.unwrapped)
ax.set_title("left pays N(−0.1, 1), right pays 0", fontsize=10)
show(fig, alt="Four squares in a row: end, lottery, home, end. The episode begins at home.")

# %%
lottery = TableWorld.from_env(lottery_env)
LEFT, HOME, RUNS = 0, 2, 1000
bias_config = ControlConfig(episodes=300, step_size=0.1, epsilon=0.1)


def goes_left(kind):
    """Whether each of many learners went left in each episode, `[runs, episodes]`."""
    left = np.zeros((RUNS, bias_config.episodes), bool)
    for seed in range(RUNS):
        lottery.seed(seed)
        learner = kind(lottery.action_counts, bias_config, seed)
        left[seed] = [episode.actions[0] == LEFT for episode in episodes(lottery, learner, bias_config)]
    return left


went = {"Q-learning": goes_left(QLearning), "double Q-learning": goes_left(DoubleQLearning)}
fig, ax = plt.subplots()
for name, left in went.items():
    share, episode = 100 * left.mean(0), np.arange(1, 301)
    error = 100 * left.std(0) / RUNS**0.5
    [line] = ax.plot(episode, share, label=f"{name} (± standard error of {RUNS} runs)")
    ax.fill_between(episode, share - error, share + error, color=line.get_color(), alpha=0.25, linewidth=0)
ax.axhline(5, color="black", linestyle="--", linewidth=1, label="the best at ε = 0.1: 5 %")
ax.set(title="Drawn to the lottery", xlabel="episode", ylabel="went left (%)", ylim=(0, 100))
ax.legend(fontsize=9)
summary = {name: (100 * left.mean(0).max(), 100 * left[:, -50:].mean()) for name, left in went.items()}
show(fig, alt="How many learners go left, by episode. " + " ".join(
    f"{name}: {peak:.0f} % at its height, {end:.0f} % at the end." for name, (peak, end) in summary.items())
    + " The best would be 5 %.")
for name, (peak, end) in summary.items():
    book = {"Q-learning": "about 95 and 12", "double Q-learning": "about 52 and 7"}[name]
    print(f"{name:18} at its height {peak:.0f} %, last 50 episodes {end:.0f} %    (simulated elsewhere: {book})")

# %% [markdown]
# Early on nearly every Q-learner runs to the lottery, because one of the ten tickets has been lucky so far and Q takes
# that luck for merit. It is unlearned only as slowly as luck averages out.
#
# **Double Q-learning** keeps two tables, and a coin decides which of them learns from a step. One table says *which*
# action is best, and the other says what it is *worth*. A ticket that was lucky in the first table was not
# especially lucky in the second:
#
# $$\text{target for } Q_1 = r + \gamma\, Q_2\bigl(s', \arg\max_b Q_1(s', b)\bigr)$$

# %%
difference(QLearning, DoubleQLearning)

# %% [markdown]
# It is the oldest rule of honest testing: do not grade the winner by the exam that made it the winner. Statisticians
# call the effect the *winner's curse*, and machine learners know it as tuning on the test set.
#
# > **You will meet it again.** Let GPT-2 write sixteen answers, let a reward model score them, keep the best. The more
# > answers, the more the winner is the one whose score is *wrong* in the right direction. Chapters 13 and 14 measure
# > it: the reward model's opinion rises, the true reward falls.

# %% [markdown]
# ## With a model and without
#
# All learners of this chapter are **model-free**: they never learn where an action leads. There is another way to use
# the same experience. Count what followed what, take the counts for the world's table, and plan in that table as in
# chapter 03. That is **model-based**.
#
# Two students on the slippery lake, both wandering at random (Q-learning is off-policy: it may). Same number of
# steps. One keeps Q, the other keeps counts. (To be fair to Q-learning, its step size is the best of three schedules
# that were tried.)

# %%
def plan_from_counts(transitions, gamma=0.99):
    """Value iteration in the world as it was seen: `[S, A]`."""
    counts, paid = np.zeros((16, 4, 16)), np.zeros((16, 4))
    for state, action, reward, next_state in transitions:
        counts[state, action, next_state] += 1
        paid[state, action] += reward
    tried = np.maximum(counts.sum(-1), 1)  # [S, A]
    values = np.zeros(16)
    for _ in range(300):
        q = paid / tried + gamma * (counts / tried[:, :, None]) @ values  # [S, A]
        values = q.max(1)
    return q.round(9)  # equal but for the last bit is equal


budgets = [100, 300, 1000, 3000, 10_000, 30_000]  # steps in the world
with_model, without = np.zeros((2, 20, len(budgets)))
for seed in range(20):
    for i, budget in enumerate(budgets):
        tries = round(budget / 7.7)  # a random walk on this ice lasts 7.7 steps
        wander = ControlConfig(episodes=tries, step_size=0.5, final_step_size=0.02, epsilon=1.0, gamma=0.99)
        lake.seed(seed)
        learner, seen = QLearning(lake.action_counts, wander, seed), []
        for e in episodes(lake, learner, wander):
            seen += zip(e.states, e.actions, e.rewards, e.states[1:])
        without[seed, i] = expected_return(lake, epsilon_greedy(np.array(learner.q)))
        with_model[seed, i] = expected_return(lake, epsilon_greedy(plan_from_counts(seen)))

fig, ax = plt.subplots()
band(ax, budgets, with_model, "counts, then plans", kind="mean", color="C2")
band(ax, budgets, without, "Q-learning", kind="mean", color="C0")
ax.axhline(0.7402, color="black", linestyle="--", linewidth=1)
ax.annotate("the best policy for γ = 0.99: 0.7402", (100, 0.7402), xytext=(0, 4), textcoords="offset points",
            fontsize=9)
ax.set(title="A model gets more out of the same steps", xlabel="random steps on the ice", xscale="log",
       ylabel="exact chance to arrive", ylim=(0, 0.85))
ax.set_xticks(budgets, [f"{budget:,}" for budget in budgets])
ax.minorticks_off()
ax.legend(fontsize=9, loc="upper left", bbox_to_anchor=(0, 0.87))
show(fig, alt="The exact score of what was learned, against the number of random steps on the ice; means of twenty: "
     + "; ".join(f"{b} steps: {m:.2f} with a model, {f:.2f} without" for b, m, f in
                 zip(budgets, with_model.mean(0), without.mean(0))))

# %% [markdown]
# From the same steps the planner gets more: it combines what it saw in one episode with what it saw in another,
# whereas Q-learning uses each step once and forgets it. The price is the table: S·A·S counts, and a plan over all of
# them. Sixteen squares are nothing. CartPole's states cannot be counted at all.
#
# And text? Chapter 03 showed that its model is known perfectly: the next state is the text plus one token. Nobody has
# to learn it. It is useless all the same, because with 50 000 tokens and a thousand positions nobody can *plan* in
# it. So language models are trained without planning, and everything from chapter 07 on is model-free.

# %% [markdown]
# ## Check yourself
#
# <details><summary>Set ε = 0 from the first step on. What is the difference between SARSA, expected SARSA and
# Q-learning then?</summary>
#
# None: the action that will be taken is the best one, and the average over the policy is its value. Off-policy and
# on-policy differ only as far as the policy that acts differs from the greedy one. (Whether such a learner ever tries
# enough is another matter.)
# </details>
#
# <details><summary>On the cliff, γ = 1, a walker is cut off after 100 steps. A colleague's target is
# <code>reward</code> wherever the episode is over, for whatever reason. What does the walker learn?</summary>
#
# That being cut off costs nothing more: in the state where the clock ran out, the future is taken to be 0, which on
# the cliff is *better* than any real future (all rewards are negative). So wasting time until the limit looks
# attractive. Only `terminated` means that there is no future.
# </details>
#
# <details><summary>Why does Q-learning need no importance weights, although it is off-policy?</summary>
#
# Its target asks what happened after (s, a): a reward and a next state, which the world drew, not the policy. From
# there on it takes the maximum over the table and asks nothing of the action that was really taken. Weights become
# necessary where a target contains actions of the other policy, as Monte Carlo's and n-step targets do.
# </details>
#
# <details><summary>Double Q-learning acts by the mean of its two tables. Is the maximum of <em>that</em> mean a fair
# estimate?</summary>
#
# No. It is still a maximum of noisy numbers. But it is only used to choose an action, and never as a target, so
# nothing is learned from the flattery.
# </details>
#
# <details><summary>A learner on the 8 × 8 lake has scored 0 for a thousand episodes. Name two explanations, and how to
# tell them apart.</summary>
#
# It may not have met the goal yet (the task is hard), or it cannot (ties, an ε that is never used, a table that is
# never written). Count the visits. A learner that wanders has been on nearly all squares; the one with the ties spends
# nearly all its time on the left edge, and one whose table is never written has the table it began with.
# </details>

# %% [markdown]
# ## You can now …
#
# … learn to act in any world of discrete states without knowing its rules; choose between learning about the policy
# that acts and learning about the best one; give a policy a limit before it takes the evening; and distrust a
# maximum. Your vocabulary has grown by
#
# ```python
# epsilon_greedy(q, epsilon)    # [S, A] -> [S, A]: the policy that a table of action values stands for
# ```
#
# Now the exercises: `rlcourse lab 5` opens them. You will write the choice, the targets and the twin tables, and
# take somebody across the cliff.
#
# **Further reading**
#
# - R. S. Sutton and A. G. Barto, *Reinforcement Learning: An Introduction*, 2nd edition, MIT Press 2018, chapters 5, 6
#   and 8: the cliff is example 6.6, the windy grid 6.5, the lottery 6.7; chapter 8 plans with learned models.
# - C. J. C. H. Watkins and P. Dayan, *Q-learning*, Machine Learning 8, 1992: why it arrives.
# - G. A. Rummery and M. Niranjan, *On-line Q-learning using connectionist systems*, Cambridge University, technical
#   report CUED/F-INFENG/TR 166, 1994: SARSA, before it had its name.
# - H. van Seijen, H. van Hasselt, S. Whiteson and M. Wiering, *A Theoretical and Empirical Analysis of Expected
#   Sarsa*, ADPRL 2009: the same target with less noise.
# - H. van Hasselt, *Double Q-learning*, NeurIPS 2010; and H. van Hasselt, A. Guez and D. Silver, *Deep Reinforcement
#   Learning with Double Q-learning*, AAAI 2016, [arXiv:1509.06461](https://arxiv.org/abs/1509.06461): the flatterer
#   in Atari games.
# - J. E. Smith and R. L. Winkler, *The Optimizer's Curse*, Management Science 52(3), 2006: the same in business
#   decisions.
