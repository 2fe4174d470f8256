"""The decorators of compiled loops, which `schemas` needs too and so holds."""

from __future__ import annotations

from schemas.compiled import allocating, compiled, inlined

__all__ = ["allocating", "compiled", "inlined"]
