"""Checks of chapter 04: Monte Carlo, TD, the λ-return, importance sampling, and what data mean."""

from rlcourse.exam import call, exercise, expect


@exercise("04.1", title="The average return", hints=[
    "Two things to count per state: the sum of the returns that followed its visits, and the number of visits.",
    "Walk through each episode backwards with `G = r + gamma * G`, and start each episode with G = 0.",
    "`for s, r in zip(reversed(states), reversed(rewards)): G = r + gamma * G; total[s] += G; visits[s] += 1`, then "
    "`total / visits` where there were visits",
])
def check_average_returns(fn):
    """States 0 1 0 with rewards 1 2 4, then state 0 with reward 9, γ = .5: returns 3, 4, 4 and 9."""
    episodes = [([0, 1, 0], [1.0, 2.0, 4.0]), ([0], [9.0])]
    expect(call(fn, episodes, 2, 0.5), [16 / 3, 4.0], pure=True, mistakes={
        "first-visit-only": ([6.0, 4.0], "You counted state 0 once per episode. That is first-visit Monte Carlo, a "
                                         "good method too, but asked for is the mean over *all* visits."),
        "divided-by-episodes": ([8.0, 2.0], "You divided by the number of episodes. Each state has its own number of "
                                            "visits, and that is what its sum wants to be divided by."),
        "sum-not-mean": ([16.0, 4.0], "You added the returns up. Divide by the number of visits."),
        "return-of-the-start": ([5.0, 3.0], "Every state got the return of the whole episode. What came *before* a "
                                            "visit is not to its credit: the return is counted from the visit on."),
        "no-discount": ([20 / 3, 6.0], "The averages are right, but γ is missing."),
        "rewards-averaged": ([14 / 3, 2.0], "You averaged the next reward only. A value is the mean of the *return*: "
                                            "all that follows counts."),
        "own-reward-missing": ([4 / 3, 4.0], "Each visit got the return of the step after it. `rewards[t]` follows "
                                             "`states[t]`, and is the first term of its return."),
        "leaks-into-the-next": ([(4.125 + 8.5 + 9.0) / 3, 6.25],
                                "The first episode earned rewards of the second one. Each episode begins with G = 0."),
        "discounts-the-past": ([(1.0 + 5.25 + 9.0) / 3, 2.5],
                               "You walked forwards, so each visit is paid for what came *before* it. Begin at the "
                               "end."),
    })
    expect(call(fn, [([1], [2.0])], 3, 1.0), [0.0, 2.0, 0.0], mistakes={
        "never-visited": (ZeroDivisionError, "A state without visits has nothing to divide by. Give it 0."),
        "never-visited-nan": (_first_is_nan, "A state without visits has nothing to divide by: 0/0 is NaN. Give it 0."),
    })


def _first_is_nan(returned):
    return float(returned[0]) != float(returned[0])


@exercise("04.2", title="TD(0)", hints=[
    "The target of a step is its reward, and γ times V of where it led, unless it led nowhere.",
    "Copy V first. Then, at each step, use the V of *this* moment, in which the earlier steps have already left their "
    "mark.",
    "`target = r if terminated else r + gamma * V[s_next]`, then `V[s] += alpha * (target - V[s])`",
])
def check_td_walk(fn):
    """Steps 0 → 1, 1 → 0, 0 → end, with V = 1, 2, 4, α = .25 and γ = .5."""
    walk = [(0, 1.0, 1, False), (1, 0.0, 0, False), (0, 3.0, 2, True)]
    # 0: 1 + .25 (1 + .5·2 − 1) = 1.25;  1: 2 + .25 (.5·1.25 − 2) = 1.65625;  0: 1.25 + .25 (3 − 1.25) = 1.6875
    expect(call(fn, [1.0, 2.0, 4.0], walk, 0.25, 0.5), [1.6875, 1.65625, 4.0], pure=True, rtol=1e-7, mistakes={
        "bootstraps-past-the-end": ([2.1875, 1.65625, 4.0],
                                    "You added γ V(s′) to the last step too. It terminated: there is no s′, and what "
                                    "stands there is junk. The target is the reward alone."),
        "end-inverted": ([2.0, 1.5, 4.0], "It is the other way round: you bootstrap where the walk ended, and nowhere "
                                          "else. It wants `not terminated`."),
        "never-bootstraps": ([1.5, 1.5, 4.0], "Your targets are the rewards alone. While the walk goes on, the value "
                                              "of where the step led belongs to the target."),
        "wrong-sign": ([0.1875, 2.40625, 4.0],
                       "V moved *away* from its targets: the error is target minus V, and it is added."),
        "no-step-size": ([3.0, 1.0, 4.0], "You jumped to the target. Go a part α of the way: it is one noisy step."),
        "no-discount": ([1.875, 1.875, 4.0], "γ is missing in front of V(s′)."),
        "discounts-the-reward": ([1.21875, 1.640625, 4.0],
                                 "You discounted the reward too. It is paid now, only V(s′) lies a step ahead: r + γ "
                                 "V(s′)."),
        "reward-missing": ([0.75, 1.625, 4.0], "The reward is missing from the target."),
        "frozen-values": (_frozen, "All targets were made from the V before the walk. TD learns on the way: the second "
                                   "step already sees what the first one changed."),
        "credits-the-next-state": ([0.5625, 2.25, 4.609375],
                                   "You moved V of where the step *led*. The surprise tells you about the state that "
                                   "you left: V[s]."),
        "not-subtracted": ([2.25, 2.1875, 4.0], "You added α times the whole target. It is the *error* that is added, "
                                                "target − V(s); otherwise V grows without end."),
    })
    expect(call(fn, [0.5] * 3, [(1, 0.0, 0, True)], 0.1, 1.0), [0.5, 0.45, 0.5])


def _frozen(returned):
    return round(float(returned[1]), 6) == 1.625 and float(returned[0]) > 1.0


@exercise("04.3", title="The λ-return", hints=[
    "Begin at the last step, where nobody saw what came. What is its target?",
    "Three cases for the future of step t: nothing (terminated); V alone (done, or the last of the data); or the "
    "mixture (1 − λ) V + λ G of the next step.",
    "`future = next_values[t]`; if it is not the last step and `not done[t]`: `future = (1 - lam) * next_values[t] + "
    "lam * returns[t + 1]`; `returns[t] = rewards[t] + gamma * future * (not terminated[t])`",
])
def check_lambda_returns(fn):
    """Three episodes: one terminates, one is cut off, and of the third there is one step."""
    import torch

    rewards = torch.tensor([1.0, 2.0, 4.0, 8.0, 3.0])
    next_values = torch.tensor([6.0, 7.0, 6.0, 10.0, 2.0])
    terminated = torch.tensor([False, True, False, False, False])
    done = torch.tensor([False, True, False, True, False])
    # G4 = 3 + .5·2 = 4;  G3 = 8 + .5·10 = 13;  G2 = 4 + .5 (.25·6 + .75·13) = 9.625;  G1 = 2
    # G0 = 1 + .5 (.25·6 + .75·2) = 2.5
    mistakes = {
        "lambda-swapped": ([3.5, 2.0, 7.875, 13.0, 4.0],
                           "λ and 1 − λ are the wrong way round. λ = 1 must be Monte Carlo: λ belongs to the next "
                           "return."),
        "leaks-across-done": (lambda r: round(float(r[3]), 4) == 10.75,
                              "The second episode was cut off, and you went on with the third. Where `done[t]` is True "
                              "the next row is another episode's: V speaks for the whole future."),
        "truncation-as-termination": (lambda r: float(r[3]) == 8.0,
                                      "The second episode was cut off, not ended: it is done, but not terminated. Its "
                                      "future is worth V, not 0."),
        "bootstraps-past-the-end": (lambda r: float(r[1]) > 2.0,
                                    "The first episode terminated at its second step. There is no future there, and V "
                                    "of it is junk."),
        "weights-short-of-one": (lambda r: round(float(r[3]), 4) == 9.25,
                                 "Where the episode was cut off you kept only 1 − λ of V. Nobody saw what came, so V "
                                 "gets all the weight: the weights of an average add up to 1."),
        "data-ends-badly": (lambda r: float(r[3]) == 13.0 and float(r[4]) in (3.0, 3.25),
                            "The last step of the data is not the end of its episode. The future is worth V there, "
                            "with all the weight."),
        "lambda-ignored": (lambda r: round(float(r[0]), 4) in (4.0, 2.0) and float(r[2]) in (7.0, 10.5),
                           "λ has no effect: you have one-step targets (λ = 0) or Monte Carlo (λ = 1)."),
        "no-discount": (lambda r: float(r[3]) == 18.0, "γ is missing: the whole future, V or return, counts γ times."),
        "advantage-not-return": (lambda r: round(float(r[3]), 4) == 3.0, "You subtracted V. That is the advantage; "
                                                                         "asked for is the return itself."),
    }
    expect(call(fn, rewards, next_values, terminated, done, 0.5, 0.75), [2.5, 2.0, 9.625, 13.0, 4.0], pure=True,
           mistakes=mistakes)
    expect(call(fn, rewards[:2], next_values[:2], terminated[:2], done[:2], 0.5, 1.0), [2.0, 2.0])
    expect(call(fn, rewards[:2], next_values[:2], terminated[:2], done[:2], 0.5, 0.0), [4.0, 2.0])


@exercise("04.4", title="Somebody else's episodes", hints=[
    "One ratio per episode: a product over its steps. The logarithm of a product is a sum.",
    "Set the padding's log-ratio to 0 first (a ratio of 1), then `.sum(-1).exp()`: that is ρ, `[B]`.",
    "`ratios = torch.where(mask, log_probs - behaviour_log_probs, 0.0).sum(-1).exp()`; `total = (ratios * "
    "returns).sum()`; `return total / len(returns), total / ratios.sum()`",
])
def check_off_policy_estimates(fn):
    """Two episodes with ρ = 2 · 3 = 6 and ρ = .5, returns 1 and 4."""
    import torch

    log_probs = torch.tensor([[0.8, 0.6], [0.2, 1.0]]).log()
    behaviour = torch.tensor([[0.4, 0.2], [0.4, 1.0]]).log()
    mask = torch.tensor([[True, True], [True, False]])
    log_probs[1, 1], behaviour[1, 1] = -1.0, -3.0  # junk
    returns = torch.tensor([1.0, 4.0])
    # Σ ρ G = 6 + 2 = 8;  ordinary 8/2 = 4,  weighted 8/6.5
    expect(call(fn, log_probs, behaviour, mask, returns), (4.0, 8 / 6.5), pure=True, rtol=1e-4, mistakes={
        "upside-down": ((49 / 12, 49 / 13), "Your ratio is upside down: the policy that we ask about stands on top, "
                                            "and the one that acted below. What it does more often must count more."),
        "padding-counted": ((10.38906, 2.143291), "The padding took part. Those actions were never taken: the mask "
                                                  "says so."),
        "sum-of-ratios": ((3.5, 7 / 5.5), "You added the steps' ratios up. An episode happens if all its steps happen: "
                                          "multiply them (or add their logarithms)."),
        "mean-of-logs": ((2.224745, 4.449490 / 2.949490),
                         "You averaged the log-ratios over the steps. That is a smaller, tamer weight, and not the "
                         "probability of the episode: sum them."),
        "no-weights": ((2.5, 2.5), "You averaged the returns as they are. That is the value of the policy that acted."),
        "swapped": ((8 / 6.5, 4.0), "The two are right, in the wrong order: ordinary first, weighted second."),
        "both-ordinary": ((4.0, 4.0), "The second estimate divides by the sum of the ratios, not by the number of "
                                      "episodes."),
        "logs-not-exponentiated": (lambda r: abs(float(r[0]) - (1.791759 - 4 * 0.693147) / 2) < 1e-3,
                                   "You weighed with the logarithm of the ratio. Take the exponential: a weight is "
                                   "never negative."),
        "divided-by-steps": (lambda r: abs(float(r[0]) - 8 / 3) < 1e-3,
                             "You divided by the number of steps. There is one return per episode, so divide by the "
                             "number of episodes."),
    })
    nan = torch.tensor([[0.0, float("nan")]])
    expect(call(fn, nan, nan, torch.tensor([[True, False]]), torch.tensor([3.0])), (3.0, 3.0), mistakes={
        "mask-multiplied": (lambda r: float(r[0]) != float(r[0]),
                            "You multiplied by the mask, and 0 · NaN is still NaN. `torch.where` never touches what it "
                            "leaves out."),
    })


@exercise("04.5", title="You are the predictor", hints=[
    "Count three things: visits to s, what was paid in s altogether, and how often s was followed by s′.",
    "P[s, s′] = how often s was followed by s′, divided by *all* visits to s; so where an episode can end in s, the "
    "row sums to less than 1. Then V = r + P V is a system of linear equations.",
    "`np.linalg.solve(np.eye(num_states) - went / n[:, None], paid / n)` with `n = np.maximum(visits, 1)`. Or repeat "
    "`V = r + P @ V` until nothing moves.",
])
def check_values_of_the_likeliest_world(fn):
    """States 0, 1, 2 in a row: 2 is worth 2/3, 1 leads to 2, and 0 pays 1 and leads to 1. Nobody visited 3."""
    import numpy as np

    chain = [([0, 1, 2], [1.0, 0.0, 0.0]), ([1, 2], [0.0, 1.0]), ([2], [1.0])]
    loose = {"rtol": 3e-3, "atol": 3e-3}  # TD repeated many times is an answer too
    expect(call(fn, chain, 4), [5 / 3, 2 / 3, 2 / 3, 0.0], pure=True, **loose, mistakes={
        "monte-carlo": ([1.0, 0.5, 2 / 3, 0.0], "These are the average returns: Monte Carlo. They do not use that 0 "
                                                "led to 1, and 1 to 2, where other episodes have been too."),
        "one-step-only": ([1.0, 0.0, 2 / 3, 0.0], "You stopped after one round: the news from 2 has not reached 1 and "
                                                  "0. Solve the equations, or repeat until nothing moves."),
        "two-rounds": ([1.0, 2 / 3, 2 / 3, 0.0], "The news from 2 reached 1, and not 0. Repeat until nothing moves."),
        "transposed": ([1.0, 1.0, 5 / 3, 0.0], "P is the wrong way round: values flow from where a step leads *back* "
                                               "to where it began. P[s, s′] has a row for the state that was left."),
        "not-visited": (np.linalg.LinAlgError, "The equations have no solution: a state without visits, or an "
                                               "episode's end that leads on, makes them singular. An unvisited state "
                                               "has an empty row in P, and 0 for its reward."),
        "not-visited-nan": (lambda r: np.isnan(np.asarray(r, float)).any(),
                            "A state without visits has nothing to divide by. Divide by at least 1."),
        "still-wobbling": (lambda r: 3e-3 < np.abs(np.asarray(r, float) - [5 / 3, 2 / 3, 2 / 3, 0]).max() < 0.1,
                           "Close. With a constant α, TD depends on the order of the episodes: let α fall as you "
                           "repeat them, or solve the equations."),
        "episodes-joined": (lambda r: float(np.asarray(r, float)[2]) > 1.2,
                            "The end of an episode is followed by nothing. You counted the next one's first state as "
                            "its successor, so that rewards are counted again and again."),
    })
    # state 0: visits 3, of which 1 goes on to 0 and 2 end; mean reward 2/3; V = 2/3 + V/3 = 1
    loop = [([0, 0], [0.0, 2.0]), ([0], [0.0])]
    ends = ("An episode can also end here. Divide by *all* visits to s, not just by those that went on: the row of P "
            "then sums to less than 1.")
    expect(call(fn, loop, 1), [1.0], **loose, mistakes={
        "ends-forgotten": (np.linalg.LinAlgError, ends),
        "ends-forgotten-inf": (lambda r: abs(float(np.asarray(r, float)[0])) > 1.5, ends),
        "every-visit": ([4 / 3], "This is the mean return over visits: Monte Carlo."),
    })
