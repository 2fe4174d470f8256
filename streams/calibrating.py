"""`boostwatch calibrate`: sets the thresholds of the subject stage to a stated budget of false flags.

The actions come from the actor stage with the given marks and the flags from the subject stage itself, fed as
`replay` feeds them. Directories whose attacks are known also teach what bought and organic surges look like; where
none has attacks, those numbers are kept and only how much is asked for is set anew.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, Final

import msgspec
import numpy as np

from detectors.calibration import (
    KindThresholds,
    Thresholds,
    ThresholdsError,
    read_thresholds,
    untrained,
    write_thresholds,
)
from detectors.episodes import strength_of
from detectors.fitting import Window, bought_mixes, fit_score, organic_mixes, surge_windows, usual_mix
from detectors.marks import MarkModel, MarkModelError
from detectors.settings import DetectorSettings
from detectors.subjects import SPECS
from schemas.flags import Kind
from schemas.hashing import hash_bytes
from streams.comparison import Comparison, compare
from streams.crowds import MARGIN as CROWDS_MARGIN
from streams.crowds import judge_crowds
from streams.errors import RecordedTrafficError
from streams.labelled import digest, read
from streams.pipeline import shipped_marks, shipped_thresholds

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from schemas.flags import Flag
    from streams.labelled import Recorded

BUDGET: Final = 10.0
"""False flags per million account-days and kind."""

EPISODE_BUDGET: Final = 1 / 200
"""Share of the benign episodes that may be flagged as one kind, where they are known."""

THRESHOLD: Final = (8.0, 9.0, 10.0, 11.0, 12.0)
"""Nats of the sequential test by size tier: a fair stream of actions passes 8 nats once in about e^8 = 3,000."""

FACTOR_LEAST, FACTOR_MOST = 3.0, 14.0
"""Bounds of the Bayes factor that is asked for of the smallest subjects, nats."""

FACTOR_STEP: Final = 0.5
"""What each size tier asks more: larger subjects have more windows, each of which could be the odd one."""

MARGIN: Final = 1.5
"""What is asked for beyond the strongest false case, nats: other traffic has stronger ones."""

MORE: Final[Mapping[Kind, float]] = {Kind.KEYWORD_TREND: 2.0}
"""What is asked for besides of a kind whose benign surges (news, seasons) are too few in a directory to show how strong
they get: with it no news in the demonstration of four seeds is flagged, nats."""

Compared = tuple[Comparison, dict[str, float]]
"""What a directory's flags are worth, and the greatest factor that each episode reached, by flag id."""

ROUNDS: Final = 3
"""Times that the directories are run again at most, since what is flagged later depends on what was before."""


@dataclass(frozen=True, slots=True)
class Request:
    """What to calibrate.

    Attributes:
        directories: recorded traffic.
        out: the file to write.
        budget: false flags per million account-days and kind.
        marks: a file of mark weights; the shipped ones without it.
        base: a file of thresholds that gives what is not set anew; the shipped ones without it.
        crowds_only: whether only the trees that judge crowds are fitted anew.

    """

    directories: Sequence[Path]
    out: Path
    budget: float = BUDGET
    marks: Path | None = None
    base: Path | None = None
    crowds_only: bool = False


def run(request: Request) -> None:
    """Calibrate on directories and write the thresholds.

    Raises:
        RecordedTrafficError: a directory cannot be learned from, or `out` cannot be written.

    """
    model = shipped_marks() if request.marks is None else _read_marks(request.marks)
    before = shipped_thresholds() if request.base is None else _read_base(request.base)
    parts = [read(directory, model) for directory in request.directories]
    told = ", ".join(f"{path.name} ({digest(path)})" for path in request.directories)
    if request.crowds_only:
        thresholds = with_crowds(parts, before, request.budget)
        thresholds.provenance["crowds"] = told
    else:
        thresholds = calibrated(parts, before, request.budget)
        thresholds.provenance["directories"] = told
    # The other numbers stay those of the marks that they were set with.
    name = "crowds_marks" if request.crowds_only else "marks"
    thresholds.provenance[name] = f"{hash_bytes(model.to_json().encode()):016x}"
    try:
        request.out.write_bytes(write_thresholds(thresholds))
    except OSError as error:
        raise RecordedTrafficError(f"cannot write {request.out}: {error.strerror}") from None
    sys.stdout.write("".join(f"{name}: {told}\n" for name, told in thresholds.provenance.items()))


def _read_marks(path: Path) -> MarkModel:
    try:
        return MarkModel.from_json(path.read_bytes())
    except OSError as error:
        raise RecordedTrafficError(f"cannot read {path}: {error.strerror}") from None
    except MarkModelError as error:
        raise RecordedTrafficError(f"{path}: {error}") from None


def _read_base(path: Path) -> Thresholds:
    try:
        return read_thresholds(path.read_bytes())
    except OSError as error:
        raise RecordedTrafficError(f"cannot read {path}: {error.strerror}") from None
    except ThresholdsError as error:
        raise RecordedTrafficError(f"{path}: {error}") from None


def with_crowds(parts: Sequence[Recorded], before: Thresholds, budget: float) -> Thresholds:
    """Return thresholds in which only the trees that judge crowds, and what is asked of them, are new."""
    kinds, told = dict(before.kinds), []
    for kind, (numbers, left) in judge_crowds(parts, before.kinds, budget).items():
        kinds[kind] = numbers
        told.append(f"{kind.value} {left} at {numbers.factor[0]:g} nats")
    if not told:
        raise RecordedTrafficError("there are too few bought or organic crowds in them to learn from: give more")
    days = sum(part.account_days for part in parts)
    provenance = before.provenance | {
        "crowds_command": f"boostwatch calibrate --crowds-only --budget {budget:g}",
        "crowds_budget": f"{budget:g} false flags per million account-days and kind over "
        f"{days:,.0f} account-days, and at most 1 of 200 of the benign episodes of its lane, each judged by trees that "
        f"were fitted on other directories; asked for beyond what both need: {_margins()}",
        "crowds_false_flags": ", ".join(told),
    }
    return Thresholds(before.version, provenance, kinds)


def _margins() -> str:
    return ", ".join(f"{kind.value} {nats:g} nats" for kind, nats in CROWDS_MARGIN.items())


def calibrated(parts: Sequence[Recorded], before: Thresholds, budget: float) -> Thresholds:
    """Return thresholds within the budget; `before` gives what the directories cannot teach."""
    known = any(part.attacks for part in parts)
    kinds = learn(parts) if known else before.kinds
    kinds, wrong = choose(parts, kinds, budget, fit_scores=known)
    days = sum(part.account_days for part in parts)
    if known:
        for kind, (numbers, left) in judge_crowds(parts, kinds, budget).items():
            kinds[kind], wrong[kind] = numbers, left
    provenance = {
        "command": f"boostwatch calibrate --budget {budget:g}",
        "budget": f"{budget:g} false flags per million account-days and kind over {days:,.0f} account-days, "
        f"and at most 1 of 200 of {sum(len(part.benign) for part in parts)} benign episodes",
        "false_flags": ", ".join(f"{kind.value} {count}" for kind, count in wrong.items()),
        "caveat": "set on the traffic named here: other traffic has other habits",
    }
    return Thresholds(before.version, provenance, kinds)


def learn(parts: Sequence[Recorded]) -> dict[Kind, KindThresholds]:
    """Fit the mixes of every kind; what is asked for and what a score means are not set yet."""
    learned = {}
    for spec in SPECS:
        found: dict[tuple[bool, str], list[list[Window]]] = defaultdict(list)
        for part in parts:
            for name, surges in surge_windows(part.labelled, spec.lane).items():
                found[name] += surges
        bought, organic = bought_mixes(found), organic_mixes(found)
        if not bought or not organic:
            raise RecordedTrafficError(f"there are too few attacks of kind {spec.kind.value} to learn from: give more")
        usual = [usual_mix(part.labelled, spec.lane) for part in parts]
        counts = np.sum([each[0] for each in usual], axis=0) + 1.0
        traits = np.sum([each[1] for each in usual], axis=0) / sum(each[2] for each in usual)
        learned[spec.kind] = KindThresholds(
            threshold=THRESHOLD,
            factor=_factors(FACTOR_LEAST),
            reference=tuple((counts / counts.sum()).round(6).tolist()),
            newcomer=round(float(np.mean([part.labelled.newcomer(spec.lane) for part in parts])), 3),
            bought=bought,
            organic=organic,
            traits=tuple(traits.round(4).tolist()),
            score=untrained().score,
        )
    return learned


def choose(
    parts: Sequence[Recorded], learned: Mapping[Kind, KindThresholds], budget: float, *, fit_scores: bool
) -> tuple[dict[Kind, KindThresholds], dict[Kind, int]]:
    """Return the numbers with the lowest factors within the budget, and the false flags that are left, by kind.

    A run that asks for little tells how strong each false case grows; asked for more, what is left is run again,
    until it is within the budget.
    """
    kinds = {kind: _asking(numbers, FACTOR_LEAST) for kind, numbers in learned.items()}
    days = sum(part.account_days for part in parts)
    flags_most = int(budget * days / 1e6)
    episodes_most = int(EPISODE_BUDGET * sum(len(part.benign) for part in parts))
    wrong: dict[Kind, int] = dict.fromkeys(kinds, 0)
    for turn in range(ROUNDS):
        compared = [_compared(part, kinds) for part in parts]
        for kind in list(kinds):
            if turn == 0 and fit_scores:
                kinds[kind] = msgspec.structs.replace(kinds[kind], score=_score(compared, kind))
            everywhere, episodes = _false_cases(compared, kind)
            wrong[kind] = len(everywhere)
            least = max(_needed(everywhere, flags_most), _needed(episodes, episodes_most))
            if least > kinds[kind].factor[0]:
                kinds[kind] = _asking(kinds[kind], min(ceil(least * 20) / 20 + MARGIN, FACTOR_MOST))
                wrong[kind] = min(flags_most, len(everywhere))
    return {kind: _asking(each, each.factor[0] + MORE.get(kind, 0.0)) for kind, each in kinds.items()}, wrong


def _compared(part: Recorded, kinds: Mapping[Kind, KindThresholds]) -> Compared:
    """Return what a directory's flags are worth, and the greatest factor that each episode reached."""
    flags = part.flags(DetectorSettings(), Thresholds(1, {}, dict(kinds)))
    reached: dict[str, float] = {}
    for flag in flags:
        asked = kinds[flag.kind].factor
        tier = _tier(flag)
        numbers = flag.evidence.numbers or {}
        reached[flag.flag_id] = max(
            reached.get(flag.flag_id, asked[0]), numbers.get("mix_nats", 0.0) - (asked[tier] - asked[0])
        )
    return compare(flags, part.attacks, part.benign), reached


def _tier(flag: Flag) -> int:
    """Return the size tier, as near as a flag tells it."""
    return min(int(max(np.log10(max(flag.evidence.observed, 1.0) / 3.0), 0.0)), 4)


def _false_cases(compared: Sequence[Compared], kind: Kind) -> tuple[list[float], list[float]]:
    """Return how strong every false episode of a kind grew, and those among them about known benign episodes."""
    everywhere: dict[str, float] = {}
    episodes: list[float] = []
    for comparison, reached in compared:
        others = [one.first for one in comparison.others if one.first.kind is kind]
        everywhere |= {flag.flag_id: reached[flag.flag_id] for flag in others}
        for _, hits in comparison.benign:
            mine = {hit.first.flag_id: reached[hit.first.flag_id] for hit in hits if hit.first.kind is kind}
            everywhere |= mine
            if mine:
                episodes.append(max(mine.values()))
    return sorted(everywhere.values(), reverse=True), sorted(episodes, reverse=True)


def _needed(cases: Sequence[float], most: int) -> float:
    """Return the factor above which at most so many cases are."""
    return cases[most] if len(cases) > most else 0.0


def _factors(first: float) -> tuple[float, float, float, float, float]:
    one, two, three, four, five = (round(first + FACTOR_STEP * tier, 2) for tier in range(5))
    return one, two, three, four, five


def _asking(numbers: KindThresholds, first: float) -> KindThresholds:
    return msgspec.structs.replace(numbers, factor=_factors(first))


def _score(compared: Sequence[Compared], kind: Kind) -> tuple[tuple[float, float], ...]:
    """Return what a strength means: the share of right ones among all that is flagged when little is asked for."""
    cases: list[tuple[float, bool]] = []
    for comparison, _ in compared:
        right = [found.flag for found in comparison.attacks if found.flag is not None]
        wrong = [hit.first for _, hits in comparison.benign for hit in hits] + [one.first for one in comparison.others]
        cases += [(_strength(flag), True) for flag in right if flag.kind is kind]
        cases += [(_strength(flag), False) for flag in wrong if flag.kind is kind]
    if not cases:
        return untrained().score
    strengths, confirmed = zip(*cases, strict=True)
    return fit_score(strengths, confirmed)


def _strength(flag: Flag) -> float:
    spec = next(spec for spec in SPECS if spec.kind is flag.kind)
    numbers = flag.evidence.numbers or {}
    actors = min(numbers["suspicious"], flag.evidence.actors)
    return strength_of(spec, numbers["statistic_over_threshold"], actors, numbers["mix_nats"])
