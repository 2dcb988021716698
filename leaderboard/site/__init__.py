"""The static HTML of the leaderboard."""
