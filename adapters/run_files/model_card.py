"""The model card: what the artefact is, what was measured, how it was made and how it is used."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from adapters.run_files.story import RunStory, short_name
from adapters.shared.showing.markdown import as_block, as_code, as_text
from domain.catalogue.method_spec import Backend
from domain.ports import Answer

_SHOWN = 3


def model_card(story: RunStory) -> str:
    """Markdown with the front matter that model hubs read."""
    parts = [
        _front_matter(story),
        f"# {as_text(story.title)}",
        _what_it_is(story),
        "## What changed",
        _measures(story),
        "![Loss or reward over the steps](curve.svg)",
        *_answers(story.before.answers, story.after.answers),
        "## How it is used",
        _use(story),
        "## How it was made",
        _made(story),
        "Everything needed to repeat it stands in `run.json`; every reported step in `metrics.jsonl`.",
    ]
    return "\n\n".join(parts) + "\n"


def card_of_merged(record: Mapping[str, Any]) -> str:
    """The card of a model that was merged from a run's adapter and its base model; `record` is the run's `run.json`."""
    base, method = short_name(record["base_model"]["name"]), record["method"]
    front = {"base_model": base, "library_name": "transformers", "pipeline_tag": "text-generation"}
    measured = [
        (name, _figure(record["before"], name), _figure(record["after"], name)) for name in sorted(record["after"])
    ]
    parts = [
        "\n".join(["---", *(f"{name}: {json.dumps(value)}" for name, value in front.items()), "---"]),
        f"# {as_text(record['name'] or base + ' after ' + method['display_name'])}",
        f"{as_code(base)} with the adapter of the training run `{record['run_id']}` merged into its weights.",
        _table(("Measured", "Before", "After"), measured) if measured else "",
        "![Loss or reward over the steps](curve.svg)",
        "What the run was made of stands in `run.json`, every reported step in `metrics.jsonl`.",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _front_matter(story: RunStory) -> str:
    fields: dict[str, object] = {
        "base_model": story.short_base_model,
        "library_name": _library(story),
        "pipeline_tag": "text-generation",
        "tags": sorted({story.method.method_type.value.lower(), story.method.trainer}),
    }
    # JSON is YAML, and quotes whatever stands in a name.
    return "\n".join(["---", *(f"{name}: {json.dumps(value)}" for name, value in fields.items()), "---"])


def _library(story: RunStory) -> str:
    if story.run.request.backend is Backend.MLX:
        return "mlx"
    return "peft" if story.result.is_adapter else "transformers"


def _what_it_is(story: RunStory) -> str:
    what = "An adapter for" if story.result.is_adapter else "All weights of"
    then = "trained" if story.result.is_adapter else "after a training"
    return (
        f"{what} {as_code(story.short_base_model)}, {then} with {as_text(story.method.display_name)} "
        f"({story.method.method_type}, trainer {as_code(story.method.trainer)}) on {as_code(story.short_dataset)}: "
        f"{story.result.steps} optimiser steps."
    )


def _measures(story: RunStory) -> str:
    before, after = story.before.metrics, story.after.metrics
    if story.unmeasured:
        again = f"`tmm measure {story.run.run_id}` does it, and its log keeps what comes of it."
        return f"The result was stored without being measured. {as_text(story.unmeasured)} {again}"
    if not after:
        return "Nothing was measured: the held-out rows have no answer that can be checked."
    table = _table(
        ("Measured", "Before", "After"),
        [(name, _figure(before, name), _figure(after, name)) for name in after],
    )
    return (
        f"{table}\n\nMeasured in the same way before and after, on held-out rows that were not trained on. They come "
        "from the same source as the training rows: the figures say nothing of other questions."
    )


def _figure(metrics: Mapping[str, float], name: str) -> str:
    return f"{metrics[name]:.3f}" if name in metrics else "–"


def _answers(before: Sequence[Answer], after: Sequence[Answer]) -> Iterable[str]:
    if before and len(before) == len(after):
        yield "## Sample answers"
        if len(before) > _SHOWN:
            yield f"The first {_SHOWN} of those in `answers.json`, as they come."
        for then, now in zip(before[:_SHOWN], after[:_SHOWN], strict=True):
            yield f"Asked:\n\n{as_block(then.prompt)}"
            yield f"Expected:\n\n{as_block(then.expected)}"
            yield f"Before{_judged(then)}:\n\n{as_block(then.said)}"
            yield f"After{_judged(now)}:\n\n{as_block(now.said)}"


def _judged(answer: Answer) -> str:
    return {True: ", right", False: ", wrong", None: ""}[answer.right]


def _use(story: RunStory) -> str:
    run_id, base = story.run.run_id, story.short_base_model
    commands = f'```sh\ntmm ask {run_id} "your question"\ntmm export {run_id} --out FOLDER\n```'
    if story.run.request.backend is Backend.MLX:
        opened = f'load({json.dumps(base)}, adapter_path="FOLDER")' if story.result.is_adapter else 'load("FOLDER")'
        code = f"from mlx_lm import generate, load\n\nmodel, tokenizer = {opened}"
    elif story.result.is_adapter:
        code = (
            "from peft import PeftModel\nfrom transformers import AutoModelForCausalLM, AutoTokenizer\n\n"
            f'model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained({json.dumps(base)}), "FOLDER")\n'
            'tokenizer = AutoTokenizer.from_pretrained("FOLDER")'
        )
    else:
        code = (
            "from transformers import AutoModelForCausalLM, AutoTokenizer\n\n"
            'model = AutoModelForCausalLM.from_pretrained("FOLDER")\n'
            'tokenizer = AutoTokenizer.from_pretrained("FOLDER")'
        )
    return f"{commands}\n\nOr, with `FOLDER` being the folder of this file:\n\n{as_block(code, 'python')}"


def _made(story: RunStory) -> str:
    run, request, made_of = story.run, story.run.request, story.provenance
    licence = f" under licence {story.requested.licence_id}" if story.requested.licence_id else ""
    packages = ", ".join(f"{name} {version}" for name, version in made_of.packages.items())
    options = ", ".join(f"{name}={json.dumps(value)}" for name, value in (run.options or {}).items())
    return _table(
        ("", ""),
        [
            ("Run", str(run.run_id)),
            ("Method", f"{request.method}, version {run.method_version}"),
            ("Asked for by", f"{story.requested.actor} ({story.requested.edition}){licence}"),
            ("Started", f"{run.started_at:%Y-%m-%d %H:%M:%S} UTC" if run.started_at else ""),
            ("Device", made_of.device),
            ("Options", options),
            ("Seed", str(request.seed)),
            ("Base model", f"sha256 {made_of.base_model_hash}"),
            ("Columns", request.columns),
            ("Training rows", f"{len(story.dataset.rows)}, sha256 {made_of.dataset_hash}"),
            ("Held-out rows", f"{len(story.dataset.held_out)}, sha256 {made_of.held_out_hash}"),
            ("Training code", f"sha256 {made_of.code_hash}"),
            ("Packages", f"Python {made_of.python}, {packages}"),
        ],
    )


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    first, *others = ["| " + " | ".join(as_text(cell) for cell in line) + " |" for line in (head, *rows)]
    return "\n".join([first, "| " + " | ".join(["---"] * len(head)) + " |", *others])
