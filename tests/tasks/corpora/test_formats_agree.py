"""One transcript as .cha and as .xml gives the same words, tiers and remarks.

The collections at hand have no transcript in both formats, so real .cha transcripts are written as XML by the schema's
rules, with nothing of the readers, and read again.
"""

from __future__ import annotations

import io
import tarfile
from collections import Counter
from itertools import islice
from pathlib import Path

import pytest
from helpers.chat_to_xml import to_xml
from helpers.corpus_fixtures import chat

from groundbench.tasks.corpora.formats.chat import read_chat
from groundbench.tasks.corpora.formats.segments import Utterance, tier_set, utterances
from groundbench.tasks.corpora.formats.talkbank_xml import read_xml
from groundbench.tasks.corpora.formats.transcript import Transcript


def both(data: bytes, name: str, tiers: str) -> tuple[list[Utterance], list[Utterance], int, int]:
    """The utterances of each format, how many main lines there are, and how many have no rule and are left out."""
    written, left = to_xml(data)
    plain = read_chat(data, name)
    total = len(plain.turns)
    found = [list(utterances(t, tier_set(tiers))) for t in (without(plain, left), read_xml(written, name))]
    return found[0], found[1], total, len(left)


def without(transcript: Transcript, numbers: list[int]) -> Transcript:
    """The transcript without some turns; the headers before them stand before the next one."""
    gone, waiting, kept = set(numbers), [], []
    for i, turn in enumerate(transcript.turns):
        waiting += turn.before
        if i not in gone:
            kept.append(turn._replace(before=waiting))
            waiting = []
    transcript.turns[:] = kept
    return transcript


MADE = (
    "*CHI:\t<I want> [/] I want it .",
    "%act:\topens the box (slowly)",
    "*MOT:\tgonna [: going to] (be)cause thi:s choo^choo@o black+bird .",
    "*CHI:\t&-um &+fr &~gaga &=laughs xxx 0is 0 hola@s:spa ba@b .",
    "*MOT:\tthe <red hat> [= her own] [>] is <on [?]> [//] off [=! sings] , you see ?",
    "@Situation:\tin the garden",
    "*CHI:\t+< ˈba:by (.) [+ PI]",
    "%gpx:\tpoints",
)


@pytest.mark.parametrize("tiers", ["core", "strict"])
def test_every_kind_of_notation_agrees(tiers: str) -> None:
    ours, theirs, total, left = both(chat(*MADE), "f", tiers)
    assert (total, left) == (5, 0)
    assert ours == theirs
    words = [w for u in ours for s in u for w in s.words]
    assert {"because", "going", "hola", "um", "<unk>", "<0>", "choochoo", "black+bird", "baby"} <= set(words)
    assert not {"fr", "gaga", "is0", "0is", "gonna"} & set(words)
    assert ("garden" in words) == (tiers == "core")


def test_what_has_no_rule_is_left_out_and_said() -> None:
    _, left = to_xml(chat("*CHI:\tthe ⌈2 hat ⌉2 .", "*MOT:\tyes ."))
    assert left == [0]


def test_real_transcripts_agree_word_for_word(shared_data: Path) -> None:
    """Transcripts of every corpus: of 100 main lines 99 have a rule here, and all of these agree."""
    folder = shared_data / "childes"
    sample = []
    for archive, every in (("chat_samples_full_mor", 3), ("chat_bates_bernstein_nomor", 28), ("chat_en_na_nomor", 148)):
        with tarfile.open(folder / f"{archive}.tar.xz", "r:*") as tar:
            files = islice((m for m in tar if m.isfile()), 0, None, every)
            sample += [(m.name, (tar.extractfile(m) or io.BytesIO()).read()) for m in files]
    count: Counter[str] = Counter()
    for name, data in sample:
        ours, theirs, total, left = both(data, name, "core")
        for one, two in zip(ours, theirs, strict=True):
            assert one == two, name
        count.update(files=1, total=total, left=left, words=sum(len(s.words) for u in ours for s in u))
    assert count["files"] >= 30
    assert count["words"] > 80_000
    assert count["left"] < count["total"] / 100, count
