"""Errors: the fact, its location and the fix; one exit code for each class."""

import re
import tomllib
from pathlib import Path

import pytest

from explorer.errors import (
    EXTRAS,
    MAX_LISTED_FAULTS,
    ExplorerError,
    Fault,
    Interrupted,
    InvalidFile,
    MeasurementFailed,
    MissingPart,
    NoFeasibleDesign,
    OutOfRange,
    UnknownName,
    VerificationFailed,
    WrongUsage,
    limit_faults,
    suggestion,
)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (WrongUsage("what", fix="how"), 2),
        (OutOfRange("alpha", 2, allowed="[0, 1]", fix="how"), 2),
        (UnknownName("where", "x", ["y"]), 2),
        (InvalidFile("file", [Fault("where", "what", "how")]), 3),
        (NoFeasibleDesign("what", fix="how"), 4),
        (MeasurementFailed("what", fix="how"), 4),
        (VerificationFailed("what", fix="how"), 4),
        (MissingPart("torch", needed_for="gp", extra="gp"), 5),
        (Interrupted("what", fix="how"), 130),
    ],
)
def test_each_error_class_has_its_exit_code_and_a_fix(error: ExplorerError, code: int) -> None:
    assert error.exit_code == code
    assert isinstance(error, ExplorerError)
    assert str(error) == f"{error.problem}\n  fix: {error.fix}"


def test_single_fault_is_printed_in_one_line() -> None:
    error = InvalidFile("a.toml", [Fault("[x] y", "is wrong", "change it")])

    assert str(error) == "a.toml: [x] y: is wrong\n  fix: change it"


def test_fault_of_a_whole_file_has_no_location() -> None:
    assert str(InvalidFile("a.toml", [Fault("", "is empty", "fill it")])) == "a.toml: is empty\n  fix: fill it"


def test_several_faults_are_listed_with_their_fixes() -> None:
    text = str(InvalidFile("a.toml", [Fault("x", "is one", "do this"), Fault("", "is two", "do that")]))

    assert text == (
        "a.toml: 2 faults\n  x: is one\n    fix: do this\n  is two\n    fix: do that\n"
        "  fix: correct all of the above, then run again"
    )


def test_misspelt_name_gets_nearest_and_unknown_name_gets_all() -> None:
    names = ["accuracy", "edp_js", "energy_j"]

    assert suggestion("accurcy", names) == "did you mean 'accuracy'?"
    assert suggestion("zzz", names) == "choose one of: accuracy, edp_js, energy_j"


def test_missing_package_error_has_the_install_command() -> None:
    error = MissingPart("torch", needed_for="sampler 'gp'", extra="gp")

    assert str(error) == "torch is not installed; sampler 'gp' needs it\n  fix: pip install torch"
    assert MissingPart("onnx", needed_for="x", extra="onnx").fix == "pip install onnx onnxruntime"
    assert MissingPart("psycopg", needed_for="x", extra="postgresql").fix == "pip install 'psycopg[binary]'"


def test_install_commands_have_the_packages_of_pyproject() -> None:
    pyproject = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text(encoding="utf-8"))
    declared = {
        extra: tuple(re.split("[<>=!~;]", requirement)[0].strip() for requirement in requirements)
        for extra, requirements in pyproject["project"]["optional-dependencies"].items()
        if extra not in {"all", "dev"}
    }

    assert declared == EXTRAS


def test_faults_beyond_the_limit_are_counted() -> None:
    faults = limit_faults([Fault(f"row {i}", "is wrong", "change it") for i in range(MAX_LISTED_FAULTS + 7)])

    assert len(faults) == MAX_LISTED_FAULTS + 1
    assert str(faults[-1]) == "and 7 more: like these\n    fix: correct the first ones, then run again"
