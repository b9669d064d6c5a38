"""Base models: found, looked at and tried before anything is trained on them."""

from adapters.models.base_models import BaseModels
from adapters.models.trying import Tried

__all__ = ["BaseModels", "Tried"]
