"""A tiny real-text testbed and tiny random models whose targets have several tokens."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from groundbench.adapters.huggingface import HFCausal
from groundbench.api.testbed import EnvForm, Frame, Noun, Prompt, Testbed, text_prompt

WORDS = ("cat", "dog", "duck", "ball", "book", "blanket", "elephant", "cup")
TEXT = "The child is looking at the cat and the dog. Mother: Do you want the ball? There is a book here, see."


def letters_tokenizer(known: Sequence[str] = ()) -> PreTrainedTokenizerFast:
    """Byte-level BPE with few merges: every noun is several tokens, some begin alike; words of `known` are one."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=20_000 if known else 290, initial_alphabet=alphabet, special_tokens=["<s>"]
    )
    tokenizer.train_from_iterator([TEXT] * 4 + [" ".join(WORDS), *known], trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>")


class Home(Testbed):
    """Eight nouns, three shared frames of different lengths, plain English."""

    name, version, default_form, frame_kind, natural_language = "home", "1", "word", "shared", True
    nouns = tuple(Noun(w, "animals" if w in ("cat", "dog", "duck", "elephant") else "toys") for w in WORDS)
    forms = (EnvForm("word"), EnvForm("blank"))

    def frames(self, form: EnvForm) -> tuple[Frame, ...]:
        return (
            Frame("look", "The child is at home. [She looks at the {env}.] Mother: Look at that"),
            Frame("here", "The child is at home. [There is a {env} here.] Do you want the"),
            Frame("short", "A {env}! My"),
        )

    def prompt(self, frame: Frame, env: Noun, form: EnvForm) -> Prompt:
        return text_prompt(frame, env, form.name, env.word if form.name == "word" else "thing")

    def target(self, noun: Noun) -> str:
        return noun.word


def tiny_llama(seed: int = 0, known: Sequence[str] = ()) -> HFCausal:
    """Two layers, grouped keys and values; words of `known` are one token."""
    torch.manual_seed(seed)
    tokenizer = letters_tokenizer(known)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        initializer_range=0.3,
    )
    return HFCausal(LlamaForCausalLM(config), tokenizer, name="tiny-llama")


def tiny_gpt2(seed: int = 0, positions: int = 256) -> HFCausal:
    """Two layers."""
    torch.manual_seed(seed)
    size = len(letters_tokenizer())
    config = GPT2Config(
        vocab_size=size,
        n_layer=2,
        n_head=4,
        n_embd=32,
        n_positions=positions,
        initializer_range=0.3,
        bos_token_id=0,
        eos_token_id=0,
    )
    return HFCausal(GPT2LMHeadModel(config), letters_tokenizer(), name="tiny-gpt2")
