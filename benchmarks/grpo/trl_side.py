"""TRL's GRPOTrainer, told to do exactly what rlcore's `GRPOConfig` says."""

import copy
from collections.abc import Callable
from pathlib import Path

from datasets import Dataset
from transformers import PrinterCallback, TrainerCallback
from trl import GRPOConfig as TRLConfig
from trl import GRPOTrainer

from benchmarks._clock import Clock, Place
from rlcore.agents.grpo import GRPOConfig
from rlcore.policies import LanguagePolicy
from rlcore.tasks.rewards import Reward

LOSS_TYPES = {"token": "dapo", "sequence": "grpo", "constant": "dr_grpo"}  # our reduction -> TRL's name for it


def trl_places() -> list[Place]:
    """Where TRL samples (prompts in, texts out) and where it scores what was sampled."""
    return [
        (GRPOTrainer, "_generate", "sample"),
        (GRPOTrainer, "_get_per_token_logps_and_entropies", "forward"),
    ]


def trl_config(config: GRPOConfig, temperature: float, seed: int, folder: Path) -> TRLConfig:
    """The same hyperparameters in TRL's words. TRL's defaults that differ (bf16, checkpointing, lr) are named."""
    if config.final_lr != 1.0 or config.minibatch_size or config.kl_in != "loss":
        raise ValueError("config must have final_lr=1, no minibatches and kl_in='loss': TRL's other ways differ")
    low, high = config.clip if isinstance(config.clip, tuple) else (config.clip, config.clip)
    return TRLConfig(
        output_dir=str(folder), use_cpu=True, bf16=False, gradient_checkpointing=False,
        per_device_train_batch_size=config.prompts_per_step * config.group_size,  # TRL counts completions
        num_generations=config.group_size, num_iterations=config.epochs, max_steps=config.steps,
        max_completion_length=config.max_new_tokens, temperature=temperature, top_k=0, top_p=1.0,
        learning_rate=config.lr, lr_scheduler_type="constant", weight_decay=0.0, max_grad_norm=config.max_grad_norm,
        optim="adamw_torch_fused", adam_beta1=0.9, adam_beta2=0.999, adam_epsilon=1e-8,
        beta=config.kl_coef, epsilon=low, epsilon_high=high, loss_type=LOSS_TYPES[config.reduction],
        scale_rewards="group" if config.normalize else "none", shuffle_dataset=False, seed=seed,
        report_to="none", logging_strategy="no", save_strategy="no", disable_tqdm=True, dataloader_pin_memory=False,
    )  # fmt: skip


def trl_trainer(
    policy: LanguagePolicy, dataset: Dataset, reward: Reward, config: GRPOConfig, seed: int, folder: Path
) -> GRPOTrainer:
    """A trainer with its own copy of the policy's model; it takes the prompts in the order of the data set."""
    trainer = GRPOTrainer(
        model=copy.deepcopy(policy.model), processing_class=policy.tokenizer, reward_funcs=reward,
        train_dataset=dataset, args=trl_config(config, policy.temperature, seed, folder),
    )  # fmt: skip
    trainer.remove_callback(PrinterCallback)
    return trainer


class Relay(TrainerCallback):
    """After each of TRL's steps, hand over: stop TRL's clock, let the others run, start it again.

    TRL's lap is everything between two hand-overs: data loader, sampling, rewards, loss, optimiser, its metrics.
    """

    def __init__(self, clock: Clock, between: Callable[[int], None]):
        self._clock, self._between = clock, between

    def on_train_begin(self, args, state, control, **_) -> None:
        """The first lap starts with the training."""
        self._clock.start("TRL")

    def on_step_end(self, args, state, control, **_) -> None:
        """`between(step)` runs off TRL's clock."""
        self._clock.stop()
        self._between(state.global_step)
        if state.global_step < state.max_steps:
            self._clock.start("TRL")
