"""The robot dog's world as a table: a map of it, coarse enough to be solved, fine enough to catch a frisbee by.

A throw is six numbers. To a dog that knows how discs fly only three matter: how many steps are left until the disc is
low enough to catch, how far the dog stands from the place where that will be, and how fast it runs. Each is cut into
cells; between two cells the table rolls dice, so that on average the dog is where it should be.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Categorical

from rlcore.envs.robot_dog import DT, JUMP, TOP_SPEED, judge, move, throw
from rlcore.envs.tables import TabularMDP
from rlcore.policies import Policy
from rlcore.validate import check_positive

LONGEST = 31  # steps that a disc may be away from being low
LOW_STEPS, LOW_SPEED = 4, 7.3  # of a usual disc that is low: steps until it lies in the grass, m/s along the field
WIDEST = 13.0  # m: a dog that is further away has nothing to run for
PACES = 11  # cells of the dog's speed, from full speed left to full speed right


def next_low(states: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """When and where the disc will be low enough to catch, by flying it on in one's head: states `[B, 6]`.

    Returns:
        steps `[B]` until then (0 or below: it has been low for so long), and the place in m `[B]`.
    """
    disc, still = np.array(states, float), np.ones(len(states))
    _, _, place, height, _, up = disc.T
    already = (height <= JUMP) & (up < 0)
    ago = np.clip(np.round((JUMP - height) / np.maximum(-up * DT, 1e-6)), 0, LOW_STEPS)
    steps, where = np.where(already, -ago, LONGEST), np.where(already, place - DT * LOW_SPEED * ago, place)
    flying = ~already
    for step in range(1, LONGEST + 1):
        disc = move(disc, still)
        lands = flying & (disc[:, 3] <= JUMP) & (disc[:, 5] < 0)
        steps[lands], where[lands] = step, disc[lands, 2]
        flying &= ~lands
        if not flying.any():
            break
    return steps.astype(int), where


@dataclass(frozen=True)
class FrisbeeMap:
    """The robot dog's world in cells of `cell` metres.

    State number ↔ (steps until the disc is low, cell of the dog's place as seen from there, cell of its speed).

    Raises:
        ValueError: a cell that is not a positive length, or smaller than 0.1 m (too many states).
    """

    cell: float = 0.25  # m

    def __post_init__(self):
        check_positive("cell", self.cell)
        if self.cell < 0.1:
            raise ValueError(f"cell must be at least 0.1 (m; smaller ones make too many states), but is {self.cell}")

    @cached_property
    def clock(self) -> np.ndarray:
        """Steps until the disc is low; from 0 downwards it is."""
        return np.arange(LONGEST, -LOW_STEPS - 1, -1)

    @cached_property
    def offsets(self) -> np.ndarray:
        """How far right of the place where the disc comes low the dog is (m), one for each cell."""
        side = np.arange(self.cell, WIDEST + self.cell, self.cell)
        return np.concatenate([-side[::-1], [0.0], side])

    @cached_property
    def speeds(self) -> np.ndarray:
        """How fast the dog runs (m/s; to the right is positive), one for each cell."""
        return np.linspace(-TOP_SPEED, TOP_SPEED, PACES)

    @property
    def shape(self) -> tuple[int, int, int]:
        """How many cells there are: clock, offset, speed. A state number is their index, counted off in this order."""
        return len(self.clock), len(self.offsets), len(self.speeds)

    @cached_property
    def mdp(self) -> TabularMDP:
        """The table: `robot_dog`'s physics moves the dog and judges it, and the disc always comes down alike."""
        clock, offset, speed, action = np.meshgrid(self.clock, self.offsets, self.speeds, range(3), indexing="ij")
        nothing, after = np.zeros_like(offset), clock - 1
        dog = move(np.stack([offset, speed, nothing, nothing, nothing, nothing], -1), action)
        dog[..., 2] = np.where(after <= 0, -after * DT * LOW_SPEED, 0.0)  # the disc, along the field ...
        dog[..., 3] = np.where(after <= 0, JUMP / 2, 2 * JUMP)  # ... and its height
        reward, caught, _ = judge(dog, action)
        over = caught | (after < -LOW_STEPS)
        numbers, shares = self.cells(after, dog[..., 0], dog[..., 1])
        numbers[over] = np.prod(self.shape) - 1  # nothing follows an end, so it may lead anywhere: to a far corner
        outcomes = shares, numbers, *(np.broadcast_to(x[..., None], shares.shape) for x in (reward, over))
        return TabularMDP(*(x.reshape(-1, 3, 4) for x in outcomes), self._start())  # [S, A, K] each

    def cells(self, clock: np.ndarray, offset: np.ndarray, speed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The four cells around a place on the map: their state numbers and their shares, `[...] -> [..., 4]`."""
        row = np.clip(LONGEST - clock, 0, len(self.clock) - 1)
        (left, right), (slow, fast) = _between(offset, self.offsets), _between(speed, self.speeds)
        numbers = [np.ravel_multi_index((row, left + i, slow + j), self.shape) for i in (0, 1) for j in (0, 1)]
        shares = [(right if i else 1 - right) * (fast if j else 1 - fast) for i in (0, 1) for j in (0, 1)]
        return np.stack(numbers, -1), np.stack(shares, -1)

    def locate(self, states: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where real states `[B, 6]` are on the map: as `cells`, `[B, 4]`."""
        steps, place = next_low(states)
        return self.cells(steps, states[:, 0] - place, states[:, 1])

    def _start(self) -> np.ndarray:
        """How often an episode begins in each state, `[S]`, in 2000 throws."""
        numbers, shares = self.locate(throw(np.random.default_rng(0), (2000,)))
        return np.bincount(numbers.ravel(), shares.ravel(), minlength=np.prod(self.shape)) / 2000


def _between(x: np.ndarray, cells: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which two cells x lies between: the lower one's index, and the share of the upper one."""
    x = np.clip(x, cells[0], cells[-1])
    lower = np.clip(np.searchsorted(cells, x, side="right") - 1, 0, len(cells) - 2)
    return lower, (x - cells[lower]) / (cells[lower + 1] - cells[lower])


class MapPolicy(Policy):
    """Acts in the real `RobotDog-v0` by action values that were worked out on the map.

    Args:
        frisbee_map: the map.
        q: the value of each action in each of its states, `[S, 3]`.
        nearest: look the values up in the nearest cell, instead of averaging over the four around.
    """

    def __init__(self, frisbee_map: FrisbeeMap, q: np.ndarray, nearest: bool = False):
        super().__init__()
        self.map, self.q, self.nearest = frisbee_map, np.asarray(q), nearest

    def forward(self, states: Tensor) -> Categorical:
        """The best action, and where several are, each as likely: states `[..., 6]` -> batch shape `[...]`."""
        numbers, shares = self.map.locate(states.reshape(-1, 6).double().numpy())  # [B, 4]
        if self.nearest:
            shares = np.eye(4)[shares.argmax(-1)]
        q = (shares[..., None] * self.q[numbers]).sum(1)  # [B, 3]
        best = torch.as_tensor(q >= q.max(-1, keepdims=True) - 1e-9, dtype=torch.float32)
        return Categorical(probs=best.view(*states.shape[:-1], 3))
