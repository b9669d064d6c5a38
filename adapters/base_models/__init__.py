"""Base models: found, looked at and tried before anything is trained on them."""

from adapters.base_models.models import BaseModels
from adapters.base_models.trying import Tried

__all__ = ["BaseModels", "Tried"]
