"""The pages, one module a subject."""

from fastapi import APIRouter

ROUTERS: tuple[APIRouter, ...] = ()
"""What the app includes."""
