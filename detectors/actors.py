"""The actor stage: events in, marked actions out. One per input partition, whose three topics share its actors."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from detectors.actions import Actions
from detectors.actor_batches import EventNames, Work, columns_of, places_of, room_for, works_of
from detectors.actor_features import FEATURES
from detectors.actor_kernel import (
    ACCEPTED,
    CLOCK_MS,
    FIRST_MS,
    SAID_ROW,
    EventColumns,
    MarkedColumns,
    Need,
    Outcome,
    Rhythms,
    Times,
    mark_events,
)
from detectors.actor_rows import ROW_FIELDS, ROW_VERSION
from detectors.arena import Arena
from detectors.automation import NEVER_MS, Automation, start_after
from detectors.dedup import SeenIds
from detectors.faded import fade, make_faded
from detectors.kept_state import KeptState, Part, read_part, write_part
from detectors.population import Population
from detectors.rhythm_features import HABITS
from detectors.rhythm_model import untaught
from detectors.rhythm_rows import BANKS, RHYTHM_FIELDS, RHYTHM_VERSION
from detectors.settings import HOUR_MS
from detectors.watermark import START_MS
from schemas.columns import ABSENT, Events, Topic

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from detectors.answers import Answered
    from detectors.marks import MarkModel
    from detectors.rhythm_model import RhythmModel
    from detectors.settings import ActorSettings
    from schemas.flags import Flag
    from schemas.verdicts import Judgement

__all__ = ["ActorStage", "EventNames", "Marked", "Outcome"]


@dataclass(frozen=True, slots=True)
class Marked:
    """What became of a batch of n events: m actions, those accepted and before some of them what they go on from."""

    outcome: NDArray[np.uint8]  # (n,) `Outcome`
    actions: Actions  # (m,)
    rows: NDArray[np.int32]  # (m,) the index in the batch of each action
    watermark: int  # ms, of the topic after the batch
    flags: list[Flag] = field(default_factory=list)  # about actors, in order of decision
    flags_at: list[int] = field(default_factory=list)  # the index in the batch of the event that tipped each


class Watermarks(msgspec.Struct):
    """What is kept of the watermarks: the greatest accepted event time by topic, ms, and what was accepted so far."""

    greatest_ms: tuple[int, int, int]
    accepted: int
    first_ms: int
    clock_ms: int


WATERMARKS_VERSION = 2


class ActorStage(KeptState):
    """Deduplicates, keeps the watermarks, remembers actors and marks their actions.

    What it makes of an event depends on the events before it and not on how they were cut into batches.

    Args:
        settings: bounds, times and mode.
        marks: weights of the marks.
        rhythm: what makes a rhythm a program's; without it nothing is.

    """

    def __init__(self, settings: ActorSettings, marks: MarkModel, rhythm: RhythmModel | None = None) -> None:
        self._times = Times(settings.lateness_ms, settings.late_after_ms, settings.dedup_ms)
        self._arena = Arena(ROW_FIELDS, settings.actors_max, ROW_VERSION)
        self._faded = make_faded(settings.actors_max)
        self._seen = {topic: SeenIds(settings.dedup_ms) for topic in Topic}
        self._population = Population(marks.usual())
        self._greatest_ms = np.full(len(Topic), START_MS, np.int64)
        self._model = marks.fold()
        self._rhythms = Arena(RHYTHM_FIELDS, settings.rhythms_max, RHYTHM_VERSION)
        rhythm = rhythm or untaught()
        self._rhythm_model = rhythm.fold()
        self._automation = Automation(rhythm, settings.automation_mode)
        self._said = np.array([-1, 0, NEVER_MS, START_MS], np.int64)
        super().__init__(
            tables={"actors": self._arena, "faded": self._faded, "rhythms": self._rhythms},
            parts={
                "population": Part(self._population.snapshot, self._population.restore),
                "watermarks": Part(self._write_watermarks, self._read_watermarks),
                "automation": Part(self._automation.snapshot, self._automation.restore),
            },
            increments={f"seen.{topic.name.lower()}": seen for topic, seen in self._seen.items()},
        )

    @property
    def tracked(self) -> int:
        """Actors held."""
        return len(self._arena)

    @property
    def faded(self) -> int:
        """Actors without a row of whom something is left."""
        return len(self._faded)

    @property
    def evicted(self) -> dict[str, int]:
        """What had to make way since the start: the coldest actors, and event ids before their time."""
        actors = {"actors": self._arena.evicted, "rhythms": self._rhythms.evicted}
        return actors | {"event_ids": sum(seen.evicted for seen in self._seen.values())}

    @property
    def bytes_resident(self) -> int:
        """Bytes of all state."""
        seen = sum(ids.bytes_resident for ids in self._seen.values())
        rows = sum(table.bytes_resident for table in self.tables().values())
        return rows + seen + self._population.bytes_resident

    @property
    def open_episodes(self) -> int:
        """Accounts that act like programs now."""
        return len(self._automation)

    def watermark(self, topic: Topic) -> int:
        """Return the topic's watermark, ms; negative before its first accepted event."""
        return int(self._greatest_ms[topic]) - self._times.lateness_ms

    def usual(self) -> NDArray[np.float64]:
        """Return the population's current means of the raw features, shape (groups, features)."""
        return np.array(self._population.view()["means"][0])

    def use(self, marks: MarkModel) -> None:
        """Mark with another model from here on, such as one that verdicts have adjusted."""
        self._model = marks.fold()

    def apply(self, events: Events) -> Marked:
        """Take a batch of one topic in record order."""
        return self.apply_in_turns([events], np.array([[0, len(events)]], np.int64))[0]

    def apply_and_describe(
        self, batches: Sequence[Events], turns: NDArray[np.int64]
    ) -> list[tuple[Marked, NDArray[np.float32]]]:
        """Take batches in turns, and return with each the features that its actions were marked by, (m, features).

        They are distances from the population's means, 0 where absent or where the verb has no mark.
        """
        features = np.zeros((sum(map(len, batches)), FEATURES), np.float32)
        found = self._in_turns(batches, turns, features, _undescribed()[1])
        return [(marked, features[work.first + marked.rows]) for work, marked in found]

    def apply_and_judge(
        self, batches: Sequence[Events], turns: NDArray[np.int64]
    ) -> list[tuple[Marked, NDArray[np.float32]]]:
        """Take batches in turns, and return with each the habits of every rhythm judged, else NaN.

        They have the shape (events, banks, habits).
        """
        habits = np.full((sum(map(len, batches)), BANKS, HABITS), np.nan, np.float32)
        found = self._in_turns(batches, turns, _undescribed()[0], habits)
        return [(marked, habits[work.first : work.first + len(work.events)]) for work, marked in found]

    def apply_in_turns(self, batches: Sequence[Events], turns: NDArray[np.int64]) -> list[Marked]:
        """Take batches of different topics in turns; return what became of each.

        `turns`, shape (turns, 2), says in order whose turn it is, as an index into `batches`, and before which of its
        rows the turn ends. They must come to the end of every batch.
        """
        return [marked for _, marked in self._in_turns(batches, turns, *_undescribed())]

    def _in_turns(
        self, batches: Sequence[Events], turns: NDArray[np.int64], features: NDArray[np.float32],
        habits: NDArray[np.float32],
    ) -> list[tuple[Work, Marked]]:  # fmt: skip
        works = works_of(batches)
        out = room_for(sum(map(len, batches)), features, habits)
        self._run(works, places_of(works, turns), columns_of(batches), out)
        return [(work, self._marked(work, work.part(out))) for work in works]

    def _run(self, works: Sequence[Work], turns: NDArray[np.int64], columns: EventColumns, out: MarkedColumns) -> None:
        """Take all of these turns: `out` and the flags of each work are what comes of them."""
        at, ratio = np.zeros(2, np.int64), np.zeros(1)
        by_topic = {int(work.events.topic): work for work in works}
        while at[0] < len(turns):
            rhythms = Rhythms(self._rhythms.view(), self._rhythm_model, self._automation.due_ms, self._said, ratio)
            seen = (self._seen[Topic.LIKES].view(), self._seen[Topic.FOLLOWS].view(), self._seen[Topic.SEARCHES].view())
            need = mark_events(
                self._arena.view(), self._faded.view(), seen, self._population.view(), self._model, rhythms,
                self._times, self._greatest_ms, turns, at, columns, out,
            )  # fmt: skip
            place = int(at[1])
            if need == Need.ROWS:
                self._arena.make_room(partial(fade, self._faded))
            elif need == Need.SEEN:
                self._seen[Topic(turns[at[0], 0])].make_room(int(columns.arrival[place]))
            elif need == Need.RHYTHMS:
                self._rhythms.make_room()
            elif need == Need.HEARING:
                work = by_topic[int(turns[at[0], 0])]
                work.flags += self._hear(int(columns.ts[place - 1]), float(ratio[0]), work.names)
                work.flags_at += [place - 1 - work.first] * (len(work.flags) - len(work.flags_at))

    def _marked(self, work: Work, out: MarkedColumns) -> Marked:
        events = work.events
        self._seen[events.topic].journal(events.event, events.arrival, out.outcome != Outcome.DUPLICATE)
        accepted = _accepted(events, out, work.names)
        return Marked(out.outcome, *accepted, self.watermark(events.topic), work.flags, work.flags_at)

    def _hear(self, now_ms: int, ratio: float, names: EventNames) -> list[Flag]:
        """Do what the judgement of a rhythm brings, and what is due."""
        said, rows = self._said, self._rhythms.view().rows
        flags: list[Flag] = []
        if said[SAID_ROW] >= 0:
            row = rows[said[SAID_ROW]]
            hours = max((said[CLOCK_MS] - said[FIRST_MS]) / HOUR_MS, 1.0)
            usual_hourly = float(said[ACCEPTED] / len(self._arena) / hours)
            habits = self._rhythm_model["habits"][0]
            flags = self._automation.hear(row, habits, ratio, now_ms, names, usual_hourly)
        if said[CLOCK_MS] >= self._automation.due_ms[0]:
            for key, flag in self._automation.on_time(int(said[CLOCK_MS])):
                flags.append(flag)
                self._let_go(key, flag)
        return flags

    def _let_go(self, key: int, last: Flag) -> None:
        """Note in a row that its episode is over: what that told of begins no other, which would get the same id."""
        place = self._rhythms.find(key)
        if place >= 0:
            row = self._rhythms.view().rows[place]
            row["open"] = 0
            row["turn_ms"] = np.maximum(row["turn_ms"], start_after(last))
            self._rhythms.view().dirty[place] = 1

    def answerable(self) -> list[str]:
        """Return the ids of the flags about actors that can be answered."""
        return self._automation.answerable()

    def answer(self, flag_id: str, judgement: Judgement) -> Answered | None:
        """Take an answer to a flag about an actor; None where it cannot be answered, or was answered so before."""
        answered = self._automation.answer(flag_id, judgement, int(self._said[CLOCK_MS]))
        if answered is None:
            return None
        key, told = answered
        if told.flags:
            self._let_go(key, told.flags[-1])
        return told

    def _write_watermarks(self) -> bytes:
        likes, follows, searches = self._greatest_ms.tolist()
        accepted, first_ms, clock_ms = self._said[[ACCEPTED, FIRST_MS, CLOCK_MS]].tolist()
        return write_part(Watermarks((likes, follows, searches), accepted, first_ms, clock_ms), WATERMARKS_VERSION)

    def _read_watermarks(self, data: bytes) -> None:
        kept = read_part(data, Watermarks, WATERMARKS_VERSION)
        self._greatest_ms[:] = kept.greatest_ms
        self._said[[ACCEPTED, FIRST_MS, CLOCK_MS]] = kept.accepted, kept.first_ms, kept.clock_ms


def _undescribed() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return no room for features and habits: nobody asked for them."""
    return np.empty((0, FEATURES), np.float32), np.empty((0, BANKS, HABITS), np.float32)


def _accepted(events: Events, out: MarkedColumns, names: EventNames) -> tuple[Actions, NDArray[np.int32]]:
    """Return the accepted events as actions, with their rows.

    Before each action with which an actor goes on stands one that tells it of what that actor had hit
    (`detectors.onward`).
    """
    rows = np.flatnonzero(out.outcome == Outcome.ACCEPTED)
    goes_on = np.flatnonzero(out.onward[rows] != ABSENT)
    told = goes_on + np.arange(len(goes_on))
    chosen: slice | NDArray[np.intp] = slice(None)
    # Where all were accepted and nobody goes on the columns need no copy.
    if len(rows) < len(events) or len(told):
        rows = chosen = np.insert(rows, goes_on, rows[goes_on])
    device = events.device[chosen]
    actions = Actions(
        ts=events.ts[chosen],
        watermark=out.watermark[chosen],
        verb=events.verb[chosen],
        subject=events.subject[chosen],
        actor=events.actor[chosen],
        owner=events.owner[chosen],
        item=events.item[chosen],
        position=events.position[chosen],
        device=np.maximum(device.astype(np.uint32), device != 0),
        mark=out.mark[chosen],
        traits=out.traits[chosen],
        names=names,
    )
    if len(told):
        actions.subject[told], actions.verb[told] = out.onward[rows[told]], out.onward_verb[rows[told]]
        for column in (actions.owner, actions.item, actions.position, actions.device, actions.mark, actions.traits):
            column[told] = 0
    return actions, rows.astype(np.int32)
