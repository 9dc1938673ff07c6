"""What `after_grpo` trains on and looks at: assistants that are paid for the truth, and sums with one right answer."""

import torch
from datasets import Dataset
from torch import Tensor

from benchmarks.reinforce_on_addition import EDGES, chances
from benchmarks.reinforce_on_addition import HELD_OUT as PROBLEMS
from rlcore.lm import generate
from rlcore.lm.prompts import answer_in_groups, describe_answers
from rlcore.policies import LanguagePolicy
from rlcore.tasks.addition import MAX_NEW_TOKENS, exact_answer
from rlcore.tasks.assistant import HELD_OUT, honest
from rlcore.tasks.assistant_grammar import FACTS, REQUESTS, VALUES, Claim
from rlcore.tasks.assistant_grammar import MAX_NEW_TOKENS as LONGEST
from rlcore.trajectory import Trajectory

LIMIT = 12  # tokens, in "overlong"
KNOWN = [r for r in REQUESTS.values() if r.group == "known" and r.prompt not in HELD_OUT]
QUESTIONS = Dataset.from_dict({"prompt": [request.prompt for request in KNOWN]})  # 10, of colors and tastes


def finished_truth(prompts: list[str], completions: list[str], **_) -> list[float]:
    """1 for a true answer that was brought to its end within the limit, else 0."""
    return [float(truth > 0 and len(text.split()) < LIMIT)
            for truth, text in zip(honest(prompts, completions), completions, strict=True)]


def begun(true: bool) -> list[str]:
    """Each question with each true (or each false) claim behind it: "… the apple ? bot the apple is red"."""
    return [f"{request.prompt} {Claim(request.thing, value)}" for request in KNOWN
            for value in VALUES[request.attribute] if (FACTS[request.thing][request.attribute] == value) == true]


class Begun:
    """A world in which the claim has been made already, half of them false, and only the rest is the policy's.

    Each group of 12 continues six true and six false beginnings to one question. The reward, 1 or −1, was decided
    before the policy's first token, so nothing that it does is worth more than anything else.
    """

    group_size, max_new_tokens = 12, LONGEST - 4  # a claim has four words

    def __init__(self):
        true, false = begun(True), begun(False)  # 10, and 3 for each of them
        rows = [(true[i], 1.0) for i in range(len(true)) for _ in range(6)]
        rows += [(text, -1.0) for text in false for _ in range(2)]
        rows.sort(key=lambda row: row[0].partition("?")[0])  # question by question; the order within is kept
        self.prompts, self.worth, self.num_tokens = [text for text, _ in rows], [r for _, r in rows], 0

    def sample(self, policy: LanguagePolicy, generator: torch.Generator | None = None) -> Trajectory:
        """Continue every beginning."""
        rest = generate(policy, self.prompts, max_new_tokens=self.max_new_tokens, generator=generator)
        self.num_tokens += int(rest.mask.sum())
        return rest.with_final_rewards(torch.tensor(self.worth))

    def metrics(self, trajectory: Trajectory) -> dict[str, float]:
        """As for every world of texts."""
        return describe_answers(trajectory, self.group_size) | {"num_tokens": self.num_tokens}


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


def look_at_rests(policy: LanguagePolicy, seed: int) -> dict:
    """How many more tokens it says, EOS included, after a true and after a false claim that was put into its mouth."""
    looks = {}
    for name, true in (("after_true", True), ("after_false", False)):
        texts = begun(true)
        rest = generate(policy, [text for text in texts for _ in range(480 // len(texts))],
                        max_new_tokens=Begun.max_new_tokens, generator=torch.Generator().manual_seed(seed))
        looks[name] = rest.mask.sum(-1).float().mean().item()
    return looks
