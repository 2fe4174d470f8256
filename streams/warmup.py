"""`python -m streams.warmup`: compile every loop once, at set-up, into the caches beside the sources.

The first start on a machine would otherwise spend a minute on it. An hour of simulated traffic with an attack of
each kind goes through the stages, so that what is only needed once something is flagged is compiled as well.
"""

from __future__ import annotations

import tempfile

from streams.pipeline import warm_up
from streams.recorded import Recording
from streams.replay import BATCH_EVENTS, Totals, replay
from streams.settings import Settings
from streams.simulator import AttackOrder, Scenario, write_directory
from streams.simulator.columns import HOUR_MS, MINUTE_MS

START_MS = 1_763_942_400_000
SEED = 1


def main() -> None:
    """Compile, and say nothing where it worked."""
    settings = Settings()
    warm_up(settings)
    begin_ms = START_MS + 3 * HOUR_MS
    scenario = Scenario(
        start_ms=START_MS,
        duration_ms=4 * HOUR_MS,
        accounts=4_000,
        notes=1_000,
        keywords=100,
        events_per_s=1.5,
        attacks=(
            AttackOrder("follower_spike", "burst", 400, begin_ms, 30 * MINUTE_MS),
            AttackOrder("like_boost", "burst", 400, begin_ms, 30 * MINUTE_MS),
            AttackOrder("keyword_ranking", "burst", 400, begin_ms, 30 * MINUTE_MS),
            AttackOrder("keyword_trend", "burst", 400, begin_ms, 30 * MINUTE_MS),
        ),
        benign=1,
    )
    with tempfile.TemporaryDirectory(prefix="boostwatch-warmup-") as place:
        recording = Recording(write_directory(place, scenario, SEED).path)
        for _ in replay(settings, recording, BATCH_EVENTS, Totals()):
            pass


if __name__ == "__main__":
    main()
