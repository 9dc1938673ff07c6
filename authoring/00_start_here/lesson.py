# %% [markdown]
# # 00 · Start here
#
# By the end of this course you will have trained a small GPT-2 with PPO and with GRPO, on your own machine, in
# minutes, with code of which you know every line. By the end of *this page* you will have seen it happen once, and
# know how to work with what follows.
#
# *About 20 minutes, difficulty 1 of 5. You need Python, and to have met a torch tensor before: nothing else. No GPU,
# no download.*

# %%
import copy
import os
import time

import matplotlib.pyplot as plt
import torch

from rlcore.plotting import house_style, show

torch.set_num_threads(1)  # these models are small: one thread is faster than two
torch.manual_seed(0)
house_style()

# %% [markdown]
# ## The end of the road, first
#
# Here is a small GPT-2. It is the real architecture with 0.8 million weights instead of 124 million, and it has seen
# some additions, but not enough of them. (It is trained the first time this cell runs, which takes about a minute.
# After that it is found on your disk.)

# %%
from rlcore.lm import accuracy, answer
from rlcore.lm.base import addition_base
from rlcore.tasks.addition import MAX_NEW_TOKENS, addition_problems, exact_answer

gpt2 = addition_base()
practice, exam = addition_problems()  # the 500 problems of the exam are never practised

answers_before = answer(gpt2, exam, MAX_NEW_TOKENS)
for prompt, text, right in list(zip(exam["prompt"], answers_before, exam["answer"]))[:16]:
    print(prompt, f"{text:4}", "" if text == str(right) else f"wrong: {right}")
before = accuracy(gpt2, exam, exact_answer, MAX_NEW_TOKENS)
print(f"all 500: {before:.0%} right")

# %% [markdown]
# Not bad, not good. From here on nobody shows it a right answer again. It gets problems, writes eight answers to
# each, and is told for every answer: 1, or 0. That is all. Answers that did better than their seven siblings become
# more likely; the others less. It is called **GRPO**. The cell below runs it; its lines are in
# `rlcore/agents/grpo.py`, and chapter 16 goes through them one by one.

# %%
from rlcore.agents.grpo import GRPOConfig, train

trained, seen = copy.deepcopy(gpt2), [(0, before)]


def look(metrics):
    """Every 20 steps, sit the exam."""
    if metrics["step"] % 20 == 0:
        seen.append((metrics["step"], accuracy(trained, exam, exact_answer, MAX_NEW_TOKENS)))


started = time.perf_counter()
result = train(trained, practice, [exact_answer], GRPOConfig(steps=200), seed=0, observe=look)
print(f"{result.history[-1]['num_tokens']:,} tokens written and judged, in {time.perf_counter() - started:.0f} seconds")

# %%
fig, ax = plt.subplots()
ax.plot([row["step"] for row in result.history], [row["reward"] for row in result.history], alpha=0.5,
        label="practice: answers drawn with the model's own dice")
ax.plot(*zip(*seen), "o-", label="exam: the answer it finds likeliest")
ax.set(title="A small GPT-2 learns to add from right and wrong alone", xlabel="GRPO step", ylabel="share right",
       ylim=(0, 1))
ax.legend(loc="lower right")
show(fig, alt=f"Share of right answers over {len(result.history)} steps of GRPO, one run. In the exam it goes from "
              f"{seen[0][1]:.0%} to {seen[-1][1]:.0%}.")

# %% [markdown]
# Practice stays below the exam because in practice the model rolls dice: it draws each token with the probability that
# it gives it, to find out what else might work. In the exam it takes the likeliest token. And here is the whole exam,
# one mark for each problem; a cross is a wrong answer.

# %%
answers_after = answer(trained, exam, MAX_NEW_TOKENS)
a, b = torch.tensor([[int(number) for number in prompt[:-1].split("+")] for prompt in exam["prompt"]]).T

fig, axes = plt.subplots(1, 2, figsize=(8, 4), sharex=True, sharey=True)
for ax, title, texts in ((axes[0], "before", answers_before), (axes[1], "after", answers_after)):
    wrong = torch.tensor([text != str(right) for text, right in zip(texts, exam["answer"])])
    ax.scatter(a[~wrong], b[~wrong], s=10, color="lightgray", label="right")
    ax.scatter(a[wrong], b[wrong], s=22, color="C2", marker="x", label="wrong")
    ax.set(title=f"{title}: {int(wrong.sum())} of {len(wrong)} wrong", xlabel="first number", aspect="equal")
axes[0].set_ylabel("second number")
axes[1].legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
show(fig, alt="The exam before and after, a mark for each problem at its two numbers: many wrong answers before, "
              "few after.")

# %% [markdown]
# One run, one seed; the course will show you five before it claims anything. Run the cells again with another `seed`:
# much the same. Then with `lr=1e-3` in the `GRPOConfig`, steps ten times as large, and watch it fall apart. *Why* is a
# question you will be able to answer.
#
# There is a version for the terminal too, with a progress bar and a table: `rlcourse demo`.

# %% [markdown]
# ## The one idea
#
# A language model reads the text so far and gives a probability to every possible next token. A robot dog looks at
# a flying frisbee and gives a probability to left, lie still and right. Both are a **policy**: a function from what
# you see, the *state*, to a distribution over what you may do, the *action*.
#
# **An LLM is just another policy.** Courses say that; here the code does. Below is one function. It takes a policy
# and a record of what the policy did, and asks for the quantity that all of reinforcement learning by gradients
# starts from: how likely was each of these actions? (As a logarithm, because probabilities of whole texts are products
# of many small numbers, and logarithms turn products into sums.)

# %%
def log_probs_of_actions(policy, trajectory):
    """log π(aₜ | sₜ) of everything that was done, `[B, T]`."""
    return policy(trajectory.states).log_prob(trajectory.actions)


# %% [markdown]
# First, for a dog whose brain is a fresh little network, on four throws.

# %%
import gymnasium as gym

import rlcore.envs.robot_dog  # noqa: F401  (puts the dog on Gymnasium's list of worlds)
from rlcore.policies import MLPPolicy
from rlcore.rollout import collect

dog = MLPPolicy(state_size=6, num_actions=3)
throw = collect(dog, gym.make_vec("RobotDog-v0", num_envs=4), seed=0)
print("dog:   states", tuple(throw.states.shape), " log-probs", tuple(log_probs_of_actions(dog, throw).shape))

# %% [markdown]
# Now for GPT-2, on four problems. The state is the text so far, the action is the next token.

# %%
from rlcore.lm import generate

text = generate(gpt2, exam["prompt"][:4], max_new_tokens=MAX_NEW_TOKENS)
print("GPT-2: states", tuple(text.states.shape), "    log-probs", tuple(log_probs_of_actions(gpt2, text).shape))

# %% [markdown]
# The function did not ask which of the two it had. Both records also kept the log-probabilities from the moment of
# choosing. Are they the same?

# %% tags=["nbval-check-output"]
for name, policy, trajectory in (("dog", dog, throw), ("GPT-2", gpt2, text)):
    now, then = log_probs_of_actions(policy, trajectory), trajectory.log_probs
    mask = trajectory.mask  # which steps were the policy's own choice: not the padding, not the problem it was given
    print(f"{name}: the same numbers, {torch.allclose(now[mask], then[mask], atol=1e-4)}")

# %% [markdown]
# `mask` is there because rows differ in length: a catch ends a throw early, and `128` is longer than `85`. Whatever is
# one number per step, as a reward or a log-probability is, has time as its last axis and what runs side by side to its
# left, and the mask says what counts. (A dog's *state* is six numbers, so its states have one more axis, behind time.
# A text's states are one token per step: the text so far is everything to its left.) This rectangle stays with us
# from the dog to the last chapter.
#
# And here, for the record, are the three lines that PPO and GRPO have in common, from chapter 09's cart to chapter
# 16's GPT-2. You need not understand them yet. Come back when you do; it is a good feeling.
#
# ```python
# log_probs = policy(batch.states).log_prob(batch.actions)                          # [B, T]
# step_loss = ppo_clip_loss(log_probs, batch.log_probs, batch.advantages, clip)     # [B, T]
# loss = masked_mean(step_loss, batch.mask)                                         # []
# ```

# %% [markdown]
# ## How the chapters work
#
# Each chapter is a notebook like this one: run a cell, look at what happened, and only then read what it is called.
# What is claimed is measured in front of you, read from a sweep whose recipe is in `benchmarks/`, proved, or cited;
# change a number and run again. The minutes at the top are for the lesson and its exercises together. Most of what
# you learn, you learn after that, in the exercises.
#
# In a terminal, in the folder of the course:
#
# | | |
# |---|---|
# | `rlcourse` | where you are, and what comes next |
# | `rlcourse lab` | JupyterLab at your next chapter, with its exercises copied to the folder `work` |
# | `rlcourse check 1` | runs your exercises of chapter 1 and says what is right, what is wrong, and why |
# | `rlcourse hint 01.2` | a hint; ask again for a bigger one |
# | `rlcourse reset 1` | begin again (a backup of your work is kept) |
# | `rlcourse demo` | the demonstration above, a little longer, in the terminal |
#
# Your answers live in `work/`, which updates of the course never touch. A check does not only say *wrong*: each one
# has been tried on the mistakes that people really make, and names yours if it knows it. Being wrong here is cheap,
# and it is where the learning is.
#
# Try the machinery now: open `work/00_start_here.ipynb` in the file browser on the left (if it is not there yet,
# `rlcourse start 0` puts it there). It has one small exercise.

# %% [markdown]
# ## Is everything in place?

# %% tags=["nbval-check-output"]
from rlcore.lm.cache import cache_folder

os.makedirs(cache_folder(), exist_ok=True)
checks = {
    "torch computes": torch.ones(2, 2).sum().item() == 4.0,
    "worlds run": gym.make("CartPole-v1").reset(seed=0)[0].shape == (4,),
    "trained models can be kept": os.access(cache_folder(), os.W_OK),
}
for name, fine in checks.items():
    print(f"{'✓' if fine else '✗'} {name}")

# %% [markdown]
# ## The road
#
# | | chapter | minutes | difficulty |
# |---|---|---|---|
# | **I** | ***Value: what is good*** | | |
# | 01 | The loop: agent, world, reward; a robot dog learns to catch | 90 | 1 |
# | 02 | Bandits: trying against using | 75 | 2 |
# | 03 | Markov decision processes: what is a state worth? Text as a world | 90 | 2 |
# | 04 | Learning from experience: Monte Carlo, TD, importance sampling | 80 | 2 |
# | 05 | SARSA and Q-learning | 90 | 2 |
# | 06 | Deep Q-learning: a network for a table | 80 | 3 |
# | **II** | ***Policy: learning to act directly*** | | |
# | 07 | Policy gradients: REINFORCE | 90 | 3 |
# | 08 | Actor–critic and GAE | 80 | 3 |
# | 09 | PPO | 90 | 4 |
# | **III** | ***Language models: the same loop, made of text*** | | |
# | 10 | A small GPT-2: pretraining, fine-tuning, sampling | 150 | 3 |
# | 11 | GPT-2 is a policy | 135 | 3 |
# | 12 | REINFORCE on GPT-2 | 140 | 3 |
# | 13 | Reward models: learning what people prefer | 135 | 3 |
# | 14 | RLHF: PPO with four models | 140 | 4 |
# | 15 | DPO: preferences without a reward model | 140 | 4 |
# | 16 | GRPO: the group as the baseline | 135 | 3 |
# | 17 | After GRPO: Dr. GRPO, DAPO, GSPO, each a line | 135 | 4 |
# | **IV** | ***Practice: making it work*** | | |
# | 18 | Reward design, and reward hacking | | |
# | 19 | Knowing when not to answer | | |
# | 20 | Several turns | | |
# | 21 | The clinic: eight broken trainers | | |
# | 22 | Leaving the nest: TRL, Accelerate, larger models | | |
# | 23 | Capstone | | |
#
# Chapters without minutes are still being written. `rlcourse` lists those that are there.
#
# In a hurry to reach language models? 01, 03, 07, 09 and then part III is the short road. Do not skip 07.

# %% [markdown]
# ## Words and letters
#
# Keep this page for looking things up; there is nothing to learn by heart. Reinforcement learning and language
# modelling grew up in different houses and often have two words for one thing.
#
# | letter | in code | what it is | for the dog | for GPT-2 |
# |---|---|---|---|---|
# | s | `states` | the **state**: what the agent sees | positions and speeds | the text so far |
# | a | `actions` | the **action**: what it does | left, still, right | the next token |
# | r | `rewards` | the **reward**: one number for what just happened | +1 for the catch | 1 at the end, if right |
# | π(a∣s) | `policy` | the **policy**: probabilities of actions in a state | a small network | the language model |
# | τ | `trajectory` | what happened: states, actions, rewards | one throw | one prompt and its completion |
# | G | `returns` | the **return**: what all rewards from here on add up to | | |
# | γ | `gamma` | the **discount**: how much the next step counts against this one | | usually 1 |
# | V(s) | `values` | the **value** of a state: the return to expect from here | | the critic's guess |
# | Q(s, a) | `q` | the value of an action in a state | | |
# | Â | `advantages` | how much better than expected an action turned out | | |
# | ρ | `ratio` | how much likelier the policy finds an action than the policy that took it did | | |
# | ε | `epsilon`; `clip` | the share of steps at which to explore; in PPO, how far that ratio may move | | |
# | α | `lr` | the step size | | |
# | δ | `td_errors` | the TD error: what was seen, minus what was expected | | |
# | θ | | the weights of a network, or the entries of a table | | |
# | β | `beta`, `kl_coef` | the price of moving away from a reference model | | |
# | | `terminated` | the world ended here | caught, or on the ground | end-of-text token |
# | | `truncated` | we stopped watching; it would have gone on | step limit | length limit |
# | | `mask` | True where the policy chose the action | | False on the prompt and padding |
#
# One label differs from the book by Sutton and Barto, to which we refer often: the reward that follows action
# aₜ is `rewards[t]` here and R₍ₜ₊₁₎ there. Same number.

# %% [markdown]
# ## You can now …
#
# … run a chapter, do an exercise and have it checked, and say what this course is about: a policy acts in a world,
# what happened is kept in a `Trajectory`, and out of it comes a better policy. One line for a dog and for GPT-2:
#
# ```python
# policy(states).log_prob(actions)    # [B, T]
# ```
#
# Next: somebody throws a frisbee.
#
# **Further reading**
#
# - R. S. Sutton and A. G. Barto, *Reinforcement Learning: An Introduction*, 2nd edition, MIT Press 2018. The book;
#   free at [incompleteideas.net](http://incompleteideas.net/book/the-book-2nd.html).
# - A. Radford and others, *Language Models are Unsupervised Multitask Learners*, 2019: GPT-2.
# - Z. Shao and others, *DeepSeekMath: Pushing the Limits of Mathematical Reasoning in Open Language Models*, 2024,
#   [arXiv:2402.03300](https://arxiv.org/abs/2402.03300): where GRPO is from.
