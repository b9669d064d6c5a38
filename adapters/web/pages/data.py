"""Datasets and base models that have a name here."""

from fastapi import APIRouter, Response

from adapters.web.page import Form, Here, Page, PageRoute, status_of, text
from adapters.web.uploads import uploaded
from domain.errors import InvalidDataset, TrainingMethodError
from domain.use_cases.data import ListBaseModels, ListDatasets, PreviewDataset, UploadDataset

router = APIRouter(route_class=PageRoute)


@router.get("/data")
def data(page: Here) -> Response:
    """What has a name here, and where it is used."""
    return _data_page(page)


def _data_page(page: Page, *, error: TrainingMethodError | None = None, typed: str = "") -> Response:
    return page.show(
        "data.html",
        status=status_of(error) if error else 200,
        datasets=page.do(ListDatasets()),
        base_models=page.do(ListBaseModels()),
        error=error,
        typed=typed,
    )


@router.post("/data")
def upload(page: Here, given: Form) -> Response:
    """Check a file, and keep it as a dataset with a name."""
    name = text(given, "name")
    try:
        if (file := uploaded(given, "file")) is None:
            raise InvalidDataset("Choose a file to upload: JSONL, JSON, CSV or Parquet.")
        with file as path:
            kept = page.do(UploadDataset(name=name or file.name, file=path))
    except TrainingMethodError as error:
        return _data_page(page, error=error, typed=name)
    return page.go(f"/data/{kept.name}", said=f"Kept as {kept.name}: {kept.rows:,} rows.")


@router.get("/data/{name}")
def dataset(page: Here, name: str) -> Response:
    """The first rows of a dataset."""
    return page.show("dataset.html", preview=page.do(PreviewDataset(name=name)))
