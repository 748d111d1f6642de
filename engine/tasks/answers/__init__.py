"""Reading and comparing answers: extraction, LaTeX, quantities, mathematical equality, asserts of programs."""
