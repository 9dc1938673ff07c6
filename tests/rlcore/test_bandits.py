"""Bandits: the rules by hand arithmetic, the identities behind them, and the test bed against published numbers."""

import random
import time

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env

import rlcore.envs  # noqa: F401  registers the bandit
from rlcore.agents.bandits import (
    GradientAgent,
    GradientConfig,
    ValueAgent,
    ValueConfig,
    argmax,
    sample,
    softmax,
    steps,
    train,
    ucb_scores,
)
from rlcore.envs.bandit_testbed import BanditEnv, Bandits, drifting, ten_armed
from rlcore.losses import policy_gradient_loss
from rlcore.policies import TabularPolicy
from rlcore.rollout import collect


def dice(seed=0):
    return np.random.default_rng(seed)


def shares(actions, arms):
    return np.bincount(actions, minlength=arms) / len(actions)


# The rules
def test_argmax_takes_the_best_and_breaks_ties_at_random():
    scores = np.tile([1.0, 3.0, 3.0, 2.0, 3.0], (30_000, 1))
    scores[:10_000] = [0.0, 0.0, 5.0, 0.0, 0.0]
    actions = argmax(scores, dice())
    assert (actions[:10_000] == 2).all()
    # 20,000 draws of a third each: a standard error of sqrt(2/9/20000) = .0033
    np.testing.assert_allclose(shares(actions[10_000:], 5), [0, 1 / 3, 1 / 3, 0, 1 / 3], atol=4 * 0.0033)
    everywhere = argmax(np.full((20_000, 5), -np.inf), dice())
    np.testing.assert_allclose(shares(everywhere, 5), 0.2, atol=4 * 0.0028)


def test_softmax_by_hand_and_its_limits():
    scores = np.log([[1.0, 2.0, 5.0]])
    np.testing.assert_allclose(softmax(scores), [[1 / 8, 2 / 8, 5 / 8]], atol=1e-12)
    np.testing.assert_allclose(softmax(scores, 0.5), [[1 / 30, 4 / 30, 25 / 30]], atol=1e-12)  # half τ: squares
    np.testing.assert_allclose(softmax(np.array([[1.0, 7.0, 7.0]]), 0.0), [[0, 0.5, 0.5]])  # the limit
    np.testing.assert_allclose(softmax(np.array([[1e5, 0.0, -1e5]])), [[1, 0, 0]])  # no overflow
    tensor = torch.randn(50, 7, dtype=torch.float64)
    np.testing.assert_allclose(softmax(tensor.numpy(), 0.3), (tensor / 0.3).softmax(-1).numpy(), atol=1e-12)


def test_sample_draws_each_arm_as_often_as_its_probability_says():
    probs = np.array([0.1, 0.0, 0.6, 0.3])
    drawn = shares(sample(np.tile(probs, (40_000, 1)), dice()), 4)
    assert drawn[1] == 0
    np.testing.assert_allclose(drawn, probs, atol=4 * np.sqrt(0.25 / 40_000))


def test_ucb_scores_by_hand():
    # ln 20 = 2.995732: c √(ln t / N) is 2 √2.995732 = 3.461637 at N=1 and half of that at N=4
    scores = ucb_scores(np.array([[1.0, 1.0, 9.0]]), np.array([[1.0, 4.0, 0.0]]), t=20, c=2.0)
    np.testing.assert_allclose(scores, [[4.461637, 2.730818, np.inf]], atol=1e-6)


def test_ucb_counts_the_pull_that_is_about_to_happen():
    agent = ValueAgent(ValueConfig(c=2.0), 1, 2, dice())
    for arm in (0, 1, 0):
        agent.update(np.array([arm]), np.array([1.0]))
    # the fourth pull: 1 + 2 √(ln 4 / 2) and 1 + 2 √(ln 4 / 1)
    np.testing.assert_allclose(agent.scores(), [[2.665109, 3.354820]], atol=1e-6)


SETTINGS = [
    ValueConfig(), ValueConfig(epsilon=0.3), ValueConfig(temperature=0.7), ValueConfig(epsilon=0.2, temperature=0.5),
    ValueConfig(c=1.5), ValueConfig(c=1.5, epsilon=0.1), GradientConfig(),
]


@pytest.mark.parametrize("config", SETTINGS, ids=str)
def test_select_draws_from_probs(config):
    runs = 40_000
    kind = GradientAgent if isinstance(config, GradientConfig) else ValueAgent
    agent = kind(config, runs, 4, dice())
    if kind is ValueAgent:
        agent.q[:], agent.counts[:], agent.t = [0.5, 1.0, 1.0, -1.0], [2, 5, 5, 1], 13
    else:
        agent.preferences[:] = [0.5, 1.0, 1.0, -1.0]
    probs = agent.probs()
    np.testing.assert_allclose(probs.sum(1), 1.0, atol=1e-12)
    np.testing.assert_allclose(shares(agent.select(), 4), probs[0], atol=4 * np.sqrt(0.25 / runs))


def test_epsilon_explores_the_best_arm_too():
    agent = ValueAgent(ValueConfig(epsilon=0.2), 1, 4, dice())
    agent.q[:] = [0.0, 1.0, 0.0, 0.0]
    np.testing.assert_allclose(agent.probs(), [[0.05, 0.85, 0.05, 0.05]], atol=1e-12)


# The updates
def test_the_sample_average_is_the_average():
    agent, rewards, actions = ValueAgent(ValueConfig(initial_value=50.0), 3, 4, dice()), [], []
    random_numbers = dice(1)
    for _ in range(60):
        actions.append(random_numbers.integers(4, size=3))
        rewards.append(random_numbers.normal(size=3))
        agent.update(actions[-1], rewards[-1])
    actions, rewards = np.array(actions), np.array(rewards)  # [T, runs]
    for run in range(3):
        for arm in range(4):
            paid = rewards[actions[:, run] == arm, run]
            assert agent.counts[run, arm] == len(paid) > 0
            assert agent.q[run, arm] == pytest.approx(paid.mean(), abs=1e-12)  # the first pull wipes out Q₁


def test_a_constant_step_by_hand():
    agent = ValueAgent(ValueConfig(step_size=0.5, initial_value=8.0), 2, 2, dice())
    for reward in (4.0, 0.0, -1.0):
        agent.update(np.array([1, 0]), np.array([reward, 2.0]))
    # run 0, arm 1: 8 → 6 → 3 → 1;  run 1, arm 0: 8 → 5 → 3.5 → 2.75; the other arms are not touched
    np.testing.assert_allclose(agent.q, [[8.0, 1.0], [2.75, 8.0]], atol=1e-12)


def test_one_bandit_is_two_thousand_with_one_run():
    many, one = (ValueAgent(ValueConfig(step_size=0.3), runs, 5, dice()) for runs in (7, 1))
    hill, slope = (GradientAgent(GradientConfig(), runs, 5, dice()) for runs in (7, 1))
    random_numbers = dice(3)
    for _ in range(30):
        actions, rewards = random_numbers.integers(5, size=7), random_numbers.normal(size=7)
        many.update(actions, rewards)
        one.update(actions[4:5], rewards[4:5])
        hill.update(actions, rewards)
        slope.update(actions[4:5], rewards[4:5])
    np.testing.assert_allclose(many.q[4:5], one.q, atol=1e-12)
    np.testing.assert_allclose(hill.preferences[4:5], slope.preferences, atol=1e-12)


def test_the_gradient_step_by_hand():
    agent = GradientAgent(GradientConfig(step_size=0.5, baseline=False), 1, 4, dice())
    agent.update(np.array([2]), np.array([2.0]))
    # π = ¼ each; 0.5 · 2 · (1[b = 2] − ¼)
    np.testing.assert_allclose(agent.preferences, [[-0.25, -0.25, 0.75, -0.25]], atol=1e-12)
    agent = GradientAgent(GradientConfig(step_size=0.5), 1, 4, dice())
    agent.update(np.array([2]), np.array([2.0]))
    np.testing.assert_allclose(agent.preferences, 0.0)  # the first reward is all there is to compare it with
    agent.update(np.array([1]), np.array([4.0]))  # R̄ = 3: better by 1
    np.testing.assert_allclose(agent.preferences, [[-0.125, 0.375, -0.125, -0.125]], atol=1e-12)


@pytest.mark.parametrize("baseline", [True, False])
def test_the_gradient_bandit_is_policy_gradient_loss_at_one_step(baseline):
    runs, alpha = 20, 0.3
    bandits = ten_armed(runs, seed=4, mean=4.0)
    agent = GradientAgent(GradientConfig(steps=50, step_size=alpha, baseline=baseline), runs, 10, dice())
    policy = TabularPolicy(runs, 10).double()
    optimizer = torch.optim.SGD(policy.parameters(), lr=alpha)
    states = torch.arange(runs)[:, None]  # [runs, T=1]: each run is a state of its own
    seen = np.zeros(runs)
    for t, pull in enumerate(steps(bandits, agent), start=1):
        seen += pull.rewards
        actions, rewards = torch.from_numpy(pull.actions)[:, None], torch.from_numpy(pull.rewards)[:, None]
        advantages = rewards - torch.from_numpy(seen)[:, None] / t if baseline else rewards  # [runs, 1]
        loss = policy_gradient_loss(policy(states).log_prob(actions), advantages).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    np.testing.assert_allclose(policy.logits.detach().numpy(), agent.preferences, atol=1e-12)
    assert np.abs(agent.preferences).max() > 0.5  # it has learned something


@pytest.mark.parametrize("baseline", [True, False])
def test_the_expected_step_climbs_the_expected_reward(baseline):
    """By enumeration over the arms: E[ΔH] = α ∇ Σ π(a) q(a), whatever the baseline; a wrong sign fails."""
    q, t, mean_before = torch.tensor([1.0, 3.0, -2.0], dtype=torch.float64), 8, 0.7
    start = torch.tensor([0.3, -0.4, 0.1], dtype=torch.float64, requires_grad=True)
    (start.softmax(0) * q).sum().backward()
    expected = np.zeros(3)
    for arm, chance in enumerate(start.softmax(0).tolist()):
        agent = GradientAgent(GradientConfig(step_size=0.2, baseline=baseline), 1, 3, dice())
        agent.preferences[:], agent.t, agent.mean_reward[:] = start.tolist(), t - 1, mean_before
        agent.update(np.array([arm]), np.array([q[arm].item()]))
        expected += chance * (agent.preferences[0] - start.detach().numpy())
    shrink = 1 - 1 / t if baseline else 1.0  # this reward is part of its own baseline
    np.testing.assert_allclose(expected, 0.2 * shrink * start.grad.numpy(), atol=1e-12)


# The worlds
def test_rewards_are_the_values_with_noise():
    bandits = Bandits(np.tile([2.0, -1.0], (50_000, 1)), seed=1)
    rewards = bandits.pull(np.arange(50_000) % 2)
    for arm, value in enumerate((2.0, -1.0)):
        paid = rewards[arm::2]
        assert paid.mean() == pytest.approx(value, abs=4 / 25_000**0.5)
        assert paid.var() == pytest.approx(1.0, abs=4 * (2 / 25_000) ** 0.5)
    thumbs = Bandits(np.tile([0.2, 0.7], (50_000, 1)), seed=1, rewards="thumbs").pull(np.ones(50_000, int))
    assert set(thumbs) == {0.0, 1.0}
    assert thumbs.mean() == pytest.approx(0.7, abs=4 * (0.21 / 50_000) ** 0.5)


def test_regret_counts_every_best_arm():
    bandits = Bandits(np.array([[1.0, 4.0, 4.0], [0.0, -2.0, -0.5]]))
    np.testing.assert_allclose(bandits.regret(np.array([0, 2])), [3.0, 0.5])
    np.testing.assert_allclose(bandits.regret(np.array([2, 0])), 0.0)
    np.testing.assert_allclose(bandits.best, [4.0, 0.0])


def test_values_drift_by_a_random_walk_and_only_after_the_pull():
    bandits = drifting(5000, seed=2, drift=0.01)
    first = next(steps(bandits, ValueAgent(ValueConfig(), 5000, 10, dice())))
    assert first.optimal.all()  # all arms were equal when they were pulled
    for _ in range(99):
        bandits.pull(np.zeros(5000, int))
    # 50,000 walks of 100 steps: variance 100 · .01² = .01, with a relative standard error of sqrt(2/50000) = .0063
    assert bandits.values.var() == pytest.approx(0.01, rel=4 * 0.0063)
    np.testing.assert_allclose(bandits.best, bandits.values.max(1))
    still = ten_armed(100)
    before = still.values.copy()
    still.pull(np.zeros(100, int))
    np.testing.assert_array_equal(still.values, before)


def test_ten_arms_are_normal_and_seeded():
    bandits = ten_armed(5000, seed=3, mean=4.0)
    assert bandits.values.mean() == pytest.approx(4.0, abs=4 / 50_000**0.5)
    assert bandits.values.std() == pytest.approx(1.0, abs=4 * (0.5 / 50_000) ** 0.5)
    np.testing.assert_array_equal(bandits.values, ten_armed(5000, seed=3, mean=4.0).values)
    assert not np.array_equal(bandits.values, ten_armed(5000, seed=4, mean=4.0).values)


def test_a_bandit_is_a_gymnasium_world_with_episodes_of_one_step():
    check_env(gym.make("Bandit-v0").unwrapped, skip_render_check=False)
    worlds = gym.make_vec("Bandit-v0", num_envs=6, vectorization_mode="sync", values=[0.0, 1.0], rewards="thumbs")
    trajectory = collect(TabularPolicy(num_states=1, num_actions=2), worlds, seed=0)
    assert trajectory.rewards.shape == (6, 1)
    assert trajectory.terminated.all() and trajectory.mask.all()
    assert torch.equal(trajectory.rewards, trajectory.actions.float())  # arm 1 is liked for certain, arm 0 never


# Learning
def test_the_same_seed_gives_the_same_run_and_another_does_not():
    runs = [train(ten_armed(50, seed=1), ValueConfig(steps=40, epsilon=0.2), seed).history for seed in (5, 5, 6)]
    np.testing.assert_array_equal(runs[0].rewards, runs[1].rewards)
    assert not np.array_equal(runs[0].actions, runs[2].actions)


@pytest.mark.parametrize("config", [ValueConfig(steps=30, epsilon=0.1), GradientConfig(steps=30)], ids=str)
def test_the_result_is_a_policy_a_table_and_a_history_with_time_last(config):
    result = train(ten_armed(40), config)
    assert result.history.rewards.shape == result.history.actions.shape == result.history.optimal.shape == (40, 30)
    probs = result.policy(torch.arange(40)).probs.detach()
    torch.testing.assert_close(probs.sum(-1), torch.ones(40))
    if isinstance(config, ValueConfig):
        torch.testing.assert_close(probs.max(-1).values, torch.full((40,), 0.91))
        np.testing.assert_array_equal(probs.argmax(-1), result.q.argmax(1))
    else:
        assert result.q is None


def test_a_greedy_assistant_gets_stuck_on_the_first_reply_that_was_liked():
    """Until the first thumbs-up all averages are 0, so it tries all alike: it gets stuck on a with q(a) / Σ q."""
    liked = np.array([0.1, 0.3, 0.4, 0.6])
    history = train(Bandits(np.tile(liked, (20_000, 1)), rewards="thumbs"), ValueConfig(steps=60)).history
    stuck = shares(history.actions[:, -1], 4)
    np.testing.assert_allclose(stuck, liked / liked.sum(), atol=4 * (0.25 / 20_000) ** 0.5)
    first_like = history.rewards.argmax(1)  # [runs]
    later = np.arange(60) >= first_like[:, None]
    loyal = history.actions == history.actions[np.arange(20_000), first_like][:, None]
    assert loyal[later].all()


# name: config, mean of the arms, reward and % optimal in the last 100 of 1000 steps (references.md; 2000 runs each)
PUBLISHED = {
    "ε=0": (ValueConfig(), 0.0, 1.02, 35.0),
    "ε=.01": (ValueConfig(epsilon=0.01), 0.0, 1.32, 62.0),
    "ε=.1": (ValueConfig(epsilon=0.1), 0.0, 1.40, 81.0),
    "UCB c=2": (ValueConfig(c=2.0), 0.0, 1.48, 86.0),
    "optimistic": (ValueConfig(step_size=0.1, initial_value=5.0), 0.0, 1.48, 84.5),
    "gradient α=.1": (GradientConfig(step_size=0.1), 4.0, None, 85.0),
    "gradient α=.4": (GradientConfig(step_size=0.4), 4.0, None, 75.0),
    "without baseline α=.1": (GradientConfig(step_size=0.1, baseline=False), 4.0, None, 50.0),
    "without baseline α=.4": (GradientConfig(step_size=0.4, baseline=False), 4.0, None, 29.0),
}
BEDS = 3


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_test_bed_gives_the_published_numbers(name):
    """Three beds of 2000 runs against one of 2000, which has its own error: they may differ by 3.5 standard errors.

    The spread between runs is measured here: about .6 in reward (the arms themselves differ) and .36 to .5 in the share
    of best choices, so that 3.5 √(s²/2000 + s²/6000) is about .055 and .033 to .045. Half a unit of rounding is added.
    """
    config, mean, reward, optimal = PUBLISHED[name]
    late_rewards, late_optimal = [], []
    for seed in range(BEDS):
        history = train(ten_armed(seed=seed, mean=mean), config, seed).history
        late_rewards.append(history.rewards[:, -100:].mean(1))
        late_optimal.append(100 * history.optimal[:, -100:].mean(1))
    for seen, published, rounding in ((late_rewards, reward, 0.005), (late_optimal, optimal, 0.5)):
        if published is not None:
            runs = np.concatenate(seen).astype(float)  # [6000]
            error = runs.std(ddof=1) * (1 / 2000 + 1 / len(runs)) ** 0.5
            assert runs.mean() == pytest.approx(published, abs=3.5 * error + rounding)


def test_the_order_of_the_learners_is_clear():
    """Paired on five beds: UCB above ε=.1 above ε=.01 above greedy, each by more than 4 standard errors."""
    configs = [PUBLISHED[name][0] for name in ("UCB c=2", "ε=.1", "ε=.01", "ε=0")]
    rewards = np.array([[train(ten_armed(1000, seed), config, seed).history.rewards[:, -100:].mean()
                         for config in configs] for seed in range(5)])  # [beds, learners]
    gaps = rewards[:, :-1] - rewards[:, 1:]
    assert (gaps.mean(0) > 4 * gaps.std(0, ddof=1) / 5**0.5).all()


def test_no_learner_beats_the_ceiling_and_the_best_come_near():
    bandits = ten_armed()
    history = train(bandits, ValueConfig(c=2.0)).history
    assert (history.regret >= 0).all()
    assert 0.02 < history.regret[:, -100:].mean() < 0.08  # E[best] is 1.54, UCB's reward 1.48


def test_a_constant_step_follows_drifting_arms_and_the_average_does_not():
    """Exercise 2.5, in half its length: paired on five beds, better by more than 4 standard errors."""
    gaps = []
    for seed in range(5):
        shares = [train(drifting(200, seed), ValueConfig(steps=5000, epsilon=0.1, step_size=step_size), seed)
                  .history.optimal[:, -1000:].mean() for step_size in (0.1, None)]
        gaps.append(shares[0] - shares[1])
    assert np.mean(gaps) > 4 * np.std(gaps, ddof=1) / 5**0.5
    assert np.mean(gaps) > 0.15


def test_optimism_explores_once():
    """With Q₁ = 5 every arm disappoints: ten steps, ten arms, unless a reward is above 5 (.0002 a pull)."""
    history = train(ten_armed(500), ValueConfig(steps=11, step_size=0.1, initial_value=5.0)).history
    assert (np.sort(history.actions[:, :10], axis=1) == np.arange(10)).all(1).mean() > 0.98
    plain = train(ten_armed(500), ValueConfig(steps=11, step_size=0.1)).history
    assert (np.sort(plain.actions[:, :10], axis=1) == np.arange(10)).all(1).mean() < 0.02


# Speed
def lists_loop(runs, steps):
    """ε-greedy on the test bed, run by run and step by step, with lists: about as fast as plain Python gets."""
    total = 0.0
    for _ in range(runs):
        values, q, counts = [random.gauss(0, 1) for _ in range(10)], [0.0] * 10, [0] * 10
        for _ in range(steps):
            if random.random() < 0.1:
                action = random.randrange(10)
            else:
                best = max(q)
                action = random.choice([a for a in range(10) if q[a] == best])
            reward = random.gauss(values[action], 1)
            counts[action] += 1
            q[action] += (reward - q[action]) / counts[action]
            total += reward
    return total / runs / steps


def arrays_loop(runs, steps):
    """The same double loop in the way that is usual: small NumPy arrays, one bandit at a time."""
    total = 0.0
    for _ in range(runs):
        values, q, counts = np.random.randn(10), np.zeros(10), np.zeros(10)
        for _ in range(steps):
            if np.random.rand() < 0.1:
                action = np.random.choice(10)
            else:
                action = np.random.choice(np.where(q == q.max())[0])
            reward = np.random.randn() + values[action]
            counts[action] += 1
            q[action] += (reward - q[action]) / counts[action]
            total += reward
    return total / runs / steps


def seconds(work, repeats):
    """The least process time of several, so that neighbours on this machine do not count."""
    took = []
    for _ in range(repeats):
        start = time.process_time()
        work()
        took.append(time.process_time() - start)
    return min(took)


def test_the_test_bed_is_a_hundred_times_as_fast_as_the_usual_double_loop():
    """2000 runs × 1000 steps, against NumPy in a double loop: 113 to 132 times as fast when it was measured.

    Against tuned lists that is out of reach, because two million normal numbers alone take NumPy an eighth of the
    vectorised time: 18 to 23 times. A quarter less is allowed here, since neighbours on a machine cost one side more.
    """
    random.seed(0)
    ours = seconds(lambda: train(ten_armed(), ValueConfig(epsilon=0.1)), repeats=4)
    arrays = seconds(lambda: arrays_loop(40, 500), repeats=4) * (2000 * 1000) / (40 * 500)
    lists = seconds(lambda: lists_loop(40, 500), repeats=4) * (2000 * 1000) / (40 * 500)
    print(f"2000 × 1000 pulls: vectorised {ours:.3f} s; a double loop with NumPy {arrays:.1f} s "
          f"({arrays / ours:.0f} times as long), with lists {lists:.1f} s ({lists / ours:.0f} times)")
    assert arrays / ours > 80
    assert lists / ours > 12


# Bad input
@pytest.mark.parametrize(("make", "says"), [
    (lambda: ValueConfig(epsilon=1.5), r"epsilon must lie in \[0, 1\], but is 1.5"),
    (lambda: ValueConfig(step_size=0.0), r"step_size must lie in \(0, 1\].* but is 0.0"),
    (lambda: ValueConfig(step_size=1.01), r"step_size must lie in \(0, 1\].* but is 1.01"),
    (lambda: ValueConfig(temperature=-1.0), "temperature must be at least 0, but is -1.0"),
    (lambda: ValueConfig(c=-0.1), "c must be at least 0, but is -0.1"),
    (lambda: ValueConfig(steps=0), "steps must be a positive number, but is 0"),
    (lambda: ValueConfig(initial_value=float("nan")), "initial_value must be a finite number, but is nan"),
    (lambda: GradientConfig(step_size=-0.1), "step_size must be a positive number, but is -0.1"),
    (lambda: Bandits(np.zeros(10)), r"values must be \[runs, arms\] with at least 2 arms, but has shape \(10,\)"),
    (lambda: Bandits(np.zeros((5, 1))), r"at least 2 arms, but has shape \(5, 1\)"),
    (lambda: Bandits(np.full((5, 2), np.nan)), "values must be finite"),
    (lambda: Bandits(np.full((5, 2), 1.5), rewards="thumbs"), r"values must lie in \[0, 1\].* 1.5 to 1.5"),
    (lambda: Bandits(np.zeros((5, 2)), rewards="stars"), "rewards must be one of 'normal', 'thumbs', but is 'stars'"),
    (lambda: Bandits(np.zeros((5, 2)), drift=-1.0), "drift must be at least 0, but is -1.0"),
    (lambda: Bandits(np.zeros((5, 2)), rewards="thumbs", drift=0.1), "drift must be 0 with thumbs"),
    (lambda: BanditEnv(values=[1.0]), r"values must be \[arms\] with at least 2 arms"),
    (lambda: ten_armed(5).pull(np.zeros(4, int)), r"one arm number in 0 … 9 for each of 5 runs, .* shape \(4,\)"),
    (lambda: ten_armed(5).pull(np.full(5, 10)), "one arm number in 0 … 9"),
    (lambda: ten_armed(5).pull(np.full(5, -1)), "one arm number in 0 … 9"),
    (lambda: ten_armed(5).pull(np.zeros(5)), "but are float64"),
    (lambda: train(ten_armed(5), {"epsilon": 0.1}), "config must be a ValueConfig or a GradientConfig, but is a dict"),
])
def test_bad_input_gets_a_sentence(make, says):
    with pytest.raises(ValueError, match=says):
        make()


@pytest.mark.parametrize("temperature", [0.0, 0.5])
def test_ucb_knows_what_to_do_before_every_arm_was_tried(temperature):
    agent = ValueAgent(ValueConfig(c=2.0, temperature=temperature), 3, 10, np.random.default_rng(0))
    np.testing.assert_allclose(agent.probs(), 0.1)  # ten arms beside each other, all of them infinitely promising
    for _ in range(10):
        agent.update(agent.select(), np.zeros(3))
    assert (agent.counts == 1).all() and np.isfinite(agent.probs()).all()
