"""Recorded directories for learning: their marked actions and, where it is known, their truth."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import xxhash

from detectors.actions import Actions, Names
from detectors.actors import ActorStage
from detectors.fitting import Labelled, Surge
from detectors.settings import ActorSettings, DetectorSettings
from detectors.subjects import SPECS, SubjectStage
from schemas.flags import Kind
from schemas.hashing import hash_id
from streams.comparison import Attack, Benign, read_attacks, read_benign
from streams.errors import RecordedTrafficError
from streams.recorded import STEMS, Recording
from streams.turns import in_order

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from detectors.calibration import Thresholds
    from detectors.marks import MarkModel
    from schemas.flags import Flag

BATCH_EVENTS = 8_192
JUDGED_MOST = 200_000
"""Looks at crowds that are kept of one directory."""

DAY_MS = 86_400_000

_LANE = {spec.kind: spec.lane for spec in SPECS}
_LANES_OF = {
    kind: tuple(spec.lane for spec in SPECS if spec.kind in kinds)
    for kind, kinds in {
        "account": (Kind.FOLLOWER_SPIKE,),
        "note": (Kind.LIKE_BOOST,),
        "keyword": (Kind.KEYWORD_TREND, Kind.KEYWORD_RANKING),
    }.items()
}


@dataclass(frozen=True, slots=True)
class Recorded:
    """One directory: its marked actions batch by batch, and its truth; without attacks it is clean traffic."""

    name: str
    batches: list[tuple[Actions, list[tuple[str, int]]]]  # with the sources, and how many follow each other of each
    labelled: Labelled
    attacks: list[Attack]
    benign: list[Benign]
    account_days: float

    def judged(self, thresholds: Thresholds) -> NDArray[np.float64]:
        """Return what the subject stage looked at, rows of `Suspects.judged`, where nothing is ever flagged."""
        stage = SubjectStage(DetectorSettings(), thresholds)
        stage.note_judged(JUDGED_MOST)
        for actions, sources in self.batches:
            stage.apply_all(actions, sources)
        return stage.judged

    def flags(self, settings: DetectorSettings, thresholds: Thresholds) -> list[Flag]:
        """Return the flags that the subject stage raises over it."""
        stage = SubjectStage(settings, thresholds)
        return [flag for batch in self.batches for flag in stage.apply_all(*batch)]


@dataclass(frozen=True, slots=True)
class _Named(Names):
    """The ids that the truth speaks of; a recording's other ids would fill the memory and are told by their hash."""

    ids: dict[int, str]

    @classmethod
    def of(cls, attacks: Sequence[Attack], benign: Sequence[Benign]) -> _Named:
        names = {name for quiet in benign for _, name in quiet.ids}
        for attack in attacks:
            names.update({attack.subject.id, *(one.subject.id for one in attack.also)})
            names.update(name for name in (attack.note_id, attack.author_id) if name)
        return cls({hash_id(name): name for name in names})

    def find(self, key: int) -> str | None:
        return self.ids.get(key)


def read(directory: Path, marks: MarkModel) -> Recorded:
    """Mark a directory's events, fed as `replay` feeds them.

    Raises:
        RecordedTrafficError: it is not there, holds no event, or its truth cannot be read.

    """
    truth = directory / "attacks.jsonl"
    attacks = read_attacks(truth) if truth.exists() else []
    benign = read_benign(directory / "benign.jsonl")
    attack_of = _deliveries(truth) if truth.exists() else {}
    stage = ActorStage(ActorSettings(), marks)
    names = _Named.of(attacks, benign)
    batches: list[tuple[Actions, list[tuple[str, int]]]] = []
    bought: list[int] = []
    for several, turns in Recording(directory).in_turns(BATCH_EVENTS):
        marked = stage.apply_in_turns(several, turns)
        ordered = in_order(marked, [STEMS[events.topic] for events in several], turns)
        batches.append((replace(ordered.actions, names=names), ordered.sources))
        event = np.concatenate([events.event[one.rows] for events, one in zip(several, marked, strict=True)])
        bought += [attack_of.get(key, 0) for key in event[ordered.order].tolist()]
    if not bought:
        raise RecordedTrafficError(f"{directory} holds no event that can be read: there is nothing to learn from")
    columns = {
        name: np.concatenate([getattr(actions, name) for actions, _ in batches])
        for name in ("ts", "verb", "subject", "item", "mark", "traits")
    }
    labelled = Labelled(**columns, attack=np.array(bought, np.int32), surges=_surges(attacks, benign))
    accounts = len(np.unique(np.concatenate([actions.actor for actions, _ in batches])))
    days = float(labelled.ts.max() - labelled.ts.min()) / DAY_MS
    return Recorded(directory.name, batches, labelled, attacks, benign, accounts * days)


def digest(directory: Path) -> str:
    """Return a short hash of what a directory holds, file by file: what was learned from can be told again."""
    state = xxhash.xxh64()
    for path in sorted(directory.glob("*.jsonl*")):
        state.update(path.name.encode())
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                state.update(block)
    return state.hexdigest()


class _Delivered(msgspec.Struct):
    event_ids: list[str]


def _deliveries(path: Path) -> dict[int, int]:
    """Return the number of the attack, from 1 on, that each bought event belongs to, by the event's hash."""
    try:
        decoded = [msgspec.json.decode(line, type=_Delivered) for line in path.read_bytes().splitlines()]
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise RecordedTrafficError(f"{path} does not say which events were bought: {error}") from None
    return {hash_id(event): number for number, line in enumerate(decoded, 1) for event in line.event_ids}


def _surges(attacks: Sequence[Attack], benign: Sequence[Benign]) -> tuple[Surge, ...]:
    found = [
        Surge(
            attack.shape, _LANE[attack.kind], hash_id(attack.subject.id),
            hash_id(attack.note_id) if attack.kind is Kind.KEYWORD_RANKING and attack.note_id else 0,
            attack.start, attack.end, number,
        )
        for number, attack in enumerate(attacks, 1)
        if attack.kind in _LANE
    ]  # fmt: skip
    for quiet in benign:
        found += [
            Surge(quiet.family, lane, hash_id(name), 0, quiet.start, quiet.end)
            for what, name in sorted(quiet.ids)
            for lane in _LANES_OF.get(what, ())
        ]
    return tuple(found)
