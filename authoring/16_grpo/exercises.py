# %% [markdown]
# # 16 · GRPO: exercises
#
# Five exercises: the advantages of a group, a reward that counts words, how many groups come to life, what a KL term
# in the loss really pulls at, and how to repair it. Stuck? In a terminal, `rlcourse hint 16.1` gives one hint at a
# time.

# %%
import torch

from rlcore.lm import answer
from rlcore.lm.base import assistant_base
from rlcore.tasks.assistant import assistant_prompts
from rlcore.tasks.assistant_grammar import MAX_NEW_TOKENS
from rlcourse import check

torch.manual_seed(0)
torch.set_num_threads(1)

# %% [markdown]
# ## 16.1 The advantages of a group
#
# `rewards` is `[P·G]`: the answers lie prompt by prompt, first all G answers to the first prompt, then all G to the
# second, and so on. Return GRPO's advantages, in the same order, `[P·G]`:
#
# $$\hat A_i = \frac{r_i - \operatorname{mean}(r)}{\operatorname{std}(r) + 10^{-4}}$$
#
# with mean and *sample* standard deviation (divided by G − 1, torch's default) of the answer's own group. A group of
# equal rewards gets zeros. Raise a `ValueError` that names the `group` where it has fewer than 2 answers, or where
# `group_size` does not divide the number of rewards.

# %% exercise="16.1"
def advantages_in_groups(rewards, group_size):
    """GRPO's advantages, `[P·G] -> [P·G]`."""
    ### BEGIN SOLUTION
    if group_size < 2 or len(rewards) % group_size:
        raise ValueError(f"group_size must be at least 2 and divide {len(rewards)} rewards, but is {group_size}")
    groups = rewards.view(-1, group_size)  # [P, G]
    centred = groups - groups.mean(-1, keepdim=True)
    scaled = centred / (groups.std(-1, keepdim=True) + 1e-4)
    equal = (groups == groups[:, :1]).all(-1, keepdim=True)  # [P, 1]
    return torch.where(equal, 0.0, scaled).flatten()  # [P·G]
    ### END SOLUTION


# %%
check("16.1", advantages_in_groups)

# %% [markdown]
# ## 16.2 A reward that counts
#
# Each request of a data set comes with a wish: about how many words the reply should have. Write the reward in TRL's
# convention: it gets the `prompts`, the `completions`, and each further column of the data set under its name, here
# `wish`, with one entry per completion. Return a list with one float per completion: minus the distance, in words,
# from its wish. Words are separated by blanks, however many; an empty text has none.

# %% exercise="16.2"
def as_long_as_wished(prompts, completions, wish, **columns):
    """Minus the number of words too many or too few, one float per completion."""
    ### BEGIN SOLUTION
    return [-float(abs(len(text.split()) - words)) for text, words in zip(completions, wish, strict=True)]
    ### END SOLUTION


# %%
check("16.2", as_long_as_wished)

# %% [markdown]
# Yours, at work: what GPT-2 says, if five words were wished for.

# %% needs="16.2"
requests = assistant_prompts("all").select(range(6))
replies = answer(assistant_base(), requests, MAX_NEW_TOKENS, greedy=False)
for reply, reward in zip(replies, as_long_as_wished(requests["prompt"], replies, wish=[5] * 6), strict=True):
    print(f"{reward:+3.0f}   {reply}")

# %% [markdown]
# ## 16.3 How many come to life?
#
# You can afford `answers` answers a step, and ask each question `group_size` times. The answers that are left over when
# there is no whole group any more are not asked. Each question is drawn at random, **with replacement** (one may come
# several times), from a data set; `chances` lists the chance p of a right answer for each question there. Rewards are 1
# and 0. How many groups of a step are *alive*, that is, have at least one right and one wrong answer? Return the
# expected number.

# %% exercise="16.3"
def live_groups(chances, group_size, answers):
    """The expected number of groups in a step from which something can be learned."""
    ### BEGIN SOLUTION
    alive = [1 - p**group_size - (1 - p) ** group_size for p in chances]
    return answers // group_size * sum(alive) / len(alive)
    ### END SOLUTION


# %%
check("16.3", live_groups)

# %% [markdown]
# Half of the questions are easy, half are all but hopeless. Which group size would you take, for 128 answers?

# %% needs="16.3"
for size in (2, 4, 8, 16, 32, 64):
    print(f"{128 // size:3d} × {size:2d}: {live_groups([0.9, 0.02], size, 128):5.1f} live groups")

# %% [markdown]
# ## 16.4 What the loss really pulls at
#
# A policy of V actions is a softmax over logits θ, `theta` `[V]`, and `log_ref` `[V]` are the reference's log-probs. In
# training, actions are *drawn* from the policy, an estimate k of the KL is computed for each, and autograd
# differentiates the mean of k with respect to θ. Return what that gives on average, exactly: the **expected gradient**
# of the loss, `[V]`, for `kind` "k1", "k2" or "k3".
#
# $$k_1 = -d \qquad k_2 = \tfrac12 d^2 \qquad k_3 = e^d - d - 1 \qquad d = \log \text{ref}(a) - \log \pi(a)$$
#
# The actions are data, as they are in training: how often each is drawn is a number and has no slope.

# %% exercise="16.4"
def expected_pull(theta, log_ref, kind):
    """E[∇θ k(a)] over actions a drawn from softmax(θ), `[V]`, without drawing any."""
    ### BEGIN SOLUTION
    theta = theta.detach().requires_grad_()
    log_pi = theta.log_softmax(-1)
    d = log_ref - log_pi
    k = {"k1": -d, "k2": d**2 / 2, "k3": d.exp() - d - 1}[kind]
    how_often = log_pi.detach().exp()  # the dice: data
    return torch.autograd.grad((how_often * k).sum(), theta)[0]
    ### END SOLUTION


# %%
check("16.4", expected_pull)

# %% [markdown]
# ## 16.5 The repair
#
# Multiply k₃ by PPO's ratio ρ = π(a) / π_old(a). Its value hardly changes (ρ is 1 until the policy moves), its slope
# does. Given the log-probs of actions under the policy as it is now, under the policy that wrote them, and under the
# reference, `[...]` each, return ρ · k₃ for each action, such that its mean can be added to a loss. What the old policy
# and the reference said is data: no gradient may flow into it, even where those tensors would allow it.

# %% exercise="16.5"
def repaired_k3(log_probs, old_log_probs, ref_log_probs):
    """ρ · (exp(d) − d − 1) with d = log ref − log π, per action."""
    ### BEGIN SOLUTION
    rho = (log_probs - old_log_probs.detach()).exp()
    d = ref_log_probs.detach() - log_probs
    return rho * (d.exp() - d - 1)
    ### END SOLUTION


# %%
check("16.5", repaired_k3)

# %% [markdown]
# Yours, on a policy of five actions whose every one is drawn as often as it should be: does its slope agree with that
# of the KL now?

# %% needs="16.5"
theta = torch.tensor([0.5, -1.0, 0.2, 1.5, 0.0], requires_grad=True)
log_ref = torch.tensor([0.0, 0.3, -0.5, 0.1, 1.0]).log_softmax(-1)
log_pi = theta.log_softmax(-1)
how_often = log_pi.detach().exp()
(wanted,) = torch.autograd.grad((log_pi.exp() * (log_pi - log_ref)).sum(), theta, retain_graph=True)
(repaired,) = torch.autograd.grad((how_often * repaired_k3(log_pi, log_pi.detach(), log_ref)).sum(), theta)
print("∇KL:     ", [f"{x:+.3f}" for x in wanted.tolist()])
print("repaired:", [f"{x:+.3f}" for x in repaired.tolist()])
