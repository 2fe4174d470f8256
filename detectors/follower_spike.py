"""follower_spike: an account is gaining followers that were bought."""

from __future__ import annotations

from detectors.crowd import PlainWeights
from detectors.online import OnlineDetector
from detectors.specs import Spec, Words
from detectors.subject_rows import FOLLOWS
from schemas.flags import Kind

SPEC = Spec(
    kind=Kind.FOLLOWER_SPIKE,
    lane=FOLLOWS,
    version="9",
    words=Words("follow", "follows", "followers", "account"),
    suspicious_nats=-0.5,
    plain=PlainWeights(shared=5.0, varied=4.0, leisurely=2.0),
    prior_rate=0.05,
)


class FollowerSpike(OnlineDetector):
    """Flags an account whose followers are not who usually follows it.

    With `m` the mark of a follow (log-likelihood ratio bought / organic of its actor, corrected for the mix usual
    here), the statistic for a bought share `p` is `S_p = max(0, S_p + log(1 - p + p exp(m)))`; the score is a
    calibrated map of the greatest `S_p` over its threshold, once the negative binomial gate is passed.
    With the shipped thresholds trees judge instead what the followers have in common (`detectors.crowd`), and how many
    more came than usual is one sign among many.

    Examples:
        >>> import random
        >>> rng = random.Random(7)
        >>> detector = FollowerSpike()
        >>> hour = 3_600_000
        >>> for i in range(300):  # ten days in which a follower comes now and then
        ...     detector.learn_one({"ts": i * hour, "subject": "u1", "actor": f"a{i}", "mark": rng.gauss(-1.5, 1)})
        >>> usual = {"ts": 300 * hour, "subject": "u1", "actor": "a300", "mark": -1.0}
        >>> detector.score_one(usual) < 0.1
        True
        >>> for i in range(40):  # forty in forty minutes, new and narrow
        ...     detector.learn_one({"ts": 300 * hour + i * 60_000, "subject": "u1", "actor": f"b{i}", "mark": 2.5})
        >>> detector.score_one({"ts": 301 * hour, "subject": "u1", "actor": "b40", "mark": 2.5}) > 0.8
        True

    References:
        Page (1954), Continuous inspection schemes. Stringhini et al. (2013), Follow the green: growth and dynamics
        in Twitter follower markets. De Cristofaro et al. (2014), Paying for likes?

    """

    spec = SPEC
