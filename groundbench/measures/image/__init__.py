"""The measure `image`: where in an image the heads read."""
