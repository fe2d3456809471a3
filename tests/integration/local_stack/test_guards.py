"""The guards that apply to every test: each of them does stop what it is there to stop."""

import os
import socket

import pytest
import redis
from celery import Celery

from tests.fixtures.guards import NetworkBlockedError
from tests.fixtures.redis_keys import keys_without_expiry


@pytest.mark.parametrize("address", [("93.184.215.14", 80), ("10.0.0.1", 443)])
def test_connections_beyond_loopback_are_blocked(address: tuple[str, int]) -> None:
    with socket.socket() as connection, pytest.raises(NetworkBlockedError, match=address[0]):
        connection.connect(address)
    with socket.socket(type=socket.SOCK_DGRAM) as datagrams, pytest.raises(NetworkBlockedError):
        datagrams.sendto(b"x", address)


def test_names_beyond_this_machine_are_not_looked_up() -> None:
    with pytest.raises(NetworkBlockedError, match=r"api\.openai\.com"):
        socket.create_connection(("api.openai.com", 443))


def test_loopback_is_open() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        socket.create_connection(("localhost", server.getsockname()[1])).close()


def test_the_environment_holds_nothing_of_the_callers() -> None:
    ours = {name for name in os.environ if name.startswith(("OPENAI_", "AWS_", "PRESSROOM_"))}
    assert ours == {"AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "AWS_EC2_METADATA_DISABLED"}


def test_redis_keys_without_expiry_are_found_but_celerys_own_are_not(redis_url: str) -> None:
    app = Celery(broker=redis_url, set_as_current=False)
    app.conf.broker_transport_options = {"global_keyprefix": "app:"}
    app.send_task("some.task", queue="leases")
    with app.connection_for_write() as connection:
        connection.default_channel.client.hset("unacked", "tag", "message")
    with redis.Redis.from_url(redis_url) as client:
        client.set("app:limit", "1")
        client.rpush("app:list-of-ours", "1")
        client.set("app:fine", "1", ex=60)
        assert client.llen("app:leases") == 1

        assert keys_without_expiry(client) == ["app:limit", "app:list-of-ours"]

        client.delete("app:limit", "app:list-of-ours")
    app.close()
