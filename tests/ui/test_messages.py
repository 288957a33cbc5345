"""What the backend says in English is said in Chinese too, with what it says about this very case."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from string import Formatter

import pytest

from app import backend
from app.backend.types import Health
from app.ui import i18n
from app.ui.render import Renderer
from app.ui.strings.zh_messages import MESSAGES

BACKEND = Path(backend.__file__).parent
LEAST = 10
"""Characters of a sentence that are its own: what only passes others on would fit everything."""
ASKING = ("questions.py", "admission/door.py", "admission/guests.py", "admission/quota.py", "admission/visit.py")


def texts(path: Path) -> Iterator[list[str | None]]:
    """The texts of a module but its docstrings, in pieces; None is what is filled in."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    inside = {
        id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr | ast.Expr) for part in ast.walk(node)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield [str(part.value) if isinstance(part, ast.Constant) else None for part in node.values]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inside:
            yield [node.value]


def test_every_translated_sentence_is_one_that_the_backend_says() -> None:
    said = [
        re.compile("".join(".+" if piece is None else re.escape(piece) for piece in pieces))
        for path in BACKEND.rglob("*.py")
        for pieces in texts(path)
        if sum(len(piece or "") for piece in pieces) >= LEAST
    ]
    assert [english for english in MESSAGES if not any(one.fullmatch(english) for one in said)] == []


def test_whatever_refuses_a_question_is_translated() -> None:
    for name in ASKING:
        sentences = ["".join(piece or "7" for piece in pieces) for pieces in texts(BACKEND / name)]
        found = [s for s in sentences if s[:1].isupper() or s[:1] == "7" if s.endswith(".") and s.count(" ") > 2]
        assert [sentence for sentence in found if not i18n.said("zh", sentence)] == [], name


def test_a_translation_is_chinese_and_fills_in_only_what_is_there() -> None:
    for english, chinese in MESSAGES.items():
        assert re.search(r"[\u4e00-\u9fff]", chinese), english
        names = [{name for _, name, _, _ in Formatter().parse(text) if name} for text in (english, chinese)]
        assert names[1] <= names[0], english


@pytest.mark.parametrize(
    ("english", "chinese"),
    [
        ("The question has 8,001 characters; shorten it to 8,000.", "问题有 8,001 个字符，请缩短到 8,000 个以内。"),
        ("There is no corpus 'x'; the server has none.", "没有名为 'x' 的语料库；服务器上还没有任何语料库。"),
        ("There is no corpus '{0.a}'; the server has wiki.", "没有名为 '{0.a}' 的语料库，请选用：wiki。"),
        ("Nobody has translated this.", "无法这样处理，请修改后再试。"),
    ],
)
def test_a_refusal_says_in_chinese_what_is_wrong_and_how_to_mend_it(english: str, chinese: str) -> None:
    assert i18n.error("zh", "bad_input", english) == chinese
    assert i18n.error("en", "bad_input", english) == english


def test_why_the_engine_is_down_is_said_in_the_readers_language() -> None:
    down = Health("down", "The engine failed to start 3 times; the server's log says why.")
    ready = Health("ready")
    chips = {lang: Renderer([]).engine(down, ready, "model", lang)["text"] for lang in i18n.LANGUAGES}
    assert chips["en"] == "The engine is down: The engine failed to start 3 times; the server's log says why."
    assert chips["zh"] == "引擎不可用：引擎启动失败 3 次，原因见服务器日志。"
    assert Renderer([]).engine(Health("down", "Untold."), ready, "model", "zh")["text"] == "引擎不可用"
