"""Checks of chapter 10: attention, the loss, what counts in it, sampling, and padding."""

from rlcourse.exam import CheckFailed, call, exercise, expect, expect_error, require


@exercise("10.1", title="Who listens to whom", hints=[
    "Three steps: all scores at once by one matrix product; hide the future; softmax along each row.",
    "Hide *before* the softmax: a score of −∞ becomes a share of 0, and the rest of the row still sums to 1. "
    "`torch.ones(T, T).triu(1)` is 1 strictly above the diagonal, where s > t.",
    "`scores = queries @ keys.T / math.sqrt(queries.shape[-1])`, then "
    "`scores.masked_fill(future, -torch.inf).softmax(-1)`",
])
def check_attention_shares(fn):
    """Three words; q·k is [[2, 0, 2], [0, 4, 2], [2, 4, 8]], d is 4, so the scores are half of that."""
    import torch

    queries = torch.tensor([[2.0, 0, 0, 0], [0, 2, 0, 0], [2, 2, 0, 2]])
    keys = torch.tensor([[1.0, 0, 0, 0], [0, 2, 0, 0], [1, 1, 0, 2]])
    products = queries @ keys.T  # [3, 3]
    scores, future = products / 2, torch.ones(3, 3).triu(1).bool()
    hidden = scores.masked_fill(future, -torch.inf)
    expect(call(fn, queries, keys), hidden.softmax(-1), pure=True, mistakes={
        "sees-the-future": (scores.softmax(-1), "Every word listens to all others, also to those that follow it. A "
                                                "model that sees the next word need not learn to guess it: hide every "
                                                "s > t."),
        "only-the-future": (lambda r: _close(r, scores.masked_fill(future.T, -torch.inf).softmax(-1)),
                            "You hid the past and kept the future: row t may see the columns up to t, so what is "
                            "hidden lies *above* the diagonal."),
        "blind-to-itself": (lambda r: _close(r[1:], scores.masked_fill(~future.T, -torch.inf).softmax(-1)[1:]),
                            "You hid the diagonal too. A word may listen to itself; the first one has nobody else, and "
                            "its row became NaN: 0/0. Use `triu(1)`, not `triu(0)`."),
        "masked-after-softmax": (scores.softmax(-1).masked_fill(future, 0.0),
                                 "You set shares to 0 after the softmax, so the rows no longer sum to 1, and how much "
                                 "is missing still tells what the future looked like. Hide the scores *before* it."),
        "zero-is-not-hidden": (scores.masked_fill(future, 0.0).softmax(-1),
                               "You set the hidden scores to 0. But e⁰ is 1, a perfectly good share; only −∞ becomes "
                               "nothing."),
        "no-scaling": (products.masked_fill(future, -torch.inf).softmax(-1),
                       "The division by √d is missing. Without it the scores of long vectors are so large that softmax "
                       "gives everything to one word."),
        "divided-by-d": ((products / 4).masked_fill(future, -torch.inf).softmax(-1),
                         "You divided by d. It is its square root: 2 for vectors of 4 numbers."),
        "softmax-over-the-queries": (hidden.softmax(0), "Your columns sum to 1. Each word shares out *its own* "
                                                        "attention: every row must."),
        "transposed": (lambda r: _close(r, hidden.softmax(-1).T) or _close(
            r, scores.T.masked_fill(future, -torch.inf).softmax(-1)),
            "Rows and columns have changed places. Row t belongs to word t's *query*, column s to word s's key."),
    })
    dice = torch.Generator().manual_seed(0)
    queries, keys = torch.randn(2, 6, 9, generator=dice)
    future = torch.ones(6, 6).triu(1).bool()
    expect(call(fn, queries, keys), (queries @ keys.T / 3).masked_fill(future, -torch.inf).softmax(-1))


def _close(returned, expected) -> bool:
    """Whether two tensors are the same, NaN where NaN is expected."""
    import torch

    try:
        return torch.allclose(torch.as_tensor(returned).double(), expected.double(), atol=1e-5, equal_nan=True)
    except (TypeError, ValueError, RuntimeError):
        return False


@exercise("10.2", title="How wrong was the guess?", hints=[
    "Row 0 of the logits has seen token 0. Which token is it a guess at? And what is the last row a guess at?",
    "Compare `logits[:-1]` with `tokens[1:]`. Logits are not yet log-probabilities: `log_softmax` makes them so.",
    "`log_probs = logits[:-1].log_softmax(-1)`; pick `log_probs[torch.arange(T - 1), tokens[1:]]`; minus its mean",
])
def check_next_token_loss(fn):
    """The probabilities are powers of ½: tokens 2, 1, 0 had 1/4, 1/2 and 1/8, so the loss is (2 + 1 + 3)/3 · ln 2."""
    import math

    import torch

    bits = torch.tensor([[3.0, 3, 2, 1], [3, 1, 2, 3], [3, 1, 2, 3], [1, 3, 3, 2]])  # −log₂ P
    logits, tokens, ln2 = 5.0 - bits * math.log(2), torch.tensor([3, 2, 1, 0]), math.log(2)
    twice = torch.nn.functional.cross_entropy(logits[:-1].softmax(-1), tokens[1:]).item()
    expect(call(fn, logits, tokens), 2 * ln2, pure=True, mistakes={
        "not-shifted": (lambda r: _number(r) in (_near(1.25 * ln2), _near(4 / 3 * ln2)),
                        "You compared row t with token t. That token stood in its input, so the model would learn to "
                        "copy: row t is a guess at token t + 1."),
        "shifted-the-wrong-way": (8 / 3 * ln2, "You compared row t with token t − 1, which it has long seen. Drop the "
                                               "*last* row of logits and the *first* token."),
        "shifted-twice": (3 * ln2, "You shifted twice: row t is compared with token t + 2. This trains a model to skip "
                                   "a word. (It happens when labels are shifted by hand for a function that does so "
                                   "itself.)"),
        "sum-not-mean": (6 * ln2, "This is the sum. The mean makes a long text count like a short one, and the number "
                                  "comparable with log V."),
        "divided-by-all": (1.5 * ln2, "You divided by the number of tokens; the first one was given, so there are "
                                      "T − 1 guesses."),
        "sign": (-2 * ln2, "The sign: log-probabilities are negative, a loss is minus their mean."),
        "in-bits": (2.0, "You took the logarithm to base 2. The loss is in nats: the natural logarithm."),
        "not-normalised": (2 * ln2 - 5.0, "You used the logits as if they were log-probabilities. They may all be too "
                                          "large by the same number: `log_softmax` first."),
        "softmax-twice": (twice, "The softmax was taken twice: `cross_entropy` wants logits and normalises them "
                                 "itself."),
        "log-of-the-mean": (-math.log((1 / 4 + 1 / 2 + 1 / 8) / 3), "You averaged probabilities and took the logarithm "
                                                                    "afterwards. Take it first: the probability of a "
                                                                    "text is a *product*."),
    })
    dice = torch.Generator().manual_seed(0)
    logits, tokens = 3 * torch.randn(7, 11, generator=dice), torch.randint(11, (7,), generator=dice)
    expect(call(fn, logits, tokens), torch.nn.functional.cross_entropy(logits[:-1], tokens[1:]).item())


class _near(float):  # noqa: N801
    """A number that equals what is close to it."""

    __hash__ = float.__hash__

    def __eq__(self, other):
        return abs(float(self) - float(other)) < 1e-4


def _number(returned) -> float:
    try:
        return float(returned)
    except (TypeError, ValueError, RuntimeError):
        return float("nan")


def _lists(returned):
    """(input_ids, labels) as lists of whole numbers; what came back, if it is not that."""
    try:
        input_ids, labels = returned
        return [int(i) for i in input_ids], [int(i) for i in labels]
    except (TypeError, ValueError):
        return returned


@exercise("10.3", title="What counts in SFT", hints=[
    "Build both lists from the same three pieces: prompt, answer (the completion and eos), padding.",
    "Decide by *where* a token stands, never by which number it is: pad and eos may be the same number.",
    "`labels = [-100] * len(prompt) + [*completion, eos] + [-100] * padding`",
])
def check_make_example(fn):
    """Prompt 5 6, completion 7 8, eos 1; once with its own padding token, once with pad = eos."""
    came = call(fn, [5, 6], [7, 8], eos=1, pad=0, width=7)
    came.returned = came.returned if came.error else _lists(came.returned)
    ids = [5, 6, 7, 8, 1, 0, 0]
    expect(came, (ids, [-100, -100, 7, 8, 1, -100, -100]), pure=True, mistakes={
        "eos-missing": (lambda r: 1 not in r[0], "There is no eos behind the completion, so the model never sees "
                                                 "anybody stop."),
        "padding-counted": (lambda r: r[1][5:] == [0, 0] and r[1][2:5] == [7, 8, 1],
                            "The padding counts as something to imitate: the model would learn to write <pad>. Its "
                            "labels are −100."),
        "prompt-counted": (lambda r: r[1][:2] == [5, 6], "The prompt counts. That is the user's text; imitating it "
                                                         "takes most of the loss and teaches the model to ask."),
        "shifted-by-hand": (lambda r: r[1][:4] == [-100, 7, 8, 1],
                            "You shifted the labels. Transformers shifts them itself, so the model would learn to skip "
                            "a word: a label stands where its token stands."),
        "first-token-lost": (lambda r: r[1] == [-100, -100, -100, 8, 1, -100, -100],
                             "The first token of the completion does not count: an off-by-one. To begin an answer is "
                             "an action too."),
        "one-of-the-prompt": (lambda r: r[1] == [-100, 6, 7, 8, 1, -100, -100],
                              "The last token of the prompt counts: an off-by-one. Action t is token t + 1, but labels "
                              "are written where the token stands."),
        "eos-masked": (lambda r: r[1] == [-100, -100, 7, 8, -100, -100, -100],
                       "The eos does not count. Stopping is part of the answer: this model would never learn it."),
        "padded-left": (lambda r: r[0] == [0, 0, 5, 6, 7, 8, 1], "You padded on the left. For training the padding "
                                                                 "stands on the right: then every token keeps its "
                                                                 "place."),
        "not-padded": (lambda r: len(r[0]) == 5, "Both lists must be `width` long: fill up with pad, and −100."),
    })
    came = call(fn, [5, 6], [7, 8], eos=1, pad=1, width=7)
    came.returned = came.returned if came.error else _lists(came.returned)
    expect(came, ([5, 6, 7, 8, 1, 1, 1], [-100, -100, 7, 8, 1, -100, -100]), mistakes={
        "eos-masked": (lambda r: r[1] == [-100, -100, 7, 8, -100, -100, -100],
                       "With pad = eos, your eos got the label −100, because it *looks* like padding. This is the bug "
                       "of the pitfall box: the model never learns to stop. Ask where a token stands, and not which "
                       "it is."),
        "padding-counted": (lambda r: r[1][4:] == [1, 1, 1], "With pad = eos, your padding counts, because it *looks* "
                                                             "like eos. Only the first one is the end."),
    })
    came = call(fn, [5, 1, 6], [7], eos=1, pad=1, width=6)  # a dialogue of two turns: the prompt holds an eos
    came.returned = came.returned if came.error else _lists(came.returned)
    expect(came, ([5, 1, 6, 7, 1, 1], [-100, -100, -100, 7, 1, -100]))
    expect_error(call(fn, [5, 6], [7, 8], eos=1, pad=0, width=4), ValueError, says="width")
    came = call(fn, [5, 6], [7, 8], eos=1, pad=0, width=5)  # fits exactly
    came.returned = came.returned if came.error else _lists(came.returned)
    expect(came, ([5, 6, 7, 8, 1], [-100, -100, 7, 8, 1]))


@exercise("10.4", title="Sampling with temperature", hints=[
    "`torch.multinomial(probs, 1, generator=generator)` draws one column per row of `probs`, in proportion to it.",
    "Because it is in proportion, dividing *probabilities* by T changes nothing. Where does the division belong?",
    "`log_probs = (logits / temperature).log_softmax(-1)`; draw from `log_probs.exp()`; `log_probs.gather(-1, tokens)`",
])
def check_sample_tokens(fn):
    """Weights 1 : 2 : 4 at T = 1 are 1 : 4 : 16 at T = ½. 4000 equal rows; their frequencies are off by .01 at most."""
    import torch

    weights = torch.tensor([1.0, 2.0, 4.0])
    rows = 4000
    logits = (weights.log() + 3.0).repeat(rows, 1)  # a constant on all logits changes nothing
    for temperature in (0.5, 2.0):
        torch.manual_seed(1)
        came = call(fn, logits, temperature, torch.Generator().manual_seed(0))
        tokens, log_probs = _two_tensors(came, rows)
        asked = f"{fn.__name__}(logits [{rows}, 3], temperature={temperature}, generator)"
        seen = torch.bincount(tokens, minlength=3) / rows
        targets = {key: w / w.sum() for key, w in {
            "right": weights ** (1 / temperature), "T = 1": weights, "multiplied": weights**temperature}.items()}
        good = f"tokens with the frequencies {_percent(targets['right'])}"
        require(seen.max() < 1.0, called=asked, returned="the same token in every row", expected=good,
                mistake="not-drawn", why="Each row draws for itself, and it *draws*: the likeliest token every time is "
                                         "greedy, and one draw for all rows is a batch of one.")
        require(not _close_to(seen, targets["T = 1"]), called=asked, returned=f"frequencies {_percent(seen)}",
                expected=good, mistake="temperature-without-effect",
                why="These are the frequencies of T = 1. `multinomial` divides by the total, so dividing the "
                    "probabilities by T cancels out: divide the *logits*, before the softmax.")
        require(not _close_to(seen, targets["multiplied"]), called=asked, returned=f"frequencies {_percent(seen)}",
                expected=good, mistake="multiplied", why="You multiplied by T. A low temperature makes the likely "
                                                         "likelier: divide.")
        require(_close_to(seen, targets["right"]), called=asked, returned=f"frequencies {_percent(seen)}",
                expected=good, mistake="other-frequencies", why="The tokens are drawn from another distribution than "
                                                                "softmax(logits / temperature).")
        expect(log_probs, targets["right"].log()[tokens], called=f"the log-probabilities of {asked}", mistakes={
            "log-probs-at-T-1": (targets["T = 1"].log()[tokens],
                                 "The tokens were drawn at your temperature, but these are their log-probabilities at "
                                 "T = 1: those of a policy that did not act. PPO's ratio would not start at 1."),
            "probabilities": (targets["right"][tokens], "These are probabilities; take their logarithm."),
            "not-normalised": (((logits[0] / temperature)[tokens]),
                               "These are logits, not log-probabilities: `log_softmax`."),
        })
    each = 2 * torch.randn(6, 7, generator=torch.Generator().manual_seed(1))  # rows that differ
    came = call(fn, each, 0.7, torch.Generator().manual_seed(0))
    tokens, log_probs = _two_tensors(came, 6)
    own = (each / 0.7).log_softmax(-1)  # [6, 7]
    expect(log_probs, own.gather(-1, tokens[:, None])[:, 0], called=f"the log-probabilities of {came.text}", mistakes={
        "first-row-for-all": (own[0, tokens], "You read every log-probability in row 0. Each row has its own "
                                              "distribution: `gather(-1, tokens[:, None])`."),
    })
    require(came.changed is None, called=came.text, returned=f"wrote into argument {came.changed}",
            expected="arguments left as they were", mistake="changed-arguments",
            why="`logits /= temperature` works in place and changes the caller's logits: `logits / temperature`.")
    again = []
    for seed in (2, 3):
        torch.manual_seed(seed)  # the global dice, which should not matter
        again.append(_two_tensors(call(fn, logits, 1.0, torch.Generator().manual_seed(5)), rows)[0])
    require(torch.equal(*again), called="your function twice, with generators of the same seed",
            returned="different tokens", expected="the same tokens", mistake="generator-ignored",
            why="Hand `generator` on to `torch.multinomial`. Whoever passes one wants to get the same text again.")
    came = call(fn, torch.tensor([[0.0, 900.0], [900.0, 0.0]]), 0.5, torch.Generator().manual_seed(0))
    require(not isinstance(came.error, RuntimeError), called=came.text, returned=f"{came.error}",
            expected="tokens 1 and 0", mistake="overflow",
            why="e⁹⁰⁰ is more than a float can hold. `softmax` subtracts the largest logit first: it changes nothing "
                "and never overflows.")
    expect(_two_tensors(came, 2)[0], [1, 0], called=f"the tokens of {came.text}")


def _close_to(frequencies, probs) -> bool:
    return bool((frequencies - probs).abs().max() < 0.04)  # five standard errors


def _percent(shares) -> str:
    return " / ".join(f"{100 * share:.0f} %" for share in shares.tolist())


def _two_tensors(came, rows):
    """Tokens and log-probs, `[B]` each."""
    import torch

    value, wanted = came.value, f"two tensors [{rows}]: tokens, and their log-probabilities"
    try:
        tokens, log_probs = (torch.as_tensor(part) for part in value)
    except (TypeError, ValueError, RuntimeError) as error:
        if isinstance(value, torch.Tensor):
            raise CheckFailed(came.text, f"one tensor {list(value.shape)}", wanted, "tokens-only",
                              "Return both: the tokens, and how likely they were.") from error
        raise CheckFailed(came.text, value, wanted, "wrong-kind", "Return two tensors.") from error
    shapes = f"{list(tokens.shape)} and {list(log_probs.shape)}"
    require(tokens.shape == log_probs.shape == (rows,), called=came.text, returned=f"tensors {shapes}", expected=wanted,
            mistake="wrong-shape", why="One number per row each. `multinomial` returns [B, 1]: take its column; and of "
                                       "the V log-probabilities, the one of the token that was drawn.")
    return tokens.long(), log_probs


def _padded(returned):
    """(tokens, mask, positions) as nested lists of whole numbers; what came back, if it is not that."""
    import torch

    try:
        return tuple(torch.as_tensor(part).long().tolist() for part in returned)
    except (TypeError, ValueError, RuntimeError):
        return returned


def _left_pad(fn, texts, pad, expected, mistakes=None):
    """Call it; the places of padding must be possible, and are then set to 0; compare."""
    came = call(fn, texts, pad)
    came.returned = came.returned if came.error else _padded(came.returned)
    if came.error is None and _like(came.returned, expected):
        tokens, mask, places = came.returned
        require(min(map(min, places)) >= 0, called=came.text, returned=f"position_ids {places}",
                expected="no negative place", mistake="negative-place",
                why="cumsum − 1 is −1 on the padding in front, and the position table has no row −1: GPT-2 would "
                    "raise, or read its last row. Clamp at 0.")
        beyond = [p for rows in zip(places, expected[1], strict=True) for p, m in zip(*rows, strict=True)
                  if not m and p >= len(tokens[0])]  # of the padding
        require(not beyond, called=came.text, returned=f"position_ids {places}",
                expected=f"places from 0 to {len(tokens[0]) - 1}", mistake="place-beyond-the-text",
                why="Nobody listens to padding, but its place is looked up all the same, and the table ends somewhere.")
        places = [[p if m else 0 for p, m in zip(*rows, strict=True)] for rows in zip(places, expected[1], strict=True)]
        came.returned = tokens, mask, places
    expect(came, expected, mistakes=mistakes or {}, pure=True)


def _like(value, expected) -> bool:
    """Whether three lists of rows have the lengths that they should have."""
    try:
        return [[len(row) for row in part] for part in value] == [[len(row) for row in part] for part in expected]
    except TypeError:
        return False


@exercise("10.5", title="Padding on the left", hints=[
    "How much is missing in each row? `[pad] * missing + text`, and the mask is made in just the same way.",
    "The place of a real token is how many real tokens stand before it: a running sum over the mask, minus 1.",
    "`position_ids = (attention_mask.cumsum(-1) - 1).clamp(min=0)`",
])
def check_left_pad(fn):
    """A text of three tokens and one of one."""
    tokens, mask, places = [[7, 8, 9], [0, 0, 5]], [[1, 1, 1], [0, 0, 1]], [[0, 1, 2], [0, 0, 0]]
    _left_pad(fn, [[7, 8, 9], [5]], 0, (tokens, mask, places), {
        "padded-right": (lambda r: r[0] == [[7, 8, 9], [5, 0, 0]],
                         "You padded on the right. The next token is written behind the last column, so there each "
                         "text must have its end."),
        "mask-inverted": (lambda r: r[1] == [[0, 0, 0], [1, 1, 0]],
                          "Your mask is 1 on the padding. It says what may be listened to: 1 where a token is real."),
        "places-count-padding": (lambda r: r[1] == mask and r[2][1][2] == 2,
                                 "The place of the 5 is 2 in your answer: you counted the padding. It is the first "
                                 "token of its text, and GPT-2 should add row 0 of its position table, as it does when "
                                 "the text comes alone."),
        "places-from-one": (lambda r: r[1] == mask and r[2][0] == [1, 2, 3],
                            "Your places begin at 1. The first token stands at place 0; everything is shifted by a "
                            "row of the position table."),
        "cut-to-the-shortest": (lambda r: len(r[0][0]) == 1, "You cut all texts to the length of the shortest. Fill up "
                                                             "the short ones instead."),
    })
    _left_pad(fn, [[1, 7], [9], [1, 1, 4]], 1, ([[1, 1, 7], [1, 1, 9], [1, 1, 4]], [[0, 1, 1], [0, 0, 1], [1, 1, 1]],
                                               [[0, 0, 1], [0, 0, 0], [0, 1, 2]]), {
        "mask-from-the-token": (lambda r: r[1] == [[0, 0, 1], [0, 0, 1], [0, 0, 1]],
                                "Here pad is 1 and texts hold a real 1 (where pad is eos, they do). Your mask looks at "
                                "which token it is; the padding is known by *where* it is."),
    })
