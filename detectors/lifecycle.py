"""What is done when the loop says that something tipped: episodes are opened, updated and closed here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from detectors.answers import DISMISSED_MS, Answers, Past, retraction
from detectors.composition import leading_level
from detectors.deciding import CLOSED, GREW, NAMED, TIPPED
from detectors.dismissal import Lifted
from detectors.episodes import Episode, EpisodeBook, flag_of, next_update_from, slot_after
from detectors.looking import look, novelty_features
from detectors.noted import Notebook
from detectors.sources import LAST_MS
from detectors.subject_kernel import SAID, State
from detectors.subject_rows import CLICKS, HOURS, SEARCHES, SLOT_MS, SLOTS_HOUR
from detectors.suspects import give_back, holds
from detectors.vacated import vacated
from detectors.windows import since
from schemas.flags import Status

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from detectors.actions import Actions
    from detectors.calibration import KindThresholds
    from detectors.evidence import Observation
    from detectors.hash_index import View
    from detectors.models import LaneModels
    from detectors.settings import DetectorSettings
    from detectors.specs import Spec
    from schemas.flags import Flag

TREND_BLOCKED_SLOTS: Final = 12
"""How long a keyword's trend waits, in slots, when the same searches are already flagged as pushing a result."""


class Lifecycle:
    """Opens, updates and closes the episodes of one partition.

    Args:
        settings: of the stage.
        specs: the detector of each lane.
        learned: its learned numbers.
        models: what each lane has learned together.
        config: hash of all that decides, written into every flag.

    """

    def __init__(
        self,
        settings: DetectorSettings,
        specs: Sequence[Spec],
        learned: Mapping[int, KindThresholds],
        models: Sequence[LaneModels],
        config: str,
    ) -> None:
        self._settings = settings
        self._specs = specs
        self._learned = learned
        self._models = models
        self._config = config
        self.book = EpisodeBook(settings)
        self.notebook = Notebook()
        self.answers = Answers()
        self.lifted = Lifted()

    def hear(self, state: State, actions: Actions, index: int, said: Sequence[int]) -> list[Flag]:
        """Do what the loop said of one row after the action at `index`: (code, lane, row, gated hours)."""
        code, lane, place, gated = said
        row = rows_of(state, lane)[place]
        if code & CLOSED:
            self._learn_gated(state, lane, row, gated)
        if code & NAMED:
            suspect = int(row["suspect"])
            self.notebook.see(suspect, state.suspects.places[suspect], actions, index)
        now_ms = int(actions.ts[index])
        if code & TIPPED:
            return self._open(state, lane, row, now_ms)
        if code & GREW:
            return self._update(state, lane, int(row["suspect"]), now_ms)
        return []

    def tip(self, state: State, lane: int, place: int, now_ms: int) -> list[Flag]:
        """Open an episode about a row for which no action is at hand: it was looked at in quiet times."""
        return self._open(state, lane, rows_of(state, lane)[place], now_ms)

    def take_names(self, actions: Actions, wanted: NDArray[np.int64]) -> None:
        """Note down the names that the loop wanted, shape (`SAID` k,): see `subject_kernel.WANTED`."""
        self.notebook.take_down(actions, wanted.reshape(-1, SAID))

    def _learn_gated(self, state: State, lane: int, row: Any, gated: int) -> None:
        suspect = int(row["suspect"])
        if suspect >= 0 and state.suspects.places[suspect]["open"]:
            return  # what is flagged is not learned as usual
        features = novelty_features(row, state.rules[lane], state.pools[lane])
        for _ in range(min(gated.bit_count(), HOURS)):
            self._models[lane].novelty.learn(features)

    def _open(self, state: State, lane: int, row: Any, now_ms: int) -> list[Flag]:
        suspect = int(row["suspect"])
        held = state.suspects.places[suspect]
        key = (lane, int(held["subject"]))
        episode = self.book.find(key)
        if episode is not None:
            self._join(state, episode, row, suspect, now_ms)
            return []
        until = self.book.cool_until(key)
        if until > now_ms:
            row["cooldown"] = slot_after(until)
            return []
        if lane == SEARCHES and self._ranking_explains(key[1], now_ms):
            row["cooldown"] = now_ms // SLOT_MS + TREND_BLOCKED_SLOTS
            return []
        onset = min(int(row["onset"][int(leading_level(row))]), now_ms // SLOT_MS)
        episode = Episode(key, self.notebook.of(suspect).subject, onset * SLOT_MS, suspect)
        if not self.book.enter(episode):
            row["cooldown"] = now_ms // SLOT_MS + 1
            return []
        self._join(state, episode, row, suspect, now_ms)
        return [self._publish(state, episode, Status.OPENED, now_ms, now_ms + 1)]

    def _ranking_explains(self, keyword: int, now_ms: int) -> bool:
        """Return whether a keyword's suspicious searches are those of a ranking episode, open or just over."""
        key = (CLICKS, keyword)
        return self.book.find(key) is not None or self.book.cool_until(key) > now_ms

    def _join(self, state: State, episode: Episode, row: Any, suspect: int, now_ms: int) -> None:
        """Make a suspect part of an episode."""
        held = state.suspects.places[suspect]
        settings = self._settings
        held["open"] = 1
        held["deadline_ms"] = now_ms + settings.quiet_ms
        held["update_after_ms"] = now_ms + settings.update_gap_ms
        held["update_from"] = next_update_from(int(held["suspicious"]))
        onset = episode.start_ms // SLOT_MS
        self.book.join(episode, suspect, max(int(since(row, onset)) - int(held["actions"]), 0))
        newest = now_ms // SLOT_MS // SLOTS_HOUR
        bits = int(row["suspected"])
        for hour in range(max(onset // SLOTS_HOUR, newest - HOURS + 1), newest + 1):
            bits |= 1 << (hour % HOURS)
        row["suspected"] = bits

    def _update(self, state: State, lane: int, suspect: int, now_ms: int) -> list[Flag]:
        held = state.suspects.places[suspect]
        held["update_after_ms"] = now_ms + self._settings.update_gap_ms
        held["update_from"] = next_update_from(int(held["suspicious"]))
        episode = self.book.find((lane, int(held["subject"])))
        if episode is None:
            return []
        leading = state.suspects.places[episode.leading]
        if suspect != episode.leading:
            if held["suspicious"] <= leading["suspicious"]:
                return []  # a second note on the same page is worth a flag only once it leads
            episode.leading = suspect
        return [self._publish(state, episode, Status.UPDATED, now_ms, now_ms + 1)]

    def _publish(self, state: State, episode: Episode, status: Status, detected_ms: int, end_ms: int) -> Flag:
        lane = episode.key[0]
        spec = self._specs[lane]
        flag = flag_of(
            episode, spec, self._learned[lane], self._settings, self._config, status, detected_ms, end_ms,
            self._see(state, episode, detected_ms),
        )  # fmt: skip
        episode.last = flag
        return flag

    def _see(self, state: State, episode: Episode, now_ms: int) -> Observation | None:
        """Return what there is to say of an episode, None where its row made way for others meanwhile."""
        lane = episode.key[0]
        held = state.suspects.places[episode.leading]
        rows = rows_of(state, lane)
        if not holds(rows, held, episode.leading):
            return None
        noted = self.notebook.of(episode.leading)
        base = episode.places[episode.leading]
        return look(state, lane, rows[held["row"]], held, noted, base, episode.start_ms, now_ms, self._models[lane])

    def _deadlines(self, state: State) -> NDArray[np.int64]:
        """Return when (ms of event time) each open episode is over, as far as is known now, in the book's order."""
        places, starts = self.book.places()
        deadlines: NDArray[np.int64] = np.maximum.reduceat(state.suspects.places["deadline_ms"][places], starts)
        return deadlines

    def due_ms(self, state: State) -> int:
        """Return the clock at which the first open episode is over, LAST_MS where none is open."""
        return int(self._deadlines(state).min()) if len(self.book) else LAST_MS

    def close_next(self, state: State, clock_ms: int) -> Flag | None:
        """Close the episode that was over first, if one was over before the clock, and return its flag."""
        if not len(self.book):
            return None
        deadlines = self._deadlines(state)
        deadline = int(deadlines.min())
        if deadline > clock_ms:
            return None
        every = self.book.every()
        first = min((every[at] for at in np.flatnonzero(deadlines == deadline).tolist()), key=lambda each: each.key)
        return self._close(state, first, deadline)

    def close_evicted(self, state: State, lane: int, clock_ms: int) -> list[Flag]:
        """Close the episodes of a lane whose rows made way for others, and free the places of such suspects."""
        places = state.suspects.places
        found = vacated(places, rows_of(state, lane), lane)
        if not len(found):
            return []
        opened = places["open"][found] != 0
        gone = set(found[opened].tolist())
        over = [each for each in self.book.every() if each.key[0] == lane and gone.issuperset(each.places)]
        flags = [self._close(state, episode, clock_ms) for episode in over]
        for place in found[~opened].tolist():
            give_back(state.suspects, place)
        return flags

    def _close(self, state: State, episode: Episode, at_ms: int) -> Flag:
        end_ms = max(int(state.suspects.places[place]["last_ms"]) for place in episode.places) + 1
        flag = self._publish(state, episode, Status.CLOSED, at_ms, end_ms)
        self.answers.remember(self._end(state, episode, flag, at_ms))
        return flag

    def _end(self, state: State, episode: Episode, flag: Flag, at_ms: int) -> Past:
        """Let go of everything that an episode holds. Return it as one that is over."""
        cooldown = slot_after(self.book.leave(episode, at_ms))
        lane, subject = episode.key
        view = view_of(state, lane)
        past = Past(flag, lane, subject, [])
        for place in episode.places:
            held = state.suspects.places[place]
            if holds(view.rows, held, place):
                row = view.rows[held["row"]]
                view.dirty[held["row"]] = 1
                past.rows.append(int(row["key"]))
                row["stat"][:] = 0.0
                row["run"] = 0
                row["seen"][:] = 0
                row["seen_suspicious"] = 0
                row["clicks"] = 0.0
                row["earned"] = 0.0
                row["cooldown"] = cooldown
                row["suspect"] = -1
            give_back(state.suspects, place)
        return past

    def dismiss(self, state: State, flag_id: str, now_ms: int) -> list[Flag]:
        """Overturn a flag, whether its episode is open or over; what it held back is learned. Return the retraction."""
        episode = self.open_episode(flag_id)
        past = self.answers.find(flag_id)
        if episode is not None and episode.last is not None:
            past = self._end(state, episode, episode.last, now_ms)
        if past is None or past.flag.status is Status.RETRACTED:
            return []
        past.flag = retraction(past.flag, now_ms)
        self.answers.remember(past)
        until_ms = now_ms + DISMISSED_MS
        self.book.hold((past.lane, past.subject), until_ms)
        views = (state.follows, state.likes, state.searches, state.clicks)
        self.lifted.add(views, past.lane, past.rows, until_ms, slot_after(until_ms))
        self.learn_lifted(state, now_ms)
        return [past.flag]

    def learn_lifted(self, state: State, now_ms: int) -> None:
        """Learn from the subjects of dismissed flags, however odd they look."""
        views = (state.follows, state.likes, state.searches, state.clicks)
        self.lifted.learn(views, state.rules, state.pools, now_ms)

    def open_episode(self, flag_id: str) -> Episode | None:
        """Return the open episode of a flag."""
        return next(
            (each for each in self.book.every() if each.last is not None and each.last.flag_id == flag_id), None
        )


def rows_of(state: State, lane: int) -> Any:
    """Return the rows of a lane."""
    return view_of(state, lane).rows


def view_of(state: State, lane: int) -> View:
    """Return the arrays of a lane."""
    return (state.follows, state.likes, state.searches, state.clicks)[lane]
