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
    """Return all figures of the paper, drawn from a table; plotly figures by file name."""
    return {figure.key: figure.draw(table) for figure in FIGURES}


def paper_page(
    *,
    figures: Mapping[str, Any],
    claims: Sequence[AuditedStatement],
    tables: Mapping[str, tuple[Sequence[str], Sequence[Sequence[str]]]],
) -> str:
    """Return the page as the text of one HTML file.

    Args:
        figures: from `paper_figures`.
        claims: from `audit`, for the same table.
        tables: headers and formatted rows by title.
    """
    meaning = "Conditional: true only under the assumption given. Uncheckable: the tables lack the numbers."
    blocks: list[Block] = [Heading("Audit results"), Paragraph(f"{summary(claims)} {meaning}")]
    blocks.append(
        Grid(
            headers=("verdict", "where", "statement", "recomputed"),
            rows=[
                (Tag(claim.verdict, _TONES[claim.verdict]), claim.section, claim.statement, claim.computed)
                for claim in claims
            ],
        )
    )
    blocks.append(Heading("Figures"))
    for figure in FIGURES:
        blocks += [Heading(figure.title, level=3), Plot(figures[figure.key], caption=figure.caption)]
    blocks.append(Heading("Tables"))
    blocks += [Grid(headers, rows, caption=title) for title, (headers, rows) in tables.items()]
    lead = (
        f"Source: {SOURCE}. All figures and verdicts are computed from the two tables below. "
        "The statements are paraphrased."
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
