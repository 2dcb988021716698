"""The measure `gain`: behaviour, as nats of surprisal."""
