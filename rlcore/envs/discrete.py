"""Worlds for learners that keep a table, behind one interface: `reset() -> state` and `step(action) -> Step`.

`TableWorld` steps a transition table in plain Python lists: no arrays, no checks and no wrappers on the way, which is
what makes learning ten times as fast. `GymWorld` steps any Gymnasium environment whose spaces are discrete.
"""

from bisect import bisect
from random import Random

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Discrete, MultiDiscrete, Tuple

from rlcore.envs.tables import TabularMDP

Step = tuple[int, float, bool, bool]  # next state, reward, terminated, truncated


class TableWorld:
    """A transition table that is stepped in plain Python.

    Args:
        mdp: the table.
        step_limit: an episode is truncated after so many steps; None: never.
        action_counts: how many actions there are in each state, the first so many; None: all of the table's.

    Raises:
        ValueError: a limit below 1, or action counts that are not one number from 1 to A for each state.
    """

    def __init__(self, mdp: TabularMDP, step_limit: int | None = None, action_counts: list[int] | None = None):
        counts = [mdp.num_actions] * mdp.num_states if action_counts is None else [int(n) for n in action_counts]
        if step_limit is not None and step_limit < 1:
            raise ValueError(f"step_limit must be at least 1, or None, but is {step_limit}")
        if len(counts) != mdp.num_states or not all(1 <= n <= mdp.num_actions for n in counts):
            raise ValueError(f"action_counts must be {mdp.num_states} numbers from 1 to {mdp.num_actions}, but are "
                             f"{counts}")
        self.mdp, self.step_limit, self.action_counts = mdp, step_limit, counts
        self.ends = bool((mdp.terminated & (mdp.probabilities > 0)).any())  # it can end at all
        table = mdp.table()
        self._rows = [[_draws(table[s][a]) for a in range(mdp.num_actions)] for s in range(mdp.num_states)]
        starts = np.flatnonzero(mdp.start > 0)
        self._starts, self._start_sums = starts.tolist(), mdp.start[starts].cumsum()[:-1].tolist()
        self.seed(0)

    @classmethod
    def from_env(cls, env: gym.Env) -> "TableWorld":
        """The table that a Gymnasium world publishes, with its step limit.

        Raises:
            ValueError: a world without a table, or one that does not show its whole state.
        """
        mdp, world = TabularMDP.from_env(env), env.unwrapped
        if getattr(world.observation_space, "n", None) != mdp.num_states:
            raise ValueError(f"env must show its state, one of {mdp.num_states}, but shows {world.observation_space}: "
                             "its table would give away what the learner cannot see. Pass the env itself")
        return cls(mdp, env.spec.max_episode_steps if env.spec else None, getattr(world, "action_counts", None))

    def seed(self, seed: int) -> None:
        """Throw the world's dice anew."""
        self._random = Random(f"world {seed}").random

    def reset(self) -> int:
        """A first state, drawn from the start distribution."""
        self.state = self._starts[bisect(self._start_sums, self._random())]
        return self.state

    def step(self, action: int) -> Step:
        """One outcome of `action`, drawn from the table."""
        sums, outcomes = self._rows[self.state][action]
        outcome = outcomes[bisect(sums, self._random())] if sums else outcomes[0]
        self.state = outcome[0]
        return outcome


def _draws(outcomes) -> tuple[list[float], list[Step]]:
    """Outcomes with the sums of their probabilities: `bisect(sums, random())` draws one."""
    sums = np.cumsum([outcome[0] for outcome in outcomes])[:-1].tolist()
    return sums, [(int(state), float(reward), bool(end), False) for _, state, reward, end in outcomes]


class GymWorld:
    """Any Gymnasium environment with discrete spaces; states that are tuples of numbers are numbered.

    Raises:
        ValueError: a space that is not discrete, such as CartPole's positions and speeds.
    """

    ends, step_limit = True, None  # nobody knows whether it ends; the environment says `truncated` itself

    def __init__(self, env: gym.Env):
        self.env, self._sizes, self._lowest = env, *_grid(env.observation_space)
        if not isinstance(env.action_space, Discrete):
            raise ValueError(f"actions must be Discrete for a table, but the world takes {env.action_space}")
        self._first_action = int(env.action_space.start)
        states = int(np.prod(self._sizes))
        counts = getattr(env.unwrapped, "action_counts", None)
        self.action_counts = [int(env.action_space.n)] * states if counts is None else list(counts)
        self.seed(0)

    def seed(self, seed: int) -> None:
        """Throw the world's dice anew."""
        self._seed = seed

    def reset(self) -> int:
        """The number of a first state."""
        observation, _ = self.env.reset(seed=self._seed)
        self._seed = None  # later episodes go on with the same dice
        return self._number(observation)

    def step(self, action: int) -> Step:
        """What the environment answers."""
        observation, reward, terminated, truncated, _ = self.env.step(action + self._first_action)
        return self._number(observation), float(reward), terminated, truncated

    def _number(self, observation) -> int:
        number = 0
        for part, size, lowest in zip(np.ravel(observation), self._sizes, self._lowest, strict=True):
            number = number * size + int(part) - lowest
        return number


def _grid(space: gym.Space) -> tuple[list[int], list[int]]:
    """How many values each number of a state can take, and the lowest of them."""
    if isinstance(space, Discrete):
        return [int(space.n)], [int(space.start)]
    if isinstance(space, MultiDiscrete) and space.nvec.ndim == 1:
        return space.nvec.tolist(), space.start.tolist()
    if isinstance(space, Tuple) and all(isinstance(part, Discrete) for part in space.spaces):
        return [int(part.n) for part in space.spaces], [int(part.start) for part in space.spaces]
    shown = " ".join(str(space).split())
    raise ValueError(f"states must be discrete for a table, but the world shows {shown}: cut it into a few intervals, "
                     "or learn with a network")


def as_world(world: gym.Env | TabularMDP | TableWorld | GymWorld) -> TableWorld | GymWorld:
    """Whatever can be stepped, behind the one interface.

    Raises:
        ValueError: something else, or spaces that are not discrete.
    """
    if isinstance(world, TableWorld | GymWorld):
        return world
    if isinstance(world, TabularMDP):
        return TableWorld(world)
    if isinstance(world, gym.Env):
        return GymWorld(world)
    raise ValueError("world must be a Gymnasium environment, a TabularMDP or a TableWorld, but is a "
                     f"{type(world).__name__}")
