"""Licences and the person's own page."""

from pathlib import Path

from fastapi.testclient import TestClient

from domain.audit.read_models import AuditQuery
from infra.service import Service


def test_a_licence_is_trusted_installed_and_removed(here: Service, bob: TestClient, tmp_path: Path) -> None:
    here.licences.generate_pair(tmp_path / "keys")
    file = tmp_path / "acme.licence"
    key = tmp_path / "keys" / "private.pem"
    licence = here.licences.issue(key, customer="Acme", users=["bob"], days=30, out=file)

    refused = bob.post("/licences/install", data={"text": file.read_text()})
    assert refused.status_code == 422
    assert "trust store" in refused.text
    assert "/tmp" not in refused.text
    assert bob.post("/licences/trust", files={"file": ("public.pem", (tmp_path / "keys/public.pem").read_bytes())})
    page = bob.post("/licences/install", files={"file": ("acme.licence", file.read_bytes())}).text
    assert f"Installed the licence {licence.licence_id} of Acme." in page
    assert ">yes</span>" in page
    assert "Removed the licence" in bob.post(f"/licences/{licence.licence_id}/remove").text
    actions = [entry.action for entry in here.auditing.entries(AuditQuery(actor="bob", origin="page"))]
    assert len(actions) == 3


def test_nothing_given_is_told(bob: TestClient) -> None:
    assert "Choose the licence&#39;s file, or paste its text." in bob.post("/licences/install").text
    assert bob.post("/licences/trust", data={"text": "no key"}).status_code == 422


def test_a_person_sees_who_they_are(alice: TestClient, bob: TestClient) -> None:
    assert "commercial</span> user: a licence holds" in alice.get("/me").text
    assert "no licence is installed" in bob.get("/me").text
