"""The pages, one module a subject."""

from fastapi import APIRouter

from adapters.web.pages import audit, compare, data, files, licences, live, me, methods, runs, training

ROUTERS: tuple[APIRouter, ...] = (
    files.router,
    methods.router,
    training.router,
    runs.router,
    live.router,
    compare.router,
    audit.router,
    data.router,
    licences.router,
    me.router,
)
"""What the app includes."""
