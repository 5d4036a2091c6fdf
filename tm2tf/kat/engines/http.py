"""A server with OpenAI's completions endpoint: llama.cpp's, vLLM's, and others'.

Prompts are sent as ids, or as text if that is asked for or the server takes no ids; what comes back
is text, whose words are tokens. Servers do not show the token that ended a row: it counts as right
where the row had to end. Contexts are scored where the server can echo a prompt with its most
probable tokens. Tried with the server of llama-cpp-python, which takes text alone, one prompt at a
time.
"""

from __future__ import annotations

import http.client
import json
import math
import urllib.error
import urllib.request
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tm2tf.errors import InputError
from tm2tf.kat import answers as known
from tm2tf.kat.engine import HIDDEN, Sampled, Session, SilentError, UnsupportedError

SECONDS = 600.0
"""How long a server may take for an answer: thousands of tokens, on a slow machine."""

Prompt = str | list[int]
Choice = dict[str, Any]


class RefusedError(InputError):
    """The server answered with an error, 4xx or 5xx: it does not do this, or fails to."""


@dataclass(frozen=True, slots=True)
class HttpEngine:
    """A server.

    Attributes:
        url: up to `/v1`.
        model: what the server calls the model; None for the name of the case.
        as_text: whether prompts are sent as text.
    """

    url: str
    model: str | None = None
    as_text: bool = False

    @property
    def name(self) -> str:
        """Where it is."""
        return self.url

    def models(self) -> tuple[str, ...] | None:
        """Return what the server says it has; None if it does not say.

        Raises:
            InputError: no server answers.
        """
        try:
            listed = _asked(f"{self.url}/models", None)["data"]
            return tuple(str(entry["id"]) for entry in listed)
        except (RefusedError, KeyError, TypeError):
            return None

    def load(self, folder: Path) -> Session:
        """Return a session for the case that a folder holds.

        Raises:
            InputError: no server answers, or it has no such model.
        """
        answers = known.load(folder)
        return HttpSession(self.url, self._called(folder.name), answers, self.as_text)

    def _called(self, case: str) -> str:
        """Return what the server calls the model of a case."""
        if self.model is not None:
            return self.model
        there = self.models()
        if there is None:
            return case
        # servers call a model by the path that it was loaded from
        for name in there:
            if case in Path(name).parts:
                return name
        raise InputError(
            f"the server has no model called {case!r}, it has: {', '.join(there) or 'none'}; say "
            "which case it serves, and what it calls it, with --case and --model"
        )


class HttpSession:
    """A model of a server."""

    def __init__(self, url: str, model: str, answers: known.Answers, as_text: bool) -> None:
        self._url, self._model, self._as_text = url, model, as_text
        self._words = answers.vocabulary
        self._ids = {name: number for number, name in enumerate(answers.vocabulary)}

    def generate(
        self, prompts: Sequence[Sequence[int]], count: int, stop: Collection[int]
    ) -> list[list[int]]:
        """Return up to `count` tokens that follow each prompt; several prompts are one request.

        Raises:
            UnsupportedError: the server refuses several prompts.
            InputError: it does not answer.
        """
        ask = {"max_tokens": count, "temperature": 0}
        if len(prompts) == 1:
            return [self._row(self._following(prompts, ask)[0], count, stop)]
        try:
            choices = self._following(prompts, ask)
        except RefusedError as error:
            raise UnsupportedError(f"several prompts in one request are refused: {error}") from None
        return [self._row(choice, count, stop) for choice in choices]

    def score(self, tokens: Sequence[int]) -> list[int] | None:
        """Return the most probable token after each position, if the server echoes prompts."""
        ask = {"max_tokens": 1, "temperature": 0, "echo": True, "logprobs": 1}
        try:
            choice = self._following([tokens], ask)[0]
        except RefusedError:
            return None
        best = (choice.get("logprobs") or {}).get("top_logprobs") or []
        if len(best) != len(tokens) + 1 or not all(best[1:]):  # nothing comes before the first
            return None
        return [self._id(max(words, key=words.__getitem__)) for words in best[1:]]

    def sample(
        self, prompt: Sequence[int], count: int, stop: Collection[int], seed: int
    ) -> Sampled:
        """Return tokens drawn at temperature 1, and the greatest 1 - p that the server tells."""
        ask = {"max_tokens": count, "temperature": 1, "top_p": 1, "seed": seed, "logprobs": 1}
        choice = self._following([prompt], ask)[0]
        logs = (choice.get("logprobs") or {}).get("token_logprobs") or []
        row = self._row(choice, count, stop)
        doubts = [max(0.0, -math.expm1(log)) for log in logs[: len(row)] if log is not None]
        return Sampled(row, max(doubts, default=None))

    def _following(self, prompts: Sequence[Sequence[int]], ask: dict[str, Any]) -> list[Choice]:
        """Return what follows prompts; a server that takes no ids is asked by text from then on."""
        try:
            return self._complete([self._prompt(prompt) for prompt in prompts], ask)
        except RefusedError:
            if self._as_text:
                raise
            self._as_text = True
            try:
                return self._complete([self._prompt(prompt) for prompt in prompts], ask)
            except RefusedError:
                self._as_text = False  # it was not that
                raise

    def _prompt(self, tokens: Sequence[int]) -> Prompt:
        return " ".join(self._words[i] for i in tokens) if self._as_text else list(tokens)

    def _complete(self, prompts: list[Prompt], ask: dict[str, Any]) -> list[Choice]:
        """Return the choices that the server gives, in the order of prompts."""
        prompt = prompts[0] if len(prompts) == 1 else prompts
        value = _asked(f"{self._url}/completions", {"model": self._model, "prompt": prompt, **ask})
        try:
            choices: list[Choice] = sorted(
                value["choices"], key=lambda choice: choice.get("index", 0)
            )
            for choice in choices:
                str(choice["text"])
        except (KeyError, TypeError, AttributeError):
            raise InputError(
                f"{self._url} answers with no completion: {str(value)[:200]}"
            ) from None
        if not choices:
            raise InputError(f"{self._url} answers with no choices")
        return choices

    def _row(self, choice: dict[str, Any], count: int, stop: Collection[int]) -> list[int]:
        row: list[int] = []
        for word in str(choice["text"]).split():
            row.append(self._id(word))
            if row[-1] in stop:
                return row
        if len(row) < count and choice.get("finish_reason") == "stop":
            row.append(HIDDEN)
        return row

    def _id(self, word: str) -> int:
        """Return the id of a word; of `<unk>`, the last one, if it is none."""
        return self._ids.get(word.strip(), len(self._words) - 1)


def _asked(url: str, body: dict[str, Any] | None) -> Any:
    """Return the JSON that a server answers with (to POST, if there is a body).

    Raises:
        RefusedError: it answers with an error.
        SilentError: it does not answer in time.
        InputError: it does not answer, or not with JSON; or the URL is none.
    """
    data = None if body is None else json.dumps(body).encode()
    try:
        asked = urllib.request.Request(url, data, {"Content-Type": "application/json"})
        with urllib.request.urlopen(asked, timeout=SECONDS) as answer:
            said = answer.read()
    except urllib.error.HTTPError as error:
        why = error.read().decode(errors="replace").strip()[:200]
        raise RefusedError(f"{url} answers with {error.code} {error.reason}: {why}") from None
    except OSError as error:  # URLError is one
        reason = getattr(error, "reason", None) or error
        if isinstance(reason, TimeoutError):
            raise SilentError(f"no answer from {url} in {SECONDS:,.0f} seconds") from None
        raise InputError(
            f"no server answers at {url}: {reason}; start one that serves a case of the suite"
        ) from None
    except (ValueError, http.client.HTTPException) as error:
        raise InputError(
            f"cannot ask {url}: {error!r}; expected the URL of a server, such as "
            "http://127.0.0.1:8080/v1"
        ) from None
    try:
        return json.loads(said)
    except ValueError:
        raise InputError(f"{url} answers with something that is no JSON") from None
