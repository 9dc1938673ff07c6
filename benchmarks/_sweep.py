"""A sweep's command line: run what is missing, write each run down as soon as it is done, say what came out."""

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import torch

from benchmarks._record import recipe, rounded, save


def sweep(
    doc: str, file: Path, settings: dict, conditions: Iterable[dict], one_run: Callable[..., dict],
    summary: Callable[[dict], str], arguments: list[str] | None = None,
) -> None:
    """Run `one_run(**condition)` for each condition that `file` does not hold yet, and print the summary.

    `{"recipe": …, **settings, "runs": [{**condition, **outcome}, …]}` is what stands in the file.
    A sweep that was stopped goes on where it was; where the code has changed since it began, that is written down, too.
    With `--show` it only prints. One thread, so that CPU seconds mean something.

    Args:
        doc: the benchmark's docstring; its first line says what it is.
        file: results, named like the benchmark's module.
        settings: what was held fixed: configs, sizes, a sentence about the world. Where they have changed since the
            file was begun, that is an error, since its runs would no longer be alike.
        conditions: what varies, in the order to run, the seed included.
        one_run: gives the outcome under one condition, as a dictionary.
        summary: says in a few lines what the file holds.
        arguments: the command line's, for tests.
    """
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument("--show", action="store_true", help="only print what the file holds")
    show = parser.parse_args(arguments).show
    torch.set_num_threads(1)
    now = recipe(f"python -m benchmarks.{file.stem}")
    begun = {"recipe": now, **settings, "runs": []}
    result = json.loads(file.read_text(encoding="utf-8")) if file.exists() else begun
    missing = [condition for condition in conditions if not runs_of(result, **condition)]
    if missing and not show:
        check_same_settings(result, settings, file)
        if now["commit"] != result["recipe"]["commit"]:
            result.setdefault("went_on_with", []).append(now)
        for condition in missing:
            result["runs"].append({**condition, **one_run(**condition)})
            save(result, file)
            print(*condition.values(), "done", flush=True)
    print(summary(result))


def runs_of(result: dict, **condition) -> list[dict]:
    """The runs of a sweep that were made under a condition, or part of one, by seed: `runs_of(result, beta=0.15)`.

    By seed, so that what two conditions gave can be subtracted; runs of one seed stay in the order of the file.
    """
    return sorted((run for run in result["runs"] if condition.items() <= run.items()), key=lambda run: run["seed"])


def on_the_clock(steps: Iterator[dict]) -> Iterator[dict]:
    """Each step's metrics, and as `cpu_seconds` what all steps so far have taken, without what is done between them."""
    seconds = 0.0
    while True:
        began = time.process_time()
        metrics = next(steps, None)
        seconds += time.process_time() - began
        if metrics is None:
            return
        yield metrics | {"cpu_seconds": seconds}


def block_means(history: Sequence[dict], size: int, names: Iterable[str]) -> dict[str, list[float]]:
    """Means of each metric over blocks of so many steps; a step that lacks it counts as 0."""
    blocks = [history[i : i + size] for i in range(0, len(history), size)]
    return {name: [statistics.fmean(row.get(name, 0.0) for row in block) for block in blocks] for name in names}


def check_same_settings(result: dict, settings: dict, file: Path) -> None:
    """Refuse to mix runs that were made under different settings."""
    for name, setting in _as_read(settings).items():
        if name not in result or _as_read(result[name]) != setting:
            raise ValueError(f"{name} in {file.name} is {result.get(name)}, but is now {setting}: remove the file "
                             "to begin again, or put the setting back")


def _as_read(settings):
    """What comes back from a file: a tuple is a list there, and numbers have five digits."""
    return json.loads(json.dumps(rounded(settings)))
