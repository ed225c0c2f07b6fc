"""A Redis belongs to one database."""

import pytest

from conversations import keys
from conversations.errors import StartRefused
from conversations.installation import claim_redis
from conversations.models import Installation
from tests.archive_kit import redis

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]


async def only_installation() -> Installation:
    await Installation.objects.all().adelete()
    return await Installation.objects.acreate()


async def test_the_first_start_binds_redis_to_the_database_and_the_next_finds_it() -> None:
    installation = await only_installation()
    assert [await claim_redis(), await claim_redis()] == [str(installation.pk)] * 2


async def test_a_redis_of_another_database_is_refused_in_one_line() -> None:
    await only_installation()
    await redis().set(keys.DATABASE, "another")
    with pytest.raises(StartRefused, match=r"^This Redis belongs to another database .*$"):
        await claim_redis()


async def test_a_database_that_was_never_migrated_says_what_to_do() -> None:
    await Installation.objects.all().adelete()
    with pytest.raises(StartRefused, match="migrate"):
        await claim_redis()
