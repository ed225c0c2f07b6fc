"""What a model is shown: the instruction, what people want of it, what it should know, the newest messages that fit."""

from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage, SystemMessage

from . import context, speakers
from .models import is_local, prompt_characters
from .scripted import ScriptedModel
from .turn_context import TurnContext

INSTRUCTION = "You are a helpful assistant. Answer briefly, in the language of the user."
TITLE = (
    "Give this conversation a title of at most six words, in its own language. "
    "Answer with the title alone, without quotes and without a full stop."
)
RECAP = (
    "Here are your notes of a conversation and what was said since. Write new notes that replace the old ones: "
    "facts, names, decisions, wishes and open questions, in the language of the conversation, at most 120 words. "
    "Answer with the notes alone."
)


def takes_tools(model: BaseChatModel) -> bool:
    """The scripted model needs none named, and the small local one would only be confused."""
    return not isinstance(model, ScriptedModel) and not is_local(model)


def prompt(
    model: BaseChatModel, messages: list[BaseMessage], state: dict[str, Any], about: TurnContext, tools: list[str]
) -> list[BaseMessage]:
    """Return what this model is shown of the conversation."""
    if isinstance(model, ScriptedModel):
        return messages
    start = context.split_window(messages, prompt_characters(model))
    offered = tools if takes_tools(model) else []
    instruction = _instruction(state, about, offered, has_several=speakers.has_several(messages))
    return [SystemMessage(instruction), *map(speakers.shown, messages[start:])]


def _instruction(state: dict[str, Any], about: TurnContext, tools: list[str], *, has_several: bool) -> str:
    parts = [INSTRUCTION]
    if has_several:
        parts.append(speakers.INSTRUCTION)
    if "remember" in tools:
        parts.append("Use recall where something about the person would help, and remember what they ask you to.")
    if about.instructions:
        parts.append(f"For this conversation you were asked:\n{about.instructions}")
    if about.own_instructions:
        parts.append(f"The person you answer asked of you:\n{about.own_instructions}")
    if about.topic:
        parts.append(f"The topic is now: {about.topic}")
    earlier = "\n".join(part for part in (state.get("recap", ""), state.get("summary", "")) if part)
    if earlier:
        parts.append(f"Earlier in this conversation:\n{earlier}")
    return "\n\n".join(parts)


def title_prompt(messages: list[BaseMessage]) -> list[BaseMessage]:
    return [SystemMessage(TITLE), context.as_text(messages)]


def recap_prompt(state: dict[str, Any], leaving: list[BaseMessage]) -> list[BaseMessage]:
    notes = "\n".join(part for part in (state.get("recap", ""), state.get("summary", "")) if part)
    return [SystemMessage(RECAP), context.as_text(leaving, f"Notes so far:\n{notes or 'none'}\n\nSaid since:\n")]
