"""The judge `endpoint`: any server with an OpenAI-compatible chat API.

The key is read from the environment variable named in the settings and used in one header only: no row, log, message or
exception contains it, even if the server returns it. Independent of pairs and the content of prompts.
"""

from __future__ import annotations

import asyncio
import email.utils
import json
import logging
import os
import time

import httpx2

from engine.curation.judge.ranking import CannotJudge, TryAgain
from engine.errors import JudgeUnavailable
from engine.prompts.rollout import Message
from store.settings import JudgeSection

_LARGEST_REPLY = 2**20
_LONGEST_WAIT = 60.0
_CHECK_SECONDS = 15.0
_NO_MODEL_LIST = (404, 405, 501)
_THIS_REQUEST = (400, 413, 422)
_OTHER_NAMES: dict[str, str | None] = {"max_tokens": "max_completion_tokens", "temperature": None}
"""Parameters that some models reject, and their replacement (None: omit the parameter)."""


class EndpointJudge:
    """A judge that queries an endpoint. Call `start` before the first request and `close` after the last.

    Raises:
        JudgeUnavailable: if the settings are invalid.
    """

    def __init__(self, settings: JudgeSection) -> None:
        problem = settings_problem(settings)
        if problem:
            raise JudgeUnavailable(problem)
        self._settings = settings
        self._parameters: dict[str, object] = {"max_tokens": settings.max_tokens, "temperature": 0}
        self._has_replied = False
        self._client: httpx2.AsyncClient | None = None

    async def start(self) -> None:
        """Open the client, without sending a request."""
        _keep_headers_out_of_logs()
        self._client = httpx2.AsyncClient(headers=_headers(self._settings), timeout=self._settings.timeout)

    async def close(self) -> None:
        """Close the client."""
        if self._client is not None:
            await self._client.aclose()

    async def ask(self, messages: tuple[Message, ...]) -> str:
        """Return the endpoint's reply; empty if its response contains none.

        Raises:
            TryAgain: on a timeout, a connection error, or a response that permits a retry.
            CannotJudge: if the endpoint rejects this request but has replied to others.
            JudgeUnavailable: if the endpoint rejects all requests.
        """
        assert self._client is not None
        payload: dict[str, object] = {
            "model": self._settings.model,
            "messages": list(messages),
            "stream": False,
            **self._parameters,
        }
        try:
            async with asyncio.timeout(self._settings.timeout):
                status, headers, body = await self._post(self._client, payload)
        except TimeoutError:
            raise TryAgain(f"{_place(self._settings)} did not answer within {self._settings.timeout:g} s") from None
        except (httpx2.HTTPError, httpx2.StreamError) as error:
            raise TryAgain(f"{_place(self._settings)} can't be reached ({_safe(error, self._settings)})") from None
        if status == 200:
            self._has_replied = True
            return _content(body) or ""
        raise self._refusal(payload, status, headers, body)

    async def _post(self, client: httpx2.AsyncClient, payload: dict[str, object]) -> tuple[int, httpx2.Headers, bytes]:
        async with client.stream("POST", f"{_base(self._settings)}/chat/completions", json=payload) as response:
            body = b""
            async for part in response.aiter_bytes():
                body += part
                if len(body) > _LARGEST_REPLY:
                    break
            return response.status_code, response.headers, body

    def _refusal(self, payload: dict[str, object], status: int, headers: httpx2.Headers, body: bytes) -> Exception:
        settings = self._settings
        if status in (408, 425, 429) or status >= 500:
            return TryAgain(f"{_place(settings)} answers {status}", _retry_after(headers))
        if status in _THIS_REQUEST:
            said = _said(body, settings)
            for name, other in _OTHER_NAMES.items():
                if name in payload and f"'{name}'" in said and "upported" in said:
                    self._parameters.pop(name, None)
                    if other is not None:
                        self._parameters[other] = payload[name]
                    return TryAgain(f"{_place(settings)} does not take {name!r}", 0.0, counts=False)
            # If the judge has replied before, this pair is probably too long; otherwise the settings are wrong.
            return CannotJudge(said) if self._has_replied else JudgeUnavailable(_refused(status, body, settings))
        return JudgeUnavailable(_refused(status, body, settings))


def check_endpoint(settings: JudgeSection) -> str | None:
    """Return a description of what is wrong with the configured endpoint; None if it is ready.

    Requests the list of models or, if the server has none, one short reply, which takes seconds. Intended as a check
    before long runs.
    """
    problem = settings_problem(settings)
    if problem:
        return problem
    _keep_headers_out_of_logs()
    seconds = min(settings.timeout, _CHECK_SECONDS)
    try:
        with httpx2.Client(headers=_headers(settings), timeout=seconds) as client:
            response = client.get(f"{_base(settings)}/models")
            if response.status_code in _NO_MODEL_LIST:
                asked = {"model": settings.model, "messages": [{"role": "user", "content": "Reply with A."}]}
                response = client.post(f"{_base(settings)}/chat/completions", json=asked)
                if response.status_code == 200 and _content(response.content) is None:
                    return (
                        f"{_place(settings)} answers, but not as an OpenAI-compatible endpoint; is judge.url complete?"
                    )
                return (
                    None if response.status_code == 200 else _refused(response.status_code, response.content, settings)
                )
    except httpx2.TimeoutException:
        return f"{_place(settings)} did not answer within {seconds:g} s; start it, or correct judge.url"
    except httpx2.HTTPError as error:
        return f"{_place(settings)} can't be reached ({_safe(error, settings)}); start it, or correct judge.url"
    if response.status_code != 200:
        return _refused(response.status_code, response.content, settings)
    models = _models(response.content)
    if models is None:
        return f"{_place(settings)} answers, but not as an OpenAI-compatible endpoint; is judge.url complete?"
    if models and settings.model not in models:
        return f"{_place(settings)} has no model {settings.model!r}; it has {', '.join(map(repr, models[:8]))}"
    return None


def settings_problem(settings: JudgeSection) -> str | None:
    """Return what is missing or wrong in the settings, or None. Sends no request."""
    if not settings.url:
        return "judge.url is missing: name the endpoint's base address, e.g. http://127.0.0.1:8000/v1"
    if not settings.model:
        return "judge.model is missing: name the model the endpoint is asked for"
    try:
        url = httpx2.URL(settings.url)
    except (httpx2.InvalidURL, ValueError):
        return "judge.url is not an address; it looks like http://127.0.0.1:8000/v1"
    if url.userinfo or url.query or url.fragment:
        return (
            "judge.url must be a plain address: a key belongs only in the environment variable "
            f"{settings.key_variable} (judge.key_variable)"
        )
    if url.scheme not in ("http", "https") or not url.host:
        return "judge.url must begin with http:// or https:// and name a host, e.g. http://127.0.0.1:8000/v1"
    key = os.environ.get(settings.key_variable, "").strip()
    if not all("!" <= character <= "~" for character in key):
        return (
            f"the environment variable {settings.key_variable} holds no key: it has spaces or foreign characters in it"
        )
    return None


def _headers(settings: JudgeSection) -> dict[str, str]:
    key = os.environ.get(settings.key_variable, "").strip()
    return {"Authorization": f"Bearer {key}"} if key else {}


def _base(settings: JudgeSection) -> str:
    return str(settings.url).rstrip("/")


def _place(settings: JudgeSection) -> str:
    return f"the judge's endpoint {_base(settings)}"


def _refused(status: int, body: bytes, settings: JudgeSection) -> str:
    if status in (401, 403):
        if os.environ.get(settings.key_variable, "").strip():
            return f"{_place(settings)} refuses the key in {settings.key_variable} ({status})"
        return f"{_place(settings)} requires an API key ({status}); set {settings.key_variable} in the environment"
    if 300 <= status < 400:
        return f"{_place(settings)} answers with a redirect ({status}); give the final address as judge.url"
    said = _said(body, settings)
    hint = "; check judge.url and judge.model" if status in (404, *_THIS_REQUEST) else ""
    return f"{_place(settings)} answers {status}{f' ({said})' if said else ''}{hint}"


def _said(body: bytes, settings: JudgeSection) -> str:
    """Return the message of an error response, shortened and without the key."""
    text = body[:4000].decode("utf-8", "replace")
    try:
        error = json.loads(text)["error"]
        text = str(error["message"]) if isinstance(error, dict) else str(error)
    except (ValueError, KeyError, TypeError):
        pass
    return " ".join(_safe(text, settings).split())[:300]


def _safe(said: object, settings: JudgeSection) -> str:
    """Return external text with the key removed."""
    text = str(said) or type(said).__name__
    key = os.environ.get(settings.key_variable, "").strip()
    return text.replace(key, "…") if key else text


def _content(body: bytes) -> str | None:
    """Return the text of a chat completion; None if the body is not one."""
    try:
        found = json.loads(body)["choices"][0]["message"]["content"]
    except (ValueError, KeyError, IndexError, TypeError, RecursionError):
        return None
    return found if isinstance(found, str) else ""


def _models(body: bytes) -> list[str] | None:
    """Return the names in a list of models; None if the body is not such a list."""
    try:
        return [str(model["id"]) for model in json.loads(body)["data"]]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def _retry_after(headers: httpx2.Headers) -> float | None:
    """Return the bounded delay in seconds that a server requests by `Retry-After`; None without one."""
    value = headers.get("retry-after", "")
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(value).timestamp() - time.time()
        except ValueError:
            return None
    return min(max(seconds, 0.0), _LONGEST_WAIT) if seconds == seconds else None


def _keep_headers_out_of_logs() -> None:
    """Silence the transport, which logs request headers, including the key, at debug level."""
    for name in ("httpx2", "httpcore2"):
        logging.getLogger(name).setLevel(logging.WARNING)
