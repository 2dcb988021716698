"""text-scenes: what it asks is exact, balanced, the same at every call, and cannot be known without the scene."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import replace

import pytest

from groundbench.api.errors import BadInputError
from groundbench.api.question import Question, digest
from groundbench.api.testbed import EnvSegment
from groundbench.tasks.questions import check, text_scenes
from groundbench.tasks.questions.text_material import forms, material, noun_texts, styles, wording

DEFAULT = text_scenes()
WORD = [q for q in DEFAULT if q.form == "word"]
PRESENCE = [q for q in DEFAULT if q.kind.startswith("presence")]


def scene(q: Question) -> str:
    return next(s.text for s in q.prompt.segments if isinstance(s, EnvSegment))


def test_size_and_kinds() -> None:
    assert 600 <= len(DEFAULT) <= 700
    assert {q.form for q in DEFAULT} == set(forms())
    presence = {"presence-random", "presence-popular", "presence-adversarial"}
    for form in forms():
        found = Counter(q.kind for q in DEFAULT if q.form == form)
        assert set(found) == presence | {"attribute", "count", "conflict", "agreement"}
        assert min(found.values()) >= 4


def test_a_seed_gives_one_set() -> None:
    assert digest(text_scenes()) == digest(DEFAULT)
    assert digest(text_scenes(seed=1)) != digest(DEFAULT)
    assert digest(text_scenes(("word",))) == digest(WORD)


def test_check_finds_nothing() -> None:
    for form in forms():
        found = check([q for q in text_scenes((form,)) if q.form == form])
        assert found.faults == ()
        assert all(k.chance in (0.25, 0.5) for k in found.kinds.values())


def test_presence_is_what_the_scene_shows() -> None:
    for q in PRESENCE:
        here = f"the {noun_texts(q.form)[q.prompt.env]}"
        assert (here in scene(q).removesuffix(".").split(": ")[1].split("; ")) == (q.target == 0), q.id


def test_each_noun_is_asked_as_often_with_yes_as_with_no() -> None:
    asked: dict[tuple[str, str, str], Counter[int]] = defaultdict(Counter)
    for q in PRESENCE:
        asked[q.form, q.kind, q.prompt.env][q.target] += 1
    assert all(found[0] == found[1] for found in asked.values())


def test_negatives_are_of_their_kind() -> None:
    for q in PRESENCE:
        if q.target == 0:
            continue
        place = q.group.split("/")[1].rpartition("-")[0]
        first, *others = material().settings[place]
        usual = q.prompt.env in {n for names in (first, *others) for n in names}
        assert usual == (q.kind != "presence-random")
        assert (q.prompt.env in first) == (q.kind == "presence-adversarial")


def test_conflict_and_agreement_come_in_pairs_with_the_same_candidates() -> None:
    pairs = defaultdict(list)
    for q in DEFAULT:
        if q.kind in ("conflict", "agreement"):
            pairs[q.group].append(q)
    for conflict, agreement in pairs.values():
        assert (conflict.kind, agreement.kind) == ("conflict", "agreement")
        assert conflict.choices == agreement.choices
        assert conflict.prior_answer == agreement.prior_answer == agreement.target != conflict.target
        assert conflict.right in scene(conflict)
        assert conflict.choices[conflict.prior_answer or 0] not in scene(conflict).split()


def test_what_is_shown_never_holds_an_answer() -> None:
    for q in DEFAULT:
        if q.kind in ("attribute", "conflict", "agreement"):
            assert not set(q.choices) & set(noun_texts(q.form)[q.prompt.env].replace(",", "").split())


def test_other_forms_say_the_number_and_are_silent_about_it_elsewhere() -> None:
    numbers = ("two", "three", "four", "five")
    found = [q for q in DEFAULT if q.kind == "count" and q.form not in ("word", "emoji")]
    assert {q.form for q in found} == set(forms()) - {"word", "emoji"}
    for q in found:
        assert f"{q.right} of the {noun_texts(q.form)[q.prompt.env]}" in scene(q)
        assert len(re.findall("|".join(numbers), scene(q))) == 2
        assert scene(q).count(f"{q.right} of the") == 1  # the other thing has another number


def test_an_emoji_is_counted_by_repeating_it() -> None:
    found = [q for q in DEFAULT if q.kind == "count" and q.form == "emoji"]
    assert found
    for q in found:
        n = 2 + ("two", "three", "four", "five").index(q.right)
        assert scene(q).count(noun_texts("emoji")[q.prompt.env]) == n


@pytest.mark.parametrize("seed", [*range(12), 197])
def test_no_scene_comes_in_two_groups(seed: int) -> None:
    """Of seed 197 two scenes of a count were drawn alike; the one stood in for the other."""
    groups = defaultdict(set)
    for q in text_scenes(("word", "emoji"), seed=seed):
        groups[q.form, q.kind.split("-")[0], scene(q)].add(q.group)
    assert all(len(found) == 1 for found in groups.values())


def test_other_evidence_has_the_same_shape_and_is_another_group() -> None:
    groups = {(q.form, scene(q)): q.group for q in DEFAULT}
    for q in DEFAULT:
        assert len(q.mismatched) == 2
        for other in q.mismatched:
            told = next(s.text for s in other.segments if isinstance(s, EnvSegment))
            assert groups[q.form, told] != q.group


def test_examples_of_a_style_show_no_noun_of_the_scenes_and_are_balanced() -> None:
    for style in styles():
        opening = wording(style).opening
        assert opening.count(" Yes\n") == opening.count(" No\n")
        assert not set(re.findall(r"\w+", opening)) & {q.prompt.env for q in PRESENCE}
    assert wording("plain").opening == ""


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"forms": ("smell",)}, "no ENV form 'smell'"),
        ({"forms": ("word", "word")}, "expected each once"),
        ({"style": "shouting"}, "no style 'shouting'"),
        ({"mismatched": -1}, "expected 0 or more"),
    ],
)
def test_bad_options(options: dict[str, object], reason: str) -> None:
    with pytest.raises(BadInputError, match=reason):
        text_scenes(**options)  # type: ignore[arg-type]


def test_check_finds_each_fault() -> None:
    conflict = next(q for q in WORD if q.kind == "conflict")
    presence = [q for q in WORD if q.kind == "presence-random"]
    yes = [q for q in presence if q.target == 0]
    turned = [replace(q, target=0, id=q.id + "+") for q in presence if q.target == 1]
    told = [replace(q, target=int(q.prompt.env < "i")) for q in presence]
    known = [replace(q, id=f"{q.id}-{i}", group=f"{q.group}-{i}") for q in told for i in range(4)]
    other = replace(presence[0], without=presence[2].without)
    cases = [
        ([presence[0], presence[0]], "comes 2 times"),
        ([replace(conflict, prior_answer=conflict.target)], "does not contradict the usual"),
        ([replace(conflict, kind="agreement")], "does not agree with the usual"),
        ([*yes, *turned], "expected an equal share"),
        (known, "the question alone tells the answer"),
        ([other], "asks something else"),
        ([q for q in WORD if q.kind == "agreement"], "the usual is right"),
    ]
    for questions, reason in cases:
        assert any(reason in fault for fault in check(questions).faults), reason


def test_the_former_names_of_a_questions_fields_are_read() -> None:
    q = next(q for q in DEFAULT if q.prior_answer is not None)
    named = {"id": q.id, "kind": q.kind, "form": q.form, "group": q.group, "prompt": q.prompt, "without": q.without}
    answer = {"answers": q.choices, "truth": q.target, "usual": q.prior_answer, "also": ()}
    assert Question(mismatched=q.mismatched, **named, **answer) == q  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="rightly"):
        Question(mismatched=q.mismatched, **named, **answer, rightly=1)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="'truth' is the former name of 'target'; both are given"):
        replace(q, truth=0)
