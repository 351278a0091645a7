"""One file per stage; each operator is a sentence."""
