"""Task module: a user's Python file with data(), and predict or score, which the command names."""

import ast
import hashlib
import importlib
import importlib.util
import sys
import traceback
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from explorer.errors import WrongUsage

PYTHON = "python:"
_MAX_IMPORTS = 1_000
_FUNCTIONS = {"predict": "predict(run, inputs)", "score": "score(run, inputs, y)"}


@dataclass(frozen=True, slots=True)
class TaskModule:
    """Python module with data(), and predict or score. Its text travels to other processes, which execute it there.

    Args:
        name: path of a Python file, or name of an installed module.
        text: source text of the file; empty for an installed module.
        imports_sha256: SHA-256 of the files beside it that it imports; empty if there are none.
    """

    name: str
    text: str = field(default="", repr=False)
    imports_sha256: str = ""

    @property
    def source(self) -> str:
        """Name as shown to the user."""
        return f"{PYTHON}{self.name}"

    @property
    def sha256(self) -> str:
        """SHA-256 of the source text and of the files beside it that it imports; of the name of an installed module."""
        return hashlib.sha256(((self.text or self.name) + self.imports_sha256).encode()).hexdigest()

    def data(self) -> tuple[Any, Any]:
        """Return inputs and labels as the module loads them.

        Raises:
            WrongUsage: the module cannot be executed, or has no such function.
        """
        if self.function("data") is None:
            raise WrongUsage(f"{self.source}: has no function data()", fix="write `def data(): return x, y`")
        returned = self.guarded(_loaded(self).data)
        if not isinstance(returned, tuple) or len(returned) != 2:
            raise WrongUsage(f"{self.source}: data() does not return two values", fix="return (x, y)")
        return returned

    def function(self, name: str) -> Callable[..., Any] | None:
        """Return a function of the module, None if it has none.

        Raises:
            WrongUsage: the module cannot be executed, or the name is no function.
        """
        function = getattr(_loaded(self), name, None)
        if function is not None and not callable(function):
            call = _FUNCTIONS.get(name, f"{name}()")
            raise WrongUsage(f"{self.source}: {name} is not a function", fix=f"write `def {call}: ...`")
        return function

    def guarded(self, call: Callable[[], Any]) -> Any:
        """Call code of the user, with its prints on stderr.

        Raises:
            WrongUsage: it failed.
        """
        try:
            with redirect_stdout(sys.stderr):  # its prints are not data
                return call()
        except (Exception, SystemExit) as error:
            raise WrongUsage(
                f"{self.source}: {raised(error, source=self.source)}", fix="correct that module"
            ) from error


def raised(error: BaseException, *, source: str) -> str:
    """Return an exception of the user's code in words, with the last line of the module that led to it."""
    path = source.removeprefix(PYTHON)
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == path]
    return f"{type(error).__name__}: {error}" + (f" (line {lines[-1]})" if lines else "")


def load_module(name: str) -> TaskModule:
    """Execute a Python file (`./task.py`) or a module on Python's path, and return it.

    Raises:
        WrongUsage: it does not exist, or raises an exception.
    """
    path = Path(name)
    if not name.endswith(".py"):
        module = TaskModule(name)
        _loaded(module)
        return module
    if not path.is_file():
        raise WrongUsage(f"{path}: no such file", fix="give the path of a Python file with data()")
    try:
        text = path.read_text(encoding="utf-8")
        module = TaskModule(name, text, digest_imports(text, path.parent))
    except (OSError, UnicodeDecodeError) as error:
        raise WrongUsage(f"{path}: cannot be read: {error}", fix="give a Python file in UTF-8") from None
    _loaded(module)
    return module


def digest_imports(text: str, folder: Path) -> str:
    """Return the SHA-256 of the Python files of a folder that a source text imports, directly or through each other.

    A score that calls a helper beside it changes with the helper: rows of both must not be mixed.
    """
    contents: dict[Path, str] = {}
    texts = [text]
    while texts and len(contents) < _MAX_IMPORTS:
        try:
            nodes = [*ast.walk(ast.parse(texts.pop()))]
        except (SyntaxError, ValueError):  # reported when it is executed
            continue
        names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
        names += [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]
        for name in names:
            stem = folder / name.replace(".", "/")
            for file in (stem.with_name(f"{stem.name}.py"), stem / "__init__.py"):
                if name and file not in contents and file.is_file():
                    contents[file] = file.read_text(encoding="utf-8")
                    texts.append(contents[file])
    if not contents:
        return ""
    ordered = sorted((str(file.relative_to(folder)), content) for file, content in contents.items())
    return hashlib.sha256(repr(ordered).encode()).hexdigest()


def _loaded(task: TaskModule) -> ModuleType:
    """Return the executed module; a file is executed once a process for each of its texts."""
    if not task.text and not task.name.endswith(".py"):
        return _installed(task)
    key = f"explorer_task_{hashlib.sha256(f'{task.name} {task.text}'.encode()).hexdigest()[:32]}"
    if key in sys.modules:
        return sys.modules[key]
    module = ModuleType(key)
    module.__file__ = task.name
    folder = str(Path(task.name).parent.absolute())
    if folder not in sys.path:
        sys.path.insert(0, folder)  # as for a script: imports from its folder work
    sys.modules[key] = module
    try:
        task.guarded(lambda: exec(compile(task.text, task.name, "exec"), module.__dict__))  # noqa: S102
    except BaseException:
        del sys.modules[key]
        raise
    return module


def _installed(task: TaskModule) -> ModuleType:
    try:
        is_missing = importlib.util.find_spec(task.name) is None
    except (ImportError, ValueError):
        is_missing = True
    if is_missing:
        fix = f"name an installed module, or {PYTHON}./FILE.py"
        raise WrongUsage(f"{task.source}: no such module", fix=fix)
    module: ModuleType = task.guarded(lambda: importlib.import_module(task.name))
    return module
