"""How good is a language policy? Accuracy, and pass@k, on problems that it was never trained on."""

from math import comb

import torch
from datasets import Dataset

from rlcore.lm.sampling import completion_texts, generate
from rlcore.policies import LanguagePolicy
from rlcore.tasks.rewards import Reward, total_reward


def answer(
    policy: LanguagePolicy, dataset: Dataset, max_new_tokens: int, greedy: bool = True, seed: int = 0
) -> list[str]:
    """The policy's completions to the prompts of a data set, in order."""
    generator = torch.Generator().manual_seed(seed)
    trajectory = generate(
        policy, list(dataset["prompt"]), max_new_tokens=max_new_tokens, greedy=greedy, generator=generator
    )
    return completion_texts(trajectory, policy.tokenizer)


def accuracy(
    policy: LanguagePolicy, dataset: Dataset, reward: Reward, max_new_tokens: int, greedy: bool = True, seed: int = 0
) -> float:
    """The mean reward of one completion per prompt, in [0, 1] for a reward that is 0 or 1."""
    completions = answer(policy, dataset, max_new_tokens, greedy, seed)
    columns = {name: list(dataset[name]) for name in dataset.column_names if name not in ("prompt", "completion")}
    return total_reward([reward], list(dataset["prompt"]), completions, columns).mean().item()


def pass_at_k(samples: int, correct: int, k: int) -> float:
    """The chance that at least one of k samples is right, estimated without bias from n ≥ k samples of which c were.

    pass@k = 1 − C(n − c, k) / C(n, k)

    The obvious estimate 1 − (1 − c/n)ᵏ is biased downwards.

    Raises:
        ValueError: k outside 1..n, or c outside 0..n.
    Source: Chen et al. (2021), arXiv:2107.03374, eq. 1.
    """
    if not 1 <= k <= samples:
        raise ValueError(f"k must lie in 1..{samples} (the number of samples), but is {k}")
    if not 0 <= correct <= samples:
        raise ValueError(f"correct must lie in 0..{samples} (the number of samples), but is {correct}")
    return 1.0 - comb(samples - correct, k) / comb(samples, k)
