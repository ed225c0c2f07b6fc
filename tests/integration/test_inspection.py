"""What operators see in the admin of conversations, on both sides; and that a page costs a page."""

import re
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import Permission
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from redis import Redis

from conversations import keys, store
from conversations.assistant import keys as checkpoint_keys
from conversations.audit import journal
from conversations.audit.entry import Action, AuditEntry
from conversations.audit.pseudonyms import pseudonym
from conversations.inspection import attention, base, charts, consistency
from conversations.inspection.footprint import read_footprints
from conversations.models import Conversation, Event, Member, Message, Turn, User
from conversations.turns import release
from tests.archive_kit import archive_all, finish_turn, new_talk, say, start_turn

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]
NOW = timezone.now()
SECRET = "wintergreen"


@pytest.fixture
def plain():
    with store.connect_sync() as client:
        yield client


def operator(*permissions):
    """An operator with these rights, signed in."""
    user = User.objects.create_user(f"op{uuid4().hex[:8]}", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Client()
    client.force_login(user)
    return client


LOOKING = ("view_conversation", "view_message", "view_event", "view_turn", "view_installation", "view_member")


@async_to_sync
async def in_talk(*steps):
    """Make a conversation and do these steps in it, in one event loop that leaves nothing open."""
    try:
        talk = await new_talk()
        for step in steps:
            await step(talk)
        return talk
    finally:
        await store.close()


def said(count=3, text=f"{SECRET} tea", respond=False):
    return lambda talk: say(talk, count, text=text, respond=respond)


async def archived(_talk):
    await archive_all()


async def answered(talk):
    await finish_turn(await start_turn(talk), f"{SECRET} answer")


async def waiting(talk):
    claimed = await start_turn(talk)
    await release(claimed, interrupts=[{"id": "i1", "value": SECRET}])


def page(name, *args):
    return reverse(f"admin:{name}", args=args)


def timeline(talk):
    return page("inspection_timeline", talk.conversation_id)


LIST = "conversations_conversation_changelist"


def seen():
    return list(AuditEntry.objects.filter(action="content_seen").values_list("subject", flat=True))


# -- the list


def test_the_list_shows_both_sides_of_each_conversation():
    talk = in_talk(said(3), archived, said(2))
    text = operator(*LOOKING).get(page(LIST)).content.decode()
    cells = dict(re.findall(r'<td class="field-(\w+)[^"]*">(.*?)</td>', text))
    assert talk.conversation_id in text
    assert (cells["state"], cells["head"], cells["checkpoints"]) == ("active", "1:5", "0")
    assert re.fullmatch(r"2 · \d+\.\d s", cells["lag"])
    assert int(cells["in_redis"].replace(",", "")) > 500


def test_a_footprint_counts_checkpoints_and_their_bytes(plain):
    talk = in_talk(said(1), archived)
    row = Conversation.objects.get()
    before = read_footprints([row])[talk.conversation_id]
    name = f"{checkpoint_keys.prefix(talk.conversation_id)}:c1"
    plain.execute_command("JSON.SET", name, "$", '{"checkpoint": "%s"}' % ("x" * 5000))
    plain.zadd(checkpoint_keys.order(talk.conversation_id), {"t1|:c1": 1})
    after = read_footprints([row])[talk.conversation_id]
    assert (before.checkpoints, after.checkpoints) == (0, 1)
    assert after.redis_bytes - before.redis_bytes > 5000


def test_a_page_of_many_conversations_asks_redis_twice_and_the_database_as_often(
    monkeypatch, django_assert_num_queries, django_assert_max_num_queries
):
    talk = in_talk(said(1), archived)
    client = operator(*LOOKING)
    with django_assert_max_num_queries(9) as few:
        client.get(page(LIST))
    owner = User.objects.get(pk=talk.user_id)
    Conversation.objects.bulk_create(Conversation(owner=owner, last_active_at=NOW) for _ in range(70))
    executed = []
    execute = type(Redis().pipeline()).execute
    monkeypatch.setattr(
        type(Redis().pipeline()), "execute", lambda self, *a, **k: executed.append(len(self)) or execute(self, *a, **k)
    )
    with django_assert_num_queries(len(few)):
        answer = client.get(page(LIST))
    assert len(answer.context["cl"].result_list) == 50
    assert len(executed) == 2
    assert executed[0] == 1 + 6 * 50


def plan(queryset):
    return queryset.explain()


@pytest.mark.parametrize("path", ["conversation", "message", "event", "turn", "member", "auditentry"])
def test_no_list_reads_its_table_whole(path, monkeypatch, django_assert_max_num_queries):
    """Every query that a list makes is cut off."""
    monkeypatch.setattr(base.BigTableAdmin, "list_per_page", 1)
    monkeypatch.setattr(base.BigTableAdmin, "list_max_show_all", 1)
    for _ in range(2):
        talk = in_talk(said(3, respond=True), answered, archived)
        Member.objects.filter(conversation=talk.conversation_id).update(read_seq=1)
        journal.record(Action.DENIED, actor="1")
    client = operator(*LOOKING, "view_auditentry")
    with django_assert_max_num_queries(14) as asked:
        assert client.get(page(f"conversations_{path}_changelist")).status_code == 200
    table = f"conversations_{path}"
    unbounded = [
        query["sql"]
        for query in asked.captured_queries
        if f'FROM "{table}"' in query["sql"] and "LIMIT" not in query["sql"] and " IN (" not in query["sql"]
    ]
    assert unbounded == []


@pytest.mark.skipif(connection.vendor != "sqlite", reason="the other planner reads small tables whole")
def test_what_is_looked_for_goes_by_an_index():
    talk = in_talk(said(3), archived)
    client = operator(*LOOKING, "view_auditentry")
    for name, query in {
        "conversation": "nobody",
        "conversation ": talk.conversation_id,
        "message": talk.conversation_id,
        "event": talk.conversation_id,
        "turn": talk.conversation_id,
        "member": talk.conversation_id,
        "auditentry": "nobody",
    }.items():
        path = page(f"conversations_{name.strip()}_changelist")
        found = client.get(path, {"q": query}).context["cl"].queryset
        lines = plan(found[:50]).splitlines()
        assert [line for line in lines if re.search(r"SCAN conversations_\w+$", line)] == []
    lines = plan(Turn.objects.filter(status="failed").order_by("-queued_at", "-pk")[:26])
    assert "failed_turns" in lines


def test_a_conversation_is_found_by_its_id_and_by_whoever_is_in_it():
    talk, other = in_talk(said(1), archived), in_talk(said(1), archived)
    client = operator(*LOOKING)

    def found(query):
        return [str(row.pk) for row in client.get(page(LIST), {"q": query}).context["cl"].result_list]

    name = User.objects.get(pk=talk.user_id).username
    assert found(talk.conversation_id) == [talk.conversation_id]
    assert found(name) == [talk.conversation_id]
    assert set(found("")) == {talk.conversation_id, other.conversation_id}
    assert found(SECRET) == []


# -- content


PAGES = [LIST, "conversations_message_changelist", "conversations_event_changelist"]


def test_content_is_hidden_from_everybody_until_it_is_opened():
    talk = in_talk(said(3, respond=True), answered, archived)
    client = operator(*LOOKING, "view_content")
    message = Message.objects.first()
    event = Event.objects.first()
    paths = [
        *map(page, PAGES),
        timeline(talk),
        page("conversations_message_change", message.pk),
        page("conversations_event_change", event.pk),
        page("conversations_conversation_change", talk.conversation_id),
    ]
    for path in paths:
        assert SECRET not in client.get(path).content.decode()
    assert seen() == []
    client.post(page("inspection_content"), {"show": "1"})
    for number, path in enumerate(paths, start=1):
        assert SECRET in client.get(path).content.decode()
        assert seen() == [f"conversation:{talk.conversation_id}"] * number
    client.post(page("inspection_content"))
    assert not any(SECRET in client.get(path).content.decode() for path in paths)


def test_whoever_has_no_right_cannot_open_content():
    talk = in_talk(said(3), archived)
    client = operator(*LOOKING)
    assert client.post(page("inspection_content"), {"show": "1"}).status_code == 403
    assert SECRET not in client.get(timeline(talk)).content.decode()
    assert not AuditEntry.objects.filter(action="content_opened").exists()


def test_a_right_that_is_taken_away_closes_what_was_open():
    talk = in_talk(said(3), archived)
    client = operator(*LOOKING, "view_content")
    client.post(page("inspection_content"), {"show": "1"})
    User.objects.get(is_staff=True).user_permissions.remove(Permission.objects.get(codename="view_content"))
    assert SECRET not in client.get(timeline(talk)).content.decode()


def test_words_are_found_only_while_content_is_shown():
    talk = in_talk(said(3), archived)
    in_talk(said(3, text="other words"), archived)
    client = operator(*LOOKING, "view_content")
    path = page("conversations_message_changelist")
    assert list(client.get(path, {"q": SECRET}).context["cl"].result_list) == []
    client.post(page("inspection_content"), {"show": "1"})
    found = client.get(path, {"q": f"{SECRET} tea"}).context["cl"].result_list
    assert {str(row.conversation_id) for row in found} == {talk.conversation_id}
    assert len(found) == 3
    assert [row.facts for row in AuditEntry.objects.filter(action="content_searched")] == ['{"words":2}']


# -- the timeline


def test_a_timeline_goes_from_redis_into_the_archive_without_a_gap(plain):
    talk = in_talk(said(130), archived)
    plain.xtrim(keys.log(talk.conversation_id), minid="100")
    client = operator(*LOOKING)
    seqs, query = [], {}
    while query is not None:
        shown = client.get(timeline(talk), query).context["page"]
        seqs += [item.seq for item in shown.items]
        query = {"before": shown.older} if shown.older else None
    assert seqs == list(range(130, 0, -1))
    assert {item.where for item in client.get(timeline(talk)).context["page"].items} == {"both", "archive"}


def test_a_longer_conversation_costs_a_page_no_more(django_assert_num_queries, django_assert_max_num_queries):
    client = operator(*LOOKING)
    short, long = in_talk(said(60), archived), in_talk(said(600), archived)
    with django_assert_max_num_queries(12) as few:
        client.get(timeline(short))
    with django_assert_num_queries(len(few)):
        client.get(timeline(long), {"before": 300})


def test_a_timeline_shows_the_running_turn_its_lease_and_who_is_connected(plain):
    talk = in_talk(said(1, respond=True), start_turn)
    lapses = (plain.time()[0] + 20) * 1000
    plain.zadd(keys.user_connections(talk.user_id), {b'["c1","phone","n1","Phone"]': lapses})
    User.objects.get(pk=talk.user_id).devices.create(device_id="phone", name="Phone")
    live = operator(*LOOKING).get(timeline(talk)).context["live"]
    assert [(turn.status, turn.attempt, turn.node) for turn in live.turns] == [("running", 1, "n1")]
    assert 0 < live.turns[0].lease_ms <= 6000
    assert [(each.device_id, each.node) for each in live.devices] == [("phone", "n1")]


def test_without_redis_the_pages_say_so_and_show_what_the_archive_has(settings):
    talk = in_talk(said(3), archived)
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    client = operator(*LOOKING)
    for path in (timeline(talk), page(LIST), page("inspection_nodes"), page("inspection_attention")):
        answer = client.get(path)
        assert (answer.status_code, "Redis does not answer" in answer.content.decode()) == (200, True)
    assert len(client.get(timeline(talk)).context["page"].items) == 3
    assert client.post(timeline(talk)).status_code == 200


def test_pages_are_for_those_with_the_right():
    talk = in_talk(said(1), archived)
    client = operator()
    paths = [timeline(talk), *map(page, ("inspection_nodes", "inspection_attention", "inspection_charts"))]
    assert [client.get(path).status_code for path in paths] == [403] * 4
    assert [Client().get(path).status_code for path in paths] == [302] * 4
    stranger = Client()
    stranger.force_login(User.objects.create_user("eve"))
    assert [stranger.get(path).status_code for path in paths] == [302] * 4


# -- consistency


def test_a_whole_conversation_agrees_with_itself():
    talk = in_talk(said(20, respond=True), answered, archived, said(5))
    report = operator(*LOOKING).post(timeline(talk)).context["report"]
    assert report == ([], 28, 1, False)
    entry = AuditEntry.objects.get(action="log_checked")
    assert (entry.subject, entry.facts) == (f"conversation:{talk.conversation_id}", '{"entries":28,"findings":0}')


def checked(talk):
    return [(found.about, found.seq) for found in consistency.check(talk.conversation_id).findings]


def set_event(seq, **values):
    Event.objects.filter(seq=seq).update(**values)


def drop_from_stream(plain, talk):
    plain.xdel(keys.log(talk.conversation_id), "7-0")


def swap_in_stream(plain, talk):
    key = keys.log(talk.conversation_id)
    entries = plain.xrange(key)
    plain.delete(key)
    for number, fields in entries:
        body = fields[b"b"].replace(b"tea", b"pea") if number == b"10-0" else fields[b"b"]
        plain.xadd(key, fields | {b"b": body}, number)


PLANTED = {
    "an archived entry is changed": (lambda _, t: set_event(5, body='{"event":"x","at":"","data":{}}'), ("archive", 5)),
    "an archived entry is gone": (lambda _, t: Event.objects.filter(seq=5).delete(), ("archive", 5)),
    "an archived chain is changed": (lambda _, t: set_event(5, chain="f" * 16), ("archive", 5)),
    "an entry of the log is gone": (drop_from_stream, ("log", 7)),
    "an entry of the log is changed": (swap_in_stream, ("chain", 10)),
    "a message row says something else": (
        lambda _, t: Message.objects.filter(seq=3).update(content="x"),
        ("messages", 3),
    ),
    "a message row is gone": (lambda _, t: Message.objects.filter(seq=3).delete(), ("messages", 3)),
    "the archive's head is ahead": (
        lambda _, t: Conversation.objects.update(archived_seq=99),
        ("log", 10),
    ),
    "a member has no row": (lambda _, t: Member.objects.all().delete(), ("members", 0)),
    "a turn is queued that nobody would find": (
        lambda r, t: r.rpush(keys.turns(t.conversation_id), "t1"),
        ("turns", 0),
    ),
    "a turn is due that is none": (
        lambda r, t: r.zadd(keys.due(keys.tag(t.conversation_id)), {t.conversation_id: 1}),
        ("turns", 0),
    ),
    "the archive knows a turn that the queue does not": (
        lambda _, t: Turn.objects.create(id=uuid4(), conversation_id=t.conversation_id, seq=2, queued_at=NOW),
        ("turns", 2),
    ),
    "the newest checkpoint is gone": (
        lambda r, t: r.hset(checkpoint_keys.heads(t.conversation_id), "", "c9"),
        ("checkpoints", 0),
    ),
    "a checkpoint is of a turn beyond the head": (
        lambda r, t: (
            r.hset(checkpoint_keys.heads(t.conversation_id), "", "c9"),
            r.execute_command(
                "JSON.SET", f"{checkpoint_keys.prefix(t.conversation_id)}:c9", "$", '{"turn_seq":99,"turn_id":"t"}'
            ),
        ),
        ("checkpoints", 99),
    ),
    "nobody is told to copy what is new": (
        lambda r, t: (
            in_same(t, said(1)),
            r.zrem(keys.dirty(keys.tag(t.conversation_id)), t.conversation_id),
        ),
        ("log", 11),
    ),
}


@async_to_sync
async def in_same(talk, step):
    try:
        await step(talk)
    finally:
        await store.close()


@pytest.mark.parametrize("planted", PLANTED)
def test_the_check_finds(plain, planted):
    talk = in_talk(said(10), archived)
    assert checked(talk) == []
    plant, expected = PLANTED[planted]
    plant(plain, talk)
    assert expected in checked(talk)


def test_long_conversations_are_checked_in_parts(monkeypatch):
    monkeypatch.setattr(consistency, "MOST_ENTRIES", 10)
    talk = in_talk(said(25), archived)
    Event.objects.filter(seq=4).delete()
    parts, below = [], None
    while True:
        report = consistency.check(talk.conversation_id, below)
        parts.append((report.lowest, {found.seq for found in report.findings}))
        below = report.lowest
        if not report.older:
            break
    assert parts == [(16, set()), (6, set()), (1, {4})]


def test_a_conversation_that_was_cleared_agrees_with_itself():
    async def cleared(talk):
        from conversations import services

        await services.clear_history(user_id=talk.user_id, conversation_id=talk.conversation_id, once="c")

    talk = in_talk(said(10), archived, cleared, said(3), archived)
    assert consistency.check(talk.conversation_id) == ([], 4, 11, False)


# -- turns


def test_waiting_turns_are_listed_page_by_page(monkeypatch, plain):
    talks = [in_talk(said(1, respond=True), waiting) for _ in range(3)]
    monkeypatch.setattr(attention, "PAGE_TURNS", 2)
    pages = [attention.read_waiting(number) for number in (1, 2)]
    assert [(found.total, found.pages, len(found.turns)) for found in pages] == [(3, 2, 2), (3, 2, 1)]
    listed = [turn for found in pages for turn in found.turns]
    assert {turn.conversation_id for turn in listed} == {talk.conversation_id for talk in talks}
    assert {turn.questions for turn in listed} == {1}
    text = operator(*LOOKING).get(page("inspection_attention")).content.decode()
    assert all(UUID(turn.turn_id) and turn.turn_id in text for turn in pages[0].turns)
    assert SECRET not in text


def test_failed_turns_are_listed_page_by_page(monkeypatch):
    talk = in_talk(said(1), archived)
    monkeypatch.setattr(attention, "PAGE_TURNS", 2)
    for number in range(5):
        at = NOW - timedelta(seconds=number // 2)
        Turn.objects.create(
            id=UUID(int=number), conversation_id=talk.conversation_id, seq=1, queued_at=at, status="failed"
        )
    found, before = [], ""
    while True:
        part = attention.read_failed(before)
        found += [turn.pk.int for turn in part.turns]
        before = part.older
        if not before:
            break
    assert found == [1, 0, 3, 2, 4]


def test_a_failed_turn_can_be_tried_again_as_long_as_nobody_has_said_more():
    talk = in_talk(said(2), archived)
    for seq in (1, 2):
        Turn.objects.create(
            id=UUID(int=seq), conversation_id=talk.conversation_id, seq=seq, queued_at=NOW, status="failed"
        )
    assert [(turn.seq, turn.is_past) for turn in attention.read_failed().turns] == [(2, False), (1, True)]
    text = operator(*LOOKING, "control_turns").get(page("inspection_attention")).content.decode()
    assert (text.count('value="retry"'), text.count("talked on since")) == (1, 1)


# -- numbers


def test_the_last_day_is_counted_by_the_hour(django_assert_max_num_queries):
    talk = in_talk(said(1), archived)
    Message.objects.all().delete()
    now = NOW.replace(minute=30, second=0, microsecond=0)
    common = {"conversation_id": talk.conversation_id, "role": "user", "author": "1", "content": "x"}
    at = [now - timedelta(hours=50)] * 300 + [now - timedelta(hours=5)] * 7 + [now - timedelta(minutes=1)] * 4
    Message.objects.bulk_create(
        Message(**common, seq=seq + 10, message_id=uuid4(), at=moment) for seq, moment in enumerate(at)
    )
    for number, status in enumerate(["done", "done", "failed", "waiting"]):
        queued = now - timedelta(hours=2)
        first = queued + timedelta(milliseconds=100 * (number + 1)) if status == "done" else None
        Turn.objects.create(
            id=uuid4(),
            conversation_id=talk.conversation_id,
            seq=number,
            status=status,
            queued_at=queued,
            first_piece_at=first,
        )
    with django_assert_max_num_queries(24 * 12):
        hours = charts.last_day(now)
    assert [hour.messages for hour in hours if hour.messages] == [7, 4]
    assert hours[-1].messages == 4
    busy = next(hour for hour in hours if hour.turns)
    assert (busy.done, busy.failed, busy.other, busy.median_ms) == (2, 1, 1, 150)
    assert len(hours) == 24


def test_the_charts_are_drawn_by_the_server():
    talk = in_talk(said(3), archived)
    Turn.objects.create(id=uuid4(), conversation_id=talk.conversation_id, seq=1, queued_at=timezone.now())
    text = operator(*LOOKING).get(page("inspection_charts")).content.decode()
    assert text.count("<svg") >= 3
    assert text.count("<rect") == 2
    assert "style=" not in text


# -- around the lists


@pytest.mark.parametrize("name", ["title", "preview", "instructions"])
def test_a_list_is_not_an_oracle_for_what_it_hides(name):
    talk = in_talk(said(1), archived)
    Conversation.objects.filter(pk=talk.conversation_id).update(**{name: SECRET})
    asked = operator(*LOOKING).get(page(LIST), {f"{name}__startswith": SECRET[:3]})
    assert (asked.status_code, talk.conversation_id in asked.content.decode()) == (400, False)


def test_words_in_messages_are_not_guessed_by_the_address():
    in_talk(said(1), archived)
    found = page("conversations_message_changelist")
    assert operator(*LOOKING).get(found, {"content__icontains": SECRET}).status_code == 400


def test_secrets_of_people_and_tokens_are_not_guessed_by_the_address():
    client = operator("view_user", "view_token", *LOOKING)
    for model, field in (("user", "instructions__contains"), ("token", "digest__startswith")):
        assert client.get(page(f"conversations_{model}_changelist"), {field: "a"}).status_code == 400
    assert client.get(page("conversations_user_changelist"), {"is_staff__exact": "1"}).status_code == 200
    assert client.get(page("conversations_token_changelist"), {"revoked_at__isempty": "1"}).status_code == 200


def test_instructions_are_content_too():
    talk = in_talk(said(1), archived)
    row = Conversation.objects.get(pk=talk.conversation_id)
    Conversation.objects.filter(pk=row.pk).update(instructions=SECRET)
    User.objects.filter(pk=row.owner_id).update(instructions=SECRET)
    client = operator(*LOOKING, "view_user", "change_user", "view_content")
    places = [page("conversations_conversation_change", row.pk), page("conversations_user_change", row.owner_id)]
    assert [SECRET in client.get(place).content.decode() for place in places] == [False, False]
    client.post(page("inspection_content"), {"show": "1"})
    assert [SECRET in client.get(place).content.decode() for place in places] == [True, True]
    assert f"user:{pseudonym('user', str(row.owner_id))}" in seen()
