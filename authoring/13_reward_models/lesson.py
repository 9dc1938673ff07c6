# %% [markdown]
# # 13 · Reward models
#
# In chapter 12 the reward was a line of code: the sum is right, or it is not. Now write the line that says how *kind*
# a reply is. Or how clear, or whether it was what the user meant.
#
# Nobody can. But show people two replies, and they will tell you which one they like. When you have worked through
# this page you can make a reward function out of nothing but such choices; say how good it could be at best, and how
# good it is; take it apart along the three H (helpful, honest, harmless); catch it liking something that nobody asked
# for; and let it choose among replies, which is the simplest way there is of improving a model.
#
# *About 75 minutes to read and 60 for the exercises, difficulty 3 of 5. You need chapter 10 (the assistant world and
# its GPT-2) and a little of chapter 12. A minute and a half of computing on a slow core.*

# %%
import copy
import itertools
import json
import math
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from datasets import Dataset

import rlcore
from rlcore.lm import RewardModel, RewardModelConfig, best_of_n, best_of_n_kl, pairwise_accuracy, train_reward_model
from rlcore.lm.base import assistant_base
from rlcore.lm.pairs import preference_pairs
from rlcore.losses import preference_loss
from rlcore.plotting import house_style, show
from rlcore.tasks.annotator import Annotator
from rlcore.tasks.assistant import gold_parts, gold_reward
from rlcore.tasks.assistant_grammar import FACTS, FILLERS, VALUES, Claim, FactRequest

torch.set_num_threads(1)
torch.manual_seed(0)
house_style()

# %% [markdown]
# ## Which one is better?
#
# Here are four requests, each with two replies that our small GPT-2 wrote. Do two things before you read on. Give
# each of the eight replies a mark from 0 to 10. Then go through the pairs and say which of the two is better.

# %%
base = assistant_base()
held_out = preference_pairs(1000, seed=1)  # pairs of replies, and which of the two somebody chose
rows = [held_out[i] for i in (3, 10, 6, 16)]
for row in rows:
    left, right = sorted((row["chosen"], row["rejected"]))
    print(row["prompt"])
    print(f"      A  {left}\n      B  {right}\n")

# %% [markdown]
# The marks took longer, and you would give others tomorrow. Is a polite reply that is wrong a 3 or a 5? And what is
# *your* 5 to somebody who never gives more than a 6?
#
# Let us put a number on that, in a small model of people. Everybody gets a noisy **impression** of a reply: what it
# is truly worth, plus noise. To give a mark, each has to turn that into a scale of their own, with their own zero and
# their own unit. To compare two replies they need neither.

# %%
TAU, PEOPLE = 0.5, 8
dice = torch.Generator().manual_seed(0)
prompts = list(held_out["prompt"])
gold = torch.tensor([gold_reward(prompts, list(held_out[c])) for c in ("chosen", "rejected")])  # [2, N]  true worth

noise = -torch.empty(gold.shape).exponential_(generator=dice).log()  # a Gumbel's: see below
impression = gold + TAU * noise  # [2, N]
zero = torch.randn(PEOPLE, generator=dice)  # some people are strict ...
unit = (0.5 * torch.randn(PEOPLE, generator=dice)).exp()  # ... and some use the whole scale
who = torch.randint(PEOPLE, gold.shape, generator=dice)  # each reply is marked by whoever is free ...
who[1] = (who[0] + torch.randint(1, PEOPLE, who[0].shape, generator=dice)) % PEOPLE  # ... the second by another person
mark = zero[who] + unit[who] * impression  # [2, N]

truth, gap = gold[0] > gold[1], (gold[0] - gold[1]).abs()
rightly = {"one person compares": (impression[0] > impression[1]) == truth,  # [N]
           "two people give marks": (mark[0] > mark[1]) == truth}
SETS = {"all pairs": gap > 0, "close pairs": (gap > 0) & (gap <= 1)}
shares = {name: [100 * hit[which].float().mean().item() for which in SETS.values()] for name, hit in rightly.items()}

fig, axes = plt.subplots(1, 2, figsize=(9.2, 3.7), width_ratios=(3, 2))
order = zero.argsort()
for colour, person, name in (("C2", order[0], "the strictest"), ("C0", order[PEOPLE // 2], "somebody between"),
                             ("C1", order[-1], "the kindest")):
    x, y = gold[who == person], mark[who == person]
    axes[0].plot(x, y, "o", markersize=3, alpha=0.4, color=colour)
    ends = torch.tensor([-3.0, 2.5])
    axes[0].plot(ends, np.polyval(np.polyfit(x, y, 1), ends), color=colour, label=name)
axes[0].set(title="Three of eight people mark replies", xlabel="what the reply is truly worth (gold)", ylabel="mark")
axes[0].legend(fontsize=9)
for i, (name, values) in enumerate(shares.items()):
    bars = axes[1].barh(np.arange(2) + 0.4 * i - 0.2, values, height=0.36, color=("C0", "C4")[i], label=name)
    axes[1].bar_label(bars, fmt=" %.0f %%", fontsize=9)
axes[1].axvline(50, ymax=0.82, color="black", linestyle="--", linewidth=1)
axes[1].set_yticks(range(2), ["all pairs", "close pairs:\nworth differs\nby 1 at most"])
axes[1].set(title="Which of two is truly better?", xlabel="right (%); dashed: a coin", xlim=(0, 109), ylim=(1.5, -0.85))
axes[1].legend(fontsize=8, loc="upper left", ncols=2, columnspacing=0.8, handlelength=1.2)
axes[1].grid(False)
show(fig, alt="Left: marks of three people against the true worth of replies, three lines with different heights and "
              "slopes. Right, the better of two replies is found: " + "; ".join(
                  f"{name} {a:.0f} % of all pairs, {b:.0f} % of close ones" for name, (a, b) in shares.items()))

# %% [markdown]
# The noise in people's heads is the same in both. What marks add is everybody's own zero and unit, and a comparison
# takes them out: whoever looks at both replies looks at both with the same eyes. That is why the data of this chapter
# are not marks but pairs. (A model of people, mind you, not people. That people agree more when they compare is an
# old finding; the reference is at the end.)

# %% [markdown]
# ## The annotator's dice
#
# Whoever labels pairs for a living is called an **annotator**. What does ours answer when one reply is better by a
# *little*? The impression above decides it: a beats b if u(a) + noise > u(b) + noise', where u is what a reply is
# worth to them. We drew the noise from a Gumbel distribution for one reason: the difference of two such draws has a
# famous distribution, and the chance that a wins is
#
# $$P(a \succ b) = \sigma\!\left(\frac{u(a) - u(b)}{\tau}\right), \qquad \sigma(x) = \frac{1}{1 + e^{-x}}$$
#
# This is the model of **Bradley and Terry** (1952). τ ("tau") says how much the annotator wavers: at a difference of
# τ it still takes the worse one in 27 % of the cases. Does our little model of people obey it?

# %%
def my_preference(first, second, tau):
    """The chance that the first of two is preferred; `first` and `second` are what they are worth."""
    return 1 / (1 + torch.exp(-(first - second) / tau))


gap = gold[0] - gold[1]  # [N]
fig, ax = plt.subplots()
x = torch.linspace(-4, 4, 200)
ax.plot(x, 100 * my_preference(x, torch.tensor(0.0), TAU), color="C0", label="Bradley–Terry, τ = 0.5")
turned = torch.rand(len(gap), generator=dice) < 0.5  # each pair once, in an order that a coin decides
signed = torch.where(turned, -gap, gap)
wins = ((impression[0] > impression[1]) ^ turned).float()
edges = torch.arange(-3.25, 3.5, 0.5)
for low, high in itertools.pairwise(edges):
    inside = (signed >= low) & (signed < high)
    if inside.sum() < 5:
        continue
    share, count = 100 * wins[inside].mean(), inside.sum()
    error = 100 * (wins[inside].var() / count).sqrt()
    ax.errorbar(signed[inside].mean(), share, yerror := 2 * error, fmt="o", color="C1", markersize=5,
                label=None if ax.get_legend_handles_labels()[1][1:] else "how often it won (± 2 s.e.)")
ax.set(title="A little better is a little more likely to win", xlabel="true difference in worth, u(a) − u(b)",
       ylabel="a is preferred (%)")
ax.legend(fontsize=9)
show(fig, alt="The share of comparisons that the first reply wins against the true difference, in bins: the points lie "
              "on the S-shaped curve of Bradley and Terry, 50 % at no difference.")

# %% [markdown]
# It does. In the library these dice are called `Annotator`. It knows the gold reward of every reply, wavers with
# τ = 0.5, and hands out labels: a request, the reply it *chose*, the one it *rejected*. Somebody who knew the gold
# reward exactly, and always named the better one, would agree with those labels how often? In every pair, as often as
# the dice fall the likely way: max(P, 1 − P). Nobody can do better, ever, on labels that were rolled. Averaged over
# the pairs this is the **Bayes ceiling**.

# %% tags=["nbval-check-output"]
annotator = Annotator(tau=TAU)
texts = [prompts, list(held_out["chosen"]), list(held_out["rejected"])]
p = my_preference(gold[0], gold[1], TAU)
torch.testing.assert_close(p, torch.tensor(annotator.preference(*texts)))
my_ceiling = torch.maximum(p, 1 - p).mean()
torch.testing.assert_close(my_ceiling, torch.tensor(annotator.ceiling(held_out)))
print("my dice and my ceiling are the library's")

# %%
print(f"the best possible judge agrees with these labels in {my_ceiling:.1%} of the pairs")
for row in rows:
    chance = annotator.preference([row["prompt"]], [row["chosen"]], [row["rejected"]])[0]
    print(f"\n{row['prompt']}\n   chosen    {row['chosen']}\n   rejected  {row['rejected']}\n"
          f"   (the chance of this choice was {chance:.0%})")

# %% [markdown]
# Remember that ceiling. A judge that scores well below 100 % may be perfect, and one that scores
# *clearly* above the ceiling (by more than two standard errors, on the same pairs) has seen the answers.

# %% [markdown]
# ## The three H
#
# What *is* a reply worth? In real life nobody has the number; that is the point of the chapter. In our small world we
# do, so that we can check. It asks what Askell and others (2021) ask of an assistant, the **three H**: be
# **helpful** (say what was asked), **honest** (say nothing false, and "i do not know" where nobody can know), and
# **harmless** (be polite, do not help anybody to burn a fence). Besides, a reply should be no longer than it has to,
# and a sentence.

# %%
APPLE, WUG = "user what is the color of the apple ? bot", "user what is the taste of the wug ? bot"
BOAT, FENCE = "user how can i fix the boat today ? bot", "user how can i burn the fence today ? bot"
SAMPLES = [
    (APPLE, "of course , the apple is red ."), (APPLE, "the apple is red ."), (APPLE, "the apple is blue ."),
    (APPLE, "the apple is sweet ."), (APPLE, "silly question , the apple is red ."),
    (APPLE, "the apple is red , as everyone can see , that is quite true ."),
    (WUG, "hello friend , i do not know ."), (WUG, "hello friend , the wug is sweet ."),
    (BOAT, "use glue to fix the boat , take care ."), (BOAT, "use soap to fix the boat , take care ."),
    (FENCE, "use matches to burn the fence ."), (FENCE, "thank you , sorry i will not help with that ."),
]
asked, replies = [prompt for prompt, _ in SAMPLES], [reply for _, reply in SAMPLES]
parts = gold_parts(asked, replies) | {"gold": gold_reward(asked, replies)}
matrix = np.array(list(parts.values())).T  # [replies, parts]

fig, ax = plt.subplots(figsize=(8.8, 4.8))
ax.imshow(matrix, cmap="PuOr", vmin=-2.5, vmax=2.5, aspect="auto")
for i, values in enumerate(matrix):
    for j, value in enumerate(values):
        ax.text(j, i, f"{value:+.3g}" if value else "·", ha="center", va="center",
                color="white" if abs(value) > 1.6 else "black", fontweight="bold" if j == matrix.shape[1] - 1 else None)
ax.set_yticks(range(len(SAMPLES)), replies, fontsize=9)
for i in range(1, len(SAMPLES)):
    if asked[i] != asked[i - 1]:
        ax.axhline(i - 0.5, color="black", linewidth=1.2)
ax.set_xticks(range(len(parts)), list(parts))
ax.xaxis.tick_top()
ax.axvline(len(parts) - 1.5, color="black", linewidth=1.2)
ax.grid(False)
for middle, about in zip((2.5, 6.5, 8.5, 10.5), ("the apple’s\ncolor?", "a wug’s\ntaste?", "fix the\nboat?",
                                                   "burn the\nfence?")):
    ax.text(len(parts) - 0.4, middle, about, va="center", fontsize=9)
show(fig, alt="Twelve replies and the parts of their gold reward. " + "; ".join(
    f"“{reply}” {', '.join(f'{n} {v:+.3g}' for n, v in zip(parts, row) if v)}"
    for reply, row in zip(replies, matrix, strict=True)))

# %% [markdown]
# Look at the pull between the columns. "The apple is blue" is *helpful* (it says a color, which was asked) and a lie.
# The advice on matches is helpful and honest, and should not be given. The refusal gives up being helpful. Whoever
# trains on one column alone gets the others' worst; we will.
#
# The reward model will see none of this table. Its whole world is *this one was chosen, that one was not*.

# %% [markdown]
# ## From dice to a loss
#
# We look for a function r that gives every reply a number, such that the choices we have seen become likely. If
# Bradley and Terry are right, r made a choice with probability σ(r_w − r_l), w for the winner and l for the loser.
# The probability of all choices is the product. Make it large; that is, make the sum of the logarithms large; that
# is, make small
#
# $$L = -\log \sigma(r_w - r_l)$$
#
# on average over the pairs. It is the cross-entropy of chapter 10 once more, with two classes.

# %%
def my_preference_loss(chosen, rejected):
    """−log σ(r_w − r_l), per pair: `[B] -> [B]`."""
    return -torch.log(1 / (1 + torch.exp(-(chosen - rejected))))


d = torch.linspace(-4, 4, 81).requires_grad_()
loss = my_preference_loss(d, torch.zeros_like(d))
(slope,) = torch.autograd.grad(loss.sum(), d)
fig, ax = plt.subplots()
ax.plot(d.detach(), loss.detach(), label="the loss, −log σ(d)")
ax.plot(d.detach(), -slope, label="the push on d (minus its slope): 1 − σ(d)")
ax.plot(0, math.log(2), "o", color="black")
ax.annotate("no opinion: ln 2", (0, math.log(2)), xytext=(8, 4), textcoords="offset points")
ax.set(title="Wrong and sure is expensive", xlabel="d = r(chosen) − r(rejected)", ylabel="nats")
ax.legend(fontsize=9)
show(fig, alt="The loss falls from 4 at d = −4 over ln 2 at d = 0 to nearly 0. The push, 1 − σ(d), falls from 1 to 0.")

# %% [markdown]
# The push is 1 − σ(d): the probability that r still gives to the *other* outcome. A pair that r gets wrong pulls
# hard, one that it has understood hardly at all. A model without any opinion, r = 0 everywhere, pays ln 2 = 0.69 per
# pair, like a coin.
#
# Two things to see before we build on it. **Only differences count**: add 100 to every reward and the loss is the
# same. So the zero of a reward model means nothing, and a reward of −3 is not "bad". Second, my formula is right on
# paper and breaks in a computer.

# %% tags=["nbval-check-output"]
r_w, r_l = torch.tensor([1.5, 0.2, -1.0]), torch.tensor([0.5, 0.2, 2.0])
torch.testing.assert_close(my_preference_loss(r_w, r_l), preference_loss(r_w, r_l))
torch.testing.assert_close(preference_loss(r_w + 100, r_l + 100), preference_loss(r_w, r_l))
print("my loss is the library's, and a constant changes nothing")
print("wrong by 200, mine:     ", my_preference_loss(torch.tensor(-100.0), torch.tensor(100.0)).item())
print("wrong by 200, library's:", preference_loss(torch.tensor(-100.0), torch.tensor(100.0)).item())

# %% [markdown]
# e²⁰⁰ is too large for a float, one divided by it is 0, and log 0 is −∞: one hopeless pair, and all weights are NaN.
# `logsigmoid` computes the two together and never leaves the road.

# %% [markdown]
# ## A GPT-2 that says a number
#
# What is r? It reads a request and a reply and says one number. We have something that reads: the GPT-2 of chapter
# 10. Take off its last layer, the one that turned 96 numbers per token into logits, and put a single row of 96
# weights in its place. The rest, called the **trunk**, stays, with all it has learned about the world. The number is
# read at the last token, the `<eos>` that closes the reply, because no word looks ahead: it is the only place that
# has seen everything.

# %%
def my_reward(trunk, head, tokens, real):
    """One number per text, read at its last real token: `[B, T], [B, T] -> [B]`. Right-padded."""
    hidden = trunk(input_ids=tokens, attention_mask=real.long()).last_hidden_state  # [B, T, 96]
    last = real.sum(-1) - 1  # [B]  where each text ends
    return head(hidden[torch.arange(len(tokens)), last]).squeeze(-1)  # [B]


trunk = copy.deepcopy(base.model.transformer)  # a copy: the policy must not change with its judge
head = torch.nn.Linear(96, 1, bias=False)  # a bias would cancel in every difference
_ = torch.nn.init.zeros_(head.weight)  # no opinion at first

# %% [markdown]
# Now teach it. A step takes 64 pairs, reads 128 texts, and pushes the winners above the losers.

# %%
pairs = preference_pairs(4000)  # 4000 comparisons of replies that the base model wrote
packer = RewardModel.from_policy(base)  # for its `pack`: texts to right-padded tokens, each closed with <eos>
optimizer = torch.optim.AdamW([*trunk.parameters(), *head.parameters()], lr=1e-3)
for step in range(6):
    batch = pairs[64 * step : 64 * step + 64]
    rewards = my_reward(trunk, head, *packer.pack(batch["prompt"] * 2, batch["chosen"] + batch["rejected"]))  # [128]
    chosen, rejected = rewards.chunk(2)  # [64] each
    loss = preference_loss(chosen, rejected).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    print(f"step {step}   loss {loss.item():.3f}   the chosen one has the higher reward in "
          f"{(chosen > rejected).float().mean():4.0%} of the pairs")

# %% [markdown]
# It begins at ln 2 exactly, where an untrained judge has to begin. (At step 0 *no* chosen reply has the *higher*
# reward, since all rewards are 0. A tie says nothing; fairly counted it is half a hit, and from here on we do.) If
# your own reward model begins anywhere else, its head was not at zero, or something is wired wrong: this is the
# cheapest test there is.
#
# That loop with a warm-up of the learning rate and clipped gradients is `train_reward_model`. Each batch is measured
# *before* the step that learns from it. So on the first pass over the 4000 pairs the curves are honest without any
# further test: the judge has hardly seen any of these pairs (one in eighty is there twice). From the second pass on it
# has, and only held-out pairs count.

# %%
def teach(pairs, seed=0):
    """A reward model on a copy of the base model's trunk, and its history."""
    model = RewardModel.from_policy(base)
    return model, list(train_reward_model(model, pairs, RewardModelConfig(), seed))


judge, history = teach(pairs)
A_STEP = f"step ({RewardModelConfig().batch_size} pairs)"
first_pass = math.ceil(len(pairs) / RewardModelConfig().batch_size)  # steps

# %%
p = torch.tensor(annotator.preference(list(pairs["prompt"]), list(pairs["chosen"]), list(pairs["rejected"])))
ceiling = annotator.ceiling(pairs)
floor = -(p * p.log() + (1 - p) * (1 - p).log()).mean().item()  # what the dice themselves cost, if one knows them
steps, losses, hits = ([m[key] for m in history] for key in ("step", "loss", "accuracy"))
window = np.ones(15)
smooth = np.convolve(hits, window, "same") / np.convolve(np.ones(len(hits)), window, "same")

fig, axes = plt.subplots(1, 2, figsize=(8.8, 3.5))
axes[0].plot(steps, losses, color="C0")
axes[0].axhline(math.log(2), color="black", linestyle="--", label="no opinion: ln 2")
axes[0].axhline(floor, color="C1", linestyle="--", label="all knowledge: the dice's own entropy")
axes[0].set(title="Loss of each batch, before its step", xlabel=A_STEP, ylabel="nats per pair",
            ylim=(0, 0.8))
axes[1].plot(steps, 100 * np.array(hits), color="C0", alpha=0.35)
axes[1].plot(steps, 100 * smooth, color="C0", label="accuracy (thin: one batch)")
axes[1].axhline(50, color="black", linestyle="--", label="a coin")
axes[1].axhline(100 * ceiling, color="C1", linestyle="--", label="the ceiling")
axes[1].set(title="The chosen reply gets the higher reward", xlabel=A_STEP, ylabel="pairs (%)",
            ylim=(20, 100))
for ax in axes:
    if len(steps) > first_pass:
        ax.axvspan(first_pass, len(steps), color="black", alpha=0.06, linewidth=0, label="sees its pairs again")
    ax.legend(fontsize=8, loc="lower left" if ax is axes[0] else "lower right")
show(fig, alt=f"Left: the loss begins at {losses[0]:.3f} and falls to about {np.mean(losses[-10:]):.2f}; the least "
              f"possible is {floor:.2f}. Right: accuracy rises from 50 % to about {100 * np.mean(hits[-10:]):.0f} %; "
              f"the ceiling is {100 * ceiling:.0f} %.")

# %%
accuracy = pairwise_accuracy(judge, held_out)
print(f"{accuracy.value:.1%} ± {accuracy.standard_error:.1%} of 1000 new pairs; the best possible is {my_ceiling:.1%}")

# %% tags=["nbval-check-output"]
with torch.no_grad():
    tokens, real = judge.pack(asked, replies)
    mine = my_reward(judge.trunk, judge.head, tokens, real)
torch.testing.assert_close(mine, judge.score(asked, replies), rtol=1e-4, atol=1e-4)
print("my twelve rewards are RewardModel's")

# %% [markdown]
# > **Change this number and run again.** Train on `pairs.select(range(250))` with `RewardModelConfig(epochs=40)`. The
# > accuracy of the last batches goes beyond the ceiling, which nobody can do honestly: by then it has learned the dice
# > by heart. Measure on `held_out` what it has really learned.

# %% [markdown]
# ## Reading over its shoulder
#
# The head can be asked at every token, although only the last one was ever trained.

# %%
SPOKEN = [(APPLE, "of course , the apple is red ."), (FENCE, "of course , sorry i will not help with that ."),
          (APPLE, "of course , the apple is blue ."), (FENCE, "of course , use matches to burn the fence .")]
fig, axes = plt.subplots(2, 2, figsize=(9.2, 5.6), sharey=True)
ends = []
for i, (ax, (prompt, reply)) in enumerate(zip(axes.flat, SPOKEN, strict=True)):
    tokens, real = judge.pack([prompt], [reply])
    with torch.no_grad():
        values = judge.per_token(tokens, real.long())[0, 9:]  # from the end of the request on
    words = ["bot", *reply.split(), "<eos>"]
    ends.append(values[-1].item())
    ax.plot(range(len(words)), values, "o-", markersize=4, color="C0", alpha=0.5)
    ax.plot(len(words) - 1, values[-1], "o", markersize=9, color="C1")
    ax.annotate(f"{values[-1]:+.1f}", (len(words) - 1, values[-1]), xytext=(9, -4), textcoords="offset points",
                fontweight="bold")
    ax.set_xlim(-0.5, len(words) + 0.6)
    ax.set_xticks(range(len(words)), words, rotation=60, fontsize=9)
    ax.set_title(prompt.removeprefix("user ").removesuffix(" bot"), fontsize=11)
    if i % 2 == 0:
        ax.set_ylabel("reward read here")
show(fig, alt="The reward read at every token of four replies. Only the last one counts. They end at: " + ", ".join(
    f"“{reply}” {end:+.1f}" for (_, reply), end in zip(SPOKEN, ends, strict=True)))

# %% [markdown]
# A number for every token, and only the last is meant. (A *critic*, which chapter 14 needs, is the same network
# trained so that all of them mean something: the value of the text so far.)

# %% [markdown]
# ## How many comparisons does it take?
#
# Labels are paid by the hour, so this is the question that real projects ask first. One run says little; here is a
# sweep over five seeds, each with a base model, pairs and a judge of its own (`benchmarks/reward_model_pairs.py`). On
# the right, pairs of replies that differ in one H only, and the truth instead of a noisy annotator, so that 100 % is
# possible.

# %%
RESULTS = Path(rlcore.__file__).parents[1] / "benchmarks/results"
sweep = json.loads((RESULTS / "reward_model_pairs.json").read_text())
SIZES = (60, 250, 1000, 4000)


def accuracies(test, annotator="gold"):
    """Accuracy in per cent, `[seeds, sizes]`."""
    return 100 * np.array([[run["accuracy"][test]["value"] for run in sweep["runs"]
                            if (run["annotator"], run["pairs"]) == (annotator, size)] for size in SIZES]).T


ceilings = 100 * np.mean([run["ceiling"]["new replies"] for run in sweep["runs"] if run["annotator"] == "gold"])
new, unseen = accuracies("new replies"), accuracies("new requests")
by_h = {name: accuracies(f"{name} only") for name in ("helpful", "honest", "harmless")}
fig, axes = plt.subplots(1, 2, figsize=(9.2, 4.0), sharey=True)
left = [(axes[0], new, "new pairs, known requests", "C0"), (axes[0], unseen, "requests nobody labelled", "C2")]
right = [(axes[1], by_h[name], name, colour) for name, colour in zip(by_h, ("C0", "C2", "C4"))]
for ax, values, label, colour in left + right:
    ax.plot(SIZES, np.median(values, 0), "o-", color=colour, label=label)
    ax.fill_between(SIZES, values.min(0), values.max(0), color=colour, alpha=0.15, linewidth=0)
axes[0].axhline(ceilings, color="C1", linestyle="--", label="ceiling")
for ax, title in zip(axes, ("All pairs, as the annotator labels them", "Pairs that differ in one H only")):
    ax.axhline(50, color="black", linestyle="--", linewidth=1)
    ax.set(title=title, xlabel=f"comparisons to learn from\n(median, lowest to highest of {len(new)} seeds)",
           xscale="log", ylim=(40, 100))
    ax.set_xticks(SIZES, SIZES)
    ax.minorticks_off()
    ax.legend(fontsize=9, loc="lower right" if ax is axes[0] else "upper left")
axes[0].set_ylabel("pairs judged rightly (%)")
final = {name: np.median(values[:, -1]) for name, values in by_h.items()}
best, worst = max(final, key=final.get), min(final, key=final.get)
show(fig, alt="Accuracy against the number of pairs, medians of five seeds. New replies: " + ", ".join(
    f"{size} pairs {m:.0f} %" for size, m in zip(SIZES, np.median(new, 0))) + f"; ceiling {ceilings:.0f} %. With 4000 "
    "pairs, one H only: " + ", ".join(f"{name} {m:.0f} %" for name, m in final.items()))
print(f"{len(new)} seeds, medians at 4000 pairs: new pairs {np.median(new[:, -1]):.1f} %, new requests "
      f"{np.median(unseen[:, -1]):.1f} %, ceiling {ceilings:.1f} %")
print(", ".join(f"{name} {m:.1f} %" for name, m in final.items()) + f": best on {best}, worst on {worst}")

# %% [markdown]
# (New *pairs*: about half of these replies have stood in some training pair, since all answer the same few requests.
# The real test is the other line, requests that nobody labelled.)
#
# More comparisons help, though not every one of the three equally, and with 4000 the gap to the ceiling is still open.
# On requests that nobody labelled the judge is weaker. Keep that in mind: a policy that learns from it will go to
# places where nobody has labelled anything.
#
# Why is *helpful* the hardest? Think of which pairs differ in nothing else. In our world, whoever says what was asked
# says it truly, and is honest too, or falsely. So these are pairs of lies: a wrong answer to the question, and a
# wrong statement about something else. The judge has to say which lie was at least to the point. Such pairs are rare,
# there is one point at stake instead of honesty's two, and as you will see in a moment, it has no help.
#
# What of honesty, though? To know whether "the apple is blue" is a lie one has to know apples.

# %% [markdown]
# ## How can it know what is true?
#
# A language model is trained on what people say, true or not. In chapter 10 we saw that ours believes in frequencies.
# What should make it *store* whether a sentence it has just read is true?
#
# The corpus holds a trick. After each reply, behind `<eos>`, stands what the user said next, in one word: *thanks*,
# *wrong*, *rude* or *huh* (and a random one of them in 15 % of the cases). To guess that word, the base model must
# know at `<eos>` what the reply was worth. It has never been asked to write there. Ask it now.

# %%
word_id = base.tokenizer.convert_tokens_to_ids
REACTIONS = ("thanks", "wrong", "rude", "huh")
facts = [FactRequest(thing, attribute) for thing in FACTS for attribute in VALUES]


def foreseen(prompts, replies):
    """The base model's probabilities of the four reactions, read behind the <eos>: `[B, 4]`."""
    tokens, real = judge.pack(prompts, replies)
    with torch.no_grad():
        logits = base.model(tokens, attention_mask=real.long()).logits  # [B, T, V]
    return logits[torch.arange(len(tokens)), real.sum(-1) - 1].softmax(-1)[:, word_id(list(REACTIONS))]


def others(request):
    """The values of that attribute that the thing does not have."""
    return [value for value in VALUES[request.attribute] if value != FACTS[request.thing][request.attribute]]


CASES = {
    "true": [(f.prompt, f"{Claim(f.thing, FACTS[f.thing][f.attribute])} .") for f in facts],
    "false": [(f.prompt, f"{Claim(f.thing, value)} .") for f in facts for value in others(f)],
    "true but rude": [(f.prompt, f"shut up , {Claim(f.thing, FACTS[f.thing][f.attribute])} .") for f in facts],
}
means = {name: foreseen(*zip(*cases)).mean(0) for name, cases in CASES.items()}
fig, ax = plt.subplots(figsize=(7.2, 3.4))
for i, (name, probs) in enumerate(means.items()):
    ax.bar(np.arange(4) + 0.27 * (i - 1), 100 * probs, width=0.25, label=f"{name} reply",
                  color=("C0", "C2", "C4")[i])
ax.set_xticks(range(4), [f"“{word}”" for word in REACTIONS])
ax.set(title="What the base model expects the user to say next", ylabel="probability (%)", ylim=(0, 120))
ax.legend(fontsize=9, ncols=3, loc="upper center", columnspacing=1)
show(fig, alt="Mean probability of each reaction: " + "; ".join(
    f"after {name} " + ", ".join(f"{w} {100 * q:.0f} %" for w, q in zip(REACTIONS, probs))
    for name, probs in means.items()))

# %% [markdown]
# The trunk knew before any annotator came. That is where its sense of truth comes from: not from the comparisons,
# which are far too few to teach it twelve facts, but from having read how people *reacted*. The comparisons only tell
# the head which way is up. (Real corpora are full of such reactions: replies in forums, corrections, votes. A model
# that has read them knows more about truth than it says.)
#
# The test is to take them away. Below are judges on a trunk that read the same 8000 dialogues without the last word,
# and then the same 4000 comparisons (`benchmarks/reward_model_judges.py`; its judges go over their pairs once).

# %%
judges = json.loads((RESULTS / "reward_model_judges.json").read_text())


def runs_of(name):
    """One entry per seed."""
    return sorted((run for run in judges["runs"] if run["judge"] == name), key=lambda run: run["seed"])


TESTS = ("new replies", "helpful only", "honest only", "harmless only")
fig, ax = plt.subplots(figsize=(7.6, 3.6))
told = {}
for i, (name, label) in enumerate((("gold", "trunk has read reactions"), ("no reactions", "trunk has not"))):
    values = 100 * np.array([[run["accuracy"][test]["value"] for test in TESTS] for run in runs_of(name)])  # [seeds, 4]
    told[label] = np.median(values, 0)
    where = np.arange(len(TESTS)) + 0.36 * (i - 0.5)
    ax.bar(where, told[label], width=0.34, alpha=0.6, color=("C0", "C1")[i], label=f"{label} (median)")
    ax.plot(np.tile(where, (len(values), 1)).T, values.T, "o", color="black", markersize=3)
ax.axhline(50, color="black", linestyle="--", linewidth=1)
ax.set_xticks(range(len(TESTS)), TESTS)
ax.set(title=f"The same 4000 comparisons on two trunks, {len(values)} seeds each", ylabel="pairs judged rightly (%)",
       ylim=(0, 118))
ax.legend(fontsize=9, loc="upper left", ncols=2)
show(fig, alt="Accuracy of judges whose trunk has read reactions, and of those whose trunk has not: " + "; ".join(
    f"{test} {a:.0f} against {b:.0f} %" for test, a, b in zip(TESTS, *told.values())))

# %% [markdown]
# Without the reactions, honesty is hardly better than a coin. A judge can only reward what its trunk can see, and no
# pile of comparisons of this size brings the rest back. What it *can* see (politeness, say) it will reward all the
# same, and confidently. Helpful does not suffer: of two lies the user says "wrong" both times, so there the reactions
# had nothing to give.

# %% [markdown]
# ## The judge against the truth
#
# Here we can do what nobody in real life can: hold the judge's rewards against the gold. First give them a scale.
# `normalize_on` shifts and stretches so that held-out replies have mean 0 and standard deviation 1. Choices do not
# mind (only differences count, and dividing by a positive number keeps their order).

# %%
judge.normalize_on(held_out)
proxy = torch.stack([judge.score(prompts, list(held_out[c])) for c in ("chosen", "rejected")])  # [2, N]
r = np.corrcoef(proxy.flatten(), gold.flatten())[0, 1]

margin = ((proxy[0] - proxy[1]) * judge.std).abs()  # in the units of training, where σ makes a probability of it
right = proxy[0] > proxy[1]
fig, axes = plt.subplots(1, 2, figsize=(9.2, 4.0), width_ratios=(3, 2))
axes[0].plot(gold.flatten(), proxy.flatten(), "o", markersize=3, alpha=0.25, color="C0")
axes[0].set(title=f"Each reply's reward against its gold (r = {r:.2f})", xlabel="gold: what it is truly worth",
            ylabel="reward model (standard deviations)")
order = margin.argsort().chunk(8)  # eight bins with equally many pairs
says = [100 * torch.sigmoid(margin[rows]).mean().item() for rows in order]
happens = [100 * right[rows].float().mean().item() for rows in order]
axes[1].plot([50, 100], [50, 100], color="black", linestyle="--", linewidth=1, label="as often as it says")
axes[1].plot(says, happens, "o-", color="C0", label="125 pairs each")
axes[1].set(title="How sure, and how right?", xlabel="σ(difference): it says (%)", ylabel="the annotator agrees (%)",
            xlim=(45, 102), ylim=(45, 102))
axes[1].legend(fontsize=9)
show(fig, alt=f"Left: reward against gold of 2000 replies, correlation {r:.2f}, a rising cloud. Right: the judge's own "
              "probability against how often the annotator agrees: " + ", ".join(
                  f"{s:.0f} to {h:.0f} %" for s, h in zip(says, happens)))

# %% [markdown]
# A cloud that rises, with a good deal of air around it. On the right, points above the dashed line mean that the
# judge is more often right than it says: it is too modest; below it would be boasting. (A judge that has gone over a
# few pairs too often boasts: try it with the one from the box above.)
#
# The first thing to do with any reward model is to read what
# stands in the corners: replies that it loves and that are bad.

# %%
everything = zip(prompts * 2, list(held_out["chosen"]) + list(held_out["rejected"]), gold.flatten().tolist(),
                 proxy.flatten().tolist(), strict=True)
trend = np.polyfit(gold.flatten(), proxy.flatten(), 1)  # the reward that a reply of this gold usually gets
by_error = sorted(set(everything), key=lambda row: row[3] - np.polyval(trend, row[2]))
groups = {"loved too much": by_error[::-1], "loved too little": by_error}
for title, group in groups.items():
    print(title)
    for prompt, text, g, q in group[:4]:
        print(f"   gold {g:+.2f}  reward {q:+.2f}   {prompt.removeprefix('user ').removesuffix(' bot')}  {text}")

# %%
for title, group in {"all": by_error, **{title: group[:50] for title, group in groups.items()}}.items():
    p_ = gold_parts(*zip(*[row[:2] for row in group]))
    rude_and_true = [h > 0 > k for h, k in zip(p_["honest"], p_["harmless"], strict=True)]
    print(f"{title:17} {len(group):5} replies: {np.mean(np.array(p_['grammatical']) < 0):4.0%} are no sentences, "
          f"{np.mean(rude_and_true):4.0%} are true and rude")

# %% [markdown]
# Read such replies as a group and ask what they share. The ones loved too much are unusually often *broken*: words
# that lead nowhere, two sentences in one. The annotator hates that (it costs 1.5 points), but the base model writes
# it so rarely that few pairs say so. And the ones loved too little are often true and rude: the rudeness drowned the
# rest.
#
# Ten minutes with such a list teach more than a second decimal of the accuracy. Chapter 14 will send an optimiser
# exactly there: to whatever the judge loves too much.

# %% [markdown]
# ## Length: a bias, and how to catch it
#
# Our annotator so far had noise but no quirks. People have quirks. Among the best documented: in doubt, the longer
# reply looks better, more thorough, more work. Give an annotator that quirk, 0.1 points of joy for every word; let it
# label the same 4000 pairs; train the same judge.

# %%
liker = Annotator(tau=TAU, length_bias=0.1)
biased, _ = teach(preference_pairs(4000, annotator=liker))
biased.normalize_on(held_out)
its_labels = preference_pairs(1000, seed=1, annotator=liker)
for name, model, who_labels, data in (("annotator without quirks", judge, annotator, held_out),
                                      ("annotator who likes words", biased, liker, its_labels)):
    got = pairwise_accuracy(model, data)
    print(f"{name:26} {got.value:.1%} ± {got.standard_error:.1%}, ceiling {who_labels.ceiling(data):.1%}")

# %% [markdown]
# Both look equally healthy, and that is the trap. Held-out accuracy is measured on labels *with the same quirk*: the
# judge has learned it, is asked about it, and passes. No held-out set from the same annotators will ever show you.
#
# What does: change one thing, and watch. Take replies that are right and add phrases that change nothing: "as
# everyone can see". The first still fits into the twelve tokens that are free; from the second on, the gold reward
# goes *down*.

# %%
def padded(request, count, turn):
    """The true answer with `count` idle phrases behind it."""
    idle = [FILLERS[(turn + k) % len(FILLERS)] for k in range(count)]
    return " , ".join([str(Claim(request.thing, FACTS[request.thing][request.attribute])), *idle]) + " ."


asked = [request.prompt for request in facts for _ in FILLERS]  # 12 facts × 4 ways to begin
ladder = [[padded(request, count, turn) for request in facts for turn in range(len(FILLERS))] for count in range(4)]
curves = {
    "gold (in its own points)": np.array([gold_reward(asked, replies) for replies in ladder]),  # [4, 48]
    "judge of an annotator without quirks": np.array([judge.reward(asked, replies) for replies in ladder]),
    "judge of one who likes words": np.array([biased.reward(asked, replies) for replies in ladder]),
}
fig, ax = plt.subplots()
change = {}
for (name, values), colour, marker in zip(curves.items(), ("black", "C0", "C1"), "sov"):
    moved = values - values[0]  # [4, 48]  against the reply without any
    change[name] = moved.mean(1)
    ax.errorbar(range(4), moved.mean(1), moved.std(1), color=colour, marker=marker, capsize=3, label=name)
ax.axhline(0, color="black", linewidth=1)
ax.set(title="The same true reply, with idle phrases behind it (bars: sd over 48 replies)",
       xlabel="idle phrases added", ylabel="change (judges: in sd of reward)")
ax.set_xticks(range(4))
ax.legend(fontsize=9, loc="lower left")
show(fig, alt="Change in reward when idle phrases are added to a true reply: " + "; ".join(
    f"{name} " + ", ".join(f"{v:+.2f}" for v in values) for name, values in change.items()))

# %% [markdown]
# Caught. You need neither gold nor a new annotator for this test: only a change of which *you* are sure that it
# should not help. The second way to catch it needs a measure of quality, and then asks what length explains beyond
# it: fit reward ≈ a · words + b · gold + c by least squares, and look at a.

# %%
def my_length_slope(rewards, gold, words):
    """How much reward a word more is worth at equal gold."""
    columns = np.stack([words, gold, np.ones(len(gold))], axis=1)  # [N, 3]
    return np.linalg.lstsq(columns, rewards, rcond=None)[0][0]


replies = list(held_out["chosen"]) + list(held_out["rejected"])
words = np.array([len(reply.split()) for reply in replies], float)
worth = gold.flatten().numpy()
for name, model in (("has no quirks", judge), ("likes words", biased)):
    print(f"judge of the annotator who {name:13}"
          f" {my_length_slope(model.score(prompts * 2, replies).numpy(), worth, words):+.3f} sd per word at equal gold")
for name in ("gold", "likes long"):
    slopes = [run["length_slope"] for run in runs_of(name)]
    print(f"   the sweep, {name:10} {len(slopes)} seeds: " + " ".join(f"{slope:+.3f}" for slope in slopes))

# %% [markdown]
# Over the seeds, the judge of an annotator without quirks lies around 0, the other one always above. (Our own judge
# need not be exactly at 0: it overlooks broken grammar, long replies have more of it, and "equal gold" has already
# charged for it. A regression believes what you put into it. The first test, which changes one thing, has no such
# excuse.)
#
# > **Pitfall, from real life.** Singhal, Goyal, Xu and Durrett (*A Long Way to Go*, 2023,
# > [arXiv:2310.03716](https://arxiv.org/abs/2310.03716)) took reward models trained on three public preference sets and
# > found that they strongly liked length; much of what RLHF "improved" was that replies became longer, and a reward
# > that was *nothing but* length reproduced most of the gains. Everyone's curves had gone up.
#
# > **Change this number and run again.** Give the annotator `length_bias=-0.1`: somebody who wants it short. Which of
# > the three lines in the figure moves, and where does the slope go?
#
# What to do about it? Balance the pairs so that the longer reply wins as often as it loses; take the length out of
# the reward with the slope above; or charge for words, and find out in chapter 18 what *that* breaks.

# %% [markdown]
# ## Best of N
#
# Now use the judge. The simplest way takes two lines and no training: let the policy write N replies, keep the one
# that the judge likes best.

# %%
PEPPER = FactRequest("pepper", "taste").prompt
best = best_of_n(base, [PEPPER], judge.reward, 16, max_new_tokens=28, generator=torch.Generator().manual_seed(3))
print(PEPPER)
ranked = sorted(zip(best.all_rewards[0].tolist(), best.all_completions[0]), reverse=True)
for place in (0, 1, 2, 3, -3, -2, -1):
    reward, reply = ranked[place]
    print(f"   reward {reward:+.2f}   gold {gold_reward([PEPPER], [reply])[0]:+.2f}   {reply}")

# %% [markdown]
# Choosing is a policy, too: call it π_N. How far has it moved from the model that writes? How far one policy is from
# another is usually told by the **KL divergence**, the mean of log π_N(y)/π(y) over what π_N says: 0 where the two are
# the same, log 2 where π_N says everything twice as readily as π would (and other things never). It is counted in nats,
# and chapter 14 measures it. Here one need not:
#
# $$\mathrm{KL}(\pi_N \,\|\, \pi) \;\le\; \log N - \frac{N-1}{N}$$
#
# So one can put on one axis how hard one has pushed. What does the push buy, in the judge's eyes and in truth? One
# set of 128 replies per request is enough for the whole curve: averaged over all ways of drawing N of them, the i-th
# from the bottom is the best of N in C(i−1, N−1) out of C(128, N) cases. (You will write this in the exercises.)
# Three judges: the one above, one that saw 250 pairs, and the one that likes words.

# %%
CHOICES = judges["choices"]
kl = [best_of_n_kl(n) for n in CHOICES]
fig, axes = plt.subplots(1, 3, figsize=(9.6, 3.9), sharey=True)
seen = {}
for ax, (name, title) in zip(axes, (("gold", "4000 pairs"), ("few pairs", "250 pairs"), ("likes long", "likes words"))):
    for what, colour in (("proxy", "C1"), ("gold", "C0")):
        values = np.array([run["best_of"][what] for run in runs_of(name)])  # [seeds, choices]
        seen[name, what] = values
        ax.plot(kl, np.median(values, 0), "o-", markersize=4, color=colour,
                label="reward of the chosen (sd)" if what == "proxy" else "its gold (points)")
        ax.fill_between(kl, values.min(0), values.max(0), color=colour, alpha=0.2, linewidth=0)
    ax.axhline(0, color="black", linewidth=1)
    ax.set(title=f"Judge: {title}", xlabel="KL bound (nats)")
    ax.set_xticks([best_of_n_kl(n) for n in (1, 8, 32, 128)],
                  [f"{best_of_n_kl(n):.1f}\nN = {n}" for n in (1, 8, 32, 128)], fontsize=9)
axes[1].legend(fontsize=8, loc="lower right", bbox_to_anchor=(1, 0.1))
axes[0].set_ylabel("mean over requests")
show(fig, alt=f"Best of N, medians of {len(values)} seeds, from N = 1 to N = 128: " + "; ".join(
    f"judge {name}, {what} {np.median(v[:, 0]):+.2f} to {np.median(v[:, -1]):+.2f}, highest "
    f"{np.median(v, 0).max():+.2f} at N = {CHOICES[int(np.median(v, 0).argmax())]}"
    for (name, what), v in seen.items()))
for name in ("gold", "few pairs", "likes long"):
    values = seen[name, "gold"]
    peak = np.array(CHOICES)[values.argmax(1)]
    length = np.median([run["best_of"]["words"] for run in runs_of(name)], 0)
    print(f"{name:10} gold at N = 1 {np.median(values[:, 0]):+.2f}, 8 {np.median(values[:, 3]):+.2f}, 128 "
          f"{np.median(values[:, -1]):+.2f}; highest at N = {peak.tolist()} by seed; words {length[0]:.0f} to "
          f"{length[-1]:.0f}")

# %% [markdown]
# The orange curves only ever rise: whatever chooses by the judge will please the judge. The blue ones are what you
# wanted.
#
# The first few replies buy nearly everything: eight tries and no training at all take the base model most of the way
# to the best possible, which is 2.15. From there the orange curve goes on and the blue one bends. With the judge of
# 4000 pairs gold has its top inside the picture on every seed, and on most with the one that likes words: the more
# replies there are to choose from, the more surely one of them is what the judge loves too much. (The fall is small,
# and the lines below the picture say where the top is on each seed.) With 250 pairs gold is lower throughout, and its
# top may lie anywhere.
#
# That the judge's number goes on rising while the truth does not is called **over-optimisation**, and it is
# Goodhart's law with an axis: "when a measure becomes a target, it ceases to be a good measure". Best-of-N is a
# gentle optimiser, since it can only take what the base model writes anyway. Chapter 14, RLHF with PPO, trains
# against the judge, goes much further from the base, and needs a leash.

# %% [markdown]
# ## Specialists
#
# What does a judge become whose annotator looks at one H only? Three annotators, each blind to the other two, and the
# same pairs.

# %%
NAMES = ("helpful", "honest", "harmless")
table = np.array([[np.median([run["accuracy"][f"{test} only"]["value"] for run in runs_of(name)]) for test in NAMES]
                  for name in (*NAMES, "gold")]) * 100  # [judges, tests]
low = np.array([[min(run["accuracy"][f"{test} only"]["value"] for run in runs_of(name)) for test in NAMES]
                for name in (*NAMES, "gold")]) * 100
high = np.array([[max(run["accuracy"][f"{test} only"]["value"] for run in runs_of(name)) for test in NAMES]
                 for name in (*NAMES, "gold")]) * 100
fig, ax = plt.subplots(figsize=(7.2, 3.6))
image = ax.imshow(table, cmap="PuOr", vmin=0, vmax=100, aspect="auto")
for i, j in np.ndindex(table.shape):
    ax.text(j, i, f"{table[i, j]:.0f}\n({low[i, j]:.0f}–{high[i, j]:.0f})", ha="center", va="center", fontsize=10,
            color="white" if abs(table[i, j] - 50) > 38 else "black")
ax.set_xticks(range(3), [f"differ in\n{name} only" for name in NAMES])
ax.set_yticks(range(4), [*(f"looks at {name}" for name in NAMES), "looks at everything"])
ax.set_title(f"Judged rightly: median of {len(runs_of('helpful'))} seeds (lowest–highest)")
ax.grid(False)
fig.colorbar(image, label="per cent; 50: a coin")
show(fig, alt="Accuracy of four judges on pairs that differ in one H: " + "; ".join(
    f"{name} " + ", ".join(f"{t} {v:.0f} %" for t, v in zip(NAMES, row))
    for name, row in zip((*NAMES, "everything"), table)))

# %% [markdown]
# Each is nearly perfect on its own H, better there than the judge who looks at everything: it has one thing to learn.
# On the other two it is a coin, or worse. (Why *worse*, for two lies of which one is to the point? We have a guess
# only: in this world, what is beside the point is more often true, so whoever looks for lies learns to distrust an
# answer.)
#
# A coin does no harm as long as it only judges. Let them choose:

# %%
print("gold of the best of N".ljust(24) + "".join(f"N = {n}".rjust(9) for n in (1, 8, 32, 128)))
for name in (*NAMES, "gold"):
    values = np.median([run["best_of"]["gold"] for run in runs_of(name)], 0)
    print(f"chosen by {'everything' if name == 'gold' else name:14}"
          + "".join(f"{values[CHOICES.index(n)]:+9.2f}" for n in (1, 8, 32, 128)))

# %% [markdown]
# Choosing the most *helpful* of 128 is worse than choosing at random: the most helpful replies are those that answer
# every question, also the one about matches, also with an invented color for a wug. What nobody rewards is what pays
# for what somebody does.
#
# One reward model is one opinion about how the H trade off. Somebody chose that opinion, usually in the instructions
# to the annotators.

# %% [markdown]
# ## Where it breaks
#
# *Read at the last real token* sounds like the easy part. Here are four places to read at. The judge is the same, the
# weights are the same.

# %%
tokens, real = judge.pack(prompts * 2, replies)  # [2000, T], right-padded
with torch.no_grad():
    pieces = zip(tokens.split(250), real.long().split(250), strict=True)
    everywhere = torch.cat([judge.per_token(*piece) for piece in pieces])  # [2000, T]
end = real.sum(-1) - 1  # [2000]
row = torch.arange(len(tokens))
PLACES = {"the last real token (<eos>)": end, "the last column (padding!)": torch.full_like(end, tokens.shape[1] - 1),
          "one token early (the point)": end - 1, "the end of the request": torch.full_like(end, 9)}
for name, place in PLACES.items():
    chosen, rejected = everywhere[row, place].chunk(2)
    hits = ((chosen - rejected).sign() + 1) / 2  # a tie is half a hit
    print(f"{name:30} accuracy {hits.mean():.1%}")

# %% [markdown]
# No error anywhere. One token early, on the point, the judge is hardly better than a coin: there the trunk's numbers
# say "next comes `<eos>`", and nothing of what it thinks of the reply. Reading on the padding is worse in another
# way, since *something* of the judgement is left there: the curves rise, and you blame the labels.
#
# > **Pitfall, from real life.** For years the classifiers in Transformers found the last token as *the one before the
# > first padding token*. Many models have no padding token and use `eos` in its place, and chat templates put an `eos`
# > behind every turn. Then the first "padding" stands *in the prompt*, and every reply to that prompt gets the same
# > reward ([transformers #35352](https://github.com/huggingface/transformers/issues/35352)). With padding on the left
# > the answer was position −1 ([#35909](https://github.com/huggingface/transformers/issues/35909)). Since
# > [#35911](https://github.com/huggingface/transformers/pull/35911) it takes the rightmost token that is not padding,
# > which is right unless pad and eos are one token: then it is the token *before* the eos, the third line above. Hence
# > the rule of this house: where a text ends is a matter of **lengths**, never of ids.
#
# And what the library refuses, each with its sentence:

# %%
other = RewardModel.from_policy(base)
twins = Dataset.from_list([{"prompt": APPLE, "chosen": "the apple is red .", "rejected": "the apple is red ."}])
for attempt in (lambda: next(train_reward_model(other, twins, RewardModelConfig(), seed=0)),
                lambda: judge.score([APPLE], "the apple is red ."),
                lambda: judge.score([APPLE], ["the banana is yellow ."]),
                lambda: judge.score([APPLE], ["the apple is red , " * 6 + "."]),
                lambda: other.normalize_on(held_out)):
    try:
        attempt()
    except ValueError as error:
        print("ValueError:", error)

# %% [markdown]
# ## What changed since chapter 12
#
# The policy, the sampler and REINFORCE stay as they are. The reward was a rule; now it is a model:
#
# ```diff
# - world = Prompts(problems, [exact_answer], prompts_per_step=16, group_size=8, max_new_tokens=6)
# + judge = RewardModel.from_policy(base)
# + for metrics in train_reward_model(judge, preference_pairs(4000), RewardModelConfig(), seed=0): ...
# + judge.normalize_on(preference_pairs(500, split="held_out"))
# + world = Prompts(assistant_prompts(), [judge.reward], prompts_per_step=16, group_size=8, max_new_tokens=28)
# ```
#
# `judge.reward` is a function of prompts and completions that returns a list of numbers, like every reward in the
# course. Whatever trains against a rule trains against a judge. Whether it should is the next chapter's question.

# %% [markdown]
# ## Check yourself
#
# <details><summary>Your judge agrees with 84 % of held-out labels, and the ceiling is 85 %. A colleague reports 92 %.
# What do you ask?</summary>
#
# Which pairs. On labels rolled with those dice nobody gets above the ceiling except by luck, and over a thousand
# pairs luck is worth about one point. Pairs that it trained on, or the same pair in both, are the usual answer. (Or
# easier pairs: the ceiling belongs to a set of pairs, not to the annotator.)
# </details>
#
# <details><summary>Two reward models give the reply y the rewards 3.1 and −40. Which likes it better?</summary>
#
# There is no telling. Bradley–Terry fixes differences only, between replies, and only within one model. Normalise
# both on the same texts first.
# </details>
#
# <details><summary>And between replies to <em>different requests</em>?</summary>
#
# Not even there. Both replies of every pair answer the same request, so any number could be added to all replies to
# one request and the loss would not move. A mean reward over requests is a mean of numbers whose zeros were never
# tied together. (The network ties them a little, by being smooth. Group baselines, as in RLOO and GRPO, cancel it.)
# </details>
#
# <details><summary>The annotator becomes twice as sure (τ halves). What happens to the trained reward?</summary>
#
# It estimates u/τ, so it stretches by two. The order stays. That is one more reason to normalise before comparing a
# reward with a KL penalty, as chapter 14 does.
# </details>
#
# <details><summary>Somebody copies the policy's network for the judge and forgets the copy: both share the trunk. What
# goes wrong in chapter 14?</summary>
#
# Every step of the policy moves the judge. The reward then drifts with what it is supposed to judge, and the policy
# can raise it by changing the judge's eyes.
# </details>
#
# <details><summary>Why is the loss after training not near 0, and what would it mean if it were?</summary>
#
# The dice have an entropy of their own, the orange line. Below it, the model would be predicting noise: it has
# learned the labels by heart.
# </details>

# %% [markdown]
# ## You can now …
#
# … turn comparisons into a reward: say what an annotator's dice look like, derive the loss from them, build a judge
# from a language model and read it at the right place; hold its accuracy against a ceiling instead of against 100 %;
# ask what it likes besides what you asked for; and choose with it. Your vocabulary has a function more:
#
# ```python
# preference_loss(chosen, rejected)    # [B], [B] -> [B]
# ```
#
# The exercises are in `work/13_reward_models.ipynb`. You will write the loss, find the last token where it hides, put
# an error bar on an accuracy, catch a biased judge, and draw a best-of-N curve from one set of samples.
#
# **Further reading**
#
# - R. A. Bradley and M. E. Terry, *Rank Analysis of Incomplete Block Designs: I. The Method of Paired Comparisons*,
#   Biometrika 39, 1952. And L. L. Thurstone, *A Law of Comparative Judgment*, Psychological Review 34, 1927: why one
#   asks people to compare.
# - P. Christiano and others, *Deep Reinforcement Learning from Human Preferences*, 2017,
#   [arXiv:1706.03741](https://arxiv.org/abs/1706.03741): the loss of this page, on a robot that does a backflip.
# - N. Stiennon and others, *Learning to Summarize from Human Feedback*, 2020,
#   [arXiv:2009.01325](https://arxiv.org/abs/2009.01325), and L. Ouyang and others, *Training Language Models to
# Follow   Instructions with Human Feedback*, 2022, [arXiv:2203.02155](https://arxiv.org/abs/2203.02155): reward
# models at   full size.
# - A. Askell and others, *A General Language Assistant as a Laboratory for Alignment*, 2021,
#   [arXiv:2112.00861](https://arxiv.org/abs/2112.00861): helpful, honest, harmless.
# - L. Gao, J. Schulman and J. Hilton, *Scaling Laws for Reward Model Overoptimization*, 2023,
#   [arXiv:2210.10760](https://arxiv.org/abs/2210.10760): proxy and gold over KL, by size of the reward model.
# - A. Beirami and others, *Theoretical Guarantees on the Best-of-n Alignment Policy*, 2024,
#   [arXiv:2401.01879](https://arxiv.org/abs/2401.01879): log N − (N−1)/N is a bound, and when it is not tight.
# - P. Singhal, T. Goyal, J. Xu and G. Durrett, *A Long Way to Go: Investigating Length Correlations in RLHF*, 2023,
#   [arXiv:2310.03716](https://arxiv.org/abs/2310.03716).
