"""Tiny models, planted models, toy testbeds and fake results that tests share."""
