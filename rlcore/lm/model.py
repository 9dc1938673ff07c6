"""A GPT-2 small enough for two CPU cores, and the door through which a real one comes in."""

import os
from contextlib import contextmanager, nullcontext
from pathlib import Path

import torch
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, AutoTokenizer, GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerBase
from transformers.utils import logging


def small_gpt2(
    tokenizer: PreTrainedTokenizerBase, *, layers: int, width: int, heads: int, positions: int, seed: int = 0,
    initializer_range: float = 0.02,
) -> GPT2LMHeadModel:
    """A new GPT-2 with random weights for this tokenizer's vocabulary.

    Everything is as in GPT-2, but for the sizes, and two choices that change no idea: no dropout (reinforcement
    learning scores the same tokens twice and needs the same answer), and torch's own tanh-GELU, which is faster.

    Args:
        tokenizer: its vocabulary, pad and EOS become the model's.
        layers: how many blocks of attention and MLP.
        width: numbers per token, a multiple of `heads`.
        heads: how many attentions side by side in each block, with width / heads numbers each.
        positions: the longest text, in tokens.
        seed: of the first weights; the global generator stays as it is.
        initializer_range: their standard deviation; a narrow model may want more than GPT-2's.

    Raises:
        ValueError: a size below 1, or a width that the heads do not divide.
    """
    for name, size in (("layers", layers), ("width", width), ("heads", heads), ("positions", positions)):
        if size < 1:
            raise ValueError(f"{name} must be at least 1, but is {size}")
    if width % heads:
        raise ValueError(f"width must be a multiple of heads={heads}, because each head gets an equal share of it, "
                         f"but is {width}")
    config = GPT2Config(
        vocab_size=len(tokenizer),
        n_positions=positions,
        n_layer=layers,
        n_embd=width,
        n_head=heads,
        initializer_range=initializer_range,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        activation_function="gelu_pytorch_tanh",
        bos_token_id=tokenizer.eos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return GPT2LMHeadModel(config).eval()


def load_model(name_or_path: str | Path) -> tuple[torch.nn.Module, PreTrainedTokenizerBase]:
    """A causal language model and its tokenizer, from a folder or, by name, from the hub.

    A folder needs no network. A name is looked for in the local cache first and is downloaded only where
    Transformers is allowed to (`HF_HUB_OFFLINE` unset); a machine without a network fails with one sentence.

    Raises:
        ValueError: the folder or the name holds no model that can be loaded.
    """
    path = Path(name_or_path).expanduser()
    if path.is_dir():
        return _load(str(path), local_files_only=True, problem=f"the folder {path} holds no model that can be loaded")
    if path.is_absolute() or str(name_or_path).startswith((".", "~")):
        raise ValueError(f"there is no folder {path}")
    try:
        return _load(str(name_or_path), local_files_only=True, problem="not in the local cache")
    except ValueError:
        _require_hub(str(name_or_path))
    return _load(str(name_or_path), local_files_only=False, problem=f"{name_or_path!r} could not be downloaded")


def save_model(model: torch.nn.Module, tokenizer: PreTrainedTokenizerBase, folder: str | Path) -> None:
    """Write model and tokenizer where `load_model` and Transformers' `from_pretrained` find them."""
    with quiet():
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)


@contextmanager
def quiet():
    """No progress bars: reading or writing a file on this disk is no event."""
    was_on = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if was_on:
            logging.enable_progress_bar()


def _load(name: str, local_files_only: bool, problem: str):
    try:
        with quiet() if local_files_only else nullcontext():
            model = AutoModelForCausalLM.from_pretrained(name, local_files_only=local_files_only, use_safetensors=True)
            tokenizer = AutoTokenizer.from_pretrained(name, local_files_only=local_files_only)
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise ValueError(f"{problem} ({type(error).__name__}: {str(error).splitlines()[0][:200]})") from error
    if set(tokenizer.get_vocab()) <= set(tokenizer.all_special_tokens):  # Transformers makes one up where there is none
        raise ValueError(f"{problem} (there is a model, but no tokenizer beside it)")
    if tokenizer.eos_token_id is None:
        raise ValueError(f"the tokenizer of {name!r} has no eos token, so the model could never say that it is done")
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token  # as GPT-2 is used everywhere; masks, not ids, say what is padding
    return model.eval(), tokenizer


def _require_hub(name: str) -> None:
    """One quick look whether the hub can be reached, instead of minutes of retries."""
    import socket
    from urllib.parse import urlsplit

    advice = f"{name!r} is neither a folder nor in the local cache, and"
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}:
        raise ValueError(f"{advice} HF_HUB_OFFLINE forbids a download; give a folder written with save_pretrained")
    host = urlsplit(os.environ.get("HF_ENDPOINT", "https://huggingface.co")).hostname
    try:
        socket.create_connection((host, 443), timeout=3).close()
    except OSError as error:
        raise ValueError(
            f"{advice} {host} cannot be reached ({error}); give a folder written with save_pretrained"
        ) from error
