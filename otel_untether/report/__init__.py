"""The post-mortem of one run, read back from what was written on this machine.

`folder` reads the files, `model` makes a tree of their spans, `breakdown` says where the time
went, `facts` what the session was; `terminal` and `machine` write all that down for people
and for programs.
"""
