"""The fork server: imports what trainings need once, then forks one child for each run.

Started as a file of its own, by `server_handle.py`. Its arguments: the number of an inherited socket to the worker, the
worker's process id, the folder of the service's own code, and the modules to import. Every run has the service's code
as it stands on the disk: once a file that was imported from the folder has changed, this server forks no more, and ends
as soon as no run needs it, so that the worker starts another.

    worker -> server   one byte, and three files: the child's output, its error output, and its own socket
    child  -> worker   its process id and a line end, on the child's socket
    worker -> child    one line of JSON: module, arguments, environment, folder. Without it, the child just ends
    server -> worker   the child's exit code and a line end (minus the signal if one ended it); then the socket closes

Forking is safe only while this process has one thread and no library has begun to compute: both are checked.
"""

import contextlib
import ctypes
import gc
import importlib
import json
import os
import random
import runpy
import selectors
import signal
import socket
import sys
import time
from collections.abc import Sequence
from typing import Any

# A library that starts threads while it is imported would make every fork unsafe. numpy keeps to one thread in the
# children, because it decides when it is loaded; torch starts its threads in the child.
_ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "JE_ARROW_MALLOC_CONF": "background_thread:false"}
_PR_SET_PDEATHSIG = 1
_prctl = ctypes.CDLL(None).prctl


def main(arguments: Sequence[str]) -> None:
    """Be the server; in a child, be the run."""
    control, worker = socket.socket(fileno=int(arguments[1])), int(arguments[2])
    ours, modules = arguments[3], arguments[4:]
    del sys.path[0]  # this file's own folder: what lies beside it is no run's business
    _die_with(worker)
    for ignored in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)  # the worker asks us to end by closing the socket
    readiness = _preload(modules)
    control.sendall(json.dumps(readiness).encode() + b"\n")
    if "refused" in readiness:
        sys.exit(1)
    _become(*_serve(control, _files_imported_from(ours)))


def _preload(modules: Sequence[str]) -> dict[str, Any]:
    """Import the modules; what to tell the worker about it."""
    began = time.monotonic()
    os.environ.update(_ONE_THREAD)
    missing = _import_all(modules)
    if (reason := _why_unsafe()) is not None:
        return {"refused": reason}
    gc.collect()
    gc.freeze()  # the collector writes into every object that it looks at, and so would copy the memory into each child
    return {
        "pid": os.getpid(),
        "seconds": round(time.monotonic() - began, 2),
        "missing": missing,
    }


def _import_all(modules: Sequence[str]) -> list[str]:
    """Import the modules; those that there are not."""
    missing = []
    for module in modules:
        try:
            importlib.import_module(module)
        except ImportError:
            missing.append(module)
    return missing


def _why_unsafe() -> str | None:
    if (threads := len(os.listdir("/proc/self/task"))) != 1:
        return f"importing the libraries started {threads - 1} thread(s)"
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        return "importing the libraries opened the GPU"
    return None


_Files = dict[str, tuple[int, int] | None]


def _files_imported_from(folder: str) -> _Files:
    """The files of the modules in this folder, libraries that are installed below it aside, as they are now."""
    names = [getattr(module, "__file__", None) or "" for module in list(sys.modules.values())]
    ours = (name for name in names if name.startswith(folder + os.sep) and "site-packages" not in name)
    return {name: _stamp(name) for name in ours}


def _stamp(name: str) -> tuple[int, int] | None:
    try:
        found = os.stat(name)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size


def _serve(control: socket.socket, ours: _Files) -> tuple[socket.socket, int, int]:
    """Fork a child for each request and report each child's end. Returns in a child only: its socket and outputs.

    On the way out the child closes what is the server's: a file forgotten here would be closed at the run's end, when
    its number is the run's own.
    """
    server = os.getpid()
    children: dict[int, socket.socket] = {}
    with contextlib.ExitStack() as of_the_server:
        of_the_server.enter_context(control)
        of_the_server.callback(_close_all, children)
        woken = _woken_by_ended_children(of_the_server)
        ready = of_the_server.enter_context(selectors.DefaultSelector())
        ready.register(control, selectors.EVENT_READ)
        ready.register(woken, selectors.EVENT_READ)
        while True:
            for key, _ in ready.select():
                if key.fileobj is not control:
                    _report_ends(woken, children)
                    continue
                message, files, _, _ = socket.recv_fds(control, 1, 3)
                if not message:
                    os._exit(0)  # the worker has closed or is gone: the kernel ends what children there are
                child = socket.socket(fileno=files[2])
                changed = any(_stamp(name) != stamp for name, stamp in ours.items())
                if changed and not children:
                    os._exit(0)
                if not changed and _why_unsafe() is None and (pid := _fork()) is not None:
                    if pid == 0:
                        _die_with(server)  # a run must not go on unseen when the server is gone
                        return child, files[0], files[1]
                    children[pid] = child
                else:
                    child.close()  # the worker sees that there is no process, and starts a fresh one
                os.close(files[0])
                os.close(files[1])


def _close_all(children: dict[int, socket.socket]) -> None:
    for child in children.values():
        child.close()


def _woken_by_ended_children(of_the_server: contextlib.ExitStack) -> int:
    """A file that can be read whenever a child has ended."""
    woken, wake = os.pipe()
    for end in (woken, wake):
        os.set_blocking(end, False)
        of_the_server.callback(os.close, end)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    of_the_server.callback(signal.set_wakeup_fd, -1)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    return woken


def _fork() -> int | None:
    try:
        return os.fork()
    except OSError as error:
        sys.stderr.write(f"The fork server cannot fork: {error}\n")
        return None


def _report_ends(woken: int, children: dict[int, socket.socket]) -> None:
    with contextlib.suppress(BlockingIOError):
        os.read(woken, 4096)
    while children and (ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)) is not None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(ended.si_pid, signal.SIGKILL)  # what the run started ends with it; its number is still taken
        _, status = os.waitpid(ended.si_pid, 0)
        with children.pop(ended.si_pid) as child, contextlib.suppress(OSError):
            child.sendall(b"%d\n" % os.waitstatus_to_exitcode(status))


def _become(child: socket.socket, output: int, error_output: int) -> None:
    """Turn this forked copy into what a fresh process would be, then run the module that the worker names."""
    os.setsid()
    _usual_signals()
    nothing = os.open(os.devnull, os.O_RDONLY)
    for file, number in ((nothing, 0), (output, 1), (error_output, 2)):
        os.dup2(file, number)
        os.close(file)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # both are text files here
    with child:
        child.sendall(b"%d\n" % os.getpid())
        line = child.makefile().readline()
    if not line:
        return  # the worker wants no run after all
    request = json.loads(line)
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["folder"])
    sys.path.insert(0, request["folder"])
    sys.argv = [request["module"], *request["arguments"]]
    _renew()
    sys.modules.pop(request["module"], None)  # it is run as `python -m` would
    runpy.run_module(request["module"], run_name="__main__", alter_sys=True)


def _die_with(parent: int) -> None:
    """Be killed when the parent is gone, which may have happened already."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def _usual_signals() -> None:
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        if signal.getsignal(number) is not None:  # None: a handler that Python does not know; the C library has its own
            signal.signal(number, signal.SIG_DFL)
    # As the interpreter itself sets them when it starts.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _renew() -> None:
    """What libraries did once when they were imported, as if this process had just imported them."""
    time.tzset()
    random.seed()
    if (numpy := sys.modules.get("numpy")) is not None:
        numpy.random.seed()
    if "prefect.main" in sys.modules:
        from prefect.context import refresh_global_settings_context
        from prefect.logging.configuration import setup_logging

        refresh_global_settings_context()
        setup_logging(incremental=False)


if __name__ == "__main__":
    main(sys.argv)
