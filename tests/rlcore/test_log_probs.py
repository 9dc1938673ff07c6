"""Log-probs of GPT-2 under padding, temperature and dropout, against one text at a time in float64."""

import pytest
import torch
from tiny_lm import alone, gradient, tiny_policy

from rlcore.lm import response_mask, token_log_probs
from rlcore.lm.log_probs import completion_tokens, position_ids
from rlcore.policies import LanguagePolicy

TEXTS = [[2, 3, 4, 2, 1], [3, 3], [4, 2, 3, 4, 4, 2, 2], [2]]  # <eos> is 1, abc are 2 3 4; the last holds no choice
WIDTH = 7


def padded(side, pad):
    """TEXTS as tokens `[B, 7]` and their attention mask."""
    rows, masks = [], []
    for text in TEXTS:
        gap, real = [pad] * (WIDTH - len(text)), [1] * len(text)
        rows.append(gap + text if side == "left" else text + gap)
        masks.append([0] * len(gap) + real if side == "left" else real + [0] * len(gap))
    return torch.tensor(rows), torch.tensor(masks)


def expected(model, side, temperature):
    rows = []
    for text in TEXTS:
        own = alone(model, text, temperature) if len(text) > 1 else torch.zeros(0, dtype=torch.float64)
        gap = torch.zeros(WIDTH - 1 - len(own), dtype=torch.float64)
        rows.append(torch.cat([gap, own] if side == "left" else [own, gap]))
    return torch.stack(rows)


@pytest.mark.parametrize("temperature", [1.0, 0.6, 2.5])
@pytest.mark.parametrize("pad", [0, 1, 3], ids=["pad", "pad is eos", "pad is a letter"])
@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_padded_batches_score_like_each_text_alone(side, pad, temperature, dropout):
    policy = tiny_policy("abc", layers=2, dropout=dropout)
    tokens, attention = padded(side, pad)
    got = token_log_probs(policy.model, tokens, attention, temperature)
    assert got.shape == (4, WIDTH - 1)
    reference = expected(policy.model, side, temperature)
    torch.testing.assert_close(got, reference, rtol=0, atol=1e-12)
    assert (got <= 0).all() and reference.min() < -1  # the model has opinions
    assert torch.equal(token_log_probs(policy.model, tokens, attention.bool(), temperature), got)
    assert policy.model.training == (dropout > 0)  # left as it was found


@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_reaches_no_gradient(side):
    policy = tiny_policy("abc", layers=2)
    grads = []
    for pad in (0, 3):
        tokens, attention = padded(side, pad)
        grads.append(gradient(policy, token_log_probs(policy.model, tokens, attention).sum()))
    one_by_one = sum(alone(policy.model, text).sum() for text in TEXTS if len(text) > 1)
    torch.testing.assert_close(grads[0], gradient(policy, one_by_one), rtol=0, atol=1e-11)
    torch.testing.assert_close(grads[0], grads[1], rtol=0, atol=1e-12)
    assert grads[0].isfinite().all()


@pytest.mark.parametrize("temperature", [1.0, 0.6])
@pytest.mark.parametrize("share", [True, False])
@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_the_policy_and_token_log_probs_say_the_same(temperature, share, dropout):
    policy = tiny_policy("abc", temperature=temperature, share_prefixes=share, dropout=dropout)
    tokens, attention = padded("right", 0)
    scores = token_log_probs(policy.model, tokens, attention, temperature)
    mask = attention[:, 1:].bool()
    for _ in range(2):  # and twice the same: dropout is off
        log_probs, entropy = policy.evaluate_actions(tokens[:, :-1], tokens[:, 1:], mask, entropy=True)
        torch.testing.assert_close(log_probs, scores, rtol=0, atol=1e-12)
    plain = policy(tokens[:, :-1])
    torch.testing.assert_close(plain.log_prob(tokens[:, 1:]) * mask, scores, rtol=0, atol=1e-12)
    p = plain.probs
    torch.testing.assert_close(entropy, -(p * p.log()).sum(-1) * mask, rtol=0, atol=1e-12)
    assert policy.model.training == (dropout > 0)


def test_dropout_would_have_changed_the_numbers():
    policy = tiny_policy("abc", dropout=0.5)
    tokens = torch.tensor(TEXTS[:1])
    noisy = policy.model(input_ids=tokens).logits
    assert not torch.allclose(noisy, policy(tokens).logits + noisy.logsumexp(-1, keepdim=True), atol=1e-3)


def test_causality_a_later_token_changes_nothing_before_it():
    policy = tiny_policy("abc")
    tokens = torch.tensor([[2, 3, 4, 2, 3]])
    other = torch.tensor([[2, 3, 4, 3, 4]])
    assert torch.equal(policy(tokens).logits[:, :3], policy(other).logits[:, :3])
    assert not torch.allclose(policy(tokens).logits[:, 3], policy(other).logits[:, 3])


@pytest.mark.parametrize("side", ["left", "right"])
def test_transformers_loss_is_minus_the_mean_over_the_labels(side):
    model = tiny_policy("abc", layers=2).model
    tokens, attention = padded(side, 0)
    labels = tokens.masked_fill(attention == 0, -100)
    labels[2, 3] = -100  # a token that is read but not learned
    if side == "left":  # the first real token follows padding: there is nothing to predict it from
        labels[attention.cumsum(-1) == 1] = -100
    loss = model(
        input_ids=tokens, attention_mask=attention, position_ids=position_ids(attention), labels=labels
    ).loss
    learned = labels[:, 1:] != -100
    scores = token_log_probs(model, tokens, attention)[learned]
    assert learned.sum() == 4 + 1 + 6 - 1
    torch.testing.assert_close(loss.double(), -scores.mean(), rtol=0, atol=1e-6)  # Transformers sums in float32


def test_position_ids_by_hand():
    attention = torch.tensor([[0, 0, 1, 1, 1], [1, 1, 1, 0, 0]])
    assert position_ids(attention).tolist() == [[0, 0, 0, 1, 2], [0, 1, 2, 2, 2]]
    assert torch.equal(position_ids(attention.bool()), position_ids(attention))


def test_response_mask_counts_the_first_eos_and_nothing_after_it():
    completions = torch.tensor([[5, 6, 1, 0], [5, 1, 1, 1], [1, 0, 0, 0], [5, 6, 7, 8], [0, 5, 1, 7]])
    expected = [[1, 1, 1, 0], [1, 1, 0, 0], [1, 0, 0, 0], [1, 1, 1, 1], [1, 1, 1, 0]]  # a sampled pad token counts
    mask = response_mask(completions, eos_token_id=1)
    assert mask.dtype == torch.bool and mask.int().tolist() == expected
    assert completion_tokens(completions, mask) == [[5, 6, 1], [5, 1], [1], [5, 6, 7, 8], [0, 5, 1]]


def test_errors_are_named():
    model = tiny_policy("abc", positions=4).model
    tokens = torch.tensor([[2, 3, 4, 2, 3]])
    with pytest.raises(ValueError, match="a text of 5 tokens, but the model has only 4 positions"):
        token_log_probs(model, tokens, torch.ones_like(tokens))
    fits = torch.tensor([[0, 1, 1, 1, 1]])  # five columns, four tokens
    assert token_log_probs(model, tokens, fits).shape == (1, 4)
    for bad in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match=f"temperature must be a positive number, but is {bad}"):
            token_log_probs(model, tokens, fits, bad)
        with pytest.raises(ValueError, match=f"temperature must be a positive number, but is {bad}"):
            LanguagePolicy(model, None, temperature=bad)
    with pytest.raises(ValueError, match=r"tokens \(1, 5\), attention_mask \(5,\)"):
        token_log_probs(model, tokens, fits[0])
