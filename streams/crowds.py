"""The part of `boostwatch calibrate` that learns to judge crowds, for the kinds whose crowds are judged by trees."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Final

import msgspec
import numpy as np

from detectors.calibration import Thresholds
from detectors.crowd import SIGN_NAMES, SIGNS
from detectors.crowd_training import asked_of, cases_of, convinced_by, fit_crowds, judged_by_others
from detectors.subjects import SPECS
from detectors.trees import ANSWERS, QUESTIONS, Forest, Tree
from schemas.flags import Kind

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from detectors.calibration import KindThresholds
    from streams.labelled import Recorded

JUDGED_KINDS: Final = (Kind.FOLLOWER_SPIKE, Kind.LIKE_BOOST, Kind.KEYWORD_TREND)
"""Of a keyword's ranking less is known by who searches than by what they click: the mix judges that."""

MARGIN: Final = {Kind.FOLLOWER_SPIKE: 0.0, Kind.LIKE_BOOST: 0.25, Kind.KEYWORD_TREND: 0.75}
"""Nats that are asked for beyond what the budget needs on traffic like that which the trees were fitted on. Other
traffic costs more of likers, those of notes whose crowds look like nobody else's there, and of searchers those whom
the news brings; nearly all purchases of searches are far beyond that. Of followers it costs less than the platforms do
on which the market is shared by a few services, which the trees were fitted on too."""

EPISODE_BUDGET: Final = 1 / 200
"""Share of the benign episodes of a lane that may be flagged, where they are known."""

NEVER: Final = 1e6
"""Nats that no crowd reaches."""

CASES_LEAST: Final = 30
"""Looks at bought crowds and at organic ones without which the mix and company go on judging."""


def judge_crowds(
    parts: Sequence[Recorded], kinds: Mapping[Kind, KindThresholds], budget: float
) -> dict[Kind, tuple[KindThresholds, int]]:
    """Return the numbers of the kinds that are judged by trees, within the budget, and their false flags."""
    blank = Forest(SIGN_NAMES, (Tree((0,) * QUESTIONS, (NEVER,) * QUESTIONS, (0.0,) * ANSWERS),))
    never = {
        kind: msgspec.structs.replace(numbers, crowd=blank, factor=(NEVER,) * 5) if kind in JUDGED_KINDS else numbers
        for kind, numbers in kinds.items()
    }
    judged = [part.judged(Thresholds(1, {}, never)) for part in parts]
    flags_most = int(budget * sum(part.account_days for part in parts) / 1e6)
    found: dict[Kind, tuple[KindThresholds, int]] = {}
    for spec in SPECS:
        if spec.kind not in JUDGED_KINDS:
            continue
        cases = [cases_of(part.labelled, spec.lane, rows) for part, rows in zip(parts, judged, strict=True)]
        if (
            min(
                sum(int((part.attack > 0).sum()) for part in cases),
                sum(int((part.attack == 0).sum()) for part in cases),
            )
            < CASES_LEAST
        ):
            continue
        quiet = sum(surge.lane == spec.lane and not surge.attack for part in parts for surge in part.labelled.surges)
        nats = convinced_by(cases, judged_by_others(cases, spec.plain), spec.alone_nats)
        least, score, left = asked_of(cases, nats, flags_most, ceil(EPISODE_BUDGET * quiet), MARGIN[spec.kind])
        asked = round(float(np.ceil(least * 20) / 20), 2)
        numbers = msgspec.structs.replace(kinds[spec.kind], crowd=fit_crowds(cases), factor=(asked,) * 5, score=score)
        found[spec.kind] = (numbers, left)
    return found


assert len(SIGN_NAMES) == SIGNS  # noqa: S101 - as many names as signs
