"""The windy grid, the short corridor and the lottery: moves by hand, and the values that the book gives."""

import warnings

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import rlcore.envs  # noqa: F401  registers the worlds
from rlcore.envs.classic_grids import GOAL, HOME, LEFT, LOTTERY, START, maximisation_bias, short_corridor, windy_grid
from rlcore.envs.exact import epsilon_greedy, expected_return

UP, RIGHT, DOWN, LEFTWARDS = range(4)


def best_values(mdp, rounds=200):
    """q* of a world in which every path ends, by value iteration, `[S, A]`."""
    values = np.zeros(mdp.num_states)
    for _ in range(rounds):
        q = mdp.rewards + mdp.expect(values)
        values = q.max(1)
    return q


@pytest.mark.parametrize("name", ["WindyGrid", "WindyKing", "ShortCorridor", "MaximisationBias"])
def test_gymnasium_has_nothing_to_say(name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(gym.make(f"{name}-v0").unwrapped)


@pytest.mark.parametrize("name", ["WindyGrid", "WindyKing", "ShortCorridor", "MaximisationBias"])
def test_a_picture_shows_where_the_agent_is(name):
    env = gym.make(f"{name}-v0", render_mode="rgb_array")
    env.reset(seed=0)
    before = env.render()
    env.step(1)
    assert before.dtype == np.uint8 and before.ndim == 3 and (before != env.render()).any()


@pytest.mark.parametrize(("king", "steps"), [(False, 15), (True, 7)])
def test_the_windy_grid_is_crossed_in_as_many_steps_as_in_the_book(king, steps):
    mdp = windy_grid(king)
    q = best_values(mdp)
    assert q[START].max() == -steps
    assert expected_return(mdp, epsilon_greedy(q)) == pytest.approx(-steps, abs=1e-9)


def test_the_wind_is_that_of_the_column_that_is_left():
    mdp = windy_grid()
    after = lambda row, column, action: divmod(mdp.next_states[10 * row + column, action, 0], 10)  # noqa: E731
    assert after(3, 2, RIGHT) == (3, 3)  # no wind in column 2, though there is in column 3
    assert after(3, 3, RIGHT) == (2, 4)  # one up
    assert after(3, 6, RIGHT) == (1, 7)  # two up
    assert after(3, 6, DOWN) == (2, 6)  # one down, two up
    assert after(0, 6, UP) == (0, 6) and after(6, 0, DOWN) == (6, 0) and after(3, 0, LEFTWARDS) == (3, 0)
    assert 10 * 3 + 7 == GOAL == mdp.next_states[10 * 4 + 8, LEFTWARDS, 0]  # one up, into the goal
    assert mdp.terminated[48, LEFTWARDS, 0] and mdp.terminal.sum() == 1 and (mdp.rewards[~mdp.terminal] == -1).all()


def test_a_king_also_walks_diagonally():
    mdp = windy_grid(king=True)
    assert mdp.next_states[33, 4:, 0].tolist() == [14, 34, 32, 12]  # upper right, lower right, lower left, upper left


@pytest.mark.parametrize(("right", "value"), [(2 - 2**0.5, -6 - 4 * 2**0.5), (0.95, -44.2105263), (0.05, -82.1052632)])
def test_the_short_corridor_pays_what_the_book_says(right, value):
    probs = np.tile([1 - right, right], (4, 1))
    assert value == pytest.approx(-2 * (2 - right) / (right * (1 - right)), abs=1e-6)
    assert expected_return(short_corridor(), probs) == pytest.approx(value, abs=1e-6)


def test_in_the_corridor_all_squares_look_alike():
    env = gym.make("ShortCorridor-v0")
    seen, where = [env.reset(seed=0)[0]], [0]
    for action in (0, 1, 1, 1, 0, 1):  # stay, on, *back*, on, *on*, out
        state, reward, terminated, _, _ = env.step(action)
        seen.append(state)
        where.append(env.unwrapped.state)
        assert reward == -1 and terminated == (env.unwrapped.state == 3)
    assert seen == [0] * 7 and where == [0, 0, 1, 0, 1, 2, 3] and env.observation_space.n == 1


def test_the_lottery_is_a_mistake():
    mdp = maximisation_bias()
    prizes = mdp.outcome_rewards[LOTTERY]  # [10, 100]
    assert prizes.mean(1) == pytest.approx(-0.1, abs=1e-12) and prizes.var(1) == pytest.approx(1.0, abs=1e-12)
    assert mdp.terminated[LOTTERY].all() and mdp.terminated[HOME, 1:, 0].all() and not mdp.terminated[HOME, LEFT, 0]
    q = best_values(mdp)
    assert q[HOME] == pytest.approx([-0.1] + [0.0] * 9, abs=1e-12)
    counts = gym.make("MaximisationBias-v0").unwrapped.action_counts
    q[HOME, counts[HOME]:] = -np.inf
    assert epsilon_greedy(q, 0.1)[HOME] == pytest.approx([0.05, 0.95] + [0.0] * 8)  # the optimum that the book draws
    assert maximisation_bias(tickets=3, mean=0.5).rewards[LOTTERY] == pytest.approx([0.5] * 3)


def test_bad_lotteries_are_named():
    with pytest.raises(ValueError, match="tickets must be at least 2, but is 1"):
        maximisation_bias(tickets=1)
    with pytest.raises(ValueError, match="mean must be a finite number, but is nan"):
        maximisation_bias(mean=float("nan"))
