"""What the archive has of a log that went another way, and where that log's entries are once it is rebuilt."""

from dataclasses import dataclass, field
from typing import Any

from .archive_base import UNFINISHED, Base
from .models import Message, Turn

ROWS = 500


@dataclass
class Places:
    """Old seqs and new ones. What stands before ``first`` is where it was; what has no place was left out."""

    first: int
    moved: dict[int, int] = field(default_factory=dict)

    def of(self, seq: int) -> int | None:
        return seq if seq < self.first else self.moved.get(seq)


class Known:
    """What the archive has of the old log's entries, although at other places."""

    def __init__(self, base: Base, datas: list[dict[str, Any]]) -> None:
        said = Message.objects.filter(conversation=base.row)
        self._message_ids: dict[str, int] = {}
        self._client_ids: dict[tuple[str, str], int] = {}
        self._over: set[str] = set()
        self._answers: dict[str, int] = {}
        for index in range(0, len(datas), ROWS):
            part = datas[index : index + ROWS]
            by_id = said.filter(message_id__in=[data["message_id"] for data in part if data.get("message_id")])
            self._message_ids |= {str(each): seq for each, seq in by_id.values_list("message_id", "seq")}
            by_client = said.filter(client_id__in=[data["client_id"] for data in part if data.get("client_id")])
            self._client_ids |= {
                (author, client_id): seq
                for author, client_id, seq in by_client.values_list("author", "client_id", "seq")
            }
            turns = Turn.objects.filter(pk__in={turn_id for data in part if (turn_id := turn_of(data))})
            over = {str(each) for each in turns.exclude(status__in=UNFINISHED).values_list("pk", flat=True)}
            self._over |= over
            answers = said.filter(role="assistant", turn_id__in=over).values_list("turn_id", "seq")
            self._answers |= {str(turn_id): seq for turn_id, seq in answers}

    def seq_of(self, kind: str, data: dict[str, Any]) -> int | None:
        """Where the archive has this message."""
        if kind != "message":
            return None
        found = self._message_ids.get(data["message_id"])
        return found or self._client_ids.get((data["author"], data.get("client_id", "")))

    def is_over(self, data: dict[str, Any]) -> bool:
        """Does this entry tell of a turn whose end the archive has? There is one answer only."""
        return data.get("role") != "user" and turn_of(data) in self._over

    def answer_of(self, data: dict[str, Any]) -> int | None:
        """Where the archive has the answer in whose place this one came, of the same turn."""
        return self._answers.get(turn_of(data)) if data.get("role") == "assistant" else None


def turn_of(data: dict[str, Any]) -> str:
    """The turn that an entry is about; of `message.superseded`, the one that answers anew (or the edited message)."""
    return str(data["by"] if "from_seq" in data else data.get("turn_id") or "")
