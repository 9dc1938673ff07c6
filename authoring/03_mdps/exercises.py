# %% [markdown]
# # 03 · Markov decision processes: exercises
#
# Five exercises: one look ahead, what it is good for, the two algorithms on Gymnasium's own tables, and what an
# unfinished sentence is worth. Each has a check below it, which says what came back, what should have, and what that
# mistake usually is. Stuck? `rlcourse hint 03.1` gives one hint at a time.

# %%
import gymnasium as gym
import matplotlib.pyplot as plt
import numpy as np
import torch

from rlcore.envs.grid_worlds import CornerGridEnv
from rlcore.envs.table_plots import draw_values
from rlcore.plotting import house_style, show
from rlcourse import check

torch.set_num_threads(1)
house_style()

# %% [markdown]
# ## 03.1 Look one step ahead
#
# `outcomes` is what Gymnasium's table holds for one state and one action, `P[s][a]`: a list of
# `(probability, next_state, reward, terminated)`. `V` is a list with the value of every state. Return the value of
# this action,
#
# $$Q(s,a) = \sum_{\text{outcomes}} p\,\big(r + \gamma\, V(s')\big)$$
#
# but an outcome that *terminates* has no future: whatever stands in `V` for its next state does not count.

# %% exercise="03.1"
def action_value(outcomes, V, gamma):
    """What an action is worth, if the next state is worth `V[next_state]`: one number."""
    ### BEGIN SOLUTION
    total = 0.0
    for probability, next_state, reward, terminated in outcomes:
        future = 0.0 if terminated else V[next_state]
        total += probability * (reward + gamma * future)
    return total
    ### END SOLUTION


# %%
check("03.1", action_value)

# %% [markdown]
# ## 03.2 Value and advantage
#
# Two arrays `[S, A]`: `policy[s, a]` is the probability of action a in state s, and `Q[s, a]` its value. Return two
# arrays: the value of every state under this policy, `V` `[S]`, and the advantage of every action, `[S, A]`.
#
# Mind the shapes. Here, NumPy can be wrong without saying a word.

# %% exercise="03.2"
def value_and_advantage(policy, Q):
    """V `[S]` and the advantage `[S, A]`."""
    ### BEGIN SOLUTION
    V = (policy * Q).sum(axis=1)
    return V, Q - V[:, None]
    ### END SOLUTION


# %%
check("03.2", value_and_advantage)

# %% [markdown]
# ## 03.3 Policy evaluation
#
# `P` is a whole table, `P[s][a]` as in 03.1, for states 0 to S − 1; `policy[s][a]` are probabilities. Sweep until no
# value changes by more than `tol` in a sweep, and return the values, a list or an array `[S]`. You may use your
# `action_value`. Begin with zeros.
#
# Think about the line that decides when to stop: values can rise, and they can fall.

# %% exercise="03.3" needs="03.1"
def evaluate(P, policy, gamma, tol=1e-10):
    """V of a policy, for every state."""
    ### BEGIN SOLUTION
    V = np.zeros(len(P))
    while True:
        V_new = np.array([sum(policy[s][a] * action_value(P[s][a], V, gamma) for a in P[s]) for s in range(len(P))])
        if np.abs(V_new - V).max() <= tol:
            return V_new
        V = V_new
    ### END SOLUTION


# %%
check("03.3", evaluate)

# %% [markdown]
# Your values on the grid of the book's Figure 4.1: every step costs 1, and two corners are exits. How long does
# somebody who rolls dice need, from each square?

# %% needs="03.3"
corners = CornerGridEnv()
V = np.array(evaluate(corners.P, np.full((16, 4), 0.25), gamma=1.0))
fig, ax = plt.subplots(figsize=(3.6, 3.6))
draw_values(ax, corners, V, digits=0)
ax.set_title("Value of every square (dice, γ = 1)", fontsize=11)
show(fig, alt=f"The 4 × 4 grid with your values; the square right of the top left exit has {V[1]:.0f}, the far corner "
              f"{V[3]:.0f}.")

# %% [markdown]
# ## 03.4 Value iteration
#
# The same, for the best policy there is. Return V\* and, for every state, one best action: a list or array `[S]` of
# action numbers.

# %% exercise="03.4" needs="03.1"
def solve(P, gamma, tol=1e-10):
    """V* and a best action for every state."""
    ### BEGIN SOLUTION
    V = np.zeros(len(P))
    while True:
        Q = np.array([[action_value(P[s][a], V, gamma) for a in P[s]] for s in range(len(P))])
        if np.abs(Q.max(axis=1) - V).max() <= tol:
            return Q.max(axis=1), Q.argmax(axis=1)
        V = Q.max(axis=1)
    ### END SOLUTION


# %%
check("03.4", solve)

# %% [markdown]
# Slippery ice, solved by you, from Gymnasium's own table. With no limit on the steps, the best one can do is 14/17.

# %% needs="03.4"
V, actions = solve(gym.make("FrozenLake-v1").unwrapped.P, gamma=1.0)
print(f"FrozenLake: {V[0]:.4f} from the start; known: {14 / 17:.4f}")
print(np.array(list("←↓→↑"))[np.array(actions)].reshape(4, 4))

# %% [markdown]
# ## 03.5 What is an unfinished sentence worth?
#
# A text is a tuple of tokens, such as `("not", "good")`. A sentence is over when its last token is `"."`, or when it
# has `max_length` tokens; then it pays `reward(text)`. Until then the writer draws the next token:
# `next_tokens(text)` is a dictionary from each token to its probability, like the output of a language model.
#
# Return the expected reward of a text that is not over, or the reward of one that is. There is no table this time:
# a text knows what can follow it. What does Bellman's equation say if the transition is certain, γ = 1, and only
# the end pays?

# %% exercise="03.5"
def text_value(text, next_tokens, reward, max_length):
    """The expected reward of the sentence that `text` will become: one number."""
    ### BEGIN SOLUTION
    if len(text) == max_length or (text and text[-1] == "."):
        return reward(text)
    return sum(probability * text_value((*text, token), next_tokens, reward, max_length)
               for token, probability in next_tokens(text).items())
    ### END SOLUTION


# %%
check("03.5", text_value)

# %% [markdown]
# Now you can ask what each token of a sentence did. This writer is more fluent than the one in the lesson: it never
# says the same word twice in a row.

# %% needs="03.5"
def fluent(text):
    """Any token but the last one, each as likely."""
    choices = [token for token in ("good", "not", ".") if text[-1:] != (token,)]
    return dict.fromkeys(choices, 1 / len(choices))


def vet(text):
    """The dog is fine: say so."""
    return {("good", "."): 1.0, ("not", "good", "."): -1.0}.get(text, 0.0)


sentence = ("not", "good", ".")
values = [text_value(sentence[:t], fluent, vet, max_length=4) for t in range(4)]
for token, before, after in zip(sentence, values, values[1:]):
    print(f"{token:5} advantage {after - before:+.3f}")
print(f"sum   {values[-1] - values[0]:+.3f} = reward {values[-1]:+.0f} − value of the empty text {values[0]:.3f}")
