"""What is kept of a subject: one row for an account, a note, a keyword, or a (keyword, note) pair.

A row is counted in lanes, one arena each: follows of accounts, likes of notes, searches of keywords, clicks of
pairs. Every lane has the same row, so one set of compiled functions serves all four.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from detectors.arena import Field

FOLLOWS: Final = 0  # subject: account
LIKES: Final = 1  # subject: note
SEARCHES: Final = 2  # subject: keyword
CLICKS: Final = 3  # subject: (keyword, note)
LANES: Final = 4

SLOT_MS: Final = 300_000
"""Width of the narrowest bucket; times inside a row count these slots since the epoch."""

SLOTS_HOUR: Final = 12
SLOTS_DAY: Final = 288
HOURS: Final = 24
"""Hourly buckets in a row."""

DAYS: Final = 8
"""Daily buckets in a row: the day that runs and the seven before it."""

LEVELS: Final = 3
"""Contamination levels of the sequential test."""

BINS: Final = 10
"""Bins of the mix of marks: three for actors that are new, seven for those that are not."""

RECENT: Final = 48
"""Marks remembered one by one."""

AWAITED: Final = 32
"""Actions of a suspect of which it is noted whether their actors go on, in each of two banks."""

TOGETHER_WITH: Final = 6
"""Others of whom it is counted how many actors a suspect shares with each of them."""

POSITIONS: Final = 64
"""Positions on a results page that are told apart; the last stands for all beyond."""

BOUGHT: Final = 4
"""Components of the bought mix."""

COMPONENTS: Final = BOUGHT + 8
"""Components of the mixes in all; after the bought ones come the organic ones."""

TEMPOS: Final = 6
"""Classes of how fast actions come, see `composition.TEMPO_EDGES`."""

TRAITS: Final = 10
"""Bits of `Trait`."""

TREES: Final = 128
"""Trees of a forest at the most, see `detectors.trees`."""

NOT_SUSPECT: Final = -1
"""`suspect` of a row that has no place among the suspects."""

ROW_VERSION: Final = 2
"""Raised when a field changes its meaning: older snapshots are then refused."""

ROW_FIELDS: Final[list[Field]] = [
    # when; slots since the epoch
    ("onset", np.int32, LEVELS),  # where the present run of each level began
    ("slot", np.int32),  # newest slot seen
    ("merged", np.int32),  # hour since the epoch: hours before it are in the baseline
    ("born", np.int32),  # first slot, 0 in a fresh row
    ("last_ms", np.int64),  # newest action
    ("pace", np.float32),  # usual log of the gap between actions, ms, the newest eight counting most
    ("cooldown", np.int32),  # nothing opens before this slot
    ("suspect", np.int32),  # place among the suspects, NOT_SUSPECT without one
    # how many; the rings are indexed by slot, hour and day modulo their length
    ("slots", np.uint16, SLOTS_HOUR),  # saturating
    ("hours", np.uint16, HOURS),  # saturating
    ("days", np.uint32, DAYS),
    ("suspected", np.uint32),  # bit hour % 24: not to be learned from
    ("gated", np.uint32),  # bit hour % 24: the gate was passed
    ("removals", np.uint16, 2),  # today, yesterday; saturating
    ("suspect_removals", np.uint16, 2),  # by suspicious actors
    ("total", np.uint32),  # since the row exists, wrapping
    # what is usual
    ("level_count", np.float32),  # actions in the baseline, forgotten exponentially
    ("level_hours", np.float32),  # hours in it, as the cycle counts them
    ("excess", np.float32),  # sum of squared residuals less the mean
    ("squares", np.float32),  # sum of squared means
    ("own", np.uint8, BINS),  # usual mix of marks
    # who
    ("stat", np.float32, LEVELS),  # sequential test, nats
    ("odd", np.float32),  # share of suspicious actions, the newest eight counting most
    ("run", np.uint32),  # actions since all levels were last at zero and few were suspicious
    ("seen", np.uint64, 4),  # bitmap of distinct actors in that run
    ("seen_suspicious", np.uint64),  # the same of suspicious actors
    ("marks", np.int8, RECENT),
    ("marks_at", np.uint8),
    ("marks_held", np.uint8),
    ("contributed", np.uint8),  # to the population's mix in this hour
    # keywords and pairs only
    ("place", np.uint8),  # of a pair: position last clicked at
    ("clicks", np.float32),  # of a pair: the last ones, faded; of a keyword: the suspicious searches in the run
    ("earned", np.float32),  # clicks that the position earned meanwhile; suspicious searches that push a result
    ("read", np.float32),  # of a keyword: how many of the last searches brought a click, over what is usual
    ("searches_seen", np.uint32),  # of a pair: `total` of the keyword at the last click
]
"""Fields of a row after the arena's own "key" and "touched"."""

RULE = np.dtype(
    [
        ("floors", np.float32, 4),  # least observed at 5 min, 1 h, 24 h, 7 days
        ("gate", np.float32, 4),  # nats against the baseline, at the same scales
        ("gate_slow", np.float32),  # nats that open the second door at 24 h and 7 days
        ("slow_factor", np.float32),  # on the threshold behind the second door
        ("diluted", np.float32),  # nats more of the Bayes factor where the greatest share does not fit best
        ("wave_factor", np.float32),  # on the threshold where actions are taken back in a wave
        ("wave_share", np.float32),  # of what came that is taken back
        ("threshold", np.float32, 5),  # nats, by size tier
        ("warm", np.float32),  # nats from which on actors are noted down
        ("suspicious", np.float32),  # nats from which on a mark is suspicious
        ("clear", np.float32),  # nats from which on it is so by itself
        ("mark_max", np.float32),  # nats that one action can add
        ("cold", np.float32, 2),  # when nothing is known yet: nats more, and of mix and company beside the trees
        ("plain", np.float32, (4,)),  # `detectors.crowd.PlainWeights`
        ("alone", np.float32),  # nats that one look must say beyond what all together must
        ("actors_min", np.float32),  # distinct suspicious actors
        ("share_min", np.float32),  # suspicious share of the last actions
        ("lift_min", np.float32),  # clicks over earned clicks (pairs)
        ("lift_sure", np.float32),  # nats by which that must be more than chance
        ("lift", np.float32, 2),  # nats that a click adds by the log of its pair's lift, and at the most
        ("clicked", np.float32),  # nats added with a click (keywords)
        ("unread", np.float32),  # by how much more a search without one counts where hardly any brings one
        ("prior_rate", np.float32),  # actions an hour of a subject never seen
        ("prior_count", np.float32),  # weight of the cohort in actions
        ("dispersion", np.float32),  # usual excess variance over mean squared
        ("own_weight", np.float32),  # actions after which the own mix counts half
        ("correction_max", np.float32),  # nats that a usual mix can take off a mark
        ("reference", np.float32, BINS),  # organic mix on which the marks were calibrated
        ("factor", np.float32, 5),  # least Bayes factor of the mix, nats, by size tier
        ("curves", np.float32, (COMPONENTS, BINS, RECENT + 1)),  # log likelihood of a count in a bin
        ("norms", np.float32, (COMPONENTS, RECENT + 1)),  # of the sum of the counts
        ("tempo", np.float32, (COMPONENTS, TEMPOS)),  # of how fast actions come
        ("enter", np.float32),  # nats from which on a row is a suspect
        ("trees", np.int32),  # how many judge the crowd, 0 where the mix and company do
        ("asked", np.int16, (TREES, 7)),  # the sign that an inner node asks for
        ("limits", np.float32, (TREES, 7)),
        ("answers", np.float32, (TREES, 8)),  # nats of a leaf
    ],
    align=True,
)
"""What decides in a lane and never changes while it runs: one record a lane."""

POOL = np.dtype(
    [
        ("mix", np.float32, BINS),  # population's mix of marks now in force
        ("mix_new", np.float64, BINS),
        ("newcomer", np.float32),  # mean mark of new actors now in force, nats
        ("newcomer_sum", np.float64),
        ("newcomer_count", np.float64),
        ("known_odder", np.float32),  # how much odder known actors are here than where it was learned, in force, nats
        ("known_sum", np.float64),
        ("known_count", np.float64),
        ("traits", np.float32, TRAITS),  # usual share of each trait
        ("traits_new", np.float64, TRAITS),
        ("contributions", np.float64),  # behind traits_new and mix_new
        ("cycle", np.float32, 168),  # factor by hour of the week, hours since the epoch modulo 168
        ("actions", np.float64),  # in the open epoch
        ("first_ms", np.int64),  # time of the first action ever, 0 before it
        ("rate", np.float32),  # actions an hour of the cohort, in force
        ("cohort_count", np.float64),
        ("cohort_hours", np.float64),
        ("closed", np.float64),  # hours with actions closed in the open epoch
        ("passed", np.float64),  # of these with the gate passed
        ("earns", np.float32, POSITIONS),  # chance of a click by position (CLICKS)
        ("clicked_at", np.float64, POSITIONS),
        ("searched", np.float64),
        ("click_rate", np.float32),  # clicks a search brings, at any position
        ("awaited", np.float64),  # actions of which it is of interest whether the actor goes on, faded
        ("gone_on", np.float64),  # of these with one who did
        ("goes_on", np.float32),  # usual share of them, in force
    ],
    align=True,
)
"""What a lane has learned from all its subjects: one record a lane."""

SUSPECT = np.dtype(
    [
        ("key", np.uint64),  # 0 where free
        ("subject", np.uint64),  # as in the actions: of a pair the keyword
        ("item", np.uint64),  # of a pair the note
        ("row", np.int32),
        ("lane", np.uint8),
        ("open", np.uint8),
        ("sampled", np.uint8),
        ("generation", np.uint32),  # grows with each new holder of the place
        ("first_ms", np.int64),
        ("last_ms", np.int64),  # last suspicious action
        ("deadline_ms", np.int64),  # the episode is over then
        ("touched_ms", np.int64),
        ("update_after_ms", np.int64),
        ("update_from", np.uint32),  # suspicious actions that make an update worth while
        ("actions", np.uint32),
        ("suspicious", np.uint32),
        ("removed", np.uint32),
        ("gap_ms", np.float64),  # usual gap between suspicious actions
        ("peak", np.float32),  # greatest statistic over its threshold
        ("look_ms", np.int64),  # last look at its crowd
        ("look_nats", np.float64),  # mean of what the looks said
        ("looks", np.uint32),
        ("traits", np.uint32, TRAITS),  # among suspicious actions
        ("shared", np.uint64),  # bitmap of actors suspicious by themselves who were so on other suspects too
        ("odd", np.uint64),  # bitmap of actors who could be bought ones
        ("met", np.uint64),  # of these who were on other suspects too
        ("with_whom", np.uint32, TOGETHER_WITH),  # those whom most of them served too: low bits of who it is
        ("with_many", np.uint16, TOGETHER_WITH),  # how many of them did, at the least
        ("with_of", np.uint16),  # of how many; saturating
        ("crowd_s", np.uint32, RECENT),  # ring: when the last actions came, seconds
        ("crowd_traits", np.uint16, RECENT),  # ring: the traits of their actors
        ("crowd_at", np.uint8),
        ("crowd_held", np.uint8),
        ("await_s", np.uint32, 2 * AWAITED),  # two banks: when actions came after which it is of interest who goes on
        ("await_who", np.uint16, 2 * AWAITED),  # low bits of their actors
        ("await_gone", np.uint64, 2),  # a bit for each whose actor went on, by bank
        ("await_held", np.uint8, 2),  # actions in each bank
        ("await_bank", np.uint8),  # the one that fills; of the other everything is known
        ("registers", np.uint8, 256),  # HyperLogLog of actors
        ("sample", np.uint64, 20),  # some of the suspicious actors
    ],
    align=True,
)
"""A subject under suspicion: kept apart from its row, since few are at a time."""
