"""A second reading of CHAT, on purpose unlike the first: it rewrites the text until no notation is left.

No caching, no scanner, no shared tables: what both agree on is what the rules of protocol §2.1 say.
"""

from __future__ import annotations

import re

STRICT, CORE = ("act", "sit", "gpx"), ("act", "sit", "gpx", "exp", "par")


def read(text: str, tiers: tuple[str, ...], comments: bool) -> list[str]:
    """The tokens of a transcript."""
    text = re.sub(r"\n\t", " ", text.replace("\r\n", "\n"))
    tokens: list[str] = []
    headers: list[str] = []
    for block in re.split(r"\n(?=[*@])", text):
        lines = block.split("\n")
        if lines[0].startswith(("@Situation:", "@Activities:")):
            headers.append(lines[0].split(":", 1)[1])
        if not lines[0].startswith("*"):
            continue
        speaker, main = lines[0][1:].split(":", 1)
        shown = headers if comments else []
        headers = []
        for line in lines[1:]:
            if line.startswith("%") and line[1:].split(":")[0] in tiers:
                shown = [*shown, line.split(":", 1)[1]]
        if comments:
            shown = shown + re.findall(r"\[(?:=|=!|%) ([^\[\]]*)\]", main)
        for tier in shown:
            words = running(tier)
            if words:
                tokens += [f"<{speaker}>", *(w + ":<ENV>" for w in words)]
        said = utterance(main)
        if said:
            tokens += [f"<{speaker}>", *(w if w in ("<unk>", "<0>") else w + ":<LAN>" for w in said)]
    return tokens


def running(text: str) -> list[str]:
    """Words of a tier."""
    text = re.sub("\x15.*?(\x15|$)", " ", text)
    text = re.sub(r"<[^<>]*(aft|bef|dur|\d)[^<>]*>", lambda m: " " if coded(m[0]) else m[0], text)
    found = []
    for word in text.split():
        bare = re.sub(r'[<>\[\]"“”„‡«»]', "", word)
        bare = re.sub(r"^[.,?!;:()]+|[.,?!;:()]+$", "", bare)
        if not word.startswith("$") and re.search(r"\w", bare.replace("_", "")):
            found.append(bare)
    return found


def coded(scope: str) -> bool:
    """Return True if `<…>` is a time code."""
    rest = re.sub(r"after|aft|before|bef|dur|and|[\d\s.,$=+uUwW<>-]", "", scope)
    return not rest


def utterance(text: str) -> list[str]:
    """Words of a main line, by rewriting scopes from the inside out. `{` and `}` stand for scopes while it goes on."""
    text = re.sub("\x15.*?(\x15|$)", " ", text)
    text = re.sub(r"\[(?![/:e])[^\[\]]*\]|\[//+\]|\[/[-?]\]", " ", text)  # marks that change nothing
    text = re.sub(r"(^|\s)\+\S+", " ", text)
    text = re.sub(r"\(\.+\)|\([\d.:]+\)", " ", text)
    text = re.sub(r"(^|\s)[.,?!;„‡“”\"]+(?=\s|$)", " ", text)
    text = re.sub(r"[“”\"]", "", text)
    marks = r"((?:\s*\[[^\[\]]*\])+)"
    while True:
        before = text
        text = re.sub(rf"([^\s<>\[\]{{}}]+){marks}", lambda m: "{" + applied(m[1], m[2]) + "}", text)
        text = re.sub(rf"<([^<>\[\]]*)>{marks}", lambda m: "{" + applied(m[1], m[2]) + "}", text)
        text = re.sub(r"<([^<>\[\]]*)>(?!\s*\[)", r" {\1} ", text)
        text = re.sub(rf"\{{([^{{}}]*)\}}{marks}", lambda m: "{" + applied(m[1], m[2]) + "}", text)
        if text == before:
            break
    return [w for word in re.sub(r"[{}]", " ", text).split() for w in one(word)]


def applied(words: str, marks: str) -> str:
    """Apply the marks behind some words and return what is left of the words."""
    for mark in re.findall(r"\[([^\[\]]*)\]", marks):
        if mark in ("/", "e"):
            words = ""
        elif mark.startswith((": ", ":: ")):
            words = mark.split(" ", 1)[1]
    return words


def one(word: str) -> list[str]:
    """Return the words that a word of the transcript becomes."""
    if word.startswith("&-"):
        return one(word[2:])
    if re.fullmatch("&(u:*m|u:*h|e:*r|e:*h):*[.,?!]?", word):
        return [re.sub("[^a-z]", "", word)]
    if word.startswith("&"):
        return []
    base, form = [*re.sub(r"\$.*", "", word).split("@"), ""][:2]
    base = re.sub(r"[ˈˌ↑↓:^()⌈⌉⌊⌋°∆∇≠→„‡~#]", "", base).strip(".,?!;")
    if base == "0":
        return ["<0>"]
    if not re.search(r"[^\W_]", base) or re.match(r"0[^\W\d_]", base):
        return []
    kind = re.match(r"[a-z]*", form)
    if base.lower() in ("xxx", "yyy", "www", "xx", "yy", "ww") or (
        kind and kind[0] in ["b", "c", "f", "wp", "p", "n", "g", "u", "x"]
    ):
        return ["<unk>"]
    return [base]
