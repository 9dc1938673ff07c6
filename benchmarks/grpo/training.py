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
    """Greedy accuracy on held-out problems at `looks` steps of training, for several seeds of RL.

    At a constant learning rate the greedy answers jump by several points from one look to the next, alike for both.
    Two calmer numbers stand beside: the mean of the looks in the last third, and the mean reward of the steps in the
    last third. No prompt comes twice, so that this reward too is earned on problems not seen before.
    """
    _, held_out = addition_problems()

    def exam(policy: LanguagePolicy) -> float:
        return accuracy(policy, held_out, exact_answer, MAX_NEW_TOKENS)

    runs = [_run(base, seed, looks, warm_up, exam, progress) for seed in range(seeds)]
    names = list(runs[0]["accuracy"])
    return {
        "held-out problems": len(held_out), "before": exam(base), "looks": list(looks),
        "last third": {
            what: {name: spread([statistics.fmean(_last_third(run[what][name])) for run in runs]) for name in names}
            for what in ("accuracy", "reward")
        },
        "runs": [{name: value for name, value in run.items() if name != "reward"} for run in runs],
    }  # fmt: skip


def _last_third(values: list[float]) -> list[float]:
    return values[2 * len(values) // 3 :]


def _run(base: LanguagePolicy, seed: int, looks: Sequence[int], warm_up: int, exam: Callable,
         progress: Callable[[str], None]) -> dict:  # fmt: skip
    """One seed: TRL and rlcore in turn, each examined off the clock."""
    config, clock, found = settings(max(looks)), Clock(), {"TRL": [], "rlcore": []}

    def after(step: int, policies: dict[str, LanguagePolicy]) -> None:
        if step in looks:
            for name, policy in policies.items():
                found[name].append(exam(policy))

    dataset = prompts_in_order(seed, config.steps * config.prompts_per_step)
    history = race(clock, base, dataset, exact_answer, config, {"rlcore": (True, config)}, seed, after)
    seconds = {name: sum(clock.totals(name)) / 1000 for name in clock.laps}
    ends = [f"{name} {values[-1]:.3f} in {seconds[name]:.0f} CPU s" for name, values in found.items()]
    progress(f"  seed {seed}: {', '.join(ends)}")
    return {
        "seed": seed, "accuracy": found, "reward": {name: [row["reward"] for row in history[name]] for name in found},
        "CPU seconds": seconds,
        "ms per step": {name: clock.split(name, warm_up)["total"]["median"] for name in clock.laps},
    }  # fmt: skip
