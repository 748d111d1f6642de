"""Loading questions from local files and hub datasets: fields, options, splits and decontamination."""
