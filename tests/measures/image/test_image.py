"""The image's part in a planted model is found exactly; a blind one has no gain (protocol §14 B, C)."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from helpers.planted_vlm import HEAD, PatchTestbed, planted_vlm
from PIL import Image

from groundbench.api.adapter import ImageGrid, Mixer
from groundbench.api.errors import BadInputError
from groundbench.api.surprisal_table import SurprisalTable
from groundbench.cli.tables.result import show_result
from groundbench.engine.contexts import build_contexts
from groundbench.engine.scoring import score
from groundbench.evaluation.evaluate import evaluate
from groundbench.measures.ablation.options import AblationOptions
from groundbench.measures.gain.measure import measure_gain
from groundbench.measures.heads.flow_maps import measure_flow
from groundbench.measures.heads.head_saliency import HeadSaliency
from groundbench.measures.heads.saliency import flow_matrices, matched_items
from groundbench.measures.image.examples import FINE, _on_fine_grid, choose_items
from groundbench.measures.image.patch_saliency import read_patches
from groundbench.measures.image.patch_swap import measure_swap
from groundbench.report.from_directory import page_of
from groundbench.report.sections.images import heat_png
from groundbench.results.image_examples import FILE_NAME, FOLDER, ImageExamples, ReadMap
from groundbench.results.run import Result

OPTIONS = {"ablation": AblationOptions(selections=("crossfit",), controls=("layer",), draws=3)}


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    return planted_vlm(tmp_path_factory.mktemp("planted-vlm"))


@pytest.fixture(scope="module")
def run(reader, tmp_path_factory):
    out = tmp_path_factory.mktemp("run")
    measures = ("gain", "heads", "ablation", "image")
    return out, evaluate(reader, PatchTestbed(), measures=measures, out=out, **OPTIONS)


@pytest.fixture(scope="module")
def blind(tmp_path_factory):
    return evaluate(planted_vlm(tmp_path_factory.mktemp("blind"), blind=True), PatchTestbed(), **OPTIONS)


def reading(result: Result, heads: str):
    return next(r for r in result.image.reading if r.heads == heads)


def test_the_planted_head_and_no_other_is_found_and_carries_the_gain(run):
    _, result = run
    assert result.gain.mean > 3
    assert {(h.layer, h.head) for h in result.heads[0].by_head if h.rate > 0} == {HEAD}
    cut = result.ablations[0]
    assert cut.n_heads == 1
    assert cut.gain_removed > 0.999
    assert cut.gain_control == pytest.approx(cut.gain_original, abs=1e-3)


def test_the_head_reads_the_box_and_nothing_beside_it(run):
    _, result = run
    assert (result.image.rows, result.image.columns, result.image.n_patches, result.image.n_box) == (4, 4, 16, 4)
    for r in result.image.reading:
        assert r.n_items == 48
        assert r.expected == 0.25
        assert r.inside == pytest.approx(4, abs=0.01)  # all of it on a quarter of the patches
        assert r.outside == pytest.approx(0, abs=0.01)
        assert r.null == pytest.approx(0, abs=0.01)
        assert r.share_ci_low > 0.99
    assert reading(result, "all").n_heads == 12
    assert reading(result, "crossfit").n_heads == 1


def test_swapping_the_patches_turns_the_gain_over(run):
    _, result = run
    swap = result.image.swap
    assert (swap.n_items, swap.n_left_out) == (48, 0)
    assert swap.gain_swapped == pytest.approx(-swap.gain, abs=1e-4)
    assert swap.ratio == pytest.approx(-1, abs=1e-4)
    assert swap.gain_swapped_ci_high < 0


def test_a_model_that_ignores_the_pixels_has_a_gain_of_exactly_0(blind):
    assert blind.gain.mean == blind.gain.ci_low == blind.gain.ci_high == 0.0
    assert blind.gain.p_cluster == 1
    assert blind.image.swap.gain_swapped == 0.0
    assert blind.image.swap.ratio is None


def test_a_blind_models_heads_do_not_find_the_box(blind):
    assert reading(blind, "crossfit").n_heads == 0
    assert reading(blind, "crossfit").inside is None
    assert reading(blind, "all").inside == pytest.approx(1, abs=0.05)


def test_what_is_read_outside_the_box_is_reported_so(reader):
    wrong = evaluate(reader, PatchTestbed("elsewhere"), measures=("gain", "image"), **OPTIONS)
    assert wrong.gain.mean > 3
    assert reading(wrong, "all").share < 0.01
    assert reading(wrong, "all").outside > 1.3
    assert reading(wrong, "crossfit").n_heads == 0
    assert wrong.image.swap.ratio == pytest.approx(1, abs=1e-4)  # the noun's patches stayed where they were


def test_a_form_without_boxes_has_no_outside_but_a_swap(reader):
    whole = evaluate(reader, PatchTestbed(), forms=("image-all",), measures=("gain", "image"), **OPTIONS)
    assert whole.image.reading == ()
    assert whole.image.n_box == whole.image.n_patches == 16
    assert whole.image.swap.ratio == pytest.approx(-1, abs=1e-4)


def test_every_image_form_has_a_record_of_its_own(reader):
    both = evaluate(reader, PatchTestbed(), forms=("all",), **OPTIONS)
    assert [f.image.env_form for f in both.forms] == ["image", "image-all"]
    assert both.image == both.forms[0].image
    assert both.protocol["measures"] == ["gain", "heads", "image"]


class NoSwap:
    """An adapter that cannot swap patches."""

    def __init__(self, inner):
        for name in ("info", "encode", "encode_targets", "prefill", "forward", "continuation_logits", "unembed"):
            setattr(self, name, getattr(inner, name))


def test_an_adapter_that_cannot_swap_patches_has_no_swap_test(reader):
    bed = PatchTestbed()
    contexts = build_contexts(reader, bed, bed.forms[0])
    table = score(reader, contexts)
    assert measure_swap(NoSwap(reader), contexts, table, items=4) is None
    sampled = measure_swap(reader, contexts, table, items=4, mismatches=3)
    assert (sampled.n_items, sampled.mismatches) == (4, 3)


def test_the_swap_of_all_pairs_starts_from_the_gain_itself(reader):
    bed = PatchTestbed()
    contexts = build_contexts(reader, bed, bed.forms[0])
    table = score(reader, contexts)
    swap = measure_swap(reader, contexts, table, items=1000, mismatches=1000)
    assert (swap.n_items, swap.mismatches) == (48, 11)
    assert swap.gain == pytest.approx(measure_gain(table).mean, abs=1e-9)


def saliency(inside: float, outside: float, boxes: list[int], patches: int = 20) -> HeadSaliency:
    """Two heads that read so much on each patch of the box, and outside it; one item for each box size."""
    n = np.array(boxes, np.float32)[:, None] * np.ones(2, np.float32)
    zeros = np.zeros_like(n)
    spans = n[:, :1].astype(np.int32)
    return HeadSaliency(
        mixers=(Mixer(1, "attention", 2, 4),),
        nouns=tuple(f"noun{i}" for i in range(len(boxes))),
        frames=tuple("fg"[i % 2] for i in range(len(boxes))),
        length=np.full(len(boxes), patches + 5, np.int32),
        span=spans,
        surprisal=zeros[:, 0],
        edge=inside * n,
        null_edge=outside * n,
        row_sum=inside * n + outside * (patches - n) + 1,
        row_offdiagonal=inside * n + outside * (patches - n),
        signed_edge=zeros,
        signed_row=zeros,
        layer_edge=zeros[:, :1],
        layer_row=zeros[:, :1],
        image_edge=inside * n + outside * (patches - n),
        image_span=np.full_like(spans, patches),
    )


def test_a_head_that_reads_every_patch_alike_is_at_1_whatever_the_boxes_size():
    flat = saliency(0.3, 0.3, [1, 4, 9, 16])
    found = read_patches(flat, np.ones((4, 2), bool), "all")
    assert found.inside == pytest.approx(1)
    assert found.outside == pytest.approx(1)
    assert found.null == pytest.approx(1)
    assert (found.ratio_ci_low, found.ratio_ci_high) == pytest.approx((1, 1))


def test_the_ratio_is_that_of_a_patch_inside_to_one_outside():
    found = read_patches(saliency(0.6, 0.2, [5, 5, 5]), np.ones((3, 2), bool), "all")
    assert found.ratio == pytest.approx(3)
    assert found.null == pytest.approx(found.outside)


def test_nothing_is_measured_where_the_box_is_the_picture_or_nothing_is_read():
    assert read_patches(saliency(1, 1, [20, 20]), np.ones((2, 2), bool), "all") is None
    nothing = read_patches(saliency(0, 0, [4, 4]), np.ones((2, 2), bool), "all")
    assert (nothing.n_items, nothing.inside, nothing.ratio) == (0, None, None)


def test_pictures_are_kept_by_falling_gain_with_their_maps(run):
    out, _ = run
    kept = ImageExamples.load(out)
    assert len(kept.items) == 12
    assert [p.gain for p in kept.items] == pytest.approx(sorted((p.gain for p in kept.items), reverse=True), abs=0.05)
    for p in kept.items:
        assert p.gain == pytest.approx(p.mismatched - p.matched)
        detected = next(m for m in p.maps if m.heads == "crossfit")
        assert sum(detected.values) == pytest.approx(1, abs=1e-4)
        column, row = (int(v * 4) for v in p.box[:2])
        inside = np.array(detected.values).reshape(4, 4)[row : row + 2, column : column + 2]
        assert inside.sum() > 0.99
        with Image.open(out / FOLDER / p.file) as image:
            assert image.size == (32, 32)
    assert kept.rule.startswith("Nouns stand in order of their gain; shown are 12 ")


def test_the_page_shows_the_pictures_and_loads_nothing(run):
    out, _ = run
    page = page_of(out)
    assert page.count("data:image/webp;base64,") == 12
    assert page.count("data:image/png;base64,") == 24
    assert "Where in the image the word comes from" in page
    assert "swapped" in page
    assert "http" not in page.replace("http-equiv", "")


def test_a_page_without_its_picture_files_still_has_the_numbers(run, tmp_path: Path):
    out, _ = run
    (tmp_path / FOLDER).mkdir()
    for name in ("result.json", f"{FOLDER}/{FILE_NAME}"):
        (tmp_path / name).write_bytes((out / name).read_bytes())
    page = page_of(tmp_path)
    assert "data:image/webp" not in page
    assert "What the heads read" in page


def test_a_second_run_goes_on_from_the_first_to_the_same_record(run, reader):
    out, result = run
    again = evaluate(reader, PatchTestbed(), measures=("gain", "image"), out=out, **OPTIONS)
    assert again.image == result.image


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ('{"rule": "r", "items": [{"noun": "dog"}]}', r"pictures\.json: field items\.0\.form: Field required"),
        ("[", r"pictures\.json: field the file: Invalid JSON"),
        ('{"rule": "r", "items": [], "more": 1}', r"unknown field .more."),
    ],
)
def test_a_broken_pictures_file_is_named(tmp_path: Path, change: str, said: str):
    (tmp_path / FOLDER).mkdir()
    (tmp_path / FOLDER / FILE_NAME).write_text(change)
    with pytest.raises(BadInputError, match=said):
        ImageExamples.load(tmp_path)


def test_a_picture_file_cannot_lie_elsewhere(tmp_path: Path, run):
    out, _ = run
    text = (out / FOLDER / FILE_NAME).read_text().replace("image-01.webp", "../../secret.webp")
    (tmp_path / FOLDER).mkdir()
    (tmp_path / FOLDER / FILE_NAME).write_text(text)
    with pytest.raises(BadInputError, match=r"items\.0\.file"):
        ImageExamples.load(tmp_path)


def test_a_map_is_drawn_with_the_largest_patch_full():
    m = ReadMap(heads="all", n_heads=1, rows=2, columns=3, values=(0.0, 0.1, 0.2, 0.3, 0.4, 0.0))
    with Image.open(BytesIO(heat_png(m))) as image:
        opacity = np.asarray(image)[..., 3]
    assert opacity.shape == (2, 3)
    assert opacity.argmax() == 4
    assert opacity[0, 0] == 0


def test_maps_of_several_grids_keep_what_each_reads():
    flow = np.zeros(40)
    flow[4:8] = 1.0  # a 2 x 2 grid over the whole image
    flow[10:26] = 2.0  # a 4 x 4 grid over its right half
    whole = _on_fine_grid(flow, ImageGrid(4, 2, 2))
    half = _on_fine_grid(flow, ImageGrid(10, 4, 4, region=(0.5, 0.0, 1.0, 1.0)))
    assert whole.sum() == pytest.approx(4)
    assert half.sum() == pytest.approx(32)
    assert half[:, : FINE // 2].sum() == 0


def test_items_are_chosen_at_equal_steps_of_gain_in_the_frame_of_the_median():
    n, frames = 30, 3
    frame, env, target = (a.ravel() for a in np.meshgrid(range(frames), range(n), range(n), indexing="ij"))
    gain = target.astype(float)[:] + np.array([0.0, 0.4, 0.1])[frame]  # noun v gains v; frame 2 is the median
    table = SurprisalTable(
        form="image",
        frame_kind="shared",
        nouns=tuple(f"n{i}" for i in range(n)),
        categories=("c",) * n,
        frames=tuple("abc"),
        frame_nouns=np.full(frames, -1),
        frame=frame,
        env=env,
        target=target,
        surprisal=np.where(env == target, 0.0, gain),
    )
    chosen = choose_items(table)
    assert len(chosen) == 12
    assert [chosen[0], chosen[-1]] == [(29, 2), (0, 2)]
    assert {f for _, f in chosen} == {2}
    assert choose_items(table, shown=100) == [(v, 2) for v in reversed(range(n))]


def test_the_flow_of_a_picture_is_summed_over_the_patches_of_a_row_inside_and_outside_the_box(reader):
    bed = PatchTestbed()
    maps = measure_flow(reader, bed, noun="cup", frame="patches-1")  # the object covers columns 3 and 4 of rows 1 and 2
    assert maps.tokens[:7] == ("<CHI>", "1: 1–2", "1: 3–4", "2: 1–2", "2: 3–4", "3: 1–4", "4: 1–4")
    assert [maps.tokens[i] for i in maps.shown] == ["1: 3–4", "2: 3–4"]
    assert len(maps.tokens) == 1 + 6 + 4
    assert maps.flow.shape == (3, 11, 11)
    assert not np.triu(maps.flow[0], 1).any()
    items = matched_items(build_contexts(reader, bed, bed.forms[0]))
    item = next(i for i in items if (i.noun, i.frame) == ("cup", "patches-1"))
    whole, _ = flow_matrices(reader, item)
    for (_, every), pooled in zip(whole, maps.flow, strict=True):
        assert pooled.sum() == pytest.approx(float(every.sum()), rel=1e-5)
        assert pooled[-1, list(maps.shown)].sum() == pytest.approx(
            float(every[-1, list(item.row.env_positions)].sum()), rel=1e-5
        )
    assert maps.edge[1] / maps.total[1] > 0.99  # of layer 2, the planted head's


def test_the_terminal_shows_what_was_read_and_swapped(run, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    _, result = run
    show_result(result)
    said = capsys.readouterr().out
    assert "Saliency of a patch" in said
    assert "detected, cross-fitted" in said
    assert "swapped, image: a gain of 5.82" in " ".join(said.split())
