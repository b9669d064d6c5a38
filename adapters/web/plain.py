"""Pages of one sentence: what there is to say before, after and instead of the page itself."""

from fastapi.responses import HTMLResponse
from markupsafe import Markup

_PAGE = Markup("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title} · Training Methods</title>
<link rel="stylesheet" href="/static/style.css">
</head>
<body>
<main id="main">
<h1>{title}</h1>
<p>{words}</p>
{way_on}
</main>
</body>
</html>
""")
_WAY_ON = Markup('<p><a class="button primary" href="{address}">{words}</a></p>')


def plain_page(
    title: str,
    words: str,
    *,
    status: int = 200,
    way_on: tuple[str, str] | None = None,
    headers: dict[str, str] | None = None,
) -> HTMLResponse:
    """A title, a sentence, and a link on, as its address and words; every text is escaped."""
    link = _WAY_ON.format(address=way_on[0], words=way_on[1]) if way_on else ""
    return HTMLResponse(_PAGE.format(title=title, words=words, way_on=link), status_code=status, headers=headers)
