"""Monte Carlo prediction, on- and off-policy: by hand, by enumeration, and against known values."""

from dataclasses import fields

import gymnasium as gym
import pytest
import torch

from rlcore.agents.monte_carlo import MonteCarlo, MonteCarloConfig, first_visits, importance_ratios, train
from rlcore.envs.random_walks import true_values
from rlcore.envs.tiny_language import TinyLanguage
from rlcore.policies import TabularPolicy
from rlcore.returns import discounted_returns
from rlcore.rollout import collect
from rlcore.trajectory import Trajectory

COIN = TabularPolicy(7, 2)
EAGER = TabularPolicy.from_probabilities([[0.3, 0.7]] * 7)  # steps right more often


def episode(states, rewards, actions=None, log_probs=None):
    """One row that terminates."""
    steps = len(states)
    last, blank = torch.arange(steps)[None] == steps - 1, torch.zeros(1, steps)
    return Trajectory(torch.tensor([states]), torch.tensor([actions or [0] * steps]), torch.tensor([rewards]),
                      blank if log_probs is None else log_probs, last, torch.zeros_like(last),
                      torch.ones(1, steps, dtype=torch.bool))


def judge(*episodes, **config):
    agent = MonteCarlo(COIN, 3, MonteCarloConfig(**config))
    for one in episodes:
        agent.update(one)
    return agent.value[0].tolist()


def test_first_and_every_visit_by_hand():
    # states 0 1 0, rewards 1 2 4, γ = .5: returns 1 + 1 + 1 = 3,  2 + 2 = 4,  4
    loop = episode([0, 1, 0], [1.0, 2.0, 4.0])
    assert judge(loop, gamma=0.5) == [3.0, 4.0, 0.0]
    assert judge(loop, gamma=0.5, first_visit=False) == [3.5, 4.0, 0.0]  # (3 + 4) / 2
    # a second episode, 0 with reward 9: first visits (3 + 9) / 2, every visit (3 + 4 + 9) / 3
    assert judge(loop, episode([0], [9.0]), gamma=0.5) == [6.0, 4.0, 0.0]
    assert judge(loop, episode([0], [9.0]), gamma=0.5, first_visit=False) == pytest.approx([16 / 3, 4.0, 0.0])
    assert judge(loop, gamma=0.5, initial_value=7.0)[2] == 7.0  # nothing is known about state 2


def test_first_visits_leave_padding_out():
    states = torch.tensor([[2, 1, 2, 1], [0, 0, 0, 0]])
    mask = torch.tensor([[True, True, True, False], [False, True, True, False]])
    assert first_visits(states, mask, 3).tolist() == [[True, True, False, False], [False, True, False, False]]


def test_you_are_the_predictor():
    # Example 6.4: A 0 B 0 once, B 1 six times, B 0 once. Monte Carlo says V(A) = 0, V(B) = 6/8
    data = [episode([0, 1], [0.0, 0.0]), *[episode([1], [1.0])] * 6, episode([1], [0.0])]
    assert judge(*data) == [0.0, 0.75, 0.0]


def test_ratios_by_hand():
    # an episode of two steps and one of one: π/b = 2, 3 | .5. From each step to the end: 6, 3 | .5
    target, behaviour = torch.tensor([0.8, 0.6, 0.2]).log(), torch.tensor([0.4, 0.2, 0.4]).log()
    done = torch.tensor([False, True, True])
    got = importance_ratios(target, behaviour, done)
    torch.testing.assert_close(got, torch.tensor([6.0, 3.0, 0.5]))
    never = torch.tensor([0.0, 0.6, 0.2]).log()  # what the target never does, weighs nothing
    torch.testing.assert_close(importance_ratios(never, behaviour, done), torch.tensor([0.0, 3.0, 0.5]))


def test_weighing_gives_the_other_policys_value_exactly():
    # every sentence once, weighed by how often the behaviour writes it: E_b[ρ G] = E_π[G]
    language = TinyLanguage()
    every, dice = language.every_sentence(), torch.Generator().manual_seed(0)
    policies = [TabularPolicy(len(language.texts), 3) for _ in range(2)]
    for policy in policies:
        policy.logits.data = torch.randn(policy.logits.shape, generator=dice)
    target, behaviour = (p.evaluate_actions(every.states, every.actions, every.mask)[0].detach().double()
                         for p in policies)
    returns = discounted_returns(every.rewards.double(), every.done, 1.0)[:, 0]
    exact = (target.sum(-1).exp() * returns).sum()
    ratios = importance_ratios(target, behaviour, every.done)[:, 0]
    weighed = (behaviour.sum(-1).exp() * ratios * returns).sum()
    torch.testing.assert_close(weighed, exact, rtol=0, atol=1e-12)
    unweighed = (behaviour.sum(-1).exp() * returns).sum()
    assert abs(unweighed - exact) > 0.01  # the test can fail


def test_ordinary_and_weighted_by_hand():
    # π right with .7, behaviour a coin. C D E out: ρ = 1.4³ = 2.744, G = 1.  C B A out: ρ = .6³ = .216, G = 0
    coin_log = torch.full((1, 3), 0.5).log()
    right = episode([3, 4, 5], [0.0, 0.0, 1.0], [1] * 3, coin_log)
    left = episode([3, 2, 1], [0.0] * 3, [0] * 3, coin_log)
    for weighting, value in (("ordinary", 2.744 / 2), ("weighted", 2.744 / 2.96)):
        agent = MonteCarlo(EAGER, 7, MonteCarloConfig(weighting=weighting), behaviour=COIN)
        agent.update(right)
        agent.update(left)
        assert agent.value[0, 3].item() == pytest.approx(value, abs=1e-6)
        assert agent.value[0, 5].item() == pytest.approx(1.4 if weighting == "ordinary" else 1.0, abs=1e-6)


@pytest.mark.parametrize(("weighting", "behaviour", "truth"),
                         [("weighted", COIN, 0.7), ("ordinary", COIN, 0.7), ("weighted", None, 0.7)])
def test_values_of_a_policy_from_its_own_and_from_anothers_walks(weighting, behaviour, truth):
    # 40 learners, 60 episodes each: their mean within four of its standard errors of the truth
    expected = torch.tensor(true_values(p_right=truth))[2:5]
    config = MonteCarloConfig(episodes=60, weighting=weighting)
    value = train(gym.make_vec("RandomWalk-v0", num_envs=40), EAGER, config, 0, behaviour).value[:, 2:5]
    error = value.std(0) / 40**0.5
    assert ((value.mean(0) - expected).abs() < 4 * error + 0.01).all() and (error < 0.1).all()  # weighted: bias 1/n


def test_without_weights_it_is_the_behaviours_value():
    value = train(gym.make_vec("RandomWalk-v0", num_envs=40), COIN, MonteCarloConfig(episodes=100), 0).value
    assert (value.mean(0) - torch.tensor(true_values())).abs().max() < 0.03


def test_the_world_of_one_state():
    # a coin plays, "always left" is judged: k times left weighs 2ᵏ, anything with a right nothing
    always_left = TabularPolicy.from_probabilities([[1.0, 0.0]] * 2)
    plays = collect(TabularPolicy(2, 2), gym.make_vec("OneState-v0", num_envs=300), seed=0,
                    generator=torch.Generator().manual_seed(0))
    log_probs = always_left.evaluate_actions(plays.states, plays.actions, plays.mask)[0].detach()
    ratios = importance_ratios(log_probs, plays.log_probs, plays.done)[:, 0]
    length, all_left = plays.mask.sum(1), ((plays.actions == 0) | ~plays.mask).all(1)
    torch.testing.assert_close(ratios, torch.where(all_left, 2.0**length, 0.0))
    config = MonteCarloConfig(episodes=1)
    agent = MonteCarlo(always_left, 2, config, behaviour=TabularPolicy(2, 2), runs=300)
    agent.update(plays)
    assert set(agent.value[:, 0].round(decimals=6).tolist()) == {0.0, 1.0}  # weighted: right, or nothing known yet


def test_the_behaviour_plays_where_there_is_one():
    left, states = TabularPolicy.from_probabilities([[1.0, 0.0]] * 7), torch.tensor([1, 2, 3, 4, 5])
    assert not MonteCarlo(EAGER, 7, MonteCarloConfig(), behaviour=left).act(states)[0].any()
    assert not MonteCarlo(left, 7, MonteCarloConfig()).act(states)[0].any()
    actions, log_probs = MonteCarlo(left, 7, MonteCarloConfig(), behaviour=EAGER).act(
        states.repeat(20), torch.Generator().manual_seed(0))
    assert 50 < actions.sum() < 90  # 100 steps to the right with .7: mean 70, sd 4.6
    torch.testing.assert_close(log_probs.exp(), torch.where(actions == 1, 0.7, 0.3))


def test_one_learner_per_world_and_the_same_dice():
    config = MonteCarloConfig(episodes=20, initial_value=0.5)
    one = train(gym.make("RandomWalk-v0"), COIN, config, seed=3)
    assert one.value.shape == (7,) and one.history.shape == (20, 7) and torch.equal(one.history[-1], one.value)
    assert torch.equal(one.history, train(gym.make("RandomWalk-v0"), COIN, config, seed=3).history)
    assert not torch.equal(one.history, train(gym.make("RandomWalk-v0"), COIN, config, seed=4).history)


def test_bad_input_is_named():
    cut = episode([3, 4], [0.0, 0.0])
    cut = Trajectory(**{f.name: getattr(cut, f.name) for f in fields(cut)} | {"terminated": cut.truncated,
                                                                             "truncated": cut.terminated})
    with pytest.raises(ValueError, match="1 episodes were truncated, so their returns are unknown"):
        MonteCarlo(COIN, 7, MonteCarloConfig()).update(cut)
    x, done = torch.zeros(2), torch.tensor([False, True])
    with pytest.raises(ValueError, match="behaviour_log_probs must be finite"):
        importance_ratios(x, torch.tensor([0.0, -torch.inf]), done)
    with pytest.raises(ValueError, match=r"log_probs \(2,\), behaviour_log_probs \(2, 1\)"):
        importance_ratios(x, x[:, None], done)
    with pytest.raises(ValueError, match="weighting must be one of 'weighted', 'ordinary', but is 'none'"):
        MonteCarloConfig(weighting="none")
    with pytest.raises(ValueError, match=r"gamma must lie in \[0, 1\], but is 2"):
        MonteCarloConfig(gamma=2)
    with pytest.raises(ValueError, match="episodes must be a positive number, but is 0"):
        MonteCarloConfig(episodes=0)
    with pytest.raises(ValueError, match=r"states must be numbers .* but are Box"):
        train(gym.make("CartPole-v1"), COIN, MonteCarloConfig())
