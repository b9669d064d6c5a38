"""Run in a forked child when a fork server has started: each library that is imported computes something.

A library that does not stand the fork hangs or fails here, before any run meets it.
"""

import sys


def main() -> None:
    """Compute with what there is; anything large enough to be shared among threads."""
    if "numpy" in sys.modules:
        import numpy

        numpy.ones((300, 300)) @ numpy.ones((300, 300))
    if "torch" in sys.modules:
        import torch

        weights = torch.ones(300, 300, requires_grad=True)
        (weights @ torch.ones(300, 300)).sum().backward()
    if "mlx.core" in sys.modules:
        import mlx.core

        mlx.core.eval(mlx.core.ones((300, 300)) @ mlx.core.ones((300, 300)))


if __name__ == "__main__":
    main()
