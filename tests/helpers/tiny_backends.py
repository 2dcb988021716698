"""A tiny random GPT-2 and LSTM with tokenizers that fit our testbeds, in memory and as folders; and lm-eval's index."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedModel, PreTrainedTokenizerFast

from groundbench.adapters.architectures import LSTMConfig, LSTMForCausalLM
from groundbench.adapters.huggingface import HFCausal
from groundbench.integrations.lm_eval import include_path
from groundbench.registry import load_testbed


@functools.cache
def english() -> PreTrainedTokenizerFast:
    """Byte-level BPE like GPT-2's, learnt on the ladder: most nouns are one token, some several."""
    bed = load_testbed("ladder")
    text = [f.template.replace("{env}", " and the ") for f in bed.frames(bed.form("word"))]
    text += [f" {n.word} the {n.word}" for n in bed.nouns if len(n.word) < 7] * 3
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(
        text, trainers.BpeTrainer(vocab_size=700, initial_alphabet=alphabet, special_tokens=["<|endoftext|>"])
    )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|endoftext|>", bos_token="<|endoftext|>")


@functools.cache
def words() -> PreTrainedTokenizerFast:
    """One token for each word of childworld, as our corpora have it."""
    bed = load_testbed("childworld")
    form = bed.form("token")
    seen = {w for f in bed.frames(form) for n in bed.nouns for w in bed.prompt(f, n, form).text.split()}
    seen |= {bed.target(n) for n in bed.nouns}
    vocabulary = {w: i for i, w in enumerate(["<pad>", "<unk>", *sorted(seen)])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", unk_token="<unk>")


@functools.cache
def gpt2() -> PreTrainedModel:
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=len(english()),
        n_layer=2,
        n_head=4,
        n_embd=32,
        n_positions=128,
        initializer_range=0.3,
        bos_token_id=0,
        eos_token_id=0,
    )
    return GPT2LMHeadModel(config).eval()


@functools.cache
def adapter() -> HFCausal:
    return HFCausal(gpt2(), english(), name="tiny-gpt2")


def save_gpt2(folder: Path) -> Path:
    gpt2().save_pretrained(folder)
    english().save_pretrained(folder)
    return folder


def save_lstm(folder: Path) -> Path:
    torch.manual_seed(0)
    config = LSTMConfig(vocab_size=len(words()), hidden_size=16, num_hidden_layers=2)
    LSTMForCausalLM(config).save_pretrained(folder)
    words().save_pretrained(folder)
    return folder


def our_tasks(**metadata: Any) -> Any:
    """lm-eval's task manager with our files and without its own ten thousand."""
    from lm_eval.tasks import TaskManager

    return TaskManager(include_path=str(include_path()), include_defaults=False, metadata=metadata)
