"""A Prefect process worker whose runs start in a fraction of a second.

Most of the seconds between asking for a training and its first step go into importing libraries. The fork server
(`fork_server.py`) imports them once and then makes a new process for each run by forking itself; the worker
(`worker.py`) is Prefect's own process worker, except that it asks the fork server (`server_handle.py`) for the run's
process. Where that is not safe (`compatibility.py`, and runs that change what libraries read while they are imported),
a run gets a fresh process, exactly as from Prefect's own worker.
"""
