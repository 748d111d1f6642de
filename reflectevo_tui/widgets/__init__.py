"""The parts screens are made of, one a file. They show values they are given and know no database."""
