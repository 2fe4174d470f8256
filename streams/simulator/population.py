"""Everything organic that a visit needs: people, notes, keywords, rhythm, and how visits come about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from streams.simulator.accounts import Accounts, Crowd
from streams.simulator.columns import DAY_MS, VISIT, Bools, Goal, Ints, Rows, Surface, Verb, rows
from streams.simulator.habits import Habits
from streams.simulator.keywords import Keywords
from streams.simulator.notes import Attention, Notes
from streams.simulator.rhythm import Rhythm
from streams.simulator.sampling import pair_words, share

_FAVOURITES: Final = 6

_CATCHING_DAYS: Final = 2.0
"""E-fold time in which a note stops catching."""


@dataclass(slots=True)
class Population:
    """The organic world. `crowd` may index fewer accounts than there are: the rest act only when told to.

    `favourites` has a row an account: the authors to whose notes it comes back.
    """

    habits: Habits
    accounts: Accounts
    crowd: Crowd
    notes: Notes
    attention: Attention
    keywords: Keywords
    rhythm: Rhythm
    favourites: npt.NDArray[np.int32]

    def refresh(self, at_ms: int, stale_ms: int) -> None:
        """Bring attention and results to an instant."""
        self.attention.refresh(at_ms, stale_ms)
        self.keywords.refresh(at_ms)

    def settle(self, rng: np.random.Generator, accounts: Accounts) -> None:
        """Take the final accounts: who can be drawn and who follows whom are laid down anew."""
        self.accounts = accounts
        self.crowd = Crowd(accounts, self.habits)
        self.attention = Attention(self.notes, self.habits, len(accounts))
        own = np.repeat(accounts.community.astype(np.int64), _FAVOURITES)
        self.favourites = (
            self.crowd.by_fame.draw_mixed(rng, own, self.habits.homophily).reshape(-1, _FAVOURITES).astype(np.int32)
        )

    def shown(self, rng: np.random.Generator, count: int) -> Ints:
        """Draw accounts that all who join are shown: a few of the better known half, the less known more often."""
        people = np.flatnonzero(self.accounts.weight > 0.0)
        ranked = people[np.argsort(self.accounts.fame[people], kind="stable")]
        few = ranked[(np.linspace(0.5, 0.995, self.habits.shown) * len(ranked)).astype(np.int64)]
        return np.asarray(few[(self.habits.shown * rng.random(count) ** 1.5).astype(np.int64)])

    def beloved(self, rng: np.random.Generator, actor: Ints) -> Ints:
        """Draw one favourite author of each actor, the first ones more often."""
        place = np.minimum(rng.geometric(0.35, len(actor)) - 1, _FAVOURITES - 1)
        return np.asarray(self.favourites[actor, place].astype(np.int64))

    def alive(self, actor: Ints, at_ms: Ints) -> Bools:
        """Whether the account exists at that instant."""
        return np.asarray(self.accounts.created[actor] <= at_ms)

    def in_the_mood(self, actor: Ints, at_ms: Ints) -> Bools:
        """People are active on some days and not on others, the busy ones on most."""
        own = -np.log1p(-min(self.habits.active_days, 0.95)) * np.sqrt(self.accounts.weight[actor].astype(np.float64))
        return np.asarray(share(pair_words(actor, at_ms // DAY_MS, 21)) < -np.expm1(-own) + 0.02)

    def browse(self, rng: np.random.Generator, first_ms: int, last_ms: int, wanted: float) -> Rows:
        """Ordinary visits that start in [first_ms, last_ms): `wanted` before moods are asked, at mean rhythm."""
        zones = np.arange(self.rhythm.zones)
        share_of_zone = self.crowd.by_zone.totals() / self.crowd.by_zone.total
        middle = np.full(len(zones), (first_ms + last_ms) // 2)
        count = rng.poisson(wanted * share_of_zone * self.rhythm.level(middle, zones))
        actor = self.crowd.by_zone.draw(rng, np.repeat(zones, count))
        at = rng.integers(first_ms, last_ms, len(actor))
        keep = (actor >= 0) & self.alive(np.maximum(actor, 0), at) & self.in_the_mood(np.maximum(actor, 0), at)
        return rows(VISIT, int(keep.sum()), at=at[keep], actor=actor[keep], goal=Goal.BROWSE)

    def level(self, at_ms: int) -> float:
        """Give how busy the whole world is at an instant, relative to its mean; at least 0.05."""
        zones = np.arange(self.rhythm.zones)
        shares = self.crowd.by_zone.totals() / self.crowd.by_zone.total
        return max(0.05, float((shares * self.rhythm.level(np.full(len(zones), at_ms), zones)).sum()))

    def visitors(self, rng: np.random.Generator, at_ms: Ints, community: Ints, inside: float) -> Ints:
        """Who comes at these instants: of the community with chance `inside`; -1 for those asleep or unborn."""
        actor = self.crowd.by_community.draw_mixed(rng, community, inside)
        safe = np.maximum(actor, 0)
        up = self.alive(safe, at_ms) & self.rhythm.awake(rng, at_ms, self.accounts.zone[safe].astype(np.int64))
        return np.where(up, actor, -1)

    def caught(self, rng: np.random.Generator, events: Rows) -> Rows:
        """Visits that likes bring about: followers of the liker see the note and like it too (a Hawkes process)."""
        parents = events[events["verb"] == Verb.LIKE]
        note = parents["note"].astype(np.int64)
        age_days = np.maximum(parents["ts"] - self.notes.created[note], 0) / DAY_MS
        mean = self.notes.catching[note] * np.exp(-age_days / _CATCHING_DAYS)
        parent = np.repeat(np.arange(len(note)), rng.poisson(mean))
        habits = self.habits
        # Reaction times to a share are heavy-tailed (Zhao et al. 2015, SEISMIC, sec. 3): Lomax, index 1.4 here.
        delay_min = habits.contagion_delay_min * ((1.0 - rng.random(len(parent))) ** (-1.0 / 1.4) - 1.0) + 0.1
        at = parents["ts"][parent] + (np.minimum(delay_min, 4_320.0) * 60_000.0).astype(np.int64)
        community = self.notes.community[note[parent]].astype(np.int64)
        actor = self.visitors(rng, at, community, habits.homophily)
        keep = actor >= 0
        surface = np.where(rng.random(len(parent)) < habits.external, int(Surface.EXTERNAL), int(Surface.FEED))
        return rows(
            VISIT, int(keep.sum()), at=at[keep], actor=actor[keep], goal=Goal.LIKE, note=note[parent][keep],
            more=0.35, extra=habits.follow_after_like, surface=surface[keep],
        )  # fmt: skip

    def answers(self, rng: np.random.Generator, events: Rows) -> Rows:
        """Visits in which people follow back who followed them; the famous hardly ever do."""
        asked = events[events["verb"] == Verb.FOLLOW]
        target = asked["account"].astype(np.int64)
        chance = self.habits.reciprocity / (1.0 + self.accounts.fame[target].astype(np.float64))
        yes = (rng.random(len(target)) < chance) & (self.accounts.weight[target] > 0.0)
        wait_ms = np.minimum(np.exp(rng.normal(8.7, 1.8, int(yes.sum()))) * 1000.0, 3.0 * DAY_MS)
        return rows(
            VISIT, int(yes.sum()), at=asked["ts"][yes] + wait_ms.astype(np.int64), actor=target[yes], goal=Goal.FOLLOW,
            account=asked["actor"][yes], surface=Surface.PROFILE, more=0.3,
        )  # fmt: skip
