"""The one optimisation loop: the same gradient however it is cut up, and nothing from masked places."""

import math
from dataclasses import replace

import gymnasium as gym
import pytest
import torch
from tiny_lm import tiny_policy, weights

import rlcore.envs  # noqa: F401  registers the probes
from rlcore import policies
from rlcore.losses import (
    kl_estimate,
    length_mean,
    masked_mean,
    policy_gradient_loss,
    ppo_clip_loss,
    sequence_mean,
    token_mean,
)
from rlcore.policies import MLPPolicy, TabularPolicy
from rlcore.returns import whiten
from rlcore.rollout import collect
from rlcore.trajectory import Batch
from rlcore.update import policy_update, scale_lr
from rlcore.values import TabularValue

torch.set_num_threads(1)
F64 = torch.float64
REDUCTIONS = {"token": token_mean, "sequence": sequence_mean, "constant": length_mean(5)}
ROWS, STEPS = 6, 5
NO_CLIP = 1e9  # for max_grad_norm


@pytest.fixture(autouse=True)
def share_where_it_may(monkeypatch):
    monkeypatch.setattr(policies, "saves_work", lambda *_: True)  # also where the plain forward would be cheaper


def table(seed=0):
    policy = TabularPolicy(4, 3).double()
    with torch.no_grad():
        policy.logits.copy_(torch.randn(4, 3, generator=torch.Generator().manual_seed(seed), dtype=F64))
    return policy


POLICIES = {
    "table": table,
    "GPT-2": lambda: tiny_policy("a", share_prefixes=True),  # three tokens: pad, eos, a
    "GPT-2, plain": lambda: tiny_policy("a", share_prefixes=False),
}


def batch_for(policy, seed=0, off=0.3, dead=()):
    """Six rows of different lengths; the policy that acted and the reference differ a little from this one."""
    g = torch.Generator().manual_seed(seed)
    states = torch.randint(0, 3, (ROWS, STEPS), generator=g)
    states[:3] = states[0]  # rows that begin alike, for the policy that shares prefixes
    states[1, 3] = (states[0, 3] + 1) % 3
    actions = torch.cat([states[:, 1:], torch.randint(0, 3, (ROWS, 1), generator=g)], -1)  # as in a text
    mask = torch.arange(STEPS) < torch.tensor([5, 4, 5, 1, 3, 2])[:, None]
    mask[0, 0] = mask[1, 0] = False  # a prompt
    with torch.no_grad():
        log_probs, _ = policy.evaluate_actions(states, actions, mask)
    noise = [off * torch.randn(ROWS, STEPS, generator=g, dtype=F64) for _ in range(2)]
    advantages = torch.randn(ROWS, 1, generator=g, dtype=F64).expand(ROWS, STEPS).clone()
    advantages[list(dead)] = 0.0
    old, ref = ((log_probs + x).masked_fill(~mask, 0) for x in noise)
    return Batch(states, actions, old, advantages, mask, ref)


def step(policy, batch, **options):
    """The gradient of one update: with SGD at rate 1, what is subtracted from the weights."""
    before = weights(policy)
    optimizer = torch.optim.SGD(policy.parameters(), lr=1.0)
    metrics = policy_update(policy, batch, optimizer, **({"clip": 0.2, "max_grad_norm": NO_CLIP} | options))
    return before - weights(policy), metrics


def plainly(policy, batch, reduce, clip=0.2, kl_coef=0.0, kl_kind="k3", entropy_coef=0.0):
    """The same gradient from one forward pass and the formula."""
    distribution = policy(batch.states)
    log_probs = distribution.log_prob(batch.actions)
    loss = ppo_clip_loss(log_probs, batch.log_probs, batch.advantages, clip)
    loss = loss + kl_coef * kl_estimate(log_probs, batch.ref_log_probs, kl_kind) - entropy_coef * distribution.entropy()
    grads = torch.autograd.grad(reduce(loss, batch.mask, batch.mask), list(policy.parameters()))
    return torch.cat([grad.flatten() for grad in grads])


OPTIONS = {
    "plain": {},
    "k1": {"kl_coef": 0.5, "kl_kind": "k1"},
    "k2": {"kl_coef": 0.5, "kl_kind": "k2"},
    "k3": {"kl_coef": 0.5, "kl_kind": "k3"},
    "entropy": {"entropy_coef": 0.3},
    "all": {"kl_coef": 0.5, "entropy_coef": 0.3, "clip": (0.1, 0.3)},
}


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("name", POLICIES)
@pytest.mark.parametrize("options", OPTIONS)
def test_micro_batches_and_skipping_give_the_gradient_of_the_formula(name, options, reduction):
    policy, reduce = POLICIES[name](), REDUCTIONS[reduction]
    batch = batch_for(policy, dead=(1, 4))
    expected = plainly(policy, batch, reduce, **OPTIONS[options])
    assert expected.abs().max() > 0.01
    losses = []
    for micro, skip in ((None, False), (None, True), (1, False), (4, True)):
        twin = POLICIES[name]()
        got, metrics = step(
            twin, batch, reduce=reduce, micro_batch_size=micro, skip_zero_advantages=skip, **OPTIONS[options]
        )
        torch.testing.assert_close(got, expected, rtol=0, atol=1e-13)
        assert metrics["grad_norm"] == pytest.approx(expected.norm().item(), abs=1e-12)
        losses.append(metrics["loss"])
    assert losses == pytest.approx([losses[0]] * len(losses), abs=1e-13)


@pytest.mark.parametrize("name", POLICIES)
def test_at_ratio_1_the_update_is_reinforce(name):
    policy = POLICIES[name]()
    batch = batch_for(policy, off=0.0)
    log_probs = policy(batch.states).log_prob(batch.actions)
    loss = masked_mean(policy_gradient_loss(log_probs, batch.advantages), batch.mask)
    expected = torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(policy.parameters()))])
    got, metrics = step(policy, batch)
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-13)
    assert metrics["clip_ratio"] == 0 and metrics["kl"] == pytest.approx(0, abs=1e-15)


@pytest.mark.parametrize("junk", [1e4, -1e4, math.inf, math.nan])
@pytest.mark.parametrize("name", POLICIES)
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_junk_in_masked_places_changes_nothing_to_the_bit(name, reduction, junk):
    results = []
    for filling in (0.0, junk):
        policy = POLICIES[name]()
        clean = batch_for(policy)
        fields = (x.masked_fill(~clean.mask, filling) for x in (clean.log_probs, clean.advantages, clean.ref_log_probs))
        log_probs, advantages, refs = fields
        dirty = Batch(clean.states, clean.actions, log_probs, advantages, clean.mask, refs)
        got, metrics = step(policy, dirty, reduce=REDUCTIONS[reduction], kl_coef=0.5, entropy_coef=0.1)
        results.append((got, metrics))
    assert torch.equal(results[0][0], results[1][0]) and results[0][0].isfinite().all()
    assert results[0][1] == results[1][1]


def test_junk_states_in_masked_places_change_nothing():
    results = []
    for filling in (0.0, 1e4, -1e4):
        torch.manual_seed(0)
        policy = MLPPolicy(2, 3, (8,)).double()
        mask = torch.tensor([[1, 1, 1], [1, 0, 1], [1, 1, 0]]).bool()
        states = torch.randn(3, 3, 2, dtype=F64).masked_fill(~mask[..., None], filling)
        actions, advantages = torch.tensor([[0, 1, 2]] * 3), torch.randn(3, 3, dtype=F64)
        batch = Batch(states, actions, torch.full((3, 3), -1.0, dtype=F64), advantages, mask)
        results.append(step(policy, batch, entropy_coef=0.1)[0])
    assert torch.equal(results[0], results[1]) and torch.equal(results[0], results[2])


def test_metrics_by_hand():
    # one state, two actions, π = ½: log π = log ½ everywhere.  Ratios 1.5, .5, 1.5, .5, 1, with ε = .2
    policy = TabularPolicy(1, 2).double()
    nothing = torch.zeros(1, 6).long()
    old = torch.tensor([[0.5 / 1.5, 1.0, 0.5 / 1.5, 1.0, 0.5, 0.5 / 1.5]], dtype=F64).log()
    advantages = torch.tensor([[1.0, 1.0, -1.0, -1.0, 1.0, 9.0]], dtype=F64)
    mask = torch.tensor([[1, 1, 1, 1, 1, 0]]).bool()
    refs = torch.full((1, 6), 0.25, dtype=F64).log()
    _, metrics = step(policy, Batch(nothing, nothing, old, advantages, mask, refs))
    # cut: the first (up, good) and the fourth (down, bad).  L = −1.2 − .5 + 1.5 + .8 − 1 = −.4
    assert metrics["clip_ratio"] == pytest.approx(2 / 5)
    assert metrics["loss"] == pytest.approx(-0.4 / 5)
    assert metrics["kl"] == pytest.approx(0.5 - math.log(0.5) - 1)  # k3 with d = log ¼ − log ½
    # the gradient on θ₀ is Σ −ρÂ·(1 − ½)/5 over what is not cut: (−.5 + 1.5 − 1)·½/5 = 0 …
    assert metrics["grad_norm"] == pytest.approx(0, abs=1e-15)
    assert set(metrics) == {"loss", "clip_ratio", "kl", "grad_norm"}
    batch = Batch(nothing, nothing, old, advantages.abs(), mask)
    _, metrics = step(TabularPolicy(1, 2).double(), batch)
    # … and with only good actions, (−.5 − .5 − 1)·½/5 = −.2 (the first and third are cut), against +.2 on θ₁
    assert metrics["grad_norm"] == pytest.approx(math.hypot(0.2, 0.2))
    assert metrics["clip_ratio"] == pytest.approx(2 / 5) and "kl" not in metrics


def test_grad_norm_is_measured_before_it_is_limited():
    policy = table()
    batch = batch_for(policy)
    free, metrics = step(table(), batch)
    limited, same = step(policy, batch, max_grad_norm=0.01)
    assert same["grad_norm"] == pytest.approx(metrics["grad_norm"]) == pytest.approx(free.norm().item())
    torch.testing.assert_close(limited, free * (0.01 / (free.norm() + 1e-6)), rtol=1e-9, atol=0)


@pytest.mark.parametrize("skip", [False, True])
def test_the_kl_metric_counts_every_step_that_was_computed(skip):
    policy = table()
    batch = batch_for(policy, dead=(0, 2))
    log_probs = policy.evaluate_actions(batch.states, batch.actions, batch.mask)[0].detach()
    kl = kl_estimate(log_probs, batch.ref_log_probs)
    seen = batch.mask.clone()
    if skip:
        seen[[0, 2]] = False  # not computed: no evidence, rather than a KL of 0
    _, metrics = step(policy, batch, skip_zero_advantages=skip, micro_batch_size=2)
    assert metrics["kl"] == pytest.approx(masked_mean(kl, seen).item())


def test_a_kl_price_and_a_bonus_pull_the_right_way():
    policy, batch = table(), batch_for(table(), dead=range(ROWS), off=1.0)
    one_state = torch.arange(4)[None]

    def kl_and_entropy():
        with torch.no_grad():
            log_pi = policy(one_state).logits
        return -(log_pi.exp() * log_pi).sum(-1).mean()

    before = kl_and_entropy()
    for _ in range(20):
        step(policy, batch, entropy_coef=1.0)
    assert kl_and_entropy() > before
    # the expected gradient of k2 is that of KL(π ‖ ref); here every action of every state is there once, weighted by π
    ref = table(seed=1)
    everything = torch.arange(4).repeat_interleave(3)[:, None], torch.arange(3).repeat(4)[:, None]

    def exact_kl():
        with torch.no_grad():
            p, q = policy(one_state).logits, ref(one_state).logits
        return (p.exp() * (p - q)).sum(-1).mean()

    before = exact_kl()
    for _ in range(100):
        mask = torch.ones(12, 1).bool()
        with torch.no_grad():
            own, theirs = (p.evaluate_actions(*everything, mask)[0] for p in (policy, ref))
        pi, nothing = own.exp(), torch.zeros(12, 1, dtype=F64)
        batch = Batch(*everything, own, nothing, mask, theirs)
        step(policy, batch, kl_coef=1.0, kl_kind="k2", reduce=lambda x, mask, whole, pi=pi: (x * pi).sum())
    assert exact_kl() < 0.01 * before


class Counting(TabularPolicy):
    """Writes down which rows (their number is their state) each forward pass has seen."""

    def __init__(self, rows):
        super().__init__(rows, 2)
        self.seen = []

    def evaluate_actions(self, states, actions, mask, entropy=False):
        self.seen.append(states[:, 0].tolist())
        return super().evaluate_actions(states, actions, mask, entropy)


def counting_batch(rows=7):
    number = torch.arange(rows)[:, None].expand(rows, 2)
    return Batch(number, number % 2, torch.full((rows, 2), -0.7), torch.ones(rows, 2), torch.ones(rows, 2).bool())


def test_every_epoch_visits_every_row_once_in_minibatches():
    policy, batch = Counting(7), counting_batch()
    _, metrics = step(policy, batch, epochs=3, minibatch_size=3, generator=torch.Generator().manual_seed(0))
    assert [len(rows) for rows in policy.seen] == [3, 3, 1] * 3
    epochs = [[row for part in policy.seen[i : i + 3] for row in part] for i in (0, 3, 6)]
    assert all(sorted(epoch) == list(range(7)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3  # shuffled anew each time
    again = Counting(7)
    step(again, batch, epochs=3, minibatch_size=3, generator=torch.Generator().manual_seed(0))
    assert again.seen == policy.seen and torch.equal(again.logits, policy.logits)
    other = Counting(7)
    step(other, batch, epochs=3, minibatch_size=3, generator=torch.Generator().manual_seed(1))
    assert other.seen != policy.seen
    assert all(math.isfinite(value) for value in metrics.values())


def test_micro_batches_are_pieces_of_one_minibatch_and_one_step():
    policy = Counting(7)
    step(policy, counting_batch(), micro_batch_size=3)
    assert policy.seen == [[0, 1, 2], [3, 4, 5], [6]]
    policy = Counting(7)
    steps = []
    optimizer = torch.optim.SGD(policy.parameters(), lr=0.1)
    optimizer.register_step_post_hook(lambda *_: steps.append(len(policy.seen)))
    policy_update(policy, counting_batch(), optimizer, clip=0.2, epochs=2, minibatch_size=4, micro_batch_size=2)
    assert steps == [2, 4, 6, 8]  # minibatches of 4 and 3 rows, twice; two pieces each
    assert [len(rows) for rows in policy.seen] == [2, 2, 2, 1] * 2


def test_skipping_leaves_the_dead_rows_out_of_the_forward():
    policy, batch = Counting(4), counting_batch(4)
    batch.advantages[1] = batch.advantages[3] = 0
    step(policy, batch, skip_zero_advantages=True)
    step(policy, batch, skip_zero_advantages=True, kl_coef=0.0, entropy_coef=0.1)  # entropy has a gradient everywhere
    assert policy.seen == [[0, 2], [0, 1, 2, 3]]


def test_several_epochs_stop_at_the_clip():
    # one good action, ε = .2: the ratio climbs until its gradient is cut, and stays there
    policy = TabularPolicy(1, 2).double()
    zero = torch.zeros(1, 1).long()
    old = torch.full((1, 1), 0.5, dtype=F64).log()
    batch = Batch(zero, zero, old, torch.ones(1, 1, dtype=F64), torch.ones(1, 1).bool())
    policy_update(policy, batch, torch.optim.SGD(policy.parameters(), lr=0.02), clip=0.2, epochs=200)
    ratio = policy(zero).probs[0, 0, 0].item() / 0.5
    assert 1.2 < ratio < 1.21


def test_where_nothing_can_be_learned_no_step_is_taken():
    policy = table()
    optimizer = torch.optim.Adam(policy.parameters(), lr=0.1)
    live, dead = batch_for(policy), batch_for(policy, dead=range(ROWS))
    policy_update(policy, live, optimizer, clip=0.2)  # Adam has momentum now
    before = weights(policy)
    assert policy_update(policy, dead, optimizer, clip=0.2, skip_zero_advantages=True) == {}
    assert torch.equal(weights(policy), before)
    empty = Batch(dead.states, dead.actions, dead.log_probs, live.advantages, torch.zeros(ROWS, STEPS).bool())
    assert policy_update(policy, empty, optimizer, clip=0.2) == {}
    assert torch.equal(weights(policy), before)


def test_what_cannot_work_is_named():
    policy, batch = table(), batch_for(table())
    alone = Batch(batch.states, batch.actions, batch.log_probs, batch.advantages, batch.mask)
    with pytest.raises(ValueError, match=r"kl_coef is 0.1, but the batch has no ref_log_probs"):
        step(policy, alone, kl_coef=0.1)
    for name in ("epochs", "minibatch_size", "micro_batch_size"):
        with pytest.raises(ValueError, match=f"{name} must be a positive number, but is 0"):
            step(policy, batch, **{name: 0})
    with pytest.raises(ValueError, match="kl_coef must be at least 0, but is -1"):
        step(policy, batch, kl_coef=-1)
    with pytest.raises(ValueError, match=r"clip \(low\) must lie in \[0, 1\], but is -0.1"):
        step(policy, batch, clip=-0.1)


# ---------------------------------------------------------------- the same function learns a bandit, a probe and a text


@pytest.mark.parametrize("kind", ["table", "network"])
def test_it_learns_a_contextual_bandit(kind):
    # four contexts, three arms, one of them right: reward 1, else 0; the best policy earns 1 on every pull
    right = torch.tensor([2, 0, 1, 1])
    torch.manual_seed(0)
    policy = TabularPolicy(4, 3) if kind == "table" else MLPPolicy(4, 3, (16,))
    optimizer = torch.optim.Adam(policy.parameters(), lr=0.05)
    generator = torch.Generator().manual_seed(0)
    for _ in range(60):
        contexts = torch.randint(4, (64, 1), generator=generator)  # [64, 1]: a pull is an episode of one step
        states = contexts if kind == "table" else torch.eye(4)[contexts]
        actions, log_probs = policy.act(states, generator)
        rewards = (actions == right[contexts]).float()
        batch = Batch(states, actions, log_probs, rewards - rewards.mean(), torch.ones(64, 1).bool())
        policy_update(policy, batch, optimizer, clip=0.2, epochs=2, minibatch_size=32, generator=generator)
    states = torch.arange(4) if kind == "table" else torch.eye(4)
    assert (policy(states).probs[torch.arange(4), right] > 0.9).all()


def test_it_learns_the_probe_that_must_look():
    # Probe5: the reward is the observation (±1) times 2a − 1, so the best action is 1 where it shows 1 and 0 else
    torch.manual_seed(0)
    policy, worlds = MLPPolicy(1, 2, (8,)), gym.make_vec("Probe5-v0", num_envs=64)
    optimizer = torch.optim.Adam(policy.parameters(), lr=0.05)
    generator = torch.Generator().manual_seed(0)
    for i in range(40):
        seen = collect(policy, worlds, seed=i, generator=generator)
        batch = Batch(seen.states, seen.actions, seen.log_probs, seen.rewards, seen.mask)
        policy_update(policy, batch, optimizer, clip=0.2)
    probs = policy(torch.tensor([[-1.0], [1.0]])).probs
    assert probs[0, 0] > 0.9 and probs[1, 1] > 0.9


def test_it_learns_a_text():
    from rlcore.lm import completion_texts, generate

    policy = tiny_policy("abc", spread=0.1, dtype=torch.float32)
    optimizer = torch.optim.Adam(policy.parameters(), lr=3e-3)
    generator = torch.Generator().manual_seed(0)
    for _ in range(40):
        text = generate(policy, ["a"] * 32, max_new_tokens=3, generator=generator)
        rewards = torch.tensor([float(c == "b") for c in completion_texts(text, policy.tokenizer)])
        advantages = (rewards - rewards.mean())[:, None].expand_as(text.mask)
        batch = Batch(text.states, text.actions, text.log_probs, advantages, text.mask)
        policy_update(policy, batch, optimizer, clip=0.2)
    assert rewards.mean() > 0.8  # "b" and then EOS


# ---- a value function in the same step


def with_returns(batch, seed=5):
    g = torch.Generator().manual_seed(seed)
    return replace(batch, returns=torch.randn(batch.mask.shape, generator=g, dtype=F64))


def test_the_value_function_learns_in_the_same_step_with_its_weight():
    policy, value = table(), TabularValue(4).double()
    batch = with_returns(batch_for(policy))
    for micro, minibatch in ((None, None), (2, None), (1, ROWS)):
        twin, critic = table(), TabularValue(4).double()
        optimizer = torch.optim.SGD([*twin.parameters(), *critic.parameters()], lr=1.0)
        metrics = policy_update(twin, batch, optimizer, clip=0.2, value=critic, value_coef=0.3, max_grad_norm=NO_CLIP,
                                micro_batch_size=micro, minibatch_size=minibatch)
        # ∂/∂V(s) of mean ½ (V − G)² is Σ over the steps in s of (V − G) / steps, V = 0 at first
        pull = torch.zeros(4, dtype=F64).index_add(0, batch.states[batch.mask], batch.returns[batch.mask])
        torch.testing.assert_close(critic.values.detach(), 0.3 * pull / batch.mask.sum(), rtol=0, atol=1e-13)
        torch.testing.assert_close(table().logits - twin.logits, plainly(policy, batch, token_mean).view(4, 3),
                                   rtol=0, atol=1e-13)
        loss = 0.5 * batch.returns[batch.mask].square().mean().item()
        assert metrics["value_loss"] == pytest.approx(loss)
        norm = math.hypot(plainly(policy, batch, token_mean).norm(), (0.3 * pull / batch.mask.sum()).norm())
        assert metrics["grad_norm"] == pytest.approx(norm)  # of both together
    assert (value.values == 0).all()


def test_one_limit_for_both_gradients():
    twin, critic = table(), TabularValue(4).double()
    optimizer = torch.optim.SGD([*twin.parameters(), *critic.parameters()], lr=1.0)
    policy_update(twin, with_returns(batch_for(table())), optimizer, clip=0.2, value=critic, max_grad_norm=0.01)
    moved = torch.cat([(table().logits - twin.logits).flatten(), critic.values.detach()])
    assert moved.norm().item() == pytest.approx(0.01, rel=1e-3)


@pytest.mark.parametrize("junk", [1e4, -1e4, math.inf, math.nan])
def test_junk_returns_in_masked_places_change_nothing(junk):
    results = []
    for filling in (0.0, junk):
        twin, critic = table(), TabularValue(4).double()
        batch = with_returns(batch_for(twin))
        batch = replace(batch, returns=batch.returns.masked_fill(~batch.mask, filling))
        optimizer = torch.optim.SGD([*twin.parameters(), *critic.parameters()], lr=1.0)
        policy_update(twin, batch, optimizer, clip=0.2, value=critic)
        results.append((twin.logits.detach(), critic.values.detach()))
    assert torch.equal(results[0][0], results[1][0]) and torch.equal(results[0][1], results[1][1])
    assert results[0][1].isfinite().all()


def test_with_a_value_function_no_row_is_skipped():
    twin, critic = table(), TabularValue(4).double()
    batch = with_returns(batch_for(twin, dead=range(ROWS)))
    optimizer = torch.optim.SGD([*twin.parameters(), *critic.parameters()], lr=1.0)
    policy_update(twin, batch, optimizer, clip=0.2, value=critic, skip_zero_advantages=True)
    assert (critic.values != 0).any()


def test_without_a_clip_it_is_the_plain_policy_gradient_whatever_the_ratio():
    policy, batch = table(), batch_for(table(), off=1.0)
    log_probs = policy(batch.states).log_prob(batch.actions)
    loss = masked_mean(policy_gradient_loss(log_probs, batch.advantages), batch.mask)
    expected = torch.autograd.grad(loss, policy.logits)[0].flatten()
    got, metrics = step(policy, batch, clip=None)
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-13)
    assert "clip_ratio" not in metrics


def test_a_ratio_for_a_sequence_needs_a_clip():
    with pytest.raises(ValueError, match="ratio='sequence' needs a clip"):
        step(table(), batch_for(table()), clip=None, ratio="sequence")
    with pytest.raises(ValueError, match="ratio must be one of 'token', 'sequence', but is 'row'"):
        step(table(), batch_for(table()), ratio="row")


def test_a_value_function_without_returns_is_named():
    with pytest.raises(ValueError, match="no returns"):
        step(table(), batch_for(table()), value=TabularValue(4).double())
    with pytest.raises(ValueError, match="value_coef must be at least 0, but is -1"):
        step(table(), with_returns(batch_for(table())), value=TabularValue(4).double(), value_coef=-1)


def test_the_learning_rate_is_a_share_of_what_it_was():
    weight = torch.nn.Parameter(torch.zeros(1))
    other = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.Adam([{"params": [weight], "lr": 1e-3}, {"params": [other], "lr": 4e-3}])
    for share in (0.5, 1.0, 0.25):  # of the first rates, not of the last ones
        scale_lr(optimizer, share)
        assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([share * 1e-3, share * 4e-3])


@pytest.mark.parametrize("micro", [None, 1])
def test_whitened_minibatches_are_whitened_whole(micro):
    batch = batch_for(table(), off=0.0)
    plain = replace(batch, advantages=whiten(batch.advantages, batch.mask))
    ours = step(table(), batch, whiten_minibatches=True, micro_batch_size=micro)[0]
    torch.testing.assert_close(ours, step(table(), plain)[0], rtol=0, atol=1e-13)
    # in minibatches of two rows each of them has mean 0, so that advantages that differ between them only are lost
    steps = batch.as_steps()
    even = replace(steps, advantages=torch.full_like(steps.advantages, 3.0))
    assert step(table(), even, whiten_minibatches=True, minibatch_size=2)[0].abs().max() == 0
    assert step(table(), even, minibatch_size=2)[0].abs().max() > 0


@pytest.mark.parametrize(("options", "message"), [
    ({"max_grad_norm": -1.0}, r"max_grad_norm must be a positive number, but is -1\.0"),
    ({"max_grad_norm": 0.0}, r"max_grad_norm must be a positive number, but is 0\.0"),
    ({"entropy_coef": -1.0}, r"entropy_coef must be at least 0, but is -1\.0"),
    ({"entropy_coef": math.nan}, "entropy_coef must be at least 0, but is nan"),
    ({"kl_kind": "k9"}, "kl_kind must be one of 'k1', 'k2', 'k3', but is 'k9'"),
])
def test_what_would_turn_the_step_round_is_named(options, message):
    policy = table()
    before = weights(policy)
    with pytest.raises(ValueError, match=message):
        step(policy, batch_for(policy), **options)
    assert torch.equal(weights(policy), before)
