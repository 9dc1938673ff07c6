"""Checks of chapter 14: prices, verdicts, a reference that stays, ragged replies, and a leash that adjusts itself."""

from rlcourse.exam import call, exercise, expect, expect_error, require


@exercise("14.1", title="The price of leaving", hints=[
    "Which of the two log-probs is larger where the policy says something that the reference would not? That is what "
    "must cost.",
    "`rewards - beta * (log_probs - ref_log_probs)` at each own token. Then the rest: `torch.where(mask, …, 0.0)` "
    "never touches what it leaves out.",
    "`torch.where(mask, rewards - beta * (log_probs - ref_log_probs), 0.0)`, after a look at the sign of β",
])
def check_priced_rewards(fn):
    """β = .1; log-ratios ½, −1 in the first reply, 0, −½, 2 in the second, 1, ½ in the third."""
    import torch

    mask = torch.tensor([[False, True, True], [True, True, True], [True, True, False]])
    log_probs = torch.tensor([[-9.0, -1.0, -2.0], [-0.5, -1.5, -1.0], [-1.0, -1.0, -7.0]])
    ref = torch.tensor([[-4.0, -1.5, -1.0], [-0.5, -1.0, -3.0], [-2.0, -1.5, -3.0]])
    rewards = torch.tensor([[0.0, 0.0, 3.0], [0.0, 0.0, 1.0], [0.0, 2.0, 0.0]])
    d = (log_probs - ref).masked_fill(~mask, 0.0)  # [B, T]
    beta, own, count = 0.1, mask.float(), mask.sum(-1, keepdim=True)
    expected = torch.tensor([[0.0, -0.05, 3.1], [0.0, 0.05, 0.8], [-0.1, 1.95, 0.0]])
    at_end = torch.tensor([[0.0, 0.0, 1.0], [0.0, 0.0, 1.0], [0.0, 1.0, 0.0]])
    expect(call(fn, rewards, log_probs, ref, mask, beta), expected, pure=True, mistakes={
        "sign": (rewards + beta * d, "The sign is turned round, or the two log-probs are: this *pays* the policy for "
                                     "leaving, and it will go as far as it can."),
        "padding-charged": (rewards - beta * (log_probs - ref),
                            "You charged for the request and the padding, too. The policy did not write them; what "
                            "stands there is noise in the return of every token before it."),
        "mask-inverted": (torch.where(mask, 0.0, rewards - beta * (log_probs - ref)),
                          "You kept what the policy did not write. `mask` is True at its own tokens."),
        "k3": (rewards - beta * ((-d).exp() + d - 1) * own,
               "You charged k3. As a *measurement* it is fine. As a reward its pull towards the reference is 0 to "
               "first order: near home nothing would hold the policy. In a reward it must be k1, the plain log-ratio."),
        "k2": (rewards - beta * d.square() / 2 * own,
               "You charged half the square, k2. Then a token that the policy has made rarer costs as well, and the "
               "expected price is no KL. In a reward it must be the plain log-ratio."),
        "absolute": (rewards - beta * d.abs(), "You charged the size of the log-ratio. A token that the policy says "
                                               "*less* readily than the reference earns a refund; without it the mean "
                                               "of the prices is no KL."),
        "refund-refused": (rewards - beta * d.clamp(min=0),
                           "You cut the price off at 0. Some tokens must get a refund, or the prices no longer average "
                           "to the KL: a policy that *is* the reference up to noise would pay for noise."),
        "whole-kl-at-every-token": ((rewards - beta * d.sum(-1, keepdim=True)) * own,
                                    "You charged every token for the whole reply, so a reply of N tokens pays N times "
                                    "over. Each token pays for itself; their sum is the reply's."),
        "lump-sum": (rewards - beta * d.sum(-1, keepdim=True) * at_end,
                     "You charged the whole reply's price at its last token. The total is right, but nobody can tell "
                     "any more *which* token was dear, and that was the point of having it per token."),
        "mean-per-reply": (rewards - beta * d / count, "You divided the price by the length. Then long replies leave "
                                                       "home at a discount, and the total is not β · KL."),
        "beta-forgotten": (rewards - d, "β is missing."),
        "reward-forgotten": (-beta * d, "The judge's reward is missing: this policy would learn to stay at home."),
        "probabilities": (rewards - beta * (log_probs.exp() - ref.exp()) * own,
                          "You took the difference of probabilities. It is the difference of the *logarithms* whose "
                          "mean is the KL: a word from 0.001 to 0.1 is a hundred times as likely."),
    })
    nan = float("nan")
    junk = call(fn, torch.zeros(1, 3), torch.tensor([[nan, -1.0, -1e4]]), torch.tensor([[0.0, -2.0, nan]]),
                torch.tensor([[False, True, False]]), 0.5)
    expect(junk, [[0.0, -0.5, 0.0]], mistakes={
        "mask-multiplied": (lambda r: torch.as_tensor(r).isnan().any().item(),
                            "You multiplied by the mask, and 0 · NaN is NaN. `torch.where` or `masked_fill` never "
                            "touch what they leave out."),
    })
    expect(call(fn, rewards, log_probs, ref, mask, 0.0), rewards)  # no price, no change
    expect(call(fn, torch.full((1, 3), 4.0), torch.zeros(1, 3), torch.zeros(1, 3), torch.tensor([[False, True, False]]),
                0.1), [[0.0, 4.0, 0.0]], mistakes={
        "rewards-outside-kept": ([[4.0, 4.0, 4.0]], "The price is right, but the rewards outside the mask are still "
                                                    "there. Asked is 0 everywhere else."),
    })
    expect_error(call(fn, rewards, log_probs, ref, mask, -0.1), ValueError, says="beta must",
                 why="A negative β pays for leaving. It is nearly always a sign that was flipped somewhere else.")


@exercise("14.2", title="Where the verdict goes", hints=[
    "Number the columns 0 … T−1. Which number is the largest under a True of each row?",
    "`last = torch.where(mask, torch.arange(T), -1).max(-1).values` are the places, `[B]`. Compare the numbers of the "
    "columns with them.",
    "`torch.where(torch.arange(T) == last[:, None], scores[:, None], 0.0)`",
])
def check_pay_at_the_end(fn):
    """Four rows: a request of two, of one, of three and nothing behind it, and a dialogue with two turns."""
    import torch

    mask = torch.tensor([[0, 0, 1, 1, 1, 0], [0, 1, 1, 0, 0, 0], [0, 0, 0, 1, 1, 1], [1, 0, 0, 1, 0, 0]]).bool()
    scores = torch.tensor([1.5, -2.0, 0.5, 3.0])
    own = mask.float()

    def paid_at(columns):
        """The scores of the four rows at these columns."""
        return torch.zeros(4, 6).scatter(1, torch.tensor(columns)[:, None], scores[:, None])

    expect(call(fn, scores, mask), paid_at([4, 2, 5, 3]), pure=True, mistakes={
        "last-column": (paid_at([5, 5, 5, 5]),
                        "You paid in the last *column*. For all but the longest row that is padding, which the mask "
                        "leaves out of the loss: the policy would never hear its verdict."),
        "every-token": (scores[:, None] * own,
                        "You paid the score at every token, so a reply of N tokens earns it N times: long replies "
                        "would be worth more for being long."),
        "everywhere": (scores[:, None].expand(4, 6), "You paid the score in every column, padding and request "
                                                     "included."),
        "spread": (scores[:, None] * own / mask.sum(-1, keepdim=True),
                   "You spread the score over the reply. The total is right, but the verdict is about the whole, and "
                   "exists only when the reply is complete; who deserves it is GAE's business."),
        "first-token": (paid_at([2, 1, 3, 0]), "You paid at the first own token. What comes after it would earn "
                                               "nothing, since a token's return counts only what is still to come."),
        "first-turn": (paid_at([4, 2, 5, 0]), "You stopped at the first gap. In a dialogue the policy speaks again "
                                              "after somebody else: the verdict comes at its *last* own token."),
        "one-piece": (paid_at([4, 2, 5, 1]),
                      "You took the first own token and counted on from there. In a dialogue there is a gap: look for "
                      "the *last* own column."),
        "every-turn": (paid_at([4, 2, 5, 3]) + paid_at([4, 2, 5, 0]) * torch.tensor([[0.0], [0.0], [0.0], [1.0]]),
                       "You paid at the end of every turn, so the dialogue earns its score twice. It is paid once, at "
                       "its very last own token."),
        "behind-the-end": (lambda r: torch.as_tensor(r)[0, 5] == 1.5 and torch.as_tensor(r)[1, 3] == -2.0,
                           "You paid one token behind the end, on padding. An off-by-one at the end of the reply."),
        "before-the-end": (paid_at([3, 1, 4, 2]), "You paid one token early. The last action is `<eos>` (or the last "
                                                  "word before the limit), and it too was a choice."),
        "request-forgotten": (paid_at([2, 1, 2, 1]),
                              "You counted the own tokens and took that for a place. Their row begins with a request: "
                              "count columns, not tokens."),
    })
    expect(call(fn, torch.tensor([0.25]), torch.tensor([[False, True]])), [[0.0, 0.25]])


@exercise("14.3", title="A reference that stays", hints=[
    "If you write `reference = policy`, how many models are there?",
    "`copy.copy` copies the outermost object and shares all the weights inside it. `copy.deepcopy` copies them too.",
    "`copy.deepcopy(policy).requires_grad_(False)`: the copy is frozen, not the policy",
])
def check_make_reference(fn):
    """A tiny policy of two letters; it is moved, and the reference must not be."""
    import torch

    from rlcore.lm import character_tokenizer, small_gpt2
    from rlcore.policies import LanguagePolicy

    tokenizer = character_tokenizer("ab")
    policy = LanguagePolicy(small_gpt2(tokenizer, layers=1, width=8, heads=2, positions=8, initializer_range=0.5),
                            tokenizer, temperature=0.7)
    was = {name: (weight.data_ptr(), weight.detach().clone()) for name, weight in policy.named_parameters()}
    came = call(fn, policy)
    came.text = f"{getattr(fn, '__name__', 'your function')}(policy)"
    reference, called = came.value, came.text
    require(isinstance(reference, LanguagePolicy), called=called, returned=type(reference).__name__,
            expected="a LanguagePolicy", mistake="not-a-policy",
            why="A reference is asked the same questions as the policy: it has to be a `LanguagePolicy`, too.")
    require(reference is not policy, called=called, returned="the policy itself", expected="another object",
            mistake="the-policy-itself",
            why="This is a second name for the same model. It moves along, so the KL would be 0 for ever.")
    mine = {weight.data_ptr() for weight in policy.parameters()}
    shared = [name for name, weight in reference.named_parameters() if weight.data_ptr() in mine]
    require(not shared, called=called, returned=f"a policy that shares {len(shared)} of its weights ({shared[:1]}, …)",
            expected="no weight in common", mistake="shares-weights",
            why="A new object around the same weights: when the policy learns, the reference learns with it, the KL is "
                "0 and nobody pays. `copy.copy` and `LanguagePolicy(policy.model, …)` do that.")
    swapped = [name for name, weight in policy.named_parameters()
               if weight.data_ptr() != was[name][0] or not torch.equal(weight, was[name][1])]
    require(not swapped, called=called, returned=f"a policy with {len(swapped)} other weights ({swapped[:1]}, …)",
            expected="a policy that was not touched", mistake="policy-changed",
            why="The *policy* got new weights. An optimiser that was made before still holds the old ones, and would "
                "train nobody. Change the copy, and leave the policy alone.")
    frozen = [name for name, weight in policy.named_parameters() if not weight.requires_grad]
    require(not frozen, called=called, returned=f"a policy with {len(frozen)} frozen weights",
            expected="a policy that can learn as before", mistake="policy-frozen",
            why="You froze the policy: `requires_grad_(False)` changes the model that it is called on. Copy first.")
    learning = [name for name, weight in reference.named_parameters() if weight.requires_grad]
    require(not learning, called=called, returned=f"a reference with {len(learning)} weights that want a gradient",
            expected="none", mistake="not-frozen",
            why="An optimiser that is handed these weights would train the reference. `requires_grad_(False)` says "
                "that they do not learn.")
    require(reference.temperature == policy.temperature, called=f"{called}.temperature", returned=reference.temperature,
            expected=policy.temperature, mistake="temperature-lost",
            why="The log-probs of two policies at different temperatures cannot be compared: the KL would not begin "
                "at 0.")
    texts = torch.tensor([[2, 3, 2, 2], [3, 3, 2, 3]])
    with torch.no_grad():
        before, theirs = policy(texts).logits, reference(texts).logits
    require(torch.allclose(before, theirs, atol=1e-5), called="the log-probs of both before any training",
            returned="different", expected="the same", mistake="another-model",
            why="This reference never was the policy: its weights are new ones. Copy the weights, too.")
    with torch.no_grad():
        for weight in policy.parameters():
            weight.add_(0.5)
        after = reference(texts).logits
    require(torch.equal(after, theirs), called="the reference, after the policy has learned", returned="changed",
            expected="unchanged", mistake="shares-weights", why="It moves along with the policy.")


@exercise("14.4", title="Back through ragged replies", hints=[
    "Set the values outside the mask to 0 first. Then V of what comes after a row's last own token *is* 0, whatever "
    "stood there.",
    "Go backwards over the columns and carry two things along, `[B]` each: Â of the column behind, and its V. Outside "
    "the mask Â is 0, so nothing leaks into the reply from behind.",
    "`delta = rewards[:, t] + V_after - values[:, t]`; `after = torch.where(mask[:, t], delta + lam * after, 0.0)`; "
    "`V_after = values[:, t]`",
])
def check_reply_advantages(fn):
    """λ = ½. Three tokens with padding behind them, and three that run into the limit."""
    import torch

    mask = torch.tensor([[0, 1, 1, 1, 0], [0, 0, 1, 1, 1]]).bool()
    rewards = torch.tensor([[0.0, -0.5, 0.0, 2.0, 0.0], [0.0, 0.0, 0.0, 1.0, -1.0]])
    values = torch.tensor([[7.0, 1.0, 0.5, 1.5, 9.0], [6.0, 8.0, 2.0, 0.0, 1.0]])

    def answer(lam=0.5, follow=None, heard=mask, before=values):
        """The recursion; `follow` is V afterwards, `before` V before, `heard` where Â may come from."""
        follow = values_after(values, mask) if follow is None else follow
        out, after = torch.zeros_like(rewards), torch.zeros(2)
        for t in reversed(range(5)):
            after = torch.where(heard[:, t], rewards[:, t] + follow[:, t] - before[:, t] + lam * after, 0.0)
            out[:, t] = after
        return torch.where(mask, out, 0.0)

    everywhere = torch.ones_like(mask)
    raw = torch.cat([values[:, 1:], torch.zeros(2, 1)], 1)  # V of the next column, padding and all
    rolled = values.roll(-1, 1)
    shifted = torch.cat([torch.zeros(2, 1), values[:, :-1]], 1)
    expected = torch.tensor([[0.0, -0.375, 1.25, 0.5, 0.0], [0.0, 0.0, -1.5, 1.0, -2.0]])
    inside = expected[mask]
    expect(call(fn, rewards, values, mask, 0.5), expected, pure=True, mistakes={
        "padding-expected": (answer(follow=raw), "At the end of the first reply you expected what the critic says over "
                                                 "the *padding*. Nothing comes after the verdict: V is 0 there."),
        "leaks-from-padding": (answer(follow=raw, heard=everywhere),
                               "The recursion began in the padding, and what stood there leaked back into the reply. "
                               "Â of what comes after the last own token is 0."),
        "wrapped-round": (answer(follow=rolled),
                          "`roll` wraps round: at the last column you took V of the *first* one. And behind a shorter "
                          "reply it finds padding. Both are 0."),
        "cut-off-has-a-future": (answer(follow=torch.where(torch.arange(5) == 4, values, values_after(values, mask))),
                                 "At the cut-off reply's last token you bootstrapped, as one does for a cart at the "
                                 "time limit. Here the verdict on the cut text *is* the last reward: V is 0."),
        "outside-not-zero": (lambda r: torch.allclose(torch.as_tensor(r)[mask], inside) and not torch.equal(
            torch.as_tensor(r)[~mask], torch.zeros(4)),
                             "Inside the replies all is right, but something stands outside the mask. Whitening and "
                             "sums would count it: put 0 there."),
        "one-step-only": (answer(lam=0.0), "λ is missing (or 0): this is the TD error alone, so a word hears nothing "
                                           "of the verdict but through the critic."),
        "lam-is-1": (answer(lam=1.0), "λ is missing from the recursion: this is λ = 1, what still came minus what "
                                      "was expected."),
        "returns": (answer() + values.masked_fill(~mask, 0.0), "That is the *return*, Â + V, which the critic learns "
                                                               "from. Asked is Â."),
        "values-shifted": (answer(follow=values, before=shifted),
                           "The values are off by one: `values[t]` is what was expected *before* token t. You used it "
                           "as what is expected after it."),
        "no-critic": (answer(follow=torch.zeros(2, 5), before=torch.zeros(2, 5)),
                      "The values are not used at all. Then λ is nothing but a discount."),
        "value-not-subtracted": (answer(before=torch.zeros(2, 5)), "V of the present is not subtracted: what is "
                                                                   "expected anyway is no advantage."),
        "forwards": (forwards(rewards, values, mask), "You went forwards in time. Credit flows *back*: Â at t needs Â "
                                                      "at t + 1."),
    })
    nan = float("nan")
    junk = call(fn, torch.tensor([[0.0, 1.0, 0.0]]), torch.tensor([[nan, 0.25, nan]]),
                torch.tensor([[False, True, False]]), 0.9)
    expect(junk, [[0.0, 0.75, 0.0]], mistakes={
        "mask-multiplied": (lambda r: torch.as_tensor(r).isnan().any().item(),
                            "You multiplied by the mask, and 0 · NaN is NaN. Use `masked_fill` or `torch.where`."),
    })


def values_after(values, mask):
    """V of the next own token, 0 where there is none."""
    import torch

    clean = values.masked_fill(~mask, 0.0)
    return torch.cat([clean[:, 1:], torch.zeros(len(values), 1)], 1)


def forwards(rewards, values, mask, lam=0.5):
    """The recursion in the wrong direction."""
    import torch

    delta = torch.where(mask, rewards + values_after(values, mask) - values, 0.0)
    out, before = torch.zeros_like(rewards), torch.zeros(len(rewards))
    for t in range(rewards.shape[1]):
        before = torch.where(mask[:, t], delta[:, t] + lam * before, 0.0)
        out[:, t] = before
    return out


@exercise("14.5", title="A leash that adjusts itself", hints=[
    "The KL is above the target. Must leaving become dearer or cheaper?",
    "First the relative error, (KL − target) / target; then clip it; then multiply β by 1 + gain · e.",
    "`beta * (1 + gain * min(max((kl - target) / target, -0.2), 0.2))`",
])
def check_next_beta(fn):
    """Target 10, gain ¼: at 11 nats β grows by 2.5 %, at 30 by 5 %, and at 1 it falls by 5 %."""
    expect(call(fn, 0.1, 11.0, 10.0, gain=0.25), 0.1025, mistakes={
        "sign": (0.0975, "The policy is too far away, and you made leaving *cheaper*. It would run."),
        "not-relative": (0.105, "The error is relative, (KL − target) / target. In plain nats one would always be far "
                                "off at a target of 100, and hardly ever at one of 0.1."),
        "divided-by-kl": (0.1 * (1 + 0.25 / 11), "You divided by the KL that was measured. It is the *target* that the "
                                                 "error is a share of: a KL of 0 would be a division by 0."),
        "added": (0.125, "You added gain · e to β. β is *multiplied*: nobody knows its scale beforehand, and a factor "
                         "can neither pass 0 nor be far too small."),
        "factor-only": (1.025, "That is the factor. The new β is the old one times that."),
        "gain-forgotten": (0.11, "The gain is missing: e itself became the change."),
        "change-only": (0.0025, "That is the change in β, not the new β."),
    })
    expect(call(fn, 0.1, 30.0, 10.0, gain=0.25), 0.105, mistakes={
        "not-clipped": (0.15, "The error is not clipped. One odd batch, and β is half as large again: keep e between "
                              "−0.2 and 0.2."),
        "clipped-after-gain": (0.12, "You clipped gain · e instead of e: the gain then no longer says how fast β may "
                                     "change."),
    })
    expect(call(fn, 0.1, 1.0, 10.0, gain=0.25), 0.095, mistakes={
        "clipped-above-only": (0.0775, "You clipped above and not below. One batch close to home, and the leash is "
                                       "far too long."),
        "never-looser": (0.1, "β never becomes smaller again. Where there is rope to spare, it is given back."),
        "absolute": (0.105, "You took the size of the error. Below the target β must *fall*."),
    })
    expect(call(fn, 0.2, 4.4, 4.0), 0.202, mistakes={
        "default-gain": (lambda r: abs(r - 0.202) > 1e-6, "Without a gain it is 0.1, as the signature says."),
    })
    expect(call(fn, 0.1, -1.0, 10.0, gain=0.25), 0.095)  # an estimated KL may be below 0
    for target in (0.0, -1.0):
        expect_error(call(fn, 0.1, 1.0, target), ValueError, says="target must",
                     why="At a target of 0 the relative error is a division by 0; below 0 there is no KL.")
