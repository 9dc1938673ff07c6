# %% [markdown]
# # 12 · REINFORCE on GPT-2
#
# A GPT-2 that can nearly add. Nobody will show it how. It writes an answer, and hears *right* or *wrong*: one bit, and
# not a word about what would have been better. That will do.
#
# When you have worked through this page you can train a language model on any score that you can compute, with the
# REINFORCE of chapter 07, line for line the one that balanced a pole; say what a baseline buys, and catch one doing
# harm; and measure whether your model has learned something new or only become surer of what it knew.
#
# *About 80 minutes to read and 60 for the exercises, difficulty 3 of 5. You need chapter 07 (the score function,
# REINFORCE, baselines) and chapter 11 (a text as a trajectory, and the mask).*

# %%
import inspect
import json
from math import comb
from pathlib import Path

import gymnasium as gym
import matplotlib.pyplot as plt
import numpy as np
import torch

import rlcore
from rlcore.agents.reinforce import REINFORCE, REINFORCEConfig
from rlcore.lm import Prompts, accuracy
from rlcore.lm.base import addition_base
from rlcore.lm.prompts import answer_in_groups
from rlcore.lm.sft import SFT, SFTConfig, pack_examples
from rlcore.plotting import band, house_style, show
from rlcore.policies import MLPPolicy
from rlcore.tasks.addition import MAX_NEW_TOKENS, addition_problems, exact_answer
from rlcore.worlds import Worlds

torch.set_num_threads(1)
torch.manual_seed(0)
house_style()

# %% [markdown]
# ## A model that can nearly add
#
# It is a GPT-2 with 0.8 million weights whose tokens are characters: ten digits, `+` and `=` (and two that say *the
# end* and *nothing here*). It has been shown sums of two numbers of two digits, and we stopped when about half of what
# it writes was right. (On first use it is trained, which takes a minute or two; after that it is read from disk.)
# Here are eight problems that it was never shown, each answered eight times.

# %%
train, held_out = addition_problems()  # 7,600 problems, and 500 that stay away from all training
base = addition_base()


def draw_answers(policy, title, seed=1):
    """Eight answers to each of eight problems; blue and bold where they are right."""
    problems = held_out.select(range(8))
    text, _, completions = answer_in_groups(policy, problems[:], [exact_answer], 8, MAX_NEW_TOKENS,
                                            torch.Generator().manual_seed(seed))
    right = text.rewards.sum(-1).view(8, 8)  # [problem, answer]
    fig, ax = plt.subplots(figsize=(7.6, 3.1))
    ax.imshow(right, cmap="Blues", vmax=2.2, aspect="auto")
    for i, completion in enumerate(completions):
        row, column = divmod(i, 8)
        ax.text(column, row, completion or "–", ha="center", va="center", fontsize=10,
                fontweight="bold" if right[row, column] else "normal")
    ax.set_yticks(range(8), problems["prompt"])
    ax.set(title=f"{title}: {int(right.sum())} of 64 right", xlabel="eight answers to each", xticks=[])
    ax.grid(False)
    show(fig, alt=f"{title}. A table of eight sums with eight sampled answers each; {int(right.sum())} of the 64 are "
                  "right. Right answers per problem: " + ", ".join(
        f"{prompt}? {int(row.sum())}" for prompt, row in zip(problems["prompt"], right, strict=True)))


draw_answers(base, "Before")

# %% [markdown]
# It is no fool. Most wrong answers are near misses. It has the right answer in it, somewhere, and lets the dice decide
# whether it comes out.
#
# ## A reward that is a fact
#
# Chapter 13 will teach a model to guess what people like. Here nobody need guess. Whether an answer is right can be
# looked up by a rule, and that is called a **verifiable reward**: nothing to train, nothing to flatter. Even so, a rule
# has to be written down, and every rule has an opinion on cases that its author never thought of.

# %%
attempts = ["102", "012", "0102", "102=", "+102", "101or102", "102102", "", "9" * 5000]
rewards = exact_answer(["17+85="] * len(attempts), attempts, answer=[102] * len(attempts))
for text, reward in zip(attempts, rewards, strict=True):
    print(f"{reward:.0f}   {text[:12]!r}{' and so on, 5000 digits' if len(text) > 12 else ''}")

# %% [markdown]
# It takes the text apart with a regular expression, caps the length, and never runs anything that a model wrote. And
# it forgives leading zeros. Is that right? There is no answer to that but yours, and you should have it *before*
# training starts: a policy does more of whatever pays. (Exercise 12.5 lets you defend a rule against worse.)
#
# ## The score has no slope
#
# We want weights θ for which the mean score J(θ) is high. Everything we know about training a network says: follow the
# slope. So let us look at the slope. Take 16 problems, walk a little way through the space of all weights in a
# straight line, and at each point let the model answer them, always taking the likeliest token. How many are right?
#
# In the same picture, the *chance* of being right. Usually one can only sample that. Here we can compute it, because
# of all the texts that could be written (leading zeros aside; we shall see how much that leaves out) exactly one
# pays. Its probability is the product of what the policy gives to each of its tokens.

# %%
def log_chances(policy, problems):
    """log π(the right answer and <eos> | question) for each problem, `[N]`: the sum over its tokens."""
    tokens, mask = pack_examples(policy.tokenizer, problems["prompt"], problems["completion"])  # [N, T], [N, T − 1]
    log_probs, _ = policy.evaluate_actions(tokens[:, :-1], tokens[:, 1:], mask)  # [N, T − 1], 0 outside the mask
    return log_probs.sum(-1)


def gradient(number, policy):
    """Of one number, in all weights, as one long vector."""
    return torch.cat([part.flatten() for part in torch.autograd.grad(number, list(policy.parameters()))])


sixteen = train.select(range(16))
walker = addition_base()
weights = list(walker.parameters())
home = torch.nn.utils.parameters_to_vector(weights).detach()  # θ, [0.8 million]
J = log_chances(walker, sixteen).exp().mean()
slope = gradient(J, walker)  # ∇J, exactly

# %%
distances = np.linspace(-0.06, 0.06, 61)
score, chance = [], []
with torch.no_grad():
    for distance in distances:
        torch.nn.utils.vector_to_parameters(home + distance * slope / slope.norm(), weights)
        score.append(accuracy(walker, sixteen, exact_answer, MAX_NEW_TOKENS))
        chance.append(log_chances(walker, sixteen).exp().mean().item())
    torch.nn.utils.vector_to_parameters(home, weights)

fig, ax = plt.subplots()
ax.step(distances, score, where="mid", color="C1", label="score: share of 16 answers that are right")
ax.plot(distances, chance, color="C0", label="J: the chance of a right answer")
near = np.abs(distances) < 0.022
ax.plot(distances[near], J.item() + slope.norm().item() * distances[near], "--", color="black", linewidth=1.5,
        label="the slope of J here, from torch")
ax.axvline(0, color="grey", linewidth=1)
ax.set(title="A staircase, and a hill", xlabel=f"how far along ∇J (all weights together: {home.norm():.0f})",
       ylabel="right", ylim=(0.1, 1.02))
ax.legend(fontsize=9, loc="lower right")
jumps = int((np.diff(score) != 0).sum())
show(fig, alt=f"Along a line through the weights, the score of 16 answers is a staircase with {jumps} jumps, flat in "
              "between. The chance of a right answer is a smooth hill; at the present weights it is "
              f"{J.item():.2f} and climbs with slope {slope.norm():.1f}.")

# %% [markdown]
# The score is a staircase. Between two jumps its slope is 0, so there is nothing to follow; and torch would not even
# get that far, since a digit that was *chosen* is an integer, and a regular expression has no derivative. **The
# score cannot be differentiated.**
#
# But J can. Write it out as a sum over everything y that could be written to a question x, and look for θ:
#
# $$J(\theta) = \sum_y \pi_\theta(y \mid x)\, R(x, y)$$
#
# R is a table of numbers, and θ is not in it. Only the dice depend on θ: move the weights, and right texts come up more
# often. That is the blue hill. And chapter 07 knows how to differentiate through dice:
#
# $$\nabla J = \mathbb{E}_{y \sim \pi_\theta}\bigl[R(x, y)\, \nabla \log \pi_\theta(y \mid x)\bigr]$$
#
# ∇ log π is called the *score function*, by an old custom that has nothing to do with scores. So: the score is not
# differentiable, the score function is, and R may be anything you can compute. A rule, a test suite, a judge's mood.
#
# Now the debt from above, the leading zeros. How much of the true J have we left out? And does J say what dice say?

# %%
prompts, answers = held_out["prompt"], held_out["completion"]
zeros = sum(log_chances(base, {"prompt": prompts, "completion": ["0" * n + text for text in answers]}).detach().exp()
            for n in (1, 2, 3))  # [500]  0102 and so on, up to the length limit
all_chances = log_chances(base, held_out).detach().exp()  # [500]
sampled = [accuracy(base, held_out, exact_answer, MAX_NEW_TOKENS, greedy=False, seed=seed) for seed in range(3)]
print(f"mean chance on the 500 held-out problems, computed: {all_chances.mean():.3f}")
print("share of right answers to them, sampled three times:", "  ".join(f"{share:.3f}" for share in sampled))
print(f"left out by ignoring leading zeros (also computed): {zeros.mean():.1e}")

# %% [markdown]
# So for this task we hold something that hardly anybody who trains a language model ever holds: the exact J, without
# sampling, and the exact ∇J. It will be our judge for the rest of the chapter. The learner never sees it.
#
# ## The same function, twice
#
# Here is a cart with a pole, and a REINFORCE for it.

# %%
def one_step(agent):
    """Let the policy act, and learn from what it did."""
    trajectory = agent.world.sample(agent.policy, agent.generator)
    print("actions", tuple(trajectory.actions.shape), " dtype", trajectory.actions.dtype)
    return agent.learn(trajectory)


carts = Worlds(gym.make_vec("CartPole-v1", num_envs=16))
one_step(REINFORCE(MLPPolicy(state_size=4, num_actions=2), None, carts, REINFORCEConfig(lr=1e-2, gamma=0.99)))

# %% [markdown]
# And here is GPT-2. `Prompts` is to texts what `Worlds` is to carts: 16 questions, each answered 8 times, and the
# reward is paid at the last token.

# %%
questions = Prompts(train, [exact_answer], prompts_per_step=16, group_size=8, max_new_tokens=MAX_NEW_TOKENS)
one_step(REINFORCE(addition_base(), None, questions, REINFORCEConfig(lr=1e-4, gamma=1.0)))

# %% [markdown]
# `one_step` is one function, and `REINFORCE.learn` is one function. Not two that look alike: one. This is it.

# %%
print(inspect.getsource(REINFORCE.learn))

# %% [markdown]
# Look for the word *token*, for a tokenizer, for anything that knows about language. A policy that gives log-probs, a
# trajectory `[B, T]` with rewards and a mask; whether the policy is 4,610 numbers that push a cart or 0.8 million that
# write digits, whether a state is four numbers or a text, happens elsewhere.
#
# For text at γ = 1 it becomes particularly short. The one reward comes at the end, so every token's return is R
# (chapter 11), and the tokens' log-probs add up to the answer's:
#
# $$L = -\frac{1}{B} \sum_{i=1}^{B} R_i \sum_{t \in \text{own tokens}} \log \pi(a_{i,t} \mid s_{i,t})$$

# %%
def my_loss(policy, trajectory):
    """REINFORCE on text, without a baseline."""
    R = trajectory.rewards.sum(-1)  # [B]
    log_probs = policy(trajectory.states).log_prob(trajectory.actions)  # [B, T]
    own = log_probs.masked_fill(~trajectory.mask, 0.0)  # not the question, not the padding
    return -(R * own.sum(-1)).mean()


# %% [markdown]
# Is it the same step? As in chapter 07: with `optimizer="sgd"` and a rate of 1, the step *is* the gradient.

# %% tags=["nbval-check-output"]
plain = REINFORCEConfig(steps=1, lr=1.0, optimizer="sgd", gamma=1.0, max_grad_norm=1e9)
theirs = addition_base()
agent = REINFORCE(theirs, None, questions, plain)
trajectory = questions.sample(theirs, agent.generator)  # 128 answers
mine = gradient(my_loss(theirs, trajectory), theirs)
before = torch.nn.utils.parameters_to_vector(theirs.parameters()).detach()
agent.learn(trajectory)
step = before - torch.nn.utils.parameters_to_vector(theirs.parameters()).detach()
assert (step - mine).norm() < 1e-3 * mine.norm()
print("the same step")

# %% [markdown]
# ## Learning to add
#
# A hundred such steps, with Adam. On the way we ask our judge, every ten steps, how good the policy is on problems that
# it will never be trained on.

# %%
def follow(agent, every=10):
    """Train; what each step reported, and the judge's verdict every few steps as (step, mean chance)."""
    def judge():
        return log_chances(agent.policy, held_out).detach().exp().mean().item()

    history, verdicts = [], [(0, judge())]
    for metrics in agent.steps():
        history.append(metrics)
        if len(history) % every == 0:
            verdicts.append((len(history), judge()))
    return history, np.array(verdicts)


def questions_anew():
    """The world of questions, once for each learner."""
    return Prompts(train, [exact_answer], prompts_per_step=16, group_size=8, max_new_tokens=MAX_NEW_TOKENS)


adder = addition_base()
config = REINFORCEConfig(steps=100, lr=1e-4, final_lr=0.1, gamma=1.0)
history, verdicts = follow(REINFORCE(adder, None, questions_anew(), config, seed=0))

# %%
fig, ax = plt.subplots()
ax.plot([row["step"] for row in history], [row["reward"] for row in history], color="C0", alpha=0.45, linewidth=1,
        label="share of right answers in the batch (all it ever hears)")
ax.plot(*verdicts.T, "o-", color="C1", markersize=4, label="chance on 500 held-out problems (exact)")
ax.set(title="REINFORCE teaches GPT-2 to add, one run", xlabel="step (128 answers each)", ylabel="right", ylim=(0.3, 1))
ax.legend(fontsize=9, loc="lower right")
show(fig, alt="Over 100 steps the exact chance of a right answer to held-out problems rises from "
              f"{verdicts[0, 1]:.2f} to {verdicts[-1, 1]:.2f}; the share in a batch scatters about it.")
print(f"from {verdicts[0, 1]:.3f} to {verdicts[-1, 1]:.3f} on problems that it has never been asked")

# %%
draw_answers(adder, "After 100 steps")

# %% [markdown]
# The right answers to *these* problems were never mentioned, not even as rewards. To hear *right* more often on others,
# it had to get better at adding.
#
# ## Compared with what?
#
# The loss above multiplies each answer's log-prob with R, which is 1 or 0. Chapter 07 had an objection ready: pay
# everybody for coming, and everything that was said is praised. Its cure is a **baseline**, something that says what
# was to be expected. What should we expect of an answer?
#
# The **batch's mean**, as in chapter 07, is one number for easy questions and hard ones alike. A critic, as in chapter
# 08, would know how hard a question is, if we trained one. But we have something that no cart can offer: ask the *same
# question again*. The world is a prompt, it can be repeated as often as we like, for nothing. We already do: eight
# answers to each question. So compare each with **the others**.
#
# $$A_i = R_i - \frac{1}{G-1} \sum_{j \ne i} R_j$$

# %%
def my_leave_one_out(rewards):
    """Each reward minus the mean of the others in its row: [P, G] -> [P, G]."""
    G = rewards.shape[-1]
    others = (rewards.sum(-1, keepdim=True) - rewards) / (G - 1)  # the whole sum without one's own share
    return rewards - others


for R in ([1, 1, 0, 1, 0, 1, 1, 1], [0, 0, 0, 0, 0, 0, 0, 1], [1, 1, 1, 1, 1, 1, 1, 1]):
    print("R", R, "   A", [f"{a:+.2f}" for a in my_leave_one_out(torch.tensor([R], dtype=torch.float))[0].tolist()])

# %% [markdown]
# A right answer to an easy question earns a little, the only right one of eight earns the whole point, and where all
# agree there is nothing to tell apart. The method is called **RLOO**, *REINFORCE leave one out*.
#
# Why leave one's own reward out? Because a baseline may depend on everything except the action (chapter 07's lemma).
# An answer that is part of its own yardstick moves it. How bad is that? Not very: the group's plain mean gives the same
# numbers, shrunk by (G − 1)/G. It is one line either way, and both are in `rlcore`:

# %% tags=["nbval-check-output"]
from rlcore.returns import group_advantages, leave_one_out_advantages

rewards = torch.rand(16, 8, generator=torch.Generator().manual_seed(0))
assert torch.allclose(my_leave_one_out(rewards), leave_one_out_advantages(rewards), atol=1e-6)
own_included = group_advantages(rewards, normalize=False)
assert torch.allclose(leave_one_out_advantages(rewards) * 7 / 8, own_included, atol=1e-6)
print("the same advantages; with one's own reward included, 7/8 of them")

# %% [markdown]
# ### How much luck is in a gradient?
#
# Now measure. The weights stay as they are. Sixteen problems, eight answers each, one gradient; then eight *other*
# answers each, another gradient; and so on, 40 times, from each batch with every baseline. We know the true ∇J, so we
# can say how far off each guess was: |ĝ − ∇J|², as a share of |∇J|². (Where the guesses are right on average, the
# mean of that is their variance.) At 1 the error is as large as the thing itself.

# %%
BATCHES = 40
dice = torch.Generator().manual_seed(0)
off = {"none": [], "batch's mean": [], "mean of the others": []}  # |ĝ − g|² / |g|²
along = {"mean of the others": [], "own included": []}  # how long ĝ is in the direction of g
parabola = []
for _ in range(BATCHES):
    text, _, _ = answer_in_groups(base, sixteen[:], [exact_answer], 8, MAX_NEW_TOKENS, dice)
    log_probs = base.evaluate_actions(text.states, text.actions, text.mask)[0].sum(-1)  # [128] of whole answers
    R = text.rewards.sum(-1)  # [128]
    parts = torch.stack([(R * log_probs).mean(), log_probs.mean(),
                         (leave_one_out_advantages(R.view(16, 8)).flatten() * log_probs).mean()])
    praise, scores, others = (torch.cat([p.flatten() for p in torch.autograd.grad(
        part, list(base.parameters()), retain_graph=True)]) for part in parts)
    size = slope.square().sum()
    for name, guess in (("none", praise), ("batch's mean", praise - R.mean() * scores), ("mean of the others", others)):
        off[name].append(((guess - slope).square().sum() / size).item())
    along["mean of the others"].append((others @ slope / size).item())
    along["own included"].append((7 / 8 * others @ slope / size).item())
    parabola.append([((praise - slope).square().sum() / size).item(), ((praise - slope) @ scores / size).item(),
                     (scores.square().sum() / size).item()])  # |praise − c · scores − g|² for every constant c

# %%
def mean_and_error(values):
    """A mean, and twice its standard error."""
    return np.mean(values), 2 * np.std(values, ddof=1) / len(values) ** 0.5


fig, ax = plt.subplots(figsize=(7.2, 2.6))
for i, values in enumerate(off.values()):
    mean, error = mean_and_error(values)
    ax.barh(i, mean, xerr=error, color=f"C{i}", alpha=0.7, capsize=4)
    ax.annotate(f"{mean:.2f}", (mean + error, i), xytext=(5, 0), textcoords="offset points", va="center")
ax.set_yticks(range(3), [f"baseline: {name}" for name in off])
ax.set(title="How far off is a gradient from 128 answers?", xlabel=f"|ĝ − ∇J|² / |∇J|², mean of {BATCHES} batches ± 2 "
       "standard errors")
ax.margins(x=0.1)
ax.invert_yaxis()
show(fig, alt="How far a sampled gradient is off, as a share of the true one's square, at the base model's weights: " +
              ", ".join("{} {:.2f} ± {:.2f}".format(name, *mean_and_error(v)) for name, v in off.items()))
for name, values in along.items():
    print("length along the true gradient, {:18}: {:.2f} ± {:.2f}".format(name, *mean_and_error(values)))

# %% [markdown]
# The last lines first: leaving one out points where it should at its full length, within the error. (The other line is
# 7/8 of it by arithmetic: with one's own reward included, every gradient is an eighth too short.)
#
# And now the bars. **The baselines have made it worse.** Did we mix up a sign? Chapter 07 showed bars like these, and
# there a baseline was the cure.
#
# Look at what the bars are made of. Without a baseline, a wrong answer is multiplied by 0. It does not vote. Every
# right answer votes, and all right answers to one question are *the same text*: the same vote, exactly. The dice
# decide only how many there are. Subtract a baseline, and the wrong answers vote as well, *against themselves*. There
# are many ways of being wrong, each pushing its own way, and a rare one pushes hard. On average all that cancels. In
# one batch it does not.
#
# So 0 happened to be a good baseline. To see how lucky that was, try every constant c in its place.

# %%
constants = np.linspace(-1.3, 1.3, 200)
p = np.array(parabola)  # [batches, 3]
curves = p[:, :1] - 2 * constants * p[:, 1:2] + constants**2 * p[:, 2:]  # [batches, constants]
middle, error = curves.mean(0), 2 * curves.std(0, ddof=1) / BATCHES**0.5
best = constants[middle.argmin()]
at = {c: float(np.interp(c, constants, middle)) for c in (-1.0, 0.0, 1.0)}

fig, ax = plt.subplots()
ax.plot(constants, middle, color="C0")
ax.fill_between(constants, middle - error, middle + error, color="C0", alpha=0.2, linewidth=0)
level = np.mean(off["mean of the others"])
ax.axhline(level, color="C2", linestyle="--")
ax.annotate("mean of the others", (-1.3, level), xytext=(0, 4), textcoords="offset points", color="C2", fontsize=9)
for c, words, place in ((-1.0, "rewards 1 and 2", (10, 8)), (0.0, "rewards 0 and 1", (-75, 62)),
                        (1.0, "rewards −1 and 0", (-105, 12))):
    ax.plot(c, at[c], "o", color="C1", zorder=3)
    ax.annotate(f"no baseline,\n{words}", (c, at[c]), xytext=place, textcoords="offset points", fontsize=9,
                arrowprops={"arrowstyle": "-", "color": "grey", "linewidth": 0.8} if c == 0 else None)
ax.axvline(best, color="grey", linewidth=1)
ax.annotate(f"best: c = {best:.2f}", (best, middle.max()), xytext=(4, -8), textcoords="offset points", fontsize=9)
ax.set(title="A constant baseline c, and how far it is off", xlabel="c, subtracted from every reward (0 or 1)",
       ylabel="|ĝ − ∇J|² / |∇J|²", ylim=(0, None))
show(fig, alt=f"The error of the sampled gradient against a constant baseline c is a parabola with its lowest point at "
              f"{best:.2f}. At c = -1, which is rewards of 1 and 2 without a baseline, it is {at[-1.0]:.2f}; at 0 "
              f"{at[0.0]:.2f}; at 1, rewards of -1 and 0, {at[1.0]:.2f}. The mean of the others has {level:.2f}.")

# %% [markdown]
# "No baseline" is a baseline too: it is c = 0. Whoever pays 1 and 2 in place of 0 and 1 has asked the same question,
# with the same best policy and the same ∇J, and sits at c = −1 on this parabola. Whoever punishes wrong answers with
# −1 and pays nothing for right ones sits at c = +1. *Without a baseline, the zero of your reward is a setting of your
# learner*, one that nobody chose. We paid 0 and 1, which is close to the bottom of the valley for this policy and
# this task.
#
# And a baseline that is the mean reward is not *at* the bottom either. That it is the natural choice, and in general
# not the best one, was shown twenty years ago (Greensmith, Bartlett and Baxter, below): the best constant weighs each
# answer by how hard it pushes. What a mean buys is insurance. Subtract it, and any constant added to the rewards
# drops out.

# %% tags=["nbval-check-output"]
R = torch.tensor([[1.0, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0]])
for shift in (-1.0, 1.0, 4.0):
    assert torch.allclose(leave_one_out_advantages(R + shift), leave_one_out_advantages(R), atol=1e-6)
print("the same advantages, whatever is added to every reward")

# %% [markdown]
# ## Does it matter for learning?
#
# That was one model standing still. Here are five, each with a base model of its own, learning for 100 steps. They were
# run before (`benchmarks/reinforce_on_addition.py` has the recipe); all that is done here is drawing. First the bars
# again, as numbers, at each of the five starting points (16 other questions each, 24 batches).

# %%
sweep = json.loads((Path(rlcore.__file__).parents[1] / "benchmarks/results/reinforce_on_addition.json").read_text())
runs = {name: part["runs"] for name, part in sweep["runs"].items()}
WORDS = {"none": "no baseline", "mean": "batch's mean", "rloo": "mean of the others (RLOO)",
         "none, rewards 1 and 2": "no baseline, rewards 1 and 2", "none, rewards -1 and 0": "no baseline, −1 and 0"}
print("|ĝ − ∇J|² / |∇J|² at the start:", "  ".join(f"base {row['seed']}" for row in sweep["gradients"]))
for name, words in WORDS.items():
    kind = "leave one out" if name == "rloo" else name
    print(f"{words:31}", "  ".join(f"{np.mean(row['off'][kind]):6.2f}" for row in sweep["gradients"]))

# %%
def learning(name):
    """The exact chance over training: the steps, and `[seeds, steps]`."""
    rights = np.array([run["right"] for run in runs[name]])
    return sweep["every"] * np.arange(rights.shape[1]), rights


fig, axes = plt.subplots(1, 2, figsize=(9, 4.3), sharey=True)
for i, name in enumerate(("none", "mean", "rloo")):
    band(axes[0], *learning(name), WORDS[name], kind="mean", color=f"C{i}")
for i, name in ((3, "none, rewards 1 and 2"), (4, "none, rewards -1 and 0"), (2, "rloo")):
    words = "RLOO, whichever it is" if name == "rloo" else WORDS[name]
    band(axes[1], *learning(name), words, kind="mean", color=f"C{i}")
axes[0].set(title="Rewards 0 and 1", xlabel="step (128 answers each)", ylabel="chance of a right answer, held out")
axes[1].set(title="The same, with another zero", xlabel="step")
for ax in axes:
    handles, labels = ax.get_legend_handles_labels()
    ax.legend(handles, [label.split(" (mean ±")[0] for label in labels], fontsize=9, loc="lower right")
ends = {name: learning(name)[1][:, -1] for name in WORDS}
fig.supxlabel("mean ± standard error of 5 seeds", fontsize=9)
show(fig, alt="The exact chance of a right answer to held-out problems over 100 steps, mean of five seeds. At the "
              "end: " + ", ".join(f"{WORDS[name]} {values.mean():.3f}" for name, values in ends.items()))

# %%
def paired(a, b):
    """The mean over the seeds of a − b, and the standard error of that mean."""
    difference = np.asarray(a) - np.asarray(b)
    return f"{difference.mean():+.3f} ± {difference.std(ddof=1) / len(difference) ** 0.5:.3f}"


for name, values in ends.items():
    print(f"{WORDS[name]:30} ends at {values.mean():.3f}; against RLOO, seed by seed: {paired(values, ends['rloo'])}")

# %% [markdown]
# On the left, leaving the wrong answers alone wins, by little and on each of the five; the two baselines cannot be
# told apart. On the right is what the insurance covers. Another zero, same question, and plain REINFORCE pays for it.
# RLOO does not notice which of the three it is, so it has one curve.
#
# Which one should you take home? For this task, none. As soon as rewards are graded, come from a model (chapter 13),
# or are paid for politeness as well as for truth, nobody knows where their zero is, and subtracting what the others
# got is one line. People who train large models have met the left-hand picture, too: learning from right answers only
# was found to be close to methods with more machinery (Xiong and others, below), and to make models sure of
# themselves sooner, which has its price (Zhu and others).
#
# What RLOO changes in REINFORCE, from the real files:

# %%
from rlcore.agents.rloo import RLOO, RLOOConfig
from rlcourse.diff import show_diff

show_diff(REINFORCE.learn, RLOO.learn)

# %% [markdown]
# Behind `priced` hides a term that is off by default, the price of moving away from a reference model (chapter 14). The
# rest is a baseline. `skip_zero_advantages` leaves out answers that cannot push, which brings us to a word.
#
# ## Dead groups
#
# If all answers to a question get the same reward, all advantages are 0, and the question was asked for nothing. Such a
# group is called **dead**. Given a chance p of a right answer, it happens with probability p⁸ + (1 − p)⁸. Is that what
# we see? The base model, all 500 held-out problems, eight answers each, sorted by p:

# %%
text, _, _ = answer_in_groups(base, held_out[:], [exact_answer], 8, MAX_NEW_TOKENS, torch.Generator().manual_seed(2))
groups = text.rewards.sum(-1).view(500, 8)
dead = (groups == groups[:, :1]).all(-1).float()  # [500]
edges = torch.linspace(0, 1, 11)
place = torch.bucketize(all_chances, edges) - 1  # which tenth each problem's chance is in
bins = [(all_chances[place == i].mean().item(), dead[place == i].mean().item(), int((place == i).sum()))
        for i in range(10) if (place == i).sum() >= 5]

agent = RLOO(addition_base(), questions_anew(), RLOOConfig(steps=100), seed=0)  # to be used below, too
rloo_history, rloo_verdicts = follow(agent)
sharpened = agent.policy

# %%
fig, axes = plt.subplots(1, 2, figsize=(9, 3.5))
line = np.linspace(0, 1, 200)
axes[0].plot(line, line**8 + (1 - line) ** 8, color="C0", label="p⁸ + (1 − p)⁸")
x, y, counts = (np.array(column) for column in zip(*bins, strict=True))
axes[0].errorbar(x, y, 2 * np.sqrt(y * (1 - y) / counts), fmt="o", color="C1", capsize=3,
                 label="seen (± 2 standard errors)")
axes[0].set(title="A group of eight is dead", xlabel="chance p of a right answer", ylabel="share of groups",
            ylim=(-0.03, 1.03))
axes[0].legend(fontsize=9, loc="upper center")
dying = np.array([run["frac_reward_zero_std"] for run in runs["rloo, 300 steps"]])  # [seeds, blocks of 5 steps]
dying = dying.reshape(len(dying), -1, 4).mean(-1)  # [seeds, blocks of 20]
band(axes[1], range(20, 301, 20), dying, "RLOO", kind="mean")
axes[1].set(title="… while RLOO learns", xlabel="step", ylabel="share of dead groups", ylim=(0, 1))
axes[1].legend(fontsize=9)
show(fig, alt="Left, the share of dead groups against the chance of a right answer follows p to the 8 plus 1 minus "
              f"p to the 8. Right, over 300 steps of RLOO the share goes from {dying[:, 0].mean():.2f} to "
              f"{dying[:, -1].mean():.2f}, mean of five seeds.")

# %% [markdown]
# A group is alive where the model is undecided. Questions that it masters and questions beyond it teach it nothing,
# and the better it gets, the more of its work is wasted. Chapter 16 has to deal with that; here it is enough to have
# seen it.
#
# > **Pitfall, from real life.** In Hugging Face's open-r1, the rule that checks mathematics gave reward *1.0*
# > wherever it could not parse the reference solution. Reader after reader thought that this was a bug
# > ([#86](https://github.com/huggingface/open-r1/issues/86),
# > [#215](https://github.com/huggingface/open-r1/issues/215),
# > [#293](https://github.com/huggingface/open-r1/issues/293)). The answer was that any value does, since all answers
# > to such a question get the same one, and the group is dead
# > ([#55](https://github.com/huggingface/open-r1/pull/55)). True, for a trainer that compares within the group. Take
# > the same rule to one without a baseline, or with the batch's mean, and it pays whatever was said to the questions
# > that nobody can judge. A reward is right or wrong only together with its baseline. (It also made the reward curve
# > look better than the model, which no baseline cures. Leave such questions out.)

# %% [markdown]
# ## Has it learned anything, or is it only surer?
#
# It is right more often. But recall the first picture: the right answer was in there before, for nearly every
# problem, if one asked often enough. A fair question is then: give both models k attempts at a problem, and count it
# as solved if *one* of them is right. That is **pass@k**. At k = 1 it is the chance of a right answer. At k = 64 it
# says whether the answer is in there at all.
#
# How to measure it? Write k answers and look: very noisy. Better to write n > k, of which c are right, and ask what
# share of all ways to pick k of them contains a right one:
#
# $$\text{pass@}k = 1 - \binom{n-c}{k} \Big/ \binom{n}{k}$$

# %% tags=["nbval-check-output"]
from rlcore.lm import pass_at_k


def my_pass_at_k(n, c, k):
    """The share of picks of k out of n that are not made of wrong answers only."""
    return 1 - comb(n - c, k) / comb(n, k)


assert all(abs(my_pass_at_k(64, c, k) - pass_at_k(64, c, k)) < 1e-12 for c in range(65) for k in (1, 2, 8, 64))
print("the same, for every count of right answers out of 64")

# %% [markdown]
# We can check more than the code. Our judge knows the chance p of each problem, so it knows the true pass@k: 1 − (1 −
# p)ᵏ. Below are the hard problems, those whose pass@8 was between .2 and .8 before training; they are chosen by the
# judge, without luck. (Choose problems by samples, then measure with the same samples, and what you have picked is
# partly luck: a second look finds a change where there was none.) Dots are estimates from 64 answers each, lines are
# the truth.

# %%
pass_8 = 1 - (1 - all_chances) ** 8
hard = ((pass_8 > 0.2) & (pass_8 < 0.8)).nonzero()[:, 0]
hard_problems = held_out.select(hard.tolist())
KS = [1, 2, 4, 8, 16, 32, 64]

fig, ax = plt.subplots()
words = []
for i, (name, policy) in enumerate({"before": base, "after 100 steps of RLOO": sharpened}.items()):
    text, _, _ = answer_in_groups(policy, hard_problems[:], [exact_answer], 64, MAX_NEW_TOKENS,
                                  torch.Generator().manual_seed(3))
    right = text.rewards.sum(-1).view(-1, 64).sum(-1).int().tolist()  # c of each problem
    estimates = [np.mean([pass_at_k(64, c, k) for c in right]) for k in KS]
    p = log_chances(policy, hard_problems).detach().double().exp()
    truth = [(1 - (1 - p) ** k).mean().item() for k in KS]
    ax.plot(KS, truth, color=f"C{i}", label=f"{name}, exact")
    ax.plot(KS, estimates, "o", color=f"C{i}", label=f"{name}, from 64 answers to each")
    words.append(f"{name} {truth[0]:.2f} at k = 1 and {truth[-1]:.3f} at 64")
ax.set(title=f"{len(hard)} hard problems, one run", xlabel="k, attempts", ylabel="pass@k", xscale="log", ylim=(0, 1.03))
ax.set_xticks(KS, KS)
ax.minorticks_off()
ax.legend(fontsize=9, loc="lower right")
show(fig, alt="pass@k on the hard problems against k: " + "; ".join(words) + ". The estimates lie on the lines.")
print("\n".join(words))

# %% [markdown]
# At one attempt the models are worlds apart, at 64 they meet. Now on five base models. On the left the hard problems
# once more. On the right all 500, beyond 64 (a line that is exact need not stop there), as a *miss rate*, on a scale on
# which one can see what happens close to 1. There SFT, which is *shown* right answers, is drawn beside them; we come to
# it below.

# %%
ks = sweep["ks"]
SHOWN = {"base": "before", "rloo": "RLOO, 100 steps", "rloo, 300 steps": "RLOO, 300 steps",
         "sft, as many questions": "SFT, 16 right answers a step"}


def passes(name, which):
    """pass@k of a run, `[seeds, ks]`; `which` is "hard" or "all"."""
    return np.array([run[f"pass_{which}"] for run in (sweep["base"] if name == "base" else runs[name])])


fig, axes = plt.subplots(1, 2, figsize=(9.5, 4.2))
for i, (name, label) in enumerate(SHOWN.items()):
    if not name.startswith("sft"):
        band(axes[0], ks[:7], passes(name, "hard")[:, :7], label, kind="mean", color=f"C{i}")
    band(axes[1], ks, 1 - passes(name, "all"), label, kind="mean", color=f"C{i}")
axes[0].set(title="Hard problems: solved within k attempts", xlabel="k", ylabel="pass@k", xscale="log", ylim=(0, 1.03))
axes[0].set_xticks(ks[:7], ks[:7])
axes[1].set(title="All 500: missed by all k attempts", xlabel="k", ylabel="1 − pass@k", xscale="log", yscale="log",
            ylim=(1e-4, 1))
axes[1].set_xticks(ks[::2], ks[::2])
for ax in axes:
    ax.minorticks_off()
handles, labels = axes[1].get_legend_handles_labels()
fig.legend(handles, labels, fontsize=9, loc="outside lower center", ncols=2)
show(fig, alt="Left, pass@k on the hard problems of five base models; right, the miss rate on all 500. " + "; ".join(
    f"{label}: hard problems {passes(name, 'hard')[:, 0].mean():.2f} at k = 1 and "
    f"{passes(name, 'hard')[:, 6].mean():.3f} at 64; all, missed at 1024: {1 - passes(name, 'all')[:, -1].mean():.4f}"
    for name, label in SHOWN.items()))
print(f"{'minus before, seed by seed':30}", "   ".join(f"{what:15}" for what in (
    "hard, pass@1", "hard, pass@64", "all, pass@64", "all, pass@1024")))
for name, label in SHOWN.items():
    if name != "base":
        print(f"{label:30}", "   ".join(paired(passes(name, which)[:, k], passes("base", which)[:, k])
                                         for which, k in (("hard", 0), ("hard", 6), ("all", 6), ("all", -1))))

# %% [markdown]
# People say that **RL sharpens**: it moves probability to right answers that were there already, and finds few new
# ones. For these models that is a fair description. One attempt now does what took several; at 64 attempts RL's gain
# on the hard problems is about as large as its uncertainty (and there was little room above); and on the right the lead
# melts away as k grows, until nothing certain is left of it.
#
# Large models that were trained for long are reported to fare worse: their base models *overtake* them at large k
# (Yue and others, below). That we do not see: no line of RLOO on the right lies clearly above "before". Had we drawn
# the hard problems alone beyond 64, there would have been a crossing, and it would have meant little. They were
# *chosen* for a chance of at least 2.75 % (that is what a pass@8 of .2 is), so the untrained model cannot miss them
# for long, while the others may have lost one or two. Problems that are picked by one of the contestants favour it.
#
# ### Why it should
#
# For a problem with one right answer, whose chance is p, J = p. And the slope of p is the slope of log p, times p:
#
# $$\nabla J = p \; \nabla \log p$$
#
# Now ∇ log p is an old acquaintance: making the right answer's log-probability larger is what supervised fine-tuning
# does (chapter 10). So on a 0-or-1 reward, on average REINFORCE *is* supervised fine-tuning on the right answer, in
# which each problem is weighted with how often the model gets it right on its own. What it never says, it never hears
# praised.

# %% tags=["nbval-check-output"]
for i in (0, 7, 11):
    one = train.select([i])
    policy = addition_base()
    reinforced = gradient(log_chances(policy, one).exp().mean(), policy)
    imitated = gradient(log_chances(policy, one).mean(), policy)
    p = log_chances(policy, one).exp().item()
    assert (reinforced - p * imitated).norm() < 1e-4 * reinforced.norm()
print("∇J = p · ∇ log p, for three problems")

# %% [markdown]
# ## Told, or scored
#
# Which raises the question what the bit *right* or *wrong* is worth against being told. Give supervised fine-tuning the
# same model, the same learning rate and 100 steps. What is an equal budget? Two answers. *As many questions*: 16 a
# step. Then SFT reads an eighth of the tokens that RL writes. *As many answers*: 128 a step, the same number of tokens
# (up to the length of wrong answers), but eight times as many questions with a key to them. The first one live:

# %%
told = SFT(addition_base(), train, SFTConfig(batch_size=16, lr=1e-4, warmup_steps=10, max_steps=100), seed=0)
sft_history, sft_verdicts = follow(told)

# %%
fig, ax = plt.subplots(figsize=(7.6, 4.2))
for i, (name, label) in enumerate({"rloo": "scored: RLOO, 16 questions × 8 answers",
                                   "sft, as many questions": "told: SFT, 16 questions × 1 answer",
                                   "sft, as many answers": "told: SFT, 128 questions × 1 answer"}.items()):
    band(ax, *learning(name), label, kind="mean", color=f"C{i}")
ax.plot(*rloo_verdicts.T, ":", color="C0", linewidth=1.5, label="live, this page: RLOO")
ax.plot(*sft_verdicts.T, ":", color="C1", linewidth=1.5, label="live, this page: SFT, 16 questions")
ax.set(title="Told, or scored (mean ± standard error of 5 seeds)", xlabel="step",
       ylabel="chance of a right answer, held out")
handles, labels = ax.get_legend_handles_labels()
fig.legend(handles, [label.split(" (mean ±")[0] for label in labels], fontsize=9, loc="outside lower center", ncols=2)
told_ends = {name: learning(name)[1][:, -1] for name in ("rloo", "sft, as many questions", "sft, as many answers")}
show(fig, alt="Held-out chance of a right answer over 100 steps, mean of five seeds; at the end " + ", ".join(
    f"{name} {values.mean():.2f}" for name, values in told_ends.items()))
for name, values in told_ends.items():
    seconds = np.mean([run["cpu_seconds"] for run in runs[name]])
    print(f"{name:24} {values.mean():.3f} at the end, {seconds:4.1f} CPU s; against RLOO: "
          f"{paired(values, told_ends['rloo'])}")

# %% [markdown]
# One right answer that is given teaches about as much as eight attempts that are marked, or a little more. With as
# many answers given as RL has to write itself, SFT is far ahead. (And we held it to RL's learning rate; it could have
# taken a larger one.) A bit is a poor teacher. Where somebody can write the right answer down, let the model read it.
#
# So what is RL for? For everything that can be checked and not dictated: when nobody knows the answer but a test
# suite knows a wrong one; when there are a thousand right answers and you do not want to choose one (chapter 11);
# when what you want is no text at all but a property of texts, such as being short, or honest, or polite. Then eight
# marked attempts are what there is.
#
# And whom does each of them teach? The 500 held-out problems, sorted by the chance they had before:

# %%
labels = ["below .1", ".1 to .3", ".3 to .5", ".5 to .7", ".7 to .9", "above .9"]
fig, ax = plt.subplots(figsize=(7.6, 3.6))
starts = np.array([row["by_base_chance"] for row in sweep["base"]])  # [seeds, groups]
for i, (name, label) in enumerate({"rloo": "scored: RLOO", "sft, as many questions": "told: SFT, as many questions"}
                                  .items()):
    after = np.array([run["by_base_chance"] for run in runs[name]])
    band(ax, range(6), after, label, kind="mean", color=f"C{i}", marker="o", markersize=4)
ax.plot(range(6), starts.mean(0), "--", color="black", linewidth=1.5, label="before")
ax.set(title="Who learns?", xlabel="chance of a right answer before training", ylabel="chance after", ylim=(0, 1.02))
ax.set_xticks(range(6), labels)
ax.legend(fontsize=9, loc="lower right")
show(fig, alt="Mean chance of a right answer after training, by the chance before. " + "; ".join(
    f"{label}: before {before:.2f}, RLOO {np.mean([r['by_base_chance'][j] for r in runs['rloo']]):.2f}, SFT "
    f"{np.mean([r['by_base_chance'][j] for r in runs['sft, as many questions']]):.2f}"
    for j, (label, before) in enumerate(zip(labels, starts.mean(0), strict=True))))

# %% [markdown]
# Both lift the hard problems most, and both make what was all but certain a little less so. SFT gives more to the
# hardest ones, as p · ∇ log p said it should. That RL follows so closely is no contradiction: the problems share all
# weights, what is learned from one helps with others, and none of these 500 was ever trained on.
#
# ## Where it breaks
#
# A policy gradient is the slope *here*. Take too long a step along it, and remember the hill in the second picture:
# it is narrow. For a classifier, too long a step costs some accuracy, and the next batch repairs it. A policy makes
# its own data. Let us multiply the learning rate by ten.

# %%
from rlcore.agents.rloo import train as train_rloo

broken = train_rloo(addition_base(), questions_anew(), RLOOConfig(steps=60, lr=1e-3), seed=0)
draw_answers(broken.policy, "lr 1e-3, 60 steps")

# %%
fig, axes = plt.subplots(1, 3, figsize=(10, 3.6))
PANELS = (("reward", "share of right answers"), ("entropy", "entropy (nats per token)"),
          ("frac_reward_zero_std", "share of dead groups"))
for i, (name, label) in enumerate({"rloo": "1e-4", "rloo, lr 3e-4": "3e-4", "rloo, lr 1e-3": "1e-3"}.items()):
    for ax, (key, _) in zip(axes, PANELS, strict=True):
        values = np.array([run[key] for run in runs[name]])  # [seeds, blocks of five steps]
        band(ax, 5 * np.arange(1, values.shape[1] + 1), values, f"lr {label}", kind="range", color=f"C{i}")
for ax, (_, title) in zip(axes, PANELS, strict=True):
    ax.set(title=title, xlabel="step", ylim=(-0.03, None))
handles, _ = axes[0].get_legend_handles_labels()
fig.legend(handles, ["lr 1e-4", "lr 3e-4", "lr 1e-3"], loc="outside lower center", ncols=3, fontsize=9,
           title="median of 5 seeds, lowest to highest", title_fontsize=9)
last = {label: np.mean([run["right"][-1] for run in runs[name]])
        for name, label in {"rloo": "1e-4", "rloo, lr 3e-4": "3e-4", "rloo, lr 1e-3": "1e-3"}.items()}
show(fig, alt="Reward, entropy and share of dead groups over 100 steps of RLOO for three learning rates, "
              "five seeds each. Held-out chance at the end: " + ", ".join(
    f"lr {label} {value:.2f}" for label, value in last.items()))
for name, label in {"rloo, lr 3e-4": "3e-4", "rloo, lr 1e-3": "1e-3"}.items():
    rights = learning(name)[1]
    print(f"lr {label}: held-out chance after {sweep['every']} steps {rights[:, 1].mean():.3f}, at the end "
          f"{rights[:, -1].mean():.3f}; against lr 1e-4 {paired(rights[:, -1], ends['rloo'])}")

# %% [markdown]
# Three times the usual rate throws the policy back to where it came from, or below; it then climbs again, and as the
# rate falls towards the end it arrives where the others are, within the error of five seeds. Ten times the usual rate
# is the end, on all five. The right-hand panel says why: nearly every group is dead. Hardly anything right is said
# any more, so hardly anything is praised. (∇J = p · ∇ log p: where p is next to nothing, so is the slope.) Under SFT,
# the next batch of right answers would arrive all the same. *A policy makes its own data*, and one that is bad enough
# makes data that teach nothing.
#
# You will read that "the entropy collapsed" when a run dies. (Entropy: how undecided a policy is; 0 if it always says
# the same.) In the middle panel that is one run of five, base 0, whose kind you see in the table above: nearly the
# same answer to everything. The other four were *less* decided than the healthy ones for most of the time; they roll
# dice over nonsense. So the entropy may go either way. Look at the reward and at the dead groups first.
#
# > **Change this number and run again.** In a new cell, let the broken policy go on with a small learning rate:
# > `train_rloo(broken.policy, questions_anew(), RLOOConfig(steps=40, lr=1e-4), seed=1)`. Does it recover? Then try
# > `gamma` or `baseline="mean"` in the first run, or rewards of your own: half a point for the right number of digits,
# > say.

# %% [markdown]
# ## Check yourself
#
# <details><summary>A colleague replaces sampling by taking the likeliest token, "to get a cleaner gradient". What does
# REINFORCE learn then?</summary>
#
# Little, and nothing that the formula promises. It is an average over what the *policy* does, dice included. With one
# answer per question there is also nothing to compare: each group of eight equal answers is dead, and without a
# baseline what is said is praised or ignored, but nothing else is ever tried.
# </details>
#
# <details><summary>All answers are right and rewards are 0 and 1. What does plain REINFORCE do, and what does
# RLOO?</summary>
#
# Plain REINFORCE praises them all, and makes the policy surer of what it says already: E[∇ log π] = 0 on average, but
# not in a batch. RLOO's advantages are all 0, and it does nothing.
# </details>
#
# <details><summary>Why is the reward paid at the last token, and which token is praised for it?</summary>
#
# The text can be judged only when it is complete. With γ = 1 every token's return is R, so all of the answer's tokens
# are praised alike, the clever digit and the obvious one. Chapter 14 has a critic that tells them apart.
# </details>
#
# <details><summary>pass@64 of a model is .99 on your benchmark, pass@1 is .3. What does that say about training it with
# RL? And with pass@64 at .3?</summary>
#
# In the first case the right answers are there to be found and praised: good material. In the second, for most problems
# nothing will ever be praised, most groups are dead, and what you need first is data, easier questions, or a better
# model.
# </details>
#
# <details><summary>In the question before, would a group of 512 instead of 8 help?</summary>
#
# It makes rare right answers show up: a group is dead with probability p⁵¹² + (1 − p)⁵¹² instead of p⁸ + (1 − p)⁸. It
# costs 64 times the writing, and ∇J is still p · ∇ log p: the push remains as small as p.
# </details>
#
# <details><summary>The model finds out that the checker accepts "102102102" for 102. Whose mistake is it, and when will
# you notice?</summary>
#
# The rule's author's. The reward curve looks better than ever, so you will notice only if somebody reads answers, or
# if a *different* measure, one that is not trained on, goes down. Chapter 18 is a gallery of such cases.
# </details>

# %% [markdown]
# ## You can now …
#
# … train a language model on anything that you can compute, with the function that trains a cart; choose what an answer
# is compared with, and know that the choice includes the zero of your rewards; count with pass@k; and tell a model that
# has become surer from one that has learned. Your vocabulary has a function more:
#
# ```python
# leave_one_out_advantages(rewards)    # [..., G] -> [..., G]
# ```
#
# What is missing? A rule that can judge an answer. For sums there is one. For "be helpful" there is none, and so the
# next chapter trains a model to be the judge.
#
# The exercises are in `work/12_reinforce_on_gpt2.ipynb` (`rlcourse start 12` puts it there, if it is missing).
#
# **Further reading**
#
# - R. J. Williams, *Simple Statistical Gradient-Following Algorithms for Connectionist Reinforcement Learning*, Machine
#   Learning 8, 1992: REINFORCE.
# - E. Greensmith, P. L. Bartlett and J. Baxter, *Variance Reduction Techniques for Gradient Estimates in Reinforcement
#   Learning*, Journal of Machine Learning Research 5, 2004: the best baseline, and that the mean is not it.
# - W. Kool, H. van Hoof and M. Welling, *Buy 4 REINFORCE Samples, Get a Baseline for Free!*, ICLR 2019 workshop on deep
#   RL meets structured prediction: leave one out.
# - A. Ahmadian and others, *Back to Basics: Revisiting REINFORCE Style Optimization for Learning from Human Feedback in
#   LLMs*, 2024, [arXiv:2402.14740](https://arxiv.org/abs/2402.14740): RLOO for language models.
# - M. Chen and others, *Evaluating Large Language Models Trained on Code*, 2021,
#   [arXiv:2107.03374](https://arxiv.org/abs/2107.03374): pass@k, and why the obvious estimate is biased.
# - Y. Yue and others, *Does Reinforcement Learning Really Incentivize Reasoning Capacity in LLMs Beyond the Base
#   Model?*, NeurIPS 2025, [arXiv:2504.13837](https://arxiv.org/abs/2504.13837): pass@k of large models, where the
#   curves cross.
# - W. Xiong and others, *A Minimalist Approach to LLM Reasoning: from Rejection Sampling to Reinforce*, 2025,
#   [arXiv:2504.11343](https://arxiv.org/abs/2504.11343): how far right answers alone will take you.
# - X. Zhu and others, *The Surprising Effectiveness of Negative Reinforcement in LLM Reasoning*, NeurIPS 2025,
#   [arXiv:2506.01347](https://arxiv.org/abs/2506.01347): and how far wrong answers alone will.
