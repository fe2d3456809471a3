"""Wire models, one file a topic, each with examples."""
