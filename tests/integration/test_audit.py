"""The audit journal: what is recorded, that it cannot be changed, and that any change all the same is found."""

import json
import threading
from io import StringIO

import pytest
from django.contrib.auth.models import Group
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, connections, transaction
from django.test import Client
from django.urls import reverse

from conversations import devices, erasing, keys, services
from conversations.audit import heads, journal, triggers
from conversations.audit.denials import KINDS_PER_USER, MOST, Denials
from conversations.audit.entry import Action, AppendOnly, AuditEntry
from conversations.audit.pseudonyms import pseudonym
from conversations.audit.verifying import verify
from conversations.models import Device, Token, User
from conversations.threads import in_database
from conversations.tokens import create_token, revoke_token
from tests.archive_kit import archive_all, new_talk, redis, say

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]
TABLE = AuditEntry._meta.db_table
PASSWORD = "correct horse battery"


@pytest.fixture
def ana():
    return User.objects.create_user("ana", password=PASSWORD)


def recorded():
    return list(AuditEntry.objects.order_by("seq").values_list("action", "actor", "subject"))


def me(user):
    return pseudonym("user", str(user.pk))


def sql(statement, *values):
    with connection.cursor() as cursor:
        cursor.execute(statement, values)


def five():
    for number in range(5):
        journal.record(Action.TOKEN_MADE, actor="7", subject=f"token:{number}", count=number)


def faults():
    return [(fault.seq, fault.problem.split()[0]) for fault in verify(heads.kept()).faults]


def test_sign_ins_failures_and_sign_outs_are_recorded(ana):
    client = Client()
    client.post(reverse("account_login"), {"login": "ana", "password": "wrong"})
    client.post(reverse("account_login"), {"login": "nobody", "password": "wrong"})
    client.post(reverse("account_login"), {"login": "ana", "password": PASSWORD})
    client.post(reverse("account_logout"))
    assert recorded() == [
        ("sign_in_failed", "", f"user:{me(ana)}"),
        ("sign_in_failed", "", ""),
        ("signed_in", me(ana), ""),
        ("signed_out", me(ana), ""),
    ]


def test_the_journal_holds_no_name_no_address_and_no_password(ana):
    Client().post(reverse("account_login"), {"login": "ana", "password": "hunter2"}, REMOTE_ADDR="203.0.113.9")
    Client().post(reverse("account_login"), {"login": "ana@example.org", "password": "hunter2"})
    text = " ".join(str(row) for row in AuditEntry.objects.values_list())
    assert not any(word in text for word in ("ana", "hunter2", "203.0.113.9", "example"))
    assert AuditEntry.objects.count() == 2


def test_an_address_is_the_clients_not_the_proxys(ana, settings):
    settings.TRUSTED_PROXIES = ["127.0.0.1"]
    typed = {"login": "ana", "password": "wrong"}
    Client().post(reverse("account_login"), typed, HTTP_X_FORWARDED_FOR="198.51.100.1, 203.0.113.9")
    Client().post(reverse("account_login"), typed, REMOTE_ADDR="192.0.2.7", HTTP_X_FORWARDED_FOR="203.0.113.9")
    found = [
        json.loads(facts)["address"] for facts in AuditEntry.objects.order_by("seq").values_list("facts", flat=True)
    ]
    assert found == [pseudonym("address", "203.0.113.9"), pseudonym("address", "192.0.2.7")]


def test_words_of_people_are_refused():
    with pytest.raises(ValueError, match="plain words"):
        journal.record(Action.DENIED, actor="", subject="token:1", why="good morning")
    with pytest.raises(ValueError, match="plain words"):
        journal.record(Action.DENIED, actor="", subject="x" * 81)
    assert not AuditEntry.objects.exists()


def test_tokens_devices_and_accounts_are_recorded(ana):
    create_token(user=ana)
    token = Token.objects.get()
    token.save(update_fields=["last_used_at"])
    revoke_token(token=token)
    Device.objects.create(user=ana, device_id="phone")
    devices.revoke_device(user=ana, device_id="phone")
    before = me(ana)
    ana.delete()
    assert [(action, subject) for action, _, subject in recorded()][:3] == [
        ("token_made", f"token:{token.pk}"),
        ("token_revoked", f"token:{token.pk}"),
        ("device_revoked", f"device:{pseudonym('device', str(token.user_id) + ':phone')}"),
    ]
    assert ("user_deleted", "", f"user:{before}") in recorded()


async def test_clearing_deleting_and_erasing_are_recorded_once_each():
    talk = await new_talk()
    await say(talk)
    who = {"user_id": talk.user_id, "conversation_id": talk.conversation_id}
    for _ in range(2):
        await services.clear_history(**who, once="again")
    await services.delete_conversation(**who, device_id="phone")
    await archive_all()
    await redis().zadd(keys.erase(keys.tag(talk.conversation_id)), {talk.conversation_id: 1})
    await erasing.Eraser().erase_due()
    actor, subject = pseudonym("user", talk.user_id), f"conversation:{talk.conversation_id}"
    assert await in_database(recorded) == [
        ("history_cleared", actor, subject),
        ("conversation_deleted", actor, subject),
        ("conversation_erased", "", subject),
    ]


def test_what_is_done_in_the_admin_is_recorded_with_who_did_it(ana):
    root = Client()
    operator = User.objects.create_superuser("root")
    root.force_login(operator)
    group = Group.objects.create(name="helpers")
    root.post(reverse("admin:conversations_token_add"), {"user": ana.pk, "name": "laptop"})
    root.post(reverse("admin:auth_group_change", args=[group.pk]), {"name": "operators"})
    many = [Group.objects.create(name=f"g{number}").pk for number in range(3)]
    chosen = {"action": "delete_selected", "_selected_action": many, "post": "yes"}
    root.post(reverse("admin:auth_group_changelist"), chosen)
    token = Token.objects.get()
    assert recorded()[1:] == [
        ("token_made", me(operator), f"token:{token.pk}"),
        ("admin_added", me(operator), f"token:{token.pk}"),
        ("admin_changed", me(operator), f"group:{group.pk}"),
        *[("admin_deleted", me(operator), f"group:{pk}") for pk in many],
    ]


def test_an_act_that_is_rolled_back_leaves_no_entry(ana):
    with transaction.atomic():
        create_token(user=ana)
        transaction.set_rollback(True)
    assert recorded() == []
    create_token(user=ana)
    assert verify(heads.kept()).faults == []


def test_rows_refuse_to_be_changed():
    five()
    row = AuditEntry.objects.get(seq=3)
    with pytest.raises(AppendOnly):
        row.save()
    with pytest.raises(AppendOnly):
        row.delete()
    with pytest.raises(AppendOnly):
        AuditEntry.objects.filter(seq=3).update(actor="")
    with pytest.raises(AppendOnly):
        AuditEntry.objects.all().delete()
    assert faults() == []


def test_the_database_refuses_too():
    five()
    triggers.make(connection)
    try:
        for statement in (f"UPDATE {TABLE} SET actor = '' WHERE seq = 3", f"DELETE FROM {TABLE} WHERE seq = 3"):
            with pytest.raises(DatabaseError, match="append-only"):
                sql(statement)
        five()  # adding goes on
    finally:
        triggers.drop(connection)  # so that the next test finds empty tables
    assert AuditEntry.objects.count() == 10


def test_the_migration_makes_the_triggers(ana):
    made = StringIO()
    call_command("sqlmigrate", "conversations", "0007", stdout=made)
    assert "Raw Python operation" in made.getvalue()
    before = triggers.NAMES[connection.vendor]
    triggers.make(connection)
    table = (
        "sqlite_master WHERE type = 'trigger' AND name" if connection.vendor == "sqlite" else "pg_trigger WHERE tgname"
    )
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM {table} IN ({', '.join(['%s'] * len(before))})", before)
        assert cursor.fetchone() == (len(before),)
    triggers.drop(connection)


def test_verify_finds_nothing_in_a_whole_journal():
    five()
    assert faults() == []
    assert heads.kept()[-1] == (5, AuditEntry.objects.get(seq=5).hash)


@pytest.mark.parametrize("column", ["at", "action", "actor", "subject", "facts", "prev", "hash"])
def test_verify_finds_an_edited_entry(column):
    five()
    value = "2020-01-01 00:00:00+00:00" if column == "at" else "1"
    sql(f"UPDATE {TABLE} SET {column} = %s WHERE seq = 3", value)
    assert faults()[0][0] == 3


def test_verify_finds_a_removed_entry():
    five()
    sql(f"DELETE FROM {TABLE} WHERE seq = 3")
    assert faults() == [(3, "entries")]


def test_verify_finds_an_entry_whose_place_was_closed_up():
    five()
    sql(f"DELETE FROM {TABLE} WHERE seq = 3")
    sql(f"UPDATE {TABLE} SET seq = 3 WHERE seq = 4")
    sql(f"UPDATE {TABLE} SET seq = 4 WHERE seq = 5")
    assert (3, "does") in faults()


def test_verify_finds_an_inserted_entry():
    five()
    copied = "at, action, actor, subject, facts"
    sql(
        f"INSERT INTO {TABLE} (seq, prev, hash, {copied}) SELECT 6, hash, %s, {copied} FROM {TABLE} WHERE seq = 5",
        "f" * 64,
    )
    assert faults() == [(6, "was")]


def test_verify_finds_an_entry_that_was_put_before_the_first():
    five()
    copied = "at, action, actor, subject, facts"
    sql(
        f"INSERT INTO {TABLE} (seq, prev, hash, {copied}) SELECT 0, %s, %s, {copied} FROM {TABLE} WHERE seq = 5",
        "e" * 64,
        "f" * 64,
    )
    assert faults() == [(0, "was")]


def test_verify_finds_entries_that_changed_places():
    five()
    for old, new in ((2, 9), (3, 2), (9, 3)):
        sql(f"UPDATE {TABLE} SET seq = %s WHERE seq = %s", new, old)
    assert {seq for seq, _ in faults()} >= {2, 3}


def test_verify_finds_a_tail_that_was_cut_off():
    five()
    sql(f"DELETE FROM {TABLE} WHERE seq > 3")
    assert faults() == [(4, "entries")]
    sql(f"DELETE FROM {TABLE}")
    assert faults() == [(1, "entries")]


def test_verify_finds_a_tail_that_was_cut_off_and_written_anew():
    five()
    sql(f"DELETE FROM {TABLE} WHERE seq > 3")
    journal.record(Action.TOKEN_MADE, actor="8")
    assert {(4, "is"), (5, "entries")} <= set(faults())
    journal.record(Action.TOKEN_MADE, actor="8")
    with heads.store.connect_sync() as store:
        assert store.zcard(keys.AUDIT) == 7
    assert faults() == [(4, "is"), (5, "is")]


def test_verify_finds_a_long_tail_that_was_cut_off_however_much_was_written_since(monkeypatch):
    monkeypatch.setattr(heads, "KEPT", 10)
    monkeypatch.setattr(heads, "STONE_EACH", 10)
    for _ in range(5):
        five()
    sql(f"DELETE FROM {TABLE} WHERE seq > 13")
    for _ in range(7):
        five()
    assert AuditEntry.objects.count() == 48
    with heads.store.connect_sync() as store:
        assert store.zcount(keys.AUDIT, 0, 25) == 0  # the newest know nothing of it any more
    assert faults() == [(20, "is")]


def test_milestones_are_kept_of_what_is_written_many_at_once_too():
    journal.record_many([journal.Draft(Action.DENIED)] * 250)
    five()
    with heads.store.connect_sync() as store:
        assert [int(seq) for _, seq in store.zrange(keys.AUDIT_STONES, 0, -1, withscores=True)] == [200]
    journal.record_many([journal.Draft(Action.DENIED)] * 60)
    with heads.store.connect_sync() as store:
        assert [int(seq) for _, seq in store.zrange(keys.AUDIT_STONES, 0, -1, withscores=True)] == [200, 315]
    assert faults() == []


def test_the_command_tells_what_it_found_and_who_is_who(ana):
    five()
    told = StringIO()
    call_command("audit", "verify", stdout=told)
    head = told.getvalue().split("head ")[1].strip()
    call_command("audit", "who", "ana", stdout=told)
    assert told.getvalue().splitlines()[-1] == me(ana)
    with heads.store.connect_sync() as store:
        store.delete(keys.AUDIT)
    sql(f"DELETE FROM {TABLE} WHERE seq = 5")
    call_command("audit", "verify", stdout=told)
    assert told.getvalue().splitlines()[-1].startswith("Nobody remembers a head")
    with pytest.raises(CommandError, match="was changed: 1 faults"):
        call_command("audit", "verify", "--head", head, stdout=told)


def test_writers_at_once_make_one_chain():
    """Threads with connections of their own, as nodes have them."""

    def write():
        for number in range(10):
            journal.record(Action.DENIED, actor="1", subject=f"command:{number}")
        connections.close_all()

    writers = [threading.Thread(target=write) for _ in range(4)]
    for each in writers:
        each.start()
    for each in writers:
        each.join()
    assert AuditEntry.objects.count() == 40
    assert faults() == []


def test_a_flood_of_denials_becomes_few_entries():
    denials = Denials()
    for number in range(1000):
        denials.note("1", f"command{number}")
    for number in range(1000):
        denials.note(str(number + 2), "delete")
    taken = denials.take("n1")
    assert len(taken) <= MOST + 1
    assert sum(draft.facts["count"] for draft in taken) == 2000
    assert len([draft for draft in taken if draft.actor == "1"]) == KINDS_PER_USER + 1
    journal.record_many(taken)
    assert AuditEntry.objects.count() == len(taken)
    assert denials.take("n1") == []
