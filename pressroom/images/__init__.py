"""Pictures: checked against their bounds, decoded once, thumbnailed, and laid out on contact sheets."""
