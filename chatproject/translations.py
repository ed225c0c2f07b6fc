"""Every text in every language: ``python -m chatproject.translations`` names what is missing, and then fails.

Reads the sources as `makemessages` does, but needs no gettext on the machine.
"""

import gettext
import os
import re
import sys
from ast import literal_eval
from collections.abc import Iterator
from pathlib import Path

from babel.messages.catalog import Catalog, Message
from babel.messages.extract import DEFAULT_KEYWORDS, extract_from_file
from babel.messages.pofile import read_po
from django.utils.translation.template import templatize

ROOT = Path(__file__).resolve().parent.parent
APPS = ("chatproject", "accounts", "realtime", "conversations")
LANGUAGES = ("zh_Hans",)
KEYWORDS = DEFAULT_KEYWORDS | {
    f"{kind}_lazy": DEFAULT_KEYWORDS[kind] for kind in ("gettext", "ngettext", "pgettext", "npgettext")
}
_STRING = r"""u?('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")"""
_CALL = re.compile(rf"(?:\b(n?)(p?)gettext|_)\({_STRING}(?:, {_STRING})?", re.DOTALL)
_PLACE = re.compile(r"\{\w*\}|%\(\w+\)[sd]")


def said_in_code() -> Iterator[tuple[str, str]]:
    """Yield each text with the file that says it."""
    for app in APPS:
        for path in sorted((ROOT / app).rglob("*.py")):
            for _, message, *_ in extract_from_file("python", path, KEYWORDS):
                yield (message if isinstance(message, str) else message[-1] or message[0]), _name(path)
    for path in sorted((ROOT / "templates").rglob("*.*")):
        for plural, context, first, second in _CALL.findall(templatize(path.read_text())):
            yield literal_eval(second if context and not plural else first), _name(path)


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def find_faults(language: str) -> list[str]:
    folder = ROOT / "locale" / language / "LC_MESSAGES"
    with (folder / "django.po").open("rb") as file:
        catalog = read_po(file, locale=language)
    known = {_first(message.id): message for message in catalog if message.id}
    faults = [f"not in {language}: {text!r} ({where})" for text, where in said_in_code() if text not in known]
    for text, message in known.items():
        faults += [f"{fault} in {language}: {text!r}" for fault in _faults(message)]
    return sorted(set(faults)) + _stale(folder / "django.mo", catalog)


def _first(texts: str | tuple[str, ...] | list[str]) -> str:
    return texts if isinstance(texts, str) else texts[0]


def _faults(message: Message) -> Iterator[str]:
    if message.fuzzy:
        yield "fuzzy"
    forms = [message.string] if isinstance(message.string, str) else list(message.string or ("",))
    if not all(forms):
        yield "empty"
    wanted = set(_PLACE.findall(message.id if isinstance(message.id, str) else message.id[-1]))
    if any(set(_PLACE.findall(form)) != wanted for form in forms if form):
        yield "other placeholders"


def _stale(compiled: Path, catalog: Catalog) -> list[str]:
    with compiled.open("rb") as file:
        translations = gettext.GNUTranslations(file)
    plain = [message for message in catalog if message.id and isinstance(message.id, str)]
    differ = [message for message in plain if message.string and _compiled(translations, message) != message.string]
    return [f"{_name(compiled)} is not what the .po says: run `make translations`"] if differ else []


def _compiled(translations: gettext.GNUTranslations, message: Message) -> str:
    text = _first(message.id)
    return translations.pgettext(message.context, text) if message.context else translations.gettext(text)


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "chatproject.settings")
    found = [fault for language in LANGUAGES for fault in find_faults(language)]
    print("\n".join(found) or "every text is there in every language")
    sys.exit(bool(found))
