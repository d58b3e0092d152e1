"""Many movements in one call: batches, and imports that stream. Begin with items."""
