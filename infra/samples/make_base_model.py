"""Make the small base model: a byte-level tokenizer and a pretrained Llama of 0.67 million parameters.

Run ``python -m infra.samples.make_base_model`` to make ``infra/samples/small-base`` again, in about a minute on two
CPU cores. The seed fixes data and initial weights; the last bits of the trained weights still depend on the
processor and the number of threads.
"""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from infra.samples.arithmetic import Addition, messy_demonstration, split

FOLDER = Path(__file__).parent / "small-base"

SEED = 0
STEPS = 700
BATCH_SIZE = 64
LEARNING_RATE = 2e-3

PAD, END = "<|pad|>", "<|end|>"
CONTROL_TOKENS = (PAD, END, "<|system|>", "<|user|>", "<|assistant|>")
# Decoding drops control tokens. These are what the model says, so they are tokens like any other.
FORMAT_TOKENS = ("<think>", "</think>", "<answer>", "</answer>")

# The generation block tells trainers which tokens are the assistant's, so that only they enter the loss.
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message['role'] == 'assistant' %}"
    "<|assistant|>{% generation %}{{ message['content'] }}<|end|>{% endgeneration %}"
    "{% else %}"
    "<|{{ message['role'] }}|>{{ message['content'] }}<|end|>"
    "{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def make_tokenizer() -> Any:
    """A byte-level BPE without merges: 265 tokens, one for each byte and nine with a meaning of their own."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: index for index, token in enumerate([*CONTROL_TOKENS, *alphabet])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in CONTROL_TOKENS])
    tokenizer.add_tokens([AddedToken(token, special=False, normalized=False) for token in FORMAT_TOKENS])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=END,
        bos_token=None,
        model_max_length=512,
        padding_side="left",
        clean_up_tokenization_spaces=False,
        chat_template=CHAT_TEMPLATE,
    )


def make_model(tokenizer: Any) -> Any:
    """A Llama with fresh weights: hidden size 128, 3 layers, 4 heads, tied embeddings."""
    from transformers import LlamaConfig, LlamaForCausalLM

    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=-(-len(tokenizer) // 16) * 16,
            hidden_size=128,
            intermediate_size=384,
            num_hidden_layers=3,
            num_attention_heads=4,
            num_key_value_heads=4,
            head_dim=32,
            max_position_embeddings=512,
            tie_word_embeddings=True,
            rms_norm_eps=1e-5,
            pad_token_id=tokenizer.pad_token_id,
            eos_token_id=tokenizer.eos_token_id,
            bos_token_id=None,
        )
    )


def pretrain(model: Any, tokenizer: Any, additions: Sequence[Addition], rng: random.Random) -> float:
    """Next-token prediction on freshly drawn messy conversations; returns the last loss, in nats a token."""
    import torch

    optimiser = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, betas=(0.9, 0.98), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, LEARNING_RATE, total_steps=STEPS, pct_start=0.1)
    model.train()
    loss = torch.tensor(float("nan"))
    for _ in range(STEPS):
        conversations = [_messy_conversation(rng.choice(additions), rng) for _ in range(BATCH_SIZE)]
        texts = tokenizer.apply_chat_template(conversations, tokenize=False)
        # Padded on the right, the causal mask alone keeps padding out of every real position.
        batch = tokenizer(texts, return_tensors="pt", padding=True, padding_side="right", add_special_tokens=False)
        labels = batch.input_ids.masked_fill(batch.attention_mask == 0, -100)
        loss = model(input_ids=batch.input_ids, labels=labels, use_cache=False).loss
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
    return float(loss.item())


def make_base_model(folder: Path) -> float:
    """Pretrain the small base model and save it with its tokenizer in ``folder``; returns its last loss."""
    import torch

    torch.manual_seed(SEED)
    tokenizer = make_tokenizer()
    # Saved before its first use: a tokenizer keeps the padding it was last asked for.
    tokenizer.save_pretrained(folder)
    model = make_model(tokenizer)
    loss = pretrain(model, tokenizer, split().train, random.Random(SEED))
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    model.save_pretrained(folder)
    return loss


def _messy_conversation(addition: Addition, rng: random.Random) -> list[dict[str, str]]:
    return [
        {"role": "user", "content": addition.question},
        {"role": "assistant", "content": messy_demonstration(addition, rng)},
    ]


def main() -> None:
    """Make the shipped base model again."""
    # Nothing here needs the network, and a look-up of the hub would only slow it down.
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    from transformers.utils import logging

    logging.disable_progress_bar()
    loss = make_base_model(FOLDER)
    click.echo(f"Wrote {FOLDER} (last pretraining loss {loss:.3f})")


if __name__ == "__main__":
    main()
