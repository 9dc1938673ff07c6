"""The replay buffer: a ring that forgets the oldest, and never remembers what nobody did."""

import gymnasium as gym
import pytest
import torch

import rlcore.envs  # noqa: F401  registers the probes
from rlcore.policies import UniformPolicy
from rlcore.replay import ReplayBuffer
from rlcore.rollout import collect
from rlcore.trajectory import Trajectory


def steps(*numbers, mask=None, terminated=False, truncated=False):
    """One world's steps, each told apart by its number in all its parts."""
    x = torch.tensor([[float(n) for n in numbers]])  # [1, T]
    flags = torch.zeros_like(x, dtype=torch.bool)
    return Trajectory(states=x[..., None], actions=x.long(), rewards=10 * x, log_probs=0 * x,
                      terminated=flags | terminated, truncated=flags | truncated,
                      mask=~flags if mask is None else torch.tensor([mask]), next_states=x[..., None] + 0.5)


def remembered(buffer):
    return buffer.memory.rewards[: len(buffer)].div(10).tolist()


def test_a_new_step_takes_the_place_of_the_oldest():
    buffer = ReplayBuffer(5, (1,))
    buffer.add(steps(1, 2, 3))
    assert len(buffer) == 3 and remembered(buffer) == [1, 2, 3]
    buffer.add(steps(4, 5, 6, 7))  # steps 6 and 7 go round the corner, over 1 and 2
    assert len(buffer) == 5 and remembered(buffer) == [6, 7, 3, 4, 5]
    buffer.add(steps(8))
    assert remembered(buffer) == [6, 7, 8, 4, 5] and buffer.added == 8


def test_the_parts_of_a_step_stay_together():
    buffer = ReplayBuffer(4, (1,))
    for numbers in ((1, 2, 3), (4, 5, 6)):
        buffer.add(steps(*numbers))
    batch = buffer.sample(200, torch.Generator().manual_seed(0))
    n = batch.actions.float()
    assert set(batch.actions.tolist()) == {3, 4, 5, 6}
    assert (batch.states[:, 0] == n).all() and (batch.rewards == 10 * n).all()
    assert (batch.next_states[:, 0] == n + 0.5).all()


def test_every_remembered_step_is_as_likely():
    buffer = ReplayBuffer(10, (1,))
    buffer.add(steps(0, 1, 2, 3))  # the six empty places must never be drawn
    counts = buffer.sample(4000, torch.Generator().manual_seed(0)).actions.bincount(minlength=4)
    assert len(counts) == 4
    assert (counts - 1000).abs().max() < 5 * (4000 * 0.25 * 0.75) ** 0.5  # five standard errors


def test_only_terminated_is_an_end():
    buffer = ReplayBuffer(4, (1,))
    buffer.add(steps(1, truncated=True))
    buffer.add(steps(2, terminated=True))
    assert buffer.memory.terminated[:2].tolist() == [False, True]


def test_masked_steps_are_not_remembered():
    buffer = ReplayBuffer(4, (1,))
    buffer.add(steps(1, 2, 3, mask=[True, False, True]))
    assert remembered(buffer) == [1, 3]


@pytest.mark.parametrize("mode", ["NextStep", "SameStep", "Disabled"])
def test_no_step_leads_from_one_episode_into_the_next(mode):
    # Probe3 goes from 0 to 1 with reward 0, and ends with reward 1. A step from 1 to 0 would be the reset.
    worlds = gym.make_vec("Probe3-v0", num_envs=3, vectorization_mode="sync",
                          vector_kwargs={"autoreset_mode": getattr(gym.vector.AutoresetMode, {
                              "NextStep": "NEXT_STEP", "SameStep": "SAME_STEP", "Disabled": "DISABLED"}[mode])})
    buffer = ReplayBuffer(100, (1,))
    buffer.add(collect(UniformPolicy(1), worlds, num_steps=9, seed=0))
    m, n = buffer.memory, len(buffer)
    kinds = set(zip(m.states[:n, 0].tolist(), m.rewards[:n].tolist(), m.next_states[:n, 0].tolist(),
                    m.terminated[:n].tolist(), strict=True))
    assert kinds == {(0.0, 0.0, 1.0, False), (1.0, 1.0, 1.0, True)}
    assert n == (18 if mode == "NextStep" else 27)  # every third step of NEXT_STEP only resets


def test_it_comes_back_from_its_state():
    buffer, twin = ReplayBuffer(3, (1,)), ReplayBuffer(3, (1,))
    buffer.add(steps(1, 2))
    buffer.add(steps(3, 4))
    twin.load_state_dict(buffer.state_dict())
    for one in (buffer, twin):
        one.add(steps(5))
    assert remembered(twin) == remembered(buffer) == [4, 5, 3]


def test_bad_input_is_named():
    buffer = ReplayBuffer(2, (1,))
    with pytest.raises(ValueError, match="size must be a positive number, but is 0"):
        ReplayBuffer(0, (1,))
    with pytest.raises(ValueError, match="the buffer is empty"):
        buffer.sample(1)
    with pytest.raises(ValueError, match="remembers 2 steps, but the trajectory has 3"):
        buffer.add(steps(1, 2, 3))
    with pytest.raises(ValueError, match=r"remembers states \(4,\), but the trajectory's are \(1,\)"):
        ReplayBuffer(2, (4,)).add(steps(1))
    with pytest.raises(ValueError, match="trajectory has no next_states"):
        buffer.add(Trajectory(**{**vars(steps(1)), "next_states": None}))
    buffer.add(steps(1))
    with pytest.raises(ValueError, match="count must be a positive number, but is 0"):
        buffer.sample(0)
