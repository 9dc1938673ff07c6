# %% [markdown]
# # 03 · Markov decision processes
#
# A bandit's arm pays, and then everything is as it was before. Most things are not like that. What you do now also
# decides *where you will be next*, and a place can be worth more than a payment.
#
# When you have worked through this page you can say exactly how good it is to be somewhere, and how good it is to do
# something there; find the best policy of any world whose rules you know; and read a text as a state, in a language
# so small that you can say of each of its tokens what it was worth. The dog will get a plan, too.
#
# *About 90 minutes, difficulty 2 of 5. You need chapter 01 (return, γ, policy); of chapter 02 only that an action has
# a value.*

# %%
from itertools import islice

import gymnasium as gym
import matplotlib.pyplot as plt
import numpy as np
import torch

from rlcore.envs.grid_worlds import A, A_LANDS, B, B_LANDS
from rlcore.envs.table_env import draw_tiles
from rlcore.envs.table_plots import draw_action_values, draw_arrows, draw_values
from rlcore.plotting import animate, band, house_style, show
from rlcore.policies import TabularPolicy

torch.set_num_threads(1)
torch.manual_seed(0)
house_style()

# %% [markdown]
# ## A world with two trapdoors

# %%
grid = gym.make("JumpGrid-v0", render_mode="rgb_array", max_episode_steps=25)
dice = TabularPolicy(num_states=25, num_actions=4)  # a table of preferences; a new one prefers nothing
animate(grid, dice, seed=4, alt="A walker rolls dice on a grid of 25 squares")

# %% [markdown]
# Twenty-five squares, four moves: up, right, down, left. Bump into the edge and you stay where you are and lose 1.
# Two squares are trapdoors. Whatever you do on **A**, you drop to A′ and get 10; whatever you do on **B**, you drop
# to B′ and get 5. Nothing else pays, and it never ends.
#
# Somebody who rolls dice will be dropped on this grid, and you may say where. Before you scroll on: how much is it
# worth to be dropped on A? Exactly 10? More, because there is a life after the trapdoor? Or less?

# %% [markdown]
# ## Ask the walkers
#
# We know how to find out. A return is a number (chapter 01), so let many walkers loose and average their discounted
# returns, separately for each square that they started on.

# %%
from rlcore.returns import discounted_returns
from rlcore.rollout import collect

GAMMA = 0.9
walkers = gym.make_vec("JumpGrid-v0", num_envs=5000, max_episode_steps=50)  # after 50 steps, γ⁵⁰ = 0.005 is left
walks = collect(dice, walkers, seed=0, generator=torch.Generator().manual_seed(0))
G = discounted_returns(walks.rewards, walks.done, GAMMA)[:, 0].double().numpy()  # [5000]
first = walks.states[:, 0].numpy()  # [5000] the square on which each began
walked = np.array([G[first == s].mean() for s in range(25)])  # [25]
error = np.array([G[first == s].std(ddof=1) / (first == s).sum() ** 0.5 for s in range(25)])

world = grid.unwrapped  # the grid without Gymnasium's wrappers
fig, axes = plt.subplots(1, 2, figsize=(7.2, 3.5))
draw_tiles(axes[0], world)
draw_values(axes[1], world, walked)
axes[0].set_title("The grid")
axes[1].set_title("Mean return of those who began there")
show(fig, alt="The grid with its trapdoors, and for each square the mean discounted return of the walkers that began "
              f"there: {walked[A]:.1f} on A, {walked[B]:.1f} on B, {walked[20]:.1f} in the bottom left corner.")
print(f"A: {walked[A]:.1f} ± {error[A]:.1f}    B: {walked[B]:.1f} ± {error[B]:.1f}    (mean ± standard error)")

# %% [markdown]
# A pays 10 and is worth *less* than 10. B pays 5, and is worth about what it pays. The trapdoor of A drops you at
# the bottom edge, where somebody who rolls dice keeps bumping into the wall; that of B in the middle. The payment is
# not the value: **where it leaves you** counts too.
#
# These are 250,000 steps, and the first decimal still shakes. But the rules of this world are known. So we should
# be able to *work out* those numbers, without a single step.

# %% [markdown]
# ## What a world is
#
# Here are the rules. Gymnasium's small worlds publish them as `P[state][action]`: a list of everything that can
# happen, each with its probability, the next state, the reward, and whether the episode is over.

# %%
P = world.P
for name, s in (("square A", A), ("top left corner", 0)):
    for action, move in enumerate(("up", "right", "down", "left")):
        print(f"{name:16} {move:6}", P[s][action])
ice = gym.make("FrozenLake-v1").unwrapped.P
print("\nslippery ice, top left corner, right:")
for p, s_next, r, terminated in ice[0][2]:
    print(f"   ({p:.3f}, {s_next}, {r}, {terminated})")

# %% [markdown]
# On our grid each list has one entry, because every move is certain. On ice you may slide: three entries, a third
# each.
#
# States, actions, these probabilities p(s′ | s, a), the rewards r(s, a), and a γ: that is all of a **Markov decision
# process** (MDP). *Markov* is a promise: the list depends on s and a and on nothing else. How you got here does not
# matter any more; whatever does matter is part of the state. Keep that promise in mind, we will break it at the end.
#
# The **value** of a state under a policy π is the return to expect from it on,
#
# $$V^\pi(s) = \mathbb{E}_\pi\left[\,G_t \mid s_t = s\,\right]$$
#
# and the picture above is a measurement of it.

# %% [markdown]
# ## One step, and then the rest
#
# In chapter 01 a return fell into two parts, $G_t = r_t + \gamma G_{t+1}$: the next reward, and γ times the return
# from there. Take the average of both sides. What is the average of the return "from there"? The value of the next
# state, by definition. So
#
# $$V^\pi(s) = \sum_a \pi(a \mid s)\,\Big[\, r(s,a) + \gamma \sum_{s'} p(s' \mid s, a)\, V^\pi(s') \Big]$$
#
# This is **Bellman's equation**. It says nothing about *how large* the values are, only that neighbours must agree.
# Do the measured ones?

# %%
for name, s, lands, pays in (("A", A, A_LANDS, 10), ("B", B, B_LANDS, 5)):
    print(f"V({name}) was measured as {walked[s]:.2f}, and {pays} + 0.9 · V({name}′) as "
          f"{pays + GAMMA * walked[lands]:.2f}")

# %% [markdown]
# They agree, as well as their noise allows. Now turn it round. Suppose nobody had walked, and all we had were the
# equation. Begin with values that are certainly wrong, zero everywhere, and make every square agree with its
# neighbours. That spoils the neighbours' agreement, so do it again.

# %%
def my_sweep(V):
    """Every square agrees with its neighbours' old values, `[25] -> [25]`."""
    V_new = np.zeros(25)
    for s in range(25):
        for a in range(4):
            for p, s_next, r, terminated in P[s][a]:
                V_new[s] += 0.25 * p * (r + GAMMA * (not terminated) * V[s_next])  # π(a | s) = 1/4
    return V_new


V, guesses = np.zeros(25), []
for _ in range(200):
    guesses.append(V)
    V = my_sweep(V)

fig, axes = plt.subplots(1, 5, figsize=(9.5, 2.2))
for ax, k in zip(axes, (1, 2, 4, 10, 199), strict=True):
    draw_values(ax, world, guesses[k], limits=(-2, 9), size=7)
    ax.set_title(f"{k} sweep{'s' * (k > 1)}", fontsize=10)
show(fig, alt="The values after 1, 2, 4, 10 and 199 sweeps: first only the trapdoors and the edges have one, then it "
              f"spreads over the grid, until A is worth {guesses[199][A]:.1f} and the bottom corners are negative.")

# %% [markdown]
# After one sweep only the payments are known. After two, squares next to A know that it is near. News travels one
# square per sweep, and then the numbers stand still. Sutton and Barto print them in their book (Example 3.5):

# %%
print("the book, first row ", [3.3, 8.8, 4.4, 5.3, 1.5])
print("our sweeps          ", V[:5].round(1).tolist())
print("5000 walkers        ", walked[:5].round(1).tolist(), " ±", error[:5].round(1).tolist())

# %% [markdown]
# How fast is that? Look at the largest error over all squares.

# %%
errors = np.abs(np.array(guesses) - V).max(1)[:100]  # [100]
fig, ax = plt.subplots()
ax.semilogy(errors, label="largest error of the sweeps")
ax.semilogy(errors[0] * GAMMA ** np.arange(100), "--", color="black", label="times γ in every sweep")
ax.axhline(error.max(), color="C1", label="largest standard error of the walkers")
ax.set(title="Each sweep shrinks the error by γ or better", xlabel="sweeps", ylabel="largest error of a value")
ax.legend(fontsize=9)
show(fig, alt=f"The largest error falls from {errors[0]:.1f} to {errors[-1]:.1e} in 100 sweeps, a straight line on a "
              "logarithmic axis, steeper than the line that loses a factor of gamma in each sweep.")

# %% [markdown]
# That is no accident. In a sweep, everything that was wrong with a neighbour's value arrives multiplied by γ, and an
# average of errors is never larger than the largest. So the largest error shrinks by γ at least, in any world,
# whatever you begin with. (Such a map is called a *contraction*; it is why there is exactly one answer.)
#
# This is **policy evaluation**, the first algorithm of *dynamic programming*. What did we change, compared with the
# bandit of chapter 02? The target. There, a value moved towards what the action paid. Here, it is what the action
# pays, *plus what the place is worth to which it leads*:
#
# ```diff
# - target = r                          # a bandit: afterwards all is as before
# + target = r + gamma * V[s_next]      # an MDP: afterwards you are somewhere
# ```
#
# The other difference is that we have the rules, and average over them, instead of over luck.

# %% [markdown]
# ## How good is a *move*?
#
# V tells you where it is good to be. To act you need to know what is good to *do*. Take Bellman's equation apart:
# what stands in its brackets is the value of doing a first, and following π after that,
#
# $$Q^\pi(s,a) = r(s,a) + \gamma \sum_{s'} p(s' \mid s, a)\, V^\pi(s')$$
#
# and how much better that is than what π does on average is the **advantage**:
#
# $$A^\pi(s,a) = Q^\pi(s,a) - V^\pi(s)$$

# %%
def my_action_values(V):
    """Look one step ahead, `[25] -> [25, 4]`."""
    Q = np.zeros((25, 4))
    for s in range(25):
        for a in range(4):
            for p, s_next, r, terminated in P[s][a]:
                Q[s, a] += p * (r + GAMMA * (not terminated) * V[s_next])
    return Q


def draw_three(V, Q, advantage, titles, limits):
    """V, Q and the advantage on the same grid, side by side."""
    fig, axes = plt.subplots(1, 3, figsize=(10.5, 3.9))
    draw_values(axes[0], world, V, limits)
    draw_action_values(axes[1], world, Q, limits, size=6.5)
    draw_action_values(axes[2], world, advantage, diverging=True, size=6.5)
    for ax, title in zip(axes, titles, strict=True):
        ax.set_title(title, fontsize=11)
    return fig, axes


Q = my_action_values(V)
advantage = Q - V[:, None]  # [25, 4]
fig, _ = draw_three(V, Q, advantage, ["V: rolling dice from here", "Q: one move, then rolling dice",
                                      "A = Q − V: better than dice?"], (-3, 9))
show(fig, alt="V, Q and the advantage of somebody who rolls dice. In the square left of A, moving right is worth "
              f"{Q[0, 1]:.1f}, which is {advantage[0, 1]:.1f} better than the dice. On A and B themselves all "
              "advantages are 0.")

# %% [markdown]
# Read the third picture, for it is the one that this course lives on. Blue: do this more often. Red: less often. On
# the trapdoors everything is white, since there it makes no difference what you do. In each square the four numbers
# add up to 0 (up to rounding; for another policy, weigh them by its probabilities): nobody is better than their own
# average in everything.
#
# The advantage does not say what is good. In the bottom left corner every Q is negative, and still some moves are
# blue. It says what is better *than what you do now*. From PPO to GRPO, everything that trains a language model in
# this course multiplies log-probabilities by an estimate of this one number.

# %% [markdown]
# ## Do the blue thing
#
# So do not roll dice. In each square take the move with the highest Q. Is that better? It was only the *first* move
# that we judged, with dice rolled after it. But now the second move is better than dice too, so things can only be
# better still: that is the **policy improvement theorem**. The new policy has values of its own, hence new Qs, hence
# perhaps better moves. Round and round:

# %%
def my_values(policy):
    """Sweep until nothing moves: V of a policy `[25, 4]`."""
    V = np.zeros(25)
    for _ in range(200):
        V = (policy * my_action_values(V)).sum(1)
    return V


def my_greedy(Q):
    """All the probability on the best moves, in equal shares."""
    best = np.isclose(Q, Q.max(1, keepdims=True), atol=1e-6)
    return best / best.sum(1, keepdims=True)


policy, rounds = np.full((25, 4), 0.25), []
while not rounds or np.abs(rounds[-1][1] - my_values(policy)).max() > 1e-6:
    V = my_values(policy)
    rounds.append((policy, V))
    policy = my_greedy(my_action_values(V))

fig, axes = plt.subplots(1, len(rounds), figsize=(10.5, 10.5 / len(rounds) + 0.3))
for i, (ax, (policy, V)) in enumerate(zip(axes, rounds, strict=True)):
    draw_values(ax, world, V, limits=(-2, 25), size=7)
    draw_arrows(ax, world, policy, start=0.3)
    ax.set_title("dice" if i == 0 else f"round {i}", fontsize=10)
show(fig, alt=f"Policy iteration: the arrows and values of {len(rounds)} policies, from dice to the best one. The "
              "value of A goes " + ", ".join(f"{V[A]:.1f}" for _, V in rounds) + ".")

# %% [markdown]
# A handful of rounds, and it stands still: no square has a move that is better than the one it makes. This is
# **policy iteration**. Count the possible policies, 4²⁵, a quadrillion: it tried a handful of them, and there is no
# better one.
#
# How can we know? Where nothing can be improved, the average over π has become a maximum, and V solves
#
# $$V^*(s) = \max_a \Big[\, r(s,a) + \gamma \sum_{s'} p(s' \mid s, a)\, V^*(s') \Big]$$
#
# **Bellman's optimality equation.** A maximum does not stretch errors either, so this one also has just one
# solution: V\*, the value of the best policy. Everybody who cannot be improved has arrived at the same numbers.

# %% [markdown]
# ## One word
#
# But then why wait for the evaluation to finish? Sweep with the maximum from the start:
#
# ```diff
#   Q = my_action_values(V)
# - V = (policy * Q).sum(1)     # policy evaluation: what you do on average
# + V = Q.max(1)                # value iteration: the best you can do
# ```

# %%
V, guesses = np.zeros(25), []
for _ in range(300):
    guesses.append(V)
    V = my_action_values(V).max(1)
V_star, Q_star = V, my_action_values(V)

fig, axes = plt.subplots(1, 4, figsize=(10.5, 3))
for ax, k in zip(axes, (1, 5, 40, 299), strict=True):
    draw_values(ax, world, guesses[k], limits=(-2, 25), size=7)
    draw_arrows(ax, world, my_greedy(my_action_values(guesses[k])), start=0.3)
    ax.set_title(f"{k} sweep{'s' * (k > 1)}", fontsize=10)
show(fig, alt="Value iteration after 1, 5, 40 and 299 sweeps: the values grow outwards from the trapdoors. After 40 "
              "the arrows are the final ones, while the values still grow.")
print("the book, first row (Example 3.8)", [22.0, 24.4, 22.0, 19.4, 17.5])
print("value iteration                  ", V_star[:5].round(1).tolist())
print("policy iteration                 ", rounds[-1][1][:5].round(1).tolist())

# %%
fig, ax = plt.subplots()
ax.semilogy(np.abs(np.array(guesses) - V_star).max(1)[:150], label="value iteration")
ax.semilogy([np.abs(V - V_star).max() + 1e-12 for _, V in rounds], "o-", markersize=5,
            label="policy iteration (one dot is a whole evaluation)")
settled = max(k for k in range(300) if (my_greedy(my_action_values(guesses[k])) != my_greedy(Q_star)).any()) + 1
ax.axvline(settled, color="black", linestyle="--", label=f"from sweep {settled} on its arrows are all right")
ax.set(title="Two roads to V*", xlabel="sweeps, or rounds", ylabel="largest error of a value", ylim=(1e-9, 100))
ax.legend(fontsize=9)
show(fig, alt="The largest error against V*: value iteration falls on a straight line on a logarithmic axis; policy "
              f"iteration arrives after {len(rounds) - 1} rounds. Value iteration's policy is right from sweep "
              f"{settled} on, long before its values are.")

# %% [markdown]
# Value iteration takes many cheap steps, policy iteration few expensive ones. And look at the dashed line: the
# *policy* is right long before the *values* are. To choose well you need not know how good things are, only which
# is better. That thought returns in chapter 07 and grows into half of this course.

# %%
A_star = Q_star - V_star[:, None]
fig, _ = draw_three(V_star, Q_star, A_star, ["V*: the best from here", "Q*: one move, then the best",
                                             "A* = Q* − V*: white is best"], (5, 25))
show(fig, alt=f"V*, Q* and the advantage of the best policy on the same grid. A is worth {V_star[A]:.1f}. No advantage "
              "is above 0; the best moves have exactly 0 and lead to A from nearly everywhere.")

# %% [markdown]
# The same three pictures as before, for the best policy. All blue is gone: nothing is better than the best. And A is
# worth 24.4 now: ten every five steps, 10 / (1 − 0.9⁵).
#
# > **Change this number and run again.** Set `GAMMA = 0.5` at the top and run everything down to here. Which
# > squares will change their mind and go to B? Say it before you look.

# %% [markdown]
# ## What you built, and `rlcore`'s
#
# The library's versions take the world as arrays, `TabularMDP`, and also know the shortcut that a computer scientist
# asks for at once: Bellman's equation for a fixed policy is *linear*, so one can just solve it, `exact_values`. That
# is our oracle from now on.

# %% tags=["nbval-check-output"]
from rlcore.agents.dynamic_programming import DPConfig, action_values, advantages, exact_values, train
from rlcore.envs.tables import TabularMDP

mdp = TabularMDP.from_env(grid)
uniform = np.full((25, 4), 0.25)
solved = exact_values(mdp, uniform, gamma=0.9)
assert np.allclose(my_values(uniform), solved, atol=1e-6)
assert np.allclose(my_action_values(solved), action_values(mdp, solved, gamma=0.9))
assert np.allclose(advantage, advantages(uniform, action_values(mdp, solved, gamma=0.9)), atol=1e-6)
for method in ("value_iteration", "policy_iteration"):
    best = train(mdp, DPConfig(gamma=0.9, method=method))
    assert np.allclose(best.value, V_star) and np.allclose(best.q, Q_star)
print("the same: V, Q and advantage of the dice; V* and Q*, by both roads")

# %% [markdown]
# ## How long is the future?
#
# We discounted, so that a sum without end is finite. There is another way: count everything in full, and stop after
# T steps. An episode of text is like that. Both are common, and they are not the same question.
#
# With T steps to go, the best value is one reward plus the best value with T − 1 to go. Which is a sweep of value
# iteration, with γ = 1! So the k-th guess was never just a guess: it is the exact answer for a world that ends after
# k steps. Here is slippery ice, *FrozenLake*: 1 for reaching the goal G, nothing for falling into a hole.

# %%
from rlcore.agents.dynamic_programming import evaluation_sweeps, greedy, value_iteration_sweeps
from rlcore.envs.grid_worlds import grid_places
from rlcore.envs.table_env import TabularEnv

lake = TabularMDP.from_env(gym.make("FrozenLake-v1"))
to_go = np.array(list(islice(value_iteration_sweeps(lake, gamma=1.0), 601)))  # [601, 16] best with k steps to go
patient = greedy(train(lake, DPConfig(gamma=0.99)).q)  # infinite and discounted: one policy for all times
within = np.array(list(islice(evaluation_sweeps(lake, patient, gamma=1.0), 601)))  # what it reaches in k steps

fig, axes = plt.subplots(1, 2, figsize=(9.5, 3.4))
axes[0].plot(to_go[:201, 0], label="best plan for so many steps (γ = 1)")
axes[0].plot(within[:201, 0], "--", label="best policy at γ = 0.99, cut off")
axes[0].axhline(14 / 17, color="black", linewidth=1, label="no limit: 14/17")
axes[0].set(title="How likely one reaches the goal", xlabel="steps allowed", ylabel="probability", ylim=(0, 1))
axes[0].legend(fontsize=9, loc="lower right")
axes[1].plot(100 * (to_go - within)[:201, 0])
axes[1].set(title="What the one policy for all times gives away", xlabel="steps allowed", ylabel="percentage points")
show(fig, alt="Left, the probability of reaching the goal against the steps allowed, for the best plan and for the "
              "discounted policy: they nearly coincide and approach 14/17. Right, the gap between them: at most "
              f"{100 * (to_go - within)[:201, 0].max():.1f} percentage points, and gone for long walks.")
print(f"within 100 steps: best plan {to_go[100, 0]:.4f} (known: 0.7442), policy of γ = 0.99 {within[100, 0]:.4f} "
      "(known: 0.7402)")

# %% [markdown]
# They give away very little. So what is the difference? Look at what they *do*.

# %%
lake_world = TabularEnv(lake, places=grid_places(4, 4), labels=list("SFFFFHFHFFFHHFFG"))
LAKE_MOVES = ((0, -1), (1, 0), (0, 1), (-1, 0))  # FrozenLake's own order: left, down, right, up
plans = {f"{k} steps to go": greedy(action_values(lake, to_go[k - 1], 1.0)) for k in (5, 20)}
plans["for ever, γ = 0.99"] = patient
fig, axes = plt.subplots(1, 3, figsize=(9, 3.3))
for ax, (title, plan) in zip(axes, plans.items(), strict=True):
    draw_tiles(ax, lake_world)
    draw_arrows(ax, lake_world, plan, LAKE_MOVES, start=0.2)
    ax.set_title(title, fontsize=11)
moved = (np.abs(plans["5 steps to go"] - patient).max(1) > 1e-9) & ~lake.terminal
show(fig, alt="Best moves on the frozen lake with 5 steps to go, with 20, and for ever. With 5 to go "
              f"{moved.sum()} of {(~lake.terminal).sum()} squares have other best moves than for ever; where the goal "
              "is out of reach, every move is as good.")

# %% [markdown]
# (They steer *away* from holes and let the ice push them sideways; that is what the odd arrows are.) With few steps to
# go other moves are best, and where the goal is out of reach all four are equally good. So a **finite,
# undiscounted** world needs a plan for every time left; its clock is part of the state. An **infinite, discounted**
# one looks the same tomorrow as today, and one policy does for ever.
#
# They are closer relatives than they look. Imagine that after every step the world ends with probability 1 − γ, and
# count in full:

# %%
def mortal_outcomes(s, a):
    """The trapdoor grid, whose every step is the last one with probability 0.1."""
    ((_, s_next, r, _),) = P[s][a]
    return [(0.9, s_next, r, False), (0.1, s_next, r, True)]


mortal = TabularMDP.from_function(25, 4, mortal_outcomes, start=mdp.start)
gap = np.abs(exact_values(mortal, uniform, gamma=1.0) - exact_values(mdp, uniform, gamma=0.9)).max()
print("the same values, to 1e-9:", gap < 1e-9)

# %% [markdown]
# A discount of 0.9 *is* a life that ends with probability 0.1 per step, 10 steps long on average. That is the
# honest way to choose γ: how far do you want it to see? 1 / (1 − γ) steps.

# %% [markdown]
# ## Text is a Markov decision process
#
# Now the reason why all this stands in a course on language models. The vet asks how the dog is. We have three
# tokens to answer with, and room for four:

# %%
from rlcore.envs.tiny_language import TinyLanguage

language = TinyLanguage(tokens=("good", "not", "."), max_length=4)
paid = {text: language.reward(text) for text in language.sentences}
print(len(language.texts), "texts,", len(paid), "of them whole sentences. Those that pay:")
print({text: reward for text, reward in paid.items() if reward})

# %% [markdown]
# The dog is fine. Saying so pays 1, saying so with a double negation a half, denying it costs 1, babble is worth
# nothing. The **state** is the text so far; an **action** is the next token; the **transition is certain**, for the
# next state is the old text with the token appended; the **reward** comes at the end of the sentence; and γ = 1,
# since a long answer is not worth less *because* it is long. A text that fills its four places without a full stop
# is over too (`terminated`, not `truncated` as in chapter 01: here the length is a rule of the world, and such a
# text is judged like any other). It is Markov in the most literal way: the state *is* the history.
#
# A writer who rolls dice over the three tokens is the first language model of this course. All it could ever say,
# with its probability:

# %%
writer = TabularPolicy(num_states=len(language.texts), num_actions=3)
probabilities = language.log_probs(writer).exp().detach().numpy()  # [31] exact: the product over its tokens
order = np.argsort([-paid[text] * 10 - p for text, p in zip(language.sentences, probabilities, strict=True)])
for text, probability in [(language.sentences[i], probabilities[i]) for i in (*order[:4], order[-1])]:
    print(f"   {text:24} probability {probability:.4f}   reward {paid[text]:+.1f}")
expected = sum(p * paid[text] for p, text in zip(probabilities, language.sentences, strict=True))
print(f"all {len(paid)}: probabilities add up to {probabilities.sum():.6f}, expected reward {expected:.4f}")

# %% [markdown]
# And what is each *unfinished* text worth? The same functions as on the grid; they do not know that they read.

# %%
from rlcore.envs.table_plots import shades

text_world = gym.make("TinyLanguage-v0").unwrapped
rolling = np.full((len(language.texts), 3), 1 / 3)
V_text = exact_values(language.mdp, rolling, gamma=1.0)  # [46]
Q_text = action_values(language.mdp, V_text, gamma=1.0)  # [46, 3]
best_text = train(language.mdp, DPConfig(gamma=1.0))

whole = np.zeros(len(language.texts), bool)
whole[language.complete] = True
rewards = np.array([paid.get(language.words(s), 0.0) for s in range(len(whole))])
fig, axes = plt.subplots(1, 2, figsize=(9, 8))
trees = {"V: a writer who rolls dice": V_text, "V*: the best writer": best_text.value}
for ax, (title, values) in zip(axes, trees.items(), strict=True):
    shown = np.where(whole, rewards, values)  # a whole sentence shows what it paid
    marks = [f"{word}  {x:+.2f}".replace("-", "−") if abs(x) > 1e-9 else word
             for word, x in zip(text_world.labels, shown, strict=True)]
    draw_tiles(ax, text_world, shades(shown, (-1, 1), diverging=True), marks, size=7)
    ax.set_title(title, fontsize=11)
show(fig, alt="The tree of all texts, coloured by their value. For the writer who rolls dice the empty text is worth "
              f"{V_text[0]:.3f}, 'good' {V_text[language.state('good')]:.2f} and 'not' "
              f"{V_text[language.state('not')]:.2f}; for the best writer 'not' is still worth "
              f"{best_text.value[language.state('not')]:.1f}.")

# %% [markdown]
# The left tree says what a text is worth in the mouth of a babbler. In the right one, look at *not*: not even a
# false start is lost on a good writer, who goes on to *not not good*. V\* judges the text, not the one who wrote it.
#
# So a token has an advantage. Three sentences, seen through the babbler's V:

# %%
fig, axes = plt.subplots(1, 3, figsize=(9.5, 3.2), sharey=True)
for ax, text in zip(axes, ("good .", "not good .", "not not good ."), strict=True):
    tokens = text.split()
    states = [language.state(" ".join(tokens[:t])) for t in range(len(tokens))]
    gains = [Q_text[s, language.tokens.index(token)] - V_text[s] for s, token in zip(states, tokens, strict=True)]
    ax.bar(range(len(tokens)), gains, color=["C0" if gain > 0 else "C1" for gain in gains])
    for t, gain in enumerate(gains):
        ax.annotate(f"{gain:+.2f}".replace("-", "−"), (t, gain), (0, 2 if gain > 0 else -3),
                    textcoords="offset points", ha="center", va="bottom" if gain > 0 else "top", fontsize=9)
    ax.set_xticks(range(len(tokens)), tokens)
    ax.set(title=f"reward {paid[text]:+.1f}, sum {sum(gains):+.2f}".replace("-", "−"), ylim=(-1.25, 1.25))
    assert np.isclose(sum(gains), paid[text] - V_text[0])
axes[0].set_ylabel("advantage of the token")
show(fig, alt="The advantage of every token in 'good .', 'not good .' and 'not not good .' for the writer who rolls "
              "dice. In each sentence they add up to its reward minus the value of the empty text.")

# %% [markdown]
# One number came at the end of the sentence, and now every token has its share of it. In *not good .* the deed is
# done at the full stop: up to there, the sentence could still have gone either way. And the shares always add up to
# the reward minus V of the empty text, because each is the value after the token minus the value before, and the
# middle ones cancel. That was the assertion in the cell.
#
# Giving every token its share is called **credit assignment**. In chapter 14 a network called the *critic* guesses
# these Vs for GPT-2; GRPO, in chapter 16, gives every token of an answer the same share and lives without a critic.
# Here you have the truth that both of them estimate.

# %%
text, choices = "", []
while not language.sentences.count(text):
    choices.append(language.tokens[best_text.q[language.state(text)].argmax()])
    text = " ".join(choices)
print("the best writer says:", repr(text), "  V* of the empty text:", best_text.value[0])

# %% [markdown]
# Why do we not simply do that with GPT-2? Because the table has one row per text:

# %%
for tokens, length in ((3, 4), (3, 20), (50_257, 4), (50_257, 20)):
    texts = sum((tokens - 1) ** n for n in range(length))
    print(f"{tokens:6,} tokens, up to {length:2}: {float(texts):.1e} texts that can go on")

# %% [markdown]
# There are about 1e80 atoms in the universe. The equations are all still true; nobody can write down the table. So
# the rest of the course is the search for ways round it: learn from samples instead of the rules (04, 05), let a
# network stand in for the table (06), and skip the values, go for the policy (07).

# %% [markdown]
# ## The dog gets a plan
#
# Can this solve chapter 01? A throw is six real numbers, so there are infinitely many states. But a dog that knows
# how discs fly cares about three of them: how many steps are left until the disc is low enough to catch, how far it
# stands from that place, and how fast it runs. Cut these into cells, a quarter of a metre wide, and the result is a
# table; where a step ends between two cells, the table rolls dice between them. `FrisbeeMap` makes it from the
# robot dog's own physics.

# %%
import time

from rlcore.envs.frisbee_mdp import FrisbeeMap, MapPolicy

clock = time.process_time()
frisbee = FrisbeeMap(cell=0.25)
plan = train(frisbee.mdp, DPConfig(gamma=1.0))
print(f"{frisbee.mdp.num_states:,} states, {len(plan.history)} sweeps, {time.process_time() - clock:.1f} s: solved")
promised = (frisbee.mdp.start * plan.value).sum()
print(f"the best dog on this map has a mean return of {promised:.3f}")

# %%
from rlcore.envs.robot_dog import DT, EFFORT, JUMP, REACH, TOP_SPEED

at_rest = len(frisbee.speeds) // 2
steps = frisbee.clock[frisbee.clock > 0]  # while the disc is in the air, out of reach
V_map = plan.value.reshape(frisbee.shape)[: len(steps), :, at_rest]  # [steps left, offset]
Q_map = plan.q.reshape(*frisbee.shape, 3)[: len(steps), :, at_rest]  # [steps left, offset, action]
urgent = [Q_map[..., action] - Q_map[..., 1] > EFFORT / 2 for action in (0, 2)]  # a pause would cost it
extent = (frisbee.offsets[0], frisbee.offsets[-1], 0.5, len(steps) + 0.5)

fig, axes = plt.subplots(1, 2, figsize=(9.5, 3.9), sharey=True)
image = axes[0].imshow(V_map, aspect="auto", extent=extent, cmap="Blues")
axes[0].plot(-REACH - DT * TOP_SPEED * steps, steps, "--", color="black", label=f"top speed, {TOP_SPEED:.0f} m/s")
axes[0].legend(loc="lower left", fontsize=9)
fig.colorbar(image, ax=axes[0], label="V*")
axes[1].imshow(urgent[1] * 1.0 - urgent[0] * 1.0, aspect="auto", extent=extent, cmap="PuOr", vmin=-2, vmax=2)
for x, y, words in ((-2.9, 17, "run right\nnow"), (6.1, 17, "run left\nnow"), (-9.5, 5, "too late:\nlie still"),
                    (10.2, 4, "too late:\nlie still"), (1.2, 25, "no hurry")):
    axes[1].annotate(words, (x, y), ha="center", va="center", fontsize=9)
for ax, title in zip(axes, ("What a place is worth to a dog at rest", "What it must do there"), strict=True):
    ax.set(title=title, xlabel="dog is so far right of where the disc comes low (m)", xlim=(-12.5, 12.5))
    ax.grid(False)
axes[0].set_ylabel("steps until the disc is low")
show(fig, alt="Left, V* of a dog at rest over its place and the steps left: a dark cone, whose edge is as steep as a "
              "line at the dog's top speed. Right, where it must run at once: a band along either edge of the cone. "
              "Outside the cone it lies still, and well inside there is no hurry.")

# %% [markdown]
# Nobody drew that cone; it came out of the sweeps, and its edge is as steep as the dog is fast. (The gap to the dashed
# line is what it takes to get going.) Outside the cone the plan is to sleep, since running would cost and could not
# help. Along the edge it is to run at once; well inside, a pause costs nothing. The cone leans to the right, because
# a disc that is low flies on for a few steps.
#
# A plan on a map is one thing. Here it is in the real world, `RobotDog-v0`, with a throw that is not on any grid.
# Beside it, chapter 01's dog, bred again with the same method.

# %%
from torch.distributions import Categorical

from rlcore.policies import MLPPolicy, Policy


class Litter(Policy):
    """64 linear brains at once; each steers 16 dogs in a row (chapter 01)."""

    def __init__(self, brains):
        super().__init__()
        self.weights, self.biases = brains[:, :18].view(-1, 3, 6), brains[:, None, 18:]

    def forward(self, states):
        logits = states.view(64, 16, 6) @ self.weights.mT + self.biases
        return Categorical(logits=logits.flatten(0, 1))


def breed(seed):
    """Chapter 01's cross-entropy method, 30 generations."""
    torch.manual_seed(seed)
    mean, spread, kennel = torch.zeros(21), torch.ones(21), gym.make_vec("RobotDog-v0", num_envs=64 * 16)
    for generation in range(30):
        brains = mean + spread * torch.randn(64, 21)
        returns = collect(Litter(brains), kennel, seed=100 * seed + generation).rewards.sum(-1)
        best = brains[returns.view(64, 16).mean(1).topk(8).indices]
        mean, spread = best.mean(0), best.std(0) + 0.1
    dog = MLPPolicy(state_size=6, num_actions=3, hidden=())
    torch.nn.utils.vector_to_parameters(mean, dog.parameters())
    return dog


bred = [breed(seed) for seed in range(5)]
planner = MapPolicy(frisbee, plan.q)
dog_world = gym.make("RobotDog-v0", render_mode="rgb_array")
animate(dog_world, planner, seed=3, alt="The dog with a plan")

# %%
animate(dog_world, bred[0], seed=3, alt="The dog that was bred, on the same throw")

# %%
fields = gym.make_vec("RobotDog-v0", num_envs=500)


def ride(policy, seed):
    """500 throws: % caught, mean return, and % of the time spent running."""
    rides = collect(policy, fields, seed=seed, generator=torch.Generator().manual_seed(seed))
    caught = (rides.rewards > 0.5).any(-1).float().mean()
    running = ((rides.actions != 1) & rides.mask).sum() / rides.mask.sum()
    return 100 * caught.item(), rides.rewards.sum(-1).mean().item(), 100 * running.item()


scores = {"bred": [ride(dog, seed) for seed, dog in enumerate(bred)],
          "planner": [ride(planner, seed) for seed in range(5)]}
for name, rows in scores.items():
    (caught, return_, running), spread = np.mean(rows, 0), np.std(rows, 0, ddof=1)
    print(f"{name:8} caught {caught:.1f} ± {spread[0]:.1f} %   return {return_:+.3f} ± {spread[1]:.3f}   "
          f"running {running:.0f} ± {spread[2]:.0f} % of the time     (mean ± sd of 5)")
print(f"promised by the map: return {promised:+.3f}")

# %% [markdown]
# They catch about as many, and the planner runs far less for it. What the map promised is about what the world pays.
# And it never saw a throw before. It did not need to: it had the rules. The bred dog had nothing but its scores,
# from tens of thousands of throws. That is the trade between **model-based** and **model-free**, and you will meet it
# again in chapter 05.

# %% [markdown]
# ## Where it breaks
#
# ### A map is not the world
#
# The planner looks its action values up *between* the cells, as an average over the four around it. A simpler way
# would be to take the nearest cell. And a finer map should be a better map. Two plausible sentences:

# %%
CELLS = (2.0, 1.5, 1.0, 0.75, 0.5, 0.35, 0.25, 0.15)  # m
catches = {True: np.zeros((5, len(CELLS))), False: np.zeros((5, len(CELLS)))}  # nearest cell? -> [seed, cell]
for i, cell in enumerate(CELLS):
    coarse = FrisbeeMap(cell)
    q = train(coarse.mdp, DPConfig(gamma=1.0)).q
    for nearest, seed in ((n, s) for n in (True, False) for s in range(5)):
        catches[nearest][seed, i] = ride(MapPolicy(coarse, q, nearest), seed)[0]

fig, ax = plt.subplots()
for nearest, label in ((False, "average of the cells around"), (True, "nearest cell")):
    band(ax, np.arange(len(CELLS)), catches[nearest], label, kind="range", marker="o", markersize=4)
ax.set_xticks(range(len(CELLS)), CELLS)
ax.set(title="A finer map, and a worse dog?", xlabel="size of a cell (m); finer to the right",
       ylabel="throws caught (%)", ylim=(70, 100))
ax.legend(fontsize=9, loc="lower left")
show(fig, alt="Throws caught by the size of a cell. Averaging over cells: steady. Nearest cell: " + ", ".join(
    f"{cell} m {np.median(catches[True][:, i]):.0f} %" for i, cell in enumerate(CELLS)) + ".")

# %% [markdown]
# With the nearest cell it goes up and down, and a finer map may catch *less*. What is to blame? Ask those who missed:
# how close did they come to the disc while it was low? The dog's reach is 0.8 m.

# %%
def nearest_miss(policy, seed):
    """How close the dogs that missed came to the disc while it was low (m)."""
    rides = collect(policy, fields, seed=seed)
    after = rides.next_states
    gap = (after[..., 0] - after[..., 2]).abs()  # [500, T]
    gap[(after[..., 3] > JUMP) | (after[..., 5] > 0) | ~rides.mask] = torch.inf
    return gap.amin(1)[~(rides.rewards > 0.5).any(-1)]


for nearest, name in ((False, "average of the cells around"), (True, "nearest cell")):
    misses = torch.cat([nearest_miss(MapPolicy(frisbee, plan.q, nearest), seed) for seed in range(5)])
    close = int((misses < 1.0).sum())
    print(f"{name:28} {len(misses):3} of 2500 missed, {close:3} of them by less than 20 cm")

# %% [markdown]
# By a hand. A dog that saves its breath stops as soon as the disc will be in reach. With cells of 0.25 m, the last
# cell in reach lies at 0.75 m, and a dog at 0.85 is told that it stands there. So it lies down. Wherever the last
# cell in reach extends beyond 0.8 such a trap *can* open; it need not (see 0.35 m).
#
# Which promise was broken? *Markov*: the cell hides something that matters for the future. To the policy two places
# look the same which are not the same. No sweep can notice, because on the map everything is consistent. Whenever
# you choose what a state contains (pixels, the last three words, a summary of a dialogue), you make that promise.

# %% [markdown]
# ### A sum without end
#
# Take γ = 1 on the trapdoor grid, where the walking never ends.

# %%
endless = np.array([V.max() for V in islice(value_iteration_sweeps(mdp, gamma=1.0), 200)])
fig, ax = plt.subplots()
ax.plot(endless, label="γ = 1")
ax.plot([V.max() for V in islice(value_iteration_sweeps(mdp, gamma=0.9), 200)], label="γ = 0.9")
ax.set(title="Without a discount the value of A grows for ever", xlabel="sweeps", ylabel="V(A)")
ax.legend()
show(fig, alt=f"The largest value over 200 sweeps: with gamma 1 a staircase up to {endless[-1]:.0f} and no end in "
              "sight, with gamma 0.9 it levels off.")

try:
    exact_values(mdp, uniform, gamma=1.0)
except ValueError as error_:
    print("ValueError:", error_)

# %% [markdown]
# Ask for the best of two infinite sums, and the question has no answer. `rlcore` refuses it; a loop that waits for
# the values to settle just hangs.
#
# > **Pitfall, from real life.** A library for solving Gymnasium's tables ran policy iteration on Taxi, and hung
# > ([bettermdptools #19](https://github.com/jlm429/bettermdptools/issues/19)). Value iteration on the same world
# > was fine. Taxi has an end, but a *policy* met on the way may never reach it: it goes on for ever at −1 a step,
# > and waiting for its value to settle means waiting for −∞. `exact_values` names such a policy and the state from
# > which it never ends. Its cousin: many a policy iteration stops when the *policy* no longer changes. If two moves
# > are equally good it may swap them for ever, with the right answer in its hands. Sutton and Barto's own
# > pseudocode can do that (their exercise 4.4 asks you to mend it), and it lives on in copies
# > ([dennybritz/reinforcement-learning #203](https://github.com/dennybritz/reinforcement-learning/issues/203)).
# > Stop when the *values* no longer change.

# %% [markdown]
# ## Check yourself
#
# <details><summary>Why is A worth less than the 10 it pays to somebody who rolls dice, and B more than its
# 5?</summary>
#
# V(A) = 10 + 0.9 · V(A′), and A′ lies at the bottom edge, where a dice roller bumps into the wall more than it earns:
# V(A′) is negative. B′ is in the middle, where the value is above 0.
# </details>
#
# <details><summary>A policy's advantages are all exactly 0, everywhere. What do you know about it?</summary>
#
# No move is better than what it does on average, so it satisfies Bellman's optimality equation: it is a best
# policy. (And no move is worse either: in that world it does not matter what one does.)
# </details>
#
# <details><summary>You add 1 to every reward on the trapdoor grid (γ = 0.9). What happens to V*, and to the best
# policy? And if you do that in the tiny language?</summary>
#
# On the grid every return grows by 1 + 0.9 + 0.81 + … = 10, whatever one does: all values grow by 10 and the policy
# stays. In the language an episode has an end, so whoever writes longer collects more: the best writer now prefers long
# sentences. A constant is harmless only if one cannot choose how long to collect it.
# </details>
#
# <details><summary>Why is the transition certain in the language, although a language model samples its
# tokens?</summary>
#
# The sampling is the policy's, not the world's. Once the token is chosen, the next state is the text with that token
# appended, with probability 1.
# </details>
#
# <details><summary>V of the empty text is small and <i>good .</i> pays 1. What does the first token, <i>good</i>, get
# as its advantage, and why not all of the 1?</summary>
#
# V(good) − V(empty text). After <i>good</i> a dice roller still has to find the full stop: the rest of the credit
# belongs to the token that does it.
# </details>

# %% [markdown]
# ## You can now …
#
# … say what a state and a move are worth, and check it with Bellman's equation; solve any world that hands you its
# table; tell a discounted question from one with a time limit; and look at a text and see a state. Your vocabulary
# has a new function, from which V, Q, the advantage and both algorithms are made:
#
# ```python
# action_values(mdp, values, gamma)    # [S] -> [S, A]: r(s, a) + γ Σ p(s′ | s, a) V(s′)
# ```
#
# Now the exercises: `rlcourse lab 3` opens them. You will solve the frozen lake from Gymnasium's own table, and find
# out what an unfinished sentence is worth.
#
# **Further reading**
#
# - R. S. Sutton and A. G. Barto, *Reinforcement Learning: An Introduction*, 2nd edition, MIT Press 2018, chapters 3
#   and 4: the grid with the trapdoors is Example 3.5, its solution Example 3.8.
# - R. Bellman, *A Markovian Decision Process*, Journal of Mathematics and Mechanics 6(5), 1957: the equation and its
#   name, in six pages.
# - R. A. Howard, *Dynamic Programming and Markov Processes*, MIT Press 1960: policy iteration.
# - M. L. Puterman, *Markov Decision Processes*, Wiley 1994: everything that was skipped here, proved.
# - L. C. Baird, *Advantage Updating*, technical report WL-TR-93-1146, Wright-Patterson Air Force Base 1993: where the
#   advantage comes from.
# - R. Ramamurthy and others, *Is Reinforcement Learning (Not) for Natural Language Processing*, ICLR 2023,
#   [arXiv:2210.01241](https://arxiv.org/abs/2210.01241): text generation as a Markov decision process over tokens.
