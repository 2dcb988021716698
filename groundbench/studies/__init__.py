"""Programs that use everything below to show something: the demo and the paper."""
