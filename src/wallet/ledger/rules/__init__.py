"""What is refused, and why: one "first refusal" function per kind of request.

Each reads the book and answers the first refusal in the order of RefusalCode, or None. References are apply's
business; nothing here changes anything.
"""
