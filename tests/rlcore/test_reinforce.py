"""REINFORCE: its expected step is the exact gradient, sign and all; the short corridor's band; what it refuses."""

import signal
from dataclasses import replace

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.vector.utils import batch_space
from torch import Tensor

import rlcore.envs  # noqa: F401  registers the worlds
from rlcore.agents.reinforce import REINFORCE, REINFORCEConfig, train
from rlcore.envs.classic_grids import short_corridor
from rlcore.envs.table_vector_env import TabularVectorEnv
from rlcore.envs.tiny_language import TinyLanguage
from rlcore.networks import actor_and_critic
from rlcore.policies import TabularPolicy
from rlcore.trajectory import Trajectory
from rlcore.values import TabularValue
from rlcore.worlds import Worlds

torch.set_num_threads(1)
F64 = torch.float64
UNCLIPPED = 1e12
PLAIN = REINFORCEConfig(steps=1, lr=1.0, optimizer="sgd", gamma=1.0, max_grad_norm=UNCLIPPED)
LANGUAGE = TinyLanguage()


class Given:
    """A world in which always the same happens."""

    def __init__(self, trajectory: Trajectory):
        self.trajectory = trajectory

    def sample(self, policy, generator=None) -> Trajectory:
        return self.trajectory

    def metrics(self, trajectory) -> dict:
        return {"reward": trajectory.rewards.sum(-1).mean().item()}


def as_expected_of_dice(wince=0.0) -> Trajectory:
    """81 sentences, each exactly as often as somebody writes it who rolls dice; every "not" costs `wince` at once."""
    every = LANGUAGE.every_sentence()
    copies = 3 ** (4 - every.mask.sum(-1))  # [31]  a sentence of n tokens has probability 3⁻ⁿ
    assert copies.sum() == 81
    rewards = every.rewards - wince * ((every.actions == 1) & every.mask)
    return replace(every, rewards=rewards).rows(torch.arange(31).repeat_interleave(copies))


def exact_gradient(wince=0.0) -> Tensor:
    """∇ Σ p(sentence) · return, by differentiating the sum over all 31 sentences."""
    policy = TabularPolicy(len(LANGUAGE.texts), 3).double()
    every = LANGUAGE.every_sentence()
    returns = (every.rewards - wince * ((every.actions == 1) & every.mask)).sum(-1)  # [31]
    return torch.autograd.grad((LANGUAGE.log_probs(policy).exp() * returns).sum(), policy.logits)[0]


def one_step(config, trajectory, value=None, policy=None):
    """What one step adds to the weights, and its metrics."""
    policy = TabularPolicy(len(LANGUAGE.texts), 3).double() if policy is None else policy
    before = policy.logits.detach().clone()
    result = train(policy, Given(trajectory), config, value=value)
    return policy.logits.detach() - before, result.history[0]


@pytest.mark.parametrize("wince", [0.0, 0.5])
@pytest.mark.parametrize("credit", ["return", "reward_to_go"])
@pytest.mark.parametrize("baseline", ["none", "mean", "value"])
def test_its_expected_step_is_the_exact_gradient(credit, baseline, wince):
    value = None
    if baseline == "value":  # any function of the state will do
        value = TabularValue(len(LANGUAGE.texts)).double()
        value.values.data = torch.randn(len(LANGUAGE.texts), generator=torch.Generator().manual_seed(0), dtype=F64)
    config = replace(PLAIN, credit=credit, baseline=baseline)
    moved, _ = one_step(config, as_expected_of_dice(wince), value)
    exact = exact_gradient(wince)
    torch.testing.assert_close(moved, exact, rtol=0, atol=1e-12)
    assert exact.abs().max() > 0.02


def episode(rewards, actions, mask=None) -> Trajectory:
    """One row; all states are 0."""
    rewards, actions = torch.tensor([rewards], dtype=F64), torch.tensor([actions])
    mask = torch.ones_like(actions, dtype=torch.bool) if mask is None else torch.tensor([mask])
    last = mask & (mask.flip(-1).cumsum(-1).flip(-1) == 1)
    return Trajectory(actions * 0, actions, rewards, rewards * 0, last, last & False, mask)


def table():
    return TabularPolicy(1, 2).double()


def test_one_step_of_one_episode_by_hand():
    # π = ½, so the score of action 1 is (−½, ½) and that of action 0 is (½, −½). Rewards 1 and 4 at γ = ½ leave
    # 1 + ½·4 = 3 and 4 to go: 3·(−½, ½) + 4·(½, −½) = (½, −½).
    config = replace(PLAIN, gamma=0.5)
    moved, _ = one_step(config, episode([1.0, 4.0], [1, 0]), policy=table())
    assert moved.tolist() == [[0.5, -0.5]]
    # Actions 1, 1 and the whole return, 3 for both: 2 · 3 · (−½, ½).
    moved, _ = one_step(replace(config, credit="return"), episode([1.0, 4.0], [1, 1]), policy=table())
    assert moved.tolist() == [[-3.0, 3.0]]
    # Less the mean of the two to-go's, 3½: −½·(−½, ½) + ½·(½, −½) = (½, −½).
    moved, _ = one_step(replace(config, baseline="mean"), episode([1.0, 4.0], [1, 0]), policy=table())
    assert moved.tolist() == [[0.5, -0.5]]


def test_an_episode_begins_with_the_first_action_that_was_chosen():
    # A prompt of one token, then two actions 1: the return of the episode is 1 + ½·4 = 3, not ½·3.
    config = replace(PLAIN, gamma=0.5, credit="return")
    text = episode([0.0, 1.0, 4.0], [0, 1, 1], mask=[False, True, True])
    moved, _ = one_step(config, text, policy=table())
    assert moved.tolist() == [[-3.0, 3.0]]


def two_episodes():
    """One of three steps and one of one, with returns 4 and 2."""
    long, short = episode([0.0, 0.0, 4.0], [1, 1, 1]), episode([2.0, 0.0, 0.0], [0, 0, 0], [True, False, False])
    return Trajectory(*(torch.cat([getattr(long, name), getattr(short, name)]) for name in
                        ("states", "actions", "rewards", "log_probs", "terminated", "truncated", "mask")))


def test_steps_are_added_up_and_episodes_averaged_and_padding_is_neither():
    # (3 · 4 · (−½, ½) + 2 · (½, −½)) / 2 = (−2.5, 2.5)
    moved, metrics = one_step(PLAIN, two_episodes(), policy=table())
    assert moved.tolist() == [[-2.5, 2.5]]
    assert metrics["reward"] == 3.0


def test_the_mean_is_over_the_steps_that_were_made():
    # To go: 4, 4, 4 and 2, whose mean is 3.5: (3 · ½ · (−½, ½) − 1½ · (½, −½)) / 2 = (−0.75, 0.75)
    moved, _ = one_step(replace(PLAIN, baseline="mean"), two_episodes(), policy=table())
    assert moved.tolist() == [[-0.75, 0.75]]


def test_an_entropy_bonus_keeps_the_policy_undecided():
    undecided, sure = table(), table()
    for policy in (undecided, sure):
        policy.logits.data[0, 1] = 1.0
    drawn, _ = one_step(replace(PLAIN, entropy_coef=0.5), episode([0.0], [1]), policy=undecided)
    plain, _ = one_step(PLAIN, episode([0.0], [1]), policy=sure)
    assert drawn[0, 1] < 0 < drawn[0, 0] and plain.tolist() == [[0.0, 0.0]]


def test_at_t_1_it_is_the_gradient_bandit():
    # Sutton & Barto (2018), eq. 2.12: h(b) += α (r − r̄) (1[b = a] − π(b)).
    policy = TabularPolicy(1, 3).double()
    policy.logits.data = torch.tensor([[0.2, -0.4, 1.0]], dtype=F64)
    pi = policy.logits.detach().softmax(-1)[0]
    value = TabularValue(1).double()
    value.values.data += 4.0  # r̄
    config = replace(PLAIN, lr=0.1, baseline="value")
    moved, _ = one_step(config, episode([5.5], [2]), value, policy)
    expected = 0.1 * (5.5 - 4.0) * (torch.tensor([0.0, 0.0, 1.0], dtype=F64) - pi)
    torch.testing.assert_close(moved[0], expected, rtol=0, atol=1e-14)


def test_the_value_function_moves_towards_the_returns_and_foresees_them():
    value = TabularValue(1).double()
    value.values.data += 1.0
    config = replace(PLAIN, lr=0.25, baseline="value", value_coef=2.0)
    _, metrics = one_step(config, episode([1.0, 4.0], [1, 0]), value, table())
    assert value.values.item() == 1.0 + 0.25 * 2.0 * (4.0 + 3.0)  # V + α β Σ (G − V), G = 5 and 4
    assert metrics["explained_variance"] == 0.0  # a constant foresees nothing
    assert metrics["value_loss"] == (8.0 + 4.5) / 2


def test_rewards_and_returns_stay_what_they_were():
    trajectory = as_expected_of_dice(0.5)
    before = trajectory.rewards.clone()
    one_step(replace(PLAIN, baseline="mean"), trajectory)
    assert torch.equal(trajectory.rewards, before)


class Corridors(TabularVectorEnv):
    """Short corridors that show nothing but their own number, so that each has a learner of its own."""

    def __init__(self, count: int):
        super().__init__(short_corridor(), count, max_episode_steps=1000)
        self.single_observation_space = gym.spaces.Discrete(count)
        self.observation_space = batch_space(self.single_observation_space, count)

    def reset(self, **options):
        return np.arange(self.num_envs), super().reset(**options)[1]

    def step(self, actions):
        return np.arange(self.num_envs), *super().step(actions)[1:]


class QuickTable(TabularPolicy):
    """Acts without building a distribution: 30,000 steps are many."""

    @torch.no_grad()
    def act(self, states, generator=None):
        log_probs = self.logits.log_softmax(-1)
        actions = torch.multinomial(log_probs.exp(), 1, generator=generator)
        return actions[:, 0], log_probs.gather(-1, actions)[:, 0]


def many_learners(learners, episodes, lr, value_lr=None):
    """Mean return of the last 100 episodes, and the p(right) of each learner, who begins with .05."""
    policy = QuickTable.from_probabilities([[0.95, 0.05]] * learners)
    config = replace(PLAIN, steps=episodes, lr=learners * lr, final_lr=1.0)  # the loss is a mean over learners
    value, world = None, Worlds(Corridors(learners))
    if value_lr is not None:
        value, config = TabularValue(learners), replace(config, baseline="value", value_coef=value_lr / lr)
    history = train(policy, world, config, seed=0, value=value).history
    return np.mean([row["reward"] for row in history[-100:]]), policy.logits.softmax(-1)[:, 1].detach()


def test_the_band_of_the_short_corridor():
    # references.md: −12.4, updating within the episode. Updating once per episode gives −12.53, and one learner's mean
    # has a standard deviation of .93 (60 learners in plain NumPy): four standard errors of 5 learners are 1.7.
    reward, _ = many_learners(5, 1000, lr=2**-13)
    assert abs(reward - -12.53) < 4 * 0.93 / 5**0.5


def test_with_a_baseline_it_finds_the_best_policy_of_the_short_corridor():
    # 60 learners in NumPy, 1000 episodes: −11.75 with a standard deviation of .7 each, and p between .44 and .71.
    reward, right = many_learners(8, 400, lr=2**-10, value_lr=2**-8)
    assert abs(reward - -11.75) < 4 * 0.7 / 8**0.5
    assert abs(right.mean() - (2 - 2**0.5)) < 0.07 and ((right > 0.4) & (right < 0.75)).all()


def cart(num_envs=4):
    return Worlds(gym.make_vec("CartPole-v1", num_envs=num_envs))


def test_it_learns_to_balance_and_the_same_seed_gives_the_same_run():
    def run(seed):
        policy, value = actor_and_critic(gym.make_vec("CartPole-v1", num_envs=1), seed=seed)
        config = REINFORCEConfig(steps=15, baseline="value", final_lr=1.0)
        return [row["reward"] for row in train(policy, cart(8), config, seed, value).history]

    first, again, other = run(0), run(0), run(1)
    assert first == again and first != other
    for rewards in (first, other):
        assert np.mean(rewards[-3:]) > 2 * np.mean(rewards[:3])


def test_it_goes_on_where_it_stopped(tmp_path):
    config = REINFORCEConfig(steps=4, baseline="value")

    def fresh():
        return actor_and_critic(gym.make_vec("CartPole-v1", num_envs=1), seed=0)

    (policy, value), (stopped, its_value), (other, other_value) = fresh(), fresh(), fresh()
    whole = train(policy, cart(), config, 0, value)

    def stop(metrics):
        if metrics["step"] == 2:
            signal.raise_signal(signal.SIGINT)

    cut = train(stopped, cart(), config, 0, its_value, observe=stop, checkpoint=tmp_path / "run")
    assert cut.interrupted and len(cut.history) == 2
    rest = train(other, cart(), config, 0, other_value, checkpoint=tmp_path / "run", resume=True)
    assert rest.history == whole.history
    for mine, theirs in zip(policy.parameters(), other.parameters(), strict=True):
        assert torch.equal(mine, theirs)


def test_it_refuses_rows_that_are_not_one_episode():
    world = Worlds(gym.make_vec("CartPole-v1", num_envs=2), num_steps=8)
    policy = TabularPolicy(1, 2)
    policy.forward = lambda states: torch.distributions.Categorical(logits=torch.zeros(*states.shape[:-1], 2))
    with pytest.raises(ValueError, match="one whole episode per row"):
        next(REINFORCE(policy, None, world, PLAIN).steps())


@pytest.mark.parametrize("wrong", [
    {"steps": 0}, {"lr": 0.0}, {"lr": float("nan")}, {"max_grad_norm": 0.0}, {"final_lr": 1.5}, {"gamma": -0.1},
    {"value_coef": -1.0}, {"entropy_coef": -1.0}, {"credit": "all"}, {"baseline": "v"}, {"optimizer": "adamw"},
])
def test_settings_out_of_range_are_named(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        REINFORCEConfig(**wrong)


def test_a_value_function_goes_with_its_baseline():
    for value, baseline in ((TabularValue(1), "none"), (TabularValue(1), "mean"), (None, "value")):
        with pytest.raises(ValueError, match="value goes with baseline='value'"):
            train(table(), Given(episode([1.0], [0])), replace(PLAIN, baseline=baseline), value=value)


@pytest.mark.parametrize(("name", "kind"), [("adam", torch.optim.Adam), ("sgd", torch.optim.SGD)])
def test_the_optimiser_is_chosen_and_holds_everything_that_learns(name, kind):
    agent = REINFORCE(table(), TabularValue(1), None, replace(PLAIN, optimizer=name, lr=0.125, baseline="value"))
    assert isinstance(agent.optimizer, kind)
    (group,) = agent.optimizer.param_groups
    assert group["lr"] == 0.125 and len(group["params"]) == 2
