"""The sandbox: a local stand-in for the OpenAI API, for demos, tests and benchmarks.

A program of its own that imports nothing of Pressroom. Everything it answers says that it is the sandbox.
"""
