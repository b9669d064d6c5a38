"""This installation with all that people and programs can do here."""

from functools import cached_property

from infra.acts import Acts
from infra.wiring import Installation


class Service(Installation):
    """What every way in is given."""

    @cached_property
    def do(self) -> Acts:
        """Does what people and programs can do here."""
        return Acts(self)
