"""From actions to meetings, as a replay goes: visits, and who met at them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from detectors.meetings import MeetingStage
from detectors.visits import TARGETS_MAX, VisitStage

if TYPE_CHECKING:
    from detectors.actions import Actions
    from detectors.meetings import Meetings


class MeetingFinder:
    """The stage that finds visits and the one that finds who met, one behind the other."""

    def __init__(self, targets_max: int = TARGETS_MAX) -> None:
        self.visits, self.meetings = VisitStage(targets_max), MeetingStage(targets_max)

    def apply(self, actions: Actions) -> Meetings:
        return self.meetings.apply(self.visits.apply(actions))
