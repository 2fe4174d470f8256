"""keyword_ranking: fake search-and-click pushes a note up a keyword's results."""

from __future__ import annotations

from detectors.online import OnlineDetector
from detectors.specs import Spec, Words
from detectors.subject_rows import CLICKS
from schemas.flags import Kind

SPEC = Spec(
    kind=Kind.KEYWORD_RANKING,
    lane=CLICKS,
    version="3",
    words=Words("click", "clicks", "searchers", "result"),
    prior_rate=0.02,
    lift_min=2.0,
    lift_sure_nats=6.0,  # one result in four hundred gets that many by chance
    lift_nats=(0.5, 1.0),
    share_min=0.1,  # whoever is hired to click may look like anybody: the lift speaks where they do not
    diluted_nats=0.0,  # a result that goes round is clicked where it stands: lift_min sees to that
)


class KeywordRanking(OnlineDetector):
    """Flags a note that gets more of a keyword's clicks than its position earns, from searchers that act bought.

    A row is a (keyword, note) pair. The test on the marks of those who click is that of `FollowerSpike`; besides,
    its last clicks must be twice what the note's position earns of the keyword's searches meanwhile, and more than
    chance brings; a position's chance of a click starts from a published log and learns from this platform. The
    further they are above it, the more each click says by itself: hired people who look like anybody else are found
    by that.

    Examples:
        >>> detector = KeywordRanking()
        >>> for i in range(60):  # everybody clicks the first result
        ...     detector.learn_one({"ts": i * 60_000, "subject": "tea", "actor": f"a{i}", "mark": -1.0, "note": "n1",
        ...                         "position": 1})
        >>> detector.score_one({"ts": 3_600_000, "subject": "tea", "actor": "a60", "mark": -1.0, "note": "n1",
        ...                     "position": 1}) < 0.1
        True
        >>> for i in range(60):  # a crowd looks for the fifteenth
        ...     detector.learn_one({"ts": 3_600_000 + i * 20_000, "subject": "tea", "actor": f"b{i}", "mark": 2.5,
        ...                         "note": "n2", "position": 15})
        >>> detector.score_one({"ts": 4_800_000, "subject": "tea", "actor": "b60", "mark": 2.5, "note": "n2",
        ...                     "position": 15}) > 0.8
        True

    References:
        Yu et al. (2010), SBotMiner. Su et al. (2018), Detecting crowdturfing "add to favorites" activities in online
        shopping. Pass, Chowdhury, Torgeson (2006), A picture of search.

    """

    spec = SPEC
