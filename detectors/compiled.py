"""The decorators of compiled loops, which `schemas` needs too and so holds."""

from __future__ import annotations

from schemas.compiled import compiled, inlined

__all__ = ["compiled", "inlined"]
