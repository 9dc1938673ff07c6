"""A language of a few tokens, as a world: the state is the text so far, an action is the next token.

The transition is certain, and the reward comes with the last token: exactly what a language model is trained in, but so
small that *every* sentence can be written down, with its probability, its reward, and its gradient.

Source: the token-level MDP of Ramamurthy et al. (2023), arXiv:2210.01241, section 3.1.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product

import numpy as np
import torch
from torch import Tensor

from rlcore.envs.table_env import TabularEnv
from rlcore.envs.tables import TabularMDP
from rlcore.policies import Policy
from rlcore.trajectory import Trajectory

TOKENS = ("good", "not", ".")


def how_is_the_dog(sentence: str) -> float:
    """The dog is fine. Saying so pays 1, saying so with a double negation 0.5, denying it −1, and babble nothing."""
    return {"good .": 1.0, "not not good .": 0.5, "not good .": -1.0}.get(sentence, 0.0)


@dataclass(frozen=True)
class TinyLanguage:
    """All texts over `tokens`; the last token is the full stop. A sentence ends with it, or after `max_length` tokens.

    States are numbered by length, and in the order of the tokens within one: 0 is the empty text.

    Raises:
        ValueError: fewer than two tokens, or two that are equal; a `max_length` below 1; more than 20,000 texts; a
            reward that is not a finite number.
    """

    tokens: tuple[str, ...] = TOKENS
    max_length: int = 4  # tokens, the full stop included
    reward: Callable[[str], float] = how_is_the_dog  # of a whole sentence, its tokens joined by spaces

    def __post_init__(self):
        object.__setattr__(self, "tokens", tuple(self.tokens))
        if len(self.tokens) < 2 or len(set(self.tokens)) < len(self.tokens):
            raise ValueError(f"tokens must be at least 2 different ones, the full stop last, but are {self.tokens}")
        if self.max_length < 1:
            raise ValueError(f"max_length must be at least 1, but is {self.max_length}")
        if len(self.tokens) ** self.max_length > 20_000:
            raise ValueError(f"{len(self.tokens)} tokens and max_length {self.max_length} make "
                             f"{len(self.tokens) ** self.max_length} sentences or more: too many to enumerate")
        for sentence in self.sentences:
            if not np.isfinite(self.reward(sentence)):
                raise ValueError(f"reward of {sentence!r} must be a finite number, but is {self.reward(sentence)}")

    @cached_property
    def texts(self) -> list[tuple[int, ...]]:
        """Every text that can occur, as token numbers, by state number."""
        stop, every = len(self.tokens) - 1, range(len(self.tokens))
        return [text for length in range(self.max_length + 1) for text in product(every, repeat=length)
                if stop not in text[:-1]]

    @cached_property
    def numbers(self) -> dict[tuple[int, ...], int]:
        """The state number of each text."""
        return {text: number for number, text in enumerate(self.texts)}

    def words(self, state: int) -> str:
        """State number -> its text: 'not good .'."""
        return " ".join(self.tokens[token] for token in self.texts[state])

    def state(self, words: str) -> int:
        """A text such as 'not good .' -> its state number.

        Raises:
            ValueError: a text that cannot occur.
        """
        unknown = [word for word in words.split() if word not in self.tokens]
        text = () if unknown else tuple(self.tokens.index(word) for word in words.split())
        if unknown or text not in self.numbers:
            raise ValueError(f"words must be at most {self.max_length} of {', '.join(self.tokens)}, with nothing after "
                             f"{self.tokens[-1]!r}, but are {words!r}")
        return self.numbers[text]

    @cached_property
    def complete(self) -> list[int]:
        """The state numbers of the N whole sentences."""
        stop = len(self.tokens) - 1
        return [n for n, text in enumerate(self.texts) if text and (text[-1] == stop or len(text) == self.max_length)]

    @cached_property
    def sentences(self) -> list[str]:
        """The N whole sentences, in words."""
        return [self.words(state) for state in self.complete]

    @cached_property
    def mdp(self) -> TabularMDP:
        """The world as a table: S texts, A tokens, one outcome each."""
        whole = set(self.complete)

        def outcomes(state: int, action: int):
            if state in whole:
                return [(1.0, state, 0.0, True)]
            after = self.numbers[(*self.texts[state], action)]
            ends = after in whole
            return [(1.0, after, self.reward(self.words(after)) if ends else 0.0, ends)]

        return TabularMDP.from_function(len(self.texts), len(self.tokens), outcomes)

    def every_sentence(self) -> Trajectory:
        """The N sentences, each of them once, as a trajectory `[N, T]`; the reward stands at the last token.

        `log_probs` are 0: nobody sampled these. Weigh the rows with `log_probs(policy).exp()` for exact expectations.
        """
        size = (len(self.complete), self.max_length)
        states, actions = torch.zeros((2, *size), dtype=torch.long)
        mask, ends = torch.zeros((2, *size), dtype=torch.bool)
        for row, number in enumerate(self.complete):
            text = self.texts[number]
            states[row, : len(text)] = torch.tensor([self.numbers[text[:t]] for t in range(len(text))])
            actions[row, : len(text)] = torch.tensor(text)
            mask[row, : len(text)], ends[row, len(text) - 1] = True, True
        nothing = torch.zeros(size, dtype=torch.float64)
        paid = torch.tensor([float(self.reward(sentence)) for sentence in self.sentences], dtype=torch.float64)
        blank = Trajectory(states, actions, nothing, nothing, ends, torch.zeros_like(ends), mask)
        return blank.with_final_rewards(paid)

    def log_probs(self, policy: Policy) -> Tensor:
        """The log-probability of each whole sentence, `[N]`, differentiable: Σₜ log π(aₜ | sₜ). Their exp sums to 1."""
        every = self.every_sentence()
        return policy.evaluate_actions(every.states, every.actions, every.mask)[0].sum(-1)


def tree_places(language: TinyLanguage) -> np.ndarray:
    """Where to draw each text, `[S, 2]`: its length to the right, whole sentences below one another."""
    places = np.zeros((len(language.texts), 2))
    leaves = sorted(language.complete, key=language.texts.__getitem__)
    for row, state in enumerate(leaves):
        places[state] = 3.6 * len(language.texts[state]), -row
    whole = set(language.complete)
    for state in reversed(range(len(language.texts))):  # longer texts first: a text stands amid what can follow it
        if state not in whole:
            children = [language.numbers[(*language.texts[state], a)] for a in range(len(language.tokens))]
            places[state] = 3.6 * len(language.texts[state]), places[children, 1].mean()
    return places


class TinyLanguageEnv(TabularEnv):
    """`TinyLanguage-v0`: write one sentence, token by token. Its picture is the tree of all texts."""

    def __init__(self, render_mode: str | None = None, tokens: Sequence[str] = TOKENS, max_length: int = 4,
                 reward: Callable[[str], float] = how_is_the_dog):
        self.language = TinyLanguage(tuple(tokens), max_length, reward)
        last = ["…"] + [self.language.words(s).split()[-1] for s in range(1, len(self.language.texts))]
        super().__init__(self.language.mdp, render_mode, tree_places(self.language), last, edges=True,
                         tile=(2.7, 0.8))
