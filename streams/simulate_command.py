"""`boostwatch simulate`: simulated traffic into a directory, or to Kafka."""

from __future__ import annotations

import signal
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from streams.errors import ConfigurationError, RecordedTrafficError
from streams.simulator import Scenario, World, attack_lines, benign_lines, write_directory
from streams.simulator.columns import DAY_MS, TOPICS, Verb
from streams.simulator.simulate import namer_of

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from streams.settings import Settings
    from streams.simulator.feed import Batch

START_MS = 1_763_942_400_000
"""2025-11-24T00:00Z, a Monday: where recorded traffic begins unless told otherwise, so that it is the same again."""

EVENTS = 500_000
DAYS = 2.0
LIVE_S = 600
HISTORY_EVENTS = 250_000

HISTORY_PER_S = 8_000
LEAD_S = 2.0
LEAD_S_MAX = 240.0
"""How fast history is sent on a slow machine, and how long before that the world takes to build. Events may be
five minutes ahead of the broker's clock at the most."""

EVENTS_PER_ACCOUNT = 15
"""How often an account acts in the whole of a recording, on average; most do so far less."""

ATTACKS_PER_EVENTS = 12_000
BENIGN_PER_EVENTS = 20_000
PROGRAM_PER_EVENTS = 40_000
GANG_PER_EVENTS = 80_000
"""One attack, one episode that looks like it, one account run by a program, one group that acts together for so many
events: enough of each to see, and still rare."""

_TO_DIRECTORY = ("events", "accounts", "days", "start", "family", "fields", "denser", "plain")
_TO_KAFKA = ("seconds", "history", "truth")


def run(settings: Settings, given: argparse.Namespace) -> None:
    """Simulate as the command line says. Raises ConfigurationError, RecordedTrafficError, BrokerError."""
    to_directory = given.directory is not None
    if to_directory == hasattr(given, "bootstrap"):
        raise ConfigurationError("simulate takes either DIR or --bootstrap HOST:PORT: say where the traffic goes")
    for name in _TO_KAFKA if to_directory else _TO_DIRECTORY:
        if getattr(given, name):
            raise ConfigurationError(
                f"--{name} is for traffic {'to Kafka' if to_directory else 'into a directory'} only"
            )
    if to_directory:
        _into_directory(given)
    else:
        _to_kafka(settings, given)


def _into_directory(given: argparse.Namespace) -> None:
    scenario = _recorded(given)
    progress = _Progress("of the time")
    try:
        written = write_directory(
            given.directory, scenario, given.seed, compress=not given.plain, progress=progress.part
        )
    except OSError as error:
        raise RecordedTrafficError(f"cannot write {error.filename or given.directory}: {error.strerror}") from None
    told = ", ".join(f"{written.events[topic]:,} {topic}" for topic in TOPICS)
    _say(f"{told}; {written.attacks} attacks and {written.benign} benign episodes in {written.path}")


def _recorded(given: argparse.Namespace) -> Scenario:
    events, start_ms = given.events or EVENTS, given.start or START_MS
    if given.family and given.family != "plain":
        scenario = Scenario.randomised(given.seed, given.family, start_ms=start_ms, events=events)
        days = given.days or scenario.duration_ms / DAY_MS
    else:
        scenario, days = Scenario(start_ms=start_ms), given.days or DAYS
        accounts = max(1_000, events // EVENTS_PER_ACCOUNT)
        scenario = replace(
            scenario,
            accounts=accounts,
            notes=max(500, accounts // 2),
            keywords=max(100, int(accounts**0.72)),
            attacks=1 + events // ATTACKS_PER_EVENTS,
            benign=1 + events // BENIGN_PER_EVENTS,
            programs=1 + events // PROGRAM_PER_EVENTS,
            gangs=1 + events // GANG_PER_EVENTS,
        )
    scenario = replace(scenario, duration_ms=int(days * DAY_MS), events_per_s=events / (days * DAY_MS / 1000))
    if given.accounts:
        scenario = replace(scenario, accounts=given.accounts)
    if given.fields:
        scenario = replace(scenario, optional_fields=given.fields)
    if given.denser:
        scenario = scenario.denser(given.denser)
    return scenario.clean() if given.clean else scenario


def _to_kafka(settings: Settings, given: argparse.Namespace) -> None:
    from streams.clients import require_broker  # noqa: PLC0415 -- kafka-python is slow to import
    from streams.connections import require_topics, security_of  # noqa: PLC0415
    from streams.simulator.feed import stream  # noqa: PLC0415
    from streams.simulator.produce import produce  # noqa: PLC0415

    require_topics(settings, settings.input_topics.values())
    seconds, history = given.seconds or LIVE_S, given.history or HISTORY_EVENTS
    # The live part begins when the history should be through: its events are then as old as they look.
    lead_s = min(history / HISTORY_PER_S + LEAD_S, LEAD_S_MAX)
    origin_s, now_ms = time.monotonic() + lead_s, time.time_ns() // 1_000_000 + int(1000 * lead_s)
    scenario = Scenario.demo(now_ms, float(seconds), history_events=history)
    world = World.build(scenario.clean() if given.clean else scenario, given.seed)
    if given.truth:
        write_truth(given.truth, world)
    options = require_broker(settings.bootstrap, security_of(settings))
    del options["bootstrap_servers"]
    stop = threading.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: stop.set())
    sent = produce(
        _announced(stream(world)),
        settings.bootstrap,
        topics=dict(zip(TOPICS, settings.input_topics.values(), strict=True)),
        client_options=options,
        origin_s=origin_s,
        stop=stop,
        progress=_Progress("behind").behind,
    )
    _say(f"{sent.total():,} events sent: " + ", ".join(f"{sent[topic]:,} {topic}" for topic in TOPICS))


def _announced(batches: Iterator[Batch]) -> Iterator[Batch]:
    """Pass the batches on and say when the live part begins."""
    history = 0
    live = False
    for batch in batches:
        if batch.due_s > 0 and not live:
            live = True
            _say(f"{history:,} events of history sent; live from here on")
        history += len(batch.records)
        yield batch


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def write_truth(directory: Path, world: World) -> None:
    """Write attacks.jsonl, with the times of the deliveries, and benign.jsonl. Raises RecordedTrafficError."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "attacks.jsonl").write_bytes(b"".join(line + b"\n" for line in _timed(world)))
        (directory / "benign.jsonl").write_bytes(
            b"".join(line + b"\n" for line in benign_lines(world, namer_of(world)))
        )
    except OSError as error:
        raise RecordedTrafficError(f"cannot write {error.filename or directory}: {error.strerror}") from None


def _timed(world: World) -> Iterator[bytes]:
    paid = world.paid
    delivered = paid[(paid["verb"] != Verb.UNLIKE) & (paid["verb"] != Verb.UNFOLLOW)]
    for line in attack_lines(world, namer_of(world)):
        attack: dict[str, Any] = orjson.loads(line)
        mine = delivered["attack"] == int(attack["attack_id"].removeprefix("a"))
        yield orjson.dumps(attack | {"times": sorted(delivered["ts"][mine].tolist())})


class _Progress:
    """A line on stderr that is rewritten on a terminal, and now and then a new one elsewhere."""

    def __init__(self, what: str) -> None:
        self._what, self._tty = what, sys.stderr.isatty()
        self._looked = self._started = time.monotonic()

    def part(self, events: int, done: float) -> None:
        self._tell(events, f"{done:.0%} {self._what}")

    def behind(self, events: int, behind_s: float) -> None:
        self._tell(events, f"{max(behind_s, 0.0):.1f} s {self._what}" if behind_s > 1 else "in time")

    def _tell(self, events: int, told: str) -> None:
        now = time.monotonic()
        if now - self._looked < (0.25 if self._tty else 10.0):
            return
        self._looked = now
        line = f"simulate: {events:,} events, {told}"
        sys.stderr.write(f"\r{line}\033[K" if self._tty else f"{line}\n")
        sys.stderr.flush()
