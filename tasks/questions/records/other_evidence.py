"""The other record whose evidence each record is compared with: another group, nearest length, labels unseen."""

from __future__ import annotations

import bisect
import hashlib
from collections.abc import Sequence

from groundbench.api.evidence_record import EvidenceRecord


def draw_others(records: Sequence[EvidenceRecord], seed: int = 0) -> dict[str, int]:
    """For each record's id the number of the record that lends its evidence; absent where all are of one group.

    The evidence of another group whose length in characters is nearest; of equally near ones the seed decides. Neither
    labels nor answers are read.
    """
    first: dict[tuple[str, str], int] = {}
    for i, record in enumerate(records):
        first.setdefault((record.group, _key(record)), i)
    lenders = sorted((len(records[i].evidence), _rank(seed, key[1]), i) for key, i in first.items())
    lengths = [length for length, _, _ in lenders]
    found: dict[str, int] = {}
    for record in records:
        at = _nearest_record(record, records, lenders, lengths, seed)
        if at is not None:
            found[record.id] = at
    return found


def _nearest_record(
    record: EvidenceRecord,
    records: Sequence[EvidenceRecord],
    lenders: Sequence[tuple[int, str, int]],
    lengths: Sequence[int],
    seed: int,
) -> int | None:
    own = len(record.evidence)
    left = bisect.bisect_left(lengths, own) - 1
    right = left + 1
    best: tuple[int, str, int] | None = None
    while left >= 0 or right < len(lenders):
        down = own - lengths[left] if left >= 0 else None
        up = lengths[right] - own if right < len(lenders) else None
        go_left = down is not None and (up is None or down <= up)
        gap = down if go_left else up
        assert gap is not None
        if best is not None and gap > best[0]:
            break
        i = lenders[left if go_left else right][2]
        left, right = (left - 1, right) if go_left else (left, right + 1)
        if records[i].group == record.group or _key(records[i]) == _key(record):
            continue
        candidate = (gap, _rank(seed, record.id + _key(records[i])), i)
        best = candidate if best is None else min(best, candidate)
    return None if best is None else best[2]


def _key(record: EvidenceRecord) -> str:
    return record.evidence if record.image is None else record.image.key


def _rank(seed: int, text: str) -> str:
    return hashlib.sha256(f"{seed} {text}".encode("utf-8", "surrogatepass")).hexdigest()
