"""What is known of classes beside their images: vectors of their names."""
