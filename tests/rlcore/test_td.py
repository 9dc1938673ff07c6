"""n-step TD and the λ-return: by hand, against the book's own pseudocode, as identities, and against its figures."""

from dataclasses import fields

import gymnasium as gym
import pytest
import torch

from rlcore.agents.td import LambdaConfig, TDConfig, lambda_return_td, n_step_td, train
from rlcore.envs.random_walks import random_walk, true_values
from rlcore.envs.table_vector_env import TabularVectorEnv
from rlcore.policies import TabularPolicy
from rlcore.rollout import collect
from rlcore.trajectory import Trajectory

F64 = torch.float64
COIN = TabularPolicy(21, 2)


def rows(walks, index):
    return Trajectory(**{f.name: getattr(walks, f.name)[index] for f in fields(walks)
                         if getattr(walks, f.name) is not None})


def walk(states, rewards, ends="terminated"):
    """One row: the states visited (the last one is where it led), and the rewards."""
    steps = len(rewards)
    last, never = torch.arange(steps)[None] == steps - 1, torch.zeros(1, steps, dtype=torch.bool)
    terminated, truncated = (last, never) if ends == "terminated" else (never, last)
    blank = torch.zeros(1, steps)
    return Trajectory(torch.tensor([states[:-1]]), blank.long(), torch.tensor([rewards]), blank, terminated, truncated,
                      ~never, torch.tensor([states[1:]]))


def test_the_first_walk_by_hand():
    # C D E and out on the right, V = .5, α = .1.  TD(0): .5 + .1 (0 + .5 − .5) for C and D; E: .5 + .1 (1 − .5) = .55
    episode, half = walk([3, 4, 5, 6], [0.0, 0.0, 1.0]), torch.full((1, 7), 0.5, dtype=F64)
    assert n_step_td(half, episode, 1.0, 1, 0.1)[0].tolist() == [0.5, 0.5, 0.5, 0.5, 0.5, 0.55, 0.5]
    assert n_step_td(half, episode, 1.0, 2, 0.1)[0].tolist() == [0.5, 0.5, 0.5, 0.5, 0.55, 0.55, 0.5]
    assert n_step_td(half, episode, 1.0, 3, 0.1)[0].tolist() == [0.5, 0.5, 0.5, 0.55, 0.55, 0.55, 0.5]
    # λ = .5: E .5 + .1 · .5;  D's advantage is λ · .5 = .25, C's .125
    got = lambda_return_td(half, episode, 1.0, 0.5, 0.1)[0]
    torch.testing.assert_close(got[3:6], torch.tensor([0.5125, 0.525, 0.55], dtype=F64))
    assert (half == 0.5).all()  # not changed in place


def test_a_walk_to_the_left_moves_values_down():
    # C B A and out on the left for nothing: A: .5 + .1 (0 − .5) = .45
    got = n_step_td(torch.full((1, 7), 0.5, dtype=F64), walk([3, 2, 1, 0], [0.0, 0.0, 0.0]), 1.0, 1, 0.1)
    assert got[0].tolist() == [0.5, 0.45, 0.5, 0.5, 0.5, 0.5, 0.5]


def test_a_truncated_walk_still_has_a_future():
    # one step 3 -> 4 with reward 1, γ = .5, V = 2: truncated 1 + .5·2 = 2; terminated 1. α = .5
    two = torch.full((1, 7), 2.0, dtype=F64)
    for learn in (lambda w: n_step_td(two, w, 0.5, 3, 0.5), lambda w: lambda_return_td(two, w, 0.5, 0.9, 0.5)):
        assert learn(walk([3, 4], [1.0], "truncated"))[0, 3] == 2.0
        assert learn(walk([3, 4], [1.0], "terminated"))[0, 3] == 1.5


def book(values, states, rewards, terminated, gamma, n, alpha):
    """n-step TD while walking, as in the box on page 144: R_{t+1} is rewards[t], T the number of steps."""
    values, big_t = list(values), len(rewards)
    t = 0
    while True:
        tau = t - n + 1  # the time whose estimate is updated after step t
        if tau >= 0:
            g = sum(gamma ** (i - tau - 1) * rewards[i - 1] for i in range(tau + 1, min(tau + n, big_t) + 1))
            if tau + n < big_t or not terminated:
                g += gamma ** (min(tau + n, big_t) - tau) * values[states[min(tau + n, big_t)]]
            values[states[tau]] += alpha * (g - values[states[tau]])
        if tau == big_t - 1:
            return values
        t += 1


@pytest.mark.parametrize("ends", ["terminated", "truncated"])
@pytest.mark.parametrize("n", [1, 2, 3, 7, 100])
def test_learning_after_the_walk_is_learning_during_the_walk(n, ends):
    dice = torch.Generator().manual_seed(n)
    for steps in (1, 2, 12):
        states = torch.randint(0, 4, (steps + 1,), generator=dice).tolist()  # few states: much is visited again
        rewards = torch.randn(steps, generator=dice).tolist()
        start = torch.randn(1, 4, generator=dice, dtype=F64)
        got = n_step_td(start, walk(states, rewards, ends), 0.9, n, 0.3)
        expected = torch.tensor([book(start[0].tolist(), states, rewards, ends == "terminated", 0.9, n, 0.3)],
                                dtype=F64)
        torch.testing.assert_close(got, expected, rtol=0, atol=1e-7)  # rewards are float32


@pytest.mark.parametrize("lam", [0.0, 0.3, 1.0])
def test_lambda_return_averages_all_n_step_returns(lam):
    dice = torch.Generator().manual_seed(3)
    states, rewards = [0, 1, 0, 2, 1, 3], torch.randn(5, generator=dice)
    start, gamma, alpha = torch.randn(1, 4, generator=dice, dtype=F64), 0.9, 0.3
    expected = start[0].clone()
    for t in range(5):
        looks = [sum(gamma**i * rewards[t + i].double() for i in range(n))
                 + (gamma**n * start[0, states[t + n]] if t + n < 5 else 0.0) for n in range(1, 6 - t)]
        weights = [(1 - lam) * lam**k for k in range(len(looks) - 1)] + [lam ** (len(looks) - 1)]
        target = sum(w * g for w, g in zip(weights, looks, strict=True))
        expected[states[t]] += alpha * (target - expected[states[t]])
    got = lambda_return_td(start, walk(states, rewards.tolist()), gamma, lam, alpha)[0]
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-7)


def some_walks(num_envs=6, seed=0, **how):
    world = gym.make_vec("RandomWalk-v0", num_envs=num_envs)
    return collect(COIN, world, seed=seed, generator=torch.Generator().manual_seed(seed), **how)


def test_a_very_long_look_is_lambda_1():
    walks, start = some_walks(), torch.rand(6, 7, dtype=F64, generator=torch.Generator().manual_seed(0))
    long = n_step_td(start, walks, 0.9, 10_000, 0.2)
    torch.testing.assert_close(long, lambda_return_td(start, walks, 0.9, 1.0, 0.2), rtol=0, atol=1e-12)
    assert (long != start).any()


@pytest.mark.parametrize("learn", [lambda v, w: n_step_td(v, w, 0.9, 2, 0.3),
                                   lambda v, w: lambda_return_td(v, w, 0.9, 0.6, 0.3)])
def test_padding_does_not_count(learn):
    walks = some_walks()
    assert not walks.mask.all()
    junk = {name: getattr(walks, name).clone() for name in ("states", "next_states", "rewards")}
    for x in junk.values():
        x[~walks.mask] = 6
    spoilt = Trajectory(**{f.name: junk.get(f.name, getattr(walks, f.name)) for f in fields(walks)})
    start = torch.rand(6, 7, dtype=F64, generator=torch.Generator().manual_seed(0))
    assert torch.equal(learn(start, walks), learn(start, spoilt))


def test_episodes_end_to_end_in_one_row_do_not_mix():
    world = TabularVectorEnv(random_walk(5), num_envs=1, max_episode_steps=6)  # some end, some are cut off
    stream = collect(COIN, world, num_steps=60, seed=0, generator=torch.Generator().manual_seed(0))
    assert stream.terminated.sum() > 1 and stream.truncated.sum() > 1
    start = torch.rand(1, 7, dtype=F64, generator=torch.Generator().manual_seed(0))
    apart, begin = start, 0
    for last in stream.done[0].nonzero()[:, 0].tolist():
        part = slice(begin, last + 1)
        piece = Trajectory(**{f.name: getattr(stream, f.name)[:, part] for f in fields(stream)
                              if f.name != "resume_states"})
        apart, begin = n_step_td(apart, piece, 0.9, 4, 0.3), last + 1
    assert begin > 20 and not stream.mask[:, :begin].all()
    whole = Trajectory(**{f.name: getattr(stream, f.name)[:, :begin] for f in fields(stream)
                          if f.name != "resume_states"})
    torch.testing.assert_close(n_step_td(start, whole, 0.9, 4, 0.3), apart, rtol=0, atol=1e-12)


def test_learners_can_share_walks():
    walks, start = some_walks(), torch.rand(6, 7, dtype=F64, generator=torch.Generator().manual_seed(0))
    alphas = torch.tensor([[0.1], [0.7]], dtype=F64)
    both = start.expand(2, 6, 7)
    for learn in (lambda v, a: n_step_td(v, walks, 1.0, 3, a), lambda v, a: lambda_return_td(v, walks, 1.0, 0.8, a)):
        together = learn(both, alphas)
        assert torch.equal(together[0], learn(start, 0.1)) and torch.equal(together[1], learn(start, 0.7))


@pytest.fixture(scope="module")
def five_thousand_walks():
    world = gym.make_vec("RandomWalk19-v0", num_envs=5000)
    return collect(COIN, world, seed=0, generator=torch.Generator().manual_seed(0))


# Sutton & Barto, Figure 7.2: the mean over the first 10 episodes of the RMS error over 19 states, here of 500 learners.
# The bound is four standard errors of our own mean (about .004 and .002), and .005 for reading a printed curve.
@pytest.mark.parametrize(("n", "alpha", "book_rms"), [(4, 0.4, 0.262), (1, 0.8, 0.345)])
def test_the_19_state_walk(five_thousand_walks, n, alpha, book_rms):
    truth, values, errors = torch.tensor(true_values(19, -1, 1))[1:-1], torch.zeros(500, 21, dtype=F64), []
    for k in range(10):
        values = n_step_td(values, rows(five_thousand_walks, slice(500 * k, 500 * k + 500)), 1.0, n, alpha)
        errors.append((values[:, 1:-1] - truth).pow(2).mean(-1).sqrt())
    rms = torch.stack(errors).mean(0)  # [learners]
    standard_error = rms.std() / 500**0.5
    assert abs(rms.mean() - book_rms) < 4 * standard_error + 0.005 < 0.025
    assert rms.mean() < 0.5477  # and the sign: learning makes it better


def test_train_on_one_world_and_on_many():
    config = LambdaConfig(episodes=100, lam=0.8, step_size=0.05, initial_value=0.5)
    one = train(gym.make("RandomWalk-v0"), TabularPolicy(7, 2), config, seed=1)
    assert one.value.shape == (7,) and one.history.shape == (100, 7) and torch.equal(one.history[-1], one.value)
    assert (one.value[1:-1] - torch.tensor(true_values()[1:-1])).abs().max() < 0.2
    again = train(gym.make("RandomWalk-v0"), TabularPolicy(7, 2), config, seed=1)
    assert torch.equal(one.history, again.history)
    many = train(gym.make_vec("RandomWalk-v0", num_envs=3), TabularPolicy(7, 2), config, seed=1)
    assert many.value.shape == (3, 7) and not torch.equal(many.value[0], many.value[1])


@pytest.mark.parametrize(("change", "says"), [
    ({"episodes": 0}, "episodes must be a positive number, but is 0"),
    ({"step_size": 0.0}, "step_size must be a positive number, but is 0"),
    ({"step_size": 1.5}, r"step_size must lie in \[0, 1\], but is 1.5"),
    ({"gamma": -0.1}, r"gamma must lie in \[0, 1\], but is -0.1"),
])
def test_bad_settings_are_named(change, says):
    for config in (TDConfig, LambdaConfig):
        with pytest.raises(ValueError, match=says):
            config(**change)
    with pytest.raises(ValueError, match="n must be a positive number, but is 0"):
        TDConfig(n=0)
    with pytest.raises(ValueError, match=r"lam must lie in \[0, 1\], but is 1.1"):
        LambdaConfig(lam=1.1)


def test_bad_arguments_are_named():
    walks = some_walks()
    for learn in (lambda v, a=0.1: n_step_td(v, walks, 1.0, 1, a),
                  lambda v, a=0.1: lambda_return_td(v, walks, 1.0, 0.5, a)):
        for shape in ((5, 7), (6, 6), (7,)):
            with pytest.raises(ValueError, match=r"values must be float64 \[..., 6, S\] with S above the last state 6"):
                learn(torch.zeros(shape, dtype=F64))
        with pytest.raises(ValueError, match=r"values must be float64 .* but are torch.float32"):
            learn(torch.zeros(6, 7))
        with pytest.raises(ValueError, match=r"step_size must lie in \(0, 1\], but is 2.0"):
            learn(torch.zeros(6, 7, dtype=F64), 2.0)
    with pytest.raises(ValueError, match=r"states must be numbers .* but are Box"):
        train(gym.make("CartPole-v1"), TabularPolicy(7, 2), TDConfig())


@pytest.mark.parametrize("learn", [lambda v, w: n_step_td(v, w, 0.9, 2, 0.3),
                                   lambda v, w: lambda_return_td(v, w, 0.9, 0.6, 0.3)])
def test_every_row_learns_for_itself(learn):
    walks, start = some_walks(), torch.rand(6, 7, dtype=F64, generator=torch.Generator().manual_seed(0))
    alone = torch.cat([learn(start[i : i + 1], walks.rows(slice(i, i + 1))) for i in range(6)])
    assert torch.equal(learn(start, walks), alone)
