"""Sessions that are ended at a random moment, and what they leave."""
