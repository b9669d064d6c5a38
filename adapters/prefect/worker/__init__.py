"""Our worker: Prefect's process worker, except that it starts this service's own flows alone, and as it will.

Whoever reaches Prefect's API can say for a run, a deployment or a pool which code to run, with which command and in
which environment. Our worker (`worker.py`) takes nothing of that: it checks whose run it is (`admission.py`), and gives
a run's process its own environment, a folder of its own, and an engine (`engine.py`) that runs the flow which the
worker named. How the process comes about is a matter of speed, and of how well we know the Prefect that is installed:
forked or fresh, and watched over as by Prefect's own worker (`watched.py`), or left to itself (`unwatched.py`).
"""
