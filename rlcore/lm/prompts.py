"""`Prompts`: a data set of questions as a source of trajectories, the text twin of a vector of worlds."""

from collections.abc import Mapping, Sequence

import torch
from datasets import Dataset
from torch import Tensor

from rlcore.lm.sampling import completion_texts, generate
from rlcore.losses import masked_mean
from rlcore.policies import LanguagePolicy
from rlcore.tasks.rewards import Reward, total_reward
from rlcore.trajectory import Trajectory, join
from rlcore.validate import check_not_negative, check_positive


class Prompts:
    """Asks some prompts of a data set at a time, lets the policy answer, and lets the rewards judge.

    What the last `sample` asked and got stands in `prompts` and `completions`, one text per row, for people who look.

    Args:
        dataset: has a column `prompt`; its other columns are handed to the rewards.
        rewards: functions `f(prompts, completions, **columns) -> list[float]`; their sum counts.
        prompts_per_step: P, drawn without replacement; all of a smaller data set.
        group_size: G, how often each is answered.
        max_new_tokens: the length limit of a completion, in tokens.
        resample: how many times prompts whose answers were all worth the same, which teach a comparison nothing, are
            exchanged for prompts drawn afresh from the whole data set, so that one that is in the batch already may
            come twice (DAPO's dynamic sampling, arXiv:2503.14476, section 3.2); what is dead then stays.

    Raises:
        ValueError: the data set is empty or has no column `prompt`, a size is below 1, or there is to be an exchange
            with groups of one, which are always dead.
    """

    def __init__(self, dataset: Dataset, rewards: Sequence[Reward], *, prompts_per_step: int, group_size: int = 1,
                 max_new_tokens: int, resample: int = 0):
        check_dataset(dataset)
        sizes = {"prompts_per_step": prompts_per_step, "group_size": group_size, "max_new_tokens": max_new_tokens}
        for name, size in sizes.items():
            check_positive(name, size)
        check_not_negative("resample", resample)
        if resample and group_size == 1:
            raise ValueError("resample needs a group_size of at least 2, since one answer has nothing to be compared "
                             f"with, but resample is {resample}")
        self.dataset, self.rewards, self.prompts_per_step = dataset, list(rewards), prompts_per_step
        self.group_size, self.max_new_tokens, self.resample = group_size, max_new_tokens, resample
        self.num_tokens = 0  # written so far
        self.prompts: list[str] = []
        self.completions: list[str] = []

    def draw(self, generator: torch.Generator | None = None) -> dict[str, list]:
        """Some rows of the data set, no row twice, as columns."""
        rows = torch.randperm(len(self.dataset), generator=generator)[: self.prompts_per_step]
        return self.dataset[rows.tolist()]

    def sample(self, policy: LanguagePolicy, generator: torch.Generator | None = None) -> Trajectory:
        """Draw, answer and judge: rows prompt by prompt, `[P·G, T]`, the reward at each row's last action."""
        trajectory = self._answer(policy, self.draw(generator), generator)
        for _ in range(self.resample):
            dead = self._dead(trajectory)  # [P·G]
            if not dead.any():
                break
            trajectory = self._exchange(policy, trajectory, dead, generator)
        return trajectory

    def _answer(self, policy: LanguagePolicy, examples: dict[str, list], generator: torch.Generator | None):
        trajectory, self.prompts, self.completions = answer_in_groups(
            policy, examples, self.rewards, self.group_size, self.max_new_tokens, generator
        )
        self.num_tokens += int(trajectory.mask.sum())
        return trajectory

    def _dead(self, trajectory: Trajectory) -> Tensor:
        """The rows whose whole group was worth the same, `[P·G]` bool."""
        groups = trajectory.rewards.sum(-1).view(-1, self.group_size)  # [P, G]
        return (groups == groups[:, :1]).all(-1).repeat_interleave(self.group_size)

    def _exchange(self, policy: LanguagePolicy, trajectory: Trajectory, dead: Tensor, generator) -> Trajectory:
        """Draw afresh, one prompt for each dead group, and let the groups that live take the place of dead ones."""
        prompts, completions = self.prompts, self.completions
        rows = torch.randperm(len(self.dataset), generator=generator)[: int(dead.sum()) // self.group_size]
        fresh = self._answer(policy, self.dataset[rows.tolist()], generator)
        lives = ~self._dead(fresh)
        room = int(lives.sum())  # so many dead rows are exchanged, whole groups of them
        kept = torch.cat([(~dead).nonzero()[:, 0], dead.nonzero()[room:, 0]])
        chosen = lives.nonzero()[:, 0]
        self.prompts = [prompts[i] for i in kept] + [self.prompts[i] for i in chosen]
        self.completions = [completions[i] for i in kept] + [self.completions[i] for i in chosen]
        if room == 0:
            return trajectory.rows(kept)
        return join(([trajectory.rows(kept)] if len(kept) else []) + [fresh.rows(chosen)])

    def metrics(self, trajectory: Trajectory) -> dict[str, float]:
        """What was written and what it was worth, and how many tokens were written since the beginning.

        With `resample` that is said of what was kept, so `reward` is then not the policy's mean reward.
        """
        return describe_answers(trajectory, self.group_size) | {"num_tokens": self.num_tokens}

    def settings(self) -> dict:
        """What two runs must have in common for one to go on where the other stopped."""
        return {"prompts_per_step": self.prompts_per_step, "group_size": self.group_size,
                "max_new_tokens": self.max_new_tokens, "resample": self.resample}

    def state_dict(self) -> dict:
        """How much was written. What is asked next is up to the generator alone."""
        return {"num_tokens": self.num_tokens}

    def load_state_dict(self, state: dict) -> None:
        """Go back to a state that `state_dict` gave."""
        self.num_tokens = state["num_tokens"]


def check_dataset(dataset: Dataset) -> None:
    """Require something to ask."""
    if "prompt" not in dataset.column_names:
        raise ValueError(f"dataset must have a column 'prompt', but has {dataset.column_names}")
    if len(dataset) == 0:
        raise ValueError("dataset is empty: there is no prompt to answer")


def answer_in_groups(
    policy: LanguagePolicy, examples: Mapping[str, list], rewards: Sequence[Reward], group_size: int,
    max_new_tokens: int, generator: torch.Generator | None = None,
) -> tuple[Trajectory, list[str], list[str]]:
    """Answer each of P prompts G times and let the rewards judge.

    Rows stand prompt by prompt: the trajectory is `[P·G, T]`, with the reward at each row's last action. Also the
    prompts and the completions, as P·G texts. Rewards do not see a column `completion`, which SFT would imitate; that
    is TRL's convention.
    """
    group = range(group_size)
    columns = {name: [entry for entry in column for _ in group] for name, column in examples.items()}
    prompts = columns.pop("prompt")
    columns.pop("completion", None)
    trajectory = generate(policy, prompts, max_new_tokens=max_new_tokens, generator=generator)
    completions = completion_texts(trajectory, policy.tokenizer)
    judged = trajectory.with_final_rewards(total_reward(rewards, prompts, completions, columns))
    return judged, prompts, completions


def describe_answers(trajectory: Trajectory, group_size: int) -> dict[str, float]:
    """What was written and what it was worth, under TRL's names.

    `reward_std` and `frac_reward_zero_std` look within groups (sample standard deviation), so that a group of one has
    neither. `entropy` is estimated from the samples: E[−log π].
    """
    groups = trajectory.rewards.sum(-1).view(-1, group_size)  # [P, G]
    spread = {
        "reward_std": groups.std(-1).mean().item(),
        "frac_reward_zero_std": (groups == groups[:, :1]).all(-1).float().mean().item(),
    } if group_size > 1 else {}
    return {"reward": groups.mean().item()} | spread | {
        "entropy": -masked_mean(trajectory.log_probs, trajectory.mask).item(),
        "completions/mean_length": trajectory.mask.sum(-1).float().mean().item(),
        "completions/clipped_ratio": trajectory.truncated.any(-1).float().mean().item(),
    }
