"""What can go wrong with the local broker. Standard library only, like everything in this folder."""

# ruff: noqa: N818 -- `except ToolMissing` says what happened; a suffix on each would say nothing more
from __future__ import annotations


class LocalKafkaError(Exception):
    """The local broker can't do what was asked; the message is one line and says what to do."""


class ToolMissing(LocalKafkaError):
    """Java or Maven is not installed: install it, or point boostwatch at a broker that you have."""


class FetchFailed(LocalKafkaError):
    """The jars could not be had or are not the pinned ones: see what Maven said, then try again."""


class StartFailed(LocalKafkaError):
    """The broker did not come up: read the line quoted from its log, then the log."""
