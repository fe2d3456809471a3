"""Write something into every server of a stack, and find out whether it is still there."""

import psycopg
import redis

from pressroom.local_stack import LocalStack, StackUrls
from pressroom.storage import ObjectStore

_KEY = "kept/object.txt"
_DATA = b"paid for"


def object_store(urls: StackUrls) -> ObjectStore:
    """A store on the stack's own bucket."""
    return ObjectStore(
        urls.s3_bucket,
        endpoint_url=urls.s3_endpoint_url,
        access_key_id=urls.s3_access_key_id,
        secret_access_key=urls.s3_secret_access_key.get_secret_value(),
    )


def connect(urls: StackUrls) -> psycopg.Connection[tuple[object, ...]]:
    """A plain psycopg connection to the stack's database."""
    return psycopg.connect(urls.database_url.replace("postgresql+psycopg", "postgresql"), autocommit=True)


def write(urls: StackUrls) -> None:
    """One row, one Redis key, one object."""
    with connect(urls) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS kept (number int)")
        connection.execute("TRUNCATE kept")
        connection.execute("INSERT INTO kept VALUES (7)")
    with redis.Redis.from_url(urls.redis_url) as client:
        client.set("kept", "8", ex=600)
    object_store(urls).put(_KEY, _DATA, content_type="text/plain")


def check(urls: StackUrls) -> None:
    """Assert that all that `write` wrote is there."""
    with connect(urls) as connection:
        assert connection.execute("SELECT number FROM kept").fetchall() == [(7,)]
    with redis.Redis.from_url(urls.redis_url) as client:
        assert client.get("kept") == b"8"
    assert object_store(urls).get(_KEY, max_bytes=100) == _DATA


def pids(stack: LocalStack) -> dict[str, int]:
    """Process ids of the running servers by name."""
    return {server.name: server.pid for server in stack.status() if server.pid is not None}
