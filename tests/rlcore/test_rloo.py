"""RLOO: two questions with three answers each by hand, its kinship with GRPO and REINFORCE, and the whole agent."""

import pytest
import torch
from datasets import Dataset
from gymnasium.vector import SyncVectorEnv
from tiny_lm import alone, gradient, tiny_policy, weights

from rlcore import policies
from rlcore.agents.grpo import GRPO, GRPOConfig
from rlcore.agents.reinforce import REINFORCE, REINFORCEConfig
from rlcore.agents.rloo import RLOO, RLOOConfig, train
from rlcore.checkpoint import Checkpoint, CheckpointError
from rlcore.envs.text import TextEnv
from rlcore.lm import NextToken, Prompts
from rlcore.lm.prompts import answer_in_groups
from rlcore.rollout import collect
from rlcore.trajectory import Trajectory

F64 = torch.float64
DATA = Dataset.from_dict({"prompt": ["a", "bab", "bb"], "wanted": ["b", "a", "b"]})
NO_CLIP = 1e9


@pytest.fixture(autouse=True)
def share_where_it_may(monkeypatch):
    monkeypatch.setattr(policies, "saves_work", lambda *_: True)


def share_of_wanted(prompts, completions, wanted):
    """How much of what was written is the wanted letter; a little less for every letter."""
    return [text.count(letter) / (len(text) + 1) for text, letter in zip(completions, wanted, strict=True)]


def world(group_size=3, data=DATA, **options):
    sizes = {"prompts_per_step": 2, "group_size": group_size, "max_new_tokens": 3}
    return Prompts(data, [share_of_wanted], **(sizes | options))


def agent(policy=None, source=None, sgd=True, **options):
    """An agent whose one step of SGD at rate 1 subtracts exactly the gradient."""
    settings = {"steps": 4, "lr": 1e-2, "max_grad_norm": NO_CLIP} | options
    made = RLOO(policy or tiny_policy("ab"), source or world(), RLOOConfig(**settings))
    if sgd:
        made.optimizer = torch.optim.SGD(made.policy.parameters(), lr=1.0)
    return made


def hot_policy():
    """One that answers the same question in several ways."""
    return tiny_policy("ab", temperature=3.0)


def different_rewards(trajectory):
    """No two answers alike, so that no group is dead."""
    return trajectory.with_final_rewards(torch.randn(len(trajectory.mask), generator=torch.Generator().manual_seed(0)))


def learned_gradient(made, trajectory):
    before = weights(made.policy)
    metrics = made.learn(trajectory)
    return before - weights(made.policy), metrics


# ---------------------------------------------------------------- two groups of three, by hand

# a is 2, b is 3, EOS is 1.  Question "a": "b.", "a.", "bb" (cut off).  Question "ba": "b.", ".", "aab" (cut off).
ROWS = [([2], [3, 1]), ([2], [2, 1]), ([2], [3, 3]), ([3, 2], [3, 1]), ([3, 2], [1]), ([3, 2], [2, 2, 3])]
REWARDS = [1.0, 0.0, 0.0, 2.0, 4.0, 6.0]
# [1, 0, 0]: the others' means are 0, ½, ½, so 1 − 0, 0 − ½, 0 − ½;  [2, 4, 6]: they are 5, 4, 3
ADVANTAGES = [1.0, -0.5, -0.5, -3.0, 0.0, 3.0]
TOKENS = 2 + 2 + 2 + 2 + 1 + 3


def hand_made(policy):
    """ROWS as a trajectory."""
    states, actions = torch.zeros(2, 6, 4).long()
    rewards, log_probs = torch.zeros(2, 6, 4, dtype=F64)
    mask, terminated, truncated = torch.zeros(3, 6, 4).bool()
    for i, (prompt, answer) in enumerate(ROWS):
        text, first, last = prompt + answer, len(prompt) - 1, len(prompt) + len(answer) - 2
        states[i, : len(text) - 1], actions[i, : len(text) - 1] = torch.tensor(text[:-1]), torch.tensor(text[1:])
        mask[i, first : last + 1] = True
        log_probs[i, first : last + 1] = alone(policy.model, text).detach()[first:]
        rewards[i, last] = REWARDS[i]
        (terminated if answer[-1] == 1 else truncated)[i, last] = True
    return Trajectory(states, actions, rewards, log_probs, terminated, truncated, mask)


def own_log_prob(policy, row):
    """log π of a whole answer, scored alone."""
    prompt, answer = ROWS[row]
    return alone(policy.model, prompt + answer)[len(prompt) - 1 :].sum()


@pytest.mark.parametrize(("reduction", "weight"), [("sum", 1 / 6), ("token", 1 / TOKENS)])
@pytest.mark.parametrize("micro", [None, 4, 1])
def test_two_groups_of_three_by_hand(reduction, weight, micro):
    made = agent(reduction=reduction, micro_batch_size=micro)
    total = sum(-ADVANTAGES[i] * own_log_prob(made.policy, i) for i in range(6))
    expected = gradient(made.policy, weight * total)
    got, metrics = learned_gradient(made, hand_made(made.policy))
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-12)
    assert expected.abs().max() > 0.01
    assert metrics["loss"] == pytest.approx(weight * total.item(), abs=1e-12)
    assert "clip_ratio" not in metrics  # there is no ratio that could be clipped


@pytest.mark.parametrize("beta", [0.3, 2.0])
def test_what_leaving_the_reference_costs_is_taken_from_the_reward(beta):
    made = agent(kl_coef=beta)
    made.reference.load_state_dict(tiny_policy("ab", seed=1).state_dict())
    trajectory = hand_made(made.policy)
    paid = []
    for i in range(6):
        log_ratio = own_log_prob(made.policy, i) - own_log_prob(made.reference, i)
        paid.append(REWARDS[i] - beta * log_ratio.item())
    total = 0.0
    for i in range(6):
        others = sum(paid[i // 3 * 3 : i // 3 * 3 + 3]) - paid[i]
        total = total - (paid[i] - others / 2) * own_log_prob(made.policy, i) / 6
    expected = gradient(made.policy, total)
    got, metrics = learned_gradient(made, trajectory)
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-11)
    assert metrics["kl"] > 0


def test_at_the_start_the_kl_is_0_and_the_reference_stays_where_it_was():
    made = agent(hot_policy(), world(8), sgd=False, kl_coef=0.1)
    start = weights(made.reference)
    assert torch.equal(start, weights(made.policy))
    history = list(made.steps())
    assert history[0]["kl"] == pytest.approx(0, abs=1e-12) and history[-1]["kl"] > 1e-6
    assert torch.equal(weights(made.reference), start) and not torch.equal(weights(made.policy), start)
    assert not any(weight.requires_grad for weight in made.reference.parameters())
    assert agent().reference is None


# ---------------------------------------------------------------- kinship


@pytest.mark.parametrize("size", [2, 3, 5])
def test_it_is_grpo_without_std_and_with_sum_times_g_over_g_minus_1(size):
    made = agent(hot_policy(), world(size))
    trajectory = different_rewards(made.world.sample(made.policy, made.generator))
    config = GRPOConfig(group_size=size, max_new_tokens=3, normalize=False, reduction="constant", max_grad_norm=NO_CLIP)
    grpo = GRPO(hot_policy(), world(size), config)
    grpo.optimizer = torch.optim.SGD(grpo.policy.parameters(), lr=1.0)
    theirs, _ = learned_gradient(grpo, trajectory)
    summed = 3 * theirs  # Dr. GRPO divides the sum over tokens by the length limit, 3
    ours, _ = learned_gradient(made, trajectory)
    torch.testing.assert_close(ours, size / (size - 1) * summed, rtol=0, atol=1e-11)
    assert ours.abs().max() > 1e-3


def test_with_two_answers_it_is_reinforce_on_their_difference():
    # r₁ − r₂ and r₂ − r₁: REINFORCE without a baseline, on those as rewards
    made = agent(hot_policy(), world(2))
    trajectory = different_rewards(made.world.sample(made.policy, made.generator))
    rewards = trajectory.rewards.sum(-1).view(-1, 2)
    differences = trajectory.with_final_rewards((rewards - rewards.flip(-1)).flatten())
    reinforce = REINFORCE(hot_policy(), None, made.world, REINFORCEConfig(gamma=1.0, max_grad_norm=NO_CLIP))
    reinforce.optimizer = torch.optim.SGD(reinforce.policy.parameters(), lr=1.0)
    theirs, _ = learned_gradient(reinforce, differences)
    ours, _ = learned_gradient(made, trajectory)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)
    assert ours.abs().max() > 1e-3


def test_reinforce_learns_the_same_from_the_text_world_as_from_prompts():
    # one question on the same dice: token by token through step(), and by the batched sampler
    row, dice, learned = DATA[1], [torch.Generator().manual_seed(5) for _ in range(2)], []
    examples = {name: [entry] for name, entry in row.items()}
    for batched in (True, False):
        policy = hot_policy()
        env = TextEnv([row], policy.tokenizer, share_of_wanted, max_new_tokens=3, positions=16)
        envs = SyncVectorEnv([lambda env=env: env])
        acting = policy if batched else NextToken(policy)
        made = REINFORCE(acting, None, None, REINFORCEConfig(gamma=1.0, max_grad_norm=NO_CLIP))
        made.optimizer = torch.optim.SGD(policy.parameters(), lr=1.0)
        before = weights(policy)
        for _ in range(5):
            made.learn(answer_in_groups(policy, examples, [share_of_wanted], 1, 3, dice[0])[0] if batched
                       else collect(acting, envs, generator=dice[1]))  # fmt: skip
        learned.append(before - weights(policy))
    torch.testing.assert_close(*learned, rtol=0, atol=1e-10)
    assert learned[0].abs().max() > 1e-3


# ---------------------------------------------------------------- the agent


def test_an_update_makes_the_better_answers_likelier():
    made = agent(hot_policy(), world(8), sgd=False, lr=1e-3)
    trajectory = made.world.sample(made.policy, made.generator)
    made.learn(trajectory)
    after, _ = made.policy.evaluate_actions(trajectory.states, trajectory.actions, trajectory.mask)
    change = (after - trajectory.log_probs).sum(-1).detach()  # per answer
    rewards = trajectory.rewards.sum(-1).view(2, 8)
    assert (change * (rewards - rewards.mean(-1, keepdim=True)).flatten()).sum() > 0


@pytest.mark.filterwarnings("ignore:every")  # that is how it wins: always the same, and cut off
def test_it_learns_and_the_same_seed_learns_the_same():
    results, data = [], Dataset.from_dict({"prompt": DATA["prompt"], "wanted": ["b"] * 3})
    for seed in (0, 0, 1):
        state = torch.get_rng_state()
        policy = tiny_policy("ab", spread=0.1, dtype=torch.float32, dropout=0.5)
        results.append(train(policy, world(8, data), RLOOConfig(steps=25, lr=1e-2), seed))
        assert torch.equal(torch.get_rng_state(), state) and results[-1].policy is policy
    first, again, other = (result.history for result in results)
    assert first == again and torch.equal(*(weights(result.policy) for result in results[:2]))
    assert first != other
    for history in (first, other):
        assert sum(row["reward"] for row in history[-5:]) / 5 > 0.6 > 0.4 > history[0]["reward"]  # at most 3/4: "bbb"
        assert [row["step"] for row in history] == list(range(1, 26))
    assert {"reward_std", "completions/mean_length", "num_tokens", "loss"} <= first[0].keys()


@pytest.mark.parametrize("options", [{}, {"kl_coef": 0.1}])
def test_stopped_and_resumed_is_as_if_nothing_had_happened(options, tmp_path):
    config, file = RLOOConfig(steps=6, lr=1e-2, **options), tmp_path / "run.safetensors"
    whole = train(hot_policy(), world(), config, seed=2)
    stopped = RLOO(hot_policy(), world(), config, seed=2)
    steps = stopped.steps()
    history = [next(steps) for _ in range(3)]
    Checkpoint(file, stopped).save(history)
    resumed = train(hot_policy(), world(), config, seed=2, checkpoint=file, resume=True)
    assert resumed.history == whole.history  # the tokens written so far among them
    assert torch.equal(weights(resumed.policy), weights(whole.policy))
    with pytest.raises(CheckpointError, match="group_size is 3 there and 4 here"):
        train(hot_policy(), world(4), config, seed=2, checkpoint=file, resume=True)


def test_where_every_group_is_dead_nothing_is_learned():
    made = agent(hot_policy(), sgd=False)
    trajectory = made.world.sample(made.policy, made.generator)
    made.learn(different_rewards(trajectory))  # Adam has momentum now
    before = weights(made.policy)
    assert made.learn(trajectory.with_final_rewards(torch.tensor([0.1] * 3 + [0.7] * 3))) == {}
    assert torch.equal(weights(made.policy), before)


@pytest.mark.parametrize(("options", "message"), [
    ({"steps": 0}, "steps must be a positive number, but is 0"),
    ({"lr": -1.0}, "lr must be a positive number, but is -1.0"),
    ({"max_grad_norm": 0}, "max_grad_norm must be a positive number, but is 0"),
    ({"micro_batch_size": 0}, "micro_batch_size must be a positive number, but is 0"),
    ({"final_lr": 1.5}, r"final_lr must lie in \[0, 1\], but is 1.5"),
    ({"kl_coef": -0.1}, "kl_coef must be at least 0, but is -0.1"),
    ({"reduction": "mean"}, "reduction must be one of 'sum', 'token', but is 'mean'"),
])  # fmt: skip
def test_settings_out_of_range_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        RLOOConfig(**options)


def test_a_group_of_one_is_named():
    with pytest.raises(ValueError, match=r"group_size of the world must be at least 2 .* but is 1"):
        RLOO(hot_policy(), world(1), RLOOConfig())
