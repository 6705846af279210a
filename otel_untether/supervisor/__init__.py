"""Run a command as if nobody were there, and show an observer copies of its output."""
