"""What trials of any trainer import: done once, in the process that checks are forked from. Nothing computes here."""

import datasets  # noqa: F401 -- imported to be there
import peft  # noqa: F401 -- imported to be there
import torch  # noqa: F401 -- imported to be there
import transformers.models.llama.modeling_llama  # noqa: F401 -- imported to be there
import trl.trainer.dpo_trainer
import trl.trainer.grpo_trainer
import trl.trainer.kto_trainer
import trl.trainer.reward_trainer
import trl.trainer.rloo_trainer
import trl.trainer.sft_trainer  # noqa: F401 -- imported to be there

from adapters.shared.mlx_runtime import make_ready

make_ready()

import mlx.optimizers  # noqa: E402, F401 -- MLX is made ready before it is imported
import mlx_lm.models.llama  # noqa: E402 -- as above
import mlx_lm.tuner  # noqa: E402, F401 -- as above
