"""Checks of chapter 16: a group's advantages, a reward that counts, live groups, and KL terms with their slopes."""

from rlcourse.exam import call, exercise, expect, expect_error, require


@exercise("16.1", title="The advantages of a group", hints=[
    "The answers to one prompt lie next to each other. Which `view` makes a row of them?",
    "`groups = rewards.view(-1, group_size)` is `[P, G]`; mean and std go along the last axis, with `keepdim=True`. "
    "What is (0 − 0)/(0 + 1e-4)? And what if the mean of equal numbers is off by a bit of rounding?",
    "`groups = rewards.view(-1, group_size)`; `(groups - groups.mean(-1, keepdim=True)) / (groups.std(-1, "
    "keepdim=True) + 1e-4)`, 0 where all of a row are equal (`torch.where`), and `.flatten()` at the end",
])
def check_advantages(fn):
    """Two groups of four: std √(1/3) · … by hand, then dead groups, then what is refused."""
    import torch

    rewards = torch.tensor([1.0, 1.0, 0.0, 0.0, 6.0, 2.0, 2.0, 2.0])
    # [1, 1, 0, 0]: mean .5, variance 4 · .25 / 3 = 1/3.   [6, 2, 2, 2]: mean 3, variance (9 + 1 + 1 + 1) / 3 = 4
    groups = rewards.view(2, 4)
    centred = groups - groups.mean(-1, keepdim=True)
    std = groups.std(-1, keepdim=True)
    columns = rewards.view(4, 2)  # P1 P2 P1 P2 …
    mixed = (columns - columns.mean(0)) / columns.std(0)

    def about(wrong):  # … with the 1e-4 or without: that is another mistake
        return lambda r: torch.allclose(torch.as_tensor(r, dtype=torch.float32), wrong.flatten(), rtol=1e-3)

    expect(call(fn, rewards, 4), (centred / (std + 1e-4)).flatten(), pure=True, rtol=2e-5, mistakes={
        "not-flattened": (lambda r: torch.as_tensor(r).shape == (2, 4), "Those are rows of groups, `[P, G]`. The "
                          "answers came as `[P·G]` and go back so: `.flatten()`."),
        "eps-forgotten": ((centred / std).flatten(), "Nearly: the 1e-4 is missing, which is added to the std."),
        "batch-mean": (about((groups - rewards.mean()) / std),
                       "You subtracted the mean of the whole batch. An answer to a hard question would be punished for "
                       "the question: the mean is the group's own."),
        "batch-mean-and-std": (about((rewards - rewards.mean()) / rewards.std()),
                               "You took mean and std over the whole batch: that is whitening, as PPO does it. Here "
                               "each answer is compared with the others to the *same* prompt."),
        "batch-std": (about(centred / rewards.std()),
                      "The mean is the group's, the std the whole batch's. Both belong to the group."),
        "population-std": (about(centred / groups.std(-1, keepdim=True, correction=0)),
                           "You divided by G inside the standard deviation (NumPy's default, ddof=0). The sample's, "
                           "torch's default, divides by G − 1."),
        "interleaved": (about(mixed), "You cut the batch as if it lay P1 P2 P1 P2 …, so each group mixes the prompts. "
                               "The answers to one prompt stand next to each other: `view(-1, group_size)`, groups "
                               "along the *last* axis."),
        "size-is-the-number-of-groups": (
            about((columns - columns.mean(-1, keepdim=True)) / (columns.std(-1, keepdim=True) + 1e-4)),
            "You made `group_size` groups. It says how many answers are *in* a group: `view(-1, group_size)`."),
        "not-divided": (centred.flatten(), "You did not divide by the std. That is Dr. GRPO's advantage (chapter 17), "
                                           "and, up to G/(G − 1), RLOO's."),
        "variance": (about(centred / std**2), "You divided by the variance. The standard deviation is "
                                                            "its root."),
        "not-centred": (about(groups / std), "The group's mean was not subtracted."),
        "sign-flipped": (about(-centred / std), "The sign is turned round: it is the reward minus the "
                                                              "mean. This would make good answers rare."),
        "leave-one-out": ((centred * 4 / 3).flatten(), "That is RLOO (chapter 12): the mean of the *others*, and "
                                                       "nothing divided."),
    })
    dead = call(fn, torch.tensor([1.0, 1.0, 1.0, 0.0, 0.0, 1.0]), 3)
    expect(dead, torch.tensor([0.0, 0.0, 0.0, -0.57725, -0.57725, 1.1545]), rtol=1e-4, mistakes={
        "dead-nan": (lambda r: torch.as_tensor(r)[:3].isnan().all().item(),
                     "A group of equal rewards has std 0, and 0/0 is NaN: after one step all weights are NaN. Add 1e-4 "
                     "to the std, and return zeros there."),
        "dead-dropped": (lambda r: len(r) == 3, "You left the dead group out. Its answers still need an advantage, 0, "
                                                "or the rows no longer fit the batch."),
    })
    cents = call(fn, torch.tensor([1e-3, 0.0, 0.0, 0.0]), 4)  # mean 2.5e-4, std 5e-4
    expect(cents, torch.tensor([7.5, -2.5, -2.5, -2.5]) / 6, rtol=1e-4, mistakes={
        "dead-by-threshold": (torch.zeros(4), "These four differ, by little: their group is alive. Only *equal* "
                                              "rewards get zeros."),
    })
    dusty = call(fn, torch.full((7,), 0.1), 7)
    expect(dusty, torch.zeros(7), atol=0.0, mistakes={
        "dust": (lambda r: torch.as_tensor(r).abs().max().item() < 1e-3,
                 "The mean of seven 0.1s is not exactly 0.1 in float32, and 1e-4 does not hide it. Where all rewards "
                 "of a group are equal (`groups == groups[:, :1]`), return exactly 0."),
    })
    expect_error(call(fn, torch.tensor([1.0, 0.0]), 1), ValueError, says="group",
                 why="An answer alone has nothing to be compared with: its std is 0/0.")
    expect_error(call(fn, torch.ones(6), 4), ValueError, says="group",
                 why="Six answers do not make groups of four. Left alone, some group would hold two prompts.")


@exercise("16.2", title="A reward that counts", hints=[
    "`len(text)` counts letters. What gives you a list of words?",
    "`text.split()` without an argument takes any number of blanks, and of an empty text it makes an empty list. Each "
    "completion has a wish of its own: `zip(completions, wish)`.",
    "`[-float(abs(len(text.split()) - words)) for text, words in zip(completions, wish)]`",
])
def check_length_reward(fn):
    """Five completions with wishes of their own: one is empty, one has two blanks, one says a word twice."""
    prompts = ["which color ?"] * 5
    completions = ["the apple is red .", "red", "", "i  do not know .", "of course , the apple , it is red ."]
    wish = [4, 3, 2, 8, 13]
    counts = [5, 1, 0, 5, 10]
    right = [-float(abs(n - w)) for n, w in zip(counts, wish, strict=True)]

    def of(numbers, wishes=wish):
        return [-float(abs(n - w)) for n, w in zip(numbers, wishes, strict=True)]

    came = call(fn, prompts, completions, wish=wish, group=["known"] * 5)
    expect(came, right, pure=True, mistakes={
        "columns-refused": (TypeError, "The data set has columns that you do not know of, and each arrives under its "
                                       "name. End the signature with `**columns`."),
        "letters": (of([len(text) for text in completions]), "You counted characters: `len(text)`. Split the text into "
                                                             "words first."),
        "blanks": (of([len(text.split(" ")) for text in completions]),
                   "`split(\" \")` makes an empty word between two blanks, and one of an empty text. `split()` does "
                   "not."),
        "blanks-counted": (of([text.count(" ") for text in completions]), "You counted the blanks. There is one word "
                                                                         "more than blanks between them."),
        "prompt-counted": (of([len(p.split()) + n for p, n in zip(prompts, counts, strict=True)]),
                           "You counted the prompt's words as well. The policy did not write them."),
        "first-wish": (of(counts, [wish[0]] * 5), "You held everybody to the first wish. `wish` has one entry per "
                                                  "completion."),
        "sign-flipped": ([-r for r in right], "The sign is turned round: being far off would be *paid*. A reward is "
                                              "better when it is higher."),
        "only-too-long": ([-float(max(0, n - w)) for n, w in zip(counts, wish, strict=True)],
                          "Replies that are too short cost nothing. A policy that is paid so stops talking."),
        "only-too-short": ([-float(max(0, w - n)) for n, w in zip(counts, wish, strict=True)],
                           "Replies that are too long cost nothing. A policy that is paid so never stops."),
        "unique": (of([len(set(text.split())) for text in completions]),
                   "You counted different words. A word that comes twice counts twice."),
        "squared": ([-float((n - w) ** 2) for n, w in zip(counts, wish, strict=True)],
                    "You squared the distance. It is the distance in words."),
        "one-number": (lambda r: isinstance(r, int | float),
                       "You returned one number for the whole batch. Then every answer of a group is worth the same, "
                       "all groups are dead, and nothing is learned. One value per completion."),
        "the-first-only": (lambda r: len(r) == 1, "There is one value. One per completion is wanted."),
    })
    require(all(isinstance(value, float) for value in came.value), called=came.text, returned=came.value,
            expected="a list of floats", mistake="not-floats",
            why="A reward function returns a plain list of floats: trainers send it through JSON and across processes.")


@exercise("16.3", title="How many come to life?", hints=[
    "For one question: when is a group dead? When is it alive? And how many groups are there?",
    "A group is alive with probability 1 − pᴳ − (1 − p)ᴳ. Take the mean of *that* over the questions, then multiply by "
    "the number of whole groups, `answers // group_size`.",
    "`answers // group_size * sum(1 - p**group_size - (1 - p)**group_size for p in chances) / len(chances)`",
])
def check_live_groups(fn):
    """Chances .5 and .1, groups of 3, 20 answers: six groups, alive with probability .75 and .27."""
    chances, size, answers = [0.5, 0.1], 3, 20
    # .5: 1 − .125 − .125 = .75.   .1: 1 − .001 − .729 = .27.   mean .51, six whole groups: 3.06
    expect(call(fn, chances, size, answers), 3.06, pure=True, mistakes={
        "dead-ones": (6 * 0.49, "You counted the *dead* groups. Alive is one minus that."),
        "answers-not-groups": (20 * 0.51, "You multiplied by the number of answers. Three of them make one group."),
        "part-of-a-group": (20 / 3 * 0.51, "20 answers make six whole groups of three; the two that are left over are "
                                           "not asked. Use `//`."),
        "share-only": (0.51, "That is the *share* of groups that are alive. How many groups are there?"),
        "mean-chance-first": (6 * (1 - 0.3**3 - 0.7**3), "You averaged the chances first. A question with .5 and one "
                              "with .1 are not two with .3: average what comes out, not what goes in."),
        "only-some-right": (6 * (1 - (0.5**3 + 0.9**3) / 2), "You left out the groups in which all answers are right. "
                                                             "Those are dead as well."),
        "only-some-wrong": (6 * (1 - (0.5**3 + 0.1**3) / 2), "You left out the groups in which all answers are wrong. "
                                                             "Those are dead as well."),
        "sum-over-questions": (6 * 1.02, "You added over the questions of the data set. A step draws six of them: take "
                                         "the mean."),
        "a-pair-differs": (6 * (2 * 0.25 + 2 * 0.09) / 2, "2p(1 − p) is the chance that *two* answers differ. With "
                                                          "three there are more ways."),
        "each-question-once": (2 * 0.51, "You took one group per question of the data set. How many groups a step has "
                                         "is up to `answers`."),
    })
    expect(call(fn, [0.0, 1.0], 8, 128), 0.0)  # hopeless and mastered: all dead
    # .5: 1 − .25 − .25 = .5, twice.   0: 0.   mean 1/3, 64 groups
    expect(call(fn, [0.5, 0.5, 0.0], 2, 128), 64 / 3, mistakes={
        "median": (32.0, "That is the median over the questions. An expectation is the *mean*."),
    })
    expect(call(fn, [0.5], 4, 3), 0.0)  # not even one group


@exercise("16.4", title="What the loss really pulls at", hints=[
    "There are only V actions, so an average over drawn ones is a sum over all of them, each times how often it is "
    "drawn.",
    "`log_pi = theta.log_softmax(-1)`, with `theta` requiring a gradient. The weights are `log_pi.exp()`, and they are "
    "data: `.detach()` them. Then `torch.autograd.grad`.",
    "`torch.autograd.grad((log_pi.detach().exp() * k).sum(), theta)[0]` with k made of `d = log_ref - log_pi`",
])
def check_expected_pull(fn):
    """Three actions: k1 gives 0, k2 the slope of KL(π ‖ ref), k3 that of KL(ref ‖ π)."""
    import torch

    theta = torch.tensor([0.2, -0.5, 1.0])
    log_ref = torch.tensor([-0.3, 0.8, 0.1]).log_softmax(-1)
    log_pi = theta.log_softmax(-1)
    pi, ref = log_pi.exp(), log_ref.exp()
    u = log_pi - log_ref
    reverse = pi * (u - (pi * u).sum())  # ∇KL(π ‖ ref)
    forward = pi - ref  # ∇KL(ref ‖ π)
    zero = torch.zeros(3)
    plain = (pi * u**2 / 2).sum()
    through_dice_k2 = pi * (u**2 / 2 - plain) + reverse  # both halves of k2
    other_d_k3 = pi * (u.exp() - 1 - (pi * (u.exp() - 1)).sum())  # k3 with d turned round
    uniform_k2 = (u - pi * u.sum()) / 3
    both = {
        "dice-moved": (reverse, "That is ∇KL itself: you differentiated through the weights as well. In training the "
                                "actions are drawn, they are data: `.detach()` how often each comes."),
        "gradient-lost": (RuntimeError, "Nothing carries a gradient. `theta` comes without one: `theta.detach()."
                                        "requires_grad_()`. And the log-probs *inside* k must not be detached, only "
                                        "the weights are data."),
    }
    expect(call(fn, theta, log_ref, "k1"), zero, atol=1e-5, mistakes=both | {
        "unweighted": ((1 - 3 * pi) / 3, "You took the plain mean over the actions. Likely ones are drawn more often: "
                                         "weigh each with π."),
        "unweighted-sum": (1 - 3 * pi, "You added the actions up without weights. Each is drawn with probability π."),
        "weighed-by-the-reference": (ref - pi, "You weighed with the reference's probabilities. The actions are drawn "
                                               "from the policy."),
        "weighed-by-the-reference-k": (pi - ref, "You weighed with the reference's probabilities. The actions are "
                                                 "drawn from the policy."),
    })
    expect(call(fn, theta, log_ref, "k2"), reverse, atol=1e-5, mistakes={
        "dice-moved": (through_dice_k2, both["dice-moved"][1]),
        "unweighted": (uniform_k2, "You took the plain mean over the actions. Likely ones are drawn more often."),
        "half-forgotten": (2 * reverse, "Twice too much: k2 is *half* of d²."),
        "sign-flipped": (-reverse, "The sign is turned round. The gradient *of the loss* is asked for; a step goes "
                                   "against it."),
        "zero": (zero, "0 for k2: was k detached, or does it return k1 for every kind?"),
    })
    expect(call(fn, theta, log_ref, "k3"), forward, atol=1e-5, mistakes={
        "dice-moved": (reverse, both["dice-moved"][1]),
        "d-turned-round": (other_d_k3, "You have d = log π − log ref. With k₁ and k₂ that makes little difference, "
                                       "with k₃ it does: d = log ref − log π."),
        "sign-flipped": (-forward, "The sign is turned round. The gradient of the loss is asked for."),
        "one-forgotten": (zero, "Something cancels: k3 is exp(d) − d − 1."),
    })


@exercise("16.5", title="The repair", hints=[
    "Which of the three log-probs may carry a gradient? Only the one of the policy as it is now.",
    "ρ is `(log_probs - old_log_probs).exp()`, with the old ones detached but *not* the new ones: ρ is 1 in value, and "
    "its slope is that of log π. That slope is what was missing.",
    "`(log_probs - old_log_probs.detach()).exp() * (d.exp() - d - 1)` with `d = ref_log_probs.detach() - log_probs`",
])
def check_repaired(fn):
    """Values by hand, then the slope in each of the three arguments, then against ∇KL by enumeration."""
    import math

    import torch

    new, old, ref = torch.tensor([0.5, 0.25]).log(), torch.tensor([0.25, 0.25]).log(), torch.tensor([0.125, 0.5]).log()
    # ρ = 2, 1.   ref/π = 1/4, 2.   k3 = 1/4 + ln 4 − 1,  2 − ln 2 − 1
    k3 = torch.tensor([0.25 + math.log(4) - 1, 1 - math.log(2)])
    rho = torch.tensor([2.0, 1.0])
    turned = torch.tensor([4 - math.log(4) - 1, 0.5 + math.log(2) - 1])
    expect(call(fn, new, old, ref), rho * k3, pure=True, mistakes={
        "no-ratio": (k3, "That is k₃ alone. Multiply by ρ = π / π_old."),
        "ratio-upside-down": (k3 / rho, "You have old over new. ρ is the policy as it is now over the one that wrote."),
        "d-turned-round": (rho * turned, "You have d = log π − log ref. It is log ref − log π."),
        "log-ratio": (rho.log() * k3, "You multiplied by log ρ, which is 0 before the first update, so the term would "
                                      "be 0. ρ is its exponential."),
        "ratio-to-the-reference": ((new - ref).exp() * k3, "You divided by the reference. ρ compares with the *old* "
                                                           "policy, the one that wrote the actions."),
        "one-forgotten": (rho * (k3 + 1), "exp(d) − d − **1**: at the reference a KL is 0."),
        "k1": (rho * (new - ref), "That is k₁ times ρ. k₃ is exp(d) − d − 1."),
        "k2": (rho * (new - ref).square() / 2, "That is k₂ times ρ. k₃ is exp(d) − d − 1."),
        "clipped": (rho.clamp(0.8, 1.2) * k3, "You clipped ρ as PPO does. Where it is clipped it has no slope, and the "
                                              "slope is the repair."),
        "averaged": (lambda r: getattr(r, "ndim", 1) == 0, "That is one number. One per action is asked for: which "
                                                           "mean is right is decided elsewhere, with the mask."),
    })
    far = math.exp(4) * (math.exp(-8) + 7)  # ρ = e⁴, d = −8
    expect(call(fn, torch.tensor([-1.0]), torch.tensor([-5.0]), torch.tensor([-9.0])), torch.tensor([far]), rtol=1e-4,
           mistakes={
               "clamped": (lambda r: bool((torch.as_tensor(r) < 0.99 * far).all()),
                           "Far from the old policy and the reference yours is too small: was ρ or d clamped? What is "
                           "clamped has no slope, just where the policy should come back most."),
           })
    theta = torch.tensor([0.4, -0.6, 1.1], dtype=torch.float64, requires_grad=True)
    reference = torch.tensor([0.9, 0.2, -0.4], dtype=torch.float64, requires_grad=True)
    log_pi, log_ref = theta.log_softmax(-1), reference.log_softmax(-1)
    pi, r = log_pi.detach().exp(), log_ref.detach().exp()
    u = (log_pi - log_ref).detach()
    wanted = pi * (u - (pi * u).sum())  # ∇KL(π ‖ ref)
    old = log_pi.detach().clone().requires_grad_()
    value = call(fn, log_pi, old, log_ref).value
    require(isinstance(value, torch.Tensor) and value.requires_grad, called="repaired_k3 of log-probs with a gradient",
            returned="numbers without one", expected="a tensor that can be differentiated", mistake="gradient-lost",
            why="The policy's own log-probs must keep their gradient, in ρ and in d: without it the term pulls at "
                "nothing.")
    slopes = torch.autograd.grad((pi * value).sum(), (theta, old, reference), allow_unused=True)
    slope, into_old, into_ref = (torch.zeros(3, dtype=torch.float64) if x is None else x for x in slopes)
    called = "the expected gradient in the policy's logits"
    expect(slope, wanted, called=called, mistakes={
        "ratio-detached": (pi - r, "The value is right and the slope is still that of KL(ref ‖ π), the other way "
                                   "round: ρ was detached. Its value is 1, its *slope* is the repair."),
        "k3-detached": (pi * (k3_of(u) - (pi * k3_of(u)).sum()),
                        "Only ρ carries a gradient: the k₃ was detached. That is k₃ as a reward, which does not pull "
                        "either; both factors must move."),
    })
    expect(into_old, torch.zeros(3), called="the gradient in old_log_probs", mistakes={
        "old-not-detached": (lambda x: bool(x.abs().max() > 1e-6), "A gradient flows into what the old policy said. If "
                             "both are computed by the same weights, the slopes of ρ cancel: `.detach()` the old "
                             "ones."),
    })
    expect(into_ref, torch.zeros(3), called="the gradient in ref_log_probs", mistakes={
        "reference-not-detached": (lambda x: bool(x.abs().max() > 1e-6), "A gradient flows into the reference: it "
                                   "would be trained to come along. `.detach()` it."),
    })


def k3_of(u):
    """k3 from u = log π − log ref."""
    return (-u).exp() + u - 1
