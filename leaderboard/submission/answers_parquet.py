"""answers.parquet of a submitted screening: its error rate and AUROCs are computed again and held against the card."""

from __future__ import annotations

import io
from collections import Counter

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from groundbench.leaderboard.submission.strict_json_yaml import RefusedError, shorten
from groundbench.results.risk_card import RiskCard
from groundbench.stats.error_ranking import auroc

MOST_ROWS = 500_000
MOST_COLUMNS = 500
MOST_ROW_GROUPS = 1_000
TOLERANCE = 1e-6
"""Both are computed from the same 64-bit numbers; sums in another order move the last digits only."""
Bools = npt.NDArray[np.bool_]


def check_answers(raw: bytes, where: str, card: RiskCard) -> None:
    """Check the answers of a screening against its card.

    Args:
        raw: the file, already limited in size.

    Raises:
        RefusedError: not a Parquet file of a screening, or its answers do not give the card's numbers.
    """
    try:
        file = pq.ParquetFile(io.BytesIO(raw))
        if file.metadata.num_rows > MOST_ROWS:
            raise RefusedError(f"{where}: holds more than {MOST_ROWS:,} rows")
        if file.metadata.num_columns > MOST_COLUMNS or file.metadata.num_row_groups > MOST_ROW_GROUPS:
            raise RefusedError(f"{where}: holds more columns or row groups than answers have")
        twice = next((n for n, k in Counter(file.schema_arrow.names).items() if k > 1), None)
        if twice is not None:
            raise RefusedError(f"{where}: the column {shorten(twice)} stands there twice")
        names = set(file.schema_arrow.names)
        label = "error" if "error" in names else "wrong"
        wanted = {"split": pa.string(), label: pa.bool_()}
        wanted |= {f"risk_{s.name}": pa.float64() for s in card.signals if s.auroc is not None}
        for name, kind in wanted.items():
            found = file.schema_arrow.field(name).type if name in names else None
            if found != kind:
                is_ = "absent" if found is None else shorten(str(found))[1:-1]
                raise RefusedError(f"{where}: the column {shorten(name)[1:-1]} is {is_}, expected {kind}")
        table = file.read(columns=list(wanted), use_threads=False)
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        raise RefusedError(f"{where}: not a readable Parquet file ({shorten(str(error))})") from None
    if len(table) != card.questions.n:
        raise RefusedError(f"{where}: holds {len(table)} answers, but the card has {card.questions.n}")
    stated = card.errors[0].error.value
    if stated is None:
        return
    if table[label].null_count:
        raise RefusedError(
            f"{where}: {table[label].null_count} answers have no {label}, but the card has an error rate"
        )
    wrong = table[label].to_numpy().astype(bool)
    _equal(float(wrong.mean()) if len(wrong) else 0.0, stated, where, "an error rate of")
    part = np.array(table["split"].to_pylist(), dtype=object)
    for signal in card.signals:
        if signal.auroc is None or signal.auroc.value is None:
            continue
        risk = table[f"risk_{signal.name}"].to_numpy(zero_copy_only=False).astype(np.float64)
        of = part == "test" if signal.cost.endswith("fitted") else part != "detect"
        at = of & np.isfinite(risk)
        if int(at.sum()) != signal.n:
            raise RefusedError(f"{where}: {int(at.sum())} answers have a {signal.name}, but the card judged {signal.n}")
        _equal(auroc(risk[at], wrong[at]), signal.auroc.value, where, f"an AUROC of {signal.name} of")


def _equal(found: float | None, stated: float, where: str, what: str) -> None:
    if found is None or abs(found - stated) > TOLERANCE:
        raise RefusedError(f"{where}: its answers give {what} {found}, but the card says {stated}")
