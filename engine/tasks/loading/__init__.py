"""Loading questions: local files, hub data sets, fields, options, contamination."""
