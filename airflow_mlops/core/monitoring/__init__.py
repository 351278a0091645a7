"""How the champion does in production."""
