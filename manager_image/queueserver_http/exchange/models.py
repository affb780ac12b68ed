"""Bodies that have a model, and the refusal of those that do not fit it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import Request

from queueserver_http.exchange.errors import HttpError, unprocessable
from queueserver_http.exchange.parameters import decode_mapping

Model = TypeVar("Model", bound=BaseModel)


async def read_model(request: Request, model: type[Model]) -> Model:
    """The body; raises 422 for one that is missing or does not fit, 400 for an unknown key."""
    body = await request.body()
    given = decode_mapping(body) if body and not body.isspace() else None
    if given is None:
        raise unprocessable(f"A body is needed, a JSON mapping with the keys: {', '.join(model.model_fields)}.")
    try:
        return model.model_validate(given)
    except ValidationError as error:
        raise refusal(error.errors()) from None


def refusal(problems: Iterable[Mapping[str, Any]], skip: int = 0) -> HttpError:
    """The error for what pydantic found; what was sent is secret. `skip`: parts of places that name no key."""
    found = list(problems)
    unknown = any(one["type"] == "extra_forbidden" for one in found)
    sentences = [f"{'/'.join(map(str, one['loc'][skip:])) or 'body'}: {one['msg']}" for one in found]
    return HttpError(400 if unknown else 422, "; ".join(sentences))
