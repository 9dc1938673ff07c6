"""The diagram's parts: what learns looks different, arrows end where they are told to, gradients are dashed."""

import matplotlib.pyplot as plt
import pytest
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from rlcourse.diagram import GRADIENT, arrow, function_box, model_box


@pytest.fixture
def ax():
    fig, ax = plt.subplots()
    ax.set(xlim=(0, 10), ylim=(0, 10))
    yield ax
    plt.close(fig)


def patches(ax, kind):
    return [patch for patch in ax.patches if isinstance(patch, kind)]


def test_who_learns_looks_different_from_who_is_frozen_and_from_a_function(ax):
    model_box(ax, (2, 2), "policy", "learns", learns=True)
    model_box(ax, (5, 2), "reference", "frozen", learns=False)
    function_box(ax, (8, 2), "gae")
    boxes = patches(ax, FancyBboxPatch)
    assert len({box.get_facecolor() for box in boxes}) == 3
    assert boxes[0].get_linewidth() > boxes[1].get_linewidth()  # also in black and white
    assert [text.get_text() for text in ax.texts] == ["policy", "learns", "reference", "frozen", "gae"]
    for box, centre in zip(boxes, (2, 5, 8), strict=True):
        assert box.get_x() + box.get_width() / 2 == pytest.approx(centre)


def test_an_arrow_turns_its_corners_and_points_at_the_last(ax):
    arrow(ax, [(1, 1), (1, 5), (4, 5)], "tokens", (1, 3))
    line, (head,) = ax.lines[0], patches(ax, FancyArrowPatch)
    assert line.get_xydata().tolist() == [[1, 1], [1, 5]]
    assert head._posA_posB == [(1, 5), (4, 5)]
    assert ax.texts[0].get_position() == (1, 3)


def test_gradients_are_dashed(ax):
    arrow(ax, [(1, 1), (2, 1)], "log π", (1.5, 1))
    arrow(ax, [(1, 2), (2, 2)], "gradient", (1.5, 2), GRADIENT)
    data, gradient = patches(ax, FancyArrowPatch)
    assert (data.get_linestyle(), gradient.get_linestyle()) == ("-", "--")
