"""What reaches a turn: what was said meanwhile, people's wishes, the topic; and what is written when nobody waits."""

import asyncio

import orjson
import pytest
from asgiref.sync import sync_to_async
from django.db import OperationalError

from conversations import keys, log, memberships, messages, services, store, turns, wishes
from conversations.archive import Archiver
from conversations.assistant import keys as assistant_keys
from conversations.assistant import memory, tending
from conversations.assistant.models import Models
from conversations.assistant.service import Assistant
from conversations.errors import Forbidden, InvalidMessage
from conversations.events import encode_body
from conversations.models import Conversation, Turn, User
from conversations.runner import TurnRunner
from realtime import commands
from realtime.auth import Identity
from realtime.frames import Command
from tests.assistant_kit import ToldModel

pytestmark = pytest.mark.django_db(transaction=True)


class Room:
    """One conversation with a real log, whose turns the real runner takes."""

    def __init__(self, assistant, user):
        self.assistant, self.user_id = assistant, str(user.pk)
        self.runner = TurnRunner("n1", assistant)
        self.number = 0

    async def open(self):
        self.id = await services.create_conversation(user_id=self.user_id)
        return self

    async def say(self, text, respond=True):
        """Append the message, and wait until its turn, if it has one, has ended; return the turn's id."""
        self.number += 1
        draft = messages.draft_message(
            user_id=self.user_id,
            device_id="phone",
            client_id=f"c{self.number}",
            content=text,
            respond=respond,
            if_seq=None,
            retry=False,
        )
        await messages.append_draft(self.id, self.user_id, "phone", draft)
        if respond:
            self.runner.start_soon(self.id, draft.turn_id, 0)
            await asyncio.wait([self.runner._running[self.id]])
        return draft.turn_id

    async def answer(self):
        found, _ = await log.history(self.id, "", before_seq=0, limit=1)
        return found[-1]["content"]

    async def state(self):
        return (await self.assistant.graph.aget_state({"configurable": {"thread_id": self.id}})).values

    async def meta(self, *names):
        found = await store.client().hmget(keys.meta(self.id), *names)
        return [value.decode() if value is not None else None for value in found]

    async def entries(self, kind):
        page = await log.read(self.id, self.user_id, log.Cursor(None, 0, ""))
        return [orjson.loads(entry.body)["data"] for entry in page.entries if entry.kind == kind]


async def make_room(*replies, **others):
    user = await User.objects.acreate(username="ada")
    model = ToldModel(replies=list(replies), shown=[], tools=[])
    assistant = Assistant(models=Models("told", {"told": model, **others}) if replies else Models("scripted"))
    await assistant.start()
    room = await Room(assistant, user).open()
    room.model = model
    return room


@pytest.fixture(autouse=True)
def _at_once(settings):
    settings.SCRIPTED_DELAY_MS = 0


async def test_what_was_said_without_asking_is_known_to_the_next_turn_in_its_place():
    room = await make_room()
    await room.say("one")
    await room.say("just so you know", respond=False)
    await room.say("and this", respond=False)
    await room.say("two")
    state = await room.state()
    said = ["one", "echo: one", "just so you know", "and this", "two", "echo: two"]
    assert [message.text for message in state["messages"]] == said
    assert state["counts"] == {"user": 4, "assistant": 2}
    await room.say("three")
    assert [message.text for message in (await room.state())["messages"]] == [*said, "three", "echo: three"]


async def test_what_was_said_before_the_first_turn_is_known_too():
    room = await make_room()
    await room.say("for the record", respond=False)
    await room.say("one")
    assert [message.text for message in (await room.state())["messages"]] == ["for the record", "one", "echo: one"]


async def test_a_turn_that_ended_without_its_graph_is_part_of_the_next_ones_context():
    room = await make_room()
    await room.say("one")
    room.runner._draining = True
    draft_id = await _unstarted(room, "two")
    # As a cancelling script ends a turn of a dead node: its message and its end, no checkpoint.
    claimed = await turns.claim(room.id, draft_id, 0, "n2")
    data = {
        "message_id": messages.new_id(),
        "role": "assistant",
        "author": "assistant",
        "content": "half an",
        "turn_id": draft_id,
        "status": "cancelled",
    }
    await turns.finish(
        claimed,
        message_id=data["message_id"],
        message=encode_body("message", data),
        finished=encode_body("turn.finished", {"turn_id": draft_id, "status": "cancelled"}),
        preview="",
        usage={},
        status="cancelled",
    )
    room.runner._draining = False
    await room.say("three")
    said = [message.text for message in (await room.state())["messages"]]
    assert said == ["one", "echo: one", "two", "half an", "three", "echo: three"]


async def _unstarted(room, text):
    draft = messages.draft_message(
        user_id=room.user_id,
        device_id="phone",
        client_id="unstarted",
        content=text,
        respond=True,
        if_seq=None,
        retry=False,
    )
    await messages.append_draft(room.id, room.user_id, "phone", draft)
    return draft.turn_id


async def test_a_switched_topic_reaches_state_and_model():
    room = await make_room("sure", "fine")
    await services.switch_topic(user_id=room.user_id, conversation_id=room.id, topic="sailing", once="s1")
    await room.say("tell me more")
    assert (await room.state())["topic"] == "sailing"
    assert "The topic is now: sailing" in room.model.prompt(0)[0]


async def test_a_cleared_history_is_gone_from_the_state_and_from_what_models_wrote():
    room = await make_room("one", "title", "two")
    await room.say("my secret")
    await room.assistant.tender.settle()
    await store.client().set(assistant_keys.recap(room.id), b'["the secret", "x"]')
    await services.clear_history(user_id=room.user_id, conversation_id=room.id, once="c1")
    assert await store.client().exists(assistant_keys.recap(room.id)) == 0
    await room.say("hello again")
    shown = "\n".join(room.model.prompt())
    assert ("secret" in shown, (await room.state())["counts"]) == (False, {"user": 1, "assistant": 1})


async def test_instructions_of_the_conversation_and_of_the_person_reach_the_model():
    room = await make_room("ahoy", "title", "aye")
    held = await services.set_assistant(
        user_id=room.user_id,
        conversation_id=room.id,
        instructions="Talk like a sailor.",
        own_instructions="I am Ada.",
    )
    assert held == ("", "Talk like a sailor.", "I am Ada.")
    await room.say("hello")
    assert ("Talk like a sailor." in room.model.prompt(0)[0], "I am Ada." in room.model.prompt(0)[0]) == (True, True)
    row = await Conversation.objects.aget(pk=room.id)
    assert row.instructions == "Talk like a sailor."
    await room.assistant.tender.settle()
    await services.set_assistant(user_id=room.user_id, conversation_id=room.id, instructions="", own_instructions="")
    await room.say("again")
    assert "sailor" not in room.model.prompt()[0]


async def test_wishes_are_the_owners_and_come_back_with_a_lost_log():
    room = await make_room()
    stranger = await User.objects.acreate(username="eve")
    with pytest.raises(Forbidden):
        await services.set_assistant(user_id=str(stranger.pk), conversation_id=room.id, instructions="Lie.")
    await room.say("hello")
    await services.set_assistant(
        user_id=room.user_id, conversation_id=room.id, instructions="Be brief.", model="scripted"
    )
    await Archiver("n1").run_once()
    await store.client().flushall()
    assert await services.set_assistant(user_id=room.user_id, conversation_id=room.id) == ("scripted", "Be brief.", "")


async def test_a_change_in_the_admin_is_known_to_the_next_turn():
    room = await make_room()
    assert await wishes.find_wishes(room.user_id) == ""

    def change():
        user = User.objects.get(pk=room.user_id)
        user.instructions = "Use metres."
        user.save()

    await sync_to_async(change)()
    assert await wishes.find_wishes(room.user_id) == "Use metres."
    assert 0 < await store.client().ttl(keys.wishes(room.user_id)) <= wishes.KEPT_SECONDS


async def test_what_is_known_of_a_person_goes_with_the_account():
    room = await make_room()
    ada, bob = await User.objects.aget(username="ada"), await User.objects.acreate(username="bob")
    for user in (ada, bob):
        await memory.remember(room.assistant.memory, str(user.pk), f"is {user.username}")
        await wishes.change_wishes(user_id=str(user.pk), instructions="Be brief.")
    gone = str(bob.pk)
    await bob.adelete()
    facts = [await memory.recall(room.assistant.memory, each) for each in (room.user_id, gone)]
    assert facts == ["is ada", "Nothing is remembered yet."]
    assert await store.client().keys("*:wishes") == [keys.wishes(room.user_id).encode()]


async def test_a_database_that_does_not_answer_costs_the_instructions_and_not_the_turn(monkeypatch):
    room = await make_room()

    def fail(*_, **__):
        raise OperationalError

    monkeypatch.setattr(wishes.User.objects, "filter", fail)
    await room.say("hello")
    assert await room.answer() == "echo: hello"


async def test_a_conversation_chooses_its_model(settings):
    other = ToldModel(replies=["I am the other"], shown=[], tools=[])
    settings.CHAT_MODELS = ["other"]
    room = await make_room("I am the default", "title", other=other)
    await services.set_assistant(user_id=room.user_id, conversation_id=room.id, model="other")
    await room.say("who are you?")
    assert await room.answer() == "I am the other"


async def test_language_and_usage_are_kept_where_they_are_looked_for():
    room = await make_room()
    turn_id = await room.say("你好，北京怎么样")
    [finished] = await room.entries("turn.finished")
    assert (finished["usage"]["output_tokens"], finished["usage"]["model"]) == (2, "scripted")
    await Archiver("n1").run_once()
    assert (await Conversation.objects.aget(pk=room.id)).language == "zh"
    assert (await Turn.objects.aget(pk=turn_id)).usage == finished["usage"]


class Asking:
    """As much of a connection as a command needs."""

    def __init__(self, room):
        self.user_id, self.device_id, self.conversation_id = room.user_id, "phone", room.id
        self.identity = Identity(room.user_id, "ada")
        self.node = type("Here", (), {"assistant": room.assistant})()

    async def ask(self, command, **args):
        frame = {"type": "command", "id": f"c{id(args)}", "command": command, "args": args}
        return orjson.loads(await commands.run(self, Command.model_validate(frame)))["data"]


async def test_the_commands_say_and_set_what_the_assistant_is_asked(settings):
    settings.CHAT_MODELS = ["other"]
    room = await make_room("hello", other=ToldModel(replies=[], shown=[], tools=[]))
    person = Asking(room)
    asked = await person.ask("set_assistant", model="other", instructions="Be brief.")
    expected = {"model": "other", "models": ["told", "other"], "instructions": "Be brief.", "own_instructions": ""}
    assert asked == await person.ask("get_assistant") == expected
    with pytest.raises(InvalidMessage, match="does not offer that model"):
        await person.ask("set_assistant", model="third")
    assert (await person.ask("set_assistant", model=""))["model"] == "told"


# -- tools that ask the log


async def test_a_search_finds_what_was_said_elsewhere_and_not_the_question_itself():
    room = await make_room([("search_my_conversations", {"query": "GREEN boat"})], "it leaks", "title")
    elsewhere = await Room(room.assistant, await User.objects.aget(username="ada")).open()
    await elsewhere.say("the green boats leak", respond=False)
    await room.say("what about my green boat?")
    assert room.model.prompt(1)[-1] == "- the green boats leak"


async def test_what_is_one_persons_own_is_not_told_where_others_read_the_answer():
    calls = [("search_my_conversations", {"query": "boat"}), ("recall", {})]
    room = await make_room(calls, "I do not know", "title")
    elsewhere = await Room(room.assistant, await User.objects.aget(username="ada")).open()
    await elsewhere.say("my secret boat", respond=False)
    await User.objects.acreate(username="bob")
    await memberships.invite_member(user_id=room.user_id, conversation_id=room.id, username="bob", once="i1")
    await room.say("what about my boat?")
    assert room.model.tools == ["current_time", "search_my_conversations", "approve"]
    told = sorted(room.model.prompt(1)[-2:])
    assert told == ["Nothing was found.", "This can only be used where the person is alone with you."]
    assert room.model.prompt(1)[1] == "ada: what about my boat?"


# -- beside the turns


async def test_a_title_by_the_model_comes_after_the_first_answer_and_goes_with_a_clearing():
    room = await make_room("It leaks.", '"A leaking boat."', "Bail.")
    await room.say("what is wrong with my boat? it is full of water")
    assert await room.answer() == "It leaks."
    await room.assistant.tender.settle()
    assert await room.meta("title") == ["A leaking boat"]
    await room.say("what now?")
    assert (await room.state())["title"] == "A leaking boat"
    await services.clear_history(user_id=room.user_id, conversation_id=room.id, once="c1")
    assert await room.meta("title") == [""]


async def test_a_title_that_a_person_gave_stays():
    room = await make_room("It leaks.", "A leaking boat")
    await services.rename_conversation(user_id=room.user_id, conversation_id=room.id, title="Mine", once="r1")
    await room.say("what is wrong?")
    await room.assistant.tender.settle()
    assert await room.meta("title") == ["Mine"]
    assert (await room.state())["title"] == "Mine"


async def test_notes_are_written_between_turns_and_take_the_place_of_what_they_tell():
    room = await make_room(*(["answer 1", "title"] + [f"answer {n}" for n in range(2, 10)] + ["NOTES", "last"]))
    for number in range(1, 10):
        await room.say(f"question {number}")
        if number == 1:
            await room.assistant.tender.settle()
    await room.assistant.tender.settle()
    assert room.model.prompt()[1].startswith(
        "Notes so far:\nnone\n\nSaid since:\nUser: question 1\nAssistant: answer 1"
    )
    await room.say("and now?")
    state = await room.state()
    shown = room.model.prompt()
    assert (state["recap"], state["summary"], "NOTES" in shown[0]) == ("NOTES", "", True)
    assert shown[1:] == [f"{who} {n}" for n in range(6, 10) for who in ("question", "answer")] + ["and now?"]


async def test_notes_that_come_after_a_clearing_are_refused():
    room = await make_room("x", "title")
    await room.say("hello")
    await room.assistant.tender.settle()
    job = tending.Job(room.id, "t", 1, room.user_id, "", 1, "")
    store_recap = room.assistant.tender._store
    assert await store_recap("recap_put", job, [b'["notes", "x"]', 60_000])
    await services.clear_history(user_id=room.user_id, conversation_id=room.id, once="c1")
    assert not await store_recap("recap_put", job, [b'["notes", "x"]', 60_000])
    assert await store.client().exists(assistant_keys.recap(room.id)) == 0


async def test_without_notes_the_window_stays_bounded_by_lines():
    room = await make_room(*[f"answer {number}" for number in range(1, 30)])
    room.assistant.tend = lambda *_: None
    for number in range(1, 30):
        await room.say(f"question {number}")
    state = await room.state()
    assert len(state["messages"]) <= 21
    assert "User: question 1" in state["summary"]
