"""What trainers on trl that learn from demonstrations have in common: SFT, and PEFT with its kinds of adapters."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from adapters.shared.conversations import encode
from adapters.shared.quiet import quiet
from adapters.trainers.encoded_rows import as_dataset, learnable
from adapters.trainers.shapes import must_have_columns
from domain.training import Progress, TrainingJob, TrainingResult


def train_on_demonstrations(
    name: str, job: TrainingJob, options: Any, progress: Progress, *, adapter: Any = None, loading: Any = None
) -> TrainingResult:
    """Minimise the mean negative log-likelihood of the assistant's tokens, or of all tokens of plain texts.

    `adapter` is peft's configuration of what is trained in place of the weights, `loading` says how they are loaded.
    """
    must_have_columns(job, ("messages",), ("prompt", "completion"), ("text",), trainer=name)
    with quiet(), TemporaryDirectory(prefix="tmm-tokens-") as folder:
        from trl import SFTConfig, SFTTrainer, pack_dataset

        from adapters.trainers.torch.common import huggingface
        from adapters.trainers.torch.common.packing import must_keep_rows_apart

        model, tokenizer = huggingface.open_model(job, **loading or {})
        longest = huggingface.longest(model, options.max_length)
        encoded = (encode(tokenizer, row).cut_to(longest) for row in job.rows)
        dataset = as_dataset(learnable(encoded, max_length=longest), Path(folder))
        if options.packing:
            must_keep_rows_apart(model, adapter)
            dataset = pack_dataset(dataset, longest, "bfd")
        return huggingface.run(
            SFTTrainer,
            job,
            progress,
            is_adapter=adapter is not None,
            mean_over="tokens",
            model=model,
            args=SFTConfig(
                **huggingface.arguments(
                    job, options, steps=huggingface.steps_of(options, dataset), processes=options.all_processes
                ),
                max_length=None,  # cut above, where it is known which tokens are learned
                packing=options.packing,
                dataset_kwargs={"skip_prepare_dataset": True},
            ),
            train_dataset=dataset,
            processing_class=tokenizer,
            peft_config=adapter,
        )
