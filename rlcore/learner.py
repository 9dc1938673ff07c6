"""The training loop, one for every agent that learns from what its policy has just done: CartPole and GPT-2 alike."""

from collections.abc import Iterator
from typing import Protocol

import torch
from torch import nn

from rlcore.checkpoint import Resumable
from rlcore.policies import Policy
from rlcore.recorder import Metrics
from rlcore.trajectory import Trajectory
from rlcore.update import scale_lr


class World(Protocol):
    """Where trajectories come from: `rlcore.worlds.Worlds` for environments, `rlcore.lm.Prompts` for text."""

    def sample(self, policy: Policy, generator: torch.Generator | None = None) -> Trajectory:
        """Let the policy act, and say what happened."""

    def metrics(self, trajectory: Trajectory) -> Metrics:
        """What there is to say about the sample."""


class Learner(Resumable):
    """An agent is an action-selection rule, its policy, and an update rule, `learn`; the loop is the same for all.

    A subclass writes `learn(trajectory)`. Its config has `steps`, `lr` and `final_lr`: the learning rate falls linearly
    from `lr` towards `final_lr · lr`.
    """

    parts = ("policy", "value", "optimizer", "generator", "world")

    def __init__(self, policy: Policy, value: nn.Module | None, world: World, config, seed: int = 0):
        self.policy, self.value, self.world, self.config, self.seed = policy, value, world, config, seed
        self.optimizer = self.make_optimizer()
        self.generator = torch.Generator().manual_seed(seed)
        self.step = 0  # batches learned from so far

    def make_optimizer(self) -> torch.optim.Optimizer:
        """Adam over everything that learns. ε is larger than torch's: it keeps steps small where gradients vanish."""
        weights = [weight for part in (self.policy, self.value) if part is not None for weight in part.parameters()]
        return torch.optim.Adam(weights, lr=self.config.lr, eps=1e-5, fused=True)

    @property
    def progress(self) -> float:
        """How much of the training is over, in [0, 1): the last step still learns."""
        return self.step / self.config.steps

    def learn(self, trajectory: Trajectory) -> Metrics:
        """Improve the policy on what it did."""
        raise NotImplementedError(f"{type(self).__name__} must define learn(trajectory) -> metrics")

    def steps(self) -> Iterator[Metrics]:
        """Sample, estimate, improve; one dictionary of metrics per step."""
        while self.step < self.config.steps:
            scale_lr(self.optimizer, 1 - self.progress * (1 - self.config.final_lr))
            trajectory = self.world.sample(self.policy, self.generator)
            metrics = self.world.metrics(trajectory) | self.learn(trajectory)
            self.step += 1
            yield {"step": self.step} | metrics
