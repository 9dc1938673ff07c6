"""Is it the same algorithm? rlcore's advantages, loss and gradient against TRL's, on TRL's own batch."""

import tempfile
from pathlib import Path
from unittest.mock import patch

import torch
from datasets import Dataset
from torch import Tensor
from trl import GRPOTrainer

from benchmarks.grpo.trl_side import trl_trainer
from rlcore.agents.grpo import GRPOConfig
from rlcore.lm.sampling import completion_texts, pack
from rlcore.losses import ppo_clip_loss, token_mean
from rlcore.policies import LanguagePolicy
from rlcore.returns import group_advantages
from rlcore.tasks.rewards import Reward
from rlcore.trajectory import Trajectory

NOISE = 0.3  # standard deviation added to the old log-probs, so that some ratios are clipped


def agreement(
    base: LanguagePolicy, dataset: Dataset, reward: Reward, config: GRPOConfig, seed: int, dtype: torch.dtype
) -> dict[str, float]:
    """Largest differences on the last of `config.steps` batches; the gradient's relative to its largest entry.

    Two cases: on policy (all ratios are 1), and with old log-probs that noise has moved, so that the clip cuts a
    share of the tokens, which is told as well. Both with shared prefixes and without; the larger difference is kept.
    """
    with tempfile.TemporaryDirectory() as folder, torch.random.fork_rng():
        trainer, inputs = _trl_batch(base, dataset, reward, config, seed, Path(folder))
        trainer.model.to(dtype)
        inputs["advantages"] = inputs["advantages"].to(dtype)
        trajectory = pack(inputs["prompt_ids"], inputs["prompt_mask"].bool(), inputs["completion_ids"],
                          torch.zeros(inputs["completion_ids"].shape, dtype=dtype), base.tokenizer)  # fmt: skip
        result = {"advantages": _advantage_difference(inputs, trajectory, base, dataset, reward, config.group_size)}
        for case, noise in (("on policy", 0.0), ("clipped", NOISE)):
            theirs, old = _trl_loss(trainer, inputs, noise)
            for share in (False, True):
                ours = _our_loss(trainer.model, base, trajectory, inputs, old, config, share)
                for name, a, b in zip(("loss", "gradient"), ours, theirs, strict=True):
                    scale = 1.0 if name == "loss" else b.abs().max()
                    difference = ((a - b).abs().max() / scale).item()
                    result[f"{name}, {case}"] = max(result.get(f"{name}, {case}", 0.0), difference)
        result["clipped share"] = trainer._metrics["train"]["clip_ratio/region_mean"][-1]
    return result


def _trl_batch(base, dataset, reward, config, seed, folder) -> tuple[GRPOTrainer, dict[str, Tensor]]:
    """Train for `config.steps` steps and keep what TRL's last loss was computed from."""
    trainer, seen = trl_trainer(base, dataset, reward, config, seed, folder), []
    compute = trainer._compute_loss

    def spy(model, inputs):
        seen.append(inputs)
        return compute(model, inputs)

    with patch.object(trainer, "_compute_loss", spy):
        trainer.train()
    return trainer, dict(seen[-1])


def _gradient(loss: Tensor, model: torch.nn.Module) -> Tensor:
    model.zero_grad()
    loss.backward()
    return torch.cat([weights.grad.flatten() for weights in model.parameters()])


def _trl_loss(trainer: GRPOTrainer, inputs: dict, noise: float) -> tuple[tuple[Tensor, Tensor], Tensor]:
    """TRL's (loss, gradient) for the current weights, and the old log-probs `[B, N]` that it was given."""
    tokens = torch.cat([inputs["prompt_ids"], inputs["completion_ids"]], 1)
    attention = torch.cat([inputs["prompt_mask"], inputs["completion_mask"]], 1)
    with torch.no_grad():
        old, *_ = trainer._get_per_token_logps_and_entropies(
            trainer.model, tokens, attention, inputs["completion_ids"].shape[1]
        )
    old = old + noise * torch.randn(old.shape, generator=torch.Generator().manual_seed(0), dtype=old.dtype)
    trainer.model.train()
    loss = trainer._compute_loss(trainer.model, inputs | {"old_per_token_logps": old})
    return (loss.detach(), _gradient(loss, trainer.model)), old


def _our_loss(model, base, trajectory: Trajectory, inputs, old, config, share) -> tuple[Tensor, Tensor]:
    """The lines of `policy_update`, on the same weights, tokens, advantages and old log-probs."""
    policy = LanguagePolicy(model, base.tokenizer, base.temperature, share)
    log_probs, _ = policy.evaluate_actions(trajectory.states, trajectory.actions, trajectory.mask)  # [B, T]
    old = pack(inputs["prompt_ids"], inputs["prompt_mask"].bool(), inputs["completion_ids"], old,
               base.tokenizer).log_probs  # fmt: skip  # [B, T]
    advantages = inputs["advantages"][:, None].expand_as(log_probs)
    step_loss = ppo_clip_loss(log_probs, old, advantages, config.clip)
    loss = token_mean(step_loss, trajectory.mask, trajectory.mask)
    return loss.detach(), _gradient(loss, model)


def _advantage_difference(inputs, trajectory, base, dataset, reward, group: int) -> float:
    """Group the rows again, which TRL has shuffled, and compare rlcore's advantages with TRL's."""
    prompts = [base.tokenizer.decode(row[seen.bool()]) for row, seen in
               zip(inputs["prompt_ids"], inputs["prompt_mask"], strict=True)]  # fmt: skip
    number = {prompt: i for i, prompt in enumerate(dataset["prompt"])}
    rows = [number[prompt] for prompt in prompts]
    columns = {name: [dataset[i][name] for i in rows] for name in dataset.column_names if name != "prompt"}
    rewards = torch.tensor(reward(prompts, completion_texts(trajectory, base.tokenizer), **columns))
    order = torch.tensor(rows).argsort(stable=True)
    ours = group_advantages(rewards[order].view(-1, group)).flatten()
    return (ours - inputs["advantages"][order]).abs().max().item()
