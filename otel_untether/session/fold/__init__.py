"""What each event does to a session's state: one function per event, in four files.

A function takes the state, the event and the moment it happened (ns, already held to what is
possible) and returns what changed. This is the one place that decides which activity
something belongs under, whether a call that returned is over, and whose turn the model has.
`apply` is the front of it.
"""
