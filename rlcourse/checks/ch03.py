"""Checks of chapter 03: one look ahead, advantages, the two algorithms, and the value of a text."""

from rlcourse.exam import call, exercise, expect, require


@exercise("03.1", title="Look one step ahead", hints=[
    "Each outcome is worth its reward plus what comes after it. How much does an outcome count that happens with "
    "probability 1/4?",
    "The probability multiplies the *whole* bracket, reward and future. Where `terminated` is True, the future is 0, "
    "but the reward counts.",
    "`sum(p * (r + gamma * (0 if terminated else V[s])) for p, s, r, terminated in outcomes)`",
])
def check_action_value(fn):
    """0.5·(3 + 0.5·16) + 0.25·6 + 0.25·(−2 + 0.5·8) = 5.5 + 1.5 + 0.5 = 7.5."""
    outcomes = [(0.5, 1, 3.0, False), (0.25, 2, 6.0, True), (0.25, 0, -2.0, False)]
    values = [8.0, 16.0, 32.0]
    expect(call(fn, outcomes, values, 0.5), 7.5, pure=True, mistakes={
        "terminated-ignored": (11.5, "You counted a future after the end. Where `terminated` is True there is none, "
                                     "whatever the table of values says about that state."),
        "end-skipped": (6.0, "You left out the outcome that terminates. It has no *future*, but it pays its reward."),
        "flag-inverted": (6.5, "You looked ahead only where the episode ends, and not where it goes on: turn the flag "
                               "round."),
        "no-discount": (12.5, "You added V of the next state in full. It lies one step ahead, so it counts γ times."),
        "reward-discounted": (6.25, "You discounted the reward too. It is paid now; only what follows counts γ times."),
        "reward-not-weighted": (12.0, "Only the future is multiplied by its probability in your sum. The reward of an "
                                      "outcome also comes only if the outcome does."),
        "no-probabilities": (19.0, "You added the outcomes up as if all of them happened. Each counts as often as it "
                                   "does: multiply by its probability."),
        "no-future": (2.5, "You averaged the rewards, which is what the action pays. It also leads somewhere: add γ "
                           "times the value of the next state."),
        "not-summed": (0.5, "That is the last outcome alone: your total is overwritten in the loop. Add to it."),
    })
    expect(call(fn, [(1.0, 1, -1.0, False)], values, 0.9), 13.4)  # a certain move: −1 + 0.9·16
    expect(call(fn, [(1.0, 2, 1.0, True)], values, 1.0), 1.0)


def _pair(returned):
    """(V, advantage) as arrays; what came back, if it is not that."""
    import numpy as np

    try:
        value, advantage = returned
        return np.asarray(value, float), np.asarray(advantage, float)
    except (TypeError, ValueError):
        return returned


@exercise("03.2", title="Value and advantage", hints=[
    "The value of a state is an average over its actions. Which axis are the actions on, and what are the weights?",
    "`V = (policy * Q).sum(axis=1)` has shape [S]. In `Q - V` NumPy lines up the *last* axes, and that of Q is the "
    "actions.",
    "`V[:, None]` has shape [S, 1] and stands beside each row: `return V, Q - V[:, None]`",
])
def check_value_and_advantage(fn):
    """Two states, two actions: a square, on which a wrong axis raises no error."""
    import numpy as np

    policy, q = np.array([[0.5, 0.5], [0.25, 0.75]]), np.array([[2.0, 6.0], [8.0, 4.0]])
    came = call(fn, policy, q)
    came.returned = _pair(came.returned) if came.error is None else came.returned
    right = np.array([4.0, 5.0]), np.array([[-2.0, 2.0], [3.0, -1.0]])

    def advantage_is(rows):
        return lambda r: np.shape(r[1]) == (2, 2) and np.allclose(r[1], rows)

    expect(came, right, pure=True, mistakes={
        "wrong-broadcast": (advantage_is([[-2.0, 1.0], [4.0, -1.0]]),
                            "You wrote `Q - V`, and NumPy subtracted V[0] from the first *column*. It lines up last "
                            "axes, and with as many actions as states it cannot notice. Give V an axis: `V[:, None]`."),
        "max-not-mean": (advantage_is([[-4.0, 0.0], [0.0, -4.0]]),
                         "You took the best action's value for V. That is V of the best policy; this one also does "
                         "other things, so average with its probabilities."),
        "policy-ignored": (advantage_is([[-2.0, 2.0], [2.0, -2.0]]),
                           "You averaged over the actions as if each were as likely. Weigh them by the policy."),
        "sign": (advantage_is([[2.0, -2.0], [-3.0, 1.0]]),
                 "The sign is turned round: an action that is better than average must have a *positive* advantage, "
                 "Q − V."),
        "wrong-axis": (lambda r: np.allclose(r[0], [3.0, 6.0]),
                       "You summed over the states. A state's value is a sum over its actions, the last axis."),
        "advantage-weighted": (advantage_is([[-1.0, 1.0], [0.75, -0.75]]),
                               "You multiplied the advantage by the policy. How good an action is does not depend on "
                               "how often it is taken."),
        "one-thing": (lambda r: np.shape(r[0]) == (2,) and np.shape(r[1]) == (2,),
                      "You returned one array. Two are wanted, V and the advantage: `return V, ...`."),
        "turned-round": (lambda r: np.shape(r[0]) == (2, 2) and np.shape(r[1]) == (2,),
                         "You returned the advantage first. V comes first, then the advantage."),
    })
    random = np.random.default_rng(0)
    policy, q = random.dirichlet(np.ones(3), 5), random.normal(size=(5, 3))
    came = call(fn, policy, q)
    came.returned = _pair(came.returned) if came.error is None else came.returned
    value = (policy * q).sum(1)
    expect(came, (value, q - value[:, None]))


_CHAIN = {  # 0 → 1 → end; what one does instead leads back, and pays less than nothing
    0: {0: [(1.0, 1, -1.0, False)], 1: [(0.5, 0, -2.0, False), (0.5, 1, -4.0, False)]},
    1: {0: [(1.0, 2, -1.0, True)], 1: [(1.0, 0, 3.0, False)]},
    2: {0: [(1.0, 1, 50.0, False)], 1: [(1.0, 1, 50.0, False)]},  # nobody gets here without the episode being over
}


def _sweeps(table, gamma, number, mix, cut=True):
    """The values after so many sweeps of a variant: `mix` makes one number of a state's action values."""
    values = [0.0] * len(table)
    for _ in range(number):
        values = [mix(s, [sum(p * (r + gamma * (0.0 if over and cut else values[after]))
                              for p, after, r, over in table[s][a]) for a in table[s]]) for s in range(len(table))]
    return values


_NO_ABS = ("You stopped too soon: in that sweep no value rose, and a negative change is below any `tol`. Compare the "
           "*absolute* change.")


def _near(values, states=(0, 1)):
    """A test for these values in the states that can be reached."""
    import numpy as np

    def same(returned):
        returned = np.asarray(returned, float)
        return returned.shape == (len(values),) and np.allclose(returned[list(states)], np.array(values)[list(states)],
                                                                atol=1e-4)
    return same


def _numbers(came):
    """Look at what can be reached only: state 2 is over, and what stands there does not matter."""
    import numpy as np

    if came.error is None:
        try:
            values = np.array(came.returned, float)
        except (TypeError, ValueError):
            return came
        if values.shape == (3,):
            values[2] = 0.0
        came.returned = values
    return came


@exercise("03.3", title="Policy evaluation", hints=[
    "One sweep: for every state, the average over actions of `action_value(P[s][a], V, gamma)`, weighed by "
    "`policy[s][a]`. Then compare the new values with the old ones.",
    "The largest change is `np.abs(V_new - V).max()`. Without the absolute value, values that fall look as if they had "
    "arrived.",
    "`V_new = np.array([sum(policy[s][a] * action_value(P[s][a], V, gamma) for a in P[s]) for s in range(len(P))])`; "
    "return it if the change is at most tol, else `V = V_new` and again",
])
def check_evaluate(fn):
    """Three states by hand, then the book's Figure 4.1."""
    import numpy as np

    policy, gamma = [[0.25, 0.75], [0.5, 0.5], [0.5, 0.5]], 0.9

    def mean(s, q):
        return sum(w * x for w, x in zip(policy[s], q, strict=True))

    right = _sweeps(_CHAIN, gamma, 2000, mean)
    right[2] = 0.0
    falling = next(n for n in range(1, 100) if max(
        b - a for a, b in zip(_sweeps(_CHAIN, gamma, n - 1, mean), _sweeps(_CHAIN, gamma, n, mean), strict=True)) <= 0)
    expect(_numbers(call(fn, _CHAIN, policy, gamma)), right, rtol=1e-4, atol=1e-4, mistakes={
        "one-sweep": (_near(_sweeps(_CHAIN, gamma, 1, mean)),
                      "That is one sweep. The neighbours' values have changed since: sweep until nothing moves. (Does "
                      "the `return` stand in the loop?)"),
        "terminated-ignored": (_near(_sweeps(_CHAIN, gamma, 2000, mean, cut=False)),
                               "You counted a future after the end. Where `terminated` is True there is none."),
        "no-copy": (_near([-2.5, -0.125, 0.0]),
                    "That is one sweep that overwrote its own old values, and then found no difference to itself. "
                    "`V_new = V` is a second name, not a copy: begin each sweep with new zeros, or with `V.copy()`."),
        "max-not-mean": (_near(_sweeps(_CHAIN, gamma, 2000, lambda s, q: max(q))),
                         "Those are the values of the *best* policy. Average over the actions with the probabilities "
                         "of this one."),
        "policy-ignored": (_near(_sweeps(_CHAIN, gamma, 2000, lambda s, q: sum(q) / len(q))),
                           "You averaged as if each action were as likely. Weigh them by the policy."),
        "policy-summed": (lambda r: np.shape(r) == (3,) and np.abs(np.asarray(r, float)).max() > 1e3,
                          "The values grow without limit: the weights of your average do not sum to 1."),
        "no-discount": (_near(_sweeps(_CHAIN, 1.0, 5000, mean)), "You left γ out."),
        "no-absolute-value": (_near(_sweeps(_CHAIN, gamma, falling, mean)), _NO_ABS),
        "stopped-too-soon": (lambda r: np.shape(r) == (3,) and any(
            _near(_sweeps(_CHAIN, gamma, n, mean))(r) for n in range(2, 30)),
                             "You stopped while the values were still moving. Compare the new values with the old "
                             "ones, largest *absolute* change, after each sweep."),
    })
    falls = {0: {0: [(1.0, 1, -1.0, False)]}, 1: {0: [(1.0, 0, -1.0, False)]}}
    expect(call(fn, falls, [[1.0], [1.0]], 0.5), [-2.0, -2.0], rtol=1e-4, mistakes={
        "no-absolute-value": (lambda r: np.allclose(r, -1.0), _NO_ABS),
    })
    flat = {0: {0: [(1.0, 1, 1.0, False)]}, 1: {0: [(1.0, 0, -1.0, False)]}}
    expect(call(fn, flat, [[1.0], [1.0]], 0.5), [2 / 3, -2 / 3], rtol=1e-4, mistakes={
        "changes-cancel": (lambda r: np.allclose(r, [1.0, -1.0]),
                           "One value rose by as much as the other fell, and in your sum the two changes cancel. Take "
                           "the largest absolute change, or the sum of the absolute ones."),
    })
    from rlcore.envs.grid_worlds import corner_grid

    came = call(fn, corner_grid().table(), np.full((16, 4), 0.25), 1.0)
    expect(came, [0, -14, -20, -22, -14, -18, -20, -20, -20, -20, -18, -14, -22, -20, -14, 0], rtol=1e-3)


_CHOICE = {  # quick money, or a walk that ends better
    0: {0: [(1.0, 3, 2.0, True)], 1: [(1.0, 1, -1.0, False)], 2: [(0.5, 1, 0.0, False), (0.5, 0, -1.0, False)]},
    1: {0: [(1.0, 3, 4.0, True)], 1: [(1.0, 2, 0.0, False)], 2: [(1.0, 1, 0.0, False)]},
    2: {0: [(1.0, 3, 8.0, True)], 1: [(1.0, 0, 1.0, False)], 2: [(1.0, 2, 0.0, False)]},
    3: {a: [(1.0, 3, 0.0, True)] for a in range(3)},
}


@exercise("03.4", title="Value iteration", hints=[
    "It is 03.3 with one word changed. What do you do instead of averaging over the actions?",
    "Keep all the action values of a sweep as an array Q `[S, A]`: its maximum over the last axis is the new V, and "
    "where the maximum stands is the best action.",
    "`Q = np.array([[action_value(P[s][a], V, gamma) for a in P[s]] for s in range(len(P))])`, then `Q.max(axis=1)` "
    "and `Q.argmax(axis=1)`",
])
def check_solve(fn):
    """Four states by hand (V* = 4.12, 6.4, 8, 0 at γ = 0.8), a walk that loses, and slippery ice."""
    import numpy as np

    def first_two(cut):
        return _sweeps(_CHAIN, 0.9, 2000, lambda s, q: max(q), cut=cut)[:2]

    gamma = 0.8
    came = call(fn, _CHOICE, gamma)
    came.returned = _pair(came.returned) if came.error is None else came.returned

    def shaped(returned):
        return isinstance(returned, tuple) and [np.shape(x) for x in returned] == [(4,), (4,)]

    if came.error is None and came.returned is not None:
        require(shaped(came.returned), called=came.text, returned=repr(came.returned),
                expected="two things, V* and a best action for each state, four numbers each",
                mistake="not-a-pair", why="Return both: `return V, actions`.")
    best = _sweeps(_CHOICE, gamma, 500, lambda s, q: max(q))
    value = came.value[0]
    expect(value, best, rtol=1e-4, called=f"the values of {came.text}", mistakes={
        "mean-not-max": (_near(_sweeps(_CHOICE, gamma, 500, lambda s, q: sum(q) / 3), range(4)),
                         "You averaged over the actions: that is somebody who rolls dice. Take the best."),
        "one-sweep": (_near(_sweeps(_CHOICE, gamma, 1, lambda s, q: max(q)), range(4)),
                      "That is one sweep: nobody looks further than the next reward. Sweep until nothing moves."),
        "no-discount": (_near(_sweeps(_CHOICE, 1.0, 500, lambda s, q: max(q)), range(4)), "You left γ out."),
        "worst-not-best": (_near(_sweeps(_CHOICE, gamma, 500, lambda s, q: min(q)), range(4)),
                           "Those are the values of the worst policy. Is there a `min`, or a sign turned round?"),
    })
    expect([float(v) for v in call(fn, _CHAIN, 0.9).value[0][:2]], first_two(True), rtol=1e-4,
           called="V* of two states before an end", mistakes={
               "terminated-ignored": (first_two(False), "You counted a future after the end. Where `terminated` is "
                                                        "True there is none, whatever V says of that state."),
           })
    q = [[sum(p * (r + gamma * (0.0 if over else best[after])) for p, after, r, over in _CHOICE[s][a])
          for a in range(3)] for s in range(4)]
    actions = [int(a) for a in came.value[1]]
    pay = [int(np.argmax([sum(p * r for p, _, r, _ in _CHOICE[s][a]) for a in range(3)])) for s in range(3)]
    lead = [int(np.argmax([sum(p * best[after] for p, after, _, _ in _CHOICE[s][a]) for a in range(3)]))
            for s in range(3)]
    key = why = None
    if actions[:3] == pay:
        key, why = "greedy-for-reward", ("These actions have the largest *reward*. Take those with the largest action "
                                         "value: reward and future.")
    elif actions[:3] == lead:
        key, why = "greedy-for-place", ("These actions lead to the best *place*, but the reward on the way, and "
                                        "whether the episode ends there, count as well: compare action values.")
    elif actions[:3] == [int(np.argmin(q[s])) for s in range(3)]:
        key, why = "worst-action", "These are the worst actions. Is it `argmin`?"
    require(all(0 <= a < 3 and q[s][a] >= max(q[s]) - 1e-6 for s, a in enumerate(actions)),
            called=f"the actions of {came.text}", returned=repr(actions),
            expected=f"a best action in each state, such as {[int(np.argmax(row)) for row in q]}", mistake=key,
            why=why or "The values are right and the actions are not. Take, in each state, the action whose value is "
                       "the largest.")
    falls = {0: {0: [(1.0, 1, -1.0, False)]}, 1: {0: [(1.0, 0, -1.0, False)]}}
    expect(call(fn, falls, 0.5).value[0], [-2.0, -2.0], rtol=1e-4, called="V* where every step costs 1 for ever",
           mistakes={"no-absolute-value": (lambda r: np.allclose(r, -1.0), _NO_ABS)})
    import gymnasium as gym

    lake = call(fn, gym.make("FrozenLake-v1").unwrapped.P, 1.0)
    expect(float(lake.value[0][0]), 14 / 17, rtol=1e-4, called="V* of FrozenLake's start at γ = 1")


@exercise("03.5", title="What an unfinished sentence is worth", hints=[
    "Two cases. If the text is over, you know what it pays. If it is not, each next token leads to a longer text, and "
    "the function you are writing knows what that is worth.",
    "The value is the average over `next_tokens(text).items()` of the value of `(*text, token)`, weighed by the "
    "probability. Check for the end first, or it never comes.",
    "`if len(text) == max_length or text[-1:] == (\".\",): return reward(text)`, else `return sum(p * "
    "text_value((*text, token), next_tokens, reward, max_length) for token, p in next_tokens(text).items())`",
])
def check_text_value(fn):
    """Two words and a stop, at most three tokens: 13 sentences, each with a reward of its own."""
    from rlcourse.exam import CheckFailed

    odds = {(): {"yes": 0.5, "no": 0.25, ".": 0.25}}

    def next_tokens(text):
        return odds.get(text, {"yes": 0.125, "no": 0.375, ".": 0.5})

    def reward(text):
        return len(text) + 2.0 * text.count("yes") - 4.0 * text.count("no") + 8.0 * (text[-1:] == (".",))

    def walk(text, mix=None, over=lambda t: len(t) == 3 or t[-1:] == (".",), pay=reward, along=0.0):
        if over(text) or len(text) > 6:
            return pay(text)
        branches = [(p, walk((*text, token), mix, over, pay, along)) for token, p in next_tokens(text).items()]
        value = mix(branches) if mix else sum(p * v for p, v in branches)
        return value + along * reward(text)

    def best(branches):
        return max(v for _, v in branches)

    def even(branches):
        return sum(v for _, v in branches) / len(branches)

    came = call(fn, (), next_tokens, reward, 3)
    if isinstance(came.error, RecursionError):
        raise CheckFailed(came.text, "RecursionError: it never came to an end", walk(()), "no-end",
                          "Your function calls itself for ever. A sentence is over when its last token is \".\", *or* "
                          "when it has `max_length` tokens: look for both before anything else.",
                          "It raised") from came.error
    expect(came, walk(()), rtol=1e-6, mistakes={
        "best-not-average": (walk((), best),
                             "You took the best token at each step: that is V*, of the best writer. This writer draws "
                             "its tokens, so average with the probabilities."),
        "probabilities-ignored": (walk((), even),
                                  "You averaged over the tokens as if each were as likely. Weigh them by their "
                                  "probabilities."),
        "not-weighted": (walk((), lambda branches: sum(v for _, v in branches)),
                         "You added up the values of all continuations. Each happens with its probability only."),
        "stop-ignored": (walk((), over=lambda t: len(t) == 3),
                         "Your writer goes on after the full stop. A sentence is over at \".\", however short."),
        "one-token-more": (walk((), over=lambda t: len(t) > 3 or t[-1:] == (".",)),
                           "Your sentences may have one token too many: at `max_length` it ends."),
        "paid-on-the-way": (walk((), along=1.0), "You paid unfinished texts too. Only a sentence that is over pays."),
        "last-token-lost": (walk((), pay=lambda t: reward(t[:-1])),
                            "You asked for the reward without the last token. The whole sentence is paid, its end "
                            "included."),
        "unfinished-unpaid": (walk((), pay=lambda t: reward(t) if t[-1] == "." else 0.0),
                              "You gave 0 to sentences that ran out of room. They are over too: ask `reward`."),
    })
    expect(call(fn, ("no", "yes"), next_tokens, reward, 3), walk(("no", "yes")))
    expect(call(fn, ("yes", "."), next_tokens, reward, 3), reward(("yes", ".")), mistakes={
        "over-is-over": (lambda r: True, "This text is over already: it is worth its reward."),
    })
