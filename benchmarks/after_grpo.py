"""After GRPO: what each descendant's line does in training, and all of them at equal tokens. Five seeds (chapter 17).

    python -m benchmarks.after_grpo          # about 8 minutes of CPU time in all; stopped, it goes on later
    python -m benchmarks.after_grpo --show

Six parts; in each, runs differ in one line of the config. "length": assistants paid for the truth alone, under three
reductions; how long are right and wrong replies, and how much is said after a claim that we put into its mouth?
"overlong": replies of at most 12 tokens, and nothing for one that is cut off; is it learned from? The rest is addition:
"difficulty" (with and without the standard deviation), "clip" (bounds, at eight updates per batch), "sampling" (dead
groups exchanged or not), and "family" (everybody, four updates per batch). On addition nothing but the entropy is
sampled: one text is right, so a problem's chance is its probability, and pass@k = 1 − (1 − chance)ᵏ.
"""

import statistics
import time
from dataclasses import asdict

import torch
from datasets import Dataset
from torch import Tensor

from benchmarks._record import RESULTS, table
from benchmarks._sweep import runs_of, sweep
from rlcore.agents.grpo import DESCENDANTS, GRPO, GRPOConfig
from rlcore.agents.rloo import RLOO, RLOOConfig
from rlcore.lm import Prompts, generate
from rlcore.lm.base import addition_base, assistant_base
from rlcore.lm.prompts import answer_in_groups
from rlcore.lm.sft import pack_examples
from rlcore.policies import LanguagePolicy
from rlcore.tasks.addition import MAX_NEW_TOKENS, addition_problems, exact_answer
from rlcore.tasks.assistant import HELD_OUT, honest
from rlcore.tasks.assistant_grammar import FACTS, REQUESTS, VALUES, Claim
from rlcore.tasks.assistant_grammar import MAX_NEW_TOKENS as LONGEST

OUTPUT = RESULTS / "after_grpo.json"
SEEDS = range(5)
LIMIT = 12  # tokens, in "overlong"
EDGES = torch.tensor([0.1, 0.3, 0.5, 0.7, 0.9])  # of the base model's chance: which problems are learned?
TRAIN, PROBLEMS = addition_problems()
KNOWN = [r for r in REQUESTS.values() if r.group == "known" and r.prompt not in HELD_OUT]
QUESTIONS = Dataset.from_dict({"prompt": [request.prompt for request in KNOWN]})  # 10, of colors and tastes

TALK = {"lr": 3e-4, "final_lr": 1.0, "steps": 40, "prompts_per_step": len(KNOWN), "group_size": 12}
OVERLONG = {**TALK, "max_new_tokens": LIMIT}
CLIP = {"steps": 32, "epochs": 2, "minibatch_size": 32}
SAMPLING = {"steps": 80, "final_lr": 1.0, "prompts_per_step": 32, "group_size": 4}
FAMILY = {"steps": 50, "final_lr": 1.0, "minibatch_size": 32}
NEVER = 1e6  # an upper bound that nothing reaches
PARTS: dict[str, dict[str, GRPOConfig | RLOOConfig]] = {
    "length": {reduction: GRPOConfig(**TALK, max_new_tokens=LONGEST, normalize=False, reduction=reduction)
               for reduction in ("sequence", "token", "constant")},
    "overlong": {"learned from": GRPOConfig(**OVERLONG), "masked": GRPOConfig(**OVERLONG, mask_truncated=True)},
    "difficulty": {"std": GRPOConfig(steps=100), "no std": GRPOConfig(steps=100, normalize=False)},
    "clip": {"(.2, .2)": GRPOConfig(**CLIP), "(.2, .28)": GRPOConfig(**CLIP, clip=(0.2, 0.28)),
             "(.2, never)": GRPOConfig(**CLIP, clip=(0.2, NEVER)), "(never, .2)": GRPOConfig(**CLIP, clip=(1.0, 0.2))},
    "sampling": {"as they come": GRPOConfig(**SAMPLING), "resampled": GRPOConfig(**SAMPLING, resample=4)},
    "family": {name: GRPOConfig(**FAMILY, **changes) for name, changes in DESCENDANTS.items()}
    | {"RLOO": RLOOConfig(steps=50, final_lr=1.0)},
}  # fmt: skip


def finished_truth(prompts: list[str], completions: list[str], **_) -> list[float]:
    """1 for a true answer that was brought to its end within the limit, else 0."""
    return [float(truth > 0 and len(text.split()) < LIMIT)
            for truth, text in zip(honest(prompts, completions), completions, strict=True)]


def start(part: str, variant: str, seed: int) -> GRPO | RLOO:
    """The learner of a run, with a fresh base model and a world of its own."""
    config = PARTS[part][variant]
    if part in ("length", "overlong"):
        policy, data, reward = assistant_base(seed), QUESTIONS, honest if part == "length" else finished_truth
    else:
        policy, data, reward = addition_base(seed), TRAIN, exact_answer
    sizes = ("prompts_per_step", "group_size", "max_new_tokens", "resample")
    usual = GRPOConfig()  # RLOO leaves the sizes to the world
    world = Prompts(data, [reward], **{name: getattr(config, name, getattr(usual, name)) for name in sizes})
    return RLOO(policy, world, config, seed) if isinstance(config, RLOOConfig) else GRPO(policy, world, config, seed)


@torch.no_grad()
def chances(policy: LanguagePolicy) -> Tensor:
    """π(the right answer, and then EOS | question) for each held-out problem, `[500]`."""
    tokens, mask = pack_examples(policy.tokenizer, PROBLEMS["prompt"], PROBLEMS["completion"])
    return policy.evaluate_actions(tokens[:, :-1], tokens[:, 1:], mask)[0].sum(-1).double().exp()


def look_at_sums(policy: LanguagePolicy, before: Tensor) -> dict:
    """How often it is right, within how many attempts, on which problems; and nats per answer, from 1,000 answers."""
    now, place = chances(policy), torch.bucketize(before, EDGES.double())
    answers, _, _ = answer_in_groups(policy, PROBLEMS[:], [exact_answer], 2, MAX_NEW_TOKENS,
                                     torch.Generator().manual_seed(0))
    return {"right": now.mean().item(), **{f"pass@{k}": (1 - (1 - now) ** k).mean().item() for k in (8, 64)},
            "entropy": -answers.log_probs.sum(-1).mean().item(),
            "by_base_chance": [now[place == i].mean().item() for i in range(len(EDGES) + 1)]}


def look_at_replies(policy: LanguagePolicy, seed: int, limit: int) -> dict:
    """Sampled replies: how many are wrong, right, cut off; tokens of the right and of the wrong ones."""
    replies, _, _ = answer_in_groups(policy, QUESTIONS[:], [honest], 64, limit, torch.Generator().manual_seed(seed))
    worth, tokens = replies.rewards.sum(-1), replies.mask.sum(-1).float()  # [B], [B]
    cut = replies.truncated.any(-1)
    return {"wrong": (worth < 0).float().mean().item(), "right": (worth > 0).float().mean().item(),
            "cut": cut.float().mean().item(), "paid": ((worth > 0) & ~cut).float().mean().item(),
            "tokens": tokens.mean().item(),
            **{f"tokens_{name}": tokens[which].mean().item() if which.any() else None
               for name, which in (("right", worth > 0), ("wrong", worth < 0))}}


def tokens_after(policy: LanguagePolicy, seed: int, true: bool) -> float:
    """How many more tokens it says, EOS included, after a true or a false claim that is put into its mouth."""
    begun = [f"{request.prompt} {Claim(request.thing, value)}" for request in KNOWN
             for value in VALUES[request.attribute] if (FACTS[request.thing][request.attribute] == value) == true]
    rest = generate(policy, [text for text in begun for _ in range(480 // len(begun))], max_new_tokens=LONGEST - 4,
                    generator=torch.Generator().manual_seed(seed))
    return rest.mask.sum(-1).float().mean().item()


def one_run(part: str, variant: str, seed: int) -> dict:
    """One training: looks, off the clock, at ten points or fewer, and means of what was seen in between."""
    agent, seconds, seen = start(part, variant, seed), 0.0, []
    policy = agent.policy
    before = None if part in ("length", "overlong") else chances(policy)

    def look() -> dict:
        if before is not None:
            return look_at_sums(policy, before)
        replies = look_at_replies(policy, seed, agent.world.max_new_tokens)
        after = {"after_true": tokens_after(policy, seed, True), "after_false": tokens_after(policy, seed, False)}
        return replies | (after if part == "length" else {})

    looks, steps = [{"step": 0, "num_tokens": 0, **look()}], agent.steps()
    every = 10 if agent.config.steps % 10 == 0 else 8
    while True:
        began = time.process_time()
        metrics = next(steps, None)
        seconds += time.process_time() - began
        if metrics is None:
            break
        seen.append(metrics)
        if metrics["step"] % every == 0:
            looks.append({"step": metrics["step"], "num_tokens": metrics["num_tokens"], **look()})
    blocks = [seen[i : i + every] for i in range(0, len(seen), every)]
    means = {name: [statistics.fmean(row.get(name, 0.0) for row in block) for block in blocks]
             for name in ("frac_reward_zero_std", "clip_ratio", "grad_norm")}
    return {"cpu_seconds": seconds, **{name: [row[name] for row in looks] for name in looks[0]}, **means}


def summary(result: dict) -> str:
    """One line per variant: where the seeds end."""
    rows = []
    for part, variants in PARTS.items():
        for variant in variants:
            runs = runs_of(result, part=part, variant=variant)
            names = ("after_true", "after_false") if part == "length" else ("cut", "paid") if part == "overlong" else (
                "right", "entropy")
            if runs:
                ends = ["; ".join([name, *(f"{run[name][-1]:.3f}" for run in runs)]) for name in names]
                rows.append([part, variant, len(runs), *ends, f"{sum(run['cpu_seconds'] for run in runs):.0f}"])
    total = sum(run["cpu_seconds"] for run in result["runs"])
    return table(["part", "variant", "runs", "", "", "CPU s"], rows) + f"\n{total:.0f} CPU s of training"


SETTINGS = {"configs": {part: {name: asdict(config) for name, config in variants.items()}
                        for part, variants in PARTS.items()}, "edges": EDGES.tolist(), "limit": LIMIT}
CONDITIONS = [{"part": part, "variant": variant, "seed": seed}
              for part, variants in PARTS.items() for seed in SEEDS for variant in variants]

if __name__ == "__main__":
    sweep(__doc__, OUTPUT, SETTINGS, CONDITIONS, one_run, summary)
