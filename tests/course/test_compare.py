import numpy as np
import pytest
import torch

from rlcourse.compare import difference, show


@pytest.mark.parametrize(("got", "expected", "kind"), [
    ([1, 2], torch.tensor([1.0, 2.0]), None),
    (np.array([1.0, 2.0]), [1, 2], None),
    ([torch.tensor(1.0), np.float32(2.0)], [1.0, 2.0], None),
    (torch.ones(2, 1), torch.ones(2), "shape"),
    (torch.ones(1), 1.0, "shape"),
    (torch.tensor(1.0, requires_grad=True), 1.0, None),
    ([True, False], torch.tensor([True, False]), None),
    ([1, 0], torch.tensor([True, False]), "kind"),
    ([True, True], torch.tensor([True, False]), "value"),
    (["a", "b"], ["a", "b"], None),
    ("a", "b", "value"),
    (-1.0, 1.0, "value"),
    (float("nan"), 1.0, "nan"),
    (float("nan"), float("nan"), None),
    (float("inf"), float("inf"), None),
    (float("-inf"), float("inf"), "value"),
    ([], [], None),
    ([], [1.0], "shape"),
    (None, 1.0, "nothing"),
    (None, None, None),
    (({"a": 1.0}, [1, 2, 3]), ({"a": 1.0}, [1, 2, 3]), None),
    (([1.0], [1, 2, 3]), ([1.0], [1, 2, 4]), "value"),
    (([1.0],), ([1.0], [1, 2, 4]), "shape"),
    ({"a": 1.0}, {"a": 2.0}, "value"),
    ({"b": 1.0}, {"a": 1.0}, "value"),
    (3.0, {"a": 1.0}, "kind"),
    (object(), 1.0, "kind"),
])
def test_values_are_compared_in_any_style(got, expected, kind):
    assert difference(got, expected, 1e-5, 1e-6) == kind


def test_the_tolerance_is_tight():
    assert difference(1.0 + 5e-6, 1.0, 1e-5, 0.0) is None
    assert difference(1.0 + 2e-5, 1.0, 1e-5, 0.0) == "value"


@pytest.mark.parametrize(("value", "text"), [
    (0.1 + 0.2, "0.3"), (2.0, "2.0"), (7, "7"), (True, "True"), (1e-9, "1e-09"), (float("nan"), "nan"),
    (torch.tensor([1.0, 0.5]), "tensor([1.0, 0.5])"), (np.float64(0.25), "0.25"), ((1,), "(1,)"),
    (np.array([[1, 2]]), "array([[1, 2]])"), ({"a": None}, "{'a': None}"), (sum, "sum"),
])
def test_values_are_shown_short_and_the_same_everywhere(value, text):
    assert show(value) == text


def test_long_values_are_cut_and_addresses_dropped():
    assert len(show(list(range(10_000)))) <= 160
    assert "0x" not in show(object())
