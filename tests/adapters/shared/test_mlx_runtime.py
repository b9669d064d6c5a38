"""MLX on Linux's CPU computes with a fast BLAS, whatever was imported before it."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="on an Apple machine MLX brings its own")

_SECONDS_FOR_MULTIPLICATIONS = """
import sys, time
for name in sys.argv[1:]:
    __import__(name)
from adapters.shared.mlx_runtime import make_ready
make_ready()
make_ready()
import mlx.core as mx
a, b = mx.ones((256, 256)), mx.ones((256, 256))
mx.eval(a @ b)
began = time.perf_counter()
for _ in range(20):
    c = a @ b
    mx.eval(c)
assert c[0, 0].item() == 256.0
print(time.perf_counter() - began)
"""


def seconds(*imported: str) -> float:
    done = subprocess.run(
        [sys.executable, "-c", _SECONDS_FOR_MULTIPLICATIONS, *imported], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return float(done.stdout)


@pytest.mark.parametrize("imported", [(), ("torch",)], ids=["first of all", "after torch"])
def test_matrices_are_multiplied_several_times_faster_than_with_the_library_that_mlx_brings(
    imported: tuple[str, ...],
) -> None:
    plain = seconds("mlx.core")  # too late then: the library that MLX brought is bound
    assert seconds(*imported) < plain / 3
