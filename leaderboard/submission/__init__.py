"""What a submitted folder must hold, and the checks that it is true."""
