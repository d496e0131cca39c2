"""How large and how fast the page is, in a real browser."""
