"""Somebody who compares two replies and is not always right: where preferences come from."""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

from datasets import Dataset

from rlcore.tasks.assistant import gold_reward
from rlcore.tasks.formats import check_columns
from rlcore.tasks.rewards import Reward, total_reward
from rlcore.validate import check_positive


@dataclass(frozen=True)
class Annotator:
    """A noisy judge after Bradley and Terry.

    P(a ≻ b) = σ((u(a) − u(b)) / τ),  u = reward + length_bias · words

    Source: Bradley & Terry (1952), Biometrika 39 (3/4), p. 324.

    Raises:
        ValueError: tau not above 0, or a length bias that is no finite number.
    """

    tau: float = 0.5  # τ: the difference in utility at which it errs in 1 / (1 + e) of the cases, 27 %
    length_bias: float = 0.0  # utility of a word more, in units of the reward: above 0 it likes long replies
    reward: Reward = gold_reward  # what it looks at
    skip_ties: bool = False  # leave out the pairs between which it sees no difference, instead of guessing

    def __post_init__(self):
        check_positive("tau", self.tau)
        if not math.isfinite(self.length_bias):
            raise ValueError(f"length_bias must be a finite number, but is {self.length_bias}")

    def preference(self, prompts: Sequence[str], first: Sequence[str], second: Sequence[str]) -> list[float]:
        """The chance that the first of two replies is preferred, in [0, 1], for each prompt."""
        gaps = zip(self._utility(prompts, first), self._utility(prompts, second), strict=True)
        return [_sigmoid((a - b) / self.tau) for a, b in gaps]

    def label(self, pairs: Dataset, seed: int = 0) -> Dataset:
        """Pairs (`prompt`, `first`, `second`) to preferences in TRL's format (`prompt`, `chosen`, `rejected`).

        The dice belong to the row: the first n of the labels are the labels of the first n rows.

        Raises:
            ValueError: a column is missing or an entry is empty, or a pair is one text twice. The row is named.
        """
        check_columns(pairs, "prompt", "first", "second", name="pairs")
        rng, rows = random.Random(seed), []
        columns = [list(pairs[name]) for name in ("prompt", "first", "second")]
        for prompt, a, b, chance in zip(*columns, self.preference(*columns), strict=True):
            likes_first = rng.random() < chance
            if not (self.skip_ties and chance == 0.5):
                rows.append({"prompt": prompt, "chosen": a if likes_first else b, "rejected": b if likes_first else a})
        if not rows:
            raise ValueError("pairs holds no two replies between which the annotator sees a difference")
        return Dataset.from_list(rows)

    def ceiling(self, preferences: Dataset) -> float:
        """How often the best possible judge agrees with this annotator on these pairs, in [½, 1].

        mean of max(p, 1 − p): whoever knows u and says "the better one" is right unless the annotator erred.

        Raises:
            ValueError: as for `label`, with `chosen` and `rejected`.
        """
        check_columns(preferences, "prompt", "chosen", "rejected", name="preferences")
        chances = self.preference(*(list(preferences[name]) for name in ("prompt", "chosen", "rejected")))
        return sum(max(p, 1.0 - p) for p in chances) / len(chances)

    def _utility(self, prompts: Sequence[str], replies: Sequence[str]) -> list[float]:
        rewards = total_reward([self.reward], prompts, replies, {}).tolist()
        return [reward + self.length_bias * len(reply.split()) for reward, reply in zip(rewards, replies, strict=True)]


def _sigmoid(x: float) -> float:
    return 1.0 / (1.0 + math.exp(-x)) if x >= 0 else math.exp(x) / (1.0 + math.exp(x))
