# %% [markdown]
# # 01 · The loop
#
# Somebody throws a frisbee. A robot dog has to be there when it comes down, and nobody tells it where that will be.
#
# When you have worked through this page you can write the loop that all reinforcement learning runs on, score a dog
# by its *return*, let one learn from nothing but that score, and say what γ does to its character. And you will
# have seen that a language model writing a sentence goes round the same loop.
#
# *About 45 minutes to read and 45 for the exercises, difficulty 1 of 5. You need Python, and to have met a torch
# tensor before. No reinforcement learning.*

# %%
import gymnasium as gym
import matplotlib.pyplot as plt
import numpy as np
import torch

from rlcore.envs.robot_dog import DT, JUMP  # importing it puts the dog on Gymnasium's list of worlds
from rlcore.plotting import animate, band, house_style, show

torch.set_num_threads(1)
torch.manual_seed(0)
house_style()

# %% [markdown]
# ## A dog without a clue
#
# Run the cell, and watch.

# %%
from rlcore.policies import UniformPolicy

dog_world = gym.make("RobotDog-v0", render_mode="rgb_array")
animate(dog_world, UniformPolicy(num_actions=3), seed=3, alt="A dog that picks its actions at random")

# %% [markdown]
# About twelve times a second the dog may do one of three things: run left, lie still, or run right. This one rolls
# a die.
#
# Keep an eye on the number in the corner. It sinks by a little with every moment that passes (0.005), and by a
# little more while the dog runs (another 0.01). Only a catch lifts it (by 1). That number is all that this dog, or
# any learner in this course, is ever told about how well it is doing. Nobody says "you should have run right".

# %% [markdown]
# ## The loop
#
# What you just saw came out of a loop like this one, here with another die.

# %%
state, info = dog_world.reset(seed=3)  # a new throw
dog_world.action_space.seed(3)  # the die
done, step = False, 0
while not done:
    action = dog_world.action_space.sample()  # 0: run left, 1: lie still, 2: run right
    state, reward, terminated, truncated, info = dog_world.step(action)
    done = terminated or truncated
    step += 1
    if step <= 4 or done:
        print(f"step {step:2d}   action {action}   reward {reward:+.3f}   "
              f"dog at {state[0]:+.1f} m   disc at {state[2]:+.1f} m, {state[3]:.1f} m high")

# %% [markdown]
# ```text
#                    action aₜ
#        ┌────────┐ ───────────────────────► ┌───────┐
#        │ policy │                          │ world │
#        └────────┘ ◄─────────────────────── └───────┘
#                    reward rₜ, state sₜ₊₁
# ```
#
# Now the names. The **agent** is whoever decides: the dog. Everything else is the **environment**, or the world:
# the disc, the wind, and the dog's own legs too. A **state** is what the agent gets to see, here six numbers: where
# the dog is and how fast it runs, where the disc is, how high, and how fast it moves along the field and upwards.
# An **action** is what it does, a **reward** the number it gets for it. The rule by which it chooses an action in a
# state is its **policy**. One throw, from `reset` to the end, is an **episode**.
#
# An episode can end in two ways, and the world says which. `terminated`: the disc is caught or lies in the grass,
# and there is nothing left to happen. `truncated`: we stopped watching (a step limit, a full disk, an impatient
# engineer), and things would have gone on. For a loop that only wants to know when to stop, either will do. For
# learning they are worlds apart, and from chapter 04 on we will be strict about it.
#
# > **Whose t is it?** We write `rewards[t]` for what follows `actions[t]`. Sutton and Barto's book calls the same
# > number R₍ₜ₊₁₎, because it arrives together with the next state. Same number, other label; only mixing the two
# > hurts.

# %% [markdown]
# ## The same loop, made of text
#
# This course is about language models, so here is one page from its end. A world whose states are texts: the state
# is *the text so far*, an action is *the next word*, and the reward comes at the full stop.

# %%
VOCABULARY = ["the", "dog", "frisbee", "caught", "."]


class SentenceWorld(gym.Env):
    """Write a sentence; a reader who likes happy endings pays 1 for one."""

    action_space = gym.spaces.Discrete(len(VOCABULARY))

    def reset(self, seed=None):
        self.text = "the"
        return self.text, {}

    def step(self, action):
        self.text += " " + VOCABULARY[action]
        terminated = VOCABULARY[action] == "."  # the sentence is over
        truncated = not terminated and len(self.text.split()) == 8  # out of paper: it could have gone on
        reward = 1.0 if terminated and "dog caught the frisbee" in self.text else 0.0
        return self.text, reward, terminated, truncated, {}


# %% [markdown]
# The loop is the one from above, put into a function. It does not know which of the two worlds it is in.

# %%
def play(world, choose, seed=None):
    """One episode: the actions, the rewards, and the last state."""
    actions, rewards, done = [], [], False
    state, _ = world.reset(seed=seed)
    while not done:
        action = choose(state)
        state, reward, terminated, truncated, _ = world.step(action)
        actions.append(action)
        rewards.append(reward)
        done = terminated or truncated
    return actions, rewards, state


sentence_world = SentenceWorld()
sentence_world.action_space.seed(0)
PLAN = {"the": "dog", "the dog": "caught", "the dog caught": "the", "the dog caught the": "frisbee",
        "the dog caught the frisbee": "."}  # a policy can be a table: the text so far -> the next word
writers = {"rolls a die": lambda text: sentence_world.action_space.sample(),
           "has a plan": lambda text: VOCABULARY.index(PLAN[text])}
for name, choose in writers.items():
    for _ in range(3):
        actions, rewards, text = play(sentence_world, choose)
        print(f"{name:12} {text:44} rewards {rewards}")

# %% [markdown]
# Replace the five words by GPT-2's 50,257 tokens and the chooser by GPT-2 itself, which is a function from *the
# text so far* to *probabilities for the next token*, and you have the setting in which language models are trained
# with rewards. **An LLM is just another policy.** You need not believe it yet: in part III, the lines that taught a
# cart to balance a pole teach GPT-2 to add.
#
# Back to the dog, whose mistakes are easier to watch.

# %% [markdown]
# ## How good is a dog?
#
# Count up what an episode paid, and you have its **return**:
#
# $$G = r_0 + r_1 + \dots + r_{T-1}$$
#
# One throw says little, because throws differ. So here are 500 dogs in 500 fields, all at once. `collect` is the
# loop you know, for many worlds side by side; what comes back is a `Trajectory`, the record of what everybody did.

# %%
from rlcore.rollout import collect

fields = gym.make_vec("RobotDog-v0", num_envs=500)
trajectory = collect(UniformPolicy(num_actions=3), fields, seed=0)

rewards, mask = trajectory.rewards, trajectory.mask  # [B, T], [B, T]
print("states ", tuple(trajectory.states.shape), "  500 dogs, T steps, 6 numbers")
print("rewards", tuple(rewards.shape), "    one number per step: time is the last axis, the dogs are to its left")
print("dog 0 was busy for", int(mask[0].sum()), "steps; after that its row is padding, and mask says False")

# %% [markdown]
# That layout, *one number per step: time last, batch to its left, a mask for what does not count*, stays with us to
# the end of the course. (A state is six numbers; they stand on one more axis, behind time.) A sentence of tokens is
# the same rectangle.

# %%
def caught(trajectory):
    """Which dogs have the disc at the end, `[B]`: only a catch pays so much."""
    return (trajectory.rewards > 0.5).any(-1)


G, lucky = rewards.sum(-1), caught(trajectory)  # [B], [B]
fig, ax = plt.subplots()
ax.hist([G[lucky].numpy(), G[~lucky].numpy()], bins=40, stacked=True, label=["caught it", "missed it"])
ax.axvline(G.mean(), color="black", linestyle="--", label=f"mean {G.mean():+.2f}")
ax.set(title="The returns of 500 dogs that roll dice", xlabel="return of the episode", ylabel="dogs")
ax.legend()
show(fig, alt="Histogram of the returns of 500 random dogs: a large heap below zero for those that "
              "missed the disc, and a small heap above it for those it happened to fall on.")

# %% [markdown]
# Two heaps: those on whom the disc happened to fall, and the rest. From now on, a dog's score is its mean return
# over these 500 throws, always the same ones, so that no dog is just luckier than another. (A dog that rolls dice will
# still score a little differently each time: the throws are the same, the dice are not.)

# %% [markdown]
# ## A policy written by hand
#
# A policy maps a state to probabilities of actions, π(a | s). A rule written by hand puts all the probability on
# one action. The first rule that comes to mind: *run to where the frisbee is*.

# %%
from rlcore.policies import ScriptedPolicy


def run_to_the_disc(states):
    """Left (0) or right (2), whichever way the disc is."""
    dog, disc = states[..., 0], states[..., 2]
    return torch.where(disc > dog, 2, 0)


chaser = ScriptedPolicy(run_to_the_disc, num_actions=3)
animate(dog_world, chaser, seed=3, alt="A dog that runs to where the disc is now")

# %% [markdown]
# Full of goodwill. Before you scroll on, guess: of 500 throws, how many does it catch? And how many does a dog
# catch that never gets up?

# %%
def report(name, policy):
    """One line of the league table."""
    rides = collect(policy, fields, seed=0)
    G, ran = rides.rewards.sum(-1), (rides.actions != 1) & rides.mask  # [B], [B, T]
    print(f"{name:20} caught {caught(rides).float().mean():4.0%}   mean return {G.mean():+.2f}   "
          f"steps run {ran.sum(-1).float().mean():4.1f}")


sleeper = ScriptedPolicy(lambda states: torch.ones(states.shape[:-1]).long(), num_actions=3)
report("rolls dice", UniformPolicy(num_actions=3))
report("chases the disc", chaser)
report("sleeps", sleeper)

# %% [markdown]
# The eager dog is the worst of the three. The picture shows why: time to the right, place along the field upwards.

# %%
def path(policy, seed):
    """All states of one episode, `[T + 1, 6]`."""
    one = collect(policy, gym.make("RobotDog-v0"), seed=seed)
    return torch.cat([one.states, one.next_states[-1:]])


def draw_paths(policies, seed):
    """Where the disc and the dogs are, over time."""
    disc = path(sleeper, seed)
    low = (disc[:, 3] <= JUMP) & (disc[:, 5] < 0)  # on its way down, and within the dog's jump
    time = DT * torch.arange(len(disc))  # s
    fig, ax = plt.subplots()
    ax.plot(time, disc[:, 2], "--", color="black", label="disc, out of reach")
    ax.plot(time[low], disc[low, 2], color="black", linewidth=6, alpha=0.6, label="disc, low enough to catch")
    for name, policy in policies.items():
        dog = path(policy, seed)
        ax.plot(DT * torch.arange(len(dog)), dog[:, 0], label=name)
    ax.set(xlabel="time since the throw (s)", ylabel="place along the field (m)")
    ax.legend(fontsize=9)
    return fig, ax


fig, ax = draw_paths({"the chaser": chaser}, seed=3)
ax.set_title("The chaser runs under the disc, and then after it")
show(fig, alt="Place along the field over time. The chasing dog runs back towards the thrower, meets the "
              "disc while it is overhead, turns round, and falls ever further behind it.")

# %% [markdown]
# It runs *towards* the disc, meets it while it is high overhead, turns round, and then the disc is faster. Running
# to where something *is* works for food bowls. For a frisbee you have to be where it *will be*.

# %% [markdown]
# ## A dog that learns
#
# We could now work out the flight of a disc and write a better rule (exercise 01.5 asks for just that). But suppose
# that we could not, as nobody can write down the rule for a good answer to a question. All we can do is try a dog,
# and look at its return.
#
# The bluntest way to learn from that: **breed**. Make 64 dogs whose brains differ at random, give each the same
# number of throws, keep the eight with the highest mean return, make the next 64 like those, with a little
# variation. Try variations, keep what scored better. It is called the *cross-entropy method*.
#
# A brain is 21 numbers: for each of the three actions, six weights and a bias. The action whose weighted sum of the
# state is highest is the most likely: `Categorical` turns the three sums, called *logits*, into probabilities
# (exponentiate, and divide by the total). That is a linear policy, and here are many of them side by side.

# %%
from torch.distributions import Categorical

from rlcore.policies import MLPPolicy, Policy


class Litter(Policy):
    """Many linear policies at once; each steers `throws` dogs, which stand next to each other in the batch."""

    def __init__(self, brains, throws):
        super().__init__()
        self.weights, self.biases = brains[:, :18].view(-1, 3, 6), brains[:, None, 18:]  # [N, 3, 6], [N, 1, 3]
        self.throws = throws

    def forward(self, states):
        states = states.view(-1, self.throws, 6)  # [N, throws, 6]
        logits = states @ self.weights.mT + self.biases  # [N, throws, 3]
        return Categorical(logits=logits.flatten(0, 1))  # one distribution per dog


# %% [markdown]
# And the learner. Look for the line in which it is told where the disc comes down.

# %%
LITTER, THROWS, KEEP, GENERATIONS = 64, 16, 8, 30
kennel = gym.make_vec("RobotDog-v0", num_envs=LITTER * THROWS)


def breed(score, seed):
    """The cross-entropy method: the mean brain at the end, and the litter's catch rate in each generation."""
    torch.manual_seed(seed)
    mean, spread, history = torch.zeros(21), torch.ones(21), []
    for generation in range(GENERATIONS):
        brains = mean + spread * torch.randn(LITTER, 21)  # [64, 21]  variations ...
        trajectory = collect(Litter(brains, THROWS), kennel, seed=100 * seed + generation)
        scores = score(trajectory).view(LITTER, THROWS).mean(1)  # [64]
        best = brains[scores.topk(KEEP).indices]  # [8, 21]  ... of which the better ones stay
        mean, spread = best.mean(0), best.std(0) + 0.1  # a little noise, so that they never become all alike
        history.append(caught(trajectory).float().mean().item())
    return mean, history


def total_reward(trajectory):
    """The return of each episode, `[B]`."""
    return trajectory.rewards.sum(-1)


runs = [breed(total_reward, seed) for seed in range(5)]

# %% [markdown]
# There is no such line. `breed` never looks at a state, knows nothing of flight, and would train anything that has
# a return.

# %%
fig, ax = plt.subplots()
histories = 100 * np.array([history for _, history in runs])  # [5 seeds, generations]
band(ax, range(GENERATIONS), histories, "the whole litter", kind="range", color="C1")
for name, policy, colour in (("sleeps", sleeper, "C2"), ("chases the disc", chaser, "C0")):
    rate = 100 * caught(collect(policy, fields, seed=0)).float().mean()
    ax.axhline(rate, color=colour, linestyle="--", label=name)
ax.set(title="Dogs that were never told where to run", xlabel="generation",
       ylabel="throws caught (%)", ylim=(-4, 100))
ax.legend(fontsize=9, loc="upper left")
show(fig, alt=f"The catch rate of the litter over {GENERATIONS} generations, five runs: the median climbs from "
              f"{np.median(histories[:, 0]):.0f} to {np.median(histories[:, -1]):.0f} per cent.")

# %% [markdown]
# That is the catch rate of all 64, the failed experiments included: a litter has to keep varying to keep learning.
# Our learned dog is the mean of the best eight. Its 21 numbers fit into the ordinary linear policy of the house,
# `MLPPolicy` with no hidden layer.

# %%
def linear_policy(brain):
    """A brain of 21 numbers as a policy."""
    policy = MLPPolicy(state_size=6, num_actions=3, hidden=())
    torch.nn.utils.vector_to_parameters(brain, policy.parameters())
    return policy


learned = linear_policy(runs[0][0])
animate(dog_world, learned, seed=3, alt="The learned dog, on the same throw")

# %%
report("rolls dice", UniformPolicy(num_actions=3))
report("chases the disc", chaser)
report("sleeps", sleeper)
for seed, (brain, _) in enumerate(runs):
    report(f"learned, seed {seed}", linear_policy(brain))

# %% [markdown]
# ### What did it learn?
#
# The same throw again, with both dogs in one picture. (A dog begins some way down the field, ahead of the disc.)

# %%
fig, ax = draw_paths({"the chaser": chaser, "the learned dog": learned}, seed=3)
ax.set_title("One goes where the disc is, the other where it will be")
show(fig, alt="Place along the field over time. The learned dog runs away from the thrower at once and is "
              "where the disc comes low; the chaser is far behind.")

# %% [markdown]
# And so that nobody says we picked the throw: in all 500, at each moment, how many metres is the dog *ahead* of the
# disc?

# %%
def lead(policy):
    """Metres that the dog is ahead of the disc, `[500, T]`, NaN after the episode."""
    rides = collect(policy, fields, seed=0)
    ahead = rides.states[..., 0] - rides.states[..., 2]
    return ahead.masked_fill(~rides.mask, torch.nan)


fig, ax = plt.subplots()
for name, policy in {"chases the disc": chaser, "learned": learned}.items():
    low, middle, high = np.nanquantile(lead(policy)[:, :24].numpy(), (0.25, 0.5, 0.75), axis=0)
    time = DT * np.arange(24)
    ax.plot(time, middle, label=f"{name} (median, middle half of 500 throws)")
    ax.fill_between(time, low, high, alpha=0.2)
ax.axhline(0, color="black", linewidth=1)
ax.set(title="Ahead of the disc, or behind it?", xlabel="time since the throw (s)",
       ylabel="dog ahead of the disc by (m)")
ax.legend(fontsize=9)
show(fig, alt="How far the dog is ahead of the disc, over time. The learned dog stays ahead while the disc "
              "comes closer. The chaser's lead turns negative half way, and it falls further back.")

# %% [markdown]
# The learned dog stays ahead and lets the disc come to it. Nobody wrote "ahead" anywhere.
#
# How does it know how far? You may bet on the disc's speed. Let us blindfold it: replace one of the six numbers by
# its average, always, and see what is left of the dog.

# %%
NAMES = ["dog's place", "dog's speed", "disc's place", "disc's height", "disc's speed along",
         "disc's speed up"]
usual = collect(learned, fields, seed=1)
averages = usual.states[usual.mask].mean(0)  # [6]


def blindfolded(policy, i):
    """The same policy, which cannot see number i of the state."""
    def see(states):
        states = states.clone()
        states[..., i] = averages[i]
        return policy(states).sample()
    return ScriptedPolicy(see, num_actions=3)


rates = np.zeros((5, 6))  # [seed, hidden number]
for seed, (brain, _) in enumerate(runs):
    for i in range(6):
        rides = collect(blindfolded(linear_policy(brain), i), fields, seed=0)
        rates[seed, i] = 100 * caught(rides).float().mean()

fig, ax = plt.subplots()
ax.barh(NAMES, np.median(rates, 0), color="C1", alpha=0.6)
ax.plot(rates.T, range(6), "o", color="black", markersize=4)
ax.set(title="What is left when one number is hidden", xlim=(0, 100),
       xlabel="throws caught (%); bar: median of 5 learned dogs, dot: one of them")
ax.invert_yaxis()
show(fig, alt="Catch rate with one number of the state hidden, median of five dogs: " + ", ".join(
    f"{name} {rate:.0f} %" for name, rate in zip(NAMES, np.median(rates, 0), strict=True)))

# %% [markdown]
# The disc's speed along the field: hardly missed. They live on *where the disc is*, *where I am myself*, and most of
# them on *how fast it climbs*. All throws come from the same hand, so these give most of the speed away. And look at
# the dots for the speed upwards: five dogs with the same score, and not the same head. A learner takes whatever
# works; what it took is a question to measure, not to guess. (Real dogs do not solve equations either: see *How
# dogs navigate to catch frisbees* at the end.)
#
# Before you fall in love with breeding: it threw away nearly everything it saw. Tens of thousands of episodes were
# boiled down to one number each, and which of their actions had been the good ones nobody asked. That is good
# enough for 21 numbers. GPT-2 has over a hundred million. The rest of the course is about asking.

# %% [markdown]
# ## How far can a dog see? The discount γ
#
# So far a reward now and a reward in two seconds counted the same. Often they should not: a treat now is worth more
# than a treat later, and later may never come. The **discount** γ ("gamma"), a number between 0 and 1, says how
# fast the future fades. What step t's future is worth, seen from step t, is
#
# $$G_t = r_t + \gamma\, r_{t+1} + \gamma^2 r_{t+2} + \dots$$
#
# Take γ out of all but the first term, and the rest is again a return, the next step's:
#
# $$G_t = r_t + \gamma\, G_{t+1}$$
#
# So one walk from the end to the beginning gives the return of every step. Nothing follows the last step, and nothing
# follows a step at which an episode is `done`: there the return is the reward.

# %%
def my_discounted_returns(rewards, done, gamma):
    """G at every step, walking backwards: `[B, T]`."""
    G, G_next = torch.zeros_like(rewards), torch.zeros(len(rewards))
    for t in reversed(range(rewards.shape[-1])):
        G_next = torch.where(done[:, t], 0.0, G_next)  # what follows is another episode
        G_next = rewards[:, t] + gamma * G_next
        G[:, t] = G_next
    return G


rewards, done = torch.tensor([[0.0, 0.0, 1.0]]), torch.tensor([[False, False, True]])
by_hand = my_discounted_returns(rewards, done, gamma=0.5)
print(by_hand.tolist(), " a reward two steps away, at γ = 0.5")

# %% [markdown]
# You will write this function again in the exercises, and meet it again as `rlcore.returns.discounted_returns`,
# which works for any shape with time last. Are the two the same?

# %% tags=["nbval-check-output"]
from rlcore.returns import discounted_returns

for gamma in (0.0, 0.9, 1.0):
    ours = my_discounted_returns(trajectory.rewards, trajectory.done, gamma)
    assert torch.equal(ours, discounted_returns(trajectory.rewards, trajectory.done, gamma))
print("the same, for 500 dogs and three values of γ")

# %%
ahead = np.arange(60)  # steps
usual_steps = usual.mask.sum(-1).float().median().item()
fig, ax = plt.subplots()
for gamma in (0.8, 0.9, 0.95, 0.98, 1.0):
    ax.plot(DT * ahead, gamma**ahead, label=f"γ = {gamma}")
ax.axvline(DT * usual_steps, color="black", linestyle="--", label="a usual flight")
ax.set(title="How much a reward counts that is still to come", xlabel="how far ahead it lies (s)",
       ylabel="γ to the number of steps", ylim=(-0.05, 1.45))
ax.legend(fontsize=9, ncols=3, loc="upper right")
show(fig, alt="How much a reward counts against how far ahead it lies: the smaller gamma, the faster it fades. "
              f"After a usual flight, {usual_steps:.0f} steps, gamma 0.8 leaves {0.8**usual_steps:.3f} of it, "
              f"gamma 0.95 {0.95**usual_steps:.2f}.")

# %% [markdown]
# ## Short-sighted dogs and far-sighted dogs
#
# A run costs now; the catch comes two seconds later. Breed dogs that are scored by the *discounted* return, for
# several γ, five litters each. Nothing else changes.

# %%
GAMMAS = (0.8, 0.9, 0.95, 0.98)


def seen_from_the_start(gamma):
    """Score an episode by its discounted return at step 0, `[B]`."""
    return lambda trajectory: discounted_returns(trajectory.rewards, trajectory.done, gamma)[:, 0]


dogs = {gamma: [breed(seen_from_the_start(gamma), seed)[0] for seed in range(5)] for gamma in GAMMAS}
dogs[1.0] = [brain for brain, _ in runs]  # at γ = 1 the discounted return is the plain sum: those we have

# %%
catch, effort = np.zeros((5, 5)), np.zeros((5, 5))  # [γ, seed]
for i, brains in enumerate(dogs.values()):
    for j, brain in enumerate(brains):
        rides = collect(linear_policy(brain), fields, seed=0)
        catch[i, j] = 100 * caught(rides).float().mean()
        effort[i, j] = 100 * ((rides.actions != 1) & rides.mask).sum() / rides.mask.sum()

fig, axes = plt.subplots(1, 2, sharex=True, sharey=True, figsize=(8.5, 3.4))
for ax, values, title in ((axes[0], catch, "throws caught (%)"), (axes[1], effort, "time spent running (%)")):
    ax.plot(range(5), np.median(values, 1), color="C1", label="median of 5 litters")
    ax.plot(range(5), values, "o", color="black", markersize=4, alpha=0.7)
    ax.set(title=title, xlabel="γ; a dot is one litter's dog", ylim=(-4, 100))
    ax.set_xticks(range(5), list(dogs))
axes[0].legend(fontsize=9)
show(fig, alt="Throws caught, and time spent running, by gamma; medians of five litters: " + ", ".join(
    f"gamma {gamma} catches {c:.0f} % and runs {e:.0f} % of the time"
    for gamma, c, e in zip(dogs, np.median(catch, 1), np.median(effort, 1), strict=True)))

# %%
animate(dog_world, linear_policy(dogs[0.8][0]), seed=3, alt="A dog bred with gamma 0.8")

# %% [markdown]
# The short-sighted dog has seen the disc. It lies down because, to it, running is a certain cost and the catch a
# rumour. Nobody punished it. Its *aim* is different: γ is not a knob on the learner, it is part of the question
# that the learner answers.
#
# Or is it? Some litters in the middle run and some sleep, and a question should not have two answers. Let us
# separate the two suspects, the question and the learner. Take one dog that runs and one that sleeps, breed nobody,
# and ask each γ which of the two it prefers.

# %%
gammas = np.linspace(0.8, 1.0, 41)
awake, asleep = (collect(policy, fields, seed=0) for policy in (learned, sleeper))
runs_for = np.array([seen_from_the_start(gamma)(awake).mean() for gamma in gammas])
sleeps_for = np.array([seen_from_the_start(gamma)(asleep).mean() for gamma in gammas])
crossing = gammas[runs_for > sleeps_for][0]

fig, ax = plt.subplots()
ax.plot(gammas, runs_for, color="C1", label="a dog that runs (learned at γ = 1)")
ax.plot(gammas, sleeps_for, color="C2", label="a dog that sleeps")
ax.axvline(crossing, color="black", linestyle="--", label=f"from γ = {crossing:.3f} on, running is worth more")
ax.axhline(0, color="black", linewidth=1)
ax.set(title="Which of the two does a γ prefer?", xlabel="γ", ylabel="mean discounted return")
ax.legend(fontsize=9)
show(fig, alt="The mean discounted return of a running and of a sleeping dog against gamma. Below gamma "
              f"{crossing:.3f} sleeping is worth a little more, above it running, and ever more.")

# %% [markdown]
# Left of the crossing, dozing is worth more than that dog's running, so a litter that dozes there is no fool: it
# was asked a short-sighted question. Right of the crossing running is worth more, and every litter that still
# sleeps there has *failed to learn*. The prize is small there, the noise of sixteen throws is not, and once all
# puppies lie down there is nobody left to learn from.
#
# So γ *is* part of the question, and at 0.95 it was the learner that failed.
#
# Keep this move; it is half of debugging in reinforcement learning. When a trained policy does something silly,
# first ask whether the silly thing scores better. If so, the learner did its job and you asked the wrong question.
# If not, you have the wrong learner.

# %% [markdown]
# > **Change this number and run again.** `EFFORT`, what a running step costs, stands at the top of
# > `rlcore/envs/robot_dog.py`. You can set it from here: put `import rlcore.envs.robot_dog as physics;
# > physics.EFFORT = 0.0` in a new cell below, and then `report("free", linear_policy(breed(seen_from_the_start(0.8),
# > 0)[0]))`. (Afterwards put `physics.EFFORT = 0.01` back.) Will the short-sighted dog get up when
# > running is free? Say what you expect before you look.

# %%
windy_fields = gym.make_vec("RobotDog-v0", num_envs=500, wind=2.0)  # change this: 0 to 5 m/s
for name, policy in {"learned without wind": learned, "sleeps": sleeper}.items():
    print(f"{name:22} caught {caught(collect(policy, windy_fields, seed=0)).float().mean():4.0%}")

# %% [markdown]
# The wind is new to this dog, and so it cannot have planned for it. It still looks where the disc is twelve times a
# second, and that goes a long way. A policy is not a plan: it is an answer for every state, also for those that
# nobody foresaw.

# %% [markdown]
# ## A travel guide, and an unknown city
#
# **Supervised learning** is visiting a city with a travel guide: for every corner it tells you which way to turn,
# and you learn to agree with it. **Reinforcement learning** is being dropped in a city without one. In the evening
# somebody tells you how good the day was, in one number. Which of your turns earned it is for you to find out, and
# you only ever see the streets that your own turns led to.
#
# A guide is a wonderful thing, so let us give the dog one. The student sees the guide's states and actions and
# learns to make those actions likely, the same cross-entropy that trains a classifier, or a language model on text.

# %%
def imitate(guide):
    """Supervised learning: make the guide's actions likely."""
    lesson = collect(guide, fields, seed=1)
    student = MLPPolicy(state_size=6, num_actions=3, hidden=())
    optimizer = torch.optim.Adam(student.parameters(), lr=0.05)
    for _ in range(200):
        log_probs = student(lesson.states).log_prob(lesson.actions)  # [B, T]
        loss = -log_probs[lesson.mask].mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return student


for name, guide in {"the chaser": chaser, "the learned dog": learned}.items():
    student = imitate(guide)
    rides = collect(guide, fields, seed=0)
    agree = (student(rides.states).probs.argmax(-1) == rides.actions)[rides.mask].float().mean()
    print(f"guide: {name}.  The student agrees with it in {agree:.0%} of the states.")
    report("  the guide", guide)
    report("  its student", student)

# %% [markdown]
# The chaser's student is an excellent student: it agrees with its guide nearly everywhere, and inherits a guide's
# faults along with its habits. It was never told what the running is *for*. The student of a good guide becomes
# good at once, with no reward and no search.
#
# That is the whole plot of part III. Where you have good guides, imitate: it is fast and steady, and chapter 10
# does it with GPT-2 under the name of *supervised fine-tuning*. Where there is no guide, or you want to become
# better than yours, you need a score and a loop.

# %% [markdown]
# ## Where it breaks
#
# `collect` can also record a fixed number of steps, over as many throws as fit. Then one row holds several
# episodes, end to end. Here is such a row, with its returns computed twice: once properly, and once with somebody
# forgetting `done`.

# %%
two_fields = gym.make_vec("RobotDog-v0", num_envs=2)
dice = torch.Generator().manual_seed(0)
stream = collect(UniformPolicy(num_actions=3), two_fields, num_steps=47, seed=1, generator=dice)
row = 0
right = discounted_returns(stream.rewards, stream.done, gamma=0.98)[row]
leaky = discounted_returns(stream.rewards, torch.zeros_like(stream.done), gamma=0.98)[row]

fig, ax = plt.subplots()
for name, values, width in (("forgets `done`", leaky, 6), ("respects `done`", right, 2)):
    ax.plot(values.masked_fill(~stream.mask[row], torch.nan), label=name, linewidth=width)
for t in stream.done[row].nonzero()[:, 0].tolist():
    ending = "caught" if stream.rewards[row, t] > 0.5 else "missed"
    ax.axvline(t, color="black", linestyle="--", linewidth=1)
    ax.annotate(ending, (t, -0.28), xytext=(-4, 0), textcoords="offset points", ha="right")
ax.set(title="Two throws in one row: whose catch was it?", xlabel="step in the row",
       ylabel="return from here on (γ = 0.98)")
ax.legend(fontsize=9, loc="upper left")
show(fig, alt="The return at every step of a row with two throws, the first missed and the second caught. Computed "
              "properly, the first throw's returns stay negative. With the leak they rise above zero "
              "towards its end, as if it had been a success.")

# %% [markdown]
# With the leak, the first throw is credited with the catch of the next one. No error, no warning: a curve that learns a
# little worse, and you blame the learning rate.
#
# > **Pitfall, from real life.** Until 2022 the `step` of OpenAI's Gym returned a single flag, `done`, for both
# > kinds of end. The proposal to mend it reports that "the DQN people are deeply unamused", because others who
# > rewrote their algorithms so often got this wrong ([openai/gym
# > #2510](https://github.com/openai/gym/issues/2510)); Gym 0.26 split the flag into `terminated` and `truncated`.
# > Then Gymnasium 1.0 moved the reset of a *vector* of worlds to the step after the end. Code written for the old
# > order now recorded a step that never happened: the last state of one episode, paired with the first of the next
# > ([pytorch/rl #2477](https://github.com/pytorch/rl/issues/2477), [cleanrl
# > #499](https://github.com/vwxyzjn/cleanrl/issues/499)). That step is the gap in the curves above: `collect` keeps
# > it, and sets its `mask` to False.

# %% [markdown]
# ## Check yourself
#
# <details><summary>A dog catches the disc at its 20th step. In which entry of <code>rewards</code> is the catch, and
# what is the same reward called in Sutton and Barto's book?</summary>
#
# In `rewards[19]`: it follows `actions[19]`, the twentieth action. The book calls it R₂₀, after the time at which
# it arrives.
# </details>
#
# <details><summary>With γ = 0, which dog is best?</summary>
#
# One that looks only at the very next reward. It pays to run only if the disc is within reach at the very next
# moment and running is what brings it there; otherwise lying still is cheaper. In practice: a sleeper.
# </details>
#
# <details><summary>At γ = 0.8 the litters sleep. Is sleeping the best that a dog can do there?</summary>
#
# No. A dog that dozes, and makes a dash in the last half second for a disc that comes down close by, earns a little
# more: when the catch is only a few steps away, even a short-sighted dog can see it. The gain is so small that
# sixteen throws hardly show it, so breeding does not find that dog. Write it and compare.
# </details>
#
# <details><summary>Your training runs hit a step limit of 1000. A colleague sets <code>terminated = True</code> there
# "because the episode is over". What does the learner come to believe?</summary>
#
# That the world ends at step 1000, so that nothing after it matters. In a world that goes on (a dog that must not
# fall over, a sentence cut off for length) the states before the limit look worthless, although there was a future.
# It is `truncated`.
# </details>
#
# <details><summary>In <code>breed</code>, all scores are multiplied by 10. What changes? And if 100
# is added to every score?</summary>
#
# Nothing, both times: only the order decides who stays. Chapter 07's learner, which uses the size of the return,
# will mind both, and the cures for that (baselines, normalised advantages) run all the way to GRPO.
# </details>
#
# <details><summary>For GPT-2 answering a question: what is the state, the action, the reward, an episode, and what is
# truncation?</summary>
#
# The question and the answer so far; the next token; what the finished answer scores, paid at its last token (0
# before); one answer; an answer cut off by the length limit before it said its end-of-text token.
# </details>

# %% [markdown]
# ## You can now …
#
# … take any Gymnasium world, run a policy in it, and read the record; score policies by their return over the same
# throws; say what γ asks for; and tell a wrong aim from a failed learner. Your vocabulary has a function more:
#
# ```python
# discounted_returns(rewards, done, gamma)    # [..., T] -> [..., T]
# ```
#
# Now the exercises: open `work/01_the_loop.ipynb` in the file browser on the left (`rlcourse start 1` puts it
# there, if it is missing). You will write the return, the loop, and a dog that puts the chaser to shame.
#
# **Further reading**
#
# - R. S. Sutton and A. G. Barto, *Reinforcement Learning: An Introduction*, 2nd edition, MIT Press 2018, chapters 1
#   and 3: the loop, returns and discounting, by those who named them. Free at
#   [incompleteideas.net](http://incompleteideas.net/book/the-book-2nd.html).
# - P.-T. de Boer, D. P. Kroese, S. Mannor and R. Y. Rubinstein, *A Tutorial on the Cross-Entropy Method*, Annals of
#   Operations Research 134, 2005: why breeding works, and where the name is from.
# - I. Szita and A. Lőrincz, *Learning Tetris Using the Noisy Cross-Entropy Method*, Neural Computation 18(12),
#   2006: the little noise that we added to the spread, and what it did to a record in Tetris.
# - F. Pardo, A. Tavakoli, V. Levdik and P. Kormushev, *Time Limits in Reinforcement Learning*, ICML 2018,
#   [arXiv:1712.00378](https://arxiv.org/abs/1712.00378): truncation is not termination, measured.
# - M. Towers and others, *Gymnasium: A Standard Interface for Reinforcement Learning Environments*, 2024,
#   [arXiv:2407.17032](https://arxiv.org/abs/2407.17032): `reset`, `step`, and why they look as they do.
# - D. M. Shaffer, S. M. Krauchunas, M. Eddy and M. K. McBeath, *How Dogs Navigate to Catch Frisbees*, Psychological
#   Science 15(7), 2004: two dogs with cameras on their heads.
