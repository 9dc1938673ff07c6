# %% [markdown]
# # 12 · REINFORCE on GPT-2: exercises
#
# Five exercises: what RLOO compares an answer with, the loss, the chance that there is nothing to learn, an honest way
# to count, and a reward that a clever student cannot talk round. Stuck? In a terminal, `rlcourse hint 12.1` gives one
# hint at a time.

# %%
import re
from math import comb

import torch

from rlcore.lm.base import addition_base
from rlcore.lm.prompts import answer_in_groups
from rlcore.tasks.addition import MAX_NEW_TOKENS, addition_problems, exact_answer
from rlcourse import check

torch.manual_seed(0)
torch.set_num_threads(1)

# %% [markdown]
# ## 12.1 Compared with the others
#
# `rewards` is `[P, G]`: P questions, each answered G times. Return the advantages `[P, G]` of RLOO: each answer's
# reward, minus the mean reward of the *other* G − 1 answers to the same question.
#
# An answer that was given only once has no others. Torch would divide 0 by 0 and hand on NaN without a word; raise a
# `ValueError` that says what is wrong with the `group` instead.

# %% exercise="12.1"
def compared_with_the_others(rewards):
    """The leave-one-out advantages, `[P, G]`."""
    ### BEGIN SOLUTION
    size = rewards.shape[-1]
    if size < 2:
        raise ValueError(f"a group needs at least 2 answers, but has {size}")
    others = (rewards.sum(-1, keepdim=True) - rewards) / (size - 1)  # [P, G]
    return rewards - others
    ### END SOLUTION


# %%
check("12.1", compared_with_the_others)

# %% [markdown]
# Yours, at work: a model that nearly can add answers a question four times.

# %% needs="12.1"
_, held_out = addition_problems()
examples = held_out.select(range(3))
text, prompts, completions = answer_in_groups(addition_base(), examples[:], [exact_answer], 4, MAX_NEW_TOKENS,
                                              torch.Generator().manual_seed(1))
advantages = compared_with_the_others(text.rewards.sum(-1).view(3, 4)).flatten()
for prompt, completion, advantage in zip(prompts, completions, advantages, strict=True):
    print(f"{prompt}{completion:8} {advantage:+.2f}")

# %% [markdown]
# ## 12.2 The loss of a batch of answers
#
# `log_probs` `[B, T]` holds log π(aₜ | sₜ) for the tokens of B texts, `mask` `[B, T]` is True where the token was the
# policy's own (the prompt in front of it and the padding behind it were not), and `advantages` `[B]` says how good each
# *answer* was. Return REINFORCE's loss as one number: for each answer, minus its advantage times the log-probability of
# the whole answer; then the mean over answers.
#
# What stands where `mask` is False is anybody's guess, `-inf` and NaN included.

# %% exercise="12.2"
def answers_loss(log_probs, mask, advantages):
    """REINFORCE on text: one number whose slope is minus the policy gradient."""
    ### BEGIN SOLUTION
    answers = log_probs.masked_fill(~mask, 0.0).sum(-1)  # [B]  log π(answer | prompt)
    return -(advantages.detach() * answers).mean()
    ### END SOLUTION


# %%
check("12.2", answers_loss)

# %% [markdown]
# ## 12.3 Nothing to compare
#
# A policy answers a question right with probability `p`. It is asked `group_size` times. If all answers are right, or
# all are wrong, every advantage is 0: the group is *dead*. Return the probability of that.

# %% exercise="12.3"
def chance_of_a_dead_group(p, group_size):
    """The probability that all answers of a group get the same reward of 0 or 1."""
    ### BEGIN SOLUTION
    return p**group_size + (1 - p) ** group_size
    ### END SOLUTION


# %%
check("12.3", chance_of_a_dead_group)

# %% [markdown]
# How large must a group be, for a question that is answered right one time in a hundred?

# %% needs="12.3"
for size in (2, 8, 32, 128, 512):
    print(f"{size:4d} answers: dead with probability {chance_of_a_dead_group(0.01, size):.2f}")

# %% [markdown]
# ## 12.4 pass@k
#
# A policy wrote `samples` answers to a question, of which `correct` were right. What is the chance that, of `k`
# answers, at least one is right? Estimate it without bias: of all the ways to pick k of these `samples` answers, which
# share contains a right one? (`math.comb(n, k)` counts the ways to pick k things out of n, and is 0 where k > n.)

# %% exercise="12.4"
def pass_at_k(samples, correct, k):
    """The share of the picks of k answers, out of `samples`, with at least one of the `correct` ones."""
    ### BEGIN SOLUTION
    return 1 - comb(samples - correct, k) / comb(samples, k)
    ### END SOLUTION


# %%
check("12.4", pass_at_k)

# %% [markdown]
# ## 12.5 A reward that cannot be talked round
#
# Larger models think aloud before they answer, and a data set of school problems (GSM8K) made a marker popular that
# says where the answer stands:
#
# ```text
# 17 and 80 are 97, and 5 more are 102 #### 102
# ```
#
# Write the reward: a list with `1.0` for each completion that is right and `0.0` for each that is not. A completion is
# right if it contains the marker `####` exactly once, and what stands behind it is the answer: perhaps a minus sign,
# one to six digits (`0` to `9`; leading zeros do not matter), perhaps spaces around them (no line breaks), and nothing
# else.
#
# A policy that is trained on your reward will find every gap in it, without meaning any harm: whatever pays, it does
# more of. It may write several answers, or half a million digits, or nothing at all. Your function must not raise,
# whatever it reads, and must never *run* what it reads.

# %% exercise="12.5"
def marked_answer(prompts, completions, answer, **columns):
    """1.0 for each completion whose one marked answer is right, else 0.0; `answer` has one int per completion."""
    ### BEGIN SOLUTION
    rewards = []
    for text, right in zip(completions, answer, strict=True):
        _, *marked = text.split("####")
        found = re.fullmatch(r" *(-?[0-9]{1,6}) *", marked[0]) if len(marked) == 1 else None
        rewards.append(1.0 if found and int(found[1]) == right else 0.0)
    return rewards
    ### END SOLUTION


# %%
check("12.5", marked_answer)

# %% [markdown]
# Try to cheat your own reward: what would *you* write, if you did not know the answer and wanted the point?

# %% needs="12.5"
attempts = ["i am sure it is 102 #### 102", "#### 101 #### 102 #### 103", "#### 102!", "the answer is 102", "####"]
for text, reward in zip(attempts, marked_answer(["17+85="] * 5, attempts, answer=[102] * 5), strict=True):
    print(reward, " ", text)
