"""The commands about the assistant and its answers."""

from typing import Any

from conversations import control, forks, ratings, services, versions
from conversations.errors import InvalidMessage

from .command_calls import Call, Handler


async def _cancel(call: Call) -> dict[str, Any]:
    cancelling = await control.cancel_turn(
        conversation_id=call.conversation_id,
        user_id=call.user_id,
        device_id=call.device_id,
        turn_id=call.args.turn_id or "",
        once=call.id,
    )
    if not cancelling.node:
        await call.node.runner.forget_steps(call.conversation_id, cancelling.turn_id)
        call.node.runner.start_soon(call.conversation_id)  # what stood behind it may go on
    return {"turn_id": cancelling.turn_id}


async def _answer(call: Call) -> dict[str, Any]:
    answering = await control.answer_turn(
        conversation_id=call.conversation_id,
        user_id=call.user_id,
        device_id=call.device_id,
        turn_id=call.args.turn_id,
        interrupt_id=call.args.interrupt_id,
        value=call.args.value,
        once=call.id,
    )
    if answering.is_due:
        call.node.runner.start_soon(call.conversation_id, call.args.turn_id, answering.attempts)
    return {}


async def _regenerate(call: Call) -> dict[str, Any]:
    turn_id = await versions.regenerate_answer(
        user_id=call.user_id,
        device_id=call.device_id,
        conversation_id=call.conversation_id,
        message_id=call.args.message_id,
        once=call.id,
    )
    call.node.runner.start_soon(call.conversation_id, turn_id, 0)
    return {"turn_id": turn_id}


async def _edit(call: Call) -> dict[str, Any]:
    turn_id = await versions.edit_message(
        user_id=call.user_id,
        device_id=call.device_id,
        conversation_id=call.conversation_id,
        message_id=call.args.message_id,
        content=call.args.content,
        once=call.id,
    )
    if turn_id:
        call.node.runner.start_soon(call.conversation_id, turn_id, 0)
    return {"turn_id": turn_id or None}


async def _fork(call: Call) -> dict[str, Any]:
    new_id = await call.reserve_id()
    copy = await forks.copy_conversation(
        user_id=call.user_id, conversation_id=call.conversation_id, seq=call.args.seq, new_id=new_id
    )
    if copy.source is not None:
        await call.node.assistant.fork(copy.source, new_id, copy.seq)
    await forks.open_fork(user_id=call.user_id, copy=copy)
    return {"conversation_id": new_id}


async def _get_assistant(call: Call) -> dict[str, Any]:
    return _wishes(call, await services.set_assistant(user_id=call.user_id, conversation_id=call.conversation_id))


async def _set_assistant(call: Call) -> dict[str, Any]:
    model = call.args.model
    if model and model not in call.node.assistant.models.names():
        offered = ", ".join(call.node.assistant.models.names())
        raise InvalidMessage(f"This server does not offer that model; it has {offered}.")
    held = await services.set_assistant(
        user_id=call.user_id,
        conversation_id=call.conversation_id,
        model=model,
        instructions=call.args.instructions,
        own_instructions=call.args.own_instructions,
    )
    return _wishes(call, held)


def _wishes(call: Call, held: services.Wishes) -> dict[str, Any]:
    models = call.node.assistant.models.names()
    # A choice that is no longer offered is the default again.
    return held._asdict() | {"model": held.model if held.model in models else models[0], "models": models}


async def _rate(call: Call) -> dict[str, Any]:
    message_id = await ratings.rate_message(
        user_id=call.user_id,
        conversation_id=call.conversation_id,
        seq=call.args.seq,
        rating=call.args.rating,
        comment=call.args.comment,
    )
    return {"message_id": message_id}


async def _list_ratings(call: Call) -> dict[str, Any]:
    return {"items": await ratings.list_ratings(user_id=call.user_id, conversation_id=call.conversation_id)}


HANDLERS: dict[str, Handler] = {
    "get_assistant": _get_assistant,
    "set_assistant": _set_assistant,
    "cancel": _cancel,
    "answer": _answer,
    "regenerate": _regenerate,
    "edit": _edit,
    "fork": _fork,
    "rate": _rate,
    "list_ratings": _list_ratings,
}
