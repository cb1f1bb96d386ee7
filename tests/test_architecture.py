"""The house: folders read from left to right, heavy libraries live in one place, and what ships is whole."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from explorer.io.files import shipped_folder
from explorer.models.evaluation import make_problem
from explorer.models.loading import load_evaluator
from explorer.problem.study import read_space, read_study

ROOT = Path(__file__).parent.parent / "explorer"
# Folders from left to right, and the rooms of each (folders or single files) from left to right: a module imports only
# from its own room and from what stands before it.
HOUSE = {
    "errors": (),
    "units": (),
    "io": ("files", "file_lock", "outputs", "npz", "catalog", "csv_text", "declarations", "json_text", "tables"),
    "paper": ("equations", "tables", "audit"),
    "devices": ("device_tree", "meters", "operating_points", "device", "machines", "opp_tables"),
    "problem": (
        "targets", "columns", "naming", "applicability", "csv_columns", "constraints",
        "design_space", "workload", "objectives", "scenarios",
        "declarations", "opp_import", "space_builder", "study",
    ),
    "network": ("graph", "reference", "compression", "task", "measurement"),
    "models": (
        "evaluator", "samples", "forms", "diagnostics", "measured", "fitting", "response", "machine", "posterior_draws",
        "intervals", "worst_case", "limits", "evaluation", "h100", "scaffold", "model_files", "online", "predict",
        "quality", "loading",
    ),
    "pareto": (
        "geometry", "results", "exact_front", "optimum", "acquisition", "comparison", "decision", "explanation",
        "uncertainty",
    ),
    "search": (
        "encoding", "enqueued", "storage", "trial_table", "measured_designs", "dashboard", "session", "progress",
        "samplers", "fresh_start", "execution", "run_log", "single_process", "collect", "run",
    ),
    "deploy": ("device", "bundle", "verification"),
    "report": ("plots", "live", "pages"),
    "api": (
        "results", "audit", "machine", "plot", "samplers", "measurement", "models", "studies", "analysis", "selection",
        "deployment",
    ),
    "cli": (),
    "__main__": (),
}  # fmt: skip
MAX_LINES = 400
MAX_FILES = 12
# Folders that may import a library that is slow to import or that could be replaced. scipy: the fit and the Sobol scan
# are in models/, the rank correlation of two objectives in pareto/uncertainty/front_warnings.py.
HOMES = {
    "pydantic": {"io", "devices", "problem", "models", "pareto", "deploy"},  # schemas stand beside what writes them
    "pydantic_core": {"io"},
    "onnx": {"network"},
    "onnxruntime": {"network"},
    "scipy": {"models", "pareto"},
    "threadpoolctl": {"models"},
    "pandas": {"io", "pareto", "api"},
    "moocore": {"pareto"},
    "optuna": {"search"},
    "optuna_dashboard": {"search"},
    "sqlalchemy": {"search"},
    "distributed": {"search"},
    "dask": {"search"},
    "cloudpickle": {"models", "search"},
    "plotly": {"report"},
    "kaleido": {"report"},
    "typer": {"cli"},
    "rich": {"cli"},
    "torch": set(),
    "python_calamine": {"io"},
    "pyarrow": {"io"},
}
HEAVY = ("numpy", "pandas", "scipy", "optuna", "plotly", "pydantic", "moocore", "sqlalchemy", "distributed")
MODULES = sorted(path for path in ROOT.rglob("*.py") if "_shipped" not in path.parts)


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _imported(path: Path) -> Iterator[str]:
    """Yield the full name of everything that a module imports, inside functions and for the type checker too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{_name(path)} imports relatively: the full name says the layer"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _rooms(name: str) -> tuple[int, int]:
    """Return the folder and the room of a module's full name as their places from the left; a folder alone is -1."""
    parts = name.split(".")[1:]
    rooms = HOUSE[parts[0]]
    return [*HOUSE].index(parts[0]), rooms.index(parts[1]) if len(parts) > 1 and parts[1] in rooms else -1


@pytest.mark.slow
def test_a_module_imports_only_from_its_left() -> None:
    """Between folders and between the rooms of a folder; `explorer/__init__.py` imports names when they are used."""
    wrong = []
    for path in MODULES:
        importer = ".".join(("explorer", *path.relative_to(ROOT).with_suffix("").parts))
        if path in {ROOT / "__init__.py", ROOT / "api/__init__.py"}:
            continue
        wrong += [
            f"{importer} imports {name}"
            for name in _imported(path)
            if name.startswith("explorer.") and name != "explorer.__version__" and _rooms(name) > _rooms(importer)
        ]

    assert not wrong


def test_the_top_level_holds_nothing_else() -> None:
    """What a command or a test wrote into the checkout is not committed."""
    root = ROOT.parent
    if not (root / ".git").exists():
        pytest.skip("no checkout of git: the tracked files are unknown")
    done = subprocess.run(["git", "ls-files"], cwd=root, capture_output=True, text=True, check=True)
    tops = {line.partition("/")[0] for line in done.stdout.splitlines()}

    assert {name for name in tops if not name.startswith(".")} == {
        "pyproject.toml", "README.md", "CHANGELOG.md", "LICENSE", "explorer", "search_spaces", "studies", "tests",
    }  # fmt: skip


def test_folders_and_files_have_a_readable_size() -> None:
    """At most 12 Python files a folder (the command line has one a command), at most 400 lines a file."""
    folders = {path.parent for path in MODULES} - {ROOT / "cli"}

    assert not [folder for folder in folders if len([*folder.glob("*.py")]) > MAX_FILES]
    assert not [_name(path) for path in MODULES if path.read_text(encoding="utf-8").count("\n") > MAX_LINES]


def test_importing_explorer_imports_nothing_else_of_ours() -> None:
    """But for the list of names in `api`, which imports a module when a name of it is first used."""
    body = ast.parse((ROOT / "__init__.py").read_text(encoding="utf-8")).body
    outside = [node for node in body if isinstance(node, ast.Import | ast.ImportFrom)]

    assert {node.module for node in outside if isinstance(node, ast.ImportFrom)} == {
        "types",
        "typing",
        "explorer",
        "explorer.api",
    }


def test_public_names_equal_those_for_type_checkers() -> None:
    import explorer

    (typed,) = [node for node in ast.parse((ROOT / "api/__init__.py").read_text(encoding="utf-8")).body
                if isinstance(node, ast.If)]  # fmt: skip
    names = [alias.name for node in typed.body if isinstance(node, ast.ImportFrom) for alias in node.names]

    assert sorted(names) == list(explorer.__all__)


def test_no_public_name_stands_for_two_things() -> None:
    """A command's name is its function in `api` and in `cli`, and nothing else anywhere."""
    homes: dict[str, set[str]] = {}
    for path in MODULES:
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef | ast.FunctionDef) and not node.name.startswith("_"):
                folder = path.relative_to(ROOT).parts[0]
                homes.setdefault(node.name, set()).add(folder if folder in {"api", "cli"} else _name(path))

    def n_meanings(where: set[str]) -> int:
        return len(where - {"api", "cli"}) + (not where.isdisjoint({"api", "cli"}))

    assert not {name: where for name, where in homes.items() if n_meanings(where) > 1}


def test_the_command_line_calls_only_the_python_face() -> None:
    wrong = [
        f"{path.name} imports {name}"
        for path in (ROOT / "cli").glob("*.py")
        for name in _imported(path)
        if name.startswith("explorer.") and name.split(".")[1] not in {"api", "cli", "errors", "units"}
    ]

    assert not wrong


@pytest.mark.slow
def test_a_library_is_imported_only_at_home() -> None:
    found: dict[str, set[str]] = {library: set() for library in HOMES}
    for path in MODULES:
        for library in {name.split(".")[0] for name in _imported(path)} & HOMES.keys():
            found[library].add(path.relative_to(ROOT).parts[0].removesuffix(".py"))

    assert not {library: homes - HOMES[library] for library, homes in found.items() if homes - HOMES[library]}


def test_modules_do_not_import_each_other_in_circles() -> None:
    graph = {
        "explorer." + _name(path).removesuffix(".py").replace("/", "."): [
            name for name in _imported(path) if name.startswith("explorer.")
        ]
        for path in MODULES
        if path.name not in {"__init__.py", "__main__.py"}
    }
    edges = {
        m: {n for n in (*names, *(x.rpartition(".")[0] for x in names)) if n in graph} for m, names in graph.items()
    }
    left = dict(edges)
    while free := [m for m, targets in left.items() if not targets & left.keys()]:
        for module in free:
            del left[module]

    assert not left, f"in a circle, or importing one: {sorted(left)}"


def test_a_module_begins_with_one_sentence_that_says_what_it_owns() -> None:
    first = {_name(path): (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "") for path in MODULES}

    assert not [name for name, text in first.items() if not text.split("\n")[0].endswith(".")]


def test_the_command_line_answers_without_heavy_imports() -> None:
    code = f"import sys, explorer.cli.app; print(sorted(set(sys.modules) & set({HEAVY})))"

    assert _python(code) == "[]"


def test_importing_explorer_costs_nothing() -> None:
    code = f"import sys, explorer; print(sorted(set(sys.modules) & {{*{HEAVY}, 'typer', 'rich'}}))"

    assert _python(code) == "[]"


def test_reading_results_and_choosing_import_no_model() -> None:
    slow = set(HEAVY) - {"numpy", "moocore"}
    code = f"import sys, explorer; explorer.load_results, explorer.choose; print(sorted(set(sys.modules) & {slow}))"

    assert _python(code) == "[]"


@pytest.mark.slow
def test_every_public_name_leads_somewhere() -> None:
    """In a fresh interpreter: each is imported when it is first used, in any order."""
    code = "import explorer; print(all(getattr(explorer, n) is not None for n in reversed(explorer.__all__)))"

    assert _python(code) == "True"


@pytest.mark.slow
def test_public_names_are_functions_whatever_was_imported_before() -> None:
    """`explorer.deploy`, `paper` and `report` are also subpackages, which Python sets as attributes when imported."""
    imports = "import explorer.deploy.bundle.build, explorer.paper.tables, explorer.report.pages.front"
    code = f"{imports}; print(all(map(callable, (explorer.deploy, explorer.paper, explorer.report))))"

    assert _python(code) == "True"


def test_an_unknown_public_name_is_an_attribute_error() -> None:
    import explorer

    with pytest.raises(AttributeError, match="module 'explorer' has no attribute 'beauty'"):
        _ = explorer.beauty  # type: ignore[attr-defined]
    assert set(explorer.__all__) < set(dir(explorer))


@pytest.mark.parametrize("path", sorted(shipped_folder("studies").glob("*.toml")), ids=lambda path: path.stem)
@pytest.mark.slow
def test_every_shipped_study_loads_with_its_model(path: Path) -> None:
    study = read_study(str(path))
    problem = make_problem(study, load_evaluator(study))

    assert study.title
    assert problem.sample(16)["is_feasible"].any()
    assert read_study(path.stem).sha256 == study.sha256


@pytest.mark.parametrize("path", sorted(shipped_folder("search_spaces").glob("*.toml")), ids=lambda path: path.stem)
def test_every_shipped_space_loads_and_has_a_family(path: Path) -> None:
    space = read_space(str(path))

    # A space of several families leaves them to its study, which must then name them.
    studies = [read_study(str(study)) for study in shipped_folder("studies").glob("*.toml")]
    assert space.families or any(one.name == path.stem and one.families for study in studies for one in study.spaces)
    assert space.file.title


def test_shipped_studies_include_those_of_the_contract() -> None:
    studies = {path.stem for path in shipped_folder("studies").glob("*.toml")}
    spaces = {path.stem for path in shipped_folder("search_spaces").glob("*.toml")}

    assert studies >= {"paper", "edp-accuracy", "energy-latency-accuracy", "power-cap", "all-families"}
    assert spaces >= {"cnn", "dnn", "rnn", "transformer"}


def _python(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT.parent, timeout=120
    )
    return done.stdout.strip()
