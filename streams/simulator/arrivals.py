"""When the actions of a campaign arrive: bought ones by a vendor's process, organic ones as attention does."""

from __future__ import annotations

from typing import Final, Literal, get_args

import numpy as np

from streams.simulator.columns import Ints
from streams.simulator.rhythm import Rhythm

Process = Literal["poisson", "uniform", "jittered", "batched", "front", "daytime"]
PROCESSES: Final[tuple[Process, ...]] = get_args(Process)


def bought(
    rng: np.random.Generator, process: Process, count: int, start_ms: int, duration_ms: int, rhythm: Rhythm
) -> Ints:
    """`count` sorted instants in [start, start + duration) by a vendor's process.

    `poisson` is memoryless, `uniform` even to the millisecond, `jittered` even with wobble, `batched` in
    packs with pauses, `front` fast at first, `daytime` with one time zone's rhythm.

    >>> from streams.simulator.rhythm import Rhythm
    >>> flat = Rhythm(np.array([0.0]), np.ones((2, 24)))
    >>> bought(np.random.default_rng(1), "uniform", 4, 0, 100, flat).tolist()
    [0, 25, 50, 75]
    """
    if process == "poisson":
        part = rng.random(count)
    elif process == "uniform":
        part = np.arange(count) / max(count, 1)
    elif process == "jittered":
        part = (np.arange(count) + rng.uniform(0.0, 1.0, count)) / max(count, 1)
    elif process == "batched":
        packs = max(2, count // int(rng.integers(5, 40)))
        pack = np.sort(rng.random(packs))[rng.integers(0, packs, count)]
        part = pack + rng.exponential(0.15 / packs, count)
    elif process == "front":
        part = rng.exponential(0.22, count)
    else:
        many = rng.random(12 * count + 24)
        zone = np.full(len(many), int(rng.integers(rhythm.zones)))
        up = many[rhythm.awake(rng, start_ms + (many * duration_ms).astype(np.int64), zone)]
        part = np.concatenate([up, rng.random(count)])[:count]
    at = start_ms + (np.sort(part % 1.0) * duration_ms).astype(np.int64)
    return np.sort(at)


def attention(rng: np.random.Generator, count: int, start_ms: int, duration_ms: int, rise: float) -> Ints:
    """`count` sorted instants of organic interest: up within the part `rise` of the time, then a long tail."""
    rising = rng.random(count) < 0.35
    up = rise * np.sqrt(rng.random(count))
    tail = rise + rise * ((1.0 - rng.random(count)) ** (-1.0 / 1.3) - 1.0)
    part = np.where(rising, up, tail)
    part = np.where(part < 1.0, part, rng.random(count))
    return np.sort(start_ms + (part * duration_ms).astype(np.int64))
