"""Tabular control: Monte Carlo, SARSA, expected SARSA, Q-learning and double Q-learning.

What changed since TD prediction: the table holds Q(s, a) instead of V(s), and the policy is ε-greedy in it. Why: from V
alone nobody can choose without knowing where the actions lead, and a policy that follows what is learned gets better.
From class to class below one line changes: what the future of the step is taken to be worth.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

import gymnasium as gym
import numpy as np

from rlcore.envs.discrete import GymWorld, TableWorld, as_world
from rlcore.envs.exact import epsilon_greedy
from rlcore.envs.tables import TabularMDP
from rlcore.policies import TabularPolicy
from rlcore.validate import check_fraction


@dataclass(frozen=True)
class ControlConfig:
    """What all of these learners have in common (Sutton & Barto, 2018, chapters 5 and 6)."""

    episodes: int = 500
    step_size: float = 0.5  # α, in (0, 1]
    final_step_size: float | None = None  # α falls to this in a straight line over the episodes; None: it stays
    epsilon: float = 0.1  # ε, in [0, 1]: how often an action is picked blindly
    final_epsilon: float | None = None  # ε falls to this in a straight line over the episodes; None: it stays
    gamma: float = 1.0  # discount, in [0, 1]; below 1 in a world that never ends
    initial_value: float = 0.0  # of every Q(s, a)
    max_steps: int = 100_000  # an episode that lasts longer, in a world without a limit of its own, is an error

    def __post_init__(self):
        for name in ("episodes", "max_steps"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, but is {getattr(self, name)}")
        for name in ("step_size", "final_step_size"):
            value = getattr(self, name)
            if not (value is None and name.startswith("final")) and not 0.0 < value <= 1.0:
                raise ValueError(f"{name} must lie in (0, 1], but is {value}")
        check_fraction("epsilon", self.epsilon)
        if self.final_epsilon is not None:
            check_fraction("final_epsilon", self.final_epsilon)
        check_fraction("gamma", self.gamma)
        if not np.isfinite(self.initial_value):
            raise ValueError(f"initial_value must be a finite number, but is {self.initial_value}")

    def at(self, episode: int) -> tuple[float, float]:
        """α and ε in one of the episodes, which are numbered from 0."""
        done = episode / max(self.episodes - 1, 1)  # from 0 to 1
        ends = [(self.step_size, self.final_step_size), (self.epsilon, self.final_epsilon)]
        return tuple(first if last is None else first + done * (last - first) for first, last in ends)


@dataclass(frozen=True)
class Episode:
    """What happened in one episode: `rewards[t]` follows `actions[t]`, and there is one more state than actions."""

    states: list[int]  # [T + 1]
    actions: list[int]  # [T]
    rewards: list[float]  # [T]
    truncated: bool  # it was cut off: there was a future


class Control:
    """A table of action values, and ε-greedy choice. Plain lists: looking up one number in an array is slow."""

    def __init__(self, action_counts: list[int], config: ControlConfig, seed: int = 0):
        self.step_size, self.epsilon, self.gamma = config.step_size, config.epsilon, config.gamma
        self.q = [[float(config.initial_value)] * n for n in action_counts]  # Q(s, a): self.q[s][a]
        self.highest = [max(row) for row in self.q]  # max_a Q(s, a), kept up to date: it is asked for at every step
        self.random = Random(f"agent {seed}").random  # a number in [0, 1)

    def select(self, state: int) -> int:
        """ε-greedy: blindly with probability ε, else a best action; ties are broken at random."""
        row, highest = self.q[state], self.highest[state]
        if self.random() < self.epsilon:
            return int(self.random() * len(row))
        return row.index(highest) if row.count(highest) == 1 else self.best(row)

    def best(self, row: list[float]) -> int:
        """The action with the highest value; ties are broken at random."""
        highest = max(row)
        ties = [action for action, value in enumerate(row) if value == highest]
        return ties[int(self.random() * len(ties))]

    def move(self, state: int, action: int, target: float) -> None:
        """Q(s, a) ← Q(s, a) + α (target − Q(s, a)), and nothing else changes."""
        row = self.q[state]
        old = row[action]
        row[action] = new = old + self.step_size * (target - old)
        if new > self.highest[state]:
            self.highest[state] = new
        elif old == self.highest[state]:
            self.highest[state] = max(row)

    def update(self, state: int, action: int, reward: float, next_state: int, next_action: int, terminated: bool):
        """Learn from one step."""

    def finish(self, episode: Episode) -> None:
        """Learn from a whole episode."""


class MonteCarlo(Control):
    """Wait for the end, and move every Q(s, a) of the episode towards the return that followed it.

    The target is Gₜ, at every visit. The future of an episode that was cut off is Q's guess.

    Source: Sutton & Barto (2018), section 5.4 (there with first visits and averages).
    """

    def finish(self, episode: Episode) -> None:
        """One walk through the episode, backwards."""
        return_ = self.highest[episode.states[-1]] if episode.truncated else 0.0
        for t in reversed(range(len(episode.actions))):
            return_ = episode.rewards[t] + self.gamma * return_
            self.move(episode.states[t], episode.actions[t], return_)


class Sarsa(Control):
    """On-policy: the future is what the next action, the one that will really be taken, is worth.

    The target is r + γ Q(s′, a′).

    Source: Rummery & Niranjan (1994); Sutton & Barto (2018), eq. 6.7.
    """

    def update(self, state, action, reward, next_state, next_action, terminated):
        """Look one step ahead, at the action that comes."""
        future = 0.0 if terminated else self.q[next_state][next_action]
        self.move(state, action, reward + self.gamma * future)


class ExpectedSarsa(Control):
    """SARSA without the luck of the draw: the future is averaged over the actions that could come.

    The target is r + γ Σ_b π(b | s′) Q(s′, b), with the ε-greedy π that also acts.

    Source: van Seijen et al. (2009); Sutton & Barto (2018), eq. 6.9.
    """

    def update(self, state, action, reward, next_state, next_action, terminated):
        """Look one step ahead, at all actions."""
        row, greedy = self.q[next_state], 1 - self.epsilon
        future = 0.0 if terminated else greedy * self.highest[next_state] + self.epsilon * sum(row) / len(row)
        self.move(state, action, reward + self.gamma * future)


class QLearning(Control):
    """Off-policy: the future is what the best action is worth, whichever comes.

    The target is r + γ max_b Q(s′, b).

    Source: Watkins (1989); Sutton & Barto (2018), eq. 6.8.
    """

    def update(self, state, action, reward, next_state, next_action, terminated):
        """Look one step ahead, at the best action."""
        future = 0.0 if terminated else self.highest[next_state]
        self.move(state, action, reward + self.gamma * future)


class DoubleQLearning(Control):
    """Two tables: one says which action is best, the other what it is worth. Luck in one does not flatter the other.

    The target of Q₁ is r + γ Q₂(s′, argmax_b Q₁(s′, b)), or with 1 and 2 exchanged: a coin decides which of them
    learns. Q, which acts, is their mean.

    Source: van Hasselt (2010); Sutton & Barto (2018), eq. 6.10.
    """

    def __init__(self, action_counts, config, seed=0):
        super().__init__(action_counts, config, seed)
        self.twins = [row[:] for row in self.q], [row[:] for row in self.q]

    def update(self, state, action, reward, next_state, next_action, terminated):
        """Look one step ahead: one twin chooses, the other one values."""
        one, other = self.twins if self.random() < 0.5 else self.twins[::-1]
        future = 0.0 if terminated else other[next_state][self.best(one[next_state])]
        one[state][action] += self.step_size * (reward + self.gamma * future - one[state][action])
        self.q[state][action] = (one[state][action] + other[state][action]) / 2
        self.highest[state] = max(self.q[state])


def episodes(world: TableWorld | GymWorld, agent: Control, config: ControlConfig) -> Iterator[Episode]:
    """The loop: select, step, select, update, and say what happened, one episode at a time.

    The next action is chosen before the update, as SARSA needs it, for all of them.

    Raises:
        RuntimeError: an episode that is longer than `config.max_steps`, in a world without a step limit.
    """
    reset, step, select, update = world.reset, world.step, agent.select, agent.update
    for number in range(config.episodes):
        agent.step_size, agent.epsilon = config.at(number)
        state = reset()
        action = select(state)
        states, actions, rewards, truncated = [state], [], [], False
        for _ in range(world.step_limit or config.max_steps):
            next_state, reward, terminated, truncated = step(action)
            next_action = select(next_state)
            update(state, action, reward, next_state, next_action, terminated)
            states.append(next_state)
            actions.append(action)
            rewards.append(reward)
            if terminated or truncated:
                break
            state, action = next_state, next_action
        else:
            truncated = True
            if not world.step_limit:
                raise RuntimeError(f"episode {number} (counted from 0) does not end within max_steps={config.max_steps}"
                                   ", and this world has no step limit: give it one, or let the learner explore more "
                                   f"(epsilon = {agent.epsilon:g})")
        episode = Episode(states, actions, rewards, truncated)
        agent.finish(episode)
        yield episode


def as_array(q: list[list[float]]) -> np.ndarray:
    """A table of lists as an array `[S, A]`, with −∞ for actions that do not exist."""
    width = max(map(len, q))
    return np.array([row + [-np.inf] * (width - len(row)) for row in q])


@dataclass(frozen=True)
class History:
    """One number per episode, `[episodes]`, as it went while learning, blind actions included."""

    returns: np.ndarray  # sum of rewards, undiscounted
    lengths: np.ndarray  # steps


@dataclass(frozen=True)
class ControlResult:
    """What training leaves: a table, the policy that is greedy in it (ties shared), and how it went."""

    q: np.ndarray  # [S, A]; −∞ for an action that does not exist in a state
    policy: TabularPolicy
    history: History

    @property
    def value(self) -> np.ndarray:
        """What the best action of each state is worth, `[S]`."""
        return self.q.max(1)


def train(world: gym.Env | TabularMDP | TableWorld | GymWorld, agent: type[Control], config: ControlConfig,
          seed: int = 0) -> ControlResult:
    """Let a learner of the kind `agent` play `config.episodes` episodes in `world`.

    A Gymnasium environment is stepped as it is; `TableWorld.from_env(env)` is the same world, ten times as fast.

    Raises:
        ValueError: a world whose spaces are not discrete, or γ = 1 in a table that never ends.
        RuntimeError: an episode that never ends.
    """
    world = as_world(world)
    if config.gamma == 1.0 and not world.ends:
        raise ValueError("gamma must be below 1 in a world that never ends, or the returns have no limit, but is 1")
    world.seed(seed)
    learner = agent(world.action_counts, config, seed)
    record = [(sum(episode.rewards), len(episode.rewards)) for episode in episodes(world, learner, config)]
    returns, lengths = np.array(record).T
    q = as_array(learner.q)
    return ControlResult(q, TabularPolicy.from_probabilities(epsilon_greedy(q)), History(returns, lengths.astype(int)))
