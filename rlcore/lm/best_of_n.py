"""Best of N: let the policy answer N times and keep what the reward likes most. Nothing is trained."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import comb, log

import torch
from torch import Tensor

from rlcore.lm.sampling import completion_texts, generate
from rlcore.policies import LanguagePolicy
from rlcore.tasks.rewards import Reward, total_reward
from rlcore.validate import check_real


@dataclass(frozen=True)
class BestOfN:
    """The best completion of each prompt, and all that it was chosen from."""

    completions: list[str]  # the best of each prompt
    rewards: Tensor  # [P]  what the reward says of it
    all_completions: list[list[str]]  # P lists of N
    all_rewards: Tensor  # [P, N]


def best_of_n(
    policy: LanguagePolicy,
    prompts: Sequence[str],
    reward: Reward,
    n: int,
    *,
    max_new_tokens: int,
    columns: Mapping[str, Sequence] | None = None,
    generator: torch.Generator | None = None,
) -> BestOfN:
    """Sample N completions of each prompt and keep the one with the highest reward (the first of several).

    `reward` is any reward function, `reward_model.reward` for one; `columns` are handed to it, one entry per prompt.
    How far this moves from the policy is known without measuring it: `best_of_n_kl`.

    Raises:
        ValueError: n below 1, columns of another length, and whatever `generate` and `total_reward` object to.
    Source: Stiennon et al. (2020), arXiv:2009.01325, appendix G.3; Nakano et al. (2021), arXiv:2112.09332.
    """
    _check_count("n", n)
    columns = columns or {}
    for name, column in columns.items():
        if len(column) != len(prompts):
            raise ValueError(f"columns[{name!r}] must have one entry per prompt ({len(prompts)}), but has "
                             f"{len(column)}")
    repeated = {name: [entry for entry in column for _ in range(n)] for name, column in columns.items()}
    asked = prompts if isinstance(prompts, str) else [prompt for prompt in prompts for _ in range(n)]
    trajectory = generate(policy, asked, max_new_tokens=max_new_tokens, generator=generator)
    texts = completion_texts(trajectory, policy.tokenizer)
    rewards = total_reward([reward], asked, texts, repeated).view(-1, n)  # [P, N]
    groups = [texts[i : i + n] for i in range(0, len(texts), n)]
    best = rewards.argmax(-1)  # [P]
    chosen = [group[i] for group, i in zip(groups, best.tolist(), strict=True)]
    return BestOfN(chosen, rewards.gather(-1, best[:, None])[:, 0], groups, rewards)


def best_of_n_kl(n: int) -> float:
    """How far best-of-N is from the policy that it samples, at most: a bound on the KL divergence, in nats per answer.

    KL(π_N ‖ π) ≤ log N − (N − 1)/N

    With equality where no two answers get the same reward and none has a noticeable probability of its own, which is
    how the formula is usually quoted; where a few answers share the probability, the truth lies below.

    Raises:
        ValueError: n below 1.
    Source: quoted as the value by Stiennon et al. (2020), arXiv:2009.01325, appendix G.3, and Gao et al. (2023),
        arXiv:2210.10760; shown to be a bound by Beirami et al. (2024), arXiv:2401.01879, section 3.
    """
    _check_count("n", n)
    return log(n) - (n - 1) / n


def expected_best(rewards: Tensor, k: int) -> Tensor:
    """What best-of-k would have got, estimated without bias from N ≥ k samples: `[..., N] -> [...]`.

    E[max of k] = Σᵢ r₍ᵢ₎ C(i − 1, k − 1) / C(N, k),  r₍₁₎ ≤ … ≤ r₍N₎

    So the curve over k comes from one set of samples. For rewards of 0 and 1 it is `pass_at_k`. It is the reward that
    chose which is averaged here; what a second judge says of the chosen ones is another question.

    Raises:
        ValueError: k outside 1..N.
    Source: Chen et al. (2021), arXiv:2107.03374, eq. 1, for rewards that are not only 0 and 1.
    """
    check_real(rewards=rewards)
    count = rewards.shape[-1]
    if not 1 <= k <= count:
        raise ValueError(f"k must lie in 1..{count} (the number of samples), but is {k}")
    weights = [comb(i, k - 1) / comb(count, k) for i in range(count)]
    return rewards.sort(-1).values @ torch.tensor(weights, dtype=rewards.dtype)


def _check_count(name: str, value: int) -> None:
    if not isinstance(value, int) or value < 1:
        raise ValueError(f"{name} must be a whole number of at least 1, but is {value}")
