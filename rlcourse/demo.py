"""`rlcourse demo`: a small GPT-2 learns two-digit addition by GRPO, while you watch."""

import hashlib
import json as json_format
import os
import time
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from datasets import Dataset
from rich.console import Console

from rlcore.agents.grpo import GRPOConfig, train
from rlcore.lm import answer
from rlcore.lm.base import ADDITION_SFT, ADDITION_STEPS, addition_base, addition_sft
from rlcore.lm.model import load_model, save_model
from rlcore.policies import LanguagePolicy
from rlcore.recorder import Result
from rlcore.tasks.addition import MAX_NEW_TOKENS, addition_problems, exact_answer
from rlcourse.bars import progress_bar
from rlcourse.course import CourseError, open_course
from rlcourse.demo_view import LEGEND, Watch, draw_curve, plain_warnings, show_table

LOOK_EVERY = 20  # steps between two looks at the held-out problems
LARGE = 10_000_000  # parameters above which somebody has pretrained it: move its weights more gently


@dataclass(frozen=True)
class Exam:
    """What a policy wrote to each held-out problem, greedily, and which of that is right."""

    answers: list[str]
    right: list[bool]

    @property
    def accuracy(self) -> float:
        """The share that is right, in [0, 1]."""
        return sum(self.right) / len(self.right)


def examine(policy: LanguagePolicy, problems: Dataset) -> Exam:
    """Put every problem before the policy once."""
    answers = answer(policy, problems, MAX_NEW_TOKENS)
    rewards = exact_answer(list(problems["prompt"]), answers, list(problems["answer"]))
    return Exam(answers, [reward == 1.0 for reward in rewards])


def run(steps: int = 300, seed: int = 0, json: Path | None = None, model: str | None = None,
        resume: bool = False) -> None:
    """Train, show the progress, and print a table of held-out problems before and after.

    `seed` is GRPO's: the model it starts from is the same one for all, trained once and cached. Ctrl-C ends training
    after the current step and shows what there is; a second one stops at once.

    Raises:
        CourseError: the model cannot be loaded, there is nothing to resume from, or `json` cannot be written.
    """
    torch.set_num_threads(1)  # models this small are faster on one thread
    console = Console(highlight=False)
    files = open_course().work / "demo" / _run_name(model, seed)
    stopped = "Stopped before GRPO began; nothing was changed. Start again with the same command."
    try:
        with plain_warnings(console):
            _require_writable(json)
            saved = files.with_name(f"{files.name}.safetensors")
            if resume and not saved.exists():
                raise CourseError(f"There is nothing to resume: {saved} does not exist. Start without --resume.")
            problems, held_out = addition_problems()
            policy, lr = _starting_policy(console, model, seed)
            before = examine(policy, held_out)
            console.print(f"Right before GRPO: {before.accuracy:.1%} of {len(held_out)} held-out problems, which are "
                          f"never trained on.\n{LEGEND}", soft_wrap=True)
            stopped = "Stopped at once. Go on from the last saved step with the same command and --resume."
            started = time.perf_counter()
            with progress_bar("GRPO", steps, console) as bar:
                watch = Watch(bar, lambda: examine(policy, held_out).accuracy, LOOK_EVERY, before.accuracy)
                result = train(policy, problems, [exact_answer], GRPOConfig(steps=steps, lr=lr), seed, watch,
                               saved, resume)
            seconds = time.perf_counter() - started
            after = examine(policy, held_out)
            show_table(console, held_out, before, after)
            report = {"before": before.accuracy, "after": after.accuracy, "steps": len(result.history),
                      "seconds": seconds, "seed": seed, "model": model, "history": result.history}
            _save(console, report, result, files, json)
    except ValueError as error:
        raise CourseError(str(error)) from error
    except KeyboardInterrupt:
        console.print(stopped, soft_wrap=True)
        raise SystemExit(130) from None  # as shells count a Ctrl-C


def _run_name(model: str | None, seed: int) -> str:
    """A run's files are named by what it starts from, so that nobody resumes one model's run with another."""
    if model is None:
        return f"seed-{seed}"
    place = str(Path(model).resolve()) if Path(model).is_dir() else model
    return f"{Path(place).name}-{hashlib.sha256(place.encode()).hexdigest()[:6]}-seed-{seed}"


def _require_writable(json: Path | None) -> None:
    """Find out before the training, not after it, that its measurements cannot be kept."""
    if json is None:
        return
    try:
        json.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CourseError(f"--json {json} cannot be written: {error}.") from error
    if json.is_dir() or not os.access(json.parent, os.W_OK):
        raise CourseError(f"--json {json} cannot be written: give the name of a file in a folder of yours.")


def _starting_policy(console: Console, model: str | None, seed: int) -> tuple[LanguagePolicy, float]:
    """A policy that can add a little, and GRPO's learning rate for it: our own from the cache, or the named model."""
    target = f"until {ADDITION_SFT.target_accuracy:.0%}"
    note = f"learning to add a little, {target} are right"
    with progress_bar("Warm-up", ADDITION_STEPS if model is None else ADDITION_SFT.max_steps, console) as bar:

        def show(metrics: dict) -> None:
            nonlocal note
            if "accuracy" in metrics:
                note = f"sampled answers right {metrics['accuracy']:.0%} ({target})"
            bar(metrics["step"], note)

        if model is None:
            return addition_base(progress=show), 1e-4
        policy = LanguagePolicy(*load_model(model))
        large = sum(weights.numel() for weights in policy.parameters()) > LARGE
        addition_sft(policy, seed, show, replace(ADDITION_SFT, lr=5e-5) if large else ADDITION_SFT)
        return policy, 1e-5 if large else 1e-4


def _save(console: Console, report: dict, result: Result, files: Path, json: Path | None) -> None:
    """Write the curve, the trained model and the measurements, and say where they are."""
    done = f"stopped after {report['steps']} steps" if result.interrupted else f"{report['steps']} steps"
    console.print(f"Right on all held-out problems: {report['before']:.1%} before, {report['after']:.1%} after "
                  f"({done}, {report['seconds']:.0f} s).", soft_wrap=True)
    if result.interrupted:
        console.print("Go on where it stopped with the same command and --resume.", soft_wrap=True)
    picture = draw_curve(report["before"], report["after"], result.history, files.with_name(f"{files.name}.png"))
    save_model(result.policy.model, result.policy.tokenizer, files)
    console.print(f"Learning curve: {picture}\nTrained model: {files}", soft_wrap=True)
    if json is not None:
        fresh = json.with_name(json.name + ".tmp")
        fresh.write_text(json_format.dumps(report, indent=1) + "\n", encoding="utf-8")
        os.replace(fresh, json)
        console.print(f"Measurements: {json}", soft_wrap=True)
