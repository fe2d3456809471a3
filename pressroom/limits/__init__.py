"""Rate limits: one shared account per pool of requests, tokens, images and calls in flight (docs/limiter.md)."""
