"""`rlcourse demo`: a small GPT-2 learns two-digit addition by GRPO, while you watch."""

import json as json_format
import os
import time
from dataclasses import replace
from pathlib import Path

import torch
import transformers
from datasets import Dataset
from rich.console import Console

from rlcore.agents.grpo import GRPOConfig, GRPOResult, train
from rlcore.lm import accuracy, answer, load_model
from rlcore.lm.base import ADDITION_SFT, addition_base, addition_sft
from rlcore.policies import LanguagePolicy
from rlcore.tasks.addition import MAX_NEW_TOKENS, addition_problems, exact_answer
from rlcourse.course import CourseError, open_course
from rlcourse.demo_view import Watch, draw_curve, progress_bar, show_table

LOOK_EVERY = 20  # steps between two looks at the held-out problems
SHOWN = 8  # held-out problems in the table at the end
LARGE = 10_000_000  # parameters above which somebody has pretrained it: move its weights more gently


def run(steps: int = 300, seed: int = 0, json: Path | None = None, model: str | None = None,
        resume: bool = False) -> None:
    """Train, show the progress, and print a table of held-out problems before and after.

    `seed` is GRPO's: the model it starts from is the same one for all, trained once and cached.

    Raises:
        CourseError: the model cannot be loaded, or there is nothing to resume from.
    """
    torch.set_num_threads(1)  # models this small are faster on one thread
    transformers.utils.logging.disable_progress_bar()
    console, folder = Console(), open_course().work / "demo"
    problems, held_out = addition_problems()
    shown = held_out.select(range(SHOWN))
    try:
        policy, lr = _starting_policy(console, model, seed)
        before, answers = _exam(policy, held_out), answer(policy, shown, MAX_NEW_TOKENS)
        console.print(f"Held-out problems it gets right before GRPO: {before:.0%}.")
        started = time.perf_counter()
        with progress_bar(console, "GRPO", steps) as bar:
            watch = Watch(bar, lambda: _exam(policy, held_out), LOOK_EVERY, before)
            result = train(policy, problems, [exact_answer], GRPOConfig(steps=steps, lr=lr), seed, watch,
                           folder / f"seed-{seed}.safetensors", resume)
        seconds = time.perf_counter() - started
    except ValueError as error:
        raise CourseError(str(error)) from error
    except KeyboardInterrupt:
        raise CourseError("Stopped. What the last finished step left in work/demo, if anything, is safe; "
                          "go on with: rlcourse demo --resume") from None
    show_table(console, shown, answers, answer(policy, shown, MAX_NEW_TOKENS))
    report = {"before": before, "after": _exam(policy, held_out), "steps": len(result.history), "seconds": seconds,
              "seed": seed, "model": model, "history": result.history}
    _save(console, report, result, folder, json)


def _starting_policy(console: Console, model: str | None, seed: int) -> tuple[LanguagePolicy, float]:
    """A policy that can add a little, and GRPO's learning rate for it: our own from the cache, or the named model."""
    with progress_bar(console, "Warm-up", ADDITION_SFT.max_steps) as bar:
        note = "learning to add a little, on first use only"

        def show(metrics: dict) -> None:
            nonlocal note
            if "accuracy" in metrics:
                note = f"sampled answers right {metrics['accuracy']:.0%} (until {ADDITION_SFT.target_accuracy:.0%})"
            bar(metrics["step"], note)

        if model is None:
            return addition_base(progress=show), 1e-4
        policy = LanguagePolicy(*load_model(model))
        large = sum(weights.numel() for weights in policy.parameters()) > LARGE
        addition_sft(policy, seed, show, replace(ADDITION_SFT, lr=5e-5) if large else ADDITION_SFT)
        return policy, 1e-5 if large else 1e-4


def _exam(policy: LanguagePolicy, problems: Dataset) -> float:
    return accuracy(policy, problems, exact_answer, MAX_NEW_TOKENS)


def _save(console: Console, report: dict, result: GRPOResult, folder: Path, json: Path | None) -> None:
    """Write the curve, the trained model and the measurements, and say where they are."""
    done = f"stopped after {report['steps']} steps" if result.interrupted else f"{report['steps']} steps"
    console.print(f"Greedy accuracy on held-out problems: {report['before']:.1%} before, {report['after']:.1%} after "
                  f"({done}, {report['seconds']:.0f} s).")
    if result.interrupted:
        console.print("Go on where it stopped with the same command and --resume.")
    picture = draw_curve(report["before"], result.history, folder / f"seed-{report['seed']}.png")
    model = folder / f"seed-{report['seed']}"
    result.policy.model.save_pretrained(model)
    result.policy.tokenizer.save_pretrained(model)
    console.print(f"Learning curve: {picture}\nTrained model: {model}", soft_wrap=True, highlight=False)
    if json is not None:
        json.parent.mkdir(parents=True, exist_ok=True)
        fresh = json.with_name(json.name + ".tmp")
        fresh.write_text(json_format.dumps(report, indent=1) + "\n", encoding="utf-8")
        os.replace(fresh, json)
        console.print(f"Measurements: {json}", soft_wrap=True, highlight=False)
