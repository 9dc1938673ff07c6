"""Checks of chapter 02: averages that run, choices with dice in them, and an assistant that is not stuck."""

from rlcourse.exam import call, exercise, expect, require


@exercise("02.1", title="The running average", hints=[
    "With this pull, arm `action` has been pulled once more than `counts` says. Which of the two numbers belongs in "
    "the fraction?",
    "Copy both arrays, add 1 to `counts[action]`, and only then take `1 / counts[action]` as the step.",
    "`q, counts = q.copy(), counts.copy()`, then `counts[action] += 1`, then `alpha = 1 / counts[action] if step_size "
    "is None else step_size`, then `q[action] += alpha * (reward - q[action])`",
])
def check_update(fn):
    """Arm 1 paid 2 on average in three pulls, and now pays 10: the average of four is 4."""
    import numpy as np

    q, counts = np.array([1.0, 2.0, 7.0]), np.array([2.0, 3.0, 5.0])
    after = [2.0, 4.0, 5.0]

    def gives(value):  # the mistake that shows in the guess, whatever became of the counts
        return lambda r: np.allclose(r[0], value)

    expect(call(fn, q, counts, 1, 10.0), ([1.0, 4.0, 7.0], after), pure=True, mistakes={
        "counted-too-late": (gives([1.0, 14 / 3, 7.0]),
                             "You divided by the number of pulls *before* this one, 3. This reward is the fourth: "
                             "count first, then divide."),
        "divided-by-all-pulls": (lambda r: np.allclose(r[0][1], 2 + 8 / 11) or np.allclose(r[0][1], 2 + 8 / 10),
                                 "You divided by the pulls of all arms together. Each arm has an average of its own, "
                                 "and its own count."),
        "every-arm": (lambda r: r[0][0] != 1.0 or r[0][2] != 7.0,
                      "Other arms' guesses have moved too. Only the arm that was pulled has told you anything."),
        "last-reward-only": (gives([1.0, 10.0, 7.0]), "The guess is now the newest reward, and the three before it are "
                                                      "forgotten."),
        "sum-not-average": (gives([1.0, 12.0, 7.0]), "You added the reward to the guess. An average moves *towards* "
                                                     "the reward, by a part of the way."),
        "wrong-sign": (gives([1.0, 0.0, 7.0]), "The guess moved away from the reward. The surprise is r − Q: positive "
                                               "when the arm paid more than expected."),
        "average-of-two": (gives([1.0, 6.0, 7.0]), "You took the mean of old guess and reward. The old guess stands "
                                                   "for three pulls, so the newest one counts a quarter, not a half."),
        "not-counted": (lambda r: np.allclose(r[0], [1.0, 4.0, 7.0]) and np.allclose(r[1], counts),
                        "The guess is right, but the pull was not counted, and the next average will be wrong. Return "
                        "the new counts."),
    })
    expect(call(fn, q, counts, 2, -1.0, step_size=0.5), ([1.0, 2.0, 3.0], [2.0, 3.0, 6.0]), pure=True, mistakes={
        "step-size-ignored": (gives([1.0, 2.0, 7 - 8 / 6]), "You averaged, although a step size was given: 0.5 means "
                                                            "half way towards the reward."),
        "not-counted": (lambda r: np.allclose(r[1], counts), "The pull was not counted. UCB needs the counts whatever "
                                                             "the step size."),
    })
    fresh = call(fn, np.array([50.0, 50.0]), np.zeros(2), 0, 3.0)
    expect(fresh, ([3.0, 50.0], [1.0, 0.0]), mistakes={
        "counted-too-late": (lambda r: not np.isfinite(r[0][0]), "At the very first pull you divided by 0. Count "
                                                                 "first."),
    })


def _arms(fn, q, epsilon, seed=0):
    """What the reader's rule chooses, as whole numbers `[runs]`, if it is that at all."""
    import numpy as np

    came = call(fn, q, epsilon, np.random.default_rng(seed))
    came.text = f"{came.text.split('(')[0]}(q, {epsilon:g}, random), with q of shape {q.shape}"
    require(came.value is not None, called=came.text, returned="None", expected="one arm for each run",
            mistake="returned-nothing", why="The function ends without `return`, or returns only in some branch.")
    arms = np.asarray(came.value)
    require(arms.shape == q.shape[:1], called=came.text, returned=f"something of shape {arms.shape}",
            expected=f"one arm for each run: shape {q.shape[:1]}", mistake="wrong-shape",
            why="Runs are on the first axis and arms on the second: look for the best along axis 1, and toss one coin "
                "per run.")
    require(((arms == np.round(arms)) & (arms >= 0) & (arms < q.shape[1])).all(), called=came.text,
            returned=arms[:5], expected=f"numbers of arms, 0 to {q.shape[1] - 1}", mistake="not-arms",
            why="These are no numbers of arms. `max` gives the highest guess; which arm has it, says `argmax`.")
    return came.text, arms.astype(int)


@exercise("02.2", title="ε-greedy, for many at once", hints=[
    "Two questions, each with one answer per run: is this run's pick blind? And which arm looks best to it? `np.where("
    "blind, …, …)` puts the answers together.",
    "For the ties: `best = q == q.max(1, keepdims=True)` says which arms are best. Give each of them a random number "
    "and take the largest: `(best * random.random(q.shape)).argmax(1)`.",
    "`blind = random.random(runs) < epsilon`, `greedy = (best * random.random(q.shape)).argmax(1)`, `np.where(blind, "
    "random.integers(arms, size=runs), greedy)`",
])
def check_epsilon_greedy(fn):
    """Greedy at ε = 0, fair among ties, blind at ε = 1, and 70 % best at ε = 0.4 with four arms."""
    import numpy as np

    runs = 6000  # a share then has a standard error of at most .0065; the bounds are 5 of them
    q = np.random.default_rng(1).normal(size=(runs, 4))
    text, arms = _arms(fn, q, 0.0)
    right = (arms == q.argmax(1)).mean()
    require(right > 0.2 or right == 1, called=text, returned=f"the best arm in {right:.0%} of the runs",
            expected="always the best one", mistake="worst-arm", why="That is the arm with the *lowest* guess.")
    require(right == 1 or not 0.2 < right < 0.3, called=text, returned=f"the best arm in {right:.0%} of the runs",
            expected="always the best one: ε = 0 is greedy", mistake="epsilon-inverted",
            why="At ε = 0 you pick blindly. A pick is blind with probability ε, that is where `random.random(runs) < "
                "epsilon`.")
    require(right == 1, called=text, returned=f"the best arm in {right:.1%} of the runs", expected="always the best "
                                                                                                   "one")

    text, arms = _arms(fn, np.tile([2.0, 5.0, 5.0, 1.0, 5.0], (runs, 1)), 0.0)
    shares = np.bincount(arms, minlength=5) / runs
    require(shares.max() < 1, called=text + ", each row 2, 5, 5, 1, 5", returned=f"arm {arms[0]} in every run",
            expected="arms 1, 2 and 4, each in a third of the runs", mistake="first-tie",
            why="Of several best arms you always take the same one (`argmax` takes the first). Where all guesses "
                "begin at 0, that arm is pulled first in every run.")
    require(np.abs(shares - [0, 1 / 3, 1 / 3, 0, 1 / 3]).max() < 0.031, called=text + ", each row 2, 5, 5, 1, 5",
            returned=shares.round(2), expected="shares 0, 1/3, 1/3, 0, 1/3", mistake="unfair-ties",
            why="The best arms do not have the same chance, or another arm gets in.")

    q = np.tile([1.0, 0.0, 2.0, 0.0], (runs, 1))
    for epsilon, share in ((1.0, 0.25), (0.4, 0.7)):
        text, arms = _arms(fn, q, epsilon)
        seen, expected = (arms == 2).mean(), f"the best arm in {share:.0%} of the runs"
        blind, returned = arms[arms != 2], f"the best arm in {seen:.0%} of the runs"
        require(len(blind) and (epsilon == 1 or not 0.2 < seen < 0.3), called=text, returned=returned,
                expected=expected, mistake="one-coin",
                why="Either all runs explore or none: you tossed one coin for all of them. `random.random(runs)` "
                    "tosses one for each.")
        require(len(set(blind.tolist())) > 1, called=text, returned=f"arm {blind[0]} in every run that explores",
                expected="any arm, another one in each run", mistake="one-blind-arm",
                why="You drew one arm for all the runs. Ask for one each: `random.integers(arms, size=runs)`.")
        require(abs(seen - (1 - epsilon)) > 0.031, called=text, returned=returned, expected=expected,
                mistake="never-the-best", why="Exploring, you leave the best arm out. A blind pick is among *all* "
                                              "arms, so the best one has 1 − ε + ε/4.")
        others = np.bincount(blind, minlength=4)[[0, 1, 3]] / runs
        require(abs(seen - share) < 0.033 and np.ptp(others) < 0.033, called=text,
                returned=f"{returned}, the others in {', '.join(f'{x:.0%}' for x in others)}",
                expected=f"{expected}, the others in {(1 - share) / 3:.0%} each", mistake="unfair-dice",
                why="A blind pick has the same chance for every arm, and happens with probability ε.")

    q = np.tile([1.0, 2.0, 2.0, 0.0], (runs, 1))  # with a tie: its dice must be the generator's too
    text, arms = _arms(fn, q, 0.5)
    require((arms == _arms(fn, q, 0.5)[1]).all(), called=text + ", twice, with generators of the same seed",
            returned="two different answers", expected="the same answer", mistake="other-dice",
            why="You rolled dice of your own (`np.random.…`, or Python's `random`). Use the generator you are given, "
                "or nobody can repeat your experiment.")
    _arms(fn, np.array([[0.0, 1.0, 0.5]]), 0.0)  # one run is enough


@exercise("02.3", title="The upper confidence bound", hints=[
    "The logarithm is of t, the root is of the fraction, and c stands outside the root.",
    "What is 0 divided by 0? Where `counts` is 0, do not divide at all: put `np.inf` there.",
    "`np.where(counts > 0, q + c * np.sqrt(np.log(t) / np.maximum(counts, 1)), np.inf)`",
])
def check_ucb_scores(fn):
    """c = 3 at pull 21: arms that were pulled 1, 4 and 15 times; then arms that never were."""
    import numpy as np

    q, counts, t, c = np.array([[1.0, 2.0, 0.5]]), np.array([[1.0, 4.0, 15.0]]), 21, 3.0
    log = np.log(t)
    expect(call(fn, q, counts, t, c), q + c * np.sqrt(log / counts), pure=True, mistakes={
        "log-forgotten": (q + c * np.sqrt(t / counts), "The logarithm is missing: the bonus has √(ln t / N), not √(t "
                                                       "/ N), or curiosity would never end."),
        "other-logarithm": (lambda r: np.allclose(r, q + c * np.sqrt(np.log10(t) / counts))
                            or np.allclose(r, q + c * np.sqrt(np.log2(t) / counts)),
                            "That is another logarithm. ln is the natural one, `np.log`."),
        "root-forgotten": (q + c * log / counts, "The square root is missing. An average's error shrinks like 1/√N, so "
                                                 "the bonus does too."),
        "c-inside-the-root": (q + np.sqrt(c * log / counts), "c went under the root. It stands before it: twice as "
                                                             "much c is twice as much curiosity."),
        "log-of-the-counts": (lambda r: np.allclose(r, q + c * np.sqrt(np.log(counts) / counts))
                              or np.allclose(r, q + c * np.sqrt(np.log(counts) / t)),
                              "You took the logarithm of the arm's own count. It is ln t that grows for *all* arms, "
                              "also for those that nobody pulls."),
        "upside-down": (q + c * np.sqrt(counts / log), "The fraction is upside down: this rewards arms for being well "
                                                       "known."),
        "bonus-subtracted": (q - c * np.sqrt(log / counts), "You subtracted the bonus. That is the *lower* bound: it "
                                                            "avoids whatever it does not know."),
        "guess-forgotten": (c * np.sqrt(log / counts), "That is the bonus alone. Add the guess."),
    })
    untried = np.array([[2.0, 0.0], [0.0, 1.0]])
    scores = np.where(untried > 0, 0.5 + np.sqrt(np.log(3) / np.maximum(untried, 1)), np.inf)
    first = {
        "untried-not-first": (lambda r: np.isfinite(np.asarray(r, float)).all(),
                              "An arm that was never pulled has a finite score here. With a high enough guess "
                              "elsewhere it would never be tried: it gets `np.inf`."),
        "zero-by-zero": (lambda r: np.isnan(np.asarray(r, float)).any(),
                         "ln 1 is 0, and 0/0 is NaN, which no `argmax` handles well. Put `np.inf` where the count is "
                         "0, instead of dividing."),
    }
    expect(call(fn, np.full((2, 2), 0.5), untried, 3, 1.0), scores, mistakes=first)
    with np.errstate(all="ignore"):
        expect(call(fn, np.zeros((2, 3)), np.zeros((2, 3)), 1, 2.0), np.full((2, 3), np.inf), mistakes=first)


@exercise("02.4", title="The gradient step", hints=[
    "Two parts: how far (α times how much better than usual), and in which direction (1 for the chosen arm and 0 for "
    "the others, minus π).",
    "`np.arange(len(preferences)) == action` is True for the chosen arm. For π subtract `preferences.max()` before you "
    "take `np.exp`.",
    "`weights = np.exp(preferences - preferences.max())`, `pi = weights / weights.sum()`, `return preferences + "
    "step_size * (reward - baseline) * ((np.arange(len(pi)) == action) - pi)`",
])
def check_gradient_step(fn):
    """π = (1/8, 2/8, 5/8), arm 1 paid 2 more than usual, α = 0.2: the push is 0.4 · (−1/8, 6/8, −5/8)."""
    import numpy as np

    h = np.log([1.0, 2.0, 5.0])
    pi, chosen = np.array([1, 2, 5]) / 8, np.array([0.0, 1.0, 0.0])
    size = 0.2 * (5.0 - 3.0)
    push = size * (chosen - pi)  # −0.05, 0.3, −0.25
    expect(call(fn, h, 1, 5.0, 3.0, 0.2), h + push, pure=True, mistakes={
        "wrong-sign": (h - push, "The chosen arm paid more than usual and became *less* likely. You went down the "
                                 "gradient of what you want to climb (or forgot the minus in the loss)."),
        "no-baseline": (h + push * 5 / 2, "You pushed by the reward itself. It is r − r̄ that counts: how much better "
                                          "than usual."),
        "baseline-added": (h + push * 8 / 2, "You added the baseline. It is subtracted."),
        "only-the-chosen-arm": (h + push * chosen, "Only the chosen arm moved. The others have −π(b): what it gains, "
                                                   "they lose."),
        "pi-forgotten": (h + size * chosen, "You pushed the chosen arm by the full step, and π does not appear. The "
                                            "surer the policy is of an arm already, the less there is to push: 1 − "
                                            "π."),
        "others-pushed-too": (h + size * np.where(chosen, 1 - pi, pi), "The arms that were not chosen became likelier "
                                                                       "too. Theirs is −π(b)."),
        "chosen-forgotten": (h - size * pi, "Every arm was pushed down. The chosen one has 1 − π, not −π."),
        "not-the-softmax": (h + size * (chosen - h / h.sum()), "You divided the preferences by their sum. π is the "
                                                               "softmax: take `np.exp` first."),
        "no-step-size": (h + push / 0.2, "The step size is missing."),
        "the-push-only": (push, "That is the change. Return the new preferences: the old ones plus the change."),
        "gradient-of-pi": (h + size * pi[1] * (chosen - pi), "You climbed the gradient of π(a), not of log π(a). "
                                                             "Dividing by π(a) makes up for how often an arm is "
                                                             "chosen."),
        "probabilities-returned": (lambda r: abs(np.sum(np.asarray(r)) - 1) < 1e-9,
                                   "These add up to 1: you returned probabilities. Asked for are the preferences."),
    })
    expect(call(fn, h, 2, 0.0, 1.0, 1.0), h - (np.array([0.0, 0.0, 1.0]) - pi))  # worse than usual: less likely
    with np.errstate(all="ignore"):
        expect(call(fn, np.array([1000.0, 1000.0, 0.0]), 0, 1.0, 0.0, 1.0), [1000.5, 999.5, 0.0], mistakes={
            "overflow": (lambda r: np.isnan(np.asarray(r, float)).any(),
                         "e¹⁰⁰⁰ is infinite for a float, and ∞/∞ is NaN. Subtract the largest preference from all of "
                         "them before `np.exp`: no probability changes, and the largest exponent is 0."),
        })


QUESTIONS = {  # the chance of a thumbs-up for each reply
    "the printer": [0.30, 0.45, 0.35, 0.10, 0.60],
    "one stands out": [0.20, 0.25, 0.30, 0.20, 0.10, 0.70, 0.25, 0.30, 0.20, 0.15],
    "much alike": [0.45, 0.50, 0.40, 0.55],
}
ASSISTANTS, USERS, LIMIT = 200, 500, 90.0


@exercise("02.5", title="An assistant of your own", hints=[
    "An average of 2 thumbs says less than an average of 200. Whatever you do, a reply that was given rarely should "
    "get more of a chance than its average alone.",
    "UCB with a small bonus will do: averages plus c·√(ln t / given), with c between 0.2 and 0.5 and t = given.sum(1) "
    "+ 1. Or add five likes in five imaginary tries to every reply and be greedy. Or draw from `random.beta`.",
    "`return random.beta(1 + likes, 1 + given - likes).argmax(1)`",
])
def check_my_assistant(fn):
    """Summed regret on three questions, 200 assistants with 500 users each."""
    import numpy as np

    logs = {name: _ask(fn, liked) for name, liked in QUESTIONS.items()}
    regrets = {name: float((max(QUESTIONS[name]) - np.array(QUESTIONS[name])[log]).sum(1).mean())
               for name, log in logs.items()}
    total = sum(regrets.values())
    if total < LIMIT:
        return
    key, why = _diagnose(logs["the printer"], np.array(QUESTIONS["the printer"]))
    require(False, called=f"{getattr(fn, '__name__', 'your assistant')}, three questions with {USERS} users each",
            returned=f"a regret of {total:.0f}: " + ", ".join(f"{r:.0f} for {name}" for name, r in regrets.items()),
            expected=f"less than {LIMIT:.0f} together", mistake=key, why=why)


def _ask(fn, liked):
    """Let many assistants answer one question: the replies that they gave, `[assistants, users]`."""
    import numpy as np

    liked = np.array(liked)
    thumbs, dice = np.random.default_rng(20), np.random.default_rng(21)  # the world's, and the reader's
    likes, given = np.zeros((2, ASSISTANTS, len(liked)))
    rows, log = np.arange(ASSISTANTS), []
    text = f"{getattr(fn, '__name__', 'your assistant')}(likes, given, random), with likes of shape {likes.shape}"
    for user in range(USERS):
        returned = call(fn, likes, given, dice).value if user == 0 else fn(likes.copy(), given.copy(), dice)
        require(returned is not None, called=text, returned="None", expected="one reply for each assistant",
                mistake="returned-nothing", why="The function ends without `return`, or returns only in some branch.")
        replies = np.asarray(returned)
        require(replies.shape == (ASSISTANTS,), called=text, returned=f"something of shape {replies.shape}",
                expected=f"one reply for each assistant: shape ({ASSISTANTS},)", mistake="wrong-shape",
                why="Assistants are on the first axis and replies on the second: choose along axis 1.")
        ok = (replies == np.round(replies)) & (replies >= 0) & (replies < len(liked))
        require(ok.all(), called=text, returned=replies[:5], expected=f"numbers of replies, 0 to {len(liked) - 1}",
                mistake="not-replies", why="These are no numbers of replies. `max` gives the highest score; which "
                                           "reply has it, says `argmax`.")
        replies = replies.astype(int)
        likes[rows, replies] += thumbs.random(ASSISTANTS) < liked[replies]
        given[rows, replies] += 1
        log.append(replies)
    return np.stack(log, 1)


def _diagnose(log, liked):
    """Which of the usual assistants this is: (key, why)."""
    import numpy as np

    best, late = liked.argmax(), log[:, -200:]
    found = (late == best).mean()
    calm = (late == late[:, :1]).all(1)  # [assistants]: one reply to all of the last 200
    if (log == log[0, 0]).all():
        return "always-the-same", ("It gives the same reply to everybody. If you take `argmax` of the averages: they "
                                   "are all 0 at first, so it takes the first of them, which is never overtaken.")
    if (log[:, -200:] == log[0, -200:]).all() and found < 1:
        return "all-alike", ("All assistants give the same reply at the same moment, although each has a record of its "
                             "own. Choose along axis 1, for each row.")
    if (late == liked.argmin()).mean() > 0.5:
        return "likes-the-worst", "It settles on the reply that is liked least. Check a sign, or `argmin`."
    if calm.mean() > 0.5:
        return "stuck", ("Most assistants end up giving one reply only, and too many the wrong one: they stopped "
                         "looking too soon. The first reply that is liked must not win by being first.")
    shares = np.bincount(late.ravel(), minlength=len(liked)) / late.size
    if np.ptp(shares) < 0.05:
        return "dice", "It gives all replies alike and does not use the record at all."
    if found < 0.7:
        return "too-curious", ("After 300 users it still tries too much: of the last 200 replies only a few are the "
                               "best one. The rewards are 0 or 1 here, so a smaller bonus, or less heat, will do.")
    return "blind-exploration", ("It finds the best reply, but pays too much for looking. Blind picks cost as much at "
                                 "the end as at the beginning, and try the worst as often as the second best. Try "
                                 "what may plausibly be better, and less the more you know.")
