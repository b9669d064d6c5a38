"""Processes for runs that start in a fraction of a second.

Most of the seconds between asking for a training and its first step go into importing libraries. The fork server
(`fork_server.py`) imports them once and then makes a new process for each run by forking itself; our worker asks it for
a run's process (`server_handle.py`). Where that is not safe (`compatibility.py`), a run gets a fresh process.
"""
