"""Serialization of calls for Dask workers without explorer."""

import functools
import hashlib
import inspect
import pickle
from collections.abc import Callable, Mapping
from typing import Any

from explorer.models.measured import task


def portable_call(
    function: Callable[..., object],
    args: tuple[object, ...],
    kwargs: Mapping[str, object],
    *,
    time_limit: float | None,
    uploads: Mapping[str, str],
) -> bytes:
    """Serialize a call so that `pickle.loads(...)()` runs it where only Dask is installed.

    The function is in `models.measured.task`, or importable on the workers; `time_limit` and `uploads` are those of
    `run_on_worker`. Dask pickles importable objects by reference, even modules registered with cloudpickle by value,
    and the scheduler also unpickles every task. So a task is bytes and a call of `pickle.loads`.
    """
    import cloudpickle
    from distributed import get_worker

    call = cloudpickle.dumps((function, args, dict(kwargs)))
    run = functools.partial(_RunOnWorker(), call, time_limit=time_limit, uploads=dict(uploads), worker=get_worker)
    return pickle.dumps(run)


class _RunOnWorker:
    """`run_on_worker` of the module `task`, pickled as source text: cloudpickle's bytecode fits one Python version."""

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return eval, (_expression(),)

    def __call__(self, *args: Any, **kwargs: Any) -> object:
        """Run a call in this process."""
        return task.run_on_worker(*args, **kwargs)


@functools.cache
def _expression() -> str:
    """Return a Python expression for the function; it executes the module's source once per process."""
    text = inspect.getsource(task)
    name = f"explorer_task_{hashlib.sha256(text.encode()).hexdigest()[:16]}"
    module = f"__import__('sys').modules.setdefault({name!r}, __import__('types').ModuleType({name!r}))"
    return f"(lambda m: (hasattr(m, 'IS_WHOLE') or exec({text!r}, m.__dict__), m.run_on_worker)[1])({module})"
