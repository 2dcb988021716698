"""The contracts: what a testbed, a question set and an adapter must provide. Start here to extend groundbench."""
