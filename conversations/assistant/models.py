"""Which model answers (CHAT_MODEL), and what its failures mean to a person."""

from collections.abc import Iterator

from django.conf import settings
from langchain_core.language_models import BaseChatModel

from conversations.errors import StartRefused
from conversations.failing import REASONS

from .scripted import ScriptedModel

# What fits the model's context beside its answer; the small local one has room for little.
PROMPT_CHARACTERS = 100_000
LOCAL_PROMPT_CHARACTERS = 4_000
LOCAL_ANSWER_TOKENS = 400


class Models:
    """The chat models of this process by name, each made once, when it is first needed."""

    def __init__(self, default: str | None = None, made: dict[str, BaseChatModel] | None = None) -> None:
        self.default = default or settings.CHAT_MODEL
        self._made = made or {}

    def check(self) -> None:
        """Make every model that may be needed. Raises StartRefused with the line that says what to set or install."""
        self._get(self.default, "CHAT_MODEL")
        for setting in ("CHAT_MODELS", "CHAT_FALLBACKS"):
            for name in getattr(settings, setting):
                self._get(name, setting)

    def names(self) -> list[str]:
        """Return what a conversation may choose, the default first."""
        return list(dict.fromkeys([self.default, *settings.CHAT_MODELS]))

    def pick(self, name: str) -> tuple[str, BaseChatModel]:
        """Return the model of that name; the default where the name is empty or no longer offered."""
        name = name if name in self.names() else self.default
        return name, self._get(name, "CHAT_MODELS")

    def chain(self, name: str) -> list[tuple[str, BaseChatModel]]:
        """Return who is asked in turn: the chosen model, then CHAT_FALLBACKS."""
        chosen = self.pick(name)
        others = [each for each in settings.CHAT_FALLBACKS if each != chosen[0]]
        return [chosen, *((each, self._get(each, "CHAT_FALLBACKS")) for each in others)]

    def _get(self, name: str, setting: str) -> BaseChatModel:
        found = self._made.get(name)
        if found is None:
            found = self._made[name] = make_model(name, setting)
        return found


def make_model(name: str | None = None, setting: str = "CHAT_MODEL") -> BaseChatModel:
    """Return the chat model called ``name`` (default: CHAT_MODEL). Connects at first use, not here.

    Raises StartRefused with one line that says what to set or install.
    """
    name = name or settings.CHAT_MODEL
    if name == "scripted":
        return ScriptedModel()
    if name == "local":
        from langchain_openai import ChatOpenAI  # slow to import; a node must start fast

        return ChatOpenAI(
            model="local",
            base_url=settings.LOCAL_MODEL_URL,
            api_key="none",  # type: ignore[arg-type]
            timeout=settings.CHAT_SILENCE_SECONDS,
            max_retries=0,  # asking.py does it; while the server loads it answers 503
            max_tokens=LOCAL_ANSWER_TOKENS,  # type: ignore[call-arg]
            temperature=0.3,
            stream_usage=True,
        )
    if ":" not in name:
        raise StartRefused(
            f"{setting} is {name!r}: set it to scripted, local or provider:name, for example openai:gpt-4o-mini"
        )
    return _provider_model(name, setting)


def _provider_model(name: str, setting: str) -> BaseChatModel:
    from langchain.chat_models import init_chat_model  # slow to import; a node must start fast

    try:
        model: BaseChatModel = init_chat_model(name)
        return model
    except ImportError as error:
        missing = str(error).splitlines()[0]
        raise StartRefused(f"{setting} is {name!r}, but its package is not installed: {missing}") from None
    except Exception as error:
        if type(error) is ValueError:
            first = str(error).splitlines()[0]
            raise StartRefused(f"{setting} is {name!r}, which cannot be used: {first}") from None
        # Most providers' clients look for their key when they are made, each with an error of its own.
        raise StartRefused(
            f"{setting} is {name!r}, but its client cannot be made ({type(error).__name__}): "
            "set the provider's API key in the environment"
        ) from None


def prompt_characters(model: BaseChatModel) -> int:
    """Return how much of a conversation the model is shown at once."""
    return LOCAL_PROMPT_CHARACTERS if is_local(model) else PROMPT_CHARACTERS


def is_local(model: BaseChatModel) -> bool:
    return getattr(model, "model_name", "") == "local"


class EmptyAnswer(Exception):
    """The model has said nothing at all."""


class ModelFailed(Exception):
    """A model's client raised something that nobody has foreseen; it is the cause of this."""


class NoAnswer(Exception):
    """The graph has come to its end without a message of its own."""


class AnswerTooLong(Exception):
    """The graph's message is longer than an answer may be; ours stops a model before that."""


class PoisonedState(Exception):
    """A checkpoint holds what this product has not written, or cannot read any more."""


class StateTooBig(Exception):
    """A graph wants to keep more in its state than a checkpoint may hold."""


class StateNotPlain(Exception):
    """A graph wants to keep something in its state that is neither a message nor a plain value."""


# By status code, or by words in the name of the error's class or of one that it came from.
BY_STATUS = {
    401: "key",
    402: "quota",
    403: "key",
    404: "model",
    413: "long",
    429: "rate",
    500: "trouble",
    502: "trouble",
    503: "trouble",
    504: "slow",
    529: "trouble",
}
BY_NAME = [
    ("Timeout", "slow"),
    ("RateLimit", "rate"),
    ("ResourceExhausted", "rate"),
    ("Authentication", "key"),
    ("PermissionDenied", "key"),
    ("NotFound", "model"),
    ("ContextOverflow", "long"),
    ("Connect", "connect"),
    ("TransportError", "connect"),
    ("ScriptedFailure", "scripted"),
    ("EmptyAnswer", "empty"),
    ("GraphRecursion", "steps"),
    ("NoAnswer", "silent"),
    ("AnswerTooLong", "answer"),
    ("PoisonedState", "poisoned"),
    ("StateTooBig", "big"),
    ("StateNotPlain", "plain"),
]


def explain(error: BaseException) -> str:
    """Return what a person can do about a failed answer. Never any text of the error itself: it may hold a key."""
    return REASONS[_reason(error)]


def is_passing(error: BaseException) -> bool:
    """Whether the same model may well answer a moment later."""
    return _reason(error) in ("rate", "connect", "trouble")


def is_expected(error: BaseException) -> bool:
    """Whether the failure lies with the model or the question, so that no stack is worth a look."""
    return _reason(error) != "other"


def is_suspect(error: BaseException) -> bool:
    """Whether the state itself may be why our graph failed: what is neither a model's nor foreseen."""
    return not is_expected(error) and not isinstance(error, ModelFailed)


def _reason(error: BaseException) -> str:
    for each in _causes(error):
        if getattr(each, "code", None) == "context_length_exceeded" or "context size" in str(each):
            return "long"
        status = getattr(each, "status_code", None)
        if status in BY_STATUS:
            return BY_STATUS[status]
        for part, reason in BY_NAME:
            if any(part in kind.__name__ for kind in type(each).__mro__):
                return reason
    return "other"


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or current.__context__
