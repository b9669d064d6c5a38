"""A training loop of your own in plain PyTorch: all weights learn to say what the demonstrations say."""

import random

from pydantic import BaseModel, Field

from domain.training import Progress, TrainingJob, TrainingResult, changes


class Options(BaseModel):
    max_steps: int = Field(
        100, ge=1, le=100_000, description="Optimiser steps to take", json_schema_extra=changes("steps")
    )
    batch_size: int = Field(
        32, ge=1, le=1024, description="Rows in one optimiser step", json_schema_extra=changes("weights")
    )
    learning_rate: float = Field(
        3e-4, ge=1e-7, le=1e-1, description="AdamW step size", json_schema_extra=changes("weights")
    )
    save_steps: int = Field(
        50, ge=1, le=100_000, description="Steps between checkpoints", json_schema_extra=changes("checkpoints")
    )


def train(job: TrainingJob, options: Options, progress: Progress) -> TrainingResult:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.manual_seed(job.seed)
    tokenizer = AutoTokenizer.from_pretrained(job.base_model, trust_remote_code=False)
    model = AutoModelForCausalLM.from_pretrained(job.base_model, dtype=torch.float32, trust_remote_code=False)
    model = model.to(job.device).train()
    optimiser = torch.optim.AdamW(model.parameters(), lr=options.learning_rate)
    examples = [encoded(tokenizer, row) for row in job.rows]
    done, metrics = 0, {}
    if newest := job.checkpoints.newest():
        done, folder = newest
        state = torch.load(folder / "state.pt", map_location=job.device)
        model.load_state_dict(state["model"])
        optimiser.load_state_dict(state["optimiser"])
    for step in range(done + 1, options.max_steps + 1):
        # The rows of a step follow from the seed and the step alone, so a resumed run sees the same ones.
        rows = random.Random(f"{job.seed} {step}").choices(examples, k=options.batch_size)
        longest = max(len(ids) for ids, _ in rows)
        ids = torch.tensor([row + [0] * (longest - len(row)) for row, _ in rows], device=job.device)
        labels = torch.tensor([row + [-100] * (longest - len(row)) for _, row in rows], device=job.device)
        loss = model(input_ids=ids, labels=labels).loss
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad()
        metrics = {"loss": loss.item(), "grad_norm": norm.item()}
        if step % options.save_steps == 0:
            state = {"model": model.state_dict(), "optimiser": optimiser.state_dict()}
            job.checkpoints.save(step, lambda folder, state=state: torch.save(state, folder / "state.pt"))
        progress.step(step, options.max_steps, metrics)
    trained = job.folder / "trained"
    model.save_pretrained(trained)
    tokenizer.save_pretrained(trained)
    return TrainingResult(trained, is_adapter=False, steps=options.max_steps, metrics=metrics)


def encoded(tokenizer, row):
    """A row's tokens, and which of them are learned: -100 where the model is only shown what was asked."""
    if "text" in row:
        ids = tokenizer(row["text"])["input_ids"] + [tokenizer.eos_token_id]
        return ids, ids
    messages = row["messages"] if "messages" in row else [*row["prompt"], *row["completion"]]
    asked = tokenizer.apply_chat_template(messages[:-1], add_generation_prompt=True, return_dict=False)
    ids = tokenizer.apply_chat_template(messages, return_dict=False)
    return ids, [-100] * len(asked) + ids[len(asked) :]
