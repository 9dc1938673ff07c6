"""Small tokenizers that look, save and load like any other in Transformers."""

from collections.abc import Iterable, Sequence

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

PAD, EOS = "<pad>", "<eos>"


def character_tokenizer(characters: Iterable[str]) -> PreTrainedTokenizerFast:
    """One token per character, and two more: `<pad>` (0) fills up, `<eos>` (1) says "I am done".

    The result is a `PreTrainedTokenizerFast`: it survives `save_pretrained` and `AutoTokenizer.from_pretrained`.
    """
    alphabet = sorted(set(characters))
    if not alphabet or any(len(character) != 1 for character in alphabet):
        raise ValueError(f"characters must be single characters, at least one, but are {alphabet!r}")
    tokenizer = _word_level(alphabet)
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    tokenizer.decoder = decoders.Fuse()
    return _fast(tokenizer)


def word_tokenizer(words: Iterable[str]) -> PreTrainedTokenizerFast:
    """One token per word, and `<pad>` (0) and `<eos>` (1); a text is words with spaces between them.

    Points and commas are words like any other, so they stand apart: "of course , i do not know .". What is decoded
    can be encoded again to the same tokens. It survives `save_pretrained` and `AutoTokenizer.from_pretrained`.

    Raises:
        ValueError: no word, an empty one, one with a space in it, or one that is `<pad>` or `<eos>`.
    """
    known = sorted(set(words))
    odd = [word for word in known if word.split() != [word] or word in (PAD, EOS)]
    if odd or not known:
        raise ValueError(f"words must be words without spaces, at least one, but {odd or known!r} are not")
    tokenizer = _word_level(known)
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return _fast(tokenizer)


def _word_level(alphabet: list[str]) -> Tokenizer:
    return Tokenizer(models.WordLevel({token: i for i, token in enumerate([PAD, EOS, *alphabet])}))


def _fast(tokenizer: Tokenizer) -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token=PAD, eos_token=EOS, clean_up_tokenization_spaces=False
    )


def encode(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """Text to token ids, without special tokens.

    Raises:
        ValueError: the text is empty for this tokenizer, or holds something that is not in its vocabulary.
    """
    try:
        tokens = tokenizer(text, add_special_tokens=False)["input_ids"]
    except Exception as error:  # the Rust library raises bare Exceptions
        raise ValueError(f"text {text!r} has {_outside(tokenizer, text)}") from error
    if not tokens:
        raise ValueError(f"text {text!r} has no tokens: a prompt needs at least one, to predict the next from")
    return tokens


def _outside(tokenizer: PreTrainedTokenizerBase, text: str) -> str:
    """What of a text a tokenizer does not know."""
    words = set(tokenizer.get_vocab())
    if not isinstance(tokenizer.backend_tokenizer.pre_tokenizer, pre_tokenizers.WhitespaceSplit):
        return f"characters outside the vocabulary {''.join(sorted(words - {PAD, EOS}))!r}"
    unknown = dict.fromkeys(word for word in text.split() if word not in words)
    return f"words outside the vocabulary of {len(words - {PAD, EOS})} words: {', '.join(map(repr, unknown))}"


def decode(tokenizer: PreTrainedTokenizerBase, tokens: Sequence[int]) -> str:
    """Token ids to text, without special tokens."""
    return tokenizer.decode(tokens, skip_special_tokens=True)
