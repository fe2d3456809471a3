"""The API through real sockets, by real clients."""
