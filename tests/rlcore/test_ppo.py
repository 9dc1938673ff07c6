"""PPO: one update by hand, its identities, the probes, and CartPole; what it costs beside others: see benchmarks."""

import math
import signal
from collections import deque
from dataclasses import replace

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.wrappers.vector import TransformReward

import rlcore.envs  # noqa: F401  registers the probes
from rlcore.agents import ppo
from rlcore.agents.actor_critic import ActorCritic, ActorCriticConfig
from rlcore.agents.ppo import PPO, PPOConfig, train
from rlcore.agents.reinforce import REINFORCE, REINFORCEConfig
from rlcore.checkpoint import Checkpoint, CheckpointError
from rlcore.envs.probes import PROBES
from rlcore.networks import actor_and_critic
from rlcore.policies import TabularPolicy
from rlcore.rollout import collect
from rlcore.trajectory import Trajectory
from rlcore.values import Greedy, TabularValue
from rlcore.worlds import Worlds

torch.set_num_threads(1)
F64 = torch.float64
ONE_STEP = PPOConfig(steps=1, lr=1.0, epochs=1, normalize=False, max_grad_norm=1e9)  # with SGD: minus the gradient


def weights(*modules):
    return torch.cat([w.detach().flatten() for module in modules for w in module.parameters()])


def with_sgd(agent):
    """One step of SGD at rate 1 subtracts exactly the gradient."""
    parts = [part for part in (agent.policy, agent.value) if part is not None]
    agent.optimizer = torch.optim.SGD([w for part in parts for w in part.parameters()], lr=1.0)
    return agent


# ---------------------------------------------------------------- one state, two actions, by hand


def coin(config):
    """π = (½, ½), V = 0. Each action once, in two worlds of one step: action 0 pays 1, action 1 costs 1."""
    steps = torch.zeros(2, 1)
    trajectory = Trajectory(
        states=steps.long(), actions=torch.tensor([[0], [1]]), rewards=torch.tensor([[1.0], [-1.0]], dtype=F64),
        log_probs=torch.full((2, 1), 0.5, dtype=F64).log(), terminated=~steps.bool(), truncated=steps.bool(),
        mask=~steps.bool(), next_states=steps.long(),
    )  # fmt: skip
    agent = with_sgd(PPO(TabularPolicy(1, 2).double(), TabularValue(1).double(), None, config))
    return agent, trajectory


def test_the_first_step_by_hand_and_none_where_all_are_cut():
    # Advantages are 1 and −1. ∂log π(0)/∂θ = (½, −½), ∂log π(1)/∂θ = (−½, ½).
    # Mean over two steps: ½ [1·(½, −½) − 1·(−½, ½)] = (½, −½). V: the mean of (V − 1) and (V + 1) is 0, so it stays.
    agent, trajectory = coin(ONE_STEP)
    metrics = agent.learn(trajectory)
    assert agent.policy.logits.flatten().tolist() == pytest.approx([0.5, -0.5], abs=1e-12)
    assert agent.value.values.item() == pytest.approx(0, abs=1e-12)
    assert metrics["loss"] == pytest.approx(0.5 * 0.5, abs=1e-12)  # −mean(1, −1) + value_coef · ½ · mean(1, 1)
    assert metrics["clip_ratio"] == 0 and metrics["clip"] == 0.2
    # Now π(0) = 1/(1 + e⁻¹) = .731: the ratios are 1.46 > 1.2 with Â > 0 and .54 < .8 with Â < 0. Both are cut.
    agent, trajectory = coin(replace(ONE_STEP, epochs=10))
    assert agent.learn(trajectory)["clip_ratio"] == pytest.approx(0.9)  # in all epochs but the first
    assert agent.policy.logits.flatten().tolist() == pytest.approx([0.5, -0.5], abs=1e-12)


def test_a_wide_clip_lets_the_second_step_through():
    # ρ₀ = 2/(1 + e⁻¹) = 1.462, ρ₁ = 2/(1 + e) = .538; ∂log π(0)/∂θ₀ = 1 − .731 = .269, ∂log π(1)/∂θ₀ = −.731.
    # Half of 1.462 · .269 + .538 · .731, which are both .3932, is what θ₀ gains.
    agent, trajectory = coin(replace(ONE_STEP, epochs=2, clip=0.5))
    agent.learn(trajectory)
    gain = 2 / (1 + math.exp(-1)) / (1 + math.e)
    assert agent.policy.logits[0, 0].item() == pytest.approx(0.5 + gain, abs=1e-12)


def test_clip_and_learning_rate_fall_together():
    agent, trajectory = coin(replace(ONE_STEP, steps=4, clip=0.4, final_clip=0.25, final_lr=0.5))
    agent.world = type("Same", (), {"sample": lambda *_: trajectory, "metrics": lambda *_: {}})()
    rates, clips = [], []
    for metrics in agent.steps():
        rates.append(agent.optimizer.param_groups[0]["lr"])
        clips.append(metrics["clip"])
    assert rates == pytest.approx([1.0, 0.875, 0.75, 0.625])  # towards ½
    assert clips == pytest.approx([0.4, 0.325, 0.25, 0.175])  # towards .1


# ---------------------------------------------------------------- identities


def played(continuous=False, num_steps=12, seed=0):
    """Networks in float64, and what they did: their states and log-probs in float64 too."""
    envs = gym.make_vec("Pendulum-v1" if continuous else "CartPole-v1", num_envs=3)
    policy, value = actor_and_critic(envs, orthogonal=False, seed=seed)
    happened = collect(policy, envs, num_steps, seed=seed, generator=torch.Generator().manual_seed(seed))
    policy, value = policy.double(), value.double()
    happened = replace(happened, states=happened.states.double(), next_states=happened.next_states.double(),
                       rewards=happened.rewards.double())
    if continuous:
        happened = replace(happened, actions=happened.actions.double())
    log_probs = policy.evaluate_actions(happened.states, happened.actions, happened.mask)[0].detach()
    return policy, value, replace(happened, log_probs=log_probs)


@pytest.mark.parametrize("continuous", [False, True])
def test_where_the_ratio_is_1_it_is_actor_critic(continuous):
    """∇PPO = ∇REINFORCE: one epoch, one minibatch, nothing normalised."""
    after = []
    for kind, config in ((PPO, replace(ONE_STEP, minibatch_size=1000)),
                         (ActorCritic, ActorCriticConfig(1, 1.0, gamma=0.98, lam=0.8, max_grad_norm=1e9))):
        policy, value, happened = played(continuous)
        before = weights(policy, value)
        with_sgd(kind(policy, value, None, config)).learn(happened)
        after.append(before - weights(policy, value))
    assert after[0].abs().max() > 1e-3
    torch.testing.assert_close(after[0], after[1], rtol=0, atol=1e-12 * after[0].abs().max().item())


def test_with_lambda_1_and_no_critic_it_is_reinforce():
    """V = 0 and λ = 1: the advantage is the reward-to-go, and the mean over steps is that over episodes, rescaled."""
    policy, _, _ = played()
    whole = collect(policy.float(), gym.make_vec("CartPole-v1", num_envs=3), seed=1)
    whole = replace(whole, states=whole.states.double(), next_states=whole.next_states.double(),
                    rewards=whole.rewards.double())
    changes = []
    for kind in (PPO, REINFORCE):
        policy, value, _ = played()
        for weight in value.parameters():
            weight.data.zero_()
        log_probs = policy.evaluate_actions(whole.states, whole.actions, whole.mask)[0].detach()
        before = weights(policy)
        if kind is PPO:
            agent = PPO(policy, value, None, replace(ONE_STEP, lam=1.0, minibatch_size=1000))
        else:
            agent = REINFORCE(policy, None, None, REINFORCEConfig(1, 1.0, gamma=0.98, max_grad_norm=1e9))
        with_sgd(agent).learn(replace(whole, log_probs=log_probs))
        changes.append(before - weights(policy))
    per_step = changes[1] * len(whole.mask) / whole.mask.sum()
    torch.testing.assert_close(changes[0], per_step, rtol=0, atol=1e-12 * per_step.abs().max().item())


@pytest.mark.parametrize("world", ["CartPole-v1", "Pendulum-v1"])
def test_the_ratio_is_1_before_the_first_update(world):
    """What acted and what scores agree, also where an action was clipped for the world."""
    envs = gym.make_vec(world, num_envs=4)
    policy, _ = actor_and_critic(envs, orthogonal=False)
    if world == "Pendulum-v1":
        policy.log_std.data.fill_(1.5)  # σ = 4.5 where torques end at 2
    happened = collect(policy, envs, 20, seed=0)
    scored, _ = policy.evaluate_actions(happened.states, happened.actions, happened.mask)
    torch.testing.assert_close(scored, happened.log_probs, rtol=0, atol=1e-5)


def seen_by_the_update(monkeypatch, config, happened, policy, value):
    seen = {}
    monkeypatch.setattr(ppo, "policy_update", lambda policy, batch, optimizer, **options: seen.update(
        batch=batch, **options) or {})
    PPO(policy, value, None, config).learn(happened)
    return seen


def test_what_the_update_is_given(monkeypatch):
    policy, value, happened = played(num_steps=40)
    assert not happened.mask.all()  # an episode ended: there is a step that only resets
    odd = replace(ONE_STEP, epochs=3, value_coef=0.3, entropy_coef=0.02, max_grad_norm=0.7)
    plain = seen_by_the_update(monkeypatch, odd, happened, policy, value)
    white = seen_by_the_update(monkeypatch, replace(ONE_STEP, normalize=True), happened, policy, value)
    steps = int(happened.mask.sum())
    for seen in (plain, white):
        assert seen["batch"].mask.shape == (steps, 1) and seen["batch"].mask.all()
    values = value(happened.states)[happened.mask][:, None]
    torch.testing.assert_close(plain["batch"].returns, plain["batch"].advantages + values)
    torch.testing.assert_close(white["batch"].returns, plain["batch"].returns)  # V learns the world's own numbers
    raw, normal = plain["batch"].advantages, white["batch"].advantages
    assert normal.mean().item() == pytest.approx(0, abs=1e-9)
    assert normal.std(correction=0).item() == pytest.approx(1, abs=1e-6)
    torch.testing.assert_close(normal, (raw - raw.mean()) / raw.std(correction=0), rtol=1e-6, atol=1e-6)
    assert (plain["epochs"], plain["minibatch_size"], plain["clip"]) == (3, 256, 0.2)
    assert (plain["value_coef"], plain["entropy_coef"], plain["max_grad_norm"]) == (0.3, 0.02, 0.7)


def test_every_step_is_used_once_in_every_epoch():
    policy, value, happened = played(num_steps=30)
    agent, used, rounds = PPO(policy, value, None, PPOConfig(epochs=3, minibatch_size=32)), [], []
    agent.optimizer.register_step_post_hook(lambda *_: rounds.append(1))
    evaluate = policy.evaluate_actions
    policy.evaluate_actions = lambda states, *rest, **options: (
        used.append(states.detach().flatten(0, 1)) or evaluate(states, *rest, **options))
    agent.learn(happened)
    every = happened.states[happened.mask]
    batches = math.ceil(len(every) / 32)
    assert len(rounds) == len(used) == 3 * batches
    epochs = [torch.cat(used[i * batches:(i + 1) * batches]) for i in range(3)]
    for epoch in epochs:
        assert sorted(map(tuple, epoch.tolist())) == sorted(map(tuple, every.tolist()))
    assert not torch.equal(epochs[0], epochs[1])  # shuffled anew


# ---------------------------------------------------------------- known answers

CLIMB = PPOConfig(steps=40, lr=3e-2, gamma=0.9, lam=0.9, epochs=4, minibatch_size=48)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("probe", PROBES)
def test_climbs_the_probes(probe, seed):
    rung, gamma = PROBES[probe], 0.5 if probe == "Probe6-v0" else 0.9
    envs = gym.make_vec(probe, num_envs=8)
    policy, value = actor_and_critic(envs, hidden=(16,), seed=seed)
    train(policy, value, Worlds(envs, 12), replace(CLIMB, gamma=gamma), seed)
    for seen in rung.starts:
        state = torch.tensor([seen])
        assert value(state).item() == pytest.approx(rung.value(gamma, seen), abs=0.05)
        if rung.num_actions == 2:
            best = int(seen > 0) if probe == "Probe5-v0" else 1
            assert policy(state).probs[best] > 0.95


class Aim(gym.Env):
    """Say the number that you see: −(a − s)² in each coordinate, one step."""

    observation_space = gym.spaces.Box(-1.0, 1.0, (2,), np.float32)
    action_space = gym.spaces.Box(-1.5, 1.5, (2,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.seen = self.np_random.uniform(-1, 1, 2).astype(np.float32)
        return self.seen, {}

    def step(self, action):
        return self.seen, -float(((action - self.seen) ** 2).sum()), True, False, {}


@pytest.mark.parametrize("seed", [0, 1])
def test_learns_actions_that_are_vectors_of_real_numbers(seed):
    envs = gym.vector.SyncVectorEnv([Aim] * 16)
    policy, value = actor_and_critic(envs, hidden=(16,), seed=seed)
    history = train(policy, value, Worlds(envs, 16), replace(CLIMB, lr=1e-2), seed).history
    states = torch.tensor([[-0.7, 0.7], [0.0, -0.5], [0.6, 0.1]])
    with torch.no_grad():
        means, std = policy(states).mean, policy.log_std.exp()
    assert (means - states).abs().max() < 0.15
    assert std.max() < 0.3 and history[0]["reward"] < -1 < -0.2 < history[-1]["reward"]


@pytest.mark.parametrize("seed", [0, 1])
def test_cartpole_within_50_thousand_steps(seed):
    envs = gym.make_vec("CartPole-v1", num_envs=32)
    policy, value = actor_and_critic(envs, seed=seed)
    agent, last = PPO(policy, value, Worlds(envs, 32), PPOConfig(), seed), deque(maxlen=20)
    for metrics in agent.steps():
        last.extend(agent.world.finished)
        if sum(last) >= 475 * 20:
            break
        assert metrics["step"] < 49, f"the last 20 returns are {sum(last) / 20:.0f} on average"
    greedy = collect(Greedy(policy), gym.make_vec("CartPole-v1", num_envs=10), seed=seed).rewards.sum(-1)
    assert greedy.mean() > 450


# ---------------------------------------------------------------- one seed, one result; stop and go on

SMALL = PPOConfig(steps=6, epochs=2, minibatch_size=20)
WORLDS = {
    "CartPole": lambda: gym.make_vec("CartPole-v1", num_envs=4),
    "CartPole, one by one": lambda: gym.make_vec("CartPole-v1", num_envs=4, vectorization_mode="sync"),
    "Pendulum": lambda: TransformReward(gym.make_vec("Pendulum-v1", num_envs=4), lambda rewards: 0.1 * rewards),
    "a probe": lambda: gym.make_vec("Probe6-v0", num_envs=4),
}


def run(make_envs, path=None, seed=0, start=0, config=SMALL, **options):
    envs = make_envs()
    policy, value = actor_and_critic(envs, hidden=(8,), seed=start)
    try:
        return train(policy, value, Worlds(envs, 16), config, seed, checkpoint=path, **options), weights(policy, value)
    except KeyboardInterrupt:
        pytest.fail("Ctrl-C came through")


def ctrl_c(step):
    def observe(metrics):
        if metrics["step"] == step:
            signal.raise_signal(signal.SIGINT)

    return observe


def same(rows, others):
    """Equal to the bit; NaN, where all returns were equal, equals NaN."""
    return [{k: repr(v) for k, v in row.items()} for row in rows] == [
        {k: repr(v) for k, v in row.items()} for row in others]


def test_the_same_seed_gives_the_same_run():
    (first, a), (again, b), (other, c) = (run(WORLDS["CartPole"], seed=seed) for seed in (3, 3, 4))
    assert same(first.history, again.history) and torch.equal(a, b)
    assert not same(first.history, other.history) and not torch.equal(a, c)
    assert [row["step"] for row in first.history] == list(range(1, 7)) and not first.interrupted


@pytest.mark.parametrize("world", WORLDS)
def test_stopped_by_hand_and_going_on_in_the_middle_of_episodes(world, tmp_path):
    """To the bit the run that was not stopped, in new worlds and with networks that were something else before."""
    whole, expected = run(WORLDS[world])
    half, _ = run(WORLDS[world], tmp_path / "ppo", observe=ctrl_c(2))
    assert half.interrupted and same(half.history, whole.history[:2])
    torch.manual_seed(99)
    more, _ = run(WORLDS[world], tmp_path / "ppo", start=7, resume=True, observe=ctrl_c(5))
    rest, weights_now = run(WORLDS[world], tmp_path / "ppo", start=8, resume=True)
    assert more.interrupted and len(more.history) == 5 and not rest.interrupted
    assert same(rest.history, whole.history) and torch.equal(weights_now, expected)
    finished, still = run(WORLDS[world], tmp_path / "ppo", start=9, resume=True)  # nothing is done twice
    assert same(finished.history, whole.history) and torch.equal(still, expected)


def test_a_checkpoint_of_another_run_is_refused(tmp_path):
    run(WORLDS["CartPole"], tmp_path / "ppo")
    with pytest.raises(CheckpointError, match=r"clip is 0\.2 there and 0\.3 here"):
        run(WORLDS["CartPole"], tmp_path / "ppo", config=replace(SMALL, clip=0.3), resume=True)
    envs = WORLDS["a probe"]()
    agent = PPO(*actor_and_critic(envs, hidden=(8,)), Worlds(envs, 16), SMALL)
    with pytest.raises(CheckpointError):
        Checkpoint(tmp_path / "ppo", agent).load()


@pytest.mark.parametrize(("name", "value", "message"), [
    ("steps", 0, "steps must be a positive number, but is 0"),
    ("lr", 0.0, "lr must be a positive number, but is 0.0"),
    ("final_lr", 1.5, r"final_lr must lie in \[0, 1\], but is 1.5"),
    ("gamma", -0.1, r"gamma must lie in \[0, 1\], but is -0.1"),
    ("lam", 1.1, r"lam must lie in \[0, 1\], but is 1.1"),
    ("clip", 1.2, r"clip must lie in \[0, 1\], but is 1.2"),
    ("final_clip", 2.0, r"final_clip must lie in \[0, 1\], but is 2.0"),
    ("epochs", 0, "epochs must be a positive number, but is 0"),
    ("minibatch_size", 0, "minibatch_size must be a positive number, but is 0"),
    ("value_coef", -1.0, "value_coef must be at least 0, but is -1.0"),
    ("entropy_coef", -0.1, "entropy_coef must be at least 0, but is -0.1"),
    ("max_grad_norm", 0.0, "max_grad_norm must be a positive number, but is 0.0"),
])  # fmt: skip
def test_settings_out_of_range_are_named(name, value, message):
    with pytest.raises(ValueError, match=message):
        replace(SMALL, **{name: value})
