"""REINFORCE on CartPole, one refinement after the other: five seeds each, at two learning rates.

    python -m benchmarks.reinforce_cartpole --jobs 2

Every batch is 16 whole episodes, used once. The variants differ in what multiplies the log-probs: the episode's
return, the reward-to-go, the reward-to-go less the batch's mean, and less a learned V(s); the last also
without gradient clipping. In the end 20 episodes are watched for longer than those that it learned from. Each run is
written down as soon as it is done, and a sweep that was stopped goes on.
"""

import argparse
import json
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict

import gymnasium as gym
import numpy as np
import torch

from benchmarks._record import RESULTS, recipe, save
from rlcore.agents.reinforce import REINFORCEConfig, train
from rlcore.networks import actor_and_critic
from rlcore.rollout import collect
from rlcore.worlds import Worlds

OUTPUT = RESULTS / "reinforce_cartpole.json"
EPISODES, STEPS = 16, 60  # episodes in a batch, batches
PATIENCE = 2000  # steps for which the last episodes are watched, four times as long as in training
SEEDS, RATES = range(5), (3e-3, 1e-2)
VARIANTS = {
    "return": {"credit": "return"},
    "reward-to-go": {},
    "mean": {"baseline": "mean"},
    "value": {"baseline": "value"},
    "value, no clip": {"baseline": "value", "max_grad_norm": 1e9},
}


def configuration(variant: str, lr: float) -> REINFORCEConfig:
    """What one run is made with."""
    return REINFORCEConfig(steps=STEPS, lr=lr, **VARIANTS[variant])


def one_run(variant: str, lr: float, seed: int) -> dict:
    """The mean return of every batch; in the end, what V says of an upright pole and how long the pole stands."""
    torch.set_num_threads(1)
    started, config = time.process_time(), configuration(variant, lr)
    envs = gym.make_vec("CartPole-v1", num_envs=EPISODES)
    policy, value = actor_and_critic(envs, seed=seed)
    result = train(policy, Worlds(envs), config, seed, value if config.baseline == "value" else None)
    with torch.no_grad():
        upright = value(torch.zeros(4)).item()
    patient = gym.make_vec("CartPole-v1", num_envs=20, max_episode_steps=PATIENCE)
    watched = collect(policy, patient, seed=10_000 + seed, generator=torch.Generator().manual_seed(seed))
    return {"seed": seed, "reward": [row["reward"] for row in result.history], "value_upright": upright,
            "lengths_if_watched": watched.mask.sum(-1).tolist(),
            "num_steps": sum(row["num_steps"] for row in result.history),
            "cpu_seconds": time.process_time() - started}


def summary(result: dict) -> str:
    """One line per variant and learning rate: the mean return of the last ten batches, seed by seed."""
    return "\n".join(
        f"{row['variant']:14} lr {row['config']['lr']:<6} last ten batches "
        f"{[round(np.mean(run['reward'][-10:])) for run in row['runs']]}; "
        f"{sum(run['cpu_seconds'] for run in row['runs']):.0f} CPU s"
        for row in result["rows"])


def main() -> None:
    """Run what is missing, and say what came out."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=1, help="processes, of one thread each")
    jobs = parser.parse_args().jobs
    result = json.loads(OUTPUT.read_text(encoding="utf-8")) if OUTPUT.exists() else {
        "recipe": recipe(f"python -m benchmarks.reinforce_cartpole --jobs {jobs}"),
        "world": f"CartPole-v1; a batch is {EPISODES} whole episodes",
        "rows": [{"variant": variant, "config": asdict(configuration(variant, lr)), "runs": []}
                 for lr in RATES for variant in VARIANTS],
    }  # fmt: skip
    missing = [(row, seed) for row in result["rows"] for seed in SEEDS
               if seed not in [run["seed"] for run in row["runs"]]]
    with ProcessPoolExecutor(jobs) as pool:
        waiting = {pool.submit(one_run, row["variant"], row["config"]["lr"], seed): row for row, seed in missing}
        for done in as_completed(waiting):
            runs = waiting[done]["runs"]
            runs.append(done.result())
            runs.sort(key=lambda run: run["seed"])
            save(result, OUTPUT)
    print(summary(result))


if __name__ == "__main__":
    main()
