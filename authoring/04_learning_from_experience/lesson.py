# %% [markdown]
# # 04 · Learning from experience
#
# Chapter 03 knew everything about its worlds: a table said what can follow what, how likely, and for which reward.
# Worlds do not come with a table. This chapter finds out how good a state is by *being there*.
#
# When you have worked through this page you can learn values from played episodes in three ways that turn out to be
# one (wait for the end, look one step ahead, or anything between), say what you pay for each in bias and in
# variance, and judge a policy by episodes that somebody else played. On the way you will have built two things under
# their old names: **GAE**, from which PPO takes its advantages, and the **ratio**, around which PPO is built.
#
# *About 80 minutes, difficulty 2 of 5. You need chapters 01 and 03: states, policies, returns, V.*

# %%
import gymnasium as gym
import matplotlib.pyplot as plt
import numpy as np
import torch

from rlcore.envs.random_walks import true_values  # importing it puts the walks on Gymnasium's list
from rlcore.plotting import animate, band, house_style, show
from rlcore.policies import TabularPolicy
from rlcore.rollout import collect

torch.set_num_threads(1)
torch.manual_seed(0)
dice = torch.Generator().manual_seed(0)  # the dice of all policies on this page
house_style()

# %% [markdown]
# ## A puppy that cannot make up its mind
#
# Five planks of a jetty, A to E. At the right end stands a full bowl, at the left end is cold water. Our robot
# dog's puppy starts in the middle, and before every step it tosses a coin.

# %%
coin = TabularPolicy(num_states=7, num_actions=2)  # a new table prefers nothing: left and right are equally likely
jetty = gym.make("RandomWalk-v0", render_mode="rgb_array")
animate(jetty, coin, seed=4, alt="A walker on five tiles A to E steps left and right by the toss of a coin")

# %% [markdown]
# The bowl pays 1, nothing else pays anything, and there is no discount. So the value of a plank is a plain
# question: *standing here, how likely is the puppy to get its dinner?*
#
# With the table, chapter 03 answers at once.

# %%
from rlcore.agents.dynamic_programming import exact_values

half_half = np.full((7, 2), 0.5)  # π(a | s)
V_true = torch.as_tensor(exact_values(jetty.unwrapped.mdp, half_half, gamma=1.0))
for plank, value in zip("ABCDE", V_true[1:-1], strict=True):
    print(f"V({plank}) = {value:.4f}")

# %% [markdown]
# One sixth more with every plank. From here on this is the answer at the back of the book: we may compare with it,
# but no learner on this page gets to see it, or the table. All a learner has is this.

# %%
walks = collect(coin, gym.make_vec("RandomWalk-v0", num_envs=1000), seed=0, generator=dice)
for i in range(4):
    steps = int(walks.mask[i].sum())
    path = ["ABCDE"[s - 1] for s in walks.states[i, :steps].tolist()]
    print(" ".join(path), "->", "dinner!" if walks.rewards[i].sum() else "splash")

# %% [markdown]
# ## Wait and see: Monte Carlo
#
# What would you do with a thousand such walks, to find V(D)? You would look for walks that came through D, and count
# how many of them ended at the bowl. That is the whole method. In general: after a visit to *s*, add up what was
# paid from there on (the *return* G, chapter 01), and average over visits.
#
# $$V(s) \approx \text{mean of } G_t \text{ over visits with } s_t = s$$
#
# Statisticians call an average over random plays a **Monte Carlo** estimate, after the casino.

# %%
from rlcore.returns import discounted_returns


def average_of_returns(walks, gamma=1.0):
    """V by counting: for each state, the mean return after visits to it, `[7]`."""
    G = discounted_returns(walks.rewards.double(), walks.done, gamma)  # [B, T]
    total, visits = torch.zeros(2, 7, dtype=torch.float64)
    for s in range(7):
        here = (walks.states == s) & walks.mask  # [B, T]
        total[s], visits[s] = G[here].sum(), here.sum()
    return total / visits.clamp(min=1)


fig, ax = plt.subplots()
for number in (10, 100, 1000):
    ax.plot(average_of_returns(walks.rows(slice(number)))[1:-1], "o-", label=f"after {number} walks")
ax.plot(V_true[1:-1], "--", color="black", label="truth")
ax.set(title="How likely is dinner? Counted", xlabel="plank", ylabel="value (chance of dinner)", ylim=(-0.05, 1.05))
ax.set_xticks(range(5), list("ABCDE"))
ax.legend(fontsize=9)
worst = [float((average_of_returns(walks.rows(slice(n)))[1:-1] - V_true[1:-1]).abs().max()) for n in (10, 100, 1000)]
show(fig, alt="Estimated values of planks A to E after 10, 100 and 1000 walks, and the true straight line. The largest "
              "errors are " + ", ".join(f"{error:.2f}" for error in worst))

# %% [markdown]
# It works, it needs no table, and it is never wrong on average: such an estimator is called **unbiased**. There is
# a price, and you can compute it beforehand. From C, the return is a coin: 0 or 1, standard deviation ½. The mean
# of *N* coins is off by about ½ / √N. Here are 50 learners, each with walks of its own.

# %%
from rlcore.agents import monte_carlo

learners = gym.make_vec("RandomWalk-v0", num_envs=50)  # one learner in each of 50 worlds
config = monte_carlo.MonteCarloConfig(episodes=100, first_visit=True)
result = monte_carlo.train(learners, coin, config, seed=0)
number = np.arange(1, 101)
miss = (result.history[:, :, 3] - V_true[3]).abs()  # [episodes, learners]: at C
mean_miss = miss.pow(2).mean(1).sqrt()

fig, ax = plt.subplots()
ax.plot(number, miss, color="C0", alpha=0.12, linewidth=1)
ax.plot(number, mean_miss, color="C0", label="V(C), root mean square over 50 learners (pale: each of them)")
ax.plot(number, 0.5 / np.sqrt(number), "--", color="black", label="½ / √N, computed beforehand")
ax.set(title="Four times the walks, half the error", xlabel="walks N", ylabel="error of V(C)", ylim=(0, 0.55))
ax.legend(fontsize=9)
show(fig, alt="Error of V(C) against the number of walks. The root mean square over 50 learners follows one half over "
              f"the square root of N: {mean_miss[24]:.3f} at 25 walks, {mean_miss[99]:.3f} at 100.")

# %% [markdown]
# That `monte_carlo.train` is the library's form of the ten lines above. Two differences: it is an agent in a loop,
# so that V exists after every episode; and by default it counts a plank once per walk (its *first visit*), because
# a second visit in the same walk has the same ending, and is no second opinion. Asked for every visit, it must
# agree with ours.

# %% tags=["nbval-check-output"]
every_visit = monte_carlo.MonteCarloConfig(first_visit=False)
agent = monte_carlo.MonteCarlo(coin, num_states=7, config=every_visit)
for i in range(200):
    agent.update(walks.rows(slice(i, i + 1)))  # one walk after the other
torch.testing.assert_close(agent.value[0], average_of_returns(walks.rows(slice(200))))
print("the same values, after 200 walks")

# %% [markdown]
# ## A guess from a later guess: TD
#
# The puppy has stood on E a hundred times, and mostly it got its dinner. Now it steps from D to E, for the first
# time on this walk. Do you have to see the end to know that this was good news?
#
# You do not. V(E) is already an opinion about the end. So take the step's reward, and then *the value of where it
# led*, instead of all the rewards to come:
#
# $$V(s_t) \leftarrow V(s_t) + \alpha\,\bigl[\underbrace{r_t + \gamma\, V(s_{t+1})}_{\text{target}} - V(s_t)\bigr]$$
#
# The bracket is the **TD error** δ, for *temporal difference*: how much better things look one step later. The
# **step size** α says how far to move. After the end there is nothing, so there V(sₜ₊₁) counts 0.
#
# This is Bellman's equation from chapter 03 with one change, which is the step from planning to learning:
#
# ```diff
# - V[s] = sum(p * (r + gamma * V[s_next]) for p, s_next, r in table[s])    # the average of all that can happen
# + V[s] += alpha * (r + gamma * V[s_next] - V[s])                          # a step towards what did happen
# ```

# %%
def td(V, walk, alpha, gamma=1.0):
    """Follow one walk and learn at every step, before the walk is over."""
    V = V.clone()
    for s, r, s_next, terminated in zip(walk.states[0], walk.rewards[0], walk.next_states[0], walk.terminated[0]):
        target = r + gamma * V[s_next] * ~terminated
        delta = target - V[s]  # the TD error
        V[s] += alpha * delta
    return V


V = torch.full((7,), 0.5, dtype=torch.float64)  # no idea: fifty-fifty everywhere
snapshots = {0: V}
for i in range(100):
    V = td(V, walks.rows(slice(i, i + 1)), alpha=0.1)
    snapshots[i + 1] = V

fig, ax = plt.subplots()
for number in (0, 1, 10, 100):
    ax.plot(snapshots[number][1:-1], "o-", label="before" if number == 0 else f"after {number} walk{'s'[:number - 1]}")
ax.plot(V_true[1:-1], "--", color="black", label="truth")
ax.set(title="TD(0), one learner, α = 0.1", xlabel="plank", ylabel="value (chance of dinner)", ylim=(-0.05, 1.05))
ax.set_xticks(range(5), list("ABCDE"))
ax.legend(fontsize=9)
moved = "".join(plank for plank, v in zip("ABCDE", snapshots[1][1:-1], strict=True) if v != 0.5)
show(fig, alt=f"Values of planks A to E while TD learns: flat at 0.5 before, only {moved} has moved after one walk, "
              "after 100 walks they are near the true straight line.")
print("planks that moved in the first walk:", moved)

# %% [markdown]
# In the first walk just one plank learned anything, although the puppy stood on several. Why? (The answer is under
# *Check yourself*, and it will come back as a problem in part III, where the only reward stands at the end of a long
# text.)
#
# Learning from your own guesses is called **bootstrapping**, after the man who pulled himself out of a swamp by his
# own hair, or bootstraps, depending on who tells it. It sounds like cheating. Does it work? Two camps, 100 learners
# each, the same walks. To be fair, Monte Carlo also gets a constant step size: V(s) ← V(s) + α (G − V(s)).

# %%
from rlcore.agents.td import lambda_return_td, n_step_td

E, R = 100, 100  # walks per learner, learners
many = collect(coin, gym.make_vec("RandomWalk-v0", num_envs=E * R), seed=1, generator=dice)


def rms(V, truth):
    """Root mean square error over the planks: `[..., states]` -> `[...]`."""
    return (V - torch.as_tensor(truth))[..., 1:-1].pow(2).mean(-1).sqrt()


def learning_curve(update, look, alpha):
    """RMS error after 0, 1, ..., E walks, for R learners: `[R, E + 1]`."""
    V = torch.full((R, 7), 0.5, dtype=torch.float64)
    errors = [rms(V, V_true)]
    for i in range(E):
        V = update(V, many.rows(slice(R * i, R * i + R)), 1.0, look, alpha)
        errors.append(rms(V, V_true))
    return torch.stack(errors, 1)


curves = {("TD", alpha): learning_curve(n_step_td, 1, alpha) for alpha in (0.05, 0.1, 0.15)}
for alpha in (0.01, 0.02, 0.04):
    curves["Monte Carlo", alpha] = learning_curve(lambda_return_td, 1.0, alpha)  # why this is it: in a moment

# %%
fig, axes = plt.subplots(1, 2, sharey=True, figsize=(9, 3.6))
for ax, camp in zip(axes, ("TD", "Monte Carlo"), strict=True):
    for (name, alpha), errors in curves.items():
        if name == camp:
            mean, spread = errors.mean(0), errors.std(0) / R**0.5
            line = ax.plot(mean, label=f"α = {alpha}")[0]
            ax.fill_between(range(E + 1), mean - spread, mean + spread, color=line.get_color(), alpha=0.2)
    ax.set(title=camp, xlabel="walks", ylim=(0, 0.25))
    ax.legend(fontsize=9, loc="upper right")
axes[0].set_ylabel("RMS error, mean ± standard\nerror of 100 learners")
low = {camp: min(float(errors.mean(0).min()) for (name, _), errors in curves.items() if name == camp)
       for camp in ("TD", "Monte Carlo")}
show(fig, alt="RMS error over walks for three step sizes each. The lowest that TD reaches is "
              f"{low['TD']:.3f}, the lowest of Monte Carlo {low['Monte Carlo']:.3f}.")
print(f"before any walk: {curves['TD', 0.1][0, 0]:.4f}   (√(1/18) = 0.2357)")
for (camp, alpha), errors in curves.items():
    print(f"{camp:12} α = {alpha:<5} after {E} walks {errors[:, -1].mean():.3f} ± {errors[:, -1].std() / R**0.5:.3f}")

# %% [markdown]
# This is the figure of Sutton and Barto's Example 6.2, live. On these walks TD goes lower, and goes lower sooner: it
# shares what it has learned. Whoever reaches E profits from everybody who was ever on E, while Monte Carlo lets each
# visit wait for its own ending. (Two cautions. A constant α never settles: each curve levels off at a height that
# grows with α. And "TD beats Monte Carlo" is no theorem. It depends on the world, and it depends on V being a table
# in which E is *one* state; keep that in mind for chapter 06.)
#
# `n_step_td` with n=1 is the library's TD. Compare it with our eight lines:

# %% tags=["nbval-check-output"]
V = torch.full((7,), 0.5, dtype=torch.float64)
for i in range(50):
    walk = walks.rows(slice(i, i + 1))
    ours, theirs = td(V, walk, alpha=0.1), n_step_td(V[None], walk, gamma=1.0, n=1, step_size=0.1)[0]
    torch.testing.assert_close(ours, theirs)
    V = ours
print("the same values, after each of 50 walks")

# %% [markdown]
# ## Everything between: n steps
#
# One camp looks one reward ahead and then trusts V. The other sees all rewards and trusts nobody. Of course you can
# stop anywhere between: see *n* rewards, then trust.
#
# $$G_t^{(n)} = r_t + \gamma r_{t+1} + \dots + \gamma^{n-1} r_{t+n-1} + \gamma^n V(s_{t+n})$$
#
# n = 1 is TD, n = ∞ is Monte Carlo, and V moves a step α towards it, as before. Here is a longer jetty: 19 planks, −1
# at the left end, +1 at the right, and V = 0 to begin with. Ten walks per learner, 100 learners, eight values of n,
# every α: what is the error, averaged over these ten walks?

# %%
coin19 = TabularPolicy(num_states=21, num_actions=2)
V19 = true_values(num_states=19, left=-1.0, right=1.0)  # −0.9, −0.8, ..., 0.9
long_walks = collect(coin19, gym.make_vec("RandomWalk19-v0", num_envs=1000), seed=0, generator=dice)
alphas = torch.linspace(0.05, 1.0, 20, dtype=torch.float64)


def sweep(update, look):
    """Mean RMS error over the first 10 walks, for each α and learner: `[20, 100]`; `look` is n or λ."""
    V = torch.zeros(len(alphas), 100, 21, dtype=torch.float64)  # all step sizes learn from the same walks
    errors = []
    for i in range(10):
        V = update(V, long_walks.rows(slice(100 * i, 100 * i + 100)), 1.0, look, alphas[:, None])
        errors.append(rms(V, V19))
    return torch.stack(errors).mean(0)


by_n = {n: sweep(n_step_td, n) for n in (1, 2, 4, 8, 16, 32, 64, 256)}

# %%
def draw_sweep(ax, results, name):
    """RMS error against α, one line per setting, with its name where it is lowest."""
    shades = plt.cm.viridis(np.linspace(0, 0.85, len(results)))
    for (setting, errors), colour in zip(results.items(), shades, strict=True):
        mean, spread = errors.mean(1), errors.std(1) / 10
        ax.plot(alphas, mean, color=colour)
        ax.fill_between(alphas, mean - spread, mean + spread, color=colour, alpha=0.25, linewidth=0)
        low = int(mean.argmin())
        place = {"xytext": (0, -19), "ha": "center"}
        if low < 2:  # no room below: name it where it begins
            low, place = 0, {"xytext": (-5, 0), "ha": "right", "va": "center"}
        ax.annotate(f"{name} = {setting}", (alphas[low], mean[low]), textcoords="offset points", color=colour,
                    fontsize=9, bbox={"facecolor": "white", "alpha": 0.8, "pad": 0.5, "edgecolor": "none"}, **place)
    lowest = min(float(errors.mean(1).min()) for errors in results.values())
    ax.set(xlabel="step size α", ylim=(0.23, 0.58) if lowest < 0.5 else (0.8 * lowest, 5), xlim=(-0.07, 1))


fig, ax = plt.subplots(figsize=(7.2, 4.2))
draw_sweep(ax, by_n, "n")
book = {(4, 0.4): 0.262, (1, 0.8): 0.345}
ax.plot([a for _, a in book], list(book.values()), "k*", markersize=11, label="Sutton & Barto")
ax.set(title="How far to look before you trust", ylabel="RMS error over the first 10 walks,\nmean ± SE of 100 learners")
ax.legend(fontsize=9, loc="lower right")
best = {n: float(errors.mean(1).min()) for n, errors in by_n.items()}
show(fig, alt="RMS error against step size for eight n. Lowest points: "
              + ", ".join(f"n={n} {error:.3f}" for n, error in best.items()))
for (n, alpha), value in book.items():
    ours = by_n[n][round(alpha * 20) - 1]
    print(f"n = {n}, α = {alpha}: here {ours.mean():.3f} ± {ours.std() / 10:.3f}; in the book's figure about {value}")
print(f"before any walk: {rms(torch.zeros(21), V19):.4f}, √0.3 = 0.5477")

# %% [markdown]
# Neither camp wins. A long look is too noisy, a short look too slow, and the best n lies in the middle. Where exactly
# depends on the world, which is a nuisance: another number to tune. Unless we do not choose.

# %% [markdown]
# ## Do not choose, average: the λ-return
#
# Take *all* the n-step targets and average them, with weights that fall by a factor λ each time you look one step
# further:
#
# $$G_t^{\lambda} = (1-\lambda)\left[G_t^{(1)} + \lambda G_t^{(2)} + \lambda^2 G_t^{(3)} + \dots\right]$$
#
# The (1 − λ) in front makes the weights add up to 1. An episode ends, and what is longer than the episode is the
# plain return, so the plain return gets all the weight that is left.

# %%
T, lams = 12, (0.0, 0.5, 0.8, 0.95, 1.0)  # steps that are left in the episode
fig, axes = plt.subplots(1, len(lams), sharey=True, figsize=(10, 2.6))
for ax, lam in zip(axes, lams, strict=True):
    weights = [(1 - lam) * lam ** (n - 1) for n in range(1, T)]
    left_over = lam ** (T - 1)
    ax.bar(range(1, T), weights, color="C0")
    ax.bar(T, left_over, color="C1")
    ax.set(title=f"λ = {lam}", xlabel="n", ylim=(0, 1.05))
    assert abs(sum(weights) + left_over - 1) < 1e-12
axes[0].set_ylabel("weight of G⁽ⁿ⁾")
axes[3].annotate("all that is left:\nthe plain return", (T, lams[3] ** (T - 1)), xytext=(1, 0.8), fontsize=9,
                 arrowprops={"arrowstyle": "->"})
show(fig, alt="Weights of the n-step returns in the lambda-return for five lambdas, with 12 steps left. With lambda 0 "
              "all the weight is on n = 1, with lambda 1 all of it on the plain return, between them it falls off "
              f"geometrically; with lambda 0.95 the plain return still has {0.95**11:.2f}.")

# %% [markdown]
# So λ = 0 is TD, λ = 1 is Monte Carlo (that was the trick above), and λ between them is a slider. Word for word,
# with the library's `n_step_returns` for the Gs:

# %%
from rlcore.returns import n_step_returns


def lambda_return(walks, V, gamma, lam):
    """The weighted average of all n-step returns, for every step: `[B, T]`."""
    T = walks.rewards.shape[-1]
    G = torch.zeros(walks.rewards.shape, dtype=torch.float64)
    for n in range(1, T + 1):
        G_n = n_step_returns(walks.rewards.double(), V[walks.next_states], walks.terminated, walks.done, gamma, n)
        G += (1 - lam) * lam ** (n - 1) * G_n  # beyond its end, every G_n of an episode is its plain return
    return G + lam**T * G_n


V = torch.as_tensor(snapshots[10])  # what our TD learner believed after 10 walks
few = walks.rows(slice(20))
G_lambda = lambda_return(few, V, gamma=0.9, lam=0.8)
print("averaged", few.rewards.shape[-1], "n-step returns for each step of 20 walks")

# %% [markdown]
# That is a lot of arithmetic for one average: T returns for each of T steps. There is a faster way, and it is worth
# a minute of paper. Write each n-step return as *what V said, plus the surprises since*. For n = 2:
#
# $$G_t^{(2)} - V(s_t) = \underbrace{r_t + \gamma V(s_{t+1}) - V(s_t)}_{\delta_t}
# + \gamma\,\underbrace{\bigl[r_{t+1} + \gamma V(s_{t+2}) - V(s_{t+1})\bigr]}_{\delta_{t+1}}$$
#
# The two V(sₜ₊₁) cancel. Every n-step return is V plus a sum of TD errors; and in the average over all n, the
# error δ that lies *k* steps ahead is in all of them that look that far, which have a weight of λᵏ together:
#
# $$G_t^{\lambda} - V(s_t) = \delta_t + \gamma\lambda\,\delta_{t+1} + (\gamma\lambda)^2\,\delta_{t+2} + \dots$$
#
# A discounted sum, of TD errors in place of rewards and with γλ in place of γ. You have the function for that since
# chapter 01. In 2015 the same sum was put forward as an estimate of the *advantage*, how much better things went than
# V expected, under a name that you will meet in every PPO implementation: **generalised advantage estimation**, GAE.

# %% tags=["nbval-check-output"]
from rlcore.returns import gae, td_errors

rewards, values, next_values = few.rewards.double(), V[few.states], V[few.next_states]
deltas = td_errors(rewards, values, next_values, few.terminated, gamma=0.9)
ours = discounted_returns(deltas, few.done, gamma=0.9 * 0.8)
advantages = gae(rewards, values, next_values, few.terminated, few.done, gamma=0.9, lam=0.8)
torch.testing.assert_close(ours, advantages)
torch.testing.assert_close(values[few.mask] + advantages[few.mask], G_lambda[few.mask])
print("V + GAE is the λ-return, on every step of 20 walks")

# %% [markdown]
# That identity is the reason for this chapter's place in the course. When chapter 08 writes `gae(…, lam=0.95)`, you
# know what the 0.95 does: it stands near the Monte Carlo end of the slider that you see below.

# %%
by_lam = {lam: sweep(lambda_return_td, lam) for lam in (0.0, 0.4, 0.8, 0.9, 0.95, 0.99, 1.0)}
fig, ax = plt.subplots(figsize=(7.2, 4.0))
draw_sweep(ax, by_lam, "λ")
ax.set(title="The same 100 learners and walks, with λ in place of n",
       ylabel="RMS error over the first 10 walks,\nmean ± SE of 100 learners")
best_lam = {lam: float(errors.mean(1).min()) for lam, errors in by_lam.items()}
show(fig, alt="RMS error against step size for seven lambdas. Lowest points: "
              + ", ".join(f"lambda={lam} {error:.3f}" for lam, error in best_lam.items()))
print(f"lowest error: n-step {min(best.values()):.3f} (n = {min(best, key=best.get)}), "
      f"λ-return {min(best_lam.values()):.3f} (λ = {min(best_lam, key=best_lam.get)})")

# %% [markdown]
# > **Change this number and run again.** The learners had ten walks each. In `sweep`, give them three, or let V
# > begin at 5 instead of 0 (`torch.full(…, 5.0)`), a wildly wrong opinion. Which n and which λ do you expect to win
# > when V is not worth trusting?

# %% [markdown]
# ## What you pay: bias and variance
#
# Why is the middle best? Take the targets apart. Freeze a half-learned V, collect many walks, and compute the target
# at every step. Around each plank the targets scatter (**variance**), and their mean misses the truth (**bias**).
# Both cost you: mean squared error = bias² + variance.

# %%
def bias_and_variance(V, walks, lam):
    """(bias², variance) of the λ-return as a guess at the true value, averaged over the 19 planks."""
    rewards, here, ahead = walks.rewards.double(), V[walks.states], V[walks.next_states]
    targets = here + gae(rewards, here, ahead, walks.terminated, walks.done, gamma=1.0, lam=lam)  # [B, T]
    states, targets = walks.states[walks.mask], targets[walks.mask]
    visits = torch.bincount(states, minlength=21)[1:-1]
    mean = torch.bincount(states, targets, minlength=21)[1:-1] / visits
    square = torch.bincount(states, targets**2, minlength=21)[1:-1] / visits
    return float((mean - torch.as_tensor(V19)[1:-1]).pow(2).mean()), float((square - mean**2).mean())


def learners_after(num_walks):
    """V of five learners, `[5, 21]`."""
    V = torch.zeros(5, 21, dtype=torch.float64)
    for i in range(num_walks):
        V = n_step_td(V, long_walks.rows(slice(5 * i, 5 * i + 5)), 1.0, 4, 0.2)
    return V


fresh = long_walks.rows(slice(500, 1000))  # walks that none of them has seen
lams = np.array([0.0, 0.4, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 1.0])
parts = {k: np.array([[bias_and_variance(V, fresh, lam) for lam in lams] for V in learners_after(k)])
         for k in (0, 4, 100)}  # walks -> [5, λ, 2]

# %%
fig, axes = plt.subplots(1, 2, sharey=True, figsize=(10, 3.9))
x = np.arange(len(lams))
for part, name in enumerate(("bias²", "variance")):
    band(axes[0], x, parts[4][..., part], label=name, kind="range")
axes[0].set_title("A half-learned V: after 4 walks")
best_look = {}
for (k, both), colour in zip(parts.items(), ("C2", "C3", "C4"), strict=True):
    total = both.sum(-1)  # [5, λ]
    low = np.median(total, 0).argmin()
    best_look[k] = lams[low]
    band(axes[1], x, total, label=f"{k} walks", kind="range", color=colour)
    axes[1].plot(low, np.median(total, 0)[low], "o", markersize=9, color=colour)
axes[1].set_title("Together, and where it is lowest (dots)")
axes[0].set_ylabel("squared error per target")
for ax in axes:
    ax.set(xlabel="λ", yscale="log", ylim=(6e-4, 3))
    ax.set_xticks(x, [f"{lam:g}" for lam in lams])
    ax.legend(fontsize=9, loc="upper left" if ax is axes[0] else "lower right")
bias, variance = np.median(parts[4], 0).T
show(fig, alt="Left: squared bias and variance of the lambda-return against lambda, for V after 4 walks. From lambda 0 "
              f"to 1 the bias falls from {bias[0]:.3f} to {bias[-1]:.4f} and the variance grows from {variance[0]:.3f} "
              f"to {variance[-1]:.2f}. Right: their sum is lowest at lambda " + ", ".join(
                  f"{lam:g} after {k} walks" for k, lam in best_look.items()))
print("the best targets: " + ",   ".join(f"after {k} walks at λ = {lam:g}" for k, lam in best_look.items()))

# %% [markdown]
# A short look repeats V's own mistakes: bias, and hardly any noise. A long look asks the dice: no bias (what you see
# of it at λ = 1 is the noise of 500 walks), and the variance of a whole walk. λ moves you from one to the other.
#
# Where the sum is lowest depends on V: the bias is V's own error, so it shrinks as V improves, while the dice remain
# what they are. A good V wants a small λ, a bad one a large λ. And noise can be averaged away, by a small α or by more
# walks; bias cannot. If you remember one sentence of this page: **trusting V costs bias, trusting the dice costs
# variance, and λ is the exchange rate.**

# %% [markdown]
# ## Somebody else's walks
#
# A new question. Suppose the puppy grew up and stepped right seven times in ten. How likely would dinner be then? But
# it has not grown up yet; all you have is the thousand walks by the coin.
#
# The policy that we ask about is the **target** policy π, the one that played is the **behaviour** policy *b*.
# Learning about π from episodes of b is called learning **off-policy**. Averaging what you have does not do it:

# %%
p_right = 0.7
eager = TabularPolicy.from_probabilities([[1 - p_right, p_right]] * 7)  # π
V_eager = true_values(p_right=p_right)  # the answer at the back of the book
G = discounted_returns(walks.rewards.double(), walks.done, gamma=1.0)
print(f"mean return of the coin's walks {G[:, 0].mean():.3f},  true V(C) of the eager puppy {V_eager[3]:.3f}")

# %% [markdown]
# Look at two of the walks: C D E *dinner*, and C B A *splash*. The coin makes both with probability ½·½·½. The
# eager puppy would make the first with .7·.7·.7 and the second with .3·.3·.3. So the first should count for
# (.7/.5)³ = 2.744 walks, and the second for (.3/.5)³ = 0.216 walks. That is all:
#
# $$\rho = \prod_{t} \frac{\pi(a_t \mid s_t)}{b(a_t \mid s_t)}, \qquad
# V \approx \frac{1}{N}\sum_i \rho_i\, G_i$$
#
# This is **importance sampling**. What the world does (the slippery plank, the wind) cancels out in the fraction:
# both policies live in the same world. So you need no table, just the two policies' probabilities for the actions
# that were taken. In code a product of probabilities is a sum of log-probabilities, and the trajectory has kept those
# of the policy that acted.

# %%
def ratios(policy, walks):
    """ρ of each whole walk, `[B]`."""
    log_probs, _ = policy.evaluate_actions(walks.states, walks.actions, walks.mask)  # [B, T], 0 in the padding
    return (log_probs - walks.log_probs).double().sum(-1).exp().detach()


rho = ratios(eager, walks)
ordinary = (rho * G[:, 0]).mean()
weighted = (rho * G[:, 0]).sum() / rho.sum()
print(f"without weights {G[:, 0].mean():.3f}   ordinary {ordinary:.3f}   weighted {weighted:.3f}   "
      f"truth {V_eager[3]:.3f}")

# %% [markdown]
# There are two ways to divide. By N, the **ordinary** estimate: right on average, but the ρs need not add up to N,
# and with a few large ones it can say that the chance of dinner is 1.3. By the sum of the ρs, the **weighted**
# estimate: a true average of returns, so never outside what was seen, for the price of a small bias that dies out.
# Twenty learners each, up to 500 walks:

# %%
lots = collect(coin, gym.make_vec("RandomWalk-v0", num_envs=20 * 500), seed=2, generator=dice)
rho, G_0 = ratios(eager, lots).view(20, 500), lots.rewards.double().sum(-1).view(20, 500)
number = torch.arange(1, 501)
estimates = {"no weights": G_0.cumsum(1) / number, "ordinary": (rho * G_0).cumsum(1) / number,
             "weighted": (rho * G_0).cumsum(1) / rho.cumsum(1)}
fig, ax = plt.subplots(figsize=(7.2, 4.0))
for name, runs in estimates.items():
    band(ax, number, runs, label=name, kind="range")
ax.axhline(V_eager[3], color="black", linestyle="--", label=f"truth {V_eager[3]:.3f}")
ax.set(title="The eager puppy's value at C, from the coin's walks", xlabel="walks", ylabel="estimate of V(C)",
       xscale="log", xlim=(5, 500), ylim=(0, 2.8 * V_eager[3]))
ax.set_xticks([5, 10, 50, 100, 500], ["5", "10", "50", "100", "500"])
ax.legend(fontsize=9, loc="upper right")
show(fig, alt="Estimates of V(C) over walks. " + "; ".join(
    f"{name}: median {runs[:, -1].median():.3f}, from {runs[:, -1].min():.3f} to {runs[:, -1].max():.3f} after 500"
    for name, runs in estimates.items()) + f". The truth is {V_eager[3]:.3f}.")

# %% [markdown]
# The plain average converges beautifully, to the answer to another question. No number of walks will help it.
#
# > **Change this number and run again.** Set `p_right` to 0.1, a few cells up, and run from there. Dinner becomes
# > rare for π, but the coin still makes the walks that end in it half of the time, each with a tiny weight. Which
# > of the two estimates do you trust now? (Not the same one as before. With dinner nearly certain, the weighted one
# > had hardly anything to average.)
#
# In the library the weights are one argument: whoever else played is the `behaviour`.

# %% tags=["nbval-check-output"]
for weighting, ours in (("weighted", weighted), ("ordinary", ordinary)):
    config = monte_carlo.MonteCarloConfig(weighting=weighting)
    agent = monte_carlo.MonteCarlo(eager, 7, config, behaviour=coin)
    for i in range(1000):
        agent.update(walks.rows(slice(i, i + 1)))
    torch.testing.assert_close(agent.value[0, 3], ours)
log_probs, _ = eager.evaluate_actions(walks.states, walks.actions, walks.mask)
from_here_on = monte_carlo.importance_ratios(log_probs.double(), walks.log_probs.double(), walks.done)  # [B, T]
torch.testing.assert_close(from_here_on[:, 0], ratios(eager, walks))
print("the same ratios, and the same estimates, weighted and ordinary")

# %% [markdown]
# ## Where it breaks
#
# One state. Action *left* stays there with probability 0.9, and with 0.1 it ends and pays 1. Action *right* ends for
# nothing. The target policy always goes left, so its value is 1: sooner or later it is paid. The behaviour tosses a
# coin.

# %%
plays = collect(TabularPolicy(2, 2), gym.make_vec("OneState-v0", num_envs=1000), seed=0, generator=dice)
always_left = TabularPolicy.from_probabilities([[1.0, 0.0]] * 2)
rho, G_0 = ratios(always_left, plays), plays.rewards.sum(-1)
for i in (*range(3), int(rho.argmax())):
    what = " ".join(["left", "right"][a] for a in plays.actions[i, plays.mask[i]])
    print(f"episode {i:3}   return {G_0[i]:.0f}   weight {rho[i]:4.0f}   {what}")

# %% [markdown]
# A weight is 0 as soon as there is a *right* (the target would never do that), and it doubles with every *left*. So
# an episode that was paid after *k* steps weighs 2ᵏ. Now ten learners, a million episodes each. Such an episode is
# simple enough to be drawn at once: how long it stays, and whether it ended with a *left*.

# %%
rng = np.random.default_rng(0)
stays = rng.geometric(0.55, size=(10, 1_000_000))  # steps: the coin goes left and stays with .5 · .9, else it ends
paid = rng.random(stays.shape) < 0.05 / 0.55  # of those ends, .5 · .1 are paid
scores = np.where(paid, 2.0**stays, 0.0)  # ρ G, [learners, episodes]
shown = np.unique(np.geomspace(1, stays.shape[1], 3000).astype(int))
ordinary = scores.cumsum(1)[:, shown - 1] / shown
settled = (paid.cumsum(1)[:, shown - 1] > 0).all(0)  # everybody was paid once: the weighted estimates are all 1 / 1

fig, ax = plt.subplots()
ax.plot(shown, ordinary.T, color="C1", linewidth=1, alpha=0.8)
ax.plot([], [], color="C1", label="ordinary, each of 10 learners")
ax.plot(shown[settled], np.ones(settled.sum()), color="C0", linewidth=3, label="weighted, all 10")
ax.axhline(1, color="black", linestyle="--", label="truth")
ax.set(title="An average that does not settle", xlabel="episodes", ylabel="estimate of V(s)", xscale="log",
       ylim=(0, 4))
ax.legend(fontsize=9, loc="upper right", frameon=True, framealpha=0.9)
show(fig, alt="Estimates of the value 1 over a million episodes. The ten ordinary ones jump up when a long episode "
              f"comes and sink in between; at the end they lie between {ordinary[:, -1].min():.2f} and "
              f"{ordinary[:, -1].max():.2f}. The weighted ones are all 1.")
print(f"after a million episodes: from {ordinary[:, -1].min():.2f} to {ordinary[:, -1].max():.2f};   "
      f"largest weight {scores.max():,.0f}")

# %% [markdown]
# Averaged over all learners there could ever be, the ordinary estimate is right. And yet most of them are too small
# most of the time, until a rare episode with an enormous weight throws one up. More episodes will not cure it: k
# steps to the left weigh 2ᵏ, so the *square* of the weight grows fourfold per step, while the chance that the coin
# goes left and stays falls only to .5·.9 = .45. 4 · .45 = 1.8 > 1: the sum for E[ρ²] diverges, **the variance is
# infinite**, and ½/√N has no ½ to begin with. (The weighted estimate is saved here by luck: every return with a
# weight is exactly 1.)
#
# You may think that such worlds are made up for textbooks. Here is one that is not. A text of T tokens is T actions,
# its weight a product of T ratios. Let two language models differ just a little: at every token, one gives it 10 %
# more or less probability than the other. How many of 1000 texts still count?

# %%
lengths, shift = np.array([1, 10, 30, 100, 300, 1000]), 0.1
rng = np.random.default_rng(0)
effective = np.zeros((5, len(lengths)))  # [seed, length]
for seed in range(5):
    for j, T in enumerate(lengths):
        up = rng.binomial(T, 0.5, size=1000)  # how many of its T tokens the new model likes better
        log_rho = up * np.log(1 + shift) + (T - up) * np.log(1 - shift)  # per token ρ is 1.1 or 0.9: mean 1
        weight = np.exp(log_rho - log_rho.max())
        effective[seed, j] = weight.sum() ** 2 / (weight**2).sum()

fig, ax = plt.subplots()
band(ax, lengths, effective, label="1000 texts", kind="range", marker="o")
ax.set(title="How many of 1000 texts still count", xlabel="tokens in a text", ylabel="effective number of texts",
       xscale="log", yscale="log", ylim=(1, 1500))
ax.set_xticks(lengths, [str(T) for T in lengths])
ax.set_yticks([1, 10, 100, 1000], ["1", "10", "100", "1000"])
ax.legend(fontsize=9, loc="lower left")
show(fig, alt="Effective number of 1000 texts against their length, when each token's ratio is 1.1 or 0.9: "
              + ", ".join(f"{T} tokens {x:.0f}" for T, x in zip(lengths, np.median(effective, 0), strict=True)))

# %% [markdown]
# (*Effective* is (Σρ)² / Σρ²: N if all weights are equal, 1 if a single one has everything.)
#
# **Why PPO needs the ratio:** it takes several gradient steps on one batch of texts, so from the second step on its
# data are somebody else's walks, played by the policy of a moment ago, and the ratio π/π_old of each token is what
# mends that; and because of the picture above it takes the ratios token by token instead of multiplying them up, and
# clips them so that they stay near 1.
#
# > **Pitfall, from real life.** In 2025, many language models were trained "on-policy" that were not. A fast
# > inference engine (vLLM) sampled the texts, the training framework computed the gradients, and with *the same
# > weights* the two gave a token slightly different probabilities. So b ≠ π, with nobody aware of it, and it cost
# > accuracy. [Yao, Liu and others](https://fengyao.notion.site/off-policy-rl) measured it, and the cure is this
# > chapter's: weigh each token by π_train/π_sampler, truncated at a constant. It went into verl
# > ([#2953](https://github.com/verl-project/verl/pull/2953)) and TRL
# > ([#3867](https://github.com/huggingface/trl/pull/3867)), whose issue
# > [#4493](https://github.com/huggingface/trl/issues/4493) then argues over *per token or per sequence*: little
# > variance and some bias, or no bias and all the variance. You have seen that trade before. So keep the log-probs
# > of whoever really acted; `Trajectory.log_probs` is for that.

# %% [markdown]
# ## Check yourself
#
# <details><summary>After the first walk, TD had changed one plank only. Which one, and why?</summary>
#
# The last one before the end. Everywhere else the step led from 0.5 to 0.5 for no reward, so δ = 0: no surprise. In
# the next walk the neighbour can learn from that plank, and so on: with n = 1, news travels one step per visit. With n
# = 4 it travels four, and with λ = 1 the whole walk learns at once.
# </details>
#
# <details><summary>V is exact. Which λ gives the best targets, and what are they worth at λ = 0 and at λ = 1?</summary>
#
# λ = 0: there is no bias to fear any more, and it has the least variance. All the δ are 0 on average, and at λ = 1 the
# target is still the noisy return. With a perfect V you need not wait for anything.
# </details>
#
# <details><summary>V is 0 everywhere and has learned nothing, and the only reward comes at the end of a text of 200
# tokens. What does TD(0) teach the first token? And λ = 0.95?</summary>
#
# TD(0): nothing, for 199 batches at the least. With λ = 0.95, the first token gets .95¹⁹⁹, about 0.00004 of the
# reward. That is why RLHF often runs with λ near 1, and GRPO, which has no V at all, is Monte Carlo pure and simple.
# </details>
#
# <details><summary>A walk was cut off after 50 steps by a step limit. What is its target for Monte Carlo, and for
# TD?</summary>
#
# Monte Carlo has none: the return is unknown, and `monte_carlo.train` refuses. TD bootstraps from V of the state where
# it was cut, because truncation is not the end. This is why `gae` takes `terminated` (no bootstrap) and `done` (no
# recursion) as two flags.
# </details>
#
# <details><summary>In importance sampling, what happens if the behaviour never does something that the target
# does?</summary>
#
# Then those episodes are missing, no weight brings them back, and the estimate is wrong however many walks you have:
# the target's value leans on places that nobody visited. (The other way round is harmless: what the target never does
# weighs 0.) A greedy sampler is a useless behaviour policy for that reason.
# </details>
#
# <details><summary>Eight episodes: A 0 B 0, then B 1 six times, then B 0. (A leads to B for nothing; B ended with 1 six
# times out of eight.) What is V(A)?</summary>
#
# Monte Carlo: A was seen once, the return was 0, so 0. TD, run over the data again and again: A leads to B, B is worth
# ¾, so ¾. Monte Carlo fits the data best, TD fits the *world* that most likely made the data. Exercise 04.5 makes this
# exact.
# </details>

# %% [markdown]
# ## You can now …
#
# … learn V from episodes with nobody's table; slide between one step and a whole episode and say what each end costs;
# recognise GAE; and judge a policy by somebody else's episodes, or refuse to. The function that this chapter added to
# your vocabulary:
#
# ```python
# n_step_returns(rewards, next_values, terminated, done, gamma, n)    # [..., T] -> [..., T]
# ```
#
# and `gae`, which is the average of all of them, less V.
#
# So far nobody *chose* anything: the coin walked, we watched. In chapter 05 the same targets teach a policy.
#
# Now the exercises: `rlcourse lab 4` opens them, or open `work/04_learning_from_experience.ipynb`.
#
# **Further reading**
#
# - R. S. Sutton and A. G. Barto, *Reinforcement Learning: An Introduction*, 2nd edition, MIT Press 2018: chapter 5
#   (Monte Carlo and importance sampling; the world of one state is Example 5.5), 6 (TD; the walk is Example 6.2), 7
#   (n steps; Figure 7.2) and 12 (λ; Figure 12.3).
# - R. S. Sutton, *Learning to Predict by the Methods of Temporal Differences*, Machine Learning 3, 1988: where TD and
#   the random walk come from.
# - M. Kearns and S. Singh, *"Bias-Variance" Error Bounds for Temporal Difference Updates*, COLT 2000: the trade of this
#   page, as theorems.
# - D. Precup, R. S. Sutton and S. Singh, *Eligibility Traces for Off-Policy Policy Evaluation*, ICML 2000: importance
#   sampling in reinforcement learning, step by step instead of episode by episode.
# - J. Schulman, P. Moritz, S. Levine, M. I. Jordan and P. Abbeel, *High-Dimensional Continuous Control Using
#   Generalized Advantage Estimation*, ICLR 2016, [arXiv:1506.02438](https://arxiv.org/abs/1506.02438): the λ-return,
#   as PPO uses it.
