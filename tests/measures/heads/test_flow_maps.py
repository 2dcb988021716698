"""Flow matrices of one prompt, from Python and from the command line: the planted edge is the largest of its layer."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from helpers.planted import FRAMES, PLANTED, Planted, PlantedTestbed
from helpers.tiny_models import random_items, tiny_adapter
from helpers.tolerances import nats

from groundbench.adapters.huggingface import open_causal
from groundbench.api.errors import UnsupportedModelError
from groundbench.measures.heads.flow_maps import measure_flow
from groundbench.measures.heads.saliency import SaliencyOptions, flow_matrices, measure_saliency
from groundbench.report.elements import Facts
from groundbench.report.pages import render_flow
from groundbench.report.sections.flow import FlowPage, Layer
from groundbench.training import train

BED = PlantedTestbed()
Say = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module", params=sorted(PLANTED))
def planted(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Planted:
    return PLANTED[request.param](tmp_path_factory.mktemp("planted") / request.param)


def test_the_planted_edge_is_the_largest_of_its_layer(planted: Planted) -> None:
    adapter = open_causal(str(planted.folder))
    for frame in ("planted-0", "planted-2"):
        maps = measure_flow(adapter, BED, noun="cup", frame=frame)
        (position,) = maps.shown
        assert maps.tokens[position] == "cup:<ENV>"
        assert maps.target == ("cup:<LAN>",)
        for layer, _ in planted.aggregate:
            matrix = maps.flow[maps.layers.index(layer)]
            assert np.unravel_index(matrix.argmax(), matrix.shape) == (len(maps.tokens) - 1, position)
            assert maps.edge[maps.layers.index(layer)] == matrix[-1, position]
        for layer, _ in planted.gather:  # what is gathered at the noun's position comes from the verb before it
            into = maps.flow[maps.layers.index(layer)][position]
            verb = next(i for i, t in enumerate(maps.tokens) if t in {"look:<ENV>", "holds:<ENV>"})
            assert into[:position].argmax() == verb


def test_matrices_are_causal_and_their_sums_are_the_measured_saliency(planted: Planted) -> None:
    adapter = open_causal(str(planted.folder))
    maps = measure_flow(adapter, BED, noun="dog")
    assert maps.frame == "planted-0"
    assert maps.flow.dtype == np.float32
    assert not np.triu(maps.flow, 1).any()
    assert (maps.flow >= 0).all()
    assert maps.total == pytest.approx(maps.flow.sum((1, 2)))


def test_the_loss_over_all_target_tokens() -> None:
    adapter = tiny_adapter("llama")
    item = random_items(1, tokens=3)[0]
    sums = []
    for loss in ("first", "all"):
        matrices, surprisal = flow_matrices(adapter, item, loss)
        whole = measure_saliency(adapter, [item], SaliencyOptions("total", loss=loss))
        assert [float(m.sum()) for _, m in matrices] == pytest.approx(whole.layer_total[0].tolist(), rel=1e-4)
        assert surprisal == nats(float(whole.surprisal[0]))
        sums.append(sum(float(m.sum()) for _, m in matrices))
    assert abs(sums[0] - sums[1]) > 0.01 * sums[1]


def test_saved_arrays_come_back(planted: Planted, tmp_path: Path) -> None:
    maps = measure_flow(open_causal(str(planted.folder)), BED, noun="hat", frame="planted-1")
    maps.save(tmp_path / "flow.npz")
    with np.load(tmp_path / "flow.npz", allow_pickle=False) as file:
        assert (file["flow"] == maps.flow).all()
        assert tuple(file["tokens"].tolist()) == maps.tokens
        assert tuple(file["layers"].tolist()) == maps.layers
        header = json.loads(str(file["header"]))
    assert (header["noun"], header["frame"], header["loss"]) == ("hat", "planted-1", "first")
    assert [p.name for p in tmp_path.iterdir()] == ["flow.npz"]


def cells(svg: ElementTree.Element) -> dict[tuple[float, float], float]:
    """The opacity of every square by its corner."""
    found = [e for e in svg.iter() if e.get("class") == "cell"]
    return {(float(e.get("x")), float(e.get("y"))): float(e.get("fill-opacity")) for e in found}  # type: ignore[arg-type]


def maps_of(page: str) -> list[ElementTree.Element]:
    return [ElementTree.fromstring(s) for s in re.findall(r'<svg class="plot.*?</svg>', page, re.S)]


def test_all_layers_of_the_page_have_one_scale_and_the_edge_is_framed() -> None:
    flow = [[0.0, 0.0, 0.0], [0.5, 0.25, 0.0], [1.0, 4.0, 0.0]]
    layers = (Layer(1, flow), Layer(2, [[v / 4 for v in row] for row in flow]), Layer(3, [[0.0] * 3] * 3))
    environment = Facts("Environment", (("Device", "cpu"),))
    name = "extraordinarily-long-name"
    facts = (("Loss", "first"),)
    page = render_flow(FlowPage("t", "a", "s", ("<x>", name, "the"), frozenset({1}), layers, facts, environment))
    first, second, empty = maps_of(page)
    assert sorted(cells(first).values()) == [0.062, 0.125, 0.25, 1.0]
    assert sorted(cells(second).values()) == [0.016, 0.031, 0.062, 0.25]
    assert cells(empty) == {}
    assert all("0\u00a0to\u00a04 in all layers" in "".join(m.itertext()) for m in (first, second, empty))
    (frame,) = [e for e in first.iter() if e.get("class") == "pick"]
    assert cells(first)[float(frame.get("x")), float(frame.get("y"))] == 1.0
    shown = [e for e in first.iter() if e.get("class") == "tick shown"]
    assert {e.text for e in shown} == {name}
    corner = min(x for x, _ in cells(first))
    assert corner > len(name) * 6
    assert f"“{name}” (2) to “the” (3)" in page
    assert "Nothing flows in this layer." in page
    assert "Device" in page
    assert "&lt;x&gt;" in page


BOX = """\
name: box
version: "1"
natural_language: false
frame_kind: shared
nouns:
  - {word: cup, category: things, article: a, plural: cups}
  - {word: hat, category: things, article: a, plural: hats}
forms:
  token: {description: its own token, template: "{noun}:<ENV>"}
target: "{noun}:<LAN>"
frames:
  look: "%s"
"""


@pytest.fixture
def box(tmp_path: Path) -> str:
    path = tmp_path / "box.yaml"
    path.write_text(BOX % FRAMES[0])
    return str(path)


def test_the_command_writes_page_and_matrices(planted: Planted, say: Say, tmp_path: Path, box: str) -> None:
    out = tmp_path / "flow"
    words = ("flow", str(planted.folder), "--testbed", box, "--out", str(out))
    code, text, err = say(*words, "--noun", "hat")
    assert code == 0, err
    page = (out / "flow.html").read_text()
    with np.load(out / "flow.npz") as file:
        layers, flow = file["layers"].tolist(), file["flow"]
    assert len(maps_of(page)) == len(layers)
    assert "<script" not in page
    assert "Where “hat:&lt;LAN&gt;” comes from" in page
    rows = [[c.strip() for c in line.strip("│").split("│")] for line in text.splitlines() if line.startswith("│")]
    assert [(int(r[0]), float(r[1])) for r in rows] == [
        (n, pytest.approx(float(m.sum()), rel=1e-3)) for n, m in zip(layers, flow, strict=True)
    ]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--noun", "zebra"), "has no noun 'zebra'"),
        (("--frame", "lok"), "has no frame 'lok' for 'cup'; did you mean 'look'?"),
        (("--env-form", "smell"), "has no ENV form 'smell'"),
    ],
)
def test_what_there_is_not_is_one_sentence(
    planted: Planted, say: Say, tmp_path: Path, box: str, words: tuple[str, ...], said: str
) -> None:
    code, text, err = say("flow", str(planted.folder), "--testbed", box, "--out", str(tmp_path / "o"), *words)
    assert (code, text) == (2, "")
    assert said in err
    assert len(err.strip().splitlines()) == 1
    assert not (tmp_path / "o").exists()


def test_a_model_without_heads_has_no_flow(tmp_path: Path) -> None:
    made = {"architecture": "groundbench_lstm", "config.num_hidden_layers": 1, "config.hidden_size": 16}
    (*_, last) = train("lstm-1l-mini", "childworld", tmp_path, steps=1, override=made, device="cpu", threads=1)
    with pytest.raises(UnsupportedModelError, match="no saliency flow, since the model has no heads"):
        measure_flow(open_causal(str(last)), BED)
