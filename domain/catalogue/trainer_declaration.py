"""What a trainer declares about itself, and whether a method keeps within it."""

from collections.abc import Mapping

from domain.catalogue.method_spec import CUSTOM, Backend, MethodSpec, MethodType
from domain.catalogue.options import ConfigurationOption
from domain.errors import InvalidConfigurationOptions, InvalidMethod
from domain.values import Value


class TrainerDeclaration(Value):
    """A piece of training code as the catalogue knows it: its name, where it runs, and the options it honours."""

    name: str
    summary: str
    backends: tuple[Backend, ...]
    method_types: tuple[MethodType, ...]
    options: tuple[ConfigurationOption, ...]

    def must_allow(self, spec: MethodSpec) -> None:
        """Raise `InvalidMethod` or `InvalidConfigurationOptions` unless the spec keeps within this declaration."""
        if missing := [backend for backend in spec.backends if backend not in self.backends]:
            raise InvalidMethod(
                f"backends: trainer {self.name!r} does not run on {', '.join(missing)} "
                f"(it runs on {', '.join(self.backends)})."
            )
        if spec.method_type not in self.method_types and spec.method_type is not MethodType.OTHER:
            raise InvalidMethod(
                f"method_type: trainer {self.name!r} trains {', '.join(self.method_types)}, not {spec.method_type}."
            )
        declared = {option.name: option for option in self.options}
        problems = []
        for option in spec.configuration_options:
            if option.name not in declared:
                problems.append(
                    f"option {option.name!r} is not declared by trainer {self.name!r} "
                    f"(it declares {', '.join(declared)})"
                )
            elif problem := option.problem_beside(declared[option.name]):
                problems.append(problem)
        if problems:
            raise InvalidConfigurationOptions(problems)


Trainers = Mapping[str, TrainerDeclaration]


def trainer_of(spec: MethodSpec, trainers: Trainers) -> TrainerDeclaration:
    """The declaration that a spec's trainer names, or that its own code made when it was saved.

    Raises `InvalidMethod` when there is no such trainer.
    """
    if spec.code is not None:
        return TrainerDeclaration(
            name=CUSTOM,
            summary="The method's own code",
            backends=spec.code.backends,
            method_types=tuple(MethodType),
            options=spec.code.options,
        )
    if spec.trainer not in trainers:
        raise InvalidMethod(
            f"trainer: there is no trainer {spec.trainer!r} (there are: {', '.join(sorted(trainers))})."
        )
    return trainers[spec.trainer]
