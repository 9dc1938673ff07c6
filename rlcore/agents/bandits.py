"""Bandits: learn from evaluation which of a few actions pays best, while choosing between them.

What changed since the dogs of chapter 01, which were bred by their returns: every single action is credited with its
own reward. Why: with one state and one step there is nobody else who could have earned it. This is the lowest rung.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from rlcore.envs.bandit_testbed import Bandits
from rlcore.policies import TabularPolicy
from rlcore.validate import check_fraction, check_not_negative, check_positive


# The rules. Scores are `[runs, arms]` and actions `[runs]`: one bandit is two thousand of them with runs = 1.
def argmax(scores: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """The arm with the highest score in each run, `[runs]`; ties are broken at random."""
    runs, arms = scores.shape
    first = scores.argmax(1)  # [runs]
    best = scores == scores.take(np.arange(runs) * arms + first)[:, None]  # [runs, arms]
    if np.count_nonzero(best) > runs:
        tied = best.sum(1) > 1  # [runs]
        first[tied] = (best[tied] * random.random(best[tied].shape)).argmax(1)
    return first


def softmax(scores: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """Probabilities that grow with the score, `[runs, arms]`.

    π(a) = exp(score(a)/τ) / Σ_b exp(score(b)/τ). At τ = 0, the limit, the best share everything.

    Source: Sutton & Barto (2018), eq. 2.11; the temperature is that of every language model's sampler.
    """
    top = scores.max(1, keepdims=True)  # [runs, 1]
    ahead = np.subtract(scores, top, where=scores != top, out=np.zeros(scores.shape))  # at most 0; ∞ beside ∞ is 0
    weights = np.exp(ahead / temperature) if temperature else (ahead == 0).astype(float)
    return weights / weights.sum(1, keepdims=True)


def sample(probs: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """One arm per run, drawn from probabilities `[runs, arms]` -> `[runs]`."""
    reached = probs.cumsum(1)[:, :-1] <= random.random((len(probs), 1))  # [runs, arms − 1]
    return reached.sum(1)


def ucb_scores(q: np.ndarray, counts: np.ndarray, t: int, c: float) -> np.ndarray:
    """How good an arm may plausibly be: its estimate, and more the less is known of it, `[runs, arms]`.

    Q(a) + c √(ln t / N(a)), and ∞ for an arm that was never tried; t counts the pulls, this one included.

    Source: Auer, Cesa-Bianchi & Fischer (2002); Sutton & Barto (2018), eq. 2.10.
    """
    return np.where(counts > 0, q + c * np.sqrt(np.log(t) / np.maximum(counts, 1)), np.inf)


@dataclass(frozen=True)
class ValueConfig:
    """ε-greedy, optimism, UCB and temperature: one learner with a number for each (Sutton & Barto, 2018, ch. 2)."""

    steps: int = 1000  # pulls per run
    epsilon: float = 0.0  # ε, in [0, 1]: how often an arm is picked blindly
    c: float = 0.0  # UCB's confidence, at least 0, in units of reward
    temperature: float = 0.0  # τ, at least 0, in units of reward: sample from softmax(scores/τ); 0 takes the best
    step_size: float | None = None  # α, in (0, 1]; None is 1/n, which makes an estimate the average
    initial_value: float = 0.0  # Q₁: optimistic where it is more than the arms pay

    def __post_init__(self):
        check_positive("steps", self.steps)
        check_fraction("epsilon", self.epsilon)
        check_not_negative("c", self.c)
        check_not_negative("temperature", self.temperature)
        if self.step_size is not None and not 0.0 < self.step_size <= 1.0:
            raise ValueError(f"step_size must lie in (0, 1], or be None for averages, but is {self.step_size}")
        if not np.isfinite(self.initial_value):
            raise ValueError(f"initial_value must be a finite number, but is {self.initial_value}")


class ValueAgent:
    """Estimate what each arm pays, and mostly pull the one that looks best."""

    def __init__(self, config: ValueConfig, runs: int, arms: int, random: np.random.Generator):
        self.config, self.random, self._row = config, random, np.arange(runs) * arms  # where each run's row begins
        self.q = np.full((runs, arms), float(config.initial_value))
        self.counts = np.zeros((runs, arms))  # pulls of each arm so far
        self.t = 0  # pulls of each run so far

    def scores(self) -> np.ndarray:
        """What the choice goes by, `[runs, arms]`: the estimates, or what they may plausibly be."""
        return ucb_scores(self.q, self.counts, self.t + 1, self.config.c) if self.config.c else self.q

    def probs(self) -> np.ndarray:
        """π(a), from which `select` draws, `[runs, arms]`."""
        epsilon = self.config.epsilon
        return epsilon / self.q.shape[1] + (1 - epsilon) * softmax(self.scores(), self.config.temperature)

    def select(self) -> np.ndarray:
        """An arm for each run, `[runs]`."""
        scores, temperature, random = self.scores(), self.config.temperature, self.random
        actions = sample(softmax(scores, temperature), random) if temperature else argmax(scores, random)
        if self.config.epsilon:
            blind = np.flatnonzero(random.random(len(actions)) < self.config.epsilon)
            actions[blind] = random.integers(self.q.shape[1], size=len(blind))
        return actions

    def update(self, actions: np.ndarray, rewards: np.ndarray) -> None:
        """Move the estimates of the arms that were pulled towards what they paid: actions, rewards `[runs]`.

        Q(a) ← Q(a) + α (r − Q(a)), with α = 1/N(a) where no step size is given.

        Source: Sutton & Barto (2018), eq. 2.3 and 2.5.
        """
        self.t += 1
        pulled = self._row + actions  # one flat index per run: twice as fast as a pair of them
        q, n = self.q.take(pulled), self.counts.take(pulled) + 1  # [runs], [runs]
        step_size = 1 / n if self.config.step_size is None else self.config.step_size
        self.q.put(pulled, q + step_size * (rewards - q))
        self.counts.put(pulled, n)


@dataclass(frozen=True)
class GradientConfig:
    """The gradient bandit (Sutton & Barto, 2018, section 2.8)."""

    steps: int = 1000  # pulls per run
    step_size: float = 0.1  # α, above 0
    baseline: bool = True  # compare rewards with the average so far; False compares them with 0

    def __post_init__(self):
        check_positive("steps", self.steps)
        check_positive("step_size", self.step_size)


class GradientAgent:
    """Estimate nothing: make what paid more than usual likelier. `policy_gradient_loss` at T=1, in NumPy."""

    def __init__(self, config: GradientConfig, runs: int, arms: int, random: np.random.Generator):
        self.config, self.random, self._row = config, random, np.arange(runs)
        self.preferences = np.zeros((runs, arms), order="F")  # H; runs side by side in memory: sums over arms are fast
        self.mean_reward = np.zeros(runs)  # R̄: of the pulls so far
        self.t = 0

    def probs(self) -> np.ndarray:
        """π(a), from which `select` draws, `[runs, arms]`."""
        return softmax(self.preferences)

    def select(self) -> np.ndarray:
        """An arm for each run, `[runs]`."""
        return sample(self.probs(), self.random)

    def update(self, actions: np.ndarray, rewards: np.ndarray) -> None:
        """Climb the gradient of log π(action), as far as the reward was better than usual: both `[runs]`.

        H(b) ← H(b) + α (r − R̄) (1[b = a] − π(b)), with R̄ the mean of all rewards so far, this one included. Including
        it scales the step by 1 − 1/t and changes nothing else: r − R̄ₜ = (1 − 1/t)(r − R̄ₜ₋₁).

        Source: Sutton & Barto (2018), eq. 2.12, with the baseline of their experiments (footnote there). It is one step
        of gradient descent, at rate α, on `policy_gradient_loss(log π(a), r − R̄)`.
        """
        self.t += 1
        self.mean_reward += (rewards - self.mean_reward) / self.t
        better = rewards - self.mean_reward if self.config.baseline else rewards  # [runs]
        push = self.config.step_size * better
        self.preferences -= push[:, None] * self.probs()
        self.preferences[self._row, actions] += push


@dataclass(frozen=True)
class Pulls:
    """What happened: one step `[runs]`, or all of them with time last, `[runs, T]`."""

    actions: np.ndarray  # which arm
    rewards: np.ndarray  # what it paid
    regret: np.ndarray  # how much less it pays on average than the best arm; 0 where it was a best arm

    @property
    def optimal(self) -> np.ndarray:
        """Whether it was a best arm, bool."""
        return self.regret == 0


@dataclass(frozen=True)
class BanditResult:
    """What training leaves. `policy` has a row for each run: `policy(run numbers) -> distribution over arms`."""

    policy: TabularPolicy
    q: np.ndarray | None  # [runs, arms], of the learners that estimate values
    history: Pulls  # [runs, T]


def steps(bandits: Bandits, agent: ValueAgent | GradientAgent) -> Iterator[Pulls]:
    """The loop: select, pull, update, and say what happened."""
    for _ in range(agent.config.steps):
        actions = agent.select()
        regret = bandits.regret(actions)  # before the values drift
        rewards = bandits.pull(actions)
        agent.update(actions, rewards)
        yield Pulls(actions, rewards, regret)


def train(bandits: Bandits, config: ValueConfig | GradientConfig, seed: int = 0) -> BanditResult:
    """Let one learner per run pull arms for `config.steps` steps. The bandits keep their dice, and drift on.

    Raises:
        ValueError: a config of another kind.
    """
    kinds = {ValueConfig: ValueAgent, GradientConfig: GradientAgent}
    if type(config) not in kinds:
        raise ValueError(f"config must be a ValueConfig or a GradientConfig, but is a {type(config).__name__}")
    dice = np.random.default_rng([seed, 2])  # never those of the bandits, even with the same seed
    agent = kinds[type(config)](config, bandits.runs, bandits.arms, dice)
    record = [np.empty((config.steps, bandits.runs), kind) for kind in (np.int32, np.float32, np.float32)]  # [T, runs]
    for t, pull in enumerate(steps(bandits, agent)):
        record[0][t], record[1][t], record[2][t] = pull.actions, pull.rewards, pull.regret
    policy = TabularPolicy(bandits.runs, bandits.arms)
    with torch.no_grad():
        policy.logits.copy_(torch.from_numpy(agent.probs()).log())  # −∞ for an arm that is never pulled
    return BanditResult(policy, getattr(agent, "q", None), Pulls(*(column.T for column in record)))
