"""Names that submitters choose: the characters they may hold, and the names that look alike on a page.

Not Unicode's whole table of confusable characters: letters of two scripts in one word are refused, and the letters of
Greek and Cyrillic that are drawn like Latin ones are folded together with the digits and letters that fonts mix up.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Collection
from typing import TYPE_CHECKING

from groundbench.leaderboard.submission.strict_json_yaml import RefusedError, shorten

if TYPE_CHECKING:
    from groundbench.leaderboard.submission.card import Card
    from groundbench.results.risk_card import QuestionsRecord
    from groundbench.results.run import ModelRecord

LONGEST_NAME = 120
MOST_NAMES = 100
IGNORABLE = (
    (0x00AD, 0x00AD),
    (0x034F, 0x034F),
    (0x061C, 0x061C),
    (0x115F, 0x1160),
    (0x17B4, 0x17B5),
    (0x180B, 0x180F),
    (0x200B, 0x200F),
    (0x202A, 0x202E),
    (0x2060, 0x206F),
    (0x2800, 0x2800),
    (0x3164, 0x3164),
    (0xFE00, 0xFE0F),
    (0xFEFF, 0xFEFF),
    (0xFFA0, 0xFFA0),
    (0xFFF0, 0xFFF8),
    (0x1BCA0, 0x1BCA3),
    (0x1D173, 0x1D17A),
    (0xE0000, 0xE0FFF),
)
"""Code points that are drawn as nothing (Unicode's Default_Ignorable_Code_Point, and the blank Braille pattern)."""
TOGETHER = (
    {"LATIN"},
    {"LATIN", "CJK", "HIRAGANA", "KATAKANA"},
    {"LATIN", "CJK", "HANGUL"},
    {"LATIN", "CJK", "BOPOMOFO"},
)
"""Scripts that one name may mix (the highly restrictive profile of Unicode's security mechanisms)."""
GREEK_SIGNS = "\u00b5\u03bc\u03c0\u03b1\u03b2\u03b3\u03bb\u03a9\u03c3"
"""Greek letters that stand as signs in names of models, e.g. the mu of a micro model."""
ALIKE = dict(
    zip(
        "\u0430\u0432\u0435\u043a\u043c\u043d\u043e\u0440\u0441\u0442\u0443\u0445\u0456\u0458\u0455\u0501\u051b\u051d\u04cf\u04c0\u03b1\u03b5\u03b9\u03ba\u03bd\u03bf\u03c1\u03c4\u03c5\u03c7",
        "abekmhopctyxijsdqwlla" + "eikvoptux",
        strict=True,
    )
) | {"0": "o", "1": "l", "|": "l", "i": "l", "\u0131": "l", "5": "s", "\u017f": "s"}


def check_name_text(text: str, where: str, what: str) -> str:
    """Return the text in Unicode's compatibility form (NFKC), with its blanks trimmed.

    Raises:
        RefusedError: it holds characters that are drawn as nothing, no letter or digit, or letters of scripts that
            are not written together.
    """
    plain = unicodedata.normalize("NFKC", text).strip()
    for c in text + plain:
        if c not in "\n\t " and (unicodedata.category(c) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp") or ignorable(c)):
            raise RefusedError(f"{where}: field {what!r}: {shorten(text)} holds the invisible character U+{ord(c):04X}")
    if not any(unicodedata.category(c)[0] in "LN" for c in plain):
        raise RefusedError(f"{where}: field {what!r}: {shorten(text)} holds no letter or digit")
    if any(unicodedata.combining(c) for c in plain if _is_mark(c)) and _most_marks(plain) > 2:
        raise RefusedError(f"{where}: field {what!r}: {shorten(text)} stacks marks upon a letter")
    found = {script(c) for c in plain if c.isalpha() and c not in GREEK_SIGNS}
    if len(found) > 1 and not any(found <= allowed for allowed in TOGETHER):
        raise RefusedError(
            f"{where}: field {what!r}: {shorten(text)} mixes letters of {' and '.join(sorted(found))}, which look alike"
        )
    return plain


def _is_mark(c: str) -> bool:
    return unicodedata.category(c).startswith("M")


def _most_marks(text: str) -> int:
    """Return the largest number of marks upon one letter."""
    most = run = 0
    for c in unicodedata.normalize("NFD", text):
        run = run + 1 if unicodedata.category(c) == "Mn" else 0
        most = max(most, run)
    return most


def ignorable(c: str) -> bool:
    """Return True if a character is drawn as nothing."""
    return any(low <= ord(c) <= high for low, high in IGNORABLE)


def script(c: str) -> str:
    """Return a letter's script, e.g. LATIN or CYRILLIC."""
    name = unicodedata.name(c, "UNKNOWN").split()[0]
    return "LATIN" if name in ("FEMININE", "MASCULINE", "FULLWIDTH", "MODIFIER") else name


def skeleton(text: str) -> str:
    """Reduce a name so that characters that look alike are one: names of one skeleton can be mistaken."""
    folded = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", text).casefold())
    letters = "".join(ALIKE.get(c, c) for c in folded if c.isalnum() and not unicodedata.combining(c))
    return letters.replace("rn", "m").replace("vv", "w")


def check_model_names(model: ModelRecord, where: str) -> None:
    """Check the names that a result or card gives its model: pages sort and colour by them.

    Raises:
        RefusedError: one could be taken for another, or is overlong.
    """
    for field in ("name", "family", "architecture", "dtype", "fingerprint"):
        text = getattr(model, field)
        if len(text) > LONGEST_NAME:
            raise RefusedError(
                f"{where}: field 'model.{field}' has {len(text):,} characters; expected at most {LONGEST_NAME}"
            )
        if text and check_name_text(text, where, f"model.{field}") != text:
            raise RefusedError(f"{where}: field 'model.{field}': {shorten(text)} is not in its plain form (NFKC)")


def check_question_names(questions: QuestionsRecord, where: str) -> None:
    """Check the names that a risk card gives its questions: they head a table of the board.

    Raises:
        RefusedError: one could be taken for another, is overlong, or there are very many.
    """
    for field in ("sets", "kinds", "forms"):
        names = getattr(questions, field)
        if len(names) > MOST_NAMES or any(len(n) > LONGEST_NAME for n in names):
            raise RefusedError(
                f"{where}: field 'questions.{field}' has {len(names):,} names, the longest of "
                f"{max(map(len, names)):,} characters; expected at most {MOST_NAMES}, of {LONGEST_NAME}"
            )
        for name in names:
            check_name_text(name, where, f"questions.{field}")


def name_fault(slug: str, card: Card, own: Collection[str], submitter: str) -> str | None:
    """Return the reason for which a card's submitter is refused: the board's own name belongs to its own entries."""
    if submitter and slug not in own and skeleton(card.submitter) == skeleton(submitter):
        return f"field 'submitter': {shorten(card.submitter)} is this board's own name, and {slug} none of its entries"
    return None
