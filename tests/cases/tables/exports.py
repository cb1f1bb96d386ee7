"""Thirteen exports of one table of measurements, as engineers have them, and the table as explorer names it."""

import csv
import json
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

UNITS = ["Modell", "Sparsity [%]", "Bits", "Takt [MHz]", "Top-1 [%]", "Latency [ms]", "Leistung [mW]"]
OWN = ["family", "pruning_ratio", "weight_bits", "frequency_mhz", "accuracy", "latency_ms", "power_mw"]
PLAIN = "z_as_the_readme_wants_it.csv"
Row = tuple[int, int, int, float, float, float]


def measured_rows() -> list[Row]:
    """Return sparsity in percent, bits, clock in MHz, accuracy in percent, latency in ms, and power in mW."""
    rng = random.Random(1)

    def measured(sparsity: float, bits: int, mhz: int) -> tuple[float, float, float]:
        lost = {8: 0.3, 4: 2.1}.get(bits, 0.0)
        top1 = 93.2 - 24 * max(0, sparsity - 0.5) ** 1.5 - lost + rng.gauss(0, 0.1)
        ms = 4.2 * (1 - 0.5 * sparsity) * (bits / 32) ** 0.5 * 1200 / mhz + rng.gauss(0, 0.03)
        mw = 900 + 2.1 * mhz * (0.4 + 0.6 * bits / 32) + rng.gauss(0, 20)
        return top1, ms, mw

    return [
        (s, b, f, *measured(s / 100, b, f)) for s in (0, 30, 50, 70, 90) for b in (32, 8, 4) for f in (600, 1200, 1800)
    ]


def _cells(rows: Sequence[Row], *, comma: bool = False, share: bool = False, holes: bool = True) -> Iterator[list[Any]]:
    for i, (s, b, f, acc, ms, mw) in enumerate(rows):
        empty = "" if share else "n/a"
        row = ["mobilenet_v2", s / 100 if share else s, b, f, f"{acc / 100:.4f}" if share else f"{acc:.2f}",
               "" if holes and i == 7 else f"{ms:.3f}", empty if holes and i == 12 else f"{mw:.1f}"]  # fmt: skip
        yield [str(cell).replace(".", ",") if comma else cell for cell in row]


def write_exports(folder: Path) -> None:
    """Write all exports into a folder."""
    rows = measured_rows()

    def write(
        name: str, header: list[str], body: Iterator[list[Any]] | list[list[Any]], *, encoding: str = "utf-8",
        delimiter: str = ",",
    ) -> None:  # fmt: skip
        with (folder / name).open("w", encoding=encoding, newline="") as file:
            csv.writer(file, delimiter=delimiter).writerows([header, *body])

    def whole(**options: bool) -> Iterator[list[Any]]:
        return _cells(rows, holes=False, **options)

    write("a_german.csv", UNITS, _cells(rows, comma=True), encoding="utf-8-sig", delimiter=";")
    write("b_tabs.csv", UNITS, _cells(rows, comma=True), delimiter="\t")
    write("c_excel_bom_units.csv", UNITS, _cells(rows), encoding="utf-8-sig")
    write("d_units.csv", UNITS, _cells(rows))
    write("e_own_names_percent.csv", OWN, _cells(rows))
    write("f_pct_names.csv", [OWN[0], "pruning_ratio_pct", *OWN[2:4], "accuracy_pct", *OWN[5:]], whole())
    write("g_accuracy_pct_only.csv", [*OWN[:4], "accuracy_pct", *OWN[5:]],
          [[*r[:4], float(r[4]) * 100, *r[5:]] for r in whole(share=True)])  # fmt: skip
    write("h_usual_names.csv", ["run", "sparsity", "bits", "freq_mhz", "top1", "latency_ms", "mW"],
          [[f"r{i}", s / 100, b, f, f"{a:.2f}", f"{t:.3f}", f"{p:.0f}"]
           for i, (s, b, f, a, t, p) in enumerate(rows)])  # fmt: skip
    write("i_usual_knobs_own_targets.csv", ["sparsity", "bits", "freq_mhz", "accuracy", "latency_ms", "power_mw"],
          [[s / 100, b, f, f"{a / 100:.4f}", f"{t:.3f}", f"{p:.0f}"] for s, b, f, a, t, p in rows])  # fmt: skip
    write("j_wandb.csv",
          ["Name", "State", "Created", "config.sparsity", "config.bits", "val/acc", "latency_ms", "energy_mj"],
          [[f"sweep-{i}", "finished", f"2026-10-01T10:{i:02d}", s / 100, b, f"{a / 100:.4f}", f"{t:.3f}",
            f"{p * t / 1e3:.3f}"] for i, (s, b, f, a, t, p) in enumerate(rows) if f == 1200])  # fmt: skip
    write("k_mlflow.csv",
          ["run_id", "params.batch_size", "params.sparsity", "metrics.accuracy", "metrics.latency_ms",
           "metrics.energy_mj"],
          [["a", 1, 0.0, 0.93, 4.1, 14.2], ["b", 1, 0.5, 0.92, 3.1, 11.2], ["c", 8, 0.0, 0.93, 14.1, 44.2],
           ["d", 8, 0.5, 0.92, 9.1, 31.2]])  # fmt: skip
    write("l_two_holes.csv", OWN, _cells(rows, share=True))
    records = [dict(zip(OWN, row, strict=True)) for row in whole(share=True)]
    (folder / "m_records.json").write_text(json.dumps(records), encoding="utf-8")
    write(PLAIN, OWN, whole(share=True))
