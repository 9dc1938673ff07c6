# %% [markdown]
# # 13 · Reward models: exercises
#
# Five exercises on the road from somebody's choices to a judge that chooses. Each has a check in the cell below it,
# which says what came back, what should have, and what that mistake usually is. Stuck? In a terminal, `rlcourse hint
# 13.1` gives one hint at a time.

# %%
import matplotlib.pyplot as plt
import torch

from rlcore.lm import RewardModel, RewardModelConfig, best_of_n, train_reward_model
from rlcore.lm.base import assistant_base
from rlcore.lm.pairs import preference_pairs
from rlcore.plotting import house_style, show
from rlcore.tasks.annotator import Annotator
from rlcore.tasks.assistant import gold_reward
from rlcourse import check

torch.manual_seed(0)
torch.set_num_threads(1)
house_style()

# %% [markdown]
# ## 13.1 Bradley and Terry
#
# `chosen` and `rejected` `[B]` are the rewards that a model gives to the two replies of each pair. Return two things:
# the probability that it gives to the choice that was made, per pair, `[B]`, and the loss, one number:
#
# $$p = \sigma(r_w - r_l), \qquad L = \frac{1}{B} \sum -\log p$$
#
# A model can be very wrong. The loss must stay a finite number where the rewards are 100 and −100.

# %% exercise="13.1"
def bradley_terry(chosen, rejected):
    """(probability of each choice `[B]`, mean loss)."""
    ### BEGIN SOLUTION
    d = chosen - rejected  # [B]
    return torch.sigmoid(d), -torch.nn.functional.logsigmoid(d).mean()
    ### END SOLUTION


# %%
check("13.1", bradley_terry)

# %% [markdown]
# ## 13.2 The reward at the last real token
#
# `values` `[B, T]` holds the number that the head says at every token. `tokens` `[B, T]` are the texts, and `real`
# `[B, T]` (bool) is True where a token belongs to the text and False on padding. Return the reward of each text, `[B]`:
# the value at its last real token.
#
# In this batch everything happens that happens in practice. Padding stands on the right in some rows and on the left in
# others. Pad and eos are the same token, 1. One request is a dialogue with an eos in its middle. One reply was cut off
# before it said eos. And what the head says on padding may be any number, or none (NaN).

# %% exercise="13.2"
def reward_at_the_end(values, tokens, real):
    """The value at the last real token of each text, `[B]`."""
    ### BEGIN SOLUTION
    places = torch.arange(real.shape[1])  # [T]
    last = torch.where(real, places, -1).max(-1).values  # [B]
    return values[torch.arange(len(values)), last]
    ### END SOLUTION


# %%
check("13.2", reward_at_the_end)

# %% [markdown]
# ## 13.3 How accurate, and how sure of it?
#
# `chosen` and `rejected` `[N]` are a judge's rewards of N held-out pairs. A pair is a hit (1) if the chosen reply got
# the higher reward and a miss (0) if the lower; a tie says nothing and counts ½. Return the **accuracy**, the mean of
# the hits, and its **standard error**: the standard deviation of the hits (dividing by N − 1) over the root of N.

# %% exercise="13.3"
def accuracy_with_error(chosen, rejected):
    """(accuracy, standard error): two numbers."""
    ### BEGIN SOLUTION
    hits = ((chosen - rejected).sign() + 1) / 2  # [N]  1, ½ or 0
    return hits.mean(), hits.std() / len(hits) ** 0.5
    ### END SOLUTION


# %%
check("13.3", accuracy_with_error)

# %% [markdown]
# So how many pairs does it take to say that a judge with 77 % is better than one with 75 %?

# %% needs="13.3"
dice = torch.Generator().manual_seed(0)
for N in (100, 1000, 10_000):
    lucky = (torch.rand(N, generator=dice) < 0.75).float()  # a judge that is right in 75 % of the cases
    value, error = accuracy_with_error(lucky, torch.full((N,), 0.5))
    print(f"{N:6} pairs: {value:.1%} ± {error:.1%}")

# %% [markdown]
# ## 13.4 Catch the bias
#
# Somebody hands you a reward function and says that it does not care about length. `reward(prompts, completions)`
# takes two lists of texts and returns a list of numbers. You have some `prompts` and `replies`; every reply ends with a
# point that stands alone, as in `"the apple is red ."`. And you have an idle phrase, `filler`.
#
# Put the phrase behind a comma in front of the point, `"the apple is red , as everyone can see ."`, and return two
# numbers: by how much the reward changes on average, and the standard error of that average. Each reply is compared
# with itself, so it is the *changes* whose spread counts (standard deviation with N − 1, over the root of N).

# %% exercise="13.4"
def filler_test(reward, prompts, replies, filler):
    """(mean change in reward, its standard error): two numbers."""
    ### BEGIN SOLUTION
    longer = [reply.removesuffix(" .") + f" , {filler} ." for reply in replies]
    change = torch.tensor(reward(prompts, longer)) - torch.tensor(reward(prompts, replies))  # [N]
    return change.mean(), change.std() / len(change) ** 0.5
    ### END SOLUTION


# %%
check("13.4", filler_test)

# %% [markdown]
# Your test on real suspects: two judges taught by 1000 comparisons of the same replies. One annotator looked at what
# they are worth. The other liked words.

# %% needs="13.4"
base = assistant_base()
test = preference_pairs(500, split="held_out").select(range(200))
# replies that end as they should, and to which a phrase can be added without making them too long for the model
usable = [row for row in test if row["chosen"].endswith(" .") and len(row["chosen"].split()) <= 20]
prompts, replies = [row["prompt"] for row in usable], [row["chosen"] for row in usable]
judges = {}
for name, annotator in (("looks at the worth", Annotator()), ("likes words", Annotator(length_bias=0.2))):
    judges[name] = RewardModel.from_policy(base)
    for _ in train_reward_model(judges[name], preference_pairs(1000, annotator=annotator),
                                RewardModelConfig(epochs=1, min_steps=16, lr=2e-3), seed=0):
        pass
    judges[name].normalize_on(test)
    mean, error = filler_test(judges[name].reward, prompts, replies, "as everyone can see")
    print(f"{name:20} {mean:+.3f} ± {error:.3f} standard deviations for an idle phrase")

# %% [markdown]
# ## 13.5 What is the chosen one worth?
#
# One request, N replies. `proxy` `[N]` is what a judge says of them, `gold` `[N]` what they are worth. Draw k of the N
# at random, keep the one that the judge likes best: what is *its* gold, on average over all ways of drawing?
#
# No dice are needed. Sort the replies by the judge's reward, the worst first. The i-th of them (i = 1 … N) is the best
# of the k if it was drawn and the other k − 1 come from the i − 1 below it, which happens in
#
# $$\binom{i-1}{k-1} \Big/ \binom{N}{k}$$
#
# of the cases (`math.comb`, which is 0 where nothing can be chosen). Return one number. Raise a `ValueError` whose
# message begins with `k must` where k is not between 1 and N. With `gold = proxy` this is the library's
# `expected_best`, and with rewards 0 and 1 it is pass@k.

# %% exercise="13.5"
def gold_of_the_chosen(proxy, gold, k):
    """The expected gold of the reply that the judge likes best of k: one number."""
    ### BEGIN SOLUTION
    import math

    N = len(proxy)
    if not 1 <= k <= N:
        raise ValueError(f"k must lie between 1 and {N}, the number of replies, but is {k}")
    weights = torch.tensor([math.comb(i, k - 1) / math.comb(N, k) for i in range(N)])  # i = 0: the worst
    return (gold[proxy.argsort()] * weights).sum()
    ### END SOLUTION


# %%
check("13.5", gold_of_the_chosen)

# %% [markdown]
# One set of 64 replies, and the whole curve: what the judge that likes words thinks of its choice, and what that is
# worth. Change the request, and the judge.

# %% needs="13.5"
request = "user what is the taste of the pepper ? bot"
drawn = best_of_n(base, [request], judges["likes words"].reward, 64, max_new_tokens=28,
                  generator=torch.Generator().manual_seed(0))
proxy = drawn.all_rewards[0]  # [64]
gold = torch.tensor(gold_reward([request] * 64, drawn.all_completions[0]))
fig, ax = plt.subplots()
for name, what in (("the judge's reward (sd)", proxy), ("gold (points)", gold)):
    ax.plot([2**n for n in range(7)], [gold_of_the_chosen(proxy, what, 2**n) for n in range(7)], "o-", label=name)
ax.set(title="Best of N by a judge that likes words: one request, one set of replies", xscale="log", xlabel="N",
       ylabel="of the chosen reply")
ax.set_xticks([2**n for n in range(7)], [2**n for n in range(7)])
ax.minorticks_off()
ax.legend()
show(fig, alt="The judge's reward and the gold of the best of N replies against N, for one request.")
