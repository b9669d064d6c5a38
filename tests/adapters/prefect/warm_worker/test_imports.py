"""The list of what the fork server imports: a few names, none of them our own code, which changes between runs."""

from pathlib import Path

from adapters.prefect.warm_worker import imports
from adapters.prefect.warm_worker.imports import imports_of
from infra.settings import CHECKOUT


def test_nothing_of_this_service_is_imported_before_a_run_starts() -> None:
    ours = {folder.name for folder in CHECKOUT.iterdir() if folder.is_dir()}
    lists = list(Path(imports.__file__).parent.glob("*.txt"))
    assert lists
    for file in lists:
        names = imports_of(file.stem)
        assert 0 < len(names) < 60
        assert not {name.split(".", maxsplit=1)[0] for name in names} & ours


def test_a_pool_that_is_not_ours_has_prefect_imported() -> None:
    assert "prefect.flow_engine" in imports_of("somebody-elses-pool")
