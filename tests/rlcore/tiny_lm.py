"""Language models of a few tokens, in float64: small enough to enumerate, and far from uniform.

The oracle, `alone`, scores one text at a time: no batch, no padding, no mask, no cache, no dropout.
"""

import copy

import torch
from torch import nn

from rlcore.lm import character_tokenizer, small_gpt2
from rlcore.policies import LanguagePolicy

torch.set_num_threads(1)


def tiny_tokenizer(characters="ab", pad_is_eos=False):
    tokenizer = character_tokenizer(characters)
    if pad_is_eos:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def tiny_policy(
    characters="ab", *, layers=1, positions=16, temperature=1.0, seed=0, spread=0.4, dropout=0.0, pad_is_eos=False,
    dtype=torch.float64, **kwargs,
):
    """A GPT-2 of width 16 with weights large enough that its opinions differ from token to token."""
    tokenizer = tiny_tokenizer(characters, pad_is_eos)
    model = small_gpt2(tokenizer, layers=layers, width=16, heads=2, positions=positions).to(dtype)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weights in model.parameters():
            weights.add_(torch.randn(weights.shape, generator=generator, dtype=torch.float64).to(dtype), alpha=spread)
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = dropout
    return LanguagePolicy(model.train(dropout > 0), tokenizer, temperature, **kwargs)


def alone(model, tokens, temperature=1.0):
    """log π(tokenₜ₊₁ | token₀ … tokenₜ) of one text, a list of n ids -> `[n − 1]`, differentiable."""
    twin = model if not model.training else copy.deepcopy(model).eval()
    logits = twin(input_ids=torch.tensor([tokens[:-1]])).logits[0] / temperature  # [n-1, V]
    return logits.log_softmax(-1)[torch.arange(len(tokens) - 1), torch.tensor(tokens[1:])]


def texts(trajectory):
    """Prompt and completion of each row as a list of ids, without padding, and how long the prompt is."""
    found = []
    for state, action, mask in zip(trajectory.states, trajectory.actions, trajectory.mask, strict=True):
        chosen = mask.nonzero().flatten().tolist()
        assert chosen == list(range(chosen[0], chosen[-1] + 1))  # one piece
        found.append((state[: chosen[0] + 1].tolist(), action[chosen].tolist()))
    return found


def gradient(policy, loss, keep=False):
    """All gradients of a loss in one vector; `keep` the graph for another loss."""
    grads = torch.autograd.grad(loss, list(policy.parameters()), retain_graph=keep)
    return torch.cat([grad.flatten() for grad in grads])


def weights(policy):
    return torch.cat([x.detach().flatten() for x in policy.parameters()]).clone()
