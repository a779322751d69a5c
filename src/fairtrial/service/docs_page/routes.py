"""Routes of the documentation page."""

from __future__ import annotations

from importlib.resources import files

from fastapi import APIRouter, Response

router = APIRouter(include_in_schema=False)

STATIC = files("fairtrial.service.docs_page") / "static"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def _served(name: str, media_type: str) -> Response:
    text = (STATIC / name).read_text(encoding="utf-8")
    return Response(text, media_type=media_type, headers={"Content-Security-Policy": POLICY, "Cache-Control": "no-cache"})


@router.get("/docs")
def read_docs() -> Response:
    """The API's documentation, from this service alone."""
    return _served("page.html", "text/html")


@router.get("/docs/page.js")
def read_docs_script() -> Response:
    """What the page does."""
    return _served("page.js", "text/javascript")


@router.get("/docs/page.css")
def read_docs_style() -> Response:
    """How the page looks."""
    return _served("page.css", "text/css")
