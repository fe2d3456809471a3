"""The first admin key: made once, readable by its owner alone, made anew when the database does not take it."""

import stat
from pathlib import Path

from sqlalchemy import text

from pressroom.tenants.admin_key import ensure_admin_key
from pressroom.tenants.keys import find_key
from pressroom.tenants.secrets import parse_key
from tests.fixtures.desk import Desk


def test_it_is_made_once_and_closed_to_others(desk: Desk, tmp_path: Path) -> None:
    with desk.engine.begin() as conn:
        first = ensure_admin_key(conn, tmp_path / "data")
        again = ensure_admin_key(conn, tmp_path / "data")

    assert (first.is_new, again.is_new) == (True, False)
    assert stat.S_IMODE(first.path.stat().st_mode) == 0o600
    key = parse_key(first.path.read_text().strip())
    assert key is not None
    with desk.engine.connect() as conn:
        known = find_key(conn, key.prefix)
    assert known is not None
    assert known.admits(key, 0.0)
    assert sorted(known.scopes) == ["admin", "read", "submit"]


def test_a_file_that_the_database_does_not_take_is_replaced(desk: Desk, tmp_path: Path) -> None:
    with desk.engine.begin() as conn:
        first = ensure_admin_key(conn, tmp_path)
        before = first.path.read_text()
        conn.execute(text("UPDATE api_keys SET revoked_at = now()"))
        assert ensure_admin_key(conn, tmp_path).is_new
        assert first.path.read_text() != before
        first.path.write_text("nonsense")
        assert ensure_admin_key(conn, tmp_path).is_new
