"""keyword_trend: fake searches make a keyword trend."""

from __future__ import annotations

from detectors.online import OnlineDetector
from detectors.specs import Spec, Words
from detectors.subject_rows import SEARCHES
from schemas.flags import Kind

SPEC = Spec(
    kind=Kind.KEYWORD_TREND,
    lane=SEARCHES,
    version="6",
    words=Words("search", "searches", "searchers", "keyword"),
    suspicious_nats=-0.5,
    alone_nats=2.0,
    cold_nats=1.0,
    cold_mix_nats=10.0,
    prior_rate=0.1,
    # Where half of all searches bring a click (AOL 2006: 0.545), of those that only want to be counted one in six may.
    clicked_nats=-1.2,
    unread_more=1.0,
)


class KeywordTrend(OnlineDetector):
    """Flags a keyword that is searched more than usual, by searchers that are not who usually searches.

    The test is that of `FollowerSpike`; a search without a click weighs a little more for fake, one with a click
    more against, since news makes everybody search *and* read; it weighs double where hardly any search brings a
    click, and nothing where clicks are not sent at all. With the shipped thresholds trees judge instead what the
    searchers have in common and what they click (`detectors.crowd`). Where the suspicious searches click on a result
    that is itself under suspicion, they push that result (`KeywordRanking`), and no trend is flagged.

    Examples:
        >>> detector = KeywordTrend()
        >>> for i in range(60):  # an item of "action" is a search's click
        ...     detector.learn_one({"ts": i * 20_000, "subject": "rain", "actor": f"a{i}", "mark": 0.5, "note": "n1"})
        >>> detector.score_one({"ts": 1_200_000, "subject": "rain", "actor": "a60", "mark": 0.5, "note": "n1"}) < 0.1
        True
        >>> for i in range(60):
        ...     detector.learn_one({"ts": i * 20_000, "subject": "pills", "actor": f"b{i}", "mark": 2.5})
        >>> detector.score_one({"ts": 1_200_000, "subject": "pills", "actor": "b60", "mark": 2.5}) > 0.8
        True

    References:
        Elmas et al. (2021), Ephemeral astroturfing attacks. Varol et al. (2017), Early detection of promoted campaigns.

    """

    spec = SPEC
