import json
from io import StringIO
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from pydantic import Field

from realtime.client_frames import CLIENT_FRAMES
from realtime.codes import CLOSES, ERROR_CODES, CloseCode
from realtime.command_frames import COMMANDS
from realtime.entry_frames import ENTRY_DATA, FEED_DATA
from realtime.fields import Wire
from realtime.protocol_docs import find_stale, render_markdown, write_documents
from realtime.protocol_schema import REF, render_schema
from realtime.server_frames import SERVER_FRAMES

BOTH = ["protocol.md", "protocol.schema.json"]


class Wave(Wire):
    """Says nothing, kindly."""

    type: str = Field(description="the word wave")


def check(directory: Path) -> None:
    call_command("protocol_docs", check=True, directory=directory, stdout=StringIO())


def refs_in(schema):
    if isinstance(schema, dict):
        own = [schema["$ref"]] if "$ref" in schema else []
        return own + [ref for inner in schema.values() for ref in refs_in(inner)]
    return [ref for inner in schema for ref in refs_in(inner)] if isinstance(schema, list) else []


def test_the_documents_in_the_repository_are_what_the_models_say():
    assert find_stale(settings.BASE_DIR / "docs") == []


def test_the_check_passes_after_writing(tmp_path):
    call_command("protocol_docs", directory=tmp_path)
    check(tmp_path)


def test_a_changed_model_is_noticed(tmp_path, monkeypatch):
    write_documents(tmp_path)
    monkeypatch.setitem(CLIENT_FRAMES, "wave", Wave)
    assert find_stale(tmp_path) == BOTH


def test_a_changed_document_is_noticed_and_named(tmp_path):
    write_documents(tmp_path)
    with (tmp_path / "protocol.md").open("a") as page:
        page.write("by hand")
    with pytest.raises(CommandError, match=r"protocol\.md\."):
        check(tmp_path)


def test_missing_documents_are_stale_and_the_check_writes_none(tmp_path):
    with pytest.raises(CommandError):
        check(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_page_names_every_frame_command_kind_and_code():
    page = render_markdown()
    names = [*CLIENT_FRAMES, *SERVER_FRAMES, *COMMANDS, *ENTRY_DATA, *FEED_DATA, *ERROR_CODES]
    assert [name for name in names if f"`{name}`" not in page] == []
    assert [code for code in CloseCode if f"| {int(code)} |" not in page] == []


def test_every_close_code_has_its_meaning():
    assert set(CLOSES) == set(CloseCode)


def test_every_reference_in_the_schema_leads_somewhere():
    schema = json.loads(render_schema())
    assert {ref for ref in refs_in(schema) if ref.removeprefix(REF) not in schema["$defs"]} == set()


def closed_in(schema):
    if isinstance(schema, dict):
        own = [schema] if schema.get("additionalProperties") is False else []
        return own + [found for inner in schema.values() for found in closed_in(inner)]
    return [found for inner in schema for found in closed_in(inner)] if isinstance(schema, list) else []


def test_the_schema_lets_later_versions_add_fields_but_no_keys_that_are_no_ids():
    closed = closed_in(json.loads(render_schema()))
    assert closed
    assert [schema for schema in closed if "patternProperties" not in schema] == []
