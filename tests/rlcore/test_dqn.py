"""DQN: its targets by hand, its parts one by one, and the probes, whose values are known. CartPole: see benchmarks."""

import signal
from dataclasses import replace

import gymnasium as gym
import pytest
import torch
from torch import nn

import rlcore.envs  # noqa: F401  registers the probes
from rlcore.agents.dqn import DQN, DQNConfig, best_next_values, train
from rlcore.checkpoint import Checkpoint, CheckpointError
from rlcore.envs.probes import PROBES

SMALL = DQNConfig(total_steps=640, collect_steps=64, gradient_steps=60, batch_size=32, learning_starts=64, gamma=0.9,
                  lr=1e-2, target_every=20, hidden=(16,))


def table(*rows):
    """A network that is a table: state `[n]` is the row's number."""
    rows = torch.tensor(rows)
    network = nn.Module()
    network.forward = lambda states: rows[states[..., 0].long()]
    return network


NEXT = torch.tensor([[0.0], [1.0]])
ONLINE, FROZEN = table((1.0, 5.0), (2.0, -3.0)), table((4.0, 3.0), (-6.0, -1.0))


def test_the_best_next_value_is_the_target_networks():
    assert best_next_values(ONLINE, FROZEN, NEXT, double=False).tolist() == [4.0, -1.0]  # max of each frozen row


def test_double_lets_one_choose_and_the_other_value():
    # The online network chooses 1 in state 0 and 0 in state 1; the frozen one values them at 3 and −6.
    assert best_next_values(ONLINE, FROZEN, NEXT, double=True).tolist() == [3.0, -6.0]


def test_double_with_one_network_is_the_maximum():
    assert best_next_values(FROZEN, FROZEN, NEXT, double=True).tolist() == [4.0, -1.0]


def test_no_gradient_flows_through_the_target():
    q = nn.Linear(1, 2)
    for double in (False, True):
        assert not best_next_values(q, q, NEXT, double).requires_grad


def agent(config=SMALL, probe="Probe5-v0", num_envs=4, seed=0):
    return DQN(gym.make_vec(probe, num_envs=num_envs), config, seed)


def remember(learner, reward, terminated):
    """Put one step into the buffer: from 0 to 1, with action 0."""
    learner.buffer.memory.states[0], learner.buffer.memory.next_states[0] = 0.0, 1.0
    learner.buffer.memory.actions[0], learner.buffer.memory.rewards[0] = 0, reward
    learner.buffer.memory.terminated[0], learner.buffer.added = terminated, 1


@pytest.mark.parametrize("reward", [0.5, 2.0])
@pytest.mark.parametrize("terminated", [False, True])
def test_one_update_by_hand(reward, terminated):
    """The loss is ½ δ² for |δ| < 1 and |δ| − ½ beyond; Q moves *towards* the target."""
    learner = agent(replace(SMALL, gradient_steps=1, batch_size=3))
    remember(learner, reward, terminated)
    with torch.no_grad():
        for weights in learner.target.parameters():
            weights.mul_(-2.0)  # the two networks must not agree, or nobody could see which of them is asked
    q, state, following = learner.policy.q, torch.zeros(1), torch.ones(1)
    with torch.no_grad():
        before = q(state)[0].item()
        target = reward + (0.0 if terminated else 0.9 * learner.target(following).max().item())
    metrics = learner.learn()
    error = abs(target - before)
    assert metrics["loss"] == pytest.approx(0.5 * error**2 if error < 1 else error - 0.5, abs=1e-6)
    assert metrics["value"] == pytest.approx(before, abs=1e-6)
    assert abs(target - q(state)[0].item()) < error


def test_a_truncated_step_keeps_its_future():
    """Probe 6 pays 1 for ever and is watched for 10 steps: V = 1/(1 − γ) = 2 at γ = ½, and not what 10 steps pay."""
    config = replace(SMALL, gamma=0.5, total_steps=1280)
    q = train(gym.make_vec("Probe6-v0", num_envs=4), config, seed=0).policy.q
    assert q(torch.zeros(1)).item() == pytest.approx(2.0, abs=0.02)


def test_treating_truncation_as_the_end_would_be_seen():
    """The bug that the test above is for: 9 steps in 10 have a future, so V = 1/(1 − 0.9 γ), which is 1.82 at γ = ½."""
    learner = agent(replace(SMALL, gamma=0.5, total_steps=1280), "Probe6-v0")
    add = learner.buffer.add
    learner.buffer.add = lambda t: add(replace(t, terminated=t.terminated | t.truncated,
                                               truncated=torch.zeros_like(t.truncated)))
    for _ in learner.steps():
        pass
    assert learner.policy.q(torch.zeros(1)).item() == pytest.approx(1 / (1 - 0.9 * 0.5), abs=0.06)


@pytest.mark.parametrize("double", [False, True])
@pytest.mark.parametrize("probe", [name for name in PROBES if PROBES[name].length])
def test_climbs_the_probes(probe, double):
    rung = PROBES[probe]
    config = replace(SMALL, double=double)
    q = train(gym.make_vec(probe, num_envs=4), config, seed=1).policy.q
    for seen in rung.starts:
        values = q(torch.tensor([seen]))
        assert values.max().item() == pytest.approx(rung.value(0.9, seen), abs=0.05)
        if rung.num_actions == 2:  # the other action pays the opposite
            assert values.min().item() == pytest.approx(-1.0, abs=0.05)
            assert values.argmax().item() == (seen > 0 if probe == "Probe5-v0" else 1)


def test_schedules_by_hand():
    config = DQNConfig(total_steps=1000, epsilon=0.9, final_epsilon=0.1, exploration_fraction=0.5, lr=0.01,
                       final_lr=0.2)
    assert config.at(0) == pytest.approx((0.01, 0.9))
    assert config.at(250) == pytest.approx((0.01 * 0.8, 0.5))  # half of the exploration, a quarter of the training
    assert config.at(500) == pytest.approx((0.01 * 0.6, 0.1))
    assert config.at(1000) == config.at(5000) == pytest.approx((0.002, 0.1))
    assert replace(config, exploration_fraction=0.0).at(0)[1] == pytest.approx(0.1)


def test_the_target_network_stands_still_between_copies():
    learner = agent(replace(SMALL, gradient_steps=1, target_every=3))
    learner.act()
    same = []
    for _ in range(6):
        learner.learn()
        pairs = zip(learner.target.parameters(), learner.policy.q.parameters(), strict=True)
        same.append(all(torch.equal(a, b) for a, b in pairs))
    assert same == [False, False, True, False, False, True]


def test_returns_of_episodes_that_go_over_a_round():
    learner = agent(replace(SMALL, collect_steps=8), "Probe6-v0", num_envs=2)  # 4 steps a round, 10 an episode
    rewards = [learner.act().get("reward") for _ in range(6)]
    assert rewards == [None, None, 10.0, None, None, 10.0] and learner.worlds.finished == [10.0, 10.0]


def test_counts_real_steps_only():
    history = train(gym.make_vec("Probe1-v0", num_envs=4), replace(SMALL, gradient_steps=1), seed=0).history
    assert [row["step"] for row in history[:2]] == [32, 64]  # every second step of NEXT_STEP only resets
    assert "loss" not in history[0] and "loss" in history[1]  # learning_starts = 64
    assert history[0]["reward"] == 1.0 and history[0]["episodes"] == 32


def test_the_same_seed_gives_the_same_network():
    runs = [train(gym.make_vec("Probe5-v0", num_envs=4), replace(SMALL, total_steps=200), seed=s) for s in (3, 3, 4)]
    first = [run.policy.q(torch.ones(1)).tolist() for run in runs]
    assert first[0] == first[1] != first[2]


def press_ctrl_c(step):
    def observe(metrics):
        if metrics["step"] >= step:
            signal.raise_signal(signal.SIGINT)

    return observe


@pytest.mark.parametrize("world", [
    lambda: gym.make_vec("Probe6-v0", num_envs=4),  # episodes of 10 steps, rounds of 16
    lambda: gym.make_vec("CartPole-v1", num_envs=4),
    lambda: gym.make_vec("RobotDog-v0", num_envs=4, wind=1.0, autoreset_mode="SameStep"),
    lambda: gym.make_vec("CartPole-v1", num_envs=4, vectorization_mode="sync"),
])  # fmt: skip
def test_stopped_by_hand_and_going_on_in_the_middle_of_episodes(world, tmp_path):
    """To the bit the run that was not stopped: the history, the policy and its ε, and what is saved."""
    config, file = replace(SMALL, total_steps=512, gradient_steps=5, exploration_fraction=1.0), tmp_path / "dqn"
    whole = train(world(), config, 0, checkpoint=tmp_path / "whole")
    half = train(world(), config, 0, observe=press_ctrl_c(250), checkpoint=file)
    assert half.interrupted and half.history == whole.history[: len(half.history)]
    assert 0 < len(half.history) < len(whole.history)
    again = train(world(), config, 0, checkpoint=file, resume=True)
    assert again.history == whole.history and not again.interrupted
    assert again.policy.epsilon == whole.policy.epsilon
    for a, b in zip(whole.policy.parameters(), again.policy.parameters(), strict=True):
        assert torch.equal(a, b)
    twins = [DQN(world(), config, 0) for _ in range(2)]
    for twin, name in zip(twins, ("dqn", "whole"), strict=True):
        Checkpoint(tmp_path / name, twin).load()
    assert twins[0].act() == twins[1].act() and twins[0].learn() == twins[1].learn()
    finished = train(world(), config, 0, checkpoint=file, resume=True)  # nothing is done twice
    assert finished.history == whole.history and finished.policy.epsilon == whole.policy.epsilon


def test_a_checkpoint_of_another_run_is_refused(tmp_path):
    file, envs = tmp_path / "dqn", gym.make_vec("Probe5-v0", num_envs=4)
    train(envs, replace(SMALL, total_steps=64), 0, checkpoint=file)
    with pytest.raises(CheckpointError, match=r"gamma is 0\.9 there and 0\.5 here"):
        train(envs, replace(SMALL, total_steps=64, gamma=0.5), 0, checkpoint=file, resume=True)
    with pytest.raises(CheckpointError, match=r"Probe5.* does not fit|probe is not what it was"):
        train(gym.make_vec("Probe4-v0", num_envs=4), replace(SMALL, total_steps=64), 0, checkpoint=file, resume=True)


def test_a_hard_stop_leaves_nothing_half_written(tmp_path):
    def stop(metrics):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(gym.make_vec("Probe5-v0", num_envs=4), SMALL, 0, observe=stop, checkpoint=tmp_path / "dqn")
    assert not (tmp_path / "dqn").exists()


BAD = {
    "gamma": (1.5, r"gamma must lie in \[0, 1\], but is 1.5"),
    "epsilon": (-0.1, r"epsilon must lie in \[0, 1\], but is -0.1"),
    "lr": (0.0, "lr must be a positive number, but is 0.0"),
    "batch_size": (0, "batch_size must be a positive number, but is 0"),
    "buffer_size": (63, "buffer_size must hold at least one round of collect_steps=64, but is 63"),
    "learning_starts": (641, "learning_starts must be at most total_steps=640, or nothing is learned, but is 641"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_settings_are_named(name):
    value, message = BAD[name]
    with pytest.raises(ValueError, match=message):
        replace(SMALL, **{name: value})


def test_bad_worlds_are_named():
    with pytest.raises(ValueError, match=r"envs must show vectors and take discrete actions, but have Discrete\(16\)"):
        train(gym.make_vec("FrozenLake-v1", num_envs=2), SMALL)
    with pytest.raises(ValueError, match="take discrete actions"):
        train(gym.make_vec("Pendulum-v1", num_envs=2), SMALL)
    with pytest.raises(ValueError, match="at least one for each of the 65 envs, but is 64"):
        agent(num_envs=65)
