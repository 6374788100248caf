"""Rationales from a model behind an OpenAI-compatible endpoint.

The key is read from the environment when a request is made. It goes into the request's header and nowhere else: not
into a file, a message or the text of an object, and it does not follow a redirection.
"""

from __future__ import annotations

import email.utils
import json
import math
import os
import time
import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lowres.params import InputError

KEY, PER_MINUTE = "LOWRES_BETA_KEY", "LOWRES_BETA_PER_MINUTE"
LONGEST_WAIT = 120.0  # seconds, whatever the endpoint asks for
SHOWN = 200  # characters of what an endpoint answered
TRANSIENT = (408, 409, 425, 429)  # besides all from 500 on
REFUSED = (401, 403)


class EndpointError(InputError):
    """The endpoint gave no usable answer, after all retries or because retrying cannot help."""


@dataclass(frozen=True)
class Completion:
    """What a model wrote, its tokens as the endpoint counts them (0 if it does not), and whether it was cut off."""

    text: str
    prompt_tokens: int
    new_tokens: int
    cut: bool


def allowed_per_minute() -> float:
    """How many requests an endpoint gets a minute: $LOWRES_BETA_PER_MINUTE, else 60.

    Raises:
        InputError: it is no number above 0.
    """
    given = os.environ.get(PER_MINUTE, "60")
    try:
        found = float(given)
    except ValueError:
        found = math.nan
    if not 0 < found < math.inf:
        raise InputError(f"{PER_MINUTE} must be a number above 0, not {given!r}")
    return found


@dataclass
class Endpoint:
    """A model at an address. `per_minute` limits the requests; `retries` come after the first try, ever later.

    `sleep` and `now` are there for tests.
    """

    url: str
    model: str
    max_new_tokens: int = 128
    timeout: float = 60.0
    retries: int = 5
    backoff: float = 1.0
    per_minute: float = field(default_factory=allowed_per_minute)
    sleep: Callable[[float], None] = field(default=time.sleep, repr=False)
    now: Callable[[], float] = field(default=time.monotonic, repr=False)
    _free: float = field(default=float("-inf"), repr=False, init=False)

    def __post_init__(self) -> None:
        problem = check_url(self.url)
        if problem:
            raise InputError(problem)

    def complete(
        self, messages: Sequence[Mapping[str, str]], temperature: float = 0.0, seed: int | None = None
    ) -> Completion:
        """The model's next turn in a chat of messages with `role` and `content`.

        Raises:
            EndpointError: the endpoint refuses the request, or still fails after the last retry.
        """
        body: dict[str, Any] = {
            "model": self.model,
            "messages": list(messages),
            "temperature": temperature,
            "max_tokens": self.max_new_tokens,
        }
        body |= {} if seed is None else {"seed": seed}
        last = ""
        for attempt in range(self.retries + 1):
            self._wait_for_turn()
            try:
                return read_completion(self._post(body))
            except Transient as problem:
                last = str(problem)
                if attempt < self.retries:
                    self.sleep(min(LONGEST_WAIT, max(problem.wait, self.backoff * 2**attempt)))
        raise EndpointError(f"{self.url} gave no answer in {self.retries + 1} tries, the last time: {last}")

    def _wait_for_turn(self) -> None:
        pause = self._free - self.now()
        if pause > 0:
            self.sleep(pause)
        self._free = self.now() + 60.0 / self.per_minute

    def _post(self, body: Mapping[str, Any]) -> bytes:
        """What the endpoint answers; no redirection is followed, so that the key goes nowhere else."""
        import httpx

        headers = {"Authorization": f"Bearer {key}"} if (key := _key()) else {}
        try:
            answer = httpx.post(completions_url(self.url), json=dict(body), headers=headers, timeout=self.timeout)
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:  # no such host, no connection, no time left
            raise Transient(f"{type(error).__name__}: {_shown(str(error))}") from None
        if answer.status_code in TRANSIENT or answer.status_code >= 500:
            raise Transient(f"HTTP {answer.status_code}", _retry_after(answer.headers.get("Retry-After")))
        if not answer.is_success:  # where the key is refused, the answer may repeat it, or parts of it
            told = f"is the right key in {KEY}?" if answer.status_code in REFUSED else _shown(answer.text)
            raise EndpointError(f"{self.url} answered HTTP {answer.status_code}: {told}")
        return answer.content


class Transient(Exception):
    """A failure that may pass; `wait` is how many seconds the endpoint asked to be left alone."""

    def __init__(self, reason: str, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.wait = wait


def check_url(url: str) -> str | None:
    """What is wrong with the address of an endpoint, or None. Never repeats what could be a password in it."""
    try:
        parts = urllib.parse.urlsplit(url)
        port_is_a_number = parts.port is None or parts.port > 0
    except ValueError:
        return "the endpoint's address is malformed: write it like https://host/v1"
    if parts.scheme not in ("http", "https") or not parts.hostname or not port_is_a_number:
        return f"the endpoint's address has to look like https://host/v1, not {url.rpartition('@')[2]!r}"
    if parts.username or parts.password or parts.query or parts.fragment:
        return f"the endpoint's address must hold no user, password or query: it is kept on disk. Put a key into {KEY}"
    return None


def completions_url(url: str) -> str:
    """Where the chat completions of an endpoint are, given its base address or the whole one."""
    base = url.rstrip("/")
    return base if base.endswith("/chat/completions") else f"{base}/chat/completions"


def read_completion(content: bytes) -> Completion:
    """An endpoint's answer; one without any text is a completion all the same, an empty one.

    Raises:
        Transient: it is not JSON, or holds no choices.
    """
    try:
        answer = json.loads(content)
        choice = answer["choices"][0]
        text = choice["message"]["content"] or ""
    except (ValueError, RecursionError):
        raise Transient(f"not JSON: {_shown(content.decode(errors='replace'))}") from None
    except (KeyError, IndexError, TypeError):
        raise Transient(f"no choices in the answer: {_shown(content.decode(errors='replace'))}") from None
    if not isinstance(text, str):
        raise Transient("the answer's content is no text")
    usage = answer.get("usage") if isinstance(answer.get("usage"), dict) else {}
    counts = (usage.get(name) for name in ("prompt_tokens", "completion_tokens"))
    prompt, new = (count if isinstance(count, int) else 0 for count in counts)
    return Completion(text, prompt, new, choice.get("finish_reason") == "length")


def _key() -> str:
    key = os.environ.get(KEY, "").strip()
    if not key.isascii() or not key.isprintable() or " " in key:
        raise InputError(f"{KEY} holds something that no key has: a space, a line end or a letter that is not ASCII")
    return key


def _shown(text: str) -> str:
    """The beginning of a foreign text on one line, without the key."""
    key = os.environ.get(KEY, "").strip()
    text = " ".join((text.replace(key, "[key]") if key else text).split())
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


def _retry_after(value: str | None) -> float:
    """Seconds from the header, which holds seconds or a date; 0 if it is absent or unreadable."""
    if not value:
        return 0.0
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, TypeError):
        return 0.0
