"""After GRPO: what each descendant's line does in training, and all of them at equal tokens. Five seeds (chapter 17).

    python -m benchmarks.after_grpo          # about 9 minutes of CPU time in all; stopped, it goes on later
    python -m benchmarks.after_grpo --show

Seven parts; in each, runs differ in one line of the config. "length": assistants paid for the truth alone, under three
reductions; how long are right and wrong replies, and how much is said after a claim that we put into its mouth?
"begun": the same where every claim is put into its mouth, so that wrong ones do not die out. "overlong": replies of at
most 12 tokens, and nothing for one that is cut off; is it learned from? The rest is addition: "difficulty" (with and
without the standard deviation), "clip" (bounds, at eight updates per batch), "sampling" (dead groups exchanged or not),
and "family" (everybody, four updates per batch; RLOO one). On addition nothing but the entropy is sampled: one text is
right, so a problem's chance is its probability, and pass@k = 1 − (1 − chance)ᵏ.
"""

from dataclasses import asdict

from benchmarks._after_grpo import (
    KNOWN,
    LIMIT,
    LONGEST,
    QUESTIONS,
    Begun,
    exact_answer,
    finished_truth,
    honest,
    look_at_replies,
    look_at_rests,
    look_at_sums,
)
from benchmarks._record import RESULTS, table
from benchmarks._sweep import block_means, on_the_clock, runs_of, sweep
from benchmarks.reinforce_on_addition import EDGES, TRAIN, chances
from rlcore.agents.grpo import DESCENDANTS, GRPO, GRPOConfig
from rlcore.agents.rloo import RLOO, RLOOConfig
from rlcore.lm import Prompts
from rlcore.lm.base import addition_base, assistant_base

OUTPUT = RESULTS / "after_grpo.json"
SEEDS = range(5)
TALK = {"lr": 3e-4, "final_lr": 1.0, "steps": 40, "prompts_per_step": len(KNOWN), "group_size": 12}
BEGUN = {**TALK, "steps": 20, "max_new_tokens": Begun.max_new_tokens}
OVERLONG = {**TALK, "max_new_tokens": LIMIT}
CLIP = {"steps": 32, "epochs": 2, "minibatch_size": 32}
SAMPLING = {"steps": 80, "final_lr": 1.0, "prompts_per_step": 32, "group_size": 4}
FAMILY = {"steps": 50, "final_lr": 1.0, "minibatch_size": 32}
NEVER = 1e6  # an upper bound that nothing reaches
REDUCTIONS = ("sequence", "token", "constant")
PARTS: dict[str, dict[str, GRPOConfig | RLOOConfig]] = {
    "length": {reduction: GRPOConfig(**TALK, max_new_tokens=LONGEST, normalize=False, reduction=reduction)
               for reduction in REDUCTIONS},
    "begun": {reduction: GRPOConfig(**BEGUN, normalize=False, reduction=reduction) for reduction in REDUCTIONS},
    "overlong": {"learned from": GRPOConfig(**OVERLONG), "masked": GRPOConfig(**OVERLONG, mask_truncated=True)},
    "difficulty": {"std": GRPOConfig(steps=100), "no std": GRPOConfig(steps=100, normalize=False)},
    "clip": {"(.2, .2)": GRPOConfig(**CLIP), "(.2, .28)": GRPOConfig(**CLIP, clip=(0.2, 0.28)),
             "(.2, never)": GRPOConfig(**CLIP, clip=(0.2, NEVER)), "(never, .2)": GRPOConfig(**CLIP, clip=(1.0, 0.2))},
    "sampling": {"as they come": GRPOConfig(**SAMPLING), "resampled": GRPOConfig(**SAMPLING, resample=4)},
    "family": {name: GRPOConfig(**FAMILY, **changes) for name, changes in DESCENDANTS.items()}
    | {"RLOO": RLOOConfig(steps=50, final_lr=1.0)},
}  # fmt: skip
TALKING = ("length", "begun", "overlong")  # the others add


def start(part: str, variant: str, seed: int) -> GRPO | RLOO:
    """The learner of a run, with a fresh base model and a world of its own."""
    config = PARTS[part][variant]
    policy = assistant_base(seed) if part in TALKING else addition_base(seed)
    if part == "begun":
        return GRPO(policy, Begun(), config, seed)
    data, reward = {"length": (QUESTIONS, honest), "overlong": (QUESTIONS, finished_truth)}.get(
        part, (TRAIN, exact_answer))
    sizes = ("prompts_per_step", "group_size", "max_new_tokens", "resample")
    usual = GRPOConfig()  # RLOO leaves the sizes to the world
    world = Prompts(data, [reward], **{name: getattr(config, name, getattr(usual, name)) for name in sizes})
    return RLOO(policy, world, config, seed) if isinstance(config, RLOOConfig) else GRPO(policy, world, config, seed)


def one_run(part: str, variant: str, seed: int) -> dict:
    """One training: looks, off the clock, every few steps, and means of what was seen in between."""
    agent, seen = start(part, variant, seed), []
    policy, limit = agent.policy, agent.world.max_new_tokens
    before = None if part in TALKING else chances(policy)

    def look() -> dict:
        if before is not None:
            return look_at_sums(policy, before)
        return (look_at_replies(policy, seed, limit) if part != "begun" else {}) | (
            look_at_rests(policy, seed) if part != "overlong" else {})

    looks, every = [{"step": 0, "num_tokens": 0, **look()}], {"begun": 5, "clip": 8}.get(part, 10)
    for metrics in on_the_clock(agent.steps()):
        seen.append(metrics)
        if metrics["step"] % every == 0:
            looks.append({"step": metrics["step"], "num_tokens": metrics["num_tokens"], **look()})
    means = block_means(seen, every, ("frac_reward_zero_std", "clip_ratio", "grad_norm"))
    course = {name: [row[name] for row in looks] for name in looks[0]}
    return {"cpu_seconds": seen[-1]["cpu_seconds"], **means, **course}


def summary(result: dict) -> str:
    """One line per variant: where the seeds end."""
    rows = []
    for part, variants in PARTS.items():
        names = ("cut", "paid") if part == "overlong" else ("after_true", "after_false") if part in TALKING else (
            "right", "entropy")
        for variant in variants:
            runs = runs_of(result, part=part, variant=variant)
            if runs:
                ends = [f"{name} {' '.join(f'{run[name][-1]:.3f}' for run in runs)}" for name in names]
                rows.append([part, variant, len(runs), *ends, f"{sum(run['cpu_seconds'] for run in runs):.0f}"])
    total = sum(run["cpu_seconds"] for run in result["runs"])
    return table(["part", "variant", "runs", "", "", "CPU s"], rows) + f"\n{total:.0f} CPU s of training"


SETTINGS = {"configs": {part: {name: asdict(config) for name, config in variants.items()}
                        for part, variants in PARTS.items()}, "edges": EDGES.tolist(), "limit": LIMIT}
CONDITIONS = [{"part": part, "variant": variant, "seed": seed}
              for part, variants in PARTS.items() for seed in SEEDS for variant in variants]

if __name__ == "__main__":
    sweep(__doc__, OUTPUT, SETTINGS, CONDITIONS, one_run, summary)
