"""A memory of single steps, from which learning draws at random."""

from typing import NamedTuple

import torch
from torch import Tensor

from rlcore.trajectory import Trajectory
from rlcore.validate import check_positive


class Transitions(NamedTuple):
    """N remembered steps: s, a, r, s′, and whether the world ended there."""

    states: Tensor  # [N, *state]
    actions: Tensor  # [N]
    rewards: Tensor  # [N]
    next_states: Tensor  # [N, *state]
    terminated: Tensor  # [N] bool


class ReplayBuffer:
    """The last `size` steps; a new one takes the place of the oldest.

    A ring: step number n lies at place n mod `size`. Of several worlds' steps that are added together, each world's
    lie side by side.

    Raises:
        ValueError: `size` below 1; a trajectory that does not fit; sampling from an empty buffer.
    Source: Lin (1992), "Self-improving reactive agents based on reinforcement learning, planning and teaching".
    """

    def __init__(self, size: int, state_shape: tuple[int, ...]):
        check_positive("size", size)
        self.size, self.added = size, 0
        self.memory = Transitions(
            torch.zeros(size, *state_shape), torch.zeros(size, dtype=torch.long), torch.zeros(size),
            torch.zeros(size, *state_shape), torch.zeros(size, dtype=torch.bool),
        )

    def __len__(self) -> int:
        return min(self.added, self.size)

    def add(self, trajectory: Trajectory) -> None:
        """Remember every step that the policy chose; steps that only reset a world are not among them."""
        if trajectory.next_states is None:
            raise ValueError("trajectory has no next_states, so its steps cannot be learned from one by one")
        chosen = trajectory.mask
        wanted, got = self.memory.states.shape[1:], trajectory.states.shape[chosen.dim():]
        if wanted != got:
            raise ValueError(f"the buffer remembers states {tuple(wanted)}, but the trajectory's are {tuple(got)}")
        count = int(chosen.sum())
        if count > self.size:
            raise ValueError(f"the buffer remembers {self.size} steps, but the trajectory has {count}")
        places = (self.added + torch.arange(count)) % self.size
        for kept, new in zip(self.memory, (trajectory.states, trajectory.actions, trajectory.rewards,
                                           trajectory.next_states, trajectory.terminated), strict=True):
            kept[places] = new[chosen]
        self.added += count

    def sample(self, count: int, generator: torch.Generator | None = None) -> Transitions:
        """`count` remembered steps, each as likely as any other, with replacement."""
        check_positive("count", count)
        if len(self) == 0:
            raise ValueError("the buffer is empty: there is nothing to sample")
        rows = torch.randint(len(self), (count,), generator=generator)
        return Transitions(*(kept[rows] for kept in self.memory))

    def state_dict(self) -> dict:
        """What is remembered, for a checkpoint."""
        return {"added": self.added, **self.memory._asdict()}

    def load_state_dict(self, state: dict) -> None:
        """Go back to a state that `state_dict` gave."""
        for name, kept in self.memory._asdict().items():
            kept.copy_(state[name])
        self.added = state["added"]
