"""What can go wrong in operation, and what the operator does next.

```
BoostwatchError                 exit code 1
├── ConfigurationError          2   a setting, a flag on the command line or the settings file is wrong
├── BrokerError                 3   Kafka cannot do what is needed
│   ├── BrokerUnavailable           nobody answers at the address, or the log-in was refused
│   ├── TopicMissing                a topic that is needed is not there
│   ├── TopicMismatch               a topic is there, but not as it must be
│   ├── ProduceFailed               a record was not acknowledged
│   └── MembershipLost              the group went on without this worker
├── NoProgress                  4   records wait, and none was finished for too long
├── RecordedTrafficError        5   a directory of recorded traffic cannot be read
├── SchemasStale                6   the published schemas are not those of the code
├── DemoFailed                  7   the demo's pipeline did not do its work
└── StateUnreadable             8   a checkpoint cannot be restored
```

Only operational failures are in this tree: they reach the operator as one line and an exit code. A mistake in
the program is any other exception and keeps its traceback.
"""

# ruff: noqa: N818 -- `except TopicMissing` says what happened; a suffix on each would say nothing more
from __future__ import annotations

from typing import ClassVar


class BoostwatchError(Exception):
    """An operational failure: the message names the thing, its value and the next step."""

    exit_code: ClassVar[int] = 1


class ConfigurationError(BoostwatchError):
    """A setting is wrong. Correct the named variable or key; nothing was started."""

    exit_code = 2


class BrokerError(BoostwatchError):
    """Kafka cannot do what is needed. Look at the broker first, then at the settings that name it."""

    exit_code = 3


class BrokerUnavailable(BrokerError):
    """Nobody answers at the bootstrap address, or refuses the log-in. Start the broker or correct the address."""


class TopicMissing(BrokerError):
    """A topic that is needed is not there. Run `boostwatch topics`, or correct its name in the settings."""


class TopicMismatch(BrokerError):
    """A topic has another number of partitions or another policy than is needed. The message says which."""


class ProduceFailed(BrokerError):
    """A record was not acknowledged. The worker stops before it commits, so a restart sends it again."""


class MembershipLost(BrokerError):
    """The group went on without this worker, which was paused or cut off for too long. Start it again."""


class NoProgress(BoostwatchError):
    """Records wait and none was finished for too long. The process ends, so that its supervisor restarts it."""

    exit_code = 4


class RecordedTrafficError(BoostwatchError):
    """A directory of recorded traffic is missing, empty or cannot be read. Correct the path or the rights."""

    exit_code = 5


class SchemasStale(BoostwatchError):
    """The published schemas are not those of the code. Run `boostwatch schemas` and commit what it wrote."""

    exit_code = 6


class DemoFailed(BoostwatchError):
    """The demo's pipeline did not do its work. The message names the part; its log is printed before."""

    exit_code = 7


class StateUnreadable(BoostwatchError):
    """A checkpoint cannot be restored: garbage, another version, another configuration. Nothing was changed."""

    exit_code = 8
