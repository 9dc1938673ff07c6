"""PPO, and PPO with each of its details switched off: five seeds each, on CartPole and on Pendulum.

    nice -n 5 python -m benchmarks.ppo_details
    python -m benchmarks.ppo_details --show

Every run of a world sees the same number of its steps. Written down after each batch: the mean of the last 20 training
returns; at the end, what 20 episodes without dice return. Each run is written down as soon as it is done, and a sweep
that was stopped goes on where it was. One process, one thread.
"""

import argparse
import json
import time
from collections import deque
from dataclasses import asdict, dataclass, field

import gymnasium as gym
import torch
from gymnasium.vector import VectorEnv
from gymnasium.wrappers.vector import TransformReward

from benchmarks._record import RESULTS, recipe, save, table
from rlcore.agents.ppo import PPO, PPOConfig
from rlcore.networks import actor_and_critic
from rlcore.rollout import collect
from rlcore.values import Greedy
from rlcore.worlds import Worlds

OUTPUT = RESULTS / "ppo_details.json"
SEEDS = range(5)
LAST = 20  # training returns that are averaged
GREEDY_EPISODES = 20
NO_LIMIT = 1e9


class NoClip(PPO):
    """The ratio may go wherever it likes."""

    clip = (1.0, NO_LIMIT)


class PlainGradient(PPO):
    """Not even a ratio: the gradient of actor–critic, several times."""

    clip = None


@dataclass(frozen=True)
class Part:
    """What one line of the comparison changes."""

    changes: dict = field(default_factory=dict)  # of the world's PPOConfig
    agent: type[PPO] = PPO
    orthogonal: bool = True
    reward_scale: float | None = None  # None: the task's own
    start_value: float = 0.0  # what the critic says of every state before it has learned anything, about


@dataclass(frozen=True)
class Task:
    """A world, the settings that work in it, and what is switched off."""

    id: str
    num_envs: int
    num_steps: int  # of each world in a batch
    config: dict
    bar: float  # the mean of the last 20 returns that counts as solved
    parts: dict[str, Part]
    reward_scale: float = 1.0

    def envs(self, scale: float) -> VectorEnv:
        """Worlds whose rewards the agent sees multiplied by `scale`."""
        envs = gym.make_vec(self.id, num_envs=self.num_envs)
        return envs if scale == 1 else TransformReward(envs, lambda rewards: scale * rewards)


CARTPOLE = Task("CartPole-v1", 32, 32, {"steps": 49}, 475.0, {
    "whole": Part(),
    "1 epoch": Part({"epochs": 1}),
    "3 epochs": Part({"epochs": 3}),
    "20 epochs": Part({"epochs": 20}),
    "no clip": Part(agent=NoClip),
    "no ratio": Part(agent=PlainGradient),
    "advantages as they are": Part({"normalize": False}),
    "constant learning rate": Part({"final_lr": 1.0}),
    "constant clip": Part({"final_clip": 1.0}),
    "torch's own initialisation": Part(orthogonal=False),
    "value loss × 2": Part({"value_coef": 1.0}),
    "no gradient clipping": Part({"max_grad_norm": NO_LIMIT}),
    "entropy bonus": Part({"entropy_coef": 0.01}),
})
PENDULUM = Task("Pendulum-v1", 16, 128, {"steps": 30, "gamma": 0.9, "lam": 0.95, "lr": 3e-3}, -300.0, {
    "whole": Part(),
    "rewards as they are": Part(reward_scale=1.0),
    "rewards as they are, no gradient clipping": Part({"max_grad_norm": NO_LIMIT}, reward_scale=1.0),
    "rewards as they are, critic starts at −60": Part(reward_scale=1.0, start_value=-60.0),
    "γ = 0.99": Part({"gamma": 0.99}),
    "γ = 0.99, critic starts at −60": Part({"gamma": 0.99}, start_value=-60.0),
}, reward_scale=0.1)
TASKS = {task.id: task for task in (CARTPOLE, PENDULUM)}


def one_run(task: Task, part: Part, seed: int) -> dict:
    """One training: how the mean of the last 20 returns rose, the greedy episodes at its end, and what it cost."""
    started = time.process_time()
    scale = task.reward_scale if part.reward_scale is None else part.reward_scale
    envs = task.envs(scale)
    policy, value = actor_and_critic(envs, orthogonal=part.orthogonal, seed=seed)
    value.network[-1].bias.data += part.start_value
    agent = part.agent(policy, value, Worlds(envs, task.num_steps), PPOConfig(**task.config | part.changes), seed)
    last, curve = deque(maxlen=LAST), []
    for _ in agent.steps():
        last.extend(agent.world.finished)
        curve.append(sum(last) / len(last) / scale if last else None)
    seconds = time.process_time() - started
    greedy = collect(Greedy(policy), gym.make_vec(task.id, num_envs=GREEDY_EPISODES), seed=10_000 + seed)
    return {"seed": seed, "cpu_seconds": seconds, "greedy": greedy.rewards.sum(-1).tolist(), "return": curve}


def steps_to(run: dict, task: dict) -> int | None:
    """Steps of the world until the mean of the last 20 returns was at the bar; None: never."""
    at = (i for i, value in enumerate(run["return"], 1) if value is not None and value >= task["bar"])
    return next((task["num_envs"] * task["num_steps"] * i for i in at), None)


def described(task: Task) -> dict:
    """What a reader of the file has to know, and room for the runs."""
    parts = {
        name: {"config": asdict(PPOConfig(**task.config | part.changes)), "agent": part.agent.__name__,
               "orthogonal": part.orthogonal, "start_value": part.start_value, "runs": [],
               "reward_scale": task.reward_scale if part.reward_scale is None else part.reward_scale}
        for name, part in task.parts.items()
    }  # fmt: skip
    return {"num_envs": task.num_envs, "num_steps": task.num_steps, "bar": task.bar, "parts": parts}


def summary(result: dict) -> str:
    """One line per part: when each seed was at the bar, and what it was worth without dice."""
    rows = [[world, name, *(steps_to(run, task) or "never" for run in part["runs"]),
             f"{sum(sum(run['greedy']) for run in part['runs']) / len(part['runs']) / GREEDY_EPISODES:.0f}",
             f"{sum(run['cpu_seconds'] for run in part['runs']):.0f}"]
            for world, task in result["tasks"].items() for name, part in task["parts"].items()
            if len(part["runs"]) == len(SEEDS)]  # fmt: skip
    return table(["world", "part", *(f"seed {seed}" for seed in SEEDS), "greedy", "CPU s"], rows)


def main() -> None:
    """Run what is missing, and say what came out."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--show", action="store_true", help="only print what the file holds")
    show = parser.parse_args().show
    torch.set_num_threads(1)
    result = json.loads(OUTPUT.read_text(encoding="utf-8")) if OUTPUT.exists() else {
        "recipe": recipe("python -m benchmarks.ppo_details"),
        "tasks": {name: described(task) for name, task in TASKS.items()},
    }  # fmt: skip
    plan = []
    for seed in SEEDS:
        for name, task in TASKS.items():
            for part, changes in task.parts.items():
                entry = result["tasks"][name]["parts"].setdefault(part, described(task)["parts"][part])
                runs = entry["runs"]
                if not show and seed not in [run["seed"] for run in runs]:
                    plan.append((task, changes, runs, seed))
    now = recipe("python -m benchmarks.ppo_details")
    if plan and now["commit"] != result["recipe"]["commit"]:
        result.setdefault("went_on_with", []).append(now)
    for task, changes, runs, seed in plan:
        runs.append(one_run(task, changes, seed))
        save(result, OUTPUT)
    print(summary(result))


if __name__ == "__main__":
    main()
