"""Says things in the reader's language.

Invariant: all languages have the same keys and the same placeholders; a test proves it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Literal, get_args

from app.backend.events import Degraded
from app.ui.strings import (
    en,
    en_account,
    en_admin,
    en_arena,
    en_batch,
    en_compare,
    en_demo,
    en_share,
    zh,
    zh_account,
    zh_admin,
    zh_arena,
    zh_batch,
    zh_compare,
    zh_demo,
    zh_messages,
    zh_methods,
    zh_share,
)

Lang = Literal["en", "zh"]
LANGUAGES: tuple[Lang, ...] = get_args(Lang)


def pick(wanted: str | None, accept_language: str = "", default: str = "auto") -> Lang:
    """The language to show: the user's choice, else the site's, else what the browser asks for first."""
    for choice in (wanted, default):
        if choice in LANGUAGES:
            return choice
    for part in accept_language.lower().split(","):
        if part.strip().startswith("zh"):
            return "zh"
        if part.strip().startswith("en"):
            return "en"
    return "en"


def text(lang: Lang, key: str, **values: object) -> str:
    """The sentence for `key`, with its placeholders filled: where `n` is 1 the one for `key`_one, if there is one."""
    strings = STRINGS[lang]
    sentence = strings.get(f"{key}_one", strings[key]) if values.get("n") == 1 else strings[key]
    return sentence.format(**{name: number(v) if type(v) is int else v for name, v in values.items()})


def number(n: int) -> str:
    """A count as every page writes it: 7, 1,108."""
    return f"{n:,}"


def known(lang: Lang, key: str, fallback: str) -> str:
    """The sentence for `key` if there is one, else `fallback`: for names that the backend may add at any time."""
    return STRINGS[lang].get(key) or METHODS[lang].get(key, fallback)


STRINGS: Mapping[Lang, Mapping[str, str]] = {
    "en": {
        **en.STRINGS,
        **en_account.STRINGS,
        **en_admin.STRINGS,
        **en_arena.STRINGS,
        **en_batch.STRINGS,
        **en_compare.STRINGS,
        **en_demo.STRINGS,
        **en_share.STRINGS,
    },
    "zh": {
        **zh.STRINGS,
        **zh_account.STRINGS,
        **zh_admin.STRINGS,
        **zh_arena.STRINGS,
        **zh_batch.STRINGS,
        **zh_compare.STRINGS,
        **zh_demo.STRINGS,
        **zh_share.STRINGS,
    },
}
METHODS: Mapping[Lang, Mapping[str, str]] = {"en": {}, "zh": zh_methods.METHODS}
"""What methods say in English by themselves."""


def _pattern(sentence: str) -> re.Pattern[str]:
    """What fits a sentence with placeholders."""
    return re.compile(re.sub(r"\\{(\w+)\\}", r"(?P<\1>.+?)", re.escape(sentence)), re.DOTALL)


MESSAGES: Mapping[Lang, tuple[tuple[re.Pattern[str], str], ...]] = {
    "en": (),
    "zh": tuple((_pattern(english), chinese) for english, chinese in zh_messages.MESSAGES.items()),
}
"""What the backend says in English by itself."""


def step(lang: Lang, name: str) -> str:
    """The name of a stage; own methods name theirs as they like."""
    return known(lang, f"time.{name or 'think'}", name.replace("_", " ")[:60].capitalize())


def duration(lang: Lang, ms: float) -> str:
    """A time as people say it: 87 ms, 2.4 s, 35 s, 3 min."""
    if ms < 999.5:
        return text(lang, "time.ms", n=round(ms))
    if ms < 9_950:
        return text(lang, "time.s", n=f"{ms / 1000:.1f}")
    if ms < 119_500:
        return text(lang, "time.s", n=round(ms / 1000))
    return text(lang, "time.min", n=round(ms / 60_000))


def about(lang: Lang, seconds: float) -> str:
    """A time that nobody knows exactly, in whole seconds or minutes."""
    if seconds < 99.5:
        return text(lang, "time.s", n=max(1, round(seconds)))
    return text(lang, "time.min", n=round(seconds / 60))


def notice(lang: Lang, part: str, reason: str) -> str:
    """What to say about a part that failed: its own reason for English readers, else the sentence of the part."""
    return reason if lang == "en" else known(lang, f"degraded.{part}", reason)


def load(lang: Lang, items: Iterable[Degraded]) -> str:
    """What a busy server left out of an answer, in one sentence."""
    cuts = [known(lang, f"degraded.{item.code}", item.reason).format(n=item.n) for item in items]
    return text(lang, "degraded.load", cuts=text(lang, "degraded.and").join(cuts))


def said(lang: Lang, message: str) -> str:
    """A sentence of the backend in the reader's language; empty when there is no translation."""
    if lang == "en":
        return message
    fits = ((pattern.fullmatch(message), words) for pattern, words in MESSAGES[lang])
    return next((words.format(**match.groupdict()) for match, words in fits if match), "")


def error(lang: Lang, code: str, message: str) -> str:
    """What to say about an error: its own message, or the sentence of its code where that is not translated."""
    return said(lang, message) or known(lang, f"error.{code}", message or text(lang, "error.error"))
