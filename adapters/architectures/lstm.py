"""A one-directional LSTM language model as an ordinary transformers model (protocol §6)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput, CausalLMOutput


class LSTMConfig(PreTrainedConfig):
    """The shape of an LSTM language model.

    Args:
        vocab_size: words in the vocabulary.
        hidden_size: width of the embeddings and of every layer.
        num_hidden_layers: LSTM layers.
        residual: add each layer's input to its output; a plain deep LSTM may not train at all (protocol §6).
        dropout: on the embeddings and on every layer's output, in training only.
        initializer_range: standard deviation of the embeddings at the start. All weights start as PyTorch starts
            them, the embeddings at 1: at a Transformer's 0.02 an LSTM of these sizes stays on a plateau.

    Raises:
        ValueError: a size is not positive, or the dropout is not in [0, 1).
    """

    model_type = "groundbench_lstm"

    def __init__(
        self,
        vocab_size: int = 1000,
        hidden_size: int = 128,
        num_hidden_layers: int = 4,
        residual: bool = False,
        dropout: float = 0.0,
        initializer_range: float = 1.0,
        tie_word_embeddings: bool = True,
        **kwargs: object,
    ) -> None:
        for name, size in (
            ("vocab_size", vocab_size),
            ("hidden_size", hidden_size),
            ("num_hidden_layers", num_hidden_layers),
        ):
            if size < 1:
                raise ValueError(f"{name} must be positive, got {size}")
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout must be in [0, 1), got {dropout}")
        self.vocab_size = vocab_size
        self.hidden_size = hidden_size
        self.num_hidden_layers = num_hidden_layers
        self.residual = residual
        self.dropout = dropout
        self.initializer_range = initializer_range
        super().__init__(tie_word_embeddings=tie_word_embeddings, **kwargs)


class LSTMPreTrainedModel(PreTrainedModel):
    """The base of the LSTM's body and of its language model."""

    config_class = LSTMConfig
    base_model_prefix = "model"

    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.LSTM | nn.Linear):
            module.reset_parameters()
        else:
            super()._init_weights(module)


class LSTMModel(LSTMPreTrainedModel):
    """Embeddings and the stack of LSTM layers: token ids [B, T] to hidden states [B, T, d]."""

    def __init__(self, config: LSTMConfig) -> None:
        super().__init__(config)
        d = config.hidden_size
        self.embed_tokens = nn.Embedding(config.vocab_size, d)
        self.layers = nn.ModuleList(nn.LSTM(d, d, batch_first=True) for _ in range(config.num_hidden_layers))
        self.dropout = nn.Dropout(config.dropout)
        self.post_init()

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        use_cache: bool | None = None,
        output_hidden_states: bool | None = None,
    ) -> BaseModelOutput:
        """Return the last hidden state [B, T, d] and, if asked for, all of them: embeddings first, then each layer.

        Args:
            input_ids: [B, T].
            attention_mask: [B, T], ones then zeros in each row. A real position never depends on what stands to
                its right, so pads there change nothing; a pad on the left would, and is refused.
            use_cache: no state is kept between calls; True is refused.

        Raises:
            ValueError: a mask that is not right padded, or `use_cache=True`.
        """
        if use_cache:
            raise ValueError("an LSTM model of groundbench keeps no cache between calls; expected use_cache=False")
        if attention_mask is not None:
            _check_right_padded(attention_mask, input_ids)
        hidden = self.dropout(self.embed_tokens(input_ids))
        states = [hidden]
        for layer in self.layers:
            output = self.dropout(layer(hidden)[0])
            hidden = hidden + output if self.config.residual else output
            states.append(hidden)
        every = self.config.output_hidden_states if output_hidden_states is None else output_hidden_states
        return BaseModelOutput(last_hidden_state=hidden, hidden_states=tuple(states) if every else None)


class LSTMForCausalLM(LSTMPreTrainedModel):
    """The language model: logits [B, T, V] over the next token, from the tied embeddings unless told otherwise."""

    _tied_weights_keys = {"lm_head.weight": "model.embed_tokens.weight"}  # noqa: RUF012  transformers' own form

    def __init__(self, config: LSTMConfig) -> None:
        super().__init__(config)
        self.model = LSTMModel(config)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.post_init()

    def get_output_embeddings(self) -> nn.Linear:
        """Return the unembedding."""
        return self.lm_head

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        labels: Tensor | None = None,
        logits_to_keep: int | Tensor = 0,
        use_cache: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
    ) -> CausalLMOutput | tuple[Tensor, ...]:
        """Return logits, and the mean loss in nats if `labels` are given.

        Args:
            input_ids, attention_mask, use_cache: as in `LSTMModel`.
            labels: [B, T], shifted here; positions with -100 do not count.
            logits_to_keep: the last n positions only (0: all), or the indices of the positions to keep.

        Raises:
            ValueError: as in `LSTMModel`, or `labels` together with `logits_to_keep`.
        """
        out = self.model(input_ids, attention_mask, use_cache, output_hidden_states)
        whole = isinstance(logits_to_keep, int) and logits_to_keep == 0
        kept = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep
        logits = self.lm_head(out.last_hidden_state if whole else out.last_hidden_state[:, kept])
        loss = None
        if labels is not None:
            if not whole:
                raise ValueError("labels need the logits of every position; expected logits_to_keep=0")
            loss = nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1).float(), labels[:, 1:].flatten())
        result = CausalLMOutput(loss=loss, logits=logits, hidden_states=out.hidden_states)
        return result if return_dict is not False else result.to_tuple()


def _check_right_padded(mask: Tensor, input_ids: Tensor) -> None:
    if mask.shape != input_ids.shape:
        raise ValueError(f"attention_mask has shape {tuple(mask.shape)}, expected {tuple(input_ids.shape)}")
    if bool(torch.any(mask[:, 1:].bool() & ~mask[:, :-1].bool())):
        raise ValueError("an LSTM reads pads on the left as text; expected an attention_mask of ones, then zeros")
