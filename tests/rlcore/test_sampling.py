"""Sampling: what is written, how likely it was, where it ends, and what of it was the policy's own choice."""

import itertools

import pytest
import torch
from tiny_lm import alone, texts, tiny_policy

from rlcore import policies
from rlcore.lm import completion_texts, generate, response_mask, token_log_probs
from rlcore.lm.sampling import left_pad, pack
from rlcore.lm.tokenizer import encode
from rlcore.losses import policy_gradient_loss
from rlcore.trajectory import last_steps

PROMPTS = ["a", "abba", "bb", "a", "abba", "b"]  # of different lengths, some of them twice


@pytest.fixture(params=[True, False], ids=["shared", "plain"])
def share(request, monkeypatch):
    monkeypatch.setattr(policies, "saves_work", lambda *_: True)  # share wherever it is allowed
    return request.param


def write(policy, prompts=PROMPTS, max_new_tokens=5, seed=0, **kwargs):
    return generate(
        policy, prompts, max_new_tokens=max_new_tokens, generator=torch.Generator().manual_seed(seed), **kwargs
    )


@pytest.mark.parametrize("dropout", [0.0, 0.5])
@pytest.mark.parametrize("temperature", [1.0, 0.7])
@pytest.mark.parametrize("pad_is_eos", [False, True])
def test_log_probs_are_those_of_each_text_alone(share, pad_is_eos, temperature, dropout):
    options = {"pad_is_eos": pad_is_eos, "temperature": temperature, "dropout": dropout, "share_prefixes": share}
    policy = tiny_policy("ab", layers=2, **options)
    trajectory = write(policy, PROMPTS * 3)
    for row, ((prompt, completion), text) in enumerate(zip(texts(trajectory), PROMPTS * 3, strict=True)):
        assert prompt == encode(policy.tokenizer, text)
        reference = alone(policy.model, prompt + completion, temperature)[len(prompt) - 1 :]
        got = trajectory.log_probs[row][trajectory.mask[row]]
        torch.testing.assert_close(got, reference, rtol=0, atol=1e-12)
    assert (trajectory.log_probs[~trajectory.mask] == 0).all()
    assert policy.model.training == (dropout > 0)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
@pytest.mark.parametrize("temperature", [1.0, 0.7])
@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_the_ratio_is_1_before_the_first_update(share, dtype, tolerance, temperature, dropout):
    options = {"dtype": dtype, "temperature": temperature, "dropout": dropout, "share_prefixes": share}
    policy = tiny_policy("ab", layers=2, **options)
    trajectory = write(policy)
    assert trajectory.log_probs.dtype == trajectory.rewards.dtype == dtype
    log_probs, _ = policy.evaluate_actions(trajectory.states, trajectory.actions, trajectory.mask)
    ratio = (log_probs - trajectory.log_probs).exp()
    assert (ratio - 1).abs().max() <= tolerance


def test_a_greedy_policy_takes_the_likeliest_token_every_time(share):
    policy = tiny_policy("ab", share_prefixes=share)
    trajectory = generate(policy, PROMPTS, max_new_tokens=5, greedy=True)
    for row, (prompt, completion) in enumerate(texts(trajectory)):
        text, expected = list(prompt), []
        for _ in range(5):  # without a cache, a batch or a mask
            text.append(policy.model(input_ids=torch.tensor([text])).logits[0, -1].argmax().item())
            expected.append(text[-1])
            if text[-1] == policy.tokenizer.eos_token_id:
                break
        assert completion == expected
        assert trajectory.log_probs[row][trajectory.mask[row]].tolist() == pytest.approx(
            alone(policy.model, text)[len(prompt) - 1 :].tolist(), abs=1e-12
        )
    assert torch.equal(generate(policy, PROMPTS, max_new_tokens=5, greedy=True).actions, trajectory.actions)


@pytest.mark.parametrize("pad_is_eos", [False, True])
def test_eos_terminates_and_the_length_limit_truncates(share, pad_is_eos):
    policy = tiny_policy("ab", pad_is_eos=pad_is_eos, share_prefixes=share)
    eos, trajectory = policy.tokenizer.eos_token_id, write(policy, PROMPTS * 8, max_new_tokens=3)
    mask = trajectory.mask
    assert trajectory.terminated.any() and trajectory.truncated.any()
    assert torch.equal(trajectory.done, last_steps(mask)) and mask.any(-1).all()
    assert not (trajectory.terminated & trajectory.truncated).any()
    assert torch.equal(trajectory.terminated, mask & (trajectory.actions == eos))  # the EOS is in the mask
    lengths = mask.sum(-1)
    assert (lengths[trajectory.truncated.any(-1)] == 3).all() and lengths.min() >= 1 and lengths.max() == 3
    ended_at_the_limit = trajectory.terminated.any(-1) & (lengths == 3)
    assert ended_at_the_limit.any()  # EOS as the last token that was allowed: it has ended, it was not cut off
    for row, (prompt, completion) in enumerate(texts(trajectory)):
        assert eos not in completion[:-1]
        tail = trajectory.actions[row, len(prompt) - 1 + len(completion) :]
        assert (tail == policy.tokenizer.pad_token_id).all()
    assert torch.equal(trajectory.states[:, 1:], trajectory.actions[:, :-1])  # text is its own state
    assert (trajectory.rewards == 0).all() and mask.any(0)[-1]  # no column that nobody needs


def test_the_same_seed_writes_the_same_text(share):
    policy = tiny_policy("ab", share_prefixes=share)
    torch.manual_seed(1)
    first = write(policy, seed=3)
    torch.manual_seed(2)
    again = write(policy, seed=3)
    assert torch.equal(first.actions, again.actions) and torch.equal(first.log_probs, again.log_probs)
    assert not torch.equal(write(policy, ["a"] * 64, seed=3).states, write(policy, ["a"] * 64, seed=4).states)


def test_samples_follow_the_policy(share):
    policy = tiny_policy("ab", temperature=0.7, share_prefixes=share)
    count = 4000
    trajectory = write(policy, ["ab"] * count, max_new_tokens=2)
    found = {}
    for _, completion in texts(trajectory):
        found[tuple(completion)] = found.get(tuple(completion), 0) + 1
    prompt, total = encode(policy.tokenizer, "ab"), 0.0
    for completion in language(vocabulary=4, longest=2):
        p = alone(policy.model, prompt + list(completion), 0.7)[1:].sum().exp().item()
        total += p
        assert abs(found.get(completion, 0) / count - p) < 5 * (p * (1 - p) / count) ** 0.5 + 1e-9
    assert total == pytest.approx(1.0, abs=1e-12)


def test_texts_are_what_was_chosen_without_special_tokens():
    policy = tiny_policy("ab")
    tokens, attention = left_pad([[2], [3, 2]], 0)
    assert tokens.tolist() == [[0, 2], [3, 2]] and attention.tolist() == [[False, True], [True, True]]
    completions = torch.tensor([[2, 3, 1, 3], [3, 3, 3, 3]])
    scores = -torch.arange(1.0, 9).view(2, 4)
    trajectory = pack(tokens, attention, completions, scores, policy.tokenizer)
    assert trajectory.states.tolist() == [[2, 2, 3, 1, 0], [3, 2, 3, 3, 3]]
    assert trajectory.actions.tolist() == [[2, 3, 1, 0, 0], [2, 3, 3, 3, 3]]
    assert trajectory.mask.int().tolist() == [[1, 1, 1, 0, 0], [0, 1, 1, 1, 1]]
    assert trajectory.log_probs.tolist() == [[-1, -2, -3, 0, 0], [0, -5, -6, -7, -8]]
    assert trajectory.terminated.int().tolist() == [[0, 0, 1, 0, 0], [0, 0, 0, 0, 0]]
    assert trajectory.truncated.int().tolist() == [[0, 0, 0, 0, 0], [0, 0, 0, 0, 1]]
    assert completion_texts(trajectory, policy.tokenizer) == ["ab", "bbbb"]


def test_trajectories_and_token_log_probs_agree(share):
    policy = tiny_policy("ab", temperature=0.7, share_prefixes=share)
    trajectory = write(policy)
    tokens = torch.cat([trajectory.states[:, :1], trajectory.actions], -1)
    ends = trajectory.mask.long().cumsum(-1).argmax(-1) + 1  # the last own token
    attention = torch.arange(tokens.shape[1]) <= ends[:, None]
    scores = token_log_probs(policy.model, tokens, attention, temperature=0.7)
    torch.testing.assert_close(scores * trajectory.mask, trajectory.log_probs, rtol=0, atol=1e-12)


def test_what_cannot_be_sampled_is_named():
    policy = tiny_policy("ab", positions=6)
    with pytest.raises(ValueError, match="prompts is empty"):
        generate(policy, [], max_new_tokens=2)
    with pytest.raises(ValueError, match="text '' has no tokens: a prompt needs at least one"):
        generate(policy, ["a", ""], max_new_tokens=2)
    with pytest.raises(ValueError, match="text 'axb' has characters outside the vocabulary 'ab'"):
        generate(policy, ["axb"], max_new_tokens=2)
    with pytest.raises(ValueError, match="max_new_tokens must be at least 1, but is 0"):
        generate(policy, ["a"], max_new_tokens=0)
    with pytest.raises(ValueError, match="a prompt of 3 tokens and max_new_tokens=4 make 7, but the model has only 6"):
        generate(policy, ["a", "aba"], max_new_tokens=4)
    longest = generate(policy, ["aba"] * 200, max_new_tokens=3, generator=torch.Generator().manual_seed(0))
    assert longest.mask.sum(-1).max() == 3  # just fits


# ---------------------------------------------------------------- a language of a few tokens, written down whole


def language(vocabulary, longest, eos=1):
    """Every completion: ends with EOS, or is cut off at `longest`."""
    for length in range(1, longest + 1):
        for tokens in itertools.product(range(vocabulary), repeat=length):
            if eos not in tokens[:-1] and (tokens[-1] == eos or length == longest):
                yield tokens


def test_token_mdp_and_sequence_bandit_have_the_same_gradient():
    # π(y) r(y) summed over every completion y of up to 3 tokens out of (pad, eos, a): 1 + 2 + 4·3 = 15 of them
    policy = tiny_policy("a")
    prompt, completions = encode(policy.tokenizer, "aa"), list(language(3, 3))
    assert len(completions) == 1 + 2 + 4 * 3
    generator = torch.Generator().manual_seed(0)
    step_rewards = {}  # one reward per step: a function of the text so far and the action
    for y in completions:
        for t in range(len(y)):
            step_rewards.setdefault(y[: t + 1], torch.randn((), generator=generator, dtype=torch.float64))
    value = bandit = tokens = whole_return = 0.0
    for y in completions:
        log_probs = alone(policy.model, prompt + list(y))[len(prompt) - 1 :]  # [T]
        rewards = torch.stack([step_rewards[y[: t + 1]] for t in range(len(y))])
        to_go, weight = rewards.flip(0).cumsum(0).flip(0), log_probs.detach().sum().exp()
        value = value + log_probs.sum().exp() * rewards.sum()
        bandit = bandit + weight * policy_gradient_loss(log_probs.sum()[None], rewards.sum()[None]).sum()
        tokens = tokens + weight * policy_gradient_loss(log_probs, to_go).sum()
        whole_return = whole_return + weight * policy_gradient_loss(log_probs, rewards.sum().expand(len(y))).sum()
    parameters = list(policy.parameters())

    def flat(loss):
        return torch.cat([g.flatten() for g in torch.autograd.grad(loss, parameters, retain_graph=True)])

    exact = flat(value)  # the gradient of the expected return itself
    assert exact.abs().max() > 0.01
    for loss in (bandit, tokens, whole_return):
        torch.testing.assert_close(flat(loss), -exact, rtol=0, atol=1e-13)


def test_response_mask_and_generation_use_one_rule():
    policy = tiny_policy("ab", pad_is_eos=True)
    trajectory = write(policy, ["ab"] * 16, max_new_tokens=4)
    completions = trajectory.actions[:, 1:]
    assert torch.equal(response_mask(completions, policy.tokenizer.eos_token_id), trajectory.mask[:, 1:])


def test_one_text_is_no_list_of_texts():
    with pytest.raises(ValueError, match=r"prompts must be a list of texts, but is one text, '12': write \['12'\]"):
        generate(None, "12", max_new_tokens=1)
