"""Direct preference optimisation: learn from preferences without a reward model, and without writing a word.

What changed since RLHF: the best policy under a KL price is known in closed form, so the reward can be read off the
policy itself: r = β log(π / ref). Why: what is left is a classification loss on pairs; no sampling, no critic, no PPO.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from datasets import Dataset
from torch import Tensor

from rlcore.checkpoint import Resumable
from rlcore.lm.batches import rows_of_step
from rlcore.lm.reference import check_apart
from rlcore.lm.reward_model import PAIR
from rlcore.lm.sft import pack_examples
from rlcore.losses import dpo_loss
from rlcore.policies import LanguagePolicy
from rlcore.recorder import Metrics, Result, run
from rlcore.tasks.formats import check_columns
from rlcore.update import scale_lr
from rlcore.validate import check_fraction, check_not_negative, check_positive


@dataclass(frozen=True)
class DPOConfig:
    """DPO (Rafailov et al., 2023)."""

    epochs: int = 2  # passes over the pairs
    batch_size: int = 64  # pairs per step
    lr: float = 5e-4  # AdamW's learning rate at the first step
    final_lr: float = 0.0  # share of lr that is left at the end; it falls linearly
    beta: float = 0.1  # β > 0: how much reward one nat of log-ratio is worth, the price of leaving; small is far away
    nll_coef: float = 0.0  # weight of −log π(chosen) per token, which keeps the chosen answers likely
    length_normalize: bool = False  # log-ratios per token instead of per answer
    max_grad_norm: float = 1.0  # gradient clipping

    def __post_init__(self):
        for name in ("epochs", "batch_size", "lr", "beta", "max_grad_norm"):
            check_positive(name, getattr(self, name))
        check_fraction("final_lr", self.final_lr)
        check_not_negative("nll_coef", self.nll_coef)


class DPO(Resumable):
    """No selection: somebody else has acted. Update: L = −log σ(β [log-ratio of chosen − log-ratio of rejected])."""

    parts = ("policy", "optimizer")

    def __init__(self, policy: LanguagePolicy, reference: LanguagePolicy, dataset: Dataset, config: DPOConfig,
                 seed: int = 0):
        check_apart(policy, reference)
        check_columns(dataset, *PAIR)
        prompts, chosen, rejected = (list(dataset[name]) for name in PAIR)
        both = [text for pair in zip(chosen, rejected, strict=True) for text in pair]
        twice = [prompt for prompt in prompts for _ in range(2)]
        self.tokens, self.mask = pack_examples(policy.tokenizer, twice, both)  # [2N, T], [2N, T−1]
        self.policy, self.config, self.seed, self.step = policy, config, seed, 0  # steps done so far
        self.ref_log_probs = self.sequence_log_probs(reference, torch.arange(len(self.tokens))).view(-1, 2)  # [N, 2]
        self.total_steps = config.epochs * -(-len(dataset) // config.batch_size)
        self.optimizer = torch.optim.AdamW(policy.parameters(), lr=config.lr, weight_decay=0.0, fused=True)

    def settings(self) -> dict:
        """The config, and the temperature, which is the policy's own."""
        return super().settings() | {"temperature": self.policy.temperature}

    @torch.no_grad()
    def sequence_log_probs(self, policy: LanguagePolicy, rows: Tensor, at_once: int = 512) -> Tensor:
        """log π(y | x) of some texts, `[N]`, without a gradient, a few at a time."""
        return torch.cat([self._log_probs(policy, part).sum(-1) for part in rows.split(at_once)])

    def _log_probs(self, policy: LanguagePolicy, rows: Tensor) -> Tensor:
        tokens, mask = self.tokens[rows], self.mask[rows]
        return policy.evaluate_actions(tokens[:, :-1], tokens[:, 1:], mask)[0]  # [N, T]

    def learn(self) -> Metrics:
        """One step on a few pairs; metrics under TRL's names, measured before it."""
        config = self.config
        scale_lr(self.optimizer, 1 - self.step / self.total_steps * (1 - config.final_lr))
        pairs = rows_of_step(len(self.ref_log_probs), config.batch_size, self.step, self.seed)  # [M]
        rows = torch.stack([2 * pairs, 2 * pairs + 1], -1).flatten()  # [2M]  chosen, rejected, chosen, …
        log_probs = self._log_probs(self.policy, rows).sum(-1).view(-1, 2)  # [M, 2]
        lengths = self.mask[rows].sum(-1).view(-1, 2)  # [M, 2]
        ref_log_probs, per = self.ref_log_probs[pairs], lengths if config.length_normalize else 1  # [M, 2]
        chosen, rejected = (log_probs / per).unbind(-1)  # [M] each
        loss = dpo_loss(chosen, rejected, *(ref_log_probs / per).unbind(-1), config.beta).mean()
        nll = -(log_probs / lengths)[:, 0].mean()  # per token of the chosen answers
        self.optimizer.zero_grad()
        (loss + config.nll_coef * nll).backward()
        grad_norm = torch.nn.utils.clip_grad_norm_(self.policy.parameters(), config.max_grad_norm)
        self.optimizer.step()
        self.step += 1
        rewards = config.beta * ((log_probs - ref_log_probs) / per).detach()  # [M, 2]  the implicit reward
        margins = rewards[:, 0] - rewards[:, 1]
        return {
            "loss": loss.item(), "nll_loss": nll.item(), "grad_norm": grad_norm.item(),
            "rewards/chosen": rewards[:, 0].mean().item(), "rewards/rejected": rewards[:, 1].mean().item(),
            "rewards/margins": margins.mean().item(), "rewards/accuracies": ((margins.sign() + 1) / 2).mean().item(),
            "logps/chosen": log_probs[:, 0].mean().item(), "logps/rejected": log_probs[:, 1].mean().item(),
        }  # fmt: skip

    def steps(self) -> Iterator[Metrics]:
        """Learn to the end; one dictionary of metrics per step."""
        while self.step < self.total_steps:
            metrics = self.learn()
            yield {"step": self.step} | metrics


def train(
    policy: LanguagePolicy, reference: LanguagePolicy, dataset: Dataset, config: DPOConfig, seed: int = 0,
    observe: Callable[[Metrics], None] | None = None, checkpoint: str | Path | None = None, resume: bool = False,
) -> Result:
    """Train `policy` in place on preferences, a data set with `prompt`, `chosen` and `rejected`.

    Ctrl-C ends the training after the current step and returns what there is. With a file name as `checkpoint`, the
    state is saved there now and then and at the end; `resume=True` goes on from it, to the same result.

    Raises:
        ValueError: β not above 0, a reference that shares parameters with the policy, a data set that is empty or lacks
            a column, a pair of equal or empty texts (named by its row), a text longer than the model's positions.
    Source: Rafailov et al. (2023), arXiv:2305.18290, eq. 7; the NLL term: Pang et al. (2024), arXiv:2404.19733; the
        length normalisation: Meng et al. (2024), arXiv:2405.14734, there without a reference.
    """
    agent = DPO(policy, reference, dataset, config, seed)
    return run(agent, agent.steps(), observe, checkpoint, resume)
