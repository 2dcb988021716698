"""The measure `heads`: which heads carry the shown noun to the prediction."""
