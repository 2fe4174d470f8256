"""What a detector is, apart from its running: which lane it reads, its floors, and the words of its evidence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from detectors.crowd import NOTHING_PLAIN, PlainWeights
from detectors.mixes import mix_tables
from detectors.subject_rows import RULE
from detectors.trees import fold

if TYPE_CHECKING:
    from detectors.calibration import KindThresholds
    from schemas.flags import Kind


@dataclass(frozen=True, slots=True)
class Words:
    """How a detector's evidence speaks of what came.

    Attributes:
        action: one action, such as "follow".
        actions: several.
        actors: those who act, such as "followers".
        subject: what it is about, such as "account".

    """

    action: str
    actions: str
    actors: str
    subject: str


@dataclass(frozen=True, slots=True)
class Spec:
    """One detector. The numbers that were learned from traffic are not here but in `KindThresholds`.

    Attributes:
        kind: what it flags.
        lane: the rows it reads (`detectors.subject_rows`).
        version: raised when its decisions change.
        words: of its evidence.
        floors: least actions in 5 minutes, an hour, 24 hours, 7 days for the gate at that scale.
        gate_nats: least -log tail probability against the baseline at the same scales. Where trees judge, whether the
            gate is passed is a sign for them and keeps nothing out.
        gate_slow_nats: the same for the second door, at 24 hours and 7 days, behind which the mix must be clearer
            (`slow_factor`): a drip.
        slow_factor: factor on the Bayes factor behind the second door.
        diluted_nats: added to the Bayes factor that is asked for where the share that fits best is not the greatest:
            a crowd of strangers holds some who look bought, and what spreads brings strangers.
        wave_share, wave_factor: where suspicious actors have taken back this share of a day's actions, the factor
            on both thresholds.
        suspicious_nats: from which on a mark counts as suspicious.
        clear_nats: from which on it does by itself; below, only what a crowd of such has in common can say more.
        mark_max_nats: that one action can add at the most, so that no single actor decides.
        cold_nats: asked for besides, of the trees or of the Bayes factor, when nothing is known yet, less and less over
            a day: who is merely not known yet looks like somebody who was never there.
        cold_mix_nats: asked for of mix and company beside the trees then, likewise.
        plain: weights of what is plain about a crowd beside the trees (`detectors.crowd.plain_nats`).
        alone_nats: that a single look at a crowd must say beyond what is asked of all of them together
            (`detectors.conviction`).
        actors_min: least distinct suspicious actors (estimated).
        share_min: least share of suspicious marks among the last 16 or 48 actions.
        lift_min: clicks over what the position earns, at the least.
        lift_sure_nats: least log-likelihood ratio of that many clicks over as many as were earned.
        lift_nats: that a click adds for each e-fold of its result's lift over `lift_min`, and at the most.
        clicked_nats: added to a search with a click: log of how much likelier one is in a fake trend. What that makes
            of one without a click hangs on how many bring one here: nothing where clicks are not sent at all.
        unread_more: by how much more one without counts where the keyword's searches lately bring no clicks at all.
        prior_rate: actions an hour that a subject never seen is expected to get, before the cohort is known.
        prior_count: weight of the cohort, in actions.
        dispersion: usual excess variance of an hour's count over its mean squared.
        own_weight: actions after which a subject's own mix counts as much as the population's.
        correction_max_nats: that a usual mix can take off a mark.

    """

    kind: Kind
    lane: int
    version: str
    words: Words
    floors: tuple[float, float, float, float] = (8, 10, 14, 20)
    gate_nats: tuple[float, float, float, float] = (7.0, 7.0, 7.0, 7.0)
    gate_slow_nats: float = 1.5
    slow_factor: float = 1.75
    diluted_nats: float = 5.0
    wave_share: float = 0.3
    wave_factor: float = 0.75
    suspicious_nats: float = 0.25
    clear_nats: float = 0.25
    mark_max_nats: float = 5.0
    cold_nats: float = 0.0
    cold_mix_nats: float = 0.0
    plain: PlainWeights = NOTHING_PLAIN
    alone_nats: float = 9.0
    actors_min: float = 8.0
    share_min: float = 0.25
    lift_min: float = 0.0
    lift_sure_nats: float = 0.0
    lift_nats: tuple[float, float] = (0.0, 0.0)
    clicked_nats: float = 0.0
    unread_more: float = 0.0
    prior_rate: float = 0.05
    prior_count: float = 0.5
    dispersion: float = 0.5
    own_weight: float = 24.0
    correction_max_nats: float = 3.0

    def rule(self, learned: KindThresholds) -> Any:
        """Return the record of `RULE` that the compiled loops decide by."""
        record = np.zeros((), RULE)
        tables, forest = mix_tables(learned.bought, learned.organic), fold(learned.crowd)
        for name, value in (
            ("floors", self.floors),
            ("gate", self.gate_nats),
            ("gate_slow", self.gate_slow_nats),
            ("slow_factor", self.slow_factor),
            ("diluted", self.diluted_nats),
            ("wave_factor", self.wave_factor),
            ("wave_share", self.wave_share),
            ("threshold", learned.threshold),
            ("warm", WARM_SHARE * min(learned.threshold)),
            ("suspicious", self.suspicious_nats),
            ("clear", self.clear_nats),
            ("mark_max", self.mark_max_nats),
            ("cold", (self.cold_nats, self.cold_mix_nats)),
            ("plain", self.plain),
            ("alone", self.alone_nats),
            ("actors_min", self.actors_min),
            ("share_min", self.share_min),
            ("lift_min", self.lift_min),
            ("lift_sure", self.lift_sure_nats),
            ("lift", self.lift_nats),
            ("clicked", self.clicked_nats),
            ("unread", self.unread_more),
            ("prior_rate", self.prior_rate),
            ("prior_count", self.prior_count),
            ("dispersion", self.dispersion),
            ("own_weight", self.own_weight),
            ("correction_max", self.correction_max_nats),
            ("reference", learned.reference),
            ("factor", learned.factor),
            ("curves", tables.curves),
            ("norms", tables.norms),
            ("tempo", tables.tempo),
            ("enter", ENTER_NATS if forest.used else WARM_SHARE * min(learned.threshold)),
            ("trees", forest.used),
            ("asked", forest.asked),
            ("limits", forest.limits),
            ("answers", forest.answers),
        ):
            record[name] = value
        return record


ENTER_NATS = 1.0
"""From which on a row is a suspect where trees judge the crowd: they see more than the statistic does, and early."""

WARM_SHARE = 0.3
"""Share of the lowest threshold from which on it is noted down who acts, and nothing is learned."""
