"""Episodes: one flag a subject and rise, opened early, updated as it grows, closed when it is quiet."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import chain
from math import ceil, log
from typing import TYPE_CHECKING, Final

import numpy as np

from detectors.evidence import Observation, severity, write
from detectors.subject_rows import SLOT_MS
from schemas.flags import SUBJECT_TYPE, Detector, Flag, Severity, Status, Subject, Window, flag_id

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from detectors.calibration import KindThresholds
    from detectors.settings import DetectorSettings
    from detectors.specs import Spec

GROWTH: Final = 1.5
"""An update is worth a flag once there are this many times the suspicious actions of the last one."""

OPEN_SHARE: Final = 2
"""At most 1 / this of the suspects' places hold open episodes, so that new suspects always find one."""

ACTORS_WEIGHT, ACTORS_MOST = 0.25, 1_000.0
"""How much the count of suspicious actors adds to a strength, in e-folds, and where it ends."""

MIX_WEIGHT, MIX_MOST = 0.1, 20.0
"""How much a nat of the mix's Bayes factor adds to a strength, and where it ends."""

Key = tuple[int, int]
"""Lane and subject hash; of a pair its keyword's, since a keyword has one ranking episode whatever note leads."""


@dataclass(slots=True)
class Episode:
    """One open episode.

    Attributes:
        key: lane and subject.
        subject_id: the subject's id.
        start_ms: onset of the rise, a multiple of five minutes, so that small reorderings leave it.
        leading: the suspect's place that evidence is taken from.
        places: all suspects' places that belong to it, each with the actions before it was watched.
        last: the flag published last.

    """

    key: Key
    subject_id: str
    start_ms: int
    leading: int
    places: dict[int, int] = field(default_factory=dict)
    last: Flag | None = None


class EpisodeBook:
    """The open episodes of a partition and the cooldowns of past ones."""

    def __init__(self, settings: DetectorSettings) -> None:
        self._settings = settings
        self._open: dict[Key, Episode] = {}
        self._cooldowns: dict[Key, int] = {}
        self._places: tuple[NDArray[np.intp], NDArray[np.intp]] | None = None
        self.crowded = 0
        """Openings refused because too many episodes were open."""

    def __len__(self) -> int:
        return len(self._open)

    def find(self, key: Key) -> Episode | None:
        """Return the open episode of a lane and subject."""
        return self._open.get(key)

    def every(self) -> list[Episode]:
        """Return the open episodes in the order of their opening."""
        return list(self._open.values())

    def cool_until(self, key: Key) -> int:
        """Return until when (ms) nothing opens under `key`, 0 where nothing holds it back."""
        return self._cooldowns.get(key, 0)

    def enter(self, episode: Episode) -> bool:
        """Take a new episode in. Return whether there is room for it."""
        if len(self._open) >= max(self._settings.suspects_max // OPEN_SHARE, 1):
            self.crowded += 1
            return False
        self._open[episode.key] = episode
        self._places = None
        return True

    def join(self, episode: Episode, place: int, before: int) -> None:
        """Make a suspect's place part of an episode; `before` are the actions before it was watched."""
        episode.places[place] = before
        self._places = None

    def places(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Return the places of all open episodes, in the order of `every`, and where in them each one's begin.

        It is asked for far more often than an episode comes, grows or goes, so it is kept in between.
        """
        if self._places is None:
            counts = [len(episode.places) for episode in self._open.values()]
            flat = np.fromiter(chain.from_iterable(each.places for each in self._open.values()), np.intp, sum(counts))
            self._places = flat, np.cumsum([0, *counts[:-1]], dtype=np.intp)
        return self._places

    def leave(self, episode: Episode, at_ms: int) -> int:
        """Take an episode out that ends at `at_ms`. Return until when (ms) its subject is left alone."""
        del self._open[episode.key]
        self._places = None
        until = at_ms + self._settings.cooldown_ms
        self._cooldowns[episode.key] = until
        return until

    def hold(self, key: Key, until_ms: int) -> None:
        """Let nothing open under `key` before `until_ms`."""
        self._cooldowns[key] = max(self._cooldowns.get(key, 0), until_ms)

    @property
    def cooldowns(self) -> dict[Key, int]:
        """Until when (ms) nothing opens, by lane and subject."""
        return dict(self._cooldowns)

    def restore(self, episodes: Iterable[Episode], cooldowns: Mapping[Key, int]) -> None:
        """Take these open episodes, in the order of their opening, and cooldowns in place of all there are."""
        self._open = {episode.key: episode for episode in episodes}
        self._places = None
        self._cooldowns = dict(cooldowns)

    def forget_before(self, clock_ms: int) -> None:
        """Forget cooldowns that are over."""
        self._cooldowns = {key: until for key, until in self._cooldowns.items() if until > clock_ms}


def strength(spec: Spec, learned: KindThresholds, seen: Observation) -> float:
    """Return what a score is the calibrated map of: where trees judge the crowd, what they say."""
    if learned.crowd is not None:
        return max(seen.mix_nats, 0.0)
    return strength_of(spec, seen.ratio, min(seen.suspicious, seen.actors), seen.mix_nats)


def strength_of(spec: Spec, ratio: float, actors: float, mix_nats: float) -> float:
    """Return how strong a case is: the statistic over its threshold, who acts, and how many.

    Monotone in each: the statistic stops at a cap and the Bayes factor at what surges scatter, while a hundred
    suspicious actors say more than ten.
    """
    crowd = log(min(max(actors, 1.0), ACTORS_MOST) / spec.actors_min)
    return ratio + ACTORS_WEIGHT * crowd + MIX_WEIGHT * min(max(mix_nats, -MIX_MOST), MIX_MOST)


def flag_of(
    episode: Episode, spec: Spec, learned: KindThresholds, settings: DetectorSettings, config: str,
    status: Status, detected_ms: int, end_ms: int, seen: Observation | None,
) -> Flag:  # fmt: skip
    """Return the flag of an episode as it stands; `seen` is None where nothing new can be seen any more.

    Raises:
        ValueError: neither anything seen nor a flag before.

    """
    last = episode.last
    if seen is None and last is None:
        raise ValueError(f"episode of {episode.subject_id!r} has no evidence and never had a flag")
    if seen is not None:
        score, level, evidence = learned.score_of(strength(spec, learned, seen)), severity(seen), write(spec, seen)
        if last is not None:  # an episode never becomes less than it was: its actions stay done
            score = max(score, last.score)
            level = max(level, last.severity, key=list(Severity).index)
    else:
        assert last is not None  # noqa: S101 - checked above
        score, level, evidence = last.score, last.severity, last.evidence
    return Flag(
        flag_id=flag_id(spec.kind, episode.subject_id, episode.start_ms),
        kind=spec.kind,
        status=status,
        mode=settings.mode_of(spec.kind),
        subject=Subject(type=SUBJECT_TYPE[spec.kind], id=episode.subject_id),
        window=Window(start=episode.start_ms, end=max(end_ms, episode.start_ms + 1)),
        detected_at=detected_ms,
        score=round(min(max(score, 0.0), 1.0), 4),
        severity=level,
        evidence=evidence,
        detector=Detector(name=spec.kind.value, version=spec.version, config=config),
    )


def next_update_from(suspicious: int) -> int:
    """Return how many suspicious actions make the next update worth while."""
    return ceil(GROWTH * max(suspicious, 1))


def slot_after(time_ms: int) -> int:
    """Return the first slot that begins at or after a time."""
    return -(-time_ms // SLOT_MS)
