# %% [markdown]
# # 17 · After GRPO
#
# GRPO was published in February 2024. When a year later everybody used it, people began to read its loss line by line,
# and found lines to disagree with. Each disagreement became a paper with a name of its own: Dr. GRPO, DAPO, GSPO, and
# a dozen more while you read this.
#
# When you have worked through this page you can read such a paper as a diff of one line; work out with pencil and paper
# what that line does to a gradient; see it happen in training, or see that it does not; and tell an improvement from
# five seeds' luck.
#
# *About 75 minutes to read and 60 for the exercises, difficulty 4 of 5. You need chapter 16 (GRPO), the clip of chapter
# 09 and RLOO of chapter 12. Half a minute of computing.*

# %%
import json
from math import comb
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch

import rlcore
from rlcore.agents.grpo import DESCENDANTS, GRPO, GRPOConfig
from rlcore.lm import completion_texts, generate
from rlcore.lm.base import addition_base, assistant_base
from rlcore.lm.prompts import answer_in_groups
from rlcore.lm.sft import pack_examples
from rlcore.plotting import band, house_style, show
from rlcore.tasks.addition import MAX_NEW_TOKENS, addition_problems, exact_answer
from rlcore.tasks.assistant import HELD_OUT
from rlcore.tasks.assistant_grammar import FACTS, REQUESTS, VALUES, Claim

torch.set_num_threads(1)
torch.manual_seed(0)
house_style()

# %% [markdown]
# ## The family
#
# In `rlcore` a descendant of GRPO is a dictionary of what it changes. There is nothing behind it: no class, no other
# training loop.

# %%
for name, changes in DESCENDANTS.items():
    print(f"GRPOConfig(**{changes})    # {name}")

# %% [markdown]
# The first line is the paper's, without its price for leaving the reference. The library's own default, with which
# chapter 16 trained, is `reduction="token"`: what was called GRPO there has one line of DAPO's already. So have the
# runs on this page that do not say otherwise.
#
# The same as a picture, drawn from that dictionary. What differs from GRPO is orange.

# %%
LINES = {"reduction": "what a token's\nloss is divided by", "normalize": "divide by the\ngroup's std",
         "clip": "how far a ratio\nmay move", "ratio": "of what", "resample": "exchange\ndead groups",
         "mask_truncated": "skip what was\ncut off"}
configs = {name: GRPOConfig(**changes) for name, changes in DESCENDANTS.items()}
fig, ax = plt.subplots(figsize=(9.2, 3.1))
for row, config in enumerate(configs.values()):
    for column, field in enumerate(LINES):
        value, usual = getattr(config, field), getattr(configs["GRPO"], field)
        ax.add_patch(plt.Rectangle((column - 0.48, row - 0.42), 0.96, 0.84, color="C1" if value != usual else "0.93",
                                   alpha=0.55 if value != usual else 1))
        words = {True: "yes", False: "no"}.get(value, str(value)) if isinstance(value, bool) else str(value)
        ax.text(column, row, words, ha="center", va="center", fontsize=10)
ax.set(xlim=(-0.5, len(LINES) - 0.5), ylim=(len(configs) - 0.5, -0.5))
ax.set_yticks(range(len(configs)), list(configs), fontsize=11)
ax.set_xticks(range(len(LINES)), [f"{field}\n{words}" for field, words in LINES.items()], fontsize=8.5)
ax.xaxis.tick_top()
ax.tick_params(length=0)
ax.spines[:].set_visible(False)
ax.grid(False)
show(fig, alt="The family as a table. " + "; ".join(
    f"{name} changes {', '.join(f for f in LINES if getattr(c, f) != getattr(configs['GRPO'], f)) or 'nothing'}"
    for name, c in configs.items()))

# %% [markdown]
# Six columns, and six questions. Each of the next six sections takes one of them and asks: what does this line do to
# the gradient? *Exactly*, where a pencil will do; then in training, over five seeds, from a sweep that was run before
# (`benchmarks/after_grpo.py` has the recipe). RLOO, the cousin from chapter 12, joins them at the end.

# %%
sweep = json.loads((Path(rlcore.__file__).parents[1] / "benchmarks/results/after_grpo.json").read_text())


def runs_of(part, variant):
    """The five runs of one line in the sweep."""
    return [run for run in sweep["runs"] if run["part"] == part and run["variant"] == variant]


def series(part, variant, name):
    """One number over training, `[seeds, looks]`."""
    return np.array([run[name] for run in runs_of(part, variant)], dtype=float)


def paired(a, b):
    """The mean over the seeds of a − b, its standard error, and on how many seeds it has the sign of the mean."""
    d = np.asarray(a) - np.asarray(b)
    same = int((np.sign(d) == np.sign(d.mean())).sum())
    return f"{d.mean():+.3f} ± {d.std(ddof=1) / len(d) ** 0.5:.3f} ({same} of {len(d)} seeds)"


# %% [markdown]
# ## One line: what a token's loss is divided by
#
# Here is an experiment that is not fair to the model. We put words into its mouth: "the apple is red", which is true,
# or "the apple is green", which is not. It only goes on from there. If the claim was true it gets a reward of 1, else
# −1, *whatever it says next*. It can add "that is quite true" or "take care", or come to the point. None of it matters.
#
# Whatever has `sample` and `metrics` is a world to our learners, so this one is quickly made.

# %%
known = [request for request in REQUESTS.values() if request.group == "known" and request.prompt not in HELD_OUT]


class Begun:
    """Ten questions. To each, six true and six false claims have been made already; the rest is the policy's."""

    group_size, max_new_tokens = 12, 24

    def __init__(self):
        self.prompts, self.rewards = [], []
        for request in known:
            right = FACTS[request.thing][request.attribute]
            wrong = [value for value in VALUES[request.attribute] if value != right]  # three of them
            for value, reward in [(right, 1.0)] * 6 + [(value, -1.0) for value in wrong * 2]:
                self.prompts.append(f"{request.prompt} {Claim(request.thing, value)}")
                self.rewards.append(reward)

    def sample(self, policy, generator=None):
        rest = generate(policy, self.prompts, max_new_tokens=self.max_new_tokens, generator=generator)
        return rest.with_final_rewards(torch.tensor(self.rewards))

    def metrics(self, trajectory):
        tokens, true = trajectory.mask.sum(-1).float(), torch.tensor(self.rewards) > 0
        return {"after_true": tokens[true].mean().item(), "after_false": tokens[~true].mean().item()}

    def settings(self):
        return {}


world = Begun()
for i in (0, 6):
    print(f"{world.prompts[i]} …    reward {world.rewards[i]:+.0f}")

# %% [markdown]
# The advantage of each row is settled before the policy says its first word: +1 or −1, with mean 0 in each group (give
# or take the division by their standard deviation). Chapter 07's lemma says what then happens on average:
# E[∇ log π] = 0, so nothing. Twenty steps of GRPO, as it was published (without its price for leaving the reference):

# %%
talker = assistant_base()
config = GRPOConfig(**DESCENDANTS["GRPO"], steps=20, lr=3e-4, final_lr=1.0, group_size=12, max_new_tokens=24)
live = list(GRPO(talker, world, config, seed=0).steps())
rest = generate(talker, [world.prompts[i] for i in (0, 0, 0, 8, 8, 8)], max_new_tokens=24,
                generator=torch.Generator().manual_seed(0))
for i, text in zip((0, 0, 0, 8, 8, 8), completion_texts(rest, talker.tokenizer)):
    print(f"{world.prompts[i].partition('bot ')[2]} → {text}")

# %% [markdown]
# Something has happened. After a truth it stops. After a lie it talks and talks. Nobody has paid for that, so who did?
# On five models, and beside it the two other ways to add up a loss:

# %%
WORDS = {"sequence": "mean of each reply's mean", "token": "mean over all tokens", "constant": "sum, over a constant"}
fig, axes = plt.subplots(1, 3, figsize=(9.6, 3.5), sharey=True)
steps = runs_of("begun", "sequence")[0]["step"]
for ax, (reduction, words) in zip(axes, WORDS.items()):
    for name, colour, label in (("after_false", "C1", "after a false claim"),
                                ("after_true", "C0", "after a true claim")):
        for row in series("begun", reduction, name):
            ax.plot(steps, row, color=colour, alpha=0.35, linewidth=1)
        ax.plot(steps, series("begun", reduction, name).mean(0), color=colour, label=label)
    ax.set(title=f'"{reduction}":\n{words}', xlabel="step", xticks=steps)
axes[0].set_ylabel("tokens that it adds")
axes[0].legend(fontsize=9, loc="upper left")


def gap(part, reduction):
    """How many tokens more follow a false claim than a true one, `[seeds, looks]`."""
    return series(part, reduction, "after_false") - series(part, reduction, "after_true")


show(fig, alt="Tokens that are added after a false and after a true claim over 20 steps, five thin lines each and "
              "their mean. Difference at the end: " + "; ".join(
    f"{n} {gap('begun', n)[:, -1].mean():.1f}" for n in WORDS))
print("after a false claim it says so many tokens more than after a true one, on five seeds:")
for name in WORDS:
    print(f"{name:10}", "  ".join(f"{more:+5.1f}" for more in gap("begun", name)[:, -1]))

# %% [markdown]
# With "sequence", false claims are followed by more words than true ones on five of five. With the others there is
# no difference. (Look at the thin lines, though: the length itself wanders, and far. Nobody pays for length here, so
# nothing holds it; a policy drifts where its batches happen to push it. Chance moves both curves *together*. Only one
# of the three pulls them apart.)
#
# ### With a pencil
#
# Two replies to one question, in a batch three wide. The first is right and one token long, the second is wrong and
# has three. Advantages +1 and −1. Each token has a loss, −Â log π; a **reduction** makes one number of them all. How
# much does each token then count? Ask autograd for the slope of that number with respect to each token's loss.

# %%
from rlcore.losses import length_mean, sequence_mean, token_mean

mask = torch.tensor([[True, False, False], [True, True, True]])  # [2, 3]
A = torch.tensor([[1.0], [-1.0]])
LIMIT = 3  # max_new_tokens: the constant
REDUCTIONS = {"sequence": sequence_mean, "token": token_mean, "constant": length_mean(LIMIT)}


def weights(reduce, mask):
    """What each token's loss counts, `[B, T]`."""
    losses = torch.zeros(mask.shape, requires_grad=True)
    reduce(losses, mask, mask).backward()
    return losses.grad


fig, axes = plt.subplots(1, 3, figsize=(9.2, 2.1))
pushes = {}
for ax, (name, reduce) in zip(axes, REDUCTIONS.items()):
    push = pushes[name] = A * weights(reduce, mask)  # [2, 3]
    ax.imshow(push.masked_fill(~mask, torch.nan), cmap="PuOr_r", vmin=-0.9, vmax=0.9, aspect="auto")
    for i, j in mask.nonzero().tolist():
        ax.text(j, i, f"{push[i, j]:+.3f}", ha="center", va="center")
    ax.set(title=f'"{name}"', xticks=range(3), xticklabels=["token 1", "token 2", "token 3"])
    ax.set_yticks(range(2), ["right, short", "wrong, long"] if name == "sequence" else ["", ""])
    ax.grid(False)
show(fig, alt="The push on each token of a right reply of one token and of a wrong reply of three: " + "; ".join(
    f"{name}: {p[0, 0]:+.3f} and three times {p[1, 0]:+.3f}" for name, p in pushes.items()))

# %% [markdown]
# Read the left one. The reply as a whole counts ½ either way, and shares it out among its tokens. A wrong reply of
# three tokens is punished with a third of the force per token; one of thirty would hardly feel it. In the other two
# every token counts the same, whatever company it is in.
#
# Your own versions, in a line each, and the library's:

# %% tags=["nbval-check-output"]
def my_sequence_mean(losses, mask):
    own = losses.masked_fill(~mask, 0.0)
    return (own.sum(-1) / mask.sum(-1)).mean()  # GRPO: each reply's mean, then the mean of those


def my_token_mean(losses, mask):
    return losses[mask].mean()  # DAPO: all tokens alike


def my_length_mean(losses, mask, length):
    return losses[mask].sum() / (len(mask) * length)  # Dr. GRPO: the same constant for everybody


losses = torch.randn(5, 7, generator=torch.Generator().manual_seed(0))
ragged = torch.arange(7) < torch.tensor([[1], [7], [3], [4], [2]])
torch.testing.assert_close(my_sequence_mean(losses, ragged), sequence_mean(losses, ragged, ragged))
torch.testing.assert_close(my_token_mean(losses, ragged), token_mean(losses, ragged, ragged))
torch.testing.assert_close(my_length_mean(losses, ragged, 28), length_mean(28)(losses, ragged, ragged))
print("my three reductions are the library's")

# %% [markdown]
# ### Who pays for rambling?
#
# The push on a reply y is the sum over its tokens, so under "sequence" it is (Â/|y|) ∇ log π(y), with |y| the number of
# its tokens. That is plain REINFORCE of another reward:
#
# $$\text{what GRPO pays} = \frac{\hat{A}}{|y|}$$
#
# For a right reply, +1/|y|: the shorter the better. For a wrong one, −1/|y|: the *longer* the better, because what is
# spread thin hurts less. That is the pay behind the rambling, and it is easily overlooked, since |y| never appears in
# any reward.
#
# And what does the learner become, if we let it run? Exactly, without dice: a policy with four replies, right or
# wrong, short (2 tokens) or long (6), which begins with each at ¼.

# %%
R, LENGTH = torch.tensor([1.0, 1.0, 0.0, 0.0]), torch.tensor([2.0, 6.0, 2.0, 6.0])


def run_exactly(divisor, steps=400, lr=0.5):
    """Follow E[Â / divisor · ∇ log π]; the probabilities of the four replies over time, `[steps, 4]`."""
    theta, path = torch.zeros(4), []
    for _ in range(steps):
        pi = theta.softmax(-1)
        path.append(pi)
        push = pi * (R - (pi * R).sum()) / divisor  # π(y) Â(y) / divisor
        theta = theta + lr * (push - pi * push.sum())  # Σ_y push(y) ∇ log π(y), for a softmax
    return torch.stack(path)


fig, axes = plt.subplots(1, 2, figsize=(9, 3.3), sharey=True)
for ax, (name, divisor) in zip(axes, {'"sequence": divided by |y|': LENGTH, '"constant": divided by 3': 3.0}.items()):
    right_short, right_long, wrong_short, wrong_long = run_exactly(divisor).T
    ax.plot(wrong_long / (wrong_short + wrong_long), color="C1", label="of the wrong ones, how many are long")
    ax.plot(right_long / (right_short + right_long), color="C0", linestyle="-" if name.startswith('"s') else "--",
            label="of the right ones, how many are long")
    ax.plot(wrong_short + wrong_long, ":", color="black", label="wrong ones, of all")
    ax.set(title=name, xlabel="step", ylim=(0, 1))
    if name.startswith('"s'):
        ends = [(wrong_long / (wrong_short + wrong_long))[-1].item(),
                (right_long / (right_short + right_long))[-1].item()]
axes[0].set_ylabel("share")
axes[1].legend(fontsize=9, loc="upper right")
show(fig, alt=f"Exact learning of four replies. Divided by its length: of the wrong ones {ends[0]:.2f} are long at the "
              f"end, of the right ones {ends[1]:.2f}. Divided by a constant both stay at one half. Wrong ones die out.")

# %% [markdown]
# The right panel is what one expects of a learner that is paid for truth: length has nothing to do with it. On the
# left the wrong become long and the right become short. And the dotted line shows why this may be hard to see in
# practice: wrong replies die out, and with them all force.

# %% [markdown]
# ### In free training
#
# So let the assistant make its own claims, pay it for the truth alone (`honest`, chapter 13), and see what of this is
# left. We measure the same thing, how much it says after a claim that we put into its mouth, at a few moments of the
# training.

# %%
fig, axes = plt.subplots(1, 2, figsize=(9.2, 3.5))
for i, name in enumerate(WORDS):
    more, at = gap("length", name), runs_of("length", name)[0]["step"]
    axes[0].plot(at, more.mean(0), color=f"C{i}", label=f'"{name}"')
    axes[0].plot([at[-1] + 1.5 + i] * len(more), more[:, -1], "o", color=f"C{i}", markersize=4)
    band(axes[1], at, series("length", name, "wrong"), f'"{name}"', kind="range", color=f"C{i}")
axes[0].axhline(0, color="grey", linewidth=1)
axes[0].set(title="Longer after a false claim by", xlabel="step (dots: five seeds at the end)", ylabel="tokens")
axes[0].legend(fontsize=9, loc="upper left")
axes[1].set(title="Wrong replies", xlabel="step", ylabel="share", ylim=(0, None))
handles, _ = axes[1].get_legend_handles_labels()
axes[1].legend(handles, [f'"{name}"' for name in WORDS], fontsize=9, title="median of 5 seeds, lowest to highest",
               title_fontsize=9)
free = {name: gap("length", name)[:, -1] for name in WORDS}
show(fig, alt="Free training. Left, how many tokens more follow a false than a true claim; at the end, mean of five "
              "seeds: " + ", ".join(f"{n} {g.mean():+.2f}" for n, g in free.items()) +
              ". Right, wrong replies all but vanish within 20 steps.")
for name in ("sequence", "token"):
    print(f'"{name}" minus "constant", tokens more after a false claim: {paired(free[name], free["constant"])}')

# %% [markdown]
# Some of it: under "sequence" two of the five ramble after a lie (the two upper dots), and three do not. (The count in
# brackets above is of signs, however small the difference.) **Inconclusive**, if this were all that we had. The right
# panel is the reason, as the pencil said: within twenty steps nearly all replies are right, and there is nobody left
# to punish. (We ran this experiment first. The one at the top of the page, with claims put into the model's mouth, was
# designed afterwards, because of what came out here.) On problems that stay hard for thousands of steps wrong answers
# do not die out, and that is where Liu and others found it, and named the cure *Dr. GRPO*, "GRPO done right".
#
# > **Pitfall, from real life.** Divide by all tokens *of what*? With version 0.16 (March 2025) TRL moved GRPO's loss
# > from the mean per sequence to the mean over tokens. But a batch that does not fit into memory is computed in pieces,
# > and each piece was divided by *its own* tokens. The documentation said so: with one completion per device "the loss
# > is equivalent to the GRPO loss". Whoever had little memory had the old bias back. The pull request that repaired it
# > in August puts it like this: "the normalizer was local and not accumulated. In other words, you could only achieve
# > DAPO with gas=1 and num GPUs=1" ([#3938](https://github.com/huggingface/trl/pull/3938); *gas* is gradient
# > accumulation steps). Under "constant" the trap does not exist, which is an argument for it.
#
# The trap, in three lines, and the third argument of every reduction in `rlcore`, which is the way out: the mask of the
# *whole* minibatch.

# %% tags=["nbval-check-output"]
pieces = [(losses[i : i + 1], ragged[i : i + 1]) for i in range(5)]  # one reply at a time, to save memory
local = sum(token_mean(x, m, m) for x, m in pieces) / 5  # each piece by its own tokens
torch.testing.assert_close(local, sequence_mean(losses, ragged, ragged))
torch.testing.assert_close(sum(token_mean(x, m, ragged) for x, m in pieces), token_mean(losses, ragged, ragged))
print("by its own tokens: the mean per sequence again.  by the whole batch's: the token mean")

# %% [markdown]
# > **Change this number and run again.** In `config` above, put `DESCENDANTS["Dr. GRPO"]` in place of
# > `DESCENDANTS["GRPO"]`, and read what it says after a lie. Then `seed=1`: does the length drift the same way?

# %% [markdown]
# ## One line: divide by the group's standard deviation?
#
# Chapter 16 divided by it. Dr. GRPO says: don't, it makes some *questions* count more than others. Which?
#
# Take a question that is answered right with probability p, and rewards of 0 and 1. On average over all groups, what
# does GRPO's gradient climb? A right answer's E[∇ log π] is ∇p/p, a wrong one's −∇p/(1−p) (chapter 12, and the same for
# the rest), and since the advantages of a group add up to 0, all that is left is a factor on the slope of p:
#
# $$\mathbb{E}\Bigl[\frac1G \sum_i \hat{A}_i \nabla \log \pi(y_i)\Bigr]
# = \underbrace{\frac{1}{p(1-p)}\,\mathbb{E}\Bigl[\frac1G \sum_i \hat{A}_i R_i\Bigr]}_{\text{pull}(p)} \; \nabla p$$
#
# The expectation is over the number k of right answers, a binomial, so it can be summed (you will, in exercise 17.5).

# %%
from rlcore.returns import group_advantages

G = 8


def my_pull(p, normalize):
    """The factor on ∇p: sum over k = 0 … G right answers."""
    total = 0.0
    for k in range(G + 1):
        R = torch.tensor([1.0] * k + [0.0] * (G - k))
        A = group_advantages(R, normalize)  # [G]
        total += comb(G, k) * p**k * (1 - p) ** (G - k) * (A * R).mean().item()
    return total / (p * (1 - p))


# %% [markdown]
# Does a real gradient obey it? The addition model of chapter 12, where we know p and ∇p exactly. Twenty problems from
# hard to easy, 256 groups of eight answers to each; then how long GRPO's gradient is along ∇p. (With log π of an
# answer summed over its tokens: the division by |y| was the section before, and is left out here.)

# %%
train_problems, problems = addition_problems()
base = addition_base()


def log_chances(policy, rows):
    """log π(the right answer, and EOS | question), `[N]`."""
    tokens, own = pack_examples(policy.tokenizer, rows["prompt"], rows["completion"])
    return policy.evaluate_actions(tokens[:, :-1], tokens[:, 1:], own)[0].sum(-1)


def gradient(number, policy):
    """Of one number, in all weights, as one long vector."""
    parts = torch.autograd.grad(number, list(policy.parameters()), retain_graph=True)
    return torch.cat([part.flatten() for part in parts])


chances = log_chances(base, problems).detach().exp()  # [500]
dice, measured = torch.Generator().manual_seed(0), []
for target in torch.linspace(0.03, 0.97, 20):
    one = problems.select([int((chances - target).abs().argmin())])
    slope = gradient(log_chances(base, one).exp().sum(), base)  # ∇p
    rows = {name: column * 256 for name, column in one[:].items()}
    text, _, _ = answer_in_groups(base, rows, [exact_answer], G, MAX_NEW_TOKENS, dice)
    log_probs = base.evaluate_actions(text.states, text.actions, text.mask)[0].sum(-1)  # [256 · G]
    R = text.rewards.sum(-1).view(256, G)
    along = [(gradient((group_advantages(R, normalize).flatten() * log_probs).mean(), base) @ slope
              / slope.square().sum()).item() for normalize in (False, True)]
    measured.append([log_chances(base, one).exp().item(), *along])
measured = np.array(measured)  # [20, 3]

# %%
grid = np.linspace(0.01, 0.99, 99)
fig, ax = plt.subplots(figsize=(7.6, 3.8))
for i, (normalize, label) in enumerate({False: "without the std", True: "with the std (GRPO)"}.items()):
    ax.plot(grid, [my_pull(p, normalize) for p in grid], color=f"C{i}", label=f"{label}: exact")
    ax.plot(measured[:, 0], measured[:, 1 + i], "o", color=f"C{i}", markersize=5, label=f"{label}: 256 groups each")
ax.plot(grid, 1 / np.sqrt(grid * (1 - grid)), "--", color="black", linewidth=1.5, label="1/√(p(1−p)): huge groups")
ax.set(title=f"How hard a question pulls (groups of {G})", xlabel="chance p of a right answer",
       ylabel="factor on the slope of p", ylim=(0, 5))
ax.legend(fontsize=9, loc="upper center")
show(fig, alt="The factor on the slope of p against p. Without the standard deviation it is seven eighths everywhere; "
              f"with it a bowl, {my_pull(0.5, True):.2f} in the middle and {my_pull(0.03, True):.2f} at p = .03. "
              "Sampled gradients of twenty addition problems scatter about both.")

# %% [markdown]
# Without the standard deviation the factor is (G−1)/G for every question: GRPO climbs p, shrunk a little because each
# answer is part of its own yardstick (chapter 12). With it, questions at both ends are weighed up. As groups grow, the
# factor approaches 1/√(p(1−p)), and that is the slope of something:
#
# $$\frac{d}{dp}\; 2 \arcsin \sqrt{p} = \frac{1}{\sqrt{p(1-p)}}$$
#
# So "with or without the standard deviation" is a choice of what to maximise: p, or the arcsine of its root (Davis and
# Recht, below). That is a *difficulty bias* if you meant p. Whether you did is not for mathematics to say: the bowl
# favours hard questions, which you may like, and just as much those that are as good as solved. And for groups of eight
# it is shallow: a question whose p is .03 is dead in most of its groups, and a dead group pulls at nothing.
#
# Does it change who learns? A hundred steps, one update each. (Adam takes out the overall scale; and
# `max_grad_norm=1`, which in the runs on addition shortens nearly every gradient, takes out what is left of it from
# batch to batch. So only the weights between questions *of one batch* remain.) The 500 held-out problems by the chance
# they had before:

# %%
labels = ["below .1", ".1 to .3", ".3 to .5", ".5 to .7", ".7 to .9", "above .9"]
by = {name: np.array([run["by_base_chance"] for run in runs_of("difficulty", name)]) for name in ("std", "no std")}
at = runs_of("difficulty", "std")[0]["step"]
fig, axes = plt.subplots(1, 2, figsize=(9.4, 3.6), width_ratios=(3, 2))
for j, label in enumerate(labels):
    axes[0].plot(at, by["no std"][:, :, j].mean(0), color=f"C{j}")
    axes[0].plot(at, by["std"][:, :, j].mean(0), "--", color=f"C{j}")
    axes[0].annotate(label, (at[-1], by["std"][:, -1, j].mean()), xytext=(4, -3), textcoords="offset points",
                     fontsize=8, color=f"C{j}")
axes[0].set(title="Problems by their chance before (solid: without std)", xlabel="step",
            ylabel="chance of a right answer", ylim=(0, 1), xlim=(0, 122))
difference = by["std"][:, 1:].mean(1) - by["no std"][:, 1:].mean(1)  # [seeds, groups]  over the whole training
axes[1].errorbar(difference.mean(0), range(6), xerr=2.8 * difference.std(0, ddof=1) / 5**0.5, fmt="o", color="black",
                 capsize=3)
axes[1].axvline(0, color="grey", linewidth=1)
axes[1].set_yticks(range(6), labels)
axes[1].set(title="With minus without", xlabel="chance, mean over training\n(95 % interval, five seeds)")
show(fig, alt="Left, chance over 100 steps for six groups of problems, with and without the standard deviation: the "
              "pairs of lines lie on each other. Right, their difference: " + "; ".join(
    f"{label} {d:+.3f}" for label, d in zip(labels, difference.mean(0))))
print("right answers at the end, with minus without:",
      paired(series("difficulty", "std", "right")[:, -1], series("difficulty", "no std", "right")[:, -1]))
norms = [series("difficulty", name, "grad_norm") for name in ("std", "no std")]  # means of ten steps, before clipping
print(f"a gradient, before it is shortened to 1: {norms[0].mean():.1f} with the std, {norms[1].mean():.1f} without "
      f"(means of ten steps, the least {min(norm.min() for norm in norms):.1f})")

# %% [markdown]
# All six intervals hold 0: **inconclusive**. Which is worth a thought, since the bowl above is no opinion. But it is
# shallow: from the middle to the edge the pull grows by a third or so. It weighs *questions*, and what is learned from
# one helps with all others, because they share every weight. Five seeds and a hundred steps would have shown us an
# effect of the size of these intervals; there is none of that size here. On tasks where most questions are very hard,
# and groups are large, there may be.
#
# ## One line: how far a ratio may move
#
# First the trap. Here is the share of tokens that the clip has cut, in those ten runs of a hundred steps:

# %%
cut = [value for name in ("std", "no std") for run in runs_of("difficulty", name) for value in run["clip_ratio"]]
print(f"share of tokens that were cut: at least {min(cut)}, at most {max(cut)}")

# %% [markdown]
# Zero, to the last digit. One update per batch means that every ratio is 1 when its gradient is taken, and 1 is inside
# any bounds. Many a comparison of "clip .2 against clip .28" has been run like that. (TRL's defaults update once per
# batch.) *Ask for `clip_ratio` before you tune `clip`.* In the runs of this section, two epochs in minibatches of 32:
# eight updates.
#
# Now DAPO's argument. The clip lets a token's probability grow by the factor 1 + ε and no further, within one batch.

# %%
for p in (0.01, 0.9):
    print(f"p = {p}: with ε = .2 it may grow to {p * 1.2:.3g}, with ε = .28 to {p * 1.28:.3g}")

# %% [markdown]
# The likely token may go to 1.08, that is, anywhere: no probability exceeds 1. For it the upper bound does not exist.
# The unlikely one may gain .002. So the upper bound holds down those that explore, the argument goes; the policy grows
# sure of itself too early, and its entropy *collapses*. Hence **clip-higher**: raise the upper bound alone.
#
# How fast can a good idea of 1 % come up? Exactly, with the update that balanced the pole in chapter 09. A table of
# 100 actions, of which number 7 is the only right one; instead of samples, every action with its probability as weight.

# %%
from rlcore.policies import TabularPolicy
from rlcore.trajectory import Batch
from rlcore.update import policy_update


def climb(clip, longest=0.01, p=0.01):
    """Yield how likely the right action is before each batch of 50 updates with gradients of at most `longest`."""
    policy = TabularPolicy.from_probabilities([[(1 - p) / 99] * 7 + [p] + [(1 - p) / 99] * 92])
    optimizer = torch.optim.SGD(policy.parameters(), lr=1.0)
    states, actions = torch.zeros(100, 1).long(), torch.arange(100)[:, None]  # [100, 1]
    R = (actions == 7).float()
    for _ in range(30):
        old = policy(states).log_prob(actions).detach()  # [100, 1]
        yield old[7].exp().item()
        advantages = 100 * old.exp() * (R - old[7].exp())  # π · (R − E[R]): the mean over rows is an expectation
        batch = Batch(states, actions, old, advantages, torch.ones(100, 1).bool())
        policy_update(policy, batch, optimizer, clip=clip, epochs=50, max_grad_norm=longest)


def batches_until_likely(clip, longest=0.01):
    """After how many batches it is likelier than not."""
    return next(k for k, p in enumerate(climb(clip, longest)) if p > 0.5)


CLIPS = {"ε = .2": 0.2, "(.2, .28)": (0.2, 0.28), "(.2, never)": (0.2, 1e6)}
fig, ax = plt.subplots()
for i, (label, clip) in enumerate(CLIPS.items()):
    ax.plot(list(climb(clip)), "o-", color=f"C{i}", markersize=3, label=f"clip {label}")
    if i < 2:
        bound = 1.2 if i == 0 else 1.28
        ax.plot([min(1, 0.01 * bound**k) for k in range(31)], "--", color=f"C{i}", linewidth=1, label=f".01 · {bound}ᵏ")
ax.set(title="A good idea of 1 % makes its way", xlabel="batch (50 updates each)", ylabel="its probability",
       yscale="log")
ax.legend(fontsize=9, loc="lower right")
show(fig, alt="The probability of the one right action of 100 over batches, on a logarithmic scale. It passes one half "
              "after " + ", ".join(f"{batches_until_likely(clip)} batches with clip {label}"
                                   for label, clip in CLIPS.items()) +
              "; the clipped ones begin along .01 times 1.2 and 1.28 to the power of the batch, and then rise above.")
print("batches until it is likelier than not  " + "".join(f"{label:>13}" for label in CLIPS))
for longest in (0.005, 0.01, 0.03, 0.1):
    print(f"                 max_grad_norm = {longest:<7}"
          + "".join(f"{batches_until_likely(clip, longest):13}" for clip in CLIPS.values()))

# %% [markdown]
# At first the two clipped ones go up their dashed lines, a factor of 1.2 a batch, or 1.28. Then they leave them,
# *upwards*. A clip is no wall: it takes away the token's own push, and nobody else's. The 99 wrong actions are pushed
# down all the while, and what they lose, number 7 gets. So .28 saves a couple of batches over .2, and as the table
# says, it does so for smaller and larger steps, too. The last column is another matter: how fast that line climbs is
# set by the length of our steps alone. A bound costs the more, the larger the steps that it forbids.
#
# And with a real policy, whose tokens share their weights, and whose batches are small and noisy? Four settings on
# addition, the last of them upside down, without a *lower* bound. Since the five models begin far apart, the middle
# and the right panel show differences to (.2, .2), seed by seed.

# %%
SETTINGS = {"(.2, .2)": "C0", "(.2, .28)": "C1", "(.2, never)": "C2", "(never, .2)": "C3"}


def against(name, what):
    """The difference to the clip (.2, .2), seed by seed, `[seeds, looks]`."""
    return series("clip", name, what) - series("clip", "(.2, .2)", what)


fig, axes = plt.subplots(1, 3, figsize=(9.8, 3.7))
at = runs_of("clip", "(.2, .2)")[0]["step"]
for name, colour in SETTINGS.items():
    band(axes[0], at[1:], 100 * series("clip", name, "clip_ratio"), name, kind="mean", color=colour)
    for ax, what in zip(axes[1:], ("entropy", "right")):
        if name == "(.2, .2)":
            ax.axhline(0, color=colour)
        else:
            band(ax, at, against(name, what), name, kind="mean", color=colour)
axes[0].set(title="Tokens that are cut", xlabel="step (8 updates each)", ylabel="%", ylim=(0, None))
axes[1].set(title="Entropy, minus (.2, .2)", xlabel="step", ylabel="nats per answer")
axes[2].set(title="Right answers, minus (.2, .2)", xlabel="step", ylabel="chance, held out")
for ax in axes:
    ax.set_xticks(at)
handles, _ = axes[0].get_legend_handles_labels()
fig.legend(handles, [f"clip {name}" for name in SETTINGS], fontsize=9, loc="outside lower center", ncols=4,
           title="mean ± standard error of 5 seeds", title_fontsize=9)
WHATS = ("entropy", "right", "pass@8")
mean = {(name, what): against(name, what)[:, 1:].mean(1) for name in SETTINGS for what in WHATS}
show(fig, alt="Share of cut tokens over 32 steps under four clips, and entropy and right answers minus those of clip "
              "(.2, .2), five seeds. Mean over training: " + "; ".join(
    f"{name} entropy {mean[name, 'entropy'].mean():+.3f}, right {mean[name, 'right'].mean():+.3f}"
    for name in SETTINGS if name != "(.2, .2)"))
start, last = (np.mean([series("clip", name, "entropy")[:, i] for name in SETTINGS]) for i in (0, -1))
print(f"entropy at the start {start:.2f} nats per answer, at the end {last:.2f} (mean of all twenty runs)\n")
for what in WHATS:
    print(f"{what}, mean over training, minus that of (.2, .2):")
    for name in list(SETTINGS)[1:]:
        print(f"   {name:12} {paired(mean[name, what], 0 * mean[name, what])}")

# %% [markdown]
# The left panel says that the bounds are at work. The rest: DAPO's .28 against .2 cannot be told from nothing, in
# entropy, pass@1 or pass@8. With no upper bound at all the entropy may be a little higher, which is **inconclusive**,
# and pass@8 is a little *lower* on five of five, which is not what clip-higher promises (but one of nine differences,
# so take it with salt). What stands out in the picture is the other side. Without a *lower* bound the entropy is
# higher on all five, and right answers are fewer on four (one of nine again, so a hint and no more); at the end all
# meet.
#
# Do not read that as exploration. A policy that has learned less is less sure: entropy and accuracy move together
# here, and between two runs that are not equally right, a difference in entropy says nothing by itself. And ask what
# entropy is *for*. A sum has one right answer, so on this task it is meant to fall. Where there are a thousand good
# answers, or the way to a rare one must not be closed, a collapse is a loss, and clip-higher was made against that, in
# runs of thousands of steps. (What bounds alone do to entropy, even if rewards are drawn at random, has been worked
# out by Park and others, below: the upper one lowers it, the lower one raises it. Our run without a lower bound went
# the other way, which is one more reason to think that what we see is slower learning.)
#
# ## One line: exchange the dead groups
#
# Where all answers to a question are worth the same, nothing is learned (chapters 12 and 16). DAPO's **dynamic
# sampling** asks other questions in their place, until the batch is full of live groups. It is one argument of
# `Prompts`, `resample=4`: exchange at most four times. The price is in `num_tokens`: what is thrown away was written.
# With groups of four, many are dead:

# %%
NAMES = {"as they come": "C0", "resampled": "C1"}
fig, axes = plt.subplots(1, 3, figsize=(9.8, 3.5))
for name, colour in NAMES.items():
    at, tokens = runs_of("sampling", name)[0]["step"], series("sampling", name, "num_tokens") / 1000
    band(axes[0], at[1:], 100 * series("sampling", name, "frac_reward_zero_std"), name, kind="mean", color=colour)
    band(axes[1], at, series("sampling", name, "right"), name, kind="mean", color=colour)
    band(axes[2], tokens.mean(0), series("sampling", name, "right"), name, kind="mean", color=colour)
axes[0].set(title="Dead groups learned from", xlabel="step", ylabel="%", ylim=(-3, 100))
axes[1].set(title="At equal steps", xlabel="step", ylabel="chance of a right answer")
axes[2].set(title="At equal tokens", xlabel="thousand tokens written")
handles, _ = axes[0].get_legend_handles_labels()
fig.legend(handles, NAMES, fontsize=9, loc="outside lower center", ncols=2, title="mean ± standard error of 5 seeds",
           title_fontsize=9)


def at_tokens(part, name, budget):
    """How often each seed was right when it had written so many tokens, `[seeds]`."""
    return np.array([np.interp(budget, run["num_tokens"], run["right"]) for run in runs_of(part, name)])


totals = {name: series("sampling", name, "num_tokens")[:, -1] for name in NAMES}
budget = totals["as they come"].min()
price = totals["resampled"].mean() / totals["as they come"].mean()
last = {name: series("sampling", name, "right")[:, -1] for name in NAMES}
equal_steps = paired(last["resampled"], last["as they come"])
equal_tokens = paired(at_tokens("sampling", "resampled", budget), at_tokens("sampling", "as they come", budget))
show(fig, alt="Left, share of dead groups in the batch with and without resampling. Middle and right, right answers "
              f"over steps and over tokens. Resampling writes {price:.2f} times the tokens; at equal steps "
              f"{equal_steps}, at equal tokens {equal_tokens}.")
seconds = [np.mean([run["cpu_seconds"] for run in runs_of("sampling", name)]) for name in NAMES]
print(f"{price:.2f} times as many tokens, {seconds[1] / seconds[0]:.1f} times as many CPU seconds")
print(f"right answers, resampled minus as they come: at equal steps  {equal_steps}")
print(f"{'at equal tokens':>60} {equal_tokens}")

# %% [markdown]
# Step for step it is clearly better, on five of five: a batch full of live groups teaches more. Token for token
# nothing is left of it. So which is scarce? On our machine tokens are, as the CPU seconds say. On a cluster where
# everybody waits for the longest answer anyway, more questions asked *at the same time* need not take longer; so
# DAPO's authors argue, for a synchronous system. (Asked afterwards, round by round as in `Prompts`, they do.) *At
# equal what?* is the first question to ask of any table. (The left panel: at most four exchanges, so a few dead groups
# remain, and there are the more of them the better the model gets.)
#
# ## One line: skip what was cut off
#
# Every training run has a length limit, and an answer that hits it has not said its last word. What is it worth?
# A rule that looks for the final answer finds none: 0. But perhaps the thought was right and needed two more lines.
# DAPO calls that *reward noise*, and masks such answers out of the loss (`mask_truncated`).
#
# A limit of 12 tokens cuts off a good part of our assistant's replies (step 0 in the picture below). It is paid 1 for a
# true answer that is brought to its end. Is it learned from the cut ones, or are they masked?

# %%
KINDS = {"learned from": "C0", "masked": "C1"}
fig, axes = plt.subplots(1, 3, figsize=(9.8, 3.4))
for name, colour in KINDS.items():
    at = runs_of("overlong", name)[0]["step"]
    for ax, what, factor in zip(axes, ("cut", "tokens", "right"), (100, 1, 100)):
        hidden = name == "masked" and what == "right"  # it would cover the other line
        band(ax, at, factor * series("overlong", name, what), name, kind="mean", color=colour,
             linestyle="--" if hidden else "-")
axes[0].set(title="Replies cut off", xlabel="step", ylabel="%", ylim=(-2, None))
axes[1].set(title="Length of a reply", xlabel="step", ylabel="tokens", ylim=(0, 12))
axes[2].set(title="Says the truth (finished or not)", xlabel="step", ylabel="%", ylim=(0, 100))
handles, _ = axes[0].get_legend_handles_labels()
fig.legend(handles, [f"cut-off replies are {name}" for name in KINDS], fontsize=9, loc="outside lower center", ncols=2,
           title="mean ± standard error of 5 seeds", title_fontsize=9)
end = {(name, what): series("overlong", name, what)[:, -1] for name in KINDS for what in ("cut", "tokens")}
show(fig, alt="Replies cut off, length, and truth over 40 steps. At the end: " + "; ".join(
    f"{name} {end[name, 'cut'].mean():.3f} cut off, {end[name, 'tokens'].mean():.1f} tokens" for name in KINDS))
for what, words in (("cut", "share cut off"), ("tokens", "tokens")):
    print(f"{words} at the end, masked minus learned from: {paired(end['masked', what], end['learned from', what])}")

# %% [markdown]
# Learning from them cures the overrun fast: whatever is too long is punished. But masked, it is cured as well, only not
# quite as far! Were cut-off replies not to be left out? Look at the group. Four true replies to one question, two of
# them cut off and worth 0:

# %%
R = torch.tensor([[1.0, 1.0, 0.0, 0.0]])
cut_off = torch.tensor([[False, False, True, True]])
A = group_advantages(R, normalize=False)
print("advantages:           ", A[0].tolist())
print("after the mask:       ", A.masked_fill(cut_off, 0.0)[0].tolist(), "   their sum is no longer 0")

# %% [markdown]
# The mask takes away the punishment of the cut ones. Their zeros still stand in the group's *mean*, and so the others
# are praised: for having finished. A mask on the loss does not make a reward unsaid. (TRL's
# `mask_truncated_completions` does the same: it takes the tokens out of the loss, and leaves the reward in the group's
# mean.) Whoever wants the model to be indifferent must leave those answers out of the comparison; whoever wants it to
# be brief can say so, and pay for it with a slope instead of a cliff, which is DAPO's other remedy and your exercise
# 17.4.
#
# ## One line: a ratio of what?
#
# PPO's ratio belongs to an action. For us that is a token; but the reward belongs to the whole answer, and so does the
# advantage. GSPO finds that ill-matched: correct the *answer's* probability, as importance sampling asks (chapter 04),
# and clip answers, not tokens.
#
# An answer's ratio is the product of its tokens' ratios. What is wrong with a product? Our assistant writes 260
# replies; then the policy takes four small steps on others. How much have the probabilities of those 260 moved?

# %%
from datasets import Dataset

from rlcore.agents.grpo import train
from rlcore.tasks.assistant import honest

questions = Dataset.from_dict({"prompt": [request.prompt for request in known]})
mover = assistant_base()
replies = generate(mover, list(questions["prompt"]) * 26, max_new_tokens=28, generator=torch.Generator().manual_seed(1))
four_steps = GRPOConfig(steps=4, lr=2e-4, prompts_per_step=10, group_size=12, max_new_tokens=28)
train(mover, questions, [honest], four_steps, seed=0)  # on replies of its own

mask = replies.mask  # [260, T]
new = mover.evaluate_actions(replies.states, replies.actions, mask)[0].detach()  # [260, T]
log_ratio = new - replies.log_probs  # [260, T]  0 outside the mask
length = mask.sum(-1)  # [260]
product = log_ratio.sum(-1).exp()  # [260]  π(y) / π_old(y)


def my_sequence_ratio(log_probs, old_log_probs, mask):
    """GSPO: the geometric mean of the tokens' ratios, one number per reply, `[B]`."""
    return ((log_probs - old_log_probs).masked_fill(~mask, 0.0).sum(-1) / mask.sum(-1)).exp()


whole = my_sequence_ratio(new, replies.log_probs, mask)  # [260]

# %%
fig, axes = plt.subplots(1, 2, figsize=(9.4, 3.7))
bins = np.linspace(-1.2, 0.9, 64)
for values, label, colour in ((log_ratio[mask], "one per token (GRPO)", "C0"),
                              (whole.log(), "one per reply: n-th root (GSPO)", "C1")):
    axes[0].hist(values, bins=bins, density=True, alpha=0.6, color=colour,
                 label=f"{label}\nstandard deviation {values.std():.2f}")
axes[0].set(title="Ratios after four updates", xlabel="log ratio", ylabel="density", yscale="log", ylim=(None, 400))
axes[0].legend(fontsize=8.5, loc="upper left")
jitter = length + 0.4 * (torch.rand(len(length), generator=torch.Generator().manual_seed(0)) - 0.5)
axes[1].plot(jitter, product, ".", color="C2", markersize=5, label="product of the tokens' ratios")
axes[1].plot(jitter, whole, ".", color="C1", markersize=5, label="its n-th root (GSPO)")
axes[1].axhspan(0.8, 1.2, color="grey", alpha=0.25, linewidth=0)
axes[1].annotate("1 ± .2", (length.max(), 1.22), ha="right", va="bottom", fontsize=9)
axes[1].set(title="Wild products, tame roots", xlabel="tokens in the reply, n", ylabel="ratio", yscale="log",
            ylim=(0.15, 3))
axes[1].set_yticks([0.25, 0.5, 1, 2], ["¼", "½", "1", "2"])
axes[1].minorticks_off()
axes[1].legend(fontsize=8.5, loc="lower left")
inside = ((product > 0.8) & (product < 1.2)).float().mean()
show(fig, alt=f"Left, log ratios: per token with standard deviation {log_ratio[mask].std():.2f}, per reply "
              f"{whole.log().std():.2f}. Right, ratios of whole replies by length: products spread over "
              f"{product.min():.2f} to {product.max():.2f}, {inside:.0%} within 1 ± .2; their n-th roots stay near 1.")
print(f"products within 1 ± .2: {inside:.0%};   n-th roots: {((whole - 1).abs() < 0.2).float().mean():.0%}")

# %% [markdown]
# The product is the honest importance weight, and of little use: after four small steps most of them are outside any
# bounds that one would set. GSPO therefore takes the n-th root, the *geometric mean* of the tokens' ratios. That is
# tame: if the tokens' noise were independent it would average out like 1/√n, and grow like √n in the product's
# logarithm (exercise 17.3). In our picture the product is as wild for short replies: a few words moved, and the rest
# did not. The root is no longer the importance weight, either. What it buys is a sensible thing to clip. Since these
# numbers are so close to 1, the bounds must be, too: GSPO's are .0003 and .0004.
#
# In `rlcore` it costs two lines: replace each token's log-prob by the mean over its reply, and go on as before. Does
# that give my ratio? And a question that tells whether you have understood the section on clips: what is GSPO if one
# updates once per batch?

# %% tags=["nbval-check-output"]
from rlcore.losses import sequence_means

ratio = (sequence_means(new, mask) - sequence_means(replies.log_probs, mask)).exp()  # [260, T]
torch.testing.assert_close(ratio[mask], my_sequence_ratio(new, replies.log_probs, mask)[:, None].expand_as(mask)[mask])
print("my ratio is the library's")

before, moved = torch.nn.utils.parameters_to_vector(base.parameters()).detach(), {}
for name in ("GRPO", "GSPO"):
    policy = addition_base()
    train(policy, train_problems, [exact_answer], GRPOConfig(**DESCENDANTS[name], steps=3), seed=0)
    moved[name] = torch.nn.utils.parameters_to_vector(policy.parameters()).detach() - before
assert (moved["GRPO"] - moved["GSPO"]).norm() < 0.003 * moved["GRPO"].norm()  # rounding
print("three steps of one update each: GSPO has learned what GRPO has")

# %% [markdown]
# Its gradient at ratio 1 is Â/|y| · Σ ∇ log π, which is GRPO's with the mean per sequence, |y| and all. (Yes: GSPO
# keeps that length bias.) The two differ from the second update on. How often does each clip, with four updates per
# batch?

# %%
for name in ("GRPO", "DAPO", "GSPO"):
    share = 100 * series("family", name, "clip_ratio").mean(1)
    print(f"{name:5} with clip {DESCENDANTS[name].get('clip', 0.2)!s:16} cuts {share.mean():5.1f} % of the tokens "
          f"({share.min():.1f} to {share.max():.1f} on five seeds)")

# %% [markdown]
# GSPO throws away far more. The paper reports the same on its scale, "two orders of magnitude" more than GRPO, and
# better training for it. What becomes of it on ours is in the last table.
#
# ## The cousin: RLOO
#
# RLOO (chapter 12) came out in the same month as GRPO, from people who asked what PPO is still for if nobody updates
# twice. It has no clip, no ratio, no standard deviation, and an answer is compared with the *others*. From the real
# files:

# %%
from rlcore.agents.rloo import RLOO
from rlcourse.diff import show_diff

show_diff(GRPO.learn, RLOO.learn)

# %% [markdown]
# `priced` holds the KL lines, which moved. What remains is `leave_one_out_advantages` in place of `group_advantages`,
# and `clip=None`. How far apart are they? Compute it once, then believe it for ever:

# %% tags=["nbval-check-output"]
from rlcore.returns import leave_one_out_advantages

R = torch.rand(16, 8, generator=torch.Generator().manual_seed(0)).double()
G = R.shape[-1]
torch.testing.assert_close(leave_one_out_advantages(R), G / (G - 1) * group_advantages(R, normalize=False))
print("RLOO's advantage is G/(G−1) times Dr. GRPO's")

# %% [markdown]
# With Adam, a factor that is the same for everybody changes nothing. So Dr. GRPO with one update per batch *is* RLOO,
# up to how hard the gradient is clipped. Two papers, a year apart, arrived at the same line from opposite ends: one by
# throwing out of PPO what was not needed, the other by throwing out of GRPO what did harm.
#
# ## The whole family, at equal tokens
#
# Now the question that everybody asks first: *which one is best?* Addition, 16 questions × 8 answers, learning rate
# 10⁻⁴ for all and tuned for none, four updates per batch (RLOO: one), most gradients shortened to length 1 (Dr.
# GRPO's, the shortest, less often), five seeds. Compared where all have *written the same number of tokens*, because
# DAPO writes more per step.

# %%
FAMILY = (*DESCENDANTS, "RLOO")
budget = min(series("family", name, "num_tokens")[:, -1].min() for name in FAMILY)
right = {name: at_tokens("family", name, budget) for name in FAMILY}
T_95 = 2.776  # Student's t for five seeds: a 95 % interval is ± 2.776 standard errors
T_FOUR = 4.315  # the same for four comparisons at once: each may be wrong with 5 % / 4

fig, axes = plt.subplots(1, 2, figsize=(9.6, 3.7), width_ratios=(1, 1))
for i, name in enumerate(FAMILY):
    tokens = series("family", name, "num_tokens").mean(0) / 1000
    axes[0].plot(tokens, series("family", name, "right").mean(0), color=f"C{i}", label=name)
    d = right[name] - right["GRPO"]
    if name != "GRPO":
        axes[1].errorbar(d.mean(), i, xerr=T_95 * d.std(ddof=1) / len(d) ** 0.5, fmt="s", color=f"C{i}", capsize=3)
        axes[1].plot(d, [i + 0.22] * len(d), "o", color=f"C{i}", markersize=3, alpha=0.6)
axes[0].axvline(budget / 1000, color="grey", linewidth=1, linestyle="--")
axes[0].set(title="Mean of five seeds", xlabel="thousand tokens written", ylabel="chance of a right answer")
axes[0].legend(fontsize=9)
axes[1].axvline(0, color="grey", linewidth=1)
axes[1].set_yticks(range(1, len(FAMILY)), FAMILY[1:])
axes[1].set(title="Minus GRPO, at the dashed line", xlabel="right answers (95 % interval; dots: seeds)")
axes[1].invert_yaxis()
show(fig, alt="Left, right answers over tokens written for five members of the family, lines close together. Right, "
              "difference to GRPO at equal tokens: " + "; ".join(
    f"{name} {paired(right[name], right['GRPO'])}" for name in FAMILY[1:]))
print(f"at {budget / 1000:.0f} thousand tokens   right            minus GRPO, seed by seed         by itself      "
      "one of four")
for name in FAMILY:
    d = right[name] - right["GRPO"]
    error = d.std(ddof=1) / len(d) ** 0.5
    verdicts = ["inconclusive" if abs(d.mean()) <= t * error else "better" if d.mean() > 0 else "worse"
                for t in (T_95, T_FOUR)]
    print(f"{name:10} {right[name].mean():19.3f} ± {right[name].std(ddof=1) / 5**0.5:.3f}"
          + (f"    {paired(right[name], right['GRPO']):30} {verdicts[0]:14} {verdicts[1]}" if name != "GRPO" else ""))
print(f"RLOO minus DAPO: {paired(right['RLOO'], right['DAPO'])}")
print("a gradient, before it is shortened to 1:",
      ", ".join(f"{name} {series('family', name, 'grad_norm').mean():.1f}" for name in FAMILY), "(means of all steps)")

# %% [markdown]
# Look at the scales first. The five base models differ from one another by far more than any two lines of the left
# panel. The comparison is seed by seed, so that does not blur it, but it says how much there is to gain from a better
# loss, and how much from a better start.
#
# Then the right panel. DAPO is ahead on five of five, and its interval, taken by itself, does not hold 0. But it is
# one of four that we looked at, and whoever looks four times finds something four times as easily. The last column
# allows for that, and says **inconclusive** four times. Should you find it promising, you know what to do: more seeds,
# that one comparison, nothing else. And even then we would not know *which* of its lines it was. Dynamic sampling alone
# came out even at equal tokens.
#
# RLOO cannot be told from DAPO (the line below the table), with a quarter of the updates and no ratio, clip or standard
# deviation. And GSPO cannot be told from GRPO, with a good part of its tokens thrown away.
#
# So which one? Not the one with the highest bar in somebody else's figure. Ask what *your* setting has that one of
# these lines is about. Do lengths vary? Not the mean per sequence. Do you update several times per batch? Then you need
# a clip, and should look at what it cuts. Are many groups dead, and is writing cheap? Resample. Is none of that so?
# Take the fewest lines.
#
# > **Change this number and run again.** In a new cell, `train(addition_base(), train_problems, [exact_answer],
# > GRPOConfig(**DESCENDANTS["DAPO"] | {"resample": 0}, steps=50, final_lr=1.0, minibatch_size=32))` is DAPO without its
# > dynamic sampling (6 seconds). What is in the last row of `.history`, and how often would you have to run it to know?

# %% [markdown]
# ## Check yourself
#
# <details><summary>A paper reports that replacing the token mean by the mean per sequence shortens right answers by a
# third "while accuracy is unchanged", and calls it efficient reasoning. What do you ask?</summary>
#
# How long the *wrong* ones have become. The same 1/|y| that pays right answers for being short pays wrong ones for
# being long.
# </details>
#
# <details><summary>Dr. GRPO divides by a constant, say 28. A colleague divides by the longest answer of the batch "so
# that the loss has a sensible size". What has changed?</summary>
#
# Within a batch nothing: all tokens still count alike. Between batches, one rambling answer makes everybody's push
# smaller, so batches with a long answer count less. The constant was to be the same for everybody, always.
# </details>
#
# <details><summary>You double the constant of Dr. GRPO. What happens under SGD, and what under Adam?</summary>
#
# Under SGD it is half the learning rate (unless gradient clipping shortens even the halved gradients: then nothing).
# Adam divides by the gradient's usual size, so nothing (unless a KL term holds the loss against something that was not
# doubled, or clipping, which shortens some gradients and not others, now draws the line elsewhere).
# </details>
#
# <details><summary>clip = (.2, .28), one update per batch: which tokens does the upper bound hold back?</summary>
#
# None. Every ratio is 1.
# </details>
#
# <details><summary>With the standard deviation and 0/1 rewards, a group of eight has one right answer. What is its
# advantage, and what would it be without?</summary>
#
# Mean 1/8, so 7/8 without. The sample standard deviation is √(1/8 · 7/8 · 8/7) = √(1/8) ≈ .354, so about 2.47 with. A
# group of four right ones: ½ without, about .94 with. The rare success is weighed up 2.8 times instead of 1.9 times.
# </details>
#
# <details><summary>Dynamic sampling never shows the learner an all-right question. What might be lost?</summary>
#
# Nothing that GRPO would have learned from it in this batch: its advantages were 0. But the mix of questions has
# changed: the batch is now made of undecided ones. Watch the mastered ones, which nobody practises; and mind that
# "reward" in the log is now the mean over live groups, and sinks even if the model gets better.
# </details>
#
# <details><summary>Answers that are cut off are masked. Can the model still learn that finishing pays?</summary>
#
# Yes: their low rewards stay in the group's mean, so that those that finished are praised.
# </details>

# %% [markdown]
# ## You can now …
#
# … read a paper about the next descendant: find the line, work out its weight on a token, an answer, a question; ask
# whether the setting was one in which that line does anything at all; and count the seeds. Your vocabulary has a
# function more, the plainest of three:
#
# ```python
# length_mean(length)    # a reduction: [B, T] losses, mask, whole mask -> []
# ```
#
# This ends part III. The same loop has trained a dog, a cart, and a small GPT-2 with the losses that most of today's
# papers start from. What it maximised was, each time, a number that somebody had written down. Part IV is about that
# number. Chapter 18, *Reward design and reward hacking*, writes down some that look sensible, and lets a policy loose
# on them.
#
# The exercises are in `work/17_after_grpo.ipynb` (`rlcourse start 17` puts it there, if it is missing).
#
# **Further reading**
#
# - Z. Shao and others, *DeepSeekMath: Pushing the Limits of Mathematical Reasoning in Open Language Models*, 2024,
#   [arXiv:2402.03300](https://arxiv.org/abs/2402.03300): GRPO.
# - Z. Liu and others, *Understanding R1-Zero-Like Training: A Critical Perspective*, 2025,
#   [arXiv:2503.20783](https://arxiv.org/abs/2503.20783): Dr. GRPO, the two biases, and where else the first one lives:
#   in the `masked_mean` of most open PPO code.
# - Q. Yu and others, *DAPO: An Open-Source LLM Reinforcement Learning System at Scale*, 2025,
#   [arXiv:2503.14476](https://arxiv.org/abs/2503.14476): clip-higher, dynamic sampling, the token mean, answers
#   that are too long.
# - C. Zheng and others, *Group Sequence Policy Optimization*, 2025,
#   [arXiv:2507.18071](https://arxiv.org/abs/2507.18071): one ratio for an answer.
# - A. Ahmadian and others, *Back to Basics: Revisiting REINFORCE Style Optimization for Learning from Human Feedback in
#   LLMs*, 2024, [arXiv:2402.14740](https://arxiv.org/abs/2402.14740): RLOO.
# - D. Davis and B. Recht, *What is the objective of reasoning with reinforcement learning?*, 2025,
#   [arXiv:2510.13651](https://arxiv.org/abs/2510.13651): what each of these climbs, for rewards of 0 and 1.
# - J. R. Park and others, *Clip-Low Increases Entropy and Clip-High Decreases Entropy in Reinforcement Learning of
#   Large Language Models*, 2025, [arXiv:2509.26114](https://arxiv.org/abs/2509.26114): what bounds do to entropy,
#   whatever the reward.
