"""Looks at a training before it begins: whether it can go well, what it would do, and what it would take."""

from adapters.preflight.base_models import BaseModelFacts, facts_of, must_judge
from adapters.preflight.estimating import Measured
from adapters.preflight.looking import look_at, must_be_possible
from adapters.preflight.room import Room, peak_memory, room_on

__all__ = [
    "BaseModelFacts",
    "Measured",
    "Room",
    "facts_of",
    "look_at",
    "must_be_possible",
    "must_judge",
    "peak_memory",
    "room_on",
]
