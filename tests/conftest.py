"""Fixtures live in `tests/fixtures/`, one subject a file; guards there apply to every test."""

pytest_plugins = [
    "tests.fixtures.guards",
    "tests.fixtures.servers",
    "tests.fixtures.system",
    "tests.fixtures.desk",
    "tests.fixtures.api",
    "tests.fixtures.receiver",
    "tests.fixtures.shared_api",
    "tests.fixtures.tenant",
]
