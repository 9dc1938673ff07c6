"""Checks of chapter 15: from a reward to a policy and back, and what the loss does not look at."""

from contextlib import suppress

from rlcourse.exam import call, exercise, expect, expect_error, require


def _number(came):
    """The answer as one float where it can be."""
    if came.error is None:
        with suppress(TypeError, ValueError, RuntimeError):
            came.returned = float(getattr(came.returned, "detach", lambda: came.returned)())
    return came


def _close(wrong):
    """A recogniser that compares within the rounding of single precision."""
    import torch

    wrong = torch.as_tensor(wrong, dtype=torch.float32)

    def same(returned):
        answer = torch.as_tensor(returned, dtype=torch.float32)
        return answer.shape == wrong.shape and torch.allclose(answer, wrong, rtol=1e-4, atol=1e-5)

    return same


@exercise("15.1", title="The best policy under a price", hints=[
    "Each reply's old probability is multiplied by a number that depends on its reward. What makes the products a "
    "policy?",
    "e^1000 does not fit into a float. A softmax takes logarithms, and is not bothered by them: what is the logarithm "
    "of ref · e^(r/β)?",
    "`(ref.log() + rewards / beta).softmax(-1)`",
])
def check_best_policy(fn):
    """β = 2 and rewards 2 ln (1, 3, 2): .5·1, .3·3 and .2·2 are .5, .9 and .4, and their sum is 1.8."""
    import math

    import torch

    ref, beta = torch.tensor([0.5, 0.3, 0.2]), 2.0
    rewards = beta * torch.tensor([1.0, 3.0, 2.0]).log()
    tilted = torch.tensor([0.5, 0.9, 0.4])
    best = tilted / 1.8
    expect(call(fn, ref, rewards, beta), best, pure=True, mistakes={
        "times-beta": (_close((ref.log() + rewards * beta).softmax(-1)),
                       "You multiplied by β where it divides: then a high price would send the policy *further*."),
        "no-beta": (_close((ref.log() + rewards).softmax(-1)), "The price β is missing: the exponent is r/β."),
        "no-reference": (_close((rewards / beta).softmax(-1)),
                         "The reference is missing. This is the best policy if only reward and entropy count, that is, "
                         "with a reference that says everything alike."),
        "not-normalised": (_close(tilted), "These do not add up to 1: divide by their sum, Z."),
        "reference-not-log": (_close((ref + rewards / beta).softmax(-1)),
                              "Inside a softmax the reference stands as a *logarithm*: e^(ref + r/β) is not "
                              "ref · e^(r/β)."),
        "sign": (_close((ref.log() - rewards / beta).softmax(-1)), "The sign of the reward: this policy looks for the "
                                                                   "worst replies."),
        "greedy": (_close([0.0, 1.0, 0.0]), "This says the reply with the highest reward only, which is best when "
                                            "leaving is free. At a price, the reference keeps a say."),
        "weighted-rewards": (_close(ref * rewards / (ref * rewards).sum()),
                             "You weighted the reference with the rewards. The factor is e^(r/β), which is never "
                             "negative, and 1 where the reward is 0."),
        "log-probs": (_close(best.log()), "These are the log-probabilities: the probabilities were asked for."),
    })
    expect(call(fn, torch.tensor([0.25, 0.25, 0.5]), torch.tensor([1000.0, 1001.0, 0.0]), 1.0),
           torch.tensor([1 / (1 + math.e), math.e / (1 + math.e), 0.0]), mistakes={
        "overflow": (lambda r: bool(torch.as_tensor(r).isnan().any()),
                     "e^1000 is too large for a float, and ∞/∞ is no number. Take the logarithm of "
                     "ref · e^(r/β), and leave the exponential to `softmax`, which subtracts the largest first."),
    })  # fmt: skip
    expect(call(fn, torch.tensor([0.0, 0.5, 0.5]), torch.tensor([1000.0, 0.0, math.log(3)]), 1.0),
           torch.tensor([0.0, 0.25, 0.75]), mistakes={
        "largest-never-said": (lambda r: bool(torch.as_tensor(r).isnan().any()),
                               "You subtracted the largest reward, but that reply is never said: all the others round "
                               "to 0, and 0/0 is no number. The largest of `ref.log() + rewards / beta` is what to "
                               "subtract."),
        "smoothed": (lambda r: float(torch.as_tensor(r)[0]) > 0,
                     "The first reply has probability 0 under the reference, and 0 times anything is 0. You gave it "
                     "some (by adding a small number before the logarithm?): with a large reward it would win."),
    })  # fmt: skip


@exercise("15.2", title="The implicit reward", hints=[
    "The probability of a whole reply is a product over its tokens. What is its logarithm?",
    "Only tokens with a True in the mask count. NaN times 0 is NaN: choose them with `torch.where`, do not multiply.",
    "`beta * torch.where(mask, log_probs - ref_log_probs, 0.0).sum(-1)`",
])
def check_implicit_reward(fn):
    """Differences 1 and 2 in the first reply, −1, −1 and 4 in the second; β = .5 makes of them 1.5 and 1."""
    import torch

    ref = torch.tensor([[-9.0, -3.0, -4.0, -1.0], [-20.0, -1.0, -1.0, -6.0]])
    change = torch.tensor([[8.0, 1.0, 2.0, -5.0], [16.0, -1.0, -1.0, 4.0]])
    mask = torch.tensor([[0, 1, 1, 0], [0, 1, 1, 1]]).bool()
    ours = ref + change

    def tells(numbers):
        return _close(numbers)

    expect(call(fn, ours, ref, mask, 0.5), torch.tensor([1.5, 1.0]), pure=True, mistakes={
        "everything-counted": (tells([3.0, 9.0]), "You counted the request and the padding as well. The policy has not "
                                                  "written them: use the mask."),
        "prompt-counted": (tells([5.5, 9.0]), "You counted the tokens of the *request*. They are given, the policy has "
                                              "not chosen them."),
        "padding-counted": (tells([-1.0, 1.0]), "You counted the padding behind the reply."),
        "mean": (tells([0.75, 1 / 3]), "This is the mean over the tokens. The probability of a reply is the *product* "
                                       "over its tokens, so the log-ratio is a sum. (Per token is another algorithm, "
                                       "`length_normalize`.)"),
        "no-reference": (tells([0.5 * (-2 - 2), 0.5 * (-2 - 2 - 2)]),
                         "The reference is missing: β log π is high for whatever is said often anyway."),
        "sign": (tells([-1.5, -1.0]), "You subtracted the wrong way round: a reply that has become *likelier* than it "
                                      "was has a positive reward."),
        "no-beta": (tells([3.0, 2.0]), "β is missing."),
        "divided-by-beta": (tells([6.0, 4.0]), "You divided by β. π ∝ ref · e^(r/β), so r = β log(π/ref)."),
        "ratio": (lambda r: tells(0.5 * torch.tensor([3.0, 2.0]).exp())(r),
                  "This is the ratio π/π_ref, without its logarithm."),
        "eos-dropped": (tells([0.5, -1.0]), "The last token of the reply is missing. `<eos>` is an action, too: the "
                                            "decision to stop."),
    })
    junk = torch.tensor([float("nan"), float("-inf")])
    for number in junk:
        broken = torch.where(mask, ours, number)
        expect(call(fn, broken, torch.where(mask, ref, number), mask, 0.5), torch.tensor([1.5, 1.0]), mistakes={
            "junk": (lambda r: bool(torch.as_tensor(r).isnan().any()),
                     "What stands outside the mask got in: 0 · NaN is NaN, and so is −∞ − (−∞). Choose with "
                     "`torch.where(mask, …, 0.0)` in place of multiplying by the mask."),
        })  # fmt: skip
    # a long reply: its probability is e^−600, its log-ratio 150
    far = torch.full((1, 3), -200.0)
    expect(call(fn, far, far - 50.0, torch.ones(1, 3, dtype=torch.bool), 0.5), torch.tensor([75.0]), mistakes={
        "underflow": (lambda r: bool(torch.as_tensor(r).isnan().any()),
                      "e^−600 is 0 in a float, and 0/0 is no number. Stay with logarithms: subtract, do not divide."),
    })


@exercise("15.3", title="DPO's loss", hints=[
    "Four log-probs. How much likelier has the chosen reply become, and how much the rejected one?",
    "It is the loss of chapter 13 on β times those two. `torch.nn.functional.logsigmoid` never overflows.",
    "`margin = (chosen - ref_chosen.detach()) - (rejected - ref_rejected.detach())`; "
    "`return -F.logsigmoid(beta * margin).mean()`",
])
def check_dpo(fn):
    """Log-ratios 2 and −1, then 1 and 2: margins 3 and −1; β = .5 makes of them 1.5 and −.5."""
    import math

    import torch
    import torch.nn.functional as F

    ref_chosen, ref_rejected = torch.tensor([-5.0, -7.0]), torch.tensor([-6.0, -4.0])
    chosen, rejected = torch.tensor([-3.0, -6.0]), torch.tensor([-7.0, -2.0])
    margin = torch.tensor([3.0, -1.0])

    def loss(m):
        return -F.logsigmoid(torch.as_tensor(m)).mean().item()

    came = _number(call(fn, chosen, rejected, ref_chosen, ref_rejected, 0.5))
    expect(came, loss(0.5 * margin), pure=True, mistakes={
        "swapped": (loss(-0.5 * margin), "Chosen and rejected are swapped somewhere: this trains the policy to say "
                                         "what was *rejected*."),
        "no-log": (-torch.sigmoid(0.5 * margin).mean().item(),
                   "The logarithm is missing. −σ has no slope left where the model is very wrong."),
        "one-minus-sigma": (torch.sigmoid(-0.5 * margin).mean().item(),
                            "The logarithm is missing: 1 − σ is bounded, and has no slope left where the model is very "
                            "wrong."),
        "loss-sign": (-loss(0.5 * margin), "The sign of the loss: log-probabilities are negative, and training makes "
                                           "*minus* their mean small."),
        "reference-added": (loss(0.5 * ((chosen + ref_chosen) - (rejected + ref_rejected))),
                            "The reference stands in with the wrong sign, or each reply was measured against the other "
                            "one's: log(π/ref) is log π *minus* log ref of the same reply."),
        "no-reference": (loss(0.5 * (chosen - rejected)),
                         "The reference is missing. Then a pair that the model has always preferred counts as learned, "
                         "and nothing holds the policy where it was."),
        "no-beta": (loss(margin), "β is missing."),
        "divided-by-beta": (loss(margin / 0.5), "You divided by β. The implicit reward is β *times* the log-ratio."),
        "beta-outside": (0.5 * loss(margin), "β stands outside of the logarithm. It has to scale the margin."),
        "sum-not-mean": (2 * loss(0.5 * margin), "This is the sum over the pairs; the mean was asked for."),
        "of-the-mean": (loss(0.5 * margin.mean()), "You took the mean of the margins first. Each pair is a question of "
                                                   "its own: a pair that is right must not pay for one that is wrong."),
        "hinge": ((1 - 0.5 * margin).clamp(min=0).mean().item(),
                  "A hinge: that is another loss (SLiC). Bradley and Terry's chances give −log σ."),
    })  # fmt: skip
    same = call(fn, chosen, rejected, chosen, rejected, 0.5)
    expect(_number(same), math.log(2))
    far = call(fn, torch.tensor([-2000.0]), torch.tensor([-1.0]), torch.tensor([-1.0]), torch.tensor([-1.0]), 0.1)
    expect(_number(far), 199.9, mistakes={
        "overflow": (lambda r: not math.isfinite(r), "A pair that is very wrong: σ is rounded to 0, and log 0 is −∞. "
                                                     "Use `torch.nn.functional.logsigmoid`."),
        "propped-up": (lambda r: r < 199, "Finite, but far too small: a small number inside the logarithm (or a clamp) "
                                          "hides how wrong the pair is, and takes its slope away. Use "
                                          "`torch.nn.functional.logsigmoid`."),
    })
    live = [torch.tensor([-3.0, -6.0], requires_grad=True) for _ in range(4)]
    answer = call(fn, *live, 0.5).value
    grads = torch.autograd.grad(torch.as_tensor(answer), live, allow_unused=True)
    require(grads[0] is not None and grads[1] is not None, called="the gradient of the loss", returned="none",
            expected="one in chosen and one in rejected", mistake="no-gradient",
            why="No gradient comes out: somewhere the log-probs became plain numbers (`.item()`, `.detach()`).")
    # all log-ratios are 0: β σ(0) over 2 pairs is .125
    slopes = torch.allclose(grads[0], torch.full((2,), -0.125)) and torch.allclose(grads[1], torch.full((2,), 0.125))
    require(slopes, called="the gradient of the loss", returned=f"{grads[0].tolist()}, {grads[1].tolist()}",
            expected="-0.125 each in chosen, 0.125 each in rejected", mistake="part-detached",
            why="The number is right, its slope is not: a part of the margin was detached from the policy.")
    require(all(grad is None or not grad.any() for grad in grads[2:]), called="the gradient of the loss",
            returned="one in ref_chosen or ref_rejected", expected="none there: the reference is data",
            mistake="reference-learns",
            why="A gradient goes into the reference. It is what the policy is measured against, and must not move: "
                "`.detach()` it.")
    for beta in (0.0, -0.1):
        expect_error(call(fn, chosen, rejected, ref_chosen, ref_rejected, beta), ValueError, says="beta")


@exercise("15.4", title="How hard a pair pulls", hints=[
    "−log σ(x) has the slope −σ(−x). What is x, and what is the slope of x in `chosen`? In `rejected`?",
    "x = β · (difference of log-ratios), so its slope is β in `chosen` and −β in `rejected`. policy_gradient_loss has "
    "the slope −advantage.",
    "`pull = beta * torch.sigmoid(-margin)`; `torch.stack([pull, -pull], -1)`",
])
def check_dpo_advantages(fn):
    """β = .5, margins 2 ln 3, 0 and −2 ln 3: σ(−β·margin) is ¼, ½ and ¾, and half of each is the pull."""
    import math

    import torch

    ref_chosen, ref_rejected = torch.tensor([-5.0, -7.0, -4.0]), torch.tensor([-6.0, -4.0, -4.0])
    lead = 2 * math.log(3) * torch.tensor([1.0, 0.0, -1.0])
    chosen, rejected = ref_chosen + lead - 1.0, ref_rejected - 1.0
    pull = torch.tensor([0.125, 0.25, 0.375])

    def both(p, sign=-1):
        return torch.stack([p, sign * p], -1)

    expect(call(fn, chosen, rejected, ref_chosen, ref_rejected, 0.5), both(pull), pure=True, mistakes={
        "sigma-of-the-margin": (_close(both(pull.flip(0))),
                                "This is σ(+m): it pulls hardest at the pairs that are learned already. The slope of "
                                "−log σ(m) is −σ(−m), the chance the model still gives to the *other* outcome."),
        "no-beta": (_close(both(2 * pull)), "A β is missing: the margin is β times the log-ratios, so the chain rule "
                                            "brings one out in front."),
        "beta-only-outside": (_close(both(0.5 * torch.sigmoid(-lead))), "β is missing inside σ: the margin is in units "
                                                                        "of reward, β times the log-ratios."),
        "both-praised": (_close(both(pull, 1)), "Both columns have the same sign. The rejected reply has to be blamed, "
                                                "and the loss falls when its log-prob does."),
        "loss-slope": (_close(both(-pull)), "These are the slopes of the loss. policy_gradient_loss puts the minus "
                                            "there itself: advantages are positive for what is to become likelier."),
        "no-sigma": (_close(both(torch.full((3,), 0.5))), "Every pair pulls alike here. DPO lets go of the pairs that "
                                                          "it has learned: there is a σ in it."),
        "margin-itself": (_close(both(0.5 * lead)), "This is the margin. The advantage is its slope through −log σ."),
        "no-reference": (_close(both(0.5 * torch.sigmoid(-0.5 * (chosen - rejected)))),
                         "The reference is missing in the margin."),
        "rejected-forgotten": (_close(torch.stack([pull, torch.zeros(3)], -1)),
                               "The rejected replies get nothing here. The loss depends on them as much as on the "
                               "chosen ones, with the other sign."),
        "divided-by-n": (_close(both(pull / 3)), "You divided by the number of pairs: the mean is taken outside."),
    })  # fmt: skip
    # β = .1 and a margin of 10 ln 3: σ(−ln 3) is ¼, and a tenth of it
    zero = torch.zeros(1)
    expect(call(fn, torch.full((1,), 10 * math.log(3)), zero, zero, zero, 0.1), both(torch.tensor([0.025])), mistakes={
        "half-for-beta": (_close(both(torch.tensor([0.125]))), "There is a ½ where a β should be: they were the same "
                                                               "number in the last example."),
    })


@exercise("15.5", title="Where did the probability go?", hints=[
    "Probabilities of *different* replies may be added up. Is each text there only once?",
    "`dict(zip(texts, log_probs.tolist()))` keeps one number per text. Exponentiate before you add.",
    "`1 - sum(math.exp(x) for x in dict(zip(texts, log_probs.tolist())).values())`",
])
def check_never_compared(fn):
    """Three different replies with probabilities .4, .1 and .05, of which the first stands there twice: 1 − .55."""
    import torch

    texts = ["yes .", "no .", "yes .", "i do not know ."]
    p = torch.tensor([0.4, 0.1, 0.4, 0.05])
    expect(_number(call(fn, texts, p.log())), 0.45, pure=True, mistakes={
        "counted-twice": (0.05, "A reply that stands in several pairs was counted each time. It is one reply, with one "
                                "probability."),
        "compared": (0.55, "This is the share that *has* been compared; the rest was asked for."),
        "mean": (1 - p.mean().item(), "You took the mean. Probabilities of different replies are added up."),
        "mean-of-different": (1 - 0.55 / 3, "You took the mean. Probabilities of different replies are added up."),
        "no-exp": (lambda r: abs(r - (1 - p.log().sum().item())) < 1e-4 or abs(
            r - (1 - p[[0, 1, 3]].log().sum().item())) < 1e-4,
                   "You added logarithms up, which multiplies the probabilities. Exponentiate first."),
        "product": (lambda r: any(abs(r - (1 - q.prod().item())) < 1e-5 for q in (p, p[[0, 1, 3]])),
                    "This is the chance of *not* saying all of them one after the other. One reply is said: add up."),
        "count": (0.25, "You counted texts. What matters is how likely the policy is to say them."),
    })  # fmt: skip
    twins = torch.tensor([0.3, 0.3, 0.2])
    expect(_number(call(fn, ["the a .", "the b .", "the c ."], twins.log())), 0.2, mistakes={
        "equal-numbers-merged": (0.5, "Two *different* replies may have equal probabilities. Tell them apart by their "
                                      "texts, not by their numbers."),
    })
