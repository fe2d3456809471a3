"""What Pressroom is compared with: ordinary programs that do the same work, and rivals (`python -m benchmarks rivals`).

A rival's program (`rival_*.py`) is our own use of its public interface. It runs in a virtual environment of its own, of
which only its own packages and the standard library can be expected.
"""
