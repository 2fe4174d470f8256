from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from streams import cli, errors, logs
from streams.cli_commands import COMMANDS, Command

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers, root.level = handlers, level
    logging.captureWarnings(capture=False)


def run(*arguments: str) -> int:
    return cli.main(arguments)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_every_command_explains_itself_with_an_example(command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        run(command.name, "--help")
    assert end.value.code == 0
    told = capsys.readouterr().out
    assert all(example in told for example in command.examples)
    assert command.examples[0].startswith(f"boostwatch {command.name}")


def test_help_answers_at_once_without_what_the_commands_need() -> None:
    heavy = "kafka", "aiokafka", "faust", "numba", "numpy", "river", "rich", "pydantic", "confluent_kafka"
    code = (
        "import sys; from streams.cli import parser; parser().format_help(); "
        f"sys.exit(' '.join(set({heavy!r}) & set(sys.modules)))"
    )
    outcome = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert outcome.stderr.strip() == ""


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("replya", "x"), "invalid choice: 'replya'"),
        (("replay",), "required: DIR, --flags"),
        (("replay", "x", "--flags", "y", "--batch", "0"), "is no number from 1 to 1,000,000"),
        (("demo", "--seconds", "nan"), "is no number from 20 to"),
        (("settings", "--bootstrap", "nowhere"), "bootstrap = 'nowhere' (on the command line) is not allowed"),
        (("settings", "--config", "/nowhere.toml"), "cannot read the settings file /nowhere.toml"),
        (("simulate",), "either DIR or --bootstrap"),
        (("simulate", "x", "--seconds", "9"), "--seconds is for traffic to Kafka only"),
    ],
)
def test_a_wrong_command_line_is_one_line_and_exit_code_2(
    arguments: tuple[str, ...], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*arguments) == errors.ConfigurationError.exit_code
    err = capsys.readouterr().err
    assert err.startswith("boostwatch: ")
    assert err.count("\n") == 1
    assert told in err


@pytest.mark.filterwarnings("ignore::DeprecationWarning:kafka", "ignore::DeprecationWarning:importlib")
def test_a_broker_that_is_not_there_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("worker", "--bootstrap", "127.0.0.1:1") == errors.BrokerUnavailable.exit_code
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "127.0.0.1:1" in err


def test_recorded_traffic_that_is_not_there_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("replay", str(tmp_path), "--flags", str(tmp_path / "f")) == errors.RecordedTrafficError.exit_code
    assert capsys.readouterr().err.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_common_options_stand_before_or_after_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--bootstrap", "a:1", "settings") == 0
    assert "bootstrap = 'a:1'" in capsys.readouterr().out
    assert run("settings", "--bootstrap", "b:2") == 0
    assert "bootstrap = 'b:2'" in capsys.readouterr().out


def test_schemas_are_checked_from_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("schemas", "--check") == 0
    assert "those of the code" in capsys.readouterr().out


def test_simulate_into_a_directory_says_what_it_wrote(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory = tmp_path / "day"
    assert run("simulate", str(directory), "--events", "3000", "--days", "0.2", "--plain") == 0
    assert "attacks and" in capsys.readouterr().out
    names = {path.name for path in directory.iterdir()}
    assert names == {"likes.jsonl", "follows.jsonl", "searches.jsonl", "attacks.jsonl", "benign.jsonl"}


def test_the_more_accounts_there_are_the_more_are_strangers(tmp_path: Path) -> None:
    seldom = []
    for accounts in ("500", "20000"):
        assert run("simulate", str(tmp_path), "--events", "6000", "--accounts", accounts, "--clean", "--plain") == 0
        often = Counter(json.loads(line)["actor_id"] for line in (tmp_path / "likes.jsonl").read_bytes().splitlines())
        seldom.append(sum(count == 1 for count in often.values()) / sum(often.values()))
    assert seldom[1] > 1.5 * seldom[0]


def test_every_operational_error_has_an_exit_code_of_its_branch() -> None:
    assert errors.BrokerUnavailable.exit_code == errors.TopicMissing.exit_code == errors.BrokerError.exit_code
    branches = errors.BoostwatchError.__subclasses__()
    assert len({branch.exit_code for branch in branches}) == len(branches)
    assert all(branch.exit_code not in {0, 1} for branch in branches)


def test_a_log_line_cannot_be_forged_and_json_lines_carry_the_fields(capsys: pytest.CaptureFixture[str]) -> None:
    log = logging.getLogger("streams.somewhere")
    logs.configure("info", "console")
    log.info("a\nb %s", "\x1b[2J", extra={"fields": {"records": 3, "evil": "x\ny"}})
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert "\x1b" not in line
    assert "records=3" in line
    logs.configure("info", "json")
    try:
        raise ValueError("boom")  # noqa: TRY301
    except ValueError:
        log.exception("failed", extra={"fields": {"records": 4}})
    told = json.loads(capsys.readouterr().err)
    assert (told["level"], told["message"], told["records"]) == ("error", "failed", 4)
    assert "boom" in told["exception"]
