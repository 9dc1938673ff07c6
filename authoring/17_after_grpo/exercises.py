# %% [markdown]
# # 17 · After GRPO: exercises
#
# Five exercises: three ways to add up a loss, the groups that are worth learning from, one ratio for a whole answer, a
# limit without a cliff, and how hard a question pulls. Stuck? In a terminal, `rlcourse hint 17.1` gives one hint at a
# time.

# %%
from math import comb

import matplotlib.pyplot as plt
import numpy as np
import torch
from datasets import Dataset

from rlcore.agents.grpo import GRPOConfig, train
from rlcore.lm.base import addition_base, assistant_base
from rlcore.lm.evaluation import answer
from rlcore.lm.prompts import answer_in_groups
from rlcore.plotting import house_style, show
from rlcore.tasks.addition import MAX_NEW_TOKENS, addition_problems, exact_answer
from rlcore.tasks.assistant import honest
from rlcourse import check

torch.manual_seed(0)
torch.set_num_threads(1)
house_style()

# %% [markdown]
# ## 17.1 Three ways to add up
#
# `losses` `[B, T]` holds a loss for each token of B answers, `mask` `[B, T]` says which of them the answers really have
# (behind the end of a short answer stands padding). Return three numbers, as a tuple:
#
# 1. the mean over answers of each answer's mean (GRPO);
# 2. the mean over all tokens (DAPO);
# 3. the sum over all tokens, divided by the number of answers and by the constant `length` (Dr. GRPO).
#
# What stands in the padding is anybody's guess, NaN included.

# %% exercise="17.1"
def three_reductions(losses, mask, length):
    """The losses of a batch as one number, in three ways."""
    ### BEGIN SOLUTION
    own = losses.masked_fill(~mask, 0.0)  # [B, T]
    per_sequence = (own.sum(-1) / mask.sum(-1)).mean()
    per_token = own.sum() / mask.sum()
    by_constant = own.sum() / (len(mask) * length)
    return per_sequence, per_token, by_constant
    ### END SOLUTION


# %%
check("17.1", three_reductions)

# %% [markdown]
# The slope of each with respect to the losses is what a token counts. Two answers, one of two tokens and one of six:

# %% needs="17.1"
mask = torch.arange(6) < torch.tensor([[2], [6]])
for i, name in enumerate(("per sequence", "per token", "by the constant 8")):
    losses = torch.zeros(2, 6, requires_grad=True)
    three_reductions(losses, mask, 8)[i].backward()
    short, long = losses.grad[0, 0].item(), losses.grad[1, 0].item()
    print(f"{name:18} a token of the short answer counts {short:.3f}, of the long one {long:.3f}")

# %% [markdown]
# ## 17.2 Who is worth learning from?
#
# Dynamic sampling: ask more questions than you need, and keep those whose answers are not all worth the same.
# `rewards` is `[P, G]`, one row per question. Return the numbers (a tensor of indices) of the first `wanted` rows that
# are alive; fewer, if there are not so many. Rewards may be any numbers, not only 0 and 1.

# %% exercise="17.2"
def live_groups(rewards, wanted):
    """The indices of the first `wanted` groups whose rewards differ."""
    ### BEGIN SOLUTION
    alive = (rewards != rewards[:, :1]).any(-1)  # [P]
    return alive.nonzero()[:wanted, 0]
    ### END SOLUTION


# %%
check("17.2", live_groups)

# %% [markdown]
# How many questions does it take to fill a batch of 16 live ones, if each is answered twice, four times, eight times?

# %% needs="17.2"
train_problems, _ = addition_problems()
base, dice = addition_base(), torch.Generator().manual_seed(0)
for size in (2, 4, 8):
    written, _, _ = answer_in_groups(base, train_problems[:64], [exact_answer], size, MAX_NEW_TOKENS, dice)
    found = live_groups(written.rewards.sum(-1).view(64, size), 16)
    asked = int(found[-1]) + 1
    print(f"groups of {size}: {len(found)} live ones among the first {asked} questions, {asked * size} answers")

# %% [markdown]
# ## 17.3 One ratio for a whole answer
#
# `log_probs` and `old_log_probs`, both `[B, T]`, say how likely each token is now and how likely it was when it was
# sampled; `mask` `[B, T]` says which tokens the answers really have. Return GSPO's ratio of each answer, `[B]`: the
# geometric mean of its tokens' ratios. Answers may be long, and the padding may hold anything. (The ratio's gradient
# will be needed.)

# %% exercise="17.3"
def sequence_ratio(log_probs, old_log_probs, mask):
    """How much likelier each answer has become, per token."""
    ### BEGIN SOLUTION
    log_ratios = (log_probs - old_log_probs).masked_fill(~mask, 0.0)  # [B, T]
    return (log_ratios.sum(-1) / mask.sum(-1)).exp()
    ### END SOLUTION


# %%
check("17.3", sequence_ratio)

# %% [markdown]
# Why the root? Two thousand answers of each length, whose tokens' log-ratios are nothing but noise of ±.1:

# %% needs="17.3"
for length in (1, 10, 100, 1000):
    noise = 0.1 * torch.randn(2000, length, generator=torch.Generator().manual_seed(0))
    everything = torch.ones_like(noise).bool()
    whole = sequence_ratio(noise, torch.zeros_like(noise), everything)
    ends = torch.tensor([0.05, 0.95])
    (a, b), (c, d) = (whole**length).quantile(ends).tolist(), whole.quantile(ends).tolist()
    print(f"{length:5d} tokens: the middle 90 % of products {a:5.2f} to {b:6.2f}, of the ratios {c:.3f} to {d:.3f}")

# %% [markdown]
# ## 17.4 Too long, gently
#
# An answer that is cut off at the limit gets nothing, one that is a token shorter gets everything: a cliff. DAPO's
# *soft overlong punishment* makes a slope of it. With n the tokens of an answer:
#
# $$\begin{cases} 0 & n \le \text{limit} - \text{cache} \\ \dfrac{\text{limit} - \text{cache} - n}{\text{cache}} &
# \text{limit} - \text{cache} < n \le \text{limit} \\ -1 & n > \text{limit} \end{cases}$$
#
# Write it as a reward function, to be added to others: a list with one number per completion. A word is a token here,
# and so is the EOS behind the last word, which is not in the text. (A reply that was cut off at `limit` words has no
# EOS. It would have needed `limit + 1` tokens at least, so counting one is right for it as well.)

# %% exercise="17.4"
def soft_overlong(prompts, completions, limit=28, cache=8, **columns):
    """Minus what is too long about each completion, in [-1, 0]."""
    ### BEGIN SOLUTION
    tokens = [len(text.split()) + 1 for text in completions]
    return [max(-1.0, min(0.0, (limit - cache - n) / cache)) for n in tokens]
    ### END SOLUTION


# %%
check("17.4", soft_overlong)

# %% [markdown]
# Yours, at work: an assistant that is paid for the truth, and may say 12 tokens. Without your reward, and with it.

# %% needs="17.4"
things = {"color": ("apple", "lemon", "pepper", "onion", "berry"),
          "taste": ("apple", "lemon", "plum", "pepper", "berry")}
questions = Dataset.from_dict({"prompt": [f"user what is the {attribute} of the {thing} ? bot"
                                          for attribute, names in things.items() for thing in names]})
config = GRPOConfig(steps=15, lr=3e-4, prompts_per_step=10, group_size=8, max_new_tokens=12)


def soft_at_12(prompts, completions, **columns):
    return soft_overlong(prompts, completions, limit=12, cache=4)


for name, rewards in {"truth alone": [honest], "truth, and not too long": [honest, soft_at_12]}.items():
    result = train(assistant_base(), questions, rewards, config, seed=0)
    last = [row["completions/clipped_ratio"] for row in result.history[-5:]]
    print(f"{name}: {np.mean(last):.0%} of the last replies were cut off")
    for reply in answer(result.policy, questions.select(range(3)), 28, greedy=False):
        print("      ", reply)

# %% [markdown]
# ## 17.5 How hard a question pulls
#
# A question is answered right with probability `p`, it is asked `group_size` times, and right answers pay 1, wrong
# ones 0. What does the group's comparison do to the slope of p? The lesson says: it multiplies it by
#
# $$\frac{1}{p\,(1-p)}\; \mathbb{E}\Bigl[\frac{1}{G} \sum_i A_i R_i\Bigr]$$
#
# Compute that number exactly, by going through k = 0 … G right answers (`math.comb(G, k)` counts the ways). The
# advantages are the rewards minus their group's mean; with `normalize`, also divided by the group's standard
# deviation (that of a sample: the sum of squares over G − 1). Where all are right or all are wrong, they are 0. A
# group of one is a `ValueError` whose message speaks of the group.

# %% exercise="17.5"
def pull(p, group_size, normalize):
    """By how much a group's comparison multiplies the slope of p."""
    ### BEGIN SOLUTION
    if group_size < 2:
        raise ValueError(f"group_size must be at least 2, but is {group_size}")
    total = 0.0
    for k in range(1, group_size):
        mean = k / group_size
        advantage = 1 - mean  # of a right answer
        if normalize:
            advantage /= (mean * (1 - mean) * group_size / (group_size - 1)) ** 0.5
        total += comb(group_size, k) * p**k * (1 - p) ** (group_size - k) * mean * advantage
    return total / (p * (1 - p))
    ### END SOLUTION


# %%
check("17.5", pull)

# %% [markdown]
# Yours for groups of 4, 16 and 64, with the standard deviation. As groups grow it comes closer to 1/√(p(1−p)); at the
# edges it takes very large groups, since small ones are dead there.

# %% needs="17.5"
chances = np.linspace(0.005, 0.995, 199)
fig, ax = plt.subplots()
for size in (4, 16, 64):
    ax.plot(chances, [pull(p, size, True) for p in chances], label=f"groups of {size}")
ax.plot(chances, 1 / np.sqrt(chances * (1 - chances)), "--", color="black", linewidth=1.5, label="1/√(p(1−p))")
ax.set(title="How hard a question pulls, with the standard deviation", xlabel="chance p of a right answer",
       ylabel="factor on the slope of p", ylim=(0, 9))
ax.legend(fontsize=9)
show(fig, alt="The factor on the slope of p against p for groups of 4, 16 and 64: bowls that are higher at the ends, "
              "the more so the larger the group, below the curve 1 over the root of p times 1 minus p.")
