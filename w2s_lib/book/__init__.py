"""What a notebook opens, tables and checks, the report, and the build."""
