"""Faults on a real broker under a seeded stream, and what an uninterrupted worker makes of the same log."""
