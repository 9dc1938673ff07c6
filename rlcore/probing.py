"""Put a learner on the ladder of probe environments, and compare what it has learned with the known answer.

The first rung that it misses says where to look: `report.suspect`. Nothing here knows which agent it is; a learner is a
function `train(policy, value, world, seed)` that improves policy and value in place.
"""

from collections.abc import Callable
from dataclasses import dataclass

import gymnasium as gym
import torch
from torch import Tensor, nn

from rlcore.envs.probes import PROBES, Probe
from rlcore.networks import actor_and_critic
from rlcore.policies import Policy
from rlcore.validate import check_choice, check_positive
from rlcore.worlds import Worlds

Train = Callable[[Policy, nn.Module, Worlds, int], object]


@dataclass(frozen=True)
class Report:
    """What a learner believes after its time on one rung, one entry for each observation that can be made there."""

    probe: str  # which rung
    states: Tensor  # [N, 1]
    values: Tensor  # [N]  what its value function says
    answers: Tensor  # [N]  what is true for the best policy
    best: Tensor  # [N]  π(the best action | state); 1 where there is only one
    tolerance: float  # how far off a value may be, as a share of its answer or of 1, whichever is more; and 1 − best

    @property
    def values_passed(self) -> bool:
        """Every value is near its answer."""
        room = self.tolerance * self.answers.abs().clamp(min=1.0)
        return bool(((self.values - self.answers).abs() <= room).all())  # NaN has not passed

    @property
    def policy_passed(self) -> bool:
        """The best action is nearly always taken."""
        return bool((self.best >= 1 - self.tolerance).all())

    @property
    def passed(self) -> bool:
        """Both are right."""
        return self.values_passed and self.policy_passed

    @property
    def suspect(self) -> str:
        """Where to look when this is the first rung that is missed."""
        return PROBES[self.probe].suspect

    def __str__(self) -> str:
        rows = zip(self.states[:, 0].tolist(), self.values.tolist(), self.answers.tolist(), strict=True)
        learned = ", ".join(f"V({s:g}) = {v:.2f} (truth {a:.2f})" for s, v, a in rows)
        choice = ", ".join(f"π(best | {s:g}) = {p:.2f}" for s, p in zip(self.states[:, 0].tolist(), self.best.tolist(),
                                                                       strict=True))
        both = learned + (f", {choice}" if PROBES[self.probe].num_actions > 1 else "")
        return f"{self.probe} {'passed' if self.passed else 'FAILED'}: {both}"


def probe(train: Train, id: str, gamma: float, seed: int = 0, num_envs: int = 16, num_steps: int = 4,
          hidden: tuple[int, ...] = (32,), tolerance: float = 0.05) -> Report:
    """Train a new policy and a new value network on one rung, and say what they have learned.

    Args:
        train: `train(policy, value, world, seed)`; the world gives `[num_envs, num_steps]` per sample, with ends of
            episodes, and the resets after them, anywhere.
        id: of the rung, "Probe1-v0" … "Probe6-v0".
        gamma: the discount that `train` works with: the answers depend on it.
        seed: of the networks; handed to `train`, too.
        num_envs: worlds side by side.
        num_steps: of each world, per sample.
        hidden: sizes of the networks' hidden layers.
        tolerance: see `Report`. At γ = 0.8 the planted bugs of chapter 08 are off by 0.09 or more.

    Raises:
        ValueError: no such probe; γ outside [0, 1]; a tolerance of 0 or below.
    """
    check_choice("id", id, tuple(PROBES))
    check_positive("tolerance", tolerance)
    rung = PROBES[id]
    seen = _observations(rung)
    answers = torch.tensor([rung.value(gamma, s, t) for t, s in seen])  # before anything is trained
    envs = gym.make_vec(id, num_envs=num_envs, vectorization_mode="sync")
    policy, value = actor_and_critic(envs, hidden, seed=seed)
    train(policy, value, Worlds(envs, num_steps), seed)
    states = torch.tensor([[s] for _, s in seen])  # [N, 1]
    best = torch.tensor([max(range(rung.num_actions), key=lambda a, t=t, s=s: rung.reward(t, s, a)) for t, s in seen])
    with torch.no_grad():
        chances = policy(states).probs.gather(-1, best[:, None])[:, 0]  # [N]
        return Report(id, states, value(states), answers, chances, tolerance)


def climb(train: Train, gamma: float, seed: int = 0, **options) -> dict[str, Report]:
    """All six rungs in order, each with new networks; options are those of `probe`.

    Raises:
        ValueError: as in `probe`, and γ = 1, where the rung that never ends has no answer.
    """
    for rung in PROBES.values():
        rung.value(gamma)  # raises before anything is trained
    return {id: probe(train, id, gamma, seed, **options) for id in PROBES}


def _observations(rung: Probe) -> list[tuple[int, float]]:
    """Every (step, observation) that can be met: the starts, and the 1 before a second step."""
    return [(0, s) for s in rung.starts] + ([(1, 1.0)] if rung.length == 2 else [])
