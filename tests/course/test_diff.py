"""The diff that lessons show: from the sources, whole, and in colours that the alphabet does not need."""

import pytest

from rlcourse.diff import show_diff


class Before:
    def learn(self, x):
        y = x + 1
        return y < 3


class After:
    def learn(self, x):
        y = x + 2
        print("more")
        return y < 3


def test_what_changed_and_all_that_stays():
    diff = show_diff(Before.learn, After.learn)
    assert diff.lines == [" def learn(self, x):", "-    y = x + 1", "+    y = x + 2", '+    print("more")',
                          "     return y < 3"]
    assert (diff.removed, diff.added) == (1, 2) and repr(diff).splitlines() == diff.lines


def test_html_is_escaped_and_coloured():
    shown = show_diff(Before.learn, After.learn)._repr_html_()
    assert "y &lt; 3" in shown and "&quot;more&quot;" in shown and shown.count("background") == 3


def test_nothing_changed():
    assert show_diff(Before.learn, Before.learn).lines == []


def test_neighbours_on_the_ladder_differ_by_a_small_diff():
    from rlcore.agents.actor_critic import ActorCritic
    from rlcore.agents.ppo import PPO
    from rlcore.agents.reinforce import REINFORCE

    for one, other in ((REINFORCE, ActorCritic), (ActorCritic, PPO)):
        diff = show_diff(one.learn, other.learn)
        assert 0 < diff.added <= 12 and diff.removed <= 12
        assert len(diff.lines) - diff.added - diff.removed >= 7  # and the rest stands line by line as it was


def test_what_has_no_source_is_named():
    with pytest.raises(ValueError, match="a diff needs the source of <built-in function len>, and there is none"):
        show_diff(len, Before.learn)
