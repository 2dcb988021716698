"""The measure `lens`: surprisal at every layer."""
