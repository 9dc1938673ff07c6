"""GRPO with a reward model: where the price of leaving the reference stands, and which estimate of the KL it is.

    python -m benchmarks.grpo_kl
    python -m benchmarks.grpo_kl --show

The assistant world, the good judge of `rlhf_frontier`, five seeds, each with a base and a judge of its own. β·KL is
taken from the reward, or added to the loss as k1, k2 or k3, at several β; one run has neither. And since GRPO divides
the reward's part by the group's standard deviation and the loss's part by nothing, k2 and the reward run once more with
nothing divided. At the end the policy is sampled and judged by its reward model (the proxy) and by the truth (gold).
"""

import statistics
import time
from dataclasses import asdict, replace

from benchmarks._record import RESULTS, table
from benchmarks._sweep import runs_of, sweep
from benchmarks.rlhf_frontier import JUDGES, judge, look
from rlcore.agents.grpo import GRPO, GRPOConfig
from rlcore.lm.base import assistant_base
from rlcore.lm.prompts import Prompts
from rlcore.lm.reference import frozen_copy
from rlcore.tasks.assistant import assistant_prompts
from rlcore.tasks.assistant_grammar import MAX_NEW_TOKENS

OUTPUT = RESULTS / "grpo_kl.json"
SEEDS = range(5)
CONFIG = GRPOConfig(steps=30, max_new_tokens=MAX_NEW_TOKENS, lr=1e-3, epochs=2, minibatch_size=64)
RUNS = [("reward", 0.15, True), ("k3", 0.15, True), ("k2", 0.15, True), ("k1", 0.15, True), ("none", 0.0, True),
        ("reward", 0.05, True), ("reward", 0.5, True), ("k3", 0.5, True), ("k2", 0.15, False),
        ("reward", 0.15, False)]  # (KL, β, divide by std)
MEASURES = ("gold", "proxy", "kl", "words", "grammatical")


def settings_of(penalty: str, beta: float, divide: bool) -> GRPOConfig:
    """The config of one condition."""
    place = {"kl_in": "loss", "kl_kind": penalty} if penalty in ("k1", "k2", "k3") else {"kl_in": "reward"}
    return replace(CONFIG, kl_coef=beta, normalize=divide, **place)


def one_run(penalty: str, beta: float, divide: bool, seed: int) -> dict:
    """GRPO under one condition, what became of it, and its CPU seconds."""
    policy, model, config = assistant_base(seed), judge("good", seed), settings_of(penalty, beta, divide)
    reference = frozen_copy(policy)
    world = Prompts(assistant_prompts("train"), [model.reward], prompts_per_step=config.prompts_per_step,
                    group_size=config.group_size, max_new_tokens=MAX_NEW_TOKENS)
    began = time.process_time()
    history = list(GRPO(policy, world, config, seed).steps())
    seconds = time.process_time() - began
    seen = {key: [row[key] for row in history] for key in ("reward", "reward_std", "entropy")}
    return {"cpu_seconds": seconds, **look(policy, reference, model, seed), **seen}


def summary(result: dict) -> str:
    """One line per condition: means over the seeds at the end."""
    rows = []
    for penalty, beta, divide in RUNS:
        runs = runs_of(result, penalty=penalty, beta=beta, divide=divide)
        if runs:
            means = (f"{statistics.fmean(run[key] for run in runs):.2f}" for key in MEASURES)
            seeds = (", ".join(f"{run[key]:.2f}" for run in runs) for key in ("gold", "kl"))
            rows.append([penalty, beta, "yes" if divide else "no", *means, *seeds])
    head = ["KL as", "β", "÷ std", *MEASURES, "gold of each seed", "KL of each seed"]
    return table(head, rows) + f"\n{sum(run['cpu_seconds'] for run in result['runs']):.0f} CPU s of GRPO"


SETTINGS = {"config": asdict(CONFIG), "pairs": JUDGES["good"][0]}
CONDITIONS = [
    {"penalty": penalty, "beta": beta, "divide": divide, "seed": seed}
    for seed in SEEDS for penalty, beta, divide in RUNS
]  # fmt: skip

if __name__ == "__main__":
    sweep(__doc__, OUTPUT, SETTINGS, CONDITIONS, one_run, summary)
