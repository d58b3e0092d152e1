"""What falls due: settling before anything is judged or read, the keeper, the sandbox clock. Begin with settler."""
