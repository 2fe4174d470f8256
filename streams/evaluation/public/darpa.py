"""DARPA 1998 as edges from actor to subject: bursts on targets and sweeps by actors.

Lippmann et al. (1999); as edges by Bhatia et al. (2020), MIDAS, AAAI. Floods are most of the attacks, so the figure
without them says more.
"""

from __future__ import annotations

import gzip
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from detectors.compiled import allocating
from streams.evaluation.measures import auc
from streams.evaluation.midas import DECAY, THRESHOLD, midas_f
from streams.evaluation.public.surges import surge_scores

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

NORMAL = "-"
FLOODS = ("neptune", "neptunettl", "smurf", "smurfttl")
PUBLISHED = {"SedanSpot": "0.64", "MIDAS": "0.91", "MIDAS-R": "0.95", "MIDAS-F": "0.984 to 0.986"}
"""AUC over all edges: the AAAI paper's, and MIDAS-F by its authors' own program."""

FALSE_SHARE = 0.01
"""Share of the normal edges that may be flagged where recall is told by attack."""

TOLD_MIN = 1_000
"""Edges of an attack for its recall to be told."""

MIDAS_BUCKETS = 1_024
"""As in the paper."""

FIELD_BYTES_MAX = 64


@dataclass(frozen=True, slots=True)
class Edges:
    """n edges in order of time: who, whom, the rank of the minute from 1, and the attack's place in `names`."""

    source: NDArray[np.uint64]
    destination: NDArray[np.uint64]
    tick: NDArray[np.int64]
    attack: NDArray[np.intp]
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.tick)


@dataclass(frozen=True, slots=True)
class EdgeFigures:
    """One method: AUC over all edges and without floods, edges a second, recall by attack at `FALSE_SHARE`."""

    name: str
    auc_all: float
    auc_without_floods: float
    edges_per_s: float
    recall: dict[str, float]  # of attacks with `TOLD_MIN` edges at the least


def read_edges(path: Path) -> Edges:
    """Read `darpa.csv.gz`: source, destination, minute, attack."""
    with gzip.open(path, "rb") as file:
        file.readline()
        text = np.frombuffer(file.read(), np.uint8)
    keys, begins = _fields(text, int(np.count_nonzero(text == ord("\n"))))
    _, first, which = np.unique(keys[:, 3], return_index=True, return_inverse=True)
    names = tuple(bytes(text[begins[row] :][:FIELD_BYTES_MAX]).split(b"\n")[0].decode() for row in first)
    changes = np.concatenate([[True], keys[1:, 2] != keys[:-1, 2]])
    return Edges(keys[:, 0].copy(), keys[:, 1].copy(), np.cumsum(changes), which, names)


def evaluate_edges(edges: Edges) -> list[EdgeFigures]:
    """Score every edge by our surge score and by MIDAS-F."""
    return [
        _figures("surge score", edges, _surges),
        _figures("MIDAS-F, here", edges, _midas),
    ]


def _surges(edges: Edges) -> NDArray[np.float64]:
    return surge_scores(edges.source, edges.destination, edges.tick)


def _midas(edges: Edges) -> NDArray[np.float64]:
    found = midas_f(edges.source, edges.destination, edges.tick, MIDAS_BUCKETS, 1, THRESHOLD, DECAY)
    return np.asarray(found)


def _figures(name: str, edges: Edges, method: Callable[[Edges], NDArray[np.float64]]) -> EdgeFigures:
    scores, rate = _timed(edges, method)
    normal = scores[edges.attack == edges.names.index(NORMAL)]
    cut = float(np.quantile(normal, 1.0 - FALSE_SHARE))
    attacks = {which: place for place, which in enumerate(edges.names) if which != NORMAL}
    quiet = [place for which, place in attacks.items() if which not in FLOODS]
    return EdgeFigures(
        name,
        auc(scores[np.isin(edges.attack, list(attacks.values()))], normal),
        auc(scores[np.isin(edges.attack, quiet)], normal),
        rate,
        {
            which: float((scores[edges.attack == place] > cut).mean())
            for which, place in attacks.items()
            if np.count_nonzero(edges.attack == place) >= TOLD_MIN
        },
    )


def _timed(edges: Edges, run: Callable[[Edges], NDArray[np.float64]]) -> tuple[NDArray[np.float64], float]:
    """Return what a method makes of the edges and how many it takes a second, compiling left out."""
    run(Edges(edges.source[:9], edges.destination[:9], edges.tick[:9], edges.attack[:9], edges.names))
    started = time.perf_counter()
    scores = run(edges)
    return scores, len(edges) / max(time.perf_counter() - started, 1e-9)


@allocating
def _fields(text: NDArray[np.uint8], rows: int) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Return a key for each of the four fields of each line, (n, 4), never 0, and where its last field begins, (n,).

    Four and a half million lines: they are hashed as they are read (FNV-1a, 64 bits), never made into strings.
    """
    keys, begins = np.empty((rows, 4), np.uint64), np.empty(rows, np.int64)
    key, row, column = np.uint64(0xCBF29CE484222325), 0, 0
    for place in range(len(text)):
        one = text[place]
        if one in (44, 10):
            keys[row, column] = max(key, np.uint64(1))
            key = np.uint64(0xCBF29CE484222325)
            column += 1
            if one == 10:
                row, column = row + 1, 0
            elif column == 3:
                begins[row] = place + 1
        else:
            key = (key ^ np.uint64(one)) * np.uint64(0x100000001B3)
    return keys, begins
