"""GPT-2 learns to add from right and wrong alone: baselines, learning rates, pass@k, and SFT beside it. Five seeds.

Each seed has a base model of its own, which gets about half of its additions right when it is sampled. Then 100 steps
(one run: 300) of REINFORCE or RLOO on 16 questions × 8 answers, or of SFT on right answers. Nothing that is reported is
sampled: one text is right, so a problem's chance is its probability, and pass@k = 1 − (1 − chance)ᵏ.

    python -m benchmarks.reinforce_on_addition          # about 8 minutes of CPU time in all; stopped, it goes on later
"""

import json
from dataclasses import asdict

import torch
from datasets import Dataset
from torch import Tensor

from benchmarks._record import RESULTS, recipe, save
from benchmarks._sweep import block_means, on_the_clock
from rlcore.agents.reinforce import REINFORCE, REINFORCEConfig
from rlcore.agents.rloo import RLOO, RLOOConfig
from rlcore.learner import Learner
from rlcore.lm import Prompts, SFTConfig
from rlcore.lm.base import addition_base
from rlcore.lm.prompts import answer_in_groups
from rlcore.lm.sft import SFT, pack_examples
from rlcore.policies import LanguagePolicy
from rlcore.returns import group_advantages, leave_one_out_advantages
from rlcore.tasks.addition import MAX_NEW_TOKENS, addition_problems, exact_answer

OUTPUT = RESULTS / "reinforce_on_addition.json"
SEEDS = range(5)
PROMPTS, GROUP, EVERY = 16, 8, 20
KS = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024]
EDGES = torch.tensor([0.1, 0.3, 0.5, 0.7, 0.9])  # of the base model's chance: which problems are learned?
BATCHES = 24  # of answers to the same questions, to see how far a gradient is off
TRAIN, HELD_OUT = addition_problems()


class TextREINFORCE(REINFORCE):
    """REINFORCE with RLOO's optimiser, so that they differ in the baseline and in nothing else."""

    make_optimizer = RLOO.make_optimizer


PLAIN = {"steps": 100, "lr": 1e-4, "final_lr": 0.1, "gamma": 1.0}
RUNS = {  # name: (who learns, its settings, what is added to every reward)
    "none": (TextREINFORCE, REINFORCEConfig(**PLAIN), 0.0),
    "none, rewards 1 and 2": (TextREINFORCE, REINFORCEConfig(**PLAIN), 1.0),
    "none, rewards -1 and 0": (TextREINFORCE, REINFORCEConfig(**PLAIN), -1.0),
    "mean": (TextREINFORCE, REINFORCEConfig(baseline="mean", **PLAIN), 0.0),
    "rloo": (RLOO, RLOOConfig(steps=100), 0.0),
    "rloo, lr 3e-4": (RLOO, RLOOConfig(steps=100, lr=3e-4), 0.0),
    "rloo, lr 1e-3": (RLOO, RLOOConfig(steps=100, lr=1e-3), 0.0),
    "sft, as many questions": (SFT, SFTConfig(batch_size=PROMPTS, lr=1e-4, warmup_steps=10, max_steps=100), 0.0),
    "sft, as many answers": (SFT, SFTConfig(batch_size=PROMPTS * GROUP, lr=1e-4, warmup_steps=10, max_steps=100), 0.0),
    "rloo, 300 steps": (RLOO, RLOOConfig(steps=300), 0.0),
}  # fmt: skip


def log_chances(policy: LanguagePolicy, problems: Dataset) -> Tensor:
    """log π(the right answer, and then EOS | question), `[N]`, differentiable."""
    tokens, mask = pack_examples(policy.tokenizer, problems["prompt"], problems["completion"])
    return policy.evaluate_actions(tokens[:, :-1], tokens[:, 1:], mask)[0].sum(-1)


@torch.no_grad()
def chances(policy: LanguagePolicy) -> Tensor:
    """The chance of a right answer to each held-out problem, `[500]`."""
    return log_chances(policy, HELD_OUT).double().exp()


def abilities(now: Tensor, before: Tensor) -> dict:
    """pass@k on all problems and on those whose base pass@8 is between .2 and .8; what became of which problems."""
    base_pass_8 = 1 - (1 - before) ** 8
    hard, place = (base_pass_8 > 0.2) & (base_pass_8 < 0.8), torch.bucketize(before, EDGES.double())
    return {"hard_problems": int(hard.sum()),
            "pass_hard": [(1 - (1 - now[hard]) ** k).mean().item() for k in KS],
            "pass_all": [(1 - (1 - now) ** k).mean().item() for k in KS],
            "by_base_chance": [now[place == i].mean().item() for i in range(len(EDGES) + 1)]}


def start(name: str, seed: int) -> Learner | SFT:
    """The learner of a run, with a fresh base model."""
    kind, config, shift = RUNS[name]
    policy = addition_base(seed)
    if kind is SFT:
        return SFT(policy, TRAIN, config, seed)

    def reward(prompts, completions, answer, **_) -> list[float]:
        return [shift + right for right in exact_answer(prompts, completions, answer)]

    world = Prompts(TRAIN, [reward], prompts_per_step=PROMPTS, group_size=GROUP, max_new_tokens=MAX_NEW_TOKENS)
    return RLOO(policy, world, config, seed) if kind is RLOO else kind(policy, None, world, config, seed)


def one_run(name: str, seed: int) -> dict:
    """One training: how often it is right every 20 steps, and what it can do at the end."""
    agent, history = start(name, seed), []
    before = now = chances(agent.policy)
    right = [before.mean().item()]
    for metrics in on_the_clock(agent.steps()):
        history.append(metrics)
        if len(history) % EVERY == 0:
            now = chances(agent.policy)
            right.append(now.mean().item())
    reported = [key for key in ("reward", "entropy", "frac_reward_zero_std") if key in history[0]]
    tokens = {"tokens": history[-1]["num_tokens"]} if "num_tokens" in history[-1] else {}
    return {"seed": seed, "cpu_seconds": history[-1]["cpu_seconds"], **tokens, "right": right,
            **block_means(history, 5, reported), **abilities(now, before)}


def gradients(seed: int) -> dict:
    """How far sampled gradients of the base model are off, as |ĝ − g|²/|g|², and how long they are along g."""
    policy, dice = addition_base(seed), torch.Generator().manual_seed(seed)
    weights = list(policy.parameters())
    questions = TRAIN.select(torch.randperm(len(TRAIN), generator=dice)[:PROMPTS].tolist())

    def gradient(number: Tensor) -> Tensor:
        return torch.cat([part.flatten() for part in torch.autograd.grad(number, weights, retain_graph=True)])

    g = gradient(log_chances(policy, questions).exp().mean())  # [weights]  nothing sampled here
    off, along = {}, {}
    for _ in range(BATCHES):
        written, _, _ = answer_in_groups(policy, questions[:], [exact_answer], GROUP, MAX_NEW_TOKENS, dice)
        log_probs = policy.evaluate_actions(written.states, written.actions, written.mask)[0].sum(-1)  # [P·G]
        rewards = written.rewards.sum(-1).view(PROMPTS, GROUP)
        kinds = {"none": rewards, "none, rewards 1 and 2": rewards + 1, "none, rewards -1 and 0": rewards - 1,
                 "mean": rewards - rewards.mean(), "group mean": group_advantages(rewards, normalize=False),
                 "leave one out": leave_one_out_advantages(rewards)}
        for kind, advantages in kinds.items():
            guess = gradient((advantages.flatten() * log_probs).mean())
            off.setdefault(kind, []).append(((guess - g).square().sum() / g.square().sum()).item())
            along.setdefault(kind, []).append((guess @ g / g.square().sum()).item())
    return {"seed": seed, "off": off, "along": along}


def main() -> None:
    """Run what is missing, and say what came out."""
    torch.set_num_threads(1)
    result = json.loads(OUTPUT.read_text(encoding="utf-8")) if OUTPUT.exists() else {
        "recipe": recipe("python -m benchmarks.reinforce_on_addition"), "questions": PROMPTS, "group": GROUP,
        "every": EVERY, "ks": KS, "edges": EDGES.tolist(), "base": [], "gradients": [],
        "runs": {name: {"config": asdict(config), "shift": shift, "runs": []}
                 for name, (_, config, shift) in RUNS.items()},
    }  # fmt: skip
    for seed in SEEDS:
        if seed not in [row["seed"] for row in result["base"]]:
            before = chances(addition_base(seed))
            result["base"].append({"seed": seed, **abilities(before, before)})
            result["gradients"].append(gradients(seed))
            save(result, OUTPUT)
    for name, run in result["runs"].items():
        for seed in SEEDS:
            if seed not in [row["seed"] for row in run["runs"]]:
                run["runs"].append(one_run(name, seed))
                save(result, OUTPUT)
        ends = [f"{row['right'][-1]:.3f}" for row in run["runs"]]
        print(f"{name:24} right {ends}  {sum(row['cpu_seconds'] for row in run['runs']):.0f} CPU s", flush=True)


if __name__ == "__main__":
    main()
