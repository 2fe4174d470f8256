"""What the image and the composition say, held against the code: no engine is needed for that."""

from __future__ import annotations

import json
import re
from pathlib import Path

from streams.cli import parser
from streams.settings import Settings
from tests.deploy.tools import DEPLOY

ROOT = DEPLOY.parent
DOCKERFILE = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
COMPOSE = (DEPLOY / "compose.yaml").read_text(encoding="utf-8")


def test_what_is_copied_into_the_image_is_there_and_let_through() -> None:
    let_through = set(re.findall(r"^!(\S+)$", (ROOT / ".dockerignore").read_text(encoding="utf-8"), re.MULTILINE))
    copied = {
        name for line in re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE) for name in line.split()[:-1]
    }
    assert copied == let_through
    assert all((ROOT / name).exists() for name in copied)


def test_the_image_runs_without_rights_and_says_whether_it_is_well() -> None:
    assert re.search(r"^USER 10001$", DOCKERFILE, re.MULTILINE)
    assert "HEALTHCHECK" in DOCKERFILE
    assert "/live" in DOCKERFILE
    assert "--require-hashes" in DOCKERFILE


def test_every_setting_that_is_given_exists() -> None:
    named = set(re.findall(r"\bBOOSTWATCH_([A-Z_]+)", DOCKERFILE + COMPOSE))
    assert named
    assert {name.lower() for name in named} <= set(Settings.model_fields)


def test_every_command_of_the_composition_is_one_of_ours() -> None:
    commands = [
        json.loads(said)
        for service, said in re.findall(r"^  (\w+):\n(?:    .*\n)*?    command: (\[.*\])$", COMPOSE, re.MULTILINE)
        if service in {"topics", "worker", "simulator"}
    ]
    assert [parser().parse_args(command).command for command in commands] == ["topics", "worker", "simulate"]


def test_every_file_that_is_mounted_is_there_and_nothing_listens_beyond_this_machine() -> None:
    mounted = re.findall(r'"(\./[^:"]+):', COMPOSE)
    assert len(mounted) == 4
    assert all((DEPLOY / path).is_dir() for path in mounted)
    ports = re.findall(r"ports: \[\"(.*?)\"\]", COMPOSE)
    assert len(ports) == 4
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_the_example_of_a_settings_file_is_accepted() -> None:
    settings = Settings.load(Path(DEPLOY / "boostwatch.toml"), {})
    assert settings.replication == 3
    assert settings.mode_keyword_trend == "shadow"
