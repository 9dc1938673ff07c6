"""GRPO: a case of two groups of three by hand, its identities, and the whole agent on a task of two letters."""

from dataclasses import replace

import pytest
import torch
from datasets import Dataset
from tiny_lm import alone, gradient, texts, tiny_policy, weights

from rlcore import policies
from rlcore.agents.grpo import DESCENDANTS, GRPO, GRPOConfig, train
from rlcore.lm import Prompts, completion_texts
from rlcore.lm.prompts import answer_in_groups
from rlcore.losses import kl_estimate, ppo_clip_loss
from rlcore.returns import group_advantages
from rlcore.trajectory import Trajectory

F64 = torch.float64
REDUCTIONS = ("token", "sequence", "constant")
PROMPTS = {"prompt": ["a", "bab", "bb"], "wanted": ["b", "a", "b"]}
DATA = Dataset.from_dict(PROMPTS)


@pytest.fixture(autouse=True)
def share_where_it_may(monkeypatch):
    monkeypatch.setattr(policies, "saves_work", lambda *_: True)


def share_of_wanted(prompts, completions, wanted, **_):
    """How much of what was written is the wanted letter; a little less for every letter."""
    return [text.count(letter) / (len(text) + 1) for text, letter in zip(completions, wanted, strict=True)]


def config(**options):
    small = {"steps": 4, "prompts_per_step": 2, "group_size": 4, "max_new_tokens": 3, "lr": 1e-2, "max_grad_norm": 1e9}
    return GRPOConfig(**(small | options))


def world_and(settings, reward=None):
    """The world that a config speaks of, and the config."""
    sizes = ("prompts_per_step", "group_size", "max_new_tokens", "resample")
    return Prompts(DATA, [reward or share_of_wanted], **{name: getattr(settings, name) for name in sizes}), settings


def answered(made, examples=None):
    """Each of these prompts answered in a group."""
    world = made.world
    return answer_in_groups(made.policy, examples or PROMPTS, world.rewards, world.group_size, world.max_new_tokens,
                            made.generator)[0]


def agent(policy=None, seed=0, sgd=True, **options):
    """An agent whose one step of SGD at rate 1 subtracts exactly the gradient."""
    made = GRPO(policy or tiny_policy("ab"), *world_and(config(**options)), seed)
    if sgd:
        made.optimizer = torch.optim.SGD(made.policy.parameters(), lr=1.0)
    return made


def learned_gradient(made, trajectory):
    before = weights(made.policy)
    metrics = made.learn(trajectory)
    return before - weights(made.policy), metrics


# ---------------------------------------------------------------- two groups of three, by hand

# a is 2, b is 3, EOS is 1.  Question "a": "b.", "a.", "bb" (cut off).  Question "ba": "b.", ".", "aab" (cut off).
ROWS = [([2], [3, 1]), ([2], [2, 1]), ([2], [3, 3]), ([3, 2], [3, 1]), ([3, 2], [1]), ([3, 2], [2, 2, 3])]
REWARDS = [1.0, 0.0, 0.0, 2.0, 4.0, 6.0]
LENGTHS = [2, 2, 2, 2, 1, 3]
# [1, 0, 0]: mean 1/3, deviations 2/3, −1/3, −1/3, variance (4 + 1 + 1)/9/2 = 1/3
# [2, 4, 6]: mean 4, variance (4 + 0 + 4)/2 = 4
CENTRED = [2 / 3, -1 / 3, -1 / 3, -2.0, 0.0, 2.0]
SPREAD = [3**-0.5 + 1e-4] * 3 + [2 + 1e-4] * 3


def hand_made(policy, off=0.0):
    """ROWS as a trajectory; the policy that acted was `off` more certain of everything."""
    width = 4
    states, actions = torch.zeros(6, width).long(), torch.zeros(6, width).long()
    rewards, log_probs = torch.zeros(6, width, dtype=F64), torch.zeros(6, width, dtype=F64)
    mask = torch.zeros(6, width).bool()
    terminated, truncated = mask.clone(), mask.clone()
    for i, (prompt, answer) in enumerate(ROWS):
        text, first, last = prompt + answer, len(prompt) - 1, len(prompt) + len(answer) - 2
        states[i, : len(text) - 1], actions[i, : len(text) - 1] = torch.tensor(text[:-1]), torch.tensor(text[1:])
        mask[i, first : last + 1] = True
        log_probs[i, first : last + 1] = alone(policy.model, text).detach()[first:] + off
        rewards[i, last] = REWARDS[i]
        (terminated if answer[-1] == 1 else truncated)[i, last] = True
    return Trajectory(states, actions, rewards, log_probs, terminated, truncated, mask)


def by_hand(policy, advantages, weight):
    """−Σᵢ Âᵢ Σₜ wᵢ log π(aₜ), each text scored alone: the gradient at ratio 1."""
    total = 0.0
    for i, (prompt, answer) in enumerate(ROWS):
        own = alone(policy.model, prompt + answer)[len(prompt) - 1 :]
        assert len(own) == LENGTHS[i]
        total = total - advantages[i] * weight[i] * own.sum()
    return gradient(policy, total)


WEIGHTS = {
    "token": [1 / 12] * 6,  # 2 + 2 + 2 + 2 + 1 + 3 = 12 tokens
    "sequence": [1 / (6 * n) for n in LENGTHS],
    "constant": [1 / (6 * 3)] * 6,  # six answers of at most three tokens
}


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("normalize", [True, False])
def test_two_groups_of_three_by_hand(reduction, normalize):
    made = agent(reduction=reduction, normalize=normalize, group_size=3)
    advantages = [c / s if normalize else c for c, s in zip(CENTRED, SPREAD, strict=True)]
    expected = by_hand(made.policy, advantages, WEIGHTS[reduction])
    got, metrics = learned_gradient(made, hand_made(made.policy))
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-12)
    # at ratio 1 the loss is −Σ wᵢ nᵢ Âᵢ
    loss = -sum(a * w * n for a, w, n in zip(advantages, WEIGHTS[reduction], LENGTHS, strict=True))
    assert metrics["loss"] == pytest.approx(loss, abs=1e-12)


def test_metrics_of_the_hand_made_case():
    made = agent(group_size=3)
    trajectory = hand_made(made.policy)
    metrics = made.world.metrics(trajectory) | made.learn(trajectory)
    assert metrics["reward"] == pytest.approx(13 / 6)
    assert metrics["reward_std"] == pytest.approx((3**-0.5 + 2) / 2)  # sample standard deviation, mean over groups
    assert metrics["frac_reward_zero_std"] == 0
    assert metrics["completions/mean_length"] == 2.0  # EOS included
    assert metrics["completions/clipped_ratio"] == pytest.approx(2 / 6)
    assert metrics["entropy"] == pytest.approx(-trajectory.log_probs.sum().item() / 12)
    assert metrics["clip_ratio"] == 0 and metrics["grad_norm"] > 0
    equal = trajectory.with_final_rewards(torch.tensor([1.0, 1, 1, 2, 4, 6]))
    assert made.world.metrics(equal)["frac_reward_zero_std"] == 0.5


def test_tokens_are_counted_as_they_are_written():
    made = agent()
    lengths = []
    for row in made.steps():
        lengths.append(row["completions/mean_length"] * 8)  # 2 prompts, 4 answers each
        assert row["num_tokens"] == pytest.approx(sum(lengths))


def test_ratios_are_clipped_step_by_step():
    # the acting policy was .3 less certain of everything: every ratio is e^.3 = 1.35 > 1.2, so what is good is cut
    made = agent(group_size=3, normalize=False, reduction="constant")
    trajectory = hand_made(made.policy, off=-0.3)
    only_bad = [min(c, 0.0) * 2.718281828459045**0.3 for c in CENTRED]
    expected = by_hand(made.policy, only_bad, WEIGHTS["constant"])
    got, metrics = learned_gradient(made, trajectory)
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-12)
    assert metrics["clip_ratio"] == pytest.approx((2 + 3) / 12)  # the two answers above the mean of their group
    wide = agent(group_size=3, normalize=False, reduction="constant", clip=(0.2, 0.5))
    assert wide.learn(trajectory)["clip_ratio"] == 0


def test_a_group_that_does_not_fit_is_named():
    world, settings = world_and(config(group_size=4))
    with pytest.raises(ValueError, match="group_size is 2 in the config and 4 in the world"):
        GRPO(tiny_policy("ab"), world, replace(settings, group_size=2))
    made = agent(group_size=4)
    with pytest.raises(ValueError, match="group_size 4 does not divide the 6 completions"):
        made.learn(hand_made(made.policy))


# ---------------------------------------------------------------- identities


def test_without_std_and_with_sum_it_is_reinforce_with_a_group_baseline_and_a_multiple_of_rloo():
    made = agent(normalize=False, reduction="constant", prompts_per_step=3)
    trajectory = answered(made)
    rewards = trajectory.rewards.sum(-1).view(3, 4)
    reinforce = rloo = 0.0
    for i, (prompt, answer) in enumerate(texts(trajectory)):
        own = alone(made.policy.model, prompt + answer)[len(prompt) - 1 :].sum()
        group = rewards[i // 4]
        others = (group.sum() - group[i % 4]) / 3
        reinforce = reinforce - (group[i % 4] - group.mean()) * own
        rloo = rloo - (group[i % 4] - others) * own
    reinforce, rloo = gradient(made.policy, reinforce, keep=True), gradient(made.policy, rloo)
    got, _ = learned_gradient(made, trajectory)
    summed = got * 12 * 3  # undo "over 12 answers of 3 tokens": the sum reduction
    torch.testing.assert_close(summed, reinforce, rtol=0, atol=1e-11)
    torch.testing.assert_close(summed * 4 / 3, rloo, rtol=0, atol=1e-11)  # G/(G−1)
    assert reinforce.abs().max() > 0.01


@pytest.mark.parametrize("kl", [{}, {"kl_coef": 0.3}, {"kl_coef": 0.3, "kl_kind": "k1", "kl_in": "reward"}])
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_micro_batches_and_skipping_change_nothing(reduction, kl):
    grads = []
    for micro, skip in ((None, False), (None, True), (5, True), (1, False)):
        made = agent(reduction=reduction, prompts_per_step=3, skip_dead_groups=skip, micro_batch_size=micro, **kl)
        trajectory = answered(made)
        dead = trajectory.rewards.sum(-1)
        dead[:4] = 1.0  # the first group has nothing to say
        if made.reference is not None:  # a reference that differs
            made.reference.load_state_dict(tiny_policy("ab", seed=1).state_dict())
        grads.append(learned_gradient(made, trajectory.with_final_rewards(dead))[0])
    assert grads[0].abs().max() > 1e-3
    for other in grads[1:]:
        torch.testing.assert_close(other, grads[0], rtol=0, atol=1e-13)


@pytest.mark.parametrize("kind", ["k1", "k2", "k3"])
def test_kl_in_the_loss_and_in_the_reward(kind):
    for place in ("loss", "reward"):
        made = agent(kl_coef=0.3, kl_kind=kind, kl_in=place, normalize=False, reduction="constant", group_size=3)
        made.reference.load_state_dict(tiny_policy("ab", seed=1).state_dict())
        trajectory, total, kls = hand_made(made.policy), 0.0, []
        for prompt, answer in ROWS:
            refs = alone(made.reference.model, prompt + answer)[len(prompt) - 1 :].detach()
            estimator = "k1" if place == "reward" else kind
            kls.append(kl_estimate(alone(made.policy.model, prompt + answer)[len(prompt) - 1 :], refs, estimator))
        paid = torch.tensor(REWARDS, dtype=F64)
        if place == "reward":  # β Σₜ KL is taken from the reward of the text, before groups are compared
            paid = paid - 0.3 * torch.stack([kl.sum() for kl in kls]).detach()
        advantages = group_advantages(paid.view(2, 3), normalize=False).flatten()
        for i, (prompt, answer) in enumerate(ROWS):
            own = alone(made.policy.model, prompt + answer)[len(prompt) - 1 :]
            total = total + ppo_clip_loss(own, own.detach(), advantages[i].expand_as(own), 0.2).sum() / 18
            total = total + (0.3 * kls[i].sum() / 18 if place == "loss" else 0.0)
        expected = gradient(made.policy, total)
        got, metrics = learned_gradient(made, trajectory)
        torch.testing.assert_close(got, expected, rtol=0, atol=1e-12)
        assert made.world.metrics(trajectory)["reward"] == pytest.approx(13 / 6)  # as paid, whatever the KL costs
        assert metrics["kl"] > 0


def test_at_the_start_the_kl_is_0_and_the_reference_stays_where_it_was():
    made = agent(sgd=False, kl_coef=0.1, kl_in="loss")
    frozen, start = weights(made.reference), weights(made.policy)
    assert torch.equal(frozen, start)
    history = list(made.steps())
    assert history[0]["kl"] == pytest.approx(0, abs=1e-12) and history[-1]["kl"] > 1e-6
    assert torch.equal(weights(made.reference), frozen) and not torch.equal(weights(made.policy), start)
    assert not any(p.requires_grad for p in made.reference.parameters())
    assert agent().reference is None


# ---------------------------------------------------------------- the agent


def test_rows_stand_prompt_by_prompt_and_columns_beside_them():
    calls = []

    def spy(prompts, completions, wanted):  # no room for anything else
        calls.append((prompts, completions, wanted))
        return list(range(len(prompts)))

    made = GRPO(tiny_policy("ab"), *world_and(config(group_size=3), spy), seed=0)
    trajectory = answered(made, PROMPTS | {"completion": ["x", "y", "z"]})  # an SFT column is no business of a reward's
    ((prompts, completions, wanted),) = calls
    assert prompts == ["a"] * 3 + ["bab"] * 3 + ["bb"] * 3 and wanted == ["b"] * 3 + ["a"] * 3 + ["b"] * 3
    assert completions == completion_texts(trajectory, made.policy.tokenizer)
    assert trajectory.rewards.sum(-1).tolist() == list(range(9))
    assert (trajectory.rewards[~trajectory.done] == 0).all()  # paid where the completion ends
    assert [prompt for prompt, _ in texts(trajectory)] == [[2]] * 3 + [[3, 2, 3]] * 3 + [[3, 3]] * 3


def test_an_update_makes_the_better_answers_likelier():
    made = agent(sgd=False, lr=1e-3, prompts_per_step=3)
    trajectory = answered(made)
    made.learn(trajectory)
    after, _ = made.policy.evaluate_actions(trajectory.states, trajectory.actions, trajectory.mask)
    change = (after - trajectory.log_probs).sum(-1).detach()  # per answer
    advantages = group_advantages(trajectory.rewards.sum(-1).view(3, 4), normalize=False).flatten()
    assert (change * advantages).sum() > 0


@pytest.mark.filterwarnings("ignore:every")  # that is how it wins: always the same, and cut off
def test_it_learns_and_the_same_seed_learns_the_same():
    results, data = [], Dataset.from_dict({"prompt": PROMPTS["prompt"], "wanted": ["b"] * 3})
    for seed in (0, 0, 1):
        state = torch.get_rng_state()
        policy = tiny_policy("ab", spread=0.1, dtype=torch.float32, dropout=0.5)
        results.append(train(policy, data, [share_of_wanted], config(steps=25, group_size=8), seed))
        assert torch.equal(torch.get_rng_state(), state) and results[-1].policy is policy
    first, again, other = (result.history for result in results)
    assert first == again and torch.equal(*(weights(result.policy) for result in results[:2]))
    assert first != other
    for history in (first, other):
        assert sum(row["reward"] for row in history[-5:]) / 5 > 0.6 > 0.4 > history[0]["reward"]  # at most 3/4: "bbb"
        assert [row["step"] for row in history] == list(range(1, 26))
    assert not results[0].interrupted


def test_the_learning_rate_falls_linearly_to_its_share():
    made = agent(sgd=False, steps=5, final_lr=0.2, lr=1e-2)
    seen = [made.optimizer.param_groups[0]["lr"] for _ in made.steps()]
    # 1 − (s/5)·(1 − .2): what would be .2 is the rate of a sixth step
    assert seen == pytest.approx([1e-2, 0.84e-2, 0.68e-2, 0.52e-2, 0.36e-2])
    once = agent(sgd=False, steps=1, lr=1e-2)
    assert len(list(once.steps())) == 1 and once.optimizer.param_groups[0]["lr"] == 1e-2


def test_epochs_and_minibatches_are_optimiser_steps():
    made, count = agent(epochs=3, minibatch_size=5, group_size=6), []
    made.optimizer.register_step_post_hook(lambda *_: count.append(1))
    trajectory = answered(made, {name: column[:2] for name, column in PROMPTS.items()})
    made.learn(trajectory.with_final_rewards(torch.arange(12.0)))  # no dead group, no advantage of 0
    assert len(count) == 3 * 3  # 12 rows in minibatches of 5, 5 and 2, three times


@pytest.mark.parametrize(("size", "calls"), [(None, [12]), (5, [5, 5, 2])])
def test_micro_batches_are_what_one_forward_sees(size, calls, monkeypatch):
    made, seen = agent(micro_batch_size=size, group_size=4, prompts_per_step=3), []
    trajectory = answered(made).with_final_rewards(torch.arange(12.0))
    evaluate = made.policy.evaluate_actions

    def spy(states, actions, mask, entropy=False):
        seen.append(len(states))
        return evaluate(states, actions, mask, entropy)

    monkeypatch.setattr(made.policy, "evaluate_actions", spy)
    made.learn(trajectory)
    assert seen == calls


def test_weights_that_nothing_depends_on_stay_where_they_are():
    made = agent(sgd=False)
    unused = made.policy.model.transformer.wpe.weight  # 16 positions, of which 6 tokens at most are used
    before = unused.detach().clone()
    list(made.steps())
    assert torch.equal(unused[8:], before[8:]) and not torch.equal(unused[:3], before[:3])  # no weight decay


def test_where_every_group_is_dead_nothing_is_learned():
    made = agent(sgd=False)
    trajectory = answered(made, {name: column[:2] for name, column in PROMPTS.items()})
    made.learn(trajectory.with_final_rewards(torch.arange(8.0)))  # Adam has momentum now
    before = weights(made.policy)
    dead = trajectory.with_final_rewards(torch.tensor([0.1] * 4 + [0.7] * 4))
    metrics = made.world.metrics(dead) | made.learn(dead)
    assert torch.equal(weights(made.policy), before)
    assert metrics["frac_reward_zero_std"] == 1 and metrics["reward_std"] == pytest.approx(0, abs=1e-7)
    assert "loss" not in metrics


@pytest.mark.filterwarnings("ignore:every group is dead")
def test_a_small_data_set_is_asked_whole_and_every_prompt_at_most_once_a_step():
    asked = []

    def spy(prompts, **_):
        asked.append(sorted(prompts[::4]))
        return [0.0] * len(prompts)

    made = GRPO(tiny_policy("ab"), *world_and(config(prompts_per_step=16), spy), seed=0)
    list(made.steps())
    assert asked == [["a", "bab", "bb"]] * 4
    asked.clear()
    list(GRPO(tiny_policy("ab"), *world_and(config(prompts_per_step=2, steps=20), spy), seed=0).steps())
    assert all(len(set(prompts)) == 2 for prompts in asked) and len({tuple(prompts) for prompts in asked}) == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "steps must be a positive number, but is 0"),
        ({"prompts_per_step": 0}, "prompts_per_step must be a positive number, but is 0"),
        ({"max_new_tokens": -1}, "max_new_tokens must be a positive number, but is -1"),
        ({"lr": 0.0}, "lr must be a positive number, but is 0.0"),
        ({"lr": float("nan")}, "lr must be a positive number, but is nan"),
        ({"epochs": 0}, "epochs must be a positive number, but is 0"),
        ({"max_grad_norm": 0}, "max_grad_norm must be a positive number, but is 0"),
        ({"minibatch_size": 0}, "minibatch_size must be a positive number, but is 0"),
        ({"micro_batch_size": 0}, "micro_batch_size must be a positive number, but is 0"),
        ({"group_size": 1}, r"group_size must be at least 2 \(one answer has nothing to be compared with\), but is 1"),
        ({"final_lr": 1.5}, r"final_lr must lie in \[0, 1\], but is 1.5"),
        ({"kl_coef": -0.1}, "kl_coef must be at least 0, but is -0.1"),
        ({"kl_kind": "k4"}, "kl_kind must be one of 'k1', 'k2', 'k3', but is 'k4'"),
        ({"kl_in": "advantage"}, "kl_in must be one of 'loss', 'reward', but is 'advantage'"),
        ({"reduction": "mean"}, "reduction must be one of 'token', 'sequence', 'constant', but is 'mean'"),
        ({"clip": -0.2}, r"clip \(low\) must lie in \[0, 1\], but is -0.2"),
        ({"clip": (0.2, -0.2)}, r"clip \(high\) must be at least 0, but is -0.2"),
    ],
)
def test_settings_out_of_range_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        GRPOConfig(**options)


def test_what_cannot_be_trained_is_named():
    policy = tiny_policy("ab")
    with pytest.raises(ValueError, match=r"dataset must have a column 'prompt', but has \['wanted'\]"):
        train(policy, DATA.remove_columns("prompt"), [share_of_wanted], config())
    with pytest.raises(ValueError, match="dataset is empty"):
        train(policy, DATA.select([]), [share_of_wanted], config())
    with pytest.raises(ValueError, match="functions is empty: without a reward there is nothing to learn"):
        train(policy, DATA, [], config())
    with pytest.raises(ValueError, match="resume=True needs a checkpoint to resume from"):
        train(policy, DATA, [share_of_wanted], config(), resume=True)
    with pytest.raises(ValueError, match="a prompt of 3 tokens and max_new_tokens=14 make 17, but the model has"):
        train(policy, DATA, [share_of_wanted], config(max_new_tokens=14, prompts_per_step=3))
    with pytest.raises(ValueError, match=r"reward judge returned 1 values for 8 completions"):
        train(policy, DATA, [judge], config())


def judge(**_):
    return [1.0]


# ---------------------------------------------------------------- what came after


def test_a_ratio_for_a_whole_answer_by_hand():
    # per token, the log-ratios of "b." are +.4 and −.2: one is clipped at ε = .2 and the other is not; their mean, .1,
    # is not.  L = −1/6 Σᵢ Âᵢ exp(mean_t log ρ), whose gradient is −Âᵢ s ∇ mean_t log π
    made = agent(group_size=3, normalize=False, reduction="sequence", ratio="sequence")
    trajectory = hand_made(made.policy)
    shift = torch.tensor([-0.4, 0.2, -0.1])  # old = new + shift, for an answer's first, second and third token
    nth = (trajectory.mask.cumsum(-1) - 1).clamp(min=0)
    old = (trajectory.log_probs + shift[nth]).masked_fill(~trajectory.mask, 0.0)
    total = 0.0
    for (prompt, own), length, advantage in zip(ROWS, LENGTHS, CENTRED, strict=True):
        log_probs = alone(made.policy.model, prompt + own)[len(prompt) - 1 :]
        s = (log_probs - (log_probs.detach() + shift[:length])).mean().exp()  # 2 tokens: e^.1, 1: e^.4, 3: e^.1
        clipped = s.clamp(0.8, 1.2)
        total = total - torch.minimum(s * advantage, clipped * advantage) / 6
    expected = gradient(made.policy, total)
    got, metrics = learned_gradient(made, replace(trajectory, log_probs=old))
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-12)
    assert metrics["clip_ratio"] == 0  # the only answer whose ratio is past 1.2, ".", has advantage 0


def test_answers_that_were_cut_off_can_be_left_out():
    made = agent(group_size=3, normalize=False, reduction="constant", mask_truncated=True)
    trajectory = hand_made(made.policy)
    total = 0.0
    for (prompt, own), advantage in zip(ROWS, CENTRED, strict=True):
        if own[-1] == 1:  # it ended by itself
            total = total - advantage * alone(made.policy.model, prompt + own)[len(prompt) - 1 :].sum() / (6 * 3)
    expected = gradient(made.policy, total)
    torch.testing.assert_close(learned_gradient(made, trajectory)[0], expected, rtol=0, atol=1e-12)


def test_two_bounds_of_the_clip_by_hand():
    # all ratios are e^.25 = 1.284: past ε_high = .2, within ε_high = .3; what is bad is cut by neither
    shifted = {}
    for name, clip in (("narrow", (0.2, 0.2)), ("higher", (0.2, 0.3))):
        made = agent(group_size=3, normalize=False, reduction="constant", clip=clip)
        shifted[name], metrics = learned_gradient(made, hand_made(made.policy, off=-0.25))
        good = sum(length for length, advantage in zip(LENGTHS, CENTRED, strict=True) if advantage > 0)
        assert metrics["clip_ratio"] == pytest.approx(good / 12 if name == "narrow" else 0)
    assert not torch.allclose(shifted["narrow"], shifted["higher"])


@pytest.mark.parametrize("name", DESCENDANTS)
def test_every_descendant_runs_and_learns(name):
    settings = config(**({"steps": 3} | DESCENDANTS[name]))
    made = GRPO(tiny_policy("ab"), *world_and(settings), seed=0)
    before = weights(made.policy)
    assert len(list(made.steps())) == 3 and not torch.equal(weights(made.policy), before)


def test_dead_groups_are_exchanged_for_living_ones():
    def only_bab_can_be_told_apart(prompts, completions, **_):
        return [float(len(text)) if prompt == "bab" else 1.0 for prompt, text in zip(prompts, completions, strict=True)]

    def lives(resample):
        settings = config(prompts_per_step=2, group_size=4, resample=resample)
        policy = tiny_policy("ab", temperature=3.0)
        world, _ = world_and(settings, only_bab_can_be_told_apart)
        made, found = GRPO(policy, world, settings, seed=3), []
        for _ in range(20):
            trajectory = world.sample(policy, made.generator)
            groups = trajectory.rewards.sum(-1).view(2, 4)
            found.append(int((groups != groups[:, :1]).any(-1).sum()))
            # rows, texts and rewards are still those of one another
            assert len(trajectory.mask) == len(world.prompts) == len(world.completions) == 8
            assert world.completions == completion_texts(trajectory, policy.tokenizer)
            judged = only_bab_can_be_told_apart(world.prompts, world.completions)
            assert trajectory.rewards.sum(-1).tolist() == judged
            assert [world.prompts[i] for i in (0, 4)] == [world.prompts[i] for i in (3, 7)]
        return sum(found)

    assert lives(resample=6) > lives(resample=0) + 8


def test_nothing_is_exchanged_where_every_group_lives():
    def all_different(prompts, completions, **_):
        return list(range(len(prompts)))

    rows = []
    for resample in (0, 3):
        world, _ = world_and(config(resample=resample), all_different)
        rows.append(world.sample(tiny_policy("ab"), torch.Generator().manual_seed(0)))
    assert torch.equal(rows[0].actions, rows[1].actions)
