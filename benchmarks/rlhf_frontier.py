"""RLHF on the assistant world: what the KL price β buys, and what a weak or a biased reward model does without it.

    python -m benchmarks.rlhf_frontier
    python -m benchmarks.rlhf_frontier --show

For each seed a base model is trained and writes pairs, and three reward models learn from an annotator: a good one
(4,000 pairs), a weak one (250 pairs) and one whose annotator likes long replies. PPO then trains the base against each
of them at several β. Every few steps, off the clock, the policy is sampled and judged by its reward model (the proxy)
and by the truth (gold), which training never sees. Each run is written down as soon as it is done, and a sweep that was
stopped goes on where it was.
"""

import argparse
import json
import statistics
import time
from dataclasses import asdict, replace

import torch

from benchmarks._record import RESULTS, recipe, save, table
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


def judge(name: str, policy: LanguagePolicy, seed: int) -> RewardModel:
    """A reward model of this kind, with mean 0 and standard deviation 1 on pairs that it has not seen."""
    size, annotator = JUDGES[name]
    model = RewardModel.from_policy(policy)
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


def one_run(name: str, model: RewardModel, beta: float, seed: int) -> dict:
    """PPO against one reward model at one β, with its looks, and what it cost in CPU seconds without them."""
    policy = assistant_base(seed)
    reference, value = frozen_copy(policy), LanguageValue.from_policy(policy)
    world = Prompts(assistant_prompts("train"), [model.reward], prompts_per_step=BATCH, max_new_tokens=MAX_NEW_TOKENS)
    agent, seconds = RLHF(policy, value, reference, world, replace(CONFIG, kl_coef=beta), seed), 0.0
    rows, steps = [{"step": 0, **look(policy, reference, model, seed)}], agent.steps()
    while True:
        started = time.process_time()
        metrics = next(steps, None)
        seconds += time.process_time() - started
        if metrics is None:
            break
        if metrics["step"] % EVERY == 0:
            rows.append({"step": metrics["step"], **look(policy, reference, model, seed)})
    return {"reward_model": name, "beta": beta, "seed": seed, "cpu_seconds": seconds,
            **{key: [row[key] for row in rows] for key in rows[0]}}


def runs_of(result: dict, name: str, beta: float) -> list[dict]:
    """The runs of one condition, by seed."""
    return [run for run in result["runs"] if (run["reward_model"], run["beta"]) == (name, beta)]


def summary(result: dict) -> str:
    """One line per condition: medians over the seeds at the end, and gold's way there."""
    rows = []
    for name, beta in RUNS:
        runs = runs_of(result, name, beta)
        ends = {key: [run[key][-1] for run in runs] for key in ("gold", "proxy", "kl", "words")}
        if not runs:
            continue
        falls = [max(run["gold"]) - run["gold"][-1] for run in runs]
        rows.append([name, beta, len(runs), *(f"{statistics.median(ends[key]):.2f}" for key in ends),
                     ", ".join(f"{gold:.2f}" for gold in ends["gold"]), ", ".join(f"{fall:.2f}" for fall in falls)])
    head = ["reward model", "β", "runs", "gold", "proxy", "KL", "words", "gold of each seed", "peak − end"]
    return table(head, rows) + f"\n{sum(run['cpu_seconds'] for run in result['runs']):.0f} CPU s of PPO"


def main() -> None:
    """Run what is missing, and say what came out."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--show", action="store_true", help="only print what the file holds")
    parser.add_argument("--first", type=int, default=len(RUNS), help="only so many conditions, in the order of RUNS")
    options = parser.parse_args()
    torch.set_num_threads(1)
    result = json.loads(OUTPUT.read_text(encoding="utf-8")) if OUTPUT.exists() else {
        "recipe": recipe("python -m benchmarks.rlhf_frontier"), "config": asdict(CONFIG), "batch": BATCH,
        "judges": {name: {"pairs": size, "length_bias": a.length_bias} for name, (size, a) in JUDGES.items()},
        "runs": [],
    }  # fmt: skip
    done = {(run["reward_model"], run["beta"], run["seed"]) for run in result["runs"]}
    for seed in SEEDS if not options.show else ():
        missing = [(name, beta) for name, beta in RUNS[: options.first] if (name, beta, seed) not in done]
        models = {name: judge(name, assistant_base(seed), seed) for name in dict.fromkeys(name for name, _ in missing)}
        for name, beta in missing:
            result["runs"].append(one_run(name, models[name], beta, seed))
            save(result, OUTPUT)
    print(summary(result))


if __name__ == "__main__":
    main()
