"""Tests of the endpoint judge over real HTTP: servers that are down, slow, overloaded, wrong or verbose; and the
secrecy of its key.
"""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.curation.judge.endpoint import EndpointJudge, check_endpoint
from engine.curation.judge.ranking import CannotJudge, JudgedPair, PairRanking, Tally, TryAgain
from engine.errors import JudgeUnavailable
from engine.prompts.judge import judge_messages
from engine.stages.judge_pairs import StoreLedger
from store.curation.judge_requests import judge_requests
from store.curation.preferences import preferences_of
from store.settings import JudgeSection
from tests.support.endpoint import ChatEndpoint, Json, Reply, chat_endpoint, error, longer_first, said
from tests.support.rows import Rows

KEY = "sk-c0ffee-secret-0123456789"
ASKED = judge_messages("Q?", "It is 4.", "short", "a longer one")


def settings(url: str, **changes: Any) -> JudgeSection:
    """Settings of an endpoint, with timeouts short enough for a test."""
    values = {"by": "endpoint", "url": url, "model": "judge-model", "timeout": 5.0, "key_variable": "TEST_JUDGE_KEY"}
    return JudgeSection.model_validate(values | changes)


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the key of these tests, and no proxy between them and their server."""
    monkeypatch.setenv("TEST_JUDGE_KEY", KEY)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


async def _ask(wanted: JudgeSection, times: int = 1) -> list[str]:
    judge = EndpointJudge(wanted)
    await judge.start()
    try:
        return [await judge.ask(ASKED) for _ in range(times)]
    finally:
        await judge.close()


def ask(wanted: JudgeSection, times: int = 1) -> list[str]:
    """Return the replies to the same question."""
    return asyncio.run(_ask(wanted, times))


class Desk:
    """Two pairs to judge, in a store of their own."""

    def __init__(self, folder: Path) -> None:
        self.rows = Rows(folder / "reflectevo.db")
        self.pairs = []
        for position in range(2):
            question = self.rows.question(f"q{position}")
            attempt = self.rows.attempt(question)
            first, _ = self.rows.corrected(attempt, question, text="short")
            second, _ = self.rows.corrected(attempt, question, instruction="1-2-1", text="a longer one")
            self.pairs.append(JudgedPair(first, second, "Q?", "It is 4.", "short", "a longer one"))

    def judge(self, endpoint: ChatEndpoint, *, retries: int = 3, concurrency: int = 1, **changes: Any) -> Tally:
        wanted = settings(endpoint.url, **changes)

        async def run() -> Tally:
            judge = EndpointJudge(wanted)
            await judge.start()
            try:
                ledger = StoreLedger(self.rows.connection, self.rows.iteration, "endpoint judge-model", 100)
                judging = PairRanking(
                    judge, ledger, concurrency=concurrency, retries=retries, unclear_retries=retries, backoff=0.01
                )
                return await judging.run(self.pairs)
            finally:
                await judge.close()

        return asyncio.run(run())


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """Two pairs to judge."""
    made = Desk(tmp_path)
    yield made
    made.rows.connection.close()


def closed_port() -> int:
    """A port without a listener."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])


def test_a_question_goes_out_as_the_protocol_has_it() -> None:
    """Greedy, one reply, the key as a bearer token; a trailing slash of the address is not doubled."""
    with chat_endpoint() as endpoint:
        assert ask(settings(endpoint.url + "/", max_tokens=9)) == ["Better: B"]
        (payload,) = endpoint.payloads
        assert payload == {
            "model": "judge-model",
            "messages": list(ASKED),
            "stream": False,
            "max_tokens": 9,
            "temperature": 0,
        }
        assert endpoint.keys == [f"Bearer {KEY}"]


def test_without_a_key_none_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """A local server needs none."""
    monkeypatch.delenv("TEST_JUDGE_KEY")
    with chat_endpoint() as endpoint:
        ask(settings(endpoint.url))
        assert endpoint.keys == [None]


@pytest.mark.parametrize(
    ("reply", "kind", "words"),
    [
        (error(429, retry_after="7"), TryAgain, "answers 429"),
        (error(500), TryAgain, "answers 500"),
        (error(503), TryAgain, "answers 503"),
        (error(401, f"bad key {KEY}"), JudgeUnavailable, r"refuses the key in TEST_JUDGE_KEY \(401\)"),
        (error(404, "no such model"), JudgeUnavailable, r"answers 404 \(no such model\); check judge.url"),
        (error(400, "unknown field"), JudgeUnavailable, r"answers 400 \(unknown field\)"),
        (Reply(301, headers={"Location": "http://elsewhere/"}), JudgeUnavailable, "redirect"),
        (Reply(delay=1.0), TryAgain, "did not answer within 0.3 s"),
        (Reply(trickle=True), TryAgain, "did not answer within 0.3 s"),
    ],
)
def test_what_is_no_reply(reply: Reply, kind: type[Exception], words: str) -> None:
    """Transient errors are retried, permanent ones are reported with a message, and no server holds a request longer
    than allowed.
    """
    with chat_endpoint(lambda *_: reply) as endpoint, pytest.raises(kind, match=words) as caught:
        ask(settings(endpoint.url, timeout=0.3))
    assert KEY not in str(caught.value)
    if reply.headers.get("retry_after"):
        assert isinstance(caught.value, TryAgain) and caught.value.after == 7.0


def test_an_endpoint_that_is_down_is_tried_again_and_then_named() -> None:
    """A refused connection is retried, and the error names the endpoint."""
    with pytest.raises(TryAgain, match=r"the judge's endpoint http://127.0.0.1:\d+/v1 can't be reached"):
        ask(settings(f"http://127.0.0.1:{closed_port()}/v1"))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>busy</html>",
        b"[]",
        b'{"choices": []}',
        b'{"choices": [{"message": {"content": null}}]}',
        b"\xff" * 9,
    ],
)
def test_a_body_that_is_no_completion_is_a_reply_that_says_nothing(body: bytes) -> None:
    """It counts as unclear and is requested again, not as a connection failure."""
    with chat_endpoint(lambda *_: Reply(body=body)) as endpoint:
        assert ask(settings(endpoint.url)) == [""]


def test_an_endless_body_is_not_read_to_its_end() -> None:
    """A wrong address may serve a huge file."""
    with chat_endpoint(lambda *_: Reply(body=b"x" * (3 * 2**20))) as endpoint:
        assert ask(settings(endpoint.url)) == [""]


def test_a_pair_that_is_too_long_is_left_out_once_the_endpoint_took_others() -> None:
    """A refusal of the first request means the request is wrong; a later one, that this pair is."""
    with (
        chat_endpoint(lambda number, _: error(400, "context length") if number else said("Better: A")) as endpoint,
        pytest.raises(CannotJudge, match="context length"),
    ):
        ask(settings(endpoint.url), times=2)


def test_parameters_that_a_model_does_not_take_are_put_differently(desk: Desk) -> None:
    """Some models need another name for the length and reject a temperature."""

    def picky(number: int, payload: Json) -> Reply:
        for name in ("max_tokens", "temperature"):
            if name in payload:
                return error(400, f"Unsupported parameter: '{name}' is not supported with this model.")
        return said(longer_first(payload))

    with chat_endpoint(picky) as endpoint:
        tally = desk.judge(endpoint, retries=0)
        assert (tally.consistent, tally.requests) == (2, 6)
        assert endpoint.payloads[-1]["max_completion_tokens"] == 256


def test_bad_hours_then_good_ones(desk: Desk) -> None:
    """Overloaded, failing, invalid, slow, and then working: every pair judged, every request counted."""
    bad = [error(429, retry_after="0"), error(502), said("Both."), Reply(delay=4.0), Reply(body=b"{")]

    def script(number: int, payload: Json) -> Reply:
        return bad[number] if number < len(bad) else said(longer_first(payload))

    with chat_endpoint(script) as endpoint:
        tally = desk.judge(endpoint, timeout=3.0)
        assert (tally.consistent, tally.unclear, tally.requests) == (2, 2, 9)
        assert len(endpoint.payloads) == 9
    answers = [one.answer for one in judge_requests(desk.rows.connection, desk.rows.iteration)]
    assert answers == ["failed", "failed", "unclear", "failed", "unclear", "second", "first", "second", "first"]
    found = preferences_of(desk.rows.connection, desk.rows.iteration)
    assert [(one.chosen_id, one.confidence, one.reviewer) for one in found] == [
        (pair.second_id, 1.0, "endpoint judge-model") for pair in desk.pairs
    ]


def test_an_endpoint_that_goes_down_half_way_keeps_what_it_said(desk: Desk) -> None:
    """A clear error, and a resume that requests only what is missing."""
    with chat_endpoint(lambda n, payload: said(longer_first(payload)) if n < 3 else error(503)) as endpoint:
        with pytest.raises(JudgeUnavailable, match="answers 503, 2 times in a row"):
            desk.judge(endpoint, retries=1)
        assert len(preferences_of(desk.rows.connection, desk.rows.iteration)) == 1
        endpoint.script = lambda _, payload: said(longer_first(payload))
        desk.pairs = desk.pairs[1:]
        assert desk.judge(endpoint).requests == 1
    assert len(preferences_of(desk.rows.connection, desk.rows.iteration)) == 2


def test_the_key_is_nowhere_but_in_its_header(
    desk: Desk, tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """Not in the database, not in the most verbose log, not in an error, not on a screen; even when the server returns
    it.
    """
    caplog.set_level(logging.DEBUG)
    texts = []
    with chat_endpoint(lambda *_: said(f"Better: A {KEY}")) as endpoint:
        desk.judge(endpoint)
        for status in (400, 401, 404, 429, 500):
            endpoint.script = lambda *_, status=status: error(status, f"Incorrect API key provided: {KEY}")  # type: ignore[misc]
            with pytest.raises((TryAgain, JudgeUnavailable, CannotJudge)) as caught:
                ask(settings(endpoint.url))
            texts.append("".join(map(str, (caught.value, caught.value.args, repr(caught.value)))))
            endpoint.models = endpoint.script(0, {})
            texts.append(str(check_endpoint(settings(endpoint.url))))
        assert set(endpoint.keys) == {f"Bearer {KEY}"}
    written = b"".join(path.read_bytes() for path in tmp_path.iterdir() if path.is_file())
    screen = capfd.readouterr()
    everything = f"{texts} {caplog.text} {screen.out} {screen.err} {written!r} {settings('http://x/v1')!r}"
    assert "c0ffee" not in everything
    assert "Incorrect API key" in everything, "the rest of the message is kept"


def test_a_key_with_something_foreign_in_it_is_refused_before_a_header_is_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The library's own error would quote an invalid header completely."""
    for bad in ("two words", "sk-é", "a\nb"):
        monkeypatch.setenv("TEST_JUDGE_KEY", bad)
        problem = str(check_endpoint(settings("http://127.0.0.1:1/v1")))
        assert "TEST_JUDGE_KEY holds no key" in problem and bad not in problem
        with pytest.raises(JudgeUnavailable, match="holds no key"):
            EndpointJudge(settings("http://127.0.0.1:1/v1"))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"url": None}, "judge.url is missing"),
        ({"model": None}, "judge.model is missing"),
        ({"url": "127.0.0.1:8000/v1"}, "judge.url"),
        ({"url": "ftp://host/v1"}, "must begin with http"),
        ({"url": "http://"}, "must begin with http"),
        ({"url": "http://user:pw@host/v1"}, "must be a plain address"),
        ({"url": "http://host/v1?key=1"}, "must be a plain address"),
        ({"url": "http://host:port/v1"}, "judge.url is not an address"),
    ],
)
def test_settings_that_cannot_work_are_found_without_sending_anything(changes: Json, words: str) -> None:
    """Refused before any long work, with a message that names the setting; a password in an address is not repeated."""
    problem = str(check_endpoint(settings(**{"url": "http://127.0.0.1:1/v1", **changes})))
    assert words in problem
    assert "pw" not in problem


def test_the_check_before_long_work() -> None:
    """Ready, or why not: model missing, key refused, not an endpoint, no list of models, down."""
    with chat_endpoint() as endpoint:
        assert check_endpoint(settings(endpoint.url)) is None
        assert endpoint.payloads == [], "the list of models is enough"
        problem = str(check_endpoint(settings(endpoint.url, model="judge-modle")))
        assert "has no model 'judge-modle'; it has 'judge-model', 'other'" in problem
        endpoint.models = error(401)
        assert "refuses the key in TEST_JUDGE_KEY (401)" in str(check_endpoint(settings(endpoint.url)))
        endpoint.models = Reply(body=b"<html>")
        assert "not as an OpenAI-compatible endpoint" in str(check_endpoint(settings(endpoint.url)))
        endpoint.models = error(503)
        assert "answers 503" in str(check_endpoint(settings(endpoint.url)))
        endpoint.models = error(404)
        endpoint.script = lambda *_: said("A")
        assert check_endpoint(settings(endpoint.url)) is None
        endpoint.script = lambda *_: Reply(body=json.dumps({"ok": True}).encode())
        assert "not as an OpenAI-compatible endpoint" in str(check_endpoint(settings(endpoint.url)))
        endpoint.script = lambda *_: error(404, "no such model")
        assert "answers 404 (no such model)" in str(check_endpoint(settings(endpoint.url)))
        endpoint.models = Reply(delay=1.0)
        assert "did not answer within 0.2 s" in str(check_endpoint(settings(endpoint.url, timeout=0.2)))
    problem = str(check_endpoint(settings(f"http://127.0.0.1:{closed_port()}/v1")))
    assert "can't be reached" in problem and "start it, or correct judge.url" in problem
