"""Mixes of marks: what bought and organic surges look like, each with the scatter between one surge and the next."""

from __future__ import annotations

from math import lgamma
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import numpy as np
from msgspec import Meta, Struct
from numpy.typing import NDArray

from detectors.subject_rows import BINS, BOUGHT, COMPONENTS, RECENT, TEMPOS

if TYPE_CHECKING:
    from collections.abc import Mapping


class Mix(Struct, frozen=True):
    """One kind of surge.

    Attributes:
        marks: Dirichlet parameters of the marks by bin.
        tempo: chance of each class of how fast actions come.

    """

    marks: Annotated[tuple[Annotated[float, Meta(gt=0)], ...], Meta(min_length=BINS, max_length=BINS)]
    tempo: Annotated[tuple[Annotated[float, Meta(gt=0, le=1)], ...], Meta(min_length=TEMPOS, max_length=TEMPOS)]


class MixTables(NamedTuple):
    """Log likelihoods by component, as the compiled loop looks them up."""

    curves: NDArray[np.float32]  # (COMPONENTS, BINS, RECENT + 1) of a count in a bin
    norms: NDArray[np.float32]  # (COMPONENTS, RECENT + 1) of the sum of the counts
    tempo: NDArray[np.float32]  # (COMPONENTS, TEMPOS) of how fast actions come


NEVER = -1e9
"""Log likelihood of a component that is not used."""


def mix_tables(bought: Mapping[str, Mix], organic: Mapping[str, Mix]) -> MixTables:
    """Return the log likelihood of counts under every component, the bought ones first.

    Under a Dirichlet-multinomial with parameters `a` and their sum `A`, counts `c` that sum to `n` have the log
    likelihood `lgamma(A) - lgamma(A + n) + sum(lgamma(a + c) - lgamma(a))`, but for a term that all components
    share (Minka 2000, eq. 2).
    """
    tables = MixTables(
        np.zeros((COMPONENTS, BINS, RECENT + 1), np.float32),
        np.full((COMPONENTS, RECENT + 1), NEVER, np.float32),
        np.zeros((COMPONENTS, TEMPOS), np.float32),
    )
    for first, mixes in ((0, bought), (BOUGHT, organic)):
        for component, mix in enumerate(mixes.values(), start=first):
            total = sum(mix.marks)
            tables.tempo[component] = np.log(mix.tempo)
            for count in range(RECENT + 1):
                tables.norms[component, count] = lgamma(total) - lgamma(total + count)
                for place, alpha in enumerate(mix.marks):
                    tables.curves[component, place, count] = lgamma(alpha + count) - lgamma(alpha)
    return tables


ALPHA_LEAST, ALPHA_MOST = 0.02, 400.0
"""Bounds of a fitted parameter: no bin is impossible, and no kind of surge is always the same."""


def fit_mix(counts: NDArray[np.integer[Any]], iterations: int = 500) -> NDArray[np.float64]:
    """Fit a Dirichlet-multinomial to counts, shape (windows, BINS), each window of at most `RECENT` marks.

    By Minka's fixed point (2000, eq. 55) from the pooled mean on; with whole counts its digamma differences are
    sums of `1 / (alpha + i)`.

    >>> rng = np.random.default_rng(3)
    >>> shares = rng.dirichlet([8, 4, 2, 1, 1, 1, 1, 1], size=400)
    >>> counts = np.array([rng.multinomial(40, share) for share in shares])
    >>> fitted = fit_mix(counts)
    >>> bool(abs(fitted[0] / fitted.sum() - 8 / 19) < 0.03), bool(15 < fitted.sum() < 25)
    (True, True)
    """
    steps = np.arange(int(counts.sum(axis=1).max()))
    more = (counts[:, :, None] > steps).sum(axis=0)  # (BINS, steps) windows with a count above each step
    longer = (counts.sum(axis=1)[:, None] > steps).sum(axis=0)
    mean = (counts + 0.05).sum(axis=0) / (counts + 0.05).sum()
    alphas = mean * 20.0
    for _ in range(iterations):
        above = (more / (alphas[:, None] + steps)).sum(axis=1)
        below = (longer / (alphas.sum() + steps)).sum()
        alphas = np.clip(alphas * above / below, ALPHA_LEAST, ALPHA_MOST)
    return np.asarray(alphas, np.float64)
