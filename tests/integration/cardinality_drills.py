"""Ten million accounts and as many keywords, `make oncall-test`: the metrics stay as many as they were."""

from __future__ import annotations

import asyncio

import pytest

from tests.streams.test_cardinality import counted

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3_600)]

DISTINCT = 10_000_000
EACH = 8_000


def test_ten_million_accounts_and_keywords_make_no_new_series() -> None:
    async def run() -> None:
        first = None
        async for count in counted(DISTINCT // EACH, EACH, ["searches"]):
            first = first or count
            assert count == first < 2_000

    asyncio.run(run())
