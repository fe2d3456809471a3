"""Example inputs, and the generator of the demo's batch. Part of the source checkout only; not installed."""
