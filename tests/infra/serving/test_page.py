"""Where the page may be served, and to whom it opens."""

from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from domain.audit.read_models import AuditQuery
from domain.errors import InvalidSettings, Unreachable
from infra.operating_system_user import operating_system_user
from infra.service import Service
from infra.serving.page.app import page_app_of
from infra.serving.page.place import known_page, link, must_be_safe, page_link, url_of
from infra.settings import Settings

OIDC = {"oidc_issuer": "https://id.example", "oidc_client_id": "tmm", "oidc_client_secret_file": "/secret"}
TLS = {"web_certificate": "/c.pem", "web_key": "/k.pem"}
OPEN = {"web_host": "10.1.2.3"}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (OPEN, "TMM_WEB_HOST: at 10.1.2.3 others reach the page, and nothing says who they are"),
        (OPEN | TLS, "nothing says who they are"),
        (OPEN | OIDC, "TMM_WEB_CERTIFICATE and TMM_WEB_KEY"),
        (OPEN | OIDC | {"web_url": "https://methods.example"}, "name it in TMM_WEB_TRUSTED_PROXIES"),
        ({"web_user_header": "X-User"}, "TMM_WEB_TRUSTED_PROXIES"),
        ({"web_certificate": "/c.pem"}, "set both, or neither"),
        (OIDC | {"oidc_client_id": ""}, "TMM_OIDC_CLIENT_ID"),
        (OIDC | {"web_user_header": "X-User", "web_trusted_proxies": "10.0.0.1"}, "Set one of them"),
    ],
)
def test_a_page_that_strangers_could_use_is_not_served(tmp_path: Path, given: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidSettings, match=words):
        must_be_safe(Settings.model_validate({"home": tmp_path, **given}))


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"web_host": "localhost"},
        OIDC,
        OPEN | OIDC | TLS,
        OPEN | OIDC | {"web_url": "https://methods.example", "web_trusted_proxies": "10.0.0.1"},
        OPEN | TLS | {"web_user_header": "X-User", "web_trusted_proxies": "10.0.0.1"},
    ],
)
def test_a_page_that_asks_who_one_is_or_is_for_its_owner_alone_is(tmp_path: Path, given: dict[str, Any]) -> None:
    must_be_safe(Settings.model_validate({"home": tmp_path, **given}))


def test_the_address_of_the_page_opens_it_once(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, backends="cuda")
    url = url_of(settings, 4280)
    with Service(settings) as tmm, pytest.raises(Unreachable, match="tmm up"):
        page_link(tmm.settings)
    with Service(settings) as tmm, known_page(settings, url):
        opened = page_link(settings)
        with TestClient(page_app_of(tmm, url), base_url=url, follow_redirects=True) as browser:
            assert browser.get("/").status_code == 401
            assert browser.get(opened).status_code == 200
            assert operating_system_user() in browser.get("/me").text
        with TestClient(page_app_of(tmm, url), base_url=url) as another:
            assert another.get(opened).status_code == 403
            assert another.get(link(settings, "http://elsewhere"), headers={"host": "elsewhere"}).status_code == 421
        newest = tmm.auditing.entries(AuditQuery(newest_first=True, limit=3))
        assert [entry.action for entry in newest][::-1] == ["sign-in", "sign-in", "visit"]
        assert newest[-1].outcome == "done"
        assert {entry.outcome for entry in newest[:2]} == {"refused"}
