"""`tt migrate`, as a person sees it."""

from __future__ import annotations

from person import Person

from tinytown.ids import new_id
from tinytown.runtime.opening import open_blocking
from tinytown.transport.blocking import run_sync


def test_it_shows_asks_and_moves(town_dir: Person) -> None:
    nothing = town_dir.tt("migrate", "--dry-run")
    assert (nothing.code, nothing.out) == (0, "✅ No migration needed: no keys are in the old format.\n")
    agent = new_id()
    with open_blocking(town_dir.directory, environ=town_dir.environ) as town:
        record = f'{{"id":"{agent}","name":"ada","cli":"claude","state":"idle"}}'
        run_sync(town.connection.execute("SET", f"tt:agent:{agent}", record))
        run_sync(town.connection.execute("RPUSH", f"tt:inbox:{agent}", "{}"))

    preview = town_dir.tt("migrate", "--dry-run")
    assert preview.code == 0
    assert preview.out == (
        "🔍 Migration Preview (dry run)\n"
        "   Town: demo\n"
        "\n"
        "   Keys to migrate:\n"
        f"   tt:agent:{agent} → tt:demo:agent:{agent}\n"
        f"   tt:inbox:{agent} → tt:demo:inbox:{agent}\n"
        "\n"
        "   Total: 2 key(s) would be migrated\n"
        "\n"
        "   Run 'tt migrate' (without --dry-run) to perform migration.\n"
    )

    refused = town_dir.tt("migrate", text="n\n")
    assert (refused.code, refused.out) == (1, "")
    assert "tt migrate --force" in refused.err
    assert len(town_dir.tt("migrate", "--dry-run", "--json").json["moved"]) == 2

    done = town_dir.tt("migrate", text="y\n")
    assert done.code == 0
    assert done.out.startswith("✅ Migrated 2 key(s) to town 'demo'\n")
    assert [each["name"] for each in town_dir.tt("list", "--json").json] == ["ada"]
    assert town_dir.tt("migrate", "--force").out == nothing.out
