"""What every test shares: skips that say why, and that CI turns into failures."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest

REQUIRE_ALL = os.environ.get("BOOSTWATCH_REQUIRE_ALL") == "1"


def lacking(reason: str) -> NoReturn:
    """Skip for what this machine lacks, or fail where the whole suite is demanded (CI)."""
    if REQUIRE_ALL:
        pytest.fail(f"BOOSTWATCH_REQUIRE_ALL is set, and {reason}")
    pytest.skip(reason)
