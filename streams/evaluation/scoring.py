"""One directory's flags against its truth, as results."""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import pairwise
from typing import TYPE_CHECKING

from schemas.flags import Flag, Kind, Status
from streams.comparison import Benign, Comparison, Episode, compare
from streams.evaluation.results import (
    AttackResult,
    BenignResult,
    Consistency,
    Evaluated,
    Exposure,
    FalseFlag,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from streams.evaluation.traffic import Purchase, Traffic

UPDATE_GAP_MS = 60_000
"""An episode is updated at most once a minute of event time."""

EXAMPLES_MAX = 5


def score(
    name: str, directory: str, flags: Sequence[Flag], attacks: Sequence[Purchase], benign: Sequence[Benign]
) -> tuple[Evaluated, Comparison]:
    """Score the flags of one directory. `attacks` must know their times."""
    result = compare(flags, attacks, benign)
    family = {hit.first.flag_id: quiet.family for quiet, hits in result.benign for hit in hits}
    wrong = {hit.first.flag_id: hit for _, hits in result.benign for hit in hits}
    wrong |= {episode.first.flag_id: episode for episode in result.others}
    bought = {actor for attack in attacks for actor in attack.actors}
    labels = {attack.attack_id: attack.label for attack in attacks}
    return Evaluated(
        name=name,
        about="",
        attacks=[
            AttackResult(
                directory=directory,
                attack_id=found.attack.attack_id,
                kind=found.attack.kind,
                shape=labels[found.attack.attack_id],
                subject=found.attack.subject.id,
                start_ms=found.attack.start,
                end_ms=found.attack.end,
                bought=len(found.attack.times),
                episodes=len(found.episodes),
                delay_ms=found.delay_ms,
                delivered=found.delivered,
                detected_ms=found.flag.detected_at if found.flag else None,
                score=max((episode.first.score for episode in found.episodes), default=None),
            )
            for found in result.attacks
        ],
        benign=[
            BenignResult(directory, quiet.benign_id, quiet.family, sorted({hit.first.kind for hit in hits}))
            for quiet, hits in result.benign
        ],
        false_flags=[_false(directory, episode, family.get(key), bought) for key, episode in sorted(wrong.items())],
        right=dict(Counter(episode.first.kind for episode in result.right)),
    ), result


def exposure_of(directory: str, traffic: Traffic) -> Exposure:
    """Say how much traffic there was."""
    return Exposure(directory=directory, events=len(traffic), accounts=traffic.accounts, days=traffic.days)


def check(flags: Sequence[Flag]) -> Consistency:
    """Look for flags that repeat or contradict each other: what a consumer would trip over.

    Repeated: the same step of an episode twice. Contradicting: a step before its opening or after its end, or
    another kind or subject under the same id. Hasty: two updates less than a minute apart. Overlapping: two
    episodes of a kind on one subject at the same time.
    """
    by_episode: defaultdict[str, list[Flag]] = defaultdict(list)
    for flag in flags:
        by_episode[flag.flag_id].append(flag)
    found = [told for steps in by_episode.values() for told in _breaches(steps)]
    found += [("overlapping", flag) for flag in _overlapping(by_episode)]
    counts = Counter(what for what, _ in found)
    return Consistency(
        counts["repeated"],
        counts["contradicting"],
        counts["hasty"],
        counts["overlapping"],
        [f"{what}: {flag.kind.value} {flag.flag_id} {flag.status.value}" for what, flag in found[:EXAMPLES_MAX]],
    )


def _breaches(steps: Sequence[Flag]) -> Iterator[tuple[str, Flag]]:
    """Yield what one episode's flags, in their order, do wrong."""
    over = False
    for place, flag in enumerate(steps):
        if place and (flag.status is Status.OPENED or _same(steps[place - 1], flag)):
            yield "repeated", flag
        ended = over and flag.status is not Status.RETRACTED
        headless = place == 0 and flag.status is not Status.OPENED
        if ended or headless or not _one(steps[0], flag):
            yield "contradicting", flag
        over = over or flag.status in {Status.CLOSED, Status.RETRACTED}
    growing = [flag for flag in steps if flag.status in {Status.OPENED, Status.UPDATED}]
    for before, after in pairwise(growing):
        if after.status is Status.UPDATED and after.detected_at - before.detected_at < UPDATE_GAP_MS:
            yield "hasty", after


def merged(checks: Sequence[Consistency]) -> Consistency:
    """Add up the checks of several directories."""
    return Consistency(
        sum(check.repeated for check in checks),
        sum(check.contradicting for check in checks),
        sum(check.hasty_updates for check in checks),
        sum(check.overlapping for check in checks),
        [example for check in checks for example in check.examples][:EXAMPLES_MAX],
    )


def _false(directory: str, episode: Episode, family: str | None, bought: set[str]) -> FalseFlag:
    flag = episode.first
    named = flag.evidence.sample_actors
    return FalseFlag(
        directory=directory,
        kind=flag.kind,
        subject=flag.subject.id,
        detected_ms=flag.detected_at,
        score=flag.score,
        reasons=flag.evidence.reasons,
        family=family,
        by_bought=bool(named) and 2 * sum(actor in bought for actor in named) >= len(named),
    )


def _same(one: Flag, other: Flag) -> bool:
    return one.status is other.status and (one.detected_at, one.evidence) == (other.detected_at, other.evidence)


def _one(first: Flag, flag: Flag) -> bool:
    return (first.kind, first.subject, first.window.start) == (flag.kind, flag.subject, flag.window.start)


def _overlapping(by_episode: dict[str, list[Flag]]) -> list[Flag]:
    spans: defaultdict[tuple[Kind, str, str | None], list[tuple[int, int, Flag]]] = defaultdict(list)
    for steps in by_episode.values():
        first, last = steps[0], steps[-1]
        key = (first.kind, first.subject.id, first.evidence.note_id if first.kind is Kind.KEYWORD_RANKING else None)
        spans[key].append((first.detected_at, last.detected_at, first))
    found: list[Flag] = []
    for episodes in spans.values():
        episodes.sort(key=lambda span: span[:2])
        found += [after[2] for before, after in pairwise(episodes) if after[0] < before[1]]
    return found
