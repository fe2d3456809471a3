"""What CI and the Makefile run beside the tests: checks with a pure core, tested in tests/architecture."""
