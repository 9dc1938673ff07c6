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
    tokenizer = Tokenizer(models.WordLevel({token: i for i, token in enumerate([PAD, EOS, *alphabet])}))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    tokenizer.decoder = decoders.Fuse()
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
        known = "".join(sorted(token for token in tokenizer.get_vocab() if len(token) == 1))
        raise ValueError(f"text {text!r} has characters outside the vocabulary {known!r}") from error
    if not tokens:
        raise ValueError(f"text {text!r} has no tokens: a prompt needs at least one, to predict the next from")
    return tokens


def decode(tokenizer: PreTrainedTokenizerBase, tokens: Sequence[int]) -> str:
    """Token ids to text, without special tokens."""
    return tokenizer.decode(tokens, skip_special_tokens=True)
