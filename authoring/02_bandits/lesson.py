# %% [markdown]
# # 02 · Bandits
#
# An assistant has five ready replies to the same old question. Each user presses thumbs-up or thumbs-down. Which
# reply should the next user get? Always the one that was liked best so far, obviously. You are about to see how
# that goes.
#
# When you have worked through this page you can learn from a reward that only tells you about what you did, and not
# about what you might have done; weigh *trying* against *using*, in the five ways everybody uses; and you will have
# met the line of code that later trains GPT-2, on the smallest problem on which it makes sense.
#
# *About 75 minutes, difficulty 2 of 5. You need chapter 01, NumPy's arrays and what a mean and a standard deviation
# are.*

# %%
import gymnasium as gym
import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.colors import ListedColormap

from rlcore.agents.bandits import GradientAgent, GradientConfig, ValueAgent, ValueConfig, steps, train
from rlcore.envs.bandit_testbed import Bandits, drifting, ten_armed
from rlcore.losses import policy_gradient_loss
from rlcore.plotting import house_style, show
from rlcore.policies import TabularPolicy
from rlcore.rollout import collect

torch.set_num_threads(1)
torch.manual_seed(0)
house_style()

# %% [markdown]
# ## The reply that was liked first
#
# *"My printer does not print."* Here are the five replies, and the share of users who like each of them. That share
# is the world's secret. The assistant never sees it; it sees one thumb at a time.

# %%
REPLIES = ["Is it switched on?", "Turn it off and on.", "Update the driver.", "Buy a new one.", "Clear the queue."]
LIKED = np.array([0.30, 0.45, 0.35, 0.10, 0.60])  # the chance of a thumbs-up
BEST = LIKED.argmax()


def greedy_assistant(users, random):
    """Give every user the reply with the best record so far; return what each of them got."""
    likes, given, log = np.zeros(5), np.zeros(5), []
    for _ in range(users):
        average = likes / np.maximum(given, 1)  # [5]; 0 for a reply that was never given
        reply = random.choice(np.flatnonzero(average == average.max()))  # several best ones: any of them
        likes[reply] += random.random() < LIKED[reply]  # the thumb
        given[reply] += 1
        log.append(reply)
    return log


log = np.array([greedy_assistant(60, np.random.default_rng(seed)) for seed in range(20)])  # [20 assistants, 60 users]

# %% [markdown]
# Twenty assistants, who do not know of each other, with sixty users each. One row is one assistant, one colour is one
# reply.

# %%
def draw_replies(ax, log, title):
    """Which reply each assistant (row) gave to each user (column)."""
    ax.imshow(log, cmap=ListedColormap([f"C{i}" for i in range(5)]), vmin=-0.5, vmax=4.5, aspect="auto",
              interpolation="nearest")
    ax.hlines(np.arange(len(log) - 1) + 0.5, -0.5, log.shape[1] - 0.5, color="white", linewidth=1.5)
    ax.set(title=title, xlabel="user", ylabel="assistant", yticks=[])
    ax.grid(visible=False)


def name_replies(fig):
    """A legend for the five colours, with the best reply marked."""
    marks = [plt.Rectangle((0, 0), 1, 1, color=f"C{i}") for i in range(5)]
    names = [f"{reply} {'(the best)' if i == BEST else ''}" for i, reply in enumerate(REPLIES)]
    fig.legend(marks, names, loc="outside lower center", ncol=3, fontsize=9)


fig, ax = plt.subplots(figsize=(7.2, 4.2))
draw_replies(ax, log, "Twenty greedy assistants")
name_replies(fig)
found = int((log[:, -1] == BEST).sum())
show(fig, alt="Which reply each of twenty greedy assistants gave to each of sixty users. After a few mixed "
              f"replies every row keeps one colour to the end; {found} of 20 rows end in the best reply.")

# %% [markdown]
# Look at any row: a few confetti at the beginning, if any, and then one colour, forever. Often it is not the best
# one. No assistant made a mistake in arithmetic, and more users would not help.
#
# Why? Until the first thumbs-up every average is 0, and the assistant picks blindly. The reply that gets the *first*
# like has an average above 0. All others stand at 0. From then on it can only be dethroned by falling to 0 again, and
# an average with a like in it never does.
#
# So we can work out who gets stuck on what. The blind picks are all as likely, and pick a ends the search with
# chance LIKED[a]. Therefore the first like goes to reply a with probability LIKED[a] / ΣLIKED. Compare, with 2000
# assistants:

# %%
def replies(assistants, seed=0):
    """The printer question, asked of many assistants side by side."""
    return Bandits(np.tile(LIKED, (assistants, 1)), seed, rewards="thumbs")


greedy = train(replies(2000), ValueConfig(steps=500)).history  # greedy: rlcore's; its code comes below
stuck_on = np.bincount(greedy.actions[:, -1], minlength=5) / 2000
for reply, share, predicted in zip(REPLIES, stuck_on, LIKED / LIKED.sum(), strict=True):
    print(f"{reply:22} stuck on it {share:4.0%}   predicted {predicted:4.0%}")

# %% [markdown]
# A learner that only ever does what looks best *so far* does not find out that something else is better. That is the
# one problem of this chapter, and no amount of data cures it, because the learner chooses its data.

# %% [markdown]
# ## The names
#
# A world with one state, where an episode is a single action and its reward, is a **bandit**, after the slot
# machine ("one-armed bandit"); ours has five arms. An action is called an **arm**, and doing it *pulling* it. What
# arm a pays on average is its **value**,
#
# $$q_*(a) = \mathbb{E}[\,r \mid a\,]$$
#
# and our guess of it is Q(a), for instance the average of what it paid so far. Taking the arm with the highest Q is
# **greedy**, or to **exploit** what we know. Anything else is to **explore**: it costs a little now, and may pay
# later.
#
# It is the loop of chapter 01, one step long. T = 1, so there is no γ, no future and no doubt about which action
# earned the reward.

# %%
worlds = gym.make_vec("Bandit-v0", num_envs=8, vectorization_mode="sync", values=LIKED, rewards="thumbs")
trajectory = collect(TabularPolicy(num_states=1, num_actions=5), worlds, seed=0)
print("actions", trajectory.actions.T.tolist(), "  rewards", trajectory.rewards.T.tolist())
print("rewards", tuple(trajectory.rewards.shape), ": eight users, and time is the last axis, of length 1")

# %% [markdown]
# ## Keeping an average without keeping the list
#
# With n rewards from an arm, the average needs no list of them. The newest one moves it by its n-th part:
#
# $$Q \leftarrow Q + \tfrac{1}{n}\,(r - Q)$$
#
# Read it as *old guess + step size × surprise*. You will see this line again from chapter 04 on, with other things
# in place of r.
#
# Now the whole learner, for many bandits at once. Everything it knows is in two arrays `[runs, arms]`, and one
# bandit is the same code with `runs = 1`.

# %%
def my_argmax(scores, random):
    """The best arm of each run; ties are broken at random."""
    best = scores == scores.max(1, keepdims=True)  # [runs, arms]
    return (best * random.random(best.shape)).argmax(1)  # [runs]


def my_select(q, epsilon, random):
    """ε-greedy: the best arm, but with probability ε any arm."""
    runs, arms = q.shape
    blind = random.random(runs) < epsilon  # [runs]
    return np.where(blind, random.integers(arms, size=runs), my_argmax(q, random))


def my_update(q, counts, actions, rewards, step_size=None):
    """Move the guess of the arm that was pulled towards what it paid."""
    pulled = np.arange(len(q)), actions
    counts[pulled] += 1
    alpha = 1 / counts[pulled] if step_size is None else step_size
    q[pulled] += alpha * (rewards - q[pulled])


# %% [markdown]
# The only news is ε ("epsilon"): **with a small probability, pick blindly**. Against the greedy assistant that is one
# line:
#
# ```diff
# - action = argmax(q)
# + action = any arm, if a coin of probability ε says so, else argmax(q)
# ```
#
# Here are the twenty assistants again, with ε = 0.1.

# %%
def curious_assistants(assistants, users, epsilon, seed):
    """Which reply each assistant gave to each user, `[assistants, users]`."""
    world, random = replies(assistants, seed), np.random.default_rng([seed, 1])
    q, counts, log = np.zeros((assistants, 5)), np.zeros((assistants, 5)), []
    for _ in range(users):
        actions = my_select(q, epsilon, random)
        my_update(q, counts, actions, world.pull(actions))
        log.append(actions)
    return np.stack(log, 1)


log = curious_assistants(20, 500, epsilon=0.1, seed=0)
fig, ax = plt.subplots(figsize=(7.2, 4.2))
draw_replies(ax, log, "Twenty assistants that pick blindly one time in ten")
name_replies(fig)
late = (log[:, -100:] == BEST).mean()
show(fig, alt="Which reply each of twenty ε-greedy assistants gave to each of five hundred users. Rows begin in one "
              f"colour and change to the best one; in the last hundred users {late:.0%} of the replies are the best.")

# %% [markdown]
# Nobody is stuck for good. The specks are the price: one user in ten gets a reply from a hat, also when the assistant
# has long known better.

# %% [markdown]
# ## The test bed
#
# One world with five arms proves little. The fruit fly of this field is Sutton and Barto's **10-armed test bed**: ten
# arms whose values are drawn from a normal distribution, q*(a) ~ N(0, 1), and rewards that scatter around them with
# variance 1. Here is one such bandit.

# %%
one = ten_armed(runs=1, seed=1)
values = one.values[0]  # [10]
dice = np.random.default_rng(0)
fig, ax = plt.subplots()
ax.violinplot(values + dice.standard_normal((2000, 10)), positions=range(10), widths=0.8, showextrema=False)
ax.hlines(values, np.arange(10) - 0.3, np.arange(10) + 0.3, color="black", label="value q*(a)")
ax.axhline(values.max(), color="C1", linestyle="--", label="the best arm's value")
ax.set(title="One bandit with ten arms: what a pull may pay", xlabel="arm", ylabel="reward", xticks=range(10))
ax.legend(fontsize=9, loc="lower right")
show(fig, alt="Ten arms with the distribution of their rewards. Their values reach from "
              f"{values.min():.1f} to {values.max():.1f}; the distributions overlap so much that one pull says little.")

# %% [markdown]
# The clouds overlap: one pull tells next to nothing. Draw 2000 such bandits, give each a learner and 1000 pulls,
# and average over the 2000. What would be perfect? Knowing all values, one would always pull the best arm. The mean
# of the best arms' values is a **ceiling** that no learner can beat in the long run.

# %%
def run(config, seed=0, mean=0.0):
    """A learner on the test bed: 2000 runs of 1000 pulls."""
    return train(ten_armed(2000, seed, mean), config, seed).history


ceiling = ten_armed(2000).best.mean()
history = {f"ε = {epsilon:g}": run(ValueConfig(epsilon=epsilon)) for epsilon in (0.0, 0.01, 0.1)}


def curve(ax, values, label, per=10, **line):
    """The mean over runs of `values` `[runs, T]`, in groups of `per` steps, with ± 2 standard errors."""
    grouped = values.reshape(len(values), -1, per).mean(2)  # [runs, T / per]
    middle, error = grouped.mean(0), grouped.std(0, ddof=1) / len(values) ** 0.5
    x = per * np.arange(len(middle)) + (per + 1) / 2
    colour = ax.plot(x, middle, label=label, **line)[0].get_color()
    ax.fill_between(x, middle - 2 * error, middle + 2 * error, color=colour, alpha=0.2, linewidth=0)


fig, axes = plt.subplots(1, 2, figsize=(9, 3.6))
for name, pulls in history.items():
    curve(axes[0], pulls.rewards, name)
    curve(axes[1], 100 * pulls.optimal, name)
axes[0].axhline(ceiling, color="black", linestyle="--", label="ceiling")
axes[0].set(title="Mean reward", xlabel="pull", ylabel="reward", ylim=(0, 1.65))
axes[1].set(title="The best arm was pulled", xlabel="pull", ylabel="share of runs (%)", ylim=(0, 100))
for ax in axes:
    ax.legend(fontsize=9, loc="lower right")
fig.supxlabel("mean of 2000 runs; the bands are ± 2 standard errors", fontsize=9)
ends = {name: (pulls.rewards[:, -100:].mean(), pulls.optimal[:, -100:].mean()) for name, pulls in history.items()}
show(fig, alt="Mean reward and share of best choices over 1000 pulls: " + ", ".join(
    f"{name} ends at {reward:.2f} and {optimal:.0%}" for name, (reward, optimal) in ends.items())
    + f"; the ceiling is {ceiling:.2f}.")

# %% [markdown]
# Greedy is quick, and stuck, as before. ε = 0.1 finds the best arm soon and then can pull it in at most 91 % of the
# cases, because it will never stop rolling the die. ε = 0.01 looks lazy here, and would overtake it if it had longer.
#
# Those were six million pulls. They are quick because the 2000 learners stand side by side in arrays. How long
# would it take one after the other? It is the same code, with `runs = 1`.

# %%
import time


def seconds(runs, pulls=1000):
    """Processor time of our learner on the test bed."""
    world, random = ten_armed(runs), np.random.default_rng(1)
    q, counts = np.zeros((runs, 10)), np.zeros((runs, 10))
    start = time.process_time()
    for _ in range(pulls):
        actions = my_select(q, 0.1, random)
        my_update(q, counts, actions, world.pull(actions))
    return time.process_time() - start


together, in_turn = seconds(2000), 2000 * seconds(1)
print(f"2000 runs side by side {together:.2f} s, one after the other {in_turn:.0f} s: "
      f"{in_turn / together:.0f} times as long")

# %% [markdown]
# What we wrote is what `rlcore` has. Same pulls into both, same guesses out; same guesses, same choice:

# %% tags=["nbval-check-output"]
bandits, random = ten_armed(100, seed=5), np.random.default_rng(5)
for step_size in (None, 0.1):
    theirs = ValueAgent(ValueConfig(step_size=step_size), runs=100, arms=10, random=random)
    my_q, my_counts = np.zeros((100, 10)), np.zeros((100, 10))
    for _ in range(300):
        actions = my_select(my_q, epsilon=0.3, random=random)
        rewards = bandits.pull(actions)
        my_update(my_q, my_counts, actions, rewards, step_size)
        theirs.update(actions, rewards)
    assert np.allclose(my_q, theirs.q, rtol=0, atol=1e-12)
    assert np.array_equal(my_argmax(my_q, random), theirs.select())  # no ties are left after 300 pulls
print("the same guesses and the same choices, for averages and for a constant step")

# %% [markdown]
# ## Regret: what not knowing costs
#
# Rewards are noisy, so bandit people count something cleaner. The **regret** of a pull is how much less the chosen
# arm pays on average than the best one,
#
# $$\text{regret}_t = \max_a q_*(a) - q_*(a_t)$$
#
# summed over the pulls. It is what you paid for not knowing.

# %%
history["UCB, c = 2"] = run(ValueConfig(c=2.0))  # a newcomer; wait for it
test_bed = ten_armed(2000)
gap = (test_bed.best - test_bed.values.mean(1)).mean()  # what a blind pull costs

fig, ax = plt.subplots()
for name, pulls in history.items():
    ax.plot(np.arange(1, 1001), pulls.regret.cumsum(1).mean(0), label=name)
slope = 0.1 * gap
total = history["ε = 0.1"].regret.sum(1).mean()
ax.plot([500, 1000], [total - 500 * slope, total], color="black", linestyle="--",
        label=f"slope ε · {gap:.2f} for ε = 0.1")
ax.set(title="Regret adds up", xlabel="pull", ylabel="regret so far, mean of 2000 runs (reward)", xlim=(0, 1000))
ax.legend(fontsize=9)
show(fig, alt="Summed regret over 1000 pulls: " + ", ".join(
    f"{name} {pulls.regret.sum(1).mean():.0f}" for name, pulls in history.items())
    + ". Greedy's grows along a straight line, UCB's bends.")

# %% [markdown]
# A straight line means *never getting wiser*. Greedy's is straight because it is stuck. That of ε = 0.1 becomes
# straight too: however well it knows the arms, each blind pull costs the mean gap, so its slope tends to ε times that
# gap (dashed). What you want is a curve that bends, and keeps bending. Lai and Robbins proved in 1985 that the best
# possible regret grows like the *logarithm* of the number of pulls. Not zero: you cannot stop checking altogether.
#
# (In the Second World War the problem had a reputation. It "so sapped the energies and minds of Allied analysts",
# recalled the mathematician Peter Whittle, that somebody proposed to drop it over Germany.)

# %% [markdown]
# ## Two better ways to be curious
#
# ε explores blindly: an arm that has been bad a hundred times is as likely to be tried as one that was never touched.
#
# **Optimism.** Begin with guesses that are far too good, Q₁ = 5, where arms pay between −3 and 3. Then every pull
# is a disappointment, the arm's guess sinks, and another arm looks better. A greedy learner tries everything
# without a single blind pull.
#
# **UCB**, for *upper confidence bound*: add a bonus to each guess that says how little you know,
#
# $$\text{score}(a) = Q(a) + c\,\sqrt{\frac{\ln t}{N(a)}}$$
#
# N(a) counts the pulls of arm a so far; t is the number of the pull that is about to happen. The square root of 1/N
# is how fast an average gets more precise; ln t lets the bonus of a neglected arm creep up again. "It could still
# be *that* good" is a reason to try it, "it surely is not" a reason to leave it.

# %%
def my_ucb(q, counts, t, c):
    """Optimism where it is deserved: the guess plus a bonus for not knowing, `[runs, arms]`."""
    bonus = c * np.sqrt(np.log(t) / np.maximum(counts, 1))
    return np.where(counts > 0, q + bonus, np.inf)  # never tried: try it


one_run = ten_armed(runs=1, seed=1)
agent = ValueAgent(ValueConfig(c=2.0, steps=1000), runs=1, arms=10, random=np.random.default_rng(0))
fig, axes = plt.subplots(1, 2, sharey=True, figsize=(9, 3.6))
for pull, _ in enumerate(steps(one_run, agent), start=1):
    if pull in (30, 1000):
        ax = axes[0 if pull == 30 else 1]
        top = my_ucb(agent.q, agent.counts, pull + 1, c=2.0)[0]
        ax.bar(range(10), top - agent.q[0], bottom=agent.q[0], color="C0", alpha=0.35, label="bonus")
        ax.plot(range(10), agent.q[0], "o", color="C0", label="guess Q(a)")
        ax.plot(range(10), one_run.values[0], "_", color="black", markersize=14, markeredgewidth=2, label="value q*(a)")
        for arm, n in enumerate(agent.counts[0]):
            ax.annotate(f"{n:.0f}×", (arm, top[arm]), ha="center", va="bottom", fontsize=9)
        ax.set(title=f"After {pull} pulls", xlabel="arm; above it, how often it was pulled", xticks=range(10))
axes[0].set(ylabel="reward", ylim=(-3, 5))
axes[0].legend(fontsize=9, loc="lower left", ncol=3)
show(fig, alt="The guess and the bonus of each arm after 30 and after 1000 pulls of UCB. Early the bonuses are "
              f"long and pulls are spread; late the best arm has {agent.counts[0].max():.0f} of 1000 pulls and a "
              "short bonus, while bad arms keep long ones.")

# %% [markdown]
# On the right the tops of the bars stand nearly in one line. That is UCB at work: whoever's top is highest is pulled,
# which makes its bar shorter. A bad arm needs few pulls to be known as bad.

# %%
history["optimistic, Q₁ = 5, α = 0.1"] = run(ValueConfig(step_size=0.1, initial_value=5.0))
shown = ["ε = 0.1", "optimistic, Q₁ = 5, α = 0.1", "UCB, c = 2"]
fig, axes = plt.subplots(1, 2, figsize=(9, 3.6))
for name in shown:
    curve(axes[0], 100 * history[name].optimal, name)
    curve(axes[1], history[name].rewards[:, :40], name, per=1)
axes[0].set(title="The best arm was pulled", xlabel="pull", ylabel="share of runs (%)", ylim=(0, 100))
axes[1].set(title="The first 40 pulls", xlabel="pull", ylabel="mean reward")
axes[0].legend(fontsize=9, loc="lower right")
fig.supxlabel("mean of 2000 runs; the bands are ± 2 standard errors", fontsize=9)
spike = history["UCB, c = 2"].rewards[:, 10].mean()
show(fig, alt="Share of best choices over 1000 pulls for ε-greedy, optimism and UCB; they end at " + ", ".join(
    f"{100 * history[name].optimal[:, -100:].mean():.0f} %" for name in shown)
    + f". In the first 40 pulls, UCB's and the optimist's rewards leap at pull 11, to {spike:.2f}, and fall again.")

# %% [markdown]
# The leap on the right is no noise (the bands say so). For ten pulls, UCB and the optimist try each arm once. In the
# eleventh *all* of them take the arm that looked best. That arm was probably lucky, it disappoints, and off they go
# again. Curiosity first, use later, visible to the naked eye.
#
# Here is the whole league so far, over the last 100 of 1000 pulls, beside reference values: another simulation of
# figures 2.2 to 2.4 of Sutton and Barto's book, which was also done with 2000 runs. So both columns carry a standard
# error; "off by" says how many standard errors of the difference lie between them.

# %%
REFERENCE = {"ε = 0": (1.02, 35), "ε = 0.01": (1.32, 62), "ε = 0.1": (1.40, 81), "UCB, c = 2": (1.48, 86),
             "optimistic, Q₁ = 5, α = 0.1": (1.48, 84.5)}
print(f"{'last 100 of 1000 pulls':28}  {'reward':>12} {'reference':>9} {'off by':>6}   {'% best':>10} "
      f"{'reference':>9} {'off by':>6}")
for name, (reward, share) in REFERENCE.items():
    line = f"{name:28}"
    for values, reference in ((history[name].rewards, reward), (100 * history[name].optimal, share)):
        runs = values[:, -100:].astype(float).mean(1)  # [2000]
        error = runs.std(ddof=1) / 2000**0.5
        off = (runs.mean() - reference) / (2**0.5 * error)
        line += f"  {runs.mean():6.2f} ± {error:4.2f} {reference:8.2f} {off:+6.1f}"
    print(line)
print(f"{'ceiling':28}  {ceiling:6.2f}" + 26 * " " + "100.00")

# %% [markdown]
# Among ten comparisons one beyond ±2 is nothing special, and one beyond ±4 would be a bug. ("Best" cannot be 100 %
# for anybody who does not know the arms beforehand.)

# %% [markdown]
# > **Change this number and run again.** Put `ValueConfig(c=...)` with c = 0.5 and c = 8 into `history` above. Which
# > way does too little curiosity fail, and which way too much? Say it before you look.

# %% [markdown]
# ## When arms drift
#
# So far the arms stayed as they were. Tastes do not. Let all ten values begin equal, and take a small random step
# after every pull. An average weighs all its rewards alike: after 5000 pulls, yesterday counts as much as the first
# day. A **constant step size** α forgets:
#
# $$Q \leftarrow Q + \alpha\,(r - Q)
# \qquad\Longrightarrow\qquad
# \text{a reward } k \text{ pulls ago counts } \alpha\,(1-\alpha)^k$$

# %%
ago = np.arange(100)
fig, ax = plt.subplots()
for alpha in (0.1, 0.03):
    ax.plot(ago, alpha * (1 - alpha) ** ago, label=f"constant step α = {alpha}")
ax.plot(ago, np.full(100, 1 / 100), label="average of 100 pulls")
ax.set(title="How much a reward counts in today's guess", xlabel="how many pulls of this arm ago", ylabel="weight")
ax.legend(fontsize=9)
show(fig, alt="The weight of a reward against how long ago it came: with a constant step size it falls off "
              "exponentially, in an average it stays the same.")

# %%
T = 5000
forgets, remembers = ValueConfig(steps=T, epsilon=0.1, step_size=0.1), ValueConfig(steps=T, epsilon=0.1)


walk, guess, average = drifting(runs=1, seed=7), 0.0, 0.0
seen = np.zeros((3, T))  # [value, constant step, average]
for t in range(T):
    seen[:, t] = walk.values[0, 0], guess, average
    reward = walk.pull(np.array([0]))[0]  # always the same arm, so that both see the same rewards
    guess += 0.03 * (reward - guess)  # change this: 0.3, 0.003
    average += (reward - average) / (t + 1)

fig, ax = plt.subplots()
for values, name, style in zip(seen[[1, 0, 2]], ("guess with a constant step, α = 0.03", "the arm's value",
                               "guess as an average"), ("C0", "black", "C1"), strict=True):
    ax.plot(np.arange(0, T, 5), values[::5], color=style, label=name, linewidth=1 if style == "C0" else 2.5)
ax.set(title="One arm on its random walk, and two guesses of it", xlabel="pull of this arm", ylabel="reward")
ax.legend(fontsize=9)
off = np.abs(seen - seen[0])[:, -1000:].mean(1)
show(fig, alt="The value of one drifting arm over 5000 pulls, with two guesses. The constant step follows it "
              f"closely and trembles; the average falls behind. Late, they are off by {off[1]:.2f} and "
              f"{off[2]:.2f} on average.")

# %% [markdown]
# A large step trembles with every reward, a small one comes late; the average comes later and later. What that means
# for choosing, with α = 0.1, which trembles more than the step in the picture:

# %%
walks = {name: train(drifting(500), config).history
         for name, config in {"constant step α = 0.1": forgets, "average": remembers}.items()}
fig, ax = plt.subplots()
for name, pulls in walks.items():
    curve(ax, 100 * pulls.optimal, name, per=100)
ax.set(title="Drifting arms, ε = 0.1 for both", xlabel="pull", ylabel="best arm pulled (% of runs)",
       ylim=(0, 100))
ax.legend(fontsize=9, title="500 runs each; bands: ± 2 standard errors", title_fontsize=9)
show(fig, alt="Share of best choices over 5000 pulls of drifting arms: " + ", ".join(
    f"{name} ends at {100 * pulls.optimal[:, -500:].mean():.0f} %" for name, pulls in walks.items()) + ".")

# %% [markdown]
# The average becomes surer and surer, and its world becomes another one. The constant step never settles down,
# which is a fault where arms stand still and a virtue where they move. In reinforcement learning they nearly always
# move: even if the world stands still, the *policy* changes, and with it what an action leads to. So from chapter
# 04 on, step sizes are constants (or an optimiser's learning rate), and nobody divides by n.
#
# > **Change this number and run again.** Replace `epsilon=0.1, step_size=0.1` by the optimist, `initial_value=5.0,
# > step_size=0.1` and no ε. It was better on the test bed. Is it here? Its curiosity is spent in the first minute.

# %% [markdown]
# ## No guesses at all: the gradient bandit
#
# Everything so far estimated values, and then chose by them. Now for a learner that estimates nothing. It has one
# number per arm, a **preference** h(a), and picks arms with the probabilities
#
# $$\pi(a) = \frac{e^{h(a)}}{\sum_b e^{h(b)}}$$
#
# which is the *softmax*. Preferences mean nothing in euros; only their differences count. After each pull: **if it
# paid more than usual, make what you did more likely; if less, less likely.**
#
# $$h(b) \leftarrow h(b) + \alpha\,(r - \bar r)\,\bigl(\mathbb{1}[b = a] - \pi(b)\bigr)$$
#
# "Usual" is r̄, the mean of the rewards so far, and is called the **baseline**. The bracket is positive for the arm a
# that was pulled and negative for all others: what one arm gains, the others lose.

# %%
def my_gradient_update(h, mean, t, actions, rewards, alpha):
    """After pull t: push up what paid more than usual. h `[runs, arms]`, the rest `[runs]`."""
    mean = mean + (rewards - mean) / t  # the running average again
    pi = np.exp(h) / np.exp(h).sum(1, keepdims=True)  # [runs, arms]
    pulled = np.arange(h.shape[1]) == actions[:, None]  # [runs, arms]: 1[b = a]
    return h + alpha * (rewards - mean)[:, None] * (pulled - pi), mean


# %%
gradient = {f"α = {alpha}, {'with' if baseline else 'no'} baseline":
            run(GradientConfig(step_size=alpha, baseline=baseline), mean=4.0)
            for baseline in (True, False) for alpha in (0.1, 0.4)}
fig, ax = plt.subplots()
for (name, pulls), style in zip(gradient.items(), ("C0-", "C0--", "C1-", "C1--"), strict=True):
    curve(ax, 100 * pulls.optimal, name, color=style[:2], linestyle=style[2:])
ax.set(title="The gradient bandit, where arms pay about 4", xlabel="pull", ylabel="best arm pulled (% of runs)",
       ylim=(0, 100))
fig.legend(fontsize=9, title="2000 runs each; bands: ± 2 standard errors", title_fontsize=9, ncol=2,
           loc="outside lower center")
GRADIENT_REFERENCE = (85, 75, 50, 29)
show(fig, alt="Share of best choices over 1000 pulls of the gradient bandit: " + ", ".join(
    f"{name} ends at {100 * pulls.optimal[:, -100:].mean():.0f} %" for name, pulls in gradient.items()) + ".")
for (name, pulls), reference in zip(gradient.items(), GRADIENT_REFERENCE, strict=True):
    runs = 100 * pulls.optimal[:, -100:].mean(1)
    print(f"{name:24} best arm in the last 100 pulls {runs.mean():5.1f} % ± {runs.std(ddof=1) / 2000**0.5:.1f}"
          f"   reference {reference} %")

# %% [markdown]
# The arms of this test bed pay about 4 instead of 0; nothing else is different. With a baseline that makes no
# difference at all, since r − r̄ does not notice. Without one it nearly ruins the learner, and here is why. Take a
# new learner (all arms as likely), let it pull once, and look at the push that the *best* arm's preference gets.

# %%
lone = ten_armed(runs=1, seed=1, mean=4.0)
q, best = lone.values[0], lone.values[0].argmax()  # [10], []
dice = np.random.default_rng(0)
actions = dice.integers(10, size=200_000)  # π is uniform: one tenth each
rewards = q[actions] + dice.standard_normal(200_000)
push = {name: (rewards - usual) * ((actions == best) - 0.1) for name, usual in
        {"no baseline": 0.0, "with baseline": q.mean()}.items()}

fig, axes = plt.subplots(1, 2, sharex=True, sharey=True, figsize=(9, 3.4))
for ax, (name, values), colour in zip(axes, push.items(), ("C1", "C0"), strict=True):
    ax.hist(values, bins=np.arange(-2, 9, 0.25), weights=np.full(len(values), 100 / len(values)), color=colour)
    ax.axvline(values.mean(), color="black", linestyle="--", label=f"mean {values.mean():+.3f}")
    ax.set(title=f"{name}: standard deviation {values.std():.2f}",
           xlabel="push on the best arm's preference (at α = 1)", yscale="log", ylim=(0.01, 300))
    ax.legend(fontsize=9)
axes[0].set(ylabel="share of pulls (%, log scale)")
show(fig, alt="Two histograms of the push on the best arm's preference in one pull. Both have the same mean, "
              f"{push['with baseline'].mean():.2f}; without a baseline the standard deviation is "
              f"{push['no baseline'].std():.2f}, with one {push['with baseline'].std():.2f}.")

# %% [markdown]
# On the average both push the same way and equally far. But without a baseline *whatever* was pulled is praised,
# since 4 is more than 0, and the best arm is pushed down nine times out of ten, whenever another one is tried. It
# needs its rare large pushes to make up for that; meanwhile some other arm, by luck, runs away with the
# probability.
#
# So a baseline costs nothing in the mean and saves most of the noise. Hold on to this. In chapter 07 it is proved;
# in chapter 12 the baseline is the average over other answers to the same prompt; in chapter 16 that is the whole
# idea of GRPO.

# %% [markdown]
# ## The line that trains GPT-2
#
# The bracket 1[b = a] − π(b) did not fall from the sky. It is the derivative of log π(a) with respect to h(b). So the
# update climbs the gradient of
#
# $$(r - \bar r)\,\log \pi(a)$$
#
# and here is that as a loss, to be minimised by anything that minimises. Its name in the house is
# `policy_gradient_loss`, and this is all of it:
#
# ```python
# def policy_gradient_loss(log_probs, advantages):
#     return -advantages.detach() * log_probs
# ```
#
# The policy is a table with a row of preferences for each run; a state is the number of the run; T is 1. We let torch
# differentiate, take a step of plain gradient descent, and compare with our update and with `rlcore`'s, pull by pull.

# %% tags=["nbval-check-output"]
RUNS, ALPHA = 50, 0.4
bandits = ten_armed(RUNS, seed=3, mean=4.0)
policy = TabularPolicy(num_states=RUNS, num_actions=10)
optimizer = torch.optim.SGD(policy.parameters(), lr=ALPHA)
states = torch.arange(RUNS)[:, None]  # [RUNS, 1]  time last, and T = 1
h, mean = np.zeros((RUNS, 10)), np.zeros(RUNS)
agent = GradientAgent(GradientConfig(step_size=ALPHA), RUNS, 10, np.random.default_rng(0))

for t in range(1, 201):
    actions, _ = policy.act(states)  # [RUNS, 1]
    rewards = torch.from_numpy(bandits.pull(actions[:, 0].numpy()))[:, None].float()  # [RUNS, 1]
    h, mean = my_gradient_update(h, mean, t, actions[:, 0].numpy(), rewards[:, 0].numpy(), ALPHA)
    agent.update(actions[:, 0].numpy(), rewards[:, 0].numpy())

    advantages = rewards - torch.from_numpy(mean)[:, None].float()  # [RUNS, 1]
    log_probs = policy(states).log_prob(actions)  # [RUNS, 1]
    loss = policy_gradient_loss(log_probs, advantages).sum()  # every run is a learner of its own: a sum, not a mean
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()

assert np.allclose(h, agent.preferences, rtol=0, atol=1e-12)
assert np.allclose(h, policy.logits.detach().numpy(), rtol=0, atol=1e-3)  # float32 against float64, 200 updates later
print("three gradient bandits, one result: mine, rlcore's, and policy_gradient_loss at T = 1")

# %% [markdown]
# Look at the two lines with `log_probs` and `loss`. When GPT-2 is trained with rewards, in chapter 12, they are the
# same two lines. `policy` will be GPT-2 instead of a table, `states` will be texts, there will be 50,257 arms, and
# T will be the number of tokens. That is all.

# %% [markdown]
# ## Exploration as language models have it: temperature
#
# A language model does not roll an extra die with probability ε. It has a softmax over tokens and *samples*. How
# adventurous it is, is set by the **temperature** τ ("tau") that its scores are divided by:
#
# $$\pi(a) = \frac{e^{\,\text{score}(a)/\tau}}{\sum_b e^{\,\text{score}(b)/\tau}}$$
#
# Back to the printer. Here is what τ makes of the five replies if the scores are their true values.

# %%
from rlcore.agents.bandits import softmax

TEMPERATURES = (0.0, 0.05, 0.1, 0.3, 1.0)
fig, axes = plt.subplots(1, 5, sharey=True, figsize=(9, 3.2))
for ax, tau in zip(axes, TEMPERATURES, strict=True):
    ax.bar(range(5), 100 * softmax(LIKED[None], tau)[0], color=[f"C{i}" for i in range(5)])
    ax.set(title=f"τ = {tau:g}", xticks=[], ylim=(0, 104))
axes[0].set(ylabel="chance of being given (%)")
name_replies(fig)
show(fig, alt="The chances of the five replies at five temperatures. The best reply has " + ", ".join(
    f"{100 * softmax(LIKED[None], tau)[0, BEST]:.0f} % at tau {tau:g}" for tau in TEMPERATURES) + ".")

# %% [markdown]
# τ = 0 is greedy, τ → ∞ is dice, and in between a bad reply is tried less than a nearly good one, which ε cannot do.
# Now let assistants learn at each temperature, their scores being averages of thumbs.

# %%
taus = np.array([0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0])
liked = np.array([[train(replies(200, seed), ValueConfig(steps=500, temperature=tau), seed).history.rewards.mean()
                   for tau in taus] for seed in range(5)])  # [5 seeds, temperatures]
fig, ax = plt.subplots()
ax.plot(range(len(taus)), 100 * np.median(liked, 0), label="200 assistants × 500 users; median of 5 seeds")
ax.plot(range(len(taus)), 100 * liked.T, "o", color="black", markersize=4, alpha=0.6)
ax.axhline(100 * LIKED.max(), color="C2", linestyle="--", label="always the best reply")
ax.axhline(100 * LIKED.mean(), color="C1", linestyle="--", label="replies from a hat")
ax.set_xticks(range(len(taus)), [f"{tau:g}" for tau in taus])
ax.set(title="Too cold gets stuck, too hot is a hat", xlabel="temperature τ while learning (a dot is one seed)",
       ylabel="users who pressed thumbs-up (%)", ylim=(30, 74))
ax.legend(fontsize=9, loc="upper left")
show(fig, alt="Thumbs-up over temperature, median of five seeds: " + ", ".join(
    f"tau {tau:g} gives {100 * rate:.0f} %" for tau, rate in zip(taus, np.median(liked, 0), strict=True))
    + f". Always the best reply would give {100 * LIKED.max():.0f} %.")

# %% [markdown]
# It is downhill on either side. And the right τ depends on how far apart the scores lie, so it is nothing you could
# know beforehand. The gradient bandit needs no τ, because its preferences *grow* as it learns (how fast is up to α,
# and we come to that): it begins as a hat, and becomes its own low temperature. A language model trained with
# rewards does precisely this, sampling at τ = 1 all the while. Here it is on the printer question.

# %%
world = replies(20)
agent = GradientAgent(GradientConfig(steps=500, step_size=0.4), runs=20, arms=5, random=np.random.default_rng(12))
log = np.array([pull.actions for pull in steps(world, agent)]).T  # [20 assistants, 500 users]
fig, ax = plt.subplots(figsize=(7.2, 4.2))
draw_replies(ax, log, "Twenty assistants that learn by policy gradient (α = 0.4)")
name_replies(fig)
show(fig, alt="Which reply each of twenty assistants gave to each of five hundred users. Rows begin as confetti and "
              "become calmer; in the last hundred users "
              f"{(log[:, -100:] == BEST).mean():.0%} of the replies are the best one.")

# %% [markdown]
# Confetti first, then calm. Nobody scheduled the exploration; it ran dry by itself as the policy became sure. Which
# raises the question what happens if it becomes sure too soon.

# %%
alphas = [0.1, 0.2, 0.4, 0.8, 1.6, 3.2]
best_late, sure = np.zeros((5, 6)), np.zeros((5, 6))  # [seed, α]
for seed in range(5):
    for i, alpha in enumerate(alphas):
        result = train(replies(400, seed), GradientConfig(steps=500, step_size=alpha), seed)
        probs = result.policy(torch.arange(400)).probs.detach().numpy()  # [400, 5]
        best_late[seed, i] = 100 * probs[:, BEST].mean()
        sure[seed, i] = 100 * ((probs.max(1) > 0.99) & (probs.argmax(1) != BEST)).mean()
fig, ax = plt.subplots()
for values, label, colour in ((best_late, "chance of the best reply, after 500 users", "C0"),
                              (sure, "assistants 99 % sure of another one", "C1")):
    ax.plot(range(6), np.median(values, 0), color=colour, label=label)
    ax.plot(range(6), values.T, "o", color=colour, markersize=4, alpha=0.6)
ax.set_xticks(range(6), alphas)
ax.set(title="Learn faster, and be sure too soon", ylabel="%", ylim=(0, 100),
       xlabel="step size α (a dot is one seed of 400 assistants; the lines are medians of five)")
ax.legend(fontsize=9, loc="center left")
show(fig, alt="After 500 users, by step size: " + ", ".join(
    f"alpha {alpha} gives the best reply {b:.0f} % and is sure of a wrong one in {s:.0f} %"
    for alpha, b, s in zip(alphas, np.median(best_late, 0), np.median(sure, 0), strict=True)) + ".")

# %% [markdown]
# There it is again, the assistant that is stuck on what was liked first, now with a softmax. A policy with
# probability 0.99 on one reply hardly ever samples another, so it never finds out, and no reward corrects it. In
# chapter 17 the same thing happens to GPT-2 and is called *entropy collapse*; most of the art of training a
# language model with rewards is learning fast without going blind.

# %% [markdown]
# ## Where it breaks
#
# **Ties.** `np.argmax` returns the *first* of several best entries. Ask all our assistants to start with it.

# %%
def first_argmax_assistants(assistants, users):
    """Greedy, with ties going to whoever is first on the list."""
    world, rows = replies(assistants), np.arange(assistants)
    q, counts = np.zeros((assistants, 5)), np.zeros((assistants, 5))
    for _ in range(users):
        actions = q.argmax(1)
        counts[rows, actions] += 1
        q[rows, actions] += (world.pull(actions) - q[rows, actions]) / counts[rows, actions]
    return np.bincount(actions, minlength=5) / assistants


for reply, share, fair in zip(REPLIES, first_argmax_assistants(2000, 500), stuck_on, strict=True):
    print(f"{reply:22} stuck on it with np.argmax {share:4.0%}   with ties at random {fair:4.0%}")

# %% [markdown]
# Every single one asks whether the printer is switched on, for no better reason than that it stands first in the
# list. On the test bed, whose arms come in random order, you would never see it.
#
# > **Pitfall, from real life.** The code beside a well-known book on bandits had this bug: with five arms and ε =
# > 0.1 the best one should be drawn first in 20 % of the runs, and was in 2 % ([BanditsBook
# > #10](https://github.com/johnmyleswhite/BanditsBook/pull/10)). Another library had a tie-breaker, which compared
# > values with the *number* of the best arm and so never found a tie ([bandits
# > #9](https://github.com/bgalbraith/bandits/issues/9)). And it does not die out: in a library for production it
# > was found in 2024, by somebody whose rewards came late, so that everything was a tie for a thousand decisions
# > ([mabwiser #96](https://github.com/fidelity/mabwiser/issues/96)). In chapter 05 it costs a Q-learner its whole
# > score.
#
# **One seed, twice.** The world rolls dice, the learner rolls dice. Here is the learner of the last raster again;
# only its seed is now the world's.

# %%
for name, seed in {"a seed of its own": 12, "the world's seed": 0}.items():
    world = replies(2000, seed=0)
    agent = GradientAgent(GradientConfig(steps=500, step_size=0.4), 2000, 5, np.random.default_rng(seed))
    late = list(steps(world, agent))[-100:]
    print(f"{name:18} best reply {np.mean([pull.actions == BEST for pull in late]):4.0%}   "
          f"mean thumb {np.mean([pull.rewards for pull in late]):.2f}")

# %% [markdown]
# Same learner, same world, and now it *avoids* the best reply. Both generators give the same numbers, in the same
# order: whenever the learner's number was high enough to choose the last reply, the world's was too high for a
# thumbs-up. No exception, no warning. (We did not make this up. It was in the first draft
# of this page.) Give each source of chance its own stream: `np.random.default_rng([seed, 2])`, or
# `SeedSequence.spawn`.
#
# **The reward.** Our assistant gives the reply that is *liked*. Whether the printer then prints, nobody asked.
#
# > **Pitfall, from real life.** In April 2025 OpenAI rolled back an update of GPT-4o that had made it flatter its
# > users and applaud bad ideas. According to [its own
# > post-mortem](https://openai.com/index/expanding-on-sycophancy/), one of several changes was an extra reward made
# > of users' thumbs-up and thumbs-down; together they had weakened the reward that kept flattery in check. The
# > learner was fine. It found the arm that is liked best. Part IV has a chapter on asking for the right thing.

# %% [markdown]
# ## What changed against chapter 01
#
# ```diff
#   # the dogs: try 64 variations, score each by the whole of 16 episodes, keep the best eight
# - scores = score(collect(Litter(brains), kennel))
# - mean = brains[scores.topk(8).indices].mean(0)
#   # the bandit: after every single action
# + q[action] += (reward - q[action]) / n                  # estimate values, then choose by them, or
# + loss = policy_gradient_loss(log_prob, reward - usual)    # learn the choice itself
# ```
#
# The credit goes to the action that earned it. Those last two lines are the two families of this course: learning
# *values* (chapters 03 to 06) and learning the *policy* (07 and everything after). What neither can do yet: more
# than one state, and more than one step.

# %% [markdown]
# ## Check yourself
#
# <details><summary>An optimistic learner (Q₁ = 5) uses averages instead of α = 0.1. How long does its optimism last?
# </summary>
#
# One pull per arm. With step size 1/n the first reward replaces Q₁ entirely: Q ← 5 + (r − 5)/1 = r. A constant step
# lets optimism fade slowly, which is what makes it try each arm several times.
# </details>
#
# <details><summary>Why can ε = 0.1 on ten arms never pull the best arm more than 91 % of the time?</summary>
#
# 90 % greedy, plus the share of the blind pulls that happen to hit the best arm: 0.9 + 0.1/10.
# </details>
#
# <details><summary>All rewards are raised by 100. Which of ε-greedy (averages, Q₁ = 0), optimism (Q₁ = 5), UCB and
# the gradient bandit with baseline notice?</summary>
#
# ε-greedy does, for a while: an arm that was tried stands at 100, the untried ones at 0, so it is stuck on its first
# arm except for blind pulls until it has tried the rest. Optimism is not optimistic any more and has no blind pulls
# either: it stays with its first arm for good. UCB tries every arm once whatever they pay, and goes by differences
# from then on: nothing changes. The gradient bandit subtracts the average: nothing.
# </details>
#
# <details><summary>Why does nobody explore with ε-greedy in a language model?</summary>
#
# A blind pick is one of 50,257 tokens, nearly always nonsense. At ε = 0.1 a reply of 100 tokens stays free of them
# with probability 0.9¹⁰⁰, about 3 in 100,000. Temperature tries what the model finds plausible.
# </details>
#
# <details><summary>You train a policy with rewards, but sample its replies at τ = 0. What does it learn?</summary>
#
# Next to nothing. It always gives the reply that it finds likeliest, so r − r̄ compares that reply with itself and
# says nothing about any other. In chapter 16 a whole group of equal answers has advantage exactly 0: a dead group.
# </details>

# %% [markdown]
# ## You can now …
#
# … learn from rewards for single actions, say what not knowing has cost you, choose between ε, optimism, UCB and
# temperature with reasons, follow a world that moves, and explain what a baseline is for. Your vocabulary has got the
# function that everything later hangs on:
#
# ```python
# policy_gradient_loss(log_probs, advantages)    # [..., T], [..., T] -> [..., T]
# ```
#
# Now the exercises: `rlcourse lab 2` opens them, or open `work/02_bandits.ipynb`. The last one is an assistant of
# your own, that has to beat ε-greedy on the printer question and on questions it has not seen.
#
# **Further reading**
#
# - R. S. Sutton and A. G. Barto, *Reinforcement Learning: An Introduction*, 2nd edition, MIT Press 2018, chapter 2: the
#   test bed, and all learners of this page. Free at
#   [incompleteideas.net](http://incompleteideas.net/book/the-book-2nd.html).
# - W. R. Thompson, *On the Likelihood that One Unknown Probability Exceeds Another in View of the Evidence of Two
#   Samples*, Biometrika 25, 1933: the first bandit learner, and still one of the best. Exercise 02.5 invites you to
#   rediscover it.
# - T. L. Lai and H. Robbins, *Asymptotically Efficient Adaptive Allocation Rules*, Advances in Applied Mathematics 6,
#   1985: why regret must grow like a logarithm.
# - P. Auer, N. Cesa-Bianchi and P. Fischer, *Finite-time Analysis of the Multiarmed Bandit Problem*, Machine Learning
#   47, 2002: UCB.
# - R. J. Williams, *Simple Statistical Gradient-Following Algorithms for Connectionist Reinforcement Learning*, Machine
#   Learning 8, 1992: the gradient bandit's big sister, REINFORCE, baseline included.
# - L. Li, W. Chu, J. Langford and R. E. Schapire, *A Contextual-Bandit Approach to Personalized News Article
#   Recommendation*, WWW 2010, [arXiv:1003.0146](https://arxiv.org/abs/1003.0146): bandits that look at who is asking.
# - T. Lattimore and C. Szepesvári, *Bandit Algorithms*, Cambridge University Press 2020: everything else.
# - P. Whittle's remark on the war is in the discussion of J. C. Gittins, *Bandit Processes and Dynamic Allocation
#   Indices*, Journal of the Royal Statistical Society B 41, 1979.
