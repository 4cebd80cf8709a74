"""How results look: the texts of the book for people, JSON for programs. These functions write nothing."""
