"""The loss in blocks: value and gradients of the textbook way, for any block size, bias and precision."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from groundbench.training import fused_cross_entropy as fused
from groundbench.training.fused_cross_entropy import summed_surprisal

N, D, V = 150, 12, 41


@pytest.fixture(params=["blocks", "at once"])
def both_ways(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Choose between logits in blocks and, as where they are few, the textbook way."""
    if request.param == "blocks":
        monkeypatch.setitem(fused.BLOCK_BYTES, "cpu", 0)
        monkeypatch.setattr(fused, "FEWEST", fused.ROWS)


def textbook(hidden: Tensor, unembedding: nn.Module, targets: Tensor) -> Tensor:
    return F.cross_entropy(unembedding(hidden).float(), targets, reduction="sum")


def parts(loss: object, bias: bool, bf16: bool = False, scale: float = 1 / N, n: int = N) -> list[Tensor]:
    """The value and every gradient of `scale` times a loss of `n` tokens."""
    torch.manual_seed(0)
    unembedding = nn.Linear(D, V, bias=bias)
    hidden, targets = torch.randn(n, D, requires_grad=True), torch.randint(V, (n,))
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        value = loss(hidden, unembedding, targets)  # type: ignore[operator]
    (value * scale).backward()
    return [value.detach(), hidden.grad, *(p.grad for p in unembedding.parameters())]  # type: ignore[list-item]


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(("rows", "fewest"), [(1, 64), (64, 1), (N - 1, 1), (N, 1), (1000, 1), (1, 1000)])
def test_it_is_the_textbook_loss(monkeypatch: pytest.MonkeyPatch, bias: bool, rows: int, fewest: int) -> None:
    monkeypatch.setitem(fused.BLOCK_BYTES, "cpu", 4 * V * rows)
    monkeypatch.setattr(fused, "FEWEST", fewest)
    ours, theirs = (parts(loss, bias, scale=0.3) for loss in (summed_surprisal, textbook))
    assert len(ours) == (4 if bias else 3)
    for a, b in zip(ours, theirs, strict=True):
        assert a.dtype == b.dtype
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)


def test_under_autocast_it_is_as_near_as_bf16_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(fused.BLOCK_BYTES, "cpu", 4 * V * 7)
    monkeypatch.setattr(fused, "FEWEST", 64)
    exact, low = parts(textbook, True), parts(summed_surprisal, True, bf16=True)
    assert not torch.equal(exact[0], low[0])
    for a, b in zip(low, exact, strict=True):
        assert a.dtype == b.dtype == torch.float32
        torch.testing.assert_close(a, b, atol=1e-2, rtol=2e-2)


@pytest.mark.parametrize("n", [1, fused.ROWS, fused.ROWS + 1, 3 * fused.ROWS - 5])
def test_low_precision_meets_few_shapes_and_counts_no_row_that_was_added(
    monkeypatch: pytest.MonkeyPatch, n: int
) -> None:
    monkeypatch.setitem(fused.BLOCK_BYTES, "cpu", 4 * V * (2 * fused.ROWS + 9))
    monkeypatch.setattr(fused, "FEWEST", 1)
    exact = parts(textbook, True, n=n)
    rows, linear = [], F.linear
    monkeypatch.setattr(F, "linear", lambda x, *rest: (rows.append(len(x)), linear(x, *rest))[1])
    low = parts(summed_surprisal, True, bf16=True, n=n)
    assert set(rows) <= {fused.ROWS, 2 * fused.ROWS}
    assert sum(rows) < n + fused.ROWS
    for a, b in zip(low, exact, strict=True):
        assert a.shape == b.shape
        torch.testing.assert_close(a, b, atol=3e-2, rtol=2e-2)


@pytest.mark.usefixtures("both_ways")
def test_frozen_parts_take_no_gradient() -> None:
    unembedding = nn.Linear(D, V).requires_grad_(False)
    hidden = torch.randn(N, D, requires_grad=True)
    summed_surprisal(hidden, unembedding, torch.zeros(N, dtype=torch.long)).backward()
    assert hidden.grad is not None
    assert unembedding.weight.grad is None


@pytest.mark.usefixtures("both_ways")
def test_without_gradient_only_the_value_is_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    unembedding, hidden = nn.Linear(D, V), torch.randn(N, D)
    monkeypatch.setattr(fused, "_Gradients", None)  # calling it would fail
    with torch.no_grad():
        value = summed_surprisal(hidden, unembedding, torch.arange(N) % V)
    assert not value.requires_grad
    torch.testing.assert_close(value, textbook(hidden, unembedding, torch.arange(N) % V).detach())


@pytest.mark.usefixtures("both_ways")
def test_an_impossible_word_has_an_infinite_surprisal_not_a_nan() -> None:
    unembedding = nn.Linear(D, V)
    with torch.no_grad():
        unembedding.bias[3] = -torch.inf
    assert summed_surprisal(torch.randn(2, D), unembedding, torch.tensor([3, 3])).item() == torch.inf


def test_an_unembedding_that_is_no_linear_layer_is_called() -> None:
    unembedding = nn.Sequential(nn.Linear(D, V), nn.Softplus())
    hidden, targets = torch.randn(N, D), torch.arange(N) % V
    assert torch.equal(summed_surprisal(hidden, unembedding, targets), textbook(hidden, unembedding, targets))


@pytest.mark.usefixtures("both_ways")
def test_no_rows_are_no_surprisal() -> None:
    hidden = torch.zeros(0, D, requires_grad=True)
    loss = summed_surprisal(hidden, nn.Linear(D, V), torch.zeros(0, dtype=torch.long))
    loss.backward()
    assert loss.item() == 0.0


@pytest.mark.usefixtures("both_ways")
def test_a_frozen_text_before_the_unembedding_needs_no_gradient() -> None:
    unembedding, targets = nn.Linear(D, V), torch.arange(N) % V
    hidden = torch.randn(N, D)
    summed_surprisal(hidden, unembedding, targets).backward()
    found = unembedding.weight.grad
    unembedding.weight.grad = None
    textbook(hidden, unembedding, targets).backward()
    torch.testing.assert_close(found, unembedding.weight.grad, atol=1e-5, rtol=1e-5)
