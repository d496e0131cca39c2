"""What every launcher promises, asked of each of them."""
