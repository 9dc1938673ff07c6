"""rlcore's GRPO beside TRL's GRPOTrainer: CPU time per step, accuracy, and whether it is the same algorithm.

Same model, prompts in the same order, hyperparameters and optimiser; one thread; the contestants take turns step by
step in one process, so that the noise of the machine hits all of them. From the repository's root, with `[scale]`:

    python -m benchmarks.grpo_vs_trl            # everything, a quarter of an hour of CPU time
    python -m benchmarks.grpo_vs_trl --quick    # a smoke run of half a minute, kept in runs/
    python -m benchmarks.grpo_vs_trl --show     # the result that is there, as tables; its picture is drawn again
"""

import argparse
import json
import os
import sys
import time
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # nothing here needs a network
if not __package__:  # started as a file, not with -m
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import datasets
import torch
import transformers

from benchmarks._record import RESULTS, recipe, save
from benchmarks.grpo.report import draw, report
from rlcore.lm.base import addition_base
from rlcore.policies import LanguagePolicy
from rlcore.tasks.addition import exact_answer


@dataclass(frozen=True)
class Size:
    """How much to run."""

    timing_steps: int = 105  # for the split into phases, with the warm-up
    warm_up: int = 5  # first steps, which no median counts
    seeds: int = 5  # of the training runs
    looks: tuple[int, ...] = tuple(range(10, 301, 10))  # steps after which held-out accuracy is measured
    lengths: tuple[int, ...] = (8, 32, 64)  # completion lengths of the sweep, in tokens
    groups: tuple[int, ...] = (4, 8, 16)  # group sizes of the sweep
    sweep_steps: int = 6  # per cell, after the warm-up
    sweep_warm_up: int = 2


QUICK = Size(timing_steps=6, warm_up=2, seeds=2, looks=(2, 4, 6), lengths=(8, 16), groups=(4,), sweep_steps=2,
             sweep_warm_up=1)  # fmt: skip


def progress(message: str) -> None:
    """Say where it stands, on stderr."""
    print(f"[{time.process_time():5.0f} CPU s] {message}", file=sys.stderr, flush=True)


def run(size: Size, command: str) -> dict:
    """All four parts, with the recipe."""
    try:
        from benchmarks.grpo.agreement import agreement
        from benchmarks.grpo.race import prompts_in_order
        from benchmarks.grpo.sweep import sweep
        from benchmarks.grpo.training import settings, timing, training
    except ModuleNotFoundError as error:
        raise SystemExit(f"{error}: this benchmark needs TRL; install it with: pip install -e '.[scale]'") from error
    base, few = addition_base(), settings(2)
    result = recipe(command) | {
        "model": _shape(base), "hyperparameters": asdict(settings(max(size.looks))), "size": asdict(size),
    }  # fmt: skip
    progress("Is it the same? Advantages, loss and gradient on TRL's own batch.")
    dataset = prompts_in_order(0, few.steps * few.prompts_per_step)
    result["agreement"] = {
        str(dtype).removeprefix("torch."): agreement(base, dataset, exact_answer, few, 0, dtype)
        for dtype in (torch.float32, torch.float64)
    }
    progress(f"Where the time goes: {size.timing_steps} steps of each.")
    result["timing"] = timing(base, size.timing_steps, size.warm_up)
    progress(f"What is learned: {size.seeds} seeds of {max(size.looks)} steps.")
    result["training"] = training(base, size.seeds, size.looks, size.warm_up, progress)
    progress("What it depends on: completion length and group size.")
    result["sweep"] = sweep(size.lengths, size.groups, size.sweep_steps, size.sweep_warm_up, progress)
    return result | {"CPU seconds": time.process_time()}


def _shape(base: LanguagePolicy) -> dict:
    config, count = base.model.config, sum(weights.numel() for weights in base.model.parameters())
    return {"parameters": count, "layers": config.n_layer, "width": config.n_embd, "heads": config.n_head,
            "vocabulary": config.vocab_size}  # fmt: skip


def main() -> None:
    """Measure, or show what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a smoke run; its numbers mean nothing")
    parser.add_argument("--show", action="store_true", help="measure nothing, show the result that is there")
    parser.add_argument("--out", type=Path, help="folder for the JSON and the picture")
    options = parser.parse_args()
    file = (options.out or (Path("runs/benchmarks") if options.quick else RESULTS)) / "grpo_vs_trl.json"
    if not options.show:
        torch.set_num_threads(1)
        warnings.filterwarnings("ignore", category=FutureWarning)
        transformers.utils.logging.set_verbosity_error()
        transformers.utils.logging.disable_progress_bar()
        datasets.disable_progress_bars()
        size, flag = (QUICK, " --quick") if options.quick else (Size(), "")
        save(run(size, f"python -m benchmarks.grpo_vs_trl{flag}"), file)
    elif not file.is_file():
        raise SystemExit(f"there is no {file.name} yet; run this without --show first")
    result = json.loads(file.read_text(encoding="utf-8"))
    print(report(result))
    draw(result, file.with_suffix(".png"))


if __name__ == "__main__":
    main()
