"""Who runs, in which order, and what of it is asked of boostwatch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.bench import runs, traffic
from tests.bench.peers import environment
from tests.bench.peers.environment import NotInstalled

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from rich.console import Console

    from tests.bench.brokers import Broker
    from tests.bench.traffic import Loaded, SmallTopic

OURS = "boostwatch, everything on"
OWN_TRANSPORT = "boostwatch's transport"
READING = "bare aiokafka loop, no job"
BARE_JOB = "bare aiokafka loop"
CONFLUENT = "tuned confluent-kafka loop"
FAUST_DICT = "stock Faust agent, dict"
FAUST_TABLE = "stock Faust agent, Table"
QUIX = "Quix Streams"
BYTEWAX = "Bytewax"
PATHWAY = "Pathway"

PEERS = (FAUST_DICT, FAUST_TABLE, QUIX, BYTEWAX, PATHWAY, CONFLUENT)
"""What others offer for the job, as their makers would write it."""


@dataclass(frozen=True, slots=True)
class Contestant:
    """One to run: its name, and how; the number is of the repeat."""

    name: str
    run: Callable[[int], runs.Run]


def contestants(
    broker: Broker, loaded: Loaded, scratch: Path, console: Console, only: Sequence[str] | None = None
) -> list[Contestant]:
    """Return all that can be run here and has one of the words of `only` in its name; tell of those that cannot."""

    def wanted(name: str) -> bool:
        return only is None or any(word.lower() in name.lower() for word in only)

    def ours(repeat: int) -> runs.Run:
        variables = traffic.afresh(loaded.environment, repeat)
        traffic.create(variables)
        try:
            return runs.worker(
                OURS, variables, loaded.events, scratch / f"worker-{repeat}.log", broker,
                notes="all detectors, both hops, checkpoints, flags, metrics",
            )  # fmt: skip
        finally:
            traffic.delete_written(variables, loaded.environment)

    def small(name: str, module: str, topic: SmallTopic, notes: str, *more: str, python: str = "") -> Contestant:
        arguments = [broker.bootstrap, str(topic.due.events), *more, topic.name]

        def run(repeat: int) -> runs.Run:
            del repeat
            return runs.peer(
                name, f"tests.bench.peers.{module}", arguments, broker, due=topic.due, notes=notes,
                **({"python": python} if python else {}),
            )  # fmt: skip

        return Contestant(name, run)

    def reading(repeat: int) -> runs.Run:
        del repeat
        arguments = [broker.bootstrap, str(loaded.events), "read", *loaded.topics]
        return runs.peer(READING, "tests.bench.peers.aiokafka_loop", arguments, broker, notes="the limit")

    few, partitions = loaded.slow, str(loaded.partitions)
    every = [
        small(FAUST_TABLE, "stock_faust", few, "changelog", "table", partitions),
        small(FAUST_DICT, "stock_faust", few, "no changelog", "dict", partitions),
        *_others(loaded.small, small, wanted, console),
        small(CONFLUENT, "confluent_loop", loaded.small, "orjson, plain dict"),
        small(OWN_TRANSPORT, "own_transport", loaded.small, "orjson, plain dict"),
        small(BARE_JOB, "aiokafka_loop", loaded.small, "orjson, plain dict", "job"),
        Contestant(READING, reading),
    ]
    # Between its own limits and its peers, so that what drifts in a repeat drifts for both.
    every.insert(-3, Contestant(OURS, ours))
    return [contestant for contestant in every if wanted(contestant.name)]


def _others(
    topic: SmallTopic, small: Callable[..., Contestant], wanted: Callable[[str], bool], console: Console
) -> list[Contestant]:
    found: list[Contestant] = []
    for name, module, notes in (
        (QUIX, "quix_app", "RocksDB, changelog"),
        (BYTEWAX, "bytewax_flow", "no recovery"),
        (PATHWAY, "pathway_flow", "no persistence"),
    ):
        if not wanted(name):
            continue
        peer = module.partition("_")[0]
        if not environment.installed(peer):
            console.print(f"  installing {name} into the cache, once (it may take minutes) ...")
        try:
            python = environment.python_of(peer)
        except NotInstalled as error:
            console.print(f"  left out: {name}: {error}")
            continue
        found.append(small(name, module, topic, notes, python=python))
    return found
