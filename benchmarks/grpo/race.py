"""TRL and rlcore in one process, step by step in turn, on the same prompts: noise of the machine hits both alike."""

import copy
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from datasets import Dataset

from benchmarks._clock import Clock, Place, learning_places
from benchmarks.grpo.trl_side import Relay, trl_places, trl_trainer
from rlcore.agents.grpo import GRPO, GRPOConfig
from rlcore.lm import prompts
from rlcore.lm.prompts import Prompts
from rlcore.policies import LanguagePolicy
from rlcore.prefix_tree import prefix_trees, saves_work
from rlcore.recorder import Metrics
from rlcore.tasks.addition import addition_problems
from rlcore.tasks.rewards import Reward
from rlcore.trajectory import Trajectory

Rivals = dict[str, tuple[bool, GRPOConfig]]  # name -> share_prefixes and hyperparameters of an rlcore agent
After = Callable[[int, dict[str, LanguagePolicy]], None]


class InOrder(Prompts):
    """Takes the prompts in the order of the data set, as TRL does with `shuffle_dataset=False`."""

    asked = 0

    def draw(self, generator: torch.Generator | None = None) -> dict[str, list]:
        """The next rows."""
        self.asked += self.prompts_per_step
        return self.dataset[list(range(self.asked - self.prompts_per_step, self.asked))]

    def sample(self, policy: LanguagePolicy, generator: torch.Generator | None = None) -> Trajectory:
        """As in `Prompts`, and keep what was sampled, for `sharing`."""
        self.last = super().sample(policy, generator)
        return self.last


def rlcore_places() -> list[Place]:
    """Where rlcore's GRPO samples (prompts in, texts out) and where it scores what was sampled."""
    return [
        (prompts, "generate", "sample"),
        (prompts, "completion_texts", "sample"),
        (LanguagePolicy, "evaluate_actions", "forward"),
    ]


def prompts_in_order(seed: int, count: int) -> Dataset:
    """Training problems of the addition task, shuffled by a seed: row i is the prompt that all see i-th."""
    train, _ = addition_problems()
    rows = torch.randperm(len(train), generator=torch.Generator().manual_seed(seed))[:count]
    return train.select(rows.tolist()).flatten_indices()


def sharing(trajectory: Trajectory, width: int) -> dict[str, float]:
    """How much the completions of a batch have in common.

    Returns:
        `distinct`: distinct prefixes per token; `computed`: places in the trees (filler included) per place in the
        plain forward; `shared`: whether rlcore finds the trees cheaper and uses them.
    """
    trees = prefix_trees(trajectory.states, trajectory.mask)
    row, time = (trajectory.mask.flip(-1).cumsum(-1) > 0).flip(-1).nonzero(as_tuple=True)
    nodes = torch.unique(torch.stack([trees.tree[row], trees.node[row, time]]), dim=1).shape[1]
    return {
        "distinct": nodes / len(row),
        "computed": trees.tokens.numel() / trajectory.states.numel(),
        "shared": float(saves_work(trees, *trajectory.states.shape, width)),
    }


def race(
    clock: Clock, base: LanguagePolicy, dataset: Dataset, reward: Reward, config: GRPOConfig,
    rivals: Rivals, seed: int, after: After | None = None,
) -> dict[str, list[Metrics]]:
    """Train TRL and its rivals from the same weights for `config.steps` steps, one step each in turn.

    Args:
        clock: gets one lap per contestant and step.
        base: where all start; it stays as it is.
        dataset: the prompts, in the order in which all see them.
        reward: judges all.
        config: TRL's hyperparameters.
        rivals: the rlcore agents.
        seed: for everybody's samples.
        after: called off the clock as `after(step, {name: policy})` when all have done that step.

    Returns:
        Per contestant, the `reward` of each step; for rlcore's, all their metrics and their `sharing`.
    """
    agents, history = {}, {name: [] for name in ("TRL", *rivals)}
    for name, (share, own) in rivals.items():
        model = copy.deepcopy(base.model)
        world = InOrder(dataset, [reward], prompts_per_step=own.prompts_per_step, group_size=own.group_size,
                        max_new_tokens=own.max_new_tokens)
        agents[name] = GRPO(LanguagePolicy(model, base.tokenizer, base.temperature, share), world, own, seed)
    steps = {name: agent.steps() for name, agent in agents.items()}
    policies = {name: agent.policy for name, agent in agents.items()}

    def trl_reward(**columns) -> list[float]:
        values = reward(**columns)
        history["TRL"].append({"reward": sum(values) / len(values)})
        return values

    def between(step: int) -> None:
        for name, agent in agents.items():
            clock.start(name)
            metrics = next(steps[name])
            clock.stop()
            history[name].append(metrics | sharing(agent.world.last, base.model.config.hidden_size))
        if after is not None:
            after(step, policies)

    with tempfile.TemporaryDirectory() as folder, torch.random.fork_rng():
        trainer = trl_trainer(base, dataset, trl_reward, config, seed, Path(folder))
        policies["TRL"] = LanguagePolicy(trainer.model, base.tokenizer, base.temperature)
        trainer.add_callback(Relay(clock, between))
        with clock.watching([*learning_places(), *rlcore_places(), *trl_places()]):
            trainer.train()
    return history
