"""Models that can be measured: one file per way of loading and running them."""
