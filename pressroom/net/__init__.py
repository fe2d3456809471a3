"""Going out to addresses that other people name."""
