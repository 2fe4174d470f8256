"""Random draws that the simulator needs and NumPy has not: grouped weights, heavy tails, hashes."""

from __future__ import annotations

from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from streams.simulator.columns import Bools, Floats, Ints, Words

GapForm = Literal["lognormal", "weibull", "pareto", "mixture"]
LengthForm = Literal["geometric", "lognormal", "zeta"]
TailForm = Literal["pareto", "lognormal"]

# Steele, Lea, Flood (2014), Fast splittable pseudorandom number generators: the finaliser's constants.
_GOLDEN: Final = np.uint64(0x9E3779B97F4A7C15)
_MIX_1: Final = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2: Final = np.uint64(0x94D049BB133111EB)


def scramble(words: npt.ArrayLike, salt: int = 0) -> Words:
    """SplitMix64's finaliser: a bijection on 64-bit words, so distinct words stay distinct."""
    with np.errstate(over="ignore"):
        z = np.asarray(words).astype(np.uint64) + np.uint64(salt & 0xFFFFFFFFFFFFFFFF) + _GOLDEN
        z = (z ^ (z >> np.uint64(30))) * _MIX_1
        z = (z ^ (z >> np.uint64(27))) * _MIX_2
        return np.asarray(z ^ (z >> np.uint64(31)), dtype=np.uint64)


def pair_words(left: npt.ArrayLike, right: npt.ArrayLike, salt: int = 0) -> Words:
    """One well mixed word for each pair of non-negative integers below 2**32."""
    high = np.asarray(left).astype(np.uint64) << np.uint64(32)
    return scramble(high | np.asarray(right).astype(np.uint64), salt)


def share(words: Words) -> Floats:
    """Words as numbers in [0, 1)."""
    return np.asarray((words >> np.uint64(11)).astype(np.float64) * 2.0**-53)


class GroupedWeights:
    """Draw members of a group in proportion to their weight, for many draws at once.

    `order` holds the members group by group; `bounds` the group's places in it. Weights may be
    replaced (`reweigh`) without sorting again, which is what makes ageing notes affordable.

    >>> index = GroupedWeights(np.array([0, 0, 1]), 2, np.array([1.0, 0.0, 5.0]))
    >>> rng = np.random.default_rng(1)
    >>> sorted(set(index.draw(rng, np.array([0, 1, 0, 1])).tolist()))
    [0, 2]
    """

    def __init__(self, groups: npt.ArrayLike, group_count: int, weights: npt.ArrayLike) -> None:
        grouped = np.asarray(groups)
        self.order: Ints = np.argsort(grouped, kind="stable").astype(np.int64)
        self.bounds: Ints = np.searchsorted(grouped[self.order], np.arange(group_count + 1)).astype(np.int64)
        self.reweigh(np.asarray(weights, dtype=np.float64))

    def reweigh(self, weights: Floats) -> None:
        """Take new weights, indexed by member."""
        self._cumulated = np.concatenate([[0.0], np.cumsum(weights[self.order])])

    @property
    def total(self) -> float:
        """The sum of all weights."""
        return float(self._cumulated[-1])

    def totals(self) -> Floats:
        """Sum the weights of each group."""
        edges = self._cumulated[self.bounds]
        return np.asarray(edges[1:] - edges[:-1])

    def draw(self, rng: np.random.Generator, groups: npt.ArrayLike) -> Ints:
        """One member for each entry of `groups`; -1 where the group weighs nothing."""
        wanted = np.asarray(groups)
        low = self._cumulated[self.bounds[wanted]]
        high = self._cumulated[self.bounds[wanted + 1]]
        return self._pick(rng, low, high, self.bounds[wanted], self.bounds[wanted + 1])

    def draw_any(self, rng: np.random.Generator, count: int) -> Ints:
        """`count` members out of all groups."""
        low = np.zeros(count)
        last = np.full(count, len(self.order), dtype=np.int64)
        return self._pick(rng, low, low + self.total, np.zeros(count, dtype=np.int64), last)

    def draw_mixed(self, rng: np.random.Generator, groups: Ints, inside: float) -> Ints:
        """Out of the group with chance `inside`, out of all otherwise."""
        local = rng.random(len(groups)) < inside
        zeros = np.zeros(len(groups), dtype=np.int64)
        first = np.where(local, self.bounds[groups], zeros)
        last = np.where(local, self.bounds[groups + 1], zeros + len(self.order))
        return self._pick(rng, self._cumulated[first], self._cumulated[last], first, last)

    def _pick(self, rng: np.random.Generator, low: Floats, high: Floats, first: Ints, last: Ints) -> Ints:
        at = low + rng.random(len(low)) * (high - low)
        place = np.clip(np.searchsorted(self._cumulated, at, side="right") - 1, first, last - 1)
        member = self.order[np.maximum(place, 0)] if len(self.order) else np.zeros(len(low), dtype=np.int64)
        return np.where(high > low, member, -1)


class SeenPairs:
    """A bit table that remembers which (actor, thing) pairs happened, in memory fixed beforehand.

    One hash a pair: a false "seen" drops an organic event now and then, which nobody misses.
    """

    def __init__(self, expected: int, salt: int) -> None:
        # 16 bits a pair keep false "seen" below about 6% when the table is as full as it gets.
        bits = max(16, int(np.ceil(np.log2(max(expected, 1) * 16))))
        self._shift = np.uint64(64 - min(bits, 31))
        self._salt = salt
        self._table = np.zeros(1 << (min(bits, 31) - 3), dtype=np.uint8)

    def first_time(self, actor: Ints, thing: Ints) -> Bools:
        """Mark the first row of every pair that was not seen before; those are seen from now on."""
        place = pair_words(actor, thing, self._salt) >> self._shift
        byte, bit = (place >> np.uint64(3)).astype(np.int64), np.uint8(1) << (place & np.uint64(7)).astype(np.uint8)
        fresh = (self._table[byte] & bit) == 0
        _, first = np.unique(place, return_index=True)
        head = np.zeros(len(place), dtype=np.bool_)
        head[first] = True
        fresh &= head
        np.bitwise_or.at(self._table, byte[fresh], bit[fresh])
        return np.asarray(fresh)


def gaps_s(rng: np.random.Generator, count: int, form: GapForm, median_s: float, spread: float) -> Floats:
    """Human pauses in seconds with the given median; `spread` is the tail's weight (about 0.6 to 1.8)."""
    if form == "lognormal":
        drawn = median_s * np.exp(spread * rng.standard_normal(count))
    elif form == "weibull":
        shape = 1.0 / max(spread, 0.3)
        drawn = median_s * (rng.exponential(size=count) / np.log(2.0)) ** (1.0 / shape)
    elif form == "pareto":
        tail = 1.0 / max(spread, 0.3) + 0.35
        drawn = median_s * ((1.0 - rng.random(count)) ** (-1.0 / tail) - 1.0) / (2.0 ** (1.0 / tail) - 1.0)
    else:
        quick = rng.random(count) < 0.75
        scale = np.where(quick, median_s * 0.7, median_s * 9.0)
        drawn = scale * np.exp(0.55 * spread * rng.standard_normal(count))
    return np.clip(drawn, 0.35, 5_400.0)


def lengths(rng: np.random.Generator, count: int, form: LengthForm, mean: float) -> Ints:
    """How many things a visit does: whole numbers from 1 with about the given mean and a heavy tail."""
    extra = max(mean - 1.0, 1e-3)
    if form == "geometric":
        drawn = rng.geometric(1.0 / (1.0 + extra), count)
    elif form == "lognormal":
        drawn = 1 + np.floor(extra * np.exp(1.1 * rng.standard_normal(count) - 0.605)).astype(np.int64)
    else:
        # Lomax with tail 2.3: mean = scale / 1.3.
        drawn = 1 + np.floor(extra * 1.3 * ((1.0 - rng.random(count)) ** (-1.0 / 2.3) - 1.0)).astype(np.int64)
    return np.minimum(drawn, 120).astype(np.int64)


def heavy(rng: np.random.Generator, count: int, form: TailForm, tail: float, top_share: float = 0.02) -> Floats:
    """Weights with mean 1 and a heavy tail (Pareto index `tail`, or a lognormal of like inequality).

    No weight is above `top_share` of the whole, so that one draw cannot be the world.
    """
    if count == 0:
        return np.zeros(0)
    if form == "pareto":
        drawn = (1.0 - rng.random(count)) ** (-1.0 / tail)
    else:
        drawn = np.exp(2.2 / tail * rng.standard_normal(count))
    drawn = np.minimum(drawn, max(top_share * drawn.sum(), float(np.median(drawn))))
    return np.asarray(drawn / drawn.mean())


def stochastic_round(rng: np.random.Generator, values: Floats) -> Ints:
    """Whole numbers whose mean is the values'."""
    return np.floor(values + rng.random(len(values))).astype(np.int64)
