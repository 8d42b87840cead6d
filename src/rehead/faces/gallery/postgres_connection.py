"""A connection to PostgreSQL by asyncpg, called from code that is not asynchronous, and its errors.

asyncpg reads URL, environment (PGPASSWORD and the like), ~/.pgpass and the service file as libpq does. Its
event loop runs in a thread of its own, so that a caller may have one too, as notebooks do.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import threading
from collections.abc import Coroutine, Iterable, Iterator, Sequence
from typing import Any

from ...errors import DamagedGalleryError, DataError, GalleryError, MissingExtraError, OutputError
from .place import PostgresPlace

__all__ = ["PostgresConnection"]

_CONNECT = 10.0  # seconds to connect, libpq's advice in interactive use
_TIMEOUT = 30.0  # seconds for other writers, as in a file
_IDLE = 60.0  # seconds after which the server rolls back a writer that has stopped in the middle
_BATCH = 5000  # rows that are sent at once, of a kilobyte each
_CLOSE = 5.0  # seconds to say goodbye

_GONE = ("08", "57P01", "57P02", "57P05", "25P03", "25P04")
_DENIED = ("42501", "25006")
_RIGHTS = (
    "grant the role what it needs: USAGE on the schema and SELECT on its tables, to write also INSERT, "
    "UPDATE and DELETE; to make a gallery, CREATE on the database"
)


class PostgresConnection:
    """A connection that is opened again where it was lost.

    Parameters
    ----------
    place : PostgresPlace

    Raises
    ------
    GalleryError
        The server cannot be reached, or refuses the role.
    MissingExtraError
        asyncpg is not installed.
    """

    def __init__(self, place: PostgresPlace) -> None:
        try:
            import asyncpg
        except ImportError as error:
            raise MissingExtraError(
                "a gallery on PostgreSQL needs asyncpg: pip install 'rehead[postgres]'"
            ) from error
        self._asyncpg, self._place = asyncpg, place
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="asyncpg", daemon=True)
        self._thread.start()
        try:
            self._connection = self._connect()
        except BaseException:
            self._end_loop()
            raise

    def _run(self, work: Coroutine[Any, Any, Any]) -> Any:
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def _connect(self) -> Any:
        settings = {
            "application_name": "rehead",
            "search_path": self._place.schema,
            "lock_timeout": f"{_TIMEOUT:.0f}s",
            "idle_in_transaction_session_timeout": f"{_IDLE:.0f}s",
        }
        with self._errors():
            try:
                return self._run(
                    self._asyncpg.connect(self._place.url, timeout=_CONNECT, server_settings=settings)
                )
            except TimeoutError:
                said = f"no answer within {_CONNECT:.0f} seconds"
            except OSError as error:
                said = error.strerror or type(error).__name__
            except (self._asyncpg.InterfaceError, ValueError):  # their words may hold parts of a password
                raise GalleryError(
                    f"{self._place}: the URL or a PG... variable cannot be used; see "
                    "https://www.postgresql.org/docs/current/libpq-connect.html"
                ) from None
        raise GalleryError(
            f"{self._place}: the server cannot be reached ({said}); look whether it runs, and at host "
            "and port"
        )

    def fetch(self, statement: str, values: Sequence[Any], *, reconnect: bool) -> list[Any]:
        """Carry out a statement; all rows that it gives."""
        if reconnect and self._connection.is_closed():
            self._connection = self._connect()
        with self._errors():
            rows: list[Any] = self._run(self._connection.fetch(statement, *values))
            return rows

    def execute_many(self, statement: str, rows: Iterable[tuple[Any, ...]]) -> None:
        """Carry out a statement for each row of values."""
        waiting = iter(rows)  # taken here: what gives them may not be used in the loop's thread
        while batch := list(itertools.islice(waiting, _BATCH)):
            with self._errors():
                self._run(self._connection.executemany(statement, batch))

    def commit(self) -> None:
        """End the transaction; GalleryError says so where it is not known whether it was made."""
        try:
            self.fetch("COMMIT", (), reconnect=False)
        except GalleryError as error:
            raise GalleryError(
                f"{error}; whether the last change was made is not known: `rehead faces gallery list` shows "
                "it"
            ) from error

    def roll_back(self) -> None:
        """End the transaction, with the connection where that is lost, or Ctrl-C has come between."""
        try:
            self._run(self._connection.execute("ROLLBACK"))
        except (self._asyncpg.PostgresError, self._asyncpg.InterfaceError, OSError):
            self._loop.call_soon_threadsafe(self._connection.terminate)

    def close(self) -> None:
        """Close it; nothing where it is closed."""
        if self._loop.is_closed():
            return
        with contextlib.suppress(OSError, self._asyncpg.PostgresError, self._asyncpg.InterfaceError):
            self._run(self._connection.close(timeout=_CLOSE))
        self._end_loop()

    def _end_loop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    # errors

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        """Turn asyncpg's errors inside the block into ones that name the gallery and the next step."""
        try:
            yield
        except self._asyncpg.PostgresError as error:
            if (ours := self._translated(error)) is None:
                raise
            raise ours from error
        except (self._asyncpg.InterfaceError, OSError, EOFError) as error:
            if not hasattr(self, "_connection") or not self._connection.is_closed():
                raise
            raise self._lost() from error

    def _lost(self) -> GalleryError:
        return GalleryError(
            f"{self._place}: the connection to the server was lost, and what had not been reported as done "
            "was rolled back; give the command again when the server runs"
        )

    def _translated(self, error: Any) -> Exception | None:
        code, place = error.sqlstate or "", self._place
        said = str(error.args[0]).splitlines()[0] if error.args else type(error).__name__
        if code.startswith(_GONE):
            return self._lost()
        if code in ("57P03", "53300", "40001"):
            return GalleryError(f"{place}: the server cannot be used at present ({said}); try again")
        if code.startswith("28"):
            return GalleryError(
                f"{place}: the server refuses ({said}); give role and password in the URL, PGUSER and "
                "PGPASSWORD, or ~/.pgpass"
            )
        if code == "3D000":
            return GalleryError(f"{place}: {said}; have it made with `CREATE DATABASE`")
        if code in _DENIED:
            return OutputError(f"{place}: not allowed ({said}); {_RIGHTS}")
        if code == "55P03":
            return GalleryError(
                f"{place}: another process has been writing to the gallery for {_TIMEOUT:.0f} seconds; try "
                "again when it is done"
            )
        if code.startswith(("53", "58")):
            return OutputError(f"{place}: the gallery cannot be read or written ({said})")
        if code == "22021":
            return DataError(f"{place}: a text cannot be stored in PostgreSQL ({said})")
        if code.startswith(("23", "3F", "42P01", "42703", "XX001", "XX002")):
            return DamagedGalleryError(
                f"{place}: not a gallery, or a damaged one ({said}); restore a copy, or enrol anew into "
                "another"
            )
        return None
