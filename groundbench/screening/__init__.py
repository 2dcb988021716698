"""Screening: does a model say what was shown, and do its own signals tell when it does not?"""
