# %% [markdown]
# # 00 · Start here: the one exercise
#
# This one is here so that you have gone once round: write, check, be told what is wrong, mend it. Stuck? In a terminal,
# `rlcourse hint 00.1`.

# %%
import torch

from rlcourse import check

torch.set_num_threads(1)

# %% [markdown]
# ## 00.1 What does not count
#
# Three throws went on side by side, and their rewards stand in one rectangle `[B, T]`: one row per throw, time last.
# Throws differ in length, so the shorter rows are filled up with something. What it is does not matter, because `mask`
# is False there.
#
# Return what each throw was worth: the sum of the rewards that count, one number per row, `[B]`. Leave `rewards` itself
# as it is: somebody else may still need it.
#
# Run the check before you write anything, to see what *not done yet* looks like. Then try
# `return rewards.sum()`, which is wrong in two ways, and read what it says.

# %% exercise="00.1"
def total_rewards(rewards, mask):
    """The sum of the rewards that count, for each row: `[B, T]`, `[B, T]` bool -> `[B]`."""
    ### BEGIN SOLUTION
    return rewards.masked_fill(~mask, 0.0).sum(-1)
    ### END SOLUTION


# %%
check("00.1", total_rewards)

# %% [markdown]
# That is all there is to it. When a check passes, `rlcourse` in the terminal knows, and the next chapter is waiting.
