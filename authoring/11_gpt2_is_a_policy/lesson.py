# %% [markdown]
# # 11 · GPT-2 is a policy
#
# A dog looks at a field and decides: left, still, right. A language model looks at a text and decides: *the*,
# *apple*, *sorry*. This page holds one idea, and it is that these are the same thing.
#
# When you have worked through it you can step GPT-2 by hand through the loop of chapter 01; read a batch of texts as
# states and actions, and say which of its tokens were the policy's own; prove, and see, that a reply may be counted
# as many small actions or as a single large one, and when that makes a difference; and say why somebody who wants
# true replies should not rely on cross-entropy alone.
#
# *About 75 minutes to read and 60 for the exercises, difficulty 3 of 5. You need chapters 01 (the loop), 07 (policy
# gradients) and 10 (our small GPT-2).*

# %%
import copy
import inspect
import json
import time
from itertools import product
from pathlib import Path

import gymnasium as gym
import matplotlib.pyplot as plt
import numpy as np
import torch
from datasets import Dataset
from PIL import Image, ImageDraw, ImageFont
from torch.distributions import Categorical

import rlcore.envs  # puts the dog and the text world on Gymnasium's list of worlds
from rlcore.lm.base import assistant_base
from rlcore.plotting import animate, band, house_style, show
from rlcore.policies import Policy, ScriptedPolicy
from rlcore.tasks.assistant import assistant_prompts, gold_reward

torch.set_num_threads(1)
torch.manual_seed(0)
house_style()

# %% [markdown]
# ## Two episodes
#
# Here is the dog again, with the rule that many found in exercise 01.5: run to where the disc will come down.


# %%
def run_ahead(states):
    """Left (0), still (1) or right (2): towards where the disc will be low."""
    dog, disc, height, along, up = (states[..., i] for i in (0, 2, 3, 4, 5))
    seconds = (up + torch.sqrt(up**2 + 12 * height)) / 6  # until it is down
    ahead = disc + along * seconds - dog
    return 1 + (ahead > 0.5).long() - (ahead < -0.5).long()


dog_policy = ScriptedPolicy(run_ahead, num_actions=3)
dog_world = gym.make("RobotDog-v0", render_mode="rgb_array")
animate(dog_world, dog_policy, seed=3, alt="A dog that runs ahead of the disc")

# %% [markdown]
# And here is the other one. `Text-v0` is a Gymnasium world like the dog's. It has a page; on the page stands a
# request from the assistant world of chapter 10, and with every step one word is written behind it. When the writer
# says `<eos>`, "I am done", somebody reads the whole and pays. Today the reader is `gold_reward`, which knows what
# is true in that world and what is polite; chapter 13 is about where readers come from.
#
# The world is not much to look at, so we give it a sheet of paper to draw on.

# %%
gpt2 = assistant_base()
tokenizer, positions = gpt2.tokenizer, gpt2.model.config.n_positions
requests = assistant_prompts("train")
settings = {"dataset": requests, "tokenizer": tokenizer, "reward": gold_reward, "max_new_tokens": 28,
            "positions": positions}
text_world = gym.make("Text-v0", **settings, render_mode="ansi")


class Paper(gym.Wrapper):
    """A text world that draws itself: what `render` says, as a picture."""

    render_mode = "rgb_array"

    def render(self):
        sheet, font = Image.new("RGB", (560, 84), "white"), ImageFont.load_default(20)
        text = self.env.render().replace("▌", " _").replace(" bot ", " bot\n")  # the reply on a line of its own
        ImageDraw.Draw(sheet).text((8, 8), text, "#26323d", font, spacing=12)
        return np.array(sheet)


# %% [markdown]
# Now the writer. What does GPT-2 have to have, to be somebody who acts? A function from a state to a distribution
# over actions, π(a | s), and nothing else. Here is one. A state is a row of token numbers, with −1 where nothing is
# written yet; GPT-2 predicts something behind *every* token, and we want what it says behind the last.

# %%
class GPT2Policy(Policy):
    """The text so far -> a distribution over the next token."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, states):
        texts = states.reshape(-1, states.shape[-1])  # [N, L]
        last = (texts >= 0).sum(-1) - 1  # [N]  where the last token stands
        tokens = texts.clamp(min=0)  # GPT-2 looks only to the left, so what stands in the blanks is never seen
        logits = self.model(tokens, attention_mask=torch.ones_like(tokens)).logits  # [N, L, V]
        return Categorical(logits=logits[torch.arange(len(texts)), last].view(*states.shape[:-1], -1))


gpt2_policy = GPT2Policy(gpt2.model)
animate(Paper(text_world), gpt2_policy, seed=3, alt="GPT-2 answers a request, one word at a time")

# %% [markdown]
# Look at the two cells that made the films. The last line is the same: `animate(world, policy, seed)`. It was
# written in chapter 01, for a dog, and nobody told it that there would be words.
#
# Our `GPT2Policy` is in the library, too, where it also checks what it is given:

# %% tags=["nbval-check-output"]
from rlcore.lm import NextToken
from rlcore.rollout import collect

page = collect(gpt2_policy, text_world, seed=3, generator=torch.Generator().manual_seed(3))  # the episode of the film
torch.testing.assert_close(gpt2_policy(page.states).probs, NextToken(gpt2)(page.states).probs)
print("GPT2Policy and rlcore's NextToken: the same distribution in every state of an episode")

# %% [markdown]
# ## By hand
#
# Before GPT-2 goes on, sit down at its desk. The world does not care who chooses the actions. Here is what you would
# have said, being an expert on onions:

# %%
state, info = text_world.reset(seed=3)  # the request of the film
for word in ("the", "onion", "is", "yellow", ".", "<eos>"):
    action = tokenizer.convert_tokens_to_ids(word)
    state, reward, terminated, truncated, info = text_world.step(action)
    print(f"action {action:2}   reward {reward:+.1f}   terminated {terminated!s:5}   {text_world.render()}")

# %% [markdown]
# `reset`, `step`, five things that come back: it is the first loop of chapter 01 with another noun in it.
#
# > **Change this and run again.** Your reply was right and curt. The reader pays another half point for good manners,
# > *of course* or *thank you* in front, with a comma. Say it politely, then rudely (*shut up*), then with a lie. Then
# > go on after `<eos>`, and see what the world thinks of that.
#
# Now the loop as a function. This is `play` from chapter 01; you have seen every line of it.

# %%
def play(world, choose, seed=None):
    """One episode: the actions, the rewards, and the last state."""
    actions, rewards, done = [], [], False
    state, _ = world.reset(seed=seed)
    while not done:
        action = choose(state)
        state, reward, terminated, truncated, _ = world.step(action)
        actions.append(action)
        rewards.append(reward)
        done = terminated or truncated
    return actions, rewards, state


chapter_01 = Path(rlcore.__file__).parents[1] / "authoring/01_the_loop/lesson.py"
print("the same as in chapter 01, to the letter:", inspect.getsource(play) in chapter_01.read_text(encoding="utf-8"))


# %%
def act(policy, seed):
    """What `play` calls `choose`: ask the policy for its distribution, and draw from it."""
    dice = torch.Generator().manual_seed(seed)
    return lambda state: policy.act(torch.as_tensor(state), dice)[0].item()


dog_actions, dog_rewards, _ = play(dog_world, act(dog_policy, seed=3), seed=3)
gpt2_actions, gpt2_rewards, last_state = play(text_world, act(gpt2_policy, seed=3), seed=3)

words = tokenizer.convert_ids_to_tokens(gpt2_actions)
print(f"{'':7}{'the dog':28}GPT-2")
for t in range(max(len(dog_actions), len(words))):
    if len(words) < t < len(dog_actions) - 1:
        continue  # more of the same
    if t == len(words) < len(dog_actions) - 1:
        print("   …")
        continue
    dog = f"{('left', 'still', 'right')[dog_actions[t]]:8}reward {dog_rewards[t]:+.3f}" if t < len(dog_actions) else ""
    pen = f"{words[t]:10}reward {gpt2_rewards[t]:+.3f}" if t < len(words) else ""
    print(f"t = {t:2} {dog:28}{pen}")
print(f"return {sum(dog_rewards):+.3f}{'':21}{sum(gpt2_rewards):+.3f}")

# %% [markdown]
# One function ran both. Every line of it means the same thing twice: `reset` throws a disc, or lays a request on the
# table; `choose` picks a leg movement, or a word; `step` moves the world on. The dog's world has physics in it, and
# GPT-2's only a pencil: the next state is the old text with the chosen token behind it, with certainty (chapter 03
# called that an MDP with a known transition). Only one of the two has a world worth modelling, and it is not the one
# that people find impressive.
#
# The dog pays a little for every step. GPT-2 is paid once, at its last token, for everything it said. Hold on to
# that; it is what makes the rest of part III hard.
#
# For good measure a third world, and all three in one table.

# %%
from IPython.display import Markdown

from rlcore.policies import MLPPolicy

cart_world = gym.make("CartPole-v1")
cart_policy = MLPPolicy(state_size=4, num_actions=2)
_, cart_rewards, _ = play(cart_world, act(cart_policy, seed=0), seed=0)


def count(weights):
    """How many numbers the policy can learn."""
    return f"{sum(w.numel() for w in weights.parameters()):,} numbers"


rows = [
    ("state s", "dog and disc: 6 numbers", "cart and pole: 4 numbers", f"the text so far: up to {positions} tokens"),
    ("action a", "left, still, right: 3", "push left or right: 2", f"the next token: {text_world.action_space.n}"),
    ("reward r", "small costs, 1 for a catch", "1 for every step", "0, and at the end what a reader says"),
    ("terminated", "caught, or in the grass", "the pole fell", "the policy said `<eos>`"),
    ("truncated", "a step limit", "500 steps", f"{settings['max_new_tokens']} tokens: it had more to say"),
    ("one episode here", f"{len(dog_rewards)} steps", f"{len(cart_rewards)} steps", f"{len(gpt2_rewards)} steps"),
    ("policy π(a \\| s)", "a rule", f"a network, {count(cart_policy)}", f"a GPT-2, {count(gpt2)}"),
]
Markdown("\n".join(["| | the dog | CartPole | GPT-2 |", "|---|---|---|---|"] + [f"| {' | '.join(r)} |" for r in rows]))

# %% [markdown]
# > **An action is a token.** Not a sentence, and not quite a word either: in our little world the two coincide, but
# > a real GPT-2 has 50,257 tokens, pieces such as `un`, `believ`, `able`, and that many actions in every state.

# %% [markdown]
# ## What it could have said
#
# A film shows the path that was taken. A policy is more than that: in every state it holds an opinion on all actions.
# Here are the states of the episode above, from left to right, with GPT-2's favourites in each.

# %%
favourites = 5
probs = gpt2_policy(page.states).probs.detach()  # [T, V]
T = min(8, len(page.actions))
fig, axes = plt.subplots(2, (T + 1) // 2, figsize=(8.6, 4.6))
for t, ax in enumerate(axes.flat):
    if t >= T:
        ax.axis("off")
        continue
    top = probs[t].topk(favourites)
    taken = page.actions[t]
    names = tokenizer.convert_ids_to_tokens(top.indices.tolist())
    ax.barh(range(favourites), top.values, color=["C1" if a == taken else "C0" for a in top.indices], alpha=0.8)
    for y, name in enumerate(names):
        ax.annotate(name, (top.values[y], y), xytext=(3, 0), textcoords="offset points", va="center", fontsize=9)
    if taken not in top.indices:
        ax.annotate(f"took: {tokenizer.convert_ids_to_tokens(taken.item())}", (0.98, 0.03), ha="right", color="C1",
                    xycoords="axes fraction", fontsize=9)
    ax.set(title=f"t = {t}", xlim=(0, 1.35), xticks=(0, 0.5, 1), yticks=[], ylim=(favourites - 0.4, -0.6))
fig.supxlabel("π(token | text so far); orange: the token that was drawn", fontsize=10)
said = tokenizer.convert_ids_to_tokens(page.actions.tolist())
show(fig, alt=f"The five likeliest tokens in each of the first {T} states. GPT-2 wrote: {' '.join(said)}. "
              + " ".join(f"At step {t} it drew {said[t]!r} with probability {probs[t, page.actions[t]]:.2f}."
                         for t in range(T)))

# %% [markdown]
# In some states there is a choice; in others, in the middle of a phrase, hardly any. Keep the picture in mind when we
# train: a policy can only learn about actions that it takes now and then.

# %% [markdown]
# ## One row holds every state
#
# `collect` wrote the episode down as it does for any world: `page.states` is `[T, 39]`, each state a whole text. Draw
# it.

# %%
fig, ax = plt.subplots(figsize=(7.2, 3.2))
ax.imshow(np.where(page.states >= 0, page.states, np.nan), cmap="viridis", aspect="auto", interpolation="none")
for t, (length, action) in enumerate(zip((page.states >= 0).sum(-1).tolist(), page.actions, strict=True)):
    ax.annotate(f"action: {tokenizer.convert_ids_to_tokens(action.item())}", (length - 0.4, t), va="center", fontsize=9)
ax.set(title="Every state of one episode, a colour for each token", xlabel="place in the text", ylabel="time t",
       xlim=(-0.5, length + 4), xticks=range(0, length, 2))
ax.grid(False)
show(fig, alt=f"The {len(page.states)} states of an episode, one below the other, a colour for each token. Each row "
              "is the row above with one token more, the action that was taken there, so that the right edge is a "
              "staircase.")

# %% [markdown]
# A staircase, and an extravagant one: every row repeats the one above. All of it is in the last row. Call the tokens
# of the whole text $x_0 \dots x_N$. At time t the state is $x_0 \dots x_t$, and the action is $x_{t+1}$. So
#
# $$\text{states} = x_{0 \dots N-1}, \qquad \text{actions} = x_{1 \dots N}$$
#
# `tokens[:-1]` and `tokens[1:]`, the same row twice, shifted by one. Entry t of "states" is a single number, but it
# stands for the whole text up to there, because GPT-2 looks to the left (chapter 10, the causal mask).

# %%
tokens = torch.cat([page.states[-1][page.states[-1] >= 0], page.actions[-1:]])  # [N + 1]  the whole text, <eos> too
states, actions = tokens[:-1], tokens[1:]  # [N], [N]
num_prompt = int((page.states[0] >= 0).sum())
chosen = torch.arange(len(actions)) >= num_prompt - 1  # [N] bool: this action was GPT-2's, not the user's

for t in (0, num_prompt - 2, num_prompt - 1, num_prompt, len(actions) - 1):
    whose = "GPT-2" if chosen[t] else "the user"
    print(f"t = {t:2}   state …{tokenizer.decode(states[max(0, t - 2): t + 1]):24} action "
          f"{tokenizer.decode(actions[t]):8} by {whose}")

# %% [markdown]
# Two things come with that row. The first is a **mask**. The request is on the page, too, but GPT-2 did not choose
# it: the user's words are in its states and never among its actions. Whoever trains on them teaches the policy to
# ask the user's questions.
#
# The second is speed. In one pass GPT-2 computes π(· | prefix) for *every* prefix, so a whole episode is scored at
# once. That had better give what we got when it walked:

# %% tags=["nbval-check-output"]
log_probs = gpt2(states[None]).log_prob(actions[None])[0]  # [N]  one pass over the row
torch.testing.assert_close(log_probs[chosen], page.log_probs, atol=1e-4, rtol=1e-4)
print("log π from one pass over the row = log π from one state at a time")

# %% [markdown]
# ## The fast lane
#
# The same trick serves for sampling. `generate`, the sampler of chapter 10, writes many texts side by side and keeps
# what it has computed. Is that still our loop? Give both the same dice.

# %% tags=["nbval-check-output"]
from rlcore.lm import completion_texts, generate

for row in range(8):
    prompt = requests[row]["prompt"]
    one = gym.make("Text-v0", **{**settings, "dataset": [{"prompt": prompt, "group": ""}]})
    walked = collect(NextToken(gpt2), one, seed=0, generator=torch.Generator().manual_seed(row))
    written = generate(gpt2, [prompt], max_new_tokens=28, generator=torch.Generator().manual_seed(row))
    own = written.mask[0]
    assert torch.equal(walked.actions, written.actions[0, own])
    assert torch.equal(walked.terminated, written.terminated[0, own])
    torch.testing.assert_close(walked.log_probs, written.log_probs[0, own], atol=1e-4, rtol=1e-4)
print("8 requests: the same tokens, the same ends, the same log-probs")

# %%
from gymnasium.vector import SyncVectorEnv

from rlcore.lm import Prompts

texts = Prompts(requests, [gold_reward], prompts_per_step=32, max_new_tokens=28)
worlds = SyncVectorEnv([lambda: gym.make("Text-v0", **settings)] * 32)

seconds = {}
for name, run in {"collect, 32 text worlds": lambda: collect(NextToken(gpt2), worlds, seed=0),
                  "Prompts, 32 texts": lambda: texts.sample(gpt2, torch.Generator().manual_seed(0))}.items():
    started = time.process_time()
    trajectory = run()
    seconds[name] = time.process_time() - started
    kind, shape = type(trajectory).__name__, tuple(trajectory.actions.shape)
    print(f"{name:25} {seconds[name]:.2f} s   a {kind} with actions {shape}")
slow, fast = seconds.values()
print(f"the batched sampler is {slow / fast:.0f} times faster here")

# %% [markdown]
# `Prompts` is that sampler with a data set of requests in front of it and a reward behind: what `Worlds` was for
# CartPole in chapters 07 to 09. Both have one method that matters, `sample(policy, generator)`, and both return a
# `Trajectory`. That is all the agents ever asked for, so here is the diff between training a cart and training GPT-2:
#
# ```diff
# -world = Worlds(gym.make_vec("CartPole-v1", num_envs=32))
# -policy = MLPPolicy(state_size=4, num_actions=2)
# +world = Prompts(requests, [gold_reward], prompts_per_step=32, max_new_tokens=28)
# +policy = assistant_base()
#  train(policy, world, REINFORCEConfig(gamma=1.0, baseline="mean"))
# ```
#
# It is no pseudocode: further down we run it.

# %% [markdown]
# ## Whose token is it?
#
# Here are five rows of that batch.

# %%
rows, first = slice(0, 5), 7  # of the request, only the last three tokens
actions, mask = trajectory.actions[rows, first - 1:], trajectory.mask[rows, first - 1:]  # [5, T'] each
kind = torch.where(mask, 1, 0)  # 0 not chosen, 1 chosen, 2 chosen and <eos>, 3 padding
kind[mask & (actions == tokenizer.eos_token_id)] = 2
kind[~mask & (mask.cumsum(-1) > 0)] = 3
width = int((kind != 3).any(0).nonzero()[-1]) + 2
colours = np.array([[0.87, 0.87, 0.87], [0.72, 0.85, 0.95], [1.0, 0.75, 0.45], [1, 1, 1]])
fig, ax = plt.subplots(figsize=(8.8, 2.6))
ax.imshow(colours[kind[:, :width]], aspect="auto")
for i, t in np.ndindex(5, width):
    word = tokenizer.convert_ids_to_tokens(actions[i, t].item()) if kind[i, t] < 3 else "·"
    ax.text(t, i, word, ha="center", va="center", fontsize=7)
ax.set(xticks=range(0, width, 2), xticklabels=range(first - 1, first - 1 + width, 2), yticks=range(5),
       xlabel="time t", ylabel="row of the batch",
       title="actions: grey the user's, blue GPT-2's, orange its <eos>, white padding")
ax.grid(False)
show(fig, alt="Five rows of a batch of texts. Each begins with the end of a request, which the mask leaves out, goes "
              "on with the reply and its end-of-sequence token, which the mask keeps, and is filled up with "
              "padding, which it leaves out. The replies have "
              + ", ".join(str(int(n)) for n in trajectory.mask[rows].sum(-1)) + " tokens.")

# %% [markdown]
# Grey and white are not GPT-2's doing. Blue and orange are. Orange, too: stopping is an action like any other, it can
# be wise or foolish, and it has to be learned.
#
# A sampler hands you completions, `[B, T]`, and what stands behind their first `<eos>` is nobody's. How do you find
# it? Do not ask *which* tokens are padding. Real GPT-2s come without a padding token, so everybody uses `<eos>` for
# that as well, and in such a batch "throw away the padding" throws the decision to stop away. (Chapter 10 showed
# what becomes of a model that was never shown one.) Ask *where* the first `<eos>` is. An action counts if no `<eos>`
# came before it:

# %%
def my_response_mask(completions, eos_token_id):
    """True up to and including the first EOS, `[B, T]`."""
    is_eos = (completions == eos_token_id).long()  # [B, T]
    earlier = is_eos.cumsum(-1) - is_eos  # [B, T]  how many EOS stand before this place
    return earlier == 0


# %% tags=["nbval-check-output"]
from rlcore.lm import response_mask

EOS = 1
batch = torch.tensor([[5, 6, EOS, EOS, EOS],  # padded with EOS
                      [5, EOS, 0, 0, 0],  # padded with something else
                      [EOS, EOS, EOS, EOS, EOS],  # it had nothing to say, and said so
                      [5, 6, 7, 8, 9]])  # cut off: no EOS at all
assert torch.equal(my_response_mask(batch, EOS), response_mask(batch, EOS))
print(my_response_mask(batch, EOS).int().tolist())
print("the same as rlcore's response_mask")

# %% [markdown]
# > **Pitfall, from real life.** An action is a token, and a *text* is not its tokens. Two rows of tokens can spell
# > the same string: `he` `llo` and `hello`. Systems that let the model write, keep the *string*, and turn it into
# > tokens again for training are then training on actions that nobody took, under log-probs that belong to others.
# > It went unnoticed often enough to get a name, *retokenization drift* ([the vLLM
# > blog](https://blog.vllm.ai/2025/10/22/agent-lightning.html), 2025, on agents that talk to a model over an API which
# > gives out strings only), and it was found in TRL's own GRPO trainer, where a reply with tool calls in it was
# > decoded and encoded again between turns ([trl #5224](https://github.com/huggingface/trl/issues/5224)). A
# > `Trajectory` therefore keeps the tokens. Text is for people and for rewards.
#
# You can watch it happen with a tokenizer of three tokens.

# %%
from tokenizers import Tokenizer
from tokenizers.models import BPE

three = Tokenizer(BPE(vocab={"a": 0, "b": 1, "ab": 2}, merges=[("a", "b")]))
sampled = [0, 1]  # the policy said "a", and then it said "b"
string = "".join(three.id_to_token(token) for token in sampled)
print(f"sampled {sampled}, which spells {string!r}, which is encoded as {three.encode(string).ids}")

# %% [markdown]
# ## How likely is a reply?
#
# One token has a probability, and a reply has the product of them: first *the*, then *apple* given *the*, and so on.
# As logarithms they add up. With y the reply, x the request, and the sum over the tokens that the mask keeps,
#
# $$\log \pi(y \mid x) = \sum_{t} \log \pi(a_t \mid s_t)$$
#
# Is that so? It is a claim about how often things happen, so count. GPT-2 answers one request 3,000 times.

# %%
from collections import Counter

question = "user what is the color of the apple ? bot"
many = generate(gpt2, [question] * 3000, max_new_tokens=28, generator=torch.Generator().manual_seed(0))
counted = Counter(completion_texts(many, tokenizer))
print(f"{len(counted)} different replies. The most frequent:")
for reply, n in counted.most_common(6):
    row = completion_texts(many, tokenizer).index(reply)
    log_prob = many.log_probs[row].sum()  # 0 outside the mask
    print(f"   {reply:34} log π = {log_prob:6.2f}, so π = {log_prob.exp():.4f};   counted {n / 3000:.4f}")

# %% [markdown]
# The sum is what makes a reply *one thing* with one probability. Which brings us to the question that this page
# turns on.

# %% [markdown]
# ## Many small actions, or one large one?
#
# There are two ways to tell the story of a reply.
#
# **The token MDP.** GPT-2 acts a dozen times. States, actions, rewards that are 0 and at the end R. Each action is
# pushed by the return that followed it, as in chapter 07:
#
# $$g_{\text{token}} = \mathbb{E}\Big[\sum_t G_t \, \nabla \log \pi(a_t \mid s_t)\Big]$$
#
# **The sequence bandit.** GPT-2 acts once. The arm it pulls is a whole reply, one of millions; the arm pays R, and the
# episode is over. This is chapter 02's gradient bandit:
#
# $$g_{\text{bandit}} = \mathbb{E}\big[R \, \nabla \log \pi(y \mid x)\big]$$
#
# People use one or the other as if it were a matter of taste. You will find PPO in the first, RLOO and (at heart)
# GRPO in the second. Do they push GPT-2 in the same direction?
#
# We need not guess. Make GPT-2 so small, and its language so poor, that *every* reply can be written down.

# %%
from rlcore.lm import small_gpt2, word_tokenizer
from rlcore.policies import LanguagePolicy

tiny_tokenizer = word_tokenizer(["?", "good", "very", "not"])  # "?" is the question: how is the dog?
VERDICTS = {"good": 1.0, "very good": 1.0, "very very good": 1.0, "not good": -1.0}  # the dog is fine
LIMIT = 4  # tokens of a reply, <eos> included


def tiny_gpt2(seed):
    """One layer, width 16, in float64, with opinions that differ from token to token."""
    model = small_gpt2(tiny_tokenizer, layers=1, width=16, heads=2, positions=8, seed=seed, initializer_range=0.3)
    return LanguagePolicy(model.double(), tiny_tokenizer)


def how_is_the_dog(prompts, completions, **columns):
    """A reward function: babble is worth nothing."""
    return [VERDICTS.get(text, 0.0) for text in completions]


# %% [markdown]
# Six tokens (`<pad>` and `<eos>` are two of them), at most four in a reply. Here they all are, as a trajectory.

# %%
from rlcore.trajectory import Trajectory, last_steps


def every_reply():
    """All replies, each once, in the shape of a sample: a trajectory `[M, 4]`."""
    sequences = torch.tensor(list(product(range(len(tiny_tokenizer)), repeat=LIMIT)))  # [6⁴, 4]
    mask = response_mask(sequences, tiny_tokenizer.eos_token_id)
    completions = torch.unique(sequences.masked_fill(~mask, tiny_tokenizer.eos_token_id), dim=0)  # [M, 4]
    mask = response_mask(completions, tiny_tokenizer.eos_token_id)
    asked = torch.full((len(completions), 1), tiny_tokenizer.convert_tokens_to_ids("?"))
    tokens = torch.cat([asked, completions], -1)  # [M, 5]
    ended = last_steps(mask) & (completions == tiny_tokenizer.eos_token_id)
    blank = torch.zeros(mask.shape, dtype=torch.float64)
    every = Trajectory(tokens[:, :-1], tokens[:, 1:], blank, blank, ended, last_steps(mask) & ~ended, mask)
    said = completion_texts(every, tiny_tokenizer)
    return every.with_final_rewards(torch.tensor(how_is_the_dog(None, said), dtype=torch.float64))


every = every_reply()
policy = tiny_gpt2(seed=0)
log_probs, _ = policy.evaluate_actions(every.states, every.actions, every.mask)  # [M, 4], 0 outside the mask
p = log_probs.sum(-1).exp().detach()  # [M]  the probability of each whole reply
R = every.rewards.sum(-1)  # [M]
print(f"{len(p)} replies, whose probabilities sum to {p.sum():.12f}; expected reward {p @ R:.4f}")

# %% [markdown]
# With all replies and their probabilities at hand, an expectation is a weighted sum, and there is no luck in what
# follows. Three gradients: of the expected reward itself, by differentiating Σ π(y) R(y) straight away; in the token
# framing; and in the bandit framing.

# %%
from rlcore.returns import discounted_returns


def gradient(policy, objective):
    """Of one number, in the policy's weights, as one long vector."""
    parts = torch.autograd.grad(objective, list(policy.parameters()), retain_graph=True)
    return torch.cat([part.flatten() for part in parts])


def token_framing(log_probs, trajectory, weight, gamma=1.0):
    """Many actions: each is pushed by the return that followed it."""
    G = discounted_returns(trajectory.rewards, trajectory.done, gamma)  # [M, T]
    return (weight * (G * log_probs).sum(-1)).sum()  # log_probs are 0 outside the mask


def bandit_framing(log_probs, trajectory, weight):
    """One action: the whole reply is pushed by what it was paid."""
    return (weight * trajectory.rewards.sum(-1) * log_probs.sum(-1)).sum()


# %% tags=["nbval-check-output"]
for seed in range(5):
    policy = tiny_gpt2(seed)
    log_probs, _ = policy.evaluate_actions(every.states, every.actions, every.mask)
    p = log_probs.sum(-1).exp()
    expected_reward = gradient(policy, (p * R).sum())
    token = gradient(policy, token_framing(log_probs, every, p.detach()))
    bandit = gradient(policy, bandit_framing(log_probs, every, p.detach()))
    torch.testing.assert_close(token, bandit, atol=1e-12, rtol=0)
    torch.testing.assert_close(token, expected_reward, atol=1e-12, rtol=0)
print("five tiny GPT-2s, all 781 replies: three ways to the same gradient, to 12 decimals")

# %% [markdown]
# The same. And it is one line of algebra why: with one reward at the end and γ = 1, the return is R at *every* token,
# so it can be pulled out of the sum over tokens, and the sum that is left is log π(y | x).
#
# That holds for every single reply, and not only on average. So it holds for what we sample, too, with the real
# (well, 0.24 million numbers) GPT-2 and all its words:

# %% tags=["nbval-check-output"]
sample = texts.sample(gpt2, torch.Generator().manual_seed(0))  # 32 replies with their gold reward
log_probs, _ = gpt2.evaluate_actions(sample.states, sample.actions, sample.mask)
token = gradient(gpt2, token_framing(log_probs, sample, torch.tensor(1 / 32)))
bandit = gradient(gpt2, bandit_framing(log_probs, sample, torch.tensor(1 / 32)))
torch.testing.assert_close(token, bandit, atol=1e-4 * token.abs().max().item(), rtol=1e-4)
print("32 sampled replies: the two framings have the same gradient")

# %% [markdown]
# > **Change this number and run again.** Call `token_framing` with `gamma=0.999` in the cell before the last, where it
# > is compared to 12 decimals. How far off is it? And with 0.5?

# %% [markdown]
# ### Where they part
#
# There are habits that break the equality, and they look harmless. They change how hard a token of a good reply is
# pushed. Two right replies, one short and one long, with R = 1, and the push on each of their tokens:

# %%
lengths = (2, 10)
habits = {
    "sum, γ = 1 (either framing)": lambda T: np.ones(T),
    "sum, γ = 0.9": lambda T: 0.9 ** np.arange(T)[::-1],
    "sum, γ = 0.5": lambda T: 0.5 ** np.arange(T)[::-1],
    "mean over the reply's tokens": lambda T: np.ones(T) / T,
}
fig, axes = plt.subplots(1, 2, figsize=(8.6, 2.6), sharey=True, width_ratios=(1, 2.4))
for ax, T in zip(axes, lengths, strict=True):
    pushes = np.stack([push(T) for push in habits.values()])
    ax.imshow(pushes, cmap="Blues", vmin=0, vmax=1.6, aspect="auto")
    for i, t in np.ndindex(*pushes.shape):
        ax.text(t, i, f"{pushes[i, t]:.2f}", ha="center", va="center", fontsize=9)
    ax.set(title=f"{T} tokens", xticks=range(T), yticks=range(len(habits)), yticklabels=habits,
           xlabel="token")
    ax.grid(False)
fig.suptitle("How hard each token of a right reply is pushed", fontsize=12)
show(fig, alt="How hard each token of a right reply of 2 and of 10 tokens is pushed. With a sum and gamma 1, by 1 "
              "each. With gamma 0.9 or 0.5 the last token by 1 and the first ones by less, in the long reply hardly at "
              f"all: {0.5**9:.3f} at gamma 0.5. With a mean over the reply's tokens, by one half in the short reply "
              "and one tenth in the long one.")

# %% [markdown]
# **γ below 1** tells the first words of a long reply that they hardly mattered. For a dog that wastes time there is
# sense in that. A text is not worth less because it is long, and its first word (*sorry* or *sure*?) often decides
# the rest. From here on, γ = 1.
#
# **A mean over each reply's own tokens** looks like tidiness, and is a change of the reward. Dividing the sum by the
# length |y| gives what a bandit would get that pays R/|y|. Not similar to: equal.

# %% tags=["nbval-check-output"]
policy = tiny_gpt2(seed=0)
log_probs, _ = policy.evaluate_actions(every.states, every.actions, every.mask)
p, length = log_probs.sum(-1).exp(), every.mask.sum(-1)  # [M], [M]
mean_of_tokens = gradient(policy, (p.detach() * R * log_probs.sum(-1) / length).sum())
paid_by_the_word = gradient(policy, (p * (R / length)).sum())
torch.testing.assert_close(mean_of_tokens, paid_by_the_word, atol=1e-12, rtol=0)
print("the mean over a reply's tokens = the gradient of the expected R / length")

# %% [markdown]
# A right reply earns more if it is short. And a *wrong* one is fined less if it is long: a model that cannot be right
# can at least be verbose. GRPO was published with this mean; chapter 17 watches what it does. (A mean over all tokens
# of the *batch* is another matter: it divides every reply of the batch by the same number. Within a batch that changes
# how long the step is, not where it leads. Over many batches it is not quite innocent: a batch of long replies counts
# less. In a batch of one it *is* the mean per reply; the larger the batch, the less is left of that.)
#
# How much does it matter? An angle says it: between the bandit's gradient and the one that each habit follows.

# %%
def angle(a, b):
    """Between two vectors, in degrees; exact for small angles, too."""
    a, b = a / a.norm(), b / b.norm()
    return np.degrees(2 * np.arctan2((a - b).norm().item(), (a + b).norm().item()))


names = ["sum, γ = 1", "batch-token mean, large batch", "sum, γ = 0.9", "sum, γ = 0.5", "mean per reply"]
angles = np.zeros((5, len(names)))  # [seed, habit]
for seed in range(5):
    policy = tiny_gpt2(seed)
    log_probs, _ = policy.evaluate_actions(every.states, every.actions, every.mask)
    p = log_probs.sum(-1).exp().detach()
    bandit = gradient(policy, bandit_framing(log_probs, every, p))
    followed = [token_framing(log_probs, every, p), token_framing(log_probs, every, p) / (p * length).sum(),
                token_framing(log_probs, every, p, 0.9), token_framing(log_probs, every, p, 0.5),
                bandit_framing(log_probs, every, p / length)]
    angles[seed] = [angle(gradient(policy, one), bandit) for one in followed]

fig, ax = plt.subplots(figsize=(7.2, 2.8))
ax.plot(angles.T, range(len(names)), "o", color="C0", alpha=0.7)
ax.set(title="How far from the gradient of the expected reward?", yticks=range(len(names)), yticklabels=names,
       xlabel="angle (degrees); a dot is one of 5 tiny GPT-2s, computed exactly", ylim=(len(names) - 0.5, -0.5))
show(fig, alt="Angles to the exact gradient, five tiny GPT-2s each. " + "; ".join(
    f"{name}: from {low:.1f} to {high:.1f} degrees"
    for name, low, high in zip(names, angles.min(0), angles.max(0), strict=True)))

# %% [markdown]
# And sampled? Let a tiny GPT-2 answer 16 times, 64 times, … and compare each estimate with the exact gradient. Noise
# shrinks with the number of replies; a changed question does not.

# %%
dog_question = Dataset.from_list([{"prompt": "?"}])
sizes = (16, 64, 256, 1024, 4096)
policy = tiny_gpt2(seed=0)
log_probs, _ = policy.evaluate_actions(every.states, every.actions, every.mask)
p = log_probs.sum(-1).exp().detach()
exact = gradient(policy, bandit_framing(log_probs, every, p))
floor = (gradient(policy, token_framing(log_probs, every, p, 0.5)) - exact).norm() / exact.norm()
errors = {name: np.zeros((5, len(sizes))) for name in ("bandit", "token, γ = 1", "token, γ = 0.5")}
for seed in range(5):
    asking = Prompts(dog_question, [how_is_the_dog], prompts_per_step=1, group_size=sizes[-1], max_new_tokens=LIMIT)
    replies = asking.sample(policy, torch.Generator().manual_seed(seed))
    for j, n in enumerate(sizes):
        some = replies.rows(slice(n))
        log_probs, _ = policy.evaluate_actions(some.states, some.actions, some.mask)
        weight = torch.tensor(1 / n)
        estimates = (bandit_framing(log_probs, some, weight), token_framing(log_probs, some, weight),
                     token_framing(log_probs, some, weight, 0.5))
        for values, estimate in zip(errors.values(), estimates, strict=True):
            values[seed, j] = (gradient(policy, estimate) - exact).norm() / exact.norm()

fig, ax = plt.subplots()
for (name, values), look in zip(errors.items(), ({"linewidth": 6, "alpha": 0.5}, {"linestyle": "--"}, {}), strict=True):
    band(ax, sizes, values, name, kind="range", **look)
ax.axhline(floor, color="black", linestyle=":", label="γ = 0.5 with no noise at all, by enumeration")
ax.set(title="Noise goes away, a different question stays", xscale="log", yscale="log",
       xlabel="sampled replies", ylabel="error of the gradient ÷ its size")
ax.set_xticks(sizes, sizes)
ax.set_yticks((0.05, 0.1, 0.2, 0.5, 1), ("0.05", "0.1", "0.2", "0.5", "1"))
ax.minorticks_off()
ax.legend(fontsize=8.5)
show(fig, alt="The relative error of the sampled gradient against the number of replies, five seeds. Bandit and token "
              "framing with gamma 1 lie on the same falling line, "
              f"from {np.median(errors['bandit'][:, 0]):.2f} to {np.median(errors['bandit'][:, -1]):.2f}; with gamma "
              f"0.5 it comes down to {np.median(errors['token, γ = 0.5'][:, -1]):.2f}; without any noise it would be "
              f"{floor:.2f}.")

# %% [markdown]
# The thick line and the dashed one are *one* line: reply by reply, they are the same numbers.
#
# If the framings are equal, why keep two? Because each suggests something different to do next. In the bandit's
# world a reply can be compared with other *replies*, best with some to the same request: chapters 12 and 16. In the
# token world every prefix is a state and has a value, so one can ask *at which word* a reply went wrong: chapter 14,
# with a critic and GAE. Same gradient, different ways to take the noise out of it.

# %% [markdown]
# ## One word
#
# Up to now we have asked how to follow a reward. Here is why one would want to. Three replies to *what is the color
# of the apple*:

# %%
TRIO = {"true": "the apple is red .", 'a "not" in it': "the apple is not red .",
        "a remark behind it": "the apple is red , that is quite true ."}
for kind, reply in TRIO.items():
    print(f"{kind:20} {reply:42} gold reward {gold_reward([question], [reply])[0]:+.1f}")

# %% [markdown]
# To a human the second is a lie and the third is a little wordy. What does cross-entropy say? It is the training
# loss of chapter 10, minus the log-probability of what was said: how *surprised* GPT-2 is by each token. (Its unit
# is the nat. A token with probability 1/e ≈ 0.37 has one nat of surprise.)

# %%
from rlcore.lm.sft import pack_examples


@torch.no_grad()
def surprise(prompts, replies, policy=gpt2):
    """−log π of each token of each reply, `[B, T]`, 0 outside the mask; and the mask."""
    tokens, mask = pack_examples(tokenizer, prompts, replies)
    return -policy.evaluate_actions(tokens[:, :-1], tokens[:, 1:], mask)[0], mask


fig, axes = plt.subplots(3, 1, figsize=(7.6, 4.6), sharey=True, sharex=True)
totals = []
for ax, (kind, reply) in zip(axes, TRIO.items(), strict=True):
    values, mask = surprise([question], [reply])
    values = values[mask]
    totals.append(values.sum().item())
    said = [*reply.split(), "<eos>"]
    new = [word == "not" or ("," in said and said.index(",") <= i < len(said) - 2) for i, word in enumerate(said)]
    ax.bar(range(len(said)), values, color=["C1" if extra else "C0" for extra in new], alpha=0.8)
    for i, word in enumerate(said):
        ax.annotate(word, (i, values[i]), xytext=(0, 2), textcoords="offset points", ha="center", fontsize=9)
    ax.set(ylim=(0, 2.6), xticks=[], title=f"{kind}: {totals[-1]:.2f} nats in all")
    ax.title.set_fontsize(10)
axes[1].set_ylabel("surprise −log π(token) (nats)")
show(fig, alt=f"Surprise per token of three replies. True: {totals[0]:.1f} nats in all; with a not: {totals[1]:.1f}; "
              f"with a remark: {totals[2]:.1f}. The not and the remark each add one or two surprised tokens.")

# %% [markdown]
# The lie and the remark look alike. Each is one small surprise in a text that is otherwise as expected; the model
# raises an eyebrow and reads on. There is no column in this picture for *true*.
#
# The reward looks at the whole. Here we let it be a **reward model**: a copy of GPT-2 that was shown 4,000 pairs of
# replies, told which of each pair somebody preferred, and trained to give the preferred one the higher number. It
# never sees `gold_reward`. How that works is chapter 13; here it is a judge that is handed in. (Training it takes the
# next cell about ten seconds.)

# %%
from rlcore.lm import RewardModel, RewardModelConfig, train_reward_model
from rlcore.lm.pairs import preference_pairs

judge = RewardModel.from_policy(gpt2)
for _ in train_reward_model(judge, preference_pairs(4000), RewardModelConfig(), seed=0):
    pass
judge.normalize_on(preference_pairs(500, split="held_out"))  # one point is now one standard deviation of rewards

for kind, reply in TRIO.items():
    print(f"{kind:20} {reply:42} the judge says {judge.reward([question], [reply])[0]:+.2f}")

# %% [markdown]
# One apple is an anecdote. There are twelve facts in this world (six things, each with a color and a taste). For each
# of them: what does the "not" add to the surprise, and what to the reward? And the same for the remark.

# %%
from rlcore.tasks.assistant_grammar import FACTS, Claim, FactRequest

facts = [FactRequest(thing, attribute) for thing, values in FACTS.items() for attribute in values]
asked = [fact.prompt for fact in facts]


def say(fact, negated=False):
    return str(Claim(fact.thing, FACTS[fact.thing][fact.attribute], negated))


plain = [f"{say(fact)} ." for fact in facts]
changed = {'a "not" put in': [f"{say(fact, negated=True)} ." for fact in facts],
           'the remark ", that is quite true"': [f"{say(fact)} , that is quite true ." for fact in facts]}

fig, ax = plt.subplots(figsize=(7.2, 3.8))
moved = {}
for (kind, replies), colour, marker in zip(changed.items(), ("C1", "C0"), ("X", "o"), strict=True):
    nats = (surprise(asked, replies)[0].sum(-1) - surprise(asked, plain)[0].sum(-1)).numpy()  # [12]
    reward = (judge.score(asked, replies) - judge.score(asked, plain)).numpy()  # [12]
    moved[kind] = (nats, reward)
    ax.plot(nats, reward, marker, color=colour, markersize=8, alpha=0.8, label=kind)
ax.axhline(0, color="black", linewidth=1)
ax.set(title="Twelve true replies, changed in two ways", xlabel="change of −log π of the reply (nats)", xlim=(0, 3.2),
       ylabel="change of the judge's reward\n(standard deviations)")
ax.legend(fontsize=9, loc="lower left")
show(fig, alt="Change of reward against change of surprise for twelve facts. " + "; ".join(
    f"{kind}: {n.mean():+.1f} nats, reward {r.mean():+.2f}, lower on {(r < 0).sum()} of 12"
    for kind, (n, r) in moved.items()))

# %% [markdown]
# Along the horizontal axis, what cross-entropy sees, the two clouds overlap. Along the vertical one they have
# nothing to do with each other.
#
# That was one GPT-2 and one judge. In `benchmarks/negation.py` both were made five times, each time from other random
# weights and other pairs, and three more harmless remarks were tried.

# %%
sweep = json.loads((Path(rlcore.__file__).parents[1] / "benchmarks/results/negation.json").read_text(encoding="utf-8"))


def change(run, kind, what):
    """By how much a kind of reply differs from the plain one, for each of the 12 facts."""
    return np.subtract(run["replies"][kind][what], run["replies"]["plain"][what])


remarks = [kind for kind in sweep["runs"][0]["replies"] if kind not in ("plain", "not")]
fig, axes = plt.subplots(1, 2, figsize=(8.6, 3.3), sharey=True)
rng = np.random.default_rng(0)
for ax, what, title in ((axes[0], "nll", "change of −log π (nats)"), (axes[1], "reward", "change of the reward (sd)")):
    for run in sweep["runs"]:
        for kinds, shift, colour, label in ((remarks, 0.17, "C0", "four remarks"), (["not"], -0.17, "C1", "“not”")):
            x = np.concatenate([change(run, kind, what) for kind in kinds])
            y = run["seed"] + shift + rng.uniform(-0.1, 0.1, len(x))
            ax.plot(x, y, "o", color=colour, markersize=3.5, alpha=0.6, label=label if run["seed"] == 0 else None)
    ax.axvline(0, color="black", linewidth=1)
    ax.set(title=title, xlabel="a dot is one fact", yticks=range(5))
axes[0].set_ylabel("seed")
axes[0].set_xlim(-0.2, 3.2)
axes[0].legend(fontsize=9, loc="center left", bbox_to_anchor=(0.06, 0.5))
nots = np.stack([change(run, "not", "reward") for run in sweep["runs"]])  # [5, 12]
quite = np.stack([change(run, "that is quite true", "reward") for run in sweep["runs"]])
nats = {kind: np.mean([change(run, kind, "nll") for run in sweep["runs"]]) for kind in ("not", *remarks)}
show(fig, alt="Change of surprise and of reward, five seeds, one dot per fact. On the left, nots and remarks lie on "
              f"top of each other: {nats['not']:.2f} nats for a not, {min(nats[k] for k in remarks):.2f} to "
              f"{max(nats[k] for k in remarks):.2f} for the remarks. On the right they are apart: "
              f"{nots.mean():+.2f} for a not, {quite.mean():+.2f} for the remark 'that is quite true'.")
print(f"“not” lowers the reward on {[int((row < 0).sum()) for row in nots]} of 12 facts, seed by seed;")
print(f"it costs more of it than “that is quite true” on {[int(n) for n in (nots < quite).sum(1)]} of 12")
more = [int((change(r, "not", "nll") > change(r, "that is quite true", "nll")).sum()) for r in sweep["runs"]]
print(f"and it is the more surprising of the two on {more} of 12;")
print(f"on average: “not” {nots.mean():+.2f} sd, the remark {quite.mean():+.2f} sd;  surprise: {nats['not']:.2f} nats "
      f"and {nats['that is quite true']:.2f}")

# %% [markdown]
# To be fair to both sides. A "not" is a little more surprising than a remark, by a few tenths of a nat, and on most
# facts. A loss does see it; it sees it about as well as it sees a change of tone. And a learned judge is no oracle:
# here and there it likes or dislikes a remark that changes nothing. But it puts the "not" where it belongs, every time.
#
# And the match was not even. The judge had been shown 4,000 choices, GPT-2 none. So give GPT-2 the same news in the
# only way that cross-entropy understands: fine-tune a copy on the *chosen* replies of those pairs. (One run.)

# %%
from rlcore.lm import SFTConfig, sft

informed = copy.deepcopy(gpt2)
chosen = preference_pairs(4000).rename_column("chosen", "completion").remove_columns("rejected")
for _ in sft(informed, chosen, SFTConfig(batch_size=32, max_steps=200), seed=0):
    pass
for name, policy in (("as it was", gpt2), ("fine-tuned on chosen replies", informed)):
    before = surprise(asked, plain, policy)[0].sum(-1)  # [12]
    more = {kind: (surprise(asked, replies, policy)[0].sum(-1) - before).mean() for kind, replies in changed.items()}
    print(f"{name:30}" + ";   ".join(f"{kind} costs {nats:.2f} nats" for kind, nats in more.items()))

# %% [markdown]
# Now its surprise tells them apart as well, because liars are chosen less often. What cross-entropy measures is how
# well one talks *like the data*. Where the data says what is better, so does it; on text as people wrote it, it does
# not. (Why not stop here, then, and fine-tune on what was chosen? Half of what preferences say is in the *rejected*
# replies, and whoever only imitates gets no better than the best that was shown. Chapter 23 lets the two race.)
#
# Cross-entropy is a sum over *tokens*, each judged by how expected it is. Truth is a property of the *whole*, and can
# hang on a single token that is not unexpected at all.

# %% [markdown]
# ## Many right answers
#
# There is a second thing that cross-entropy cannot say: *or*. Here are ten replies to our question, and their gold
# reward, which is as high as it gets for all of them.

# %%
from rlcore.tasks.assistant_grammar import POLITE_CLOSERS, POLITE_OPENERS

red = "the apple is red"
RIGHT = [*(f"{o} , {red} ." for o in POLITE_OPENERS), *(f"{red} , {c} ." for c in POLITE_CLOSERS),
         *(f"{o} , {red} , take care ." for o in POLITE_OPENERS)]


def is_right(prompts, completions, **columns):
    """1 for any of the ten, else 0."""
    return [float(completion in RIGHT) for completion in completions]


@torch.no_grad()
def chances(policy):
    """The exact probability of each of the ten, `[10]`: no sampling."""
    tokens, mask = pack_examples(tokenizer, [question] * len(RIGHT), RIGHT)
    return policy.evaluate_actions(tokens[:, :-1], tokens[:, 1:], mask)[0].sum(-1).exp()


for reply, chance in zip(RIGHT, chances(gpt2), strict=True):
    print(f"{reply:48} gold {gold_reward([question], [reply])[0]:+.1f}   π = {chance:.4f}")
print(f"one of the ten: {chances(gpt2).sum():.1%}")

# %% [markdown]
# Teach that to GPT-2 in three ways. **SFT** (supervised fine-tuning, chapter 10: imitate) on all ten; SFT on one of
# them, by a demonstrator with a favourite; and **REINFORCE**, chapter 07's, from the line that you saw in the diff: it
# gets 1 for any of the ten and 0 for all else. Nobody tells it which.

# %%
from rlcore.agents.reinforce import REINFORCE, REINFORCEConfig
from rlcore.lm.sft import SFTConfig, sft


def imitate(replies):
    """A copy of GPT-2 after 40 steps of SFT on these replies."""
    student = copy.deepcopy(gpt2)
    demonstrations = Dataset.from_list([{"prompt": question, "completion": reply} for reply in replies])
    for _ in sft(student, demonstrations, SFTConfig(batch_size=32, warmup_steps=5, max_steps=40), seed=0):
        pass
    return student


def effective(q):
    """How many answers a policy really uses: e to the entropy of q `[…, n]`, 1 for one, n for n equally often."""
    q = q / q.sum(-1, keepdim=True)
    return torch.special.entr(q).sum(-1).exp()


STEPS = 50
rl, curves = [], torch.zeros(5, STEPS + 1, len(RIGHT))  # [seed, step, answer]
for seed in range(5):
    student = copy.deepcopy(gpt2)
    world = Prompts(Dataset.from_list([{"prompt": question}]), [is_right], prompts_per_step=1, group_size=64,
                    max_new_tokens=28)
    agent = REINFORCE(student, None, world, REINFORCEConfig(steps=STEPS, lr=1e-3, gamma=1.0, baseline="mean"), seed)
    curves[seed, 0] = chances(student)
    for metrics in agent.steps():
        curves[seed, metrics["step"]] = chances(student)
    rl.append(student)
taught = {"before": gpt2, "SFT, all ten": imitate(RIGHT), "SFT, one": imitate(RIGHT[:1]),
          **{f"RL, seed {seed}": student for seed, student in enumerate(rl)}}

# %%
table = torch.stack([chances(policy) for policy in taught.values()])  # [8, 10]
fig, ax = plt.subplots(figsize=(8.4, 3.8))
ax.imshow(table, cmap="Blues", vmin=0, vmax=1.3, aspect="auto")
for i, j in np.ndindex(*table.shape):
    if table[i, j] >= 0.005:
        ax.text(j, i, f"{table[i, j]:.2f}"[1:] if table[i, j] < 0.995 else "1", ha="center", va="center", fontsize=9)
labels = [f"{name}:  right {row.sum():.0%}" for name, row in zip(taught, table, strict=True)]
ax.set(title="The chance of each of ten equally good answers", yticks=range(len(taught)), yticklabels=labels,
       xticks=range(len(RIGHT)))
ax.set_xticklabels([reply.removesuffix(" .").replace(red, "…") for reply in RIGHT], rotation=35, ha="right", fontsize=8)
ax.grid(False)
show(fig, alt="The probability of each of ten right answers. " + "; ".join(
    f"{name}: right {row.sum():.0%}, likeliest answer {row.max():.0%}"
    for name, row in zip(taught, table, strict=True)))

# %% [markdown]
# (SFT was run once each, RL five times.) SFT does as the data does. Ten demonstrations, ten answers; one
# demonstration, one answer, and the nine others, just as good, are now mistakes.
#
# RL gets it right nearly always, too. But look at the rows: each seed has its own favourites, and the rest is gone.
# Nobody asked for that. The reward is 1 in every column! Watch it happen:

# %%
fig, axes = plt.subplots(1, 2, figsize=(8.6, 3.3))
for ax, values, title, unit in (
    (axes[0], 100 * curves.sum(-1), "one of the ten", "chance (%)"),
    (axes[1], effective(curves), "how many of the ten are in use", "effective number"),
):
    band(ax, range(STEPS + 1), values, "REINFORCE", kind="range", color="C1")
    ax.set(title=title, xlabel="step (64 replies each)", ylabel=unit)
for name, colour in (("SFT, all ten", "C0"), ("SFT, one", "C2")):
    axes[1].axhline(effective(chances(taught[name])), linestyle="--", color=colour, label=name)
axes[0].set_ylim(0, 104)
axes[1].set_ylim(0, 11)
axes[0].legend(fontsize=8, loc="lower right")
axes[1].legend(fontsize=8, loc="upper right", bbox_to_anchor=(1, 0.9))
left = effective(curves[:, -1])
show(fig, alt=f"Five runs of REINFORCE. The chance of a right answer rises from {100 * curves[0, 0].sum():.0f} to "
              f"{100 * curves[:, -1].sum(-1).median():.0f} per cent; the effective number of right answers in use "
              f"falls from {effective(curves[0, 0]):.1f} to between {left.min():.1f} and {left.max():.1f}.")

# %% [markdown]
# While there is much to gain, whichever right answer is drawn more often is pushed up more often, and then drawn more
# often still. The rich get richer. Who is rich first is partly GPT-2's own taste (the answers that were rare at the
# start never win) and among the rest luck: the seeds disagree. Then, when nearly all replies are right, there is
# nothing left to push: whatever is lost by then stays lost. RL is *indifferent* between right answers, and
# an indifferent process that feeds back on itself does not stay in the middle. The entropy falls without anybody
# having asked.
#
# For sums that may be fine. For poems it is not. The counterweights have names that you will meet: an entropy bonus
# (chapter 09 has one), a penalty for leaving the reference model (chapter 14), a clip that gives rare tokens more
# room (chapter 17).
#
# And now ask cross-entropy what it thinks of all these students. The test set is the ten right answers.

# %%
print(f"{'':14}{'right':>8}{'answers in use':>17}{'cross-entropy on the ten':>27}")
for name, policy in taught.items():
    q = chances(policy)
    print(f"{name:14}{q.sum():8.0%}{effective(q):17.1f}{-q.log().mean():20.1f} nats")

# %% [markdown]
# By that column, every student that RL taught is *worse* than GPT-2 before the lesson, which was right a few times
# in a hundred. Cross-entropy asks "would you have said what the demonstrator said?" A reward asks "was it right?" If
# you want the second, you have to optimise the second.

# %% [markdown]
# ## So why did anybody ever use cross-entropy?
#
# Because it can be differentiated. It has a target for every token, and a gradient that says of all 94 words whether
# they should have been likelier. A reward is one number at the end, from a judge that may be a program, a person or a
# coin; you cannot differentiate a person. That is what policy gradients are for, and they pay for it in noise. The
# next six chapters are about paying less. Chapter 12 takes REINFORCE and a rule that checks sums, and looks for
# baselines; 13 builds the judge that we borrowed; 14 puts policy, judge, critic and reference together; 15 does
# without the judge, 16 without the critic, and 17 looks at what has been mended since.

# %% [markdown]
# ## Check yourself
#
# <details><summary>A request of 10 tokens, a reply of 6 and its <code>&lt;eos&gt;</code>. How long are states and
# actions, how many entries of the mask are True, and at which index is the first?</summary>
#
# 17 tokens, so states and actions have 16 entries. Seven are GPT-2's, `<eos>` among them. The first is at index 9:
# the state there is the whole request, the tenth token being the last it has seen, and the action is the eleventh.
# </details>
#
# <details><summary>A reply hits the limit of 28 tokens in the middle of a sentence. Terminated or truncated, and why
# should anybody care?</summary>
#
# Truncated: the text would have gone on. Who learns values must not be told that the future ends there (chapter 08).
# And whoever judges it judges half a reply; our gold reward takes 1.5 off, others leave such replies out.
# </details>
#
# <details><summary>Reward-to-go was a great help in chapter 07. What does it do for GPT-2 here?</summary>
#
# Nothing at all, at γ = 1. The only reward comes at the end, so what is still to come is R at every token. That is the
# equality of the framings, looked at from the side.
# </details>
#
# <details><summary>Somebody adds a small bonus for each token as it is written (say, −0.01 × its surprise). Are the
# two framings still the same?</summary>
#
# In expectation yes, sample by sample no. The bandit pushes all tokens by the total. The token MDP does not push a
# token by rewards that came before it, which it cannot have caused: the same mean with less noise. This is the case in
# chapter 14, where a penalty is paid per token.
# </details>
#
# <details><summary>Somebody else pays half of R at the first token and half at the last, "to help with credit
# assignment". Are they the same now?</summary>
#
# No, and not even in expectation. The half that is paid at the start depends on words that are still to be written.
# The token MDP does not credit those words with it, since it came before them, and so loses half of what they are
# worth. A reward may depend on the state and the action it follows, and not on what comes later.
# </details>
#
# <details><summary>In the RL runs above all ten answers pay 1. Suppose one of them pays 1.05. Does RL find
# it?</summary>
#
# If it still is among those drawn often enough when the others have won, yes, slowly. If the luck of the first steps
# has buried it, hardly ever: what is not sampled is not learned from. Try it: it is one line in `is_right`.
# </details>
#
# <details><summary>You sample at temperature 0.7 and compute the log-probs for training at temperature 1. What have
# you done?</summary>
#
# The policy that acted is not the policy that learns. The actions are drawn from one distribution and the gradient is
# taken of another one; PPO's ratio would start anywhere but at 1. A `LanguagePolicy` carries its temperature with it
# for that reason.
# </details>

# %% [markdown]
# ## You can now …
#
# … walk GPT-2 through the dog's loop, and run it as a batch; read `tokens[:, :-1]` as states and `tokens[:, 1:]` as
# actions; tell the policy's tokens from all others; treat a reply as many actions or as one, and know what γ and a
# mean do to that; and say what cross-entropy cannot see. Your vocabulary has a function more:
#
# ```python
# response_mask(completions, eos_token_id)    # [B, T] -> [B, T] bool
# ```
#
# Now the exercises: `work/11_gpt2_is_a_policy.ipynb` (`rlcourse start 11`). You will write the mask, the shift, the
# log-probability of a reply, a `step()` made of text, and the loss whose gradient is both framings at once.
#
# **Further reading**
#
# - R. Ramamurthy and others, *Is Reinforcement Learning (Not) for Natural Language Processing?*, ICLR 2023,
#   [arXiv:2210.01241](https://arxiv.org/abs/2210.01241): text as a token-level MDP, in section 3.1.
# - A. Ahmadian and others, *Back to Basics: Revisiting REINFORCE Style Optimization for Learning from Human Feedback
#   in LLMs*, ACL 2024, [arXiv:2402.14740](https://arxiv.org/abs/2402.14740): the case for a whole reply as one action.
# - M. Ranzato, S. Chopra, M. Auli and W. Zaremba, *Sequence Level Training with Recurrent Neural Networks*, ICLR 2016,
#   [arXiv:1511.06732](https://arxiv.org/abs/1511.06732): REINFORCE on a language model, and why the token loss is the
#   wrong one.
# - N. Stiennon and others, *Learning to Summarize from Human Feedback*, 2020,
#   [arXiv:2009.01325](https://arxiv.org/abs/2009.01325): people's preferences against likelihood, at scale.
# - Z. Liu and others, *Understanding R1-Zero-Like Training: A Critical Perspective*, 2025,
#   [arXiv:2503.20783](https://arxiv.org/abs/2503.20783): what dividing by the length of the reply does to GRPO.
