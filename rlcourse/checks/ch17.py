"""Checks of chapter 17: three reductions, live groups, an answer's ratio, a soft limit, and how a question pulls."""

import contextlib

from rlcourse.exam import call, exercise, expect, expect_error, require


def _numbers(came):
    """The answer as a tuple of floats where it can be; what came back, where it cannot."""
    if came.error is None:
        with contextlib.suppress(TypeError, ValueError, RuntimeError):
            came.returned = tuple(float(x) for x in came.returned)
    return came


def _at(place, wrong):
    """A recogniser that looks at one of several numbers only."""
    return lambda r: len(r) == 3 and abs(r[place] - wrong) < 1e-5


@exercise("17.1", title="Three ways to add up", hints=[
    "All three have the same numerators, the losses where the mask is True. What is each answer's sum divided by?",
    "Sequence: each answer's sum by its own length, then the mean over answers. Token: the sum of everything by the "
    "number of True in the mask. Constant: the sum of everything by (answers × `length`).",
    "`own = losses.masked_fill(~mask, 0.0)`; then `(own.sum(-1) / mask.sum(-1)).mean()`, `own.sum() / mask.sum()` and "
    "`own.sum() / (len(mask) * length)`",
])
def check_three_reductions(fn):
    """Two answers, of one token and of three, in a batch four wide; the limit is 10."""
    import math

    import torch

    losses = torch.tensor([[6.0, 5.0, 5.0, 5.0], [1.0, 2.0, 9.0, 5.0]])
    mask = torch.tensor([[True, False, False, False], [True, True, True, False]])
    # sequence (6/1 + 12/3) / 2 = 5; token (6 + 12) / 4 = 4.5; constant 18 / (2 · 10) = 0.9
    expect(_numbers(call(fn, losses, mask, 10)), (5.0, 4.5, 0.9), pure=True, mistakes={
        "padding-counted": (lambda r: any(_at(place, wrong)(r) for place in (0, 1)
                                          for wrong in (38 / 8, 38 / 4, (21 / 1 + 17 / 3) / 2)),
                            "You counted the padding's losses. What stands where the mask is False was written by "
                            "nobody."),
        "padding-in-the-length": (lambda r: _at(0, 18 / 8)(r) or _at(1, 18 / 8)(r),
                                  "You divided by the width of the batch, padding included. Then what an answer counts "
                                  "depends on its neighbour's length; count the True in the mask."),
        "mean-of-means": (_at(1, 5.0), "Your second number is the mean of the answers' means, which is the first one. "
                                       "Token mean: one sum, one division, over all tokens of the batch."),
        "one-mean-for-all": (_at(0, 4.5), "Your first number is the mean over all tokens. Per sequence: each answer "
                                          "has a mean of its own, then the mean of those."),
        "sum-of-means": (_at(0, 10.0), "You added the answers' means up. With more answers the step would grow; take "
                                       "their mean."),
        "longest-in-the-batch": (_at(2, 18 / 6), "You divided by the longest answer of this batch. That is no "
                                                 "constant: one rambling answer makes everybody's push smaller. "
                                                 "Divide by `length`, whatever was written."),
        "width-for-the-constant": (_at(2, 18 / 8), "You divided by the width of the batch, which depends on who is in "
                                                   "it. The constant is `length`."),
        "answers-forgotten": (_at(2, 18 / 10),
                              "You divided by `length` alone. A batch of twice as many answers would push twice as "
                              "hard: divide by the number of answers, too."),
        "tokens-by-the-constant": (_at(2, 18 / (4 * 10)), "You divided by the number of tokens *and* by `length`. Only "
                                                          "the answers are counted: 2 · 10."),
    })
    junk = torch.tensor([[3.0, math.nan], [1.0, 5.0]])
    ragged = torch.tensor([[True, False], [True, True]])
    expect(_numbers(call(fn, junk, ragged, 2)), (3.0, 3.0, 2.25), mistakes={  # (3 + 6/2)/2; 9/3; 9/(2·2)
        "mask-multiplied": (lambda r: any(math.isnan(x) for x in r),
                            "You multiplied by the mask, and 0 · NaN is NaN. `masked_fill` and `torch.where` never "
                            "touch what they leave out."),
        "padding-in-the-length": (lambda r: _at(0, 2.25)(r) or _at(1, 2.25)(r),
                                  "You divided by the width of the batch, padding included."),
    })


@exercise("17.2", title="Who is worth learning from?", hints=[
    "When does a comparison within a group say nothing? Not only when everything is wrong.",
    "A group is dead if all its rewards equal the first one: `(rewards == rewards[:, :1]).all(-1)`. (Asking "
    "whether a standard deviation is 0 is a gamble: by rounding, that of equal numbers may be 1e-8.)",
    "`alive = (rewards != rewards[:, :1]).any(-1)`; `return alive.nonzero()[:wanted, 0]`",
])
def check_live_groups(fn):
    """Seven groups, three of them dead: all right, all wrong, and all worth the same −½."""
    import torch

    rewards = torch.tensor([[1.0, 1.0, 1.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.0], [-1.0, 0.0, 1.0], [-0.5, -0.5, -0.5],
                            [1.0, 1.0, 0.0], [2.0, 2.0, 2.5]])
    expect(call(fn, rewards, 3), torch.tensor([1, 3, 5]), pure=True, mistakes={
        "mask-not-numbers": (lambda r: torch.as_tensor(r).dtype == torch.bool,
                             "You returned True and False. Asked for were the groups' *numbers*, "
                             "`alive.nonzero()[:, 0]`."),
        "keeps-the-dead": (lambda r: torch.as_tensor(r).flatten().tolist() in ([2, 4], [0, 2, 4]),
                           "You kept the dead groups and threw the live ones away."),
        "keeps-all-right": (lambda r: torch.as_tensor(r).flatten().tolist()[:1] == [0],
                            "You kept group 0, in which every answer is right. Nobody in it is better than the "
                            "others: advantages 0, like in a group that is all wrong."),
        "rewards-of-one-kind": (lambda r: 4 in torch.as_tensor(r).flatten().tolist()
                                or torch.as_tensor(r).flatten().tolist() == [1, 5],
                                "You looked for sums or means that mean *all right* or *all wrong*. Rewards need not "
                                "be 0 and 1: a group is dead if its rewards are *equal*, whatever they are (group 4), "
                                "and alive if they differ (group 3, whose mean is 0)."),
        "batch-not-filled-up": (lambda r: torch.as_tensor(r).flatten().tolist() == [1],
                                "You looked at the first `wanted` groups only. Dynamic sampling goes on until it has "
                                "found `wanted` groups that live."),
        "too-many": (lambda r: torch.as_tensor(r).flatten().tolist() == [1, 3, 5, 6],
                     "You returned every live group. The batch has room for `wanted`; the first ones found are taken, "
                     "and the rest is not needed."),
        "flat-answers": (lambda r: torch.as_tensor(r).ndim == 2,
                         "There are two columns: `nonzero` gives one per axis. Take the first, `[:, 0]`, of a mask "
                         "with one entry per group."),
    })
    few = torch.tensor([[1.0, 1.0], [0.0, 1.0]])
    expect(call(fn, few, 5), torch.tensor([1]), mistakes={
        "filled-with-dead": (lambda r: len(torch.as_tensor(r).flatten()) > 1,
                             "There is one live group, and five were wanted. A smaller batch is no harm; dead groups "
                             "in it are a waste."),
    })
    expect(call(fn, torch.full((3, 4), 0.5), 2), torch.tensor([], dtype=torch.long), mistakes={
        "filled-with-dead": (lambda r: len(torch.as_tensor(r).flatten()) > 0,
                             "All three groups are dead: there is nothing to return but an empty tensor."),
    })
    rounded = ("You kept a dead group, of seven equal numbers. To the last bit their mean need not be that number, nor "
               "their standard deviation 0. Compare the rewards with each other.")
    close = torch.tensor([[0.1] * 7, [0.5] * 6 + [0.51], [1 / 3] * 7, [0.25, 0.25, 0.0, 0.25, 0.25, 0.25, 0.25]])
    expect(call(fn, close, 4), torch.tensor([1, 3]), mistakes={
        "rounded-mean": (lambda r: {0, 2} & set(torch.as_tensor(r).flatten().tolist()), rounded),
        "small-differences": (lambda r: len(torch.as_tensor(r).flatten()) < 2,
                              "A group lives if its rewards differ at all: .5 and .51 are not the same."),
    })
    expect(call(fn, close[:1], 4), torch.tensor([], dtype=torch.long), mistakes={  # alone, its std is rounded otherwise
        "rounded-mean": (lambda r: len(torch.as_tensor(r).flatten()) > 0, rounded),
    })


@exercise("17.3", title="One ratio for a whole answer", hints=[
    "The geometric mean of n numbers is the n-th root of their product. What is its logarithm?",
    "Subtract the log-probs, sum over the answer's own tokens, divide by how many there are, and take the exponential "
    "at the very end.",
    "`d = (log_probs - old_log_probs).masked_fill(~mask, 0.0)`; `(d.sum(-1) / mask.sum(-1)).exp()`",
])
def check_sequence_ratio(fn):
    """Token ratios 2, 8 and 1, 1, 1/8: geometric means 4 and 1/2."""
    import math

    import torch

    ratios = torch.tensor([[2.0, 8.0, 3.0, 3.0], [1.0, 1.0, 0.125, 3.0]])
    mask = torch.tensor([[True, True, False, False], [True, True, True, False]])
    old = torch.tensor([[-1.0, -4.0, 0.0, 0.0], [-2.0, -0.5, -1.0, 0.0]])
    new = old + ratios.log()
    inside = ratios.masked_fill(~mask, 0.0)
    logs = ratios.log().masked_fill(~mask, 0.0)
    expect(call(fn, new, old, mask), torch.tensor([4.0, 0.5]), pure=True, mistakes={
        "not-divided": (torch.tensor([16.0, 0.125]),
                        "That is the product of the token ratios: right as an importance weight, but it grows without "
                        "bound with the length of an answer. GSPO takes its n-th root."),
        "mean-of-ratios": (inside.sum(-1) / mask.sum(-1),
                           "You averaged the ratios (first the exponential, then the mean). GSPO's is the exponential "
                           "of the mean log-ratio: 2 and 1/2 average to 1, as they should."),
        "padding-in-the-length": ((logs.sum(-1) / 4).exp(),
                                  "You divided by the width of the batch. An answer's ratio would change with the "
                                  "length of its neighbours; count the True in the mask."),
        "padding-counted": ((new - old).mean(-1).exp(), "The padding's log-probs are in your mean. They are nobody's."),
        "padding-summed": (((new - old).sum(-1) / mask.sum(-1)).exp(),
                           "You divided by the right length, but the padding's log-ratios are in the sum."),
        "exp-forgotten": (logs.sum(-1) / mask.sum(-1),
                          "That is the mean log-ratio. A ratio is 1, not 0, where nothing has changed: exponentiate."),
        "upside-down": (torch.tensor([0.25, 2.0]), "You have old over new. A ratio above 1 means that the answer has "
                                                   "become *likelier*."),
        "over-the-batch": (lambda r: torch.as_tensor(r).ndim == 0 or torch.as_tensor(r).numel() == 1,
                           "You have one number for the whole batch. Each answer has a ratio of its own, `[B]`."),
        "per-token": (lambda r: torch.as_tensor(r).ndim == 2,
                      "There is one number for each token, `[B, T]`. Wanted is one for each answer, `[B]`."),
    })
    junk = torch.tensor([[-1.0, math.nan]])
    expect(call(fn, junk, torch.tensor([[-1.0 - math.log(2), 0.0]]), torch.tensor([[True, False]])),
           torch.tensor([2.0]), mistakes={
        "mask-multiplied": (lambda r: torch.as_tensor(r).isnan().any().item(),
                            "You multiplied by the mask, and 0 · NaN is NaN. Use `masked_fill` or `torch.where`."),
    })  # fmt: skip
    long = torch.zeros(1, 400)
    expect(call(fn, long, long - 1.0, torch.ones(1, 400).bool()), torch.tensor([math.e]), mistakes={
        "overflow": (lambda r: not torch.as_tensor(r).isfinite().all(),
                     "Four hundred tokens, each e times as likely as before: their product is e⁴⁰⁰, which is ∞ to a "
                     "computer, and so is its root. Take the mean of the logarithms first."),
    })
    learned = new.clone().requires_grad_()
    came = call(fn, learned, old, mask)
    require(isinstance(came.value, torch.Tensor) and came.value.requires_grad, called=came.text, returned=came.value,
            expected="a ratio with a gradient", mistake="detached",
            why="No gradient leads back to `log_probs`. The surrogate is ratio · Â, so it is through the ratio that a "
                "policy learns: stay in torch, without `.detach()`, `.item()` or `no_grad`.")


_LENGTHS = (5, 8, 9, 10, 11, 12, 13)  # tokens of an answer, its EOS counted: one word less


@exercise("17.4", title="Too long, gently", hints=[
    "Three cases: short enough, in the last `cache` tokens before the limit, and beyond. How many tokens has an answer "
    "of n words?",
    "tokens = words + 1, for EOS. Free up to `limit - cache`; from there down a straight line that reaches −1 at "
    "`limit`; −1 for everything longer.",
    "`tokens = len(text.split()) + 1`; `max(-1.0, min(0.0, (limit - cache - tokens) / cache))`",
])
def check_soft_overlong(fn):
    """A limit of 12 and a cache of 4: free up to 8 tokens, then −¼ a token, and never below −1."""
    texts = [" ".join(["word"] * (tokens - 1)) for tokens in _LENGTHS]
    prompts = ["user ? bot"] * len(texts)

    def line(free, slope=-0.25, least=-1.0, lengths=_LENGTHS):
        return [max(least, min(0.0, slope * (n - free))) for n in lengths]

    words = [n - 1 for n in _LENGTHS]
    came = call(fn, prompts, texts, limit=12, cache=4, answer=[0] * len(texts))
    expect(came, line(8), mistakes={
        "eos-forgotten": (line(8, lengths=words), "You counted words. The end of an answer is a token as well: an "
                                                  "answer of 8 words has 9."),
        "reward-for-length": ([-x for x in line(8)], "The sign: this *pays* for long answers."),
        "paid-for-being-short": ([max(-1.0, -0.25 * (n - 8)) for n in _LENGTHS],
                                 "Short answers get a positive number. It is a punishment, and there is none below "
                                 "`limit - cache`: nobody is to be paid for saying less."),
        "no-floor": ([min(0.0, -0.25 * (n - 8)) for n in _LENGTHS],
                     "Beyond the limit it goes on falling. The worst that length can cost is 1."),
        "starts-at-the-limit": ([max(-1.0, min(0.0, -0.25 * (n - 12))) for n in _LENGTHS],
                                "Your line begins at `limit`, where it should have arrived. It begins `cache` tokens "
                                "before."),
        "hard": ([-1.0 if n > 12 else 0.0 for n in _LENGTHS],
                 "All or nothing at the limit: that is the cliff which the soft punishment replaces."),
        "hard-early": ([-1.0 if n > 8 else 0.0 for n in _LENGTHS],
                       "All or nothing, and already at `limit - cache`. In between the punishment grows token by "
                       "token."),
        "divided-by-limit": ([max(-1.0, min(0.0, (8 - n) / 12)) if n <= 12 else -1.0 for n in _LENGTHS],
                             "You divided by `limit`. The line must reach −1 at the limit, `cache` tokens after it "
                             "began: divide by `cache`."),
        "nothing-beyond": ([0.0 if n > 12 else max(-1.0, min(0.0, -0.25 * (n - 8))) for n in _LENGTHS],
                           "What is longer than the limit is free in yours. It is the worst case: −1."),
        "characters-counted": ([max(-1.0, min(0.0, (8 - len(text)) / 4)) for text in texts],
                               "You counted characters. `text.split()` gives the words, and one word is one token."),
    })
    expect(call(fn, ["a", "a"], ["", "one two three"], limit=4, cache=2), [0.0, -1.0])  # 1 and 4 tokens
    expect(call(fn, ["a"], [""], limit=2, cache=1), [0.0], mistakes={  # only EOS: one token
        "spaces-counted": ([-1.0], "An answer that says nothing has no words, and one token, its EOS. You counted the "
                                   "pieces between spaces: `''.split(' ')` is `['']`, one piece, while `''.split()` "
                                   "is empty."),
    })


@exercise("17.5", title="How hard a question pulls", hints=[
    "k of the G answers are right, with probability C(G, k) pᵏ (1−p)^(G−k). For each k, what are the advantages of the "
    "right ones?",
    "For k right answers the mean reward is m = k/G, so a right one has A = 1 − m; with `normalize`, divide it by the "
    "sample standard deviation, √(m(1−m)·G/(G−1)). The mean of A·R over the group is m·A. For k = 0 and k = G it is 0.",
    "`total += comb(G, k) * p**k * (1 - p)**(G - k) * m * A` for k = 1 … G−1; at the end `total / (p * (1 - p))`",
])
def check_pull(fn):
    """Three answers by hand, then eight: (G − 1)/G at every p without the std; with it, largest at the ends."""
    # G = 3: k = 1: 3p(1−p)², m = ⅓, A = ⅔; k = 2: 3p²(1−p), m = ⅔, A = ⅓. Both have m·A = 2/9 and σ = √⅓,
    # so the sum is 3p(1−p) · 2/9, and with σ it is √3 times that
    expect(call(fn, 0.2, 3, False), 2 / 3, mistakes=_pulls(0.2, 3, False))
    near = 1e-3  # `group_advantages` adds an eps of 1e-4 to the standard deviation, which is fair
    expect(call(fn, 0.2, 3, True), 2 / 3 * 3**0.5, mistakes=_pulls(0.2, 3, True), rtol=near)
    for p in (0.1, 0.5):
        expect(call(fn, p, 8, True), _pull(p, 8, True), mistakes=_pulls(p, 8, True), rtol=near)
    expect_error(call(fn, 0.5, 1, True), ValueError, says="group",
                 why="A group of one has nothing to be compared with: no std, and no advantage.")


def _pull(p, size, normalize, ddof=1, counted=True, divide=True, advantage=None, power=1):
    """E[mean of A·R over the group] / (p (1 − p)), or what a mistake makes of it."""
    from math import comb

    total = 0.0
    for k in range(1, size):
        m = k / size
        a = 1 - m if advantage is None else advantage(m)
        if normalize:
            a /= (m * (1 - m) * (size / (size - ddof))) ** (0.5 * power)
        total += (comb(size, k) if counted else 1) * p**k * (1 - p) ** (size - k) * m * a
    return total / (p * (1 - p)) if divide else total


def _pulls(p, size, normalize):
    """What each mistake gives here, and what it is."""
    of_the_std = {
        "population-std": (_pull(p, size, True, ddof=0),
                           "You divided by √(m(1−m)), the standard deviation of a whole population. `std()` in torch, "
                           "and GRPO, divide the sum of squares by G − 1: √(m(1−m)·G/(G−1))."),
        "variance-for-std": (_pull(p, size, True, power=2),
                             "You divided by the variance. It is the standard deviation, its root."),
        "never-normalized": (_pull(p, size, False),
                             "You did not divide by the standard deviation although `normalize` is True."),
    } if normalize else {
        "always-normalized": (_pull(p, size, True),
                              "You divided by the standard deviation although `normalize` is False."),
    }
    return of_the_std | {
        "ways-not-counted": (_pull(p, size, normalize, counted=False),
                             "The binomial coefficient is missing: k right answers of G can stand in C(G, k) places."),
        "not-divided": (_pull(p, size, normalize, divide=False),
                        "That is E[A·R], the push. How hard a question pulls on p is this *divided* by p (1 − p)."),
        "sign-flipped": (-_pull(p, size, normalize), "The sign: right answers are above their group's mean."),
        "own-mean-forgotten": (_pull(p, size, normalize, advantage=lambda m: 1.0),
                               "You used the reward as the advantage. Subtract the mean of the group: a right answer "
                               "has A = 1 − k/G."),
        "leave-one-out": (_pull(p, size, normalize, advantage=lambda m: (1 - m) * size / (size - 1)),
                          "That is RLOO's advantage, G/(G−1) times GRPO's."),
        "wrong-ones-counted": (_pull(p, size, normalize, advantage=lambda m: 2 * (1 - m)),
                               "You added |A| of right and wrong answers. A·R is 0 for a wrong answer, since R is."),
        "p-for-the-mean": (_with_p(p, size, normalize),
                           "You compared with p. A group is compared with its *own* mean, k/G, and divided by its own "
                           "standard deviation; p is what they come from if the group is infinitely large."),
    }


def _with_p(p, size, normalize):
    a = (1 - p) / ((p * (1 - p)) ** 0.5 if normalize else 1.0)
    return _pull(p, size, False, advantage=lambda m: a)
