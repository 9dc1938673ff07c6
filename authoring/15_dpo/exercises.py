# %% [markdown]
# # 15 · DPO: exercises
#
# Five exercises on the road from a reward to a policy and back. Each has a check in the cell below it, which says what
# came back, what should have, and what that mistake usually is. Stuck? In a terminal, `rlcourse hint 15.1` gives one
# hint at a time.

# %%
import copy

import matplotlib.pyplot as plt
import torch

from rlcore.lm.base import assistant_base
from rlcore.lm.pairs import preference_pairs
from rlcore.lm.reference import frozen_copy
from rlcore.lm.sft import pack_examples
from rlcore.plotting import house_style, show
from rlcore.tasks.assistant import gold_reward
from rlcourse import check

torch.set_num_threads(1)
torch.manual_seed(0)
house_style()

# %% [markdown]
# ## 15.1 The best policy under a price
#
# One request, N replies. `ref` `[N]` are the reference's probabilities of them, `rewards` `[N]` what they are worth,
# and `beta` is the price of a nat of KL. Return the probabilities `[N]` of the policy that is best:
#
# $$\pi^*(y) = \frac{1}{Z}\, \pi_\mathrm{ref}(y)\, e^{r(y)/\beta}$$
#
# Where β is small, r/β is large: the answer must still be numbers for rewards of 1000. A reply that the reference
# never says (probability 0) has probability 0 in the answer, too.

# %% exercise="15.1"
def best_policy(ref, rewards, beta):
    """The probabilities `[N]` of the policy with the highest reward minus β · KL."""
    ### BEGIN SOLUTION
    return (ref.log() + rewards / beta).softmax(-1)  # the logarithm of 0 is −∞, and e^−∞ is 0 again
    ### END SOLUTION


# %%
check("15.1", best_policy)

# %% [markdown]
# What the price does, on three replies of which the reference likes the middling one:

# %% needs="15.1"
ref, rewards = torch.tensor([0.7, 0.28, 0.02]), torch.tensor([1.0, 0.0, 2.0])
prices = torch.logspace(-1.3, 1.3, 80)
policies = torch.stack([best_policy(ref, rewards, beta.item()) for beta in prices])  # [80, 3]
fig, ax = plt.subplots()
for reply, label in enumerate(("said often, worth 1", "said sometimes, worth 0", "hardly ever said, worth 2")):
    ax.plot(prices, 100 * policies[:, reply], color=f"C{reply}", label=label)
    ax.plot(prices[-1], 100 * ref[reply], "o", color=f"C{reply}")
ax.set(title="The best policy by the price of leaving (dots: the reference)", xlabel="β", ylabel="probability (%)",
       xscale="log")
ax.legend(fontsize=9)
show(fig, alt=f"Probabilities of three replies against β. At β = {prices[0]:.2f} the rare reply worth 2 has "
              f"{100 * policies[0, 2]:.0f} %, at β = {prices[-1]:.0f} they are nearly the reference's.")

# %% [markdown]
# ## 15.2 The implicit reward
#
# `log_probs` and `ref_log_probs` `[B, T]` are the log-probabilities that a policy and its reference give to every
# token of B texts, and `mask` `[B, T]` (bool) is True on the tokens that the policy has to answer for: the reply with
# its `<eos>`, not the request, not the padding. Return the implicit reward of each reply, `[B]`:
#
# $$\hat r(y) = \beta \log \frac{\pi(y)}{\pi_\mathrm{ref}(y)}$$
#
# π(y) is the probability of the *whole* reply. What stands outside the mask may be any number, or none (NaN, −∞).

# %% exercise="15.2"
def implicit_reward(log_probs, ref_log_probs, mask, beta):
    """β log(π / π_ref) of each reply, `[B]`."""
    ### BEGIN SOLUTION
    log_ratios = torch.where(mask, log_probs - ref_log_probs, 0.0)  # [B, T]
    return beta * log_ratios.sum(-1)
    ### END SOLUTION


# %%
check("15.2", implicit_reward)

# %% [markdown]
# Any two language models hold a reward between them. What did the fine-tuning of a model reward, if one reads it as
# the best policy for something? Here a GPT-2 has learned from nothing but the *chosen* replies of 1000 pairs. What
# has it understood of what they were chosen for, and what not?

# %% needs="15.2"
base, pairs = assistant_base(), preference_pairs(1000)
tuned, reference = copy.deepcopy(base), frozen_copy(base)
tokens, mask = pack_examples(base.tokenizer, list(pairs["prompt"]), list(pairs["chosen"]))
optimizer = torch.optim.AdamW(tuned.parameters(), lr=5e-4, weight_decay=0.0)
for rows in torch.randperm(len(tokens)).split(64):
    log_probs, _ = tuned.evaluate_actions(tokens[rows, :-1], tokens[rows, 1:], mask[rows])
    optimizer.zero_grad()
    (-log_probs.sum() / mask[rows].sum()).backward()
    optimizer.step()

APPLE = "user what is the color of the apple ? bot"
REPLIES = ["the apple is red .", "the apple is blue .", "shut up , the apple is red .",
           "the apple is red , as everyone can see , that is quite true ."]
tokens, mask = pack_examples(base.tokenizer, [APPLE] * len(REPLIES), REPLIES)
with torch.no_grad():
    ours, theirs = (p.evaluate_actions(tokens[:, :-1], tokens[:, 1:], mask)[0] for p in (tuned, reference))
for reward, gold, reply in zip(implicit_reward(ours, theirs, mask, 1.0), gold_reward([APPLE] * 4, REPLIES), REPLIES):
    print(f"implicit reward {reward:+.2f}   gold {gold:+.2f}   {reply}")

# %% [markdown]
# ## 15.3 DPO's loss
#
# `chosen`, `rejected`, `ref_chosen`, `ref_rejected` `[B]` are the log-probs of whole replies under the policy and
# under the reference. Return the mean of the loss over the pairs, one number:
#
# $$L = -\log \sigma\!\left(\beta \left[ \log \frac{\pi(y_w)}{\pi_\mathrm{ref}(y_w)} - \log
#       \frac{\pi(y_l)}{\pi_\mathrm{ref}(y_l)} \right]\right)$$
#
# The reference is data: no gradient may go into it. A pair that is very wrong must give a finite number. And raise a
# `ValueError` with `beta` in its message where β is not above 0.

# %% exercise="15.3"
def dpo(chosen, rejected, ref_chosen, ref_rejected, beta):
    """The mean DPO loss of some pairs, in nats."""
    ### BEGIN SOLUTION
    if not beta > 0:
        raise ValueError(f"beta must be above 0, but is {beta}")
    margin = (chosen - ref_chosen.detach()) - (rejected - ref_rejected.detach())  # [B]
    return -torch.nn.functional.logsigmoid(beta * margin).mean()
    ### END SOLUTION


# %%
check("15.3", dpo)

# %% [markdown]
# ## 15.4 How hard a pair pulls
#
# DPO is a policy gradient with a peculiar advantage. Return the `advantages` `[B, 2]` with which
#
# ```python
# policy_gradient_loss(torch.stack([chosen, rejected], -1), advantages).sum(-1).mean()
# ```
#
# has the same gradient as the loss of 15.3. First column: the chosen replies', second: the rejected ones'. (Take the
# loss's slope by hand. d/dx of −log σ(x) is −σ(−x).)

# %% exercise="15.4"
def dpo_advantages(chosen, rejected, ref_chosen, ref_rejected, beta):
    """What DPO praises each chosen reply by, and blames each rejected one for, `[B, 2]`."""
    ### BEGIN SOLUTION
    margin = beta * ((chosen - ref_chosen) - (rejected - ref_rejected))  # [B]
    pull = beta * torch.sigmoid(-margin)  # [B]
    return torch.stack([pull, -pull], -1)
    ### END SOLUTION


# %%
check("15.4", dpo_advantages)

# %% [markdown]
# β stands in it twice. A large β pulls harder at first, and lets go sooner:

# %% needs="15.4"
ratio = torch.linspace(-20, 60, 200)  # log-ratio of the chosen one minus that of the rejected one, in nats
zero = torch.zeros_like(ratio)
fig, ax = plt.subplots()
for beta in (0.05, 0.1, 0.3, 1.0):
    ax.plot(ratio, dpo_advantages(ratio, zero, zero, zero, beta)[:, 0], label=f"β = {beta:g}")
ax.set(title="How hard a pair still pulls", xlabel="nats by which the chosen one has got ahead",
       ylabel="advantage of the chosen reply", yscale="log", ylim=(1e-4, 2))
ax.legend()
show(fig, alt="The advantage of the chosen reply against the log-ratio won so far, for four values of β: it begins at "
              "half of β, and falls off the earlier the larger β is.")

# %% [markdown]
# ## 15.5 Where did the probability go?
#
# One request. `texts` are the replies to it in some preference pairs, as they stand there, so that one that was
# written often is there often. `log_probs` `[N]` are a policy's log-probabilities of them, text by text. Return the
# share of the policy's probability, in [0, 1], that is on replies that *nobody has ever compared*, neither chosen nor
# rejected.

# %% exercise="15.5"
def never_compared(texts, log_probs):
    """The policy's probability of saying something that stands in no pair: one number."""
    ### BEGIN SOLUTION
    different = dict(zip(texts, log_probs.tolist(), strict=True))  # each text once
    return 1.0 - torch.tensor(list(different.values())).exp().sum().item()
    ### END SOLUTION


# %%
check("15.5", never_compared)

# %% [markdown]
# How much of what the *base* says have people compared at all? The lesson shows what DPO makes of the rest.

# %% needs="15.5"
pairs = preference_pairs(4000)
SIZES = (250, 500, 1000, 2000, 4000)
REQUESTS = [APPLE, "user what is the taste of the dax ? bot", "user how can i fix the boat today ? bot"]
fig, ax = plt.subplots()
shares = {}
for request in REQUESTS:
    shares[request] = []
    for size in SIZES:
        mine = [row for row in pairs.select(range(size)) if row["prompt"] == request]
        texts = [row[name] for row in mine for name in ("chosen", "rejected")]
        tokens, mask = pack_examples(base.tokenizer, [request] * len(texts), texts)
        with torch.no_grad():
            log_probs = base.evaluate_actions(tokens[:, :-1], tokens[:, 1:], mask)[0].sum(-1)
        shares[request].append(100 * never_compared(texts, log_probs))
    ax.plot(SIZES, shares[request], "o-", label=request.removeprefix("user ").removesuffix(" bot"))
ax.set(title="What nobody has compared", xlabel="pairs, all requests together", xscale="log", ylim=(0, 100),
       ylabel="probability of the base (%)")
ax.set_xticks(SIZES, SIZES)
ax.minorticks_off()
ax.legend(fontsize=9, loc="lower left")
show(fig, alt="The base's probability of replies that stand in no pair, for 250 to 4000 pairs: " + "; ".join(
    f"{request} " + ", ".join(f"{share:.0f} %" for share in values) for request, values in shares.items()))
