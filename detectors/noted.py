"""The ids behind suspects: kept while they are under suspicion, since later actions no longer carry them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from detectors.suspects import SAMPLE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

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
        self.take_down(actions, np.array([[index, place, int(held["generation"]), new]], np.int64))

    def take_down(self, actions: Actions, wanted: NDArray[np.int64]) -> None:
        """Note down what some actions name of suspects, in their order.

        `wanted`, shape (k, 4), is of each the action, the suspect's place and its generation, and whether the action's
        actor is new in the suspect's sample.
        """
        rows = wanted[:, 0]
        subject, owner, item, actor = (
            column[rows] for column in (actions.subject, actions.owner, actions.item, actions.actor)
        )
        new = np.array(self._are_new(wanted.tolist()), np.bool_)
        asked = np.concatenate([subject[new], owner[new], item[new], actor[wanted[:, 3] != 0]])
        names = dict(zip(asked.tolist(), actions.names.find_all(asked), strict=True))
        columns = (new.tolist(), subject.tolist(), owner.tolist(), item.tolist(), actor.tolist())
        for (_, place, generation, sampled), fresh, hit, served, clicked, who in zip(
            wanted.tolist(), *columns, strict=True
        ):
            if fresh:
                self._noted[place] = Noted(
                    generation,
                    # An id that its source did not carry is told by its hash, which is at least the same every time.
                    names[hit] or f"#{hit:016x}",
                    names[served] if served else None,
                    names[clicked] if clicked else None,
                )
            noted = self._noted[place]
            if sampled and (name := names[who]) is not None and name not in noted.actors:
                noted.actors.append(name)

    def _are_new(self, wanted: list[list[int]]) -> list[bool]:
        """Say of which rows of `take_down` the suspect is not noted down before them."""
        holders: dict[int, int | None] = {}
        new = []
        for _, place, generation, _ in wanted:
            noted = self._noted.get(place)
            new.append(holders.get(place, noted and noted.generation) != generation)
            holders[place] = generation
        return new

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
