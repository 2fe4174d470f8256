"""From a row and its place among the suspects to an `Observation`: everything that evidence is written from."""

from __future__ import annotations

from math import isinf
from typing import TYPE_CHECKING, Any

import numpy as np

from detectors.company import company_factor, shared_actors
from detectors.composition import SHARES, leading_level, mix_factor, suspicious_share
from detectors.conviction import conviction
from detectors.crowd import SIGNS
from detectors.crowd_onward import onward_counts
from detectors.deciding import crowd_nats
from detectors.evidence import Observation
from detectors.gate import WEEK_HOURS, gate, hourly, measure
from detectors.models import features_of
from detectors.sketches import BITMAP_BITS, distinct_registered, distinct_seen
from detectors.subject_rows import CLICKS, LIKES, SLOT_MS, SLOTS_HOUR
from detectors.windows import in_day

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from detectors.models import LaneModels
    from detectors.noted import Noted
    from detectors.subject_kernel import State

HOUR_MS = SLOT_MS * SLOTS_HOUR


def measured(row: Any, rule: Any, pool: Any) -> NDArray[np.float64]:
    """Return observed, expected and nats at the four scales, shape (3, 4)."""
    out = np.zeros((3, 4))
    measure(row, rule, pool, out)
    return out


def novelty_features(row: Any, rule: Any, pool: Any) -> dict[str, float]:
    """Return what novelty looks at of a row as it stands."""
    removed = int(row["removals"][0]) + int(row["removals"][1])
    share = suspicious_share(row, 48, int(float(rule["clear"]) * 16))
    return features_of(measured(row, rule, pool), float(share), removed / max(float(in_day(row)), 1.0))


def distinct_actors(row: Any, held: Any) -> int:
    """Return how many distinct actors there were since the statistic rose, estimated."""
    # The bitmap has seen them from the start and is the finer one until it fills up.
    few = float(distinct_seen(row["seen"]))
    many = float(distinct_registered(held["registers"]))
    return round(many if isinf(few) or few > 3 * BITMAP_BITS else max(few, 1.0))


def look(
    state: State,
    lane: int,
    row: Any,
    held: Any,
    noted: Noted,
    base: int,
    start_ms: int,
    now_ms: int,
    models: LaneModels,
) -> Observation:
    """Return what there is to say of a suspect.

    Args:
        state: rows, rules and pools.
        lane: of the row.
        row: the subject's record.
        held: its record among the suspects.
        noted: the ids behind it.
        base: actions from the start on that came before it was noted down who acts.
        start_ms: start of the episode.
        now_ms: when this is said; whose actors went on is known by then.
        models: what the lane has learned together.

    """
    rule, pool = state.rules[lane], state.pools[lane]
    last_ms = max(int(held["touched_ms"]), start_ms)
    known_ms = max(last_ms, now_ms)
    hours = max((last_ms - start_ms) / HOUR_MS, 1 / SLOTS_HOUR)
    # Over less than a day the hour's factor holds, over more the cycle averages out.
    factor = float(pool["cycle"][(last_ms // HOUR_MS) % WEEK_HOURS]) if hours < 24 else 1.0
    observed = base + int(held["actions"])
    if rule["trees"]:
        passed = int(gate(row, rule, pool))
        now = crowd_nats(row, held, rule, pool, passed, known_ms, np.zeros(SIGNS, np.float64))
        nats = float(conviction(held, now, known_ms, rule["alone"]))
    else:
        nats = float(mix_factor(row, rule, pool) + company_factor(row, held))
    known, gone_on, _ = onward_counts(held, known_ms)
    return Observation(
        observed=observed,
        expected=float(hourly(row, rule, pool)) * factor * hours,
        actors=min(distinct_actors(row, held), observed),
        hours=hours,
        measured=measured(row, rule, pool),
        suspicious=int(held["suspicious"]),
        watched=max(int(held["actions"]), int(held["suspicious"])),
        traits=held["traits"].copy(),
        usual_traits=pool["traits"].copy(),
        removed=int(held["removed"]),
        ratio=float(held["peak"]),
        mix_nats=nats,
        bought_share=SHARES[int(leading_level(row))],
        sample=tuple(noted.actors),
        author_id=noted.owner if lane in {LIKES, CLICKS} else None,
        note_id=noted.item if lane == CLICKS else None,
        position=int(row["place"]),
        clicks=float(row["clicks"]),
        earned=float(row["earned"]) if lane == CLICKS else 0.0,
        shared=shared_actors(row, held),
        left=(known - gone_on, known),
        stays=float(pool["goes_on"]),
        novelty=models.novelty.score(novelty_features(row, rule, pool)),
    )
