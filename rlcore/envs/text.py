"""Text as a world: the state is the text so far, an action is the next token, and the reward comes with the last one.

The same `reset()` and `step()` as the robot dog's, so a language model can be walked through it by hand, and
`rlcore.rollout.collect` runs it. It writes one token at a time; `rlcore.lm.generate` writes the same trajectories in
batches, faster.

Source: the token-level MDP of Ramamurthy et al. (2023), arXiv:2210.01241, section 3.1.
"""

import math
from collections.abc import Callable, Iterable, Mapping

import gymnasium as gym
import numpy as np

BLANK = -1  # in a state: nothing is written here yet. No token has this number, so the text's length can be seen


class TextEnv(gym.Env):
    """`Text-v0`: one prompt, one completion.

    A state is the text so far as token ids, `[positions]`, with `BLANK` behind it. An action is the next token. EOS
    terminates; the last token that is allowed truncates (the text had more to say). Until then the reward is 0; then
    it is what the reward function says of the completion, whole or cut off.

    Args:
        dataset: rows with a `prompt` and whatever the reward looks at: a `datasets.Dataset`, or a list of dicts.
        tokenizer: turns text into tokens and back; one of Transformers', with an EOS.
        reward: `f(prompts, completions, **columns) -> list[float]`; here all lists hold one entry.
        max_new_tokens: the length limit of a completion, EOS included.
        positions: the longest text in tokens: the model's `config.n_positions`.
        render_mode: None, or "ansi" for the text as a string.

    Raises:
        ValueError: no row, or one without a prompt; a limit below 1; an unknown render mode; at `reset`, a prompt that
            is empty, holds what the tokenizer does not know, or leaves too few positions; at `step`, an action that is
            no token, or a reward that is no finite number.
    """

    metadata = {"render_modes": ["ansi"], "render_fps": 4}  # noqa: RUF012 (Gymnasium's own form)

    def __init__(self, dataset: Iterable[Mapping], tokenizer, reward: Callable[..., list[float]], *,
                 max_new_tokens: int, positions: int, render_mode: str | None = None):
        self.rows = [dict(row) for row in dataset]
        if not self.rows or not all("prompt" in row for row in self.rows):
            raise ValueError("dataset must have at least one row, each with a 'prompt', but has "
                             f"{len(self.rows)} rows with {sorted({name for row in self.rows for name in row})}")
        if max_new_tokens < 1 or max_new_tokens != int(max_new_tokens):
            raise ValueError(f"max_new_tokens must be a whole number of at least 1, but is {max_new_tokens}")
        if render_mode not in (None, "ansi"):
            raise ValueError(f"render_mode must be None or 'ansi', but is {render_mode!r}")
        self.tokenizer, self.reward, self.render_mode = tokenizer, reward, render_mode
        self.max_new_tokens, self.positions = max_new_tokens, positions
        self.over = True  # until reset() begins a text
        size = len(tokenizer)
        self.observation_space = gym.spaces.MultiDiscrete([size + 1] * positions, start=[BLANK] * positions)
        self.action_space = gym.spaces.Discrete(size)

    def reset(self, *, seed: int | None = None, options: dict | None = None):
        """A row drawn at random, or the one with `options={"prompt": …}`: the prompt as a state, and info.

        Options may also bring the reward's columns, for a prompt of one's own: `{"prompt": "1+1=", "answer": 2}`.
        """
        super().reset(seed=seed)
        self.row = self._choose(options) if options else self.rows[self.np_random.integers(len(self.rows))]
        self.written = list(self._encode(self.row["prompt"]))  # all tokens so far
        self.start, self.over, self.paid = len(self.written), False, 0.0
        if self.start + self.max_new_tokens > self.positions:
            raise ValueError(f"a prompt of {self.start} tokens and max_new_tokens={self.max_new_tokens} make "
                             f"{self.start + self.max_new_tokens}, but there are only {self.positions} positions")
        return self._state(), self._info()

    def step(self, action: int):
        """Write one token: state `[positions]`, reward, terminated (EOS), truncated (the limit), info."""
        if self.over:
            raise gym.error.ResetNeeded("the text is over: call reset() before the next step()")
        if not self.action_space.contains(action):
            raise ValueError(f"action must be a token, an int from 0 to {self.action_space.n - 1}, but is {action!r}")
        self.written.append(int(action))
        terminated = bool(action == self.tokenizer.eos_token_id)
        truncated = not terminated and len(self.written) - self.start == self.max_new_tokens
        self.over = terminated or truncated
        self.paid = self._verdict() if self.over else 0.0
        return self._state(), self.paid, terminated, truncated, self._info()

    def render(self) -> str | None:
        """The text so far and a cursor; once it is over, all its tokens and what they were worth."""
        if self.render_mode is None:
            return None
        text = self.tokenizer.decode(self.written)
        return f"{text}  (reward {self.paid:g})" if self.over else f"{text}▌"

    def _state(self) -> np.ndarray:
        state = np.full(self.positions, BLANK, dtype=np.int64)
        state[: len(self.written)] = self.written
        return state

    def _info(self) -> dict[str, str]:
        written = self.tokenizer.decode(self.written[self.start :], skip_special_tokens=True)
        return {"prompt": self.row["prompt"], "completion": written}

    def _choose(self, options: dict) -> dict:
        """The first row with the prompt that was asked for, and what else the options say."""
        if "prompt" not in options:
            raise ValueError(f"options must have a 'prompt', but has {sorted(options)}")
        known = next((row for row in self.rows if row["prompt"] == options["prompt"]), {})
        row = {**known, **options}
        missing = self.rows[0].keys() - row.keys() - {"completion"}
        if missing:
            raise ValueError(f"options must also have {sorted(missing)}, which the reward may look at: the prompt "
                             f"{options['prompt']!r} is not in the dataset")
        return row

    def _encode(self, prompt: str) -> list[int]:
        try:
            tokens = self.tokenizer(prompt, add_special_tokens=False)["input_ids"]
        except Exception as error:  # the Rust library raises bare Exceptions
            raise ValueError(f"prompt {prompt!r} cannot be written in this tokenizer's vocabulary") from error
        if not tokens:
            raise ValueError(f"prompt {prompt!r} has no tokens: it needs at least one, to predict the next from")
        return tokens

    def _verdict(self) -> float:
        """What the reward function says; it does not see the `completion` that SFT would imitate."""
        columns = {name: [entry] for name, entry in self.row.items() if name not in ("prompt", "completion")}
        completion = self._info()["completion"]
        values = self.reward(prompts=[self.row["prompt"]], completions=[completion], **columns)
        try:
            value, = (float(value) for value in values)
        except (TypeError, ValueError):  # not a list, not one, or no number
            value = math.nan
        if not math.isfinite(value):
            name = getattr(self.reward, "__name__", repr(self.reward))
            raise ValueError(f"reward {name} must return a list of one finite number for one completion, but for "
                             f"{completion!r} returned {values!r}")
        return value
