"""Children beside models: the order in which nouns ground in training, and in which children come to say them."""
