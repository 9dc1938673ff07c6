"""Dynamic programming against the book's figures, against linear algebra, and against its own identities."""

from itertools import islice, pairwise

import gymnasium as gym
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlcore.agents.dynamic_programming import (
    DPConfig,
    action_values,
    advantages,
    evaluation_sweeps,
    exact_values,
    greedy,
    policy_iteration_rounds,
    state_values,
    train,
    value_iteration_sweeps,
)
from rlcore.envs.grid_worlds import corner_grid, gambler, jump_grid
from rlcore.envs.tables import TabularMDP
from rlcore.rollout import collect


def after(sweeps, number):
    """The values v_number of a generator of sweeps."""
    return next(islice(sweeps, number, None))


def uniform(mdp):
    return np.full(mdp.rewards.shape, 1 / mdp.num_actions)


def random_mdp(seed, num_states=5, num_actions=3, outcomes=4):
    random = np.random.default_rng(seed)
    size = (num_states, num_actions, outcomes)
    return TabularMDP(random.dirichlet(np.ones(outcomes), size[:2]), random.integers(num_states, size=size),
                      random.normal(size=size), random.random(size) < 0.2, np.eye(num_states)[0])


# Reference values
def test_the_books_grid():
    mdp = jump_grid()
    assert exact_values(mdp, uniform(mdp), 0.9)[:5].round(1).tolist() == [3.3, 8.8, 4.4, 5.3, 1.5]
    for method in ("value_iteration", "policy_iteration"):
        best = train(mdp, DPConfig(gamma=0.9, method=method))
        assert best.value[:5].round(1).tolist() == [22.0, 24.4, 22.0, 19.4, 17.5]
        # A pays 10 every five steps: 10 / (1 − 0.9⁵) = 24.4194
        assert best.value[1] == pytest.approx(10 / (1 - 0.9**5), abs=1e-6)


def test_figure_4_1():
    mdp = corner_grid()
    values = exact_values(mdp, uniform(mdp), 1.0)
    assert values[:6] == pytest.approx([0, -14, -20, -22, -14, -18], abs=1e-6)
    assert after(evaluation_sweeps(mdp, uniform(mdp), 1.0), 2)[1] == -1.75
    assert after(evaluation_sweeps(mdp, uniform(mdp), 1.0), 3)[1] == -2.4375


@pytest.mark.parametrize("method", ["value_iteration", "policy_iteration"])
@pytest.mark.parametrize(("world", "gamma", "value"), [
    ("FrozenLake-v1", 1.0, 14 / 17), ("CliffWalking-v1", 1.0, -13.0), ("Taxi-v4", 1.0, 7.93),
])
def test_gymnasiums_worlds(world, gamma, value, method):
    mdp = TabularMDP.from_env(gym.make(world))
    best = train(mdp, DPConfig(gamma=gamma, method=method))
    assert (best.value * mdp.start).sum() == pytest.approx(value, abs=1e-6)


def test_the_gambler():
    best = train(gambler(), DPConfig(gamma=1.0))
    assert best.value[[25, 50, 75]] == pytest.approx([0.16, 0.40, 0.64], abs=1e-6)


def test_a_limit_of_100_steps_on_the_ice():
    mdp = TabularMDP.from_env(gym.make("FrozenLake-v1"))
    assert after(value_iteration_sweeps(mdp, 1.0), 100)[0] == pytest.approx(0.7442, abs=5e-5)
    stationary = greedy(train(mdp, DPConfig(gamma=0.99)).q)
    assert after(evaluation_sweeps(mdp, stationary, 1.0), 100)[0] == pytest.approx(0.7402, abs=5e-5)


# Identities
@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), gamma=st.floats(0.0, 0.95))
def test_bellman_holds_for_what_comes_out(seed, gamma):
    mdp = random_mdp(seed)
    policy = np.random.default_rng(seed).dirichlet(np.ones(3), 5)
    values = exact_values(mdp, policy, gamma)
    q = action_values(mdp, values, gamma)
    assert state_values(policy, q) == pytest.approx(values, abs=1e-9)  # V is a fixed point
    assert after(evaluation_sweeps(mdp, policy, gamma), 700) == pytest.approx(values, abs=1e-9)  # and sweeps reach it
    assert (policy * advantages(policy, q)).sum(-1) == pytest.approx(0.0, abs=1e-9)
    better = exact_values(mdp, greedy(q), gamma)
    assert (better >= values - 1e-9).all()  # policy improvement
    best = train(mdp, DPConfig(gamma=gamma))
    assert (best.value >= better - 1e-8).all()
    assert best.q.max(-1) == pytest.approx(best.value, abs=1e-8)
    assert train(mdp, DPConfig(gamma=gamma, method="policy_iteration")).value == pytest.approx(best.value, abs=1e-8)


def test_values_are_what_walks_pay():
    """The one test that does not trust Bellman: 4000 walks by the table, SE ≈ 0.03; the band is 4 SE."""
    mdp, gamma = random_mdp(3), 0.8
    values, random = exact_values(mdp, uniform(mdp), gamma), np.random.default_rng(0)
    returns = []
    for _ in range(4000):
        s, return_, weight, over = 0, 0.0, 1.0, False
        while not over and weight > 1e-4:
            a = random.integers(3)
            k = random.choice(4, p=mdp.probabilities[s, a])
            return_ += weight * mdp.outcome_rewards[s, a, k]
            s, over, weight = mdp.next_states[s, a, k], mdp.terminated[s, a, k], weight * gamma
        returns.append(return_)
    error = np.std(returns) / len(returns) ** 0.5
    assert error < 0.05
    assert np.mean(returns) == pytest.approx(values[0], abs=4 * error)


def test_a_better_action_has_a_positive_advantage():
    policy, q = np.array([[0.5, 0.5], [0.25, 0.75]]), np.array([[2.0, 6.0], [8.0, 4.0]])  # V = 4 and 2 + 3 = 5
    assert advantages(policy, q).tolist() == [[-2.0, 2.0], [3.0, -1.0]]


def test_a_sweep_shrinks_the_error_by_gamma():
    mdp = jump_grid()
    truth = exact_values(mdp, uniform(mdp), 0.9)
    errors = [np.abs(v - truth).max() for v in islice(evaluation_sweeps(mdp, uniform(mdp), 0.9), 40)]
    assert all(after <= 0.9 * before + 1e-12 for before, after in pairwise(errors))


def test_discounting_is_dying_at_random():
    """γ = 0.9 is worth what ending with probability 0.1 after every step is worth at γ = 1."""
    mdp = jump_grid()
    mortal = TabularMDP.from_function(25, 4, lambda s, a: [
        (0.9, mdp.next_states[s, a, 0], mdp.outcome_rewards[s, a, 0], False),
        (0.1, mdp.next_states[s, a, 0], mdp.outcome_rewards[s, a, 0], True)], mdp.start)
    assert exact_values(mortal, uniform(mdp), 1.0) == pytest.approx(exact_values(mdp, uniform(mdp), 0.9), abs=1e-9)


def test_policy_iteration_stops_although_policies_are_tied():
    mdp = TabularMDP.from_function(2, 3, lambda s, a: [(1.0, 1 - s, 1.0, False)])  # whatever one does
    rounds = list(policy_iteration_rounds(mdp, 0.5))
    assert len(rounds) == 1 and rounds[0][1] == pytest.approx([2.0, 2.0])


def test_greedy_shares_ties_and_forgives_rounding():
    q = np.array([[1.0, 1.0 + 1e-12, 0.0], [-2.0, -1.0, -1.5]])
    assert greedy(q).tolist() == [[0.5, 0.5, 0.0], [0.0, 1.0, 0.0]]


def test_the_result_is_a_policy():
    best = train(corner_grid(), DPConfig(gamma=1.0, method="policy_iteration"), seed=1)
    for seed in range(5):
        episode = collect(best.policy, gym.make("CornerGrid-v0"), seed=seed)
        assert episode.rewards.sum() == best.value[episode.states[0]]
    assert best.history[-1]["change"] >= 0 and best.history[0]["sweep"] == 1


# Bad questions
def test_gamma_1_without_an_end_is_refused():
    mdp = jump_grid()
    for ask in (lambda: train(mdp, DPConfig(gamma=1.0)), lambda: exact_values(mdp, uniform(mdp), 1.0),
                lambda: next(evaluation_sweeps(mdp, uniform(mdp), 1.0)),
                lambda: train(mdp, DPConfig(gamma=1.0, method="policy_iteration"))):
        with pytest.raises(ValueError, match="gamma must be below 1 in a world that never ends, but is 1"):
            ask()


def test_a_policy_that_never_ends_is_named():
    mdp, always_up = corner_grid(), np.eye(4)[[0] * 16]
    with pytest.raises(ValueError, match=r"policy that never ends.*from state 1 "):
        exact_values(mdp, always_up, 1.0)
    assert np.isfinite(exact_values(mdp, always_up, 0.9)).all()


def test_waiting_for_nothing_is_worth_nothing():
    """A loop that pays nothing has a value at γ = 1 also: 0."""
    mdp = TabularMDP.from_table({0: {0: [(1.0, 0, 0.0, False)], 1: [(1.0, 1, 2.0, True)]},
                                 1: {0: [(1.0, 1, 0.0, True)], 1: [(1.0, 1, 0.0, True)]}})
    assert exact_values(mdp, np.array([[1.0, 0.0], [1.0, 0.0]]), 1.0).tolist() == [0.0, 0.0]
    assert train(mdp, DPConfig(gamma=1.0)).value.tolist() == [2.0, 0.0]


def test_values_without_a_limit_are_given_up():
    pump = TabularMDP.from_table({0: {0: [(1.0, 0, 1.0, False)], 1: [(1.0, 1, 0.0, True)]},
                                  1: {0: [(1.0, 1, 0.0, True)], 1: [(1.0, 1, 0.0, True)]}})
    with pytest.raises(RuntimeError, match=r"max_sweeps=50 .* no limit"):
        train(pump, DPConfig(gamma=1.0, max_sweeps=50))


@pytest.mark.parametrize(("settings", "says"), [
    ({"gamma": 1.1}, r"gamma must lie in \[0, 1\], but is 1.1"), ({"method": "guess"}, "method must be one of"),
    ({"tol": 0.0}, "tol must be a positive"), ({"max_sweeps": 0}, "max_sweeps must be a positive"),
])
def test_bad_settings(settings, says):
    with pytest.raises(ValueError, match=says):
        DPConfig(**settings)


def test_bad_arguments():
    mdp = jump_grid()
    with pytest.raises(ValueError, match=r"gamma must lie in \[0, 1\]"):
        action_values(mdp, np.zeros(25), -0.1)
    with pytest.raises(ValueError, match="values must be one for each of 25 states"):
        action_values(mdp, np.zeros((25, 1)), 0.9)
    with pytest.raises(ValueError, match=r"in state 7 .* sum to 1.5"):
        policy = uniform(mdp)
        policy[7] = [0.75, 0.75, 0.0, 0.0]
        exact_values(mdp, policy, 0.9)
    with pytest.raises(ValueError, match="policy must hold a probability for each state and action"):
        state_values(np.ones((25, 1)), np.zeros((25, 4)))
