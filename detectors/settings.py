"""What the two stages are told: frozen, checked when made, so a wrong value is refused before an event is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields

from schemas.flags import Kind, Mode

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS

SUBJECT_KINDS: tuple[Kind, ...] = (Kind.FOLLOWER_SPIKE, Kind.LIKE_BOOST, Kind.KEYWORD_TREND, Kind.KEYWORD_RANKING)
"""The kinds that the subject stage decides."""


class SettingError(ValueError):
    """A setting is outside what is allowed: set it to a value in the range that the message names."""


def _within(settings: object, name: str, least: int, most: int) -> None:
    value = getattr(settings, name)
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise SettingError(f"{name} is {value!r}; it must be a whole number from {least} to {most}")


@dataclass(frozen=True, slots=True)
class ActorSettings:
    """Settings of the actor stage.

    Attributes:
        lateness_ms: how far a watermark stays behind the greatest accepted time of its topic.
        dedup_ms: how long after its arrival an event id is remembered.
        late_after_ms: how far behind the watermark an event is late, since its buckets are gone.
        actors_max: most actors held in one partition.
        rhythms_max: most rhythms held in one partition, of the actors that act often.
        automation_mode: live or shadow, for flags about actors.

    """

    lateness_ms: int = 2 * MINUTE_MS
    dedup_ms: int = 10 * MINUTE_MS
    late_after_ms: int = DAY_MS
    actors_max: int = 2_000_000
    rhythms_max: int = 500_000
    automation_mode: Mode = Mode.LIVE

    def __post_init__(self) -> None:
        """Check every value.

        Raises:
            SettingError: naming the setting, its value and what is allowed.

        """
        _within(self, "lateness_ms", 0, HOUR_MS)
        _within(self, "dedup_ms", MINUTE_MS, DAY_MS)
        _within(self, "late_after_ms", HOUR_MS, 7 * DAY_MS)
        _within(self, "actors_max", 1, 100_000_000)
        _within(self, "rhythms_max", 1, 100_000_000)


@dataclass(frozen=True, slots=True)
class DetectorSettings:
    """Settings of the subject stage.

    Attributes:
        subjects_max: most rows held in one partition, of accounts, notes, keywords and (keyword, note) pairs each.
        suspects_max: most subjects held in one partition whose actors are noted down, open episodes among them.
        quiet_ms: how long after its last suspicious action an episode is over, at the least; a drip, whose
            actions come further apart, is given `quiet_gaps` of its usual gaps.
        quiet_gaps: see above.
        quiet_ms_max: how long it is given at the most.
        cooldown_ms: how long after its end no new episode of that kind opens on the subject.
        update_gap_ms: least event time between two updates of an episode.
        modes: live or shadow by kind; live where a kind is not named.

    """

    subjects_max: int = 1_000_000
    suspects_max: int = 4_096
    quiet_ms: int = 30 * MINUTE_MS
    quiet_gaps: int = 8
    quiet_ms_max: int = DAY_MS
    cooldown_ms: int = 6 * HOUR_MS
    update_gap_ms: int = MINUTE_MS
    modes: Mapping[Kind, Mode] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check every value.

        Raises:
            SettingError: naming the setting, its value and what is allowed.

        """
        _within(self, "subjects_max", 1, 100_000_000)
        _within(self, "suspects_max", 2, 1_000_000)
        _within(self, "quiet_ms", MINUTE_MS, 7 * DAY_MS)
        _within(self, "quiet_gaps", 1, 1_000)
        _within(self, "quiet_ms_max", self.quiet_ms, 7 * DAY_MS)
        _within(self, "cooldown_ms", 0, 7 * DAY_MS)
        _within(self, "update_gap_ms", 1_000, HOUR_MS)
        for kind, mode in self.modes.items():
            if kind not in SUBJECT_KINDS or mode not in set(Mode):
                allowed = ", ".join(known.value for known in SUBJECT_KINDS)
                raise SettingError(f"modes has {kind!r}: {mode!r}; it takes live or shadow for {allowed}")

    def mode_of(self, kind: Kind) -> Mode:
        """Return the mode in which a kind's flags are published."""
        return self.modes.get(kind, Mode.LIVE)

    def deciding(self) -> dict[str, int]:
        """Return what a decision depends on besides the thresholds, by name."""
        return {item.name: getattr(self, item.name) for item in fields(self) if item.name != "modes"}
