"""Makes `cuda.txt`: what the demos' runs import. Run it when libraries or trainers change:

    python -m adapters.prefect.warm_worker.make_imports cuda sft-demo grpo-demo

Each demo is run for real with Prefect's own worker, and its process says what it has imported, in order.
Whatever is not of this service is imported again in an empty process, the last first, because it brings most along;
a name that has come along is left out, and so is one that cannot be imported by itself.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

_CHECKOUT = Path(__file__).resolve().parents[3]
_TELLS = "TMM_TELL_IMPORTS"
_TELLS_AGAIN_AND_AGAIN = f"""
import os, sys, threading, time
def tell():
    while True:
        time.sleep(0.2)
        with open(os.path.join(os.environ["{_TELLS}"], str(os.getpid())), "w") as file:
            file.writelines(name + chr(10) for name in list(sys.modules))
if sys.orig_argv[-1] == "prefect.engine":
    threading.Thread(target=tell, daemon=True).start()
"""
_LEAVES_OUT_WHAT_CAME_ALONG = """
import importlib, sys
for name in reversed(sys.stdin.read().split()):
    if name not in sys.modules:
        try:
            importlib.import_module(name)
        except BaseException:
            continue
        sys.stdout.write(name + chr(10))
"""


def main(backend: str, *demos: str) -> None:
    """Run the demos and write the backend's file."""
    seen: dict[str, None] = {}
    for demo in demos:
        seen |= dict.fromkeys(_imported_by(demo))
    foreign = [name for name in seen if not _is_ours_or_a_start(name)]
    kept = subprocess.run(
        [sys.executable, "-c", _LEAVES_OUT_WHAT_CAME_ALONG],
        input="\n".join(foreign),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        cwd=tempfile.gettempdir(),
    ).stdout
    file = Path(__file__).with_name(f"{backend}.txt")
    file.write_text(kept)
    sys.stdout.write(f"{file.name}: {len(kept.split())} names bring {len(foreign)} modules\n")


def _imported_by(demo: str) -> list[str]:
    with tempfile.TemporaryDirectory() as folder:
        path, told = Path(folder, "path"), Path(folder, "told")
        path.mkdir()
        told.mkdir()
        (path / "sitecustomize.py").write_text(_TELLS_AGAIN_AND_AGAIN)
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join([str(path), str(_CHECKOUT)]),
            "TMM_HOME": str(Path(folder, "home")),
            "TMM_WORKER": "stock",
            _TELLS: str(told),
        }
        subprocess.run([sys.executable, "-m", "infra.main", "demo", "--method", demo], env=environment, check=True)
        [lines] = [file.read_text() for file in told.iterdir()]
        return lines.split()


def _is_ours_or_a_start(name: str) -> bool:
    ours = {folder.name for folder in _CHECKOUT.iterdir() if folder.is_dir()}
    # The engine itself is run anew as the main module, and what names a process's start is not imported.
    starts = {"__main__", "__mp_main__", "sitecustomize"}
    return name == "prefect.engine" or name.split(".", maxsplit=1)[0] in ours | starts


if __name__ == "__main__":
    main(*sys.argv[1:])
