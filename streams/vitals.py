"""How the detectors themselves are, put into metrics once a second: rows and their bounds, drift, open episodes."""

from __future__ import annotations

import platform
from collections import Counter
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

import numpy as np

from detectors.subjects import SPECS

if TYPE_CHECKING:
    from detectors.subjects import SubjectStage
    from streams.metrics import Metrics
    from streams.settings import Settings
    from streams.stages import Stages

_SUBJECTS = ("accounts", "notes", "keywords")


class Vitals:
    """Reads the stages. Belongs to the event loop, like they do."""

    def __init__(self, settings: Settings, metrics: Metrics, stages: Stages) -> None:
        self._settings = settings
        self._metrics = metrics
        self._stages = stages
        self._evicted: dict[tuple[str, int], int] = {}
        self._drifts: dict[tuple[int, int], int] = {}
        metrics.build.labels(_version(), platform.python_version()).set(1)

    def look(self) -> None:
        """Set every gauge to what is so now, and add to the counters what has happened since the last look."""
        metrics, settings = self._metrics, self._settings
        actors, subjects = self._stages.actor_stages(), self._stages.subject_stages()
        metrics.tracked_limit.labels("actors").set(settings.actors_max * len(actors))
        for what in _SUBJECTS:
            metrics.tracked_limit.labels(what).set(settings.subjects_max * len(subjects))
        metrics.open_episodes.set(sum(stage.open_episodes for stage in subjects.values()))
        metrics.history.set(min((stage.history_ms for stage in subjects.values()), default=0) / 1000)
        self._count_evicted({("actors", number): stage.evicted["actors"] for number, stage in actors.items()})
        self._count_evicted({("subjects", number): stage.evicted for number, stage in subjects.items()})
        self._look_at_models(subjects)

    def _count_evicted(self, now: dict[tuple[str, int], int]) -> None:
        for place, evicted in now.items():
            more = evicted - self._evicted.get(place, 0)
            # Fewer than before: the partition has left and come back with a stage of its own.
            self._metrics.evicted.labels(place[0]).inc(more if more >= 0 else evicted)
            self._evicted[place] = evicted

    def _look_at_models(self, subjects: dict[int, SubjectStage]) -> None:
        shares: dict[str, list[float]] = {}
        drifted: Counter[str] = Counter({spec.kind.value: 0 for spec in SPECS})
        for number, stage in subjects.items():
            for lane, (spec, models) in enumerate(zip(SPECS, stage.models, strict=True)):
                rate = models.pass_rate
                if rate.last is not None:
                    shares.setdefault(spec.kind.value, []).append(rate.last)
                # What a restored or new stage brings along is the past, not news.
                drifted[spec.kind.value] += max(0, rate.drifts - self._drifts.get((number, lane), rate.drifts))
                self._drifts[number, lane] = rate.drifts
        for kind, several in shares.items():
            self._metrics.gate_pass_share.labels(kind).set(float(np.mean(several)))
        for kind, times in drifted.items():
            self._metrics.gate_drifts.labels(kind).inc(times)


def _version() -> str:
    try:
        return version("boostwatch")
    except PackageNotFoundError:
        return "source"
