"""The end of a demo in words: each attack with whether and when it was flagged, and what was flagged wrongly."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from streams.flag_text import duration_text
from streams.logs import printable

if TYPE_CHECKING:
    from rich.console import Console

    from streams.comparison import Benign, Comparison, Episode, Found

OTHERS_MAX = 10


def print_comparison(console: Console, result: Comparison) -> None:
    """Print the comparison, a line for each attack and each benign episode, and the count of each in the end."""
    console.print("\nattacks", style="bold")
    for found in result.attacks:
        console.print(_attack_text(found))
    console.print("\nepisodes that look like attacks and are none", style="bold")
    for quiet, episodes in result.benign:
        console.print(_benign_text(quiet, episodes))
    if result.others:
        console.print("\nflagged beside them", style="bold")
        for episode in result.others[:OTHERS_MAX]:
            flag = episode.first
            subject = f"{flag.subject.type.value} {printable(flag.subject.id)}"
            console.print(f"  {flag.kind.value:16} {subject}, score {flag.score:.3f}", markup=False)
        if len(result.others) > OTHERS_MAX:
            console.print(f"  … and {len(result.others) - OTHERS_MAX} more")
    console.print(
        f"\n{result.flagged} of {len(result.attacks)} attacks flagged; {result.wronged} of {len(result.benign)} benign "
        f"episodes flagged; {len(result.others)} other flags"
    )


def _attack_text(found: Found) -> Text:
    attack = found.attack
    text = Text(f"  {attack.kind.value:16} {attack.subject.type.value} {printable(attack.subject.id)}")
    if attack.note_id and attack.note_id != attack.subject.id:
        text.append(f" for note {printable(attack.note_id)}")
    text.append(f", {attack.shape}: ")
    if found.flag is None or found.delay_ms is None:
        return text.append("not flagged", style="bold red")
    text.append(f"flagged after {duration_text(found.delay_ms)}", style="bold green")
    if found.delivered is not None:
        text.append(f", with {found.delivered:.0%} of its {len(attack.times)} actions delivered")
    return text.append(f", score {found.flag.score:.3f}")


def _benign_text(quiet: Benign, episodes: list[Episode]) -> Text:
    text = Text(f"  {quiet.family:16} {quiet.subject.type.value} {printable(quiet.subject.id)}: ")
    if not episodes:
        return text.append("not flagged", style="green")
    kinds = ", ".join(sorted({episode.first.kind.value for episode in episodes}))
    return text.append(f"flagged as {kinds}", style="bold red")
