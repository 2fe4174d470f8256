"""The `boostwatch` command: reads the command line, loads the settings, hands over, and ends with an exit code.

What a command needs is imported when it runs, so that `--help` and a wrong argument answer at once.
"""

# ruff: noqa: PLC0415 -- what a command needs is imported when it runs: `--help` answers in a tenth of a second
from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from streams.cli_commands import COMMANDS
from streams.errors import BoostwatchError, ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence

INTERRUPTED = 128 + signal.SIGINT

DESCRIPTION = "Flags bought followers, bought likes and manipulated keywords on a stream, as they happen."
EPILOG = """\
To see it work, with nothing to install:
  boostwatch demo --seconds 90

Settings come from one TOML file (--config) and BOOSTWATCH_* environment variables, which win;
`boostwatch settings` prints them all.
"""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ConfigurationError(f"{message}; `{self.prog} --help` tells what it takes")


def parser() -> argparse.ArgumentParser:
    """Build the parser of every command."""
    top = _Parser("boostwatch", description=DESCRIPTION, epilog=EPILOG, formatter_class=argparse.RawTextHelpFormatter)
    top.add_argument("--version", action="version", version=f"boostwatch {_version()}")
    _common(top)
    commands = top.add_subparsers(dest="command", metavar="COMMAND", title="commands", parser_class=_Parser)
    for command in COMMANDS:
        made = commands.add_parser(
            command.name,
            help=command.summary,
            description=f"{command.summary[0].upper()}{command.summary[1:]}.\n\n{command.about}",
            epilog="examples:\n" + "\n".join(f"  {example}" for example in command.examples),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        for argument in command.arguments:
            made.add_argument(*argument.names, **argument.options)
        _common(made)
        made.set_defaults(run=command.run)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code. A failure that has a name in `streams.errors` is one line."""
    try:
        parsed = parser().parse_args(arguments)
        if parsed.command is None:
            parser().print_help(sys.stderr)
            return ConfigurationError.exit_code
        return _run(parsed)
    except BoostwatchError as error:
        sys.stderr.write(f"boostwatch: {error}\n")
        return error.exit_code
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # `boostwatch flags | head`: the reader has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _run(parsed: argparse.Namespace) -> int:
    # Two libraries would each start a thread per core for arrays of a few thousand rows.
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
        os.environ.setdefault(variable, "1")
    from streams.logs import configure
    from streams.settings import Settings

    given = {name: getattr(parsed, name) for name in ("bootstrap", "log_level", "log_format") if hasattr(parsed, name)}
    settings = Settings.load(getattr(parsed, "config", None), given)
    configure(settings.log_level, settings.log_format)
    code: int = parsed.run(settings, parsed) or 0
    sys.stdout.flush()
    return code


def _common(made: argparse.ArgumentParser) -> None:
    """Add what every command takes; left out where not given, so that it may stand before or after the command."""
    group = made.add_argument_group("settings")
    group.add_argument("--config", type=Path, default=argparse.SUPPRESS, metavar="FILE", help="settings file, in TOML")
    for name, metavar, told in (
        ("bootstrap", "HOST:PORT", "the Kafka to talk to (BOOSTWATCH_BOOTSTRAP)"),
        ("log-level", "LEVEL", "debug, info, warning or error"),
        ("log-format", "FORMAT", "console or json"),
    ):
        group.add_argument(f"--{name}", default=argparse.SUPPRESS, metavar=metavar, help=told)


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("boostwatch")
    except PackageNotFoundError:
        return "from a source tree that is not installed"


if __name__ == "__main__":
    sys.exit(main())
