"""Worlds that can be written down: a finite Markov decision process as arrays. `table_env.TabularEnv` steps one.

A table is Gymnasium's own (`env.unwrapped.P[s][a]` is a list of `(probability, next_state, reward, terminated)`), laid
out as arrays. In each state every action has up to K outcomes: one where the world is certain, three on slippery ice.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import gymnasium as gym
import numpy as np

Outcome = tuple[float, int, float, bool]  # probability, next state, reward, terminated
Table = Mapping[int, Mapping[int, Sequence[Outcome]]]  # P[state][action], as Gymnasium's toy worlds have it


@dataclass(frozen=True, eq=False)
class TabularMDP:
    """S states, A actions, and for each pair of them up to K outcomes; rows with fewer are padded with probability 0.

    A state that is only ever entered by an end is `terminal`: nothing happens there any more, so its outcomes are
    replaced by staying there for nothing, and its value is 0.

    Raises:
        ValueError: shapes that differ; probabilities that are negative or do not sum to 1, and where; a next state that
            does not exist; a reward that is not a number; a start distribution that is none.
    Source: Sutton & Barto (2018), sections 3.1 and 3.4.
    """

    probabilities: np.ndarray  # [S, A, K]  of each outcome
    next_states: np.ndarray  # [S, A, K] int
    outcome_rewards: np.ndarray  # [S, A, K]
    terminated: np.ndarray  # [S, A, K] bool: the episode ends with this outcome
    start: np.ndarray  # [S]  how likely an episode begins in each state

    def __post_init__(self):
        kinds = {"probabilities": float, "next_states": int, "outcome_rewards": float, "terminated": bool,
                 "start": float}
        for name, kind in kinds.items():
            object.__setattr__(self, name, np.array(getattr(self, name), kind))  # copies: a table is nobody else's
        _check(self)
        over = self.terminal
        self.probabilities[over] = [1.0] + [0.0] * (self.probabilities.shape[-1] - 1)
        self.next_states[over] = np.flatnonzero(over)[:, None, None]
        self.outcome_rewards[over], self.terminated[over] = 0.0, True

    @classmethod
    def from_table(cls, table: Table, start: np.ndarray | int = 0) -> "TabularMDP":
        """From `P[state][action] = [(probability, next_state, reward, terminated), ...]`; `start` as `from_function`.

        Raises:
            ValueError: as for the class; a table without states, or states that differ in their number of actions.
        """
        sizes = {len(table[s]) if s in table else 0 for s in range(len(table))}
        if len(sizes) != 1 or 0 in sizes:
            raise ValueError("table must hold the same number of actions, at least one, for each of the states "
                             f"0, 1, 2, ..., but has {len(table)} states with {sorted(sizes)} actions")
        return cls.from_function(len(table), len(table[0]), lambda s, a: table[s][a], start)

    @classmethod
    def from_function(cls, num_states: int, num_actions: int, outcomes: Callable[[int, int], Sequence[Outcome]],
                      start: np.ndarray | int = 0) -> "TabularMDP":
        """From a rule: `outcomes(state, action)` lists `(probability, next_state, reward, terminated)`.

        `start` is one state, or a probability for each, `[S]`.
        """
        rows = [[list(outcomes(s, a)) for a in range(num_actions)] for s in range(num_states)]
        most = max(len(row) for by_action in rows for row in by_action)  # K
        padded = [[row + [(0.0, s, 0.0, False)] * (most - len(row)) for row in by_action]
                  for s, by_action in enumerate(rows)]
        start = np.eye(num_states)[start] if np.ndim(start) == 0 else start
        return cls(*np.moveaxis(np.array(padded, float).reshape(num_states, num_actions, most, 4), -1, 0), start)

    @classmethod
    def from_env(cls, env: gym.Env) -> "TabularMDP":
        """From a Gymnasium world that publishes its table, as FrozenLake, CliffWalking and Taxi do.

        Raises:
            ValueError: a world without a table `env.unwrapped.P`.
        """
        world = env.unwrapped
        if isinstance(getattr(world, "mdp", None), cls):
            return world.mdp
        if not hasattr(world, "P"):
            raise ValueError(f"env must publish its transition table as env.unwrapped.P, but {world} has none: its "
                             "states cannot be listed, so it can only be learned from experience")
        return cls.from_table(world.P, getattr(world, "initial_state_distrib", 0))

    @property
    def num_states(self) -> int:
        """S."""
        return self.probabilities.shape[0]

    @property
    def num_actions(self) -> int:
        """A."""
        return self.probabilities.shape[1]

    @cached_property
    def terminal(self) -> np.ndarray:
        """The states that are entered by an end, and never by an episode that goes on, `[S]` bool."""
        possible = self.probabilities > 0
        ended = np.zeros(self.num_states, bool)
        ended[self.next_states[possible & self.terminated]] = True
        alive = ~ended | (self.start > 0)
        while True:  # whatever a living state can go on to is alive
            more = alive.copy()
            more[self.next_states[possible & ~self.terminated & alive[:, None, None]]] = True
            if (more == alive).all():
                return ~alive
            alive = more

    @cached_property
    def rewards(self) -> np.ndarray:
        """The expected reward r(s, a), `[S, A]` (Sutton & Barto, 2018, eq. 3.5)."""
        return (self.probabilities * self.outcome_rewards).sum(-1)

    @cached_property
    def transitions(self) -> np.ndarray:
        """The probability p(s' | s, a) of arriving in s' *and going on*, `[S, A, S]`: an end leads nowhere.

        Its rows sum to 1 − the probability that the episode ends here. It holds S² A numbers: for thousands of states
        use `expect`, which does without it.
        """
        dense = np.zeros((self.num_states, self.num_actions, self.num_states))
        s, a, _ = np.indices(self.probabilities.shape)
        np.add.at(dense, (s, a, self.next_states), self.probabilities * ~self.terminated)
        return dense

    @cached_property
    def _going_on(self) -> np.ndarray:
        return self.probabilities * ~self.terminated  # [S, A, K]

    def expect(self, values: np.ndarray) -> np.ndarray:
        """The expected value of what comes next, Σ p(s' | s, a) v(s'), `[S] -> [S, A]`: 0 after an end."""
        return np.einsum("sak,sak->sa", self._going_on, values[self.next_states])

    def table(self) -> dict[int, dict[int, list[Outcome]]]:
        """The same in Gymnasium's form: `P[state][action] = [(probability, next_state, reward, terminated), ...]`."""
        columns = [x.tolist() for x in (self.probabilities, self.next_states, self.outcome_rewards, self.terminated)]
        return {s: {a: [outcome for outcome in zip(*(x[s][a] for x in columns), strict=True) if outcome[0] > 0]
                    for a in range(self.num_actions)} for s in range(self.num_states)}


def _check(mdp: TabularMDP) -> None:
    """Say which entry of a table cannot be."""
    shapes = {name: getattr(mdp, name).shape for name in
              ("probabilities", "next_states", "outcome_rewards", "terminated")}
    if len(set(shapes.values())) > 1 or len(shapes["probabilities"]) != 3 or 0 in shapes["probabilities"]:
        raise ValueError(f"outcomes must all be [S, A, K], but are {shapes}")
    if mdp.start.shape != (mdp.num_states,) or (mdp.start < 0).any() or not np.isclose(mdp.start.sum(), 1.0):
        raise ValueError(f"start must hold {mdp.num_states} probabilities that sum to 1, one for each state, but has "
                         f"shape {mdp.start.shape} and sums to {mdp.start.sum():.6g}")
    sums = mdp.probabilities.sum(-1)  # [S, A]
    wrong = np.argwhere((mdp.probabilities < 0).any(-1) | ~np.isclose(sums, 1.0, rtol=0.0, atol=1e-8))
    if len(wrong):
        s, a = wrong[0]
        raise ValueError(f"probabilities of what follows state {s} and action {a} must lie in [0, 1] and sum to 1, but "
                         f"are {mdp.probabilities[s, a].tolist()} and sum to {sums[s, a]:.6g}")
    if mdp.next_states.min() < 0 or mdp.next_states.max() >= mdp.num_states:
        raise ValueError(f"next_states must lie in 0..{mdp.num_states - 1}, but reach from {mdp.next_states.min()} "
                         f"to {mdp.next_states.max()}")
    if not np.isfinite(mdp.outcome_rewards).all():
        s, a, _ = np.argwhere(~np.isfinite(mdp.outcome_rewards))[0]
        raise ValueError(f"outcome_rewards must be finite, but state {s} and action {a} pay "
                         f"{mdp.outcome_rewards[s, a].tolist()}")
