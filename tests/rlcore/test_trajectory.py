"""Trajectories and batches: what they refuse, and what they cut."""

import pytest
import torch

from rlcore.trajectory import Batch, Trajectory, join, last_steps

torch.set_num_threads(1)


def flags(*rows):
    return torch.tensor(rows).bool()


def trajectory(shape=(2, 3), **changes):
    no = torch.zeros(shape, dtype=torch.bool)
    fields = {
        "states": torch.zeros(*shape, 4), "actions": torch.zeros(shape).long(), "rewards": torch.zeros(shape),
        "log_probs": torch.zeros(shape), "terminated": no, "truncated": no, "mask": ~no,
    }  # fmt: skip
    return Trajectory(**(fields | changes))


def batch(shape=(4, 5), **changes):
    count = torch.arange(shape[0] * shape[1]).view(shape)
    fields = {
        "states": torch.stack([count, -count], -1), "actions": count, "log_probs": -count.float(),
        "advantages": count.float() + 0.5, "mask": torch.ones(shape, dtype=torch.bool),
    }  # fmt: skip
    return Batch(**(fields | changes))


def test_last_steps_by_hand():
    mask = flags([1, 1, 0, 0], [0, 1, 0, 1], [0, 0, 0, 0], [1, 1, 1, 1], [1, 0, 0, 0])
    expected = [[0, 1, 0, 0], [0, 0, 0, 1], [0, 0, 0, 0], [0, 0, 0, 1], [1, 0, 0, 0]]
    assert last_steps(mask).int().tolist() == expected
    assert last_steps(mask[1]).int().tolist() == expected[1]
    assert last_steps(mask[None])[0].int().tolist() == expected


def test_done_is_either_end():
    ends = trajectory((4,), terminated=flags(0, 0, 1, 1), truncated=flags(0, 1, 0, 1))
    assert ends.done.tolist() == [False, True, True, True]


def test_final_rewards_are_paid_at_the_last_own_action():
    mask = flags([0, 1, 1, 0], [1, 0, 1, 1], [0, 0, 0, 1])
    before = trajectory((3, 4), mask=mask, rewards=torch.full((3, 4), 9.0))
    after = before.with_final_rewards(torch.tensor([1.0, -2.0, 3.0]))
    assert after.rewards.tolist() == [[0, 0, 1, 0], [0, 0, 0, -2], [0, 0, 0, 3]]
    assert before.rewards.eq(9).all() and after.mask is mask
    exact = trajectory((3, 4), mask=mask, rewards=torch.zeros(3, 4).double())
    assert exact.with_final_rewards(torch.ones(3)).rewards.dtype == torch.float64
    one = trajectory((4,), mask=mask[1]).with_final_rewards(torch.tensor(5.0))  # one episode, [T]
    assert one.rewards.tolist() == [0, 0, 0, 5]
    with pytest.raises(ValueError, match=r"rewards \(3, 1\), rows \(3,\)"):
        before.with_final_rewards(torch.ones(3, 1))


def test_a_trajectory_says_what_does_not_fit():
    with pytest.raises(ValueError, match=r"rewards \(2, 3\), log_probs \(2, 3\), terminated \(2, 3, 1\)"):
        trajectory(terminated=torch.zeros(2, 3, 1).bool())
    with pytest.raises(ValueError, match=r"rewards \(2, 1\)"):
        trajectory(rewards=torch.zeros(2, 1))
    for name in ("terminated", "truncated", "mask"):
        with pytest.raises(ValueError, match=rf"{name} must be a bool tensor, but is torch.int64; write {name}.bool"):
            trajectory(**{name: torch.zeros(2, 3).long()})
    with pytest.raises(ValueError, match="rewards is empty: a trajectory needs at least one step"):
        trajectory((2, 0))
    for name in ("states", "actions", "next_states"):
        with pytest.raises(ValueError, match=rf"{name} must begin with the shape of rewards \(2, 3\), but is \(3, 2"):
            trajectory(**{name: torch.zeros(3, 2, 4)})


@pytest.mark.parametrize("shape", [(3,), (2, 3), (2, 2, 3)])
def test_time_is_last_whatever_stands_to_its_left(shape):
    assert trajectory(shape).done.shape == shape


def test_rows_of_a_batch_belong_together_and_end_where_nothing_is_left_to_learn():
    mask = flags([1, 0, 0, 0, 0], [0, 1, 1, 0, 0], [1, 1, 1, 1, 0], [0, 0, 0, 0, 0])
    whole = batch(mask=mask, ref_log_probs=torch.arange(20.0).view(4, 5))
    part = whole.rows(torch.tensor([1, 0]))
    assert len(part) == 2 and part.mask.tolist() == [[False, True, True], [True, False, False]]
    assert part.actions.tolist() == [[5, 6, 7], [0, 1, 2]]
    assert part.states[..., 1].tolist() == [[-5, -6, -7], [0, -1, -2]]
    assert part.log_probs.tolist() == [[-5, -6, -7], [0, -1, -2]]
    assert part.advantages.tolist() == [[5.5, 6.5, 7.5], [0.5, 1.5, 2.5]]
    assert part.ref_log_probs.tolist() == [[5, 6, 7], [0, 1, 2]]
    assert whole.rows(torch.tensor([2])).mask.shape == (1, 4)
    assert whole.rows(torch.tensor([3])).mask.tolist() == [[False]]  # nothing to learn, but still a batch
    assert batch().rows(torch.arange(4)).ref_log_probs is None


def test_a_batch_says_what_does_not_fit():
    with pytest.raises(ValueError, match=r"log_probs \(4, 5\), advantages \(4, 1\)"):
        batch(advantages=torch.zeros(4, 1))
    with pytest.raises(ValueError, match=r"ref_log_probs \(4, 6\)"):
        batch(ref_log_probs=torch.zeros(4, 6))
    for name in ("states", "actions"):
        with pytest.raises(ValueError, match=rf"{name} must begin with the shape of mask \(4, 5\), but is \(5, 4\)"):
            batch(**{name: torch.zeros(5, 4)})
    with pytest.raises(ValueError, match=r"mask must be a bool tensor, but is torch.float32"):
        batch(mask=torch.ones(4, 5))
    for shape in ((4, 0), (0, 5)):
        with pytest.raises(ValueError, match=r"a batch is \[B, T\] with at least one step, but mask is"):
            batch(shape)
    with pytest.raises(ValueError, match=r"a batch is \[B, T\] with at least one step, but mask is \(5,\)"):
        one = torch.zeros(5)
        Batch(one, one, one, one, one.bool())


def test_rows_of_a_trajectory_are_cut_to_their_own_length():
    mask = torch.tensor([[True, True, True], [True, True, False], [True, False, False]])
    numbers = torch.arange(9.0).view(3, 3)
    whole = Trajectory(numbers, numbers, numbers, numbers, ~mask, ~mask, mask, resume_states=numbers[:, 0])
    two = whole.rows(slice(1, 3))
    assert two.rewards.tolist() == [[3.0, 4.0], [6.0, 7.0]] and two.mask.tolist() == [[True, True], [True, False]]
    assert two.next_states is None and two.resume_states is None
    assert whole.rows(torch.tensor([2, 0])).rewards.tolist() == [[6.0, 7.0, 8.0], [0.0, 1.0, 2.0]]
    with pytest.raises(ValueError, match=r"index must pick at least one row of a batch \[B, T\]"):
        two.rows(slice(2, 2))


def test_rows_of_different_lengths_are_joined():
    def part(rewards, value):
        mask = torch.ones_like(rewards).bool()
        done = torch.zeros_like(mask)
        done[:, -1] = True
        states = torch.full((*rewards.shape, 2), value)
        return Trajectory(states, mask.long(), rewards, -rewards, done, torch.zeros_like(mask), mask)

    short, long = part(torch.tensor([[1.0, 2.0]]), 7.0), part(torch.tensor([[3.0, 4.0, 5.0], [6.0, 7.0, 8.0]]), 9.0)
    both = join([short, long])
    assert both.rewards.tolist() == [[1, 2, 0], [3, 4, 5], [6, 7, 8]]
    assert both.mask.tolist() == [[True, True, False], [True] * 3, [True] * 3]
    assert both.terminated.tolist() == [[False, True, False], [False, False, True], [False, False, True]]
    assert both.states[0].tolist() == [[7, 7], [7, 7], [0, 0]] and both.next_states is None
    assert torch.equal(both.rows(torch.tensor([0])).rewards, short.rewards)  # as it was


def test_steps_of_a_batch_become_rows_and_what_is_masked_is_gone():
    mask = torch.tensor([[True, False, True], [True, True, False]])
    numbers = torch.arange(6.0).view(2, 3)
    batch = Batch(numbers[..., None], numbers.long(), numbers, -numbers, mask, returns=numbers + 10)
    steps = batch.as_steps()
    assert steps.log_probs.tolist() == [[0], [2], [3], [4]] and steps.states.shape == (4, 1, 1)
    assert steps.returns.tolist() == [[10], [12], [13], [14]] and steps.mask.all() and steps.ref_log_probs is None
