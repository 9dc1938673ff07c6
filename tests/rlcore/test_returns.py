"""Returns, TD errors, GAE and group advantages: hand arithmetic, literal sums, and identities."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rlcore.returns import (
    discounted_returns,
    gae,
    group_advantages,
    leave_one_out_advantages,
    n_step_returns,
    td_errors,
    whiten,
)

torch.set_num_threads(1)
F64 = torch.float64


def numbers(*values):
    return torch.tensor(values, dtype=F64)


def flags(*values):
    return torch.tensor(values, dtype=torch.bool)


def world(seed=0, batch=(4,), steps=9):
    """Random rewards and values with ends of both kinds in random places."""
    g = torch.Generator().manual_seed(seed)
    rewards, values, next_values = (torch.randn(*batch, steps, generator=g, dtype=F64) for _ in range(3))
    kind = torch.randint(6, (*batch, steps), generator=g)
    terminated, truncated = kind == 0, kind == 1
    return rewards, values, next_values, terminated, terminated | truncated


def literal_n_step(rewards, next_values, terminated, done, gamma, n):
    """Gₜ⁽ⁿ⁾ for one row of plain numbers, as a reader would add it up."""
    returns = []
    for t in range(len(rewards)):
        total, discount = 0.0, 1.0
        for k in range(t, min(t + n, len(rewards))):
            total += discount * rewards[k]
            discount *= gamma
            if done[k]:
                break
        returns.append(total + (0.0 if terminated[k] else discount * next_values[k]))
    return returns


def literal_gae(rewards, values, next_values, terminated, done, gamma, lam):
    """Σₗ (γλ)ˡ δₜ₊ₗ for one row of plain numbers, up to the end of the episode."""
    advantages = []
    for t in range(len(rewards)):
        total, weight = 0.0, 1.0
        for k in range(t, len(rewards)):
            future = 0.0 if terminated[k] else next_values[k]
            total += weight * (rewards[k] + gamma * future - values[k])
            weight *= gamma * lam
            if done[k]:
                break
        advantages.append(total)
    return advantages


def row_by_row(literal, *tensors, **kwargs):
    rows = zip(*(x.tolist() for x in tensors), strict=True)
    return torch.tensor([literal(*row, **kwargs) for row in rows], dtype=F64)



def test_discounted_returns_by_hand():
    # backwards, γ = .5: 3;  2 + .5·3 = 3.5;  1 + .5·3.5 = 2.75
    assert discounted_returns(numbers(1, 2, 3), flags(0, 0, 1), 0.5).tolist() == [2.75, 3.5, 3.0]
    # the data may also stop without an end: nothing is known of what follows
    assert discounted_returns(numbers(1, 2, 3), flags(0, 0, 0), 0.5).tolist() == [2.75, 3.5, 3.0]
    # two episodes: 1 + .5·(−2) = 0 and −2; then 4
    assert discounted_returns(numbers(1, -2, 4), flags(0, 1, 1), 0.5).tolist() == [0.0, -2.0, 4.0]
    assert discounted_returns(numbers(1, 2, 3), flags(0, 0, 1), 0.0).tolist() == [1.0, 2.0, 3.0]
    assert discounted_returns(numbers(1, 2, 3), flags(0, 0, 1), 1.0).tolist() == [6.0, 5.0, 3.0]


def test_discounted_returns_are_the_literal_sum_in_any_number_of_batch_axes():
    rewards, _, _, _, done = world(batch=(2, 3))
    nothing = torch.zeros_like(rewards)
    expected = row_by_row(literal_n_step, *(x.flatten(0, 1) for x in (rewards, nothing, done, done)), gamma=0.9, n=99)
    torch.testing.assert_close(discounted_returns(rewards, done, 0.9).flatten(0, 1), expected, rtol=0, atol=1e-14)
    assert discounted_returns(rewards[0, 0], done[0, 0], 0.9).shape == (9,)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(st.floats(-1e3, 1e3), st.booleans()), min_size=1, max_size=12),
    st.floats(0, 1),
    st.sampled_from([1e4, -1e4, float("inf"), float("nan")]),
)
def test_no_return_depends_on_what_comes_after_the_end(steps, gamma, junk):
    rewards, done = numbers(*(r for r, _ in steps)), flags(*(d for _, d in steps))
    before = discounted_returns(rewards, done, gamma)
    for end in done.nonzero().flatten().tolist():
        other = rewards.clone()
        other[end + 1 :] = junk
        assert torch.equal(discounted_returns(other, done, gamma)[: end + 1], before[: end + 1])


def test_rewards_are_left_alone():
    rewards, values, next_values, terminated, done = world()
    kept = [x.clone() for x in (rewards, values, next_values, terminated, done)]
    discounted_returns(rewards, done, 0.9)
    n_step_returns(rewards, next_values, terminated, done, 0.9, 3)
    gae(rewards, values, next_values, terminated, done, 0.9, 0.9)
    group_advantages(rewards)
    assert all(torch.equal(a, b) for a, b in zip(kept, (rewards, values, next_values, terminated, done), strict=True))



def test_n_step_returns_by_hand():
    rewards, next_values = numbers(1, 2, 3), numbers(10, 20, 30)
    going_on, end = flags(0, 0, 0), flags(0, 0, 1)
    # n = 2, γ = .5, the data stops: 1 + .5·2 + .25·20 = 7;  2 + .5·3 + .25·30 = 11;  3 + .5·30 = 18
    assert n_step_returns(rewards, next_values, going_on, going_on, 0.5, 2).tolist() == [7.0, 11.0, 18.0]
    # truncated at the last step: the same, a truncated episode still has a future
    assert n_step_returns(rewards, next_values, going_on, end, 0.5, 2).tolist() == [7.0, 11.0, 18.0]
    # terminated: 7;  2 + .5·3 = 3.5;  3
    assert n_step_returns(rewards, next_values, end, end, 0.5, 2).tolist() == [7.0, 3.5, 3.0]
    # cut off after the first step: 1 + .5·10 = 6 and not a reward of the next episode
    assert n_step_returns(rewards, next_values, end, flags(1, 0, 1), 0.5, 2).tolist() == [6.0, 3.5, 3.0]


@pytest.mark.parametrize("n", [1, 2, 3, 5, 9, 50])
def test_n_step_returns_are_the_literal_sum(n):
    rewards, _, next_values, terminated, done = world(seed=n, batch=(6,))
    expected = row_by_row(literal_n_step, rewards, next_values, terminated, done, gamma=0.9, n=n)
    torch.testing.assert_close(
        n_step_returns(rewards, next_values, terminated, done, 0.9, n), expected, rtol=0, atol=1e-14
    )


def test_one_step_is_the_td_target_and_all_steps_are_monte_carlo():
    rewards, values, next_values, terminated, done = world()
    one = n_step_returns(rewards, next_values, terminated, done, 0.9, 1) - values
    torch.testing.assert_close(one, td_errors(rewards, values, next_values, terminated, 0.9), rtol=0, atol=1e-15)
    done[:, -1] = terminated[:, -1] = True
    terminated = done  # every end is an end: no bootstrap is left
    every = n_step_returns(rewards, next_values, terminated, done, 0.9, 9)
    torch.testing.assert_close(every, discounted_returns(rewards, done, 0.9), rtol=0, atol=1e-14)



def test_td_errors_by_hand():
    rewards, values, next_values = numbers(1, 1), numbers(3, 3), numbers(4, 4)
    # going on: 1 + .5·4 − 3 = 0;  terminated: 1 − 3 = −2
    assert td_errors(rewards, values, next_values, flags(0, 1), 0.5).tolist() == [0.0, -2.0]


@pytest.mark.parametrize(
    ("terminated", "truncated", "expected"),
    [
        # rewards 1 1 9, values 1 2 3, next values 2 3 4, γ = λ = .5, γλ = .25
        # δ = 1 + .5·2 − 1 = 1,  1 + .5·3 − 2 = .5,  9 + .5·4 − 3 = 8
        (False, False, [1.625, 2.5, 8.0]),  # .5 + .25·8 = 2.5,  1 + .25·2.5 = 1.625
        (False, True, [1.125, 0.5, 8.0]),  # the bootstrap stays, the next episode's 8 does not come in; 1 + .25·.5
        (True, False, [0.75, -1.0, 8.0]),  # δ = 1 − 2 = −1;  1 − .25 = .75
        (True, True, [0.75, -1.0, 8.0]),
    ],
)
def test_gae_four_ways_to_end_by_hand(terminated, truncated, expected):
    ends, stops = flags(0, terminated, 0), flags(0, terminated or truncated, 0)
    got = gae(numbers(1, 1, 9), numbers(1, 2, 3), numbers(2, 3, 4), ends, stops, 0.5, 0.5)
    assert got.tolist() == expected


@pytest.mark.parametrize(("gamma", "lam"), list(itertools.product([0.0, 0.7, 1.0], [0.0, 0.4, 1.0])))
def test_gae_is_the_literal_sum_and_its_two_ends(gamma, lam):
    rewards, values, next_values, terminated, done = world(batch=(6,))
    got = gae(rewards, values, next_values, terminated, done, gamma, lam)
    expected = row_by_row(literal_gae, rewards, values, next_values, terminated, done, gamma=gamma, lam=lam)
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-13)
    if lam == 0:
        assert torch.equal(got, td_errors(rewards, values, next_values, terminated, gamma))


def own_values(values):
    """V of the next state for a value function that is asked about consecutive states."""
    return torch.cat([values[..., 1:], torch.full_like(values[..., -1:], 0.7)], -1)


def test_gae_at_lambda_1_is_return_minus_value():
    rewards, values, _, terminated, done = world(batch=(6,))
    next_values = own_values(values)  # the sum telescopes only if V(sₜ₊₁) is the V of the next step
    got = gae(rewards, values, next_values, terminated, done, 0.9, 1.0)
    returns = n_step_returns(rewards, next_values, terminated, done, 0.9, 9)
    torch.testing.assert_close(got, returns - values, rtol=0, atol=1e-13)
    ends = flags(0, 0, 0, 1, 0, 0, 0, 0, 1).expand_as(done)
    got = gae(rewards, values, next_values, ends, ends, 0.9, 1.0)
    torch.testing.assert_close(got, discounted_returns(rewards, ends, 0.9) - values, rtol=0, atol=1e-13)


def test_gae_is_the_weighted_mean_of_all_n_step_advantages():
    # Schulman et al., eq. 16: (1−λ)(A⁽¹⁾ + λA⁽²⁾ + …); what is longer than the episode has the weight that is left
    lam, steps = 0.6, 5
    rewards, values, _, _, _ = world(batch=(), steps=steps)
    next_values, end = own_values(values), flags(0, 0, 0, 0, 1)
    for terminated in (end, torch.zeros_like(end)):
        look = {n: n_step_returns(rewards, next_values, terminated, end, 0.9, n) - values for n in range(1, steps + 1)}
        expected = [
            sum((1 - lam) * lam ** (n - 1) * look[n][t] for n in range(1, steps - t))
            + lam ** (steps - t - 1) * look[steps - t][t]
            for t in range(steps)
        ]
        got = gae(rewards, values, next_values, terminated, end, 0.9, lam)
        torch.testing.assert_close(got, torch.stack(expected), rtol=0, atol=1e-14)



def test_group_advantages_by_hand():
    # mean ½, deviations ½, ½, −½, −½; Σ² = 1, ddof = 1: std = √(1/3) = .57735; ½ / .57735 = √3/2 = .8660
    group = numbers(1, 1, 0, 0)
    root = 3**0.5 / 2
    torch.testing.assert_close(group_advantages(group, eps=0.0), numbers(root, root, -root, -root), rtol=0, atol=1e-15)
    got = group_advantages(group)  # ½ / .57745 = .86588
    torch.testing.assert_close(got, numbers(1, 1, -1, -1) * 0.5 / (3**-0.5 + 1e-4), rtol=0, atol=1e-15)
    assert round(got[0].item(), 5) == 0.86588
    assert group_advantages(group, normalize=False).tolist() == [0.5, 0.5, -0.5, -0.5]


def test_groups_are_the_last_axis_and_do_not_mix():
    # [1, 0, 0]: mean 1/3, std √(1/3);  [2, 4, 6]: mean 4, std 2
    got = group_advantages(torch.stack([numbers(1, 0, 0), numbers(2, 4, 6)]), eps=0.0)
    expected = torch.stack([numbers(2, -1, -1) / 3 ** 0.5, numbers(-1, 0, 1)])
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-15)
    assert torch.equal(group_advantages(torch.stack([got, got]), eps=0.0)[0], group_advantages(got, eps=0.0))


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("value", [0.1, -3.0, 1 / 3, 1e6])
def test_a_group_of_equal_rewards_gets_exactly_0(normalize, value):
    rewards = torch.full((2, 7), value)  # the mean of seven times .1 in float32 is not .1
    rewards[1, 0] += 1.0
    got = group_advantages(rewards, normalize, eps=0.0)
    assert torch.equal(got[0], torch.zeros(7)) and got[1, 0] > 0 > got[1, 1]


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(-5, 5), min_size=2, max_size=8), st.floats(-9, 9), st.floats(0.1, 9))
def test_group_advantages_ignore_shift_and_scale(rewards, shift, scale):
    rewards = numbers(*rewards)
    got = group_advantages(rewards, eps=0.0)
    torch.testing.assert_close(group_advantages(rewards + shift, eps=0.0), got, rtol=0, atol=1e-10)
    torch.testing.assert_close(group_advantages(rewards * scale, eps=0.0), got, rtol=0, atol=1e-10)
    torch.testing.assert_close(group_advantages(-rewards, eps=0.0), -got, rtol=0, atol=1e-12)


def test_leave_one_out_by_hand():
    # [1, 0, 0]: the others' means are 0, ½, ½;  [2, 4, 6]: they are 5, 4, 3
    got = leave_one_out_advantages(torch.stack([numbers(1, 0, 0), numbers(2, 4, 6)]))
    torch.testing.assert_close(got, torch.stack([numbers(1, -0.5, -0.5), numbers(-3, 0, 3)]), rtol=0, atol=1e-15)
    assert leave_one_out_advantages(numbers(3, 5)).tolist() == [-2, 2]  # of two, the other is all there is
    equal = leave_one_out_advantages(torch.full((2, 7), 0.1))  # the mean of seven times .1 in float32 is not .1
    assert torch.equal(equal, torch.zeros(2, 7))


@pytest.mark.parametrize("size", [2, 3, 8])
def test_what_an_answer_is_compared_with_does_not_depend_on_it(size):
    rewards = torch.randn(5, size, generator=torch.Generator().manual_seed(size), dtype=F64)
    changed = rewards.clone()
    changed[:, 0] += 3.0
    before, after = (x - leave_one_out_advantages(x) for x in (rewards, changed))  # the baselines
    torch.testing.assert_close(after[:, 0], before[:, 0], rtol=0, atol=1e-14)
    torch.testing.assert_close(after[:, 1:], before[:, 1:] + 3.0 / (size - 1), rtol=0, atol=1e-14)


@pytest.mark.parametrize("size", [2, 3, 8])
def test_rloo_is_a_multiple_of_the_group_baseline(size):
    rewards = torch.randn(5, size, generator=torch.Generator().manual_seed(size), dtype=F64)
    others = (rewards.sum(-1, keepdim=True) - rewards) / (size - 1)  # the mean of the others: RLOO's baseline
    scaled = size / (size - 1) * group_advantages(rewards, normalize=False)
    torch.testing.assert_close(scaled, rewards - others, rtol=0, atol=1e-14)
    torch.testing.assert_close(leave_one_out_advantages(rewards), rewards - others, rtol=0, atol=1e-14)



@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan"), float("inf")])
def test_gamma_and_lambda_are_named(value):
    x, no = torch.zeros(3), flags(0, 0, 0)
    for call in (
        lambda: discounted_returns(x, no, value),
        lambda: n_step_returns(x, x, no, no, value, 2),
        lambda: td_errors(x, x, x, no, value),
        lambda: gae(x, x, x, no, no, value, 0.5),
    ):
        with pytest.raises(ValueError, match=rf"gamma must lie in \[0, 1\], but is {value}"):
            call()
    with pytest.raises(ValueError, match=rf"lam must lie in \[0, 1\], but is {value}"):
        gae(x, x, x, no, no, 0.5, value)


def test_shapes_and_flags_are_named():
    x, no = torch.zeros(3), flags(0, 0, 0)
    with pytest.raises(ValueError, match=r"rewards \(3,\), done \(3, 1\)"):
        discounted_returns(x, no[:, None], 0.9)
    with pytest.raises(ValueError, match=r"next_values \(3, 1\)"):
        n_step_returns(x, x[:, None], no, no, 0.9, 1)
    with pytest.raises(ValueError, match=r"values \(3, 1\)"):
        td_errors(x, x[:, None], x, no, 0.9)
    with pytest.raises(ValueError, match=r"terminated \(3,\), done \(1, 3\)"):
        gae(x, x, x, no, no[None], 0.9, 0.9)
    with pytest.raises(ValueError, match=r"done must be a bool tensor, but is torch.int64; write done.bool\(\)"):
        discounted_returns(x, no.long(), 0.9)
    for call in (
        lambda: n_step_returns(x, x, no.long(), no, 0.9, 1),
        lambda: td_errors(x, x, x, no.float(), 0.9),
        lambda: gae(x, x, x, no.long(), no, 0.9, 0.9),
    ):
        with pytest.raises(ValueError, match="terminated must be a bool tensor"):
            call()
    with pytest.raises(ValueError, match="done must be a bool tensor"):
        gae(x, x, x, no, no.long(), 0.9, 0.9)


def test_n_is_named():
    x, no = torch.zeros(3), flags(0, 0, 0)
    with pytest.raises(ValueError, match="n must be at least 1, but is 0"):
        n_step_returns(x, x, no, no, 0.9, 0)


def test_whole_numbers_are_not_cut_off():
    # γ·3 = 2.7 does not fit into an integer: written into a tensor of integers it would silently be 2
    with pytest.raises(ValueError, match=r"rewards must hold real numbers.* torch.int64; write rewards.float\(\)"):
        discounted_returns(torch.tensor([1, 2, 3]), flags(0, 0, 0), 0.9)
    with pytest.raises(ValueError, match=r"rewards must hold real numbers"):
        group_advantages(torch.tensor([1, 1, 0, 0]))
    with pytest.raises(ValueError, match=r"rewards must hold real numbers"):
        leave_one_out_advantages(torch.tensor([1, 1, 0, 0]))


def test_no_step_at_all_is_named():
    with pytest.raises(ValueError, match=r"rewards is empty"):
        discounted_returns(torch.zeros(2, 0), torch.zeros(2, 0, dtype=torch.bool), 0.9)


def test_a_group_of_one_is_named():
    with pytest.raises(ValueError, match=r"at least 2 rewards on the last axis, but rewards is \(4, 1\)"):
        group_advantages(torch.zeros(4, 1))
    with pytest.raises(ValueError, match=r"at least 2 rewards on the last axis, but rewards is \(4, 1\)"):
        leave_one_out_advantages(torch.zeros(4, 1))
    with pytest.raises(ValueError, match="eps must be at least 0, but is -1"):
        group_advantages(torch.zeros(4), eps=-1)


@pytest.mark.parametrize("estimate", [
    lambda x, flags: gae(x, x, x, flags["terminated"], flags["done"], 0.9, 0.9),
    lambda x, flags: n_step_returns(x, x, flags["terminated"], flags["done"], 0.9, 2),
])
def test_terminated_and_done_in_each_others_place_are_noticed(estimate):
    x = torch.zeros(3)
    flags = {"terminated": torch.tensor([False, False, True]), "done": torch.tensor([False, True, True])}
    estimate(x, flags)
    with pytest.raises(ValueError, match="terminated is True at a step that is not done: have the two changed places"):
        estimate(x, {"terminated": flags["done"], "done": flags["terminated"]})


def test_whitening_by_hand_and_only_inside_the_mask():
    x = torch.tensor([[1.0, 3.0, 1e9], [5.0, -1e9, 7.0]])
    mask = torch.tensor([[True, True, False], [True, False, True]])
    # mean 4, deviations −3 −1 1 3, variance (9 + 1 + 1 + 9)/4 = 5
    expected = [-3 / 5**0.5, -1 / 5**0.5, 0.0, 1 / 5**0.5, 0.0, 3 / 5**0.5]
    assert whiten(x, mask).flatten().tolist() == pytest.approx(expected)
    assert whiten(torch.full((1, 3), 2.0), torch.ones(1, 3).bool()).tolist() == [[0, 0, 0]]  # as good as expected
    with pytest.raises(ValueError, match="mask is all False"):
        whiten(x, torch.zeros(2, 3).bool())
    with pytest.raises(ValueError, match="mask must be a bool tensor"):
        whiten(x, mask.long())
