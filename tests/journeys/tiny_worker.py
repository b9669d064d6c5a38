"""Our worker as `infra.serving.prefect_process` starts it, but for the journeys' flow `tiny` and not the service's.

    python -m tests.journeys.tiny_worker POOL NAME

With UNKNOWN_PREFECT it finds that Prefect's private parts are not as we know them.
"""

import os
import sys
from functools import partial

from adapters.prefect.deployments import OurFlow
from infra.serving import prefect_process, worker_process

TINY = {"tiny": OurFlow("tiny.tiny", "pool-.*")}

if __name__ == "__main__":
    worker_process.work = partial(worker_process.work, flows=TINY)  # type: ignore[assignment]  # acts as one
    if "UNKNOWN_PREFECT" in os.environ:
        worker_process.why_not_with_this_prefect = lambda: "Runs cannot start warm with this Prefect: it is made up."
    prefect_process.main(["worker", *sys.argv[1:]])
