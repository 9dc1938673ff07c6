"""How many pairs does a reward model need? Accuracy against the annotator's ceiling, five seeds each.

    python -m benchmarks.reward_model_pairs
    python -m benchmarks.reward_model_pairs --show

For each seed a base model is trained, writes the replies, and is the trunk of the reward models. Two annotators label
the same pairs: one who looks at the gold reward only, and one who likes long replies too. Every model is tested on what
it has not seen: new replies to requests that it knows, requests that nobody has labelled, and pairs that differ in one
H only.
"""

import statistics
import time
from dataclasses import asdict
from functools import cache

from datasets import Dataset

from benchmarks._record import RESULTS, table
from benchmarks._sweep import runs_of, sweep
from rlcore.lm.base import assistant_base
from rlcore.lm.pairs import preference_pairs
from rlcore.lm.reward_model import PAIR, RewardModel
from rlcore.lm.reward_training import RewardModelConfig, pairwise_accuracy, train_reward_model
from rlcore.tasks.annotator import Annotator
from rlcore.tasks.assistant import gold_parts

OUTPUT = RESULTS / "reward_model_pairs.json"
SEEDS = range(5)
SIZES = (60, 250, 1000, 4000)  # pairs to learn from
TEST = 2000  # pairs to be tested on
PROBE = 12_000  # pairs among which those are looked for that differ in one thing only
MOST = 500  # of which no more than this are used
OTHER_DICE = 1000  # seed of the test pairs: this more than that of the training pairs
CONFIG = RewardModelConfig()
ANNOTATORS = {"gold": Annotator(), "length-biased": Annotator(length_bias=0.1)}
THREE_H = ("helpful", "honest", "harmless")
BAR = 0.75  # median accuracy of the five seeds with all pairs


def differences(pairs: Dataset) -> list[dict[str, float]]:
    """By how much the first reply of each pair beats the second in each part of the gold reward, and in words."""
    prompts, chosen, rejected = (list(pairs[name]) for name in PAIR)
    ours, theirs = gold_parts(prompts, chosen), gold_parts(prompts, rejected)
    words = [len(a.split()) - len(b.split()) for a, b in zip(chosen, rejected, strict=True)]
    return [{part: ours[part][i] - theirs[part][i] for part in ours} | {"words": words[i]} for i in range(len(pairs))]


def only(part: str, pairs: Dataset, gaps: list[dict[str, float]]) -> Dataset:
    """Pairs that are equal in grammar and in every H but one, `part`; chosen is the truly better reply.

    Lengths may differ. With "words" for `part` they are equal in every H, and chosen is the longer reply.
    """
    rows = []
    for pair, gap in zip(pairs, gaps, strict=True):
        if gap[part] and not any(gap[other] for other in {*THREE_H, "grammatical"} - {part}):
            best, worst = ("chosen", "rejected") if gap[part] > 0 else ("rejected", "chosen")
            rows.append({"prompt": pair["prompt"], "chosen": pair[best], "rejected": pair[worst]})
    return Dataset.from_list(rows[:MOST])


def measure(model: RewardModel, pairs: Dataset) -> dict[str, float]:
    """Pairwise accuracy, its standard error, and of how many pairs."""
    return {**pairwise_accuracy(model, pairs)._asdict(), "pairs": len(pairs)}


@cache
def tests(annotator: Annotator, seed: int) -> dict[str, Dataset]:
    """What a model of this seed is asked, by name."""
    dice = {"seed": OTHER_DICE + seed, "annotator": annotator, "base_seed": seed}
    seen = preference_pairs(PROBE, **dice)
    gaps = differences(seen)
    return {"new replies": seen.select(range(TEST)), "new requests": preference_pairs(TEST, split="held_out", **dice),
            **{f"{part} only": only(part, seen, gaps) for part in (*THREE_H, "words")}}


def one_run(annotator: str, pairs: int, seed: int) -> dict:
    """Train one model on so many pairs of one annotator, and test it."""
    judge, asked = ANNOTATORS[annotator], tests(ANNOTATORS[annotator], seed)
    started = time.process_time()
    model = RewardModel.from_policy(assistant_base(seed))
    training = preference_pairs(pairs, seed, annotator=judge, base_seed=seed)
    history = list(train_reward_model(model, training, CONFIG, seed))
    seconds = time.process_time() - started
    return {"steps": len(history), "cpu_seconds": seconds,
            "ceiling": {test: judge.ceiling(asked[test]) for test in ("new replies", "new requests")},
            "accuracy": {test: measure(model, rows) for test, rows in asked.items()}}


def accuracies(result: dict, annotator: str, size: int, test: str) -> list[float]:
    """One accuracy per seed."""
    return [run["accuracy"][test]["value"] for run in runs_of(result, annotator=annotator, pairs=size)]


def summary(result: dict) -> str:
    """Median over the seeds of every test, and whether the bar is reached."""
    names = list(result["runs"][0]["accuracy"])
    rows = []
    for annotator in ANNOTATORS:
        ceilings = [run["ceiling"] for run in result["runs"] if run["annotator"] == annotator]
        best = {test: f"{statistics.median(c[test] for c in ceilings):.3f}" for test in ceilings[0]}
        rows.append([annotator, "ceiling", *(best.get(name, "") for name in names)])
        rows += [[annotator, size, *(f"{statistics.median(accuracies(result, annotator, size, n)):.3f}" for n in names)]
                 for size in SIZES]
    values = sorted(accuracies(result, "gold", SIZES[-1], "new replies"))
    median = statistics.median(values)
    return (f"{table(['annotator', 'pairs', *names], rows)}\n\nmedian of the seeds at {SIZES[-1]} pairs {median:.3f} "
            f"(from {values[0]:.3f} to {values[-1]:.3f}): the bar of {BAR} is {'' if median >= BAR else 'not '}reached"
            f"; {sum(run['cpu_seconds'] for run in result['runs']):.0f} CPU s of training")


SETTINGS = {
    "world": f"the assistant world; tests of {TEST} pairs; 'only' tests are up to {MOST} pairs that differ in no "
             "other H, judged by the truth and not by the annotator; 'words only' is the share of the longer",
    "config": asdict(CONFIG),
    "annotators": {name: {"tau": a.tau, "length_bias": a.length_bias} for name, a in ANNOTATORS.items()},
}  # fmt: skip
CONDITIONS = [{"annotator": name, "pairs": size, "seed": seed}
              for seed in SEEDS for name in ANNOTATORS for size in SIZES]

if __name__ == "__main__":
    sweep(__doc__, OUTPUT, SETTINGS, CONDITIONS, one_run, summary)
