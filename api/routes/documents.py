"""What error answers point to: each code, what it means and what to do."""

from html import escape

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

from api.error_codes import CODES, Explained

router = APIRouter(include_in_schema=False)

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:46rem;margin:2rem auto;padding:0 1rem;color:#222}"
    "h2{font:600 1.05rem ui-monospace,monospace;margin:1.6rem 0 .2rem}h2 small{color:#666;font-weight:400}"
    "p{margin:.2rem 0}:target{background:#fff3c4}"
)
_HEADERS = {
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
    "cache-control": "public, max-age=3600",
}


@router.get("/docs/errors")
async def errors() -> HTMLResponse:
    """A page for people; nothing of it comes from elsewhere."""
    return HTMLResponse(_PAGE, headers=_HEADERS)


def _section(code: str, one: Explained) -> str:
    return (
        f'<h2 id="{escape(code)}">{escape(code)} <small>{one.status}</small></h2>'
        f"<p>{escape(one.means)}</p><p>{escape(one.remedy)}</p>"
    )


_PAGE = (
    '<!doctype html><html lang="en"><meta charset="utf-8">'
    f'<meta name="viewport" content="width=device-width"><title>Pressroom: errors</title><style>{_STYLE}</style>'
    "<h1>Errors</h1><p>Every error answer has one shape: <code>error.code</code> is one of these, "
    "<code>error.param</code> the field that is at fault, <code>error.message</code> what is wrong and the remedy. "
    "A code that is not here is the provider's own, or names a rule of the field that is at fault.</p>"
    + "".join(_section(code, CODES[code]) for code in sorted(CODES))
    + "</html>"
)
