"""The starting points of the language chapters: small models that know a little, trained once and cached."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from rlcore.lm.cache import cached
from rlcore.lm.evaluation import accuracy
from rlcore.lm.model import load_model, small_gpt2
from rlcore.lm.sft import SFTConfig, sft
from rlcore.lm.tokenizer import character_tokenizer
from rlcore.policies import LanguagePolicy
from rlcore.tasks import addition

ADDITION_MODEL = {"layers": 4, "width": 128, "heads": 4, "positions": 16}  # 0.8 M parameters
ADDITION_SFT = SFTConfig(target_accuracy=0.5, evaluate_every=20)
PROBE = 256  # training problems on which SFT measures its sampled accuracy

Progress = Callable[[dict[str, float]], None]


def addition_base(seed: int = 0, progress: Progress | None = None) -> LanguagePolicy:
    """A GPT-2 that has seen enough additions to get about half of them right when it is sampled; cached.

    `progress` is shown the metrics of each SFT step while it trains.
    """
    recipe = {"task": "addition", "version": 1, "model": ADDITION_MODEL, "sft": asdict(ADDITION_SFT), "seed": seed}

    def build(folder: Path) -> None:
        tokenizer = character_tokenizer(addition.CHARACTERS)
        policy = LanguagePolicy(small_gpt2(tokenizer, **ADDITION_MODEL, seed=seed), tokenizer)
        addition_sft(policy, seed, progress)
        policy.model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)

    return LanguagePolicy(*load_model(cached("addition", recipe, build)))


def addition_sft(
    policy: LanguagePolicy, seed: int, progress: Progress | None = None, config: SFTConfig = ADDITION_SFT
) -> None:
    """Teach a policy additions until it gets `config.target_accuracy` of them right, in place.

    A policy that does so already stays as it is.
    """
    train, _ = addition.addition_problems()
    probe = train.select(range(PROBE))

    def sampled(policy: LanguagePolicy) -> float:
        return accuracy(policy, probe, addition.exact_answer, addition.MAX_NEW_TOKENS, greedy=False)

    for metrics in sft(policy, train, config, seed, sampled):
        if progress is not None:
            progress(metrics)
