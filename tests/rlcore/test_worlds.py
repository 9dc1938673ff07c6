"""Worlds that go on where they stopped, count their episodes' returns, and the loop that learns from them."""

from dataclasses import dataclass, fields

import gymnasium as gym
import pytest
import torch

import rlcore.envs  # noqa: F401  registers the probes
from rlcore.checkpoint import Checkpoint
from rlcore.learner import Learner
from rlcore.policies import MLPPolicy, UniformPolicy
from rlcore.rollout import collect
from rlcore.worlds import Worlds

torch.set_num_threads(1)


def cart_poles(num_steps, n=4):
    return Worlds(gym.make_vec("CartPole-v1", n), num_steps)


def same(a, b):
    pairs = [(getattr(a, f.name), getattr(b, f.name)) for f in fields(a)]
    return all((x is None and y is None) or torch.equal(x, y) for x, y in pairs)


def test_samples_go_on_where_the_last_one_stopped():
    policy = UniformPolicy(2)
    one, parts = cart_poles(60), cart_poles(20)
    whole = one.sample(policy, torch.Generator().manual_seed(1))
    dice, returns = torch.Generator().manual_seed(1), []
    pieces = []
    for _ in range(3):
        pieces.append(parts.sample(policy, dice))
        returns += parts.finished
    assert torch.equal(torch.cat([p.states for p in pieces], 1), whole.states)
    assert torch.equal(torch.cat([p.rewards for p in pieces], 1), whole.rewards)
    assert torch.equal(torch.cat([p.mask for p in pieces], 1), whole.mask)
    assert returns == one.finished and len(returns) > 4 and parts.episodes == len(returns)
    # CartPole pays 1 a step: returns are lengths, and with the unfinished ones they add up to all steps
    assert sum(returns) + parts.running.sum().item() == whole.mask.sum().item()


def test_whole_episodes_begin_anew_every_time_and_the_seed_is_in_the_dice():
    worlds, policy = cart_poles(None), UniformPolicy(2)
    first = worlds.sample(policy, torch.Generator().manual_seed(1))
    assert worlds.finished == first.rewards.sum(-1).tolist()  # all of them, once
    assert worlds.metrics(first) == {"reward": first.rewards.sum(-1).mean().item(), "episodes": 4,
                                     "num_steps": int(first.mask.sum())}
    second = worlds.sample(policy, torch.Generator().manual_seed(1))
    assert not torch.equal(first.states[:, 0], second.states[:, 0])  # not the same four starts again
    assert same(cart_poles(None).sample(policy, torch.Generator().manual_seed(1)), first)
    assert not same(cart_poles(None).sample(policy, torch.Generator().manual_seed(2)), first)


def test_a_sample_without_an_end_has_no_reward_to_report():
    worlds = cart_poles(3)
    trajectory = worlds.sample(UniformPolicy(2), torch.Generator().manual_seed(0))
    assert worlds.metrics(trajectory) == {"episodes": 0, "num_steps": 12}


@pytest.mark.parametrize("num_steps", [7, None])
def test_a_state_brings_worlds_back_to_the_bit(num_steps):
    policy, dice = UniformPolicy(2), torch.Generator().manual_seed(5)
    worlds = cart_poles(num_steps)
    for _ in range(6):
        worlds.sample(policy, dice)
    state, dice_state = worlds.state_dict(), dice.get_state()
    running = state["running"].clone()
    onward = [worlds.sample(policy, dice) for _ in range(5)]
    finished = worlds.finished
    assert torch.equal(state["running"], running)  # a state is of its time, and does not go on counting
    fresh, dice = cart_poles(num_steps), torch.Generator()
    fresh.load_state_dict(state)
    dice.set_state(dice_state)
    assert all(same(fresh.sample(policy, dice), before) for before in onward)
    assert fresh.finished == finished and fresh.episodes == worlds.episodes


@dataclass(frozen=True)
class Config:
    steps: int = 4
    lr: float = 0.1
    final_lr: float = 0.2


class Idle(Learner):
    """Learns nothing, and says at which rate."""

    def learn(self, trajectory):
        return {"lr": self.optimizer.param_groups[0]["lr"], "sum": trajectory.states.sum().item()}


def test_the_loop_samples_learns_and_lowers_the_learning_rate():
    agent = Idle(MLPPolicy(4, 2), None, cart_poles(5), Config(), seed=1)
    rows = list(agent.steps())
    # .1 · (1 − p (1 − .2)) at p = 0, ¼, ½, ¾
    assert [row["lr"] for row in rows] == pytest.approx([0.1, 0.08, 0.06, 0.04])
    assert [row["step"] for row in rows] == [1, 2, 3, 4] and rows[0]["num_steps"] == 20
    assert list(agent.steps()) == []  # the training is over


def test_a_learner_s_checkpoint_holds_policy_optimiser_dice_and_worlds(tmp_path):
    def agent():
        torch.manual_seed(0)
        return Idle(MLPPolicy(4, 2), None, cart_poles(9), Config(steps=8), seed=1)

    whole = list(agent().steps())
    first = agent()
    steps = first.steps()
    half = [next(steps) for _ in range(5)]
    Checkpoint(tmp_path / "run.safetensors", first).save(half)
    second = agent()
    assert Checkpoint(tmp_path / "run.safetensors", second).load() == half
    assert half + list(second.steps()) == whole


def test_a_real_action_is_clipped_for_the_world_only():
    class Wild:
        def act(self, states, generator=None):
            return torch.full((len(states), 1), 100.0), torch.zeros(len(states))

    class Record(gym.Wrapper):
        def step(self, action):
            seen.append(float(action[0]))
            return self.env.step(action)

    seen = []
    trajectory = collect(Wild(), Record(gym.make("Pendulum-v1", max_episode_steps=3)), seed=0)
    assert seen == [2.0] * 3 and trajectory.actions.tolist() == [[100.0]] * 3
