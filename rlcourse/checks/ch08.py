"""Checks of chapter 08: the two ways to end, GAE, the loss of actor and critic, and three sealed learners."""

from functools import partial

from rlcourse.exam import call, exercise, expect, require


@exercise("08.1", title="Two ways to end", hints=[
    "Which of the two flags says that there is *nothing* after this step? And after the other one?",
    "Multiply V(sₜ₊₁) by 0 where the step `terminated`, and nowhere else. `truncated` is only there to be left alone.",
    "`rewards + gamma * next_values * ~terminated - values`",
])
def check_surprises(fn):
    """Four steps: one goes on, one terminates, one is truncated, one goes on. γ = .5."""
    import torch

    rewards = torch.tensor([1.0, 2.0, 3.0, 4.0])
    values, next_values = torch.tensor([2.0, 4.0, 1.0, 5.0]), torch.tensor([4.0, 6.0, 8.0, 2.0])
    terminated, truncated = torch.tensor([False, True, False, False]), torch.tensor([False, False, True, False])
    # 1 + .5·4 − 2 = 1;  2 − 4 = −2;  3 + .5·8 − 1 = 6;  4 + .5·2 − 5 = 0
    came = call(fn, rewards, values, next_values, terminated, truncated, 0.5)
    expect(came, [1.0, -2.0, 6.0, 0.0], pure=True, mistakes={
        "truncation-as-termination": ([1.0, -2.0, 2.0, 0.0],
                                      "The third step was truncated: we stopped watching, and the world would have "
                                      "gone on. Only `terminated` takes the future away."),
        "flags-swapped": ([1.0, 1.0, 2.0, 0.0],
                          "You kept the future after the termination and cut it after the truncation. It is the other "
                          "way round."),
        "bootstraps-past-the-end": ([1.0, 1.0, 6.0, 0.0],
                                    "The second step terminated. There is no next state, and what stands in "
                                    "`next_values` there is junk."),
        "end-inverted": ([-1.0, 1.0, 2.0, -1.0],
                         "You bootstrap where the world ended, and nowhere else. It wants `~terminated`."),
        "no-discount": ([3.0, -2.0, 10.0, 1.0], "γ is missing in front of V(sₜ₊₁)."),
        "discounts-the-reward": ([0.5, -3.0, 4.5, -2.0],
                                 "You discounted the reward too. It is paid now; only V(sₜ₊₁) lies a step ahead."),
        "wrong-sign": ([-1.0, 2.0, -6.0, 0.0],
                       "The sign is the wrong way round: what came, *minus* what was expected."),
        "value-not-subtracted": ([3.0, 2.0, 7.0, 5.0],
                                 "That is the target, r + γV(sₜ₊₁). The surprise is what is left after V(sₜ) is taken "
                                 "off."),
        "values-cut-too": ([1.0, 2.0, 6.0, 0.0],
                           "At the termination you took V(sₜ) away as well. The state that was left did have a value, "
                           "and it was an expectation that can be disappointed."),
    })

    def one(x):
        return torch.tensor([x])

    both = call(fn, one(2.0), one(4.0), one(6.0), one(True), one(True), 0.5)
    expect(both, [-2.0], mistakes={
        "truncation-wins": ([1.0], "Both flags are up: the world ended in the last step of its time. Where it ended "
                                   "there is no V(sₜ₊₁), whatever the clock says."),
    })


@exercise("08.2", title="GAE", hints=[
    "Begin at the last column, where Â is δ. What is Â of the column before, in terms of it?",
    "Two stops: `terminated` takes V(sₜ₊₁) out of δ; `done` takes Âₜ₊₁ out of the recursion. At a truncated "
    "step V(sₜ₊₁) stays, and Âₜ₊₁ goes.",
    "`later = deltas[:, t] + gamma * lam * later * ~done[:, t]`, from right to left, with "
    "`deltas = rewards + gamma * next_values * ~terminated - values`",
])
def check_advantage_estimates(fn):
    """Two rows: one terminates and goes on with another episode, one is truncated and does. γ = .5, λ = .8."""
    import torch

    rewards = torch.tensor([[4.0, 8.0, 2.0], [1.0, 3.0, 6.0]])
    values = torch.tensor([[1.0, 2.0, 4.0], [3.0, 1.0, 2.0]])
    next_values = torch.tensor([[2.0, 8.0, 4.0], [2.0, 4.0, 6.0]])
    terminated = torch.tensor([[False, True, False], [False, False, False]])
    done = torch.tensor([[False, True, False], [False, True, False]])
    given = (rewards, values, next_values, terminated, done, 0.5)
    # δ: 4 + 1 − 1 = 4, 8 − 2 = 6, 2 + 2 − 4 = 0;   1 + 1 − 3 = −1, 3 + 2 − 1 = 4, 6 + 3 − 2 = 7;   γλ = .4
    # Â: 4 + .4·6 = 6.4, 6, 0;                       −1 + .4·4 = .6, 4, 7
    expect(call(fn, *given, 0.8), [[6.4, 6.0, 0.0], [0.6, 4.0, 7.0]], pure=True, mistakes={
        "leaks-across-done": ([[6.4, 6.0, 0.0], [1.72, 6.8, 7.0]],
                              "The truncated episode is paid for what happened in the next one. The recursion stops at "
                              "`done`, for whichever reason."),
        "truncation-as-termination": ([[6.4, 6.0, 0.0], [-0.2, 2.0, 7.0]],
                                      "You took V(sₜ₊₁) away wherever an episode is done. In the second row it was "
                                      "only cut off: the bootstrap stops at `terminated`, the recursion at `done`."),
        "bootstraps-past-the-end": ([[8.0, 10.0, 0.0], [0.6, 4.0, 7.0]],
                                    "The first row terminated in its second step, and you added V of a state that does "
                                    "not exist."),
        "cut-one-step-early": ([[4.0, 6.0, 0.0], [-1.0, 6.8, 7.0]],
                               "The recursion is cut one step too early: the step before the end lost its future, and "
                               "the step that is done looks into the next episode. It is `done[:, t]` that counts at "
                               "t."),
        "lambda-forgotten": ([[7.0, 6.0, 0.0], [1.0, 4.0, 7.0]],
                             "λ is missing in the recursion: that is return minus value, the λ = 1 end."),
        "gamma-forgotten": ([[8.8, 6.0, 0.0], [2.2, 4.0, 7.0]],
                            "γ is missing in the recursion: a surprise one step later counts γλ."),
        "one-step-only": ([[4.0, 6.0, 0.0], [-1.0, 4.0, 7.0]],
                          "These are the TD errors: the λ = 0 end. What comes later counts too, by γλ per step."),
        "returns-not-advantages": ([[7.4, 8.0, 4.0], [3.6, 5.0, 9.0]],
                                   "You added V back. That is the critic's target; asked for is the advantage."),
        "walks-forward": ([[4.0, 7.6, 0.0], [-1.0, 3.6, 7.0]],
                          "You walked from left to right, so that each action answers for surprises *before* it."),
        "discounts-the-reward": ([[2.8, 2.0, -1.0], [-0.5, 2.5, 4.0]],
                                 "You discounted the reward inside δ. It is paid now."),
    })
    expect(call(fn, *given, 0.0), [[4.0, 6.0, 0.0], [-1.0, 4.0, 7.0]])
    expect(call(fn, *given, 1.0), [[7.0, 6.0, 0.0], [1.0, 4.0, 7.0]])


@exercise("08.3", title="One loss for two", hints=[
    "Two losses per step, one sum, and one mean over the steps where `mask` is True.",
    "A loss is minimised: what went well has to make it smaller when its log-prob grows. And `.detach()` what is data.",
    "`(-advantages.detach() * log_probs + value_coef * 0.5 * (values - returns.detach()) ** 2)[mask].mean()`",
])
def check_actor_critic_loss(fn):
    """Two steps and one of padding: Â = 2 and −4, log π = −3 and −.5, V = 1 and 3, G = 3 and −1, c = .25."""
    import torch

    def leaf(*numbers):
        return torch.tensor([numbers], requires_grad=True)

    mask = torch.tensor([[True, True, False]])
    given = {"log_probs": leaf(-3.0, -0.5, 50.0), "values": leaf(1.0, 3.0, 70.0), "advantages": leaf(2.0, -4.0, 90.0),
             "returns": leaf(3.0, -1.0, -40.0)}
    came = call(fn, *given.values(), mask, 0.25)
    # actor: (2·3 − 4·.5)/2 = 2;  critic: .25·(½·4 + ½·16)/2 = 1.25
    expect(came, 3.25, mistakes={
        "actor-wrong-sign": (-0.75, "What went well (Â = 2) becomes *less* likely when this loss is minimised. The "
                                    "actor's part is −Â log π."),
        "critic-wrong-sign": (0.75, "The critic is rewarded for being wrong: its squared error is *added*."),
        "one-per-step": (lambda r: getattr(r, "dim", lambda: 0)() > 0, "That is one number per step. Return their mean "
                                                                       "over the mask."),
        "padding-counted": (lambda r: abs(torch.as_tensor(r).item()) > 100,
                            "The padding is in your mean. Where `mask` is False nothing happened."),
        "padded-mean": (6.5 / 3, "You divided by all entries, padding included. Divide by the steps that happened."),
        "sum-not-mean": (6.5, "You added the steps up. Take their mean: more data is no reason for a longer step."),
        "half-forgotten": (4.5, "The ½ is missing in front of the squared error, so the critic counts twice."),
        "value-coef-forgotten": (7.0, "`value_coef` is missing in front of the critic's loss."),
    })
    require(isinstance(came.value, torch.Tensor) and came.value.requires_grad, called=came.text,
            returned=f"{came.value!r}", expected="a tensor that carries a gradient", mistake="no-gradient",
            why="Nothing can be learned from a number without a gradient: do not `.item()` it, and do not detach "
                "`log_probs` or `values`.")
    came.value.backward()
    grads = {name: [0.0] * 3 if x.grad is None else x.grad[0].tolist() for name, x in given.items()}
    wanted = {  # name: (gradient, the mistake where it is another one, what that usually is)
        "advantages": ([0.0] * 3, "advantages-not-detached",
                       "A gradient flows into the advantages. They are a verdict on what happened, not something to be "
                       "improved: detach them."),
        "returns": ([0.0] * 3, "returns-not-detached",
                    "A gradient flows into the critic's target, so the target can come to meet the critic. Targets are "
                    "data: detach them."),
        "log_probs": ([-1.0, 2.0, 0.0], "policy-detached",
                      "The policy does not get its gradient: `log_probs` must not be detached."),
        "values": ([-0.25, 0.5, 0.0], "critic-detached",
                   "The critic does not get its gradient: `values` must not be detached."),
    }
    for name, (gradient, key, why) in wanted.items():
        expect(grads[name], gradient, called=f"the gradient with respect to {name}", mistakes={
            key: (lambda got, gradient=gradient: any(got) != any(gradient), why)})


WORDS = ("sign", "discount", "truncation", "termination", "blind policy", "blind critic", "idle critic")
_WHY = {
    "A": {
        "discount": "Rung 3 is missed by A, but so is rung 1 before it, where there is no second step to discount. "
                    "What else makes a value too large?",
        "truncation": "A passes rung 6, the only one with a truncation.",
        None: "Look at rung 1, where one step pays 1 and it is over. What does A add to that 1, and whose value is it?",
    },
    "B": {
        "sign": "With a wrong sign B would take the worse action on rung 4, too.",
        "blind critic": "A critic that cannot see could not tell the two states of rung 2 apart. B can.",
        None: "B passes rung 4 and fails on rung 5. What does 5 ask of the policy that 4 does not?",
    },
    "C": {
        "termination": "C has the right values in every world that terminates.",
        "discount": "C discounts well: rung 3 has the right value.",
        None: "C passes five rungs. What happens on rung 6, and on no other?",
    },
}
_TRUE = {"A": "termination", "B": "blind policy", "C": "truncation"}


@exercise("08.4", title="Three sealed learners", hints=[
    "Write down, for each learner, the first rung that it misses, and what it says there instead of the answer.",
    "A value that is too *large* on rung 1 has something added to it. If values are right on rungs 1 to 3 and the "
    "policy is wrong later, the bug is in the policy. And only rung 6 is ever truncated.",
    "A adds V after the end. B's policy has an input that it does not use. What is left for C happens on rung 6 only.",
])
def check_diagnosis(fn):
    """One word for each of A, B and C."""
    came = call(fn)
    words = came.value
    require(isinstance(words, list | tuple) and len(words) == 3 and all(word in WORDS for word in words),
            called=came.text, returned=f"{words!r}", expected="a list of three words out of " + ", ".join(WORDS),
            mistake="not-three-words", why="One word of the table for each of A, B and C, in this order.")
    for name, word in zip("ABC", words, strict=True):
        require(word == _TRUE[name], called=came.text, returned=f"{word!r} for {name}", expected="another bug",
                mistake=f"wrong-about-{name.lower()}", why=_WHY[name].get(word, _WHY[name][None]))


class _Sealed(dict):
    """The three learners; their names are all that shows."""

    def __missing__(self, name):
        if name not in _TRUE:
            raise KeyError(f"there is no sealed learner {name!r}: they are 'A', 'B' and 'C'")
        return partial(_train, name)

    def __repr__(self):
        return "three sealed learners: A, B and C"


SEALED = _Sealed()


def _train(name, policy, value, world, seed):
    """An actor–critic with the bug of that name: what `rlcore.probing.climb` takes."""
    from dataclasses import replace

    import torch

    from rlcore.agents.actor_critic import ActorCritic, ActorCriticConfig

    def broken(t):
        if name == "A":
            return replace(t, terminated=torch.zeros_like(t.done), truncated=t.done)
        if name == "C":
            return replace(t, terminated=t.done, truncated=torch.zeros_like(t.done))
        return t

    class Learner(ActorCritic):
        def learn(self, trajectory):
            return super().learn(broken(trajectory))

    if name == "B":
        first = policy.network[0]
        torch.nn.init.zeros_(first.weight)
        first.weight.requires_grad_(False)
        torch.nn.init.normal_(first.bias)  # else the layers behind it would have nothing to work with either
    config = ActorCriticConfig(steps=70, lr=3e-2, gamma=0.8, max_grad_norm=10.0)
    list(Learner(policy, value, world, config, seed).steps())
