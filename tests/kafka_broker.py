"""The real broker for tests: a given one, else one of our own, else a skip that says what is lacking."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

from deploy.kafka.broker import KafkaBroker
from deploy.kafka.errors import FetchFailed, ToolMissing
from tests.conftest import lacking

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

GIVEN_BROKER = "BOOSTWATCH_TEST_KAFKA"


@contextmanager
def running_broker(data_dir: Path, settings: Mapping[str, str] | None = None) -> Iterator[KafkaBroker]:
    """Start a broker on a free port, stop it in the end and keep only its log; `settings` go over its own.

    Where Java, Maven or the jars can't be had the test is skipped with that reason; a broker that
    does not come up is a failure.
    """
    broker = KafkaBroker(data_dir, short_lived=True, settings=settings)
    try:
        broker.start()
    except (ToolMissing, FetchFailed) as error:
        lacking(f"no real Kafka here: {error} (or name a broker in {GIVEN_BROKER})")
    try:
        yield broker
    finally:
        broker.stop()
        shutil.rmtree(data_dir / "logs", ignore_errors=True)


def given_broker() -> str | None:
    """Return the ``host:port`` that the tests are told to use, if any."""
    return os.environ.get(GIVEN_BROKER) or None
