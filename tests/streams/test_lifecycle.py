"""Why a worker ends, and with which exit code its supervisor hears of it."""

from __future__ import annotations

import pytest

from streams.errors import BrokerError, MembershipLost
from streams.lifecycle import Lifecycle
from streams.worker import exit_code

LOST = MembershipLost("the group went on without it")


def test_the_first_failure_is_the_exit_code() -> None:
    lifecycle = Lifecycle()
    assert exit_code(lifecycle) == 0
    lifecycle.fail(LOST)
    lifecycle.fail(ValueError("what follows from it"))
    assert exit_code(lifecycle) == MembershipLost.exit_code != 0


@pytest.mark.parametrize(("failure", "code"), [(LOST, 0), (BrokerError("gone"), BrokerError.exit_code)])
def test_who_is_left_behind_while_ending_as_asked_has_ended_in_order(failure: Exception, code: int) -> None:
    lifecycle = Lifecycle()
    lifecycle.request_stop()
    lifecycle.fail(failure)
    assert exit_code(lifecycle) == code


def test_who_is_left_behind_before_anybody_asked_is_to_be_started_again() -> None:
    lifecycle = Lifecycle()
    lifecycle.fail(LOST)
    lifecycle.request_stop()
    assert exit_code(lifecycle) == MembershipLost.exit_code
