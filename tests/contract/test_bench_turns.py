"""The yardstick of `bench turns`: the same graph, checkpointed as LangGraph does it by itself."""

from django.conf import settings

from bench.turns import Bare


async def test_the_bare_graph_takes_its_turns():
    bare = Bare(settings.REDIS_URL)
    async with bare.saver:
        for text in ("one", "two"):
            await bare.turn(text)
        state = await bare.graph.aget_state({"configurable": {"thread_id": "bare"}})
    assert [each.content for each in state.values["messages"]] == ["one", "echo: one", "two", "echo: two"]
