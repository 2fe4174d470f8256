"""Recorded traffic: a directory of likes, follows and searches, read as one stream in bounded memory.

Each file is in arrival order. They are merged by arrival in steps of `STEP_MS`; within a step come the searches,
then the likes, then the follows, since a search leads to a click, a like or a follow and not the other way
round. What comes out, in which order, does not depend on how the files were read.
"""

from __future__ import annotations

import heapq
from collections import Counter, deque
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from schemas.columns import Events, Topic
from schemas.decode import decode_spans
from schemas.events import RECORD_BYTES_MAX
from schemas.refusals import Reason
from streams.arrival import VOTERS, ArrivalClock
from streams.errors import RecordedTrafficError
from streams.lines import DamagedError, Lines, read_lines

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

STEP_MS = 5_000
"""The files are merged in steps of this much arrival time: short beside what an account does between two actions, since
it counts whether it goes on (`detectors.onward`), and long enough that what a step costs is spread over some events."""

EXAMPLES_MAX = 5
"""Bad lines that are told in full, per reason; the others are counted."""

STEMS = {Topic.LIKES: "likes", Topic.FOLLOWS: "follows", Topic.SEARCHES: "searches"}
_ORDER = {Topic.SEARCHES: 0, Topic.LIKES: 1, Topic.FOLLOWS: 2}


@dataclass(frozen=True, slots=True)
class BadLine:
    """One refused line, for the report."""

    file: str
    line: int
    reason: str
    detail: str


@dataclass(slots=True)
class ReadingReport:
    """What was found on the way, filled while reading."""

    read: Counter[Topic] = field(default_factory=Counter)  # lines that are not empty
    refused: Counter[tuple[Topic, str]] = field(default_factory=Counter)
    examples: list[BadLine] = field(default_factory=list)
    empty: int = 0
    damaged: list[str] = field(default_factory=list)  # files that end early, and how
    position: dict[Path, int] = field(default_factory=dict)  # bytes consumed by file

    def refuse(self, topic: Topic, bad: BadLine) -> None:
        """Count a bad line, and keep it where it is one of the first of its kind."""
        self.refused[topic, bad.reason] += 1
        if self.refused[topic, bad.reason] <= EXAMPLES_MAX:
            self.examples.append(bad)


class Recording:
    """A directory of recorded traffic.

    Raises RecordedTrafficError where there is no such directory, it holds none of the files, or one of them is
    there twice or cannot be read.
    """

    def __init__(self, directory: Path) -> None:
        if not directory.is_dir():
            raise RecordedTrafficError(f"{directory} is no directory; give the one that holds likes.jsonl and so on")
        self.files: dict[Topic, Path] = {}
        for topic, stem in STEMS.items():
            found = [path for suffix in ("", ".gz") if (path := directory / f"{stem}.jsonl{suffix}").exists()]
            if len(found) > 1:
                raise RecordedTrafficError(f"{directory} holds {found[0].name} and {found[1].name}; keep one of them")
            if found:
                self.files[topic] = found[0]
        if not self.files:
            raise RecordedTrafficError(
                f"{directory} holds no recorded traffic: no likes.jsonl, follows.jsonl or searches.jsonl, or .gz of it"
            )
        try:
            self.bytes_total = sum(path.stat().st_size for path in self.files.values())
            for path in self.files.values():
                path.open("rb").close()
        except OSError as error:
            raise RecordedTrafficError(f"cannot read {error.filename}: {error.strerror}") from None
        self.report = ReadingReport()

    def batches(self, batch_events_max: int) -> Iterator[Events]:
        """Yield every valid event once, in merged order, as batches of one topic with their arrival set."""
        for piece in self._merged(batch_events_max):
            yield piece.events.at(slice(piece.start, piece.end))

    def in_turns(self, events_max: int) -> Iterator[tuple[list[Events], NDArray[np.int64]]]:
        """Yield the same in the same order, of several topics at once, at most so many events of all together.

        With the batches, one of each topic, come their turns, shape (turns, 2): whose turn it is, and before which of
        its rows that ends. Where little comes in a step, a batch of one topic would hold next to nothing.
        """
        together: list[_Piece] = []
        read_from: dict[int, Events] = {}  # of each topic: what is cut out must lie side by side
        count = 0
        for piece in self._merged(events_max):
            goes_on = read_from.get(piece.order, piece.events) is piece.events
            if together and (not goes_on or count + piece.end - piece.start > events_max):
                yield _in_turns(together)
                together, count = [], 0
                read_from.clear()
            together.append(piece)
            read_from[piece.order] = piece.events
            count += piece.end - piece.start
        if together:
            yield _in_turns(together)

    def _merged(self, events_max: int) -> Iterator[_Piece]:
        """Yield what comes of one topic, in merged order, at most so many events at once."""
        for piece in heapq.merge(*(self._pieces(topic) for topic in self.files), key=lambda piece: piece[:2]):
            for start in range(piece.start, piece.end, events_max):
                yield piece._replace(start=start, end=min(start + events_max, piece.end))

    def _pieces(self, topic: Topic) -> Iterator[_Piece]:
        """Yield one file's events, cut where a step of the merge ends."""
        for events in self.timed(topic):
            steps = events.arrival // STEP_MS
            cuts = [0, *(np.flatnonzero(np.diff(steps)) + 1).tolist(), len(steps)]
            for start, end in pairwise(cuts):
                if end > start:
                    yield _Piece(int(steps[start]), _ORDER[topic], events, start, end)

    def timed(self, topic: Topic) -> Iterator[Events]:
        """Yield one file's events with their arrival, without those whose `ts` cannot be."""
        clock = ArrivalClock()
        waiting: deque[_Decoded] = deque()
        voters: list[int] = []  # the ts of all that waits behind the first
        for decoded in self._decoded(topic):
            if not len(decoded.events):
                continue
            waiting.append(decoded)
            if len(waiting) > 1:
                voters += decoded.events.ts.tolist()
            while len(waiting) > 1 and len(voters) >= VOTERS:
                yield self._judged(topic, waiting.popleft(), clock, voters)
                voters = voters[len(waiting[0].events) :]
        while waiting:
            yield self._judged(topic, waiting.popleft(), clock, voters)
            voters = voters[len(waiting[0].events) :] if waiting else []

    def _judged(self, topic: Topic, decoded: _Decoded, clock: ArrivalClock, voters: list[int]) -> Events:
        events = decoded.events
        arrival, refused = clock.judge(events.ts, voters)
        for index, reason in refused.items():
            ts, at = int(events.ts[index]), int(arrival[index])
            detail = f"ts {ts} in a line that came at about {at}"
            line = decoded.line_of(int(events.row[index]))
            self.report.refuse(topic, BadLine(self.files[topic].name, line, reason, detail))
        timed = replace(events, arrival=arrival)
        return timed.at(np.delete(np.arange(len(arrival)), list(refused))) if refused else timed

    def _decoded(self, topic: Topic) -> Iterator[_Decoded]:
        """Yield one file's valid lines as columns, and count the others."""
        path, report = self.files[topic], self.report

        def too_long(line: int) -> None:
            report.read[topic] += 1
            report.refuse(topic, BadLine(path.name, line, Reason.TOO_LARGE, f"more than {RECORD_BYTES_MAX} bytes"))

        try:
            for lines in read_lines(path, RECORD_BYTES_MAX, too_long):
                decoded = self._decode(topic, lines)
                report.position[path] = lines.position
                yield decoded
        except DamagedError as damage:
            report.damaged.append(f"{path.name}: {damage}; what could be unpacked was read")
        except OSError as error:
            raise RecordedTrafficError(f"cannot read {path}: {error.strerror}") from error

    def _decode(self, topic: Topic, lines: Lines) -> _Decoded:
        begins, ends, numbers = lines.begins, lines.ends, None
        short = np.flatnonzero(ends - begins <= 1)
        empty = [row for row in short.tolist() if lines.data[begins[row] : ends[row]] in {b"", b"\r"}]
        if empty:
            numbers = np.delete(np.arange(len(begins)), empty)
            self.report.empty += len(empty)
            begins, ends = begins[numbers], ends[numbers]
        events, refusals = decode_spans(topic, lines.data, begins, ends)
        decoded = _Decoded(events, lines.first, numbers)
        self.report.read[topic] += len(begins)
        for refusal in refusals:
            line = decoded.line_of(refusal.row)
            self.report.refuse(topic, BadLine(self.files[topic].name, line, refusal.reason, refusal.detail))
        return decoded


class _Piece(NamedTuple):
    step: int
    order: int
    events: Events  # of which it is the rows from `start` to `end`
    start: int
    end: int


def _in_turns(pieces: Sequence[_Piece]) -> tuple[list[Events], NDArray[np.int64]]:
    """Return one batch of each topic, and the turns; pieces of a topic follow each other in the same events."""
    firsts: dict[int, _Piece] = {}
    lasts: dict[int, _Piece] = {}
    for piece in pieces:
        firsts.setdefault(piece.order, piece)
        lasts[piece.order] = piece
    batches = [first.events.at(slice(first.start, lasts[order].end)) for order, first in firsts.items()]
    number = {order: place for place, order in enumerate(firsts)}
    turns = [(number[piece.order], piece.end - firsts[piece.order].start) for piece in pieces]
    return batches, np.array(turns, np.int64)


@dataclass(frozen=True, slots=True)
class _Decoded:
    events: Events
    first: int
    numbers: NDArray[np.int64] | None  # (n,) the place of each row among the lines, where empty ones were left out

    def line_of(self, row: int) -> int:
        return self.first + (row if self.numbers is None else int(self.numbers[row]))
