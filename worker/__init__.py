"""Celery's side: the app, its one task, its signals, and the life of the process's engine."""
