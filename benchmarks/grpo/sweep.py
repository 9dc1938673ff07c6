"""How the speed depends on the length of a completion and the size of a group, and so on what there is to share."""

import statistics
from collections.abc import Callable, Sequence
from itertools import product

import torch

from benchmarks._clock import Clock
from benchmarks.grpo.race import prompts_in_order, race
from rlcore.agents.grpo import GRPOConfig
from rlcore.lm import character_tokenizer, small_gpt2
from rlcore.lm.base import ADDITION_MODEL
from rlcore.policies import LanguagePolicy
from rlcore.tasks.addition import CHARACTERS

POLICIES = {"sure": 0.9, "unsure": 0.1}  # scale of the output layer: large logits make a policy sure of itself
VARIANTS = {"rlcore, plain": False, "rlcore": True}
LR = 1e-8  # at 1e-4 every policy here writes nothing but sevens after three steps, and all texts are one
PROMPT = 8  # positions for it; an addition has 6 tokens


def endless_policy(scale: float, positions: int) -> LanguagePolicy:
    """The addition model with random weights, made to write until the limit: its vocabulary has no EOS.

    The output layer is not tied to the embedding (a random tied one repeats its input), so that its scale alone
    decides how sure the policy is of its next token.
    """
    tokenizer = character_tokenizer(CHARACTERS)
    model = small_gpt2(tokenizer, **(ADDITION_MODEL | {"positions": positions}))
    tokenizer.add_special_tokens({"eos_token": "<never>"})  # a number that the model cannot choose
    model.config.eos_token_id = model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.config.tie_word_embeddings = False
    weights = torch.randn(model.lm_head.weight.shape, generator=torch.Generator().manual_seed(0))
    model.lm_head.weight = torch.nn.Parameter(scale * weights)
    return LanguagePolicy(model, tokenizer)


def sevens(prompts: list[str], completions: list[str], **_) -> list[float]:
    """The share of sevens: a reward that every group disagrees about, so that there is a gradient to compute."""
    return [text.count("7") / max(len(text), 1) for text in completions]


def sweep(
    lengths: Sequence[int], groups: Sequence[int], steps: int, warm_up: int, progress: Callable[[str], None]
) -> list[dict]:
    """One row per policy, length and group size: CPU ms per step, and how much there was to share.

    Dead groups are computed by all, so that sharing is the only difference between rlcore's two variants.
    """
    rows = []
    for (kind, scale), length, group in product(POLICIES.items(), lengths, groups):
        config = GRPOConfig(steps=warm_up + steps, group_size=group, max_new_tokens=length, lr=LR, final_lr=1.0,
                            skip_dead_groups=False)  # fmt: skip
        clock, dataset = Clock(), prompts_in_order(0, config.steps * config.prompts_per_step)
        rivals = {name: (share, config) for name, share in VARIANTS.items()}
        policy = endless_policy(scale, PROMPT + max(lengths))
        history = race(clock, policy, dataset, sevens, config, rivals, seed=0)["rlcore"][warm_up:]
        means = {name: statistics.fmean(row[name] for row in history)
                 for name in ("entropy", "distinct", "computed", "shared", "completions/mean_length")}  # fmt: skip
        times = {name: clock.split(name, warm_up) for name in clock.laps}
        ratios = clock.speedups("TRL", warm_up)
        rows.append({"policy": kind, "length": length, "group": group, "ms": times, "speedup": ratios} | means)
        medians = {name: round(entry["total"]["median"]) for name, entry in times.items()}
        progress(f"  {kind}, {length} tokens, groups of {group}: {medians} ms")
    return rows
