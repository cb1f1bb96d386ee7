"""Every quantitative or comparative statement of the paper's results, as data, and its audit against Tables 1-2."""

from explorer.paper.statements_columns import COLUMNS
from explorer.paper.statements_hardware import HARDWARE
from explorer.paper.statements_networks import NETWORKS
from explorer.paper.tables import Table, paper_table
from explorer.paper.verdicts import Claim, Statement

STATEMENTS: tuple[Statement, ...] = (*NETWORKS, *HARDWARE, *COLUMNS)


def audit(table: Table | None = None) -> tuple[Claim, ...]:
    """Recompute every statement from a table and say whether it holds.

    Args:
        table: columns of the ten samples, as `parse_table` gives them; the paper's own by default.

    Returns:
        One claim for each statement: those of the text in the paper's order, then relations between the columns.

    Source: the paper's abstract, sections 4.1-4.8 and conclusion (V). Statements are in our own words.

    >>> {claim.id: claim.verdict for claim in audit()}["edp-lowest"]
    'disagrees'
    """
    asked = paper_table() if table is None else table
    return tuple(_audited(statement, asked) for statement in STATEMENTS)


def _audited(statement: Statement, table: Table) -> Claim:
    found = statement.check(table)
    return Claim(
        id=statement.id,
        section=statement.section,
        statement=statement.statement,
        computed=found.computed,
        verdict=found.verdict,
    )
