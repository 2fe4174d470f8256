"""`boostwatch train`: learns the mark weights from recorded directories whose attacks are known.

The features come from the actor stage itself, fed as `replay` feeds it, so what is learned is what will be
computed. What is held out is only reported on: by kind of attack, and the benign episodes by family.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import numpy as np
import orjson
from numpy.typing import NDArray

from detectors.actor_features import REMOVAL
from detectors.actors import ActorStage
from detectors.mark_training import Examples, auc, bags_of, joined, marks_of, recall_at, train
from detectors.marks import GROUP_NAMES, MarkModel
from detectors.settings import ActorSettings
from schemas.columns import Verb
from schemas.hashing import hash_id
from streams.errors import RecordedTrafficError
from streams.labelled import digest
from streams.recorded import Recording

BATCH_EVENTS = 20_000
HONEST_MAX = 150_000
"""Honest actions kept of a directory, drawn by the hash of what they hit, so that bags stay whole."""

WARM_UP_SHARE = 0.1
"""Of a directory's events, not learned from: so early, everybody is new."""

EPISODE_SHARE = 0.4
"""Of the honest weight, carried by the actions of benign episodes where there are enough: a false flag is raised
on a surge, so marks must tell bought actions from honest surges and not only from quiet days."""

EPISODE_WEIGHT_MAX = 50.0
"""An episode's action weighs at most as many ordinary ones."""

_NO_ATTACK = -1
_ODD = np.uint64(0x9E3779B97F4A7C15)
"""2^64 over the golden ratio: multiplying by it spreads keys evenly (Knuth, vol. 3, 6.4)."""


@dataclass(frozen=True, slots=True)
class Episode:
    """A benign episode: what it concerns, hashed, and when."""

    family: str
    subjects: frozenset[int]
    start_ms: int
    end_ms: int


@dataclass(frozen=True, slots=True)
class LabelledActions:
    """One directory's marked actions that have a verb group, m of them, with what is known of them."""

    name: str
    events: int
    examples: Examples
    kind: NDArray[np.int16]  # index into `kinds`, -1 for honest
    kinds: tuple[str, ...]
    family: NDArray[np.int16]  # of a benign episode, index into `families`, -1 for none
    families: tuple[str, ...]


@dataclass(slots=True)
class _Labels:
    attack_of: dict[int, int]  # event hash -> attack
    attack_kind: list[str]
    attack_size: list[int]
    episodes: list[Episode]


class _Subject(msgspec.Struct):
    id: str


class _Attack(msgspec.Struct):
    """What is read of a line of attacks.jsonl."""

    kind: str
    event_ids: list[str]


class _Benign(msgspec.Struct):
    """What is read of a line of benign.jsonl."""

    family: str
    subject: _Subject
    start: int
    end: int
    note_id: str | None = None
    author_id: str | None = None


_Line = TypeVar("_Line", _Attack, _Benign)


def _lines(path: Path, form: type[_Line]) -> Iterator[_Line]:
    if not path.exists():
        return
    decoder = msgspec.json.Decoder(form)
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                yield decoder.decode(line)
            except (msgspec.DecodeError, UnicodeError) as error:
                raise RecordedTrafficError(f"{path} line {number} cannot be read: {error}; mend or drop it") from None


def _read_labels(directory: Path) -> _Labels:
    labels = _Labels({}, [], [], [])
    path = directory / "attacks.jsonl"
    if not path.exists():
        raise RecordedTrafficError(f"{directory} has no attacks.jsonl: weights are learned from labelled traffic only")
    for attack in _lines(path, _Attack):
        for event_id in attack.event_ids:
            labels.attack_of[hash_id(event_id)] = len(labels.attack_kind)
        labels.attack_kind.append(attack.kind)
        labels.attack_size.append(len(attack.event_ids))
    for benign in _lines(directory / "benign.jsonl", _Benign):
        ids = (benign.subject.id, benign.note_id, benign.author_id)
        subjects = frozenset(hash_id(name) for name in ids if name)
        labels.episodes.append(Episode(benign.family, subjects, benign.start, benign.end))
    return labels


def read_examples(directory: Path) -> LabelledActions:
    """Run the actor stage over a recorded directory and label what it describes.

    Raises:
        RecordedTrafficError: the directory is not there, holds no event, or is not labelled.

    """
    labels = _read_labels(directory)
    stage = ActorStage(ActorSettings(), MarkModel.flat({}))
    recording = Recording(directory)
    kinds = tuple(sorted(set(labels.attack_kind)))
    families = tuple(sorted({episode.family for episode in labels.episodes}))
    chunks: dict[str, list[NDArray[Any]]] = defaultdict(list)
    events = 0
    for batches, turns in recording.in_turns(BATCH_EVENTS):
        described = stage.apply_and_describe(batches, turns)
        for batch, (marked, features) in zip(batches, described, strict=True):
            events += len(batch)
            chunks["features"].append(features)
            chunks["event"].append(batch.event[marked.rows])
            for name in ("verb", "item", "subject", "ts"):
                chunks[name].append(getattr(marked.actions, name))
    if not events:
        raise RecordedTrafficError(f"{directory} holds no event that can be read: there is nothing to learn from")
    columns = {name: np.concatenate(values) for name, values in chunks.items()}
    verb, item = columns["verb"], columns["item"]
    columns["group"] = np.select(
        [verb == Verb.LIKE, verb == Verb.FOLLOW, (verb == Verb.SEARCH) & (item != 0), verb == Verb.SEARCH],
        [0, 1, 2, 3], REMOVAL,
    ).astype(np.uint8)  # fmt: skip
    columns = {name: values[columns["group"] < REMOVAL] for name, values in columns.items()}
    columns["attack"] = np.array([labels.attack_of.get(key, _NO_ATTACK) for key in columns["event"].tolist()])
    columns["family"] = _families(labels.episodes, families, columns["subject"], columns["ts"])
    return _assemble(directory.name, events, labels, kinds, families, columns, stage)


def _families(
    episodes: Sequence[Episode],
    families: tuple[str, ...],
    subject: NDArray[np.uint64],
    ts: NDArray[np.int64],
) -> NDArray[np.int16]:
    """Return the family of the benign episode that each action belongs to, -1 for none."""
    found = np.full(len(ts), -1, np.int16)
    for episode in episodes:
        subjects = np.array(sorted(episode.subjects), np.uint64)
        here = (ts >= episode.start_ms) & (ts <= episode.end_ms) & np.isin(subject, subjects)
        found[here] = families.index(episode.family)
    return found


def _assemble(
    name: str,
    events: int,
    labels: _Labels,
    kinds: tuple[str, ...],
    families: tuple[str, ...],
    columns: dict[str, NDArray[Any]],
    stage: ActorStage,
) -> LabelledActions:
    bought = columns["attack"] != _NO_ATTACK
    warm = np.arange(len(bought)) >= WARM_UP_SHARE * len(bought)
    share = min(1.0, HONEST_MAX / max(int((~bought).sum()), 1))
    # Of a search its result too: what is pushed is a note on a keyword's page.
    hit = columns["subject"] ^ (columns["item"] * _ODD) ^ columns["group"]
    luck = ((hit * _ODD) >> np.uint64(40)) % np.uint64(1_000)
    keep = warm & (bought | (columns["family"] >= 0) | (luck < 1_000 * share))
    columns = {key: values[keep] for key, values in columns.items()}
    attack, bought, bag = columns["attack"], bought[keep], bags_of(hit[keep])
    # An honest action that stays stands for those like it that were left out.
    weight = np.full(len(bought), 1.0 / share)
    for group in GROUP_NAMES:
        honest = ~bought & (columns["group"] == group)
        episode = honest & (columns["family"] >= 0)
        usual = weight[honest & ~episode].sum()
        if episode.any():
            weight[episode] = min(EPISODE_SHARE / (1.0 - EPISODE_SHARE) * usual / episode.sum(), EPISODE_WEIGHT_MAX)
    size = np.array([*labels.attack_size, 1], np.float64)
    weight = np.where(bought, 1.0 / np.sqrt(size[attack]), weight)
    kind_of = np.array([*(kinds.index(kind) for kind in labels.attack_kind), -1], np.int16)
    examples = Examples(columns["features"], columns["group"], bought, weight, stage.usual(), bag)
    return LabelledActions(name, events, examples, kind_of[attack], kinds, columns["family"], families)


def report(model: MarkModel, parts: Sequence[LabelledActions]) -> dict[str, Any]:
    """Say how well the marks tell bought from honest actions: AUC and recall at 1%, and benign families' marks."""
    by_kind: dict[str, tuple[list[float], list[float]]] = defaultdict(lambda: ([], []))
    by_family: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for part in parts:
        examples = part.examples
        nats = marks_of(model, examples.features, examples.group)
        for group, name in GROUP_NAMES.items():
            chosen = examples.group == group
            honest = chosen & ~examples.bought
            if honest.any():
                by_family[f"all {name}"].append((float(nats[honest].mean()), float(np.exp(nats[honest]).mean())))
            for at, kind in enumerate(part.kinds):
                bought = chosen & (part.kind == at)
                if bought.sum() >= 20 and honest.any():
                    auc_of, recall_of = by_kind[f"{kind} by {name}"]
                    auc_of.append(auc(nats[bought], nats[honest]))
                    recall_of.append(recall_at(nats[bought], nats[honest], 0.01))
        for at, family in enumerate(part.families):
            here = (part.family == at) & ~examples.bought
            if here.any():
                by_family[family].append((float(nats[here].mean()), float(np.exp(nats[here]).mean())))
    return {
        "kinds": {
            key: {"auc": _mid(aucs), "auc_least": round(min(aucs), 3), "recall_at_1pc": _mid(recalls)}
            for key, (aucs, recalls) in sorted(by_kind.items())
        },
        "honest": {
            key: {
                "mean": _mid([m for m, _ in values]),
                "mean_exp": _mid([e for _, e in values]),
                "mean_exp_most": round(max(e for _, e in values), 2),
            }
            for key, values in sorted(by_family.items())
        },
    }


def _mid(values: Sequence[float]) -> float:
    return round(float(np.median(values)), 3)


def run(directories: Sequence[Path], out: Path, held_out: Sequence[Path]) -> None:
    """Train on directories and write the model to `out`.

    Raises:
        RecordedTrafficError: a directory is not labelled or has too little in it, or `out` cannot be written.

    """
    parts = [read_examples(directory) for directory in directories]
    tested = [read_examples(directory) for directory in held_out]
    provenance: dict[str, Any] = {
        "command": "boostwatch train",
        "directories": [f"{path.name} ({digest(path)})" for path in directories],
        "held_out": [f"{path.name} ({digest(path)})" for path in held_out],
        "events": sum(part.events for part in parts),
        "actions": sum(len(part.examples) for part in parts),
    }
    try:
        model = train(joined([part.examples for part in parts]), provenance)
        model.provenance["report"] = report(model, tested or parts)
        out.write_text(model.to_json(), encoding="utf-8")
    except ValueError as error:
        raise RecordedTrafficError(f"too little to learn from: {error}") from None
    except OSError as error:
        raise RecordedTrafficError(f"cannot write {out}: {error.strerror}") from None
    sys.stdout.write(orjson.dumps(model.provenance["report"], option=orjson.OPT_INDENT_2).decode() + "\n")
