"""DQN on CartPole, and DQN with each of its parts taken out: five seeds each.

    nice -n 5 python -m benchmarks.dqn_ablation --jobs 2

The whole learner runs for all of its 50,000 steps. The others have the same settings but for one part, and stop early:
their effect shows by then. Every few rounds 20 episodes are played greedily. Each run is written down as soon as it is
done, and a sweep that was stopped goes on where it was.
"""

import argparse
import json
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, replace

import gymnasium as gym
import torch

from benchmarks._record import RESULTS, recipe, save
from rlcore.agents.dqn import DQN, DQNConfig
from rlcore.rollout import collect
from rlcore.values import EpsilonGreedy

OUTPUT = RESULTS / "dqn_ablation.json"
WORLDS = 8  # that act side by side
SEEDS = range(5)
EVERY = 8  # rounds between two evaluations
GREEDY_EPISODES = 20
BAR = 475  # mean return of the greedy episodes

WHOLE = DQNConfig()
LAST_ROUND = WHOLE.collect_steps  # remembers what has just been seen, and nothing else
STOP = 12_288  # steps of the worlds
PARTS: dict[str, tuple[DQNConfig, int]] = {
    "whole": (WHOLE, WHOLE.total_steps),
    "no replay": (replace(WHOLE, buffer_size=LAST_ROUND), STOP),
    "no target network": (replace(WHOLE, target_every=1), STOP),
    "neither": (replace(WHOLE, buffer_size=LAST_ROUND, target_every=1), STOP),
    "double": (replace(WHOLE, double=True), STOP),
}


def evaluate(q: torch.nn.Module, seed: int) -> dict[str, float]:
    """20 greedy episodes: their mean return, and what Q says of the states on the way: mean and highest value."""
    worlds = gym.make_vec("CartPole-v1", num_envs=GREEDY_EPISODES)
    played = collect(EpsilonGreedy(q, 0.0), worlds, seed=10_000 + seed,
                     generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        values = q(played.states[played.mask]).max(-1).values  # [N]
    return {"return": played.rewards.sum(-1).mean().item(), "mean_value": values.mean().item(),
            "highest_value": values.max().item()}


def one_run(part: str, seed: int) -> dict:
    """One training with its evaluations, and what it cost in CPU seconds, evaluations included."""
    torch.set_num_threads(1)
    config, stop = PARTS[part]
    agent, rows, started = DQN(gym.make_vec("CartPole-v1", num_envs=WORLDS), config, seed), [], time.process_time()
    for rounds, metrics in enumerate(agent.steps(), 1):
        over = metrics["step"] >= stop
        if rounds % EVERY == 0 or over:
            rows.append({"step": metrics["step"], **evaluate(agent.policy.q, seed)})
        if over:
            break
    return {"seed": seed, "cpu_seconds": time.process_time() - started,
            **{key: [row[key] for row in rows] for key in rows[0]}}


def first_at_the_bar(run: dict) -> int | None:
    """The step of the first evaluation with a mean return of at least 475; None: there is none."""
    return next((step for step, value in zip(run["step"], run["return"], strict=True) if value >= BAR), None)


def summary(result: dict) -> str:
    """One line per part."""
    return "\n".join(
        f"{name}: first {BAR} at {[first_at_the_bar(run) for run in part['runs']]}; highest Q "
        f"{[round(max(run['highest_value'])) for run in part['runs']]}; "
        f"{sum(run['cpu_seconds'] for run in part['runs']):.0f} CPU s"
        for name, part in result["parts"].items() if part["runs"])  # fmt: skip


def main() -> None:
    """Run what is missing, and say what came out."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=1, help="processes, of one thread each")
    jobs = parser.parse_args().jobs
    result = json.loads(OUTPUT.read_text(encoding="utf-8")) if OUTPUT.exists() else {
        "recipe": recipe(f"python -m benchmarks.dqn_ablation --jobs {jobs}"),
        "world": f"{WORLDS} CartPole-v1; an evaluation is {GREEDY_EPISODES} greedy episodes",
        "parts": {name: {"config": asdict(config), "stop": stop, "runs": []}
                  for name, (config, stop) in PARTS.items()},
    }  # fmt: skip
    missing = [(part, seed) for part in PARTS for seed in SEEDS
               if seed not in [run["seed"] for run in result["parts"][part]["runs"]]]
    with ProcessPoolExecutor(jobs) as pool:
        waiting = {pool.submit(one_run, part, seed): part for part, seed in missing}
        for done in as_completed(waiting):
            runs = result["parts"][waiting[done]]["runs"]
            runs.append(done.result())
            runs.sort(key=lambda run: run["seed"])
            save(result, OUTPUT)
    print(summary(result))


if __name__ == "__main__":
    main()
