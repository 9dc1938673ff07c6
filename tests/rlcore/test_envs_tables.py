"""Tables, and the worlds that step them: what is published is what happens."""

import warnings

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env

from rlcore.agents.dynamic_programming import action_values, advantages, exact_values
from rlcore.envs.grid_worlds import A, B, JumpGridEnv, gambler, jump_grid
from rlcore.envs.table_env import TabularEnv
from rlcore.envs.tables import TabularMDP
from rlcore.envs.tiny_language import TinyLanguage
from rlcore.policies import TabularPolicy
from rlcore.returns import discounted_returns
from rlcore.rollout import collect

WORLDS = ["JumpGrid-v0", "CornerGrid-v0", "Gambler-v0", "TinyLanguage-v0"]
COIN = {0: {0: [(0.25, 0, 1.0, False), (0.75, 1, 2.0, True)]}, 1: {0: [(1.0, 1, 0.0, True)]}}


@pytest.mark.parametrize("world", WORLDS)
def test_gymnasium_has_nothing_to_say(world):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(gym.make(world, render_mode="rgb_array").unwrapped)


@pytest.mark.parametrize("world", WORLDS)
def test_the_published_table_is_the_world(world):
    env = gym.make(world).unwrapped
    mdp = TabularMDP.from_table(env.P, env.initial_state_distrib)
    for name in ("rewards", "transitions", "terminal", "start"):
        assert np.array_equal(getattr(mdp, name), getattr(env.mdp, name))
    env.reset(seed=0)
    for seed in range(30):
        state, _ = env.reset(seed=seed)
        env.action_space.seed(seed)
        action = env.action_space.sample()
        after, reward, terminated, truncated, _ = env.step(action)
        assert (after, reward, terminated) in [outcome[1:] for outcome in env.P[state][action]] and not truncated


def test_a_table_by_hand():
    mdp = TabularMDP.from_table(COIN)
    assert mdp.probabilities.shape == (2, 1, 2)
    assert mdp.rewards.tolist() == [[0.25 * 1 + 0.75 * 2], [0.0]]
    assert mdp.transitions[0, 0].tolist() == [0.25, 0.0]  # the end leads nowhere
    assert mdp.expect(np.array([8.0, 100.0])).tolist() == [[2.0], [0.0]]
    assert mdp.terminal.tolist() == [False, True]
    assert TabularMDP.from_table(mdp.table()).table() == mdp.table()


def test_outcomes_come_as_often_as_the_table_says():
    env = TabularEnv(TabularMDP.from_table(COIN))
    ended = 0
    for seed in range(2000):
        env.reset(seed=seed)
        ended += env.step(0)[2]
    assert abs(ended / 2000 - 0.75) < 5 * (0.25 * 0.75 / 2000) ** 0.5


def test_what_gymnasium_writes_after_an_end_does_not_matter():
    cliff = TabularMDP.from_env(gym.make("CliffWalking-v1"))  # there, P lets one walk on from the goal, at −1 a step
    assert np.flatnonzero(cliff.terminal).tolist() == [47]
    assert cliff.rewards[47].tolist() == [0.0] * 4 and cliff.terminated[47].all()
    assert np.flatnonzero(TabularMDP.from_env(gym.make("FrozenLake-v1")).terminal).tolist() == [5, 7, 11, 12, 15]


def test_a_table_keeps_its_own_copy():
    arrays = [np.ones((1, 1, 1)), np.zeros((1, 1, 1)), np.ones((1, 1, 1)), np.zeros((1, 1, 1)), np.ones(1)]
    mdp = TabularMDP(*arrays)
    arrays[2][:] = 7.0
    assert mdp.outcome_rewards.item() == 1.0


@pytest.mark.parametrize(("table", "start", "says"), [
    ({0: {0: [(0.5, 0, 0.0, False), (0.4, 0, 0.0, False)]}}, 0, "state 0 and action 0 .* sum to 0.9"),
    ({0: {0: [(1.5, 0, 0.0, False), (-0.5, 0, 0.0, False)]}}, 0, r"must lie in \[0, 1\]"),
    ({0: {0: [(1.0, 3, 0.0, False)]}}, 0, r"next_states must lie in 0..0, but reach from 3 to 3"),
    ({0: {0: [(1.0, 0, float("nan"), False)]}}, 0, "outcome_rewards must be finite"),
    ({0: {0: [(1.0, 0, 0.0, False)]}}, np.array([0.5]), "start must hold 1 probabilities that sum to 1"),
    ({0: {0: [(1.0, 0, 0.0, False)]}, 1: {}}, 0, "same number of actions"),
    ({}, 0, "at least one"),
])
def test_impossible_tables_are_named(table, start, says):
    with pytest.raises(ValueError, match=says):
        TabularMDP.from_table(table, start)


def test_a_world_without_a_table_is_named():
    with pytest.raises(ValueError, match=r"env must publish its transition table as env.unwrapped.P"):
        TabularMDP.from_env(gym.make("CartPole-v1"))


def test_bad_moves_are_named():
    env = TabularEnv(jump_grid())
    env.reset(seed=0)
    with pytest.raises(ValueError, match=r"action must lie in 0..3, but is 4"):
        env.step(4)
    with pytest.raises(ValueError, match=r"state must lie in 0..24, but is 25"):
        env.reset(options={"state": 25})
    with pytest.raises(ValueError, match="render_mode must be one of"):
        TabularEnv(jump_grid(), render_mode="human")
    with pytest.raises(ValueError, match="one for each of 25 states"):
        TabularEnv(jump_grid(), labels=["a"])


def test_a_start_can_be_chosen_and_a_picture_changes_with_it():
    env = JumpGridEnv(render_mode="rgb_array")
    pictures = []
    for state in (0, 24):
        assert env.reset(options={"state": state})[0] == state
        pictures.append(env.render())
    assert pictures[0].dtype == np.uint8 and pictures[0].shape[-1] == 3
    assert (pictures[0] != pictures[1]).any()


# The grids
def test_trapdoors_and_edges():
    mdp = jump_grid()
    assert mdp.rewards[A].tolist() == [10.0] * 4 and mdp.next_states[A].ravel().tolist() == [21] * 4
    assert mdp.rewards[B].tolist() == [5.0] * 4 and mdp.next_states[B].ravel().tolist() == [13] * 4
    assert mdp.rewards[0].tolist() == [-1.0, 0.0, 0.0, -1.0]  # up, right, down, left of the top left corner
    assert mdp.next_states[0].ravel().tolist() == [0, 1, 5, 0]
    assert not mdp.terminated.any()


def test_the_gambler_never_stakes_what_he_has_not():
    mdp = gambler(0.4, 10)
    assert mdp.next_states[7, 4].tolist() == [10, 4]  # names 5, may stake 3
    assert mdp.rewards[7, 4] == pytest.approx(0.4)
    for arguments, says in (((1.4,), "p_heads"), ((0.4, 1), "goal")):
        with pytest.raises(ValueError, match=says):
            gambler(*arguments)


# The tiny language
def test_every_sentence_once():
    language = TinyLanguage()
    assert len(language.texts) == 46 and len(language.sentences) == len(set(language.sentences)) == 31  # 15 + 16
    assert language.words(0) == "" and language.state("not good .") in language.complete
    every = language.every_sentence()
    assert every.mask.sum(-1).tolist() == [len(s.split()) for s in language.sentences]
    assert every.rewards.sum(-1).tolist() == [language.reward(s) for s in language.sentences]
    assert torch.equal(discounted_returns(every.rewards, every.done, 1.0)[:, 0], every.rewards.sum(-1))
    row = language.sentences.index("not good .")
    assert [language.words(s) for s in every.states[row, :3].tolist()] == ["", "not", "not good"]
    assert every.actions[row, :3].tolist() == [1, 0, 2] and every.rewards[row].tolist() == [0.0, 0.0, -1.0, 0.0]


def test_probabilities_of_sentences_are_those_of_the_world():
    """Σ π(y) = 1, Σ π(y) r(y) is V of the empty text, and its gradient is the policy gradient."""
    language = TinyLanguage()
    policy = TabularPolicy(46, 3).double()
    policy.logits.data = torch.randn(46, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    log_probs, rewards = language.log_probs(policy), language.every_sentence().rewards.sum(-1)
    assert log_probs.exp().sum().item() == pytest.approx(1.0, abs=1e-12)
    expected = (log_probs.exp() * rewards).sum()
    table = policy(torch.arange(46)).probs.detach().numpy()
    assert expected.item() == pytest.approx(exact_values(language.mdp, table, 1.0)[0], abs=1e-12)
    (gradient,) = torch.autograd.grad(expected, policy.logits)
    score = torch.autograd.grad((log_probs.exp().detach() * rewards * language.log_probs(policy)).sum(), policy.logits)
    assert torch.allclose(gradient, score[0], atol=1e-12) and gradient.abs().max() > 0.01


def test_the_advantages_of_a_sentence_add_up():
    """Σₜ A(sₜ, aₜ) = R − V(s₀): each token gets its share of the surprise."""
    language, policy = TinyLanguage(), np.full((46, 3), 1 / 3)
    values = exact_values(language.mdp, policy, 1.0)
    gain = torch.tensor(advantages(policy, action_values(language.mdp, values, 1.0)))
    every = language.every_sentence()
    summed = gain[every.states, every.actions].masked_fill(~every.mask, 0.0).sum(-1)
    assert torch.allclose(summed, every.rewards.sum(-1) - values[0], atol=1e-12)


def test_unfinished_texts_are_not_paid():
    mdp = TinyLanguage(tokens=("a", "."), max_length=3, reward=lambda sentence: float(len(sentence.split()))).mdp
    # the texts: "", "a", ".", "a a", "a .", "a a a", "a a ."; a whole sentence pays its length
    assert mdp.rewards.tolist() == [[0.0, 1.0], [0.0, 2.0], [0.0, 0.0], [3.0, 3.0]] + [[0.0, 0.0]] * 3


def test_the_world_plays_what_is_enumerated():
    language = TinyLanguage()
    for seed in range(20):
        dice = torch.Generator().manual_seed(seed)
        world = gym.make_vec("TinyLanguage-v0", num_envs=1)
        states = collect(TabularPolicy(46, 3), world, seed=seed, generator=dice)
        text = language.words(states.next_states[0, states.mask[0]][-1].item())
        assert text in language.sentences and states.rewards.sum().item() == language.reward(text)


@pytest.mark.parametrize(("arguments", "says"), [
    ({"tokens": ("a", "a", ".")}, "tokens must be"), ({"tokens": (".",)}, "tokens must be"),
    ({"max_length": 0}, "max_length must be"), ({"tokens": tuple("abcdefghij."), "max_length": 5}, "too many"),
    ({"reward": lambda sentence: float("nan")}, "reward of '.' must be a finite number"),
])
def test_impossible_languages(arguments, says):
    with pytest.raises(ValueError, match=says):
        TinyLanguage(**arguments)


@pytest.mark.parametrize("words", ["bad", "good . good", "not not not not not"])
def test_texts_that_cannot_be(words):
    with pytest.raises(ValueError, match="words must be"):
        TinyLanguage().state(words)


def test_a_state_that_an_end_names_is_alive_where_a_living_episode_passes_through():
    # 0 and 1 go on or end with equal chance, 2 is paid 8 and ends: V = 2, 4, 8, 0, and only 3 is over.
    table = {0: {0: [(0.5, 1, 0.0, False), (0.5, 1, 0.0, True)]}, 1: {0: [(0.5, 2, 0.0, False), (0.5, 2, 0.0, True)]},
             2: {0: [(1.0, 3, 8.0, True)]}, 3: {0: [(1.0, 3, 0.0, True)]}}
    mdp = TabularMDP.from_table(table)
    assert mdp.terminal.tolist() == [False, False, False, True]
    assert np.allclose(exact_values(mdp, np.ones((4, 1)), gamma=1.0), [2.0, 4.0, 8.0, 0.0])
