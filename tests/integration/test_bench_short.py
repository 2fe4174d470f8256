"""The benchmark in seconds: bare loops and the batch transport do the small job on a real broker and find the same."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.bench import __main__ as bench
from tests.bench.contestants import BARE_JOB, CONFLUENT, OWN_TRANSPORT

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

FEW = ["--events", "8000", "--repeats", "1", "--parts", "throughput"]


def test_a_short_run_counts_only_who_found_what_was_due(
    kafka: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BOOSTWATCH_TEST_KAFKA", kafka)
    told = tmp_path / "figures.json"
    assert bench.main([*FEW, "--json", str(told), "--only", BARE_JOB, CONFLUENT, OWN_TRANSPORT]) == 0
    figures = json.loads(told.read_text(encoding="utf-8"))
    assert figures["failed"] == []
    for name in (BARE_JOB, CONFLUENT, OWN_TRANSPORT):
        assert figures["throughput"][name]["events_per_s"] > 0
        assert not figures["throughput"][name]["wrong"]
