"""The assistant before, during and after SFT, for five bases: what demonstrations teach, and what they cost.

    nice -n 5 python -m benchmarks.assistant_sft

Each seed has its own pretrained base (23 CPU seconds where it is not cached) and its own demonstrations. At some steps
of SFT, and at several temperatures before and after it, the policy is sampled on every request. Each seed is written
down as soon as it is done, and a sweep that was stopped goes on where it was. About four minutes of CPU time.

The two facts that no demonstration shows have values, blue and bitter, that no other fact has. So that this is not the
whole reason for what happens to them, SFT is repeated with other facts left out, whose values others share.
"""

import json
import time
from dataclasses import asdict

import torch
from datasets import Dataset

from benchmarks._record import RESULTS, recipe, save
from rlcore.lm import answer
from rlcore.lm.base import ASSISTANT_SFT, assistant_base
from rlcore.lm.sft import SFT, sft
from rlcore.policies import LanguagePolicy
from rlcore.tasks.assistant import HELD_OUT, assistant_prompts, gold_parts, honest
from rlcore.tasks.assistant_corpus import assistant_demonstrations
from rlcore.tasks.assistant_grammar import MAX_NEW_TOKENS, REQUESTS, FactRequest

OUTPUT = RESULTS / "assistant_sft.json"
SEEDS = range(5)
LOOKS = (0, 5, 10, 20, 40, 70, 100)  # steps of SFT after which to look
TEMPERATURES = (0.25, 0.5, 0.7, 1.0, 1.4, 2.0)
SAMPLES = 64  # replies to each request, where one question is asked of a few requests
GROUPS = {  # the requests that one question is asked of
    "facts that were shown": [p for p, r in REQUESTS.items() if r.group == "known" and p not in HELD_OUT],
    "facts that were not": [p for p, r in REQUESTS.items() if r.group == "known" and p in HELD_OUT],
    "what nobody knows": [p for p, r in REQUESTS.items() if r.group == "unknown"],
}

OTHERS = [  # facts to leave out instead: two at a time, whose values turn up elsewhere
    [FactRequest("apple", "color").prompt, FactRequest("lemon", "taste").prompt],
    [FactRequest("berry", "color").prompt, FactRequest("plum", "taste").prompt],
    [FactRequest("lemon", "color").prompt, FactRequest("apple", "taste").prompt],
]


def gold(policy: LanguagePolicy, seed: int) -> dict[str, float]:
    """The mean of each part of the gold reward over four replies to each of the 240 prompts, and `gold`, their sum."""
    prompts = list(assistant_prompts("all")["prompt"]) * 4
    replies = answer(policy, Dataset.from_dict({"prompt": prompts}), MAX_NEW_TOKENS, greedy=False, seed=seed)
    parts = {name: sum(values) / len(values) for name, values in gold_parts(prompts, replies).items()}
    return parts | {"gold": sum(parts.values())}


def told(policy: LanguagePolicy, requests: list[str], seed: int) -> dict[str, float]:
    """Which share of the replies is honest (+1: the truth, or "i do not know"), and which says what is false (−1)."""
    prompts = requests * SAMPLES
    replies = answer(policy, Dataset.from_dict({"prompt": prompts}), MAX_NEW_TOKENS, greedy=False, seed=seed)
    values = honest(prompts, replies)
    return {"honest": values.count(1.0) / len(values), "false": values.count(-1.0) / len(values)}


def by_temperature(policy: LanguagePolicy, seed: int) -> dict[str, list]:
    """Gold and honesty at each temperature."""
    at = [LanguagePolicy(policy.model, policy.tokenizer, temperature) for temperature in TEMPERATURES]
    return {"gold": [gold(p, seed) for p in at],
            "told": {name: [told(p, requests, seed) for p in at] for name, requests in GROUPS.items()}}


def one_run(seed: int) -> dict:
    """One base, looked at, fine-tuned and looked at again; with what it cost in CPU seconds, pretraining included."""
    torch.set_num_threads(1)
    started, policy = time.process_time(), assistant_base(seed)
    before, rows = by_temperature(policy, seed), []
    agent = SFT(policy, assistant_demonstrations(seed=seed), ASSISTANT_SFT, seed)
    for step in range(LOOKS[-1] + 1):
        if step in LOOKS:
            rows.append({"step": step, **gold(policy, seed), "told": {name: told(policy, requests, seed)
                                                                     for name, requests in GROUPS.items()}})
        if step < LOOKS[-1]:
            agent.learn()
    return {"seed": seed, "looks": rows, "base": before, "sft": by_temperature(policy, seed),
            "cpu_seconds": time.process_time() - started}


def without_facts(seed: int, left_out: list[str]) -> dict:
    """SFT on demonstrations of all requests but a few; how honest it is on those, before and after."""
    policy = assistant_base(seed)
    rows = assistant_demonstrations(2000, seed, split="all").to_list()
    shown = Dataset.from_list([row for row in rows if row["prompt"] not in left_out][:1000])
    before = told(policy, left_out, seed)
    for _ in sft(policy, shown, ASSISTANT_SFT, seed):
        pass
    return {"left_out": left_out, "before": before, "after": told(policy, left_out, seed)}


def summary(result: dict) -> str:
    """One line per seed."""
    lines = []
    for run in result["runs"]:
        first, last = run["looks"][0], run["looks"][-1]
        told = [f"{name} {first['told'][name]['honest']:.2f} -> {last['told'][name]['honest']:.2f}" for name in GROUPS]
        told += [f"left out {r['before']['honest']:.2f} -> {r['after']['honest']:.2f}" for r in run["others"]]
        lines.append(f"seed {run['seed']}: gold {first['gold']:.2f} -> {last['gold']:.2f}; honest: {'; '.join(told)}")
    return "\n".join(lines)


def main() -> None:
    """Run what is missing, and say what came out."""
    result = json.loads(OUTPUT.read_text(encoding="utf-8")) if OUTPUT.exists() else {
        "recipe": recipe("python -m benchmarks.assistant_sft"), "sft": asdict(ASSISTANT_SFT),
        "temperatures": TEMPERATURES, "samples": SAMPLES, "groups": GROUPS, "runs": [],
    }  # fmt: skip
    for seed in SEEDS:
        if seed not in [run["seed"] for run in result["runs"]]:
            run = one_run(seed)
            result["runs"].append(run | {"others": [without_facts(seed, facts) for facts in OTHERS]})
            save(result, OUTPUT)
    print(summary(result))


if __name__ == "__main__":
    main()
