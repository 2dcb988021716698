"""The pause of the cyclic collector ends with its block, however that ends, and leaves it as it was."""

from __future__ import annotations

import gc

import pytest

from groundbench.util.collection import collection_paused


@pytest.mark.parametrize("on", [True, False])
def test_it_is_as_before_after_the_block_and_after_an_error(on: bool) -> None:
    was = gc.isenabled()
    try:
        (gc.enable if on else gc.disable)()
        with collection_paused():
            assert not gc.isenabled()
        assert gc.isenabled() is on
        with pytest.raises(ZeroDivisionError), collection_paused():
            _ = 1 / 0
        assert gc.isenabled() is on
    finally:
        (gc.enable if was else gc.disable)()
