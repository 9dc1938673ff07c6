# %% [markdown]
# # 05 · SARSA and Q-learning: exercises
#
# Five exercises: the choice, two targets, the twin tables, and then a whole learner that has to cross the cliff. In a
# terminal, `rlcourse hint 05.1` gives one hint at a time.

# %%
import random

import gymnasium as gym
import matplotlib.pyplot as plt
import numpy as np

from rlcore.envs.grid_worlds import MOVES, grid_places
from rlcore.envs.table_env import TabularEnv, draw_tiles
from rlcore.envs.table_plots import draw_arrows, draw_values
from rlcore.envs.tables import TabularMDP
from rlcore.plotting import house_style, show
from rlcourse import check

house_style()

# %% [markdown]
# ## 05.1 The choice
#
# `row` is a list: what each action is worth in some state, as far as you know. Return the number of an action. With
# probability `epsilon` draw any action, all equally likely, the best included. Otherwise return a best action, and if
# several are equally good, any of them, all equally likely.
#
# `dice` is a `random.Random`: `dice.random()` is a number in [0, 1), and `dice.choice(some_list)` draws from a list.

# %% exercise="05.1"
def choose(row, epsilon, dice):
    """ε-greedy, with ties broken at random: the number of an action."""
    ### BEGIN SOLUTION
    if dice.random() < epsilon:
        return dice.choice(range(len(row)))
    highest = max(row)
    return dice.choice([action for action, value in enumerate(row) if value == highest])
    ### END SOLUTION


# %%
check("05.1", choose)

# %% [markdown]
# ## 05.2 One step of Q-learning
#
# `q` is an array `[S, A]`. Somebody did `action` in `state`, was paid `reward` and came to `next_state`, where the
# episode ended if `terminated` is True. Return the table after Q-learning has learned from this one step; leave the
# old one as it is.
#
# $$Q(s, a) \leftarrow Q(s, a) + \alpha\,\bigl(r + \gamma \max_b Q(s', b) - Q(s, a)\bigr)$$
#
# After the end there is no future, whatever the table says about `next_state`.

# %% exercise="05.2"
def q_learning_step(q, state, action, reward, next_state, terminated, alpha, gamma):
    """The table after one step, `[S, A]`."""
    ### BEGIN SOLUTION
    q = q.copy()
    future = 0.0 if terminated else q[next_state].max()
    q[state, action] += alpha * (reward + gamma * future - q[state, action])
    return q
    ### END SOLUTION


# %%
check("05.2", q_learning_step)

# %% [markdown]
# ## 05.3 What the next state is worth to somebody who stumbles
#
# Expected SARSA averages over what the ε-greedy policy may do in the next state. `row` is that state's row of the
# table, a list. Return
#
# $$\sum_b \pi(b)\, Q(b)$$
#
# where π is the policy of 05.1: with probability ε any action, otherwise a best one.

# %% exercise="05.3"
def expected_future(row, epsilon):
    """The mean of a row under the ε-greedy policy: one number."""
    ### BEGIN SOLUTION
    return (1 - epsilon) * max(row) + epsilon * sum(row) / len(row)
    ### END SOLUTION


# %%
check("05.3", expected_future)

# %% [markdown]
# ## 05.4 Twins
#
# Double Q-learning has two tables, `q1` and `q2`, both `[S, A]`. The coin has been thrown, and it is the first one's
# turn to learn. `q1` says which action is best in the next state, `q2` says what that action is worth:
#
# $$Q_1(s, a) \leftarrow Q_1(s, a) + \alpha\,\bigl(r + \gamma\, Q_2(s', \arg\max_b Q_1(s', b)) - Q_1(s, a)\bigr)$$
#
# Return the new `q1`. Leave both arguments as they are.

# %% exercise="05.4"
def double_q_step(q1, q2, state, action, reward, next_state, terminated, alpha, gamma):
    """The first table after one step of which it was its turn to learn, `[S, A]`."""
    ### BEGIN SOLUTION
    new = q1.copy()
    future = 0.0 if terminated else q2[next_state, q1[next_state].argmax()]
    new[state, action] += alpha * (reward + gamma * future - q1[state, action])
    return new
    ### END SOLUTION


# %%
check("05.4", double_q_step)

# %% [markdown]
# ## 05.5 Across the cliff
#
# Now the whole thing. `world` is Gymnasium's CliffWalking: 48 states, 4 actions, `state, info =
# world.reset(seed=seed)` and `state, reward, terminated, truncated, info = world.step(action)`. This one is cut off
# after 1000 steps. Play `episodes` episodes, learn by Q-learning, and return the table, `[48, 4]`.
#
# It passes when whoever follows your table greedily takes the shortest path, −13, on each of three seeds, after 400
# episodes. α = 0.5, ε = 0.1 and γ = 1 will do. You may use `choose` from above.

# %% exercise="05.5"
def cross_the_cliff(world, episodes, seed):
    """Q-learning: the table after so many episodes, `[48, 4]`."""
    ### BEGIN SOLUTION
    alpha, epsilon, gamma = 0.5, 0.1, 1.0
    dice = random.Random(seed)
    q = [[0.0] * 4 for _ in range(48)]
    for episode in range(episodes):
        state, _ = world.reset(seed=seed if episode == 0 else None)
        done = False
        while not done:
            if dice.random() < epsilon:
                action = dice.randrange(4)
            else:
                action = dice.choice([a for a in range(4) if q[state][a] == max(q[state])])
            next_state, reward, terminated, truncated, _ = world.step(action)
            future = 0.0 if terminated else max(q[next_state])
            q[state][action] += alpha * (reward + gamma * future - q[state][action])
            state, done = next_state, terminated or truncated
    return np.array(q)
    ### END SOLUTION


# %%
check("05.5", cross_the_cliff)

# %% [markdown]
# Your table: above, what it is worth to stand in each square; below, what you would do there.

# %% needs="05.5"
cliff = gym.make("CliffWalking-v1", max_episode_steps=1000)
q = np.asarray(cross_the_cliff(cliff, episodes=400, seed=0))
ground = np.arange(48) < 37  # the rest is the cliff, in which nobody stands, and the goal
board = TabularEnv(TabularMDP.from_env(cliff), places=grid_places(4, 12), labels=[""] * 37 + ["×"] * 10 + ["G"])
best = (q == q.max(1, keepdims=True)) & ground[:, None]
fig, (above, below) = plt.subplots(2, 1, figsize=(7.2, 5.4))
draw_values(above, board, np.where(ground, q.max(1), 0.0), size=8)
draw_tiles(below, board)
draw_arrows(below, board, best / np.maximum(best.sum(1, keepdims=True), 1), MOVES)
above.set_title("What my table says")
below.set_title("What I would do")
show(fig, alt=f"The 4 by 12 grid with the learned values; the start is worth {q[36].max():.1f}.")

# %% [markdown]
# Something to try: make it SARSA (one line), and look at the picture again. Then let ε fall to 0 over the episodes.
# Which path does SARSA take in the end, and why?
#
# (With endless patience it would be Q-learning's. In a few hundred episodes it is not: by the time the edge has become
# safe, hardly anybody goes there any more to find out.)
