"""One thread for linear algebra: with thousands of small solves, threads cost several times what they save."""

from contextlib import AbstractContextManager
from functools import cache
from typing import Any, cast

from threadpoolctl import ThreadpoolController


@cache
def _controller() -> ThreadpoolController:
    """Return the thread controller, cached: to search the libraries takes longer than a fit of few rows."""
    return ThreadpoolController()


def one_thread() -> AbstractContextManager[Any]:
    """Limit linear algebra to one thread while the context is open."""
    return cast("AbstractContextManager[Any]", _controller().limit(limits=1))
