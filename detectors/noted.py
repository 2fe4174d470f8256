"""The ids behind suspects: kept while they are under suspicion, since later actions no longer carry them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from detectors.suspects import SAMPLE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from detectors.actions import Actions


@dataclass(slots=True)
class Noted:
    """The ids of one suspect: the subject, whom it serves, the clicked note, and some of the suspicious actors."""

    generation: int
    subject: str
    owner: str | None
    item: str | None
    actors: list[str] = field(default_factory=list)


class Notebook:
    """The ids of all suspects, by place in the pool, so at most as many entries as that has places."""

    def __init__(self) -> None:
        self._noted: dict[int, Noted] = {}

    def see(self, place: int, held: Any, actions: Actions, index: int) -> None:
        """Note down what the action at `index` names of the suspect in `place`, who has just been told of it."""
        sampled = int(held["sampled"])
        new = 0 < sampled <= SAMPLE and int(held["sample"][sampled - 1]) == int(actions.actor[index])
        self.take_down(place, int(held["generation"]), actions, index, sampled=new)

    def take_down(self, place: int, generation: int, actions: Actions, index: int, *, sampled: bool) -> None:
        """Note down the same; `sampled` says whether the action's actor is new in the suspect's sample."""
        find = actions.names.find
        noted = self._noted.get(place)
        if noted is None or noted.generation != generation:
            subject = int(actions.subject[index])
            owner, item = int(actions.owner[index]), int(actions.item[index])
            # An id that its source did not carry is told by its hash, which is at least the same every time.
            noted = Noted(
                generation,
                find(subject) or f"#{subject:016x}",
                find(owner) if owner else None,
                find(item) if item else None,
            )
            self._noted[place] = noted
        if sampled:
            name = find(int(actions.actor[index]))
            if name is not None and name not in noted.actors:
                noted.actors.append(name)

    def of(self, place: int) -> Noted:
        """Return what is noted of the suspect in `place`, which has been noted down before."""
        return self._noted[place]

    def entries(self) -> dict[int, Noted]:
        """Return what is noted by place, those included whose place has another holder by now."""
        return dict(self._noted)

    def restore(self, entries: Mapping[int, Noted]) -> None:
        """Take these in place of all that is noted."""
        self._noted = dict(entries)

    def __len__(self) -> int:
        return len(self._noted)

    @property
    def bytes_resident(self) -> int:
        """Bytes held, about: an id is at most 128 bytes of UTF-8."""
        return sum(400 + 90 * len(noted.actors) for noted in self._noted.values())
