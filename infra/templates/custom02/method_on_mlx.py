"""Reinforcement with a reward function of your own, in plain MLX: answers that earn more become likelier."""

import json
import random
import re

from pydantic import BaseModel, Field

from domain.training import BadResult, Progress, TrainingJob, TrainingResult, changes


class Options(BaseModel):
    max_steps: int = Field(
        60, ge=1, le=100_000, description="Optimiser steps to take", json_schema_extra=changes("steps")
    )
    batch_size: int = Field(64, ge=2, le=4096, description="Answers in one step", json_schema_extra=changes("weights"))
    num_generations: int = Field(
        8, ge=2, le=64, description="Answers to one prompt", json_schema_extra=changes("weights", tried=4)
    )
    max_completion_length: int = Field(
        32, ge=1, le=4096, description="Longest answer in tokens", json_schema_extra=changes("weights", tried=20)
    )
    learning_rate: float = Field(
        3e-4, ge=1e-8, le=1e-1, description="AdamW step size", json_schema_extra=changes("weights")
    )
    lora_rank: int = Field(
        16, ge=1, le=512, description="Rank of the LoRA matrices", json_schema_extra=changes("artifact")
    )
    save_steps: int = Field(
        30, ge=1, le=100_000, description="Steps between checkpoints", json_schema_extra=changes("checkpoints")
    )


def reward(said, right):
    """One for the right answer, and a little for reasoning before it. This is the function to make your own."""
    found = re.search(r"<answer>(.*?)</answer>", said, re.DOTALL)
    reasons = re.fullmatch(r"(?s)<think>.+</think>\s*<answer>.+</answer>", said.strip())
    return float(found is not None and found[1].strip() == right) + 0.2 * bool(reasons)


def train(job: TrainingJob, options: Options, progress: Progress) -> TrainingResult:
    import mlx.core as mx
    from mlx import nn
    from mlx.optimizers import AdamW
    from mlx.utils import tree_flatten, tree_unflatten
    from mlx_lm import load
    from mlx_lm.models.cache import make_prompt_cache
    from mlx_lm.tuner import linear_to_lora_layers

    mx.random.seed(job.seed)
    model, tokenizer = load(job.base_model, tokenizer_config={"trust_remote_code": False})
    model.freeze()
    lora = {"rank": options.lora_rank, "scale": 2.0, "dropout": 0.0}
    linear_to_lora_layers(model, len(model.layers), lora)
    optimiser = AdamW(learning_rate=options.learning_rate)
    optimiser.init(model.trainable_parameters())
    end = tokenizer.eos_token_id

    def answers(prompt, key):
        """Sampled answers to one prompt, as rows of tokens of equal length; what follows an end is an end."""
        cache, ended, tokens = make_prompt_cache(model), mx.zeros(options.num_generations, mx.bool_), []
        logits = model(mx.array([prompt] * options.num_generations), cache=cache)[:, -1]
        for drawn in mx.random.split(key, options.max_completion_length):
            token = mx.where(ended, end, mx.random.categorical(logits, key=drawn))
            ended = ended | (token == end)
            tokens.append(token)
            if ended.all().item():
                break
            logits = model(token[:, None], cache=cache)[:, -1]
        return mx.stack(tokens, axis=1)

    def mean_loss(model, groups):
        """The log-likelihood of each answer's tokens, weighted by how much better than its group it was."""
        total, count = 0.0, 0.0
        for prompt, said, advantage in groups:
            ids = mx.concatenate([mx.array([prompt] * len(said)), said], axis=1)
            losses = nn.losses.cross_entropy(model(ids[:, :-1]), ids[:, 1:])[:, len(prompt) - 1 :]
            counted = mx.cumsum(said == end, axis=1) - (said == end) == 0
            total += (losses * counted * advantage[:, None]).sum()
            count += counted.sum()
        return total / count

    loss_and_gradient = nn.value_and_grad(model, mean_loss)
    prompts = [(tokenizer.apply_chat_template(row["prompt"], add_generation_prompt=True, return_dict=False),
                row["answer"]) for row in job.rows]  # fmt: skip
    done, metrics, varied = 0, {}, False
    if newest := job.checkpoints.newest():
        done, folder = newest
        model.load_weights(str(folder / "adapter.safetensors"), strict=False)
        optimiser.state = tree_unflatten(list(mx.load(str(folder / "optimiser.safetensors")).items()))
        varied = True
    for step in range(done + 1, options.max_steps + 1):
        # All that is random in a step follows from the seed and the step, so a resumed run draws the same.
        chosen = random.Random(f"{job.seed} {step}").choices(prompts, k=options.batch_size // options.num_generations)
        keys = mx.random.split(mx.random.key(job.seed * 1_000_003 + step), len(chosen))
        groups, rewards = [], []
        for (prompt, right), key in zip(chosen, keys, strict=True):
            said = answers(prompt, key)
            texts = [tokenizer.decode(row[: row.index(end)] if end in row else row) for row in said.tolist()]
            earned = mx.array([reward(text, right) for text in texts])
            rewards += earned.tolist()
            groups.append((prompt, said, (earned - earned.mean()) / (mx.std(earned) + 1e-4)))
            varied = varied or earned.max().item() > earned.min().item()
        loss, gradient = loss_and_gradient(model, groups)
        optimiser.learning_rate = options.learning_rate * min(1.0, step / 5)
        optimiser.update(model, gradient)
        mx.eval(model.parameters(), optimiser.state)
        metrics = {"reward": sum(rewards) / len(rewards), "loss": loss.item()}
        if step % options.save_steps == 0:

            def write(folder):
                mx.save_safetensors(
                    str(folder / "adapter.safetensors"), dict(tree_flatten(model.trainable_parameters()))
                )
                mx.save_safetensors(str(folder / "optimiser.safetensors"), dict(tree_flatten(optimiser.state)))

            job.checkpoints.save(step, write)
        progress.step(step, options.max_steps, metrics)
    if not varied:
        raise BadResult("The reward was the same for every answer, so there was nothing to learn from.")
    trained = job.folder / "trained"
    trained.mkdir(exist_ok=True)
    mx.save_safetensors(str(trained / "adapters.safetensors"), dict(tree_flatten(model.trainable_parameters())))
    config = {"fine_tune_type": "lora", "num_layers": len(model.layers), "lora_parameters": lora}
    (trained / "adapter_config.json").write_text(json.dumps(config))
    return TrainingResult(trained, is_adapter=True, steps=options.max_steps, metrics=metrics)
