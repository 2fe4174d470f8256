"""Boosted trees of depth three: what many signs of a crowd say together, as a log likelihood ratio.

One sign alone misleads: strangers come to what goes round, newcomers to what is advertised, and a class follows its
teacher at once. Which signs come together tells them from a bought crowd. A tree asks three questions, and a forest
adds up what its trees answer; fitted offline (`detectors.boosting`) and shipped, walked here.
"""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

import numpy as np
from msgspec import Meta, Struct

from detectors.compiled import compiled
from detectors.subject_rows import TREES

QUESTIONS, ANSWERS = 7, 8
"""Of a tree of depth three: a question at each inner node, in the order of levels, and an answer at each leaf."""


class Tree(Struct, frozen=True):
    """One tree: at inner node `i` a sign at or above its limit leads to node `2 i + 2`, below it to `2 i + 1`."""

    signs: Annotated[tuple[int, ...], Meta(min_length=QUESTIONS, max_length=QUESTIONS)]
    limits: Annotated[tuple[float, ...], Meta(min_length=QUESTIONS, max_length=QUESTIONS)]
    nats: Annotated[tuple[float, ...], Meta(min_length=ANSWERS, max_length=ANSWERS)]


class Forest(Struct, frozen=True):
    """Trees whose answers are added up, by the names of the signs that they ask for."""

    signs: tuple[str, ...]
    trees: Annotated[tuple[Tree, ...], Meta(min_length=1, max_length=TREES)]

    def __post_init__(self) -> None:
        """Check that every tree asks for signs that there are.

        Raises:
            ValueError: naming the place that is none.

        """
        for tree in self.trees:
            if not all(0 <= sign < len(self.signs) for sign in tree.signs):
                raise ValueError(f"a tree asks for the signs {tree.signs}; there are {len(self.signs)}")

    def nats_of(self, signs: Any) -> Any:
        """Return the nats of cases, shape (n, signs) to (n,).

        >>> tree = Tree((0, 1, 1, 0, 0, 0, 0), (1.0, 2.0, 3.0, 0.0, 0.0, 0.0, 0.0), (1, 2, 3, 4, 5, 6, 7, 8))
        >>> Forest(("one", "other"), (tree,)).nats_of(np.array([[0.5, 2.5], [1.5, 2.5]])).tolist()
        [4.0, 6.0]
        """
        total = np.zeros(len(signs))
        for tree in self.trees:
            asked, limits, answers = np.array(tree.signs), np.array(tree.limits), np.array(tree.nats, np.float64)
            node = np.zeros(len(signs), np.int64)
            for _ in range(3):
                above = signs[np.arange(len(signs)), asked[node]] >= limits[node]
                node = 2 * node + 1 + above
            total += answers[node - QUESTIONS]
        return total


class Folded(NamedTuple):
    """A forest as arrays of a rule."""

    asked: np.ndarray[Any, np.dtype[np.int16]]  # (TREES, QUESTIONS)
    limits: np.ndarray[Any, np.dtype[np.float32]]  # (TREES, QUESTIONS)
    answers: np.ndarray[Any, np.dtype[np.float32]]  # (TREES, ANSWERS)
    used: int


def fold(forest: Forest | None) -> Folded:
    """Return a forest as the compiled loop walks it; without one there are no trees."""
    folded = Folded(
        np.zeros((TREES, QUESTIONS), np.int16),
        np.zeros((TREES, QUESTIONS), np.float32),
        np.zeros((TREES, ANSWERS), np.float32),
        0 if forest is None else len(forest.trees),
    )
    for place, tree in enumerate(forest.trees if forest is not None else ()):
        folded.asked[place], folded.limits[place], folded.answers[place] = tree.signs, tree.limits, tree.nats
    return folded


@compiled
def walk_trees(rule: Any, signs: Any) -> float:
    """Return what a rule's trees say of signs, in nats."""
    total = 0.0
    asked, limits, answers = rule["asked"], rule["limits"], rule["answers"]
    for tree in range(int(rule["trees"])):
        node = 0
        while node < QUESTIONS:
            node = 2 * node + (2 if signs[asked[tree, node]] >= limits[tree, node] else 1)
        total += float(answers[tree, node - QUESTIONS])
    return total
