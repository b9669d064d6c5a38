"""The lists of what the fork server imports: a few names, of libraries in files, of this service in one place."""

from importlib.util import find_spec
from pathlib import Path

from adapters.prefect.warm_worker import imports
from adapters.prefect.warm_worker.imports import OURS, imports_of
from infra.settings import CHECKOUT


def test_the_files_name_a_few_libraries_and_nothing_of_this_service() -> None:
    ours = {folder.name for folder in CHECKOUT.iterdir() if folder.is_dir()}
    lists = list(Path(imports.__file__).parent.glob("*.txt"))
    assert lists
    for file in lists:
        names = file.read_text().split()
        assert 0 < len(names) < 60
        assert not {name.split(".", maxsplit=1)[0] for name in names} & ours


def test_what_is_imported_of_this_service_is_there() -> None:
    assert all(find_spec(name) for name in OURS)


def test_a_pool_that_is_not_ours_has_prefect_imported() -> None:
    assert "prefect.flow_engine" in imports_of("somebody-elses-pool")
