"""The small GPT-2: tokenizer, model, sampling, log-probs, supervised fine-tuning, evaluation."""

from rlcore.lm.evaluation import accuracy, answer, pass_at_k
from rlcore.lm.log_probs import response_mask, token_log_probs
from rlcore.lm.model import load_model, small_gpt2
from rlcore.lm.sampling import completion_texts, generate
from rlcore.lm.sft import SFTConfig, sft
from rlcore.lm.tokenizer import character_tokenizer

__all__ = [
    "SFTConfig", "accuracy", "answer", "character_tokenizer", "completion_texts", "generate", "load_model",
    "pass_at_k", "response_mask", "sft", "small_gpt2", "token_log_probs",
]  # fmt: skip
