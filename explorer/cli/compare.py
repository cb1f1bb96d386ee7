"""`explorer compare`: the fronts of several studies side by side."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from explorer.api.analysis import Comparison, RobustnessPrice


def compare(
    studies: Annotated[
        list[str], typer.Argument(metavar="STUDY_OR_DIR...", help="Two or more studies run here, or result folders.")
    ],
    objectives: Annotated[
        str | None, typer.Option("--objectives", metavar="A,B", help="Compare by these.", show_default="what all share")
    ] = None,
    is_nominal: Annotated[
        bool, typer.Option("--nominal", help="Compare one study's front with that without its scenarios.")
    ] = False,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Write a page with the fronts as well.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is no page of explorer's.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
) -> None:
    """Compare fronts: hypervolumes up to one reference point, coverage, and differences of the declarations.

    With --nominal, compare the exact front whose limits hold in every scenario with the exact nominal front.
    C(A,B) is the share of B's front designs that a front design of A dominates or equals.
    """
    from explorer import api
    from explorer.api.analysis import comparison_json
    from explorer.cli.console import note, print_json, print_text
    from explorer.errors import WrongUsage

    if is_nominal:
        if output is not None or objectives is not None:
            raise WrongUsage("--nominal excludes -o and --objectives", fix="leave them out; --json has all numbers")
        _compare_with_nominal(studies, as_json=as_json)
        return
    names = [name.strip() for name in objectives.split(",")] if objectives is not None else None
    comparison = api.compare(studies, objectives=names, output=output, force=force)
    if as_json:
        print_json(comparison_json(comparison))
        return
    for text in comparison.notes:
        note(f"note: {text}")
    _print(comparison)
    if output is not None:
        print_text(str(output))


def _compare_with_nominal(studies: list[str], *, as_json: bool) -> None:
    from explorer.api.analysis import compare_with_nominal, robustness_json
    from explorer.cli.console import print_json
    from explorer.errors import WrongUsage

    if len(studies) != 1:
        raise WrongUsage(f"--nominal is given with {len(studies)} studies", fix="give one study with scenarios")
    price = compare_with_nominal(studies[0])
    if as_json:
        print_json(robustness_json(price))
    else:
        _print_price(price)


def _print_price(price: "RobustnessPrice") -> None:
    from explorer.api.results import column_of
    from explorer.cli.console import print_prose, print_table, print_text

    print_prose(f"Fronts of {price.study} by {', '.join(f'{o.name} ({o.direction[:3]}.)' for o in price.objectives)}")
    print_table(
        ["", "front", "hypervolume", "of nominal"],
        [
            ["nominal", f"{price.n_nominal:,}", f"{price.nominal_hypervolume:.5g}", "100.0%"],
            ["robust", f"{price.n_robust:,}", f"{price.robust_hypervolume:.5g}", _share(1 - price.lost)],
        ],
    )
    point = ", ".join(f"{value:g}" for value in price.reference_point)
    print_prose(f"reference point {point}; values without deviations")
    print_prose(f"{price.n_broken:,} of {price.n_nominal:,} nominal designs break a limit in some scenario")
    for name, n in price.broken:
        print_prose(f"{n:,} break {name}", indent="  ")
    print_text("")
    rows = [
        [
            one.objective.name, *(column_of(one.objective.name).text(value) for value in (one.nominal, one.robust)),
            _share(one.median), _share(one.largest),
        ]
        for one in price.prices
    ]  # fmt: skip
    title = "Price of robustness, losses at equal others"
    print_table(["objective", "best nominal", "best robust", "median loss", "largest loss"], rows, title=title)
    print_text("")
    print_prose(f"{len(price.cases)} cases: {'; '.join(price.cases)}")


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
