"""One model on one testbed, one training run, several seeds: which measures run, in which order, with what defaults."""
