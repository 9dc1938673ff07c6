# %% [markdown]
# # 10 · A small GPT-2: exercises
#
# Five exercises, from five lines to ten. Each is a place where language-model code goes wrong without saying so: the
# loss falls, text comes out, and it is the wrong loss or the wrong text. Stuck? In a terminal, `rlcourse hint 10.1`
# gives one hint at a time.

# %%
import math

import torch

from rlcore.lm.base import assistant_base
from rlcore.lm.tokenizer import decode, encode
from rlcourse import check

torch.manual_seed(0)
torch.set_num_threads(1)
policy = assistant_base()
model, tokenizer = policy.model, policy.tokenizer

# %% [markdown]
# ## 10.1 Who listens to whom
#
# `queries` and `keys` are `[T, d]`, one row per word. Return the attention shares `[T, T]`: row t says how much word
# t listens to each word s, itself included:
#
# $$w_{ts} = \frac{e^{q_t \cdot k_s / \sqrt{d}}}{\sum_{u \le t} e^{q_t \cdot k_u / \sqrt{d}}} \quad\text{for } s \le
# t, \qquad 0 \text{ for } s > t$$

# %% exercise="10.1"
def attention_shares(queries, keys):
    """How much each word listens to each word up to itself, `[T, T]`."""
    ### BEGIN SOLUTION
    scores = queries @ keys.T / math.sqrt(queries.shape[-1])  # [T, T]
    future = torch.ones_like(scores, dtype=torch.bool).triu(1)  # True where s > t
    return scores.masked_fill(future, -torch.inf).softmax(-1)
    ### END SOLUTION


# %%
check("10.1", attention_shares)

# %% [markdown]
# ## 10.2 How wrong was the guess?
#
# `tokens` `[T]` is a text and `logits` `[T, V]` what a model returned for it: row t was computed from the tokens 0 to
# t. Return the language-model loss, one number: minus the mean log-probability (natural logarithm) that the model
# gave to the tokens that came.

# %% exercise="10.2"
def next_token_loss(logits, tokens):
    """The mean surprise at each token but the first, in nats."""
    ### BEGIN SOLUTION
    log_probs = logits[:-1].log_softmax(-1)  # [T-1, V]  nothing follows the last token
    return -log_probs[torch.arange(len(tokens) - 1), tokens[1:]].mean()
    ### END SOLUTION


# %%
check("10.2", next_token_loss)

# %% [markdown]
# On a real text, beside the loss that Transformers computes when it is handed labels:

# %% needs="10.2"
text = torch.tensor(encode(tokenizer, "user what is the color of the apple ? bot the apple is red . <eos>"))
with torch.no_grad():
    out = model(text[None], attention_mask=torch.ones_like(text[None]), labels=text[None])
print(f"yours {next_token_loss(out.logits[0], text):.4f}, Transformers' {out.loss:.4f}")

# %% [markdown]
# ## 10.3 What counts in SFT
#
# Make one training example. `prompt` and `completion` are lists of ids. Return two lists, both `width` long:
#
# - `input_ids`: the prompt, the completion, one `eos`, and then `pad` to the end;
# - `labels`: the token itself where it is to be imitated, −100 where it is not.
#
# To be imitated: the completion and the `eos` after it. Not: the prompt and the padding. The labels are *not*
# shifted; Transformers does that. And `pad` and `eos` may well be the same number.
#
# If it does not fit, raise a `ValueError` whose message says `width`. Cutting off the end in silence would cut off the
# `eos`.

# %% exercise="10.3"
def make_example(prompt, completion, eos, pad, width):
    """`input_ids` and `labels` of one example, each a list of `width` ids."""
    ### BEGIN SOLUTION
    answer = [*completion, eos]
    padding = width - len(prompt) - len(answer)
    if padding < 0:
        raise ValueError(f"width must be at least {len(prompt) + len(answer)} for this example, but is {width}")
    input_ids = [*prompt, *answer, *[pad] * padding]
    labels = [*[-100] * len(prompt), *answer, *[-100] * padding]
    return input_ids, labels
    ### END SOLUTION


# %%
check("10.3", make_example)

# %% [markdown]
# ## 10.4 Sampling with temperature
#
# `logits` is `[B, V]`. Draw one token for each row from softmax(logits / temperature), with `generator` for the dice,
# and return two tensors `[B]`: the tokens, and their log-probabilities *under the distribution they were drawn from*.
# From chapter 11 on those log-probabilities are what we learn from, so they had better belong to the policy that acted.

# %% exercise="10.4"
def sample_tokens(logits, temperature, generator):
    """One token per row, and its log-probability at this temperature: two tensors `[B]`."""
    ### BEGIN SOLUTION
    log_probs = (logits / temperature).log_softmax(-1)  # [B, V]
    tokens = torch.multinomial(log_probs.exp(), 1, generator=generator)  # [B, 1]
    return tokens[:, 0], log_probs.gather(-1, tokens)[:, 0]
    ### END SOLUTION


# %%
check("10.4", sample_tokens)

# %% [markdown]
# Your sampler at work. (The simplest loop: the whole text through the model for every word.)

# %% needs="10.4"
def write(prompt, temperature, seed):
    """A reply, word by word."""
    dice, ids = torch.Generator().manual_seed(seed), encode(tokenizer, prompt)
    start = len(ids)
    while ids[-1] != tokenizer.eos_token_id and len(ids) - start < 28:
        with torch.no_grad():
            logits = model(torch.tensor([ids])).logits[:, -1]  # [1, V]
        ids.append(sample_tokens(logits, temperature, dice)[0].item())
    return decode(tokenizer, ids[start:])


for temperature in (0.3, 1.0, 2.0):
    for seed in (0, 1):
        print(temperature, write("user how can i clean the boat today ? bot", temperature, seed))

# %% [markdown]
# ## 10.5 Padding on the left
#
# To continue several texts at once, put them in one rectangle that *ends* together. `texts` is a list of lists of
# ids. Return three tensors `[B, T]`, with T the length of the longest text:
#
# - `tokens`: each text at the right end of its row, `pad` to its left;
# - `attention_mask`: 1 where a token is real, 0 where it is padding;
# - `position_ids`: the place of each real token in its own text, counted from 0. What stands there for padding does
#   not matter, as long as it is a place (no negative number: a table has no row −1).
#
# A text may contain the id `pad` as a real token: where `pad` is `eos`, every finished dialogue does.

# %% exercise="10.5"
def left_pad(texts, pad):
    """Tokens, attention mask and position ids, `[B, T]` each."""
    ### BEGIN SOLUTION
    width = max(map(len, texts))
    tokens = torch.tensor([[pad] * (width - len(text)) + list(text) for text in texts])
    attention_mask = torch.tensor([[0] * (width - len(text)) + [1] * len(text) for text in texts])
    position_ids = (attention_mask.cumsum(-1) - 1).clamp(min=0)
    return tokens, attention_mask, position_ids
    ### END SOLUTION


# %%
check("10.5", left_pad)

# %% [markdown]
# Does a text now get the same answer in company as alone?

# %% needs="10.5"
beginnings = ["user what is the color of the apple ? bot the apple is",
              "user what is the color of the apple ? bot hello friend , the apple is"]
encoded = [encode(tokenizer, beginning) for beginning in beginnings]
tokens, attention_mask, position_ids = left_pad(encoded, tokenizer.pad_token_id)
with torch.no_grad():
    together = model(tokens, attention_mask=attention_mask, position_ids=position_ids).logits[:, -1].softmax(-1)
    alone = torch.cat([model(torch.tensor([ids])).logits[:, -1].softmax(-1) for ids in encoded])
print(f"largest difference of a probability: {(together - alone).abs().max():.6f}")
