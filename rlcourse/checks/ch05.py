"""Checks of chapter 05: the ε-greedy choice, the targets of Q-learning and its relatives, and a walk along a cliff."""

from rlcourse.exam import CheckFailed, call, exercise, expect, require

DRAWS = 8000  # standard error of a share: at most 0.0056


@exercise("05.1", title="The choice", hints=[
    "Two questions, one after the other: is this step a blind one? And if not, which actions are tied for the best?",
    "`dice.random() < epsilon` is true with probability ε. For the rest, make a list of all actions whose value equals "
    "`max(row)`.",
    "`if dice.random() < epsilon: return dice.choice(range(len(row)))`, then `return dice.choice([a for a, value in "
    "enumerate(row) if value == max(row)])`",
])
def check_choose(fn):
    """Values 1, 3, 3, 0 at ε = 0.4: the shares are 0.1, 0.4, 0.4, 0.1."""
    _expect_shares(fn, [1.0, 3.0, 3.0, 0.0], 0.4, [0.1, 0.4, 0.4, 0.1], mistakes={
        "first-of-equals": ([0.1, 0.7, 0.1, 0.1], "Of two equally good actions you always take the first. That is what "
                            "`argmax` and `index` do, and it is how a learner comes to push against a wall for ever."),
        "last-of-equals": ([0.1, 0.1, 0.7, 0.1], "Of two equally good actions you always take the last one."),
        "epsilon-inverted": ([0.15, 0.35, 0.35, 0.15], "You pick blindly with probability 1 − ε. ε is how often the "
                             "choice is blind: `dice.random() < epsilon`."),
        "blind-avoids-the-best": ([0.2, 0.3, 0.3, 0.2], "Your blind choice leaves out the best actions. Blind means "
                                  "any action, the best included."),
        "never-blind": ([0.0, 0.5, 0.5, 0.0], "You never pick blindly: what looks bad today is never tried again."),
        "always-blind": ([0.25] * 4, "You always pick blindly and never look at the values."),
        "worst-not-best": ([0.1, 0.1, 0.1, 0.7], "You take the worst action instead of the best."),
    })
    _expect_shares(fn, [0.0, 0.0, 0.0], 0.0, [1 / 3] * 3, mistakes={
        "first-of-equals": ([1.0, 0.0, 0.0], "At the beginning all values are 0, and you always take the first action. "
                            "Ties are broken at random."),
    })
    _expect_shares(fn, [-2.0, -1.0], 0.0, [0.0, 1.0], mistakes={
        "zero-is-best": ([1.0, 0.0], "Of −2 and −1 the second is better. Begin your search for the highest with the "
                         "first value, not with 0."),
    })


def _expect_shares(fn, row, epsilon, expected, mistakes):
    """How often each action comes up in many calls with the same dice."""
    from random import Random

    dice, counts = Random(0), [0] * len(row)
    for _ in range(DRAWS):
        came = call(fn, row, epsilon, dice)
        came.text = f"choose({row}, {epsilon}, dice)"
        action = came.value
        require(action is not None, called=came.text, returned="None", expected="the number of an action",
                mistake="returned-nothing", why="The function ends without `return`, or returns only in some branch.")
        try:
            known = int(action) == action and 0 <= action < len(row)
        except (TypeError, ValueError):
            known = False
        require(known, called=came.text, returned=repr(action), expected=f"a number from 0 to {len(row) - 1}",
                mistake="no-action", why="An action is its place in the row, counted from 0, and not its value or a "
                                         "list of places.")
        counts[int(action)] += 1
    shares = [count / DRAWS for count in counts]
    if all(abs(share - right) < 0.025 for share, right in zip(shares, expected, strict=True)):
        return
    known = [(key, why) for key, (wrong, why) in mistakes.items()
             if all(abs(share - there) < 0.025 for share, there in zip(shares, wrong, strict=True))]
    key, why = known[0] if known else (None, None)
    require(False, called=f"{DRAWS} times choose({row}, {epsilon}, dice)",
            returned="shares of " + ", ".join(f"{share:.2f}" for share in shares),
            expected="about " + ", ".join(f"{share:.2f}" for share in expected), mistake=key,
            why=why or "The shares are off. The blind part gives each action ε divided by the number of actions; the "
                       "rest goes to the best, in equal parts.")


@exercise("05.2", title="One step of Q-learning", hints=[
    "First the future, then the target, then the step towards it. Which row of the table is the future in?",
    "`future = 0.0 if terminated else q[next_state].max()`. And `q.copy()` first, because arrays are changed in place.",
    "`new = q.copy()`, then `new[state, action] += alpha * (reward + gamma * future - q[state, action])`, then return "
    "it.",
])
def check_q_learning_step(fn):
    """From Q(0, 0) = 1, reward 3, to row (2, 4); α = 0.25, γ = 0.8: 1 + 0.25 · (3 + 0.8 · 4 − 1) = 2.3."""
    import numpy as np

    q = np.array([[1.0, 6.0], [2.0, 4.0], [9.0, 9.0]])

    def table(value):
        return [[value, 6.0], [2.0, 4.0], [9.0, 9.0]]

    only_number = (lambda r: np.ndim(r) == 0, "That is one number. Return the whole table, with this number in it.")
    expect(call(fn, q, 0, 0, 3.0, 1, False, 0.25, 0.8), table(2.3), pure=True, mistakes={
        "only-the-number": only_number,
        "mean-not-max": (table(2.1), "You averaged the next row. Q-learning takes its highest number: the best that "
                                     "could be done there."),
        "row-of-the-old-state": (table(2.7), "You took the maximum of the row you came *from*. The future lies in "
                                             "`q[next_state]`."),
        "whole-table": (table(3.3), "You took the maximum of the whole table. Only the row of the next state counts."),
        "argmax-not-max": (table(1.7), "`argmax` is *which* action is best, a place. The target needs what it is "
                                       "worth: `max`."),
        "no-discount": (table(2.5), "The future is not discounted: γ belongs in front of the maximum."),
        "discounted-reward": (table(2.15), "You multiplied the reward by γ too. Now is now: only the future is "
                                           "discounted."),
        "reward-forgotten": (table(1.55), "The reward is missing from the target."),
        "no-step-size": (table(6.2), "You put the whole target into the table. Move towards it, by α of the way."),
        "not-the-difference": (table(2.55), "You added α times the target. Add α times the *difference* between the "
                                            "target and what the table says."),
        "weights-swapped": (table(4.9), "You kept α of the old value and took 1 − α of the target: it is the other way "
                                        "round."),
        "away-from-the-target": (table(-0.3), "You moved away from the target. It is target minus old value."),
        "terminated-inverted": (table(1.5), "You left out the future although the episode went on. It is where "
                                            "`terminated` is True that there is none."),
    })
    expect(call(fn, q, 0, 0, 3.0, 1, True, 0.25, 0.8), table(1.5), mistakes={
        "future-after-the-end": (table(2.3), "The episode ended there, and you counted a future all the same. After "
                                             "the end nothing is worth anything."),
    })
    expect(call(fn, -q, 1, 1, -1.0, 0, False, 0.5, 1.0), [[-1.0, -6.0], [-2.0, -3.0], [-9.0, -9.0]], mistakes={
        "zero-is-best": ([[-1.0, -6.0], [-2.0, -2.5], [-9.0, -9.0]],
                         "All values are negative here, and you took 0 for the best of them."),
    })


@exercise("05.3", title="What the next state is worth to somebody who stumbles", hints=[
    "With probability 1 − ε a best action is taken. What is that worth, whichever of the best it is?",
    "And with probability ε any action, all equally likely. What is the row worth then?",
    "`(1 - epsilon) * max(row) + epsilon * sum(row) / len(row)`",
])
def check_expected_future(fn):
    """Values 1, 4, 4, 1 at ε = 0.2: 0.8 · 4 + 0.2 · 2.5 = 3.7."""
    expect(call(fn, [1.0, 4.0, 4.0, 1.0], 0.2), 3.7, pure=True, mistakes={
        "blind-avoids-the-best": (3.6, "You gave ε to the *other* actions only. A blind choice may hit the best one "
                                       "too: ε is shared by all of them."),
        "epsilon-swapped": (2.8, "ε and 1 − ε are exchanged: ε is the share of the blind choices."),
        "just-the-mean": (2.5, "That is the mean of the row: a policy that never looks. ε-greedy takes a best action "
                               "most of the time."),
        "just-the-max": (4.0, "That is Q-learning's future. The policy stumbles with probability ε, and that counts."),
        "ties-counted-twice": (6.9, "Two actions are tied, and you gave 1 − ε to each of them: your probabilities sum "
                                    "to 1.8. They share it."),
        "sum-not-mean": (5.2, "You weighted the *sum* of the row with ε. Each action gets ε divided by their number."),
        "greedy-part-missing": (0.5, "The greedy part is missing: your probabilities sum to ε."),
        "blind-part-missing": (3.2, "The blind part is missing: your probabilities sum to 1 − ε."),
    })
    expect(call(fn, [-3.0, -1.0], 0.0), -1.0)
    expect(call(fn, [-3.0, -1.0], 1.0), -2.0)


@exercise("05.4", title="Twins", hints=[
    "Who chooses, and who values? The one whose turn it is to learn chooses.",
    "`best = q1[next_state].argmax()` is a place. Look that place up in the other table.",
    "`new = q1.copy()`, `future = 0.0 if terminated else q2[next_state, q1[next_state].argmax()]`, `new[state, action] "
    "+= alpha * (reward + gamma * future - q1[state, action])`",
])
def check_double_q_step(fn):
    """The first says action 1 (7), which the second values at 3: 1 + ½ (3 + 0.8 · 3 − 1) = 3.2."""
    import numpy as np

    q1, q2 = np.array([[1.0, 0.0], [2.0, 7.0]]), np.array([[5.0, 0.0], [6.0, 3.0]])

    def table(value):
        return [[value, 0.0], [2.0, 7.0]]

    expect(call(fn, q1, q2, 0, 0, 3.0, 1, False, 0.5, 0.8), table(3.2), pure=True, mistakes={
        "no-discount": (table(3.5), "The future is not discounted: γ belongs in front of what the other table says."),
        "alpha-for-gamma": (table(2.75), "You discounted the future by α. γ discounts, α is how far to move."),
        "alpha-gamma-swapped": (table(3.8), "α and γ have changed places: α is how far to move, γ discounts."),
        "only-the-number": (lambda r: np.ndim(r) == 0, "That is one number. Return the whole first table."),
        "both-tables": (lambda r: isinstance(r, tuple), "Return the first table alone: the second one learns nothing "
                                                        "from this step."),
        "grades-itself": (table(4.8), "The first table both chose the action and valued it. That is plain Q-learning, "
                                       "with all its flattery: ask the *other* table what the action is worth."),
        "roles-swapped": (table(2.8), "The second table chose and the first one valued. The one whose turn it is to "
                                      "learn chooses."),
        "maximum-of-the-other": (table(4.4), "You took the highest number of the second table. Take its number for the "
                                             "action that the *first* one prefers; otherwise it is a maximum again."),
        "mean-of-both": (table(4.0), "You valued the action by the mean of both tables. The one that chose it is "
                                      "biased: leave it out."),
        "moved-the-other-value": (table(5.2), "You moved the *second* table's number for (state, action). It is the "
                                               "first one's turn."),
        "returned-the-other": ([[5.2, 0.0], [6.0, 3.0]], "You updated and returned the second table. It is the "
                                                          "first one's turn."),
    })
    expect(call(fn, q1, q2, 0, 0, 3.0, 1, True, 0.5, 0.8), table(2.0), mistakes={
        "future-after-the-end": (table(3.2), "The episode ended there, and you counted a future all the same."),
    })


class _Misused(Exception):  # noqa: N818  (a reader may see its name)
    """The world was stepped after its end."""


def _cliff():
    """The cliff, cut off after 1000 steps, that counts episodes and refuses to go on after the end."""
    import gymnasium as gym

    class Guarded(gym.Wrapper):
        resets, over = 0, None

        def reset(self, **kwargs):
            self.resets, self.over = self.resets + 1, None
            return super().reset(**kwargs)

        def step(self, action):
            if self.over:
                raise _Misused(self.over)
            answer = super().step(action)
            self.over = "terminated" if answer[2] else "truncated" if answer[3] else None
            return answer

        def __repr__(self):
            return "CliffWalking"

    return Guarded(gym.make("CliffWalking-v1", max_episode_steps=1000))


@exercise("05.5", title="Across the cliff", hints=[
    "Chapter 01's loop, with the choice of 05.1 in front of `step` and the update of 05.2 behind it.",
    "An episode is over when it is terminated *or* truncated; but only after `terminated` the future is 0. Do not "
    "forget `state = next_state`.",
    "The lesson's `learn` does it in 12 lines. Yours needs `max(q[next_state])` for the future, and the five things "
    "that Gymnasium's `step` returns.",
])
def check_cross_the_cliff(fn):
    """The exact return of the greedy policy is −13, on three seeds."""
    import gymnasium as gym
    import numpy as np

    from rlcore.envs.exact import epsilon_greedy, expected_return
    from rlcore.envs.tables import TabularMDP

    mdp, scores, mirrored, tables = TabularMDP.from_env(gym.make("CliffWalking-v1")), [], [], []
    for seed in range(3):
        world = _cliff()
        came = call(fn, world, episodes=400, seed=seed)
        if isinstance(came.error, _Misused):
            key, why = {
                "terminated": ("not-reset", "The world said `terminated`, and you stepped on. Each episode begins with "
                                            "a `reset`, and its loop ends when the world says so."),
                "truncated": ("truncation-ignored", "The world said `truncated` (this walk had its 1000 steps), and "
                                                    "you stepped on. An episode has two ways to end."),
            }[str(came.error)]
            raise CheckFailed(came.text, f"step() after {came.error} = True", "a reset first", key, why,
                              "It called") from came.error
        q = _as_table(came)
        require(world.resets >= 400, called=came.text, returned=f"{world.resets} resets", expected="400 episodes",
                mistake="too-few-episodes", why="You played fewer episodes than you were asked to. Is `return` "
                                                "indented too far?")
        tables.append(q)
        scores.append(expected_return(mdp, epsilon_greedy(q), step_limit=1000))
        mirrored.append(expected_return(mdp, epsilon_greedy(-q), step_limit=1000))
        if (q[:36] == q[0, 0]).all():
            break  # who learns nothing walks for long: once is enough
    if scores == [-13.0] * 3:
        return
    key, why = _diagnose(np.array(tables), scores, mirrored)
    require(False, called="following the learned tables greedily (at most 1000 steps)",
            returned="returns of " + ", ".join(f"{score:.0f}" for score in scores), expected="−13, for each seed",
            mistake=key, why=why)


def _as_table(came):
    """The table as an array of floats, if it is one."""
    import numpy as np

    value = came.value
    require(value is not None, called=came.text, returned="None", expected="a table [48, 4]",
            mistake="returned-nothing", why="The function ends without `return`, or returns only in some branch.")
    try:
        q = np.asarray(value, float)
    except (TypeError, ValueError):
        q = np.zeros(0)
    require(q.shape == (48, 4), called=came.text, returned=f"values of shape {q.shape}", expected="shape (48, 4)",
            mistake="wrong-shape", why="One row per state, one column per action.")
    require(np.isfinite(q).all(), called=came.text, returned="values that are not finite", expected="numbers",
            mistake="nan", why="The values grew without limit: is α in (0, 1], and γ at most 1?")
    return q


def _diagnose(tables, scores, mirrored):
    """Which of the usual walkers this is: (key, why)."""
    written = (tables != tables[:, :1, :1]).any(-1).sum(-1).max()  # squares of which anything was learned
    if written == 0:
        return "table-never-written", "All values are still equal: nothing is ever written into the table."
    if written == 1 or (tables[:, :36] == tables[:, :1, :1]).all():
        return "state-not-updated", ("Only the row of the start was ever written. After each step the next state "
                                     "becomes the state: `state = next_state`.")
    if mirrored == [-13.0] * len(mirrored):
        return "sign-flipped", ("Whoever does the *opposite* of what your table says takes the shortest path. Check "
                                "the sign of the reward, and max against min.")
    if any(-19.0 <= score < -13.0 for score in scores):
        return "safe-path", ("Your walkers take a detour around the cliff: that is what SARSA and its relatives learn, "
                             "whose future is what they will really do. Q-learning's future is the best that *could* "
                             "be done: `max(q[next_state])`.")
    return "lost", ("Your walkers do not arrive by the shortest path. Is the future taken from the row of the next "
                    "state, and is the table moved *towards* the target, by α of the way?")
