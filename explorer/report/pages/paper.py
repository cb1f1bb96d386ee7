"""The page of the paper: its figures and tables again, and the audit of its claims."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from explorer.paper.audit.checks import VERDICTS, AuditedStatement, Verdict
from explorer.paper.tables import SOURCE, Table
from explorer.report.pages.html import Block, Grid, Heading, Paragraph, Plot, Tag, Tone, render_page
from explorer.report.plots.paper import FIGURES

_TONES: Mapping[Verdict, Tone] = {
    "agrees": "good", "disagrees": "bad", "conditional": "warn", "uncheckable": "neutral",
}  # fmt: skip


def paper_figures(table: Table) -> dict[str, Any]:
    """Draw every figure of the paper from a table; plotly figures by file name."""
    return {figure.key: figure.draw(table) for figure in FIGURES}


def paper_page(
    *,
    figures: Mapping[str, Any],
    claims: Sequence[AuditedStatement],
    tables: Mapping[str, tuple[Sequence[str], Sequence[Sequence[str]]]],
) -> str:
    """Return the page as one HTML file.

    Args:
        figures: as `paper_figures` gives them.
        claims: as `audit` gives them, for the same table.
        tables: headers and printed rows by title.
    """
    meaning = "Conditional: true under the assumption named only. Uncheckable: the tables do not say."
    blocks: list[Block] = [Heading("What the audit found"), Paragraph(f"{summary(claims)} {meaning}")]
    blocks.append(
        Grid(
            headers=("verdict", "where", "statement", "recomputed"),
            rows=[
                (Tag(claim.verdict, _TONES[claim.verdict]), claim.section, claim.statement, claim.computed)
                for claim in claims
            ],
        )
    )
    blocks.append(Heading("The figures"))
    for figure in FIGURES:
        blocks += [Heading(figure.title, level=3), Plot(figures[figure.key], caption=figure.caption)]
    blocks.append(Heading("The tables"))
    blocks += [Grid(headers, rows, caption=title) for title, (headers, rows) in tables.items()]
    lead = (
        f"Source: {SOURCE}. Every figure is drawn, and every verdict computed, from these two tables; "
        "statements are in our own words."
    )
    return render_page(title="The paper, reproduced and audited", lead=lead, blocks=blocks)


def summary(claims: Sequence[AuditedStatement]) -> str:
    """Count the verdicts in one sentence.

    >>> summary([])
    'Of 0 statements 0 agree, 0 disagree, 0 are conditional, 0 are uncheckable.'
    """
    count = Counter(claim.verdict for claim in claims)
    agree, disagree, conditional, uncheckable = (count[verdict] for verdict in VERDICTS)
    return (
        f"Of {len(claims)} statements {agree} agree, {disagree} disagree, {conditional} are conditional, "
        f"{uncheckable} are uncheckable."
    )
