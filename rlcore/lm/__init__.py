"""The small GPT-2: tokenizer, model, sampling, log-probs, pretraining, SFT, reward model, critic, evaluation."""

from rlcore.lm.best_of_n import BestOfN, best_of_n, best_of_n_kl, expected_best
from rlcore.lm.critic import LanguageValue
from rlcore.lm.evaluation import accuracy, answer, pass_at_k
from rlcore.lm.log_probs import response_mask, token_log_probs
from rlcore.lm.model import load_model, small_gpt2
from rlcore.lm.next_token import NextToken
from rlcore.lm.pretraining import PretrainingConfig, pretrain
from rlcore.lm.prompts import Prompts
from rlcore.lm.reward_model import RewardModel, load_reward_model
from rlcore.lm.reward_training import (
    PairwiseAccuracy,
    RewardModelConfig,
    RewardModelTraining,
    pairwise_accuracy,
    train_reward_model,
)
from rlcore.lm.sampling import completion_texts, generate
from rlcore.lm.sft import SFTConfig, sft
from rlcore.lm.tokenizer import character_tokenizer, word_tokenizer

__all__ = [
    "BestOfN", "LanguageValue", "NextToken", "PairwiseAccuracy", "PretrainingConfig", "Prompts", "RewardModel",
    "RewardModelConfig", "RewardModelTraining", "SFTConfig", "accuracy", "answer", "best_of_n", "best_of_n_kl",
    "character_tokenizer", "completion_texts", "expected_best", "generate", "load_model", "load_reward_model",
    "pairwise_accuracy", "pass_at_k", "pretrain", "response_mask", "sft", "small_gpt2", "token_log_probs",
    "train_reward_model", "word_tokenizer",
]  # fmt: skip
