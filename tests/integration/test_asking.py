"""Models that fail before their first word are asked again or passed over; after it, never."""

import asyncio

import httpx
import pytest

from conversations.assistant import asking
from conversations.assistant.models import Models
from conversations.errors import StartRefused
from tests.assistant_kit import Heard, ToldModel, told_talk


class Busy(Exception):
    status_code = 429


class Refused(Exception):
    status_code = 401


def waits(seconds):
    error = Busy()
    error.response = httpx.Response(429, headers={"retry-after": str(seconds)})
    return error


@pytest.fixture(autouse=True)
def _at_once(monkeypatch):
    monkeypatch.setattr(asking, "BACKOFF_SECONDS", 0.001)


async def test_a_passing_error_is_tried_again_with_a_growing_back_off(monkeypatch):
    slept = []
    monkeypatch.setattr(asking, "BACKOFF_SECONDS", 0.02)
    sleep = asyncio.sleep

    async def note(seconds):
        slept.append(seconds)
        await sleep(0)

    monkeypatch.setattr(asking.asyncio, "sleep", note)
    talk = await told_talk(Busy(), Busy(), "at last")
    assert (await talk.say("hello")).text == "at last"
    first, second = [seconds for seconds in slept if seconds]
    assert 0.015 <= first <= 0.025 <= 0.03 <= second <= 0.05


async def test_after_the_last_try_the_turn_fails_with_the_reason(settings):
    settings.CHAT_RETRIES = 1
    talk = await told_talk(Busy(), Busy(), "too late")
    outcome = await talk.say("hello")
    assert ("too many requests" in outcome.error, len(talk.model.shown)) == (True, 2)


async def test_what_will_not_pass_is_not_tried_again():
    talk = await told_talk(Refused(), "never asked")
    outcome = await talk.say("hello")
    assert ("refused the API key" in outcome.error, len(talk.model.shown)) == (True, 1)


@pytest.mark.parametrize(("seconds", "tries"), [(0, 2), (60, 1)])
async def test_a_provider_that_says_when_is_waited_for_unless_it_is_long(seconds, tries):
    talk = await told_talk(waits(seconds), "here")
    await talk.say("hello")
    assert len(talk.model.shown) == tries


async def test_an_answer_that_has_begun_is_never_begun_anew(settings):
    settings.CHAT_FALLBACKS = ["other"]
    other = ToldModel(replies=["another answer"], shown=[])
    talk = await told_talk(("half an ", Busy()), "again", other=other)
    heard = Heard()
    outcome = await talk.run(await talk.claim("hello"), heard)
    assert (outcome.status, outcome.text, heard.text) == ("failed", "half an ", "half an ")
    assert (len(talk.model.shown), len(other.shown)) == (1, 0)


async def test_where_the_chosen_model_cannot_the_next_one_answers_and_is_named(settings):
    settings.CHAT_FALLBACKS = ["other"]
    talk = await told_talk(Refused(), other=ToldModel(replies=["I am the other"], shown=[]))
    outcome = await talk.say("hello")
    assert (outcome.text, outcome.usage["model"]) == ("I am the other", "other")


async def test_a_silent_model_is_given_up_after_its_time(settings):
    settings.CHAT_SILENCE_SECONDS = 0.05

    class Silent(ToldModel):
        async def _astream(self, messages, stop=None, run_manager=None, **_):
            await asyncio.Event().wait()
            yield

    talk = await told_talk(Refused())
    talk.assistant.models._made["told"] = Silent(replies=[], shown=[])
    outcome = await talk.say("hello")
    assert (outcome.status, "took too long" in outcome.error) == ("failed", True)


def test_every_model_that_may_be_needed_is_made_at_the_start_or_refused(settings):
    settings.CHAT_MODELS, settings.CHAT_FALLBACKS = ["scripted"], ["nonsense"]
    with pytest.raises(StartRefused, match="CHAT_FALLBACKS is 'nonsense'"):
        Models("scripted").check()
    settings.CHAT_MODELS, settings.CHAT_FALLBACKS = ["gibberish"], []
    with pytest.raises(StartRefused, match="CHAT_MODELS is 'gibberish'"):
        Models("scripted").check()


def test_a_choice_that_is_no_longer_offered_is_the_default():
    assert Models("scripted").pick("gone:model")[0] == "scripted"
