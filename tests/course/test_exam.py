import numpy as np
import pytest
import torch

from rlcourse import check
from rlcourse.exam import CheckFailed, NotDone, call, exercise, expect, expect_error, require
from rlcourse.progress import Progress


@exercise("01.2", title="The discounted return", hints=["Look at γ⁰."])
def check_return(fn):
    expect(call(fn, [0.0, 0.0, 1.0], 0.5), 0.25, pure=True, mistakes={
        "shifted": (0.125, "You multiplied the first reward by γ."),
        "crash": (ZeroDivisionError, "You divided by γ − γ."),
        "large": (lambda got: got > 100, "You forgot γ."),
    })


def right(rewards, gamma):
    return sum(gamma**t * reward for t, reward in enumerate(rewards))


def failure_of(answer, check=check_return):
    with pytest.raises(CheckFailed) as caught:
        check(answer)
    return caught.value


@pytest.mark.parametrize("style", [float, np.float32, np.float64, np.array, torch.tensor,
                                   lambda x: torch.tensor(x).bfloat16()])
def test_a_right_answer_is_right_in_every_style(style):
    check_return(lambda rewards, gamma: style(right(rewards, gamma)))


def test_a_failure_says_what_was_called_what_came_back_what_was_expected_and_why():
    def my_return(rewards, gamma):
        return gamma * right(rewards, gamma)

    failure = failure_of(my_return)
    assert failure.mistake == "shifted"
    assert str(failure).splitlines() == [
        "✗ 01.2 The discounted return",
        "  Called       my_return([0.0, 0.0, 1.0], 0.5)",
        "  It returned  0.125",
        "  Expected     0.25",
        "  What this usually is: You multiplied the first reward by γ.",
        "  For a hint, run: rlcourse hint 01.2",
    ]
    assert failure._render_traceback_() == str(failure).splitlines()


@pytest.mark.parametrize(("answer", "mistake"), [
    (lambda rewards, gamma: None, "returned-nothing"),
    (lambda rewards, gamma: float("nan"), "nan"),
    (lambda rewards, gamma: [0.25], "wrong-shape"),
    (lambda rewards, gamma: True, "wrong-kind"),
    (lambda rewards, gamma: "0.25", "wrong-kind"),
    (lambda rewards, gamma: 1 / 0, "crash"),
    (lambda rewards, gamma: 1000, "large"),
    (lambda rewards, gamma: {}["x"], "raised"),
    (lambda rewards: 0.25, "raised"),
    (lambda rewards, gamma: -0.25, None),
    (lambda rewards, gamma: 0.2501, None),
    (lambda rewards, gamma: object(), "wrong-kind"),
    (0.25, "not-a-function"),
])
def test_the_usual_mistakes_are_named(answer, mistake):
    failure = failure_of(answer)
    assert failure.mistake == mistake
    assert not isinstance(failure, NotDone)


def test_a_stub_is_not_done_and_not_wrong():
    def stub(rewards, gamma):
        raise NotImplementedError("Exercise 01.2: The discounted return")

    failure = failure_of(stub)
    assert isinstance(failure, NotDone)
    assert failure.needs is None
    assert "not done yet" in str(failure)
    assert "rlcourse hint 01.2" in str(failure)


def test_a_stub_of_another_exercise_is_named():
    def answer(rewards, gamma):
        raise NotImplementedError("Exercise 01.1: The loop")

    assert "your answer to 01.1" in str(failure_of(answer))


def test_the_readers_own_not_implemented_error_is_an_error():
    def answer(rewards, gamma):
        raise NotImplementedError("later")

    assert failure_of(answer).mistake == "raised"


def test_a_stub_inside_an_object_is_found_where_the_check_uses_it():
    @exercise("01.3", title="A policy", hints=[])
    def check_policy(policy):
        require(policy.act() == 1, called="policy.act()", returned=0, expected="1")

    class Policy:
        def act(self):
            raise NotImplementedError("Exercise 01.3: A policy")

    assert isinstance(failure_of(Policy(), check_policy), NotDone)
    assert failure_of(object(), check_policy).mistake == "raised"


def test_an_exception_shows_the_readers_line_and_stays_chained():
    def answer(rewards, gamma):
        return rewards[17]

    failure = failure_of(answer)
    assert "IndexError" in str(failure)
    assert "in the line `return rewards[17]`" in str(failure)
    assert isinstance(failure.__cause__, IndexError)


def test_arguments_are_copies_and_writing_into_them_is_refused_where_it_matters():
    rewards = [0.0, 0.0, 1.0]

    def answer(given, gamma):
        value = right(given, gamma)
        given[0] = 9.0
        return value

    done = call(answer, rewards, 0.5)
    assert rewards == [0.0, 0.0, 1.0]
    assert done.changed == "1"
    expect(done, 0.25)  # allowed unless `pure` is asked for
    assert failure_of(answer).mistake == "changed-arguments"


@pytest.mark.parametrize("make", [lambda: np.zeros(3), lambda: torch.zeros(3), lambda: {"a": [0.0]}])
def test_arrays_tensors_and_dicts_are_copied_too(make):
    def fill(x):
        x["a" if isinstance(x, dict) else 0] = 5.0

    original = make()
    assert call(fill, original).changed == "1"
    assert str(original) == str(make())


def test_a_tensor_with_a_gradient_goes_in_as_it_is():
    x = torch.ones(2, requires_grad=True)
    call(lambda t: (3 * t).sum(), x).value.backward()
    assert x.grad.tolist() == [3.0, 3.0]


def test_expected_errors():
    def picky(gamma):
        if gamma > 1:
            raise ValueError("gamma must lie in [0, 1]")

    expect_error(call(picky, 2.0), ValueError, says="gamma")
    for done, kind, mistake in [(call(picky, 0.5), ValueError, "no-error"), (call(picky, 2.0), TypeError, "raised")]:
        with pytest.raises(CheckFailed) as caught:
            expect_error(done, kind)
        assert caught.value.mistake == mistake
    with pytest.raises(CheckFailed) as caught:
        expect_error(call(picky, 2.0), ValueError, says="lambda")
    assert caught.value.mistake == "unclear-error"


def test_check_prints_one_verdict_and_remembers_it_only_in_work(course, monkeypatch, capsys):
    monkeypatch.setenv("RLCOURSE_RECORD", "")
    check("01.1", lambda x: x + x)
    assert capsys.readouterr().out == '✓ 01.1 "Twice" as much, γ\n'
    assert Progress(course.work).done() == set()  # this test does not run in work/
    for folder in ("solutions", "exercises"):
        monkeypatch.chdir(course.root / folder)
        check("1.1", lambda x: x + x)
        assert Progress(course.work).done() == set()
    assert "rlcourse start 1 --move" in capsys.readouterr().out  # the last one was exercises/
    course.work.mkdir()
    monkeypatch.chdir(course.work)
    check("01.1", lambda x: x + x)
    assert Progress(course.work).done() == {"01.1"}
    with pytest.raises(CheckFailed):
        check("01.2", sum)
    assert Progress(course.work).done() == {"01.1"}


def test_a_wrong_id_of_a_check_is_refused_at_once():
    with pytest.raises(ValueError, match=r"01\.2"):
        exercise("1.2", title="", hints=[])
