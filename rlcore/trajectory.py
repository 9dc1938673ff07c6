"""What happened (`Trajectory`) and what to learn from it (`Batch`).

Time is the last axis of everything that is one number per step; to its left is batch. A bandit pull is T=1, an
episode `[T]`, 32 CartPoles `[32, T]`, a batch of sentences `[B, T]` with a mask. States and actions that are
vectors carry their own axes after time: `[B, T, 4]`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from rlcore.validate import check_bool, check_same_shape


def last_steps(mask: Tensor) -> Tensor:
    """True at the last True of each row of a mask `[..., T]`, and nowhere else."""
    return mask & (mask.flip(-1).cumsum(-1).flip(-1) == 1)


def _cut(mask: Tensor, index: slice | Tensor) -> int:
    """How many steps the rows `index` have, up to the last one that any of them took; at least 1."""
    used = mask[index].any(0).nonzero()
    return int(used[-1]) + 1 if len(used) else 1


def _check_begins_with(name: str, steps: Tensor, **others: Tensor | None) -> None:
    """Require batch and time of `steps` in front of whatever axes the others have of their own."""
    for other, tensor in others.items():
        if tensor is not None and tensor.shape[: steps.dim()] != steps.shape:
            shapes = f"{tuple(steps.shape)}, but is {tuple(tensor.shape)}"
            raise ValueError(f"{other} must begin with the shape of {name} {shapes}")


@dataclass(frozen=True)
class Trajectory:
    """What a policy did in a world, and what came of it.

    `rewards[t]` and `states[t + 1]` follow `actions[t]` (Sutton & Barto write R_{t+1} for our `rewards[t]`).
    For text the states are `tokens[:, :-1]` and the actions `tokens[:, 1:]`, right-padded.

    Raises:
        ValueError: shapes differ along batch or time, the masks are not bool, or there is no step at all.
    """

    states: Tensor  # [..., T, *state]  what the policy saw
    actions: Tensor  # [..., T, *action]  what was done
    rewards: Tensor  # [..., T]
    log_probs: Tensor  # [..., T]  log π(action | state) when it was chosen; 0 outside the mask
    terminated: Tensor  # [..., T] bool: the world ended here, there is no future
    truncated: Tensor  # [..., T] bool: we stopped watching here, there was a future
    mask: Tensor  # [..., T] bool: the policy chose this action (False: padding, a prompt, a reset)
    next_states: Tensor | None = None  # [..., T, *state]  where the action led; never the next episode's first state
    resume_states: Tensor | None = None  # [..., *state]  where the worlds stand after the last step, for going on

    def __post_init__(self):
        check_same_shape(rewards=self.rewards, log_probs=self.log_probs, terminated=self.terminated,
                         truncated=self.truncated, mask=self.mask)
        check_bool(terminated=self.terminated, truncated=self.truncated, mask=self.mask)
        if self.rewards.numel() == 0:
            raise ValueError("rewards is empty: a trajectory needs at least one step")
        _check_begins_with("rewards", self.rewards, states=self.states, actions=self.actions,
                           next_states=self.next_states)

    @property
    def done(self) -> Tensor:
        """The episode stops here, for either reason, `[..., T]` bool."""
        return self.terminated | self.truncated

    def rows(self, index: slice | Tensor) -> "Trajectory":
        """The rows `index` of a batch `[B, T]`, cut after the last step that any of them took.

        Raises:
            ValueError: one episode, `[T]`, which has no rows; no row.
        """
        if self.mask.dim() != 2 or len(self.mask[index]) == 0:
            raise ValueError(f"index must pick at least one row of a batch [B, T], but of {tuple(self.mask.shape)} it "
                             f"picks {index}")
        steps = _cut(self.mask, index)
        parts = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "resume_states"}
        return Trajectory(**{name: x if x is None else x[index, :steps] for name, x in parts.items()})

    def with_final_rewards(self, rewards: Tensor) -> "Trajectory":
        """The same trajectory, with one reward per row, `[B]`, paid at the last action that the policy chose."""
        check_same_shape(rewards=rewards, rows=self.mask[..., 0])
        paid = torch.where(last_steps(self.mask), rewards[..., None].to(self.rewards.dtype), 0.0)  # [B, T]
        return replace(self, rewards=paid)


def join(parts: Sequence[Trajectory]) -> Trajectory:
    """The rows of several batches `[Bᵢ, Tᵢ]` as one, `[ΣBᵢ, max T]`, right-padded with zeros; mask False there."""
    steps = max(part.mask.shape[-1] for part in parts)

    def padded(x: Tensor) -> Tensor:
        filler = x.new_zeros(len(x), steps - x.shape[1], *x.shape[2:])
        return torch.cat([x, filler], 1)

    columns = {field.name: [getattr(part, field.name) for part in parts] for field in fields(Trajectory)}
    there = {name: xs for name, xs in columns.items() if name != "resume_states" and xs[0] is not None}
    return Trajectory(**{name: torch.cat([padded(x) for x in xs]) for name, xs in there.items()})


@dataclass(frozen=True)
class Batch:
    """What an update needs of a trajectory: the choices that were made, and how much better than expected they were.

    Raises:
        ValueError: shapes differ along batch or time, the mask is not bool, or there is no step at all.
    """

    states: Tensor  # [B, T, *state]
    actions: Tensor  # [B, T, *action]
    log_probs: Tensor  # [B, T]  of the policy that acted: the denominator of PPO's ratio
    advantages: Tensor  # [B, T]
    mask: Tensor  # [B, T] bool: the steps to learn from
    ref_log_probs: Tensor | None = None  # [B, T]  of a frozen reference policy, where a KL term needs them
    returns: Tensor | None = None  # [B, T]  what a value function is to predict, where there is one

    def __post_init__(self):
        optional = {"ref_log_probs": self.ref_log_probs, "returns": self.returns}
        given = {name: x for name, x in optional.items() if x is not None}
        check_same_shape(log_probs=self.log_probs, advantages=self.advantages, mask=self.mask, **given)
        check_bool(mask=self.mask)
        if self.mask.dim() != 2 or self.mask.numel() == 0:
            raise ValueError(f"a batch is [B, T] with at least one step, but mask is {tuple(self.mask.shape)}")
        _check_begins_with("mask", self.mask, states=self.states, actions=self.actions)

    def __len__(self) -> int:
        return len(self.mask)

    def rows(self, index: Tensor) -> "Batch":
        """The rows `index`, cut after the last step that any of them learns from.

        Nothing to the left depends on what is cut off: our language models are causal, and other policies look at
        one state at a time.
        """
        steps = _cut(self.mask, index)
        return self._map(lambda x: x[index, :steps])

    def as_steps(self) -> "Batch":
        """The same steps to learn from, each a row of its own, `[N, 1]`, so that minibatches can mix them.

        Only for policies that look at one state at a time: a language model needs its text in one row.
        """
        return self._map(lambda x: x[self.mask][:, None])

    def _map(self, change: Callable[[Tensor], Tensor]) -> "Batch":
        parts = {field.name: getattr(self, field.name) for field in fields(self)}
        return Batch(**{name: x if x is None else change(x) for name, x in parts.items()})
