"""Builds a tiny random Llama with a ChatML tokenizer: real training in seconds, without a download."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def build_tiny_model(directory: Path, phrases: Sequence[str] = ()) -> Path:
    """Write config, safetensors and a byte-level tokenizer (no merges) to `directory`; about 90,000 parameters.

    Each of `phrases` becomes one token that ends a reply, and so does each lower-case letter: sampled at temperature 1,
    such a model occasionally writes one of the phrases, so that a verifier finds right answers among its random texts.
    """
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    fast = tiny_tokenizer(phrases)
    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(fast),
            hidden_size=64,
            intermediate_size=128,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=1024,
            bos_token_id=1,
            eos_token_id=2,
            pad_token_id=2,
            tie_word_embeddings=True,
        )
    )
    if phrases:
        endings = [*phrases, *"abcdefghijklmnopqrstuvwxyz"]
        model.generation_config.eos_token_id = [2, *fast.convert_tokens_to_ids(endings)]
    model.save_pretrained(directory)
    fast.save_pretrained(directory)
    return directory


def tiny_tokenizer(phrases: Sequence[str] = ()) -> Any:
    """Return a byte-level ChatML tokenizer without merges; each of `phrases` is one token."""
    from tokenizers import Tokenizer, decoders, pre_tokenizers
    from tokenizers.models import BPE
    from transformers import PreTrainedTokenizerFast

    symbols = [*SPECIAL, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    tokenizer = Tokenizer(BPE(vocab={symbol: i for i, symbol in enumerate(symbols)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token=SPECIAL[0],
        bos_token=SPECIAL[1],
        eos_token=SPECIAL[2],
        pad_token=SPECIAL[2],
    )
    fast.add_special_tokens({"additional_special_tokens": list(SPECIAL)})
    fast.add_tokens(list(phrases))
    fast.chat_template = CHATML
    return fast
