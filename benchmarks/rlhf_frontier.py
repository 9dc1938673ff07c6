"""RLHF on the assistant world: what the KL price β buys, and what a weak or a biased reward model does without it.

    python -m benchmarks.rlhf_frontier
    python -m benchmarks.rlhf_frontier --show

For each seed a base model is trained and writes pairs, and three reward models learn from an annotator: a good one
(4,000 pairs), a weak one (250 pairs) and one whose annotator likes long replies. PPO then trains the base against each
of them at several β. Every few steps, off the clock, the policy is sampled and judged by its reward model (the proxy)
and by the truth (gold), which training never sees.
"""

import statistics
from dataclasses import asdict, replace
from functools import cache

import torch

from benchmarks._record import RESULTS, table
from benchmarks._sweep import on_the_clock, runs_of, sweep
from rlcore.agents.rlhf import RLHF, RLHFConfig
from rlcore.lm.base import assistant_base
from rlcore.lm.critic import LanguageValue
from rlcore.lm.pairs import preference_pairs
from rlcore.lm.prompts import Prompts, answer_in_groups
from rlcore.lm.reference import frozen_copy, log_probs_of
from rlcore.lm.reward_model import RewardModel
from rlcore.lm.reward_training import RewardModelConfig, train_reward_model
from rlcore.policies import LanguagePolicy
from rlcore.tasks.annotator import Annotator
from rlcore.tasks.assistant import assistant_prompts, gold_parts, gold_reward
from rlcore.tasks.assistant_grammar import MAX_NEW_TOKENS

OUTPUT = RESULTS / "rlhf_frontier.json"
SEEDS = range(5)
CONFIG = RLHFConfig()
BATCH = 128  # prompts per step
EVERY = 5  # steps between two looks
JUDGES = {"good": (4000, Annotator()), "weak": (250, Annotator()), "length-biased": (4000, Annotator(length_bias=0.1))}
RUNS = [("good", 0.15), ("weak", 0.0), ("weak", 0.05), ("weak", 0.15), ("weak", 1.0), ("good", 0.0),
        ("length-biased", 0.0), ("length-biased", 0.15)]  # (reward model, β)


@cache
def judge(name: str, seed: int) -> RewardModel:
    """A reward model of this kind, with mean 0 and standard deviation 1 on pairs that it has not seen."""
    size, annotator = JUDGES[name]
    model = RewardModel.from_policy(assistant_base(seed))
    pairs = preference_pairs(size, seed, annotator=annotator, base_seed=seed)
    for _ in train_reward_model(model, pairs, RewardModelConfig(), seed):
        pass
    model.normalize_on(preference_pairs(500, 1000 + seed, annotator=annotator, base_seed=seed))
    return model


def look(policy: LanguagePolicy, reference: LanguagePolicy, model: RewardModel, seed: int) -> dict[str, float]:
    """Two sampled replies to each row of all requests: proxy, gold and its parts, KL in nats per reply, words."""
    examples = assistant_prompts("all").to_dict()
    trajectory, prompts, replies = answer_in_groups(
        policy, examples, [model.reward], 2, MAX_NEW_TOKENS, torch.Generator().manual_seed(seed))
    gold = {"gold": gold_reward(prompts, replies), **gold_parts(prompts, replies)}
    log_ratios = (trajectory.log_probs - log_probs_of(reference, trajectory)).sum(-1)  # [B]
    return {"proxy": trajectory.rewards.sum(-1).mean().item(), "kl": log_ratios.mean().item(),
            "words": statistics.fmean(len(reply.split()) for reply in replies),
            **{name: statistics.fmean(values) for name, values in gold.items()}}


def one_run(reward_model: str, beta: float, seed: int) -> dict:
    """PPO against one reward model at one β, with its looks, and what it cost in CPU seconds without them."""
    policy, model = assistant_base(seed), judge(reward_model, seed)
    reference, value = frozen_copy(policy), LanguageValue.from_policy(policy)
    world = Prompts(assistant_prompts("train"), [model.reward], prompts_per_step=BATCH, max_new_tokens=MAX_NEW_TOKENS)
    agent = RLHF(policy, value, reference, world, replace(CONFIG, kl_coef=beta), seed)
    rows = [{"step": 0, **look(policy, reference, model, seed)}]
    for metrics in on_the_clock(agent.steps()):
        if metrics["step"] % EVERY == 0:
            rows.append({"step": metrics["step"], **look(policy, reference, model, seed)})
    return {"cpu_seconds": metrics["cpu_seconds"], **{key: [row[key] for row in rows] for key in rows[0]}}


def summary(result: dict) -> str:
    """One line per condition: medians over the seeds at the end, and gold's way there."""
    rows = []
    for name, beta in RUNS:
        runs = runs_of(result, reward_model=name, beta=beta)
        ends = {key: [run[key][-1] for run in runs] for key in ("gold", "proxy", "kl", "words")}
        if not runs:
            continue
        falls = [max(run["gold"]) - run["gold"][-1] for run in runs]
        rows.append([name, beta, len(runs), *(f"{statistics.median(ends[key]):.2f}" for key in ends),
                     ", ".join(f"{gold:.2f}" for gold in ends["gold"]), ", ".join(f"{fall:.2f}" for fall in falls)])
    head = ["reward model", "β", "runs", "gold", "proxy", "KL", "words", "gold of each seed", "peak − end"]
    return table(head, rows) + f"\n{sum(run['cpu_seconds'] for run in result['runs']):.0f} CPU s of PPO"


SETTINGS = {
    "config": asdict(CONFIG), "batch": BATCH,
    "judges": {name: {"pairs": size, "length_bias": a.length_bias} for name, (size, a) in JUDGES.items()},
}  # fmt: skip
CONDITIONS = [{"reward_model": name, "beta": beta, "seed": seed} for seed in SEEDS for name, beta in RUNS]

if __name__ == "__main__":
    sweep(__doc__, OUTPUT, SETTINGS, CONDITIONS, one_run, summary)
