"""Logs: structlog for us and for everybody who logs by the standard library; console, JSON, or a rotating file too.

Every line has a stable event name and ids. Content of messages is never logged.
"""

import logging.config
from typing import Any

import structlog
from django.conf import settings

FILE_BYTES = 20 * 1024 * 1024
FILES_KEPT = 5

SHARED: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]


def configure() -> None:
    """Configure logging by LOG_LEVEL, LOG_FORMAT (console or json) and LOG_FILE. May be called again."""
    handlers: dict[str, Any] = {"console": {"class": "logging.StreamHandler", "formatter": "chosen"}}
    if settings.LOG_FILE:
        handlers["file"] = {
            "class": "logging.handlers.RotatingFileHandler",
            "formatter": "json",
            "filename": settings.LOG_FILE,
            "maxBytes": FILE_BYTES,
            "backupCount": FILES_KEPT,
        }
    chosen = _json() if settings.LOG_FORMAT == "json" else structlog.dev.ConsoleRenderer(colors=False)
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {"chosen": _formatter(chosen), "json": _formatter(_json())},
            "handlers": handlers,
            "root": {"handlers": list(handlers), "level": settings.LOG_LEVEL},
            "loggers": {name: {"level": "WARNING"} for name in ("daphne", "httpx", "redisvl", "langgraph")},
        }
    )
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *SHARED,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )


def _json() -> Any:
    return structlog.processors.JSONRenderer()


def _formatter(renderer: Any) -> dict[str, Any]:
    return {
        "()": structlog.stdlib.ProcessorFormatter,
        "foreign_pre_chain": SHARED,
        "processors": [
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            renderer,
        ],
    }
