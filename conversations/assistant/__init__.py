"""The LangGraph service: one graph run a turn, checkpointed in Redis under the turn's fence."""

import os

# Read once, when langgraph is imported: a checkpoint may never name a class to import.
os.environ.setdefault("LANGGRAPH_STRICT_MSGPACK", "true")
