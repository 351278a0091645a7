"""How traffic moves to a challenger, and on what evidence."""
