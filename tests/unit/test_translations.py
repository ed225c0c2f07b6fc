import shutil

import pytest

from chatproject import translations

PO = "locale/zh_Hans/LC_MESSAGES/django.po"


@pytest.fixture
def catalog(tmp_path, monkeypatch):
    """A copy of the sources' folder names with the real catalogue, which a test may spoil."""
    for name in (*translations.APPS, "templates", "locale"):
        source = translations.ROOT / name
        if name == "locale":
            shutil.copytree(source, tmp_path / name)
        else:
            (tmp_path / name).symlink_to(source)
    monkeypatch.setattr(translations, "ROOT", tmp_path)
    return tmp_path / PO


def spoil(catalog, old, new):
    text = catalog.read_text()
    assert old in text
    catalog.write_text(text.replace(old, new, 1))


def test_every_text_is_there_in_every_language():
    assert [fault for language in translations.LANGUAGES for fault in translations.find_faults(language)] == []


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ('msgid "Pin"', 'msgid "Pim"', "not in zh_Hans: 'Pin' (templates/conversations/item_menu.html)"),
        ('msgid "Pin"', '#, fuzzy\nmsgid "Pin"', "fuzzy in zh_Hans: 'Pin'"),
        ('msgid "Pin"\nmsgstr "置顶"', 'msgid "Pin"\nmsgstr ""', "empty in zh_Hans: 'Pin'"),
        ("找到 {count} 项", "找到 {sum} 项", "other placeholders in zh_Hans: '{count} found'"),
        ("置顶", "顶", "locale/zh_Hans/LC_MESSAGES/django.mo is not what the .po says: run `make translations`"),
    ],
)
def test_a_text_that_is_missing_fuzzy_empty_wrong_or_not_compiled_is_found(catalog, old, new, fault):
    spoil(catalog, old, new)
    assert fault in translations.find_faults("zh_Hans")
