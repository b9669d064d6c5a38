"""The Training Methods page: what people see there, and what comes of what they do."""

from typing import Any

from fastapi.testclient import TestClient

from domain.audit.read_models import AuditQuery
from infra.service import Service
from tests.support.people import ALICE, BOB, method, request

NEW = {
    "internal_name": "sft-support",
    "display_name": "SFT Support",
    "trainer": "sft",
    "method_type": "SFT",
    "backends": "cuda",
    "description": "With our support team's defaults.",
    "option": ["max_steps", "learning_rate", "lr_scheduler_type"],
    "offer": ["max_steps", "learning_rate", "lr_scheduler_type"],
    "default.max_steps": "50",
    "minimum.max_steps": "10",
    "maximum.max_steps": "500",
    "default.learning_rate": "2e-5",
    "default.lr_scheduler_type": "linear",
    "choices.lr_scheduler_type": ["cosine", "linear"],
}


def test_the_list_has_what_can_be_chosen(alice: TestClient) -> None:
    page = alice.get("/").text
    for words in ("SFT-Demo", "grpo-demo", "Custom01", "preinstalled", "with the service", 'href="/add"'):
        assert words in page
    assert 'href="/methods/sft-demo/delete"' in page


def test_the_list_is_filtered_by_type_backend_and_words(alice: TestClient) -> None:
    assert "sft-demo" not in alice.get("/?type=GRPO").text
    assert "grpo-demo" in alice.get("/?type=GRPO").text
    assert "grpo-demo" not in alice.get("/?backend=mlx").text
    assert "mlx-demo" in alice.get("/?words=LoRA+adapter").text
    assert "No method fits" in alice.get("/?words=nothing-has-this").text


def test_who_may_not_add_sees_why_and_where_to_go(bob: TestClient) -> None:
    page = bob.get("/").text
    assert "bob may not add a training method: this is for commercial users only" in page
    assert 'href="/methods/custom01"' in page
    assert 'href="/methods/custom02"' in page
    assert 'href="/add"' not in page
    assert "/delete" not in page
    assert 'href="/methods/custom01/modify"' in page
    assert 'href="/methods/sft-demo/modify"' not in page


def test_a_method_is_added_with_the_options_that_were_ticked(here: Service, alice: TestClient) -> None:
    answer = alice.post("/add", data=NEW, follow_redirects=False)
    assert answer.status_code == 303
    assert answer.headers["location"] == "/methods/sft-support"
    assert "Added SFT Support." in alice.get("/methods/sft-support").text
    assert "Added SFT Support." not in alice.get("/methods/sft-support").text  # it is said once
    assert "words of a stranger" not in alice.get("/?said=words+of+a+stranger").text
    spec = here.catalogue.method("sft-support").spec
    steps, rate, schedule = spec.configuration_options
    assert (steps.default, steps.minimum, steps.maximum) == (50, 10, 500)
    assert (rate.default, rate.minimum) == (2e-5, 1e-8)  # what was left empty is the trainer's
    assert (schedule.default, schedule.choices) == ("linear", ("cosine", "linear"))
    [entry] = here.auditing.entries(AuditQuery(method="sft-support"))
    assert (entry.actor, entry.action, entry.origin) == ("alice", "add", "page")


def test_what_is_wrong_stands_at_its_field_and_nothing_typed_is_lost(here: Service, alice: TestClient) -> None:
    wrong = {**NEW, "internal_name": "Not A Name", "description": "", "default.max_steps": "many"}
    answer = alice.post("/add", data=wrong)
    assert answer.status_code == 422
    page = answer.text
    assert 'value="Not A Name" dir="auto" aria-invalid="true"' in page
    assert "must be 2 to 63 lower-case letters, digits and hyphens" in page
    assert 'value="many"' in page
    assert "must be a whole number, not &#39;many&#39;" in page
    assert 'value="500"' in page
    assert "Nothing you typed is lost" in page
    assert here.auditing.entries(AuditQuery(action="add")) == []


def test_a_limit_wider_than_the_trainers_is_marked_at_its_option(alice: TestClient) -> None:
    page = alice.post("/add", data={**NEW, "maximum.max_steps": "99999999"}).text
    assert 'id="wrong-option-max_steps"' in page
    assert "must stay within the trainer&#39;s limits (1 to 1000000)" in page


def test_a_name_that_is_taken_is_marked_with_the_way_to_what_has_it(alice: TestClient) -> None:
    page = alice.post("/add", data={**NEW, "internal_name": "sft-demo"}).text
    assert 'id="wrong-internal_name"' in page
    assert '<a href="/methods/sft-demo/modify">modify sft-demo</a>' in page


def test_another_trainer_brings_its_options_and_keeps_what_was_typed(alice: TestClient) -> None:
    page = alice.post("/add", data={**NEW, "trainer": "grpo", "look": "1"}).text
    assert 'name="default.num_generations"' in page
    assert 'value="sft-support"' in page
    assert 'value="500"' in page


def test_a_new_method_starts_from_another(here: Service, alice: TestClient) -> None:
    page = alice.get("/add?start_from=grpo-demo").text
    assert 'value="GRPO-Demo"' in page
    assert 'value="exact_answer=1, format=0.2"' in page
    assert '<option value="grpo" selected>' in page


def test_adding_by_who_may_not_is_refused_and_recorded(here: Service, bob: TestClient) -> None:
    answer = bob.post("/add", data=NEW)
    assert answer.status_code == 403
    assert 'value="sft-support"' in answer.text
    [entry] = here.auditing.entries(AuditQuery(outcome="refused"))
    assert (entry.actor, entry.action, entry.method, entry.origin) == ("bob", "add", "sft-support", "page")


def test_a_noncommercial_user_shapes_custom01(here: Service, bob: TestClient) -> None:
    form = bob.get("/methods/custom01/modify").text
    assert 'name="display_name" value="Custom01"' in form
    typed: dict[str, Any] = {
        "display_name": "Our tone",
        "description": "What we say, as we say it.",
        "option": ["max_steps"],
        "offer": ["max_steps"],
        "default.max_steps": "20",
    }
    answer = bob.post("/methods/custom01/modify", data=typed, follow_redirects=False)
    assert answer.status_code == 303
    spec = here.catalogue.method("custom01").spec
    assert (spec.display_name, [option.name for option in spec.configuration_options]) == ("Our tone", ["max_steps"])


def test_saving_the_form_as_it_is_changes_nothing(here: Service, alice: TestClient) -> None:
    from html.parser import HTMLParser

    class Fields(HTMLParser):
        def __init__(self) -> None:
            super().__init__()
            self.data: dict[str, list[str]] = {}
            self.select = self.area = ""

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            given = {name: value or "" for name, value in attrs}
            name = given.get("name", "")
            if tag == "select":
                self.select = name
            elif tag == "textarea":
                self.area = name
            elif tag == "option" and self.select and "selected" in given:
                self.data[self.select] = [given.get("value", "\0")]
            elif tag == "input" and name and (given.get("type") != "checkbox" or "checked" in given):
                self.data.setdefault(name, []).append(given.get("value", ""))

        def handle_data(self, data: str) -> None:
            if self.area:
                self.data[self.area] = [data]
                self.area = ""
            elif self.select and self.data.get(self.select) == ["\0"]:
                self.data[self.select] = [data]

        def handle_endtag(self, tag: str) -> None:
            if tag == "select":
                self.select = ""

    for name in ("sft-demo", "grpo-demo", "mlx-demo", "custom02"):
        fields = Fields()
        fields.feed(alice.get(f"/methods/{name}/modify").text)
        answer = alice.post(f"/methods/{name}/modify", data=fields.data)
        assert "nothing was changed" in answer.text, name
    assert here.auditing.entries(AuditQuery(action="modify")) == []


def test_a_method_tells_its_history_field_by_field(here: Service, alice: TestClient) -> None:
    here.catalogue.modify("sft-demo", {"description": "Another one."}, by=ALICE)
    page = alice.get("/methods/sft-demo").text
    assert "<code>description</code>" in page
    assert "<ins>Another one.</ins>" in page
    assert "train/sft-demo-cuda" in page


def test_deleting_shows_first_what_it_affects(here: Service, alice: TestClient) -> None:
    from uuid import uuid4

    here.catalogue.add(method(), by=ALICE)
    run_id = uuid4()
    here.trainings.request(run_id, request(), by=BOB)
    page = alice.get("/methods/sft-support/delete").text
    assert "Waiting: 1 run, to be cancelled" in page
    assert f"/runs/{run_id}" in page
    answer = alice.post("/methods/sft-support/delete", follow_redirects=False)
    assert answer.status_code == 303
    assert "sft-support" not in alice.get("/").text
    assert here.trainings.one(run_id).standing == "cancelled"
    gone = alice.get("/methods/sft-support")
    assert gone.status_code == 404
    assert "was deleted" in gone.text


def test_deleting_by_who_may_not_is_refused(here: Service, bob: TestClient) -> None:
    assert '<button class="danger">' not in bob.get("/methods/sft-demo/delete").text
    assert bob.post("/methods/sft-demo/delete").status_code == 403
    assert here.catalogue.method("sft-demo")


def test_texts_of_people_are_texts(here: Service, alice: TestClient) -> None:
    evil = "<script>alert(1)</script>"
    here.catalogue.add(method(display_name=evil, description=evil), by=ALICE)
    for path in ("/", "/methods/sft-support", "/methods/sft-support/modify", "/audit", "/?words=" + evil):
        page = alice.get(path).text
        assert evil not in page
        assert "alert(1)" in page or path == "/audit"
