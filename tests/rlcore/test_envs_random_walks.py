"""Random walks and the world of one state: tables, true values, pictures, and the same dice in vector form."""

import warnings

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env

from rlcore.envs.random_walks import one_state, random_walk, true_values
from rlcore.envs.table_vector_env import TabularVectorEnv, count_states
from rlcore.policies import TabularPolicy
from rlcore.rollout import collect

WORLDS = ["RandomWalk-v0", "RandomWalk19-v0", "OneState-v0"]


def solve(mdp, probabilities):
    """V by linear algebra: (I − P) v = r, without discount."""
    going_on = np.einsum("sa,sat->st", probabilities, mdp.transitions)
    going_on[mdp.terminal] = 0.0
    return np.linalg.solve(np.eye(mdp.num_states) - going_on, (probabilities * mdp.rewards).sum(1))


@pytest.mark.parametrize("world", WORLDS)
def test_gymnasium_has_nothing_to_say(world):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(gym.make(world, render_mode="rgb_array").unwrapped)


@pytest.mark.parametrize("p_right", [0.0, 0.2, 0.5, 0.7, 1.0])
@pytest.mark.parametrize(("n", "left", "right"), [(1, 0, 1), (5, 0, 1), (19, -1, 1), (3, 2, -5)])
def test_true_values_solve_the_bellman_equation(n, left, right, p_right):
    policy = np.tile([1 - p_right, p_right], (n + 2, 1))
    expected = solve(random_walk(n, left, right), policy)
    np.testing.assert_allclose(true_values(n, left, right, p_right), expected, atol=1e-12)


def test_the_books_values():
    five, nineteen = true_values()[1:-1], true_values(19, -1, 1)[1:-1]
    np.testing.assert_allclose(five, np.arange(1, 6) / 6, atol=1e-12)
    np.testing.assert_allclose(nineteen, np.arange(-9, 10) / 10, atol=1e-12)
    assert np.sqrt(((0.5 - five) ** 2).mean()) == pytest.approx(0.2357, abs=5e-5)
    assert np.sqrt((nineteen**2).mean()) == pytest.approx(0.5477, abs=5e-5)
    always_left = np.tile([1.0, 0.0], (2, 1))
    assert solve(one_state(), always_left)[0] == pytest.approx(1.0)  # .1 · (1 + .9 + .81 + …)


def test_the_walk_starts_in_the_middle_and_right_is_right():
    world = gym.make("RandomWalk-v0")
    assert world.reset(seed=0)[0] == 3
    assert [world.step(1)[:4] for _ in range(3)] == [(4, 0.0, False, False), (5, 0.0, False, False),
                                                     (6, 1.0, True, False)]
    world = gym.make("RandomWalk19-v0")
    world.reset(seed=0)
    assert [world.step(0) for _ in range(10)][-1][:4] == (0, -1.0, True, False)


def test_the_vector_form_has_the_same_law():
    coin = TabularPolicy(7, 2)
    walks = collect(coin, gym.make_vec("RandomWalk-v0", num_envs=4000), seed=0,
                    generator=torch.Generator().manual_seed(0))
    assert (walks.states[:, 0] == 3).all() and walks.terminated.any(1).all() and not walks.truncated.any()
    steps = walks.next_states - walks.states
    assert (steps == 2 * walks.actions - 1)[walks.mask].all()
    lengths, wins = walks.mask.sum(1).double(), walks.rewards.sum(1).double()
    assert (lengths.mean() - 9).abs() < 4 * lengths.std() / 4000**0.5  # from the middle: 3 · 3 steps
    assert (wins.mean() - 0.5).abs() < 4 * 0.5 / 4000**0.5
    always_left = TabularPolicy.from_probabilities([[1.0, 0.0]] * 2)
    stays = collect(always_left, gym.make_vec("OneState-v0", num_envs=4000), seed=0).mask.sum(1).double()
    assert (stays.mean() - 10).abs() < 4 * 90**0.5 / 4000**0.5  # geometric: mean 10, variance .9/.01


def test_a_limit_truncates_and_the_next_step_resets():
    world = TabularVectorEnv(random_walk(5), num_envs=2, max_episode_steps=2)
    assert world.reset(seed=0)[0].tolist() == [3, 3]
    assert not world.step(np.array([1, 0]))[3].any()
    states, _, terminated, truncated, _ = world.step(np.array([1, 1]))
    assert states.tolist() == [5, 3] and truncated.all() and not terminated.any()
    states, rewards, terminated, truncated, _ = world.step(np.array([1, 1]))  # only resets
    assert states.tolist() == [3, 3] and not (terminated | truncated).any() and (rewards == 0).all()
    assert not world.step(np.array([1, 1]))[3].any() and world.step(np.array([0, 0]))[3].all()


def test_start_states_are_drawn_from_the_start_distribution():
    mdp = random_walk(5)
    mdp.start[:] = [0, 0.25, 0, 0.75, 0, 0, 0]
    counts = np.bincount(TabularVectorEnv(mdp, 10_000).reset(seed=0)[0], minlength=7) / 10_000
    assert counts[[0, 2, 4, 5, 6]].sum() == 0 and counts[1] == pytest.approx(0.25, abs=4 * (0.1875 / 10_000) ** 0.5)


@pytest.mark.parametrize("world", WORLDS)
def test_the_picture_shows_where_the_walker_is(world):
    env = gym.make(world, render_mode="rgb_array").unwrapped
    pictures = [env.reset(options={"state": s}) and env.render() for s in (0, 1)]
    assert pictures[0].dtype == np.uint8 and pictures[0].shape == pictures[1].shape
    assert (pictures[0] != pictures[1]).any()


def test_bad_worlds_are_named():
    with pytest.raises(ValueError, match=r"num_states must be odd and at least 1, .* but is 4"):
        random_walk(4)
    with pytest.raises(ValueError, match=r"p_right must lie in \[0, 1\], but is 1.5"):
        true_values(5, p_right=1.5)
    with pytest.raises(ValueError, match="num_envs and max_episode_steps must be at least 1, but are 0 and None"):
        TabularVectorEnv(random_walk(), 0)
    with pytest.raises(ValueError, match="render_mode must be None"):
        gym.make_vec("RandomWalk-v0", num_envs=2, render_mode="rgb_array")
    world = TabularVectorEnv(random_walk(), 2)
    world.reset(seed=0)
    with pytest.raises(ValueError, match=r"actions must be 2 numbers in 0..1, but are \[0, 2\]"):
        world.step(np.array([0, 2]))
    with pytest.raises(ValueError, match=r"states must be numbers .* but are Box"):
        count_states(gym.make("CartPole-v1"))
    assert count_states(gym.make("RandomWalk-v0")) == 7
