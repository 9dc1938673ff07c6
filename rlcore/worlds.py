"""`Worlds`: a vector of environments as a source of trajectories, one after the other."""

from dataclasses import fields
from statistics import fmean

import torch
from gymnasium.vector import VectorEnv
from torch import Tensor

from rlcore.envs.snapshot import restore_worlds, world_state
from rlcore.policies import Policy
from rlcore.rollout import collect
from rlcore.trajectory import Trajectory


class Worlds:
    """Lets whichever policy asks act in `envs`, and remembers in between where the worlds stand.

    With `num_steps`, every trajectory has so many steps of each world, `[B, num_steps]`, and begins where the last one
    stopped, in the middle of an episode if need be. Without, it is one whole episode of every world, right-padded.

    The first sample draws the worlds' seed from the generator, so that one seed decides about everything; or `seed` is
    it.
    """

    def __init__(self, envs: VectorEnv, num_steps: int | None = None, seed: int | None = None):
        self.envs, self.num_steps, self.seed = envs, num_steps, seed
        self.started, self.episodes = False, 0
        self.finished: list[float] = []  # the returns of the episodes that ended in the last sample
        self.running = torch.zeros(envs.num_envs)  # [B]  the return so far of those that go on
        self._after: Trajectory | None = None  # the last step: where to go on

    def sample(self, policy: Policy, generator: torch.Generator | None = None) -> Trajectory:
        """Act, and say what happened: `[B, T]`. Errors are those of `rlcore.rollout.collect`."""
        seed = None
        if not self.started:
            seed = int(torch.randint(2**31, (), generator=generator)) if self.seed is None else self.seed
        trajectory = collect(policy, self.envs, self.num_steps, self._after, seed=seed, generator=generator)
        self.started = True
        if self.num_steps is not None:
            self._after = _last_step(trajectory)
        self._count(trajectory)
        return trajectory

    def metrics(self, trajectory: Trajectory) -> dict[str, float]:
        """`reward`, the mean return of the episodes that ended (missing where none did), and how much was seen."""
        reward = {"reward": fmean(self.finished)} if self.finished else {}
        return reward | {"episodes": self.episodes, "num_steps": int(trajectory.mask.sum())}

    def _count(self, trajectory: Trajectory) -> None:
        """Add up the undiscounted rewards of every episode until it ends."""
        self.finished = []
        for rewards, done in zip(trajectory.rewards.T, trajectory.done.T, strict=True):  # [B] each, step by step
            self.running += rewards
            if done.any():
                self.finished += self.running[done].tolist()
                self.running[done] = 0.0
        self.episodes += len(self.finished)

    def state_dict(self) -> dict:
        """Everything that the next sample depends on, beside policy and generator: the worlds themselves, too."""
        state = {"started": self.started, "episodes": self.episodes, "running": self.running.clone()}
        if self.started:
            state["envs"] = world_state(self.envs)
        if self._after is not None:
            state["after"] = _tensors(self._after)
        return state

    def load_state_dict(self, state: dict) -> None:
        """Go back to a state that `state_dict` gave."""
        self.started, self.episodes, self.running = state["started"], state["episodes"], state["running"].clone()
        self._after = Trajectory(**state["after"]) if "after" in state else None
        if self.started:
            restore_worlds(self.envs, state["envs"])


def _last_step(trajectory: Trajectory) -> Trajectory:
    steps = {name: x if name == "resume_states" else x[:, -1:].clone() for name, x in _tensors(trajectory).items()}
    return Trajectory(**steps)


def _tensors(trajectory: Trajectory) -> dict[str, Tensor]:
    values = {field.name: getattr(trajectory, field.name) for field in fields(trajectory)}
    return {name: x for name, x in values.items() if x is not None}
