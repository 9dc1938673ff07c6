# %% [markdown]
# # 14 · RLHF with PPO
#
# Chapter 13 ended with a judge: a network that says how much somebody would like a reply. Chapter 09 ended with PPO,
# which finds what pays. This page puts one in front of the other. That is *reinforcement learning from human feedback*,
# **RLHF**, and it is how language models learned to be assistants.
#
# When you have worked through it you can name the four models that take part and say who feeds whom; take one batch
# through the whole machine by hand, token by token; read from a curve whether a model is getting better or only better
# liked; choose how long the leash should be; and say what breaks when any one of the four is missing.
#
# *About 80 minutes to read and 60 for the exercises, difficulty 4 of 5. You need chapters 08 (GAE), 09 (PPO) and 13
# (the judge). About a minute of computing.*

# %%
import copy
import json
from pathlib import Path
from statistics import fmean

import matplotlib.pyplot as plt
import numpy as np
import torch

import rlcore
from rlcore.agents.rlhf import RLHF, RLHFConfig
from rlcore.lm import LanguageValue, Prompts, RewardModel, RewardModelConfig, best_of_n_kl, train_reward_model
from rlcore.lm.base import assistant_base
from rlcore.lm.pairs import preference_pairs
from rlcore.lm.prompts import answer_in_groups
from rlcore.lm.reference import frozen_copy, log_probs_of
from rlcore.plotting import house_style, show
from rlcore.tasks.assistant import assistant_prompts, gold_parts, gold_reward
from rlcore.tasks.assistant_grammar import MAX_NEW_TOKENS
from rlcourse.diagram import GRADIENT, arrow, function_box, model_box
from rlcourse.diff import show_diff

torch.set_num_threads(1)
torch.manual_seed(0)
house_style()

# %% [markdown]
# ## Please the judge
#
# Take the base model of chapter 10, which writes well and helps nobody. Take a judge that was taught by 250
# comparisons; they are cheap, and a judge is a judge. Let PPO loose: reward is what the judge says. (All the
# arguments below will be explained. One of them is set to 0, and that will matter.)

# %%
def teach(pairs):
    """A judge from comparisons, as in chapter 13: mean 0 and standard deviation 1 on pairs that it has not seen."""
    judge = RewardModel.from_policy(assistant_base())
    for _ in train_reward_model(judge, pairs, RewardModelConfig(), seed=0):
        pass
    judge.normalize_on(preference_pairs(500, seed=1000))
    return judge


def machine(reward, **options):
    """A fresh base model, and everything that it takes to train it on a reward."""
    policy = assistant_base()
    world = Prompts(assistant_prompts("train"), [reward], prompts_per_step=128, max_new_tokens=MAX_NEW_TOKENS)
    return RLHF(policy, LanguageValue.from_policy(policy), frozen_copy(policy), world, RLHFConfig(**options), seed=0)


def follow(agent, until=None):
    """Train; of each batch, what the judge says (proxy) and, for our eyes only, what it is worth (gold)."""
    rows = []
    for metrics in agent.steps():
        gold = gold_reward(agent.world.prompts, agent.world.completions)
        rows.append({"step": metrics["step"], "proxy": metrics["reward"], "gold": fmean(gold),
                     "kl": metrics["objective/kl"], "words": metrics["completions/mean_length"]})
        if metrics["step"] == until:
            break
    return rows


hasty = teach(preference_pairs(250))
stumps = machine(hasty.reward, kl_coef=0.0, steps=12)
rows = follow(stumps)

# %%
ASKED = ["user what is the color of the apple ? bot", "user what is the taste of the wug ? bot",
         "user how can i fix the boat today ? bot", "user how can i burn the fence today ? bot"]


def say(policy, judge, times=2):
    """Replies to four requests, with what the judge says of them and what they are worth."""
    text, prompts, replies = answer_in_groups(policy, {"prompt": ASKED}, [judge.reward], times, MAX_NEW_TOKENS,
                                              torch.Generator().manual_seed(1))
    golds = gold_reward(prompts, replies)
    for i, (prompt, reply) in enumerate(zip(prompts, replies, strict=True)):
        if i % times == 0:
            print(prompt.removeprefix("user ").removesuffix(" bot"))
        print(f"   judge {text.rewards[i].sum():+.2f}   gold {golds[i]:+.2f}   {reply}")


print("BEFORE")
say(assistant_base(), hasty)
print("\nAFTER 12 STEPS")
say(stumps.policy, hasty)

# %%
def draw_way(ax, rows, title):
    """Proxy and gold of each batch over training."""
    steps = [row["step"] for row in rows]
    for name, colour, label in (("proxy", "C1", "the judge says (sd)"), ("gold", "C0", "it is worth (gold, points)")):
        ax.plot(steps, [row[name] for row in rows], color=colour, label=label)
    ax.axhline(0, color="black", linewidth=1)
    ax.legend(fontsize=9)
    ax.set(title=title, xlabel="step (128 replies each)", ylabel="mean of the batch")


def in_words(rows):
    """What the two curves do."""
    first, last = rows[0], rows[-1]
    return (f"The judge's reward goes from {first['proxy']:+.2f} to {last['proxy']:+.2f}, gold from "
            f"{first['gold']:+.2f} to {last['gold']:+.2f}.")


fig, ax = plt.subplots()
draw_way(ax, rows, "A judge taught by 250 comparisons, and nothing to hold the policy back")
show(fig, alt=f"Proxy and gold over {len(rows)} steps of PPO. {in_words(rows)}")

# %% [markdown]
# Look at the curves the way a company would: only the orange one exists. Training has gone splendidly. The replies are
# stumps.
#
# PPO has done nothing wrong. It was asked to find what the judge likes, and it did. The judge has done nothing wrong
# either: it learned from replies that the *base model* writes, and among those, one that begins well is usually good.
# Hardly anybody ever showed it a beginning with nothing behind. There the judge has no opinion, only an accident, and
# an optimiser collects accidents.
#
# This is **over-optimisation**: you met it in chapter 13, where best-of-N bent the curve a little. Best-of-N could only
# choose among things that the base model says. PPO moves the model itself, to places where the judge has never been.

# %% [markdown]
# ## A leash
#
# Where *has* the judge been? Where the base model goes. So keep a copy of the base model, frozen, and call it the
# **reference**. While the policy writes, let the reference read along and say how likely *it* would have found each
# token. Where the two agree, all is well. Where the policy says something that the reference finds improbable, charge
# for it:
#
# $$r_t = \text{score}_t - \beta\,\bigl(\log \pi(a_t \mid s_t) - \log \text{ref}(a_t \mid s_t)\bigr)$$
#
# The score is the judge's, at the last token (0 at the others). β ("beta") is the price, in the judge's unit (standard
# deviations) per **nat**: a token that the policy makes e = 2.7 times as likely as the reference does costs β. A token
# that it makes *rarer* earns something when it is said all the same.
#
# Add the prices of a reply up and take the mean over what the policy writes. The log-ratios become
#
# $$\mathbb{E}_{y \sim \pi}\Bigl[\log \frac{\pi(y \mid x)}{\text{ref}(y \mid x)}\Bigr]
#   = \mathrm{KL}(\pi \,\|\, \text{ref})$$
#
# which is the **Kullback–Leibler divergence**: how surprised the reference is, on average, beyond what the policy is
# itself. It is never negative, and 0 only if the two are the same. So what is climbed is E[score] − β · KL. Liked, and
# not far from home.

# %%
def my_prices(log_probs, ref_log_probs, beta):
    """What each token costs, `[B, T]`. Outside the mask both log-probs are 0, and so is the price."""
    return beta * (log_probs - ref_log_probs)


trajectory = stumps.world.sample(stumps.policy, torch.Generator().manual_seed(2))  # 128 more of them
ref_log_probs = log_probs_of(stumps.reference, trajectory)  # [B, T]
prices = my_prices(trajectory.log_probs, ref_log_probs, beta=0.15)  # [B, T]

i = 0
print(stumps.world.prompts[i])
for t in trajectory.mask[i].nonzero()[:, 0].tolist():
    word = stumps.policy.tokenizer.convert_ids_to_tokens(trajectory.actions[i, t].item())
    print(f"   {word:10} π {trajectory.log_probs[i, t].exp():8.2%}   reference {ref_log_probs[i, t].exp():8.2%}   "
          f"price {round(prices[i, t].item(), 2) + 0.0:+.2f}")
print(f"\nthis reply {prices[i].sum():.2f}; the mean of all {prices.sum(-1).mean():.2f}, that is a KL of "
      f"{prices.sum(-1).mean() / 0.15:.1f} nats; the judge pays {trajectory.rewards.sum(-1).mean():.2f} for them")

# %% [markdown]
# The dear token is the one with which the reply goes where the reference would not have gone. All in all, at β = 0.15
# such replies would cost more than they bring.
#
# ## Four models in one hand
#
# Now the real thing: a judge with 4000 comparisons, and the leash. Here are all who take part.

# %%
policy = assistant_base()  # writes
reward_model = teach(preference_pairs(4000))  # judges whole replies
value = LanguageValue.from_policy(policy)  # expects: what will this text, so far, be worth in the end?
reference = frozen_copy(policy)  # remembers

world = Prompts(assistant_prompts("train"), [reward_model.reward], prompts_per_step=128, max_new_tokens=MAX_NEW_TOKENS)
agent = RLHF(policy, value, reference, world, RLHFConfig(), seed=0)

# %%
FOUR = {"policy": agent.policy, "reward model": agent.world.rewards[0].__self__, "value": agent.value,
        "reference": agent.reference}
held = {id(weight) for group in agent.optimizer.param_groups for weight in group["params"]}
print(f"{'':14}{'weights':>9}   {'in the optimiser':18}a text of 11 tokens -> ")
tokens, real = reward_model.pack([ASKED[0]], [""])  # the request, closed with <eos>
with torch.no_grad():
    out = {"policy": policy(tokens).logits, "reward model": reward_model(tokens, real), "value": value(tokens),
           "reference": reference(tokens).logits}
for name, model in FOUR.items():
    weights = list(model.parameters())
    learns = {id(weight) in held for weight in weights} == {True}
    print(f"{name:14}{sum(weight.numel() for weight in weights):9,}   {'all: it learns' if learns else 'none':18}"
          f"{list(out[name].shape)}")

# %% [markdown]
# Four GPT-2s, all of them copies of one base model, cut open at different places. The policy and the reference say
# something about every possible next word, at every token. The value says one number at every token; the judge says
# one number. (In chapter 08 we called the value function the **critic**, and shall do so again.)
#
# Two of them learn. The other two must not: a reference that moves measures nothing, and a judge that moves can be
# talked round. (Nothing would move the judge by accident, by the way. The text between it and the policy is made of
# words, and no gradient passes through words; that is why we need policy gradients at all.)
#
# Who feeds whom? Let us not trust a drawing from memory. Put a stethoscope on each of the four, and let a copy of the
# machine take one step.

# %%
def listen(agent):
    """Let a copy take one step: (phase, who) -> [how often it was called, tokens that it read]."""
    twin, heard = copy.deepcopy(agent), {}
    bodies = {"policy": twin.policy.model, "reward model": twin.world.rewards[0].__self__.trunk,
              "value": twin.value.trunk, "reference": twin.reference.model}
    for name, body in bodies.items():
        def hook(module, args, kwargs, output, name=name):
            phase = "1 sample" if sampling else "3 improve" if torch.is_grad_enabled() else "2 estimate"
            entry = heard.setdefault((phase, name), [0, 0])
            entry[0] += 1
            entry[1] += kwargs["input_ids"].numel()
        body.register_forward_hook(hook, with_kwargs=True)
    sampling = True
    trajectory = twin.world.sample(twin.policy, twin.generator)
    sampling = False
    twin.learn(trajectory)
    return heard


heard = listen(agent)
for (phase, who), (calls, count) in heard.items():
    print(f"{phase:12} {who:14} called {calls:3} times, reads {count:6,} tokens"
          f"{', and is changed' if phase == '3 improve' else ''}")
READS = {name: sum(count for (_, who), (_, count) in heard.items() if who == name) for name in FOUR}

# %%
MODELS = {"policy": (1.6, 3.6), "reward model": (1.6, 6.1), "reference": (5.4, 3.6), "value": (5.4, 1.1)}
file = rlcore.agents.rlhf
FUNCTIONS = {RLHF.priced: (9.4, 4.85), file.gae: (9.4, 2.35), file.policy_update: (12.9, 2.35)}
LEARNS = {name: all(id(weight) in held for weight in model.parameters()) for name, model in FOUR.items()}

fig, ax = plt.subplots(figsize=(9.8, 5.6))
for left, right, title in ((0, 3.25, "1  sample"), (3.45, 11.0, "2  estimate"), (11.2, 14.4, "3  improve")):
    ax.axvspan(left, right, ymin=0.1, ymax=0.93, color="black", alpha=0.035, linewidth=0)
    ax.text(left + 0.15, 7.3, title, fontsize=12, fontweight="bold")
for name, at in MODELS.items():
    note = f"{'learns' if LEARNS[name] else 'frozen'}, reads {READS[name] / 1000:.0f}k tokens"
    model_box(ax, at, name, note, LEARNS[name])
for function, at in FUNCTIONS.items():
    function_box(ax, at, function.__name__)
arrow(ax, [(1.2, 4.25), (1.2, 5.45)], "texts", (1.2, 4.85))
arrow(ax, [(2.95, 3.6), (4.05, 3.6)], "tokens", (3.5, 3.95))
arrow(ax, [(1.6, 2.95), (1.6, 1.1), (4.05, 1.1)], "tokens", (2.75, 1.1))
arrow(ax, [(2.4, 4.25), (2.4, 4.85), (8.15, 4.85)], "log π of each token", (5.4, 4.85))
arrow(ax, [(2.95, 6.1), (9.4, 6.1), (9.4, 5.3)], "one reward per reply", (5.4, 6.1))
arrow(ax, [(6.75, 3.6), (8.7, 3.6), (8.7, 4.4)], "log ref", (7.7, 3.6))
arrow(ax, [(6.75, 1.1), (9.4, 1.1), (9.4, 1.9)], "a value per token", (8.2, 1.1))
arrow(ax, [(9.9, 4.4), (9.9, 2.8)], "a reward\nper token", (9.9, 3.6))
arrow(ax, [(10.6, 2.35), (11.7, 2.35)], "advantages,\nreturns", (11.1, 2.9))
arrow(ax, [(12.9, 1.9), (12.9, 0.05), (5.4, 0.05), (5.4, 0.45)], "gradient", (10.2, 0.05), GRADIENT)
arrow(ax, [(5.4, 0.05), (0.75, 0.05), (0.75, 2.95)], "gradient", (3.3, 0.05), GRADIENT)
ax.set(xlim=(-0.05, 14.45), ylim=(-0.35, 7.8))
ax.axis("off")
show(fig, alt="Who feeds whom in RLHF. Sample: the policy writes, the reward model reads the texts and gives one "
              "reward per reply. Estimate: the reference reads the tokens and gives log-probs; the value reads them "
              "and gives a value per token; priced makes one reward per token out of the log-probs of both and the "
              "reward, and gae turns them and the values into advantages and returns. Improve: policy_update sends "
              "gradients back to the policy and to the value, and to nobody else. Learning: "
              + ", ".join(name for name, learns in LEARNS.items() if learns)
              + ". Tokens read in one step: " + ", ".join(f"{name} {count:,}" for name, count in READS.items()))

# %% [markdown]
# Blue learns, grey is frozen, and the dashed orange lines are the only ones along which anything learns. Trace one
# token through it with your finger before you read on. Then trace the judge's number. (One line is left out, to keep
# the picture readable: the tokens and their log π also go straight to `policy_update`, for PPO's ratio.)
#
# The three steps are those of every learner in this course since chapter 07. *Sample*: let the policy act. *Estimate*:
# how much better than expected was each action? *Improve*: make those that were better likelier, not by too much. What
# is new is that "how good" now has three sources, which have to be put together.

# %% [markdown]
# ## One batch by hand
#
# Let the machine run for ten steps, so that the four have come apart (at the very first step the policy *is* the
# reference, all prices are 0, and the critic expects 0 of everything). Then we stop it and do the eleventh ourselves. A
# twin of the machine stands by to check.

# %%
history = follow(agent, until=10)

# 1. Sample
trajectory = world.sample(policy, agent.generator)  # 128 replies
twin = copy.deepcopy(agent)
mask = trajectory.mask  # [B, T]  the policy's own tokens
print("trajectory:", {name: tuple(getattr(trajectory, name).shape) for name in ("actions", "log_probs", "rewards")})

# %% [markdown]
# *Estimate*, in five lines. The price comes off the rewards. The critic reads every prefix. GAE (chapter 08) adds up
# how much each token surprised the critic, from the end to the beginning. And at the end of a reply there is nothing
# more to come, whether it said `<eos>` or ran into the length limit: its verdict is in, and that was the last reward
# there will ever be. So `over` stands where `terminated` would, which for a cart cut off at the time limit would be
# a mistake.

# %%
from rlcore.returns import gae, whiten
from rlcore.values import predict

BETA, GAMMA, LAM = 0.15, 1.0, 0.95

# 2. Estimate
ref_log_probs = log_probs_of(reference, trajectory)  # [B, T]
rewards = trajectory.rewards - my_prices(trajectory.log_probs, ref_log_probs, BETA)  # [B, T]
values, next_values = predict(value, trajectory)  # [B, T]  V of the text before each token, and with it
over = trajectory.done  # [B, T]
advantages = gae(rewards, values, next_values, over, over, GAMMA, LAM)  # [B, T]

# %% [markdown]
# γ is 1, because a good answer is no worse for taking longer to say. Here is one reply with everything that is now
# known about it.

# %%
def print_table(i):
    """One reply, token by token."""
    own = mask[i].nonzero()[:, 0]
    columns = {"log π": trajectory.log_probs, "log ref": ref_log_probs,
               "price": my_prices(trajectory.log_probs, ref_log_probs, BETA), "judge": trajectory.rewards,
               "reward": rewards, "V before": values, "advantage": advantages}
    print(world.prompts[i])
    print(f"{'token':10}" + "".join(f"{name:>10}" for name in columns))
    for t in own.tolist():
        word = policy.tokenizer.convert_ids_to_tokens(trajectory.actions[i, t].item())
        print(f"{word:10}" + "".join(f"{round(column[i, t].item(), 2) + 0.0:{'' if 'log' in name else '+'}10.2f}"
                                     for name, column in columns.items()))


# Of the replies of a handy length, the one in which a single word (not the last) surprised the critic most
surprise = ((next_values - values).abs() * (mask & ~over)).amax(-1)  # [B]
handy = (mask.sum(-1) >= 8) & (mask.sum(-1) <= 12)  # [B]
chosen = int((surprise * handy).argmax())
print_table(chosen)

# %% [markdown]
# Read it from right to left. *Advantage*: what the optimiser will act on. *V before*: what the critic expected when it
# had read everything up to here, this token not included. *Reward* is the judge's verdict, if this is the last token,
# minus the price. And the price is β times the gap between the first two columns. (A price below 0 is a refund: that
# word the policy says less readily than the reference does.)
#
# One number from the judge, for the whole reply, has become one number per token, and they are not alike. Go down the
# column *V before* and find where it leaps. The word *above* the leap is where the critic changed its mind. The words
# that had to follow, once it was said, have little to do with it, and their advantages are usually small.
#
# And the words before it? That is what λ is for. The same reply once more, for three λ, and without any critic.

# %%
own = mask[chosen].nonzero()[:, 0]
words = policy.tokenizer.convert_ids_to_tokens(trajectory.actions[chosen, own].tolist())
nothing = torch.zeros_like(values)
ways = {"λ = 0": gae(rewards, values, next_values, over, over, 1.0, 0.0),
        "λ = 0.95": advantages, "λ = 1": gae(rewards, values, next_values, over, over, 1.0, 1.0),
        "no critic (λ = 1)": gae(rewards, nothing, nothing, over, over, 1.0, 1.0)}
fig, ax = plt.subplots(figsize=(8.2, 3.6))
for i, (name, marker) in enumerate(zip(ways, "osD^", strict=True)):
    ax.plot(range(len(own)), ways[name][chosen, own], marker=marker, markersize=5, label=name, linewidth=1.6,
            color=("C0", "C1", "C2", "black")[i])
ax.axhline(0, color="black", linewidth=1)
ax.set_xticks(range(len(own)), words)
ax.set(title="Who is praised or blamed for one reply?", ylabel="advantage")
ax.legend(fontsize=9)
show(fig, alt="The advantage of each token of one reply. " + "; ".join(
    f"{name}: " + ", ".join(f"{word} {x:+.2f}" for word, x in zip(words, way[chosen, own], strict=True))
    for name, way in ways.items()))

# %% [markdown]
# With λ = 0 each word gets its own surprise and its own price, nothing else. With λ = 1 each gets all that followed. At
# 0.95 the blame goes *back* to the words that led there, a little fainter with each word, and never forward to those
# that came after. Without a critic every word hears what was still to be paid; whether that is more or less than one
# could have expected there, nobody says.
#
# Let us check the arithmetic: GAE's by hand; at λ = 1, where the advantage is simply *what still came* minus *what was
# expected*; and the prices.

# %% tags=["nbval-check-output"]
r, V = rewards[chosen, own], values[chosen, own]  # [N] each
still_to_come = r.flip(0).cumsum(0).flip(0)
torch.testing.assert_close(gae(rewards, values, next_values, over, over, 1.0, 1.0)[chosen, own], still_to_come - V,
                           atol=1e-5, rtol=1e-5)

A = 0.0
for t in reversed(range(len(r))):  # GAE by hand
    V_next = V[t + 1] if t + 1 < len(r) else 0.0  # after the last token there is nothing
    A = (r[t] + V_next - V[t]) + LAM * A
    torch.testing.assert_close(A, advantages[chosen, own[t]], atol=1e-5, rtol=1e-5)
torch.testing.assert_close(agent.priced(trajectory, ref_log_probs), rewards)
print("my advantages are gae's, and my rewards RLHF.priced's")

# %% [markdown]
# *Improve* is chapter 09, unchanged: two passes over the batch in minibatches, the clipped surrogate for the policy,
# the squared error for the critic, one optimiser. Here it is, and then the twin does its eleventh step with the
# library's `learn`. If the two policies agree to the last bit, there is nothing in RLHF that you have not seen.

# %% tags=["nbval-check-output"]
from rlcore.trajectory import Batch
from rlcore.update import policy_update

# 3. Improve
batch = Batch(trajectory.states, trajectory.actions, trajectory.log_probs, whiten(advantages, mask), mask,
              returns=advantages + values)
policy_update(policy, batch, agent.optimizer, clip=0.2, value=value, value_coef=1.0, epochs=2, minibatch_size=64,
              generator=agent.generator)

twin.learn(trajectory)
for mine, theirs in zip([*policy.parameters(), *value.parameters()],
                        [*twin.policy.parameters(), *twin.value.parameters()], strict=True):
    assert torch.equal(mine, theirs)
print("the eleventh step by hand is RLHF.learn's, to the last bit")

# %% [markdown]
# ## The same lines that balanced a pole
#
# Here is the difference between chapter 09's PPO and RLHF, made from the two files.

# %%
from rlcore.agents.ppo import PPO

show_diff(PPO.learn, RLHF.learn)

# %% [markdown]
# Blue lines: ask the reference, charge the price, and report how far we are. Orange lines are gone for dull reasons
# (a cart's steps can be shuffled one by one, a text wants its row). `gae`, `whiten`, `policy_update`, and inside it
# `ppo_clip_loss`, are not similar to those that trained CartPole. They are those.

# %% tags=["nbval-check-output"]
import rlcore.agents.ppo
import rlcore.agents.rlhf

for name in ("gae", "whiten", "policy_update", "predict", "Learner"):
    assert getattr(rlcore.agents.ppo, name) is getattr(rlcore.agents.rlhf, name)
print("one and the same object: gae, whiten, policy_update, predict, Learner")

# %% [markdown]
# ## The run
#
# Nineteen steps are left. (The one by hand is missing from the curves below. It also had the tenth step's learning
# rate, since the loop lowers the rate before it samples, and we did not.)

# %%
agent.step = 11  # the one that we did
history += follow(agent)

# %%
fig, axes = plt.subplots(1, 2, figsize=(9.2, 3.6), width_ratios=(3, 2))
draw_way(axes[0], history, "With a good judge and a leash (β = 0.15)")
axes[1].plot([row["step"] for row in history], [row["kl"] for row in history], color="C2")
axes[1].set(title="How far from the reference", xlabel="step", ylabel="KL (nats per reply)")
show(fig, alt=f"RLHF over 30 steps, one run. {in_words(history)} The KL rises to "
              f"{max(row['kl'] for row in history):.1f} nats and ends at {history[-1]['kl']:.1f}.")
print("BEFORE")
say(assistant_base(), reward_model)
print("\nAFTER 30 STEPS")
say(policy, reward_model)

# %% [markdown]
# Both curves rise, and they rise together. The KL overshoots while the learning rate is high; then the price pulls it
# back, and gold loses nothing by it. Which of the H has been learned?

# %%
def parts_of(policy, seed=3):
    """The parts of gold, mean over two sampled replies to every request."""
    prompts = {"prompt": assistant_prompts("all")["prompt"]}
    _, asked, replies = answer_in_groups(policy, prompts, [reward_model.reward], 2, MAX_NEW_TOKENS,
                                         torch.Generator().manual_seed(seed))
    return {name: fmean(values) for name, values in gold_parts(asked, replies).items()}


before, after = parts_of(assistant_base()), parts_of(policy)
fig, ax = plt.subplots(figsize=(7.2, 3.0))
for i, name in enumerate(before):
    ax.annotate("", (after[name], i), (before[name], i), arrowprops={"arrowstyle": "-|>", "color": "C0", "lw": 2})
    ax.plot(before[name], i, "o", color="black", markersize=5)
ax.axvline(0, color="black", linewidth=1)
ax.set_yticks(range(len(before)), list(before))
ax.set(title="The parts of gold, before (dot) and after (arrow)", xlabel="points, mean over sampled replies",
       ylim=(len(before) - 0.5, -0.5))
show(fig, alt="Parts of the gold reward before and after: " + ", ".join(
    f"{name} {before[name]:+.2f} to {after[name]:+.2f}" for name in before))

# %% [markdown]
# Helpful is the odd one: over the seeds of the sweep below it goes either way. Whoever refuses to burn a fence is less
# helpful for it, and it is also what the judge sees worst (chapter 13).
#
# ## Which word was it?
#
# In chapter 12 every token of a reply got the same praise: the clever word, the obvious ones, the full stop. Now there
# is a critic. Give it texts that *we* write and look what it expects after each word.

# %%
LINES = [(ASKED[0], "of course , the apple is red ."), (ASKED[0], "of course , the apple is blue ."),
         (ASKED[3], "of course , sorry i will not help with that ."),
         (ASKED[3], "of course , use matches to burn the fence .")]


def expectations(prompt, reply):
    """V of every prefix from the request on; after `<eos>` there is nothing to expect, so it is left out."""
    tokens, _ = reward_model.pack([prompt], [reply])
    with torch.no_grad():
        return value(tokens)[0, len(prompt.split()) - 1 : -1]


fig, axes = plt.subplots(1, 2, figsize=(9.6, 4.0), sharey=True)
drops = []
for ax, (first, second) in zip(axes, (LINES[:2], LINES[2:]), strict=True):
    for (prompt, reply), colour, up in ((first, "C0", 1), (second, "C1", -1)):
        V = expectations(prompt, reply)
        words = ["", *reply.split()]
        ax.plot(range(len(words)), V, "o-", color=colour, markersize=4)
        where = int((V[1:] - V[:-1]).abs().argmax()) + 1 if colour == "C1" else None
        for x, word in enumerate(words):
            if colour == "C0" or word != ["", *first[1].split()][x]:
                ax.annotate(word, (x, V[x]), xytext=(0, 9 * up), textcoords="offset points", ha="center", fontsize=9,
                            va="bottom" if up > 0 else "top", color=colour, rotation=40 if len(words) > 10 else 0)
        if where:
            drops.append(f"“{reply}”: the largest change, {V[where] - V[where - 1]:+.2f}, at “{words[where]}”")
    ax.axhline(0, color="black", linewidth=1)
    ax.set(title=first[0].removeprefix("user ").removesuffix(" bot"), xlabel="tokens written")
    ax.margins(x=0.07, y=0.22)
axes[0].set_ylabel("V: the reward still expected")
show(fig, alt="What the critic expects after each word of four replies. " + ". ".join(drops))
print("\n".join(drops))

# %% [markdown]
# Up to the word where the two replies part the lines are one, since the texts are. Then one falls off a cliff, and it
# falls *at the word*: nobody ever told the critic that "blue" was the trouble; it only ever heard what whole replies
# were worth. The size of the step is that word's TD error (up to its price): GAE gives it to that word and,
# fading with λ, to those before it. The words behind it are not to blame.
#
# That is what a critic can do. Whether it is worth a fourth model, we will measure below.

# %% [markdown]
# ## What β buys
#
# One run proves little, and β = 0.15 fell from the sky. Here is a sweep (`benchmarks/rlhf_frontier.py`): five seeds,
# each with its own base model, and three judges. A *good* one (4000 comparisons), a *weak* one (250), and one taught by
# somebody who *likes words*. Each dot is a policy after 30 steps.

# %%
RESULTS = Path(rlcore.__file__).parents[1] / "benchmarks/results"
frontier = json.loads((RESULTS / "rlhf_frontier.json").read_text())


def runs_of(judge, beta):
    """One entry per seed."""
    return [run for run in frontier["runs"] if (run["reward_model"], run["beta"]) == (judge, beta)]


def ends(judge, beta, name):
    """Of each seed, at the end."""
    return np.array([run[name][-1] for run in runs_of(judge, beta)])


JUDGES = {"good": ("C0", "o", (0.15, 0.0)), "weak": ("C1", "s", (1.0, 0.15, 0.05, 0.0)),
          "length-biased": ("C2", "^", (0.15, 0.0))}
LABELS = {("good", 0.15): (-50, 8), ("good", 0.0): (9, 4), ("weak", 1.0): (-2, -24), ("weak", 0.15): (-34, -82),
          ("weak", 0.05): (-6, -50), ("weak", 0.0): (-42, -8), ("length-biased", 0.15): (10, 16),
          ("length-biased", 0.0): (8, 4)}  # where to write, in points from the dot
base_gold = np.mean([run["gold"][0] for run in runs_of("good", 0.15)])
fig, axes = plt.subplots(1, 2, figsize=(9.8, 4.4), sharey=True)
for ax, name in zip(axes, ("proxy", "gold"), strict=True):
    for judge, (colour, marker, betas) in JUDGES.items():
        middle = [(0.0, base_gold if name == "gold" else 0.0)]
        for beta in betas:
            x, y = ends(judge, beta, "kl"), ends(judge, beta, name)
            ax.plot(x, y, marker, color=colour, markersize=5, alpha=0.7, linestyle="none")
            middle.append((np.median(x), np.median(y)))
            if name == "gold":
                ax.annotate(f"β = {beta:g}", middle[-1], xytext=LABELS[judge, beta], fontsize=9, color=colour,
                            textcoords="offset points", arrowprops={"arrowstyle": "-", "color": colour, "lw": 0.6})
        ax.plot(*zip(*middle), color=colour, linewidth=1.2, alpha=0.8, marker=marker, markersize=3,
                label={"good": "good: 4000 pairs", "weak": "weak: 250 pairs", "length-biased": "likes words"}[judge])
    ax.axhline(0, color="black", linewidth=1)
    ax.set_xscale("function", functions=(lambda x: np.sqrt(np.maximum(x, 0)), np.square))
    ax.set_xticks([0, 0.5, 2, 5, 10, 20, 30], ["0", ".5", "2", "5", "10", "20", "30"])
    ax.set(title={"proxy": "What the judge says", "gold": "What it is worth"}[name], xlim=(0, 42),
           xlabel="KL from the reference at the end (nats, root scale)")
axes[0].legend(fontsize=9, loc="lower right", title="line: medians of five seeds", title_fontsize=9)
axes[0].set_ylabel("mean reward (left: sd, right: points)")
show(fig, alt="Judge's reward and gold at the end against KL, five seeds each. Medians: " + "; ".join(
    f"{judge} judge, β = {beta:g}: KL {np.median(ends(judge, beta, 'kl')):.1f}, judge "
    f"{np.median(ends(judge, beta, 'proxy')):.2f}, gold {np.median(ends(judge, beta, 'gold')):.2f}"
    for judge, (_, _, betas) in JUDGES.items() for beta in betas))

# %%
print(f"{'judge':14}{'β':>5}{'KL':>7}{'judge':>8}{'gold':>7}{'words':>7}   gold of each seed     (base: gold "
      f"{base_gold:.2f})")
for judge, (_, _, betas) in JUDGES.items():
    for beta in betas:
        medians = [np.median(ends(judge, beta, name)) for name in ("kl", "proxy", "gold", "words")]
        print(f"{judge:14}{beta:5.2f}{medians[0]:7.1f}{medians[1]:8.2f}{medians[2]:7.2f}{medians[3]:7.1f}   "
              + " ".join(f"{gold:+.2f}" for gold in ends(judge, beta, "gold")))

# %% [markdown]
# The left panel is what you see when you train a real model. All lines rise; the further out, the better, and the free
# policies are the best of all. The right panel is what you get.
#
# Follow the weak judge's line there. On a leash of β = 1 the policy hardly leaves home, and gains something. With more
# rope it gains more, up to a top, and then falls far below where it started. The line is called the **frontier**: what
# can be had for each nat of distance. A longer leash moves you along it; to move the line itself you need a better
# judge (or an optimiser that spends its nats better). So β says less about your policy than about **how far from home
# you trust your judge**.
#
# You have met such an optimiser: best-of-N. Here is chapter 13's, with the same bases and the same 4000 comparisons
# (its judges were trained a little differently).

# %%
picked = json.loads((RESULTS / "reward_model_judges.json").read_text())
best = np.array([run["best_of"]["gold"] for run in sorted(picked["runs"], key=lambda run: run["seed"])
                 if run["judge"] == "gold"])  # [seeds, choices]
for n in (4, 8, 16):
    values = best[:, picked["choices"].index(n)]
    gap = ends("good", 0.15, "gold") - values
    print(f"best of {n:2}: KL at most {best_of_n_kl(n):.1f}, gold {np.median(values):.2f}; RLHF at β = 0.15 minus "
          f"that, seed by seed: {gap.mean():+.2f} ± {gap.std(ddof=1) / len(gap) ** 0.5:.2f}")

# %% [markdown]
# Best of eight, without training the policy, is about as good, and nearer to home. So what is PPO for? For the bill
# afterwards: best-of-N writes N replies and asks the judge each time somebody asks a question, for ever. A trained
# policy writes one.
#
# Nobody knows beforehand what β means in nats: it depends on the judge, the world, the learning rate. So people often
# fix the *distance* instead, and let β adjust itself until the KL is there (Ziegler and others, 2019; exercise 14.5).
#
# And the one who likes words? On the leash gold is fine (look at the column *words*: replies are longer than they need
# to be). Without it, this judge too is taken at its word. But mind what the leash does and what it does not. It keeps
# the policy where the judge is *competent*. Where the judge is wrong *at home*, its error is cheap to
# satisfy, and the leash does not notice: the words come anyway, only fewer of them.

# %% [markdown]
# ## The way there
#
# Now over training, with all five seeds. Orange is what the judge says, blue what it is worth.

# %%
PANELS = [("good", 0.0), ("weak", 0.0), ("length-biased", 0.0), ("good", 0.15), ("weak", 0.15), ("length-biased", 0.15)]
fig, axes = plt.subplots(2, 3, figsize=(9.6, 5.2), sharex=True, sharey=True)
told = []
for ax, (judge, beta) in zip(axes.flat, PANELS, strict=True):
    for run in runs_of(judge, beta):
        ax.plot(run["step"], run["proxy"], color="C1", linewidth=1, alpha=0.8)
        ax.plot(run["step"], run["gold"], color="C0", linewidth=1, alpha=0.8)
    ax.axhline(0, color="black", linewidth=1)
    ax.set_title(f"{judge} judge, β = {beta:g}", fontsize=11)
    falls = [max(run["gold"]) - run["gold"][-1] for run in runs_of(judge, beta)]
    says, worth = (np.median(ends(judge, beta, name)) for name in ("proxy", "gold"))
    told.append(f"{judge} judge at β = {beta:g}: it says {says:.2f} at the end, gold is {worth:.2f}, below its own "
                f"peak by {min(falls):.2f} to {max(falls):.2f}")
axes[0, 1].annotate("the judge says", (17, 1.42), color="C1", fontsize=9, ha="center")
axes[0, 1].annotate("it is worth", (1, -1.8), color="C0", fontsize=9)
for ax in axes[1]:
    ax.set_xlabel("step")
for ax in axes[:, 0]:
    ax.set_ylabel("sd, or points")
show(fig, alt="Judge's reward and gold over training, five seeds each. " + "; ".join(told))
for line in told:
    print(line)

# %% [markdown]
# In the upper row nothing distinguishes the orange bundles from each other. If you had only them, you could not tell
# the left column from the middle one. The lower row has the same orange to within a few tenths, and another world below
# it.
#
# The weak judge's gold hardly rises at all before it falls (we look every five steps, and by then it is far out). With
# larger models and smaller steps there is a hump; Gao, Schulman and Hilton (2023) measured humps for reward models of
# many sizes, and found gold to be a simple function of √KL, which is why that axis is drawn as a root above.
#
# So what do you do without gold? You pay for a little of it. Keep a few hundred replies for people to look at, at
# several checkpoints, and believe *them* about when to stop. And read replies. Eight lines at the top of this page
# were enough.

# %% [markdown]
# ## Each of the four, taken away
#
# Do we need all of them? Take the machine, good judge, β = 0.15, and break one thing at a time. (The sweep is
# `benchmarks/rlhf_four_models.py`: five seeds, 30 steps each, otherwise the settings above.) Say what you expect before
# you look.

# %%
broken = json.loads((RESULTS / "rlhf_four_models.json").read_text())
CHANGES = {
    "all four": runs_of("good", 0.15), "policy frozen": None,
    "no critic (V = 0)": "no critic", "no critic, λ = 1": "no critic, λ = 1",
    "critic stops learning at step 5": "critic stopped",
    "no reference (β = 0)": runs_of("good", 0.0), "reference follows the policy": "reference follows",
    "no judge: only the price": "no judge", "judge with a random head": "judge untaught",
}
CHANGES = {name: [run for run in broken["runs"] if run["change"] == what] if isinstance(what, str) else what
           for name, what in CHANGES.items()}
KEYS = ("gold", "kl", "words")
final = {name: {key: np.array([run[key][-1] for run in runs]) for key in KEYS}
         for name, runs in CHANGES.items() if runs}
final["policy frozen"] = {key: np.array([run[key][0] for run in CHANGES["all four"]]) for key in KEYS}

fig, axes = plt.subplots(1, 2, figsize=(9.6, 4.4), sharey=True, width_ratios=(3, 2))
for y, name in enumerate(CHANGES):
    colour = "black" if name == "all four" else "C0"
    for ax, key in zip(axes, ("gold", "kl"), strict=True):
        dots = final[name][key]
        ax.plot(dots, np.full(5, y) + np.linspace(-0.16, 0.16, 5), "o", color=colour, markersize=5, alpha=0.8)
        ax.plot([np.median(dots)] * 2, [y - 0.34, y + 0.34], color=colour, linewidth=2)
for ax, key in zip(axes, ("gold", "kl"), strict=True):
    ax.axvline(np.median(final["all four"][key]), color="black", linestyle="--", linewidth=1)
    for edge in (1.5, 4.5, 6.5):
        ax.axhline(edge, color="black", linewidth=0.6, alpha=0.4)
axes[0].set_yticks(range(len(CHANGES)), list(CHANGES))
axes[0].invert_yaxis()
axes[0].set(title="Gold after 30 steps (bar: median of 5 seeds)", xlabel="points")
axes[1].set(title="How far from where it began", xlabel="KL (nats per reply)")
show(fig, alt="Gold and KL at the end with one thing changed, five seeds each. Medians: " + "; ".join(
    f"{name} gold {np.median(final[name]['gold']):.2f}, KL {np.median(final[name]['kl']):.1f}" for name in CHANGES))
for name in CHANGES:
    runs = CHANGES[name]
    cost = f"{np.median([run['cpu_seconds'] for run in runs]):5.1f} CPU s" if runs else " " * 11
    print(f"{name:33} gold {np.median(final[name]['gold']):+.2f}   words {np.median(final[name]['words']):4.1f}   "
          f"{cost}   gold by seed " + " ".join(f"{gold:+.2f}" for gold in final[name]["gold"]))

# %% [markdown]
# **The policy**, frozen, is the base model. It is in the picture as a ruler.
#
# **The critic** is missed, a little. Without it gold is lower on all five seeds, and the machine is a good deal
# cheaper: the critic is the second of the two models that have to be trained. Something else happens, in the column
# *words*: replies become short. With V = 0 everywhere GAE is nothing but Σ λᵏ rₜ₊ₖ, so that λ, which was to trade bias
# for variance, has quietly become a *discount*, and a word far from the verdict hears less of it. At λ = 1 everybody
# hears the whole verdict, and most of the length comes back. And a critic that stops learning after five steps does as
# well as one that goes on, within the spread.

# %%
whole = final["all four"]["gold"]
for name in ("no critic (V = 0)", "no critic, λ = 1", "critic stops learning at step 5"):
    gap = final[name]["gold"] - whole  # the same base, judge and dice
    print(f"{name:33} against all four, seed by seed: " + " ".join(f"{x:+.2f}" for x in gap)
          + f"   mean {gap.mean():+.2f} ± {gap.std(ddof=1) / len(gap) ** 0.5:.2f}")

# %% [markdown]
# So in this world a whole network buys about that much. ("About": the two that learn share one limit on the length of
# the gradient, `max_grad_norm`, and most of that length is the critic's. Whoever takes the critic out also lets the
# policy step a little differently.) Why not more? One reason we know: the critic is not the only baseline,
# since `whiten` has already taken the batch's mean off. And an episode is a dozen words with the verdict at their end,
# so there is not much time to bridge. (Chapter 09's carts were cut off after 32 steps of several hundred: there V was
# the only one who knew of the rest.) Keep these lines in mind. The two famous successors of this machine begin by
# throwing the critic out: chapter 15 has none, and neither has chapter 16.
#
# "And a critic that is frozen from the start?" It is no critic at all. Its head begins at 0, so it expects 0 of
# everything:

# %% tags=["nbval-check-output"]
class NoCritic(torch.nn.Module):
    """Expects nothing."""

    def forward(self, states):
        return torch.zeros(states.shape)

    def check_fits(self, policy):
        """It fits everybody."""


frozen, without = machine(gold_reward), machine(gold_reward)
frozen.value.requires_grad_(False)
without = RLHF(without.policy, NoCritic(), without.reference, without.world, RLHFConfig(), seed=0)
for broken_one in (frozen, without):
    follow(broken_one, until=1)
for mine, theirs in zip(frozen.policy.parameters(), without.policy.parameters(), strict=True):
    assert torch.equal(mine, theirs)
print("a critic frozen at its beginning is no critic, to the last bit")

# %% [markdown]
# **The reference** is missed badly. Interesting is the one that *follows*: before each batch it becomes a copy of the
# policy, as it would if somebody forgot a `copy.deepcopy`. Then log π − log ref is 0 at every token, nobody ever pays,
# and the training is that with β = 0. (On paper even to the bit: the same dice, the same rewards. That its dots differ
# from those in the row above is rounding, grown by thirty steps off the leash. So much for small differences down
# there.) It even *looks* better than the healthy one, since the instrument that should have sounded the alarm was
# disconnected:

# %%
fig, ax = plt.subplots(figsize=(7.2, 3.2))
blind = CHANGES["reference follows the policy"]
for run in blind:
    ax.plot(range(1, 31), run["kl_seen"], color="C1", linewidth=1.5)
    ax.plot(run["step"], run["kl"], "o-", color="C0", linewidth=1, markersize=4)
ax.annotate("the KL on the dashboard", (29, 0), xytext=(0, 6), textcoords="offset points", color="C1", ha="right")
ax.annotate("the KL from where it began", (10, max(run["kl"][1] for run in blind)), xytext=(-8, 6), color="C0",
            textcoords="offset points", ha="right")
ax.set(title="A reference that follows the policy, five seeds", xlabel="step", ylabel="KL (nats per reply)")
show(fig, alt="With a reference that follows, the KL that training reports is 0 at every step on all seeds, while the "
              "KL from the base model at the end is " + ", ".join(f"{run['kl'][-1]:.1f}" for run in blind) + " nats.")
print(f"the largest KL ever reported: {max(max(map(abs, run['kl_seen'])) for run in blind):.0e}")

# %% [markdown]
# **The judge**. With a random head on its trunk (so it is consistent, and likes *something*) the policy obliges: close
# to home, and on most seeds worse than before. The leash decides how far you go; where to is the judge's doing alone.
# Without any judge the only thing that counts is the price, and the policy ends where it began. That is as it should
# be.
#
# Or is it? Look at how it got there.

# %%
fig, ax = plt.subplots(figsize=(7.2, 3.2))
for run in CHANGES["no judge: only the price"]:
    ax.plot(range(1, 31), run["kl_seen"], color="C0", linewidth=1.2)
ax.set(title="No judge, only the price: five seeds", xlabel="step", ylabel="KL (nats per reply)")
jump = [run["kl_seen"][1] for run in CHANGES["no judge: only the price"]]
show(fig, alt="The KL is 0 at the first step, jumps to " + ", ".join(f"{x:.1f}" for x in jump)
              + " nats at the second, and comes back to near 0 over the rest.")

# %% [markdown]
# At the first step the policy *is* the reference: all prices are 0, all rewards are 0, all advantages are 0. There was
# nothing to learn, and it leapt away. Why?
#
# They are not quite 0. Sampling computes a text word by word, scoring all at once, so that the two log-probs of a token
# differ in the last bits, by something like 10⁻⁶. And then `whiten` divides by the standard deviation. Of the
# rounding.

# %%
def nobody(prompts, completions, **_):
    """No judge."""
    return [0.0] * len(completions)


for normalize in (True, False):
    rows = follow(machine(nobody, normalize=normalize), until=2)
    print(f"normalize={normalize!s:5}   KL after one step without any reason to move: {rows[1]['kl']:.6f}")

# %% [markdown]
# Normalised advantages make a mountain of every molehill. It is the price of having one learning rate for all worlds:
# "everybody did equally well" and "everybody did equally well, up to rounding" are the same to you, and as different
# as can be to a division. Whenever all rewards of a batch are equal, this is waiting. (The little that is left in the
# second line is Adam's doing, which divides by the size of the gradient.)

# %% [markdown]
# ## Measuring the distance
#
# The KL in all these pictures was *estimated*: the mean of log π − log ref over tokens that the policy happened to
# write. That estimator is called k1. It is right on average, but a single token's may be negative, and an average of
# few can be, too, though a KL never is. So Schulman (2020) proposed two others. With d = log ref − log π:
#
# $$k_1 = -d, \qquad k_2 = \tfrac12 d^2, \qquad k_3 = e^d - d - 1$$
#
# k2 and k3 are never negative. k3 is also right on average, and is usually said to be the better k1. Our vocabulary has
# 94 words, so we need not argue: at each state, sum over *all* next words for the exact KL, and for the exact mean and
# standard deviation of each estimator. Three policies: one that has only just left, the one that we trained, and the
# stumps from the top of the page.

# %%
from rlcore.losses import kl_estimate

hugging = frozen_copy(policy)  # one tenth of the way (in weights)
with torch.no_grad():
    for weight, start in zip(hugging.parameters(), reference.parameters(), strict=True):
        weight.copy_(start + 0.1 * (weight - start))


def estimators(policy, seed=1):
    """Of the tokens of some replies: the exact KL, and for each estimator its values and its exact mean and sd."""
    requests = {"prompt": assistant_prompts("all")["prompt"]}
    text, _, _ = answer_in_groups(policy, requests, [nobody], 2, MAX_NEW_TOKENS, torch.Generator().manual_seed(seed))
    with torch.no_grad():
        log_pi, log_ref = (model(text.states).logits[text.mask] for model in (policy, reference))  # [N, 94]
    pi = log_pi.exp()
    exact = (pi * (log_pi - log_ref)).sum(-1).mean().item()
    rows = {}
    for kind in ("k1", "k2", "k3"):
        sampled = kl_estimate(text.log_probs, log_probs_of(reference, text), kind)[text.mask]  # [N]
        each = kl_estimate(log_pi, log_ref, kind)  # [N, 94]  what it would say of every word
        mean = (pi * each).sum(-1).mean()
        rows[kind] = sampled, mean.item(), ((pi * each.square()).sum(-1).mean() - mean**2).sqrt().item()
    return exact, rows


measured = {"has only just left": estimators(hugging), "trained, β = 0.15": estimators(policy),
            "the stumps": estimators(stumps.policy)}
for name, (exact, rows) in measured.items():
    print(f"{name}: the exact KL is {exact:.4f} nats per token")
    for kind, (sampled, mean, sd) in rows.items():
        print(f"   {kind}: true mean {mean:.4f}, true sd {sd:7.3f}    in {len(sampled):,} sampled tokens: mean "
              f"{sampled.mean():.4f}, sd {sampled.std():.3f}, below 0 in {(sampled < -1e-6).float().mean():.0%}")

# %%
fig, axes = plt.subplots(1, 3, figsize=(9.8, 3.5), sharey=True)
for ax, (name, (exact, rows)) in zip(axes, measured.items(), strict=True):
    for kind, (sampled, _, _) in rows.items():
        count = torch.arange(1, len(sampled) + 1)
        ax.plot(count[50:], (sampled.cumsum(0) / count)[50:] / exact, color=f"C{'123'.index(kind[1])}", linewidth=1.6,
                label=kind)
    ax.axhline(1, color="black", linestyle="--", linewidth=1)
    ax.set(title=name, xlabel="tokens averaged", ylim=(0, 4))
    ax.locator_params(axis="x", nbins=4)
axes[0].set_ylabel("estimate ÷ exact KL")
axes[0].legend(fontsize=9, ncols=3, loc="upper right")
show(fig, alt="The running mean of three KL estimators over sampled tokens, divided by the exact KL. At the end: "
     + "; ".join(f"{name} " + ", ".join(f"{kind} {rows[kind][0].mean() / exact:.2f}" for kind in rows)
                 for name, (exact, rows) in measured.items()))

# %% [markdown]
# Close to home k3 is what it is said to be: the same mean as k1 and a fraction of its noise. Far from home the praise
# is wrong. Its mean is still exact, but its true standard deviation is many times k1's, and the *sampled* one does not
# even show it. The reason is eᵈ = ref/π: a word that the reference loves and the policy has all but given up counts
# enormously, and is all but never drawn. What you see between two such draws is a number that looks calm, is a little
# too low, and jumps. k2 is a fair estimate only near home. So: near home k3, further out k1 over many tokens, and do
# not be alarmed by a negative one.
#
# Where does the price go? Until now: into the **reward**, so that GAE carries it back through time, and a word is also
# charged for where it leads. The other place is the **loss**, beside the clipped surrogate, where each word is charged
# for itself only: `RLHFConfig(kl_in="loss", kl_kind="k3")`. (β is another number there. In the reward,
# whitening divides the price by the advantages' standard deviation together with everything else; in the loss nothing
# does.) That is what GRPO's paper does (chapter 16). Which of the three
# estimators may go where is a question of *gradients*, and an estimator that is right on average need not have a
# gradient that is. In a reward it has to be k1. Chapter 16 shows why, and lets the two places compete.

# %% [markdown]
# ## Where it breaks
#
# Four accidents that the library refuses. The first two are the orange line at 0 that you have seen: a reference that
# is the policy, once openly and once in disguise.

# %%
from rlcore.lm import small_gpt2

twice_as_wide = small_gpt2(policy.tokenizer, layers=2, width=192, heads=4, positions=39)
for accident in (lambda: RLHF(policy, value, policy, world, RLHFConfig()),
                 lambda: RLHF(policy, value, type(policy)(policy.model, policy.tokenizer), world, RLHFConfig()),
                 lambda: RLHFConfig(kl_coef=-0.15),
                 lambda: RLHF(policy, LanguageValue(twice_as_wide), reference, world, RLHFConfig())):
    try:
        accident()
    except ValueError as error:
        print("ValueError:", error, "\n")

# %% [markdown]
# (Critics of another size than the policy are used; InstructGPT's was far smaller. Here it is nearly always the wrong
# model, so it is an error.)
#
# Why would anybody set β below 0? Not on purpose.
#
# > **Pitfall, from real life.** In 2019 a team at OpenAI trained GPT-2 from human preferences. A refactoring
# > had flipped the sign of the reward, the price in it included: leaving home was now *paid* for. With that alone the
# > text would have become gibberish, and gibberish is noticed. But the same bug also flipped the sign of the KL
# > penalty, which, flipped twice, was right again. Only the judge was still upside down: the model was kept close to
# > good English and driven towards whatever people had rated *lowest*. "This bug was remarkable since the result was
# > not gibberish but maximally bad output. The authors were asleep during the training process, so the problem was
# > noticed only once training had finished." (D. Ziegler and others, *Fine-Tuning Language Models from Human
# > Preferences*, 2019, [arXiv:1909.08593](https://arxiv.org/abs/1909.08593), section 4.4)
#
# We can have that in a few seconds: one minus sign in front of the judge, and a leash that works.

# %%
def flipped(prompts, completions, **columns):
    """One minus sign."""
    return [-reward for reward in reward_model.reward(prompts, completions)]


nasty = machine(flipped, steps=7)
rows = follow(nasty)
say(nasty.policy, reward_model)
print(f"\ngold {rows[0]['gold']:+.2f} -> {rows[-1]['gold']:+.2f}, at a KL of {rows[-1]['kl']:.1f} (the good one: "
      f"{history[-1]['kl']:.1f})")

# %% [markdown]
# > **Change this number and run again.** Give `machine(flipped, …)` a `kl_coef=0.0`. Still bad; but now you would
# > notice. Then set the main run's `kl_coef` to 0.5 or 0.02, and its `lam` to 1.0 or 0.0; or hand `machine` the
# > function `gold_reward` itself, and see how far PPO gets with a judge that cannot be fooled.

# %% [markdown]
# ## Check yourself
#
# <details><summary>Which of the four models could you throw away after training, and which do users talk to?</summary>
#
# Users talk to the policy. The other three are scaffolding. (The critic can be kept to guide a search, and the judge
# for best-of-N, but nobody needs them to answer.)
# </details>
#
# <details><summary>The judge's reward rises, the KL stays at 0.000 for a hundred steps. What do you suspect?</summary>
#
# That the reference is not a reference: it shares its weights with the policy, or is copied again and again. A policy
# whose rewards change has moved.
# </details>
#
# <details><summary>The reported KL falls steadily below 0, to −5 and further. A KL cannot be negative. What is
# wrong?</summary>
#
# Its estimator is right on average only over what *the policy itself* would write. If the texts come from somebody
# else (sampling with top-k or another temperature, `<eos>` forbidden until a least length), log π − log ref is no
# estimate of a KL any more. It is a well-known surprise
# ([trl #736](https://github.com/huggingface/trl/issues/736)), and what it really says is: the policy that acts is not
# the policy that learns.
# </details>
#
# <details><summary>You double all the judge's rewards. What must happen to β for nothing to change?</summary>
#
# Double it. Only the ratio counts, which is why judges are normalised before anybody talks about β. (After whitening,
# the policy's gradient then is the same, before clipping; the critic has to learn numbers twice as large, and its
# longer gradient takes a larger share of the common `max_grad_norm`.)
# </details>
#
# <details><summary>Why charge the policy for being surer than the reference, if it is right?</summary>
#
# Because nobody knows that it is right; the judge says so. The charge is what the judge's word is discounted by, away
# from where it was taught. With a judge that cannot be fooled (a rule, as in chapter 12) you want β near 0.
# </details>
#
# <details><summary>Is "the policy" in the ratio of PPO and "the policy" in the KL the same one?</summary>
#
# There are two neighbourhoods. The clip's is around the policy that *wrote this batch*, and moves at every step; it
# keeps the estimate valid. The KL's is around the *reference*, and stays; it keeps the judge valid.
# </details>

# %% [markdown]
# ## You can now …
#
# … hold all four models of RLHF in one hand and say what flows between them; take a batch from tokens to prices to
# advantages to a step; tell proxy from gold, draw a frontier, and choose a leash; and say what is lost with each of the
# four, measured. Your vocabulary has a function more:
#
# ```python
# kl_estimate(log_probs, ref_log_probs, kind="k3")    # [..., T], [..., T] -> [..., T]
# ```
#
# You trained a judge to find a policy. Look once more at the price, β (log π − log ref). When training is over, and
# the policy pays for each reply just what it is worth to the judge, then that price *is* the judge's opinion, up to a
# constant of each request: it can be read off from the policy and the reference alone. Then what was the judge for?
# Chapter 15, **DPO**, leaves it out, and the critic, and the sampling.
#
# The exercises are in `work/14_rlhf.ipynb` (`rlcourse start 14` puts it there, if it is missing). You will write the
# prices, put the verdict where it belongs, carry it back through a batch of ragged replies, make a reference that
# really stays, and a leash that adjusts itself.
#
# **Further reading**
#
# - D. M. Ziegler and others, *Fine-Tuning Language Models from Human Preferences*, 2019,
#   [arXiv:1909.08593](https://arxiv.org/abs/1909.08593): the machine of this page on GPT-2, with a β that adapts.
# - N. Stiennon and others, *Learning to Summarize from Human Feedback*, 2020,
#   [arXiv:2009.01325](https://arxiv.org/abs/2009.01325): over-optimisation measured with people as the gold.
# - L. Ouyang and others, *Training Language Models to Follow Instructions with Human Feedback*, 2022,
#   [arXiv:2203.02155](https://arxiv.org/abs/2203.02155): InstructGPT.
# - L. Gao, J. Schulman and J. Hilton, *Scaling Laws for Reward Model Overoptimization*, 2023,
#   [arXiv:2210.10760](https://arxiv.org/abs/2210.10760): proxy and gold over √KL. They found that a KL penalty bought
#   no more gold than stopping early does. In our small world, where a step is large, it does.
# - J. Schulman, *Approximating KL Divergence*, 2020, [joschu.net/blog/kl-approx.html](http://joschu.net/blog/kl-approx.html):
#   k1, k2, k3.
# - R. Zheng and others, *Secrets of RLHF in Large Language Models Part I: PPO*, 2023,
#   [arXiv:2307.04964](https://arxiv.org/abs/2307.04964), and S. Huang and others, *The N+ Implementation Details of
#   RLHF with PPO*, 2024, [arXiv:2403.17031](https://arxiv.org/abs/2403.17031): everything that can go wrong, at size.
