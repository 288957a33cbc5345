"""An encoder is asked with the prompts that it was trained with, unless the settings say others."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from app.backend.retrieval.encoder import SentenceEncoder
from app.settings import RetrievalSettings


class Model:
    """Fits what is used of a `SentenceTransformer`; remembers the prompts."""

    device = SimpleNamespace(type="cuda")

    def __init__(self, prompts: dict[str, str]) -> None:
        self.prompts = prompts
        self.asked: list[tuple[str, str]] = []

    def get_embedding_dimension(self) -> int:
        return 2

    def encode_query(self, texts: list[str], *, prompt: str, **_: object) -> np.ndarray:
        self.asked.append(("query", prompt))
        return np.ones((len(texts), 2))

    def encode_document(self, texts: list[str], *, prompt: str, **_: object) -> np.ndarray:
        self.asked.append(("document", prompt))
        return np.ones((len(texts), 2))


@pytest.mark.parametrize(
    ("prompts", "said", "queries", "passages", "name"),
    [
        ({"query": "", "document": ""}, {}, "", "", "e"),
        ({"query": "query: ", "document": "", "passage": "passage: "}, {}, "query: ", "passage: ", "e|passage: "),
        ({"query": "query: ", "document": "passage: "}, {"query_prefix": "", "passage_prefix": ""}, "", "", "e"),
        ({"query": "query: "}, {"query_prefix": "Q: ", "passage_prefix": "P: "}, "Q: ", "P: ", "e|P: "),
    ],
)
def test_the_prompts_are_those_of_the_settings_else_the_models_own(
    prompts: dict[str, str], said: dict[str, str], queries: str, passages: str, name: str
) -> None:
    model = Model(prompts)
    encoder = SentenceEncoder(RetrievalSettings.model_validate({"encoder": "org/e", **said}), model)  # type: ignore[arg-type]
    assert encoder.encode_queries(["bees"]).dtype == np.float32
    encoder.encode_passages(["bees"])
    assert model.asked == [("query", queries), ("document", passages)]
    assert encoder.id == name
