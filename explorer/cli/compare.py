"""`explorer compare`: the fronts of several studies side by side."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from explorer.api.analysis import Comparison


def compare(
    studies: Annotated[
        list[str], typer.Argument(metavar="STUDY_OR_DIR...", help="Two or more studies run here, or result folders.")
    ],
    objectives: Annotated[
        str | None, typer.Option("--objectives", metavar="A,B", help="Compare by these.", show_default="what all share")
    ] = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Write a page with the fronts as well.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
) -> None:
    """Compare fronts: hypervolumes up to one reference point, coverage, and differences of the declarations.

    C(A,B) is the share of B's front designs that a front design of A dominates or equals.
    """
    from explorer import api
    from explorer.api.analysis import comparison_json, write_comparison
    from explorer.cli.console import note, print_json, print_text

    names = [name.strip() for name in objectives.split(",")] if objectives is not None else None
    comparison = api.compare(studies, objectives=names)
    if output is not None:
        write_comparison(comparison, output)
    if as_json:
        print_json(comparison_json(comparison))
        return
    for text in comparison.notes:
        note(f"note: {text}")
    _print(comparison)
    if output is not None:
        print_text(str(output))


def _print(comparison: "Comparison") -> None:
    from explorer.api.results import n_rows
    from explorer.cli.console import print_prose, print_table

    letters = _letters(len(comparison.sides))
    rows = [
        [
            letter, side.label, side.n_complete, n_rows(side.front), side.n_surviving, f"{side.hypervolume:.5g}",
            _share(side.share), _share(side.reached),
        ]
        for letter, side in zip(letters, comparison.sides, strict=True)
    ]  # fmt: skip
    print_prose(f"Fronts by {', '.join(f'{o.name} ({o.direction[:3]}.)' for o in comparison.objectives)}")
    print_table(["", "study", "trials", "front", "on union", "hypervolume", "of union", "of its exact"], rows)
    point = ", ".join(f"{value:g}" for value in comparison.reference_point)
    print_prose(f"reference point {point}: {comparison.reference_origin}")
    print_prose(f"union: {comparison.union_size} points, hypervolume {comparison.union_hypervolume:.5g}")
    print_prose("\nC: the share of the column's front that the row's front dominates or equals")
    shares = comparison.coverage.tolist()
    print_table(["", *letters], [[a, *map(_share, line)] for a, line in zip(letters, shares, strict=True)])
    _print_changes(comparison, letters)


def _print_changes(comparison: "Comparison", letters: list[str]) -> None:
    from explorer.cli.console import print_prose, print_table

    if not comparison.changes:
        print_prose("\nNothing changed: declarations, models, seeds and versions are the same.")
    elif len(letters) == 2:
        print_prose(f"\nWhat changed ({letters[0]} -> {letters[1]})")
        for change in comparison.changes:
            print_prose(f"  {change.what}: {' -> '.join(change.values)}")
    else:
        print_prose("\nWhat differs")
        print_table(["", *letters], [[change.what, *change.values] for change in comparison.changes])


def _letters(n: int) -> list[str]:
    """Name studies shortly: A to Z, and by numbers where there are more."""
    return [chr(ord("A") + i) for i in range(n)] if n <= 26 else [str(i + 1) for i in range(n)]


def _share(value: float) -> str:
    return "-" if value != value else f"{value:.1%}"  # noqa: PLR0124 - NaN is the one number unlike itself
