"""The tokenizer and the small GPT-2: they save, load and behave like any other in Transformers."""

import json

import pytest
import torch
from tiny_lm import alone, tiny_policy
from transformers import AutoModelForCausalLM, AutoTokenizer, GPT2LMHeadModel, PreTrainedTokenizerFast

from rlcore.lm import character_tokenizer, generate, load_model, small_gpt2
from rlcore.lm.tokenizer import EOS, PAD, decode, encode
from rlcore.policies import LanguagePolicy

TEXT = "ab  c.\n'd 's, e! é中"  # what a tidy tokenizer would tidy: spaces, a line break, spaces before points


@pytest.fixture
def folder(tmp_path):
    policy = tiny_policy("ab", dtype=torch.float32)
    policy.model.save_pretrained(tmp_path)
    policy.tokenizer.save_pretrained(tmp_path)
    return tmp_path


def test_one_token_per_character_and_two_more():
    tokenizer = character_tokenizer("banana")
    assert isinstance(tokenizer, PreTrainedTokenizerFast)
    assert tokenizer.get_vocab() == {PAD: 0, EOS: 1, "a": 2, "b": 3, "n": 4}
    assert (tokenizer.pad_token_id, tokenizer.eos_token_id, len(tokenizer)) == (0, 1, 5)
    assert encode(tokenizer, "ban") == [3, 2, 4]
    assert decode(tokenizer, [3, 1, 2, 0, 4]) == "ban"  # special tokens are not text
    assert character_tokenizer({"n", "b", "a"}).get_vocab() == tokenizer.get_vocab()  # a set has no order


def test_text_survives_the_round_trip_also_through_a_folder(tmp_path):
    tokenizer = character_tokenizer(TEXT)
    tokenizer.save_pretrained(tmp_path)
    for other in (tokenizer, AutoTokenizer.from_pretrained(tmp_path)):
        ids = encode(other, TEXT)
        assert len(ids) == len(TEXT) and ids == encode(tokenizer, TEXT)
        assert decode(other, ids) == TEXT
        assert (other.pad_token_id, other.eos_token_id) == (0, 1)
        assert other.get_vocab() == tokenizer.get_vocab()


@pytest.mark.parametrize("pad_is_eos", [False, True])
def test_a_model_and_its_tokenizer_survive_the_round_trip(tmp_path, pad_is_eos):
    policy = tiny_policy("ab", layers=2, dtype=torch.float32, pad_is_eos=pad_is_eos)
    policy.model.save_pretrained(tmp_path)
    policy.tokenizer.save_pretrained(tmp_path)
    assert not list(tmp_path.glob("*.bin")) and list(tmp_path.glob("*.safetensors"))
    auto = AutoModelForCausalLM.from_pretrained(tmp_path), AutoTokenizer.from_pretrained(tmp_path)
    for model, tokenizer in (load_model(tmp_path), load_model(str(tmp_path)), auto):
        assert isinstance(model, GPT2LMHeadModel) and not model.training
        mine, theirs = policy.model.state_dict(), model.state_dict()
        assert mine.keys() == theirs.keys() and all(torch.equal(mine[name], theirs[name]) for name in mine)
        assert tokenizer.pad_token_id == policy.tokenizer.pad_token_id
        texts = [
            generate(LanguagePolicy(*pair), ["a", "bab"], max_new_tokens=4, generator=torch.Generator().manual_seed(0))
            for pair in ((policy.model, policy.tokenizer), (model, tokenizer))
        ]
        assert torch.equal(texts[0].actions, texts[1].actions)
        assert torch.equal(texts[0].log_probs, texts[1].log_probs)


def test_the_small_gpt2_is_a_gpt2_without_dropout():
    tokenizer, state = character_tokenizer("abc"), torch.get_rng_state()
    model = small_gpt2(tokenizer, layers=3, width=24, heads=4, positions=11, seed=5)
    assert torch.equal(torch.get_rng_state(), state)  # one's own seed leaves the global dice alone
    config = model.config
    assert (config.n_layer, config.n_embd, config.n_head, config.n_positions) == (3, 24, 4, 11)
    assert (config.vocab_size, config.eos_token_id, config.pad_token_id) == (5, 1, 0)
    assert {module.p for module in model.modules() if isinstance(module, torch.nn.Dropout)} == {0.0}
    assert not model.training and model.lm_head.weight is model.transformer.wte.weight
    again, other = (small_gpt2(tokenizer, layers=3, width=24, heads=4, positions=11, seed=seed) for seed in (5, 6))
    assert torch.equal(again.lm_head.weight, model.lm_head.weight)
    assert not torch.equal(other.lm_head.weight, model.lm_head.weight)


def test_the_spread_of_the_first_weights_is_gpt2s_or_what_is_asked_for():
    tokenizer, size = character_tokenizer("abc"), {"layers": 1, "width": 64, "heads": 1, "positions": 100}
    for options, spread in (({}, 0.02), ({"initializer_range": 0.08}, 0.08)):
        first = small_gpt2(tokenizer, **size, **options).transformer.wpe.weight  # 6400 numbers: the sd to about 1 %
        assert first.std().item() == pytest.approx(spread, rel=0.05)


@pytest.mark.parametrize(("sizes", "message"), [
    ({"layers": 0}, "layers must be at least 1, but is 0"),
    ({"heads": 0}, "heads must be at least 1, but is 0"),
    ({"positions": -1}, "positions must be at least 1, but is -1"),
    ({"width": 10}, "width must be a multiple of heads=4, because each head gets an equal share of it, but is 10"),
])
def test_sizes_that_make_no_model_are_named(sizes, message):
    with pytest.raises(ValueError, match=message):
        small_gpt2(character_tokenizer("ab"), **{"layers": 1, "width": 8, "heads": 4, "positions": 4} | sizes)


def test_transformers_own_generate_writes_the_same_greedy_text():
    policy = tiny_policy("ab", layers=2)
    for text in ("a", "abba", "bb"):
        prompt = torch.tensor([encode(policy.tokenizer, text)])
        everything = torch.ones_like(prompt)
        theirs = policy.model.generate(prompt, attention_mask=everything, max_new_tokens=5, do_sample=False)
        ours = generate(policy, [text], max_new_tokens=5, greedy=True)
        assert theirs[0].tolist() == [*ours.states[0].tolist(), ours.actions[0, -1].item()]


def test_pretrained_weights_score_as_they_did(folder):
    model, _ = load_model(folder)
    before = tiny_policy("ab", dtype=torch.float32).model
    assert torch.equal(alone(model, [2, 3, 2, 1]), alone(before, [2, 3, 2, 1]))


@pytest.mark.parametrize("characters", ["", ["ab"], [""]])
def test_an_alphabet_that_is_none_is_named(characters):
    with pytest.raises(ValueError, match="characters must be single characters, at least one, but are"):
        character_tokenizer(characters)


def test_text_outside_the_vocabulary_is_named():
    tokenizer = character_tokenizer("cab")
    with pytest.raises(ValueError, match="text 'cat' has characters outside the vocabulary 'abc'"):
        encode(tokenizer, "cat")
    with pytest.raises(ValueError, match="text '' has no tokens: a prompt needs at least one"):
        encode(tokenizer, "")


def break_config(folder):
    (folder / "config.json").unlink()


def break_weights(folder):
    (folder / "model.safetensors").unlink()


def cut_weights(folder):
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])


def lose_tokenizer(folder):
    for file in folder.glob("tokenizer*"):
        file.unlink()


def break_json(folder):
    (folder / "config.json").write_text("{")


@pytest.mark.parametrize("damage", [break_config, break_weights, cut_weights, lose_tokenizer, break_json])
def test_a_folder_without_a_whole_model_is_named(folder, damage):
    damage(folder)
    with pytest.raises(ValueError, match=f"the folder {folder} holds no model that can be loaded"):
        load_model(folder)


def test_a_tilde_is_the_home_folder(folder, monkeypatch):
    monkeypatch.setenv("HOME", str(folder.parent))
    monkeypatch.setenv("USERPROFILE", str(folder.parent))
    assert load_model(f"~/{folder.name}")[0].config.model_type == "gpt2"


def test_folders_that_are_not_there_are_no_hub_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in (tmp_path / "nowhere", "./nowhere", "../nowhere", "~/nowhere"):
        with pytest.raises(ValueError, match=r"there is no folder .*nowhere"):
            load_model(name)


def test_a_name_without_a_network_is_a_sentence(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ValueError, match="'no-such-model-here' is neither a folder nor in the local cache, and HF_HUB"):
        load_model("no-such-model-here")


def test_a_tokenizer_without_pad_pads_with_eos_and_one_without_eos_is_refused(folder):
    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_text())
    del config["pad_token"]
    path.write_text(json.dumps(config))
    (folder / "special_tokens_map.json").unlink(missing_ok=True)  # older versions of Transformers keep it there too
    _, tokenizer = load_model(folder)
    assert tokenizer.pad_token_id == tokenizer.eos_token_id == 1
    del config["eos_token"]
    path.write_text(json.dumps(config))
    with pytest.raises(ValueError, match="has no eos token, so the model could never say that it is done"):
        load_model(folder)
