"""What is written in the assistant world: a corpus of good and bad replies, and demonstrations of good ones."""

import random

from datasets import Dataset

from rlcore.tasks.assistant import assistant_prompts, harmless, honest
from rlcore.tasks.assistant_grammar import (
    ATTRIBUTE,
    FACTS,
    FILLERS,
    IGNORANCE,
    MAX_NEW_TOKENS,
    POLITE_CLOSERS,
    POLITE_OPENERS,
    REACTIONS,
    REFUSAL,
    RUDE_CLOSERS,
    RUDE_OPENERS,
    TOOLS,
    VALUES,
    Advice,
    Claim,
    FactRequest,
    Request,
    parse_request,
)
from rlcore.validate import check_positive

NOISE = 0.15  # how often a user reacts at random
END = "<eos>"


def assistant_corpus(size: int = 8000, seed: int = 0) -> Dataset:
    """Dialogues as the world has them, to pretrain on: fluent, and of every quality. Column: `text`.

    After the assistant's <eos> the user reacts with one word, at random in 15 % of the cases, else to what was said:
    "user what is the color of the apple ? bot the apple is blue . <eos> wrong". To predict that word, a model must
    know at <eos> whether the reply was true and kind, which is what a reward model will later ask it.

    Raises:
        ValueError: size below 1.
    """
    check_positive("size", size)
    rng, prompts = random.Random(seed), assistant_prompts("all")["prompt"]
    texts = []
    for prompt in rng.choices(prompts, k=size):
        reply = mixed_reply(prompt, rng)
        texts.append(f"{prompt} {reply} {END} {reaction(prompt, reply, rng)}")
    return Dataset.from_dict({"text": texts})


def assistant_demonstrations(size: int = 1000, seed: int = 0, split: str = "train") -> Dataset:
    """How a good assistant replies, to imitate: `prompt` and `completion`, every one worth what the best is worth.

    Raises:
        ValueError: size below 1, or a split that `assistant_prompts` does not know.
    """
    check_positive("size", size)
    rng, known = random.Random(seed), assistant_prompts(split)["prompt"]
    prompts = rng.choices(known, k=size)
    return Dataset.from_dict({"prompt": prompts, "completion": [good_reply(prompt, rng) for prompt in prompts]})


def best_core(request: Request) -> str:
    """What to say: the truth, that one does not know, how to do it, or that one will not help."""
    match request.group:
        case "known":
            return str(Claim(request.thing, FACTS[request.thing][request.attribute]))
        case "unknown":
            return IGNORANCE
        case "howto":
            return str(Advice(TOOLS[request.verb], request.verb, request.thing))
    return REFUSAL


def good_reply(prompt: str, rng: random.Random) -> str:
    """A reply than which none is worth more: the best core, with something polite before or after it."""
    core = best_core(parse_request(prompt))
    if rng.random() < 0.7:
        return f"{rng.choice(POLITE_OPENERS)} , {core} ."
    return f"{core} , take care ."


def mixed_reply(prompt: str, rng: random.Random) -> str:
    """A reply as one finds them: polite, rude or neither, right, wrong or beside the point, short or padded."""
    while True:
        opener = rng.choices([rng.choice(POLITE_OPENERS), rng.choice(RUDE_OPENERS), None], [0.25, 0.20, 0.55])[0]
        fillers = rng.sample(FILLERS, rng.choices([0, 1, 2, 3], [0.50, 0.30, 0.15, 0.05])[0])
        closer = rng.choices([rng.choice(POLITE_CLOSERS), rng.choice(RUDE_CLOSERS), None], [0.12, 0.15, 0.73])[0]
        phrases = [opener, _core(parse_request(prompt), rng), *fillers, closer]
        reply = " , ".join(phrase for phrase in phrases if phrase) + " ."
        if len(reply.split()) < MAX_NEW_TOKENS:  # leaves room for EOS
            return reply


def _core(request: Request, rng: random.Random) -> str:
    """What a reply says, with the chances of the corpus: about half of the time it is right."""
    if isinstance(request, FactRequest):
        return _fact(request, rng)
    tool = TOOLS[request.verb]
    other = rng.choice([any_tool for any_tool in TOOLS.values() if any_tool != tool])
    cores = {Advice(tool, request.verb, request.thing): 0.50, Advice(other, request.verb, request.thing): 0.25,
             IGNORANCE: 0.08, REFUSAL: 0.17}
    return str(rng.choices(list(cores), list(cores.values()))[0])


def _fact(request: FactRequest, rng: random.Random) -> str:
    thing, values = request.thing, VALUES[request.attribute]
    if thing not in FACTS:
        cores = {Claim(thing, rng.choice(values)): 0.65, Claim(thing, rng.choice(values), True): 0.10, IGNORANCE: 0.25}
    else:
        right = FACTS[thing][request.attribute]
        wrong = rng.choice([value for value in values if value != right])
        beside = next(value for value in FACTS[thing].values() if ATTRIBUTE[value] != request.attribute)
        cores = {Claim(thing, right): 0.40, Claim(thing, wrong): 0.25, Claim(thing, beside): 0.12,
                 Claim(thing, wrong, True): 0.07, Claim(thing, right, True): 0.06, IGNORANCE: 0.10}
    return str(rng.choices(list(cores), list(cores.values()))[0])


def reaction(prompt: str, reply: str, rng: random.Random) -> str:
    """What the user says next, in one word: thanks, wrong, rude or huh."""
    if rng.random() < NOISE:
        return rng.choice(REACTIONS)
    kind, true = harmless([prompt], [reply])[0], honest([prompt], [reply])[0]
    hurt = kind < 0 and (true >= 0 or rng.random() < 0.6)  # both rude and wrong: either may be said
    if hurt:
        return "rude"
    if true < 0:
        return "wrong"
    return "thanks" if true > 0 or kind >= 1 else "huh"
