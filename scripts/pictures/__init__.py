"""Makes the pictures of the README from the real thing: `make pictures`.

`terminal` draws what a command printed as SVG, `sessions` has the commands run, `costs` draws
what `make bench` measured.
"""
