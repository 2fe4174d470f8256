"""like_boost: a note is gaining likes that were bought."""

from __future__ import annotations

from detectors.crowd import PlainWeights
from detectors.online import OnlineDetector
from detectors.specs import Spec, Words
from detectors.subject_rows import LIKES
from schemas.flags import Kind

SPEC = Spec(
    kind=Kind.LIKE_BOOST,
    lane=LIKES,
    version="9",
    words=Words("like", "likes", "likers", "note"),
    suspicious_nats=-0.5,
    cold_nats=1.0,
    alone_nats=2.0,
    plain=PlainWeights(leisurely=3.0, rack=3.0),
    cold_mix_nats=12.0,
    prior_rate=0.1,
)


class LikeBoost(OnlineDetector):
    """Flags a note whose likers are not who usually likes.

    The test is that of `FollowerSpike`. A new note has no past, so the expectation is the cohort's, with the
    cohort's wide scatter, and the reference is widened towards the mix of organic surges: a note that goes round
    among strangers needs more, and clearer, marks than a quiet one.

    Examples:
        >>> detector = LikeBoost()
        >>> for i in range(400):  # goes round: many, but people
        ...     detector.learn_one({"ts": i * 5_000, "subject": "n1", "actor": f"a{i}", "mark": -1.5 + (i % 5) / 2})
        >>> detector.score_one({"ts": 2_000_000, "subject": "n1", "actor": "a400", "mark": 0.0}) < 0.1
        True
        >>> for i in range(40):
        ...     detector.learn_one({"ts": i * 30_000, "subject": "n2", "actor": f"b{i}", "mark": 2.5})
        >>> detector.score_one({"ts": 1_200_000, "subject": "n2", "actor": "b40", "mark": 2.5}) > 0.8
        True

    References:
        Page (1954), Continuous inspection schemes. Ikram et al. (2017), Measuring, characterizing, and detecting
        Facebook like farms.

    """

    spec = SPEC
