"""Every example once an epoch, in an order that seed and epoch decide."""

import torch

from rlcore.lm.batches import rows_of_step


def test_an_epoch_holds_every_row_once_and_the_next_one_is_another():
    steps = [rows_of_step(10, 4, step, seed=3).tolist() for step in range(6)]  # 4 + 4 + 2, twice
    first, second = ([row for rows in steps[i : i + 3] for row in rows] for i in (0, 3))
    assert [len(rows) for rows in steps] == [4, 4, 2, 4, 4, 2]
    assert sorted(first) == sorted(second) == list(range(10)) and first != second


def test_rows_depend_on_the_seed_and_on_nothing_else():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    here = rows_of_step(10, 4, 5, seed=1).tolist()
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(1)
    assert rows_of_step(10, 4, 5, seed=1).tolist() == here != rows_of_step(10, 4, 5, seed=2).tolist()


def test_a_batch_is_never_larger_than_the_data():
    assert sorted(rows_of_step(3, 64, 7, seed=0).tolist()) == [0, 1, 2]
