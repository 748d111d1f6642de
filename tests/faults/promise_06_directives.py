"""Promise 6: despite kills each directive is applied exactly once, and promptly acknowledged while the engine runs."""

from __future__ import annotations

import threading
import time
from contextlib import closing

from store.control.directives import issue
from store.database.connection import open_writer
from tests.faults.results import Result, percentile
from tests.faults.scenes import Scene, draw, scene

ACKNOWLEDGED_SECONDS = 1.0
_EVERY_SECONDS = 0.03


def run(n: int, seed: int, kills: int | None = None) -> Result:
    """Issue `n` directives, by default with one kill for each fifty of them."""
    kills = max(1, n // 50) if kills is None else kills
    chance = draw(seed)
    with scene(train=2000, test=2) as one:
        one.start(0.3)
        one.run()
        one.wait(lambda: one.stage("attempt").get("state") == "running")
        iteration = one.status()["iteration"]["id"]
        issued: list[str] = []
        over = threading.Event()
        sender = threading.Thread(target=_send, args=(one, iteration, n, issued, over))
        sender.start()
        away: list[tuple[float, float]] = []
        for number in range(kills):
            # Spread over the issuing, each at a random moment of its share.
            due = int(n * (number + chance.uniform(0.1, 0.9)) / kills)
            one.until(lambda due=due: len(issued) >= due or over.is_set())
            before = time.time()
            one.crash()
            one.start(0.3)
            away.append((before, time.time()))
        sender.join()
        one.until(lambda: one.rows("SELECT count(*) FROM directives WHERE done IS NULL") == [(0,)])
        return _verify(one, n, issued, away)


def _send(one: Scene, iteration: int, n: int, issued: list[str], over: threading.Event) -> None:
    """Pause and resume in turn, each by its own operator, so that each can be identified in the log."""
    with closing(open_writer(one.workspace.database, durable=True)) as connection:
        for number in range(n):
            kind = "pause" if number % 2 == 0 else "resume"
            issued.append(issue(connection, kind, {"iteration": iteration}, issued_by=f"operator-{number}@test"))
            time.sleep(_EVERY_SECONDS)
    over.set()


def _verify(one: Scene, n: int, issued: list[str], away: list[tuple[float, float]]) -> Result:
    rows = one.rows("SELECT uuid, issued_by, created, done, accepted FROM directives WHERE issued_by LIKE 'operator-%'")
    logged = [text.split(":")[0] for (text,) in one.rows("SELECT text FROM events WHERE source = 'directive'")]
    times = {by: logged.count(by) for _, by, *_ in rows}
    once = [uuid for uuid, by, _, done, accepted in rows if done is not None and accepted and times[by] == 1]
    waited = [
        done - created
        for _, _, created, done, _ in rows
        if done is not None and not any(created <= end and done >= begin for begin, end in away)
    ]
    slow = percentile(waited, 0.99)
    ended = one.rows("SELECT control FROM iterations") == [("pause" if n % 2 else "run",)]
    passed = sorted(once) == sorted(issued) and len(issued) == n and slow <= ACKNOWLEDGED_SECONDS and ended
    detail = (
        f"{len(away)} kills; acknowledged within {slow:.2f} s (p99 of {len(waited)} sent while the engine ran, "
        f"{ACKNOWLEDGED_SECONDS:.0f} s allowed); the last one's state {'stands' if ended else 'does NOT stand'}."
    )
    return Result(6, "directives applied exactly once", n, len(once), passed, detail)
