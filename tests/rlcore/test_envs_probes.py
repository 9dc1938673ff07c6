"""The probes: each one's answer, found by playing it, and the wrong answer that each planted bug gives."""

import warnings

import gymnasium as gym
import pytest
import torch
from gymnasium.utils.env_checker import check_env

from rlcore.envs.probes import PROBES, ProbeEnv
from rlcore.policies import ScriptedPolicy
from rlcore.returns import discounted_returns, td_errors
from rlcore.rollout import collect

GAMMA = 0.9


def best(probe):
    rules = {"Probe4-v0": lambda s: torch.ones(s.shape[:-1]).long(), "Probe5-v0": lambda s: (s[..., 0] > 0).long()}
    return ScriptedPolicy(rules.get(probe, lambda s: torch.zeros(s.shape[:-1]).long()), PROBES[probe].num_actions)


@pytest.mark.parametrize("probe", PROBES)
def test_gymnasium_has_nothing_to_say(probe):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(gym.make(probe).unwrapped)


@pytest.mark.parametrize("probe", [name for name in PROBES if PROBES[name].length])
def test_the_best_policy_earns_the_known_value(probe):
    trajectory = collect(best(probe), gym.make_vec(probe, num_envs=50), seed=0)
    returns = discounted_returns(trajectory.rewards, trajectory.done, GAMMA)
    for seen, return_ in zip(trajectory.states[:, 0, 0].tolist(), returns[:, 0].tolist(), strict=True):
        assert return_ == pytest.approx(PROBES[probe].value(GAMMA, seen))
    assert trajectory.terminated.any(1).all() and not trajectory.truncated.any()


def test_values_by_hand():
    assert [PROBES[f"Probe{i}-v0"].value(GAMMA) for i in range(1, 7)] == pytest.approx([1, 0, 0.9, 1, 1, 10])
    assert PROBES["Probe2-v0"].value(GAMMA, -1.0) == -1.0
    assert PROBES["Probe3-v0"].value(GAMMA, 1.0, t=1) == 1.0


@pytest.mark.parametrize(("forgets", "answer"), [(False, 1 / (1 - GAMMA)), (True, 1 / (1 - 0.9 * GAMMA))])
def test_the_sixth_probe_tells_truncation_from_termination(forgets, answer):
    trajectory = collect(best("Probe6-v0"), gym.make("Probe6-v0"), seed=0)
    assert len(trajectory.rewards) == 10 and trajectory.truncated[-1] and not trajectory.terminated.any()
    ends, value = trajectory.done if forgets else trajectory.terminated, torch.zeros(10)
    for _ in range(2000):  # TD learning of one number: V(s) is the same in every step
        value = value + 0.05 * td_errors(trajectory.rewards, value, value, ends, GAMMA).mean()
    assert value[0].item() == pytest.approx(answer, rel=1e-3)


def test_bad_questions_are_named():
    with pytest.raises(ValueError, match="probe must be one of 'Probe1-v0'"):
        ProbeEnv("Probe7-v0")
    with pytest.raises(ValueError, match="gamma must be below 1"):
        PROBES["Probe6-v0"].value(1.0)
    with pytest.raises(ValueError, match=r"gamma must lie in \[0, 1\]"):
        PROBES["Probe1-v0"].value(1.1)
