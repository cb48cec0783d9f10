"""The parts of the report page: reading the result, drawing, and the templates."""
