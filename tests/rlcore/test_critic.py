"""The critic of a language policy: one value per prefix."""

import pytest
import torch
from tiny_lm import tiny_policy, tiny_tokenizer, weights

from rlcore.lm import LanguageValue, RewardModel, generate, small_gpt2
from rlcore.losses import masked_mean, value_loss
from rlcore.policies import LanguagePolicy


def tiny_value(**options):
    value = LanguageValue.from_policy(tiny_policy("ab", **options))
    with torch.no_grad():
        value.head.weight.copy_(torch.linspace(-1, 1, 16))
        value.head.bias.fill_(0.5)
    return value


def test_a_value_is_read_at_the_last_token_of_its_prefix():
    value, tokens = tiny_value(layers=2), torch.tensor([[2, 3, 1, 3, 2], [3, 3, 2, 0, 0]])
    values = value(tokens)  # [2, 5]
    for row, length in ((0, 5), (1, 3)):
        for t in range(length):
            prefix = tokens[row : row + 1, : t + 1]  # s_t is the text up to and including token t
            hidden = value.trunk(input_ids=prefix).last_hidden_state[0, -1]
            expected = value.head.weight[0] @ hidden + 0.5
            torch.testing.assert_close(values[row, t], expected, rtol=0, atol=1e-12)


def test_what_comes_later_and_what_stands_in_the_padding_changes_nothing():
    value, tokens = tiny_value(), torch.tensor([[2, 3, 1, 0, 0]])
    other = torch.tensor([[2, 3, 1, 3, 2]])
    torch.testing.assert_close(value(tokens)[:, :3], value(other)[:, :3], rtol=0, atol=1e-12)
    assert (value(tokens)[:, 3:] - value(other)[:, 3:]).abs().min() > 1e-3


def test_states_mean_the_same_as_for_the_policy():
    policy = tiny_policy("ab")
    value = LanguageValue.from_policy(policy)
    text = generate(policy, ["a", "bb"], max_new_tokens=5, generator=torch.Generator().manual_seed(0))
    assert value(text.states).shape == policy(text.states).batch_shape == text.mask.shape
    assert (value(text.states) == 0).all()  # a new critic expects nothing


def test_it_learns_what_a_state_is_worth():
    # the return is 1 after an a and −1 after a b: what is worth knowing is the token just read
    torch.manual_seed(0)
    tokens = torch.randint(2, 4, (32, 6))
    returns, mask = 5.0 - 2 * tokens.float(), torch.ones_like(tokens, dtype=torch.bool)
    value = LanguageValue.from_policy(tiny_policy("ab", dtype=torch.float32, spread=0.1))
    optimizer = torch.optim.AdamW(value.parameters(), lr=1e-2)
    for _ in range(60):
        optimizer.zero_grad()
        masked_mean(value_loss(value(tokens), returns), mask).backward()
        optimizer.step()
    assert (value(tokens) - returns).abs().max() < 0.2


def test_nothing_is_shared_and_dropout_is_off():
    policy = tiny_policy("ab", dropout=0.5, dtype=torch.float32).requires_grad_(False)
    value, before = LanguageValue.from_policy(policy), weights(policy)
    with torch.no_grad():
        value.head.weight.fill_(1.0)
    tokens = torch.tensor([[2, 3, 2, 2]])
    assert torch.equal(value(tokens), value(tokens)) and value.trunk.training
    optimizer = torch.optim.SGD(value.parameters(), lr=0.1)
    value(tokens)[0, 1].backward()
    optimizer.step()
    assert torch.equal(weights(policy), before)
    assert not torch.equal(weights(value.trunk), weights(policy.model.base_model))
    assert all(x.requires_grad for x in value.parameters())


def test_it_can_start_from_the_reward_model():
    policy = tiny_policy("ab")
    judge = RewardModel.from_policy(policy)
    with torch.no_grad():
        judge.trunk.wte.weight.add_(1.0)
    value = LanguageValue(judge.trunk)
    assert torch.equal(value.trunk.wte.weight, judge.trunk.wte.weight)
    assert value.trunk.wte.weight.data_ptr() != judge.trunk.wte.weight.data_ptr()
    value.check_fits(policy)


def test_a_critic_of_another_model_is_named():
    policy = tiny_policy("ab")
    LanguageValue.from_policy(policy).check_fits(policy)
    with pytest.raises(ValueError, match=r"another vocabulary \(vocab_size 5\) than the policy \(4\)"):
        LanguageValue.from_policy(tiny_policy("abc")).check_fits(policy)
    wide = small_gpt2(tiny_tokenizer("ab"), layers=1, width=32, heads=2, positions=16)
    with pytest.raises(ValueError, match=r"another width \(hidden_size 32\) than the policy \(16\)"):
        LanguageValue(wide).check_fits(policy)
    with pytest.raises(ValueError, match="value has 8 positions, but the policy writes texts of up to 16 tokens"):
        LanguageValue.from_policy(tiny_policy("ab", positions=8)).check_fits(policy)
    assert isinstance(policy, LanguagePolicy)
