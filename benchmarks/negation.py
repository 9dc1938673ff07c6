"""One "not" in a true reply: what it does to the cross-entropy, and what to the reward. Five seeds.

    python -m benchmarks.negation
    python -m benchmarks.negation --show

For each seed there is another base model, its own 4000 preference pairs, and a reward model trained on them. Then, for
each of the twelve facts, the true reply is scored as it is, with a "not" in it, and with a remark behind it that
changes nothing ("that is quite true" and three more). About 15 CPU seconds a seed, and 25 more where the base model is
not cached yet.
"""

import statistics
import time
from dataclasses import asdict

import torch

from benchmarks._record import RESULTS, table
from benchmarks._sweep import sweep
from rlcore.lm.base import assistant_base
from rlcore.lm.pairs import preference_pairs
from rlcore.lm.reward_model import RewardModel
from rlcore.lm.reward_training import RewardModelConfig, pairwise_accuracy, train_reward_model
from rlcore.lm.sft import pack_examples
from rlcore.tasks.assistant import gold_reward
from rlcore.tasks.assistant_grammar import FACTS, FILLERS, Claim, FactRequest

OUTPUT = RESULTS / "negation.json"
SEEDS = range(5)
PAIRS = 4000
HELD_OUT = 500  # pairs that say what one standard deviation of reward is
CONFIG = RewardModelConfig()
REQUESTS = [FactRequest(thing, attribute) for thing, values in FACTS.items() for attribute in values]  # the 12 facts
CONTROL = "that is quite true"  # the remark that stands beside "not" in the text; the others say whether it is special


def reply(request: FactRequest, negated: bool = False, remark: str = "") -> str:
    """The answer in the fewest words; with a "not" in it, or with a remark behind it."""
    claim = Claim(request.thing, FACTS[request.thing][request.attribute], negated)
    return f"{claim} , {remark} ." if remark else f"{claim} ."


def variants() -> dict[str, list[str]]:
    """Twelve replies of each kind, in the order of `REQUESTS`: as it is, with "not", with each of the remarks."""
    return {"plain": [reply(r) for r in REQUESTS], "not": [reply(r, negated=True) for r in REQUESTS],
            **{remark: [reply(r, remark=remark) for r in REQUESTS] for remark in FILLERS}}


@torch.no_grad()
def surprise(policy, prompts: list[str], replies: list[str]) -> tuple[list[float], list[int]]:
    """−log π of each whole reply (EOS included) in nats, and its number of tokens."""
    tokens, mask = pack_examples(policy.tokenizer, prompts, replies)
    log_probs, _ = policy.evaluate_actions(tokens[:, :-1], tokens[:, 1:], mask)  # [B, T]
    return (-log_probs.sum(-1)).tolist(), mask.sum(-1).tolist()


def one_run(seed: int) -> dict:
    """One base, its pairs, its reward model, and what both say of the twelve facts."""
    policy, started = assistant_base(seed), time.process_time()
    model = RewardModel.from_policy(policy)
    pairs = preference_pairs(PAIRS, seed, base_seed=seed)
    held_out = preference_pairs(HELD_OUT, seed, split="held_out", base_seed=seed)
    for _ in train_reward_model(model, pairs, CONFIG, seed):
        pass
    model.normalize_on(held_out)
    prompts, replies = [request.prompt for request in REQUESTS], {}
    for kind, texts in variants().items():
        nll, tokens = surprise(policy, prompts, texts)
        replies[kind] = {"nll": nll, "tokens": tokens, "reward": model.score(prompts, texts).tolist(),
                         "gold": gold_reward(prompts, texts)}
    return {"accuracy": pairwise_accuracy(model, held_out).value, "cpu_seconds": time.process_time() - started,
            "replies": replies}


def changes(run: dict, kind: str, what: str) -> list[float]:
    """By how much `what` ("nll", "reward" or "gold") differs from the plain reply's, for each fact."""
    return [b - a for a, b in zip(run["replies"]["plain"][what], run["replies"][kind][what], strict=True)]


def costs_more(run: dict) -> int:
    """On how many facts the "not" takes more of the reward than the remark does."""
    return sum(a < b for a, b in zip(changes(run, "not", "reward"), changes(run, CONTROL, "reward"), strict=True))


def summary(result: dict) -> str:
    """Per seed: what "not" and the remarks add to −log π and to the reward, on average over the facts."""
    facts, rows, runs = len(REQUESTS), [], result["runs"]
    for run in runs:
        for kind in ("not", *FILLERS):
            nll, reward = changes(run, kind, "nll"), changes(run, kind, "reward")
            rows.append([f"seed {run['seed']}: {kind}", f"{statistics.fmean(nll):+.2f}",
                         f"{statistics.fmean(reward):+.2f}", f"{min(reward):+.2f} … {max(reward):+.2f}",
                         f"{sum(x < 0 for x in reward)} of {facts}"])
    head = ["what is put in", "Δ −log π (nats)", "Δ reward (sd)", "from … to", "lower"]
    lower = [sum(x < 0 for x in changes(run, "not", "reward")) for run in runs]
    control = statistics.fmean(x for run in runs for x in changes(run, CONTROL, "reward"))
    return (f"{table(head, rows)}\n\n\"not\" lowers the reward on {lower} of {facts} facts, and takes more of it than "
            f"\"{CONTROL}\" does on {[costs_more(run) for run in runs]}; the remark moves it by {control:+.2f} sd on "
            f"average; {sum(run['cpu_seconds'] for run in runs):.0f} CPU s")


SETTINGS = {
    "world": "the assistant world; a reward of 1 is one standard deviation over held-out replies",
    "config": asdict(CONFIG), "pairs": PAIRS, "requests": [request.prompt for request in REQUESTS],
}  # fmt: skip

if __name__ == "__main__":
    sweep(__doc__, OUTPUT, SETTINGS, [{"seed": seed} for seed in SEEDS], one_run, summary)
