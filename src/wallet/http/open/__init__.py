"""What everybody may fetch without a key: made once, sent as it is. Begin with pages."""
