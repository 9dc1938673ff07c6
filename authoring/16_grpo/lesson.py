# %% [markdown]
# # 16 · GRPO
#
# Chapter 14 trained two GPT-2s at once: one that wrote, and a critic that said what was to be expected. The critic is
# as large as the writer, has to be trained as well, and is wrong while it learns. All this for one number per text.
# There is a cheaper way to find out what is to be expected: ask again.
#
# When you have worked through this page you can train a language model on a rule, on a length or on a reward model
# with one and the same call; compute the advantages of a group by hand; say what becomes of a KL estimate when a
# gradient goes through it, which several well-known libraries got wrong; choose a group size; and say, with numbers,
# where GRPO is better than PPO and where it is not.
#
# *About 75 minutes to read and 60 for the exercises, difficulty 3 of 5. You need chapter 12 (RLOO), chapter 13 (reward
# models) and chapter 14 (PPO on text, the KL price β). A minute of computing.*

# %%
import json
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from torch.distributions import Normal

import rlcore
from rlcore.agents import grpo, ppo, rlhf, rloo
from rlcore.agents.grpo import GRPO, GRPOConfig
from rlcore.lm import Prompts, RewardModel, RewardModelConfig, accuracy, answer, train_reward_model
from rlcore.lm.base import addition_base, assistant_base
from rlcore.lm.pairs import preference_pairs
from rlcore.lm.prompts import answer_in_groups
from rlcore.lm.sft import pack_examples
from rlcore.losses import kl_estimate
from rlcore.plotting import band, house_style, show
from rlcore.returns import group_advantages
from rlcore.tasks.addition import MAX_NEW_TOKENS, addition_problems, exact_answer
from rlcore.tasks.assistant import assistant_prompts, gold_reward
from rlcore.tasks.assistant_grammar import MAX_NEW_TOKENS as REPLY_TOKENS
from rlcourse.diff import show_diff

torch.set_num_threads(1)
torch.manual_seed(0)
house_style()

# %% [markdown]
# ## Ask it again
#
# Here is the GPT-2 of chapter 12 that can nearly add. One question, asked eight times.

# %%
train_problems, held_out = addition_problems()
base = addition_base()


def ask(policy, problems, times, seed):
    """Each problem answered several times: rewards `[P, G]` and P lists of texts."""
    trajectory, _, texts = answer_in_groups(policy, problems[:], [exact_answer], times, MAX_NEW_TOKENS,
                                            torch.Generator().manual_seed(seed))
    groups = [texts[i : i + times] for i in range(0, len(texts), times)]
    return trajectory.rewards.sum(-1).view(-1, times), groups


@torch.no_grad()
def chances(policy, problems):
    """The chance of the right answer, exactly (chapter 12): the product over its tokens, `[N]`."""
    tokens, mask = pack_examples(policy.tokenizer, problems["prompt"], problems["completion"])
    return policy.evaluate_actions(tokens[:, :-1], tokens[:, 1:], mask)[0].sum(-1).exp()


p = chances(base, held_out)  # [500]
one = held_out.select([(p - 0.4).abs().argmin().item()])
rewards, texts = ask(base, one, 8, seed=3)
print(one["prompt"][0], "(right: " + one["completion"][0] + ")")
for text, reward in zip(texts[0], rewards[0].tolist(), strict=True):
    print(f"   {text:6} {reward:.0f}")

# %% [markdown]
# What was to be expected of an answer to this question? Not much to think about: look at the eight. Their mean is the
# **baseline**, and what an answer has above it is its advantage. Then divide by how much the eight differ, their
# standard deviation. In symbols, for a **group** of G answers to one prompt with rewards r₁ … r_G,
#
# $$\hat A_i = \frac{r_i - \operatorname{mean}(r)}{\operatorname{std}(r) + \epsilon}$$

# %%
def my_group_advantages(r, eps=1e-4):
    """How much better than the other answers to the same prompt: `[P, G] -> [P, G]`."""
    mean = r.mean(-1, keepdim=True)  # [P, 1]  along the group, never across prompts
    std = r.std(-1, keepdim=True)  # [P, 1]  the sample's: divided by G − 1
    return (r - mean) / (std + eps)


r = rewards  # [1, 8]
print(f"mean {r.mean():.3f}   std {r.std():.3f}")
for text, reward, advantage in zip(texts[0], r[0].tolist(), my_group_advantages(r)[0].tolist(), strict=True):
    print(f"   {text:6} {reward:.0f}   advantage {advantage:+.2f}")

# %% [markdown]
# That is the idea, and it is nearly all of it: **group relative policy optimisation**, GRPO (Shao and others, 2024).
# Some texts say that it "compares similar samples". It does not: a group is G completions of *one* prompt, drawn from
# the same policy with different dice. Nothing has to be similar, and nobody has to decide what is.
#
# Now five questions, from hard to easy for this model. Before you look at the colours: which answer of all forty
# should be praised most?

# %%
picked = [(p - target).abs().argmin().item() for target in (0.06, 0.25, 0.5, 0.8, 0.97)]
five = held_out.select(picked)
rewards, texts = ask(base, five, 8, seed=7)
advantages = my_group_advantages(rewards)

fig, ax = plt.subplots(figsize=(8.6, 3.9))
ax.imshow(advantages, cmap="PuOr", vmin=-3, vmax=3, aspect="auto")
for i in range(5):
    for j in range(8):
        ax.text(j, i, f"{texts[i][j]}\n{advantages[i, j]:+.2f}", ha="center", va="center", fontsize=9,
                fontweight="bold" if rewards[i, j] else "normal",
                color="white" if advantages[i, j].abs() > 2 else "black")
ax.set_yticks(range(5), [f"{prompt}?\nchance {p[i]:.2f}" for prompt, i in zip(five["prompt"], picked, strict=True)])
ax.set(title="Eight answers to each question, and their advantages (bold: right)", xticks=[])
ax.grid(False)
show(fig, alt="Five addition problems from hard to easy, eight answers each, and their advantages. " + "; ".join(
    f"{prompt}? {int(row.sum())} of 8 right, advantages {a.min():+.2f} to {a.max():+.2f}"
    for prompt, row, a in zip(five["prompt"], rewards, advantages, strict=True)))

# %% [markdown]
# Read it row by row, since nothing is ever compared across rows. A right answer that nobody else found stands out far.
# A wrong one where all others were right is scolded as hard. A right answer to an easy question is worth little: it
# was to be expected. And where all eight agree, every advantage is 0 and the eight have taught nothing. The group is
# **dead**, as in chapter 12; we come back to that.
#
# ### Why divide?
#
# RLOO (chapter 12) compared within the group as well, and did not divide. What does it buy? Pay the same eight answers
# in other currencies:

# %%
r = torch.tensor([[1.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0]])
for name, pay in {"1 and 0": r, "100 and 0": 100 * r, "−1 and −2": r - 2, "words: 20 and 8": 8 + 12 * r}.items():
    print(f"{name:16}", [f"{a:+.2f}" for a in my_group_advantages(pay)[0].tolist()])

# %% [markdown]
# A mean takes the currency's zero out, a standard deviation its unit. So one learning rate serves rewards in points, in
# words, or in whatever a reward model says, and in a moment we shall use that. It has a price: a group in which the
# answers hardly differ is blown up to the same size as one in which they differ a lot. Who gains and who loses by that
# is the subject of chapter 17.
#
# The ε is for safety, and where all are equal the library goes further: it returns exactly 0.

# %% tags=["nbval-check-output"]
some = torch.rand(16, 8, generator=torch.Generator().manual_seed(0))
torch.testing.assert_close(my_group_advantages(some), group_advantages(some))
equal = torch.full((1, 7), 0.1)  # seven times the same reward
assert (group_advantages(equal) == 0).all()
print("the same advantages, and exactly 0 where all are equal")

# %%
print("mine, where all are equal:", f"{my_group_advantages(equal)[0, 0].item():+.1e}")

# %% [markdown]
# Mine leaves a little dust, since in float32 the mean of seven 0.1s is not quite 0.1. That sounds harmless, but Adam
# divides every gradient by its usual size: if dust is all there is, dust is what it takes a full step along.
#
# ## From PPO to GRPO
#
# What does an algorithm lose when it loses its critic? Here is PPO with four models from chapter 14, and GRPO, from
# the real files. Orange is gone, blue is new.

# %%
show_diff(rlhf.RLHF.learn, GRPO.learn)

# %% [markdown]
# Gone: `predict`, `gae`, `returns`, everything about a value function. New: view the rewards as `[P, G]`, compare
# within the group, give every token of an answer its answer's advantage. What stays is the most important line: both
# hand a `Batch` to `policy_update`.
#
# (RLOO of chapter 12 has no critic either. From there to here it is a division by the std, PPO's clip, and several
# epochs: `show_diff(rloo.RLOO.learn, GRPO.learn)`.)
#
# And `policy_update` is the one that balanced a pole. There is only one.

# %% tags=["nbval-check-output"]
assert ppo.policy_update is rlhf.policy_update is rloo.policy_update is grpo.policy_update
print("CartPole, RLHF, RLOO, GRPO: one function,", f"{ppo.policy_update.__module__}.{ppo.policy_update.__name__}")

# %% [markdown]
# Let us write the loss out once, to have seen all of it. ρ is PPO's ratio, clipped as in chapter 09; it is 1 as long as
# the policy has not moved since it wrote, and matters from the second epoch on.
#
# $$L = -\frac{1}{N}\sum_{i,t} \min\bigl(\rho_{i,t}\,\hat A_i,\ \operatorname{clip}(\rho_{i,t}, 1-\varepsilon,
# 1+\varepsilon)\,\hat A_i\bigr), \qquad \rho_{i,t} = \frac{\pi(a_{i,t} \mid s_{i,t})}{\pi_\text{old}(a_{i,t} \mid
# s_{i,t})}$$
#
# N is the number of tokens that were written. (The first paper takes the mean over each answer first; which mean is
# right is one of the things that people quarrelled about. Chapter 17.)

# %%
def my_grpo_loss(policy, trajectory, G, clip=0.2):
    """GRPO without a KL term, in one piece."""
    r = trajectory.rewards.sum(-1)  # [P·G]
    A = my_group_advantages(r.view(-1, G)).view(-1, 1)  # [P·G, 1]  one number for a whole answer
    log_probs = policy(trajectory.states).log_prob(trajectory.actions)  # [P·G, T]
    rho = (log_probs - trajectory.log_probs).exp()  # [P·G, T]
    gain = torch.min(rho * A, rho.clamp(1 - clip, 1 + clip) * A)
    return -gain[trajectory.mask].mean()  # own tokens only


# %% tags=["nbval-check-output"]
policy = addition_base()
questions = Prompts(train_problems, [exact_answer], prompts_per_step=16, group_size=8, max_new_tokens=MAX_NEW_TOKENS)
agent = GRPO(policy, questions, GRPOConfig(steps=1, max_grad_norm=1e9))
agent.optimizer = torch.optim.SGD(policy.parameters(), lr=1.0)  # then the step is the gradient
trajectory = questions.sample(policy, agent.generator)  # [128, T]
loss = my_grpo_loss(policy, trajectory, G=8)
mine = torch.cat([part.flatten() for part in torch.autograd.grad(loss, list(policy.parameters()))])
before = torch.nn.utils.parameters_to_vector(policy.parameters()).detach()
agent.learn(trajectory)
step = before - torch.nn.utils.parameters_to_vector(policy.parameters()).detach()
assert (step - mine).norm() < 1e-3 * mine.norm()
print("nine lines, and the library's step")

# %% [markdown]
# ## Three rewards, one function
#
# GRPO does not ask where a reward comes from. Let us take it at its word, with three that have nothing in common.
#
# ### A rule
#
# Is the sum right? `observe` is called after every step; what it writes into the metrics is kept. Here it looks, every
# ten steps, at the 500 problems that training never asks, sampled and greedy (always the likeliest token).

# %%
adder = addition_base()


def watch(metrics):
    """Every ten steps, the held-out problems."""
    if metrics["step"] % 10 == 0:
        for name, greedy in (("greedy", True), ("sampled", False)):
            metrics[name] = accuracy(adder, held_out, exact_answer, MAX_NEW_TOKENS, greedy=greedy)


start = {name: accuracy(base, held_out, exact_answer, MAX_NEW_TOKENS, greedy=name == "greedy")
         for name in ("greedy", "sampled")}
by_rule = grpo.train(adder, train_problems, [exact_answer], GRPOConfig(steps=80, lr=1e-4), seed=0, observe=watch)

# %%
def series(history, key):
    """The steps at which a metric was measured, and the metric."""
    rows = [(row["step"], row[key]) for row in history if key in row]
    return np.array(rows).T


fig, axes = plt.subplots(1, 3, figsize=(10, 3.4))
for name, colour in (("greedy", "C1"), ("sampled", "C0")):
    steps, right = series(by_rule.history, name)
    axes[0].plot([0, *steps], [start[name], *right], "o-", markersize=4, color=colour, label=f"{name}, held out")
axes[0].plot(*series(by_rule.history, "reward"), color="C0", alpha=0.3, linewidth=1, label="reward of the batch")
axes[1].plot(*series(by_rule.history, "frac_reward_zero_std"), color="C2")
axes[2].plot(*series(by_rule.history, "entropy"), color="C4")
axes[0].set(title="right answers", ylim=(0.3, 1), ylabel="share")
axes[1].set(title="dead groups", ylim=(0, 1), ylabel="share of 16 groups")
axes[2].set(title="entropy", ylim=(0, None), ylabel="nats per token")
for ax in axes:
    ax.set_xlabel("step (16 questions × 8)")
axes[0].legend(fontsize=8, loc="lower right")
last = by_rule.history[-1]
change = {key: [np.mean([row[key] for row in part]) for part in (by_rule.history[:20], by_rule.history[-20:])]
          for key in ("frac_reward_zero_std", "entropy")}  # one step's 16 groups are few: 20 steps have 320
show(fig, alt=f"GRPO on addition, one run of 80 steps. Held out, greedy from {start['greedy']:.2f} to "
              f"{last['greedy']:.2f}, sampled from {start['sampled']:.2f} to {last['sampled']:.2f}. From the first "
              f"20 steps to the last 20: dead groups {change['frac_reward_zero_std'][0]:.2f} to "
              f"{change['frac_reward_zero_std'][1]:.2f}, entropy {change['entropy'][0]:.3f} to "
              f"{change['entropy'][1]:.3f} nats per token, on average.")
for name, (first, final) in zip(("dead groups", "entropy"), change.values(), strict=True):
    print(f"{name:12} first 20 steps {first:.3f}   last 20 steps {final:.3f}")

# %% [markdown]
# The model gets better at adding, and surer (the entropy falls), and the better it gets the more of its groups are
# dead. That is the kind of reward that made GRPO famous: DeepSeek-R1 was trained mainly with rules, *is the answer
# right* and *is the format kept*.
#
# ### A length
#
# Now the assistant world of chapter 10, and a reward that no one should ever use alone: write twenty words. The
# function knows nothing of apples or politeness. It counts.

# %%
def near_twenty(prompts, completions, **columns):
    """Minus the distance from twenty words, one number per completion."""
    return [-abs(len(text.split()) - 20) for text in completions]


assistant = assistant_base()
requests, everybody = assistant_prompts("train"), assistant_prompts("all")
IN_THE_ASSISTANT_WORLD = {"max_new_tokens": REPLY_TOKENS, "lr": 1e-3, "epochs": 2, "minibatch_size": 64}
config = GRPOConfig(steps=20, **IN_THE_ASSISTANT_WORLD)
by_length = grpo.train(assistant_base(), requests, [near_twenty], config, seed=0)

# %%
def replies_of(policy):
    """One sampled reply to each of the 240 rows of all requests."""
    return answer(policy, everybody, REPLY_TOKENS, greedy=False)


said = {"before": replies_of(assistant), "after 20 steps": replies_of(by_length.policy)}
fig, ax = plt.subplots(figsize=(7.2, 3.0))
for (name, replies), colour in zip(said.items(), ("C0", "C1"), strict=True):
    ax.hist([len(text.split()) for text in replies], bins=np.arange(0.5, 29.5), color=colour, alpha=0.65, label=name)
ax.axvline(20, color="black", linestyle="--", linewidth=1)
ax.set(title="Paid for twenty words", xlabel="words in a reply", ylabel="replies, of 240")
ax.legend(fontsize=9, loc="upper left")
exactly = {name: sum(len(text.split()) == 20 for text in replies) for name, replies in said.items()}
show(fig, alt="Histograms of reply lengths before and after 20 steps of GRPO with a length reward: exactly 20 words in "
              + ", ".join(f"{count} of 240 replies {name}" for name, count in exactly.items()))

# %%
def gold(replies):
    """The mean gold reward of replies to all requests, which no training here ever sees."""
    return np.mean(gold_reward(everybody["prompt"], replies))


for name, replies in said.items():
    print(f"{name}: gold {gold(replies):+.2f}")
    for i in (0, 60, 200):
        print(f"   {everybody['prompt'][i].removeprefix('user ').removesuffix(' bot'):45} {replies[i]}")

# %% [markdown]
# Twenty words it is, and ask what they say. Nobody paid for sense. You get what you pay for, exactly, which chapter 18
# will make a gallery of.
#
# ### A reward model
#
# The third is the judge of chapter 13: a GPT-2 that has learned from 4,000 comparisons which replies people like. (A
# good part of this page's computing time goes into teaching it.) Its method `reward` is a reward function like the
# other two. Since a judge can be fooled, we pay β = 0.15 for each nat of KL from the model that we began with, as in
# chapter 14: `kl_in="reward"` takes it from the reward, before the group is compared.

# %%
judge = RewardModel.from_policy(assistant)
for _ in train_reward_model(judge, preference_pairs(4000), RewardModelConfig(), seed=0):
    pass
judge.normalize_on(preference_pairs(500, seed=1000))

# %%
config = GRPOConfig(steps=30, kl_coef=0.15, kl_in="reward", **IN_THE_ASSISTANT_WORLD)
by_judge = grpo.train(assistant_base(), requests, [judge.reward], config, seed=0)

# %%
runs = {"a rule\n(right or wrong)": by_rule, "a length\n(minus words off)": by_length,
        "a reward model\n(standard deviations)": by_judge}
fig, axes = plt.subplots(1, 3, figsize=(10, 3.1))
for i, (ax, (name, run)) in enumerate(zip(axes, runs.items(), strict=True)):
    steps, values = series(run.history, "reward")
    ax.plot(steps, values, color=f"C{i}")
    ax.set(title=name, xlabel="step (128 answers)")
axes[0].set_ylabel("mean reward of the batch")
show(fig, alt="Mean reward over training for three rewards, one run each: " + "; ".join(
    "{} from {:.2f} to {:.2f}".format(name.replace("\n", " "), run.history[0]["reward"], run.history[-1]["reward"])
    for name, run in runs.items()))
liked = replies_of(by_judge.policy)
print(f"gold, which nobody was paid for: {gold(said['before']):+.2f} before, {gold(liked):+.2f} after")
for i in (0, 60, 200):
    print(f"   {everybody['prompt'][i].removeprefix('user ').removesuffix(' bot'):45} {liked[i]}")

# %% [markdown]
# One function, three curves whose scales have nothing to do with each other, and the division by the std is why none
# of them needed a learning rate of its own (the first is another, larger model; the other two share theirs). Only the
# third made the replies *better*, because only its reward has something to do with good.
#
# ## The price of leaving, once more
#
# The paper that introduced GRPO charges for leaving the reference in another place: not in the reward but in the
# *loss*, as a term β·k₃, and most libraries followed it. Chapter 14 used k₃ as a number to read off. What becomes of it
# when a gradient goes through it? This turns out to be the most slippery page of the whole subject, so we go step by
# step.
#
# ### Three estimates of one number
#
# How far is the policy π from the reference? On average over what it does,
#
# $$\mathrm{KL}(\pi \,\|\, \text{ref}) = \mathbb{E}_{a \sim \pi}\bigl[\log \pi(a) - \log \text{ref}(a)\bigr]$$
#
# We have samples. With d = log ref(a) − log π(a), chapter 14's three estimates from one sample (Schulman, 2020):
#
# $$k_1 = -d, \qquad k_2 = \tfrac12 d^2, \qquad k_3 = e^{d} - d - 1$$

# %%
def my_estimates(log_pi, log_ref):
    """Three estimates of KL(π ‖ ref) from actions drawn from π."""
    d = log_ref - log_pi
    return {"k1": -d, "k2": d**2 / 2, "k3": d.exp() - d - 1}



pi, ref = Normal(0.0, 1.0), Normal(0.7, 1.0)
a = pi.sample((20_000,))  # what the policy did
drawn = my_estimates(pi.log_prob(a), ref.log_prob(a))  # three times [20000]
u = torch.linspace(-2.2, 2.2, 200)  # log π − log ref of one action
nothing = torch.zeros_like(u)
exact = 0.7**2 / 2
fig, axes = plt.subplots(1, 2, figsize=(9.4, 3.6))
for i, name in enumerate(drawn):
    axes[0].plot(u, my_estimates(u, nothing)[name], color=f"C{i}", label=name)
    axes[1].hist(drawn[name].clamp(-2.4, 2.9), bins=np.linspace(-2.4, 2.9, 70), histtype="step", linewidth=2,
                 color=f"C{i}", label=f"{name}: mean {drawn[name].mean():.3f}, std {drawn[name].std():.2f}")
axes[1].axvline(exact, color="black", linestyle="--", linewidth=1, label=f"the KL: {exact:.3f}")
axes[0].set(title="What one action says", xlabel="log π(a) − log ref(a)", ylabel="estimate of the KL (nats)")
axes[1].set(title="20,000 actions of a policy", xlabel="estimate from one action (nats)", ylabel="actions",
            yscale="log", ylim=(1, 9e5))
for ax in axes:
    ax.legend(fontsize=9)
show(fig, alt="Left: k1 is a straight line through 0; k2 a parabola; k3 steeper than the parabola on the left and "
              "flatter on the right. Right: their histograms over samples. " + "; ".join(
    f"{name} mean {values.mean():.3f}, std {values.std():.2f}" for name, values in drawn.items())
    + f"; the KL is {exact:.3f}.")

# %% [markdown]
# k₁ is right on average and all over the place, even below 0, where no KL can be. k₂ is never negative, but a little
# off. k₃ is both right on average and never negative: it is k₁ plus eᵈ − 1, whose mean is 0 and which goes up where k₁
# goes down. How much off, and how noisy? For two bell curves a distance μ apart we can integrate, and check by drawing.

# %%
def bias_and_spread(k, weight, kl):
    """(mean − KL) / KL and std / KL."""
    mean = (weight * k).sum()
    return ((mean - kl) / kl).item(), ((weight * (k - mean) ** 2).sum().sqrt() / kl).item()


x = torch.linspace(-13, 13, 100_001, dtype=torch.float64)  # so fine a grid that a sum is an integral
for mu in (0.1, 1.0, 2.0):
    pi, ref, kl = Normal(0.0, 1.0), Normal(mu, 1.0), mu**2 / 2
    a = pi.sample((1_000_000,)).double()
    weight = pi.log_prob(x).exp() / pi.log_prob(x).exp().sum()
    print(f"μ = {mu}, KL = {kl:.3f}      bias / KL            std / KL")
    for name in drawn:
        bias, spread = bias_and_spread(my_estimates(pi.log_prob(x), ref.log_prob(x))[name], weight, kl)
        seen, scatter = bias_and_spread(my_estimates(pi.log_prob(a), ref.log_prob(a))[name], 1 / len(a), kl)
        print(f"   {name}      exact {bias:+7.4f} drawn {seen:+7.4f}      exact {spread:5.2f} drawn {scatter:5.2f}")

# %% [markdown]
# Near the reference k₃ is the best to *read off*: unbiased, never negative, and far less noisy than k₁; `rlcore`
# reports it as `kl`, per *token* (chapter 14's `objective/kl` is k₁ per *reply*, so it is many times as large). Far
# away the exponential makes it the noisiest of the three (last rows), with so long a tail that a million draws have
# not seen all of it. From here it is a small step to writing `loss + β * k3.mean()` and letting autograd do the rest.
# Everybody took it. Let us see what it does.
#
# ### A right number with a wrong slope
#
# We want to go down the slope of the KL. The KL is an average over the policy's own dice, so moving θ changes it in two
# ways: it changes the *dice*, and it changes the *number* written on each side. For any k, by the product rule,
#
# $$\nabla \sum_a \pi(a)\, k(a) \;=\; \underbrace{\mathbb{E}\bigl[k\, \nabla \log \pi\bigr]}_{\text{through the
# dice}} \;+\; \underbrace{\mathbb{E}\bigl[\nabla k\bigr]}_{\text{through the number}}$$
#
# The first part is a policy gradient: it is what you get when you hand −k to the policy as a *reward*. The second is
# what autograd sees when you put k into the *loss*: the actions were drawn, they are data, the dice do not move. Put k
# in one place, and you get one half. A policy of six actions is small enough to compute both exactly.

# %%
def halves(theta, log_ref):
    """For k1, k2, k3: the gradient through the dice, and the one through the number; and ∇KL(π ‖ ref). Exact."""
    log_pi = theta.log_softmax(-1)  # [6]
    pi = log_pi.detach().exp()  # the dice, as data

    def slope(number):
        return torch.autograd.grad(number, theta, retain_graph=True)[0]

    truth = slope((log_pi.exp() * (log_pi - log_ref)).sum())
    return truth, {name: (slope((pi * k.detach() * log_pi).sum()), slope((pi * k).sum()))
                   for name, k in my_estimates(log_pi, log_ref).items()}


dice = torch.Generator().manual_seed(4)
log_ref = torch.randn(6, generator=dice, dtype=torch.float64).log_softmax(-1)
theta = (log_ref + torch.randn(6, generator=dice, dtype=torch.float64)).requires_grad_()
truth, parts = halves(theta, log_ref)

fig, axes = plt.subplots(2, 3, figsize=(9.6, 4.6), sharex=True, sharey=True)
for row, place in enumerate(("as a reward\n(through the dice)", "in the loss\n(through the number)")):
    for column, name in enumerate(parts):
        ax = axes[row, column]
        ax.bar(range(6), parts[name][row], color=f"C{column}", alpha=0.75)
        ax.step(np.arange(-0.5, 6), [*truth, truth[-1]], where="post", color="black", linewidth=1.5,
                label="∇KL(π ‖ ref)")
        ax.axhline(0, color="black", linewidth=0.6)
        if row == 0:
            ax.set_title(name)
        if column == 0:
            ax.set_ylabel(place + "\nslope of its logit")
axes[1, 1].set_xlabel("action")
axes[0, 0].legend(fontsize=8, loc="upper left")
show(fig, alt="Six bars for each of k1, k2, k3, as a reward and in the loss, and the outline of the KL's gradient. As "
              "a reward only k1 fills the outline. In the loss k1 is 0 everywhere, k2 fills it, k3 roughly.")

# %% [markdown]
# The black outline is what we want. **In the loss, k₁ does nothing at all**: its slope is ∇ log π, whose mean is 0
# (chapter 07's lemma), whatever the reference is. k₂, the biased one, has exactly the right slope. And k₃, unbiased as
# a number, has nearly the right one, but it is another's: that of KL(ref ‖ π), the KL *the other way round*. As a
# reward, only k₁ fills the outline. That is why `GRPOConfig(kl_in="reward")` uses k₁ whatever you ask for.

# %% tags=["nbval-check-output"]
other_way = torch.autograd.grad((log_ref.exp() * (log_ref - theta.log_softmax(-1))).sum(), theta)[0]  # ∇KL(ref ‖ π)
for name, mine in my_estimates(theta.log_softmax(-1), log_ref).items():
    torch.testing.assert_close(mine, kl_estimate(theta.log_softmax(-1), log_ref, name))
torch.testing.assert_close(parts["k1"][0], truth)  # k1 as a reward
torch.testing.assert_close(parts["k1"][1], 0 * truth)  # k1 in the loss
torch.testing.assert_close(parts["k2"][1], truth)  # k2 in the loss
torch.testing.assert_close(parts["k3"][1], other_way)  # k3 in the loss
torch.testing.assert_close(sum(parts["k3"]), truth)  # k3's two halves together
print("k1 as a reward: ∇KL(π ‖ ref).  In the loss: k1 0, k2 ∇KL(π ‖ ref), k3 ∇KL(ref ‖ π).")

# %% [markdown]
# That was one policy and one reference. How much of the wanted pull is there in general, and does distance matter?
# Forty random references, and a policy that moves away from each of them.

# %%
def share_of_pull(distance, seed):
    """The KL, and the part of each gradient that points along ∇KL, as a share of it: `[place, k]`."""
    dice = torch.Generator().manual_seed(seed)
    log_ref = torch.randn(6, generator=dice, dtype=torch.float64).log_softmax(-1)
    theta = (log_ref + distance * torch.randn(6, generator=dice, dtype=torch.float64)).requires_grad_()
    truth, parts = halves(theta, log_ref)
    kl = (theta.softmax(-1) * (theta.log_softmax(-1) - log_ref)).sum().item()
    return kl, [[(parts[name][place] @ truth / (truth @ truth)).item() for name in parts] for place in (0, 1)]


DISTANCES = np.geomspace(0.05, 2.5, 12)
found = [[share_of_pull(distance, seed) for seed in range(40)] for distance in DISTANCES]
how_far = [np.median([kl for kl, _ in row]) for row in found]
share = np.array([[part for _, part in row] for row in found])  # [distances, 40, place, k]

fig, axes = plt.subplots(1, 2, figsize=(9.4, 3.6), sharey=True)
for place, (ax, title) in enumerate(zip(axes, ("as a reward", "in the loss"), strict=True)):
    for i, name in enumerate(parts):
        low, middle, high = np.quantile(share[:, :, place, i], (0.1, 0.5, 0.9), axis=1)
        ax.plot(how_far, middle, color=f"C{i}", label=name)
        ax.fill_between(how_far, low, high, color=f"C{i}", alpha=0.15, linewidth=0)
    ax.set(title=title, xlabel="KL(π ‖ ref) (nats)", xscale="log", ylim=(-1.3, 2.6))
    ax.legend(fontsize=9, loc="upper left", ncols=3)
axes[0].set_ylabel("pull along ∇KL\n(1: as wanted)")
lowest, highest = np.quantile(share[-1, :, 0, 2], 0.1), np.quantile(share[-1, :, 1, 2], 0.9)  # of k3, farthest away
fig.supxlabel("median and middle 80 % of 40 random policies of six actions, exact\n(k3's bands go on outside the "
              f"frame: to {lowest:.1f} on the left, to {highest:.1f} on the right)", fontsize=9)
show(fig, alt="Share of the wanted pull against the KL. As a reward k1 has 1 at every distance, k2 and k3 scatter "
              f"about 0, k3's middle 80 % down to {lowest:.1f}. In the loss k1 has 0, k2 has 1, and k3 1 nearby; "
              f"at a KL of {how_far[-1]:.2f} k3's middle 80 % goes from {np.quantile(share[-1, :, 1, 2], 0.1):.1f} to "
              f"{highest:.1f}.")

# %% [markdown]
# Close to the reference, k₃ in the loss is as good as the real thing. Further away it may pull too little or far too
# much. The reason is visible in how hard each pulls on the token that was drawn. In the loss, that is the factor in
# front of ∇ log π(a):

# %%
fig, ax = plt.subplots(figsize=(7.2, 3.4))
u = torch.linspace(-2, 4, 200)
for i, (push, label) in enumerate(((torch.ones_like(u), "k1: 1, wherever the reference is"),
                                   (u, "k2: log π − log ref (and k1 as a reward)"),
                                   (1 - (-u).exp(), "k3: 1 − ref/π"))):
    ax.plot(u, push, color=f"C{i}", label=label)
ax.axhline(0, color="black", linewidth=0.6)
ax.axvline(0, color="black", linewidth=0.6)
ax.annotate("likelier than for\nthe reference →", (0.1, -4.6), fontsize=9)
ax.annotate("← less likely", (-0.1, 3.6), ha="right", fontsize=9)
ax.set(title="How hard a drawn token is pulled back", xlabel="log π(a) − log ref(a)", ylabel="push against log π(a)",
       ylim=(-5, 4.2))
ax.legend(fontsize=9, loc="lower right", bbox_to_anchor=(1, 0.1))
show(fig, alt="The push on a drawn token against log π − log ref. k1: constant 1. k2: a straight line through 0. k3: "
              "rises to 1 and stays there on the right, and falls exponentially on the left.")

# %% [markdown]
# Reinforcement learning makes what pays likelier: it lives on the right-hand side of this picture. There k₃ tires:
# however much likelier a token has become, it never pulls harder than 1. On the left it may pull without bound. (It is
# what the other KL asks for: KL(ref ‖ π) minds above all that π should drop nothing that the reference would say.)
#
# One more thing is in the legend: *k₂ in the loss* and *k₁ as a reward* put the same factor in front of ∇ log π(a). For
# a single action they are the same method. For a text there is a difference left: a reward blames every token for the
# whole text's KL (what came before averages out, what follows does not), a loss each token for its own.
#
# > **Pitfall, from real life.** In January 2025 the authors of open-instruct tried k₁, k₂ and k₃ in GRPO's loss and
# > posted the curves: "kl1 looks wrong (larger beta induces larger KL...???)". Somebody had the answer ready: in the
# > loss that estimator would "completely ignore the ref_logprobs" ([open-instruct
# > #534](https://github.com/allenai/open-instruct/issues/534),
# > [#535](https://github.com/allenai/open-instruct/pull/535)). A few days later a third added there that k₃'s slope is
# > not the KL's either. Tang and Munos (2025) collected such cases, in libraries and in the pseudocode of well-known
# > papers. The repair is to put the dice back: multiply k₃ by the ratio ρ = π/π_old, which is 1 and whose slope is not
# > 0. DeepSeek-V3.2 does that. For TRL it was proposed in December 2025, as an option
# > ([#4638](https://github.com/huggingface/trl/pull/4638)), and it is the default since 2026
# > ([#6503](https://github.com/huggingface/trl/pull/6503)). Exercise 16.5 is that repair.

# %% [markdown]
# ### Does it matter?
#
# Six actions are not a language model. Here are 50 runs with the reward model of above (a base and a judge per seed,
# five seeds; `benchmarks/grpo_kl.py`, some seconds each): the price in the reward, or in the loss as k₁, k₂, k₃, at
# several β. Each ends somewhere in this plane: how far it went, and what the replies are truly worth.

# %%
RESULTS = Path(rlcore.__file__).parents[1] / "benchmarks/results"
kl_sweep = json.loads((RESULTS / "grpo_kl.json").read_text())


def ends(key, penalty, beta, divide=True):
    """Where the five seeds of a condition ended, in the order of the seeds."""
    runs = [run for run in kl_sweep["runs"] if (run["penalty"], run["beta"], run["divide"]) == (penalty, beta, divide)]
    return np.array([run[key] for run in sorted(runs, key=lambda run: run["seed"])])


KINDS = {  # (the price, divided by the std?): label, colour, marker, β
    ("reward", True): ("k1 as a reward", "C0", "o", (0.05, 0.15, 0.5)),
    ("k3", True): ("k3 in the loss", "C2", "s", (0.15, 0.5)),
    ("reward", False): ("k1 as a reward, nothing divided by the std (β 0.15)", "C5", "<", (0.15,)),
    ("k2", True): ("k2 in the loss", "C1", "D", (0.15,)),
    ("k2", False): ("k2 in the loss, nothing divided by the std (β 0.15)", "C3", "v", (0.15,)),
    ("k1", True): ("k1 in the loss", "C4", "^", (0.15,)),
    ("none", True): ("no price", "black", "x", (0.0,)),
}
fig, ax = plt.subplots(figsize=(8.6, 4.4))
words = []
for (penalty, divide), (label, colour, marker, betas) in KINDS.items():
    middle = []
    for beta in betas:
        kl, worth = (ends(key, penalty, beta, divide) for key in ("kl", "gold"))
        ax.plot(kl, worth, marker, color=colour, markersize=4, alpha=0.35)
        middle.append((kl.mean(), worth.mean()))
        if beta and divide:
            ax.annotate(f"β {beta}", middle[-1], xytext=(0, 11 if penalty in ("k2", "reward") else -17), ha="center",
                        textcoords="offset points", fontsize=8, color=colour,
                        bbox={"facecolor": "white", "alpha": 0.75, "linewidth": 0, "pad": 0.5})
        words.append(f"{label}{f', β {beta}' if divide else ''}: KL {kl.mean():.1f}, gold {worth.mean():.2f}")
    ax.plot(*zip(*sorted(middle), strict=True), marker + "-", color=colour, markersize=9, label=label)
ax.set(title="How far it went, and what it is worth", xlabel="KL to the reference (nats per reply)", xscale="log",
       ylabel="gold (base: about 0.1)")
ax.set_xticks([0.5, 1, 2, 5, 10, 20], ["0.5", "1", "2", "5", "10", "20"])
ax.minorticks_off()
ax.legend(fontsize=9, loc="lower left")
show(fig, alt="Gold against KL at the end of 30 steps, means of five seeds (large) and each seed (small). "
              + "; ".join(words))

# %%
def paired(a, b):
    """The mean of a − b over the seeds, and its standard error."""
    difference = np.asarray(a) - np.asarray(b)
    return f"{difference.mean():+.2f} ± {difference.std(ddof=1) / len(difference) ** 0.5:.2f}"


print("at β = 0.15, seed by seed, against k1 as a reward:")
for (penalty, divide), (label, *_) in KINDS.items():
    if penalty not in ("reward", "none"):
        print(f"   {label:52}", *(f"{key} {paired(ends(key, penalty, 0.15, divide), ends(key, 'reward', 0.15))}"
                                for key in ("gold", "kl")), sep="   ")
gaps = [f"{key} {paired(ends(key, 'k2', 0.15, False), ends(key, 'reward', 0.15, False))}" for key in ("gold", "kl")]
print("with nothing divided on either side, k2 in the loss against k1 as a reward:", *gaps, sep="   ")
print("at about the same KL:")
for one_side, other in (("k3", 0.15), ("reward", 0.05)), (("k2", 0.15), ("reward", 0.05)), (("k3", 0.15), ("k2", 0.15)):
    gaps = [f"{key} {paired(ends(key, *one_side), ends(key, *other))}" for key in ("gold", "kl")]
    print(f"   {one_side[0]}, β {one_side[1]}, against {other[0]:6}, β {other[1]}:   ", *gaps, sep="   ")
for claim, more in {
        "k1 in the loss ends further away than no price": ends("kl", "k1", 0.15) - ends("kl", "none", 0.0),
        "with nothing divided, k2 in the loss ends closer than k1 as a reward":
            ends("kl", "reward", 0.15, False) - ends("kl", "k2", 0.15, False),
        "k3 in the loss brings less gold than k2 there": ends("gold", "k2", 0.15) - ends("gold", "k3", 0.15)}.items():
    print(f"{claim}: on {(more > 0).sum()} of {len(more)} seeds")

# %% [markdown]
# Take it in three steps.
#
# **k₁ in the loss** is not a price at all: it ends *further* away than no price, on each of the five seeds. On the
# answers that the policy has just written its slope is 0 on average, so it is noise. But each batch is used for four
# steps, and from the second on the answers are an older policy's. Then the mean of ∇ log π is −∇KL(π_old ‖ π), and
# whoever goes down this loss goes *up* that KL: away from what was just written. The people in the box saw that.
#
# **At the same β**, k₃ in the loss ends further away than the price in the reward. It would be easy to stop here and
# blame k₃. But look at k₂, which has the right slope token by token: it ends at least as far away. So the distance is
# not the estimator's doing. It is the std's. GRPO divides the *reward* by the group's std, and what is in the reward,
# price and all, is divided with it. (Even where all eight rewards are equal: then the price is all there is, and the
# std makes it a full-sized advantage, for almost any β. `frac_reward_zero_std` looks at the rewards *before* the price
# comes off, and calls that group dead although it is not.) What stands in the loss is not divided. As the answers
# become alike and the std falls, the reward's part grows and the price does not: in the loss, β means less and less.
# Leave the division out of both (▼ and ◀), and k₂ no longer goes further than the price in the reward: it stays
# closer, on each seed.
#
# **At about the same KL** the comparison is fair. Against the price in the reward, k₃ seems to bring less gold, by less
# than twice the standard error: five seeds do not decide it, nor whether k₂ brings more. Against k₂ it is decided: same
# place, same β, about the same KL, less gold on each of the five. So a part of the difference *is* the estimator: some
# of k₃'s nats are spent on keeping what the reference would say, which is the other KL's concern and not ours. (One
# small world, one kind of judge. That the slopes differ is mathematics; what it costs, is not.)
#
# > **Change this number and run again.** Train with k₁ in the loss yourself: in a new cell,
# > `grpo.train(assistant_base(), requests, [judge.reward], GRPOConfig(steps=30, kl_coef=0.5, kl_kind="k1",
# > **IN_THE_ASSISTANT_WORLD))`, and read what `replies_of` its policy says. Then `kl_kind="k2"`.

# %% [markdown]
# ## Dead groups
#
# Where all G answers are worth the same, nothing is learned. For a right-or-wrong reward and a question that is
# answered right with chance p, that happens with probability pᴳ + (1 − p)ᴳ: all right, or all wrong. Chapter 12
# checked it for groups of eight; the question now is which G to choose. We know p exactly for each of the 500 held-out
# problems. Ask each of them 16 times, once, and cut the 16 into groups of 2, 4, 8 or 16. No training.

# %%
rewards, _ = ask(base, held_out, 16, seed=2)  # [500, 16]
edges = np.linspace(0, 1, 11)
place = np.digitize(p, edges) - 1  # [500]  the tenth that each problem's chance is in
SIZES = (2, 4, 8, 16)

fig, axes = plt.subplots(1, 2, figsize=(9.6, 3.8))
line = np.linspace(0, 1, 201)
gaps = []
for i, G in enumerate(SIZES):
    groups = rewards.view(500, -1, G)  # [500, 16 / G, G]
    dead = (groups == groups[..., :1]).all(-1).float().mean(-1).numpy()  # [500]  share of each problem's groups
    axes[0].plot(line, line**G + (1 - line) ** G, color=f"C{i}", label=f"G = {G}")
    for tenth in range(10):
        inside = place == tenth
        if inside.sum() >= 10:
            mean, error = dead[inside].mean(), 2 * dead[inside].std(ddof=1) / inside.sum() ** 0.5
            axes[0].errorbar(p[inside].mean(), mean, error, fmt="o", color=f"C{i}", markersize=4, capsize=2)
            gaps.append(mean - (p[inside] ** G + (1 - p[inside]) ** G).mean().item())
axes[0].set(title="A group is dead", xlabel="chance p of a right answer", ylabel="share of groups", ylim=(-0.03, 1.03))
axes[0].legend(fontsize=9, loc="upper center")
for i, chance in enumerate((0.01, 0.05, 0.2, 0.5)):
    live = [128 // G * (1 - chance**G - (1 - chance) ** G) for G in SIZES]
    axes[1].plot(range(4), live, "o-", color=f"C{i + 4}", label=f"p = {chance}")
    axes[1].annotate(f"p = {chance}", (0, live[0]), xytext=(-8, 0), textcoords="offset points", ha="right",
                     va="center", fontsize=9, color=f"C{i + 4}")
axes[1].set_xticks(range(4), [f"{128 // G} × {G}" for G in SIZES])
axes[1].set(title="Live groups among 128 answers", xlabel="questions × answers to each", ylabel="groups, expected",
            xlim=(-0.9, 3.2))
show(fig, alt="Left: the share of dead groups against p, for groups of 2, 4, 8 and 16: U-shaped, lower for larger "
              f"groups; the measured points lie on them (mean absolute gap {np.abs(gaps).mean():.3f}). Right: how many "
              "of the groups in 128 answers are alive, for four chances p.")

# %% [markdown]
# The points are where they should be. On the left, larger groups look better everywhere. But they are not free: on the
# right, 128 answers are all we can afford. For a question that is hardly ever answered right, the number of groups that
# come to life is nearly the same however we cut them: a live group needs a right answer, there will be about 128·p of
# those, and more answers per question only means fewer questions. For questions of middling difficulty small groups win
# by far, since two answers that differ are already a comparison. (A noisier one. What a large group buys is a better
# baseline.)
#
# A dead group is not an error, it is information about your data. All wrong: too hard for this policy, now. All right:
# done. The library counts them (`frac_reward_zero_std`, TRL's name), leaves them out of the computation, and warns
# when there is nothing else for some steps. Chapter 17 has a cure that asks other questions instead.
#
# ## Against PPO, at equal tokens
#
# You will read that GRPO is lighter than PPO and steadier. Let us see. Everybody writes 128 answers a step, and has the
# same base models, the same learning rate and the same four passes over each batch (on a base model that is not among
# the five, four were better than one for both). PPO has a critic and can ask 128 *different* questions; GRPO must spend
# its 128 answers on groups. So there are three differences at once: the critic, the number of questions, and what an
# answer is compared with. To tell them apart, PPO runs three times more, with a critic that has no opinion: it says 0
# to everything (and λ is 1, so that every token gets what its answer got). What an answer is compared with is then the
# mean and the std of the whole batch. One of the three asks 128 questions; the others ask as GRPO does, 64 twice each
# and 16 eight times each. (`benchmarks/grpo_vs_ppo.py`, five seeds.)

# %%
race = json.loads((RESULTS / "grpo_vs_ppo.json").read_text())


def of(learner, key):
    """One row per seed, in the order of the seeds."""
    runs = [run for run in race["runs"] if run["learner"] == learner]
    return np.array([run[key] for run in sorted(runs, key=lambda run: run["seed"])])


LEARNERS = {"PPO": "PPO: 128 × 1, a critic", "PPO, no critic": "PPO: 128 × 1, no critic",
            "PPO, no critic, 64 × 2": "PPO: 64 × 2, no critic", "PPO, no critic, 16 × 8": "PPO: 16 × 8, no critic",
            **{f"GRPO, groups of {G}": f"GRPO: {128 // G} × {G}" for G in SIZES}}
IN_TIME = ("PPO", "PPO, no critic", "GRPO, groups of 2", "GRPO, groups of 8")  # as many as one can tell apart
fig, axes = plt.subplots(1, 3, figsize=(11, 4.2), width_ratios=(3, 2.2, 1.8))
for i, (name, label) in enumerate(LEARNERS.items()):
    colour, right = f"C{i}", of(name, "right")  # [seeds, looks]
    if name in IN_TIME:
        style = "--" if "no critic" in name else "-"
        band(axes[0], race["every"] * np.arange(right.shape[1]), right, label, kind="mean", color=colour,
             linestyle=style)
    axes[1].plot(right[:, -1], [i] * len(right), "o", color=colour, markersize=4, alpha=0.5)
    axes[1].plot(right[:, -1].mean(), i, "|", color=colour, markersize=16, markeredgewidth=3)
    cost = 1000 * of(name, "cpu_seconds") / race["grpo"]["steps"]
    axes[2].barh(i, np.median(cost), color=colour, alpha=0.75)
    axes[2].annotate(f"{np.median(cost):.0f} ms", (np.median(cost), i), xytext=(4, 0), textcoords="offset points",
                     va="center", fontsize=9)
axes[0].set(title="Four of them at equal answers …", xlabel="step (128 answers)\nmean ± standard error of 5 seeds",
            ylabel="chance of a right answer, held out")
axes[0].legend(axes[0].get_lines(), [LEARNERS[name] for name in IN_TIME], fontsize=9, loc="lower right")
axes[1].set(title="… all at the end …", xlabel="chance of a right answer\neach of 5 seeds, and their mean")
axes[1].set_yticks(range(len(LEARNERS)), list(LEARNERS.values()), fontsize=9)
axes[2].set(title="… and the price", xlabel="CPU time of a step (ms)\nmedian of 5 seeds", yticks=[])
axes[2].margins(x=0.3)
for ax in axes[1:]:
    ax.set_ylim(len(LEARNERS) - 0.5, -0.5)
    ax.grid(False, axis="y")
show(fig, alt="Held-out chance of a right answer after 30 steps, and CPU time of a step: " + "; ".join(
    f"{label} {of(name, 'right')[:, -1].mean():.3f}, "
    f"{1000 * np.median(of(name, 'cpu_seconds')) / race['grpo']['steps']:.0f} ms" for name, label in LEARNERS.items()))

# %%
def largest_fall(right):
    """How far each run ever fell below what it had reached, `[seeds]`."""
    return (np.maximum.accumulate(right, 1) - right).max(1)


print(f"{'':32} at the end    std over seeds   largest fall   tokens")
for name, label in LEARNERS.items():
    right = of(name, "right")
    print(f"{label:32} {right[:, -1].mean():10.3f} {right[:, -1].std(ddof=1):14.3f} {largest_fall(right).mean():14.3f} "
          f"{of(name, 'tokens').mean():10.0f}")
end = {name: of(name, "right")[:, -1] for name in LEARNERS}
print("\nseed by seed:")
for a, b in (("PPO", "GRPO, groups of 8"), ("PPO", "GRPO, groups of 2"), ("PPO", "PPO, no critic"),
             ("PPO, no critic", "PPO, no critic, 64 × 2"), ("PPO, no critic, 64 × 2", "GRPO, groups of 2"),
             ("PPO, no critic", "PPO, no critic, 16 × 8"), ("PPO, no critic, 16 × 8", "GRPO, groups of 8"),
             ("GRPO, groups of 2", "GRPO, groups of 4")):
    print(f"   {a} − {b}: {paired(1000 * end[a], 1000 * end[b])} thousandths, ahead on {(end[a] > end[b]).sum()} of 5")
print("what the critic explains of the returns, in the last five steps:",
      "  ".join(f"{value:.2f}" for value in of("PPO", "explained_variance")[:, -1]))
seconds = {name: np.median(of(name, "cpu_seconds")) for name in LEARNERS}
print(f"the critic's share of PPO's time: {1 - seconds['PPO, no critic'] / seconds['PPO']:.0%}; in the time of a step "
      f"of PPO, GRPO (16 × 8) takes {seconds['PPO'] / seconds['GRPO, groups of 8']:.1f}")

# %% [markdown]
# At equal answers **PPO wins** on addition, against every group size and on every seed. So much for "always better".
#
# But look at the dashed line. **The critic has hardly a part in it**: without one, PPO is almost as good. It explains
# next to nothing of the returns. Knowing which sums are hard is a task of its own, and 120 small steps on *right* and
# *wrong* are not enough to learn it; the critic is as large as the policy and knows no more about addition than the
# policy did.
#
# And the comparison? It depends on the group. Give PPO without its critic the 16 questions, eight times each, and its
# lead is gone: eight answers are a fair baseline, and what is left is that **fewer different questions teach less**.
# Give it 64 questions, twice each, and it stays ahead of GRPO on the same 64, on every seed: a group of two has one
# other answer for a baseline, and is dead whenever the two agree, while the batch's mean always says something. So
# small groups pay with the comparison and large ones with the questions; that is why 64 × 2 is no better than 32 × 4.
#
# Now the right-hand panel. A step of PPO costs several of GRPO's, so at equal *computing time* GRPO takes several steps
# for each of PPO's. A large part of PPO's bill is the critic that did nothing. The rest is the 128 questions: they
# share nothing, while answers to one question share it, and often their first digits (asked 16 × 8, PPO without a
# critic costs what GRPO does). That is a property of this library and of short answers, as the next picture says.
#
# Does PPO always win at equal answers? The assistant of chapter 14 was trained with as many, on the same bases and
# judges as the GRPO of the KL section:

# %%
machine = [run for run in json.loads((RESULTS / "rlhf_frontier.json").read_text())["runs"]
           if (run["reward_model"], run["beta"]) == ("good", 0.15)]
machine = sorted(machine, key=lambda run: run["seed"])
print(f"{len(set(requests['prompt']))} different requests; GRPO (16 × 8) − PPO (128 × 1, a critic), both at β = 0.15 "
      "in the reward:")
for key in ("gold", "kl"):
    print(f"   {key:4}", paired(ends(key, "reward", 0.15), [run[key][-1] for run in machine]))
print(f"   CPU seconds of 30 steps: {np.median(ends('cpu_seconds', 'reward', 0.15)):.0f} and "
      f"{np.median([run['cpu_seconds'] for run in machine]):.0f}")

# %% [markdown]
# There the two cannot be told apart in gold, and GRPO takes about half the time. It fits the explanation above (though
# one world is no proof): with so few requests, 128 × 1 asks each of them several times as well, so PPO has no more
# *different* questions to gain from.
#
# And "steadier"? The runs of both scatter over the seeds about as much. Those that fall back now and then are GRPO's,
# most with the largest groups: if anything, here PPO is the steadier one. What remains of the folklore is its honest
# part. GRPO has a model less to train, to tune and to keep in memory (a critic with its optimiser's two moments takes
# as much as the policy with its own). And where a critic does learn? Chapter 14's did, one could see it fall at the
# word, and it bought a little gold for about as much computing again. Where episodes are long and rewards come in the
# middle of them, it has its place: that was chapter 08.
#
# > **Change this number and run again.** Live, and on one seed: `GRPOConfig(steps=30, epochs=4, group_size=4,
# > prompts_per_step=32)` against `epochs=1`. What do the three further passes over each batch bring, and what do they
# > cost?

# %%
speed = json.loads((RESULTS / "grpo_vs_trl.json").read_text())
late = speed["training"]["last third"]["accuracy"]
fig, ax = plt.subplots(figsize=(7.6, 2.4))
PHASES = ("sample", "forward", "backward", "optimiser", "rest")
for row, name in enumerate(("TRL", "rlcore")):
    left = 0.0
    for i, phase in enumerate(PHASES):
        width = speed["timing"]["contestants"][name]["phases"][phase]
        ax.barh(row, width, left=left, color=f"C{i}", label=phase if row == 0 else None)
        left += width
    ax.annotate(f"accuracy {late[name]['mean']:.3f} ± {late[name]['sd']:.3f}", (left, row), xytext=(5, 0),
                textcoords="offset points", va="center", fontsize=9)
ax.set_yticks((0, 1), ("TRL", "rlcore"))
ax.set(title="One step of GRPO on addition, 16 × 8", xlabel="CPU time (ms, medians of 100 steps)", xlim=(0, 265))
ax.invert_yaxis()
ax.legend(fontsize=8, ncols=1, loc="lower right", bbox_to_anchor=(1.0, 0.02))
ax.grid(False)
ratio = speed["timing"]["speedup"]["rlcore"]["median"]
show(fig, alt=f"CPU time of a GRPO step by phase, TRL and rlcore; rlcore is {ratio:.1f} times as fast. Accuracy in the "
              "last third of training (mean ± standard deviation of five seeds): " + ", ".join(
    f"{name} {entry['mean']:.3f} ± {entry['sd']:.3f}" for name, entry in late.items()))
print(f"{speed['timing']['contestants']['TRL']['total']['median']:.0f} against "
      f"{speed['timing']['contestants']['rlcore']['total']['median']:.0f} ms, {ratio:.1f} times, at the same accuracy")
print(f"the same batch, the same loss: they differ by {speed['agreement']['float32']['loss, on policy']:.0e}")

# %% [markdown]
# That is `benchmarks/grpo_vs_trl.py`: the same algorithm on the same batches, once
# in Hugging Face's TRL and once here. The difference is nothing but shared prefixes: eight answers to one question
# share the question, and often their first digits, and each distinct prefix is computed once. So a group is a cheap
# thing to compute, and not only a baseline. (On long texts that soon go different ways there is less to share, and the
# advantage melts to nothing.)
#
# ## Where it breaks
#
# Three requests that the library refuses, and one that it cannot see.

# %%
def attempt(request):
    """Try it, and say what came of it."""
    try:
        request()
        print("accepted")
    except ValueError as error:
        print("refused: ", error)


attempt(lambda: GRPOConfig(group_size=1))
attempt(lambda: GRPOConfig(kl_coef=-0.04))
attempt(lambda: GRPO(addition_base(), questions, GRPOConfig(group_size=16)))  # a world that asks 8 times
attempt(lambda: group_advantages(rewards.T.reshape(-1, 16)))  # [16, 500] cut into rows of 16

# %% [markdown]
# The third has built its agent by hand, with a world that asks each question 8 times and a config that says 16. 16
# divides 128, so without the error the answers to *two* questions would make one "group", and whoever got the easy
# question would be praised for it. Everything would run, and the loss would look like a loss.
#
# The fourth does exactly that, and nobody can see it: 500 questions answered 16 times, but turned round, so that each
# row holds one answer to each of 16 questions. It came about in R1-V, an early open attempt at R1 for images: with two
# prompts per batch the completions lay in the order P1 P2 P1 P2 …, and `rewards.view(-1, num_generations)` cut that
# into groups of both ([R1-V #67](https://github.com/StarsfieldAI/R1-V/issues/67)). A `view` does not know what it is
# looking at. In exercise 16.1 you will write it the right way round.

# %% [markdown]
# ## Check yourself
#
# <details><summary>Eight answers, one right. What is its advantage, and what is that of the seven others?</summary>
#
# The mean is 1/8. The deviations are 7/8 and −1/8, the sample variance (49 + 7)/64/7 = 1/8, the std 0.354. So +2.47 for
# the right one, −0.35 for each of the others. They add up to 0, as they must.
# </details>
#
# <details><summary>A colleague says that GRPO needs no reference model. Is that so?</summary>
#
# It needs no *critic*. The reference is needed wherever β > 0, and that has nothing to do with the group. With a rule
# as the reward many leave it out; with a reward model you have seen what happens. </details>
#
# <details><summary>You add 0.5 to the reward of every answer that says "please", and all eight say it. What
# changes?</summary>
#
# Nothing: the mean takes it out. A reward teaches only where answers to the same question differ in it.
# </details>
#
# <details><summary>Your run logs a KL (k3) of 0.001 for a thousand steps, with β = 0.04 and one update per batch. Is
# the price doing anything?</summary>
#
# Hardly, nor has it to: near the reference every KL is tiny and so is its pull. If the policy is learning nothing
# either, look at the dead groups and at the learning rate first.
# </details>
#
# <details><summary>Somebody replaces k₃ in the loss by k₁, "since it is unbiased too", and doubles β because it seems
# too weak. What will they see?</summary>
#
# k₁'s slope in the loss is ∇ log π, whichever reference you take. On the answers that the policy has just written it is
# 0 on average, so it is noise; from the second minibatch on they are no longer its own, and the term pushes it away
# from what it said. Doubling β doubles the noise and the push. </details>
#
# <details><summary>All questions of your data set have p near 0.001, and you can afford 128 answers a step. What group
# size helps?</summary>
#
# None: there will be a right answer in about one step of eight, however you cut it. You need easier questions, partial
# credit, some supervised fine-tuning, or many more answers.
# </details>

# %% [markdown]
# ## You can now …
#
# … replace a critic by asking again; train on anything that gives a number, with one call; say which half of a KL's
# slope a term in the loss has and which a term in the reward; and count what a group size costs. Your vocabulary has a
# function more:
#
# ```python
# group_advantages(rewards)    # [..., G] -> [..., G]
# ```
#
# GRPO is from 2024, and since then people have found things to repair in nearly every term of its loss: the division
# by the std, the mean over an answer, the clip, the dead groups, the ratio. Each repair is a line, and chapter 17
# measures them.
#
# The exercises are in `work/16_grpo.ipynb` (`rlcourse start 16` puts it there, if it is missing).
#
# **Further reading**
#
# - Z. Shao and others, *DeepSeekMath: Pushing the Limits of Mathematical Reasoning in Open Language Models*, 2024,
#   [arXiv:2402.03300](https://arxiv.org/abs/2402.03300), section 4: GRPO, with k₃ in the loss.
# - DeepSeek-AI, *DeepSeek-R1: Incentivizing Reasoning Capability in LLMs via Reinforcement Learning*, 2025,
#   [arXiv:2501.12948](https://arxiv.org/abs/2501.12948): what it did with rules as rewards.
# - J. Schulman, *Approximating KL Divergence*, 2020,
#   [joschu.net/blog/kl-approx.html](http://joschu.net/blog/kl-approx.html): k₁, k₂, k₃, as *values*.
# - Y. Tang and R. Munos, *On a few pitfalls in KL divergence gradient estimation for RL*, 2025,
#   [arXiv:2506.09477](https://arxiv.org/abs/2506.09477): and what becomes of them as losses.
# - DeepSeek-AI, *DeepSeek-V3.2*, 2025, [arXiv:2512.02556](https://arxiv.org/abs/2512.02556), section 3.1: k₃ times the
#   ratio.
# - J. Schulman and others, *Proximal Policy Optimization Algorithms*, 2017,
#   [arXiv:1707.06347](https://arxiv.org/abs/1707.06347): the loss that GRPO kept.
