"""Prompts as a source of trajectories: who is asked, in what order, who judges, and what is kept."""

import pytest
import torch
from datasets import Dataset
from tiny_lm import texts, tiny_policy

from rlcore.lm import completion_texts, generate
from rlcore.lm.prompts import Prompts
from rlcore.lm.tokenizer import encode
from rlcore.trajectory import last_steps

COLUMNS = {"prompt": ["a", "bab", "bb", "ba"], "wanted": ["b", "a", "b", "a"], "completion": ["x", "y", "z", "w"]}
DATA = Dataset.from_dict(COLUMNS)
WANTED = dict(zip(COLUMNS["prompt"], COLUMNS["wanted"], strict=True))


def number(prompts, completions, wanted):  # no room for `completion`, which is SFT's
    return list(range(1, len(prompts) + 1))


def minus_length(prompts, completions, **_):
    return [-len(text) / 8 for text in completions]


def dice(seed=0):
    return torch.Generator().manual_seed(seed)


def world(rewards=(number,), **options):
    return Prompts(DATA, rewards, **({"prompts_per_step": 2, "group_size": 3, "max_new_tokens": 4} | options))


def test_rows_stand_prompt_by_prompt_and_columns_beside_them():
    calls, policy = [], tiny_policy("ab")

    def spy(prompts, completions, wanted):
        calls.append((prompts, completions, wanted))
        return [float(i) for i in range(len(prompts))]

    source = world([spy])
    trajectory = source.sample(policy, dice())
    ((prompts, completions, wanted),) = calls
    first, second = prompts[0], prompts[3]
    assert prompts == [first] * 3 + [second] * 3 and first != second  # without replacement
    assert wanted == [WANTED[prompt] for prompt in prompts]
    assert [asked for asked, _ in texts(trajectory)] == [encode(policy.tokenizer, prompt) for prompt in prompts]
    assert completions == completion_texts(trajectory, policy.tokenizer)
    assert source.prompts == prompts and source.completions == completions  # for people who look
    assert trajectory.rewards.sum(-1).tolist() == [0, 1, 2, 3, 4, 5]
    assert not trajectory.rewards[~last_steps(trajectory.mask)].any()  # paid at the last action
    assert torch.equal(trajectory.done, last_steps(trajectory.mask))


def test_it_is_drawing_then_generating_then_adding_up_the_rewards():
    policy, ours, theirs = tiny_policy("ab"), dice(5), dice(5)
    trajectory = world([number, minus_length]).sample(policy, ours)
    rows = torch.randperm(4, generator=theirs)[:2].tolist()
    prompts = [COLUMNS["prompt"][row] for row in rows for _ in range(3)]
    written = generate(policy, prompts, max_new_tokens=4, generator=theirs)
    assert torch.equal(trajectory.actions, written.actions) and torch.equal(trajectory.log_probs, written.log_probs)
    assert torch.equal(ours.get_state(), theirs.get_state())
    lengths = [len(text) for text in completion_texts(written, policy.tokenizer)]
    assert trajectory.rewards.sum(-1).tolist() == [i + 1 - n / 8 for i, n in enumerate(lengths)]


def test_one_answer_each_unless_asked_for_more():
    source = Prompts(DATA, [number], prompts_per_step=3, max_new_tokens=2)
    assert source.sample(tiny_policy("ab"), dice()).mask.shape[0] == len(set(source.prompts)) == 3


def test_a_small_data_set_is_asked_whole_and_every_prompt_at_most_once():
    everything, few, policy = world(prompts_per_step=16), world(prompts_per_step=3), tiny_policy("ab")
    seen = set()
    for seed in range(30):
        everything.sample(policy, dice(seed))
        assert sorted(everything.prompts[::3]) == sorted(COLUMNS["prompt"])
        few.sample(policy, dice(seed))
        assert len(set(few.prompts)) == 3
        seen.add(tuple(few.prompts))
    assert len(seen) > 12  # of the 24 that there are


def test_metrics_have_trls_names():
    policy, source = tiny_policy("ab"), world(group_size=2)
    trajectory = source.sample(policy, dice())  # rewards 1, 2 and 3, 4: standard deviation √½ in both
    tokens = int(trajectory.mask.sum())
    metrics = source.metrics(trajectory)
    assert metrics == {
        "reward": 2.5, "reward_std": pytest.approx(0.5**0.5), "frac_reward_zero_std": 0.0,
        "entropy": pytest.approx(-trajectory.log_probs.sum().item() / tokens),
        "completions/mean_length": tokens / 4,
        "completions/clipped_ratio": trajectory.truncated.sum().item() / 4, "num_tokens": tokens,
    }  # fmt: skip
    half = trajectory.with_final_rewards(torch.tensor([1.0, 1, 1, 4]))
    assert source.metrics(half)["frac_reward_zero_std"] == 0.5
    tokens += int(source.sample(policy, dice(1)).mask.sum())
    assert source.metrics(trajectory)["num_tokens"] == tokens
    assert world(group_size=1).metrics(trajectory).keys() == metrics.keys() - {"reward_std", "frac_reward_zero_std"}


def test_its_state_is_the_generators_and_a_count():
    policy, first, second = tiny_policy("ab"), world(), world()
    generator = dice(1)
    first.sample(policy, generator)
    second.load_state_dict(first.state_dict())
    again = torch.Generator()
    again.set_state(generator.get_state())
    assert torch.equal(first.sample(policy, generator).actions, second.sample(policy, again).actions)
    assert first.prompts == second.prompts and first.completions == second.completions
    assert first.num_tokens == second.num_tokens > 0


@pytest.mark.parametrize(("problem", "call"), [
    (r"dataset must have a column 'prompt', but has \['wanted'\]",
     lambda: Prompts(DATA.select_columns("wanted"), [number], prompts_per_step=2, max_new_tokens=2)),
    ("dataset is empty: there is no prompt to answer",
     lambda: Prompts(DATA.select([]), [number], prompts_per_step=2, max_new_tokens=2)),
    ("prompts_per_step must be a positive number, but is 0", lambda: world(prompts_per_step=0)),
    ("group_size must be a positive number, but is -1", lambda: world(group_size=-1)),
    ("max_new_tokens must be a positive number, but is 0", lambda: world(max_new_tokens=0)),
    ("functions is empty: without a reward", lambda: world([]).sample(tiny_policy("ab"), dice())),
    ("reward <lambda> returned 1 values for 6 completions",
     lambda: world([lambda **_: [1.0]]).sample(tiny_policy("ab"), dice())),
])  # fmt: skip
def test_what_cannot_be_asked_is_named(problem, call):
    with pytest.raises(ValueError, match=problem):
        call()


def test_groups_of_one_are_never_exchanged():
    data = Dataset.from_dict({"prompt": ["a"]})
    with pytest.raises(ValueError, match=r"resample needs a group_size of at least 2, .*but resample is 3"):
        Prompts(data, [lambda **_: []], prompts_per_step=1, max_new_tokens=1, resample=3)
