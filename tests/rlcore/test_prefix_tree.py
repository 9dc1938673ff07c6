"""Shared prefixes against the plain forward: the same numbers, values and gradients, in float64."""

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from rlcore import policies
from rlcore.lm import character_tokenizer, generate, small_gpt2
from rlcore.policies import LanguagePolicy
from rlcore.prefix_tree import prefix_trees, saves_work

TOKENIZER = character_tokenizer("0123456789+=")


@pytest.fixture
def model():
    model = small_gpt2(TOKENIZER, layers=2, width=32, heads=4, positions=24).double()
    with torch.no_grad():
        model.lm_head.weight.mul_(4)  # sharper: some completions agree, some end early
    return model


@pytest.fixture(autouse=True)
def always_share(monkeypatch):
    monkeypatch.setattr(policies, "saves_work", lambda *_: True)  # also where the plain forward would be cheaper


def both(model):
    return [LanguagePolicy(model, TOKENIZER, temperature=0.8, share_prefixes=share) for share in (True, False)]


def scores(policy, trajectory):
    """Log-probs, entropy, and the gradient of a random weighting of both."""
    policy.model.zero_grad()
    log_probs, entropy = policy.evaluate_actions(
        trajectory.states, trajectory.actions, trajectory.mask, entropy=True
    )
    weights = torch.randn(log_probs.shape, generator=torch.Generator().manual_seed(1), dtype=log_probs.dtype)
    ((log_probs * weights).sum() + (entropy * weights.flip(0)).sum()).backward()
    return log_probs.detach(), entropy.detach(), torch.cat([p.grad.flatten() for p in policy.model.parameters()])


CASES = {
    "groups, and prompts of different lengths": ["1+2="] * 8 + ["33+44="] * 8 + ["5", "12+1=", "1+2="],
    "group of one": ["12+34="],
    "all prompts distinct": ["1", "2", "3", "44"],
    "one prompt is the beginning of another": ["1+"] * 4 + ["1+2="] * 4 + ["1"] * 4,
}


@pytest.mark.parametrize("prompts", CASES.values(), ids=CASES.keys())
@pytest.mark.parametrize("greedy", [False, True], ids=["sampled", "greedy: one distinct completion"])
def test_values_and_gradients_equal_the_plain_forward(model, prompts, greedy):
    shared, plain = both(model)
    text = generate(plain, prompts, max_new_tokens=7, greedy=greedy, generator=torch.Generator().manual_seed(0))
    for a, b in zip(scores(shared, text), scores(plain, text), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-10)
    assert scores(plain, text)[2].abs().max() > 1e-3  # there was a gradient to get wrong


@pytest.mark.parametrize("prompts", CASES.values(), ids=CASES.keys())
@pytest.mark.parametrize("greedy", [False, True])
def test_sampling_writes_the_same_text_with_the_same_log_probs(model, prompts, greedy):
    texts = [generate(policy, prompts, max_new_tokens=7, greedy=greedy, generator=torch.Generator().manual_seed(0))
             for policy in both(model)]
    shared, plain = texts
    assert torch.equal(shared.actions, plain.actions) and torch.equal(shared.mask, plain.mask)
    assert torch.equal(shared.terminated, plain.terminated) and torch.equal(shared.truncated, plain.truncated)
    torch.testing.assert_close(shared.log_probs, plain.log_probs, rtol=0, atol=1e-10)
    if not greedy and len(prompts) > 4:
        assert shared.terminated.any() and shared.truncated.any()  # some end with EOS, some are cut off


def test_all_completions_distinct_and_eos_in_the_middle_of_a_row(model):
    # Four texts after "1+": every second token differs at once, and one holds EOS where another goes on.
    tokens = torch.tensor([[3, 12, 4, 1, 0, 0], [3, 12, 5, 6, 7, 1], [3, 12, 1, 8, 9, 2], [3, 12, 6, 6, 6, 6]])
    mask = torch.tensor([[0, 1, 1, 0, 0], [0, 1, 1, 1, 1], [0, 1, 1, 1, 1], [0, 1, 1, 1, 1]]).bool()
    results = [policy.evaluate_actions(tokens[:, :-1], tokens[:, 1:], mask)[0] for policy in both(model)]
    torch.testing.assert_close(*results, rtol=0, atol=1e-10)


def test_a_mask_with_gaps_as_in_a_dialogue(model):
    tokens = torch.tensor([[3, 12, 4, 5, 6, 7], [3, 12, 4, 5, 6, 8], [3, 2, 4, 5, 6, 7], [3, 2, 4, 9, 9, 9]])
    mask = torch.tensor([[1, 0, 0, 1, 1], [1, 0, 0, 1, 1], [0, 0, 1, 0, 1], [0, 0, 0, 0, 0]]).bool()
    results = [policy.evaluate_actions(tokens[:, :-1], tokens[:, 1:], mask)[0] for policy in both(model)]
    torch.testing.assert_close(*results, rtol=0, atol=1e-10)
    assert (results[0][~mask] == 0).all()


def test_each_prefix_is_computed_once():
    # "ab" answered with "cd", "cd", "ce": a-b-c is common, then d and e are asked for but nothing follows them.
    states = torch.tensor([[7, 8, 9], [7, 8, 9], [7, 8, 9]])
    mask = torch.tensor([[False, True, True]] * 3)
    trees = prefix_trees(states, mask)
    assert trees.tokens.tolist() == [[7, 8, 9]]  # one tree of three nodes instead of nine tokens
    assert trees.visible[0].tolist() == [[True, False, False], [True, True, False], [True, True, True]]


def test_two_prompts_are_two_trees_even_where_they_begin_alike():
    states = torch.tensor([[7, 8, 9, 4], [7, 5, 9, 4], [7, 8, 9, 3]])
    mask = torch.tensor([[False, True, True, True]] * 3)
    trees = prefix_trees(states, mask)
    assert trees.tree[0] == trees.tree[2] != trees.tree[1]
    assert sorted((~trees.visible.diagonal(dim1=1, dim2=2)).sum(1).tolist()) == [0, 0]
    assert trees.tokens.shape == (2, 5)  # 7 8 9 then 4 and 3; 7 5 9 4


def test_dropout_of_a_model_in_training_mode_does_not_reach_the_numbers():
    config = GPT2Config(vocab_size=len(TOKENIZER), n_positions=24, n_embd=32, n_layer=2, n_head=4)  # dropout 0.1
    model = GPT2LMHeadModel(config).double().train()
    shared, plain = both(model)
    text = generate(shared, ["1+2="] * 6, max_new_tokens=5, generator=torch.Generator().manual_seed(0))
    for a, b in zip(scores(shared, text), scores(plain, text), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-10)
    assert model.training


def test_sharing_is_chosen_where_it_is_less_work():
    group = torch.tensor([[3, 4, 5, 6]] * 8)
    alike = prefix_trees(group, torch.tensor([[False, False, True, True]] * 8))
    assert saves_work(alike, 8, 4, width=128)
    generator = torch.Generator().manual_seed(0)
    strangers = torch.randint(50, (32, 200), generator=generator)
    strangers[:, 0] = 3  # one short prompt, and then 32 long texts with nothing in common
    apart = prefix_trees(strangers, torch.ones(32, 200, dtype=torch.bool))
    assert not saves_work(apart, 32, 200, width=128)


def test_sharing_is_on_for_gpt2_only(model):
    assert LanguagePolicy(model, TOKENIZER).share_prefixes
    model.config.model_type = "some-other-architecture"
    assert not LanguagePolicy(model, TOKENIZER).share_prefixes


@pytest.mark.parametrize("kind", ["eager", "sdpa"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_either_kind_of_attention_keeps_to_the_tree(kind, dtype):
    model = small_gpt2(TOKENIZER, layers=2, width=32, heads=4, positions=24).to(dtype)
    model.set_attn_implementation(kind)  # eager attention adds the mask to its scores: a bool one would be wrong there
    shared, plain = both(model)
    text = generate(plain, ["1+2="] * 6 + ["3"], max_new_tokens=6, generator=torch.Generator().manual_seed(0))
    a, b = (policy.evaluate_actions(text.states, text.actions, text.mask)[0] for policy in (shared, plain))
    torch.testing.assert_close(a, b, rtol=0, atol=1e-5 if dtype == torch.float32 else 1e-12)
    torch.testing.assert_close(a, text.log_probs, rtol=0, atol=1e-5 if dtype == torch.float32 else 1e-12)
