"""What happened, told to whoever listens: an outbox, and how it is read without loss."""
