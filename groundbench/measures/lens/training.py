"""Training a tuned lens: KL(final || lens) at every position, all layers at once (Belrose et al. 2023; protocol §9).

The model runs once, without a graph; its hidden states are kept and every step draws positions among them. Gradients
reach the translators through the frozen final norm and unembedding only.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict

import numpy as np
import torch
from torch import Tensor

from groundbench.api.adapter import Adapter, Encoded
from groundbench.api.errors import BadInputError, NonFiniteLogitsError, UnsupportedModelError
from groundbench.engine.batch_runner import in_halves
from groundbench.engine.scoring import DEFAULT_BATCH_TOKENS
from groundbench.engine.subject import require_value
from groundbench.measures.lens.options import LensOptions
from groundbench.measures.lens.tuned_lens import TunedLens

CHUNK_LOGITS = 1 << 23
MAX_STATES = 1 << 29
"""Most numbers of all layers' hidden states that are kept: 2 GiB in fp32."""
PASS_STATES = 1 << 26
"""Most numbers of all layers' hidden states of one forward pass."""
FLOOR = 0.1
"""Least spread of a coordinate, as a part of the layer's median: a flat direction is not blown up."""


def train_lens(
    adapter: Adapter,
    rows: Sequence[Encoded],
    options: LensOptions,
    *,
    seed: int = 0,
    batch_tokens: int = DEFAULT_BATCH_TOKENS,
    advance: Callable[[int], None] | None = None,
) -> TunedLens:
    """Train a translator for each layer on every position of `rows`.

    Args:
        rows: the text to train on; what follows the same tokens in several rows is trained on once.
        seed: of the choice of rows and of positions.
        advance: called after every finished step.

    Raises:
        UnsupportedModelError: the model gives no hidden states, or no gradient through its unembedding.
        BadInputError: there is no text, or a layer is unknown.
        NonFiniteLogitsError: a gradient is no number.
    """
    info = adapter.info
    layers = options.translated_layers(info)
    require_hidden(adapter)
    if not rows:
        raise BadInputError(f"{info.name}: no text to train a tuned lens on")
    if not layers:
        return TunedLens.identity(info, ())
    states = hidden_states(adapter, rows, (*layers, info.n_layers), options, seed=seed, batch_tokens=batch_tokens)
    translators = _Translators(states[:-1], info.device)
    optimiser = torch.optim.Adam(translators.parameters, lr=options.learning_rate, betas=(0.9, 0.99))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: 1 - step / options.steps)
    draw = torch.Generator().manual_seed(seed)
    size = require_value(options.batch_positions, "batch_positions")
    for step in range(options.steps):
        drawn = torch.randint(states.shape[1], (size,), generator=draw)
        batch = states[:, drawn].to(info.device)
        with torch.enable_grad():
            translated = translators(batch[:-1].float())
            gradient = _kl_gradient(adapter, translated, batch[-1])
            if not bool(torch.isfinite(gradient).all()):
                raise NonFiniteLogitsError(f"{info.name}: NaN or infinite gradients at step {step} of a lens' training")
            optimiser.zero_grad()
            torch.autograd.backward(translated, gradient)
        optimiser.step()
        schedule.step()
        if advance is not None:
            advance(1)
    weight, bias = translators.affine()
    return TunedLens(info.fingerprint, layers, weight, bias, training_key(rows, options, seed))


def training_key(rows: Sequence[Encoded], options: LensOptions, seed: int) -> dict[str, object]:
    """Return what decides the translators besides the model: the options and a hash of the text."""
    text = hashlib.sha256(repr([(r.ids, r.images) if r.images else r.ids for r in rows]).encode()).hexdigest()[:16]
    kept = {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(options).items()}
    return {**kept, "seed": seed, "text": text}


def require_hidden(adapter: Adapter) -> None:
    """Raise UnsupportedModelError for a model whose hidden states cannot be read."""
    if "hidden" not in adapter.info.capabilities:
        raise UnsupportedModelError(
            f"{adapter.info.name}: no lens, since {adapter.info.architecture} gives no hidden states that, unembedded, "
            "are its own logits"
        )


def kl_divergence(final: Tensor, lens: Tensor) -> Tensor:
    """KL(final || lens) [...] in nats of log-probabilities [..., V]."""
    return (final.exp() * (final - lens)).sum(-1)


def hidden_states(
    adapter: Adapter,
    rows: Sequence[Encoded],
    layers: tuple[int, ...],
    options: LensOptions,
    *,
    seed: int = 0,
    batch_tokens: int = DEFAULT_BATCH_TOKENS,
) -> Tensor:
    """Return [layers, P, d] hidden states at the rows' distinct positions, in the model's dtype, on the CPU.

    Rows are taken in a seeded order until they hold enough positions.
    """
    info = adapter.info
    width = info.d_model * len(layers)
    wanted = min(options.positions, max(1, MAX_STATES // width))
    chosen = _distinct_positions(rows, wanted, seed)
    kept: list[Tensor] = []
    for batch in _batches(chosen, rows, min(batch_tokens, max(1, PASS_STATES // width))):
        kept += in_halves(lambda some: _states(adapter, rows, chosen, some, layers), batch, name="row {}".format)
    return torch.cat(kept, 1)[:, :wanted]


def _states(
    adapter: Adapter,
    rows: Sequence[Encoded],
    chosen: dict[int, np.ndarray],
    some: Sequence[int],
    layers: tuple[int, ...],
) -> Tensor:
    """Return [layers, P, d] at the chosen positions of some rows of one length."""
    out = adapter.forward([rows[i] for i in some], hidden=layers)
    states = torch.stack([out.hidden[layer] for layer in layers])
    mask = torch.tensor(np.stack([chosen[i] for i in some]), device=states.device)
    return states[:, mask].cpu()


def _distinct_positions(rows: Sequence[Encoded], wanted: int, seed: int) -> dict[int, np.ndarray]:
    """For each row that is used, which of its positions [T] end a run of tokens that no earlier row begins with."""
    seen: set[int] = set()
    chosen: dict[int, np.ndarray] = {}
    count = 0
    for i in np.random.default_rng(seed).permutation(len(rows)).tolist():
        key = i + 1 if rows[i].images else 0  # what follows an image shares nothing with other rows
        new = np.zeros(len(rows[i]), dtype=bool)
        for t, token in enumerate(rows[i].ids):
            key = hash((key, token))
            new[t] = key not in seen
            seen.add(key)
        for begin, end in rows[i].image_spans:
            new[begin:end] = False  # no word follows a patch
        if new.any():
            chosen[i] = new
            count += int(new.sum())
        if count >= wanted:
            break
    return chosen


def _batches(chosen: dict[int, np.ndarray], rows: Sequence[Encoded], tokens: int) -> Iterator[list[int]]:
    """Yield rows of one length, under a budget of tokens."""
    groups: dict[int, list[int]] = {}
    for i in chosen:
        groups.setdefault(len(rows[i]), []).append(i)
    for length, members in sorted(groups.items()):
        size = max(1, tokens // length)
        for start in range(0, len(members), size):
            yield members[start : start + size]


class _Translators:
    """All layers' translators while they are trained: h + s ((h - m) / r A + c), which is affine in h.

    m [L, 1, d] and r [L, 1, d] are the mean and the spread of each coordinate, s [L, 1, 1] the median spread, so that
    one learning rate fits all layers and models (a few coordinates of a real model are hundreds of times the others,
    and would decide a mean). A and c start at 0: the identity.
    """

    def __init__(self, states: Tensor, device: str) -> None:
        mean, spread = [], []
        for layer in states:
            layer = layer.float()
            mean.append(layer.mean(0, keepdim=True))
            spread.append(layer.std(0, keepdim=True, correction=0))
        self.mean = torch.stack(mean).to(device)
        own = torch.stack(spread).to(device)
        self.size = own.median(-1, keepdim=True).values.clamp(min=1e-12)
        self.spread = own.maximum(FLOOR * self.size)
        n, _, d = self.mean.shape
        self.matrix = torch.zeros(n, d, d, device=device, requires_grad=True)
        self.shift = torch.zeros(n, 1, d, device=device, requires_grad=True)
        self.parameters = [self.matrix, self.shift]

    def __call__(self, hidden: Tensor) -> Tensor:
        """Return [L, B, d] -> [L, B, d]."""
        return hidden + self.size * (((hidden - self.mean) / self.spread) @ self.matrix + self.shift)

    @torch.no_grad()
    def affine(self) -> tuple[Tensor, Tensor]:
        """W [L, d, d] and b [L, d] of the same map as h + h W + b."""
        weight = self.size * self.matrix / self.spread.transpose(1, 2)
        bias = self.size * self.shift - self.mean @ weight
        return weight.contiguous(), bias[:, 0].contiguous()


def _kl_gradient(adapter: Adapter, translated: Tensor, final: Tensor) -> Tensor:
    """Gradient [L, B, d] of the KL summed over layers and averaged over positions, in chunks of positions.

    With respect to the lens' logits it is softmax(lens) - softmax(final); the unembedding's own graph does the rest.
    """
    n_layers, n, _ = translated.shape
    size = max(1, CHUNK_LOGITS // (n_layers * adapter.info.vocab_size))
    gradient = torch.empty_like(translated)
    for start in range(0, n, size):
        part = slice(start, start + size)
        leaf = translated[:, part].detach().requires_grad_()
        logits = adapter.unembed(leaf.to(final.dtype), normed=False)
        if not logits.requires_grad:
            raise UnsupportedModelError(
                f"{adapter.info.name}: its unembedding passes no gradient, so no tuned lens can be trained"
            )
        with torch.no_grad():
            goal = adapter.unembed(final[part], normed=False).float().softmax(-1)
            difference = logits.detach().float().softmax(-1).sub_(goal).div_(n)
        (gradient[:, part],) = torch.autograd.grad(logits, leaf, difference.to(logits.dtype))
    return gradient
