"""Advisory lock of a run in PostgreSQL, owned by a session whose application name identifies the run."""

import datetime
import hashlib
import os
import platform
import re
import secrets
import time
from contextlib import suppress

from sqlalchemy import Connection, create_engine, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from explorer.search.storage.open import driver_url, engine_args
from explorer.search.storage.retry import is_transient

_MAX_ATTEMPTS, _PAUSE_S = 20, 0.1
_MAX_HOST_CHARS = 20  # PostgreSQL truncates application_name to 63 bytes
# The server frees the lock of an unreachable client after 40 s; Linux's default keepalive takes two hours.
_SET_UP = text(
    "SELECT set_config('application_name', :name, false), set_config('tcp_keepalives_idle', '20', false),"
    " set_config('tcp_keepalives_interval', '5', false), set_config('tcp_keepalives_count', '4', false)"
)
_ACQUIRE = text("SELECT pg_try_advisory_lock(:key)")
_HOLDER = text(
    "SELECT a.pid, a.application_name FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid"
    " WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1"
    " AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    " AND CAST(l.classid AS bigint) = :high AND CAST(l.objid AS bigint) = :low"
)


class AdvisoryLock:
    """Session-level advisory lock on a study in a PostgreSQL database.

    The server frees it with the session: when the process ends, and when the server restarts. It does not work through
    a connection pooler in transaction mode.
    """

    def __init__(self, url: str, study: str) -> None:
        self._engine = create_engine(
            driver_url(url), poolclass=NullPool, isolation_level="AUTOCOMMIT", **engine_args(url)
        )
        digest = hashlib.sha256(f"explorer run\0{study}".encode()).digest()
        self._key = int.from_bytes(digest[:8], signed=True)
        since = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        self._name = f"explorer {os.getpid()} {platform.node()[:_MAX_HOST_CHARS]} {since} {secrets.token_hex(2)}"
        self._session: Connection | None = None

    def acquire(self) -> str:
        """Acquire the lock; return '' or its holder.

        Raises:
            SQLAlchemyError: the server cannot be reached.
        """
        if self._session is None:
            self._session = self._engine.connect()
            self._session.execute(_SET_UP, {"name": self._name})
        key = {"high": self._key >> 32 & 0xFFFFFFFF, "low": self._key & 0xFFFFFFFF}
        for _ in range(_MAX_ATTEMPTS):
            if self._session.execute(_ACQUIRE, {"key": self._key}).scalar():
                return ""
            row = self._session.execute(_HOLDER, key).first()
            if row is not None and row.application_name != self._name:
                return _describe_holder(row.pid, row.application_name)
            if row is not None:  # a broken session of this process that the server has not yet ended
                self._session.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": row.pid})
            time.sleep(_PAUSE_S)
        return "a session that does not end"

    def is_alive(self) -> bool:
        """Return True while the session that owns the lock is connected; close it otherwise."""
        if self._session is None:
            return False
        try:
            self._session.exec_driver_sql("SELECT 1")
        except SQLAlchemyError as error:
            if not is_transient(error):
                raise
            self.close()
            return False
        return True

    def close(self) -> None:
        """Release the lock."""
        session, self._session = self._session, None
        if session is not None:
            with suppress(SQLAlchemyError):
                session.invalidate()
                session.close()


def _describe_holder(pid: int, name: str) -> str:
    holder = re.fullmatch(r"explorer (\d+) (.*) (\S+) \w{4}", name)
    return "process {} on {}, since {}".format(*holder.groups()) if holder else f"session {pid} of '{name}'"
