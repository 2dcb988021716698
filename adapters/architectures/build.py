"""A new, untrained model from an architecture's name and options."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from huggingface_hub.errors import StrictDataclassError
from transformers import CONFIG_MAPPING, MODEL_FOR_CAUSAL_LM_MAPPING, AutoConfig, AutoModelForCausalLM

from groundbench.adapters.loading.load import without_rescaling
from groundbench.api.errors import BadInputError

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel

SPECIAL = ("bos_token_id", "eos_token_id", "pad_token_id")


def build_model(architecture: str, options: Mapping[str, object], *, vocab_size: int, length: int) -> PreTrainedModel:
    """Return a causal language model with fresh weights, drawn from torch's current random state.

    Args:
        architecture: a `model_type` of transformers, ours included (`gpt2`, `groundbench_lstm`, `mamba2` ...).
        options: values of its config; what is not named keeps the config's default, but special tokens are none unless
            told: word-level corpora have neither BOS nor EOS, and with a `pad_token_id` transformers looks for pads
            in every forward pass (the tokenizer knows the pad).
        length: the longest row it will be trained on.

    Raises:
        BadInputError: no such architecture, an option its config does not have, options it refuses, or a model
            that sees the words it is asked for.
    """
    config = _config(architecture, options, vocab_size)
    limit = getattr(config, "max_position_embeddings", None)
    if isinstance(limit, int) and limit < length:
        raise BadInputError(f"{architecture}: it reads at most {limit} positions, but rows have length {length}")
    model = sentence(architecture, lambda: AutoModelForCausalLM.from_config(config))
    if sentence(architecture, lambda: _sees_ahead(model)):
        raise BadInputError(f"{architecture}: a position depends on later ones; expected a causal language model")
    without_rescaling(model.config)  # it is done; whoever loads a checkpoint must not do it again
    return model


def _config(architecture: str, options: Mapping[str, object], vocab_size: int) -> PreTrainedConfig:
    known = architecture in CONFIG_MAPPING
    if not known or CONFIG_MAPPING[architecture] not in MODEL_FOR_CAUSAL_LM_MAPPING:
        raise BadInputError(f"unknown architecture {architecture!r}: expected a causal model_type of transformers")
    defaults = CONFIG_MAPPING[architecture]()
    for name in options:
        if not hasattr(defaults, name):
            raise BadInputError(f"{architecture}: its config has no option {name!r}")
    values = {"vocab_size": vocab_size, **dict.fromkeys(SPECIAL), **options}
    return sentence(architecture, lambda: AutoConfig.for_model(architecture, **values))


def sentence(architecture: str, build: Callable[[], Any]) -> Any:
    """Build a model; a refusal of its options becomes one sentence. Raises BadInputError."""
    try:
        return build()
    except (ValueError, TypeError, RuntimeError, StrictDataclassError) as error:
        raise BadInputError(f"{architecture}: its options are refused: {' '.join(str(error).split())}") from error


@torch.no_grad()
def _sees_ahead(model: PreTrainedModel) -> bool:
    """Return True if changing the last token changes what the model says before it."""
    was_training = model.training
    ids = torch.zeros(2, 4, dtype=torch.long)
    ids[1, -1] = model.config.get_text_config().vocab_size - 1
    logits = model.eval()(input_ids=ids).logits[:, :-1]
    model.train(was_training)
    return not torch.allclose(logits[0], logits[1], atol=1e-5)
