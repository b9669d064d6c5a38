"""The users, methods and trainers that tests speak of."""

from collections.abc import Mapping
from typing import Any

from domain.catalogue.method_spec import Backend, MethodSpec, MethodType
from domain.catalogue.options import ConfigurationOption, OptionType
from domain.catalogue.preinstalled import SFT_DEMO
from domain.catalogue.trainer_declaration import TrainerDeclaration
from domain.people.users import Edition, Entitlement, Origin, User
from domain.runs.training_run import Provenance, RunRequest

ALICE = User(
    name="alice",
    entitlement=Entitlement(edition=Edition.COMMERCIAL, licence_id="L-17", key_id="K-1", because="a licence holds"),
    origin=Origin.COMMAND_LINE,
)
CARLA = ALICE.model_copy(update={"name": "carla", "origin": Origin.PYTHON})
BOB = User(name="bob", entitlement=Entitlement.noncommercial("no licence is installed"), origin=Origin.COMMAND_LINE)
COMMERCIAL, NONCOMMERCIAL = ALICE, BOB

RATE = ConfigurationOption(
    name="learning_rate", type=OptionType.NUMBER, default=1e-3, minimum=1e-7, maximum=0.1, description="Step size"
)
STEPS = ConfigurationOption(
    name="max_steps", type=OptionType.INTEGER, default=100, minimum=1, maximum=1000, description="Steps to take"
)
RANK = ConfigurationOption(
    name="lora_rank", type=OptionType.INTEGER, default=8, minimum=1, maximum=512, description="Rank of the matrices"
)

TRAINERS: Mapping[str, TrainerDeclaration] = {
    "sft": TrainerDeclaration(
        name="sft",
        summary="Supervised fine-tuning",
        backends=(Backend.CUDA,),
        method_types=(MethodType.SFT,),
        options=SFT_DEMO.configuration_options,
    ),
    "mlx-lora": TrainerDeclaration(
        name="mlx-lora",
        summary="LoRA with MLX",
        backends=(Backend.MLX,),
        method_types=(MethodType.PEFT,),
        options=(RATE, STEPS, RANK),
    ),
}

PROVENANCE = Provenance(
    base_model_hash="a" * 64,
    dataset_hash="b" * 64,
    held_out_hash="c" * 64,
    code_hash="d" * 64,
    packages={"torch": "2.13.0"},
    python="3.11.2",
    device="cpu",
    machine="here",
)


def method(internal_name: str = "sft-support", **fields: Any) -> MethodSpec:
    """A method as somebody would add it."""
    return MethodSpec.parse(
        {
            "internal_name": internal_name,
            "display_name": "SFT Support",
            "method_type": "SFT",
            "description": "With our support team's defaults.",
            "trainer": "sft",
            "backends": ["cuda"],
            "configuration_options": [RATE, STEPS],
        }
        | fields
    )


def request(method: str = "sft-support", **fields: Any) -> RunRequest:
    """A training as somebody would ask for it."""
    return RunRequest.parse(
        {"method": method, "backend": "cuda", "base_model": "small-base", "dataset": "sft-demo"} | fields
    )
