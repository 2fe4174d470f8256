"""The short form of `make chaos`: some kills, a broker's restart, a rebalance, and then nothing to be seen of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from deploy.kafka.errors import FetchFailed, ToolMissing
from tests.chaos.purchases import BOUGHT, EACH
from tests.chaos.run import Plan, carry_out
from tests.chaos.schedule import SHORT
from tests.conftest import lacking
from tests.kafka_broker import given_broker

if TYPE_CHECKING:
    from pathlib import Path

    from tests.chaos.verdict import Verdict

SECONDS = 40.0


@pytest.mark.kafka
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_after_kills_a_broker_restart_and_a_rebalance_everything_is_as_if_nothing_had_been(tmp_path: Path) -> None:
    said: list[str] = []
    try:
        verdict: Verdict = carry_out(Plan(seconds=SECONDS, seed=5), tmp_path, said.append)
    except (ToolMissing, FetchFailed) as error:
        lacking(f"no real Kafka here: {error}")
    told = "\n".join([*said, str(verdict.figures()), *verdict.examples])
    assert verdict.wrongs == [], told
    assert verdict.flags is not None
    # Every purchase, of each kind: what nobody finds is equal too.
    by_kind = verdict.figures()["flags_by_kind"]
    assert {kind: by_kind.get(kind) for kind in BOUGHT} == dict.fromkeys(BOUGHT, EACH), told
    if given_broker() is None:
        assert dict(verdict.faults) == dict(SHORT), told
