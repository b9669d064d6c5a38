"""Makes MLX ready for this machine. Whoever uses MLX calls `make_ready` before the first import of it in a process."""

import ctypes
import os
import sys
from functools import cache
from importlib.util import find_spec
from pathlib import Path


@cache
def make_ready() -> None:
    """Let MLX be as fast as this machine allows. On an Apple machine it is so by itself, and nothing happens.

    MLX's build for Linux's CPU brings the reference BLAS: 1 to 4 GFLOP/s here, where torch's library, which is
    installed beside it, does over 100. Both offer `sgemm_` under its standard name, so the library that is visible to
    the whole process first serves both: one training step of MLX-Demo takes 0.07 s instead of 0.6 s.

    Compiling is left off on the CPU: `mx.compile` calls the system's C++ compiler, which takes half a minute when it
    meets a computation for the first time, is not on every machine, and gained nothing in a measured step.
    """
    if sys.platform != "linux":
        return
    if "mlx.core" not in sys.modules:
        _lend_torchs_blas()
    import mlx.core as mx

    if mx.default_device() == mx.cpu:
        mx.disable_compile()


def _lend_torchs_blas() -> None:
    torch = find_spec("torch")
    for folder in torch.submodule_search_locations or () if torch else ():
        library = Path(folder) / "lib" / "libtorch_cpu.so"
        if library.exists():
            ctypes.CDLL(str(library), mode=os.RTLD_GLOBAL | os.RTLD_NOW)
