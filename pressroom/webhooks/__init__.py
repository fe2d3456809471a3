"""Events sent to addresses that want them: endpoints, signatures, deliveries."""
