"""Several result sets at once: compared in one report, merged into one folder, or listed."""
