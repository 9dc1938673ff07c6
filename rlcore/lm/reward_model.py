"""The reward model: a judge of texts, learned from which of two answers somebody preferred."""

import copy
from collections.abc import Sequence
from pathlib import Path

import torch
from datasets import Dataset
from safetensors import SafetensorError
from torch import Tensor, nn
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from rlcore.lm.model import quiet, save_model
from rlcore.lm.scalar_head import ScalarModel, check_positions, check_same_tokenizer
from rlcore.lm.tokenizer import encode
from rlcore.policies import LanguagePolicy
from rlcore.tasks.formats import check_columns
from rlcore.trajectory import last_steps
from rlcore.validate import check_bool, check_same_shape

PAIR = ("prompt", "chosen", "rejected")  # the columns of a preference, TRL's
PIECE = 32  # texts per forward pass


class RewardModel(ScalarModel):
    """One number for a prompt and its completion: the trunk of a language model, read at the last real token.

    r(x, y) = (w · h_end − μ) / σ

    h_end is the last hidden state at the EOS that closes the completion, the only place that knows the whole text. w
    starts at 0. There is no bias: in a comparison of two texts it would cancel. μ = 0 and σ = 1 until `normalize_on`
    is called. The trunk is a copy: training it leaves the model that it came from alone.

    Which token is the last is a matter of lengths, never of ids: it is right under left and right padding, with an EOS
    inside the prompt, and where pad and EOS are one token.

    Raises:
        ValueError: a tokenizer with more tokens than the model has.
    Source: Stiennon et al. (2020), arXiv:2009.01325, section 3.4; Ouyang et al. (2022), arXiv:2203.02155, section 3.5.
    """

    def __init__(self, model: nn.Module, tokenizer):
        super().__init__(model, bias=False)
        if len(tokenizer) > self.trunk.config.vocab_size:
            raise ValueError(f"tokenizer has {len(tokenizer)} tokens, but the model knows only "
                             f"{self.trunk.config.vocab_size}: it is another model's tokenizer")
        self.tokenizer = tokenizer
        self.register_buffer("mean", torch.zeros((), dtype=self.trunk.dtype))  # μ
        self.register_buffer("std", torch.ones((), dtype=self.trunk.dtype))  # σ

    @classmethod
    def from_policy(cls, policy: LanguagePolicy) -> "RewardModel":
        """A reward model whose trunk is a copy of the policy's, with the policy's tokenizer."""
        return cls(policy.model, policy.tokenizer)

    def forward(self, tokens: Tensor, attention_mask: Tensor) -> Tensor:
        """Rewards `[B]` of texts `[B, T]`, differentiable; `attention_mask` (bool) is True on what is no padding.

        Raises:
            ValueError: shapes that differ, a mask that is not bool, or a text of padding only.
        """
        check_same_shape(tokens=tokens, attention_mask=attention_mask)
        check_bool(attention_mask=attention_mask)
        if not attention_mask.any(-1).all():
            raise ValueError("attention_mask has a row that is all False: there is no text to judge")
        values = self.per_token(tokens, attention_mask.long())  # [B, T]
        return (values[last_steps(attention_mask)] - self.mean) / self.std  # [B]

    def by_length(self, tokens: Tensor, attention_mask: Tensor) -> Tensor:
        """As `forward`, for right-padded texts, in pieces of similar length: the same `[B]`, with less padding."""
        order = attention_mask.sum(-1).argsort()
        pieces = [self(*_trim(tokens[rows], attention_mask[rows])) for rows in order.split(PIECE)]
        return torch.cat(pieces)[order.argsort()]  # [B]

    @torch.no_grad()
    def score(self, prompts: Sequence[str], completions: Sequence[str]) -> Tensor:
        """Rewards `[B]` of texts. Each completion is closed with EOS; an empty one is a policy that stopped at once.

        Every distinct text is computed once, so equal texts get equal rewards, to the bit: rounding never makes a
        group of equal answers look as if there were something to learn from it.

        Raises:
            ValueError: one text where a list belongs, lists of unequal lengths, a text with words that the tokenizer
                does not know, or one that is longer than the model's positions.
        """
        for name, texts in (("prompts", prompts), ("completions", completions)):
            if isinstance(texts, str):
                raise ValueError(f"{name} must be a list of texts, but is one text, {texts!r}: write [{texts!r}]")
        if len(prompts) != len(completions):
            raise ValueError(f"prompts and completions must be equally many, but are {len(prompts)} and "
                             f"{len(completions)}")
        if len(prompts) == 0:
            raise ValueError("prompts is empty")
        texts = list(zip(prompts, completions, strict=True))
        number = {text: i for i, text in enumerate(dict.fromkeys(texts))}
        tokens, real = self.pack(*zip(*number, strict=True))
        return self.by_length(tokens, real)[[number[text] for text in texts]]  # [B]

    def reward(self, prompts: Sequence[str], completions: Sequence[str], **columns) -> list[float]:
        """`score` as a reward function in TRL's convention: hand `model.reward` to whatever takes one."""
        return self.score(prompts, completions).tolist()

    def pack(self, prompts: Sequence[str], completions: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Prompt, completion, EOS: right-padded tokens `[B, T]`, and which of them are real, `[B, T]` bool."""
        once = {text: encode(self.tokenizer, text) for text in dict.fromkeys(prompts)}
        texts = [[*once[p], *(encode(self.tokenizer, c) if c else []), self.tokenizer.eos_token_id]
                 for p, c in zip(prompts, completions, strict=True)]
        lengths = torch.tensor([len(text) for text in texts])
        check_positions("prompts with completions", int(lengths.max()), self.trunk)
        real = torch.arange(int(lengths.max())) < lengths[:, None]  # [B, T]
        tokens = torch.zeros(real.shape, dtype=torch.long)  # whatever stands in the padding is never looked at
        tokens[real] = torch.tensor([token for text in texts for token in text])
        return tokens, real

    def normalize_on(self, dataset: Dataset) -> None:
        """Set μ and σ so that the rewards of these texts have mean 0 and standard deviation 1 (ddof = 1).

        The scale of a Bradley–Terry score is whatever training left it at, and its zero means nothing. In standard
        deviations of held-out answers a reward can be compared with a KL penalty, and β means the same for every model.

        Raises:
            ValueError: columns that are missing, a row that is no pair, or scores that are all equal.
        """
        check_columns(dataset, *PAIR)
        prompts = list(dataset["prompt"])
        scores = torch.cat([self.score(prompts, list(dataset[name])) for name in ("chosen", "rejected")])  # [2N]
        raw = scores * self.std + self.mean
        if not raw.std() > 0:
            raise ValueError(f"every text of dataset gets the score {raw[0].item():.3g}: the model is not trained yet")
        self.mean.copy_(raw.mean())
        self.std.copy_(raw.std())

    def check_fits(self, policy: LanguagePolicy) -> None:
        """Require the policy's tokenizer.

        Raises:
            ValueError: the two read texts differently; the message names a token.
        """
        check_same_tokenizer("reward model", self.tokenizer, policy)

    def save_pretrained(self, folder: str | Path) -> None:
        """Write it as Transformers' own kind of reward model, with one label; μ and σ go into its config.

        `load_reward_model`, `AutoModelForSequenceClassification` and TRL read it. Careful with theirs: Transformers
        looks for the last token that is not pad, which misses the EOS where the two are one token.
        """
        config = copy.deepcopy(self.trunk.config)
        config.num_labels, config.reward_mean, config.reward_std = 1, self.mean.item(), self.std.item()
        with torch.device("meta"):  # a shell: its weights are about to be replaced
            classifier = AutoModelForSequenceClassification.from_config(config)
        setattr(classifier, classifier.base_model_prefix, self.trunk)
        classifier.score = self.head
        save_model(classifier, self.tokenizer, folder)


def load_reward_model(folder: str | Path) -> RewardModel:
    """Read what `RewardModel.save_pretrained` wrote, from a folder.

    Raises:
        ValueError: there is no such folder, or it holds no reward model.
    """
    path = Path(folder).expanduser()
    if not path.is_dir():
        raise ValueError(f"there is no folder {path}")
    try:
        with quiet():
            classifier, about = AutoModelForSequenceClassification.from_pretrained(
                str(path), local_files_only=True, use_safetensors=True, output_loading_info=True
            )
            tokenizer = AutoTokenizer.from_pretrained(str(path), local_files_only=True)
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise ValueError(f"the folder {path} holds no reward model that can be loaded "
                         f"({type(error).__name__}: {str(error).splitlines()[0][:200]})") from error
    if about["missing_keys"]:  # Transformers fills them with random numbers and goes on
        raise ValueError(f"the folder {path} holds a model, but no reward model: {sorted(about['missing_keys'])[0]} "
                         "is missing")
    model = RewardModel(classifier, tokenizer)
    with torch.no_grad():
        model.head.weight.copy_(classifier.score.weight)
        model.mean.fill_(getattr(classifier.config, "reward_mean", 0.0))
        model.std.fill_(getattr(classifier.config, "reward_std", 1.0))
    return model


def _trim(tokens: Tensor, real: Tensor) -> tuple[Tensor, Tensor]:
    """Cut off the columns on the right that are padding in every row."""
    width = int(real.any(0).nonzero()[-1]) + 1
    return tokens[:, :width], real[:, :width]
