"""Tests that full garbage collections run between key presses, and memory stays bounded.

Runs in a separate process, because the collector is a property of the process.
"""

from __future__ import annotations

import sys

from tests.support.waiting import run

CYCLES = """
import gc, sys
import weakref

from reflectevo_tui.terminal.idle_gc import DUE, LET_OFF, LONG_REST_SECONDS, REST_SECONDS, IdleCollector

full = []
gc.callbacks.append(lambda phase, info: phase == "start" and info["generation"] == 2 and full.append(1))


def waste(times):
    for _ in range(times):
        cell = []
        cell.append(cell)


def waste_until_due():
    while gc.get_count()[2] < DUE:
        waste(1000)


collector = IdleCollector()
waste(300_000)
assert not full, "collected while modules load"
assert not collector.rest(9.0), "nothing is collected before the application stands"
kept = [[n] for n in range(1000)]
collector.stand()
collector.stand()
assert gc.isenabled() and gc.get_freeze_count() > 1000
full.clear()
waste_until_due()
assert not full, "a full collection came between two keys that follow one another"
assert not collector.rest(REST_SECONDS / 2), "the hands did not rest"
assert collector.rest(REST_SECONDS) and full
full.clear()
assert not collector.rest(REST_SECONDS), "nothing to do any more"


class Tree:
    pass


def plant():
    tree = Tree()
    tree.itself = tree
    return tree


dialog = plant()
gone = weakref.ref(dialog)
waste_until_due()
assert collector.rest(REST_SECONDS, settled=False)
del dialog
waste_until_due()
assert collector.rest(REST_SECONDS) and gone() is None, "a dialog is not let off"

tree = plant()
gone = weakref.ref(tree)
waste_until_due()
assert collector.rest(REST_SECONDS)
del tree
waste_until_due()
assert collector.rest(REST_SECONDS) and gone() is not None, "what outlived a collection is let off, so that it is short"
for _ in range(LET_OFF):
    waste_until_due()
    assert collector.rest(LONG_REST_SECONDS)
assert gone() is None, "hands that rest for long let nothing leak"

full.clear()
waste(3_000_000)
assert full, "someone who types without a pause must not run out of memory"
assert sys.getswitchinterval() < 0.005
print("done")
"""


def test_full_collections_wait_for_resting_hands() -> None:
    done = run([sys.executable, "-c", CYCLES])
    assert done.stdout == "done\n", done.stderr
