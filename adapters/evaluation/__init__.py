"""One model measured on held-out rows, the same way before and after a training."""

from adapters.evaluation.measuring import Model, evaluate, opened

__all__ = ["Model", "evaluate", "opened"]
