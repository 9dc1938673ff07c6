"""Checks of chapter 13: from somebody's choices to a judge, and what is wrong with it."""

from rlcourse.exam import call, exercise, expect, expect_error


def _pair(came):
    """The answer as two plain things where it can be; what came back, where it cannot."""
    import torch

    if came.error is None:
        try:
            first, second = came.returned
            came.returned = (torch.as_tensor(first, dtype=torch.float32), float(second))
        except (TypeError, ValueError, RuntimeError):
            pass
    return came


def _numbers(came):
    """The answer as two floats where it can be."""
    if came.error is None:
        try:
            first, second = came.returned
            came.returned = (float(first), float(second))
        except (TypeError, ValueError, RuntimeError):
            pass
    return came


def _second(wrong):
    """A recogniser that looks at the second number only."""
    return lambda r: abs(r[1] - wrong) < 1e-5


def _first(wrong):
    """A recogniser that looks at the first number only."""
    return lambda r: abs(r[0] - wrong) < 1e-5


@exercise("13.1", title="Bradley and Terry", hints=[
    "Only the difference of the two rewards counts. Which of them is subtracted from which?",
    "`torch.sigmoid` is σ. Its logarithm taken afterwards is log 0 where the model is very wrong: torch has a function "
    "that computes log σ in one go.",
    "`d = chosen - rejected`; return `torch.sigmoid(d), -F.logsigmoid(d).mean()`",
])
def check_bradley_terry(fn):
    """Differences ln 3, 0 and ln 7: σ gives 3/4, 1/2 and 7/8; the loss is −(ln ¾ + ln ½ + ln ⅞)/3."""
    import math

    import torch

    chosen = torch.tensor([1.0 + math.log(3), 2.0, 0.5 + math.log(7)])
    rejected = torch.tensor([1.0, 2.0, 0.5])
    p = torch.tensor([0.75, 0.5, 0.875])
    loss = -p.log().mean().item()
    right = torch.allclose

    def only_loss(wrong):
        return lambda r: right(r[0], p, atol=1e-5) and abs(r[1] - wrong) < 1e-5

    expect(_pair(call(fn, chosen, rejected)), (p, loss), pure=True, mistakes={
        "sign": (lambda r: right(r[0], 1 - p, atol=1e-5),
                 "You subtracted the wrong way round: this is the probability of the *other* choice, and training on "
                 "it makes the rejected replies the liked ones."),
        "sum-not-difference": (lambda r: right(r[0], torch.sigmoid(chosen + rejected), atol=1e-5),
                               "σ of the *sum*: then adding a constant to every reward makes every choice likely, "
                               "whatever was chosen. Only differences may count."),
        "ratio": (lambda r: right(r[0], chosen / (chosen + rejected), atol=1e-5),
                  "r_w / (r_w + r_l) is Bradley and Terry's own form for *strengths*, which are positive. Rewards are "
                  "their logarithms: e^r in place of r, and that is σ of the difference."),
        "one-reward-only": (lambda r: right(r[0], torch.sigmoid(chosen), atol=1e-5),
                            "You left the rejected reply out. All rewards would grow for ever, the bad ones too."),
        "across-pairs": (lambda r: right(r[0], (chosen - rejected).softmax(0), atol=1e-5),
                         "A softmax over the batch: the pairs compete with each other. Each pair is a question of its "
                         "own, with two possible answers."),
        "loss-sign": (only_loss(-loss), "The sign of the loss: log-probabilities are negative, and what training makes "
                                        "small is *minus* their mean."),
        "no-log": (only_loss(-p.mean().item()), "The logarithm is missing. Minus the mean probability has its steepest "
                                                "slope at 'undecided' and none where the model is wrong and sure."),
        "no-log-either": (only_loss((1 - p).mean().item()), "The logarithm is missing: 1 − p is bounded, and gives a "
                                                            "model that is wrong and sure no reason to change."),
        "log-of-the-mean": (only_loss(-math.log(p.mean().item())), "You took the logarithm of the mean. Take it first, "
                                                                   "per pair: the probability of all choices is a "
                                                                   "*product*."),
        "sum-not-mean": (only_loss(3 * loss), "This is the sum over the pairs. With the mean, a batch of 64 and one of "
                                              "256 pull equally hard."),
        "in-bits": (only_loss(loss / math.log(2)), "You took the logarithm to base 2. The loss is in nats."),
    })
    far = _pair(call(fn, torch.tensor([-100.0, 3.0]), torch.tensor([100.0, 3.0])))
    expect(far, (torch.tensor([0.0, 0.5]), (200.0 + math.log(2)) / 2), mistakes={
        "overflow": (lambda r: not math.isfinite(r[1]),
                     "A model that is very wrong: σ is rounded to 0, and log 0 is −∞ (or NaN). One such pair, and all "
                     "weights are NaN. Compute log σ in one step: `torch.nn.functional.logsigmoid`."),
        "clamped": (lambda r: 1.0 < r[1] < 100.0,
                    "You kept the logarithm away from 0 by force. It is finite now, but where it was cut off its "
                    "gradient is 0: the pairs that are most wrong teach nothing."),
    })


@exercise("13.2", title="The reward at the last real token", hints=[
    "Which of the two, `tokens` or `real`, knows where a text ends, whatever its tokens are?",
    "Number the places 0 … T−1, keep the numbers where `real` is True, and take the largest of each row.",
    "`last = torch.where(real, torch.arange(T), -1).max(-1).values`; `values[torch.arange(B), last]`",
])
def check_reward_at_the_end(fn):
    """Row r says 10·r + t at token t, so that the answer shows where it was read: 4, 16, 26 and 34."""
    import torch

    tokens = torch.tensor([
        [5, 1, 6, 7, 1, 1, 1],  # a dialogue of two turns: an eos inside; two of padding
        [5, 6, 1, 7, 8, 9, 1],  # no padding
        [1, 1, 5, 6, 7, 8, 1],  # padding on the left
        [5, 6, 7, 8, 9, 1, 1],  # cut off: it never said eos, and these are padding
    ])  # fmt: skip
    real = torch.tensor([[1, 1, 1, 1, 1, 0, 0], [1] * 7, [0, 0, 1, 1, 1, 1, 1], [1, 1, 1, 1, 1, 0, 0]]).bool()
    values = 10.0 * torch.arange(4)[:, None] + torch.arange(7.0)  # [4, 7]
    mean = torch.where(real, values, 0.0).sum(-1) / real.sum(-1)
    expect(call(fn, values, tokens, real), torch.tensor([4.0, 16.0, 26.0, 34.0]), pure=True, mistakes={
        "last-column": (torch.tensor([6.0, 16.0, 26.0, 36.0]),
                        "You read at the last column (or the last token that *looks* like eos). In rows 0 and 3 that "
                        "is padding: the reward of a text would depend on how long its neighbours are."),
        "first-eos": (torch.tensor([1.0, 12.0, 20.0, 35.0]),
                      "You read at the first eos. In rows 0 and 1 that is the end of the first turn: every reply "
                      "would get the reward of its request. Ask `real`, not `tokens`."),
        "before-the-first-pad": (torch.tensor([0.0, 11.0, 26.0, 34.0]),
                                 "You read in front of the first token that equals pad. With pad = eos it stands in "
                                 "the request. This is transformers #35352."),
        "looks-like-padding": (torch.tensor([3.0, 15.0, 25.0, 34.0]),
                               "You read at the last token that does not *look* like padding. With pad = eos that "
                               "misses the eos of the reply itself, the only token that knows that the text is over."),
        "only-right-padding": (torch.tensor([4.0, 16.0, 24.0, 34.0]),
                               "You counted the real tokens. That finds the end if padding stands on the right; in row "
                               "2 it stands on the left."),
        "off-by-one": (torch.tensor([3.0, 15.0, 25.0, 33.0]),
                       "You read one token early: the last of n things has the number n − 1, and you took n − 2."),
        "off-by-one-counted": (torch.tensor([3.0, 15.0, 23.0, 33.0]),
                               "You read one token early, and counted real tokens, which is not where they stand if "
                               "padding is on the left."),
        "first-token": (torch.tensor([0.0, 10.0, 22.0, 30.0]),
                        "You read at the *first* real token (`argmax` finds the first of equal numbers). It has seen "
                        "nothing of the reply."),
        "mean": (mean, "You averaged over the tokens. All but the last have seen only a part of the text, and none of "
                       "them was trained to be a reward."),
        "highest": (torch.where(real, values, -1e9).max(-1).values + 0.5, "You took the largest value."),
    })
    spoiled = torch.where(real, -values, torch.nan)
    expect(call(fn, spoiled, tokens, real), torch.tensor([-4.0, -16.0, -26.0, -34.0]), mistakes={
        "nan": (lambda r: bool(torch.isnan(torch.as_tensor(r)).any()),
                "What stands on padding got into the result: 0 · NaN is NaN, so a mask that is *multiplied* does not "
                "help. Pick the one value by its index."),
        "highest": (torch.tensor([0.0, -10.0, -22.0, -30.0]),
                    "You took the largest value of each text. Read at the last real token, whatever it says."),
    })


@exercise("13.3", title="How accurate, and how sure of it?", hints=[
    "Make the N hits first: 1, ½ or 0. The rest is the mean of a list and the error of a mean.",
    "`(chosen - rejected).sign()` is +1, 0 or −1: shift and shrink it. `tensor.std()` divides by N − 1.",
    "`hits = ((chosen - rejected).sign() + 1) / 2`; return `hits.mean(), hits.std() / len(hits) ** 0.5`",
])
def check_accuracy_with_error(fn):
    """Hits 1, ½, 0, 1, 1: the mean is .7, the squared deviations add up to .8, so sd² = .8/4 and the error is .2."""
    import torch

    chosen, rejected = torch.tensor([2.0, 1.0, 0.0, 3.0, 5.0]), torch.tensor([1.0, 1.0, 1.0, 0.0, 4.0])
    expect(_numbers(call(fn, chosen, rejected)), (0.7, 0.2), pure=True, mistakes={
        "tie-is-a-miss": (_first(0.6), "You counted a tie as a miss. A judge without an opinion then has 0 %, worse "
                                       "than a coin, and looks as if it were reliably wrong."),
        "tie-is-a-hit": (_first(0.8), "You counted a tie as a hit. A judge that gives every reply the same reward then "
                                      "has 100 %."),
        "ties-left-out": (_first(0.75), "You left the ties out. A judge could then choose which pairs it is asked: a "
                                        "tie is a pair it could not decide, and counts ½."),
        "sign": (_first(0.3), "The wrong way round: a hit is where the *chosen* reply has the higher reward."),
        "not-a-share": (_first(3.5), "This is the number of hits; the accuracy is their share."),
        "spread-not-error": (_second(0.2**0.5), "This is the standard deviation of one pair. A mean over N pairs is "
                                                "surer by the root of N: divide by it."),
        "divided-by-n": (_second(0.2**0.5 / 5), "You divided by N and not by its root: four times the pairs make the "
                                                "error half as large."),
        "variance": (_second(0.04), "This is the variance of the mean; the standard error is its root."),
        "population": (_second(0.4 / 5**0.5), "You divided by N inside the standard deviation. The mean was estimated "
                                              "from the same pairs: N − 1 (Bessel)."),
        "binomial": (_second((0.7 * 0.3 / 5) ** 0.5), "√(p(1 − p)/N) is for hits of 0 and 1. With ties at ½ it is too "
                                                      "large; use the spread of the hits themselves."),
    })
    expect(_numbers(call(fn, torch.zeros(4), torch.zeros(4))), (0.5, 0.0))
    dice = torch.Generator().manual_seed(0)
    a, b = torch.randn(50, generator=dice), torch.randn(50, generator=dice)
    hits = (a > b).float()
    expect(_numbers(call(fn, a, b)), (hits.mean().item(), hits.std().item() / 50**0.5))


class _Suspect:
    """A reward for 13.4: a bias per word that differs by prompt, and a quality that has nothing to do with length."""

    def __call__(self, prompts, completions, **_):
        per_word = {"a": 0.1, "b": 0.3, "c": 0.2, "d": -0.2}
        quality = {"sour": 10.0, "glue": -10.0, "sorry": 4.0}
        values = []
        for prompt, text in zip(prompts, completions, strict=True):
            words = text.split()
            value = per_word[prompt] * len(words) + sum(quality.get(word, 0.0) for word in words)
            if words[-1:] != ["."]:
                value -= 50.0  # it does not come to its point
            if words.count(".") > 1:
                value -= 20.0  # two sentences
            values.append(value)
        return values

    def __repr__(self):
        return "reward"


@exercise("13.4", title="Catch the bias", hints=[
    "Make a second list of replies, with the phrase in them. Both lists go to the same reward, with the same prompts.",
    "`reply.removesuffix(\" .\") + f\" , {filler} .\"` is the longer reply. Subtract first, average afterwards.",
    "`change = torch.tensor(reward(prompts, longer)) - torch.tensor(reward(prompts, replies))`; return `change.mean(), "
    "change.std() / len(change) ** 0.5`",
])
def check_filler_test(fn):
    """Five words more (the comma is one) at .1, .3 and .2 each: .5, 1.5 and 1; the mean is 1, sd ½, error ½/√3."""
    import torch

    prompts = ["a", "b", "c"]
    replies = ["the apple is red .", "good question , the lemon is sour .", "use glue to fix the boat ."]
    filler, suspect = "as everyone can see", _Suspect()
    plain = torch.tensor(suspect(prompts, replies))
    longer = torch.tensor(suspect(prompts, [reply[:-2] + f" , {filler} ." for reply in replies]))
    unpaired = ((plain.var() + longer.var()) / 3).sqrt().item()
    error = 0.5 / 3**0.5
    expect(_numbers(call(fn, suspect, prompts, replies, filler)), (1.0, error), mistakes={
        "sign": (_first(-1.0), "The wrong way round: the change is *with* the phrase minus *without* it."),
        "behind-the-point": (_first(-49.0), "You put the phrase behind the point. The reply no longer ends as replies "
                                            "end, and the judge minds *that*: it was to differ in nothing else."),
        "second-point": (_first(1.2 - 20.0), "There are two points now, that is two sentences. Take the old one away "
                                             "first: only one thing may change."),
        "no-comma": (_first(0.8), "The comma in front of the phrase is missing. A phrase without it is no sentence of "
                                  "this world, and the judge may mind the grammar."),
        "per-word": (_first(0.2), "You divided by the number of words. Asked is the change for the whole phrase."),
        "not-compared": (lambda r: abs(r[0] - longer.mean().item()) < 1e-4,
                         "This is the mean reward of the longer replies. It says nothing until the same replies "
                         "*without* the phrase are subtracted."),
        "unpaired": (_second(unpaired), "You combined the errors of the two means. Each reply is compared "
                                        "with itself: its own quality cancels in the difference. Subtract first, then "
                                        "take the spread of the changes."),
        "spread-not-error": (_second(0.5), "This is the spread of the changes. The mean of N of them is surer by the "
                                           "root of N."),
        "divided-by-n": (_second(0.5 / 3), "You divided by N, not by its root."),
        "population": (_second((0.5 / 3) ** 0.5 / 3**0.5), "You divided by N inside the standard deviation; it is "
                                                           "N − 1."),
    })
    prompts, replies = ["a", "d"], ["the apple is red .", "sorry i will not help with that ."]
    filler = "that is quite true indeed so"  # seven words with the comma, at .1 and −.2: .7 and −1.4
    expect(_numbers(call(fn, suspect, prompts, replies, filler)), (-0.35, 1.05), mistakes={
        "filler-ignored": (_first(-0.25), "The phrase is an argument, and this time it is another one."),
        "absolute": (_first(1.05), "You averaged the *size* of the changes. A judge that likes half of the phrases and "
                                   "dislikes the others is noisy, not biased."),
    })


@exercise("13.5", title="What is the chosen one worth?", hints=[
    "The judge decides about the order, gold about what is averaged. Which of the two is sorted?",
    "`proxy.argsort()` are the places of the replies, worst first: put `gold` into that order. Python counts from 0: "
    "reply i has i replies below it.",
    "`weights = torch.tensor([comb(i, k - 1) / comb(N, k) for i in range(N)])`; `(gold[proxy.argsort()] * "
    "weights).sum()`",
])
def check_gold_of_the_chosen(fn):
    """By the judge, worst first, gold is 2, 4, 1, −5. For k = 2 the weights are 0, 1, 2, 3 sixths: −9/6."""
    import torch

    proxy, gold = torch.tensor([0.3, 0.1, 0.4, 0.2]), torch.tensor([1.0, 2.0, -5.0, 4.0])
    expect(call(fn, proxy, gold, 2), -1.5, pure=True, mistakes={
        "gold-sorted": (17 / 6, "You sorted gold by itself. Then gold does the choosing: this is what best-of-k would "
                                "give if the judge knew the truth."),
        "proxy-of-the-chosen": (1 / 3, "This is what the *judge* says of its choice. It always rises with k; asked is "
                                       "what the choice is worth."),
        "with-replacement": (-1.0, "These are the weights (i/N)^k − ((i−1)/N)^k, as if one reply could be drawn twice. "
                                   "The best of two equal draws is the same draw once: k is in effect smaller, and the "
                                   "estimate is biased towards k = 1."),
        "worst-of-k": (2.5, "Your order is the best first, so these weights choose the *worst* of k."),
        "shifted": (-14 / 6, "An off-by-one: with Python's i from 0, i replies are below, so the number of ways is "
                             "comb(i, k − 1). You have comb(i, k)."),
        "shifted-up": (-23 / 6, "An off-by-one: you counted the reply itself among those below it, comb(i, k) with i "
                                "from 1. These weights do not add up to 1."),
        "best-of-all": (-5.0, "This is the best of *all* N. With k < N there are draws that the top reply is not in."),
        "mean-of-all": (0.5, "This is the plain mean of gold, which is best-of-1."),
        "first-k": (1.0, "You looked at the first k replies only: one draw out of six. It is right on average and much "
                         "noisier, and the other N − k replies were paid for as well."),
        "chunks": (-2.0, "You cut the replies into groups of k. That is right on average, but looks at 2 draws of the "
                         "6, so it is noisier than it has to be, and the answer depends on the order of the replies."),
        "not-normalised": (-9.0, "The weights must add up to 1: divide by the number of all draws, comb(N, k)."),
    })
    expect(call(fn, proxy, gold, 1), 0.5)
    expect(call(fn, proxy, gold, 4), -5.0)
    dice = torch.Generator().manual_seed(0)
    proxy, gold = torch.randn(7, generator=dice), torch.randn(7, generator=dice)
    from itertools import combinations

    draws = [max(draw, key=lambda i: proxy[i].item()) for draw in combinations(range(7), 3)]
    expect(call(fn, proxy, gold, 3), gold[torch.tensor(draws)].mean().item())
    for k in (0, 8):
        expect_error(call(fn, proxy, gold, k), ValueError, says="k must")
