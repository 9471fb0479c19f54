"""The HTML page of several runs.

`runs` reads their folders; `table` says which scores compare, `comparisons` and `headlines` which are
better; `details` is one result, `curves` one training, both drawn by `charts`; `published` is the
literature; `page` puts it all into `page.html.jinja`.
"""
