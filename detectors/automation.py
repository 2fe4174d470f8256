"""Automation: accounts that act like programs. What is done when a rhythm was judged, and what is said of it."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
import numpy as np
from msgspec import Meta

from detectors.answers import DISMISSED_MS, Answered, Answers, AnswersKept, Past, retraction
from detectors.evidence import number, percent
from detectors.kept_state import read_part, write_part
from detectors.rhythm_features import FIRST_HABIT, HABITS, Habit, weigh_habit
from detectors.rhythm_model import HABIT_NAMES, KEPT_RATIO
from detectors.rhythm_rows import BANKS, TURN
from detectors.settings import DAY_MS, HOUR_MS, MINUTE_MS
from detectors.state import SnapshotMismatchError
from schemas.flags import Detector, Evidence, Flag, Kind, Severity, Share, Status, Subject, SubjectType, Window, flag_id
from schemas.hashing import hash_id
from schemas.verdicts import Judgement

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from detectors.actions import Names
    from detectors.rhythm_model import RhythmModel
    from schemas.flags import Mode

VERSION: Final = "2"
Key = Annotated[int, Meta(ge=1)]
"""The hash of an account's id."""

NEVER_MS: Final = 2**62

QUIET_TURNS: Final = 3
QUIET_MS, QUIET_MS_MAX = 12 * HOUR_MS, 2 * DAY_MS
"""An episode is over when so many times the time of its last turn has passed without another; at the
least a night, which many programs keep."""

COOLDOWN_MS: Final = 6 * HOUR_MS
GROWTH: Final = 1.5
UPDATE_GAP_MS: Final = MINUTE_MS
START_STEP_MS: Final = 5 * MINUTE_MS
"""Starts are whole steps, so that a small disorder of the events leaves an episode its id."""

REASONS_TOLD: Final = 4

_WORDS: Final[dict[Habit, str]] = {
    Habit.ALIKE: "{} of its pauses were as long as the one before, to a twentieth; usual: {}",
    Habit.NEARLY: "{} of its pauses were nearly as long as the one before; usual: {}",
    Habit.SPREAD: "its pauses within sessions spread by {} of what a clockless person's can; usual: {}",
    Habit.HASTE: "{} of its actions came within two seconds of the one before; usual: {}",
    Habit.VARIETY: "its pauses have {} of the variety that they could have; usual: {}",
    Habit.PAUSES: "{} of its actions came after half an hour or more; usual: {}",
    Habit.PACE: "its middle pause is at {} of the way from a second to half an hour, on a log scale; usual: {}",
    Habit.SECOND: "its actions crowd at one second of the minute by {}; usual: {}",
    Habit.REST: "the longest part of the day in which it never acts is {}; usual: {}",
    Habit.LENGTHS: "the lengths of its sessions vary by {} of the scale; usual: {}",
    Habit.ROUNDS: "the times between its sessions vary by {} of the scale; usual: {}",
    Habit.NARROW: "{} of what it does is one and the same thing; usual: {}",
    Habit.SEARCHES: "{} of what it does is searching; usual: {}",
    Habit.ONE_WAY: "{} of its actions come from the same place in the product; usual: {}",
    Habit.BREADTH: "{} of whom it acts on it had not met before; usual: {}",
    Habit.AGAIN: "{} of its actions hit the same account as the one before; usual: {}",
}


class Running(msgspec.Struct):
    """An open episode: `before` are the actions that its account had at the start, `told` those in the last flag."""

    account: str
    start_ms: int
    last_ms: int
    deadline_ms: int
    update_after_ms: int
    before: int
    told: int
    flag: Flag | None = None


class Kept(msgspec.Struct):
    """What is kept of all episodes: the open ones by account, until when (ms) others are left alone, and answers."""

    running: list[tuple[Key, Running]]
    cooling: list[tuple[Key, int]]
    answers: AnswersKept


KEPT_VERSION: Final = 2


class Automation:
    """The automation episodes of one actor stage.

    `due_ms`, shape (1,), is shared with the loop: it comes back once the clock is there.

    Args:
        model: what judges.
        mode: live or shadow.
        open_max: most episodes open at once; more are not opened, and counted in `crowded`.

    """

    def __init__(self, model: RhythmModel, mode: Mode, open_max: int = 4_096) -> None:
        self.model = model
        self.due_ms = np.array([NEVER_MS], np.int64)
        self.crowded = 0
        self._mode = mode
        self._open_max = open_max
        self._open: dict[int, Running] = {}
        self._cooling: dict[int, int] = {}
        self._answers = Answers()
        self._curves = curves_of(model)
        self._config = f"{hash_id(msgspec.json.encode(model, order='sorted').decode()):016x}"

    def __len__(self) -> int:
        return len(self._open)

    def hear(
        self, row: Any, habits: NDArray[np.float32], ratio: float, now_ms: int, names: Names, usual_hourly: float
    ) -> list[Flag]:
        """Take a judgement of a row (`rhythm_model.judge`) at event time `now_ms`. Return the flag that it brings.

        `names` are those of the events; `usual_hourly` is how many actions an account here makes in an hour on average.
        """
        key = int(row["key"])
        running = self._open.get(key)
        if running is None:
            return self._begin(key, row, habits, ratio, now_ms, names, usual_hourly) if ratio >= 1.0 else []
        row["open"] = 1
        if ratio < KEPT_RATIO:
            return []
        row["told"] = row["actions"]
        running.last_ms = max(now_ms, running.last_ms)
        # `due_ms` may be too early by it: then the loop comes back, nothing is over, and it is set anew.
        running.deadline_ms = max(running.deadline_ms, _deadline(row, now_ms))
        done = int(row["actions"]) - running.before
        if done < ceil(GROWTH * running.told) or now_ms < running.update_after_ms:
            return []
        running.told, running.update_after_ms = done, now_ms + UPDATE_GAP_MS
        return [self._publish(running, Status.UPDATED, now_ms, habits, ratio, usual_hourly)]

    def _begin(
        self, key: int, row: Any, habits: NDArray[np.float32], ratio: float, now_ms: int, names: Names, usual: float
    ) -> list[Flag]:
        if self._cooling.get(key, 0) > now_ms:
            return []
        if len(self._open) >= self._open_max:
            self.crowded += 1
            return []
        start_ms = int(min(row["turn_ms"].tolist()))
        counted = min(int(row["actions"]) - int(row["told"]), BANKS * TURN)
        running = Running(
            # An id that its event did not carry is told by its hash, which is at least the same every time.
            account=names.find(key) or f"#{key:016x}",
            start_ms=max(start_ms - start_ms % START_STEP_MS, 0),
            last_ms=now_ms,
            deadline_ms=_deadline(row, now_ms),
            update_after_ms=now_ms + UPDATE_GAP_MS,
            before=int(row["actions"]) - counted,
            told=counted,
        )
        flag = self._publish(running, Status.OPENED, now_ms, habits, ratio, usual)
        self._open[key] = running
        row["open"], row["told"] = 1, row["actions"]
        self.due_ms[0] = min(int(self.due_ms[0]), running.deadline_ms)
        return [flag]

    def on_time(self, clock_ms: int) -> list[tuple[int, Flag]]:
        """Close what is over at the clock, in the order of its time. Return each one's key and flag."""
        over = sorted((one.deadline_ms, key) for key, one in self._open.items() if one.deadline_ms <= clock_ms)
        closed: list[tuple[int, Flag]] = []
        for deadline_ms, key in over:
            running = self._open.pop(key)
            self._cooling[key] = deadline_ms + COOLDOWN_MS
            last = running.flag
            if last is not None:
                window = Window(start=running.start_ms, end=max(running.last_ms + 1, last.window.end))
                flag = msgspec.structs.replace(last, status=Status.CLOSED, detected_at=deadline_ms, window=window)
                self._answers.remember(Past(flag, 0, key, []))
                closed.append((key, flag))
        if over:
            self._cooling = {key: until for key, until in self._cooling.items() if until > clock_ms}
        self._reschedule()
        return closed

    def answerable(self) -> list[str]:
        """Return the ids of the flags that can be answered: those of open episodes, and the last that are over."""
        return [one.flag.flag_id for one in self._open.values() if one.flag is not None] + [*self._answers.ids()]

    def answer(self, flag_id: str, judgement: Judgement, now_ms: int) -> tuple[int, Answered] | None:
        """Take an answer at event time `now_ms`. Return the account's key and what the answer brings.

        None where the flag cannot be answered, or was answered so before. A dismissed flag is retracted, its episode
        ends, and the account is left alone for a day.
        """
        key, past = None, self._answers.find(flag_id)
        for account, running in self._open.items():
            if running.flag is not None and running.flag.flag_id == flag_id:
                key, past = account, Past(running.flag, 0, account, [])
        if past is None or not self._answers.give(flag_id, judgement):
            return None
        flags: list[Flag] = []
        if judgement is Judgement.DISMISSED and past.flag.status is not Status.RETRACTED:
            if key is not None:
                del self._open[key]
            self._cooling[past.subject] = max(self._cooling.get(past.subject, 0), now_ms + DISMISSED_MS)
            past.flag = retraction(past.flag, now_ms)
            self._answers.remember(past)
            self._reschedule()
            flags.append(past.flag)
        return past.subject, Answered(past.flag.kind, judgement, flags)

    def _reschedule(self) -> None:
        self.due_ms[0] = min((one.deadline_ms for one in self._open.values()), default=NEVER_MS)

    def _publish(
        self, running: Running, status: Status, now_ms: int, habits: NDArray[np.float32], ratio: float, usual: float
    ) -> Flag:
        end_ms = max(running.last_ms, running.start_ms) + 1
        hours = (end_ms - running.start_ms) / HOUR_MS
        before = running.flag
        score = self.model.score_of(ratio)
        level = severity(running.told, hours)
        if before is not None:  # an episode never becomes less than it was: its actions stay done
            score, level = max(score, before.score), max(level, before.severity, key=list(Severity).index)
        flag = running.flag = Flag(
            flag_id=flag_id(Kind.AUTOMATION, running.account, running.start_ms),
            kind=Kind.AUTOMATION,
            status=status,
            mode=self._mode,
            subject=Subject(type=SubjectType.ACCOUNT, id=running.account),
            window=Window(start=running.start_ms, end=end_ms),
            detected_at=now_ms,
            score=round(min(max(score, 0.0), 1.0), 4),
            severity=level,
            evidence=write(self.model, self._curves, running, habits, ratio, usual * hours),
            detector=Detector(name=Kind.AUTOMATION.value, version=VERSION, config=self._config),
        )
        return flag

    def snapshot(self) -> bytes:
        """Return the open episodes, cooldowns and answers; equal states give equal bytes."""
        return write_part(
            Kept(list(self._open.items()), list(self._cooling.items()), self._answers.kept()), KEPT_VERSION
        )

    def restore(self, data: bytes) -> None:
        """Go on from a snapshot.

        Raises:
            SnapshotMismatchError: it is not one, or of another version.

        """
        kept = read_part(data, Kept, KEPT_VERSION)
        if any(key >= 2**64 for key, _ in (*kept.running, *kept.cooling)):
            raise SnapshotMismatchError("an account's hash has more than 64 bits: start without it")
        self._open, self._cooling = dict(kept.running), dict(kept.cooling)
        self._answers.restore(kept.answers)
        self._reschedule()


def start_after(flag: Flag) -> int:
    """Return the first start that an episode can have after the one whose last flag this is, ms."""
    return -(-flag.window.end // START_STEP_MS) * START_STEP_MS


def _deadline(row: Any, now_ms: int) -> int:
    turn_ms = now_ms - int(max(row["turn_ms"].tolist()))
    return now_ms + min(max(QUIET_TURNS * turn_ms, QUIET_MS), QUIET_MS_MAX)


def severity(actions: int, hours: float) -> Severity:
    """Return how much a program does: actions in all, and an hour."""
    hourly = actions / max(hours, 1 / 12)
    for level, total, rate in ((Severity.HIGH, 5_000, 500), (Severity.MEDIUM, 500, 60)):
        if actions >= total or hourly >= rate:
            return level
    return Severity.LOW


def curves_of(model: RhythmModel) -> dict[Habit, NDArray[np.float64]]:
    """Return the curve of each habit, shape (knots,)."""
    return {habit: np.array(model.habits[HABIT_NAMES[habit]].curve) for habit in Habit}


def write(
    model: RhythmModel,
    curves: Mapping[Habit, NDArray[np.float64]],
    running: Running,
    habits: NDArray[np.float32],
    ratio: float,
    expected: float,
) -> Evidence:
    """Return the evidence of a flag: the habits that weigh most, the weightiest first."""
    there = ~np.isnan(habits)
    known = there.sum(axis=0)
    seen = (np.where(there, habits, 0.0).sum(axis=0) / np.maximum(known, 1)).astype(np.float32).tolist()
    weights = {habit: weigh_habit(curves[habit], seen[habit]) for habit in Habit if known[habit]}
    # One reason about when at the least, and one about what: neither alone is why.
    furthest = sorted(weights, key=lambda habit: -weights[habit])
    told = [*[one for one in furthest if one < FIRST_HABIT][:1], *[one for one in furthest if one >= FIRST_HABIT][:1]]
    told += [one for one in furthest if one not in told and weights[one] > 0.0][: REASONS_TOLD - len(told)]
    reasons = [
        _WORDS[habit].format(percent(seen[habit]), percent(model.habits[HABIT_NAMES[habit]].usual))
        for habit in sorted(told, key=lambda habit: -weights[habit])
    ]
    reasons.append(f"{number(running.told)} actions judged; acting like a program is not by itself fraud")
    timing = sum(nats for habit, nats in weights.items() if habit < FIRST_HABIT)
    return Evidence(
        observed=running.told,
        expected=round(expected, 2),
        actors=1,
        reasons=reasons,
        sample_actors=[running.account],
        groups={
            HABIT_NAMES[habit]: Share(
                observed=round(seen[habit], 3), expected=round(model.habits[HABIT_NAMES[habit]].usual, 3)
            )
            for habit in sorted(weights)
        },
        numbers={
            "statistic_over_threshold": round(ratio, 3),
            "timing_nats": round(timing, 2),
            "trade_nats": round(sum(weights.values()) - timing, 2),
        },
    )


assert len(_WORDS) == HABITS  # noqa: S101 - each habit has its words
