"""The starting points of the language chapters: small models that know a little, trained once and cached."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from tqdm.auto import tqdm

from rlcore.lm.cache import cached
from rlcore.lm.evaluation import accuracy
from rlcore.lm.model import load_model, save_model, small_gpt2
from rlcore.lm.sft import SFTConfig, sft
from rlcore.lm.tokenizer import character_tokenizer
from rlcore.policies import LanguagePolicy
from rlcore.tasks import addition

ADDITION_MODEL = {"layers": 4, "width": 128, "heads": 4, "positions": 16}  # 0.8 M parameters
ADDITION_SFT = SFTConfig(target_accuracy=0.5, evaluate_every=20)
ADDITION_STEPS = 640  # about how many SFT steps that takes: for estimates only
PROBE = 256  # training problems on which SFT measures its sampled accuracy

Progress = Callable[[dict[str, float]], None]


def addition_base(seed: int = 0, progress: Progress | None = None) -> LanguagePolicy:
    """A GPT-2 that has seen enough additions to get about half of them right when it is sampled; cached.

    `progress` is shown the metrics of each SFT step while it trains; by default that is a bar.
    """
    recipe = {"task": "addition", "version": 1, "model": ADDITION_MODEL, "sft": asdict(ADDITION_SFT), "seed": seed}

    def build(folder: Path) -> None:
        tokenizer = character_tokenizer(addition.CHARACTERS)
        policy = LanguagePolicy(small_gpt2(tokenizer, **ADDITION_MODEL, seed=seed), tokenizer)
        with _bar("A small GPT-2 learns to add a little, on first use only", ADDITION_STEPS, ADDITION_SFT) as bar:
            addition_sft(policy, seed, progress or bar)
        save_model(policy.model, tokenizer, folder)

    return LanguagePolicy(*load_model(cached("addition", recipe, build)))


@contextmanager
def _bar(title: str, about: int, config: SFTConfig) -> Iterator[Progress]:
    """A progress bar that appears with the first step; it takes about `about` of them."""
    bar = None

    def show(metrics: dict[str, float]) -> None:
        nonlocal bar
        bar = bar or tqdm(desc=title, total=about)
        bar.update(metrics["step"] - bar.n)
        if "accuracy" in metrics:
            bar.set_postfix_str(f"{metrics['accuracy']:.0%} right, until {config.target_accuracy:.0%}")

    try:
        yield show
    finally:
        if bar is not None:
            bar.close()


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


# Every starting point by name; the tests make them all before they start. A new one is `NAME_base` and an entry here.
BASES: dict[str, Callable[..., LanguagePolicy]] = {"addition": addition_base}
