"""Evaluation of a user's function in another process.

A cluster sends the text of this module to its workers, which need not have explorer installed. It therefore imports the
standard library only, and its text must be valid for every Python that a worker may run.
"""

import hashlib
import importlib
import io
import linecache
import numbers
import os
import pickle
import platform
import shutil
import sys
import sysconfig
import tempfile
import threading
import types
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MODULE = "explorer.models.measured.task"
_MAX_TEXT = 1_000
_MAX_TASKS = 8
_ANY_PYTHON = b"*"
_TIME_LIMIT_EXIT = 124  # as timeout(1)
_PLAIN = (str, int, float, bool, bytes, type(None))

_lock = threading.RLock()
_tasks: OrderedDict[str, Callable[[dict[str, Any]], object]] = OrderedDict()
_directories: list[str] = []  # the working directory at the start, then the uploads that replaced it


@dataclass(frozen=True, slots=True)
class SourceFunction:
    """Function of a user's Python file that travels as source text.

    Args:
        file: path of the file where it was read, for tracebacks.
        name: name of the function.
        source: text of the file.
    """

    file: str
    name: str
    source: str

    def __call__(self, design: Mapping[str, Any]) -> Any:
        """Call the function with a design; the file is executed once a process."""
        return self.load()(design)

    def load(self) -> Callable[[Mapping[str, Any]], Any]:
        """Return the function; the file is executed once a process.

        Raises:
            AttributeError: the file does not define it.
        """
        return getattr(self._module(), self.name)  # type: ignore[no-any-return]

    def _module(self) -> types.ModuleType:
        digest = hashlib.sha256(f"{self.file}\0{self.source}".encode()).hexdigest()
        name = f"explorer_function_{digest[:32]}"
        with _lock:
            if name in sys.modules:
                return sys.modules[name]
            module = types.ModuleType(name)
            module.__file__ = self.file
            # Without a modification time linecache keeps the text of a file that does not exist on this machine.
            linecache.cache[self.file] = (len(self.source), None, self.source.splitlines(keepends=True), self.file)
            sys.modules[name] = module
            try:
                exec(compile(self.source, self.file, "exec"), module.__dict__)  # noqa: S102
            except BaseException:
                del sys.modules[name]
                raise
            return module


def dump_task(function: Callable[[Mapping[str, Any]], Any]) -> bytes:
    """Serialize a function of a design.

    A `SourceFunction` runs under every version of Python. Other functions need the minor version of this process. Those
    of `__main__`, of a notebook and of modules outside the installed packages are pickled by value if possible.

    Raises:
        TypeError: the function cannot be serialized, such as a closure over a socket.
    """
    import cloudpickle

    version = _ANY_PYTHON if isinstance(function, SourceFunction) else _python_version()
    module = sys.modules.get(getattr(function, "__module__", None) or "")
    if module is not None and _is_user_module(module):
        cloudpickle.register_pickle_by_value(module)
        try:
            return version + b"\n" + bytes(cloudpickle.dumps(function))
        except Exception:  # noqa: BLE001, S110 - one of its globals cannot be pickled: by reference
            pass
        finally:
            cloudpickle.unregister_pickle_by_value(module)
    try:
        return version + b"\n" + bytes(cloudpickle.dumps(function))
    except Exception as error:  # PicklingError, TypeError, AttributeError, RecursionError and others
        name = getattr(function, "__qualname__", type(function).__name__)
        raise TypeError(f"{name} cannot be sent to another process: {error}") from error


def call_task(payload: bytes, design: dict[str, Any]) -> tuple[str, object, str]:
    """Call a function that `dump_task` serialized, with a design.

    Returns:
        "ok" and the value as plain Python objects, or "failed" and the exception in at most 1,000 characters, or
        "unusable" and the exception if the function cannot be loaded; then the name of this machine.
    """
    status = "unusable"
    try:
        function = _load_task(payload)
        if isinstance(function, SourceFunction):
            function.load()
        status = "failed"
        return "ok", _plain(function(dict(design))), platform.node()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - sys.exit() in a user's function fails one design
        return status, describe_exception(error), platform.node()


def describe_exception(error: BaseException) -> str:
    """Return type and text of an exception in at most 1,000 characters.

    >>> describe_exception(ValueError("no board"))
    'ValueError: no board'
    """
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - a user's own __str__
        text = "(its text cannot be shown)"
    return f"{type(error).__name__}: {text}"[:_MAX_TEXT]


def run_on_worker(
    call: bytes, *, time_limit: float | None, uploads: Mapping[str, str], worker: Callable[[], Any]
) -> object:
    """Run a serialized (function, args, kwargs) on a Dask worker.

    Args:
        call: functions of this module in it are taken from this copy of the module.
        time_limit: seconds after which the process ends, so that its nanny starts a new worker. Python code that holds
            the interpreter lock delays it. The scheduler drops a worker that does not answer for 5 minutes.
        uploads: name of each file for the function, and its name in the worker's directory.
        worker: gives the Dask worker, which has a `local_directory`.
    """
    if uploads or _directories:
        _change_directory(uploads, worker)
    function, args, kwargs = _Unpickler(io.BytesIO(call)).load()
    with _time_limit(time_limit):
        return function(*args, **kwargs)


class _Unpickler(pickle.Unpickler):
    """Unpickler that resolves names of this module in this copy of it."""

    def find_class(self, module: str, name: str) -> Any:
        return globals()[name] if module == MODULE else super().find_class(module, name)


def _load_task(payload: bytes) -> Callable[[dict[str, Any]], object]:
    digest = hashlib.sha256(payload).hexdigest()
    with _lock:
        if digest in _tasks:
            _tasks.move_to_end(digest)
            return _tasks[digest]
        version, _, pickled = payload.partition(b"\n")
        if version not in (_ANY_PYTHON, _python_version()):
            raise RuntimeError(
                f"the function comes from Python {version.decode()}, "
                f"this worker runs Python {_python_version().decode()}"
            )
        task = _Unpickler(io.BytesIO(pickled)).load()
        _tasks[digest] = task
        if len(_tasks) > _MAX_TASKS:
            _tasks.popitem(last=False)
        return task  # type: ignore[no-any-return]


def _plain(value: object) -> object:
    """Return a value as objects that every Python can unpickle, without numpy scalars and classes of the user."""
    if getattr(value, "size", 0) == 1 and hasattr(value, "item"):  # numpy scalars and arrays of one number
        value = value.item()
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if type(value) in _PLAIN:
        return value
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real):
        return float(value)
    return str(value) if isinstance(value, str) else repr(value)[:_MAX_TEXT]


def _python_version() -> bytes:
    return f"{sys.version_info.major}.{sys.version_info.minor}".encode()


def _is_user_module(module: types.ModuleType) -> bool:
    """Return True if a module is the user's own: not built in, not of the standard library or an installed package."""
    file = getattr(module, "__file__", None)
    if file is None or module.__name__ == "__main__" or module.__name__.partition(".")[0] == "explorer":
        return False
    path = Path(file)
    installed = {"site-packages", "dist-packages"} & set(path.parts)
    return not installed and not path.is_relative_to(sysconfig.get_path("stdlib"))


@contextmanager
def _time_limit(seconds: float | None) -> Iterator[None]:
    if seconds is None:
        yield
        return
    timer = threading.Timer(seconds, _end_process)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _end_process() -> None:
    """End this process at once, with the processes that a user's function has started."""
    with suppress(Exception):
        psutil = importlib.import_module("psutil")  # a dependency of Dask
        for child in psutil.Process().children(recursive=True):
            child.kill()
    os._exit(_TIME_LIMIT_EXIT)


def _change_directory(uploads: Mapping[str, str], worker: Callable[[], Any]) -> None:
    """Make the uploaded files the working directory, and importable; without uploads, return to the first directory."""
    with _lock:
        if not _directories:
            _directories.append(os.getcwd())  # noqa: PTH109
        target = _unpack(uploads, Path(worker().local_directory)) if uploads else _directories[0]
        if target == _directories[-1]:
            return
        for former in _directories[1:]:
            sys.path.remove(former)
        del _directories[1:]
        # The same names may now refer to other files: tasks and modules from the former ones are loaded again.
        _tasks.clear()
        for name, module in list(sys.modules.items()):
            if "explorer-uploads-" in (getattr(module, "__file__", None) or "") or name.startswith(
                "explorer_function_"
            ):
                del sys.modules[name]
        if uploads:
            _directories.append(target)
            sys.path.insert(0, target)
            importlib.invalidate_caches()
        os.chdir(target)


def _unpack(uploads: Mapping[str, str], directory: Path) -> str:
    """Return the folder with the uploaded files under their original names; it is created atomically."""
    digest = hashlib.sha256(repr(sorted(uploads.items())).encode()).hexdigest()[:16]
    folder = directory / f"explorer-uploads-{digest}"
    if not folder.is_dir():
        part = Path(tempfile.mkdtemp(dir=directory))
        for name, stored in uploads.items():
            shutil.copyfile(directory / stored, part / name)
        part.rename(folder)
    return str(folder)


IS_WHOLE = True  # last line: set only when the module is complete, in case another thread executes it
