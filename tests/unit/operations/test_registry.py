from pressroom.operations.registry import SUPPORTED_URLS, operation_for


def test_every_supported_url_has_its_operation() -> None:
    assert SUPPORTED_URLS == ("/v1/chat/completions", "/v1/images/generations")
    for url in SUPPORTED_URLS:
        operation = operation_for(url)
        assert operation is not None
        assert operation.url == url


def test_another_url_has_none() -> None:
    assert operation_for("/v1/videos") is None
