"""Errors: what, where and how to mend it; one exit code a kind."""

import pytest

from explorer.errors import (
    ExplorerError,
    Fault,
    Interrupted,
    InvalidFile,
    MeasurementFailed,
    MissingPart,
    NoFeasibleDesign,
    OutOfRange,
    UnknownName,
    WrongUsage,
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
        (MissingPart("torch", needed_for="gp", extra="gp"), 5),
        (Interrupted("what", fix="how"), 130),
    ],
)
def test_every_kind_of_error_has_its_exit_code_and_a_cure(error: ExplorerError, code: int) -> None:
    """The codes of contract.md."""
    assert error.exit_code == code
    assert isinstance(error, ExplorerError)
    assert str(error) == f"{error.problem}\n  fix: {error.fix}"


def test_one_fault_of_a_file_stands_in_one_line() -> None:
    assert (
        str(InvalidFile("a.toml", [Fault("[x] y", "is wrong", "mend it")])) == "a.toml: [x] y: is wrong\n  fix: mend it"
    )


def test_a_fault_of_the_whole_file_names_no_place() -> None:
    assert str(InvalidFile("a.toml", [Fault("", "is empty", "fill it")])) == "a.toml: is empty\n  fix: fill it"


def test_several_faults_are_listed_each_with_its_cure() -> None:
    text = str(InvalidFile("a.toml", [Fault("x", "is one", "do this"), Fault("", "is two", "do that")]))

    assert text == (
        "a.toml: 2 faults\n  x: is one\n    fix: do this\n  is two\n    fix: do that\n"
        "  fix: mend all of the above, then run again"
    )


def test_a_misspelt_name_gets_the_nearest_and_a_strange_one_all() -> None:
    known = ["accuracy", "edp_js", "energy_j"]

    assert suggestion("accurcy", known) == "did you mean 'accuracy'?"
    assert suggestion("zzz", known) == "choose one of: accuracy, edp_js, energy_j"


def test_what_is_missing_comes_with_the_line_that_installs_it() -> None:
    error = MissingPart("torch", needed_for="sampler 'gp'", extra="gp")

    assert str(error) == "torch is not installed; sampler 'gp' needs it\n  fix: pip install 'explorer[gp]'"
