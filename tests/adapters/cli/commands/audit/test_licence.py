"""`tmm licence`: from a key pair to a commercial user, and back."""

import json
from pathlib import Path

import pytest

from adapters.licences import InstalledLicences
from infra.service import Service
from infra.settings import Settings
from tests.adapters.cli.conftest import Tmm


def issue(tmm: Tmm, *users: str, out: str = "x.licence") -> None:
    start = ("licence", "issue", "--key", "keys/private.pem", "--customer", "Acme", "--days", "30")
    answer = tmm(*start, "--out", out, "--users", *users)
    assert answer.code == 0, answer.err


def test_from_a_key_pair_to_a_commercial_user_and_back(tmm: Tmm, installation: Service) -> None:
    me = installation.user().name
    assert tmm("licence", "show").out == f"{me} is a noncommercial user: no licence is installed.\n"
    assert tmm("licence", "keygen", "--out", "keys").code == 0
    issue(tmm, "bob", me)
    assert "not in the trust store. Trust its issuer's key with" in tmm("licence", "install", "x.licence").sentence
    assert tmm("licence", "trust", "keys/public.pem").code == 0
    installed = tmm("licence", "install", "x.licence")
    assert installed.code == 0
    assert f"{me} is a commercial user" in installed.out
    shown = tmm("licence", "show", "--json").document
    assert (shown["user"], shown["edition"]) == (me, "commercial")
    [of] = shown["licences"]
    assert (of["holds"], of["licence"]["customer"], of["licence"]["users"]) == (True, "Acme", ["bob", me])
    removed = tmm("licence", "remove", shown["licence_id"])
    assert f"{me} is a noncommercial user: no licence is installed." in removed.out
    actions = [(entry.action, entry.outcome) for entry in installation.auditing.entries()[-2:]]
    assert actions == [("install-licence", "done"), ("remove-licence", "done")]


def test_a_licence_that_names_prefect_says_what_that_means_and_one_for_everyone_means_persons(tmm: Tmm) -> None:
    tmm("licence", "keygen", "--out", "keys")
    tmm("licence", "trust", "keys/public.pem")
    issue(tmm, "*", out="persons.licence")
    persons = tmm("licence", "install", "persons.licence")
    assert (persons.code, persons.err) == (0, "")
    assert "for all persons, from" in persons.out
    issue(tmm, "*", "prefect", out="prefect.licence")
    prefect = tmm("licence", "install", "prefect.licence")
    assert "for all persons, and prefect, from" in prefect.out
    assert "everybody who reaches the Prefect UI or its API can add and delete methods under it" in prefect.err
    assert "tmm licence remove L-" in prefect.err


def test_the_text_of_a_licence_never_reaches_the_log(tmm: Tmm, installation: Service, here: Path) -> None:
    tmm("licence", "keygen", "--out", "keys")
    tmm("licence", "trust", "keys/public.pem")
    issue(tmm, "*")
    tmm("licence", "install", "x.licence")
    signature = (here / "x.licence").read_bytes().split(b".")[2]
    stored = b"".join(
        bytes(event.state) for event in installation.log.recorder.select_notifications(start=None, limit=1000)
    )
    assert signature not in stored


def test_show_says_why_a_licence_gives_nothing(tmm: Tmm) -> None:
    tmm("licence", "keygen", "--out", "keys")
    tmm("licence", "trust", "keys/public.pem")
    issue(tmm, "somebody-else")
    assert tmm("licence", "install", "x.licence").code == 0
    answer = tmm("licence", "show")
    assert answer.code == 0
    assert "holds for you  no: it does not cover the user" in answer.out


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (("install", "nope"), 3, "cannot be read: no such file or directory"),
        (("trust", "nope"), 3, "cannot be read: no such file or directory"),
        (("remove", "nope"), 3, "No licence 'nope' is installed"),
        (("keygen",), 2, "Missing option '--out'"),
        (("issue", "--key", "k", "--customer", "A", "--users", " ", "--days", "1", "--out", "o"), 2, "Name the users"),
        (("issue", "--key", "k", "--customer", "A", "--users", "a", "--days", "0", "--out", "o"), 2, "0 is not in the"),
        (("issue", "--key", "k", "--customer", "A", "--users", "a", "--days", "1", "--out", "o"), 3, "cannot be read"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(tmm: Tmm, args: tuple[str, ...], code: int, words: str) -> None:
    answer = tmm("licence", *args)
    assert answer.code == code
    assert words in answer.sentence


def test_a_licence_that_expires_is_no_hindrance_to_looking_and_training(tmm: Tmm, site: object, home: Path) -> None:
    (home / "licences").mkdir(parents=True)
    (home / "licences" / "bad.licence").write_bytes(b"nonsense")
    assert tmm("list").code == 0
    refused = tmm("add", "mine", "--from", "sft-demo")
    assert refused.code == 3
    assert "the licence bad.licence is not a licence token" in refused.sentence


def test_without_a_subcommand_the_help_is_shown_as_it_is(tmm: Tmm) -> None:
    answer = tmm("licence")
    assert answer.code == 2
    assert answer.err.startswith("Usage: tmm licence")
    assert "\n  keygen " in answer.err


def test_who_trusted_a_key_is_an_entry_and_doctor_names_every_key(
    tmm: Tmm, installation: Service, site: Settings
) -> None:
    me, ids = installation.user().name, []
    for kind, words in (("licence", "to sign licences"), ("token", "to say for whom a program acts")):
        for number in (1, 2):
            folder = f"{kind}-{number}"
            tmm("licence", "keygen", "--out", folder)
            assert tmm(kind, "trust", f"{folder}/public.pem").code == 0
            entry = installation.auditing.entries()[-1]
            assert (entry.action, entry.actor, entry.outcome) == ("trust-key", me, "done")
            assert entry.sentence == f"{me} trusted key {entry.subject_name} {words} from the command line"
            ids.append(entry.subject_name)
    installation.operating.rebuild_views(by=installation.user())
    line = keys_line(tmm)
    for key_id, does in zip(ids, ["signs licences"] * 2 + ["says for whom programs act"] * 2, strict=True):
        assert f"{key_id} {does}, trusted by {me} on 2" in line
    assert "no entry" not in line


def test_doctor_notices_a_key_that_was_put_into_its_folder_by_hand(tmm: Tmm, site: Settings, here: Path) -> None:
    assert "No key is trusted" in keys_line(tmm)
    tmm("licence", "keygen", "--out", "keys")
    InstalledLicences(site.licences, site.trust_store).trust((here / "keys" / "public.pem").read_bytes())  # as cp would
    (file,) = site.trust_store.iterdir()
    assert f"{file.stem} signs licences, and no entry of the log tells who trusted it" in keys_line(tmm)
    assert f"tmm licence trust {file}" in keys_line(tmm)
    # A licence key's entry says nothing of the same key as one that says for whom programs act.
    assert tmm("licence", "trust", str(file)).code == 0
    assert "no entry" not in keys_line(tmm)
    site.acting_keys.mkdir(parents=True)
    (site.acting_keys / file.name).write_bytes(file.read_bytes())
    assert f"{file.stem} says for whom programs act, and no entry" in keys_line(tmm)
    assert tmm("token", "trust", str(file)).code == 0
    assert "no entry" not in keys_line(tmm)


def keys_line(tmm: Tmm) -> str:
    """What doctor says of the keys, and whether they are as they should be."""
    (check,) = (check for check in json.loads(tmm("doctor", "--json").out)["checks"] if check["name"] == "keys")
    assert check["ok"] is ("no entry of the log" not in check["words"])
    return str(check["words"])
