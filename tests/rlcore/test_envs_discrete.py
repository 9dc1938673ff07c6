"""Worlds behind one interface, and the exact score of a policy in a table."""

from collections import Counter

import gymnasium as gym
import numpy as np
import pytest

import rlcore.envs  # noqa: F401  registers the worlds
from rlcore.envs.discrete import GymWorld, TableWorld, as_world
from rlcore.envs.exact import epsilon_greedy, expected_return
from rlcore.envs.tables import TabularMDP

UP, RIGHT, DOWN, LEFT = range(4)
CLIFF = TableWorld.from_env(gym.make("CliffWalking-v1"))
LAKE = TableWorld.from_env(gym.make("FrozenLake-v1"))


def always(world, actions):
    """A policy that does the same everywhere, but for the states that are given: `[S, A]`."""
    default, others = actions
    probs = np.eye(world.mdp.num_actions)[[others.get(s, default) for s in range(world.mdp.num_states)]]
    return probs


def test_a_table_is_drawn_from_as_it_says():
    LAKE.seed(0)
    seen = Counter()
    for _ in range(3000):
        LAKE.reset()
        seen[LAKE.step(RIGHT)] += 1  # on the ice, action 1 is down: it slips left, down or right
    chances = {(outcome[1], *outcome[2:], False): outcome[0] for outcome in LAKE.mdp.table()[0][RIGHT]}
    assert seen.keys() == chances.keys() and len(chances) == 3
    for outcome, chance in chances.items():  # standard error √(1/3 · 2/3 / 3000) = 0.0086; the bound is 4 of them
        assert seen[outcome] / 3000 == pytest.approx(chance, abs=0.035)


def test_episodes_begin_as_the_table_says():
    taxi = TableWorld.from_env(gym.make("Taxi-v4"))
    starts = Counter(taxi.reset() for _ in range(9000))
    possible = np.flatnonzero(taxi.mdp.start)
    assert starts.keys() == set(possible.tolist()) and len(possible) == 300
    assert max(starts.values()) < 2 * 30 and min(starts.values()) > 30 / 3  # 30 each, standard deviation 5.5


def test_a_seed_repeats_the_dice():
    def play(seed):
        LAKE.seed(seed)
        LAKE.reset()
        return [LAKE.step(RIGHT)[0] for _ in range(50)]

    assert play(1) == play(1) != play(2)


def test_the_table_brings_its_step_limit():
    assert LAKE.step_limit == 100 and CLIFF.step_limit is None and as_world(CLIFF.mdp).step_limit is None


def test_a_table_and_its_environment_are_the_same_world():
    one, two = GymWorld(gym.make("WindyGrid-v0")), TableWorld.from_env(gym.make("WindyGrid-v0"))
    assert one.action_counts == two.action_counts and one.reset() == two.reset()
    for action in (1, 1, 1, 1, 0, 2, 3, 1):
        assert one.step(action) == two.step(action)


def test_tuples_of_numbers_are_numbered():
    world = GymWorld(gym.make("Blackjack-v1", sab=True))  # 32 sums, 11 cards, a usable ace or none
    assert len(world.action_counts) == 32 * 11 * 2 and set(world.action_counts) == {2}
    assert world._number((31, 10, 1)) == 703 and world._number((0, 0, 1)) == 1 and world._number((0, 1, 0)) == 2
    world.seed(3)
    first = world.reset()
    world.seed(3)
    assert world.reset() == first and isinstance(first, int)


def test_numbers_may_start_anywhere():
    class Odd(gym.Env):
        observation_space = gym.spaces.MultiDiscrete([3, 4], start=[5, 6])
        action_space = gym.spaces.Discrete(2, start=7)

        def reset(self, seed=None, options=None):
            return np.array([5, 6]), {}

        def step(self, action):
            return np.array([7, 9]), float(action), True, False, {}

    world = GymWorld(Odd())
    assert (world.reset(), world.step(1)) == (0, (11, 8.0, True, False)) and world.action_counts == [2] * 12


def test_the_best_walk_along_the_cliff_by_hand():
    walk = {36: UP, 35: DOWN} | dict.fromkeys(range(24, 35), RIGHT)
    assert expected_return(CLIFF, always(CLIFF, (UP, walk))) == -13.0
    assert expected_return(CLIFF, always(CLIFF, (UP, walk)), step_limit=4) == -4.0
    assert expected_return(CLIFF, always(CLIFF, (RIGHT, {})), step_limit=3) == -300.0  # into the cliff, three times


def test_a_coin_is_averaged_over():
    # Two states: 0 pays 1 and goes on with 3/4, so an episode has 1 / (1/4) = 4 steps on average.
    mdp = TabularMDP.from_table({0: {0: [(0.75, 0, 1.0, False), (0.25, 1, 1.0, True)]}, 1: {0: [(1.0, 1, 0.0, True)]}})
    assert expected_return(mdp, np.ones((2, 1))) == pytest.approx(4.0, abs=1e-9)
    assert expected_return(mdp, np.ones((2, 1)), step_limit=2) == pytest.approx(1.75, abs=1e-12)  # 1 + 3/4


def test_greedy_in_a_table_by_hand():
    q = np.array([[1.0, 3.0, 3.0], [0.0, -1.0, -np.inf]])
    assert epsilon_greedy(q) == pytest.approx(np.array([[0.0, 0.5, 0.5], [1.0, 0.0, 0.0]]))
    assert epsilon_greedy(q, 0.3) == pytest.approx(np.array([[0.1, 0.45, 0.45], [0.85, 0.15, 0.0]]))


def test_a_policy_that_never_ends_is_named():
    with pytest.raises(RuntimeError, match=r"does not end: after max_steps=10000 steps a share of 1 of its episodes "
                                           r"still runs, most of them in state 0\. Give the evaluation a step_limit"):
        expected_return(CLIFF, always(CLIFF, (UP, {24: UP})))


def test_bad_worlds_and_policies_are_named():
    with pytest.raises(ValueError, match="states must be discrete for a table, but the world shows Box"):
        as_world(gym.make("CartPole-v1"))
    with pytest.raises(ValueError, match="actions must be Discrete for a table, but the world takes Box"):
        world = gym.Env()
        world.observation_space, world.action_space = gym.spaces.Discrete(2), gym.spaces.Box(-1, 1)
        as_world(world)
    with pytest.raises(ValueError, match=r"world must be a Gymnasium environment, a TabularMDP .* but is a str"):
        as_world("CliffWalking-v1")
    with pytest.raises(ValueError, match=r"env must show its state, one of 4, but shows Discrete\(1\)"):
        TableWorld.from_env(gym.make("ShortCorridor-v0"))
    with pytest.raises(ValueError, match="step_limit must be at least 1, or None, but is 0"):
        TableWorld(LAKE.mdp, step_limit=0)
    with pytest.raises(ValueError, match="action_counts must be 16 numbers from 1 to 4"):
        TableWorld(LAKE.mdp, action_counts=[5] * 16)
    for probs in (np.ones((16, 4)), np.ones((4, 16)) / 16, np.tile([2.0, -1.0, 0.0, 0.0], (16, 1))):
        with pytest.raises(ValueError, match=r"probs must be \[16, 4\] with rows that sum to 1"):
            expected_return(LAKE, probs)
    with pytest.raises(ValueError, match=r"epsilon must lie in \[0, 1\], but is 1.5"):
        epsilon_greedy(np.zeros((2, 2)), 1.5)
