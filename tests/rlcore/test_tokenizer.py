"""The word tokenizer: one word, one token, and back. (The one of characters is tested with the model.)"""

import pytest
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from rlcore.lm import word_tokenizer
from rlcore.lm.tokenizer import decode, encode
from rlcore.tasks.assistant_corpus import assistant_corpus
from rlcore.tasks.assistant_grammar import vocabulary

WORDS = ["red", ".", ",", "the", "don't", "a", "é中"]


def test_every_word_is_one_token_in_alphabetical_order():
    tokenizer = word_tokenizer(WORDS)
    assert isinstance(tokenizer, PreTrainedTokenizerFast)
    # <pad> 0, <eos> 1, then , 2  . 3  a 4  don't 5  red 6  the 7  é中 8
    assert encode(tokenizer, "the red , don't .") == [7, 6, 2, 5, 3]
    assert encode(tokenizer, " the\t red\n") == [7, 6] and encode(tokenizer, "é中 a") == [8, 4]
    assert (tokenizer.pad_token_id, tokenizer.eos_token_id, len(tokenizer)) == (0, 1, 9)
    assert word_tokenizer(reversed(WORDS * 2)).get_vocab() == tokenizer.get_vocab()


def test_text_and_tokens_survive_the_round_trip_also_through_a_folder(tmp_path):
    tokenizer = word_tokenizer(WORDS)
    tokenizer.save_pretrained(tmp_path)
    tokens = [7, 6, 3, 2, 5, 5, 8, 4, 3]  # points and commas wherever they like: nothing is tidied
    for other in (tokenizer, AutoTokenizer.from_pretrained(tmp_path)):
        text = decode(other, tokens)
        assert text == "the red . , don't don't é中 a ." and encode(other, text) == tokens
        assert decode(other, [0, 7, 0, 6, 1, 0]) == "the red"  # without pad and eos
        assert encode(other, "red <eos> a") == [6, 1, 4]  # in a corpus, <eos> is what it says
        assert (other.pad_token_id, other.eos_token_id) == (0, 1) and other.get_vocab() == tokenizer.get_vocab()


def test_the_assistant_world_is_understood_word_by_word():
    tokenizer = word_tokenizer(vocabulary())
    assert len(tokenizer) == 94
    for text in assistant_corpus(50)["text"]:
        ids = encode(tokenizer, text)
        assert len(ids) == len(text.split()) and ids.count(1) == 1 and ids[-2] == 1
        assert decode(tokenizer, ids) == text.replace(" <eos>", "")


@pytest.mark.parametrize("words", [[], ["two words"], [""], ["<eos>"], ["a", " b"]])
def test_words_that_are_none_are_named(words):
    with pytest.raises(ValueError, match=r"words must be words without spaces, at least one, but \["):
        word_tokenizer(words)


def test_words_outside_the_vocabulary_are_named():
    tokenizer = word_tokenizer(WORDS)
    with pytest.raises(ValueError, match=r"text 'the cat , red hat , cat' has words outside the vocabulary of 7 words: "
                                         r"'cat', 'hat'$"):
        encode(tokenizer, "the cat , red hat , cat")
    with pytest.raises(ValueError, match="text ' ' has no tokens"):
        encode(tokenizer, " ")


def test_the_words_that_are_named_are_those_that_are_unknown():
    with pytest.raises(ValueError, match=r"outside the vocabulary of 2 words: 'zz'$"):  # the EOS is known
        encode(word_tokenizer(["aa", "b"]), "aa <eos> zz")
    with pytest.raises(ValueError, match=r"has words outside the vocabulary of 2 words: 'zz'$"):  # words of one letter
        encode(word_tokenizer("ab"), "a zz")
