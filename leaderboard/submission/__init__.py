"""The contents of a submitted folder, and the checks that they are true."""
