# %% [markdown]
# # 01 · The loop: exercises
#
# Five exercises, from three lines to a dog of your own. Each has a check in the cell below it, which says what came
# back, what should have, and what that mistake usually is. Getting one wrong is part of the plan. Stuck? In a
# terminal, `rlcourse hint 01.1` gives one hint at a time.

# %%
import gymnasium as gym
import torch

import rlcore.envs.robot_dog  # noqa: F401  (puts the dog on Gymnasium's list of worlds)
from rlcore.plotting import animate
from rlcore.policies import ScriptedPolicy
from rlcore.rollout import collect
from rlcourse import check

torch.manual_seed(0)
torch.set_num_threads(1)

# %% [markdown]
# ## 01.1 The return of an episode
#
# `rewards` is a list with the rewards of one episode, the first one first. Return what the episode was worth at its
# beginning:
#
# $$G_0 = r_0 + \gamma\, r_1 + \gamma^2 r_2 + \dots$$
#
# A treat two steps away, at γ = 0.5, is worth a quarter of a treat.

# %% exercise="01.1"
def discounted_return(rewards, gamma):
    """What an episode is worth, seen from its first step: one number."""
    ### BEGIN SOLUTION
    return sum(gamma**t * reward for t, reward in enumerate(rewards))
    ### END SOLUTION


# %%
check("01.1", discounted_return)

# %% [markdown]
# ## 01.2 The loop
#
# Write the loop. Run one episode of `world` with `world.reset(seed=seed)` and `world.step(action)`, choosing each
# action with `choose(state)`, until the world says that it is over, in either of its two ways. Return three lists
# of equal length: `states`, `actions` and `rewards`, where `states[t]` is what `choose` saw when it chose
# `actions[t]`, and `rewards[t]` is what followed.
#
# `reset` returns two things: `state, info`. `step` returns five: `state, reward, terminated, truncated, info`.

# %% exercise="01.2"
def run_episode(world, choose, seed):
    """One episode as three lists: states, actions, rewards."""
    ### BEGIN SOLUTION
    states, actions, rewards = [], [], []
    state, _ = world.reset(seed=seed)
    done = False
    while not done:
        action = choose(state)
        states.append(state)
        actions.append(action)
        state, reward, terminated, truncated, _ = world.step(action)
        rewards.append(reward)
        done = terminated or truncated
    return states, actions, rewards
    ### END SOLUTION


# %%
check("01.2", run_episode)

# %% [markdown]
# Your loop, with the dog in it. The world below stops watching after 12 steps: which of the two flags ended this
# one?

# %% needs="01.2"
short_world = gym.make("RobotDog-v0", max_episode_steps=12)
states, actions, rewards = run_episode(short_world, lambda state: 2, seed=0)
print(len(rewards), "steps to the right, return", round(sum(rewards), 3))

# %% [markdown]
# ## 01.3 The mean return of a batch
#
# `rewards` is a tensor `[B, T]`: B episodes of different lengths, right-padded to T steps. `mask` `[B, T]` is True
# where a step really happened. Return the mean over the *episodes* of their (undiscounted) returns, as one number.
#
# What stands in the padding is anybody's guess. It must not count.

# %% exercise="01.3"
def mean_return(rewards, mask):
    """The average over episodes of the sum over their steps."""
    ### BEGIN SOLUTION
    return torch.where(mask, rewards, 0.0).sum(-1).mean()
    ### END SOLUTION


# %%
check("01.3", mean_return)

# %% [markdown]
# ## 01.4 The return of every step
#
# The function that you will use in every chapter from here on, for one row. `rewards` `[T]` and `done` `[T]` may
# hold several episodes, end to end; `done[t]` is True where step t was the last of its episode. Return `[T]`
# values, the discounted return *from each step on*:
#
# $$G_t = r_t + \gamma\, G_{t+1}, \qquad \text{but } G_t = r_t \text{ where } \text{done}_t$$
#
# The record may also stop in the middle of an episode: then nothing is known of what follows the last step, and it
# counts as 0. One walk through the row is enough, if you begin at the right end. Leave `rewards` as it is: whoever
# called you still needs it.

# %% exercise="01.4"
def returns_of_every_step(rewards, done, gamma):
    """What each step's future is worth, `[T]`."""
    ### BEGIN SOLUTION
    returns = torch.zeros_like(rewards)
    future = 0.0
    for t in reversed(range(len(rewards))):
        if done[t]:
            future = 0.0  # what comes after is another episode
        future = rewards[t] + gamma * future
        returns[t] = future
    return returns
    ### END SOLUTION


# %%
check("01.4", returns_of_every_step)

# %% [markdown]
# ## 01.5 Beat the chaser
#
# Write a rule for the dog. It gets the states of many dogs at once, `[B, 6]`: the dog's place and speed, the disc's
# place, its height, its speed along the field and its speed upwards (metres, and metres per second; right and up
# are positive). It returns one action per dog, `[B]`: 0 to run left, 1 to lie still, 2 to run right.
#
# It passes when it catches at least 80 % on each of five sets of 400 throws. The dog that we bred in the lesson
# would pass. The chaser and the sleeper would not, and neither would a dog that always waits at the best place of
# the field.
#
# Where will the disc come *down*? Aim there, and not at where it first comes within reach: a dog that is a little
# too far ahead is met by the disc, and one that is behind never catches up. You need not be a physicist: a disc
# does not fall like a stone, but a rough guess that is made again at every step corrects itself.

# %% exercise="01.5"
def my_dog(states):
    """The actions of many dogs, `[B]`: 0 left, 1 lie still, 2 right."""
    ### BEGIN SOLUTION
    dog, disc, height, along, up = (states[:, i] for i in (0, 2, 3, 4, 5))  # [B] each
    fall = 6.0  # m/s²: gravity, less the lift; a guess
    seconds = (up + torch.sqrt(up**2 + 2 * fall * height)) / fall  # until it is down
    ahead = disc + along * seconds - dog  # where it will be, seen from the dog
    return 1 + (ahead > 0.5).long() - (ahead < -0.5).long()
    ### END SOLUTION


# %%
check("01.5", my_dog)

# %% needs="01.5"
film = animate(gym.make("RobotDog-v0", render_mode="rgb_array"), ScriptedPolicy(my_dog, num_actions=3), seed=3,
               alt="My own dog")
film

# %% [markdown]
# Catching is not all that counts: running costs. Compare your dog's mean return with that of the dog that we bred in
# the lesson. Can you earn more, by running less?

# %% needs="01.5"
fields = gym.make_vec("RobotDog-v0", num_envs=500)
rides = collect(ScriptedPolicy(my_dog, num_actions=3), fields, seed=0)
print(f"caught {(rides.rewards > 0.5).any(-1).float().mean():.0%}, mean return {rides.rewards.sum(-1).mean():+.2f}")
