"""The HTTP door: OpenAI-compatible and native endpoints. It knows FastAPI and decides nothing."""
