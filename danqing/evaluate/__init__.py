"""What is measured, each measure a pure function in a file of its own, and the step that measures and reports."""
