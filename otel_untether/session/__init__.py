"""What an agent did and what that makes of its session; pure."""
