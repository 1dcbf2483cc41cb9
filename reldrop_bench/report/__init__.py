"""The comparison report: sections in, one page (or LaTeX, or Markdown), tables and figures out."""
