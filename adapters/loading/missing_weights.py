"""Refuse a model whose files lack weights: transformers would draw them at random without an error."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from groundbench.api.errors import BadInputError

LAYER = re.compile(r"^(?P<before>.*?)\.(?P<layer>\d+)\.")
CONTAINERS = ("model", "state_dict", "model_state_dict", "module", "weights", "net", "params")
"""Under which name training loops keep the weights among other things."""
GGUF_PART = re.compile(r"-\d{5}-of-(\d{5})\.gguf$")
SHOWN = 3


def require_whole(
    name: str, info: Mapping[str, Any], *, architecture: str, config: Any, file: str | None = None
) -> tuple[str, ...]:
    """Check what `from_pretrained(..., output_loading_info=True)` says of a model's weights.

    Args:
        name: the model's name, for messages.
        info: `missing_keys`, `unexpected_keys` and `mismatched_keys` (name, shape in the file, shape wanted). Tied
            weights and buffers that are computed are in none of them.
        architecture: the class that the weights were loaded into.
        file: the one file that was read, if it was one.

    Returns:
        Notes for the result: weights in the files that the model has no place for.

    Raises:
        BadInputError: weights are missing or of another shape; names them and says how many there are.
    """
    missing, unexpected = (sorted(map(str, info.get(key) or ())) for key in ("missing_keys", "unexpected_keys"))
    mismatched = sorted((str(n), tuple(found), tuple(wanted)) for n, found, wanted in info.get("mismatched_keys") or ())
    if mismatched:
        first, found, wanted = mismatched[0]
        raise BadInputError(
            f"{name}: {_weights(len(mismatched))} of another shape in its files than by its config: {first} is "
            f"{_shape(found)}, expected {_shape(wanted)}{_other_names([n for n, *_ in mismatched[1:]])}"
        )
    if missing:
        why = _reason(missing, unexpected, architecture, config, file)
        raise BadInputError(
            f"{name}: {_weights(len(missing))} not in its files ({_names(missing)}) and would be drawn at random"
            + (f": {why}" if why else f"; expected all weights of {architecture}")
        )
    if not unexpected:
        return ()
    return (f"{_weights(len(unexpected))} in its files but not in {architecture}, so not used ({_names(unexpected)})",)


def common_prefix(missing: Collection[str], unexpected: Collection[str]) -> str | None:
    """Return the prefix of all missing names in the files (`_orig_mod.`, `module.`); None without one.

    The longest missing name is looked for first, since a short one may end others.
    """
    there = frozenset(unexpected)
    longest = max(missing, key=len)
    for found in sorted(n for n in there if n.endswith(f".{longest}")):
        prefix = found[: -len(longest)]
        if all(prefix + name in there for name in missing):
            return prefix
    return None


def _reason(missing: list[str], unexpected: list[str], architecture: str, config: Any, file: str | None) -> str | None:
    """Name the probable reason."""
    part = GGUF_PART.search(file or "")
    if part is not None and int(part[1]) > 1:
        return f"the file is one of {int(part[1])} parts of a split GGUF; join them with `llama-gguf-split --merge`"
    if prefix := common_prefix(missing, unexpected):
        return (
            f"in the files every name begins with {prefix!r} (as a wrapped model writes them); save the model that was "
            "wrapped, or cut the prefix off"
        )
    nested = [n for n in unexpected if n in CONTAINERS]
    if nested:
        return (
            f"the file holds a dictionary with {_names(unexpected)}, not the weights themselves; save what is under "
            f"{nested[0]!r} alone"
        )
    if layers := _layers_beyond(missing, config):
        return layers
    named = [str(a) for a in getattr(config, "architectures", None) or ()]
    if named and architecture not in named:
        return f"its config.json names the architecture {', '.join(named)}, which was not trained as {architecture}"
    return None


def _layers_beyond(missing: list[str], config: Any) -> str | None:
    """Say that the config asks for more layers than the files hold, where that is all that is missing."""
    found = [LAYER.match(name) for name in missing]
    layers = sorted({int(m["layer"]) for m in found if m is not None})
    text = config.get_text_config() if hasattr(config, "get_text_config") else config
    asked = getattr(text, "num_hidden_layers", None)
    if not isinstance(asked, int) or not layers or None in found or len({m["before"] for m in found if m}) > 1:
        return None
    if layers != list(range(layers[0], asked)):
        return None
    return f"its config asks for {asked} layers, and the files hold the first {layers[0]}"


def _weights(n: int) -> str:
    return "1 weight is" if n == 1 else f"{n} weights are"


def _names(names: list[str]) -> str:
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")


def _other_names(names: list[str]) -> str:
    return f"; so are {_names(names)}" if len(names) > 1 else f"; so is {names[0]}" if names else ""


def _shape(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape)) or "a single number"
