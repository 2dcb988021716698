"""Chart primitives, as SVG."""
