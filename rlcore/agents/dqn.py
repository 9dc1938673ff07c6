"""Deep Q-learning: a network in place of the table.

What changed since Q-learning: Q(s, a) is a network, and an update that moves it here moves it in other states too.
Hence the two additions: a replay buffer mixes old steps, because steps in a row are all alike; a target network stands
still for a while, because a target that moves along with the estimate is never reached.
"""

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from gymnasium.spaces import Box, Discrete
from gymnasium.vector import VectorEnv
from torch import Tensor, nn

from rlcore.checkpoint import Resumable
from rlcore.recorder import Metrics, Result, run
from rlcore.replay import ReplayBuffer
from rlcore.returns import td_errors
from rlcore.validate import check_fraction, check_positive
from rlcore.values import EpsilonGreedy, QNetwork
from rlcore.worlds import Worlds


@dataclass(frozen=True)
class DQNConfig:
    """DQN (Mnih et al., 2015), with a few hundred steps of acting and learning in turn."""

    total_steps: int = 50_000  # steps of the worlds, all together
    collect_steps: int = 256  # steps between two rounds of learning, all worlds together
    gradient_steps: int = 128  # updates per round
    batch_size: int = 64  # transitions per update
    buffer_size: int = 100_000  # transitions that are remembered; 1 round's worth is "no replay"
    learning_starts: int = 1_000  # steps before the first update
    gamma: float = 0.99  # discount, in [0, 1]
    lr: float = 1e-3  # Adam's learning rate at the first step; it falls linearly
    final_lr: float = 0.1  # share of lr that is left at the end
    epsilon: float = 1.0  # exploration at the first step
    final_epsilon: float = 0.04  # exploration from `exploration_fraction` on
    exploration_fraction: float = 0.16  # share of the training in which ε falls, linearly
    target_every: int = 128  # updates between two copies of the network into the target network; 1 is "no target"
    double: bool = False  # double DQN: one network chooses the best next action, the other values it
    hidden: tuple[int, ...] = (128, 128)  # sizes of the hidden layers
    max_grad_norm: float = 10.0  # gradient clipping

    def __post_init__(self):
        for name in ("total_steps", "collect_steps", "gradient_steps", "batch_size", "buffer_size", "learning_starts",
                     "lr", "target_every", "max_grad_norm"):
            check_positive(name, getattr(self, name))
        for name in ("gamma", "final_lr", "epsilon", "final_epsilon", "exploration_fraction"):
            check_fraction(name, getattr(self, name))
        if self.buffer_size < self.collect_steps:
            raise ValueError(f"buffer_size must hold at least one round of collect_steps={self.collect_steps}, but is "
                             f"{self.buffer_size}")
        if self.learning_starts > self.total_steps:
            raise ValueError(f"learning_starts must be at most total_steps={self.total_steps}, or nothing is learned, "
                             f"but is {self.learning_starts}")

    def at(self, step: int) -> tuple[float, float]:
        """Adam's learning rate and ε after so many steps of the worlds: both fall in a straight line, then stay."""
        progress = min(step / self.total_steps, 1.0)
        explored = 1.0 if self.exploration_fraction == 0 else min(progress / self.exploration_fraction, 1.0)
        epsilon = self.epsilon + explored * (self.final_epsilon - self.epsilon)
        return self.lr * (1 - progress * (1 - self.final_lr)), epsilon


def best_next_values(q: nn.Module, target: nn.Module, next_states: Tensor, double: bool) -> Tensor:
    """What the best action in the next state is taken to be worth, `[N]`; no gradient flows through it.

    max_a Q⁻(s′, a), or with `double` Q⁻(s′, argmax_a Q(s′, a)), where Q⁻ is the target network. Whether there *is* a
    next state is for `td_errors` to say, which cuts it off at `terminated`.

    Source: Mnih et al. (2015); double: van Hasselt et al. (2016), arXiv:1509.06461.
    """
    with torch.no_grad():
        values = target(next_states)  # [N, A]
        best = (q(next_states) if double else values).argmax(-1, keepdim=True)  # [N, 1]
        return values.gather(-1, best).squeeze(-1)  # [N]


class DQN(Resumable):
    """Select: ε-greedy. Update: move Q(s, a) towards r + γ max Q⁻(s′, ·) on remembered steps."""

    parts = ("policy", "target", "optimizer", "buffer", "generator", "worlds")
    counters = ("step", "updates", "epsilon")

    def __init__(self, envs: VectorEnv, config: DQNConfig, seed: int = 0):
        space, actions = envs.single_observation_space, envs.single_action_space
        if not isinstance(space, Box) or len(space.shape) != 1 or not isinstance(actions, Discrete):
            raise ValueError(f"envs must show vectors and take discrete actions, but have {space} and {actions}")
        if envs.num_envs > config.collect_steps:
            raise ValueError(f"collect_steps must be at least one for each of the {envs.num_envs} envs, but is "
                             f"{config.collect_steps}")
        self.config, self.seed = config, seed
        self.worlds = Worlds(envs, config.collect_steps // envs.num_envs, seed)
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            q = QNetwork(space.shape[0], int(actions.n), config.hidden)
        self.policy, self.target = EpsilonGreedy(q, config.epsilon), copy.deepcopy(q).requires_grad_(False)
        self.optimizer = torch.optim.Adam(q.parameters(), lr=config.lr, fused=True)
        self.buffer = ReplayBuffer(config.buffer_size, space.shape)
        self.generator = torch.Generator().manual_seed(seed)
        self.step, self.updates = 0, 0

    @property
    def epsilon(self) -> float:
        """How often the policy explores at present."""
        return self.policy.epsilon

    @epsilon.setter
    def epsilon(self, value: float) -> None:
        self.policy.epsilon = value

    def act(self) -> Metrics:
        """Go on acting in the worlds for `collect_steps`, and remember what happened."""
        _, self.epsilon = self.config.at(self.step)
        trajectory = self.worlds.sample(self.policy, self.generator)
        self.buffer.add(trajectory)
        self.step += int(trajectory.mask.sum())
        return {"step": self.step, "epsilon": self.epsilon} | self.worlds.metrics(trajectory)

    def learn(self) -> Metrics:
        """One round of updates on remembered steps."""
        config, losses, values = self.config, [], []
        for group in self.optimizer.param_groups:
            group["lr"], _ = config.at(self.step)
        for _ in range(config.gradient_steps):
            batch = self.buffer.sample(config.batch_size, self.generator)
            q = self.policy.q(batch.states).gather(-1, batch.actions[:, None]).squeeze(-1)  # [N]
            next_values = best_next_values(self.policy.q, self.target, batch.next_states, config.double)  # [N]
            errors = td_errors(batch.rewards, q, next_values, batch.terminated, config.gamma)  # [N]
            loss = F.smooth_l1_loss(errors, torch.zeros_like(errors))  # a square near 0, straight far away
            self.optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.policy.parameters(), config.max_grad_norm)
            self.optimizer.step()
            self.updates += 1
            if self.updates % config.target_every == 0:
                self.target.load_state_dict(self.policy.q.state_dict())
            losses.append(loss.detach())
            values.append(q.detach().mean())
        return {"loss": torch.stack(losses).mean().item(), "value": torch.stack(values).mean().item()}

    def steps(self) -> Iterator[Metrics]:
        """Act and learn in turn; one dictionary of metrics per round.

        `reward` is the mean return of the episodes that ended in the round, exploration included; it is missing where
        none ended.
        """
        while self.step < self.config.total_steps:
            metrics = self.act()
            yield metrics | (self.learn() if self.step >= self.config.learning_starts else {})


def train(
    envs: VectorEnv, config: DQNConfig, seed: int = 0, observe: Callable[[Metrics], None] | None = None,
    checkpoint: str | Path | None = None, resume: bool = False,
) -> Result:
    """Learn Q in a vector of worlds; the result's `policy` is ε-greedy on `policy.q`, with the ε it ended with.

    With a checkpoint, `resume=True` goes on from it, in the middle of the episodes: the run is to the bit the one that
    was not stopped.

    Raises:
        ValueError: worlds whose states are not vectors or whose actions are not discrete; more worlds than
            `collect_steps`; Q has become NaN; with a checkpoint, worlds that cannot be saved (`rlcore.envs.snapshot`).

    Source: Mnih et al. (2015), "Human-level control through deep reinforcement learning", algorithm 1.
    """
    agent = DQN(envs, config, seed)
    return run(agent, agent.steps(), observe, checkpoint, resume)
