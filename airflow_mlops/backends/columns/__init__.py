"""What a column holds, and its values in one form, whatever type a file stored them in."""
