"""`reconcile`: brings together what died in between, and makes Prefect show the catalogue as it is.

`tmm up` and `tmm worker` do the same every few seconds; this flow is for workers that were started without them, and
for whoever wants it now.
"""

from prefect import flow, get_run_logger

from domain.use_cases.operators.health import PutRight
from flows.acting import installation_of_this_run


@flow(name="reconcile", flow_run_name="reconcile")
def reconcile() -> None:
    """Put right runs that are stuck, and what Prefect shows."""
    with installation_of_this_run() as installation:
        for sentence in installation.do(PutRight(), by=installation.user()) or ["Nothing had to be put right."]:
            get_run_logger().info(sentence)
