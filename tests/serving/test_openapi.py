"""What the OpenAPI document says and what the gateway does are one: thousands of requests made from the document."""

from __future__ import annotations

import logging
import os

import pytest
import schemathesis
import tiny_package
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
)

from serving.gateway.service import assemble
from serving.gateway.settings import Settings

CASES = int(os.environ.get("DANQING_OPENAPI_CASES", "125"))
"""Of each operation and kind (as documented, and not): 2,500 in all."""


def never_500(context, response, case):
    """503 and 504 are documented answers; 500 is a defect."""
    assert response.status_code != 500


CHECKS = [never_500, status_code_conformance, content_type_conformance, response_schema_conformance,
          negative_data_rejection]  # fmt: skip

OPERATIONS = [
    "POST /paint", "POST /preview", "POST /restore", "POST /edit", "POST /inspect", "GET /styles", "POST /tasks",
    "GET /tasks/{task}", "GET /tasks/{task}/pictures/{number}", "DELETE /tasks/{task}",
    "POST /feedback",
]  # fmt: skip


def without_lifespan(app):
    """The application as it runs already: a second worker for its tasks is not wanted."""

    async def asked(scope, receive, send):
        assert scope["type"] == "http"
        await app(scope, receive, send)

    return asked


@pytest.fixture(scope="module")
def document(tmp_path_factory):
    folder = tmp_path_factory.mktemp("openapi")
    package = tiny_package.make(folder / "package").folder
    app, _ = assemble(
        Settings(model=str(package), database=f"sqlite:///{folder / 'gateway.db'}", max_task=20, layers=("text",))
    )
    log = logging.getLogger("danqing.gateway")
    log.setLevel(logging.WARNING)  # thousands of lines would be kept for a failure
    with TestClient(app):
        yield schemathesis.openapi.from_asgi("/openapi.json", without_lifespan(app))
    log.setLevel(logging.INFO)


def test_every_operation_is_asked(document):
    assert sorted(o.ok().label for o in document.get_all_operations()) == sorted(OPERATIONS)


@pytest.mark.slow
@pytest.mark.parametrize("mode", list(GenerationMode))
@pytest.mark.parametrize("label", [label for label in OPERATIONS if label != "GET /styles"])  # which takes nothing
def test_no_answer_is_undocumented(document, label, mode):
    operation = document.find_operation_by_label(label)

    @settings(max_examples=CASES, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy(generation_mode=mode))
    def ask(case):
        case.call_and_validate(checks=CHECKS)

    ask()
