"""The report as a page: facts computed once, rendered as HTML and as Markdown."""
