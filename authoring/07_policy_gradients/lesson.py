# %% [markdown]
# # 07 · Policy gradients
#
# *Do more of what turned out well.* You have been doing it all your life. This chapter makes it exact, which takes one
# line of calculus; makes it affordable, which takes the rest; and lets it loose on a cart and on a language.
#
# When you have worked through this page you can differentiate through a roll of dice, write REINFORCE, say what each
# of its refinements buys (and measure it), and place every algorithm that you have met on one map. The function at
# its heart is a single line, and it is the line that trains GPT-2 in part III.
#
# *About 90 minutes, difficulty 3 of 5. You need returns (chapter 01), V, Q and the advantage (03), and the page on
# gradients and networks in chapter 06. The gradient bandit of chapter 02 is this chapter's ancestor.*

# %%
import json
from pathlib import Path

import gymnasium as gym
import matplotlib.pyplot as plt
import numpy as np
import torch

import rlcore.envs  # puts our worlds on Gymnasium's list
from rlcore.plotting import animate, band, house_style, show
from rlcore.policies import ScriptedPolicy, TabularPolicy

torch.set_num_threads(1)
torch.manual_seed(0)
house_style()

# %% [markdown]
# ## A corridor for people who are never sure
#
# Three squares and an exit. Each step costs 1. There are two actions, left and right, and there is a trick: in the
# second square they are exchanged. And all squares look alike. Here is somebody who always goes right.

# %%
corridor = gym.make("ShortCorridor-v0", render_mode="rgb_array", max_episode_steps=14)
always_right = ScriptedPolicy(lambda states: torch.ones_like(states), 2)
animate(corridor, always_right, seed=0, alt="A walker who always goes right, to and fro between the first two squares")

# %% [markdown]
# Back and forth, for ever. Always left never leaves the first square. So whoever is *sure* never gets out. What gets
# out is a walker who rolls dice: right with probability p, wherever he is. For this world one can work out what that
# is worth:

# %%
def worth(p):
    """Expected return of a walker who goes right with probability p."""
    return -2 * (2 - p) / (p * (1 - p))


BEST = 2 - 2**0.5
p = np.linspace(0.02, 0.98, 500)
fig, ax = plt.subplots()
ax.plot(p, worth(p))
ax.plot(BEST, worth(BEST), "o", color="C0")
ax.annotate(f"p = 2 − √2 = {BEST:.3f}\nworth {worth(BEST):.2f}", (BEST, worth(BEST)), (0, 10),
            textcoords="offset points", ha="center")
for q, name in ((0.05, "ε-greedy, if left looks better"), (0.95, "ε-greedy, if right looks better")):
    ax.plot(q, worth(q), "o", color="C1")
    ax.annotate(f"{name}: {worth(q):.0f}", (q, worth(q)), (9 if q < 0.5 else -9, 0), textcoords="offset points",
                ha="left" if q < 0.5 else "right", va="center", fontsize=9)
ax.set(title="What going right with probability p is worth", xlabel="p", ylabel="expected return", ylim=(-105, 8))
show(fig, alt=f"The expected return against p: it falls to minus infinity at both ends and has its peak, "
              f"{worth(BEST):.2f}, at {BEST:.3f}. The two epsilon-greedy policies, at 0.05 and 0.95, earn "
              f"{worth(0.05):.1f} and {worth(0.95):.1f}.")

# %% [markdown]
# The orange dots are all that chapters 05 and 06 have to offer. The walker sees only one state, so a table of action
# values has one row with two numbers in it, and an ε-greedy walker can look at them for as long as he likes: he goes
# right with probability 0.95 or with 0.05. *Which* of the two, the values decide. How much of each, they cannot say.
# (At a tie he would flip a coin, but with real returns ties do not last.) What do they make of it?

# %%
from rlcore.agents.control import ControlConfig, QLearning, Sarsa, train

corridor = gym.make("ShortCorridor-v0")
patience = ControlConfig(episodes=200, step_size=0.1, epsilon=0.1)
for name, kind in (("SARSA", Sarsa), ("Q-learning", QLearning)):
    lived = [train(corridor, kind, patience, seed).history.returns[-100:].mean() for seed in range(5)]
    print(f"{name:10} mean return of the last 100 of 200 episodes, five seeds:", np.sort(lived).round(1))
print(f"the blue dot: {worth(BEST):.1f}")

# %% [markdown]
# Better than either dot! But look how: whichever action they prefer soon turns out badly, so in mid-episode they change
# their minds, and a walker who keeps changing his mind is a sort of die. They never settle, and it is far from the blue
# dot.
#
# You may call the corridor a mean trick. It is the everyday case: whoever does not see everything (a player who cannot
# see the cards, a model that does not know who is asking) may do best by being unpredictable. And a language model
# *is* a set of probabilities; nobody wants one that says the same thing every time.
#
# So drop the values. The walker's policy has a knob, and that blue curve is a hill. Let us climb it: find the
# **slope**, go up a little, again. For the corridor we have a formula for the curve. For CartPole we have not, nor for
# GPT-2. All we can do there is roll the policy's dice and look at the returns.

# %% [markdown]
# ## The slope of an average over dice
#
# Can torch not do it? It differentiates anything.

# %%
knobs = torch.zeros(2, requires_grad=True)
policy = torch.distributions.Categorical(logits=knobs)
action = policy.sample()
reward = torch.tensor([-1.0, 1.0])[action]
print("does the reward know about the knobs?", reward.requires_grad)

# %% [markdown]
# It does not. The knobs set the odds, then a die was rolled, and the number that came up has no derivative. Move a
# knob by a hair, and the same action is rolled: slope 0. Or, once in a while, another one: slope infinite. Neither
# number is any use.
#
# But the *average* is smooth. To look at it closely we go where averages can be written out in full: chapter 03's
# language of three tokens, *good*, *not* and the full stop, with its 31 sentences. The vet asks how the dog is; the
# dog is fine. *good .* pays 1, *not not good .* ½, *not good .* −1. And today the vet winces at every *not*: that
# costs ½, on the spot.
#
# The writer is a table with 46 rows of three preferences, and has a few habits.

# %%
from rlcore.envs.tiny_language import TinyLanguage

language = TinyLanguage()
every = language.every_sentence()  # all of them, each once: states, actions, rewards, mask [31, 4]
WINCE = 0.5
rewards = every.rewards - WINCE * ((every.actions == 1) & every.mask)  # [31, 4]
R = rewards.sum(-1)  # [31] the return of each sentence

writer = TabularPolicy(num_states=len(language.texts), num_actions=3).double()
writer.logits.data = 0.7 * torch.randn(46, 3, generator=torch.Generator().manual_seed(0)).double()  # its habits: θ
log_p = language.log_probs(writer)  # [31] differentiable
p = log_p.exp()  # [31]
J = (p * R).sum()  # the mean return, exactly
for i in p.argsort(descending=True)[:4].tolist():
    print(f"   {language.sentences[i]:18} probability {p[i]:.3f}   return {R[i]:+.1f}")
print(f"all {len(p)}: probability {p.sum():.6f}, mean return J = {J:.4f}")

# %% [markdown]
# So J(θ) = Σ p(y) R(y), over all sentences y. The returns R are what they are; θ only sits in the probabilities. Torch
# can differentiate *this* sum:

# %%
(exact,) = torch.autograd.grad(J, writer.logits, retain_graph=True)  # [46, 3]: ∇J
print("∇J has", exact.numel(), "numbers; its length is", round(exact.norm().item(), 4))

# %% [markdown]
# That needed all 31 sentences. GPT-2 has more. We want an *average over what the policy says*, since those we can
# sample; but ∇J = Σ ∇p(y) R(y) is no average. The p has gone, there is only its slope.
#
# Here is the line of calculus. The derivative of log p is ∇p / p, so
#
# $$\nabla p(y) = p(y)\,\nabla \log p(y) \qquad\Longrightarrow\qquad
#   \nabla J = \sum_y p(y)\,R(y)\,\nabla \log p(y) = \mathbb{E}\bigl[R(y)\,\nabla \log p(y)\bigr]$$
#
# The p is back. This is the **log-derivative trick**, and ∇ log p(y) is called the **score** of y: the direction in
# which the knobs must be turned to make y more likely. Read the right-hand side aloud: *say something; whatever you
# said, find out how to make it more likely; go that way, as far as it was good.* If it was bad, go backwards.
#
# Check it. Here is the score of each sentence, and the average, written out.

# %% tags=["nbval-check-output"]
scores = torch.stack([torch.autograd.grad(log_p[i], writer.logits, retain_graph=True)[0] for i in range(31)])
p = p.detach()
by_trick = (p[:, None, None] * R[:, None, None] * scores).sum(0)  # [46, 3]
assert torch.allclose(by_trick, exact, rtol=0, atol=1e-12)
print("Σ p R ∇log p = ∇ Σ p R")

# %% [markdown]
# ### What does not matter
#
# A sentence is a product of choices, so its log is a sum, and so is its score:
#
# $$\nabla \log p(y) = \sum_t \nabla \log \pi(a_t \mid s_t)$$
#
# In a world with dice of its own there would be another factor at each step, the chance of the next state. Its log is
# one more term in the sum, there is no θ in it, and its slope is 0. *The world drops out.* We need not know its rules,
# it need not be smooth, and neither need the reward. That a text was liked, a unit test passed, a pole fell: anything
# that can be counted will do. Keep this in mind for chapter 12, where the reward is computed by a Python function
# that compares strings.
#
# ### And what it costs
#
# Now forget the list. Let the writer write N sentences, and average R ∇log p over those.

# %%
COUNTS = np.array([1, 3, 10, 30, 100, 300, 1000, 3000])
pushes = (R[:, None, None] * scores).flatten(1)  # [31, 138] what each sentence has to say about the knobs
g = exact.flatten()
dice = torch.Generator().manual_seed(0)
off, cosine = np.zeros((20, len(COUNTS))), np.zeros((20, len(COUNTS)))  # [seed, N]
for seed in range(20):
    for i, count in enumerate(COUNTS):
        written = torch.multinomial(p, int(count), replacement=True, generator=dice)  # [N] which sentences
        sampled = pushes[written].mean(0)  # [138]
        off[seed, i] = (sampled - g).norm() / g.norm()
        cosine[seed, i] = torch.cosine_similarity(sampled, g, dim=0)
noise = (p * (pushes - g).square().sum(1)).sum() / g.square().sum()  # exact: variance over length² of the gradient

fig, axes = plt.subplots(1, 2, figsize=(9, 3.7))
band(axes[0], COUNTS, off, "sampled", kind="range")
axes[0].plot(COUNTS, (noise / COUNTS) ** 0.5, "--", color="black", label="root mean square, exact: √(noise / N)")
axes[0].axhline(1, color="black", linewidth=1)
axes[0].annotate("as long as the gradient", (3000, 1), (0, 4), textcoords="offset points", ha="right", fontsize=9)
axes[0].set(title="How far off?", xlabel="sentences, N", ylabel="error / length of the gradient", xscale="log",
            yscale="log")
band(axes[1], COUNTS, cosine, "sampled", kind="range")
axes[1].set(title="The right way?", xlabel="sentences, N", ylabel="cosine with the exact gradient", xscale="log",
            ylim=(-1.05, 1.05))
axes[0].legend(fontsize=8, loc="lower left")
axes[1].legend(fontsize=8, loc="lower right")
show(fig, alt="Left, the sampled gradient's error falls as one over the root of N. Right, its cosine with the exact "
              "one: median " + ", ".join(f"{c:.2f} at {n}" for n, c in zip(COUNTS, np.median(cosine, 0), strict=True)))
print(f"noise: {noise:.1f}")

# %% [markdown]
# It is right on the average and goes to the truth, with one over the root of N like any average. But look where it
# begins. No single sentence is off by less than the gradient is long, and about half of them say nothing at all: "."
# pays 0, and 0 times a score is no vote. Where the dashed line crosses the black one, after as many sentences as the
# number printed below the picture, the error is as long as the gradient itself. Let us call that number the **noise**
# of an estimator: *how many episodes it takes until the error is no longer than what we are looking for*. (Precisely:
# the variance of one episode's vote, all knobs added up, divided by the squared length of the gradient.)
#
# From here on the chapter has one aim: the same average, with less noise.

# %% [markdown]
# ## Three arrows
#
# To see where noise comes from, look at one choice between three tokens. Probabilities of three things are a point in
# a triangle: the corner *good* means always *good*. With a softmax over preferences, the score has a form that you can
# see:
#
# $$\nabla \log \pi(a) = \mathbf{1}_a - \pi$$
#
# which is 1 for the token that was chosen, minus the probabilities. (Exercise 07.1 is to derive it.) That is an arrow
# *from where the policy stands to the corner of what it did*.

# %%
pi, Q = torch.tensor([0.35, 0.35, 0.3]), torch.tensor([1.0, -0.5, 0.0])  # of one choice; made up
V = (pi * Q).sum()
CORNERS = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.5, 0.87]])


def draw_triangle(ax, weights, title):
    """An arrow for each token, weight · score, and their sum."""
    ax.add_patch(plt.Polygon(CORNERS.numpy(), fill=False, edgecolor="grey"))
    here, score = pi @ CORNERS, torch.eye(3) - pi  # [2], [3, 3] one score per row
    arrows = 1.5 * (weights[:, None] * score) @ CORNERS  # [3, 2] all drawn 1.5 times as long
    total = arrows.sum(0)
    if total.norm() > 1e-6:
        ax.annotate("", here + total, here, arrowprops={"arrowstyle": "-|>", "color": "black", "linewidth": 6,
                                                        "alpha": 0.45, "mutation_scale": 25})
    for i, (arrow, name) in enumerate(zip(arrows, language.tokens, strict=True)):
        ax.annotate("", here + arrow, here, arrowprops={"arrowstyle": "-|>", "color": f"C{i}", "linewidth": 2})
        ax.annotate(f"{name}  ×{weights[i]:+.2f}".replace("-", "−"), CORNERS[i], (0, -13 if i < 2 else 5), ha="center",
                    textcoords="offset points", color=f"C{i}", fontsize=10)
    ax.plot(*here, "o", color="black")
    ax.set(xlim=(-0.25, 1.25), ylim=(-0.18, 1.02), aspect="equal")
    ax.set_title(title, fontsize=10)
    ax.axis("off")
    return total


fig, axes = plt.subplots(1, 3, figsize=(10, 3.1))
balance = draw_triangle(axes[0], pi, "weights π: they balance")
plain = draw_triangle(axes[1], pi * (Q + 1), "weights π · (Q + 1)")
centred = draw_triangle(axes[2], pi * (Q - V), "weights π · (Q − V)")
assert torch.allclose(plain, centred, atol=1e-6)
show(fig, alt="Three triangles with an arrow from the policy to each corner. Weighted with the probabilities, the "
              "arrows balance. Weighted with probability times Q plus 1 they do not, and their sum, a broad arrow, "
              "points towards 'good'. Weighted with probability times Q minus V, the coloured arrows are others and "
              "two of them point away from their corners, but the broad arrow is the same.")

# %% [markdown]
# On the left, each arrow is weighted with how often it is drawn. They balance exactly, and no wonder: the policy *is*
# the corners' centre of gravity. In a formula, and for any policy, softmax or not:
#
# $$\mathbb{E}_{a\sim\pi}\bigl[\nabla \log \pi(a \mid s)\bigr] = \sum_a \pi \frac{\nabla \pi}{\pi}
#   = \nabla \sum_a \pi(a \mid s) = \nabla 1 = 0$$
#
# It has a grand name, the **expected-grad-log-prob lemma**, and a plain meaning: *the mere fact that something was
# done is no reason to do it more.*
#
# In the middle each arrow is also weighted with what came of it, here Q + 1, and now the balance is broken: the broad
# grey arrow, the sum, is the policy gradient. On the right something else was used as weights, Q − V. All coloured
# arrows have changed, two have even turned round. The grey one has not moved. By the lemma a constant times the scores
# averages to nothing, so adding or subtracting one changes every single vote, and not the election.
#
# But a learner does not see the grey arrow. It sees one coloured arrow at a time, whichever the dice pick, and has to
# guess the grey one from those. Where would you rather guess?
#
# The lemma holds in each state. Here are all of them, by enumeration:

# %% tags=["nbval-check-output"]
live = torch.tensor([s for s in range(len(language.texts)) if s not in set(language.complete)])
for s in live:
    distribution = writer(s)
    average = sum(distribution.probs[a].detach() * torch.autograd.grad(
        distribution.log_prob(a), writer.logits, retain_graph=True)[0] for a in torch.arange(3))
    assert average.abs().max() < 1e-15
print(f"E[∇ log π] = 0 in all {len(live)} states in which something can be said")

# %% [markdown]
# ## What an action has to answer for
#
# Take the estimator apart into steps, each with its score and the number that it is multiplied with:
#
# $$\nabla J = \mathbb{E}\Bigl[\sum_t \Psi_t\, \nabla \log \pi(a_t \mid s_t)\Bigr]$$
#
# So far Ψ was R, the return of the whole episode. The lemma says: given the state, whatever does not depend on the
# action can be added to Ψ or taken away. That gives a ladder.
#
# 1. **The return** R. Every token answers for everything, also for what was paid before it was said.
# 2. **The reward-to-go** Gₜ. What was paid before step t does not depend on the action at t, so leave it out: it adds
#    nothing but noise. (This is chapter 01's return of every step.)
# 3. **… minus a constant.** From Gₜ take away what is usually paid. That was chapter 02's r̄; it is called a
#    **baseline**.
# 4. **… minus V(sₜ).** What is usual depends on where one stands. After *not* little good is to be expected, and
#    whoever makes the best of it deserves praise. A baseline may depend on the state, as much as it likes.
# 5. **The advantage** A(sₜ, aₜ) = Q(sₜ, aₜ) − V(sₜ). Gₜ still contains the dice of all later steps. Average over them
#    as well, and Gₜ becomes Q.
#
# We have the list of all sentences, so we have V and Q, and can compute all five.

# %%
mask = every.mask
pair = (every.states * 3 + every.actions)[mask]  # [steps] (s, a) of each step of the list, as one number
weight = p[:, None].expand(31, 4)[mask]  # [steps] how likely it is that this step is made
pi_table = writer(torch.arange(46)).probs.detach()  # [46, 3]


def to_go(rewards):
    """Gₜ for γ = 1, `[31, 4]`."""
    return rewards.flip(-1).cumsum(-1).flip(-1)


def true_values(rewards):
    """Q `[46, 3]` and V `[46]`: average the reward-to-go over all sentences in which (s, a) occurs."""
    total = torch.bincount(pair, weight * to_go(rewards)[mask], minlength=138)
    Q = (total / torch.bincount(pair, weight, minlength=138).clamp(min=1e-12)).view(46, 3)
    return Q, (pi_table * Q).sum(-1)


def five(rewards):
    """The five Ψ, `[31, 4]` each."""
    G, (Q, V) = to_go(rewards), true_values(rewards)
    mean = (weight * G[mask]).sum() / weight.sum()
    return {"the return, R": G[:, :1].expand(31, 4), "reward-to-go, G": G, "G − its mean": G - mean,
            "G − V(s)": G - V[every.states], "advantage, Q − V": Q[every.states, every.actions] - V[every.states]}


step_scores = torch.zeros(31, 4, 46, 3, dtype=torch.float64)  # ∇ log π(aₜ | sₜ), from the formula: 1 − π in row sₜ
rows, steps = mask.nonzero(as_tuple=True)
states, actions = every.states[rows, steps], every.actions[rows, steps]
step_scores[rows, steps, states] = -pi_table[states]
step_scores[rows, steps, states, actions] += 1
assert torch.allclose(step_scores.sum(1), scores, rtol=0, atol=1e-12)  # the steps' scores add up to the sentence's


def votes(psi):
    """What each sentence says about the knobs, `[31, 138]`: Σₜ Ψₜ ∇ log π(aₜ | sₜ)."""
    return (psi[:, :, None, None] * step_scores).sum(1).flatten(1)


def noise_of(votes):
    """Variance of one sentence's vote, over the squared length of the gradient; exact, from the list."""
    gradient = (p[:, None] * votes).sum(0)  # [138]
    return ((p * (votes - gradient).square().sum(1)).sum() / gradient.square().sum()).item()


# %% [markdown]
# First, are they all right on the average? And then: how noisy? The bars are measured, from 4000 sentences that the
# writer wrote, with a bootstrap interval (draw 4000 of the 4000 again, with replacement, 200 times). The black marks
# are exact, from the list.

# %%
written = torch.multinomial(p, 4000, replacement=True, generator=dice)
PSI, bars, low, high, truth = five(rewards), [], [], [], []
for name, psi in PSI.items():
    say = votes(psi)
    assert torch.allclose((p[:, None] * say).sum(0), g, rtol=0, atol=1e-12), name  # the same average, all five
    one = say[written].sub(g).square().sum(1) / g.square().sum()  # [4000] how far off each was, squared
    again = one[torch.randint(4000, (200, 4000), generator=dice)].mean(1)  # [200] bootstrap
    bars.append(one.mean().item())
    low.append(again.quantile(0.025).item())
    high.append(again.quantile(0.975).item())
    truth.append(noise_of(say))

fig, ax = plt.subplots(figsize=(7.6, 3.4))
ax.barh(range(5), bars, color=["C1", "C0", "C0", "C0", "C2"], alpha=0.75, label="measured (95 % bootstrap interval)")
ax.errorbar(bars, range(5), xerr=[np.subtract(bars, low), np.subtract(high, bars)], fmt="none", color="black",
            capsize=3, linewidth=1)
ax.plot(truth, range(5), "|", color="black", markersize=22, markeredgewidth=2, label="exact")
for i, value in enumerate(truth):
    ax.annotate(f"{value:.1f}", (max(high[i], value), i), (6, 0), textcoords="offset points", va="center")
ax.set_yticks(range(5), list(PSI))
ax.invert_yaxis()
ax.set(title="Five ways to the same gradient", xlim=(0, 1.15 * max(high)),
       xlabel="noise: episodes until the error is no longer than the gradient")
ax.legend(fontsize=9, loc="lower right")
show(fig, alt="The noise of five estimators with the same mean: " + ", ".join(
    f"{name} {value:.1f}" for name, value in zip(PSI, truth, strict=True)))

# %% [markdown]
# Each rung is the same gradient for fewer episodes. That a Q or an advantage is as good as a return,
#
# $$\nabla J = \mathbb{E}\Bigl[\sum_t Q(s_t, a_t)\, \nabla \log \pi(a_t \mid s_t)\Bigr]
#   = \mathbb{E}\Bigl[\sum_t A(s_t, a_t)\, \nabla \log \pi(a_t \mid s_t)\Bigr],$$
#
# is the **policy-gradient theorem**, and the assertion in the cell has just checked it, by enumeration, to twelve
# digits. It is also what "do more of what turned out well" has become: *turned out well* means *better than what you
# usually do here*. The last rung needs a critic who knows Q and V, and nobody gives us one. That an *estimate* will do
# is chapter 08.
#
# What does each rung buy in general? That depends on how the world pays. The same writer, paid in four ways (exact
# numbers, from the list):

# %%
last = every.done.double()  # 1 at the last token
PAYMENTS = {"a wince at every not": rewards, "all at the end": every.rewards,
            "wince, and 1 for coming": rewards + last, "at the end, and 1 for coming": every.rewards + last}
print(" " * 30 + "".join(f"{name:>10}" for name in ("R", "G", "G − mean", "G − V", "Q − V")))
for name, paid in PAYMENTS.items():
    print(f"{name:30}" + "".join(f"{noise_of(votes(psi)):10.1f}" for psi in five(paid).values()))

# %% [markdown]
# Three things to read off.
#
# Where everything is paid *at the end*, R and G are the same number at every step, so reward-to-go does nothing at
# all. That is the usual case of a language model that is scored on its whole answer.
#
# Where everybody is paid an extra 1 *for coming*, the baseline matters most. Nothing about the world has changed, and
# without a baseline the last row is several times as noisy as the second, because the estimator congratulates itself
# on each and every word; from the baseline on, nothing has changed at all. Returns that all have one sign are common:
# CartPole's are all positive, the corridor's all negative.
#
# And look at the third row: there *reward-to-go is noisier than the return*. By luck, the winces that it leaves out
# had cancelled some of that extra 1. Leaving out what is irrelevant is no theorem about variance. With a baseline
# in place, the order is as it should be.
#
# > **Change this number and run again.** `WINCE`, above the writer. At 0 you get the second row. What should a wince
# > of 2 do to the gap between R and G?

# %% [markdown]
# ## REINFORCE
#
# Now for a learner that has no list. It writes down whole episodes, works out the returns, takes a baseline away, and
# makes one step along the average vote. Torch does the differentiating, so instead of scores we give it a **loss**
# whose slope is minus the vote:
#
# $$L_t = -\,\Psi_t\,\log \pi(a_t \mid s_t)$$
#
# Ψ is *data*. No gradient may flow through it, even if a network has computed it. Ours, with rung 3:

# %%
def my_loss(policy, trajectory, gamma=1.0):
    """REINFORCE's loss, with the mean reward-to-go as the baseline: one number."""
    G, future = torch.zeros_like(trajectory.rewards), 0.0
    for t in reversed(range(G.shape[-1])):
        future = trajectory.rewards[:, t] + gamma * future * ~trajectory.done[:, t]
        G[:, t] = future
    psi = G - G[trajectory.mask].mean()  # [B, T]
    log_probs = policy(trajectory.states).log_prob(trajectory.actions)  # [B, T]
    step_losses = -psi.detach() * log_probs
    return step_losses[trajectory.mask].sum() / len(G)  # add up the steps of an episode, average over episodes


# %% [markdown]
# What it is made of, you have: `discounted_returns` from chapter 01, and one line that chapter 02 showed in passing
# and that is this chapter's word:
#
# ```python
# def policy_gradient_loss(log_probs, advantages):
#     return -advantages.detach() * log_probs
# ```
#
# Is ours `rlcore`'s? We let the writer write 64 sentences in the world `TinyLanguage-v0`, and compare the gradient of
# our loss with the step that `rlcore`'s REINFORCE makes. (With `optimizer="sgd"` and a rate of 1, the step *is* the
# gradient. The default is Adam.)

# %% tags=["nbval-check-output"]
from rlcore.agents.reinforce import REINFORCE, REINFORCEConfig
from rlcore.envs.table_vector_env import TabularVectorEnv
from rlcore.worlds import Worlds

world = Worlds(TabularVectorEnv(language.mdp, num_envs=64))  # 64 copies of TinyLanguage-v0, stepped together
plain = REINFORCEConfig(steps=1, lr=1.0, optimizer="sgd", gamma=1.0, baseline="mean", max_grad_norm=1e9)
theirs = TabularPolicy(46, 3)
theirs.logits.data = writer.logits.detach().float()
agent = REINFORCE(theirs, None, world, plain)
trajectory = world.sample(theirs)  # 64 whole sentences, [64, T]
(gradient,) = torch.autograd.grad(my_loss(theirs, trajectory), theirs.logits)
before = theirs.logits.detach().clone()
agent.learn(trajectory)
assert torch.allclose(theirs.logits.detach(), before - gradient, atol=1e-6)
print("the same step")

# %% [markdown]
# And this is what changed since DQN:
#
# ```diff
#   for each step (s, a, r, s′, terminated):
# -     memory.add(the step)
# -     for 64 steps drawn from the memory:
# -         y = r + γ · max(target(s′)) · (not terminated)
# -         loss = (y − q(s)[a])²
# -     every 128 updates: target = a copy of q
# +     remember it until the episode is over
# + for each step of some whole episodes:
# +     loss = −(G − b(s)) · log π(a | s)
#   one step of Adam against the gradient of the loss
# ```
#
# No max, no target, no second network, no ε. Exploration is in the policy itself. It uses each step *once*, because
# the average in ∇J is one over what *this* policy does; tomorrow's policy is another one.
#
# And since the gradient bandit of chapter 02?
#
# ```diff
# - advantages = rewards - mean                               # T = 1
# + advantages = discounted_returns(rewards, done, gamma) - b # [B, T]
#   log_probs = policy(states).log_prob(actions)
#   loss = policy_gradient_loss(log_probs, advantages)
# ```

# %% [markdown]
# ## An LLM is just another policy
#
# So said chapter 01. Here is one with three tokens, and it learns to answer the vet (who pays at the end today, and
# does not wince). It begins with the writer's habits; 32 sentences make a batch. What you see is the probability of
# every sentence it could say, exactly, after each step.

# %%
from rlcore.agents.reinforce import train as train_reinforce

config = REINFORCEConfig(steps=100, lr=0.05, gamma=1.0, baseline="mean", final_lr=1.0)


def teach(config, seed, mdp=language.mdp):
    """The probabilities of all sentences after each step, `[steps, 31]`."""
    student, film = TabularPolicy(46, 3), []
    student.logits.data = writer.logits.detach().float()
    train_reinforce(student, Worlds(TabularVectorEnv(mdp, 32)), config, seed,
                    observe=lambda _: film.append(language.log_probs(student).exp().detach()))
    return torch.stack(film)


films = [teach(config, seed) for seed in range(5)]  # five students
NAMED = ["good .", "not not good .", "not good .", "."]
columns = [language.sentences.index(name) for name in NAMED]
chance = films[0][:, columns].T.numpy()  # [4, steps]

fig, axes = plt.subplots(1, 2, figsize=(9.5, 3.6))
axes[0].stackplot(range(1, 101), 100 * np.vstack([chance, 1 - chance.sum(0)]), labels=[*NAMED, "27 others"],
                  colors=["C0", "C4", "C1", "#b0b8c0", "#c9d0d6"])
axes[0].set(title="What one student would say", xlabel="batches of 32 sentences", ylabel="probability (%)",
            xlim=(1, 100), ylim=(0, 100))
axes[0].legend(fontsize=9, loc="lower right", frameon=True)
worths = np.array([(film.double() @ every.rewards.sum(-1)).numpy() for film in films])  # [5, steps] exact
band(axes[1], range(1, 101), worths, "REINFORCE", kind="range")
axes[1].axhline(1, color="black", linestyle="--", linewidth=1)
axes[1].set(title="Mean return, exactly", xlabel="batches of 32 sentences", ylabel="J", ylim=(0, 1.08))
axes[1].legend(fontsize=9, loc="lower right")
show(fig, alt=f"Left, the probability of 'good .' grows from {100 * chance[0, 0]:.0f} to {100 * chance[0, -1]:.0f} per "
              f"cent; 'not not good .' never has more than {100 * chance[1].max():.0f}. Right, the exact mean return "
              f"of five students: at the end {worths[:, -1].min():.2f} to {worths[:, -1].max():.2f}.")

# %% [markdown]
# `TabularPolicy` is a table with 46 rows. Replace it by GPT-2, whose states are texts too, and `TabularVectorEnv` by a
# list of prompts, and `REINFORCE` will not notice: it asks the policy for log-probs and the world for trajectories, and
# that is all it knows of either. In chapter 12 we do it.
#
# Does the noise of the bars matter for learning? Pay everybody 4 for coming, and let five students learn with each
# kind of Ψ.

# %%
from dataclasses import replace

generous = TinyLanguage(reward=lambda sentence: language.reward(sentence) + 4.0).mdp
fig, ax = plt.subplots()
ends = {}
for name, baseline in (("no baseline", "none"), ("minus the batch's mean", "mean")):
    taught = [teach(replace(config, baseline=baseline), seed, generous) for seed in range(5)]
    runs = np.array([(film.double() @ every.rewards.sum(-1)).numpy() for film in taught])
    band(ax, range(1, 101), runs, name, kind="range", color="C1" if baseline == "none" else "C0")
    ends[name] = runs[:, -1]
ax.set(title="Everybody gets 4 for coming", xlabel="batches of 32 sentences", ylabel="J, without the 4",
       ylim=(-0.05, 1.08))
ax.legend(fontsize=9, loc="lower right")
show(fig, alt="Exact mean return over training where everybody is paid 4 more. At the end, median of five: "
     + ", ".join(f"{name} {np.median(values):.2f}" for name, values in ends.items()))

# %% [markdown]
# Same world, same average gradient, same steps. Without a baseline every sentence is praised, good or bad, and what
# was said first by luck is said more and more. With one, only those are praised that beat the others.
#
# ## Back to the corridor
#
# Does it find the top of the hill, where value methods cannot even stand? Sutton and Barto did this experiment
# (section 13.3 of their book). A learner begins with p = 0.05, has 1000 episodes, and climbs with plain gradient steps.
# It is a small thing, one knob: the score of going right is 1 − p, that of going left is −p. So we can have 100
# learners side by side in fifteen lines.

# %%
def climb(step_size, value_step_size=0.0, learners=100, episodes=1000, seed=0):
    """REINFORCE in the corridor: returns `[episodes, learners]`, and p at the end of each, `[learners]`."""
    random = np.random.default_rng(seed)
    theta, V, returns = np.full(learners, np.log(0.05 / 0.95)), np.zeros(learners), []
    for _ in range(episodes):
        p, square, rights = 1 / (1 + np.exp(-theta)), np.zeros(learners, int), []
        while (square < 3).any() and len(rights) < 1000:
            right = random.random(learners) < p
            rights.append(np.where(square < 3, right - p, 0.0))  # the score; 0 for those who are out
            move = np.where(right != (square == 1), 1, -1)
            square = np.where(square < 3, np.maximum(square + move, 0), 3)
        scores = np.array(rights)  # [T, learners]
        G = -(scores[::-1] != 0).cumsum(0)[::-1]  # [T, learners] minus the steps that are still to come
        psi = np.where(scores != 0, G - V, 0.0)
        theta, V = theta + 2 * step_size * (psi * scores).sum(0), V + value_step_size * psi.sum(0)
        returns.append(G[0])
    return np.array(returns), 1 / (1 + np.exp(-theta))


# %% [markdown]
# (The 2 is there because the book's policy has two preferences, one for each action; what one gains the other loses.)

# %%
settings = {"no baseline, α = 2⁻¹³": (2**-13, 0.0), "baseline, α = 2⁻¹⁰": (2**-10, 2**-8)}
climbs = {name: climb(*rates) for name, rates in settings.items()}
fig, axes = plt.subplots(1, 2, figsize=(9.5, 3.6))
for (name, (returns, right)), colour in zip(climbs.items(), ("C1", "C0"), strict=True):
    blocks = returns.reshape(50, 20, -1).mean(1).T  # [learners, 50] means of 20 episodes
    band(axes[0], 20 * np.arange(1, 51), blocks, name, kind="mean", color=colour)
    axes[1].hist(right, bins=np.arange(0.3, 0.86, 0.02), color=colour, alpha=0.6, label=name)
axes[0].axhline(worth(BEST), color="black", linestyle="--", linewidth=1)
axes[0].annotate(f"the best policy: {worth(BEST):.1f}", (1000, worth(BEST)), (0, 4), textcoords="offset points",
                 ha="right", fontsize=9)
axes[0].set(title="Climbing the hill", xlabel="episode", ylabel="return", ylim=(-90, 0))
axes[0].legend(fontsize=7.5, loc="lower right")
axes[1].axvline(BEST, color="black", linestyle="--", linewidth=1)
axes[1].set(title="Where they are after 1000 episodes", xlabel="p (dashed: 2 − √2)", ylabel="learners (of 100)")
show(fig, alt="Left, returns over 1000 episodes; with a baseline they climb much sooner. Right, p at the end: "
     + "; ".join(f"{name}, median {np.median(right):.2f}" for name, (_, right) in climbs.items()))
for (name, (returns, _)), book in zip(climbs.items(), ("−12.4", "−11.9 (α = 2⁻⁹, 2⁻⁶)"), strict=True):
    late = returns[-100:].mean(0)
    print(f"{name:24} last 100 episodes {late.mean():.2f} ± {late.std(ddof=1) / 10:.2f}   the book's algorithm: {book}")

# %% [markdown]
# With a baseline they stand about the top after a hundred episodes. Without one the step size must be tiny, since the
# votes are shouting, and after a thousand episodes they are still on their way, on the flat part of the hill, where it
# costs little. Nobody had to choose an ε.
#
# A fine point, in case you compare with the book. When an episode is over, its algorithm goes through the steps and
# changes θ after each; ours adds all steps up and moves once, which is what ∇J says. (The numbers on the right are
# from our own simulation of it, not printed in the book.) At the book's rates for the baseline, 2⁻⁹ and 2⁻⁶, our V
# would take all of an episode's steps at once, overshoot in the long ones, and blow up. (Try it: `climb(2**-9,
# 2**-6)`; it takes a while.) Without a baseline it is the other way round: at 2⁻¹² ours is stable, and in our runs
# some of the book's learners became *sure*, and a sure walker never gets out.
#
# And `rlcore`'s, five seeds, as it comes: batches of sixteen episodes, a learned V as the baseline, Adam.

# %%
from rlcore.values import TabularValue

found = []
for seed in range(5):
    walker = TabularPolicy.from_probabilities([[0.95, 0.05]])
    train_reinforce(walker, Worlds(gym.make_vec("ShortCorridor-v0", num_envs=16)),
                    REINFORCEConfig(steps=40, lr=0.2, gamma=1.0, baseline="value"), seed, value=TabularValue(1))
    found.append(walker(torch.tensor(0)).probs[1].item())
print("p:", np.round(found, 3), f"  the best: {BEST:.3f}")
print("worth:", np.round([worth(q) for q in found], 2), f"  the best: {worth(BEST):.2f}")

# %% [markdown]
# From p = 0.05, in forty batches. Up there the hill is so flat that a few hundredths of p cost next to nothing, so most
# of them are as exact as they get; who is more than a tenth away still pays for it.
#
# ## The cart
#
# A network in place of the table, four real numbers in place of the text. This is all there is to it:

# %%
from rlcore.networks import actor_and_critic

carts = gym.make_vec("CartPole-v1", num_envs=16)
policy, value = actor_and_critic(carts, seed=0)  # two small networks: π(a | s), and V(s) for the baseline
live = train_reinforce(policy, Worlds(carts), REINFORCEConfig(steps=40, baseline="value"), seed=0, value=value)

# %%
sweep = json.loads((Path(rlcore.__file__).parents[1] / "benchmarks/results/reinforce_cartpole.json").read_text())
NAMES = {"return": "the return, R", "reward-to-go": "reward-to-go, G", "mean": "G − its mean",
         "value": "G − V(s), learned", "value, no clip": "the same, no limit"}
RATES = {1e-2: "C0", 3e-3: "C1"}
fig, axes = plt.subplots(1, 5, figsize=(10.5, 3.6), sharey=True)
ends, upright = {}, {}
for ax, (variant, name) in zip(axes, NAMES.items(), strict=True):
    for lr, colour in RATES.items():
        (row,) = (row for row in sweep["rows"] if row["variant"] == variant and row["config"]["lr"] == lr)
        for i, run in enumerate(row["runs"]):
            ax.plot(range(5, 61), np.convolve(run["reward"], np.ones(5) / 5, "valid"), color=colour, linewidth=1.2,
                    label=f"learning rate {lr:g}, five seeds" if i == 0 else None)
        ends[lr, variant] = np.array([np.mean(run["reward"][-10:]) for run in row["runs"]])
        upright[lr, variant] = [run["value_upright"] for run in row["runs"]]
    ax.set(ylim=(0, 515))
    ax.set_title(name, fontsize=10)
axes[3].plot(range(5, 41), np.convolve([row["reward"] for row in live.history], np.ones(5) / 5, "valid"), "--",
             color="black", linewidth=1.5, label="the live run above")
axes[0].set_ylabel("return (steps upright)")
axes[2].set_xlabel("batches of 16 episodes (5 averaged)")
fig.legend(*axes[3].get_legend_handles_labels(), fontsize=9, loc="outside lower center", ncols=3)
show(fig, alt="Return over 60 batches on CartPole, five seeds each. Mean of the last ten batches, median of the seeds: "
     + "; ".join(f"{NAMES[variant]} at {lr:g}: {np.median(x):.0f}" for (lr, variant), x in ends.items()))
print("last ten batches, each seed")
for (lr, variant), x in ends.items():
    print(f"   lr {lr:<6g} {NAMES[variant]:20} {np.sort(x).round().astype(int)}")

# %% [markdown]
# Each line is one run. They were made beforehand (`benchmarks/reinforce_cartpole.py`), the dashed one just now. It is
# the ladder again, this time as learning curves. With the whole return as Ψ, the small rate hardly learns and the
# large one is a lottery: in a good episode it praises the blunder at the end with the rest. Reward-to-go learns, and a
# baseline, even a single number for all states, learns faster and steadier.
#
# The learned V(s) is the surprise. At the larger rate it is as good as the constant. At the smaller one it is *behind
# having no baseline at all*. A baseline cannot turn the gradient; so what is going on? Ask the V's, at the end of their
# training, what an upright pole is worth, and compare with what such a pole was really paid.

# %%
for lr in (3e-3, 1e-2):
    says, length = np.median(upright[lr, "value"]), np.median(ends[lr, "value"])
    print(f"lr {lr:g}: V says {says:.0f}; a pole that stands for {length:.0f} steps is paid "
          f"{(1 - 0.99**length) / 0.01:.0f} (γ = 0.99)")

# %% [markdown]
# At the small rate V has hardly left zero, and at the larger one it is still far from home: Adam moves each weight by
# about its rate per step, and sixty steps are few. A baseline near 0 is no baseline. That explains why V is no help at
# the small rate, and not yet why it hurts. For that the last panel is there. The limit on the gradient's length,
# `max_grad_norm`, is for policy *and* V together. A V that is far off has an enormous gradient, the two are scaled down
# as one, and the policy gets the crumbs. Without the limit the same V does no harm at the small rate. At the large
# rate, look at all five lines before you take the limit away.
#
# So in practice a learned baseline comes with questions of its own: how fast it learns, and what else it is tied to.
# Chapter 09 has a list of such details, each switched off in turn.

# %%
film_cart = gym.make("CartPole-v1", render_mode="rgb_array", max_episode_steps=120)
animate(film_cart, policy, seed=1, width=300, alt="The cart of the live run, still rolling its dice")

# %%
steps_taken = sum(row["num_steps"] for row in live.history)
print(f"{steps_taken:,} steps were acted for {len(live.history)} updates, and each was used once")

# %% [markdown]
# ## The family
#
# Time for a map. Two questions sort everything that we have met. *What does it learn?* Values, from which a policy
# follows; or a policy, directly; or both. And: *does it need the rules of the world*, given or learned, to plan with
# (**model-based**), or only experience (**model-free**)?

# %%
from matplotlib.patches import Ellipse

fig, ax = plt.subplots(figsize=(9, 4.6))
for x, colour in ((-1.15, "C0"), (1.15, "C1")):
    ax.add_patch(Ellipse((x, 0), 4.6, 4.0, facecolor=colour, alpha=0.15, edgecolor=colour, linewidth=2))
HEADS = [(-2.2, 1.95, "value-based: learns values", "C0"), (2.2, 1.95, "policy-based: learns a policy", "C1")]
for x, y, words, colour in HEADS:
    ax.text(x, y + 0.2, words, ha="center", color=colour, fontsize=11)
ax.text(0, 1.35, "both:\nactor–critic", ha="center", va="center", fontsize=11)
MEMBERS = {
    (-2.15, 0.25): "bandits, ε-greedy and UCB (02)\nMonte Carlo control (05)\nSARSA, Q-learning (05)\nDQN (06)",
    (2.15, 0.25): "breeding dogs (01)\ngradient bandit (02)\nREINFORCE (07)",
    (0, 0.55): "REINFORCE with a\nlearned V(s) (07), nearly",
}
TO_COME = {(0, -0.3): "actor–critic (08)\nPPO (09)\nRLHF with PPO (14)", (2.15, -0.6): "RLOO (12)\nGRPO (16)"}
for members, colour in ((MEMBERS, "black"), (TO_COME, "#6f7a84")):
    for (x, y), words in members.items():
        ax.text(x, y, words, ha="center", va="center", fontsize=9, color=colour)
for x, y, words in ((-2.0, -1.05, "value iteration (03)\ncounts, then plans (05)"), (0, -1.2, "policy iteration (03)")):
    ax.text(x, y, words, ha="center", va="center", fontsize=9,
            bbox={"boxstyle": "round", "facecolor": "white", "edgecolor": "black", "linestyle": "--"})
ax.set(xlim=(-4, 4), ylim=(-2.15, 2.5), title="Dashed frames: model-based; others: model-free. Grey: still to come")
ax.axis("off")
show(fig, alt="Two overlapping ovals. Value-based: bandits with epsilon-greedy or UCB, Monte Carlo control, SARSA, "
              "Q-learning, DQN, and, model-based, value iteration and counting then planning. Policy-based: breeding, "
              "the gradient bandit, REINFORCE, later RLOO and GRPO. In both: REINFORCE with a learned V nearly, "
              "actor-critic, PPO and RLHF, and, model-based, policy iteration.")

# %% [markdown]
# REINFORCE with a learned V has two networks, and still most people do not call it an **actor–critic**: its V only
# says what was usual, and the *return* is the judge. A critic's word is taken for the future itself. That step is
# chapter 08.
#
# ## Where it breaks
#
# ### The baseline that knew the action
#
# A baseline may be anything that does not depend on the action. People break that rule without noticing. The quickest
# way is to be off by one, `values[t + 1]` in place of `values[t]`: V(sₜ₊₁) depends on the action, for it was the
# action that led there. But it is *better informed* than V(sₜ); what can be wrong with that? The vet pays at the end:

# %%
G, (_, V) = to_go(every.rewards), true_values(every.rewards)
V_here = V[every.states]  # [31, 4]
V_next = torch.cat([V_here[:, 1:], torch.zeros(31, 1)], 1) * ~every.done  # V(sₜ₊₁), 0 after the end
expected = {"G − V(sₜ)": G - V_here, "G − V(sₜ₊₁)": G - V_next}
expected = {name: (p[:, None] * votes(psi)).sum(0).view(46, 3) for name, psi in expected.items()}  # exactly

fig, axes = plt.subplots(1, 4, figsize=(10, 3.2), sharey=True)
for ax, text in zip(axes, ("", "not", "not not", "not not good"), strict=True):
    s = language.state(text)
    size = expected["G − V(sₜ)"][s].abs().max()  # each state on its own scale: late ones are seldom reached
    for i, (name, push) in enumerate(expected.items()):
        ax.bar(np.arange(3) + 0.4 * i - 0.2, push[s] / size, width=0.4, color=("C0", "C1")[i], label=name)
    ax.set_xticks(range(3), language.tokens)
    ax.axhline(0, color="black", linewidth=1)
    ax.set_title(f"after “{text}”" if text else "at the beginning", fontsize=10)
axes[0].set_ylabel("expected push (blue: largest = 1)")
fig.legend(*axes[0].get_legend_handles_labels(), fontsize=9, loc="outside lower center", ncols=2)
first_token = expected["G − V(sₜ₊₁)"][0].abs().max()
show(fig, alt="The expected push on the three preferences in four states. In the first three states no next token is "
              "paid, and the estimator that is off by one has no push at all; in full, the largest push on the very "
              f"first token is {first_token:.1e}.")
off_by_one = torch.cosine_similarity(*(push.flatten() for push in expected.values()), dim=0)
print(f"cosine between the two expected gradients: {off_by_one:.2f}")

# %% [markdown]
# The orange bars are 0 wherever none of the next tokens is paid. That is not noise; it is the *expectation*, exactly.
# V(sₜ₊₁) knows what the action led to and takes it away from G, so what is left is the reward of this very step.
# Somebody asked for a better baseline and got a learner with γ = 0: nothing crashes, the loss is fine, the last tokens
# are learned, and the first word never will be.
#
# > **Pitfall, from real life.** In 2017 and 2018 several papers used baselines that depend on the action *on purpose*,
# > with a correction term that makes up for the bias, and reported large gains. Then George Tucker and others read the
# > published code ([The Mirage of Action-Dependent Baselines](https://arxiv.org/abs/1802.10031), ICML 2018). They
# > found that these baselines hardly lower the variance, and that the gains came from details of the implementations
# > that departed from the papers, some of which *biased* the gradient. The smaller relative of this bug is a
# > baseline that is not detached: then the policy's loss trains the value network to make advantages small
# > ([fast_abs_rl #49](https://github.com/ChenRocks/fast_abs_rl/issues/49): "the avg_advantage is always dropping").
# > `policy_gradient_loss` detaches for you.
#
# ### Normalised to nothing
#
# PyTorch's own [example of
# REINFORCE](https://github.com/pytorch/examples/blob/main/reinforcement_learning/reinforce.py) has a line that many
# have copied: within each episode, subtract the mean of the returns and divide by their standard deviation. On
# CartPole that works, for there the returns of an episode's steps differ. Here are four answers to the vet, paid at
# the end, treated like that:

# %%
answers = ["good .", "not not good .", "not good .", "."]
print(f"{'sentence':16} {'returns G':24} normalised in the episode")
for sentence in answers:
    i = language.sentences.index(sentence)
    G = to_go(every.rewards)[i][mask[i]]  # [T]
    within = (G - G.mean()) / (G.std() + 1e-8)
    print(f"{sentence:16} {G.tolist()!s:24} {within.tolist()}")
print("\nand over the batch:", end=" ")
first = torch.stack([to_go(every.rewards)[language.sentences.index(x), 0] for x in answers])
print([round(x, 2) for x in ((first - first.mean()) / (first.std() + 1e-8)).tolist()])

# %% [markdown]
# All steps of a sentence have the same return, so within the sentence nothing is better than anything else: zeros. The
# best answer and the worst teach the same, nothing. And an episode of one step has a standard deviation of 0/0. Compare
# an episode with *other episodes*, never with itself.
#
# > **Pitfall, from real life.** The NaN has a long history. Stable-Baselines3 met it when a minibatch happened to have
# > one step in it ([#325](https://github.com/DLR-RM/stable-baselines3/issues/325)). The one who mended it wrote: "This
# > can take tens of hours to track down, the first time one encounters it"
# > ([#1028](https://github.com/DLR-RM/stable-baselines3/pull/1028)).
#
# ### After the bell
#
# A good cart is stopped after 500 steps. It has not failed; it was *truncated* (chapter 01). But a return can only add
# up what was paid, and after the bell nothing is. To REINFORCE, being stopped and falling over are the same thing. Does
# that matter? Let us watch the cart of the live run for longer than it has ever been watched.

# %%
from rlcore.rollout import collect

patient = gym.make_vec("CartPole-v1", num_envs=60, max_episode_steps=2000)
played = collect(policy, patient, seed=7, generator=torch.Generator().manual_seed(7))
lengths = played.mask.sum(-1)  # [60]
places = played.states[..., 0].masked_fill(~played.mask, torch.nan).numpy()  # [60, T]

fig, axes = plt.subplots(1, 2, figsize=(9.5, 3.5), sharex=True)
axes[0].plot(places.T, color="C0", linewidth=0.6, alpha=0.5)
for edge in (-2.4, 2.4):
    axes[0].axhline(edge, color="black", linewidth=1)
axes[0].annotate("the track ends", (0, 2.4), (0, -12), textcoords="offset points", fontsize=9)
axes[0].set(title="Where the carts are", xlabel="step", ylabel="place on the track (m)", ylim=(-2.6, 2.6))
axes[1].hist(lengths.numpy(), bins=np.arange(0, 2001, 25), color="C0")
axes[1].set(title="How long the pole stands", xlabel="step", ylabel="carts (of 60)", xlim=(0, max(1000, lengths.max())))
for ax in axes:
    ax.axvline(500, color="C1", linestyle="--")
axes[1].annotate("the bell", (500, axes[1].get_ylim()[1]), (-4, -10), textcoords="offset points", ha="right",
                 color="C1", fontsize=9)
show(fig, alt=f"Left, the places of 60 carts over time. Right, how long they stand if nobody stops them at 500: "
              f"{int((lengths >= 500).sum())} of 60 reach step 500, {int((lengths >= 700).sum())} reach step 700.")
print(f"{int((lengths >= 500).sum())} of 60 stand at step 500, {int((lengths >= 700).sum())} at step 700")

# %% [markdown]
# It balances for as long as anybody has ever watched, and lets the cart drift to the end of the track, to arrive there
# soon after the bell. It was asked for 500 steps. And an episode of it scores the same 500 as one of a policy that
# could go on for ever. Is that what REINFORCE always learns? The runs of the sweep, at the larger rate, were trained
# for half as long again and then watched for 2000 steps:

# %%
print("share of 20 carts that stand at step 500, and at step 1500; five seeds each")
for variant in ("mean", "value"):
    (row,) = (row for row in sweep["rows"] if row["variant"] == variant and row["config"]["lr"] == 1e-2)
    stands = [[np.mean(np.array(run["lengths_if_watched"]) >= step) for step in (500, 1500)] for run in row["runs"]]
    print(f"   {NAMES[variant]:18} " + "   ".join(f"{a:4.0%} → {b:4.0%}" for a, b in stands))

# %% [markdown]
# No. Most go on, some do not, and their returns had hardly told them apart. Whether that is a fault depends on what
# you want. If the world really ends after 500 steps, drifting is as good as standing still. If the limit is only our
# impatience, the policy should be told what the state *after* the last step is worth, and a return cannot tell it: it
# would have to be estimated. (Pardo and others show what comes of confusing the two: *Time Limits in Reinforcement
# Learning*, in the list below.)
#
# ## What is still wrong
#
# Two things.
#
# An episode has one verdict for everything that was done in it, and one has to wait for its end. Compare the last two
# of the five bars: between the baseline V and the advantage lies all the noise of the dice that are thrown *after*
# the action. A critic who says at once how things stand could take that away, and would have an answer at the bell.
# That is **chapter 08**.
#
# And each batch is used for one step and thrown away, although acting is the expensive part. Using it twice would
# be wrong, for it was another policy's. How wrong, and how much of that one can get away with, is **chapter 09**.

# %% [markdown]
# ## Check yourself
#
# <details><summary>All rewards are multiplied by 10. What happens to the gradient, and to a run with plain gradient
# steps? And with Adam?</summary>
#
# The gradient is ten times as long and points the same way; plain steps are ten times as large, and may well diverge.
# Adam divides by the size of recent gradients, so it hardly notices. Chapter 01's breeder did not notice at all.
# </details>
#
# <details><summary>The loss of your REINFORCE goes up and down around 0 and shows no trend, while the return grows. Is
# something wrong?</summary>
#
# No. The loss is a device whose slope is right; its value means nothing. With a good baseline its
# average is minus the covariance of advantage and log-prob: whether what was done often was also what was good. It is
# often near 0, and says nothing about the return. Look at the return.
# </details>
#
# <details><summary>A language model gets its reward at the end of the answer, and γ = 1. What is the difference between
# the return and the reward-to-go?</summary>
#
# None: all that is paid lies ahead of every token. So in part III the word "reward-to-go" hardly occurs, and baselines
# are everything.
# </details>
#
# <details><summary>Is the mean of the batch a legal baseline? Each episode's own return is in it.</summary>
#
# Strictly, no: its own return depends on its actions. For B episodes and Ψ = R it makes the expected gradient
# shorter by the factor 1 − 1/B and does not turn it, so a learning rate hides it. Leaving the own return out is
# exactly right; that is exercise 07.3, and in chapter 12 it is called RLOO.
# </details>
#
# <details><summary>Why is there no ε in this chapter?</summary>
#
# The policy is a distribution and is sampled. It explores as much as it is unsure. The other side of it: when it has
# become sure it explores no more, right or wrong.
# </details>
#
# <details><summary>With γ = 0.99 our loss pushes step 400 as hard as step 0. Is that the gradient of the discounted
# return from the start?</summary>
#
# No, that would weigh step t with γᵗ, so that late steps hardly count. Nearly all code leaves the factor out, ours too,
# and treats γ as a means against noise. Strictly, what is left is not the gradient of anything (Nota and Thomas, in the
# list below). At γ = 1 there is no difference.
# </details>

# %% [markdown]
# ## You can now …
#
# … differentiate through dice; prove that a baseline is free and know when it is not; say what each rung of the ladder
# buys, and in which world; and train a table, a network, and a language with the same class. Your vocabulary has grown
# by
#
# ```python
# policy_gradient_loss(log_probs, advantages)    # [B, T], [B, T] -> [B, T]
# ```
#
# Everything that follows changes what is put in its second argument. Now the exercises: `rlcourse lab 7` opens them.
# You will derive the score, count votes, leave yourself out of an average, and write the loss and the step.
#
# **Further reading**
#
# - R. J. Williams, *Simple Statistical Gradient-Following Algorithms for Connectionist Reinforcement Learning*, Machine
#   Learning 8, 1992: REINFORCE. The name is an acronym, and a good deal of fun was had with it.
# - R. S. Sutton, D. McAllester, S. Singh and Y. Mansour, *Policy Gradient Methods for Reinforcement Learning with
#   Function Approximation*, NeurIPS 1999: the theorem with Q in it.
# - R. S. Sutton and A. G. Barto, *Reinforcement Learning: An Introduction*, 2nd edition, MIT Press 2018, chapter 13:
#   the corridor is example 13.1.
# - E. Greensmith, P. L. Bartlett and J. Baxter, *Variance Reduction Techniques for Gradient Estimates in Reinforcement
#   Learning*, JMLR 5, 2004: which baseline is best (nearly V, not quite).
# - J. Achiam, *Spinning Up in Deep RL: Intro to Policy Optimization*, OpenAI 2018,
#   [spinningup.openai.com](https://spinningup.openai.com/en/latest/spinningup/rl_intro3.html): the lemma under its
#   grand name.
# - G. Tucker and others, *The Mirage of Action-Dependent Baselines in Reinforcement Learning*, ICML 2018,
#   [arXiv:1802.10031](https://arxiv.org/abs/1802.10031).
# - C. Nota and P. S. Thomas, *Is the Policy Gradient a Gradient?*, AAMAS 2020,
#   [arXiv:1906.07073](https://arxiv.org/abs/1906.07073): about the γᵗ that everybody forgets.
# - F. Pardo, A. Tavakoli, V. Levdik and P. Kormushev, *Time Limits in Reinforcement Learning*, ICML 2018,
#   [arXiv:1712.00378](https://arxiv.org/abs/1712.00378).
