"""Where the model goes on from after an edit, another answer and a fork: through the real runner and graph."""

from typing import Any
from uuid import uuid4

import pytest

from conversations import control, forks, keys, memberships, people, store, turns, versions
from conversations.assistant import keys as assistant_keys
from conversations.assistant.given import read_given
from conversations.assistant.models import Models
from conversations.assistant.service import Assistant
from conversations.assistant.speakers import OVERHEARD
from conversations.messages import append_draft, draft_message
from conversations.models import User
from conversations.runner import TurnRunner, _job
from tests.archive_kit import Talk, finish_turn, new_talk, snapshot_of, start_turn
from tests.assistant_kit import Heard, ToldModel

pytestmark = pytest.mark.django_db(transaction=True)

KEPT = {"user": 2, "assistant": 2}  # counts go on from a turn-end, and begin anew after a rebuilding


class Desk:
    """A conversation whose turns run here, one node's way."""

    def __init__(self, talk: Talk, assistant: Assistant) -> None:
        self.talk, self.assistant = talk, assistant
        self.runner = TurnRunner("n1", assistant)

    async def settle(self) -> None:
        """Run what is queued, and return when nothing is."""
        self.runner.start_soon(self.talk.conversation_id)
        for task in list(self.runner._running.values()):
            await task
        assert await store.client().llen(keys.turns(self.talk.conversation_id)) == 0

    async def ask(self, *texts: str) -> None:
        for text in texts:
            await self.say(text, respond=True)
            await self.settle()

    async def say(self, text: str, *, respond: bool = False) -> None:
        draft = draft_message(
            user_id=self.talk.user_id,
            device_id="phone",
            client_id=uuid4().hex,
            content=text,
            respond=respond,
            if_seq=None,
            retry=False,
        )
        await append_draft(self.talk.conversation_id, self.talk.user_id, "phone", draft)

    async def edit(self, index: int, content: str) -> None:
        message = (await self.messages())[index]
        await versions.edit_message(**self.by, message_id=message["message_id"], content=content, once=uuid4().hex)
        await self.settle()

    async def regenerate(self) -> None:
        message = (await self.messages())[-1]
        await versions.regenerate_answer(**self.by, message_id=message["message_id"], once=uuid4().hex)
        await self.settle()

    async def fork(self, index: int) -> "Desk":
        new_id, seq = str(uuid4()), (await self.messages())[index]["seq"]
        copy = await forks.copy_conversation(
            user_id=self.talk.user_id, conversation_id=self.talk.conversation_id, seq=seq, new_id=new_id
        )
        if copy.source is not None:
            await self.assistant.fork(copy.source, new_id, copy.seq)
        await forks.open_fork(user_id=self.talk.user_id, copy=copy)
        return Desk(Talk(new_id, self.talk.user_id), self.assistant)

    @property
    def by(self) -> dict[str, str]:
        return {"user_id": self.talk.user_id, "device_id": "phone", "conversation_id": self.talk.conversation_id}

    async def messages(self) -> list[dict[str, Any]]:
        return (await snapshot_of(self.talk)).messages

    async def state(self) -> dict[str, Any]:
        config = {"configurable": {"thread_id": self.talk.conversation_id}}
        return dict((await self.assistant.graph.aget_state(config)).values)

    async def known(self) -> tuple[list[str], dict[str, int]]:
        """Return what the model has before it, and the counts."""
        state = await self.state()
        return [message.text for message in state["messages"]], state["counts"]


async def poison(desk: Desk, path: str, value: Any) -> None:
    head = await store.client().hget(assistant_keys.heads(desk.talk.conversation_id), "")
    document = f"{assistant_keys.prefix(desk.talk.conversation_id)}:{head.decode()}"
    await store.client().json().set(document, path, value)


@pytest.fixture
async def desk(settings: Any) -> Desk:
    settings.SCRIPTED_DELAY_MS = 0
    assistant = Assistant("scripted")
    await assistant.start()
    return Desk(await new_talk(), assistant)


async def test_another_answer_starts_from_the_turn_end_before_its_question(desk: Desk) -> None:
    await desk.ask("one", "two")
    await desk.regenerate()
    await desk.regenerate()
    assert await desk.known() == (["one", "echo: one", "two", "echo: two"], KEPT)
    await desk.ask("three")
    assert (await desk.known())[0][-2:] == ["three", "echo: three"]
    assert len((await desk.known())[0]) == 6


async def test_the_first_answer_anew_starts_from_nothing(desk: Desk) -> None:
    await desk.ask("one")
    await desk.regenerate()
    assert await desk.known() == (["one", "echo: one"], {"user": 1, "assistant": 1})


async def test_an_edit_starts_from_the_turn_end_before_the_edited_message(desk: Desk) -> None:
    await desk.ask("one", "two", "three")
    await desk.edit(2, "two again")
    assert await desk.known() == (["one", "echo: one", "two again", "echo: two again"], KEPT)
    assert [each["content"] for each in await desk.messages() if "superseded_by" not in each] == (await desk.known())[0]


async def test_after_a_fault_of_ours_the_model_knows_what_was_before_and_what_failed(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    await desk.ask("one")
    with monkeypatch.context() as fault:
        fault.setattr("conversations.assistant.context.describe", lambda *_: 1 / 0)
        await desk.ask("two")
    await desk.ask("three")
    # Words of the answer were out before the fault: they are the turn's message, and known.
    expected = ["one", "echo: one", "two", "echo: two", "three", "echo: three"]
    assert await desk.known() == (expected, {"user": 3, "assistant": 2})
    assert [each["status"] for each in await desk.messages() if each["role"] == "assistant"][1] == "failed"
    await desk.edit(2, "two again")
    assert await desk.known() == (["one", "echo: one", "two again", "echo: two again"], KEPT)


async def test_an_edit_of_an_edit_never_goes_back_to_what_gave_way(desk: Desk) -> None:
    await desk.ask("one", "two")
    await desk.edit(0, "uno")
    await desk.ask("due")
    await desk.edit(-2, "dos")
    assert await desk.known() == (["uno", "echo: uno", "dos", "echo: dos"], KEPT)


async def test_without_a_kept_turn_end_the_transcript_rebuilds_what_was_before(desk: Desk) -> None:
    await desk.ask("one", "two", "three")
    await desk.assistant.forget(desk.talk.conversation_id)
    await desk.edit(2, "two again")
    await desk.assistant.forget(desk.talk.conversation_id)
    await desk.regenerate()
    assert (await desk.known())[0] == ["one", "echo: one", "two again", "echo: two again"]


async def test_an_edit_further_back_than_the_kept_turn_ends_is_rebuilt(desk: Desk) -> None:
    await desk.ask(*(str(number) for number in range(23)))
    await desk.edit(4, "two again")
    assert (await desk.known())[0] == ["0", "echo: 0", "1", "echo: 1", "two again", "echo: two again"]


async def test_a_fork_goes_on_from_the_kept_turn_end(desk: Desk) -> None:
    await desk.ask("one", "two")
    copy = await desk.fork(1)
    await copy.ask("three")
    assert await copy.known() == (["one", "echo: one", "three", "echo: three"], KEPT)
    assert (await desk.known())[0] == ["one", "echo: one", "two", "echo: two"]
    await copy.regenerate()
    assert (await copy.known())[0] == ["one", "echo: one", "three", "echo: three"]
    await copy.edit(0, "uno")
    assert (await copy.known())[0] == ["uno", "echo: uno"]


async def test_a_fork_at_a_question_or_without_a_turn_end_is_rebuilt(desk: Desk) -> None:
    await desk.ask("one", "two")
    at_question = await desk.fork(2)
    await at_question.ask("three")
    assert (await at_question.known())[0] == ["one", "echo: one", "two", "three", "echo: three"]
    await desk.assistant.forget(desk.talk.conversation_id)
    at_answer = await desk.fork(1)
    await at_answer.ask("three")
    assert (await at_answer.known())[0] == ["one", "echo: one", "three", "echo: three"]


async def test_an_answer_anew_that_was_cancelled_before_it_began_leaves_the_question(desk: Desk) -> None:
    await desk.ask("one", "two")
    message = (await desk.messages())[-1]
    await versions.regenerate_answer(**desk.by, message_id=message["message_id"], once="g")
    await control.cancel_turn(**desk.by, once="c")
    await desk.ask("three")
    assert (await desk.known())[0] == ["one", "echo: one", "two", "three", "echo: three"]


async def test_what_was_said_without_asking_and_gave_way_to_an_edit_is_not_told(desk: Desk) -> None:
    await desk.ask("one")
    await desk.say("never mind")
    await desk.edit(-1, "two")
    await desk.ask("three")
    assert (await desk.known())[0] == ["one", "echo: one", "two", "three", "echo: three"]


async def test_the_owner_has_anothers_question_answered_anew_as_theirs(desk: Desk) -> None:
    guest = await User.objects.acreate(username="gus")
    about = {"user_id": desk.talk.user_id, "conversation_id": desk.talk.conversation_id}
    await memberships.invite_member(**about, username="gus", once="i")
    await Desk(Talk(desk.talk.conversation_id, str(guest.pk)), desk.assistant).ask("one")
    await desk.regenerate()
    assert [message.name for message in (await desk.state())["messages"]] == ["gus", None]


async def test_a_fork_of_several_peoples_talk_knows_what_was_asked(desk: Desk) -> None:
    guest = await User.objects.acreate(username="gus")
    about = {"user_id": desk.talk.user_id, "conversation_id": desk.talk.conversation_id}
    await memberships.invite_member(**about, username="gus", once="i")
    await desk.ask("one")
    await Desk(Talk(desk.talk.conversation_id, str(guest.pk)), desk.assistant).ask("two")
    await desk.say("not to you")
    copy = await desk.fork(-1)
    await copy.ask("three")
    asked = [message for message in (await copy.state())["messages"] if message.type == "human"]
    overheard = [bool(message.additional_kwargs.get(OVERHEARD)) for message in asked]
    assert list(zip([each.text for each in asked], overheard, strict=True)) == [
        ("one", False),
        ("two", False),
        ("not to you", True),
        ("three", False),
    ]


async def test_an_answer_of_a_fork_is_written_anew_for_its_own_question(desk: Desk) -> None:
    await desk.ask("one", "two")
    copy = await desk.fork(3)
    await copy.regenerate()
    assert (await copy.known())[0] == ["one", "echo: one", "two", "echo: two"]


async def test_a_turn_that_was_taken_over_before_its_first_step_starts_from_the_same_place(desk: Desk) -> None:
    await desk.ask("one", "two")
    message = (await desk.messages())[-1]
    turn_id = await versions.regenerate_answer(**desk.by, message_id=message["message_id"], once="g")
    claimed = await turns.claim(desk.talk.conversation_id, turn_id, 0, "n0")
    assert isinstance(claimed, turns.Claim)
    first = await read_given(claimed)
    assert await read_given(claimed) == first
    await turns.release(claimed)
    await desk.settle()
    assert await desk.known() == (["one", "echo: one", "two", "echo: two"], KEPT)


async def test_a_fork_of_a_turn_end_that_cannot_be_read_is_rebuilt(desk: Desk) -> None:
    await desk.ask("one", "two")
    await poison(desk, "$.checkpoint", "not even JSON")
    copy = await desk.fork(3)
    await copy.ask("three")
    assert (await copy.known())[0] == ["one", "echo: one", "two", "echo: two", "three", "echo: three"]


@pytest.mark.parametrize("value", [None, 5, {"a": 1}])
@pytest.mark.parametrize("name", ["turn_id", "turn_seq", "ended"])
async def test_a_head_that_says_nonsense_of_its_turn_stops_no_turn(desk: Desk, name: str, value: Any) -> None:
    await desk.ask("one")
    await poison(desk, f"$.{name}", value)
    await desk.ask("two")
    assert (await desk.messages())[-1]["content"] == "echo: two"


async def test_whose_account_is_gone_still_makes_company(settings: Any) -> None:
    model = ToldModel(replies=["fine", "title", "better"], shown=[], tools=[])
    assistant = Assistant(models=Models("told", {"told": model}))
    await assistant.start()
    desk = Desk(await new_talk(), assistant)
    about = {"user_id": desk.talk.user_id, "conversation_id": desk.talk.conversation_id}
    for name in ("gus", "bob"):
        await User.objects.acreate(username=name)
        await memberships.invite_member(**about, username=name, once=name)
    guest = await User.objects.aget(username="gus")
    await Desk(Talk(desk.talk.conversation_id, str(guest.pk)), assistant).ask("one")
    await assistant.tender.settle()
    await memberships.leave_conversation(**about | {"user_id": str(guest.pk)}, device_id="phone", once="l")
    await guest.adelete()
    people._names.clear()
    await desk.regenerate()
    assert ("recall" in model.tools, model.prompt(2)[-1]) == (False, "somebody: one")


async def test_an_answer_that_came_whole_gives_way_to_what_was_sent_of_it_by_a_dead_node(desk: Desk) -> None:
    await desk.ask("one")
    await desk.say("two", respond=True)
    claimed = await start_turn(desk.talk)
    await desk.assistant.run(await _job(claimed), Heard(), load_transcript=list)  # type: ignore[arg-type]
    await turns.add_pieces(claimed, 1, ["echo:"])
    due = keys.due(keys.tag(desk.talk.conversation_id))
    await store.client().zadd(due, {desk.talk.conversation_id: 1})
    await control.cancel_turn(**desk.by, once="c")
    await desk.ask("three")
    assert (await desk.known())[0] == ["one", "echo: one", "two", "echo:", "three", "echo: three"]


async def test_what_is_rebuilt_has_the_answer_that_came_behind_the_next_question(desk: Desk) -> None:
    await desk.say("one", respond=True)
    await desk.say("two", respond=True)
    await finish_turn(await start_turn(desk.talk), "first")
    await desk.assistant.forget(desk.talk.conversation_id)
    await desk.settle()
    assert (await desk.known())[0] == ["one", "first", "two", "echo: two"]


async def test_an_answer_behind_an_edited_question_has_given_way_for_the_model_too(desk: Desk) -> None:
    await desk.ask("zero")
    await desk.say("one", respond=True)
    await desk.say("two", respond=True)
    await desk.settle()
    await desk.edit(3, "deux")
    assert [each["content"] for each in await desk.messages() if "superseded_by" not in each] == (await desk.known())[0]


async def test_a_fork_made_again_leaves_alone_what_was_said_in_it_since(desk: Desk) -> None:
    await desk.ask("one")
    seq, new_id = (await desk.messages())[-1]["seq"], str(uuid4())
    about = {"user_id": desk.talk.user_id, "conversation_id": desk.talk.conversation_id, "seq": seq, "new_id": new_id}
    first = await forks.copy_conversation(**about)
    await forks.open_fork(user_id=desk.talk.user_id, copy=first)
    assert (bool(first.source), (await forks.copy_conversation(**about)).source) == (True, None)


async def test_what_somebody_said_to_the_others_is_not_taken_for_a_question_once_their_account_is_gone(
    desk: Desk,
) -> None:
    await desk.ask("one")
    about = {"user_id": desk.talk.user_id, "conversation_id": desk.talk.conversation_id}
    for name in ("gus", "bob"):
        await User.objects.acreate(username=name)
        await memberships.invite_member(**about, username=name, once=name)
    guest = await User.objects.aget(username="gus")
    await Desk(Talk(desk.talk.conversation_id, str(guest.pk)), desk.assistant).say("between us")
    await memberships.leave_conversation(**about | {"user_id": str(guest.pk)}, device_id="phone", once="l")
    await guest.adelete()
    people._names.clear()
    await desk.ask("two")
    names = [message.name for message in (await desk.state())["messages"] if message.type == "human"]
    assert names[:2] == [None, "somebody"]
