"""Checks of chapter 11: whose tokens, states and actions, how likely a reply is, a world of text, one loss."""

from rlcourse.exam import call, exercise, expect, require

EOS = 1


@exercise("11.1", title="Whose token is it?", hints=[
    "How many EOS stand *before* a place, without the place itself, if the place counts?",
    "`(completions == eos_token_id).long().cumsum(-1)` counts the EOS up to and including each place.",
    "`is_eos = (completions == eos_token_id).long()`; then `is_eos.cumsum(-1) - is_eos == 0`",
])
def check_own_tokens(fn):
    """Rows padded with EOS, cut off, empty, padded with 0, and with junk behind the end."""
    import torch

    batch = torch.tensor([[5, 1, 1, 1], [5, 6, 7, 8], [1, 1, 1, 1], [5, 1, 0, 0], [7, 1, 9, 1], [7, 1, 9, 9]])
    only_first_two = [True, True, False, False]
    expect(call(fn, batch, EOS), torch.tensor([only_first_two, [True] * 4, [True, False, False, False],
                                               only_first_two, only_first_two, only_first_two]), pure=True, mistakes={
        "eos-dropped": (_rows("1000 1111 0000 1000 1000 1000"),
                        "You left the first EOS out. To stop is an action like any other; a policy that is never "
                        "pushed for it does not learn when to."),
        "eos-by-id": (_rows("1000 1111 0000 1011 1010 1011"),
                      "You asked which tokens are EOS. Ask where the *first* one is: it counts, and nothing behind it "
                      "does, whatever it is."),
        "looked-for-padding": (_rows("1111 1111 1111 1100 1111 1111"),
                               "You looked for a padding token. Here some rows are padded with EOS, as usual with real "
                               "GPT-2s, and what stands behind the end need not be padding at all."),
        "every-eos-counts": (_rows("1111 1111 1111 1100 1101 1100"),
                             "You kept every EOS. Only the first was said by the policy; the others fill up the row."),
        "last-eos": (_rows("1111 1111 1111 1100 1111 1100"),
                     "You went up to the *last* EOS of the row. The completion was over with the first."),
        "cut-off-row-lost": (lambda r: _as_ints(r)[0] == [1, 1, 0, 0] and not _as_ints(r)[1][1],
                             "The second row has no EOS, because it was cut off, and you threw it away (argmax says 0 "
                             "both for 'at 0' and for 'nowhere'). All its tokens were chosen."),
        "one-too-many": (_rows("1110 1111 1100 1110 1110 1110"),
                         "You went one token beyond the first EOS."),
        "inverted": (_rows("0011 0000 0111 0011 0011 0011"),
                     "This is True where nobody chose anything. It should be True for the policy's own tokens."),
    })
    expect(call(fn, torch.tensor([[3, 7, 1], [7, 3, 3]]), 7), torch.tensor([[True, True, False], [True, False, False]]),
           mistakes={"eos-hard-coded": (lambda r: _as_ints(r) == [[1, 1, 1], [1, 1, 1]],
                                        "Here `eos_token_id` is 7, and you looked for another number.")})


def _as_ints(returned):
    """Rows of 0 and 1; what came back, if it is not that."""
    return [[int(x) for x in row] for row in returned]


def _rows(text):
    """"1100 1111" as rows of True and False."""
    return [[x == "1" for x in row] for row in text.split()]


@exercise("11.2", title="One row, two readings", hints=[
    "Action t is the token that comes next: token t + 1. How many of either are there in a row of N tokens?",
    "`tokens[:, :-1]` and `tokens[:, 1:]`. Action t writes the token at place t + 1: is that place behind the prompt, "
    "and before the padding?",
    "`written = torch.arange(1, N)`; mask: `(written >= num_prompt[:, None]) & (written < num_tokens[:, None])`",
])
def check_as_steps(fn):
    """Two texts: a prompt of 2 and a completion of 3 with padding; a prompt of 3 and a completion of 3."""
    import torch

    tokens = torch.tensor([[2, 3, 5, 6, 1, 0], [2, 4, 3, 7, 8, 1]])
    states, actions, mask = tokens[:, :-1], tokens[:, 1:], torch.tensor(_rows("01110 00111"))
    came = call(fn, tokens, torch.tensor([2, 3]), torch.tensor([5, 6]))
    parts = came.value
    require(isinstance(parts, tuple | list) and len(parts) == 3, called=came.text, returned=parts,
            expected="three tensors: states, actions, mask", mistake="no-triple",
            why="Three things go back, with commas between them: `return states, actions, mask`.")
    expect(tuple(parts[:2]), (states, actions), called=f"states and actions of {came.text}", mistakes={
        "swapped": (lambda r: _same(r[0], actions) and _same(r[1], states),
                    "You returned the actions first. Before the policy can act it has to see something: states, "
                    "actions, mask."),
        "not-shifted": (lambda r: _same(r[0], states) and _same(r[1], states),
                        "Your actions are the tokens that the policy sees already. The action at t is the *next* "
                        "token, t + 1."),
        "whole-row": (lambda r: len(r[0][0]) == 6, "You kept all N tokens. Behind the last token nothing is chosen, "
                                                   "and before the first nothing is seen: N − 1 steps."),
    })
    expect(parts[2], mask, called=f"the mask of {came.text}", mistakes={
        "first-token-lost": (_rows("00110 00011"), "The first token of the completion is missing. Action t writes "
                                                   "token t + 1, so the first own action is at `num_prompt − 1`."),
        "prompt-counted": (lambda r: _as_ints(r) in (_ints("11110 11111"), _ints("11111 11111")),
                           "There are tokens of the prompt in it. The user chose those: train on them, and the policy "
                           "learns to ask the user's questions."),
        "one-too-early": (_rows("11110 01111"), "It begins one step too early: the action there is the last token of "
                                                "the prompt."),
        "padding-counted": (_rows("01111 00111"), "There is padding in it. Row i is over after `num_tokens[i]`."),
        "eos-lost": (_rows("01100 00110"), "The last token of each text is missing, its EOS. It was chosen, too."),
        "states-masked": (_rows("00111 00011"), "This mask belongs to the states: which places hold a token of the "
                                                "completion. It is the actions that are chosen, one step earlier."),
    })
    expect(came, (states, actions, mask), pure=True)
    tokens = torch.tensor([[1, 0, 1, 5, 1, 1], [2, 1, 0, 0, 7, 1]])  # 0 and 1 as words, as EOS and as padding
    expect(call(fn, tokens, torch.tensor([2, 3]), torch.tensor([4, 6])),
           (tokens[:, :-1], tokens[:, 1:], torch.tensor(_rows("01100 00111"))), mistakes={
        "by-id": (lambda r: _as_ints(r[2]) != _ints("01100 00111"),
                  "You looked at *which* token stands there. In this batch 0 and 1 are words of the prompt, EOS and "
                  "padding; only `num_prompt` and `num_tokens` say whose a place is."),
    })


def _ints(text):
    return [[int(x) for x in row] for row in text.split()]


def _same(part, tensor):
    return _as_ints(part) == tensor.tolist()


@exercise("11.3", title="How likely is a reply?", hints=[
    "Logits are not log-probabilities yet: something has to make e to their power sum to 1.",
    "`logits.log_softmax(-1)` has one number for each of the V tokens; `gather` picks the one that was taken.",
    "`logits.log_softmax(-1).gather(-1, actions[..., None]).squeeze(-1)`, then `masked_fill(~mask, 0.0).sum(-1)`",
])
def check_reply_log_probs(fn):
    """Own tokens of probability 1/2 and 1/4 make 1/8; the second reply is one token of 1/5."""
    import torch

    p = torch.tensor([[[0.5, 0.3, 0.2], [0.5, 0.25, 0.25], [0.2, 0.2, 0.6], [0.1, 0.8, 0.1]],
                      [[0.1, 0.1, 0.8], [0.6, 0.2, 0.2], [0.2, 0.2, 0.6], [0.3, 0.4, 0.3]]], dtype=torch.float64)
    scale = torch.tensor([[2.0, 3.0, 0.5, 4.0], [3.0, 0.7, 5.0, 2.0]], dtype=torch.float64)
    logits = (p * scale[..., None]).log()  # the same probabilities: softmax does not see the scale
    actions, mask = torch.tensor([[0, 1, 2, 1], [2, 1, 0, 0]]), torch.tensor(_rows("1100 0100"))
    logs = p.log().gather(-1, actions[..., None])[..., 0]
    raw = logits.gather(-1, actions[..., None])[..., 0]
    over_time = logits.log_softmax(1).gather(-1, actions[..., None])[..., 0]
    own = torch.where(mask, logs, 0.0).sum(-1)
    expect(call(fn, logits, actions, mask), own, pure=True, mistakes={
        "not-normalised": (torch.where(mask, raw, 0.0).sum(-1),
                           "You summed logits. They are log-probabilities up to a constant, and the constant differs "
                           "from step to step: `log_softmax` takes it off."),
        "wrong-axis": (torch.where(mask, over_time, 0.0).sum(-1),
                       "Your softmax runs over time. It is the V tokens of one step that compete."),
        "mask-ignored": (logs.sum(-1), "You added up all tokens of the row. Prompt and padding were not chosen by the "
                                       "policy: 0 where the mask is False."),
        "mean-not-sum": (own / mask.sum(-1), "You divided by the number of tokens. Probabilities of one text multiply, "
                                             "so their logarithms add up; the mean belongs to another, shorter text."),
        "padded-mean": (torch.where(mask, logs, 0.0).mean(-1), "You took a mean over the whole row. Logarithms of "
                                                               "probabilities that multiply add up."),
        "probability": (own.exp(), "This is the probability itself. For a reply of a few hundred tokens it would be 0 "
                                   "in every computer: stay with the logarithm."),
        "sum-of-probabilities": (torch.where(mask, logs.exp(), 0.0).sum(-1),
                                 "You added probabilities. They multiply; it is their logarithms that add up."),
        "sign": (-own, "The sign is turned round. A log-probability is at most 0; minus it is the loss."),
        "likeliest-token": (torch.where(mask, p.log().max(-1).values, 0.0).sum(-1),
                            "You took the likeliest token of each step. Take the one that was chosen, `actions`."),
        "one-number": (own.sum(), "You summed over the batch as well. Each reply has its own log-probability."),
        "per-token": (torch.where(mask, logs, 0.0), "This is one number per token. Add up the tokens of each row."),
    })
    logits[0, 3], logits[1, 2:] = torch.tensor([0.0, -torch.inf, 0.0]), torch.tensor([-torch.inf, 0.0, 0.0])
    expect(call(fn, logits, actions, mask), own, mistakes={
        "mask-multiplied": (lambda r: r.isnan().any(), "Here the model finds the padding impossible: −∞. 0 · ∞ is not "
                                                       "0 but NaN. Replace what is masked, with `masked_fill` or "
                                                       "`where`, and do not multiply it."),
    })
    expect(call(fn, logits[:1], actions[:1], mask[:1]), own[:1])  # a batch of one
    logits[0, 1] = torch.tensor([0.0, -torch.inf, 0.0])  # the policy's own token, and impossible
    expect(call(fn, logits, actions, mask), torch.stack([torch.tensor(-torch.inf, dtype=own.dtype), own[1]]), mistakes={
        "impossible-is-free": (lambda r: r[0] > -torch.inf, "Here an *own* token has probability 0, so the reply has: "
                               "−∞. You replaced every −∞. Replace what the mask leaves out, and nothing else."),
    })


@exercise("11.4", title="A world made of text", hints=[
    "A new list: `[*written, token]`. The completion is what stands behind the first `num_prompt` tokens of it.",
    "An EOS at the last allowed place terminates; it does not truncate. And a text that is cut off is judged, too.",
    "`terminated = token == eos_token_id`; `truncated = not terminated and len(completion) == max_new_tokens`; the "
    "judge gets `completion[:-1]` if it terminated",
])
def check_text_step(fn):
    """A prompt of two tokens, a limit of three; the judge adds tokens up, so that one can see what it was given."""
    def ask(written, token):
        return call(fn, written, token, 2, 3, EOS, sum)

    expect(ask([50, 60], 7), ([50, 60, 7], 0.0, False, False), pure=True, mistakes={
        "prompt-counts": (lambda r: bool(r[3]), "You cut the text off after its first token. The limit is on what the "
                                                "policy writes, the prompt does not count."),
        "paid-too-early": (lambda r: r[1] != 0, "You paid before the text was over. A judge of the whole has nothing "
                                                "to judge yet: 0.0."),
        "token-lost": (lambda r: list(r[0]) == [50, 60], "The next state is the old one. It should have the new token "
                                                         "behind it."),
        "only-the-token": (lambda r: r[0] == 7 or r[0] == [7], "You returned the token. The state is the text so far, "
                                                               "all of it."),
    })
    expect(ask([50, 60, 7, 8], EOS), ([50, 60, 7, 8, EOS], 15.0, True, False), mistakes={
        "eos-at-the-limit": (lambda r: bool(r[2]) and bool(r[3]),
                             "The third and last allowed token is an EOS: the text has ended by itself. It is "
                             "terminated, and not truncated, for there was nothing more to say."),
        "truncation-first": (lambda r: not r[2] and bool(r[3]),
                             "The last allowed token is an EOS, and you called it truncated. Look for EOS first."),
        "eos-judged": (lambda r: r[1] == 16, "The judge was handed the EOS, too. It says that the text is over, and is "
                                             "no part of it."),
        "prompt-judged": (lambda r: r[1] in (125, 126), "The judge was handed the prompt, too. It judges what the "
                                                        "policy wrote."),
        "not-paid": (lambda r: r[1] == 0, "The text is over, and nobody paid."),
    })
    expect(ask([50, 60, 7, 8], 9), ([50, 60, 7, 8, 9], 24.0, False, True), mistakes={
        "called-terminated": (lambda r: bool(r[2]), "You said `terminated` because the paper is full. There was more "
                                                    "to say: it is truncated, and who learns values must know that."),
        "limit-missed": (lambda r: not r[2] and not r[3], "The policy has written its three tokens, and your world "
                                                          "goes on. The token of this step counts."),
        "cut-off-not-paid": (lambda r: r[1] == 0, "A text that was cut off is over, too, and is judged as it stands. "
                                                  "Otherwise never to stop would be a way of never being judged."),
        "last-token-unjudged": (lambda r: r[1] == 15, "The judge did not see the last token. Only an EOS is taken off, "
                                                      "and this text ends without one."),
    })
    heard = []

    def judge(completion):
        heard.append(list(completion))
        return 0.5

    call(fn, [50, 60], 7, 2, 3, EOS, judge)
    require(not heard, called="your function, before the text is over", returned=f"asked the judge about {heard}",
            expected="no question to the judge", mistake="judge-asked-too-early",
            why="A judge may be a person, or a large model: ask once, when there is a whole to judge.")
    expect(call(fn, [50, 60, 7], EOS, 2, 3, EOS, judge), ([50, 60, 7, EOS], 0.5, True, False))
    expect(ask([50, EOS], EOS), ([50, EOS, EOS], 0.0, True, False))  # a prompt that holds an EOS; a reply of nothing
    expect(ask([50, 60, 7], 9), ([50, 60, 7, 9], 0.0, False, False), mistakes={
        "limit-too-early": (lambda r: bool(r[3]), "You cut off after two tokens, and three are allowed."),
        "paid-too-early": (lambda r: r[1] != 0, "You paid before the text was over."),
    })


@exercise("11.5", title="Two framings, one loss", hints=[
    "How many own tokens come after this one? For the last own token, none: γ⁰ = 1.",
    "`mask.flip(-1).cumsum(-1).flip(-1)` counts the own tokens from each place on, that one included.",
    "`returns = rewards[:, None] * gamma ** (own tokens after)`; then `-(returns * log_probs).masked_fill(~mask, "
    "0.0).sum(-1).mean()`",
])
def check_text_loss(fn):
    """A reply of 3 tokens paid 4, and one of 2 tokens fined 2, with padding; γ = ½; the gradient is compared."""
    import torch

    mask, paid = torch.tensor(_rows("011100 001100")), torch.tensor([4.0, -2.0], dtype=torch.float64)
    values = -torch.arange(1, 13, dtype=torch.float64).view(2, 6) / 10

    def gradient_at(gamma, log_probs):
        log_probs = log_probs.clone().requires_grad_()
        came = call(fn, log_probs, paid, mask, gamma)
        loss = came.value
        require(isinstance(loss, torch.Tensor) and loss.dim() == 0, called=came.text, returned=loss,
                expected="one number, a tensor with a gradient", mistake="no-single-loss",
                why="An optimiser needs one number to go down on: sum over tokens, mean over replies.")
        require(loss.requires_grad, called=came.text, returned=loss, expected="a tensor with a gradient",
                mistake="detached", why="No gradient leads back to `log_probs`: was it detached, or made a number?")
        return torch.autograd.grad(loss, log_probs)[0], loss.detach()

    bandit = -paid[:, None] * mask.double() / 2
    got, loss = gradient_at(1.0, values)
    says = "the gradient of your loss in log_probs, at γ = 1"
    expect(got, bandit, called=says, mistakes={
        "sign": (-bandit, "The sign is turned round: this makes rewarded replies less likely. An optimiser goes *down* "
                          "the loss, so it is minus."),
        "mean-per-reply": (bandit / torch.tensor([[3.0], [2.0]]), "You took the mean over each reply's own tokens. "
                           "That follows another reward, R divided by the length, and a long wrong reply gets off "
                           "lightly. Sum."),
        "token-mean": (bandit * 2 / 5, "You divided by the number of tokens in the batch. It is summed over the tokens "
                                       "of a reply, and averaged over the replies."),
        "padded-mean": (bandit / 6, "You took the mean over all places of the batch, padding included. Sum over the "
                                    "tokens, then take the mean over the replies."),
        "sum-not-mean": (bandit * 2, "You added the replies up. Take their mean: a larger batch is no larger step."),
        "mask-ignored": ((-paid[:, None] / 2).expand(2, 6), "The user's tokens and the padding are pushed, too. Only "
                                                            "own tokens are."),
        "last-token-only": (bandit * torch.tensor([0, 0, 0, 1, 0, 0]), "You pushed only the token at which the reward "
                                                                       "was paid. All own tokens led to it."),
        "reward-squared": (bandit * paid[:, None], "The reward is in there twice."),
    })
    expect(loss, (bandit * values).sum(), called="your loss at γ = 1")
    after = torch.tensor([[0, 2, 1, 0, 0, 0], [0, 0, 1, 0, 0, 0]])  # own tokens still to come
    got, _ = gradient_at(0.5, values)
    expect(got, bandit * 0.5**after, called=says.replace("γ = 1", "γ = 0.5"), mistakes={
        "no-discount": (bandit, "You left γ out. A token is pushed by what follows it, and what is n tokens away "
                                "counts γⁿ."),
        "wrong-end": (bandit * 0.5 ** torch.tensor([[0, 0, 1, 2, 0, 0], [0, 0, 0, 1, 0, 0]]),
                      "You discounted from the front. The reward comes at the end: the *last* own token is next to it "
                      "and gets it in full."),
        "discount-shifted": (bandit * 0.5 ** (after + 1), "The last own token is discounted, too. The reward follows "
                                                          "it at once: γ⁰."),
        "padding-delays": (bandit * 0.5 ** (after + 2), "You counted up to the end of the row. The reward comes at the "
                                                        "last *own* token, however much padding stands behind it."),
        "prompt-delays": (bandit * 0.5 ** torch.arange(6), "You used the place in the row as the power of γ. It is "
                                                           "the number of own tokens that come *after* this one."),
        "same-for-all": (bandit * 0.5 ** torch.tensor([[2.0], [1.0]]), "You discounted whole replies by their "
                         "length. Each token has its own distance to the reward."),
    })
    got, loss = gradient_at(0.5, values.masked_fill(~mask, -torch.inf))
    expect((loss, got), ((bandit * values * 0.5**after).sum(), bandit * 0.5**after),
           called="your loss and its gradient, with −∞ in the log-probs of prompt and padding", mistakes={
        "mask-multiplied": (lambda r: bool(r[0].isnan()), "0 · ∞ is NaN: what is masked has to be replaced, with "
                                                          "`masked_fill` or `where`, and not multiplied by 0."),
    })
    three = torch.tensor(_rows("110 011 111"))
    logs = values.view(-1)[:9].view(3, 3)
    came = call(fn, logs, torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64), three, 1.0)
    total = -(torch.tensor([[1.0], [2.0], [3.0]]) * logs * three).sum()
    expect(came.value.detach(), total / 3, called="your loss for three replies", mistakes={
        "two-hard-coded": (total / 2, "You divided by 2. There were two replies in the example; here there are three."),
    })
