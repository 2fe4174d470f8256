"""Ten million accounts and as many keywords, `make oncall-test`: the metrics stay as many as they were."""

from __future__ import annotations

import asyncio

import pytest

from tests.streams.test_cardinality import counted

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3_600)]

DISTINCT = 10_000_000
EACH = 40_000


def test_ten_million_accounts_and_keywords_make_no_new_series() -> None:
    first, *later = asyncio.run(counted(DISTINCT // EACH, EACH, ["searches"]))
    assert set(later) == {first}
    assert first < 2_000
