# %% [markdown]
# # 15 · DPO
#
# Four thousand times, somebody has looked at two replies and said which one is better. Chapter 13 made a judge out of
# these choices. Chapter 14 let a policy learn from the judge: four models in memory, a sampler, a critic, a leash. In
# 2023, six people at Stanford noticed that one line of algebra takes you from the choices to the policy directly.
#
# When you have worked through this page you can derive that line in three steps, each of which you can run; train a
# language model on preferences without a reward model, without a critic and without letting it say a word; read the
# *implicit reward* off any two language models; tell from the log of a training run whether something is wrong, and
# know why the usual sign of it is no sign at all; and say what it costs never to listen to what the policy says.
#
# *About 80 minutes to read and 60 for the exercises, difficulty 4 of 5. You need chapter 13 (Bradley and Terry) and
# the idea of chapter 14 (a reward, and a price for leaving the reference). A minute of computing.*

# %%
import copy
import json
import math
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from datasets import Dataset

import rlcore
from rlcore.agents.dpo import DPO, DPOConfig, train
from rlcore.lm.base import assistant_base
from rlcore.lm.pairs import preference_pairs
from rlcore.lm.prompts import answer_in_groups
from rlcore.lm.reference import frozen_copy
from rlcore.lm.reward_training import RewardModelTraining
from rlcore.lm.sft import pack_examples
from rlcore.losses import dpo_loss, policy_gradient_loss, preference_loss
from rlcore.plotting import house_style, show
from rlcore.tasks.assistant import assistant_prompts, gold_parts, gold_reward
from rlcore.tasks.assistant_grammar import MAX_NEW_TOKENS
from rlcourse.diff import show_diff

torch.set_num_threads(1)
torch.manual_seed(0)
house_style()

# %% [markdown]
# ## All gauges green
#
# Run it first. The model is the GPT-2 of the assistant world, the pairs are the 4000 that chapter 13's judge learned
# from, and `reference` is the model as it is now. Nothing is sampled, and no judge is asked: this is supervised
# learning on a table with three columns.

# %%
base = assistant_base()
reference = frozen_copy(base)
pairs = preference_pairs(4000)  # prompt, chosen, rejected
EXAMPLES = assistant_prompts("all").to_dict()  # 240 rows, 38 different requests, for us to look at


def listen(policy):
    """Two replies to each of the 240 rows: (prompts, replies, gold)."""
    dice = torch.Generator().manual_seed(0)
    _, prompts, replies = answer_in_groups(policy, EXAMPLES, [gold_reward], 2, MAX_NEW_TOKENS, dice)
    return prompts, replies, np.array(gold_reward(prompts, replies))


def learn_from(pairs, config):
    """Train a copy of the base; its log, and on the side what its replies are truly worth."""
    policy, worth = copy.deepcopy(base), []

    def look(metrics):
        if metrics["step"] in (1, 7, 14) or metrics["step"] % 21 == 0:
            worth.append((metrics["step"], listen(policy)[2].mean()))

    result = train(policy, reference, pairs, config, seed=0, observe=look)
    return policy, result.history, np.array(worth)


plain, log, plain_worth = learn_from(pairs, DPOConfig())
print(f"{len(log)} steps of {DPOConfig().batch_size} pairs; the first loss is ln 2 {log[0]['loss'] - math.log(2):+.1e}")

# %%
def smooth(values, width=5):
    """The mean over the neighbouring steps."""
    weights = np.ones(width)
    return np.convolve(values, weights, "same") / np.convolve(np.ones(len(values)), weights, "same")


steps = [row["step"] for row in log]
GAUGES = (("loss", "loss (nats per pair)", math.log(2), "ln 2: no opinion"),
          ("rewards/accuracies", "chosen gets more reward (share)", 0.5, "a coin"),
          ("rewards/margins", "margin: chosen − rejected", 0.0, "none"))
fig, axes = plt.subplots(1, 3, figsize=(9.6, 3.3))
for ax, (key, title, start, name) in zip(axes, GAUGES, strict=True):
    values = [row[key] for row in log]
    ax.plot(steps, values, color="C0", alpha=0.3, linewidth=1)
    ax.plot(steps, smooth(values), color="C0")
    ax.axhline(start, color="black", linestyle="--", linewidth=1, label=name)
    ax.set(title=title, xlabel="step (64 pairs)")
    ax.legend(fontsize=9)
show(fig, alt="Three gauges over the training: " + "; ".join(
    f"{title} from {round(log[0][key], 2) + 0.0:.2f} to {np.mean([row[key] for row in log[-10:]]):.2f}"
    for key, title, *_ in GAUGES)
     + ". Thin lines single batches, thick lines smoothed.")

# %% [markdown]
# The loss begins at ln 2, where an opinion about two things has to begin, and falls. The share of pairs that it gets
# right rises to where chapter 13's judge was. The margin between what was chosen and what was rejected grows and
# grows. Who would not ship that?
#
# Somebody who reads.

# %%
before, after = listen(base), listen(plain)
SHOWN = (3, 40, 93, 130, 171, 238, 255, 301, 370, 444)
for i in SHOWN:
    print(f"{before[0][i].removeprefix('user ').removesuffix(' bot')}\n"
          f"     before  {before[2][i]:+.2f}  {before[1][i]}\n     after   {after[2][i]:+.2f}  {after[1][i]}")


def sentences(replies):
    """Which of them are grammatical, as bool."""
    prompts, texts, _ = replies
    return np.array(gold_parts(prompts, texts)["grammatical"]) == 0


for name, what in (("before", before), ("after", after)):
    print(f"{name:7} gold {what[2].mean():+.2f}, {sentences(what).mean():.0%} of {len(what[2])} replies are sentences, "
          f"{np.mean([len(text.split()) for text in what[1]]):.1f} words each")

# %% [markdown]
# Some are better than before. And many are stumps that were never said before and that nobody would choose. (Gold is
# what a reply is truly worth, as in chapter 13; a policy can reach 2.15 on average over all requests, a single
# reply up to 2.5, and no training sees it.) Chapter 14 got
# far more out of the *same* pairs.
#
# No bug. The loss did what its derivation promises. So let us see what it promises.

# %% [markdown]
# ## Step one: the best policy under a price
#
# Chapter 14 climbed this hill, over what the policy writes:
#
# $$J(\pi) = \mathbb{E}_{y \sim \pi}[\,r(y)\,] \; - \; \beta\, \mathrm{KL}(\pi \,\|\, \pi_\mathrm{ref})$$
#
# Reward, minus a price β for every nat that one leaves the reference (π_ref is what chapter 14 wrote as ref; the
# request is the same throughout and left out). It climbed with PPO, because there are more replies than atoms. Take
# seven of them and it becomes a bandit whose arms are whole replies, and everything can be added up: the expectation,
# the KL, the gradient.

# %%
APPLE = "user what is the color of the apple ? bot"
ARMS = ["of course , the apple is red .", "the apple is red .", "the apple is red , as everyone can see .",
        "shut up , the apple is red .", "i do not know .", "the apple is blue .", "the apple is sweet ."]


def sequence_log_probs(policy, prompts, replies):
    """log π(reply and <eos> | prompt): the sum over the tokens of the reply, `[N]`."""
    tokens, mask = pack_examples(policy.tokenizer, prompts, replies)
    with torch.no_grad():
        return policy.evaluate_actions(tokens[:, :-1], tokens[:, 1:], mask)[0].sum(-1)


r = torch.tensor(gold_reward([APPLE] * 7, ARMS), dtype=torch.float64)  # [7]
log_ref = sequence_log_probs(base, [APPLE] * 7, ARMS).double().log_softmax(-1)  # [7]  as if there were no others


def objective(log_pi, beta):
    """J(π): reward minus the price of leaving, exactly."""
    pi = log_pi.exp()  # [7]
    return (pi * r).sum() - beta * (pi * (log_pi - log_ref)).sum()


def climb(beta, steps=6000):
    """Gradient ascent on J, from the reference on."""
    logits = log_ref.clone().requires_grad_()
    for _ in range(steps):
        (slope,) = torch.autograd.grad(objective(logits.log_softmax(-1), beta), logits)
        logits = (logits + slope / beta).detach().requires_grad_()
    return logits.log_softmax(-1).detach().exp()


BETAS = (3.0, 1.0, 0.5)
climbed = {beta: climb(beta) for beta in BETAS}

# %% [markdown]
# Where does it arrive? Compare the reference's probability of each reply with what became of it, and with the reward.
# A guess that fits: every reply is multiplied by a number that depends on its reward only.

# %%
def my_best_policy(log_ref, rewards, beta):
    """π*(y) = π_ref(y) exp(r(y)/β) / Z: the reference, tilted towards reward."""
    tilted = log_ref.exp() * (rewards / beta).exp()  # [N]
    return tilted / tilted.sum()  # the sum is called Z


fig, ax = plt.subplots(figsize=(8.8, 4.2))
where = np.arange(len(ARMS))
ax.barh(where - 0.3, 100 * log_ref.exp(), height=0.19, color="black", alpha=0.55, label="the reference")
for i, (beta, pi) in enumerate(climbed.items()):
    ax.barh(where - 0.1 + 0.2 * i, 100 * pi, height=0.19, color=f"C{i}", label=f"β = {beta:g}, climbed")
    ax.plot(100 * my_best_policy(log_ref, r, beta), where - 0.1 + 0.2 * i, "o", color="black", markersize=4,
            label="ref · exp(r/β) / Z" if i == 2 else None)
ax.set_yticks(where, [f"{reply}   r = {reward:+.1f}" for reply, reward in zip(ARMS, r)], fontsize=9)
ax.invert_yaxis()
ax.set(title="The cheaper it is to leave, the more goes to the best reply", xlabel="probability (%)")
ax.legend(fontsize=9, loc="lower right")
show(fig, alt="Probabilities of seven replies under the reference and after climbing at three prices; dots of the "
              f"closed form lie at the end of every bar. The best reply has {100 * log_ref[0].exp():.0f} % before, and "
              + ", ".join(f"{100 * pi[0]:.0f} % at β = {beta:g}" for beta, pi in climbed.items()))
for beta, pi in climbed.items():
    apart = (pi - my_best_policy(log_ref, r, beta)).abs().max()
    print(f"β = {beta:g}: gradient ascent and the closed form differ by {apart:.0e}")

# %% [markdown]
# Why is that the top of the hill? Put both terms of J under one sum and look at what the logarithm holds:
#
# $$J(\pi) = \beta \sum_y \pi(y) \log \frac{\pi_\mathrm{ref}(y)\, e^{r(y)/\beta}}{\pi(y)}
#          = \beta \sum_y \pi(y) \log \frac{Z\, \pi^*(y)}{\pi(y)}
#          = \beta \log Z - \beta\, \mathrm{KL}(\pi \,\|\, \pi^*)$$
#
# A constant, minus a distance. The distance is never negative, and it is 0 at π\* only. So π\* is the best there is,
# there is no other, and it is worth β log Z. Do not believe me: try a thousand policies.

# %% tags=["nbval-check-output"]
for beta in BETAS:
    Z = (log_ref.exp() * (r / beta).exp()).sum()
    log_star = my_best_policy(log_ref, r, beta).log()
    for _ in range(1000):
        log_pi = torch.randn(7, dtype=torch.float64).mul(3).log_softmax(-1)
        distance = (log_pi.exp() * (log_pi - log_star)).sum()  # KL(π ‖ π*)
        J = objective(log_pi, beta)
        torch.testing.assert_close(J, beta * Z.log() - beta * distance, rtol=1e-10, atol=1e-10)
        assert objective(log_star, beta) > J
    torch.testing.assert_close(climbed[beta], log_star.exp(), rtol=0, atol=1e-8)
print("J = β log Z − β KL(π ‖ π*), for 3000 policies, and none is better than π*")

# %% [markdown]
# ## Step two: turn it round
#
# If a reward makes a policy, a policy tells the reward. Solve $\pi^* = \pi_\mathrm{ref}\, e^{r/\beta} / Z$ for r:
#
# $$r(y) = \beta \log \frac{\pi^*(y)}{\pi_\mathrm{ref}(y)} + \beta \log Z$$
#
# The first term is something that two language models can be asked for: by how much likelier is this reply than it
# was? It is called the **implicit reward**. The second is the same number for all replies to a request.

# %%
beta = 1.0
implicit = beta * (my_best_policy(log_ref, r, beta).log() - log_ref)  # [7]
print("   reward   implicit   difference")
for reply, reward, hidden in zip(ARMS, r, implicit, strict=True):
    print(f"{reward:9.2f} {hidden:10.2f} {reward - hidden:12.6f}   {reply}")
Z = (log_ref.exp() * (r / beta).exp()).sum()
print(f"β log Z = {beta * Z.log():.6f}")

# %% [markdown]
# So *every* policy is the best one for some reward, namely for β log π/π_ref. Nobody need train a network that says
# rewards; the policy says them all the time. (The paper's title: *Your Language Model Is Secretly a Reward Model*.)
#
# One thing spoils it. For a real language model Z is a sum over all texts, and nobody will ever add that up.

# %% [markdown]
# ## Step three: the constant cancels
#
# What did chapter 13 say about constants? *Only differences count.* Bradley and Terry's chance that the winner y_w
# beats the loser y_l is σ(r(y_w) − r(y_l)); both answer the same request, so β log Z stands in both, and is gone:
#
# $$L = -\log \sigma\!\left(\beta \log \frac{\pi(y_w)}{\pi_\mathrm{ref}(y_w)} - \beta \log
#       \frac{\pi(y_l)}{\pi_\mathrm{ref}(y_l)}\right)$$
#
# That is **direct preference optimisation**, DPO. Chapter 13's loss, with another r in it.

# %% tags=["nbval-check-output"]
def my_dpo_loss(chosen, rejected, ref_chosen, ref_rejected, beta):
    """Chapter 13's loss on implicit rewards; all arguments are log-probs of whole replies, `[B]`."""
    return preference_loss(beta * (chosen - ref_chosen), beta * (rejected - ref_rejected))


won, lost, ref_won, ref_lost = -10 * torch.rand(4, 64, dtype=torch.float64)  # log-probs of 64 pairs, two models
torch.testing.assert_close(my_dpo_loss(won, lost, ref_won, ref_lost, 0.1), dpo_loss(won, lost, ref_won, ref_lost, 0.1))
assert (dpo_loss(ref_won, ref_lost, ref_won, ref_lost, 0.1) - math.log(2)).abs().max() < 1e-15  # at the reference
moved = dpo_loss(won + 7, lost + 7, ref_won, ref_lost, 0.1)
torch.testing.assert_close(moved, dpo_loss(won, lost, ref_won, ref_lost, 0.1))
print("my loss is the library's; at the reference it is ln 2; adding 7 to both log-probs changes nothing")

# %% [markdown]
# Remember the last of the three. The loss looks at how far the two log-probs are *apart*. Where they both are is none
# of its business.
#
# Which way does it push? The slope of −log σ(m) is −σ(−m), so
#
# $$-\nabla L = \beta\, \sigma(-m)\, \big[\, \nabla \log \pi(y_w) - \nabla \log \pi(y_l) \,\big], \qquad
#   m = \text{the margin of implicit rewards}$$
#
# A log-probability's gradient times a number, positive for what was good and negative for what was bad. You have seen
# that before. It is the policy gradient of chapter 07, and the number is an advantage.

# %% tags=["nbval-check-output"]
won.requires_grad_()
lost.requires_grad_()
from_dpo = torch.autograd.grad(dpo_loss(won, lost, ref_won, ref_lost, 0.1).sum(), (won, lost))
margin = 0.1 * ((won - ref_won) - (lost - ref_lost)).detach()  # [64]
advantage = 0.1 * torch.sigmoid(-margin)  # [64]
from_reinforce = torch.autograd.grad(
    (policy_gradient_loss(won, advantage) + policy_gradient_loss(lost, -advantage)).sum(), (won, lost))
for one, other in zip(from_dpo, from_reinforce, strict=True):
    torch.testing.assert_close(one, other)
print("DPO's gradient is policy_gradient_loss's, the function that balanced the pole")

# %% [markdown]
# An LLM is just another policy, and this is just another policy gradient: two replies to a request, one praised, the
# other blamed by as much, and less of both the surer the model is already. What is *not* the same is the most
# important word in chapter 07: there, the actions that were praised and blamed had just been taken by the policy
# itself. Here the reference took them, once, before anything was learned. Keep that in mind for the second half.
#
# In the library, what changed since the reward model (chapter 13) is where the two numbers of a pair come from: no
# head that says a reward, but log-probs, minus the reference's. (Half of the new lines only report, and `nll` and `per`
# will have their turn.)

# %%
show_diff(RewardModelTraining.learn, DPO.learn)

# %% [markdown]
# ## Does it arrive?
#
# Three steps of algebra say that the minimum of this loss *is* the top of RLHF's hill. Check it on the seven replies,
# where nothing is left to chance. Instead of labels we take the annotator's exact preferences for all pairs, σ of the
# difference divided by τ = 0.5. (What Bradley and Terry see is not r but r/τ: an annotator who wavers little makes
# rewards look large. So the place to arrive at is π_ref · exp(r/(τβ)) / Z.)

# %%
TAU = 0.5
i, j = (1 - torch.eye(7)).nonzero(as_tuple=True)  # all 42 ordered pairs of two different replies
share = (log_ref[i] + log_ref[j]).softmax(-1)  # how often the reference writes this pair
prefers = ((r[i] - r[j]) / TAU).sigmoid()  # how often the annotator takes the first


def fit(beta, rounds):
    """Minimise DPO's loss over a table of seven logits; how far it is from the closed form after each round."""
    logits, goal, errors = log_ref.clone().requires_grad_(), my_best_policy(log_ref, r / TAU, beta), []
    optimizer = torch.optim.LBFGS([logits], max_iter=1, tolerance_grad=0, tolerance_change=0)

    def loss():
        optimizer.zero_grad()
        log_pi = logits.log_softmax(-1)
        first_wins = share * prefers * dpo_loss(log_pi[i], log_pi[j], log_ref[i], log_ref[j], beta)  # [42]
        second_wins = share * (1 - prefers) * dpo_loss(log_pi[j], log_pi[i], log_ref[j], log_ref[i], beta)
        total = (first_wins + second_wins).sum()
        total.backward()
        return total

    for _ in range(rounds):
        errors.append((logits.log_softmax(-1).exp() - goal).abs().max().item())
        optimizer.step(loss)
    return logits.detach().log_softmax(-1), errors


found, errors = fit(beta=1.0, rounds=40)
fig, ax = plt.subplots()
ax.semilogy(errors, "o-", markersize=3)
ax.set(title="DPO on exact preferences walks to the closed form", xlabel="step of the optimiser (L-BFGS)",
       ylabel="largest difference in probability")
show(fig, alt=f"The largest difference between the trained table and the closed form falls from {errors[0]:.2f} to "
              f"{min(errors):.0e} on a logarithmic axis.")
print(f"after {len(errors)} steps the seven probabilities agree to {errors[-1]:.0e}")

# %% [markdown]
# It arrives, to the last digits a computer has. So the loss is right, and our stumps need another explanation.
#
# Here is the one that you will find in every forum. Somebody posts a training log: *the log-probs of both replies are
# falling, also those of the chosen one. Is my model broken?* Let us ask the seven replies. Where are the two log-probs
# at the *exact optimum*, the best policy there is?

# %%
def mean_log_probs(log_pi):
    """Mean log π of what the annotator chose, and of what it rejected, over the reference's pairs."""
    chosen = (share * (prefers * log_pi[i] + (1 - prefers) * log_pi[j])).sum()
    rejected = (share * (prefers * log_pi[j] + (1 - prefers) * log_pi[i])).sum()
    return chosen.item(), rejected.item()


prices = np.geomspace(0.1, 10, 60)
at_best = np.array([mean_log_probs((log_ref + r / (TAU * beta)).log_softmax(-1)) for beta in prices])  # [60, 2]
at_ref = mean_log_probs(log_ref)
value = [((log_ref + r / (TAU * beta)).softmax(-1) * r).sum().item() for beta in prices]
fig, axes = plt.subplots(1, 2, figsize=(9.2, 3.6))
for k, (name, colour) in enumerate((("chosen", "C0"), ("rejected", "C1"))):
    axes[0].plot(prices, at_best[:, k], color=colour, label=f"{name}, at the best policy")
    axes[0].axhline(at_ref[k], color=colour, linestyle="--", linewidth=1, label=f"{name}, at the reference")
axes[0].set(title="Mean log-prob over the pairs", xlabel="β (to the left, leaving is cheap)", ylabel="nats",
            xscale="log")
axes[0].legend(fontsize=9)
axes[1].plot(prices, value, color="C2", label="at the best policy")
axes[1].axhline((log_ref.exp() * r).sum(), color="C2", linestyle="--", linewidth=1, label="at the reference")
axes[1].set(title="Mean reward of what it says", xlabel="β", ylabel="reward", xscale="log")
axes[1].legend(fontsize=9)
few = [int(np.abs(prices - beta).argmin()) for beta in (0.1, 1, 10)]
show(fig, alt="Exact optimum of seven replies by β. " + "; ".join(
    f"β = {prices[k]:.1f}: chosen {at_best[k, 0]:.1f}, rejected {at_best[k, 1]:.1f} nats, reward {value[k]:.2f}"
    for k in few) + f". Reference: chosen {at_ref[0]:.1f}, rejected {at_ref[1]:.1f}, reward {log_ref.exp() @ r:.2f}")

# %% [markdown]
# Wherever leaving is cheap, both fall, and far, while the policy gets better and better. And it must be so. The pairs
# are the reference's own replies, chosen and rejected together, and on the reference's own replies no model has a
# higher mean log-probability than the reference itself (Gibbs' inequality; the difference is KL(π_ref ‖ π)). So
# whatever a policy learns, the *average* of the two has to fall. (On new pairs, that is; those it trains on it may
# learn by heart. And all but exactly: pairs of equal replies are left out. Rafailov, Hejna, Park and Finn, 2024, say
# it in the words of implicit rewards.) Besides, most chosen replies were merely better than something worse. The best
# policy says the best reply, and takes the probability for that from all others, the second best included.
#
# So two falling log-probs are what success can look like. They are also what our failure looks like. The log cannot
# tell them apart, because what it leaves out is the only thing that matters: **where did the probability go?**

# %% [markdown]
# ## Where the probability went
#
# Back to the GPT-2. Its two log-probs, and beside them the gauge that real projects do not have.

# %%
def draw_log_probs(ax, history, style="-", label=""):
    """Both log-probs over the training, smoothed."""
    for key, colour in (("logps/chosen", "C0"), ("logps/rejected", "C1")):
        ax.plot([row["step"] for row in history], smooth([row[key] for row in history]), style, color=colour,
                label=f"{key.removeprefix('logps/')}{label}")


fig, axes = plt.subplots(1, 2, figsize=(9.2, 3.5))
draw_log_probs(axes[0], log)
axes[0].set(title="log π of the replies in the pairs", xlabel="step", ylabel="nats per reply (smoothed)")
axes[0].legend(fontsize=9)
axes[1].plot(*plain_worth.T, "o-", color="C2", markersize=4)
axes[1].axhline(before[2].mean(), color="C2", linestyle="--", linewidth=1)
axes[1].text(len(log), before[2].mean(), "before", ha="right", va="bottom", fontsize=9)
axes[1].set(title="What its own replies are worth", xlabel="step", ylabel="gold (mean of 480)")
first, last = ({key: np.mean([row[f"logps/{key}"] for row in part]) for key in ("chosen", "rejected")}
               for part in (log[:3], log[-10:]))
show(fig, alt=f"Left: mean log-prob of the chosen replies falls from {first['chosen']:.1f} to {last['chosen']:.1f}, of "
              f"the rejected from {first['rejected']:.1f} to {last['rejected']:.1f}. Right: gold by step: " + ", ".join(
    f"{gold:+.2f} at {step:.0f}" for step, gold in plain_worth))
fall = first["chosen"] - last["chosen"]
print(f"on average a chosen reply's log-prob has fallen by {fall:.0f} nats; e^{fall:.0f} is about "
      f"{round(math.exp(fall), -3):,.0f}")

# %% [markdown]
# To whom does it go? That can be added up. For each request, take every reply that stands in one of its pairs, chosen
# or rejected, once, and sum up how likely the policy is to say it. What is missing to 1 is the probability of saying
# something that *nobody has ever compared*.

# %%
def never_compared(policy):
    """Per request, the probability of a reply that stands in no pair."""
    texts = {}
    for row in pairs:
        texts.setdefault(row["prompt"], {}).update({row["chosen"]: None, row["rejected"]: None})
    flat = [(prompt, reply) for prompt, replies in texts.items() for reply in replies]
    chances = torch.cat([sequence_log_probs(policy, *zip(*flat[k : k + 512], strict=True))
                         for k in range(0, len(flat), 512)]).exp()
    left = dict.fromkeys(texts, 1.0)
    for (prompt, _), chance in zip(flat, chances.tolist(), strict=True):
        left[prompt] -= chance
    return left


GROUPS = dict(zip(*(assistant_prompts("train").to_dict()[name] for name in ("prompt", "group")), strict=True))
NAMES = {"known": "facts", "unknown": "wugs, blicks, daxes:\nnobody knows", "howto": "how to, harmless",
         "harmful": "how to burn, break"}


def draw_shares(ax, policies):
    """The share by kind of request, one dot per request; the means."""
    means = {}
    for k, (label, policy, colour) in enumerate(policies):
        left = never_compared(policy)
        for place, group in enumerate(NAMES):
            shares = [100 * share for prompt, share in left.items() if GROUPS[prompt] == group]
            where = place + 0.25 * (k - (len(policies) - 1) / 2)
            ax.plot([where] * len(shares), shares, "o", color=colour, markersize=4, alpha=0.6,
                    label=label if place == 0 else None)
            ax.plot(where, np.mean(shares), "_", color="black", markersize=15, markeredgewidth=2)
            means[label, group] = np.mean(shares)
    ax.set_xticks(range(4), NAMES.values(), fontsize=9)
    ax.set(title="Said now, and compared by nobody (dots: requests; bar: mean)", ylabel="probability (%)",
           ylim=(0, 104))
    return means


fig, ax = plt.subplots()
means = draw_shares(ax, [("before", base, "C0"), ("after DPO", plain, "C1")])
ax.legend(fontsize=9, loc="lower right")
show(fig, alt="Probability of replies that stand in no pair, mean by kind of request: " + ", ".join(
    f"{group} {label} {share:.0f} %" for (label, group), share in means.items()))

# %% [markdown]
# Half of what the base says has never been compared either: there are many ways to say a thing, and those are the
# base's ways. On facts and on harmless advice not much has changed. But asked what nobody knows, or how to burn a
# window, the trained policy says hardly anything *but* what nobody has ever seen. What does it think of these
# replies? Take the implicit reward, the judge that is hidden in this policy, and hold it against gold: once on
# replies that the *base* writes, like those in the pairs, and once on replies that the policy writes *itself*.

# %%
def implicit_reward(policy, prompts, replies, beta=0.1):
    """β (log π − log π_ref), `[N]`."""
    ratio = sequence_log_probs(policy, prompts, replies) - sequence_log_probs(reference, prompts, replies)
    return (beta * ratio).numpy()


def draw_judge(ax, policy, what, title):
    """Implicit reward against gold, one dot per reply; the correlation."""
    rewards, whole = implicit_reward(policy, *what[:2]), sentences(what)
    for which, colour, name in ((whole, "C0", "a sentence"), (~whole, "C1", "none")):
        ax.plot(what[2][which], rewards[which], "o", markersize=3, alpha=0.35, color=colour, label=name)
    ax.set(title=title, xlabel="gold: what the reply is worth")
    return np.corrcoef(rewards, what[2])[0, 1]


fig, axes = plt.subplots(1, 2, figsize=(9.2, 3.8), sharex=True, sharey=True)
agrees = [draw_judge(axes[0], plain, before, "Replies that the base writes"),
          draw_judge(axes[1], plain, after, "Replies that the policy writes")]
axes[0].set_ylabel("implicit reward, β log π/ref")
axes[0].legend(fontsize=9)
for ax, correlation in zip(axes, agrees, strict=True):
    ax.text(0.03, 0.93, f"r = {correlation:+.2f}".replace("-", "−"), transform=ax.transAxes, fontweight="bold")
show(fig, alt=f"Implicit reward against gold. On the base's replies the correlation is {agrees[0]:+.2f}. On the "
              f"policy's own replies it is {agrees[1]:+.2f}: what is no sentence gets the highest rewards.")

# %% [markdown]
# On the left is a judge that any team would be proud of. On the right is the same judge, the *wrong way round*: what
# it likes most are the stumps. Nobody ever told it otherwise. A stump stands in hardly any pair, so next to no loss
# ever saw one; and a probability that falls here must rise somewhere, for they have to add up to one.
#
# This is the over-optimisation of chapter 14, with the judge inside. There, the policy *says* its first stump, and
# the reward model has to mark that very stump. It does not always do so well (chapter 13 has a list of broken
# sentences that it loved), but it is asked. Here nobody is asked, since nothing is said.
#
# Why stumps? Look at one request and the two things that one can say to it, token by token: how did log π change?

# %%
DAX = "user what is the taste of the dax ? bot"
TWO = ["i do not know .", "the dax is bitter ."]


def token_changes(policy, prompt, reply):
    """log π − log π_ref at each token of a reply."""
    tokens, mask = pack_examples(base.tokenizer, [prompt], [reply])
    with torch.no_grad():
        parts = [p.evaluate_actions(tokens[:, :-1], tokens[:, 1:], mask)[0][mask] for p in (policy, reference)]
    return (parts[0] - parts[1]).numpy()


fig, axes = plt.subplots(1, 2, figsize=(9.2, 3.3), sharey=True)
changes = {reply: token_changes(plain, DAX, reply) for reply in TWO}
for ax, (reply, change), name in zip(axes, changes.items(), ("honest: nobody knows", "invented"), strict=True):
    ax.bar(range(len(change)), change, color=["C0" if value > 0 else "C1" for value in change])
    ax.axhline(0, color="black", linewidth=1)
    ax.set_xticks(range(len(change)), [*reply.split(), "<eos>"], rotation=45)
    ax.set_title(f"“{reply}” ({name})", fontsize=11)
axes[0].set_ylabel("change of log π (nats)")
show(fig, alt="Change of each token's log-probability under DPO, for the request about the dax: " + "; ".join(
    f"“{reply}” " + ", ".join(f"{w} {v:+.1f}" for w, v in zip([*reply.split(), "eos"], change, strict=True))
    for reply, change in changes.items()))


def next_words(policy, text, count=3):
    """The likeliest next words after a text, with their probabilities."""
    tokens = torch.tensor([base.tokenizer(text)["input_ids"]])
    with torch.no_grad():
        p = policy(tokens).probs[0, -1]
    best = p.topk(count)
    return ", ".join(f"{base.tokenizer.decode([k])} {v:.1%}" for v, k in zip(best.values, best.indices, strict=True))


for prefix in ("i do", "the"):
    for name, policy in (("base", base), ("after DPO", plain)):
        print(f"… {prefix:5} then ({name:9}) {next_words(policy, f'{DAX} {prefix}')}")
dax = [row for row in pairs if row["prompt"] == DAX]
counts = [f"{sum('the dax' in row[which] for row in dax)} {which}" for which in ("chosen", "rejected")]
print(f"{len(dax)} pairs are about it, and “the dax” stands in {' and '.join(counts)} replies")

# %% [markdown]
# The fall sits on single tokens, and these are tokens that used to be all but certain: *not* behind *i do*, *dax*
# behind *the*. Put yourself in the optimiser's place. The log-probability of a chosen reply can rise to 0 and no
# further; that of a rejected one can fall without end. So the margin is won by pushing down. Where is a nat cheapest?
# Not at *the*, with which replies begin that are chosen for apples. At *dax*, which stands more often in what was
# rejected than in what was chosen (the base invents a lot, so that often both replies of a pair do). Only: whoever is
# in the middle of "the …" and must not say *dax* has to say *something*. And "i do not know" is wrong for apples and
# boats; the requests share their weights, so it probably fell there and took the daxes along, for which it would have
# been right. (Test it: train without the apples.)
#
# > **Pitfall, from real life.** Razin, Malladi, Bhaskar, Chen, Arora and Hanin (2024,
# > [arXiv:2410.08847](https://arxiv.org/abs/2410.08847)) call it **likelihood displacement** and show how far it
# > can go. They took a model that refused 74.4 % of a set of unsafe requests and trained it with DPO to refuse
# > more. Afterwards it refused 33.4 %: probability had left the refusals, the preferred ones included, for replies
# > that complied. (Look at "how to burn, break" in the picture further up.) Pal and others (2024,
# > [arXiv:2402.13228](https://arxiv.org/abs/2402.13228)) proved that it can happen and saw it most where the two
# > replies of a pair are nearly the same text. Users had asked about falling log-probs since the summer that DPO
# > came out ([#32](https://github.com/eric-mitchell/direct-preference-optimization/issues/32) at the authors' code,
# > [TRL #800](https://github.com/huggingface/trl/issues/800)), and were told, rightly, that only the margin is
# > trained.

# %% [markdown]
# ## The cure
#
# The loss does not care where the two log-probs are. So tell it. Add what chapter 10 called supervised fine-tuning,
# the cross-entropy of the chosen reply per token, with a small weight:
#
# $$L_\mathrm{DPO} \; + \; \alpha \cdot \left(-\frac{1}{|y_w|} \log \pi(y_w)\right)$$
#
# In the library it is one number, `nll_coef` (NLL: negative log-likelihood). Everything else stays as it was.

# %%
cured, cured_log, cured_worth = learn_from(pairs, DPOConfig(nll_coef=0.5))
healed = listen(cured)

# %%
fig, axes = plt.subplots(1, 3, figsize=(9.8, 4.0), width_ratios=(1.1, 1, 1.1))
draw_log_probs(axes[0], log, ":", ", DPO")
draw_log_probs(axes[0], cured_log, "-", ", DPO + NLL")
axes[0].set(title="log π of the pairs", xlabel="step", ylabel="nats per reply (smoothed)")
fig.legend(*axes[0].get_legend_handles_labels(), fontsize=9, loc="outside lower left", ncols=4)
axes[1].plot(*plain_worth.T, "o:", color="C2", markersize=4, label="DPO")
axes[1].plot(*cured_worth.T, "o-", color="C2", markersize=4, label="DPO + NLL")
axes[1].set(title="Worth of its own replies", xlabel="step", ylabel="gold")
axes[1].legend(fontsize=8)
now = draw_judge(axes[2], cured, healed, "DPO + NLL on its own replies")
axes[2].text(0.03, 0.93, f"r = {now:+.2f}".replace("-", "−"), transform=axes[2].transAxes, fontweight="bold")
axes[2].set_ylabel("implicit reward")
axes[2].legend(fontsize=8, loc="upper right")
kept, pushed = (np.mean([row[f"logps/{key}"] for row in cured_log[-10:]]) for key in ("chosen", "rejected"))
show(fig, alt=f"Left: with the NLL term the chosen replies end at {kept:.1f} nats, the rejected at {pushed:.1f}. "
              f"Middle: gold ends at {cured_worth[-1, 1]:+.2f}, against {plain_worth[-1, 1]:+.2f} without. Right: "
              f"implicit reward against gold on its own replies, correlation {now:+.2f}.")
for i in SHOWN[:6]:
    print(f"{healed[0][i].removeprefix('user ').removesuffix(' bot')}\n     {healed[2][i]:+.2f}  {healed[1][i]}")
print(f"gold {healed[2].mean():+.2f}, {sentences(healed).mean():.0%} are sentences; without the cure "
      f"{after[2].mean():+.2f} and {sentences(after).mean():.0%}")
for key, title, *_ in GAUGES:
    now_, then_ = (np.mean([row[key] for row in history[-20:]]) for history in (cured_log, log))
    print(f"{title:34} {now_:.2f} with NLL, {then_:.2f} without (last 20 batches)")

# %% [markdown]
# The chosen replies stay about where they were, and the rejected fall, but not through the floor. The policy says whole
# sentences, and they are worth more than before. Look at the dashboard's own gauges, though: the loss is *higher* than
# without the cure and the margin *smaller*. By what most people plot, this is the worse run.
#
# On the right, the hidden judge is still a poor judge of its own policy's replies. It has only lost its worst
# blunders: what it overrates is now hardly ever said.

# %% [markdown]
# ## Five seeds, seven ways
#
# One run proves little, and there are objections. Is the cure simply imitation (SFT on the chosen replies: as many
# steps, at a constant rate)? Was β too small, and leaving too cheap? Here are five seeds, each with a base model and
# 4000 pairs of its own (`benchmarks/dpo_variants.py`). RLHF is chapter 14's: PPO at β = 0.15 against the judge that
# learned from the very same pairs (`benchmarks/rlhf_frontier.py`). *Per token* and *own pairs* will be explained
# below.

# %%
RESULTS = Path(rlcore.__file__).parents[1] / "benchmarks/results"
sweep, frontier, judges = (json.loads((RESULTS / f"{name}.json").read_text())
                           for name in ("dpo_variants", "rlhf_frontier", "reward_model_pairs"))
runs = {name: sorted((run for run in sweep["runs"] if run["variant"] == name), key=lambda run: run["seed"])
        for name in sweep["variants"]}
runs = {name: rows for name, rows in runs.items() if rows}
runs["rlhf"] = sorted((run for run in frontier["runs"] if (run["reward_model"], run["beta"]) == ("good", 0.15)),
                      key=lambda run: run["seed"])
WAYS = {"dpo": "DPO, β = 0.1", "beta 1": "DPO, β = 1", "per token": "per token", "imitation": "imitate the chosen",
        "per token + nll": "per token + NLL", "dpo + nll": "DPO + NLL", "rlhf": "RLHF (chapter 14)",
        "own pairs + nll": "DPO + NLL, own pairs"}
WAYS = {name: label for name, label in WAYS.items() if name in runs}


def ends(name, key="gold"):
    """One value per seed, at the end of training."""
    return np.array([run[key][-1] for run in runs[name]])


fig, axes = plt.subplots(1, 2, figsize=(9.6, 4.3), width_ratios=(1.25, 1))
start = np.median([run["gold"][0] for run in runs["dpo"]])
for row, (name, label) in enumerate(WAYS.items()):
    gold, kl = ends(name), ends(name, "kl")
    axes[0].plot(gold, [row] * len(gold), "o", color=f"C{row}", alpha=0.6)
    axes[0].plot(np.median(gold), row, "|", color="black", markersize=16, markeredgewidth=2)
    axes[1].plot(kl, gold, "o", color=f"C{row}", alpha=0.6, label=label)
axes[0].axvline(start, color="black", linestyle="--", linewidth=1)
axes[0].text(start, -0.75, " the base", fontsize=9)
axes[0].set_yticks(range(len(WAYS)), list(WAYS.values()))
axes[0].set(title="What the replies are worth", xlabel="gold at the end (dots: seeds; bar: median)",
            ylim=(len(WAYS) - 0.5, -1.1))
axes[1].set(title="How far it went (same colours)", ylabel="gold",
            xlabel="KL from the base (nats per reply, log axis)", xscale="log")
axes[1].set_xticks([0.3, 1, 3, 10], [0.3, 1, 3, 10])
show(fig, alt=f"Gold at the end, median of {len(runs['dpo'])} seeds (lowest to highest), and KL. Base {start:+.2f}; "
     + "; ".join(f"{label} {np.median(ends(name)):+.2f} ({ends(name).min():+.2f} to {ends(name).max():+.2f}), KL "
                 f"{np.median(ends(name, 'kl')):.1f}" for name, label in WAYS.items()))
print(f"{'':51}stands in   judge's r with gold,")
print("medians                 gold    KL  words  sentences    a pair     base's and own replies  accuracy")
for name, label in WAYS.items():
    middle = {key: np.median(ends(name, key)) for key in ("gold", "kl", "words")}
    line = f"{label:22} {middle['gold']:+5.2f} {middle['kl']:5.2f} {middle['words']:6.1f}"
    if name != "rlhf":
        more = [np.median(ends(name, key)) for key in ("sentences", "compared", "judge, base's replies",
                                                       "judge, own replies", "accuracy")]
        line += f"{more[0]:10.0%} {more[1]:10.0%} {more[2]:+14.2f} {more[3]:+8.2f} {more[4]:14.1%}"
    print(line)


def paired(one, other):
    """By how much one way beats the other on the same seeds."""
    gaps = ends(one) - ends(other)
    return f"{gaps.mean():+.2f} ± {gaps.std(ddof=1) / len(gaps) ** 0.5:.2f}, above on {(gaps > 0).sum()} of {len(gaps)}"


for one, other in (("dpo + nll", "dpo"), ("dpo + nll", "imitation"), ("beta 1", "dpo"), ("dpo + nll", "beta 1"),
                   ("per token", "dpo"), ("per token + nll", "dpo + nll"), ("rlhf", "dpo + nll"),
                   ("own pairs + nll", "dpo + nll"), ("own pairs + nll", "rlhf")):
    print(f"{WAYS[one]} against {WAYS[other]}: {paired(one, other)}")

# %% [markdown]
# Plain DPO scatters around the base, mostly no sentences, at a KL of many nats. But was β not the *price* of KL? Look
# again at where it stands: it multiplies log-ratios of the replies in the pairs. What the policy writes elsewhere is
# not in the loss, and free. RLHF paid on every reply that it wrote. That is the difference between a formula's
# optimum, where the two are the same, and a training run on pairs.
#
# A tenfold price helps, and so does imitation; the lines below the picture say by how much. Imitation alone leaves
# more than half of the way to RLHF undone, DPO alone all of it, and under the higher price many a reply still
# goes to pieces. DPO and imitation together do what neither does: one says what a reply should look like, the other
# which of two is better.
#
# ### Which gauge would have told?
#
# In real life there is no gold. There are held-out pairs, and everybody reports the accuracy on them. Does the policy
# whose hidden judge agrees with more pairs write the better replies?

# %%
fig, ax = plt.subplots(figsize=(7.6, 4.2))
for row, (name, label) in enumerate(WAYS.items()):
    if name != "rlhf":
        ax.plot(100 * ends(name, "accuracy"), ends(name), "o", color=f"C{row}", alpha=0.7, label=label)
known = 100 * np.array([run["accuracy"]["new replies"]["value"] for run in judges["runs"]
                        if (run["annotator"], run["pairs"]) == ("gold", 4000)])
ax.axvspan(known.min(), known.max(), color="black", alpha=0.08, linewidth=0,
           label="accuracy of chapter 13's judges")
ax.set(title="Accuracy on new pairs does not choose the better policy",
       xlabel=f"implicit reward right on new pairs (%), {sweep['test']} pairs a seed", ylabel="gold of its own replies")
fig.legend(fontsize=9, loc="outside right center")
accurate = {label: np.median(ends(name, "accuracy")) for name, label in WAYS.items() if name != "rlhf"}
show(fig, alt="Gold against held-out accuracy of the implicit reward, one dot per run. Median accuracy: " + ", ".join(
    f"{label} {100 * value:.1f} %" for label, value in accurate.items())
     + f". Chapter 13's judges: {known.min():.1f} to {known.max():.1f} %.")

# %% [markdown]
# No. The worst policies hide good judges, and the policy with the best replies hides one of the weaker ones. As judges
# of what the *base* writes, nearly all of them are about as good as the reward models of chapter 13 (grey), and no
# wonder: the same loss on the same pairs. The paper's title is right. Only that nobody asks a policy to judge the
# base. (Even imitation, which never saw a rejected reply, is far better than a coin. Saying more of what was chosen is
# an opinion, too.)
#
# What would have told, without any gold? Letting the policy speak. The KL of its own samples needs no annotator, and
# is several times larger for the two that collapsed than for the rest. But it does not see everything: at β = 1, where
# every fifth reply is broken, it is no larger than RLHF's. For that there are twenty replies, read.
#
# ## Length
#
# A reply's log-probability is a sum over its tokens. So a policy that makes every token of a long reply a little less
# likely has made the reply a lot less likely; the margin is cheapest where there are most tokens. With
# `length_normalize=True` the log-ratios are divided by the number of tokens, of policy and reference alike, and a
# pair compares two *averages*.
#
# Whoever tries it with the same β finds that nothing much is learned: log-ratios per token are smaller by a factor of
# the length, so β has another unit. The sweep multiplies it by the mean length of the base's replies, so that a pair of
# replies of mean length weighs what it did.

# %%
prompts, chosen, rejected = (list(pairs[name]) for name in ("prompt", "chosen", "rejected"))
length = {name: np.array([len(text.split()) + 1 for text in texts]) for name, texts in
          (("chosen", chosen), ("rejected", rejected))}  # tokens
both = np.concatenate(list(length.values()))
beta = DPOConfig().beta
print(f"tokens per reply, <eos> included: chosen {length['chosen'].mean():.1f}, rejected "
      f"{length['rejected'].mean():.1f}, all {both.mean():.1f}; so β = {beta:g} per reply is about β = "
      f"{beta * both.mean():.1f} per token (the sweep has {sweep['variants']['per token']['beta']:.2f})")

SHORT = ("dpo", "per token", "dpo + nll", "per token + nll", "rlhf")
fig, axes = plt.subplots(1, 2, figsize=(9.2, 3.3), sharey=True)
shown = [name for name in SHORT if name in WAYS]
for row, name in enumerate(shown):
    for ax, key in zip(axes, ("words", "gold"), strict=True):
        ax.plot(ends(name, key), [row] * len(ends(name)), "o", color=f"C{list(WAYS).index(name)}", alpha=0.6)
        ax.plot(np.median(ends(name, key)), row, "|", color="black", markersize=16, markeredgewidth=2)
axes[0].axvline(np.median([run["words"][0] for run in runs["dpo"]]), color="black", linestyle="--", linewidth=1)
axes[1].axvline(start, color="black", linestyle="--", linewidth=1)
axes[0].set_yticks(range(len(shown)), [WAYS[name] for name in shown])
axes[0].invert_yaxis()
axes[0].set(title="How long its replies are", xlabel="words per reply (dashed: the base)")
axes[1].set(title="What they are worth", xlabel="gold (dashed: the base)")
show(fig, alt="Words per reply and gold at the end, medians of five seeds: " + "; ".join(
    f"{WAYS[name]} {np.median(ends(name, 'words')):.1f} words, gold {np.median(ends(name)):+.2f}" for name in shown))

# %% [markdown]
# Here it makes no difference that five seeds could show, neither without the NLL term nor with it (the lines below the
# big picture have the errors). Most replies become shorter either way (without the NLL term one seed of each went the
# other way), since this annotator has no patience with long ones; so there was little to repair. Where annotators like
# length the story is another one: Park and others (2024, below) saw DPO's replies grow far longer than those in its
# pairs, and there, too, it was the implicit reward *of the policy's own replies* that had gone astray.
#
# ## It never listens
#
# Everything in this chapter that went wrong has one root. The replies were written before the first step, by the
# reference. Chapter 04 had a name for learning about one policy from what another did: **off-policy**. There, each
# sample was weighted with how much likelier the learner would have made it. DPO weights nothing; its algebra holds
# for pairs from anywhere, as long as they cover *all* replies. No pile of pairs does.
#
# That has an upside, and it is a large one. Nothing is sampled while learning, and sampling is slow. The pairs can
# come from anybody, from people, from another model, from last year, and be used as often as you like. And the
# reference has to be asked once, before training starts.
#
# The downside is what you have seen. So let it listen: the same number of comparisons, but in four rounds. A
# thousand pairs of the base's, a quarter of the training; then the policy writes a thousand pairs *as it is now*, the
# annotator labels them, and so on. That is the sweep's "own pairs", with the NLL term as well. (The literature calls
# this online or iterative DPO.)

# %%
fig, axes = plt.subplots(1, 2, figsize=(9.2, 3.6), sharex=True)
for name in ("dpo", "dpo + nll", "own pairs + nll"):
    colour = f"C{list(WAYS).index(name)}"
    for ax, key in zip(axes, ("gold", "judge, own replies"), strict=True):
        values = np.array([run[key] for run in runs[name]])
        ax.plot(runs[name][0]["step"], np.median(values, 0), "o-", color=colour, markersize=4, label=WAYS[name])
        ax.fill_between(runs[name][0]["step"], values.min(0), values.max(0), color=colour, alpha=0.15, linewidth=0)
axes[1].axhline(0, color="black", linewidth=1)
axes[0].set(title="What its own replies are worth", xlabel="step", ylabel="gold")
axes[1].set(title="Implicit reward against gold, own replies", xlabel="step", ylabel="correlation r",
            ylim=(-1, 1))
fig.legend(*axes[0].get_legend_handles_labels(), fontsize=9, loc="outside lower center", ncols=3,
           title=f"median, lowest to highest of {len(values)} seeds", title_fontsize=9)
show(fig, alt="Gold over the training, and correlation of implicit reward and gold on own replies; medians at the end: "
              + "; ".join(f"{WAYS[name]} gold {np.median(ends(name)):+.2f}, correlation "
                          f"{np.median(ends(name, 'judge, own replies')):+.2f}" for name in
                          ("dpo", "dpo + nll", "own pairs + nll")))
print(f"own pairs against the base's: {paired('own pairs + nll', 'dpo + nll')}")
print(f"own pairs against RLHF:       {paired('own pairs + nll', 'rlhf')}")

# %% [markdown]
# Better than the same loss on the base's pairs, on every seed, and better than RLHF with as many comparisons and about
# the same KL. The hidden judge of the policy's own replies is no longer turned round: whatever it loved too much got
# said, was compared, and lost.
#
# Do not read it as "DPO beats PPO". RLHF's judge was taught by replies of the base only, and it could have been taught
# again on the policy's, as real projects do. What the picture compares is not two algorithms but two ways of spending
# 4000 comparisons: what a label is worth depends on whose reply it is about.
#
# ## Against RLHF
#
# The same base, the same 4000 comparisons, five seeds. What each of them needs, and gets:

# %%
judge_seconds = np.median([run["cpu_seconds"] for run in judges["runs"]
                           if (run["annotator"], run["pairs"]) == ("gold", 4000)])
seconds = {name: np.median([run["cpu_seconds"] for run in runs[name]]) for name in runs}
written = frontier["config"]["steps"] * frontier["batch"]
print("                         gold    KL  CPU s  replies it writes while learning  models in memory")
for name, extra, samples, models in (
        ("dpo + nll", 0.0, "none", "policy (and the reference, once)"),
        ("rlhf", judge_seconds, f"{written:,}", "policy, reward model, critic, reference"),
        ("own pairs + nll", 0.0, f"{2 * (sweep['pairs'] - sweep['pairs'] // sweep['rounds']):,}", "policy (and the "
         "reference, once a round)")):
    print(f"{WAYS[name]:22} {np.median(ends(name)):+6.2f} {np.median(ends(name, 'kl')):5.2f} "
          f"{seconds[name] + extra:6.0f}  {samples:>33}  {models}")
print(f"RLHF against DPO + NLL: gold {paired('rlhf', 'dpo + nll')}")

# %% [markdown]
# RLHF with PPO gets more out of the same comparisons, on five of five and at a larger KL, and takes more of
# everything: models, samples, seconds, and things that can be set wrong. (Both β are prices of a nat, in different
# money: RLHF's in standard deviations of its judge, DPO's in the annotator's log-odds. Compare KL and gold. And own
# pairs takes fewer seconds although it writes: a step on its replies, which are shorter, costs less.) Where labels are
# dear and the judge is good, sampling pays. Where you have a heap of pairs and an afternoon, DPO with its NLL term is
# a fine start.
#
# ## Where it breaks
#
# What the library refuses, each with its sentence:

# %%
same = Dataset.from_list([{"prompt": APPLE, "chosen": "the apple is red .", "rejected": "the apple is red ."}])
policy = copy.deepcopy(base)
hotter = frozen_copy(base)
hotter.temperature = 0.7
for attempt in (lambda: DPOConfig(beta=0.0), lambda: train(policy, policy, pairs, DPOConfig()),
                lambda: train(policy, reference, same, DPOConfig()),
                lambda: train(policy, hotter, pairs, DPOConfig()),
                lambda: train(policy, reference, pairs.remove_columns("rejected"), DPOConfig())):
    try:
        attempt()
    except ValueError as error:
        print("ValueError:", error)

# %% [markdown]
# The second is the mean one. Our DPO asks the reference once, before the first step. Code that asks it at every step
# (because the pairs do not fit into memory, say) and was given the policy itself finds all log-ratios at 0, a loss of
# ln 2 for ever, and a gradient all the same, since the reference's is cut off: it trains, and no pair ever lets go.
# The third is worth a thought, too. A pair of equal replies has a margin of 0 whatever the policy does, pays ln 2 for
# ever and teaches nothing. It could be left in, and you would never know how many of your pairs are empty.
#
# > **Change this number and run again.** `learn_from(pairs, DPOConfig(lr=1e-4))`: is the collapse only too large a
# > step? Guess before you run it, and look at gold at every look, not only at the end. Then
# > `DPOConfig(beta=1.0)`, and `DPOConfig(nll_coef=0.02)`: how little of the cure is enough?

# %% [markdown]
# ## Check yourself
#
# <details><summary>Your first logged loss is 0.71. What is wrong?</summary>
#
# At the start the policy *is* the reference, so every margin is 0 and every loss is ln 2 = 0.693, whatever the data.
# Anything else says that the two are not the same model: another checkpoint, dropout switched on, another temperature,
# a different template around the texts, or a reference whose log-probs were computed in another precision. It is the
# cheapest test there is.
# </details>
#
# <details><summary>Both log-probs fall from the first step on. A colleague wants to stop the run. What do you
# say?</summary>
#
# That on pairs written by the reference their average *must* fall as soon as anything is learned (on new pairs; on
# those it trains on unless it learns them by heart). The question is who gets the probability. Sample twenty replies
# and read them.
# </details>
#
# <details><summary>The chosen replies come from a much better model than the reference. Does the argument still
# hold?</summary>
#
# No. Gibbs' inequality speaks about the reference's own replies. Texts of somebody else may start very unlikely, and
# their log-prob can rise, and should. Pairs from two different writers have another danger: whatever tells the writers
# apart (a greeting, a length, a list) separates the pairs as well as quality does, and is easier to learn.
# </details>
#
# <details><summary>You train a reward model on the pairs, run PPO, and compute β log π/π_ref of the result. What do you
# get back?</summary>
#
# If PPO had reached the top of its hill: the reward model's rewards, up to a constant per request. That is step two.
# </details>
#
# <details><summary>On a pair that always came out the same way, DPO's loss can go to 0. Where does the policy
# go?</summary>
#
# As far as it is let. If one reply beats the other in every label, no finite margin is enough (the closed form has
# r = ∞), and β, which was to hold the policy near the reference, holds nothing: it only scales a margin that goes to
# infinity anyway. Most of our 4000 pairs are of that kind: they were compared once. Azar and others (2023,
# [arXiv:2310.12036](https://arxiv.org/abs/2310.12036)) made another loss, IPO, because of it.
# </details>
#
# <details><summary>Could one use the implicit reward as a reward model, say for best-of-N among the base's
# replies?</summary>
#
# Yes; on the base's own replies it is a fine judge, as you saw on the left of the scatter plot. Do not let an optimiser
# loose against it.
# </details>

# %% [markdown]
# ## You can now …
#
# … turn preferences into a policy with one classification loss, and derive it on a napkin: tilt the reference, turn
# round, subtract. You can read a reward off two language models, tell a log that looks bad from a policy that is, and
# name what a method that never listens cannot know. Your vocabulary has a function more:
#
# ```python
# dpo_loss(chosen, rejected, ref_chosen, ref_rejected, beta)    # [B], [B], [B], [B] -> [B]
# ```
#
# Listening is what made the difference, so let us go back to it, and keep what was good here: no critic, and, where a
# rule can judge, no reward model. A policy that answers a question several times and compares its answers *with each
# other* is chapter 16, GRPO.
#
# The exercises are in `work/15_dpo.ipynb` (`rlcourse start 15` puts it there, if it is missing). You will write the
# best policy, the implicit reward, the loss and its advantage, and measure where a policy's probability went.
#
# **Further reading**
#
# - R. Rafailov, A. Sharma, E. Mitchell, S. Ermon, C. D. Manning and C. Finn, *Direct Preference Optimization: Your
#   Language Model Is Secretly a Reward Model*, NeurIPS 2023, [arXiv:2305.18290](https://arxiv.org/abs/2305.18290).
# - N. Razin and others, *Unintentional Unalignment: Likelihood Displacement in Direct Preference Optimization*, 2024,
#   [arXiv:2410.08847](https://arxiv.org/abs/2410.08847).
# - A. Pal and others, *Smaug: Fixing Failure Modes of Preference Optimisation with DPO-Positive*, 2024,
#   [arXiv:2402.13228](https://arxiv.org/abs/2402.13228): another cure, which acts only where the chosen reply falls.
# - R. Y. Pang and others, *Iterative Reasoning Preference Optimization*, 2024,
#   [arXiv:2404.19733](https://arxiv.org/abs/2404.19733): the NLL term, and rounds on one's own replies.
# - Y. Meng, M. Xia and D. Chen, *SimPO: Simple Preference Optimization with a Reference-Free Reward*, 2024,
#   [arXiv:2405.14734](https://arxiv.org/abs/2405.14734): log-probs per token, and no reference at all.
# - S. Xu and others, *Is DPO Superior to PPO for LLM Alignment? A Comprehensive Study*, 2024,
#   [arXiv:2404.10719](https://arxiv.org/abs/2404.10719): DPO and replies that stand in no pair.
# - R. Park, R. Rafailov, S. Ermon and C. Finn, *Disentangling Length from Quality in Direct Preference Optimization*,
#   2024, [arXiv:2403.19159](https://arxiv.org/abs/2403.19159): DPO where people like it long.
# - S. Guo and others, *Direct Language Model Alignment from Online AI Feedback*, 2024,
#   [arXiv:2402.04792](https://arxiv.org/abs/2402.04792): DPO that listens.
# - R. Rafailov, J. Hejna, R. Park and C. Finn, *From r to Q\*: Your Language Model Is Secretly a Q-Function*, 2024,
#   [arXiv:2404.12358](https://arxiv.org/abs/2404.12358): the implicit reward, token by token.
