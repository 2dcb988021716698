"""Architectures that are trained from scratch; importing this package registers ours with transformers."""

from __future__ import annotations

from transformers import AutoConfig, AutoModel, AutoModelForCausalLM

from groundbench.adapters.architectures.lstm import LSTMConfig, LSTMForCausalLM, LSTMModel

AutoConfig.register(LSTMConfig.model_type, LSTMConfig)
AutoModel.register(LSTMConfig, LSTMModel)
AutoModelForCausalLM.register(LSTMConfig, LSTMForCausalLM)

__all__ = ["LSTMConfig", "LSTMForCausalLM", "LSTMModel"]
