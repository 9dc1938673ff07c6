"""The sweep over numbers of pairs: which pairs differ in one thing only, and what the committed file says."""

import json
import statistics

import pytest
from datasets import Dataset

from benchmarks.reward_model_pairs import (
    ANNOTATORS,
    BAR,
    OUTPUT,
    SEEDS,
    SIZES,
    accuracies,
    differences,
    only,
    summary,
)

APPLE = "user what is the color of the apple ? bot"
PAIRS = Dataset.from_list([{"prompt": APPLE, "chosen": a, "rejected": b} for a, b in (
    ("of course , the apple is red .", "the apple is red ."),  # + .5 harmless
    ("the apple is blue .", "the apple is red ."),  # honest −1 against +1: the annotator erred
    ("the apple is red , to be very clear .", "the apple is red ."),  # words only
    ("of course , the apple is red .", "the apple is blue ."),  # two H at once
    ("the apple is blue", "the apple is red ."),  # honest, and grammar
)])  # fmt: skip


def test_differences_by_hand():
    gaps = differences(PAIRS)
    assert [gap["harmless"] for gap in gaps] == [0.5, 0, 0, 0.5, 0]
    assert [gap["honest"] for gap in gaps] == [0, -2, 0, 2, -2]
    assert [gap["words"] for gap in gaps] == [3, 0, 5, 3, -1]
    assert [gap["grammatical"] for gap in gaps] == [0, 0, 0, 0, -1.5]
    assert not any(gap["helpful"] for gap in gaps)


def test_pairs_that_differ_in_one_thing_with_the_better_one_chosen():
    gaps = differences(PAIRS)
    assert only("harmless", PAIRS, gaps).to_list() == [PAIRS[0]]
    assert only("honest", PAIRS, gaps).to_list() == [
        {"prompt": APPLE, "chosen": "the apple is red .", "rejected": "the apple is blue ."}
    ]
    assert only("words", PAIRS, gaps).to_list() == [PAIRS[2]]


@pytest.mark.parametrize("annotator", ANNOTATORS)
def test_the_committed_sweep_is_whole_and_more_pairs_are_better(annotator):
    result = json.loads(OUTPUT.read_text(encoding="utf-8"))
    medians = [statistics.median(accuracies(result, annotator, size, "new replies")) for size in SIZES]
    assert all(len(accuracies(result, annotator, size, "new replies")) == len(SEEDS) for size in SIZES)
    assert medians == sorted(medians)
    assert f"the bar of {BAR} is" in summary(result)
