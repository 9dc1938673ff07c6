"""The starting points of the language chapters: small models that know a little, trained once and cached."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from tqdm.auto import tqdm

from rlcore.lm.cache import cached
from rlcore.lm.evaluation import accuracy
from rlcore.lm.model import load_model, save_model, small_gpt2
from rlcore.lm.pretraining import PretrainingConfig, pretrain
from rlcore.lm.sft import SFTConfig, sft
from rlcore.lm.tokenizer import character_tokenizer, word_tokenizer
from rlcore.policies import LanguagePolicy
from rlcore.tasks import addition
from rlcore.tasks.assistant_corpus import assistant_corpus, assistant_demonstrations
from rlcore.tasks.assistant_grammar import MAX_NEW_TOKENS, MAX_PROMPT_TOKENS, vocabulary

ADDITION_MODEL = {"layers": 4, "width": 128, "heads": 4, "positions": 16}  # 0.8 M parameters
ADDITION_SFT = SFTConfig(target_accuracy=0.5, evaluate_every=20)
ADDITION_STEPS = 640  # about how many SFT steps that takes: for estimates only
PROBE = 256  # training problems on which SFT measures its sampled accuracy

ASSISTANT_MODEL = {  # 0.24 M parameters
    "layers": 2, "width": 96, "heads": 4, "initializer_range": 0.08,
    "positions": MAX_PROMPT_TOKENS + MAX_NEW_TOKENS + 1,  # request, reply, and the user's reaction
}  # fmt: skip
ASSISTANT_CORPUS = 8000  # dialogues
ASSISTANT_PRETRAINING = PretrainingConfig(steps=600, batch_size=32, lr=4e-3, reaction_weight=4.0)
ASSISTANT_SFT = SFTConfig(batch_size=32, lr=1e-3, warmup_steps=10, max_steps=100)

Progress = Callable[[dict[str, float]], None]


def addition_base(seed: int = 0, progress: Progress | None = None) -> LanguagePolicy:
    """A GPT-2 that has seen enough additions to get about half of them right when it is sampled; cached.

    `progress` is shown the metrics of each SFT step while it trains; by default that is a bar.
    """
    recipe = {"task": "addition", "version": 1, "model": ADDITION_MODEL, "sft": asdict(ADDITION_SFT), "seed": seed}

    def build(folder: Path) -> None:
        tokenizer = character_tokenizer(addition.CHARACTERS)
        policy = LanguagePolicy(small_gpt2(tokenizer, **ADDITION_MODEL, seed=seed), tokenizer)
        with _bar("A small GPT-2 learns to add a little, on first use only", ADDITION_STEPS) as bar:
            addition_sft(policy, seed, progress or bar)
        save_model(policy.model, tokenizer, folder)

    return LanguagePolicy(*load_model(cached("addition", recipe, build)))


@contextmanager
def _bar(title: str, about: int) -> Iterator[Progress]:
    """A progress bar that appears with the first step; it takes about `about` of them."""
    bar = None

    def show(metrics: dict[str, float]) -> None:
        nonlocal bar
        bar = bar or tqdm(desc=title, total=about)
        bar.update(metrics["step"] - bar.n)
        if "accuracy" in metrics:
            bar.set_postfix_str(f"{metrics['accuracy']:.0%} right, until {ADDITION_SFT.target_accuracy:.0%}")

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


def assistant_base(seed: int = 0, progress: Progress | None = None) -> LanguagePolicy:
    """A GPT-2 that has read the assistant world: fluent, and as often rude, wrong or long as what it read; cached.

    It is the reference of RLHF, and where reward models start. Its gold reward is below 0.2; the best possible is 2.15.
    What follows its EOS is the user's reaction, which it has learned to foresee but is never asked to write; so it
    knows at EOS what a reply is worth. `progress` is shown the metrics of each step; by default that is a bar.
    """

    def build(folder: Path) -> None:
        tokenizer = word_tokenizer(vocabulary())
        policy = LanguagePolicy(small_gpt2(tokenizer, **ASSISTANT_MODEL, seed=seed), tokenizer)
        title = "A small GPT-2 reads what people said to an assistant, on first use only"
        with _bar(title, ASSISTANT_PRETRAINING.steps) as bar:
            for metrics in pretrain(policy, assistant_corpus(ASSISTANT_CORPUS, seed), ASSISTANT_PRETRAINING, seed):
                (progress or bar)(metrics)
        save_model(policy.model, tokenizer, folder)

    return LanguagePolicy(*load_model(cached("assistant", assistant_recipe(seed), build)))


def assistant_recipe(seed: int) -> dict:
    """Everything that `assistant_base(seed)` depends on: the key of its cache, and of what is made with it."""
    return {"task": "assistant", "version": 1, "model": ASSISTANT_MODEL, "corpus": ASSISTANT_CORPUS,
            "pretraining": asdict(ASSISTANT_PRETRAINING), "seed": seed}


def assistant_sft(
    policy: LanguagePolicy, seed: int = 0, progress: Progress | None = None, config: SFTConfig = ASSISTANT_SFT
) -> None:
    """Show a policy how a good assistant replies to the requests of the train split, in place; a few seconds."""
    for metrics in sft(policy, assistant_demonstrations(seed=seed), config, seed):
        if progress is not None:
            progress(metrics)


# Every starting point by name; the tests make them all before they start. A new one is `NAME_base` and an entry here.
BASES: dict[str, Callable[..., LanguagePolicy]] = {"addition": addition_base, "assistant": assistant_base}
