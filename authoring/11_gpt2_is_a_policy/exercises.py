# %% [markdown]
# # 11 · GPT-2 is a policy: exercises
#
# Five exercises: which tokens are the policy's own, what is a state and what an action, how likely a reply is, a
# world made of text, and the loss that is both framings at once. Stuck? In a terminal, `rlcourse hint 11.1` gives one
# hint at a time.

# %%
import torch

from rlcore.lm import Prompts
from rlcore.lm.base import assistant_base
from rlcore.losses import policy_gradient_loss
from rlcore.policies import sample
from rlcore.tasks.assistant import assistant_prompts, gold_reward
from rlcourse import check

torch.manual_seed(0)
torch.set_num_threads(1)

# %% [markdown]
# ## 11.1 Whose token is it?
#
# A sampler gives you completions `[B, T]`. Each is over with its first EOS, and what stands behind that is nobody's:
# padding, more EOS, or whatever the sampler left there. Return a mask `[B, T]`, bool: True up to the first EOS, the EOS
# itself included, and False behind it. A completion without EOS was cut off; all of it counts.
#
# You are not told the padding token. You do not need it.

# %% exercise="11.1"
def own_tokens(completions, eos_token_id):
    """Which tokens the policy chose, `[B, T]` bool."""
    ### BEGIN SOLUTION
    is_eos = (completions == eos_token_id).long()
    return is_eos.cumsum(-1) - is_eos == 0  # no EOS before this place
    ### END SOLUTION


# %%
check("11.1", own_tokens)

# %% [markdown]
# ## 11.2 One row, two readings
#
# `tokens` `[B, N]` holds B texts, right-padded: a prompt of `num_prompt[i]` tokens, then the policy's completion; the
# whole of row i has `num_tokens[i]` tokens, without the padding. Return three tensors `[B, N − 1]`: the states, the
# actions, and the mask (bool) of the actions that the policy chose.
#
# The first token of the completion is an action, and in the state before it nothing of the completion is written.

# %% exercise="11.2"
def as_steps(tokens, num_prompt, num_tokens):
    """Texts as steps: states, actions and mask, `[B, N − 1]` each."""
    ### BEGIN SOLUTION
    written = torch.arange(1, tokens.shape[1])  # action t writes token t + 1
    mask = (written >= num_prompt[:, None]) & (written < num_tokens[:, None])
    return tokens[:, :-1], tokens[:, 1:], mask
    ### END SOLUTION


# %%
check("11.2", as_steps)

# %% [markdown]
# ## 11.3 How likely is a reply?
#
# A model looked at the states and gave `logits` `[B, T, V]`, one row of V numbers for every step; e to the power of
# them is proportional to the probabilities. `actions` `[B, T]` says which token came, `mask` `[B, T]` whose it was.
# Return log π of each row's own tokens taken together, `[B]`.
#
# What the model says in the padding may be anything, −∞ included. It must not count.

# %% exercise="11.3"
def reply_log_probs(logits, actions, mask):
    """The log-probability of each reply, `[B]`."""
    ### BEGIN SOLUTION
    log_probs = logits.log_softmax(-1).gather(-1, actions[..., None]).squeeze(-1)  # [B, T]
    return log_probs.masked_fill(~mask, 0.0).sum(-1)
    ### END SOLUTION


# %%
check("11.3", reply_log_probs)

# %% [markdown]
# ## 11.4 A world made of text
#
# Write the `step` of a text world, as a function. `written` is the list of all tokens so far: a prompt of `num_prompt`
# tokens, and what the policy has written. `token` is the next one. Return four things, as Gymnasium would:
#
# - the next state: a *new* list, with the token behind it;
# - the reward: 0.0, until the text is over; then `judge(completion)`, where the completion is the list of the policy's
#   tokens, without the EOS;
# - `terminated`: the token is `eos_token_id`;
# - `truncated`: the policy has now written `max_new_tokens` tokens (an EOS would count as one) and has not said EOS.

# %% exercise="11.4"
def text_step(written, token, num_prompt, max_new_tokens, eos_token_id, judge):
    """One step: next state, reward, terminated, truncated."""
    ### BEGIN SOLUTION
    written = [*written, token]
    completion = written[num_prompt:]
    terminated = token == eos_token_id
    truncated = not terminated and len(completion) == max_new_tokens
    if terminated:
        completion = completion[:-1]
    reward = float(judge(completion)) if terminated or truncated else 0.0
    return written, reward, terminated, truncated
    ### END SOLUTION


# %%
check("11.4", text_step)

# %% [markdown]
# Your world, with GPT-2 in it. The judge below pays one point for every *the*. Would you like to train on that?

# %% needs="11.4"
gpt2 = assistant_base()
tokenizer = gpt2.tokenizer
the = tokenizer.convert_tokens_to_ids("the")
prompt = tokenizer("user what is the taste of the lemon ? bot", add_special_tokens=False)["input_ids"]
state, done, dice = prompt, False, torch.Generator().manual_seed(0)
while not done:
    behind_the_last = sample(gpt2(torch.tensor([state])), dice)[0, -1].item()
    state, reward, terminated, truncated = text_step(
        state, behind_the_last, len(prompt), 28, tokenizer.eos_token_id, lambda completion: completion.count(the)
    )
    done = terminated or truncated
print(tokenizer.decode(state), "  reward", reward)

# %% [markdown]
# ## 11.5 Two framings, one loss
#
# `log_probs` `[B, T]` are those of the actions, differentiable; `rewards` `[B]` is what each whole reply was paid, at
# its last own token; `mask` `[B, T]` says which tokens are own. Return a loss, one number, whose gradient is minus the
# policy gradient of the *token* framing: each own token is pushed by the return that followed it, discounted with
# γ, summed over the tokens of a reply, and averaged over the B replies.
#
# $$L = -\frac{1}{B} \sum_i \sum_t \gamma^{\,n_{i,t}}\; R_i \, \log \pi(a_{i,t} \mid s_{i,t})$$
#
# where the inner sum is over the own tokens of reply i, and n is how many own tokens of it come *after* token t.
#
# At γ = 1 the check compares you with the *bandit* framing. As before, the padding may hold anything.

# %% exercise="11.5"
def text_loss(log_probs, rewards, mask, gamma):
    """REINFORCE on text: sum over a reply's own tokens, mean over replies."""
    ### BEGIN SOLUTION
    still_to_come = mask.flip(-1).cumsum(-1).flip(-1) - 1  # [B, T]  own tokens after this one
    returns = rewards[:, None] * gamma ** still_to_come.clamp(min=0)  # [B, T]
    return -(returns * log_probs).masked_fill(~mask, 0.0).sum(-1).mean()
    ### END SOLUTION


# %%
check("11.5", text_loss)

# %% [markdown]
# And beside the library's, on 16 replies of GPT-2 with their gold reward:

# %% needs="11.5"
gpt2 = assistant_base()
texts = Prompts(assistant_prompts("train"), [gold_reward], prompts_per_step=16, max_new_tokens=28)
replies = texts.sample(gpt2, torch.Generator().manual_seed(0))
log_probs, _ = gpt2.evaluate_actions(replies.states, replies.actions, replies.mask)
R = replies.rewards.sum(-1)
ours = text_loss(log_probs, R, replies.mask, 1.0)
theirs = policy_gradient_loss(log_probs, R[:, None].expand_as(log_probs))[replies.mask].sum() / len(R)
print("the same loss:", torch.allclose(ours, theirs, rtol=1e-4))
