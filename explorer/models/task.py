"""Tasks that measure a design in another process (stub)."""
import sys, types, linecache, hashlib, pickle
from dataclasses import dataclass
from typing import Any
UPLOADS_VARIABLE = "EXPLORER_UPLOADS"
@dataclass(frozen=True)
class SourceFunction:
    file: str
    name: str
    source: str
    def load(self):
        key = "explorer_measure_" + hashlib.sha256(self.source.encode()).hexdigest()[:16]
        module = sys.modules.get(key)
        if module is None:
            module = types.ModuleType(key); module.__file__ = self.file
            sys.modules[key] = module
            try:
                exec(compile(self.source, self.file, "exec"), module.__dict__)
            except BaseException:
                del sys.modules[key]; raise
        return getattr(module, self.name)
    def __call__(self, design):
        return self.load()(design)
_C = {}
def call_task(payload, design):
    f = _C.get(payload)
    if f is None: f = _C[payload] = pickle.loads(payload)
    try: return "ok", f(design)
    except Exception as e: return "failed", f"{type(e).__name__}: {e}"
def dump_task(f):
    import cloudpickle
    return cloudpickle.dumps(f)
