"""Numbers and sentences as pages write them."""
