"""Six judges of the assistant world, what each is best at, and what happens when it chooses among N. Five seeds.

    python -m benchmarks.reward_model_judges
    python -m benchmarks.reward_model_judges --show

Each is a reward model taught by 4000 comparisons of the same replies, unless its name says otherwise: "gold" by an
annotator who looks at all that counts; "few pairs" by 250 of those; "no reactions" on a trunk that has read the same
dialogues without the user's last word; "likes long" by an annotator who likes words; "helpful", "honest" and "harmless"
by annotators who look at one H only. Each is asked about pairs that differ in one H only, and about replies in which
nothing but the length differs. Then it picks the best of N out of 128 replies to each request. About 80 CPU seconds a
seed, of which 25 are the reading without reactions.
"""

import statistics
import time
from collections import Counter
from dataclasses import asdict
from functools import cache
from math import comb

import numpy as np
import torch

from benchmarks._record import RESULTS, table
from benchmarks._sweep import runs_of, sweep
from benchmarks.reward_model_pairs import THREE_H, measure, tests
from rlcore.lm.base import ASSISTANT_CORPUS, ASSISTANT_MODEL, ASSISTANT_PRETRAINING, assistant_base
from rlcore.lm.model import small_gpt2
from rlcore.lm.pairs import preference_pairs
from rlcore.lm.pretraining import pretrain
from rlcore.lm.reward_model import RewardModel
from rlcore.lm.reward_training import RewardModelConfig, train_reward_model
from rlcore.lm.sampling import completion_texts, generate
from rlcore.policies import LanguagePolicy
from rlcore.tasks.annotator import Annotator
from rlcore.tasks.assistant import assistant_prompts, gold_reward, harmless, helpful, honest
from rlcore.tasks.assistant_corpus import END, assistant_corpus
from rlcore.tasks.assistant_grammar import MAX_NEW_TOKENS

OUTPUT = RESULTS / "reward_model_judges.json"
SEEDS = range(5)
PAIRS = 4000
HELD_OUT = 500  # pairs that say what one standard deviation of reward is
POOL = 128  # replies to each request, out of which N are chosen from
CONFIG = RewardModelConfig(batch_size=64, epochs=1, min_steps=60, lr=2e-3)
TRUTHFUL = Annotator()
JUDGES = {  # name: (who labels, how many pairs)
    "gold": (TRUTHFUL, PAIRS), "few pairs": (TRUTHFUL, 250), "no reactions": (TRUTHFUL, PAIRS),
    "likes long": (Annotator(length_bias=0.1), PAIRS),
    **{part.__name__: (Annotator(reward=part, tau=0.25, skip_ties=True), PAIRS)
       for part in (helpful, honest, harmless)},
}  # fmt: skip
CHOICES = [2**k for k in range(8)]  # N = 1 … 128


def without_reactions(seed: int) -> LanguagePolicy:
    """The base model's twin, which has read the same dialogues up to <eos> and never what the user said next."""
    base = assistant_base(seed)
    twin = LanguagePolicy(small_gpt2(base.tokenizer, **ASSISTANT_MODEL, seed=seed), base.tokenizer)
    corpus = assistant_corpus(ASSISTANT_CORPUS, seed).map(
        lambda row: {"text": row["text"].split(END)[0] + END}, load_from_cache_file=False)
    for _ in pretrain(twin, corpus, ASSISTANT_PRETRAINING, seed):
        pass
    return twin


def chosen_of(proxy: torch.Tensor, other: torch.Tensor, k: int) -> torch.Tensor:
    """What `other` says of the one that `proxy` likes best of k, without bias from N samples: `[..., N] -> [...]`."""
    n = proxy.shape[-1]
    weights = torch.tensor([comb(i, k - 1) / comb(n, k) for i in range(n)], dtype=torch.float64)
    return other.double().gather(-1, proxy.argsort(-1)) @ weights


@cache
def pool_of(seed: int) -> tuple[list[str], list[str], list[float]]:
    """Each request 128 times, the base model's replies, and the share of each request in all that is asked."""
    asked = Counter(assistant_prompts("all")["prompt"])
    prompts = [prompt for prompt in asked for _ in range(POOL)]
    policy, generator = assistant_base(seed), torch.Generator().manual_seed(seed)
    texts = completion_texts(generate(policy, prompts, max_new_tokens=MAX_NEW_TOKENS, generator=generator),
                             policy.tokenizer)
    return prompts, texts, [count / asked.total() for count in asked.values()]


def slope_at_equal_gold(rewards: list[float], gold: list[float], words: list[int]) -> float:
    """The coefficient of words in a least-squares fit of rewards on gold, words and a constant."""
    columns = np.stack([np.asarray(words, float), np.asarray(gold), np.ones(len(gold))], axis=1)
    return float(np.linalg.lstsq(columns, np.asarray(rewards), rcond=None)[0][0])


def best_of(prompts: list[str], texts: list[str], shares: list[float], rewards: list[float]) -> dict[str, list[float]]:
    """Proxy, gold and words of the reply that the judge likes best of N, averaged over requests, for each N."""
    share = torch.tensor(shares, dtype=torch.float64)
    proxy = torch.tensor(rewards).view(-1, POOL)  # [requests, 128]
    seen = {"proxy": proxy, "gold": torch.tensor(gold_reward(prompts, texts)).view(-1, POOL),
            "words": torch.tensor([len(text.split()) for text in texts]).view(-1, POOL)}
    return {name: [(chosen_of(proxy, values, n) @ share).item() for n in CHOICES] for name, values in seen.items()}


def one_run(judge: str, seed: int) -> dict:
    """Train one judge, and question it."""
    annotator, size = JUDGES[judge]
    started = time.process_time()
    model = RewardModel.from_policy(without_reactions(seed) if judge == "no reactions" else assistant_base(seed))
    pairs = preference_pairs(size, seed, annotator=annotator, base_seed=seed)
    for _ in train_reward_model(model, pairs, CONFIG, seed):
        pass
    seconds = time.process_time() - started
    model.normalize_on(preference_pairs(HELD_OUT, seed, split="held_out", base_seed=seed))
    prompts, texts, shares = pool_of(seed)
    rewards, words = model.reward(prompts, texts), [len(text.split()) for text in texts]
    return {"pairs": len(pairs), "cpu_seconds": seconds,
            "accuracy": {test: measure(model, rows) for test, rows in tests(TRUTHFUL, seed).items()},
            "length_slope": slope_at_equal_gold(rewards, gold_reward(prompts, texts), words),
            "best_of": best_of(prompts, texts, shares, rewards)}


def summary(result: dict) -> str:
    """Medians over the seeds: accuracies, the slope of reward on words, and gold by N."""
    asked = ["new replies", *(f"{part} only" for part in THREE_H), "words only"]
    rows = []
    for judge in JUDGES:
        mine = runs_of(result, judge=judge)
        if mine:
            accuracy = [statistics.median(run["accuracy"][test]["value"] for run in mine) for test in asked]
            gold = [statistics.median(run["best_of"]["gold"][CHOICES.index(n)] for run in mine) for n in (1, 8, 128)]
            slope = statistics.median(run["length_slope"] for run in mine)
            rows.append([judge, len(mine), *(f"{x:.3f}" for x in accuracy), f"{slope:+.3f}",
                         *(f"{x:+.2f}" for x in gold)])
    head = ["judge", "seeds", *asked, "sd per word", "gold N=1", "N=8", "N=128"]
    return f"{table(head, rows)}\n\n{sum(run['cpu_seconds'] for run in result['runs']):.0f} CPU s of training"


SETTINGS = {
    "world": "the assistant world; 'only' tests as in reward_model_pairs; a reward of 1 is one standard deviation "
             f"over held-out replies; best of N out of {POOL} replies to each of the 38 requests",
    "config": asdict(CONFIG), "choices": CHOICES,
}  # fmt: skip
CONDITIONS = [{"judge": judge, "seed": seed} for seed in SEEDS for judge in JUDGES]

if __name__ == "__main__":
    sweep(__doc__, OUTPUT, SETTINGS, CONDITIONS, one_run, summary)
