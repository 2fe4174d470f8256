"""Carries out the schedule, one fault after the other, and tells what it does."""

from __future__ import annotations

import threading
import time
from collections import Counter
from typing import TYPE_CHECKING

from tests.chaos.proxy import Network
from tests.chaos.schedule import Event, Fault

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.chaos.cluster import Cluster
    from tests.chaos.supervisor import Supervisor
    from tests.chaos.watcher import Watcher

WORKERS_MIN, WORKERS_MAX = 1, 3

BREATH_S = 2.0
"""Between two faults at the least, also where a slow broker's start has delayed them."""


class Director:
    """Does to the workers and the broker what the schedule says. `done` counts what was."""

    def __init__(
        self, cluster: Cluster, supervisor: Supervisor, watcher: Watcher, session_s: float, tell: Callable[[str], None]
    ) -> None:
        self._cluster, self._supervisor, self._watcher = cluster, supervisor, watcher
        self._session_s = session_s
        self._tell = tell
        self.done: Counter[Fault] = Counter()
        self._afterwards: list[threading.Thread] = []

    def follow(self, events: list[Event], origin_s: float, look: Callable[[], None]) -> None:
        """Carry out all of it; `look` is called while waiting. A fault that is still on delays the next one."""
        over_s = 0.0
        for event in events:
            while (wait_s := max(origin_s + event.at_s, over_s + BREATH_S) - time.monotonic()) > 0:
                look()
                time.sleep(min(wait_s, 0.25))
            self._carry_out(event)
            over_s = time.monotonic()
            look()
        for thread in self._afterwards:
            thread.join()

    def _carry_out(self, event: Event) -> None:
        {
            Fault.KILL: self._kill,
            Fault.BROKER: self._restart_broker,
            Fault.REBALANCE: self._rebalance,
            Fault.CUT: self._cut,
            Fault.SILENCE: self._cut,
            Fault.ZOMBIE: self._zombie,
        }[event.fault](event)

    def _choose(self, event: Event) -> int | None:
        """Return the place of a worker that runs; waits a little for one after a fault that took all."""
        end_s = time.monotonic() + 10.0
        while not (running := self._supervisor.running):
            if time.monotonic() > end_s:
                return None
            time.sleep(0.1)
        return running[int(event.pick * len(running))]

    def _been(self, event: Event, told: str) -> None:
        self.done[event.fault] += 1
        self._watcher.mark(event.fault.value)
        self._tell(f"{event.fault.value}: {told}")

    def _kill(self, event: Event) -> None:
        place = self._choose(event)
        if place is not None and self._supervisor.kill(place, event.lasts_s):
            self._been(event, f"worker {place}, the next after {event.lasts_s:.1f} s")

    def _restart_broker(self, event: Event) -> None:
        broker = self._cluster.broker
        if broker is None:
            return
        began_s = time.monotonic()
        broker.kill()
        time.sleep(event.lasts_s)
        broker.start()
        self._been(event, f"gone for {time.monotonic() - began_s:.1f} s")

    def _rebalance(self, event: Event) -> None:
        places = self._supervisor.places
        spare = [place for place in range(WORKERS_MAX) if place not in places]
        if len(places) <= WORKERS_MIN or (spare and event.pick < 0.5):
            self._supervisor.want(spare[0])
            self._been(event, f"worker {spare[0]} comes")
            return
        going = self._supervisor.running or places  # a frozen one comes back first
        place = going[int(event.pick * 997) % len(going)]
        code = self._supervisor.release(place)
        self._been(event, f"worker {place} goes, exit code {code}")

    def _cut(self, event: Event) -> None:
        if self._cluster.proxy is None:
            return
        self._cluster.proxy.be(Network.CUT if event.fault is Fault.CUT else Network.SILENT)
        time.sleep(event.lasts_s)
        self._cluster.proxy.be(Network.WELL)
        self._been(event, f"for {event.lasts_s:.1f} s")

    def _zombie(self, event: Event) -> None:
        place = self._choose(event)
        if place is None or not self._supervisor.freeze(place):
            return
        length_s = self._session_s + event.lasts_s
        # Meanwhile the rest goes on, and so do the faults.
        thread = threading.Timer(length_s, self._wake, (event, place, length_s))
        thread.daemon = True
        thread.start()
        self._afterwards.append(thread)
        self._tell(f"zombie: worker {place} is frozen")

    def _wake(self, event: Event, place: int, length_s: float) -> None:
        if self._supervisor.thaw(place):
            self._been(event, f"worker {place} goes on after {length_s:.1f} s")
