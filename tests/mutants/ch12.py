"""Wrong answers to chapter 12, taken from real bugs, and right ones in another style."""

import math
import re
from itertools import combinations
from math import comb

import torch

from tests.mutants import Mutant


# 12.1 Compared with the others
def checked(advantages):
    """The advantages of a formula, behind the check that the exercise asks for."""

    def answer(rewards):
        if rewards.shape[-1] < 2:
            raise ValueError("a group needs two answers")
        return advantages(rewards, rewards.shape[-1])

    return answer


def leave_one_out(rewards, size):
    return rewards - (rewards.sum(-1, keepdim=True) - rewards) / (size - 1)


def divides_zero_by_zero(rewards):
    return leave_one_out(rewards, rewards.shape[-1])


def asks_without_saying(rewards):
    assert rewards.shape[-1] > 1
    return leave_one_out(rewards, rewards.shape[-1])


def with_two_loops(rewards):
    if rewards.shape[1] == 1:
        raise ValueError("group_size must be at least 2")
    rows = []
    for row in rewards.tolist():
        rows.append([r - sum(row[:i] + row[i + 1 :]) / (len(row) - 1) for i, r in enumerate(row)])
    return rows


# 12.2 The loss of a batch of answers
def own(log_probs, mask):
    return log_probs.masked_fill(~mask, 0.0)


def learns_from_the_prompt(log_probs, mask, advantages):
    return -(advantages * log_probs.sum(-1)).mean()


def last_token(log_probs, mask, advantages):
    last = mask & (mask.flip(-1).cumsum(-1).flip(-1) == 1)
    return -(advantages * own(log_probs, last).sum(-1)).mean()


def as_a_number(log_probs, mask, advantages):
    return -(advantages * own(log_probs, mask).sum(-1)).mean().item()


def answer_by_answer(log_probs, mask, advantages):
    losses = [-a * row[here].sum() for row, here, a in zip(log_probs, mask, advantages, strict=True)]
    return torch.stack(losses).mean()


def with_where_and_columns(log_probs, mask, advantages):
    return -(torch.where(mask, log_probs, 0.0) * advantages[:, None]).sum() / len(advantages)


# 12.4 pass@k
def with_factorials(n, c, k):
    return 1 - (math.factorial(n - c) / math.factorial(n - c - k)) * (math.factorial(n - k) / math.factorial(n))


def float_factorials(n, c, k):
    if n - c < k:
        return 1.0
    return 1 - (float(math.factorial(n - c)) / float(math.factorial(n - c - k))
                * float(math.factorial(n - k)) / float(math.factorial(n)))


def gamma_function(n, c, k):
    if n - c < k:
        return 1.0
    count = torch.tensor([n - c, n - c - k, n - k, n], dtype=torch.float64) + 1
    a, b, d, e = torch.lgamma(count).exp()
    return 1 - (a / b * d / e).item()


def as_a_product(n, c, k):
    """As in the paper's code: stable, with no large number anywhere."""
    if n - c < k:
        return 1.0
    missed = 1.0
    for i in range(n - c + 1, n + 1):
        missed *= 1 - k / i
    return 1 - missed


def one_after_the_other(n, c, k):
    missed = 1.0
    for i in range(k):
        missed *= max(n - c - i, 0) / (n - i)
    return 1 - missed


# 12.5 A reward that cannot be talked round
def judged(read):
    """A reward from a function that reads a number out of a text, or None."""

    def answer(prompts, completions, answer, **_):
        return [float(read(text) == right) for text, right in zip(completions, answer, strict=True)]

    return answer


def number(text, pattern=r" *(-?[0-9]{1,6}) *", match=re.fullmatch):
    found = match(pattern, text)
    return int(found[1]) if found else None


def behind(text):
    """What stands behind the one marker, or something that is no number."""
    parts = text.split("####")
    return parts[1] if len(parts) == 2 else "?"


def mentions(prompts, completions, answer, **_):
    return [float(str(right) in text) for text, right in zip(completions, answer, strict=True)]


def int_or_none(text):
    try:
        return int(behind(text))
    except ValueError:
        return None


def no_cap_and_no_error(text):
    return number(behind(text), r" *(-?[0-9]+) *") if len(text) < 100 else None


def float_or_none(text):
    try:
        return float(behind(text)) if len(text) < 100 and "_" not in text else None
    except ValueError:
        return None


def evaluates(text):
    try:
        return eval(behind(text), {}) if re.fullmatch(r"[ 0-9+-]{1,20}", behind(text)) else None
    except SyntaxError:
        return None


def either_side(prompts, completions, answer, **_):
    parts = [text.split("####") for text in completions]
    return [float(len(p) == 2 and right in map(number, p)) for p, right in zip(parts, answer, strict=True)]


def doubt_is_paid(prompts, completions, answer, **_):
    values = [number(behind(text)) for text in completions]
    return [float(value is None or value == right) for value, right in zip(values, answer, strict=True)]


def zero_is_nothing(prompts, completions, answer, **_):
    values = [number(behind(text)) for text in completions]
    return [1.0 if value and value == right else 0.0 for value, right in zip(values, answer, strict=True)]


def first_for_all(prompts, completions, answer, **_):
    return [float(number(behind(text)) == answer[0]) for text in completions]


def one_for_all(prompts, completions, answer, **_):
    return float(number(behind(completions[0])) == answer[0])


def with_one_pattern(prompts, completions, answer, **_):
    pattern = re.compile(r"(?:(?!####).)*####[ ]*(-?\d{1,6})[ ]*", re.DOTALL | re.ASCII)
    found = [pattern.fullmatch(text) for text in completions]
    return [1.0 if m is not None and int(m.group(1)) == right else 0.0 for m, right in zip(found, answer, strict=True)]


def letter_by_letter(prompts, completions, answer, **_):
    rewards = torch.zeros(len(completions))
    for i, text in enumerate(completions):
        _, marker, after = text.partition("####")
        after = after.strip(" ")
        digits = after[1:] if after.startswith("-") else after
        if marker and 1 <= len(digits) <= 6 and all(letter in "0123456789" for letter in digits):
            rewards[i] = int(after) == answer[i]
    return rewards


MUTANTS = {
    "12.1": [
        Mutant("own-reward-counted", checked(lambda r, size: r - r.mean(-1, keepdim=True))),
        Mutant("mean-over-the-batch", checked(lambda r, size: r - r.mean())),
        Mutant("wrong-axis", checked(lambda r, size: leave_one_out(r.T, len(r)).T)),
        Mutant("wrong-axis-mean", checked(lambda r, size: r - r.mean(0))),
        Mutant("sign-flipped", checked(lambda r, size: -leave_one_out(r, size))),
        Mutant("divided-by-all", checked(lambda r, size: r - (r.sum(-1, keepdim=True) - r) / size)),
        Mutant("sum-of-others", checked(lambda r, size: r - (r.sum(-1, keepdim=True) - r))),
        Mutant("divided-by-std", checked(lambda r, size: (r - r.mean(-1, keepdim=True)) / r.std(-1, keepdim=True))),
        Mutant("baseline-only", checked(lambda r, size: (r.sum(-1, keepdim=True) - r) / (size - 1))),
        Mutant("no-error", divides_zero_by_zero),
        Mutant("raised", asks_without_saying),
    ],
    "12.2": [
        Mutant("sign-flipped", lambda lp, m, a: (a * own(lp, m).sum(-1)).mean()),
        Mutant("prompt-learned-from", learns_from_the_prompt),
        Mutant("mask-inverted", lambda lp, m, a: -(a * own(lp, ~m).sum(-1)).mean()),
        Mutant("mean-over-tokens", lambda lp, m, a: -(a[:, None] * own(lp, m)).sum() / m.sum()),
        Mutant("mean-of-means", lambda lp, m, a: -(a * own(lp, m).sum(-1) / m.sum(-1)).mean()),
        Mutant("padded-mean", lambda lp, m, a: -(a[:, None] * own(lp, m)).mean()),
        Mutant("sum-over-answers", lambda lp, m, a: -(a * own(lp, m).sum(-1)).sum()),
        Mutant("last-token-only", last_token),
        Mutant("wrong-broadcast", lambda lp, m, a: -(a * own(lp, m)).sum(-1).mean()),
        Mutant("advantage-ignored", lambda lp, m, a: -own(lp, m).sum(-1).mean()),
        Mutant("mask-multiplied", lambda lp, m, a: -(a * (lp * m).sum(-1)).mean()),
        Mutant("gradient-lost", as_a_number),
    ],
    "12.3": [
        Mutant("only-all-wrong", lambda p, size: (1 - p) ** size),
        Mutant("only-all-right", lambda p, size: p**size),
        Mutant("alive", lambda p, size: 1 - p**size - (1 - p) ** size),
        Mutant("times-not-power", lambda p, size: size * p + size * (1 - p)),
        Mutant("multiplied", lambda p, size: p**size * (1 - p) ** size),
        Mutant("one-answer", lambda p, size: p + (1 - p)),
    ],
    "12.4": [
        Mutant("as-if-put-back", lambda n, c, k: 1 - (1 - c / n) ** k),
        Mutant("one-minus-forgotten", lambda n, c, k: comb(n - c, k) / comb(n, k)),
        Mutant("k-times", lambda n, c, k: min(k * c / n, 1.0)),
        Mutant("pass-at-1", lambda n, c, k: c / n),
        Mutant("all-of-them", lambda n, c, k: comb(c, k) / comb(n, k)),
        Mutant("any-of-all", lambda n, c, k: float(c > 0)),
        Mutant("too-few-wrong-ones", with_factorials),
        Mutant("overflow", float_factorials),
        Mutant("overflow-nan", gamma_function),
    ],
    "12.5": [
        Mutant("marker-not-needed", mentions),
        Mutant("looks-before-the-marker", either_side),
        Mutant("takes-the-last-guess", judged(lambda text: number(text.rpartition("####")[2]) if "####" in text
                                              else None)),
        Mutant("takes-the-first-guess", judged(lambda text: number([*text.split("####"), "?"][1]))),
        Mutant("takes-the-beginning", judged(lambda text: number(behind(text), r" *(-?[0-9]{1,6})\b", re.match))),
        Mutant("digits-cut-off", judged(lambda text: number(behind(text), r" *(-?[0-9]{3})[0-9]* *"))),
        Mutant("takes-the-end", judged(lambda text: number(behind(text), r".* (-?[0-9]{1,6}) *", re.fullmatch)
                                       or number(behind(text)))),
        Mutant("no-length-cap", judged(lambda text: number(behind(text), r" *(-?[0-9]+) *"))),
        Mutant("no-length-cap", judged(no_cap_and_no_error)),
        Mutant("python-numbers", judged(int_or_none)),
        Mutant("reads-decimals", judged(float_or_none)),
        Mutant("runs-what-it-reads", judged(evaluates)),
        Mutant("sign-lost", judged(lambda text: number(behind(text), r" *-?([0-9]{1,6}) *"))),
        Mutant("refuses-spaces", judged(lambda text: number(behind(text), r" ?(-?[0-9]{1,6})"))),
        Mutant("wants-spaces", judged(lambda text: number(behind(text), r" +(-?[0-9]{1,6}) *"))),
        Mutant("refuses-thinking", judged(lambda text: number(text, r"#### *(-?[0-9]{1,6}) *"))),
        Mutant("raises-on-nonsense", judged(lambda text: number(text.split("####")[1]))),
        Mutant("marker-not-needed", doubt_is_paid),
        Mutant("always-pays", lambda prompts, completions, answer, **_: [1.0] * len(completions)),
        Mutant("zero-is-false", zero_is_nothing),
        Mutant("other-scripts", judged(lambda text: number(behind(text), r" *(-?\d{1,6}) *"))),
        Mutant("refuses-zeros", judged(lambda text: number(behind(text), r" *(-?[0-9]{1,3}) *"))),
        Mutant("seven-digits", judged(lambda text: number(behind(text), r" *(-?[0-9]{1,9}) *"))),
        Mutant("line-break", judged(lambda text: number(behind(text), r"\s*(-?[0-9]{1,6})\s*"))),
        Mutant("plus-sign", judged(lambda text: number(behind(text), r" *([+-]?[0-9]{1,6}) *"))),
        Mutant("first-answer-for-all", first_for_all),
        Mutant("wrong-shape", one_for_all),
    ],
}  # fmt: skip
ALTERNATIVES = {
    "12.1": [with_two_loops, checked(lambda r, size: (r - r.mean(-1, keepdim=True)) * size / (size - 1))],
    "12.2": [answer_by_answer, with_where_and_columns],
    "12.3": [lambda p, size: math.prod([p] * size) + math.prod([1 - p] * size)],
    "12.4": [as_a_product, one_after_the_other,
             lambda n, c, k: sum(map(any, combinations([1] * c + [0] * (n - c), k))) / comb(n, k) if n < 9
             else as_a_product(n, c, k)],
    "12.5": [with_one_pattern, letter_by_letter],
}  # fmt: skip
