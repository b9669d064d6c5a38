"""Our own files: the style and the scripts. They are open to everybody, the page for signing in included."""

from pathlib import PurePath

from fastapi import APIRouter, HTTPException, Response
from fastapi.responses import FileResponse

from adapters.web.rendering import STATIC

router = APIRouter()

_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


@router.get("/static/{name}")
def file(name: str) -> Response:
    """A file of ours, which browsers may keep: its address changes with its contents."""
    path = STATIC / name
    if PurePath(name).name != name or path.suffix not in _TYPES or not path.is_file():
        raise HTTPException(404)
    headers = {"Cache-Control": "public, max-age=31536000, immutable"}
    return FileResponse(path, media_type=_TYPES[path.suffix], headers=headers)
