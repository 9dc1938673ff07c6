"""RLHF on the assistant world with each of its four models taken out, stopped or let loose in turn.

    python -m benchmarks.rlhf_four_models
    python -m benchmarks.rlhf_four_models --show

The same base models, judge (4,000 pairs), β = .15 and settings as in `rlhf_frontier`, whose file holds the two
conditions that are not run again here: all four models as they should be, and no reference, which is β = 0. The fourth
model, the policy, needs no run: frozen, it stays what it was at step 0. Proxy, gold and the KL to where the policy
began are measured off the clock; the proxy is whoever judged, or the good judge where nobody did.
"""

import json
import statistics
import time
from dataclasses import asdict, replace

import torch
from torch import Tensor, nn

from benchmarks._record import RESULTS, table
from benchmarks._sweep import runs_of, sweep
from benchmarks.rlhf_frontier import BATCH, CONFIG, judge, look
from benchmarks.rlhf_frontier import OUTPUT as FRONTIER
from rlcore.agents.rlhf import RLHF
from rlcore.lm.base import assistant_base
from rlcore.lm.critic import LanguageValue
from rlcore.lm.pairs import preference_pairs
from rlcore.lm.prompts import Prompts
from rlcore.lm.reference import frozen_copy
from rlcore.lm.reward_model import RewardModel
from rlcore.policies import LanguagePolicy
from rlcore.tasks.assistant import assistant_prompts
from rlcore.tasks.assistant_grammar import MAX_NEW_TOKENS

OUTPUT = RESULTS / "rlhf_four_models.json"
SEEDS = range(5)
EVERY = 10  # steps between two looks
STOP = 5  # the step after which the stopped critic learns no more
CHANGES = ["no critic", "no critic, λ = 1", "critic stopped", "reference follows", "judge untaught", "no judge"]


class NoCritic(nn.Module):
    """Expects nothing, and learns nothing."""

    def forward(self, states: Tensor) -> Tensor:
        """0 for every state."""
        return torch.zeros(states.shape)

    def check_fits(self, policy: LanguagePolicy) -> None:
        """It fits everybody."""


def untaught_judge(seed: int) -> RewardModel:
    """A reward model that has seen no pair, with a head of noise: it likes something, and nobody knows what.

    Normalised like every other, so that a standard deviation of it costs as much KL.
    """
    model = RewardModel.from_policy(assistant_base(seed))
    nn.init.normal_(model.head.weight, generator=torch.Generator().manual_seed(seed))
    model.normalize_on(preference_pairs(500, 1000 + seed, base_seed=seed))
    return model


def nothing(prompts, completions, **_) -> list[float]:
    """The reward where there is no judge."""
    return [0.0] * len(completions)


def made(change: str, seed: int) -> tuple[RLHF, RewardModel]:
    """The agent with one thing changed, and whoever is asked for the proxy."""
    policy = assistant_base(seed)
    model = untaught_judge(seed) if change == "judge untaught" else judge("good", seed)
    value = NoCritic() if change.startswith("no critic") else LanguageValue.from_policy(policy)
    config = replace(CONFIG, lam=1.0) if change == "no critic, λ = 1" else CONFIG
    reward = nothing if change == "no judge" else model.reward
    world = Prompts(assistant_prompts("train"), [reward], prompts_per_step=BATCH, max_new_tokens=MAX_NEW_TOKENS)
    return RLHF(policy, value, frozen_copy(policy), world, config, seed), model


def one_run(change: str, seed: int) -> dict:
    """PPO with one thing changed: its looks, the KL and the entropy that it saw itself, and its CPU seconds."""
    agent, model = made(change, seed)
    start, seconds, seen = frozen_copy(agent.policy), 0.0, {"kl_seen": [], "entropy": []}
    rows, steps = [{"step": 0, **look(agent.policy, start, model, seed)}], agent.steps()
    while agent.step < agent.config.steps:
        started = time.process_time()
        if change == "critic stopped" and agent.step == STOP:
            agent.value.requires_grad_(False)
        if change == "reference follows":
            agent.reference.load_state_dict(agent.policy.state_dict())
        metrics = next(steps)
        seconds += time.process_time() - started
        seen["kl_seen"].append(metrics["objective/kl"])
        seen["entropy"].append(metrics["entropy"])
        if agent.step % EVERY == 0 or agent.step == agent.config.steps:
            rows.append({"step": agent.step, **look(agent.policy, start, model, seed)})
    return {"cpu_seconds": seconds, **seen, **{key: [row[key] for row in rows] for key in rows[0]}}


def summary(result: dict) -> str:
    """One line per change: medians over the seeds at the end, and the gold of each."""
    frontier = json.loads(FRONTIER.read_text(encoding="utf-8"))
    groups = {"(all four)": runs_of(frontier, reward_model="good", beta=0.15),
              **{change: runs_of(result, change=change) for change in CHANGES},
              "(no reference)": runs_of(frontier, reward_model="good", beta=0.0)}
    rows = []
    for name, runs in groups.items():
        if runs:
            ends = {key: [run[key][-1] for run in runs] for key in ("gold", "proxy", "kl", "words")}
            cost = statistics.median(run["cpu_seconds"] for run in runs)
            medians = [f"{statistics.median(values):.2f}" for values in ends.values()]
            rows.append([name, len(runs), *medians, f"{cost:.1f}", ", ".join(f"{gold:.2f}" for gold in ends["gold"]),
                         ", ".join(f"{kl:.1f}" for kl in ends["kl"])])
    head = ["what changed", "runs", "gold", "proxy", "KL", "words", "CPU s", "gold of each seed", "KL of each seed"]
    return table(head, rows) + f"\n{sum(run['cpu_seconds'] for run in result['runs']):.0f} CPU s of PPO"


SETTINGS = {"config": asdict(CONFIG), "batch": BATCH, "critic_stopped_after": STOP}
CONDITIONS = [{"change": change, "seed": seed} for seed in SEEDS for change in CHANGES]

if __name__ == "__main__":
    sweep(__doc__, OUTPUT, SETTINGS, CONDITIONS, one_run, summary)
