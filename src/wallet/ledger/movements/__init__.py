"""What happens once nothing is refused: one "move" function per kind of request. None of them can refuse."""
