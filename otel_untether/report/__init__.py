"""The post-mortem of one run, read back from what was written on this machine.

`run` reads the files, `span_reader` their spans (`span_node`, `attribute_text`, `frames`), of
which `span_tree` makes a tree, `dumps` reads what stalls looked like, `silences` makes one of
several warnings, `breakdown` says where the time went, `session_facts` what the session was,
`verdict` how it ended, why, and what to do next. `terminal`, `html`, `markdown` and
`json_document` write all that down for people and for programs.
"""
