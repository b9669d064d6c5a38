"""Licences: which hold, for whom, and whose signatures are trusted."""

from fastapi import APIRouter, Response

from adapters.web.page import Form, Here, Page, PageRoute, status_of, text
from adapters.web.uploads import uploaded_text
from domain.errors import InvalidLicence, TrainingMethodError
from domain.use_cases.licences import InstallLicence, ListLicences, RemoveLicence, TrustKey

router = APIRouter(route_class=PageRoute)


@router.get("/licences")
def licences(page: Here) -> Response:
    """Those that are installed, and whether each holds for the person."""
    return _licences_page(page)


def _licences_page(page: Page, *, error: TrainingMethodError | None = None, at: str = "", typed: str = "") -> Response:
    return page.show(
        "licences.html",
        status=status_of(error) if error else 200,
        licences=page.do(ListLicences()),
        user=page.person.user(),
        error=error,
        at=at,
        typed=typed,
    )


@router.post("/licences/install")
def install(page: Here, given: Form) -> Response:
    """Take in a licence, as a file or as pasted text."""
    pasted = text(given, "text") or uploaded_text(given, "file")
    try:
        if not pasted:
            raise InvalidLicence("Choose the licence's file, or paste its text.")
        licence = page.do(InstallLicence(text=pasted)).licence
    except TrainingMethodError as error:
        return _licences_page(page, error=error, at="install", typed=text(given, "text"))
    return page.go("/licences", said=f"Installed the licence {licence.licence_id} of {licence.customer}.")


@router.post("/licences/trust")
def trust(page: Here, given: Form) -> Response:
    """Trust an issuer's public key."""
    pasted = text(given, "text") or uploaded_text(given, "file")
    try:
        if not pasted:
            raise InvalidLicence("Choose the issuer's public.pem, or paste its text.")
        trusted = page.do(TrustKey(text=pasted))
    except TrainingMethodError as error:
        return _licences_page(page, error=error, at="trust", typed=text(given, "text"))
    return page.go("/licences", said=f"Trusted the key {trusted.key_id}: licences signed with it hold here now.")


@router.post("/licences/{name}/remove")
def remove(page: Here, name: str) -> Response:
    """Take an installed licence out."""
    removed = page.do(RemoveLicence(name=name)).standing
    named = removed.licence.licence_id if removed.licence else removed.file
    return page.go("/licences", said=f"Removed the licence {named}.")
