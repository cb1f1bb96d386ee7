"""Comparison page: the fronts in one plot, their hypervolumes, pairwise coverage, and differences between studies."""

import math
from pathlib import Path

from explorer.io.files import write_text
from explorer.pareto.comparison.compare import Comparison
from explorer.problem.columns import column_of, n_rows
from explorer.report.pages.html import Block, Grid, Heading, Paragraph, Plot, Tag, render_page
from explorer.report.plots.comparison import plot_comparison


def write_comparison(comparison: Comparison, path: Path) -> None:
    """Write the comparison page atomically.

    Raises:
        WrongUsage: the folder cannot be written.
    """
    write_text(path, comparison_page(comparison))


def comparison_page(comparison: Comparison) -> str:
    """Return the comparison as the text of one HTML file that needs no network."""
    labels = [side.label for side in comparison.sides]
    wanted = " against ".join(f"{o.name} ({o.direction[:3]}.)" for o in comparison.objectives)
    blocks: list[Block] = [Paragraph(f"{note}.") for note in comparison.notes]
    blocks.append(
        Plot(
            plot_comparison(comparison),
            "Each front is recomputed in these objectives from all feasible designs of its study. Values are "
            "predictions: fronts that are closer than a design's interval cannot be ranked. Hover over a design for "
            "its knobs. Click the legend to hide a front or to show the reference point.",
        )
    )
    blocks += [Heading("Hypervolume"), _sizes(comparison)]
    blocks += [Heading("Coverage"), _coverage(comparison, labels)]
    blocks += [Heading("Differences between the studies"), _changes(comparison, labels)]
    return render_page(title=", ".join(labels), lead=f"The fronts of {wanted}.", blocks=blocks)


def _sizes(comparison: Comparison) -> Grid:
    point = ", ".join(
        column_of(o.name).text(value) if column_of(o.name).symbol else f"{o.name} {value:g}"
        for o, value in zip(comparison.objectives, comparison.reference_point, strict=True)
    )
    headers = [
        "Study",
        "Evaluated designs",
        "Front designs",
        "On the union's front",
        "Hypervolume",
        "% of the union's",
        "% of its exact front's",
    ]
    rows = [
        [
            side.label,
            str(side.n_complete),
            str(n_rows(side.front)),
            str(side.n_surviving),
            f"{side.hypervolume:.5g}",
            share_text(side.share),
            share_text(side.reached),
        ]
        for side in comparison.sides
    ]
    return Grid(
        headers,
        rows,
        f"Hypervolume up to the reference point {point} ({comparison.reference_origin}). The front of the union has "
        f"{comparison.union_size} designs and hypervolume {comparison.union_hypervolume:.5g}. The last column is the "
        "share of its own exact front that each search reached, in its own objectives and reference point.",
    )


def _coverage(comparison: Comparison, labels: list[str]) -> Grid:
    rows = [
        [label, *[share_text(value) for value in line]]
        for label, line in zip(labels, comparison.coverage.tolist(), strict=True)
    ]
    return Grid(
        ["Front", *[f"% covered of {label}" for label in labels]],
        rows,
        "Share of the other front's designs that a design of the row's front dominates or equals (C metric of "
        "Zitzler and Thiele, 1999). It counts designs and ignores by how much they are dominated.",
    )


def _changes(comparison: Comparison, labels: list[str]) -> Block:
    if not comparison.changes:
        return Paragraph("None: the declarations, models, seeds and versions are the same.")
    rows: list[list[str | Tag]] = [[change.what, *change.values] for change in comparison.changes]
    return Grid(["Item", *labels], rows, "Declarations, models, seeds and versions that differ.")


def share_text(share: float) -> str:
    """Return a share as percent text; '-' if it is not defined.

    >>> share_text(0.5), share_text(math.nan)
    ('50.0', '-')
    """
    return "-" if math.isnan(share) else f"{share * 100:.1f}"
