"""DPO on the assistant world: where the probability goes, and what brings it back, on the pairs that RLHF had.

    python -m benchmarks.dpo_variants
    python -m benchmarks.dpo_variants --show

For each seed the base model and the 4,000 comparisons are those of `rlhf_frontier`'s good judge. Every few steps, off
the clock, the policy is sampled and judged by the truth (gold), which training never sees, and its implicit reward is
held against new pairs, the ones on which `reward_model_pairs` tests its judges.

"own pairs" spends as many comparisons in four rounds: the first thousand are the base's, and the others are written by
the policy itself, as it is by then. "imitation" learns from the chosen replies only, by cross-entropy: SFT at a
constant rate, rows drawn with replacement, as many steps.
"""

import math
import statistics
from collections.abc import Iterator
from dataclasses import asdict, replace
from functools import cache

import torch
from datasets import Dataset

from benchmarks._record import RESULTS, table
from benchmarks._sweep import block_means, on_the_clock, runs_of, sweep
from rlcore.agents.dpo import DPO, DPOConfig
from rlcore.lm.base import assistant_base
from rlcore.lm.pairs import preference_pairs, sample_pairs
from rlcore.lm.prompts import answer_in_groups
from rlcore.lm.reference import frozen_copy, log_probs_of
from rlcore.lm.reward_model import PAIR
from rlcore.lm.sft import SFT, SFTConfig, pack_examples
from rlcore.policies import LanguagePolicy
from rlcore.tasks.annotator import Annotator
from rlcore.tasks.assistant import assistant_prompts, gold_parts, gold_reward
from rlcore.tasks.assistant_grammar import MAX_NEW_TOKENS

OUTPUT = RESULTS / "dpo_variants.json"
SEEDS = range(5)
PAIRS = 4000  # comparisons, in every variant
ROUNDS = 4  # of "own pairs"
TEST = 2000  # new pairs at the end; a quarter of them on the way
OTHER_DICE = 1000  # seed of the new pairs: this more than that of the training pairs
EVERY = 32  # steps between two looks
BLOCK = 6  # steps whose metrics are averaged
REPLIES = 12  # replies that are written down at the end
CONFIG = DPOConfig()
MEAN_LENGTH = 13.5  # tokens of a base reply, EOS included: with β times this, a reply of mean length pays what it paid
PER_TOKEN = replace(CONFIG, length_normalize=True, beta=CONFIG.beta * MEAN_LENGTH)
IMITATION = SFTConfig(batch_size=CONFIG.batch_size, lr=CONFIG.lr, warmup_steps=10, max_steps=126)
VARIANTS = {
    "dpo": CONFIG, "dpo + nll": replace(CONFIG, nll_coef=0.5), "per token": PER_TOKEN,
    "own pairs + nll": replace(CONFIG, nll_coef=0.5), "imitation": IMITATION, "beta 1": replace(CONFIG, beta=1.0),
    "per token + nll": replace(PER_TOKEN, nll_coef=0.5),
}  # fmt: skip
SHOWN = ("gold", "kl", "words", "sentences", "compared", "judge, own replies", "judge, base's replies", "accuracy",
         "new logps/chosen", "new logps/rejected")
COURSE = ("loss", "rewards/margins", "rewards/accuracies", "logps/chosen", "logps/rejected")


@cache
def base_pairs(seed: int) -> Dataset:
    """The comparisons that RLHF's good judge learned from."""
    return preference_pairs(PAIRS, seed, base_seed=seed)


def pair_log_probs(policy: LanguagePolicy, pairs: Dataset) -> tuple[torch.Tensor, torch.Tensor]:
    """log π of the chosen and the rejected replies, and their lengths in tokens, `[N, 2]` each."""
    prompts, *texts = (list(pairs[name]) for name in PAIR)
    tokens, mask = pack_examples(policy.tokenizer, prompts * 2, texts[0] + texts[1])  # [2N, T], [2N, T − 1]
    with torch.no_grad():
        pieces = zip(tokens.split(512), mask.split(512), strict=True)
        sums = [policy.evaluate_actions(x[:, :-1], x[:, 1:], m)[0].sum(-1) for x, m in pieces]
    return torch.cat(sums).view(2, -1).T, mask.sum(-1).view(2, -1).T


@cache
def new_pairs(seed: int) -> tuple[Dataset, torch.Tensor, torch.Tensor]:
    """Pairs of the base that no training has seen, the base's log-probs of them and their gold, `[N, 2]` each."""
    pairs = preference_pairs(TEST, OTHER_DICE + seed, base_seed=seed)
    gold = torch.tensor([gold_reward(list(pairs["prompt"]), list(pairs[name])) for name in PAIR[1:]]).T
    return pairs, pair_log_probs(assistant_base(seed), pairs)[0], gold


def correlation(x: torch.Tensor, y: torch.Tensor) -> float:
    """Pearson's r; 0 where one of the two does not vary."""
    r = torch.corrcoef(torch.stack([x.flatten(), y.flatten()]))[0, 1].item()
    return r if x.std() > 1e-4 and math.isfinite(r) else 0.0


@cache
def compared(seed: int) -> frozenset:
    """Every (request, reply) that stands in a training pair."""
    prompts, *texts = (list(base_pairs(seed)[name]) for name in PAIR)
    return frozenset(zip(prompts * 2, texts[0] + texts[1], strict=True))


def look(policy: LanguagePolicy, reference: LanguagePolicy, per_token: bool, seed: int, size: int = TEST // 4) -> dict:
    """Two sampled replies to each row of all requests, and the implicit reward on them and on new pairs of the base."""
    examples = assistant_prompts("all").to_dict()
    trajectory, prompts, replies = answer_in_groups(
        policy, examples, [gold_reward], 2, MAX_NEW_TOKENS, torch.Generator().manual_seed(seed))
    gold, parts = gold_reward(prompts, replies), gold_parts(prompts, replies)
    log_ratios = (trajectory.log_probs - log_probs_of(reference, trajectory)).sum(-1)  # [B]
    own = log_ratios / (trajectory.mask.sum(-1) if per_token else 1)  # [B]  the implicit reward over β
    asked = set(assistant_prompts("train")["prompt"])
    known = [pair in compared(seed) for pair in zip(prompts, replies, strict=True) if pair[0] in asked]
    pairs, ref, worth = new_pairs(seed)
    log_probs, lengths = pair_log_probs(policy, pairs.select(range(size)))
    ratios = (log_probs - ref[:size]) / (lengths if per_token else 1)  # [N, 2]
    hits = ((ratios[:, 0] - ratios[:, 1]).sign() + 1) / 2
    return {
        "gold": statistics.fmean(gold), **{name: statistics.fmean(values) for name, values in parts.items()},
        "sentences": statistics.fmean(part == 0 for part in parts["grammatical"]),  # share that is grammatical
        "compared": statistics.fmean(known), "kl": log_ratios.mean().item(),
        "words": statistics.fmean(len(reply.split()) for reply in replies),
        "judge, own replies": correlation(own, torch.tensor(gold)),
        "judge, base's replies": correlation(ratios, worth[:size]), "accuracy": hits.mean().item(),
        "new logps/chosen": log_probs[:, 0].mean().item(),
        "new logps/rejected": log_probs[:, 1].mean().item(),
        "replies": [list(row) for row in zip(prompts, replies, gold, strict=True)][:: len(gold) // REPLIES],
    }  # fmt: skip


def rounds(policy: LanguagePolicy, reference: LanguagePolicy, config: DPOConfig, seed: int) -> Iterator[dict]:
    """DPO in rounds, each on pairs that the policy itself has just written; the rate falls through all of them."""
    size = PAIRS // ROUNDS
    for number in range(ROUNDS):
        pairs = base_pairs(seed).select(range(size))
        if number > 0:
            own = sample_pairs(policy, assistant_prompts("train"), size, MAX_NEW_TOKENS, seed=100 * number + seed)
            pairs = Annotator().label(own, seed=100 * number + seed)
        left = ROUNDS - number
        falling = replace(config, lr=config.lr * left / ROUNDS, final_lr=(left - 1) / left)
        yield from DPO(policy, reference, pairs, falling, seed).steps()


def steps_of(variant: str, policy: LanguagePolicy, reference: LanguagePolicy, seed: int) -> Iterator[dict]:
    """The training of one variant, step by step."""
    config, pairs = VARIANTS[variant], base_pairs(seed)
    if variant == "own pairs + nll":
        return rounds(policy, reference, config, seed)
    if variant == "imitation":
        chosen = Dataset.from_dict({"prompt": list(pairs["prompt"]), "completion": list(pairs["chosen"])})
        return SFT(policy, chosen, config, seed).steps()
    return DPO(policy, reference, pairs, config, seed).steps()


def one_run(variant: str, seed: int) -> dict:
    """Train one variant, look now and then, and say what it cost in CPU seconds without the looks."""
    policy = assistant_base(seed)
    reference, per_token = frozen_copy(policy), getattr(VARIANTS[variant], "length_normalize", False)
    looks, history = [{"step": 0} | look(policy, reference, per_token, seed)], []
    for metrics in on_the_clock(steps_of(variant, policy, reference, seed)):
        history.append(metrics)
        if len(history) % EVERY == 0:
            looks.append({"step": len(history)} | look(policy, reference, per_token, seed))
    end = {"step": len(history)} | look(policy, reference, per_token, seed, TEST)
    looks = [row for row in looks if row["step"] < end["step"]] + [end]
    course = block_means(history, BLOCK, [name for name in COURSE if name in history[0]])
    replies = [row.pop("replies") for row in looks]
    return {"cpu_seconds": history[-1]["cpu_seconds"], "course": course, "replies": replies[-1],
            **{key: [row[key] for row in looks] for key in end if key != "replies"}}


def summary(result: dict) -> str:
    """One line per variant: medians over the seeds at the end, and the gold of each seed."""
    rows = []
    for name in VARIANTS:
        runs = runs_of(result, variant=name)
        if runs:
            ends = [f"{statistics.median(run[key][-1] for run in runs):.2f}" for key in SHOWN]
            rows.append([name, len(runs), *ends, ", ".join(f"{run['gold'][-1]:.2f}" for run in runs)])
    seconds = sum(run["cpu_seconds"] for run in result["runs"])
    return f"{table(['variant', 'runs', *SHOWN, 'gold of each seed'], rows)}\n{seconds:.0f} CPU s of training"


SETTINGS = {"pairs": PAIRS, "rounds": ROUNDS, "block": BLOCK, "test": TEST,
            "variants": {name: asdict(config) for name, config in VARIANTS.items()}}
CONDITIONS = [{"variant": name, "seed": seed} for name in VARIANTS for seed in SEEDS]

if __name__ == "__main__":
    sweep(__doc__, OUTPUT, SETTINGS, CONDITIONS, one_run, summary)
