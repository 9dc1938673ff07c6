"""Actor–critic: one update by hand, its identities with REINFORCE, the probes, and going on where it was stopped."""

import signal
from dataclasses import replace

import gymnasium as gym
import pytest
import torch

import rlcore.envs  # noqa: F401  registers the probes
from rlcore.agents.actor_critic import ActorCritic, ActorCriticConfig, train
from rlcore.agents.reinforce import REINFORCE, REINFORCEConfig
from rlcore.checkpoint import CheckpointError
from rlcore.envs.probes import PROBES
from rlcore.networks import actor_and_critic
from rlcore.policies import TabularPolicy
from rlcore.probing import probe
from rlcore.returns import gae
from rlcore.trajectory import Trajectory
from rlcore.values import TabularValue
from rlcore.worlds import Worlds

torch.set_num_threads(1)
F64 = torch.float64
VALUES = [1.0, 2.0, 3.0]
GAMMA, LAM = 0.5, 0.5


def config(**options):
    return ActorCriticConfig(**({"gamma": GAMMA, "lam": LAM, "max_grad_norm": 1e9} | options))


def table(values=VALUES):
    """A fair coin in three states, and a critic that says 1, 2, 3."""
    policy, value = TabularPolicy(3, 2).double(), TabularValue(3).double()
    value.values.data = torch.tensor(values, dtype=F64)
    return policy, value


def with_sgd(agent):
    """One step of SGD at rate 1 subtracts exactly the gradient."""
    weights = [w for part in (agent.policy, agent.value) for w in part.parameters()]
    agent.optimizer = torch.optim.SGD(weights, lr=1.0)
    return agent


def hand_made():
    """One world terminates at its second step and is then reset (no step); the other is cut off there, and goes on."""
    return Trajectory(
        states=torch.tensor([[0, 1, 2], [2, 0, 1]]), actions=torch.tensor([[1, 0, 0], [0, 1, 1]]),
        rewards=torch.tensor([[4.0, 8.0, 0.0], [1.0, 0.0, 2.0]], dtype=F64),
        log_probs=torch.full((2, 3), 0.5, dtype=F64).log(),
        terminated=torch.tensor([[False, True, False], [False, False, False]]),
        truncated=torch.tensor([[False, False, False], [False, True, False]]),
        mask=torch.tensor([[True, True, False], [True, True, True]]),
        next_states=torch.tensor([[1, 2, 0], [0, 2, 2]]),
    )  # fmt: skip


# δ = r + .5 V(s') − V(s), without V(s') after a termination, and Â = δ + .25 Â of the next step of the same episode.
# first world: δ = (4 + .5·2 − 1, 8 − 2) = (4, 6);                                  Â = (4 + .25·6, 6) = (5.5, 6)
# second world: δ = (1 + .5·1 − 3, 0 + .5·3 − 1, 2 + .5·3 − 2) = (−1.5, .5, 1.5);   Â = (−1.5 + .25·.5, .5, 1.5)
ADVANTAGES = [[5.5, 6.0], [-1.375, 0.5, 1.5]]


def test_one_update_by_hand():
    agent = with_sgd(ActorCritic(*table(), None, config(value_coef=0.5)))
    agent.learn(hand_made())
    # the loss is a mean over 5 steps. ∇log π(a|s) of a fair coin is ±½, + for what was done; V moves by ½ Â / 5.
    moved = torch.zeros(3, 2, dtype=F64)
    for s, a, advantage in ((0, 1, 5.5), (1, 0, 6.0), (2, 0, -1.375), (0, 1, 0.5), (1, 1, 1.5)):
        moved[s, a] += advantage / 2 / 5
        moved[s, 1 - a] -= advantage / 2 / 5
    torch.testing.assert_close(agent.policy.logits.detach(), moved, rtol=0, atol=1e-12)
    expected = [1 + (5.5 + 0.5) / 10, 2 + (6.0 + 1.5) / 10, 3 - 1.375 / 10]
    torch.testing.assert_close(agent.value.values.detach(), torch.tensor(expected, dtype=F64), rtol=0, atol=1e-12)


def test_metrics_by_hand():
    metrics = ActorCritic(*table(), None, config()).learn(hand_made())
    flat = torch.tensor(ADVANTAGES[0] + ADVANTAGES[1], dtype=F64)
    half = torch.tensor(0.5, dtype=F64).log()
    value_loss = 0.5 * flat.square().mean()
    assert metrics["value_loss"] == pytest.approx(value_loss.item())
    assert metrics["loss"] == pytest.approx((-(flat * half).mean() + 0.5 * value_loss).item())
    targets = flat + torch.tensor([1.0, 2, 3, 1, 2], dtype=F64)
    unforeseen = (flat - flat.mean()).square().sum() / (targets - targets.mean()).square().sum()
    assert metrics["explained_variance"] == pytest.approx(1 - unforeseen.item())


def test_junk_in_masked_steps_changes_nothing():
    results = []
    for junk in (0.0, 1e4, -1e4):
        agent = with_sgd(ActorCritic(*table(), None, config()))
        happened = hand_made()
        rewards, log_probs = happened.rewards.clone(), happened.log_probs.clone()
        rewards[0, 2], log_probs[0, 2] = junk, -junk
        metrics = agent.learn(replace(happened, rewards=rewards, log_probs=log_probs))
        results.append((agent.policy.logits.detach(), agent.value.values.detach(), metrics))
    for logits, values, metrics in results[1:]:
        assert torch.equal(logits, results[0][0]) and torch.equal(values, results[0][1]) and metrics == results[0][2]


def whole_episodes(seed=0):
    """Thirty episodes of a walk that ends, and tables that are far from anything."""
    policy, value = TabularPolicy(7, 2).double(), TabularValue(7).double()
    generator = torch.Generator().manual_seed(seed)
    policy.logits.data = 0.3 * torch.randn(7, 2, generator=generator, dtype=F64)
    value.values.data = torch.randn(7, generator=generator, dtype=F64)
    walks = Worlds(gym.make_vec("RandomWalk-v0", num_envs=30)).sample(policy, generator)
    return policy, value, replace(walks, rewards=walks.rewards.double())


def test_at_lambda_1_it_is_reinforce_with_a_learned_baseline():
    """The same gradient, but for the reduction: a mean over steps, where REINFORCE takes a mean over episodes."""
    gradients = []
    for make in (
        lambda p, v: ActorCritic(p, v, None, config(gamma=0.9, lam=1.0)),
        lambda p, v: REINFORCE(p, v, None, REINFORCEConfig(gamma=0.9, baseline="value", max_grad_norm=1e9)),
    ):
        policy, value, walks = whole_episodes()
        before = [w.detach().clone() for w in (policy.logits, value.values)]
        with_sgd(make(policy, value)).learn(walks)
        gradients.append([b - a.detach() for a, b in zip((policy.logits, value.values), before, strict=True)])
    steps_per_episode = walks.mask.sum() / len(walks.mask)
    for ours, theirs in zip(*gradients, strict=True):
        assert theirs.abs().max() > 0.01
        torch.testing.assert_close(ours * steps_per_episode, theirs, rtol=0, atol=1e-9)


def test_the_end_of_the_data_is_no_end():
    """At λ = 0 a stream may be cut anywhere: the parts add up to the whole."""
    _, _, walks = whole_episodes()
    cut = walks.mask.shape[1] // 2
    moved = []
    for part in (slice(None), slice(cut), slice(cut, None)):
        policy, value, _ = whole_episodes()
        before = policy.logits.detach().clone()
        names = ("states", "actions", "rewards", "log_probs", "terminated", "truncated", "mask", "next_states")
        some = Trajectory(**{name: getattr(walks, name)[:, part] for name in names})
        with_sgd(ActorCritic(policy, value, None, config(lam=0.0))).learn(some)
        moved.append((policy.logits.detach() - before) * some.mask.sum())  # undo the mean
    torch.testing.assert_close(moved[1] + moved[2], moved[0], rtol=0, atol=1e-9)
    assert moved[0].abs().max() > 0.1


def test_what_went_better_than_expected_becomes_likelier():
    policy, value, walks = whole_episodes()
    now, ahead = value(walks.states), value(walks.next_states)
    advantages = gae(walks.rewards, now, ahead, walks.terminated, walks.done, GAMMA, LAM).detach()[walks.mask]
    before = policy.evaluate_actions(walks.states, walks.actions, walks.mask)[0].detach()
    with_sgd(ActorCritic(policy, value, None, config())).learn(walks)
    change = (policy.evaluate_actions(walks.states, walks.actions, walks.mask)[0].detach() - before)[walks.mask]
    assert (advantages * change).mean() > 0.001


# ---------------------------------------------------------------- the probes

PROBING = ActorCriticConfig(steps=70, lr=3e-2, gamma=0.8, lam=0.95, max_grad_norm=10.0)


def learner(policy, value, world, seed):
    train(policy, value, world, PROBING, seed)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("rung", PROBES)
def test_climbs_the_probes(rung, seed):
    report = probe(learner, rung, gamma=0.8, seed=seed)
    assert report.passed, f"{report}. Suspect: {report.suspect}"


# ---------------------------------------------------------------- stopping and going on

WORLDS = {
    "CartPole": lambda: gym.make_vec("CartPole-v1", num_envs=4, vectorization_mode="vector_entry_point"),
    "a probe": lambda: gym.make_vec("Probe6-v0", num_envs=4, vectorization_mode="sync"),  # 10 steps, batches of 16
    "real-valued actions": lambda: gym.make_vec("Pendulum-v1", num_envs=2, vectorization_mode="sync"),
}
SMALL = ActorCriticConfig(steps=6, lr=1e-2, entropy_coef=0.01)


def ctrl_c(step):
    def observe(metrics):
        if metrics["step"] == step:
            signal.raise_signal(signal.SIGINT)

    return observe


def run(world, path=None, start=0, settings=SMALL, **options):
    envs = WORLDS[world]()
    policy, value = actor_and_critic(envs, hidden=(8,), seed=start)
    try:
        result = train(policy, value, Worlds(envs, 16), settings, 0, checkpoint=path, **options)
    except KeyboardInterrupt:
        pytest.fail("Ctrl-C came through")
    return result, [w.detach().clone() for part in (policy, value) for w in part.parameters()]


def same(rows, others):
    """Equal to the bit; NaN (the explained variance of equal returns) is equal to itself."""
    return [{k: repr(v) for k, v in row.items()} for row in rows] == [
        {k: repr(v) for k, v in row.items()} for row in others
    ]


@pytest.mark.parametrize("world", WORLDS)
def test_stopped_and_resumed_in_mid_episode_equals_uninterrupted_to_the_bit(world, tmp_path):
    whole, weights = run(world, tmp_path / "whole")
    half, unfinished = run(world, tmp_path / "parts", observe=ctrl_c(2))
    assert half.interrupted and same(half.history, whole.history[:2])
    assert not all(map(torch.equal, unfinished, weights))
    torch.manual_seed(99)  # nothing global matters, nor what the networks were before
    more, _ = run(world, tmp_path / "parts", start=7, resume=True, observe=ctrl_c(5))
    rest, now = run(world, tmp_path / "parts", start=8, resume=True)
    assert more.interrupted and len(more.history) == 5 and not rest.interrupted
    assert same(rest.history, whole.history) and all(map(torch.equal, now, weights))


def test_the_same_seed_learns_the_same_and_another_does_not():
    (first, weights), (_, again) = run("CartPole"), run("CartPole")
    assert all(map(torch.equal, weights, again)) and [row["step"] for row in first.history] == [1, 2, 3, 4, 5, 6]
    _, other = run("CartPole", start=1)
    assert not torch.equal(weights[0], other[0])


def test_a_checkpoint_of_another_run_is_refused(tmp_path):
    run("CartPole", tmp_path / "run")
    with pytest.raises(CheckpointError, match=r"lam is 0\.95 there and 0\.5 here"):
        run("CartPole", tmp_path / "run", settings=replace(SMALL, lam=0.5), resume=True)


@pytest.mark.parametrize(("options", "message"), [
    ({"steps": 0}, "steps must be a positive number, but is 0"),
    ({"lr": -1.0}, "lr must be a positive number, but is -1.0"),
    ({"max_grad_norm": 0}, "max_grad_norm must be a positive number, but is 0"),
    ({"gamma": 1.1}, r"gamma must lie in \[0, 1\], but is 1.1"),
    ({"lam": -0.1}, r"lam must lie in \[0, 1\], but is -0.1"),
    ({"final_lr": 2.0}, r"final_lr must lie in \[0, 1\], but is 2.0"),
    ({"value_coef": -0.5}, "value_coef must be at least 0, but is -0.5"),
    ({"entropy_coef": -0.5}, "entropy_coef must be at least 0, but is -0.5"),
])  # fmt: skip
def test_settings_out_of_range_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        ActorCriticConfig(**options)
