"""A training loop of your own in plain MLX: a LoRA adapter learns to say what the demonstrations say."""

import json
import random

from pydantic import BaseModel, Field

from domain.training import Progress, TrainingJob, TrainingResult, changes


class Options(BaseModel):
    max_steps: int = Field(
        60, ge=1, le=100_000, description="Optimiser steps to take", json_schema_extra=changes("steps")
    )
    batch_size: int = Field(
        32, ge=1, le=1024, description="Rows in one optimiser step", json_schema_extra=changes("weights")
    )
    learning_rate: float = Field(
        1e-3, ge=1e-7, le=1e-1, description="AdamW step size", json_schema_extra=changes("weights")
    )
    lora_rank: int = Field(
        8, ge=1, le=512, description="Rank of the LoRA matrices", json_schema_extra=changes("artifact")
    )
    save_steps: int = Field(
        50, ge=1, le=100_000, description="Steps between checkpoints", json_schema_extra=changes("checkpoints")
    )


def train(job: TrainingJob, options: Options, progress: Progress) -> TrainingResult:
    import mlx.core as mx
    from mlx import nn
    from mlx.optimizers import AdamW
    from mlx.utils import tree_flatten, tree_unflatten
    from mlx_lm import load
    from mlx_lm.tuner import linear_to_lora_layers

    mx.random.seed(job.seed)
    model, tokenizer = load(job.base_model, tokenizer_config={"trust_remote_code": False})
    model.freeze()
    lora = {"rank": options.lora_rank, "scale": 2.0, "dropout": 0.0}
    linear_to_lora_layers(model, len(model.layers), lora)
    model.train()
    optimiser = AdamW(learning_rate=options.learning_rate)
    optimiser.init(model.trainable_parameters())
    examples = [encoded(tokenizer, row) for row in job.rows]

    def mean_loss(model, ids, learned):
        losses = nn.losses.cross_entropy(model(ids[:, :-1]), ids[:, 1:]) * learned[:, 1:]
        return losses.sum() / learned[:, 1:].sum()

    loss_and_gradient = nn.value_and_grad(model, mean_loss)
    done, metrics = 0, {}
    if newest := job.checkpoints.newest():
        done, folder = newest
        model.load_weights(str(folder / "adapter.safetensors"), strict=False)
        optimiser.state = tree_unflatten(list(mx.load(str(folder / "optimiser.safetensors")).items()))
    for step in range(done + 1, options.max_steps + 1):
        # The rows of a step follow from the seed and the step alone, so a resumed run sees the same ones.
        rows = random.Random(f"{job.seed} {step}").choices(examples, k=options.batch_size)
        longest = max(len(ids) for ids, _ in rows)
        ids = mx.array([row + [0] * (longest - len(row)) for row, _ in rows])
        learned = mx.array([row + [0] * (longest - len(row)) for _, row in rows])
        loss, gradient = loss_and_gradient(model, ids, learned)
        optimiser.update(model, gradient)
        mx.eval(model.parameters(), optimiser.state)
        metrics = {"loss": loss.item()}
        if step % options.save_steps == 0:

            def write(folder):
                mx.save_safetensors(
                    str(folder / "adapter.safetensors"), dict(tree_flatten(model.trainable_parameters()))
                )
                mx.save_safetensors(str(folder / "optimiser.safetensors"), dict(tree_flatten(optimiser.state)))

            job.checkpoints.save(step, write)
        progress.step(step, options.max_steps, metrics)
    trained = job.folder / "trained"
    trained.mkdir(exist_ok=True)
    mx.save_safetensors(str(trained / "adapters.safetensors"), dict(tree_flatten(model.trainable_parameters())))
    config = {"fine_tune_type": "lora", "num_layers": len(model.layers), "lora_parameters": lora}
    (trained / "adapter_config.json").write_text(json.dumps(config))
    return TrainingResult(trained, is_adapter=True, steps=options.max_steps, metrics=metrics)


def encoded(tokenizer, row):
    """A row's tokens, and which of them are learned: 0 where the model is only shown what was asked."""
    if "text" in row:
        ids = [*tokenizer.encode(row["text"]), tokenizer.eos_token_id]
        return ids, [1] * len(ids)
    messages = row["messages"] if "messages" in row else [*row["prompt"], *row["completion"]]
    asked = tokenizer.apply_chat_template(messages[:-1], add_generation_prompt=True, return_dict=False)
    ids = tokenizer.apply_chat_template(messages, return_dict=False)
    return ids, [0] * len(asked) + [1] * (len(ids) - len(asked))
