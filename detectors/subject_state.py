"""What the subject stage keeps besides its rows, as parts: how each is written, read back and checked.

A suspect's place has the same number after a restore, so rows, episodes and names go on pointing at it; only the
number of its row is another one, and is found by its key.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from detectors.episodes import Episode
from detectors.kept_state import Part, array_of, layout_of, raw, read_part, same_layout, write_part
from detectors.models import DAY_HOURS, NOVELTY_WINDOW, RATES_MAX, WEEK_HOURS
from detectors.noted import Noted
from detectors.state import SnapshotMismatchError
from detectors.subject_rows import HOURS, LANES, POOL, POSITIONS, RECENT, SLOTS_HOUR, SUSPECT
from detectors.suspects import FIRST_LOOK, FREE, HAND, SAMPLE

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from detectors.episodes import EpisodeBook
    from detectors.hash_index import View
    from detectors.models import LaneModels
    from detectors.noted import Notebook
    from detectors.sources import Sources
    from detectors.suspects import Suspects

VERSION = 5
"""Of all parts here: raised when a field changes its meaning."""

TIME_MAX_MS = 1 << 52
"""Hours up to here, in the year 144,000, fit a row."""

LANE_NAMES = ("follows", "likes", "searches", "clicks")


class SuspectsKept(msgspec.Struct):
    """The pool of suspects: arrays as bytes, the held places with their records, all places' generations."""

    layout: int
    places: int
    held: bytes
    records: bytes
    generations: bytes
    free: bytes
    looks: bytes
    hand: int


class PoolsKept(msgspec.Struct):
    """What the lanes have learned from all subjects: records of `POOL`, one a lane."""

    layout: int
    records: bytes


class ModelsKept(msgspec.Struct):
    """The shared models of a lane: arrays of float64 as bytes."""

    cycle: tuple[bytes, bytes, bytes, bytes]
    names: tuple[str, ...]
    hours: bytes
    learned: int
    usual: bytes
    seen: bytes
    rates: bytes
    drifts: int
    last: float | None


class EpisodesKept(msgspec.Struct):
    """Open episodes in the order of their opening; cooldowns as (lane, subject, until ms)."""

    open: list[Episode]
    cooldowns: list[tuple[int, int, int]]
    crowded: int


class NamesKept(msgspec.Struct):
    """The ids behind the suspects, by place."""

    noted: list[tuple[int, Noted]]


class ClocksKept(msgspec.Struct):
    """How far event time has come: in the stage and by source, ms; the epoch that runs."""

    clock_ms: int
    epoch: int
    due_ms: int
    watermarks: list[tuple[str, int]]


def _refuse_unless(right: object, what: str) -> None:
    if not right:
        raise SnapshotMismatchError(f"{what}: its bytes were changed; start without it")


def suspects_part(pool: Callable[[], Suspects]) -> Part:
    """Return how the pool of suspects is kept."""

    def write() -> bytes:
        places, free, looks, counters, *_ = pool()
        held = np.flatnonzero(places["key"]).astype(np.int32)
        records = raw(places)[held].view(SUSPECT)
        records["row"] = 0  # chance, and found by the key again
        generations = np.ascontiguousarray(places["generation"])
        stack = free[: int(counters[FREE])]
        return write_part(
            SuspectsKept(
                layout_of(SUSPECT), len(places), held.tobytes(), raw(records).tobytes(), generations.tobytes(),
                stack.tobytes(), looks.tobytes(), int(counters[HAND]),
            ),
            VERSION,
        )  # fmt: skip

    def read(data: bytes) -> None:
        kept = read_part(data, SuspectsKept, VERSION)
        same_layout(kept.layout, SUSPECT, "suspects")
        places, free, looks, counters, *_ = pool()
        if kept.places != len(places):
            message = f"it has {kept.places} places for suspects, this program {len(places)}: set suspects_max to those"
            raise SnapshotMismatchError(message)
        held = array_of(kept.held, np.int32, len(kept.held) // 4)
        stack = array_of(kept.free, np.int32, len(kept.free) // 4)
        records = array_of(kept.records, SUSPECT, len(held))
        everywhere = np.sort(np.concatenate([held, stack]))
        _refuse_unless(np.array_equal(everywhere, np.arange(len(places))), "a place is held and free, or neither")
        _refuse_unless(records["key"].all() and (records["lane"] < LANES).all(), "a suspect has no key or no lane")
        _refuse_unless((records["sampled"] <= SAMPLE).all(), f"a suspect has more than {SAMPLE} sampled actors")
        _refuse_unless(0 <= kept.hand < len(places), "the search for a place begins nowhere")
        places[:] = np.zeros((), SUSPECT)
        places["generation"] = array_of(kept.generations, np.uint32, len(places))
        raw(places)[held] = raw(records)
        places["row"] = -1
        free[: len(stack)] = stack
        looks[:] = array_of(kept.looks, np.int64, len(places))
        counters[FREE], counters[HAND], counters[FIRST_LOOK] = len(stack), kept.hand, 0

    return Part(write, read)


def pools_part(pools: Callable[[], NDArray[Any]]) -> Part:
    """Return how the lanes' pools are kept."""

    def read(data: bytes) -> None:
        kept = read_part(data, PoolsKept, VERSION)
        same_layout(kept.layout, POOL, "pools")
        raw(pools())[:] = raw(array_of(kept.records, POOL, LANES))

    return Part(lambda: write_part(PoolsKept(layout_of(POOL), raw(pools()).tobytes()), VERSION), read)


def models_part(models: LaneModels) -> Part:
    """Return how the shared models of a lane are kept."""
    cycle, novelty, rate = models.cycle, models.novelty, models.pass_rate

    def write() -> bytes:
        day, days, week, weeks = (levels.tobytes() for levels in cycle.parts())
        kept = ModelsKept(
            cycle=(day, days, week, weeks),
            names=novelty.names,
            hours=np.array(novelty.hours, np.float64).tobytes(),
            learned=novelty.learned,
            usual=rate.usual.tobytes(),
            seen=rate.seen.tobytes(),
            rates=np.array(rate.rates, np.float64).tobytes(),
            drifts=rate.drifts,
            last=rate.last,
        )
        return write_part(kept, VERSION)

    def read(data: bytes) -> None:
        kept = read_part(data, ModelsKept, VERSION)
        for levels, found in zip(cycle.parts(), kept.cycle, strict=True):
            levels[:] = array_of(found, np.float64, DAY_HOURS if len(levels) == DAY_HOURS else WEEK_HOURS)
        count = min(kept.learned, kept.learned % NOVELTY_WINDOW + NOVELTY_WINDOW)
        hours = array_of(kept.hours, np.float64, count * len(kept.names)).reshape(count, len(kept.names))
        _refuse_unless(kept.learned >= 0 and np.isfinite(hours).all(), "hours for novelty are not finite")
        novelty.restore(kept.names, [tuple(hour) for hour in hours.tolist()], kept.learned)
        rates = array_of(kept.rates, np.float64, len(kept.rates) // 8)
        _refuse_unless(len(rates) < RATES_MAX and np.isfinite(rates).all(), "rates for drift are not finite")
        rate.look_back(rates.tolist())
        rate.usual[:] = array_of(kept.usual, np.float64, DAY_HOURS)
        rate.seen[:] = array_of(kept.seen, np.float64, DAY_HOURS)
        rate.drifts, rate.last = kept.drifts, kept.last

    return Part(write, read)


def episodes_part(book: EpisodeBook) -> Part:
    """Return how open episodes and cooldowns are kept."""

    def write() -> bytes:
        cooldowns = sorted((*key, until) for key, until in book.cooldowns.items())
        return write_part(EpisodesKept(book.every(), cooldowns, book.crowded), VERSION)

    def read(data: bytes) -> None:
        kept = read_part(data, EpisodesKept, VERSION)
        book.restore(kept.open, {(lane, subject): until for lane, subject, until in kept.cooldowns})
        book.crowded = kept.crowded

    return Part(write, read)


def names_part(notebook: Notebook, pool: Callable[[], Suspects]) -> Part:
    """Return how the suspects' ids are kept: those of present holders only, since no others are asked for."""

    def write() -> bytes:
        places = pool().places
        noted = [
            (place, noted)
            for place, noted in sorted(notebook.entries().items())
            if places[place]["key"] and int(places[place]["generation"]) == noted.generation
        ]
        return write_part(NamesKept(noted), VERSION)

    def read(data: bytes) -> None:
        notebook.restore(dict(read_part(data, NamesKept, VERSION).noted))

    return Part(write, read)


def clocks_of(sources: Sources, clock_ms: int, epoch: int, due_ms: int) -> bytes:
    """Return the clocks as a part."""
    return write_part(ClocksKept(clock_ms, epoch, due_ms, sorted(sources.watermarks.items())), VERSION)


def read_clocks(data: bytes) -> ClocksKept:
    """Read the clocks back; whatever they say fits the columns of the compiled loop."""
    kept = read_part(data, ClocksKept, VERSION)
    times = [kept.clock_ms, kept.epoch, kept.due_ms, *(mark for _, mark in kept.watermarks)]
    _refuse_unless(all(-TIME_MAX_MS < time < TIME_MAX_MS for time in times), "a clock stands outside of all time")
    return kept


def check_rows(view: View, lane: int, pool: Suspects) -> None:
    """Refuse rows whose contents would lead a compiled loop outside of its arrays, or round for ever."""
    name = LANE_NAMES[lane]
    rows = view.rows
    live = np.flatnonzero(rows["key"])
    for field, most in (("marks_at", RECENT - 1), ("marks_held", RECENT), ("place", POSITIONS - 1)):
        _refuse_unless((rows[field][live] <= most).all(), f"a row of {name} has a {field} over {most}")
    newest, merged = rows["slot"][live].astype(np.int64) // SLOTS_HOUR, rows["merged"][live]
    _refuse_unless((merged >= newest - HOURS).all(), f"a row of {name} has hours that were never merged")
    suspect = rows["suspect"][live]
    _refuse_unless(((suspect >= -1) & (suspect < len(pool.places))).all(), f"a row of {name} is no suspect's")
    held = suspect >= 0
    places = pool.places[suspect[held]]
    fits = (places["key"] == rows["key"][live[held]]) & (places["lane"] == lane)
    _refuse_unless(fits.all(), f"a row of {name} and its place among the suspects do not know each other")
    pool.places["row"][suspect[held]] = live[held]


def check_episodes(book: EpisodeBook, notebook: Notebook, pool: Suspects) -> None:
    """Refuse episodes that are about suspects who are not there."""
    entries = notebook.entries()
    for episode in book.every():
        lane = episode.key[0]
        right = episode.leading in episode.places and 0 <= lane < LANES
        for place in episode.places:
            right = right and 0 <= place < len(pool.places) and bool(pool.places[place]["open"])
            right = right and int(pool.places[place]["lane"]) == lane
        right = right and episode.leading in entries
        _refuse_unless(right, f"the episode of {episode.subject_id!r} has no suspect")
    opened = sum(len(episode.places) for episode in book.every())
    _refuse_unless(opened == int(np.count_nonzero(pool.places["open"])), "an open suspect has no episode")
