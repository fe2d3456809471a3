"""What no module may do; test_imports.py shows that the check sees it."""

import socket

with socket.socket() as _connection:
    _connection.connect(("127.0.0.1", 9))
