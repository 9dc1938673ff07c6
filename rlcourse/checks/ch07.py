"""Checks of chapter 07: the score, the average vote, a fair baseline, REINFORCE's loss, and its step."""

from rlcourse.exam import call, exercise, expect, expect_error, require


@exercise("07.1", title="The score", hints=[
    "log π(a) = h(a) − log Σ exp(h(b)). The first term only knows h(a). What is the derivative of the second one?",
    "The derivative of log Σ exp(h(b)) with respect to h(b) is exp(h(b)) / Σ exp: the probability of b.",
    "`gradient = -torch.softmax(preferences, -1)`, and then add 1 at `action`.",
])
def check_score(fn):
    """π = (½, ¼, ¼): the score of action 0 is (½, −¼, −¼)."""
    import torch

    log2 = 0.6931471805599453
    preferences = torch.tensor([log2, 0.0, 0.0])
    expect(call(fn, preferences, 0), [0.5, -0.25, -0.25], pure=True, mistakes={
        "sign-flipped": ([-0.5, 0.25, 0.25], "The sign is the wrong way round: this makes the action *less* likely."),
        "only-the-chosen": ([0.5, 0.0, 0.0], "You pushed only the chosen action. What it gains the others lose: their "
                                             "entries are −π."),
        "one-hot-only": ([1.0, 0.0, 0.0], "This is the derivative of h(a) alone. The normaliser log Σ exp depends on "
                                          "all preferences too."),
        "gradient-of-p": ([0.25, -0.125, -0.125], "This is the slope of π(a). The score is the slope of its *log*: "
                                                  "divide by π(a)."),
        "no-softmax": ([1 - log2, 0.0, 0.0], "You subtracted the preferences. Subtract the *probabilities*, their "
                                             "softmax."),
        "not-normalised": ([-1.0, -1.0, -1.0], "You subtracted exp(h) without dividing by the sum."),
        "log-prob-itself": (-log2, "This is log π(a) itself, not its slope."),
        "log-probs": ([1 + log2, 2 * log2, 2 * log2], "You subtracted log π. The derivative of log Σ exp is π itself."),
    })
    expect(call(fn, preferences, 2), [-0.5, -0.25, 0.75], mistakes={
        "always-action-0": ([0.5, -0.25, -0.25], "You added the 1 at action 0, whichever was chosen."),
    })
    expect(call(fn, torch.tensor([800.0, 0.0]), 1), [-1.0, 1.0])  # exp(800) is inf: recognised as "nan"


@exercise("07.2", title="The average vote", hints=[
    "One vote per action: its score, times (q − baseline), times how likely the action is. Add them up.",
    "All scores at once are the matrix `torch.eye(A) - pi`, one score per row.",
    "`((pi * (q - baseline))[:, None] * (torch.eye(len(pi)) - pi)).sum(0)`",
])
def check_expected_push(fn):
    """π = (½, ¼, ¼), q = (1, 3, −1): V = 1, and π (q − V) = (0, ½, −½)."""
    import torch

    preferences, q = torch.tensor([2.0, 1.0, 1.0]).log(), torch.tensor([1.0, 3.0, -1.0])
    expect(call(fn, preferences, q), [0.0, 0.5, -0.5], pure=True, mistakes={
        "sign-flipped": ([0.0, -0.5, 0.5], "You are going downhill. (Losses are minimised; this is the vote itself.)"),
        "not-weighted": ([-0.5, 2.25, -1.75], "Every action got the same say. An average over what the policy does "
                                              "weighs each with its probability."),
        "no-score": ([0.5, 0.75, -0.25], "You left the −π out of the scores: π · q alone. What one gains the others "
                                         "must lose."),
        "mean-not-sum": ([0.0, 1 / 6, -1 / 6], "You divided by the number of actions. The probabilities are the "
                                               "average already."),
        "weighted-twice": ([1 / 16, 3 / 32, -5 / 32], "You weighted with π twice."),
        "wrong-axis": ([0.0, 0.0, 0.0], "You added up within each score, and every score adds up to 0. Add up over the "
                                        "actions."),
    })
    expect(call(fn, preferences, q, 10.0), [0.0, 0.5, -0.5], mistakes={
        "baseline-outside": ([-10.0, -9.5, -10.5], "You took the baseline from the result. It is taken from q, and "
                                                   "then multiplied with the scores, where it averages to nothing."),
    })
    expect(call(fn, preferences, q, torch.tensor([0.0, 2.0, 0.0])), [0.25, 0.125, -0.375], mistakes={
        "baseline-ignored": ([0.0, 0.5, -0.5], "You ignored the baseline, or averaged it. A constant may be ignored, "
                                               "this one may not: it is another number for each action."),
        "baseline-added": ([-0.25, 0.875, -0.625], "You added the baseline: it is q − b."),
    })


@exercise("07.3", title="Leave yourself out", hints=[
    "The sum of the others is the sum of all, less your own. How many are they?",
    "`returns.sum() - returns` has the sum of the others for each episode at once.",
    "`(returns.sum() - returns) / (len(returns) - 1)`, after a check that there are at least two.",
])
def check_mean_of_the_others(fn):
    """Returns 1, 2, 6: the others' means are 4, 3.5 and 1.5."""
    import torch

    expect(call(fn, torch.tensor([1.0, 2.0, 6.0])), [4.0, 3.5, 1.5], pure=True, mistakes={
        "includes-itself": (lambda r: all(abs(float(x) - 3) < 1e-5 for x in torch.as_tensor(r).reshape(-1)),
                            "This is the mean of the whole batch: each episode's own return is in it."),
        "divided-by-all": ([8 / 3, 7 / 3, 1.0], "You added up the others and divided by B. They are B − 1."),
        "sum-not-mean": ([8.0, 7.0, 3.0], "You added the others up and did not divide."),
        "advantage-not-baseline": ([-3.0, -1.5, 4.5], "This is return minus baseline, the advantage. Asked is the "
                                                      "baseline itself."),
        "divided-all-by-others": ([4.5, 4.5, 4.5], "You divided the sum of *all* by B − 1. Take the own return away "
                                                   "first."),
        "next-one-only": ([2.0, 6.0, 1.0], "You compared each with its neighbour alone. All the others count."),
        "previous-only": (lambda r: [round(float(x), 3) for x in r][1:] == [1.0, 1.5],
                          "You averaged over the episodes that came *before*. All the others count."),
    })
    expect(call(fn, torch.tensor([3.0, 5.0])), [5.0, 3.0])
    expect_error(call(fn, torch.tensor([3.0])), ValueError, says="returns")


def _episodes():
    """Two episodes, of three steps and of one, with junk in the padding."""
    import torch

    log_probs = torch.tensor([[-1.0, -2.0, -0.5], [-3.0, 77.0, 77.0]], requires_grad=True)
    rewards = torch.tensor([[1.0, 0.0, 4.0], [3.0, 500.0, 500.0]])
    mask = torch.tensor([[True, True, True], [True, False, False]])
    values = torch.tensor([[1.0, 1.0, 1.0], [5.0, 900.0, 900.0]], requires_grad=True)
    return log_probs, rewards, mask, values


def _number(x):
    return float(x.detach() if hasattr(x, "detach") else x)


@exercise("07.4", title="The loss", hints=[
    "Three steps: the returns (with nothing coming back from the padding), the bracket, the sum.",
    "Set the rewards in the padding to 0 before you add up, and the step losses to 0 after. `.detach()` the bracket.",
    "`G = discounted_returns(rewards.masked_fill(~mask, 0.0), torch.zeros_like(mask), gamma)`; "
    "`losses = -(G - values).detach() * log_probs`; `losses.masked_fill(~mask, 0.0).sum() / len(mask)`",
])
def check_reinforce_loss(fn):
    """γ = ½: G = (2, 2, 4) and 3, so G − V = (1, 1, 3) and −2; 1·1 + 1·2 + 3·½ = 4.5 and −2·3 = −6: (4.5 − 6) / 2."""
    import torch

    log_probs, rewards, mask, values = _episodes()
    expect(call(fn, log_probs, rewards, mask, values, 0.5), -0.75, pure=True, mistakes={
        "sign-flipped": (0.75, "The sign: a loss is minimised, and what turned out well should become *more* likely."),
        "mean-over-steps": (-0.375, "You averaged over the steps. The steps of an episode are added up, then the "
                                    "episodes are averaged."),
        "mean-of-means": (-2.25, "You averaged within each episode first, so a step in a long episode counts less. Add "
                                 "its steps up."),
        "sum-not-mean": (-1.5, "You added the episodes up. The gradient is an average over them."),
        "padding-counted": (lambda r: abs(_number(r)) > 100,
                            "What stands in the padding got in: junk of 500 and 900 was there to notice it. Set it to "
                            "0, in rewards and losses."),
        "whole-return": (-1.25, "Every step got the return of the whole episode. Use what is still to come *from that "
                                "step on*."),
        "no-baseline": (8.5, "The values are missing: it is G − V."),
        "baseline-added": (17.75, "You added the values. A baseline is taken away: G − V."),
        "no-discount": (2.75, "You left γ out of the returns."),
        "immediate-reward": (-3.25, "You used the reward of each step alone. G adds up what comes after it too."),
        "discounts-the-past": (lambda r: min(abs(_number(r) + x) for x in (2.6875, 2.0, 2.75)) < 1e-4,
                               "You added up from the beginning: that is what was paid *before*."),
        "divided-by-padded-steps": (-0.25, "You divided by B · T. Divide by B, the number of episodes."),
    })
    loss = call(fn, log_probs, rewards, mask, values, 0.5).value
    require(isinstance(loss, torch.Tensor) and loss.requires_grad, called="the loss", returned="no gradient",
            expected="a tensor through which one can call backward()", mistake="no-gradient",
            why="The loss has lost its way back to the log-probs. Detach the bracket, not the product, and return a "
                "tensor.")
    to_log_probs, to_values = torch.autograd.grad(loss, (log_probs, values), allow_unused=True)
    leak = to_values is not None and bool(to_values.abs().max() > 0)
    require(not leak, called="the gradient of the loss with respect to values", returned=to_values,
            expected="none", mistake="not-detached",
            why="A gradient flows into the value network: it would learn to make advantages small, instead of to "
                "foresee. Write (G − values).detach().")
    expect(to_log_probs, [[-0.5, -0.5, -1.5], [1.0, 0.0, 0.0]],
           called="the gradient of your loss with respect to log_probs")


def _counting_optimizer(policy):
    """Plain gradient steps at rate 1, which count themselves."""
    import torch

    class Counting(torch.optim.SGD):
        steps = 0

        def step(self, closure=None):
            self.steps += 1
            return super().step(closure)

        def __repr__(self):
            return "<plain gradient steps, rate 1>"

    return Counting(policy.parameters(), lr=1.0)


def _play(actions, rewards):
    """Episodes of a world with one state; an action −1 is padding."""
    import torch

    from rlcore.trajectory import Trajectory, last_steps

    actions = torch.tensor(actions)
    mask = actions >= 0
    rewards, blank = torch.tensor(rewards), torch.zeros(actions.shape)
    return Trajectory(torch.zeros_like(actions), actions.clamp(min=0), rewards, blank, last_steps(mask), mask & False,
                      mask)


@exercise("07.5", title="The step", hints=[
    "The baseline is one number: the mean over episodes of the sum of their rewards. The rest is 07.4, and the three "
    "lines that every training has.",
    "`log_probs = policy(trajectory.states).log_prob(trajectory.actions)`, the loss, `zero_grad`, `backward`, `step`.",
    "`b = rewards.masked_fill(~mask, 0.0).sum(-1).mean()`, then `reinforce_loss(log_probs, rewards, mask, "
    "torch.full_like(rewards, b), 1.0)`, `optimizer.zero_grad()`, `loss.backward()`, `optimizer.step()`, "
    "`return loss.item()`",
])
def check_reinforce_step(fn):
    """Two episodes, returns 5 and 2, baseline 3.5, π = ½: the push by hand, twice in a row."""
    from rlcore.policies import TabularPolicy

    policy = TabularPolicy(1, 2)
    optimizer = _counting_optimizer(policy)
    # Returns 5 and 2, baseline 3.5. To go: 5, 4 and 2, so Ψ = 1.5, 0.5 and −1.5, for actions 1, 0 and 0. On the second
    # preference, scores at π = ½ are ½, −½ and −½: (0.75 − 0.25 + 0.75) / 2 = 0.625.
    trajectory = _play([[1, 0], [0, -1]], [[1.0, 4.0], [2.0, 0.0]])
    came = call(fn, policy, optimizer, trajectory)
    returned = came.value
    require(optimizer.steps > 0, called=came.text, returned="the optimiser has made no step", expected="one step",
            mistake="no-step", why="Nothing was learned: call `optimizer.step()` after `loss.backward()`.")
    require(optimizer.steps == 1, called=came.text, returned=f"{optimizer.steps} steps", expected="one step",
            mistake="several-steps", why="Each batch is used for *one* step: afterwards the policy is another one, and "
                                         "these episodes are not its own any more.")
    moved = policy.logits.detach()[0]
    expect(moved, [-0.625, 0.625], called=f"the preferences, which were 0, after {came.text}", mistakes={
        "sign-flipped": ([0.625, -0.625], "The policy went downhill: what turned out well has become less likely."),
        "no-baseline": (lambda r: abs(float(r[1]) + 0.25) < 1e-4,
                        "The baseline is missing: with it, an episode that paid less than the mean is discouraged."),
        "mean-of-rewards": (lambda r: min(abs(float(r[1]) - x) for x in (1 / 3, 0.1875)) < 1e-4,
                            "Your baseline is the mean reward of a step. Take the mean of the episodes' *returns*."),
        "sum-not-mean": ([-1.25, 1.25], "The step is twice as long: average over the two episodes."),
        "mean-over-steps": (lambda r: min(abs(float(r[1]) - x) for x in (1.25 / 3, 1.25 / 4)) < 1e-4,
                            "The step is too short: you averaged over all steps. Add up within an episode."),
        "mean-of-to-go": (lambda r: abs(float(r[1]) - 2 / 3) < 1e-4,
                          "Your baseline is the mean of the rewards-to-go. That is legal and not what was asked: take "
                          "the mean of the whole episodes' returns."),
        "whole-return": (lambda r: abs(float(r[1]) - 0.375) < 1e-4,
                         "Every step got the return of its whole episode. Use the reward-to-go."),
    })
    require(isinstance(returned, float), called=came.text, returned=returned, expected="a float",
            mistake="tensor-returned", why="Return `loss.item()`: a tensor would keep the whole computation alive for "
                                           "as long as somebody keeps it.")
    # Ψ = 1.5, .5, −1.5, and with π = ½ every log π is −ln 2: −Σ Ψ log π / 2 = .5 · ln 2 / 2
    expect(returned, 0.25 * 0.6931471805599453, called=f"what came back from {came.text}", mistakes={
        "not-the-loss": (lambda r: True, "The step is right, but what you returned is not its loss: −Σ Ψ log π / 2, as "
                                         "it was before the step."),
    })
    before = policy.logits.detach().clone()
    dull = _play([[1], [0]], [[5.0], [5.0]])  # both as good as the mean: nothing to learn
    call(fn, policy, optimizer, dull).value  # noqa: B018  raises if it failed
    expect(policy.logits.detach() - before, [[0.0, 0.0]], called="how the preferences moved in a second step, on two "
           "episodes that were both as good as the mean", mistakes={
               "gradients-piled-up": (lambda r: abs(float(r[0][1]) - 0.625) < 1e-4,
                                      "The last step's gradient was still there and counted again: "
                                      "`optimizer.zero_grad()` before `backward()`."),
           })
