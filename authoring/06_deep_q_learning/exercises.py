# %% [markdown]
# # 06 · Deep Q-learning: exercises
#
# The five moving parts of DQN, each small enough to check by hand: how much to explore, what to remember, what to aim
# at, what to aim at if you distrust a maximum, and how hard to pull. A wrong answer is told what it usually is; in
# a terminal, `rlcourse hint 06.1` gives one hint at a time.

# %%
import random

import matplotlib.pyplot as plt
import torch

from rlcore.plotting import house_style, show
from rlcourse import check

torch.set_num_threads(1)
torch.manual_seed(0)
random.seed(0)
house_style()

# %% [markdown]
# ## 06.1 How much to explore
#
# At the beginning Q knows nothing, so a DQN acts at random (ε = `start`, often 1). Then ε falls in a straight line,
# and reaches `end` when a share `fraction` of all the `total_steps` is done. From there on it stays at `end`.
#
# Return ε after `step` steps.

# %% exercise="06.1"
def epsilon_at(step, total_steps, start, end, fraction):
    """How often to act at random: one number."""
    ### BEGIN SOLUTION
    share = min(step / (fraction * total_steps), 1.0)
    return start + share * (end - start)
    ### END SOLUTION


# %%
check("06.1", epsilon_at)

# %% [markdown]
# ## 06.2 A memory that forgets the oldest
#
# Write a memory for at most `size` steps. `add(step)` remembers one more, and when it is full the *oldest* one is
# forgotten. `len(memory)` says how many it holds. `sample(count)` returns a list of `count` of them, each as likely
# as any other, drawn with replacement (the same step may come twice, so `count` may even be larger than the
# memory).
#
# What a step is, is none of the memory's business. A list and `random.choice` or `random.randrange` are all you need.
# A full memory should not have to move all of its steps to make room for one: where would step number n go, if the
# list were a ring?

# %% exercise="06.2"
class Memory:
    """The last `size` steps, with three methods more: `add(step)`, `__len__()` and `sample(count)`."""

    def __init__(self, size):
        ### BEGIN SOLUTION
        self.size, self.added, self.steps = size, 0, []

    def add(self, step):
        if len(self.steps) < self.size:
            self.steps.append(step)
        else:
            self.steps[self.added % self.size] = step
        self.added += 1

    def __len__(self):
        return len(self.steps)

    def sample(self, count):
        return [random.choice(self.steps) for _ in range(count)]
        ### END SOLUTION


# %%
check("06.2", Memory)

# %% [markdown]
# ## 06.3 What to aim at
#
# For N steps drawn from the memory you have `rewards` `[N]`, `terminated` `[N]` (bool), and `next_q` `[N, A]`: what
# the target network says of all A actions in each *next* state. Return the targets `[N]`:
#
# $$y = r + \gamma\,(1 - \text{terminated}) \max_{a'} Q^-(s', a')$$
#
# The targets are data: no gradient may flow back into `next_q`.

# %% exercise="06.3"
def q_targets(rewards, next_q, terminated, gamma):
    """What Q(s, a) should be, `[N]`."""
    ### BEGIN SOLUTION
    best = next_q.detach().max(dim=-1).values  # [N]
    return rewards + gamma * best * ~terminated
    ### END SOLUTION


# %%
check("06.3", q_targets)

# %% [markdown]
# ## 06.4 Two networks, two jobs
#
# Now double DQN's. `next_q` is what the network that is being trained says of the next states, `next_q_target` what
# the target network says, both `[N, A]`. One of them chooses the action, the other says what it is worth.
#
# $$y = r + \gamma\,(1 - \text{terminated})\, Q^-\bigl(s', \arg\max_{a'} Q(s', a')\bigr)$$
#
# As before, the targets `[N]` are data: no gradient may flow back through them into either network.

# %% exercise="06.4"
def double_targets(rewards, next_q, next_q_target, terminated, gamma):
    """What Q(s, a) should be, if one network chooses and the other one values, `[N]`."""
    ### BEGIN SOLUTION
    chosen = next_q.argmax(dim=-1, keepdim=True)  # [N, 1]
    worth = next_q_target.detach().gather(-1, chosen).squeeze(-1)  # [N]
    return rewards + gamma * worth * ~terminated
    ### END SOLUTION


# %%
check("06.4", double_targets)

# %% [markdown]
# Your two targets, on next states in which *nothing* is worth anything and both networks are off by random errors.
# Nobody should get anything but 0 on average. The more actions, the more the first one believes in a better world.

# %% needs="06.4"
nothing, going_on = torch.zeros(2000), torch.zeros(2000, dtype=torch.bool)
counts, plain, double = (2, 4, 8, 16, 32, 64, 128), [], []
for count in counts:
    one, other = torch.randn(2, 2000, count)
    plain.append(q_targets(nothing, other, going_on, 1.0).mean())
    double.append(double_targets(nothing, one, other, going_on, 1.0).mean())
fig, ax = plt.subplots()
ax.plot(counts, plain, "o-", color="C1", label="q_targets")
ax.plot(counts, double, "o-", color="C0", label="double_targets")
ax.set(title="What is nothing worth?", xlabel="number of actions", ylabel="mean target", xscale="log")
ax.set_xticks(counts, map(str, counts))
ax.minorticks_off()
ax.legend(fontsize=9)
show(fig, alt=f"The mean target against the number of actions: the plain one rises from {plain[0]:.2f} to "
              f"{plain[-1]:.2f}, the double one stays within {max(map(abs, double)):.2f} of 0.")

# %% [markdown]
# ## 06.5 How hard to pull
#
# The lesson's pitfall. Write the Huber loss of TD errors δ `[N]`, one number per step: ½ δ² while |δ| ≤ 1, and |δ|
# − ½ beyond. The two pieces meet without a jump or a kink, and the *gradient* is δ, clipped to between −1 and 1.
#
# Without `torch.nn.functional.huber_loss` or `smooth_l1_loss`, please. `torch.where(condition, a, b)` chooses.

# %% exercise="06.5"
def huber(errors):
    """½ δ² near 0, |δ| − ½ far away, `[N]`."""
    ### BEGIN SOLUTION
    size = errors.abs()
    return torch.where(size <= 1, 0.5 * errors**2, size - 0.5)
    ### END SOLUTION


# %%
check("06.5", huber)
