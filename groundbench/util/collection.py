"""A pause of Python's cyclic garbage collector while very many small records are made."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def collection_paused() -> Iterator[None]:
    """Pause the cyclic collector inside the block; records without cycles need none.

    The collector looks through all living records again and again while their number grows: of 100,000 prompts that
    takes twice as long as to make them.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
