"""Settings: where they come from, which wins, and what is said about the wrong ones."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from app.backend.admission.door import SPARE_PART
from app.backend.errors import BadInput
from app.configuration import load
from app.settings import ASSETS, RetrievalSettings, Settings

PROFILES = sorted(path.stem for path in (ASSETS / "profiles").glob("*.yaml"))


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No settings of the developer's own."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("COLLOQUY_")]:
        monkeypatch.delenv(name)


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def refusal(**arguments: object) -> str:
    with pytest.raises(BadInput) as caught:
        load(**arguments)  # type: ignore[arg-type]
    assert "\n" not in caught.value.message
    return caught.value.message


@pytest.mark.parametrize("profile", PROFILES)
def test_every_profile_loads_and_names_itself(profile: str) -> None:
    assert load(profile=profile).profile == profile


@pytest.mark.parametrize("profile", PROFILES)
def test_the_engine_of_every_profile_takes_all_slots_also_the_spare_ones(profile: str) -> None:
    settings = load(profile=profile)
    slots = settings.admission.max_running
    assert settings.engine.max_num_seqs >= slots + slots // SPARE_PART


def test_the_three_promised_profiles_exist() -> None:
    assert {"cpu", "cuda", "scripted"} <= set(PROFILES)


def test_each_source_overrides_the_one_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    default, profile = Settings().generation.max_tokens, load(profile="cpu").generation.max_tokens
    assert default != profile
    file = write(tmp_path / "mine.yaml", "generation: {max_tokens: 11}")
    assert load(profile="cpu", config=file).generation.max_tokens == 11
    monkeypatch.setenv("COLLOQUY_GENERATION__MAX_TOKENS", "12")
    assert load(profile="cpu", config=file).generation.max_tokens == 12
    assert load({"generation": {"max_tokens": 13}}, profile="cpu", config=file).generation.max_tokens == 13


def test_a_source_changes_only_what_it_names(tmp_path: Path) -> None:
    changed = load(profile="cpu", config=write(tmp_path / "c.yaml", "engine: {max_num_seqs: 7}"))
    untouched = load(profile="cpu")
    assert changed.engine.max_num_seqs == 7
    assert changed.engine.model_copy(update={"max_num_seqs": untouched.engine.max_num_seqs}) == untouched.engine


def test_colloquy_yaml_is_read_where_the_program_starts(tmp_path: Path) -> None:
    write(tmp_path / "colloquy.yaml", "profile: scripted\nserver: {port: 1234}")
    settings = load()
    assert (settings.profile, settings.server.port) == ("scripted", 1234)


def test_the_flag_names_the_profile_before_environment_and_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(tmp_path / "c.yaml", "profile: cpu")
    monkeypatch.setenv("COLLOQUY_PROFILE", "cuda")
    assert load(config=file).profile == "cuda"
    assert load(profile="scripted", config=file).profile == "scripted"


def test_building_settings_by_hand_reads_nothing_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLLOQUY_SERVER__PORT", "1")
    assert Settings().server.port == 7860


def test_the_data_folder_is_absolute_so_that_children_find_it(tmp_path: Path) -> None:
    assert load({"data": "here"}, profile="cpu").data == tmp_path / "here"


def test_settings_cannot_be_changed() -> None:
    settings = load(profile="cpu")
    with pytest.raises(ValueError, match="frozen"):
        settings.server.port = 1  # type: ignore[misc]


def test_what_is_said_of_one_encoder_does_not_hold_for_another(tmp_path: Path) -> None:
    of_its_own = load(profile="cuda").retrieval
    assert of_its_own.query_prefix
    assert of_its_own.encoder_languages != RetrievalSettings().encoder_languages
    other = load({"retrieval": {"encoder": "BAAI/bge-small-en-v1.5"}}, profile="cuda").retrieval
    assert (other.query_prefix, other.encoder_languages) == (None, ("en",))
    assert other.batch_size == of_its_own.batch_size
    assert load({"retrieval": {"encoder": of_its_own.encoder}}, profile="cuda").retrieval == of_its_own


def test_what_a_file_says_without_naming_an_encoder_holds_for_the_one_that_is_taken(tmp_path: Path) -> None:
    file = write(tmp_path / "c.yaml", "retrieval: {encoder_languages: [multilingual]}")
    taken = load({"retrieval": {"encoder": "BAAI/bge-m3"}}, profile="cpu", config=file).retrieval
    assert (taken.encoder, taken.encoder_languages) == ("BAAI/bge-m3", ("multilingual",))


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"retrieval": {"encoder_languages": ["de"]}}, ("encoder_languages", "'en', 'zh' or 'multilingual'")),
        ({"server": {"port": 99999}}, ("server.port", "the command line", "at least 0 and at most 65535", "99999")),
        ({"engine": {"max_num_seqs": "many"}}, ("engine.max_num_seqs", "at least 1", "many")),
        ({"engine": {"kind": "magic"}}, ("engine.kind", "'vllm', 'openai' or 'scripted'", "magic")),
        ({"engine": {"modle": "x"}}, ("engine.modle", "Did you mean model?")),
        ({"sever": {"port": 1}}, ("sever", "Did you mean server?")),
        ({"server": None}, ("server", "must be a group of settings, such as `server: {port: 8080}`, not None")),
        ({"data": 1}, ("data", "must be a path, not 1")),
        ({"engine": {"start_expected_s": float("inf")}}, ("engine.start_expected_s", "more than 0", "inf")),
        ({"generation": {"grace_s": float("inf")}}, ("generation.grace_s", "at least 0", "inf")),
    ],
)
def test_a_wrong_value_is_named_with_its_source_and_what_is_allowed(
    flags: dict[str, object], words: tuple[str, ...]
) -> None:
    sentence = refusal(flags=flags, profile="cpu")
    assert all(word in sentence for word in words), sentence


def test_the_source_that_won_is_the_one_that_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write(tmp_path / "mine.yaml", "generation: {temperature: 9}")
    assert "mine.yaml" in refusal(config=file, profile="cpu")
    monkeypatch.setenv("COLLOQUY_GENERATION__TEMPERATURE", "8")
    assert "the environment" in refusal(config=file, profile="cpu")


def test_an_unknown_variable_is_refused_because_it_is_a_typing_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLLOQUY_ENGIN__MODEL", "x")
    assert "COLLOQUY_ENGIN__MODEL" in refusal(profile="cpu")


def test_a_secret_is_never_repeated(tmp_path: Path) -> None:
    file = write(tmp_path / "c.yaml", "engine: {api_key: [hunter2]}")
    assert "hunter2" not in refusal(config=file, profile="cpu")
    settings = load({"engine": {"api_key": "hunter2"}}, profile="cpu")
    assert "hunter2" not in repr(settings) + settings.model_dump_json()


@pytest.mark.parametrize(
    "text",
    [
        "a: b: c",
        "- 1\n- 2",
        "server: 3",
        "\x00",
        "1: 2",
        "server: {1: 2}",
        "null: 1",
        "profile: [cpu]",
        "data: 2020-99-99",
        "[" * 20_000,
        "server: &here {port: *here}",
        'server: {"\\ud800": 1}',
        '"\\ud800": 1',
        'data: !!timestamp "noon"',
    ],
)
def test_a_file_that_is_no_settings_file_gets_one_sentence(tmp_path: Path, text: str) -> None:
    assert "c.yaml" in refusal(config=write(tmp_path / "c.yaml", text)) or text.startswith("profile")


def test_brackets_without_end_in_a_variable_get_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLLOQUY_ENGINE", "[" * 20_000)
    assert "environment variable" in refusal(profile="cpu")


@pytest.mark.parametrize(
    ("engines", "words"),
    [
        ({"large": {"model": "x"}}, ("engines", "c.yaml", "large needs the address", "urls")),
        ({"large": {"urls": []}}, ("large needs the address",)),
        ({"large": {"url": ["http://a"]}}, ("engines.large.url ", "Did you mean urls?")),
        ({"main": {"urls": ["http://a"]}}, ("'main' cannot be the name of an engine",)),
        ({"Très grand": {"urls": ["http://a"]}}, ("'Très grand' cannot be", "a-z")),
        ({"large": {"urls": ["http://a"], "api_key": ["hunter2"]}}, ("engines.large.api_key",)),
        ({"large": {"api_key": "hunter2"}}, ("large needs the address",)),
        (["http://a"], ("engines", "c.yaml")),
    ],
)
def test_a_further_engine_that_cannot_be_is_named_with_what_is_wrong(
    tmp_path: Path, engines: object, words: tuple[str, ...]
) -> None:
    sentence = refusal(config=write(tmp_path / "c.yaml", json.dumps({"engines": engines})), profile="cpu")
    assert all(word in sentence for word in words), sentence
    assert "hunter2" not in sentence


def test_a_further_engine_needs_an_address_and_keeps_its_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLLOQUY_ENGINES", '{"large": {"urls": ["http://gpu-box:8000"], "api_key": "hunter2"}}')
    settings = load(profile="cpu")
    assert settings.engines["large"].urls == ("http://gpu-box:8000",)
    assert "hunter2" not in repr(settings) + settings.model_dump_json()


def test_a_config_file_that_is_asked_for_must_exist() -> None:
    assert "nowhere.yaml" in refusal(config=Path("nowhere.yaml"), profile="cpu")


def test_an_unknown_profile_is_told_the_known_ones() -> None:
    assert all(name in refusal(profile="tpu") for name in PROFILES)


@pytest.mark.parametrize("name", ["../profiles/cpu", "../../x", "/cpu"])
def test_a_profile_is_a_name_and_no_path(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLLOQUY_PROFILE", name)
    assert all(known in refusal() for known in PROFILES)


@pytest.mark.parametrize(("name", "value"), [("COLLOQUY_PIPELINES", "mine.py"), ("COLLOQUY_SERVER__HOSTS", "a.test")])
def test_a_variable_that_needs_json_is_named(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    sentence = refusal(profile="cpu")
    assert name in sentence
    assert "JSON" in sentence
    assert "Source" not in sentence
