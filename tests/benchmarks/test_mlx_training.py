"""How `mlx-lora` compares with mlx-lm's own trainer doing the same work: interleaved repeats, as ratios.

Run with `pytest tests/benchmarks/test_mlx_training.py --full -s`. Ours clips gradients and measures accuracy besides;
the limits leave room for what else a machine does.
"""

import contextlib
import io
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from adapters.shared.mlx_runtime import make_ready
from tests.adapters.trainers.running import SMALL_BASE, job, rows, trained

pytestmark = [pytest.mark.full, pytest.mark.training]

STEPS, BATCH, REPEATS = 20, 16, 5


def theirs(folder: Path) -> None:
    """mlx-lm's own trainer: the same rows, adapter, optimiser and number of steps."""
    import mlx.core as mx
    import mlx.optimizers as optim
    import numpy as np
    from mlx_lm import load
    from mlx_lm.tuner import TrainingArgs, linear_to_lora_layers, train
    from mlx_lm.tuner.datasets import CacheDataset, ChatDataset

    folder.mkdir()
    np.random.seed(0)
    mx.random.seed(0)
    model, tokenizer = load(SMALL_BASE)
    model.freeze()
    linear_to_lora_layers(model, len(model.layers), {"rank": 8, "scale": 2.0, "dropout": 0.0})
    data = CacheDataset(ChatDataset(rows("mlx-demo", first=400), tokenizer, mask_prompt=True))
    args = TrainingArgs(
        batch_size=BATCH,
        iters=STEPS,
        steps_per_report=1,
        steps_per_save=STEPS,
        adapter_file=str(folder / "adapters.safetensors"),
    )
    with contextlib.redirect_stdout(io.StringIO()):
        train(model, optim.AdamW(learning_rate=1e-3), data, None, args=args)


def ours(folder: Path) -> None:
    trained("mlx_lora", job(folder, rows("mlx-demo", first=400)), max_steps=STEPS, batch_size=BATCH, learning_rate=1e-3)


def measured(work: Callable[[Path], None], folder: Path) -> tuple[float, int]:
    """Seconds, and the most bytes that MLX held at once."""
    import mlx.core as mx

    mx.clear_cache()
    mx.reset_peak_memory()
    began = time.perf_counter()
    work(folder)
    return time.perf_counter() - began, mx.get_peak_memory()


def test_ours_takes_no_longer_and_no_more_memory_than_mlx_lms_own_loop(tmp_path: Path) -> None:
    make_ready()  # for both: what is compared here are the loops
    measured(ours, tmp_path / "ours-first")
    measured(theirs, tmp_path / "theirs-first")
    times, sizes = [], []
    for repeat in range(REPEATS):
        (our_time, our_size), (their_time, their_size) = (
            measured(ours, tmp_path / f"ours-{repeat}"),
            measured(theirs, tmp_path / f"theirs-{repeat}"),
        )
        times.append(our_time / their_time)
        sizes.append(our_size / their_size)
    print(f"\ntime {_spread(times)}, memory {_spread(sizes)} of mlx-lm's own trainer with the same BLAS")
    assert statistics.median(times) < 1.15
    assert statistics.median(sizes) < 1.1


@pytest.mark.skipif(sys.platform != "linux", reason="on an Apple machine nothing has to be made ready")
def test_made_ready_it_is_several_times_as_fast_as_mlx_as_it_comes() -> None:
    """Each in a process of its own, because a library stays bound once it is loaded."""
    ratios = [_seconds("ours") / _seconds("theirs") for _ in range(2)]
    print(f"\ntime {_spread(ratios)} of mlx-lm's own trainer as it comes")
    assert statistics.median(ratios) < 0.5


def _seconds(which: str) -> float:
    module = "tests.benchmarks.test_mlx_training"
    done = subprocess.run([sys.executable, "-m", module, which], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return float(done.stdout.splitlines()[-1])


def _spread(ratios: list[float]) -> str:
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as name:
        began = time.perf_counter()
        {"ours": ours, "theirs": theirs}[sys.argv[1]](Path(name) / "run")
        print(time.perf_counter() - began)
