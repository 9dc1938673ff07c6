# %% [markdown]
# # 14 · RLHF with PPO: exercises
#
# Five exercises: the parts of the machine that one gets wrong without noticing. Each has a check in the cell below it,
# which says what came back, what should have, and what that mistake usually is. Stuck? In a terminal, `rlcourse hint
# 14.1` gives one hint at a time.

# %%
from dataclasses import replace
from statistics import fmean

import matplotlib.pyplot as plt
import torch

from rlcore.agents.rlhf import RLHF, RLHFConfig
from rlcore.lm import LanguageValue, Prompts
from rlcore.lm.base import assistant_base
from rlcore.lm.reference import frozen_copy, log_probs_of
from rlcore.plotting import house_style, show
from rlcore.tasks.assistant import assistant_prompts, gold_reward
from rlcore.tasks.assistant_grammar import MAX_NEW_TOKENS
from rlcourse import check

torch.manual_seed(0)
torch.set_num_threads(1)
house_style()

# %% [markdown]
# ## 14.1 The price of leaving
#
# `rewards`, `log_probs` (of the policy that wrote) and `ref_log_probs` (of the reference) are `[B, T]`, and `mask` is
# True at the policy's own tokens. Return the rewards with the price taken off, `[B, T]`: at each own token
#
# $$r_t - \beta\,\bigl(\log \pi(a_t \mid s_t) - \log \text{ref}(a_t \mid s_t)\bigr)$$
#
# and 0 everywhere else. What stands in `log_probs` and `ref_log_probs` outside the mask may be anything, also NaN.
# Raise a `ValueError` whose message begins with `beta must` where β is below 0.

# %% exercise="14.1"
def priced_rewards(rewards, log_probs, ref_log_probs, mask, beta):
    """What each token earns, its price taken off: `[B, T]`."""
    ### BEGIN SOLUTION
    if beta < 0:
        raise ValueError(f"beta must be at least 0, but is {beta}")
    priced = rewards - beta * (log_probs - ref_log_probs)  # [B, T]
    return torch.where(mask, priced, 0.0)
    ### END SOLUTION


# %%
check("14.1", priced_rewards)

# %% [markdown]
# ## 14.2 Where the verdict goes
#
# The judge gives one number per reply: `scores` `[B]`. Put each at the last token that the policy itself chose, and 0
# everywhere else: `[B, T]`. `mask` `[B, T]` is True at the policy's own tokens. Before them stands a request (of any
# length), behind them padding (or nothing), and in a dialogue there may be somebody else's words in between.

# %% exercise="14.2"
def pay_at_the_end(scores, mask):
    """Each row's score at its last own token, 0 elsewhere: `[B], [B, T] -> [B, T]`."""
    ### BEGIN SOLUTION
    places = torch.arange(mask.shape[1])  # [T]
    last = torch.where(mask, places, -1).max(-1).values  # [B]
    return torch.where(places == last[:, None], scores[:, None], 0.0)
    ### END SOLUTION


# %%
check("14.2", pay_at_the_end)

# %% [markdown]
# ## 14.3 A reference that stays
#
# Make a reference for a `policy` (a `LanguagePolicy`), without `frozen_copy`. It must say what the policy says now, at
# the same temperature; it must not change when the policy learns; none of its weights may ask for a gradient; and the
# policy must be left as able to learn as it was.

# %% exercise="14.3"
def make_reference(policy):
    """A reference for this policy: equal now, and apart for ever."""
    ### BEGIN SOLUTION
    import copy

    return copy.deepcopy(policy).requires_grad_(False)
    ### END SOLUTION


# %%
check("14.3", make_reference)

# %% [markdown]
# Your reference and your prices at work: a policy is pushed a little, once, and we look what its replies cost then.

# %% needs="14.3"
policy = assistant_base()
reference = make_reference(policy)
with torch.no_grad():
    for weight in policy.parameters():
        weight.add_(0.01 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(0)))
world = Prompts(assistant_prompts("train"), [gold_reward], prompts_per_step=64, max_new_tokens=MAX_NEW_TOKENS)
trajectory = world.sample(policy, torch.Generator().manual_seed(0))
ref_log_probs = log_probs_of(reference, trajectory)
priced = priced_rewards(trajectory.rewards, trajectory.log_probs, ref_log_probs, trajectory.mask, 0.15)
earned, left = (rewards.sum(-1).mean() for rewards in (trajectory.rewards, priced))
print(f"a reply earns {earned:.3f} on average; {left:.3f} is left when its price is paid")

# %% [markdown]
# ## 14.4 Back through ragged replies
#
# `rewards` `[B, T]` are those of 14.1. `values[b, t]` is what the critic expects *before* token t is chosen; it was
# computed for the whole row, so that something also stands over the request and the padding, and none of that means
# anything (it may be NaN). In each row the own tokens stand in one piece. With γ = 1:
#
# $$\delta_t = r_t + V_{t+1} - V_t, \qquad \hat A_t = \delta_t + \lambda\, \hat A_{t+1}$$
#
# where both V and Â of what comes *after a row's last own token* are 0, whether the reply said `<eos>` there or was
# cut off: its verdict is in. Return Â, `[B, T]`, and 0 outside the mask.

# %% exercise="14.4"
def reply_advantages(rewards, values, mask, lam):
    """GAE over each row's own tokens, `[B, T]`; 0 outside."""
    ### BEGIN SOLUTION
    values = values.masked_fill(~mask, 0.0)  # [B, T]  behind the last own token nothing is to be expected
    advantages = torch.zeros_like(rewards)
    after, V_after = torch.zeros_like(rewards[:, 0]), torch.zeros_like(rewards[:, 0])  # [B]
    for t in reversed(range(rewards.shape[1])):
        delta = rewards[:, t] + V_after - values[:, t]  # [B]
        after = torch.where(mask[:, t], delta + lam * after, 0.0)
        V_after = values[:, t]
        advantages[:, t] = after
    return advantages
    ### END SOLUTION


# %%
check("14.4", reply_advantages)

# %% [markdown]
# ## 14.5 A leash that adjusts itself
#
# Nobody knows which β gives which KL. Ziegler and others (2019) fix the KL that they want, the `target`, and after each
# batch let β follow. With the KL that was measured:
#
# $$e = \mathrm{clip}\!\left(\frac{\mathrm{KL} - \text{target}}{\text{target}},\; -0.2,\; 0.2\right), \qquad
#   \beta \leftarrow \beta\,(1 + \text{gain} \cdot e)$$
#
# Return the new β, one number. Raise a `ValueError` whose message begins with `target must` where the target is not
# above 0.

# %% exercise="14.5"
def next_beta(beta, kl, target, gain=0.1):
    """The β for the next batch."""
    ### BEGIN SOLUTION
    if target <= 0:
        raise ValueError(f"target must be above 0, but is {target}")
    error = (kl - target) / target
    return beta * (1 + gain * min(max(error, -0.2), 0.2))
    ### END SOLUTION


# %%
check("14.5", next_beta)

# %% [markdown]
# Let it hold a policy at 2 nats per reply, with gold itself as the judge. (A gain of 1, far more than the paper's 0.1,
# because we have eighteen batches and not thousands.) Change the target, and the first β: how long does it take to
# recover from one that is ten times too small? And what happens if that is 0?

# %% needs="14.5"
policy = assistant_base()
world = Prompts(assistant_prompts("train"), [gold_reward], prompts_per_step=64, max_new_tokens=MAX_NEW_TOKENS)
agent = RLHF(policy, LanguageValue.from_policy(policy), frozen_copy(policy), world,
             RLHFConfig(steps=18, kl_coef=0.5, minibatch_size=32), seed=0)
betas, kls, golds = [], [], []
for metrics in agent.steps():
    betas.append(agent.config.kl_coef)
    kls.append(metrics["objective/kl"])
    golds.append(metrics["reward"])
    agent.config = replace(agent.config, kl_coef=next_beta(betas[-1], kls[-1], target=2.0, gain=1.0))

fig, axes = plt.subplots(1, 2, figsize=(8.6, 3.3))
axes[0].plot(range(1, 19), kls, "o-", color="C2", markersize=4)
axes[0].axhline(2.0, color="black", linestyle="--", linewidth=1, label="target")
axes[0].set(title="KL of the batch", xlabel="step", ylabel="nats per reply")
axes[0].legend(fontsize=9)
axes[1].plot(range(1, 19), betas, "o-", color="C0", markersize=4)
axes[1].set(title="β follows it", xlabel="step", ylabel="points per nat", ylim=(0, None))
show(fig, alt=f"KL over 18 steps, highest {max(kls):.2f}, mean of the last four {fmean(kls[-4:]):.2f} with a target of "
              f"2; β from {betas[0]:.2f} to {betas[-1]:.2f}.")
print(f"gold {golds[0]:+.2f} -> {golds[-1]:+.2f}")
