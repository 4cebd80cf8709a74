"""`tt bootstrap`, as a person sees it."""

from __future__ import annotations

from person import Person


def test_it_installs_once_and_a_town_uses_it(person: Person) -> None:
    person.environ["PATH"] = "/usr/bin:/bin"
    own = person.directory.parent / "home/.tt"

    said = person.tt("bootstrap", "--method", "bundled")
    assert said.code == 0
    assert said.out.startswith(f"🚀 Bootstrapping Redis latest to {own}\n")
    assert "\n✅ Redis installed successfully!\n" in said.out
    assert f'\n   Add to your PATH:\n   export PATH="{own}/bin:$PATH"\n' in said.out
    assert said.out.endswith("\n   Then run: tt init\n")

    again = person.tt("bootstrap", "--json").json
    assert (again["method"], again["path"]) == ("there", f"{own}/bin/redis-server")


def test_wrong_words_and_failures_have_their_status(person: Person) -> None:
    assert person.tt("bootstrap", "7.2").code == 2
    assert person.tt("bootstrap", "--method", "magic").code == 2
    failed = person.tt("bootstrap", "--model", "gone")
    assert failed.code == 1
    assert "gone" in failed.err
    assert not (person.directory.parent / "home/.tt/bin/redis-server").exists()
    assert person.tt("bootstrap", TINYTOWN_AGENT_ID="x", TINYTOWN_AGENT_TOKEN="y").code == 1
