"""How Django's cache keeps values in Redis: as JSON, which can name no class to import."""

from typing import Any

import orjson


class JsonSerializer:
    def dumps(self, value: Any) -> bytes:
        return orjson.dumps(value)

    def loads(self, data: bytes) -> Any:
        return orjson.loads(data)
