"""Models, by OpenAI's own client."""

from datetime import date

import openai
import pytest

from pressroom.catalog.load import catalog
from pressroom.jobs.offered import offered_models
from pressroom.money.price_book import sync_catalog_prices
from pressroom.settings import OPENAI_BASE_URL
from tests.fixtures.api import LiveApi

_BEFORE, _AFTER = date(2026, 11, 24), date(2027, 2, 1)


def test_what_the_sandbox_serves_is_listed(tenant: LiveApi) -> None:
    models = {model.id: model for model in tenant.openai().models.list()}
    assert {"gpt-4o-mini", "dall-e-2"} <= set(models)
    assert all(model.object == "model" and model.created > 0 and model.owned_by for model in models.values())
    assert tenant.openai().models.retrieve("gpt-4o-mini") == models["gpt-4o-mini"]


def test_a_model_that_is_not_there_is_not_found(tenant: LiveApi) -> None:
    for name in ("gpt-9-nova", "vendor/model"):
        with pytest.raises(openai.NotFoundError, match="GET /v1/models") as caught:
            tenant.openai().models.retrieve(name)
        assert (caught.value.code, caught.value.param) == ("model_not_found", "model")


def test_a_shutdown_holds_where_it_was_announced(tenant: LiveApi) -> None:
    with tenant.system.engine.begin() as conn:
        sync_catalog_prices(conn)
        before = {m.name: m for m in offered_models(conn, tenant.project_id, base_url=OPENAI_BASE_URL, on=_BEFORE)}
        after = {m.name: m for m in offered_models(conn, tenant.project_id, base_url=OPENAI_BASE_URL, on=_AFTER)}
    assert before["gpt-4o-mini"].shutdown == date(2027, 1, 14)
    assert "gpt-4o-mini" not in after
    assert "dall-e-2" not in before
    assert catalog().model("dall-e-2") is not None
