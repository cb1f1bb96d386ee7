"""Main loop of a local worker process: one call at a time over standard input and output; starts in milliseconds.

A frame is a length of eight bytes and a pickle. The process lives as long as its standard input: after any end of the
coordinator the worker kills its own process group, including every program that a measurement has started.
"""

import os
import pickle
import signal
import struct
import sys
import threading
from queue import SimpleQueue
from typing import BinaryIO

HEADER = struct.Struct("<Q")
READY = b"ready"


def write_frame(stream: BinaryIO, payload: bytes) -> None:
    """Write one frame.

    Raises:
        OSError: the peer has closed the pipe.
    """
    stream.write(HEADER.pack(len(payload)) + payload)
    stream.flush()


def read_frame(stream: BinaryIO) -> bytes | None:
    """Read one frame; None at the end of the stream, also within a frame."""
    header = stream.read(HEADER.size)
    if len(header) < HEADER.size:
        return None
    (n,) = HEADER.unpack(header)
    payload = stream.read(n)
    return payload if len(payload) == n else None


def serve() -> None:
    """Answer calls until an empty frame."""
    inbox, outbox = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    # Output of a measurement must not mix with the frames, and its reads must not consume them.
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(2, 1)
    if sys.platform != "win32":
        # A forked child that outlives this process must not keep the pipes open: its death would go unnoticed.
        os.register_at_fork(after_in_child=lambda: [os.dup2(null, file.fileno()) for file in (inbox, outbox)])
    calls: SimpleQueue[bytes] = SimpleQueue()
    threading.Thread(target=_receive, args=(inbox, calls), daemon=True).start()
    try:
        write_frame(outbox, READY)
        while call := calls.get():
            write_frame(outbox, _answer(call))
    except (OSError, KeyboardInterrupt):  # coordinator dead, pipe closed by the measurement, or SIGINT
        os._exit(1)


def _answer(call: bytes) -> bytes:
    """Return the pickled result of a call, or of the exception that it raised."""
    try:
        function, args, kwargs = pickle.loads(call)  # noqa: S301 - from the coordinator's own pipe
        return pickle.dumps((True, function(*args, **kwargs)))
    except Exception as error:  # noqa: BLE001 - the coordinator decides
        return pickle.dumps((False, f"{type(error).__name__}: {error}"))


def _receive(inbox: BinaryIO, calls: "SimpleQueue[bytes]") -> None:
    try:
        while (frame := read_frame(inbox)) is not None:
            calls.put(frame)
            if not frame:
                return
    except OSError:  # a measurement closed the pipe: its answer could not be sent either
        os._exit(1)
    if sys.platform != "win32" and os.getpgid(0) == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


if __name__ == "__main__":
    serve()
