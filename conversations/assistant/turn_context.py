"""What a graph may know of its turn, beside its state: LangGraph hands it to nodes as `runtime.context`."""

from dataclasses import dataclass
from typing import NamedTuple


class Recap(NamedTuple):
    """What a model has made of the conversation's beginning, up to and with the message of that id."""

    text: str
    upto: str


@dataclass(slots=True)
class TurnContext:
    """``model`` is the conversation's choice (empty: the default), ``topic`` people's or empty, ``title`` the log's."""

    conversation_id: str = ""
    turn_id: str = ""
    user_id: str = ""
    username: str = ""  # empty where they are alone with the assistant
    seq: int = 0  # of their message, in the log
    model: str = ""
    topic: str = ""
    title: str = ""
    instructions: str = ""  # the conversation's
    own_instructions: str = ""  # of the person who asks; empty where others read the answer
    recap: Recap | None = None
    heard: int = 0  # messages of people since the last turn that asked for no answer

    @property
    def has_company(self) -> bool:
        """Whether others read what is answered, as of the turn's beginning; `privacy.is_alone` tells of now."""
        return bool(self.username)
