"""What there is to type: every command with its arguments, its help and what it runs."""

# ruff: noqa: PLC0415 -- what a command needs is imported when it runs: `--help` answers in a tenth of a second
from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streams.errors import SchemasStale

if TYPE_CHECKING:
    from collections.abc import Callable

    from streams.settings import Settings


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument, as argparse takes it."""

    names: tuple[str, ...]
    options: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Command:
    """One command. `summary` completes "boostwatch X: ..."; `run` returns None or an exit code."""

    name: str
    summary: str
    about: str
    examples: tuple[str, ...]
    run: Callable[[Settings, argparse.Namespace], int | None]
    arguments: tuple[Argument, ...] = ()


def argument(*names: str, **options: Any) -> Argument:
    """Make an argument."""
    return Argument(names, options)


def number(low: float, high: float, kind: type[int | float] = int) -> Callable[[str], float]:
    """Make a reader of numbers within bounds, which argparse turns into a refusal that names the bounds."""

    def read(text: str) -> float:
        try:
            value = kind(text.replace("_", "").replace(",", "") if kind is int else text)
        except ValueError:
            value = None
        if value is None or not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text!r} is no number from {low:,} to {high:,}")
        return value

    return read


def _demo(settings: Settings, given: argparse.Namespace) -> int | None:
    from streams import demo

    return demo.run(settings, given.seconds, given.seed)


def _worker(settings: Settings, _: argparse.Namespace) -> int | None:
    from streams import worker
    from streams.connections import with_partitions_found

    return worker.run_worker(with_partitions_found(settings))


def _topics(settings: Settings, given: argparse.Namespace) -> int | None:
    from streams import topics
    from streams.connections import planned_topics, security_of, with_partitions_found

    settings = with_partitions_found(settings)
    return topics.run(settings.bootstrap, planned_topics(settings), given.check, security_of(settings))


def _simulate(settings: Settings, given: argparse.Namespace) -> None:
    from streams import simulate_command

    simulate_command.run(settings, given)


def _replay(settings: Settings, given: argparse.Namespace) -> None:
    from streams import replay

    replay.run(settings, given.directory, given.flags, given.batch)


def _evaluate(settings: Settings, given: argparse.Namespace) -> None:
    from streams.evaluation.command import Request, run

    run(settings, Request(given.directory, given.flags, given.report, given.json, given.baselines, given.ablate))


def _train(_: Settings, given: argparse.Namespace) -> None:
    from streams import training

    training.run(given.directory, given.out, given.held_out)


def _calibrate(_: Settings, given: argparse.Namespace) -> None:
    from streams import calibrating

    wanted = calibrating.Request(given.directory, given.out, given.budget, given.marks, given.base, given.crowds_only)
    calibrating.run(wanted)


def _flags(settings: Settings, given: argparse.Namespace) -> None:
    from streams import flags_view

    flags_view.run(settings, since=given.since, kinds=given.kind or [], raw=given.json)


def _verdict(settings: Settings, given: argparse.Namespace) -> None:
    from streams import verdict_command

    verdict_command.run(settings, given.flag_id, given.verdict, by=given.by, note=given.note)


def _dead_letters(settings: Settings, given: argparse.Namespace) -> None:
    from streams import dead_letters_replay
    from streams.dead_letters_view import Wanted, run
    from streams.errors import ConfigurationError

    wanted = Wanted(frozenset(given.reason or ()), frozenset(given.topic or ()))
    if given.replay:
        dead_letters_replay.run(settings, wanted, mend=given.mend, again=given.again)
    elif given.mend or given.again:
        raise ConfigurationError("--mend and --again say how to send again: give --replay with them")
    else:
        run(settings, wanted, limit=given.limit, raw=given.json)


def _schemas(_: Settings, given: argparse.Namespace) -> None:
    from schemas import documents

    if given.check:
        stale = documents.stale()
        if stale:
            raise SchemasStale(f"the published schemas are stale ({'; '.join(stale)}); run `boostwatch schemas`")
        sys.stdout.write("the published schemas are those of the code\n")
        return
    try:
        changed = documents.write(allow_breaking=given.allow_breaking)
    except documents.BreakingChangeError as error:
        raise SchemasStale(str(error)) from None
    sys.stdout.write("".join(f"wrote {documents.PUBLISHED / path}\n" for path in changed) or "nothing has changed\n")


def _settings(settings: Settings, _: argparse.Namespace) -> None:
    for name, value in settings.masked().items():
        rule = type(settings).model_fields[name].description
        shown = "" if value is None else value
        sys.stdout.write(f"{name} = {shown!r}  # {rule}\n" if value is not None else f"# {name} is not set: {rule}\n")


def _instant(text: str) -> int:
    from datetime import UTC, datetime

    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no time such as 2025-11-24 or 2025-11-24T06:00") from None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


KINDS = ("follower_spike", "like_boost", "keyword_ranking", "keyword_trend", "automation", "lockstep")
FAMILIES = ("plain", "metro", "campus", "bazaar", "newsroom", "harbour", "festival", "quiet", "arcade", "guild")

COMMANDS = (
    Command(
        "demo",
        "the whole system on this machine, with nothing to install beside Python packages",
        "Starts an embedded broker, a worker and simulated traffic with attacks in it, and prints the flags as\n"
        "they happen. The address of the page is printed too. It ends by itself, or on Ctrl-C, and then compares\n"
        "the flags with the attacks that were in the traffic.",
        ("boostwatch demo", "boostwatch demo --seconds 120 --seed 7"),
        _demo,
        (
            argument("--seconds", type=number(20, 86_400), default=90, help="how long it runs live (default: 90)"),
            argument("--seed", type=number(0, 2**32 - 1), default=1, help="which traffic (default: 1)"),
        ),
    ),
    Command(
        "worker",
        "one worker: events in, flags out",
        "Start more of them for more throughput: they share the partitions. Ends in order on SIGTERM and Ctrl-C,\n"
        "with what it has done committed. /live, /ready, /metrics and the page are at BOOSTWATCH_HTTP_PORT.",
        (
            "boostwatch worker",
            "boostwatch worker --config boostwatch.toml",
            "BOOSTWATCH_HTTP_PORT=8090 boostwatch worker",
        ),
        _worker,
    ),
    Command(
        "topics",
        "create every topic that is not there, and check those that are",
        "Partitions, retention and compaction are those that the workers need. What differs is told and left as it is.",
        ("boostwatch topics --bootstrap kafka-1:9092", "boostwatch topics --check"),
        _topics,
        (argument("--check", action="store_true", help="create nothing; exit with an error where something differs"),),
    ),
    Command(
        "simulate",
        "traffic of a simulated platform, with attacks whose truth is known",
        "Into a directory, as recorded traffic with attacks.jsonl beside it; or to Kafka: some hours of history at\n"
        "once, then live. The same arguments give the same traffic.",
        (
            "boostwatch simulate /tmp/day --events 500000 --seed 3",
            "boostwatch simulate --bootstrap 127.0.0.1:9092 --seconds 600",
        ),
        _simulate,
        (
            argument("directory", nargs="?", type=Path, metavar="DIR", help="where to write; else --bootstrap"),
            argument("--seed", type=number(0, 2**32 - 1), default=1, help="which traffic (default: 1)"),
            argument("--clean", action="store_true", help="no attacks, only what people do"),
            argument("--events", type=number(1_000, 10**10), help="into DIR: how many, about (default: 500000)"),
            argument(
                "--accounts",
                type=number(500, 10**8),
                metavar="N",
                help="into DIR: people there are; many with few events are strangers to each other (default: drawn)",
            ),
            argument("--days", type=number(0.05, 366, float), help="into DIR: over how many days (default: 2)"),
            argument("--start", type=_instant, metavar="TIME", help="into DIR: first day, UTC (default: 2025-11-24)"),
            argument("--family", choices=FAMILIES, help="into DIR: how people behave (default: plain)"),
            argument("--fields", choices=("all", "some", "none"), help="into DIR: the optional fields that are sent"),
            argument(
                "--denser",
                type=number(0.1, 20, float),
                metavar="N",
                help="into DIR: attacks and what looks like them for each that there would be (default: 1)",
            ),
            argument("--plain", action="store_true", help="into DIR: do not gzip"),
            argument("--seconds", type=number(1, 86_400 * 366), help="to Kafka: how long, live (default: 600)"),
            argument("--history", type=number(10_000, 10**9), help="to Kafka: events before that (default: 250000)"),
            argument("--truth", type=Path, metavar="DIR", help="to Kafka: where to write the truth"),
        ),
    ),
    Command(
        "replay",
        "the worker's detectors over recorded traffic, without a broker",
        "Reads likes.jsonl, follows.jsonl and searches.jsonl (each optional, each may end in .gz) in bounded memory.\n"
        "A bad line is counted and reported, not fatal. The same recording gives the same flags.",
        ("boostwatch replay /tmp/day --flags flags.jsonl",),
        _replay,
        (
            argument("directory", type=Path, metavar="DIR", help="the recorded traffic"),
            argument("--flags", type=Path, required=True, metavar="OUT.jsonl", help="where to write the flags"),
            argument(
                "--batch",
                type=number(1, 1_000_000),
                default=8_192,
                metavar="N",
                help="events handed over at once, at most (default: 8192); changes the speed, never the flags",
            ),
        ),
    ),
    Command(
        "evaluate",
        "replay recorded traffic, then score its flags against attacks.jsonl",
        "Recall by kind, shape and size with intervals, precision, delay in event time, the share of the bought\n"
        "actions delivered before the flag, and false flags, those on benign episodes (benign.jsonl) first.",
        (
            "boostwatch evaluate /tmp/day --report report.html",
            "boostwatch evaluate /tmp/day-1 /tmp/day-2 --baselines --json figures.json",
            "boostwatch evaluate /tmp/day --flags flags.jsonl",
        ),
        _evaluate,
        (
            argument("directory", nargs="+", type=Path, metavar="DIR", help="recorded traffic whose truth is known"),
            argument("--report", type=Path, metavar="OUT.html", help="write one page with plots, for offline reading"),
            argument("--json", type=Path, metavar="OUT.json", help="write all results as JSON"),
            argument("--flags", type=Path, metavar="FLAGS.jsonl", help="score these flags instead of replaying"),
            argument("--baselines", action="store_true", help="run simpler methods on the same events beside it"),
            argument("--ablate", action="store_true", help="replay again without each group of evidence"),
        ),
    ),
    Command(
        "train",
        "learn from labelled traffic what the actions of bought accounts look like",
        "Reads recorded traffic with attacks.jsonl beside it, best of many habits: what is learned of one platform\n"
        "fails on the next. The same directories give the same weights. Without --held-out the figures that it prints\n"
        "are of the traffic it learned from.",
        ("boostwatch train /tmp/metro-1 /tmp/campus-2 --held-out /tmp/harbour-3 --out marks.json",),
        _train,
        (
            argument("directory", nargs="+", type=Path, metavar="DIR", help="labelled traffic"),
            argument(
                "--held-out", nargs="+", type=Path, default=[], metavar="DIR", help="only reported on, not learned from"
            ),
            argument("--out", type=Path, default=Path("marks.json"), help="the file to write (default: marks.json)"),
        ),
    ),
    Command(
        "calibrate",
        "set the thresholds to a budget of false flags",
        "From clean traffic it sets how much evidence each kind asks for. From traffic with attacks.jsonl beside it\n"
        "it also learns what bought and organic surges look like. The same directories give the same thresholds.",
        ("boostwatch calibrate /data/last-week --budget 5 --out thresholds.json",),
        _calibrate,
        (
            argument("directory", nargs="+", type=Path, metavar="DIR", help="recorded traffic, clean or labelled"),
            argument(
                "--budget",
                type=number(0.01, 1e6, float),
                default=10.0,
                metavar="N",
                help="false flags per million account-days and kind (default: 10)",
            ),
            argument("--marks", type=Path, metavar="FILE", help="mark weights of `train` (default: the shipped ones)"),
            argument("--base", type=Path, metavar="FILE", help="thresholds to begin with (default: the shipped ones)"),
            argument("--crowds-only", action="store_true", help="fit only the trees that judge crowds of actors anew"),
            argument(
                "--out", type=Path, default=Path("thresholds.json"), help="the file to write (default: thresholds.json)"
            ),
        ),
    ),
    Command(
        "flags",
        "follow the flags topic in a terminal",
        "One line or a few for each flag: what, on whom, how much more than usual, and why. Ctrl-C ends it.",
        (
            "boostwatch flags",
            "boostwatch flags --since beginning --kind follower_spike",
            "boostwatch flags --json | jq .subject.id",
        ),
        _flags,
        (
            argument("--since", choices=("beginning", "now"), default="now", help="where to begin (default: now)"),
            argument("--kind", action="append", choices=KINDS, help="only this kind; may be given again"),
            argument("--json", action="store_true", help="the records' own JSON, one a line"),
        ),
    ),
    Command(
        "verdict",
        "answer a flag: it was right, or it was not",
        "Sends a verdict to the verdicts topic and returns once the broker has it. A repeat does no harm.",
        (
            "boostwatch verdict 0a1b2c3d-0000-5000-8000-000000000000 confirmed",
            'boostwatch verdict 0a1b2c3d-0000-5000-8000-000000000000 dismissed --note "a giveaway"',
        ),
        _verdict,
        (
            argument("flag_id", metavar="FLAG_ID", help="the flag's id"),
            argument("verdict", choices=("confirmed", "dismissed"), help="what it turned out to be"),
            argument("--by", help="who answers (default: the user that runs this)"),
            argument("--note", metavar="TEXT", help="why, for people"),
        ),
    ),
    Command(
        "dead-letters",
        "look at what was refused, and send it again once it can be taken",
        "Counts the dead letters by topic and reason and shows the latest. With --replay they go to the topic they\n"
        "came from, with their key, headers and timestamp; a further --replay goes on where that one ended.",
        (
            "boostwatch dead-letters",
            "boostwatch dead-letters --json --reason wrong_type | jq -r .value",
            "boostwatch dead-letters --replay --reason wrong_type --mend \"jq -c '.ts |= tonumber'\"",
        ),
        _dead_letters,
        (
            argument("--reason", action="append", help="only with this reason; may be given again"),
            argument("--topic", action="append", help="only of this input topic; may be given again"),
            argument("--limit", type=number(0, 1_000_000), default=10, help="how many to show (default: 10)"),
            argument("--json", action="store_true", help="every one, as a line of JSON"),
            argument("--replay", action="store_true", help="send them again"),
            argument("--mend", metavar="COMMAND", help="put the values through this, one a line in, one a line out"),
            argument("--again", action="store_true", help="begin at the first, not where the last --replay ended"),
        ),
    ),
    Command(
        "schemas",
        "write the JSON Schemas and the AsyncAPI document from the code's own types",
        "With --check nothing is written, and the exit code tells whether the published ones are those of the code.",
        ("boostwatch schemas", "boostwatch schemas --check"),
        _schemas,
        (
            argument("--check", action="store_true", help="write nothing; fail when something is stale"),
            argument("--allow-breaking", action="store_true", help="write even what breaks readers or producers"),
        ),
    ),
    Command(
        "settings",
        "print every setting as it would be used here, with what is allowed",
        "Secrets are masked. The lines are those of a settings file.",
        ("boostwatch settings", "boostwatch settings --config boostwatch.toml"),
        _settings,
    ),
)
"""In the order in which `--help` shows them."""
