"""A TCP proxy between the workers and the broker, whose network can be cut, go silent, and come back."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from enum import Enum
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from types import TracebackType

HOST = "127.0.0.1"
CHUNK_BYTES = 256 * 1024
START_S = 10.0


class Network(Enum):
    """What the proxy does with what it is given."""

    WELL = "well"
    CUT = "cut"  # connections end at once, and new ones are refused as soon as they are made
    SILENT = "silent"  # connections stay open and nothing passes: neither end is told


class Proxy:
    """Listens on a port of its own and passes everything on to `target_port`, in a thread with its own loop.

    The target may come and go: a connection that cannot be made is closed, as a broker that is down would.
    """

    def __init__(self, port: int, target_port: int) -> None:
        self.port = port
        self._target_port = target_port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._flowing = asyncio.Event()
        self._network = Network.WELL
        self._open: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        self._run(self._start())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._run(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(START_S)
        self._loop.close()

    def be(self, network: Network) -> None:
        """Change the weather; returns when it has changed."""
        self._run(self._be(network))

    def _run(self, work: Coroutine[None, None, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(START_S)

    async def _start(self) -> None:
        self._flowing.set()
        self._server = await asyncio.start_server(self._accept, HOST, self.port)

    async def _stop(self) -> None:
        if self._server is not None:
            self._server.close()
        await self._drop_all()

    async def _be(self, network: Network) -> None:
        self._network = network
        if network is Network.SILENT:
            self._flowing.clear()
        else:
            self._flowing.set()
        if network is Network.CUT:
            await self._drop_all()

    async def _drop_all(self) -> None:
        for task in tuple(self._open):
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if self._network is Network.CUT or task is None:
            writer.transport.abort()
            return
        self._open.add(task)
        try:
            await self._pass_on(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._open.discard(task)
            writer.transport.abort()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._flowing.wait()
        far_reader, far_writer = await asyncio.open_connection(HOST, self._target_port)
        there = asyncio.ensure_future(self._copy(reader, far_writer))
        back = asyncio.ensure_future(self._copy(far_reader, writer))
        try:
            await asyncio.wait({there, back}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            far_writer.transport.abort()
            for one in (there, back):
                one.cancel()
            await asyncio.gather(there, back, return_exceptions=True)

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(CHUNK_BYTES):
                await self._flowing.wait()
                writer.write(data)
                await writer.drain()
