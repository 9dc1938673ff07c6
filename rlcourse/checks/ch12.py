"""Checks of chapter 12: leave one out, the loss of an answer, dead groups, pass@k, and a reward to be trusted."""

from rlcourse.exam import CheckFailed, call, exercise, expect, expect_error, require


@exercise("12.1", title="Compared with the others", hints=[
    "What is the sum of the others, if you have the sum of all?",
    "The others' mean is (sum of the group − own reward) / (G − 1). `sum(-1, keepdim=True)` keeps an axis, so that the "
    "group's sum lines up with its members.",
    "`rewards - (rewards.sum(-1, keepdim=True) - rewards) / (rewards.shape[-1] - 1)`, after a look at the group size",
])
def check_leave_one_out(fn):
    """Two questions, three answers each: others' means by hand."""
    import torch

    rewards = torch.tensor([[1.0, 0.0, 2.0], [4.0, 4.0, 7.0]])
    expected = torch.tensor([[0.0, -1.5, 1.5], [-1.5, -1.5, 3.0]])  # 1 − (0 + 2)/2, 0 − (1 + 2)/2, …
    expect(call(fn, rewards), expected, pure=True, mistakes={
        "own-reward-counted": (rewards - rewards.mean(-1, keepdim=True),
                               "You subtracted the mean of the whole group, the answer itself included. That is a fair "
                               "comparison too, only scaled down by (G − 1)/G; leave one out wants the others' mean."),
        "mean-over-the-batch": (rewards - rewards.mean(),
                                "You subtracted the mean over all questions. An answer to a hard question would be "
                                "punished for the question: compare within its own row."),
        "wrong-axis": (_leave_one_out(rewards.T).T,
                       "You compared along the questions. The group, answers to the same question, is the last axis, "
                       "−1."),
        "wrong-axis-mean": (rewards - rewards.mean(0),
                            "You averaged over the questions, axis 0. The answers to one question stand along the last "
                            "axis."),
        "sign-flipped": (-expected, "The sign is turned round: this would make good answers *less* likely. It is the "
                                    "reward minus the others' mean."),
        "divided-by-all": (rewards - (rewards.sum(-1, keepdim=True) - rewards) / 3,
                           "You divided the others' sum by G. There are G − 1 of them."),
        "sum-of-others": (rewards - (rewards.sum(-1, keepdim=True) - rewards),
                          "You subtracted the others' *sum*. Divide it by how many they are, G − 1."),
        "divided-by-std": ((rewards - rewards.mean(-1, keepdim=True)) / rewards.std(-1, keepdim=True),
                           "You divided by the standard deviation: that is GRPO's advantage (chapter 16). RLOO leaves "
                           "the scale alone."),
        "baseline-only": (rewards - expected, "That is the baseline. The advantage is the reward minus it."),
    })
    pair = call(fn, torch.tensor([[1.0, 0.0]]))
    expect(pair, [[1.0, -1.0]])  # of two answers, each is the other's yardstick
    expect(call(fn, torch.tensor([[0.5, 0.5, 0.5, 0.5]])), [[0.0] * 4])
    expect_error(call(fn, torch.tensor([[1.0], [0.0]])), ValueError, says="group",
                 why="A group of one has no others. Without an error 0/0 makes NaN of the whole model.")


def _leave_one_out(rewards):
    return rewards - (rewards.sum(-1, keepdim=True) - rewards) / (rewards.shape[-1] - 1)


@exercise("12.2", title="The loss of a batch of answers", hints=[
    "The log-probability of a whole answer is the *sum* over its own tokens. Which tokens are its own, the mask says.",
    "First `log_probs.masked_fill(~mask, 0.0)`, then sum over the last axis: `[B]`, which goes with `advantages` "
    "`[B]`. Multiply, take the mean over answers, and mind the sign: a loss goes *down*.",
    "`-(advantages * log_probs.masked_fill(~mask, 0.0).sum(-1)).mean()`",
])
def check_answers_loss(fn):
    """Three answers of 2, 1 and 2 own tokens behind a prompt token; then junk, then the gradient."""
    import torch

    log_probs = torch.tensor([[-7.0, -1.0, -2.0], [-7.0, -4.0, -7.0], [-7.0, -1.0, -3.0]])
    mask = torch.tensor([[False, True, True], [False, True, False], [False, True, True]])
    advantages = torch.tensor([1.0, -0.5, 2.0])
    own = log_probs.masked_fill(~mask, 0.0)
    each = advantages[:, None]  # [B, 1]
    expect(call(fn, log_probs, mask, advantages), 3.0, pure=True, mistakes={  # −(1·(−3) − ½·(−4) + 2·(−4)) / 3
        "sign-flipped": (-3.0, "The sign is turned round. Torch *minimises*: without the minus it would make the "
                                 "good answers rare."),
        "prompt-learned-from": (-(each * log_probs).sum(-1).mean(),
                                "You counted tokens that the policy did not write, the prompt and the padding. `mask` "
                                "is True for its own."),
        "mask-inverted": (-(each * log_probs.masked_fill(mask, 0.0)).sum(-1).mean(),
                          "You kept the prompt and the padding and dropped the answer. `mask` is True for the policy's "
                          "own tokens."),
        "mean-over-tokens": (-(each * own).sum() / mask.sum(),
                             "You divided by the number of tokens. The mean is over answers: an answer's "
                             "log-probability is a sum, whatever its length."),
        "mean-of-means": (-(advantages * own.sum(-1) / mask.sum(-1)).mean(),
                          "You averaged over each answer's own tokens. Then a token of a long answer counts less; the "
                          "log-probability of an answer is the *sum* (chapter 17 comes back to this)."),
        "padded-mean": (-(each * own).mean(), "You divided by B · T, padding and prompts included. Sum over an "
                                                 "answer's tokens, then take the mean over the B answers."),
        "sum-over-answers": (9.0, "You added the answers up. With a larger batch the steps would grow; "
                                                "take the mean over answers."),
        "last-token-only": (-(advantages * torch.tensor([-2.0, -4.0, -3.0])).mean(),
                            "Only the last token of each answer is learned from. The reward came at the end, but every "
                            "token of the answer had a part in it."),
        "wrong-broadcast": (-(advantages * own).sum(-1).mean(),
                            "You multiplied `[B, T]` by `[B]`: here B = T, so torch lined the advantages up with "
                            "*time* and said nothing. Sum over tokens first, or write `advantages[:, None]`."),
        "advantage-ignored": (-own.sum(-1).mean(),
                              "The advantages are missing. This makes every answer likelier, whatever it was worth."),
    })
    junk = torch.tensor([[float("nan"), -1.0, float("-inf")]])
    expect(call(fn, junk, torch.tensor([[False, True, False]]), torch.tensor([2.0])), 2.0, mistakes={
        "mask-multiplied": (lambda r: torch.as_tensor(r).isnan().item(),
                            "You multiplied by the mask, and 0 · NaN is NaN, as is 0 · (−∞). Use `masked_fill` or "
                            "`torch.where`, which never touch what they leave out."),
    })
    scores = torch.tensor([[-1.0, -2.0]], requires_grad=True)
    loss = call(fn, scores, torch.tensor([[True, True]]), torch.tensor([3.0])).value
    require(isinstance(loss, torch.Tensor) and loss.requires_grad, called="the loss of log_probs with a gradient",
            returned="a number without one", expected="a tensor that can be differentiated", mistake="gradient-lost",
            why="`.item()`, `.detach()`, `float()` or `torch.tensor()` cut the way back to the policy's weights.")
    loss.backward()
    expect(scores.grad, [[-3.0, -3.0]], called="the gradient of the loss with respect to log_probs", mistakes={
        "gradient-lost": (lambda r: not r.any(), "The loss has the right value and the gradient 0: somewhere the "
                                                 "log-probs were detached."),
    })


@exercise("12.3", title="Nothing to compare", hints=[
    "There are two ways for a group to be dead. What is the chance of each?",
    "All right: p for each answer, `group_size` times. All wrong: 1 − p, as often. Both cannot happen at once.",
    "`p**group_size + (1 - p) ** group_size`",
])
def check_dead_group(fn):
    """p = .2 and three answers: .008 + .512."""
    expect(call(fn, 0.2, 3), 0.52, mistakes={
        "only-all-wrong": (0.512, "You counted the groups in which all answers are wrong. All right is just as dead: "
                                  "nothing stands out."),
        "only-all-right": (0.008, "You counted the groups in which all answers are right. All wrong is just as dead."),
        "alive": (0.48, "That is the chance that the group is *alive*, one minus what was asked."),
        "times-not-power": (3 * (0.2 + 0.8), "You multiplied by the group size. Three answers in a row that are all "
                                             "right have probability p · p · p."),
        "multiplied": (0.008 * 0.512, "You multiplied the two ways. They exclude each other, so their chances add."),
        "one-answer": (1.0, "p + (1 − p) is 1: the powers are missing."),
    })
    expect(call(fn, 0.5, 1), 1.0)  # one answer has nothing to be compared with
    expect(call(fn, 0.0, 8), 1.0)
    expect(call(fn, 0.9, 8), 0.43046722)


@exercise("12.4", title="pass@k", hints=[
    "Turn the question round: what share of the picks contains *no* right answer?",
    "A pick without a right answer takes all its k from the `samples − correct` wrong ones.",
    "`1 - comb(samples - correct, k) / comb(samples, k)`",
])
def check_pass_at_k(fn):
    """Five answers of which two are right; of the ten picks of two, three contain none of them."""
    expect(call(fn, 5, 2, 2), 0.7, mistakes={
        "as-if-put-back": (1 - 0.6**2, "1 − (1 − c/n)ᵏ picks an answer, puts it back, and may pick it again. It is too "
                                       "low on average: count picks of k *different* answers."),
        "one-minus-forgotten": (0.3, "That is the chance that *none* of the k is right. Subtract it from 1."),
        "k-times": (0.8, "You multiplied c/n by k. Two attempts can both be right, and are then counted twice."),
        "pass-at-1": (0.4, "That is pass@1, c/n: k is missing."),
        "all-of-them": (0.1, "You counted picks in which *all* k are right. One right answer is enough."),
        "any-of-all": (1.0, "You asked whether any of all samples is right: that is pass@n. Only k attempts count."),
    })
    expect(call(fn, 5, 4, 2), 1.0, mistakes={
        "too-few-wrong-ones": (ValueError, "With one wrong answer there is no pick of two wrong ones: that share is 0, "
                                           "and no error. `math.comb` knows it; factorials of negative numbers do "
                                           "not."),
    })
    expect(call(fn, 64, 0, 64), 0.0)
    expect(call(fn, 2000, 1, 1000), 0.5, mistakes={
        "overflow": (OverflowError, "Factorials as floats run out at 170! `math.comb` works with whole numbers of any "
                                    "size."),
        "overflow-nan": (lambda r: r != r, "Factorials as floats run out at 170!, and ∞/∞ is NaN. `math.comb` works "
                                           "with whole numbers of any size."),
    })


_TEXTS = [  # completion, what it is worth if the answer is 102, the mistake of who pays otherwise, and why
    ("17 and 85 make 102 #### 102", 1.0, "refuses-thinking",
     "This one is right: it thinks aloud and then gives one answer."),
    ("####102", 1.0, "wants-spaces", "Spaces around the number are allowed, not required."),
    ("####  102  ", 1.0, "refuses-spaces", "Spaces around the number are allowed."),
    ("#### 101", 0.0, "always-pays", "101 is wrong."),
    ("the answer is 102", 0.0, "marker-not-needed",
     "There is no marker, so nothing was answered. Pay for numbers in the running text, and the policy will learn to "
     "mention many."),
    ("102 #### 101", 0.0, "looks-before-the-marker", "What counts stands *behind* the marker; this one answered 101."),
    ("#### 100 #### 101 #### 102", 0.0, "takes-the-last-guess",
     "Three markers, three guesses. Whoever takes the last one, or any, pays for trying."),
    ("#### 102 #### 7", 0.0, "takes-the-first-guess", "Two markers, two guesses. Exactly one is allowed."),
    ("#### 102 or 103", 0.0, "takes-the-beginning",
     "Behind the number stands another guess. `re.match` and `re.search` are content with a part of the text; "
     "`re.fullmatch` wants all of it."),
    ("#### 101 or 102", 0.0, "takes-the-end", "There stand two numbers behind the marker, and the policy need only "
                                              "make the last one right. Nothing but one number may stand there."),
    ("#### 102103104", 0.0, "digits-cut-off", "That is the number 102103104: it only begins with 102."),
    ("#### 1_02", 0.0, "python-numbers", "`int()` reads Python's numbers, underscores included. Say with a regular "
                                         "expression what a number is, before `int` sees it."),
    ("#### 100+2", 0.0, "runs-what-it-reads", "Your function works out the sum *for* the policy, which would learn to "
                                              "repeat the question. And whoever runs what a model wrote will one day "
                                              "run something else."),
    ("#### 102.0", 0.0, "reads-decimals", "Digits only: 102.0 is not of the form that was asked for. If forms are to "
                                          "be forgiven, say so in the task."),
    ("#### -102", 0.0, "sign-lost", "That is minus 102."),
    ("#### 0000000102", 0.0, "no-length-cap", "Ten digits, and at most six are allowed."),
    ("#### " + "1" * 5000, 0.0, "no-length-cap", "Five thousand digits."),
    ("####", 0.0, "pays-for-nothing", "Nothing stands behind the marker."),
    ("", 0.0, "pays-for-nothing", "Nothing was written."),
    ("#### １０２", 0.0, "other-scripts", "Those are digits of another script. `\\d`, `isdigit` and `int` take "
                                         "hundreds of them; `[0-9]` takes ten."),
    ("#### +102", 0.0, "plus-sign", "A minus sign was allowed, a plus sign was not."),
    ("#### --102", 0.0, "two-signs", "One minus sign at most."),
    ("#### 0000102", 0.0, "seven-digits", "Seven digits, and at most six are allowed."),
    ("#### 102\n", 0.0, "line-break", "A line break is no space. `$` and `\\s` let it pass."),
    ("#### 000102", 1.0, "refuses-zeros", "Six digits, and the number is 102: it is allowed."),
]  # fmt: skip


@exercise("12.5", title="A reward that cannot be talked round", hints=[
    "Two questions, one after the other: is there exactly one marker, and is *all* that stands behind it one number?",
    "`text.split('####')` has two parts if there is one marker. `re.fullmatch(r' *(-?[0-9]{1,6}) *', part)` is None "
    "unless the whole part is such a number; `found[1]` is the number as text.",
    "`parts = text.split('####')`; `found = re.fullmatch(…, parts[1]) if len(parts) == 2 else None`; "
    "`1.0 if found and int(found[1]) == right else 0.0`",
])
def check_marked_answer(fn):
    """Twenty-five completions, honest ones and others, each by itself; then several at once."""
    name = getattr(fn, "__name__", "your function")
    for text, worth, key, why in _TEXTS:
        shown = repr(text) if len(text) < 60 else f"{text[:12]!r} and so on, {len(text)} characters"
        came = call(fn, ["17+85="], [text], answer=[102])
        came.text = f"{name}(['17+85='], [{shown}], answer=[102])"
        if came.error is not None and worth == 0.0 and not isinstance(came.error, NotImplementedError):
            raise CheckFailed(came.text, f"{type(came.error).__name__}: {str(came.error)[:80]}", "[0.0]",
                              "no-length-cap" if len(text) > 1000 else "raises-on-nonsense",
                              "Whatever a policy writes, the reward must live with it: a training of days would end "
                              "here. What cannot be read is worth 0.", "It raised") from came.error
        expect(came, [worth], mistakes={key: ([1.0 - worth], why)})
    expect(call(fn, ["a", "b", "c"], ["#### 5", "#### 6", "#### -7"], answer=[5, 5, -7]), [1.0, 0.0, 1.0], mistakes={
        "first-answer-for-all": ([1.0, 0.0, 0.0], "Each completion has an answer of its own: `zip(completions, "
                                                  "answer)`."),
        "sign-lost": ([1.0, 0.0, 0.0], "A minus sign is allowed, and −7 is right."),
    })
    expect(call(fn, ["a"], ["#### 0"], answer=[0]), [1.0], mistakes={
        "zero-is-false": ([0.0], "0 is an answer like any other; `if number` takes it for nothing."),
    })
