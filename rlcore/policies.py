"""Policies: every one of them maps states to a distribution over actions, π(· | s).

A table, a small network and GPT-2 differ in how they compute that distribution, and in nothing else: whoever holds a
`Policy` can act with it, score actions with it and differentiate it, without asking which of the three it is.
"""

from collections.abc import Callable
from contextlib import contextmanager
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.distributions import Categorical, Distribution, Independent, Normal

from rlcore.prefix_tree import PrefixTrees, prefix_trees, saves_work
from rlcore.validate import check_positive, check_same_shape


def sample(distribution: Distribution, generator: torch.Generator | None = None) -> Tensor:
    """Draw actions, from a random generator of one's own where reproducibility asks for it."""
    if generator is None:
        return distribution.sample()
    if isinstance(distribution, Categorical):
        probs = distribution.probs
        rows = probs.reshape(-1, probs.shape[-1])
        return torch.multinomial(rows, 1, generator=generator).view(probs.shape[:-1])
    inner = distribution.base_dist if isinstance(distribution, Independent) else distribution
    if isinstance(inner, Normal):
        return torch.normal(inner.mean, inner.stddev, generator=generator)
    raise ValueError(f"generator works with Categorical and Normal, but the policy gave a {type(inner).__name__}")


class Policy(nn.Module):
    """The base of all policies. A subclass writes `forward`; the rest follows from the distribution."""

    def forward(self, states: Tensor) -> Distribution:
        """π(· | states): states `[..., *state]` -> a distribution with batch shape `[...]`."""
        raise NotImplementedError(f"{type(self).__name__} must define forward(states) -> Distribution")

    @torch.no_grad()
    def act(self, states: Tensor, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """Sample actions and say how likely they were: `[...]` actions and their log-probs."""
        distribution = self(states)
        actions = sample(distribution, generator)
        return actions, distribution.log_prob(actions)

    def evaluate_actions(self, states: Tensor, actions: Tensor, mask: Tensor, entropy: bool = False):
        """Differentiable log π(actions | states) `[B, T]`, and the entropy `[B, T]` where asked for (else None).

        Both are 0 outside the mask. They are set to 0 *before* any exponential, because 0 · inf is NaN.
        """
        distribution = self(states)
        log_probs = distribution.log_prob(actions)  # [B, T]
        check_same_shape(log_probs=log_probs, mask=mask)
        spread = distribution.entropy().masked_fill(~mask, 0.0) if entropy else None
        return log_probs.masked_fill(~mask, 0.0), spread


class UniformPolicy(Policy):
    """Every action is as likely as every other: what exploring without a clue looks like.

    States are vectors, `[..., n]`, or numbers of states, `[...]` (long).
    """

    def __init__(self, num_actions: int):
        super().__init__()
        self.num_actions = num_actions

    def forward(self, states: Tensor) -> Categorical:
        """One of `num_actions`, whatever the state."""
        batch = states.shape[:-1] if states.is_floating_point() else states.shape
        return Categorical(logits=torch.zeros(*batch, self.num_actions))


class ScriptedPolicy(Policy):
    """A rule written by hand: all the probability on one action.

    `rule` maps states `[..., n]` to action numbers `[...]` (long).
    """

    def __init__(self, rule: Callable[[Tensor], Tensor], num_actions: int):
        super().__init__()
        self.rule, self.num_actions = rule, num_actions

    def forward(self, states: Tensor) -> Categorical:
        """Probability 1 on what the rule says."""
        return Categorical(probs=nn.functional.one_hot(self.rule(states), self.num_actions).float())


class TabularPolicy(Policy):
    """Softmax over a table of preferences, one row per state (Sutton & Barto, 2018, eq. 13.2).

    π(a | s) = exp(θ[s, a]) / Σ_b exp(θ[s, b]); states are numbers `[...]` (long).
    """

    def __init__(self, num_states: int, num_actions: int):
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(num_states, num_actions))  # θ: a new table prefers nothing

    @classmethod
    def from_probabilities(cls, probabilities) -> "TabularPolicy":
        """The table that gives just these probabilities, `[S, A]`; an action with 0 is never taken.

        Raises:
            ValueError: probabilities that are negative, or rows that do not sum to 1.
        """
        probs = torch.as_tensor(probabilities, dtype=torch.get_default_dtype())
        if probs.dim() != 2 or (probs < 0).any() or not torch.allclose(probs.sum(-1), torch.ones(len(probs))):
            raise ValueError("probabilities must be [S, A] with rows in [0, 1] that sum to 1, but are "
                             f"{tuple(probs.shape)} with sums from {probs.sum(-1).min():.6g} to "
                             f"{probs.sum(-1).max():.6g}")
        policy = cls(*probs.shape)
        policy.logits.data = probs.log()
        return policy

    def forward(self, states: Tensor) -> Categorical:
        """Look the row up: states `[...]` -> batch shape `[...]`."""
        return Categorical(logits=self.logits[states])


class MLPPolicy(Policy):
    """A small network for states that are vectors: `hidden` tanh layers, then one logit per action.

    With `hidden=()` it is linear: logits = W s + b.
    """

    def __init__(self, state_size: int, num_actions: int, hidden: tuple[int, ...] = (64, 64)):
        super().__init__()
        sizes = (state_size, *hidden)
        layers = [m for i, o in pairwise(sizes) for m in (nn.Linear(i, o), nn.Tanh())]
        self.network = nn.Sequential(*layers, nn.Linear(sizes[-1], num_actions))

    def forward(self, states: Tensor) -> Categorical:
        """States `[..., state_size]` -> batch shape `[...]`."""
        return Categorical(logits=self.network(states))

    # Acting and scoring are asked for so often that building a `Categorical` each time would cost as much as the
    # network itself. These two say the same as those of every policy.
    @torch.no_grad()
    def act(self, states: Tensor, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """As for every policy, without building a distribution."""
        log_probs = self.network(states).log_softmax(-1)  # [..., A]
        rows = log_probs.view(-1, log_probs.shape[-1])
        actions = torch.multinomial(rows.exp(), 1, generator=generator)  # [N, 1]
        return actions.view(states.shape[:-1]), rows.gather(-1, actions).view(states.shape[:-1])

    def evaluate_actions(self, states: Tensor, actions: Tensor, mask: Tensor, entropy: bool = False):
        """As for every policy, without building a distribution."""
        log_pi = self.network(states).log_softmax(-1)  # [B, T, A]
        log_probs = log_pi.gather(-1, actions[..., None]).squeeze(-1)  # [B, T]
        check_same_shape(log_probs=log_probs, mask=mask)
        spread = -(log_pi.exp() * log_pi).sum(-1).masked_fill(~mask, 0.0) if entropy else None
        return log_probs.masked_fill(~mask, 0.0), spread


@contextmanager
def evaluating(model: nn.Module):
    """Run a block with dropout off, and leave the model as it was found.

    With dropout on, scoring the same tokens twice gives two answers, and PPO's ratio starts anywhere but at 1.
    """
    was_training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield model
    finally:
        for module in was_training:
            module.training = True


class LanguagePolicy(Policy):
    """A causal language model as a policy: the state is the text so far, the action is the next token.

    Causality does the work: the logits at position t depend on tokens 0..t only, so one forward over
    `tokens[:, :-1]` gives π(· | prefix) for every prefix at once. Logits are divided by `temperature`, here and
    wherever the policy is sampled, so that the policy that acts is the policy that learns.

    With `share_prefixes`, texts that begin alike are computed together, as far as they are alike, wherever that is
    less work; the numbers are the same. By default it is on for GPT-2, for which it is known to be exact.
    """

    def __init__(self, model: nn.Module, tokenizer, temperature: float = 1.0, share_prefixes: bool | None = None):
        super().__init__()
        check_positive("temperature", temperature)
        self.model, self.tokenizer, self.temperature = model, tokenizer, temperature
        self.share_prefixes = model.config.model_type == "gpt2" if share_prefixes is None else share_prefixes

    def forward(self, states: Tensor) -> Categorical:
        """Tokens `[B, T]`, right-padded -> a distribution over the vocabulary with batch shape `[B, T]`."""
        self._check_length(states.shape[-1])
        with evaluating(self.model):
            # Causality needs no mask; Transformers warns about padding if it is given none.
            everything = torch.ones_like(states)
            logits = self.model(input_ids=states, attention_mask=everything, use_cache=False).logits  # [B, T, V]
        return Categorical(logits=logits / self.temperature)

    def _check_length(self, tokens: int) -> None:
        limit = getattr(self.model.config, "n_positions", None)
        if limit is not None and tokens > limit:
            raise ValueError(f"states has texts of {tokens} tokens, but the model has only {limit} positions")

    def evaluate_actions(self, states: Tensor, actions: Tensor, mask: Tensor, entropy: bool = False):
        """As for every policy; where prefixes are shared, each is computed once."""
        if self.share_prefixes and mask.any():
            trees = prefix_trees(states, mask)
            if saves_work(trees, *states.shape, self.model.config.hidden_size):
                return self._evaluate_trees(trees, actions, mask, entropy)
        return super().evaluate_actions(states, actions, mask, entropy)

    def _evaluate_trees(self, trees: PrefixTrees, actions: Tensor, mask: Tensor, entropy: bool):
        self._check_length(int(trees.positions.max()) + 1)
        # Added to attention's scores: 0 where a node may look. (Not every kind of attention understands a bool mask.)
        hidden = torch.zeros(trees.visible.shape, dtype=self.model.dtype)  # [G, K, K]
        hidden.masked_fill_(~trees.visible, torch.finfo(hidden.dtype).min)
        with evaluating(self.model):
            logits = self.model(
                input_ids=trees.tokens, attention_mask=hidden[:, None], position_ids=trees.positions, use_cache=False
            ).logits  # [G, K, V]
        distribution = Categorical(logits=logits / self.temperature)
        row, time = mask.nonzero(as_tuple=True)
        place = trees.tree[row], trees.node[row, time]

        def back(values: Tensor) -> Tensor:
            return values.new_zeros(mask.shape).index_put((row, time), values)  # [B, T], 0 outside the mask

        log_probs = back(distribution.logits[(*place, actions[row, time])])  # normalised: log-probs
        return log_probs, back(distribution.entropy()[place]) if entropy else None
