"""Preference pairs: two replies of one policy to the same request, for somebody to choose between."""

from pathlib import Path

import torch
from datasets import Dataset

from rlcore.lm.base import assistant_base, assistant_recipe
from rlcore.lm.cache import cached
from rlcore.lm.sampling import completion_texts, generate
from rlcore.policies import LanguagePolicy
from rlcore.tasks.annotator import Annotator
from rlcore.tasks.assistant import assistant_prompts
from rlcore.tasks.assistant_grammar import MAX_NEW_TOKENS
from rlcore.tasks.formats import check_columns, load_jsonl, save_jsonl
from rlcore.validate import check_positive

ROUND = 500  # pairs sampled at a time
POOL = 4000  # pairs in one file of the cache; more are made in multiples of it
PATIENCE = 20  # rounds without a pair until the policy is said to have only one answer


def sample_pairs(policy: LanguagePolicy, prompts: Dataset, size: int, max_new_tokens: int, seed: int = 0) -> Dataset:
    """Two different replies to each of `size` requests, drawn from `prompts` with replacement.

    Columns: `prompt`, `first`, `second`. A pair of equal texts, or with an empty one, is left out and another
    request asked, so a request that the policy always answers alike is rare among the pairs. The first n pairs are
    the same whatever the size.

    Raises:
        ValueError: size below 1, no column `prompt`, or a policy that hardly ever gives two different answers.
    """
    check_positive("size", size)
    check_columns(prompts, "prompt", name="prompts")
    known, generator, pairs, idle = list(prompts["prompt"]), torch.Generator().manual_seed(seed), [], 0
    while len(pairs) < size:
        asked = [known[i] for i in torch.randint(len(known), (ROUND,), generator=generator)]
        twice = generate(policy, asked * 2, max_new_tokens=max_new_tokens, generator=generator)
        texts = completion_texts(twice, policy.tokenizer)
        found = [{"prompt": prompt, "first": a, "second": b}
                 for prompt, a, b in zip(asked, texts[:ROUND], texts[ROUND:], strict=True) if a and b and a != b]
        idle = 0 if found else idle + 1
        if idle == PATIENCE:
            raise ValueError(f"policy gave the same answer twice, or none, to {PATIENCE * ROUND} requests in a row: "
                             "between those there is nothing to choose; raise its temperature")
        pairs += found
    return Dataset.from_list(pairs[:size])


def preference_pairs(
    size: int = POOL, seed: int = 0, *, split: str = "train", annotator: Annotator | None = None, base_seed: int = 0
) -> Dataset:
    """Replies of `assistant_base(base_seed)`, compared by an annotator: `prompt`, `chosen`, `rejected`.

    What was sampled is cached, and the first n pairs and labels are the same whatever the size, so that 250 pairs are
    a part of the 4000. `split` says whose requests are asked (see `assistant_prompts`), the annotator is
    `Annotator()` unless another is given, and `seed` throws the dice of both.

    Raises:
        ValueError: size below 1, or a split that there is not.
    """
    check_positive("size", size)
    prompts = assistant_prompts(split)
    pool = -(-size // POOL) * POOL
    recipe = {"policy": assistant_recipe(base_seed), "split": split, "pairs": pool, "seed": seed, "version": 1}

    def build(folder: Path) -> None:
        save_jsonl(sample_pairs(assistant_base(base_seed), prompts, pool, MAX_NEW_TOKENS, seed), folder / "pairs.jsonl")

    pairs = load_jsonl(cached("assistant-pairs", recipe, build) / "pairs.jsonl")
    return (annotator or Annotator()).label(pairs.select(range(size)), seed)
