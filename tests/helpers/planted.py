"""Models with weights set by hand, whose grounding heads are known (protocol §14 C).

Each is an ordinary `from_pretrained` folder for one tiny testbed: 12 nouns in 4 shared frames. The residual stream has
named coordinates; every token's embedding is balanced (mean 0, one norm), so that the norms only rescale it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import GPT2Config, GPT2LMHeadModel, Mamba2Config, Mamba2ForCausalLM, PreTrainedModel

from groundbench.api.adapter import Adapter
from groundbench.api.testbed import EnvForm, Frame, Noun, Prompt, Testbed, text_prompt
from groundbench.measures.heads.saliency import SaliencyItem
from helpers.tiny_models import word_tokenizer

ANIMALS, THINGS = ("dog", "cat", "cow", "pig", "duck", "bear"), ("ball", "cup", "book", "hat", "box", "spoon")
NOUNS = ANIMALS + THINGS
FRAMES = (
    "<CHI> look:<ENV> at:<ENV> the:<ENV> {env} <MOT> you:<LAN> want:<LAN> the:<LAN>",
    "<CHI> sees:<ENV> the:<ENV> {env} <MOT> is:<LAN> that:<LAN> your:<LAN>",
    "<CHI> holds:<ENV> one:<ENV> old:<ENV> {env} there:<ENV> <MOT> give:<LAN> me:<LAN> that:<LAN>",
    "<CHI> takes:<ENV> the:<ENV> big:<ENV> {env} <MOT> here:<LAN> comes:<LAN> my:<LAN> little:<LAN>",
)
VERBS = ("look:<ENV>", "sees:<ENV>", "holds:<ENV>", "takes:<ENV>")

WIDTH, HEADS, HEAD_WIDTH = 64, 4, 16
ENV_ID, SAID, ENV_FLAG, ONE, VERB, GATHERED, SINK, FILL = 0, 12, 24, 25, 26, 27, 28, 29  # the upper half mirrors them
NORM = 4.0
RMS = NORM * math.sqrt(2 / WIDTH)  # of a token's embedding, mirror included
LOGIT = 6.0
BACKGROUND = 1e-5  # what the other heads write: something, so that they have saliency, but nothing that matters

Head = tuple[int, int]


@dataclass(frozen=True)
class Planted:
    """A saved model and the heads, as (layer from 1, head from 0), that detection has to find."""

    folder: Path
    aggregate: frozenset[Head]
    gather: frozenset[Head] = field(default_factory=frozenset)
    distractors: frozenset[Head] = field(default_factory=frozenset)


class PlantedTestbed(Testbed):
    """12 nouns, 4 shared frames; the ENV form of a noun is its own token."""

    name = "planted"
    version = "1"
    nouns = tuple(Noun(w, "animals" if w in ANIMALS else "things") for w in NOUNS)
    forms = (EnvForm("token"),)
    default_form = "token"
    frame_kind = "shared"
    natural_language = False

    def frames(self, form: EnvForm) -> tuple[Frame, ...]:
        return tuple(Frame(f"planted-{i}", template) for i, template in enumerate(FRAMES))

    def prompt(self, frame: Frame, env: Noun, form: EnvForm) -> Prompt:
        return text_prompt(frame, env, form.name, f"{env.word}:<ENV>")

    def target(self, noun: Noun) -> str:
        return f"{noun.word}:<LAN>"


def matched_items(adapter: Adapter, testbed: Testbed) -> list[SaliencyItem]:
    """Every noun in every frame, its own language form the target."""
    form = testbed.form(testbed.default_form)
    items = []
    for frame in testbed.frames(form):
        for noun in testbed.nouns:
            prompt = testbed.prompt(frame, noun, form)
            (row,) = adapter.encode([prompt])
            (target,) = adapter.encode_targets([testbed.target(noun)], prompt)
            items.append(SaliencyItem(row, target, noun.word, frame.id))
    return items


def single_head(folder: Path) -> Planted:
    """GPT-2 in which head (2, 1) moves the ENV noun to the prediction."""
    model = _gpt2(layers=3)
    _background(model)
    _aggregate(model, layer=2, head=1, key=ENV_FLAG, score=20.0, write=1.0)
    return _save(model, folder, Planted(folder, frozenset({(2, 1)})))


def with_distractor(folder: Path) -> Planted:
    """The same, and head (1, 3) attends to the ENV noun just as strongly but writes next to nothing."""
    model = _gpt2(layers=3)
    _background(model)
    _aggregate(model, layer=2, head=1, key=ENV_FLAG, score=20.0, write=1.0)
    _aggregate(model, layer=1, head=3, key=ENV_FLAG, score=20.0, write=1e-5)
    return _save(model, folder, Planted(folder, frozenset({(2, 1)}), distractors=frozenset({(1, 3)})))


def gather_then_aggregate(folder: Path) -> Planted:
    """Head (1, 2) marks the ENV noun's position from an earlier verb; head (2, 0) reads only where the mark is.

    Everything else of head (2, 0)'s attention rests on the first token, so without the mark nothing is moved.
    """
    model = _gpt2(layers=2)
    _background(model)
    gather = _empty_head(model, 1, 2)
    gather.query(ENV_FLAG, 0, 4 * 20.0)
    gather.key(VERB, 0, 1.0)
    gather.query_bias(1, 4 * 10.0)
    gather.key(SINK, 1, 1.0)
    gather.move(VERB, GATHERED, 0, 1.0)
    _aggregate(model, layer=2, head=0, key=GATHERED, score=15.0, write=1.0)
    _HeadWeights(model, 2, 0).key(SINK, 0, 10.0)
    return _save(model, folder, Planted(folder, frozenset({(2, 0)}), gather=frozenset({(1, 2)})))


def state_space(folder: Path) -> Planted:
    """Mamba-2 in which head (1, 2) carries the ENV noun in its state; the other heads forget at once."""
    config = Mamba2Config(
        vocab_size=len(vocabulary()),
        hidden_size=WIDTH,
        num_hidden_layers=2,
        num_heads=HEADS,
        head_dim=HEAD_WIDTH,
        expand=1,
        state_size=4,
        n_groups=1,
        conv_kernel=2,
        chunk_size=16,
        tie_word_embeddings=False,
        pad_token_id=0,
        bos_token_id=0,
        eos_token_id=0,
    )
    model = Mamba2ForCausalLM(config).eval()
    with torch.no_grad():
        _embed(model.backbone.embeddings, model.lm_head)
        generator = torch.Generator().manual_seed(0)
        for number, block in enumerate(model.backbone.layers, start=1):
            _state_space_layer(block.mixer, carries=2 if number == 1 else None, generator=generator)
    return _save(model, folder, Planted(folder, frozenset({(1, 2)})))


PLANTED: dict[str, Callable[[Path], Planted]] = {
    "single_head": single_head,
    "with_distractor": with_distractor,
    "gather_then_aggregate": gather_then_aggregate,
    "state_space": state_space,
}


def vocabulary() -> list[str]:
    words = dict.fromkeys(w for f in FRAMES for w in f.split() if w != "{env}")
    return ["<unk>", *words, *(f"{n}:<ENV>" for n in NOUNS), *(f"{n}:<LAN>" for n in NOUNS)]


def _embed(embeddings: nn.Embedding, head: nn.Linear, marked: Collection[str] = VERBS) -> None:
    """Every token's coordinates; `marked` tokens have the coordinate VERB."""
    head.weight.zero_()
    for i, word in enumerate(vocabulary()):
        half = torch.zeros(WIDTH // 2)
        half[ONE] = 1.0
        noun = word.split(":")[0]
        if noun in NOUNS and word.endswith(":<ENV>"):
            half[ENV_ID + NOUNS.index(noun)] = half[ENV_FLAG] = 1.0
        if noun in NOUNS and word.endswith(":<LAN>"):
            head.weight[i, SAID + NOUNS.index(noun)] = LOGIT * RMS
        half[VERB] = float(word in marked)
        half[SINK] = float(word == "<CHI>")
        half[FILL] = math.sqrt(NORM**2 - float(half @ half))
        embeddings.weight[i] = torch.cat([half, -half])


def _gpt2(layers: int, marked: Collection[str] = VERBS) -> GPT2LMHeadModel:
    config = GPT2Config(
        vocab_size=len(vocabulary()),
        n_positions=32,
        n_embd=WIDTH,
        n_layer=layers,
        n_head=HEADS,
        tie_word_embeddings=False,
        bos_token_id=0,
        eos_token_id=0,
    )
    model = GPT2LMHeadModel(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if not (".ln_" in name and name.endswith("weight")):
                parameter.zero_()
        _embed(model.transformer.wte, model.lm_head, marked)
    return model


class _HeadWeights:
    """The weights of one GPT-2 head, by residual coordinate and the head's own channel."""

    def __init__(self, model: GPT2LMHeadModel, layer: int, head: int) -> None:
        attention = model.transformer.h[layer - 1].attn
        self._in, self._bias, self._out = attention.c_attn.weight, attention.c_attn.bias, attention.c_proj.weight
        self._start = head * HEAD_WIDTH

    @torch.no_grad()
    def query(self, source: int, channel: int, weight: float) -> None:
        self._in[source, self._start + channel] = weight * RMS

    @torch.no_grad()
    def query_bias(self, channel: int, value: float) -> None:
        self._bias[self._start + channel] = value

    @torch.no_grad()
    def key(self, source: int, channel: int, weight: float) -> None:
        self._in[source, WIDTH + self._start + channel] = weight * RMS

    @torch.no_grad()
    def move(self, source: int, target: int, channel: int, weight: float) -> None:
        self._in[source, 2 * WIDTH + self._start + channel] = RMS
        self._out[self._start + channel, target] = weight
        self._out[self._start + channel, target + WIDTH // 2] = -weight


def _aggregate(model: GPT2LMHeadModel, *, layer: int, head: int, key: int, score: float, write: float) -> None:
    """A head that attends to the tokens whose coordinate `key` is set and says what they show."""
    weights = _empty_head(model, layer, head)
    weights.query_bias(0, 4.0)  # scores are divided by the root of the head's width, 4
    weights.key(key, 0, score)
    for noun in range(len(NOUNS)):
        weights.move(ENV_ID + noun, SAID + noun, noun, write)


@torch.no_grad()
def _empty_head(model: GPT2LMHeadModel, layer: int, head: int) -> _HeadWeights:
    """A head without its background."""
    attention = model.transformer.h[layer - 1].attn
    own = slice(head * HEAD_WIDTH, (head + 1) * HEAD_WIDTH)
    for part in range(3):
        attention.c_attn.weight[:, part * WIDTH :][:, own] = 0.0
    attention.c_proj.weight[own] = 0.0
    return _HeadWeights(model, layer, head)


@torch.no_grad()
def _background(model: GPT2LMHeadModel) -> None:
    """Heads that attend to everything equally, read what all tokens share and write next to nothing."""
    generator = torch.Generator().manual_seed(0)
    for block in model.transformer.h:
        for head in range(HEADS):
            channel = head * HEAD_WIDTH
            block.attn.c_attn.weight[ONE, 2 * WIDTH + channel] = RMS
            block.attn.c_proj.weight[channel] = _mirrored_noise(generator)


def _mirrored_noise(generator: torch.Generator) -> Tensor:
    noise = torch.zeros(WIDTH // 2)
    noise[SAID : SAID + len(NOUNS)] = BACKGROUND * torch.randn(len(NOUNS), generator=generator)
    return torch.cat([noise, -noise])


def _state_space_layer(mixer: nn.Module, *, carries: int | None, generator: torch.Generator) -> None:
    width, states = WIDTH, 4
    x, b, c = width, 2 * width, 2 * width + states  # rows of in_proj: gate, x, B, C, dt
    mixer.in_proj.weight.zero_()
    mixer.in_proj.weight[:width, ONE] = 2.0 * RMS  # the gate is open, the same everywhere
    mixer.in_proj.weight[b, ONE] = mixer.in_proj.weight[c, ONE] = 1.0 * RMS
    mixer.conv1d.weight.zero_()
    mixer.conv1d.weight[:, 0, -1] = 1.0  # no smear
    mixer.conv1d.bias.zero_()
    mixer.dt_bias.fill_(0.5)
    mixer.D.zero_()
    mixer.A_log.fill_(math.log(3.0))
    mixer.norm.weight.fill_(1.0)
    mixer.out_proj.weight.zero_()
    for head in range(HEADS):
        start = head * HEAD_WIDTH
        if head == carries:
            mixer.A_log[head] = -8.0
            for noun in range(len(NOUNS)):
                mixer.in_proj.weight[x + start + noun, ENV_ID + noun] = 3.0 * RMS
                mixer.out_proj.weight[SAID + noun, start + noun] = 0.2
                mixer.out_proj.weight[SAID + noun + width // 2, start + noun] = -0.2
        else:
            mixer.in_proj.weight[x + start, ONE] = 1.0 * RMS
            mixer.out_proj.weight[:, start] = _mirrored_noise(generator)


def _save(model: PreTrainedModel, folder: Path, planted: Planted) -> Planted:
    model.save_pretrained(folder)
    word_tokenizer(vocabulary()).save_pretrained(folder)
    return planted
