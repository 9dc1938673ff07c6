"""From the same start: where the time of a step goes, and what has been learned in the end."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import replace

from benchmarks._clock import Clock
from benchmarks._record import spread
from benchmarks.grpo.race import prompts_in_order, race
from rlcore.agents.grpo import GRPOConfig
from rlcore.lm import accuracy
from rlcore.policies import LanguagePolicy
from rlcore.tasks.addition import MAX_NEW_TOKENS, addition_problems, exact_answer

KEPT = ("distinct", "computed", "shared", "frac_reward_zero_std", "entropy", "completions/mean_length")


def settings(steps: int) -> GRPOConfig:
    """rlcore's defaults for the addition task, but with a constant learning rate, for both."""
    return GRPOConfig(steps=steps, max_new_tokens=MAX_NEW_TOKENS, final_lr=1.0)


def timing(base: LanguagePolicy, steps: int, warm_up: int) -> dict:
    """CPU ms per step by phase, and what each of rlcore's two savings gives: dead groups, shared prefixes."""
    config, clock = settings(steps), Clock()
    rivals = {
        "rlcore, plain, dead groups too": (False, replace(config, skip_dead_groups=False)),
        "rlcore, plain": (False, config),
        "rlcore": (True, config),
    }
    dataset = prompts_in_order(0, steps * config.prompts_per_step)
    history = race(clock, base, dataset, exact_answer, config, rivals, seed=0)["rlcore"][warm_up:]
    return {
        "steps": len(history),
        "contestants": {name: clock.split(name, warm_up) for name in clock.laps},
        "speedup": clock.speedups("TRL", warm_up),
        "batches of rlcore": {name: statistics.fmean(row[name] for row in history) for name in KEPT},
    }


def training(base: LanguagePolicy, seeds: int, looks: Sequence[int], warm_up: int,
             progress: Callable[[str], None]) -> dict:  # fmt: skip
    """Greedy accuracy on held-out problems after `looks` steps of training, for several seeds of RL."""
    _, held_out = addition_problems()

    def exam(policy: LanguagePolicy) -> float:
        return accuracy(policy, held_out, exact_answer, MAX_NEW_TOKENS)

    runs = [_run(base, seed, looks, warm_up, exam, progress) for seed in range(seeds)]
    found = {
        name: {str(step): spread([run["accuracy"][name][str(step)] for run in runs]) for step in looks}
        for name in ("TRL", "rlcore")
    }
    difference = {
        step: spread([ours - theirs for ours, theirs in
                      zip(found["rlcore"][step]["values"], found["TRL"][step]["values"], strict=True)])
        for step in found["TRL"]
    }  # fmt: skip
    return {"held-out problems": len(held_out), "before": exam(base), "accuracy": found,
            "rlcore - TRL": difference, "runs": runs}  # fmt: skip


def _run(base: LanguagePolicy, seed: int, looks: Sequence[int], warm_up: int, exam: Callable,
         progress: Callable[[str], None]) -> dict:  # fmt: skip
    """One seed: TRL and rlcore in turn, each examined off the clock."""
    config, clock, found = settings(max(looks)), Clock(), {"TRL": {}, "rlcore": {}}

    def after(step: int, policies: dict[str, LanguagePolicy]) -> None:
        if step in looks:
            for name, policy in policies.items():
                found[name][str(step)] = exam(policy)

    dataset = prompts_in_order(seed, config.steps * config.prompts_per_step)
    race(clock, base, dataset, exact_answer, config, {"rlcore": (True, config)}, seed, after)
    run = {
        "seed": seed, "accuracy": found,
        "CPU seconds": {name: sum(clock.totals(name)) / 1000 for name in clock.laps},
        "ms per step": {name: clock.split(name, warm_up)["total"]["median"] for name in clock.laps},
    }  # fmt: skip
    progress(f"  seed {seed}: " + ", ".join(
        f"{name} {', '.join(f'{a:.3f}' for a in found[name].values())} in {run['CPU seconds'][name]:.0f} CPU s"
        for name in found))  # fmt: skip
    return run
