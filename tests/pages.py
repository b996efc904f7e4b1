"""Open pages without a browser: each keeps a live line, and fetches itself again whenever something is new, as the page's script does."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import httpx


class Opened:
    """Some pages, and what became of them."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.told = 0
        """Words that arrived on all lines together."""
        self.fetched = 0
        self.refused = 0
        self.over = False
        self._lines: list[asyncio.StreamWriter] = []

    def close(self) -> None:
        """Hang up every line; what is being fetched comes to its end, so that no connection is left half used."""
        self.over = True
        for line in self._lines:
            line.close()

    async def page(self, number: int, http: httpx.AsyncClient) -> None:
        """One of them, until it is closed."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        self._lines.append(writer)
        words = f"GET /live?{number} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        writer.write(f"{words}Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode())
        try:
            assert b" 101 " in await reader.readline()
            await reader.readuntil(b"\r\n\r\n")
            while not self.over:
                first, length = await reader.readexactly(2)
                size = length if length < 126 else int.from_bytes(await reader.readexactly(2 if length == 126 else 8), "big")
                payload = await reader.readexactly(size)
                if first & 0x0F == 9:  # ping: answered, or we are hung up on
                    writer.write(bytes([0x8A, 0x80 | size, 0, 0, 0, 0]) + payload)
                    continue
                self.told += 1
                answer = await http.get("/")
                self.fetched += answer.status_code == 200
                self.refused += answer.status_code != 200
        except (asyncio.IncompleteReadError, ConnectionError):
            if not self.over:
                raise
        finally:
            await hung_up(writer)


async def hung_up(writer: asyncio.StreamWriter) -> None:
    """The line is closed, whoever closed it first."""
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()


@asynccontextmanager
async def opened(port: int, pages: int) -> AsyncIterator[Opened]:
    """So many, until the end of the block."""
    made = Opened(port)
    limits = httpx.Limits(max_connections=pages)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=30, limits=limits) as http:
        tasks = [asyncio.create_task(made.page(number, http)) for number in range(pages)]
        try:
            yield made
        finally:
            failed = [task.exception() for task in tasks if task.done()]
            made.close()
            await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 60)
            assert not failed, failed
