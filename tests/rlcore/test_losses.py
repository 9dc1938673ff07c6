"""Losses: hand arithmetic, exact enumeration, and the identities between them. The sign is always checked."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rlcore.losses import (
    dpo_loss,
    kl_estimate,
    length_mean,
    masked_mean,
    policy_gradient_loss,
    ppo_clip_loss,
    preference_loss,
    sequence_mean,
    sequence_means,
    token_mean,
    value_loss,
)
from rlcore.policies import TabularPolicy

torch.set_num_threads(1)
F64 = torch.float64


def numbers(*values):
    return torch.tensor(values, dtype=F64)


def logits(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


# ---------------------------------------------------------------- masked_mean


def test_masked_mean_by_hand():
    x, mask = numbers([1, 2, 4], [8, 16, 32], [5, 5, 5]), torch.tensor([[1, 0, 1], [1, 1, 1], [0, 0, 0]]).bool()
    # 1 + 4 = 5;  8 + 16 + 32 = 56;  nothing
    assert masked_mean(x, mask).item() == (5 + 56) / 5
    assert masked_mean(x, mask, dim=-1).tolist() == [5 / 2, 56 / 3, 0.0]  # an empty row is 0 ...
    assert masked_mean(x, mask, dim=-1).mean().item() == (5 / 2 + 56 / 3) / 3  # ... and still counts
    assert masked_mean(x, mask, dim=0).tolist() == [9 / 2, 16.0, 36 / 2]
    assert masked_mean(x, mask, denominator=10).item() == 6.1
    assert masked_mean(x, mask, dim=-1, denominator=10).tolist() == [0.5, 5.6, 0.0]
    assert masked_mean(x, mask, denominator=torch.tensor(10)).item() == 6.1


@pytest.mark.parametrize("junk", [1e4, -1e4, math.inf, -math.inf, math.nan])
@pytest.mark.parametrize("dim", [None, -1, 0])
def test_what_stands_in_masked_places_changes_neither_value_nor_gradient(junk, dim):
    mask = torch.tensor([[1, 0, 1], [1, 1, 1], [0, 0, 0]]).bool()
    results = []
    for filling in (0.0, junk):
        x = logits(3, 3).masked_fill(~mask, filling).requires_grad_()
        value = masked_mean(x, mask, dim)
        value.sum().backward()
        results.append((value.detach(), x.grad))
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))
    assert torch.equal(results[0][1] != 0, mask)


@settings(deadline=None, max_examples=50)
@given(st.data(), st.floats(-9, 9), st.floats(-9, 9))
def test_masked_mean_is_linear_and_of_a_constant_it_is_the_constant(data, a, b):
    rows, steps = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 5))
    cells = st.lists(st.booleans(), min_size=rows * steps, max_size=rows * steps)
    mask = torch.tensor(data.draw(cells)).view(rows, steps)
    mask[0, 0] = True
    x, y = logits(rows, steps), logits(rows, steps, seed=1)
    for dim in (None, -1):
        both = masked_mean(a * x + b * y, mask, dim)
        torch.testing.assert_close(both, a * masked_mean(x, mask, dim) + b * masked_mean(y, mask, dim))
    torch.testing.assert_close(masked_mean(torch.full_like(x, a), mask), numbers(a)[0])
    assert x[mask].min() - 1e-12 <= masked_mean(x, mask) <= x[mask].max() + 1e-12


def test_masked_mean_errors_are_named():
    x = torch.zeros(2, 3)
    with pytest.raises(ValueError, match="mask is all False: there is no step to average over"):
        masked_mean(x, torch.zeros(2, 3, dtype=torch.bool))
    assert masked_mean(x, torch.zeros(2, 3, dtype=torch.bool), denominator=4).item() == 0
    with pytest.raises(ValueError, match=r"mask must be a bool tensor, but is torch.int64; write mask.bool\(\)"):
        masked_mean(x, torch.ones(2, 3).long())
    with pytest.raises(ValueError, match=r"x \(2, 3\), mask \(2, 1\)"):
        masked_mean(x, torch.ones(2, 1).bool())


# ---------------------------------------------------------------- policy gradients


def test_policy_gradient_loss_by_hand():
    log_probs = numbers(-1, -2, -3).requires_grad_()
    advantages = numbers(2, 0, -1).requires_grad_()
    loss = policy_gradient_loss(log_probs, advantages)
    assert loss.tolist() == [2.0, 0.0, -3.0]  # −2·(−1), −0·(−2), −(−1)·(−3)
    loss.sum().backward()
    assert log_probs.grad.tolist() == [-2.0, 0.0, 1.0]  # a descent step raises the first and lowers the last
    assert advantages.grad is None


def test_the_gradient_bandit_is_policy_gradient_loss_at_one_step():
    # Sutton & Barto, eq. 2.12: H(A) += α (R − R̄)(1 − π(A));  H(a) −= α (R − R̄) π(a) for the others
    alpha, reward, baseline, arm = 0.1, 3.0, 1.0, 2
    policy = TabularPolicy(1, 4).double()
    with torch.no_grad():
        policy.logits.copy_(logits(1, 4))
    preferences, pi = policy.logits.detach().clone()[0], policy.logits.detach().softmax(-1)[0]
    optimizer = torch.optim.SGD(policy.parameters(), lr=alpha)
    log_prob = policy(torch.zeros(1, 1).long()).log_prob(torch.tensor([[arm]]))  # [1, 1]: one pull
    policy_gradient_loss(log_prob, numbers([reward - baseline])).sum().backward()
    optimizer.step()
    expected = preferences - alpha * (reward - baseline) * pi
    expected[arm] = preferences[arm] + alpha * (reward - baseline) * (1 - pi[arm])
    torch.testing.assert_close(policy.logits.detach()[0], expected, rtol=0, atol=1e-15)


@pytest.mark.parametrize(
    ("ratio", "advantage", "loss", "slope"),  # ε_low = .2, ε_high = .4; the slope is dL/d log π = −ρÂ, or 0 where cut
    [
        (1.0, 2.0, -2.0, -2.0),
        (1.3, 2.0, -2.6, -2.6),
        (1.5, 2.0, -2.8, 0.0),  # clipped at 1.4
        (0.5, 2.0, -1.0, -1.0),  # a good action became unlikely: not clipped
        (1.0, -2.0, 2.0, 2.0),
        (0.9, -2.0, 1.8, 1.8),
        (0.5, -2.0, 1.6, 0.0),  # clipped at .8
        (1.5, -2.0, 3.0, 3.0),  # a bad action became likely: not clipped
        (1.5, 0.0, 0.0, 0.0),
    ],
)
def test_ppo_clip_loss_by_hand(ratio, advantage, loss, slope):
    old = numbers(-1.5).requires_grad_()
    log_probs = (old.detach() + math.log(ratio)).requires_grad_()
    advantages = numbers(advantage).requires_grad_()
    got = ppo_clip_loss(log_probs, old, advantages, (0.2, 0.4))
    got.backward()
    assert got.item() == pytest.approx(loss, abs=1e-14)
    assert log_probs.grad.item() == pytest.approx(slope, abs=1e-14)
    assert old.grad is None and advantages.grad is None


@pytest.mark.parametrize("clip", [0.2, (0.2, 0.28), 1e-3, 1.0])
def test_where_the_ratio_is_1_ppo_has_the_gradient_of_reinforce(clip):
    policy, states = logits(5, 4).requires_grad_(), torch.arange(5)
    actions, advantages = torch.tensor([0, 1, 2, 3, 0]), logits(5, seed=1)
    log_probs = policy.log_softmax(-1)[states, actions]
    (ppo,) = torch.autograd.grad(ppo_clip_loss(log_probs, log_probs, advantages, clip).sum(), policy, retain_graph=True)
    (reinforce,) = torch.autograd.grad(policy_gradient_loss(log_probs, advantages).sum(), policy)
    torch.testing.assert_close(ppo, reinforce, rtol=0, atol=1e-15)
    assert reinforce.abs().max() > 0.1


def test_one_number_clips_both_ways_and_a_list_is_a_pair():
    log_probs, old, advantages = numbers(0.9, -0.9), numbers(0, 0), numbers(1, -1)
    one = ppo_clip_loss(log_probs, old, advantages, 0.2)
    torch.testing.assert_close(one, numbers(-1.2, 0.8), rtol=0, atol=1e-15)
    assert torch.equal(ppo_clip_loss(log_probs, old, advantages, (0.2, 0.2)), one)
    assert torch.equal(ppo_clip_loss(log_probs, old, advantages, [0.2, 0.2]), one)  # as JSON gives it back


def test_ppo_clip_loss_errors_are_named():
    x = torch.zeros(3)
    with pytest.raises(ValueError, match=r"clip \(low\) must lie in \[0, 1\], but is 1.5"):
        ppo_clip_loss(x, x, x, (1.5, 0.2))
    with pytest.raises(ValueError, match=r"clip \(low\) must lie in \[0, 1\], but is -0.2"):
        ppo_clip_loss(x, x, x, -0.2)
    with pytest.raises(ValueError, match=r"clip \(high\) must be at least 0, but is -0.1"):
        ppo_clip_loss(x, x, x, (0.2, -0.1))
    with pytest.raises(ValueError, match=r"clip must be one number or a pair"):
        ppo_clip_loss(x, x, x, (0.2, 0.2, 0.2))
    with pytest.raises(ValueError, match=r"old_log_probs \(3, 1\)"):
        ppo_clip_loss(x, x[:, None], x, 0.2)
    with pytest.raises(ValueError, match=r"log_probs \(3,\), advantages \(3, 1\)"):
        policy_gradient_loss(x, x[:, None])


def test_value_loss_by_hand():
    values, returns = numbers(1, 5).requires_grad_(), numbers(3, 3).requires_grad_()
    loss = value_loss(values, returns)
    assert loss.tolist() == [2.0, 2.0]  # ½·2²
    loss.sum().backward()
    assert values.grad.tolist() == [-2.0, 2.0]  # V − G
    assert returns.grad is None
    with pytest.raises(ValueError, match=r"values \(2,\), returns \(2, 1\)"):
        value_loss(values, returns[:, None])


# ---------------------------------------------------------------- KL


def test_kl_estimates_by_hand():
    # π = ½, ref = ⅛: d = log(1/4).  k1 = log 4, k2 = (log 4)²/2, k3 = ¼ + log 4 − 1
    policy, ref = numbers(0.5).log(), numbers(0.125).log()
    log4 = math.log(4)
    assert kl_estimate(policy, ref, "k1").item() == pytest.approx(log4)
    assert kl_estimate(policy, ref, "k2").item() == pytest.approx(log4**2 / 2)
    assert kl_estimate(policy, ref, "k3").item() == pytest.approx(0.25 + log4 - 1)
    assert torch.equal(kl_estimate(policy, ref), kl_estimate(policy, ref, "k3"))
    assert kl_estimate(ref, policy, "k1").item() == pytest.approx(-log4)
    assert [kl_estimate(ref, ref, kind).item() for kind in ("k1", "k2", "k3")] == [0, 0, 0]


def test_expectations_of_k1_and_k3_are_the_exact_kl_and_k2_is_biased():
    log_pi, log_ref = logits(6).log_softmax(-1), logits(6, seed=1).log_softmax(-1)
    exact = (log_pi.exp() * (log_pi - log_ref)).sum()
    means = {kind: (log_pi.exp() * kl_estimate(log_pi, log_ref, kind)).sum() for kind in ("k1", "k2", "k3")}
    torch.testing.assert_close(means["k1"], exact, rtol=0, atol=1e-15)
    torch.testing.assert_close(means["k3"], exact, rtol=0, atol=1e-15)
    assert abs(means["k2"] - exact) > 0.01 and exact > 0.1
    assert (kl_estimate(log_pi, log_ref, "k1") < 0).any()
    assert all((kl_estimate(log_pi, log_ref, kind) >= 0).all() for kind in ("k2", "k3"))


def test_expected_gradients_of_the_three_as_losses():
    theta, log_ref = logits(6).requires_grad_(), logits(6, seed=1).log_softmax(-1)
    log_pi = theta.log_softmax(-1)
    pi = log_pi.detach().exp()  # actions are sampled: no gradient through the weights

    def grad(loss):
        return torch.autograd.grad(loss, theta, retain_graph=True)[0]

    reverse = grad((log_pi.exp() * (log_pi - log_ref)).sum())  # ∇ KL(π ‖ ref)
    forward = grad((log_ref.exp() * (log_ref - log_pi)).sum())  # ∇ KL(ref ‖ π)
    got = {kind: grad((pi * kl_estimate(log_pi, log_ref, kind)).sum()) for kind in ("k1", "k2", "k3")}
    torch.testing.assert_close(got["k1"], torch.zeros_like(theta), rtol=0, atol=1e-15)
    torch.testing.assert_close(got["k2"], reverse, rtol=0, atol=1e-15)
    torch.testing.assert_close(got["k3"], forward, rtol=0, atol=1e-15)
    ratio = (log_pi - log_pi.detach()).exp()
    corrected = grad((pi * ratio * kl_estimate(log_pi, log_ref, "k3")).sum())
    torch.testing.assert_close(corrected, reverse, rtol=0, atol=1e-15)
    assert (reverse - forward).abs().max() > 0.01


@pytest.mark.parametrize(
    ("mu", "table"),  # bias and standard deviation divided by the KL, as in references.md
    [(0.1, {"k1": (0, 20), "k2": (0.0025, 1.42), "k3": (0, 1.42)}),
     (1.0, {"k1": (0, 2), "k2": (0.25, 1.73), "k3": (0, 1.70)})],
)
def test_kl_estimators_of_two_normals(mu, table):
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)  # exact integration against N(0, 1) = q
    x, weights = torch.tensor(nodes), torch.tensor(weights / math.sqrt(2 * math.pi))
    log_q, log_p = -(x**2) / 2, -((x - mu) ** 2) / 2
    exact = mu**2 / 2
    for kind, (bias, spread) in table.items():
        k = kl_estimate(log_q, log_p, kind)
        mean = (weights * k).sum().item()
        std = (weights * (k - mean) ** 2).sum().item() ** 0.5
        assert (mean - exact) / exact == pytest.approx(bias, abs=1e-9)
        assert std / exact == pytest.approx(spread, abs=0.006)


def test_the_reference_is_data():
    policy, ref = numbers(-1.0).requires_grad_(), numbers(-2.0).requires_grad_()
    slopes = {"k1": 1.0, "k2": 1.0, "k3": 1 - math.exp(-1)}  # d = −1: 1, −d, 1 − eᵈ
    for kind, slope in slopes.items():
        policy.grad = None
        kl_estimate(policy, ref, kind).backward()
        assert policy.grad.item() == pytest.approx(slope) and ref.grad is None


def test_kl_errors_are_named():
    x = torch.zeros(3)
    with pytest.raises(ValueError, match="kind must be one of 'k1', 'k2', 'k3', but is 'k4'"):
        kl_estimate(x, x, "k4")
    with pytest.raises(ValueError, match=r"ref_log_probs \(3, 1\)"):
        kl_estimate(x, x[:, None])


# ---------------------------------------------------------------- preferences


def test_preference_loss_by_hand():
    chosen, rejected = numbers(0, 1, -3).requires_grad_(), numbers(0, 0, 0).requires_grad_()
    loss = preference_loss(chosen, rejected)
    # σ(0) = ½;  σ(1) = .7310585786;  σ(−3) = .0474258732
    torch.testing.assert_close(loss, -numbers(0.5, 0.7310585786300049, 0.04742587317756678).log(), rtol=0, atol=1e-15)
    loss.sum().backward()
    torch.testing.assert_close(chosen.grad, -numbers(0.5, 1 - 0.7310585786300049, 1 - 0.04742587317756678))
    torch.testing.assert_close(rejected.grad, -chosen.grad)
    assert preference_loss(numbers(-800), numbers(0)).item() == 800  # no overflow
    with pytest.raises(ValueError, match=r"chosen \(3,\), rejected \(3, 1\)"):
        preference_loss(chosen, rejected[:, None])


def test_dpo_is_ln_2_at_the_reference_and_preference_loss_of_the_implicit_rewards():
    chosen, rejected = numbers(-3, -5).requires_grad_(), numbers(-4, -2).requires_grad_()
    refs = numbers(-3.5, -5).requires_grad_(), numbers(-3, -3).requires_grad_()
    start = dpo_loss(chosen, rejected, chosen, rejected, 0.3)
    torch.testing.assert_close(start, numbers(math.log(2), math.log(2)), rtol=0, atol=1e-15)
    loss = dpo_loss(chosen, rejected, *refs, 0.5)
    # margins ½·[(.5) − (−1)] = .75 and ½·[0 − 1] = −.5
    torch.testing.assert_close(loss, numbers(0.75, -0.5).sigmoid().log().neg(), rtol=0, atol=1e-15)
    loss.sum().backward()
    # β · σ(−margin), up for the chosen and down for the rejected
    torch.testing.assert_close(chosen.grad, -0.5 * numbers(-0.75, 0.5).sigmoid())
    torch.testing.assert_close(rejected.grad, -chosen.grad)
    assert refs[0].grad is None and refs[1].grad is None
    for bad in (0.0, -1.0):
        with pytest.raises(ValueError, match=f"beta must be a positive number, but is {bad}"):
            dpo_loss(chosen, rejected, *refs, bad)
    with pytest.raises(ValueError, match=r"ref_rejected \(2, 1\)"):
        dpo_loss(chosen, rejected, refs[0], refs[1][:, None], 0.5)


def expected_dpo_gradient(log_pi, log_ref, rewards, beta, tau):
    """∇ of the expected DPO loss over all pairs, each preferred with probability σ((rᵢ − rⱼ)/τ)."""
    theta = log_pi.clone().requires_grad_()
    own = theta.log_softmax(-1)
    pairs = torch.tensor(list(itertools.permutations(range(len(rewards)), 2)))
    won, lost = pairs.T
    losses = dpo_loss(own[won], own[lost], log_ref[won], log_ref[lost], beta)
    loss = (((rewards[won] - rewards[lost]) / tau).sigmoid() * losses).sum()
    return torch.autograd.grad(loss, theta)[0]


@pytest.mark.parametrize("tau", [1.0, 0.5])
def test_dpo_on_exact_soft_preferences_is_at_rest_at_the_closed_form(tau):
    log_ref, rewards, beta = logits(5).log_softmax(-1), logits(5, seed=1), 0.7
    best = (log_ref + rewards / (tau * beta)).log_softmax(-1)  # π ∝ π_ref exp(r/(τβ))
    assert expected_dpo_gradient(best, log_ref, rewards, beta, tau).abs().max() < 1e-14
    assert expected_dpo_gradient(log_ref, log_ref, rewards, beta, tau).abs().max() > 0.01
    wrong = (log_ref + rewards / beta * 2).log_softmax(-1)
    assert expected_dpo_gradient(wrong, log_ref, rewards, beta, 1.0).abs().max() > 0.01


# ---------------------------------------------------------------- reductions

LENGTHS = torch.tensor([[1, 0, 0], [1, 1, 1], [0, 0, 0]]).bool()
REDUCTIONS = {"token": token_mean, "sequence": sequence_mean, "constant": length_mean(4)}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("token", (6 + 1 + 2 + 3) / 4),  # 12 over 4 steps
        ("sequence", (6 / 1 + (1 + 2 + 3) / 3 + 0) / 3),  # 6 and 2 and nothing, over 3 answers
        ("constant", (6 + 1 + 2 + 3) / (3 * 4)),  # 12 over 3 answers of 4 steps at most
    ],
)
def test_reductions_by_hand_and_in_parts(name, expected):
    x, reduce = numbers([6, 9, 9], [1, 2, 3], [9, 9, 9]), REDUCTIONS[name]
    assert reduce(x, LENGTHS, LENGTHS).item() == expected
    parts = sum(reduce(x[i : i + 1], LENGTHS[i : i + 1], LENGTHS) for i in range(3))
    assert parts.item() == pytest.approx(expected, abs=1e-15)
    shorter = sum(reduce(x[i : i + 1, :n], LENGTHS[i : i + 1, :n], LENGTHS) for i, n in ((0, 1), (1, 3), (2, 1)))
    assert shorter.item() == pytest.approx(expected, abs=1e-15)


def test_what_one_step_of_a_long_answer_weighs():
    for name, weights in {"token": [1 / 4, 1 / 4], "sequence": [1 / 3, 1 / 9], "constant": [1 / 12, 1 / 12]}.items():
        x = torch.zeros(3, 3, dtype=F64, requires_grad=True)
        REDUCTIONS[name](x, LENGTHS, LENGTHS).backward()
        assert x.grad[0, 0].item() == pytest.approx(weights[0]) and x.grad[1, 2].item() == pytest.approx(weights[1])
        assert torch.equal(x.grad != 0, LENGTHS)


def test_a_length_of_nothing_is_named():
    with pytest.raises(ValueError, match="length must be a positive number, but is 0"):
        length_mean(0)


def test_a_ratio_for_a_sequence_is_the_geometric_mean_of_its_steps():
    mask = torch.tensor([[True, True, False], [False, True, False], [False, False, False]])
    new = torch.tensor([[0.4, -0.2, 9.0], [9.0, 0.3, 9.0], [9.0, 9.0, 9.0]])
    # (.4 − .2)/2 = .1 at both steps of the first row; .3 at the only one of the second; nothing in the third
    assert sequence_means(new, mask)[0].tolist() == pytest.approx([0.1, 0.1, 0.0])
    assert sequence_means(new, mask)[1:].flatten().tolist() == pytest.approx([0, 0.3, 0, 0, 0, 0])


def expected_pull(kind, logits, reference):
    """The exact expected policy gradient where the reward is −KL estimated by `kind`, from softmax logits."""
    log_pi = logits.log_softmax(-1)
    reward = -kl_estimate(log_pi.detach(), reference, kind)
    return torch.autograd.grad((log_pi.exp() * reward).sum(), logits)[0]


def test_as_a_reward_only_k1_pulls_towards_the_reference():
    g = torch.Generator().manual_seed(0)
    reference = torch.randn(6, generator=g, dtype=torch.float64).log_softmax(-1)
    logits = (reference + 0.05 * torch.randn(6, generator=g, dtype=torch.float64)).requires_grad_()
    log_pi = logits.log_softmax(-1)
    down = -torch.autograd.grad((log_pi.exp() * (log_pi - reference)).sum(), logits)[0]  # −∇KL(π ‖ ref)
    torch.testing.assert_close(expected_pull("k1", logits, reference), down, rtol=0, atol=1e-14)
    for kind in ("k2", "k3"):
        along = (expected_pull(kind, logits, reference) @ down) / (down @ down)
        assert abs(along) < 0.1, kind
