"""Batches that were worked on in turns, in one order again."""

from __future__ import annotations

import numpy as np

from detectors.actors import Marked
from schemas.flags import Kind
from streams.turns import in_order
from tests.streams.flags import flag
from tests.streams.test_blocks import example

TURNS = np.array([[0, 3], [1, 2], [1, 2], [0, 6], [1, 5]])
"""Events 0-2 of the first, 0-1 of the second, nothing, 3-5 of the first, 2-4 of the second."""


def marked(rows: list[int], events: int, first_ts: int, flags_at: list[int]) -> Marked:
    """Return what became of so many events of which those of `rows` were accepted, with flags told at some."""
    actions, _ = example(len(rows))
    actions.ts[:] = first_ts + np.array(rows)
    flags = [flag(Kind.AUTOMATION, f"u{first_ts}", start=1_764_000_000_000 + at) for at in flags_at]
    return Marked(np.zeros(events, np.uint8), actions, np.array(rows, np.int32), 0, flags, flags_at)


def test_actions_sources_and_flags_come_in_the_order_of_the_turns() -> None:
    # Event 2 of the first and event 1 of the second were not accepted.
    both = [marked([0, 1, 3, 4, 5], 6, 100, [2, 3]), marked([0, 2, 3, 4], 5, 200, [1, 4])]
    found = in_order(both, ["likes", "follows"], TURNS)
    assert found.actions.ts.tolist() == [100, 101, 200, 103, 104, 105, 202, 203, 204]
    assert found.sources == [("likes", 2), ("follows", 1), ("likes", 3), ("follows", 3)]
    told = [(at, one.subject.id, one.window.start - 1_764_000_000_000) for at, one in found.flags]
    assert told == [(2, "u100", 2), (3, "u200", 1), (3, "u100", 3), (8, "u200", 4)]


def test_a_part_has_the_sources_of_its_own_actions() -> None:
    both = [marked([0, 1, 2, 3, 4, 5], 6, 100, []), marked([0, 1, 2, 3, 4], 5, 200, [])]
    found = in_order(both, ["likes", "follows"], TURNS)
    actions, sources = found.part(2, 7)
    assert actions.ts.tolist() == [102, 200, 201, 103, 104]
    assert sources == [("likes", 1), ("follows", 2), ("likes", 2)]
    assert found.part(4, 4)[1] == []
    assert found.part(0, 11)[0] is found.actions


def test_names_are_those_of_any_batch() -> None:
    both = [marked([0, 1, 2], 3, 100, []), marked([0], 1, 200, [])]
    found = in_order(both, ["likes", "follows"], np.array([[0, 3], [1, 1]]))
    known = both[0].actions.names
    key = int(both[0].actions.actor[2])
    assert found.actions.names.find(key) == known.find(key) == "a2"
    assert found.actions.names.find(12345) is None
