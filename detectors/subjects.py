"""The subject stage: what is hit by the actions, and whether it is being boosted. One for each subject partition.

Gate on volume (`gate`), decide on composition (`composition`), calibrate (`calibration`). The compiled loop
(`subject_kernel`) walks the actions; what it comes back with is handled here and in `lifecycle`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from detectors import follower_spike, keyword_ranking, keyword_trend, like_boost
from detectors.answers import Answered
from detectors.dismissal import answers_part
from detectors.hash_index import FREE
from detectors.kept_state import KeptState, Part
from detectors.lifecycle import Lifecycle
from detectors.models import LaneModels
from detectors.pools import EPOCH_MS, close_epoch
from detectors.second_look import look_until
from detectors.sources import LAST_MS, Sources
from detectors.subject_kernel import (
    ALL_DONE,
    CLOCK,
    FIRST_CODE,
    FIRST_WANTED,
    FOUND_OUT,
    NEEDS_ROOM,
    REASON,
    ROOM_LANE,
    SAID,
    TIME_DUE,
    TOLD,
    WANTED,
    walk,
)
from detectors.subject_rows import FOLLOWS, LANES, LIKES, SEARCHES, SLOT_MS, SLOTS_HOUR
from detectors.subject_state import (
    LANE_NAMES,
    check_episodes,
    check_rows,
    clocks_of,
    episodes_part,
    models_part,
    names_part,
    pools_part,
    read_clocks,
    suspects_part,
)
from detectors.suspects import FIRST_LOOK, JUDGED
from detectors.tables import Tables, columns_of
from schemas.hashing import hash_id
from schemas.verdicts import Judgement

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from detectors.actions import Actions
    from detectors.calibration import Thresholds
    from detectors.settings import DetectorSettings
    from detectors.specs import Spec
    from schemas.flags import Flag

SPECS: tuple[Spec, ...] = (follower_spike.SPEC, like_boost.SPEC, keyword_trend.SPEC, keyword_ranking.SPEC)
"""The detector of each lane, in the order of the lanes."""

HOUR_MS = SLOT_MS * SLOTS_HOUR

OLDEST_ROWS = 4_096
"""Rows of each lane among which the oldest is looked for."""


class SubjectStage(KeptState):
    """Decides about the subjects of one partition.

    Decisions depend only on the sequence of actions, their sources and watermarks, never on how they were cut into
    batches: everything that is done on time is done before the very action whose watermark reached that time.

    Args:
        settings: bounds, times and modes.
        thresholds: what was learned offline for each kind.
        seed: of the shared models' trees.

    """

    def __init__(self, settings: DetectorSettings, thresholds: Thresholds, seed: int = 7) -> None:
        self._learned = [thresholds.kinds[spec.kind] for spec in SPECS]
        self.models = [LaneModels(seed + lane) for lane in range(LANES)]
        self._tables = Tables(settings, SPECS, self._learned)
        self._sources = Sources()
        self._clock_ms = 0
        self._epoch = -1
        self._due_ms = 0
        lanes = dict(enumerate(self._learned))
        self._life = Lifecycle(settings, SPECS, lanes, self.models, config_hash(settings, thresholds))
        arenas = dict(zip(LANE_NAMES, self._tables.arenas, strict=True)) | {"company": self._tables.company}
        super().__init__(arenas, self._parts())

    def apply(self, actions: Actions, source: str) -> list[Flag]:
        """Apply actions of one source, in their order. Return the flags that they bring, in order of decision."""
        return self.apply_all(actions, [(source, len(actions))])

    def apply_all(self, actions: Actions, sources: Sequence[tuple[str, int]]) -> list[Flag]:
        """Apply the actions of several sources, those of one after those of the other: as if each had come apart.

        `sources` says how many are of each, in their order.
        """
        if len(actions) == 0:
            return []
        columns = columns_of(actions)._replace(watermark=self._complete(actions.watermark, sources))
        flags: list[Flag] = []
        at = 0
        while True:
            state = self._tables.state
            at = walk(state, columns, at, LAST_MS, self._clock_ms, self._due_ms)
            out = state.out
            reason = int(out[REASON])
            self._clock_ms = int(out[CLOCK])
            if out[WANTED]:
                self._life.take_names(actions, out[FIRST_WANTED : FIRST_WANTED + int(out[WANTED]) * SAID])
            if reason == ALL_DONE:
                break
            if reason == TIME_DUE:
                flags += self._on_time()
            elif reason == NEEDS_ROOM:
                flags += self._make_room(int(out[ROOM_LANE]))
            elif reason == FOUND_OUT:
                flags += self._tip(int(out[FIRST_CODE]), int(out[FIRST_CODE + 1]))
                self._due_ms = self._next_due()
            else:
                flags += self._hear(actions, at - 1)
        return flags

    def _complete(self, watermarks: NDArray[np.int64], sources: Sequence[tuple[str, int]]) -> NDArray[np.int64]:
        """Return for each action the least watermark of all live sources after it, and take note of these."""
        least = np.empty(len(watermarks), np.int64)
        at = 0
        for source, count in sources:
            own = watermarks[at : at + count]
            np.minimum(own, self._sources.others(source), out=least[at : at + count])
            self._sources.speak(source, int(own[-1]))
            at += count
        return least

    def note_judged(self, most: int) -> None:
        """From here on note down what is looked at of crowds, `most` times: for learning (`Suspects.judged`)."""
        self._tables.note_judged(most)

    @property
    def judged(self) -> NDArray[np.float64]:
        """Return what was noted down of crowds."""
        suspects = self._tables.state.suspects
        return suspects.judged[: int(suspects.counters[JUDGED])]

    def advance(self, source: str, watermark_ms: int, *, idle: bool = False) -> list[Flag]:
        """Note how far a quiet source has got, or that it is idle and holds nobody back. Return what that brings."""
        return self.advance_all([(source, watermark_ms, idle)])

    def advance_all(self, sources: Sequence[tuple[str, int, bool]]) -> list[Flag]:
        """Note the same of several sources, one after the other: names, watermarks, and whether each is idle."""
        reached_ms = self._clock_ms
        for source, watermark_ms, idle in sources:
            if idle:
                self._sources.leave(source)
            else:
                self._sources.speak(source, watermark_ms)
            # After each: who leaves last holds the others back until then, and nobody is left to ask afterwards.
            least = self._sources.least
            reached_ms = reached_ms if least is None else max(reached_ms, least)
        if reached_ms <= self._clock_ms:
            return []
        self._clock_ms = reached_ms
        first_look_ms = int(self._tables.state.suspects.counters[FIRST_LOOK])
        return self._on_time() if self._clock_ms >= min(self._due_ms, first_look_ms) else []

    def answerable(self) -> list[str]:
        """Return the ids of the flags that can be answered: those of open episodes, and the last that are over."""
        return [each.last.flag_id for each in self._life.book.every() if each.last is not None] + [
            *self._life.answers.ids()
        ]

    def answer(self, flag_id: str, judgement: Judgement) -> Answered | None:
        """Take an answer to a flag; None where the flag is not one of `answerable`, or was answered so before.

        What is dismissed is retracted, once and for good: its episode ends, nothing opens on the subject for a day,
        and what was held back from its baseline as suspected is learned.
        """
        episode, past = self._life.open_episode(flag_id), self._life.answers.find(flag_id)
        flag = episode.last if episode is not None else past.flag if past is not None else None
        if flag is None or not self._life.answers.give(flag_id, judgement):
            return None
        flags: list[Flag] = []
        if judgement is Judgement.DISMISSED:
            flags = self._life.dismiss(self._tables.state, flag_id, self._clock_ms)
            self._due_ms = self._next_due()
        return Answered(flag.kind, judgement, flags)

    def _hear(self, actions: Actions, index: int) -> list[Flag]:
        state = self._tables.state
        flags: list[Flag] = []
        for at in range(FIRST_CODE, FIRST_CODE + int(state.out[TOLD]) * SAID, SAID):
            flags += self._life.hear(state, actions, index, state.out[at : at + SAID].tolist())
        if state.company.counters[FREE] == 0:
            self._tables.make_room(LANES)
        if flags:
            self._due_ms = self._next_due()
        return flags

    def _on_time(self) -> list[Flag]:
        """Do everything that was to be done up to the clock, in the order of its time."""
        flags: list[Flag] = []
        state = self._tables.state
        if self._epoch < 0:
            self._epoch = self._clock_ms // EPOCH_MS
        while True:
            due = self._next_due()
            found, look_ms = look_until(state, min(self._clock_ms, due - 1))
            if found >= 0:
                flags += self._tip(found, look_ms)
            elif due > self._clock_ms:
                break
            elif due < (self._epoch + 1) * EPOCH_MS and (flag := self._life.close_next(state, self._clock_ms)):
                flags.append(flag)
            else:
                self._close_epoch()
        self._due_ms = due
        return flags

    def _tip(self, place: int, now_ms: int) -> list[Flag]:
        """Open an episode about a quiet suspect whose crowd was found out at `now_ms`."""
        held = self._tables.state.suspects.places[place]
        return self._life.tip(self._tables.state, int(held["lane"]), int(held["row"]), now_ms)

    def _next_due(self) -> int:
        return min(self._life.due_ms(self._tables.state), (self._epoch + 1) * EPOCH_MS)

    def _close_epoch(self) -> None:
        """Close the epoch that runs and go on with the next that anything can happen in."""
        hour = self._epoch * EPOCH_MS // HOUR_MS
        current = self._clock_ms // EPOCH_MS
        first_due = self._life.due_ms(self._tables.state) // EPOCH_MS
        following = max(self._epoch + 1, min(current, first_due))
        hour_ends = following * EPOCH_MS // HOUR_MS > hour
        close_epoch(self._tables.state.pools, SPECS, self._learned, self.models, hour, hour_ends)
        self._life.book.forget_before(self._clock_ms)
        self._life.learn_lifted(self._tables.state, self._clock_ms)
        self._epoch = following

    def _make_room(self, lane: int) -> list[Flag]:
        if self._tables.make_room(lane) == 0:
            return []
        flags = self._life.close_evicted(self._tables.state, lane, self._clock_ms)
        self._due_ms = self._next_due()
        return flags

    def _parts(self) -> dict[str, Part]:
        models = {f"models.{name}": models_part(each) for name, each in zip(LANE_NAMES, self.models, strict=True)}
        return models | {
            "answers": answers_part(self._life.answers, self._life.lifted),
            "clocks": Part(self._write_clocks, self._read_clocks),
            "episodes": episodes_part(self._life.book),
            "names": names_part(self._life.notebook, lambda: self._tables.state.suspects),
            "pools": pools_part(lambda: self._tables.state.pools),
            "suspects": suspects_part(lambda: self._tables.state.suspects),
        }

    def _write_clocks(self) -> bytes:
        return clocks_of(self._sources, self._clock_ms, self._epoch, self._due_ms)

    def _read_clocks(self, data: bytes) -> None:
        kept = read_clocks(data)
        self._clock_ms, self._epoch, self._due_ms = kept.clock_ms, kept.epoch, kept.due_ms
        self._sources.restore(dict(kept.watermarks))

    def _join(self) -> None:
        self._tables.refresh()
        pool = self._tables.state.suspects
        for lane, arena in enumerate(self._tables.arenas):
            check_rows(arena.view(), lane, pool)
        check_episodes(self._life.book, self._life.notebook, pool)

    @property
    def tracked(self) -> dict[str, int]:
        """How many accounts, notes and keywords are held."""
        names = ((FOLLOWS, "accounts"), (LIKES, "notes"), (SEARCHES, "keywords"))
        return {name: len(self._tables.arenas[lane]) for lane, name in names}

    @property
    def evicted(self) -> int:
        """Rows that made way for others, in all."""
        return sum(arena.evicted for arena in self._tables.arenas)

    @property
    def open_episodes(self) -> int:
        """Episodes that are open."""
        return len(self._life.book)

    @property
    def history_ms(self) -> int:
        """How far back from the clock, in event time, anything is known of the subjects; about, and cheap to ask.

        Rows are given out from the front, so the first ones hold the oldest that have not made way.
        """
        born = np.concatenate([arena.view().rows["born"][:OLDEST_ROWS] for arena in self._tables.arenas])
        known = born[born > 0]
        return max(0, self._clock_ms - int(known.min()) * SLOT_MS) if len(known) else 0

    @property
    def clock_ms(self) -> int:
        """Event time that is complete in every live source; 0 before anything was seen."""
        return self._clock_ms

    @property
    def bytes_resident(self) -> int:
        """Bytes held, about."""
        return self._tables.bytes_resident + self._life.notebook.bytes_resident


def config_hash(settings: DetectorSettings, thresholds: Thresholds) -> str:
    """Return the hash of all that decides, as flags carry it."""
    specs = [{name: getattr(spec, name) for name in spec.__slots__} for spec in SPECS]
    numbers = {kind.value: thresholds.kinds[kind] for kind in sorted(thresholds.kinds)}
    text = msgspec.json.encode([settings.deciding(), specs, numbers], order="sorted").decode()
    return f"{hash_id(text):016x}"
