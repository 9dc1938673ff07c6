# %% [markdown]
# # 08 · Actor–critic and GAE: exercises
#
# Four exercises: the two ways to end, GAE, the loss that trains actor and critic together, and three sealed learners
# with a bug in each. Stuck? In a terminal, `rlcourse hint 08.1` gives one hint at a time.

# %%
import gymnasium as gym
import torch

from rlcore.agents.actor_critic import ActorCriticConfig
from rlcore.envs.probes import PROBES
from rlcore.learner import Learner
from rlcore.probing import climb
from rlcore.values import predict
from rlcourse import check
from rlcourse.checks.ch08 import SEALED

torch.set_num_threads(1)
torch.manual_seed(0)

# %% [markdown]
# ## 08.1 Two ways to end
#
# `rewards`, `values` (V(sₜ)), `next_values` (V(sₜ₊₁)), `terminated` and `truncated` are `[T]`; the last two are bool.
# Return the TD error of every step, `[T]`:
#
# $$\delta_t = r_t + \gamma\, V(s_{t+1}) - V(s_t)$$
#
# After one of the two kinds of end there is no V(sₜ₊₁). After the other there is, and `next_values` has it.

# %% exercise="08.1"
def surprises(rewards, values, next_values, terminated, truncated, gamma):
    """How much better each step went than the critic expected, `[T]`."""
    ### BEGIN SOLUTION
    return rewards + gamma * next_values * ~terminated - values
    ### END SOLUTION


# %%
check("08.1", surprises)

# %% [markdown]
# Your numbers in the world that pays 1 for ever, with a critic that has it right (V = 10 at γ = 0.9). If nothing
# surprises it, not even the last step, it will stay right.

# %% needs="08.1"
world = gym.make("Probe6-v0")
world.reset(seed=0)
steps = [world.step(0) for _ in range(10)]
ten, ends = torch.full((10,), 10.0), [torch.tensor([step[i] for step in steps]) for i in (2, 3)]
print(surprises(torch.tensor([float(step[1]) for step in steps]), ten, ten, *ends, 0.9))

# %% [markdown]
# ## 08.2 GAE
#
# All tensors are `[B, T]`: B rows, each with several episodes end to end, perhaps cut off in the middle of one. Return
# the advantages, `[B, T]`:
#
# $$\hat A_t = \delta_t + \gamma\lambda\,\hat A_{t+1}$$
#
# The bootstrap inside δ stops at `terminated`, the recursion stops at `done` (terminated or truncated), and after the
# last column nothing is known, so there Â is δ.

# %% exercise="08.2"
def advantage_estimates(rewards, values, next_values, terminated, done, gamma, lam):
    """Generalised advantage estimation, `[B, T]`."""
    ### BEGIN SOLUTION
    deltas = rewards + gamma * next_values * ~terminated - values  # [B, T]
    advantages = torch.zeros_like(deltas)
    later = torch.zeros_like(deltas[:, 0])  # [B]
    for t in reversed(range(deltas.shape[1])):
        later = deltas[:, t] + gamma * lam * later * ~done[:, t]
        advantages[:, t] = later
    return advantages
    ### END SOLUTION


# %%
check("08.2", advantage_estimates)

# %% [markdown]
# ## 08.3 One loss for two
#
# `log_probs` (of the actions that were taken, by the policy as it is now) and `values` (by the critic as it is now) are
# `[B, T]` and carry gradients. `advantages` and `returns` `[B, T]` are what GAE gave: Â, and the better-informed guess
# at the value, Â + V. `mask` `[B, T]` is True where a step happened; elsewhere stands junk. Return one number, whose
# gradient descent improves both:
#
# $$L = \text{mean over steps of}\;
# \Bigl[-\hat A_t \log\pi(a_t \mid s_t) + c\,\tfrac12\bigl(V(s_t) - G_t\bigr)^2\Bigr]$$
#
# Â and G are data. They may arrive with a gradient of their own (somebody forgot a `no_grad`): let none through.

# %% exercise="08.3"
def actor_critic_loss(log_probs, values, advantages, returns, mask, value_coef):
    """The actor's loss plus `value_coef` times the critic's, a mean over the steps that happened."""
    ### BEGIN SOLUTION
    actor = -advantages.detach() * log_probs  # [B, T]
    critic = 0.5 * (values - returns.detach()) ** 2  # [B, T]
    return (actor + value_coef * critic)[mask].mean()
    ### END SOLUTION


# %%
check("08.3", actor_critic_loss)

# %% [markdown]
# With 08.2 and 08.3 you have a whole actor–critic. Does it climb?

# %% needs="08.3"
class Mine(Learner):
    def learn(self, t):
        values, next_values = predict(self.value, t)
        advantages = advantage_estimates(t.rewards, values, next_values, t.terminated, t.done, 0.8, 0.95)
        log_probs, _ = self.policy.evaluate_actions(t.states, t.actions, t.mask)
        loss = actor_critic_loss(log_probs, self.value(t.states), advantages, advantages + values, t.mask, 0.5)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return {}


def train(policy, value, world, seed):
    list(Mine(policy, value, world, ActorCriticConfig(steps=70, lr=3e-2), seed).steps())


for report in climb(train, gamma=0.8).values():
    print(report)

# %% [markdown]
# ## 08.4 Three sealed learners
#
# `SEALED["A"]`, `SEALED["B"]` and `SEALED["C"]` are actor–critics, and each has one bug. You cannot look inside (please
# do not: they are in `rlcourse/checks/ch08.py`), but you can let them climb, at γ = 0.8. Here is A. (What should have
# been learned on a rung is `PROBES[...]`, what it asks is `.asks`; the first rung missed says most, and *how* it is
# missed says the rest.)

# %%
for report in climb(SEALED["A"], gamma=0.8).values():
    print(report)
print("\nIf rung 3 is the first one missed, suspect:", PROBES["Probe3-v0"].suspect)

# %% [markdown]
# Let the other two climb. Then return what is wrong with each, in one of these words:
#
# | | |
# |---|---|
# | `"sign"` | the policy's loss has the wrong sign |
# | `"discount"` | the discount has been forgotten |
# | `"truncation"` | truncation is treated as termination |
# | `"termination"` | termination is treated as truncation: V is added after the end |
# | `"blind policy"` | the policy does not see the state (but the critic does) |
# | `"blind critic"` | the critic does not see the state (but the policy does) |
# | `"idle critic"` | the critic's weights are not in the optimiser |

# %% exercise="08.4"
def diagnosis():
    """What is wrong with A, B and C: one word each, in this order."""
    ### BEGIN SOLUTION
    return ["termination", "blind policy", "truncation"]
    ### END SOLUTION


# %%
check("08.4", diagnosis)

# %% [markdown]
# > **And now yourself.** Break `Mine` in a way that is not in the table, hand it to somebody else, and start a
# > stopwatch.
