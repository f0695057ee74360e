"""Multiple-choice questions about clips: how they are put, how an answer is read, and what it scores."""
