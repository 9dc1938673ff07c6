"""Rollouts against a world that counts: no pair crosses an episode, however the worlds reset themselves."""

import gymnasium as gym
import pytest
import torch
from counting import CountingEnv, Parrot, worlds
from gymnasium.vector import AutoresetMode

import rlcore.envs  # noqa: F401  registers the robot dog
from rlcore.policies import Policy, UniformPolicy
from rlcore.returns import discounted_returns
from rlcore.rollout import collect

MODES = list(AutoresetMode)
FIELDS = ("states", "actions", "rewards", "log_probs", "terminated", "truncated", "mask", "next_states")


def equal(a, b):
    return all(torch.equal(getattr(a, name), getattr(b, name)) for name in FIELDS)


@pytest.mark.parametrize("mode", MODES)
def test_no_pair_crosses_an_episode(mode):
    trajectory = collect(Parrot(), worlds(mode), num_steps=17, seed=0)
    chosen = trajectory.mask
    episode, step = trajectory.states[..., 0], trajectory.states[..., 1]
    assert trajectory.rewards.shape == (3, 17)
    assert torch.equal(trajectory.next_states[..., 0][chosen], episode[chosen])  # the same episode ...
    assert torch.equal(trajectory.next_states[..., 1][chosen], step[chosen] + 1)  # ... one step on
    assert torch.equal(trajectory.rewards[chosen], step[chosen] + 1)  # rewards[t] follows actions[t]
    assert torch.equal(trajectory.actions[chosen], (step[chosen] % 2).long())
    assert torch.equal(trajectory.log_probs[chosen], -step[chosen])


@pytest.mark.parametrize("mode", MODES)
def test_every_step_of_every_episode_is_there_once(mode):
    trajectory = collect(Parrot(), worlds(mode), num_steps=17, seed=0)
    for row, length in enumerate((3, 4, 2)):
        steps = trajectory.states[row, :, 1][trajectory.mask[row]]
        assert steps.tolist() == [t % length for t in range(len(steps))]
        ends = trajectory.next_states[row, :, 1][trajectory.done[row]]
        assert (ends == length).all() and len(ends) == len(steps) // length
        even = trajectory.states[row, :, 0] % 2 == 0
        assert not (trajectory.terminated[row] & ~even).any() and not (trajectory.truncated[row] & even).any()


def test_only_next_step_mode_has_junk_and_it_is_masked():
    for mode in MODES:
        trajectory = collect(Parrot(), worlds(mode), num_steps=17, seed=0)
        junk = ~trajectory.mask
        if mode is not AutoresetMode.NEXT_STEP:
            assert not junk.any()
        else:
            assert torch.equal(junk[:, 1:], trajectory.done[:, :-1])  # exactly the step after each end
            assert not trajectory.rewards[junk].any() and not trajectory.log_probs[junk].any()
        # the first state's return is 1 + 2 + ... + length, whatever comes after the end
        returns = discounted_returns(trajectory.rewards, trajectory.done, 1.0)
        assert returns[:, 0].tolist() == [6.0, 10.0, 3.0]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("cut", [1, 3, 4, 8])
def test_going_on_equals_one_long_collect(mode, cut):
    whole = collect(Parrot(), worlds(mode), num_steps=12, seed=0)
    envs = worlds(mode)
    first = collect(Parrot(), envs, num_steps=cut, seed=0)
    second = collect(Parrot(), envs, num_steps=12 - cut, after=first)
    for name in FIELDS:
        assert torch.equal(torch.cat([getattr(first, name), getattr(second, name)], 1), getattr(whole, name)), name
    assert torch.equal(second.resume_states, whole.resume_states)


@pytest.mark.parametrize("mode", MODES)
def test_whole_episodes_equal_stepping_by_hand(mode):
    trajectory = collect(Parrot(), worlds(mode), seed=0)
    assert trajectory.rewards.tolist() == [[1, 2, 3, 0], [1, 2, 3, 4], [1, 2, 0, 0]]
    assert trajectory.mask.tolist() == [[True] * 3 + [False], [True] * 4, [True] * 2 + [False] * 2]
    assert trajectory.terminated.long().tolist() == [[0, 0, 1, 0], [0, 0, 0, 1], [0, 1, 0, 0]]
    padding = ~trajectory.mask
    assert not any(getattr(trajectory, name)[padding].any() for name in FIELDS)


def test_one_world_gives_one_episode_without_a_batch_axis():
    alone = collect(Parrot(), CountingEnv(4), seed=0)
    batch = collect(Parrot(), worlds("NextStep", (4,)), seed=0)
    assert alone.rewards.shape == (4,) and alone.states.shape == (4, 2)
    assert all(torch.equal(getattr(alone, name), getattr(batch, name)[0]) for name in FIELDS)


def test_one_world_is_neither_reset_after_its_end_nor_closed():
    env = gym.make("RobotDog-v0")
    closings = []
    env.close = lambda: closings.append(1)
    trajectory = collect(UniformPolicy(3), env, seed=0)
    assert torch.equal(torch.tensor(env.unwrapped.state, dtype=torch.float32), trajectory.next_states[-1])
    assert not closings  # it is not collect's to close


def test_states_are_float32_and_numbers_of_things_are_long():
    assert collect(Parrot(), CountingEnv(2)).states.dtype == torch.float32

    class Odd(Policy):
        def act(self, states, generator=None):
            assert states.dtype == torch.long and states.shape == (3,)
            return states % 2, -states.float()

    trajectory = collect(Odd(), worlds("SameStep", discrete=True), num_steps=5)
    assert trajectory.states.dtype == trajectory.next_states.dtype == torch.long
    assert trajectory.next_states[0].tolist() == [1, 2, 3, 1, 2]  # the true last state 3, not the next reset's 0


def test_collecting_copies_what_the_worlds_show():
    envs = worlds("NextStep")
    envs.copy = False  # the worlds now write every state into the same memory
    assert collect(Parrot(), envs, num_steps=4, seed=0).states[1, :, 1].tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("make", [lambda: gym.make("RobotDog-v0"), lambda: gym.make_vec("RobotDog-v0", num_envs=4),
                                  lambda: gym.make_vec("CartPole-v1", num_envs=4)])
def test_seeds_reproduce(make):
    def play(world_seed, dice_seed):
        policy = UniformPolicy(make().unwrapped.action_space.nvec[0] if hasattr(make(), "num_envs") else 3)
        return collect(policy, make(), seed=world_seed, generator=torch.Generator().manual_seed(dice_seed))

    assert equal(play(3, 7), play(3, 7))
    assert not torch.equal(play(3, 7).states[..., 0, :], play(4, 7).states[..., 0, :])
    assert not torch.equal(play(3, 7).actions[..., :5], play(3, 8).actions[..., :5])


def test_termination_outranks_truncation():
    class Both(CountingEnv):
        def step(self, action):
            seen, reward, end, _, info = super().step(action)
            return seen, reward, end, end, info

    trajectory = collect(Parrot(), Both(2), seed=0)
    assert trajectory.terminated.tolist() == [False, True] and not trajectory.truncated.any()


def test_errors_name_what_is_wrong():
    envs = worlds("NextStep")
    whole, some = collect(Parrot(), envs), collect(Parrot(), envs, num_steps=2)
    tuples = gym.make("Blackjack-v1")
    for problem, call in {
        "envs must be a Gymnasium environment.*str": lambda: collect(Parrot(), "RobotDog-v0"),
        "num_steps must be at least 1, but is 0": lambda: collect(Parrot(), envs, num_steps=0),
        "num_steps=5 needs a vector": lambda: collect(Parrot(), CountingEnv(), num_steps=5),
        "after goes with num_steps": lambda: collect(Parrot(), envs, after=some),
        "without a seed.* 3": lambda: collect(Parrot(), envs, num_steps=2, after=some, seed=3),
        "after must come from collect.*num_steps.*": lambda: collect(Parrot(), envs, num_steps=2, after=whole),
        "in these 2 worlds": lambda: collect(Parrot(), worlds("NextStep", (2, 2)), num_steps=2, after=some),
        "the world shows a Tuple": lambda: collect(Parrot(), tuples),
    }.items():
        with pytest.raises(ValueError, match=problem):
            call()
    with pytest.raises(RuntimeError, match="2 of 3 episodes did not end within max_steps=2"):
        collect(Parrot(), envs, max_steps=2)
