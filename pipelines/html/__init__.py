"""What all HTML pages share: the look (`base.css`), parts of templates, and how a page is written."""
