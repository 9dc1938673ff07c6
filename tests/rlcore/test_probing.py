"""The ladder: what it asks, that right answers pass and wrong ones do not, and which rung a planted bug falls off."""

from dataclasses import replace

import pytest
import torch

from rlcore.agents.actor_critic import ActorCritic, ActorCriticConfig
from rlcore.envs.probes import PROBES
from rlcore.probing import Report, climb, probe

torch.set_num_threads(1)
SETTINGS = ActorCriticConfig(steps=70, lr=3e-2, gamma=0.8, max_grad_norm=10.0)


def learner(see=lambda t: t, **settings):
    """An actor–critic whose trajectory gets changed on the way."""
    class Agent(ActorCritic):
        def learn(self, trajectory):
            return super().learn(see(trajectory))

    def train(policy, value, world, seed):
        list(Agent(policy, value, world, replace(SETTINGS, **settings), seed).steps())

    return train


def no(t):
    return torch.zeros_like(t.done)


# the rungs that each bug must miss; the first of them is where it shows first
PLANTED = {
    "discount forgotten": (learner(gamma=1.0), {3, 6}),
    "rewards upside down": (learner(lambda t: replace(t, rewards=-t.rewards)), {1, 2, 3, 4, 5, 6}),
    "actions of another world": (learner(lambda t: replace(t, actions=t.actions.roll(1, 0))), {4, 5}),
    "truncation is termination": (learner(lambda t: replace(t, terminated=t.done, truncated=no(t))), {6}),
    "learns from resets": (learner(lambda t: replace(t, mask=torch.ones_like(t.mask))), {2, 3, 5}),
}


@pytest.mark.parametrize("bug", PLANTED)
def test_planted_bugs_fall_off(bug):
    train, missed = PLANTED[bug]
    reports = climb(train, gamma=0.8, seed=0)
    assert {i for i, report in enumerate(reports.values(), 1) if not report.passed} == missed
    assert list(reports) == list(PROBES)


def test_who_learns_nothing_passes_nothing():
    def idle(policy, value, world, seed):
        pass

    assert not any(report.passed for report in climb(idle, gamma=0.8).values())


def test_what_is_asked_by_hand():
    report = probe(lambda *_: None, "Probe3-v0", gamma=0.5)
    assert report.states.tolist() == [[0.0], [1.0]] and report.answers.tolist() == [0.5, 1.0]
    assert report.best.tolist() == [1.0, 1.0] and report.policy_passed and not report.values_passed
    assert "V(0) = " in str(report) and "(truth 0.50)" in str(report) and "discount" in report.suspect

    def told(policy, value, world, seed):  # the policy of rung 5, written by hand: 1 where the observation is 1
        with torch.no_grad():
            for w in policy.parameters():
                w.zero_()
            policy.network[0].weight[0, 0] = 5.0
            policy.network[-1].weight[1, 0] = 10.0

    report = probe(told, "Probe5-v0", gamma=0.5)
    assert report.states.tolist() == [[-1.0], [1.0]] and report.best.tolist() == pytest.approx([1, 1], abs=1e-4)


def test_tolerance_and_nan():
    one = {"probe": "Probe1-v0", "states": torch.zeros(1, 1), "answers": torch.tensor([1.0]), "best": torch.ones(1)}
    assert Report(**one, values=torch.tensor([1.04]), tolerance=0.05).passed
    assert not Report(**one, values=torch.tensor([1.06]), tolerance=0.05).passed
    assert not Report(**one, values=torch.tensor([float("nan")]), tolerance=0.05).passed
    assert not Report(**one | {"best": torch.tensor([0.9])}, values=torch.ones(1), tolerance=0.05).passed
    large = one | {"probe": "Probe6-v0", "answers": torch.tensor([10.0])}
    assert Report(**large, values=torch.tensor([9.6]), tolerance=0.05).passed


def test_bad_questions_are_named():
    with pytest.raises(ValueError, match="id must be one of 'Probe1-v0'"):
        probe(lambda *_: None, "Probe7-v0", gamma=0.8)
    with pytest.raises(ValueError, match="tolerance must be a positive number, but is 0"):
        probe(lambda *_: None, "Probe1-v0", gamma=0.8, tolerance=0)
    with pytest.raises(ValueError, match=r"gamma must lie in \[0, 1\]"):
        probe(lambda *_: None, "Probe1-v0", gamma=1.1)
