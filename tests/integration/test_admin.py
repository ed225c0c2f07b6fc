"""The admin: everything readable and searchable, the archive only that, and keys that end take effect."""

from uuid import uuid4

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from conversations import revocations
from conversations.audit.entry import AuditEntry
from conversations.inspection import base
from conversations.models import (
    Conversation,
    Device,
    Event,
    Installation,
    Member,
    Message,
    Rating,
    Share,
    Token,
    Turn,
    User,
)
from conversations.tokens import create_token, find_token

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]

NOW = timezone.now()
COPIES = [Conversation, Member, Turn, Event, Message, Rating, Installation, AuditEntry]
MODELS = [User, Device, Token, Share, *COPIES]


@pytest.fixture
def told(monkeypatch):
    """What was announced; that it reaches the nodes is shown with the revocations."""
    told = []

    def note(*, kind, user_id, value):
        told.append((kind, user_id, value))

    monkeypatch.setattr(revocations, "announce", note)
    return told


@pytest.fixture
def ana():
    return User.objects.create_user("ana")


@pytest.fixture
def root(told):
    root = Client()
    root.force_login(User.objects.create_superuser("root"))
    return root


def talk(owner, seqs=3):
    """One conversation with everything that an admin can look at."""
    conversation = Conversation.objects.create(owner=owner, title="Bees", last_active_at=NOW)
    Member.objects.create(conversation=conversation, user=owner)
    for seq in range(1, seqs + 1):
        common = {"conversation": conversation, "seq": seq, "at": NOW}
        Event.objects.create(**common, epoch=1, chain="c" * 16, kind="message", body="{}")
        Message.objects.create(**common, message_id=uuid4(), role="user", author="1", content=f"words {seq}")
        Turn.objects.create(id=uuid4(), conversation=conversation, seq=seq, queued_at=NOW)
    Device.objects.create(user=owner, device_id=f"phone-{conversation.pk}")
    create_token(user=owner, name="laptop")
    Share.objects.create(id=uuid4(), conversation=conversation, made_by=owner, digest=uuid4().hex, seq=1)
    Rating.objects.create(user=owner, conversation=conversation, message_id=uuid4(), seq=1, rating="up", at=NOW)
    return conversation


def page(model, name="changelist", *args):
    return reverse(f"admin:conversations_{model._meta.model_name}_{name}", args=args)


def rows(root, model, **query):
    return list(root.get(page(model), query).context["cl"].result_list)


def test_every_model_is_registered():
    assert [model for model in apps.get_app_config("conversations").get_models() if model not in MODELS] == []
    assert all(admin.site.is_registered(model) for model in MODELS)


@pytest.mark.parametrize("model", MODELS)
def test_every_list_and_every_row_can_be_read(root, ana, model):
    talk(ana)
    Installation.objects.get_or_create()
    assert root.get(page(model)).status_code == 200
    row = model.objects.first()
    assert root.get(page(model, "change", row.pk)).status_code == 200


@pytest.mark.parametrize("model", MODELS)
def test_every_list_takes_words_and_ids_in_its_search_box(root, ana, model):
    conversation = talk(ana)
    for words in ("bees", str(conversation.pk), "'", "\u0436"):
        assert root.get(page(model), {"q": words}).status_code == 200


@pytest.mark.parametrize("model", [Conversation, Member, Device, Token, Turn, Event, Message])
def test_a_longer_list_asks_the_database_no_more_often(
    root, ana, model, django_assert_max_num_queries, django_assert_num_queries
):
    talk(ana)
    with django_assert_max_num_queries(12) as few:
        root.get(page(model))
    for number in range(4):
        talk(User.objects.create_user(f"user{number}"))
    with django_assert_num_queries(len(few)):
        root.get(page(model))


@pytest.mark.parametrize("model", COPIES)
def test_copies_of_the_log_cannot_be_added_changed_or_deleted(root, ana, model):
    talk(ana)
    Installation.objects.get_or_create()
    row = model.objects.first()
    assert root.get(page(model, "add")).status_code == 403
    assert root.post(page(model, "change", row.pk), {}).status_code == 403
    assert root.post(page(model, "delete", row.pk), {"post": "yes"}).status_code == 403
    assert model.objects.filter(pk=row.pk).exists()


def test_an_id_in_the_search_box_finds_its_rows_only(root, ana):
    wanted, _ = talk(ana), talk(ana)
    assert len(rows(root, Message)) == 6
    assert {row.conversation_id for row in rows(root, Message, q=str(wanted.pk))} == {wanted.pk}
    assert rows(root, Conversation, q=str(wanted.pk)) == [wanted]


def test_a_list_is_counted_only_so_far(root, ana, monkeypatch):
    talk(ana, seqs=5)
    monkeypatch.setattr(base, "COUNTED", 3)
    assert root.get(page(Event)).context["cl"].paginator.count == 3


def test_a_new_token_is_shown_once_and_works(root, ana):
    answer = root.post(page(Token, "add"), {"user": ana.pk, "name": "laptop"}, follow=True)
    (shown, _) = [str(message) for message in answer.context["messages"]]
    assert find_token(shown.split()[-1]).user == ana
    assert shown.split()[-1] not in root.get(page(Token)).content.decode()


def test_a_token_cannot_be_given_to_another_user(root, ana):
    create_token(user=ana)
    token, ben = Token.objects.get(), User.objects.create_user("ben")
    root.post(page(Token, "change", token.pk), {"user": ben.pk, "name": "renamed"})
    token.refresh_from_db()
    assert (token.name, token.user) == ("renamed", ana)


def act(root, model, action):
    chosen = [row.pk for row in model.objects.exclude(**({"username": "root"} if model is User else {}))]
    return root.post(page(model), {"action": action, "_selected_action": chosen})


def test_revoking_tokens_ends_them(root, ana, told):
    text = create_token(user=ana)
    act(root, Token, "revoke_tokens")
    assert find_token(text) is None
    assert told == [("token", str(ana.pk), str(Token.objects.get().pk))]


def test_revoking_devices_ends_them_and_is_logged(root, ana, told):
    Device.objects.create(user=ana, device_id="phone")
    act(root, Device, "revoke_devices")
    assert told == [("device", str(ana.pk), "phone")]
    assert LogEntry.objects.get().change_message == "revoked"


def test_disabling_users_ends_everything_of_them_but_never_oneself(root, ana, told):
    act(root, User, "disable_users")
    root.post(page(User), {"action": "disable_users", "_selected_action": [User.objects.get(username="root").pk]})
    assert list(User.objects.filter(is_active=True).values_list("username", flat=True)) == ["root"]
    assert told == [("user", str(ana.pk), "")]


def test_a_new_password_in_the_admin_ends_everything_of_the_user(root, ana, told):
    url = reverse("admin:auth_user_password_change", args=[ana.pk])
    root.post(
        url, {"password1": "correct horse battery", "password2": "correct horse battery", "usable_password": "true"}
    )
    ana.refresh_from_db()
    assert ana.check_password("correct horse battery")
    assert [entry for entry in told if entry[0] == "user"] == [("user", str(ana.pk), "")]
