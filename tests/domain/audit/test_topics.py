"""Every event can be read by a process that has never written one."""

import subprocess
import sys
from pathlib import Path

GOLDEN = Path(__file__).parents[2] / "adapters" / "store" / "golden"


def test_a_fresh_process_knows_every_topic() -> None:
    topics = sorted({file.name.rsplit(".", 2)[0] for file in GOLDEN.glob("*.json")})
    assert "training-method.added" in topics
    looks = f"from eventsourcing.utils import resolve_topic; [resolve_topic(t) for t in {topics}]"
    code = f"import domain.catalogue.catalogue; {looks}"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
