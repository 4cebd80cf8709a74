"""Which issue is meant."""

from __future__ import annotations

import pytest

from tinytown.actors.missions.references import (
    Endpoints,
    Reference,
    Repository,
    endpoints,
    objective,
    reference_of,
    remote,
)
from tinytown.errors import Invalid

HOME = Repository("github.com", "o", "r")


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("23", "o/r#23"),
        ("#23", "o/r#23"),
        ("My-Org/other.repo#42", "my-org/other.repo#42"),
        ("https://github.com/A/B/issues/7", "a/b#7"),
        ("https://www.github.com/a/b/issues/7#issuecomment-3", "a/b#7"),
        ("https://acme.ghe.com/a/b/issues/7?x=1", "acme.ghe.com/a/b#7"),
        ("https://git.example.org:8443/a/b/issues/7/", "git.example.org:8443/a/b#7"),
    ],
)
def test_an_issue_is_named_in_each_form_of_the_manual(text: str, key: str) -> None:
    found = objective(text, HOME)

    assert found.key == key
    assert reference_of(key) == found


def test_a_name_without_a_host_is_of_the_host_of_the_project() -> None:
    here = Repository("git.example.org", "o", "r")

    assert objective("a/b#1", here).key == "git.example.org/a/b#1"
    assert objective("a/b#1", None).key == "a/b#1"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0",
        "-1",
        "1.5",
        "23abc",
        "a/b",
        "a/b#",
        "a/b#0",
        "a/b/c#1",
        "file:///a/b/issues/1",
        "../x#1",
        "٣",
        "2147483648",
        "a/..#1",
    ],
)
def test_what_names_no_issue_is_refused_with_the_forms(text: str) -> None:
    with pytest.raises(Invalid) as caught:
        objective(text, HOME)
    assert "owner/repo#23" in caught.value.hint


def test_a_pull_request_is_refused() -> None:
    with pytest.raises(Invalid, match="is a pull request") as caught:
        objective("https://github.com/a/b/pull/7", HOME)
    assert "Name the issue" in caught.value.hint


def test_a_bare_number_needs_a_project_on_github() -> None:
    with pytest.raises(Invalid, match="Which repository is issue 23 of"):
        objective("23", None)


@pytest.mark.parametrize("key", ["", "x", "a/b", "#1", "a/b/c/d#1"])
def test_only_a_key_is_read_as_a_key(key: str) -> None:
    with pytest.raises(Invalid):
        reference_of(key)


@pytest.mark.parametrize(
    ("address", "found"),
    [
        ("git@github.com:o/r.git", "github.com o/r"),
        ("git@github.com:O/R", "github.com o/r"),
        ("ssh://git@github.com/o/r.git", "github.com o/r"),
        ("ssh://git@git.example.org:2222/o/r", "git.example.org o/r"),
        ("ssh://git@ssh.github.com:443/o/r.git", "github.com o/r"),
        ("https://github.com/o/r.git/", "github.com o/r"),
        ("https://user:secret@github.com/o/my.repo.git", "github.com o/my.repo"),
        ("https://git.example.org:8443/o/r", "git.example.org:8443 o/r"),
        ("/srv/git/r.git", None),
        ("../r", None),
        ("file:///srv/o/r.git", None),
        ("https://gitlab.example/a/b/c.git", None),
        ("", None),
    ],
)
def test_the_repository_is_read_from_the_remote(address: str, found: str | None) -> None:
    repository = remote(address)

    assert (repository and f"{repository.host} {repository.full_name}") == found


@pytest.mark.parametrize(
    ("host", "rest", "graphql"),
    [
        ("github.com", "https://api.github.com", "https://api.github.com/graphql"),
        ("acme.ghe.com", "https://api.acme.ghe.com", "https://api.acme.ghe.com/graphql"),
        ("git.example.org", "https://git.example.org/api/v3", "https://git.example.org/api/graphql"),
    ],
)
def test_each_kind_of_host_has_its_addresses(host: str, rest: str, graphql: str) -> None:
    assert endpoints(host, {}) == Endpoints(rest, graphql)


def test_the_environment_may_name_the_addresses() -> None:
    environ = {"GITHUB_API_URL": "http://127.0.0.1:1/", "GITHUB_GRAPHQL_URL": "http://127.0.0.1:1/graphql"}

    assert endpoints("github.com", environ) == Endpoints("http://127.0.0.1:1", "http://127.0.0.1:1/graphql")
    assert Reference(HOME, 1).key == str(Reference(HOME, 1)) == "o/r#1"
