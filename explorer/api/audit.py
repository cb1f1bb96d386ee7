"""The source paper: its tables and figures, and the audit of its statements."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from explorer.errors import MissingPart
from explorer.io.files import MAX_DECLARATION_BYTES, read_text, write_text
from explorer.io.json_text import write_json
from explorer.io.outputs import Kind, check_output
from explorer.paper.audit.checks import AuditedStatement
from explorer.paper.audit.statements import audit
from explorer.paper.tables import Table, paper_table, parse_table
from explorer.report.pages.paper import paper_figures, paper_page, summary
from explorer.report.plots.images import FORMATS, NoBrowser, write_images

__all__ = ["Audit", "AuditedStatement", "paper"]

# Header, column, and one printed unit in SI.
_TABLE_1 = (
    ("#", "sample", 1.0), ("sample", "name", 1.0), ("epochs", "epochs", 1.0), ("batch", "batches", 1.0),
    ("GMAC", "mac_ops", 1e9), ("Gmem", "mem_accesses", 1e9), ("pJ/MAC", "mac_energy_j", 1e-12),
    ("pJ/mem", "access_energy_j", 1e-12), ("P_avg W", "average_power_w", 1.0), ("T s", "inference_time_s", 1.0),
    ("R", "pruning_ratio", 1.0),
)  # fmt: skip
_TABLE_2 = (
    ("sample", "name", 1.0), ("Δ", "quant_step", 1.0), ("MB", "original_size_bytes", 1e6),
    ("→MB", "compressed_size_bytes", 1e6), ("CR", "compression_ratio", 1.0), ("V", "voltage_v", 1.0),
    ("GHz", "frequency_hz", 1e9), ("nF", "capacitance_f", 1e-9), ("TOPS", "throughput_ops", 1e12),
    ("W", "power_w", 1.0), ("acc", "accuracy", 1.0), ("E J", "total_energy_j", 1.0), ("EDP J·s", "edp_js", 1.0),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Audit:
    """The paper's tables with the verdicts on its statements.

    Args:
        table: the ten samples, SI.
        claims: a statement each, with what the table gives for it.
        source: the file of a changed table; None for the paper's own.
    """

    table: Table
    claims: tuple[AuditedStatement, ...]
    source: Path | None = None

    @property
    def frame(self) -> pd.DataFrame:
        """The statements with their verdicts, one row each."""
        return pd.DataFrame(asdict(claim) for claim in self.claims)

    @property
    def summary(self) -> str:
        """The number of statements under each verdict, as a sentence."""
        return summary(self.claims)

    @property
    def printed_tables(self) -> Mapping[str, tuple[Sequence[str], Sequence[Sequence[str]]]]:
        """Tables 1 and 2 in the paper's units: headers and rows as text, by title."""
        result = {}
        for title, columns in (
            ("Table 1: workload, energy of an operation, power, time, pruning", _TABLE_1),
            ("Table 2: compression, operating point, throughput, power, accuracy, energy", _TABLE_2),
        ):
            cells = [[_cell(value, scale) for value in self.table[name].tolist()] for _, name, scale in columns]
            result[title] = ([header for header, _, _ in columns], list(zip(*cells, strict=True)))
        return result

    def to_json(self) -> dict[str, Any]:
        """Return the statements as plain JSON values."""
        return {"schema": "explorer.paper/1", "claims": [asdict(claim) for claim in self.claims]}

    def save(self, folder: str | Path, *, force: bool = False) -> tuple[list[str], str]:
        """Write paper.html, paper.json, and images of the figures where kaleido and a browser can draw them.

        Args:
            folder: their folder.
            force: replace files that explorer did not write.

        Returns:
            The names of the images, and why there are none.

        Raises:
            WrongUsage: the folder cannot be written, or a file in it must not be replaced.
        """
        out, figures = Path(folder), paper_figures(self.table)
        outputs: list[tuple[str, Kind]] = [("paper.html", "page"), ("paper.json", "audit")]
        outputs += [(f"{name}.{kind}", kind) for name in figures for kind in FORMATS]
        for name, kind in outputs:
            check_output(out / name, kind=kind, inputs=[self.source], force=force)
        write_text(out / "paper.html", paper_page(figures=figures, claims=self.claims, tables=self.printed_tables))
        write_json(out / "paper.json", self.to_json())
        try:
            return [str(path) for path in write_images(figures, out)], ""
        except (MissingPart, NoBrowser) as error:
            return [], str(error)

    def __repr__(self) -> str:
        return f"Audit({self.summary})"


def paper(table: str | Path | None = None) -> Audit:
    """Recompute the paper's statements from its table.

    Args:
        table: a changed copy of the paper's table (CSV); default: the paper's own.

    Raises:
        WrongUsage: the file does not exist.
        InvalidFile: it is not such a table.
    """
    if table is None:
        samples = paper_table()
    else:
        samples = parse_table(read_text(Path(table), max_bytes=MAX_DECLARATION_BYTES), path=Path(table))
    return Audit(samples, tuple(audit(samples)), None if table is None else Path(table))


def _cell(value: str | float, scale: float) -> str:
    return value if isinstance(value, str) else f"{value / scale:.4g}"
