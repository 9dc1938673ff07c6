"""The text world: its steps by hand, Gymnasium's checks, and that the batched sampler leaves the same trajectories."""

import itertools
import warnings
from dataclasses import fields

import gymnasium as gym
import numpy as np
import pytest
import torch
from datasets import Dataset
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import SyncVectorEnv
from tiny_lm import alone, texts, tiny_policy, tiny_tokenizer

from rlcore.envs.text import TextEnv
from rlcore.lm import completion_texts, generate
from rlcore.lm.next_token import NextToken
from rlcore.lm.prompts import answer_in_groups
from rlcore.rollout import collect
from rlcore.trajectory import Trajectory

# a is 2, b is 3, EOS is 1
ROWS = [{"prompt": "a", "wanted": "b"}, {"prompt": "bab", "wanted": "a"}, {"prompt": "bb", "wanted": "b"}]


def count_wanted(prompts, completions, wanted):  # no room for anything else
    assert len(prompts) == len(completions) == len(wanted)
    return [text.count(letter) - 0.25 * len(text) for text, letter in zip(completions, wanted, strict=True)]


def world(rows=ROWS, limit=3, positions=8, tokenizer=None, reward=count_wanted, **options):
    return TextEnv(rows, tokenizer or tiny_tokenizer(), reward, max_new_tokens=limit, positions=positions, **options)


# ---------------------------------------------------------------- by hand


def test_a_text_by_hand():
    env = world()
    state, info = env.reset(options={"prompt": "bab"})
    assert state.tolist() == [3, 2, 3, -1, -1, -1, -1, -1] and info == {"prompt": "bab", "completion": ""}
    state, *rest, info = env.step(2)
    assert state.tolist() == [3, 2, 3, 2, -1, -1, -1, -1] and rest == [0.0, False, False]
    assert info["completion"] == "a"
    state, *rest, info = env.step(1)  # one a of the wanted: 1 − 0.25·1
    assert state.tolist() == [3, 2, 3, 2, 1, -1, -1, -1] and rest == [0.75, True, False]
    assert info["completion"] == "a"  # the reward sees no EOS either


@pytest.mark.parametrize(("last", "reward", "terminated"), [(3, 3 - 0.75, False), (1, 2 - 0.5, True)])
def test_the_limit_truncates_unless_the_last_token_is_eos(last, reward, terminated):
    env = world()
    env.reset(options={"prompt": "a"})
    assert [env.step(3)[1:4] for _ in range(2)] == [(0.0, False, False)] * 2
    assert env.step(last)[1:4] == (reward, terminated, not terminated)


def test_a_prompt_may_hold_eos_and_the_text_may_hold_padding():
    env = world([{"prompt": "a<eos>b", "wanted": "a"}])
    env.reset()
    state, reward, terminated, truncated, _ = env.step(0)  # <pad>, which the policy may well say
    assert state.tolist() == [2, 1, 3, 0, -1, -1, -1, -1] and (reward, terminated, truncated) == (0, False, False)


def test_each_state_is_its_own_array():
    env = world()
    first, _ = env.reset(options={"prompt": "a"})
    second, *_ = env.step(2)
    env.step(2)
    assert (first >= 0).sum() == 1 and (second >= 0).sum() == 2


def test_what_is_rendered():
    env = world(render_mode="ansi")
    env.reset(options={"prompt": "a"})
    assert env.render() == "a▌"
    env.step(3)
    assert env.render() == "ab▌"
    env.step(1)
    assert env.render() == "ab<eos>  (reward 0.75)"
    quiet = world()
    quiet.reset()
    assert quiet.render() is None


def test_seeds_choose_prompts_and_options_bring_their_own():
    env = world()
    first = [env.reset(seed=seed)[1]["prompt"] for seed in range(30)]
    assert first == [env.reset(seed=seed)[1]["prompt"] for seed in range(30)] and set(first) == {"a", "bab", "bb"}
    assert len({env.reset()[1]["prompt"] for _ in range(30)}) == 3  # and goes on from there
    env.reset(options={"prompt": "bbb", "wanted": "a"})  # in no row
    assert env.step(2)[1] == 0 and env.step(1)[1] == 0.75
    env.reset(options={"prompt": "a", "wanted": "a"})  # the row wanted b
    assert env.step(1)[1] == 0 and env.row == {"prompt": "a", "wanted": "a"}
    assert env.rows == ROWS  # none of which was changed


def test_a_reward_does_not_see_what_sft_would_imitate():
    env = world([{"prompt": "a", "completion": "b", "wanted": "b"}])
    env.reset()
    assert env.step(1)[1] == 0
    env.reset(options={"prompt": "b", "wanted": "a"})  # nor is it asked for
    assert env.step(1)[1] == 0


# ---------------------------------------------------------------- Gymnasium


@pytest.mark.parametrize("pad_is_eos", [False, True])
def test_gymnasium_has_nothing_to_say(pad_is_eos):
    tokenizer, data = tiny_tokenizer("ab", pad_is_eos), Dataset.from_list(ROWS)
    options = {"dataset": data, "tokenizer": tokenizer, "reward": count_wanted, "max_new_tokens": 3, "positions": 8}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        env = gym.make("Text-v0", render_mode="ansi", **options)
        check_env(env.unwrapped)
        env.reset(seed=0)
        env.step(env.action_space.sample())
    assert env.observation_space.contains(env.reset()[0])


@pytest.mark.parametrize(("problem", "call"), [
    (r"dataset must have at least one row.* 0 rows with \[\]", lambda: world([])),
    (r"each with a 'prompt', but has 1 rows with \['question'\]", lambda: world([{"question": "a"}])),
    ("max_new_tokens must be a whole number of at least 1, but is 0", lambda: world(limit=0)),
    ("max_new_tokens must be a whole number of at least 1, but is 1.5", lambda: world(limit=1.5)),
    ("render_mode must be None or 'ansi', but is 'human'", lambda: world(render_mode="human")),
    ("a prompt of 3 tokens and max_new_tokens=6 make 9, but there are only 8",
     lambda: world(limit=6).reset(options={"prompt": "bab"})),
    (r"options must have a 'prompt', but has \['promt'\]", lambda: world().reset(options={"promt": "a"})),
    (r"options must also have \['wanted'\].*'bbb'", lambda: world().reset(options={"prompt": "bbb"})),
    ("prompt 'axb' cannot be written", lambda: world().reset(options={"prompt": "axb", "wanted": "a"})),
    ("prompt '' has no tokens", lambda: world().reset(options={"prompt": "", "wanted": "a"})),
])  # fmt: skip
def test_what_cannot_be_asked_is_named(problem, call):
    with pytest.raises(ValueError, match=problem):
        call()


@pytest.mark.parametrize("action", [-1, 4, 1.0, "b"])
def test_what_is_no_token_is_named(action):
    env = world()
    env.reset()
    with pytest.raises(ValueError, match=f"action must be a token, an int from 0 to 3, but is {action!r}"):
        env.step(action)


@pytest.mark.parametrize("verdict", [None, [], [1.0, 2.0], 1.0, [None], [float("nan")], ["good"], [float("inf")]])
def test_a_reward_that_is_none_is_named(verdict):
    def broken(**_):
        return verdict

    env = world(reward=broken)
    env.reset()
    env.step(2)
    with pytest.raises(ValueError, match=r"reward broken must return a list of one finite number .* for 'a' returned"):
        env.step(1)


def test_after_the_end_there_is_no_step():
    env = world()
    env.reset()
    env.step(1)
    with pytest.raises(gym.error.ResetNeeded, match="the text is over"):
        env.step(2)
    env.reset()
    env.step(2)


# ---------------------------------------------------------------- the same trajectories as the batched sampler's


class Greedy(NextToken):
    """Takes the likeliest token every time."""

    @torch.no_grad()
    def act(self, states, generator=None):
        distribution = self(states)
        actions = distribution.logits.argmax(-1)
        return actions, distribution.log_prob(actions)


def stepped(trajectory):
    """What `collect` saw in one text world, as `generate` writes it: (prompt, completion), and numbers per token."""
    steps = trajectory.mask.nonzero().flatten()
    assert steps.tolist() == list(range(len(steps)))
    for state, action, after in zip(*(x[steps] for x in (trajectory.states, trajectory.actions,
                                                         trajectory.next_states)), strict=True):
        assert after[after >= 0].tolist() == [*state[state >= 0].tolist(), action.item()]  # text is its own state
    first = trajectory.states[0]
    names = ("rewards", "log_probs", "terminated", "truncated")
    return (first[first >= 0].tolist(), trajectory.actions[steps].tolist()), {n: getattr(trajectory, n)[steps]
                                                                             for n in names}


def same(walked, batch, row, tolerance):
    """The trajectory of one world and a row of the batched sampler are one and the same."""
    text, numbers = stepped(walked)
    assert text == texts(batch)[row]
    own = batch.mask[row]
    for name in ("terminated", "truncated"):
        assert torch.equal(numbers[name], getattr(batch, name)[row][own])
    assert torch.equal(numbers["rewards"], batch.rewards[row][own].float())
    torch.testing.assert_close(numbers["log_probs"], batch.log_probs[row][own], rtol=0, atol=tolerance)


TEMPERATURE = 3.0  # so hot that all lengths occur
DTYPES = pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])


def a_policy(dtype=torch.float64):
    return tiny_policy("ab", layers=2, dtype=dtype, temperature=TEMPERATURE)


@DTYPES
def test_on_the_same_dice_the_sampler_and_the_world_write_the_same_text(dtype, tolerance):
    policy, ends = a_policy(dtype), set()
    for seed in range(10):
        for row in ROWS:
            examples = {name: [entry] for name, entry in row.items()}
            dice = [torch.Generator().manual_seed(seed) for _ in range(2)]
            batch, *_ = answer_in_groups(policy, examples, [count_wanted], 1, 4, dice[0])
            walked = collect(NextToken(policy), world([row], limit=4), generator=dice[1])
            same(walked, batch, 0, tolerance)
            assert torch.equal(dice[0].get_state(), dice[1].get_state())
            ends.add((bool(walked.terminated[-1]), len(walked.rewards)))
    assert {(True, 1), (False, 4)} < ends  # EOS at once, the limit, and something in between


@DTYPES
def test_greedily_a_vector_of_text_worlds_is_a_batch(dtype, tolerance):
    policy = a_policy(dtype)
    prompts = ["".join(letters) for length in (1, 2, 3) for letters in itertools.product("ab", repeat=length)]
    rows = [{"prompt": prompt, "wanted": prompt[-1]} for prompt in prompts]
    batch = generate(policy, prompts, max_new_tokens=4, greedy=True)
    rewards = count_wanted(prompts, completion_texts(batch, policy.tokenizer), [row["wanted"] for row in rows])
    batch = batch.with_final_rewards(torch.tensor(rewards))
    envs = SyncVectorEnv([lambda row=row: world([row], limit=4) for row in rows])
    walked = collect(Greedy(policy), envs)
    names = [field.name for field in fields(walked) if field.name != "resume_states"]
    for row in range(len(rows)):
        same(Trajectory(**{name: getattr(walked, name)[row] for name in names}), batch, row, tolerance)
    assert walked.terminated.any() and walked.truncated.any() and len(set(walked.mask.sum(-1).tolist())) > 1


def test_what_the_world_saw_can_be_learned_from():
    # the gradient of Σ log π over a batch of episodes is that of each text scored alone
    policy = a_policy()
    envs = SyncVectorEnv([lambda row=row: world([row], limit=4) for row in ROWS])
    walked, view = collect(NextToken(policy), envs, generator=torch.Generator().manual_seed(0)), NextToken(policy)
    log_probs, entropy = view.evaluate_actions(walked.states, walked.actions, walked.mask, entropy=True)
    torch.testing.assert_close(log_probs.detach(), walked.log_probs, rtol=0, atol=1e-12)
    expected = 0.0
    for row in range(len(ROWS)):
        prompt = walked.states[row, 0][walked.states[row, 0] >= 0].tolist()
        completion = walked.actions[row][walked.mask[row]].tolist()
        expected = expected + alone(policy.model, prompt + completion, TEMPERATURE)[len(prompt) - 1 :].sum()
    used = list(policy.parameters())
    grads = [torch.autograd.grad(x, used, retain_graph=True) for x in (log_probs.sum(), expected)]
    for got, wanted in zip(*grads, strict=True):
        torch.testing.assert_close(got, wanted, rtol=0, atol=1e-11)
    assert (entropy[walked.mask] > 0).all() and not entropy[~walked.mask].any()


def test_next_token_looks_at_one_text_or_at_many_and_never_at_the_blank():
    policy = a_policy()
    view = NextToken(policy)
    one = torch.tensor([3, 2, -1, -1, -1])
    logits = policy.model(input_ids=torch.tensor([[3, 2]])).logits[0, -1] / TEMPERATURE
    torch.testing.assert_close(view(one).logits, logits.log_softmax(-1), rtol=0, atol=1e-12)
    many = torch.stack([one, torch.tensor([0, 1, 2, 3, 3])]).repeat(2, 1).view(2, 2, 5)
    assert view(many).batch_shape == (2, 2)
    torch.testing.assert_close(view(many).logits[1, 0], view(one).logits, rtol=0, atol=1e-12)
    assert all(mine is its for mine, its in zip(view.parameters(), policy.parameters(), strict=True))
    with pytest.raises(ValueError, match="states has a text without a token"):
        view(torch.full((2, 5), -1))


def test_walking_by_hand_through_the_same_step_as_the_dog():
    env, policy = world(), NextToken(a_policy())
    state, _ = env.reset(seed=0)
    over, return_ = False, 0.0
    while not over:
        action, _ = policy.act(torch.from_numpy(state), torch.Generator().manual_seed(0))
        state, reward, terminated, truncated, info = env.step(action.item())
        over, return_ = terminated or truncated, return_ + reward
    assert return_ == count_wanted([info["prompt"]], [info["completion"]], [env.row["wanted"]])[0]
    assert isinstance(state, np.ndarray)
