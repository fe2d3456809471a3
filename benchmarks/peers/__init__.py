"""What Pressroom is compared with: ordinary programs that do the same work."""
