"""A run's report as one HTML file, to be attached to a bug report.

`document` is the page, `waterfall` the spans and curves on one axis of time, `sections` the
tables below it, `elements` how all that is put together.
"""
